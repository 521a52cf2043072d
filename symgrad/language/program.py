"""The Program: what the user wrote, as straight-line, single-assignment code.

A Program is a flat list of instructions (a Wengert list). Operands are positions in the
list, always smaller than the instruction's own, so nothing that walks a Program ever
recurses, however deep the formula. It keeps what the user wrote: association, exact
literals, and for every instruction the characters that it came from. Simplification is
the Graph's business.

A statement like many others is kept folded: the shape that it shares with them, and what is
its own. Whoever reads the list finds its instructions there.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple, overload

from ..errors import Span

__all__ = [
    "CONSTANTS",
    "LEAF",
    "NAME",
    "NUMBER",
    "Folded",
    "Instruction",
    "Instructions",
    "Number",
    "Payload",
    "Place",
    "Program",
    "Shape",
    "Step",
    "Writer",
]

#: Patterns of a name that is not called and of what begins like a number.
NAME = r"[A-Za-z_]\w*+(?![ \t]*\()"
NUMBER = r"\.?[0-9](?:[eE][+-]?[0-9]|[\w.])*+"
#: A leaf of a statement: one of these.
LEAF = re.compile(rf"(?<![\w.])({NAME}|{NUMBER})", re.ASCII)

#: Names that stand for numbers unless assigned or declared as inputs.
CONSTANTS = ("pi", "e", "inf", "nan")


class Number(NamedTuple):
    """A real literal.

    `value` is exact (a Fraction) for every finite literal; it is a float only for
    infinities, NaN and results that were folded in doubles. `decimal` tells that it was
    written with a point or an exponent, so that derivatives print ``0.1`` and not
    ``1/10``.
    """

    value: Fraction | float
    decimal: bool = False

    def __float__(self) -> float:
        try:
            return float(self.value)
        except OverflowError:
            return float("inf") if self.value > 0 else float("-inf")


Payload = Number | str | None


class Instruction(NamedTuple):
    """One operation of a Program.

    `op` is ``"number"`` (payload: a Number), ``"constant"`` (payload: one of CONSTANTS),
    ``"input"`` (payload: the name), ``"step"`` (payload: the name; one operand, the value
    bound to it) or the canonical name of a row of the function table.
    """

    op: str
    operands: tuple[int, ...] = ()
    payload: Payload = None
    span: Span | None = None


class Place(NamedTuple):
    """A character of a line that is split at its leaves: at or after the start of a piece."""

    piece: int
    offset: int


class Step(NamedTuple):
    """One instruction of a Shape.

    `sources` number the operands of the shape first and then its steps; `literal` is which of
    the numbers it stands for, -1 for an operation. It is written from `start` to `end`.
    """

    op: str
    sources: tuple[int, ...]
    literal: int
    start: Place
    end: Place


class Shape(NamedTuple):
    """What statements have in common that differ only in names and numbers.

    Attributes:
        names: the pieces of the line that are names of values, its operands.
        numbers: the pieces that are numbers.
        steps: the instructions.
        value: the number, among operands and steps, of the value that is bound.
    """

    names: tuple[int, ...]
    numbers: tuple[int, ...]
    steps: tuple[Step, ...]
    value: int


class Folded(NamedTuple):
    """A statement that shares its shape with others, on a line of its own.

    Attributes:
        shape: the shape.
        operands: the positions of the values that its names stand for.
        literals: its numbers.
        name: what it binds.
        text: the text of the Program.
        start: the first character of the line.
    """

    shape: Shape
    operands: tuple[int, ...]
    literals: tuple[Number, ...]
    name: str
    text: str
    start: int

    @property
    def size(self) -> int:
        """How many instructions it has."""
        return len(self.shape.steps) + 1

    def unfolded(self, position: int) -> Iterator[Instruction]:
        """Yield the instructions, the first of which is at `position`."""
        end = self.text.index("\n", self.start)
        pieces = LEAF.split(self.text[self.start : end])
        starts = list(accumulate(map(len, pieces), initial=self.start))
        place = list(self.operands)
        for op, sources, literal, (first, more), (last, beyond) in self.shape.steps:
            operands = tuple([place[source] for source in sources])
            payload = None if literal < 0 else self.literals[literal]
            span = Span(starts[first] + more, starts[last] + beyond)
            yield Instruction(op, operands, payload, span)
            place.append(position)
            position += 1
        yield Instruction("step", (place[self.shape.value],), self.name, Span(starts[1], end))


class Instructions(Sequence[Instruction]):
    """The flat code of a Program, some of its statements folded.

    >>> one = Instruction("input", payload="x")
    >>> code = Instructions([one, Instruction("sin", (0,))])
    >>> len(code), code[1].op, code == (one, Instruction("sin", (0,)))
    (2, 'sin', True)
    """

    __slots__ = ("_starts", "parts")

    def __init__(self, parts: Iterable[Instruction | Folded] = ()) -> None:
        """Hold the parts in their order."""
        #: Instructions and folded statements.
        self.parts = tuple(parts)
        #: The position of the first instruction of every part, and of the end.
        self._starts: Sequence[int] = range(len(self.parts) + 1)
        if Folded in set(map(type, self.parts)):
            sizes = [part.size if isinstance(part, Folded) else 1 for part in self.parts]
            self._starts = list(accumulate(sizes, initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> Instruction: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Instruction, ...]: ...
    def __getitem__(self, index: int | slice) -> Instruction | tuple[Instruction, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        position = range(len(self))[index]
        number = bisect_right(self._starts, position) - 1
        part = self.parts[number]
        if isinstance(part, Instruction):
            return part
        start = self._starts[number]
        return tuple(part.unfolded(start))[position - start]

    def __iter__(self) -> Iterator[Instruction]:
        for part, start in zip(self.parts, self._starts, strict=False):
            if isinstance(part, Instruction):
                yield part
            else:
                yield from part.unfolded(start)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Instructions):
            return tuple(self) == tuple(other)
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Instructions({list(self)!r})"

    def ops(self) -> set[str]:
        """Return the operations that occur."""
        found = {part.op for part in self.parts if isinstance(part, Instruction)}
        shapes = {id(part.shape): part.shape for part in self.parts if isinstance(part, Folded)}
        for shape in shapes.values():
            found.update(["step"], [step.op for step in shape.steps])
        return found

    def steps(self) -> dict[str, int]:
        """Return the position of every named statement, in order."""
        found: dict[str, int] = {}
        for part, end in zip(self.parts, self._starts[1:], strict=True):
            if isinstance(part, Folded):
                found[part.name] = end - 1
            elif part.op == "step":
                found[str(part.payload)] = end - 1
        return found


@dataclass(frozen=True, slots=True)
class Program:
    """Ordered statements with inputs and outputs.

    Attributes:
        instructions: the flat code.
        inputs: names of the inputs in argument order (declared ones without use included).
        outputs: pairs of name and position; an anonymous formula is called ``"value"``.
        text: the formula as typed, or as printed from the object that it came from.
        name: the name before a header ``f(x, y) = ...``, else None.
        shape: the shape of the outputs when they came as one Matrix, else None.
        single: True when calling gives one value, False when it gives a tuple.
        stable: True when kernels may compute the formula in its stable forms.
        backend: how kernels run: "jit" compiled, "interpreter" from a tape, or "auto".
        entries: the most entries that a dense Jacobian or Hessian may have at one point.
    """

    instructions: Instructions
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, int], ...]
    text: str
    name: str | None = None
    shape: tuple[int, ...] | None = None
    single: bool = True
    stable: bool = True
    backend: str = "auto"
    entries: int = 1_000_000

    def __hash__(self) -> int:
        # Equal Programs have equal texts, and a text computes its hash once.
        return hash(self.text)

    @property
    def steps(self) -> dict[str, int]:
        """Position of every named statement, in order; outputs with a name included."""
        return self.instructions.steps()

    @property
    def statements(self) -> tuple[int, ...]:
        """Position of the value of every statement, in order."""
        return tuple(sorted({*self.steps.values(), *(at for _, at in self.outputs)}))

    def quoted(self, position: int) -> str:
        """Return the characters of an instruction on one line."""
        code = self.instructions[position]
        if code.span is None:
            return f"{code.payload} = ..." if code.op == "step" else ""
        return " ".join(self.text[code.span.start : code.span.end].split())

    @property
    def intermediates(self) -> tuple[str, ...]:
        """Names of the statements that are not outputs."""
        outputs = {name for name, _ in self.outputs}
        return tuple(name for name in self.steps if name not in outputs)

    def __str__(self) -> str:
        """Return the instructions, one on each line."""
        lines = []
        for position, code in enumerate(self.instructions):
            parts = [f"%{operand}" for operand in code.operands]
            if code.payload is not None:
                value = code.payload.value if isinstance(code.payload, Number) else code.payload
                parts.append(str(value))
            lines.append(f"%{position} = {code.op}({', '.join(parts)})")
        lines.append(f"inputs: {', '.join(self.inputs)}")
        lines.extend(f"{name} <- %{position}" for name, position in self.outputs)
        return "\n".join(lines)


class Writer:
    """Appends instructions; inputs are shared by name."""

    def __init__(self) -> None:
        """Start an empty list."""
        #: Instructions and folded statements.
        self.parts: list[Instruction | Folded] = []
        self.size = 0
        self._inputs: dict[str, int] = {}

    def emit(
        self,
        op: str,
        operands: tuple[int, ...] = (),
        payload: Payload = None,
        span: Span | None = None,
    ) -> int:
        """Append one instruction and return its position."""
        self.parts.append(Instruction(op, operands, payload, span))
        self.size += 1
        return self.size - 1

    def fold(self, statement: Folded) -> int:
        """Append a folded statement and return the position of its step."""
        self.parts.append(statement)
        self.size += statement.size
        return self.size - 1

    @property
    def instructions(self) -> Instructions:
        """What has been appended."""
        return Instructions(self.parts)

    def number(
        self, value: Fraction | float, *, decimal: bool = False, span: Span | None = None
    ) -> int:
        """Append a literal."""
        return self.emit("number", payload=Number(value, decimal), span=span)

    def input(self, name: str, span: Span | None = None) -> int:
        """Return the position of the input `name`, appended at its first use."""
        position = self._inputs.get(name)
        if position is None:
            position = self._inputs[name] = self.emit("input", payload=name, span=span)
        return position

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs in the order of first use."""
        return tuple(self._inputs)
