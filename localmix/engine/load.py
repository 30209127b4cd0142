"""From a path to a model that can answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from localmix import settings
from localmix.checks import whole
from localmix.cores import n_threads_by_default
from localmix.engine import memory, tuned
from localmix.engine.model import Model
from localmix.engine.tuned import Tuned
from localmix.errors import InvalidGGUF, LocalmixError
from localmix.execute import Executor
from localmix.gguf import GGUFFile, Tensor, resident
from localmix.model.config import ModelConfig
from localmix.model.ops import Plan
from localmix.model.transformer import describe
from localmix.model.weights import Weights, is_of_experts
from localmix.text.tokenizer import Tokenizer

OnCompile = Callable[[int, int], None]
"""Called with (kernels done, kernels to compile) while they are, once for a CPU."""

DEFAULT_CONTEXT = 4096
"""Tokens, unless more is asked for or the model has fewer.

A 7B model's cache of 32k tokens would take 4 GiB in f16.
"""


def load_file(
    path: Path,
    *,
    n_ctx: int | Literal["auto"] | None = None,
    n_threads: int | None = None,
    kv: str = "f16",
    weights: str = "mapped",
    sliding_window: str | int = "auto",
    n_experts_used: int | None = None,
    executor: str = "native",
    expert_memory: int | None = None,
    power: int = 100,
    on_compile: OnCompile | None = None,
    choices: Tuned | None = None,
) -> Model:
    """Load a GGUF file; see `localmix.load` for the options.

    Args:
        choices: threads, tile and chunk, instead of what `localmix tune` found or is usual.

    Raises:
        InvalidGGUF, UnsupportedModel, UnsupportedQuant: the file cannot be run.
        LocalmixError: an option makes no sense.
    """
    start = time.perf_counter()
    _check_options(n_ctx, n_threads, kv, weights, executor, power)
    file = GGUFFile.open(path)
    try:
        config = ModelConfig.from_metadata(file.metadata)
        config = config.with_window(sliding_window).with_experts_used(n_experts_used)
        tokenizer = Tokenizer.from_metadata(file.metadata)
        if tokenizer.n_vocab > config.vocab_size:
            raise InvalidGGUF(
                f"the vocabulary has {tokenizer.n_vocab} pieces, the model {config.vocab_size}",
                "the file was converted wrongly; download or convert it again",
            )
        n_ctx = _context(n_ctx, file, config, kv)
        if expert_memory is None and weights == "mapped" and executor == "native":
            expert_memory = memory.for_experts(file.tensors, config, n_ctx, kv)
        elif expert_memory is not None:
            expert_memory = _asked_for(expert_memory, file, config, weights, executor)
        tensors: Mapping[str, Tensor] = file.tensors
        if weights == "resident":
            tensors = resident(tensors)
        elif expert_memory is not None:
            dense = {name: t for name, t in tensors.items() if not is_of_experts(name)}
            tensors = {**tensors, **resident(dense)}
        plan = describe(config, Weights.from_tensors(tensors, config))
        if choices is None:
            shape = tuned.shape_of(config, file.tensors)
            choices = _choices(n_threads, shape, executor)
        made = _executor(executor, plan, choices, kv, expert_memory, power, on_compile)
        model = Model(file, config, made, tokenizer, n_ctx, choices.chunk_tokens)
    except BaseException:
        file.close()
        raise
    model.load_s = time.perf_counter() - start
    return model


def _context(
    n_ctx: int | Literal["auto"] | None, file: GGUFFile, config: ModelConfig, kv: str
) -> int:
    """Choose the positions of the cache."""
    if n_ctx == "auto":
        return memory.context_that_fits(file.tensors, config, kv, DEFAULT_CONTEXT)
    return min(config.context_length, DEFAULT_CONTEXT) if n_ctx is None else int(n_ctx)


def _asked_for(
    n_bytes: int, file: GGUFFile, config: ModelConfig, weights: str, executor: str
) -> int | None:
    """Check a size for experts; None if all of them fit into it, so that nothing need be read."""
    hint = "leave --expert-memory away"
    if not config.n_experts:
        raise LocalmixError("the model has no experts to choose from", hint)
    if weights != "mapped" or executor != "native":
        raise LocalmixError(
            "experts are read as they are chosen only by the native executor, from a mapped file",
            hint,
        )
    n_bytes = whole("expert_memory", n_bytes, 1)
    return None if memory.experts_bytes(file.tensors) <= n_bytes else n_bytes


def threads_asked_for(n_threads: int | None = None) -> int:
    """Give the threads of a model that was never tuned: as asked for, else one per fast core.

    Raises:
        LocalmixError: LOCALMIX_THREADS makes no sense.
    """
    return n_threads or settings.n_threads() or n_threads_by_default()


def _choices(n_threads: int | None, shape: str, executor: str) -> Tuned:
    """Choose how to work: as was asked for, else as was found best, else as is usual."""
    n_threads, found = n_threads or settings.n_threads(), None
    if executor == "native":
        from localmix.kernels.library import this_machine

        found = tuned.read(settings.cache_folder(), this_machine(), shape)
    if found is None:
        n_threads = threads_asked_for(n_threads)
        return Tuned(n_threads, n_threads)
    if n_threads is not None:
        return replace(found, n_threads=n_threads, n_threads_few=n_threads)
    return found


def _executor(
    name: str,
    plan: Plan,
    choices: Tuned,
    kv: str,
    expert_memory: int | None,
    power: int,
    on_compile: OnCompile | None,
) -> Executor:
    """Make the executor of that name; never another one in its place."""
    if name == "reference":
        from localmix.execute.reference import ReferenceExecutor

        return ReferenceExecutor(plan, choices.n_threads)
    from localmix.execute.native import NativeExecutor

    return NativeExecutor(
        plan,
        choices.n_threads,
        kv,
        on_compile,
        expert_memory,
        n_threads_few=choices.n_threads_few,
        tile=choices.tile,
        power=power,
    )


def _check_options(
    n_ctx: int | str | None, n_threads: int | None, kv: str, weights: str, executor: str, power: int
) -> None:
    """Raise a LocalmixError for an option outside its range."""
    if n_ctx is not None and n_ctx != "auto":
        whole("n_ctx", n_ctx, 1)
    if n_threads is not None:
        whole("n_threads", n_threads, 1, settings.MAX_THREADS)
    whole("power", power, 1, 100)
    if power < 100 and executor != "native":
        raise LocalmixError("only the native executor can work at less power", "leave power away")
    settings.isa()  # nonsense in LOCALMIX_ISA is said at once, not when kernels are chosen
    for name, value, allowed in (
        ("cache type", kv, settings.KV_TYPES),
        ("way to hold weights", weights, settings.WEIGHTS_MODES),
        ("executor", executor, settings.EXECUTORS),
    ):
        if value not in allowed:
            raise LocalmixError(
                f"there is no {name} {value!r}", f"use one of: {', '.join(allowed)}"
            )
