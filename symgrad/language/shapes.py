"""Statements that differ only in their names and numbers are read once.

Loops written out, recurrences and the output of code generators repeat a few statements
thousands of times with other names and numbers. What is left of a statement without these,
its leaves, is its shape: ``t5 = sin(t4)*x + 2`` and ``u = sin(v)*w + 0.5`` have the same. The
second statement of a shape is read with placeholders for the leaves; from then on a statement
of that shape is written into the Program without looking at its signs again.

The instructions and their spans are those that the parser would write, only that they stay
folded until somebody looks at them. Whatever is unusual (the first use of an input, a
constant, a comment, a line that goes on) is left to the parser, and so is every error.

Named tuples are made by `tuple.__new__` here: their own constructors are functions of Python
and take twice as long.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from ..errors import FormulaError
from .program import LEAF, NAME, NUMBER, Folded, Place, Program, Shape, Step
from .tokens import RESERVED, Limits, read_number

__all__ = ["Repetition", "Shapes"]

#: Signs of lines that hold more or less than one statement.
_ELSEWHERE = re.compile(r"[#;\\\r]")
#: Longer lines are statements that nobody repeats.
_LONGEST = 1000


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
    pieces: Sequence[str]
    start: int

    def numbers(self) -> Iterator[tuple[str, int]]:
        """Yield its numbers as they are written, and the first character of each."""
        shape, pieces, start = self
        for number in shape.numbers:
            yield pieces[number], start + sum(map(len, pieces[:number]))

    def folded(self, text: str, values: Mapping[str, int]) -> Folded | None:
        """Return the statement on its values, None if a name has no value yet."""
        shape, pieces, start = self
        try:
            operands = tuple([values[pieces[name]] for name in shape.names])
        except KeyError:
            return None
        literals = tuple([read_number(pieces[number]) for number in shape.numbers])
        return tuple.__new__(Folded, (shape, operands, literals, pieces[1], text, start))


@dataclass(slots=True)
class _Known:
    """A shape that has been read.

    Attributes:
        shape: the shape, `_NONE` if lines like these are no statement of their own.
        pattern: matches such lines, its groups are their pieces.
        then: the shape of the line that followed the last time.
    """

    shape: Shape
    pattern: re.Pattern[str]
    then: _Known | None = None


class Shapes:
    """The shapes of the statements of one text.

    >>> from symgrad.language.parse import parse
    >>> shapes = Shapes(parse, Limits())
    >>> [shapes.find(line, 0) is not None for line in ("u = x*y", "v = y*z", "w = u*v")]
    [False, True, True]
    """

    def __init__(self, read: Callable[[str], Program], limits: Limits) -> None:
        """Start without any; `read` is the parser."""
        self._read = read
        self._limits = limits
        self._known: dict[tuple[object, ...], _Known | None] = {}
        #: The shape of the line before; the line that comes after it had a shape, too.
        self._last = _Known(_NONE, re.compile(r"(?!)"))

    def find(self, line: str, start: int) -> Repetition | None:
        """Return the statement of a line, None if its shape has not been read.

        What no value can be called is left to the parser.
        """
        known = self._last.then or self._last
        match = known.pattern.fullmatch(line)
        if match is not None:
            pieces: Sequence[str] = match.groups()
        elif len(line) > _LONGEST or not line.isascii():
            return None
        else:
            pieces = LEAF.split(line)
            recalled = self._recall(pieces)
            if recalled is None:
                return None
            known = self._last.then = recalled
        self._last = known
        if pieces[1] in RESERVED or len(pieces[1]) > self._limits.name:
            return None
        return tuple.__new__(Repetition, (known.shape, pieces, start))

    def _recall(self, pieces: Sequence[str]) -> _Known | None:
        """Return the shape of a line if it has been read and is one of a statement."""
        numbers = [leaf < "A" for leaf in pieces[1::2]]  # digits and the point are
        key = (*pieces[::2], *numbers)
        if key not in self._known:
            self._known[key] = None
            return None
        known = self._known[key]
        if known is None:
            groups = [re.escape(piece) for piece in pieces]
            groups[1::2] = [NUMBER if number else NAME for number in numbers]
            pattern = re.compile(f"({')('.join(groups)})", re.ASCII)
            known = self._known[key] = _Known(self._shape(pieces), pattern)
        return known if known.shape.value >= 0 else None

    def _shape(self, pieces: Sequence[str]) -> Shape:
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

        def place(character: int) -> Place:
            piece = bisect_right(starts, character) - 1
            return Place(piece, character - starts[piece])

        literals = iter(range(len(numbers)))
        number: dict[int, int] = {}
        steps: list[Step] = []
        for position, (op, operands, payload, span) in enumerate(code):
            if op == "input":
                number[position] = inputs.index(str(payload))
                continue
            number[position] = len(inputs) + len(steps)
            literal = next(literals) if op == "number" else -1
            start, end = span or (0, 0)
            sources = tuple(number[operand] for operand in operands)
            steps.append(Step(op, sources, literal, place(start), place(end)))
        return Shape(names[1:], numbers, tuple(steps), number[last.operands[0]])
