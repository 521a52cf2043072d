"""Computing the values of recorded nodes, without recursion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .node import (
    BOOL,
    BOOLEAN,
    LIMIT,
    Array,
    Node,
    Operand,
    Shape,
    fit,
    needs_gradient,
    no_value,
)
from .record import forward, read

__all__ = ["evaluate", "record"]

_COMPARE: dict[str, Callable[..., Any]] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
}

_ALONE = frozenset({"call", "part", "copy"})


def record(op: str, operands: tuple[Operand, ...], shape: Shape, dtype: np.dtype) -> Node:
    """Return the node of an operation; nothing is computed before a value is needed.

    Only when a chain becomes long its value is computed at once, so that neither kernels
    nor what waits for them grow without bound.
    """
    if op in BOOLEAN:
        node = Node(op, operands, shape, BOOL, False)
    else:
        node = Node(op, operands, shape, dtype, needs_gradient(operands))
    size = 1
    for operand in operands:
        if type(operand) is Node:
            size += operand.size
    node.size = size
    if size > LIMIT and shape is not None:
        _bound(node)
    return node


def _bound(node: Node) -> None:
    """Compute a node if as many different operations as the limit hang together below it."""
    size = len(read([node], history=node.needs).body)
    if size > LIMIT:
        evaluate(node)
        node.cut = node.needs
        size = 0
    node.size = size


def evaluate(root: Node) -> Array:
    """Return the value of a node, computed if it was not yet.

    Raises:
        AutogradError: the node belongs to a function that is being traced.
    """
    if root.value is not None:
        return root.value
    pending = [root]
    while pending:
        node = pending[-1]
        missing = _attempt(node) if node.value is None else None
        if missing:
            pending.extend(missing)
        else:
            pending.pop()
    return root.value


def _attempt(node: Node) -> list[Node]:
    """Compute a node, or return the nodes whose values it waits for."""
    op, operands = node.op, node.operands
    if node.shape is None:
        raise no_value("a value is used")
    if op in BOOLEAN or op in _ALONE:
        leaves = [operand for operand in operands if type(operand) is Node]
        recorded = None
    else:
        recorded = read([node])
        leaves = recorded.leaves
    missing = [leaf for leaf in leaves if leaf.value is None]
    if missing or node.value is not None:
        return missing
    if recorded is not None:
        (value,) = forward(recorded.key).run(recorded.values(), node.dtype)
        value = fit(value, node.shape, node.dtype)
    elif op == "call":
        value = _call(node, operands)
    elif op == "part":
        value = fit(operands[0].value[node.payload[0]], node.shape, node.dtype)
    elif op == "copy":
        value = fit(operands[0].value, node.shape, node.dtype)
    else:
        values = [o.value if type(o) is Node else o for o in operands]
        with np.errstate(all="ignore"):
            value = np.asarray(_COMPARE[op](*values))
    node.value = value
    if not node.needs or node.freed:
        # After the value: a thread that finds no value may rely on the operands.
        node.operands = ()
    if not node.needs:
        node.size = 0
    return []


def _call(node: Node, operands: tuple[Operand, ...]) -> Any:
    callee = node.payload
    values = [o.value if type(o) is Node else o for o in operands]
    results = callee.forward.run(values, node.dtype)
    if callee.single:
        return fit(results[0], node.shape, node.dtype)
    return tuple(results)
