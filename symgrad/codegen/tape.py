"""The assembler: a Graph becomes a tape, the program of a register machine.

A tape has a section for every reduction that waits for another one, as compiled kernels do.
What has no axes is computed once, at a single point, by the head of a section; what varies is
computed by its body, block by block, which also collects what its reductions combine.
Registers are given out by a linear scan over the nodes in their order (Poletto and Sarkar, ACM
TOPLAS 21 (1999) 895): a value gives its register back after its last use. No instruction writes
a register that it reads, so that loops over blocks vectorise.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..graph.algebra import exact
from ..graph.node import NEUTRAL, Graph, Node
from ..language.program import Number
from .machine import OPCODES
from .python import LARGEST_POWER, UNROLLED

__all__ = ["Section", "Tape", "assemble", "has_tape"]

_NAMES = frozenset({"step", "broadcast", "shift"})
_LITERALS = frozenset({"number", "constant", "truth"})
_KNOWN = _NAMES | _LITERALS | {"input", "extent", "reduce", *OPCODES}
#: What the numbers of a tape start with.
_GIVEN = _LITERALS | {"input", "extent"}
_CONSTANTS = {"pi": math.pi, "e": math.e}


@dataclass(slots=True)
class Section:
    """What is computed between two times at which reductions are complete.

    Attributes:
        known: how many numbers are known before.
        head: instructions of `FIELDS` numbers each, for numbers in the registers, the first of
            which hold all numbers that are known.
        head_size: how many registers the head has.
        results: registers with the results of the head in the end, which are the next numbers.
        body: instructions for blocks of points.
        body_size: how many registers the body has.
        loads: positions and axes of the inputs that the body reads, in order.
        stores: which of the outputs with axes the body writes, in order.
        totals: how each reduction combines points, its opcode, and what it starts from. Their
            results are numbers, too, and follow those of the head.
    """

    known: int
    head: array[int]
    head_size: int
    results: array[int]
    body: array[int]
    body_size: int
    loads: tuple[tuple[int, int], ...]
    stores: tuple[int, ...]
    totals: tuple[tuple[int, float], ...]


@dataclass(slots=True)
class Tape:
    """The program of a register machine, see `symgrad.codegen.machine`.

    The numbers of a tape are the constants of the formula, the arguments, the extents, and
    then what its sections have made, section by section.

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
    nodes = graph.nodes()
    combined = {node.operands[0].axes for node in nodes if node.op == "reduce"}
    axes = {output.node.axes for output in graph.outputs if output.node.axes} | combined
    rank = max((node.axes.bit_length() for node in (*nodes, *graph.inputs)), default=0)
    return (
        len(axes) <= 1
        and (rank == 1 or not combined)
        and all(node.op in _KNOWN for node in nodes)
    )


def assemble(graph: Graph) -> Tape:
    """Return the tape of a Graph for which `has_tape` holds."""
    return _Assembler(graph).tape()


