"""Derivatives that are selected, not masked.

An adjoint or a tangent on a branch of ``where`` counts only where the branch is taken. It is
carried as a pair of a guard and a value: where the guard holds the derivative is the value,
elsewhere it is 0 and the value means nothing (it may be inf or NaN there). The selection
happens last, when the pair is used, so the branch that is not taken never poisons: nothing
is ever multiplied by a 0 that stands for "not taken". The slope of a root is infinite at 0, and
its guard is the support of what it is taken of.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from ..graph.algebra import exact
from ..graph.node import Builder, Node

__all__ = ["ROOTS", "Guarded", "combine", "is_root", "root_guard", "scale", "select"]

_LOGIC = frozenset({"and", "or", "not"})
#: Partials by which a derivative is not just multiplied.
_TELLING = frozenset({"number", "where", "neg", "div"})
#: A longer guard is folded, so that the work on a chain of branches is linear.
_LONGEST = 4

#: Functions whose slope at 0 can be infinite where they are 0.
ROOTS = frozenset({"sqrt", "cbrt", "pow"})
#: Functions of one value that are 0 where it is.
_THROUGH_ZERO = frozenset(
    {
        *("step", "broadcast", "neg", "abs", "sqrt", "cbrt", "sin", "tan", "asin", "atan"),
        *("sinh", "tanh", "asinh", "atanh", "expm1", "log1p", "erf"),
    }
)
#: How many sums and products a support is looked for behind.
_REACH = 6


#: A derivative behind the conditions under which it counts; all of them must hold.
Guarded = tuple[tuple[Node, ...], Node]


def select(b: Builder, term: Guarded) -> Node:
    """Return the derivative as one node: the value under its guard, else 0."""
    guard, value = term
    if not guard:
        return value
    zero = b.number(0)
    *outer, inner = guard
    if not outer or _compared(inner) <= _compared(outer[0]):
        return b.apply("where", _holds(b, guard), value, zero)
    value = b.apply("where", inner, value, zero)
    return b.apply("where", _holds(b, tuple(outer)), value, zero)


def _holds(b: Builder, guard: tuple[Node, ...]) -> Node:
    """Return a guard as one condition.

    Its conditions are asked in their order, outer ones first: where one does not hold, the
    later ones mean nothing, and a NaN in them must not count. In an ``and`` it would, so
    that joins only what compares nothing but values that the outermost condition compares.
    """
    result, *rest = guard
    always = _compared(result) if rest else set()
    for condition in rest:
        if _compared(condition) <= always:
            result = b.apply("and", result, condition)
        else:
            both = b.apply("where", result, b.real(condition), b.number(0))
            result = b.condition(both)
    return result


def _compared(condition: Node) -> set[Node]:
    """Return the values that make a condition NaN when they are."""
    found: set[Node] = set()
    pending = [condition]
    while pending:
        node = pending.pop()
        if node.op in _LOGIC:
            pending.extend(node.operands)
        elif node.op != "truth":
            found.update(operand for operand in node.operands if exact(operand) is None)
    return found


def scale(b: Builder, term: Guarded, partial: Node) -> Guarded | None:
    """Return the derivative times a local partial, None if the partial is 0.

    A partial that is itself a ``where`` (a kink, a branch) selects instead of multiplying.
    """
    guard, value = term
    op = partial.op
    if op not in _TELLING and value.op != "number":
        return guard, b.apply("mul", value, partial)
    if op == "number":
        literal = exact(partial)
        if literal == 0:
            return None
        if literal == 1:
            return term
    if op != "where":
        return guard, _product(b, value, partial)
    scaled = _times(b, value, partial)
    return None if scaled is None else (guard + scaled[0], scaled[1])


def _times(b: Builder, value: Node, partial: Node) -> Guarded | None:
    if exact(partial) == 0:
        return None
    if partial.op != "where":
        return (), _product(b, value, partial)
    condition, yes, no = partial.operands
    opposite = b.apply("not", condition)
    first, second = _times(b, value, yes), _times(b, value, no)
    if first is None:
        return None if second is None else ((opposite, *second[0]), second[1])
    if second is None:
        return (condition, *first[0]), first[1]
    chosen = b.apply("where", condition, first[1], second[1])
    if not first[0] and not second[0]:
        return (), chosen
    one = b.number(1)
    either = b.apply(
        "where", condition, select(b, (first[0], one)), select(b, (second[0], one))
    )
    return (b.condition(either),), chosen


def is_root(node: Node) -> bool:
    """Tell whether the slope of an operation at 0 is infinite."""
    if node.op == "pow":
        exponent = exact(node.operands[1])
        return exponent is not None and exponent > 0 and exponent.denominator > 1
    return node.op in ROOTS


def root_guard(b: Builder, node: Node) -> tuple[Node, ...]:
    """Return the guard of the slope of one of `ROOTS`, the support of what it is taken of.

    Where that is 0 for a whole region, as x*max(y, 0) is for negative y, so is the derivative,
    and not 0*inf. A ``max`` or ``where`` alone guards its own derivative.
    """
    if not is_root(node):
        return ()
    base = _zero_with(node.operands[0])
    return _support(b, base) if base.op in ("add", "sub", "mul", "div") else ()


def _zero_with(node: Node) -> Node:
    """Return a value that is 0 where another one is, as far down as there is one operand."""
    while node.op in _THROUGH_ZERO or (node.op == "pow" and (exact(node.operands[1]) or 0) > 0):
        node = node.operands[0]
    return node


def _support(b: Builder, node: Node, reach: int = _REACH) -> tuple[Node, ...]:
    """Return conditions, outer ones first, without which a value is 0 on a whole region."""
    node = _zero_with(node)
    op, operands = node.op, node.operands
    if op == "where":
        condition, yes, no = operands
        if exact(no) == 0:
            return (condition,)
        return (b.apply("not", condition),) if exact(yes) == 0 else ()
    if op == "relu":
        return (b.apply("gt", operands[0], b.number(0)),)
    if op in ("max", "min") and len(operands) == 2:
        for one, other in (operands, operands[::-1]):
            if exact(other) == 0:
                return (b.apply("gt" if op == "max" else "lt", one, other),)
    if not reach:
        return ()
    if op == "div":
        return _support(b, operands[0], reach - 1)
    if op in ("add", "sub", "mul"):
        parts = [_support(b, operand, reach - 1) for operand in operands]
        if op == "mul":
            return tuple(dict.fromkeys(condition for part in parts for condition in part))
        if all(parts):
            return (reduce(lambda x, y: b.apply("or", x, y), (_holds(b, p) for p in parts)),)
    return ()


def _product(b: Builder, value: Node, partial: Node) -> Node:
    """Return value*partial; a partial 1/q divides, which rounds once instead of twice."""
    if exact(value) == 1:
        return partial
    op = partial.op
    if op == "number" and exact(partial) == 1:
        return value
    if op == "neg":
        return b.apply("neg", _product(b, value, partial.operands[0]))
    if op == "div" and exact(partial.operands[0]) == 1:
        return b.apply("div", value, partial.operands[1])
    return b.apply("mul", value, partial)


def combine(b: Builder, terms: Sequence[Guarded]) -> Guarded:
    """Return the sum of one or more derivatives.

    Terms under the same guard are added; the two sides of one condition become one
    ``where``; only what remains is selected and added.
    """
    guard, value = terms[0]
    if len(guard) <= _LONGEST:
        for other, more in terms[1:]:
            if other != guard:
                break
            value = b.apply("add", value, more)
        else:
            return guard, value
    groups: dict[tuple[Node, ...], Node] = {}
    for guard, value in terms:
        known = groups.get(guard)
        groups[guard] = value if known is None else b.apply("add", known, value)
    if len(groups) > 1:
        _join_sides(b, groups)
    (guard, value), *rest = groups.items()
    for other_guard, other_value in rest:
        guard, value = _either(b, guard, value, other_guard, other_value)
    if len(guard) > _LONGEST:
        # As a number the folded guard is one value to compare, however long it was.
        folded = select(b, (guard[:-1], b.number(1)))
        guard = (b.condition(folded), guard[-1])
    return guard, value


def _accumulate(
    b: Builder, groups: dict[tuple[Node, ...], Node], guard: tuple[Node, ...], value: Node
) -> None:
    known = groups.get(guard)
    groups[guard] = value if known is None else b.apply("add", known, value)


def _join_sides(b: Builder, groups: dict[tuple[Node, ...], Node]) -> None:
    """Replace the derivatives on both sides of one condition by a single ``where``."""
    pending = sorted((guard for guard in groups if guard), key=len)
    while pending:
        guard = pending.pop()
        if guard not in groups:
            continue
        *outer, condition = guard
        sibling = (*outer, b.apply("not", condition))
        if sibling not in groups or sibling == guard:
            continue
        yes, no = groups.pop(guard), groups.pop(sibling)
        merged = tuple(outer)
        _accumulate(b, groups, merged, b.apply("where", condition, yes, no))
        if merged:
            pending.append(merged)
            pending.sort(key=len)


def _either(
    b: Builder,
    guard: tuple[Node, ...],
    value: Node,
    other_guard: tuple[Node, ...],
    other_value: Node,
) -> tuple[tuple[Node, ...], Node]:
    """Add two derivatives under different guards."""
    shared = 0
    for one, two in zip(guard, other_guard, strict=False):
        if one is not two:
            break
        shared += 1
    common, mine, theirs = guard[:shared], guard[shared:], other_guard[shared:]
    total = b.apply("add", select(b, (mine, value)), select(b, (theirs, other_value)))
    if not mine or not theirs:
        return common, total
    return (*common, b.apply("or", _holds(b, mine), _holds(b, theirs))), total
