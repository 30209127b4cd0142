"""Work for a share of the time only: a laptop stays cool and quiet, and others get their turn."""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST_REST_S = 0.05
"""Rests are saved up to this: workers look for work for some milliseconds before they sleep."""


class Pace:
    """Rests after work, so that work is a share of the time.

    Args:
        power: percent of the time, 1 to 100.
    """

    def __init__(self, power: int, sleep: Callable[[float], None] = time.sleep) -> None:
        self.power = power
        self._rest_per_work = 100 / power - 1
        self._sleep = sleep
        self._owed_s = 0.0

    def worked(self, seconds: float) -> None:
        """Say how long work took; rests when enough has come together."""
        self._owed_s += seconds * self._rest_per_work
        if self._owed_s >= LEAST_REST_S:
            rest_s, self._owed_s = self._owed_s, 0.0
            self._sleep(rest_s)
