"""The parser against Python's own, against its promises, and against its enemies."""

from __future__ import annotations

import ast
import contextlib
import math
import operator
import os
import subprocess
import sys
import time
import unicodedata
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from language.corpus_hostile import HOSTILE, TRACE, Case
from language.corpus_legitimate import LEGITIMATE, Formula

from symgrad import garbage
from symgrad.errors import FormulaError, LimitError, SymgradError, UnsupportedError
from symgrad.language.functions import FUNCTIONS, NAMES
from symgrad.language.parse import Limits, parse, parse_mapping
from symgrad.language.program import Instructions, Number, Program

OPERATIONS = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "mod": operator.mod,
    "pow": operator.pow,
    "neg": operator.neg,
    "floor": math.floor,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
    "not": operator.not_,
    "where": lambda c, a, b: a if c else b,
    "max": max,
    "min": min,
    "abs": abs,
    "sin": math.sin,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "hypot": math.hypot,
    "step": lambda value: value,
}


def evaluate(program: Program, **inputs: float) -> float:
    """Run a Program of one output on Python's numbers."""
    values: list[float] = []
    for op, operands, payload, _ in program.instructions:
        if op == "number":
            values.append(float(payload))
        elif op == "constant":
            values.append({"pi": math.pi, "e": math.e}.get(payload) or float(payload))
        elif op == "input":
            values.append(inputs[payload])
        else:
            values.append(OPERATIONS[op](*(values[i] for i in operands)))
    return values[program.outputs[0][1]]


def tree(program: Program) -> object:
    """Show the output of a Program as nested tuples."""
    shown: list[object] = []
    for op, operands, payload, _ in program.instructions:
        if op == "number":
            shown.append(float(payload))
        elif op in ("input", "constant"):
            shown.append(payload)
        else:
            shown.append((op, *(shown[i] for i in operands)))
    return shown[program.outputs[0][1]]


def python_tree(node: ast.expr) -> object:
    """Show what Python reads in the same way."""
    names = {
        **{ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"},
        **{ast.Mod: "mod", ast.Pow: "pow", ast.USub: "neg", ast.Not: "not"},
        **{ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"},
        **{ast.Eq: "eq", ast.NotEq: "ne", ast.And: "and", ast.Or: "or"},
    }
    match node:
        case ast.Constant(value):
            return float(value)
        case ast.Name(name):
            return name
        case ast.UnaryOp(ast.UAdd(), operand):
            return python_tree(operand)
        case ast.UnaryOp(op, operand):
            return (names[type(op)], python_tree(operand))
        case ast.BinOp(left, ast.FloorDiv(), right):
            return ("floor", ("div", python_tree(left), python_tree(right)))
        case ast.BinOp(left, op, right):
            return (names[type(op)], python_tree(left), python_tree(right))
        case ast.BoolOp(op, operands):
            return _chain(names[type(op)], [python_tree(v) for v in operands])
        case ast.Compare(first, ops, others):
            values = [python_tree(v) for v in (first, *others)]
            pairs = zip(ops, values, values[1:], strict=False)
            return _chain("and", [(names[type(op)], a, b) for op, a, b in pairs])
        case ast.IfExp(condition, first, second):
            return ("where", *map(python_tree, (condition, first, second)))
        case ast.Call(ast.Name(name), arguments):
            return (NAMES[name], *map(python_tree, arguments))
    raise AssertionError(ast.dump(node))


def _chain(op: str, values: list[object]) -> object:
    first, *others = values
    for value in others:
        first = (op, first, value)
    return first


def refused(text: str, **options: object) -> FormulaError:
    with pytest.raises(FormulaError) as caught:
        parse(text, **options)
    return caught.value


# What Python means by the same characters.

LEAVES = st.sampled_from(["x", "y", "2", "0.5", "3", "1e-1", ".25", "7.", "z_1"])
SIGNS = ["+", "-", "*", "/", "//", "%", "**"]
LOGIC = ["<", "<=", ">", ">=", "==", "!=", "and", "or"]


def _compounds(signs: list[str]) -> object:
    def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.tuples(inner, st.sampled_from(signs), inner).map(" ".join),
            st.tuples(st.sampled_from(["-", "+"]), inner).map("".join),
            inner.map(lambda text: f"({text})"),
            inner.map(lambda text: f"sin({text})"),
            st.tuples(inner, inner).map(lambda pair: f"max({pair[0]}, {pair[1]})"),
        )

    return extend


ARITHMETIC = st.recursive(LEAVES, _compounds(SIGNS), max_leaves=12)


def _conditions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(LOGIC), inner).map(" ".join),
        inner.map(lambda text: f"not {text}"),
        inner.map(lambda text: f"({text})"),
        st.tuples(inner, inner, inner).map(lambda t: f"{t[0]} if {t[1]} else {t[2]}"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}) * ({pair[1]})"),
    )


