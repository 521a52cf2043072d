"""Rolled code computes what the Graph says, to the bit, and does not grow with repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from graph.programs import programs
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import identical, same

import symgrad as sg
from symgrad.codegen.llvm import print_llvm
from symgrad.codegen.rolling import Rolled, print_rolled, roll
from symgrad.graph.count import operations
from symgrad.graph.evaluate import evaluate
from symgrad.graph.lower import lower
from symgrad.graph.node import Graph, Output
from symgrad.language.parse import parse
from symgrad.language.program import Program


def rolled(text: str, outputs: Sequence[str] | None = None) -> tuple[Graph, Rolled]:
    graph = lower(parse(text, outputs=outputs))
    return graph, roll(graph)


def interpreted(code: Rolled, inputs: Sequence[float]) -> list[float]:
    """Run rolled code in plain Python."""
    table = [*inputs, *code.literals]
    for segment in code.segments:
        shape = code.shapes[segment.shape]
        assert segment.target == len(table)
        for place in range(segment.count):
            point = {
                str(leaf.payload): table[places[place]]
                for leaf, places in zip(shape.inputs, segment.operands, strict=True)
            }
            table += evaluate([output.node for output in shape.outputs], point)
    assert len(table) == code.size
    return [table[place] for place in code.results]


def check(graph: Graph, code: Rolled, point: dict[str, float]) -> None:
    inputs = [point[str(node.payload)] for node in graph.inputs]
    expected = evaluate([output.node for output in graph.outputs], point)
    assert all(map(same, interpreted(code, inputs), expected))


def chain(n: int) -> tuple[str, list[str]]:
    """Return forces in a chain of springs that are not linear, with one parameter."""
    forces = [f"sin(x{k + 1} - x{k})/(1 + p*x{k}**2)" for k in range(n - 1)]
    names = [f"f{k}" for k in range(n - 1)]
    return "; ".join(f"{a} = {b}" for a, b in zip(names, forces, strict=True)), names


def test_what_repeats_is_one_shape() -> None:
    text, names = chain(50)
    graph, code = rolled(text, names)
    assert len(code.shapes) == 1
    assert [segment.count for segment in code.segments] == [49]
    check(graph, code, {str(node.payload): 0.1 * k for k, node in enumerate(graph.inputs)})


def test_the_text_does_not_depend_on_how_often() -> None:
    short, long = (print_rolled(rolled(*chain(n))[1], ["springs"]) for n in (30, 300))
    assert short == long


def test_what_is_shared_is_computed_once() -> None:
    sums = "; ".join(f"y{k} = exp(x0*x1)*x{k}" for k in range(8))
    graph, code = rolled(f"r = exp(x0*x1); {sums}", [f"y{k}" for k in range(8)])
    assert sum(segment.count for segment in code.segments) == 9
    check(graph, code, {f"x{k}": 0.3 + k for k in range(8)})


def test_literals_that_differ_are_operands_and_others_are_code() -> None:
    text = "; ".join(f"y{k} = {k}.5*x{k}**3 + 7" for k in range(5))
    graph, code = rolled(text, [f"y{k}" for k in range(5)])
    (shape,) = code.shapes
    assert len(shape.inputs) == 2
    assert code.literals == (0.5, 1.5, 2.5, 3.5, 4.5)
    assert "+ 7.0" in print_rolled(code, [])
    check(graph, code, {f"x{k}": 0.3 + k for k in range(5)})


@pytest.mark.parametrize(
    "text", ["-k**3", "-(k*(x < x))", "x**k", "k + x", "k", "m/n", "m - n"]
)
def test_names_keep_apart_what_identities_would_join(text: str) -> None:
    """A quotient of two names of 0 is NaN and not 1, and a power of a named 1/3 is rounded."""
    for literal in ("1/3", "0", "3", "pi"):
        steps = "; ".join(f"y{j} = {text} + {j}" for j in range(3))
        outputs = ["u", "y0", "y1", "y2", "k"]
        graph, code = rolled(f"k = {literal}; m = x; n = x; u = {text}; {steps}", outputs)
        for x in (0.3, 0.0):
            check(graph, code, dict.fromkeys((str(node.payload) for node in graph.inputs), x))


def test_exponents_are_part_of_the_shape() -> None:
    text = "; ".join(f"y{k} = x{k}**{2 + k % 2}" for k in range(6))
    graph, code = rolled(text, [f"y{k}" for k in range(6)])
    assert len(code.shapes) == 2
    check(graph, code, {f"x{k}": 0.3 + k for k in range(6)})


def test_outputs_that_compute_nothing() -> None:
    graph, code = rolled("u = x; v = 3; w = x; a = pi; b = x + y; c = b", list("uvwabc"))
    check(graph, code, {"x": 2.0, "y": 5.0})
    assert sum(segment.count for segment in code.segments) == 1


def test_conditions_are_asked_where_they_are_needed() -> None:
    text = "; ".join(f"y{k} = where(x{k} < x{k + 1} and x{k} > 0, x{k}, 2)" for k in range(6))
    graph, code = rolled(text + "; t = x0 < x1", [*(f"y{k}" for k in range(6)), "t"])
    for sign in (1.0, -1.0):
        check(graph, code, {f"x{k}": sign * (0.3 + k) for k in range(7)})
    check(graph, code, {f"x{k}": float("nan") if k == 3 else 1.0 + k for k in range(7)})


def test_a_deep_chain_is_a_run_of_few_shapes() -> None:
    text = "; ".join(f"t{k + 1} = sin(t{k})*x + 0.5*t{k - 1 if k else 0}" for k in range(3000))
    graph, code = rolled(f"t0 = x; {text}")
    assert sum(map(operations, code.shapes)) <= 300
    check(graph, code, {"x": 0.7})


def test_many_different_parts_are_cut_small() -> None:
    functions = ("sin", "cos", "exp", "tanh", "log", "sqrt", "atan", "sinh")
    text = "; ".join(
        f"y{i}{j}{k} = {f}({g}({h}(x) + {i + 1})*{j + 2} + y)"
        for i, f in enumerate(functions)
        for j, g in enumerate(functions)
        for k, h in enumerate(functions)
    )
    graph, code = rolled(text, [line.split()[0] for line in text.split("; ")])
    assert sum(map(operations, code.shapes)) <= 300
    check(graph, code, {"x": 0.7, "y": 0.2})


@settings(max_examples=150, deadline=None)
@given(programs(size=30), st.tuples(*[st.floats(-3, 3)] * 3))
def test_random_programs(program: Program, numbers: tuple[float, ...]) -> None:
    graph = lower(program)
    # Every step along the way is an output, so that there are many fragments.
    outputs = tuple(
        Output(f"o{k}", node)
        for k, node in enumerate(graph.nodes())
        if node.op not in ("truth", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not")
    )
    graph = replace(graph, outputs=outputs)
    check(graph, roll(graph), dict(zip("xyz", numbers, strict=True)))


def test_rolled_code_needs_no_numba() -> None:
    text, names = chain(20)
    _, code = rolled(text, names)
    module = print_rolled(code, ["A chain."])
    assert "gather(" in module
    assert print_llvm(module, "run") is not None


@pytest.mark.parametrize("points", [1, 2, 600])
def test_compiled_code_gives_the_bits_of_the_function(
    points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "u = x*y; v = exp(u)/(1 + z**2); w = where(v > 1, log(v), u)*max(x, z); "
        "a = u + 2; b = 0.5; c = 1/3*x - pi*y + 0.1*z; d = w**2*z**7"
    )
    f = sg.compile(text, inputs=["x", "y", "z"], outputs=["w", "a", "b", "c", "d"])
    rng = np.random.default_rng(points)
    x = rng.uniform(-2, 2, (points, 3))
    expected = np.stack(np.broadcast_arrays(*f(*x.T)), axis=-1)
    monkeypatch.setattr("symgrad.vectors._SMALL", -1)
    assert identical(sg.packed(f)(x), expected)
