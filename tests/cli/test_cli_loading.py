"""A model that loads behind the prompt: waited for, failed, left, interrupted."""

import io
import threading

import pytest
from support.fake_model import FakeModel
from support.streams import Terminal, plain

from localmix.cli.loading import Loading
from localmix.errors import InvalidGGUF


class Gate:
    """A load that goes on when the test says so."""

    def __init__(self, *results):
        self.results = list(results)
        self.opened, self.begun = threading.Event(), threading.Event()
        self.n_loads = 0
        self.on_compile = None

    def __call__(self, on_compile):
        self.on_compile = on_compile
        self.n_loads += 1
        self.begun.set()
        assert self.opened.wait(30)
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


def test_a_model_is_waited_for_once():
    model = FakeModel()
    gate = Gate(model)
    loading = Loading(gate)
    assert not loading.is_over_within(0)
    gate.opened.set()
    assert loading.model(io.StringIO()) is model
    assert loading.model(io.StringIO()) is model
    assert (loading.has_failed, gate.n_loads) == (False, 1)


def test_what_loading_raises_is_raised_to_whoever_asks():
    gate = Gate(InvalidGGUF("damaged", "pull again"))
    gate.opened.set()
    loading = Loading(gate)
    for _ in range(2):
        with pytest.raises(InvalidGGUF):
            loading.model(io.StringIO())
    assert loading.has_failed


class Asked(Terminal):
    """A terminal that does something when it is told a certain text."""

    def __init__(self, text, do):
        super().__init__()
        self._text, self._do = text, do

    def write(self, text):
        n = super().write(text)
        if self._text in text and self._do is not None:
            do, self._do = self._do, None
            do()
        return n


def test_waiting_says_what_for_and_takes_it_away():
    gate = Gate(FakeModel())
    stderr = Asked("of 15", gate.opened.set)
    loading = Loading(gate)
    assert gate.begun.wait(30)
    gate.on_compile(3, 15)
    loading.model(stderr)
    line = "compiling kernels for this CPU, once: 3 of 15"
    assert stderr.getvalue().count(line) == 1, "the same is not drawn over and over"
    assert plain(stderr.getvalue()).endswith("\r" + " " * len(line) + "\r")


def test_waiting_says_nothing_in_a_log():
    gate, stderr = Gate(FakeModel()), io.StringIO()
    loading = Loading(gate)
    threading.Timer(0.6, gate.opened.set).start()
    loading.model(stderr)
    assert stderr.getvalue() == ""


class Struck(Loading):
    """Ctrl-C comes when it is waited for the first time."""

    def __init__(self, load, also=lambda: None):
        super().__init__(load)
        self._also = also
        self._is_struck = False

    def is_over_within(self, seconds):
        if not self._is_struck:
            self._is_struck = True
            self._also()
            raise KeyboardInterrupt
        return super().is_over_within(seconds)


def test_ctrl_c_ends_the_waiting_and_not_the_loading():
    model = FakeModel()
    gate = Gate(model)
    loading = Struck(gate)
    with pytest.raises(KeyboardInterrupt):
        loading.model(io.StringIO())
    assert not loading.is_over_within(0)
    gate.opened.set()
    assert loading.model(io.StringIO()) is model
    assert gate.n_loads == 1


def test_loading_that_ctrl_c_has_stopped_begins_again():
    # The terminal sends Ctrl-C to the processes that compile, too.
    model = FakeModel()
    gate = Gate(InvalidGGUF("the kernels could not be compiled", ""), model)
    loading = Struck(gate, also=gate.opened.set)
    with pytest.raises(KeyboardInterrupt):
        loading.model(io.StringIO())
    assert loading.model(io.StringIO()) is model
    assert gate.n_loads == 2


def test_a_model_that_comes_when_everybody_has_left_is_closed():
    model = FakeModel()
    gate = Gate(model)
    loading = Loading(gate)
    loading.close()
    assert not model.closed
    gate.opened.set()
    assert loading.is_over_within(30)
    assert model.closed


def test_close_lets_a_model_go():
    model = FakeModel()
    loading = Loading(lambda on_compile: model)
    loading.model(io.StringIO())
    loading.close()
    assert model.closed
