"""`localmix bench`: the card first, then the figures; one JSON object when asked for."""

import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from support.fake_model import as_json
from support.models import Shape, write_model
from support.streams import plain

import localmix
from localmix import settings
from localmix.bench import run
from localmix.bench.conditions import Around, Moment
from localmix.bench.run import Measurement, Series

GB = 10**9


@pytest.fixture
def path(tmp_path):
    return write_model(tmp_path / "baby.gguf", Shape(n_experts=4, window=64))


@pytest.fixture
def measured(monkeypatch, quick_machine):
    """Figures that are known, in place of measured ones."""
    figures = Measurement(
        Series(500, [5.0, 5.2, 4.9]),
        Series(100, [22.0, 20.0]),
        7.5,
        5 * GB,
        warmup_s=3.0,
        peak_private_bytes=GB,
        peak_file_bytes=4 * GB,
    )
    seen = []

    def measure(model, options, on_step):
        seen.append((model, options))
        on_step("prefill 1 of 3")
        return replace(
            figures,
            prefill=figures.prefill if options.n_prompt else Series(0),
            decode=figures.decode if options.n_generated else Series(0),
        )

    monkeypatch.setattr(run, "measure", measure)
    return seen


@pytest.fixture
def machine(monkeypatch, measured):
    """Say what this machine can do."""
    from localmix.bench import limits

    def put(*figures, **options):
        there = limits.Machine("A CPU", 2, *figures, **options)
        monkeypatch.setattr(limits, "measure_machine", lambda *arguments: there)
        monkeypatch.setattr(limits, "measure_read", lambda *arguments: (1.0, there.read_gb_s))

    return put


def test_text_has_the_card_first_and_then_prefill_and_decode(cli, path, measured):
    options = ("-p", "500", "-n", "100", "-d", "64", "-r", "3")
    result = cli("bench", str(path), *options, "--executor", "reference")
    assert (result.code, result.err) == (0, "")
    size = f"{path.stat().st_size / 1000:.0f} kB"
    (load,) = [line for line in result.out.splitlines() if line.startswith("load ")]
    assert load.endswith(" · warm-up 3.0 s")
    assert result.out == (
        "cpu      A CPU · 2 cores · no kernels\n"
        "memory   reads 40.0 GB/s on 2 threads\n"
        f"model    {path} · F32 · {size} · 75.2 k parameters\n"
        "run by   reference, weights mapped, cache f32\n"
        "a token  reads 196 kB, takes 0.1 Mop\n"
        "at most  not stated: this executor reads the weights as float32\n"
        "\n"
        "                                 tok/s   min   max\n"
        "prefill  500 tokens                100  96.2   102  0.0 Gop/s\n"
        "decode   100 tokens at depth 64   4.77  4.55  5.00  0.00 GB/s\n"
        "\n"
        "first token  7.5 s\n"
        f"{load}\n"
        "memory       5.00 GB at most; of files 4.00 GB, private 1.00 GB\n"
        "figures      medians of 3 repetitions\n"
    )


def test_the_card_names_kinds_of_cores_peaks_and_what_they_allow(cli, path, machine):
    machine(1000, 40.0, 500.0, 120.0, read_one_gb_s=15.0, slow_cores=4)
    lines = cli("bench", str(path)).out.splitlines()
    assert lines[0].startswith("cpu      A CPU · 2 performance and 4 efficiency cores · ")
    assert lines[0].endswith(" kernels")
    assert lines[1] == "memory   reads 40.0 GB/s on 2 threads, 15.0 GB/s on one"
    assert lines[2] == "peak     500 Gop/s of int8, 120 Gop/s of float32 on 2 threads"
    assert lines[5].startswith("a token  reads 180 kB, takes ")
    assert lines[6].startswith("at most  prefill ")
    assert " (float32 peak) · decode 222" in lines[6]
    assert lines[6].endswith(" tok/s (memory)")


def test_a_model_in_the_caches_has_no_ceiling_for_decode(cli, path, measured):
    out = cli("bench", str(path)).out
    assert "\nat most  decode as caches allow, which hold all that a token reads\n" in out


def test_shares_are_stated_in_the_table(cli, path, machine):
    machine(1000, 1e-3, 500.0, 0.02)
    out = cli("bench", str(path)).out
    assert " Gop/s, 31 % of the float32 peak\n" in out
    assert "0.00 GB/s, 86 % of the read bandwidth\n" in out
    assert not re.search("█|#", out)  # a pipe gets no bars


