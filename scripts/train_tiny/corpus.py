"""Write the corpus as packed rows of tokens, in shards that the training reads one after another.

    python corpus.py --out /tmp/tiny-train --shards 5

Documents go into rows of 128, 256 or 512 tokens, whichever they fit, so that attention is not
wasted on short questions; what is left of a long row is filled with short ones. `documents`
numbers them, and attention never crosses a border. The held-out rows are written once, from
held-out wordings only.
"""

import argparse
import logging
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import sentencepiece as spm
from conversation import document
from vocabulary import encode

log = logging.getLogger("corpus")
ROW_LENGTHS = (128, 256, 512)
OPEN_ROWS = 32  # rows that still take documents; more of them waste less room


class Packer:
    """Collect documents into rows of one length, first fit."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.open: list[list[tuple[np.ndarray, np.ndarray]]] = []
        self.closed: list[list[tuple[np.ndarray, np.ndarray]]] = []

    def fits(self, ids: np.ndarray, weights: np.ndarray) -> bool:
        """Put one document into the first open row with room for it, if there is one."""
        for row in self.open:
            if sum(len(d[0]) for d in row) + len(ids) <= self.length:
                row.append((ids, weights))
                return True
        return False

    def start(self, ids: np.ndarray, weights: np.ndarray) -> None:
        """Begin a row; when too many are open, close the fullest."""
        self.open.append([(ids, weights)])
        if len(self.open) > OPEN_ROWS:
            filled = [sum(len(d[0]) for d in row) for row in self.open]
            self.closed.append(self.open.pop(int(np.argmax(filled))))

    def rows(self) -> dict[str, np.ndarray]:
        """Return ids (N, T), documents (N, T) and weights (N, T); free places weigh nothing."""
        rows = self.closed + self.open
        ids = np.zeros((len(rows), self.length), np.uint16)
        docs = np.full((len(rows), self.length), 255, np.uint8)
        weights = np.zeros((len(rows), self.length), np.float16)
        for r, row in enumerate(rows):
            at = 0
            for d, (part, weight) in enumerate(row):
                ids[r, at : at + len(part)] = part
                docs[r, at : at + len(part)] = d
                weights[r, at : at + len(part)] = weight
                at += len(part)
        return {"ids": ids, "documents": docs, "weights": weights}


def write_shard(out: Path, name: str, seed: str, n_tokens: int, evaluation: bool) -> int:
    """Generate documents until the shard has its tokens; return how many it has."""
    rng = random.Random(seed)
    sp = spm.SentencePieceProcessor(model_file=str(out / "tiny.model"))
    packers = [Packer(length) for length in ROW_LENGTHS]
    total = 0
    while total < n_tokens:
        ids, weights = encode(sp, document(rng, evaluation))
        if len(ids) > ROW_LENGTHS[-1]:
            continue
        if not any(p.fits(ids, weights) for p in reversed(packers)):
            next(p for p in packers if len(ids) <= p.length).start(ids, weights)
        total += len(ids)
    arrays = {f"{k}_{p.length}": v for p in packers for k, v in p.rows().items()}
    np.savez(out / f"{name}.npz", **arrays)
    room = sum(arrays[f"ids_{length}"].size for length in ROW_LENGTHS)
    log.info("%s: %d tokens, %.1f %% of the room", name, total, 100 * total / room)
    return total


def main() -> None:
    """Write the held-out rows and the training shards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("/tmp/tiny-train"))
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=2_000_000, help="tokens of a shard")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    with ProcessPoolExecutor(2) as pool:
        jobs = [
            pool.submit(write_shard, args.out, "held_out", f"held out {args.seed}", 100_000, True)
        ]
        for i in range(args.first, args.shards):
            job = (args.out, f"train_{i:02}", f"train {args.seed} {i}", args.tokens, False)
            jobs.append(pool.submit(write_shard, *job))
        log.info("%d tokens in all", sum(job.result() for job in jobs))


if __name__ == "__main__":
    main()
