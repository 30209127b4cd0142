"""Prefill and decode are measured apart, on a model whose clock runs as fast as its work."""

from types import SimpleNamespace

import pytest
from support.models import Shape, write_model

from localmix.bench import run
from localmix.bench.conditions import Moment
from localmix.bench.run import NEVER, BenchOptions, Series, measure
from localmix.system import CpuTimes, ProcessMemory

PREFILL_S, DECODE_S = 0.01, 0.1


class TickingModel:
    """Takes 10 ms for a prompt token and 100 ms for a pass of one token, by its own clock."""

    config = SimpleNamespace(vocab_size=50)
    tokenizer = SimpleNamespace(end_ids=frozenset({2, 7}))

    def __init__(self):
        self.now_s = 0.0
        self.calls = []

    def clock(self):
        return self.now_s

    def look(self):
        """The same clock; as the test goes on, others are busier: the square of the time."""
        return Moment(CpuTimes(self.now_s, self.now_s**2, 0.0))

    def generate(self, ids, max_tokens, temperature, logit_bias):
        self.calls.append((len(ids), max_tokens, temperature, logit_bias))
        assert all(0 <= token < 50 for token in ids)
        return TickingGeneration(self, len(ids), max_tokens)


class TickingGeneration:
    def __init__(self, model, n_prompt, n_tokens):
        self.stats = SimpleNamespace(peak_rss_bytes=1000 + len(model.calls), streamed=None)
        self._pieces = self._run(model, n_prompt, n_tokens)

    def _run(self, model, n_prompt, n_tokens):
        model.now_s += n_prompt * PREFILL_S
        yield 0
        for _ in range(n_tokens - 1):
            model.now_s += DECODE_S
            yield 0

    def __iter__(self):
        return self._pieces

    def __next__(self):
        return next(self._pieces)


def measured(**options):
    model = TickingModel()
    steps = []
    result = measure(model, BenchOptions(**options), steps.append, model.clock, model.look)
    return result, model, steps


def test_prefill_and_decode_do_not_leak_into_each_other():
    result, _, _ = measured(n_prompt=20, n_generated=8, depth=30, n_repetitions=3)
    assert result.prefill.tok_s == pytest.approx([1 / PREFILL_S] * 3)
    assert result.decode.tok_s == pytest.approx([1 / DECODE_S] * 3)
    assert result.ttft_s == pytest.approx(20 * PREFILL_S)


def test_each_part_is_warmed_up_and_repeated():
    _, model, steps = measured(n_prompt=20, n_generated=8, n_repetitions=2)
    assert [(n_prompt, n_tokens) for n_prompt, n_tokens, _, _ in model.calls] == [
        (20, 1), (20, 1), (20, 1),  # warm-up and two repetitions of prefill
        (1, 2), (1, 9), (1, 9),  # warm-up of one pass, two repetitions of eight
    ]  # fmt: skip
    assert steps == [
        "warm-up of prefill", "prefill 1 of 2", "prefill 2 of 2",
        "warm-up of decode", "decode 1 of 2", "decode 2 of 2",
    ]  # fmt: skip


def test_depth_is_in_the_cache_before_decode():
    _, model, _ = measured(n_prompt=0, n_generated=4, depth=30, n_repetitions=1)
    assert {n_prompt for n_prompt, _, _, _ in model.calls} == {30}


def test_end_tokens_are_forbidden_and_sampling_is_greedy():
    _, model, _ = measured(n_prompt=4, n_generated=4, n_repetitions=1)
    for _, _, temperature, bias in model.calls:
        assert temperature == 0.0
        assert bias == {2: NEVER, 7: NEVER}


def test_a_part_of_0_tokens_is_left_out():
    result, model, _ = measured(n_prompt=0, n_generated=4, n_repetitions=1)
    assert result.prefill.samples_s == []
    assert result.ttft_s is None
    assert len(model.calls) == 2
    assert measured(n_prompt=4, n_generated=0)[0].decode.samples_s == []


