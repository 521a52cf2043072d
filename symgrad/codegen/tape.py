"""The assembler: a Graph becomes a tape, the program of a register machine.

A tape has a section for every reduction that waits for another one, as compiled kernels do.
What has no axes is computed once, at a single point, by the head of a section; what varies is
computed by its body, block by block, which also collects what its reductions combine.

Every number has a register of its own: there are no more of them than nodes, and a head with
millions of instructions is written at once, from the columns of the graph. A block is large,
so registers of blocks are given out by a linear scan over the nodes in their order (Poletto
and Sarkar, ACM TOPLAS 21 (1999) 895): a value gives its register back after its last use. No
instruction writes a register that it reads, so that loops over blocks vectorise.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..graph.algebra import exact
from ..graph.columns import CODES, OPERATIONS
from ..graph.node import LITERALS, NEUTRAL, Graph, Node
from ..language.program import Number
from .machine import FIELDS, OPCODES
from .python import LARGEST_POWER, UNROLLED

__all__ = ["Section", "Tape", "assemble", "has_tape"]

_NAMES = frozenset({"step", "broadcast", "shift"})
_KNOWN = _NAMES | LITERALS | {"input", "extent", "reduce", *OPCODES}
#: What the numbers of a tape start with.
_GIVEN = LITERALS | {"input", "extent"}
#: Operations of which one node takes several instructions.
_COMPOUND = frozenset({"pow", "max", "min"})
#: The opcodes of all operations; those that are no instruction have none.
_OPCODES = np.array([OPCODES.get(op, 0) for op in OPERATIONS], np.uint32)
_CONSTANTS = {"pi": math.pi, "e": math.e}


@dataclass(slots=True)
class Section:
    """What is computed between two times at which reductions are complete.

    Attributes:
        head: instructions of `FIELDS` numbers each; their registers are the numbers.
        known: how many numbers are known when the head is done.
        body: instructions for blocks of points.
        body_size: how many registers the body has.
        loads: positions and axes of the inputs that the body reads, in order.
        stores: which of the outputs with axes the body writes, in order.
        totals: how each reduction combines points, its opcode, and what it starts from. Their
            results are numbers, too, and follow those of the head.
    """

    head: np.ndarray
    known: int
    body: np.ndarray
    body_size: int
    loads: tuple[tuple[int, int], ...]
    stores: tuple[int, ...]
    totals: tuple[tuple[int, float], ...]


@dataclass(slots=True)
class Tape:
    """The program of a register machine, see `symgrad.codegen.machine`.

    The numbers of a tape are the constants of the formula, the arguments, the extents, and
    then what its sections make, section by section.

    Attributes:
        constants: the numbers of the formula.
        arguments: positions of the inputs without axes that are needed, in order.
        extents: masks of axes whose number of points is needed.
        sections: what to do, in order.
        size: how many numbers there are in the end.
        returned: which of the numbers are the outputs without axes, in order.
        axes: mask of the axes of the points.
        rank: how many axes the arguments have together.
    """

    constants: tuple[float, ...]
    arguments: tuple[int, ...]
    extents: tuple[int, ...]
    sections: tuple[Section, ...]
    size: int
    returned: tuple[int, ...]
    axes: int
    rank: int


def has_tape(graph: Graph) -> bool:
    """Tell whether a Graph can be run from a tape.

    All that it writes or combines varies over the same axes, and it combines points only over
    one axis that is the only one.
    """
    if not graph.census().keys() <= _KNOWN:
        return False
    axes = {output.node.axes for output in graph.outputs if output.node.axes}
    if "reduce" not in graph.census():
        return len(axes) <= 1
    nodes = graph.nodes()
    axes |= {node.operands[0].axes for node in nodes if node.op == "reduce"}
    rank = max(node.axes.bit_length() for node in (*nodes, *graph.inputs))
    return len(axes) <= 1 and rank == 1


def assemble(graph: Graph) -> Tape:
    """Return the tape of a Graph for which `has_tape` holds."""
    return _Assembler(graph).tape()


@dataclass(slots=True)
class _Body:
    """The instructions of a body and its registers.

    Attributes:
        code: the instructions.
        size: how many registers there are.
        free: registers that nothing uses.
        register: where values are.
        uses: how often values are still to be used.
    """

    code: array[int] = field(default_factory=lambda: array("I"))
    size: int = 0
    free: list[int] = field(default_factory=list)
    register: dict[Node, int] = field(default_factory=dict)
    uses: dict[Node, int] = field(default_factory=dict)

    def write(self, op: str, x: int = 0, y: int = 0, z: int = 0) -> int:
        """Append an instruction and return the register of its result."""
        if self.free:
            register = self.free.pop()
        else:
            register = self.size
            self.size += 1
        self.code.extend((OPCODES[op], register, x, y, z))
        return register

    def drop(self, register: int) -> None:
        """Give a register back."""
        self.free.append(register)

    def release(self, values: Sequence[Node]) -> None:
        """Give the registers of values back after their last use."""
        for value in values:
            self.uses[value] -= 1
            if not self.uses[value]:
                self.drop(self.register.pop(value))

    def finish(self, value: Node, op: str, row: int) -> None:
        """Write an output, or add to what a reduction collects."""
        self.code.extend((OPCODES[op], 0, self.register[value], row, 0))
        self.release([value])


@dataclass(slots=True)
class _Head:
    """The instructions of a head; `size` counts the numbers."""

    size: int
    code: array[int] = field(default_factory=lambda: array("I"))

    def write(self, op: str, x: int = 0, y: int = 0, z: int = 0) -> int:
        """Append an instruction and return the number of its result."""
        self.code.extend((OPCODES[op], self.size, x, y, z))
        self.size += 1
        return self.size - 1

    def drop(self, register: int) -> None:
        """Keep a number that nothing uses, as all are kept."""


class _Assembler:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.columns = graph.builder.columns()
        #: Which number a node without axes is, by its index.
        self.number = np.zeros(len(graph.builder), np.int32)
        #: The values behind names and copies that vary.
        self.behind: dict[Node, Node] = {}
        self.position = {node: number for number, node in enumerate(graph.inputs)}
        #: Mask of the axes of the points.
        self.axes = 0
        #: By section what its head computes (as indices), what is combined and what is written.
        self.scalars: list[np.ndarray] = []
        self.totals: list[list[Node]] = []
        self.stores: list[list[tuple[Node, int]]] = []

    def tape(self) -> Tape:
        """Assemble all sections."""
        graph, number = self.graph, self.number
        constants, arguments, extents = self._distribute()
        size = 0
        for size, node in enumerate((*constants, *arguments, *extents), start=1):
            number[node.index] = size - 1
        sections = []
        for phase in range(len(self.scalars)):
            section = self._section(phase, size)
            size = section.known + len(section.totals)
            sections.append(section)
        outputs = [output.node for output in graph.outputs]
        return Tape(
            tuple(map(_value, constants)),
            tuple(self.position[node] for node in arguments),
            tuple(int(node.payload) for node in extents),  # type: ignore[arg-type]
            tuple(sections),
            size,
            tuple(number[[node.index for node in outputs if not node.axes]].tolist()),
            self.axes,
            max((node.axes.bit_length() for node in graph.inputs), default=0),
        )

    def _distribute(self) -> tuple[list[Node], list[Node], list[Node]]:
        """Find what every section does; return literals, arguments and extents."""
        places = self.graph.places()
        codes, varies = self.columns.codes[places], self.columns.axes[places] != 0
        self.axes = int(self.columns.axes[places].max(initial=0))
        for node in self._nodes(places[varies & np.isin(codes, _codes(_NAMES))]):
            (source,) = node.operands
            self.behind[node] = self.behind.get(source, source)
        scalars = places[~varies & ~np.isin(codes, _codes(_GIVEN))]
        reductions = self._nodes(places[codes == CODES["reduce"]])
        phases = np.zeros(len(scalars), np.int64)
        if reductions:
            phases[:] = [node.phase for node in self._nodes(scalars)]
        written = [output.node for output in self.graph.outputs if output.node.axes]
        last = max([0, *phases.tolist(), *[node.phase for node in (*reductions, *written)]])
        self.scalars = [scalars[phases == phase] for phase in range(last + 1)]
        self.totals = [[] for _ in range(last + 1)]
        self.stores = [[] for _ in range(last + 1)]
        for node in reductions:
            self.totals[node.operands[0].phase].append(node)
        for row, node in enumerate(written):
            self.stores[node.phase].append((self.behind.get(node, node), row))
        given = {op: self._nodes(places[~varies & (codes == CODES[op])]) for op in _GIVEN}
        literals = [node for op in sorted(LITERALS) for node in given[op]]
        return literals, given["input"], given["extent"]

    def _nodes(self, places: np.ndarray) -> list[Node]:
        """Return the nodes of some indices."""
        nodes = self.graph.builder.nodes
        return [nodes[place] for place in places.tolist()]

    def _section(self, phase: int, size: int) -> Section:
        head = self._head(self.scalars[phase], size)
        known = size + len(head)
        totals = self.totals[phase]
        body, loads = self._body(phase)
        for place, node in enumerate(totals, start=known):
            self.number[node.index] = place
        return Section(
            head.ravel(),
            known,
            np.array(body.code, np.uint32),
            body.size,
            loads,
            tuple(row for _, row in self.stores[phase]),
            tuple(
                (OPCODES[f"collect_{node.payload}"], NEUTRAL[str(node.payload)])
                for node in totals
            ),
        )

    def _head(self, places: np.ndarray, size: int) -> np.ndarray:
        """Return the instructions of a section's head, whose first number is `size`.

        Args:
            places: the indices of the nodes, ascending.
            size: how many numbers there are already.
        """
        number = self.number
        # What is combined has its number from the section before.
        places = places[self.columns.codes[places] != CODES["reduce"]]
        codes = self.columns.codes[places]
        counts = np.ones(len(places), np.int32)
        counts[np.isin(codes, _codes(_NAMES))] = 0
        compound = np.isin(codes, _codes(_COMPOUND))
        nodes = self._nodes(places[compound])
        counts[compound] = [_length(node) for node in nodes]
        ends = size + np.cumsum(counts, dtype=np.int32)
        number[places] = ends - 1
        starts, operands = self.columns.starts, self.columns.operands
        names = places[counts == 0]
        number[names] = number[_behind(names, operands[starts[names]])]
        head = np.zeros((int(counts.sum()), FIELDS), np.uint32)
        single = (counts == 1) & ~compound
        places, rows = places[single], ends[single] - size - 1
        head[rows, 0] = _OPCODES[codes[single]]
        head[rows, 1] = rows + size
        for which in range(FIELDS - 2):
            source = starts[places] + which
            there = source < starts[places + 1]
            head[rows[there], which + 2] = number[operands[source[there]]]
        for node, end, count in zip(nodes, ends[compound], counts[compound], strict=True):
            written = _Head(int(end - count))
            _compound(written, node, [int(number[operand.index]) for operand in node.operands])
            head[end - count - size : end - size] = np.reshape(written.code, (-1, FIELDS))
        return head

    def _body(self, phase: int) -> tuple[_Body, tuple[tuple[int, int], ...]]:
        """Return the body of a section and the inputs that it reads."""
        behind = self.behind
        body = _Body()
        uses = body.uses
        due: dict[Node, list[tuple[str, int]]] = {}
        for row, node in enumerate(self.totals[phase]):
            (source,) = node.operands
            collect = f"collect_{node.payload}"
            due.setdefault(behind.get(source, source), []).append((collect, row))
        for row, (value, _) in enumerate(self.stores[phase]):
            due.setdefault(value, []).append(("store", row))
        for value, instructions in due.items():
            uses[value] = len(instructions)
        operands: dict[Node, list[Node]] = {}
        pending = list(due)
        while pending:
            value = pending.pop()
            if value.axes and value not in operands:
                sources = [behind.get(operand, operand) for operand in value.operands]
                operands[value] = sources
                for source in sources:
                    uses[source] = uses.get(source, 0) + 1
                pending += sources
        order = sorted(operands, key=lambda node: node.index)
        loads = {n: row for row, n in enumerate(n for n in order if n.op == "input")}
        for value in order:
            if value in loads:
                # It is read where it is first used.
                continue
            sources = operands[value]
            for source in sources:
                self._fetch(body, source, loads)
            places = [body.register[source] for source in sources]
            if value.op in _COMPOUND:
                body.register[value] = _compound(body, value, places)
            else:
                body.register[value] = body.write(value.op, *places)
            body.release(sources)
            for instruction in due.pop(value, ()):
                body.finish(value, *instruction)
        for value, instructions in due.items():
            self._fetch(body, value, loads)
            for instruction in instructions:
                body.finish(value, *instruction)
        return body, tuple((self.position[node], node.axes) for node in loads)

    def _fetch(self, body: _Body, value: Node, loads: dict[Node, int]) -> None:
        """Bring an input or a number into a register of the body."""
        if value not in body.register:
            if value in loads:
                body.register[value] = body.write("load", 0, loads[value])
            else:
                number = int(self.number[value.index])
                body.register[value] = body.write("number", 0, number)


def _codes(ops: Iterable[str]) -> list[int]:
    """Return the places of operations among all."""
    return [CODES[op] for op in ops]


def _behind(names: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return the indices of what names stand for in the end.

    Args:
        names: the indices of the names, ascending.
        sources: the indices of their operands.
    """
    while len(names):
        place = np.minimum(np.searchsorted(names, sources), len(names) - 1)
        named = names[place] == sources
        if not named.any():
            break
        # Every round doubles how many names are followed.
        sources = np.where(named, sources[place], sources)
    return sources


