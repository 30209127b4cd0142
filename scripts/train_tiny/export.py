"""Write a checkpoint as GGUF, quantized: experts in Q6_K and Q8_0, the rest in Q8_0, norms in F32.

    python export.py /tmp/tiny-train/run_02100.pt --out ../../localmix/assets/tiny.gguf

Promises a file that any reader of Mixtral GGUF files loads: merged expert tensors, rotary pairs
interleaved, the SentencePiece vocabulary and a chat template inside. An existing file is replaced
only when the new one is complete.
"""

import argparse
import logging
from pathlib import Path

import gguf
import numpy as np
import sentencepiece as spm
import torch
from gguf import GGMLQuantizationType as Type
from model import TinyConfig

log = logging.getLogger("export")
DESCRIPTION = (
    "A Mixtral in miniature, trained from nothing on text written by scripts/train_tiny of "
    "localmix."
)
CHAT_TEMPLATE = """\
{%- if messages[0]['role'] == 'system' -%}
{%- set system = messages[0]['content'] + '\\n\\n' -%}{%- set turns = messages[1:] -%}
{%- else -%}{%- set system = '' -%}{%- set turns = messages -%}{%- endif -%}
{{- bos_token -}}
{%- for message in turns -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('user and assistant must take turns, the user first') -}}
{%- endif -%}
{%- if message['role'] == 'user' -%}
{{- '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' -}}
{%- else -%}{{- ' ' + message['content'] + eos_token -}}{%- endif -%}
{%- endfor -%}"""
Q6_K_BLOCK, Q6_K_GROUP = 256, 16


def best_scales(x: np.ndarray) -> np.ndarray:
    """Find for each group of 16 the scale of least squared error with values -32..31.

    Tries 37 scales around the one that sends the largest value to -32, then fits each by least
    squares: for fixed integers q the best scale is sum(x q) / sum(q q).

    Args:
        x: (B, 16, 16) float32, blocks of 16 groups.

    Returns:
        (B, 16) float32, signed.
    """
    largest = np.take_along_axis(x, np.abs(x).argmax(-1)[..., None], -1)[..., 0]
    safe = np.where(largest == 0, 1, largest)
    best = np.zeros_like(largest)
    gain = np.zeros_like(largest)  # the squared error that a scale removes
    for k in range(-18, 19):
        q = np.clip(np.rint(x * (-(32 + 0.25 * k) / safe)[..., None]), -32, 31)
        xq, qq = (x * q).sum(-1), np.maximum((q * q).sum(-1), 1e-9)
        better = xq * xq / qq > gain
        gain = np.where(better, xq * xq / qq, gain)
        best = np.where(better, xq / qq, best)
    return best.astype(np.float32)


