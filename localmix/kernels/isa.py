"""Tiers of instruction sets: what a CPU can do, and the register tile that suits it.

Everything that differs between CPUs is the int8 dot product (`dot.py` emits it) and the numbers in
the table below. A tier is chosen from the features that LLVM reports, so an instruction that a CPU
lacks is never compiled for it: LLVM would abort the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from localmix.errors import LocalmixError

Tile = tuple[int, int]


@dataclass(frozen=True)
class Tier:
    """One level of a CPU family.

    Attributes:
        name: as in LOCALMIX_ISA.
        dot: how four products of bytes are summed, see `dot.py`.
        needs: features of LLVM that a CPU must have.
        lane_bytes: bytes of a register that the matrix product uses.
        tile_rows: registers of weight rows in a register tile, each lane_bytes / 4 rows.
        tile_columns: tokens in a register tile.
        step: bytes of one row that a dot instruction takes at once.
    """

    name: str
    dot: str
    needs: frozenset[str]
    lane_bytes: int
    tile_rows: int
    tile_columns: int
    step: int = 4

    @property
    def label(self) -> str:
        """Name and tile, for folders of compiled code: `avx512-2x4`."""
        return f"{self.name}-{self.tile_rows}x{self.tile_columns}"

    @property
    def tile(self) -> Tile:
        """Rows of registers, and columns."""
        return self.tile_rows, self.tile_columns

    def with_tile(self, tile: Tile) -> Tier:
        """The same tier with another register tile.

        Raises:
            LocalmixError: kernels cannot have such a tile.
        """
        if tile != self.tile and tile not in OTHER_TILES[self.name]:
            raise LocalmixError(f"{self.name} has no tile {tile}", "localmix tune MODEL --forget")
        return replace(self, tile_rows=tile[0], tile_columns=tile[1])

    @property
    def lanes(self) -> int:
        """32-bit lanes of a register."""
        return self.lane_bytes // 4

    @property
    def panel_rows(self) -> int:
        """Weight rows of a register tile."""
        return self.tile_rows * self.lanes

    @property
    def head_lanes(self) -> int:
        """Elements of a head that attention of one row keeps in a vector."""
        return 16 if self.lane_bytes == 64 else 8

    @property
    def heads_together(self) -> int:
        """Query heads that attention of one row computes side by side."""
        return 4 if self.lane_bytes == 64 else 2

    @property
    def queries(self) -> int:
        """Queries that attention keeps in the lanes of a vector."""
        return 32 if self.lane_bytes == 64 else 16


_AVX2 = frozenset({"avx2", "fma", "f16c"})
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"})

TIERS = (
    Tier("avx512", "vpdpbusd", _AVX2 | _AVX512, 64, 2, 4),
    Tier("avxvnni", "vpdpbusd", _AVX2 | {"avxvnni"}, 32, 2, 3),
    Tier("avx2", "maddubs", _AVX2, 32, 1, 4),
    Tier("i8mm", "smmla", frozenset({"neon", "dotprod", "i8mm", "fullfp16"}), 16, 2, 6, step=8),
    Tier("neon", "sdot", frozenset({"neon", "dotprod"}), 16, 2, 6),
    Tier("generic", "plain", frozenset(), 16, 2, 2),
)
"""Best first; a CPU gets the first one whose needs it meets."""

OTHER_TILES: Mapping[str, tuple[Tile, ...]] = {
    "avx512": ((1, 8), (2, 6), (2, 3)),
    "avxvnni": ((1, 4), (1, 6), (2, 4)),
    "avx2": ((1, 3), (2, 3), (1, 6)),
    "i8mm": ((2, 4), (4, 2)),
    "neon": ((2, 4), (4, 2), (1, 8)),
    "generic": (),
}
"""What `localmix tune` tries beside the tile of the table: CPUs of one tier differ in what they
do at once. A strip of 32 rows must be whole tiles, and sums and operands should fit the registers:
on Arm 12 sums of float32 and 12 of int32, of 32 registers; tests look at the assembly of each tile.
"""


def tier_named(name: str) -> Tier:
    """Look a tier up by its name, or by its label with a tile."""
    name, _, tile = name.partition("-")
    tier = next(tier for tier in TIERS if tier.name == name)
    if tile:
        rows, _, columns = tile.partition("x")
        tier = replace(tier, tile_rows=int(rows), tile_columns=int(columns))
    return tier


def choose(features: Mapping[str, bool], asked: str | None = None) -> Tier:
    """Choose the tier for a CPU.

    Args:
        features: what LLVM says of it, name -> present.
        asked: a lower tier by name, from LOCALMIX_ISA; None: the best.

    Raises:
        LocalmixError: the CPU lacks what the tier that was asked for needs.
    """
    possible = possible_on(features)
    if asked is None:
        return possible[0]
    for tier in possible:
        if tier.name == asked:
            return tier
    names = ", ".join(tier.name for tier in possible)
    raise LocalmixError(
        f"this machine cannot run the tier {asked!r}", f"set LOCALMIX_ISA to one of: {names}"
    )


def possible_on(features: Mapping[str, bool]) -> list[Tier]:
    """List the tiers that a CPU can run, the best first."""
    has = _present(features)
    return [tier for tier in TIERS if tier.needs <= has]


def found_on(features: Mapping[str, bool]) -> list[str]:
    """Name what a CPU has of all that any tier needs."""
    has = {name for name, present in features.items() if present}
    return sorted(has & frozenset().union(*(tier.needs for tier in TIERS)))


def above(tier: Tier, features: Mapping[str, bool]) -> tuple[Tier, list[str]] | None:
    """Give the next better tier of the CPU's family, and what the CPU lacks for it.

    None: there is no better one.
    """
    has = _present(features)
    family = [other for other in TIERS if ("neon" in other.needs) == ("neon" in has)]
    better = [other for other in family if TIERS.index(other) < TIERS.index(tier)]
    if not better:
        return None
    return better[-1], sorted(better[-1].needs - has)


def _present(features: Mapping[str, bool]) -> set[str]:
    has = {name for name, present in features.items() if present}
    if has >= _AVX512:
        has.add("avxvnni")  # the 256-bit form of the same instruction, in another encoding
    return has


def features_for(tier: Tier, host: Mapping[str, bool]) -> str:
    """LLVM's feature string for compiling a tier on a host: what the tier lacks is switched off.

    A lower tier so makes the code that a lesser CPU would run.
    """
    allowed = set(host)
    wide = ("avx512", "avx10", "amx", "evex512")
    if tier.name == "avx2":
        allowed = {name for name in host if not name.startswith((*wide, "avxvnni"))}
    elif tier.name == "avxvnni" and host.get("avxvnni"):
        allowed = {name for name in host if not name.startswith(wide)}
    elif tier.name == "neon":
        allowed -= {"i8mm"}
    elif tier.name == "generic":
        allowed = {
            name for name in host if name.startswith(("sse", "64bit", "cx", "neon", "fp-armv8"))
        }
        allowed -= {"sse3", "ssse3", "sse4.1", "sse4.2", "sse4a"}
    flags = [("+" if present and name in allowed else "-") + name for name, present in host.items()]
    if "sse2" in host:
        # GFNI's way to shift bytes keeps the units busy that multiply: Zen 4 decodes slower so.
        flags += ["-gfni", "-prefer-256-bit"]
    return ",".join(flags)
