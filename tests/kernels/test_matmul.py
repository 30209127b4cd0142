"""Matrix products equal the dequantized matrix times the very activations that the kernels saw.

Activations are rounded to bytes on their way in. The oracle takes those bytes too, so what is left
is the rounding of float32 sums, and a single bit of a single weight shows.
"""

from itertools import pairwise

import numpy as np
import pytest
from support.kernels import (
    ALL,
    BESIDES,
    FLOATS,
    SMALL,
    Columns,
    K,
    matmul_of,
    multiply,
    random_rows,
    weights_of,
)

from localmix.execute.formulas import silu
from localmix.kernels.layout import FEW, Finish
from localmix.quant.formats import format_by_name

# Of the largest weight of a row times the sum of the activations' sizes. Sums of bytes are exact;
# the scales of a block and its activations are rounded a few times each, and a rounding is 6e-8.
TOLERANCE = dict.fromkeys((*SMALL, *K), 2e-7)
# Each product is rounded, and hundreds are summed in a chain.
TOLERANCE |= dict.fromkeys(FLOATS, 3e-7)

N_COLUMNS = (1, 2, 3, 4, 5, 8, 9, 37)
N_OUT = 77
"""Two strips of 32 rows and a part of one that is no whole vector."""

# A lower tier runs one format of each kind: with an offset, signed, and both sizes of groups. What
# is slow runs the others, and the tier that differs from the best one by its width alone.
OF_EACH_KIND = ("Q4_1", "Q8_0", "Q4_K", "Q6_K")
TIERS = ("avxvnni", "avx2", "generic")
KERNELS = (*map(matmul_of, ALL), *BESIDES)
SOME_KERNELS = (*map(matmul_of, OF_EACH_KIND), *BESIDES)


def n_ins_of(name):
    """Lengths of rows: one block; some that are no multiple of 256 where a format allows it."""
    if name in K:
        return 256, 768
    return (16, 80, 608) if name in FLOATS else (32, 96, 608)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def bench(workbench):
    """The best tier of this machine."""
    return workbench(KERNELS)


@pytest.fixture(params=[pytest.param("avxvnni", marks=pytest.mark.slow), "avx2", "generic"])
def lower(workbench, request):
    return workbench(SOME_KERNELS, request.param)


def activations(rng, n_rows, n_in):
    return rng.standard_normal((n_rows, n_in)).astype(np.float32)


def reach_of(columns, weights):
    """What errors are measured by: largest weight of a row · sum of the activations' sizes."""
    return np.abs(columns.values).sum(axis=1)[:, None] * np.abs(weights).max(axis=1)


def assert_product(got, columns, weights, name, extra=0.0):
    """Compare with the product in float64 (plus `extra`)."""
    assert got.dtype == np.float32
    error = np.abs(got - (columns.values @ weights.T + extra))
    assert (error <= TOLERANCE[name] * (reach_of(columns, weights) + np.abs(extra))).all()


def check_a_format(bench, name, rng):
    for n_in in n_ins_of(name):
        raw, x = random_rows(rng, name, N_OUT, n_in), activations(rng, max(N_COLUMNS), n_in)
        for n in N_COLUMNS:
            columns = Columns(bench, name, x[:n])
            assert_product(
                multiply(bench, name, raw, columns), columns, weights_of(raw, name), name
            )


@pytest.mark.parametrize("name", ALL)
def test_a_product_is_that_of_the_dequantized_matrix(bench, name, rng):
    check_a_format(bench, name, rng)


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_a_lower_tier_computes_the_same(lower, name, rng):
    check_a_format(lower, name, rng)


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
def test_a_lower_tier_computes_the_same_for_every_format(workbench, tier, rng):
    rest = [name for name in ALL if name not in OF_EACH_KIND]
    bench = workbench((*map(matmul_of, rest), *BESIDES), tier)
    for name in rest:
        check_a_format(bench, name, rng)
        check_largest_sums(bench, name)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n_out", [1, 8, 31, 32, 33])
