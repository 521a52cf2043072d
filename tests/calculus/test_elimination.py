"""Jacobians by elimination: all modes agree, the cheapest is taken, patterns are exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import symgrad as sg
from symgrad.calculus.elimination import MODES, _Linearised, jacobian_entries
from symgrad.graph import count
from symgrad.graph.count import operations
from symgrad.graph.evaluate import evaluate
from symgrad.graph.lower import lower
from symgrad.graph.node import Node, ancestors
from symgrad.language.parse import parse


def entries(text: str, outputs: list[str], wrt: list[str], mode: str | None = None) -> dict:
    graph = lower(parse(text, outputs=outputs))
    nodes = [output.node for output in graph.outputs]
    return jacobian_entries(graph.builder, nodes, [graph.find(n) for n in wrt], mode=mode)


def work(nodes: list[Node]) -> int:
    return sum(count.work(node.op) for node in ancestors(nodes))


MODELS = [
    ("u = x*y; v = sin(u)/z; w = u*v", ["v", "w"], ["x", "y", "z"]),
    ("u = x/y; v = u/(1 + u); w = v*exp(z*u)", ["u", "v", "w"], ["x", "y", "z", "u"]),
    ("c = where(x > y, x**2, y*z); d = max(c, z)*abs(x - z)", ["c", "d"], ["x", "y", "z"]),
    ("a = x*y; b = a + z; c = a*b; d = b*c", ["b", "c", "d"], ["x", "y", "z", "a", "b"]),
    ("u = x*y; v = u**2/z; w = u*v", ["v", "w"], ["u", "z"]),
    ("u = x*y; v = sqrt(u); w = u + v", ["w", "u", "v"], ["v", "u"]),
    ("u = x + 2; v = y; w = 3", ["u", "v", "w"], ["x", "y", "z"]),
]


@pytest.mark.parametrize(("text", "outputs", "wrt"), MODELS)
def test_all_modes_are_the_gradient_of_each_output(
    text: str, outputs: list[str], wrt: list[str]
) -> None:
    text = f"{text}; unused = x*y*z"
    point = {"x": 1.3, "y": 0.7, "z": 2.1}
    found = {mode: entries(text, outputs, wrt, mode) for mode in MODES}
    values = {
        mode: dict(zip(e, evaluate(list(e.values()), point), strict=True))
        for mode, e in found.items()
    }
    for row, output in enumerate(outputs):
        f = sg.compile(text, inputs=["x", "y", "z"], outputs=[output])
        gradient = sg.grad(f, wrt=wrt)(**point)
        for mode in MODES:
            got = [values[mode].get((row, column), 0.0) for column in range(len(wrt))]
            assert got == pytest.approx([float(g) for g in gradient], rel=1e-14), mode
    assert found["mixture"].keys() == found["forward"].keys() == found["reverse"].keys()


def test_entries_come_row_by_row() -> None:
    for mode in MODES:
        found = entries("u = z*x; v = x*y; w = y", ["v", "w", "u"], ["x", "y", "z"], mode)
        assert list(found) == [(0, 0), (0, 1), (1, 1), (2, 0), (2, 2)]


def test_a_branch_that_is_not_taken_does_not_poison() -> None:
    text = "u = where(x > 0, log(x), 0); v = u*sqrt(x)*where(x > 0, 1/x, 2)"
    for mode in MODES:
        found = entries(text, ["v", "u"], ["x"], mode)
        assert evaluate([found[1, 0]], {"x": -1.0}) == [0.0]
        assert evaluate([found[1, 0]], {"x": 4.0}) == [0.25]


def test_few_inputs_and_many_outputs_go_forward() -> None:
    # Reverse sweeps would each go down the whole chain.
    steps = "; ".join(f"u{k + 1} = sin(u{k})*x" for k in range(30))
    text = f"u0 = x*y; {steps}"
    outputs = [f"u{k}" for k in range(31)]
    chosen = work(list(entries(text, outputs, ["x", "y"]).values()))
    reverse = work(list(entries(text, outputs, ["x", "y"], "reverse").values()))
    forward = work(list(entries(text, outputs, ["x", "y"], "forward").values()))
    assert chosen <= forward < reverse / 5


def test_many_inputs_and_one_output_go_backward() -> None:
    text = "z = " + "*".join(f"x{k}" for k in range(30))
    wrt = [f"x{k}" for k in range(30)]
    chosen = work(list(entries(text, ["z"], wrt).values()))
    forward = work(list(entries(text, ["z"], wrt, "forward").values()))
    assert chosen <= 3 * 30 < forward / 5


def rosenbrock(n: int) -> sg.Function:
    terms = [f"100*(x{k + 1} - x{k}**2)**2 + (1 - x{k})**2" for k in range(n - 1)]
    return sg.compile(" + ".join(terms), inputs=[f"x{k}" for k in range(n)])


def harmonics(degree: int) -> sg.Function:
    """Return the real spherical harmonics below a degree, as FastDifferentiation.jl has them.

    They are the polynomials of P. Sloan, J. Computer Graphics Techniques 2 (2013) 84, by the
    recurrences of the Legendre functions and of sine and cosine of the azimuth.
    """
    steps = {"s0": "0", "c0": "1", "p0_0": "1.0"}
    for m in range(1, degree):
        steps[f"s{m}"] = f"x*c{m - 1} - y*s{m - 1}"
        steps[f"c{m}"] = f"x*s{m - 1} + y*c{m - 1}"
    for m in range(degree):
        if m:
            steps[f"p{m}_{m}"] = f"{1 - 2 * m}*p{m - 1}_{m - 1}"
        if m + 1 < degree:
            steps[f"p{m + 1}_{m}"] = f"{2 * m + 1}*z*p{m}_{m}"
        for n in range(m + 2, degree):
            ahead, back = (2 * n - 1) / (n - m), (n + m - 1) / (n - m)
            steps[f"p{n}_{m}"] = f"{ahead!r}*z*p{n - 1}_{m} - {back!r}*p{n - 2}_{m}"
    outputs = []
    for n in range(degree):
        for order in range(-n, n + 1):
            m = abs(order)
            scale = math.sqrt(
                (2 * n + 1) / (4 * math.pi) * (1 + (m > 0))
                * math.factorial(n - m) / math.factorial(n + m)
            )  # fmt: skip
            name = f"y{n}_{'m' if order < 0 else 'p'}{m}"
            steps[name] = f"{scale!r}*p{n}_{m}*{'s' if order < 0 else 'c'}{m}"
            outputs.append(name)
    text = "; ".join(f"{name} = {formula}" for name, formula in steps.items())
    return sg.compile(text, inputs=["x", "y", "z"], outputs=outputs)


@pytest.mark.parametrize(
    ("f", "published"),
    [
        (rosenbrock(10), 1.13),
        (rosenbrock(100), 1.13),
        (harmonics(4), 2.2),
        (harmonics(11), 2.34),
        (harmonics(35), 2.4),
    ],
    ids=["rosenbrock 10", "rosenbrock 100", "harmonics 4", "harmonics 11", "harmonics 35"],
)
def test_ratios_of_operations_are_those_of_FastDifferentiation(
    f: sg.Function, published: float
) -> None:
    # The table at the end of its page of benchmarks, docs/src/benchmarks.md.
    graph = lower(f.program)
    nodes = [output.node for output in graph.outputs]
    found = jacobian_entries(graph.builder, nodes, list(graph.inputs))
    assert work(list(found.values())) <= 1.05 * published * operations(graph)


def test_one_of_two_equal_entries_of_a_hessian_is_derived() -> None:
    graph = lower(parse("exp(x*y)*sin(y*z)/(x + z)"))
    b = graph.builder
    row = jacobian_entries(b, [graph.outputs[0].node], list(graph.inputs))
    gradient = [row[0, column] for column in range(3)]
    for mode in MODES:
        found = jacobian_entries(b, gradient, list(graph.inputs), mode=mode, symmetric=True)
        assert sorted(found) == [(i, j) for i in range(3) for j in range(3)]
        assert all(found[i, j] is found[j, i] for i in range(3) for j in range(i))
        whole = jacobian_entries(b, gradient, list(graph.inputs), mode=mode)
        point = {"x": 0.3, "y": 1.7, "z": 0.9}
        assert evaluate(list(found.values()), point) == pytest.approx(
            evaluate(list(whole.values()), point), rel=1e-13
        )


def test_a_banded_problem_takes_work_in_proportion_to_its_size() -> None:
    counts = []
    for n in (50, 100):
        graph = lower(rosenbrock(n).program)
        b = graph.builder
        row = jacobian_entries(b, [graph.outputs[0].node], list(graph.inputs), mode="reverse")
        linearised = _Linearised(b, list(row.values()), list(graph.inputs), symmetric=True)
        assert linearised.eliminate("mixture", math.inf)
        assert len(linearised.entries()) == 3 * n - 2
        counts.append(linearised.joined)
    assert counts[1] <= 2.1 * counts[0]


# Sparsity against SymPy ----------------------------------------------------------------

X = sp.symbols("x0:6", real=True)
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


@st.composite
def sparse_systems(draw: st.DrawFn) -> list[sp.Expr]:
    """Draw sums of terms of a few variables; unlike factors keep terms from cancelling."""
    forms = [
        lambda a, b, c: a * b,
        lambda a, b, c: c * a,
        lambda a, b, c: sp.sin(a * c),
        lambda a, b, c: a / (b**2 + c),
        lambda a, b, c: sp.exp(-a) * (b + c),
        lambda a, b, c: a**2 * b,
        lambda a, b, c: sp.Integer(c),
        lambda a, b, c: (a + c * b) ** 2,
    ]
    system = []
    for _ in range(draw(st.integers(1, 4))):
        terms = draw(
            st.lists(
                st.tuples(st.sampled_from(forms), st.sampled_from(X), st.sampled_from(X)),
                max_size=4,
            )
        )
        primes = draw(st.permutations(PRIMES))
        system.append(
            sum((form(a, b, p) for (form, a, b), p in zip(terms, primes, strict=False)),
                sp.Integer(0))
        )  # fmt: skip
    return system


GENERIC = [
    dict(zip(X, (0.37, 1.21, 0.83, 1.73, 0.59, 1.47), strict=True)),
    dict(zip(X, (1.61, 0.43, 1.39, 0.71, 1.13, 0.29), strict=True)),
]


def is_zero(expression: sp.Expr) -> bool:
    return all(abs(expression.evalf(30, subs=point)) < 1e-20 for point in GENERIC)


@settings(max_examples=60, deadline=None)
@given(sparse_systems())
def test_the_pattern_of_a_jacobian_is_that_of_sympy(system: list[sp.Expr]) -> None:
    f = sg.compile(system, inputs=X)
    jacobian = sg.jacobian(f, sparse=True)
    found = sg.sparsity(jacobian).toarray()
    expected = sp.Matrix(system).jacobian(X)
    assert found.shape == expected.shape
    for (row, column), entry in np.ndenumerate(np.array(expected)):
        assert found[row, column] == (not is_zero(entry)), (row, column, entry)


@settings(max_examples=40, deadline=None)
@given(sparse_systems())
def test_the_pattern_of_a_hessian_is_that_of_sympy(system: list[sp.Expr]) -> None:
    f = sg.compile(system[0], inputs=X)
    found = sg.sparsity(sg.hessian(f, sparse=True)).toarray()
    for (row, column), entry in np.ndenumerate(np.array(sp.hessian(system[0], X))):
        assert found[row, column] == (not is_zero(entry)), (row, column, entry)


@settings(max_examples=8, deadline=None)
@given(sparse_systems())
def test_sparse_entries_are_those_of_sympy(system: list[sp.Expr]) -> None:
    jacobian = sg.packed(sg.jacobian(sg.compile(system, inputs=X), sparse=True))
    expected = sp.Matrix(system).jacobian(X)
    for point in GENERIC:
        exact = np.array(expected.evalf(30, subs=point), float)
        found = jacobian([point[x] for x in X])
        assert np.allclose(found.toarray(), exact, rtol=1e-13, atol=1e-300)
