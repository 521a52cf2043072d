"""The Kernel: a compiled function behind its calling convention.

The convention is flat: the extents of the array axes as whole numbers, then every input, a
number or a contiguous one-dimensional array, then one contiguous array for every output
that varies. Outputs that do not vary are returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import ShapeError
from .arrays import Layout, flat
from .buffers import empty
from .threads import CHUNK, run_chunks

__all__ = ["Kernel", "Slot"]

Value = Any  # a number or an array; NumPy's stubs have no name for both


class Slot(NamedTuple):
    """How an input or an output of a kernel is passed and shaped.

    Attributes:
        axes: mask of the axes that it varies over; 0 if it is a number.
        like: positions of the inputs whose shapes, broadcast together, are its shape.
    """

    axes: int
    like: tuple[int, ...]


class Kernel:
    """One compiled kernel for one way in which the inputs are arrays.

    Attributes:
        name: "forward", "gradient" and so on.
        source: the text of its module.
        function: the compiled function.
        dtype: the type of its arithmetic and its results.
    """

    def __init__(
        self,
        name: str,
        source: str,
        function: Callable[..., Any],
        inputs: Sequence[Slot],
        results: Sequence[Slot],
        dtype: str,
        pointwise: bool = False,
    ) -> None:
        """Wrap a compiled function; a pointwise one may be run on any part of its points."""
        self.name = name
        self.source = source
        self.function = function
        self._inputs = tuple(inputs)
        self._results = tuple(results)
        self.dtype = np.dtype(dtype)
        #: How many outputs the compiled function returns and does not write.
        self.returned = sum(not result.axes for result in results)
        self._arrays = tuple(bool(slot.axes) for slot in inputs)
        self._written = tuple(bool(result.axes) for result in results)
        self._pointwise = pointwise
        self.outputs = len(self._results)
        self._nothing: tuple[None, ...] = (None,) * self.outputs

    def __repr__(self) -> str:
        return f"<kernel {self.name} of {len(self._inputs)} inputs, {self.dtype}>"

    def shapes(self, values: Sequence[Value]) -> list[tuple[int, ...]]:
        """Return the shapes of the outputs for validated inputs."""
        return [_shape(slot, values) for slot in self._results]

    def fit(self, position: int, values: Sequence[Value], name: str) -> Value:
        """Return a cotangent or tangent in the shape that its primal dictates."""
        shape = _shape(self._inputs[position], values)
        try:
            value = np.broadcast_to(values[position], shape)
        except ValueError:
            raise ShapeError(
                f"'{name}' has shape {np.shape(values[position])}, expected {shape}"
            ) from None
        return value if self._inputs[position].axes else float(value.reshape(-1)[0])

    def run(
        self,
        values: Sequence[Value],
        layout: Layout,
        into: Sequence[np.ndarray | None] | None = None,
    ) -> list[Value]:
        """Return the outputs in order, as NumPy scalars or arrays.

        Args:
            values: validated inputs, numbers or arrays.
            layout: how the inputs broadcast.
            into: arrays for the outputs, of the right shape and type; None allocates.
        """
        dtype = self.dtype
        arguments: list[Value] = list(layout.extents)
        for value, slot in zip(values, self._inputs, strict=True):
            if slot.axes:
                arguments.append(flat(value, dtype))
            else:
                arguments.append(
                    float(value) if isinstance(value, float | int) else value.item()
                )
        written: list[np.ndarray] = []
        for number, result in enumerate(self._results):
            if result.axes:
                given = None if into is None else into[number]
                if given is not None and given.flags.c_contiguous and given.flags.aligned:
                    array = given.reshape(-1)
                else:
                    array = empty(_size(result.axes, layout), dtype)
                written.append(array)
        returned = self._launch(layout.extents, arguments[len(layout.extents) :], written)
        return self._collect(values, returned, written, into)

    def run_flat(
        self,
        values: Sequence[Value],
        shape: tuple[int, ...],
        size: int,
        into: Sequence[np.ndarray | None] | None = None,
    ) -> list[Value]:
        """Return the outputs for floats and for arrays that all have one shape.

        It is `run` without what that case does not need: the arrays are contiguous, of the
        kernel's type and of more than one point.
        """
        flat_shape = (size,)
        arguments = [
            value.reshape(-1) if array and shape != flat_shape else value
            for value, array in zip(values, self._arrays, strict=True)
        ]
        dtype = self.dtype
        given = self._nothing if into is None else into
        written = [
            empty(size, dtype) if target is None else target.reshape(-1)
            for array, target in zip(self._written, given, strict=True)
            if array
        ]
        returned = self._launch(flat_shape, arguments, written)
        numbers, filled = iter(returned or ()), iter(written)
        outputs: list[Value] = []
        for array, target in zip(self._written, given, strict=True):
            value = next(filled) if array else dtype.type(next(numbers))
            if target is not None:
                if not array:
                    target[...] = value
                value = target
            elif array and shape != flat_shape:
                value = value.reshape(shape)
            outputs.append(value)
        return outputs

    def _launch(
        self, extents: tuple[int, ...], arguments: list[Value], written: list[np.ndarray]
    ) -> Any:
        """Call the compiled function, on chunks where points are independent and many."""
        function = self.function
        if not self._pointwise or extents[0] <= CHUNK:
            returned = function(*extents, *arguments, *written)
            return (returned,) if self.returned == 1 else returned

        def launch(start: int, stop: int) -> None:
            parts = (
                value[start:stop] if array else value
                for value, array in zip(arguments, self._arrays, strict=True)
            )
            function(stop - start, *parts, *(array[start:stop] for array in written))

        run_chunks(launch, extents[0])
        return ()

    def _collect(
        self,
        values: Sequence[Value],
        returned: Any,
        written: list[np.ndarray],
        into: Sequence[np.ndarray | None] | None,
    ) -> list[Value]:
        """Give every output its shape."""
        numbers = iter(returned or ())
        arrays = iter(written)
        outputs: list[Value] = []
        for number, result in enumerate(self._results):
            shape = _shape(result, values)
            value: Value
            if result.axes:
                value = next(arrays).reshape(shape)
            else:
                value = self.dtype.type(next(numbers))
                if shape:
                    value = np.full(shape, value)
            given = None if into is None else into[number]
            if given is not None:
                if not np.may_share_memory(given, value):
                    given[...] = value
                value = given
            outputs.append(value)
        return outputs


def _shape(slot: Slot, values: Sequence[Value]) -> tuple[int, ...]:
    shapes = {np.shape(values[k]) for k in slot.like}
    return shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)


def _size(axes: int, layout: Layout) -> int:
    """Return how many elements a quantity has that varies over the axes of a mask."""
    return math.prod(n for axis, n in enumerate(layout.extents) if axes >> axis & 1)
