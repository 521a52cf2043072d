"""From recorded operations to a Program.

The operations that belong to one kernel are read into a key: the operations in the order
in which they were recorded, with the places of their operands. The key says all about the
structure and nothing about the data, so equal loops give equal keys, and the Functions made
of them are remembered. Numbers are arguments like data; literals (whole exponents) are part
of the structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from ..calculus.transform import Gradient, Pullback
from ..function import Function
from ..language.program import CONSTANTS, Program, Writer
from .node import BOOLEAN, Array, Node, Operand
from .routine import Routine

__all__ = ["Code", "Key", "Recorded", "forward", "gradient", "read", "write"]

#: An operation and its operands: the place of an operation, -1 - the place of a leaf, None
#: for a number, or a literal as text.
Code = tuple[str | int | None, ...]
Key = tuple[Code, ...]

_STOPS = frozenset({"leaf", "input", "call", "part"})
_REMEMBERED = 1024
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**"}

_index = attrgetter("index")


class Recorded(NamedTuple):
    """Recorded operations as a kernel sees them.

    Attributes:
        key: the structure.
        body: the operations in order.
        leaves: the nodes that enter as data.
        numbers: the numbers that enter as data, after the leaves.
        places: the place of every node in the key.
    """

    key: Key
    body: list[Node]
    leaves: list[Node]
    numbers: list[float]
    places: dict[Node, int]

    def values(self) -> list[Array]:
        """Return the arguments of the kernel."""
        return [*[node.value for node in self.leaves], *self.numbers]


def read(roots: Sequence[Node], *, history: bool = False) -> Recorded:
    """Return the operations below the roots that belong to one kernel.

    Args:
        roots: what the kernel computes, recorded operations.
        history: follow what gradients flow through, computed or not, and let everything
            else enter as data; otherwise follow all that was not computed yet.
    """
    found = {root: root.operands for root in roots}
    pending = list(roots)
    while pending:
        for operand in found[pending.pop()]:
            if type(operand) is not Node or operand in found or operand.op in _STOPS:
                continue
            # Another thread may compute the value and then drop the operands: their order
            # here makes sure that operands of what has no value are whole.
            operands = operand.operands
            if operand.value is None:
                inside = not history or operand.needs or _inlined(operand)
            else:
                inside = history and operand.needs
            if inside and not operand.cut:
                found[operand] = operands
                pending.append(operand)
    body = sorted(found, key=_index)
    return _number(body, found)


def _inlined(node: Node) -> bool:
    """Tell whether something without gradient is computed where it is used: conditions."""
    return node.op in BOOLEAN and not any(
        type(operand) is Node and operand.freed for operand in node.operands
    )


def _number(body: list[Node], operands: dict[Node, tuple[Operand, ...]]) -> Recorded:
    """Give operations and leaves their places, in the order of their first use."""
    places: dict[Node, int] = {}
    leaves: list[Node] = []
    numbers: list[float] = []
    key: list[Code] = []
    for node in body:
        code: list[str | int | None] = [node.op]
        for operand in operands[node]:
            if type(operand) is Node:
                place = places.get(operand)
                if place is None:
                    leaves.append(operand)
                    place = places[operand] = -len(leaves)
                code.append(place)
            elif type(operand) is str:
                code.append(operand)
            else:
                numbers.append(operand)
                code.append(None)
        places[node] = len(key)
        key.append(tuple(code))
    return Recorded(tuple(key), body, leaves, numbers, places)


@lru_cache(maxsize=_REMEMBERED)
def forward(key: Key) -> Routine:
    """Return the routine that computes the last operation of a key."""
    return Routine(_function(key))


@lru_cache(maxsize=_REMEMBERED)
def gradient(
    key: Key, leaves: tuple[int, ...], steps: tuple[int, ...], *, seeded: bool
) -> Routine:
    """Return the routine that computes the gradient of the last operation of a key.

    Args:
        key: the structure.
        leaves: which leaves to differentiate by.
        steps: which operations to differentiate by, after the leaves.
        seeded: take a cotangent as last argument and return the gradient only; otherwise
            the operation is one number, and its value comes first.
    """
    wrt = tuple([f"x{leaf}" for leaf in leaves] + [f"u{step}" for step in steps])
    function = _function(key, steps)
    if seeded:
        return Routine(function.transformed(Pullback(wrt, value=False)))
    return Routine(function.transformed(Gradient(wrt, value=True)))


def _function(key: Key, steps: Sequence[int] = ()) -> Function:
    """Return the Function of a key, with leaves x0, x1, ... and numbers c0, c1, ..."""
    places = [ref for code in key for ref in code[1:] if isinstance(ref, int) and ref < 0]
    count = sum(ref is None for code in key for ref in code[1:])
    leaves = [f"x{place}" for place in range(-min(places, default=0))]
    numbers = [f"c{place}" for place in range(count)]
    return Function(write(key, leaves, numbers, [len(key) - 1], steps=steps))


def write(
    key: Key,
    leaves: Sequence[str | float],
    numbers: Sequence[str | float],
    outputs: Sequence[int],
    *,
    steps: Sequence[int] = (),
    inputs: Sequence[str] | None = None,
    names: Sequence[str] = ("value",),
    name: str | None = None,
    single: bool = True,
) -> Program:
    """Return the Program of a key.

    Args:
        key: the structure.
        leaves: for every leaf the name of an input, or a literal.
        numbers: for every number the name of an input, or a literal.
        outputs: the places of the results.
        steps: the operations that become named steps, u and their place.
        inputs: all inputs in order, if they are not the leaves and the numbers.
        names: what the results are called.
        name: the name of the function.
        single: calling gives one value and not a tuple.
    """
    writer = Writer()
    below = [_write_leaf(writer, leaf) for leaf in leaves]
    rest = iter(numbers)
    at: list[int] = []
    lines: list[str] = []
    for place, (op, *refs) in enumerate(key):
        operands: list[int] = []
        shown: list[str] = []
        for ref in refs:
            if isinstance(ref, int):
                operands.append(at[ref] if ref >= 0 else below[-1 - ref])
                shown.append(f"v{ref}" if ref >= 0 else str(leaves[-1 - ref]))
            else:
                leaf = next(rest) if ref is None else ref
                literal = ref is not None or not isinstance(leaf, str)
                operands.append(
                    _write_literal(writer, leaf) if literal else writer.input(str(leaf))
                )
                shown.append(str(leaf))
        position = operands[0] if op == "copy" else writer.emit(str(op), tuple(operands))
        if place in steps:
            position = writer.emit("step", (position,), payload=f"u{place}")
        at.append(position)
        lines.append(f"{'u' if place in steps else 'v'}{place} = {_shown(str(op), shown)}")
    given = [name for name in (*leaves, *numbers) if isinstance(name, str)]
    positions = [at[place] if place >= 0 else below[-1 - place] for place in outputs]
    return Program(
        instructions=writer.instructions,
        inputs=tuple(given if inputs is None else inputs),
        outputs=tuple(zip(names, positions, strict=True)),
        text="\n".join(lines),
        name=name,
        single=single,
    )


def _write_leaf(writer: Writer, leaf: str | float) -> int:
    if isinstance(leaf, str):
        return writer.input(leaf)
    return _write_literal(writer, leaf)


def _write_literal(writer: Writer, literal: str | float) -> int:
    """Append a number as it is written; text may name a constant."""
    if literal in CONSTANTS:
        return writer.emit("constant", payload=str(literal))
    if isinstance(literal, str):
        return writer.number(Fraction(literal), decimal="." in literal)
    if literal - literal != 0.0:
        return writer.number(literal)
    # The shortest decimal is what the user typed, and whole numbers read better as such.
    exact = Fraction(repr(literal))
    return writer.number(exact, decimal=exact.denominator != 1)


def _shown(op: str, operands: Sequence[str]) -> str:
    """Return an operation for reading."""
    if op in _SIGNS and len(operands) == 2:
        return f"{operands[0]}{_SIGNS[op]}{operands[1]}"
    return operands[0] if op == "copy" else f"{op}({', '.join(operands)})"
