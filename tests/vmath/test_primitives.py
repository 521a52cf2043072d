"""Every primitive against mpmath, in plain Python and compiled by Numba.

The bounds in ACCURACY are measured values times about 1.5, in units in the last place of
the exact result. Where the result can be the small difference of large terms, `scale` gives
the size of these terms and the unit is that of the larger of the two.
"""

from __future__ import annotations

import itertools
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numba
import numpy as np
import pytest

from symgrad import vmath

inf, nan = math.inf, math.nan
MP = mpmath.MPContext()
MP.dps = 50
mpf = MP.mpf


def seeded(name: str) -> random.Random:
    return random.Random(f"vmath {name}")


# Points --------------------------------------------------------------------------------


def uniform(a: float, b: float) -> Callable[[random.Random], float]:
    return lambda rng: rng.uniform(a, b)


def logarithmic(a: float, b: float, signs: bool = True) -> Callable[[random.Random], float]:
    """Return a draw of 2**uniform(a, b), of both signs."""

    def draw(rng: random.Random) -> float:
        x = math.ldexp(rng.uniform(1.0, 2.0), rng.randint(int(a), int(b)))
        return -x if signs and rng.random() < 0.5 else x

    return draw


def near(*centres: float) -> Callable[[random.Random], float]:
    def draw(rng: random.Random) -> float:
        c = rng.choice(centres)
        return c + math.ldexp(rng.uniform(-1.0, 1.0), -rng.randint(1, 50))

    return draw


def orders(top: int) -> Callable[[random.Random], float]:
    return lambda rng: float(rng.randint(0, top))


SMALL = logarithmic(-1074, -1)
WIDE = logarithmic(-1074, 1023)
WIDE_POSITIVE = logarithmic(-1074, 1023, signs=False)


# Exact values --------------------------------------------------------------------------


def exact_lgamma(x: Any) -> Any:
    if x > 0:
        return MP.loggamma(x)
    return MP.log(MP.pi / abs(MP.sinpi(x))) - MP.loggamma(1 - x)


def exact_sinc_derivative(n: Any, x: Any) -> Any:
    order, extra = int(n), min(int(1.5 * abs(x)), 400)
    with MP.workdps(60 + extra):
        if abs(x) < 300:
            k = (order + 1) // 2
            term = (-1) ** k * x ** (2 * k - order) / MP.factorial(2 * k - order)
            total = term / (2 * k + 1)
            while 2 * k < abs(x) + order or abs(term) > mpf(10) ** -(70 + order):
                k += 1
                term *= -x * x / ((2 * k - order) * (2 * k - order - 1))
                total += term / (2 * k + 1)
                if term == 0:
                    break
            return total
        value = MP.sin(x) / x
        for k in range(1, order + 1):
            s = (MP.sin(x), MP.cos(x), -MP.sin(x), -MP.cos(x))[k % 4]
            value = (s - k * value) / x
        return value


