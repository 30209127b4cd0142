"""A Hub on the loopback: as much of the real one's protocol as huggingface_hub asks for.

Repositories are dictionaries; whatever is asked is written down, so that a test can look at it.
Files come from a second host name (`localhost`) by links that can expire, as the real Hub sends a
client to its storage. What goes wrong on the way stands in `hub_faults`. By hand, from tests/:
`python -m support.fake_hub --file m-Q4_0.gguf=300M --fault "Cut(after=1000)"`.
"""

import hashlib
import json
import os
import re
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from support import hub_faults
from support.hub_answers import Answer, Pattern, send_body, sha256, stall, stored
from support.hub_repos import REVISION, FakeRepo, about, blob, full_about

__all__ = ["REVISION", "FakeHub", "FakeRepo", "Pattern", "Request", "sha256"]

DENIED = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code></Error>'


@dataclass(frozen=True)
class Request:
    method: str
    host: str
    path: str
    token: str | None
    query: str = ""
    range: str | None = None


@dataclass
class Link:
    repo: FakeRepo
    path: str
    content: Any
    uses: int | None


class FakeHub:
    def __init__(self):
        self.repos: dict[str, FakeRepo] = {}
        self.requests: list[Request] = []
        self.faults: list[hub_faults.Fault] = []  # of requests that name no repository
        self.tokens: set[str] = set()  # that /api/whoami-v2 knows
        self.sent_bytes = 0  # of bodies, by the storage
        self.rate_bytes_s: float | None = None  # of each connection to the storage
        self.page_size = 1000  # entries of a listing's page
        self.links: dict[str, Link] = {}
        self.n_links = 0
        self.stopping = threading.Event()
        self.lock = threading.Lock()

    def add(self, repo, files, **faults):
        self.repos[repo] = FakeRepo(files, **faults)
        return self.repos[repo]

    def paths(self, method="GET"):
        return [request.path for request in self.requests if request.method == method]

    def stored(self):
        """The requests that reached the storage."""
        return [request for request in self.requests if request.path.startswith("/storage/")]

    def expire_links(self):
        """Let the storage refuse all links that were handed out so far."""
        with self.lock:
            self.links.clear()

    def link(self, name, repo, path, content):
        with self.lock:
            self.n_links += 1
            signature = hashlib.sha1(str(self.n_links).encode()).hexdigest()
            self.links[signature] = Link(repo, path, content, repo.link_uses)
        query = urlencode({"Expires": int(time.time()) + 3600, "Signature": signature})
        scheme = urlsplit(self.url).scheme
        return f"{scheme}://localhost:{self.port}/storage/{name}/{quote(path)}?{query}"

    def follow(self, signature):
        """The link of a signature, once less; None if it has expired."""
        with self.lock:
            link = self.links.get(signature)
            if link is not None and link.uses is not None:
                link.uses -= 1
                if link.uses <= 0:
                    del self.links[signature]
            return link

    def count(self, n_bytes):
        with self.lock:
            self.sent_bytes += n_bytes

    @contextmanager
    def serve(self, port=0, tls=None):
        """Serve it; with `tls`, a server's SSLContext, only contents that are bytes will do."""
        server = Server(("127.0.0.1", port), handler_of(self))
        self.port = server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            self.url = f"https://127.0.0.1:{self.port}"
        self.stopping.clear()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            server.shutdown()
            server.server_close()
            thread.join()


