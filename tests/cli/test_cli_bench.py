"""`localmix bench`: the card first, then the figures; one JSON object when asked for."""

import pytest
from support.fake_model import as_json
from support.models import Shape, write_model

from localmix import settings
from localmix.bench import run
from localmix.bench.run import Measurement, Series

GB = 10**9


@pytest.fixture
def path(tmp_path):
    return write_model(tmp_path / "baby.gguf", Shape(n_experts=4, window=64))


@pytest.fixture
def measured(monkeypatch, quick_machine):
    """Figures that are known, in place of measured ones."""
    figures = Measurement(Series(500, [5.0, 10.0, 4.0]), Series(100, [25.0, 20.0]), 7.5, 5 * GB)
    seen = []

    def measure(model, options, on_step):
        seen.append((model, options))
        on_step("prefill 1 of 3")
        return figures

    monkeypatch.setattr(run, "measure", measure)
    return seen


def test_text_has_the_card_first_and_then_prefill_and_decode(cli, path, measured):
    options = ("-p", "500", "-n", "100", "-d", "64", "-r", "3")
    result = cli("bench", str(path), *options, "--executor", "reference")
    assert (result.code, result.err) == (0, "")
    size = f"{path.stat().st_size / 1000:.0f} kB"
    last = result.out.splitlines()[-1]
    assert result.out == (
        "A CPU · 2 cores · reads 40.0 GB/s (NumPy, 2 threads)\n"
        f"{path} · F32 · {size} · 75.2 k parameters · executor reference\n"
        "a token needs 172 kB of the file; this executor reads them as float32, "
        "so memory's limit is not stated\n"
        "\n"
        "                                 tok/s   min   max\n"
        "prefill  500 tokens                100  50.0   125  0.0 Gop/s\n"
        "decode   100 tokens at depth 64   4.50  4.00  5.00  0.00 GB/s\n"
        "\n"
        f"{last}\n"
    )
    assert last.startswith("first token 7.5 s · load ")
    assert last.endswith(" · peak memory 5.00 GB · median of 3")


def test_the_ceiling_is_named_when_memory_is_the_limit(cli, path, measured, monkeypatch):
    from localmix.bench import limits

    machine = limits.Machine("A CPU", 2, 1000, 40.0)
    monkeypatch.setattr(limits, "measure_machine", lambda n_threads=None: machine)
    out = cli("bench", str(path)).out
    assert "\na token needs 164 kB of the file: memory allows 244523 tok/s at most\n" in out
    assert "0.00 GB/s, 0 % of the read bandwidth" in out


def test_json_is_one_object_with_the_keys_of_the_interface(cli, path, measured):
    result = cli("bench", str(path), "--json", "-p", "500", "-n", "100")
    record = as_json(result.out)
    assert list(record) == [
        "model", "file_bytes", "quantization", "isa", "threads", "kv", "load_s", "jit_s", "ttft_s",
        "peak_rss_bytes", "prefill", "decode", "machine",
    ]  # fmt: skip
    assert record["model"] == str(path)
    assert record["file_bytes"] == path.stat().st_size
    assert record["isa"] in settings.ISA_TIERS
    assert record["jit_s"] >= 0
    assert record["kv"] == "f16"
    assert record["prefill"]["tok_s"] == {"median": 100.0, "min": 50.0, "max": 125.0}
    assert record["decode"]["pct_of_read_bandwidth"] is None
    assert result.err == ""


def test_what_is_reported_is_what_was_used(cli, path, measured, monkeypatch):
    monkeypatch.setenv("LOCALMIX_THREADS", "1")
    record = as_json(cli("bench", str(path), "--json", "--kv", "q8_0").out)
    assert (record["threads"], record["kv"]) == (1, "q8_0")
    assert as_json(cli("bench", str(path), "--json", "-t", "3").out)["threads"] == 3


def test_defaults_are_those_of_the_interface(cli, path, measured):
    cli("bench", str(path), "--json")
    ((model, options),) = measured
    assert (options.n_prompt, options.n_generated) == (512, 128)
    assert (options.depth, options.n_repetitions) == (0, 5)
    assert model.n_ctx == options.n_ctx


def test_without_a_model_it_is_tiny(cli, model, monkeypatch):
    class Stop(Exception):
        pass

    def load(name, **options):
        assert (name, options["n_threads"], options["kv"]) == ("tiny", 2, "f32")
        raise Stop

    import localmix

    monkeypatch.setattr(localmix, "load", load)
    assert "Stop" in cli("bench", "-t", "2", "--kv", "f32").err


def test_progress_is_drawn_on_a_terminal_only_and_taken_away(cli, path, measured):
    err = cli("bench", str(path), terminals=("stderr",)).err
    assert "\rprefill 1 of 3" in err
    assert err.endswith("\r")


def test_a_real_run_on_a_baby_model(cli, path, quick_machine):
    record = as_json(cli("bench", str(path), "--json", "-p", "8", "-n", "3", "-r", "2").out)
    for part in ("prefill", "decode"):
        speeds = record[part]["tok_s"]
        assert 0 < speeds["min"] <= speeds["median"] <= speeds["max"]
    assert record["ttft_s"] > 0
    assert record["peak_rss_bytes"] > 10**7
