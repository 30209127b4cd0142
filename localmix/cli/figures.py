"""What an answer cost, in words and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localmix import settings, units

if TYPE_CHECKING:
    from localmix.engine import Model, Stats
    from localmix.engine.stats import Streamed

STATS_KEYS = (
    "prompt_tokens",
    "generated_tokens",
    "load_s",
    "ttft_s",
    "prefill_tok_s",
    "decode_tok_s",
    "peak_rss_bytes",
)

NEARLY_FULL = 0.8
"""From here on the context is spoken of."""


def figures(stats: Stats, reading: str = "") -> str:
    """Statistics as one line: what was read, what was made, how long one waited, what it took.

    Args:
        stats: of an answer.
        reading: what `reading_speed` says of it.
    """
    kept = f" ({stats.kept_tokens} from the cache)" if stats.kept_tokens else ""
    parts = [
        f"prompt {stats.prompt_tokens} tokens{kept} at {units.rate(stats.prefill_tok_s)}",
        f"answer {stats.generated_tokens} tokens at {units.rate(stats.decode_tok_s)}{reading}",
        f"first token {units.seconds(stats.ttft_s)}",
        f"load {units.seconds(stats.load_s)}",
        f"peak memory {units.size(stats.peak_rss_bytes)}",
    ]
    if stats.streamed:
        parts.append(streaming(stats.streamed))
    return " · ".join(parts)


def footer(stats: Stats, n_ctx: int) -> str:
    """The same in half a line, for below an answer."""
    n_used = stats.prompt_tokens + stats.generated_tokens
    return (
        f"{stats.generated_tokens} tokens · {units.rate(stats.decode_tok_s)} · "
        f"first after {units.seconds(stats.ttft_s)} · ctx {n_used}/{n_ctx}"
    )


def meter_note(stats: Stats, n_ctx: int, on_overflow: str) -> str:
    """What is to be said of a context that is nearly full; empty when it is not."""
    n_used = stats.prompt_tokens + stats.generated_tokens
    if n_used < NEARLY_FULL * n_ctx:
        return ""
    then = {
        "error": "/clear empties it, /set on_overflow shift drops the oldest turns when it must",
        "truncate": "the oldest turns will be dropped",
        "shift": "the oldest turns will be dropped",
    }[on_overflow]
    percent = min(100 * n_used // n_ctx, 100)
    return f"the context is {percent} % full ({n_used} of {n_ctx} tokens); {then}"


def reading_speed(model: Model, stats: Stats) -> str:
    """Say how fast weights and cache were read while the answer was made.

    It is held against what `bench` measured of this machine, if it ever did. Empty when there is
    nothing to say: a single token, or experts that came from the disk.
    """
    from localmix.bench.cost import token_cost
    from localmix.bench.remembered import recall

    if not stats.decode_tok_s or stats.streamed:
        return ""
    window = model.config.sliding_window or model.n_ctx
    n_positions = min(window, stats.prompt_tokens + stats.generated_tokens / 2)
    cost = token_cost(model.file.tensors, model.config, model.executor.kv)
    gb_s = cost.decode_bytes(n_positions) * stats.decode_tok_s / 1e9
    executor = model.executor
    machine = recall(settings.cache_folder(), executor.n_threads, executor.isa)
    share = ""
    if machine and gb_s < machine.read_gb_s:
        share = f", {100 * gb_s / machine.read_gb_s:.0f} % of what this machine can"
    return f" (reading {units.size(gb_s * 1e9)}/s{share})"


def streaming(streamed: Streamed) -> str:
    """How experts came from the disk, in a few words."""
    speed = units.size(streamed.disk_bytes_s)
    return (
        f"experts {100 * streamed.hit_rate:.0f} % in memory, "
        f"{units.size(streamed.bytes_per_token)} read per token at {speed}/s"
    )


def stats_record(stats: Stats) -> dict[str, Any]:
    """Statistics as the public JSON object."""
    record = {key: getattr(stats, key) for key in STATS_KEYS}
    return record | ({"streamed": stats.streamed.record()} if stats.streamed else {})
