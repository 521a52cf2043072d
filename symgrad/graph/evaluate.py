"""Values of a Graph at one point in plain Python, without compiling anything.

It follows the kernels' conventions: outside its domain an operation gives NaN or infinity
and raises nothing, and a NaN in a condition gives NaN.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import vmath
from ..language.functions import FUNCTIONS
from ..language.program import Number
from ..vmath.ieee import divide, fma
from .node import Node, ancestors

__all__ = ["evaluate"]

_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": divide,
    "neg": operator.neg,
    "fma": fma,
    "fms": lambda x, y, z: fma(x, y, -z),
    "fnma": lambda x, y, z: fma(-x, y, z),
}
_RELATIONS: Mapping[str, Callable[..., bool]] = {
    name: getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")
}


def evaluate(roots: Sequence[Node], point: Mapping[str, float]) -> list[float]:
    """Return the values of nodes at a point, a number for every input.

    >>> from symgrad.graph.lower import lower
    >>> from symgrad.language.parse import parse
    >>> graph = lower(parse("u = x + y; z = u**2"))
    >>> evaluate([graph.outputs[0].node], {"x": 2.0, "y": 3.0})
    [25.0]
    """
    values: dict[Node, Any] = {}
    for node in ancestors(roots):
        values[node] = _value(node, [values[operand] for operand in node.operands], point)
    return [float(values[root]) for root in roots]


def _value(node: Node, operands: list[Any], point: Mapping[str, float]) -> Any:
    """Return the value of one node; None for a condition that a NaN leaves undecided."""
    op = node.op
    if op == "number":
        return float(node.payload) if isinstance(node.payload, Number) else math.nan
    if op == "constant":
        return {"pi": math.pi, "e": math.e}[str(node.payload)]
    if op == "truth":
        return node.payload
    if op == "input":
        return float(point[str(node.payload)])
    if op in ("step", "broadcast", "reduce", "shift"):
        return operands[0]
    if op == "extent":
        return 1.0
    if op in _ARITHMETIC:
        return _ARITHMETIC[op](*operands)
    if op in _RELATIONS:
        return None if any(x != x for x in operands) else _RELATIONS[op](*operands)
    if op in ("and", "or", "not", "where") and None in operands[: 1 if op == "where" else 2]:
        return math.nan if op == "where" else None
    if op == "and":
        return operands[0] and operands[1]
    if op == "or":
        return operands[0] or operands[1]
    if op == "not":
        return not operands[0]
    if op == "where":
        return operands[1] if operands[0] else operands[2]
    return _call(FUNCTIONS[op].kernel, operands)


def _call(primitive: str, operands: list[float]) -> float:
    result = vmath.evaluate(primitive, *operands[:2])
    for operand in operands[2:]:
        result = vmath.evaluate(primitive, result, operand)
    return result
