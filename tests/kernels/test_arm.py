"""Kernels compile for Apple silicon, here and now, into the instructions that they are meant for.

Nothing can be run on another CPU. What the code computes there is proved where there is one: every
test of this folder runs on the best tier of its machine.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.arm import HOSTS, for_both
from support.kernels import ALL, FLOATS, KERNELS, THREADS, assembly_of, matmul_of

from localmix.kernels import isa

SOME = ("Q4_0",)
ALLOWED = {"memset", "memcpy", "bzero"}
"""The C library's functions that LLVM may call where a loop does just that."""


@pytest.fixture(scope="module")
def some_code():
    return for_both([*map(matmul_of, SOME), "walk"])


@pytest.fixture(scope="module")
def all_code():
    return for_both([*KERNELS, "int8_peak", "float32_peak"])


LINUX = "aarch64-unknown-linux-gnu"
CORES = {  # tier: LLVM's name, features
    "i8mm": ("apple-m2", {**HOSTS["i8mm"][1], "lse": True}),
    "neon": ("neoverse-n1", {**HOSTS["neon"][1], "lse": True}),
    "generic": ("cortex-a72", {"neon": True, "lse": False}),
}
"""Two that add to memory with one instruction, and one that tries until nobody came between."""


@pytest.fixture(scope="module")
def thread_code(tmp_path_factory):
    """Assembly by tier and kernel, of what threads do."""

    def compiled(tier):
        cpu, features = CORES[tier]
        flags = isa.features_for(isa.tier_named(tier), features)
        return assembly_of(tmp_path_factory.mktemp(tier), THREADS, tier, cpu, flags, LINUX)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CORES, pool.map(compiled, CORES), strict=True))


def functions_outside(code):
    """Names that are branched to and not defined here."""
    called = set(re.findall(r"\tbl?\t_(\w+)", code))
    return called - set(re.findall(r"^_(\w+):", code, re.MULTILINE))


def dot_products(code):
    """Which instructions that multiply bytes stand in the code."""
    return set(re.findall(r"\t(sdot|smmla|udot|usdot|ummla|usmmla|smull|smlal)\S*\t", code))


def check_instructions(code, formats):
    for name in formats:
        for tier, kernels in code.items():
            found = dot_products(kernels[matmul_of(name)])
            expected = (
                set() if name in FLOATS else {"neon": {"sdot"}, "i8mm": {"sdot", "smmla"}}[tier]
            )
            assert found - {"smull", "smlal"} == expected, (tier, name)


def check_calls(code):
    for kernels in code.values():
        for name, text in kernels.items():
            assert re.search(rf"^_localmix_{name}:", text, re.MULTILINE)
            assert functions_outside(text) <= ALLOWED, name


def instructions(text, pattern):
    """Instructions whose names match, in order."""
    return re.findall(rf"^\t({pattern})\t", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("tier", "add"),
    [("i8mm", ["ldaddal"]), ("neon", ["ldaddal"]), ("generic", ["ldaxr", "stlxr"])],
)
def test_threads_count_with_acquire_and_release(thread_code, tier, add):
    """An `a` is an acquire and an `l` a release: no access of both kinds lacks one of the two."""
    for name, n_counters in {"announce": 1, "walk": 2, "work": 3}.items():
        text = thread_code[tier][name]
        found = instructions(
            text, r"ld(?:add|clr|set)\w*|ldx\w*|stx\w*|ldax\w*|stlx\w*|cas\w*|swp\w*"
        )
        assert set(found) == set(add), (name, found)
        assert len(found) >= n_counters * len(add), (name, found)


@pytest.mark.parametrize(
    ("tier", "loads"),
    [("i8mm", {"ldapr", "ldapur"}), ("neon", {"ldapr"}), ("generic", {"ldar"})],
)
def test_threads_look_with_acquire(thread_code, tier, loads):
    """The least that each kernel looks at: how many arrived, cancelled, the chunk, who left."""
    for name, n_looks in {"announce": 0, "walk": 4, "work": 4}.items():
        found = instructions(thread_code[tier][name], r"lda\w*")
        found = [name for name in found if not name.startswith(("ldadd", "ldax"))]
        assert len(found) >= n_looks, (name, found)
        assert set(found) <= loads, (name, found)


def test_waiting_threads_tell_the_core(thread_code):
    for kernels in thread_code.values():
        for name in ("walk", "work"):
            assert re.search(r"^\t(?:yield|hint\t#1)$", kernels[name], re.MULTILINE)


def test_threads_take_the_time_from_the_counter_that_programs_may_read(thread_code):
    for kernels in thread_code.values():
        for name in ("walk", "work"):
            clocks = re.findall(r"\tmrs\t\w+, (\w+)", kernels[name])
            assert {clock.lower() for clock in clocks} == {"cntvct_el0"}


def test_a_format_uses_the_dot_product_of_its_tier(some_code):
    check_instructions(some_code, SOME)


def test_some_kernels_call_nothing_outside(some_code):
    check_calls(some_code)


@pytest.mark.slow
def test_every_format_uses_the_dot_product_of_its_tier(all_code):
    check_instructions(all_code, ALL)


@pytest.mark.slow
def test_no_kernel_calls_anything_outside(all_code):
    check_calls(all_code)
    assert {len(kernels) for kernels in all_code.values()} == {len(KERNELS) + 2}
