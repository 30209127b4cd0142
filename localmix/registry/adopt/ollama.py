"""Models that Ollama has downloaded.

    OLLAMA_MODELS/
    ├── manifests/
    │   ├── registry.ollama.ai/
    │   │   ├── library/MODEL/TAG             ollama/MODEL:TAG
    │   │   └── NAMESPACE/MODEL/TAG           ollama/NAMESPACE/MODEL:TAG
    │   └── hf.co/OWNER/REPO/TAG              ollama/hf.co/OWNER/REPO:TAG, TAG a quantization
    ├── manifests-v2/                         the same in later versions, with links to blobs
    │   └── ollama.com/library/MODEL/TAG
    └── blobs/
        ├── sha256-HEX                        a layer; that of the model is a whole .gguf file
        └── sha256-HEX-partial                a download that has not finished

A manifest is JSON: `{"layers": [{"mediaType": …, "digest": "sha256:HEX", "size": …}, …]}`. A later
one may instead list several of them, `{"manifests": [{"digest": …}, …]}`, one for each program that
runs models; that of a .gguf file is taken. A manifest may come from anywhere: its digests become
file names only after they were checked.

Source: https://github.com/ollama/ollama, `manifest/` and `types/model/name.go`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localmix import settings
from localmix.errors import ModelNotFound
from localmix.registry.adopt.folders import files_below, read_json
from localmix.registry.file_names import quantization_of
from localmix.registry.names import HUB_HOSTS, HubName, OllamaName, is_repo, parse_name
from localmix.registry.stored import StoredModel, file_size, newest_time

_WEIGHTS = "application/vnd.ollama.image.model"
_ADAPTER = "application/vnd.ollama.image.adapter"
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")

Layer = dict[str, Any]


def ollama_models(environ: Mapping[str, str] | None = None) -> list[StoredModel]:
    """List the models of Ollama; one name may come twice, from the better place first."""
    return [
        model
        for folder in settings.ollama_folders(environ)
        for manifests in (folder / "manifests-v2", folder / "manifests")
        for path in files_below(manifests, 4)
        if (name := _name_of(path)) and (model := _model(name, manifests / path, folder / "blobs"))
    ]


def _name_of(path: str) -> OllamaName | None:
    """Make a name of HOST/NAMESPACE/MODEL/TAG; None for what Ollama itself could not have put."""
    model, _, tag = path.rpartition("/")
    if model.count("/") != 2:
        return None
    try:
        name = parse_name(f"ollama/{model}:{tag}")
    except ModelNotFound:
        return None
    return name if isinstance(name, OllamaName) else None


def _model(name: OllamaName, manifest: Path, blobs: Path) -> StoredModel | None:
    layers = _weights(read_json(manifest), blobs)
    sha256 = tuple(_hex(layer) for layer in layers)
    if not layers or not all(sha256):
        return None
    paths = tuple(blobs / f"sha256-{digits}" for digits in sha256)
    sizes = [file_size(path) for path in paths]
    if all(size is None for size in sizes):
        return None
    return StoredModel(
        name=name.text,
        origin="Ollama",
        paths=paths,
        size_bytes=sum(size or 0 for size in sizes),
        modified=newest_time(paths),
        # Shards find each other by their file names, which blobs do not have: several cannot run.
        complete=sizes == [layers[0].get("size")],
        hub_name=_hub_name(name),
        sha256=sha256,
    )


def _weights(manifest: object, blobs: Path) -> list[Layer]:
    """Give the layers that are .gguf files of a model, of the first manifest that has some."""
    for each in (manifest, *_objects(manifest, "manifests")):
        if isinstance(each, dict) and "layers" not in each and _hex(each):
            each = read_json(blobs / f"sha256-{_hex(each)}")
        layers = _objects(each, "layers")
        weights = [layer for layer in layers if layer.get("mediaType") == _WEIGHTS]
        # With an adapter the name means other answers than these weights alone would give.
        if weights and not any(layer.get("mediaType") == _ADAPTER for layer in layers):
            return weights
    return []


def _objects(document: object, key: str) -> list[Layer]:
    """Give the JSON objects of the list that an object has under a key."""
    found = document.get(key) if isinstance(document, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _hex(layer: Layer) -> str:
    """Read the 64 digits of a digest; empty when it is none."""
    found = _DIGEST.fullmatch(str(layer.get("digest")))
    return found[1].lower() if found else ""


def _hub_name(name: OllamaName) -> HubName | None:
    """Say where a model is from that was pulled as `hf.co/OWNER/REPO:TAG`.

    The tag is a quantization or a file name, or `latest`, of which only the Hub knows what it was.
    """
    host, _, repo = name.model.partition("/")
    if host.lower() not in HUB_HOSTS or not is_repo(repo):
        return None
    file = name.tag if name.tag.lower().endswith(".gguf") else ""
    return HubName(repo, quantization_of(name.tag), file)
