"""Runs printed kernels in plain Python, without Numba, and compares them with a tree walk."""

from __future__ import annotations

import ast
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symgrad import vmath
from symgrad.calculus.transform import Transform
from symgrad.codegen.python import Function, print_function
from symgrad.compiler import Variant, build_graph
from symgrad.graph.node import Graph
from symgrad.language.parse import parse
from symgrad.language.program import Program
from symgrad.vmath import ieee


class _Divisions(ast.NodeTransformer):
    """Division by zero gives infinity or NaN in kernels."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        name = ast.Name("divide in kernels", ast.Load())
        return ast.copy_location(ast.Call(name, [node.left, node.right], []), node)


def graph_of(
    source: str | Program,
    *transforms: Transform,
    arrays: Mapping[str, int] | None = None,
    inputs: Sequence[str] | None = None,
) -> Graph:
    """Return the Graph of a formula for inputs that vary over the given axes."""
    found = parse(source, inputs=inputs) if isinstance(source, str) else source
    axes = tuple((arrays or {}).get(name, 0) for name in found.inputs)
    everywhere = 0
    for mask in axes:
        everywhere |= mask
    return build_graph(found, transforms, Variant(axes, everywhere))[0]


def printed(source: str | Program, *transforms: Transform, **options: Any) -> Function:
    """Return the kernel of a formula."""
    dtype = options.pop("dtype", "float64")
    return print_function(graph_of(source, *transforms, **options), "kernel", dtype)


def load(function: Function) -> Any:
    """Return the printed function as a Python function that raises nothing on numbers."""
    tree = ast.fix_missing_locations(_Divisions().visit(ast.parse(function.source)))
    functions = types.SimpleNamespace(**vars(ieee))
    space: dict[str, Any] = {"math": functions, "np": np, "divide in kernels": ieee.divide}
    for name in function.primitives:
        space[name] = lambda *args, name=name: vmath.evaluate(name, *args)
    for name, alias in function.aliases.items():
        space[alias] = space[name]
    exec(compile(tree, "<kernel>", "exec"), space)
    return space[function.name]


def run(
    graph: Graph, function: Function, extents: Sequence[int], values: Sequence[Any]
) -> list:
    """Return the outputs of a kernel in order, arrays flat."""
    arguments: list[Any] = [int(n) for n in extents]
    arguments += [np.ravel(v) if isinstance(v, np.ndarray) else v for v in values]
    written = {}
    for parameter in function.parameters:
        if parameter.role == "output":
            axes = [k for k in range(len(extents)) if parameter.axes >> k & 1]
            written[parameter.name] = np.full(int(np.prod([extents[k] for k in axes])), 77.0)
    with np.errstate(all="ignore"):
        returned = load(function)(*arguments, *written.values())
    if len(function.returned) < 1:
        returned = ()
    elif not isinstance(returned, tuple):
        returned = (returned,)
    numbers = dict(zip(function.returned, returned, strict=True))
    arrays = dict(zip(function.written, written.values(), strict=True))
    return [numbers[o.name] if not o.node.axes else arrays[o.name] for o in graph.outputs]
