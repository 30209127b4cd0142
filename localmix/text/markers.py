"""What special tokens look like, for files that say too little about theirs.

Sources: llama.cpp's `special_eog_ids` in src/llama-vocab.cpp; SentencePiece's names of byte pieces.
"""

import re
from collections.abc import Container

# Pieces that end an answer in every model that has them.
END_PIECES = frozenset(
    {
        "<|im_end|>",  # ChatML, Qwen
        "<|eot_id|>",  # Llama 3
        "<|eom_id|>",  # Llama 3.1, before a tool runs
        "<|endoftext|>",  # GPT-2, Falcon, Qwen, Phi
        "<|end_of_text|>",  # Llama 3 base, Granite
        "<|end|>",  # Phi 3
        "<end_of_turn>",  # Gemma
        "<|return|>",  # gpt-oss
        "<|call|>",  # gpt-oss
        "<|calls|>",  # Solar
        "<|flush|>",  # Solar
        "<EOT>",  # CodeLlama 70B and others
        "_<EOT>",
        "<｜end▁of▁sentence｜>",  # DeepSeek
        "<end_of_utterance>",  # SmolDocling
        "<|fim_pad|>",  # Qwen coder: the next three end a completion in the middle of a file
        "<|repo_name|>",
        "<|file_sep|>",
    }
)

_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_MARKER = re.compile(r"<.+>|\[.+\]|.*(<[|｜]|[|｜]>).*", re.DOTALL)


def is_byte_piece(piece: str) -> bool:
    """Say whether a piece is spelled like a SentencePiece byte: `<0x0A>`."""
    return _BYTE_PIECE.fullmatch(piece) is not None


def byte_of(piece: str) -> bytes | None:
    """Return the byte that `<0x0A>` stands for, None for every other piece."""
    match = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(match[1], 16)]) if match else None


def looks_like_marker(piece: str) -> bool:
    """Say whether a piece is made to be no text: `<s>`, `[INST]`, `<|im_start|>user`."""
    return _MARKER.fullmatch(piece.strip(" \n\t_▁")) is not None


def not_an_end(pieces: Container[str]) -> set[str]:
    """Return the end pieces that do not end an answer in this vocabulary.

    In the harmony format of gpt-oss (and in Solar's) `<|end|>` closes one message of several.
    """
    harmony = "<|return|>" in pieces and "<|call|>" in pieces
    solar = "<|flush|>" in pieces and ("<|call|>" in pieces or "<|calls|>" in pieces)
    return {"<|end|>"} if harmony or solar else set()
