"""The schedule: where every node of a Graph is computed.

A kernel is a list of sections. A section first computes values that have no axes and then
runs loop nests; the results of reductions in one section are available from the next. What
does not vary over an axis is computed outside its loop, everything that shares its axes is
fused into one nest, and a nest is split only where a reduction feeds something that varies.
A value that two sections need is computed in both: reading it back would cost an array.

A loop with many elementary functions in it is slow: a processor looks some hundred vector
operations ahead, which is not one pass through the loop, and so waits for each result. The
points of a nest are therefore taken in blocks, and the body is cut into strips, short loops
over a block, one after the other. What a later strip needs is kept in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..graph.count import work
from ..graph.node import BOOLEAN, Graph, Node, ancestors

__all__ = ["HEAVY", "Nest", "Schedule", "Section", "Strip", "cut", "rows", "schedule"]

#: A function of so many operations is worth a place of its own in the strips of a loop.
HEAVY = 8
#: How many operations of such functions a strip holds before the next one starts.
_STRIP = 160
#: So many strips at most: Numba looks for variables through all loops, one inside the other.
_STRIPS = 24
#: What takes more operations than this is kept for later strips and not computed again.
_REPEATED = 2
#: From so many other operations on, those after the last function are a strip of their own.
#: Sums gain by it; what is only written has divisions that go beside the work of functions.
_GLUE_OF_SUMS, _GLUE = 8, 32
#: So many operations for each array that is read or written keep vectors busy.
_DENSE = 6
_SLOW = frozenset({"div", "sqrt", "pow"})


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
class Strip:
    """One of the loops over the points of a block.

    Attributes:
        body: nodes to compute, in order.
        reads: nodes of `body`'s operands that an earlier strip has kept.
        keeps: nodes of `body` that a later strip reads.
        totals: reductions to accumulate.
        stores: outputs to write.
    """

    body: list[Node] = field(default_factory=list)
    reads: list[Node] = field(default_factory=list)
    keeps: list[Node] = field(default_factory=list)
    totals: list[Node] = field(default_factory=list)
    stores: list[tuple[str, Node]] = field(default_factory=list)

    def sums(self) -> list[Node]:
        """Return the sums of earlier nests that vary over the points and are needed here."""
        used = [operand for node in self.body for operand in node.operands]
        used += [total.operands[0] for total in self.totals]
        used += [node for _, node in self.stores]
        return list(dict.fromkeys(n for n in used if n.op == "reduce" and n.axes))


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

    def is_dense(self, cost: Callable[[Node], int]) -> bool:
        """Tell whether the innermost loops compute for longer than they read and write.

        Args:
            cost: the number of operations that the function of a node takes.
        """
        nests = [nest for section in self.sections for nest in section.nests]
        inside = [node for nest in nests for node in nest.bodies[-1]]
        if any(cost(node) >= HEAVY for node in inside):
            return True
        count = sum(work(node.op) for node in inside)
        count += sum(len(nest.totals[-1]) for nest in nests)
        read = {node for nest in nests for body in nest.bodies for node in body}
        arrays = len(self.arrays) + sum(node.op == "input" for node in read)
        return count >= _DENSE * arrays > 0


def schedule(graph: Graph) -> Schedule:
    """Return the schedule of a Graph."""
    order = graph.nodes()
    scalars = [(name, node) for name, node, _ in graph.outputs if not node.axes]
    arrays = [(name, node) for name, node, _ in graph.outputs if node.axes]
    sections = [Section() for _ in range(1 + max((node.phase for node in order), default=0))]
    for node in order:
        if not node.axes and node.op not in ("reduce", "input"):
            sections[node.phase].scalars.append(node)
    roots: list[dict[int, tuple[list[Node], list[tuple[str, Node]]]]] = [{} for _ in sections]
    for node in order:
        if node.op == "reduce":
            operand = node.operands[0]
            roots[operand.phase].setdefault(operand.axes, ([], []))[0].append(node)
    summed: set[Node] = set()
    for name, node in arrays:
        if node.op == "reduce" and node not in summed:
            # The first output that is a sum is where the sum is accumulated.
            summed.add(node)
            continue
        roots[node.phase].setdefault(node.axes, ([], []))[1].append((name, node))
    for section, wanted in zip(sections, roots, strict=True):
        section.nests = _nests(wanted)
    buffers = [node for node in order if node.op == "reduce" and node.axes]
    return Schedule(sections, buffers, scalars, arrays)


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


def cut(nest: Nest, cost: Callable[[Node], int], apart: bool = False) -> list[Strip]:
    """Return the strips of a nest over one axis.

    Functions of one depth, by how many others their operands wait for, share strips, those of
    equal operands first of all, since they share work. Everything else is computed where it
    is first needed. If the last strip has no functions, all is summed there: beside functions,
    of several points at a time, the sums would take the registers.

    Args:
        nest: the nest, which has one loop.
        cost: the number of operations that the function of a node takes.
        apart: sums and products are in any case collected in a strip without functions, which
            is never done again.
    """
    inside = nest.bodies[0]
    place = _places(inside, {node: c for node in inside if (c := cost(node)) >= HEAVY})
    totals = nest.totals[0]
    others = sum(work(node.op) for node in inside) - len(place)
    glued = others < (_GLUE_OF_SUMS if totals else _GLUE)
    late = {t for t in totals if not glued or (apart and t.payload in ("sum", "prod"))}
    reach: dict[Node, int] = {}
    for node in inside:
        before = max((reach.get(operand, 0) for operand in node.operands), default=0)
        reach[node] = place.get(node, before)
    count = 1 + max(place.values(), default=-1)
    if not count or late or not glued:
        # Waiting for the last functions, it would hold up those of the next points.
        reach.update({n: count for n in inside if reach[n] == count - 1 and n not in place})
        count += 1
    strips = [Strip() for _ in range(count)]
    roots: list[list[Node]] = [[] for _ in range(count)]
    for node, number in place.items():
        roots[number].append(node)
    for total in totals:
        number = count - 1 if total in late else reach.get(total.operands[0], 0)
        strips[number].totals.append(total)
        roots[number].append(total.operands[0])
    for name, node in nest.stores[0]:
        number = reach.get(node, 0)
        strips[number].stores.append((name, node))
        roots[number].append(node)
    effort = _effort(inside, place)
    outside = {o for node in inside for o in node.operands if o not in reach}
    home: dict[Node, Strip] = {}
    readable: set[Node] = set()
    for strip, ends in zip(strips, roots, strict=True):
        wanted = [n for n in ancestors(ends, readable | outside) if n in reach]
        strip.reads = [node for node in wanted if node in readable]
        strip.body = [node for node in wanted if node not in readable]
        for node in strip.reads:
            if node not in home[node].keeps:
                home[node].keeps.append(node)
        for node in strip.body:
            home.setdefault(node, strip)
        # A step is kept as what it names.
        readable.update(
            n for n in strip.body if n.op != "step" and (n in place or effort[n] > _REPEATED)
        )
    return [strip for strip in strips if strip.totals or strip.stores or strip.keeps]


def rows(strips: list[Strip]) -> dict[Node, int]:
    """Return the row, from 0, in which each value is kept; rows are used again."""
    last: dict[Node, int] = {}
    for number, strip in enumerate(strips):
        last.update(dict.fromkeys(strip.reads, number))
    place: dict[Node, int] = {}
    free: list[int] = []
    count = 0
    for number, strip in enumerate(strips):
        for node in strip.keeps:
            if not free:
                free.append(count)
                count += 1
            place[node] = free.pop()
        free += [place[node] for node in strip.reads if last[node] == number]
    return place


def _places(inside: list[Node], heavy: dict[Node, int]) -> dict[Node, int]:
    """Return the strip of every heavy function."""
    depth: dict[Node, int] = {}
    groups: dict[tuple[int, tuple[Node, ...]], list[Node]] = {}
    for node in inside:
        depth[node] = max(
            (depth.get(operand, 0) + (operand in heavy) for operand in node.operands), default=0
        )
        if node in heavy:
            groups.setdefault((depth[node], node.operands), []).append(node)
    place: dict[Node, int] = {}
    strip, load, last = 0, 0, 0
    for (level, _), nodes in sorted(groups.items(), key=lambda item: item[0][0]):
        weight = max(heavy[node] for node in nodes)
        if load and (level > last or load + weight > _STRIP):
            strip, load = strip + 1, 0
        load, last = load + weight, level
        place.update(dict.fromkeys(nodes, strip))
    count = strip + 1
    if count <= _STRIPS:
        return place
    return {node: number * _STRIPS // count for node, number in place.items()}


def _effort(inside: list[Node], place: dict[Node, int]) -> dict[Node, int]:
    """Return the operations from heavy functions and elements of arrays to a node.

    Conditions count as nothing: a truth value is never kept.
    """
    effort: dict[Node, int] = {}
    for node in inside:
        if node.op == "input" or node in place or node.op in BOOLEAN:
            effort[node] = 0
            continue
        below = sum(effort.get(operand, 0) for operand in node.operands)
        own = work(node.op)
        effort[node] = min(below + (1 + _REPEATED if node.op in _SLOW else own), 1 << 16)
    return effort
