"""Jacobians by the elimination of vertices.

The linearised Graph has an edge from every operand to every node that uses it, and on the
edge the local partial. Eliminating a node joins the edges into it with those out of it, a
product for each pair, and sums what meets; when only targets and outputs are left, the edges
between them are the Jacobian. The order decides how many operations that takes: operands
first is forward mode, outputs first would be reverse mode, and the node with the fewest pairs
first (Markowitz's rule) is a mixture of both (Griewank and Walther, Evaluating Derivatives,
2nd ed., chapter 9). Only entries that are structurally not zero are ever touched, so a sparse
Jacobian takes work in proportion to its entries and the edges that lead to them; colouring
its columns, which saves products where a Jacobian is known by products only, would cost a
whole forward sweep for each colour.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence

from ..graph.algebra import exact
from ..graph.count import work
from ..graph.node import BOOLEAN, Builder, Node, ancestors
from .guarded import Guarded, combine, scale, select
from .pullback import dependent, pull_back
from .sweep import adjoints

__all__ = ["MODES", "Entries", "jacobian_entries"]

#: The derivative of an output by a target, by the numbers of both, in order of rows.
Entries = dict[tuple[int, int], Node]

#: The ways to form a Jacobian.
MODES = ("mixture", "forward", "reverse")

#: In Graphs of more nodes modes are not compared.
_LARGE = 10_000
#: Where it takes more joined pairs of edges or visited nodes, a mode is given up.
_LIMIT = 20_000

_Vertex = int
_Edges = dict[_Vertex, list[Guarded]]


def jacobian_entries(
    b: Builder,
    outputs: Sequence[Node],
    targets: Sequence[Node],
    *,
    mode: str | None = None,
    symmetric: bool = False,
) -> Entries:
    """Return the derivatives of outputs by targets that are not 0, point by point.

    Args:
        b: the Builder of the nodes.
        outputs: nodes that contain no reductions.
        targets: inputs, steps or any other nodes.
        mode: one of `MODES`; None takes the one with the fewest operations. Where comparing
            would take long, that is the mixture, or reverse mode for a single output.
        symmetric: the outputs are a gradient by the targets: of two entries that are equal
            only the one of the earlier row is derived, and both are returned.
    """
    if mode is None and len(ancestors(outputs)) > _LARGE:
        mode = "reverse" if len(outputs) == 1 else "mixture"
    if mode is not None:
        entries = _formed(b, outputs, targets, symmetric, mode, math.inf)
        return entries or {}
    best: Entries = {}
    cost = math.inf
    for candidate in MODES:
        limit = math.inf if candidate == "mixture" else _LIMIT
        entries = _formed(b, outputs, targets, symmetric, candidate, limit)
        if entries is not None and _cost(entries) < cost:
            best, cost = entries, _cost(entries)
    return best


def _formed(
    b: Builder,
    outputs: Sequence[Node],
    targets: Sequence[Node],
    symmetric: bool,
    mode: str,
    limit: float,
) -> Entries | None:
    """Return the entries by one mode; None if that takes more work than the limit."""
    if mode == "reverse":
        return _swept(b, outputs, targets, symmetric, limit)
    linearised = _Linearised(b, outputs, targets, symmetric)
    return linearised.entries() if linearised.eliminate(mode, limit) else None


def _swept(
    b: Builder,
    outputs: Sequence[Node],
    targets: Sequence[Node],
    symmetric: bool,
    limit: float,
) -> Entries | None:
    """Return the entries by one reverse sweep for each output."""
    visited = 0
    entries: Entries = {}
    for row, output in enumerate(outputs):
        visited += len(ancestors([output])) + len(targets)
        if visited > limit:
            return None
        first = row if symmetric else 0
        seeds = [(output, b.number(1))]
        for column, entry in enumerate(
            adjoints(b, seeds, targets[first:], pointwise=True), start=first
        ):
            _enter(entries, row, column, entry, symmetric)
    return dict(sorted(entries.items()))


def _enter(entries: Entries, row: int, column: int, entry: Node, symmetric: bool) -> None:
    if exact(entry) != 0:
        entries[row, column] = entry
        if symmetric:
            entries[column, row] = entry


def _cost(entries: Entries) -> int:
    """Return how many operations all entries together take."""
    return sum(work(node.op) for node in ancestors(entries.values()))


class _Linearised:
    """The edges of the linearised Graph, with a vertex for every target and output.

    Nodes have even numbers in their order, and a quotient has its numerator's dx - z*dy as a
    vertex before it, so that it divides once. Below 0 are the targets, which have an edge of
    1 to the node that they stand for: a step can be a target and on the way from another.
    Beyond all nodes are the outputs.
    """

    def __init__(
        self, b: Builder, outputs: Sequence[Node], targets: Sequence[Node], symmetric: bool
    ) -> None:
        self.b = b
        self.symmetric = symmetric
        self.rows = len(outputs)
        self.joined = 0
        self.base = 2 * len(b)
        self.into: dict[_Vertex, _Edges] = {}
        self.out: dict[_Vertex, set[_Vertex]] = {}
        order = ancestors(outputs)
        active = _between(order, targets, outputs)
        self.vertices: dict[_Vertex, Node] = {}
        one = b.number(1)
        origin = b.origin
        for node in order:
            if node in active:
                b.origin = node.origin
                self._linearise(node, active)
        b.origin = origin
        for number, target in enumerate(targets):
            if target in active:
                self._add(~number, 2 * target.index, ((), one))
        for number, output in enumerate(outputs):
            if output in active:
                self._add(2 * output.index, self.base + number, ((), one))

    def _linearise(self, node: Node, active: set[Node]) -> None:
        """Add the edges into a node."""
        b = self.b
        vertex = 2 * node.index
        one = b.number(1)
        if node.op != "div":
            for operand, partial in pull_back(b, node, ((), one), active, "kernel"):
                if operand in active:
                    self._add(2 * operand.index, vertex, partial)
        else:
            above, below = node.operands
            numerator = vertex - 1
            self.vertices[numerator] = node
            self._add(numerator, vertex, ((), b.apply("div", one, below)))
            if above in active:
                self._add(2 * above.index, numerator, ((), one))
            if below in active:
                self._add(2 * below.index, numerator, ((), b.apply("neg", node)))
        self.vertices[vertex] = node

    def _add(self, source: _Vertex, sink: _Vertex, partial: Guarded) -> None:
        """Add a partial to an edge; those of parallel edges are summed when it is used."""
        if self.symmetric and source < 0 and ~source < sink - self.base:
            return
        self.into.setdefault(sink, {}).setdefault(source, []).append(partial)
        self.out.setdefault(source, set()).add(sink)

    def eliminate(self, mode: str, limit: float) -> bool:
        """Eliminate all nodes; False if that would join more pairs than the limit."""
        b = self.b
        origin = b.origin
        for vertex in self.vertices if mode == "forward" else self._cheapest_first():
            if self.joined > limit:
                break
            node = self.vertices[vertex]
            b.origin = node.origin
            self._eliminate(vertex)
        b.origin = origin
        return self.joined <= limit

    def entries(self) -> Entries:
        """Return the edges between targets and outputs when nothing else is left."""
        b = self.b
        entries: Entries = {}
        for row in range(self.rows):
            for source, terms in self.into.get(self.base + row, {}).items():
                total = select(b, combine(b, terms))
                _enter(entries, row, ~source, total, self.symmetric)
        return dict(sorted(entries.items()))

    def _cheapest_first(self) -> Iterator[_Vertex]:
        """Yield the vertex with the fewest pairs of edges; of equal ones the latest."""
        pairs = {vertex: self._pairs(vertex) for vertex in self.vertices}
        queue = [(count, -vertex) for vertex, count in pairs.items()]
        heapq.heapify(queue)
        while queue:
            count, negative = heapq.heappop(queue)
            vertex = -negative
            if pairs.get(vertex) != count:
                continue
            del pairs[vertex]
            neighbours = sorted({*self.into.get(vertex, ()), *self.out.get(vertex, ())})
            yield vertex
            for other in neighbours:
                if other in pairs:
                    count = self._pairs(other)
                    if count != pairs[other]:
                        pairs[other] = count
                        heapq.heappush(queue, (count, -other))

    def _pairs(self, vertex: _Vertex) -> int:
        return len(self.into.get(vertex, ())) * len(self.out.get(vertex, ()))

    def _eliminate(self, vertex: _Vertex) -> None:
        """Join every edge into a vertex with every edge out of it."""
        b = self.b
        sources = [
            (source, combine(b, terms)) for source, terms in self.into.pop(vertex, {}).items()
        ]
        for source, _ in sources:
            self.out[source].discard(vertex)
        for sink in sorted(self.out.pop(vertex, ())):
            outer = combine(b, self.into[sink].pop(vertex))
            above = len(outer[0])
            self.joined += len(sources)
            for source, (guard, value) in sources:
                product = scale(b, outer, value)
                if product is not None:
                    joint = (*outer[0], *guard, *product[0][above:])
                    self._add(source, sink, (joint, product[1]))


def _between(
    order: Sequence[Node], targets: Sequence[Node], outputs: Sequence[Node]
) -> set[Node]:
    """Return the nodes on the ways from targets to outputs that a derivative can take."""
    reached = dependent(order, targets, ())
    needed = set(outputs)
    for node in reversed(order):
        if node in needed and node in reached and node.op not in BOOLEAN:
            needed.update(node.operands)
    return {node for node in reached if node in needed and node.op not in BOOLEAN}
