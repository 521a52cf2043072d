"""The branch-free error function, its complement, the normal distribution and gelu."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from vmath.test_trigonometric import (
    MP,
    SPECIAL,
    assert_polynomials_are_computed,
    assert_same_everywhere,
    assert_vectorised,
    bits,
    logarithmic,
    narrow,
    numbers,
    on_array,
    scalar,
    script,
    source,
    ulps,
)

from symgrad.vmath import error_function

inf, nan = math.inf, math.nan
NAMES = (
    *("erf", "erf_slope", "erf_slopef", "erfc", "erfcf", "erff", "gelu", "geluf"),
    *("ndtr", "ndtr_slope", "ndtr_slopef", "ndtrf"),
)
BOUNDS = {
    **{"ndtr": 1.9, "ndtrf": 1.9, "ndtr_slope": 1.2, "ndtr_slopef": 1.5},
    **{"erf": 1.6, "erff": 1.6, "erfc": 1.9, "erfcf": 1.9, "gelu": 2.8, "geluf": 3.0},
    **{"erf_slope": 1.2, "erf_slopef": 1.5},
}
#: The last arguments with results above the smallest number.
LAST = {
    "erf_slope": 27.2,
    "erf_slopef": 10.15,
    "erfc": 27.2,
    "erfcf": 10.05,
    "gelu": -38.4,
    "geluf": -14.1,
    "ndtr": -38.4,
    "ndtrf": -14.1,
    "ndtr_slope": 38.4,
    "ndtr_slopef": 14.2,
}


def points(name: str, count: int) -> Any:
    rng = np.random.default_rng(len(name))
    small = logarithmic(rng, -148 if name.removesuffix("f") in NAMES else -1070, 1, count)
    end = LAST.get(name, 6.5)
    parts = [small, rng.uniform(-7, 7, count), end * rng.uniform(0, 1, count)]
    parts.append(rng.uniform(-1.5, 1.5, count))
    return narrow(name, np.concatenate(parts))


def exact(name: str, x: float) -> Any:
    t = MP.mpf(x)
    if name in ("erf", "erff"):
        return MP.erf(t)
    if name in ("erfc", "erfcf"):
        return MP.erfc(t)
    if name.startswith("erf_slope"):
        return 2 * MP.exp(-t * t) / MP.sqrt(MP.pi)
    if name.startswith("ndtr_slope"):
        return MP.exp(-t * t / 2) / MP.sqrt(2 * MP.pi)
    return (t if name.startswith("gelu") else 1) * MP.erfc(-t / MP.sqrt(2)) / 2


@pytest.mark.parametrize("name", NAMES)
def test_against_mpmath(name: str) -> None:
    x = points(name, 700)
    for point, got in zip(x, on_array(name, x), strict=True):
        error = ulps(name, got, exact(name, float(point)))
        assert error <= BOUNDS[name], (point, error)


def bell(t: float, a: float = 1.0) -> float:
    """Return 2/sqrt(pi)*exp(-a*t*t), the square in two parts, the first of them exact."""
    high = round(t * 1024) / 1024 if abs(t) < 100 else t
    rest = (t - high) * (t + high)
    return 2 / math.sqrt(math.pi) * math.exp(-a * high * high) * math.exp(-a * rest)


@pytest.mark.parametrize("name", NAMES)
def test_against_the_library(name: str) -> None:
    """Many points; the C library has errors of its own, above all in erfc."""
    x = points(name, 26_000)
    assert len(x) >= 100_000
    stem = name.removesuffix("f") if name not in ("erf", "erff") else "erf"
    if stem in ("gelu", "ndtr"):
        x = x[x > 0]
    library = {
        "erf": math.erf,
        "erfc": math.erfc,
        "erf_slope": bell,
        "gelu": lambda t: 0.5 * t * math.erfc(-math.sqrt(0.5) * t),
        "ndtr": lambda t: 0.5 * math.erfc(-math.sqrt(0.5) * t),
        "ndtr_slope": lambda t: bell(t, 0.5) / math.sqrt(8),
    }[stem]
    expected = np.array([library(float(v)) for v in x])
    got = on_array(name, x)
    single = got.dtype == np.float32
    unit = np.spacing(np.abs(expected).astype(got.dtype)).astype(float)
    error = np.abs(got.astype(float) - expected) / unit
    slack = 0.1 if single else 1.0 if stem == "erf" else 3.0
    assert error.max() <= BOUNDS[name] + slack, x[error.argmax()]


@pytest.mark.parametrize("suffix", ["", "f"])
def test_special_values(suffix: str) -> None:
    kind = np.float32 if suffix else np.float64
    tiny = np.finfo(kind).smallest_subnormal
    values = [
        ("erf", 0.0, 0.0), ("erf", -0.0, -0.0), ("erf", inf, 1.0), ("erf", -inf, -1.0),
        ("erf", nan, nan), ("erf", 7.0, 1.0), ("erf", tiny, tiny), ("erf", -tiny, -tiny),
        ("erfc", 0.0, 1.0), ("erfc", -0.0, 1.0), ("erfc", inf, 0.0), ("erfc", -inf, 2.0),
        ("erfc", nan, nan), ("erfc", 28.0, 0.0), ("erfc", 1e30, 0.0), ("erfc", -9.0, 2.0),
        ("erf_slope", inf, 0.0), ("erf_slope", -inf, 0.0), ("erf_slope", nan, nan),
        ("erf_slope", -30.0, 0.0), ("erf_slope", tiny, 1.1283791670955126),
        ("ndtr", 0.0, 0.5), ("ndtr", -0.0, 0.5), ("ndtr", inf, 1.0), ("ndtr", -inf, 0.0),
        ("ndtr", nan, nan), ("ndtr", -40.0, 0.0), ("ndtr", 40.0, 1.0), ("ndtr", tiny, 0.5),
        ("ndtr_slope", inf, 0.0), ("ndtr_slope", -inf, 0.0), ("ndtr_slope", nan, nan),
        ("ndtr_slope", -40.0, 0.0), ("ndtr_slope", tiny, 0.3989422804014327),
        ("gelu", 0.0, 0.0), ("gelu", -0.0, -0.0), ("gelu", inf, inf), ("gelu", -inf, -0.0),
        ("gelu", nan, nan), ("gelu", -50.0, -0.0), ("gelu", 50.0, 50.0), ("gelu", 1e38, 1e38),
    ]  # fmt: skip
    for name, x, expected in values:
        for got in (on_array(name + suffix, [x])[0], scalar(name + suffix, x)):
            assert bits(got)[0] == bits(kind(expected))[0], (name, x, got)


@pytest.mark.parametrize("name", LAST)
def test_gradual_underflow(name: str) -> None:
    end = LAST[name]
    x = narrow(name, np.linspace(end * 0.95, end * 1.03, 300))
    least = 2.0**-149 if x.dtype == np.float32 else 2.0**-1074
    for point, got in zip(x, on_array(name, x), strict=True):
        true = exact(name, float(point))
        assert ulps(name, got, true) <= max(BOUNDS[name], 1.0), point
        if abs(true) < MP.mpf(least) / 2:
            assert got == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_loops_are_vectorised(name: str) -> None:
    assert_vectorised(name)


@pytest.mark.parametrize("name", NAMES)
def test_bits_are_the_same_everywhere(name: str) -> None:
    assert_same_everywhere(name, [np.append(points(name, 150), narrow(name, SPECIAL))])


def test_polynomials_are_those_of_the_script() -> None:
    assert_polynomials_are_computed(error_function)


def test_constants_are_those_of_the_script() -> None:
    table = script().constants()
    for suffix, key, precision in (("", "", 53), ("f", " in float32", 24)):
        pairs = [(f"erf{suffix}", "log(2)"), (f"erf{suffix}", "2/sqrt(pi)")]
        pairs += [(f"_bell{suffix}", "log(2)"), (f"_over_sqrt2{suffix}", "1/sqrt(2)")]
        pairs += [(f"erf_slope{suffix}", "2/sqrt(pi)")]
        pairs += [(f"ndtr_slope{suffix}", "1/sqrt(2*pi)")]
        for name, constant in pairs:
            there = {abs(v) for v in table[constant + key]}
            assert there <= {abs(v) for v in numbers(source(name))}
        centre, value = script().erfc_centre(precision)
        tangent = script().erfc_tangent(centre, precision)
        assert {centre, value, tangent} <= set(numbers(source(f"_erfc_parts{suffix}")))
