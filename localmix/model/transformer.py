"""The forward pass, written once: token ids -> logits.

This is the pre-norm decoder of Llama 2 (arXiv:2307.09288), which Mistral 7B (arXiv:2310.06825) and
Mixtral (arXiv:2401.04088) keep: Mistral adds the sliding window, Mixtral swaps the feed-forward
layer for a mixture of experts. Nothing is computed here: the functions append ops to a plan, which
an executor runs for every batch.
"""

from __future__ import annotations

from localmix.model.attention import attention
from localmix.model.config import ModelConfig
from localmix.model.experts import mixture
from localmix.model.feed_forward import feed_forward
from localmix.model.ops import Heads, Plan, PlanBuilder
from localmix.model.rope import rotation
from localmix.model.weights import Mixture, Weights


def describe(config: ModelConfig, weights: Weights) -> Plan:
    """Describe the pass of a whole model.

    Returns:
        A plan from the tokens of a batch, T rows, to logits of the R rows that the batch wants,
        (R, V).
    """
    plan = PlanBuilder()
    turn = rotation(config, weights.rope_freqs)
    heads = Heads(config.n_heads, config.n_kv_heads, config.head_dim, config.sliding_window)

    x = plan.embed(weights.token_embd)  # (T, D)
    for i_layer, layer in enumerate(weights.layers):
        h = plan.rms_norm(x, layer.attn_norm, config.norm_eps)
        x = plan.add(x, attention(plan, h, layer, i_layer, turn, heads))
        h = plan.rms_norm(x, layer.ffn_norm, config.norm_eps)
        if isinstance(layer.ffn, Mixture):
            x = plan.add(x, mixture(plan, h, layer.ffn, i_layer, config.n_experts_used))
        else:
            x = plan.add(x, feed_forward(plan, h, layer.ffn))

    x = plan.select_rows(x)  # (R, D)
    x = plan.rms_norm(x, weights.output_norm, config.norm_eps)
    return plan.finish(plan.linear(x, weights.output))
