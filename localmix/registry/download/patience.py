"""How often a request is tried again, and how long is waited before that."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from localmix.errors import DownloadFailed

T = TypeVar("T")


class Trouble(DownloadFailed):
    """A failure that may be over in a moment: a cut connection, a server that is busy.

    Attributes:
        retry_after_s: how long the server asks to be left alone; None when it does not say.
    """

    def __init__(self, message: str, hint: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Patience:
    """When to try again and when to give up.

    Attributes:
        tries: failures in a row, without a single byte between them, that are put up with.
        first_s: the first wait; each further one is twice as long.
        longest_s: the longest wait of our own.
        longest_asked_s: the longest wait that a server may ask for.
        stall_s: a connection that gives nothing for so long is taken for dead.
        connect_s: the same while it is being made.
    """

    tries: int = 6
    first_s: float = 0.5
    longest_s: float = 15.0
    longest_asked_s: float = 120.0
    stall_s: float = 10.0
    connect_s: float = 10.0

    def wait_s(self, n_failed: int, trouble: Trouble) -> float:
        """Give the seconds to wait after `n_failed` failures in a row.

        Raises:
            Trouble: the last one, when it is time to give up.
        """
        asked_s = trouble.retry_after_s or 0.0
        if n_failed >= self.tries or asked_s > self.longest_asked_s:
            raise trouble
        return max(asked_s, min(self.longest_s, self.first_s * 2.0 ** (n_failed - 1)))

    def insist(self, call: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
        """Call until it works.

        Raises:
            Trouble: it never did; anything else that `call` raises comes out at once.
        """
        n_failed = 0
        while True:
            try:
                return call()
            except Trouble as trouble:
                n_failed += 1
                sleep(self.wait_s(n_failed, trouble))
