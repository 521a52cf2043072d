"""The Kernel: a compiled function behind its calling convention.

The convention is flat: the extents of the array axes as whole numbers, then every input, a
number or a contiguous one-dimensional array, then one contiguous array for every output
that varies. Outputs that do not vary are returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..errors import ShapeError
from .arrays import Layout, flat, share
from .buffers import results, until_aligned
from .threads import CHUNK, SHARED, run_chunks

__all__ = ["Kernel", "Slot"]

Value = Any  # a number or an array; NumPy's stubs have no name for both

#: For how many shapes of its inputs a kernel keeps those of its outputs.
_SHAPES = 64


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
        entry: the same for arguments of the right types, at which it does not look.
        dtype: the type of its arithmetic and its results.
        lasting: it will not be replaced, so that its entry can be kept.
        scalars: the numbers that the function returns are scalars of NumPy of that type.
        chunk: how many points one call may have.
        undivided: so many points are one call in any case.
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
        lasting: bool = True,
        scalars: bool = False,
        chunk: int = CHUNK,
    ) -> None:
        """Wrap a compiled function; a pointwise one may be run on any part of its points."""
        self.lasting = lasting
        self.scalars = scalars
        self.chunk = chunk
        self.undivided = min(chunk, SHARED)
        self.name = name
        self.source = source
        self.function = function
        self.entry = _entry(function)
        self._inputs = tuple(inputs)
        self._results = tuple(results)
        self.dtype = np.dtype(dtype)
        #: How many outputs the compiled function returns and does not write.
        self.returned = sum(not result.axes for result in results)
        self.is_array = tuple(bool(slot.axes) for slot in inputs)
        self.is_written = tuple(bool(result.axes) for result in results)
        # Where each output is in the list of those written and then those returned.
        arrays = [number for number, result in enumerate(results) if result.axes]
        numbers = [number for number, result in enumerate(results) if not result.axes]
        place = {number: place for place, number in enumerate((*arrays, *numbers))}
        self._order = [place[number] for number in range(len(results))]
        self._pointwise = pointwise
        self.outputs = len(self._results)
        #: The shapes of the outputs by those of the inputs.
        self._shapes: dict[tuple[tuple[int, ...], ...], list[tuple[int, ...]]] = {}

    def __repr__(self) -> str:
        return f"<kernel {self.name} of {len(self._inputs)} inputs, {self.dtype}>"

    def shapes(self, values: Sequence[Value]) -> list[tuple[int, ...]]:
        """Return the shapes of the outputs for validated inputs."""
        given = tuple([v.shape if isinstance(v, np.ndarray) else () for v in values])
        found = self._shapes.get(given)
        if found is None:
            if len(self._shapes) >= _SHAPES:
                self._shapes.clear()
            found = [_joined(given[k] for k in slot.like) for slot in self._results]
            self._shapes[given] = found
        return found

    def fit(self, position: int, values: Sequence[Value], name: str) -> Value:
        """Return a cotangent or tangent in the shape that its primal dictates."""
        shape = _joined(np.shape(values[k]) for k in self._inputs[position].like)
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
        arguments = self._arguments(values)
        shapes = self.shapes(values)
        given = [None] * self.outputs if into is None else into
        # For each output that varies its size, and the array that it can be written into.
        targets = [
            (math.prod(shape), None if g is None or not _is_plain(g) else _elements(g))
            for array, shape, g in zip(self.is_written, shapes, given, strict=True)
            if array
        ]
        new = iter(
            results(
                [(size,) for size, target in targets if target is None],
                self.dtype,
                [a for a in arguments if isinstance(a, np.ndarray)],
            )
        )
        written = [next(new) if target is None else target for _, target in targets]
        returned = self.launch(layout.extents, arguments, written)
        return self._collect(shapes, self.in_order(written, returned), given)

    def bound(
        self, values: Sequence[Value], layout: Layout, outputs: Sequence[Value]
    ) -> Callable[[], Any] | None:
        """Return a call of the compiled function on these very inputs and outputs.

        A number in an array is read at each call. None where an array would have to be
        copied, or could be written while it is read.
        """
        arguments = self._arguments(values)
        written = [o for o, array in zip(outputs, self.is_written, strict=True) if array]
        if not all(map(_is_plain, written)):
            return None
        numbers: list[tuple[int, np.ndarray]] = []
        for place, (value, argument) in enumerate(zip(values, arguments, strict=True)):
            if not isinstance(value, np.ndarray):
                continue
            if not isinstance(argument, np.ndarray):
                numbers.append((place, value.view()))
            elif not np.may_share_memory(value, argument) or any(
                share(value, target) for target in written
            ):
                return None
        # Views, so that a new shape of the caller's arrays changes nothing.
        targets = [_elements(target) for target in written]
        if numbers:

            def launch() -> Any:
                now = list(arguments)
                for place, number in numbers:
                    now[place] = number.item()
                return self.launch(layout.extents, now, targets)

            return launch
        if self._is_long(layout.extents):
            return partial(self.launch, layout.extents, arguments, targets)
        return partial(self.entry, *layout.extents, *arguments, *targets)

    def _arguments(self, values: Sequence[Value]) -> list[Value]:
        """Return validated inputs as the compiled function takes them."""
        return [
            flat(value, self.dtype)
            if slot.axes
            else float(value)
            if isinstance(value, float | int)
            else value.item()
            for value, slot in zip(values, self._inputs, strict=True)
        ]

    def _is_long(self, extents: tuple[int, ...]) -> bool:
        """Tell whether a launch is cut into chunks."""
        return self._pointwise and extents[0] > self.undivided

    def launch(
        self,
        extents: tuple[int, ...],
        arguments: Sequence[Value],
        written: Sequence[np.ndarray],
    ) -> Any:
        """Call the compiled function and return what it returns.

        A kernel whose points are independent runs on chunks where they are many. These begin
        where a line of the cache does: past the caches a vector across two lines takes longer
        to write than a launch for the points before.
        """
        function = self.entry
        if not self._is_long(extents):
            return function(*extents, *arguments, *written)

        def launch(start: int, stop: int) -> None:
            parts = (
                value[start:stop] if array else value
                for value, array in zip(arguments, self.is_array, strict=True)
            )
            function(stop - start, *parts, *(array[start:stop] for array in written))

        return run_chunks(launch, extents[0], until_aligned(written[0]), self.chunk)

    def in_order(self, written: Sequence[Value], returned: Any) -> list[Value]:
        """Return the outputs in order, from those written and what the function returned."""
        if not self.returned:
            return list(written)
        numbers = (returned,) if self.returned == 1 else returned
        both = [*written, *map(self.dtype.type, numbers)]
        return [both[place] for place in self._order]

    def update(self, outputs: Sequence[Value], returned: Any) -> list[Value]:
        """Return the outputs of a bound call, from those of an earlier one.

        The arrays are the same; what the compiled function returned replaces numbers, or is
        written into arrays of one element.
        """
        numbers = iter((returned,) if self.returned == 1 else returned or ())
        updated = list(outputs)
        for number, written in enumerate(self.is_written):
            if written:
                continue
            value = self.dtype.type(next(numbers))
            if isinstance(outputs[number], np.ndarray):
                outputs[number][...] = value
            else:
                updated[number] = value
        return updated

    def _collect(
        self,
        shapes: Sequence[tuple[int, ...]],
        outputs: Sequence[Value],
        into: Sequence[np.ndarray | None],
    ) -> list[Value]:
        """Give every output its shape, and bring it to the array that was given for it."""
        collected: list[Value] = []
        for array, shape, output, given in zip(
            self.is_written, shapes, outputs, into, strict=True
        ):
            value = output
            if array:
                value = output.reshape(shape)
            elif shape:
                value = np.full(shape, output)
            if given is not None:
                if not np.may_share_memory(given, value):
                    given[...] = value
                value = given
            collected.append(value)
        return collected


def _entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the machine code of a compiled function behind Numba's choice of a signature.

    The choice looks at the type of each argument, which takes longer than the call.
    """
    overloads = tuple(getattr(function, "overloads", {}).values())
    entry: Callable[..., Any] = overloads[0].entry_point if len(overloads) == 1 else function
    return entry


def _is_plain(array: np.ndarray) -> bool:
    """Tell whether a kernel can read or write the elements where they are."""
    return array.flags.c_contiguous and array.flags.aligned


def _elements(array: np.ndarray) -> np.ndarray:
    """Return a view of all elements in one dimension, of no other class than NumPy's own."""
    return np.asarray(array).reshape(-1)


def _joined(shapes: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Return what shapes are broadcast together, most of which are the same."""
    alike = set(shapes)
    return alike.pop() if len(alike) == 1 else np.broadcast_shapes(*alike)
