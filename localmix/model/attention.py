"""Grouped-query attention over a ring of past keys and values.

Source: arXiv:2305.13245 (groups), arXiv:2310.06825 section 2 (sliding window, rolling buffer).
"""

from __future__ import annotations

from localmix.model.config import ModelConfig
from localmix.model.ops import Attend, PlanBuilder, Store, Value
from localmix.model.rope import Rotation
from localmix.model.weights import Layer


def attention(
    plan: PlanBuilder, x: Value, layer: Layer, i_layer: int, rotate: Rotation, config: ModelConfig
) -> Value:
    """Describe one attention layer, (T, D) -> (T, D)."""
    query = rotate(plan, plan.linear(x, layer.attn_q))  # (T, H * Hd)
    key = rotate(plan, plan.linear(x, layer.attn_k))  # (T, K * Hd)
    value = plan.linear(x, layer.attn_v)  # (T, K * Hd)
    plan.append(Store(key, value, i_layer))
    seen = plan.value(query.width)  # (T, H * Hd)
    plan.append(
        Attend(
            query=query,
            i_layer=i_layer,
            n_heads=config.n_heads,
            n_kv_heads=config.n_kv_heads,
            head_dim=config.head_dim,
            window=config.sliding_window,
            out=seen,
        )
    )
    return plan.linear(seen, layer.attn_output)
