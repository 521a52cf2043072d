"""What the reductions of the language are made of.

A Graph combines points in four ways: by sum, product, maximum and minimum. Every reduction
of the function table is one of them or composed of them here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from .node import Builder, Node

__all__ = ["COMPOSED"]


def _combined(combination: str) -> Callable[[Builder, int, Node], Node]:
    def build(b: Builder, axes: int, x: Node) -> Node:
        return b.reduce(x, axes, combination)

    return build


def _mean(b: Builder, axes: int, x: Node) -> Node:
    return b.apply("div", b.reduce(x, axes), b.extent(axes))


def _dot(b: Builder, axes: int, x: Node, y: Node) -> Node:
    return b.reduce(b.apply("mul", x, y), axes)


def _squares(b: Builder, x: Node) -> Node:
    return b.apply("pow", x, b.number(2))


def _norm(b: Builder, axes: int, x: Node) -> Node:
    return b.apply("root", b.reduce(_squares(b, x), axes))


def _variance(b: Builder, axes: int, x: Node) -> Node:
    """Return the mean of the squared deviations: two passes, so that nothing cancels."""
    return _mean(b, axes, _squares(b, b.apply("sub", x, _mean(b, axes, x))))


def _deviation(b: Builder, axes: int, x: Node) -> Node:
    return b.apply("root", _variance(b, axes, x))


def _log_sum_exp(b: Builder, axes: int, x: Node) -> Node:
    """Return log(sum(exp(x - s))) + s for any finite s: here the maximum, if it is finite."""
    if not axes:
        return x
    most = b.reduce(x, axes, "max")
    finite = b.apply("lt", b.apply("abs", most), b.number(math.inf))
    shift = b.apply("shift", b.apply("where", finite, most, b.number(0)))
    total = b.reduce(b.apply("exp", b.apply("sub", x, shift)), axes)
    return b.apply("add", b.apply("log", total), shift)


#: For every reduction of the function table, what builds it from the mask of the axes that
#: are reduced and the operands.
COMPOSED: Mapping[str, Callable[..., Node]] = MappingProxyType(
    {
        "sum": _combined("sum"),
        "prod": _combined("prod"),
        "amax": _combined("max"),
        "amin": _combined("min"),
        "mean": _mean,
        "dot": _dot,
        "norm": _norm,
        "var": _variance,
        "std": _deviation,
        "logsumexp": _log_sum_exp,
    }
)
