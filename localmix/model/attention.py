"""Grouped-query attention over a ring of past keys and values.

Source: arXiv:2305.13245 (groups), arXiv:2310.06825 section 2 (sliding window, rolling buffer).
"""

from __future__ import annotations

from localmix.model.ops import Activation, Heads, PlanBuilder, Rotation
from localmix.model.weights import Layer


def attention(
    plan: PlanBuilder, x: Activation, layer: Layer, i_layer: int, rotation: Rotation, heads: Heads
) -> Activation:
    """Describe one attention layer, (T, D) -> (T, D)."""
    query = plan.rope(plan.linear(x, layer.attn_q), rotation)  # (T, H * Hd)
    key = plan.rope(plan.linear(x, layer.attn_k), rotation)  # (T, K * Hd)
    value = plan.linear(x, layer.attn_v)  # (T, K * Hd)
    plan.store(key, value, i_layer)
    mixed = plan.attend(query, i_layer, heads)  # (T, H * Hd)
    return plan.linear(mixed, layer.attn_output)
