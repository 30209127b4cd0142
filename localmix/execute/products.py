"""Steps around matrix products: a value becomes bytes, is packed, meets matrices.

A value is quantized once for all matrices that multiply it: q, k and v share it, and so do gate and
up, and all experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from localmix.execute.buffers import Arena, Buffer
from localmix.execute.tape import Sizes, Tape
from localmix.gguf import Tensor
from localmix.kernels.isa import Tier
from localmix.kernels.layout import FEW, STRIP, Finish, Matmul, Pack, Quantize, QuantizedRow, Tile
from localmix.model import ops

FLOAT_FORMATS = ("F32", "F16", "BF16")

CHUNKS_PER_THREAD = 8
"""Chunks of a decoding matrix product per thread: enough to even out cores of unequal speed."""


@dataclass(frozen=True)
class Columns:
    """Rows of activations as the columns of a matrix product, in groups.

    Attributes:
        groups: (n_groups, 3) int64 in memory: first column, how many, first tile.
        most: columns at most.
        per_row: columns for each row of the batch: 1, or A where rows meet several experts.
        are_wanted: they are the rows whose logits are wanted, not all rows.
        row_map: column -> row, in memory; None: the same number.
    """

    groups: Buffer
    n_groups: int
    most: int
    per_row: int = 1
    are_wanted: bool = False
    row_map: Buffer | None = None

    def count(self, sizes: Sizes) -> int:
        """Columns in a batch."""
        return (sizes.n_wanted if self.are_wanted else sizes.n_rows) * self.per_row

    def n_tiles(self, sizes: Sizes, n_columns: int) -> int:
        """Tiles to pack; none if a batch is short enough to do without."""
        if sizes.is_few or self.count(sizes) <= FEW:
            return 0
        return self.most_tiles(self.count(sizes), n_columns)

    def most_tiles(self, n: int, n_columns: int) -> int:
        """Tiles that n columns fill at most: each group may end with one that is not full."""
        return -(-n // n_columns) + self.n_groups - 1


@dataclass
class Input:
    """A value on its way into matrix products.

    Attributes:
        forms: rows "floats", "32" or "256" (bytes with a scale for so many), as formats want them.
        tiles: (form, groups) -> the same, packed for many columns.
    """

    width: int
    rows: Columns
    forms: dict[str, Buffer]
    tiles: dict[tuple[str, Buffer], Buffer] = field(default_factory=dict)


def form_of(tensor: Tensor) -> str:
    """The form of activations that a matrix multiplies."""
    return "floats" if tensor.format.name in FLOAT_FORMATS else str(tensor.format.n_elements)


class Products:
    """Appends the steps around matrix products: quantize, pack, multiply."""

    def __init__(self, arena: Arena, tape: Tape, tier: Tier, n_threads: int) -> None:
        self._arena = arena
        self._tape = tape
        self._n_columns = tier.tile_columns
        self._n_threads = n_threads
        self._norms: dict[Tensor, Buffer] = {}

    def quantize(
        self,
        x: Buffer,
        width: int,
        rows: Columns,
        forms: set[str],
        norm: ops.RmsNorm | None = None,
        source: Buffer | None = None,
    ) -> Input:
        """Make the forms of a value; with a norm, of the normalised value.

        Args:
            x: rows of float32.
            width: elements of a row.
            rows: which rows come out.
            forms: which forms.
            norm: its weight and eps.
            source: row numbers of x, in memory; None: as they come.
        """
        row_bytes = QuantizedRow.n_bytes(width)
        sizes = {"floats": 4 * width, "32": row_bytes, "256": row_bytes}
        made = {form: self._arena.take(rows.most * sizes[form]) for form in sorted(forms)}
        if norm is None and "floats" in forms:
            self._arena.give_back(made["floats"])
            made["floats"] = x
        computed = {form: buffer for form, buffer in made.items() if buffer is not x}
        if computed:
            self._tape.add(
                "quantize",
                rows.count,
                lambda sizes: 20 * width,
                reads=(x, *([source] if source else [])),
                writes=tuple(computed.values()),
                fields=Quantize,
                X=x,
                X_BYTES=4 * width,
                WIDTH=width,
                ROW_MAP=source or 0,
                NORM=self.floats(norm.weight) if norm else 0,
                EPS=float(norm.eps) if norm else 0.0,
                FLOATS=computed.get("floats", 0),
                BYTES_32=computed.get("32", 0),
                BYTES_256=computed.get("256", 0),
                ROW_BYTES=row_bytes,
            )
        return Input(width, rows, made)

    def floats(self, tensor: Tensor) -> Buffer:
        """A small tensor, such as a norm's weight, as float32 in memory of ours."""
        if tensor not in self._norms:
            self._norms[tensor] = self._arena.keep(tensor.to_float32())
        return self._norms[tensor]

    def multiply(
        self,
        x: Input,
        columns: Columns,
        matrices: Sequence[tuple[Tensor | None, Tensor | None]],
        out: Buffer,
        finish: int = Finish.STORE,
        bias: Tensor | None = None,
    ) -> int:
        """Multiply the columns of each group with a matrix, or two; return the number of the step.

        Args:
            x: the value.
            columns: which of its rows, in groups.
            matrices: for each group a matrix (N, width) and None, or gate and up; a group without
                a matrix is left out. All of one format and shape.
            out: (columns, N) float32.
            finish: what becomes of the product.
            bias: (N,), added first.
        """
        tensor = next(first for first, _ in matrices if first is not None)
        n_out, n_in = tensor.shape
        form = form_of(tensor)
        tiles, tile_bytes = self._pack(x, columns, form)
        step = STRIP * self._n_threads * CHUNKS_PER_THREAD
        chunk_rows = STRIP * max(1, columns.n_groups * n_out // step)
        addresses = [[part.raw.ctypes.data if part else 0 for part in pair] for pair in matrices]
        several = [1 if up is None else 2 for _, up in matrices]

        def rows_of_chunk(sizes: Sizes) -> int:
            return chunk_rows if sizes.is_few else STRIP

        return self._tape.add(
            f"matmul_{tensor.format.name.lower()}",
            lambda sizes: columns.n_groups * -(-n_out // rows_of_chunk(sizes)),
            lambda sizes: (
                2
                * max(several)
                * n_in
                * rows_of_chunk(sizes)
                * columns.count(sizes)
                // columns.n_groups
            ),
            reads=(
                x.forms[form],
                tiles,
                columns.groups,
                *([out] if finish != Finish.STORE else []),
            ),
            writes=(out,),
            fields=Matmul,
            WEIGHTS=self._arena.keep(np.array(addresses, np.int64)),
            N_GROUPS=columns.n_groups,
            GROUPS=columns.groups,
            N_OUT=n_out,
            N_IN=n_in,
            ROW_BYTES=tensor.n_bytes // n_out,
            ROWS=x.forms[form],
            X_ROW_BYTES=4 * n_in if form == "floats" else QuantizedRow.n_bytes(n_in),
            ROW_MAP=columns.row_map or 0,
            TILES=tiles,
            TILE_BYTES=tile_bytes,
            OUT=out,
            OUT_BYTES=4 * n_out,
            BIAS=self.floats(bias) if bias else 0,
            FINISH=finish,
            CHUNK_ROWS_FEW=chunk_rows,
            CHUNK_ROWS_MANY=STRIP,
        )

    def _pack(self, x: Input, columns: Columns, form: str) -> tuple[Buffer, int]:
        """Pack columns into tiles, once for all matrices that want the same."""
        is_float = form == "floats"
        n = self._n_columns
        tile_bytes = 4 * x.width * n if is_float else Tile.n_bytes(x.width, n)
        key = (form, columns.groups)
        if key not in x.tiles:
            x.tiles[key] = self._arena.take(columns.most_tiles(columns.most, n) * tile_bytes)
            self._tape.add(
                "pack_floats" if is_float else f"pack_{form}",
                lambda sizes: columns.n_tiles(sizes, n),
                lambda sizes: 4 * n * x.width,
                reads=(x.forms[form], columns.groups),
                writes=(x.tiles[key],),
                fields=Pack,
                ROWS=x.forms[form],
                ROW_BYTES=4 * x.width if is_float else QuantizedRow.n_bytes(x.width),
                WIDTH=x.width,
                TILES=x.tiles[key],
                TILE_BYTES=tile_bytes,
                ROW_MAP=columns.row_map or 0,
                GROUPS=columns.groups,
                N_GROUPS=columns.n_groups,
            )
        return x.tiles[key], tile_bytes
