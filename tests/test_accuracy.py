"""Random programs against mpmath: value and gradient within what rounding explains.

How far rounding may carry a result is measured for every result: the same operations are
repeated with the operands and every intermediate value off by a few units in the last
place, and the spread of the results is the unit of the comparison. A wrong rule is far
outside of it; a rule that is only unstable is caught row by row in test_table.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from oracle import seeded

import symgrad as sg
from symgrad.calculus import reference
from symgrad.calculus.transform import Gradient, Hessian
from symgrad.compiler import Variant, build_graph
from symgrad.graph import evaluate as plain
from symgrad.graph.node import Graph, ancestors
from symgrad.language.functions import FUNCTIONS
from symgrad.language.program import Program

INPUTS = ("x", "y", "z")
SETTINGS = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate, Phase.shrink),
}
#: Slow in mpmath, and the table's own tests are enough for them.
RARE = ("besselj0", "besselj1", "gamma", "lgamma", "digamma", "polygamma", "sinc_derivative")

UNARY = [
    name
    for name, row in FUNCTIONS.items()
    if row.callable and row.arity == (1, 1) and not row.reduction and name not in RARE
]
BINARY = ["{a} + {b}", "{a} - {b}", "{a}*{b}", "{a}/{b}", "({a} + {b})*({a} - {b})"]
BINARY += [
    f"{name}({{a}}, {{b}})"
    for name, row in FUNCTIONS.items()
    if row.callable and row.arity[0] == 2 and not row.reduction and name not in (*RARE, "pow")
]
POWERS = [f"{{a}}**{n}" for n in ("2", "3", "4", "-1", "-2", "7", "(1/2)")]
POWERS += ["abs({a})**1.5", "(1 + {a}**2)**{b}", "sqrt(1 + {a}**2)", "exp(-{a}**2)"]
BRANCHES = [
    "where({a} > {b}, {c}, {a})",
    "where({a} > 0, log({a}), {b})",
    "where({a} > 0 and {b} < 1, sqrt({a})*{c}, {b}**2)",
    "where({a} > {b}, where({b} > 0, {c}/{b}, {a}*{c}), {b})",
    "where(not {a} <= 0, {b}*log({a}), {c})",
    "sqrt(max({a}, 0))",
    "max({a}, {b}, {c})",
    "min({a}, {b}, {c}, 1)",
    "clip({a}, -1, 1)",
    "mod({a}, 2)",
]
NUMBERS = ["0.5", "2", "-1.5", "1e-3", "3", "pi", "0.1"]


@st.composite
def texts(draw: Any) -> str:
    """Draw the statements of a program of x, y and z."""
    names = list(INPUTS)
    statements = []
    for number in range(draw(st.integers(1, 6))):
        forms = draw(st.sampled_from([UNARY, UNARY, BINARY, BINARY, POWERS, BRANCHES]))
        form = draw(st.sampled_from(forms))
        form = f"{form}({{a}})" if forms is UNARY else form
        recent = st.sampled_from(names[::-1])
        operand = st.one_of(recent, recent, recent, st.sampled_from(NUMBERS))
        a, b, c = draw(recent), draw(operand), draw(operand)
        text = form.format(a=a, b=b, c=c)
        if draw(st.booleans()):
            text = f"{text} + {draw(recent)}*{draw(operand)}"
        name = f"u{number}"
        statements.append(f"{name} = {text}")
        names.append(name)
    return "; ".join(statements)


def points(text: str, count: int) -> list[dict[str, float]]:
    rng = seeded(text)
    return [{name: rng.uniform(-3, 3) for name in INPUTS} for _ in range(count)]


# What rounding explains --------------------------------------------------------------------


#: Operations that do not round; a selection compares their result with an operand.
EXACT = frozenset(("number", "step", "broadcast", "where", "neg", "abs", "max", "min", "sign"))
EXACT |= {"floor", "ceil", "round", "trunc"}


def noisy(graph: Graph, point: Mapping[str, float], rng: random.Random) -> list[float]:
    """Return the outputs with every operation off by up to 4 ULP."""
    values: dict[Any, Any] = {}
    roots = [output.node for output in graph.outputs]
    for node in ancestors(roots):
        value = plain._value(node, [values[operand] for operand in node.operands], point)
        if isinstance(value, float) and node.op not in EXACT:
            value *= 1 + rng.uniform(-4, 4) * 2.0**-53
        values[node] = value
    return [float(values[root]) for root in roots]


def spread(graph: Graph, point: Mapping[str, float]) -> list[float]:
    """Return how far rounding carries each output."""
    rng = seeded(str(sorted(point.items())))
    runs = [noisy(graph, point, rng) for _ in range(6)]
    columns = zip(*runs, strict=True)
    return [max(results) - min(results) + 8 * math.ulp(results[0]) for results in columns]


BREAK_AT_0 = ("abs", "relu", "sign", "heaviside", "cbrt", "sqrt", "rsqrt", "log", "hypot")


def ordinary(program: Program, point: Mapping[str, float]) -> bool:
    """Tell whether a point is away from kinks, poles and the ends of the range."""
    with mpmath.workdps(50):
        values = reference._run(program, point, {})
        for code, value in zip(program.instructions, values, strict=True):
            if isinstance(value, bool):
                pass
            elif not mpmath.isfinite(value) or not abs(value) < mpmath.mpf(10) ** 100:
                return False
            operands = [values[k] for k in code.operands]
            if code.op in ("lt", "le", "gt", "ge", "eq", "ne", "max", "min"):
                pairs = [(a, b) for i, a in enumerate(operands) for b in operands[:i]]
            elif code.op in BREAK_AT_0:
                pairs = [(a, mpmath.mpf(0)) for a in operands]
            elif code.op in ("floor", "ceil", "trunc", "round"):
                pairs = [(2 * operands[0], mpmath.nint(2 * operands[0]))]
            elif code.op == "mod":
                quotient = operands[0] / operands[1] if operands[1] else mpmath.mpf(0)
                pairs = [(quotient, mpmath.nint(quotient))]
            elif code.op == "clip":
                pairs = [(operands[0], bound) for bound in operands[1:]]
            else:
                continue
            if any(abs(a - b) <= 1e-9 * (1 + abs(a) + abs(b)) for a, b in pairs):
                return False
    return True


def compare(
    f: sg.Function, graph: Graph, point: Mapping[str, float], found: Sequence[float]
) -> bool:
    """Compare value and gradient at a point; False if the point says nothing."""
    if not ordinary(f.program, point):
        return False
    exact = [reference.value(f.program, point)]
    exact += [reference.derivative(f.program, point, name, digits=120) for name in INPUTS]
    if not all(map(mpmath.isfinite, exact)) or any(abs(e) > 1e100 for e in exact):
        return False
    allowed = spread(graph, point)
    for name, got, true, unit in zip(("value", *INPUTS), found, exact, allowed, strict=True):
        assert not math.isnan(got), f"{name} is NaN at {point}, not {mpmath.nstr(true, 18)}"
        if not math.isfinite(unit) or unit > 1e-6 * (1 + abs(true)):
            return False  # rounding leaves nothing to compare
        error = abs(mpmath.mpf(float(got)) - true)
        assert error <= 8 * unit + 1e-60, (
            f"{name} at {point}: {got!r}, not {mpmath.nstr(true, 18)}, "
            f"{float(error / unit):.3g} times what rounding explains"
        )
    return True


def gradient_graph(f: sg.Function) -> Graph:
    variant = Variant((0,) * len(INPUTS))
    return build_graph(f.program, (Gradient(value=True),), variant)[0]


COUNTS = {"compared": 0, "passed over": 0}


@settings(max_examples=400, **SETTINGS)
@given(texts())
def examine(text: str) -> None:
    f = sg.compile(text, inputs=INPUTS)
    graph = gradient_graph(f)
    roots = [output.node for output in graph.outputs]
    for point in points(text, 4):
        compared = compare(f, graph, point, plain.evaluate(roots, point))
        COUNTS["compared" if compared else "passed over"] += 1


def test_random_programs() -> None:
    COUNTS.update({"compared": 0, "passed over": 0})
    examine()
    total = sum(COUNTS.values())
    assert total >= 1000
    assert COUNTS["compared"] >= 0.5 * total, COUNTS


@settings(max_examples=25, **SETTINGS)
@given(texts())
def test_kernels_of_random_programs(text: str) -> None:
    """Compiled code computes what the Graph says, in arrays as for numbers."""
    f = sg.compile(text, inputs=INPUTS)
    graph = gradient_graph(f)
    at = points(text, 12)
    columns = [np.array([point[name] for point in at]) for name in INPUTS]
    value, gradient = sg.value_and_grad(f)(*columns)
    found = np.array([value, *gradient]).T
    for point, row in zip(at, found, strict=True):
        compare(f, graph, point, [float(x) for x in row])


@settings(max_examples=120, **SETTINGS)
@given(texts())
def test_second_derivatives_of_random_programs(text: str) -> None:
    f = sg.compile(text, inputs=INPUTS)
    graph = build_graph(f.program, (Hessian(),), Variant((0,) * len(INPUTS)))[0]
    roots = [output.node for output in graph.outputs]
    for point in points(text, 2):
        if not ordinary(f.program, point):
            continue
        found, allowed = plain.evaluate(roots, point), spread(graph, point)
        pairs = itertools.product(INPUTS, repeat=2)
        for (a, b), got, unit in zip(pairs, found, allowed, strict=True):
            exact = reference.derivative(f.program, point, a, b, digits=60)
            if mpmath.isfinite(exact) and unit <= 1e-6 * (1 + abs(exact)):
                assert abs(got - exact) <= 16 * unit + 1e-20, (a, b, point, got, float(exact))


EXTREMES = (0.0, -0.0, 1.0, -1.0, 5e-324, 1e-200, -1e200, math.inf, math.nan)


@settings(max_examples=150, **SETTINGS)
@given(texts(), st.lists(st.sampled_from(EXTREMES), min_size=3, max_size=3))
def test_extremes_raise_nothing(text: str, corner: list[float]) -> None:
    f = sg.compile(text, inputs=INPUTS)
    graph = gradient_graph(f)
    point = dict(zip(INPUTS, corner, strict=True))
    assert len(plain.evaluate([output.node for output in graph.outputs], point)) == 4


def test_the_comparison_catches_a_wrong_gradient() -> None:
    f = sg.compile("u0 = x*y; u1 = sin(u0) + z", inputs=INPUTS)
    graph = gradient_graph(f)
    point = {"x": 0.5, "y": 1.5, "z": 2.0}
    found = plain.evaluate([output.node for output in graph.outputs], point)
    assert compare(f, graph, point, found)
    for k in range(4):
        wrong = list(found)
        wrong[k] *= 1 + 1e-13
        with pytest.raises(AssertionError, match="what rounding explains"):
            compare(f, graph, point, wrong)
