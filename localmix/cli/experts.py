"""`localmix experts`: which expert each token of a text visits.

The way: text → ids → `Model.route` → `engine/routes.py` counts → the terminal
(`experts_figure.py`), a page (`experts_page.py`) or JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmix.cli.answer import open_model
from localmix.cli.arguments import flag, option, takes
from localmix.cli.errors import WrongUsage
from localmix.cli.given import given_text
from localmix.cli.options import Executor, ExpertsUsed, RunOptions, Threads
from localmix.cli.page import check_place, write_page
from localmix.cli.terminal import StatusLine, Streams, console, one_line, write_json
from localmix.errors import ContextFull

if TYPE_CHECKING:
    from localmix.engine import Model
    from localmix.engine.routes import LayerRoutes

EXAMPLES = """
localmix experts tiny
localmix experts mixtral "The capital of France is Paris." --layers 0,15,31
localmix experts tiny --layers all --html experts.html < README.md
localmix experts tiny "Once upon a time" --json | jq '.layers[0].repetition'
"""

SAMPLE = """\
The keeper of the lighthouse counted the ships until the fog came in. Then she counted the seconds \
between two bells, and wrote them down.

def area(width, height):
    if width < 0 or height < 0:
        raise ValueError("a side cannot be negative")
    return width * height
