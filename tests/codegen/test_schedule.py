"""Loop nests: what is hoisted, fused and split, and that every layout computes the same."""

from __future__ import annotations

import ast
import itertools

import numpy as np
import pytest
from codegen.plain import graph_of, printed, run
from graph.programs import programs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from symgrad.calculus.transform import Gradient, Jacobian
from symgrad.codegen.python import print_function
from symgrad.codegen.schedule import schedule
from symgrad.graph.evaluate import evaluate
from symgrad.graph.node import ancestors
from symgrad.language.parse import parse

both = Gradient(value=True)


def calls(source: str, name: str) -> dict[int, int]:
    """Count the calls of a function by how many loops surround them."""
    counts: dict[int, int] = {}

    def walk(node: ast.AST, depth: int) -> None:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            counts[depth] = counts.get(depth, 0) + 1
        for child in ast.iter_child_nodes(node):
            walk(child, depth + isinstance(node, ast.For))

    walk(ast.parse(source), 0)
    return counts


def test_invariants_leave_the_loop() -> None:
    source = printed("exp(a)*x + exp(a*b) + log(x)", arrays={"x": 1}).source
    assert calls(source, "exp") == {0: 2}
    assert calls(source, "log") == {1: 1}


def test_functions_with_a_near_form_are_called_in_it_block_by_block() -> None:
    source = printed("sin(a)*x + cos(x) + cos(2*x)", arrays={"x": 1}).source
    assert calls(source, "sin") == {0: 1}
    assert calls(source, "cos_near") == {2: 2}
    assert calls(source, "cos") == {2: 2}
    assert source.count("far |= ") == 2
    assert "_near" not in printed("cos(x)").source


def test_rows_leave_the_inner_loop() -> None:
    text = "f(x, y, a) = log(x)*y + exp(a) + tanh(x*y)"
    source = printed(text, both, arrays={"x": 1, "y": 2}).source
    assert calls(source, "exp") == {0: 1}
    assert calls(source, "log").get(2, 0) == 0
    assert calls(source, "tanh") == {2: 1}


def test_value_and_gradient_are_one_pass() -> None:
    for text in (
        "y*log(x) + sin(y)",
        "u = x + y; v = exp(u)*x; v/u",
        "max(x, y)*where(x < y, x, 2)",
    ):
        assert printed(text, both, arrays={"x": 1, "y": 1}).passes == 1
        assert printed(text, both, arrays={"x": 1}).passes == 1


def test_a_loss_is_one_pass() -> None:
    function = printed("sum((a*exp(-b*x) - y)**2)", both, arrays={"x": 1, "y": 1})
    assert function.passes == 1
    assert calls(function.source, "exp") == {2: 1}


def test_a_nest_is_split_where_a_reduction_feeds_it() -> None:
    assert printed("x - mean(x)", arrays={"x": 1}).passes == 2
    assert printed("sum(x) + sum(y)", arrays={"x": 1, "y": 1}).passes == 1
    assert printed("sum(x*sum(y))", arrays={"x": 1, "y": 1}).passes == 2
    assert printed("sum((x - mean(x))**2)", arrays={"x": 1}).passes == 2
    assert (
        printed("m = mean(x); v = mean((x - m)**2); (x - m)/sqrt(v)", arrays={"x": 1}).passes
        == 3
    )


def test_buffers_hold_partial_sums() -> None:
    graph = graph_of("f(x, y) = exp(x*y)", Gradient(), arrays={"x": 1, "y": 2})
    plan = schedule(graph)
    assert {node.axes for node in plan.buffers} == {1, 2}
    assert sum(len(section.nests) for section in plan.sections) == 1
    source = print_function(graph, "kernel").source
    assert "np.zeros" not in source
    scaled = printed("exp(x*y)", Gradient(("x",)), arrays={"x": 1, "y": 2}, inputs=["x", "y"])
    assert scaled.passes == 2  # the sum, and setting it to 0 first


def test_a_sum_that_two_outputs_share_is_copied() -> None:
    graph = graph_of("u = x + a; exp(u*y)", Gradient(("u", "x")), arrays={"x": 1, "y": 2})
    check(graph, {0: 3, 1: 4})