def _length(node: Node) -> int:
    """Return how many instructions a compound operation takes."""
    head = _Head(0)
    _compound(head, node, [0] * len(node.operands))
    return head.size


def _compound(segment: _Head | _Body, node: Node, operands: Sequence[int]) -> int:
    """Write the instructions of an operation that takes several; return the last register."""
    if node.op == "pow":
        return _power(segment, node, operands)
    return _chain(segment, node.op, operands[0], operands[1:])


def _chain(segment: _Head | _Body, op: str, first: int, rest: Sequence[int]) -> int:
    """Fold operands with an operation of two, from the left."""
    result = first
    for operand in rest:
        previous, result = result, segment.write(op, result, operand)
        if previous != first:
            segment.drop(previous)
    return result


def _power(segment: _Head | _Body, node: Node, operands: Sequence[int]) -> int:
    """Write a power as kernels compute it: small whole exponents by multiplication."""
    base = node.operands[0]
    while base.op in _NAMES:
        base = base.operands[0]
    exponent = exact(node.operands[1])
    x = operands[0]
    if exponent is None or exponent.denominator != 1 or abs(exponent) > LARGEST_POWER:
        return segment.write("pow", *operands)
    power = abs(exponent.numerator)
    if power > UNROLLED or base.op in ("number", "constant", "extent"):
        return segment.write("integer_power", x, exponent.numerator & 0xFFFFFFFF)
    if power == UNROLLED:
        square = segment.write("mul", x, x)
        product = segment.write("mul", square, square)
        segment.drop(square)
    else:
        product = _chain(segment, "mul", x, [x] * (power - 1))
    if exponent > 0:
        return product
    result = segment.write("reciprocal", product)
    segment.drop(product)
    return result


def _value(node: Node) -> float:
    """Return the number of a literal."""
    if node.op == "truth":
        return float(bool(node.payload))
    if node.op == "constant":
        return _CONSTANTS[str(node.payload)]
    return float(node.payload) if isinstance(node.payload, Number) else math.nan
