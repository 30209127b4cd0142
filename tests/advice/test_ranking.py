"""Which model for a task: pure, so machines of every size are arguments."""

import dataclasses
import itertools

import pytest

from localmix.advice.candidates import (
    CHOICES,
    DOMAINS,
    ORDER,
    READING_TOK_S,
    RESPONSES,
    TASKS,
    TYPICAL,
    Memory,
    Speed,
    Wishes,
    bits,
    decode_tok_s,
    loss,
    prefill_tok_s,
)
from localmix.advice.ranking import rank
from localmix.advice.scores import BENCHMARKS_OF, TUNED_KEEPS, UNKNOWN_KEEPS, qualities
from localmix.engine import memory as engine_memory
from localmix.engine.fit import PROGRAM_BYTES
from localmix.errors import LocalmixError
from localmix.registry.catalog import CatalogEntry, Quantization, Score
from localmix.registry.catalog_file import load_catalog

GB = 10**9
CATALOG = load_catalog().entries
SPEED = Speed(50.0, 1800.0)
EVERY_WISH = [Wishes(*each) for each in itertools.product(TASKS, RESPONSES, DOMAINS)]


def machine(total_gb):
    """A machine of which a quarter is in use."""
    return Memory(total_gb * GB * 3 // 4, total_gb * GB)


def ranked(total_gb=16, speed=SPEED, entries=CATALOG, **wishes):
    return rank(entries, speed, machine(total_gb), Wishes(**wishes), 8_000_000)


def models(rows):
    return [row.model for row in rows]


def row_of(rows, model):
    return next(row for row in rows if row.model == model)


def made(name, scores=(), sizes=(("Q4_K_M", 4.4),), **fields):
    """An entry of a catalog."""
    return CatalogEntry(
        name=name,
        quantizations={q: Quantization(q, gb, "a/b") for q, gb in sizes},
        default=sizes[0][0],
        scores={key: Score(value, "a page") for key, value in dict(scores).items()},
        **{"parameters": 7 * GB, "context": 4096, "chat": "chatml", "licence": "MIT", **fields},
    )


# ---- the order ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wishes", EVERY_WISH, ids=str)
@pytest.mark.parametrize("total_gb", [4, 8, 16, 32, 64, 256])
def test_what_does_not_fit_is_never_first(total_gb, wishes):
    rows = rank(CATALOG, SPEED, machine(total_gb), wishes, 8_000_000)
    assert rows[0].verdict == "fits"
    usable = engine_memory.usable(machine(total_gb).free_bytes)
    assert rows[0].size_bytes + PROGRAM_BYTES < usable
    runs = [ORDER[row.verdict] < ORDER["pages"] for row in rows if row.model != "tiny"]
    assert runs == sorted(runs, reverse=True)


@pytest.mark.parametrize("wishes", EVERY_WISH, ids=str)
def test_each_model_has_one_row_and_the_toy_is_last(wishes):
    rows = ranked(16, **dataclasses.asdict(wishes))
    split = {entry.name for entry in CATALOG if entry.name.endswith("-split")}
    assert split
    assert sorted(models(rows)) == sorted({entry.name for entry in CATALOG} - split)
    assert rows[-1].model == "tiny"
    assert "a toy" in rows[-1].reasons[0]


def test_the_toy_is_first_only_where_nothing_else_runs():
    rows = ranked(4)
    assert rows[0].model == "tiny"
    assert {row.verdict for row in rows[1:]} <= {"pages", "never"}
    assert ranked(8)[-1].model == "tiny"


@pytest.mark.parametrize("wishes", EVERY_WISH, ids=str)
def test_the_same_input_has_the_same_output(wishes):
    first, second = (rank(CATALOG, SPEED, machine(32), wishes, 1) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("task", ["conversation", "qa", "reasoning"])
def test_base_models_stand_behind_those_that_answer(task):
    base = {entry.name for entry in CATALOG if entry.chat == "none"}
    for total_gb in (8, 16, 64):
        rows = [row for row in ranked(total_gb, task=task) if row.model != "tiny"]
        running = [row.model in base for row in rows if ORDER[row.verdict] <= 2]
        assert running == sorted(running)
        assert all("does not answer" in " ".join(r.reasons) for r in rows if r.model in base)


@pytest.mark.parametrize("task", ["generation", "code"])
def test_base_models_are_named_where_they_are_of_use(task):
    row = row_of(ranked(16, task=task), "codellama:7b-code")
    assert any("going on with a text or code" in reason for reason in row.reasons)
    assert not any("does not answer" in reason for reason in row.reasons)


def test_the_order_changes_with_the_task_where_results_say_so():
    talker = made("talker", {"mt_bench": 8.0, "humaneval": 20.0, "gsm8k": 40.0, "mmlu": 50.0})
    coder = made("coder", {"mt_bench": 6.0, "humaneval": 60.0, "gsm8k": 30.0, "mmlu": 49.0})
    solver = made("solver", {"mt_bench": 7.0, "humaneval": 30.0, "gsm8k": 80.0, "mmlu": 70.0})
    entries = (talker, coder, solver)
    first = {task: ranked(entries=entries, task=task)[0].model for task in TASKS}
    assert first == {
        "conversation": "talker", "generation": "talker", "code": "coder",
        "qa": "solver", "reasoning": "solver",
    }  # fmt: skip


def test_the_real_catalog_has_another_first_for_code_than_for_conversation():
    assert ranked(16, task="code")[0].model == "openhermes:7b-mistral-v2.5"
    assert ranked(16)[0].model == "mistral:7b-instruct-v0.3"
    assert ranked(64, speed=Speed(100.0), task="qa")[0].model == "mixtral:8x7b-instruct-v0.1"


def test_waiting_costs_places_only_when_somebody_waits():
    big = made("big", {"mt_bench": 8.0}, sizes=(("Q4_K_M", 20.0),), parameters=34 * GB)
    small = made("small", {"mt_bench": 7.0})
    assert models(ranked(64, entries=(big, small))) == ["small", "big"]
    assert models(ranked(64, entries=(big, small), response="batch")) == ["big", "small"]


def test_room_for_documents_counts_when_they_are_ones_own():
    knows = made("knows", {"mmlu": 62.0}, context=32768, window=4096)
    reads = made("reads", {"mmlu": 55.0}, context=32768)
    assert models(ranked(entries=(knows, reads), task="qa")) == ["knows", "reads"]
    rows = ranked(entries=(knows, reads), task="qa", domain="specific")
    assert models(rows) == ["reads", "knows"]
    assert any("32,768 tokens of your own documents (@file)" in r for r in rows[0].reasons)
    assert any("last 4,096 tokens only" in r for r in rows[1].reasons)


def test_what_a_quantization_loses_costs_places():
    entries = (
        made("worn", {"mt_bench": 8.0}, sizes=(("Q2_K", 4.4),)),
        made("whole", {"mt_bench": 7.0}),
    )
    assert models(ranked(entries=entries)) == ["whole", "worn"]


def test_equals_stay_in_the_order_of_the_catalog():
    entries = tuple(made(name, {"mt_bench": 7.0}) for name in ("b", "a", "c"))
    assert models(ranked(entries=entries)) == ["b", "a", "c"]


# ---- the quantization ---------------------------------------------------------------------------

SIZES = (("Q2_K", 2.7), ("Q4_K_M", 4.4), ("Q5_K_M", 5.1), ("Q8_0", 7.7))


def chosen_with(total_gb, read_gb_s, response="real-time", sizes=SIZES):
    entry = dataclasses.replace(made("m", sizes=sizes), default="Q4_K_M")
    return ranked(total_gb, Speed(read_gb_s), (entry,), response=response)[0].quantization


@pytest.mark.parametrize(
    ("read_gb_s", "quantization"),
    [(20.0, "Q4_K_M"), (40.0, "Q4_K_M"), (50.0, "Q5_K_M"), (80.0, "Q8_0")],
)
def test_a_faster_memory_affords_more_bits(read_gb_s, quantization):
    assert chosen_with(32, read_gb_s) == quantization


def test_no_hurry_takes_the_most_bits_that_fit():
    assert chosen_with(32, 20.0, "batch") == "Q8_0"
    assert chosen_with(10, 20.0, "batch") == "Q5_K_M"


def test_fewer_than_four_bits_are_for_want_of_memory_only():
    assert chosen_with(32, 5.0) == "Q4_K_M"
    assert chosen_with(6, 50.0) == "Q2_K"
    rows = ranked(6, Speed(50.0), (made("m", sizes=SIZES),))
    assert any(reason.startswith("Q2_K loses much") for reason in rows[0].reasons)


def test_what_fits_goes_before_what_is_tight():
    assert chosen_with(8, 50.0, sizes=(("Q4_K_M", 6.0), ("Q2_K", 4.0))) == "Q2_K"
    assert chosen_with(8, 50.0, sizes=(("Q4_K_M", 6.0),)) == "Q4_K_M"


@pytest.mark.parametrize(
    ("name", "n_bits", "share"),
    [("Q4_K_M", 4, 0.011), ("IQ4_XS", 4, 0.022), ("IQ2_M", 2, 0.23), ("Q8_0", 8, 0), ("F16", 16, 0),
     ("Q6_K", 6, 0), ("", 0, 0)],
)  # fmt: skip
def test_a_quantization_is_named_after_its_bits(name, n_bits, share):
    assert (bits(name), loss(name)) == (n_bits, share)


# ---- the speed ----------------------------------------------------------------------------------


def test_decode_is_what_memory_gives_over_what_a_token_reads():
    assert decode_tok_s(4.25e9, 50.0) == pytest.approx(10.0)
    assert prefill_tok_s(12e9, 1000.0) == pytest.approx(50.0)


def test_a_token_of_a_mixture_reads_its_active_weights_and_the_keys_before_it():
    entry = next(e for e in CATALOG if e.name == "mixtral:8x7b-instruct-v0.1")
    row = row_of(ranked(64), entry.name)
    read = row.size_bytes * 12_879_925_248 / 46_702_792_704 + 1000 * 131_072
    assert row.decode_tok_s == pytest.approx(0.85 * 50e9 / read)
    assert row.prefill_tok_s == pytest.approx(0.6 * 1800e9 / (2 * 12_879_925_248))


def test_what_comes_from_the_disk_makes_a_model_slower_the_less_memory_there_is():
    mixture = made("m", sizes=(("Q4_K_M", 28.0),), parameters=47 * GB, active=13 * GB)
    rows = [ranked(total_gb, entries=(mixture,))[0] for total_gb in (8, 16, 24, 64)]
    assert [row.verdict for row in rows] == ["pages", "streams", "streams", "fits"]
    tok_s = [row.decode_tok_s for row in rows]
    assert tok_s == sorted(set(tok_s))
    assert tok_s[2] < 1.0 < tok_s[3]


def test_without_an_int8_peak_nothing_is_said_of_prompts():
    row = ranked(16, Speed(50.0))[0]
    assert row.prefill_tok_s is None
    assert not any("prompt" in reason for reason in row.reasons)
    assert any("a prompt of 500 tokens takes" in reason for reason in ranked(16)[0].reasons)


def test_speed_is_told_as_it_is_wanted():
    fast, slow = ranked(16, Speed(90.0))[0], ranked(16, Speed(10.0))[0]
    assert fast.decode_tok_s > READING_TOK_S > slow.decode_tok_s
    assert any("as fast as people read" in reason for reason in fast.reasons)
    assert any("slower than people read" in reason for reason in slow.reasons)
    batch = ranked(16, response="batch")[0]
    assert any("1,000 tokens take" in reason for reason in batch.reasons)


def test_a_system_that_does_not_tell_its_memory_gets_an_answer_too():
    rows = rank(CATALOG, SPEED, Memory(None, None), Wishes())
    assert {row.verdict for row in rows} == {"unknown"}
    assert any("does not tell" in reason for reason in rows[0].reasons)


def test_keys_and_values_count_as_the_catalog_says():
    grouped, wide = (
        made(name, sizes=(("Q4_K_M", 4.3),), kv_bytes=kv_bytes)
        for name, kv_bytes in (("grouped", 131_072), ("wide", 524_288))
    )
    rows = ranked(8, entries=(grouped, wide))
    assert [row.verdict for row in rows] == ["fits", "tight"]


def test_typical_machines_grow():
    machines = [TYPICAL[name] for name in ("low", "medium", "high")]
    for speed, memory in machines:
        assert memory.free_bytes == memory.total_bytes * 3 // 4
        assert rank(CATALOG, speed, memory, Wishes(compute="low"))[0].verdict == "fits"
    for fields in (dataclasses.astuple(speed) for speed, _ in machines):
        assert all(fields)
    by_speed = [dataclasses.astuple(speed) for speed, _ in machines]
    assert by_speed == sorted(by_speed)
    assert [memory.total_bytes for _, memory in machines] == [8 * GB, 16 * GB, 64 * GB]


# ---- reasons ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wishes", EVERY_WISH, ids=str)
def test_every_row_says_fit_speed_evidence_and_licence(wishes):
    for row in rank(CATALOG, SPEED, machine(32), wishes, 8_000_000):
        said = " | ".join(row.reasons)
        assert "fit" in said or "from the disk" in said
        assert "tok/s" in said or (row.model == "tiny" and "so small" in said)
        assert f"licence {row.licence}" in said
        assert row.model == "tiny" or "result is known" in said or " %" in said or "MT-B" in said
        assert all(r and r == r.strip() and not r.endswith(".") for r in row.reasons)


def test_a_licence_with_conditions_is_told():
    said = row_of(ranked(), "llama2:7b-chat").reasons
    assert any("LicenseRef-Llama-2: with conditions" in reason for reason in said)
    assert any("Apache-2.0: free" in reason for reason in ranked()[0].reasons)
    unknown = ranked(entries=(made("m", licence=""),))[0]
    assert "its licence is not recorded" in unknown.reasons


def test_strengths_and_perplexities_are_told_with_their_source():
    said = " | ".join(row_of(ranked(), "zephyr:7b-beta").reasons)
    assert "good at: chat in English" in said
    assert "(hf.co/HuggingFaceH4/zephyr-7b-beta)" in said
    base = row_of(ranked(16, Speed(42.0)), "mistral:7b-v0.1")
    assert any(r.startswith("Q4_K_M: perplexity 5.7539 (Wikitext, 512") for r in base.reasons)


def test_memory_of_a_machine_that_is_not_there_would_be_free():
    here = ranked(16)[0].reasons[0]
    there = ranked(16, compute="medium")[0].reasons[0]
    assert (here.endswith("12.0 GB are free"), there.endswith("12.0 GB would be free")) == (
        True,
    ) * 2


# ---- what is published --------------------------------------------------------------------------


def test_every_score_has_a_source():
    n_scores = 0
    for entry in CATALOG:
        for score in entry.scores.values():
            assert score.source.strip(), entry.name
            n_scores += 1
        assert bool(entry.strengths) == bool(entry.strengths_source), entry.name
    assert n_scores > 20
    for wishes in EVERY_WISH:
        for quality in qualities(CATALOG, wishes.task).values():
            assert all(f"({each.source})" in each.sentence for each in quality.evidence)


def test_a_result_counts_as_a_share_of_the_best():
    entries = (made("a", {"gsm8k": 90.0, "arc_c": 50.0}), made("b", {"gsm8k": 45.0}))
    judged = qualities(entries, "reasoning")
    assert (judged["a"].share, judged["b"].share) == (1.0, 0.5)


def test_an_unknown_result_is_said_to_be_unknown_and_stands_last():
    entries = (made("silent"), made("bad", {"mt_bench": 2.0}), made("good", {"mt_bench": 8.0}))
    assert models(ranked(entries=entries)) == ["good", "bad", "silent"]
    judged = qualities(entries, "conversation")
    assert judged["silent"].share == pytest.approx(UNKNOWN_KEEPS * 0.25)
    assert judged["silent"].evidence == ()
    said = row_of(ranked(entries=entries), "silent").reasons
    assert any("no MT-Bench result is known" in reason for reason in said)
    half = row_of(ranked(entries=(made("m", {"mmlu": 50.0}),), task="qa"), "m").reasons
    assert "no TriviaQA result is known" in half


def test_a_relative_stands_in_and_is_named():
    entries = (
        made("base", {"mmlu": 60.0}, chat="none"),
        made("tuned", relative="base"),
        made("newer", relative="tuned"),
        made("measured", {"mmlu": 59.0}, relative="base"),
    )
    judged = qualities(entries, "qa")
    assert judged["tuned"].share == judged["newer"].share == TUNED_KEEPS
    assert judged["measured"].share == pytest.approx(59 / 60)
    said = row_of(ranked(entries=entries, task="qa"), "newer").reasons
    assert "MMLU 60 % by its relative base (a page)" in said
    own = row_of(ranked(entries=entries, task="qa"), "measured").reasons
    assert "MMLU 59 % (a page)" in own


def test_relatives_in_a_circle_and_unknown_ones_end():
    entries = (made("a", relative="b"), made("b", relative="a"), made("c", relative="nobody"))
    assert all(not each.evidence for each in qualities(entries, "code").values())


def test_relatives_of_the_catalog_exist_and_are_of_one_size():
    by_name = {entry.name: entry for entry in CATALOG}
    for entry in CATALOG:
        if entry.relative:
            relative = by_name[entry.relative]
            assert entry.parameters == pytest.approx(relative.parameters, rel=0.01), entry.name


def test_every_task_has_benchmarks_that_some_model_has():
    for task, benchmarks in BENCHMARKS_OF.items():
        for benchmark in benchmarks:
            assert any(benchmark in entry.scores for entry in CATALOG), (task, benchmark)


# ---- wrong wishes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", ["chess", "", 7, "Code"])
def test_a_wish_that_does_not_exist_is_an_error_that_lists_those_that_do(name, value):
    with pytest.raises(LocalmixError, match=f"{name} cannot be") as caught:
        Wishes(**{name: value})
    for choice in CHOICES[name]:
        assert choice in caught.value.hint
