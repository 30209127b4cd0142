"""llama.cpp as a contestant, through llama-cpp-python's ctypes functions.

Runs under the interpreter that has llama-cpp-python and imports nothing of localmix. `repack` is
llama-bench's word for `use_extra_bufts`: the weights are copied into other layouts, where llama.cpp
has one for their format. Settings that a version of the binding lacks are reported as missing.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import llama_cpp as llama

from compare.driver import Driver
from compare.protocol import Answer, Message, serve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

N_BATCH, N_UBATCH = 2048, 512
"""llama.cpp's own defaults."""

FLASH_AUTO = -1


def has_field(struct: type[ctypes.Structure], name: str) -> bool:
    """Whether this version of the binding knows a parameter."""
    return any(field[0] == name for field in struct._fields_)


class Log:
    """Keeps what llama.cpp has to say, to be shown if something fails."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._callback = llama.llama_log_callback(self._add)  # must live as long as the library
        llama.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _add(self, level: int, text: bytes, user_data: object) -> None:
        self.lines.append(text.decode("utf-8", "replace"))
        del self.lines[:-5000]

    def find(self, pattern: str) -> str | None:
        """The first group of the last line that matches."""
        found = [match for line in self.lines if (match := re.search(pattern, line))]
        return found[-1].group(1) if found else None

    def tail(self) -> str:
        """The last lines."""
        return "".join(self.lines[-20:])


class LlamaModel:
    """A loaded model, of which contexts are made."""

    def __init__(self, config: Message, log: Log) -> None:
        self._n_threads: int = config["threads"]
        self._n_outputs: int = config["n_outputs"]
        self._log = log
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        if has_field(llama.llama_model_params, "use_extra_bufts") and config["repack"] is not None:
            params.use_extra_bufts = bool(config["repack"])
        self._model = llama.llama_model_load_from_file(os.fsencode(config["model"]), params)
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load the model:\n{log.tail()}")
        self.load_mode = log.find(r"load_mode = (\w+)")
        self.vocab = llama.llama_model_get_vocab(self._model)
        self.n_vocab = llama.llama_vocab_n_tokens(self.vocab)

    def new_context(self, n_ctx: int, flash: int | None) -> LlamaContext:
        """Make a context; flash: llama.cpp's number, 0 or 1, or −1 for its own choice."""
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, N_BATCH, N_UBATCH
        params.n_threads = params.n_threads_batch = self._n_threads
        params.type_k = params.type_v = llama.GGML_TYPE_F16
        if has_field(llama.llama_context_params, "n_outputs_max_per_seq"):
            params.n_outputs_max_per_seq = self._n_outputs
        if has_field(llama.llama_context_params, "flash_attn_type") and flash is not None:
            params.flash_attn_type = flash
        context = llama.llama_init_from_model(self._model, params)
        if not context:
            raise RuntimeError(f"llama.cpp cannot make a context:\n{self._log.tail()}")
        return LlamaContext(context, self.n_vocab)

    def auto_flash(self) -> int | None:
        """What flash attention is when llama.cpp chooses: 0 or 1; None: it did not say."""
        if not has_field(llama.llama_context_params, "flash_attn_type"):
            return None
        self.new_context(N_UBATCH, FLASH_AUTO).free()
        said = self._log.find(r"Flash Attention (?:was auto, set to )?(enabled|disabled)")
        return None if said is None else int(said == "enabled")


class LlamaContext:
    """A sequence in a context of llama.cpp."""

    def __init__(self, context: Any, n_vocab: int) -> None:
        self._context = context
        self._memory = llama.llama_get_memory(context)
        self._n_vocab = n_vocab
        self._n_rows = 0
        self.n_held = 0

    def feed(self, ids: Sequence[int], all_logits: bool = False) -> None:
        """Append ids; positions follow those that it holds, as in `llama_batch_get_one`."""
        for start in range(0, len(ids), N_BATCH):
            piece = ids[start : start + N_BATCH]
            tokens = (llama.llama_token * len(piece))(*piece)
            batch = llama.llama_batch_get_one(tokens, len(piece))
            if all_logits:
                wanted = (ctypes.c_int8 * len(piece))(*[1] * len(piece))
                batch.logits = ctypes.cast(wanted, ctypes.POINTER(ctypes.c_int8))
            code = llama.llama_decode(self._context, batch)
            if code:
                raise RuntimeError(f"llama_decode returned {code}")
            self.n_held += len(piece)
            self._n_rows = len(piece) if all_logits else 1
        llama.llama_get_logits(self._context)  # waits until they are there

    def rewind(self, n_kept: int) -> None:
        """Forget all positions but the first ones."""
        if n_kept == 0:
            llama.llama_memory_clear(self._memory, False)
        elif not llama.llama_memory_seq_rm(self._memory, 0, n_kept, -1):
            raise RuntimeError("llama.cpp cannot forget part of a sequence")
        self.n_held = n_kept

    def logits(self) -> NDArray[np.float32]:
        """What the last `feed` computed: (R, V); a feed of more than N_BATCH ids: of its end."""
        import numpy as np

        pointer = llama.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, (self._n_rows, self._n_vocab)).copy()

    def free(self) -> None:
        """Give its memory back."""
        llama.llama_free(self._context)


def start(config: Message) -> tuple[Message, Answer]:
    """Load the model; see `contestants.py` for the configuration."""
    log = Log()
    llama.llama_backend_init()
    model = LlamaModel(config, log)
    has_repack = has_field(llama.llama_model_params, "use_extra_bufts")
    features = llama.llama_print_system_info().decode()
    about = {
        "version": llama.__version__,
        "features": re.findall(r"(\w+) = 1", features),
        "load_mode": model.load_mode,
        "has_repack": has_repack,
        "default_repack": int(llama.llama_model_default_params().use_extra_bufts)
        if has_repack
        else None,
        "has_flash": has_field(llama.llama_context_params, "flash_attn_type"),
        "auto_flash": model.auto_flash(),
    }
    return about, Driver(config, model.new_context).answer


if __name__ == "__main__":
    serve(start)
