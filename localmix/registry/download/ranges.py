"""HTTP GET of a range of bytes. The only module that imports urllib3.

Proxies come from HTTPS_PROXY, NO_PROXY and the system's settings, certificates from SSL_CERT_FILE,
the system and certifi. A header for one host never follows a redirect to another one.
"""

import email.utils
import os
import re
import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import unquote, urljoin, urlsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from localmix.registry.download.patience import Patience, Trouble

CHUNK_BYTES = 1 << 20
"""Read at once at most; less when less has arrived, so that a slow link is no dead one."""

NETWORK_HINT = (
    "check the network and pull again, what has arrived is kept;"
    " HTTPS_PROXY, SSL_CERT_FILE and HF_ENDPOINT are honoured"
)

_MAX_REDIRECTS = 5

_MAX_REST_BYTES = 64 << 10


@dataclass(frozen=True)
class Link:
    """Where a file can be had, for a while.

    Attributes:
        url: its address.
        headers: sent to the host of `url` and to no other: a token may stand there.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Refused(Trouble):
    """The server answered, but not with the file: a link that has expired, a host that is busy.

    Attributes:
        status: of the HTTP answer.
    """

    def __init__(self, host: str, status: int, retry_after_s: float | None) -> None:
        super().__init__(
            f"{host} answers HTTP {status}", "pull again later, what has arrived is kept",
            retry_after_s,
        )  # fmt: skip
        self.status = status


class Answer:
    """The body of an answer, as it comes; also a context manager.

    Attributes:
        first: the offset of its first byte in the file.
        total: bytes of the whole file, as this answer says; None when it does not.
        is_range: False when the server ignored the range and gives all from the first byte.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, host: str, stall_s: float) -> None:
        self._response, self._host, self._stall_s = response, host, stall_s
        self.is_range = response.status == 206
        if self.is_range:
            place = response.headers.get("Content-Range", "")
            said = re.match(r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)", place)
            self.first = int(said[1]) if said else -1
            self.total = int(said[2]) if said and said[2] != "*" else None
        else:
            length = response.headers.get("Content-Length", "")
            self.first = 0
            self.total = int(length) if re.fullmatch(r"\d{1,18}", length) else None

    def read(self) -> bytes:
        """Give the next bytes; none at the end.

        Raises:
            Trouble: the connection was cut, or nothing came for a while.
        """
        try:
            return self._response.read1(CHUNK_BYTES, decode_content=False)
        except ReadTimeoutError as exc:
            raise Trouble(
                f"{self._host} has sent nothing for {self._stall_s:.0f} s", NETWORK_HINT
            ) from exc
        except (HTTPError, OSError, ValueError) as exc:
            raise Trouble(f"the connection to {self._host} was cut", NETWORK_HINT) from exc

    def stop(self) -> None:
        """End the reading of another thread."""
        try:
            self._response.shutdown()
        except (HTTPError, OSError, ValueError, RuntimeError, TypeError):
            return  # it has ended already, or does so while urllib3 looks

    def close(self) -> None:
        """Give the connection back, or close it: one with bytes left on it is of no more use."""
        if self._response.length_remaining == 0:
            self._response.drain_conn()
        else:
            self._response.close()
        self._response.release_conn()

    def __enter__(self) -> "Answer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RangeClient:
    """Asks for ranges; keeps connections for the next request. Threads may share it."""

    def __init__(self, patience: Patience, n_connections: int) -> None:
        self._patience, self._n_connections = patience, n_connections
        self._managers: dict[str | None, urllib3.PoolManager] = {}

    def open(self, link: Link, first: int, last: int) -> Answer:
        """Ask for the bytes `first` to `last`, both included.

        Raises:
            Refused: the server answers with an error.
            Trouble: it cannot be reached.
        """
        url, headers = link.url, dict(link.headers)
        for _ in range(_MAX_REDIRECTS):
            response = self._get(url, {**headers, "Range": f"bytes={first}-{last}"})
            target = response.get_redirect_location()
            if not target:
                break
            _let_go(response)
            following = urljoin(url, target)
            if origin(following) != origin(link.url):
                headers = {}
            url = following
        host = urlsplit(url).netloc
        if response.status not in (200, 206):
            wait_s = retry_after_s(response.headers.get("Retry-After"))
            _let_go(response)
            raise Refused(host, response.status, wait_s)
        return Answer(response, host, self._patience.stall_s)

    def close(self) -> None:
        """Close the connections that are kept."""
        for manager in self._managers.values():
            manager.clear()

    def _get(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        timeout = urllib3.Timeout(connect=self._patience.connect_s, read=self._patience.stall_s)
        try:
            return self._manager(url).request(
                "GET",
                url,
                headers={"Accept-Encoding": "identity", "User-Agent": "localmix", **headers},
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
                timeout=timeout,
            )
        except (HTTPError, OSError, ValueError) as exc:
            host = urlsplit(url).netloc
            raise Trouble(f"{host} cannot be reached: {_reason(exc)}", NETWORK_HINT) from exc

    def _manager(self, url: str) -> urllib3.PoolManager:
        proxy = proxy_for(url)
        manager = self._managers.get(proxy)
        if manager is None:
            context = _tls()
            size = self._n_connections
            manager = (
                urllib3.ProxyManager(
                    proxy, maxsize=size, ssl_context=context, proxy_headers=_proxy_headers(proxy)
                )
                if proxy
                else urllib3.PoolManager(maxsize=size, ssl_context=context)
            )
            self._managers[proxy] = manager
        return manager


def origin(url: str) -> tuple[str, str]:
    """Give scheme and host with port: what a token belongs to."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def proxy_for(url: str) -> str | None:
    """Give the proxy that the environment or the system names for an address."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return proxy or None


def _proxy_headers(proxy: str) -> Mapping[str, str]:
    """Say who we are, if name and password stand in the proxy's address."""
    who, at, _ = urlsplit(proxy).netloc.rpartition("@")
    return urllib3.make_headers(proxy_basic_auth=unquote(who)) if at else {}


def _let_go(response: urllib3.BaseHTTPResponse) -> None:
    """Read a short rest, so that the connection can be used again; a long one is not worth it."""
    n_bytes = response.length_remaining
    if n_bytes is not None and n_bytes <= _MAX_REST_BYTES:
        response.drain_conn()
    else:
        response.close()
    response.release_conn()


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()  # reads SSL_CERT_FILE and SSL_CERT_DIR
    if not os.environ.get("SSL_CERT_FILE"):
        # Some builds of Python, on macOS above all, come without certificates of the system.
        context.load_verify_locations(certifi.where())
    return context


def retry_after_s(text: str | None) -> float | None:
    """Read a Retry-After header, which holds seconds or a date."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


def _reason(exc: BaseException) -> str:
    """Say why a connection failed, without the addresses of objects that urllib3 puts there."""
    while isinstance(exc, HTTPError) and isinstance(exc.__cause__, Exception):
        exc = exc.__cause__
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror.lower() if exc.strerror[1:].islower() else exc.strerror
    return str(exc).rpartition("object at ")[2].partition(": ")[2] or str(exc)