ANYTHING = st.recursive(ARITHMETIC, _conditions, max_leaves=10)


@given(ANYTHING)
@settings(max_examples=400, deadline=None)
def test_structure_is_that_of_python(text: str) -> None:
    try:
        expected = python_tree(ast.parse(text, mode="eval").body)
    except SyntaxError:
        with pytest.raises(FormulaError):
            parse(text)
    else:
        assert tree(parse(text)) == expected


@given(ARITHMETIC, st.floats(0.1, 3), st.floats(0.1, 3), st.floats(-3, 3))
@settings(max_examples=200, deadline=None)
def test_value_is_that_of_python(text: str, x: float, y: float, z_1: float) -> None:
    names = {"sin": math.sin, "max": max, "x": x, "y": y, "z_1": z_1}
    floats = ast.fix_missing_locations(_Floats().visit(ast.parse(text, mode="eval")))
    code = compile(floats, "formula", "eval")
    try:
        expected = eval(code, {"__builtins__": {}}, names)
    except (ArithmeticError, TypeError, ValueError):
        assume(False)
    assume(not isinstance(expected, complex) and math.isfinite(expected))
    assume("//" not in text)  # ours rounds the quotient, Python's corrects it
    assert evaluate(parse(text), x=x, y=y, z_1=z_1) == expected


class _Floats(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant(float(node.value))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("-x**2", "-(x**2)"),
        ("2**-x", "2**(-x)"),
        ("-x**-y**z", "-(x**(-(y**z)))"),
        ("x^y^z", "x**(y**z)"),
        ("x - y - z", "(x - y) - z"),
        ("x/y*z", "(x/y)*z"),
        ("x/y/z", "(x/y)/z"),
        ("x*-y", "x*(-y)"),
        ("-x*y", "(-x)*y"),
        ("x%y*z", "(x%y)*z"),
        ("x//y", "floor(x/y)"),
        ("x%y", "mod(x, y)"),
        ("0 < x <= 1", "(0 < x) and (x <= 1)"),
        ("x < y < z < w", "((x < y) and (y < z)) and (z < w)"),
        ("not x == y and z", "(not (x == y)) and z"),
        ("x or y and z", "x or (y and z)"),
        ("x if y else z if w else v", "where(y, x, where(w, z, v))"),
        ("x + 1 if y > 0 else z", "where(y > 0, x + 1, z)"),
        ("(x if y else z) + 1", "where(y, x, z) + 1"),
        ("x × y ÷ z − w", "x*y/z - w"),
        ("x ≤ y", "x <= y"),
        ("x ≠ y", "x != y"),
        ("ln(x) + arctan2(x, y)", "log(x) + atan2(x, y)"),
        ("x \\\n + y", "x + y"),
        ("π*x", "pi*x"),
    ],
)
def test_equal_spellings(text: str, same: str) -> None:
    assert tree(parse(text)) == tree(parse(same))


