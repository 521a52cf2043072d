"""SymPy objects become Programs that mean the same; what has no real meaning is refused."""

from __future__ import annotations

import ast
import math
import os
import random
import struct
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp

from symgrad.calculus import reference
from symgrad.compiler import Variant, print_source
from symgrad.errors import FormulaError, UnsupportedError
from symgrad.language.from_sympy import read
from symgrad.language.functions import FUNCTIONS, REDUCTIONS
from symgrad.language.parse import parse
from symgrad.language.program import Program

x, y, z = sp.symbols("x y z")
POINT = {"x": 0.625, "y": 1.75, "z": 2.375}


def value(program: Program, **point: float) -> float:
    return float(reference.value(program, point or POINT))


# Eq(x, ...) names its value, so it is tested among the values.
READABLE = [row for row in FUNCTIONS.values() if not row.reduction and row.name != "eq"]


@pytest.mark.parametrize("row", READABLE, ids=lambda row: row.name)
def test_every_row_reads_back(row: object) -> None:
    count = row.arity[0]
    names = ["x", "y", "z"][:count]
    operands = [sp.Symbol(name, real=True) for name in names]
    if row.name in ("and", "or", "not"):
        operands = [operand > 1 for operand in operands]
    elif row.name == "where":
        operands[0] = operands[0] > 1
    elif row.name in ("polygamma", "sinc_derivative"):
        operands[0] = sp.Integer(1)
    point = {"x": 0.625, "y": 1.75, "z": 2.375}
    if row.name in ("acosh", "acosh_slope"):
        point["x"] = 1.625
    program = read(row.meaning(sp, *operands), inputs=["x", "y", "z"])
    numbers = [
        1 if operand == 1 else mpmath.mpf(point[n])
        for n, operand in zip(names, operands, strict=True)
    ]
    if row.name in ("and", "or", "not"):
        numbers = [number > 1 for number in numbers]
    elif row.name == "where":
        numbers[0] = numbers[0] > 1
    expected = reference.FUNCTIONS[row.name](*numbers)
    assert value(program, **point) == pytest.approx(float(expected), rel=1e-14)


@pytest.mark.parametrize("name", sorted(REDUCTIONS))
def test_reductions_by_name(name: str) -> None:
    row = FUNCTIONS[name]
    program = read(row.meaning(sp, *(x, y)[: row.arity[0]]))
    assert [code.op for code in program.instructions] == ["input"] * row.arity[0] + [name]
    assert read(sp.Function(name)(*(x, y)[: row.arity[0]])) == program


def test_sharing_is_kept() -> None:
    expression = x
    for _ in range(25):
        expression = sp.Mul(expression, sp.sin(expression), evaluate=False)
    assert len(read(expression).instructions) == 1 + 2 * 25
    doubled = x
    for _ in range(25):
        doubled = (doubled + 1) ** 2
    assert len(read(doubled).instructions) < 4 * 25 + 2


def test_the_same_symbol_is_one_input() -> None:
    program = read([x + y, sp.sin(x), x * y])
    assert sum(code.op == "input" for code in program.instructions) == 2
    assert [name for name, _ in program.outputs] == ["value_0", "value_1", "value_2"]
    assert not program.single


