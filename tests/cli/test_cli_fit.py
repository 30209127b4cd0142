"""`localmix fit`: memory, disk and speed of a model, before it is downloaded."""

import json

import pytest
from gguf import GGMLQuantizationType as Q
from support.models import Shape, write_model
from support.streams import plain

from localmix import settings
from localmix.bench import limits
from localmix.bench.limits import Machine
from localmix.bench.predict import Efficiency
from localmix.bench.remembered import recall, remember_efficiency
from localmix.cores import n_threads_by_default
from localmix.kernels.library import this_machine
from localmix.system import cpu_name

REPO = "someone/Some-Model-GGUF"
FILE = "Some-Model.Q8_0.gguf"
NAME = f"hf.co/{REPO}:Q8_0"

SLOW = Machine(cpu_name(), 2, 1, 0.001, 0.01, 0.01)
"""So slow, with caches so small, that a small model is bound by memory."""


@pytest.fixture(autouse=True)
def machine(memory_of, monkeypatch, kernel_cache):
    """Plenty of memory, and limits that are measured at once; counts how often."""
    (kernel_cache / "machine.json").unlink(missing_ok=True)
    measured = []

    def measure_machine(n_threads, with_kernels, on_compile):
        measured.append(n_threads)
        return SLOW

    monkeypatch.setattr(limits, "measure_machine", measure_machine)
    monkeypatch.setattr("localmix.bench.disk.disk_gb_s", lambda folder: 0.0005)
    return measured


@pytest.fixture
def path(tmp_path):
    shape = Shape(n_experts=8, dim=64, hidden_dim=128)
    return str(write_model(tmp_path / "m.gguf", shape, quant=Q.Q8_0))


def fields(text):
    """The fields of a page."""
    return dict(line.split("  ", 1) for line in text.splitlines() if "  " in line)


def test_a_file_is_judged_from_its_header(cli, path):
    result = cli("fit", path)
    page = {name: value.strip() for name, value in fields(result.out).items()}
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(path + "\n")
    assert page["memory"].startswith("180 MB resident with 512 tokens of context (f16), ")
    assert page["disk"].endswith(" kB, here already") or "are free" in page["disk"]
    assert page["fit"] == "fits: 16.0 GB of 32.0 GB are free"
    assert "tok/s" in page["speed"]
    assert "± 25 %" in page["speed"]


def test_the_machine_is_measured_once_and_remembered(cli, path, machine):
    first, second = cli("fit", path).out, cli("fit", path).out
    assert first == second
    assert machine == [n_threads_by_default()]
    isa = this_machine().tier.name
    assert recall(settings.cache_folder(), n_threads_by_default(), isa) == SLOW
    cli("fit", path, "--threads", "1")
    assert machine == [n_threads_by_default(), 1]


def test_what_bench_measured_here_makes_it_surer(cli, path):
    usual = json.loads(cli("fit", path, "--json").out)
    isa, n_threads = this_machine().tier.name, n_threads_by_default()
    reached = Efficiency(0.5, 0.5)
    remember_efficiency(settings.cache_folder(), n_threads, isa, "Q8_0", reached)
    measured = json.loads(cli("fit", path, "--json").out)
    assert (usual["error_pct"], measured["error_pct"]) == (25.0, 15.0)
    assert measured["decode_tok_s"] == pytest.approx(usual["decode_tok_s"] * 0.5 / 0.85, rel=1e-3)


def test_json_has_every_number(cli, path):
    result = cli("fit", path, "--json", "--ctx", "128", "--kv", "q8_0")
    record = json.loads(result.out)
    assert set(record) == {
        "name", "from", "size_bytes", "verdict", "memory", "disk", "prefill_tok_s", "decode_tok_s",
        "error_pct", "bytes_per_token", "streaming", "machine", "quantizations",
    }  # fmt: skip
    assert set(record["memory"]) == {
        "resident_bytes", "pageable_bytes", "free_bytes", "total_bytes", "ctx", "kv",
    }  # fmt: skip
    assert (record["memory"]["ctx"], record["memory"]["kv"]) == (128, "q8_0")
    assert record["disk"]["missing_bytes"] == 0
    assert record["verdict"] == "fits"
    assert record["streaming"] is None
    assert record["decode_tok_s"] > 0
    assert record["machine"]["cpu"] == cpu_name()


def test_memory_of_another_machine_can_be_tried(cli, path):
    page = cli("fit", path, "--memory", "1MB").out
    assert "does not fit" in page
    assert "none, it does not run" in page
    assert cli("fit", path, "--memory", "1GB").code == 0


