"""From a Graph back to SymPy, for people to read and to go on with.

Sharing is kept, so a lifted expression costs memory in proportion to its distinct nodes.
Named steps stay symbols unless they are to be written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sympy as sp
from sympy.printing.codeprinter import PrintMethodNotImplementedError
from sympy.printing.pycode import PythonCodePrinter

from ..errors import LimitError, UnsupportedError
from ..language.functions import FUNCTIONS
from ..language.program import Number
from .algebra import exact
from .node import Node, ancestors

__all__ = ["as_latex", "as_python", "as_text", "lift", "meaning"]


def lift(root: Node, *, inline: bool = False) -> Any:
    """Return a node as a SymPy expression over real symbols.

    Args:
        root: the node. A named step is its name; for what it stands for, lift `meaning`.
        inline: write named steps out in terms of the inputs instead of keeping their names.

    Raises:
        LimitError: the expression is nested too deeply for SymPy, which recurses.
    """
    steps = () if inline else [n for n in ancestors([root]) if n.op == "step"]
    order = ancestors([root], steps)
    barrier = set(steps)
    inner = _links_of_chains(order, root)
    lifted: dict[Node, Any] = {}
    try:
        for node in order:
            if node in barrier:
                lifted[node] = _symbol(node)
            elif node not in inner:
                lifted[node] = _lift(node, lifted, inner)
    except RecursionError:
        raise LimitError(
            "the expression is nested too deeply for SymPy",
            hint="give names to its parts, or compute with grad(...) instead",
        ) from None
    return lifted[root]


def meaning(node: Node) -> Node:
    """Return what a named step stands for; any other node is itself."""
    while node.op in ("step", "broadcast"):
        named = node.op == "step"
        (node,) = node.operands
        if named:
            break
    return node


def _links_of_chains(order: list[Node], root: Node) -> set[Node]:
    """Return the sums and products that only serve a longer sum or product.

    SymPy flattens sums and products: building them link by link would take time that is
    quadratic in their length.
    """
    users: dict[Node, list[Node]] = {}
    for node in order:
        for operand in node.operands:
            users.setdefault(operand, []).append(node)
    return {
        node
        for node in order
        if node is not root
        and len(users.get(node, ())) == 1
        and _family(node) is not None
        and _family(node) == _family(users[node][0])
    }


def _family(node: Node) -> str | None:
    return {"add": "sum", "sub": "sum", "mul": "product"}.get(node.op)


def _symbol(node: Node) -> Any:
    return sp.Symbol(str(node.payload), real=True)


def _lift(node: Node, lifted: Mapping[Node, Any], inner: set[Node]) -> Any:
    op = node.op
    if op in ("add", "sub"):
        return sp.Add(*_terms(node, lifted, inner))
    if op == "mul":
        return sp.Mul(*_factors(node, lifted, inner))
    if op == "number":
        return _number(node)
    if op == "constant":
        return {"pi": sp.pi, "e": sp.E}[str(node.payload)]
    if op == "truth":
        return sp.true if node.payload else sp.false
    if op == "input":
        return _symbol(node)
    if op in ("step", "broadcast"):
        return lifted[node.operands[0]]
    if op == "where":
        return _piecewise(node, lifted)
    if op == "reduce":
        return sp.Function(str(node.payload))(lifted[node.operands[0]])
    if op == "shift":
        return sp.S.Zero
    if op == "extent":
        return sp.Function("count")()
    return FUNCTIONS[op].meaning(sp, *(lifted[operand] for operand in node.operands))


def _terms(node: Node, lifted: Mapping[Node, Any], inner: set[Node]) -> list[Any]:
    terms: list[Any] = []
    pending = [(node, False)]
    while pending:
        link, negative = pending.pop()
        if link is not node and link not in inner:
            terms.append(-lifted[link] if negative else lifted[link])
            continue
        left, right = link.operands
        pending.append((right, negative != (link.op == "sub")))
        pending.append((left, negative))
    return terms


def _factors(node: Node, lifted: Mapping[Node, Any], inner: set[Node]) -> list[Any]:
    factors: list[Any] = []
    pending = [node]
    while pending:
        link = pending.pop()
        if link is not node and link not in inner:
            factors.append(lifted[link])
        else:
            pending.extend(reversed(link.operands))
    return factors


def _number(node: Node) -> Any:
    payload = node.payload
    value = exact(node)
    if value is None:
        double = float(payload) if isinstance(payload, Number) else 0.0
        if double != double:
            return sp.nan
        return sp.oo if double > 0 else -sp.oo
    if isinstance(payload, Number) and payload.decimal:
        return (
            sp.Float(float(payload))
            if value.denominator > 1 or abs(value) > 10**15
            else sp.Float(int(value))
        )
    return _rational(value)


def _rational(value: Fraction) -> Any:
    return sp.Rational(value.numerator, value.denominator)


def _piecewise(node: Node, lifted: Mapping[Node, Any]) -> Any:
    condition, yes, no = node.operands
    pairs = [(lifted[yes], lifted[condition])]
    rest = lifted[no]
    if isinstance(rest, sp.Piecewise):
        pairs.extend((part.args[0], part.args[1]) for part in rest.args)
    else:
        pairs.append((rest, sp.true))
    return sp.Piecewise(*pairs, evaluate=False)


def as_text(expression: Any) -> str:
    """Return an expression as one line of text, decimals as short as they were typed."""
    return str(sp.sstr(expression, full_prec=False))


def as_latex(expression: Any) -> str:
    """Return an expression, or the name of a variable, as LaTeX."""
    if isinstance(expression, str):
        expression = sp.Symbol(expression)
    return str(sp.latex(expression, full_prec=False))


def as_python(expression: Any) -> str:
    """Return an expression as Python that needs the module math.

    Raises:
        UnsupportedError: `math` lacks a function that the expression needs.
    """
    try:
        return str(_ExactPython({"fully_qualified_modules": True}).doprint(expression))
    except PrintMethodNotImplementedError as error:
        raise UnsupportedError(
            "the module math lacks a function of this expression: print it as text, "
            "or see the generated code with symgrad emit"
        ) from error


class _ExactPython(PythonCodePrinter):  # type: ignore[misc]
    """SymPy's printer with literals that are read back as the same double."""

    def _print_Float(self, expr: Any) -> str:  # noqa: N802
        return repr(float(expr))
