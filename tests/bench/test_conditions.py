"""What spoils a share of the limit, and what does not: on machines and repetitions made up."""

import subprocess
from types import SimpleNamespace

import pytest

from localmix.bench.conditions import (
    UNKNOWN,
    Around,
    Moment,
    around,
    judge,
    look,
    n_throttled,
    slowing_pct,
    speed_limit_pct,
    spread_pct,
)
from localmix.system import CpuTimes

QUIET = (100.0, 99.0, 101.0, 100.5, 99.5)


def judged(speeds=QUIET, seen=UNKNOWN, n_threads=4, n_cores=4):
    return judge("decode", speeds, seen, n_threads, n_cores)


def moment(elapsed, busy, own=0.0, **options):
    return Moment(CpuTimes(elapsed, busy, own), **options)


def test_others_are_the_cpus_that_somebody_else_kept_busy():
    seen = around(moment(10.0, 5.0, 1.0), moment(12.0, 12.0, 5.0))
    assert seen.others_cpus == pytest.approx(1.5)  # 7 s busy, 4 s ours, in 2 s


def test_a_moment_is_too_short_to_tell_who_was_busy():
    assert around(moment(10.0, 5.0), moment(10.4, 6.0)).others_cpus is None
    assert around(moment(10.0, 5.0), moment(10.6, 6.0)).others_cpus is not None


@pytest.mark.parametrize(
    ("before", "after", "throttled"),
    [(None, None, None), (3, 3, False), (3, 4, True), (None, 4, None)],
)
def test_a_count_of_hot_cores_that_grows_is_heat(before, after, throttled):
    start, end = moment(0, 0, n_throttled=before), moment(1, 0, n_throttled=after)
    assert around(start, end).throttled is throttled


@pytest.mark.parametrize(("limits", "throttled"), [((100, 100), False), ((100, 80), True)])
def test_a_speed_limit_is_heat(limits, throttled):
    start, end = (moment(i, 0, speed_limit_pct=limit) for i, limit in enumerate(limits))
    assert around(start, end).throttled is throttled


@pytest.mark.parametrize(
    ("before", "after", "on"),
    [(None, None, None), (False, False, False), (True, False, True), (False, True, True)],
)
def test_a_battery_counts_if_it_was_used_at_either_end(before, after, on):
    start, end = moment(0, 0, on_battery=before), moment(1, 0, on_battery=after)
    assert around(start, end).on_battery is on


def test_linux_counts_hot_cores_and_packages(tmp_path):
    assert n_throttled(tmp_path) is None
    for cpu, kind, count in ((0, "core", "2\n"), (0, "package", "5\n"), (1, "core", "odd")):
        folder = tmp_path / f"cpu{cpu}" / "thermal_throttle"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{kind}_throttle_count").write_text(count)
    assert n_throttled(tmp_path) == 7


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        ("CPU Power notify\n\tCPU_Scheduler_Limit \t= 100\n\tCPU_Speed_Limit \t= 62\n", 62),
        ("Note: No thermal warning level has been recorded\n", None),
        ("CPU_Speed_Limit = fast", None),
    ],
)
def test_macos_tells_the_speed_limit(monkeypatch, told, limit):
    monkeypatch.setattr(subprocess, "run", lambda *a, **b: SimpleNamespace(stdout=told))
    assert speed_limit_pct("darwin") == limit
    assert speed_limit_pct("linux") is None


def test_a_missing_pmset_is_no_error(monkeypatch):
    def run(*arguments, **options):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", run)
    assert speed_limit_pct("darwin") is None


def test_a_look_at_this_machine_tells_something():
    seen = look()
    assert seen.cpu.busy > 0


def test_spread_is_the_middle_half_and_an_outlier_does_not_move_it():
    assert spread_pct([90.0, 95.0, 100.0, 105.0, 110.0]) == pytest.approx(10.0)
    assert spread_pct([10.0, 95.0, 100.0, 105.0, 110.0]) == pytest.approx(10.0)
    assert spread_pct([100.0]) is None
    assert spread_pct([]) is None


def test_slowing_down_is_an_order_not_a_spread():
    assert slowing_pct([100.0, 96.0, 92.0, 88.0, 84.0]) == pytest.approx(100 * 16 / 92)
    assert slowing_pct([100.0, 84.0, 96.0, 88.0, 92.0]) == 0.0
    assert slowing_pct([84.0, 88.0, 92.0, 96.0, 100.0]) == 0.0
    assert slowing_pct([100.0, 90.0, 80.0]) is None


def test_slowing_down_bears_one_pair_that_is_not_in_order():
    assert slowing_pct([100.0, 92.0, 96.0, 88.0, 84.0]) > 10
    assert slowing_pct([96.0, 92.0, 100.0, 88.0, 84.0]) == 0.0  # two pairs


def test_a_quiet_machine_is_steady():
    part = judged(seen=Around(0.2, throttled=False, on_battery=False))
    assert part.steady
    assert part.others_pct == pytest.approx(5.0)
    assert part.throttled is False


def test_what_nobody_tells_is_no_reason():
    part = judged(speeds=[100.0])
    assert part.steady
    assert (part.others_pct, part.spread_pct, part.throttled, part.on_battery) == (None,) * 4


@pytest.mark.parametrize(("others", "steady"), [(0.39, True), (0.41, False), (4.0, False)])
def test_others_on_a_tenth_of_our_cores_are_too_many(others, steady):
    part = judged(seen=Around(others))
    assert part.steady is steady
    if not steady:
        assert part.reasons == (
            f"other programs took {25 * others:.0f} % of the cores that decode ran on",
        )


def test_others_on_cores_that_had_nothing_to_do_take_nothing():
    assert judged(seen=Around(3.0), n_threads=4, n_cores=8).others_pct == 0.0
    assert judged(seen=Around(5.0), n_threads=4, n_cores=8).others_pct == pytest.approx(25.0)


def test_more_threads_than_cores_use_all_cores():
    assert judged(seen=Around(1.0), n_threads=8, n_cores=2).others_pct == pytest.approx(50.0)


@pytest.mark.parametrize(("width", "steady"), [(14.0, True), (16.0, False)])
def test_repetitions_that_disagree_are_no_share(width, steady):
    speeds = [100 - width / 2, 100 + width / 2, 80.0, 120.0, 100.0]
    part = judged(speeds)
    assert part.spread_pct == pytest.approx(width)
    assert part.steady is steady


def test_repetitions_that_get_slower_look_like_heat_and_are_said_once():
    part = judged([100.0, 90.0, 80.0, 70.0, 60.0])
    assert part.throttled is True
    assert part.reasons == (
        "decode became 50 % slower from the first repetition to the last, as when a CPU gets hot",
    )
    assert judged([100.0, 99.0, 98.0, 97.0, 96.0]).steady  # 4 %


def test_heat_that_is_told_and_a_battery_are_reasons():
    part = judged(seen=Around(0.0, throttled=True, on_battery=True))
    assert part.reasons == (
        "heat slowed the CPU down while decode ran",
        "the machine runs on its battery",
    )


def test_noise_is_seldom_taken_for_heat():
    import random

    draw = random.Random(7)
    runs = [[draw.gauss(100, 4) for _ in range(5)] for _ in range(2000)]
    assert sum(judged(run).throttled for run in runs) < 0.04 * len(runs)
    assert sum(judged(run).steady for run in runs) > 0.9 * len(runs)
    heat = [[draw.gauss(100 - 5 * i, 2) for i in range(5)] for _ in range(500)]
    assert sum(judged(run).throttled for run in heat) > 0.8 * len(heat)
