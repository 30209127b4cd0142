#!/usr/bin/env python3
"""Say how far the native executor's logits are from float32's, beside llama.cpp's on the same file.

    python scripts/kl_llama_cpp.py A.gguf B.gguf … --llama-python OTHER/bin/python

For N random ids the reference executor computes logits in float32; the native executor and
llama.cpp (as it comes: repacking, its own choice of flash attention) compute them from activations
rounded to bytes. Told is the mean over positions of the Kullback-Leibler divergence of each from
the reference in nats, their ratio, the ratio of the medians, and how often the likeliest token is
the reference's. Once with all ids in one pass ("pass"), once id by id ("steps"): other kernels do
the work.

With experts the mean hangs on the few tokens that rounding sends to another expert; there the
medians say more, or many tokens. The reference is slow: use small files.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from compare.contestants import Setup, llama_worker, localmix_worker, say
from compare.protocol import Worker, WorkerFailed
from numpy.typing import NDArray

from localmix import settings
from localmix.engine.load import threads_asked_for
from localmix.errors import LocalmixError
from localmix.gguf import GGUFFile
from localmix.gguf.summary import quantization_label
from localmix.model.config import ModelConfig

Logits = NDArray[np.float32]  # (T, V)

HEAD = (
    "file",
    "format",
    "how",
    "KL localmix",
    "KL llama.cpp",
    "ratio",
    "of medians",
    "top-1 localmix",
    "top-1 llama.cpp",
)


@dataclass(frozen=True)
class Row:
    """One file, in one way of feeding.

    Attributes:
        ours, theirs: mean divergence from the reference, in nats.
        ratio: of the two; above 1 llama.cpp is nearer to the reference.
        ratio_of_medians: the same for the median position.
        ours_agrees, theirs_agrees: share of positions with the reference's likeliest token.
    """

    file: str
    quantization: str
    how: str
    ours: float
    theirs: float
    ratio: float
    ratio_of_medians: float
    ours_agrees: float
    theirs_agrees: float

    @classmethod
    def of(
        cls, names: tuple[str, str, str], reference: Logits, ours: Logits, theirs: Logits
    ) -> Row:
        """Compare logits; names: file, format, how."""
        a, b = divergences(reference, ours), divergences(reference, theirs)
        return cls(
            *names,
            ours=float(a.mean()),
            theirs=float(b.mean()),
            ratio=float(a.mean() / b.mean()),
            ratio_of_medians=float(np.median(a) / np.median(b)),
            ours_agrees=agreement(reference, ours),
            theirs_agrees=agreement(reference, theirs),
        )

    def cells(self) -> list[str]:
        """The columns of HEAD."""
        return [
            self.file,
            self.quantization,
            self.how,
            f"{self.ours:.3e}",
            f"{self.theirs:.3e}",
            f"{self.ratio:.2f}",
            f"{self.ratio_of_medians:.2f}",
            f"{self.ours_agrees:.1%}",
            f"{self.theirs_agrees:.1%}",
        ]


def main() -> int:
    """Parse, compute, write a row as soon as it is known."""
    args = parse()
    write(HEAD)
    write(["---"] * 3 + ["---:"] * (len(HEAD) - 3))
    found: list[Row] = []
    code = 0
    for path in args.models:
        try:
            rows = compare(path, args)
        except (WorkerFailed, LocalmixError) as exc:
            say(f"error: {path.name}: {exc}")
            code = 1
            continue
        for row in rows:
            write(row.cells())
        found += rows
    if args.json:
        records = [asdict(row) for row in found]
        args.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return code


def compare(path: Path, args: argparse.Namespace) -> list[Row]:
    """Compute a file's logits everywhere."""
    with GGUFFile.open(path) as file:
        config, label = ModelConfig.from_metadata(file.metadata), quantization_label(file)
    draw = random.Random(args.seed)
    setup = Setup(
        model=path.resolve(),
        llama_python=args.llama_python,
        threads=threads_asked_for(args.threads),
        isa=args.isa,
        with_resident=False,
        ids=[draw.randrange(config.vocab_size) for _ in range(args.tokens)],
        n_ctx={0: args.tokens},
        n_outputs=args.tokens,
    )
    ways = {"pass": False, "steps": True}
    with localmix_worker(setup, executor="reference") as worker:
        reference = logits(worker, one_by_one=False)
    with localmix_worker(setup) as worker:
        ours = {how: logits(worker, flag) for how, flag in ways.items()}
    with llama_worker(setup, args.repack) as worker:
        theirs = {how: logits(worker, flag, args.flash) for how, flag in ways.items()}
    return [Row.of((path.name, label, how), reference, ours[how], theirs[how]) for how in ways]


def logits(worker: Worker, one_by_one: bool, flash: int | None = None) -> Logits:
    """Ask a worker for the logits of all positions."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "logits.npy"
        request = {"test": "logits", "one_by_one": one_by_one, "path": str(path), "flash": flash}
        worker.ask(request)
        found: Logits = np.load(path)
    return found


def divergences(reference: Logits, other: Logits) -> NDArray[np.float64]:
    """KL(reference ‖ other) of each position, in nats: (T,)."""
    p, q = log_softmax(reference), log_softmax(other)
    return np.asarray((np.exp(p) * (p - q)).sum(axis=1), np.float64)


def log_softmax(values: Logits) -> NDArray[np.float64]:
    """Logarithms of probabilities; in float64, for divergences are small differences."""
    shifted = values.astype(np.float64) - values.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float64)


def agreement(reference: Logits, other: Logits) -> float:
    """Share of positions with the same likeliest token."""
    return float((reference.argmax(axis=1) == other.argmax(axis=1)).mean())


def write(cells: list[str] | tuple[str, ...]) -> None:
    """Write a line of the table."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def parse() -> argparse.Namespace:
    """Read the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("models", type=Path, nargs="+", metavar="MODEL", help="a .gguf file")
    add("--llama-python", required=True, metavar="PATH", help="Python that has llama-cpp-python")
    add("--tokens", type=int, default=64, metavar="N", help="random ids, at most 2048")
    add("--threads", type=int, metavar="N", help="default: physical cores")
    add("--isa", metavar="TIER", choices=settings.ISA_TIERS, help="tier of localmix's kernels")
    add("--repack", type=int, choices=(0, 1), help="of llama.cpp; default: as it comes")
    add("--flash", type=int, choices=(0, 1), help="of llama.cpp; default: as it comes")
    add("--seed", type=int, default=0, help="of the token ids")
    add("--json", type=Path, metavar="FILE", help="the same figures as data")
    args = parser.parse_args()
    if not 1 <= args.tokens <= 2048:
        parser.error("--tokens is from 1 to 2048: they go through in one pass")
    return args


if __name__ == "__main__":
    raise SystemExit(main())
