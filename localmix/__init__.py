"""localmix: a CPU-first runner for quantized language models in readable Python.

    import localmix

    with localmix.load("tiny") as model:
        for piece in model.generate("Once upon a time", max_tokens=64):
            ...  # piece.text, piece.token, piece.logprob

Importing this package is light: NumPy, Numba and huggingface_hub wait until they are needed.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from localmix.errors import (
    ChecksumMismatch,
    ContextFull,
    DownloadFailed,
    InvalidGGUF,
    LocalmixError,
    ModelNotFound,
    NotEnoughDisk,
    NotEnoughMemory,
    NotPulled,
    TemplateError,
    UnsupportedModel,
    UnsupportedQuant,
)

if TYPE_CHECKING:
    from localmix.advice.ranking import Recommendation
    from localmix.engine import Model

__version__ = "0.1.0"

__all__ = [
    "ChecksumMismatch",
    "ContextFull",
    "DownloadFailed",
    "InvalidGGUF",
    "LocalmixError",
    "ModelNotFound",
    "NotEnoughDisk",
    "NotEnoughMemory",
    "NotPulled",
    "TemplateError",
    "UnsupportedModel",
    "UnsupportedQuant",
    "__version__",
    "load",
    "quant",
    "recommend",
]


def load(
    name: str | os.PathLike[str],
    n_ctx: int | Literal["auto"] | None = None,
    n_threads: int | None = None,
    kv: Literal["f16", "q8_0", "f32"] = "f16",
    weights: Literal["mapped", "resident"] = "mapped",
    sliding_window: Literal["auto", "off"] | int = "auto",
    n_experts_used: int | None = None,
    executor: Literal["native", "reference"] = "native",
    expert_memory: int | str | None = None,
    power: int = 100,
    on_compile: Callable[[int, int], None] | None = None,
) -> Model:
    """Load a model.

    Args:
        name: "tiny", "mistral", "hf.co/OWNER/REPO:Q4_K_M", … or the path of a .gguf file.
        n_ctx: tokens; None: what the file says, at most 4096; "auto": as many as the model knows
            and free memory holds, which is what the chat does.
        n_threads: worker threads; None: LOCALMIX_THREADS, else what `localmix tune` found best,
            else one per fast core.
        kv: type of the cached keys and values; the reference executor always keeps float32.
        weights: "mapped" reads them in place; "resident" copies them into large pages, which
            decodes faster and takes private memory.
        sliding_window: "auto" (what the model was trained with), "off", or a number of tokens.
        n_experts_used: experts per token; None: what the file says.
        executor: "native", compiled kernels; "reference", float32 NumPy, slow and obvious.
        expert_memory: bytes, or a size such as "6GB", for experts of a mixture that is larger than
            memory: they are read from the file when they are chosen. None: as free memory asks.
        power: percent of the time that work may take, 1 to 100: less keeps a laptop cool.
        on_compile: called with (done, total) while kernels are compiled, once for a CPU.

    Raises:
        LocalmixError: or one of its subclasses, each with a message and a hint.
    """
    from localmix import settings
    from localmix.checks import size
    from localmix.engine import load_file
    from localmix.registry.resolve import resolve

    path = Path(name) if isinstance(name, os.PathLike) else resolve(name, settings.home())
    return load_file(
        path,
        n_ctx=n_ctx,
        n_threads=n_threads,
        kv=kv,
        weights=weights,
        sliding_window=sliding_window,
        n_experts_used=n_experts_used,
        executor=executor,
        expert_memory=None if expert_memory is None else size("expert_memory", expert_memory),
        power=power,
        on_compile=on_compile,
    )


def recommend(
    task: str = "conversation",
    response: str = "real-time",
    domain: str = "general",
    compute: str | None = None,
) -> list[Recommendation]:
    """Rank the models of the catalog for a task and this machine, the best first.

    Args:
        task: "conversation", "generation", "qa", "reasoning" or "code".
        response: "real-time", somebody reads along; "batch", nobody waits.
        domain: "general", what everybody knows; "specific", what stands in your own documents.
        compute: "low", "medium" or "high": a typical machine instead of this one, which is measured
            once, for about a second. No network is asked.

    Raises:
        LocalmixError: an argument is none of these, or a catalog cannot be read.
    """
    from localmix import settings
    from localmix.advice.candidates import Wishes
    from localmix.advice.this_machine import advise

    wishes = Wishes(task, response, domain, compute)
    return advise(wishes, settings.home(), settings.cache_folder())


def __getattr__(name: str) -> Any:
    """Import `localmix.quant` when it is first asked for."""
    if name == "quant":
        return importlib.import_module("localmix.quant")
    raise AttributeError(f"module 'localmix' has no attribute {name!r}")
