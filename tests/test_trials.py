"""The first calls with numbers: plain Python until compiling is worth while, the same bits."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from oracle import identical
from test_accuracy import INPUTS, SETTINGS, points, texts
from test_corpora import COMPILED, STARTS

import symgrad as sg
from symgrad import compiler

FORMULA = "f(x, y) = y*log(x) + sin(y)"
VALUES = (
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.3,
    5e-324,
    -1e-310,
    1e16,
    -1e300,
    math.inf,
    -math.inf,
    math.nan,
)


@pytest.fixture(autouse=True)
def tried(monkeypatch):
    monkeypatch.setattr(compiler, "TRIED", 10**12)


def flat(result):
    parts = result if isinstance(result, tuple) else (result,)
    return [number for part in parts for number in np.ravel(np.asarray(part)).tolist()]


def assert_same(got, expected, where):
    assert identical(flat(got), flat(expected)), (where, got, expected)


def in_both(text, transform=sg.value_and_grad, **options):
    return [transform(sg.compile(text, backend=b, **options)) for b in ("auto", "jit")]


@pytest.mark.parametrize("formula", COMPILED, ids=lambda formula: formula.id)
def test_formulas_have_the_bits_of_compiled_ones(formula):
    tried, compiled = in_both(formula.text)
    width = len(tried.inputs)
    for k, start in enumerate((*STARTS, VALUES, VALUES[::-1])):
        point = [start[(k + j) % len(start)] for j in range(width)]
        assert_same(tried(*point), compiled(*point), point)


@pytest.mark.parametrize(
    "text",
    [
        FORMULA,
        "z = where(x > 0, log(x), y) + max(x, y)",
        "z = min(abs(x), y) + atan2(y, x)*hypot(x, y)",
        "z = erf(x)*erfc(y) + gelu(x) + sigmoid(y)",
        "z = x**y + y**-3 + cbrt(x) + e**x*pi",
        "z = x % y + floor(x) + round(y) + ceil(x) + sign(y)",
        "z = logsumexp(x) + sum(x*y) + norm(x)",
    ],
)
def test_extremes_have_the_bits_of_compiled_code(text):
    tried, compiled = in_both(text, inputs=None if "(x, y) =" in text else ("x", "y"))
    for x in VALUES:
        for y in VALUES:
            assert_same(tried(x, y), compiled(x, y), (x, y))


@settings(max_examples=25, **SETTINGS)
@given(texts())
def test_random_programs_have_the_bits_of_arrays(text):
    f = sg.value_and_grad(sg.compile(text, inputs=INPUTS))
    at = points(text, 12)
    value, gradient = f(*[np.array([point[name] for point in at]) for name in INPUTS])
    for k, point in enumerate(at):
        row = [column[k] for column in (value, *gradient)]
        value_here, gradient_here = f(*point.values())
        assert_same((value_here, *gradient_here), tuple(row), point)


def test_second_derivatives_and_products_with_vectors():
    for transform in (sg.hessian, sg.jacobian, sg.value_grad_and_hessian):
        tried, compiled = in_both(FORMULA, transform)
        assert_same(tried(2.0, 3.0), compiled(2.0, 3.0), transform)
    tried, compiled = in_both(FORMULA, sg.hvp)
    assert_same(tried(2.0, 3.0, 0.5, 0.25), compiled(2.0, 3.0, 0.5, 0.25), "hvp")


def test_the_compiler_takes_over(monkeypatch, loaded):
    monkeypatch.setattr(compiler, "TRIED", 1000)
    f = sg.compile(FORMULA)
    calls, values = 0, set()
    while not loaded:
        values.add(float(f(2.0, 3.0)))
        assert f.kernels == ["forward"]
        calls += 1
    assert 2 <= calls <= 50
    values.update(float(f(2.0, 3.0)) for _ in range(3))
    assert len(values) == len(loaded) == 1


def test_tensors_go_over_to_compiled_code(monkeypatch, loaded):
    monkeypatch.setattr(compiler, "TRIED", 1000)
    f = sg.compile(FORMULA)
    x, y = sg.tensor(2.0, requires_grad=True), sg.tensor(3.0, requires_grad=True)
    slopes = set()
    for _ in range(60):
        x.grad = y.grad = None
        f(x, y).backward()
        slopes.add((x.grad.item(), y.grad.item()))
    assert slopes == {(1.5, math.log(2.0) + math.cos(3.0))}
    assert len(loaded) == 1  # the gradient kernel, which computes the value, too


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("lgamma(x)", lambda f: f(2.5)),  # of the C library
        ("x**2", lambda f: f.bind(2.5)),
        ("x**2", lambda f: f(np.ones(3))),
        ("x**2", lambda f: f(np.float32(2.5))),
    ],
)
def test_some_calls_are_compiled_at_once(text, call, loaded):
    call(sg.compile(text))
    assert len(loaded) == 1


def test_the_backend_decides(loaded):
    sg.compile("x**2", backend="jit")(2.5)
    assert len(loaded) == 1
    sg.compile("x**2", backend="interpreter")(2.5)
    assert len(loaded) > 1


def test_a_first_gradient_needs_no_compiler():
    code = (
        "import sys, symgrad as sg\n"
        f"f = sg.compile({FORMULA!r})\n"
        "x, y = sg.tensor(2.0, requires_grad=True), sg.tensor(3.0, requires_grad=True)\n"
        "f(x, y).backward()\n"
        "print(x.grad, y.grad, f.kernels, 'numba' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "tensor(1.5000) tensor(-0.2968) ['gradient'] False", done
