"""Rolling: code that a Graph repeats is written once, as a loop over where it applies.

A Graph of many inputs and outputs, the derivatives of a model on a grid for example, mostly
says the same thing about different variables. Written out it is too long to compile; rolled
it is a handful of loops. The Graph is cut into fragments: a value that several fragments
need is a fragment of its own, what only one needs belongs to that, and what is cheap is
computed again wherever it is needed. Fragments that differ only in what they read have one
shape, which becomes one kernel over arrays. All values live in one table, the inputs first,
then the literals, then the results; a segment is a run of fragments of one shape that do not
need each other: their operands are gathered from the table, and their results are contiguous
in it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..graph.node import BOOLEAN, Builder, Graph, Node, Output, ancestors
from ..language.program import Number
from .memory import APART
from .module import print_module
from .python import print_function

__all__ = ["LANES", "PARAMETERS", "Rolled", "Segment", "print_rolled", "roll"]

#: How large a fragment may be, tried in turn until there is little code to compile.
_SIZES = (32, 8, 1)
#: How many operations all shapes may have together, and for how many a function counts.
_LITTLE_CODE = 300
_FUNCTION = 8
#: A cheap value is computed again in at most so many fragments.
_REPEATED = 4
_CHEAP = frozenset({"add", "sub", "mul", "neg"})
_INLINE = _CHEAP | {"div", "pow", "sqrt", "abs", "max", "min", "where"}
_NAMES = frozenset({"step", "broadcast"})
_LITERALS = frozenset({"number", "constant"})
#: Operands that decide what is computed and so belong to the shape.
_STRUCTURAL = {"pow": 1, "polygamma": 0, "sinc_derivative": 0}


#: How many values one call of a shape computes.
LANES = 512
#: The distance of the rows into which operands are gathered.
_ROW = LANES + APART
#: What ``run`` takes.
PARAMETERS = (*("extent",) * 7, *("array",) * 8)

#: The loop over segments, with matrices row by row. `values` is the table for a block of
#: points, a row of the block's points for each place. A segment is its shape, how many
#: fragments it has, where its results begin and its first row in `leaves`; a row is the first
#: of consecutive places, or -1 and where the places begin in `operands`.
_DRIVER = '''
@numba.njit(error_model="numpy", nogil=True, cache=True)
def gather(count, points, places, values, row_out):
    """Bring values that lie apart together in a row."""
    no_overlap()
    if points == 1:
        for i in range(count):
            row_out[i] = values[places[i]]
    else:
        for i in range(count):
            place = places[i]*points
            for p in range(points):
                row_out[i*points + p] = values[place + p]


@numba.njit(
    [(numba.int64, numba.int64, numba.int64, numba.int64, numba.int64, numba.int64,
      numba.int64, number[::1], number[::1], numba.int64[::1], numba.int64[::1],
      numba.uint32[::1], number[::1], numba.uint32[::1], number[::1])],
    error_model="numpy", nogil=True, cache=True,
)
def run(
        count, width, literal_count, segment_count, result_count, block, step,
        inputs, outputs, segments, leaves, operands, literals, results, values
):
    """Compute the outputs for rows of inputs, a block of points at a time.

    A call of a shape computes `step` fragments, of which the values fit in a row.
    """
    rows = np.empty({rows})
    for start in range(0, count, block):
        points = min(block, count - start)
        for p in range(points):
            for k in range(width):
                values[k*points + p] = inputs[(start + p)*width + k]
        for k in range(literal_count):
            for p in range(points):
                values[(width + k)*points + p] = literals[k]
        for s in range(segment_count):
            shape = segments[4*s]
            fragments = segments[4*s + 1]
            target = segments[4*s + 2]
            leaf = segments[4*s + 3]
            for done in range(0, fragments, step):
                size = min(step, fragments - done)
                lanes = size*points
                result = values[(target + done)*points:]
{calls}
        for p in range(points):
            for k in range(result_count):
                outputs[(start + p)*result_count + k] = values[results[k]*points + p]
'''
_OPERAND = """\
    first = leaves[2*(leaf + {k})]
    if first >= 0:
        {name} = values[(first + done)*points:]
    else:
        {name} = rows[{row}:]
        place = leaves[2*(leaf + {k}) + 1] + done
        gather(size, points, operands[place:], values, {name})"""


@dataclass(frozen=True, slots=True)
class Segment:
    """Fragments of one shape that do not need each other.

    Attributes:
        shape: number of the shape.
        count: how many fragments there are.
        target: where in the table the results begin.
        operands: for each leaf of the shape the places of all fragments.
    """

    shape: int
    count: int
    target: int
    operands: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Rolled:
    """A rolled Graph.

    Attributes:
        shapes: a Graph for each shape; its inputs are the leaves, arrays over fragments.
        segments: what to compute, in order.
        literals: the numbers in the table, after the inputs.
        inputs: how many inputs the table begins with.
        size: how long the table is.
        results: where in the table the outputs are.
    """

    shapes: tuple[Graph, ...]
    segments: tuple[Segment, ...]
    literals: tuple[float, ...]
    inputs: int
    size: int
    results: tuple[int, ...]


@dataclass(slots=True)
class _Fragment:
    """A piece of a Graph: its code without names, and what it reads."""

    root: Node
    code: tuple[object, ...]
    leaves: tuple[Node, ...]
    inner: tuple[Node, ...]


def roll(graph: Graph) -> Rolled:
    """Return the rolled form of a Graph of values without axes."""
    roots = list(dict.fromkeys(_meant(output.node) for output in graph.outputs))
    order = [node for node in ancestors(roots) if node.op not in _NAMES]
    for size in _SIZES:
        fragments = _cut(order, roots, size)
        shapes = {fragment.code: fragment for fragment in fragments}
        if sum(map(_weight, shapes.values())) <= _LITTLE_CODE:
            break
    return _Table(graph, fragments).rolled()


def _meant(node: Node) -> Node:
    """Return what a node computes: names and repetitions compute nothing."""
    while node.op in _NAMES:
        (node,) = node.operands
    return node


def _is_leaf(node: Node) -> bool:
    return node.op == "input" or node.op in _LITERALS


def _cut(order: Sequence[Node], roots: Sequence[Node], size: int) -> list[_Fragment]:
    """Cut a Graph into fragments of at most about `size` operations, operands first."""
    wanted = [root for root in roots if not _is_leaf(root)]
    needed: dict[Node, set[Node]] = {root: {root} for root in wanted}
    sizes = dict.fromkeys(wanted, 0)
    own = set(wanted)
    for node in reversed(order):
        owners = needed.get(node)
        if owners is None or _is_leaf(node):
            continue
        if node not in own and not _joins(node, owners, sizes, size):
            own.add(node)
            sizes[node] = 0
            owners = {node}
        for owner in owners:
            sizes[owner] += 1
        for operand in node.operands:
            meant = _meant(operand)
            if meant not in own and not _is_leaf(meant):
                needed.setdefault(meant, set()).update(owners)
        if node not in own:
            del needed[node]
    return [_fragment(node, own) for node in order if node in own]


def _joins(node: Node, owners: set[Node], sizes: Mapping[Node, int], size: int) -> bool:
    """Tell whether a node is computed inside the fragments that need it."""
    if node.op in BOOLEAN:
        return True
    if len(owners) == 1:
        return all(sizes[owner] < size for owner in owners)
    return (
        size > 1
        and len(owners) <= _REPEATED
        and (node.op in _CHEAP or _is_small_power(node))
        and all(_is_leaf(_meant(operand)) for operand in node.operands)
    )


def _weight(fragment: _Fragment) -> int:
    """Return about how many operations the code of a shape has."""
    return sum(
        1 if node.op in _INLINE or node.op in BOOLEAN else _FUNCTION for node in fragment.inner
    )


def _is_small_power(node: Node) -> bool:
    payload = node.operands[1].payload if node.op == "pow" else None
    return isinstance(payload, Number) and abs(payload.value) in (2, 3)


def _fragment(root: Node, own: set[Node]) -> _Fragment:
    """Return the fragment of a root: the walk down stops at leaves and other fragments."""
    places: dict[Node, int] = {}
    leaves: dict[Node, int] = {}
    inner: list[Node] = []
    code: list[object] = []
    pending = [root]
    while pending:
        node = pending[-1]
        if node in places:
            pending.pop()
            continue
        operands = [_meant(operand) for operand in node.operands]
        waiting = [
            operand
            for place, operand in enumerate(operands)
            if operand not in places
            and not _is_structural(node, place, operand)
            and not _is_leaf(operand)
            and operand not in own
        ]
        if waiting:
            pending.extend(reversed(waiting))
            continue
        pending.pop()
        code.append(node.op if node.op != "truth" else node.payload)
        for place, operand in enumerate(operands):
            if _is_structural(node, place, operand):
                code.append(operand.payload)
            elif operand in places:
                code.append(places[operand])
            else:
                code.append(~leaves.setdefault(operand, len(leaves)))
        places[node] = len(inner)
        inner.append(node)
    return _Fragment(root, tuple(code), tuple(leaves), tuple(inner))


def _is_structural(node: Node, place: int, operand: Node) -> bool:
    return operand.op in _LITERALS and _STRUCTURAL.get(node.op) == place


@dataclass(slots=True)
class _Table:
    """Gives every value its place in the table and collects the segments."""

    graph: Graph
    fragments: Sequence[_Fragment]
    places: dict[Node, int] = field(default_factory=dict)
    literals: list[float] = field(default_factory=list)

    def rolled(self) -> Rolled:
        """Return the finished form."""
        self.places = {node: place for place, node in enumerate(self.graph.inputs)}
        inputs = size = len(self.places)
        shapes: dict[tuple[object, ...], list[_Fragment]] = {}
        for fragment in self.fragments:
            shapes.setdefault(fragment.code, []).append(fragment)
        number = {code: place for place, code in enumerate(shapes)}
        kept = {code: _varying_leaves(alike) for code, alike in shapes.items()}
        outputs = [_meant(output.node) for output in self.graph.outputs]
        read = (f.leaves[leaf] for f in self.fragments for leaf in kept[f.code])
        for node in dict.fromkeys([*read, *outputs]):
            if node.op in _LITERALS:
                self.places[node] = size
                self.literals.append(_literal(node))
                size += 1
        segments: list[Segment] = []
        for code, run in self._runs():
            for place, fragment in enumerate(run, start=size):
                self.places[fragment.root] = place
            operands = tuple(
                tuple(self.places[fragment.leaves[leaf]] for fragment in run)
                for leaf in kept[code]
            )
            segments.append(Segment(number[code], len(run), size, operands))
            size += len(run)
        return Rolled(
            tuple(_shape(alike[0], kept[code]) for code, alike in shapes.items()),
            tuple(segments),
            tuple(self.literals),
            inputs,
            size,
            tuple(self.places[node] for node in outputs),
        )

    def _runs(self) -> Iterator[tuple[tuple[object, ...], list[_Fragment]]]:
        """Yield the fragments in runs of one shape, level by level."""
        level: dict[Node, int] = {}
        runs: dict[tuple[int, tuple[object, ...]], list[_Fragment]] = {}
        for fragment in self.fragments:
            depth = max((level.get(leaf, 0) for leaf in fragment.leaves), default=0)
            level[fragment.root] = depth + 1
            runs.setdefault((depth, fragment.code), []).append(fragment)
        for (_, code), run in sorted(runs.items(), key=lambda item: item[0][0]):
            yield code, run


def _literal(node: Node) -> float:
    if isinstance(node.payload, Number):
        return float(node.payload)
    return {"pi": math.pi, "e": math.e}[str(node.payload)]


def _varying_leaves(alike: Sequence[_Fragment]) -> tuple[int, ...]:
    """Return which leaves are not the same literal in all fragments of a shape."""
    first = alike[0].leaves
    return tuple(
        place
        for place, leaf in enumerate(first)
        if leaf.op not in _LITERALS or any(f.leaves[place] is not leaf for f in alike)
    )


def _shape(fragment: _Fragment, kept: Sequence[int]) -> Graph:
    """Return a fragment as a Graph over arrays of what it reads."""
    b = Builder()
    inputs = tuple(b.input(f"x{number}", 1) for number in range(len(kept)))
    made: dict[Node, Node] = {}
    for number, place in enumerate(kept):
        made[fragment.leaves[place]] = inputs[number]
    for node in fragment.inner:
        operands = [_made(b, _meant(operand), made) for operand in node.operands]
        if node.op == "truth":
            made[node] = b.truth(bool(node.payload))
        else:
            # No identity may see what the names of the Graph keep apart.
            made[node] = b.unchanged(node.op, *operands)
    root = b.broadcast(b.real(made[fragment.root]), 1)
    return Graph(b, inputs, (Output("y", root),))


def _made(b: Builder, node: Node, made: Mapping[Node, Node]) -> Node:
    found = made.get(node)
    if found is not None:
        return found
    if isinstance(node.payload, Number):
        return b.number(node.payload.value, decimal=node.payload.decimal)
    return b.constant(str(node.payload))


def print_rolled(rolled: Rolled, header: Sequence[str]) -> str:
    """Return the module of a rolled Graph: a kernel for each shape, and `run` over all.

    The text does not depend on how often a shape occurs or where.
    """
    functions = [
        print_function(shape, f"shape{number}") for number, shape in enumerate(rolled.shapes)
    ]
    calls: list[str] = []
    for number, shape in enumerate(rolled.shapes):
        calls.append(f"{'elif' if calls else 'if'} shape == {number}:")
        names = [f"x{k}" for k in range(len(shape.inputs))]
        calls += [_OPERAND.format(name=x, k=k, row=k * _ROW) for k, x in enumerate(names)]
        calls.append(f"    shape{number}({', '.join(['lanes', *names, 'result'])})")
    most = max((len(shape.inputs) for shape in rolled.shapes), default=1)
    driver = _DRIVER.format(
        rows=most * _ROW,
        calls=textwrap.indent("\n".join(calls or ["pass"]), " " * 16),
    )
    return print_module(functions, header, driver)
