"""The identities of the contract: every rewriting that a Builder does by itself.

The formula is mathematics, not IEEE arithmetic, where SymPy's automatic evaluation treats
it so: ``x/x`` is 1 and ``0*log(x)`` is 0 for every x. This module is the whole list; nothing
else is rewritten on construction, and nothing is ever expanded, distributed or reassociated.

* Arithmetic of literals is exact. Powers of literals are exact up to 2048 bits and folded
  in doubles beyond.
* ``x + 0``, ``x - 0``, ``1*x``, ``x/1``, ``x**1`` are x; ``0*x`` and ``0/x`` are 0; ``x**0``
  and ``1**x`` are 1; ``x - x`` is 0; ``x/x`` is 1; ``x + x`` is ``2*x``; ``x*x`` is ``x**2``.
* Signs: ``-(-x)`` is x, ``a + (-b)`` is ``a - b``, ``-(a - b)`` is ``b - a``, a factor -1
  moves out of products and quotients; a literal factor stands first, and ``2*(3*x)`` is
  ``6*x``.
* What was just added, subtracted, multiplied or divided cancels: ``(a + b) - b``,
  ``(a - b) + b``, ``a*b/b`` and ``a/b*b`` are a.
* Powers: ``x**-1`` is ``1/x``, ``x**(1/2)`` is ``sqrt(x)``, ``sqrt(x**2)`` is ``abs(x)``,
  ``sqrt(x)**2`` is x, ``(x**m)**n`` is ``x**(m*n)`` for whole m and n, an even power drops a
  sign or an abs inside.
* ``exp(log(x))`` and ``log(exp(x))`` are x; values at 0 and 1 that are whole are exact.
* ``abs`` drops a sign or an abs inside; ``max(x, x)`` and ``min(x, x)`` are x.
* A condition between literals is decided; ``where`` with a decided condition or equal
  branches is the branch; ``where(c, 1, 0)*x`` is ``where(c, x, 0)``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..language.program import Number

if TYPE_CHECKING:
    from .node import Builder, Node

__all__ = ["IDENTITIES", "TELLING", "exact", "power_of_two"]

Identity = Callable[..., "Node | None"]

#: The largest k of a power 2**k that may be moved.
_LARGEST_TWO = 4
_EXACT_BITS = 2048
#: Literal factors are combined only while the product stays far from over- and underflow.
_LEAST, _MOST = Fraction(1, 2**400), Fraction(2**400)
_WHOLE_VALUES = {
    ("sin", 0): 0, ("tan", 0): 0, ("asin", 0): 0, ("atan", 0): 0, ("sinh", 0): 0,
    ("tanh", 0): 0, ("asinh", 0): 0, ("atanh", 0): 0, ("cos", 0): 1, ("cosh", 0): 1,
    ("sec", 0): 1, ("exp", 0): 1, ("expm1", 0): 0, ("exp2", 0): 1, ("log", 1): 0,
    ("log1p", 0): 0, ("log2", 1): 0, ("log10", 1): 0, ("erf", 0): 0, ("erfc", 0): 1,
    ("sinc", 0): 1, ("cbrt", 0): 0, ("cbrt", 1): 1, ("acos", 1): 0, ("acosh", 1): 0,
}  # fmt: skip


def exact(node: Node) -> Fraction | None:
    """Return the value of a finite literal, None for any other node."""
    if node.op == "number":
        payload = node.payload
        if isinstance(payload, Number) and isinstance(payload.value, Fraction):
            return payload.value
    return None


def power_of_two(node: Node) -> int:
    """Return k if a node is the literal 2**k for a small k, 0 for other nodes and for 1.

    Larger powers are there for a reason: they keep a product in range.
    """
    value = exact(node)
    if value is None or value <= 0 or (value.numerator, value.denominator).count(1) != 1:
        return 0
    large = max(value.numerator, value.denominator)
    power = large.bit_length() - 1
    if large & (large - 1) or power > _LARGEST_TWO:
        return 0
    return power if value > 1 else -power


def _decimal(*nodes: Node) -> bool:
    return any(isinstance(n.payload, Number) and n.payload.decimal for n in nodes)


def _double(node: Node) -> float | None:
    return float(node.payload) if isinstance(node.payload, Number) else None


def _fold(b: Builder, value: Fraction, *operands: Node) -> Node | None:
    """Return a literal unless it has grown beyond all use."""
    bits = value.numerator.bit_length() + value.denominator.bit_length()
    if bits > _EXACT_BITS:
        return None
    return b.number(value, decimal=_decimal(*operands))


def _folded_in_doubles(
    b: Builder, function: Callable[[float, float], float], x: Node, y: Node
) -> Node | None:
    """Fold two literals when exact arithmetic would be too large or is not finite."""
    a, c = _double(x), _double(y)
    if a is None or c is None:
        return None
    try:
        return b.number(function(a, c), decimal=True)
    except (OverflowError, ZeroDivisionError, ValueError):
        return None


def _add(b: Builder, x: Node, y: Node) -> Node | None:
    p = exact(x) if x.op == "number" else None
    q = exact(y) if y.op == "number" else None
    if p is not None and q is not None:
        return _fold(b, p + q, x, y) or _folded_in_doubles(b, operator.add, x, y)
    if p == 0:
        return y
    if q == 0:
        return x
    if q is not None and q < 0:
        return b.apply("sub", x, b.apply("neg", y))
    if y.op == "neg":
        return b.apply("sub", x, y.operands[0])
    if x.op == "neg":
        return b.apply("sub", y, x.operands[0])
    if x is y:
        return b.apply("mul", b.number(2), x)
    if x.op == "sub" and x.operands[1] is y:
        return x.operands[0]
    if y.op == "sub" and y.operands[1] is x:
        return y.operands[0]
    return None


def _sub(b: Builder, x: Node, y: Node) -> Node | None:
    p = exact(x) if x.op == "number" else None
    q = exact(y) if y.op == "number" else None
    if p is not None and q is not None:
        return _fold(b, p - q, x, y) or _folded_in_doubles(b, operator.sub, x, y)
    if q == 0:
        return x
    if q is not None and q < 0:
        return b.apply("add", x, b.apply("neg", y))
    if p == 0:
        return b.apply("neg", y)
    if x is y:
        return b.number(0)
    if y.op == "neg":
        return b.apply("add", x, y.operands[0])
    if x.op == "add" and y in x.operands:
        first, second = x.operands
        return first if second is y else second
    return None


def _mul(b: Builder, x: Node, y: Node) -> Node | None:
    p = exact(x) if x.op == "number" else None
    q = exact(y) if y.op == "number" else None
    if p is not None and q is not None:
        return _fold(b, p * q, x, y) or _folded_in_doubles(b, operator.mul, x, y)
    if q is not None:
        return b.apply("mul", y, x)
    if p is not None:
        return _scaled(b, p, x, y)
    if x.op == "neg":
        return b.apply("neg", b.apply("mul", x.operands[0], y))
    if y.op == "neg":
        return b.apply("neg", b.apply("mul", x, y.operands[0]))
    if x is y:
        return b.apply("pow", x, b.number(2))
    if x.op == "div" and x.operands[1] is y:
        return x.operands[0]
    if y.op == "div" and y.operands[1] is x:
        return y.operands[0]
    if x.op == "where" or y.op == "where":
        for mask, other in ((x, y), (y, x)):
            if mask.op == "where":
                condition, yes, no = mask.operands
                if exact(yes) == 1 and exact(no) == 0:
                    return b.apply("where", condition, other, no)
    return None


def _scaled(b: Builder, factor: Fraction, literal: Node, y: Node) -> Node | None:
    """Return factor*y for a literal factor."""
    if factor == 0:
        return literal
    if factor == 1:
        return y
    if factor == -1:
        return b.apply("neg", y)
    if y.op == "neg":
        return b.apply("mul", b.apply("neg", literal), y.operands[0])
    if y.op == "mul":
        inner = exact(y.operands[0])
        if inner is not None and _LEAST < abs(factor * inner) < _MOST:
            product = _fold(b, factor * inner, literal, y.operands[0])
            return None if product is None else b.apply("mul", product, y.operands[1])
    if y.op == "div" and exact(y.operands[1]) == factor:
        return y.operands[0]
    return None


def _div(b: Builder, x: Node, y: Node) -> Node | None:
    p = exact(x) if x.op == "number" else None
    q = exact(y) if y.op == "number" else None
    if p is not None and q is not None and q != 0:
        return _fold(b, p / q, x, y) or _folded_in_doubles(b, operator.truediv, x, y)
    if q == 1:
        return x
    if q == -1:
        return b.apply("neg", x)
    if q == 0:
        return None
    if p == 0:
        return x
    if x is y:
        return b.number(1)
    if x.op == "neg":
        return b.apply("neg", b.apply("div", x.operands[0], y))
    if y.op == "neg":
        return b.apply("neg", b.apply("div", x, y.operands[0]))
    if x.op == "mul":
        first, second = x.operands
        if second is y:
            return first
        if first is y:
            return second
    if p is not None and p < 0:
        return b.apply("neg", b.apply("div", b.apply("neg", x), y))
    return None


def _neg(b: Builder, x: Node) -> Node | None:
    p = exact(x)
    if p is not None:
        return b.number(-p, decimal=_decimal(x))
    value = _double(x)
    if value is not None:
        return b.number(-value)
    if x.op == "neg":
        return x.operands[0]
    if x.op == "sub":
        return b.apply("sub", x.operands[1], x.operands[0])
    if x.op == "mul":
        literal = exact(x.operands[0])
        if literal is not None:
            return b.apply(
                "mul", b.number(-literal, decimal=_decimal(*x.operands)), x.operands[1]
            )
    return None


def _pow(b: Builder, x: Node, y: Node) -> Node | None:
    q = exact(y)
    if q is None:
        return b.number(1) if exact(x) == 1 else None
    if q == 0:
        return b.number(1)
    if q == 1:
        return x
    p = exact(x)
    if p is not None:
        return _power_of_literals(b, p, q, x, y)
    if q == -1:
        return b.apply("div", b.number(1), x)
    if q == Fraction(1, 2):
        return b.apply("sqrt", x)
    if q == Fraction(-1, 2):
        return b.apply("div", b.number(1), b.apply("sqrt", x))
    if q.denominator != 1:
        return None
    if x.op == "sqrt" and q == 2:
        return x.operands[0]
    if x.op == "pow":
        inner = exact(x.operands[1])
        if inner is not None and inner.denominator == 1:
            exponent = _fold(b, inner * q, y)
            return None if exponent is None else b.apply("pow", x.operands[0], exponent)
    if q.numerator % 2 == 0 and x.op in ("neg", "abs"):
        return b.apply("pow", x.operands[0], y)
    return None


def _power_of_literals(b: Builder, p: Fraction, q: Fraction, x: Node, y: Node) -> Node | None:
    if q == Fraction(1, 2):
        return b.apply("sqrt", x)
    if p == 0 or q.denominator != 1:
        return b.number(1) if p == 1 else None
    bits = (p.numerator.bit_length() + p.denominator.bit_length()) * abs(q.numerator)
    if bits <= _EXACT_BITS:
        return b.number(p**q.numerator, decimal=_decimal(x, y))
    try:
        return b.number(math.pow(float(p), float(q)), decimal=True)
    except OverflowError:
        negative = p < 0 and q.numerator % 2 == 1
        return b.number(-math.inf if negative else math.inf)


def _sqrt(b: Builder, x: Node) -> Node | None:
    p = exact(x)
    if p is not None and p >= 0:
        root = Fraction(math.isqrt(p.numerator), math.isqrt(p.denominator))
        return b.number(root, decimal=_decimal(x)) if root * root == p else None
    if x.op == "pow" and exact(x.operands[1]) == 2:
        return b.apply("abs", x.operands[0])
    return None


def _exp(b: Builder, x: Node) -> Node | None:
    return x.operands[0] if x.op == "log" else _whole("exp")(b, x)


def _log(b: Builder, x: Node) -> Node | None:
    if x.op == "constant" and x.payload == "e":
        return b.number(1)
    return x.operands[0] if x.op == "exp" else _whole("log")(b, x)


def _abs(b: Builder, x: Node) -> Node | None:
    p = exact(x)
    if p is not None:
        return b.number(abs(p), decimal=_decimal(x))
    if x.op == "abs":
        return x
    if x.op == "neg":
        return b.apply("abs", x.operands[0])
    return None


def _extremum(choose: Callable[[Fraction, Fraction], Fraction]) -> Identity:
    def identity(b: Builder, *operands: Node) -> Node | None:
        if all(operand is operands[0] for operand in operands):
            return operands[0]
        values = [exact(operand) for operand in operands]
        if len(values) == 2 and values[0] is not None and values[1] is not None:
            best = choose(values[0], values[1])
            return operands[0] if best == values[0] else operands[1]
        return None

    return identity


def _whole(op: str) -> Identity:
    def identity(b: Builder, x: Node) -> Node | None:
        p = exact(x)
        if p is None or p.denominator != 1:
            return None
        value = _WHOLE_VALUES.get((op, p.numerator))
        return None if value is None else b.number(value)

    return identity


def _relation(holds: Callable[[Fraction, Fraction], bool]) -> Identity:
    def identity(b: Builder, x: Node, y: Node) -> Node | None:
        p, q = exact(x), exact(y)
        return None if p is None or q is None else b.truth(bool(holds(p, q)))

    return identity


def _junction(neutral: bool) -> Identity:
    def identity(b: Builder, x: Node, y: Node) -> Node | None:
        for known, other in ((x, y), (y, x)):
            if known.op == "truth":
                return other if known.payload is neutral else known
        if x is y:
            return x
        if (x.op == "not" and x.operands[0] is y) or (y.op == "not" and y.operands[0] is x):
            return b.truth(not neutral)
        return None

    return identity


_OPPOSITE = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}


def _not(b: Builder, x: Node) -> Node | None:
    if x.op == "truth":
        return b.truth(not x.payload)
    if x.op == "not":
        return x.operands[0]
    # A NaN makes a condition unordered before it is negated, so the opposite is exact.
    opposite = _OPPOSITE.get(x.op)
    return None if opposite is None else b.apply(opposite, *x.operands)


def _where(b: Builder, condition: Node, yes: Node, no: Node) -> Node | None:
    if condition.op == "truth":
        return yes if condition.payload else no
    if yes is no:
        return yes
    return None


IDENTITIES: Mapping[str, Identity] = MappingProxyType(
    {
        **{op: _whole(op) for op, _ in _WHOLE_VALUES},
        "add": _add,
        "sub": _sub,
        "mul": _mul,
        "div": _div,
        "neg": _neg,
        "pow": _pow,
        "sqrt": _sqrt,
        "root": _sqrt,
        "exp": _exp,
        "log": _log,
        "abs": _abs,
        "max": _extremum(max),
        "min": _extremum(min),
        "lt": _relation(operator.lt),
        "le": _relation(operator.le),
        "gt": _relation(operator.gt),
        "ge": _relation(operator.ge),
        "eq": _relation(operator.eq),
        "ne": _relation(operator.ne),
        "and": _junction(True),
        "or": _junction(False),
        "not": _not,
        "where": _where,
    }
)

#: The operations by which an operand tells, besides by being equal to the other one of two,
#: that an identity may make something of it; literals always do.
TELLING: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        **{op: frozenset({"number"}) for op in IDENTITIES},
        "add": frozenset({"number", "neg", "sub"}),
        "sub": frozenset({"number", "neg", "add"}),
        "mul": frozenset({"number", "neg", "div", "where"}),
        "div": frozenset({"number", "neg", "mul"}),
        "neg": frozenset({"number", "neg", "sub", "mul"}),
        "sqrt": frozenset({"number", "pow"}),
        "root": frozenset({"number", "pow"}),
        "exp": frozenset({"number", "log"}),
        "log": frozenset({"number", "exp", "constant"}),
        "abs": frozenset({"number", "neg", "abs"}),
    }
)