def test_a_terminal_gets_bars_as_wide_as_it_is(cli, path, machine, monkeypatch):
    machine(1000, 1e-3, 500.0, 0.02)
    for columns, n_cells in ((100, 50), (70, 37)):
        monkeypatch.setenv("COLUMNS", str(columns))
        out = plain(cli("bench", str(path), terminals=("stdout",)).out)
        bars = [line for line in out.splitlines() if "█" in line]
        assert [line.split()[0] for line in bars] == ["prefill", "decode"]
        cells = [re.findall("[█▏▎▍▌▋▊▉░]+", line)[0] for line in bars]
        assert {len(one) for one in cells} == {n_cells}
        assert cells[1].count("█") == round(n_cells * 0.8589 * 8) // 8
        assert all(len(line) <= columns for line in bars)
        assert bars[1].endswith(" 86 % of 5.56 tok/s")
    monkeypatch.setenv("COLUMNS", "40")
    assert "█" not in cli("bench", str(path), terminals=("stdout",)).out


def test_a_noisy_machine_gets_a_sentence_in_place_of_a_share(cli, path, machine, monkeypatch):
    machine(1000, 1e-3, 500.0, 0.02)
    busy = Around(others_cpus=1.0)
    quiet = run.measure
    monkeypatch.setattr(
        run, "measure", lambda *a, on_step: replace(quiet(*a, on_step), decode_around=busy)
    )
    out = cli("bench", str(path), terminals=("stdout",)).out
    assert "\x1b[33mnote\x1b[0m  other programs took 50 % of the cores that decode ran on\n" in out
    assert "  so no share of the limit is stated for decode\n" in plain(out)
    assert "of the read bandwidth" not in out
    assert "31 % of the float32 peak" in out
    assert len([line for line in out.splitlines() if "█" in line]) == 1
    record = as_json(cli("bench", str(path), "--json").out)
    assert record["decode"]["pct_of_read_bandwidth"] is None
    assert record["conditions"]["notes"] == [
        "other programs took 50 % of the cores that decode ran on"
    ]
    assert "note" not in cli("bench", str(path), "-o", "md").out


def test_others_are_watched_while_the_limits_are_measured(cli, path, machine, monkeypatch):
    from localmix.bench import conditions

    machine(1000, 1e-3, 500.0, 0.02)
    moments = iter(Moment(conditions.CpuTimes(t, t, 0.0)) for t in (0.0, 2.0))
    monkeypatch.setattr(conditions, "look", lambda: next(moments))
    record = as_json(cli("bench", str(path), "--json").out)
    assert record["conditions"]["others_pct"]["limits"] == pytest.approx(50.0)
    assert record["prefill"]["pct_of_ceiling"] is None


def test_memory_is_measured_again_only_where_it_is_the_limit(cli, path, machine, monkeypatch):
    from localmix.bench import limits, remembered

    asked, kept = [], []

    def remember(folder, machine, n_threads, isa):
        kept.append((machine.read_gb_s, n_threads, isa in settings.ISA_TIERS))

    monkeypatch.setattr(remembered, "remember", remember)

    def measure_read(n_threads, n_bytes):
        asked.append(n_threads)
        return 1.0, 60.0

    monkeypatch.setattr(limits, "measure_read", measure_read)
    cli("bench", str(path), "--json", "-t", "2")
    assert asked == []  # the caches hold it
    machine(1000, 40.0)
    monkeypatch.setattr(limits, "measure_read", measure_read)
    record = as_json(cli("bench", str(path), "--json", "-t", "2").out)
    assert asked == [2]
    assert record["machine"]["read_gb_s"] == 60.0
    assert record["conditions"]["read_moved_pct"] == pytest.approx(50.0)
    assert kept[-2:] == [(40.0, 2, True), (60.0, 2, True)]
    assert "note  memory was read at 40.0 GB/s" in cli("bench", str(path)).out
    cli("bench", str(path), "-n", "0")
    assert len(asked) == 2  # without decode nobody asks


@pytest.mark.parametrize(
    ("share", "n_cells", "encoding", "drawn"),
    [
        (0.5, 4, "utf-8", ("██", "░░")),
        (0.53, 4, "utf-8", ("██▏", "░")),
        (0.0, 3, "utf-8", ("", "░░░")),
        (1.0, 3, "utf-8", ("███", "")),
        (1.04, 3, "utf-8", ("███", "")),
        (0.5, 4, "ascii", ("##", "..")),
        (0.5, 4, "cp1252", ("##", "..")),
        (0.5, 4, "cp437", ("##", "..")),
        (0.5, 4, None, ("##", "..")),
        (0.5, 4, "nonsense", ("##", "..")),
    ],
)
def test_bars_are_drawn_with_what_the_encoding_has(share, n_cells, encoding, drawn):
    from localmix.cli.bench_text import bar

    assert bar(share, n_cells, encoding) == drawn


