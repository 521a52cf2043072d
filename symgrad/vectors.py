"""Functions of arrays whose last axis runs over inputs.

A model of ten thousand unknowns is not called with ten thousand arguments. Packed, it takes
them in one array, and what it returns is packed likewise. Small functions run in the kernels
that they have anyway; large ones are rolled, so that the time to compile depends on how
different the parts of a formula are and not on how many there are.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import compiler, garbage, progress
from .calculus.transform import Block, Packing, Sparse
from .compiler import Variant
from .errors import ArgumentError, ShapeError, choices, listed
from .function import Function
from .graph.count import operations
from .graph.lower import varying
from .graph.node import Graph
from .runtime import arrays
from .sparse import check_point, checked, matrix

__all__ = ["Packed", "packed"]

Value = Any  # a number, an array or a sparse matrix
#: What computes rows of outputs from rows of inputs, into an array if there is one.
Rows = Callable[[np.ndarray, np.ndarray | None], np.ndarray]

_DOUBLE = np.dtype(np.float64)
#: A function of more operations, inputs or outputs is rolled.
_SMALL = 200


def packed(f: Function, *arguments: str | Sequence[str]) -> Packed:
    """Return `f` as a function of arrays whose last axis runs over inputs.

    Args:
        f: a compiled function, also a derivative, dense or sparse.
        *arguments: what the new function takes, in order: the name of an input, or a list
            of names, for which it takes one array. Without any it takes one array for all
            inputs; a product with a vector, `jvp`, `vjp` or `hvp`, takes a second one for
            the vector.

    Raises:
        ArgumentError: an input is missing, named twice or unknown.

    >>> import symgrad as sg
    >>> f = sg.compile("u = a*x - y; v = y**2", inputs=["x", "y", "a"], outputs=["u", "v"])
    >>> g = packed(f, ["x", "y"], "a")
    >>> g([1.0, 2.0], 3.0)
    array([1., 4.])
    >>> packed(sg.jacobian(f, wrt=["x", "y"]), ["x", "y"], "a")([1.0, 2.0], 3.0)
    array([[ 3., -1.],
           [ 0.,  4.]])
    """
    if not isinstance(f, Function):
        raise ArgumentError(
            f"expected a function made by symgrad.compile and got {type(f).__name__}"
        )
    if any(varying(f.program)):
        raise ArgumentError("a packed function is of a formula without sum and mean")
    return Packed(f, arguments or f.groups)


class Packed:
    """A function of arrays whose last axis runs over inputs, see `packed`.

    An array for k names has the shape (..., k), and the leading axes, of points, broadcast.
    The result has those and the shape that it has at one point; where a function returns a
    tuple of numbers or of arrays of one shape, it is one array whose first axis after those
    of the points runs over them. A sparse matrix is taken at one point. All arithmetic is in
    double precision.
    """

    def __init__(self, function: Function, arguments: Sequence[str | Sequence[str]]) -> None:
        """Check that the arguments are the inputs of the function."""
        self._function = function
        for group in arguments:
            if not isinstance(group, str | Sequence):
                raise ArgumentError(
                    f"an argument is a name or a list of names, not {type(group).__name__}"
                )
        self._arguments = tuple(
            group if isinstance(group, str) else tuple(group) for group in arguments
        )
        names = [
            name
            for group in self._arguments
            for name in ((group,) if isinstance(group, str) else group)
        ]
        place = {name: number for number, name in enumerate(function.inputs)}
        for name in names:
            if not isinstance(name, str) or name not in place:
                hint = choices(name, place, "inputs")
                raise ArgumentError(f"there is no input '{name}': {hint}")
        given = set(names)
        if len(given) != len(names):
            raise ArgumentError("the arguments name the same input twice")
        missing = [name for name in place if name not in given]
        if missing:
            raise ArgumentError(f"no argument has the inputs {listed(missing)}")
        self._places = [
            place[group] if isinstance(group, str) else np.array([place[n] for n in group], int)
            for group in self._arguments
        ]
        self._in_order = len(names) == len(self._arguments[0]) and names == list(place)
        self._lock = threading.Lock()
        self._graph: tuple[Graph, Packing] | None = None
        self._rows: tuple[Rows, Packing] | None = None

    @property
    def function(self) -> Function:
        """The function that is packed."""
        return self._function

    @property
    def arguments(self) -> tuple[str | tuple[str, ...], ...]:
        """What is taken, in order: inputs by name, or tuples of names for arrays."""
        return self._arguments

    def __repr__(self) -> str:
        shown = [
            group if isinstance(group, str) else f"[{listed(group)}]"
            for group in self._arguments
        ]
        return f"<symgrad.Packed ({', '.join(shown)}) of {self._function!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Packed, (self._function, self._arguments))

    def __call__(self, /, *args: Value, out: Any = None) -> Any:
        """Return the value for arrays whose last axis runs over inputs.

        Args:
            *args: the arguments in order.
            out: what receives the result and is returned: an array of its shape, or for a
                sparse matrix one that an earlier call returned, whose entries are replaced.

        Raises:
            ArgumentError: there are too few or too many arguments.
            ShapeError: an array has the wrong last axis, points do not broadcast, or `out`
                does not fit.
            DTypeError: an argument does not consist of real numbers.
        """
        inputs, points = self._table(args)
        if self._function.is_sparse:
            check_point(points)
        rows, packing = self._rows or self._compiled()
        if out is None:
            return _unpacked(packing, rows(inputs, None), points)
        if isinstance(packing, Sparse):
            checked(packing, out).data[...] = _entries(packing, rows(inputs, None))
            return out
        if not isinstance(packing, Block):
            raise ShapeError("out= is for a result that is one array or one sparse matrix")
        target = arrays.check_out(out, (*points, *packing.shape), _DOUBLE)
        if target.flags.carray and not arrays.share(target, inputs):
            rows(inputs, target.reshape(inputs.shape[0], -1))
        else:
            target[...] = _unpacked(packing, rows(inputs, None), points)
        return out

    def _table(self, args: Sequence[Value]) -> tuple[np.ndarray, tuple[int, ...]]:
        """Return the inputs as rows, one for each point, and the shape of the points."""
        if len(args) != len(self._arguments):
            raise ArgumentError(
                f"{len(args)} arguments given, and {len(self._arguments)} expected: "
                + ", ".join(map(str, self._arguments))
            )
        values = []
        shapes = []
        for number, (value, group) in enumerate(zip(args, self._arguments, strict=True)):
            name = group if isinstance(group, str) else f"number {number + 1}"
            array = np.asarray(arrays.operand(value, name), _DOUBLE)
            if not isinstance(group, str) and array.shape[-1:] != (len(group),):
                raise ShapeError(
                    f"argument {name} has shape {array.shape}, expected (..., {len(group)})"
                )
            values.append(array)
            shapes.append(array.shape if isinstance(group, str) else array.shape[:-1])
        try:
            points = np.broadcast_shapes(*shapes)
        except ValueError:
            raise ShapeError(f"the points {shapes} do not broadcast together") from None
        shape = math.prod(points), len(self._function.inputs)
        if self._in_order:
            return np.require(values[0], requirements=("C", "A")).reshape(shape), points
        table = np.empty((*points, shape[1]))
        for array, place in zip(values, self._places, strict=True):
            table[..., place] = array
        return table.reshape(shape), points

    def packing(self) -> Packing:
        """Return how the results are laid out, without compiling anything."""
        with self._lock:
            return (self._rows or self._built())[1]

    def _built(self) -> tuple[Graph, Packing]:
        """Return the Graph of the function at one point, kept until it is compiled."""
        if self._graph is None:
            graph, packing = self._function.at_point()
            self._graph = graph, _stacked(packing)
        return self._graph

    def _compiled(self) -> tuple[Rows, Packing]:
        """Return what computes the outputs, and how they are laid out."""
        with self._lock, progress.shown("building"), garbage.paused():
            if self._rows is None:
                graph, packing = self._built()
                rows: Rows = self._small
                if max(operations(graph), len(graph.inputs), len(graph.outputs)) > _SMALL:
                    name = compiler.kernel_name(self._function.transforms)
                    rows = compiler.compile_rolled(name, graph)
                self._rows, self._graph = (rows, packing), None
            return self._rows

    def _small(self, inputs: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Return rows of outputs by the kernels that the function has."""
        count = inputs.shape[0]
        several = count > 1 and inputs.shape[1] > 0
        axes = (int(several),) * len(self._function.program.inputs)
        kernel, _ = self._function.for_call(Variant(axes, int(several)))
        if several:
            columns = list(np.ascontiguousarray(inputs.T))
            layout = arrays.layout(columns, self._function.inputs)
            outputs = kernel.run(columns, layout)
        elif count:
            returned = kernel.function(*map(float, inputs[0]))
            outputs = [returned] if kernel.returned == 1 else list(returned or ())
        else:
            outputs = [np.empty(0)] * kernel.outputs
        rows = np.empty((count, len(outputs))) if out is None else out
        for number, output in enumerate(outputs):
            rows[:, number] = output
        return rows


def _stacked(packing: Packing) -> Packing:
    """Return a packing in which blocks of one shape that follow each other are one block."""
    if not isinstance(packing, tuple) or isinstance(packing, Block):
        return packing
    blocks = [part for part in packing if isinstance(part, Block)]
    if blocks and len(blocks) == len(packing) and len({block.shape for block in blocks}) == 1:
        return Block(blocks[0].start, (len(blocks), *blocks[0].shape))
    return tuple(map(_stacked, packing))


def _unpacked(packing: Packing, rows: np.ndarray, points: tuple[int, ...]) -> Any:
    """Hand rows of outputs to the caller as the packing says."""
    if isinstance(packing, Sparse):
        return matrix(packing, _entries(packing, rows))
    if isinstance(packing, Block):
        part = rows[:, packing.start : packing.start + math.prod(packing.shape)]
        return part.reshape((*points, *packing.shape))[()]
    return tuple(_unpacked(part, rows, points) for part in packing)


def _entries(packing: Sparse, rows: np.ndarray) -> np.ndarray:
    """Return the entries of a sparse matrix, which is taken at one point."""
    return rows[0, packing.start : packing.start + packing.indices.size]