def test_extrema_are_one_instruction() -> None:
    code = parse("max(a, b, c, d)").instructions
    assert [c.op for c in code] == ["input"] * 4 + ["max"]
    assert code[-1].operands == (0, 1, 2, 3)


@pytest.mark.parametrize("name", NAMES)
def test_every_function_can_be_called(name: str) -> None:
    row = FUNCTIONS[NAMES[name]]
    for count in {row.arity[0], row.arity[1] or row.arity[0] + 3}:
        text = f"{name}({', '.join(f'x{i}' for i in range(count))})"
        assert parse(text).instructions[-1].op == row.name
        assert parse(f"{name}*2").inputs == (name,)
    error = refused(f"{name}()")
    assert error.message.startswith(f"'{name}' takes ")


@pytest.mark.parametrize("row", [r for r in FUNCTIONS.values() if r.partials])
def test_reads_the_formulas_of_the_function_table(row: object) -> None:
    for formulas in (row.partials, row.textbook or ()):
        for text in formulas(3) if callable(formulas) else formulas:
            parse(text)


# Numbers.


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", Number(Fraction(1))),
        ("0", Number(Fraction(0))),
        (".5", Number(Fraction(1, 2), True)),
        ("1.", Number(Fraction(1), True)),
        ("0.1", Number(Fraction(1, 10), True)),
        ("1e-3", Number(Fraction(1, 1000), True)),
        ("2.5E+3", Number(Fraction(2500), True)),
        ("0e99999999999", Number(Fraction(0), True)),
        (
            "123456789012345678901234567890",
            Number(Fraction(123456789012345678901234567890)),
        ),
        ("5e-324", Number(Fraction(5, 10**324), True)),
    ],
)
def test_numbers_are_exact(text: str, number: Number) -> None:
    assert parse(text).instructions[0].payload == number


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0))
def test_doubles_survive(value: float) -> None:
    number = parse(repr(value)).instructions[0].payload
    assert float(number) == value
    assert number.value == Fraction(repr(value))


# Spans.


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("y*log(x)", {"input": ["y", "x"], "log": ["log(x)"], "mul": ["y*log(x)"]}),
        ("(a + b)*c", {"add": ["a + b"], "mul": ["(a + b)*c"]}),
        ("2 * ( -x )", {"number": ["2"], "neg": ["-x"], "mul": ["2 * ( -x )"]}),
        ("u = x + 1 ; u", {"step": ["u = x + 1 "], "add": ["x + 1"]}),
        ("f(x) = x*2 # two", {"step": ["f(x) = x*2"], "mul": ["x*2"]}),
        ("a if c else b", {"where": ["a if c else b"]}),
        ("0 < x < 1", {"lt": ["0 < x", "x < 1"], "and": ["0 < x < 1"]}),
        ("x//y", {"div": ["x//y"], "floor": ["x//y"]}),
        ("max( a, b )+1", {"max": ["max( a, b )"], "add": ["max( a, b )+1"]}),
        ("é + e\u0301*pi", {"input": ["é"], "constant": ["pi"], "mul": ["e\u0301*pi"]}),
    ],
)
def test_spans(text: str, spans: dict[str, list[str]]) -> None:
    program = parse(text)
    for op, expected in spans.items():
        found = [text[slice(*c.span)] for c in program.instructions if c.op == op]
        assert [f.strip() for f in found] == [e.strip() for e in expected]


@given(ANYTHING)
def test_spans_read_as_what_they_mark(text: str) -> None:
    try:
        program = parse(text)
    except FormulaError:
        assume(False)
    for position, code in enumerate(program.instructions):
        if code.op not in ("and", "lt", "le", "gt", "ge", "eq", "ne", "div"):
            again = parse(text[slice(*code.span)])
            outputs = (("value", position),)
            part = Program(Instructions(program.instructions[: position + 1]), (), outputs, "")
            assert tree(again) == tree(part)


# Statements, inputs and outputs.


