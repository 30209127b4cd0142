"""The tier of a CPU: what it has decides, a lower one can be asked for, a higher one never."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.kernels import assembly_of

from localmix.errors import LocalmixError
from localmix.kernels import isa

X86 = (
    "64bit cx8 cx16 sse sse2 sse3 ssse3 sse4.1 sse4.2 avx avx2 fma f16c bmi bmi2 avxvnni avx512f "
    "avx512bw avx512vl avx512dq avx512vnni avx512bf16 avx512fp16 amx-tile amx-int8 avx10.1"
).split()
ARM = "fp-armv8 neon crc lse aes dotprod fullfp16 i8mm bf16 sve".split()


def cpu(every, *present):
    """What LLVM says of a CPU: every feature of its family, present or not."""
    assert set(present) <= set(every)
    return {name: name in present for name in every}


def x86(*present):
    return cpu(X86, "64bit", "cx8", "cx16", "sse", "sse2", *present)


SSE4 = ("sse3", "ssse3", "sse4.1", "sse4.2")
SANDY_BRIDGE = x86(*SSE4, "avx")
HASWELL = x86(*SSE4, "avx", "avx2", "fma", "f16c", "bmi", "bmi2")
ALDER_LAKE = HASWELL | {"avxvnni": True}
SKYLAKE_X = HASWELL | dict.fromkeys(("avx512f", "avx512bw", "avx512vl", "avx512dq"), True)
ZEN_4 = SKYLAKE_X | dict.fromkeys(("avx512vnni", "avx512bf16"), True)
SAPPHIRE_RAPIDS = ZEN_4 | dict.fromkeys(("avxvnni", "avx512fp16", "amx-tile", "amx-int8"), True)
APPLE_M1 = cpu(ARM, "fp-armv8", "neon", "crc", "lse", "aes", "dotprod", "fullfp16")
APPLE_M2 = APPLE_M1 | {"i8mm": True, "bf16": True}
RASPBERRY_PI_4 = cpu(ARM, "fp-armv8", "neon", "crc")


@pytest.mark.parametrize(
    ("features", "tier"),
    [
        ({}, "generic"),
        (x86(), "generic"),
        (SANDY_BRIDGE, "generic"),
        (HASWELL, "avx2"),
        (SKYLAKE_X, "avx2"),
        (ALDER_LAKE, "avxvnni"),
        (ZEN_4, "avx512"),
        (SAPPHIRE_RAPIDS, "avx512"),
        (RASPBERRY_PI_4, "generic"),
        (APPLE_M1, "neon"),
        (APPLE_M2, "i8mm"),
    ],
)
def test_a_cpu_gets_the_best_tier_that_it_has(features, tier):
    assert isa.choose(features).name == tier
    assert isa.choose(features, tier).name == tier


@pytest.mark.parametrize(
    ("features", "possible"),
    [
        (HASWELL, ["avx2", "generic"]),
        (ALDER_LAKE, ["avxvnni", "avx2", "generic"]),
        (ZEN_4, ["avx512", "avxvnni", "avx2", "generic"]),
        (APPLE_M1, ["neon", "generic"]),
        (APPLE_M2, ["i8mm", "neon", "generic"]),
        ({}, ["generic"]),
    ],
)
def test_lower_tiers_can_be_asked_for_and_others_are_an_error_that_names_them(features, possible):
    for tier in isa.TIERS:
        if tier.name in possible:
            assert isa.choose(features, tier.name) is tier
            continue
        with pytest.raises(LocalmixError, match=tier.name) as error:
            isa.choose(features, tier.name)
        assert error.value.hint.endswith(", ".join(possible))


def flags_of(tier, features):
    """The feature string as a mapping, the last word on each feature."""
    text = isa.features_for(isa.tier_named(tier), features)
    return {flag[1:]: flag[0] == "+" for flag in text.split(",") if flag}


@pytest.mark.parametrize(
    ("tier", "features"),
    [
        ("avx2", HASWELL),
        ("avxvnni", ALDER_LAKE),
        ("avx512", ZEN_4),
        ("avx512", SAPPHIRE_RAPIDS),
        ("neon", APPLE_M1),
        ("i8mm", APPLE_M2),
    ],
)
def test_the_best_tier_is_compiled_with_what_the_cpu_has_and_nothing_else(tier, features):
    flags = flags_of(tier, features)
    assert {name for name in features if flags[name]} == {
        name for name in features if features[name]
    }


@pytest.mark.parametrize(
    ("tier", "features", "off"),
    [
        (
            "avxvnni",
            SAPPHIRE_RAPIDS,
            ["avx512f", "avx512vnni", "avx512fp16", "amx-int8", "avx10.1"],
        ),
        ("avx2", SAPPHIRE_RAPIDS, ["avxvnni", "avx512f", "avx512vl", "amx-int8", "avx10.1"]),
        ("avx2", ZEN_4, ["avx512f", "avx512vl", "avx512vnni"]),
        ("avx2", ALDER_LAKE, ["avxvnni"]),
        ("generic", SAPPHIRE_RAPIDS, ["avx", "avx2", "fma", "f16c", "avx512f", "ssse3", "sse4.1"]),
        ("neon", APPLE_M2, ["i8mm"]),
        ("generic", APPLE_M2, ["dotprod", "i8mm", "fullfp16"]),
    ],
)
def test_a_lower_tier_switches_off_what_it_lacks(tier, features, off):
    flags = flags_of(tier, features)
    assert not any(flags[name] for name in off)
    needs = isa.tier_named(tier).needs
    assert all(flags[name] for name in needs)


def test_the_256_bit_dot_product_is_found_in_avx512_too():
    """Zen 4 has it in another encoding, without the feature avxvnni."""
    flags = flags_of("avxvnni", ZEN_4)
    assert flags["avx512vnni"]
    assert flags["avx512vl"]


LINUX = "x86_64-unknown-linux-gnu"
OWN_CODE = {  # tier: its CPU, that CPU's features, what code has and what it must not have
    "avxvnni": ("alderlake", ALDER_LAKE, {"vpdpbusd", "%ymm"}, {"%zmm", "vpmaddubsw"}),
    "avx2": ("znver4", ZEN_4, {"vpmaddubsw", "%ymm"}, {"%zmm", "vpdpbusd"}),
    "generic": ("", SAPPHIRE_RAPIDS, {"%xmm"}, {"%ymm", "%zmm", "pmaddubsw", "vpdpbusd"}),
}


@pytest.fixture(scope="module")
def code_of(tmp_path_factory):
    """Assembly of a matrix product, for each tier."""

    def compiled(tier):
        cpu, features, *_ = OWN_CODE[tier]
        flags = isa.features_for(isa.tier_named(tier), features)
        folder = tmp_path_factory.mktemp(tier)
        return assembly_of(folder, ["matmul_q4_0"], tier, cpu, flags, LINUX)["matmul_q4_0"]

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(OWN_CODE, pool.map(compiled, OWN_CODE), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("tier", OWN_CODE)
def test_code_of_a_tier_has_its_own_dot_product_and_no_wider_register(code_of, tier):
    _, _, has, lacks = OWN_CODE[tier]
    assert {text for text in has | lacks if text in code_of[tier]} == has
