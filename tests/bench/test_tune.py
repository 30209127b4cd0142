"""Tuning on machines whose speed is a formula, so that the best choice is known."""

import itertools

import pytest

from localmix.bench.tune import MARGIN, ROUNDS, thread_counts, tune
from localmix.cores import Cores
from localmix.engine.tuned import Tuned


def machine(decode=lambda n: n, prefill=lambda n: n, chunk=lambda c: 1.0, tile=lambda t: 1.0):
    """A measure: tokens per second of some choices."""

    def measure(what, choices, n_tokens):
        if what == "decode":
            return decode(choices.n_threads_few)
        return prefill(choices.n_threads) * chunk(choices.chunk_tokens) * tile(choices.tile)

    return measure


@pytest.mark.parametrize(
    ("cores", "counts"),
    [
        (Cores(1, 0, 1), [1]),
        (Cores(2, 0, 4), [1, 2]),
        (Cores(4, 0, 8), [2, 3, 4]),
        (Cores(8, 0, 16), [4, 7, 8]),
        (Cores(6, 8, 20), [3, 5, 6, 10, 14]),
    ],
)
def test_threads_go_up_to_all_cores_and_never_to_all_logical_cpus(cores, counts):
    assert thread_counts(cores) == counts
    assert max(counts) <= cores.physical


def test_where_all_scales_all_cores_are_used():
    found = tune(machine(), Cores(6, 8, 20))
    assert found.best == Tuned(14, 14)


def test_decode_and_prefill_have_threads_of_their_own():
    # memory is full with 3 threads; slow cores hold prefill up
    found = tune(
        machine(decode=lambda n: min(n, 3), prefill=lambda n: n if n <= 6 else 5), Cores(6, 8, 20)
    )
    assert found.best == Tuned(n_threads=6, n_threads_few=3)


def test_what_wins_by_less_than_the_margin_does_not_win():
    small = 1 + 0.9 * MARGIN
    found = tune(machine(decode=lambda n: small if n > 1 else 1.0), Cores(2, 0, 2), [(1, 8)])
    assert found.best == Tuned(n_threads=2, n_threads_few=1)
    large = 1 + 1.1 * MARGIN
    found = tune(machine(tile=lambda t: large if t else 1.0), Cores(2, 0, 2), [(1, 8)])
    assert found.best == Tuned(2, 2, tile=(1, 8))


def test_chunk_and_tile_are_tried_with_the_best_threads():
    tried = []

    def on_trial(what, choices):
        tried.append((what, choices))

    measure = machine(
        chunk=lambda c: {256: 0.9, 512: 1.0, 1024: 1.2}[c],
        tile=lambda t: {None: 1.0, (1, 8): 1.1, (2, 6): 1.05}[t],
    )
    found = tune(measure, Cores(4, 0, 4), [(1, 8), (2, 6)], on_trial)
    assert found.best == Tuned(4, 4, 1024, (1, 8))
    assert ("prefill", Tuned(4, 4, 1024, (2, 6))) in tried
    assert [trial.wins for trial in found.trials][-3:] == [True, True, False]


def test_a_chunk_is_measured_on_a_prompt_that_fills_it():
    asked = []

    def measure(what, choices, n_tokens):
        asked.append((what, choices.chunk_tokens, n_tokens))
        return 1.0

    tune(measure, Cores(1, 0, 1))
    assert {n for _, chunk, n in asked if chunk == 256} == {512}
    assert {n for _, chunk, n in asked if chunk == 1024} == {1024}


def test_a_machine_that_slows_down_slows_both():
    # Each measurement is 10 % slower than the one before: all choices are equal otherwise.
    slower = itertools.count()
    found = tune(lambda what, choices, n: 0.9 ** next(slower), Cores(4, 0, 4), [(1, 8)])
    assert found.best == Tuned(2, 2)


def test_a_challenger_that_loses_a_turn_is_not_measured_again():
    lucky = iter([1.0, 1.2, 1.0, 0.9])  # champion, challenger, champion, challenger
    asked = []

    def measure(what, choices, n_tokens):
        asked.append(choices)
        return next(lucky) if what == "decode" else 1.0

    found = tune(measure, Cores(2, 0, 2))
    assert found.trials[0].turns == ((1.0, 1.2), (1.0, 0.9))
    assert not found.trials[0].wins
    assert (found.trials[0].tok_s, found.trials[0].champion_tok_s) == (1.05, 1.0)


def test_a_challenger_that_wins_is_measured_every_time():
    found = tune(machine(), Cores(2, 0, 2))
    assert [len(trial.turns) for trial in found.trials] == [ROUNDS, ROUNDS, 1, 1]