def test_a_matrix_may_have_any_number_of_rows(bench, name, n_out, rng):
    raw = random_rows(rng, name, n_out, 256)
    for n in (1, 20):
        columns = Columns(bench, name, activations(rng, n, 256))
        assert_product(multiply(bench, name, raw, columns), columns, weights_of(raw, name), name)


@pytest.mark.parametrize("name", ALL)
def test_a_batch_gives_what_its_tokens_give_one_by_one(bench, name, rng):
    raw, x = random_rows(rng, name, N_OUT, 512), activations(rng, 37, 512)
    columns = Columns(bench, name, x)
    batch = multiply(bench, name, raw, columns)
    assert batch.shape == (37, N_OUT)
    alone = np.concatenate(
        [multiply(bench, name, raw, Columns(bench, name, row[None])) for row in x]
    )
    reach = reach_of(columns, weights_of(raw, name))
    assert (np.abs(batch - alone) <= TOLERANCE[name] * reach).all()


@pytest.mark.parametrize("name", ALL)
def test_chunks_of_any_size_give_the_same_bits(bench, name, rng):
    raw, x = random_rows(rng, name, 150, 512), activations(rng, 3, 512)
    columns = Columns(bench, name, x)
    whole = multiply(bench, name, raw, columns, chunk_rows=160)
    for chunk_rows in (32, 64, 96):
        assert np.array_equal(multiply(bench, name, raw, columns, chunk_rows=chunk_rows), whole)


# Extremes.


