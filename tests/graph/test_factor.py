"""Factors leave the sums of derivatives, and only those."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from codegen.plain import graph_of, run

import symgrad as sg
from symgrad.calculus.transform import Gradient
from symgrad.codegen.python import print_function
from symgrad.compiler import Variant, build_graph
from symgrad.graph.count import operations
from symgrad.graph.factor import cancel_quotients, factor_sums
from symgrad.graph.node import Builder, Graph, Output
from symgrad.language.parse import parse


def varying(graph: Graph) -> list[str]:
    """Return the operations that are done at each point."""
    free = ("input", "step", "broadcast", "reduce")
    return sorted(node.op for node in graph.nodes() if node.axes and node.op not in free)


def test_parameters_literals_and_the_mean_leave_the_sum() -> None:
    graph = graph_of(
        "mean((h*exp(-x/w) - y)**2)", Gradient(("h", "w")), arrays={"x": 1, "y": 1}
    )
    # exp(-x/w), h*exp - y, and one product for each sum: no 2, no 1/n, no h, no 1/w.
    assert varying(graph) == ["div", "exp", "fms", "mul", "mul", "neg"]


def test_terms_of_the_users_sums_stay_as_written() -> None:
    graph = graph_of("sum(2*a*x)", arrays={"x": 1})
    assert varying(graph) == ["mul"]
    (total,) = (node for node in graph.nodes() if node.op == "reduce")
    assert total.operands[0].op == "mul"


def test_sums_that_still_vary_need_no_second_pass() -> None:
    graph = graph_of("f(x, y) = (x*y)**2", Gradient(("y",)), arrays={"x": 1, "y": 2})
    assert graph.outputs[0].node.op == "reduce"


def test_a_value_that_is_also_an_output_is_computed_once() -> None:
    graph = graph_of("sum(a*x**2)", Gradient(("a", "x")), arrays={"x": 1})
    alone = graph_of("sum(a*x**2)", Gradient(("x",)), arrays={"x": 1})
    assert operations(graph) <= operations(alone) + 2


def test_derivatives_divide_by_each_denominator_once() -> None:
    def divisions(text: str, **arrays: int) -> int:
        graph = graph_of(text, Gradient(value=True), arrays=arrays)
        return sum(node.op == "div" for node in graph.nodes())

    # The user's quotient is rounded once, and so stays; the derivatives share another.
    assert divisions("x/(x*y + 1)") == 2
    assert divisions("k/exp2(x**2 + y**2 + 1)", x=1, y=1) == 2
    # A reciprocal of the user's serves.
    assert divisions("1/exp2(x + 1)") == 1
    # In derivatives nothing is divided by a root.
    assert divisions("k/sqrt(x**2 + y**2 + 1)", x=1, y=1) == 1
    assert divisions("1/sqrt(x + 1)") == 1
    # A single division stays one: a product would be rounded twice.
    assert divisions("x/y", x=1) == 2
    assert divisions("log(x)") == 1


def test_derivatives_multiply_by_the_reciprocal_of_a_parameter() -> None:
    graph = graph_of("exp((x - mu)/w)", Gradient(("x",)), arrays={"x": 1})
    assert varying(graph).count("div") == 1
    # Nobody else divides by x.
    graph = graph_of("y*log(x)", Gradient(("x",)), arrays={"x": 1, "y": 1})
    assert varying(graph) == ["div"]


@pytest.mark.parametrize(
    ("text", "same", "divisions", "inverse"),
    [
        ("1/r + k/sqrt(r)", lambda r, y, k: 1 / r + k / mpmath.sqrt(r), 2, 0),
        ("k/r - 3/sqrt(r)", lambda r, y, k: k / r - 3 / mpmath.sqrt(r), 3, 0),
        ("k/r**3 - k/sqrt(r)", lambda r, y, k: k / r**3 - k / mpmath.sqrt(r), 3, 1),
        # Nothing else is divided by it.
        ("k/sqrt(r)", lambda r, y, k: k / mpmath.sqrt(r), 1, 1),
        # The inverse root is needed all the same.
        ("1/r + sqrt(r)", lambda r, y, k: 1 / r + mpmath.sqrt(r), 1, 1),
        ("1/r - k*y/sqrt(r)", lambda r, y, k: 1 / r - k * y / mpmath.sqrt(r), 2, 1),
        # It may be negative: then its root is NaN and its reciprocal is not.
        (
            "1/(r - 1) + k/sqrt(r - 1)",
            lambda r, y, k: 1 / (r - 1) + k / mpmath.sqrt(r - 1),
            2,
            1,
        ),
    ],
)
def test_two_inverse_roots_are_a_reciprocal_that_is_there(text, same, divisions, inverse):
    text = f"r = x**2 + y**2 + 1\nf(x, y, k) = {text}"
    census = graph_of(text, Gradient(("x", "y"), value=True)).census()
    assert (census["div"], census.get("rsqrt", 0)) == (divisions, inverse)
    x, y, k = 0.75, 1.5, 1.25
    with mpmath.workdps(50):
        expected = (
            mpmath.diff(lambda x: same(x**2 + y**2 + 1, y, k), x),
            mpmath.diff(lambda y: same(x**2 + y**2 + 1, y, k), y),
        )
    found = sg.grad(sg.compile(text), wrt=("x", "y"))(x, y, k)
    assert found == pytest.approx([float(each) for each in expected], rel=4e-15)


def test_a_second_derivative_changes_no_bits_of_the_first() -> None:
    f = sg.compile("1/(x**2 + y**2 + 1) + x/sqrt(x**2 + y**2 + 1)")
    first = sg.grad(f, wrt="x")
    x, y = np.random.default_rng(4).uniform(-3, 3, (2, 500))
    assert (first(x, y) == sg.value_and_grad(first)(x, y)[0]).all()


def test_the_logarithm_of_a_quotient_is_divided_by_the_numerator() -> None:
    graph = graph_of("log(x/y)", Gradient(value=True))
    assert [node.op for node in graph.nodes()].count("div") == 2
    both = sg.value_and_grad(sg.compile("3*log(x/y)"))
    value, (x_bar, y_bar) = both(x=8.0, y=2.0)
    assert (value, x_bar, y_bar) == (3 * math.log(4.0), 3 / 8, -3 / 2)
    # The quotient underflows, the derivative does not.
    assert sg.grad(sg.compile("log(x/y)"), wrt="x")(x=1e-200, y=1e200) == 1e200


@pytest.mark.parametrize(("last", "primal", "left"), [("y", 0, 1), ("z", 0, 3), ("y", 99, 3)])
def test_other_quotients_stay(last: str, primal: int, left: int) -> None:
    b = Builder()
    inputs = {name: b.input(name) for name in "gxyz"}
    quotient = b.apply("div", inputs["x"], inputs["y"])
    node = b.apply("div", b.apply("div", inputs["g"], quotient), inputs[last])
    graph = Graph(b, tuple(inputs.values()), (Output("f", node),), primal=primal)
    assert [n.op for n in cancel_quotients(graph).nodes()].count("div") == left


def test_derivatives_do_not_divide_by_constants_at_each_point() -> None:
    graph = graph_of("x**2/sqrt(2)", Gradient(), arrays={"x": 1})
    assert "div" not in varying(graph)
    # The user's own quotient is rounded once.
    assert "div" in varying(graph_of("x**2/sqrt(2)", arrays={"x": 1}))


@pytest.mark.parametrize("op", ["add", "sub"])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_signs_stay_with_their_terms(op: str, signs: tuple[int, int]) -> None:
    b = Builder()
    x, a = b.input("x", 1), b.input("a")
    left = b.apply("mul", a, b.apply("exp", x))
    right = b.apply("mul", a, b.apply("sin", x))
    terms = [
        n if sign > 0 else b.apply("neg", n)
        for n, sign in zip((left, right), signs, strict=True)
    ]
    total = b.reduce(b.apply(op, *terms), 1)
    graph = Graph(b, (x, a), (Output("z", total),))
    factored = factor_sums(graph)
    assert "mul" not in varying(factored)
    points = np.array([0.5, 1.0, 2.0])
    function = print_function(factored, "kernel")
    (found,) = run(factored, function, [3], [points, 3.0])
    second = signs[1] if op == "add" else -signs[1]
    expected = 3.0 * np.sum(signs[0] * np.exp(points) + second * np.sin(points))
    assert math.isclose(found, expected, rel_tol=1e-14)


def test_a_factor_does_not_leave_a_selection() -> None:
    f = sg.compile("sum(where(w > 0, x/w, 0))")
    x_bar = sg.grad(sg.compile("sum(where(w > 0, exp(x)/w, 0)*a)"), wrt="a")
    x = np.array([1.0, 2.0])
    assert f(x=x, w=0.0) == 0.0
    assert x_bar(x=x, w=0.0, a=1.0) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "mean((h*exp(-x/w) - y)**2)/h",
        "sum(-(h*x - y)*w*(x - h)/h)",
        "sum(w*(h/(x + y)*w - h*w*x))",
        "sum((h*x + w*y)*(h*y - w*x))",
    ],
)
def test_gradients_agree_with_differences(text: str) -> None:
    f = sg.compile(text, inputs=["x", "y", "h", "w"])
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0.5, 2.0, (2, 700))
    point = {"h": 1.25, "w": 0.75}
    for name in point:
        found = float(sg.grad(f, wrt=name)(x=x, y=y, **point))
        step = 1e-6
        ahead = f(x=x, y=y, **{**point, name: point[name] + step})
        behind = f(x=x, y=y, **{**point, name: point[name] - step})
        assert math.isclose(found, (ahead - behind) / (2 * step), rel_tol=1e-6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x**2/2", []),
        ("(x - m)**2/2/s**2", ["div", "mul", "pow", "sub"]),
        ("x*y**2/2", ["mul"]),
        ("4*x**2/2", ["mul"]),
    ],
)
def test_doubling_and_halving_meet_in_derivatives(text, expected):
    by = "y" if "y" in text else "x"
    graph = graph_of(text, Gradient((by,)))
    free = ("input", "number", "step", "broadcast")
    assert sorted(node.op for node in graph.nodes() if node.op not in free) == expected


@pytest.mark.parametrize(("dtype", "inverse"), [("float64", 1), ("float32", 0)])
def test_float32_divides_by_the_roots_that_are_there(dtype, inverse):
    for value in (False, True):
        variant = Variant((1,), 1, dtype)
        graph, _ = build_graph(parse("1/sqrt(x + 1)"), (Gradient(value=value),), variant)
        assert graph.census().get("rsqrt", 0) == inverse
        # There is no root of the user's here.
        graph, _ = build_graph(parse("asin(x)"), (Gradient(value=value),), variant)
        assert graph.census()["rsqrt"] == 1


def test_powers_of_two_in_derivatives_are_one_at_most():
    def literals(text: str) -> list[float]:
        graph = graph_of(text, Gradient(("x",)))
        return sorted(float(node.payload) for node in graph.nodes() if node.op == "number")

    assert literals("x**2/2*y") == []
    assert literals("x**2*y/4") == [0.5]
    # What the user wrote stays, and so do large powers, which keep products in range.
    assert "div" in graph_of("x/2*(2*y)").census()
    assert 2.0**40 in literals("x**2/2**40*(y/2**40)*z")


def test_products_that_are_scaled_stay_in_range():
    f = sg.compile("f(x, y) = x/2**300*(y/2**300)*2**590")
    assert f(1e200, 1e200) == 1e200 / 2.0**300 * (1e200 / 2.0**300) * 2.0**590


@pytest.mark.parametrize("x", [0.0, -0.0, 1.5, -3e-300, math.inf, -math.inf, math.nan])
def test_powers_of_two_change_no_bits(x):
    for text in (
        "f(x, y) = x/2*(4*y)",
        "f(x, y) = -(2*x)/(y/8)*0.25",
        "f(x, y) = (x*0.5)*(y*2)",
    ):
        for y in (1.0, -7.0, 0.1):
            one = sg.compile(text)(x, y)
            other = sg.compile(text, stable=False)(x, y)
            assert one == other or (math.isnan(one) and math.isnan(other))
            assert math.copysign(1.0, one) == math.copysign(1.0, other) or math.isnan(one)
            slopes, others = (sg.grad(sg.compile(text, stable=s))(x, y) for s in (True, False))
            assert np.array_equal(slopes, others, equal_nan=True)
