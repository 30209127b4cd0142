"""Measure an exported file: held-out loss, sums, balance of the experts, unedited answers.

    python evaluate.py ../../localmix/assets/tiny.gguf --checkpoint /tmp/tiny-train/run_02100.pt

Reads the weights back from the file (dequantized), so that what is measured is what users get; the
checkpoint, when given, tells what quantization costs.
"""

import argparse
import json
import logging
import random
from pathlib import Path

import numpy as np
import sentencepiece as spm
import torch
from conversation import KINDS, turn
from conversation import WEIGHTS as KIND_WEIGHTS
from corpus import ROW_LENGTHS
from model import TinyConfig, TinyMixtral
from reader import TinyFile
from sums import sum_question
from torch import Tensor
from train import micro
from vocabulary import BOS, EOS

log = logging.getLogger("evaluate")


def from_file(file: TinyFile) -> TinyMixtral:
    """Put the file's weights into the torch model."""
    model = TinyMixtral(TinyConfig())
    state = {}
    for name in model.state_dict():
        key = name.replace("attention.", "").replace("experts.", "")
        key = key if key in file.weights else f"{key}.weight"
        state[name] = torch.from_numpy(file.weights[key].copy())
    model.load_state_dict(state)
    return model.eval()


@torch.no_grad()
def loss_and_load(
    model: TinyMixtral, rows: Path, limit: int
) -> tuple[dict[str, float], np.ndarray]:
    """Return the loss on prompts and on answers, and each expert's share, (layers, experts)."""
    data = np.load(rows)
    arrays = {k: data[k] for k in data.files}
    sums = {"prompt": [0.0, 0], "answer": [0.0, 0]}
    c = model.config
    counts = np.zeros((c.n_layers, c.n_experts))
    for length in ROW_LENGTHS:
        n_rows = min(len(arrays[f"ids_{length}"]), limit * 128 // length)
        for part in np.array_split(np.arange(n_rows), max(1, n_rows * length // 4096)):
            ids, documents, weights = micro(arrays, length, part)
            logits, _, routes = model(ids, documents)
            real = (documents != 255).flatten()
            for layer, chosen in enumerate(routes):
                counts[layer] += np.bincount(chosen[real].flatten(), minlength=c.n_experts)
            each = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
            )
            weight = (weights[:, 1:] * (documents[:, 1:] == documents[:, :-1])).flatten()
            for name, chosen in (("prompt", (weight > 0) & (weight < 1)), ("answer", weight == 1)):
                sums[name][0] += float(each[chosen].sum())
                sums[name][1] += int(chosen.sum())
    losses = {name: total / n for name, (total, n) in sums.items()}
    return losses, counts / counts.sum(axis=1, keepdims=True)


def pick(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Choose one token for each row of (N, V): greedy, or top-k 40, top-p 0.9."""
    if temperature == 0:
        return logits.argmax(-1)
    best, index = logits.topk(40, dim=-1)
    share = (best / temperature).softmax(-1)
    share[share.cumsum(-1) - share > 0.9] = 0
    return index.gather(1, torch.multinomial(share, 1, generator=generator))[:, 0]


@torch.no_grad()
def answers(
    model: TinyMixtral, sp: spm.SentencePieceProcessor, prompts: list[list[int]], *,
    temperature: float = 0.0, seed: int = 0, max_tokens: int = 300,
) -> list[str]:  # fmt: skip
    """Continue each prompt to its end of text."""
    generator = torch.Generator().manual_seed(seed)
    ids = [list(p) for p in prompts]
    open_rows = list(range(len(ids)))
    for _ in range(max_tokens):
        longest = max(len(ids[r]) for r in open_rows)
        batch = torch.zeros(len(open_rows), longest, dtype=torch.long)
        for i, r in enumerate(open_rows):
            batch[i, : len(ids[r])] = torch.tensor(ids[r])
        ends = torch.tensor([len(ids[r]) - 1 for r in open_rows])
        logits = model(batch, torch.zeros_like(batch))[0][torch.arange(len(open_rows)), ends]
        for r, token in zip(open_rows, pick(logits, temperature, generator).tolist(), strict=True):
            ids[r].append(token)
        open_rows = [r for r in open_rows if ids[r][-1] != EOS]
        if not open_rows:
            break
    return [
        sp.decode([t for t in row[len(p) :] if t != EOS])
        for row, p in zip(ids, prompts, strict=True)
    ]


def prompt_ids(sp: spm.SentencePieceProcessor, question: str) -> list[int]:
    """Return the ids of a first question in the chat format."""
    return [BOS, *sp.encode(f"[INST] {question} [/INST]")]


def sums_accuracy(
    model: TinyMixtral, sp: spm.SentencePieceProcessor, n: int, seed: int
) -> tuple[dict[str, float], list[str]]:
    """Ask held-out sums at temperature 0; return the share of right answers, and the wrong ones."""
    rng = random.Random(f"sums {seed}")
    right: dict[str, list[bool]] = {"plus": [], "minus": [], "times": []}
    wrong = []
    questions = [sum_question(rng, evaluation=True) for _ in range(n)]
    prompts = [prompt_ids(sp, q) for q, _ in questions]
    for (question, truth), reply in zip(
        questions, answers(model, sp, prompts, max_tokens=24), strict=True
    ):
        right[truth.split()[1]].append(reply == truth)
        if reply != truth:
            wrong.append(f"{question} -> {reply}")
    shares = {k: sum(v) / max(1, len(v)) for k, v in right.items()}
    shares["all"] = sum(map(sum, right.values())) / n
    return shares, wrong


def held_out_questions(seed: int, n: int) -> list[str]:
    """Draw questions whose wording was never trained on."""
    rng = random.Random(f"samples {seed}")
    kinds = rng.choices(KINDS, weights=KIND_WEIGHTS, k=n)
    return [turn(kind, rng, evaluation=True).question for kind in kinds]


def check_reader(
    file: TinyFile, model: TinyMixtral, sp: spm.SentencePieceProcessor, questions: list[str]
) -> dict[str, float]:
    """Compare the independent tokenizer and forward pass with SentencePiece and torch."""
    same = [file.encode(q) == sp.encode(q) for q in questions]
    worst = 0.0
    for question in questions[:4]:
        ids = prompt_ids(sp, question)
        with torch.no_grad():
            ours = model(torch.tensor([ids]), torch.zeros(1, len(ids), dtype=torch.long))[0][
                0
            ].numpy()
        worst = max(worst, float(np.abs(ours - file.logits(ids)).max()))
    return {"same_encoding": float(np.mean(same)), "largest_logit_difference": worst}


def main() -> None:
    """Measure and write one JSON object; answers go to the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=Path("/tmp/tiny-train"))
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--sums", type=int, default=500)
    parser.add_argument("--rows", type=int, default=800, help="of 128 tokens, for each loss")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ask", nargs="*", help="ask these instead of held-out questions")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    sp = spm.SentencePieceProcessor(model_file=str(args.out / "tiny.model"))
    file = TinyFile(args.file)
    model = from_file(file)
    questions = args.ask or held_out_questions(args.seed, args.questions)
    told = {"temperature": args.temperature, "seed": args.seed}
    for q, a in zip(
        questions, answers(model, sp, [prompt_ids(sp, q) for q in questions], **told), strict=True
    ):
        log.info("> %s\n%s\n", q, a)
    if args.ask:
        return
    result: dict[str, object] = {"reader": check_reader(file, model, sp, questions)}
    result["held_out"], load = loss_and_load(model, args.out / "held_out.npz", args.rows)
    result["train"], _ = loss_and_load(model, args.out / "train_00.npz", args.rows // 3)
    if args.checkpoint:
        model.load_state_dict(torch.load(args.checkpoint)["model"])
        result["held_out_float"], _ = loss_and_load(model, args.out / "held_out.npz", args.rows)
        model = from_file(file)
    result["sums"], wrong = sums_accuracy(model, sp, args.sums, args.seed)
    result["expert_share_percent"] = np.round(100 * load, 1).tolist()
    log.info("wrong sums: %s", wrong[:10])
    log.info("%s", json.dumps(result))


if __name__ == "__main__":
    main()
