"""Running tapes: a function with a kernel's calling convention that compiles nothing.

The machines that tapes share are compiled once for an installation, and those with functions of
the C library once for each choice of instructions; they lie in the disk cache as kernels do,
and a tape is data to them. Where it pays in the end, a tape that has run for long gives way to
compiled code, which computes the same bits.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..errors import UnsupportedError
from .buffers import aligned

__all__ = ["Compiled", "Interpreter", "Machines", "Section", "Tape"]

#: Bytes that the registers of blocks may take: they should stay in the cache of a core.
_REGISTER_BYTES = 1 << 18
_SMALLEST_BLOCK, _LARGEST_BLOCK = 32, 512
#: Bytes of the copies of inputs and outputs that exist at a time.
_COPY_BYTES = 1 << 22
#: Operations of one launch: some tenths of a second, between which Ctrl-C works.
_LAUNCH = 1 << 28

Value = Any  # a number or an array


class Section(Protocol):
    """What the runtime needs to know of a section of a tape."""

    head: np.ndarray
    known: int
    body: np.ndarray
    body_size: int
    loads: tuple[tuple[int, int], ...]
    stores: tuple[int, ...]
    totals: tuple[tuple[int, float], ...]


class Tape(Protocol):
    """What the runtime needs to know of a tape; `symgrad.codegen.tape` explains it."""

    constants: tuple[float, ...]
    arguments: tuple[int, ...]
    extents: tuple[int, ...]
    size: int
    returned: tuple[int, ...]
    axes: int
    rank: int

    @property
    def sections(self) -> Sequence[Section]:
        """The sections in order."""


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines that run a tape; those that it does not need may be None.

    Attributes:
        fields: how many numbers an instruction has.
        lanes: how many lanes a reduction has.
        point: runs heads that wait for no reduction.
        wide: runs the others, which compute in doubles.
        blocks: runs bodies.
        fold: combines lanes.
    """

    fields: int
    lanes: int
    point: Callable[..., None] | None
    wide: Callable[..., None] | None
    blocks: Callable[..., None] | None
    fold: Callable[..., None] | None


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
        machines: Machines,
        inputs: int,
        compiled: Compiled | None = None,
    ) -> None:
        """Prepare a tape for its machines.

        Args:
            tape: what to run.
            dtype: the floating-point type of the arithmetic.
            machines: what runs it.
            inputs: how many inputs there are.
            compiled: what takes over when the tape has run for long; None if nothing does.
        """
        self._dtype = np.dtype(dtype)
        self._tape = tape
        self._compiled = compiled
        self._spent = 0.0
        self._function: Callable[..., Any] = self._interpret
        self._lock = threading.Lock()
        self._sections = [
            _Prepared(section, self._dtype, machines, wide=number > 0)
            for number, section in enumerate(tape.sections)
        ]
        totals = any(section.totals for section in tape.sections)
        self.pointwise = tape.rank == 1 and not (tape.returned or tape.extents or totals)
        self._first, self._last = tape.rank, tape.rank + inputs
        constants, given = len(tape.constants), len(tape.arguments)
        self._given = slice(constants, constants + given)
        self._extents = slice(constants + given, constants + given + len(tape.extents))
        with np.errstate(all="ignore"):
            self._constants = np.array(tape.constants, self._dtype).astype(np.float64)
        self._returned = _places(tape.returned)
        self._in_order = tape.arguments == tuple(range(inputs))

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
                # What cannot be compiled goes on as it is.
                with suppress(UnsupportedError):
                    self._function = self._compiled.make()
                self._compiled = None

    def _interpret(self, *values: Value) -> Any:
        if self._dtype == np.float64:
            return self._run(values)
        # Numbers beyond the range of the type become infinite, silently.
        with np.errstate(all="ignore"):
            return self._run(values)

    def _run(self, values: Sequence[Value]) -> Any:
        tape = self._tape
        inputs = values if not tape.rank else values[self._first : self._last]
        numbers = np.empty(tape.size)
        numbers[: self._given.start] = self._constants
        numbers[self._given] = (
            inputs if self._in_order else [inputs[position] for position in tape.arguments]
        )
        if tape.extents:
            numbers[self._extents] = [_points(mask, values) for mask in tape.extents]
        if self._dtype != numbers.dtype:
            given = numbers[self._given.start : self._extents.stop]
            given[:] = given.astype(self._dtype)
        for section in self._sections:
            section.run_head(numbers[: section.known])
            if section.blocks is not None:
                self._run_body(section, section.blocks, inputs, values, numbers)
        results = numbers[self._returned]
        if len(tape.returned) == 1:
            return results.item()
        return tuple(results.tolist())

    def _run_body(
        self,
        section: _Prepared,
        run: Callable[..., None],
        inputs: Sequence[Value],
        values: Sequence[Value],
        numbers: np.ndarray,
    ) -> None:
        """Write outputs and collect what reductions combine, some blocks at a time."""
        tape = self._tape
        outputs = [values[self._last + number] for number in section.stores]
        known = numbers[: section.known].astype(self._dtype, copy=False)
        arrays = [_spread(inputs[k], axes, tape.axes, values) for k, axes in section.loads]
        points = _points(tape.axes, values)
        lanes = section.lanes()
        rows = len(arrays) + len(outputs)
        wish = min(_COPY_BYTES // (rows * self._dtype.itemsize), _LAUNCH // section.body_length)
        step = _power_of_two(wish, section.block, max(points, section.block))
        block = min(section.block, points)
        nbytes = section.body_size * block * self._dtype.itemsize
        registers = aligned(nbytes).view(self._dtype)
        for start in range(0, points, step):
            stop = min(start + step, points)
            loaded = np.empty((len(arrays), stop - start), self._dtype)
            for row, source in zip(loaded, arrays, strict=True):
                row[:] = source[start:stop]
            made = np.empty((len(outputs), stop - start), self._dtype)
            run(
                section.body_length,
                section.body,
                known,
                stop - start,
                block,
                -(-(stop - start) // block),
                loaded.reshape(-1),
                made.reshape(-1),
                lanes.reshape(-1),
                start,
                registers,
            )
            for output, row in zip(outputs, made, strict=True):
                output[start:stop] = row
        section.fold(lanes, numbers)


class _Prepared:
    """A section with its machines."""

    def __init__(
        self, section: Section, dtype: np.dtype, machines: Machines, wide: bool
    ) -> None:
        fields = machines.fields
        self.head, self.head_length = section.head, len(section.head) // fields
        self.known = section.known
        self.point = (machines.wide if wide else machines.point) if len(self.head) else None
        self.dtype = np.dtype(np.float64) if wide else dtype
        self.body, self.body_length = section.body, len(section.body) // fields
        self.body_size = section.body_size
        self.blocks = machines.blocks if len(self.body) else None
        self.loads, self.stores = section.loads, section.stores
        row = max(1, section.body_size) * dtype.itemsize
        most = machines.lanes if section.totals else _LARGEST_BLOCK
        self.block = _power_of_two(_REGISTER_BYTES // row, _SMALLEST_BLOCK, most)
        self.opcodes = np.array([opcode for opcode, _ in section.totals], np.uint32)
        self._starts = np.array([[start] for _, start in section.totals])
        self._width = machines.lanes
        self._fold = machines.fold

    def run_head(self, numbers: np.ndarray) -> None:
        """Compute the results of the head, the last of the numbers."""
        if self.point is None:
            return
        if self.dtype == numbers.dtype:
            self.point(self.head_length, self.head, numbers)
            return
        registers = numbers.astype(self.dtype)
        self.point(self.head_length, self.head, registers)
        numbers[:] = registers

    def lanes(self) -> np.ndarray:
        """Return the lanes of all reductions as they start."""
        lanes = np.empty((len(self.opcodes), self._width))
        if len(lanes):
            lanes[:] = self._starts
        return lanes

    def fold(self, lanes: np.ndarray, numbers: np.ndarray) -> None:
        """Put the results of the reductions where they belong."""
        if self._fold is not None and len(lanes):
            totals = numbers[self.known : self.known + len(lanes)]
            self._fold(len(lanes), lanes.reshape(-1), self.opcodes, totals)


def _places(numbers: Sequence[int]) -> slice | np.ndarray:
    """Return an index for places; those in sequence are a slice."""
    if numbers and tuple(numbers) == tuple(range(numbers[0], numbers[0] + len(numbers))):
        return slice(numbers[0], numbers[0] + len(numbers))
    return np.array(numbers, np.intp)


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
