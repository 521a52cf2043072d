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
    """The instructions of the head or of the body, and its registers.

    Values go by their numbers in the order of the Assembler.
    """

    code: list[int] = field(default_factory=list)
    size: int = 0
    free: list[int] = field(default_factory=list)
    register: dict[int, int] = field(default_factory=dict)
    uses: list[int] = field(default_factory=list)

    def take(self) -> int:
        """Return a register that nothing uses."""
        if self.free:
            return self.free.pop()
        self.size += 1
        return self.size - 1

    def write(self, op: str, x: int = 0, y: int = 0, z: int = 0) -> int:
        """Append an instruction and return the register of its result."""
        register = self.take()
        self.code += (OPCODES[op], register, x, y, z)
        return register

    def chain(self, op: str, first: int, rest: Sequence[int]) -> int:
        """Fold operands with an operation of two, from the left."""
        result = first
        for operand in rest:
            previous, result = result, self.write(op, result, operand)
            if previous != first:
                self.free.append(previous)
        return result

    def release(self, values: Sequence[int]) -> None:
        """Give the registers of values back after their last use."""
        uses = self.uses
        for value in values:
            left = uses[value] = uses[value] - 1
            if not left:
                self.free.append(self.register.pop(value))


class _Assembler:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        #: The values in order, and by number the values that each is computed from.
        self.values: list[Node] = []
        self.operands: list[list[int]] = []
        #: The number of what a node computes: the value behind the names and copies of it.
        self.meaning: dict[Node, int] = {}
        self.head, self.body = _Segment(), _Segment()
        self.crossing: dict[int, int] = {}
        self.numbers: dict[int, int] = {}

    def tape(self) -> Tape:
        """Assemble both segments."""
        graph, head, body = self.graph, self.head, self.body
        self._read()
        values = self.values
        position = {node: number for number, node in enumerate(graph.inputs)}
        scalars = [value for value, node in enumerate(values) if not node.axes]
        constants = [value for value in scalars if values[value].op in _LITERALS]
        arguments = [value for value in scalars if values[value].op == "input"]
        extents = [value for value in scalars if values[value].op == "extent"]
        for value in (*constants, *arguments, *extents):
            head.register[value] = head.take()
            # These registers are filled before the head starts and are never given back.
            head.uses[value] = -1
        self.numbers = {value: number for number, value in enumerate(constants)}
        for number, value in enumerate(self.crossing, len(constants)):
            self.numbers[value] = number
        varying = [value for value, node in enumerate(values) if node.axes]
        loads = [value for value in varying if values[value].op == "input"]
        for value in scalars:
            if value not in head.register:
                self._instruction(head, value)
        self._body(varying, loads)
        outputs = [self.meaning[o.node] for o in graph.outputs if not o.node.axes]
        results = [head.register[value] for value in (*outputs, *self.crossing)]
        return Tape(
            tuple(_value(values[value]) for value in constants),
            tuple(position[values[value]] for value in arguments),
            tuple(int(values[value].payload) for value in extents),  # type: ignore[arg-type]
            array("I", head.code),
            head.size,
            array("I", results),
            len(outputs),
            array("I", body.code),
            body.size,
            tuple((position[values[value]], values[value].axes) for value in loads),
            max((output.node.axes for output in graph.outputs), default=0),
            max((node.axes.bit_length() for node in graph.inputs), default=0),
        )

    def _read(self) -> None:
        """Number the values and count their uses."""
        meaning, values = self.meaning, self.values
        head, body = self.head.uses, self.body.uses
        for node in self.graph.nodes():
            operands = [meaning[operand] for operand in node.operands]
            if node.op in _NAMES:
                meaning[node] = operands[0]
                continue
            meaning[node] = len(values)
            values.append(node)
            self.operands.append(operands)
            head.append(0)
            body.append(0)
            uses = body if node.axes else head
            for value in operands:
                uses[value] += 1
                if node.axes and not values[value].axes:
                    self._cross(value)
        for output in self.graph.outputs:
            value = meaning[output.node]
            uses = body if output.node.axes else head
            uses[value] += 1
            if output.node.axes and not values[value].axes:
                self._cross(value)

    def _cross(self, value: int) -> None:
        """Note that the body needs a value of the head, which keeps it to the end."""
        if self.values[value].op not in _LITERALS and value not in self.crossing:
            self.crossing[value] = len(self.crossing)
            self.head.uses[value] += 1

    def _body(self, varying: Sequence[int], loads: Sequence[int]) -> None:
        row = {value: number for number, value in enumerate(loads)}
        segment = self.body
        wanted: dict[int, list[int]] = {}
        stored = [output.node for output in self.graph.outputs if output.node.axes]
        for number, node in enumerate(stored):
            wanted.setdefault(self.meaning[node], []).append(number)
        for value in varying:
            if value in row:
                # It is read where it is first used.
                continue
            for operand in self.operands[value]:
                self._fetch(segment, operand, row)
            self._instruction(segment, value)
            for number in wanted.pop(value, ()):
                self._store(value, number)
        for value, numbers in wanted.items():
            self._fetch(segment, value, row)
            for number in numbers:
                self._store(value, number)

    def _fetch(self, segment: _Segment, value: int, row: dict[int, int]) -> None:
        """Bring an input or a value of the head into a register of the body."""
        if value not in segment.register:
            if value in row:
                segment.register[value] = segment.write("load", 0, row[value])
            else:
                segment.register[value] = segment.write("number", 0, self.numbers[value])

    def _store(self, value: int, number: int) -> None:
        segment = self.body
        segment.code += (OPCODES["store"], 0, segment.register[value], number, 0)
        segment.release([value])

    def _instruction(self, segment: _Segment, value: int) -> None:
        """Write the instructions of a value."""
        op = self.values[value].op
        register = segment.register
        operands = [register[operand] for operand in self.operands[value]]
        if op == "pow":
            result = self._power(segment, value, operands)
        elif op in ("max", "min"):
            result = segment.chain(op, operands[0], operands[1:])
        else:
            result = segment.write(op, *operands)
        register[value] = result
        segment.release(self.operands[value])

    def _power(self, segment: _Segment, value: int, operands: Sequence[int]) -> int:
        """Write a power as kernels compute it: small whole exponents by multiplication."""
        base, _ = self.operands[value]
        exponent = exact(self.values[value].operands[1])
        x = operands[0]
        if exponent is None or exponent.denominator != 1 or abs(exponent) > LARGEST_POWER:
            return segment.write("pow", *operands)
        power = abs(exponent.numerator)
        if power > UNROLLED or self.values[base].op in ("number", "constant", "extent"):
            return segment.write("integer_power", x, exponent.numerator & 0xFFFFFFFF)
        if power == UNROLLED:
            square = segment.write("mul", x, x)
            product = segment.write("mul", square, square)
            segment.free.append(square)
        else:
            product = segment.chain("mul", x, [x] * (power - 1))
        if exponent > 0:
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
