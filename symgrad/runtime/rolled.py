"""Running rolled code: its tables as arrays, points in blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .buffers import empty

__all__ = ["RolledKernel"]

#: How many values the table of a block of points may hold, if one point has less.
_TABLE = 1 << 15
#: About how many values one launch computes.
_LAUNCH = 1 << 22


class RolledKernel:
    """Compiled rolled code with its tables, for rows of inputs and rows of outputs.

    Attributes:
        source: the text of its module.
        outputs: how many outputs there are.
    """

    def __init__(
        self,
        source: str,
        function: Callable[..., None],
        segments: Sequence[tuple[int, int, int, Sequence[Sequence[int]]]],
        literals: Sequence[float],
        size: int,
        results: Sequence[int],
        lanes: int,
    ) -> None:
        """Lay the tables out.

        Args:
            source: the text of the module.
            function: its function ``run``.
            segments: shape, count, target and operands of every segment, in order.
            literals: the numbers after the inputs in the table.
            size: how long the table is.
            results: where in it the outputs are.
            lanes: how many values the code computes at a time, the most points in a block.
        """
        self.source = source
        self._lanes = lanes
        self.outputs = len(results)
        self._function = function
        self._literals = np.array(literals, np.float64)
        self._size = size
        self._results = np.array(results, np.uint32)
        rows: list[tuple[int, int, int, int]] = []
        leaves: list[tuple[int, int]] = []
        gathered: list[np.ndarray] = [np.empty(0, np.uint32)]
        at = 0
        for shape, count, target, operands in segments:
            rows.append((shape, count, target, len(leaves)))
            for places in operands:
                column = np.array(places, np.uint32)
                if np.array_equal(column, np.arange(column[0], column[0] + count)):
                    leaves.append((places[0], 0))
                else:
                    leaves.append((-1, at))
                    gathered.append(column)
                    at += count
        self._count = len(rows)
        self._segments = np.array(rows, np.int64).reshape(-1)
        self._leaves = np.array(leaves, np.int64).reshape(-1)
        self._operands = np.concatenate(gathered)

    def __call__(self, inputs: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs, one row for each row of inputs.

        Args:
            inputs: doubles, one row for each point, contiguous.
            out: a contiguous array for the result.
        """
        points = inputs.shape[0]
        outputs: np.ndarray[Any, Any]
        if out is None:
            outputs = empty(points * self.outputs, inputs.dtype).reshape(points, self.outputs)
        else:
            outputs = out
        block = max(1, min(points, self._lanes, _TABLE // max(1, self._size)))
        values = empty(self._size * block, inputs.dtype)
        # Between launches the interpreter runs, so that Ctrl-C works.
        launch = block * max(1, _LAUNCH // (block * max(1, self._size)))
        for start in range(0, points, launch):
            rows = slice(start, start + launch)
            part = inputs[rows]
            self._function(
                *(len(part), part.shape[1], len(self._literals), self._count, self.outputs),
                *(block, self._lanes // block),
                *(part.reshape(-1), outputs[rows].reshape(-1)),
                *(self._segments, self._leaves, self._operands),
                *(self._literals, self._results, values),
            )
        return outputs
