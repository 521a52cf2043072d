"""Memory for large results, taken from results that nobody holds any more.

A fresh array of megabytes costs as much as computing it: the system hands out its pages one
by one as they are first written. So the memory of a large result comes back here when the
last array that looks at it is gone, and the next result of that size takes it. Small results
and very large ones are NumPy's business.

Where in a page of the memory an array begins decides as much. A processor compares addresses by
their last 12 bits first: what it reads looks to it like what it is about to write where these
are the same, and waits; and arrays that begin at the same place of their pages compete for the
same places in the cache. So results begin far from where the inputs do, and a line apart.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["LEAST", "aligned", "empty", "results", "until_aligned"]

#: The size in bytes from which the pool cares for a result.
LEAST = 1 << 18
#: How many bytes wait for reuse at most, and the largest result that is kept.
_CAPACITY = 1 << 26
#: The bytes of the widest vectors, and of a line of the cache.
_LINE = 64
#: The bytes of a page, by which addresses with the same last 12 bits are apart.
_PAGE = 4096


class _Block(NamedTuple):
    """Memory for a result of some bytes, which may begin anywhere in its first page."""

    memory: np.ndarray
    address: int
    nbytes: int


class _Pool:
    """Free blocks by their size; the size used longest ago is given up first.

    Nobody ever waits: a finaliser can run while its own thread holds the lock, and a fork
    can copy a lock that is held. Who does not get it does without the pool. At the end of a
    process finalisers find the names of this module gone, and so the pool knows its size.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self.capacity = capacity
        self.lock = threading.Lock()
        self.free: OrderedDict[int, list[_Block]] = OrderedDict()
        self.bytes = 0

    def take(self, size: int) -> _Block | None:
        if not self.lock.acquire(blocking=False):
            return None
        try:
            blocks = self.free.get(size)
            if not blocks:
                return None
            block = blocks.pop()
            if not blocks:
                del self.free[size]
            self.bytes -= size
            return block
        finally:
            self.lock.release()

    def give(self, block: _Block) -> None:
        if not self.lock.acquire(blocking=False):
            return
        try:
            self.free.setdefault(block.nbytes, []).append(block)
            self.free.move_to_end(block.nbytes)
            self.bytes += block.nbytes
            while self.bytes > self.capacity:
                size, blocks = next(iter(self.free.items()))
                blocks.pop()
                if not blocks:
                    del self.free[size]
                self.bytes -= size
        finally:
            self.lock.release()


_pool = _Pool()


class _Lease:
    """Lends a block to arrays; when the last of them is gone, the block goes back."""

    __slots__ = ("__array_interface__", "block")

    def __init__(self, block: _Block, interface: dict[str, Any]) -> None:
        self.block = block
        self.__array_interface__ = interface

    def __del__(self, pool: _Pool = _pool) -> None:
        pool.give(self.block)


def until_aligned(array: np.ndarray) -> int:
    """Return how many elements come before one that begins a line of the cache.

    >>> memory = empty((1 << 16,), np.dtype(float))
    >>> until_aligned(memory), until_aligned(memory[5:])
    (0, 3)
    """
    return -_address(array) % _LINE // array.itemsize


def aligned(nbytes: int) -> np.ndarray:
    """Return new memory that begins where the widest vectors, and lines of the cache, do.

    >>> until_aligned(aligned(80).view(float))
    0
    """
    memory = np.empty(nbytes + _LINE, np.uint8)
    skipped = until_aligned(memory)
    return memory[skipped : skipped + nbytes]


def _address(array: np.ndarray) -> int:
    """Return the address of the first element, in a third of the time that NumPy takes."""
    # The first field of an array, after what every object begins with: NumPy's C interface.
    place = ctypes.c_void_p.from_address(id(array) + object.__basicsize__)
    return place.value or 0


def _far_from(arrays: Sequence[np.ndarray]) -> int:
    """Return the place in a page that is farthest from where arrays begin, at a line.

    >>> page = np.empty(8192, np.uint8)
    >>> page = page[-page.ctypes.data % 4096:]
    >>> _far_from([page]), _far_from([page, page[1024:]])
    (2048, 2560)
    """
    places = sorted({_address(array) % _PAGE for array in arrays})
    ends = [*places[1:], places[0] + _PAGE]
    gap, start = max((end - start, start) for start, end in zip(places, ends, strict=True))
    return (start + gap // 2) // _LINE * _LINE % _PAGE


def empty(shape: int | tuple[int, ...], dtype: np.dtype, place: int = 0) -> np.ndarray:
    """Return an uninitialised array.

    A large one borrows its memory from the pool (its flag `owndata` is False) and gives it
    back when the last view of it is gone.

    Args:
        shape: its shape.
        dtype: the type of its elements.
        place: where in a page a large one begins, a multiple of a line of the cache.

    >>> empty(3, np.dtype(float)).shape
    (3,)
    >>> empty(1 << 16, np.dtype(float), 320).ctypes.data % 4096
    320
    """
    shape = (shape,) if isinstance(shape, int) else shape
    nbytes = dtype.itemsize * math.prod(shape)
    if not LEAST <= nbytes <= _CAPACITY:
        return np.empty(shape, dtype)
    block = _pool.take(nbytes)
    if block is None:
        memory = np.empty(nbytes + _PAGE, np.uint8)
        block = _Block(memory, _address(memory), nbytes)
    start = block.address + (place - block.address) % _PAGE
    interface = {"data": (start, False), "shape": shape, "typestr": dtype.str, "version": 3}
    return np.asarray(_Lease(block, interface))


def results(
    shapes: Sequence[tuple[int, ...]], dtype: np.dtype, inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return uninitialised arrays for what is computed from inputs.

    >>> [array.shape for array in results([(3,), (4, 5)], np.dtype(float), [])]
    [(3,), (4, 5)]
    """
    largest = max(map(math.prod, shapes), default=0) * dtype.itemsize
    first = 0
    if inputs and largest >= LEAST:
        first = _far_from(inputs) - _LINE * (len(shapes) // 2)
    return [empty(shape, dtype, first + _LINE * k) for k, shape in enumerate(shapes)]
