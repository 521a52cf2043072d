"""The assembler: a Graph becomes a tape, the program of a register machine.

What has no axes is computed once, at a single point, by the head of the tape; what varies is
computed by its body, block by block. Registers are given out by a linear scan over the nodes
in their order (Poletto and Sarkar, ACM TOPLAS 21 (1999) 895): a value gives its register back
after its last use. No instruction writes a register that it reads, so that loops over blocks
vectorise.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..graph.algebra import exact
from ..graph.node import Graph, Node
from ..language.program import Number
from .machine import OPCODES
from .python import LARGEST_POWER, UNROLLED

__all__ = ["Tape", "assemble", "has_tape"]

_NAMES = frozenset({"step", "broadcast", "shift"})
_LITERALS = frozenset({"number", "constant", "truth"})
_KNOWN = _NAMES | _LITERALS | {"input", "extent", *OPCODES}
_CONSTANTS = {"pi": math.pi, "e": math.e}


@dataclass(slots=True)
class Tape:
    """The program of a register machine, see `symgrad.codegen.machine`.

    Attributes:
        constants: the numbers of the formula.
        arguments: positions of the inputs without axes that the head reads, in order.
        extents: masks of axes; the head reads how many points they have.
        head: instructions of `FIELDS` numbers each, for numbers in the registers. The
            first registers hold the constants, the arguments and the extents.
        head_size: how many registers the head has.
        results: registers with the results of the head in the end: the outputs without axes
            in order, then what the body needs.
        returned: how many outputs have no axes.
        body: instructions for blocks of points. Its numbers are the constants and then what
            the head made for it.
        body_size: how many registers the body has.
        loads: positions and axes of the inputs that the body reads, in order.
        axes: mask of the axes of the points.
        rank: how many axes the arguments have together.
    """

    constants: tuple[float, ...]
    arguments: tuple[int, ...]
    extents: tuple[int, ...]
    head: array[int]
    head_size: int
    results: array[int]
    returned: int
    body: array[int]
    body_size: int
    loads: tuple[tuple[int, int], ...]
    axes: int
    rank: int


def has_tape(graph: Graph) -> bool:
    """Tell whether a Graph can be run from a tape: it combines no points."""
    axes = {output.node.axes for output in graph.outputs if output.node.axes}
    return len(axes) <= 1 and all(node.op in _KNOWN for node in graph.nodes())


def assemble(graph: Graph) -> Tape:
    """Return the tape of a Graph for which `has_tape` holds."""
    return _Assembler(graph).tape()


@dataclass(slots=True)
class _Segment:
    """The instructions of the head or of the body, and its registers."""

    code: array[int] = field(default_factory=lambda: array("I"))
    size: int = 0
    free: list[int] = field(default_factory=list)
    register: dict[Node, int] = field(default_factory=dict)
    uses: dict[Node, int] = field(default_factory=dict)

    def take(self) -> int:
        """Return a register that nothing uses."""
        if self.free:
            return self.free.pop()
        self.size += 1
        return self.size - 1

    def write(self, op: str, x: int = 0, y: int = 0, z: int = 0) -> int:
        """Append an instruction and return the register of its result."""
        register = self.take()
        self.code.extend((OPCODES[op], register, x, y, z))
        return register

    def chain(self, op: str, first: int, rest: Sequence[int]) -> int:
        """Fold operands with an operation of two, from the left."""
        result = first
        for operand in rest:
            previous, result = result, self.write(op, result, operand)
            if previous != first:
                self.free.append(previous)
        return result


class _Assembler:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        #: What a node computes: the value behind the names and copies of it.
        self.meaning: dict[Node, Node] = {}
        self.head, self.body = _Segment(), _Segment()
        self.crossing: dict[Node, int] = {}
        self.numbers: dict[Node, int] = {}

    def tape(self) -> Tape:
        """Assemble both segments."""
        graph, head, body = self.graph, self.head, self.body
        order = self._read()
        position = {node: number for number, node in enumerate(graph.inputs)}
        scalars = [node for node in order if not node.axes]
        constants = [node for node in scalars if node.op in _LITERALS]
        arguments = [node for node in scalars if node.op == "input"]
        extents = [node for node in scalars if node.op == "extent"]
        for node in (*constants, *arguments, *extents):
            head.register[node] = head.take()
            # These registers are filled before the head starts and are never given back.
            head.uses[node] = -1
        self.numbers = {node: number for number, node in enumerate(constants)}
        for number, node in enumerate(self.crossing, len(constants)):
            self.numbers[node] = number
        loads = [node for node in order if node.axes and node.op == "input"]
        self._head([node for node in scalars if node not in head.register])
        self._body([node for node in order if node.axes], loads)
        outputs = [self.meaning[o.node] for o in graph.outputs if not o.node.axes]
        results = [head.register[node] for node in (*outputs, *self.crossing)]
        return Tape(
            tuple(_value(node) for node in constants),
            tuple(position[node] for node in arguments),
            tuple(int(node.payload) for node in extents),  # type: ignore[arg-type]
            head.code,
            head.size,
            array("I", results),
            len(outputs),
            body.code,
            body.size,
            tuple((position[node], node.axes) for node in loads),
            max((output.node.axes for output in graph.outputs), default=0),
            max((node.axes.bit_length() for node in graph.inputs), default=0),
        )

    def _read(self) -> list[Node]:
        """Count the uses of every value and return the values in order."""
        meaning = self.meaning
        order: list[Node] = []
        head, body = self.head.uses, self.body.uses
        for node in self.graph.nodes():
            if node.op in _NAMES:
                meaning[node] = meaning[node.operands[0]]
                continue
            meaning[node] = node
            order.append(node)
            uses = body if node.axes else head
            for operand in node.operands:
                value = meaning[operand]
                uses[value] = uses.get(value, 0) + 1
                if node.axes and not value.axes:
                    self._cross(value)
        for output in self.graph.outputs:
            value = meaning[output.node]
            uses = body if output.node.axes else head
            uses[value] = uses.get(value, 0) + 1
            if output.node.axes and not value.axes:
                self._cross(value)
        return order

    def _cross(self, value: Node) -> None:
        """Note that the body needs a value of the head, which keeps it to the end."""
        if value.op not in _LITERALS and value not in self.crossing:
            self.crossing[value] = len(self.crossing)
            self.head.uses[value] = self.head.uses.get(value, 0) + 1

    def _head(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            self._instruction(self.head, node)

    def _body(self, nodes: Sequence[Node], loads: Sequence[Node]) -> None:
        row = {node: number for number, node in enumerate(loads)}
        segment = self.body
        wanted: dict[Node, list[int]] = {}
        stored = [output.node for output in self.graph.outputs if output.node.axes]
        for number, node in enumerate(stored):
            wanted.setdefault(self.meaning[node], []).append(number)
        for node in nodes:
            if node.op == "input":
                # It is read where it is first used.
                continue
            for operand in node.operands:
                self._fetch(segment, self.meaning[operand], row)
            self._instruction(segment, node)
            for number in wanted.pop(node, ()):
                self._store(node, number)
        for node, numbers in wanted.items():
            self._fetch(segment, node, row)
            for number in numbers:
                self._store(node, number)

    def _fetch(self, segment: _Segment, value: Node, row: dict[Node, int]) -> None:
        """Bring an input or a value of the head into a register of the body."""
        if value not in segment.register:
            if value in row:
                segment.register[value] = segment.write("load", 0, row[value])
            else:
                segment.register[value] = segment.write("number", 0, self.numbers[value])

    def _store(self, node: Node, number: int) -> None:
        segment = self.body
        segment.code.extend((OPCODES["store"], 0, segment.register[node], number, 0))
        self._release(segment, node)

    def _release(self, segment: _Segment, value: Node) -> None:
        """Give the register of a value back after its last use."""
        left = segment.uses[value] = segment.uses[value] - 1
        if not left:
            segment.free.append(segment.register.pop(value))

    def _instruction(self, segment: _Segment, node: Node) -> None:
        """Write the instructions of a node."""
        meaning, registers = self.meaning, segment.register
        op = node.op
        values = [meaning[operand] for operand in node.operands]
        operands = [registers[value] for value in values]
        if op == "pow":
            result = self._power(segment, node, operands)
        elif op in ("max", "min"):
            result = segment.chain(op, operands[0], operands[1:])
        else:
            result = segment.write(op, *operands)
        registers[node] = result
        uses = segment.uses
        for value in values:
            left = uses[value] = uses[value] - 1
            if not left:
                segment.free.append(registers.pop(value))

    def _power(self, segment: _Segment, node: Node, operands: Sequence[int]) -> int:
        """Write a power as kernels compute it: small whole exponents by multiplication."""
        base, exponent = node.operands
        value = exact(exponent)
        x = operands[0]
        if value is None or value.denominator != 1 or abs(value) > LARGEST_POWER:
            return segment.write("pow", *operands)
        power = abs(value.numerator)
        if power > UNROLLED or self.meaning[base].op in ("number", "constant", "extent"):
            return segment.write("integer_power", x, value.numerator & 0xFFFFFFFF)
        if power == UNROLLED:
            square = segment.write("mul", x, x)
            product = segment.write("mul", square, square)
            segment.free.append(square)
        else:
            product = segment.chain("mul", x, [x] * (power - 1))
        if value > 0:
            return product
        result = segment.write("reciprocal", product)
        segment.free.append(product)
        return result


def _value(node: Node) -> float:
    """Return the number of a literal."""
    if node.op == "truth":
        return float(bool(node.payload))
    if node.op == "constant":
        return _CONSTANTS[str(node.payload)]
    return float(node.payload) if isinstance(node.payload, Number) else math.nan
