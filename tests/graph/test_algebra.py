"""Every identity that the docstring of symgrad.graph.algebra states, and no other."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from graph.programs import close, exact_values, graph_value, programs
from hypothesis import HealthCheck, assume, given, settings

from symgrad.calculus import reference
from symgrad.graph.algebra import IDENTITIES as RULES
from symgrad.graph.algebra import TELLING, exact
from symgrad.graph.evaluate import evaluate
from symgrad.graph.lower import lower
from symgrad.graph.node import Builder, Node
from symgrad.language.functions import FUNCTIONS
from symgrad.language.parse import parse

POINT = {"x": 0.625, "y": 1.75, "z": 2.375}


def node(text: str) -> tuple[Builder, Node]:
    graph = lower(parse(text, inputs=["x", "y", "z"]))
    return graph.builder, graph.outputs[0].node


IDENTITIES = [
    # Literals.
    ("1/10 + 1/5", "3/10"),
    ("2**10 - 1", "1023"),
    ("(1/3)**-3", "27"),
    ("2/4*6", "3"),
    # Neutral and absorbing elements.
    ("x + 0", "x"),
    ("0 + x", "x"),
    ("x - 0", "x"),
    ("0 - x", "-x"),
    ("1*x", "x"),
    ("x*1", "x"),
    ("x/1", "x"),
    ("x**1", "x"),
    ("0*x", "0"),
    ("x*0", "0"),
    ("0/x", "0"),
    ("0*log(x)", "0"),
    ("x**0", "1"),
    ("1**x", "1"),
    ("x - x", "0"),
    ("x/x", "1"),
    ("x + x", "2*x"),
    ("x*x", "x**2"),
    # Signs.
    ("-(-x)", "x"),
    ("x + (-y)", "x - y"),
    ("(-x) + y", "y - x"),
    ("x - (-y)", "x + y"),
    ("x + -2", "x - 2"),
    ("x - -2", "x + 2"),
    ("-(x - y)", "y - x"),
    ("(-x)*y", "-(x*y)"),
    ("x*(-y)", "-(x*y)"),
    ("(-x)/y", "-(x/y)"),
    ("x/(-y)", "-(x/y)"),
    ("(-x)*(-y)", "x*y"),
    ("-1*x", "-x"),
    ("x/-1", "-x"),
    ("-2/x", "-(2/x)"),
    ("x*3", "3*x"),
    ("2*(3*x)", "6*x"),
    ("-(3*x)", "-3*x"),
    # What was just done is undone.
    ("(x + y) - y", "x"),
    ("(x + y) - x", "y"),
    ("(x - y) + y", "x"),
    ("y + (x - y)", "x"),
    ("x*y/y", "x"),
    ("x*y/x", "y"),
    ("x/y*y", "x"),
    ("y*(x/y)", "x"),
    ("3*(x/3)", "x"),
    # Powers.
    ("x**-1", "1/x"),
    ("x**(1/2)", "sqrt(x)"),
    ("x**0.5", "sqrt(x)"),
    ("x**(-1/2)", "1/sqrt(x)"),
    ("sqrt(x**2)", "abs(x)"),
    ("sqrt(x)**2", "x"),
    ("(x**2)**3", "x**6"),
    ("(x**-2)**3", "x**-6"),
    ("(-x)**2", "x**2"),
    ("abs(x)**4", "x**4"),
    ("sqrt(4)", "2"),
    ("4**(1/2)", "2"),
    ("sqrt(1/9)", "1/3"),
    # Functions.
    ("exp(log(x))", "x"),
    ("log(exp(x))", "x"),
    ("log(e)", "1"),
    ("sin(0)", "0"),
    ("cos(0)", "1"),
    ("exp(0)", "1"),
    ("log(1)", "0"),
    ("abs(-x)", "abs(x)"),
    ("abs(abs(x))", "abs(x)"),
    ("abs(-3)", "3"),
    ("max(x, x)", "x"),
    ("min(x, x)", "x"),
    ("max(2, 3)", "3"),
    ("min(2, 3)", "2"),
    # Conditions.
    ("where(1 < 2, x, y)", "x"),
    ("where(1 >= 2, x, y)", "y"),
    ("where(x < y, z, z)", "z"),
    ("where(not (not x < y), 1, 2)", "where(x < y, 1, 2)"),
    ("where(not x < y, 1, 2)", "where(x >= y, 1, 2)"),
    ("where(not x == y, 1, 2)", "where(x != y, 1, 2)"),
    ("where(x < y and 1 < 2, 1, 2)", "where(x < y, 1, 2)"),
    ("where(x < y or 1 > 2, 1, 2)", "where(x < y, 1, 2)"),
    ("where(x < y and x < y, 1, 2)", "where(x < y, 1, 2)"),
    ("where(x < y, 1, 0)*z", "where(x < y, z, 0)"),
    ("z*where(x < y, 1, 0)", "where(x < y, z, 0)"),
]


@pytest.mark.parametrize(("text", "simpler"), IDENTITIES)
def test_identity(text: str, simpler: str) -> None:
    graph = lower(parse(f"a = {text}; b = {simpler}; a", inputs=["x", "y", "z"]))
    one, two = (step.operands[0] for step in graph.steps)
    if exact(two) is not None:
        assert exact(one) == exact(two)
    else:
        assert one is two


NOTHING_ELSE = [
    "x + y + x",
    "x*y*x",
    "(x + y)**2",
    "x*(y + z)",
    "x*y + x*z",
    "x + (y + z)",
    "(x + y) - (x + z)",
    "sqrt(x)*sqrt(y)",
    "sqrt(x*y)",
    "exp(x)*exp(y)",
    "exp(x + y)",
    "log(x*y)",
    "sin(x)**2 + cos(x)**2",
    "(x**y)**2",
    "(x**2)**0.5*y",
    "x**2*x",
    "2*x + 3*x",
    "1/(1/x)",
    "sin(-x)",
    "cos(-x)",
    "max(x, max(x, y))",
    "x/y/y",
    "(x + 1) + 1",
]


@pytest.mark.parametrize("text", NOTHING_ELSE)
def test_nothing_else_is_rewritten(text: str) -> None:
    source = parse(text, inputs=["x", "y", "z"])
    written = [c for c in source.instructions if c.op not in ("number", "input")]
    graph = lower(source)
    kept = [n for n in graph.nodes() if n.op not in ("number", "input")]
    distinct = {(c.op, c.operands) for c in written}
    assert len(kept) >= len(distinct) - (text == "(x**2)**0.5*y")


def test_association_is_kept() -> None:
    _, left = node("(x + y) + z")
    assert left.operands[0].op == "add"
    _, right = node("x + (y + z)")
    assert right.operands[1].op == "add"


def test_exact_literals_stay_small() -> None:
    _, huge = node("9**9**9**9")
    assert evaluate([huge], {}) == [math.inf]
    _, tower = node("(-3)**100001")
    assert float(tower.payload) == -math.inf
    _, large = node("2**3000")
    assert float(large.payload) == math.inf
    _, small = node("2**-3000")
    assert float(small.payload) == 0.0
    _, sum_of_decimals = node("0.1 + 0.2")
    assert exact(sum_of_decimals) == Fraction(3, 10)
    # Two thousand additions of fractions with growing denominators end in doubles.
    b = Builder()
    total = b.number(0)
    for k in range(1, 2000):
        total = b.apply("add", total, b.number(Fraction(1, k)))
    assert float(total.payload) == pytest.approx(math.fsum(1 / k for k in range(1, 2000)))


def test_a_literal_divided_by_zero_is_left_to_the_kernel() -> None:
    _, quotient = node("1/0")
    assert quotient.op == "div"
    _, power = node("0**-1")
    assert power.op == "pow" or power.op == "div"


def test_nan_is_not_compared_away() -> None:
    _, chosen = node("where(nan < 1, 2, 3)")
    assert chosen.op == "where"
    _, both = node("where(x == x, 2, 3)")
    assert both.op == "where"


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(programs())
def test_simplified_graph_has_the_value_of_the_program(source: object) -> None:
    values = exact_values(source, POINT)
    assume(values is not None)
    graph = lower(source)
    expected = reference.value(source, POINT)
    assert close(graph_value(graph, POINT), expected)


@settings(max_examples=200, deadline=None)
@given(programs())
def test_simplifying_never_adds_operations(source: object) -> None:
    graph = lower(source)
    free = ("number", "input", "step", "constant", "truth")
    written = sum(code.op not in free for code in source.instructions)
    # A sign that moves out of a product and a literal that moves to the front cost nothing;
    # a negation may appear beside what it came from, which stays if something else uses it.
    assert sum(n.op not in (*free, "neg") for n in graph.nodes()) <= written


@pytest.mark.parametrize("op", sorted(set(RULES) - {"and", "or", "not", "where", "max", "min"}))
def test_operands_tell_what_an_identity_looks_at(op: str) -> None:
    b = Builder()
    x, y = b.input("x"), b.input("y")
    samples = [x, y, b.constant("e"), b.constant("pi"), b.step("s", x)]
    zero, one, two = (b.number(value) for value in (0, 1, 2))
    samples += [zero, one, two, b.unchanged("where", b.apply("lt", x, y), one, zero)]
    for name, row in FUNCTIONS.items():
        arity = row.arity[0]
        for operands in ((x, y, x), (y, x, y), (x, x, x), (x, two, x), (two, y, y)):
            samples.append(b.unchanged(name, *operands[:arity]))
    mute = [sample for sample in samples if sample.op not in TELLING[op]]
    assert len(mute) < len(samples)
    if FUNCTIONS[op].arity[0] == 1:
        assert all(RULES[op](b, operand) is None for operand in mute)
    else:
        pairs = [(left, right) for left in mute for right in mute if left is not right]
        assert all(RULES[op](b, left, right) is None for left, right in pairs)
