"""Memory for large results, taken from results that nobody holds any more.

A fresh array of megabytes costs as much as computing it: the system hands out its pages one
by one as they are first written. So the memory of a large result comes back here when the
last array that looks at it is gone, and the next result of that size takes it. Small results
and very large ones are NumPy's business.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

__all__ = ["LEAST", "aligned", "empty", "until_aligned"]

#: The size in bytes from which the pool cares for a result.
LEAST = 1 << 18
#: How many bytes wait for reuse at most, and the largest result that is kept.
_CAPACITY = 1 << 26
#: The bytes of the widest vectors.
_ALIGNED = 64


class _Pool:
    """Free blocks by their size; the size used longest ago is given up first.

    Nobody ever waits: a finaliser can run while its own thread holds the lock, and a fork
    can copy a lock that is held. Who does not get it does without the pool.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.free: OrderedDict[int, list[np.ndarray]] = OrderedDict()
        self.bytes = 0

    def take(self, size: int) -> np.ndarray | None:
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

    def give(self, block: np.ndarray) -> None:
        if not self.lock.acquire(blocking=False):
            return
        try:
            self.free.setdefault(block.nbytes, []).append(block)
            self.free.move_to_end(block.nbytes)
            self.bytes += block.nbytes
            while self.bytes > _CAPACITY:
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

    def __init__(self, block: np.ndarray) -> None:
        self.block = block
        self.__array_interface__: dict[str, Any] = block.__array_interface__

    def __del__(self, pool: _Pool = _pool) -> None:
        pool.give(self.block)


def until_aligned(array: np.ndarray) -> int:
    """Return how many elements come before one that begins a line of the cache.

    >>> memory = empty((1 << 16,), np.dtype(float))
    >>> until_aligned(memory), until_aligned(memory[5:])
    (0, 3)
    """
    return -array.ctypes.data % _ALIGNED // array.itemsize


def aligned(nbytes: int) -> np.ndarray:
    """Return new memory that begins where the widest vectors, and lines of the cache, do.

    >>> until_aligned(aligned(80).view(float))
    0
    """
    memory = np.empty(nbytes + _ALIGNED, np.uint8)
    skipped = until_aligned(memory)
    return memory[skipped : skipped + nbytes]


def empty(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an uninitialised array.

    A large one borrows its memory from the pool (its flag `owndata` is False) and gives it
    back when the last view of it is gone.

    >>> empty(3, np.dtype(float)).shape
    (3,)
    """
    nbytes = dtype.itemsize * (shape if isinstance(shape, int) else math.prod(shape))
    if not LEAST <= nbytes <= _CAPACITY:
        return np.empty(shape, dtype)
    block = _pool.take(nbytes)
    if block is None:
        block = aligned(nbytes)
    return np.asarray(_Lease(block)).view(dtype).reshape(shape)