def exact_modulo(x: Any, y: Any) -> Any:
    a, b = Fraction(float(x)), Fraction(float(y))
    r = a - b * (a // b)
    with MP.workprec(4000):
        return mpf(r.numerator) / r.denominator


def exact_hypot(x: Any, y: Any) -> Any:
    return MP.sqrt(x * x + y * y)


def exact_round(x: Any) -> Any:
    return mpf(round(float(x)))


def log1pexp(x: Any) -> Any:
    return MP.log1p(MP.exp(x)) if x < 200 else x + MP.exp(-x)


def exact_logaddexp(x: Any, y: Any) -> Any:
    return max(x, y) + log1pexp(-abs(x - y))


def exact_expm1(x: Any) -> Any:
    return MP.expm1(x)


def bessel_scale(x: Any) -> Any:
    """Return the amplitude of the waves beyond the polynomials; 0 before."""
    return MP.sqrt(2 / (MP.pi * abs(x))) if abs(x) > 10 else 0


# The table -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Accuracy:
    """Bound in ULP, exact function, draws for each operand, number of points."""

    ulp: float
    exact: Callable[..., Any]
    draws: tuple[tuple[Callable[[random.Random], float], ...], ...]
    count: int = 1500
    scale: Callable[..., Any] = lambda *_: 0


def one(*draws: Callable[[random.Random], float]) -> Any:
    return tuple((d,) for d in draws)


J0_ZEROS = [float(MP.besseljzero(0, k)) for k in range(1, 7)]
J1_ZEROS = [float(MP.besseljzero(1, k)) for k in range(1, 7)]
PI_HALVES = [k * math.pi / 2 for k in range(-8, 9)]
ANGLES = one(uniform(-10, 10), uniform(-1e5, 1e5), WIDE, near(*PI_HALVES))
LOGS = one(WIDE_POSITIVE, uniform(0, 10), near(1.0))
STEPS = one(uniform(-10, 10), logarithmic(0, 60), WIDE, near(-2.0, -1.5, -0.5, 0.5, 2.5, 3.0))
PAIRS = ((uniform(-5, 5), uniform(-5, 5)), (WIDE, WIDE), (SMALL, uniform(-5, 5)))

ACCURACY: dict[str, Accuracy] = {
    "absolute": Accuracy(0, abs, one(WIDE)),
    "acos": Accuracy(0.8, MP.acos, one(uniform(-1, 1), SMALL)),
    "acosh": Accuracy(2.2, MP.acosh, one(uniform(1, 10), logarithmic(0, 1023, False))),
    "asin": Accuracy(0.8, MP.asin, one(uniform(-1, 1), SMALL)),
    "acosh_slope": Accuracy(
        1.1,
        lambda x: 1 / MP.sqrt((x - 1) * (x + 1)),
        one(uniform(1, 10), logarithmic(0, 1023, False)),
    ),
    "asinh": Accuracy(2.2, MP.asinh, one(WIDE, uniform(-5, 5))),
    "asinh_slope": Accuracy(
        1.1, lambda x: 1 / MP.sqrt(1 + x * x), one(WIDE, uniform(-5, 5), SMALL)
    ),
    "atan": Accuracy(0.8, MP.atan, one(WIDE, uniform(-5, 5))),
    "atan_slope": Accuracy(
        1.6, lambda x: 1 / (1 + x * x), one(WIDE, uniform(-5, 5), logarithmic(25, 35))
    ),
    "atan2": Accuracy(0.8, MP.atan2, PAIRS),
    "atanh": Accuracy(2.0, MP.atanh, one(uniform(-1, 1), SMALL)),
    "besselj0": Accuracy(
        4.5,
        lambda x: MP.besselj(0, x),
        one(
            uniform(-12, 12),
            uniform(-100, 100),
            logarithmic(-1074, 50),
            near(*J0_ZEROS[:3], 1.5, 4.0, 7.0, 10.25),
            near(*J0_ZEROS[3:]),
        ),
        800,
        bessel_scale,
    ),
    "besselj1": Accuracy(
        4.5,
        lambda x: MP.besselj(1, x),
        one(
            uniform(-12, 12),
            uniform(-100, 100),
            logarithmic(-1074, 50),
            near(*J1_ZEROS[:3], 2.0, 5.5, 8.5, 11.75),
            near(*J1_ZEROS[3:]),
        ),
        800,
        bessel_scale,
    ),
    "cbrt": Accuracy(0.76, lambda x: MP.sign(x) * MP.cbrt(abs(x)), one(WIDE, uniform(-9, 9))),
    "ceil": Accuracy(0, MP.ceil, STEPS),
    "cos": Accuracy(0.85, MP.cos, ANGLES),
    "cosh": Accuracy(1.5, MP.cosh, one(SMALL, uniform(-710, 710), uniform(-3, 3))),
    "cot": Accuracy(2.2, MP.cot, ANGLES),
    "csc": Accuracy(2.2, MP.csc, ANGLES),
    "digamma": Accuracy(
        4.5,
        MP.digamma,
        one(
            uniform(0, 12),
            logarithmic(-1000, 1000, False),
            near(1.4616321449683623, 1.0, 2.0, 10.0),
            uniform(-30, 0),
            logarithmic(-1000, -1),
        ),
        800,
        lambda x: (
            max(1, abs(MP.digamma(1 - x)), abs(MP.pi * MP.cot(MP.pi * x))) if x < 0 else 0
        ),
    ),
    "erf": Accuracy(1.3, MP.erf, one(SMALL, uniform(-6, 6))),
    "erfc": Accuracy(3.3, MP.erfc, one(SMALL, uniform(-6, 26))),
    "erf_slope": Accuracy(
        1.2, lambda x: 2 * MP.exp(-x * x) / MP.sqrt(MP.pi), one(SMALL, uniform(-26, 26))
    ),
    "exp": Accuracy(0.76, MP.exp, one(SMALL, uniform(-745, 709.7), uniform(-5, 5))),
    "exp2": Accuracy(0.9, lambda x: mpf(2) ** x, one(SMALL, uniform(-1074, 1023.9))),
    "expm1_slope": Accuracy(1.0, MP.exp, one(SMALL, uniform(-745, 709.7), uniform(-5, 5))),
    "expm1": Accuracy(1.2, exact_expm1, one(SMALL, uniform(-40, 709.7), uniform(-2, 2))),
    "floor": Accuracy(0, MP.floor, STEPS),
    "gamma": Accuracy(
        6.8,
        MP.gamma,
        one(uniform(0, 171), uniform(-100, 0), logarithmic(-1000, 2), near(1.0)),
    ),
    "gelu": Accuracy(
        5.1,
        lambda x: x * MP.erfc(-x / MP.sqrt(2)) / 2,
        one(uniform(-37, 0), uniform(0, 12), SMALL, uniform(-2, 2)),
    ),
    "heaviside": Accuracy(0, lambda x: mpf(x > 0), one(WIDE)),
    "hypot": Accuracy(0.65, exact_hypot, (*PAIRS[:1], (logarithmic(-1000, 1000),) * 2)),
    "atan2_slope": Accuracy(
        2.5,
        lambda x, y: y / (x * x + y * y),
        (*PAIRS[:1], (logarithmic(-400, 400),) * 2),
    ),
    "hypot_slope": Accuracy(
        1.6,
        lambda x, y: x / exact_hypot(x, y),
        (*PAIRS[:1], (logarithmic(-500, 500),) * 2),
    ),
    "integer_power": Accuracy(
        0.76,
        lambda x, n: x ** int(n),
        (
            (uniform(-2, 2), orders(64)),
            (uniform(-2, 2), lambda rng: -float(rng.randint(1, 64))),
            (logarithmic(-900, 900), lambda rng: float(rng.randint(-6, 6))),
            (near(1.0, -1.0), lambda rng: float(rng.randint(-2000, 2000))),
        ),
    ),
    "lgamma": Accuracy(
        4.0,
        exact_lgamma,
        one(uniform(0, 30), logarithmic(-1000, 1000, False), uniform(-50, 0), near(1.0, 2.0)),
        800,
    ),
    "log": Accuracy(0.95, MP.log, LOGS),
    "log10": Accuracy(2.3, MP.log10, LOGS),
    "log1p": Accuracy(1.1, MP.log1p, one(WIDE_POSITIVE, SMALL, uniform(-1, 5))),
    "log2": Accuracy(0.77, lambda x: MP.log(x, 2), LOGS),
    "logaddexp": Accuracy(
        1.6,
        exact_logaddexp,
        ((uniform(-5, 5), uniform(-5, 5)), (uniform(-900, 900),) * 2, (SMALL, SMALL)),
        scale=lambda x, y: max(abs(x), abs(y)),
    ),
    "maximum": Accuracy(0, max, PAIRS),
    "minimum": Accuracy(0, min, PAIRS),
    "modulo": Accuracy(0.5, exact_modulo, (*PAIRS, (uniform(-1e9, 1e9), uniform(-3, 3)))),
    "ndtr": Accuracy(
        1.9,
        lambda x: MP.erfc(-x / MP.sqrt(2)) / 2,
        one(uniform(-37, 0), uniform(0, 12), SMALL, uniform(-2, 2)),
    ),
    "ndtr_slope": Accuracy(
        1.2, lambda x: MP.exp(-x * x / 2) / MP.sqrt(2 * MP.pi), one(SMALL, uniform(-37, 37))
    ),
    "polygamma": Accuracy(
        10.0,
        lambda n, x: MP.psi(int(n), x),
        (
            (orders(20), uniform(0, 30)),
            (orders(3), uniform(0, 15)),
            (orders(20), logarithmic(-8, 8, False)),
            (orders(4), uniform(-20, 0)),
            (orders(20), uniform(-5, 0)),
        ),
        400,
        lambda n, x: abs(MP.psi(int(n), x - MP.floor(x))) if x < 0 else 0,
    ),
    "power": Accuracy(
        1.1,
        lambda x, y: x**y,
        ((uniform(0, 5), uniform(-300, 300)), (WIDE_POSITIVE, SMALL)),
    ),
    "relu": Accuracy(0, lambda x: max(x, mpf(0)), one(WIDE)),
    "round_half_even": Accuracy(0, exact_round, STEPS),
    "rsqrt": Accuracy(0.6, lambda x: 1 / MP.sqrt(x), one(WIDE_POSITIVE)),
    "sec": Accuracy(2.2, MP.sec, ANGLES),
    "sech2": Accuracy(
        3.5, lambda x: 1 / MP.cosh(x) ** 2, one(SMALL, uniform(-350, 350), uniform(-3, 3))
    ),
    "sigmoid": Accuracy(
        2.7, lambda x: 1 / (1 + MP.exp(-x)), one(SMALL, uniform(-745, 745), uniform(-5, 5))
    ),
    "sign": Accuracy(0, MP.sign, one(WIDE)),
    "silu": Accuracy(
        3.5, lambda x: x / (1 + MP.exp(-x)), one(SMALL, uniform(-745, 745), uniform(-5, 5))
    ),
    "sin": Accuracy(0.78, MP.sin, ANGLES),
    "sinc": Accuracy(2.0, lambda x: MP.sin(x) / x, ANGLES),
    "sinc_derivative": Accuracy(
        4.3,
        exact_sinc_derivative,
        (
            (orders(20), uniform(-40, 40)),
            (orders(3), uniform(-6, 6)),
            (orders(20), logarithmic(-40, 5)),
            (orders(20), logarithmic(8, 300)),
        ),
        700,
        lambda n, x: 1 / (n + 1 + abs(x)) if abs(x) > 0.5 else 0,
    ),
    "sinh": Accuracy(2.5, MP.sinh, one(SMALL, uniform(-710, 710), uniform(-3, 3))),
    "softplus": Accuracy(2.1, log1pexp, one(SMALL, uniform(-745, 745), uniform(-5, 5))),
    "sqrt": Accuracy(0.5, MP.sqrt, one(WIDE_POSITIVE)),
    "tan": Accuracy(1.1, MP.tan, ANGLES),
    "tanh": Accuracy(2.9, MP.tanh, one(SMALL, uniform(-20, 20), uniform(-1, 1))),
    "trunc": Accuracy(0, lambda x: MP.sign(x) * MP.floor(abs(x)), STEPS),
    "xlogy": Accuracy(
        2.1,
        lambda x, y: x * MP.log(y),
        ((uniform(-5, 5), uniform(0, 9)), (SMALL, WIDE_POSITIVE)),
    ),
}
NAMES = vmath.names()


def points(name: str) -> Iterator[tuple[float, ...]]:
    row, rng = ACCURACY[name], seeded(name)
    for draws in row.draws:
        for _ in range(row.count // len(row.draws)):
            yield tuple(draw(rng) for draw in draws)


def ulps(got: float, exact: Any, scale: Any) -> float:
    """Return the error in units in the last place of the exact result or of the scale."""
    size = max(abs(exact), abs(scale))
    if size >= mpf(2) ** 1024:
        return 0.0 if math.isinf(got) and (got > 0) == (exact > 0) else inf
    if not math.isfinite(got):
        return inf if size < mpf(2) ** 1024 * (1 - mpf(2) ** -52) else 1.0
    exponent = max(MP.frexp(size)[1] - 53, -1074) if size else -1074
    return float(abs(mpf(got) - exact) / mpf(2) ** exponent)


@pytest.fixture(scope="session")
def compiled() -> dict[str, Any]:
    """Return a stand-alone module with all primitives."""
    space: dict[str, Any] = {"math": math, "np": np, "numba": numba}
    exec(vmath.definitions(NAMES), space)
    wrap = "@numba.njit(error_model='numpy')\ndef call_{0}({1}):\n    return {0}({1})\n"
    for name in NAMES:
        operands = ", ".join("xy"[: arity(name)])
        exec(wrap.format(name, operands), space)
    return {name: space[f"call_{name}"] for name in NAMES}


def arity(name: str) -> int:
    return len(ACCURACY[name].draws[0])


def typed(name: str, args: tuple[float, ...]) -> tuple[Any, ...]:
    """Return the arguments, the exponent of integer_power as an int."""
    return (args[0], int(args[1])) if name == "integer_power" else args


def measure(name: str, call: Callable[..., Any]) -> tuple[float, tuple[float, ...]]:
    row = ACCURACY[name]
    worst: tuple[float, tuple[float, ...]] = (0.0, ())
    for args in points(name):
        exact_args = [mpf(a) for a in args]
        error = ulps(
            float(call(*typed(name, args))), row.exact(*exact_args), row.scale(*exact_args)
        )
        worst = max(worst, (error, args))
    return worst


def test_every_primitive_has_a_bound() -> None:
    assert set(ACCURACY) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy(name: str, compiled: dict[str, Any]) -> None:
    error, args = measure(name, compiled[name])
    assert error <= ACCURACY[name].ulp, f"{error:.2f} ULP at {args}"


def same(a: float, b: float) -> bool:
    """Return whether two numbers are equal, the sign of zero included, or both NaN."""
    if a != a or b != b:
        return a != a and b != b
    return a == b and math.copysign(1, a) == math.copysign(1, b)


#: Python's math module has its own code for these: ULP of the result or of `rough`.
DIFFERENT_LIBRARIES = {"gamma": 16.0, "hypot": 1.0, "lgamma": 16.0}


def rough(name: str, args: tuple[float, ...]) -> float:
    """Return the size of the terms in Python's lgamma, which cancel near its zeros."""
    if name != "lgamma":
        return 0.0
    x = args[0]
    return max(1.0, math.lgamma(1 - x) if -1e300 < x < 0 and x != math.floor(x) else 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_plain_python_agrees_with_numba(name: str, compiled: dict[str, Any]) -> None:
    slack = DIFFERENT_LIBRARIES.get(name, 0.0)
    for args in points(name):
        plain, fast = (
            vmath.evaluate(name, *typed(name, args)),
            compiled[name](*typed(name, args)),
        )
        if not same(plain, fast):
            unit = math.ulp(max(abs(plain), rough(name, args)))
            assert abs(plain - fast) <= slack * unit, (args, plain, fast)


SPECIAL = (0.0, -0.0, 5e-324, -5e-324, 1e-310, 0.5, 1.0, -1.0, 2.0, -2.0, -2.5, 1e16, -1e16)
SPECIAL += (1e300, -1e300, 1.7976931348623157e308, inf, -inf, nan)


@pytest.mark.parametrize("name", NAMES)
def test_special_points_agree(name: str, compiled: dict[str, Any]) -> None:
    for args in itertools.product(SPECIAL, repeat=arity(name)):
        if name == "integer_power" and not abs(args[1]) < 1e18:
            continue
        plain, fast = (
            vmath.evaluate(name, *typed(name, args)),
            compiled[name](*typed(name, args)),
        )
        assert type(plain) is float
        if not same(plain, fast) and not (
            plain == fast == 0.0 and name in ("maximum", "minimum")
        ):
            unit = math.ulp(max(abs(plain), rough(name, args)))
            assert abs(plain - fast) <= 4 * unit, (args, plain, fast)


VALUES: list[tuple[str, tuple[float, ...], float]] = [
    ("acos", (1.5,), nan),
    ("acosh", (0.5,), nan),
    ("asin", (-2.0,), nan),
    ("atanh", (1.0,), inf),
    ("atanh", (-1.0,), -inf),
    ("atanh", (2.0,), nan),
    ("besselj0", (0.0,), 1.0),
    ("besselj0", (inf,), 0.0),
    ("besselj0", (-inf,), 0.0),
    ("besselj1", (0.0,), 0.0),
    ("besselj1", (-0.0,), -0.0),
    ("besselj1", (inf,), 0.0),
    ("besselj1", (5e-324,), 0.0),
    ("cbrt", (-27.0,), -3.0),
    ("cbrt", (-inf,), -inf),
    ("cbrt", (-0.0,), -0.0),
    ("ceil", (-0.5,), -0.0),
    ("ceil", (inf,), inf),
    ("ceil", (1e300,), 1e300),
    ("cos", (inf,), nan),
    ("cot", (0.0,), inf),
    ("cot", (-0.0,), -inf),
    ("csc", (0.0,), inf),
    ("digamma", (0.0,), -inf),
    ("digamma", (-0.0,), inf),
    ("digamma", (-3.0,), nan),
    ("digamma", (-1e300,), nan),
    ("digamma", (inf,), inf),
    ("digamma", (-inf,), nan),
    ("exp", (1000.0,), inf),
    ("exp", (-1000.0,), 0.0),
    ("exp2", (10.0,), 1024.0),
    ("floor", (-0.5,), -1.0),
    ("floor", (-inf,), -inf),
    ("floor", (-1e300,), -1e300),
    ("gamma", (0.0,), inf),
    ("gamma", (-0.0,), -inf),
    ("gamma", (-2.0,), nan),
    ("gamma", (5.0,), 24.0),
    ("gamma", (200.0,), inf),
    ("gamma", (-inf,), nan),
    ("gelu", (0.0,), 0.0),
    ("gelu", (inf,), inf),
    ("gelu", (-inf,), 0.0),
    ("gelu", (1e300,), 1e300),
    ("gelu", (-1e300,), 0.0),
    ("heaviside", (0.0,), 0.5),
    ("heaviside", (-0.0,), 0.5),
    ("heaviside", (-inf,), 0.0),
    ("heaviside", (inf,), 1.0),
    ("hypot", (inf, nan), inf),
    ("hypot", (1e308, 1e308), 1.4142135623730951e308),
    ("hypot", (3e-320, 4e-320), 5e-320),
    ("hypot", (0.0, -0.0), 0.0),
    ("hypot", (-1e-200, 1e200), 1e200),
    ("hypot_slope", (0.0, 0.0), 0.0),
    ("atan2_slope", (0.0, 0.0), nan),
    ("atan2_slope", (0.0, -4e-320), -inf),
    ("atan2_slope", (2.0**1000, -(2.0**1000)), -(2.0**-1001)),
    ("atan2_slope", (inf, 2.0), 0.0),
    ("hypot_slope", (-3.0, 4.0), -0.6),
    ("hypot_slope", (3e-320, 4e-320), 0.6),
    ("hypot_slope", (-1e308, 0.0), -1.0),
    ("hypot_slope", (1.5, -inf), 0.0),
    ("hypot_slope", (inf, 1.5), nan),
    ("hypot_slope", (1.5, nan), nan),
    ("integer_power", (0.0, 0), 1.0),
    ("integer_power", (nan, 0), 1.0),
    ("integer_power", (0.0, -3), inf),
    ("integer_power", (-0.0, -3), -inf),
    ("integer_power", (-0.0, 3), -0.0),
    ("integer_power", (-inf, 3), -inf),
    ("integer_power", (-inf, -3), -0.0),
    ("integer_power", (10.0, 20), 1e20),
    ("integer_power", (10.0, 308), 1e308),
    ("integer_power", (10.0, -308), 1e-308),
    ("integer_power", (2.0, -1074), 5e-324),
    ("integer_power", (-1.0, 10**15 + 1), -1.0),
    ("lgamma", (0.0,), inf),
    ("lgamma", (-3.0,), inf),
    ("lgamma", (-inf,), inf),
    ("log", (0.0,), -inf),
    ("log", (-1.0,), nan),
    ("log1p", (-1.0,), -inf),
    ("log10", (1000.0,), 3.0),
    ("log2", (8.0,), 3.0),
    ("logaddexp", (-inf, -inf), -inf),
    ("logaddexp", (inf, inf), inf),
    ("logaddexp", (inf, -inf), inf),
    ("logaddexp", (-inf, 3.0), 3.0),
    ("logaddexp", (1000.0, 1000.0), 1000.6931471805599),
    ("maximum", (nan, 1.0), nan),
    ("maximum", (1.0, nan), nan),
    ("maximum", (-inf, inf), inf),
    ("minimum", (nan, 1.0), nan),
    ("minimum", (1.0, nan), nan),
    ("modulo", (7.0, 0.0), nan),
    ("modulo", (-7.0, 3.0), 2.0),
    ("modulo", (7.0, -3.0), -2.0),
    ("modulo", (5.0, inf), 5.0),
    ("modulo", (-5.0, inf), inf),
    ("modulo", (5.0, -inf), -inf),
    ("modulo", (inf, 3.0), nan),
    ("modulo", (-6.0, 3.0), 0.0),
    ("modulo", (6.0, -3.0), -0.0),
    ("polygamma", (0.5, 1.0), nan),
    ("polygamma", (-1.0, 1.0), nan),
    ("polygamma", (21.0, 1.0), nan),
    ("polygamma", (inf, 1.0), nan),
    ("polygamma", (1.0, inf), 0.0),
    ("polygamma", (1.0, 0.0), inf),
    ("polygamma", (1.0, -2.0), inf),
    ("polygamma", (2.0, -2.0), nan),
    ("polygamma", (2.0, 0.0), -inf),
    ("polygamma", (1.0, -inf), nan),
    ("power", (0.0, 0.0), 1.0),
    ("power", (0.0, -1.0), inf),
    ("power", (-0.0, -1.0), -inf),
    ("power", (-2.0, 3.0), -8.0),
    ("power", (-2.0, 0.5), nan),
    ("power", (1.0, nan), 1.0),
    ("power", (nan, 0.0), 1.0),
    ("power", (-1e200, 3.0), -inf),
    ("power", (-1e200, 2.0), inf),
    ("relu", (-0.5,), 0.0),
    ("relu", (inf,), inf),
    ("round_half_even", (0.5,), 0.0),
    ("round_half_even", (1.5,), 2.0),
    ("round_half_even", (2.5,), 2.0),
    ("round_half_even", (-0.5,), -0.0),
    ("round_half_even", (-inf,), -inf),
    ("rsqrt", (0.0,), inf),
    ("rsqrt", (inf,), 0.0),
    ("rsqrt", (-1.0,), nan),
    ("sec", (inf,), nan),
    ("sigmoid", (-inf,), 0.0),
    ("sigmoid", (inf,), 1.0),
    ("sigmoid", (0.0,), 0.5),
    ("sign", (-0.0,), -0.0),
    ("sign", (-inf,), -1.0),
    ("sign", (5e-324,), 1.0),
    ("silu", (-inf,), -0.0),
    ("silu", (inf,), inf),
    ("silu", (-1000.0,), -0.0),
    ("sinc", (0.0,), 1.0),
    ("sinc", (inf,), 0.0),
    ("sinc", (-inf,), 0.0),
    ("sinc_derivative", (0.0, 0.0), 1.0),
    ("sinc_derivative", (1.0, 0.0), 0.0),
    ("sinc_derivative", (2.0, 0.0), -1 / 3),
    ("sinc_derivative", (4.0, 0.0), 0.2),
    ("sinc_derivative", (3.0, inf), 0.0),
    ("sinc_derivative", (21.0, 1.0), nan),
    ("sinc_derivative", (0.5, 1.0), nan),
    ("sinc_derivative", (-1.0, 1.0), nan),
    ("sinh", (-1000.0,), -inf),
    ("softplus", (-inf,), 0.0),
    ("softplus", (inf,), inf),
    ("softplus", (800.0,), 800.0),
    ("sqrt", (-1.0,), nan),
    ("sqrt", (-0.0,), -0.0),
    ("tan", (inf,), nan),
    ("trunc", (-0.5,), -0.0),
    ("trunc", (-inf,), -inf),
    ("xlogy", (0.0, 0.0), 0.0),
    ("xlogy", (0.0, -1.0), 0.0),
    ("xlogy", (0.0, inf), 0.0),
    ("xlogy", (0.0, nan), nan),
    ("xlogy", (2.0, 0.0), -inf),
    ("xlogy", (2.0, -1.0), nan),
]
#: Zeros whose sign is not promised.
UNSIGNED = {
    "besselj0",
    "besselj1",
    "gelu",
    "sign",
    "sinc",
    "sinc_derivative",
    "sigmoid",
    "sech2",
}


@pytest.mark.parametrize(("name", "args", "expected"), VALUES)
def test_special_values(
    name: str, args: tuple[float, ...], expected: float, compiled: dict[str, Any]
) -> None:
    for got in (compiled[name](*args), vmath.evaluate(name, *args)):
        assert same(got, expected) or (name in UNSIGNED and got == expected == 0.0), got


#: Operands beside which C does not look at a NaN in the other place.
NAN_IGNORED = {"power": ((1.0, nan), (nan, 0.0)), "hypot": ((inf, nan), (nan, inf))}


@pytest.mark.parametrize("name", NAMES)
def test_nan_propagates(name: str, compiled: dict[str, Any]) -> None:
    calls: list[tuple[float, ...]] = [(nan,)]
    if arity(name) == 2:
        others = (0.0, 1.0, -3.0, inf)
        calls = [(nan, v) for v in others] + [(v, nan) for v in others] + [(nan, nan)]
    if name == "integer_power":
        calls = [(nan, 1.0), (nan, 5.0), (nan, -7.0)]
    for args in calls:
        if args in NAN_IGNORED.get(name, ()):
            continue
        assert math.isnan(vmath.evaluate(name, *typed(name, args))), args
        assert math.isnan(compiled[name](*typed(name, args))), args


@pytest.mark.parametrize("name", NAMES)
def test_float32(name: str, compiled: dict[str, Any]) -> None:
    row = ACCURACY[name]
    for args in itertools.islice(points(name), 0, row.count, row.count // 40):
        narrow = [np.float32(a) for a in args if 1e-30 < abs(a) < 1e4 or a == 0]
        if len(narrow) < len(args):
            continue
        wide = tuple(float(a) for a in narrow)
        call = (narrow[0], int(narrow[1])) if name == "integer_power" else narrow
        with np.errstate(all="ignore"):
            got = float(np.float32(compiled[name](*call)))
        expected = vmath.evaluate(name, *typed(name, wide))
        if 1e-30 < abs(expected) < 1e30:
            exact = [mpf(a) for a in wide]
            size = max(abs(expected), float(row.scale(*exact)))
            assert abs(got - expected) <= 8 * size * 2.0**-23, (wide, got, expected)


SINGLES = {"hypotf": 0.78, "hypot_slopef": 1.65, "atan2_slopef": 2.5}


@pytest.mark.parametrize("name", SINGLES)
def test_triangles_of_single_precision(name: str) -> None:
    space: dict[str, Any] = {"math": math, "np": np, "numba": numba}
    exec(vmath.definitions([name]), space)
    numbers = np.random.default_rng(5)
    x, y = numbers.integers(0, 1 << 32, (2, 6_000), dtype=np.int64).astype(np.uint32).view("f4")
    # Of numbers with any exponents most are a hair's breadth and a length.
    with np.errstate(all="ignore"):
        y[:4000] = x[:4000] * numbers.uniform(-3, 3, 4000).astype("f4")
    edges = np.array([0.0, -0.0, inf, -inf, nan, 1e-45, 3e38], np.float32)
    x = np.concatenate([x, np.repeat(edges, edges.size)])
    y = np.concatenate([y, np.tile(edges, edges.size)])
    with np.errstate(all="ignore"):
        a, b = x.astype(np.longdouble), y.astype(np.longdouble)
        # No square of these leaves the range of extended precision.
        exact = {
            "hypotf": np.hypot(a, b),
            "hypot_slopef": np.where(np.hypot(a, b) == 0, 0, a / np.hypot(a, b)),
            "atan2_slopef": b / (a * a + b * b),
        }[name]
        nearest = exact.astype(np.float32)
        unit = np.spacing(np.abs(nearest)).astype(np.longdouble)
    for one, two, expected, rounded, ulp in zip(x, y, exact, nearest, unit, strict=True):
        got = float(space[name](one, two))
        assert same(got, float(vmath.evaluate(name, float(one), float(two)))), (one, two)
        if np.isfinite(rounded):
            assert abs(got - expected) <= SINGLES[name] * ulp, (one, two)
        else:
            assert same(got, float(rounded)), (one, two)


def test_neighbourhood_of_the_root_of_digamma() -> None:
    x = 1.4616321449683623
    for _ in range(6):
        assert ulps(vmath.evaluate("digamma", x), MP.digamma(mpf(x)), 0) < 4
        x = math.nextafter(x, 0.0)


def test_definitions_are_deterministic() -> None:
    wanted = ["sinc", "polygamma", "besselj0", "sin", "gelu"]
    text = vmath.definitions(wanted)
    assert text == vmath.definitions(reversed(wanted)) == vmath.definitions(set(wanted) | set())
    code = f"from symgrad import vmath; print(vmath.definitions({wanted!r}), end='')"
    for seed in ("1", "2"):
        other = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(p for p in sys.path if p)},
        )
        assert other.stdout == text


def test_definitions_are_minimal() -> None:
    assert vmath.defined_names(["gamma"]) == ("gamma",)
    assert vmath.defined_names(["polygamma"]) == ("_hurwitz_zeta", "digamma", "polygamma")
    assert vmath.definitions(["gamma", "sqrt"]) == "gamma = math.gamma\nsqrt = math.sqrt\n"
    assert vmath.definitions([]) == ""
    text = vmath.definitions(["relu"])
    inlined = '@numba.njit(error_model="numpy", nogil=True, forceinline=True)\ndef relu('
    assert text.startswith(inlined)
    assert text.count("def ") == 1
    called = vmath.definitions(["relu"], inline=False)
    assert called == text.replace(", forceinline=True", "")


def test_definitions_refuse_unknown_names() -> None:
    with pytest.raises(KeyError, match="airy"):
        vmath.definitions(["airy"])
    with pytest.raises(KeyError, match="airy"):
        vmath.evaluate("airy", 1.0)


def test_every_kernel_of_the_table_exists() -> None:
    from symgrad.language.functions import FUNCTIONS

    assert {row.kernel for row in FUNCTIONS.values() if row.kernel} <= set(NAMES)


def test_import_loads_neither_numba_nor_numpy() -> None:
    code = (
        "import sys, symgrad.vmath as v; v.evaluate('gelu', 1.0); "
        "v.definitions(v.names()); "
        "assert not {'numba', 'numpy', 'sympy'} & set(sys.modules)"
    )
    path = ":".join(p for p in sys.path if p)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})