def test_steps() -> None:
    program = parse("u = x + y; z = u**2")
    assert program.inputs == ("x", "y")
    assert program.steps == {"u": 3, "z": 6}
    assert program.outputs == (("z", 6),)
    assert program.intermediates == ("u",)
    assert program.single
    assert program.name is None
    assert program.instructions[5].operands == (3, 4)


def test_header() -> None:
    program = parse("s = x + y\nf(y, x, unused) = s*y")
    assert program.name == "f"
    assert program.inputs == ("y", "x", "unused")
    assert program.outputs[0][0] == "f"
    assert parse("f(x, y) = x*y", inputs=["y", "x"]).inputs == ("y", "x")
    assert parse("f() = 2").inputs == ()


def test_order_of_inputs() -> None:
    assert parse("b + a*c - a").inputs == ("b", "a", "c")
    assert parse("b + a", inputs=("a", "b", "c")).inputs == ("a", "b", "c")
    assert parse("2", inputs=[]).inputs == ()


def test_outputs() -> None:
    program = parse("u = x; v = 2*u; w = v*y", outputs=["v", "u", "y"], inputs=["y", "x"])
    assert [name for name, _ in program.outputs] == ["v", "u", "y"]
    assert not program.single
    assert parse("u = x; v = u", outputs=["u"]).single
    assert parse("x + 1", inputs=["x", "y"], outputs=["y", "value"]).inputs == ("x", "y")


@pytest.mark.parametrize(
    ("text", "name"),
    [("x", "value"), ("value + 1", "value_"), ("value = x; value_ = 2; x", "value__")],
)
def test_name_of_an_anonymous_output(text: str, name: str) -> None:
    assert parse(text).outputs[0][0] == name


def test_constants_can_be_variables() -> None:
    assert parse("pi*e + inf*nan").inputs == ()
    assert parse("pi*e", inputs=["e"]).inputs == ("e",)
    assert parse("f(e, π) = e + π").inputs == ("e", "π")
    assert "constant" not in [c.op for c in parse("pi = 3; pi*2").instructions]


def test_names_are_one_name_in_all_spellings() -> None:
    assert parse("é + e\u0301").inputs == ("é",)
    assert parse("µ + μ", inputs=["\u00b5"]).inputs == ("μ",)
    assert parse("ﬁ = x; fi", outputs=["ﬁ"]).outputs[0][0] == "fi"


def _is_plain_name(text: str) -> bool:
    middle_dots = set("·\u0387")  # for Unicode parts of names, here they multiply
    return text.isidentifier() and not middle_dots & set(text)


@given(st.text(min_size=1, max_size=5).filter(_is_plain_name))
def test_names_are_normalised_as_in_python(name: str) -> None:
    try:
        program = parse(f"{name}*2")
    except FormulaError:
        assume(False)
    assert program.inputs in ((unicodedata.normalize("NFKC", name),), ())


def test_mapping() -> None:
    program = parse_mapping({"u": "x + y", "z": "u**2", "c": 3, "d": -0.5})
    assert program.text == "u = x + y\nz = u**2\nc = 3\nd = -0.5"
    assert program.instructions == parse(program.text).instructions
    both = parse_mapping({"u": "x", "z": " u ** 2\n"}, inputs=["x"], outputs=["z", "u"])
    assert [name for name, _ in both.outputs] == ["z", "u"]
    assert both.instructions == parse(both.text, outputs=["z", "u"]).instructions