class Server(ThreadingHTTPServer):
    """Ends with no thread left, whatever a client keeps open."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, *args):
        self.connections = set()
        super().__init__(*args)

    def process_request(self, request, client_address):
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def server_close(self):
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request, client_address):
        raise  # a mistake in this module: the test shall see it


def handler_of(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            with suppress(ConnectionError):
                self.answer()
                return
            self.close_connection = True

        do_HEAD = do_GET

        def handle(self):
            with suppress(ConnectionError):
                super().handle()

        def log_message(self, *args):
            pass

        def answer(self):
            url = urlsplit(self.path)
            self.query = parse_qs(url.query)
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            hub.requests.append(
                Request(
                    self.command,
                    self.headers["Host"],
                    unquote(url.path),
                    token,
                    url.query,
                    self.headers.get("Range"),
                )
            )
            if url.path == "/api/models":
                self.send("api", url.path, hub, self.search())
            elif url.path == "/api/whoami-v2":
                known = token in hub.tokens
                self.send(
                    "api",
                    url.path,
                    hub,
                    Answer(b'{"name": "x"}' if known else b"{}", 200 if known else 401),
                )
            elif found := re.fullmatch(
                r"/api/models/([^/]+/[^/]+)(?:/(tree|revision)/([^/]+)/?(.*))?", url.path
            ):
                then = self.tree if found[2] == "tree" else self.info
                self.with_repo("api", found[1], found[3] or "main", found[4] or "", token, then)
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", url.path):
                self.with_repo("resolve", found[1], found[2], found[3], token, self.resolve)
            elif url.path.startswith("/storage/"):
                self.storage()
            else:
                self.send("none", url.path, hub, Answer(b"", 404))

        def with_repo(self, where, name, revision, path, token, then):
            """Ask a repository, unless it is not there or not open."""
            name, path = unquote(name), unquote(path)
            repo = hub.repos.get(name)
            is_open = where == "api" and repo is not None and repo.open_listing
            if repo is None:
                answer = Answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})
            elif repo.renamed_to is not None:
                location = self.path.replace(quote(name), quote(repo.renamed_to), 1)
                answer = Answer(b"", 307, {"Location": location})
            elif repo.status != 200:
                answer = Answer(b"{}", repo.status)
            elif repo.token is not None and token != repo.token and not is_open:
                answer = Answer(b"{}", 403 if token else 401, {"X-Error-Code": "GatedRepo"})
            elif (found := repo.at(unquote(revision))) is None:
                answer = Answer(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
            else:
                answer = then(name, repo, *found, path)
            self.send(where, path, repo or hub, answer)

        def search(self):
            """Answer a search: all words stand in the name, all filters among the tags."""
            words = " ".join(self.query.get("search", [])).lower().split()
            tags = set(self.query.get("filter", []))
            author = self.query.get("author", [None])[0]
            found = [
                about(name, repo, self.query)
                for name, repo in hub.repos.items()
                if all(word in name.lower() for word in words)
                and tags <= set(repo.tags)
                and author in (None, name.partition("/")[0])
            ]
            key = self.query.get("sort", ["trendingScore"])[0]
            known = {name: full_about(name, hub.repos[name]) for name in hub.repos}
            found.sort(key=lambda model: known[model["id"]].get(key, 0), reverse=True)
            return self.page(found)

        def info(self, name, repo, sha, files, path):
            wants_blobs = "blobs" in self.query and repo.has_blobs
            siblings = [
                {
                    "rfilename": path,
                    **(blob(repo, path, files[path], "blobId") if wants_blobs else {}),
                }
                for path in files
            ]
            return json_answer({**full_about(name, repo), "sha": sha, "siblings": siblings})

        def tree(self, name, repo, sha, files, path):
            """List a folder: all below it if asked for that, else what is directly in it."""
            folder = f"{path}/" if path else ""
            entries = {}
            for file, content in files.items():
                inside = file.removeprefix(folder) if file.startswith(folder) else ""
                *folders, _ = inside.split("/")
                for i in range(len(folders)):
                    below = folder + "/".join(folders[: i + 1])
                    entries[below] = {
                        "type": "directory",
                        "path": below,
                        "oid": "0" * 40,
                        "size": 0,
                    }
                if inside:
                    about_file = blob(repo, file, content, "oid")
                    entries[file] = {"type": "file", "path": file, **about_file}
            if "recursive" not in self.query or self.query["recursive"] == ["false"]:
                entries = {p: e for p, e in entries.items() if "/" not in p[len(folder) :]}
            return self.page(list(entries.values()))

        def resolve(self, name, repo, sha, files, path):
            about_commit = {"X-Repo-Commit": sha}
            if path not in files:
                return Answer(b"", 404, {"X-Error-Code": "EntryNotFound", **about_commit})
            content = files[path]
            if not repo.is_lfs(path):
                etag = f'"{blob(repo, path, content, "oid")["oid"]}"'
                answer = stored(repo.served.get(path, content), self.headers, etag)
                answer.headers.update(about_commit)
                return answer
            headers = {
                "X-Linked-Etag": f'"{sha256(content)}"',
                "X-Linked-Size": str(len(content)),
                "ETag": f'"{sha256(content)}"',
                "Accept-Ranges": "bytes",
                "Location": hub.link(name, repo, path, content),
            }
            return Answer(b"", 302, about_commit | headers)

        def storage(self):
            link = hub.follow(self.query.get("Signature", [""])[0])
            if link is None or not urlsplit(self.path).path.endswith(quote(link.path)):
                self.write(Answer(DENIED, 403, {"Content-Type": "application/xml"}), hub.count)
                return
            answer = stored(link.repo.served.get(link.path, link.content), self.headers)
            answer.rate_bytes_s = hub.rate_bytes_s
            if self.command == "HEAD":
                self.write(answer, hub.count)
            else:
                self.send("storage", link.path, link.repo, answer)

        def page(self, entries):
            """Answer with some entries, and with a link to the next ones if there are more."""
            first = int(self.query.get("cursor", [0])[0])
            n = min(int(self.query.get("limit", [hub.page_size])[0]), hub.page_size)
            answer = json_answer(entries[first : first + n])
            if first + n < len(entries):
                query = urlencode({**self.query, "cursor": first + n}, doseq=True)
                url = f"{hub.url}{urlsplit(self.path).path}?{query}"
                answer.headers["Link"] = f'<{url}>; rel="next"'
            return answer

        def send(self, where, path, owner, answer):
            """Send an answer, unless a fault that its owner has in store spoils it."""
            repo = owner if isinstance(owner, FakeRepo) else None
            asked = hub_faults.Asked(where, path, self.headers, repo)
            with owner.lock:
                fault = hub_faults.take(owner.faults, asked, answer)
                if fault is not None:
                    answer = fault.spoil(asked, answer)
            self.write(answer, hub.count if where == "storage" else lambda n_bytes: None)

        def write(self, answer, count):
            if answer.stall_after == -1:
                stall(self.connection, answer.stall_s, hub.stopping)
            if not (answer.reset and answer.cut_after is None):
                self.send_response(answer.status)
                answer.headers.setdefault("Content-Length", str(answer.n_bytes))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    send_body(self.connection, answer, hub.stopping, count)
            if answer.reset:
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                os.close(self.connection.detach())
            self.close_connection |= answer.closes or answer.reset

    return Handler


def json_answer(value):
    return Answer(json.dumps(value).encode(), 200, {"Content-Type": "application/json"})


if __name__ == "__main__":
    from support.hub_command import main

    main()
