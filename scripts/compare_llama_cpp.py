#!/usr/bin/env python3
"""Measure localmix beside llama.cpp on one file, in alternating slices of about a second.

    python scripts/compare_llama_cpp.py MODEL.gguf --llama-python OTHER/bin/python [--depth 4096]

OTHER is an environment that has llama-cpp-python; llama.cpp is measured with and without repacking
and with and without flash attention, and compared with as it comes and at its best. Everyone gets
the same file, token ids, number of threads, float16 cache and chunks of 512 tokens. The file is
forgotten by the system first, as if the machine had just started.

A Markdown table goes to stdout, progress to stderr. A ratio whose rounds disagree by more than
--max-spread (interquartile range / median) is not told.

Exit codes: 0 done, 1 a contestant failed, 2 wrong usage, 3 a ratio to llama.cpp was too noisy.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from compare.contestants import Field, Setup, say, started
from compare.protocol import WorkerFailed
from compare.report import as_markdown, rows
from compare.rounds import Test, measure

from localmix import settings, units
from localmix.bench import limits
from localmix.bench.cost import token_cost
from localmix.cores import cores
from localmix.engine.load import threads_asked_for
from localmix.errors import LocalmixError
from localmix.gguf import GGUFFile
from localmix.gguf.summary import quantization_label
from localmix.model.config import ModelConfig
from localmix.system import cpu_name

TOO_NOISY = 3
PASSES_OF_A_BATCH = 16
ENVIRONMENT = ("GGML_", "OMP_", "GOMP_", "NUMPY_", "LOCALMIX_ISA")
"""Variables with these beginnings change what is measured; they are told."""


def main() -> int:
    """Parse, measure, write."""
    args = parse()
    try:
        with GGUFFile.open(args.model) as file:
            forget_pages(args.model)
            return compare(args, file)
    except (WorkerFailed, LocalmixError) as exc:
        say(f"error: {exc}")
        return 1


def forget_pages(path: Path) -> None:
    """Let the system forget what it has cached of a file, as if the machine had just started.

    Linux reads a file in large pages, but caches it in small ones when it was written piece by
    piece, as a file that was just made is: everybody's speed on the mapped file depends on it.
    """
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def compare(args: argparse.Namespace, file: GGUFFile) -> int:
    """Run everything on a file."""
    config = ModelConfig.from_metadata(file.metadata).with_window("off")
    tests = tests_of(args)
    n_ids = max(test.n_positions for test in tests)
    draw = random.Random(args.seed)
    deep, short = [test for test in tests if test.depth], [test for test in tests if not test.depth]
    setup = Setup(
        model=args.model.resolve(),
        llama_python=args.llama_python,
        threads=threads_asked_for(args.threads),
        isa=args.isa or settings.isa(),
        with_resident=args.resident,
        ids=[draw.randrange(config.vocab_size) for _ in range(n_ids)],
        n_ctx={
            depth: max(test.n_positions for test in group)
            for depth, group in ((0, short), (args.depth, deep))
            if group
        },
        n_outputs=max(args.batch, 1),
        repack=chosen(args.repack),
        flash=chosen(args.flash),
    )
    cost = token_cost(file.tensors, config)
    decode_bytes = {
        test.name: cost.decode_bytes(test.depth + test.tokens / 2)
        for test in tests
        if test.kind == "decode"
    }
    with started(setup) as field:
        samples = measure(field, tests, args.rounds)
        head = about(args, file, setup, field)
        memory = {who.name: who.worker.ask({"test": "memory"}) for who in field.contestants}
        notes = [*field.notes, *notes_on_memory(memory)]
        cache = limits.cache_bytes() or limits.CACHE_BYTES_GUESS
        if cost.weight_bytes <= cache:
            notes.append("caches hold the weights: no share of a plain read is stated")
            decode_bytes = {}
        notes += [
            f"plain read in the rounds of {name}: {min(gb_s):.1f}-{max(gb_s):.1f} GB/s"
            for name, gb_s in samples.read_gb_s.items()
        ]
        found = rows(samples, tests, field.contestants, decode_bytes, args.max_spread / 100)
    sys.stdout.write(as_markdown(list(head.values()), found, notes))
    if args.json:
        record = {
            "about": head,
            "rows": [row.record() for row in found],
            "read_gb_s": samples.read_gb_s,
            "memory": memory,
            "notes": notes,
        }
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return TOO_NOISY if any(row.is_refused for row in found) else 0


def tests_of(args: argparse.Namespace) -> list[Test]:
    """The tests that were asked for."""
    tests = []
    if args.prefill:
        tests.append(Test("prefill", args.prefill))
    if args.decode:
        tests.append(Test("decode", args.decode))
        if args.depth:
            tests.append(Test("decode", args.decode, depth=args.depth))
    if args.batch:
        tests.append(Test("batch", PASSES_OF_A_BATCH * args.batch, size=args.batch))
    return tests


def about(args: argparse.Namespace, file: GGUFFile, setup: Setup, field: Field) -> dict[str, str]:
    """What was measured where, a line each."""
    ours = next(who.worker.about for who in field.contestants if who.is_ours)
    theirs = next(who.worker.about for who in field.contestants if not who.is_ours)
    versions = ", ".join(f"{name} {number}" for name, number in ours["versions"].items())
    variables = [
        f"{name}={value}" for name, value in os.environ.items() if name.startswith(ENVIRONMENT)
    ]
    return {
        "model": f"{args.model.name}, {quantization_label(file)}, {units.size(file.size_bytes)}",
        "machine": f"{cpu_name()}, {cores()}, --threads {setup.threads},"
        f" {platform.system()}, Python {platform.python_version()}",
        "localmix": f"{versions}, commit {commit()}, tier {ours['isa']}",
        "llama.cpp": f"llama-cpp-python {theirs['version']}: {' '.join(theirs['features'])}",
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, {args.rounds} rounds",
        "command": f"`{command(args)}`"
        + (f" with {' '.join(sorted(variables))}" if variables else ""),
    }


def command(args: argparse.Namespace) -> str:
    """The command line, without this machine's folders."""
    names = {str(args.model): args.model.name, args.llama_python: "PYTHON"}
    words = [names.get(word, word) for word in sys.argv[1:]]
    if args.json:
        words = [args.json.name if word == str(args.json) else word for word in words]
    return shlex.join(["scripts/compare_llama_cpp.py", *words])


