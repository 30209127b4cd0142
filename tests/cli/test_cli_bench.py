"""`localmix bench`: the card first, then the figures; one JSON object when asked for."""

import pytest
from support.fake_model import as_json
from support.models import Shape, write_model

import localmix
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
        "A CPU · 2 cores\n"
        "2 threads read 40.0 GB/s of private memory\n"
        f"{path} · F32 · {size} · 75.2 k parameters · reference, weights mapped, cache f32\n"
        "a token needs 196 kB of the file; this executor reads them as float32, "
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
    monkeypatch.setattr(limits, "measure_machine", lambda *arguments: machine)
    out = cli("bench", str(path)).out
    assert "\na token needs 164 kB of the file: memory allows 244523 tok/s at most\n" in out
    assert "0.00 GB/s, 0 % of the read bandwidth" in out


def test_json_is_one_object_with_the_keys_of_the_interface(cli, path, measured, warm):
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


def test_the_int8_peak_is_measured_where_there_are_kernels(cli, path, measured, monkeypatch):
    from localmix.bench import limits

    asked = []

    def measure_machine(n_threads, with_kernels, on_compile):
        asked.append((n_threads, with_kernels))
        return limits.Machine("A CPU", 2, 1000, 40.0, 500.0 if with_kernels else None)

    monkeypatch.setattr(limits, "measure_machine", measure_machine)
    native = cli("bench", str(path), "-t", "3")
    assert (
        "\n3 threads read 40.0 GB/s of private memory and compute 500 Gop/s of int8 (" in native.out
    )
    assert "Gop/s, 0 % of the int8 peak" in native.out
    reference = as_json(cli("bench", str(path), "--json", "--executor", "reference").out)
    assert asked == [(3, True), (2, False)]
    assert reference["machine"]["int8_gop_s"] is None
    assert reference["prefill"]["pct_of_int8_peak"] is None


def test_compiling_is_said_once_and_its_time_beside_that_of_loading(
    cli, path, measured, monkeypatch
):
    from localmix.bench import limits

    really_load = localmix.load

    def load(name, on_compile, **options):
        on_compile(0, 1)
        on_compile(1, 1)
        model = really_load(name, **options)
        model.load_s, model.executor.jit_s = 9.0, 8.5
        return model

    def measure_machine(n_threads, with_kernels, on_compile):
        on_compile(0, 1)
        on_compile(1, 1)
        return limits.Machine("A CPU", 2, 1000, 40.0)

    monkeypatch.setattr(localmix, "load", load)
    monkeypatch.setattr(limits, "measure_machine", measure_machine)
    result = cli("bench", str(path))
    assert result.err == "compiling kernels for this CPU, once\n"
    assert " · load 9.0 s (8.5 s of it compiling kernels) · " in result.out
    record = as_json(cli("bench", str(path), "--json").out)
    assert (record["load_s"], record["jit_s"]) == (9.0, 8.5)


@pytest.mark.parametrize(("weights", "load_mode"), [("mapped", "mmap"), ("resident", "none")])
def test_weights_are_read_as_asked_and_reported_so(
    cli, path, measured, monkeypatch, weights, load_mode
):
    really_load, asked = localmix.load, []

    def load(name, **options):
        asked.append(options["weights"])
        return really_load(name, **options)

    monkeypatch.setattr(localmix, "load", load)
    said = ("--weights", weights)
    assert f" · native, weights {weights}, cache f16\n" in cli("bench", str(path), *said).out
    records = as_json(cli("bench", str(path), *said, "-o", "json").out)
    assert [record["load_mode"] for record in records] == [load_mode] * 2
    assert asked == [weights] * 2


def test_without_a_model_it_is_tiny(cli, model, monkeypatch):
    class Stop(Exception):
        pass

    def load(name, **options):
        assert (name, options["n_threads"], options["kv"]) == ("tiny", 2, "f32")
        raise Stop

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


def test_bench_tells_what_experts_took_from_the_disk(cli):
    options = ("-p", "4", "-n", "3", "-r", "1", "--expert-memory", "1MB")
    result = cli("bench", "tiny", *options, "--json")
    streamed = as_json(result.out)["streamed"]
    assert 0 <= streamed["hit_rate"] <= 1
    assert streamed["bytes_per_token"] > 0
    assert "% in memory" in cli("bench", "tiny", *options).out
    assert "streamed" not in as_json(cli("bench", "tiny", *options[:-2], "--json").out)
