"""`run --moderate`: the model judges both sides of a conversation before they count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from localmix.conversation.moderation import classify
from localmix.errors import LocalmixError

if TYPE_CHECKING:
    from localmix.engine import Model


class Guard:
    """Looks at prompts before they are answered, and at answers before they are shown."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def check(self, text: str, said: Literal["prompt", "answer"]) -> None:
        """Let a text pass; one without words has nothing to judge.

        Raises:
            LocalmixError: it is not acceptable.
            ContextFull: it is longer than the context.
        """
        if not text.strip():
            return
        verdict = classify(self._model, text, said=said)
        if not verdict.is_acceptable:
            share = verdict.shares[verdict.label]
            raise LocalmixError(
                f"the {said} looks {verdict.label} to the model itself ({share:.0%} sure)",
                "say it in another way, or leave --moderate away",
            )
