"""`localmix recommend`: which model for a task, on this machine, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TextIO

from localmix import settings, units
from localmix.cli.arguments import Json, one_of, option
from localmix.cli.progress import shown_measuring
from localmix.cli.terminal import Streams, console, write_json, write_table

if TYPE_CHECKING:
    from localmix.advice.ranking import Recommendation

EXAMPLES = """
localmix recommend
localmix recommend --task code --response batch
localmix recommend --task qa --domain specific --compute low --json
"""

N_EXPLAINED = 3
"""Models whose reasons are written out."""

_FITS = {
    "fits": "fits",
    "tight": "tight",
    "streams": "from disk",
    "pages": "too large",
    "never": "too large",
    "unknown": "unknown",
}


def recommend(
    task: Annotated[
        str,
        option(
            "--task",
            metavar="conversation|generation|qa|reasoning|code",
            text="What the model is for.",
            group="Options",
        ),
    ] = "conversation",
    response: Annotated[
        str,
        option(
            "--response",
            metavar="real-time|batch",
            text="Does somebody read along?",
            group="Options",
        ),
    ] = "real-time",
    domain: Annotated[
        str,
        option(
            "--domain",
            metavar="general|specific",
            text="What everybody knows, or documents of your own.",
            group="Options",
        ),
    ] = "general",
    compute: Annotated[
        str | None,
        option(
            "--compute",
            metavar="low|medium|high",
            text="A typical machine instead of this one: 8, 16 or 64 GB.",
            group="Options",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say which model of the catalog suits a task and this machine, and why.

    Speeds are predictions. Results of benchmarks are published ones, with their sources; where
    there are none, it says so.
    """
    from localmix.advice.candidates import CHOICES, Wishes
    from localmix.advice.this_machine import advise

    said = {"task": task, "response": response, "domain": domain, "compute": compute}
    for name, value in said.items():
        one_of(f"--{name}", value, CHOICES[name])
    streams = Streams.standard()
    wishes = Wishes(task, response, domain, compute)
    with shown_measuring(streams.stderr) as (on_measure, on_compile):
        home, cache = settings.home(), settings.cache_folder()
        ranked = advise(wishes, home, cache, on_measure, on_compile)
    if json:
        write_json([asdict(each) for each in ranked], streams.stdout)
    else:
        _write(ranked, streams.stdout)


def _write(ranked: list[Recommendation], stdout: TextIO) -> None:
    rows = [
        (
            str(place),
            each.name,
            units.size(each.size_bytes) if each.size_bytes else "–",
            _FITS[each.verdict],
            "–" if each.decode_tok_s is None else _number(each.decode_tok_s),
        )
        for place, each in enumerate(ranked, 1)
    ]
    header = ("", "model", "size", "fit", "tok/s")
    write_table(rows, stdout, header=header, right=(0, 2, 4), spare=(2,))
    page = console(stdout)
    for each in ranked[:N_EXPLAINED]:
        stdout.write("\n")
        page.print(each.name, style="title", markup=False)
        for reason in each.reasons:
            page.print(f"  {reason}", markup=False)
        # What comes inside the package needs no download.
        page.print(
            f"  localmix {'pull' if each.quantization else 'run'} {each.name}",
            style="muted",
            markup=False,
        )


def _number(tok_s: float) -> str:
    return units.rate(tok_s).removesuffix(" tok/s")
