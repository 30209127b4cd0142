"""JSON lines between the comparison and its workers: a request a line in, an answer a line out.

The first request is the configuration, and its answer what the worker has to say of itself. A
worker ends when its input does. `Worker` is the comparison's end, `serve` the worker's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Message = dict[str, Any]
Answer = Callable[[Message], Message]

FOLDER = Path(__file__).resolve().parents[1]
"""Where `python -m compare.…` finds this package."""


class WorkerFailed(Exception):
    """A worker ended or said that it cannot do what it was asked."""


class Worker:
    """A process that answers requests, one at a time.

    Args:
        name: for messages.
        python: interpreter that runs it.
        module: what it runs, in this package.
        config: the first request.
        environ: variables beside the inherited ones.

    Raises:
        WorkerFailed: it cannot be started, or not do what the configuration says.

    Attributes:
        about: its answer to the configuration.
    """

    def __init__(
        self,
        name: str,
        python: str,
        module: str,
        config: Message,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        if Path(python).parent != Path():  # a path, not a name to be looked up
            python = str(Path(python).absolute())  # unresolved: a link tells which environment
        try:
            self._process = subprocess.Popen(
                [python, "-m", f"compare.{module}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                cwd=FOLDER,
                env={**os.environ, **(environ or {})},
            )
        except OSError as exc:
            raise WorkerFailed(f"{name} cannot be started: {exc}") from exc
        self.about: Message = {}
        try:
            self.about = self.ask(config)
        except BaseException:
            self._process.kill()
            self.close()
            raise

    def ask(self, request: Message) -> Message:
        """Send a request and wait for its answer.

        Raises:
            WorkerFailed: there is none, or it is an error.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # it ended; the missing answer says so
        line = stdout.readline()
        if not line:
            raise WorkerFailed(f"{self.name} ended with code {self._process.wait()}")
        answer: Message = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Let it end."""
        try:
            self._process.communicate(timeout=10)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def serve(start: Callable[[Message], tuple[Message, Answer]]) -> None:
    """Answer the requests on stdin until it ends.

    Args:
        start: configuration -> what the worker says of itself, and what answers requests.
    """
    # What libraries print would be taken for answers: it goes to stderr instead.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    answer: Answer | None = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if answer is None:
                said, answer = start(request)
            else:
                said = answer(request)
        except Exception as exc:
            traceback.print_exc()
            said = {"error": f"{type(exc).__name__}: {exc}"}
        answers.write(json.dumps(said) + "\n")
        answers.flush()


def memory() -> Message:
    """Resident bytes of this process, private and of files; empty where Linux does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    sizes = dict(line.split(":", 1) for line in lines if line.endswith("kB"))
    return {
        name: 1024 * int(sizes[key].split()[0])
        for name, key in (("private_bytes", "RssAnon"), ("file_bytes", "RssFile"))
        if key in sizes
    }