def quantize_q6_k(weights: np.ndarray) -> np.ndarray:
    """Quantize rows to Q6_K: value = d * scale[group] * (q - 32), q of six bits, scale int8, d f16.

    Layout of a block, 210 bytes: low[128] four bits of each q, high[64] two bits of each, 16
    scales, d. In each half of 128 values, low byte l holds values l and l + 64, low byte l + 32
    holds l + 32 and l + 96; high byte l holds the upper bits of the values l + 0, 32, 64, 96.
    Source: block_q6_K of ggml-common.h, dequantize_row_q6_K of ggml-quants.c.

    Args:
        weights: (..., C) float32, C a multiple of 256.

    Returns:
        (..., C / 256 * 210) uint8.
    """
    x = weights.astype(np.float32).reshape(-1, Q6_K_BLOCK // Q6_K_GROUP, Q6_K_GROUP)
    wish = best_scales(x)  # (B, 16)
    top = np.take_along_axis(wish, np.abs(wish).argmax(-1)[:, None], -1)[:, 0]
    d = (top / -128).astype(np.float16)
    d32 = np.where(d == 0, 1, d.astype(np.float32))
    scales = np.clip(np.rint(wish / d32[:, None]), -128, 127).astype(np.int8)
    step = d32[:, None] * scales
    step = np.where(step == 0, 1, step)
    q = (np.clip(np.rint(x / step[..., None]), -32, 31) + 32).astype(np.uint8)
    v = q.reshape(-1, 2, 4, 32)  # block, half, quarter, l
    low = np.concatenate([(v & 15)[:, :, :2] | (v & 15)[:, :, 2:] << 4], -1).reshape(-1, 128)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    high = np.bitwise_or.reduce((v >> 4) << shifts, axis=2).reshape(-1, 64)
    blocks = np.concatenate(
        [low, high, scales.view(np.uint8), d[:, None].view(np.uint8).reshape(-1, 2)], axis=-1
    )
    return blocks.reshape(*weights.shape[:-1], -1)


def tensors(state: dict[str, torch.Tensor], n_layers: int) -> dict[str, np.ndarray]:
    """Rename the weights as GGUF names them."""
    out = {k: state[k] for k in ("token_embd.weight", "output_norm.weight", "output.weight")}
    for i in range(n_layers):
        for name in ("attn_norm", "ffn_norm"):
            out[f"blk.{i}.{name}.weight"] = state[f"blk.{i}.{name}.weight"]
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            out[f"blk.{i}.{name}.weight"] = state[f"blk.{i}.attention.{name}.weight"]
        out[f"blk.{i}.ffn_gate_inp.weight"] = state[f"blk.{i}.experts.ffn_gate_inp.weight"]
        for name in ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"):
            out[f"blk.{i}.{name}.weight"] = state[f"blk.{i}.experts.{name}"]
    return {k: v.float().numpy() for k, v in out.items()}


def type_of(name: str) -> Type:
    """Choose the format of a tensor."""
    if "norm" in name or "ffn_gate_inp" in name:
        return Type.F32
    return Type.Q6_K if "ffn_gate_exps" in name or "ffn_up_exps" in name else Type.Q8_0


def write_metadata(writer: gguf.GGUFWriter, c: TinyConfig) -> None:
    """Write the keys that Mixtral files carry, and the window."""
    writer.add_type("model")
    writer.add_name("tiny")
    writer.add_description(DESCRIPTION)
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q6_K)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(c.vocab_size)
    writer.add_context_length(c.context_length)
    writer.add_embedding_length(c.dim)
    writer.add_block_count(c.n_layers)
    writer.add_feed_forward_length(c.hidden_dim)
    writer.add_head_count(c.n_heads)
    writer.add_head_count_kv(c.n_kv_heads)
    writer.add_layer_norm_rms_eps(c.norm_eps)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.rope_base)
    writer.add_expert_count(c.n_experts)
    writer.add_expert_used_count(c.n_experts_used)
    writer.add_sliding_window(c.sliding_window)


def write_vocabulary(writer: gguf.GGUFWriter, sp: spm.SentencePieceProcessor) -> None:
    """Write pieces, scores and kinds as SentencePiece gives them, and the chat template."""
    kinds = []
    for i in range(sp.vocab_size()):
        if sp.is_unknown(i):
            kinds.append(gguf.TokenType.UNKNOWN)
        elif sp.is_control(i):
            kinds.append(gguf.TokenType.CONTROL)
        else:
            kinds.append(gguf.TokenType.BYTE if sp.is_byte(i) else gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([sp.id_to_piece(i) for i in range(sp.vocab_size())])
    writer.add_token_scores([sp.get_score(i) for i in range(sp.vocab_size())])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(sp.bos_id())
    writer.add_eos_token_id(sp.eos_id())
    writer.add_unk_token_id(sp.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def write(path: Path, state: dict[str, torch.Tensor], sp: spm.SentencePieceProcessor) -> None:
    """Write the whole file beside its place, then move it there."""
    config = TinyConfig()
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    write_metadata(writer, config)
    write_vocabulary(writer, sp)
    for name, values in tensors(state, config.n_layers).items():
        kind = type_of(name)
        if kind == Type.F32:
            writer.add_tensor(name, values)
            continue
        raw = quantize_q6_k(values) if kind == Type.Q6_K else gguf.quants.quantize(values, kind)
        error = np.square(gguf.quants.dequantize(raw, kind) - values).mean() / values.var()
        log.info("%-28s %-5s relative squared error %.2e", name, kind.name, error)
        writer.add_tensor(name, raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(path)
    log.info("%s: %d bytes", path, path.stat().st_size)


def main() -> None:
    """Export one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="+", help="several: their mean")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, default=Path("/tmp/tiny-train/tiny.model"))
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    states = [torch.load(path, map_location="cpu")["model"] for path in args.checkpoint]
    state = {k: torch.stack([s[k] for s in states]).mean(dim=0) for k in states[0]}
    write(args.out, state, spm.SentencePieceProcessor(model_file=str(args.vocabulary)))


if __name__ == "__main__":
    main()
