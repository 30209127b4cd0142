"""A run against an earlier one, in each format that holds one; and files that hold none."""

import dataclasses
import json

import pytest
from support.bench import REPORT, with_, with_speeds

from localmix.bench.compare import compare, read_earlier
from localmix.bench.llama_bench import as_llama_bench
from localmix.bench.report import as_record
from localmix.errors import LocalmixError

THEN = with_speeds([100.0, 110.0, 120.0], [9.0, 10.0, 11.0])
NOW = with_speeds([130.0, 132.0, 134.0], [9.5, 9.6, 10.5])

LLAMA_CPP = {
    "build_commit": "3f2a1bc",
    "cpu_info": "A CPU",
    "model_filename": "/elsewhere/m.gguf",
    "model_type": "llama 7B Q4_K - Medium",
    "model_size": int(4 * 2**30 * 0.999),
    "model_n_params": 7_240_000_000,
    "n_threads": 2,
    "type_k": "f16",
    "n_prompt": 500,
    "n_gen": 0,
    "n_depth": 0,
    "avg_ts": 110.0,
    "stddev_ts": 10.0,
    "samples_ts": [100.0, 110.0, 120.0],
}
"""Some keys of what llama-bench of llama.cpp writes."""


def decoded(**changes):
    speeds = {"avg_ts": 10.0, "stddev_ts": 1.0, "samples_ts": [9.0, 10.0, 11.0]}
    return LLAMA_CPP | {"n_prompt": 0, "n_gen": 100, "n_depth": 950} | speeds | changes


@pytest.fixture
def against(tmp_path):
    def held(text, now=NOW):
        path = tmp_path / "before.json"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return compare([now], read_earlier(str(path)))

    return held


