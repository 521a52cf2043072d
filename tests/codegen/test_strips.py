"""Strips: long loops are cut into short ones, and nothing is lost between them."""

from __future__ import annotations

import ast

import numpy as np
import pytest
from codegen.plain import graph_of, printed, run
from graph.programs import programs
from hypothesis import HealthCheck, given, settings

from symgrad import vmath
from symgrad.calculus.transform import Gradient
from symgrad.codegen.python import print_function
from symgrad.codegen.schedule import Nest, Strip, cut, rows, schedule
from symgrad.graph.evaluate import evaluate
from symgrad.graph.node import Graph, Node
from symgrad.language.functions import FUNCTIONS

both = Gradient(value=True)
NETWORK = """
a1 = tanh(w1*x + b1)
a2 = tanh(w2*a1 + b2)
a3 = tanh(w3*a2 + b3)
f(x, y, w1, b1, w2, b2, w3, b3) = mean((a3 - y)**2)
"""


def cost(node: Node) -> int:
    row = FUNCTIONS.get(node.op)
    return vmath.cost(row.kernel) if row is not None and row.kernel else 0


def nests(graph: Graph) -> list[Nest]:
    return [nest for section in schedule(graph).sections for nest in section.nests]


def check(nest: Nest, strips: list[Strip]) -> None:
    """Every value is at hand where it is used, and no row is overwritten too early."""
    place = rows(strips)
    held: dict[int, Node] = {}
    for strip in strips:
        for node in strip.reads:
            assert held[place[node]] is node
        known = {*strip.reads}
        for node in strip.body:
            inside = [o for o in node.operands if o in nest.bodies[0]]
            assert all(operand in known for operand in inside), node
            known.add(node)
        for node in strip.keeps:
            assert node in strip.body
            assert node.op != "step"
            held[place[node]] = node
        for node in [t.operands[0] for t in strip.totals] + [n for _, n in strip.stores]:
            assert node in known or node not in nest.bodies[0]
    assert {n for s in strips for n in s.totals} == {*nest.totals[0]}
    assert sorted(name for s in strips for name, _ in s.stores) == sorted(
        name for name, _ in nest.stores[0]
    )


@given(programs())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_is_lost_between_strips(program) -> None:
    graph = graph_of(program, both, arrays=dict.fromkeys(program.inputs, 1))
    for nest in nests(graph):
        if len(nest.axes) == 1:
            check(nest, cut(nest, cost))
            # Everything is heavy: as many strips as there can be.
            check(nest, cut(nest, lambda node: 100 if node.operands else 0))


def test_a_function_and_its_derivative_share_a_strip() -> None:
    source = printed(NETWORK, both, arrays={"x": 1, "y": 1}).source
    loops = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.For) and not any(isinstance(n, ast.For) for n in node.body)
    ]
    called = [(text.count("tanh("), text.count("sech2(")) for text in loops]
    assert [pair for pair in called if any(pair)] == [(1, 1)] * 3


def test_a_short_loop_is_not_cut() -> None:
    assert "kept" not in printed("exp(x) + y", both, arrays={"x": 1, "y": 1}).source
    assert "kept" not in printed("x*y - x/y", both, arrays={"x": 1, "y": 1}).source


@pytest.mark.parametrize(
    ("degree", "combination", "strips"),
    [(4, "", 1), (15, "", 1), (16, "", 2), (3, "sum", 1), (4, "sum", 2), (16, "sum", 2)],
)
def test_what_is_only_written_stays_beside_functions(degree, combination, strips) -> None:
    polynomial = "y"
    for k in range(degree):
        polynomial = f"({polynomial}*x + {k + 2})"
    text = f"{combination}(exp(x)*{polynomial})"
    (nest,) = nests(graph_of(text, arrays={"x": 1, "y": 1}))
    assert len(cut(nest, cost)) == strips


