"""What surrounds a measurement: other programs, heat, a battery, repetitions that disagree.

A median is a fact about a run, but its share of the machine's limits is a claim about the code,
which holds only while the machine was ours. `around` compares two looks at the machine, one from
before the repetitions of a part and one from after them; `judge` says in words what spoils a share.

The thresholds are coarse on purpose: a share is read as "two thirds of what is possible", so what
moves it by a few percent is no reason to be silent.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from localmix import system
from localmix.system import CpuTimes

OTHERS_PCT = 10
"""Others' share of the cores in use from which on a share is not stated: what they take is missing
in the median about one to one, and the services of an idle system take 1 to 3 %."""

OTHERS_AT_LIMITS_PCT = 40
"""The same while the limits are measured. Each is the best of six runs of 0.05 s or so: it takes
somebody who is there most of the time to spoil them all."""

SPREAD_PCT = 15
"""Middle half of the repetitions, of their median: beyond it another run may give a median that
is as far away. A quiet machine stays below 5 %; a single outlier does not move the middle half."""

SLOWING_PCT = 10
"""Loss of speed from the first repetition to the last that counts as slowing down."""

_IN_ORDER = 0.9
"""Share of all pairs of repetitions of which the later one is the slower. Of five repetitions in
random order this many are so in 5 of 120 orders (Kendall's test)."""

_FEWEST_FOR_TREND = 4
"""Three repetitions are in order by chance in one of six runs."""

MOVED_PCT = 25
"""Change of the memory's speed during a run that is spoken of."""

BEYOND_PCT = 105
"""A share above this is none: the limit was measured too low. Up to it, it is noise."""

_SHORTEST_S = 0.5
"""Systems count CPU time in steps of 10 to 16 ms: in less time than this they are too coarse."""

_LINUX_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Moment:
    """One look at the machine.

    Attributes:
        n_throttled: times that cores or packages slowed down because of heat, since the start of
            the system; None: nobody counts.
        speed_limit_pct: of full speed, what the system allows the CPU now; None: not told.
        on_battery: None: there is none, or it is not told.
    """

    cpu: CpuTimes
    n_throttled: int | None = None
    speed_limit_pct: int | None = None
    on_battery: bool | None = None


@dataclass(frozen=True)
class Around:
    """What surrounded the repetitions of a part.

    Attributes:
        others_cpus: CPUs that others kept busy, on average; None: too short to tell.
        throttled: whether the CPU slowed down because of heat; None: not told.
    """

    others_cpus: float | None = None
    throttled: bool | None = None
    on_battery: bool | None = None


UNKNOWN = Around()
"""Nobody looked."""


def look() -> Moment:
    """Look at the machine now."""
    return Moment(system.cpu_times(), n_throttled(), speed_limit_pct(), system.on_battery())


def around(start: Moment, end: Moment) -> Around:
    """Say what happened between two looks."""
    others = None
    if end.cpu.elapsed - start.cpu.elapsed >= _SHORTEST_S:
        others = end.cpu.others_since(start.cpu)
    signs = []
    if start.n_throttled is not None and end.n_throttled is not None:
        signs.append(end.n_throttled > start.n_throttled)
    limits = [moment.speed_limit_pct for moment in (start, end)]
    signs += [limit < 100 for limit in limits if limit is not None]
    batteries = [m.on_battery for m in (start, end) if m.on_battery is not None]
    return Around(others, any(signs) if signs else None, any(batteries) if batteries else None)


def n_throttled(cpus: Path = _LINUX_CPUS) -> int | None:
    """Count how often CPUs were too hot; None where nobody counts, as in virtual machines.

    Source: Linux, arch/x86/kernel/cpu/mce/therm_throt.c.
    """
    counts = []
    for kind in ("core", "package"):
        for file in cpus.glob(f"cpu[0-9]*/thermal_throttle/{kind}_throttle_count"):
            with suppress(OSError, ValueError):
                counts.append(int(file.read_text(encoding="ascii")))
    return sum(counts) if counts else None


def speed_limit_pct(platform: str = sys.platform) -> int | None:
    """Ask macOS how fast the CPU may be, in percent; None: it does not say, or another system."""
    if platform != "darwin":
        return None
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["/usr/bin/pmset", "-g", "therm"],
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
        )
        for line in done.stdout.splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "CPU_Speed_Limit" and value.strip().isdecimal():
                return int(value)
    return None