def test_experts_from_the_disk_are_told(cli, tmp_path, monkeypatch):
    from localmix.engine import fit

    monkeypatch.setattr(fit, "PROGRAM_BYTES", 0)
    shape = Shape(n_experts=8, dim=128, hidden_dim=512, context_length=16)
    path = write_model(tmp_path / "m.gguf", shape, quant=Q.Q8_0)
    page = cli("fit", str(path), "--memory", "3MB").out
    assert "reading experts from the disk" in page
    assert "of the experts in memory when they are chosen" in page
    assert "read per token at 500 kB/s" in page


# ---- models that are not here -------------------------------------------------------------------


def test_a_model_of_the_hub_is_judged_without_a_download(cli, fake_hub, gguf_bytes):
    others = {"Some-Model.Q4_0.gguf": bytes(50_000), "Some-Model.F16.gguf": bytes(200_000)}
    fake_hub.add(REPO, {FILE: gguf_bytes, **others})
    result = cli("fit", NAME)
    assert result.code == 0
    assert "90.0 kB to download" in result.out
    assert result.err == f"to download it: localmix pull {NAME}\n"
    rows = [line.split() for line in result.out.splitlines()]
    table = {row[0]: row for row in rows[rows.index([]) + 2 :]}
    assert list(table) == ["Q4_0", "Q8_0", "F16"]  # smallest first
    assert "this one" in " ".join(table["Q8_0"])
    speeds = [float(table[name][3]) for name in table]
    assert speeds == sorted(speeds, reverse=True)
    assert not settings.home().exists()


def test_quantizations_that_do_not_fit_are_named_as_such(cli, fake_hub, gguf_bytes, memory_of):
    fake_hub.add(REPO, {FILE: gguf_bytes, "Some-Model.F16.gguf": bytes(30_000_000)})
    memory_of(220_000_000)
    record = json.loads(cli("fit", NAME, "--json").out)
    assert {q["quantization"]: q["fits"] for q in record["quantizations"]} == {
        "Q8_0": True,
        "F16": False,
    }
    assert record["quantizations"][1]["decode_tok_s"] is None
    assert "too large" in cli("fit", NAME).out


def test_a_status_line_says_that_the_machine_is_measured(cli, path):
    result = cli("fit", path, terminals=("stderr",))
    assert "measuring this machine, once" in plain(result.err)


def test_without_the_hub_the_catalog_tells(cli, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = cli("fit", "mixtral", "--ctx", "2048", "--kv", "q8_0")
    assert result.code == 0
    assert "told from the catalog, not from the file's header" in result.err
    assert "28.4 GB to download" in result.out or "28.5 GB to download" in result.out
    assert "with 2048 tokens of context (q8_0)" in result.out
    assert "this one" in result.out
    record = json.loads(cli("fit", "mistral", "--json").out)
    assert (record["from"], record["verdict"]) == ("catalog", "fits")
    # 7.25 billion weights, 4.37 GB, 0.85 of a bandwidth of 1 MB/s
    reads = record["bytes_per_token"] + 1000 * 131_072
    assert record["decode_tok_s"] == pytest.approx(0.85e6 / reads, rel=0.01)
    assert record["error_pct"] == 25.0


def test_published_perplexities_stand_in_the_table_with_their_source(cli, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    own = cli("fit", "mistral:7b-v0.1").out
    assert "5.7539  fits, this one\n" in own
    assert "perplexity: Wikitext, 512 tokens" in own
    relative = cli("fit", "mistral:7b-instruct-v0.1").out
    assert "perplexity of mistral:7b-v0.1: Wikitext" in relative
    none = cli("fit", "zephyr:7b-beta", "--memory", "3GB").out
    assert "too large" in none


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("fit", "nosuchmodel"), 1, "there is no model named nosuchmodel"),
        (("fit", "missing.gguf"), 1, "there is no file missing.gguf"),
        (("fit", "tiny", "--ctx", "0"), 2, "--ctx must be"),
        (("fit", "tiny", "--kv", "f64"), 2, "--kv must be one of"),
        (("fit", "tiny", "--memory", "much"), 2, "--memory"),
        (("fit", "tiny", "--threads", "0"), 2, "--threads must be"),
        (("fit",), 2, "NAME"),
    ],
)
def test_what_makes_no_sense_is_said(cli, arguments, code, message):
    result = cli(*arguments)
    assert (result.code, result.out) == (code, "")
    assert message in result.err
