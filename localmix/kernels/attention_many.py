"""Attention of many rows: each lane is one query, and keys and values are numbers.

Nothing crosses lanes. A query is a (row, head): all heads of a group, for several rows.
"""

from __future__ import annotations

from localmix.kernels.jit import inline
from localmix.kernels.simd import choose_greater, fma, load, load_f32, splat, store
from localmix.kernels.slots import UNSEEN
from localmix.kernels.target import TIER
from localmix.kernels.vectors import Vec

QUERIES = TIER.queries
QUERY_FLOATS, QUERY_INTS = Vec(QUERIES, "f32"), Vec(QUERIES, "i32")


@inline
def four_scores(q, keys, padded):
    """q · key for four keys that follow one another."""
    a, b, c, d = (
        splat(QUERY_FLOATS, 0.0),
        splat(QUERY_FLOATS, 0.0),
        splat(QUERY_FLOATS, 0.0),
        splat(QUERY_FLOATS, 0.0),
    )
    for i in range(padded):
        x, k = load(QUERY_FLOATS, q + 4 * QUERIES * i), keys + 4 * i
        a = fma(x, splat(QUERY_FLOATS, load_f32(k)), a)
        b = fma(x, splat(QUERY_FLOATS, load_f32(k + 4 * padded)), b)
        c = fma(x, splat(QUERY_FLOATS, load_f32(k + 8 * padded)), c)
        d = fma(x, splat(QUERY_FLOATS, load_f32(k + 12 * padded)), d)
    return a, b, c, d


@inline
def masked(scores, position, latest, oldest):
    """UNSEEN for queries whose window (oldest, latest] the position is outside of."""
    here, unseen = splat(QUERY_INTS, position), splat(QUERY_FLOATS, UNSEEN)
    return choose_greater(here, latest, unseen, choose_greater(here, oldest, scores, unseen))


@inline
def add_rows(out, weights, values, n_keys, padded, shrink):
    """out = out · shrink + Σ_j weight_j · value_j, four elements of a head at a time."""
    line = 4 * QUERIES
    for i in range(0, padded, 4):
        at = out + line * i
        a, b = load(QUERY_FLOATS, at) * shrink, load(QUERY_FLOATS, at + line) * shrink
        c, d = (
            load(QUERY_FLOATS, at + 2 * line) * shrink,
            load(QUERY_FLOATS, at + 3 * line) * shrink,
        )
        for j in range(n_keys):
            w, v = load(QUERY_FLOATS, weights + line * j), values + 4 * (padded * j + i)
            a = fma(w, splat(QUERY_FLOATS, load_f32(v)), a)
            b = fma(w, splat(QUERY_FLOATS, load_f32(v + 4)), b)
            c = fma(w, splat(QUERY_FLOATS, load_f32(v + 8)), c)
            d = fma(w, splat(QUERY_FLOATS, load_f32(v + 12)), d)
        store(at, a)
        store(at + line, b)
        store(at + 2 * line, c)
        store(at + 3 * line, d)
