"""Assembly of AArch64 as functions, blocks and loops, and what stands in a loop.

Reads what LLVM writes (`machine.emit_assembly`) and what `objdump -d` prints. Loops are the natural
ones: a branch back to a block that every way into the branch has passed.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

DOTS = frozenset("sdot udot usdot smmla ummla usmmla".split())
"""Products of bytes that are added up in fours or eights."""

_LOAD, _STORE = re.compile(r"ld(?!adda|set|clr)"), re.compile(r"st(?!add|set|clr)")
_BRANCH = re.compile(r"(b|b\..+|bc\..+|cbz|cbnz|tbz|tbnz)$")
_LEAVES = frozenset("b br ret brk udf".split())
_STACK = re.compile(r"\b(sp|wsp|x29|fp)\b")
_VECTOR = re.compile(r"\b[vqdsh]\d+\b")


@dataclass(frozen=True)
class Instruction:
    """A mnemonic and its operands; `labels` are names of the place where it stands."""

    name: str
    operands: str
    labels: tuple[str, ...] = ()

    @property
    def target(self) -> str | None:
        """Label that a branch goes to."""
        if not _BRANCH.match(self.name):
            return None
        return self.operands.split(",")[-1].strip()

    @property
    def ends_block(self) -> bool:
        """Whether what follows is another block."""
        return self.target is not None or self.name in _LEAVES

    @property
    def kind(self) -> str:
        """One of dot, load, store, call, branch, vector, scalar, prefetch."""
        name = self.name
        if name in DOTS:
            return "dot"
        if name in ("bl", "blr"):
            return "call"
        if name.startswith("prf"):
            return "prefetch"
        if _LOAD.match(name) or _STORE.match(name):
            return "load" if _LOAD.match(name) else "store"
        if self.ends_block:
            return "branch"
        return "vector" if self.is_vector else "scalar"

    @property
    def is_vector(self) -> bool:
        """Whether a vector register is named, or a float32: those are the same registers."""
        return bool(_VECTOR.search(self.operands))

    @property
    def uses_stack(self) -> bool:
        """Whether memory of the function's frame is read or written, or its address is taken."""
        return bool(_STACK.search(self.operands))


@dataclass(frozen=True)
class Loop:
    """The instructions of a natural loop, those of loops inside it included.

    Attributes:
        places: numbers of its instructions in the function.
        body: those, in the order of the code.
        is_innermost: no other loop lies inside.
    """

    places: tuple[int, ...]
    body: tuple[Instruction, ...]
    is_innermost: bool

    @cached_property
    def kinds(self) -> Counter[str]:
        """How many instructions of each kind."""
        return Counter(i.kind for i in self.body)

    @cached_property
    def names(self) -> Counter[str]:
        """How many instructions of each mnemonic; those of vectors and numbers are one."""
        return Counter(i.name for i in self.body)

    @property
    def n_dots(self) -> int:
        """Dot products of vectors."""
        return self.kinds["dot"]

    @property
    def calls(self) -> list[Instruction]:
        """Calls of other functions."""
        return [i for i in self.body if i.kind == "call"]

    @property
    def on_stack(self) -> list[Instruction]:
        """What touches the frame: registers that did not suffice."""
        return [i for i in self.body if i.uses_stack]

    @property
    def vector_loads(self) -> int:
        """Loads into registers of vectors."""
        return sum(i.kind == "load" and i.is_vector for i in self.body)


@dataclass(frozen=True)
class Function:
    """A function: its instructions one after the other."""

    name: str
    body: tuple[Instruction, ...]

    @cached_property
    def loops(self) -> list[Loop]:
        """Natural loops, in the order of their first instructions."""
        blocks = _blocks(self.body)
        after = _successors(self.body, blocks)
        found = _natural_loops(after, _dominators(after))
        loops = []
        for head, members in found.items():
            is_innermost = not any(other != head and other in members for other in found)
            places = tuple(i for block in sorted(members) for i in blocks[block])
            body = tuple(self.body[i] for i in places)
            loops.append(Loop(places, body, is_innermost))
        return sorted(loops, key=lambda loop: loop.places[0])

    @property
    def innermost(self) -> list[Loop]:
        """Loops without a loop inside."""
        return [loop for loop in self.loops if loop.is_innermost]


