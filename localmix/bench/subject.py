"""The model that is measured, and what a machine allows it at best."""

from __future__ import annotations

from dataclasses import dataclass

from localmix.bench.cost import TokenCost
from localmix.bench.limits import Machine
from localmix.bench.predict import peak_gop_s


@dataclass(frozen=True)
class Subject:
    """What was measured, as far as a report names it.

    Attributes:
        isa: tier of the kernels; None for the reference executor, which has none.
        kv: type of the cached keys and values.
        weights: "mapped" or "resident", as they were asked for.
        reads_blocks: the executor multiplies the file's own blocks.
        load_s: seconds of loading, those of compiling among them.
        jit_s: seconds of compiling; 0 when the kernels were there, or there are none.
        window: positions that a token attends to at most; None: all.
        power: percent of the time that work could take.
    """

    name: str
    path: str
    architecture: str
    file_bytes: int
    n_parameters: int
    quantization: str
    executor: str
    isa: str | None
    threads: int
    kv: str
    weights: str
    reads_blocks: bool
    load_s: float
    jit_s: float
    window: int | None
    cost: TokenCost
    power: int = 100

    def decode_bytes(self, n_positions: float) -> float:
        """Bytes that a token reads after so many positions, of which it sees one window."""
        seen = n_positions if self.window is None else min(n_positions, self.window)
        return self.cost.decode_bytes(seen)

    def prefill_gop(self, n_tokens: int) -> float:
        """10⁹ operations that a token of a prompt of so many takes."""
        return self.cost.prefill_operations(n_tokens) / n_tokens / 1e9 if n_tokens else 0.0

    def peak_gop_s(self, machine: Machine) -> float | None:
        """Give the machine's peak of the arithmetic that does most of the work; None: unknown."""
        if not self.reads_blocks:  # weights are unpacked first, then multiplied by NumPy
            return None
        return peak_gop_s(self.cost, machine)

    def prefill_ceiling(self, machine: Machine, n_tokens: int) -> float | None:
        """Tokens per second that arithmetic allows a prompt; None: its peak is not known."""
        peak, per_token = self.peak_gop_s(machine), self.prefill_gop(n_tokens)
        return peak / per_token if peak and per_token else None

    def decode_ceiling(self, machine: Machine, n_positions: float) -> float | None:
        """Tokens per second that memory allows after so many positions.

        None when the caches hold all that a token reads, or the file's blocks are not what is read.
        """
        n_bytes = self.decode_bytes(n_positions)
        if machine.holds_in_cache(n_bytes) or not self.reads_blocks or not machine.read_gb_s:
            return None
        return machine.read_gb_s * 1e9 / n_bytes
