"""`localmix pull`: whether a model will run here, then its bytes, then its kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from localmix import settings, units
from localmix.cli.arguments import flag, one_of, option, within
from localmix.cli.errors import FAILED
from localmix.cli.memory import NoFit, fit_fields, fit_line, is_doubtful, smaller
from localmix.cli.options import KvType
from localmix.cli.progress import load_model, shown_asking, shown_progress
from localmix.cli.terminal import Streams, confirm, console, one_line, write_fields

if TYPE_CHECKING:
    from localmix.engine.fit import Fit
    from localmix.registry.disk.inventory import Inventory
    from localmix.registry.head import Heads
    from localmix.registry.hub import Hub
    from localmix.registry.plan import PullPlan
    from localmix.registry.stored import StoredModel

EXAMPLES = """
localmix pull mistral
localmix pull mixtral:8x7b-instruct-v0.1-q4_0 --dry-run
localmix pull hf.co/OWNER/REPO:Q5_K_M
"""

Asks = Literal["never", "in doubt", "always"]
"""When a person is asked before a download."""

Context = Annotated[
    int | None,
    option("--ctx", metavar="N", text="Tokens of context to judge by.", group="Options"),
]
Yes = Annotated[bool, flag("--yes", "-y", text="Do not ask.", group="Options")]


def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="What to download.")],
    dry_run: Annotated[
        bool, flag("--dry-run", text="Only say what would be downloaded.", group="Options")
    ] = False,
    ctx: Context = None,
    kv: KvType = None,
    yes: Yes = False,
) -> None:
    """Download models, verified by their SHA-256.

    All names are looked up before the first byte is downloaded. It says first whether a model will
    run here. A download that was interrupted goes on where it was.
    """
    one_of("--kv", kv, settings.KV_TYPES)
    within("--ctx", ctx, 1, 2**31 - 1)
    streams = Streams.standard()
    puller = Puller(streams, ctx, kv or settings.KV_TYPES[0])
    plans = {plan.name: plan for plan in map(puller.plan, names)}
    if dry_run:
        for i_plan, plan in enumerate(plans.values()):
            streams.stdout.write("\n" if i_plan else "")
            write_fields(puller.dry_run(plan), streams.stdout)
        return
    here = [puller.carry_out(plan, "never" if yes else "in doubt") for plan in plans.values()]
    if not all(here):
        raise typer.Exit(FAILED)


def offer(name: str, streams: Streams) -> bool:
    """Offer to download a model that `run` misses -> whether that could be done."""
    from localmix.registry.names import OllamaName, parse_name

    if isinstance(parse_name(name), OllamaName):
        return False  # Ollama's own downloads are not ours to make
    puller = Puller(streams)
    if not puller.carry_out(puller.plan(name), "always", for_run=True):
        raise typer.Exit(FAILED)
    return True


class Puller:
    """What `pull`, `update` and `run` do for one model after the other."""

    def __init__(self, streams: Streams, n_ctx: int | None = None, kv: str = "f16") -> None:
        from localmix.registry.disk.inventory import Inventory
        from localmix.registry.hub import Hub

        self.inventory: Inventory = Inventory(settings.home())
        self.hub: Hub = Hub.from_environ()
        self._streams, self._n_ctx, self._kv = streams, n_ctx, kv
        self._page = console(streams.stderr)

    def plan(self, name: str, newest: bool = False) -> PullPlan:
        """Look a name up."""
        from localmix.registry.plan import plan_pull

        with shown_asking(self._streams.stderr):
            return plan_pull(name, self.inventory, self.hub, newest=newest)

    def dry_run(self, plan: PullPlan) -> list[tuple[str, str]]:
        """Give the lines of `pull --dry-run`."""
        if plan.stored is not None:
            return _stored_fields(plan.stored)
        assert plan.manifest is not None, "a plan has a manifest or a model that is here"
        _, fit = self._judge(plan)
        files = [f"{file.path}, {units.size(file.size_bytes)}" for file in plan.manifest.files]
        return [
            ("name", plan.name),
            ("repo", f"hf.co/{plan.manifest.repo}"),
            *(("file", file) for file in files),
            ("size", units.size(plan.size_bytes)),
            ("to download", units.size(plan.missing_bytes)),
            *fit_fields(fit, plan),
        ]

    def carry_out(self, plan: PullPlan, asks: Asks = "in doubt", for_run: bool = False) -> bool:
        """Download a model and compile its kernels -> whether it is here now.

        Args:
            plan: what is to be done.
            asks: when the person is asked first.
            for_run: `run` goes on with it, so there is nothing to compile or to say about that.
        """
        from localmix.registry.pull import check_disk

        if plan.stored is not None:
            self.inventory.records.hide(plan.stored.path, is_hidden=False)
            if plan.twin:
                self.inventory.records.note_twin(plan.twin, plan.stored.name)
            where = f"{units.size(plan.size_bytes)}, {_where(plan.stored)}"
            self._page.print(f"{plan.name} is here already: {where}", markup=False)
            if not for_run:
                self._say_how_to_run(plan.name)
            return True
        check_disk(plan, self.inventory.store)
        heads, fit = self._judge(plan)
        self._say(plan, fit, " is not here yet" if for_run else "")
        if not self._is_agreed(fit, asks):
            self._page.print("nothing was downloaded", style="muted")
            return False
        model = self._download(plan, heads)
        size = units.size(model.size_bytes)
        self._page.print(f"{model.name} is here: {size}, verified", markup=False)
        if not for_run and not (isinstance(fit, NoFit) and fit.never_runs):
            self._compile(model.name)
        return True

    def _judge(self, plan: PullPlan) -> tuple[Heads, Fit | NoFit]:
        """Read the header of a model that is not here -> it, and how it fits or why not."""
        from localmix.engine.fit import fit_of
        from localmix.errors import InvalidGGUF, UnsupportedModel, UnsupportedQuant
        from localmix.registry.head import Heads, read_heads

        assert plan.manifest is not None, "a plan has a manifest or a model that is here"
        heads = Heads()
        try:
            with shown_asking(self._streams.stderr):
                heads = read_heads(plan.manifest, self.inventory.store, self.hub)
            if not heads.headers:
                reason = "fit unknown: the header of the file cannot be read"
                return heads, NoFit(reason, never_runs=False)
            return heads, fit_of(heads.headers, self._n_ctx, self._kv)
        except (InvalidGGUF, UnsupportedModel, UnsupportedQuant) as exc:
            reason = f"localmix cannot run it: {one_line(exc.message)}"
            return heads, NoFit(reason, never_runs=True)

    def _say(self, plan: PullPlan, fit: Fit | NoFit, state: str) -> None:
        """Say what comes and whether it will run."""
        assert plan.manifest is not None, "a plan has a manifest or a model that is here"
        line = f"{plan.name}{state}: {units.size(plan.size_bytes)}"
        arrived_bytes = plan.size_bytes - plan.missing_bytes
        if arrived_bytes:
            line += f", {units.size(arrived_bytes)} of it has arrived"
        self._page.print(line, markup=False)
        repo = f"hf.co/{plan.manifest.repo}"
        if not plan.name.startswith(repo):
            self._page.print(f"from {repo}", style="muted", markup=False)
        style = "warn" if is_doubtful(fit) else "muted"
        self._page.print(fit_line(fit), style=style, markup=False)
        instead = smaller(fit, plan)
        if instead:
            self._page.print(f"a smaller one fits: {instead}", style="muted", markup=False)

    def _is_agreed(self, fit: Fit | NoFit, asks: Asks) -> bool:
        """Ask the person if need be -> whether to download."""
        doubtful = is_doubtful(fit)
        if asks == "never" or not self._streams.person_is_there:
            return True
        if asks == "in doubt" and not doubtful:
            return True
        question = "Download it all the same?" if doubtful else "Download it?"
        return confirm(question, self._streams, default=not doubtful)

    def _download(self, plan: PullPlan, heads: Heads) -> StoredModel:
        from localmix.registry.pull import pull as carry_out

        stderr = self._streams.stderr
        try:
            with shown_progress(stderr) as on_progress:
                return carry_out(plan, self.inventory.store, self.hub, on_progress, heads.read)
        except KeyboardInterrupt:
            # On a terminal the line ends where Ctrl-C is handled.
            end = "" if stderr.isatty() else "\n"
            self._page.print("what has arrived is kept: pull again to go on", end=end)
            raise

    def _compile(self, name: str) -> None:
        """Compile what a model needs, so that its first run is instant, and say how to run it."""
        from localmix.errors import LocalmixError

        try:
            load_model(name, self._streams.stderr).close()
        except LocalmixError as exc:
            self._page.print("[warn]note:[/warn] localmix cannot run it:", end=" ")
            self._page.print(one_line(exc.message), markup=False)
        else:
            self._say_how_to_run(name)

    def _say_how_to_run(self, name: str) -> None:
        self._page.print(f"run it: localmix run {name}", style="muted", markup=False)


def _where(model: StoredModel) -> str:
    """Say how a model came here."""
    own = {
        "embedded": "inside localmix",
        "pulled": "pulled before",
        "imported": "imported",
        "copied": "under another name",
    }
    return own.get(model.origin, f"{model.origin} has it")


def _stored_fields(model: StoredModel) -> list[tuple[str, str]]:
    """Give the lines of `pull --dry-run` for a model that is here."""
    repo = [("repo", f"hf.co/{model.hub_name.repo}")] if model.hub_name else []
    return [
        ("name", model.name),
        *repo,
        *(("file", str(path)) for path in model.paths),
        ("size", units.size(model.size_bytes)),
        ("to download", f"nothing, it is here already: {_where(model)}"),
    ]
