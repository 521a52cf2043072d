"""The functions of the table for tensors, arrays and numbers: ``symgrad.sin(x)``.

One tensor among the operands makes the call a recorded operation; arrays and numbers are
computed at once by a compiled Function and give NumPy arrays and scalars.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import ArgumentError, DTypeError, UnsupportedError
from ..language.functions import FUNCTIONS, NAMES, ORDERS, REDUCTIONS, called
from ..runtime import arrays
from .record import Code, forward
from .tensor import Tensor, apply, operand, reduced
from .tensor import power as record_power

__all__ = ["apply_function"]

pi = math.pi
e = math.e
inf = math.inf
nan = math.nan

#: Reductions that NumPy divides by the number of elements and PyTorch by one less.
_AMBIGUOUS = frozenset({"var", "std"})


def apply_function(name: str, operands: tuple[Any, ...]) -> Any:
    """Return a function of the table, called by any of its names, of the operands."""
    op = called(name, len(operands)) or name
    row = FUNCTIONS.get(op)
    if row is None:
        return NotImplemented
    least, most = row.arity
    if len(operands) < least or (most is not None and len(operands) > most):
        count = str(least) if least == most else f"at least {least}"
        raise ArgumentError(f"{name}() takes {count} arguments and got {len(operands)}")
    literals: tuple[str, ...] = ()
    if op in ORDERS:
        literals, operands = (_order(op, operands[0]),), operands[1:]
    if not any(isinstance(value, Tensor) for value in operands):
        return _compute(op, literals, operands)
    if op in _AMBIGUOUS:
        raise UnsupportedError(
            f"{op}() of tensors is not what NumPy and PyTorch agree on: "
            "write ((x - x.mean())**2).mean()"
        )
    if op in REDUCTIONS:
        return reduced(op, tuple([_recorded(value) for value in operands]))
    if op == "pow":
        return record_power(*[_recorded(value) for value in operands])
    if op in ("max", "min"):
        # Folded in pairs, as the derivative wants it.
        result = operands[0]
        for other in operands[1:]:
            result = apply(op, (_recorded(result), _recorded(other)))
        return result
    return apply(op, (*literals, *[_recorded(value) for value in operands]))


def _recorded(value: Any) -> Any:
    found = operand(value)
    return operand(arrays.operand(value, "x")) if found is NotImplemented else found


def _order(op: str, value: Any) -> str:
    most = ORDERS[op]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise DTypeError(f"the order of {op} must be a number 0, 1, 2, ..., {most}")
    return str(value)


def _compute(op: str, literals: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """Return the value for arrays and numbers, by the kernel that tensors use too."""
    code: Code = (op, *literals, *[-1 - place for place in range(len(values))])
    return forward((code,)).function(*values)


def _named(name: str) -> Callable[..., Any]:
    """Return the function of the table that is called by a name."""
    row = FUNCTIONS[NAMES[name]]
    op = row.name
    simple = row.arity == (1, 1) and not row.reduction

    def function(*operands: Any) -> Any:
        if simple and len(operands) == 1 and type(operands[0]) is Tensor:
            return apply(op, (operands[0]._node,))
        return apply_function(name, operands)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"Return {row.name} of tensors, arrays or numbers, "
        f"{'over all' if row.reduction else 'element by'} element{'s' * row.reduction}.\n\n"
        f"Domain: {row.domain}. At kinks: {row.kink or 'none'}."
    )
    return function


globals().update({name: _named(name) for name in NAMES})
