"""The reverse and the forward sweep over a Graph.

Both are one loop over the nodes in topological order (Griewank and Walther, Evaluating
Derivatives, 2nd ed., sections 3.1 and 3.2) and yield nodes of the same Builder, so the
derivative shares with the value whatever it can.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..graph.algebra import exact
from ..graph.node import STILL, Builder, Node, Repeat, ancestors
from .guarded import ROOTS, Guarded, combine, root_guard, scale, select
from .points import total, weight
from .pullback import COPIES, dependent, locals_of, pull_back
from .repeats import Repeats
from .rules import Style

__all__ = ["adjoints", "closed_form", "tangents"]

_NAMED = frozenset({"step", "input"})


def adjoints(
    b: Builder,
    seeds: Sequence[tuple[Node, Node]],
    targets: Sequence[Node],
    *,
    style: Style = "kernel",
    stop: Collection[Node] = (),
    bars: dict[Node, Node] | None = None,
    pointwise: bool = False,
    order: Sequence[Node] | None = None,
    repeats: Mapping[Node, Repeat] | None = None,
) -> list[Node]:
    """Return the adjoint of every target by the reverse sweep.

    The adjoint of t is the derivative by t of the sum, over all points, of seed*output. It
    has the axes of t: contributions that vary over more are summed.

    Args:
        b: the Builder of the nodes.
        seeds: pairs of an output and its cotangent.
        targets: inputs, steps or any other nodes.
        style: which form of the local partials to use.
        stop: nodes behind which the sweep does not look.
        pointwise: differentiate at every point by itself, without sums over points; the
            outputs must not contain reductions.
        bars: receives, by their adjoints, the inputs and steps.
        order: what the outputs need, if that is known already.
        repeats: by the nodes of their steps statements that can be swept over at once.
    """
    if order is None:
        order = ancestors([output for output, _ in seeds], stop)
    active = dependent(order, targets, stop)
    # What counts everywhere is added up at once, so that a sum of many terms is one value at
    # any time; what counts under guards is put together when it is complete.
    sums: dict[Node, Node] = {}
    guarded: dict[Node, list[Guarded]] = {}

    def contribute(operand: Node, contribution: Guarded) -> None:
        guard, value = contribution
        if guard:
            guarded.setdefault(operand, []).append(contribution)
            return
        known = sums.get(operand)
        if known is not None:
            here = b.origin
            if operand.origin >= 0:
                b.origin = operand.origin
            value = b.apply("add", known, value)
            b.origin = here
        sums[operand] = value

    origin, fresh = b.origin, len(b)
    for output, seed in seeds:
        b.origin = output.origin
        contribute(output, ((), seed))
    wanted = set(targets)
    barrier = set(stop)
    found: dict[Node, Node] = {}
    if style != "kernel" or not {node.op for node in (*targets, *stop)} <= _NAMED:
        repeats = None
    repeated = Repeats(b, repeats, active, sums, guarded) if repeats else None
    place = len(order)
    while place:
        place -= 1
        node = order[place]
        if node not in active:
            continue
        value, terms = sums.pop(node, None), guarded.pop(node, None) if guarded else None
        b.origin = node.origin
        if terms is not None:
            term = combine(b, terms if value is None else [((), value), *terms])
        elif value is not None:
            term = (), value
        else:
            continue
        adjoint = term[1]
        if node in wanted:
            found[node] = adjoint = select(b, term)
        if bars is not None and node.op in _NAMED and adjoint.index >= fresh:
            bars.setdefault(adjoint, node)
        if node in barrier:
            continue
        if repeated and node.op == "step" and not term[0]:
            inner = repeated.sweep(node, term[1])
            if inner is not None:
                if order[place - inner].index == node.index - inner:
                    place -= inner
                continue
        for operand, contribution in pull_back(b, node, term, active, style):
            surplus = node.axes & ~operand.axes
            if surplus and not pointwise:
                contribution = _over(b, contribution, surplus, style)
            contribute(operand, contribution)
    b.origin = origin
    zero = b.number(0)
    return [found.get(target, zero) for target in targets]


def _over(b: Builder, term: Guarded, mask: int, style: Style) -> Guarded:
    """Return the sum of a derivative over axes; a guard without these axes still guards."""
    guard, value = term
    outer = 0
    while outer < len(guard) and not guard[outer].axes & mask:
        outer += 1
    value = select(b, (guard[outer:], value))
    summed = total(b, value, mask) if style == "kernel" else b.reduce(value, mask)
    return guard[:outer], summed


def tangents(
    b: Builder,
    seeds: Mapping[Node, Node],
    outputs: Sequence[Node],
    *,
    style: Style = "kernel",
) -> list[Node]:
    """Return the tangent of every output by the forward sweep.

    Args:
        b: the Builder of the nodes.
        seeds: the tangent of every node that varies; it overrides the node's own.
        outputs: the nodes whose tangents are wanted.
        style: which form of the local partials to use.
    """
    found: dict[Node, Guarded] = {node: ((), seed) for node, seed in seeds.items()}
    origin = b.origin
    for node in ancestors(outputs):
        if node in found or node.op in STILL:
            continue
        b.origin = node.origin
        terms = _push_forward(b, node, found, style)
        if terms:
            found[node] = combine(b, terms)
    b.origin = origin
    zero = b.number(0)
    return [select(b, found[output]) if output in found else zero for output in outputs]


def _push_forward(
    b: Builder, node: Node, found: Mapping[Node, Guarded], style: Style
) -> list[Guarded]:
    """Return what the tangents of the operands contribute to that of a node."""
    op, operands = node.op, node.operands
    if op in COPIES:
        return [found[operands[0]]] if operands[0] in found else []
    if op == "reduce":
        if operands[0] not in found:
            return []
        term = scale(b, found[operands[0]], weight(b, node, style))
        mask = operands[0].axes & ~node.axes
        return [] if term is None else [_over(b, term, mask, style)]
    if op == "where":
        condition, yes, no = operands
        sides = ((yes, condition), (no, b.apply("not", condition)))
        return [
            ((side, *found[branch][0]), found[branch][1])
            for branch, side in sides
            if branch in found
        ]
    outer = root_guard(b, node) if op in ROOTS and style == "kernel" else ()
    terms = []
    for position, local in locals_of(op, len(operands), style):
        operand = operands[position]
        if operand in found:
            term = found[operand]
            term = term if local is None else scale(b, term, local(b, operands))
            if term is not None:
                guard, value = term
                terms.append(((*outer, *guard), value))
    return terms


def closed_form(b: Builder, output: Node, target: Node) -> Node:
    """Return the derivative of one node by another for reading, steps kept as names.

    The sweep goes statement by statement: the partials of a statement by the names in it
    are formed first and multiplied by its adjoint once, so a chain of statements gives a
    product as long as the chain and not one that doubles at every statement.
    """
    order = ancestors([output])
    if any(node.axes for node in order):
        # Products with sums over points do not commute with them: go node by node.
        return adjoints(b, [(output, b.number(1))], [target], style="textbook")[0]
    leaves = {node for node in order if node.op in ("step", "input")}
    active = dependent(order, [target], ())
    total: dict[Node, Node] = {output: b.number(1)}
    for node in sorted({output} | (leaves & active), key=lambda node: -node.index):
        if node is target or node.op == "input" or node not in total:
            continue
        value = node.operands[0] if node.op == "step" else node
        below = [leaf for leaf in ancestors([value], leaves) if leaf in leaves & active]
        local = adjoints(b, [(value, b.number(1))], below, style="textbook", stop=below)
        for leaf, factor in zip(below, local, strict=True):
            if exact(factor) == 0:
                continue
            contribution = b.apply("mul", total[node], factor)
            known = total.get(leaf)
            total[leaf] = contribution if known is None else b.apply("add", known, contribution)
    return total.get(target, b.number(0))
