"""A small Hub on the loopback: as much of the real one's protocol as huggingface_hub asks for.

Repositories are dictionaries; whatever is asked is written down, so that a test can look at it.
Files come from a second host name (`localhost`), as the real Hub sends a client to its storage.
"""

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeRepo:
    """A repository: its files, and what is wrong with it."""

    files: dict[str, bytes]
    token: str | None = None  # gated: who brings another one is refused
    has_blobs: bool = True  # False: a mirror that leaves sizes and hashes out of the short answer
    served: dict[str, bytes] = field(
        default_factory=dict
    )  # contents that differ from what is stated
    status: int = 200  # other than 200: the answer to everything


@dataclass(frozen=True)
class Request:
    method: str
    host: str
    path: str
    token: str | None


class FakeHub:
    def __init__(self):
        self.repos: dict[str, FakeRepo] = {}
        self.requests: list[Request] = []

    def add(self, repo, files, **faults):
        self.repos[repo] = FakeRepo(files, **faults)
        return self.repos[repo]

    def paths(self, method="GET"):
        return [request.path for request in self.requests if request.method == method]

    @contextmanager
    def serve(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        server.daemon_threads = True
        self.port = server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def handler_of(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.answer()

        def do_HEAD(self):
            self.answer()

        def log_message(self, *args):
            pass

        def answer(self):
            path = unquote(urlsplit(self.path).path)
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            hub.requests.append(Request(self.command, self.headers["Host"], path, token))
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(tree)/[^/]+)?", path):
                self.with_repo(found[1], token, self.tree if found[2] else self.info)
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
                self.with_repo(found[1], token, self.resolve, found[2])
            elif found := re.fullmatch(r"/storage/([^/]+/[^/]+)/(.+)", path):
                self.storage(hub.repos[found[1]], found[2])
            else:
                self.reply(404, b"")

        def with_repo(self, name, token, then, *args):
            repo = hub.repos.get(name)
            if repo is None:
                self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif repo.status != 200:
                self.reply(repo.status, b"{}")
            elif repo.token is not None and token != repo.token:
                self.reply(403 if token else 401, b"{}", {"X-Error-Code": "GatedRepo"})
            else:
                then(name, repo, *args)

        def info(self, name, repo):
            siblings = [{"rfilename": path} for path in repo.files]
            if repo.has_blobs:
                siblings = [
                    {
                        "rfilename": path,
                        "size": len(data),
                        "blobId": "0" * 40,
                        "lfs": {"size": len(data), "sha256": sha256(data), "pointerSize": 134},
                    }
                    for path, data in repo.files.items()
                ]
            self.reply_json({"id": name, "sha": REVISION, "siblings": siblings})

        def tree(self, name, repo):
            self.reply_json(
                [
                    {
                        "type": "file",
                        "path": path,
                        "size": len(data),
                        "oid": "0" * 40,
                        "lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 134},
                    }
                    for path, data in repo.files.items()
                ]
            )

        def resolve(self, name, repo, path):
            if path not in repo.files:
                self.reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": REVISION})
                return
            headers = {
                "X-Repo-Commit": REVISION,
                "X-Linked-Etag": f'"{sha256(repo.files[path])}"',
                "X-Linked-Size": str(len(repo.files[path])),
                "ETag": f'"{sha256(repo.files[path])}"',
                "Location": f"http://localhost:{hub.port}/storage/{name}/{quote(path)}",
            }
            self.reply(302, b"", headers)

        def storage(self, repo, path):
            data = repo.served.get(path, repo.files[path])
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if not wanted:
                self.reply(200, data)
                return
            first, last = int(wanted[1]), int(wanted[2] or len(data) - 1)
            content_range = f"bytes {first}-{last}/{len(data)}"
            self.reply(206, data[first : last + 1], {"Content-Range": content_range})

        def reply_json(self, answer):
            self.reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def reply(self, status, body, headers=None):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler


def sha256(data):
    return hashlib.sha256(data).hexdigest()
