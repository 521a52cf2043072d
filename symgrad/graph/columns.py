"""The nodes of a Builder as arrays, for what is asked about all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from ..language.functions import FUNCTIONS

if TYPE_CHECKING:
    from .node import Node

__all__ = ["CODES", "OPERATIONS", "Columns"]

#: All operations; what the function table does not list is described in `symgrad.graph.node`.
OPERATIONS = (
    *("number", "constant", "truth", "input", "step", "broadcast", "reduce", "extent", "shift"),
    *FUNCTIONS,
)
#: The place of every operation in `OPERATIONS`.
CODES = {op: code for code, op in enumerate(OPERATIONS)}

#: So many nodes are looked at without asking whether somebody has pressed Ctrl-C.
_PIECE = 50_000

_op = attrgetter("op")
_axes = attrgetter("axes")
_index = attrgetter("index")
_operands = attrgetter("operands")


class Columns:
    """What nodes consist of, by their indices; nodes never change, so that it only grows.

    Attributes:
        codes: the operations, as places in `OPERATIONS`.
        axes: masks of the axes.
        starts: where the operands of every node begin among all operands; one entry more is
            the end of the last.
        operands: the indices of all operands.
    """

    def __init__(self) -> None:
        """Start without nodes."""
        self.codes = np.empty(0, np.uint16)
        self.axes = np.empty(0, np.uint64)
        self.starts = np.zeros(1, np.int32)
        self.operands = np.empty(0, np.int32)

    def __len__(self) -> int:
        return len(self.codes)

    def extend(self, nodes: Sequence[Node]) -> None:
        """Append nodes, one or more."""
        pieces = [_columns(nodes[k : k + _PIECE]) for k in range(0, len(nodes), _PIECE)]
        codes, axes, counts, operands = zip(*pieces, strict=True)
        ends = self.starts[-1] + np.cumsum(np.concatenate(counts), dtype=np.int32)
        self.codes = np.concatenate((self.codes, *codes))
        self.axes = np.concatenate((self.axes, *axes))
        self.starts = np.concatenate((self.starts, ends))
        self.operands = np.concatenate((self.operands, *operands))

    def census(self, places: np.ndarray) -> dict[str, int]:
        """Return how many of some nodes there are of every operation that occurs."""
        counts = np.bincount(self.codes[places]).tolist()
        return {op: count for op, count in zip(OPERATIONS, counts, strict=False) if count}

    def needed(self, roots: Sequence[int]) -> np.ndarray:
        """Return the indices of nodes and of all that they need, ascending."""
        if not roots:
            return np.empty(0, np.int32)
        count = max(roots) + 1
        uses = np.bincount(self.operands[: self.starts[count]], minlength=count)
        uses[list(roots)] += 1
        unused = np.nonzero(uses == 0)[0].tolist()
        while unused:
            node = unused.pop()
            for operand in self.operands[self.starts[node] : self.starts[node + 1]].tolist():
                uses[operand] -= 1
                if not uses[operand]:
                    unused.append(operand)
        return np.nonzero(uses)[0].astype(np.int32)


def _columns(nodes: Sequence[Node]) -> tuple[np.ndarray, ...]:
    """Return the operations, axes, numbers of operands and operands of nodes."""
    operands = list(map(_operands, nodes))
    return (
        np.fromiter(map(CODES.__getitem__, map(_op, nodes)), np.uint16),
        np.fromiter(map(_axes, nodes), np.uint64),
        np.fromiter(map(len, operands), np.int32),
        np.fromiter(map(_index, chain.from_iterable(operands)), np.int32),
    )
