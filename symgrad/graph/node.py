"""Nodes, the Builder that interns them, and the Graph.

A Graph is an immutable DAG in SSA form. Equal subexpressions are one node (hash-consing),
so a derivative shares whatever it can with the value. A node's operands are created before
the node, so ascending `index` is a topological order: every pass is a loop over a sorted
list and nothing recurses.

Operations are the rows of the function table and these, which the table does not list:

========== ================= =========================================================
operation  payload           meaning
========== ================= =========================================================
number     Number            a literal
constant   "pi" or "e"       a named number
truth      bool              a condition that is known
input      name              an argument, varying over its axes
step       name              the value of a named statement, told apart from an equal one
broadcast  mask              the operand, spread over more axes
reduce     how to combine    the operand, combined over the axes that the result lacks
extent     mask              the number of points along the axes of the mask
shift      none              the operand, on which the result does not depend: it keeps
                             values in range, has no derivative, and reads as 0
========== ================= =========================================================

A reduction combines points by "sum", "prod", "max" or "min". Axes are bit masks: bit k is
set if a value varies over array axis k. A parameter has 0.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ArgumentError, choices
from ..language.functions import FUNCTIONS
from ..language.program import Number, Program
from . import algebra

if TYPE_CHECKING:
    import numpy as np

    from .columns import Columns
    from .recipe import Recipe

__all__ = [
    "BOOLEAN",
    "LITERALS",
    "NEUTRAL",
    "STILL",
    "Builder",
    "Graph",
    "Node",
    "Output",
    "Repeat",
    "ancestors",
    "traits",
]

#: From this many nodes on arrays tell faster what a Graph needs.
_MANY = 20_000

#: A statement whose nodes were all made for it, by a recipe: the recipe, and the different
#: values that its names stand for. The nodes are the last ones up to that of its step.
Repeat = tuple["Recipe", Sequence["Node"]]

NodePayload = Number | str | int | bool | None

#: Operations whose result is a truth value.
BOOLEAN = frozenset({row.name for row in FUNCTIONS.values() if row.boolean} | {"truth"})

#: Operations that are known before anything is computed.
LITERALS = frozenset({"number", "constant", "truth"})

#: Operations that have no derivative by their operands.
STILL = BOOLEAN | {"shift"}

#: What every combination of points starts from, and gives where there are no points.
NEUTRAL: Mapping[str, float] = MappingProxyType(
    {"sum": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}
)

_CONDITIONS = frozenset({"where", "and", "or", "not"})
_COMMUTATIVE = frozenset({"add", "mul", "eq", "ne", "and", "or"})


def _rows() -> Iterator[tuple[str, tuple[bool, Set[str]]]]:
    """Yield for every operation whether it commutes, and which operands need a closer look.

    These are the operations of operands of which an identity, or the conversion between
    numbers and conditions, may make something. An extremum can have many equal operands.
    """
    names = {"number", "constant", "truth", "input", "step", "broadcast"}
    every = {*FUNCTIONS, *names, "reduce", "extent", "shift"}
    for op in (*FUNCTIONS, "shift"):
        telling = algebra.TELLING.get(op, frozenset()) | BOOLEAN
        ask = op in _CONDITIONS or op in ("max", "min")
        yield op, (op in _COMMUTATIVE, every if ask else telling)


_ROWS = dict(_rows())


def traits(op: str) -> tuple[bool, Set[str]]:
    """Return whether an operation commutes and which operands need a closer look.

    Of others, unless two operands are the same, no identity makes anything.
    """
    return _ROWS[op]


class Node:
    """One operation of a Graph; equal nodes of one Builder are identical objects.

    Attributes:
        op: the operation.
        operands: the nodes that it works on.
        payload: what the operation carries besides, see the module's table.
        axes: mask of the array axes that the value varies over.
        index: place in the order of creation, a topological order.
        phase: how many reductions, each waiting for the one before, it has to wait for.
        origin: position of the instruction of the Program that it was made for, or -1.
    """

    __slots__ = ("axes", "index", "op", "operands", "origin", "payload", "phase")

    def __init__(
        self,
        op: str,
        operands: tuple[Node, ...],
        payload: NodePayload,
        axes: int,
        index: int,
        phase: int,
        origin: int,
    ) -> None:
        """Only a Builder makes nodes."""
        self.op = op
        self.operands = operands
        self.payload = payload
        self.axes = axes
        self.index = index
        self.phase = phase
        self.origin = origin

    def __repr__(self) -> str:
        parts = [f"%{operand.index}" for operand in self.operands]
        if self.payload is not None:
            shown = self.payload.value if isinstance(self.payload, Number) else self.payload
            parts.append(str(shown))
        return f"%{self.index} = {self.op}({', '.join(parts)})"


class Builder:
    """Makes nodes, shares equal ones, and applies the identities of `symgrad.graph.algebra`.

    >>> b = Builder()
    >>> x = b.input("x")
    >>> b.apply("sin", x) is b.apply("sin", x)
    True
    >>> b.apply("div", x, x)
    %2 = number(1)
    """

    def __init__(self) -> None:
        """Start without nodes."""
        #: All nodes in the order in which they were made.
        self.nodes: list[Node] = []
        #: By operation and by what tells its nodes apart: the operands, or the payload.
        self._interned: defaultdict[str, dict[tuple[object, ...], Node]] = defaultdict(dict)
        #: Position of the instruction that new nodes are made for.
        self.origin = -1
        self._columns: Columns | None = None

    def __len__(self) -> int:
        return len(self.nodes)

    def columns(self) -> Columns:
        """Return all nodes as arrays."""
        if self._columns is None:
            # NumPy is not loaded for small formulas that are only read.
            from .columns import Columns

            self._columns = Columns()
        if len(self._columns) < len(self.nodes):
            self._columns.extend(self.nodes[len(self._columns) :])
        return self._columns

    def interned(self, op: str) -> dict[tuple[object, ...], Node]:
        """Return the nodes of an operation by what tells them apart."""
        return self._interned[op]

    def _intern(
        self,
        key: tuple[object, ...],
        op: str,
        operands: tuple[Node, ...],
        payload: NodePayload,
        axes: int,
        phase: int = 0,
    ) -> Node:
        known = self._interned[op]
        node = known.get(key)
        if node is None:
            nodes = self.nodes
            node = Node(op, operands, payload, axes, len(nodes), phase, self.origin)
            known[key] = node
            nodes.append(node)
        return node

    def number(self, value: Fraction | float | int, *, decimal: bool = False) -> Node:
        """Return the literal `value`; finite doubles are taken exactly.

        Floats that are not finite stay floats; integers and Fractions are exact.
        """
        if isinstance(value, float):
            if value - value != 0.0:
                key: tuple[object, ...] = (repr(value),)
                return self._intern(key, "number", (), Number(value, decimal), 0)
            value = Fraction(value)
        key = (value.numerator, value.denominator, decimal)
        node = self._interned["number"].get(key)
        if node is None:
            payload = Number(Fraction(value), decimal)
            node = self._intern(key, "number", (), payload, 0)
        return node

    def constant(self, name: str) -> Node:
        """Return pi, e, inf or nan."""
        if name in ("inf", "nan"):
            return self.number(float(name))
        return self._intern((name,), "constant", (), name, 0)

    def truth(self, value: bool) -> Node:
        """Return a condition that is always true or always false."""
        return self._intern((value,), "truth", (), value, 0)

    def input(self, name: str, axes: int = 0) -> Node:
        """Return the argument `name`, which varies over `axes`."""
        return self._intern((name,), "input", (), name, axes)

    def step(self, name: str, value: Node) -> Node:
        """Return the named value of a statement; it is never merged with an equal one."""
        value = self.real(value)
        return self._intern((name, value), "step", (value,), name, value.axes, value.phase)

    def real(self, node: Node) -> Node:
        """Return a number: 1 or 0 for a condition."""
        if node.op in BOOLEAN:
            return self.apply("where", node, self.number(1), self.number(0))
        return node

    def condition(self, node: Node) -> Node:
        """Return a condition: a number is true where it is not 0."""
        if node.op in BOOLEAN:
            return node
        return self.apply("ne", node, self.number(0))

    def apply(self, op: str, *operands: Node) -> Node:
        """Return an operation of the function table, simplified by the identities."""
        commutes, telling = _ROWS[op]
        key = operands
        if commutes:
            x, y = operands
            if x.index > y.index:
                key = (y, x)
        # What an identity simplifies is never interned, so what is known needs no look at them.
        known = self._interned[op]
        node = known.get(key)
        if node is not None:
            return node
        if len(operands) == 2:
            x, y = operands
            tells = x.op in telling or y.op in telling or x is y
            axes, phase = x.axes | y.axes, x.phase
            if y.phase > phase:
                phase = y.phase
        else:
            tells, axes, phase = False, 0, 0
            for x in operands:
                if x.op in telling:
                    tells = True
                axes |= x.axes
                if x.phase > phase:
                    phase = x.phase
        if tells:
            simpler = self._simplified(op, operands)
            if simpler is not None:
                return simpler
        nodes = self.nodes
        node = Node(op, operands, None, axes, len(nodes), phase, self.origin)
        known[key] = node
        nodes.append(node)
        return node

    def _simplified(self, op: str, operands: tuple[Node, ...]) -> Node | None:
        """Return what an operation is by the identities, None if it is just itself."""
        if op == "where":
            condition, *branches = operands
            fitting = (self.condition(condition), *map(self.real, branches))
        elif op in _CONDITIONS:
            fitting = tuple(map(self.condition, operands))
        else:
            fitting = tuple(map(self.real, operands))
        if fitting != operands:
            return self.apply(op, *fitting)
        identity = algebra.IDENTITIES.get(op)
        return None if identity is None else identity(self, *operands)

    def unchanged(self, op: str, *operands: Node) -> Node:
        """Return an operation of the function table as it is, whatever the identities say.

        >>> b = Builder()
        >>> x = b.input("x")
        >>> b.unchanged("div", x, x)
        %1 = div(%0, %0)
        """
        axes = phase = 0
        for operand in operands:
            axes |= operand.axes
            phase = max(phase, operand.phase)
        return self._intern(operands, op, operands, None, axes, phase)

    def like(self, node: Node, operands: tuple[Node, ...]) -> Node:
        """Return the copy of another Builder's node, over operands of this one.

        >>> b = Builder()
        >>> total = b.reduce(b.input("x", axes=1), 1)
        >>> Builder().like(total, (Builder().input("x", axes=1),))
        %0 = reduce(%0, sum)
        """
        payload = node.payload
        if isinstance(payload, Number):
            return self.number(payload.value, decimal=payload.decimal)
        key: tuple[object, ...] = operands if payload is None else (payload, *operands)
        if node.op == "broadcast":
            key = (*operands, payload)
        elif node.op == "reduce":
            key = (payload, *operands, node.operands[0].axes & ~node.axes)
        self.origin = node.origin
        return self._intern(key, node.op, operands, payload, node.axes, node.phase)

    def broadcast(self, node: Node, axes: int) -> Node:
        """Return `node` spread over `axes` besides its own."""
        mask = axes & ~node.axes
        if not mask:
            return node
        key = (node, mask)
        return self._intern(key, "broadcast", (node,), mask, node.axes | mask, node.phase)

    def extent(self, mask: int) -> Node:
        """Return the number of points along the axes of `mask`."""
        if not mask:
            return self.number(1)
        return self._intern((mask,), "extent", (), mask, 0)

    def reduce(self, node: Node, mask: int, combination: str = "sum") -> Node:
        """Return `node` combined over the axes of `mask`: its sum, prod, max or min.

        Along an axis over which the node does not vary, all points are equal: their sum is
        a product with the extent, their product a power.
        """
        node = self.real(node)
        repeats = mask & ~node.axes
        mask &= node.axes
        while mask and node.op == "broadcast":
            # The spread-out part of a broadcast is a repetition as well.
            spread = int(node.payload or 0)  # type: ignore[arg-type]
            if not spread & mask:
                break
            repeats |= spread & mask
            node = self.broadcast(node.operands[0], spread & ~mask)
            mask &= ~spread
        if mask and combination == "sum" and node.op == "neg":
            total = self.apply("neg", self.reduce(node.operands[0], mask))
        elif mask:
            key, axes, phase = (combination, node, mask), node.axes & ~mask, node.phase + 1
            total = self._intern(key, "reduce", (node,), combination, axes, phase)
        else:
            total = node
        return self._repeated(total, repeats, combination)

    def _repeated(self, node: Node, mask: int, combination: str) -> Node:
        """Return equal points combined over the axes of `mask`."""
        count = self.extent(mask)
        if combination == "sum":
            return self.apply("mul", count, node)
        if combination == "prod":
            return self.apply("pow", node, count)
        if not mask:
            return node
        nothing = self.number(NEUTRAL[combination])
        return self.apply("where", self.apply("gt", count, self.number(0)), node, nothing)


class Output(NamedTuple):
    """A result of a Graph.

    Attributes:
        name: what it is called.
        node: its value.
        like: names of the inputs whose shapes, broadcast together, are its shape.
    """

    name: str
    node: Node
    like: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Inputs, named outputs and the nodes between them.

    Attributes:
        builder: the Builder that interns the nodes.
        inputs: the arguments in order, used or not.
        outputs: the results in order.
        steps: the user's named statements in order, outputs among them.
        source: the Program that the nodes were made for, if there is one.
        primal: how many nodes the Builder had when the Program was lowered; nodes that
            were made later belong to derivatives.
        alike: for the inputs that a transformation added, the inputs whose shape they have.
        bars: by their adjoints the inputs and steps that generated code names them after.
        repeats: by the nodes of their steps the statements that were made by recipes.
    """

    builder: Builder
    inputs: tuple[Node, ...]
    outputs: tuple[Output, ...]
    steps: tuple[Node, ...] = ()
    source: Program | None = field(default=None, repr=False)
    primal: int = 0
    alike: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    bars: Mapping[Node, Node] = field(default_factory=dict, repr=False)
    repeats: Mapping[Node, Repeat] = field(default_factory=dict, repr=False)
    _order: list[Node] = field(default_factory=list, init=False, repr=False)
    _places: list[np.ndarray] = field(default_factory=list, init=False, repr=False)
    _census: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def places(self) -> np.ndarray:
        """Return the indices of all nodes that the outputs need, ascending."""
        if not self._places:
            roots = [output.node.index for output in self.outputs]
            self._places.append(self.builder.columns().needed(roots))
        return self._places[0]

    def nodes(self) -> list[Node]:
        """Return all nodes that the outputs need, operands first."""
        if not self._order:
            nodes = self.builder.nodes
            if len(nodes) > _MANY:
                self._order.extend([nodes[place] for place in self.places().tolist()])
            else:
                self._order.extend(ancestors(output.node for output in self.outputs))
        return list(self._order)

    def census(self) -> Mapping[str, int]:
        """Return how many nodes there are of every operation that occurs."""
        if not self._census:
            if len(self.builder) > _MANY:
                self._census.update(self.builder.columns().census(self.places()))
            else:
                self._census.update(Counter([node.op for node in self.nodes()]))
        return self._census

    def rewritten(self, new: Mapping[Node, Node]) -> Graph:
        """Return the Graph with other nodes in the place of the keys of `new`."""
        return replace(
            self,
            outputs=tuple(o._replace(node=new.get(o.node, o.node)) for o in self.outputs),
            steps=tuple(new.get(step, step) for step in self.steps),
            bars={new.get(adjoint, adjoint): node for adjoint, node in self.bars.items()},
        )

    def find(self, name: str) -> Node:
        """Return the input or step called `name`.

        Raises:
            ArgumentError: there is none; the error offers the nearest names.
        """
        for node in (*self.inputs, *self.steps):
            if node.payload == name:
                return node
        known = [str(node.payload) for node in (*self.inputs, *self.steps)]
        hint = choices(name, known, "names")
        raise ArgumentError(f"there is no input or step '{name}': {hint}")

    def like(self, nodes: Sequence[Node]) -> list[tuple[str, ...]]:
        """Return for every node the inputs whose shapes, broadcast together, are its own."""
        order = ancestors(nodes)
        place = {node: 1 << number for number, node in enumerate(self.inputs)}
        masks: dict[Node, int] = {}
        for node in order:
            mask = place.get(node, 0)
            if node.op != "reduce":
                for operand in node.operands:
                    mask |= masks[operand]
            masks[node] = mask
        names = [str(node.payload) for node in self.inputs]
        return [tuple(names[number] for number in _bits(masks[node])) for node in nodes]

    def __str__(self) -> str:
        lines = [repr(node) for node in self.nodes()]
        lines += [f"{output.name} <- %{output.node.index}" for output in self.outputs]
        return "\n".join(lines)


def ancestors(roots: Iterable[Node], stop: Collection[Node] = ()) -> list[Node]:
    """Return the roots and all that they need, operands first.

    The walk does not look behind the nodes in `stop`, which are returned themselves.
    """
    found = {node.index: node for node in roots}
    if not found:
        return []
    barrier = set(stop)
    index = max(found)
    wanted = bytearray(index + 1)
    for place in found:
        wanted[place] = 1
    order: list[Node] = []
    # Operands have smaller indices, so the walk down meets every node after its users.
    while index >= 0:
        node = found[index]
        order.append(node)
        if not barrier or node not in barrier:
            for operand in node.operands:
                place = operand.index
                if not wanted[place]:
                    wanted[place] = 1
                    found[place] = operand
        index = wanted.rfind(1, 0, index)
    order.reverse()
    return order


def _bits(mask: int) -> Iterator[int]:
    """Yield the numbers of the bits that are set, ascending."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
