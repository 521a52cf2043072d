"""Kernels in LLVM IR compute the bits that the same text computes in plain Python."""

from __future__ import annotations

import inspect
import itertools
import math
import random
import re
import struct

import numba
import numpy as np
import pytest

import symgrad as sg
from symgrad import compiler, vmath
from symgrad.codegen.llvm import print_llvm
from symgrad.compiler import Variant
from symgrad.runtime import native

HEAD = "number = numba.float64\n"
#: Primitives with loops, or that call functions of C.
LEFT = {
    "besselj0",
    "besselj1",
    "digamma",
    "gamma",
    "lgamma",
    "polygamma",
    "sinc_derivative",
}
EDGES = [
    *(0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.0, -3.0, 7.0, 20.0, 100.0, -745.5, 1e13, -1e300),
    *(5e-324, -2.2250738585072014e-308, 1.7976931348623157e308, math.inf, -math.inf, math.nan),
]


def compiled(source, inputs, dtype="float64"):
    """Compile the function `call` of a module for numbers."""
    text = print_llvm(source, "call")
    assert text is not None
    outputs = 1 + max(map(int, re.findall(r"ptr %outputs, i64 (\d+)", text)))
    return native.link(native.assemble(text + native.door(["number"] * inputs, outputs, dtype)))


def bits(value, form="<d"):
    """Return the bits of a number, or of several; all NaNs are one."""
    values = value if isinstance(value, tuple) else (value,)
    return [struct.pack(form, math.nan if v != v else v) for v in map(float, values)]


def is_single(name):
    plain = name.removesuffix("_near")
    return plain.endswith("f") and plain[:-1] in vmath.every_name()


def arity(name):
    function = vmath._FUNCTIONS.get(name)
    return 1 if function is None else len(inspect.signature(function).parameters)


def module(name):
    """Return a module whose `call` calls a primitive, and how many numbers that takes."""
    inputs = arity(name)
    names = ", ".join("abcdefgh"[:inputs])
    dtype = "float32" if is_single(name) else "float64"
    text = f"{vmath.definitions([name])}\nnumber = numba.{dtype}\n"
    return f"{text}def call({names}):\n    return {name}({names})\n", inputs, dtype


# The primitives


def test_only_loops_and_functions_of_c_are_left_to_numba():
    left = {name for name in vmath.every_name() if print_llvm(module(name)[0], "call") is None}
    assert left == LEFT


def points(name, inputs):
    """Return points, among them all that is special about numbers."""
    numbers = random.Random(name)
    found = list(itertools.islice(itertools.product(EDGES, repeat=inputs), 0, None, inputs**3))
    for _ in range(200):
        scale = 10.0 ** numbers.uniform(-9, 9)
        found.append(tuple(numbers.uniform(-1, 1) * scale for _ in range(inputs)))
        found.append(tuple(numbers.uniform(-4, 4) for _ in range(inputs)))
    if name.startswith("integer_power"):
        found = [(x, float(round(n))) for x, n in found if math.fabs(n) < 200]
    return found


@pytest.mark.parametrize(
    "name", [n for n in vmath.every_name() if n not in LEFT and not is_single(n)]
)
def test_a_primitive_computes_the_bits_of_plain_python(name):
    source, inputs, _ = module(name)
    call = compiled(source, inputs)
    for point in points(name, inputs):
        assert bits(call(*point)) == bits(vmath.evaluate(name, *point)), point


SINGLES = [n for n in vmath.every_name() if is_single(n)]


@pytest.fixture(scope="module")
def by_numba():
    """Return for each number of arguments a function of all that the primitives give."""
    functions = {}
    for inputs in {arity(name) for name in SINGLES}:
        names = [name for name in SINGLES if arity(name) == inputs]
        taken = ", ".join("abcdefgh"[:inputs])
        calls = "".join(f"{name}({taken}), " for name in names)
        text = vmath.definitions(names, inline=False, wrapped=False)
        space = {"math": math, "np": np, "numba": numba}
        exec(f"{text}\ndef call({taken}):\n    return {calls}\n", space)
        functions[inputs] = numba.njit(error_model="numpy")(space["call"]), names
    return functions


