"""Counting operations, the measure of work that does not depend on a machine."""

from __future__ import annotations

from .node import Graph

__all__ = ["operations"]

_FREE = frozenset({"number", "constant", "truth", "input", "step", "broadcast", "extent"})


def operations(graph: Graph) -> int:
    """Return how many operations computing the outputs once, at one point, takes.

    An arithmetic operation, a function call, a comparison and a selection count one each;
    literals, names and copies count nothing.
    """
    return sum(node.op not in _FREE for node in graph.nodes())
