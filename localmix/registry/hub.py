"""The Hub: what a repository holds, and its files. The only module that imports huggingface_hub.

Addresses, tokens and proxies follow the variables that `settings` names. Every failure comes out as
one of localmix's errors, with the next thing to type; a token never stands in one.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localmix import settings
from localmix.errors import DownloadFailed, LocalmixError, ModelNotFound, NotEnoughDisk
from localmix.registry.manifest import RepoFile
from localmix.registry.names import is_safe_file

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LISTING_TIMEOUT_S = 30.0
"""huggingface_hub itself would wait for ever."""

OnBytes = Callable[[int], None]
"""Called with the number of bytes that have just arrived."""


@dataclass(frozen=True)
class RepoListing:
    """The .gguf files of a repository at one commit."""

    repo: str
    revision: str
    files: Mapping[str, RepoFile]


@dataclass(frozen=True)
class Hub:
    """Where the Hub is and how to ask it.

    Attributes:
        endpoint: its address, without a trailing slash.
        token: opens gated repositories; None leaves it to a saved login.
        offline: refuse every request.
    """

    endpoint: str = "https://huggingface.co"
    token: str | None = field(default=None, repr=False)
    offline: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "Hub":
        """Make one from HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE."""
        return cls(
            settings.hub_endpoint(environ),
            settings.hub_token(environ),
            settings.hub_offline(environ),
        )

    def list_files(self, repo: str) -> RepoListing:
        """List the .gguf files of a repository, with sizes and hashes.

        Raises:
            ModelNotFound: the Hub has no such repository.
            DownloadFailed: it may not be read, or the Hub cannot be reached.
        """
        self._refuse_offline(repo)
        with _explained(self, repo):
            revision, files = _list_files(self._api(), repo)
        for path in files:
            if not is_safe_file(path):
                raise DownloadFailed(
                    f"hf.co/{repo} holds a file with the odd name {path!r}, which may be an attack",
                    "take another repository",
                )
        return RepoListing(repo, revision, files)

    def download(
        self, repo: str, revision: str, path: str, folder: Path, on_bytes: OnBytes
    ) -> Path:
        """Download one file of a repository's commit into a folder, under its path there.

        Raises:
            ModelNotFound, DownloadFailed: as for `list_files`.
            NotEnoughDisk: the disk filled up on the way.
        """
        self._refuse_offline(repo)
        with _explained(self, repo):
            arrived = self._api().hf_hub_download(
                repo,
                path,
                revision=revision,
                local_dir=folder,
                tqdm_class=_progress_class(on_bytes),
            )
            return Path(arrived)

    def _api(self) -> "HfApi":
        from huggingface_hub import HfApi, constants

        # Else it says what is installed here, and asks the Hub which programs to look for besides.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        return HfApi(endpoint=self.endpoint, token=self.token)

    def _refuse_offline(self, repo: str) -> None:
        if self.offline:
            raise DownloadFailed(
                f"hf.co/{repo} was not asked for, because HF_HUB_OFFLINE is set",
                "unset HF_HUB_OFFLINE, or localmix list for what is here",
            )


def _list_files(api: "HfApi", repo: str) -> tuple[str, dict[str, RepoFile]]:
    """Ask for the commit and the .gguf files of a repository's main branch."""
    info = api.model_info(repo, files_metadata=True, timeout=_LISTING_TIMEOUT_S)
    revision = info.sha or "main"
    entries = [(file.rfilename, file.size, file.lfs) for file in info.siblings or []]
    if any(size is None or lfs is None for path, size, lfs in entries if _is_gguf(path)):
        # Some mirrors leave sizes and hashes out of the short answer; the file tree has them.
        tree = api.list_repo_tree(repo, recursive=True, revision=revision)
        entries = [(f.path, getattr(f, "size", None), getattr(f, "lfs", None)) for f in tree]
    files = {}
    for path, size, lfs in entries:
        if not _is_gguf(path):
            continue
        if size is None or lfs is None:
            raise DownloadFailed(
                f"the Hub states no size and SHA-256 for {path} of hf.co/{repo}",
                "take another repository, or unset HF_ENDPOINT if it names a mirror",
            )
        files[path] = RepoFile(path, lfs.size or size, lfs.sha256)
    return revision, files


def _is_gguf(path: str) -> bool:
    return path.lower().endswith(".gguf")


