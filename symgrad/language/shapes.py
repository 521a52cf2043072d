"""Statements that differ only in their names and numbers are read once.

Loops written out, recurrences and the output of code generators repeat a few statements
thousands of times with other names and numbers. What is left of a statement without these,
its leaves, is its shape: ``t5 = sin(t4)*x + 2`` and ``u = sin(v)*w + 0.5`` have the same. The
second statement of a shape is read with placeholders for the leaves; from then on a statement
of that shape is written into the Program without looking at its signs again.

The instructions and their spans are those that the parser would write. Whatever is unusual
(the first use of an input, a constant, a comment, a line that goes on) is left to the parser,
and so is every error.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

from ..errors import FormulaError, Span
from .program import Instruction, Program
from .tokens import WORDS, read_number

__all__ = ["Repetition", "Shape", "Shapes"]

# A name that is not called, or what begins like a number.
_LEAF = re.compile(
    r"(?<![\w.])([A-Za-z_]\w*+(?![ \t]*\()|\.?[0-9](?:[eE][+-]?[0-9]|[\w.])*+)", re.ASCII
)

#: Signs of lines that hold more or less than one statement.
_ELSEWHERE = re.compile(r"[#;\\\r]")
#: Longer lines are statements that nobody repeats.
_LONGEST = 1000


class _Place(NamedTuple):
    """A character of a statement: at or after the start of one of its pieces."""

    piece: int
    offset: int


class _Step(NamedTuple):
    """One instruction of a Shape.

    `sources` number the names first and then the steps; `literal` is the piece with a number,
    -1 for an operation.
    """

    op: str
    sources: tuple[int, ...]
    literal: int
    start: _Place
    end: _Place


class Shape(NamedTuple):
    """What statements have in common that differ only in names and numbers.

    Attributes:
        names: the pieces of the line that are names of values.
        numbers: the pieces that are numbers.
        steps: the instructions.
        value: the number, among names and steps, of the value that is bound.
    """

    names: tuple[int, ...]
    numbers: tuple[int, ...]
    steps: tuple[_Step, ...]
    value: int


#: Of lines that are no statement of their own.
_NONE = Shape((), (), (), -1)


class Repetition(NamedTuple):
    """A statement of a known shape.

    Attributes:
        shape: its shape.
        pieces: the text of its line, at odd places the leaves; the first of them is bound.
        start: the first character of the line.
    """

    shape: Shape
    pieces: list[str]
    start: int

    def numbers(self) -> Iterator[tuple[str, int]]:
        """Yield its numbers as they are written, and the first character of each."""
        shape, pieces, start = self
        for number in shape.numbers:
            yield pieces[number], start + sum(map(len, pieces[:number]))

    def write(self, code: list[Instruction], values: Mapping[str, int]) -> int | None:
        """Append the instructions and return the position of the value.

        Returns None, and appends nothing, if a name has no value yet.
        """
        shape, pieces, start = self
        try:
            place = [values[pieces[name]] for name in shape.names]
        except KeyError:
            return None
        starts = list(accumulate(map(len, pieces), initial=start))
        # The constructors of named tuples, which are functions of Python, take twice as long.
        new = tuple.__new__
        for op, sources, literal, (first, more), (last, beyond) in shape.steps:
            operands = tuple([place[source] for source in sources])
            payload = None if literal < 0 else read_number(pieces[literal])
            place.append(len(code))
            span = new(Span, (starts[first] + more, starts[last] + beyond))
            code.append(new(Instruction, (op, operands, payload, span)))
        return place[shape.value]


class Shapes:
    """The shapes of the statements of one text.

    >>> from symgrad.language.parse import parse
    >>> shapes = Shapes(parse)
    >>> [shapes.find(line, 0) is not None for line in ("u = x*y", "v = y*z", "w = u*v")]
    [False, True, True]
    """

    def __init__(self, read: Callable[[str], Program]) -> None:
        """Start without any; `read` is the parser."""
        self._read = read
        self._known: dict[tuple[object, ...], Shape | None] = {}

    def find(self, line: str, start: int) -> Repetition | None:
        """Return the statement of a line, None if its shape has not been read."""
        if len(line) > _LONGEST or not line.isascii():
            return None
        pieces = _LEAF.split(line)
        # Digits and the point stand before all letters.
        key = (*pieces[::2], *[leaf < "A" for leaf in pieces[1::2]])
        known = self._known
        if key not in known:
            known[key] = None
            return None
        shape = known[key]
        if shape is None:
            shape = known[key] = self._shape(pieces)
        if shape.value < 0 or pieces[1] in WORDS:
            return None
        return Repetition(shape, pieces, start)

    def _shape(self, pieces: list[str]) -> Shape:
        """Read a statement with placeholders; return `_NONE` if it is not of this kind."""
        leaves = range(1, len(pieces), 2)
        numbers = tuple(k for k in leaves if pieces[k] < "A")
        names = tuple(k for k in leaves if pieces[k] >= "A")
        held = list(pieces)
        for k in leaves:
            held[k] = "2" if k in numbers else f"leaf_{k}"
        line = "".join(held)
        if _ELSEWHERE.search(line):
            return _NONE
        try:
            program = self._read(line)
        except FormulaError:
            return _NONE
        bound, *inputs = [held[k] for k in names]
        *code, last = program.instructions
        if last.op != "step" or last.payload != bound or program.inputs != tuple(inputs):
            return _NONE
        starts = list(accumulate(map(len, held), initial=0))

        def place(character: int) -> _Place:
            piece = bisect_right(starts, character) - 1
            return _Place(piece, character - starts[piece])

        literals = iter(numbers)
        number: dict[int, int] = {}
        steps: list[_Step] = []
        for position, (op, operands, payload, span) in enumerate(code):
            if op == "input":
                number[position] = inputs.index(str(payload))
                continue
            number[position] = len(inputs) + len(steps)
            literal = next(literals) if op == "number" else -1
            start, end = span or (0, 0)
            sources = tuple(number[operand] for operand in operands)
            steps.append(_Step(op, sources, literal, place(start), place(end)))
        return Shape(names[1:], numbers, tuple(steps), number[last.operands[0]])
