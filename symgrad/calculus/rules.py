"""Local partial derivatives: out of SymPy, once per operation.

For an operation that SymPy knows, the partials are the derivatives of its SymPy meaning by
each operand; where the function table overrides them (it says why), the formula of the table
is taken. Either way the result is a Program, a template that the sweeps instantiate over and
over, so SymPy's milliseconds are paid once per operation and process.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from ..language.functions import FUNCTIONS, Function
from ..language.parse import parse
from ..language.program import Program

__all__ = ["Style", "partial"]

#: "kernel": the formula that is evaluated, guarded at kinks and stable.
#: "textbook": the formula that a person expects to read.
Style = Literal["kernel", "textbook"]


@cache
def partial(op: str, arity: int, position: int, style: Style = "kernel") -> Program | None:
    """Return the derivative of an operation by one operand as a template, None if it is 0.

    The inputs of the template are the operands in order.

    >>> partial("tanh", 1, 0, "textbook").text
    '1 - tanh(x)**2'
    """
    row = FUNCTIONS[op]
    names = operand_names(arity)
    source = row.partials
    if style == "textbook" and row.textbook is not None:
        source = row.textbook
    formulas = source(arity) if callable(source) else source
    if formulas is None:
        return _from_sympy(row, names, position)
    if formulas[position] == "0":
        return None
    return parse(formulas[position], inputs=names)


def operand_names(arity: int) -> tuple[str, ...]:
    """Return what the operands of a row are called in its formulas."""
    return ("x", "y")[:arity] if arity <= 2 else tuple(f"x{i}" for i in range(arity))


def _from_sympy(row: Function, names: tuple[str, ...], position: int) -> Program | None:
    """Differentiate the SymPy meaning of a row."""
    import sympy as sp

    from ..language.from_sympy import read

    operands = [sp.Symbol(name, real=True) for name in names]
    derivative = row.meaning(sp, *operands).diff(operands[position])
    return None if derivative == 0 else read(derivative, inputs=names)
