"""The reverse and the forward sweep against each other and against mpmath."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import check, seeded

import symgrad as sg
from symgrad.calculus import pullback, rules, sweep
from symgrad.graph.count import operations, tree_size
from symgrad.graph.lower import lower
from symgrad.language.functions import FUNCTIONS
from symgrad.language.parse import parse

PROGRAMS = [
    "z = y*log(x) + sin(y)",
    "u = x + y; z = u**2",
    "u = x*y; v = sin(u); w = u*v; z = w/(1 + v**2)",
    "a = exp(-x); b = a*y; c = a + b; z = c*a - b/c",
    "a = x*y; b = x*y; z = a + b**2",
    "s = x - y; d = x + y; z = hypot(s, d)*atan2(s, d)",
    "t = tanh(x*y); u = sigmoid(t) + softplus(t); z = u**t",
    "r = x/y; z = r*log(r) + (1 + r)**-2 + sqrt(r)*cbrt(r)",
    "z = max(x*y, x + y)*min(x, y**2)",
    "c = where(x > y, x**2, y**3); z = c*x + abs(c - y)",
    "z = erf(x)*gelu(y) + silu(x - y)*logaddexp(x, y)",
    "z = lgamma(x + 1)*besselj0(y) + digamma(x)/gamma(y)",
    "z = x/(y/(x/(y + x)))",
    "z = -(x - y)*(-x/y) - (y - x)/(-y)",
]


def points(count: int = 4) -> list[tuple[float, float]]:
    rng = seeded("sweep")
    return [(rng.uniform(0.3, 2.5), rng.uniform(0.3, 2.5)) for _ in range(count)]


@pytest.mark.parametrize("text", PROGRAMS)
def test_reverse_is_forward_is_reference(text: str) -> None:
    f = sg.compile(text, inputs=["x", "y"])
    check(f, points(), wrt=("x", "y", *f.program.steps), bound=64, scale=1)


def test_equal_steps_are_told_apart() -> None:
    f = sg.compile("a = x*y; b = x*y; z = a + b**2", inputs=["x", "y"])
    grads = sg.grad(f, wrt=("a", "b", "z", "x"))(2.0, 3.0)
    assert [float(g) for g in grads] == [1.0, 12.0, 1.0, 39.0]
    assert str(f.derivative("a")) == "1"
    assert str(f.derivative("b")) == "2*b"


def test_a_step_that_nothing_uses_has_derivative_0() -> None:
    f = sg.compile("u = log(x); z = x**2")
    assert float(sg.grad(f, wrt="u")(-3.0)) == 0.0


def test_a_step_is_fixed_when_it_is_differentiated_by() -> None:
    f = sg.compile("u = x**2; z = u*x")
    assert [float(g) for g in sg.grad(f, wrt=("u", "x"))(3.0)] == [3.0, 27.0]


def test_steps_of_every_order() -> None:
    f = sg.compile("u = x*y; z = sin(u)", inputs=["x", "y"])
    assert str(f.derivative("u", "u", "u")) == "-cos(u)"
    second = sg.hessian(f, wrt=("u", "x"))(0.4, 0.5)
    u = 0.2
    expected = [[-np.sin(u), -0.5 * np.sin(u)], [-0.5 * np.sin(u), -0.25 * np.sin(u)]]
    assert np.allclose(second, expected, rtol=1e-14)


def test_cotangents_scale_the_gradient() -> None:
    f = sg.compile("z = x*y + sin(x)", inputs=["x", "y"])
    x, y, bar = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, -1.0])
    value, back = sg.vjp(f, x, y)
    assert np.array_equal(value, x * y + np.sin(x))
    x_bar, y_bar = back(bar)
    assert np.allclose(x_bar, bar * (y + np.cos(x)), rtol=1e-15)
    assert np.array_equal(y_bar, bar * x)


def test_several_outputs_add_up() -> None:
    f = sg.compile("u = x**2; v = x*u", outputs=["u", "v"])
    assert float(sg.grad(f)(2.0)[0]) == 4 + 12
    _, back = sg.vjp(f, 2.0)
    assert float(back(10.0, 1.0)[0]) == 40 + 12


def test_an_output_that_is_used_again() -> None:
    f = sg.compile("u = x**2; z = sin(u)", outputs=["z", "u"])
    x = 0.7
    assert float(sg.grad(f)(x)[0]) == pytest.approx(2 * x * np.cos(x * x) + 2 * x, rel=1e-15)


# Axes --------------------------------------------------------------------------------


def test_contributions_are_summed_over_surplus_axes() -> None:
    f = sg.compile("z = a*x + b", inputs=["a", "x", "b"])
    x = np.arange(6.0).reshape(2, 3)
    a, b = np.array([[2.0], [3.0]]), np.array([1.0, 1.0, 1.0])
    da, dx, db = sg.grad(f)(a, x, b)
    assert np.array_equal(da, x.sum(axis=1, keepdims=True))
    assert np.array_equal(dx, np.broadcast_to(a, (2, 3)))
    assert np.array_equal(db, [2.0, 2.0, 2.0])


def test_a_number_gets_the_sum_over_all_points() -> None:
    f = sg.compile("z = a*x**2 + c", inputs=["a", "c", "x"])
    x = np.array([1.0, 2.0, 3.0])
    da, dc, dx = sg.grad(f)(2.0, 0.5, x)
    assert (da, dc) == (14.0, 3.0)
    assert np.array_equal(dx, 4 * x)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("z = a", 12.0),
        ("z = a + 0*x", 12.0),
        ("z = sum(a + 0*x)", 12.0),
        ("z = sum(x) + a", 1.0),
        ("z = sum(a*x)", 66.0),
        ("z = mean(a*x)", 5.5),
        ("z = sum(x)*a**2", 264.0),
        ("z = x*sum(a*x)", 66.0**2),
    ],
)
def test_extents_are_factors(text: str, expected: float) -> None:
    f = sg.compile(text, inputs=["a", "x"])
    x = np.arange(12.0).reshape(3, 4)
    assert float(sg.grad(f, wrt="a")(2.0, x)) == expected


def test_gradients_through_a_softmax() -> None:
    f = sg.compile("e = exp(x); p = e/sum(e); z = sum(w*log(p))", inputs=["x", "w"])
    x, w = np.array([0.1, -1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    p = np.exp(x) / np.exp(x).sum()
    assert np.allclose(sg.grad(f, wrt="x")(x, w), w - w.sum() * p, rtol=1e-13, atol=1e-14)


def test_forward_mode_through_reductions() -> None:
    f = sg.compile("m = mean(x); z = sum((x - m)**2)")
    x, along = np.array([1.0, 2.0, 6.0]), np.array([0.5, -1.0, 2.0])
    _, dot = sg.jvp(f, (x,), (along,))
    assert float(dot) == pytest.approx(float((2 * (x - x.mean()) * along).sum()), rel=1e-14)
    (gradient,) = sg.grad(f)(x)
    assert np.allclose(gradient, 2 * (x - x.mean()), rtol=1e-14)


# Cost --------------------------------------------------------------------------------


def chain(n: int) -> str:
    steps = (f"u{k + 1} = sin(u{k}) + cos(u{k})" for k in range(n))
    return "; ".join(["u0 = x*y", *steps])


def speelpenning(n: int) -> str:
    return "*".join(f"x{k}" for k in range(n))


def logistic(n: int) -> str:
    return "; ".join(["u0 = x", *(f"u{k + 1} = r*u{k}*(1 - u{k})" for k in range(n))])


def horner(n: int) -> str:
    text = "x"
    for k in range(n):
        text = f"({text} + a{k})*x" if k < 60 else text
    return f"{text} + b"


@pytest.mark.parametrize("build", [chain, speelpenning, logistic, horner])
def test_a_gradient_costs_at_most_four_times_the_value(build) -> None:
    def cost(n: int) -> dict[str, int]:
        return sg.compile(build(n)).cost()

    large = cost(300)
    assert large["gradient"] <= 4 * large["forward"]
    once, twice = cost(150)["gradient"], large["gradient"]
    assert twice <= 2.1 * once


@pytest.mark.parametrize("name", [name for name, row in FUNCTIONS.items() if row.callable])
def test_a_chain_of_any_function_costs_linearly(name: str) -> None:
    row = FUNCTIONS[name]
    if row.reduction or name in ("where", "polygamma", "sinc_derivative"):
        pytest.skip("not a chain")
    rest = "".join(f", y{k}" for k in range(row.arity[0] - 1))

    def cost(n: int) -> int:
        steps = [f"u{k + 1} = {name}(u{k}{rest})" for k in range(n)]
        return sg.compile("; ".join(["u0 = x*2", *steps])).cost()["gradient"]

    base, once, twice = cost(10), cost(20), cost(40)
    assert twice - once <= 2 * (once - base) + 10


def test_hessians_share() -> None:
    f = sg.compile(chain(10))
    graph = lower(f.program)
    second = sg.hessian(f)
    assert second.cost()["forward"] < 60 * operations(graph)


# Closed forms ------------------------------------------------------------------------


@pytest.mark.parametrize("text", PROGRAMS)
def test_closed_forms_are_right(text: str) -> None:
    import mpmath
    import sympy as sp

    from symgrad.calculus import reference

    f = sg.compile(text, inputs=["x", "y"])
    point = {"x": 1.3, "y": 0.8}
    known = {n: reference.value(f.program, point, output=n) for n in f.program.steps}
    table = {sp.Symbol(n, real=True): sp.Float(v, 40) for n, v in (point | known).items()}
    for name in ("x", "y", *f.intermediates):
        printed = f.derivative(name)
        value = printed.xreplace(table).evalf(30)
        exact = reference.derivative(f.program, point, name)
        assert abs(mpmath.mpf(str(value)) - exact) < 1e-14 * (1 + abs(exact)), printed
        inline = f.derivative(name, inline=True).xreplace(table).evalf(30)
        if name in f.inputs:
            assert abs(mpmath.mpf(str(inline)) - exact) < 1e-14 * (1 + abs(exact))


def test_closed_forms_keep_the_names_of_steps() -> None:
    f = sg.compile("u = x + y; v = u**2; z = sin(v)", inputs=["x", "y"])
    assert str(f.derivative("x")) == "2*u*cos(v)"
    assert str(f.derivative("v")) == "cos(v)"
    assert {str(s) for s in f.derivative("x", inline=True).free_symbols} == {"x", "y"}


def test_closed_forms_do_not_swell() -> None:
    sizes = []
    for n in (75, 150, 300):
        graph = lower(parse(chain(n)))
        node = sweep.closed_form(graph.builder, graph.outputs[0].node, graph.find("x"))
        sizes.append(tree_size(node))
    assert sizes[2] <= 4 * 300 + 10
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])


def test_a_long_chain_can_be_read() -> None:
    f = sg.compile(chain(300))
    derivative = f.derivative("x")
    assert len(derivative.free_symbols) == 301
    assert len(str(derivative)) < 10_000


# The comparison catches what it should ---------------------------------------------------

WRONG = [
    ("x**2", "pow", ("2.001*x", "0")),
    ("sin(x)", "sin", ("-cos(x)",)),
    ("sin(x)", "sin", ("cos(x)*(1 + 1e-13)",)),
    ("exp(2*x)", "mul", ("1", "1")),
    ("tanh(x)", "tanh", ("1 - tanh(x)",)),
    ("x*y", "mul", ("x", "y")),
    ("atan2(x, y)", "atan2", ("-y/hypot(x, y)**2", "x/hypot(x, y)**2")),
    ("abs(x - 3)", "abs", ("where(x >= 0, 1, 1)",)),
    ("max(x, y)", "max", ("where(x > y, 0, 1)", "where(x > y, 1, 0)")),
    ("sqrt(x)", "sqrt", ("1/sqrt(x)",)),
]


@pytest.mark.parametrize(("text", "op", "partials"), WRONG)
def test_a_wrong_rule_is_caught(text, op, partials, monkeypatch) -> None:
    f = sg.compile(text)
    at = points(3) if len(f.inputs) == 2 else [p[:1] for p in points(3)]
    check(sg.compile(text), at)
    right = rules.partial

    def wrong(name: str, arity: int, position: int, style: str = "kernel"):
        if name == op:
            return parse(partials[position], inputs=rules.operand_names(arity))
        return right(name, arity, position, style)

    monkeypatch.setattr(pullback, "partial", wrong)
    monkeypatch.setattr(pullback, "locals_of", pullback.locals_of.__wrapped__)
    with pytest.raises(AssertionError, match="reverse by"):
        check(f, at)
