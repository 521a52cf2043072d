"""What a tensor refers to: a node with data, or an operation that is still to be computed.

Nodes are the record. They point at their operands only, never at the tensors that the user
holds, so there are no cycles and a graph goes away with its last tensor. `index` counts the
nodes of the process: an operand's is smaller than that of what was made of it, so that a
sorted list is a topological order and no walk recurses.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..errors import AutogradError, ShapeError
from ..language.functions import FUNCTIONS
from .grad_mode import is_grad_enabled

__all__ = [
    "BOOL",
    "BOOLEAN",
    "FLOAT32",
    "FLOAT64",
    "INT64",
    "LIMIT",
    "Array",
    "Node",
    "Operand",
    "Shape",
    "Sink",
    "array_of",
    "broadcast",
    "fit",
    "leaf",
    "needs_gradient",
    "no_value",
    "promote",
]

FLOAT64 = np.dtype(np.float64)
FLOAT32 = np.dtype(np.float32)
INT64 = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)

#: Operations whose result is a truth value. They carry no gradient.
BOOLEAN = frozenset(row.name for row in FUNCTIONS.values() if row.boolean)

#: How many recorded operations may hang together before their value is computed.
LIMIT = 64

#: The value of a node: a float for a double without axes, else an array that nobody writes.
Array = Any
#: None stands for the unknown shape of a tensor that is being traced.
Shape = tuple[int, ...] | None
#: A node, a number, or a literal of the formula as text (an exponent, an order).
Operand = Any

_count = itertools.count().__next__


class Sink:
    """Where the gradient of a leaf or of a retained result arrives.

    Attributes:
        grad: the tensor with the gradient so far, or None.
    """

    __slots__ = ("grad",)

    def __init__(self) -> None:
        """Start without a gradient."""
        self.grad: Any = None


class Node:
    """Data, or a recorded operation.

    Attributes:
        op: the operation: a row of the function table, "leaf" (data), "input" (a tensor
            that is traced), "copy", "call" (of a compiled Function) or "part" (one of the
            results of a call).
        operands: nodes, numbers and literals; empty once they are not needed.
        shape: the shape of the value; None while it is traced.
        dtype: float64, float32, int64 or bool.
        value: the value, or None before it was computed; a tuple for a call whose results
            are parts.
        needs: gradients flow through it.
        sink: where its gradient arrives, if somebody wants it.
        payload: the Callee of a call, the place and Callee of a part, the name of an input, or
            what PyTorch calls the operation where it is not the usual name.
        size: how many operations hang together below it, for `LIMIT`.
        cut: backward starts a new kernel here.
        freed: its history was released by `backward`.
        index: place in the order of creation.
    """

    __slots__ = (
        "cut",
        "dtype",
        "freed",
        "index",
        "needs",
        "op",
        "operands",
        "payload",
        "shape",
        "sink",
        "size",
        "value",
    )

    def __init__(
        self,
        op: str,
        operands: tuple[Operand, ...],
        shape: Shape,
        dtype: np.dtype,
        needs: bool,
        value: Array = None,
        payload: Any = None,
    ) -> None:
        """Make a node; `record` and `leaf` are the usual ways."""
        self.op = op
        self.operands = operands
        self.shape = shape
        self.dtype = dtype
        self.needs = needs
        self.value = value
        self.payload = payload
        self.sink: Sink | None = None
        self.size = 0
        self.cut = False
        self.freed = False
        self.index = _count()

    @property
    def is_leaf(self) -> bool:
        """Whether no history stands behind the node."""
        return not self.needs or self.op == "leaf"


def leaf(value: Array, shape: Shape, dtype: np.dtype, sink: Sink | None = None) -> Node:
    """Return a node with data; gradients flow into its sink if it has one."""
    node = Node("leaf", (), shape, dtype, sink is not None, value)
    node.sink = sink
    return node


def needs_gradient(operands: tuple[Operand, ...]) -> bool:
    """Tell whether a result of the operands keeps its history."""
    for operand in operands:
        if type(operand) is Node and operand.needs:
            return is_grad_enabled()
    return False


def fit(value: Any, shape: Shape, dtype: np.dtype) -> Array:
    """Return what a kernel computed as the value of a node of this shape and type."""
    if not shape and dtype is FLOAT64:
        return value if type(value) is float else float(np.reshape(value, ()))
    array = np.asarray(value, dtype)
    if array.shape == shape:
        return array
    # Axes of length 1 are dropped by the pipeline, and come back here.
    if shape is not None and array.size == int(np.prod(shape)):
        return array.reshape(shape)
    return np.broadcast_to(array, shape or ()).copy()


def array_of(value: Array, dtype: np.dtype) -> np.ndarray:
    """Return a value as a read-only array."""
    array = np.asarray(value, dtype).view()
    array.flags.writeable = False
    return array


def broadcast(one: Shape, other: Shape) -> Shape:
    """Return the shape of an operation on two shapes, or say as PyTorch why there is none."""
    if one == other or other == ():
        return one
    if one == () or one is None or other is None:
        return None if one is None else other
    try:
        return np.broadcast_shapes(one, other)
    except ValueError:
        raise ShapeError(_mismatch(one, other)) from None


def _mismatch(one: tuple[int, ...], other: tuple[int, ...]) -> str:
    ndim = max(len(one), len(other))
    first, second = ((1,) * (ndim - len(shape)) + shape for shape in (one, other))
    place = next(
        axis
        for axis in reversed(range(ndim))
        if first[axis] != second[axis] and 1 not in (first[axis], second[axis])
    )
    return (
        f"The size of tensor a ({first[place]}) must match the size of tensor b "
        f"({second[place]}) at non-singleton dimension {place}"
    )


def promote(operands: tuple[Operand, ...]) -> np.dtype:
    """Return the type of an operation: floats win, and arrays win over single values.

    Numbers do not count, whole numbers and truth values count as doubles where there is
    nothing else, as in PyTorch with float64 as the default.
    """
    for node in operands:
        if type(node) is Node and node.dtype is not FLOAT64:
            break
    else:
        return FLOAT64
    found = [(node.shape == (), node.dtype) for node in operands if type(node) is Node]
    floats = [pair for pair in found if pair[1].kind == "f"]
    arrays = [dtype for single, dtype in floats if not single]
    kinds = arrays or [dtype for _, dtype in floats]
    if kinds and all(dtype == FLOAT32 for dtype in kinds):
        return FLOAT32
    return FLOAT64


def no_value(what: str) -> AutogradError:
    """Return the error for the use of a value that a traced tensor does not have."""
    return AutogradError(
        f"{what}: a tensor has no value while its function is traced; use symgrad.where(...) "
        "instead of if, and symgrad.sin(...) and so on instead of math.sin(...)"
    )
