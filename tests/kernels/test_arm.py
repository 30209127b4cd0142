"""Kernels compile for Apple silicon, here and now, into the instructions that they are meant for.

Nothing can be run on another CPU. What the code computes there is proved where there is one: every
test of this folder runs on the best tier of its machine.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.kernels import ALL, FLOATS, KERNELS, assembly_of, matmul_of

from localmix.kernels import isa

MACOS = "arm64-apple-macosx"
# As LLVM names what these CPUs have.
HOSTS = {
    "neon": ("apple-m1", dict.fromkeys(("fp-armv8", "neon", "dotprod", "fullfp16"), True)),
    "i8mm": ("apple-m2", dict.fromkeys(("fp-armv8", "neon", "dotprod", "fullfp16", "i8mm"), True)),
}
SOME = ("Q4_0",)
ALLOWED = {"memset", "memcpy", "bzero"}
"""The C library's functions that LLVM may call where a loop does just that."""


def compile_for_both(names, tmp_path_factory):
    """Assembly by tier and kernel."""

    def compiled(tier):
        cpu, features = HOSTS[tier]
        flags = isa.features_for(isa.tier_named(tier), features)
        return assembly_of(tmp_path_factory.mktemp(tier), names, tier, cpu, flags, MACOS)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(HOSTS, pool.map(compiled, HOSTS), strict=True))


@pytest.fixture(scope="module")
def some_code(tmp_path_factory):
    return compile_for_both([*map(matmul_of, SOME), "walk"], tmp_path_factory)


@pytest.fixture(scope="module")
def all_code(tmp_path_factory):
    return compile_for_both([*KERNELS, "int8_peak", "float32_peak"], tmp_path_factory)


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


def test_waiting_threads_tell_the_core(some_code):
    for kernels in some_code.values():
        assert re.search(r"\tyield$", kernels["walk"], re.MULTILINE)
        assert "ldar" in kernels["walk"] or "ldapr" in kernels["walk"]


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