@pytest.mark.parametrize(
    ("statements", "message", "text"),
    [
        ({}, "empty", None),
        ({"u": ""}, "expected an expression for 'u'", ""),
        ({"u": "x +"}, "expected a value after '+'", "x +"),
        ({"u": "x", "z": "y*(u"}, "'(' is never closed", "y*(u"),
        ({"u": "x; y"}, "expected one expression", "x; y"),
        ({"u": "v = x"}, "a second '='", "v = x"),
        ({"z": "u**2", "u": "x"}, "'u' is used before it is assigned", "u**2"),
        ({"u": "v", "v": "w", "w": "u"}, "u needs v needs w needs u", "v"),
        ({"u": "u + 1"}, "'u' is used in its own definition", "u + 1"),
        ({"é": "x", "e\u0301": "y"}, "'é' is already assigned", "y"),
        ({"2x": "x"}, "'2x' is not a name", "2x"),
        ({"if": "x"}, "'if' is a word", "if"),
        ({"u": float("nan"), "v": 10**5000}, "larger than any double", "1e9999"),
    ],
)
def test_mapping_refuses(statements: dict[str, str], message: str, text: str | None) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_mapping(statements)
    assert message in caught.value.message
    assert caught.value.text == text
    assert str(caught.value)


@pytest.mark.parametrize("value", [None, True, 1j, b"x", ["x"], object()])
def test_what_is_not_text(value: object) -> None:
    with pytest.raises(UnsupportedError):
        parse(value)
    with pytest.raises(UnsupportedError):
        parse_mapping({"u": value})
    with pytest.raises(UnsupportedError):
        parse_mapping({value: "x"} if value.__hash__ else value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ["x", "x"]}, "'x' is in inputs= twice"),
        ({"inputs": ["u"]}, "'u' is an input and cannot be assigned"),
        ({"inputs": ["y"]}, "'x' is neither an input nor assigned before"),
        ({"inputs": ["x", "2"]}, "'2' is not a name"),
        ({"inputs": ["x", "a.b"]}, "'a.b' is not a name"),
        ({"inputs": ["x", "a·b"]}, "'·' (U+00B7) has no meaning in a formula"),
        ({"inputs": ["x", ""]}, "a name is empty"),
        ({"inputs": ["x", "not"]}, "'not' is a word of the language"),
        ({"inputs": ["x", "х"]}, "'х' looks like another name but has other letters"),
        ({"outputs": ["w"]}, "the output 'w' is neither a statement nor an input"),
        ({"outputs": []}, "outputs= is empty"),
        ({"outputs": ["u", "u"]}, "'u' is in outputs= twice"),
    ],
)
def test_refused_inputs_and_outputs(options: dict[str, list[str]], message: str) -> None:
    error = refused("u = x; u**2", **options)
    assert error.message == message
    for what in ("inputs", "outputs"):
        for wrong in ("x", 3, [3]):
            with pytest.raises(UnsupportedError):
                parse("x", **{what: wrong})


def test_header_and_inputs_must_agree() -> None:
    assert "different inputs" in refused("f(x, y) = x", inputs=["x"]).message


# Errors: the message, the hint, and the caret.

