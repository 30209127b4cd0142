"""Makes the golden data of `tests/data/goldens/`: tiny random models and what they must answer.

Each variant of `goldens/variants.py` becomes two files:

    <name>.gguf   the model: seeded random weights, a 288-token SentencePiece-style vocabulary
    <name>.npz    what it answers:
        ids        (T,) int32       a random prompt, then its greedy continuation
        n_prompt   () int32         how many of them are the prompt
        logits     (T, V) float32   of Hugging Face transformers, on the CPU
        route      (L, T, A) int32  the experts each token visits, ascending; only with experts
        logits_off, route_off       the same without the sliding window; only where there is one
        long_ids, long_rows, long_logits    a longer sequence of the same kind, its last 8 tokens
                                    greedy: which rows were kept, and their logits

Run it from the repository's root, in an environment of its own, since torch is large:

    python -m venv goldens-env
    goldens-env/bin/pip install -r scripts/requirements-goldens.txt
    goldens-env/bin/python scripts/make_goldens.py

It takes a few seconds and writes the same bytes each time (logits may differ in the last bits on
another processor). CI never runs it: the files are committed. `--check` makes nothing; it
recomputes every file's logits in float64 NumPy, without torch, and compares.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from goldens.check import forward
from goldens.variants import VARIANTS, Variant

FOLDER = Path(__file__).parents[1] / "tests" / "data" / "goldens"

# float32 against float64: an angle of 500 radians alone may be off by 3e-5. Tests allow
# 1e-4.
CHECK_TOLERANCE = 5e-5

# Logits of a long sequence are kept where a chunk of 512 ends and a ring begins to turn; at its end
# angles of 1000 radians are off by too much in float32, so only the greedy choices are.
LONG_ROWS = list(range(504, 528))
N_LONG_GREEDY = 8


def make(variant: Variant, folder: Path) -> None:
    """Write the two files of `variant` into `folder`."""
    from goldens import oracle, writer

    model = oracle.build(variant)
    parameters = {name: p.detach().numpy() for name, p in model.named_parameters()}
    writer.write(folder / f"{variant.name}.gguf", variant, parameters)

    ids = oracle.make_ids(variant, model, variant.n_prompt, variant.n_tokens)
    arrays = {"ids": ids, "n_prompt": np.int32(variant.n_prompt)}
    if variant.n_long:
        long_ids = oracle.make_ids(variant, model, variant.n_long - N_LONG_GREEDY, variant.n_long)
        arrays["long_ids"] = long_ids
        arrays["long_rows"] = np.array(LONG_ROWS, dtype=np.int32)
        arrays["long_logits"] = oracle.logits(model, long_ids)[LONG_ROWS]
    for suffix in ("", "_off") if variant.sliding_window else ("",):
        if suffix:
            model.config.sliding_window = None
        arrays[f"logits{suffix}"] = oracle.logits(model, ids)
        if variant.n_experts:
            arrays[f"route{suffix}"] = oracle.route(variant, model, ids)
    np.savez_compressed(folder / f"{variant.name}.npz", **arrays)


def check(variant: Variant, folder: Path) -> float:
    """Return by how much NumPy's logits and the golden ones differ at most; inf if routes do."""
    path = folder / f"{variant.name}.gguf"
    with np.load(folder / f"{variant.name}.npz") as data:
        golden = dict(data)
    errors = []
    for suffix in ("", "_off") if variant.sliding_window else ("",):
        logits, route = forward(path, golden["ids"], windowed=not suffix)
        errors.append(np.abs(logits - golden[f"logits{suffix}"]).max())
        if route is not None and not np.array_equal(route, golden[f"route{suffix}"]):
            return float("inf")
    if variant.n_long:
        logits, _ = forward(path, golden["long_ids"])
        errors.append(np.abs(logits[golden["long_rows"]] - golden["long_logits"]).max())
    return float(max(errors))


def main() -> int:
    parser = argparse.ArgumentParser(description="Make or check the golden data.")
    parser.add_argument("--check", action="store_true", help="compare only; needs no torch")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files are")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    worst = 0.0
    for variant in VARIANTS:
        if not options.check:
            make(variant, options.folder)
        error = check(variant, options.folder)
        worst = max(worst, error)
        print(f"{variant.name:16} max |golden − NumPy| = {error:.1e}")
    return 0 if worst <= CHECK_TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
