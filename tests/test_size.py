"""Formulas that grow: what they cost, that both back ends agree, and that they are right."""

import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp
from oracle import check, identical, seeded

import symgrad as sg
from symgrad.calculus import reference
from symgrad.calculus.transform import Gradient
from symgrad.codegen.tape import assemble
from symgrad.compiler import COMPILED_AT_ONCE, Variant, build_graph
from symgrad.language.parse import Limits, parse

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from benchmarks.families import FAMILIES

EVERY = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))


def points(f: sg.Function, count: int) -> np.ndarray:
    """Return arguments between 0.5 and 1.5 that are the same in every run, by input."""
    rng = seeded(f"size {len(f.inputs)}")
    return np.array([[rng.uniform(0.5, 1.5) for _ in range(count)] for _ in f.inputs])


@EVERY
def test_a_gradient_costs_at_most_four_times_the_value(family):
    for size in family.sizes[:2]:
        cost = sg.compile(family.build(size)).cost()
        assert cost["forward"] < cost["gradient"] <= 4 * cost["forward"]


@EVERY
def test_values_and_gradients_are_those_of_mpmath(family):
    f = sg.compile(family.build(family.small), backend="interpreter")
    # Errors of products and sums of several dozen operations add up.
    check(f, points(f, 2).T.tolist(), bound=400.0)


@EVERY
def test_both_backends_give_the_same_bits(family):
    text = family.build(family.small)
    compiled, interpreted = (
        sg.value_and_grad(sg.compile(text, backend=backend))
        for backend in ("jit", "interpreter")
    )
    arguments = points(compiled, 70)
    for point in arguments.T[:5].tolist():
        one, other = compiled(*point), interpreted(*point)
        assert identical(one[0], other[0])
        assert identical(one[1], other[1])
    one, other = compiled(*arguments), interpreted(*arguments)
    assert identical(one[0], other[0])
    assert identical(one[1], other[1])


@EVERY
def test_large_members_run_from_a_tape_and_agree_with_differences(family):
    f = sg.compile(family.build(family.sizes[1]))
    assert f.cost()["gradient"] > COMPILED_AT_ONCE
    (point,) = points(f, 1).T.tolist()
    value, gradient = sg.value_and_grad(f)(*point)
    where = dict(zip(f.inputs, point, strict=True))
    exact = float(reference.value(f.program, where, digits=30))
    assert float(value) == pytest.approx(exact, rel=1e-9, abs=1e-280)
    along = [0.5 - k % 2 for k in range(len(point))]
    with mpmath.workdps(500):
        h = mpmath.mpf(10) ** -200
        there, back = (
            reference.value(
                f.program,
                {
                    name: x + side * h * a
                    for (name, x), a in zip(where.items(), along, strict=True)
                },
                digits=500,
            )
            for side in (1, -1)
        )
        slope = float((there - back) / (2 * h))
    size = float(np.abs(np.array(gradient) * along).sum())
    assert float(np.dot(gradient, along)) == pytest.approx(slope, rel=1e-8, abs=1e-12 * size)


# What grows with the size ------------------------------------------------------------


def test_statements_need_the_same_few_steps_however_many_there_are():
    def calls(size):
        """Return how many functions Python calls to build the tape of a gradient."""
        count = 0

        def count_calls(frame, event, argument):
            nonlocal count
            count += event == "call"

        text = FAMILIES["recurrence"].build(size)
        sys.setprofile(count_calls)
        try:
            program = parse(text)
            graph, _ = build_graph(program, (Gradient(value=True),), Variant((0, 0)))
            assemble(graph)
        finally:
            sys.setprofile(None)
        return count

    calls(100)
    small, large = calls(1000), calls(4000)
    assert large < 4.1 * small
    # Some 14 nodes and instructions belong to a statement and its derivatives.
    assert large < 400 * 4000


def test_a_hundred_thousand_statements_are_within_the_limits():
    text = FAMILIES["recurrence"].build(100_000)
    assert len(text) < Limits().length / 2
    few = parse(FAMILIES["recurrence"].build(1000))
    assert len(few.instructions) * 100 < Limits().instructions / 2


# Formulas out of SymPy ---------------------------------------------------------------


def shared(n: int, leaf: sp.Symbol) -> sp.Expr:
    """Return a formula of 3*n operations that is 2**n long when it is written out."""
    u = leaf
    for _ in range(n):
        u = sp.Add(sp.sin(u, evaluate=False), sp.cos(u, evaluate=False), evaluate=False)
    return u


def test_deep_shared_expressions_are_read_once():
    x = sp.Symbol("x")
    f = sg.compile(shared(3000, x))
    assert len(f.program.instructions) == 3 * 3000 + 1
    expected = 0.5
    for _ in range(3000):
        expected = np.sin(expected) + np.cos(expected)
    assert float(f(0.5)) == pytest.approx(expected, rel=1e-10)


def test_equal_expressions_that_are_not_identical_are_one():
    x = sp.Symbol("x")
    first = shared(300, x)
    sp.core.cache.clear_cache()
    second = shared(300, x)
    assert first is not second
    f = sg.compile([first, second])
    assert len(f.program.instructions) == 3 * 300 + 1
    one, other = f(0.5)
    assert one == other


def test_a_matrix_with_shared_entries():
    x, y = sp.symbols("x y")
    entry = shared(60, x)
    product = sp.Mul(entry, y, evaluate=False)
    f = sg.compile(
        sp.Matrix([[entry, product], [y, sp.sin(entry, evaluate=False)]]), inputs=[x, y]
    )
    assert len(f.program.instructions) < 3 * 60 + 8
    result = f(0.5, 2.0)
    assert result.shape == (2, 2)
    assert result[0, 1] == 2 * result[0, 0]
    assert result[1, 1] == pytest.approx(np.sin(result[0, 0]), rel=1e-15)


def test_wide_expressions():
    x, y = sp.symbols("x y")
    f = sg.compile(sp.Add(*[sp.sin(k * x) * y for k in range(1, 2000)]))
    expected = 3.0 * np.sin(np.arange(1, 2000) * 0.25).sum()
    assert float(f(0.25, 3.0)) == pytest.approx(expected, rel=1e-10)
