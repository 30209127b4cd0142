"""A model that loads behind the prompt, so that a person can type at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from localmix.cli.progress import COMPILING
from localmix.cli.terminal import StatusLine

if TYPE_CHECKING:
    from localmix.engine import Model
    from localmix.kernels.library import OnCompile

Load = Callable[["OnCompile"], "Model"]
"""Loads a model; is told of kernels that are compiled."""


class Loading:
    """One model on its way; `model` waits for it."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._model: Model | None = None
        self._failure: BaseException | None = None
        self._said = "loading the model"
        self._lock = threading.Lock()
        self._is_left = False
        self._is_over = threading.Event()  # Thread.join, once interrupted, takes it for ended
        self._start()

    def is_over_within(self, seconds: float) -> bool:
        """Wait a little -> whether the model is there, or never will be."""
        return self._is_over.wait(seconds)

    @property
    def has_failed(self) -> bool:
        """Whether there never will be a model."""
        return self._failure is not None

    def model(self, stderr: TextIO) -> Model:
        """Give the model; says on stderr what it waits for. Raises whatever loading raised."""
        status, shown = StatusLine(stderr, delay_s=0.3), ""
        try:
            while not self.is_over_within(0.1):
                if shown != self._said:
                    shown = self._said
                    status.show(shown)
        except KeyboardInterrupt:
            status.clear()
            self._go_on()
            raise
        finally:
            status.clear()
        if self._failure is not None:
            raise self._failure
        assert self._model is not None, "loading gives a model or fails"
        return self._model

    def close(self) -> None:
        """Let go of the model, now or as soon as it is there."""
        with self._lock:
            self._is_left = True
            if self._model is not None:
                self._model.close()

    def _start(self) -> None:
        self._failure = None
        self._is_over.clear()
        threading.Thread(target=self._work, daemon=True).start()

    def _go_on(self) -> None:
        """Load again if Ctrl-C has stopped it: it also reaches the processes that compile."""
        if self.is_over_within(0.5) and self.has_failed:
            self._start()

    def _work(self) -> None:
        try:
            model = self._load(self._on_compile)
        except BaseException as exc:  # whatever it is, `model` raises it
            self._failure = exc
        else:
            with self._lock:
                self._model = model
                if self._is_left:
                    model.close()
        self._is_over.set()

    def _on_compile(self, n_done: int, n_total: int) -> None:
        self._said = f"{COMPILING}: {n_done} of {n_total}"
