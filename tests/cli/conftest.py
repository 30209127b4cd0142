"""The command line in this process: arguments in, exit code and both streams out."""

import io
from dataclasses import dataclass

import pytest
from support.chatting import hold_chat
from support.fake_model import FakeModel
from support.routing_model import RoutingModel
from support.streams import Terminal


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    """A terminal that knows colours, whatever the person who runs the tests has set."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def model(monkeypatch):
    """The fake model, in place of whatever `localmix.load` would load."""
    import localmix

    fake = FakeModel()
    monkeypatch.setattr(localmix, "load", fake.load)
    return fake


@pytest.fixture
def talk(model):
    """Type some lines -> what was said: `out`, `err`, the `talk`, and the `prompts` it showed."""

    def run(*lines, **options):
        return hold_chat(model, lines, **options)

    return run


@pytest.fixture
def routing(monkeypatch):
    """Put a RoutingModel in place of whatever `localmix.load` would load."""

    import localmix

    def put(*arguments, **options):
        fake = RoutingModel(*arguments, **options)
        monkeypatch.setattr(localmix, "load", fake.load)
        return fake

    return put


@pytest.fixture
def cli(monkeypatch):
    """Run `localmix` with arguments; `terminals` names the streams that are terminals."""

    def run(*arguments, stdin=b"", terminals=()):
        from localmix.cli.app import main

        text = stdin.decode() if isinstance(stdin, bytes) else stdin
        streams = {
            "stdin": Terminal(text) if "stdin" in terminals else piped(text),
            "stdout": Terminal() if "stdout" in terminals else io.StringIO(),
            "stderr": Terminal() if "stderr" in terminals else io.StringIO(),
        }
        for name, stream in streams.items():
            monkeypatch.setattr(f"sys.{name}", stream)
        code = main(arguments)
        return Result(code, streams["stdout"].getvalue(), streams["stderr"].getvalue())

    return run


def piped(text):
    """A pipe that holds some text."""
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="ascii")


@pytest.fixture
def quick_machine(monkeypatch):
    """A machine whose limits are known, so that nothing is measured but the model."""
    from localmix.bench import conditions, limits

    nothing_happens = conditions.Moment(conditions.CpuTimes(0.0, 0.0, 0.0))
    monkeypatch.setattr(conditions, "look", lambda: nothing_happens)
    machine = limits.Machine("A CPU", 2, 32 * 2**20, 40.0)
    monkeypatch.setattr(limits, "measure_machine", lambda *arguments: machine)
    monkeypatch.setattr(limits, "measure_read", lambda *arguments: (20.0, 40.0))


@pytest.fixture
def warm():
    """The kernels of `tiny`, and of models of floats, are there: nobody speaks of compiling."""
    import localmix

    localmix.load("tiny").close()


@pytest.fixture
def memory_of(monkeypatch):
    """Say how much memory this machine has, free and in all."""
    from localmix.engine import memory

    def put(free_bytes, total_bytes=None):
        monkeypatch.setattr(memory, "free_bytes", lambda: free_bytes)
        monkeypatch.setattr(memory, "total_bytes", lambda: total_bytes or free_bytes)

    put(16 * 10**9, 32 * 10**9)
    return put


@pytest.fixture(scope="session")
def gguf_bytes(tmp_path_factory):
    """A small model that localmix can run."""
    from support.models import Q, Shape, write_model

    path = tmp_path_factory.mktemp("model") / "small.gguf"
    return write_model(path, Shape(n_experts=4), quant=Q.Q8_0).read_bytes()


@pytest.fixture
def loaded(monkeypatch):
    """The names of the models that were loaded, which compiles their kernels."""
    names = []
    monkeypatch.setattr("localmix.cli.pull.load_model", lambda name, stderr: Loaded(names, name))
    return names


class Loaded:
    def __init__(self, names, name):
        names.append(name)

    def close(self):
        pass
