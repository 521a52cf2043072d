"""Stable forms: rewriting what loses digits or overflows into what does not.

Every rule is a pair of formulas that are equal as mathematics. The pattern is the form that
people write, the replacement the form that a numerical analyst would; the tests measure the
error of both against 50-digit arithmetic over the rule's domain and keep a rule only if the
replacement is never worse by more than rounding and better where it matters.

Patterns do not look through named steps: a step is a value of its own, and derivatives by it
must not vanish.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from ..language.parse import parse
from .algebra import exact
from .lower import Template, lower, template
from .node import Builder, Graph, Node

__all__ = ["RULES", "Rule", "rebuilt", "stabilize"]

Bindings = dict[str, Node]

_COMMUTE = ("add", "mul")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rewriting.

    Attributes:
        pattern: the form to find; its names stand for any operands.
        replacement: the form to compute instead.
        why: what goes wrong with the pattern, with a place where it does.
        domain: ranges of the names over which the error was measured.
        when: a further condition on what the names stand for.
    """

    pattern: str
    replacement: str
    why: str
    domain: tuple[tuple[float, float], ...] = ((-1e3, 1e3),)
    when: Callable[[Builder, Bindings], bool] | None = None


def _literal_difference(b: Builder, bound: Bindings) -> bool:
    """Tell whether x - y is a literal other than 0, so that subtracting is exact."""
    difference = exact(b.apply("sub", bound["x"], bound["y"]))
    return difference is not None and difference != 0


def _shifted(_: Builder, bound: Bindings) -> bool:
    """Tell whether z only keeps exp(x - z) in range, as in a logsumexp."""
    return bound["z"].op == "shift"


def _of_the_normal_distribution() -> Iterator[Rule]:
    """Return the rules for the ways to write erfc(-x/sqrt(2))."""
    why = "at 37 rounding the operand costs 700 units"
    for u in ("x/sqrt(2)", "x*sqrt(2)/2", "x*sqrt(1/2)"):
        for total in (f"erf({u})/2 + 1/2", f"0.5*erf({u}) + 0.5"):
            yield Rule(total, "ndtr(x)", "cancels for x < -1", ((-37.0, 5.0),))
        yield Rule(f"erfc(-{u})", "2*ndtr(x)", why, ((-37.0, 5.0),))
        yield Rule(f"erfc({u})", "2*ndtr(-x)", why, ((-5.0, 37.0),))