ERRORS = [
    ("", "the formula is empty", "x**2", 1),
    ("# nothing", "the formula is empty", "x**2", 1),
    ("x +", "expected a value after '+'", None, 3),
    ("x + * y", "expected a value after '+', found '*'", None, 5),
    ("x +\ny", "expected a value after '+'", "parentheses", 3),
    ("* x", "expected a value, found '*'", None, 1),
    ("u =", "expected a value after '='", None, 4),
    ("(x + 1", "'(' is never closed", "')'", 1),
    ("x*(sin(y)", "'(' is never closed", "')'", 3),
    ("x)", "')' closes nothing", "'('", 2),
    ("()", "expected a value after '(', found ')'", None, 2),
    ("sin(x,)", "expected a value after ',', found ')'", None, 7),
    ("1 + sin()", "'sin' takes 1 argument, not 0", None, 5),
    ("atan2(x)", "'atan2' takes 2 arguments, not 1", None, 1),
    ("max()", "'max' takes at least 1 argument, not 0", None, 1),
    ("maximum(x)", "'maximum' takes at least 2 arguments, not 1", None, 1),
    ("amax(x, y)", "'amax' takes 1 argument, not 2", "write max(a, b)", 1),
    ("dot(x)", "'dot' takes 2 arguments, not 1", "sum(a*b)", 1),
    ("sum(a, b)", "'sum' takes 1 argument, not 2", "a + b", 1),
    ("log(x, 2)", "'log' takes 1 argument, not 2", "log(x)/log(b)", 1),
    ("y*lg(x)", "unknown function 'lg'", "did you mean 'log'", 3),
    ("Sin(x)", "unknown function 'Sin'", "'sin'", 1),
    ("factorial(n)", "unknown function 'factorial'", "gamma(n + 1)", 1),
    ("x + x(2)", "'x' is a variable and not a function", "x*(...)", 5),
    ("k(2)", "unknown function 'k'", "k*(...)", 1),
    ("2x", "expected an operator between '2' and 'x'", "2*x", 2),
    ("x y", "expected an operator between 'x' and 'y'", "'*'", 3),
    ("(a)(b)", "expected an operator between ')' and '('", "'*'", 4),
    ("sin x", "expected an operator between 'sin' and 'x'", "sin(x)", 1),
    ("x in y", "expected an operator between 'x' and 'in'", "x == y", 3),
    ("x.real", "a point belongs to numbers only", "attributes", 2),
    ("x[0]", "'[' has no meaning in a formula", "x_0", 2),
    ("'x'", "text in quotes has no meaning in a formula", "quotes", 1),
    ("{x}", "'{' has no meaning in a formula", "'('", 1),
    ("x @ y", "'@' has no meaning in a formula", "'*'", 3),
    ("x := 3", "':' has no meaning in a formula", "name = expression", 3),
    ("|x|", "'|' has no meaning in a formula", "abs(x)", 1),
    ("x & y", "'&' has no meaning in a formula", "'and'", 3),
    ("n!", "'!' has no meaning in a formula", "gamma", 2),
    ("(x = 3)", "'=' inside parentheses", "'=='", 4),
    ("x = y = 3", "a second '=' in one statement", "'=='", 7),
    ("x + y = 3", "only a name can be assigned", "name = ", 1),
    ("x => 3", "expected a value after '=', found '>'", "'>='", 4),
    ("x += 3", "expected a value after '+', found '='", "new name", 4),
    ("x, y", "',' outside of a call", "outputs=", 2),
    ("1,5*x", "',' outside of a call", "1.5", 2),
    ("u = x; u = y", "'u' is already assigned in line 1", "another name", 8),
    ("z = u**2; u = x", "'u' is used before it is assigned in line 1", "up", 5),
    ("u = v; v = u", "the steps need each other in a circle: u needs v needs u", None, 5),
    ("u = u + 1", "'u' is used in its own definition", "another name", 5),
    ("x; y", "only the last statement may be without a name", "name = ", 1),
    ("z = x\n- y", "a line starts with '-'", "parentheses", 1),
    ("f(x) = x; 2", "the header 'f(...) = ...' is not the last statement", "steps", 1),
    ("f(x, x) = x", "the input 'x' appears twice in the header", "once", 6),
    ("f(x) = foo + x", "'foo' is neither an input nor assigned before", "inputs are", 8),
    ("f(rate) = rat", "'rat' is neither an input nor assigned before", "'rate'", 11),
    ("f(2) = x", "expected the name of an input", "f(x, y)", 3),
    ("f(x) = f(x - 1)", "'f' calls itself", "another name", 8),
    ("f(x) = x; f(y) = y", "the header 'f(...) = ...' is not", "steps", 1),
    ("x if y", "expected 'else' after this 'if'", "else b", 3),
    ("x else y", "'else' without an 'if' before it", "if condition", 3),
    ("if x else y", "expected a value, found 'if'", "where(", 1),
    ("x == not y", "'not' after an operator", "(not ...)", 6),
    ("u = (x; 2)", "';' inside parentheses", "'('", 7),
    ("True", "'True' is not a number", "x > 0", 1),
    ("007", "a whole number starts with 0", "7", 1),
    ("0x1F", "numbers are written in decimal", "31", 1),
    ("1_000", "a number with '_' in it", "1000", 1),
    ("2j", "there are no imaginary numbers here", "2*j", 1),
    ("3e", "the exponent has no digits", "3e5", 1),
    ("1.2.3", "a number has more than one point", None, 1),
    ("1e400", "a number is larger than any double", "inf", 1),
    ("1e-400", "a number is smaller than any double", "0", 1),
    ("x\u200b", "the invisible character U+200B (zero width space)", "delete", 2),
    ("x\x00", "the invisible character U+0000 (control character)", "delete", 2),
    ("x + \ud800", "the character U+D800 stands for nothing", "delete", 5),
    ("x²", "'²' (U+00B2) has no meaning in a formula", "**2", 2),
    ("x₁", "'₁' (U+2081) has no meaning in a formula", "_1", 2),
    ("½", "'½' (U+00BD) has no meaning in a formula", "1/2", 1),
    ("√x", "'√' has no meaning in a formula", "sqrt", 1),
    ("a + а", "'а' looks like another name but has other letters", "alphabet", 5),
    ("x \\ y", "a backslash may only end a line", "'/'", 3),
]