def functions_of(text: str) -> dict[str, Function]:
    """Read assembly: functions by name, without the underscore that macOS puts first."""
    lines = _of_objdump(text) if re.search(r"^[0-9a-f]+ <.+>:$", text, re.M) else _of_llvm(text)
    functions: dict[str, list[Instruction]] = {}
    labels: list[str] = []
    current: list[Instruction] = []
    for label, name, operands in lines:
        if label.startswith("function "):
            current = functions.setdefault(label[9:], [])
            labels = []
        elif label:
            labels.append(label)
        if name:
            current.append(Instruction(name, operands, tuple(labels)))
            labels = []
    return {name: Function(name, tuple(body)) for name, body in functions.items() if body}


def _of_llvm(text: str) -> Iterator[tuple[str, str, str]]:
    """(label, mnemonic, operands) of each line that has one of them."""
    for line in text.splitlines():
        line = re.split(r";|//", line, maxsplit=1)[0].rstrip()
        label = re.match(r"([^\s:]+):", line)
        if label:
            name = label[1]
            is_local = name.startswith(("L", ".L", "ltmp", "lCPI"))
            yield name if is_local else f"function {name.removeprefix('_')}", "", ""
        elif line.startswith("\t") and not line.startswith("\t."):
            name, _, operands = line.strip().partition("\t")
            yield "", *_plain(name, operands)


def _of_objdump(text: str) -> Iterator[tuple[str, str, str]]:
    """The same; every place is a label named by its address."""
    for line in text.splitlines():
        function = re.match(r"[0-9a-f]+ <(.+)>:$", line)
        if function:
            yield f"function {function[1]}", "", ""
            continue
        match = re.match(r"\s+([0-9a-f]+):\t(?:[0-9a-f]{8} )+\s*\t(\S+)(?:\t(.*))?$", line)
        if match:
            operands = re.sub(r"\s*(<.*>|//.*)", "", match[3] or "").strip()
            yield match[1], *_plain(match[2], operands)


def _plain(name: str, operands: str) -> tuple[str, str]:
    """Apple writes `fmla.4s v0, v1, v2` for `fmla v0.4s, v1.4s, v2.4s`."""
    base, dot, _ = name.partition(".")
    return (name if base in ("b", "bc") or not dot else base), operands


def _blocks(body: tuple[Instruction, ...]) -> list[range]:
    """Runs of instructions that are entered at their first one only."""
    targets = {i.target for i in body if i.target}
    starts = {0}
    for number, i in enumerate(body):
        if targets.intersection(i.labels):
            starts.add(number)
        if i.ends_block and number + 1 < len(body):
            starts.add(number + 1)
    edges = [*sorted(starts), len(body)]
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def _successors(body: tuple[Instruction, ...], blocks: list[range]) -> list[list[int]]:
    """Blocks that may come after each block."""
    place = {label: n for n, block in enumerate(blocks) for label in body[block[0]].labels}
    after: list[list[int]] = []
    for n, block in enumerate(blocks):
        last = body[block[-1]]
        found = [place[last.target]] if last.target in place else []
        if last.name not in _LEAVES and n + 1 < len(blocks):
            found.append(n + 1)
        after.append(found)
    return after


def _dominators(after: list[list[int]]) -> list[set[int]]:
    """For each block those that every way from the first block to it passes."""
    before: list[list[int]] = [[] for _ in after]
    for block, nexts in enumerate(after):
        for other in nexts:
            before[other].append(block)
    everything = set(range(len(after)))
    passed = [{0}, *(set(everything) for _ in after[1:])]
    changed = True
    while changed:
        changed = False
        for block in range(1, len(after)):
            known = [passed[other] for other in before[block]]
            new = {block} | (set.intersection(*known) if known else set())
            if new != passed[block]:
                passed[block], changed = new, True
    return passed


def _natural_loops(after: list[list[int]], passed: list[set[int]]) -> dict[int, set[int]]:
    """Blocks of each loop by its head."""
    before: list[list[int]] = [[] for _ in after]
    for block, nexts in enumerate(after):
        for other in nexts:
            before[other].append(block)
    loops: dict[int, set[int]] = {}
    for tail, nexts in enumerate(after):
        for head in nexts:
            if head in passed[tail]:
                members, todo = loops.setdefault(head, {head}), [tail]
                while todo:
                    block = todo.pop()
                    if block not in members:
                        members.add(block)
                        todo += before[block]
    return loops
