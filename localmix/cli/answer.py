"""From a prompt to text on stdout: the part that `run` and the chat share.

`Answering` is one answer being made: prompt ids → the engine's pieces → the terminal or a pipe,
each piece flushed as it comes. Figures are data until `figures` or `stats_record` writes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from localmix import settings, units
from localmix.cli.options import RunOptions
from localmix.cli.progress import load_model
from localmix.cli.terminal import StatusLine, Streams, console, printable

if TYPE_CHECKING:
    from localmix.engine import Generation, Model, Stats
    from localmix.engine.stats import Streamed

Message = dict[str, Any]

STATS_KEYS = (
    "prompt_tokens",
    "generated_tokens",
    "load_s",
    "ttft_s",
    "prefill_tok_s",
    "decode_tok_s",
    "peak_rss_bytes",
)


def open_model(options: RunOptions, streams: Streams) -> Model:
    """Load the model; when it is missing and a person is there, download it first."""
    from localmix.errors import NotPulled
    from localmix.registry.disk.records import Records

    try:
        model = load_model(options.model, streams.stderr, **options.load_settings())
    except NotPulled:
        if not streams.person_is_there:
            raise
        from localmix.cli.pull import offer

        if not offer(options.model, streams):
            raise
        model = load_model(options.model, streams.stderr, **options.load_settings())
    Records(settings.home()).note_use(model.path)
    if model.n_ctx > model.config.context_length:
        console(streams.stderr).print(
            f"[warn]note:[/warn] the model was trained for {model.config.context_length} tokens; "
            f"beyond them, up to {model.n_ctx}, its answers may be of no use"
        )
    return model


def prompt_ids(model: Model, prompt: str | Sequence[Message], options: RunOptions) -> list[int]:
    """Turn text to continue, or the messages of a chat, into the ids that the model reads."""
    if isinstance(prompt, str):
        return model.tokenize(prompt, parse_special=True)
    return model.render_chat(list(prompt), safe_prompt=options.safe_prompt)


def messages_of(options: RunOptions) -> list[Message]:
    """The messages a conversation starts with: the system message, if there is one."""
    return [{"role": "system", "content": options.system}] if options.system else []


class Answering:
    """One answer: start it, stream it, and look at what it cost.

    Attributes:
        generation: the engine's iterator, with tokens, text, finish_reason and stats.
    """

    def __init__(
        self,
        model: Model,
        prompt: str | Sequence[Message],
        options: RunOptions,
        streams: Streams,
    ) -> None:
        ids = prompt_ids(model, prompt, options)
        if options.show_prompt:
            _show_prompt(model, ids, streams)
        self._model = model
        self._options = options
        self._streams = streams
        self._status = StatusLine(streams.stderr)
        self._reading = Reading()
        self.generation: Generation = model.generate(
            ids,
            max_tokens=options.max_tokens,
            is_answer=not isinstance(prompt, str),
            on_prefill=self._on_prefill,
            **options.sampling_settings(),
        )

    def drain(self) -> None:
        """Make the whole answer without showing it."""
        try:
            for _ in self.generation:
                self._status.clear()
        finally:
            self._status.clear()

    def stream(self) -> None:
        """Write the answer as it comes, and end it with a newline."""
        stdout = self._streams.stdout
        on_terminal = stdout.isatty()
        last = ""
        try:
            for piece in self.generation:
                self._status.clear()
                # A pipe gets the text as it is; a terminal must not be steered by a model.
                text = printable(piece.text) if on_terminal else piece.text
                if text:
                    last = text[-1]  # before writing: Ctrl-C can come in between
                    stdout.write(text)
                    stdout.flush()
            last = last or " "  # an empty answer is an empty line
        finally:
            self._status.clear()
            if last not in ("", "\n"):
                stdout.write("\n")
                stdout.flush()

    def remark(self) -> None:
        """Say on stderr that the context cut the answer, if so, and the figures if asked for."""
        options, generation, stderr = self._options, self.generation, self._streams.stderr
        if generation.finish_reason == "length" and len(generation.tokens) != options.max_tokens:
            page = console(stderr)
            page.print(
                f"[warn]note:[/warn] the answer stops here: the context of {self._model.n_ctx} "
                "tokens is full (--ctx N gives more)"
            )
        if options.verbose:
            console(stderr).print(figures(generation.stats), style="muted", markup=False)

    def _on_prefill(self, n_done: int, n_total: int) -> None:
        self._status.show(self._reading.line(n_done, n_total))


class Reading:
    """How far a prompt was read, how fast, and how long the rest will take."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start_s: float | None = None
        self._n_before = 0

    def line(self, n_done: int, n_total: int) -> str:
        """Say it in a line; the first call begins to count."""
        now_s = self._clock()
        if self._start_s is None:
            self._start_s, self._n_before = now_s, n_done
        parts = [f"reading the prompt: {n_done} of {n_total} tokens"]
        n_read, seconds = n_done - self._n_before, now_s - self._start_s
        if n_read > 0 and seconds > 0 and n_done < n_total:
            tok_s = n_read / seconds
            parts += [units.rate(tok_s), f"{units.seconds((n_total - n_done) / tok_s)} left"]
        return " · ".join(parts)


def figures(stats: Stats) -> str:
    """Statistics as one line: what was read, what was made, how long one waited, what it took."""
    kept = f" ({stats.kept_tokens} kept)" if stats.kept_tokens else ""
    parts = [
        f"prompt {stats.prompt_tokens} tokens{kept} at {units.rate(stats.prefill_tok_s)}",
        f"answer {stats.generated_tokens} tokens at {units.rate(stats.decode_tok_s)}",
        f"first token {units.seconds(stats.ttft_s)}",
        f"load {units.seconds(stats.load_s)}",
        f"peak memory {units.size(stats.peak_rss_bytes)}",
    ]
    if stats.streamed:
        parts.append(streaming(stats.streamed))
    return " · ".join(parts)


def streaming(streamed: Streamed) -> str:
    """How experts came from the disk, in a few words."""
    speed = units.size(streamed.disk_bytes_s)
    return (
        f"experts {100 * streamed.hit_rate:.0f} % in memory, "
        f"{units.size(streamed.bytes_per_token)} read per token at {speed}/s"
    )


def stats_record(stats: Stats) -> dict[str, Any]:
    """Statistics as the public JSON object."""
    record = {key: getattr(stats, key) for key in STATS_KEYS}
    return record | ({"streamed": stats.streamed.record()} if stats.streamed else {})


def _show_prompt(model: Model, ids: list[int], streams: Streams) -> None:
    page = console(streams.stderr)
    page.print(f"the prompt, {len(ids)} tokens:", style="muted", markup=False)
    page.print(printable(model.prompt_text(ids)), markup=False)
