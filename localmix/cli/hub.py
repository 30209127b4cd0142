"""`localmix search`, `outdated` and `update`: what the Hub has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmix import settings, units
from localmix.cli.arguments import Json, flag, option
from localmix.cli.errors import WrongUsage
from localmix.cli.progress import shown_asking
from localmix.cli.terminal import StatusLine, Streams, console, write_json, write_table

if TYPE_CHECKING:
    from localmix.registry.updates import Freshness

SEARCH_EXAMPLES = """
localmix search mixtral instruct
localmix search mistral --limit 3 --json
"""

OUTDATED_EXAMPLES = """
localmix outdated
"""

UPDATE_EXAMPLES = """
localmix update mistral
localmix update --all
"""

_FITS = {
    "fits": "fits",
    "tight": "fits once other programs are closed",
    "streams": "runs, but slower",
    "pages": "too large, very slow",
    "never": "too large",
    "unknown": "unknown",
}


def search(
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help="What to look for.")],
    limit: Annotated[
        int, option("--limit", "-n", metavar="N", text="Repositories at most.", group="Options")
    ] = 5,
    json: Json = False,
) -> None:
    """Search the Hub for models, with size and fit of each quantization."""
    from localmix.engine.fit import verdict_of_size
    from localmix.registry.hub import Hub
    from localmix.registry.search import search as look

    if not 1 <= limit <= 50:
        raise WrongUsage(f"--limit must be from 1 to 50, not {limit}")
    streams = Streams.standard()
    status = StatusLine(streams.stderr, delay_s=0.3)
    status.show("asking the Hub")
    try:
        found = look(" ".join(words), Hub.from_environ(), limit, status.show)
    finally:
        status.clear()
    fits = [verdict_of_size(each.size_bytes) for each in found]
    if json:
        records = [
            {"name": each.name, "size_bytes": each.size_bytes, "fit": fit}
            for each, fit in zip(found, fits, strict=True)
        ]
        write_json(records, streams.stdout)
        return
    if not found:
        text = f"the Hub has no .gguf files for {' '.join(words)}"
        console(streams.stderr).print(text, style="muted", markup=False)
        return
    rows = [
        (each.name, units.size(each.size_bytes), _FITS[fit])
        for each, fit in zip(found, fits, strict=True)
    ]
    write_table(rows, streams.stdout, header=("name", "size", "fit"), right=(1,), spare=(2,))


def outdated(json: Json = False) -> None:
    """Say which of the pulled models have changed on the Hub since."""
    streams = Streams.standard()
    found = _compared()
    if json:
        write_json([_record(each) for each in found], streams.stdout)
        return
    if not found:
        console(streams.stderr).print("nothing was pulled yet", style="muted")
        return
    rows = [(each.manifest.name, _state(each)) for each in found]
    write_table(rows, streams.stdout, header=("name", "state"))
    if any(each.is_outdated for each in found):
        console(streams.stderr).print("localmix update --all pulls them again", style="muted")


def update(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Which models.")
    ] = None,
    everything: Annotated[
        bool, flag("--all", text="All that were pulled.", group="Options")
    ] = False,
) -> None:
    """Download models again that have changed on the Hub. The old one stays until then."""
    from localmix.cli.pull import Puller
    from localmix.errors import DownloadFailed

    if bool(names) == everything:
        raise WrongUsage("update takes names, or --all", "localmix update --all")
    streams = Streams.standard()
    page = console(streams.stderr)
    puller = Puller(streams)
    wanted, problems, n_current = [_pulled(name) for name in names or ()], 0, 0
    for each in _compared() if everything else ():
        if each.problem:
            problems += 1
            page.print(f"{each.manifest.name}: {each.problem}", markup=False)
        elif each.is_outdated:
            wanted.append(each.manifest.name)
        else:
            n_current += 1
            page.print(f"{each.manifest.name} is up to date", markup=False)
    for name in wanted:
        plan = puller.plan(name, newest=True)
        if plan.stored is None:
            puller.carry_out(plan)
        else:
            page.print(f"{plan.name} is up to date", markup=False)
    if problems:
        raise DownloadFailed(
            f"{problems} of the models could not be compared with the Hub", "localmix outdated"
        )
    if not wanted and not n_current:
        page.print("nothing was pulled yet", style="muted")


def _pulled(name: str) -> str:
    """Give the name of a model that localmix pulled.

    Raises:
        NotPulled, ModelNotFound: it is not here.
        LocalmixError: it came here in another way.
    """
    from localmix.errors import LocalmixError
    from localmix.registry.resolve import find
    from localmix.registry.stored import StoredModel

    model = find(name, settings.home())
    origin = model.origin if isinstance(model, StoredModel) else "imported"
    if origin == "pulled":
        return name
    raise LocalmixError(
        f"{name} was not pulled from the Hub, so localmix cannot update it",
        "localmix list shows where models are from",
    )


def _compared() -> list[Freshness]:
    from localmix.registry.disk.inventory import Inventory
    from localmix.registry.hub import Hub
    from localmix.registry.updates import freshness

    with shown_asking(Streams.standard().stderr):
        return list(freshness(Inventory(settings.home()), Hub.from_environ()))


def _state(each: Freshness) -> str:
    return each.problem or ("outdated" if each.is_outdated else "up to date")


def _record(each: Freshness) -> dict[str, Any]:
    return {
        "name": each.manifest.name,
        "revision": each.manifest.revision,
        "hub_revision": each.revision or None,
        "outdated": each.is_outdated,
        "problem": each.problem or None,
    }