@pytest.mark.parametrize("name", SINGLES)
def test_a_primitive_of_float32_computes_the_bits_of_numba(name, by_numba):
    # Python has no such type, and NumPy combines it with others in another way.
    source, inputs, dtype = module(name)
    call = compiled(source, inputs, dtype)
    function, names = by_numba[inputs]
    for point in points(name, inputs):
        with np.errstate(over="ignore"):
            given = [np.float32(x) for x in point]
        expected = function(*given)[names.index(name)]
        assert bits(call(*given), "<f") == bits(expected, "<f"), given


# The subset of Python


@pytest.mark.parametrize(
    "body",
    [
        "    return x*y - 3*x/2 + (x + 1)\n",
        "    return -x, x, -y, -0.0, 2.0**-3, 5\n",
        "    return (x, y) if x > y else (y, 1.0)\n",
        "    a, b = (x, math.fabs(y)) if x < y else (math.sqrt(math.fabs(x)), y)\n"
        "    return a - b\n",
        "    return 1 if x > 2.0 else y\n",
        "    return (1.0 if x < 0.5 else math.sqrt(y)) if y > 0.0 else (x if x > y else -x)\n",
        "    c = x > 0.0 and not (y > 1.0 or y != y)\n    return 1.0 if c else 0.0\n",
        "    return 1.0 if 0.0 <= x < y <= 3.0 else -1.0\n",
        "    return x if (x > 0.0) != (y > 0.0) else y\n",
        "    return x if (x > 0.0) == (y > 0.0) else y\n",
        "    if x > 1.0:\n        return y\n    if y > 1.0:\n        x = x + y\n"
        "    elif x == y:\n        x = 2.0*x\n    else:\n        z = x\n        x = z - y\n"
        "    return x\n",
        "    if x > 1.0:\n        if y > 0.0:\n            t = 1.0\n        else:\n"
        "            t = math.nan\n    else:\n        t = -math.inf\n    return t, math.pi\n",
        "    if x > 0.0:\n        return x\n    else:\n        return -x\n",
        "    x += y\n    x *= 2\n    x -= 0.5\n    x /= y\n    return x\n",
        "    n = 0\n    n = n + 7 if x > 0.0 else n - 8\n    return n // 3 + (n & 6) * y\n",
        "    n = 5 if x > y else -5\n    return (n << 3) + (n >> 1) + (n ^ 3) + (n | 8)\n",
        "    n = 3 if x > y else 2\n    return 1.0 if n & 1 else 0.0\n",
        "    n = 3 if x > y else 2\n    return 1.0 if not n & 1 else -n\n",
        "    table = (3, 5, 7, -9)\n    return table[2] + table[3 if x > y else 0] * x\n",
        "    u = x if x == x else 0.0\n    n = int(u if math.fabs(u) < 1e9 else 0.0)\n"
        "    return n / 2\n",
        '    """Return a quotient."""\n    return x / y\n',
        "    return np.floor(x) + np.ceil(y) + np.trunc(x) + np.rint(y)\n",
        "    for k in range(3):\n        x = x*y + k\n    return x\n",
        "    n = 3 if x > y else 0\n    for k in range(n):\n        x, y = y, x\n"
        "    return x - 3*y\n",
        "    n = 2 if x > y else -3\n    for k in range(5, 4*n, n):\n        x = x*y + k\n"
        "    return x\n",
    ],
)
def test_the_subset_means_what_it_means_in_python(body):
    source = f"{HEAD}def call(x, y):\n{body}"
    space = {"math": vmath.ieee, "np": vmath.ieee}
    exec(source.removeprefix(HEAD), space)
    call = compiled(source, 2)
    for x, y in itertools.product(EDGES, repeat=2):
        try:
            expected = space["call"](x, y)
        except ZeroDivisionError:
            continue
        assert bits(call(x, y)) == bits(expected), (x, y)


