"""What a person types for a model, parsed: an alias, a repository of the Hub, Ollama's, or a path.

    mistral                                 AliasName("mistral")
    mixtral:8x7b-instruct-v0.1-q4_0         AliasName("mixtral:8x7b-instruct-v0.1-q4_0")
    hf.co/OWNER/REPO                        HubName("OWNER/REPO")
    hf.co/OWNER/REPO:Q5_K_M                 HubName("OWNER/REPO", quantization="Q5_K_M")
    hf.co/OWNER/REPO/FILE.gguf              HubName("OWNER/REPO", file="FILE.gguf")
    ollama/mistral                          OllamaName("mistral", tag="latest")
    ollama/NAMESPACE/MODEL:TAG              OllamaName("NAMESPACE/MODEL", tag="TAG")
    ollama/hf.co/OWNER/REPO:Q4_K_M          OllamaName("hf.co/OWNER/REPO", tag="Q4_K_M")
    ./models/some.gguf                      PathName(Path("./models/some.gguf"))

Parsing looks at the text alone: whether such a thing exists is for `catalog`, `hub` and `resolve`
to say. Whatever leaves here as a repository or file name is safe to join to a folder. A file in a
folder named `ollama` is still a path when it ends in `.gguf`, and always as `./ollama/…`.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from localmix.errors import ModelNotFound

HUB_HOSTS = ("hf.co", "huggingface.co", "www.huggingface.co")

OLLAMA_HOSTS = ("registry.ollama.ai", "ollama.com")
"""Ollama's own registry, which names of its models leave out."""

_HINT = "localmix list, or a name such as mistral, hf.co/OWNER/REPO or ./FILE.gguf"
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9][A-Za-z0-9._-]*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URL_SCHEME = re.compile(r"https?://", re.IGNORECASE)
# The Hub's own rule for both halves of a repository name, less what it also forbids: `--` and `..`.
_REPO_PART = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
# Windows drops a dot or a space at the end of a name, and takes some names for devices, whatever
# follows their first dot. Source: Microsoft, "Naming Files, Paths, and Namespaces".
_FILE_PART = re.compile(
    r"(?!\.)(?!(?:con|prn|aux|nul|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\.|$))"
    r"[^\x00-\x1f\x7f<>:\"|?*\\/]{0,199}[^\x00-\x1f\x7f<>:\"|?*\\/. ]",
    re.IGNORECASE,
)
_QUANTIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Ollama's own rule, less `..`; a host may have a port.
_OLLAMA_PART = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._-]{0,79}")
_OLLAMA_HOST = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._-]{0,252}(:[0-9]{1,5})?")


@dataclass(frozen=True)
class AliasName:
    """A name of the catalog, with or without a tag."""

    text: str


@dataclass(frozen=True)
class HubName:
    """A repository of the Hub, and which of its models is meant.

    Attributes:
        repo: `OWNER/REPO`.
        quantization: as typed, or empty.
        file: path in the repository, or empty.
    """

    repo: str
    quantization: str = ""
    file: str = ""

    @property
    def text(self) -> str:
        """The name as a person types it."""
        if self.file:
            return f"hf.co/{self.repo}/{self.file}"
        return f"hf.co/{self.repo}" + (f":{self.quantization}" if self.quantization else "")


@dataclass(frozen=True)
class OllamaName:
    """A model that Ollama has downloaded.

    Attributes:
        model: `MODEL`, `NAMESPACE/MODEL` or `HOST/NAMESPACE/MODEL`, as short as Ollama shows it.
        tag: `latest` when none was typed.
    """

    model: str
    tag: str = "latest"

    @property
    def text(self) -> str:
        """The name as a person types it, with its tag."""
        return f"ollama/{self.model}:{self.tag}"


@dataclass(frozen=True)
class PathName:
    """A file on this disk."""

    path: Path

    @property
    def text(self) -> str:
        """The path as text."""
        return str(self.path)


ModelName = AliasName | HubName | OllamaName | PathName


