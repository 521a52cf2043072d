"""Hash-consing, axes, order, and Graphs too deep for recursion."""

from __future__ import annotations

import gc

import pytest
from graph.programs import long_sum, many_branches, nested, program, programs
from hypothesis import given, settings

from symgrad.calculus.sweep import adjoints, closed_form, tangents
from symgrad.errors import ArgumentError
from symgrad.graph.count import operations
from symgrad.graph.lower import lower
from symgrad.graph.node import NEUTRAL, Builder, ancestors
from symgrad.language.parse import parse

DEEP = 100_000


def test_equal_expressions_are_one_node() -> None:
    b = Builder()
    x, y = b.input("x"), b.input("y")
    assert b.apply("sin", x) is b.apply("sin", x)
    assert b.apply("add", x, y) is b.apply("add", y, x)
    assert b.apply("mul", x, y) is b.apply("mul", y, x)
    assert b.apply("eq", x, y) is b.apply("eq", y, x)
    assert b.apply("sub", x, y) is not b.apply("sub", y, x)
    assert b.apply("atan2", x, y) is not b.apply("atan2", y, x)
    assert b.apply("lt", x, y) is not b.apply("lt", y, x)
    assert b.number(2) is b.number(2.0)
    assert b.number(0.5) is not b.number(0.5, decimal=True)
    assert b.input("x") is x
    assert b.constant("pi") is b.constant("pi")
    assert b.constant("nan") is b.number(float("nan"))
    assert b.constant("inf") is not b.number(float("-inf"))


def test_steps_are_told_apart() -> None:
    graph = lower(parse("u = x + y; v = x + y; u*v"))
    u, v = graph.steps
    assert u is not v
    assert u.operands[0] is v.operands[0]
    assert graph.outputs[0].node.op == "mul"


def test_shared_statements_cost_once() -> None:
    assert operations(lower(parse("u = sin(x*y); v = sin(x*y); u + v"))) == 3


@settings(max_examples=200, deadline=None)
@given(programs())
def test_order_is_topological_and_distinct(source: object) -> None:
    nodes = lower(source).nodes()
    place = {n: k for k, n in enumerate(nodes)}
    assert len(place) == len(nodes)
    for n in nodes:
        assert all(place[operand] < place[n] for operand in n.operands)
    shapes = [(n.op, n.operands, n.payload) for n in nodes if n.op != "number"]
    assert len(set(shapes)) == len(shapes)


def test_ancestors_stop() -> None:
    graph = lower(parse("u = sin(x); v = exp(u); v*y"))
    u, v = graph.steps
    found = ancestors([graph.outputs[0].node], [v])
    assert v in found
    assert u not in found


def test_axes_of_operations_are_united() -> None:
    b = Builder()
    x, y, a = b.input("x", 0b01), b.input("y", 0b10), b.input("a")
    assert b.apply("sin", x).axes == 0b01
    assert b.apply("mul", x, y).axes == 0b11
    assert b.apply("add", b.apply("mul", x, a), y).axes == 0b11
    assert b.number(3).axes == 0
    assert b.step("s", x).axes == 0b01
    assert b.apply("where", b.apply("lt", a, y), x, a).axes == 0b11
    assert b.apply("sub", x, x).axes == 0


def test_broadcast() -> None:
    b = Builder()
    x = b.input("x", 0b01)
    assert b.broadcast(x, 0b01) is x
    wide = b.broadcast(x, 0b11)
    assert (wide.axes, wide.payload) == (0b11, 0b10)
    assert b.broadcast(x, 0b10) is wide


def test_reduce() -> None:
    b = Builder()
    x, a = b.input("x", 0b11), b.input("a")
    assert b.reduce(x, 0) is x
    total = b.reduce(x, 0b11)
    assert (total.op, total.axes) == ("reduce", 0)
    assert b.reduce(x, 0b01).axes == 0b10
    # What does not vary is multiplied by the number of points.
    assert b.reduce(a, 0b01) is b.apply("mul", b.extent(0b01), a)
    assert b.reduce(b.number(1), 0b11) is b.extent(0b11)
    assert b.reduce(b.broadcast(a, 0b11), 0b11) is b.apply("mul", b.extent(0b11), a)
    y = b.input("y", 0b01)
    part = b.reduce(b.broadcast(y, 0b11), 0b10)
    assert part is b.apply("mul", b.extent(0b10), y)
    every = b.reduce(b.broadcast(y, 0b11), 0b11)
    assert every is b.apply("mul", b.extent(0b10), b.reduce(y, 0b01))
    assert b.reduce(b.apply("neg", x), 0b11) is b.apply("neg", total)
    assert b.extent(0) is b.number(1)
    counted = b.reduce(b.apply("lt", x, a), 0b11)
    assert counted.operands[0].op == "where"