"""
"""Read when no text is given: prose and code, whose indentation visits experts of its own."""

_SHOWN, _OUTPUT = "What is shown", "Output"


@dataclass(frozen=True)
class ExpertsOptions:
    """Everything that `experts` can be told."""

    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name, hf.co/OWNER/REPO, or a .gguf file.")
    ]
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="What the model reads; without it a short sample."),
    ] = None
    layers: Annotated[
        str | None,
        option(
            "--layers",
            metavar="N,N,...|all",
            text="Without it the first, the middle and the last.",
            group=_SHOWN,
        ),
    ] = None
    threads: Threads = None
    experts: ExpertsUsed = None
    executor: Executor = None
    html: Annotated[
        str | None,
        option("--html", metavar="FILE", text="Write a page for a browser too.", group=_OUTPUT),
    ] = None
    json: Annotated[
        bool, flag("--json", text="One JSON object with every token's experts.", group=_OUTPUT)
    ] = False

    def load_options(self, ctx: int | None = None) -> RunOptions:
        """What was said about the model, for `open_model`."""
        return RunOptions(
            self.model, ctx=ctx, threads=self.threads, experts=self.experts, executor=self.executor
        )

    def check(self) -> None:
        """Raise WrongUsage for the first value that makes no sense."""
        self.load_options().check()
        if self.html is not None:
            check_place(Path(self.html), "experts.html")


@dataclass(frozen=True)
class Reading:
    r"""A text that was routed.

    Attributes:
        tokens: ids, as the model read them.
        pieces: what each of them says; bytes that are no whole character as \xf0.
        layers: those that are shown.
        n_layers: how many the model has.
        n_experts, n_experts_used: E and A.
    """

    tokens: list[int]
    pieces: list[str]
    layers: list[LayerRoutes]
    n_layers: int
    n_experts: int
    n_experts_used: int


@takes(ExpertsOptions)
def experts(options: ExpertsOptions) -> None:
    """Show which expert each token visits.

    The text is read once, and each token is shown in the colour of the expert that a layer's router
    likes best, as in figure 8 of the Mixtral paper. With TEXT and piped text TEXT comes first.
    """
    options.check()
    streams = Streams.standard()
    reading = _read(options, _text(options.text, streams), streams)
    if options.html is not None:  # before the figure: the reader of a pipe may leave early
        from localmix.cli.experts_page import page

        text = page(options.model, _facts(reading), reading.layers, reading.tokens, reading.pieces)
        write_page(Path(options.html), text, "experts.html")
        console(streams.stderr).print(f"the page is in {one_line(options.html)}", markup=False)
    if options.json:
        write_json(_record(options.model, reading), streams.stdout)
    else:
        _draw(options.model, reading, streams)


def chosen_layers(text: str | None, n_layers: int) -> list[int]:
    """Read --layers: numbers of layers, each once, in the order that they were given.

    Raises:
        WrongUsage: there is no such layer.
    """
    if text is None:
        return list(dict.fromkeys((0, (n_layers - 1) // 2, n_layers - 1)))
    if text.strip() == "all":
        return list(range(n_layers))
    layers = []
    for word in (part.strip() for part in text.split(",")):
        # The length is bounded: Python refuses to read numbers of thousands of digits.
        is_number = word.isascii() and word.isdecimal() and len(word) <= 9
        if not is_number or int(word) >= n_layers:
            raise WrongUsage(
                f"--layers must be all or numbers from 0 to {n_layers - 1}, not {text!r}",
                f"--layers 0,{n_layers - 1}" if n_layers > 1 else "--layers 0",
            )
        layers.append(int(word))
    return list(dict.fromkeys(layers))


def draw_ids(model: Model, name: str, tokens: list[int], streams: Streams) -> None:
    """Draw which experts some tokens visit, for the chat."""
    _draw(name, _route(model, tokens, ExpertsOptions(name), streams), streams)


def _text(argument: str | None, streams: Streams) -> str:
    """The text that was given, or the sample; then say so."""
    text = given_text(argument, streams.stdin)
    if text:
        return text
    if argument is not None:
        raise WrongUsage("the text is empty", 'localmix experts tiny "Once upon a time"')
    console(streams.stderr).print(
        "no text was given, so this is a sample", style="muted", markup=False
    )
    return SAMPLE


def _read(options: ExpertsOptions, text: str, streams: Streams) -> Reading:
    """Route a text, in a context as long as it needs."""
    with open_model(options.load_options(), streams) as model:
        tokens = model.tokenize(text)
        if len(tokens) <= model.n_ctx:
            return _route(model, tokens, options, streams)
        n_most = model.config.context_length
    # How many tokens a text has is known only now. A second load costs little beside such a text.
    if len(tokens) > n_most:
        raise ContextFull(
            f"{len(tokens)} tokens do not fit the model's context of {n_most}",
            "give it a shorter text",
        )
    with open_model(options.load_options(ctx=len(tokens)), streams) as model:
        return _route(model, tokens, options, streams)


def _route(model: Model, tokens: list[int], options: ExpertsOptions, streams: Streams) -> Reading:
    from localmix.engine.routes import layer_routes

    config = model.config
    layers = chosen_layers(options.layers, config.n_layers)
    status = StatusLine(streams.stderr)
    status.show(f"reading {len(tokens)} tokens")
    try:
        routes = model.route(tokens)
    finally:
        status.clear()
    return Reading(
        tokens=tokens,
        pieces=[_piece(model, token) for token in tokens],
        layers=layer_routes(routes, config.n_experts, layers),
        n_layers=config.n_layers,
        n_experts=config.n_experts,
        n_experts_used=config.n_experts_used,
    )


def _piece(model: Model, token: int) -> str:
    """What a token says; a token that prints nothing is named as the file names it."""
    text = model.tokenizer.piece_bytes(token).decode("utf-8", "backslashreplace")
    return text or model.tokenizer.vocabulary.pieces[token]


def _facts(reading: Reading) -> str:
    """A line about what was read."""
    n_tokens = len(reading.tokens)
    tokens = "1 token" if n_tokens == 1 else f"{n_tokens} tokens"
    experts = f"{reading.n_experts} experts, of which a token visits {reading.n_experts_used}"
    return f"{tokens} · {reading.n_layers} layers · {experts}"


def _draw(name: str, reading: Reading, streams: Streams) -> None:
    from localmix.cli.experts_figure import Figure

    figure = Figure(streams.stdout, reading.n_experts)
    figure.write_heading(f"{one_line(name)} · {_facts(reading)}")
    for layer in reading.layers:
        figure.write_layer(layer, reading.pieces)


def _record(name: str, reading: Reading) -> dict[str, Any]:
    """The object of `experts --json`."""
    return {
        "model": name,
        "tokens": reading.tokens,
        "pieces": reading.pieces,
        "n_experts": reading.n_experts,
        "n_experts_used": reading.n_experts_used,
        "layers": [_layer_record(layer) for layer in reading.layers],
    }


def _layer_record(layer: LayerRoutes) -> dict[str, Any]:
    return {
        "layer": layer.layer,
        "experts": layer.experts.tolist(),
        "first": layer.first.tolist(),
        "visits": layer.visits.tolist(),
        "repetition": {
            "first": layer.repetition.first,
            "first_by_chance": layer.repetition.first_by_chance,
            "any": layer.repetition.any,
            "any_by_chance": layer.repetition.any_by_chance,
        },
    }