EDGES = [
    ("z = x", {"x": 1}, ()),
    ("z = x", {"x": 1}, (both,)),
    ("z = 3", {"x": 1}, (both,)),
    ("u = x; v = u; w = v", {"x": 1}, (both,)),
    ("u = x + y; u", {"x": 1}, (Gradient(("u", "x", "y"), value=True),)),
    ("x + y", {"x": 1, "y": 1}, (both,)),
    ("x + y", {"x": 1, "y": 2}, (both,)),
    ("x*y", {"x": 1, "y": 2}, (both,)),
    ("x - x + 2", {"x": 1}, (both,)),
    ("y*2", {"x": 1}, (both,)),
    ("y*2", {"x": 1, "y": 2}, (both,)),
    ("floor(x)", {"x": 1}, (both,)),
    ("nan*x + inf", {"x": 1}, (both,)),
    ("pi", {}, (both,)),
    ("x < y", {"x": 1, "y": 2}, ()),
    ("where(a > 0, x, y)", {"x": 1, "y": 2}, (both,)),
    ("where(x > 0, sum(x), y)", {"x": 1, "y": 1}, (both,)),
    ("x*y", {"x": 1, "y": 2}, (Jacobian(),)),
]


@pytest.mark.parametrize(("text", "arrays", "transforms"), EDGES)
def test_edges(text: str, arrays: dict, transforms: tuple) -> None:
    graph = graph_of(text, *transforms, arrays=arrays, inputs=["x", "y", "a"])
    check(graph, {0: 3, 1: 4})
    check(graph, {0: 1, 1: 1})
    check(graph, {0: 0, 1: 4})


REDUCTIONS = [
    "sum(x*y)", "sum(x)*y + a", "mean(x*y)/a", "x - mean(x)", "exp(x)/sum(exp(x))",
    "m = mean(x); v = mean((x - m)**2); (x - m)/sqrt(v) + y", "sum(x*sum(y*x))",
    "sum(a*x + 1)", "mean(a)", "sum(x)/sum(y) + x*y", "sum(where(x > 0.5, x, y))",
    "sum(-x*y) - x", "max(x, sum(y))", "sum(x > y)", "sum(-x + y - y)", "prod(x*y)",
    "prod(a)*x", "max(x*y) - min(y)", "min(a + x - x)", "x - logsumexp(x*y)", "norm(x - y)",
    "dot(x, y)*std(x)", "exp(x - logsumexp(x)) + y", "var(x*y)", "(x - mean(x))/std(x)",
    "max(max(x*y) - x)", "logsumexp(a*y)", "prod(sum(x) - y)",
]  # fmt: skip
LAYOUTS = [
    {"x": 1, "y": 1},
    {"x": 1},
    {"x": 1, "y": 2},
    {"x": 3, "y": 1},
    {"x": 2, "y": 3},
    {"x": 1, "y": 2, "a": 3},
    {},
]


@pytest.mark.parametrize("text", REDUCTIONS)
@pytest.mark.parametrize("arrays", LAYOUTS)
def test_reductions_in_every_layout(text: str, arrays: dict) -> None:
    for transforms in ((), (both,)):
        graph = graph_of(text, *transforms, arrays=arrays, inputs=["x", "y", "a"])
        check(graph, {0: 3, 1: 4})


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    programs(size=9),
    st.tuples(*[st.integers(0, 7)] * 3),
    st.sampled_from([(2, 3, 2), (1, 4, 1), (3, 1, 2)]),
    st.booleans(),
)
def test_random_programs_in_random_layouts(
    source: object, axes: tuple, extents: tuple, gradient: bool
) -> None:
    arrays = dict(zip("xyz", axes, strict=True))
    graph = graph_of(source, *([both] if gradient else []), arrays=arrays)
    check(graph, dict(enumerate(extents)))


def check(graph: object, extents: dict[int, int]) -> None:
    """Compare a printed kernel with the Graph evaluated by NumPy, node by node."""
    rng = np.random.default_rng(5)
    every = 0
    for node in (*graph.nodes(), *graph.inputs):
        every |= node.axes
    axes = [k for k in range(every.bit_length()) if every >> k & 1]
    place = {axis: number for number, axis in enumerate(axes)}
    sizes = [extents[axis] for axis in axes]
    values = []
    for node in graph.inputs:
        shape = [extents[k] if node.axes >> k & 1 else 1 for k in axes]
        full = rng.uniform(0.2, 2.0, shape)
        values.append(full if node.axes else float(full.reshape(-1)[0]))
    function = print_function(graph, "kernel")
    squeezed = _run(graph, function, axes, sizes, values)
    expected = interpreted(graph, axes, place, sizes, values)
    for output, got in zip(graph.outputs, squeezed, strict=True):
        want = np.ravel(expected[output.node])
        np.testing.assert_allclose(np.ravel(got), want, rtol=1e-6, atol=1e-9, equal_nan=True)


