"""Reference values in many digits, independent of everything that makes kernels.

A Program is evaluated instruction by instruction with mpmath's own functions, over arrays
point by point, and its derivatives are numerical ones of that evaluation. Nothing of the
Graph, the rules, the sweeps or the printer takes part, so agreement with a kernel is
evidence.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import mpmath
import numpy as np

from ..errors import ArgumentError
from ..language.functions import REDUCTIONS
from ..language.program import Instruction, Number, Program

__all__ = ["DIGITS", "derivative", "value"]

#: Decimal digits of the computation.
DIGITS = 50

Real = Any  # mpmath.mpf, or an array of them; the package has no types


def value(
    program: Program,
    point: Mapping[str, Any],
    *,
    output: str | None = None,
    fixed: Mapping[str, Any] | None = None,
    digits: int = DIGITS,
) -> Real:
    """Return an output at a point as an mpmath number; NaN outside the real domain.

    Where an input is an array, so is an output that varies with it.

    Args:
        program: the formula.
        point: a number or an array for every input; floats are taken exactly.
        output: name of an output or step; the first output if None.
        fixed: values to put in the place of named steps.
        digits: decimal digits of the computation.

    >>> from symgrad.language.parse import parse
    >>> print(mpmath.nstr(value(parse("sqrt(x)"), {"x": 2.0}), 20))
    1.4142135623730950488
    >>> print(value(parse("prod(x) + max(x)"), {"x": [2.0, 3.0, 5.0]}))
    35.0
    """
    with mpmath.workdps(digits):
        values = _run(program, point, fixed or {})
        known = dict(program.outputs) | program.steps
        if output is None:
            return values[program.outputs[0][1]]
        if output not in known:
            raise ArgumentError(f"there is no output or step '{output}'")
        return values[known[output]]


def derivative(
    program: Program,
    point: Mapping[str, Any],
    *wrt: str | tuple[str, int],
    output: str | None = None,
    digits: int = DIGITS,
) -> Real:
    """Return a derivative at a point, by inputs or named steps, one name for each order.

    An element of an array is a pair of the name and the place in the flat array; the output
    must be a number.

    It is mpmath's numerical derivative with steps in proportion to the point, and has at
    least half of `digits` correct wherever the function is smooth and changes by a good
    part of itself when the point does; a function near its asymptote needs more digits. At
    a kink it means nothing.

    >>> from symgrad.language.parse import parse
    >>> print(mpmath.nstr(derivative(parse("1/x"), {"x": 1e-200}, "x"), 20))
    -1.0000000000000000358e+400
    """
    names = list(dict.fromkeys(wrt))
    orders = tuple(wrt.count(name) for name in names)
    with mpmath.workdps(digits):
        start = []
        for name in names:
            if isinstance(name, tuple):
                start.append(_number(point[name[0]]).flat[name[1]])
            elif name in program.inputs:
                start.append(_number(point[name]))
            else:
                start.append(value(program, point, output=name, digits=digits))

        # A variable s*(1 + t), or t where it starts at 0, for a step that fits its size.
        def along(*parts: Real) -> Real:
            arguments = [s * (1 + t) if s else t for s, t in zip(start, parts, strict=True)]
            fixed: dict[str, Real] = {}
            shifted = dict(point)
            for name, argument in zip(names, arguments, strict=True):
                if isinstance(name, str):
                    fixed[name] = shifted[name] = argument
                else:
                    shifted[name[0]] = array = _number(shifted[name[0]])
                    array.flat[name[1]] = argument
            return value(program, shifted, output=output, fixed=fixed, digits=mpmath.mp.dps)

        scaled = mpmath.diff(along, (0,) * len(start), orders)
        for s, order in zip(start, orders, strict=True):
            scaled = scaled / s**order if s else scaled
        return scaled


def _number(x: Any) -> Real:
    """Return a number, or every number of a new array, in the working precision."""
    if isinstance(x, np.ndarray | list):
        return _pointwise(_number, np.array(x, dtype=object))
    if isinstance(x, Fraction):
        return mpmath.mpf(x.numerator) / x.denominator
    return mpmath.mpf(float(x) if isinstance(x, np.generic) else x)


def _run(program: Program, point: Mapping[str, Any], fixed: Mapping[str, Any]) -> list[Real]:
    values: list[Real] = []
    for code in program.instructions:
        operands = [values[operand] for operand in code.operands]
        values.append(_evaluate(code, operands, point, fixed))
    return values


def _evaluate(
    code: Instruction,
    operands: list[Real],
    point: Mapping[str, Any],
    fixed: Mapping[str, Any],
) -> Real:
    payload = code.payload
    if isinstance(payload, Number):
        return _number(payload.value)
    if code.op == "input":
        return _number(point[str(payload)])
    if code.op == "step":
        return _number(fixed[str(payload)]) if payload in fixed else operands[0]
    if code.op == "constant":
        return {"pi": +mpmath.pi, "e": +mpmath.e, "inf": mpmath.inf, "nan": mpmath.nan}[
            str(payload)
        ]
    if code.op in REDUCTIONS:
        every = np.broadcast_arrays(
            *(np.asarray(operand, dtype=object) for operand in operands)
        )
        return _call(code.op, *([*points.flat] for points in every))
    if any(isinstance(operand, np.ndarray) for operand in operands):
        return _pointwise(partial(_call, code.op), *operands)
    return _call(code.op, *operands)


def _pointwise(f: Callable[..., Any], *operands: Any) -> Any:
    """Return an array of what a function gives for the elements of arrays."""
    with np.errstate(all="ignore"):
        return np.frompyfunc(f, len(operands), 1)(*operands)


def _call(op: str, *operands: Any) -> Real:
    try:
        return _real(FUNCTIONS[op](*operands))
    except (ZeroDivisionError, ValueError, OverflowError, mpmath.libmp.NoConvergence):
        return mpmath.nan


def _real(x: Any) -> Real:
    if isinstance(x, bool):
        return x
    if isinstance(x, mpmath.mpc):
        return x.real if x.imag == 0 else mpmath.nan
    return mpmath.mpf(x)


def _power(x: Real, y: Real) -> Real:
    if x < 0 and y != mpmath.floor(y):
        return mpmath.nan
    return mpmath.power(x, y)


def _relation(holds: Callable[[Real, Real], bool]) -> Callable[[Real, Real], Any]:
    """Return a comparison that is NaN, neither true nor false, where an operand is NaN."""

    def compare(x: Real, y: Real) -> Any:
        return mpmath.nan if mpmath.isnan(x) or mpmath.isnan(y) else holds(x, y)

    return compare


def _logic(decide: Callable[..., bool]) -> Callable[..., Any]:
    """Return a connective of conditions; one that is NaN makes the result NaN."""

    def connect(*conditions: Any) -> Any:
        if any(mpmath.isnan(condition) for condition in conditions):
            return mpmath.nan
        return decide(*map(bool, conditions))

    return connect


def _where(condition: Any, yes: Real, no: Real) -> Real:
    if mpmath.isnan(condition):
        return mpmath.nan
    return yes if condition else no


def _round(x: Real) -> Real:
    below = mpmath.floor(x)
    rest = x - below
    up = rest > mpmath.mpf(1) / 2 or (rest == mpmath.mpf(1) / 2 and below % 2 == 1)
    return below + 1 if up else below


def _cbrt(x: Real) -> Real:
    return mpmath.sign(x) * mpmath.cbrt(abs(x))


def _sinc(x: Real) -> Real:
    return mpmath.sinc(x)


def _sinc_derivative(n: Real, x: Real) -> Real:
    # d^n/dx^n sin(x)/x is the integral of cos(xt + n*pi/2)*t^n over 0 <= t <= 1.
    order = int(n)
    wave = mpmath.hyp1f1(order + 1, order + 2, mpmath.mpc(0, x)) / (order + 1)
    return (wave.real, -wave.imag, -wave.real, wave.imag)[order % 4]


def _lgamma(x: Real) -> Real:
    return mpmath.log(abs(mpmath.gamma(x)))


def _extremum(choose: Callable[..., Real]) -> Callable[..., Real]:
    def pick(*xs: Real) -> Real:
        return mpmath.nan if any(mpmath.isnan(x) for x in xs) else choose(xs)

    return pick


def _mean(points: Sequence[Real]) -> Real:
    return mpmath.fsum(points) / len(points)


def _variance(points: Sequence[Real]) -> Real:
    mean = _mean(points)
    return _mean([(x - mean) ** 2 for x in points])


def _log_sum_exp(points: Sequence[Real]) -> Real:
    return mpmath.log(mpmath.fsum(map(mpmath.exp, points)))


def _dot(points: Sequence[Real], others: Sequence[Real]) -> Real:
    return mpmath.fsum(x * y for x, y in zip(points, others, strict=True))


def _clip(x: Real, low: Real, high: Real) -> Real:
    return FUNCTIONS["min"](FUNCTIONS["max"](x, low), high)


def _softplus(x: Real) -> Real:
    return mpmath.log1p(mpmath.exp(x)) if x < 0 else x + mpmath.log1p(mpmath.exp(-x))


def _sigmoid(x: Real) -> Real:
    return 1 / (1 + mpmath.exp(-x))


#: The meaning of every operation of the function table.
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "fma": lambda x, y, z: x * y + z,
    "fms": lambda x, y, z: x * y - z,
    "fnma": lambda x, y, z: z - x * y,
    "pow": _power,
    "lt": _relation(operator.lt),
    "le": _relation(operator.le),
    "gt": _relation(operator.gt),
    "ge": _relation(operator.ge),
    "eq": _relation(operator.eq),
    "ne": _relation(operator.ne),
    "and": _logic(lambda x, y: x and y),
    "or": _logic(lambda x, y: x or y),
    "not": _logic(operator.not_),
    "where": _where,
    "sum": mpmath.fsum,
    "mean": _mean,
    "prod": mpmath.fprod,
    "amax": lambda points: FUNCTIONS["max"](*points) if points else -mpmath.inf,
    "amin": lambda points: FUNCTIONS["min"](*points) if points else mpmath.inf,
    "dot": _dot,
    "norm": lambda points: mpmath.sqrt(_dot(points, points)),
    "var": _variance,
    "std": lambda points: mpmath.sqrt(_variance(points)),
    "logsumexp": _log_sum_exp,
    "root": mpmath.sqrt,
    **{
        name: getattr(mpmath, name)
        for name in [
            "sin",
            "cos",
            "tan",
            "cot",
            "sec",
            "csc",
            "asin",
            "acos",
            "atan",
            "atan2",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "acosh",
            "atanh",
            "exp",
            "expm1",
            "log",
            "log1p",
            "log10",
            "sqrt",
            "hypot",
            "sign",
            "floor",
            "ceil",
            "erf",
            "erfc",
            "gamma",
            "digamma",
        ]
    },
    "exp2": lambda x: mpmath.power(2, x),
    "log2": lambda x: mpmath.log(x, 2),
    "cbrt": _cbrt,
    "atan_slope": lambda x: 1 / (1 + x**2),
    "asinh_slope": lambda x: 1 / mpmath.sqrt(1 + x**2),
    "acosh_slope": lambda x: 1 / mpmath.sqrt(x**2 - 1) if x >= 1 else mpmath.nan,
    "expm1_slope": mpmath.exp,
    "atan2_slope": lambda x, y: y / (x**2 + y**2),
    "hypot_slope": lambda x, y: x / mpmath.hypot(x, y) if x or y else x,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "abs": abs,
    "round": _round,
    "trunc": lambda x: mpmath.sign(x) * mpmath.floor(abs(x)),
    "mod": lambda x, y: x - y * mpmath.floor(x / y),
    "max": _extremum(max),
    "min": _extremum(min),
    "clip": _clip,
    "heaviside": lambda x: (mpmath.sign(x) + 1) / 2,
    "lgamma": _lgamma,
    "polygamma": lambda n, x: mpmath.polygamma(int(n), x),
    "besselj0": lambda x: mpmath.besselj(0, x),
    "besselj1": lambda x: mpmath.besselj(1, x),
    "erf_slope": lambda x: 2 * mpmath.exp(-(x**2)) / mpmath.sqrt(mpmath.pi),
    "ndtr": lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "ndtr_slope": lambda x: mpmath.exp(-(x**2) / 2) / mpmath.sqrt(2 * mpmath.pi),
    "sech2": lambda x: 1 / mpmath.cosh(x) ** 2,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "relu": lambda x: FUNCTIONS["max"](x, mpmath.mpf(0)),
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "logaddexp": lambda x, y: max(x, y) + mpmath.log1p(mpmath.exp(-abs(x - y))),
    "xlogy": lambda x, y: mpmath.mpf(0) if x == 0 else x * mpmath.log(y),
    "sinc": _sinc,
    "sinc_derivative": _sinc_derivative,
}
