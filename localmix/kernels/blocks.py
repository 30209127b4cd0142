"""Block formats as kernels read them: a block's numbers as vectors of 32 bytes, and its scales.

The layouts stand in `localmix/quant`, whose decoders are the oracle. A format is two or three
functions here (`small_blocks.py`, `k_blocks.py`); the products of vectors and matrices are made
from them once for all formats (`rows.py`, `panel.py`, `expand.py`).

A weight is `scale · q + offset`, with a scale for each group of 16 or 32 weights:

    small blocks (32)    numbers(block), scale(block), offset(block); scales(block) and
                         offsets(block) of eight blocks that follow one another
    K-blocks (256)       numbers(block): eight vectors · factors(block): d and dmin
                         scales(block), minima(block): an int16 for each group, 8 or 16
                         weight = d · scale · q − dmin · minimum

In most formats the offset is a constant number of steps: q − 8 in Q4_0. They name it `zero`, and
`zero` times the scale takes the place of the minimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SmallBlock:
    """A format of 32 weights a block.

    Attributes:
        highest: largest |q|, which says how many products fit in int16.
        zero: steps that are subtracted from q; None: the format has an offset of its own.
    """

    name: str
    n_bytes: int
    highest: int
    zero: int | None
    signed: bool
    numbers: Callable[..., Any]
    scale: Callable[..., Any]
    scales: Callable[..., Any]
    offset: Callable[..., Any] | None = None
    offsets: Callable[..., Any] | None = None


@dataclass(frozen=True)
class KBlock:
    """A format of 256 weights a block; `group` weights share a scale."""

    name: str
    n_bytes: int
    highest: int
    zero: int | None
    signed: bool
    group: int
    numbers: Callable[..., Any]
    scales: Callable[..., Any]
    factors: Callable[..., Any]
    minima: Callable[..., Any] | None = None


@dataclass(frozen=True)
class FloatFormat:
    """A format without blocks; 16 weights are widened at a time."""

    name: str
    n_bytes: int
    widen: Callable[..., Any]
