"""Running tapes: a function with a kernel's calling convention that compiles nothing.

The machines are compiled once for an installation and lie in the disk cache as kernels do; a
tape is data to them. Where it pays in the end, a tape that has run for long gives way to
compiled code, which computes the same bits.
"""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

__all__ = ["Compiled", "Interpreter", "Tape"]

#: Bytes that the registers of blocks may take: they should stay in the cache of a core.
_REGISTER_BYTES = 1 << 18
_SMALLEST_BLOCK, _LARGEST_BLOCK = 32, 512
#: Bytes of the copies of inputs and outputs that exist at a time.
_COPY_BYTES = 1 << 22
#: Operations of one launch: some tenths of a second, between which Ctrl-C works.
_LAUNCH = 1 << 28

Value = Any  # a number or an array


class Tape(Protocol):
    """What the runtime needs to know of a tape; `symgrad.codegen.tape` explains it."""

    constants: tuple[float, ...]
    arguments: tuple[int, ...]
    extents: tuple[int, ...]
    head: array[int]
    head_size: int
    results: array[int]
    returned: int
    body: array[int]
    body_size: int
    loads: tuple[tuple[int, int], ...]
    axes: int
    rank: int


class Compiled(NamedTuple):
    """A compiled kernel that is made when it is worth it.

    Attributes:
        make: compiles it and returns its function.
        seconds: about how long that takes.
    """

    make: Callable[[], Callable[..., Any]]
    seconds: float


class Interpreter:
    """A tape that can be called like a compiled kernel.

    It takes the extents, every input, a number or a contiguous array, and an array for each
    output that varies, and returns the outputs that do not vary, a number or a tuple.

    Attributes:
        pointwise: it can be run on any part of its points.
    """

    def __init__(
        self,
        tape: Tape,
        dtype: str,
        fields: int,
        point: Callable[..., None] | None,
        blocks: Callable[..., None] | None,
        inputs: int,
        compiled: Compiled | None = None,
    ) -> None:
        """Prepare a tape for its machines.

        Args:
            tape: what to run.
            dtype: the floating-point type of the arithmetic.
            fields: how many numbers an instruction has.
            point: the machine of numbers; None if the head has no instructions.
            blocks: the machine of blocks; None if the body has none.
            inputs: how many inputs there are.
            compiled: what takes over when the tape has run for long; None if nothing does.
        """
        self._dtype = np.dtype(dtype)
        self._head = np.asarray(tape.head, np.uint32).reshape(-1, fields)
        self._body = np.asarray(tape.body, np.uint32).reshape(-1, fields)
        self._tape = tape
        self._compiled = compiled
        self._spent = 0.0
        self._function: Callable[..., Any] = self._interpret
        self._lock = threading.Lock()
        self.pointwise = tape.rank == 1 and not tape.returned and not tape.extents
        self._point, self._blocks = point, blocks
        self._first, self._last = tape.rank, tape.rank + inputs
        constants, given = len(tape.constants), len(tape.arguments)
        self._given = slice(constants, constants + given)
        self._extents = slice(constants + given, constants + given + len(tape.extents))
        #: The numbers that the head starts with; those of the arguments are still missing.
        self._numbers = np.zeros(self._extents.stop, self._dtype)
        with np.errstate(all="ignore"):
            self._numbers[:constants] = tape.constants
        self._results = np.asarray(tape.results, np.uint32)
        self._in_order = tape.arguments == tuple(range(inputs))
        row = max(1, tape.body_size) * self._dtype.itemsize
        self._block = _power_of_two(_REGISTER_BYTES // row, _SMALLEST_BLOCK, _LARGEST_BLOCK)

    def __call__(self, *values: Value) -> Any:
        """Compute the outputs."""
        if self._compiled is None:
            return self._function(*values)
        # Whoever compiles when as much time was spent as that takes, loses at most as much.
        if self._spent > self._compiled.seconds:
            self._give_way()
            return self._function(*values)
        start = time.perf_counter()
        outputs = self._function(*values)
        self._spent += time.perf_counter() - start
        return outputs

    def _give_way(self) -> None:
        """Let compiled code take over, once for all threads."""
        with self._lock:
            if self._compiled is not None:
                self._function = self._compiled.make()
                self._compiled = None

    def _interpret(self, *values: Value) -> Any:
        tape = self._tape
        inputs = values if not tape.rank else values[self._first : self._last]
        results = self._run_head(inputs, values)
        if self._blocks is not None:
            self._run_body(self._blocks, inputs, values, results[tape.returned :])
            results = results[: tape.returned]
        if tape.returned == 1:
            return results.item()
        return tuple(results.tolist())

    def _run_head(self, inputs: Sequence[Value], values: Sequence[Value]) -> np.ndarray:
        """Return the outputs that do not vary, then what the body needs."""
        tape = self._tape
        numbers = self._numbers.copy()
        numbers[self._given] = (
            inputs if self._in_order else [inputs[position] for position in tape.arguments]
        )
        if tape.extents:
            numbers[self._extents] = [_points(mask, values) for mask in tape.extents]
        if self._point is None:
            return numbers[self._results]
        results = np.empty(len(self._results), self._dtype)
        self._point(self._head, numbers, tape.head_size, self._results, results)
        return results

    def _run_body(
        self,
        run: Callable[..., None],
        inputs: Sequence[Value],
        values: Sequence[Value],
        results: np.ndarray,
    ) -> None:
        """Fill the outputs that vary, some blocks of points at a time."""
        tape = self._tape
        outputs = values[self._last :]
        numbers = np.concatenate([self._numbers[: len(tape.constants)], results])
        arrays = [_spread(inputs[k], axes, tape.axes, values) for k, axes in tape.loads]
        points = _points(tape.axes, values)
        rows = len(arrays) + len(outputs)
        wish = min(_COPY_BYTES // (rows * self._dtype.itemsize), _LAUNCH // len(self._body))
        step = _power_of_two(wish, self._block, points)
        block = min(self._block, points)
        for start in range(0, points, step):
            stop = min(start + step, points)
            loaded = np.empty((len(arrays), stop - start), self._dtype)
            for row, source in zip(loaded, arrays, strict=True):
                row[:] = source[start:stop]
            made = np.empty((len(outputs), stop - start), self._dtype)
            run(self._body, numbers, tape.body_size, block, loaded, made)
            for output, row in zip(outputs, made, strict=True):
                output[start:stop] = row


def _points(mask: int, extents: Sequence[int]) -> int:
    """Return how many points the axes of a mask have."""
    return math.prod(extents[axis] for axis in range(mask.bit_length()) if mask >> axis & 1)


def _spread(array: np.ndarray, axes: int, wanted: int, extents: Sequence[int]) -> np.ndarray:
    """Return a flat array over some axes repeated over all that are wanted."""
    if axes == wanted:
        return array
    places = [axis for axis in range(wanted.bit_length()) if wanted >> axis & 1]
    own = [extents[axis] if axes >> axis & 1 else 1 for axis in places]
    return np.broadcast_to(array.reshape(own), [extents[axis] for axis in places]).reshape(-1)


def _power_of_two(wish: int, least: int, most: int) -> int:
    """Return the largest power of two up to `wish`, between two limits."""
    return max(least, min(most, 1 << max(0, wish.bit_length() - 1)))
