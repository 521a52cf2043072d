"""Comparison of kernels with mpmath, shared by the tests.

Everything here measures in units in the last place (ULP) of the exact result: an error of
1 ULP is the distance of two neighbouring doubles.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import mpmath
import numpy as np

import symgrad as sg
from symgrad.calculus import reference

inf, nan = math.inf, math.nan

#: Doubles where formulas break: zeros, the ends of the range, the ends of precision.
SPECIAL = (
    *(0.0, -0.0, 5e-324, -5e-324, 1e-310, 1e-300, -1e-300, 1e-8, -1e-8, 0.5, -0.5, 1.0, -1.0),
    *(2.0, -2.0, 20.0, -20.0, 400.0, -400.0, 800.0, -800.0, 1e16, -1e16, 1e200, -1e200),
    *(1e300, -1e300, 1.7e308, -1.7e308, inf, -inf, nan),
)

Draw = Callable[[random.Random], float]


def seeded(name: str) -> random.Random:
    """Return a generator of its own for a test, the same in every run."""
    return random.Random(f"symgrad {name}")


def uniform(low: float, high: float) -> Draw:
    return lambda rng: rng.uniform(low, high)


def logarithmic(low: float, high: float, *, signs: bool = False) -> Draw:
    """Return a draw of numbers of every magnitude between two powers of ten."""

    def draw(rng: random.Random) -> float:
        x = 10.0 ** rng.uniform(low, high)
        return -x if signs and rng.random() < 0.5 else x

    return draw


def ulps(got: float, exact: Any, *, scale: Any = 0, bits: int = 53) -> float:
    """Return the error of a number in units in the last place.

    Args:
        got: what was computed.
        exact: the mpmath number that it should be.
        scale: the unit is that of the larger of this and the exact result.
        bits: 53 for doubles, 24 for single precision.
    """
    if mpmath.isnan(exact) or math.isnan(got):
        return 0.0 if mpmath.isnan(exact) and math.isnan(got) else inf
    top, least = (1024, -1074) if bits == 53 else (128, -149)
    size = max(abs(exact), abs(scale))
    limit = mpmath.mpf(2) ** top
    if math.isinf(got) or mpmath.isinf(exact) or abs(exact) >= limit:
        beyond = abs(exact) >= limit * (1 - mpmath.mpf(2) ** (6 - bits))
        return 0.0 if beyond and (got > 0) == (exact > 0) and math.isinf(got) else inf
    exponent = max(mpmath.frexp(size)[1] - bits, least) if size else least
    return float(abs(mpmath.mpf(got) - exact) / mpmath.mpf(2) ** exponent)


def same(a: float, b: float) -> bool:
    """Tell whether two numbers are equal or both NaN."""
    return a == b or (a != a and b != b)


def identical(a: Any, b: Any) -> bool:
    """Tell whether arrays agree in every bit, NaN and the sign of zero included."""
    a, b = np.asarray(a), np.asarray(b)
    return bool(
        np.array_equal(a, b, equal_nan=True)
        and np.array_equal(np.signbit(a)[a == a], np.signbit(b)[b == b])
    )


def gradient_at(
    f: sg.Function, point: Mapping[str, float], names: Sequence[str], digits: int = 50
) -> list[Any]:
    """Return the exact partial derivatives of a function at a point."""
    return [reference.derivative(f.program, point, name, digits=digits) for name in names]


def one_sided(f: sg.Function, point: Mapping[str, float], name: str, h: float) -> Any:
    """Return the difference quotient for a step of `h`, less than that near 0.

    The working precision must be the caller's: about 900 digits for any double.
    """
    digits = mpmath.mp.dps
    x = mpmath.mpf(point[name])
    step = mpmath.mpf(h) * min(abs(x) or 1, 1)
    there, here = (
        reference.value(f.program, {**point, name: z}, digits=digits) for z in (x + step, x)
    )
    return (there - here) / step


def check(
    f: sg.Function,
    points: Iterable[Sequence[float]],
    *,
    bound: float = 16.0,
    wrt: Sequence[str] | None = None,
    digits: int = 50,
    scale: Any = 0,
) -> float:
    """Assert that value and gradient of a function are right; return the largest error.

    Reverse mode, forward mode and the numerical derivative of the reference are compared,
    at every point, for all inputs (or the names in `wrt`, steps allowed).
    """
    names = tuple(wrt or f.inputs)
    both = sg.value_and_grad(f, wrt=names)
    forward = f.transformed(ByTangents(names))
    worst = 0.0
    for point in points:
        where = dict(zip(f.inputs, map(float, point), strict=True))
        value, gradient = both(*where.values())
        tangents = forward(*where.values())
        found = [(value, reference.value(f.program, where, digits=digits), "value")]
        exact = gradient_at(f, where, names, digits)
        found += zip(gradient, exact, (f"reverse by {n}" for n in names), strict=True)
        found += zip(tangents, exact, (f"forward by {n}" for n in names), strict=True)
        for got, true, what in found:
            error = ulps(float(got), true, scale=scale)
            shown = mpmath.nstr(true, 18)
            assert error <= bound, f"{what} at {where}: {got!r}, not {shown} ({error:.1f} ULP)"
            worst = max(worst, error)
    return worst


class ByTangents:
    """A transformation: the gradient by one forward sweep for each name."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def apply(self, graph: Any, packing: Any) -> Any:
        from dataclasses import replace

        from symgrad.calculus.sweep import tangents
        from symgrad.calculus.transform import Block
        from symgrad.graph.node import Output

        b = graph.builder
        outputs = []
        for name in self.names:
            target = graph.find(name)
            found = tangents(b, {target: b.number(1)}, [o.node for o in graph.outputs])
            total = found[0]
            for more in found[1:]:
                total = b.apply("add", total, more)
            outputs.append(Output(f"{name}_dot", total, graph.outputs[0].like))
        blocks = tuple(Block(k) for k in range(len(outputs)))
        return replace(graph, outputs=tuple(outputs)), blocks
