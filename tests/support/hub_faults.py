"""What can go wrong between a Hub and a client, one class a fault.

A repository keeps a queue of them (`repo.faults`, and `hub.faults` for what belongs to none). Each
request takes the first one that fits it; one that has happened `times` times leaves the queue.
"""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from support.hub_answers import Answer, Pattern, stored

FOREVER = None

PORTAL = b"<!doctype html><html><title>Welcome</title>Please sign in to the network</html>"


@dataclass(kw_only=True)
class Fault:
    """Something that goes wrong with an answer.

    Attributes:
        path: a glob for the file's path in its repository; None fits all.
        times: how often it happens; FOREVER: it never leaves the queue.
        where: "storage", "resolve" or "api" (model_info, tree, search).
        at: a place in the file: only an answer that contains this byte goes wrong.
    """

    path: str | None = None
    times: int | None = 1
    where: str = "storage"
    at: int | None = None

    def fits(self, asked, answer):
        return (
            self.where == asked.where
            and (self.path is None or fnmatchcase(asked.path, self.path))
            and (self.at is None or answer.first <= self.at < answer.first + answer.n_bytes)
        )

    def spoil(self, asked, answer):
        raise NotImplementedError


@dataclass
class Asked:
    """A request, as far as a fault wants to know: `repo.served` is where a change is kept."""

    where: str
    path: str
    headers: dict
    repo: object = None


@dataclass
class Cut(Fault):
    """The connection ends after some bytes of a body that promised more."""

    after: int
    reset: bool = field(default=False, kw_only=True)  # True: with a reset instead of an end

    def fits(self, asked, answer):
        return super().fits(asked, answer) and self.after < answer.n_bytes

    def spoil(self, asked, answer):
        answer.cut_after, answer.reset, answer.closes = self.after, self.reset, True
        return answer


@dataclass
class Reset(Fault):
    """The connection is reset before any header."""

    def spoil(self, asked, answer):
        answer.reset = True
        return answer


@dataclass
class Stall(Fault):
    """Some bytes of the body (-1: not even the headers), then nothing for a time, then the rest."""

    after: int = 0
    seconds: float = 3600.0

    def fits(self, asked, answer):
        return super().fits(asked, answer) and self.after <= answer.n_bytes

    def spoil(self, asked, answer):
        answer.stall_after, answer.stall_s = self.after, self.seconds
        return answer


@dataclass
class Trickle(Fault):
    """The body comes slowly."""

    bytes_per_s: float

    def spoil(self, asked, answer):
        answer.rate_bytes_s = self.bytes_per_s
        return answer


@dataclass
class WrongBytes(Fault):
    """Some bytes are inverted: at this place of the file, or else from the start of the body."""

    at: int | None = None
    n: int = 1

    def spoil(self, asked, answer):
        first = 0 if self.at is None else self.at - answer.first
        answer.flips = range(first, first + self.n)
        return answer


@dataclass
class Status(Fault):
    """An error instead of the file; `retry_after` is a number of seconds or an HTTP date."""

    code: int
    retry_after: str | int | None = None
    headers: dict[str, str] = field(default_factory=dict, kw_only=True)
    body: bytes = field(default=b"", kw_only=True)

    def spoil(self, asked, answer):
        after = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return Answer(self.body, self.code, self.headers | after)


@dataclass
class Portal(Fault):
    """A page of the hotel's network instead of the file, and all is well according to it."""

    def spoil(self, asked, answer):
        return Answer(PORTAL, 200, {"Content-Type": "text/html; charset=utf-8"})


@dataclass
class IgnoreRange(Fault):
    """The whole file (200) where a range was asked for."""

    def fits(self, asked, answer):
        return super().fits(asked, answer) and answer.status == 206

    def spoil(self, asked, answer):
        headers = {"ETag": answer.headers["ETag"], "Content-Type": "binary/octet-stream"}
        return Answer(answer.content, 200, headers)


@dataclass
class OtherRange(Fault):
    """A range (206) that starts elsewhere than was asked, and says so."""

    by: int

    def fits(self, asked, answer):
        fits = super().fits(asked, answer) and answer.status == 206
        return fits and 0 <= answer.first + self.by <= len(answer.content) - answer.n_bytes

    def spoil(self, asked, answer):
        answer.first += self.by
        last = answer.first + answer.n_bytes - 1
        answer.headers["Content-Range"] = f"bytes {answer.first}-{last}/{len(answer.content)}"
        return answer


@dataclass
class WrongLength(Fault):
    """A Content-Length off `by` some bytes, a total in Content-Range off `total_by`.

    All of the body is sent nevertheless, and the connection closed.
    """

    by: int = 0
    total_by: int = 0

    def spoil(self, asked, answer):
        answer.headers["Content-Length"] = str(answer.n_bytes + self.by)
        if "Content-Range" in answer.headers:
            unit, _, total = answer.headers["Content-Range"].rpartition("/")
            answer.headers["Content-Range"] = f"{unit}/{int(total) + self.total_by}"
        answer.closes = True
        return answer


@dataclass
class Changed(Fault):
    """From now on the storage has other bytes under this path, and another ETag."""

    def spoil(self, asked, answer):
        other = changed(answer.content)
        asked.repo.served[asked.path] = other
        return stored(other, asked.headers)


def changed(content):
    if isinstance(content, Pattern):
        return Pattern(content.size_bytes, content.seed + 1)
    return content.translate(bytes(range(255, -1, -1)))


def take(faults, asked, answer):
    """Take the first fault that fits out of a queue, which the caller has locked."""
    for fault in faults:
        if fault.fits(asked, answer):
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    faults[:] = [other for other in faults if other is not fault]
            return fault
    return None
