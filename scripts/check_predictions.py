#!/usr/bin/env python3
"""How well `fit` predicts: its tokens per second beside those that `bench` measures.

    scripts/check_predictions.py FILE.gguf… [--rounds 3]

Each round asks `fit` with a memory of its own that knows the limits alone, then measures; after
that `fit` is asked again, knowing what `bench` has reached. The table is Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from localmix import settings
from localmix.system import cpu_name


def main() -> int:
    """Write a row per file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.gguf")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{cpu_name()}, medians of {arguments.rounds} rounds; predicted / measured tok/s\n")
    print("| file | decode | ± 25 % | prefill 512 | ± 25 % | decode, known | prefill, known |")
    print("|---|---|---|---|---|---|---|")
    for path in arguments.files:
        rounds = [one_round(path) for _ in range(arguments.rounds)]
        cells = []
        for kind in ("decode", "prefill"):
            told, got = (median(rounds, which, kind) for which in ("told", "measured"))
            cells += [f"{told:.1f} / {got:.1f}", f"{100 * (told / got - 1):+.0f} %"]
        for kind in ("decode", "prefill"):
            known, got = (median(rounds, which, kind) for which in ("known", "measured"))
            cells.append(f"{100 * (known / got - 1):+.0f} %")
        print(f"| {path.stem} | {' | '.join(cells)} |", flush=True)
    return 0


def one_round(path: Path) -> dict[str, dict[str, float]]:
    """Predict, measure, and predict again -> tokens per second."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        kernels = settings.cache_folder() / "kernels"
        if kernels.is_dir():
            shutil.copytree(kernels, cache / "kernels")
        told = fit(path, cache)
        run = localmix(cache, "bench", str(path), "-p", "512", "-n", "64", "-r", "3", "--json")
        measured = {kind: run[kind]["tok_s"]["median"] for kind in ("decode", "prefill")}
        return {"told": told, "measured": measured, "known": fit(path, cache)}


def fit(path: Path, cache: Path) -> dict[str, float]:
    """Ask for a prediction."""
    record = localmix(cache, "fit", str(path), "--json")
    return {kind: record[f"{kind}_tok_s"] for kind in ("decode", "prefill")}


def localmix(cache: Path, *command: str) -> dict:
    """Run a command that writes JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "localmix", *command],
        env={**os.environ, "LOCALMIX_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def median(rounds: list[dict[str, dict[str, float]]], which: str, kind: str) -> float:
    """The median of one figure."""
    return statistics.median(one[which][kind] for one in rounds)


if __name__ == "__main__":
    sys.exit(main())
