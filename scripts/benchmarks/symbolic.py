"""The formulas as SymPy expressions, and what they give in mpmath."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy

import symgrad as sg

from .workloads import Problem, Workload

__all__ = ["Model", "call_stepwise", "exact", "in_doubles", "model_of", "reduce_columns"]

Expression = Any

#: Digits of the reference.
DIGITS = 40


@dataclass(frozen=True)
class Model:
    """A workload at one point, in SymPy.

    Attributes:
        symbols: the inputs in order.
        steps: the named steps, each in terms of the earlier ones.
        result: the value in terms of inputs and steps.
        value: the value in terms of the inputs.
        derivatives: of the value by the names in `wrt`, in terms of the inputs.
    """

    symbols: tuple[Expression, ...]
    steps: tuple[tuple[Expression, Expression], ...]
    result: Expression
    value: Expression
    derivatives: tuple[Expression, ...]

    @property
    def expressions(self) -> list[Expression]:
        """The value and its derivatives."""
        return [self.value, *self.derivatives]

    def shared(self) -> tuple[list[tuple[Expression, Expression]], list[Expression]]:
        """Return value and derivatives with their common subexpressions taken out."""
        taken = sympy.numbered_symbols("t_", real=True)
        replaced, left = sympy.cse(self.expressions, symbols=taken)
        return list(replaced), list(left)


@lru_cache
def _model(formula: str, wrt: tuple[str, ...]) -> Model:
    function = sg.compile(formula)
    symbols = tuple(sympy.Symbol(name, real=True) for name in function.inputs)
    steps = tuple(
        (sympy.Symbol(name, real=True), function.expression(name))
        for name in function.intermediates
    )
    result = function.expression()
    value = result
    for name, expression in reversed(steps):
        value = value.xreplace({name: expression})
    by_name = {symbol.name: symbol for symbol in symbols}
    derivatives = tuple(sympy.diff(value, by_name[name]) for name in wrt)
    return Model(symbols, steps, result, value, derivatives)


def model_of(workload: Workload) -> Model:
    """Return value and derivatives of a workload at one point, as SymPy derives them."""
    return _model(workload.point_formula, workload.wrt)


def call_stepwise(model: Model, functions: Mapping[str, Any]) -> Any:
    """Return a Python function of the value alone, step by step, for peers that derive it.

    Args:
        model: the formula.
        functions: what `exp`, `log` and so on mean.
    """
    steps = list(model.steps)
    table = {**functions, "sqrt": _or_number(functions["sqrt"])}
    return sympy.lambdify(
        model.symbols, model.result, modules=[table], cse=lambda e: (steps, e)
    )


def _or_number(root: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let a square root of a peer take plain numbers, as in sqrt(2), as well."""
    return lambda u: math.sqrt(u) if isinstance(u, int | float) else root(u)


def exact(problem: Problem) -> list[Any]:
    """Return the value and the derivatives in many digits.

    For formulas over points these are lists of one number for each point, for losses
    single numbers.
    """
    workload = problem.workload
    model = model_of(workload)
    function = sympy.lambdify(model.symbols, model.expressions, modules="mpmath", cse=True)
    with mpmath.workdps(DIGITS):
        parameters = [mpmath.mpf(value) for value in problem.parameters.values()]
        columns = [[mpmath.mpf(float(v)) for v in a] for a in problem.arrays.values()]
        rows = [function(*point, *parameters) for point in zip(*columns, strict=True)]
        results = [list(column) for column in zip(*rows, strict=True)]
        if not workload.reduce:
            return results
        weight = len(rows) if workload.reduce == "mean" else 1
        return [mpmath.fsum(column) / weight for column in results]


def in_doubles(problem: Problem) -> list[np.ndarray]:
    """Return value and derivatives in NumPy's doubles, for problems too large for mpmath."""
    workload = problem.workload
    model = model_of(workload)
    function = sympy.lambdify(
        model.symbols, model.expressions, modules=["scipy", "numpy"], cse=True
    )
    arrays = [a.astype(np.float64) for a in problem.arrays.values()]
    with np.errstate(all="ignore"):
        results = function(*arrays, *problem.parameters.values())
    return reduce_columns(workload, results, problem.points)


def reduce_columns(workload: Workload, columns: Sequence[Any], points: int) -> list[Any]:
    """Sum or average results over points, if the workload is a loss."""
    full = [np.broadcast_to(column, (points,)) for column in columns]
    if workload.reduce == "sum":
        return [column.sum() for column in full]
    if workload.reduce == "mean":
        return [column.mean() for column in full]
    return full