@pytest.mark.parametrize(("text", "message", "hint", "column"), ERRORS)
def test_errors(text: str, message: str, hint: str | None, column: int) -> None:
    error = refused(text)
    assert error.message.startswith(message)
    assert (error.hint is None) == (hint is None)
    assert hint is None or hint in error.hint
    assert error.column == column
    assert error.text == text
    assert "^" in str(error)


def test_line_of_an_error() -> None:
    error = refused("u = x + y\n# comment\nz = u**")
    assert (error.line, error.column) == (3, 6)


# Limits.


@pytest.mark.parametrize(
    ("text", "limits", "longest"),
    [
        ("x" * 11, Limits(name=10), "x" * 10),
        ("1" * 11, Limits(digits=10), "1" * 10),
        ("x" + " " * 10, Limits(length=10), "x" + " " * 9),
        ("((((x))))", Limits(depth=3), "(((x)))"),
        ("----x", Limits(depth=3), "---x"),
        ("x**x**x**x**x", Limits(depth=3), "x**x**x**x"),
        ("sin(sin(sin(sin(x))))", Limits(depth=3), "sin(sin(sin(x)))"),
        ("x + x + x", Limits(instructions=2), "x + x"),
    ],
)
def test_limits(text: str, limits: Limits, longest: str) -> None:
    with pytest.raises(LimitError, match="raise it with Limits"):
        parse(text, limits=limits)
    parse(longest, limits=limits)
    parse(text)


def test_limits_can_be_raised_beyond_those_of_python() -> None:
    number = "0." + "1" * 9000
    payload = parse(number, limits=Limits(digits=10_000)).instructions[0].payload
    assert payload.value.numerator % 10 == 1
    deep = "-(" * 60_000 + "x" + ")" * 60_000
    code = parse(deep, limits=Limits(depth=200_000)).instructions
    assert len(code) == 60_001


@pytest.mark.parametrize(
    "build",
    [
        lambda n: " + ".join(f"x{i % 9}*y" for i in range(n)),
        lambda n: "\n".join(["u0 = x", *(f"u{i + 1} = u{i}*2" for i in range(n))]),
        lambda n: "(" * n + "x" + ")" * n,
        lambda n: "x if x else " * n + "x",
        lambda n: "max(" + ", ".join(f"x{i}" for i in range(n)) + ")",
        lambda n: "f(" + ", ".join(f"x{i}" for i in range(n)) + ") = x1",
        lambda n: " < ".join(["x"] * n),
    ],
)
def test_work_grows_in_proportion_to_the_text(build: object) -> None:
    def calls(text: str) -> int:
        count = 0

        def tick(frame: object, event: str, _: object) -> object:
            nonlocal count
            count += event in ("call", "line")
            return tick

        before = sys.gettrace()
        sys.settrace(tick)
        try:
            parse(text)
        finally:
            sys.settrace(before)
        return count

    small, large = calls(build(100)), calls(build(400))
    assert large < 4.5 * small


