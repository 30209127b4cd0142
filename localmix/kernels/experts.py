"""The mixture of experts: who goes where, and how the answers come together.

`route` sorts the (row, expert) pairs by expert, so that each expert's rows stand beside each other
and are multiplied together. Source: arXiv:2401.04088, section 2.1.
"""

from __future__ import annotations

import numpy as np

from localmix.kernels.elementwise import exponential, field
from localmix.kernels.jit import inline, kernel
from localmix.kernels.layout import GROUP_BYTES, WORD, Combine, Group, Route, State
from localmix.kernels.simd import (
    lane,
    load,
    load_f32,
    load_i32,
    load_i64,
    splat,
    store,
    store_f32,
    store_i32,
    store_i64,
)
from localmix.kernels.target import TIER
from localmix.kernels.vectors import F32x16

COLUMNS = TIER.tile_columns


@kernel("route")
def route(record, state, chunk, scratch):
    """The largest router logits of each row, their softmax, and the rows of each expert."""
    n_experts, n_used = field(record, Route.N_EXPERTS), field(record, Route.N_USED)
    experts, shares = field(record, Route.EXPERTS), field(record, Route.SHARES)
    n_rows = field(state, State.N_ROWS)
    for t in range(n_rows):
        logits = field(record, Route.LOGITS) + 4 * n_experts * t
        choose(logits, n_experts, n_used, experts + 4 * n_used * t)
        share_out(logits, n_used, experts + 4 * n_used * t, shares + 4 * n_used * t)
    list_rows(record, n_rows, n_experts, n_used)


@inline
def choose(logits, n_experts, n_used, chosen):
    """The n_used largest, largest first, the lower expert first among equals."""
    for a in range(n_used):
        best = -1
        for e in range(n_experts):
            taken = False
            for i in range(a):
                taken = taken or load_i32(chosen + 4 * i) == e
            # An expert that nobody beats is taken even if its logit is NaN.
            if not taken and (best < 0 or load_f32(logits + 4 * e) > load_f32(logits + 4 * best)):
                best = e
        store_i32(chosen + 4 * a, best)


@inline
def share_out(logits, n_used, chosen, shares):
    """Softmax over the chosen logits; the first is the largest."""
    largest = load_f32(logits + 4 * load_i32(chosen))
    total = np.float32(0)
    for a in range(n_used):
        logit = load_f32(logits + 4 * load_i32(chosen + 4 * a))
        share = lane(exponential(splat(F32x16, logit - largest)), 0)
        store_f32(shares + 4 * a, share)
        total += share
    for a in range(n_used):
        store_f32(shares + 4 * a, load_f32(shares + 4 * a) / total)


@inline
def list_rows(record, n_rows, n_experts, n_used):
    """Write the group of each expert, the row of each pair, and the pair of each row's choice."""
    experts, groups = field(record, Route.EXPERTS), field(record, Route.GROUPS)
    pair, tile = 0, 0
    for e in range(n_experts):
        group, first = groups + GROUP_BYTES * e, pair
        for t in range(n_rows):
            for a in range(n_used):
                if load_i32(experts + 4 * (n_used * t + a)) == e:
                    store_i64(field(record, Route.ROW_MAP) + WORD * pair, t)
                    store_i64(field(record, Route.PLACES) + WORD * (n_used * t + a), pair)
                    pair += 1
        store_i64(group + WORD * Group.FIRST, first)
        store_i64(group + WORD * Group.COUNT, pair - first)
        store_i64(group + WORD * Group.TILE, tile)
        tile += (pair - first + COLUMNS - 1) // COLUMNS


@kernel("combine")
def combine(record, state, row, scratch):
    """out[row] += Σ_a share[row, a] · pair[place[row, a]]."""
    width, n_used = field(record, Combine.WIDTH), field(record, Combine.N_USED)
    shares = field(record, Combine.SHARES) + 4 * n_used * row
    places = field(record, Combine.PLACES) + WORD * n_used * row
    out = field(record, Combine.OUT) + 4 * width * row
    for i in range(0, width // 16 * 16, 16):
        total = load(F32x16, out + 4 * i)
        for a in range(n_used):
            y = field(record, Combine.PAIRS) + 4 * width * load_i64(places + WORD * a)
            total = total + load(F32x16, y + 4 * i) * splat(F32x16, load_f32(shares + 4 * a))
        store(out + 4 * i, total)
    for i in range(width // 16 * 16, width):
        rest = load_f32(out + 4 * i)
        for a in range(n_used):
            y = field(record, Combine.PAIRS) + 4 * width * load_i64(places + WORD * a)
            rest += load_f32(y + 4 * i) * load_f32(shares + 4 * a)
        store_f32(out + 4 * i, rest)
