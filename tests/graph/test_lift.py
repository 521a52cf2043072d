"""Graphs become SymPy expressions that mean the same and read well."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
import sympy as sp
from graph.programs import close, exact_values, long_sum, many_branches, nested, programs
from hypothesis import HealthCheck, assume, given, settings

from symgrad.calculus import reference
from symgrad.errors import LimitError
from symgrad.graph.lift import as_latex, as_python, as_text, lift, meaning
from symgrad.graph.lower import lower
from symgrad.language.from_sympy import read
from symgrad.language.parse import parse
from symgrad.language.program import Program, Writer

POINT = {"x": 0.625, "y": 1.75, "z": 2.375}


def lifted(text: str, *, inline: bool = False) -> sp.Basic:
    return lift(meaning(lower(parse(text)).outputs[0].node), inline=inline)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.1*x", "0.1*x"),
        ("x/3", "x/3"),
        ("1/3*x", "x/3"),
        ("1/3 + x", "x + 1/3"),
        ("2.50*x", "2.5*x"),
        ("123456789012345678901234567890*x", "123456789012345678901234567890*x"),
        ("x - y - z", "x - y - z"),
        ("-x", "-x"),
        ("sqrt(x)", "sqrt(x)"),
        ("x**2.5", "x**2.5"),
        ("pi*x + e", "pi*x + E"),
        ("1e22*x", "1.0e+22*x"),
        ("max(x, inf)", "Max(oo, x)"),
        ("where(x > 0, 1, where(y > 0, 2, 3))", "Piecewise((1, x > 0), (2, y > 0), (3, True))"),
        ("x < y", "Piecewise((1, x < y), (0, True))"),
        ("inf", "oo"),
        ("-inf", "-oo"),
        ("nan", "nan"),
    ],
)
def test_text(text: str, shown: str) -> None:
    assert as_text(lifted(text)) == shown


def test_steps_stay_names_or_are_written_out() -> None:
    text = "u = x + y; v = sin(u); z = u*v"
    assert as_text(lifted(text)) == "u*v"
    assert as_text(lifted(text, inline=True)) == "(x + y)*sin(x + y)"
    assert as_text(lift(lower(parse(text)).outputs[0].node)) == "z"


def test_symbols_are_real() -> None:
    assert all(symbol.is_real for symbol in lifted("x*log(y)").free_symbols)


def test_latex_and_python() -> None:
    assert as_latex(lifted("0.1*x")) == "0.1 x"
    assert as_latex("alpha_1") == r"\alpha_{1}"
    assert as_python(lifted("0.30000000000000004*sin(x)")) == "0.30000000000000004*math.sin(x)"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(size=9, steps=False))
def test_round_trip_through_sympy(source: Program) -> None:
    assume(exact_values(source, POINT) is not None)
    again = read(lift(lower(source).outputs[0].node), inputs=["x", "y", "z"])
    value = reference.value(again, POINT)
    expected = reference.value(source, POINT)
    # A decimal becomes a double on the way.
    assert close(value, expected, 9)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(size=7, conditions=False, steps=False))
def test_sympy_evaluates_what_was_lifted(source: Program) -> None:
    assume(exact_values(source, POINT) is not None)
    expression = lift(lower(source).outputs[0].node)
    point = {
        sp.Symbol(k, real=True): sp.Rational(*v.as_integer_ratio()) for k, v in POINT.items()
    }
    value = sp.sympify(expression).subs(point).evalf(30)
    assert close(mpmath.mpf(str(value)), reference.value(source, POINT), 9)


@pytest.mark.parametrize("op", ["add", "mul"])
@pytest.mark.parametrize("terms", [5_000, 20_000])
def test_long_sums_and_products_are_built_at_once(op: str, terms: int, monkeypatch) -> None:
    w = Writer()
    position = w.input("x0")
    for k in range(1, terms):
        position = w.emit(op, (position, w.input(f"x{k}")))
    source = Program(w.instructions, w.inputs, (("value", position),), "")
    calls = []
    kind = {"add": sp.Add, "mul": sp.Mul}[op]
    flatten = kind.flatten
    monkeypatch.setattr(kind, "flatten", lambda seq: calls.append(len(seq)) or flatten(seq))
    assert len(lift(lower(source).outputs[0].node).args) == terms
    assert sum(calls) <= 2 * terms


def test_long_sum_of_products() -> None:
    expression = lift(lower(long_sum(5_000)).outputs[0].node)
    assert len(expression.args) == 7


def test_branches_become_one_piecewise() -> None:
    expression = lift(lower(many_branches(40)).outputs[0].node)
    assert isinstance(expression, sp.Piecewise)
    assert len(expression.args) >= 40


def test_nesting_beyond_sympy_is_an_error_of_symgrad() -> None:
    with pytest.raises(LimitError, match="nested too deeply"):
        lift(lower(nested(5_000)).outputs[0].node)


def test_sharing_is_kept() -> None:
    text = "u0 = x + 1; " + "; ".join(f"u{k + 1} = u{k}*sin(u{k})" for k in range(60))
    expression = lifted(text, inline=True)
    seen: set[int] = set()
    pending = [expression]
    while pending:
        part = pending.pop()
        if id(part) not in seen:
            seen.add(id(part))
            pending.extend(part.args)
    assert len(seen) < 400


def test_numbers_beyond_doubles() -> None:
    w = Writer()
    w.number(Fraction(10) ** 400, decimal=True)
    source = Program(w.instructions, (), (("value", 0),), "")
    assert lift(lower(source).outputs[0].node) == sp.oo
