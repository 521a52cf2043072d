"""Tensors of a given shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .node import BOOL, FLOAT32, FLOAT64, INT64
from .tensor import Tensor, tensor

__all__ = [
    "arange",
    "bool_",
    "float32",
    "float64",
    "from_numpy",
    "full",
    "int64",
    "linspace",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]

float64 = FLOAT64
float32 = FLOAT32
int64 = INT64
bool_ = BOOL


def _shape(shape: Sequence[Any]) -> tuple[int, ...]:
    """Return a shape given as numbers or as one sequence."""
    if len(shape) == 1 and not isinstance(shape[0], int):
        return tuple(shape[0])
    return tuple(shape)


def zeros(*shape: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of zeros.

    >>> zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return tensor(np.zeros(_shape(shape)), dtype=dtype, requires_grad=requires_grad)


def ones(*shape: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor of ones."""
    return tensor(np.ones(_shape(shape)), dtype=dtype, requires_grad=requires_grad)


def full(
    shape: Sequence[int], value: Any, *, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor with the same value everywhere."""
    return tensor(np.full(tuple(shape), value), dtype=dtype, requires_grad=requires_grad)


def zeros_like(other: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Return zeros in the shape and type of another tensor."""
    wanted = other.dtype if dtype is None else dtype
    return zeros(other.shape, dtype=wanted, requires_grad=requires_grad)


def ones_like(other: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Return ones in the shape and type of another tensor."""
    wanted = other.dtype if dtype is None else dtype
    return ones(other.shape, dtype=wanted, requires_grad=requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the numbers from `start` up to and without `end`.

    >>> arange(4)
    tensor([0, 1, 2, 3])
    """
    first, last = (0, start) if end is None else (start, end)
    return tensor(np.arange(first, last, step), dtype=dtype, requires_grad=requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return evenly spaced numbers from `start` to `end`, both included."""
    data = np.linspace(float(start), float(end), steps)
    return tensor(data, dtype=dtype, requires_grad=requires_grad)


def from_numpy(array: np.ndarray) -> Tensor:
    """Return a tensor with a copy of an array."""
    return tensor(array)
