"""The sparse mixture of experts: a router picks A of E feed-forward layers for each token.

Source: arXiv:2401.04088, section 2.1: y = Σ softmax(TopA(x · W_g))_i · SwiGLU_i(x).
"""

from __future__ import annotations

from localmix.model.ops import Activation, PlanBuilder
from localmix.model.weights import Mixture


def mixture(
    plan: PlanBuilder, x: Activation, ffn: Mixture, i_layer: int, n_used: int
) -> Activation:
    """Describe the router and its experts, (T, D) -> (T, D)."""
    experts, shares = plan.route(x, ffn.ffn_gate_inp, i_layer, n_used)  # (T, A) each
    return plan.mix_experts(x, experts, shares, ffn.experts)
