"""`localmix list` and `show`: the models on this machine, and what they are made of."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmix import settings, units
from localmix.cli.arguments import Json
from localmix.cli.terminal import (
    Streams,
    console,
    write_fields,
    write_json,
    write_table,
)

if TYPE_CHECKING:
    from localmix.gguf import GGUFFile
    from localmix.model.config import ModelConfig
    from localmix.registry.stored import StoredModel

LIST_EXAMPLES = """
localmix list
localmix ls --json | jq -r '.[].name'
"""

SHOW_EXAMPLES = """
localmix show tiny
localmix show mixtral --json
localmix show ./model.gguf
"""

_HEADER = ("name", "size", "modified", "used", "from", "state")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A name, or a .gguf file.")]


def list_models(json: Json = False) -> None:
    """List the models on this machine, also those that other programs have downloaded.

    Models of Ollama, of the Hugging Face cache and of LM Studio are used where they lie.
    """
    from localmix.registry.disk.inventory import Inventory

    streams = Streams.standard()
    inventory = Inventory(settings.home())
    models, used = inventory.list(), inventory.records.last_used()
    if json:
        records = [_list_record(m, used.get(str(m.path.absolute()))) for m in models]
        write_json(records, streams.stdout)
        return
    if not models:
        console(streams.stderr).print("no models here yet: localmix pull mistral", style="muted")
        return
    # A column of nothing but "complete" would take the place of names.
    n_columns = len(_HEADER) - all(model.complete for model in models)
    header = _HEADER[:n_columns]
    rows = [_row(m, used.get(str(m.path.absolute())))[:n_columns] for m in models]
    write_table(rows, streams.stdout, header=header, right=(1,), spare=(2, 3, 4))
    unfinished = [model.name for model in models if model.whole_bytes and not model.complete]
    if unfinished:
        hint = f"to finish it: localmix pull {unfinished[0]}"
        console(streams.stderr).print(hint, style="muted", markup=False)


def show(name: _Name, json: Json = False) -> None:
    """Show what a model is made of, from its file alone, and what it wants of memory."""
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


def _row(model: StoredModel, last_used: datetime | None) -> tuple[str, ...]:
    """One line of `list`."""
    return (
        model.name,
        units.size(model.size_bytes),
        f"{model.modified.astimezone():%Y-%m-%d %H:%M}",
        _ago(last_used),
        model.origin,
        _state(model),
    )


def _ago(then: datetime | None) -> str:
    """Say how long ago something was, roughly."""
    if then is None:
        return "never"
    minutes = (datetime.now(timezone.utc) - then).total_seconds() / 60
    for size, unit in ((60 * 24, "d"), (60, "h"), (1, "min")):
        if minutes >= size:
            return f"{int(minutes // size)} {unit} ago"
    return "just now"


def _state(model: StoredModel) -> str:
    if model.complete:
        return "complete"
    if model.origin in ("imported", "copied"):
        return "its file has gone"
    if model.whole_bytes:
        return f"partial, {100 * model.size_bytes // model.whole_bytes} %"
    return "partial"


def _list_record(model: StoredModel, last_used: datetime | None) -> dict[str, Any]:
    """One entry of `list --json`."""
    return {
        "name": model.name,
        "path": str(model.path),
        "size_bytes": model.size_bytes,
        "modified": model.modified.isoformat(),
        "complete": model.complete,
        "origin": model.origin,
        "last_used": last_used.isoformat() if last_used else None,
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
    from localmix.cli.memory import memory, verdict
    from localmix.engine.fit import fit_of
    from localmix.gguf.summary import n_parameters, quantization_label, tensor_types

    fit = fit_of(file.headers)
    types = tensor_types(file.tensors)
    shards = f" in {len(file.shards)} files" if len(file.shards) > 1 else ""
    heads = f"{config.n_heads} heads, {config.n_kv_heads} for keys and values, of {config.head_dim}"
    return [
        ("name", config.name or name),
        ("file", str(file.path)),
        ("size", units.size(file.size_bytes) + shards),
        ("memory", memory(fit)),
        ("fit", verdict(fit)),
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