def test_a_step_is_kept_as_what_it_names() -> None:
    text = "d = (log(x) + y*y)/(x*sqrt(y)); tanh(d*erf(d)) - erf(d - x*sqrt(y))"
    graph = graph_of(text, both, arrays={"x": 1, "y": 1})
    (nest,) = nests(graph)
    strips = cut(nest, cost)
    check(nest, strips)
    (step,) = (node for node in nest.bodies[0] if node.op == "step")
    assert sum(step.operands[0] in strip.keeps for strip in strips) == 1


def test_rows_are_used_again() -> None:
    text = "x"
    for _ in range(12):
        text = f"tanh({text})"
    graph = graph_of(text, arrays={"x": 1})
    (nest,) = nests(graph)
    strips = cut(nest, cost)
    assert len(strips) == 12
    assert max(rows(strips).values()) <= 1


@pytest.mark.parametrize("points", [0, 1, 255, 256, 257, 511, 512, 513, 700, 1025])
def test_blocks_of_any_length(points: int) -> None:
    loss = Gradient(("w1", "b1", "w2", "b2", "w3", "b3"), value=True)
    graph = graph_of(NETWORK, loss, arrays={"x": 1, "y": 1})
    function = printed(NETWORK, loss, arrays={"x": 1, "y": 1})
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-1, 1, (2, points))
    numbers = list(rng.uniform(-1, 1, 6))
    found = run(graph, function, [points], [x, y, *numbers])
    single = graph_of(NETWORK, loss)
    roots = [output.node for output in single.outputs]
    names = [str(node.payload) for node in graph.inputs]
    values = [
        evaluate(roots, dict(zip(names, [a, b, *numbers], strict=True)))
        for a, b in zip(x, y, strict=True)
    ]
    if points:
        np.testing.assert_allclose(np.ravel(found), np.mean(values, axis=0), rtol=1e-12)
    else:
        assert np.isnan(found[0])


def test_nothing_is_summed_beside_functions() -> None:
    softmax = """
    a1 = u1*x + b1
    a2 = u2*x + b2
    total = exp(a1) + exp(a2)
    f(x, t, u1, b1, u2, b2) = sum(log(total) - t*a1 - (1 - t)*a2)
    """
    graph = graph_of(
        softmax, Gradient(("u1", "b1", "u2", "b2"), value=True), arrays={"x": 1, "t": 1}
    )
    (nest,) = nests(graph)
    exponentials, logarithm, sums = strips = cut(nest, cost)
    check(nest, strips)
    assert [n.op for n in exponentials.body if cost(n)] == ["exp", "exp"]
    assert [n.op for n in logarithm.body if cost(n)] == ["log"]
    assert not any(map(cost, sums.body))
    assert len(sums.totals) == 5


def test_the_number_of_strips_is_limited() -> None:
    text = "sum(" + "sin(" * 400 + "x" + ")" * 400 + ")"
    (nest,) = nests(graph_of(text, arrays={"x": 1}))
    for apart in (False, True):
        strips = cut(nest, cost, apart)
        check(nest, strips)
        assert 20 < len(strips) <= 25
        assert all(strip.body or strip.reads for strip in strips)


def test_lanes_collect_where_nothing_is_done_twice() -> None:
    text = "f(x, a) = sum(sin(a*x)) + prod(cos(x)) + max(sin(x)) + mean(x)"
    graph = graph_of(text, both, arrays={"x": 1})
    function = print_function(graph, "kernel", lanes=True)
    loops = [node for node in ast.walk(ast.parse(function.source)) if isinstance(node, ast.For)]
    collecting = [
        loop
        for loop in loops
        if "range(size" in ast.unparse(loop.iter) and "lanes[" in ast.unparse(loop)
    ]
    assert not any("sin" in ast.unparse(loop) for loop in collecting)
    # Arguments beyond the limit of the near functions are in the second of three blocks.
    x = np.random.default_rng(3).uniform(-1.0, 1.0, 700)
    x[300] = 1e13
    given = run(graph, function, [700], [x, 0.7])
    usual = run(graph, print_function(graph, "kernel"), [700], [x, 0.7])
    for one, other in zip(given, usual, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11)
    assert given[0] == pytest.approx(
        np.sin(0.7 * x).sum() + np.cos(x).prod() + np.sin(x).max() + x.mean(), rel=1e-12
    )
