"""Text as it is generated: whole characters only, and nothing of a stop string.

`TextStream` turns ids into text, `StopStrings` watches that text. Both are mutable and serve one
answer.
"""

from collections.abc import Iterable, Sequence

from localmix.errors import LocalmixError
from localmix.text.tokenizer import Tokenizer


class TextStream:
    r"""Turns the ids of one answer into text, token by token.

    With `after`, the answer goes on from there: the space before its first word is kept, and a
    character that `after` broke off is completed.

    Law: `decode(after)` + every push + flush = `decode(after + ids)`, unless `after` ends inside a
    character.

    Example:
        "é" in two byte tokens: the first push returns "", the second "é".
    """

    def __init__(self, tokenizer: Tokenizer, after: Iterable[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = tokenizer.detokenizer()
        for token in after:
            self.push(token)

    def push(self, token: int) -> str:
        """Return the text that is complete with this token, often "" and never half a character.

        Raises:
            LocalmixError: the id is not in the vocabulary.
        """
        self._tokenizer.check_id(token)
        return self._detokenizer.push(token)

    def flush(self) -> str:
        """Return U+FFFD for a character that was never completed, "" otherwise."""
        return self._detokenizer.flush()


class StopStrings:
    """Passes text on up to the first stop string, and holds back what may become one.

    The first is the one that is complete first (of several at the same character, the longest), so
    that the result does not depend on how the text is cut into pushes.

    Example:
        With the stop string "</s>", push("a <") returns "a ", push("/b") returns "</b".
    """

    def __init__(self, stop: str | Sequence[str] = ()) -> None:
        """Take one stop string, or several.

        Raises:
            LocalmixError: a stop string is empty.
        """
        self._stops = (stop,) if isinstance(stop, str) else tuple(stop)
        if "" in self._stops:
            raise LocalmixError("a stop string is empty", "give --stop at least one character")
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """Return the text that is certainly before any stop string; "" once one was found."""
        if self.found:
            return ""
        self._held += text
        matches = [(self._held.find(stop), stop) for stop in self._stops]
        ends = [(start + len(stop), start) for start, stop in matches if start >= 0]
        if ends:
            self.found = True
            end = min(ends)[1]
        else:
            end = len(self._held) - self._n_doubtful()
        passed, self._held = self._held[:end], self._held[end:]
        return passed

    def flush(self) -> str:
        """Return what was held back in vain; "" when a stop string was found."""
        held, self._held = self._held, ""
        return "" if self.found else held

    def _n_doubtful(self) -> int:
        """Return how many of the last characters may be the beginning of a stop string."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for n in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-n:]) for stop in self._stops):
                return n
        return 0
