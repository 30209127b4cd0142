"""Perplexity by llama.cpp, through llama-cpp-python: its own ids, its own logits, plain formulas.

Runs under the interpreter that has llama-cpp-python and imports nothing of localmix. The chunks and
the formulas are those of llama.cpp's tools/perplexity/perplexity.cpp, `perplexity`, written down
place by place; that program itself is in no wheel.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp as llama
import numpy as np

from compare.llama_worker import LlamaModel, Log
from compare.protocol import Answer, Message, serve

if TYPE_CHECKING:
    from numpy.typing import NDArray


def start(config: Message) -> tuple[Message, Answer]:
    """Load the model; requests have `path`, `n_ctx` and `n_chunks` (None: all)."""
    log = Log()
    llama.llama_backend_init()
    model = LlamaModel(config, log)

    def answer(request: Message) -> Message:
        text = Path(request["path"]).read_bytes().removesuffix(b"\n")
        ids = tokenize(model.vocab, text)
        n_ctx = request["n_ctx"]
        n_chunks = min(len(ids) // n_ctx, request["n_chunks"] or len(ids))
        context = model.new_context(n_ctx, flash=None)
        nll = []
        for i in range(n_chunks):
            chunk = ids[i * n_ctx : (i + 1) * n_ctx]
            if llama.llama_vocab_get_add_bos(model.vocab):
                chunk[0] = llama.llama_vocab_bos(model.vocab)
            context.rewind(0)
            context.feed(chunk, all_logits=True)
            logits = context.logits()
            nll += [-log_p(logits[j], chunk[j + 1]) for j in range(n_ctx // 2, n_ctx - 1)]
        context.free()
        mean = sum(nll) / len(nll)
        spread = sum(value * value for value in nll) / len(nll) - mean * mean
        ppl = math.exp(mean)
        error = math.sqrt(spread / (len(nll) - 1)) * ppl
        return {"ids": ids, "n_chunks": n_chunks, "perplexity": ppl, "uncertainty": error}

    return {"version": llama.__version__}, answer


def tokenize(vocab: Any, text: bytes) -> list[int]:
    """Ids of a text with BOS if the model adds it; control tokens stay text."""
    n_room = 3 * len(text) + 16  # a space becomes a piece of three bytes; BOS, and a first space
    room = (llama.llama_token * n_room)()
    n = llama.llama_tokenize(vocab, text, len(text), room, n_room, True, False)
    if n < 0:
        raise RuntimeError(f"the text has {-n} ids, more than expected")
    return list(room[:n])


def log_p(logits: NDArray[np.float32], token: int) -> float:
    """The logarithm of a token's probability."""
    wide = logits.astype(np.float64)
    highest = wide.max()
    return float(wide[token] - highest - np.log(np.exp(wide - highest).sum()))


if __name__ == "__main__":
    serve(start)
