"""Reductions over all points: values, derivatives, conventions, passes and bits.

The oracle is the reference evaluation, 50-digit arithmetic over arrays; conventions where a
derivative does not exist are written out.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from codegen.plain import graph_of, printed, run
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import identical, inf, nan, seeded

import symgrad as sg
from symgrad.calculus import reference
from symgrad.calculus.transform import Gradient, Pullback
from symgrad.codegen.python import print_function
from symgrad.graph.node import NEUTRAL

REDUCTIONS = ("sum", "mean", "prod", "max", "min", "logsumexp", "norm", "var", "std")

#: Formulas of x and w that are differentiable at data without ties.
FORMULAS = (
    *(f"{name}(x*w)" for name in REDUCTIONS),
    "dot(x, w)",
    "dot(x, x)*norm(w)",
    "sum(w*exp(x - logsumexp(x)))",
    "L = logsumexp(x); sum(w*exp(x - L))",
    "sum(w*(x - mean(x))/sqrt(mean((x - mean(x))**2)))",
    "m = mean(x); s = std(x); y = (x - m)/s; sum(w*y) + s",
    "sum(w*x/sum(x))",
    "sum(w*x/norm(x))",
    "prod(x + w)/max(x) - min(w)*logsumexp(2*x)",
    "max(max(x)*w - x)",
    "logsumexp(logsumexp(x) - w*x)",
    "norm(x - mean(x)*w)",
    "sum(max(x, w*mean(x)))",
    "prod(norm(x)*w)",
)

#: Shapes of x and w that broadcast.
SHAPES = (((5,), (5,)), ((4,), ()), ((3, 1), (2,)), ((2,), (3, 2)), ((), (3,)), ((), ()))


def data(*shapes: tuple[int, ...], seed: int = 1) -> list[Any]:
    rng = np.random.default_rng(seed)
    drawn = [rng.uniform(0.3, 2.0, shape) * rng.choice([1, -1], shape) for shape in shapes]
    return [array if array.ndim else float(array) for array in drawn]


def close(got: Any, exact: Any, size: Any = 0, bound: float = 1e-13) -> bool:
    return bool(abs(mpmath.mpf(float(got)) - exact) <= bound * (1 + abs(exact) + size))


# Values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("size", [1, 2, 31, 1500])
def test_values(name: str, size: int) -> None:
    f = sg.compile(f"{name}(x)")
    rng = np.random.default_rng(size)
    for scale in (1e-3, 1.0, 1e3):
        x = rng.normal(size=size) * scale if name != "prod" else rng.uniform(0.9, 1.1, size)
        exact = reference.value(f.program, {"x": x})
        assert abs(mpmath.mpf(float(f(x))) - exact) <= 1e-14 * np.abs(x).sum() + 1e-14 * exact
        assert f(x.reshape(1, -1)) == f(x)


@pytest.mark.parametrize(
    ("x", "found"),
    [
        ([], (0.0, nan, 1.0, -inf, inf, -inf, 0.0, nan, nan)),
        ([nan, 1.0], (nan,) * 9),
        ([1.0, inf, 2.0], (inf, inf, inf, inf, 1.0, inf, inf, nan, nan)),
        ([-inf, -inf], (-inf, -inf, inf, -inf, -inf, -inf, inf, nan, nan)),
        ([-inf, 0.0], (-inf, -inf, nan, 0.0, -inf, 0.0, inf, nan, nan)),
        ([inf, -inf], (nan, nan, -inf, inf, -inf, inf, inf, nan, nan)),
        ([1000.0, 1000.0], (2e3, 1e3, 1e6, 1e3, 1e3, 1000 + math.log(2), 1e3 * 2**0.5, 0, 0)),
        ([-1e4, -1e4], (-2e4, -1e4, 1e8, -1e4, -1e4, math.log(2) - 1e4, 1e4 * 2**0.5, 0, 0)),
    ],
)
@pytest.mark.parametrize("repeat", [1, 700])
def test_values_at_the_edges(x: list[float], found: tuple[float, ...], repeat: int) -> None:
    for name, expected in zip(REDUCTIONS, found, strict=True):
        f = sg.compile(f"{name}(x)")
        if repeat == 1:
            np.testing.assert_allclose(f(np.array(x)), expected, rtol=1e-15)
        elif name in ("max", "min"):
            filler = np.full(repeat, -inf if name == "max" else inf)
            assert identical(f(np.append(filler, x)), expected)
            assert identical(f(np.append(x, filler)), expected)
        elif not math.isfinite(expected) and x:
            neutral = {"prod": 1.0, "logsumexp": -inf}.get(name, 0.0)
            assert identical(f(np.append(x, np.full(repeat, neutral))), expected)


def test_of_numbers_and_arrays_without_axes() -> None:
    for x in (-1.5, np.float64(-1.5), np.array(-1.5), [-1.5], [[-1.5]]):
        got = [float(sg.compile(f"{name}(x)")(x)) for name in REDUCTIONS]
        assert got == [-1.5, -1.5, -1.5, -1.5, -1.5, -1.5, 1.5, 0.0, 0.0]
        assert sg.compile("dot(x, y)")(x, 2.0) == -3.0


def test_one_operand_is_a_reduction_and_two_are_not() -> None:
    x, y = np.array([1.0, 5.0]), np.array([4.0, 3.0])
    assert sg.compile("max(x)")(x) == sg.compile("amax(x)")(x) == 5.0
    assert sg.compile("min(x)")(x) == sg.compile("amin(x)")(x) == 1.0
    assert sg.compile("max(x, y)")(x, y).tolist() == [4.0, 5.0]
    assert sg.compile("x - max(x)")(x).tolist() == [-4.0, 0.0]


def test_points_are_those_of_the_operand_as_it_is_written() -> None:
    x, w = np.array([[2.0], [3.0]]), np.array([1.0, 1.0, 1.0])
    assert sg.compile("prod(x + w - w)")(x, w) == 6.0**3
    assert sg.compile("sum(-x + w - w)")(x, w) == -15.0
    assert sg.compile("max(x + w - w)")(x, w[:0]) == -inf
    assert sg.compile("max(x - x)")(w[:0]) == -inf
    assert sg.compile("prod(a)")(2.0) == 2.0
    (a_bar,) = sg.grad(sg.compile("prod(a + w - w)"), wrt=("a",))(2.0, w)
    assert a_bar == 12.0


@pytest.mark.parametrize("text", FORMULAS)
def test_float32_follows_float64(text: str) -> None:
    f = sg.compile(text, inputs=["x", "w"])
    x, w = data((700,), (700,), seed=3)
    if "prod" in text:
        x, w = 0.5 + x / 1000, 0.5 + w / 1000
    x, w = x.astype("f4"), w.astype("f4")
    both = sg.value_and_grad(f)
    single, double = both(x, w), both(x.astype("f8"), w.astype("f8"))
    assert single[0].dtype == single[1][0].dtype == np.float32
    np.testing.assert_allclose(single[0], double[0], rtol=2e-5, atol=1e-4)
    for got, wanted in zip(single[1], double[1], strict=True):
        size = np.abs(wanted).max()
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-4 * float(size))


def test_extrema_of_float32_are_told_apart_as_they_are_compared() -> None:
    # A sum is a double; what it leads to is compared with a maximum of float32 numbers.
    x = np.random.default_rng(0).normal(size=2000).astype("f4")
    (slope,) = sg.grad(sg.compile("max(tanh(x - mean(x)) + exp(-x/norm(x)))"))(x)
    assert np.isfinite(slope).all()
    assert np.count_nonzero(slope) > 0


# Derivatives -----------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("text", FORMULAS)
def test_gradients(text: str, shapes: tuple) -> None:
    f = sg.compile(text, inputs=["x", "w"])
    values = data(*shapes)
    if ("std" in text or "sqrt" in text) and max(map(np.size, values)) * (shapes[0] != ()) < 2:
        return  # not differentiable where all points are equal
    if "std(x*w)" in text and all(shape == () for shape in shapes):
        return
    point = dict(zip("xw", values, strict=True))
    value, gradient = sg.value_and_grad(f)(*values)
    assert close(value, reference.value(f.program, point))
    for name, slope in zip("xw", gradient, strict=True):
        assert np.shape(slope) == np.shape(point[name])
        exact = partials(f, point, name)
        size = max(map(abs, exact))
        for got, true in zip(np.ravel(slope), exact, strict=True):
            assert close(got, true, size), (text, name, got, true)


def partials(f: sg.Function, point: dict[str, Any], name: str) -> list[Any]:
    """Return the exact derivatives by a number, or by every element of an array."""
    if not np.ndim(point[name]):
        return [reference.derivative(f.program, point, name)]
    return [
        reference.derivative(f.program, point, (name, k)) for k in range(np.size(point[name]))
    ]


@pytest.mark.parametrize("text", FORMULAS)
def test_second_derivatives(text: str) -> None:
    f = sg.compile(text, inputs=["x", "w"])
    x, w = data((4,), (4,), seed=5)
    point = {"x": x, "w": w}
    for k in range(4):
        along = np.eye(4)[k]
        rows = sg.hvp(f, (x, w), (along, np.zeros(4)))
        for name, row in zip("xw", rows, strict=True):
            exact = [
                reference.derivative(f.program, point, ("x", k), (name, j)) for j in range(4)
            ]
            size = max(map(abs, exact))
            for j in range(4):
                assert close(row[j], exact[j], size, 1e-11), (text, name, k, j)


def test_gradients_of_gradients_and_forward_mode_agree() -> None:
    x, w = data((6,), (6,), seed=7)
    for text in FORMULAS:
        f = sg.compile(text, inputs=["x", "w"])
        _, tangent = sg.jvp(f, (x, w), (w, x))
        gradient = sg.grad(f)(x, w)
        wanted = gradient[0] @ w + gradient[1] @ x
        np.testing.assert_allclose(tangent, wanted, rtol=1e-11, atol=1e-11)
        inner = sg.grad(f, wrt="x")
        twice = sg.grad(inner, wrt="x")(x, w)
        ones = sg.hvp(f, (x, w), (np.ones(6), np.zeros(6)))[0]
        np.testing.assert_allclose(twice, ones, rtol=1e-9, atol=1e-9)


def formula(rng: random.Random, names: str, depth: int) -> str:
    """Return a smooth formula with reductions inside each other."""
    if not depth:
        return rng.choice(names)
    inner = [formula(rng, names, depth - 1) for _ in range(2)]
    kind = rng.random()
    if kind < 0.45:
        return f"{rng.choice(REDUCTIONS)}({inner[0]})"
    if kind < 0.6:
        return f"({inner[0]}/(1 + ({inner[1]})**2))"
    if kind < 0.7:
        return f"{rng.choice(['sin', 'exp', 'tanh'])}({inner[0]}/3)"
    return f"({inner[0]} {rng.choice('+-*')} {inner[1]})"


@pytest.mark.parametrize("number", range(100))
def test_gradients_of_random_formulas(number: int) -> None:
    rng = seeded(f"reductions {number}")
    text = f"u = {formula(rng, 'xwa', 2)}; sum({formula(rng, 'xwau', 3)})"
    f = sg.compile(text, inputs=["x", "w", "a"])
    x, w, a = data((3,), (3,), (), seed=number)
    point = {"x": x, "w": w, "a": a}
    graph = graph_of(f.program, Gradient(value=True), arrays={"x": 1, "w": 1})
    value, *gradient = run(graph, print_function(graph, "kernel"), [3], [x, w, a])
    assert close(value, reference.value(f.program, point), bound=1e-12), text
    for name, slope in zip("xwa", gradient, strict=True):
        exact = partials(f, point, name)
        size = max(map(abs, exact))
        for got, true in zip(np.ravel(slope), exact, strict=True):
            assert close(got, true, size, bound=1e-11), (text, name, got, true)


def test_ties_share_equally() -> None:
    x = np.array([3.0, 1.0, 3.0, 2.0, 1.0, 3.0])
    assert sg.grad(sg.compile("max(x)"))(x)[0].tolist() == [1 / 3, 0, 1 / 3, 0, 0, 1 / 3]
    assert sg.grad(sg.compile("min(x)"))(x)[0].tolist() == [0, 0.5, 0, 0, 0.5, 0]
    assert sg.grad(sg.compile("max(x)"))(np.array([inf, inf, 0.0]))[0].tolist() == [0.5, 0.5, 0]
    assert sg.grad(sg.compile("max(x)"))(np.array([0.0, -0.0]))[0].tolist() == [0.5, 0.5]
    assert sg.grad(sg.compile("max(x)"))(np.full(2000, 7.0))[0].tolist() == [1 / 2000] * 2000
    assert np.isnan(sg.grad(sg.compile("max(x)"))(np.array([1.0, nan]))[0]).all()
    both = sg.jvp(sg.compile("max(x)"), (x,), (np.arange(6.0),))
    assert both == (3.0, pytest.approx(7 / 3))
    # A maximum over points that are equal by broadcasting is shared by what varies.
    w = np.zeros(4)
    (slope,) = sg.grad(sg.compile("max(x + w)"), wrt=("x",))(x[:, None], w)
    assert slope.ravel().tolist() == pytest.approx([1 / 3, 0, 1 / 3, 0, 0, 1 / 3])


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("extra", [(), (inf,), (1e-100, 1e100), (1e-300,)])
def test_products_with_zeros(zeros: int, extra: tuple[float, ...]) -> None:
    x = np.array([1.5, -2.0, *([0.0] * zeros), *extra, 3.0])
    others = [mpmath.fprod(x[np.arange(x.size) != k].tolist()) for k in range(x.size)]
    (slope,) = sg.grad(sg.compile("prod(x)"))(x)
    for got, exact in zip(slope, others, strict=True):
        if inf in extra and zeros:
            assert mpmath.isnan(exact) or not math.isfinite(got) or close(got, exact)
        elif math.isinf(float(exact)):
            assert got == float(exact)
        else:
            assert close(got, exact, bound=1e-15)
    if inf in extra:
        return
    f = sg.compile("prod(x)")
    for k in range(x.size):
        (row,) = sg.hvp(f, (x,), (np.eye(x.size)[k],))
        for j in range(x.size):
            kept = [i for i in range(x.size) if i not in (j, k)]
            exact = mpmath.fprod(x[kept].tolist()) if j != k else mpmath.mpf(0)
            # By the same factor twice it is 0, computed as a difference of equal numbers.
            rest = mpmath.fprod(v for v in x.tolist() if v) / mpmath.mpf(x[k] or 1) ** 2
            assert close(row[j], exact, 0 if j != k else abs(rest)), (j, k)


def test_products_with_zeros_in_the_operand() -> None:
    # d/dx of (x - 1)*(x - 2)*(x - 3) where two of the factors depend on one parameter.
    f = sg.compile("prod(a - c)")
    c = np.array([1.0, 2.0, 2.0, 3.0])
    for a in (1.0, 2.0, 2.5):
        exact = [
            reference.derivative(f.program, {"a": a, "c": c}, *["a"] * order)
            for order in (1, 2)
        ]
        first = sg.grad(f, wrt="a")
        assert float(first(a, c)) == pytest.approx(float(exact[0]), abs=1e-12)
        assert float(sg.grad(first, wrt="a")(a, c)) == pytest.approx(float(exact[1]), abs=1e-12)


def test_lengths_and_deviations_have_derivative_0_at_0() -> None:
    for name, at in (("norm", 0.0), ("std", 2.0)):
        f = sg.compile(f"{name}(x)")
        x = np.full(5, at)
        (slope,) = sg.grad(f)(x)
        assert slope.tolist() == [0.0] * 5
        assert sg.hvp(f, (x,), (np.arange(5.0),))[0].tolist() == [0.0] * 5
        assert sg.jvp(f, (x,), (np.ones(5),)) == (0.0, 0.0)
    pullback = sg.vjp(sg.compile("x/norm(x)"), np.zeros(3))[1]
    assert np.isinf(pullback(np.ones(3))[0]).all()  # 1/0
    f = sg.compile("norm(x)*sum(w)", inputs=["x", "w"])
    assert sg.grad(f, wrt="x")(np.zeros(3), np.full(3, 1e300)).tolist() == [0.0] * 3


def test_softmax_is_finite_where_exp_is_not() -> None:
    f = sg.compile("logsumexp(x)")
    for x in ([1e4, 1e4 - 1.0, -1e4], [-1e5, -1e5 + 2.0], [700.0, 720.0], [-inf, 3.0, 3.0]):
        with mpmath.workdps(50):
            exps = [mpmath.exp(value) for value in map(mpmath.mpf, x)]
            exact = [float(value / mpmath.fsum(exps)) for value in exps]
        (slope,) = sg.grad(f)(np.array(x))
        np.testing.assert_allclose(slope, exact, rtol=1e-15)
        softmax = sg.compile("exp(x - logsumexp(x))")(np.array(x))
        np.testing.assert_allclose(softmax, exact, rtol=1e-15)


# Passes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "forward", "backward"),
    [
        ("sum(w*x)", 1, 1),
        ("dot(w, x)", 1, 1),
        ("prod(w*x)", 1, 2),
        ("max(w*x)", 1, 3),  # what attains the maximum is counted before it is shared
        ("norm(w*x)", 1, 2),
        ("var(w*x)", 2, 3),
        ("std(w*x)", 2, 3),
        ("logsumexp(w*x)", 2, 3),
        ("max(x) - min(x) + prod(x) + sum(w*x)", 1, 3),
        ("w*x/sum(x)", 2, 2),
        ("w*x/norm(x)", 2, 2),
        ("w*exp(x)/sum(exp(x))", 2, 2),
        ("w*exp(x - logsumexp(x))", 3, 3),
        ("w*(x - mean(x))/std(x)", 3, 3),
        ("w*(x - mean(x))/sqrt(mean((x - mean(x))**2))", 3, 3),
        ("m = mean(x); s = std(x); w*(x - m)/s", 3, 3),
    ],
)
def test_passes(text: str, forward: int, backward: int) -> None:
    layout = {"x": 1, "w": 1}
    assert printed(text, arrays=layout, inputs=["x", "w"]).passes == forward
    for transform in (Gradient(value=True), Pullback()):
        found = printed(text, transform, arrays=layout, inputs=["x", "w"]).passes
        assert found == backward, (text, transform)


def test_an_exponential_that_two_passes_need_is_computed_in_both() -> None:
    source = printed("exp(x)/sum(exp(x))", arrays={"x": 1}).source
    assert source.count("exp(x_i)") == 2


def test_phases_count_the_reductions_to_wait_for() -> None:
    graph = graph_of("y = x - mean(x); max(y/norm(y))", arrays={"x": 1})
    assert graph.outputs[0].node.phase == 3
    assert sorted({node.phase for node in graph.nodes()}) == [0, 1, 2, 3]


def test_what_is_not_taken_does_not_leave_a_sum() -> None:
    f = sg.compile("s = sum(x); where(s > 0, sum(w*x)/s, 0)", inputs=["x", "w"])
    x, w = np.array([1.0, -1.0, 0.0]), np.array([1.0, 2.0, 3.0])
    assert [g.tolist() for g in sg.grad(f)(x, w)] == [[0.0] * 3, [0.0] * 3]
    g = sg.compile("n = norm(x); sum(where(n > 0, w*x/n, x))", inputs=["x", "w"])
    assert sg.grad(g, wrt="x")(np.zeros(3), w).tolist() == [1.0, 1.0, 1.0]


def test_a_sum_splits_only_to_save_waiting() -> None:
    graph = graph_of("sum(a*exp(x))", Gradient(("a",)), arrays={"x": 1})
    assert str(graph).count("reduce") == 1


# Reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "derivative", "latex"),
    [
        ("prod(x)", "prod(x)/x", r"\operatorname{prod}{\left(x \right)}"),
        ("dot(x, y)", "y", r"\operatorname{sum}{\left(x y \right)}"),
        ("norm(x)", "x/sqrt(sum(x**2))", r"\sqrt{\operatorname{sum}{\left(x^{2} \right)}}"),
        (
            "logsumexp(x)",
            "exp(x)/sum(exp(x))",
            r"\log{\left(\operatorname{sum}{\left(e^{x} \right)} \right)}",
        ),
        (
            "max(x)",
            "Piecewise((1/sum(Piecewise((1, Eq(x, max(x))), (0, True))), Eq(x, max(x))), "
            "(0, True))",
            r"\operatorname{max}{\left(x \right)}",
        ),
    ],
)
def test_closed_forms(text: str, derivative: str, latex: str) -> None:
    f = sg.compile(text)
    assert str(f.derivative("x")) == derivative
    assert f.latex() == f"value = {latex}"
    # What is read back computes the same.
    x, y = np.array([0.5, 2.0, 1.0]), np.array([3.0, 1.0, 2.0])
    point = (x, y)[: len(f.inputs)]
    assert sg.compile(f.expression(), inputs=list(f.inputs))(*point) == pytest.approx(f(*point))
    slope = sg.compile(f.derivative("x"))
    np.testing.assert_allclose(
        slope(*(y if name == "y" else x for name in slope.inputs)), sg.grad(f)(*point)[0]
    )


def test_saved_kernels_prove_themselves(tmp_path: Path) -> None:
    f = sg.compile("max(x*a) + min(a - x)*prod(x)/logsumexp(x) + norm(x - a)")
    path = f.save(tmp_path / "kernels.py", arrays=["x"])
    assert subprocess.run([sys.executable, path], check=False).returncode == 0
    code = "import kernels, numpy; print(kernels.forward(3, numpy.array([2.0, 3.0, 4.0]), 1.5))"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=path.parent, stdout=-1, check=True
    )
    assert float(printed.stdout) == f(np.array([2.0, 3.0, 4.0]), 1.5)


# Bits ------------------------------------------------------------------------------------


def test_bits_are_the_same_in_every_run_and_on_any_number_of_threads() -> None:
    x, w = data((70_001,), (70_001,), seed=11)
    texts = [f"{name}(x*w)" for name in REDUCTIONS if name != "prod"]
    texts += ["prod(1 + x*w/1e6)", "x/norm(x)*w", "w*exp(x - logsumexp(x))"]
    before = sg.get_num_threads()
    for text in texts:
        both = sg.value_and_grad(sg.compile(text, inputs=["x", "w"]))
        found = []
        for threads in (1, 2, 5, 1):
            sg.set_num_threads(threads)
            value, gradient = both(x, w)
            found.append((np.array(value), *gradient))
        sg.set_num_threads(before)
        for other in found[1:]:
            assert all(map(identical, found[0], other)), text


def test_neutral_elements_start_every_combination() -> None:
    for combination, value in NEUTRAL.items():
        assert sg.compile(f"{combination}(x)")(np.zeros(0)) == value


# Properties ------------------------------------------------------------------------------

ANY = arrays(np.float64, st.integers(1, 40), elements=st.floats(width=64))
SMALL = arrays(np.float64, st.integers(1, 12), elements=st.integers(-3, 3).map(float))
MODEST = arrays(np.float64, st.integers(2, 12), elements=st.floats(-50, 50))


@settings(max_examples=200, deadline=None)
@given(ANY)
def test_extrema_are_those_of_numpy(x: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        assert np.array_equal(sg.compile("max(x)")(x), np.max(x), equal_nan=True)
        assert np.array_equal(sg.compile("min(x)")(x), np.min(x), equal_nan=True)


@settings(max_examples=200, deadline=None)
@given(SMALL)
def test_products_and_extrema_of_whole_numbers_are_exact(x: np.ndarray) -> None:
    value, (slope,) = sg.value_and_grad(sg.compile("prod(x)"))(x)
    assert value == math.prod(x)
    wanted = [math.prod(np.delete(x, k)) for k in range(x.size)]
    np.testing.assert_allclose(slope, wanted, rtol=1e-14)
    value, (slope,) = sg.value_and_grad(sg.compile("max(x)"))(x)
    ties = x == x.max()
    assert value == x.max()
    assert slope.tolist() == (ties / ties.sum()).tolist()


@settings(max_examples=200, deadline=None)
@given(MODEST, st.floats(-700, 700))
def test_logsumexp_moves_with_a_shift_and_its_gradient_is_a_distribution(
    x: np.ndarray, shift: float
) -> None:
    both = sg.value_and_grad(sg.compile("logsumexp(x)"))
    value, (slope,) = both(x)
    moved, (same,) = both(x + shift)
    assert moved == pytest.approx(value + shift, rel=1e-12, abs=1e-11)
    assert (slope >= 0).all()
    assert slope.sum() == pytest.approx(1.0, rel=1e-13)
    np.testing.assert_allclose(same, slope, rtol=1e-9, atol=1e-300)


@settings(max_examples=200, deadline=None)
@given(MODEST)
def test_the_gradient_of_a_length_has_length_1(x: np.ndarray) -> None:
    value, (slope,) = sg.value_and_grad(sg.compile("norm(x)"))(x)
    wanted = 1.0 if value else 0.0
    if not 0 < value < 1e-150:
        assert np.linalg.norm(slope) == pytest.approx(wanted, rel=1e-13)
    assert value == pytest.approx(np.linalg.norm(x), rel=1e-14)