def test_json_is_one_object_with_the_keys_of_the_interface(cli, path, measured, warm):
    result = cli("bench", str(path), "--json", "-p", "500", "-n", "100")
    record = as_json(result.out)
    assert list(record) == [
        "model", "file_bytes", "quantization", "isa", "threads", "kv", "load_s", "jit_s",
        "warmup_s", "ttft_s", "peak_rss_bytes", "peak_private_bytes", "peak_file_bytes", "prefill",
        "decode", "machine", "conditions",
    ]  # fmt: skip
    assert record["model"] == str(path)
    assert record["file_bytes"] == path.stat().st_size
    assert record["isa"] in settings.ISA_TIERS
    assert record["jit_s"] >= 0
    assert record["kv"] == "f16"
    assert record["prefill"]["tok_s"] == {
        "median": 100.0, "min": pytest.approx(500 / 5.2), "max": pytest.approx(500 / 4.9),
    }  # fmt: skip
    assert (record["peak_private_bytes"], record["peak_file_bytes"]) == (GB, 4 * GB)
    assert record["warmup_s"] == 3.0
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


def test_the_peaks_are_measured_where_there_are_kernels(cli, path, measured, monkeypatch):
    from localmix.bench import limits

    asked = []

    def measure_machine(n_threads, with_kernels, on_compile):
        asked.append((n_threads, with_kernels))
        return limits.Machine("A CPU", 2, 10**9, 40.0, 500.0 if with_kernels else None)

    monkeypatch.setattr(limits, "measure_machine", measure_machine)
    native = cli("bench", str(path), "-t", "3")
    assert "\npeak     500 Gop/s of int8 on 3 threads\n" in native.out
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
        return limits.Machine("A CPU", 2, 10**9, 40.0)

    monkeypatch.setattr(localmix, "load", load)
    monkeypatch.setattr(limits, "measure_machine", measure_machine)
    result = cli("bench", str(path))
    assert result.err == "compiling kernels for this CPU, once\n"
    assert "load         9.0 s, 8.5 s of it compiling kernels · warm-up 3.0 s\n" in result.out
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
    assert (
        f"\nrun by   native, weights {weights}, cache f16\n" in cli("bench", str(path), *said).out
    )
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


