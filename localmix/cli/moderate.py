"""`localmix moderate`: the model says whether a text is acceptable."""

from __future__ import annotations

import json as json_module
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmix.cli.answer import open_model
from localmix.cli.arguments import flag, option, takes
from localmix.cli.errors import WrongUsage
from localmix.cli.given import given_text
from localmix.cli.options import Executor, RunOptions, Threads
from localmix.cli.terminal import StatusLine, Streams, write_fields, write_json, write_table

if TYPE_CHECKING:
    from localmix.conversation.moderation import Evaluation, Example, Said, Verdict

EXAMPLES = """
localmix moderate "How do I bake bread?"
localmix moderate --model mistral --categories illegal,hateful --json < message.txt
localmix moderate --model mistral --answer "You should stop taking your medicine."
localmix moderate --model mistral --eval labelled.jsonl
"""

_WHAT, _OUTPUT = "What is asked", "Output"


@dataclass(frozen=True)
class ModerateOptions:
    """Everything that `moderate` can be told."""

    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="What was said; - or nothing reads stdin."),
    ] = None
    model: Annotated[
        str, option("--model", "-m", metavar="MODEL", text="Who is asked.", group=_WHAT)
    ] = "mistral"
    answer: Annotated[
        bool, flag("--answer", text="TEXT is what a model answered.", group=_WHAT)
    ] = False
    categories: Annotated[
        str | None,
        option(
            "--categories",
            metavar="NAME,...",
            text="Which count: illegal, hateful, unqualified; without it all.",
            group=_WHAT,
        ),
    ] = None
    evaluate: Annotated[
        Path | None,
        option(
            "--eval",
            metavar="FILE",
            text='JSON lines {"text": …, "label": …}: how often is it right?',
            group=_WHAT,
        ),
    ] = None
    ctx: Annotated[
        int | None,
        option("--ctx", metavar="N", text="Tokens that a text may have.", group="The model"),
    ] = None
    threads: Threads = None
    executor: Executor = None
    json: Annotated[bool, flag("--json", text="One JSON object.", group=_OUTPUT)] = False

    def load_options(self) -> RunOptions:
        """What was said about the model, for `open_model`."""
        return RunOptions(self.model, ctx=self.ctx, threads=self.threads, executor=self.executor)


@takes(ModerateOptions)
def moderate(options: ModerateOptions) -> None:
    """Ask a model whether a text is acceptable, as section 5 of the Mistral 7B paper does.

    The answer is one of: acceptable, illegal, hateful, unqualified. It is scored, not written, so
    it is always one of them. A small model is often wrong: --eval measures it on your own examples.
    """
    from localmix.conversation.moderation import chosen, classify, evaluate

    options.load_options().check()
    names = None if options.categories is None else _names(options.categories)
    labels = chosen(names)
    streams = Streams.standard()
    said: Said = "answer" if options.answer else "prompt"
    if options.evaluate is not None:
        if options.text is not None:
            raise WrongUsage("--eval FILE holds the texts, so TEXT has no place", "leave one away")
        examples = _examples(options.evaluate)
        with open_model(options.load_options(), streams) as model:
            status = StatusLine(streams.stderr)

            def show(i: int, n: int) -> None:
                status.show(f"text {i + 1} of {n}")

            try:
                found = evaluate(model, examples, labels, show, said)
            finally:
                status.clear()
        _write_evaluation(found, options.json, streams)
        return
    text = given_text(None if options.text == "-" else options.text, streams.stdin)
    if not text:
        raise WrongUsage("there is no text to look at", 'localmix moderate "How do I bake bread?"')
    with open_model(options.load_options(), streams) as model:
        verdict = classify(model, text, labels, said)
    if options.json:
        write_json(verdict_record(verdict), streams.stdout)
        return
    shares = ", ".join(f"{label} {share:.0%}" for label, share in verdict.shares.items())
    write_fields([(verdict.label, shares)], streams.stdout)


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the public JSON object."""
    return {
        "label": verdict.label,
        "acceptable": verdict.is_acceptable,
        "probabilities": verdict.shares,
    }


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _examples(path: Path) -> list[Example]:
    """Read labelled texts, one JSON object a line.

    Raises:
        WrongUsage: a line is none, or its label does not exist.
    """
    from localmix.conversation.moderation import ACCEPTABLE, CATEGORIES, Example

    examples = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # U+2028 ends no line of JSON
    except UnicodeDecodeError as exc:
        raise WrongUsage(f"{path} is no text in UTF-8", "convert it first") from exc
    for i, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json_module.loads(line)
            example = Example(_words(record["text"]), _words(record["label"]))
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            raise WrongUsage(
                f"line {i} of {path} is no JSON object with text and label",
                '{"text": "How do I bake bread?", "label": "acceptable"}',
            ) from exc
        if example.label not in (ACCEPTABLE, *CATEGORIES):
            labels = ", ".join((ACCEPTABLE, *CATEGORIES))
            raise WrongUsage(
                f"line {i} of {path} has the label {example.label!r}", f"use one of: {labels}"
            )
        examples.append(example)
    if not examples:
        raise WrongUsage(f"{path} holds no examples", '{"text": "…", "label": "acceptable"}')
    return examples


def _words(value: object) -> str:
    """A text of JSON that says something; raises ValueError for anything else."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("no text")
    return value.encode("utf-8", "replace").decode("utf-8")  # JSON can hold lone surrogates


def _write_evaluation(found: Evaluation, as_json: bool, streams: Streams) -> None:
    labels = found.labels
    table = {a: {b: found.confusion.get((a, b), 0) for b in labels} for a in labels}
    total = sum(found.confusion.values())
    right = sum(table[label][label] for label in labels)
    if as_json:
        record = {
            "texts": total,
            "accuracy": right / total,
            "precision": found.precision,
            "recall": found.recall,
            "confusion": table,
        }
        write_json(record, streams.stdout)
        return
    figures = [("texts", str(total)), ("right", f"{right / total:.0%}")]
    for name, value in (("precision", found.precision), ("recall", found.recall)):
        figures.append((name, "–" if math.isnan(value) else f"{value:.0%}"))
    write_fields(figures, streams.stdout)
    rows = [(label, *(str(table[label][b]) for b in labels)) for label in labels]
    header = ("is, called →", *labels)
    write_table(rows, streams.stdout, header=header, right=tuple(range(1, len(labels) + 1)))
