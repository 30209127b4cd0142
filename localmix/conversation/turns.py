"""The turns of a conversation, and what of them fits the context.

Nothing here knows a terminal or a database. A turn is a message of the user with the answer to it;
a conversation may begin with a system message.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
"""{"role": "user", "content": "hi"}, as OpenAI's interface has it."""

Render = Callable[[Sequence[Message]], list[int]]
"""Turns messages into the ids of a prompt."""

ROOM_FOR_ANSWER = 4
"""At least a quarter of the context is left to the answer when turns are dropped for it."""


@dataclass
class Turns:
    """A conversation while it goes on.

    Attributes:
        system: the system message; empty when there is none.
        messages: all others, the user's and the assistant's in turn.
    """

    system: str = ""
    messages: list[Message] = field(default_factory=list)

    @property
    def all(self) -> list[Message]:
        """Every message, the system message first."""
        first = [{"role": "system", "content": self.system}] if self.system else []
        return [*first, *self.messages]

    @property
    def last_question(self) -> str | None:
        """What the user said last; None when nothing was said."""
        asked = [m["content"] for m in self.messages if m["role"] == "user"]
        return str(asked[-1]) if asked else None

    @property
    def last_answer(self) -> str | None:
        """What was answered last; None when nothing was."""
        if self.messages and self.messages[-1]["role"] == "assistant":
            return str(self.messages[-1]["content"])
        return None

    def ask(self, text: str) -> None:
        """Begin a turn."""
        self.messages.append({"role": "user", "content": text})

    def answer(self, text: str) -> None:
        """End the turn; an empty answer takes the question back."""
        if text:
            self.messages.append({"role": "assistant", "content": text})
        else:
            self.undo()

    def undo(self) -> str | None:
        """Take the last turn back -> its question; None when there is none."""
        question = self.last_question
        while self.messages and self.messages.pop()["role"] != "user":
            pass
        return question

    def clear(self) -> None:
        """Forget all turns; the system message stays."""
        self.messages.clear()


@dataclass(frozen=True)
class Fitted:
    """What of a conversation the model reads.

    Attributes:
        ids: the prompt.
        n_dropped: turns at its beginning that are left away.
        messages: what the prompt says.
    """

    ids: list[int]
    n_dropped: int
    messages: tuple[Message, ...]


def fit(turns: Turns, render: Render, n_ctx: int, on_overflow: str) -> Fitted:
    """Make a prompt of a conversation, without its oldest turns if they do not fit and may go.

    Args:
        turns: the conversation, whose last message is to be answered.
        render: writes messages as ids.
        n_ctx: positions of the context.
        on_overflow: "error" drops nothing: the engine will refuse what is too long. "truncate" and
            "shift" drop whole turns; the last one stays whatever its length.
    """
    first = turns.all[:1] if turns.system else []
    starts = [i for i, m in enumerate(turns.messages) if i == 0 or m["role"] == "user"]
    most = n_ctx - n_ctx // ROOM_FOR_ANSWER

    def without(n_dropped: int) -> Fitted:
        rest = turns.messages[starts[n_dropped] :] if starts else []
        return Fitted(render([*first, *rest]), n_dropped, (*first, *rest))

    fitted = without(0)
    if on_overflow == "error" or len(fitted.ids) <= most or len(starts) < 2:
        return fitted
    # Each look reads the whole text: the fewest turns to drop are found by halving.
    too_few, enough = 0, len(starts) - 1
    fitted = without(enough)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        tried = without(middle)
        if len(tried.ids) <= most:
            fitted, enough = tried, middle
        else:
            too_few = middle
    return fitted
