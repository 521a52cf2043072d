"""Programs for tests: random ones, deep ones, and a Graph evaluator of its own."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
from hypothesis import strategies as st

from symgrad.calculus import reference
from symgrad.graph.node import Graph, ancestors
from symgrad.language.program import Number, Program, Writer

SMOOTH_UNARY = ("neg", "sqrt", "exp", "log", "abs", "sin", "cos", "tanh", "log1p", "expm1")
BINARY = ("add", "sub", "mul", "div", "max", "min")
RELATIONS = ("lt", "le", "gt", "ge", "eq", "ne")
LITERALS = tuple(
    Number(Fraction(text), "." in text)
    for text in ("0", "1", "-1", "2", "3", "0.5", "-2", "1/3", "0.1", "4", "2.50")
)


def program(build: Callable[[Writer], int], inputs: tuple[str, ...] = ()) -> Program:
    """Return a Program with one anonymous output."""
    writer = Writer()
    output = build(writer)
    names = (*writer.inputs, *(name for name in inputs if name not in writer.inputs))
    return Program(writer.instructions, names, (("value", output),), "")


def nested(depth: int, op: str = "sin") -> Program:
    """Return a function applied many times over."""

    def build(w: Writer) -> int:
        position = w.input("x")
        for _ in range(depth):
            position = w.emit(op, (position,))
        return position

    return program(build)


def long_sum(terms: int) -> Program:
    """Return 0*x0 + 1*x1 + ... over seven inputs."""

    def build(w: Writer) -> int:
        position = w.input("x0")
        for k in range(1, terms):
            term = w.emit("mul", (w.input(f"x{k % 7}"), w.number(Fraction(k))))
            position = w.emit("add", (position, term))
        return position

    return program(build)


def many_branches(count: int) -> Program:
    """Return where(x < n, n*x, where(x < n - 1, ...))."""

    def build(w: Writer) -> int:
        position = w.input("x")
        for k in range(1, count + 1):
            condition = w.emit("lt", (w.input("x"), w.number(Fraction(k))))
            value = w.emit("mul", (w.input("x"), w.number(Fraction(k))))
            position = w.emit("where", (condition, value, position))
        return position

    return program(build)


@st.composite
def programs(draw: Any, *, size: int = 14, conditions: bool = True, steps: bool = True) -> Any:
    """Draw a Program of x, y and z with literals, steps, conditions and sharing."""
    w = Writer()
    numbers = [w.input(name) for name in "xyz"]
    truths: list[int] = []
    for step in range(draw(st.integers(1, size))):
        pick = st.sampled_from(numbers)
        kind = draw(st.sampled_from(("binary", "binary", "unary", "power", "literal", "logic")))
        if kind == "binary":
            numbers.append(w.emit(draw(st.sampled_from(BINARY)), (draw(pick), draw(pick))))
        elif kind == "unary":
            numbers.append(w.emit(draw(st.sampled_from(SMOOTH_UNARY)), (draw(pick),)))
        elif kind == "power":
            exponent = draw(
                st.sampled_from(("2", "3", "-1", "-2", "0", "1", "1/2", "5", "1.5"))
            )
            literal = w.number(Fraction(exponent))
            numbers.append(w.emit("pow", (draw(pick), literal)))
        elif kind == "literal":
            value = draw(st.sampled_from(LITERALS))
            numbers.append(w.emit("number", payload=value))
        elif not conditions:
            continue
        elif truths and draw(st.booleans()):
            truth = draw(st.sampled_from(truths))
            other = draw(st.sampled_from(truths))
            op = draw(st.sampled_from(("where", "where", "and", "or", "not")))
            if op == "where":
                numbers.append(w.emit("where", (truth, draw(pick), draw(pick))))
            else:
                truths.append(w.emit(op, (truth, other)[: 1 if op == "not" else 2]))
        else:
            op = draw(st.sampled_from(RELATIONS))
            truths.append(w.emit(op, (draw(pick), draw(pick))))
        if steps and draw(st.integers(0, 9)) == 0:
            numbers.append(w.emit("step", (numbers[-1],), payload=f"s{step}"))
    result = numbers[-1]
    return Program(w.instructions, ("x", "y", "z"), (("value", result),), "")


def exact_values(source: Program, point: dict[str, float]) -> list[Any] | None:
    """Return the value of every instruction in 50 digits, None where one is not a number.

    Where two compared numbers all but agree, an identity may decide otherwise: None too.
    """
    values: list[Any] = []
    with mpmath.workdps(50):
        for code in source.instructions:
            operands = [values[k] for k in code.operands]
            if code.op == "number":
                value = (
                    mpmath.mpf(code.payload.value.numerator) / code.payload.value.denominator
                )
            elif code.op == "input":
                value = mpmath.mpf(point[code.payload])
            elif code.op == "step":
                value = operands[0]
            else:
                try:
                    value = reference.FUNCTIONS[code.op](*operands)
                except (ZeroDivisionError, ValueError, OverflowError):
                    return None
            if code.op in (*RELATIONS, "max", "min"):
                a, b = operands
                if a != b and abs(a - b) < mpmath.mpf(10) ** -20 * (abs(a) + abs(b)):
                    return None
            if not isinstance(value, bool) and not _moderate(value):
                return None
            values.append(value)
    return values


def _moderate(value: Any) -> bool:
    if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
        return False
    return value == 0 or mpmath.mpf(10) ** -12 < abs(value) < mpmath.mpf(10) ** 12


def graph_value(graph: Graph, point: dict[str, float], output: int = 0) -> Any:
    """Return an output of a Graph in 50 digits."""
    root = graph.outputs[output].node
    values: dict[Any, Any] = {}
    with mpmath.workdps(50):
        for node in ancestors([root]):
            operands = [values[operand] for operand in node.operands]
            if node.op == "number":
                exact = node.payload.value
                if isinstance(exact, Fraction):
                    values[node] = mpmath.mpf(exact.numerator) / exact.denominator
                else:
                    values[node] = mpmath.mpf(exact)
            elif node.op == "constant":
                values[node] = {"pi": +mpmath.pi, "e": +mpmath.e}[node.payload]
            elif node.op == "truth":
                values[node] = node.payload
            elif node.op == "input":
                values[node] = mpmath.mpf(point[node.payload])
            elif node.op in ("step", "broadcast", "reduce"):
                values[node] = operands[0]
            elif node.op == "extent":
                values[node] = mpmath.mpf(1)
            else:
                values[node] = reference.FUNCTIONS[node.op](*operands)
        return values[root]


def close(a: Any, b: Any, digits: int = 20) -> bool:
    """Tell whether two mpmath numbers agree to so many digits."""
    return bool(abs(a - b) <= mpmath.mpf(10) ** -digits * max(1, abs(a), abs(b)))