FORMATS = {
    "bench --json": json.dumps(as_record(THEN)),
    "bench -o json": json.dumps(as_llama_bench(THEN, "now", "0.1")),
    "bench -o jsonl": "".join(json.dumps(one) + "\n" for one in as_llama_bench(THEN, "now", "0.1")),
    "llama-bench -o json": json.dumps([LLAMA_CPP, decoded()], indent=2),
    "llama-bench -o jsonl": f"{json.dumps(LLAMA_CPP)}\r\n{json.dumps(decoded())}\r\n",
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_change(against, name):
    compared = against(FORMATS[name])
    prefill, decode = compared.changes
    assert prefill.change_pct == pytest.approx(20.0)
    assert not prefill.within_spread  # 130 to 134 against 100 to 120
    assert decode.change_pct == pytest.approx(-4.0)
    assert decode.within_spread
    assert compared.differs == ()
    assert compared.earlier.program == ("llama-bench" if "llama" in name else "localmix")


def test_ranges_that_touch_overlap():
    from localmix.bench.compare import Speed, _change

    then = Speed("prefill", 500, 0, 110.0, 100.0, 130.0)
    assert _change(NOW.prefill, then).within_spread
    assert not _change(NOW.prefill, dataclasses.replace(then, high=129.9)).within_spread
    assert not _change(NOW.prefill, dataclasses.replace(then, low=134.1, high=140.0)).within_spread


def test_without_samples_the_deviation_is_the_spread(against):
    record = {key: value for key, value in LLAMA_CPP.items() if key != "samples_ts"}
    (change,) = against([record]).changes
    assert (change.then.low, change.then.high) == (100.0, 120.0)


def test_what_is_not_the_same_is_said(against):
    subject = dataclasses.replace(
        REPORT.subject, name="tiny", path="/t.gguf", threads=8, file_bytes=7_000_000, kv="q8_0"
    )
    machine = dataclasses.replace(REPORT.machine, cpu="Another CPU")
    now = with_speeds([130.0], [9.5], subject=subject, machine=machine)
    for name in ("bench --json", "llama-bench -o json"):
        differs = against(FORMATS[name], now).differs
        assert [text.split(" ")[0] for text in differs] == [
            "CPU", "threads", "model", "file", "cache",
        ]  # fmt: skip
        assert differs[0] == "CPU A CPU then, Another CPU now"
        assert differs[1] == "threads 2 then, 8 now"
        assert differs[3].endswith("7.00 MB now")


def test_a_byte_more_is_another_file_where_files_are_counted(against):
    subject = dataclasses.replace(REPORT.subject, file_bytes=4 * 2**30 + 1)
    now = with_(measured=NOW.measured, subject=subject)
    assert against(FORMATS["bench --json"], now).differs == (
        "file of 4294967296 B then, 4294967297 B now",
    )
    assert against(FORMATS["llama-bench -o json"], now).differs == ()


def test_the_same_cpu_in_other_spelling_is_the_same(against):
    spelt = {"cpu_info": "a  CPU(R)"}
    assert against([LLAMA_CPP | spelt, decoded(**spelt)]).differs == ()


def test_tests_of_other_sizes_are_not_compared(against):
    compared = against([LLAMA_CPP | {"n_prompt": 512}, decoded(n_depth=0)])
    assert compared.changes == ()
    assert compared.differs == (
        "tests that were run then: prefill of 512 tokens, decode of 100 tokens",
    )


def test_of_many_runs_the_one_most_like_ours_is_taken(against):
    others = [LLAMA_CPP | {"n_threads": n, "samples_ts": [n]} for n in (1, 4)]
    both = LLAMA_CPP | {"n_gen": 100, "samples_ts": [7.0]}  # -pg: neither prefill nor decode
    compared = against([both, *others, LLAMA_CPP, decoded()])
    assert compared.earlier.threads == 2
    assert [change.then.median for change in compared.changes] == [110.0, 10.0]


def test_further_tests_of_ours_are_found(against):
    record = as_record(THEN, [with_speeds([], [20.0, 20.0])])
    record["more"][0]["depth"] = 7
    options = dataclasses.replace(REPORT.options, depth=7)
    now = with_speeds([], [10.0, 10.0], options=options)
    (change,) = against(record, now).changes
    assert (change.then.part, change.then.depth, change.change_pct) == ("decode", 7, -50.0)


def test_the_record_is_data(against):
    record = against(FORMATS["bench --json"]).record()
    assert json.loads(json.dumps(record)) == record
    assert list(record) == ["file", "program", "changes", "differs"]
    assert record["changes"][1] == {
        "part": "decode",
        "tokens": 100,
        "depth": 950,
        "then_tok_s": {
            "median": pytest.approx(10.0), "min": pytest.approx(9.0), "max": pytest.approx(11.0),
        },
        "change_pct": pytest.approx(-4.0),
        "within_spread": True,
    }  # fmt: skip


OURS = as_record(THEN)
BAD = {
    "empty": "",
    "text": "tok/s: many",
    "a number": "7",
    "no tests": "[]",
    "numbers": "[1, 2]",
    "another object": '{"a": 1}',
    "null": "null",
    "cut": FORMATS["bench --json"][:-40],
    "no speed": json.dumps([LLAMA_CPP | {"samples_ts": [0]}]),
    "not a number": json.dumps([LLAMA_CPP | {"samples_ts": ["fast"]}]),
    "no spread": json.dumps([LLAMA_CPP | {"samples_ts": [], "stddev_ts": float("nan")}]),
    "infinite": json.dumps([LLAMA_CPP]).replace("100.0", "1e999"),
    "endless": '{"prefill": ' + "[" * 100_000,
    "both at once only": json.dumps([LLAMA_CPP | {"n_gen": 100}]),
    "a count that is none": json.dumps([LLAMA_CPP | {"n_prompt": "many"}]),
    "a huge count": json.dumps([LLAMA_CPP]).replace("500", "1e999"),
    "no decode": json.dumps({"prefill": OURS["prefill"]}),
    "a list for an object": json.dumps(OURS | {"prefill": [1]}),
    "a text for a machine": json.dumps(OURS | {"machine": "fast"}),
    "nothing measured": json.dumps(
        OURS | {key: {"tok_s": {"median": None}, "tokens": 0} for key in ("prefill", "decode")}
    ),
    "bytes": "\udcff",
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_holds_no_run_is_a_sentence(tmp_path, name):
    path = tmp_path / "bad.json"
    path.write_bytes(BAD[name].encode("utf-8", "surrogateescape"))
    with pytest.raises(LocalmixError, match="holds no run of bench") as caught:
        read_earlier(str(path))
    assert caught.value.hint


@pytest.mark.parametrize("place", ["none.json", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LocalmixError, match="cannot be read from") as caught:
        read_earlier(place)
    assert caught.value.hint


def test_a_file_that_is_far_too_long_is_not_read(tmp_path, monkeypatch):
    from localmix.bench import compare as module

    monkeypatch.setattr(module, "MOST_BYTES", 10)
    path = tmp_path / "long.json"
    path.write_text(FORMATS["bench --json"])
    with pytest.raises(LocalmixError, match="holds no run"):
        read_earlier(str(path))
