"""What one answer cost: counts, times, memory. Data only; `localmix.units` makes text of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from localmix import system


@dataclass(frozen=True)
class Streamed:
    """What was found in memory and what was read, for experts of a model larger than memory.

    Attributes:
        hits, misses: experts that were asked for and were in memory, or were not.
        bytes_read: from the disk.
        read_s: seconds in which the disk was read.
        n_tokens: tokens that this was for.
    """

    hits: int
    misses: int
    bytes_read: int
    read_s: float
    n_tokens: int

    @property
    def hit_rate(self) -> float:
        """Share of the experts that were in memory."""
        return self.hits / max(1, self.hits + self.misses)

    @property
    def bytes_per_token(self) -> float:
        """Bytes that a token waited for, or that were read while it was computed."""
        return self.bytes_read / max(1, self.n_tokens)

    @property
    def disk_bytes_s(self) -> float:
        """Speed of the disk; 0 if nothing was read."""
        return self.bytes_read / self.read_s if self.read_s else 0.0

    def record(self) -> dict[str, float]:
        """The public JSON object."""
        return {
            "hit_rate": self.hit_rate,
            "bytes_per_token": self.bytes_per_token,
            "disk_gb_s": self.disk_bytes_s / 1e9,
        }


@dataclass
class Stats:
    """Numbers of one answer.

    Attributes:
        prompt_tokens: tokens before the first new one.
        kept_tokens: those of them that were in the cache already.
        dropped_tokens: of prompt and answer, taken out because the context was full.
        generated_tokens: new tokens, the end token not among them.
        load_s: seconds from the call of load to a model that can answer.
        ttft_s: seconds from the first step of the answer to the first new token.
        prefill_tok_s: prompt tokens computed per second.
        decode_tok_s: new tokens per second after the first one; 0 if there was only one.
        peak_rss_bytes: largest resident memory of this process so far, mapped pages among it.
        streamed: experts that were read while the answer was made, the prompt if it has but one
            token; None if the model lies in memory.
    """

    prompt_tokens: int = 0
    kept_tokens: int = 0
    dropped_tokens: int = 0
    generated_tokens: int = 0
    load_s: float = 0.0
    ttft_s: float = 0.0
    prefill_tok_s: float = 0.0
    decode_tok_s: float = 0.0
    peak_rss_bytes: int = 0
    streamed: Streamed | None = None


def peak_rss_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    if sys.platform == "win32":
        peak = system.peak_working_set()
    else:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if sys.platform != "darwin":
            peak *= 1024  # macOS counts bytes, Linux KiB
    return peak