class OutsideClock:
    """A clock that only the model moves: 2 ms for a prompt token, 50 ms for a decoded one."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def look(self):
        from localmix.system import CpuTimes

        return Moment(CpuTimes(self.now_s, self.now_s, self.now_s), on_battery=False)

    def generate(self, ids, max_tokens, **options):
        return OutsideClock.Pieces(self, len(ids), max_tokens)

    class Pieces:
        stats = SimpleNamespace(peak_rss_bytes=1, streamed=None)

        def __init__(self, clock, n_prompt, n_tokens):
            self._pieces = self._run(clock, n_prompt, n_tokens)

        def _run(self, clock, n_prompt, n_tokens):
            clock.now_s += 0.002 * n_prompt
            yield "a"
            for _ in range(n_tokens - 1):
                clock.now_s += 0.05
                yield "a"

        def __iter__(self):
            return self._pieces

        def __next__(self):
            return next(self._pieces)


def test_the_command_reports_what_an_outside_clock_says(cli, path, monkeypatch, quick_machine):
    clock, really_load = OutsideClock(), localmix.load

    def load(name, **options):
        model = really_load(name, **options)
        monkeypatch.setattr(model, "generate", clock.generate)
        return model

    monkeypatch.setattr(localmix, "load", load)
    monkeypatch.setattr(run, "measure", partial(run.measure, clock=clock, look=clock.look))
    sizes = ("-p", "100", "-n", "20", "-d", "50", "-r", "3")
    record = as_json(cli("bench", str(path), *sizes, "--json").out)
    for part, tok_s in (("prefill", 500.0), ("decode", 20.0)):
        assert record[part]["samples_tok_s"] == pytest.approx([tok_s] * 3)
        assert record[part]["tok_s"]["median"] == pytest.approx(tok_s)
    assert record["ttft_s"] == pytest.approx(0.2)
    assert record["warmup_s"] == pytest.approx(0.2 + 0.1 + 0.05)
    outside_s = record["warmup_s"] + 3 * (0.2 + 0.1 + 20 * 0.05)
    assert clock.now_s == pytest.approx(outside_s)
    assert record["conditions"]["steady"] is True
    assert record["conditions"]["others_pct"] == {"prefill": 0.0, "decode": 0.0, "limits": None}


def test_lists_of_sizes_are_tests_of_one_load(cli, path, measured):
    sizes = ("-p", "500, 64", "-n", "100,16,100", "-d", "0,32", "-r", "2")
    record = as_json(cli("bench", str(path), *sizes, "--json").out)
    tests = [(o.n_prompt, o.n_generated, o.depth, o.n_repetitions) for _, o in measured]
    assert tests == [
        (500, 100, 0, 2),
        (64, 0, 0, 2),
        (0, 16, 0, 2),
        (0, 100, 32, 2),
        (0, 16, 32, 2),
    ]
    assert len({id(model) for model, _ in measured}) == 1
    assert len(record["more"]) == 4
    names = [r["n_gen"] for r in as_json(cli("bench", str(path), *sizes, "-o", "json").out)]
    assert names == [0, 0, 100, 16, 100, 16]
    out = cli("bench", str(path), *sizes).out
    parts = [line.split()[0] for line in out.splitlines() if " tokens" in line]
    assert parts == ["prefill"] * 2 + ["decode"] * 4


@pytest.mark.parametrize(
    ("sizes", "tests"),
    [
        (("-p", "0", "-n", "8"), [(0, 8, 0)]),
        (("-p", "0,4", "-n", "0,8"), [(4, 8, 0)]),
        (("-p", "4,5", "-n", "0"), [(4, 0, 0), (5, 0, 0)]),
        (("-p", "4", "-n", "8", "-d", "3"), [(4, 8, 3)]),
    ],
)
def test_sizes_of_0_are_left_out(cli, path, measured, sizes, tests):
    assert cli("bench", str(path), *sizes).code == 0
    assert [(o.n_prompt, o.n_generated, o.depth) for _, o in measured] == tests


@pytest.mark.parametrize("text", ["many", "1,", "1,-2", "", "1e3", "9" * 5000, "10000001", "²"])
def test_sizes_that_are_none_are_wrong_usage(cli, text):
    result = cli("bench", "-n", text)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: -n must be whole numbers from 0 to 10000000, not ")


@pytest.fixture
def earlier(cli, path, measured, tmp_path):
    """A run of before, as a file."""
    place = tmp_path / "before.json"
    place.write_text(cli("bench", str(path), "--json", "-t", "1").out)
    return str(place)


def test_compare_says_how_much_faster_and_what_is_not_the_same(
    cli, path, earlier, measured, monkeypatch
):
    quick = run.measure
    monkeypatch.setattr(
        run,
        "measure",
        lambda *a, on_step: replace(quick(*a, on_step), prefill=Series(500, [4.5, 4.4, 4.6])),
    )
    out = cli("bench", str(path), "-t", "2", "--compare", earlier).out
    rows = {line.split()[0]: line for line in out.splitlines() if " tokens" in line}
    assert rows["prefill"].endswith("  +11 %")
    assert rows["decode"].endswith("  ±0 %, within the spread")
    assert f"then          {earlier} (localmix)\n" in out
    assert "not the same  threads 1 then, 2 now\n" in out
    record = as_json(cli("bench", str(path), "-t", "2", "--compare", earlier, "--json").out)
    assert list(record)[-1] == "compared"
    assert record["compared"]["differs"] == ["threads 1 then, 2 now"]
    assert record["compared"]["changes"][0]["change_pct"] == pytest.approx(100 * (5 / 4.5 - 1))
    assert "compared" not in as_json(cli("bench", str(path), "--json").out)


def test_a_test_that_was_not_run_then_has_no_change(cli, path, earlier):
    out = cli("bench", str(path), "-t", "1", "--compare", earlier, "-d", "7").out
    assert out.count("  not measured then\n") == 1
    assert "tests that were run then: prefill of 500 tokens, decode of 100 tokens\n" in out


def test_a_bad_earlier_run_is_said_before_anything_is_measured(cli, path, measured, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    for place, words in (("none.json", "cannot be read from"), ("bad.json", "holds no run of")):
        result = cli("bench", str(path), "--compare", str(tmp_path / place))
        assert (result.code, result.out, measured) == (1, "", [])
        assert words in result.err
        assert "\ntry: " in result.err


def test_what_an_earlier_run_says_moves_no_cursor(cli, path, earlier, tmp_path):
    record = as_json((tmp_path / "before.json").read_text())
    record["machine"]["cpu"] = "bad\x1b[2J<script>alert(1)</script>\nCPU"
    (tmp_path / "before.json").write_text(__import__("json").dumps(record))
    page = tmp_path / "p.html"
    out = cli("bench", str(path), "--compare", earlier, "--html", str(page)).out
    assert "\x1b" not in out
    assert "CPU bad[2J<script>alert(1)</script> CPU then" in out
    assert "<script" not in page.read_text()
    assert "&lt;script&gt;" in page.read_text()


class Page(HTMLParser):
    """Elements that are open and not closed, those that were seen, and links that lead out."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.links = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_one_page_that_needs_nothing_else(cli, path, machine, tmp_path):
    machine(1000, 1e-3, 500.0, 0.02)
    place = tmp_path / "bench.html"
    command = ("bench", str(path), "-p", "500", "-n", "100", "--kv", "f32")
    result = cli(*command, "--html", str(place))
    assert result.code == 0
    assert result.err.splitlines()[-1] == f"the page is in {place}"
    text = place.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == page.links == []
    assert not re.search(r"https?:|url\(|@import|<script", text)
    assert len(text) < 10_000
    tags = [tag for tag, _ in page.seen]
    assert (tags.count("b"), tags.count("i"), tags.count("u")) == (2, 3 + 2, 2)
    widths = [a["style"] for tag, a in page.seen if tag == "b"]
    # 50 of 100 tokens, and their 512 bytes each, are there on average: 189184 B at 4.77 tok/s.
    assert widths == ["width: 31.00%", "width: 90.29%"]
    assert "<code>localmix bench " in text
    assert "-p 500 -n 100 -r 5 --kv f32</code>" in text
    assert "prefers-color-scheme: dark" in text
    assert "<strong>100 tok/s</strong>" in text


