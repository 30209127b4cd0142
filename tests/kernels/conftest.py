"""Workbenches for kernels: each kernel is compiled once for a run and loaded once for a process."""

import pytest
from support import kernels


@pytest.fixture
def workbench(monkeypatch):
    """Make a workbench for kernels by name, of the best tier or of one by name."""

    def make(names, tier=None):
        if tier and tier not in kernels.possible_tiers():
            pytest.skip(f"this machine lacks {tier}")
        monkeypatch.setenv("LOCALMIX_ISA", tier or "")
        return kernels.Workbench(kernels.load(names))

    return make
