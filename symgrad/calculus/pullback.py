"""What one node passes on: the products of its adjoint with its local partials."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from ..graph.lower import Template, template
from ..graph.node import STILL, Builder, Node
from .guarded import ROOTS, Guarded, root_guard, scale
from .points import weight
from .rules import Style, partial

__all__ = ["COPIES", "dependent", "locals_of", "pull_back"]

#: Operations that pass an adjoint or a tangent on as it is.
COPIES = frozenset({"step", "broadcast"})
#: Operations whose derivative is no product with a local partial.
_STRUCTURE = frozenset({"reduce", "where"})
#: Operations that a reverse sweep does not treat like all others.
_APART = COPIES | _STRUCTURE | ROOTS | {"div"}


def dependent(
    order: Sequence[Node], targets: Sequence[Node], stop: Collection[Node]
) -> set[Node]:
    """Return the targets and all nodes that vary with one of them."""
    active = set(targets)
    barrier = set(stop)
    for node in order:
        if node in active or node in barrier:
            continue
        for operand in node.operands:
            if operand in active and node.op not in STILL:
                active.add(node)
                break
    return active


def pull_back(
    b: Builder, node: Node, term: Guarded, active: set[Node], style: Style
) -> list[tuple[Node, Guarded]]:
    """Return what the adjoint of a node contributes to each of its operands."""
    op, operands = node.op, node.operands
    if op in _APART:
        if op in COPIES:
            return [(operands[0], term)]
        if op in _STRUCTURE or (op == "div" and style == "kernel"):
            return _pull_back_structure(b, node, term, active, style)
        if op in ROOTS and style == "kernel":
            term = (*term[0], *root_guard(b, node)), term[1]
    contributions = []
    for position, local in locals_of(op, len(operands), style):
        operand = operands[position]
        if operand in active:
            contribution = term if local is None else scale(b, term, local(b, operands))
            if contribution is not None:
                contributions.append((operand, contribution))
    return contributions


def _pull_back_structure(
    b: Builder, node: Node, term: Guarded, active: set[Node], style: Style
) -> list[tuple[Node, Guarded]]:
    """Return the contributions of what has no product with a local partial."""
    op, operands = node.op, node.operands
    if op == "reduce":
        contribution = scale(b, term, weight(b, node, style))
        return [] if contribution is None else [(operands[0], contribution)]
    guard, value = term
    if op == "where":
        condition, yes, no = operands
        sides = ((yes, condition), (no, b.apply("not", condition)))
        return [(branch, ((*guard, side), value)) for branch, side in sides if branch in active]
    # z = x/y gives z_bar/y to x, and -z*(z_bar/y) to y.
    above, below = operands
    quotient = b.apply("div", value, below)
    contributions = []
    if above in active:
        contributions.append((above, (guard, quotient)))
    if below in active:
        product = b.apply("neg", b.apply("mul", quotient, node))
        contributions.append((below, (guard, product)))
    return contributions


@cache
def locals_of(op: str, arity: int, style: Style) -> tuple[tuple[int, Template | None], ...]:
    """Return the local partials that are not 0, by the operand's place; None is always 1."""
    formulas = [partial(op, arity, position, style) for position in range(arity)]
    return tuple(
        (position, None if formula.text == "1" else template(formula))
        for position, formula in enumerate(formulas)
        if formula is not None
    )
