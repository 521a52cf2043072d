"""Counting operations, the measure of work that does not depend on a machine."""

from __future__ import annotations

from .node import Graph, Node, ancestors

__all__ = ["operations", "tree_size", "work"]

_FREE = frozenset(
    {"number", "constant", "truth", "input", "step", "broadcast", "extent", "shift"}
)
_FUSED = frozenset({"fma", "fms", "fnma"})


def work(op: str) -> int:
    """Return how many operations one node counts as.

    An arithmetic operation, a function call, a comparison and a selection count one each; a
    product that is fused with a sum still counts, and literals, names and copies do not.

    >>> work("mul"), work("fma"), work("input")
    (1, 2, 0)
    """
    return 0 if op in _FREE else 2 if op in _FUSED else 1


def operations(graph: Graph) -> int:
    """Return how many operations computing the outputs once, at one point, takes."""
    return sum(count * work(op) for op, count in graph.census().items())


def tree_size(root: Node, *, inline: bool = False) -> int:
    """Return how many operations a node has when it is written out without sharing.

    Args:
        root: the node.
        inline: count what named steps stand for, and not their names.
    """
    steps = () if inline else {n for n in ancestors([root]) if n.op == "step" and n is not root}
    sizes: dict[Node, int] = {}
    for node in ancestors([root], steps):
        below = 0 if node in steps else sum(sizes[operand] for operand in node.operands)
        sizes[node] = below + work(node.op)
    return sizes[root]