@pytest.mark.parametrize(
    "body",
    [
        "    while x > 1.0:\n        x = x/2\n    return x\n",
        "    return math.sin(x)\n",
        "    return unknown(x)\n",
        "    return z\n",
        "    return x**2\n",
        "    return x % 2.0\n",
        "    return 7 // int(x)\n",
        "    return x > 0.0\n",
        "    return x + (x > 0.0)\n",
        "    return 1.0 if x else 0.0\n",
        "    return x if x in (1.0, 2.0) else 0.0\n",
        "    return (1.0, x)[int(x)]\n",
        "    return x[0]\n",
        "    return (x, x) if x > 0.0 else (x, x, x)\n",
        "    return call(x=x)\n",
        "    return (lambda: x)()\n",
        "    x = 'text'\n    return 1.0\n",
        "    x.a = 1.0\n    return x\n",
        "    x, y = 1.0\n    return x\n",
        "    x, y = 1.0, x, x\n    return x\n",
        "    return (x, x)[2]\n",
        "    return 10.0**400\n",
        "    if x > 0.0:\n        y = 1.0\n    return y\n",
        "    if x > 0.0:\n        return 1.0, 2.0\n    return 1.0\n",
        "    if x > 0.0:\n        return x\n",
        "    pass\n",
        "    return ()\n",
        "    return helper(x, x)\n",
        "    return 9223372036854775808\n",
    ],
)
def test_what_is_not_in_the_subset_is_left_to_numba(body):
    helper = "def helper(x):\n    return x\n"
    assert print_llvm(f"{HEAD}{helper}def call(x):\n{body}", "call") is None


def test_an_expression_that_is_too_deep_is_left_to_numba():
    deep = "(" * 150 + "x" + " + 1.0)" * 150
    assert print_llvm(f"{HEAD}def call(x):\n    return {deep}\n", "call") is not None
    long = "".join("    if x > 1.0:\n        x = x - 1.0\n" for _ in range(3000))
    assert print_llvm(f"{HEAD}def call(x):\n{long}    return x\n", "call") is not None
    deep = "-" * 3000 + "x"
    assert print_llvm(f"{HEAD}def call(x):\n    return {deep}\n", "call") is None


def test_more_numbers_than_a_page_of_the_stack_holds_are_left_to_numba():
    names = [f"x{k}" for k in range(400)]
    for results, fits in ((100, True), (101, False)):
        returned = ", ".join(names[:results])
        text = f"{HEAD}def call({', '.join(names)}):\n    return {returned}\n"
        assert (print_llvm(text, "call") is not None) is fits


# Whole kernels


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "formula",
    [
        "y*log(x) + sin(y)",
        "tan(x)*exp(-y) + cos(1e13*x)",
        "where(x > 1, log(x), exp(x))*y",
        "softplus(x)*sigmoid(y) + tanh(x*y)",
        "x**7 + y**x + erf(y)*atan2(x, y)",
        "fma*exp(x) + sin*log(fma)",
        "max(x, y)*abs(x) + floor(y)",
    ],
)
def test_numbers_and_arrays_give_the_same_bits(formula, dtype):
    f = sg.value_and_grad(sg.compile(formula))
    inputs = len(f.program.inputs)
    source = compiler.print_source(f.program, f.transforms, Variant((0,) * inputs))[0]
    assert print_llvm(source, "gradient") is not None
    numbers = np.random.default_rng(7)
    columns = [numbers.uniform(0.1, 5.0, 64).astype(dtype) for _ in range(inputs)]
    value, gradient = f(*columns)
    for k in range(64):
        alone, slopes = f(*(column[k] for column in columns))
        assert alone.tobytes() == value[k].tobytes()
        assert [s.tobytes() for s in slopes] == [g[k].tobytes() for g in gradient]
