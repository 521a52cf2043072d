"""Products that are added are rounded once, with the sum, and what is exact stays so."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from codegen.plain import graph_of
from graph.programs import programs
from hypothesis import given, settings
from hypothesis import strategies as st

import symgrad as sg
from symgrad.calculus.transform import Gradient
from symgrad.compiler import Variant, build_graph
from symgrad.graph.count import operations
from symgrad.graph.evaluate import evaluate
from symgrad.language.parse import parse
from symgrad.vmath import ieee

numbers = st.floats(-1e6, 1e6)
ARITHMETIC = frozenset({"add", "sub", "mul", "div", "neg", "pow", "fma", "fms", "fnma"})


def arithmetic(text: str, *transforms: Gradient) -> dict[str, int]:
    """Return how often each operation of arithmetic is done."""
    graph = graph_of(text, *transforms)
    return dict(Counter(node.op for node in graph.nodes() if node.op in ARITHMETIC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a*x + b", {"fma": 1}),
        ("b + a*x", {"fma": 1}),
        ("a*x - b", {"fms": 1}),
        ("b - a*x", {"fnma": 1}),
        ("x**2 + b", {"fma": 1}),
        ("b - x**2", {"fnma": 1}),
        ("a*b*x + c", {"mul": 1, "fma": 1}),
        ("a*x + b*y + c*z", {"mul": 2, "add": 1, "fma": 1}),
        ("((a*x + b)*x + c)*x + d", {"fma": 3}),
        # Two products: neither is preferred.
        ("a*x + b*y", {"mul": 2, "add": 1}),
        ("a*x - b*y", {"mul": 2, "sub": 1}),
        ("x**2 + y**2", {"pow": 2, "add": 1}),
        # Multiples by powers of 2 are exact and fused where there is no other product.
        ("x/2 + b", {"fma": 1}),
        ("x/2 - y/4", {"div": 1, "fms": 1}),
        ("x/2**40 + b", {"div": 1, "add": 1}),
        ("x/2 + a*y", {"div": 1, "fma": 1}),
        ("x/3 + b", {"div": 1, "add": 1}),
        # What is used again is there anyway, and named steps are values of their own.
        ("where(a*x > 1, a*x - 1, 0)", {"mul": 1, "sub": 1}),
        ("p = a*x; z = p + b", {"mul": 1, "add": 1}),
        ("p = a*x; q = a*x + b; z = p*q", {"mul": 2, "add": 1}),
    ],
)
def test_what_is_fused(text, expected):
    assert arithmetic(text) == expected


def test_the_users_form_is_kept_where_it_is_asked_for():
    f = sg.compile("z = a*x + b", stable=False)
    exact = Fraction(1e16) * Fraction(1 + 2**-52) - 10**16
    assert f(1e16, 1 + 2**-52, -1e16) == 2.0
    assert sg.compile("z = a*x + b")(1e16, 1 + 2**-52, -1e16) == float(exact) != 2.0


def test_closed_forms_show_no_trace_of_it():
    f = sg.compile("z = a*x**2/2 + b")
    assert str(f.derivative("x")) == "a*x"
    assert str(f.derivative("a")) == "x**2/2"


@cache
def compiled(formula: str, backend: str) -> sg.Function:
    return sg.compile(formula, backend=backend)


def meaning(formula: str, a: float, x: float, b: float) -> Fraction:
    """Return what the sum of a product and a number is."""
    product, other = Fraction(a) * Fraction(x), Fraction(b)
    return {"a*x + b": product + other, "a*x - b": product - other}.get(
        formula, other - product
    )


@pytest.mark.parametrize("formula", ["a*x + b", "a*x - b", "b - a*x"])
@pytest.mark.parametrize("backend", ["auto", "jit", "interpreter"])
@given(a=numbers, x=numbers, b=numbers)
@settings(deadline=None)
def test_one_rounding_in_numbers_arrays_and_tapes(formula, backend, a, x, b):
    f = compiled(f"f(a, x, b) = {formula}", backend)
    exact = float(meaning(formula, a, x, b))
    assert f(a, x, b) == exact
    assert f(np.full(9, a), x, b).tolist() == [exact] * 9


@pytest.mark.parametrize("formula", ["a*x + b", "a*x - b", "b - a*x"])
@pytest.mark.parametrize("backend", ["auto", "jit", "interpreter"])
@given(*[st.floats(-1e6, 1e6, width=32)] * 3)
@settings(deadline=None)
def test_one_rounding_in_float32(formula, backend, a, x, b):
    f = compiled(f"f(a, x, b) = {formula}", backend)
    value = f(np.full(9, a, np.float32), np.float32(x), np.float32(b))
    assert value.dtype == np.float32
    error = Fraction(float(value[0])) - meaning(formula, a, x, b)
    assert abs(error) <= Fraction(float(np.spacing(np.abs(value[0])))) / 2
    assert value.tolist() == [f(*map(np.float32, (a, x, b)))] * 9


@given(programs(), st.tuples(numbers, numbers, numbers))
def test_values_have_the_same_bits_with_derivatives_and_without(program, point):
    program = replace(program, inputs=tuple("xyz"))
    variant = Variant((0, 0, 0))
    given = dict(zip("xyz", point, strict=True))
    alone, _ = build_graph(program, (), variant)
    both, _ = build_graph(program, (Gradient(value=True),), variant)
    one, other = (evaluate([graph.outputs[0].node], given)[0] for graph in (alone, both))
    assert one == other or (math.isnan(one) and math.isnan(other))


@pytest.mark.parametrize(
    "text",
    [
        "y*(2*x) + (z + x)/3",
        "x*(2*y) + z*0",
        "(x + x)*y/4 - z*x",
        "1 - (2*tanh(x))*(tanh(x)/2) + y*z",
        "sqrt((2*x)*(x/2) + y**2) + z",
        "x/16*(y/16) + z/2",
        "z/sqrt(x**2 + y**2 + 1) + x*y",
    ],
)
def test_values_of_products_with_small_powers_of_two(text):
    f = sg.compile(f"f(x, y, z) = {text}")
    g = sg.value_and_grad(f)
    rng = np.random.default_rng(5)
    points = [*rng.normal(size=(200, 3)), (1e308, 1e-10, 1.0), (1e200, 1.0, 1.0)]
    x, y, z = np.transpose([*points, (1.4e154, 1.4e154, 0.0)])
    values = f(x, y, z)
    assert values.tobytes() == g(x, y, z)[0].tobytes()
    for k, point in enumerate(zip(x, y, z, strict=True)):
        assert f(*map(float, point)) == g(*map(float, point))[0] == values[k]


@pytest.mark.parametrize("text", ["sum(exp(x)*y)", "sum(x*exp(-x**2)*y)", "sum((x*y)**2)"])
def test_sums_have_the_same_bits_with_derivatives_and_without(text):
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 1001))
    f = sg.compile(f"f(x, y) = {text}")
    assert f(x, y) == sg.value_and_grad(f)(x, y)[0]


def test_what_overflows_is_as_the_processor_has_it():
    f = sg.compile("f(x, y, z) = x*y + z")
    for point in ((1e308, 10.0, -math.inf), (1e308, 10.0, -1e308), (-1e308, 10.0, math.inf)):
        arrays = [np.full(9, value) for value in point]
        # A kernel in the cache would answer before plain Python does.
        assert ieee.fma(*point) == f(*arrays)[0]
        assert f(*point) == f(*arrays)[0] == sg.compile(f.program.text, backend="jit")(*point)
    tiny = sg.compile("f(x, y) = x/2**(-1030) + y")
    assert tiny(5e-322, 0.0) == 5e-322 * 2.0**1000 * 2.0**30


def test_a_coordinate_is_never_longer_than_its_vector():
    x = np.random.default_rng(7).uniform(0.5, 2.0, 20_000)
    angle = sg.compile("f(x, y, z) = acos(x/sqrt(x**2 + y**2 + z**2))")
    assert not np.isnan(angle(x, 1e-9 * x, 1e-9 * x)).any()
    assert sg.compile("y/sqrt(x)")(np.arange(1.0, 300.0), np.arange(1.0, 300.0) ** 2).max() == 1


@given(programs())
def test_it_costs_no_operation(program):
    program = replace(program, inputs=tuple("xyz"))
    variant = Variant((0, 0, 0))
    # Without stable forms, which may take more.
    plain = sum(
        node.op in ARITHMETIC
        for node in build_graph(program, (), variant, stable=False)[0].nodes()
    )
    fused, _ = build_graph(program, (), variant)
    if fused.census().keys() <= ARITHMETIC | {"input", "number", "step", "broadcast"}:
        assert operations(fused) <= plain


@given(numbers, numbers)
@settings(deadline=None)
def test_a_fraction_is_never_negative(x, y):
    assert 0.0 <= compiled("x*y - floor(x*y)", "auto")(x, y) <= 1.0


@given(numbers, numbers)
@settings(deadline=None)
def test_differences_of_equal_products_are_zero(x, y):
    cross = compiled("f(a, b, c, d) = a*b - c*d", "auto")
    assert cross(x, y, x, y) == cross(x, y, y, x) == 0.0
    assert compiled("x**2 - y**2", "auto")(x, x) == 0.0
    circle = compiled("f(x, y) = x**2 + y**2", "auto")
    assert circle(x, y) == circle(y, x)


def test_long_formulas_are_taken_as_they_are():
    text = "\n".join(f"s{k} = a*{'x' if k == 0 else f's{k - 1}'} + b" for k in range(1000))
    program = parse(text)
    assert len(program.instructions) > 2000
    graph, _ = build_graph(program, (), Variant((0,) * len(program.inputs)))
    assert "fma" not in graph.census()
