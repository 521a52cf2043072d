"""Fewer functions, the same numbers: what is moved, what stays, and bits that do not change."""

from __future__ import annotations

import ast
import math

import pytest

import symgrad as sg
from symgrad import compiler
from symgrad.codegen.flatten import flatten
from symgrad.runtime import cache

HEAD = """\
def inlined(function=None, forceinline=False):
    return (lambda f: f) if function is None else function

@inlined(forceinline=True)
def square(x):
    \"\"\"Return x*x.\"\"\"
    y = x
    return x*y

@inlined(forceinline=True)
def parts(x, y):
    total = square(x) + y
    return total, x - y

"""


def functions(source):
    return [n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)]


def run(source, *args):
    space = {}
    exec(source, space)
    return space["f"](*args)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("def f(x):\n    return square(x + 1) - square(x)\n", []),
        ("def f(x):\n    a, b = parts(x, 2.0)\n    return a*b\n", []),
        ("def f(x):\n    x, b = parts(x, square(x))\n    return x, b\n", []),
        ("def f(x):\n    x = parts(x, x)\n    return x\n", []),
        ("def f(x):\n    total = 1.0\n    total += square(x)\n    return total\n", []),
        (
            "def f(x):\n    if square(x) > 2.0:\n        y = square(x)\n"
            "    else:\n        y = square(-x)\n    return y\n",
            [],
        ),
        (
            "def f(x):\n    total = 0.0\n    for i in range(3):\n"
            "        total += square(x + i)\n    return total\n",
            [],
        ),
        ("def f(x):\n    return square(x) if square(x) > 0.0 else 0.0\n", ["square"]),
        ("def f(x):\n    return x > 0.0 and square(x) > 1.0\n", ["square"]),
        ("def f(x):\n    return [square(y) for y in (x, 1.0)]\n", ["square"]),
        ("def f(x):\n    return sum(square(y) for y in (x, 1.0))\n", ["square"]),
        ("def f(x):\n    while square(x) < 9.0:\n        x += 1.0\n    return x\n", ["square"]),
        ("def f(x):\n    return square(x=x)\n", ["square"]),
        ("def f(x):\n    return square(2) + x\n", ["square"]),
        ("def f(x):\n    return (lambda y: square(y))(x)\n", ["square"]),
        ("alias = square\n\ndef f(x):\n    return alias(x) + square(x)\n", ["square"]),
        ("def f(x):\n    square_x_1 = 3.0\n    return square(x) + square_x_1\n", []),
    ],
)
def test_what_is_moved_computes_the_same(body, left):
    source = HEAD + body
    flat = flatten(source)
    assert functions(flat) == ["inlined", *left, "f"]
    for x in (0.5, -1.25, 3.0):
        assert run(flat, x) == run(source, x)


def test_a_variable_of_the_caller_may_have_the_name_of_a_function():
    source = HEAD + "def f(x):\n    square = 10.0\n    return parts(x, square)\n"
    source = source.replace("total = square(x)", "total = square(x) if x > 0.0 else -x")
    flat = flatten(source)
    assert functions(flat) == ["inlined", "square", "parts", "f"]
    assert run(flat, 2.0) == run(source, 2.0) == (4.0, -8.0)


def test_a_long_function_with_many_callers_stays():
    lines = "".join(f"    y = y*x + {k}.0\n" for k in range(20))
    long = f"@inlined(forceinline=True)\ndef long(x):\n    y = x\n{lines}    return y\n\n"
    once = HEAD + long + "def f(x):\n    return long(x)\n"
    twice = HEAD + long + "def f(x):\n    return long(x) + long(-x)\n"
    assert functions(flatten(once)) == ["inlined", "f"]
    assert functions(flatten(twice)) == ["inlined", "long", "f"]
    assert run(flatten(twice), 0.5) == run(twice, 0.5)


def test_functions_with_branches_or_without_the_wish_to_be_inlined_stay():
    source = HEAD + (
        "@inlined(forceinline=True)\ndef sign(x):\n    if x < 0.0:\n        return -1.0\n"
        "    return 1.0\n\n@inlined\ndef plain(x):\n    return x + 1.0\n\n"
        "def f(x):\n    return sign(x)*plain(x)\n"
    )
    assert functions(flatten(source)) == ["inlined", "sign", "plain", "f"]


FORMULAS = [
    "y*log(x) + sin(y)",
    "tan(x)*exp(-y) + cos(1e13*x)",
    "log(y) + exp(y)*x*log1p(x) + sqrt(x)",
    "where(x > 1, log(x), exp(x))*y",
    "gamma(x) + erf(y)*atan2(x, y)",
    "softplus(x)*sigmoid(y) + tanh(x*y)",
    "log(fma*x) + exp(fma)*y",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bits_do_not_change(formula, dtype):
    function = sg.value_and_grad(sg.compile(formula))
    program = function.program
    variant = compiler.Variant((0,) * len(program.inputs), 0, dtype)
    source = compiler.print_source(program, function.transforms, variant)[0]
    flat = flatten(source)
    assert flat == flatten(source)
    assert len(functions(flat)) < len(functions(source))
    plain, moved = cache.load(source).gradient, cache.load(flat).gradient
    for k in range(50):
        point = [0.01 + 0.37 * (k + 1.3 * j) for j in range(len(program.inputs))]
        for scale in (1.0, -1.0, 1e-300, 1e200, math.inf, math.nan):
            got, want = moved(*[scale * x for x in point]), plain(*[scale * x for x in point])
            assert list(map(float.hex, got)) == list(map(float.hex, want))


def test_numbers_that_need_numba_are_compiled_flat_and_shown_in_full():
    function = sg.compile("log(x) + sin(x) + gamma(x)")
    function(1.0)
    kernel = function.compiled(compiler.Variant((0,))).kernel
    assert "def log(" in kernel.source
    assert "def log(" in function.source()
    assert "log" not in vars(__import__("sys").modules[kernel.function.__module__])
