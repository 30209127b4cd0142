"""Where the bytes of a file come from: links are handed out by the Hub, and expire."""

import threading
from collections.abc import Callable

from localmix.errors import DownloadFailed
from localmix.registry.download.patience import Patience, Trouble
from localmix.registry.download.ranges import Answer, Link, RangeClient, Refused
from localmix.registry.manifest import RepoFile

EXPIRED = (401, 403, 404, 410)
"""What a host of files answers to a link that was good once."""

BUSY = (408, 425, 429)
"""Answers that may be others in a moment, as all from 500 on may."""

_LINKS_TO_TRY = 3


class Source:
    """One file on the Hub; workers share it."""

    def __init__(
        self,
        file: RepoFile,
        new_link: Callable[[], Link],
        patience: Patience,
        n_connections: int = 1,
    ) -> None:
        """Ask nothing yet.

        Args:
            file: what is wanted.
            new_link: asks the Hub where it is, for a while; raises Trouble if that may work in a
                moment.
            patience: when a connection counts as dead.
            n_connections: how many are kept.
        """
        self.file = file
        self._new_link = new_link
        self._ranges = RangeClient(patience, n_connections)
        self._lock = threading.Lock()
        self._link: Link | None = None

    def open(self, first: int, last: int) -> Answer:
        """Ask for the bytes `first` to `last`, both included.

        Returns:
            An answer that begins at `first`, or at 0 when the server knows no ranges.

        Raises:
            Trouble: it may work in a moment.
            DownloadFailed: it will not.
        """
        answer = self._asked(first, last)
        if answer.first != (first if answer.is_range else 0) or answer.total not in (
            None,
            self.file.size_bytes,
        ):
            answer.close()
            raise Trouble(
                f"{self.file.path} came with another length or place than was asked for",
                "pull again; HF_ENDPOINT and HTTPS_PROXY may lead to something else",
            )
        return answer

    def close(self) -> None:
        """Close the connections that are kept."""
        self._ranges.close()

    def _asked(self, first: int, last: int) -> Answer:
        """Ask, with a new link if the one that is there has expired."""
        link = None
        for i_try in range(_LINKS_TO_TRY):
            # The last one is for this request alone: some links are good for one use.
            link = self._new_link() if i_try == _LINKS_TO_TRY - 1 else self._a_link(link)
            try:
                return self._ranges.open(link, first, last)
            except Refused as exc:
                refusal = exc
                if exc.status not in EXPIRED:
                    break
        if refusal.status in BUSY or refusal.status >= 500:
            raise refusal
        raise DownloadFailed(
            f"{refusal.message} to the download of {self.file.path}",
            "pull again later; a token in HF_TOKEN may be needed for it",
        ) from refusal

    def _a_link(self, expired: Link | None) -> Link:
        """Give the link that all share, a new one in place of one that has expired."""
        with self._lock:
            if self._link is None or self._link is expired:
                self._link = self._new_link()
            return self._link