def parse_name(text: str) -> ModelName:
    """Parse what a person typed.

    Raises:
        ModelNotFound: the text can be no name, or points outside where models live.
    """
    typed = text.strip()
    if not typed or _CONTROL.search(typed):
        raise ModelNotFound(f"{text!r} is no name of a model", _HINT)
    scheme = _URL_SCHEME.match(typed)
    host, _, rest = typed[scheme.end() if scheme else 0 :].partition("/")
    if host.lower() in HUB_HOSTS:
        return _parse_hub(rest, typed)
    if scheme:
        raise ModelNotFound(
            f"{typed} is no address on the Hub",
            "download the file yourself, then localmix run ./FILE.gguf",
        )
    if host.lower() == "ollama" and rest and _may_be_ollama(rest):
        return _parse_ollama(rest, typed)
    if _looks_like_path(typed):
        # Unlike Path.expanduser this one leaves the ~ of an unknown user alone instead of raising.
        return PathName(Path(os.path.expanduser(typed)))  # noqa: PTH111
    if not _ALIAS.fullmatch(typed):
        raise ModelNotFound(f"{typed!r} is no name of a model", _HINT)
    return AliasName(typed)


def is_alias(text: str) -> bool:
    """Say whether a person who types the text means a name of the catalog."""
    return bool(_ALIAS.fullmatch(text)) and not _looks_like_path(text)


def is_repo(repo: str) -> bool:
    """Say whether the text is a sound `OWNER/REPO`."""
    parts = repo.split("/")
    return len(parts) == 2 and all(_REPO_PART.fullmatch(part) for part in parts)


def is_safe_file(path: str) -> bool:
    """Say whether a path in a repository stays inside any folder it is joined to, on every system.

    Repositories are written by strangers: `../x.gguf`, `/etc/x.gguf`, `C:x.gguf`, `nul.gguf` and
    hidden folders are refused.
    """
    return len(path) <= 400 and all(_FILE_PART.fullmatch(part) for part in path.split("/"))


def _looks_like_path(typed: str) -> bool:
    separators = {"/", "\\", os.sep}
    return typed.lower().endswith(".gguf") or typed[0] == "~" or any(s in typed for s in separators)


def _parse_hub(rest: str, typed: str) -> HubName:
    """Parse what follows the host: OWNER/REPO, then :QUANTIZATION, /FILE or /resolve/main/FILE."""
    rest = rest.partition("?")[0].rstrip("/")
    owner, _, rest = rest.partition("/")
    repo_name, _, file = rest.partition("/")
    repo_name, colon, quantization = repo_name.partition(":")
    repo = f"{owner}/{repo_name}"
    if not is_repo(repo):
        raise ModelNotFound(
            f"{typed!r} names no repository of the Hub", "localmix pull hf.co/OWNER/REPO"
        )
    page, _, page_file = file.partition("/main/")
    if page in {"resolve", "blob"}:
        file = page_file
    elif file == "tree/main":
        file = ""
    if colon and (file or not _QUANTIZATION.fullmatch(quantization)):
        raise ModelNotFound(
            f"{typed!r} names no quantization", f"localmix pull hf.co/{repo}:Q4_K_M"
        )
    if file and not (is_safe_file(file) and file.lower().endswith(".gguf")):
        raise ModelNotFound(
            f"{file!r} is no .gguf file of hf.co/{repo}", f"localmix pull hf.co/{repo}"
        )
    return HubName(repo, quantization, file)


def _may_be_ollama(rest: str) -> bool:
    """Say whether what follows `ollama/` is meant for Ollama, and is no file of such a folder."""
    return ":" in rest.rpartition("/")[2] or not rest.lower().endswith(".gguf")


def _parse_ollama(rest: str, typed: str) -> OllamaName:
    """Parse what follows `ollama/`: MODEL, NAMESPACE/MODEL or HOST/NAMESPACE/MODEL, then :TAG."""
    parts = rest.split("/")
    host, namespace, last = [OLLAMA_HOSTS[0], "library"][: max(0, 3 - len(parts))] + parts[-3:]
    model, colon, tag = last.partition(":")
    tag = tag if colon else "latest"
    is_sound = all(_OLLAMA_PART.fullmatch(part) for part in (namespace, model, tag))
    if len(parts) > 3 or not is_sound or not _OLLAMA_HOST.fullmatch(host):
        raise ModelNotFound(
            f"{typed!r} names no model of Ollama", "localmix list, or ./ollama/FILE.gguf for a file"
        )
    if host.lower() not in OLLAMA_HOSTS:
        return OllamaName(f"{host}/{namespace}/{model}", tag)
    if namespace.lower() != "library":
        return OllamaName(f"{namespace}/{model}", tag)
    return OllamaName(model, tag)