def _progress_class(on_bytes: OnBytes) -> Any:
    """Make the class that huggingface_hub calls in place of a tqdm bar.

    It tells a bar the bytes it writes (`update`) and, for its Xet protocol, those it receives
    (`update_transfer`); only the first kind adds up to the size of the file.
    """

    class Progress:
        n = 0
        total: int | None = None

        def __init__(self, *args: object, **kwargs: object) -> None:
            pass

        def __enter__(self) -> "Progress":
            return self

        def __exit__(self, *exc: object) -> None:
            pass

        def update(self, n: float | None = 1) -> None:
            on_bytes(int(n or 0))

        def update_transfer(self, n: float) -> None:
            pass

        def set_postfix_str(self, *args: object, **kwargs: object) -> None:
            pass

        set_transfer_postfix_str = set_postfix_str

        def close(self) -> None:
            pass

    return Progress


@contextmanager
def _explained(hub: Hub, repo: str) -> Iterator[None]:
    """Turn what huggingface_hub and its HTTP library raise into localmix's errors."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # The HTTP library below changed twice (requests, httpx, httpx2); its base error is always a
    # base of the Hub's own one, under this name.
    http_error: type[BaseException] = next(
        c for c in HfHubHTTPError.__mro__ if c.__name__ == "HTTPError"
    )
    try:
        yield
    except (LocalmixError, BrokenPipeError):
        raise  # ours, or a reader of our own output who has left
    except (http_error, OfflineModeIsEnabled, OSError, ValueError, KeyError, TypeError) as exc:
        # The last three: what the Hub's library meets in an answer that is no Hub's.
        raise _explain(exc, hub, repo) from exc


def _explain(exc: BaseException, hub: Hub, repo: str) -> LocalmixError:
    """Say in a sentence what went wrong, and what to do next."""
    from huggingface_hub import errors

    if isinstance(exc, errors.LocalEntryNotFoundError) and exc.__cause__ is not None:
        return _explain(exc.__cause__, hub, repo)  # a wrapper: the cause says more
    if isinstance(exc, errors.OfflineModeIsEnabled):
        return DownloadFailed(f"hf.co/{repo}: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
    if isinstance(exc, errors.GatedRepoError):
        return _gated(hub, repo)
    if isinstance(exc, errors.RepositoryNotFoundError):
        return ModelNotFound(
            f"the Hub has no repository {repo}, or it is private",
            "check the spelling; for a private one set HF_TOKEN to a token that may read it",
        )
    if isinstance(exc, (errors.EntryNotFoundError, errors.RevisionNotFoundError)):
        return ModelNotFound(
            f"hf.co/{repo} does not have this file (any more)", f"localmix pull hf.co/{repo}"
        )
    if isinstance(exc, errors.HfHubHTTPError):
        return _refused(exc.response.status_code, hub, repo)
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotEnoughDisk(
            "the disk filled up during the download",
            "free some space, or set LOCALMIX_HOME to a folder on a larger disk",
        )
    if isinstance(exc, OSError) and exc.errno is not None and exc.filename is not None:
        return DownloadFailed(
            f"{exc.filename} cannot be written: {exc.strerror}",
            "set LOCALMIX_HOME to a folder that you may write to",
        )
    return _unreachable(exc, hub, repo)


def _gated(hub: Hub, repo: str) -> LocalmixError:
    return DownloadFailed(
        f"hf.co/{repo} is gated: it needs a token of an account that accepted its terms",
        f"accept them at {hub.endpoint}/{repo}, then set HF_TOKEN to a token from"
        f" {hub.endpoint}/settings/tokens",
    )


def _refused(status: int, hub: Hub, repo: str) -> LocalmixError:
    """Say what an HTTP status means for a download."""
    if status in (401, 403):
        return DownloadFailed(
            f"the Hub refuses access to hf.co/{repo} (HTTP {status})",
            f"set HF_TOKEN to a token from {hub.endpoint}/settings/tokens that may read it",
        )
    if status == 429:
        return DownloadFailed(
            "the Hub asks for a pause: too many requests from this address",
            "wait a few minutes and pull again; a token in HF_TOKEN raises the limit",
        )
    return DownloadFailed(
        f"{hub.endpoint} answered HTTP {status} for hf.co/{repo}",
        "pull again later, or set HF_ENDPOINT to a mirror",
    )


def _unreachable(exc: BaseException, hub: Hub, repo: str) -> LocalmixError:
    """Whatever is left is the network, or something on it that is not a Hub."""
    lines = str(exc).strip().splitlines()
    reason = lines[0] if lines else type(exc).__name__
    return DownloadFailed(
        f"hf.co/{repo} could not be read from {hub.endpoint}: {reason}",
        "check the network and pull again; HTTPS_PROXY, SSL_CERT_FILE and HF_ENDPOINT are honoured",
    )
