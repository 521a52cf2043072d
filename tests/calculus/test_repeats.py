"""Recipes make the nodes that the Builder and the sweep make by themselves."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symgrad.calculus import repeats
from symgrad.calculus.transform import Gradient
from symgrad.graph import recipe
from symgrad.graph.lower import lower
from symgrad.graph.node import Graph, Node
from symgrad.language.parse import parse

#: Right-hand sides over the steps t and u, the parameters a and b.
SHAPES = (
    "sin({t})*{a} + {b}*{u}",
    "{t}*{u} - {a}",
    "{t} - {u}*{b}",
    "{a}/({t}**2 + 1.5)",
    "{t}/{u}",
    "({t} - {u})/({a} - {b})",
    "-{t}",
    "{t}",
    "2*{t} + 1",
    "0.5*{t} - 0.25*{u}",
    "{t}*1",
    "{t}*0 + {u}",
    "exp(-{t})*tanh({u})",
    "exp(log({t})*{a})",
    "{t}**{u}",
    "{t}**3 - 1/{u}",
    "sqrt({t}*{u})",
    "max({t}, {u})*{a}",
    "where({t} > 0.5, {t}, {u}*{a})",
    "{t} < {u}",
    "abs({t}) + hypot({t}, {u})",
    "erf({t}) - log(1 + exp({u}))",
    "atan2({t}, {u})*pi",
    "sin(1)*{t}",
    "clip({t}, -1, 1)",
    "({t}*{a} + {u})/{a}",
)


AXES: tuple[dict[str, int], ...] = ({}, {"x": 1, "c": 1}, {"x": 1})

_ONE = ("sin", "exp", "log", "tanh", "sqrt", "abs", "-")
_TWO = ("+", "-", "*", "/", "max", "where", "**")


def _shape(choose: random.Random, depth: int) -> str:
    """Return a random right-hand side."""
    if not depth or choose.random() < 0.15:
        return choose.choice(("{t}", "{t}", "{u}", "{a}", "{b}", "2", "0.5", "1", "0"))
    x = _shape(choose, depth - 1)
    if choose.random() < 0.4:
        return f"{choose.choice(_ONE)}({x})"
    op, y = choose.choice(_TWO), _shape(choose, depth - 1)
    if op == "max":
        return f"max({x}, {y})"
    if op == "where":
        return f"where({x} > {y}, {y}, {x}*{{t}})"
    if op == "**":
        return f"({x})**{choose.choice(('2', '3', '{u}', '0.5', '-1'))}"
    return f"({x} {op} {y})"


def _text(shape: str, count: int, seed: int, distinct: bool) -> str:
    """Return statements of one shape, some on equal names."""
    choose = random.Random(seed)
    lines = ["t0 = x*1.25", "t1 = c + 0.5"]
    for k in range(2, count):
        names = [f"t{k - 1}", f"t{k - 2}", "x", "c"]
        if not distinct:
            names = [choose.choice(names) for _ in range(4)]
        t, u, a, b = names
        lines.append(f"t{k} = " + shape.format(t=t, u=u, a=a, b=b))
    return "\n".join(lines)


def _facts(graph: Graph) -> list[tuple[object, ...]]:
    """Return the nodes, numbered in the order in which a walk from the outputs meets them."""
    number: dict[Node, int] = {}
    facts: list[tuple[object, ...]] = []
    pending = [output.node for output in reversed(graph.outputs)]
    while pending:
        node = pending[-1]
        missing = [operand for operand in node.operands if operand not in number]
        if missing:
            pending += missing
            continue
        pending.pop()
        if node not in number:
            number[node] = len(number)
            operands = tuple(number[operand] for operand in node.operands)
            # Numbers are made when a recipe is written.
            origin = None if node.op == "number" else node.origin
            facts.append((node.op, operands, node.payload, node.axes, node.phase, origin))
    facts += [(number[output.node],) for output in graph.outputs]
    bars = [(number[bar], number[node]) for bar, node in graph.bars.items() if bar in number]
    return [*facts, *sorted(bars)]


def _gradient(text: str, axes: dict[str, int], wrt: tuple[str, ...] | None = None) -> Graph:
    graph = lower(parse(text, inputs=["x", "c"]), axes, max(axes.values(), default=0))
    return Gradient(wrt, value=True).apply(graph, ())[0]


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Collect for every repeated statement whether it was swept over at once."""
    answers: list[bool] = []
    sweep = repeats.Repeats.sweep

    def noted(self: repeats.Repeats, step: Node, adjoint: Node) -> int | None:
        inner = sweep(self, step, adjoint)
        answers.append(inner is not None)
        return inner

    monkeypatch.setattr(repeats.Repeats, "sweep", noted)
    return answers


@pytest.mark.parametrize("axes", AXES, ids=["numbers", "arrays", "both"])
@pytest.mark.parametrize("distinct", [True, False], ids=["distinct", "mixed"])
@pytest.mark.parametrize("shape", SHAPES)
def test_graphs_are_the_same_without_recipes(
    shape: str, distinct: bool, axes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(2):
        text = _text(shape, 40, seed, distinct)
        for wrt in (None, ("x",), ("t7", "c")):
            monkeypatch.setattr(recipe, "_OFTEN", 10**9)
            plain = _gradient(text, axes, wrt)
            monkeypatch.setattr(recipe, "_OFTEN", 2)
            assert _facts(_gradient(text, axes, wrt)) == _facts(plain)


@given(st.integers(0, 10**9), st.booleans(), st.sampled_from(AXES))
def test_graphs_of_random_statements_are_the_same_without_recipes(
    seed: int, distinct: bool, axes: dict[str, int]
) -> None:
    text = _text(_shape(random.Random(seed), 3), 25, seed, distinct)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "_OFTEN", 10**9)
        plain = _gradient(text, axes)
        patch.setattr(recipe, "_OFTEN", 2)
        assert _facts(_gradient(text, axes)) == _facts(plain)


@pytest.mark.parametrize("root", ["sqrt(m{k}*x)", "(m{k}*x)**0.5", "cbrt(c*m{k})"])
def test_guards_of_roots_look_behind_other_statements(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["s0 = x"]
    for k in range(30):
        lines += [f"m{k} = max(x - {k}*c, 0)", f"r{k} = {root.format(k=k)}"]
        lines.append(f"s{k + 1} = s{k} + r{k}")
    text = "\n".join(lines)
    monkeypatch.setattr(recipe, "_OFTEN", 10**9)
    plain = _gradient(text, {})
    monkeypatch.setattr(recipe, "_OFTEN", 2)
    assert _facts(_gradient(text, {})) == _facts(plain)


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_repeated_statements_are_swept_at_once(shape: str, swept: list[bool]) -> None:
    graph = _gradient(_text(shape, 300, 0, True), {})
    assert sum(swept) > 290
    assert len(graph.repeats) > 290