def spread_pct(speeds: Sequence[float]) -> float | None:
    """Width of the middle half of the speeds, in percent of their median; None: fewer than two."""
    if len(speeds) < 2:
        return None
    low, middle, high = statistics.quantiles(speeds, n=4, method="inclusive")
    return 100 * (high - low) / middle if middle else 0.0


def slowing_pct(speeds: Sequence[float]) -> float | None:
    """Loss from the first repetition to the last if nearly all are in that order, in percent.

    0 if they are not; None: too few to tell. The loss is that of a line through the speeds whose
    slope is the median of all pairs' (Theil and Sen), which an outlier does not turn.
    """
    n = len(speeds)
    if n < _FEWEST_FOR_TREND:
        return None
    slopes = [(speeds[j] - speeds[i]) / (j - i) for i, j in combinations(range(n), 2)]
    n_falling = sum(slope < 0 for slope in slopes)
    if n_falling < _IN_ORDER * len(slopes):
        return 0.0
    return 100 * -statistics.median(slopes) * (n - 1) / statistics.median(speeds)


def others_pct(seen: Around, n_threads: int, n_cores: int) -> float | None:
    """Give what others took of the cores in use, in percent; None: too short to tell.

    Others on cores that had nothing to do took nothing from us.
    """
    if seen.others_cpus is None:
        return None
    n_idle = max(0, n_cores - n_threads)
    return 100 * max(0.0, seen.others_cpus - n_idle) / min(n_threads, n_cores)


@dataclass(frozen=True)
class PartConditions:
    """How far the figures of prefill or decode can be trusted.

    Attributes:
        others_pct: what others took of the cores in use; None: too short to tell.
        spread_pct: `spread_pct` of the repetitions.
        slowing_pct: `slowing_pct` of them.
        throttled: heat slowed the CPU down, or the repetitions look like it; None: nothing tells.
        reasons: sentences, why a share of the limit would be a false number; none: it can be
            stated.
    """

    others_pct: float | None
    spread_pct: float | None
    slowing_pct: float | None
    throttled: bool | None
    on_battery: bool | None
    reasons: tuple[str, ...]

    @property
    def steady(self) -> bool:
        """Whether a share of the limit can be stated."""
        return not self.reasons


def judge(
    name: str, speeds: Sequence[float], seen: Around, n_threads: int, n_cores: int
) -> PartConditions:
    """Judge the repetitions of a part.

    Args:
        name: of the part, for sentences.
        speeds: of its repetitions in order, in tokens per second.
        seen: what surrounded them.
        n_threads: that worked.
        n_cores: physical ones that this process may use.
    """
    others = others_pct(seen, n_threads, n_cores)
    spread, slowing = spread_pct(speeds), slowing_pct(speeds)
    slows = slowing is not None and slowing >= SLOWING_PCT
    reasons = []
    if others is not None and others > OTHERS_PCT:
        reasons.append(f"other programs took {others:.0f} % of the cores that {name} ran on")
    if seen.throttled:
        reasons.append(f"heat slowed the CPU down while {name} ran")
    if slowing is not None and slows:
        reasons.append(
            f"{name} became {slowing:.0f} % slower from the first repetition to the last,"
            " as when a CPU gets hot"
        )
    elif spread is not None and spread > SPREAD_PCT:  # a trend is a spread too: say it once
        reasons.append(f"the middle half of the repetitions of {name} spans {spread:.0f} %")
    if seen.on_battery:
        reasons.append("the machine runs on its battery")
    signs = [seen.throttled] * (seen.throttled is not None) + [slows] * (slowing is not None)
    return PartConditions(
        others_pct=others,
        spread_pct=spread,
        slowing_pct=slowing,
        throttled=any(signs) if signs else None,
        on_battery=seen.on_battery,
        reasons=tuple(reasons),
    )
