"""The schedule: where every node of a Graph is computed.

A kernel is a list of sections. A section first computes values that have no axes and then
runs loop nests; the results of reductions in one section are available from the next. What
does not vary over an axis is computed outside its loop, everything that shares its axes is
fused into one nest, and a nest is split only where a reduction feeds something that varies.
A value that two sections need is computed in both: reading it back would cost an array.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..graph.node import Graph, Node, ancestors

__all__ = ["Nest", "Schedule", "Section", "schedule"]


@dataclass(slots=True)
class Nest:
    """Loops inside each other over the same points.

    Attributes:
        axes: the array axes of the loops, outermost first.
        bodies: nodes to compute inside the first d+1 loops, in order.
        totals: reductions to accumulate inside the first d+1 loops.
        stores: outputs to write inside the first d+1 loops.
    """

    axes: tuple[int, ...]
    bodies: list[list[Node]] = field(default_factory=list)
    totals: list[list[Node]] = field(default_factory=list)
    stores: list[list[tuple[str, Node]]] = field(default_factory=list)

    def depth(self, mask: int) -> int:
        """Return how many loops surround a value that varies over `mask`, less one."""
        return max(place for place, axis in enumerate(self.axes) if mask >> axis & 1)


@dataclass(slots=True)
class Section:
    """Values without axes, then loop nests."""

    scalars: list[Node] = field(default_factory=list)
    nests: list[Nest] = field(default_factory=list)


@dataclass(slots=True)
class Schedule:
    """All sections of a kernel in order.

    Attributes:
        sections: the code in order.
        buffers: reductions whose result still varies and so needs an array.
        scalars: outputs without axes, which the kernel returns.
        arrays: outputs with axes, which the kernel writes.
    """

    sections: list[Section]
    buffers: list[Node]
    scalars: list[tuple[str, Node]]
    arrays: list[tuple[str, Node]]


def schedule(graph: Graph) -> Schedule:
    """Return the schedule of a Graph."""
    order = graph.nodes()
    phase = _phases(order)
    scalars = [(name, node) for name, node, _ in graph.outputs if not node.axes]
    arrays = [(name, node) for name, node, _ in graph.outputs if node.axes]
    sections = [Section() for _ in range(1 + max(phase.values(), default=0))]
    for node in order:
        if not node.axes and node.op not in ("reduce", "input"):
            sections[phase[node]].scalars.append(node)
    roots: list[dict[int, tuple[list[Node], list[tuple[str, Node]]]]] = [{} for _ in sections]
    for node in order:
        if node.op == "reduce":
            operand = node.operands[0]
            roots[phase[operand]].setdefault(operand.axes, ([], []))[0].append(node)
    summed: set[Node] = set()
    for name, node in arrays:
        if node.op == "reduce" and node not in summed:
            # The first output that is a sum is where the sum is accumulated.
            summed.add(node)
            continue
        roots[phase[node]].setdefault(node.axes, ([], []))[1].append((name, node))
    for section, wanted in zip(sections, roots, strict=True):
        section.nests = _nests(wanted)
    buffers = [node for node in order if node.op == "reduce" and node.axes]
    return Schedule(sections, buffers, scalars, arrays)


def _phases(order: Iterable[Node]) -> dict[Node, int]:
    """Return the section in which every node is first available."""
    phase: dict[Node, int] = {}
    for node in order:
        latest = max((phase[operand] for operand in node.operands), default=0)
        phase[node] = latest + (node.op == "reduce")
    return phase


def _nests(roots: dict[int, tuple[list[Node], list[tuple[str, Node]]]]) -> list[Nest]:
    """Group the roots of one section: those over leading axes of a nest join it."""
    nests: list[Nest] = []
    for mask in sorted(roots, key=lambda mask: (-mask.bit_count(), mask)):
        axes = _axes(mask)
        for nest in nests:
            if nest.axes[: len(axes)] == axes:
                break
        else:
            nest = Nest(axes, *([[] for _ in axes] for _ in range(3)))  # type: ignore[arg-type]
            nests.append(nest)
        totals, stores = roots[mask]
        depth = nest.depth(mask)
        nest.totals[depth].extend(totals)
        nest.stores[depth].extend(stores)
    for nest in nests:
        _fill(nest)
    return nests


def _axes(mask: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(mask.bit_length()) if mask >> axis & 1)


def _fill(nest: Nest) -> None:
    """Place what the roots of a nest need, each value in the outermost loop possible."""
    roots = [node.operands[0] for level in nest.totals for node in level]
    roots += [node for level in nest.stores for _, node in level]
    available = {n for n in ancestors(roots) if not n.axes or n.op == "reduce"}
    for node in ancestors(roots, available):
        if node not in available:
            nest.bodies[nest.depth(node.axes)].append(node)
