"""No kernel reads or writes outside its memory: all of it stands at the border of a page of none.

A process that touches that page dies, so the checks run in processes of their own, which say what
they are about to do.
"""

import ctypes
import mmap
import sys
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from support.kernels import (
    ALL,
    BESIDES,
    FLOATS,
    TIERS,
    Columns,
    K,
    Workbench,
    load,
    matmul_of,
    multiply,
    possible_tiers,
    random_rows,
    run_python,
)
from support.models import Shape, write_model

from localmix.cache import Batch, RingCache
from localmix.execute import buffers
from localmix.execute.buffers import SLACK_BYTES, Buffer
from localmix.execute.native import NativeExecutor
from localmix.gguf import GGUFFile, Tensor
from localmix.kernels.layout import LINE
from localmix.model.config import ModelConfig
from localmix.model.transformer import describe
from localmix.model.weights import Weights
from localmix.quant.formats import format_by_name

LOWER_TIERS_RUN = ("Q4_1", "Q8_0", "Q4_K", "Q6_K")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="mprotect is not Windows'")


def check_in_a_process(*arguments):
    done = run_python(__file__, *arguments)
    last = (done.stdout.splitlines() or ["nothing"])[-1]
    assert done.returncode == 0, f"it died at: {last}\n{done.stderr}"
    assert last == "done"


@pytest.mark.parametrize("tier", TIERS)
def test_matrix_products_read_no_byte_outside_the_matrix(workbench, tier, monkeypatch):
    monkeypatch.setenv("LOCALMIX_ISA", tier)
    check_in_a_process("products", tier)


@pytest.mark.parametrize("kv", ["f32", "f16", "q8_0"])
def test_a_model_stays_inside_its_buffers_its_ring_and_its_weights(tmp_path, kv):
    check_in_a_process("model", kv, str(tmp_path / "m.gguf"))


@pytest.mark.parametrize(
    "read", ["byte_at(at + 100)", "byte_at(guarded(100, at_end=False).ctypes.data - 1)"]
)
def test_the_guard_is_one(read):
    code = f"""if True:
        from kernels.test_bounds import byte_at, guarded, say
        memory = guarded(100)
        at = memory.ctypes.data
        say(byte_at(at), byte_at(at + 99))
        {read}
        """
    done = run_python("-c", code)
    assert done.stdout == "0 0\n"
    assert done.returncode < 0


# What runs in a process of its own.


def guarded(n_bytes, at_end=True):
    """Memory whose last byte (or first) stands beside a page that may not be touched."""
    page = mmap.PAGESIZE
    n_inside = -(-n_bytes // page) * page
    memory = np.frombuffer(mmap.mmap(-1, n_inside + 2 * page), np.uint8)
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for border in (0, page + n_inside):
        assert protect(memory.ctypes.data + border, page, 0) == 0
    start = page + (n_inside - n_bytes if at_end else 0)
    return memory[start : start + n_bytes]


def byte_at(address):
    return ctypes.c_uint8.from_address(address).value


def guarded_copy(array, at_end=True):
    """The bytes of an array in such memory, with nothing behind them."""
    memory = guarded(array.nbytes, at_end)
    memory[:] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    return memory.view(array.dtype).reshape(array.shape)


def say(*words):
    print(*words, flush=True)  # noqa: T201


def check_products(tier):
    formats = ALL if tier == possible_tiers()[0] else LOWER_TIERS_RUN
    loaded = load((*map(matmul_of, formats), *BESIDES))
    rng = np.random.default_rng(0)
    for name in formats:
        n_ins = (256, 768) if name in K else (48, 96, 608) if name in FLOATS else (32, 96, 608)
        for n_in in n_ins:
            bench = Workbench(loaded, lambda n_bytes: guarded(n_bytes + SLACK_BYTES))
            for n_out in (1, 31, 77):
                raw = random_rows(rng, name, n_out, n_in)
                matrices = [guarded_copy(raw, at_end) for at_end in (True, False)]
                for n in (1, 2, 5, 20):
                    say(tier, name, f"{n_out} x {n_in}, {n} columns")
                    x = rng.standard_normal((n, n_in)).astype(np.float32)
                    columns = Columns(bench, name, x)
                    last, first = (multiply(bench, name, matrix, columns) for matrix in matrices)
                    assert np.array_equal(last, first)
                    assert np.isfinite(last).all()
                    multiply(bench, name, [tuple(matrices)], columns)


class GuardedArena(buffers.Arena):
    """Each buffer ends, with the slack that it may count on, at such a page."""

    def reserve(self, n_bytes):
        memory = guarded(-(-n_bytes // LINE) * LINE + SLACK_BYTES)
        self._kept.append(memory)
        return Buffer(memory.ctypes.data, n_bytes)


def check_model(kv, path):
    """A model with every format in it: batches of one row, of a few, of many, and of many more."""
    buffers.Arena.reserve = GuardedArena.reserve
    shape = Shape(dim=256, hidden_dim=512, n_heads=4, n_kv_heads=2, n_experts=3, window=20)
    write_model(path, shape)
    file = GGUFFile.open(path)
    config = ModelConfig.from_metadata(file.metadata)
    rng, n_matrices = np.random.default_rng(1), count()
    tensors = {}
    for name, tensor in file.tensors.items():
        if len(tensor.shape) > 1 and "gate_inp" not in name:
            n_in, n_rows = tensor.shape[-1], int(np.prod(tensor.shape[:-1]))
            format_ = ALL[next(n_matrices) % len(ALL)]
            raw = random_rows(rng, format_, n_rows, n_in).reshape(-1)
            tensor = Tensor(name, format_by_name(format_), tensor.shape, raw)
        tensors[name] = replace(tensor, raw=guarded_copy(tensor.raw))
    assert next(n_matrices) >= len(ALL)
    executor = NativeExecutor(describe(config, Weights.from_tensors(tensors, config)), 2, kv)
    cache = RingCache(config, n_ctx=400, n_chunk=100, n_sequences=2, kv=kv)
    cache.keys, cache.values = guarded_copy(cache.keys), guarded_copy(cache.values)
    start = 0
    for n in (1, 8, 9, 40, 100, 1, 33):
        say(f"a batch of {n} rows, {kv}")
        batches = [Batch.of(rng.integers(3, 300, n), start, sequence=s) for s in (0, 1)]
        executor.run(Batch.join(*batches) if n < 50 else batches[0], cache)
        start += n


if __name__ == "__main__":
    check, *arguments = sys.argv[1:]
    {"products": check_products, "model": check_model}[check](*arguments)
    say("done")