def test_inputs_are_sorted_or_declared() -> None:
    b, a = sp.symbols("b a")
    assert read(b - a).inputs == ("a", "b")
    assert read(b - a, inputs=[b, "a", "c"]).inputs == ("b", "a", "c")
    with pytest.raises(UnsupportedError, match="'b' is not among the inputs"):
        read(b - a, inputs=[a])
    with pytest.raises(UnsupportedError, match="same name"):
        read(b - a, inputs=["a", "b", "a"])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (sp.Piecewise((sp.log(x), x > 0), (y, True)), math.log(0.625)),
        (sp.Piecewise((sp.log(x), x < 0), (z, y < 0), (y, True)), 1.75),
        (sp.Piecewise((x, x < 0)), math.nan),
        (sp.Piecewise((x, x > 0)), 0.625),
        (sp.Max(x, y, z, 1), 2.375),
        (sp.Min(x, y, z, 1), 0.625),
        (sp.Max(x, -sp.oo, evaluate=False), 0.625),
        (sp.Abs(x - y), 1.125),
        (sp.Mod(z, x), 0.5),
        (sp.Mod(-z, x), 0.125),
        (sp.atan2(x, y), math.atan2(0.625, 1.75)),
        (sp.Heaviside(x - y), 0.0),
        (sp.Heaviside(y - x, sp.Rational(1, 2)), 1.0),
        (sp.sign(x - y), -1.0),
        (sp.Lt(x, y), 1.0),
        (sp.Ge(x, y), 0.0),
        (sp.Ne(x, y), 1.0),
        (sp.Eq(x + 1, y), 0.0),
        (sp.And(x < y, y < z), 1.0),
        (sp.Or(x > y, y > z), 0.0),
        (sp.Not(sp.And(x < y, y < z)), 0.0),
        (sp.ITE(x < y, y < z, z < x), 1.0),
        (sp.Piecewise((1, sp.And(x < y, sp.Or(y > z, x > 0))), (2, True)), 1.0),
        (sp.E + sp.pi, math.e + math.pi),
        (sp.exp(1) ** x, math.exp(0.625)),
        (sp.sqrt(x) / y, math.sqrt(0.625) / 1.75),
        (x ** sp.Rational(-3, 2), 0.625**-1.5),
        (sp.Rational(-2, 3) * x / y**2, -2 / 3 * 0.625 / 1.75**2),
        (x - y - z, 0.625 - 1.75 - 2.375),
        (-x - y, -2.375),
        (-(x * y), -0.625 * 1.75),
        (sp.besselj(1, x), float(mpmath.besselj(1, 0.625))),
        (sp.polygamma(2, x), float(mpmath.polygamma(2, 0.625))),
        (sp.sinc(x), math.sin(0.625) / 0.625),
        (
            sp.cot(x) + sp.sec(x) * sp.csc(x),
            1 / math.tan(0.625) + 1 / math.cos(0.625) / math.sin(0.625),
        ),
        (sp.loggamma(x), math.lgamma(0.625)),
        (sp.Function("softplus")(x), math.log1p(math.exp(0.625))),
        (sp.Function("arctan")(x), math.atan(0.625)),
        (sp.oo, math.inf),
        (-sp.oo, -math.inf),
        (sp.nan, math.nan),
        (sp.true, 1.0),
        (sp.false, 0.0),
    ],
    ids=str,
)
def test_values(expression: sp.Basic, expected: float) -> None:
    got = value(read(expression, inputs=["x", "y", "z"]))
    assert got == pytest.approx(expected, rel=1e-14, nan_ok=True)


def test_shapes() -> None:
    matrix = sp.Matrix([[x, y], [x * y, 1], [0, sp.sin(x)]])
    for kind in (sp.Matrix, sp.ImmutableMatrix, sp.SparseMatrix):
        program = read(kind(matrix))
        assert program.shape == (3, 2)
        assert len(program.outputs) == 6
    row = read(sp.Matrix([[x, y]]))
    assert row.shape == (1, 2)
    assert read((x, y)).outputs == read([x, y]).outputs
    assert not read([x]).single


def test_equations_name_their_value() -> None:
    assert read(sp.Eq(z, x + y)).outputs[0][0] == "z"
    u = sp.Symbol("u")
    chained = read([sp.Eq(u, x + 1), sp.Eq(z, u * 2)])
    assert chained.inputs == ("x",)
    assert [name for name, _ in chained.outputs] == ["u", "z"]


def test_mappings_are_statements() -> None:
    u = sp.Symbol("u")
    program = read({"u": x + y, "z": u**2 + u})
    assert program.inputs == ("x", "y")
    assert program.intermediates == ("u",)
    assert program.single
    assert read({"u": x, z: u * 2}, outputs=["z", "u"]).outputs[0][0] == "z"
    # A symbol of any assumptions may stand for a step.
    assert read({"u": x, "z": sp.Symbol("u", positive=True) * 2}).inputs == ("x",)
    with pytest.raises(UnsupportedError, match="bound twice or used before"):
        read({"z": u * 2, "u": x})
    with pytest.raises(UnsupportedError, match="'q' is not among"):
        read({"u": x}, outputs=["q"])


