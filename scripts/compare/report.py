"""The result: a row per test and contestant, as a Markdown table and as a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compare.contestants import Contestant
from compare.ratios import Ratio, Summary, ratio
from compare.rounds import Samples, Test

HEAD = (
    "test",
    "who",
    "tok/s, median",
    "min",
    "max",
    "spread",
    "to llama.cpp's best",
    "to its default",
    "of a plain read",
)


@dataclass(frozen=True)
class Row:
    """One contestant in one test.

    Attributes:
        to_best, to_default: ours / llama.cpp; None in its own rows, or if the default took no part.
        of_read: bytes that decode needs / bytes of a plain read; None where that says nothing.
    """

    test: Test
    contestant: Contestant
    is_best: bool
    tok_s: Summary
    to_best: Ratio | None
    to_default: Ratio | None
    of_read: Ratio | None

    @property
    def is_refused(self) -> bool:
        """Whether a ratio to llama.cpp was too noisy."""
        return any(
            found is not None and found.is_noisy for found in (self.to_best, self.to_default)
        )

    def cells(self) -> list[str]:
        """The columns of HEAD."""
        marks = [
            word
            for word, holds in (("best", self.is_best), ("default", self.contestant.is_default))
            if holds
        ]
        return [
            self.test.name,
            self.contestant.name + (f" ({', '.join(marks)})" if marks else ""),
            *(f"{value:.1f}" for value in (self.tok_s.median, self.tok_s.low, self.tok_s.high)),
            f"{100 * self.tok_s.spread:.0f} %",
            self.to_best.text() if self.to_best else "",
            self.to_default.text() if self.to_default else "",
            self.of_read.text(as_percent=True) if self.of_read else "",
        ]

    def record(self) -> dict[str, Any]:
        """For the JSON object."""
        return {
            "test": self.test.name,
            "who": self.contestant.name,
            "is_ours": self.contestant.is_ours,
            "is_default": self.contestant.is_default,
            "is_best": self.is_best,
            "tok_s": _figures(self.tok_s),
            "to_best": _ratio(self.to_best),
            "to_default": _ratio(self.to_default),
            "of_read": _ratio(self.of_read),
        }


def rows(
    samples: Samples,
    tests: list[Test],
    contestants: list[Contestant],
    decode_bytes: Mapping[str, float],
    max_spread: float,
) -> list[Row]:
    """Put the samples together; decode_bytes: test -> bytes that a token reads."""
    found = []
    for test in tests:
        tok_s = {who.name: samples.tok_s[test.name, who.name] for who in contestants}
        theirs = [who for who in contestants if not who.is_ours]
        best = max(theirs, key=lambda who: Summary.of(tok_s[who.name]).median).name
        default = next((who.name for who in theirs if who.is_default), None)
        for who in contestants:
            own = tok_s[who.name]
            of_read = None
            if test.name in decode_bytes:
                per_token = decode_bytes[test.name] / 1e9
                reads = [gb_s / per_token for gb_s in samples.read_gb_s[test.name]]  # tok/s
                of_read = ratio("plain read", own, reads, max_spread)
            found.append(
                Row(
                    test,
                    who,
                    who.name == best,
                    Summary.of(own),
                    ratio(best, own, tok_s[best], max_spread) if who.is_ours else None,
                    ratio(default, own, tok_s[default], max_spread)
                    if who.is_ours and default
                    else None,
                    of_read,
                )
            )
    return found


def as_markdown(head: list[str], found: list[Row], notes: list[str]) -> str:
    """Head lines, table, notes."""
    lines = [HEAD, ("---", "---", *["---:"] * (len(HEAD) - 2)), *(row.cells() for row in found)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return "  \n".join(head) + "\n\n" + table + "\n" + "".join(f"- {note}\n" for note in notes)


def _figures(summary: Summary) -> dict[str, Any]:
    return {
        "median": summary.median,
        "min": summary.low,
        "max": summary.high,
        "spread": summary.spread,
        "rounds": list(summary.values),
    }


def _ratio(found: Ratio | None) -> dict[str, Any] | None:
    """A ratio that is too noisy has the value null; its rounds are there."""
    if found is None:
        return None
    return {
        "to": found.to,
        "value": found.value,
        "spread": found.rounds.spread,
        "rounds": list(found.rounds.values),
    }
