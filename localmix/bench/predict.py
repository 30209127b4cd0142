"""How fast a model will be here, told before it is downloaded: its cost over the machine's limits.

    decode:  seconds per token = bytes that it reads / (read bandwidth · efficiency)
    prefill: seconds = operations in matrices / (int8 peak · efficiency) + those in attention

The efficiencies are what models reach of the limits: what `bench` measured here with the same
quantization, else what is usual. Checked against measured runs in docs/performance.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from localmix.bench.cost import TokenCost
from localmix.bench.limits import Machine
from localmix.engine.memory import Needs


@dataclass(frozen=True)
class Efficiency:
    """Shares of the machine's limits that a model reaches, 0 to 1.

    Attributes:
        decode: of the read bandwidth.
        prefill: of the int8 peak.
    """

    decode: float
    prefill: float


USUAL = Efficiency(decode=0.85, prefill=0.6)
"""Where nothing was measured: the middle of what `bench` finds, see docs/performance.md."""

USUAL_ERROR, MEASURED_ERROR = 0.25, 0.15
"""How far a prediction may be off, with the usual efficiency and with one that was measured."""

ATTENTION_EFFICIENCY = 0.4
"""Share of the float32 peak that attention over a long prompt reaches."""

PROMPT_TOKENS = 512
"""Length of the prompt that is predicted, unless another one is asked for."""


@dataclass(frozen=True)
class Streaming:
    """Experts that come from the disk.

    Attributes:
        hit_rate: share of them that are in memory when they are chosen, if routers choose evenly:
            they prefer some, so it is rather more.
        bytes_per_token: read from the disk.
        disk_gb_s: speed of the disk, 10⁹ bytes a second.
    """

    hit_rate: float
    bytes_per_token: float
    disk_gb_s: float


@dataclass(frozen=True)
class Prediction:
    """How fast a model will be.

    Attributes:
        prefill_tok_s, decode_tok_s: tokens per second.
        error: how far they may be off, as a share.
        streaming: where experts come from the disk; None: all lies in memory.
    """

    prefill_tok_s: float
    decode_tok_s: float
    error: float
    streaming: Streaming | None = None


def predict(
    cost: TokenCost,
    machine: Machine,
    reached: Efficiency | None = None,
    n_prompt: int = PROMPT_TOKENS,
    n_positions: float | None = None,
) -> Prediction | None:
    """Predict the speed of a model that fits into memory.

    Args:
        cost: what a token costs.
        machine: with both peaks.
        reached: what a model of that quantization reached here; None: what is usual.
        n_prompt: tokens of the prompt.
        n_positions: positions that a decoded token attends to; None: those of the prompt.

    Returns:
        None when it cannot be told: caches hold the model, or the peaks were not measured.
    """
    peak = peak_gop_s(cost, machine)
    if machine.holds_in_cache(cost.weight_bytes) or not peak:
        return None
    shares = reached or USUAL
    n_positions = n_prompt if n_positions is None else n_positions
    decode_s = cost.decode_bytes(n_positions) / (machine.read_gb_s * 1e9 * shares.decode)
    prefill_s = cost.prefill_operations(n_prompt) / (peak * 1e9 * shares.prefill)
    prefill_s += _attention_s(cost, machine, n_prompt)
    error = USUAL_ERROR if reached is None else MEASURED_ERROR
    return Prediction(n_prompt / prefill_s, 1 / decode_s, error)


def reached_by(
    cost: TokenCost,
    machine: Machine,
    prefill_tok_s: float,
    n_prompt: int,
    decode_tok_s: float,
    n_positions: float,
) -> Efficiency | None:
    """Say how near to the limits a run came: what `predict` has to be given to tell its speed.

    None where the peaks were not measured.
    """
    peak = peak_gop_s(cost, machine)
    prefill_s = n_prompt / prefill_tok_s - _attention_s(cost, machine, n_prompt)
    if not peak or prefill_s <= 0:
        return None
    return Efficiency(
        decode=cost.decode_bytes(n_positions) * decode_tok_s / (machine.read_gb_s * 1e9),
        prefill=cost.prefill_operations(n_prompt) / prefill_s / (peak * 1e9),
    )


def peak_gop_s(cost: TokenCost, machine: Machine) -> float | None:
    """Give the machine's peak of the arithmetic that does most of the work; None: unknown."""
    return machine.float32_gop_s if cost.is_of_floats else machine.int8_gop_s


def _attention_s(cost: TokenCost, machine: Machine, n_prompt: int) -> float:
    """Seconds of attention: a token attends to those before it, half of the prompt on average."""
    if not machine.float32_gop_s:
        return 0.0
    operations = cost.attention_operations * n_prompt * (n_prompt + 1) / 2
    return operations / (machine.float32_gop_s * 1e9 * ATTENTION_EFFICIENCY)


def predict_streamed(
    in_memory: Prediction, wanted: Needs, room: int, n_used: int, n_layers: int, disk_gb_s: float
) -> Prediction:
    """Predict the speed of a mixture that is larger than memory.

    A token waits for those of its experts that are not there; a prompt reads nearly all of them
    once per chunk of its tokens. If routers choose evenly, an expert is there when it is chosen as
    often as a slot is to spare for it beside those of the layer that was computed last: measured,
    0.25 and 0.63 for 10 and 21 slots of 32 experts where this says 0.27 and 0.63.

    Args:
        in_memory: how fast it would be if it fitted.
        wanted: what it wants of memory.
        room: bytes for experts.
        n_used: experts that a token visits in a layer.
        n_layers: layers of the model.
        disk_gb_s: speed of the disk, 10⁹ bytes a second.
    """
    n_experts, n_slots = wanted.experts // wanted.one_expert, room // wanted.one_expert
    hit_rate = min(1.0, max(0.0, (n_slots - n_used) / max(1, n_experts - n_used)))
    missed_bytes = (1 - hit_rate) * n_used * n_layers * wanted.one_expert
    decode_s = 1 / in_memory.decode_tok_s + missed_bytes / (disk_gb_s * 1e9)
    chunk_s = PROMPT_TOKENS / in_memory.prefill_tok_s
    chunk_s += (1 - hit_rate) * wanted.experts / (disk_gb_s * 1e9)
    return Prediction(
        prefill_tok_s=PROMPT_TOKENS / chunk_s,
        decode_tok_s=1 / decode_s,
        error=in_memory.error,
        streaming=Streaming(hit_rate, missed_bytes, disk_gb_s),
    )
