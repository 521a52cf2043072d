"""Arithmetic of derivatives is done once: factors leave sums, quotients share a reciprocal.

A reverse sweep multiplies adjoints by local partials one after the other, and many of them
are parameters, literals or the 1/n of a mean. In a sum over points they would be multiplied at
each point; a sum is linear, so they are applied to its result, once. Sums that still vary are
left alone, for their results would need a pass of their own.

The quotient rule divides by one denominator several times, and a division takes as long as
nine products. Derivatives that divide by what something else is divided by as well become
products with the reciprocal, which costs each half a unit in the last place; that of a
parameter is found once for all points. The derivative of log(x/y) divides by x/y and then by
y: that is to divide by x.

What the user wrote is not touched: sums of the Program keep their terms, and its quotients
are rounded once: x/sqrt(x**2 + y) is never above 1. In derivatives quotients by a root are
products with an inverse root, and doubling and halving, which round nothing but at the ends of
the range, are left out where they meet in a product, as in the derivative of x**2/2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from .algebra import exact, power_of_two
from .node import LITERALS, Builder, Graph, Node
from .stability import rebuilt

__all__ = [
    "cancel_quotients",
    "cancel_twos",
    "divide_by_roots",
    "factor_sums",
    "invert_roots",
    "merge_roots",
    "share_reciprocals",
]


#: Denominators that keep their quotients: literals, and what rules divide by step by step
#: because its reciprocal overflows where the quotient does not.
_AS_WRITTEN = frozenset({"number", "hypot"})
#: Operations that a power of 2 can be moved through.
_CHAIN = frozenset({"mul", "div", "neg"})
#: A power of 2 beyond this one could leave the range of float32.
_LARGEST_SCALE = 64


class _Product(NamedTuple):
    """A value as a product: its sign, what it is multiplied or divided by, and the rest."""

    negative: bool
    factors: tuple[tuple[str, Node], ...]
    rest: Node

    def times(self, op: str, factor: Node) -> _Product:
        factors = sorted((*self.factors, (op, factor)), key=lambda item: item[1].index)
        return self._replace(factors=tuple(factors))


def factor_sums(graph: Graph) -> Graph:
    """Return a Graph in which sums of derivatives have no factors that do not vary.

    >>> from symgrad.calculus.transform import Gradient
    >>> from symgrad.compiler import Variant, build_graph
    >>> from symgrad.language.parse import parse
    >>> graph, _ = build_graph(parse("sum(a*x)"), [Gradient()], Variant((0, 1), 1))
    >>> print(factor_sums(graph).outputs[0].node.op)
    reduce
    """
    if "reduce" not in graph.census():
        return graph
    order = graph.nodes()
    linear = _linear(graph, order)
    if not any(node.op == "reduce" and node.operands[0] in linear for node in order):
        return graph
    b = graph.builder
    origin = b.origin
    products: dict[Node, _Product] = {}
    new: dict[Node, Node] = {}
    for node in order:
        b.origin = node.origin
        if node in linear:
            products[node] = _product(b, node, products, new)
            continue
        operand = node.operands[0] if node.op == "reduce" else None
        if operand is None or operand not in linear:
            missing = [o for o in node.operands if o not in new]
            new.update((o, _value(b, products[o])) for o in missing)
            new[node] = rebuilt(b, node, new)
            continue
        product = products[operand]
        total = b.reduce(product.rest, operand.axes & ~node.axes)
        new[node] = _value(b, product._replace(rest=total))
    b.origin = origin
    return graph.rewritten(new)


def cancel_quotients(graph: Graph) -> Graph:
    """Return a Graph in which a derivative g/(x/y)/y is g/x.

    >>> from symgrad.calculus.transform import Gradient
    >>> from symgrad.compiler import Variant, build_graph
    >>> from symgrad.language.parse import parse
    >>> graph, _ = build_graph(parse("log(x/y)"), [Gradient(("x",))], Variant((0, 0)))
    >>> [node.op for node in graph.nodes()].count("div")
    1
    """
    if graph.census().get("div", 0) < 3:
        return graph
    order = graph.nodes()
    cancelled = {
        node
        for node in order
        if node.op == "div" and node.index >= graph.primal
        if (above := node.operands[0]).op == "div"
        if (quotient := above.operands[1]).op == "div"
        if quotient.operands[1] is node.operands[1]
    }

    def by_numerator(b: Builder, node: Node, new: Mapping[Node, Node]) -> Node:
        g, quotient = node.operands[0].operands
        x = quotient.operands[0]
        return b.apply("div", new.get(g, g), new.get(x, x))

    return _with_others(graph, order, cancelled, by_numerator)


class _Scaled(NamedTuple):
    """A value as 2**power times another one, and of how many powers of 2 that is made."""

    power: int
    parts: int
    rest: Node


def cancel_twos(graph: Graph) -> Graph:
    """Return a Graph in which a product of derivatives has one small power of 2 at most.

    >>> from symgrad.calculus.transform import Gradient
    >>> from symgrad.compiler import Variant, build_graph
    >>> from symgrad.language.parse import parse
    >>> graph, _ = build_graph(parse("x**2/2"), [Gradient()], Variant((0,)))
    >>> graph.outputs[0].node.op
    'input'
    """
    order = graph.nodes()
    if not any(map(power_of_two, order)):
        return graph
    chained: dict[Node, bool] = {}
    for node in order:
        for operand in node.operands:
            chained[operand] = operand not in chained and node.op in _CHAIN
    for output in graph.outputs:
        chained[output.node] = False
    b = graph.builder
    origin = b.origin
    new: dict[Node, Node] = {}
    scaled: dict[Node, _Scaled] = {}
    for node in order:
        if node.index < graph.primal:
            continue
        b.origin = node.origin
        made = rebuilt(b, node, new)
        factors = [scaled.get(o) or _factor(new, o) for o in node.operands]
        if node.op in _CHAIN and any(factor.parts for factor in factors):
            found = _scaled(b, node, factors)
            if chained[node]:
                scaled[node] = found
            elif abs(found.power) <= _LARGEST_SCALE:
                inside = node.op == "mul" and any(o in scaled for o in node.operands)
                made = _multiplied(b, found, factors if inside else ()) or made
        if made is not node:
            new[node] = made
    b.origin = origin
    return graph.rewritten(new)


def _factor(new: Mapping[Node, Node], node: Node) -> _Scaled:
    """Return an operand of a product: a power of 2, or something else."""
    power = power_of_two(node)
    return _Scaled(power, 1, node) if power else _Scaled(0, 0, new.get(node, node))


def _scaled(b: Builder, node: Node, operands: list[_Scaled]) -> _Scaled:
    """Return a product, a quotient or what is negated without the powers of 2 inside."""
    parts = sum(operand.parts for operand in operands)
    if node.op == "neg":
        return operands[0]._replace(rest=b.apply("neg", operands[0].rest))
    one, two = operands
    power = one.power + two.power if node.op == "mul" else one.power - two.power
    if node.op == "mul" and power_of_two(node.operands[0]):
        return _Scaled(power, parts, two.rest)
    if power_of_two(node.operands[1]):
        return _Scaled(power, parts, one.rest)
    first = b.number(1) if power_of_two(node.operands[0]) else one.rest
    return _Scaled(power, parts, b.apply(node.op, first, two.rest))


def _multiplied(b: Builder, found: _Scaled, factors: Sequence[_Scaled]) -> Node | None:
    """Return a product that ends in its power of 2, None if it is best as it is.

    Args:
        b: makes the nodes.
        found: the product.
        factors: both factors if the power of 2 is inside one of them: in g*(2*x) and g*(2*y)
            it is 2*g that can be shared.
    """
    if not found.power:
        return found.rest
    scale = b.number(Fraction(2) ** found.power)
    if found.parts > 1:
        return b.apply("mul", found.rest, scale)
    if not factors:
        return None
    one, two = sorted(factors, key=lambda factor: factor.parts)
    return b.apply("mul", b.apply("mul", one.rest, scale), two.rest)


def invert_roots(graph: Graph) -> Graph:
    """Return a Graph in which derivatives multiply by rsqrt(x) and do not divide by sqrt(x).

    That rounds no more than the root and the quotient, and takes a quarter of their time.

    >>> from symgrad.calculus.transform import Gradient
    >>> from symgrad.compiler import Variant, build_graph
    >>> from symgrad.language.parse import parse
    >>> graph, _ = build_graph(parse("x/sqrt(y)"), [Gradient(("x",))], Variant((0, 0)))
    >>> graph.outputs[0].node.op
    'rsqrt'
    """
    if not {"div", "sqrt"} <= graph.census().keys():
        return graph
    order = graph.nodes()
    quotients = {
        node
        for node in order
        if node.op == "div" and node.index >= graph.primal
        if (root := node.operands[1]).op == "sqrt" and root.operands[0].op not in LITERALS
    }

    def by_rsqrt(b: Builder, node: Node, new: Mapping[Node, Node]) -> Node:
        above, root = node.operands
        below = root.operands[0]
        return b.apply("mul", new.get(above, above), b.apply("rsqrt", new.get(below, below)))

    return _with_others(graph, order, quotients, by_rsqrt)


def divide_by_roots(graph: Graph) -> Graph:
    """Return a Graph in which derivatives divide by the roots that the Program takes.

    It undoes `invert_roots`, and suits numbers that are divided fast.
    """
    if "rsqrt" not in graph.census():
        return graph
    order = graph.nodes()
    roots = graph.builder.interned("sqrt")
    inverse = {
        node
        for node in order
        if node.op == "rsqrt" and node.index >= graph.primal
        if (root := roots.get(node.operands)) is not None and root.index < graph.primal
    }

    def by_root(b: Builder, node: Node, new: Mapping[Node, Node]) -> Node:
        (below,) = node.operands
        root = b.apply("sqrt", new.get(below, below))
        return b.apply("div", b.number(1), root)

    return _with_others(graph, order, inverse, by_root)


def merge_roots(graph: Graph) -> Graph:
    """Return a Graph in which derivatives divide by x where they multiplied by rsqrt(x) twice.

    That is so for an x that is a sum of squares, and that something else is divided by before:
    the reciprocal is there for both, and the inverse root is not needed.

    >>> from symgrad.calculus.transform import Gradient
    >>> from symgrad.compiler import Variant, build_graph
    >>> from symgrad.language.parse import parse
    >>> program = parse("1/(x**2 + 1) + 1/sqrt(x**2 + 1)")
    >>> graph, _ = build_graph(program, [Gradient()], Variant((0,)))
    >>> "rsqrt" in graph.census()
    False
    """
    if not {"div", "rsqrt"} <= graph.census().keys():
        return graph
    order = graph.nodes()
    # From which node on: what comes later, a second derivative, changes nothing before it.
    # Of the Program only reciprocals count, since derivatives cannot use its other quotients.
    divided = {
        node.operands[1]: node.index
        for node in reversed(order)
        if node.op == "div" and (node.index >= graph.primal or exact(node.operands[0]) == 1)
        if _is_sum_of_squares(node.operands[1])
    }
    if not divided:
        return graph
    b = graph.builder
    origin = b.origin
    new: dict[Node, Node] = {}
    #: Products with an inverse root: of what, and what else is in them.
    rooted: dict[Node, tuple[Node, Node]] = {}
    for node in order:
        if node.index < graph.primal:
            continue
        b.origin = node.origin
        made = rebuilt(b, node, new)
        if node.op == "rsqrt" and node.operands[0] in divided:
            rooted[node] = node.operands[0], b.number(1)
        elif node.op in ("mul", "neg"):
            roots = [rooted[o][0] for o in node.operands if o in rooted]
            rests = (rooted[o][1] if o in rooted else new.get(o, o) for o in node.operands)
            met = len(roots) == 2 and roots[0] is roots[1]
            if met and divided[roots[0]] < node.index:
                below = new.get(roots[0], roots[0])
                made = b.apply("div", b.apply(node.op, *rests), below)
            elif len(roots) == 1:
                rooted[node] = roots[0], b.apply(node.op, *rests)
        if made is not node:
            new[node] = made
    b.origin = origin
    return graph.rewritten(new)


def _is_sum_of_squares(node: Node) -> bool:
    """Tell whether a node is a sum of powers with even exponents and positive literals."""
    if node.op == "step":
        return _is_sum_of_squares(node.operands[0])
    if node.op == "add":
        return all(map(_is_sum_of_squares, node.operands))
    value = exact(node.operands[1] if node.op == "pow" else node)
    return value is not None and (value % 2 == 0 if node.op == "pow" else value > 0)


def share_reciprocals(graph: Graph) -> Graph:
    """Return a Graph in which derivatives divide by each denominator once.

    They multiply by its reciprocal if they or the Program divide by it more than once.

    >>> from symgrad.calculus.transform import Gradient
    >>> from symgrad.compiler import Variant, build_graph
    >>> from symgrad.language.parse import parse
    >>> graph, _ = build_graph(parse("1/(x*y + 1)"), [Gradient()], Variant((0, 0)))
    >>> [node.op for node in graph.nodes()].count("div")
    1
    """
    if "div" not in graph.census():
        return graph
    order = graph.nodes()
    divided: dict[Node, int] = {}
    closed: set[Node] = set()
    for node in order:
        if node.op == "div":
            below = node.operands[1]
            # The reciprocal of a constant such as sqrt(2) is found before the loops.
            divided[below] = divided.get(below, 0) + 1 + (below in closed)
        if node.op in ("number", "constant") or (
            node.operands and closed.issuperset(node.operands)
        ):
            closed.add(node)
    shared = {n for n, count in divided.items() if count > 1 and n.op not in _AS_WRITTEN}
    if not shared:
        return graph
    quotients = {
        node
        for node in order
        if node.op == "div" and node.index >= graph.primal and node.operands[1] in shared
    }

    def by_reciprocal(b: Builder, node: Node, new: Mapping[Node, Node]) -> Node:
        above, below = (new.get(operand, operand) for operand in node.operands)
        return b.apply("mul", above, b.apply("div", b.number(1), below))

    return _with_others(graph, order, quotients, by_reciprocal)


def _with_others(
    graph: Graph,
    order: list[Node],
    replaced: set[Node],
    other: Callable[[Builder, Node, Mapping[Node, Node]], Node],
) -> Graph:
    """Return a Graph with other nodes in the place of some, and what uses them rebuilt.

    Args:
        graph: the Graph.
        order: its nodes in order.
        replaced: those to replace.
        other: makes the node in the place of one, given what is in the place of those before.
    """
    if not replaced:
        return graph
    b = graph.builder
    origin = b.origin
    new: dict[Node, Node] = {}
    for node in order:
        b.origin = node.origin
        made = other(b, node, new) if node in replaced else rebuilt(b, node, new)
        if made is not node:
            new[node] = made
    b.origin = origin
    return graph.rewritten(new)


def _linear(graph: Graph, order: list[Node]) -> set[Node]:
    """Return the products, quotients and sums of derivatives that only sums need."""
    kept = {output.node for output in graph.outputs}
    linear: set[Node] = {
        node
        for node in order
        if node.axes and node.index >= graph.primal and node not in kept
        if node.op in ("add", "sub", "mul", "div", "neg")
    }
    for node in reversed(order):
        sums = node.op == "reduce" and node.payload == "sum"
        if sums and not node.axes and node.index >= graph.primal:
            continue
        if node not in linear:
            linear.difference_update(node.operands)
        elif node.op == "div":
            linear.discard(node.operands[1])
    return linear


def _product(
    b: Builder, node: Node, products: Mapping[Node, _Product], new: Mapping[Node, Node]
) -> _Product:
    """Return a value with the factors that do not vary apart."""

    def of(operand: Node) -> _Product:
        return products.get(operand) or _Product(False, (), new[operand])

    if node.op == "neg":
        inner = of(node.operands[0])
        return inner._replace(negative=not inner.negative)
    left, right = node.operands
    if node.op == "mul" and not left.axes:
        return of(right).times("mul", new[left])
    if node.op in ("mul", "div") and not right.axes:
        return of(left).times(node.op, new[right])
    one, other = of(left), of(right)
    if node.op == "div":
        if not left.axes:
            inverse = b.apply("div", b.number(1), other.rest)
            return _Product(False, (("mul", new[left]),), inverse)
        return one._replace(rest=b.apply("div", one.rest, other.rest))
    if node.op == "mul":
        rest = b.apply("mul", one.rest, other.rest)
        found = _Product(one.negative != other.negative, one.factors, rest)
        for op, factor in other.factors:
            found = found.times(op, factor)
        return found
    if one.factors != other.factors:
        return _Product(False, (), b.apply(node.op, _value(b, one), _value(b, other)))
    alike = one.negative == other.negative
    op = "add" if alike == (node.op == "add") else "sub"
    return one._replace(rest=b.apply(op, one.rest, other.rest))


def _value(b: Builder, product: _Product) -> Node:
    """Return a product multiplied out."""
    value = product.rest
    for op, factor in product.factors:
        value = b.apply(op, value, factor)
    return b.apply("neg", value) if product.negative else value
