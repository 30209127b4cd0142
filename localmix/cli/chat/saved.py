"""One conversation while it is held, and its place among the saved ones.

It is written after each answer. A history that cannot be written (a read-only home, a damaged file)
is said once and then left alone: nobody's chat ends for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localmix.conversation.history import Conversation, Entry, History
from localmix.conversation.turns import Turns
from localmix.errors import LocalmixError

if TYPE_CHECKING:
    from localmix.engine import Model, Stats

_FIGURES = ("prompt_tokens", "generated_tokens", "ttft_s", "prefill_tok_s", "decode_tok_s")


class Saved:
    """The saved side of a conversation.

    Attributes:
        id: its number; 0 before it is first written.
        model: the name it is held with.
    """

    def __init__(
        self,
        home: Path,
        model: str,
        settings: dict[str, Any],
        on_failure: Callable[[LocalmixError], None],
    ) -> None:
        self.id, self.model = 0, model
        self._settings, self._on_failure = settings, on_failure
        self._history = History(home)
        self._figures: dict[int, tuple[str, dict[str, Any]]] = {}  # place -> answer, its figures
        self._has_failed = False

    def resume(self, number: int | None) -> Turns:
        """Take up a conversation; None: the last one.

        Raises:
            LocalmixError: there is none.
        """
        found = self._history.last() if number is None else self._history.get(number)
        self.id = found.id
        system = "".join(e.content for e in found.entries[:1] if e.role == "system")
        said = [e for e in found.entries if e.role != "system"]
        self._figures = {i: (e.content, e.figures) for i, e in enumerate(said) if e.figures}
        return Turns(system, [{"role": e.role, "content": e.content} for e in said])

    def begin_anew(self) -> None:
        """Let what follows be another conversation."""
        self.id, self._figures = 0, {}

    def write(self, turns: Turns, stats: Stats | None) -> None:
        """Write a conversation down; `stats` are of its last answer. Modifies: LOCALMIX_HOME.

        One of which every turn was taken back is deleted.
        """
        if self._has_failed:
            return
        if stats is not None and turns.last_answer is not None:
            figures = {key: getattr(stats, key) for key in _FIGURES}
            self._figures[len(turns.messages) - 1] = turns.last_answer, figures
        entries = tuple(
            Entry(m["role"], m["content"], self._figures_of(i, m["content"]))
            for i, m in enumerate(turns.all, start=len(turns.messages) - len(turns.all))
        )
        try:
            if turns.messages:
                self.id = self._history.save(
                    Conversation(self.id, self.model, settings=self._settings, entries=entries)
                )
            elif self.id:
                self._history.remove(self.id)
                self.begin_anew()
        except LocalmixError as error:
            self._has_failed = True
            self._on_failure(error)

    def keep_cache(self, model: Model) -> int:
        """Write the keys and values of the conversation to a file -> its size in bytes.

        Raises:
            LocalmixError: the conversation is not saved, or the file cannot be written.
        """
        if not self.id:
            raise LocalmixError(
                "the conversation is not saved, so its cache has no place",
                "look at the note above, and at LOCALMIX_HOME",
            )
        path = self._history.cache_path(self.id)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            model.save_cache(path)
            return path.stat().st_size
        except OSError as exc:
            raise LocalmixError(
                f"{path} cannot be written: {exc.strerror}", "look at its permissions"
            ) from exc

    def take_cache(self, model: Model) -> int:
        """Read the keys and values of the conversation, if they were kept -> how many tokens.

        A file of another model or other settings is left alone: they are computed again.
        """
        path = self._history.cache_path(self.id)
        try:
            return model.load_cache(path) if path.exists() else 0
        except (LocalmixError, OSError):
            return 0

    def _figures_of(self, i: int, answer: str) -> dict[str, Any] | None:
        """Give the figures of an answer; None for other texts, as of an answer in its place."""
        known, figures = self._figures.get(i, ("", None))
        return figures if known == answer else None
