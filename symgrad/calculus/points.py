"""Derivatives of reductions: how much every point counts, and sums over points.

The derivative of a reduction by its operand is a value at every point. That of a maximum
asks which points attain it; that of a product is the product of the other factors, for which
the factors 0 (and infinite ones) are set aside, so that nothing is divided by 0.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from ..graph.algebra import exact
from ..graph.lower import Template, template
from ..graph.node import Builder, Node
from ..language.parse import parse
from .rules import Style

__all__ = ["total", "weight"]

#: The points that attain a maximum or minimum m share its derivative equally.
_EXTREMUM = ("where(x == m, 1/ties, 0)", ("x", "m", "ties"))

#: A factor by which a product can be divided.
_ORDINARY = ("x != 0 and abs(x) < inf", ("x",))

#: The product of all factors but x. It is p/x, p the whole product, where x is an ordinary
#: number and p neither underflows nor overflows. Among r factors that are not ordinary, it
#: is the product q of the ordinary ones times the other of two, which is their sum s less x:
#: so second derivatives are right as well.
_PRODUCT = (
    f"where({_ORDINARY[0]}, p/x, where(r == 1, q, where(r == 2, q*(s - x), p*sign(x))))",
    ("x", "p", "q", "r", "s"),
)

#: How many terms and factors of a summand are looked at, so that work stays linear.
_TERMS, _FACTORS = 8, 32
_INVERSE = {"mul": "div", "div": "mul"}


@cache
def _template(formula: str, names: tuple[str, ...]) -> Template:
    return template(parse(formula, inputs=names))


def weight(b: Builder, node: Node, style: Style) -> Node:
    """Return the derivative of a reduction by its operand, at every point."""
    (x,) = node.operands
    mask = x.axes & ~node.axes
    if node.payload == "sum":
        return b.number(1)
    if node.payload in ("max", "min"):
        ties = b.reduce(b.apply("eq", x, node), mask)
        return _template(*_EXTREMUM)(b, (x, node, ties))
    if style == "textbook":
        return b.apply("div", node, x)
    zero, one = b.number(0), b.number(1)
    ordinary = _template(*_ORDINARY)(b, (x,))
    q = b.reduce(b.apply("where", ordinary, x, one), mask, "prod")
    r = b.reduce(b.apply("where", ordinary, zero, one), mask)
    s = b.reduce(b.apply("where", ordinary, zero, x), mask)
    return _template(*_PRODUCT)(b, (x, node, q, r, s))


class _Term(NamedTuple):
    """A product: its sign, what varies over the axes of a sum, and what does not.

    Factors come with how they enter: "mul", "div", or "where" for a condition without which
    the product is 0.
    """

    negative: bool
    inside: list[tuple[Node, str]]
    outside: list[tuple[Node, str]]


def total(b: Builder, node: Node, mask: int) -> Node:
    """Return the sum of a derivative over axes, taken as early as possible.

    In ``sum(w*x/norm(x))`` the norm does not vary and leaves the sum: ``sum(w*x)`` need not
    wait for the norm, and both are taken in one pass over the points. A sum is only changed
    where that saves waiting.
    """
    if node.phase:
        terms = [_term(term, mask, negative) for term, negative in _terms(node)]
        if all(_phase(term.inside) < node.phase for term in terms):
            sums = [_sum(b, term, mask) for term in terms]
            result = b.apply("neg", sums[0]) if terms[0].negative else sums[0]
            for term, value in zip(terms[1:], sums[1:], strict=True):
                result = b.apply("sub" if term.negative else "add", result, value)
            return result
    return b.reduce(node, mask)


def _phase(factors: list[tuple[Node, str]]) -> int:
    return max((factor.phase for factor, _ in factors), default=0)


def _terms(node: Node) -> list[tuple[Node, bool]]:
    """Return the terms of a sum in order, and whether each is subtracted."""
    found: list[tuple[Node, bool]] = []
    pending = [(node, False)]
    while pending:
        term, negative = pending.pop()
        if term.op in ("add", "sub") and len(found) + len(pending) < _TERMS:
            left, right = term.operands
            pending.append((right, negative != (term.op == "sub")))
            pending.append((left, negative))
        elif term.op == "neg":
            pending.append((term.operands[0], not negative))
        else:
            found.append((term, negative))
    return found


def _term(node: Node, mask: int, negative: bool) -> _Term:
    """Return the factors of a product, sorted by whether they vary over the axes."""
    term = _Term(negative, [], [])
    pending = [(node, "mul")]
    looked = 0
    while pending:
        factor, how = pending.pop()
        looked += 1
        if not factor.axes & mask:
            term.outside.append((factor, how))
        elif looked == _FACTORS:
            term.inside.append((factor, how))
        elif factor.op in ("mul", "div"):
            left, right = factor.operands
            pending.append((right, how if factor.op == "mul" else _INVERSE[how]))
            pending.append((left, how))
        elif factor.op in ("neg", "step"):
            pending.append((factor.operands[0], how))
            term = term._replace(negative=term.negative != (factor.op == "neg"))
        elif how == "mul" and _guards(factor, mask):
            condition, value, _ = factor.operands
            term.outside.append((condition, "where"))
            pending.append((value, how))
        else:
            term.inside.append((factor, how))
    return term


def _guards(node: Node, mask: int) -> bool:
    """Tell whether a node is 0 at all points at once or a value at all of them."""
    if node.op != "where":
        return False
    condition, _, no = node.operands
    return not condition.axes & mask and exact(no) == 0


def _sum(b: Builder, term: _Term, mask: int) -> Node:
    """Return the sum of a term without its sign, what does not vary outside."""
    value = b.reduce(_times(b, b.number(1), term.inside), mask)
    value = _times(b, value, [(node, how) for node, how in term.outside if how != "where"])
    # A selection comes last: what is not selected may be infinite.
    for condition, how in reversed(term.outside):
        if how == "where":
            value = b.apply("where", condition, value, b.number(0))
    return value


def _times(b: Builder, value: Node, factors: list[tuple[Node, str]]) -> Node:
    for factor, how in factors:
        value = b.apply(how, value, factor)
    return value