def test_reductions_of_equal_points() -> None:
    b = Builder()
    a, x = b.input("a"), b.input("x", 0b01)
    count = b.extent(0b10)
    assert b.reduce(x, 0b11, "prod") is b.apply("pow", b.reduce(x, 0b01, "prod"), count)
    most = b.reduce(x, 0b11, "max")
    assert (most.op, most.operands[1]) == ("where", b.reduce(x, 0b01, "max"))
    assert b.reduce(b.broadcast(a, 0b10), 0b10, "min").operands[1] is a
    assert b.reduce(a, 0, "max") is b.reduce(a, 0, "prod") is a
    assert len({b.reduce(x, 0b01, how) for how in NEUTRAL}) == len(NEUTRAL)
    negative = b.reduce(b.apply("neg", x), 0b11)
    assert negative is b.apply("mul", count, b.apply("neg", b.reduce(x, 0b01)))


def test_phases() -> None:
    b = Builder()
    x = b.input("x", 1)
    first = b.reduce(x, 1)
    second = b.reduce(b.apply("div", x, first), 1, "max")
    assert [node.phase for node in (x, first, second, b.apply("add", x, second))] == [
        0,
        1,
        2,
        2,
    ]


def test_conditions_and_numbers_convert() -> None:
    b = Builder()
    x, y = b.input("x"), b.input("y")
    less = b.apply("lt", x, y)
    assert b.apply("add", less, x).operands[0] is b.apply(
        "where", less, b.number(1), b.number(0)
    )
    assert b.apply("and", x, less).operands[0] is b.apply("ne", x, b.number(0))
    assert b.real(x) is x
    assert b.condition(less) is less
    assert b.apply("not", less) is b.apply("ge", x, y)


def test_outputs_are_spread_over_all_axes() -> None:
    graph = lower(parse("u = a*2; x + y; ", inputs=["a", "x", "y"]), {"x": 1}, 1)
    assert graph.outputs[0].node.axes == 1
    literal = lower(parse("3", inputs=["x"]), {"x": 1}, 1)
    assert literal.outputs[0].node.op == "broadcast"
    total = lower(parse("sum(x*y)"), {"x": 1, "y": 2}, 3)
    assert total.outputs[0].node.axes == 0
    assert total.outputs[0].like == ()
    partly = lower(parse("sum(x)*y"), {"x": 1, "y": 2}, 3)
    assert partly.outputs[0].node.axes == 2
    assert partly.outputs[0].like == ("y",)


def test_find() -> None:
    graph = lower(parse("speed = x*2; speed + 1"))
    assert graph.find("x").op == "input"
    assert graph.find("speed").op == "step"
    with pytest.raises(ArgumentError, match="did you mean 'speed'"):
        graph.find("sped")


def test_nodes_remember_what_they_are_made_for() -> None:
    program = parse("u = x + y; sin(u)")
    graph = lower(program)
    sine = graph.outputs[0].node
    assert program.quoted(sine.origin) == "sin(u)"
    (u,) = graph.steps
    assert program.quoted(u.origin) == "u = x + y"
    assert program.quoted(u.operands[0].origin) == "x + y"
    assert program.statements == (u.origin, sine.origin)


def test_printing() -> None:
    assert str(lower(parse("x + 1/2"))).splitlines()[-1].startswith("value <- %")


def test_depth_costs_nothing() -> None:
    source = nested(DEEP)
    graph = lower(source)
    assert operations(graph) == DEEP
    b = graph.builder
    x, out = graph.inputs[0], graph.outputs[0].node
    (bar,) = adjoints(b, [(out, b.number(1))], [x])
    assert bar.op == "mul"
    assert len(b) <= 4 * DEEP
    before = len(b)
    (dot,) = tangents(b, {x: b.number(1)}, [out])
    assert dot.op == "mul"
    assert len(b) - before <= 3 * DEEP
    assert len(ancestors([bar])) <= 4 * DEEP
    del graph, b, x, out, bar, dot
    gc.collect()


def test_length_costs_nothing() -> None:
    source = long_sum(20_000)
    graph = lower(source)
    b = graph.builder
    found = adjoints(b, [(graph.outputs[0].node, b.number(1))], graph.inputs)
    # Sums of literals are folded: nothing of 20,000 terms is left in a gradient.
    assert all(n.op == "number" for n in found)
    assert len(b) < 60_000 + 60_000


def test_a_chain_of_statements_does_not_swell() -> None:
    lines = ["u0 = sin(x)*x"]
    lines += [f"u{k} = sin(u{k - 1})*u{k - 1}" for k in range(1, 60)]
    graph = lower(parse("; ".join(lines)))
    b = graph.builder
    adjoints(b, [(graph.outputs[0].node, b.number(1))], graph.inputs)
    closed_form(b, graph.outputs[0].node, graph.inputs[0])
    assert len(b) < 60 * 20


def test_many_branches_lower_in_proportion() -> None:
    for count in (100, 1000):
        assert len(lower(many_branches(count)).nodes()) <= 4 * count + 5


def test_instances_of_templates_are_shared() -> None:
    def build(w):
        x = w.input("x")
        return w.emit("add", (w.emit("tanh", (x,)), w.emit("tanh", (x,))))

    graph = lower(program(build))
    b = graph.builder
    out = graph.outputs[0].node
    adjoints(b, [(out, b.number(1))], graph.inputs)
    before = len(b)
    adjoints(b, [(out, b.number(1))], graph.inputs)
    assert len(b) == before
