"""Local partial derivatives: out of SymPy, once per operation.

For an operation that SymPy knows, the partials are the derivatives of its SymPy meaning by
each operand; where the function table overrides them (it says why), the formula of the table
is taken. Either way the result is a Program, a template that the sweeps apply over and
over. What SymPy derives is written down in `symgrad.calculus.derived` when the table changes,
so that a process that computes gradients need not load SymPy; the tests derive it again.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from ..language.functions import FUNCTIONS, REDUCTIONS, Function
from ..language.parse import parse
from ..language.program import Program
from .derived import DERIVED

__all__ = ["Style", "derive", "partial", "underived"]

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
        formulas = DERIVED[op]
    if formulas[position] == "0":
        return None
    return parse(formulas[position], inputs=names)


def operand_names(arity: int) -> tuple[str, ...]:
    """Return what the operands of a row are called in its formulas."""
    return ("x", "y")[:arity] if arity <= 2 else tuple(f"x{i}" for i in range(arity))


def derive(row: Function) -> tuple[str, ...]:
    """Return the derivatives of a row's SymPy meaning by each operand, as formulas.

    >>> derive(FUNCTIONS["tan"])
    ('tan(x)**2 + 1',)
    """
    import sympy as sp

    arity = row.arity[0]
    operands = [sp.Symbol(name, real=True) for name in operand_names(arity)]
    meaning = row.meaning(sp, *operands)
    return tuple(str(meaning.diff(operand)) for operand in operands)


def underived() -> tuple[str, ...]:
    """Return the names of the rows whose derivatives SymPy provides."""
    native = {"where", "clip", *REDUCTIONS}
    return tuple(
        row.name
        for row in FUNCTIONS.values()
        if row.partials is None and not row.boolean and row.name not in native
    )
