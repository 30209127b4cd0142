"""Rows of a batch become bytes and tiles: each kernel does what a few lines of NumPy do."""

import numpy as np
import pytest
from support.kernels import (
    BESIDES,
    TIERS,
    Columns,
    groups_of,
    parts_of,
    quantize,
    values_of,
)

from localmix.execute.formulas import rms_norm
from localmix.kernels.layout import Quantize, Tile

EPS = 1e-5
TOLERANCE = 1e-6
"""Of a norm: a square root, a division and two products, each rounded by 6e-8, and a sum."""


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(params=["best", "generic"])
def bench(workbench, request):
    return workbench(BESIDES, None if request.param == "best" else request.param)


@pytest.fixture(params=TIERS)
def any_bench(workbench, request):
    return workbench(BESIDES, request.param)


def random_rows(rng, n_rows, width):
    """Rows of very different size."""
    sizes = 10.0 ** rng.uniform(-6, 4, (n_rows, 1))
    return (rng.standard_normal((n_rows, width)) * sizes).astype(np.float32)


def twin(x, block):
    """Numbers, scales, scaled sums, −sums of 16 and of 32 of rows of float32."""
    blocks = x.reshape(len(x), -1, block)
    largest = np.abs(blocks).max(axis=2, keepdims=True)
    with np.errstate(divide="ignore"):
        inverse = np.where(largest > 0, np.float32(127) / largest, np.float32(0))
    numbers = np.rint(blocks * inverse).astype(np.int8).reshape(x.shape)
    scales = np.repeat((largest / np.float32(127))[..., 0], block // 32, axis=1)
    sums = numbers.reshape(len(x), -1, 16).sum(axis=2, dtype=np.int16)
    of_32 = sums.reshape(len(x), -1, 2).sum(axis=2, dtype=np.int16)
    return numbers, scales, scales * of_32.astype(np.float32), -sums, -of_32


@pytest.mark.parametrize("in_pairs", [False, True])
@pytest.mark.parametrize("block", [32, 256])
@pytest.mark.parametrize("width", [256, 768])
def test_bytes_scales_and_sums_are_those_of_the_twin(any_bench, block, width, in_pairs, rng):
    x = random_rows(rng, 9, width)
    found = parts_of(quantize(any_bench, x, block), width, in_pairs)
    for ours, theirs in zip(found, twin(x, block), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("block", [32, 256])
def test_no_element_moves_by_more_than_half_a_step(bench, block, rng):
    x = random_rows(rng, 20, 512)
    rows = quantize(bench, x, block)
    step = np.repeat(parts_of(rows, 512)[1], 32, axis=1)
    assert (np.abs(values_of(rows, 512) - x) <= 0.5001 * step).all()


@pytest.mark.parametrize("in_pairs", [False, True])
@pytest.mark.parametrize("width", [32, 96, 1056])
def test_rows_for_small_blocks_have_any_multiple_of_32(bench, width, in_pairs, rng):
    x = random_rows(rng, 3, width)
    found = parts_of(quantize(bench, x, 32), width, in_pairs)
    for ours, theirs in zip(found, twin(x, 32), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("block", [32, 256])
def test_rows_of_zeros_stay_zero(bench, block):
    for part in parts_of(quantize(bench, np.zeros((2, 512), np.float32), block), 512):
        assert not part.any()


@pytest.mark.parametrize("block", [32, 256])
@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_damage_gives_scales_of_nan_in_its_block_alone(bench, block, damage, rng):
    x = random_rows(rng, 3, 512)
    whole = parts_of(quantize(bench, x, block), 512)
    x[1, 70] = damage
    found = parts_of(quantize(bench, x, block), 512)
    damaged = slice(2, 3) if block == 32 else slice(0, 8)
    assert np.isnan(found[1][1, damaged]).all()
    for before, after in zip(whole, found, strict=True):
        n = before.shape[1] // 16  # so many are those of 32 elements: numbers 32, sums 2, others 1
        before, after = before.reshape(3, 16, n), after.reshape(3, 16, n)
        assert np.array_equal(np.delete(before, 1, axis=0), np.delete(after, 1, axis=0))
        assert np.array_equal(
            np.delete(before[1], damaged, axis=0), np.delete(after[1], damaged, axis=0)
        )


def normalised(bench, x, weight, **more):
    """Run `quantize` with a norm; return the float32 rows."""
    floats = bench.room(*x.shape)
    bench.run(
        "quantize",
        Quantize,
        len(x),
        X=bench.copy(x),
        X_BYTES=4 * x.shape[1],
        WIDTH=x.shape[1],
        NORM=bench.copy(weight),
        EPS=EPS,
        FLOATS=floats,
        **more,
    )
    return floats


@pytest.mark.parametrize("width", [16, 48, 80, 512])
def test_a_norm_is_that_of_the_formula(any_bench, width, rng):
    x = np.concatenate([random_rows(rng, 6, width), np.zeros((1, width), np.float32)])
    weight = rng.standard_normal(width).astype(np.float32)
    expected = rms_norm(x.astype(np.float64), weight.astype(np.float64), EPS)
    np.testing.assert_allclose(normalised(any_bench, x, weight), expected, rtol=TOLERANCE)


@pytest.mark.parametrize("block", [32, 256])
def test_bytes_after_a_norm_are_those_of_the_normalised_row(bench, block, rng):
    """Whether the row itself is wanted or only its bytes."""
    x, weight = random_rows(rng, 4, 512), rng.standard_normal(512).astype(np.float32)
    norm = {"NORM": bench.copy(weight), "EPS": EPS}
    floats = normalised(bench, x, weight)
    expected = quantize(bench, floats, block)
    alone = quantize(bench, x, block, **norm)
    beside = quantize(bench, x, block, FLOATS=bench.room(4, 512), **norm)
    for rows in (alone, beside):
        for ours, theirs in zip(parts_of(rows, 512), parts_of(expected, 512), strict=True):
            assert np.array_equal(ours, theirs)


def test_both_kinds_of_bytes_and_the_floats_come_out_of_one_pass(bench, rng):
    x = random_rows(rng, 5, 512)
    floats, by_256 = bench.room(5, 512), bench.room(*quantize(bench, x, 256).shape, dtype=np.uint8)
    by_32 = quantize(bench, x, 32, BYTES_256=by_256, FLOATS=floats)
    assert np.array_equal(floats, x)
    for rows, block in ((by_32, 32), (by_256, 256)):
        for ours, theirs in zip(parts_of(rows, 512), twin(x, block), strict=True):
            assert np.array_equal(ours, theirs)


def test_a_row_map_picks_rows(bench, rng):
    x, picked = random_rows(rng, 6, 64), np.array([5, 0, 5, 2])
    rows = bench.room(4, quantize(bench, x, 32).shape[1], dtype=np.uint8)
    bench.run(
        "quantize",
        Quantize,
        4,
        X=bench.copy(x),
        X_BYTES=4 * 64,
        WIDTH=64,
        ROW_MAP=bench.copy(picked, np.int64),
        BYTES_32=rows,
        ROW_BYTES=rows.shape[1],
    )
    for ours, theirs in zip(parts_of(rows, 64), twin(x[picked], 32), strict=True):
        assert np.array_equal(ours, theirs)


# Tiles.


def tile_layout(tier):
    """A tile's record of 32 elements; see `layout.Tile`."""
    c = tier.tile_columns
    layout = np.dtype(
        [
            ("data", np.int8, (32 // tier.step, c, tier.step)),
            ("negative", np.int32, (3, c)),
            ("plain", np.float32, (3, c)),
            ("scale", np.float32, c),
            ("pair", np.int16, (c, 2)),
        ]
    )
    assert layout.itemsize == Tile.group_bytes(c)
    return layout


def tile_twin(tier, rows, width, is_scaled):
    """Quantized rows, at most as many as a tile has columns, as a tile."""
    tile = np.zeros(width // 32, tile_layout(tier))
    numbers, scales, _, minus_sums, _ = parts_of(rows, width)
    for c in range(len(rows)):
        halves = -minus_sums[c].reshape(-1, 2).astype(np.int32)
        of_parts = np.stack([halves[:, 0], halves[:, 1], halves.sum(axis=1)], axis=1)
        factor = scales[c][:, None] if is_scaled else np.float32(1)
        tile["data"][:, :, c] = numbers[c].reshape(-1, 32 // tier.step, tier.step)
        tile["negative"][:, :, c] = -of_parts
        tile["plain"][:, :, c] = factor * of_parts.astype(np.float32)
        tile["scale"][:, c] = scales[c]
        tile["pair"][:, c, 0] = of_parts[:, 2]
        tile["pair"][:-1, c, 1] = of_parts[1:, 2]
    return tile


@pytest.mark.parametrize("name", ["Q8_0", "Q6_K"])
def test_a_tile_has_its_columns_beside_each_other(any_bench, name, rng):
    """With columns of zeros where a group does not fill its last tile."""
    tier, width = any_bench.tier, 512
    counts = [tier.tile_columns + 1, 0, 1, 2 * tier.tile_columns]
    row_map = rng.integers(0, 7, sum(counts))
    columns = Columns(any_bench, name, random_rows(rng, 7, width))
    groups = groups_of(any_bench, counts)
    tiles = columns.pack(groups, any_bench.copy(row_map, np.int64)).view(tile_layout(tier))
    for first, count, tile in groups:
        for c in range(0, count, tier.tile_columns):
            rows = columns.rows[row_map[first + c : first + min(count, c + tier.tile_columns)]]
            expected = tile_twin(tier, rows, width, is_scaled=name == "Q8_0")
            found = tiles[tile + c // tier.tile_columns]
            found["pair"][-1, : len(rows), 1] = 0  # nothing follows the last 32 elements
            for field in expected.dtype.names:
                assert np.array_equal(found[field], expected[field]), field


def test_a_tile_of_floats_has_its_columns_beside_each_other(any_bench, rng):
    bench, width = any_bench, 80
    n_columns = bench.tier.tile_columns
    counts = [n_columns + 1, 0, 1]
    row_map = rng.integers(0, 7, sum(counts))
    x = random_rows(rng, 7, width)
    groups = groups_of(bench, counts)
    tiles = Columns(bench, "F32", x).pack(groups, bench.copy(row_map, np.int64))
    tiles = tiles.view(np.float32).reshape(len(tiles), width, n_columns)
    for first, count, tile in groups:
        for c in range(count):
            column = tiles[tile + c // n_columns][:, c % n_columns]
            assert np.array_equal(column, x[row_map[first + c]])


def test_tiles_that_no_group_has_stay_untouched(any_bench, rng):
    for name in ("Q8_0", "Q6_K", "F32"):
        columns = Columns(any_bench, name, random_rows(rng, 9, 256))
        tiles = columns.pack(groups_of(any_bench, [9]))
        assert (tiles[-1] == 255).all()
        assert len(tiles) == -(-9 // any_bench.tier.tile_columns) + 1
