"""`localmix warmup`: compiles kernels before a model needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmix import settings, units
from localmix.cli.arguments import one_of
from localmix.cli.options import KvType
from localmix.cli.progress import shown_compiling
from localmix.cli.terminal import Streams, write_fields

if TYPE_CHECKING:
    from localmix.kernels.library import OnCompile

WARMUP_EXAMPLES = """
localmix warmup
localmix warmup mistral
localmix warmup mistral --kv q8_0
"""

COMMON_FILES = "Q4_0, Q4_K_M, Q5_K_M, Q6_K and Q8_0"
_COMMON_FORMATS = ("Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16", "F32")
"""Block formats that matrices have in such files: the router of a mixture is of floats."""


def common_kernels(kv: str) -> list[str]:
    """Name every kernel that the common files need, `tiny` among them, and that of `bench`."""
    from localmix.bench.limits import PEAK_KERNELS
    from localmix.execute.team import KERNELS

    products = [f"matmul_{name.lower()}" for name in _COMMON_FORMATS]
    around = ["quantize", "pack_32", "pack_256", "pack_floats", "rotate", "route", "combine"]
    return [*products, *around, f"place_{kv}", f"attend_{kv}", *KERNELS, *PEAK_KERNELS]


def warmup(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help=f"A name, or a .gguf file; without: files of {COMMON_FILES}."
        ),
    ] = None,
    kv: KvType = None,
) -> None:
    """Compile the kernels that models need, now.

    Kernels are compiled once for a CPU and kept. Other commands do it when a model needs some that
    are not there, so this only saves the first of them the time.
    """
    one_of("--kv", kv, settings.KV_TYPES)
    kv = kv or settings.KV_TYPES[0]
    streams = Streams.standard()
    n_compiled = 0
    with shown_compiling(streams.stderr) as show:

        def on_compile(n_done: int, n_total: int) -> None:
            nonlocal n_compiled
            n_compiled = n_total
            show(n_done, n_total)

        tier, compile_s = _compile(model, kv, on_compile)
    done = f"{n_compiled} compiled in {units.seconds(compile_s)}" if n_compiled else "all were here"
    fields = [
        ("for", f"{model or f'files of {COMMON_FILES}'}, cache {kv}"),
        ("tier", tier),
        ("kernels", done),
        ("kept in", str(settings.cache_folder() / "kernels")),
    ]
    write_fields(fields, streams.stdout)


def _compile(model: str | None, kv: str, on_compile: OnCompile) -> tuple[str, float]:
    """Compile what is missing -> the tier, and the seconds it took."""
    if model is None:
        from localmix.kernels import library

        loaded = library.load(common_kernels(kv), on_compile)
        return loaded.machine.tier.name, loaded.compile_s
    import localmix

    options: dict[str, Any] = {"kv": kv, "on_compile": on_compile}
    with localmix.load(model, **options) as opened:
        return str(opened.executor.isa), opened.executor.jit_s
