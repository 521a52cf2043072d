"""The columns of a Builder say what its nodes say."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from symgrad.graph import columns, node
from symgrad.graph.node import Builder, Graph, Node, Output, ancestors


def _random(count: int, seed: int) -> Builder:
    """Return a Builder with nodes of one, two and three operands over numbers and arrays."""
    choose = random.Random(seed)
    b = Builder()
    nodes: list[Node] = [b.input("x"), b.input("y", 1), b.input("z", 2)]
    while len(b) < count:
        op, arity = choose.choice((("sin", 1), ("mul", 2), ("add", 2), ("where", 3)))
        nodes.append(b.apply(op, *[choose.choice(nodes[-30:]) for _ in range(arity)]))
        if choose.random() < 0.1:
            nodes.append(b.reduce(choose.choice(nodes[-30:]), 1))
    return b


def _graph(b: Builder, roots: list[Node]) -> Graph:
    outputs = tuple(Output(f"f{k}", root) for k, root in enumerate(roots))
    return Graph(b, tuple(n for n in b.nodes if n.op == "input"), outputs)


@pytest.mark.parametrize("seed", range(5))
def test_large_graphs_have_the_nodes_of_small_ones(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = random.Random(seed)
    monkeypatch.setattr(columns, "_PIECE", 7)
    b = _random(100, seed)
    for more in range(4):
        b.apply("exp", b.number(more + 0.5))
        roots = choose.sample(b.nodes, 3)
        small, large = _graph(b, roots), _graph(b, [*roots, roots[0]])
        expected, census = small.nodes(), dict(small.census())
        assert expected == ancestors(roots)
        with monkeypatch.context() as patch:
            patch.setattr(node, "_MANY", 0)
            assert large.nodes() == expected
            assert dict(large.census()) == census == Counter(n.op for n in expected)
        assert len(b.columns()) == len(b)


def test_columns_are_those_of_the_nodes() -> None:
    b = _random(200, 1)
    found = b.columns()
    assert [columns.OPERATIONS[code] for code in found.codes] == [n.op for n in b.nodes]
    assert found.axes.tolist() == [n.axes for n in b.nodes]
    for place, n in enumerate(b.nodes):
        operands = found.operands[found.starts[place] : found.starts[place + 1]]
        assert operands.tolist() == [operand.index for operand in n.operands]


def test_nothing_is_needed_for_nothing() -> None:
    assert _random(50, 2).columns().needed([]).tolist() == []
