"""The reverse sweep over statements that repeat, by functions of their own.

What a sweep does with the nodes of a statement is the same for all statements of one recipe, by
whose values it differentiates alike. It is noted once, on stand-ins, and written as a Python
function that does it for all others, see `symgrad.graph.recipe`. What identities make of the
adjoint is still asked every time; the nodes are those that the sweep itself would make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..graph.node import LITERALS, Builder, Node, Repeat, traits
from ..graph.recipe import Recipe, Script
from .guarded import Guarded, is_root
from .pullback import dependent, pull_back

__all__ = ["Repeats"]

#: An axis that tells what depends on the adjoint.
_ADJOINT = 2

#: The sweep over a statement: takes the node of its step, its adjoint and its operands; tells
#: whether it was done.
_Sweep = Callable[..., bool]


class _Request(NamedTuple):
    """An operation that the sweep asked for, and what came of it."""

    op: str
    operands: tuple[Node, ...]
    node: Node
    origin: int


class _Contribution(NamedTuple):
    """What a statement adds to the adjoint of one of its operands."""

    operand: Node
    value: Node
    origin: int


class _Recorder(Builder):
    """Notes what is asked of it about values that depend on the adjoint."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[_Request | _Contribution] = []
        self._asked = False

    def apply(self, op: str, *operands: Node) -> Node:
        """Return an operation; those that the identities ask for are not noted."""
        if self._asked:
            return super().apply(op, *operands)
        self._asked = True
        try:
            node = super().apply(op, *operands)
        finally:
            self._asked = False
        if any(operand.axes & _ADJOINT for operand in operands):
            self.events.append(_Request(op, operands, node, self.origin))
        return node


class Repeats:
    """Sweeps over the repeated statements of a Graph, into the sums of one reverse sweep."""

    def __init__(
        self,
        builder: Builder,
        repeats: Mapping[Node, Repeat],
        active: set[Node],
        sums: dict[Node, Node],
        guarded: Mapping[Node, Sequence[Guarded]],
    ) -> None:
        """Sweep later, into `sums`."""
        self.builder = builder
        self.repeats = repeats
        self.active = active
        self.sums = sums
        self.guarded = guarded
        self._all_active = active.issuperset
        #: By their recipes, and which operands are active if not all are.
        self._known: dict[object, _Sweep] = {}

    def sweep(self, step: Node, adjoint: Node) -> int | None:
        """Sweep over the statement of a step; return how many nodes it has below the step.

        It is None if that was not possible: the statement is no repetition, or others use
        its inner nodes too.
        """
        repeat = self.repeats.get(step)
        if repeat is None:
            return None
        recipe, operands = repeat
        key: object = recipe
        if not self._all_active(operands):
            key = (recipe, *[operand in self.active for operand in operands])
        sweep = self._known.get(key)
        if sweep is None:
            active = [operand in self.active for operand in operands]
            sweep = self._known[key] = self._written(recipe, active)
        return recipe.size - 1 if sweep(step, adjoint, *operands) else None

    def _written(self, recipe: Recipe, active: Sequence[bool]) -> _Sweep:
        """Return the function for statements whose active operands are given."""
        b = _Recorder()
        stands, inner, _ = recipe.made(b)
        *below, step = inner
        adjoint = b.input("adjoint", _ADJOINT)
        fresh = len(b)
        script = Script(self.builder)
        script.space |= {
            "sums": self.sums,
            "known": self.sums.get,
            "apart": self.sums.keys().isdisjoint,
            "unguarded": self.guarded.keys().isdisjoint,
        }
        names = [script.stand(node) for node in (step, adjoint, *stands)]
        script.write(f"at, origin = {names[0]}.index, {names[0]}.origin")
        script.write(f"axes, phase = {names[2]}.axes, {names[2]}.phase")
        with script.block(f"if {names[1]}.axes | axes != axes or {names[1]}.phase > phase:"):
            script.write("return False")
        if below:
            inside = ", ".join([script.stand(node) for node in below])
            script.write(f"inner = {inside}, = nodes[at - {len(below)}:at]")
            with script.block("if not (apart(inner) and unguarded(inner)):"):
                script.write("return False")
        varying = [stand for stand, varies in zip(stands, active, strict=True) if varies]
        if not _record(b, inner, varying, adjoint) or not _print(script, b, step, fresh):
            return _never
        script.write("return True")
        return script.function(*names)


def _never(*_: Node) -> bool:
    """Leave a statement to the sweep."""
    return False


def _record(b: _Recorder, inner: Sequence[Node], varying: Sequence[Node], seed: Node) -> bool:
    """Sweep over the nodes of a statement; tell whether that takes no guards."""
    active = dependent(inner, varying, ())
    sums = {inner[-1]: seed}
    for node in reversed(inner):
        adjoint = sums.pop(node, None)
        if adjoint is None:
            continue
        if is_root(node):
            return False
        b.origin = node.origin
        for operand, (guard, value) in pull_back(b, node, ((), adjoint), active, "kernel"):
            if guard:
                return False
            if operand.op == "input":
                b.events.append(_Contribution(operand, value, node.origin))
            elif operand in sums:
                b.origin = operand.origin
                sums[operand] = b.apply("add", sums[operand], value)
                b.origin = node.origin
            else:
                sums[operand] = value
    return True


def _print(script: Script, b: _Recorder, step: Node, fresh: int) -> bool:
    """Write what was recorded; tell whether it does not depend on what the adjoint is.

    The nodes from `fresh` on were made by the sweep.
    """
    asked: dict[Node, tuple[str, tuple[Node, ...]]] = {}
    for event in b.events:
        origin = f"origin - {step.origin - event.origin}"
        if isinstance(event, _Contribution):
            operand, value = script.value(event.operand), script.value(event.value)
            script.write(f"total, before = {value}, known({operand})")
            with script.block("if before is not None:"):
                here = f"{operand}.origin if {operand}.origin >= 0 else {origin}"
                both = ["before", value]
                script.apply("add", both, "total", here, both)
            script.write(f"sums[{operand}] = total")
            continue
        op, operands, node, _ = event
        request = op, operands
        if asked.get(node) == request:
            continue
        if node in asked or not node.axes & _ADJOINT or node.op == "input":
            return False
        asked[node] = request
        for local in b.nodes[fresh : node.index]:
            if not local.axes & _ADJOINT and local.op not in LITERALS:
                script.make(local, f"origin - {step.origin - local.origin}")
        fresh = node.index
        names = [script.value(operand) for operand in operands]
        unknown = [script.value(operand) for operand in operands if operand.axes & _ADJOINT]
        variable, (_, telling) = script.stand(node), traits(op)
        if any(operand.op in telling for operand in operands):
            script.write(f"b.origin = {origin}")
            script.write(f"{variable} = apply({op!r}, {', '.join(names)})")
        else:
            script.apply(op, names, variable, origin, unknown)
    return True
