"""`localmix pull` as a process: killed, interrupted, and two at once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.fake_hub import Pattern, sha256
from support.stored import REPO

from localmix.registry.disk.store import Store
from localmix.registry.disk.verify import sha256_of

ROOT = Path(__file__).parents[2]
# Ctrl-C as a person's shell leaves it: a test run in the background may ignore it.
ENTRY = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from localmix.cli.app import main; sys.exit(main())"
)
NAME = f"hf.co/{REPO}:Q4_K_M"
FILE = "Model-Q4_K_M.gguf"
MIB = 1 << 20
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def start(home):
    """Start a pull; what still runs in the end is killed."""
    started = []

    def start_one(name=NAME):
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "LOCALMIX_HOME": str(home)}
        process = subprocess.Popen(
            [sys.executable, "-c", ENTRY, "pull", "--yes", name],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    """Wait for its end -> exit code and stderr."""
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr.decode()


def wait_until(is_so, process):
    deadline_s = time.monotonic() + 60
    while not is_so():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def is_right(home, content):
    return sha256_of(home / "models" / REPO / FILE) == sha256(content)


class Gated(Pattern):
    """A file of which the storage sends some pieces, and the rest when `gate` is open."""

    def __init__(self, size_bytes, n_pieces):
        super().__init__(size_bytes)
        self.gate, self.n_pieces = threading.Event(), n_pieces

    def file(self):
        self.n_pieces -= 1
        if self.n_pieces < 0:
            assert self.gate.wait(60)
        return super().file()


@pytest.mark.slow
@POSIX
def test_five_kills_cost_no_more_than_a_tenth_of_the_file(fake_hub, start, home):
    size = 192 * MIB
    content = Pattern(size)
    content.file()
    fake_hub.add(REPO, {FILE: content})
    fake_hub.rate_bytes_s = 24e6
    coin = random.Random(4)
    for point in sorted(coin.uniform(0.02, 0.95) for _ in range(5)):
        process = start()
        wait_until(lambda at=point * size: fake_hub.sent_bytes >= at, process)
        process.kill()
        assert ended(process)[0] == -signal.SIGKILL
        assert not any(model.complete for model in Store(home).list())
    assert ended(start())[0] == 0
    assert is_right(home, content)
    assert size <= fake_hub.sent_bytes <= 1.1 * size


@POSIX
def test_ctrl_c_ends_it_with_130_and_what_has_arrived_is_kept(fake_hub, start, home):
    content = Gated(8 * MIB, n_pieces=16)
    fake_hub.add(REPO, {FILE: content})
    process = start()
    wait_until(lambda: sum(m.size_bytes for m in Store(home).list()) >= 3 * MIB, process)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 130
    [model] = Store(home).list()
    assert (model.name, model.complete) == (NAME, False)
    assert model.size_bytes >= 3 * MIB

    content.gate.set()
    assert ended(start())[0] == 0
    assert is_right(home, content)
    # What was on its way when it ended comes twice: of the first 4 MiB at most the last one.
    assert fake_hub.sent_bytes < len(content) + 2 * MIB


def test_of_two_processes_the_second_waits_and_both_have_the_model(fake_hub, start, home):
    content = Gated(8 * MIB, n_pieces=16)
    fake_hub.add(REPO, {FILE: content})
    first = start()
    wait_until(lambda: fake_hub.sent_bytes >= 2 * MIB, first)  # more than the header: it has begun
    second = start()
    said = []
    while not said or "waiting for another localmix" not in said[-1]:
        line = second.stderr.readline().decode()
        assert line, said
        said.append(line)
    content.gate.set()
    assert ended(first)[0] == ended(second)[0] == 0
    assert fake_hub.sent_bytes == len(content)
    assert is_right(home, content)


def test_a_wrong_file_ends_with_1_and_a_sentence(fake_hub, start, home):
    fake_hub.add(REPO, {FILE: b"right" * 1000}, served={FILE: b"wrong" * 1000})
    code, stderr = ended(start())
    assert code == 1
    assert "error: " in stderr
    assert "SHA-256" in stderr
    assert "try: pull again" in stderr
    assert "Traceback" not in stderr
    assert not any(model.complete for model in Store(home).list())
