"""A Function as tensors call it: values in, a flat list of values out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..compiler import Variant
from ..function import Function
from .node import FLOAT64, Array

__all__ = ["Routine"]

_DOUBLE = frozenset({float})


class Routine:
    """Runs the kernels of a Function, with a short way for numbers.

    Attributes:
        function: the Function.
    """

    __slots__ = ("_many", "_numbers", "function")

    def __init__(self, function: Function) -> None:
        """Wrap a Function; nothing is compiled before the first run."""
        self.function = function
        self._numbers: Callable[..., Any] | None = None
        self._many = False

    def run(self, values: Sequence[Array], dtype: np.dtype) -> Sequence[Array]:
        """Return all results for the values of nodes, computed in `dtype`."""
        if _DOUBLE.issuperset(map(type, values)):
            numbers = self._numbers or self._number_path()
            return numbers(*values) if self._many else (numbers(*values),)
        return _flat(self.shaped(values, dtype))

    def shaped(self, values: Sequence[Array], dtype: np.dtype) -> Any:
        """Return the results as the Function packs them."""
        return self.function(*[_argument(value, dtype) for value in values])

    def _number_path(self) -> Callable[..., Any]:
        variant = Variant((0,) * len(self.function.program.inputs))
        kernel = self.function.for_call(variant).kernel
        self._many = kernel.returned != 1
        if kernel.lasting:
            self._numbers = kernel.entry
        return kernel.entry


def _argument(value: Array, dtype: np.dtype) -> Array:
    """Return a value as an argument that makes the Function compute in `dtype`."""
    if type(value) is float:
        # A Python number adapts to arrays of float32, a NumPy scalar does not.
        return np.float64(value) if dtype is FLOAT64 else value
    return value if value.dtype.kind == "f" else value.astype(dtype)


def _flat(result: Any) -> list[Array]:
    """Return the values in nested tuples in order."""
    if not isinstance(result, tuple):
        return [result]
    return [value for part in result for value in _flat(part)]
