"""How tensors print: as PyTorch prints them, with float64 as the default type.

The rules are those of torch/_tensor_str.py: one format for all elements, chosen by the
largest and the smallest of them; four digits; 80 columns; three items at each edge where
there are more than a thousand elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["show"]

_PRECISION = 4
_EDGE = 3
_THRESHOLD = 1000
_WIDTH = 80
_PREFIX = "tensor("

Formatter = Callable[[Any], str]


def show(array: np.ndarray, suffix: str = "") -> str:
    """Return the text of a tensor.

    Args:
        array: its data.
        suffix: what stands at the end, such as ``requires_grad=True``.

    >>> show(np.array([1.0, 0.5]))
    'tensor([1.0000, 0.5000])'
    """
    suffixes = []
    if not array.size:
        body = "[]"
        if array.ndim != 1:
            suffixes.append(f"size={array.shape}")
        if array.dtype != np.float64:
            suffixes.append(f"dtype=symgrad.{array.dtype}")
    else:
        summarize = array.size > _THRESHOLD
        width, format_one = _formatter(_edges(array) if summarize else array)
        body = _nested(array, len(_PREFIX), summarize, width, format_one)
        if array.dtype == np.float32:
            suffixes.append("dtype=symgrad.float32")
    if suffix:
        suffixes.append(suffix)
    return _joined(_PREFIX + body, suffixes)


def _formatter(array: np.ndarray) -> tuple[int, Formatter]:
    """Return the width of the elements and what formats one."""
    if array.dtype.kind != "f":
        width = max(len(str(value)) for value in array.reshape(-1).tolist())
        return width, lambda value: str(value).rjust(width)
    shown = array[np.isfinite(array) & (array != 0)]
    whole = bool(np.all(shown == np.ceil(shown)))
    values = shown.tolist()
    if values and _scientific(np.abs(shown)):
        width = max(1, *(len(f"{value:.{_PRECISION}e}") for value in values))
        return width, lambda value: f"{value:{width}.{_PRECISION}e}"
    if whole:
        width = max([1, *(len(f"{value:.0f}") + 1 for value in values)])

        def format_whole(value: float) -> str:
            return f"{value:.0f}{'.' if math.isfinite(value) else ''}".rjust(width)

        return width, format_whole
    width = max([1, *(len(f"{value:.{_PRECISION}f}") for value in values)])
    return width, lambda value: f"{value:.{_PRECISION}f}".rjust(width)


def _scientific(magnitudes: np.ndarray) -> bool:
    least, largest = magnitudes.min(), magnitudes.max()
    with np.errstate(over="ignore"):
        return bool(largest / least > 1000.0 or largest > 1.0e8 or least < 1.0e-4)


def _edges(array: np.ndarray) -> np.ndarray:
    """Return the elements that are shown of a large array."""
    for axis, length in enumerate(array.shape):
        if length > 2 * _EDGE:
            ends = [*range(_EDGE), *range(length - _EDGE, length)]
            array = array.take(ends, axis=axis)
    return array


def _nested(
    array: np.ndarray, indent: int, summarize: bool, width: int, format_one: Formatter
) -> str:
    """Return the elements in nested brackets."""
    if array.ndim == 0:
        return format_one(array.item())
    if array.ndim == 1:
        return _vector(array, indent, summarize, width, format_one)
    rows: list[Any] = list(array)
    if summarize and len(rows) > 2 * _EDGE:
        rows = [*rows[:_EDGE], None, *rows[-_EDGE:]]
    parts = [
        "..." if row is None else _nested(row, indent + 1, summarize, width, format_one)
        for row in rows
    ]
    separator = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return f"[{separator.join(parts)}]"


def _vector(
    array: np.ndarray, indent: int, summarize: bool, width: int, format_one: Formatter
) -> str:
    if summarize and len(array) > 2 * _EDGE:
        first = [format_one(value) for value in array[:_EDGE].tolist()]
        last = [format_one(value) for value in array[-_EDGE:].tolist()]
        items = [*first, " ...", *last]
    else:
        items = [format_one(value) for value in array.tolist()]
    in_line = max(1, (_WIDTH - indent) // (width + 2))
    lines = [", ".join(items[k : k + in_line]) for k in range(0, len(items), in_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _joined(text: str, suffixes: list[str]) -> str:
    """Append the suffixes, on a new line where the last one is full."""
    indent = len(_PREFIX)
    # One more than there are characters, as PyTorch counts.
    length = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if length + len(suffix) + 2 > _WIDTH:
            text += ",\n" + " " * indent + suffix
            length = indent + len(suffix)
        else:
            text += ", " + suffix
            length += len(suffix) + 2
    return text + ")"
