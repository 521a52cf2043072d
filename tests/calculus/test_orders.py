"""Derivatives of every order: composed, mixed, and several in one pass."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy as sp
from oracle import ulps

import symgrad as sg
from symgrad.calculus import reference
from symgrad.calculus.transform import Gradient, Hessian
from symgrad.compiler import Variant, build_graph
from symgrad.graph.count import operations

TEXT = "u = x*y; v = exp(-u)*sin(y); f = v/(1 + x**2)"


def test_mixed_derivatives_are_those_of_sympy() -> None:
    f = sg.compile(TEXT, inputs=["x", "y"])
    x, y = sp.symbols("x y", real=True)
    whole = sp.exp(-x * y) * sp.sin(y) / (1 + x**2)
    point = {x: 0.7, y: 1.9}
    for order in (1, 2, 3):
        for names in itertools.product("xy", repeat=order):
            found = f.derivative(*names, inline=True)
            expected = sp.diff(whole, *[{"x": x, "y": y}[name] for name in names])
            assert found.evalf(30, subs=point) == pytest.approx(
                expected.evalf(30, subs=point), rel=1e-25
            )


def test_mixed_derivatives_by_steps() -> None:
    f = sg.compile(TEXT, inputs=["x", "y"])
    u, x, y = sp.symbols("u x y", real=True)
    # By the step u, which the statement of v names; x is left where f names it itself.
    outer = sp.exp(-u) * sp.sin(y) / (1 + x**2)
    assert sp.simplify(f.derivative("u", "u", inline=True) - outer.subs(u, x * y)) == 0
    for names in (("u", "x", "u"), ("x", "u", "u"), ("u", "u", "x")):
        total = sp.diff(outer, x) + sp.diff(outer, u) * y
        expected = sp.diff(total, u, 2).subs(u, x * y)
        assert sp.simplify(f.derivative(*names, inline=True) - expected) == 0, names


def test_gradients_compose_to_any_order() -> None:
    f = sg.compile(TEXT, inputs=["x", "y"])
    point = {"x": 0.7, "y": 1.9}
    for names in itertools.chain(
        itertools.product("xy", repeat=2), itertools.product("xy", repeat=3)
    ):
        derivative = f
        for name in names:
            derivative = sg.grad(derivative, wrt=name)
        exact = reference.derivative(f.program, point, *names, digits=60)
        assert ulps(float(derivative(**point)), exact, scale=1) <= 16, names


def test_the_gradient_of_a_gradient_is_that_of_its_sum() -> None:
    second = sg.grad(sg.grad(sg.compile("f(x, y) = x**2*y + y**3")))
    assert [float(g) for g in second(2.0, 3.0)] == [6 + 4, 4 + 18]


def test_value_gradient_and_hessian_come_from_one_kernel() -> None:
    f = sg.compile(TEXT, inputs=["x", "y"])
    all_three = sg.value_grad_and_hessian(f)
    x, y = np.linspace(0.1, 2.0, 7), np.linspace(-1.0, 1.0, 7)
    value, gradient, hessian = all_three(x, y)
    assert all_three.kernels == ["hessian"]
    assert (value.shape, gradient.shape, hessian.shape) == ((7,), (7, 2), (7, 2, 2))
    assert np.allclose(value, f(x, y), rtol=1e-15)
    assert np.allclose(gradient, sg.jacobian(f)(x, y), rtol=1e-13)
    assert np.allclose(hessian, sg.hessian(f)(x, y), rtol=1e-13, atol=1e-15)
    assert np.array_equal(hessian[..., 0, 1], hessian[..., 1, 0])


def test_one_pass_takes_fewer_operations_than_three() -> None:
    program = sg.compile(TEXT, inputs=["x", "y"]).program
    variant = Variant((0, 0))

    def count(*transforms: object) -> int:
        return operations(build_graph(program, transforms, variant)[0])  # type: ignore[arg-type]

    together = count(Hessian(value=True))
    assert together < 0.75 * (count() + count(Gradient()) + count(Hessian()))


def test_names_single_and_several_outputs() -> None:
    f = sg.compile("u = x*y; v = u**2; w = u + y", inputs=["x", "y"], outputs=["v", "w"])
    values, gradients, hessians = sg.value_grad_and_hessian(f, wrt=["u", "y"])(2.0, 3.0)
    assert [float(v) for v in values] == [36.0, 9.0]
    assert [g.tolist() for g in gradients] == [[12.0, 24.0], [1.0, 3.0]]
    # By y through u = x*y as well: d/du d/dy u**2 = d/du 2*u*x.
    assert [h.tolist() for h in hessians] == [[[2.0, 4.0], [4.0, 8.0]], [[0.0] * 2] * 2]
    value, gradient, hessian = sg.value_grad_and_hessian(sg.compile("x**3"), wrt="x")(2.0)
    assert (float(value), gradient.tolist(), hessian.tolist()) == (8.0, [12.0], [[12.0]])


def test_hessians_through_sums() -> None:
    f = sg.compile("loss(a, b, x, y) = sum((a*x + b - y)**2)")
    x = np.array([1.0, 2.0, 3.0])
    value, gradient, hessian = sg.value_grad_and_hessian(f, wrt=["a", "b"])(1.0, 0.0, x, x + 1)
    assert (float(value), gradient.tolist()) == (3.0, [-12.0, -6.0])
    assert hessian.tolist() == [[28.0, 12.0], [12.0, 6.0]]
