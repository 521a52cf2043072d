"""numexpr: one blocked pass for each result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import sympy
from sympy.printing.pycode import PythonCodePrinter

from ..symbolic import model_of
from ..workloads import Problem
from .base import Peer, Runner, UnavailableError, load

__all__ = ["NumExpr"]

_KNOWN = {"exp": "exp", "log": "log", "sin": "sin", "cos": "cos", "tanh": "tanh"}


class _Printer(PythonCodePrinter):  # type: ignore[misc]
    """Prints an expression for numexpr, with constants as variables of the right type."""

    def __init__(self, constants: dict[str, float]) -> None:
        super().__init__({"fully_qualified_modules": False, "user_functions": _KNOWN})
        self._constants = constants

    def doprint(self, expression: Any) -> str:
        """Print an expression; its numbers that are not whole become variables."""
        missing = [
            type(f).__name__
            for f in expression.atoms(sympy.Function)
            if type(f).__name__ not in _KNOWN
        ]
        if missing:
            raise UnavailableError(f"numexpr has no {missing[0]}")
        return str(super().doprint(expression))

    def _constant(self, expression: Any) -> str:
        value = float(expression)
        for name, known in self._constants.items():
            if known == value:
                return name
        name = f"number{len(self._constants)}"
        self._constants[name] = value
        return name

    def _print_Rational(self, expression: Any) -> str:  # noqa: N802
        return self._constant(expression)

    def _print_Pi(self, expression: Any) -> str:  # noqa: N802
        return self._constant(expression)

    def _print_Pow(self, expression: Any, **options: Any) -> str:  # noqa: N802
        base, exponent = expression.as_base_exp()
        if base.is_number:
            return self._constant(expression)
        printed = self.parenthesize(base, 100)
        root = exponent * 2
        if exponent.is_Integer or not root.is_Integer:
            power = self._power(printed, exponent)
        else:
            power = self._power(f"sqrt({printed})", root)
        return power

    def _power(self, base: str, exponent: Any) -> str:
        if not exponent.is_Integer:
            return f"({base}**{self._constant(exponent)})"
        power = base if abs(exponent) == 1 else f"({base}**{abs(int(exponent))})"
        return f"(1/{power})" if exponent < 0 else power


class _Pass:
    """One compiled expression with its operands."""

    def __init__(self, text: str, names: dict[str, np.ndarray], out: np.ndarray) -> None:
        necompiler = load("numexpr.necompiler")
        kind = necompiler.double if out.dtype == np.float64 else float
        used = set(necompiler.getExprNames(text, {}, sanitize=False)[0])
        signature = [(name, kind) for name in names if name in used]
        compiled = necompiler.NumExpr(text, signature=signature, sanitize=False)
        operands = [names[name] for name, _ in signature]
        more: dict[str, Any] = {"ex_uses_vml": False}
        if not text.startswith("sum("):
            more["out"] = out
        self.run: Callable[[], Any] = partial(compiled, *operands, **more)


class NumExpr(Peer):
    """One evaluation for each result, shared functions in arrays of their own."""

    name = "numexpr"
    title = "numexpr"
    version_of = "numexpr"
    note = (
        "one compiled expression for each result; elementary functions that several "
        "results share are computed once into an array"
    )

    def prepare(self, problem: Problem) -> Runner:
        """Compile every pass."""
        load("numexpr").set_num_threads(1)
        shared, results = _split(problem)
        constants: dict[str, float] = {}
        printer = _Printer(constants)
        texts = [(str(name), printer.doprint(e)) for name, e in shared]
        finals = [printer.doprint(e) for e in results]
        names: dict[str, np.ndarray] = dict(problem.arrays)
        names |= dict(zip(problem.parameters, problem.scalars(), strict=True))
        names |= {name: np.array(value, problem.dtype) for name, value in constants.items()}
        passes = []
        for name, text in texts:
            names[name] = np.zeros(problem.points, problem.dtype)
            passes.append(_Pass(text, names, names[name]).run)
        outputs = problem.buffers()
        reduce = problem.workload.reduce
        for text, out in zip(finals, outputs, strict=True):
            passes.append(_Pass(f"sum({text})" if reduce else text, names, out).run)
        divisor = problem.points if reduce == "mean" else 1
        return Runner(partial(_run, passes, len(texts)), partial(_read, divisor))


def _split(problem: Problem) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Keep those common subexpressions that are calls of functions; inline the others."""
    shared, results = model_of(problem.workload).shared()
    kept: list[tuple[Any, Any]] = []
    inlined: dict[Any, Any] = {}
    for name, expression in shared:
        full = expression.xreplace(inlined)
        if full.has(sympy.Function):
            kept.append((name, full))
        else:
            inlined[name] = full
    return kept, [result.xreplace(inlined) for result in results]


def _run(passes: Sequence[Callable[[], Any]], temporaries: int) -> list[Any]:
    results = [one() for one in passes]
    return results[temporaries:]


def _read(divisor: int, results: Sequence[Any]) -> list[Any]:
    return [np.array(result) / divisor for result in results]
