"""Keys and values in and out of the ring, and attention over it, equal the formulas on arrays.

The oracle reads the ring's own bytes, in float64: what is left is the rounding of float32 sums.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from support.kernels import ATTENTION, BESIDES, Columns, matmul_of, multiply, state_of

from localmix.cache import Batch, RingCache
from localmix.cache.ring import sees
from localmix.execute.formulas import attend, rotate_pairs
from localmix.kernels.layout import Attend, Finish, Place, Rotate
from localmix.model.ops import Rotation

TOLERANCE = 5e-6
"""Of values of size 1: scores are sums of up to 128 products, off by up to 1e-6 and then exponents,
and some hundred weighted values are summed."""

KV = ("f32", "f16", "q8_0")


@dataclass(frozen=True)
class Geometry:
    head_dim: int
    n_heads: int
    n_kv_heads: int

    @property
    def group(self):
        return self.n_heads // self.n_kv_heads


GEOMETRIES = [
    Geometry(8, 2, 2),
    Geometry(64, 4, 1),
    Geometry(80, 8, 2),
    Geometry(128, 8, 1),
    Geometry(128, 2, 2),
    Geometry(48, 12, 2),
]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def bench(workbench):
    return workbench((*ATTENTION, *BESIDES))


@pytest.fixture(params=[pytest.param("avx2", marks=pytest.mark.slow), "generic"])
def lower(workbench, request):
    """Lower tiers, one of another number of queries in a vector than the best tier may have."""
    return workbench((*ATTENTION, *BESIDES), request.param)


class Ring:
    """A cache of the real kind, filled and read by kernels."""

    def __init__(self, bench, kv, geometry, *, n_ctx=256, n_chunk=128, window=None, n_sequences=1):
        self.bench, self.kv, self.geometry, self.window = bench, kv, geometry, window
        config = SimpleNamespace(
            n_layers=2,
            n_kv_heads=geometry.n_kv_heads,
            head_dim=geometry.head_dim,
            sliding_window=window,
        )
        cache = RingCache(config, n_ctx=n_ctx, n_chunk=n_chunk, n_sequences=n_sequences, kv=kv)
        cache.keys, cache.values = bench.copy(cache.keys), bench.copy(cache.values)
        self.cache = cache

    def state(self, batch, tiles=()):
        cache = self.cache
        layer, sequence, head, slot = cache.keys.strides[:4]
        self._alive = [
            np.asarray(batch.positions, np.int32),
            np.asarray(batch.sequences, np.int64),
            batch.positions % cache.n_slots,
            np.array(tiles or [(0, 0, 0)], np.int64),
        ]
        positions, sequences, slots, tiles = self._alive
        return state_of(
            N_ROWS=len(batch),
            POSITIONS=positions,
            SEQUENCES=sequences,
            SLOTS=slots,
            TILES=tiles,
            KEYS=cache.keys,
            VALUES=cache.values,
            SLOT_POSITIONS=cache.positions,
            N_SLOTS=cache.n_slots,
            N_USED_SLOTS=cache.n_used_slots,
            LAYER_BYTES=layer,
            SEQUENCE_BYTES=sequence,
            HEAD_BYTES=head,
            SLOT_BYTES=slot,
        )

    def place(self, batch, keys, values, layer=1):
        """Store keys and values (T, K, Hd)."""
        self.cache.admit(batch)
        self.bench.run(
            f"place_{self.kv}",
            Place,
            len(batch),
            self.state(batch),
            K=self.bench.copy(keys),
            V=self.bench.copy(values),
            N_KV_HEADS=self.geometry.n_kv_heads,
            HEAD_DIM=self.geometry.head_dim,
            LAYER=layer,
        )

    def attend(self, batch, query, rows_per_tile, layer=1):
        """Attention of queries (T, H, Hd), in tiles of so many rows."""
        tiles, start = [], 0
        while start < len(batch):
            sequence = batch.sequences[start]
            same = batch.sequences[start : start + rows_per_tile] == sequence
            count = len(same) if same.all() else int(np.argmin(same))
            tiles.append((start, count, int(sequence)))
            start += count
        out = self.bench.room(*query.shape)
        self.bench.run(
            f"attend_{self.kv}",
            Attend,
            len(tiles) * self.geometry.n_kv_heads,
            self.state(batch, tiles),
            Q=self.bench.copy(query),
            OUT=out,
            N_HEADS=self.geometry.n_heads,
            N_KV_HEADS=self.geometry.n_kv_heads,
            HEAD_DIM=self.geometry.head_dim,
            WINDOW=self.window or 0,
            LAYER=layer,
            SCALE=float(self.geometry.head_dim**-0.5),
        )
        return out

    def expected(self, batch, query, layer=1):
        """The same by the formula, from the bytes of the ring."""
        out = np.empty(query.shape)
        for sequence in np.unique(batch.sequences):
            rows = batch.sequences == sequence
            positions = self.cache.positions[sequence]
            used = positions >= 0
            keys, values = (
                decode(ring[layer, sequence], self.kv, self.geometry.head_dim)[:, used]
                for ring in (self.cache.keys, self.cache.values)
            )  # (K, S', Hd)
            seen = sees(batch.positions[rows], positions[used], self.window)
            out[rows] = attend(
                query[rows].astype(np.float64), keys.swapaxes(0, 1), values.swapaxes(0, 1), seen
            )
        return out


def decode(slots, kv, head_dim):
    """Bytes of slots (…, slot bytes) as float64 (…, head_dim)."""
    slots = np.ascontiguousarray(slots)
    if kv != "q8_0":
        return slots.view(np.float16 if kv == "f16" else np.float32)[..., :head_dim].astype(float)
    padded = -(-head_dim // 32) * 32
    scales = np.ascontiguousarray(slots[..., padded:]).view(np.float16).astype(float)
    numbers = np.ascontiguousarray(slots[..., :padded]).view(np.int8)
    return (numbers * np.repeat(scales, 32, axis=-1))[..., :head_dim]


def random_kv(rng, n, geometry):
    size = (n, geometry.n_kv_heads, geometry.head_dim)
    return [rng.standard_normal(size).astype(np.float32) for _ in "kv"]


def random_query(rng, n, geometry, size=1.0):
    shape = (n, geometry.n_heads, geometry.head_dim)
    return (size * rng.standard_normal(shape)).astype(np.float32)


def most_rows(bench, geometry):
    return max(1, bench.tier.queries // geometry.group)


def check_a_sequence(ring, rng, n, chunk, rows_per_tile, size=1.0):
    """Feed n positions chunk by chunk, and compare each row when it is the newest."""
    for start in range(0, n, chunk):
        count = min(chunk, n - start)
        batch = Batch.of([0] * count, start)
        ring.place(batch, *random_kv(rng, count, ring.geometry))
        query = random_query(rng, count, ring.geometry, size)
        got = ring.attend(batch, query, rows_per_tile)
        np.testing.assert_allclose(got, ring.expected(batch, query), rtol=0, atol=TOLERANCE)


# Into the ring.


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_floats_are_kept_as_they_are_or_rounded_to_the_nearest_half(bench, geometry, rng):
    keys, values = random_kv(rng, 5, geometry)
    keys[0] *= 1e-6  # a subnormal half
    for kv, kind in (("f32", np.float32), ("f16", np.float16)):
        ring = Ring(bench, kv, geometry)
        ring.place(Batch.of([0] * 5, 9), keys, values)
        for given, kept in ((keys, ring.cache.keys), (values, ring.cache.values)):
            slots = kept[1, 0, :, 9:14].view(kind)
            d = geometry.head_dim
            assert np.array_equal(slots[..., :d], given.astype(kind).swapaxes(0, 1))
            assert not slots[..., d:].any()


@pytest.mark.parametrize("tier", [None, "generic"])
def test_numbers_between_two_halves_go_to_the_nearer_and_from_the_middle_to_the_even_one(
    workbench, tier
):
    bench = workbench((*ATTENTION, *BESIDES), tier)
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    steps = np.append(halves, np.float32(65536))  # where the next one would be
    middles = (steps[:-1] + steps[1:]) / 2
    x = np.concatenate(
        [middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(1e9))]
    )
    x = np.concatenate([x, -x, [1e-30, 1e6, np.inf, -np.inf, np.nan]]).astype(np.float32)
    geometry = Geometry(128, 8, 8)
    rows = np.zeros((-(-x.size // 1024), 8, 128), np.float32)
    rows.reshape(-1)[: x.size] = x
    ring = Ring(bench, "f16", geometry, n_chunk=len(rows))
    ring.place(Batch.of([0] * len(rows), 0), rows, -rows)
    with np.errstate(over="ignore"):
        expected = rows.astype(np.float16)
    found = [
        kept[1, 0, :, : len(rows)].view(np.float16) for kept in (ring.cache.keys, ring.cache.values)
    ]
    assert np.array_equal(found[0].swapaxes(0, 1), expected, equal_nan=True)
    assert np.array_equal(found[1].swapaxes(0, 1), -expected, equal_nan=True)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_bytes_are_those_of_q8_0(bench, geometry, rng):
    keys, values = random_kv(rng, 5, geometry)
    keys[2] = 0
    ring = Ring(bench, "q8_0", geometry)
    ring.place(Batch.of([0] * 5, 3), keys, values)
    padded = -(-geometry.head_dim // 32) * 32
    for given, kept in ((keys, ring.cache.keys), (values, ring.cache.values)):
        blocks = np.zeros((5, geometry.n_kv_heads, padded), np.float32)
        blocks[..., : geometry.head_dim] = given
        blocks = blocks.reshape(5, geometry.n_kv_heads, -1, 32)
        largest = np.abs(blocks).max(axis=-1, keepdims=True)
        inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest > 0)
        numbers = np.rint(blocks * inverse).astype(np.int8).reshape(5, geometry.n_kv_heads, padded)
        scales = (largest / np.float32(127))[..., 0].astype(np.float16)
        slots = kept[1, 0, :, 3:8].swapaxes(0, 1)
        assert np.array_equal(slots[..., :padded].copy().view(np.int8), numbers)
        assert np.array_equal(slots[..., padded:].copy().view(np.float16), scales)


@pytest.mark.parametrize("kv", KV)
def test_a_row_is_placed_in_its_slot_and_nowhere_else(bench, kv, rng):
    geometry = Geometry(64, 4, 2)
    ring = Ring(bench, kv, geometry, n_ctx=100, n_chunk=4, window=5, n_sequences=3)
    before = ring.cache.keys.copy()
    batch = Batch.join(Batch.of([0, 0], 21, sequence=2), Batch.of([0], 6, sequence=0))
    ring.place(batch, *random_kv(rng, 3, geometry), layer=0)
    assert ring.cache.n_slots == 8
    changed = (ring.cache.keys != before).any(axis=(2, 4))  # (L, sequences, S)
    assert [tuple(map(int, place)) for place in np.argwhere(changed)] == [
        (0, 0, 6),
        (0, 2, 21 % 8),
        (0, 2, 22 % 8),
    ]


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("damage", [np.nan, np.inf])
def test_a_damaged_value_reaches_the_rows_that_see_it(bench, kv, damage, rng):
    """And no other head, and no other sequence."""
    geometry = Geometry(64, 4, 2)
    ring = Ring(bench, kv, geometry, n_sequences=2)
    keys, values = random_kv(rng, 8, geometry)
    values[1, 1, 5] = damage
    batch = Batch.join(Batch.of([0] * 4, 0, sequence=1), Batch.of([0] * 4, 0, sequence=0))
    ring.place(batch, keys, values)
    for rows_per_tile in (1, 4):
        got = ring.attend(batch, random_query(rng, 8, geometry), rows_per_tile)
        assert not np.isfinite(got[1:4, 2:, 5]).any()
        assert np.isfinite(got[4:]).all()
        assert np.isfinite(got[:, :2]).all()


# Rotation.


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("part", [1.0, 0.5])
def test_heads_turn_as_the_formula_says(bench, geometry, part, rng):
    n_pairs = int(geometry.head_dim * part) // 2
    rotation = Rotation(geometry.head_dim, 10_000.0 ** -(np.arange(n_pairs) / n_pairs), 1.25)
    positions = np.array([0, 1, 500, 31_999])
    x = random_query(rng, 4, geometry).reshape(4, -1)
    angles = positions[:, None] * rotation.frequencies
    cosines, sines = (
        bench.copy(f(angles) * rotation.magnitude, np.float32) for f in (np.cos, np.sin)
    )
    turned = bench.copy(x)
    bench.run(
        "rotate",
        Rotate,
        4,
        state_of(COSINES=cosines, SINES=sines),
        X=turned,
        N_HEADS=geometry.n_heads,
        HEAD_DIM=geometry.head_dim,
        N_ROTATED=2 * n_pairs,
    )
    np.testing.assert_allclose(turned, rotate_pairs(x, positions, rotation), rtol=0, atol=1e-6)
    assert part == 1 or np.array_equal(
        turned.reshape(4, geometry.n_heads, -1)[..., 2 * n_pairs :],
        x.reshape(4, geometry.n_heads, -1)[..., 2 * n_pairs :],
    )


# Attention.


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("window", [None, 7, 40])
def test_attention_of_one_row_is_the_formula(bench, kv, geometry, window, rng):
    ring = Ring(bench, kv, geometry, n_chunk=1, window=window)
    check_a_sequence(ring, rng, 40, 1, 1)


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("window", [None, 1, 7, 40])
def test_attention_of_many_rows_is_the_formula(bench, kv, geometry, window, rng):
    """Also when the ring has wrapped: 150 positions go through as few as 16 slots."""
    ring = Ring(bench, kv, geometry, n_chunk=16, window=window)
    check_a_sequence(ring, rng, 150, 16, most_rows(bench, geometry))


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("window", [None, 9])
def test_attention_is_the_same_at_a_lower_tier(lower, kv, window, rng):
    for geometry in (Geometry(64, 4, 1), Geometry(80, 8, 2)):
        for rows_per_tile in (1, most_rows(lower, geometry)):
            ring = Ring(lower, kv, geometry, n_chunk=16, window=window)
            check_a_sequence(ring, rng, 70, 16, rows_per_tile)


@pytest.mark.parametrize("kv", KV)
def test_tiles_of_any_number_of_rows_give_the_same(bench, kv, rng):
    geometry = Geometry(64, 4, 1)
    ring = Ring(bench, kv, geometry)
    ring.place(Batch.of([0] * 100, 0), *random_kv(rng, 100, geometry))
    batch, query = Batch.of([0] * 16, 84), random_query(rng, 16, geometry)
    expected = ring.expected(batch, query)
    for rows_per_tile in range(1, most_rows(bench, geometry) + 1):
        got = ring.attend(batch, query, rows_per_tile)
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kv", KV)
def test_sequences_of_one_batch_see_their_own_keys_alone(bench, kv, rng):
    """Their rings are of one size but not equally full, so some slots are empty for some."""
    geometry = Geometry(64, 4, 2)
    ring = Ring(bench, kv, geometry, n_sequences=4)
    lengths = {0: 90, 3: 5, 1: 33}
    for sequence, n in lengths.items():
        ring.place(Batch.of([0] * n, 0, sequence=sequence), *random_kv(rng, n, geometry))
    new = [Batch.of([0] * 3, n, sequence=sequence) for sequence, n in lengths.items()]
    batch = Batch.join(*new)
    ring.place(batch, *random_kv(rng, len(batch), geometry))
    query = random_query(rng, len(batch), geometry)
    for rows_per_tile in (1, 3):
        got = ring.attend(batch, query, rows_per_tile)
        np.testing.assert_allclose(got, ring.expected(batch, query), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kv", KV)
def test_an_earlier_row_does_not_see_what_was_stored_after_it(bench, kv, rng):
    """A text that was cut: its later slots are still there, at positions of the future."""
    geometry = Geometry(64, 4, 1)
    ring = Ring(bench, kv, geometry)
    ring.place(Batch.of([0] * 80, 0), *random_kv(rng, 80, geometry))
    batch, query = Batch.of([0] * 4, 20), random_query(rng, 4, geometry)
    for rows_per_tile in (1, 4):
        got = ring.attend(batch, query, rows_per_tile)
        np.testing.assert_allclose(got, ring.expected(batch, query), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("rows_per_tile", [1, 8])
def test_scores_of_hundreds_neither_overflow_nor_lose_the_largest(bench, rows_per_tile, rng):
    geometry = Geometry(64, 4, 1)
    ring = Ring(bench, "f32", geometry)
    ring.place(Batch.of([0] * 100, 0), *random_kv(rng, 100, geometry))
    batch, query = Batch.of([0] * 8, 92), random_query(rng, 8, geometry, size=100)
    expected = ring.expected(batch, query)
    # Scores of size 300 are rounded by 2e-5, and e^score by as much.
    got = ring.attend(batch, query, min(rows_per_tile, most_rows(bench, geometry)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("rows_per_tile", [1, 8])
def test_a_row_that_sees_one_key_gives_back_its_value(bench, rows_per_tile, rng):
    geometry = Geometry(128, 8, 2)
    ring = Ring(bench, "f32", geometry, window=1, n_chunk=4)
    keys, values = random_kv(rng, 4, geometry)
    batch = Batch.of([0] * 4, 40)
    ring.place(batch, keys, values)
    got = ring.attend(batch, random_query(rng, 4, geometry), min(4, rows_per_tile))
    assert np.array_equal(got, np.repeat(values, geometry.group, axis=1))


# e^x, through what is made of it.


def test_silu_is_within_a_millionth_from_minus_87_to_100(workbench):
    bench = workbench((matmul_of("F32"), *BESIDES))
    x = np.concatenate([np.linspace(-87, 100, 50_000), [0.0, -0.0, 1e-30, -1e-30]])
    gate = x.astype(np.float32)[None]
    expected = gate / (1 + np.exp(-gate.astype(np.float64)))
    for got in (through_gate(bench, gate), through_two_matrices(bench, gate)):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=0)


def test_silu_far_below_is_almost_zero_and_far_above_is_x(workbench):
    bench = workbench((matmul_of("F32"), *BESIDES))
    gate = np.array([[-1e30, -1000, -100, -88.5, 88.5, 1000, 1e30]], np.float32)
    for got in (through_gate(bench, gate), through_two_matrices(bench, gate)):
        assert np.array_equal(got[0, 4:], gate[0, 4:])
        assert (np.abs(got[0, :4] / gate[0, :4]) < 1e-37).all()


def test_silu_of_nan_is_nan(workbench):
    bench = workbench((matmul_of("F32"), *BESIDES))
    gate = np.array([[np.nan, 1.0]], np.float32)
    for got in (through_gate(bench, gate), through_two_matrices(bench, gate)):
        assert np.isnan(got[0]).tolist() == [True, False]


def one_hot(values):
    """A matrix whose product with (1, 0, 0, …) is `values`."""
    matrix = np.zeros((values.size, 16), np.float32)
    matrix[:, 0] = values
    return matrix.view(np.uint8).reshape(values.size, 64)


def through_gate(bench, gate):
    """silu(gate) · 1 by Finish.GATE."""
    columns = Columns(bench, "F32", np.eye(1, 16, dtype=np.float32))
    ones = one_hot(np.ones_like(gate))
    return multiply(bench, "F32", ones, columns, out=gate, finish=Finish.GATE)


def through_two_matrices(bench, gate):
    """silu(gate) · 1 by a product of two matrices."""
    columns = Columns(bench, "F32", np.eye(1, 16, dtype=np.float32))
    return multiply(bench, "F32", [(one_hot(gate), one_hot(np.ones_like(gate)))], columns)