def _run(graph: object, function: object, axes: list, sizes: list, values: list) -> list:
    if axes == list(range(len(axes))):
        return run(graph, function, sizes, values)
    extents = [sizes[axes.index(k)] if k in axes else 1 for k in range(max(axes) + 1)]
    written = [
        np.full(int(np.prod([extents[k] for k in axes if p.axes >> k & 1])), 77.0)
        for p in function.parameters
        if p.role == "output"
    ]
    from codegen.plain import load

    arguments = [*sizes, *(np.ravel(v) if isinstance(v, np.ndarray) else v for v in values)]
    with np.errstate(all="ignore"):
        returned = load(function)(*arguments, *written)
    if not function.returned:
        returned = ()
    elif not isinstance(returned, tuple):
        returned = (returned,)
    numbers = dict(zip(function.returned, returned, strict=True))
    arrays = dict(zip(function.written, written, strict=True))
    return [numbers[o.name] if not o.node.axes else arrays[o.name] for o in graph.outputs]


_COMBINE = {
    "sum": np.sum,
    "prod": np.prod,
    "max": lambda x, **options: np.max(x, **options, initial=-np.inf),
    "min": lambda x, **options: np.min(x, **options, initial=np.inf),
}


def interpreted(graph: object, axes: list, place: dict, sizes: list, inputs: list) -> dict:
    """Evaluate every node over whole arrays: sums by NumPy, the rest point by point."""
    values: dict = dict(zip(graph.inputs, inputs, strict=True))
    with np.errstate(all="ignore"):
        for node in ancestors([o.node for o in graph.outputs]):
            if node in values:
                continue
            if node.op == "extent":
                mask = int(node.payload)
                values[node] = float(np.prod([sizes[place[k]] for k in axes if mask >> k & 1]))
            elif node.op == "reduce":
                mask = node.operands[0].axes & ~node.axes
                over = tuple(place[k] for k in axes if mask >> k & 1)
                whole = np.broadcast_to(
                    values[node.operands[0]], _shape(node.operands[0], axes, sizes)
                )
                values[node] = _COMBINE[node.payload](whole, axis=over, keepdims=True)
            elif node.op == "broadcast":
                values[node] = np.broadcast_to(
                    values[node.operands[0]], _shape(node, axes, sizes)
                )
            else:
                values[node] = _pointwise(node, values, axes, sizes)
    return values


def _shape(node: object, axes: list, sizes: list) -> tuple:
    return tuple(n if node.axes >> k & 1 else 1 for k, n in zip(axes, sizes, strict=True))


def _pointwise(node: object, values: dict, axes: list, sizes: list) -> np.ndarray:
    from symgrad.graph.evaluate import _value

    shape = _shape(node, axes, sizes)
    operands = [
        np.broadcast_to(np.asarray(values[o], dtype=object), shape) for o in node.operands
    ]
    out = np.empty(shape, dtype=object)
    for at in itertools.product(*map(range, shape)):
        out[at] = _value(node, [o[at] for o in operands], {})
    numbers = all(isinstance(value, float) for value in out.reshape(-1))
    return out.astype(float) if numbers else out


def test_the_interpreter_agrees_with_evaluate() -> None:
    graph = graph_of("x*y + sin(x)", both, inputs=["x", "y"])
    values = interpreted(graph, [], {}, [], [0.3, 1.2])
    expected = evaluate([o.node for o in graph.outputs], {"x": 0.3, "y": 1.2})
    assert [float(values[o.node]) for o in graph.outputs] == expected


def test_unused_inputs_are_parameters() -> None:
    function = printed("x*2", arrays={"x": 1, "q": 1}, inputs=["x", "q", "p"])
    assert [p.name for p in function.parameters] == ["n", "x", "q", "p", "value_out"]
    lonely = printed("x*2", arrays={"q": 1}, inputs=["x", "q"])
    assert lonely.parameters[0].role == "extent"


def test_outputs_may_repeat() -> None:
    graph = graph_of(
        parse("u = x + y; v = u; w = u", outputs=["u", "v", "w"]), both, arrays={"x": 1}
    )
    check(graph, {0: 3})
    assert print_function(graph, "kernel").passes == 1
