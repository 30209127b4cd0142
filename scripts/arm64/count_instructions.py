"""Count the instructions of matrix products on Arm, ours and llama.cpp's: a table in Markdown.

    python scripts/arm64/count_instructions.py path/to/ggml

`ggml` is the folder of that name in llama.cpp's source (`pip download llama-cpp-python --no-deps
--no-binary llama-cpp-python` has it under vendor/llama.cpp). Its kernels are compiled by
`aarch64-linux-gnu-gcc`, ours by llvmlite; nothing is run. Without the folder only ours are counted.

Counted is what a loop over a row executes for 32 products of a weight and an activation. Loops in
loops are multiplied by how often they run. What runs once for a row is left out on both sides.
Instructions are not time: a load, an fma and a `movi` count alike.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.arm import for_both, only_function  # noqa: E402
from support.assembly import Function, Loop, functions_of  # noqa: E402
from support.kernels import K, matmul_of  # noqa: E402

FORMATS = ("Q4_0", "Q8_0", "Q4_K", "Q6_K")
MARCH = {"neon": "armv8.2-a+dotprod", "i8mm": "armv8.6-a+i8mm"}
PRODUCTS = {"smmla": 32}  # by an instruction; sdot: 16


@dataclass(frozen=True)
class Nest:
    """Where a kernel of llama.cpp has its dot products.

    Attributes:
        function: its name.
        n_products: of the innermost loop that has dot products, once through.
        trips: how often that loop runs in the one around it, that one in the next, and so on.
        unpacking: how often a loop without dot products inside it runs: scales of two groups.
    """

    function: str
    n_products: int
    trips: tuple[int, ...] = ()
    unpacking: int = 1


ROW = {
    "Q4_0": Nest("ggml_vec_dot_q4_0_q8_0", 64),
    "Q8_0": Nest("ggml_vec_dot_q8_0_q8_0", 64),
    "Q4_K": Nest("ggml_vec_dot_q4_K_q8_K", 256),
    "Q6_K": Nest("ggml_vec_dot_q6_K_q8_K", 256),
}
"""One row as it lies in the file, one column."""

REPACKED = {
    # what `ggml_repack_get_optimal_repack_type` chooses: one column, then four
    ("neon", "Q4_0"): (Nest("q4_0_4x4_q8_0", 128), Nest("q4_0_4x4_q8_0", 2048)),
    ("i8mm", "Q4_0"): (Nest("q4_0_4x8_q8_0", 128), Nest("q4_0_4x8_q8_0", 2048)),
    ("neon", "Q8_0"): (Nest("q8_0_4x4_q8_0", 128), Nest("q8_0_4x4_q8_0", 512)),
    ("i8mm", "Q8_0"): (Nest("q8_0_4x8_q8_0", 128), Nest("q8_0_4x8_q8_0", 512)),
    ("neon", "Q4_K"): (Nest("q4_K_8x4_q8_K", 512, (4,), 2), Nest("q4_K_8x4_q8_K", 2048, (4,), 2)),
    ("i8mm", "Q4_K"): (Nest("q4_K_8x8_q8_K", 512, (4,), 2), Nest("q4_K_8x8_q8_K", 2048, (4,), 2)),
    ("neon", "Q6_K"): (Nest("q6_K_8x4_q8_K", 256, (4, 2)), Nest("q6_K_8x4_q8_K", 1024, (4, 2))),
    ("i8mm", "Q6_K"): (Nest("q6_K_8x8_q8_K", 256, (4, 2)), Nest("q6_K_8x8_q8_K", 1024, (4, 2))),
}
"""Rows interleaved in memory: `ggml_gemv_…` and `ggml_gemm_…`."""


def products(loop: Loop) -> int:
    """Products of a weight and an activation, once through a loop."""
    return sum(PRODUCTS.get(i.name, 16) for i in loop.body if i.kind == "dot")


def per_32_products(function: Function, innermost: Loop, trips: tuple[int, ...] = (), more=1):
    """Instructions executed for 32 products, by a loop and those around it."""
    around = [
        loop
        for loop in function.loops
        if set(innermost.places) < set(loop.places) and products(loop) == products(innermost)
    ]
    nest = [innermost, *sorted(around, key=lambda loop: len(loop.body))]
    unpacking = [
        len(loop.body)
        for loop in function.loops
        if not loop.n_dots and set(loop.places) < set(innermost.places)
    ]
    count, n_products = len(innermost.body) + (more - 1) * sum(unpacking), products(innermost)
    for inner, outer, times in zip(nest, nest[1:], trips, strict=False):
        count = count * times + len(outer.body) - len(inner.body)
        n_products *= times
    return 32 * count / n_products


def of_ours() -> dict[tuple[str, str], tuple[float, float, float]]:
    """By tier and format: one column, a register tile, and expanding 32 weights."""
    found = {}
    for label, code in for_both(map(matmul_of, FORMATS)).items():
        for name in FORMATS:
            function = only_function(code[matmul_of(name)])
            row = next(x for x in function.innermost if x.kinds["prefetch"] and x.n_dots == 16)
            tile = next(x for x in function.innermost if x.n_dots > 16 and not x.kinds["prefetch"])
            expand = max((x for x in function.innermost if not x.n_dots), key=lambda x: len(x.body))
            n_weights = 4 * (256 if name in K else 32)
            found[label, name] = (
                per_32_products(function, row),
                per_32_products(function, tile, (8,) if name in K else ()),
                32 * len(expand.body) / n_weights,
            )
    return found


def of_theirs(ggml: Path) -> dict[tuple[str, str], tuple[float, float, float]]:
    """By tier and format: one column from the file, one from repacked rows, four from those."""
    found = {}
    for tier, march in MARCH.items():
        functions = _compiled(ggml, march)
        for name in FORMATS:
            gemv, gemm = REPACKED[tier, name]
            nests = (
                ROW[name],
                Nest(f"ggml_gemv_{gemv.function}", gemv.n_products, gemv.trips, gemv.unpacking),
                Nest(f"ggml_gemm_{gemm.function}", gemm.n_products, gemm.trips, gemm.unpacking),
            )
            found[tier, name] = tuple(_count(functions, nest) for nest in nests)
    return found


def _count(functions: dict[str, Function], nest: Nest) -> float:
    function = functions[nest.function]
    loops = [loop for loop in function.loops if products(loop) == nest.n_products]
    innermost = min(loops, key=lambda loop: len(loop.body))
    return per_32_products(function, innermost, nest.trips, nest.unpacking)


def _compiled(ggml: Path, march: str) -> dict[str, Function]:
    """Functions of the two files that have the kernels."""
    folder = ggml / "src" / "ggml-cpu"
    include = [f"-I{folder}", f"-I{folder.parent}", f"-I{ggml / 'include'}"]
    found = {}
    for source, compiler in (("quants.c", "gcc"), ("repack.cpp", "g++")):
        standard = "-std=gnu11" if compiler == "gcc" else "-std=gnu++17"
        with tempfile.TemporaryDirectory() as out:
            made = f"{out}/kernels.o"
            flags = ["-O3", "-DNDEBUG", "-D_GNU_SOURCE", standard, f"-march={march}", *include]
            file = str(folder / "arch" / "arm" / source)
            _run(f"aarch64-linux-gnu-{compiler}", *flags, "-w", "-c", file, "-o", made)
            found |= functions_of(_run("aarch64-linux-gnu-objdump", "-d", made))
    return found


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def table(ours, theirs) -> str:
    """The counts as Markdown."""
    lines = [
        "| tier | format | one column | llama.cpp, from the file | repacked"
        " | many columns | llama.cpp, repacked | expanding 32 weights |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (tier, name), (row, tile, expand) in ours.items():
        from_file, gemv, gemm = (f"{x:.1f}" for x in theirs[tier, name]) if theirs else "–––"
        cells = f"{row:.1f} | {from_file} | {gemv} | {tile:.1f} | {gemm} | {expand:.0f}"
        lines.append(f"| {tier} | {name} | {cells} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Print the table."""
    theirs = of_theirs(Path(arguments[0])) if arguments else None
    sys.stdout.write(table(of_ours(), theirs) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
