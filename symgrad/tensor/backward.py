"""The backward pass over recorded operations.

The history is cut into segments: one where nothing interferes, more where a compiled
Function was called or a chain is long. Every segment is one kernel that computes all the
gradients that are needed (and the value, for the one that `backward` is called on), and
segments of equal structure share it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from ..errors import AutogradError
from .evaluate import evaluate
from .node import BOOLEAN, Array, Node, fit
from .record import gradient, read

__all__ = ["SECOND_TIME", "gradients"]

SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors "
    "after they have already been freed). Saved intermediate values of the graph are freed "
    "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
    "backward through the graph a second time or if you need to access saved tensors after "
    "calling backward."
)


def gradients(root: Node, seed: Array, *, retain: bool) -> dict[Node, Array]:
    """Return the gradients that have arrived at leaves and retained results.

    Args:
        root: the result to differentiate.
        seed: its cotangent, or None for 1.
        retain: keep the history for another time.
    """
    sweep = _Sweep()
    if seed is None and root.op in ("leaf", "part"):
        sweep.add(root, fit(1.0, root.shape, root.dtype))
    else:
        sweep.start(root, seed)
    sweep.run()
    if not retain:
        for node in sweep.visited:
            node.freed = True
            if node.value is not None:
                node.operands = ()
    return sweep.arrived


class _Sweep:
    """One backward pass.

    Attributes:
        arrived: gradients for the sinks.
        visited: the history that was used.
    """

    __slots__ = ("_cotangents", "_waiting", "arrived", "visited")

    def __init__(self) -> None:
        """Start with nothing."""
        self.arrived: dict[Node, Array] = {}
        self.visited: list[Node] = []
        self._cotangents: dict[Node, Array] = {}
        # Later nodes first: all contributions to a node come from nodes after it.
        self._waiting: list[tuple[int, Node]] = []

    def start(self, node: Node, cotangent: Array) -> None:
        """Let the pass begin at a node."""
        self._cotangents[node] = cotangent
        heapq.heappush(self._waiting, (-node.index, node))

    def add(self, node: Node, value: Array) -> None:
        """Add a contribution to the cotangent of a node."""
        if node.op == "leaf":
            known = self.arrived.get(node)
            self.arrived[node] = value if known is None else known + value
        elif node in self._cotangents:
            self._cotangents[node] = self._cotangents[node] + value
        else:
            self.start(node, value)

    def run(self) -> None:
        """Go through all segments."""
        waiting = self._waiting
        while waiting:
            _, node = heapq.heappop(waiting)
            cotangent = self._cotangents.pop(node)
            if node.freed:
                raise AutogradError(SECOND_TIME)
            if node.sink is not None:
                one = fit(1.0, node.shape, node.dtype)
                self._arrive(node, one if cotangent is None else cotangent)
            if node.op == "part":
                self._through_part(node, cotangent)
            elif node.op == "call":
                self._through_call(node, cotangent)
            else:
                self._through_segment(node, cotangent)

    def _arrive(self, node: Node, value: Array) -> None:
        known = self.arrived.get(node)
        self.arrived[node] = value if known is None else known + value

    def _through_segment(self, root: Node, cotangent: Array) -> None:
        """Differentiate recorded operations with one kernel."""
        key, body, leaves, numbers, places = read([root], history=True)
        steps: list[Node] = []
        conditions = False
        for node in body:
            if node.freed:
                raise AutogradError(SECOND_TIME)
            if node.sink is not None and node is not root:
                steps.append(node)
            conditions = conditions or node.op in BOOLEAN
        targets = [leaf for leaf in leaves if leaf.needs]
        if conditions:
            reached = _reached(root)
            targets = [leaf for leaf in targets if leaf in reached]
            steps = [step for step in steps if step in reached]
        for leaf in leaves:
            if leaf.value is None:
                evaluate(leaf)
        routine = gradient(
            key,
            tuple([-1 - places[leaf] for leaf in targets]),
            tuple([places[step] for step in steps]),
            seeded=cotangent is not None,
        )
        values = [leaf.value for leaf in leaves]
        values += numbers
        results: Iterable[Array]
        if cotangent is None:
            value, *results = routine.run(values, root.dtype)
            if root.value is None:
                root.value = fit(value, root.shape, root.dtype)
        else:
            values.append(cotangent)
            results = routine.run(values, root.dtype)
        self.visited += body
        results = iter(results)
        for target in targets:
            self.add(target, fit(next(results), target.shape, target.dtype))
        for step in steps:
            self._arrive(step, fit(next(results), step.shape, step.dtype))

    def _through_part(self, node: Node, cotangent: Array) -> None:
        """Keep the cotangent of one result for the call that gave it."""
        call = node.operands[0]
        place, callee = node.payload
        if call not in self._cotangents:
            self.start(call, [0.0] * callee.width)
        self._cotangents[call][place] = cotangent
        self.visited.append(node)

    def _through_call(self, node: Node, cotangent: Array) -> None:
        """Differentiate a call with the Function's own kernel."""
        callee, operands = node.payload, node.operands
        wrt = []
        targets = []
        for operand, name in zip(operands, callee.function.inputs, strict=True):
            if type(operand) is Node:
                if operand.value is None:
                    evaluate(operand)
                if operand.needs:
                    wrt.append(name)
                    targets.append(operand)
        routine = callee.gradient(tuple(wrt), seeded=cotangent is not None)
        values = [o.value if type(o) is Node else o for o in operands]
        if cotangent is None:
            value, *results = routine.run(values, node.dtype)
            if node.value is None:
                node.value = fit(value, node.shape, node.dtype)
        else:
            values += cotangent if isinstance(cotangent, list) else [cotangent]
            results = list(routine.run(values, node.dtype))
        self.visited.append(node)
        for target, result in zip(targets, results, strict=True):
            self.add(target, fit(result, target.shape, target.dtype))


def _reached(root: Node) -> set[Node]:
    """Return what gradients reach; what only conditions depend on gets none, not zeros."""
    found = {root}
    pending = [root]
    while pending:
        for operand in pending.pop().operands:
            if type(operand) is Node and operand.needs and operand not in found:
                found.add(operand)
                if not operand.cut and operand.op not in ("call", "part"):
                    pending.append(operand)
    return found
