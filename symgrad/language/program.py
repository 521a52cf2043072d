"""The Program: what the user wrote, as straight-line, single-assignment code.

A Program is a flat list of instructions (a Wengert list). Operands are positions in the
list, always smaller than the instruction's own, so nothing that walks a Program ever
recurses, however deep the formula. It keeps what the user wrote: association, exact
literals, and for every instruction the characters that it came from. Simplification is
the Graph's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from ..errors import Span

__all__ = ["CONSTANTS", "Instruction", "Number", "Payload", "Program", "Writer"]

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

    instructions: tuple[Instruction, ...]
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
        return {
            str(code.payload): position
            for position, code in enumerate(self.instructions)
            if code.op == "step"
        }

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
        self.instructions: list[Instruction] = []
        self._inputs: dict[str, int] = {}

    def emit(
        self,
        op: str,
        operands: tuple[int, ...] = (),
        payload: Payload = None,
        span: Span | None = None,
    ) -> int:
        """Append one instruction and return its position."""
        self.instructions.append(Instruction(op, operands, payload, span))
        return len(self.instructions) - 1

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
