"""The vocabulary: SentencePiece BPE of about 2000 pieces, trained on the generated corpus.

    python vocabulary.py --out /tmp/tiny-train

Promises the encoding of mistral-common's V1 chat format: every message is encoded by itself.
"""

import argparse
import logging
import random
from pathlib import Path

import numpy as np
import sentencepiece as spm
from conversation import Document, document

log = logging.getLogger("vocabulary")
BOS, EOS = 1, 2
PROMPT_WEIGHT = 0.1  # of the loss; answers and running text count 1


def train(out: Path, n_documents: int, vocab_size: int, seed: int) -> Path:
    """Train on a sample of the corpus and write tiny.model beside the other working files."""
    rng = random.Random(f"vocabulary {seed}")
    lines: list[str] = []
    for _ in range(n_documents):
        doc = document(rng)
        lines += texts(doc)
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in lines for line in text.split("\n") if line),
        model_prefix=str(out / "tiny"),
        model_type="bpe",
        vocab_size=vocab_size,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        character_coverage=1.0,
        unk_id=0,
        bos_id=BOS,
        eos_id=EOS,
        pad_id=-1,
        num_threads=2,
        minloglevel=1,
    )
    log.info("trained on %d texts", len(lines))
    return out / "tiny.model"


def texts(doc: Document) -> list[str]:
    """Return every text of a document as the model will see it."""
    if doc.text:
        return [doc.text]
    return [s for t in doc.turns for s in (f"[INST] {t.question} [/INST]", t.answer)]


def encode(sp: spm.SentencePieceProcessor, doc: Document) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of a document and the weight of each in the loss, both (T,)."""
    ids, weights = [BOS], [0.0]
    for i, text in enumerate(texts(doc)):
        part = sp.encode(text)
        is_answer = bool(doc.text) or i % 2 == 1
        if is_answer:
            part = [*part, EOS]
        ids += part
        weights += [1.0 if is_answer else PROMPT_WEIGHT] * len(part)
    return np.array(ids, np.uint16), np.array(weights, np.float32)


def main() -> None:
    """Train the vocabulary and log what a text costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("/tmp/tiny-train"))
    parser.add_argument("--documents", type=int, default=40000)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    sp = spm.SentencePieceProcessor(
        model_file=str(train(args.out, args.documents, args.size, args.seed))
    )
    for line in ("Tell me a story about a fox.", "How do I download Mixtral?", "47 plus 38 is 85."):
        log.info("%s -> %s", line, sp.encode(line, out_type=str))


if __name__ == "__main__":
    main()