def commit() -> str:
    """Which state of the repository was measured, as far as git tells."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        name = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    # Of the package alone: a changed document or script measures the same.
    code = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "../localmix"], check=False)
    return name + (" with changes" if code.returncode else "")


def notes_on_memory(memory: dict[str, dict[str, int]]) -> list[str]:
    """Private memory of each process; contestants of one process share it."""
    found = {name: sizes["private_bytes"] for name, sizes in memory.items() if sizes}
    if not found:
        return []
    told = ", ".join(f"{name} {units.size(n_bytes)}" for name, n_bytes in found.items())
    return [f"private memory at the end (llama.cpp's fa 0 and 1 share a process): {told}"]


def chosen(text: str) -> tuple[int, ...]:
    """Which values of a setting are measured."""
    return (0, 1) if text == "both" else (int(text),)


def parse() -> argparse.Namespace:
    """Read the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", type=Path, help="a .gguf file")
    add("--llama-python", required=True, metavar="PATH", help="Python that has llama-cpp-python")
    add("--threads", type=int, metavar="N", help="of everyone; default: physical cores")
    add("--isa", metavar="TIER", choices=settings.ISA_TIERS, help="tier of localmix's kernels")
    add("--resident", action="store_true", help="localmix once more, with resident weights")
    add("--repack", choices=("0", "1", "both"), default="both", help="of llama.cpp")
    add("--flash", choices=("0", "1", "both"), default="both", help="of llama.cpp")
    add("--prefill", type=int, default=512, metavar="N", help="tokens; 0: no such test")
    add("--decode", type=int, default=32, metavar="N", help="tokens; 0: no such test")
    add("--depth", type=int, default=0, metavar="D", help="decode once more after D tokens")
    add("--batch", type=int, default=4, metavar="B", help="tokens of a pass; 0: no such test")
    add("--rounds", type=int, default=5, metavar="N", help="at least 3")
    add("--max-spread", type=float, default=10.0, metavar="PERCENT", help="of a ratio's rounds")
    add("--seed", type=int, default=0, help="of the token ids")
    add("--json", type=Path, metavar="FILE", help="everything, also each round")
    args = parser.parse_args()
    if args.rounds < 3:
        parser.error("a spread needs --rounds 3 at least")
    if min(args.prefill, args.decode, args.depth, args.batch) < 0:
        parser.error("a number of tokens cannot be negative")
    if not (args.prefill or args.decode or args.batch):
        parser.error("there is nothing to measure")
    return args


if __name__ == "__main__":
    raise SystemExit(main())