@dataclass(slots=True)
class _Segment:
    """The instructions of a head or of a body, and its registers.

    Values go by their numbers in the order of the Assembler.
    """

    code: list[int] = field(default_factory=list)
    size: int = 0
    free: list[int] = field(default_factory=list)
    register: dict[int, int] = field(default_factory=dict)
    #: How often a value is still to be used; those that are missing stay to the end.
    uses: dict[int, int] = field(default_factory=dict)

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
            if value in uses:
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
        #: Which number a value is that is not computed in the section at hand.
        self.numbers: dict[int, int] = {}
        #: By section, what its head computes, what is combined and what is written.
        self.scalars: list[list[int]] = []
        self.totals: list[list[int]] = []
        self.stores: list[list[tuple[int, int]]] = []

    def tape(self) -> Tape:
        """Assemble all sections."""
        graph = self.graph
        self._read()
        values = self.values
        position = {node: number for number, node in enumerate(graph.inputs)}
        given = [value for value, node in enumerate(values) if not node.axes]
        constants = [value for value in given if values[value].op in _LITERALS]
        arguments = [value for value in given if values[value].op == "input"]
        extents = [value for value in given if values[value].op == "extent"]
        for value in (*constants, *arguments, *extents):
            self.numbers[value] = len(self.numbers)
        wanted = self._wanted()
        sections = tuple(self._section(phase, wanted) for phase in range(len(self.scalars)))
        scalars = [self.meaning[o.node] for o in graph.outputs if not o.node.axes]
        every = (*(output.node for output in graph.outputs), *values)
        return Tape(
            tuple(_value(values[value]) for value in constants),
            tuple(position[values[value]] for value in arguments),
            tuple(int(values[value].payload) for value in extents),  # type: ignore[arg-type]
            sections,
            len(self.numbers),
            tuple(self.numbers[value] for value in scalars),
            max((node.axes for node in every), default=0),
            max((node.axes.bit_length() for node in graph.inputs), default=0),
        )

    def _read(self) -> None:
        """Number the values and distribute them over the sections."""
        meaning, values = self.meaning, self.values
        nodes = self.graph.nodes()
        count = 1 + max((node.phase for node in nodes), default=0)
        for part in (self.scalars, self.totals, self.stores):
            part.extend([] for _ in range(count))
        for node in nodes:
            operands = [meaning[operand] for operand in node.operands]
            if node.op in _NAMES:
                meaning[node] = operands[0]
                continue
            value = meaning[node] = len(values)
            values.append(node)
            self.operands.append(operands)
            if node.op == "reduce":
                self.totals[node.operands[0].phase].append(value)
            elif not node.axes and node.op not in _GIVEN:
                self.scalars[node.phase].append(value)
        written = [output.node for output in self.graph.outputs if output.node.axes]
        for number, node in enumerate(written):
            self.stores[node.phase].append((meaning[node], number))

    def _wanted(self) -> bytearray:
        """Mark the results of heads that are needed when these are done."""
        values = self.values
        wanted = bytearray(len(values))
        for node, operands in zip(values, self.operands, strict=True):
            for value in operands:
                if node.axes or node.op == "reduce" or node.phase > values[value].phase:
                    wanted[value] = 1
        for output in self.graph.outputs:
            wanted[self.meaning[output.node]] = 1
        return wanted

    def _section(self, phase: int, wanted: bytearray) -> Section:
        known = len(self.numbers)
        head, results = self._head(self.scalars[phase], wanted)
        body, loads = self._body(phase)
        totals = [self.values[value] for value in self.totals[phase]]
        for value in self.totals[phase]:
            self.numbers[value] = len(self.numbers)
        return Section(
            known,
            array("I", head.code),
            head.size,
            array("I", results),
            array("I", body.code),
            body.size,
            loads,
            tuple(number for _, number in self.stores[phase]),
            tuple(
                (OPCODES[f"collect_{node.payload}"], NEUTRAL[str(node.payload)])
                for node in totals
            ),
        )

    def _head(self, scalars: Sequence[int], wanted: bytearray) -> tuple[_Segment, list[int]]:
        """Return the head of a section and the registers of its results."""
        segment = _Segment(size=len(self.numbers), register=dict(self.numbers))
        kept = [value for value in scalars if wanted[value]]
        for value in scalars:
            segment.uses[value] = int(wanted[value])
            for operand in self.operands[value]:
                if operand not in self.numbers:
                    segment.uses[operand] += 1
        for value in scalars:
            self._instruction(segment, value)
        for value in kept:
            self.numbers[value] = len(self.numbers)
        return segment, [segment.register[value] for value in kept]

    def _body(self, phase: int) -> tuple[_Segment, tuple[tuple[int, int], ...]]:
        """Return the body of a section and the inputs that it reads."""
        values, operands = self.values, self.operands
        segment = _Segment()
        uses = segment.uses
        due: dict[int, list[tuple[str, int]]] = {}
        for number, value in enumerate(self.totals[phase]):
            collect = f"collect_{values[value].payload}"
            due.setdefault(operands[value][0], []).append((collect, number))
        for number, (value, _) in enumerate(self.stores[phase]):
            due.setdefault(value, []).append(("store", number))
        pending = list(due)
        for value, instructions in due.items():
            uses[value] = len(instructions)
        varying: set[int] = set()
        while pending:
            value = pending.pop()
            if value not in varying and values[value].axes:
                varying.add(value)
                for operand in operands[value]:
                    uses[operand] = uses.get(operand, 0) + 1
                pending += operands[value]
        order = sorted(varying)
        loads = [value for value in order if values[value].op == "input"]
        row = {value: number for number, value in enumerate(loads)}
        for value in order:
            if value in row:
                # It is read where it is first used.
                continue
            for operand in operands[value]:
                self._fetch(segment, operand, row)
            self._instruction(segment, value)
            for instruction in due.pop(value, ()):
                _finish(segment, value, *instruction)
        for value, instructions in due.items():
            self._fetch(segment, value, row)
            for instruction in instructions:
                _finish(segment, value, *instruction)
        position = {node: number for number, node in enumerate(self.graph.inputs)}
        return segment, tuple((position[values[value]], values[value].axes) for value in loads)

    def _fetch(self, segment: _Segment, value: int, row: dict[int, int]) -> None:
        """Bring an input or a value of the head into a register of the body."""
        if value not in segment.register:
            if value in row:
                segment.register[value] = segment.write("load", 0, row[value])
            else:
                segment.register[value] = segment.write("number", 0, self.numbers[value])

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


def _finish(segment: _Segment, value: int, op: str, row: int) -> None:
    """Write an output, or add to what a reduction collects."""
    segment.code += (OPCODES[op], 0, segment.register[value], row, 0)
    segment.release([value])


def _value(node: Node) -> float:
    """Return the number of a literal."""
    if node.op == "truth":
        return float(bool(node.payload))
    if node.op == "constant":
        return _CONSTANTS[str(node.payload)]
    return float(node.payload) if isinstance(node.payload, Number) else math.nan