def random_doubles(count: int) -> list[float]:
    rng = random.Random(20)
    found = []
    while len(found) < count:
        number = struct.unpack("d", rng.getrandbits(64).to_bytes(8, "little"))[0]
        if math.isfinite(number) and abs(number) > 1e-300:
            found.append(number)
    return found


def literals(source: str) -> set[float]:
    tree = ast.parse(source)
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, float)
    }


def test_ten_thousand_floats_arrive_bit_for_bit() -> None:
    doubles = random_doubles(10_000)
    from_objects = read([sp.Float(number) for number in doubles])
    from_text = read([sp.Float(repr(number), 40) for number in doubles])
    for program in (from_objects, from_text):
        for (_, position), number in zip(program.outputs, doubles, strict=True):
            code = program.instructions[position]
            assert float(code.payload) == number
    statements = "; ".join(f"s{k} = x*{abs(number)!r}" for k, number in enumerate(doubles))
    program = parse(statements + "; x", outputs=[f"s{k}" for k in range(len(doubles))])
    source = print_source(program, (), Variant((0,)))[0]
    assert {abs(number) for number in doubles} <= literals(source)


def test_numbers() -> None:
    def number(expression: object) -> object:
        program = read([expression, x])
        return program.instructions[program.outputs[0][1]].payload.value

    assert number(sp.Rational(1, 3)) == Fraction(1, 3)
    assert number(sp.Integer(10) ** 60) == 10**60
    assert number(sp.Float("0.1", 50)) == Fraction(0.1)
    assert number(sp.Float("2.5")) == Fraction(5, 2)
    assert float(number(sp.Float("1e300"))) == 1e300
    for plain in (
        2,
        2.5,
        np.float64(2.5),
        np.float32(2.5),
        np.int64(7),
        np.uint8(3),
        Fraction(2, 3),
    ):
        assert number(plain) == plain
    assert value(read([float("inf"), x]), x=1.0) == math.inf
    assert math.isnan(value(read([float("nan"), x]), x=1.0))
    assert value(read([True, x]), x=1.0) == 1.0
    assert value(read([np.bool_(False), x]), x=1.0) == 0.0
    with pytest.raises(UnsupportedError):
        read(sp.Float("1e30000") * x)


@pytest.mark.parametrize(
    "name",
    [
        "x y",
        "\\alpha",
        "x_{1}",
        "1x",
        "a\nimport os",
        "x'",
        "lambda",
        "np",
        "sin",
        "e",
        "pi",
        "E",
    ],
)
def test_symbols_with_odd_names(name: str) -> None:
    symbol = sp.Symbol(name)
    program = read(sp.sin(symbol) + 2 * symbol)
    assert program.inputs == (name,)
    source = print_source(program, (), Variant((0,)))[0]
    tree = ast.parse(source)
    assert [type(n).__name__ for n in ast.walk(tree)].count("Import") == 3
    compile(source, "<kernel>", "exec")
    stepped = read({name: x * 2, "z": sp.Symbol(name) + 1})
    compile(print_source(stepped, (), Variant((0,)))[0], "<kernel>", "exec")


def test_names_that_python_reads_as_one_are_one() -> None:
    assert read(sp.Symbol("ﬁ") * 2).inputs == ("fi",)
    with pytest.raises(UnsupportedError, match="two different symbols are called 'fi'"):
        read(sp.Symbol("ﬁ") + sp.Symbol("fi"))


def test_two_symbols_with_one_name() -> None:
    with pytest.raises(UnsupportedError, match="two different symbols are called 'x'"):
        read(x + sp.Symbol("x", positive=True))


@pytest.mark.parametrize("assumption", ["positive", "negative", "integer", "real", "nonzero"])
def test_assumptions_change_nothing(assumption: str) -> None:
    symbol = sp.Symbol("x", **{assumption: True})
    assert read(sp.sin(symbol) + symbol).instructions == read(sp.sin(x) + x).instructions


