"""Compiled Functions that are called with tensors.

A call is recorded as one operation and runs the Function's own kernels: the forward kernel
for its value, the gradient kernel in `backward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..calculus.transform import Gradient, Pullback
from ..errors import UnsupportedError
from ..function import Function
from ..language.functions import REDUCTIONS
from ..language.program import Number, Program
from ..runtime import arrays
from .evaluate import evaluate
from .node import (
    FLOAT64,
    Node,
    Operand,
    Shape,
    broadcast,
    fit,
    leaf,
    needs_gradient,
    promote,
)
from .routine import Routine

__all__ = ["Callee", "record_call"]

_ATTRIBUTE = "_called_with_tensors"
_REMEMBERED = 256


class Callee:
    """A Function with what calling it with tensors needs, prepared once.

    Attributes:
        function: the Function.
        forward: the routine of its value.
        name: what its results are called in ``grad_fn``.
        lazy: the shapes of the results are known without computing, so that a call can
            wait.
        single: the result is one array and not a tuple.
        width: how many results there are.
    """

    __slots__ = (
        "_routines",
        "_shapes",
        "forward",
        "function",
        "lazy",
        "name",
        "single",
        "width",
    )

    def __init__(self, function: Function) -> None:
        """Prepare a Function."""
        program = function.program
        self.function = function
        self.forward = Routine(function)
        self.name = program.name or (function.outputs[0] if function.outputs else "value")
        self.lazy = not function.transforms and program.shape is None
        self.single = self.lazy and program.single
        self.width = len(program.outputs) if self.lazy else 0
        self._routines: dict[tuple[tuple[str, ...], bool], Routine] = {}
        self._shapes: dict[tuple[Shape, ...], list[tuple[int, ...]]] = {}

    def shapes(self, key: tuple[Shape, ...]) -> list[tuple[int, ...]]:
        """Return the shapes of the results for those of the arguments.

        Raises:
            ShapeError: they do not broadcast.
        """
        found = self._shapes.get(key)
        if found is None:
            found = _shapes(self.function, key)
            if len(self._shapes) < _REMEMBERED:
                self._shapes[key] = found
        return found

    def gradient(self, wrt: tuple[str, ...], *, seeded: bool) -> Routine:
        """Return the routine of the gradient, with or without cotangents as arguments."""
        routine = self._routines.get((wrt, seeded))
        if routine is None:
            transform = Pullback(wrt, value=False) if seeded else Gradient(wrt, value=True)
            routine = Routine(self.function.transformed(transform))
            self._routines[wrt, seeded] = routine
        return routine


def _callee(function: Function) -> Callee:
    # Kept by the Function itself: a table from Functions to what holds them would keep all
    # of them alive.
    found: Callee | None = vars(function).get(_ATTRIBUTE)
    if found is None:
        found = vars(function)[_ATTRIBUTE] = Callee(function)
    return found


def _shapes(function: Function, shapes: Sequence[Shape]) -> list[tuple[int, ...]]:
    """Return the shapes of the results for the shapes of the arguments."""
    program = function.program
    whole = [np.broadcast_to(0.0, shape or ()) for shape in shapes]
    everywhere = arrays.layout(whole, function.inputs).shape
    given = dict(zip(function.inputs, shapes, strict=True))
    known: list[Shape] = []
    reduced: list[bool] = []
    for code in program.instructions:
        shape: Shape = given[str(code.payload)] if code.op == "input" else ()
        total = code.op in REDUCTIONS
        for operand in code.operands:
            shape = () if total else broadcast(shape, known[operand])
        known.append(shape)
        reduced.append(total or any(reduced[operand] for operand in code.operands))
    return [
        (known[place] or ()) if reduced[place] else everywhere for _, place in program.outputs
    ]


def record_call(function: Function, operands: tuple[Operand, ...]) -> Any:
    """Return the node of a call, or a tuple of nodes as the Function returns a tuple."""
    callee = _callee(function)
    given = tuple([o.shape if type(o) is Node else () for o in operands])
    if None in given:
        return _inline(callee, operands)
    if not callee.lazy:
        return _call_now(callee, operands)
    shapes = callee.shapes(given)
    dtype = promote(operands)
    needs = needs_gradient(operands)
    if callee.single:
        node = Node("call", operands, shapes[0], dtype, needs, payload=callee)
        if not needs:
            evaluate(node)
        return node
    node = Node("call", operands, (), dtype, needs, payload=callee)
    parts = tuple(
        Node("part", (node,), shape, dtype, needs, payload=(place, callee))
        for place, shape in enumerate(shapes)
    )
    if not needs:
        for part in parts:
            evaluate(part)
    return parts


def _call_now(callee: Callee, operands: tuple[Operand, ...]) -> Any:
    """Call a derivative, whose results have shapes that only the kernel knows."""
    for operand in operands:
        if type(operand) is Node:
            evaluate(operand)
    values = [o.value if type(o) is Node else o for o in operands]
    dtype = promote(operands)
    result = callee.forward.shaped(values, dtype)
    needs = needs_gradient(operands)
    call = Node("call", operands, (), dtype, needs, payload=callee) if needs else None
    made: list[Node] = []

    def wrap(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple([wrap(part) for part in value])
        shape = np.shape(value)
        node = leaf(fit(value, shape, dtype), shape, dtype)
        if call is not None:
            node = Node("part", (call,), shape, dtype, True, node.value, (len(made), callee))
        made.append(node)
        return node

    wrapped = wrap(result)
    if call is not None:
        pullback = callee.function.transformed(Pullback())
        width = len(pullback.inputs) - len(callee.function.inputs)
        if width != len(made):
            raise UnsupportedError(
                "gradients do not flow through a matrix of derivatives: call it under "
                "symgrad.no_grad(), or use symgrad.grad, whose results are separate"
            )
        callee.width = width
        call.value = tuple([node.value for node in made])
    return wrapped


def _inline(callee: Callee, operands: tuple[Operand, ...]) -> Any:
    """Record the operations of a Function one by one, for a Program that is traced."""
    if not callee.lazy:
        raise UnsupportedError(f"{callee.function!r} cannot be called in a traced function yet")
    program: Program = callee.function.program
    given = dict(zip(program.inputs, operands, strict=True))
    found: list[Operand] = []
    for code in program.instructions:
        below = tuple([found[place] for place in code.operands])
        if code.op == "input":
            found.append(given[str(code.payload)])
        elif code.op == "step":
            found.append(below[0])
        elif isinstance(code.payload, Number):
            found.append(str(code.payload.value))
        elif code.op == "constant":
            found.append(str(code.payload))
        else:
            found.append(Node(code.op, below, None, FLOAT64, False))
    results = tuple([found[place] for _, place in program.outputs])
    return results[0] if program.single else results
