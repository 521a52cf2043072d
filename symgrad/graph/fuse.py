"""A product that is added to something is rounded once, with the sum.

Processors multiply and add in one instruction, ``fma(x, y, z)``, which takes as long as the sum
alone and has one rounding instead of two. Languages let compilers choose where, so that the
bits depend on the loop; here the Graph says it, and numbers, arrays and tapes compute the same.

What the user wrote keeps what is exact about it. A sum of two products stays as it is, since
x*y - u*v is 0 where the products are equal and symmetric where the formula is. A product
that other things use as well is not fused either: x*y - floor(x*y) is never negative, since
what is subtracted comes from the product as it was rounded. In derivatives the same product is
often needed again and still saves the rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from fractions import Fraction

from .algebra import exact, power_of_two
from .node import Builder, Graph, Node

__all__ = ["fuse_products", "sums_to_fuse"]


def sums_to_fuse(graph: Graph) -> frozenset[Node]:
    """Return the sums of a Program that are fused with a product.

    They do not depend on what is derived from them, so a value has the same bits with its
    derivatives and without.
    """
    uses = Counter(operand for node in graph.nodes() for operand in node.operands)
    uses.update(output.node for output in graph.outputs)
    return frozenset(
        node
        for node in graph.nodes()
        if (product := _product(node)) is not None
        if uses[product] == 1
    )


def fuse_products(graph: Graph, chosen: Collection[Node]) -> Graph:
    """Return a Graph whose sums with a product are fused, with nodes in the same order.

    Args:
        graph: what is to be computed, after all transformations.
        chosen: the sums of the Program that are fused; of those of derivatives all are.

    >>> from symgrad.graph.lower import lower
    >>> from symgrad.language.parse import parse
    >>> graph = lower(parse("a*x + b"))
    >>> print(fuse_products(graph, sums_to_fuse(graph)))
    %0 = input(a)
    %1 = input(x)
    %2 = input(b)
    %3 = fma(%0, %1, %2)
    value <- %3
    """
    nodes = sorted({*graph.nodes(), *graph.inputs}, key=lambda node: node.index)
    products = {
        node: product
        for node in nodes
        if node.index >= graph.primal or node in chosen
        if (product := _product(node)) is not None
    }
    if not products:
        return graph
    needed = {*graph.inputs, *(output.node for output in graph.outputs)}
    for node in reversed(nodes):
        if node in needed:
            needed.update(_operands(node, products.get(node)))
    b = Builder()
    new: dict[Node, Node] = {}
    primal = 0
    for node in nodes:
        if node not in needed:
            continue
        product = products.get(node)
        operands = [new[operand] for operand in _operands(node, product)]
        new[node] = (
            b.like(node, tuple(operands))
            if product is None
            else _fused(b, node, product, operands)
        )
        if node.index < graph.primal:
            primal = len(b)
    return replace(
        graph,
        builder=b,
        inputs=tuple(new[node] for node in graph.inputs),
        outputs=tuple(output._replace(node=new[output.node]) for output in graph.outputs),
        steps=tuple(new[step] for step in graph.steps if step in new),
        primal=primal,
        bars={new[x]: new[y] for x, y in graph.bars.items() if x in new and y in new},
        repeats={},
    )


def _product(node: Node) -> Node | None:
    """Return the operand of a sum or a difference that can be fused with it, None if none.

    That is a product unless both are; else a multiple by a power of 2, which is exact.
    """
    if node.op not in ("add", "sub"):
        return None
    products = [operand for operand in node.operands if _is_product(operand)]
    if not products:
        products = [operand for operand in node.operands if _is_exact(operand)][:1]
    return products[0] if len(products) == 1 else None


def _is_exact(node: Node) -> bool:
    """Tell whether a node is a multiple by a small power of 2, which rounds next to nothing."""
    if node.op == "div":
        return power_of_two(node.operands[1]) != 0
    return node.op == "mul" and any(map(power_of_two, node.operands))


def _is_product(node: Node) -> bool:
    """Tell whether a node is a product that is rounded."""
    if node.op == "pow":
        return exact(node.operands[1]) == 2
    return node.op == "mul" and not _is_exact(node)


def _operands(node: Node, product: Node | None) -> tuple[Node, ...]:
    """Return what a node is made of: with a product, of its factors and what is added.

    Powers of 2 that are divided by are not among them.
    """
    if product is None:
        return node.operands
    left, right = node.operands
    factors = product.operands if product.op == "mul" else product.operands[:1]
    return (*factors, right if product is left else left)


def _fused(b: Builder, node: Node, product: Node, operands: Sequence[Node]) -> Node:
    """Return a sum or a difference with a product as one operation."""
    b.origin = node.origin
    *factors, other = operands
    if product.op == "pow":
        factors *= 2
    elif product.op == "div":
        factors.append(b.number(Fraction(2) ** -power_of_two(product.operands[1])))
    op = "fma" if node.op == "add" else "fms" if product is node.operands[0] else "fnma"
    return b.unchanged(op, *factors, other)
