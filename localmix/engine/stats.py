"""What one answer cost: counts, times, memory. Data only; `localmix.units` makes text of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass
class Stats:
    """Numbers of one answer.

    Attributes:
        prompt_tokens: tokens before the first new one.
        kept_tokens: those of them that were in the cache already.
        generated_tokens: new tokens, the end token not among them.
        load_s: seconds from the call of load to a model that can answer.
        ttft_s: seconds from the first step of the answer to the first new token.
        prefill_tok_s: prompt tokens computed per second.
        decode_tok_s: new tokens per second after the first one; 0 if there was only one.
        peak_rss_bytes: largest resident memory of this process so far, mapped pages among it.
    """

    prompt_tokens: int = 0
    kept_tokens: int = 0
    generated_tokens: int = 0
    load_s: float = 0.0
    ttft_s: float = 0.0
    prefill_tok_s: float = 0.0
    decode_tok_s: float = 0.0
    peak_rss_bytes: int = 0


def peak_rss_bytes() -> int:
    """Return the largest resident memory of this process so far; 0 where no one says (Windows)."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB
