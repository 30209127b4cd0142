"""The loops that matter on Arm, instruction by instruction: dot products, loads, what else, spills.

Kernels are compiled for Apple silicon wherever the tests run, and the assembly is read. Counts say
nothing about speed, but a loop that suddenly spills, calls or does twice as much is slow anywhere.

Dot products are exact. Of loads and other instructions there may be fewer, and `MORE` times as
many: another version of LLVM pairs loads and keeps constants in other ways. What stands here is
from llvmlite 0.50 (LLVM 22).
"""

import pytest
from support.arm import HOSTS, compiled, for_both, only_function
from support.kernels import FLOATS, SMALL, K, matmul_of

from localmix.kernels import isa

MORE = 1.06
FAST = ("Q4_0", "Q4_K", "Q6_K")
KV = ("f32", "f16", "q8_0")

TILE = {
    # dot products: 32 weights of 8 rows, 6 columns: sdot 16 products each, smmla 32
    #          neon            i8mm
    #        loads others    loads others
    "Q4_0": ((19, 50), (19, 63)),  # sums begin at −8 · Σx: a copy for each
    "Q4_1": ((21, 60), (21, 72)),  # scale · sum + offset · Σx: two fma for each
    "Q5_0": ((19, 50), (19, 63)),
    "Q5_1": ((21, 60), (21, 72)),
    "Q8_0": ((17, 48), (17, 60)),  # zero, convert, scale · xd, fma: four for each of 12 sums
    "IQ4_NL": ((17, 48), (17, 60)),
    "MXFP4": ((17, 48), (17, 60)),
    "Q2_K": ((23, 96), (23, 120)),  # two groups of 16, each with an offset
    "Q3_K": ((20, 76), (20, 102)),  # two groups of 16 that begin at −zero · Σx
    "Q4_K": ((19, 48), (19, 60)),  # zero, convert and two fma; xd comes once for 256
    "Q5_K": ((19, 48), (19, 60)),
    "Q6_K": ((20, 76), (20, 102)),
    "IQ4_XS": ((15, 36), (15, 48)),  # zero, convert, fma; smmla: and a sorting for each
}
"""The register tile: loads, and vector instructions that are neither loads nor dot products."""

ROW = {
    # 256 weights of one row, one column: 16 sdot
    #      loads others reloads
    "Q4_0": (26, 50, 0),  # 8 of 16 bytes, 16 of the column, 8 halves one by one
    "Q4_1": (34, 49, 0),  # and 8 offsets
    "Q5_0": (37, 104, 2),  # and 8 words of fifth bits; 48 instructions put them in their places
    "Q5_1": (44, 107, 2),
    "Q8_0": (32, 28, 0),
    "IQ4_NL": (26, 61, 1),  # the table is loaded again: it is no running value
    "MXFP4": (25, 67, 0),
    "Q2_K": (14, 93, 0),
    "Q3_K": (18, 132, 0),  # three masks and shifts for each 16 weights
    "Q4_K": (17, 50, 0),  # 16 for nibbles, 8 zeros, 8 multiplications by scales, the header
    "Q5_K": (18, 88, 0),
    "Q6_K": (18, 120, 0),  # 60 to join the bits; 16 sums, each with its scale
    "IQ4_XS": (22, 66, 0),
}
"""The row kernel: the same, and constants that lie on the stack and are loaded once a block."""

FLOAT_ROW = {"F32": (4, 4), "F16": (3, 8), "BF16": (3, 8)}
"""16 weights of one row, one column, four fma: loads and vector instructions."""

ATTENTION = {
    # fma of vectors, loads and instructions with vectors, of loops that have 8 fma or more
    "f32": {"scores": (16, 6, 16), "mix": (16, 6, 16)},
    "f16": {"scores": (16, 6, 24), "mix": (16, 4, 24)},  # 8 of them widen
    "q8_0": {"scores": (16, 10, 44), "mix": (16, 5, 41)},  # widen, convert, times d
}
"""One row: 8 numbers of 4 keys, or 32 of one value, for 2 heads."""


def is_tile(loop):
    """Whether a loop is that of a register tile: rows ask for what lies ahead, panels do not."""
    return loop.n_dots >= 16 and not loop.kinds["prefetch"]


def tiles_of(text):
    return [loop for loop in only_function(text).innermost if is_tile(loop)]


def rows_of(text):
    """The loops over the blocks of one row and one column."""
    loops = only_function(text).innermost
    return [loop for loop in loops if loop.kinds["prefetch"] and loop.n_dots == 16]


def check_clean(loop, reloads=0):
    """No call, nothing stored in the frame, and nothing loaded from it but `reloads` constants."""
    assert not loop.calls
    assert not [i for i in loop.on_stack if i.kind != "load"]
    assert len(loop.on_stack) <= reloads, loop.on_stack


def check_counts(loop, loads, others):
    assert loop.kinds["load"] <= MORE * loads, (loop.kinds["load"], loads)
    assert loop.kinds["vector"] <= MORE * others, (loop.kinds["vector"], others)


def check_tile(text, tier, expected=None):
    """Both copies, for the matrix and for the one it is gated with: exact dots, no spill."""
    loops = tiles_of(text)
    assert len(loops) == 2
    n_products = 32 * tier.panel_rows * tier.tile_columns
    for loop in loops:
        name, each = ("smmla", 32) if tier.dot == "smmla" else ("sdot", 16)
        assert loop.names[name] == loop.n_dots == n_products // each
        assert loop.kinds["store"] == loop.names["fcvt"] == 0
        check_clean(loop)
        if expected:
            check_counts(loop, *expected)


def check_row(text, name):
    loops = rows_of(text)
    assert len(loops) == 2
    loads, others, reloads = ROW[name]
    for loop in loops:
        assert loop.names["sdot"] == 16
        assert loop.kinds["store"] == 0
        assert loop.names["fcvt"] <= (name in K)  # d of 256 weights; eight scales come together
        check_clean(loop, reloads)
        check_counts(loop, loads, others)


def check_formats(formats):
    for label, code in for_both(map(matmul_of, formats)).items():
        tier = isa.tier_named(label)
        for name in formats:
            check_tile(code[matmul_of(name)], tier, TILE[name][tier.dot == "smmla"])
            check_row(code[matmul_of(name)], name)


def test_tables_have_every_format():
    assert set(TILE) == set(ROW) == {*SMALL, *K}
    assert set(FLOAT_ROW) == set(FLOATS)


def test_some_formats_multiply_without_waste():
    check_formats(FAST)


@pytest.mark.slow
def test_every_format_multiplies_without_waste():
    check_formats((*SMALL, *K))


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOATS)
def test_floats_are_widened_and_multiplied_as_vectors(name):
    for label, code in for_both([matmul_of(name)]).items():
        tier = isa.tier_named(label)
        loops = only_function(code[matmul_of(name)]).innermost
        n_sums = tier.tile_rows * tier.tile_columns
        tile = [loop for loop in loops if loop.names["fmla"] == n_sums]
        row = [loop for loop in loops if loop.names["fmla"] == 4]
        assert len(tile) == len(row) == 2
        for loop in tile:  # a row register and the lane of a column, for each place
            assert loop.kinds["vector"] == n_sums
            check_clean(loop)
            check_counts(loop, 3, n_sums)
        for loop in row:
            assert loop.names["fcvt"] == 0
            assert loop.names["fcvtl"] + loop.names["fcvtl2"] == (4 if name == "F16" else 0)
            check_clean(loop)
            check_counts(loop, *FLOAT_ROW[name])


def check_attention(kv):
    for code in for_both([f"attend_{kv}"]).values():
        loops = only_function(code[f"attend_{kv}"]).innermost
        many = [loop for loop in loops if loop.names["fmla"] == 16]
        assert len(many) == 4  # many rows: scores, mix; one row: scores, mix
        for loop in many:
            check_clean(loop)
            assert loop.kinds["store"] == 0
        for loop in many[:2]:  # four keys or four numbers of a value, for 16 queries
            check_counts(loop, 6, 16)
            assert loop.names["fcvt"] == 0
        for loop, n_scales, (n_fma, loads, others) in zip(
            many[2:], (4, 1), ATTENTION[kv].values(), strict=True
        ):
            assert loop.names["fmla"] == n_fma
            # A number of its own is only the scale of a key or value in bytes.
            assert loop.names["fcvt"] <= (n_scales if kv == "q8_0" else 0)
            assert loop.names["fcvtl"] + loop.names["fcvtl2"] == (8 if kv == "f16" else 0)
            check_counts(loop, loads, others)
        for loop in loops:
            if loop.names["fmla"] >= 4:
                check_clean(loop, 2 if loop.names["fmla"] > 16 else 0)  # e^x: the maximum again


def test_attention_on_halves_is_of_vectors():
    check_attention("f16")


@pytest.mark.slow
@pytest.mark.parametrize("kv", KV)
def test_attention_is_of_vectors(kv):
    check_attention(kv)


LAYOUTS = ("Q4_0", "Q4_1", "Q8_0", "Q2_K", "Q4_K", "Q6_K", "IQ4_XS")
"""One format for each way in which a panel lies; the others have the same loop."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tile"), [(name, tile) for name in HOSTS for tile in isa.OTHER_TILES[name]]
)
def test_every_tile_that_tune_tries_fits_the_registers(name, tile):
    tier = isa.tier_named(name).with_tile(tile)
    code = compiled(tier.label, tuple(map(matmul_of, LAYOUTS)))
    for text in code.values():
        check_tile(text, tier)