#: All rules; of two that match, the first is taken.
RULES: tuple[Rule, ...] = (
    Rule("log(1 + exp(x))", "softplus(x)", "overflows at 800, 0 at -50"),
    Rule(
        "log(1 - exp(x))",
        "where(x > -log(2), log(-expm1(x)), log1p(-exp(x)))",
        "cancels near 0 and is 0 at -50 (M. Maechler, Rmpfr vignette log1mexp, 2012)",
        ((-700.0, 0.0),),
    ),
    Rule("log(exp(x) + exp(y))", "logaddexp(x, y)", "overflows at 800", ((-1e3, 1e3),) * 2),
    Rule("exp(x - (log(y) + z))", "exp(x - z)/y",
         "softmax loses as many digits as logsumexp has before the point", when=_shifted),
    Rule("log(cosh(x))",
         "where(abs(x) < 1, log1p(2*sinh(x/2)**2), abs(x) + log1p(exp(-2*abs(x))) - log(2))",
         "overflows at 800, cancels near 0"),
    Rule("log(1 + x)", "log1p(x)", "loses x at 1e-17", ((-1.0, 1e3),)),
    Rule("log(1 - x)", "log1p(-x)", "loses x at 1e-17", ((-1e3, 1.0),)),
    Rule("exp(x) - 1", "expm1(x)", "cancels near 0"),
    Rule("1 - exp(x)", "-expm1(x)", "cancels near 0"),
    Rule("exp(x) - exp(-x)", "2*sinh(x)", "cancels near 0", ((-700.0, 700.0),)),
    Rule("exp(x)/(1 + exp(x))", "sigmoid(x)", "inf/inf at 800"),
    Rule("y/(1 + exp(x))", "y*sigmoid(-x)", "the derivative is 0*inf at 800",
         ((-700.0, 700.0), (-1e3, 1e3))),
    Rule("sinh(x)/cosh(x)", "tanh(x)", "inf/inf at 800"),
    Rule("1 - tanh(x)**2", "sech2(x)", "cancels for large x", ((-300.0, 300.0),)),
    Rule("1 - sin(x)**2", "cos(x)**2", "cancels near pi/2", ((-10.0, 10.0),)),
    Rule("1 - cos(x)**2", "sin(x)**2", "cancels near 0", ((-10.0, 10.0),)),
    Rule("1 - cos(x)", "2*sin(x/2)**2", "cancels near 0", ((-10.0, 10.0),)),
    Rule("cos(x) - 1", "-2*sin(x/2)**2", "cancels near 0", ((-10.0, 10.0),)),
    *_of_the_normal_distribution(),
    Rule("1 - ndtr(x)", "ndtr(-x)", "cancels for x > 1", ((-5.0, 37.0),)),
    Rule("1 + erf(x)", "erfc(-x)", "cancels for x < -1", ((-25.0, 5.0),)),
    Rule("erf(x)/2 + 1/2", "erfc(-x)/2", "cancels for x < -1", ((-25.0, 5.0),)),
    Rule("0.5*erf(x) + 0.5", "erfc(-x)/2", "cancels for x < -1", ((-25.0, 5.0),)),
    Rule("1 - erf(x)", "erfc(x)", "cancels for x > 1", ((-5.0, 25.0),)),
    Rule("1 - erfc(x)", "erf(x)", "cancels near 0", ((-5.0, 5.0),)),
    Rule("1 - x**2", "(1 - x)*(1 + x)", "cancels near 1", ((-10.0, 10.0),)),
    Rule("sqrt(1 + x**2)", "hypot(1, x)", "overflows at 1e200", ((-1e200, 1e200),)),
    Rule("sqrt(x**2 + y**2)", "hypot(x, y)", "overflows at 1e200", ((-1e200, 1e200),) * 2),
    Rule("sqrt(x) - sqrt(y)", "(x - y)/(sqrt(x) + sqrt(y))", "cancels for large x and y",
         ((0.0, 1e15),) * 2, _literal_difference),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A rule with its pattern as a Graph and its replacement as a template."""

    pattern: Node
    names: tuple[str, ...]
    replacement: Template
    when: Callable[[Builder, Bindings], bool] | None


@cache
def _prepared() -> Mapping[str, tuple[_Prepared, ...]]:
    """Return the rules by the operation at the root of their pattern."""
    found: dict[str, tuple[_Prepared, ...]] = {}
    for rule in RULES:
        program = parse(rule.pattern)
        names = tuple(sorted(program.inputs))
        pattern = lower(program).outputs[0].node
        replacement = template(parse(rule.replacement, inputs=names))
        prepared = _Prepared(pattern, names, replacement, rule.when)
        found[pattern.op] = (*found.get(pattern.op, ()), prepared)
    return found


def stabilize(graph: Graph) -> Graph:
    """Return a Graph whose outputs are computed in their stable forms."""
    b = graph.builder
    new: dict[Node, Node] = {}
    before = len(b)
    origin = b.origin
    rules = _prepared()
    if graph.census().keys().isdisjoint(rules):
        return graph
    for node in graph.nodes():
        if node.op not in rules and (not new or new.keys().isdisjoint(node.operands)):
            continue
        b.origin = node.origin
        stable = _stable(b, node, new)
        if stable is not node:
            new[node] = stable
    b.origin = origin
    if not new and len(b) == before:
        return graph
    primal = len(b) if graph.primal == before else graph.primal
    return replace(graph.rewritten(new), primal=primal)


def rebuilt(b: Builder, node: Node, new: Mapping[Node, Node]) -> Node:
    """Return a node over its operands rewritten; those that `new` lacks stay."""
    operands = tuple([new.get(operand, operand) for operand in node.operands])
    if operands == node.operands:
        return node
    if node.op == "step":
        return b.step(str(node.payload), operands[0])
    if node.op == "broadcast":
        return b.broadcast(operands[0], node.axes)
    if node.op == "reduce":
        mask = node.operands[0].axes & ~node.axes
        return b.reduce(operands[0], mask, str(node.payload))
    return b.apply(node.op, *operands)


def _stable(b: Builder, node: Node, new: Mapping[Node, Node]) -> Node:
    """Return the stable form of a node whose operands have theirs, if another, in `new`.

    The node is matched as it was written first, for a rule that fits a whole beats one
    that fits a part, and then with its operands rewritten. What a rule makes may be what
    another one is for: 1 - erf(x) is an erfc(x), whose operand may be over sqrt(2).
    """
    result = _rewritten(b, node, new) or rebuilt(b, node, new)
    if result is not node:
        result = _rewritten(b, result, {}) or result
    return result


def _rewritten(b: Builder, node: Node, new: Mapping[Node, Node]) -> Node | None:
    """Return what the first rule that matches makes of a node, None if there is none."""
    for rule in _candidates(node.op, tuple([operand.op for operand in node.operands])):
        for bound in _matches(rule.pattern, node, {}):
            if rule.when is None or rule.when(b, bound):
                operands = [new.get(bound[name], bound[name]) for name in rule.names]
                return rule.replacement(b, operands)
    return None


@cache
def _candidates(op: str, operands: tuple[str, ...]) -> tuple[_Prepared, ...]:
    """Return the rules that may match an operation of the results of others."""

    def may_match(rule: _Prepared) -> bool:
        wanted = [o.op for o in rule.pattern.operands]
        orders = (operands, operands[::-1]) if op in _COMMUTE else (operands,)
        return any(
            all(w in ("input", found) for w, found in zip(wanted, order, strict=True))
            for order in orders
            if len(order) == len(wanted)
        )

    return tuple(rule for rule in _prepared().get(op, ()) if may_match(rule))


def _matches(pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    """Yield the ways in which a pattern fits a node."""
    if pattern.op == "input":
        name = str(pattern.payload)
        known = bound.get(name)
        if known is None:
            yield {**bound, name: node}
        elif known is node:
            yield bound
        return
    if pattern.op == "number":
        if exact(node) is not None and exact(node) == exact(pattern):
            yield bound
        return
    if pattern.op != node.op or len(pattern.operands) != len(node.operands):
        return
    orders = [node.operands]
    if node.op in _COMMUTE:
        orders.append(node.operands[::-1])
    for operands in orders:
        yield from _all_match(pattern.operands, operands, bound)


def _all_match(
    patterns: tuple[Node, ...], nodes: tuple[Node, ...], bound: Bindings
) -> Iterator[Bindings]:
    if not patterns:
        yield bound
        return
    for extended in _matches(patterns[0], nodes[0], bound):
        yield from _all_match(patterns[1:], nodes[1:], extended)
