"""Folders as other programs leave them, with a model inside."""

import hashlib
import json


def put_into_ollama(folder, content, place="registry.ollama.ai/library/mistral/latest"):
    """Put a model into a folder of Ollama's, as `ollama pull` does -> its blob."""
    digits = hashlib.sha256(content).hexdigest()
    blob = folder / "blobs" / f"sha256-{digits}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    layer = {
        "mediaType": "application/vnd.ollama.image.model",
        "digest": f"sha256:{digits}",
        "size": len(content),
    }
    manifest = folder / "manifests" / place
    manifest.parent.mkdir(parents=True, exist_ok=True)
    document = {"schemaVersion": 2, "config": {}, "layers": [layer]}
    manifest.write_text(json.dumps(document), encoding="utf-8")
    return blob
