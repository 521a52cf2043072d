"""Counting operations, the measure of work that does not depend on a machine."""

from __future__ import annotations

from .node import Graph, Node, ancestors

__all__ = ["FREE", "operations", "tree_size"]

#: Operations that take no work.
FREE = frozenset(
    {"number", "constant", "truth", "input", "step", "broadcast", "extent", "shift"}
)


def operations(graph: Graph) -> int:
    """Return how many operations computing the outputs once, at one point, takes.

    An arithmetic operation, a function call, a comparison and a selection count one each;
    literals, names and copies count nothing.
    """
    return sum(count for op, count in graph.census().items() if op not in FREE)


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
        sizes[node] = below + (node.op not in FREE)
    return sizes[root]
