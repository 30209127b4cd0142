"""The dense feed-forward layer: SwiGLU (arXiv:2002.05202)."""

from __future__ import annotations

from localmix.model.ops import Activation, PlanBuilder
from localmix.model.weights import FeedForward


def feed_forward(plan: PlanBuilder, x: Activation, ffn: FeedForward) -> Activation:
    """Describe down(silu(gate(x)) · up(x)), (T, D) -> (T, D)."""
    hidden = plan.swiglu(plan.linear(x, ffn.ffn_gate), plan.linear(x, ffn.ffn_up))  # (T, F)
    return plan.linear(hidden, ffn.ffn_down)
