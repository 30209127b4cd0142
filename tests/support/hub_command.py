"""The fake Hub as a command, for trials by hand and to time a download against curl's.

From tests/: `python -m support.fake_hub --file m-Q4_0.gguf=300M --fault "Cut(after=1000)"` prints
where it is, and serves until it is killed; `--serve m-Q4_0.gguf=LOCAL_FILE` serves a file of this
disk, such as a real model. Then, for example:
`HF_ENDPOINT=http://127.0.0.1:PORT localmix pull hf.co/owner/Model-GGUF` or
`curl -L http://127.0.0.1:PORT/owner/Model-GGUF/resolve/main/m-Q4_0.gguf`.
"""

import argparse
import ast
import signal
import sys
import threading
from pathlib import Path

from support import hub_faults
from support.fake_hub import FakeHub, Pattern, sha256

UNITS = {"k": 10**3, "M": 10**6, "G": 10**9}


def size_of(text):
    """Read a number of bytes: 300M is 300,000,000."""
    return int(float(text.rstrip("kMG")) * UNITS.get(text[-1], 1))


def file_of(text):
    path, _, size = text.rpartition("=")
    return path, size_of(size)


def local_file_of(text):
    path, _, local = text.rpartition("=")
    return path, Path(local).read_bytes()


def fault_of(text):
    """Make a fault of what would make it in a test, such as `Status(429, times=None)`."""
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"{text!r} is not like Cut(after=1000)")
    positional = [ast.literal_eval(value) for value in call.args]
    named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    return getattr(hub_faults, call.func.id)(*positional, **named)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="support.fake_hub", description=__doc__)
    parser.add_argument("--repo", default="owner/Model-GGUF")
    parser.add_argument("--file", type=file_of, action="append", default=[], metavar="PATH=SIZE")
    parser.add_argument(
        "--serve", type=local_file_of, action="append", default=[], metavar="PATH=LOCAL_FILE"
    )
    parser.add_argument("--fault", type=fault_of, action="append", default=[], metavar="CALL")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=size_of, metavar="BYTES_S", help="of each connection")
    parser.add_argument("--link-uses", type=int, metavar="N", help="a link is good for N requests")
    parser.add_argument("--token", help="gated: without this token nothing is answered")
    args = parser.parse_args(argv)
    if not args.file and not args.serve:
        parser.error("--file or --serve says what there is to download")

    files = {path: Pattern(size, seed) for seed, (path, size) in enumerate(args.file)}
    for content in files.values():
        content.file()  # now, lest the first request waits for it
    files |= dict(args.serve)
    for content in files.values():
        sha256(content)
    hub = FakeHub()
    hub.rate_bytes_s = args.rate
    hub.add(args.repo, files, faults=args.fault, link_uses=args.link_uses, token=args.token)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    signal.signal(signal.SIGINT, lambda *_: over.set())
    with hub.serve(args.port):
        sys.stdout.write(f"{hub.url}\n")
        sys.stdout.flush()
        over.wait()
