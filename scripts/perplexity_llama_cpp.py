#!/usr/bin/env python3
"""Hold `localmix perplexity` against llama.cpp on the same files.

    python scripts/perplexity_llama_cpp.py TEXT A.gguf B.gguf … --llama-python OTHER/bin/python

llama.cpp cuts the text into its own ids, and its logits go through the formulas of llama-perplexity
in `compare/perplexity_worker.py`, which knows nothing of localmix. Told are both perplexities, how
far apart they are in percent, and whether the ids are the same. llama.cpp knows no sliding window
in files of this architecture, so localmix's is off.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from compare.contestants import say
from compare.protocol import Message, Worker, WorkerFailed

import localmix
from localmix import settings
from localmix.bench.perplexity import chunks_of, measure
from localmix.cli.perplexity import read_text
from localmix.engine.load import threads_asked_for
from localmix.errors import LocalmixError

HEAD = ("file", "ctx", "chunks", "localmix", "llama.cpp", "apart", "same ids")


def main() -> int:
    """Parse, compute, write a row as soon as it is known."""
    args = parse()
    sys.stdout.write(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}\n")
    code = 0
    for path in args.models:
        try:
            cells, is_near = compare(path, args)
        except (WorkerFailed, LocalmixError) as exc:
            say(f"error: {path.name}: {exc}")
            code = 1
            continue
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
        sys.stdout.flush()
        code = code if is_near else 1
    return code


def compare(path: Path, args: argparse.Namespace) -> tuple[list[str], bool]:
    """Compute both -> a row, and whether they are as near as asked."""
    say(f"{path.name}: localmix")
    with localmix.load(
        path,
        n_ctx=args.ctx,
        n_threads=args.threads,
        sliding_window="off",
        executor=args.executor,
    ) as model:
        text = read_text(str(args.text), sys.stdin)
        ids = model.tokenize(text)
        *_, ours = measure(model, chunks_of(model, text, args.ctx, args.chunks))
    say(f"{path.name}: llama.cpp")
    theirs = llama(path, args)
    apart = ours.perplexity.value / theirs["perplexity"] - 1
    same_ids = ids == theirs["ids"]
    cells = [
        path.name,
        str(args.ctx),
        f"{ours.n_chunks} / {theirs['n_chunks']}",
        f"{ours.perplexity.value:.4f} ± {ours.perplexity.error:.4f}",
        f"{theirs['perplexity']:.4f} ± {theirs['uncertainty']:.4f}",
        f"{apart:+.3%}",
        "yes" if same_ids else "no",
    ]
    return cells, same_ids and abs(apart) <= args.within / 100


def llama(path: Path, args: argparse.Namespace) -> Message:
    """What llama.cpp finds."""
    config = {
        "model": str(path.resolve()),
        "threads": threads_asked_for(args.threads),
        "n_outputs": args.ctx,
        "repack": args.repack,
    }
    request = {"path": str(args.text.resolve()), "n_ctx": args.ctx, "n_chunks": args.chunks}
    with Worker("llama.cpp", args.llama_python, "perplexity_worker", config) as worker:
        return worker.ask(request)


def parse() -> argparse.Namespace:
    """Read the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("text", type=Path, metavar="TEXT", help="a text in UTF-8")
    add("models", type=Path, nargs="+", metavar="MODEL", help="a .gguf file")
    add("--llama-python", required=True, metavar="PATH", help="Python that has llama-cpp-python")
    add("--ctx", type=int, default=512, metavar="N", help="ids of a chunk, at most 2048")
    add("--chunks", type=int, metavar="N", help="only the first N")
    add("--threads", type=int, metavar="N", help="default: physical cores")
    add("--executor", choices=settings.EXECUTORS, default="native", help="of localmix")
    add("--repack", type=int, choices=(0, 1), help="of llama.cpp; default: as it comes")
    add("--within", type=float, default=0.5, metavar="PERCENT", help="more is a failure (0.5)")
    args = parser.parse_args()
    if not 3 <= args.ctx <= 2048:
        parser.error("--ctx is from 3 to 2048: a chunk goes through llama.cpp in one pass")
    return args


if __name__ == "__main__":
    raise SystemExit(main())
