"""The branch-free inverse trigonometric functions."""

from __future__ import annotations

import itertools
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
    bound,
    logarithmic,
    narrow,
    needs_longdouble,
    on_array,
    scalar,
    ulps,
    ulps_of_array,
)

from symgrad.vmath import inverse_trigonometric

inf, nan = math.inf, math.nan
NAMES = ("acos", "acosf", "asin", "asinf", "atan", "atan2", "atan2f", "atanf")
BOUNDS = {"acos": 0.75, "asin": 0.75, "atan": 1.0, "atan2": 1.0}
EXTENDED = {"acos": np.arccos, "asin": np.arcsin, "atan": np.arctan, "atan2": np.arctan2}


def points(name: str, count: int) -> list[Any]:
    rng = np.random.default_rng(len(name))
    least, most = (-148, 127) if name.endswith("f") else (-1074, 1023)
    if "atan2" in name:
        near = rng.normal(size=count)
        y = [rng.normal(size=count), logarithmic(rng, least, most, count), near]
        x = [rng.normal(size=count), logarithmic(rng, least, most, count)]
        x.append(near * (1 + logarithmic(rng, -20, -2, count)))
        y.append(logarithmic(rng, least, least + 80, count))
        x.append(logarithmic(rng, least, least + 80, count))
        kind = np.float32 if name.endswith("f") else np.float64
        return [np.concatenate(y).astype(kind), np.concatenate(x).astype(kind)]
    if "atan" in name:
        parts = [logarithmic(rng, least, most, count), rng.uniform(-3, 3, count)]
        parts += [rng.uniform(0.7, 1.5, count), rng.uniform(-40, 40, count)]
    else:
        parts = [logarithmic(rng, least, -1, count), rng.uniform(-1, 1, count)]
        parts += [1 - np.abs(logarithmic(rng, -60, -2, count)), rng.uniform(0.4, 0.6, count)]
    return [narrow(name, np.concatenate(parts))]


def exact(name: str, *args: float) -> Any:
    with MP.workprec(200):
        return getattr(MP, name.removesuffix("f"))(*map(MP.mpf, args))


@needs_longdouble
@pytest.mark.parametrize("name", NAMES)
def test_accuracy(name: str) -> None:
    columns = points(name, 26_000)
    assert len(columns[0]) >= 100_000
    reference = EXTENDED[name.removesuffix("f")](*[c.astype(np.longdouble) for c in columns])
    errors = ulps_of_array(name, on_array(name, *columns), reference)
    assert errors.max() <= bound(BOUNDS, name), [c[errors.argmax()] for c in columns]


@pytest.mark.parametrize("name", NAMES)
def test_against_mpmath(name: str) -> None:
    columns = [c[::3] for c in points(name, 300)]
    for *args, got in zip(*columns, on_array(name, *columns), strict=True):
        if not (name.startswith("atan2") and args[1] == 0 and args[0] == 0):
            error = ulps(name, got, exact(name, *map(float, args)))
            assert error <= bound(BOUNDS, name), (args, error)


@pytest.mark.parametrize("suffix", ["", "f"])
def test_special_values(suffix: str) -> None:
    kind = np.float32 if suffix else np.float64
    half, third = kind(math.pi / 2), kind(math.asin(0.5))
    values = [
        ("asin", 0.0, 0.0), ("asin", -0.0, -0.0), ("asin", 1.0, half), ("asin", -1.0, -half),
        ("asin", 0.5, third), ("asin", 1.0000002, nan), ("asin", inf, nan), ("asin", nan, nan),
        ("acos", 1.0, 0.0), ("acos", -1.0, kind(math.pi)), ("acos", 0.0, half),
        ("acos", -0.0, half), ("acos", -2.0, nan), ("acos", inf, nan), ("acos", nan, nan),
        ("atan", 0.0, 0.0), ("atan", -0.0, -0.0), ("atan", inf, half), ("atan", -inf, -half),
        ("atan", 1.0, half / 2), ("atan", 1e-45, kind(1e-45)), ("atan", nan, nan),
        ("atan", 3e38, half), ("asin", 1e-45, kind(1e-45)),
    ]  # fmt: skip
    for name, x, expected in values:
        for got in (on_array(name + suffix, [x])[0], scalar(name + suffix, x)):
            assert bits(got)[0] == bits(kind(expected))[0], (name, x, got)


@pytest.mark.parametrize("name", ["atan2", "atan2f"])
def test_atan2_as_in_c(name: str) -> None:
    kind = np.float32 if name.endswith("f") else np.float64
    for y, x in itertools.product(SPECIAL, repeat=2):
        with np.errstate(over="ignore"):
            a, b = float(kind(y)), float(kind(x))
        with np.errstate(under="ignore"):
            expected = np.arctan2(np.longdouble(a), np.longdouble(b))
        got = on_array(name, [a], [b])[0]
        if math.isnan(a) or math.isnan(b):
            assert math.isnan(got)
            continue
        assert math.copysign(1, got) == math.copysign(1, a)
        error = ulps_of_array(name, np.array([got]), np.array([expected]))[0]
        assert error <= 1.0, (a, b, got)
        if {a, b} <= {0.0, inf, -inf}:
            assert got == kind(math.atan2(a, b))


@pytest.mark.parametrize("name", NAMES)
def test_loops_are_vectorised(name: str) -> None:
    assert_vectorised(name)


@pytest.mark.parametrize("name", NAMES)
def test_bits_are_the_same_everywhere(name: str) -> None:
    columns = [list(c) for c in points(name, 120)]
    pairs = np.array(list(itertools.product(SPECIAL, repeat=2)))
    extra = [pairs[:, 0], pairs[:, 1]] if "atan2" in name else [np.array(SPECIAL)]
    with np.errstate(over="ignore"):
        assert_same_everywhere(
            name, [np.append(c, e) for c, e in zip(columns, extra, strict=True)]
        )


def test_polynomials_are_those_of_the_script() -> None:
    assert_polynomials_are_computed(inverse_trigonometric)