g = sp.Function("g")
REFUSED = [
    (sp.Sum(x, (x, 1, y)), "Sum"),
    (sp.Product(x, (x, 1, y)), "Product"),
    (sp.Integral(sp.sin(x), (x, 0, y)), "Integral"),
    (sp.Derivative(g(x), x), "Derivative"),
    (sp.Subs(g(x), x, y), "Subs"),
    (sp.I * x, "ImaginaryUnit"),
    (sp.sqrt(-2) * x, "ImaginaryUnit"),
    (sp.zoo, "ComplexInfinity"),
    (sp.re(x), "re"),
    (sp.conjugate(x), "conjugate"),
    (sp.arg(x), "arg"),
    (sp.DiracDelta(x), "DiracDelta"),
    (g(x), "g"),
    (sp.Function("sin_")(x), "sin_"),
    (sp.Function("softplus")(x, y), "softplus of 2 arguments"),
    (sp.Function("where")(x, y), "where of 2 arguments"),
    (sp.besselj(2, x), "besselj"),
    (sp.Heaviside(x, 1), "Heaviside"),
    (sp.MatrixSymbol("A", 2, 2), "MatrixSymbol"),
    (sp.Lambda(x, x**2), "Lambda"),
    (sp.FiniteSet(1, 2), "Set"),
    (sp.Interval(0, 1), "Interval"),
]


@pytest.mark.parametrize(("expression", "shown"), REFUSED, ids=lambda v: str(v)[:30])
def test_refused(expression: sp.Basic, shown: str) -> None:
    with pytest.raises(UnsupportedError, match=shown):
        read(expression)
    with pytest.raises(UnsupportedError, match=shown):
        read([x, expression])


@pytest.mark.parametrize("order", [y, sp.Rational(1, 2), -2 * y])
def test_polygamma_needs_a_literal_order(order: object) -> None:
    program = read(sp.polygamma(order, x))
    with pytest.raises(FormulaError, match="the order of polygamma"):
        print_source(program, (), Variant((0,) * len(program.inputs)))


@pytest.mark.parametrize(
    "source",
    [
        "x + y",
        ["x + y"],
        [x, "y"],
        {"z": "x"},
        {"z": x, "w": b"x"},
        [None],
        [[x]],
        pytest.param([object()], id="object"),
        1j,
        [1j],
    ],
    ids=repr,
)
def test_strings_and_strangers_are_refused_and_not_run(source: object) -> None:
    with pytest.raises(UnsupportedError):
        read(source)


def test_nothing_is_executed() -> None:
    mark = "SYMGRAD_FROM_SYMPY_TRACE"
    evil = f"__import__('os').environ.__setitem__('{mark}', '1')"
    for source in (evil, [evil], {"z": evil}, {evil: "x"}):
        with pytest.raises(UnsupportedError):
            read(source)
    program = read({evil: sp.Symbol(evil + " ") * 2})
    text = print_source(program, (), Variant((0,)))[0]
    assert "os" not in {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    assert mark not in os.environ


def test_empty() -> None:
    for nothing in ([], (), {}, sp.Matrix(0, 0, [])):
        with pytest.raises(UnsupportedError, match="empty"):
            read(nothing)


def test_deep_expressions() -> None:
    expression = x
    for _ in range(300):
        expression = sp.tanh(expression, evaluate=False)
    assert len(read(expression).instructions) == 301
    expression = x
    for _ in range(5_000):
        expression = sp.Mul(y, sp.Add(x, expression, evaluate=False), evaluate=False)
    assert len(read(expression).instructions) == 2 + 10_000
    swinging = x
    for _ in range(300):
        swinging = x - sp.sin(-swinging)
    assert len(read(swinging).instructions) < 1_000


def test_long_sums_are_read_in_one_go() -> None:
    terms = [sp.Integer(k) * sp.Symbol(f"x{k}") for k in range(2, 3_000)]
    program = read(sp.Add(*terms))
    assert sum(code.op == "add" for code in program.instructions) == len(terms) - 1
