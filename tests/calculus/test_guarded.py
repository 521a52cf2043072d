"""The branch not taken never poisons, at any order and in either mode."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np
import pytest
import sympy as sp
from oracle import check, inf, nan, same

import symgrad as sg
from symgrad.calculus import reference
from symgrad.calculus.sweep import tangents
from symgrad.calculus.transform import Gradient, Jacobian
from symgrad.compiler import Variant, build_graph
from symgrad.graph.evaluate import evaluate

#: Formulas of x, points, and the derivatives of order 1, 2, 3 where they are written down;
#: None means that the reference decides.
UNTAKEN: list[tuple[str, float, tuple[float, ...] | None]] = [
    ("where(x > 0, log(x), 0)", -1.0, (0, 0, 0)),
    ("where(x > 0, log(x), 0)", 0.0, (0, 0, 0)),
    ("where(x > 0, log(x), 0)", 2.0, None),
    ("where(x > 0, log(x), x**3)", -2.0, (12, -12, 6)),
    ("sqrt(max(x, 0))", -1.0, (0, 0, 0)),
    ("sqrt(max(x, 0))", 4.0, None),
    ("sqrt(relu(x))", -1.0, (0, 0, 0)),
    ("log(max(x, 1e-3))", -5.0, (0, 0, 0)),
    ("where(x > 0, sqrt(x), 0)", 0.0, (0, 0, 0)),
    ("where(x > 0, sqrt(x), 0)", -1.0, (0, 0, 0)),
    ("where(x > 0, x**0.5, 0)", 0.0, (0, 0, 0)),
    ("where(x != 0, 1/x, 0)", 0.0, (0, 0, 0)),
    ("where(x != 0, sin(x)/x, 1)", 0.0, (0, 0, 0)),
    ("where(x != 0, sin(x)/x, 1)", 1e-2, None),
    ("where(x > 0, exp(-1/x), 0)", 0.0, (0, 0, 0)),
    ("where(x > 0, exp(-1/x), 0)", -3.0, (0, 0, 0)),
    ("where(x > 0, where(x > 1, log(x - 1), sqrt(x)), x)", -1.0, (1, 0, 0)),
    ("where(x > 0, where(x > 1, log(x - 1), sqrt(x)), x)", 0.5, None),
    ("where(x > 0, where(x > 1, log(x - 1), sqrt(x)), x)", 3.0, None),
    ("where(x > 0, where(log(x) > 1, x**2, x**3), 5*x)", -1.0, (5, 0, 0)),
    ("where(x > 0, where(log(x) > 1, x**2, x**3), 5*x)", 2.0, (12, 12, 6)),
    ("where(x > 0, abs(log(x)), 5*x)", -1.0, (5, 0, 0)),
    ("where(x > 0, abs(log(x)), 5*x)", 0.5, None),
    ("where(x > 0, max(log(x), sqrt(x)), 5*x)", -1.0, (5, 0, 0)),
    ("where(x > 0, relu(log(x))*hypot(log(x), 1), x**2)", -1.0, (-2, 2, 0)),
    ("where(x > 0, log(x)**2.5 + abs(log(x))**x, x**2)", -1.0, (-2, 2, 0)),
    ("where(x > 0, xlogy(log(x), sqrt(x)), x**2)", -1.0, (-2, 2, 0)),
    ("where(x > 0 and x < 1, log(x)*log(1 - x), 0)", -1.0, (0, 0, 0)),
    ("where(x > 0 and x < 1, log(x)*log(1 - x), 0)", 1.0, (0, 0, 0)),
    ("where(x > 0 and x < 1, log(x)*log(1 - x), 0)", 0.25, None),
    ("where(x <= 0 or x >= 1, x, asin(x)/sqrt(1 - x))", 1.0, (1, 0, 0)),
    ("where(not x > 0, x**2, log(x))", -1.0, (-2, 2, 0)),
    ("where(x >= 1, acosh(x), 0) + where(x < 1, acos(x), 0)", -0.5, None),
    ("where(x >= 1, acosh(x), 0) + where(x < 1, acos(x), 0)", 3.0, None),
    ("where(x > 0, log(x), 0) + where(x > 0, 0, log(-x))", -2.0, None),
    ("where(x > 0, log(x), 0)*where(x > 1, sqrt(x - 1), 1)", 0.5, None),
    ("where(x > 0, log(x), 0)*where(x > 1, sqrt(x - 1), 1)", -0.5, (0, 0, 0)),
    ("u = log(x); where(x > 0, u, 0) + where(x > -2, u*0 + x, u)", -1.0, (1, 0, 0)),
    ("u = sqrt(x); where(x > 0, u + u**2, x*2)", 0.0, (2, 0, 0)),
    ("u = log(x); v = where(x > 0, u, x); where(v > 0, sqrt(v), v**2)", -1.0, (-2, 2, 0)),
    ("x/where(x > 0, x, 1)", -2.0, (1, 0, 0)),
    ("log(where(x > 0, x, 1))", -2.0, (0, 0, 0)),
    ("1/where(x != 0, x, inf)", 0.0, (0, 0, 0)),
    ("where(x > 0, x, 0)/where(x > 0, sqrt(x), 1)", 0.0, (0, 0, 0)),
    ("abs(x)**1.5", 0.0, (0,)),
    ("abs(x)**3", 0.0, (0, 0)),
    ("abs(x)**1.5", -4.0, None),
    ("sqrt(x**2)", 0.0, (0, 0, 0)),
    ("hypot(x, 0)", 0.0, (0,)),
    ("hypot(x, 0*x)**0.5", 0.0, (0,)),
    ("log(hypot(x, 3*x))", 0.0, (0,)),
    ("clip(x, 0, 1)**0.5", -1.0, (0, 0, 0)),
    ("clip(x, 0, 1)**0.5", 2.0, (0, 0, 0)),
    ("max(log(x), -1)", 1e-3, (0, 0, 0)),
    ("sqrt(sqrt(max(x, 0))*x**3)", -1.0, (0, 0, 0)),
    ("sqrt(sqrt(max(x, 0))*x**3)", 2.0, None),
    ("sqrt(sqrt(max(x, 0))/cos(x))", -1.0, (0, 0, 0)),
    ("sqrt(where(x > 0, log(x), 0)*x + x*relu(x))", -1.0, (0, 0, 0)),
    ("cbrt(x*sin(min(0, x)))", 1.0, (0, 0, 0)),
    ("(x*relu(x))**1.5", -1.0, (0, 0, 0)),
    ("(x*relu(x))**1.5", 1.0, (3, 6, 6)),
    ("x**2", 0.0, (0, 2, 0)),
    ("x**3", 0.0, (0, 0, 6)),
    ("sinc(x)", 0.0, None),
    ("tanh(x)", 800.0, (0, 0, 0)),
    ("tanh(x)", -30.0, None),
    ("sigmoid(x)", 800.0, (0, 0, 0)),
    ("sigmoid(x)", -800.0, (0, 0, 0)),
    ("softplus(x)", 800.0, (1, 0, 0)),
    ("silu(x)", -1e200, (0, 0, 0)),
    ("gelu(x)", 1e100, (1, 0, 0)),
    ("gelu(x)", -1e100, (0, 0, 0)),
    ("gelu(x)", inf, (1, 0, 0)),
    ("gelu(x)", -inf, (0, 0, 0)),
    ("ndtr(x)", inf, (0, 0, 0)),
    ("ndtr(x)", -1e200, (0, 0, 0)),
    ("erf(x)", 1e200, (0, 0, 0)),
    ("atan(x)", 1e200, (0, 0, 0)),
    ("asinh(x)", 1e200, (1e-200, 0, 0)),
    ("logaddexp(x, 0)", -900.0, (0, 0, 0)),
    ("logaddexp(x, 0)", 0.0, None),
    ("besselj1(x)", 0.0, (0.5, 0, -0.375)),
    ("besselj1(x)", 1e-5, None),
    ("x**-2", 1e-3, None),
]


def modes(order: int) -> list[tuple[Any, ...]]:
    """Return the ways to a derivative: reverse over reverse, and a Jacobian at the end."""
    reverse = Gradient(("x",), single=True)
    return [(reverse,) * order, (reverse,) * (order - 1) + (Jacobian(("x",), single=True),)]


@pytest.mark.parametrize(("text", "at", "expected"), UNTAKEN)
def test_all_orders(text: str, at: float, expected: tuple[float, ...] | None) -> None:
    f = sg.compile(text)
    for order in (1, 2, 3) if expected is None else range(1, len(expected) + 1):
        if expected is None:
            exact = float(reference.derivative(f.program, {"x": at}, *["x"] * order))
        else:
            exact = expected[order - 1]
        # Third derivatives of formulas for the first lose digits near removable points.
        close = pytest.approx(exact, rel=1e-7 if order == 3 else 1e-9, abs=1e-13)
        for transforms in modes(order):
            graph, _ = build_graph(f.program, transforms, Variant((0,)))
            assert evaluate([graph.outputs[0].node], {"x": at}) == [close], transforms
        before, _ = build_graph(f.program, modes(order)[0][1:], Variant((0,)))
        b, node = before.builder, before.outputs[0].node
        forward = tangents(b, {before.find("x"): b.number(1)}, [node])
        assert evaluate(forward, {"x": at}) == [close]


@pytest.mark.parametrize(("text", "at", "expected"), UNTAKEN)
def test_compiled_code_does_the_same(
    text: str, at: float, expected: tuple[float, ...] | None
) -> None:
    f = sg.compile(text)
    value, slope = sg.value_and_grad(f, wrt="x")(np.array([at, at]))
    graph, _ = build_graph(f.program, (Gradient(value=True),), Variant((0,)))
    plain = evaluate([output.node for output in graph.outputs], {"x": at})
    assert np.allclose([value, slope], np.array([plain, plain]).T, rtol=1e-14, atol=1e-300)
    if expected is not None:
        assert slope == pytest.approx(expected[0], rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("text", ["where(x > 0, log(x), x**2)", "sqrt(max(x, 0))*sin(x)"])
def test_hessian_and_products(text: str) -> None:
    f = sg.compile(text)
    for at in (-1.0, 2.0):
        second = float(sg.grad(sg.grad(f, wrt="x"), wrt="x")(at))
        assert float(sg.hessian(f)(at)[0, 0]) == pytest.approx(second, rel=1e-14)
        assert float(sg.hvp(f, (at,), (3.0,))[0]) == pytest.approx(3 * second, rel=1e-14)


def test_two_inputs_of_a_selection() -> None:
    f = sg.compile("where(x > y, log(x - y), sqrt(y - x))", inputs=["x", "y"])
    check(f, [(2.0, 1.0), (1.0, 2.5), (-3.0, 4.0)])


@pytest.mark.parametrize(
    "text", ["sqrt(x*max(y, 0))", "cbrt(x*min(0, -y))", "(x*relu(y))**1.5"]
)
@pytest.mark.parametrize("at", [0.0, -0.0, -2.0, nan])
def test_a_root_of_nothing_is_flat(text: str, at: float) -> None:
    f = sg.compile(text, inputs=["x", "y"])
    flat = nan if at != at else 0.0
    assert same(float(sg.grad(f, wrt="x")(3.0, at)), flat)
    second, third = sg.hessian(f)(3.0, at), sg.jacobian(sg.hessian(f))(3.0, at)
    assert same(second[0, 0], flat)
    assert same(third[0, 0, 0], flat)
    if at < 0:
        assert not second.any()
        assert not third.any()


@pytest.mark.parametrize("other", [inf, nan, -inf, 1e308])
def test_an_infinite_or_unknown_value_on_the_other_branch(other: float) -> None:
    f = sg.compile("where(c > 0, x**2, x*y*exp(y) + log(y))", inputs=["c", "x", "y"])
    assert [float(g) for g in sg.grad(f)(1.0, 3.0, other)] == [0.0, 6.0, 0.0]


def test_an_infinite_slope_is_not_multiplied_by_a_zero_mask() -> None:
    f = sg.compile("relu(sqrt(x) - 1)")
    assert float(sg.grad(f, wrt="x")(0.0)) == 0.0
    assert float(sg.grad(sg.compile("max(cbrt(x), 2)"), wrt="x")(0.0)) == 0.0
    assert float(sg.grad(sg.compile("abs(x)*0.5 + sqrt(relu(x))"), wrt="x")(-1.0)) == -0.5


def test_a_nan_in_the_condition_gives_nan() -> None:
    f = sg.compile("where(x > 0, 2*x, 3*x)")
    value, slope = sg.value_and_grad(f, wrt="x")(nan)
    assert math.isnan(value)
    assert math.isnan(slope)
    f = sg.compile("where(log(x) > 0, 2*x, 3*x)")
    assert math.isnan(sg.grad(f, wrt="x")(-1.0))


def test_both_sides_become_one_selection() -> None:
    f = sg.compile("where(x > 0, x**2, x**3)")
    assert f.source("gradient").count(" if ") <= 4


@pytest.mark.parametrize("at", [-2.0, 0.0, 0.5, 1.0, 3.0])
def test_piecewise_from_sympy(at: float) -> None:
    x = sp.Symbol("x", real=True)
    pieces = sp.Piecewise((x**2, x < 0), (sp.sqrt(x), x < 1), (sp.log(x), True))
    f = sg.compile(pieces)
    slope = {-2.0: -4.0, 0.0: inf, 0.5: 0.5**0.5, 1.0: 1.0, 3.0: 1 / 3}[at]
    curve = {-2.0: 2.0, 0.0: -inf, 0.5: -(0.5**0.5), 1.0: -1.0, 3.0: -1 / 9}[at]
    assert float(sg.grad(f, wrt="x")(at)) == pytest.approx(slope, rel=1e-15)
    second = float(sg.grad(sg.grad(f, wrt="x"), wrt="x")(at))
    assert second == pytest.approx(curve, rel=1e-14) or same(second, curve)


def test_piecewise_without_default_is_nan_outside() -> None:
    x = sp.Symbol("x", real=True)
    f = sg.compile(sp.Piecewise((sp.log(x), x > 0)))
    assert math.isnan(f(-1.0))
    assert float(sg.grad(f, wrt="x")(2.0)) == 0.5


def test_many_nested_selections() -> None:
    text = reduce(lambda rest, k: f"where(x < {k}, {k}*x**2, {rest})", range(12, 0, -1), "x")
    f = sg.compile(text)
    for at in (0.5, 5.5, 11.5, 100.0):
        expected = 2 * math.floor(at + 1) * at if at < 12 else 1.0
        assert float(sg.grad(f, wrt="x")(at)) == expected
    cost = f.cost()
    assert cost["gradient"] <= 6 * cost["forward"]


def test_the_same_condition_in_a_chain_of_steps() -> None:
    steps = [f"u{k + 1} = where(u{k} > 0, sqrt(u{k}), u{k}**2)" for k in range(20)]
    f = sg.compile("; ".join(["u0 = x", *steps]))
    check(f, [(0.3,), (-0.9,), (4.0,)], bound=64)
    cost = f.cost()
    assert cost["gradient"] <= 5 * cost["forward"]
