"""How flat outputs are handed to the caller, and where the arrays of `out=` belong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .calculus.transform import Block, Packing, Sparse
from .errors import ShapeError
from .sparse import matrix

__all__ = ["destinations", "is_plain", "pack", "pack_numbers"]

Value = Any  # a number or an array


def pack(packing: Packing, outputs: Sequence[Value]) -> Any:
    """Hand outputs to the caller as the packing says.

    >>> pack((Block(0), (Block(1), Block(2))), [1.0, 2.0, 3.0])
    (1.0, (2.0, 3.0))
    """
    if isinstance(packing, Block):
        start, shape = packing
        if not shape:
            return outputs[start]
        size = math.prod(shape)
        entries = outputs[start : start + size]
        if size and not any(isinstance(entry, np.ndarray) for entry in entries):
            return np.array(entries).reshape(shape)
        parts = np.broadcast_arrays(*entries) if size else []
        stacked = np.stack(parts, axis=-1) if size else np.empty(0)
        return stacked.reshape((*stacked.shape[:-1], *shape))
    if isinstance(packing, Sparse):
        stop = packing.start + packing.indices.size
        return matrix(packing, np.array(outputs[packing.start : stop]))
    return tuple(pack(part, outputs) for part in packing)


def pack_numbers(packing: Packing, outputs: Sequence[float], dtype: np.dtype) -> Any:
    """Hand outputs that are all numbers to the caller, as values of a type.

    >>> pack_numbers((Block(0), Block(1, (2,))), (1.0, 2.0, 3.0), np.dtype(float))
    (np.float64(1.0), array([2., 3.]))
    """
    if isinstance(packing, Block):
        start, shape = packing
        if not shape:
            return dtype.type(outputs[start])
        return np.array(outputs[start : start + math.prod(shape)], dtype).reshape(shape)
    if isinstance(packing, Sparse):
        stop = packing.start + packing.indices.size
        return matrix(packing, np.array(outputs[packing.start : stop], dtype))
    return tuple(pack_numbers(part, outputs, dtype) for part in packing)


def is_plain(packing: Packing) -> bool:
    """Tell whether no outputs are stacked."""
    if isinstance(packing, Block):
        return not packing.shape
    if isinstance(packing, Sparse):
        return False
    return all(map(is_plain, packing))


def destinations(packing: Packing, out: Any, name: str) -> Iterator[tuple[int, Any, str]]:
    """Yield the number of an output, the array that receives it, and what to call it.

    Raises:
        ShapeError: `out` has not the form of the packing.
    """
    if isinstance(packing, Block):
        if packing.shape:
            raise ShapeError("out= is not for results that are stacked, such as a Jacobian")
        if isinstance(out, tuple) and len(out) == 1:
            (out,) = out
        if out is not None:
            yield packing.start, out, name
        return
    if isinstance(packing, Sparse):
        raise ShapeError("out= is not for sparse results called so: see symgrad.packed")
    if not isinstance(out, tuple | list) or len(out) != len(packing):
        kind = f"{len(out)} items" if isinstance(out, tuple | list) else type(out).__name__
        raise ShapeError(f"{name} must be a tuple of {len(packing)} items, not {kind}")
    for number, (part, item) in enumerate(zip(packing, out, strict=True)):
        yield from destinations(part, item, f"{name}[{number}]")