def test_the_same_seed_measures_the_same_ids():
    def ids(seed):
        seen = []
        model = TickingModel()
        generate = model.generate
        model.generate = lambda ids, **options: (seen.append(ids), generate(ids, **options))[1]
        measure(model, BenchOptions(8, 1, 0, 2, seed), clock=model.clock, look=model.look)
        return seen

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)
    assert ids(1)[0] != ids(1)[1]


def test_the_context_holds_the_longest_part():
    assert BenchOptions(512, 128, 0).n_ctx == 513
    assert BenchOptions(16, 128, 0).n_ctx == 130
    assert BenchOptions(16, 128, 4096).n_ctx == 4225


def test_the_median_is_of_speeds_and_outliers_do_not_move_it():
    assert Series(10, [1.0, 2.0, 100.0]).median == 5.0
    assert Series(10).median == 0.0


def test_peak_memory_is_the_largest_seen():
    result, model, _ = measured(n_prompt=4, n_generated=4, n_repetitions=2)
    assert result.peak_rss_bytes == 1000 + len(model.calls)


def test_a_machine_without_a_peak_has_the_largest_that_was_seen(monkeypatch):
    model = TickingModel()
    generate = model.generate

    def without_peak(*arguments, **options):
        generation = generate(*arguments, **options)
        generation.stats.peak_rss_bytes = 0
        return generation

    model.generate = without_peak
    seen = iter([100, 300, 200])
    monkeypatch.setattr(run, "process_memory", lambda: ProcessMemory(next(seen), None))
    result = measure(model, BenchOptions(4, 0, 0, 2), clock=model.clock, look=model.look)
    assert result.peak_rss_bytes == 300
    assert (result.peak_private_bytes, result.peak_file_bytes) == (None, None)


def test_private_memory_and_that_of_files_have_peaks_of_their_own(monkeypatch):
    seen = iter([ProcessMemory(100, 10), ProcessMemory(200, 150), ProcessMemory(150, 20)])
    monkeypatch.setattr(run, "process_memory", lambda: next(seen))
    result, _, _ = measured(n_prompt=4, n_generated=0, n_repetitions=2)
    assert (result.peak_private_bytes, result.peak_file_bytes) == (150, 130)


def test_warming_up_is_not_among_the_repetitions_but_told():
    result, _, _ = measured(n_prompt=20, n_generated=8, depth=30, n_repetitions=3)
    assert result.warmup_s == pytest.approx(20 * PREFILL_S + 30 * PREFILL_S + DECODE_S)
    assert len(result.prefill.samples_s) == len(result.decode.samples_s) == 3


def test_each_part_knows_what_surrounded_its_own_repetitions():
    result, _, _ = measured(n_prompt=100, n_generated=10, depth=50, n_repetitions=2)
    # Prefill runs from 1 s to 3 s; then come 0.6 s of warm-up, and decode until 6.6 s.
    assert result.prefill_around.others_cpus == pytest.approx((3.0**2 - 1.0**2) / 2.0)
    assert result.decode_around.others_cpus == pytest.approx((6.6**2 - 3.6**2) / 3.0)


def test_an_outside_stopwatch_sees_no_other_time():
    """All time that passes is in a repetition, in the warm-up, or before decode's first token."""
    result, model, _ = measured(n_prompt=20, n_generated=8, depth=30, n_repetitions=3)
    inside = sum(result.prefill.samples_s) + sum(result.decode.samples_s) + result.warmup_s
    assert model.now_s == pytest.approx(inside + 3 * 30 * PREFILL_S)


def test_a_decoded_token_is_one_pass_of_one_token_through_the_model(tmp_path):
    import localmix

    path = write_model(tmp_path / "baby.gguf", Shape(n_experts=4))
    options = BenchOptions(n_prompt=6, n_generated=5, depth=3, n_repetitions=2)
    passes = []
    with localmix.load(str(path), executor="reference", n_ctx=options.n_ctx) as model:
        run_batch = model.executor.run

        def counted(batch, *arguments, **more):
            passes.append(len(batch.tokens))
            return run_batch(batch, *arguments, **more)

        model.executor.run = counted
        measure(model, options)
    assert passes == [6] * 3 + [3, 1] + ([3] + [1] * 5) * 2
