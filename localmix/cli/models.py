"""`localmix pull`, `list` and `show`: the models on this machine and on their way to it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmix import units
from localmix.cli.options import flag
from localmix.cli.progress import shown_progress
from localmix.cli.terminal import Streams, console, write_fields, write_json, write_table

if TYPE_CHECKING:
    from localmix.gguf import GGUFFile
    from localmix.model.config import ModelConfig
    from localmix.registry.hub import Hub
    from localmix.registry.plan import PullPlan
    from localmix.registry.store import Store, StoredModel

LIST_EXAMPLES = """
localmix list
localmix ls --json | jq -r '.[].name'
"""

SHOW_EXAMPLES = """
localmix show tiny
localmix show mixtral --json
localmix show ./model.gguf
"""

PULL_EXAMPLES = """
localmix pull mistral
localmix pull mixtral:8x7b-instruct-v0.1-q4_0 --dry-run
localmix pull hf.co/OWNER/REPO:Q5_K_M
"""

_Json = Annotated[bool, flag("--json", text="JSON instead of text.", group="Options")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="A name, or a .gguf file.")]


def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="What to download.")],
    dry_run: Annotated[
        bool, flag("--dry-run", text="Only say what would be downloaded.", group="Options")
    ] = False,
) -> None:
    """Download models, verified by their SHA-256.

    All names are looked up before the first byte is downloaded.
    """
    from localmix import settings
    from localmix.registry.hub import Hub
    from localmix.registry.plan import plan_pull
    from localmix.registry.store import Store

    streams = Streams.standard()
    store, hub = Store(settings.home()), Hub.from_environ()
    plans = [plan_pull(name, store, hub) for name in names]
    if dry_run:
        for i_plan, plan in enumerate(plans):
            streams.stdout.write("\n" if i_plan else "")
            write_fields(_plan_fields(plan), streams.stdout)
        return
    for plan in plans:
        _carry_out(plan, store, hub, streams)


def download(name: str, streams: Streams) -> None:
    """Download one model: what `run` does when it is missing and a person is there."""
    from localmix import settings
    from localmix.registry.hub import Hub
    from localmix.registry.plan import plan_pull
    from localmix.registry.store import Store

    store, hub = Store(settings.home()), Hub.from_environ()
    _carry_out(plan_pull(name, store, hub), store, hub, streams)


def _carry_out(plan: PullPlan, store: Store, hub: Hub, streams: Streams) -> None:
    from localmix.registry.pull import pull as carry_out

    page = console(streams.stderr)
    if plan.stored is not None:
        page.print(f"{plan.name} is here already ({units.size(plan.size_bytes)})", markup=False)
        return
    with shown_progress(streams.stderr) as on_progress:
        model = carry_out(plan, store, hub, on_progress)
    page.print(f"{model.name} is here: {units.size(model.size_bytes)}, checked", markup=False)


def _plan_fields(plan: PullPlan) -> list[tuple[str, str]]:
    """The lines of `pull --dry-run`."""
    if not plan.repo:
        return [("name", plan.name), ("size", f"{units.size(plan.size_bytes)}, inside localmix")]
    return [
        ("name", plan.name),
        ("repo", f"hf.co/{plan.repo}"),
        *(("file", f"{file.path}, {units.size(file.size_bytes)}") for file in plan.files),
        ("size", units.size(plan.size_bytes)),
        ("to download", units.size(plan.missing_bytes)),
    ]


def list_models(json: _Json = False) -> None:
    """List the models on this machine."""
    from localmix import settings
    from localmix.registry.store import Store

    streams = Streams.standard()
    models = Store(settings.home()).list()
    if json:
        write_json([_list_record(model) for model in models], streams.stdout)
        return
    if not models:
        console(streams.stderr).print("no models here yet: localmix pull mistral", style="muted")
        return
    rows = [
        (
            model.name,
            units.size(model.size_bytes),
            f"{model.modified.astimezone():%Y-%m-%d %H:%M}",
            "complete" if model.complete else "partial: pull it again",
        )
        for model in models
    ]
    write_table(rows, streams.stdout, header=("name", "size", "modified", "state"), right=(1,))


def show(name: _Name, json: _Json = False) -> None:
    """Show what a model is made of, from its file alone."""
    from localmix import settings
    from localmix.gguf import GGUFFile
    from localmix.model.config import ModelConfig
    from localmix.registry.resolve import resolve

    streams = Streams.standard()
    with GGUFFile.open(resolve(name, settings.home())) as file:
        config = ModelConfig.from_metadata(file.metadata)
        if json:
            write_json(_show_record(name, file, config), streams.stdout)
        else:
            write_fields(_show_fields(name, file, config), streams.stdout)


def _list_record(model: StoredModel) -> dict[str, Any]:
    """One entry of `list --json`."""
    return {
        "name": model.name,
        "path": str(model.path),
        "size_bytes": model.size_bytes,
        "modified": model.modified.isoformat(),
        "complete": model.complete,
    }


def _show_record(name: str, file: GGUFFile, config: ModelConfig) -> dict[str, Any]:
    """The object of `show --json`."""
    from localmix.gguf.summary import n_parameters, quantization_label

    return {
        "name": name,
        "path": str(file.path),
        "architecture": config.architecture,
        "parameters": n_parameters(file.tensors),
        "quantization": quantization_label(file),
        "config": asdict(config),
        "tensors": len(file.tensors),
        "chat_template": "tokenizer.chat_template" in file.metadata,
    }


def _show_fields(name: str, file: GGUFFile, config: ModelConfig) -> list[tuple[str, str]]:
    """The lines of `show`, in the order of what people ask first."""
    from localmix.gguf.summary import n_parameters, quantization_label, tensor_types

    types = tensor_types(file.tensors)
    shards = f" in {len(file.shards)} files" if len(file.shards) > 1 else ""
    heads = f"{config.n_heads} heads, {config.n_kv_heads} for keys and values, of {config.head_dim}"
    return [
        ("name", config.name or name),
        ("file", str(file.path)),
        ("size", units.size(file.size_bytes) + shards),
        ("architecture", config.architecture),
        ("parameters", units.count(n_parameters(file.tensors))),
        ("quantization", quantization_label(file)),
        ("context", f"{config.context_length} tokens"),
        ("window", f"{config.sliding_window} tokens" if config.sliding_window else "none"),
        ("experts", _experts(config)),
        ("layers", f"{config.n_layers} of width {config.dim}, feed-forward {config.hidden_dim}"),
        ("attention", heads),
        ("vocabulary", f"{config.vocab_size} tokens"),
        ("chat template", "yes" if "tokenizer.chat_template" in file.metadata else "no"),
        ("tensors", f"{len(file.tensors)}: " + ", ".join(f"{n} {t}" for t, n in types.items())),
    ]


def _experts(config: ModelConfig) -> str:
    if not config.n_experts:
        return "none"
    return f"{config.n_experts}, of which a token visits {config.n_experts_used}"
