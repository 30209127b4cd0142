"""The Hub: what a repository holds, and its files. The only module that imports huggingface_hub.

Addresses, tokens and proxies follow the variables that `settings` names. Every failure comes out as
one of localmix's errors, with the next thing to type; a token never stands in one.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from localmix import settings
from localmix.errors import DownloadFailed, LocalmixError, ModelNotFound
from localmix.registry.download.patience import Patience, Trouble
from localmix.registry.download.ranges import (
    NETWORK_HINT,
    Link,
    RangeClient,
    Refused,
    origin,
    retry_after_s,
)
from localmix.registry.manifest import RepoFile
from localmix.registry.names import is_repo, is_safe_file

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LISTING_TIMEOUT_S = 30.0
"""huggingface_hub itself would wait for ever."""


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
        patience: for questions; the bytes of files have their own.
    """

    endpoint: str = "https://huggingface.co"
    token: str | None = field(default=None, repr=False)
    offline: bool = False
    patience: Patience = field(default=Patience(tries=4), repr=False)

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

        def ask() -> tuple[str, dict[str, RepoFile]]:
            with _explained(self, repo):
                return _list_files(self._api(), repo)

        revision, files = self.patience.insist(ask)
        for path in files:
            if not is_safe_file(path):
                raise DownloadFailed(
                    f"hf.co/{repo} holds a file with the odd name {path!r}, which may be an attack",
                    "take another repository",
                )
        return RepoListing(repo, revision, files)

    def link(self, repo: str, revision: str, file: RepoFile) -> Link:
        """Ask where the bytes of a file are; what it gives is good for a while.

        Raises:
            ModelNotFound: the commit does not have this file (any more).
            DownloadFailed: it may not be read, or is another file by now.
            Trouble: the Hub cannot be asked at the moment.
        """
        self._refuse_offline(repo)
        from huggingface_hub import get_token, hf_hub_url

        url = hf_hub_url(repo, file.path, revision=revision, endpoint=self.endpoint)
        token = self.token or get_token()
        with _explained(self, repo):
            # Asked with a token even if there is none, so that a saved one is taken.
            stated = self._api().get_hf_file_metadata(
                url=url, token=token, timeout=_LISTING_TIMEOUT_S
            )
        etag, size_bytes = (stated.etag or "").lower(), stated.size
        is_hash = re.fullmatch("[0-9a-f]{64}", etag) is not None
        if (is_hash and etag != file.sha256.lower()) or size_bytes not in (None, file.size_bytes):
            raise DownloadFailed(
                f"{file.path} of hf.co/{repo} was changed on the Hub meanwhile",
                "pull again: what has not changed is kept",
            )
        location = urljoin(url, stated.location)
        is_at_home = token is not None and origin(location) == origin(self.endpoint)
        return Link(location, {"Authorization": f"Bearer {token}"} if is_at_home else {})

    def search(self, words: str, limit: int) -> list[str]:
        """Find repositories with .gguf files, the most downloaded first.

        Raises:
            DownloadFailed: the Hub cannot be asked.
        """
        self._refuse_offline("")
        self.patience.insist(self.reach)
        with _explained(self, ""):
            found = self._api().list_models(
                search=words, filter="gguf", sort="downloads", limit=limit
            )
            return [model.id for model in found if is_repo(model.id)]

    def reach(self) -> bool:
        """See whether anybody answers: list_models would try for half a minute to find out.

        Returns:
            Whether it sounds like a Hub, which the login page of a network does not.

        Raises:
            Trouble: the Hub cannot be reached.
        """
        try:
            return self._first_bytes(f"{self.endpoint}/api/models?limit=1").startswith(b"[")
        except Refused as refused:
            return refused.status == 429 or refused.status >= 500  # a Hub that is busy

    def accepts_token(self) -> bool:
        """Ask whether the token is one that the Hub has given.

        Raises:
            Trouble: the Hub cannot be reached, or does not say.
        """
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            return self._first_bytes(f"{self.endpoint}/api/whoami-v2", headers).startswith(b"{")
        except Refused as refused:
            if refused.status in (401, 403):
                return False
            raise

    def _first_bytes(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        self._refuse_offline("")
        client = RangeClient(self.patience, 1)
        try:
            with client.open(Link(url, headers or {}), 0, 0) as answer:
                return answer.read().lstrip()
        finally:
            client.close()

    def _api(self) -> "HfApi":
        from huggingface_hub import HfApi, constants

        # What it tries again is ours to say.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

        # Else it says what is installed here, and asks the Hub which programs to look for besides.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        return HfApi(endpoint=self.endpoint, token=self.token)

    def _refuse_offline(self, repo: str) -> None:
        if self.offline:
            what = f"hf.co/{repo}" if repo else "the Hub"
            raise DownloadFailed(
                f"{what} was not asked, because HF_HUB_OFFLINE is set",
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
        return _refused(exc.response.status_code, exc.response.headers, hub, repo)
    if isinstance(exc, (ValueError, KeyError, TypeError)):
        return DownloadFailed(
            f"{hub.endpoint} gives an answer that could not be read: it is no Hub's",
            "check HF_ENDPOINT and HTTPS_PROXY, or sign in to the network you are in",
        )
    return _unreachable(exc, hub, repo)


def _gated(hub: Hub, repo: str) -> LocalmixError:
    return DownloadFailed(
        f"hf.co/{repo} is gated: it needs a token of an account that accepted its terms",
        f"accept them at {hub.endpoint}/{repo}, then set HF_TOKEN to a token from"
        f" {hub.endpoint}/settings/tokens",
    )


def _refused(status: int, headers: Mapping[str, str], hub: Hub, repo: str) -> LocalmixError:
    """Say what an HTTP status means for a question."""
    if status in (401, 403):
        return DownloadFailed(
            f"the Hub refuses access to hf.co/{repo} (HTTP {status})",
            f"set HF_TOKEN to a token from {hub.endpoint}/settings/tokens that may read it",
        )
    wait_s = retry_after_s(headers.get("Retry-After"))
    if status == 429:
        return Trouble(
            "the Hub asks for a pause: too many requests from this address",
            "wait a few minutes and pull again; a token in HF_TOKEN raises the limit",
            wait_s,
        )
    message = f"{hub.endpoint} answers HTTP {status}" + (f" for hf.co/{repo}" if repo else "")
    hint = "pull again later, or set HF_ENDPOINT to a mirror"
    return Trouble(message, hint, wait_s) if status >= 500 else DownloadFailed(message, hint)


def _unreachable(exc: BaseException, hub: Hub, repo: str) -> LocalmixError:
    """Whatever is left is the network."""
    lines = str(exc).strip().splitlines()
    reason = lines[0] if lines else type(exc).__name__
    what = f"hf.co/{repo}" if repo else "the Hub"
    return Trouble(f"{what} could not be read from {hub.endpoint}: {reason}", NETWORK_HINT)
