"""`localmix.recommend` asks this machine once, and never the network."""

import subprocess
import sys

import pytest

import localmix
from localmix import settings
from localmix.advice import this_machine
from localmix.advice.candidates import TYPICAL, Wishes
from localmix.bench import limits
from localmix.bench.limits import Machine
from localmix.bench.predict import USUAL
from localmix.engine import memory
from localmix.system import cpu_name


@pytest.fixture
def measured(monkeypatch):
    """Count measurements of a machine that reads 40 GB/s and has 12 of 16 GB free."""
    counted = []

    def measure(n_threads, with_kernels, on_compile):
        counted.append(n_threads)
        return Machine(cpu_name(), 2, None, 40.0, 1000.0)

    monkeypatch.setattr(limits, "measure_machine", measure)
    monkeypatch.setattr(memory, "free_bytes", lambda: 12 * 10**9)
    monkeypatch.setattr(memory, "total_bytes", lambda: 16 * 10**9)
    return counted


@pytest.fixture
def ask(tmp_path, monkeypatch):
    def ask(n_threads=2, on_measure=lambda: None, **wishes):
        monkeypatch.setenv("LOCALMIX_THREADS", str(n_threads))
        folders = tmp_path / "home", tmp_path / "cache"
        return this_machine.advise(Wishes(**wishes), *folders, on_measure)

    return ask


def test_a_machine_is_measured_once_and_then_known(ask, measured):
    said = []
    first = ask(on_measure=lambda: said.append("now"))
    assert (measured, said) == ([2], ["now"])
    assert ask(on_measure=lambda: said.append("again")) == first
    assert (measured, said) == ([2], ["now"])
    ask(n_threads=4)
    assert measured == [2, 4]


def test_the_measured_speed_and_memory_are_what_counts(ask, measured):
    row = ask()[0]
    read = row.size_bytes + 1000 * 131_072
    assert row.decode_tok_s == pytest.approx(USUAL.decode * 40e9 / read)
    assert row.prefill_tok_s == pytest.approx(USUAL.prefill * 1000e9 / (2 * 7.248e9), rel=1e-3)
    assert any("12.0 GB are free" in reason for reason in row.reasons)


def test_a_typical_machine_needs_no_measuring(ask, measured):
    rows = ask(compute="high")
    assert not measured
    assert rows[0].size_bytes < TYPICAL["high"][1].free_bytes
    assert rows != ask(compute="low")


def test_a_persons_own_catalog_counts(ask, measured, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "models.toml").write_text(
        '[[model]]\nname = "mine:7b"\nrepo = "me/Mine"\nchat = "chatml"\n'
        'scores_source = "my notes"\n[model.scores]\nmt_bench = 9.9\n'
        "[model.quantizations]\nQ4_K_M = 4.4\n",
        encoding="utf-8",
    )
    assert ask()[0].name == "mine:7b-q4_K_M"


def test_the_model_inside_the_package_has_its_size(ask, measured):
    tiny = ask()[-1]
    assert (tiny.name, tiny.quantization) == ("tiny", "")
    assert 10**6 < tiny.size_bytes < 10**8


def test_localmix_recommend_is_the_same(measured):
    rows = localmix.recommend(task="code", response="batch", domain="specific", compute="medium")
    wishes = Wishes("code", "batch", "specific", "medium")
    assert rows == this_machine.advise(wishes, settings.home(), settings.cache_folder())
    with pytest.raises(localmix.LocalmixError, match="task cannot be 'chess'") as caught:
        localmix.recommend(task="chess")
    assert "give task one of conversation," in caught.value.hint


def test_naming_it_imports_nothing_heavy():
    code = "import localmix, sys; localmix.recommend; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "numba", "localmix.bench"} & set(done.stderr.split())