def blocks_of(name, n_rows, n_in, byte, **fields):
    """Rows of blocks whose bytes are all the same, but for the fields given: d, dmin, m."""
    block = format_by_name(name)
    raw = np.full((n_rows * n_in // block.n_elements, block.n_bytes), byte, np.uint8)
    records = raw.view(block.layout)[:, 0]
    for field, value in fields.items():
        if field in records.dtype.names:
            records[field] = value
    return raw.reshape(n_rows, -1)


def check_largest_sums(bench, name):
    """Every weight and every activation at an end of its range, all of one sign and by turns."""
    if name in FLOATS:
        return
    n_in = 512
    raw = np.concatenate(
        [
            blocks_of(name, 1, n_in, byte, d=scale, dmin=scale, m=-scale, e=121)
            for byte in (0x00, 0x7F, 0x80, 0xFF, 0xF0, 0x0F, 0x88, 0x11)
            for scale in (0.03, -0.03)
        ]
    )
    signs = np.ones((4, n_in), np.float32)
    signs[1] = -1
    signs[2, ::2] = -1
    signs[3, ::3] = -1
    weights = weights_of(raw, name)
    largest = 0.03 * 64 * 63  # of a K-block: scale · step; a row of zeros has rounding errors too
    for n in (4, 16):
        columns = Columns(bench, name, 127 * np.tile(signs, (n // 4, 1)))
        assert set(np.abs(columns.values).ravel()) == {127}
        error = np.abs(multiply(bench, name, raw, columns) - columns.values @ weights.T)
        assert (error <= TOLERANCE[name] * 127 * n_in * np.abs(weights).max(initial=largest)).all()


@pytest.mark.parametrize("name", [*SMALL, *K])
def test_sums_of_the_largest_numbers_do_not_overflow(bench, name):
    check_largest_sums(bench, name)


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_sums_of_the_largest_numbers_do_not_overflow_at_a_lower_tier(lower, name):
    check_largest_sums(lower, name)


@pytest.mark.parametrize("name", [name for name in (*SMALL, *K) if name != "MXFP4"])
@pytest.mark.parametrize("scale", [0.0, 6e-8, 65504.0, -65504.0])
def test_scales_may_be_zero_subnormal_and_the_largest_half(bench, name, scale, rng):
    """Rows under such a scale stand beside usual ones."""
    raw = random_rows(rng, name, 40, 512)
    records = raw.reshape(-1, format_by_name(name).n_bytes).view(format_by_name(name).layout)
    of_rows = records.reshape(40, -1)[::2]
    for field in {"d", "dmin", "m"} & set(records.dtype.names):
        of_rows[field] = scale
    weights = weights_of(raw, name)
    assert np.isfinite(weights).all()
    for n in (3, 20):
        columns = Columns(bench, name, activations(rng, n, 512))
        got = multiply(bench, name, raw, columns)
        assert_product(got[:, 1::2], columns, weights[1::2], name)
        if scale == 0:
            assert (got[:, ::2] == 0).all()
        else:
            assert_product(got[:, ::2], columns, weights[::2], name)


@pytest.mark.parametrize("e", [0, 1, 2, 3, 126, 127, 128, 200])
def test_exponents_of_mxfp4_reach_below_the_normal_numbers(bench, e, rng):
    raw = random_rows(rng, "MXFP4", 40, 64)
    raw.reshape(-1, 17)[:, 0] = e
    weights = weights_of(raw, "MXFP4")
    assert np.abs(weights).max() == 12 * 2.0 ** (e - 128)
    for n in (2, 20):
        # Scales of activations above 1, so that no product of scales falls below the normal ones.
        columns = Columns(bench, "MXFP4", 1000 * activations(rng, n, 64))
        assert_product(multiply(bench, "MXFP4", raw, columns), columns, weights, "MXFP4")


@pytest.mark.parametrize("tier", [None, "generic"])
def test_every_half_is_read_as_what_it_is(workbench, tier):
    """An old x86 has no instruction for it."""
    bench = workbench((matmul_of("F16"), *BESIDES) if tier else KERNELS, tier)
    halves = np.zeros((1 << 16, 16), np.float16)
    halves[:, 0] = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    one_hot = np.eye(1, 16, dtype=np.float32)
    for n in (1, 12):
        columns = Columns(bench, "F16", np.repeat(one_hot, n, axis=0))
        got = multiply(bench, "F16", halves.view(np.uint8), columns)
        with np.errstate(invalid="ignore"):  # Arm raises a flag at NaNs that are signals
            expected = np.broadcast_to(halves[:, 0].astype(np.float32), got.shape)
        assert np.array_equal(got, expected, equal_nan=True)


@pytest.mark.parametrize("name", [name for name in ALL if name != "MXFP4"])
def test_a_damaged_block_makes_its_row_nan_and_no_other(bench, name, rng):
    """MXFP4 is left out: every byte is a number to it, as in ggml."""
    raw = random_rows(rng, name, 40, 512)
    block = format_by_name(name)
    records = raw.reshape(-1, block.n_bytes).view(block.layout).reshape(40, -1)
    field = "x" if name in FLOATS else "d"
    nan = np.array(np.nan, block.layout[field]) if name != "BF16" else 0x7FC0
    records[field][17, 1] = nan
    raw = records.view(np.uint8).reshape(40, -1)
    for n in (1, 2, 4, 20):
        got = multiply(bench, name, raw, Columns(bench, name, activations(rng, n, 512)))
        assert np.isnan(got[:, 17]).all()
        assert np.isfinite(np.delete(got, 17, axis=1)).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_a_damaged_activation_makes_its_column_nan_and_no_other(bench, name, damage, rng):
    raw = random_rows(rng, name, 40, 512)
    for n, bad in ((1, 0), (8, 5), (20, 18)):
        x = activations(rng, n, 512)
        x[bad, 300] = damage
        got = multiply(bench, name, raw, Columns(bench, name, x))
        assert not np.isfinite(got[bad]).any()
        assert np.isfinite(np.delete(got, bad, axis=0)).all()


# What becomes of a product.

SOME = ("Q4_0", "Q6_K", "F32")


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("n", [1, 5, 20])
@pytest.mark.parametrize("n_out", [N_OUT, 8])
def test_a_bias_is_added(bench, name, n, n_out, rng):
    raw, bias = random_rows(rng, name, n_out, 256), activations(rng, 1, n_out)[0]
    columns = Columns(bench, name, activations(rng, n, 256))
    got = multiply(bench, name, raw, columns, bias=bias)
    assert_product(got, columns, weights_of(raw, name), name, bias)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("n", [1, 5, 20])
def test_add_adds_to_what_was_there(bench, name, n, rng):
    raw, before = random_rows(rng, name, N_OUT, 256), 10 * activations(rng, n, N_OUT)
    bias = activations(rng, 1, N_OUT)[0]
    columns = Columns(bench, name, activations(rng, n, 256))
    got = multiply(bench, name, raw, columns, out=before, finish=Finish.ADD, bias=bias)
    assert_product(got, columns, weights_of(raw, name), name, before + bias)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("n", [1, 5, 20])
def test_gate_multiplies_by_silu_of_what_was_there(bench, name, n, rng):
    raw, gate = random_rows(rng, name, N_OUT, 256), 3 * activations(rng, n, N_OUT)
    columns = Columns(bench, name, activations(rng, n, 256))
    got = multiply(bench, name, raw, columns, out=gate, finish=Finish.GATE)
    expected = silu(gate.astype(np.float64)) * (columns.values @ weights_of(raw, name).T)
    reach = np.abs(gate) * reach_of(columns, weights_of(raw, name))
    assert (np.abs(got - expected) <= 3 * TOLERANCE[name] * reach).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [1, 5, 20])
def test_two_matrices_end_as_silu_of_the_first_times_the_second(bench, name, n, rng):
    pair = random_rows(rng, name, N_OUT, 256), random_rows(rng, name, N_OUT, 256)
    gate, up = (weights_of(raw, name) for raw in pair)
    columns = Columns(bench, name, 0.3 * activations(rng, n, 256))
    got = multiply(bench, name, [pair], columns)
    g, u = columns.values @ gate.T, columns.values @ up.T
    # silu moves by at most 1.1 of what its argument moves by, and then there is its own rounding.
    slack = 1.1 * reach_of(columns, gate) * np.abs(u) + np.abs(silu(g)) * reach_of(columns, up)
    bound = 2 * TOLERANCE[name] * slack + 1e-6 * np.abs(silu(g) * u)
    assert (np.abs(got - silu(g) * u) <= bound).all()


# Groups: experts, and the rows that chose them.


@pytest.mark.parametrize("name", ["Q4_0", "Q8_0", "Q4_K", "Q6_K", "F16", "F32"])
@pytest.mark.parametrize(
    "counts",
    [(1, 0, 1, 0), (3, 0, 4, 1), (9, 0, 2, 26), (0, 0, 40, 0), (0, 17, 0, 5)],
    ids=str,
)
def test_each_group_of_columns_meets_its_own_matrix(bench, name, counts, rng):
    n_rows, n_pairs = 23, sum(counts)
    raws = [random_rows(rng, name, N_OUT, 256) for _ in counts]
    row_map = rng.integers(0, n_rows, n_pairs)
    rows = Columns(bench, name, activations(rng, n_rows, 256))
    is_few = n_pairs <= FEW
    got = multiply(
        bench, name, raws, rows, counts=counts, row_map=row_map, is_few=is_few, chunk_rows=32
    )
    values = rows.values
    for raw, (start, end) in zip(raws, pairwise(np.cumsum([0, *counts])), strict=True):
        rows.values = values[row_map[start:end]]
        assert_product(got[start:end], rows, weights_of(raw, name), name)


@pytest.mark.parametrize("n", [6, 40])
def test_a_group_without_a_matrix_is_left_to_another_step(bench, n, rng):
    """Old files mix formats within a layer: each format has a step, and leaves out the others."""
    counts, before = (n // 2, n // 2), np.full((n, N_OUT), 7, np.float32)
    raw = random_rows(rng, "Q8_0", N_OUT, 256)
    columns = Columns(bench, "Q8_0", activations(rng, n, 256))
    got = multiply(bench, "Q8_0", [None, raw], columns, counts=counts, out=before, is_few=n <= FEW)
    assert (got[: n // 2] == 7).all()
    columns.values = columns.values[n // 2 :]
    assert_product(got[n // 2 :], columns, weights_of(raw, "Q8_0"), "Q8_0")