def test_a_page_of_a_noisy_run_draws_no_limit(cli, path, machine, tmp_path, monkeypatch):
    machine(1000, 1e-3, 500.0, 0.02)
    busy, quiet = Around(on_battery=True), run.measure
    monkeypatch.setattr(
        run,
        "measure",
        lambda *a, on_step: replace(quiet(*a, on_step), decode_around=busy, prefill_around=busy),
    )
    place = tmp_path / "bench.html"
    cli("bench", str(path), "--html", str(place), "--json")
    page = Page(place.read_text(encoding="utf-8"))
    assert "u" not in [tag for tag, _ in page.seen]
    assert '<p class="warn">the machine runs on its battery</p>' in place.read_text()


@pytest.mark.parametrize("place", ["", "none/p.html"])
def test_a_page_without_a_place_is_said_before_anything_is_measured(
    cli, path, measured, tmp_path, place
):
    result = cli("bench", str(path), "--html", str(tmp_path / place))
    assert (result.code, result.out, measured) == (1, "", [])
    assert "such as bench.html\n" in result.err


# ---- where time goes, and power ------------------------------------------------------------------


def test_profile_says_where_the_time_goes(cli, quick_machine):
    sizes = ("-p", "64", "-n", "8", "-r", "1")
    result = cli("bench", "tiny", *sizes, "--profile")
    rows = [line.split() for line in result.out.splitlines()]
    start = rows.index(["where", "time", "goes", "prefill", "decode"])
    table = {
        " ".join(row[:-4]): (float(row[-4]), float(row[-2])) for row in rows[start + 1 : start + 9]
    }
    assert {"experts", "attention", "barrier", "matrix products", "norms, rounding"} <= set(table)
    for column in (0, 1):
        assert sum(shares[column] for shares in table.values()) == pytest.approx(100, abs=0.5)
    largest = [max(shares) for shares in table.values()]
    assert largest == sorted(largest, reverse=True)
    record = as_json(cli("bench", "tiny", *sizes, "--profile", "--json").out)
    assert set(record["profile"]) == {"prefill", "decode"}
    assert sum(record["profile"]["decode"]["pct"].values()) == pytest.approx(100)
    assert "profile" not in as_json(cli("bench", "tiny", *sizes, "--json").out)


def test_power_is_handed_on_and_said(cli, path, measured, monkeypatch):
    loads, load = [], localmix.load

    def watched(name, **options):
        loads.append(options)
        return load(name, **options)

    monkeypatch.setattr(localmix, "load", watched)
    result = cli("bench", str(path), "-p", "500", "-n", "100", "--power", "30")
    assert "cache f16, 30 % of the time\n" in result.out
    assert loads[0]["power"] == 30


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--power", "0"), "--power must be from 1 to 100"),
        (("--power", "101"), "--power must be from 1 to 100"),
        (("--profile", "-o", "md"), "-o has no place for --profile"),
        (("--profile", "--executor", "reference"), "native executor only"),
    ],
)
def test_what_cannot_be_profiled_or_slowed_is_wrong_usage(cli, arguments, words):
    result = cli("bench", "tiny", *arguments)
    assert (result.code, result.out) == (2, "")
    assert words in result.err
