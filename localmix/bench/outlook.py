"""What to expect of a model on this machine, told from its header: memory and speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from localmix.bench.cost import TokenCost, token_cost
from localmix.bench.limits import Machine
from localmix.bench.predict import (
    PROMPT_TOKENS,
    Efficiency,
    Prediction,
    Streaming,
    predict,
    predict_streamed,
)
from localmix.engine import memory
from localmix.engine.fit import Fit, config_of, fit_of
from localmix.gguf.header import Header
from localmix.model.config import ModelConfig

DiskSpeed = Callable[[], float]
"""Measures the disk, in 10⁹ bytes a second: asked only where it matters."""


@dataclass(frozen=True)
class Outlook:
    """What to expect of a model.

    Attributes:
        fit: memory, and whether it runs.
        cost: what a token reads and multiplies.
        prediction: how fast it will be; None: it cannot be told, or it will not run.
    """

    fit: Fit
    cost: TokenCost
    prediction: Prediction | None

    def of_size(self, n_bytes: int, machine: Machine) -> Prediction | None:
        """Predict another quantization of the model from the size of its files alone.

        None where it would not fit beside what runs now.
        """
        if not self.fit.would_fit(n_bytes):
            return None
        share = n_bytes / max(1, self.fit.pageable_bytes)
        cost = replace(self.cost, weight_bytes=round(share * self.cost.weight_bytes))
        return predict(cost, machine)


def outlook(
    headers: Sequence[Header],
    machine: Machine,
    disk_gb_s: DiskSpeed,
    reached: Efficiency | None = None,
    n_ctx: int | None = None,
    kv: str = "f16",
    free_bytes: int | None = None,
) -> Outlook:
    """Say what to expect of a model.

    Args:
        headers: of all its files, in order.
        machine: limits, with as many threads as the model will have.
        disk_gb_s: asked when weights come from the disk again and again.
        reached: what a model of that quantization reached here; None: what is usual.
        n_ctx: tokens of context; None: what it would be loaded with.
        kv: type of keys and values.
        free_bytes: memory to judge by; None: what is free now.

    Raises:
        InvalidGGUF, UnsupportedModel: the model cannot be run.
    """
    config = config_of(headers)
    fit = fit_of(headers, n_ctx, kv, free_bytes, free_bytes)
    tensors = {tensor.name: tensor for header in headers for tensor in header.tensors}
    cost = token_cost(tensors, config, kv)
    n_prompt = min(PROMPT_TOKENS, fit.n_ctx)
    seen = min(n_prompt, config.sliding_window or n_prompt)
    found = predict(cost, machine, reached, n_prompt, seen)
    if found is not None and fit.verdict in ("streams", "pages"):
        found = _from_disk(
            found, fit, cost, config, memory.needs(tensors, config, fit.n_ctx, kv), disk_gb_s
        )
    return Outlook(fit, cost, None if fit.verdict == "never" else found)


def _from_disk(
    in_memory: Prediction,
    fit: Fit,
    cost: TokenCost,
    config: ModelConfig,
    wanted: memory.Needs,
    disk_gb_s: DiskSpeed,
) -> Prediction:
    """Predict a model whose weights come from the disk: chosen experts, or all of them."""
    room = memory.room_for_experts(wanted, fit.free_bytes or 0)
    speed = disk_gb_s()
    if room is not None:
        return predict_streamed(
            in_memory, wanted, room, config.n_experts_used, config.n_layers, speed
        )
    # Pages are dropped in the order in which they will be read again, so hardly any is there.
    weights_s = cost.weight_bytes / (speed * 1e9)
    return Prediction(
        prefill_tok_s=PROMPT_TOKENS / (PROMPT_TOKENS / in_memory.prefill_tok_s + weights_s),
        decode_tok_s=1 / (1 / in_memory.decode_tok_s + weights_s),
        error=in_memory.error,
        streaming=Streaming(0.0, cost.weight_bytes, speed),
    )