def test_importing_the_parser_imports_no_sympy() -> None:
    code = "import sys, symgrad.language.parse; sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_recursion_limit_does_not_matter() -> None:
    limit = sys.getrecursionlimit()
    assert parse("(" * 10_000 + "x" + ")" * 10_000).instructions[0].payload == "x"
    assert sys.getrecursionlimit() == limit


# The corpora.


@pytest.mark.parametrize("formula", LEGITIMATE, ids=lambda f: f.id)
def test_legitimate(formula: Formula) -> None:
    program = parse(formula.text)
    assert program.inputs == formula.inputs
    for position, code in enumerate(program.instructions):
        assert all(operand < position for operand in code.operands)
        assert code.op in FUNCTIONS or code.op in ("number", "constant", "input", "step")
        assert 0 <= code.span.start < code.span.end <= len(formula.text)


@pytest.mark.parametrize("case", HOSTILE, ids=lambda c: c.id)
def test_hostile(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.eval", _never)
    monkeypatch.setattr("builtins.exec", _never)
    monkeypatch.setattr("builtins.compile", _never)
    # The collector would look through all that the other tests have made.
    with garbage.paused():
        start = time.thread_time()
        if case.expectation == "ok":
            parse(case.text)
        else:
            with pytest.raises(SymgradError) as caught:
                parse(case.text)
            assert str(caught.value).encode()
        spent = time.thread_time() - start
    monkeypatch.undo()
    assert spent < 2
    assert TRACE not in os.environ


def _never(*_: object) -> None:
    raise AssertionError("the parser executes nothing")


def test_corpora_are_large_and_have_no_repetitions() -> None:
    assert len({case.text for case in HOSTILE}) == len(HOSTILE) >= 320
    assert len({formula.text for formula in LEGITIMATE}) == len(LEGITIMATE) >= 220
    assert len({formula.id for formula in LEGITIMATE}) == len(LEGITIMATE)


# Fuzzing.


@given(st.text(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SymgradError):
        parse(text)


SOUP = st.lists(
    st.sampled_from(
        [
            *(
                "x",
                "y",
                "u",
                "sin",
                "max",
                "where",
                "f",
                "pi",
                "1",
                "2.5",
                ".5",
                "1e3",
                "07",
            ),
            *("+", "-", "*", "/", "//", "%", "**", "^", "(", ")", "(", ")", ",", "=", "=="),
            *("<", "<=", "!=", "and", "or", "not", "if", "else", ";", "\n", "\\\n", "# c"),
            *(
                " ",
                " ",
                "×",
                "−",
                "é",
                "e\u0301",
                "х",
                "²",
                ".",
                "'",
                "[",
                "True",
                "\u200b",
            ),
        ]
    ),
    max_size=25,
)


@given(SOUP, st.booleans())
@settings(max_examples=1000, deadline=None)
def test_any_tokens_are_read_or_refused(tokens: list[str], blanks: bool) -> None:
    text = (" " if blanks else "").join(tokens)
    error = None
    try:
        program = parse(text)
    except FormulaError as caught:
        error = caught
    if error is None:
        assert program.text == text
        assert parse(text) == program
    else:
        assert error.text == text
        assert 0 <= error.span.start <= len(text)
        assert "^" in str(error)


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=8), max_size=3))
@settings(deadline=None)
def test_any_mapping_is_read_or_refused(statements: dict[str, str]) -> None:
    try:
        program = parse_mapping(statements)
    except SymgradError as error:
        str(error)
    else:
        assert tuple(program.steps) == tuple(
            unicodedata.normalize("NFKC", name) for name in statements
        )
