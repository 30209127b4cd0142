"""The sparse mixture of experts: a router picks A of E feed-forward layers for each token.

Source: arXiv:2401.04088, section 2.1: y = Σ softmax(TopA(x · W_g))_i · SwiGLU_i(x).
"""

from __future__ import annotations

from localmix.model.ops import MixExperts, PlanBuilder, Route, Value
from localmix.model.weights import Mixture


def mixture(plan: PlanBuilder, x: Value, ffn: Mixture, i_layer: int, n_used: int) -> Value:
    """Describe the router and its experts, (T, D) -> (T, D)."""
    experts, shares = plan.value(n_used), plan.value(n_used)  # (T, A) each
    plan.append(Route(x, ffn.ffn_gate_inp, i_layer, experts, shares))
    out = plan.value(x.width)
    plan.append(MixExperts(x, experts, shares, ffn.experts, out))
    return out
