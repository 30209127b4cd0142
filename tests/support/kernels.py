"""Compiled kernels at work on NumPy arrays: memory, records and states as the executor makes them.

What lies behind an array is filled with NaN, and must neither change nor be heard of.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from localmix.execute.buffers import SLACK_BYTES
from localmix.kernels import isa, library
from localmix.kernels.layout import (
    FEW,
    LINE,
    RECORD_WORDS,
    STATE_WORDS,
    STRIP,
    Finish,
    Matmul,
    Pack,
    Quantize,
    QuantizedRow,
    RowRecord,
    State,
    Tile,
)
from localmix.quant import dequantize
from localmix.quant.formats import FORMATS, format_by_name

FLOATS = ("F32", "F16", "BF16")
SMALL = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4")
K = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS")
ALL = (*SMALL, *K, *FLOATS)
assert set(ALL) == set(FORMATS)

ACTIVATIONS = ("quantize", "pack_32", "pack_256", "pack_floats")
ATTENTION = tuple(f"{verb}_{kv}" for verb in ("place", "attend") for kv in ("f32", "f16", "q8_0"))
THREADS = ("walk", "work", "announce")
BESIDES = (*ACTIVATIONS, "rotate", "route", "combine")
"""Small kernels, compiled together: most of the time it takes is that of starting."""
JUNK = 255
"""A byte: four of them are a NaN, eight the number −1."""


def matmul_of(name):
    """The kernel that multiplies a format."""
    return f"matmul_{name.lower()}"


KERNELS = (*map(matmul_of, ALL), *BESIDES, *ATTENTION, *THREADS)


def form_of(name):
    """The form of activations that a format multiplies."""
    return "floats" if name in FLOATS else "32" if name in SMALL else "256"


def possible_tiers():
    """Names of the tiers that this machine has, best first."""
    return [tier.name for tier in isa.possible_on(library.host_features())]


def load(names):
    """Load kernels, once for all tests that ask for the same ones of the same tier."""
    return _loaded(tuple(names), os.environ.get("LOCALMIX_ISA"), os.environ["LOCALMIX_CACHE"])


TIERS = [
    pytest.param(tier, marks=pytest.mark.slow if tier == "avxvnni" else ())
    for tier in possible_tiers()
]
"""Tiers of this machine as parameters; one that only differs from the best by its width is slow."""


@cache
def _loaded(names, tier, folder):
    return library.load(names)


class Workbench:
    """Memory that kernels work in, and the kernels.

    Attributes:
        tier: what they were compiled for.
        scratch: bytes that kernels work in; junk at first, and then what the last kernel left.
    """

    def __init__(self, loaded, room=None):
        """`room` makes memory for n bytes and SLACK_BYTES behind them; None: anywhere."""
        self.library, self.tier = loaded, loaded.machine.tier
        self._room = room or _anywhere
        self._ends = []
        self.scratch = self.room(1 << 20, dtype=np.uint8)

    def room(self, *shape, dtype=np.float32):
        """Make an array full of junk with junk behind it."""
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = self._room(n_bytes)
        memory[:] = JUNK
        self._ends.append(memory[n_bytes:])
        return memory[:n_bytes].view(dtype).reshape(shape)

    def copy(self, array, dtype=None):
        """Put an array into such memory."""
        array = np.asarray(array, dtype)
        room = self.room(*array.shape, dtype=array.dtype)
        room[...] = array
        return room

    def run(self, kernel, fields, n_chunks, state=None, **operands):
        """Run the chunks of one step, the last one first; then look behind all arrays."""
        record = np.zeros(RECORD_WORDS, np.int64)
        for name, value in operands.items():
            place = getattr(fields, name)
            if isinstance(value, float):
                record[place : place + 1].view(np.float32)[0] = value
            else:
                record[place] = value.ctypes.data if isinstance(value, np.ndarray) else value
        state = state_of() if state is None else state
        function = self.library.function(kernel)
        for chunk in reversed(range(n_chunks)):
            function(record.ctypes.data, state.ctypes.data, chunk, self.scratch.ctypes.data)
        assert all((end == JUNK).all() for end in self._ends), f"{kernel} wrote behind an array"


def _anywhere(n_bytes):
    memory = np.empty(n_bytes + SLACK_BYTES + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + n_bytes + SLACK_BYTES]


def state_of(**values):
    """A state; arrays stand for their addresses."""
    state = np.zeros(STATE_WORDS, np.int64)
    for name, value in values.items():
        value = value.ctypes.data if isinstance(value, np.ndarray) else value
        state[getattr(State, name)] = value
    return state


def random_rows(rng, name, n_rows, n_in):
    """Rows of random blocks under scales of either sign: (n_rows, bytes of a row) uint8."""
    block = format_by_name(name)
    n = n_rows * n_in // block.n_elements
    if name in FLOATS:
        values = rng.standard_normal(n).astype(np.float32)
        if name == "BF16":
            return (
                (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(n_rows, -1)
            )
        return values.astype(block.layout["x"]).view(np.uint8).reshape(n_rows, -1)
    raw = rng.integers(0, 256, (n, block.n_bytes), dtype=np.uint8)
    fields = raw.view(block.layout)[:, 0]
    for field in ("d", "m", "dmin"):
        if field in fields.dtype.names:
            fields[field] = rng.choice([-1, 1], n) * rng.uniform(0.01, 0.1, n)
    if "e" in fields.dtype.names:
        fields["e"] = rng.integers(118, 124, n)
    return raw.reshape(n_rows, -1)


def weights_of(raw, name):
    """Rows of blocks as float64, through the oracle: (n_rows, n_in)."""
    return dequantize(raw, name).reshape(len(raw), -1).astype(np.float64)


def quantize(bench, x, block, **more):
    """Rows of float32 as bytes with a scale for 32 or 256: (rows, bytes of a row) uint8."""
    width = x.shape[1]
    row_bytes = QuantizedRow.n_bytes(width)
    rows = bench.room(len(x), row_bytes, dtype=np.uint8)
    operands = {"X": bench.copy(x), "X_BYTES": 4 * width, "WIDTH": width, "ROW_BYTES": row_bytes}
    operands |= {f"BYTES_{block}": rows, **more}
    bench.run("quantize", Quantize, len(x), **operands)
    return rows


def parts_of(rows, width, in_pairs=False):
    """The parts of quantized rows: int8 numbers, scales, scaled sums, −sums of 16 and of 32.

    Rows are there twice, and `in_pairs` reads the second copy.
    """
    n = -(-width // 256)
    both = rows[:, : 2 * n * RowRecord.BYTES].reshape(len(rows), 2, n, RowRecord.BYTES)
    records = both[:, int(in_pairs)]

    def part(start, end, dtype, per_element):
        whole = np.ascontiguousarray(records[:, :, start:end]).view(dtype)
        return whole.reshape(len(rows), -1)[:, : width // per_element]

    numbers = part(0, RowRecord.SCALES, np.int8, 1)
    if in_pairs:  # a0 b0 a1 b1, where 0 and 1 are halves of the groups a and b
        halves = records[:, :, : RowRecord.SCALES].reshape(len(rows), -1, 2, 2, 16)
        numbers = halves.swapaxes(2, 3).reshape(len(rows), -1)[:, :width].view(np.int8)
    return (
        numbers,
        part(RowRecord.SCALES, RowRecord.SUMS, np.float32, 32),
        part(RowRecord.SUMS, RowRecord.SUMS_16, np.float32, 32),
        part(RowRecord.SUMS_16, RowRecord.SUMS_32, np.int16, 16),
        part(RowRecord.SUMS_32, RowRecord.SUMS_32 + 16, np.int16, 32),
    )


def values_of(rows, width):
    """What quantized rows stand for, in float64."""
    numbers, scales, *_ = parts_of(rows, width)
    return numbers * np.repeat(scales.astype(np.float64), 32, axis=1)


class Columns:
    """Rows of activations, ready to be multiplied by a format: as the kernels take and as they are.

    Attributes:
        rows: float32 or quantized rows.
        values: what they stand for, float64.
    """

    def __init__(self, bench, name, x):
        self.bench, self.form = bench, form_of(name)
        self.width = x.shape[1]
        if self.form == "floats":
            self.rows, self.values = bench.copy(x), x.astype(np.float64)
        else:
            self.rows = quantize(bench, x, self.form)
            self.values = values_of(self.rows, self.width)

    @property
    def row_bytes(self):
        """Bytes from one row to the next."""
        return self.rows.strides[0]

    @property
    def tile_bytes(self):
        """Bytes of a tile of them."""
        n = self.bench.tier.tile_columns
        return 4 * self.width * n if self.form == "floats" else Tile.n_bytes(self.width, n)

    def pack(self, groups, row_map=None):
        """Pack the columns of groups into tiles: (tiles, bytes of a tile) uint8."""
        n = int(groups[-1, 2] + -(-groups[-1, 1] // self.bench.tier.tile_columns))
        tiles = self.bench.room(n + 1, self.tile_bytes, dtype=np.uint8)
        self.bench.run(
            f"pack_{self.form}",
            Pack,
            n + 1,  # the executor asks for as many as there may be, and some do not exist
            ROWS=self.rows,
            ROW_BYTES=self.row_bytes,
            WIDTH=self.width,
            TILES=tiles,
            TILE_BYTES=self.tile_bytes,
            ROW_MAP=0 if row_map is None else row_map,
            GROUPS=groups,
            N_GROUPS=len(groups),
        )
        return tiles


def groups_of(bench, counts):
    """Groups of columns that follow one another: (n_groups, 3) int64."""
    tiles = [-(-count // bench.tier.tile_columns) for count in counts]
    starts = [np.cumsum([0, *numbers])[:-1] for numbers in (counts, tiles)]
    return bench.copy(np.stack([starts[0], counts, starts[1]], axis=1), np.int64)


def multiply(bench, name, matrices, columns, **options):
    """Run a matrix product through the kernels.

    Args:
        bench: the workbench.
        name: format of the matrices.
        matrices: for each group, rows of blocks or a pair of those; or just one matrix.
        columns: `Columns`.
        options: `counts` of columns in each group (default: one group of all), `row_map`
            (column -> row), `out` to finish into, `bias`, `finish`, `is_few`, `chunk_rows`.

    Returns:
        (columns, n_out) float32.
    """
    matrices = [matrices] if isinstance(matrices, np.ndarray) else matrices
    pairs = [pair if isinstance(pair, tuple) else (pair, None) for pair in matrices]
    counts = options.get("counts", [len(columns.rows)])
    is_few = options.get("is_few", sum(counts) <= FEW)
    first = next(matrix for matrix, _ in pairs if matrix is not None)
    n_out, n_in = len(first), columns.width
    groups, row_map = groups_of(bench, counts), options.get("row_map")
    row_map = None if row_map is None else bench.copy(row_map, np.int64)
    # Few columns are never packed: what tiles hold then is what an earlier batch left there.
    tiles = (
        bench.room(1, columns.tile_bytes, dtype=np.uint8)
        if is_few
        else columns.pack(groups, row_map)
    )
    out = bench.copy(options["out"]) if "out" in options else bench.room(sum(counts), n_out)
    chunk_rows = options.get("chunk_rows", 2 * STRIP) if is_few else STRIP
    addresses = [[0 if m is None else m.ctypes.data for m in pair] for pair in pairs]
    bench.run(
        matmul_of(name),
        Matmul,
        len(counts) * -(-n_out // chunk_rows),
        state_of(FEW_ROWS=int(is_few)),
        WEIGHTS=bench.copy(addresses, np.int64),
        N_GROUPS=len(counts),
        GROUPS=groups,
        N_OUT=n_out,
        N_IN=n_in,
        ROW_BYTES=first.shape[1],
        ROWS=columns.rows,
        X_ROW_BYTES=columns.row_bytes,
        ROW_MAP=0 if row_map is None else row_map,
        TILES=tiles,
        TILE_BYTES=columns.tile_bytes,
        OUT=out,
        OUT_BYTES=4 * n_out,
        BIAS=bench.copy(options["bias"]) if "bias" in options else 0,
        FINISH=options.get("finish", Finish.STORE),
        CHUNK_ROWS_FEW=chunk_rows,
        CHUNK_ROWS_MANY=STRIP,
    )
    return out


def run_python(*arguments, **environment):
    """Run Python in a process of its own, on the localmix and the tests of this one."""
    import localmix

    folders = [Path(localmix.__file__).parents[1], Path(__file__).parents[1]]
    paths = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        cwd=folders[0],
        capture_output=True,
        text=True,
        check=False,
    )


def assembly_of(folder, names, tier, cpu, features, triple):
    """Compile kernels for any CPU and return their assembly by name."""
    arguments = [str(folder), tier, cpu, features, triple, *names]
    done = run_python("-m", "localmix.kernels.build", *arguments, LOCALMIX_ASM="1")
    assert done.returncode == 0, f"{tier}: {done.stdout.split()} were made, then: {done.stderr}"
    return {name: (folder / f"{name}.s").read_text(encoding="utf-8") for name in names}
