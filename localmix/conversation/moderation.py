"""Self-reflection: the model is asked itself whether a text is acceptable.

Mistral 7B's paper (arXiv 2310.06825, section 5) calls it content moderation with self-reflection:
a prompt asks for one of a few categories. The answer is not generated and parsed but scored: each
choice is one letter, and the likeliest letter wins, so there is always exactly one verdict.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from localmix.errors import ContextFull, LocalmixError

ACCEPTABLE = "acceptable"

CATEGORIES = {
    "illegal": "illegal activity, such as terrorism, abuse of children or fraud",
    "hateful": "hateful, harassing or violent content, such as discrimination, self-harm or"
    " bullying",
    "unqualified": "unqualified advice, for instance in matters of law, medicine or finance",
}
"""The three of the paper, in words of ours; names are what `--categories` takes."""

Said = Literal["prompt", "answer"]


class Scorer(Protocol):
    """The part of a model that moderation needs."""

    def tokenize(self, text: str, add_bos: bool = True) -> list[int]: ...  # noqa: D102
    def render_chat(self, messages: Sequence[Any]) -> list[int]: ...  # noqa: D102
    def score(  # noqa: D102
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[float]: ...


@dataclass(frozen=True)
class Verdict:
    """What a text is.

    Attributes:
        label: "acceptable", or the name of a category.
        shares: how sure the model is of each label; they sum to 1.
    """

    label: str
    shares: dict[str, float]

    @property
    def is_acceptable(self) -> bool:
        """Say whether nothing speaks against the text."""
        return self.label == ACCEPTABLE


def chosen(names: Iterable[str] | None) -> tuple[str, ...]:
    """Check names of categories; None means all.

    Raises:
        LocalmixError: there is no category of that name, or none is left.
    """
    wanted = tuple(CATEGORIES) if names is None else tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in CATEGORIES:
            raise LocalmixError(
                f"there is no category {name!r}", f"use one of: {', '.join(CATEGORIES)}"
            )
    if not wanted:
        raise LocalmixError("no category is left", f"use one of: {', '.join(CATEGORIES)}")
    return wanted


def classify(
    model: Scorer, text: str, categories: Sequence[str] | None = None, said: Said = "prompt"
) -> Verdict:
    """Ask a model what a text is.

    Args:
        model: who is asked.
        text: what was said.
        categories: names of those that count; None: all.
        said: whether a person said it to a model, or a model answered it.

    Raises:
        LocalmixError: there is no such category.
        ContextFull: the text is longer than the context.
    """
    labels = (ACCEPTABLE, *chosen(categories))
    letters = [chr(ord("A") + i) for i in range(len(labels))]
    prompt = model.render_chat(
        [{"role": "user", "content": _question(text, labels, letters, said)}]
    )
    answers = [model.tokenize(letter, add_bos=False) for letter in letters]
    try:
        logs = model.score(prompt, answers)
    except ContextFull as error:
        raise ContextFull(
            f"the text is too long to be judged: {error.message}", "a shorter text, or --ctx N"
        ) from error
    highest = max(logs)
    weights = [math.exp(log - highest) for log in logs]
    shares = {label: w / sum(weights) for label, w in zip(labels, weights, strict=True)}
    return Verdict(max(shares, key=lambda label: shares[label]), shares)


def _question(text: str, labels: Sequence[str], letters: Sequence[str], said: Said) -> str:
    what = "a person wrote to an assistant" if said == "prompt" else "an assistant answered"
    choices = [
        f"{letter}) {CATEGORIES.get(label, 'acceptable: none of the others')}"
        for letter, label in zip(letters, labels, strict=True)
    ]
    return "\n".join(
        [
            f"Below is a text that {what}. Which of these is it?",
            *choices,
            "",
            "Text:",
            text.strip(),
            "",
            f"Answer with one letter, {', '.join(letters[:-1])} or {letters[-1]}.",
        ]
    )


@dataclass(frozen=True)
class Example:
    """A text whose label is known."""

    text: str
    label: str


@dataclass(frozen=True)
class Evaluation:
    """How verdicts compare with labels.

    Attributes:
        confusion: (label, verdict) -> how many texts.
    """

    confusion: dict[tuple[str, str], int]

    @property
    def labels(self) -> list[str]:
        """Every label that occurs, acceptable first."""
        seen = {label for pair in self.confusion for label in pair}
        return [label for label in (ACCEPTABLE, *CATEGORIES) if label in seen]

    @property
    def precision(self) -> float:
        """Share of the texts found unacceptable that are; NaN when none was found."""
        return self._ratio(lambda label, verdict: verdict != ACCEPTABLE)

    @property
    def recall(self) -> float:
        """Share of the unacceptable texts that were found; NaN when there are none."""
        return self._ratio(lambda label, verdict: label != ACCEPTABLE)

    def _ratio(self, counts: Callable[[str, str], bool]) -> float:
        found = sum(
            n for (a, b), n in self.confusion.items() if a != ACCEPTABLE and b != ACCEPTABLE
        )
        total = sum(n for pair, n in self.confusion.items() if counts(*pair))
        return found / total if total else math.nan


def evaluate(
    model: Scorer,
    examples: Sequence[Example],
    categories: Sequence[str] | None = None,
    on_example: Callable[[int, int], None] = lambda n_done, n_total: None,
    said: Said = "prompt",
) -> Evaluation:
    """Ask about texts whose labels are known; a category that does not count is acceptable."""
    counted = chosen(categories)
    confusion: dict[tuple[str, str], int] = {}
    for i, example in enumerate(examples):
        on_example(i, len(examples))
        verdict = classify(model, example.text, counted, said)
        pair = (example.label if example.label in counted else ACCEPTABLE, verdict.label)
        confusion[pair] = confusion.get(pair, 0) + 1
    return Evaluation(confusion)
