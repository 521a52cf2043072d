"""What the printer writes: exact text, names, literals, precedence, and size."""

from __future__ import annotations

import ast
import builtins
import itertools
import keyword
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from codegen.plain import graph_of, load, printed
from graph.programs import long_sum, many_branches, nested, programs
from hypothesis import given, settings
from hypothesis import strategies as st

from symgrad import vmath
from symgrad.calculus.transform import Gradient, Hessian, Jacobian
from symgrad.codegen.names import Names
from symgrad.codegen.python import print_function
from symgrad.graph.evaluate import evaluate
from symgrad.language.functions import NAMES
from symgrad.language.parse import parse

both = Gradient(value=True)

SNAPSHOTS = {
    "numbers": (
        "z = y*log(x) + sin(y)",
        (both,),
        {},
        """\
def kernel(y, x):
    # z = y*log(x) + sin(y)
    t = log(x)
    z = fma(y, t, sin(y))
    # derivatives of z = y*log(x) + sin(y)
    y_bar = cos(y) + t
    x_bar = y/x
    return z, y_bar, x_bar
""",
    ),
    "arrays": (
        "z = y*log(x) + exp(y)",
        (both,),
        {"x": 1, "y": 1},
        """\
def kernel(n, y, x, z_out, y_bar_out, x_bar_out):
    wide_vectors()
    no_overlap()
    for i in range(n):
        y_i = y[i]
        x_i = x[i]
        # z = y*log(x) + exp(y)
        t = log(x_i)
        t1 = exp(y_i)
        z = fma(y_i, t, t1)
        # derivatives of z = y*log(x) + exp(y)
        y_bar = t1 + t
        x_bar = y_i/x_i
        z_out[i] = z
        y_bar_out[i] = y_bar
        x_bar_out[i] = x_bar
    interleaved(2, 2)
""",
    ),
    "steps": (
        "u = x + y; z = u**2",
        (both,),
        {},
        """\
def kernel(x, y):
    # u = x + y
    u = x + y
    # z = u**2
    z = u*u
    # derivatives of z = u**2
    u_bar = 2.0*u
    return z, u_bar, u_bar
""",
    ),
    "a parameter is computed outside the loop": (
        "f(x, a) = exp(-a)*x",
        (),
        {"x": 1},
        """\
def kernel(n, x, a, f_out):
    no_overlap()
    # f(x, a) = exp(-a)*x
    t = exp(-a)
    for i in range(n):
        x_i = x[i]
        # f(x, a) = exp(-a)*x
        f = t*x_i
        f_out[i] = f
""",
    ),
    "loss": (
        "f(x, y, a) = sum((a*x - y)**2)",
        (Gradient(("a",), value=True),),
        {"x": 1, "y": 1},
        """\
def kernel(n, x, y, a):
    no_overlap()
    total = 0.0
    total1 = 0.0
    for start in range(0, n, 1024):
        size = min(1024, n - start)
        part = 0.0
        part1 = 0.0
        for k in range(size):
            i = np.uint64(start + k)
            x_i = x[i]
            y_i = y[i]
            # f(x, y, a) = sum((a*x - y)**2)
            t = fma(a, x_i, -y_i)
            part = plus(part, t*t)
            part1 = plus_product(part1, t, x_i)
        total += part
        total1 += part1
    # f(x, y, a) = sum((a*x - y)**2)
    f = total
    # derivatives of f(x, y, a) = sum((a*x - y)**2)
    a_bar = 2.0*total1
    return f, a_bar
""",
    ),
    "outer product": (
        "f(x, y) = sin(x)*y",
        (),
        {"x": 1, "y": 2},
        """\
def kernel(n0, n1, x, y, f_out):
    no_overlap()
    for i0 in range(n0):
        x_i0 = x[i0]
        # f(x, y) = sin(x)*y
        t = sin(x_i0)
        for i1 in range(n1):
            y_i1 = y[i1]
            # f(x, y) = sin(x)*y
            f = t*y_i1
            f_out[np.uint64(i0*n1 + i1)] = f
""",
    ),
    "a condition passes NaN on": (
        "f(x) = log(x) if x > 0 else x**5",
        (),
        {},
        """\
def kernel(x):
    # f(x) = log(x) if x > 0 else x**5
    f = (log(x) if x > 0.0 else integer_power(x, 5)) if x == x else math.nan
    return f
""",
    ),
    "a sum over one of two axes": (
        "f(x, y) = (x*y)**2",
        (Gradient(("y",)),),
        {"x": 1, "y": 2},
        """\
def kernel(n0, n1, x, y, y_bar_out):
    no_overlap()
    for k in range(n1):
        y_bar_out[k] = 0.0
    for i0 in range(n0):
        x_i0 = x[i0]
        # derivatives of f(x, y) = (x*y)**2
        t = 2.0*x_i0
        for i1 in range(n1):
            y_i1 = y[i1]
            y_bar_out[i1] += t*(x_i0*y_i1)
""",
    ),
}


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_snapshot(name: str) -> None:
    text, transforms, arrays, expected = SNAPSHOTS[name]
    assert printed(text, *transforms, arrays=arrays).source == expected


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("sin(x)*y", 512),
        ("sin(exp(x))*erfc(y)", 128),
        ("sum(sin(x)*y)", 1024),
        ("sum(sin(exp(x))*erfc(y))", 1024),
        ("sum(gamma(x)*y)", 256),
        ("sum(besselj0(x)*y)", 256),
    ],
)
def test_the_points_of_a_block(text, points) -> None:
    source = printed(text, arrays={"x": 1, "y": 1}).source
    assert f"in range(0, n, {points}):" in source
    assert f"= min({points}, n - " in source
    assert ("kept" in source) == (f"*{points + 8} + 8)" in source) == ("erfc" in text)


@pytest.mark.parametrize(
    ("functions", "kept", "dtype", "points"),
    [
        (4, 2, "float64", 1024),
        (5, 5, "float64", 512),
        (6, 6, "float64", 512),
        (7, 7, "float64", 256),
        (14, 14, "float64", 256),
        (6, 6, "float32", 1024),
        (7, 7, "float32", 512),
        (14, 14, "float32", 256),
    ],
)
def test_what_a_summed_block_keeps_leaves_place_in_the_cache(
    functions, kept, dtype, points
) -> None:
    text = f"sum({'*'.join(f'erf(x + {k})' for k in range(functions))})"
    source = printed(text, dtype=dtype, arrays={"x": 1}).source
    assert f"np.empty({kept}*{points + 8} + " in source
    assert f"in range(0, n, {points}):" in source


HORNER = "((((((((x*a + 1)*x + 2)*x + 3)*x + 4)*x + 5)*x + 6)*x + 7)*x + 8)*x + 9"


@pytest.mark.parametrize(
    ("text", "arrays", "wide"),
    [
        ("x*y + 1", {"x": 1, "y": 1}, False),
        ("sum(x*y)", {"x": 1, "y": 1}, False),
        (HORNER, {"x": 1}, True),
        (f"({HORNER})*y*z*w*v", dict.fromkeys("xyzwv", 1), False),
        ("exp(x)*y*z*w*v", dict.fromkeys("xyzwv", 1), True),
        ("exp(x)*y", {"x": 1, "y": 2}, False),
        ("exp(y)*x", {"x": 1, "y": 2}, True),
        ("exp(x*y)", {"x": 1, "y": 2}, True),
        ("exp(x)*y", {}, False),
    ],
)
def test_the_widest_vectors_are_for_loops_that_compute(text, arrays, wide) -> None:
    assert ("wide_vectors()" in printed(text, arrays=arrays).source) == wide


FORMULAS = (
    "y*log(x) + sin(y)",
    "u = x + y; v = sin(u)*u; z = v/u + exp(v)",
    "where(x > 0 and y < z or x == 1, log(x), y**2.5)",
    "max(x, y, z, x*y) - min(x, 2)",
    "sum((a*x + b - y)**2)/2",
    "mean(abs(x - y)) + relu(z)",
    "x/(y*z)/(x - (y - z)) - (x + y)*z**3",
    "-x**2 + (-x)**y - -y",
    "hypot(x, y)*atan2(y, x) + sigmoid(x)*softplus(y)",
    "clip(x, 0, 1) + floor(y) + round(z) + x % 3",
    "exp(x - max(x, y)) + logaddexp(x, y) + xlogy(x, y)",
    "gamma(x) + lgamma(y) + digamma(z) + erf(x)",
    "u = exp(x); s = sum(u); u/s",
    "x**0.1 + y**-3 + 2**z + z**7",
    "if_ = x*2; if_ + y",
)

_HASH_SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from codegen.plain import printed
from codegen.test_python import FORMULAS, both
from symgrad.calculus.transform import Hessian
from symgrad.language.parse import parse
parts = []
for text in FORMULAS:
    names = parse(text).inputs
    for arrays in ({}, dict.fromkeys(names, 1), {names[0]: 1, names[-1]: 2}):
        parts.append(printed(text, arrays=arrays).source)
        parts.append(printed(text, both, arrays=arrays).source)
    parts.append(printed(text, Hessian()).source) if "sum" not in text else None
print(hashlib.sha256("".join(filter(None, parts)).encode()).hexdigest(), len(parts))
"""


def test_source_does_not_depend_on_the_hash_seed() -> None:
    tests = str(Path(__file__).parent.parent)
    outputs = set()
    for seed in ("0", "1", "424242"):
        result = subprocess.run(
            [sys.executable, "-c", _HASH_SCRIPT, tests],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(tests).parent,
        )
        outputs.add(result.stdout)
    assert len(outputs) == 1


HELPERS = [
    "np",
    "math",
    "numba",
    "n",
    "n0",
    "n1",
    "i",
    "i0",
    "i1",
    "t",
    "t1",
    "c",
    "c1",
    "out",
    "x_out",
    "x_bar",
    "y_bar",
    "total",
    "total1",
    "range",
    "float",
    "int",
    "forward",
    "gradient",
    "kernel",
    "value",
    "value_out",
    "ordered",
    "array",
    "number",
    "result",
    "abs",
    "max",
    "min",
    "print",
    "sum",
    "z_out",
    "x_i",
    "y_i",
    "x_i0",
    "self",
    "None_",
    "integer_power",
    "maximum",
    "sin_function",
]


def check_names(x: str, y: str) -> None:
    """Value and gradient of a formula in x and y, whatever these are called."""
    text = f"s = sin({x})*{y}**5; s*max({x}, {y}) + where({x} < {y}, {x}, log({y}))"
    named = graph_of(text, both, inputs=[x, y])
    function = print_function(named, "kernel")
    results = load(function)(0.3, 1.7)
    expected = evaluate([o.node for o in named.outputs], {x: 0.3, y: 1.7})
    assert list(results) == pytest.approx(expected, rel=1e-14)
    inputs = [p.name for p in function.parameters if p.role == "input"]
    assert len(set(inputs)) == 2
    for given_name, spelt in zip((x, y), inputs, strict=True):
        untouched = not keyword.iskeyword(given_name) and given_name not in (
            ["math", "numba", "np", "range", "float", "int"]
        )
        assert spelt == given_name if untouched else spelt.startswith(given_name)
    wide = print_function(graph_of(text, both, inputs=[x, y], arrays={x: 1, y: 1}), "kernel")
    parameters = [p.name for p in wide.parameters]
    assert len(set(parameters)) == len(parameters)
    compile(wide.source, "<kernel>", "exec")


@pytest.mark.parametrize("name", [*HELPERS, *(k for k in keyword.kwlist if k[0].islower())])
def test_the_users_names_are_sacred(name: str) -> None:
    reserved = ("and", "or", "not", "if", "else")
    if name in reserved:
        return
    check_names(name, "y" if name != "y" else "x")
    check_names("x", name if name != "x" else "y")


@pytest.mark.parametrize("name", sorted({*vmath.names(), *NAMES}))
def test_variables_may_be_called_like_primitives(name: str) -> None:
    check_names(name, "y")


@pytest.mark.parametrize("name", ["α", "Δx", "x_é", "变量", "λ", "x1", "_x", "__x", "ªb"])
def test_unicode_names(name: str) -> None:
    check_names(parse(name).inputs[0], "y")


def test_names_that_python_would_not_read() -> None:
    names = Names(
        ["x y", "x_y", "1x", "", "a\nimport os", "ﬁ", "fi", "x'", "lambda", "\\alpha"]
    )
    spelt = [names.user(n) for n in ("x y", "x_y", "1x", "", "a\nimport os", "ﬁ", "fi", "x'")]
    assert spelt == ["x_y_", "x_y", "value_1x", "value", "a_import_os", "fi_", "fi", "x"]
    assert names.user("\\alpha") == "alpha"
    assert names.user("lambda") == "lambda_"


def test_generated_names_avoid_builtins_and_primitives() -> None:
    names = Names(["x"], ["sin"])
    assert names.fresh("sin") == "sin1"
    assert names.fresh("sum") == "sum_"
    assert names.fresh("x") == "x1"
    assert names.fresh("t1") == "t1"
    assert names.fresh("t1") == "t1_1"
    assert "sin" not in names
    mark = names.mark()
    assert names.fresh("u") == "u"
    names.release(mark)
    assert names.fresh("u") == "u"
    assert hasattr(builtins, "sum")


def test_numbering_is_linear() -> None:
    class Counting(set):
        looked = 0

        def __contains__(self, name: object) -> bool:
            Counting.looked += 1
            return super().__contains__(name)

    names = Names([])
    names._taken = Counting()
    for _ in range(2000):
        names.fresh("t")
    assert Counting.looked < 10_000


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_literal_is_the_same_double(value: float) -> None:
    text = repr(abs(value))
    source = printed(f"x + {text}").source
    found = [
        n.value
        for n in ast.walk(ast.parse(source))
        if isinstance(n, ast.Constant) and isinstance(n.value, float)
    ]
    assert found == ([abs(value)] if value else [])


def test_ten_thousand_literals() -> None:
    rng = random.Random(7)
    values = []
    while len(values) < 10_000:
        value = abs(float.fromhex(f"0x1.{rng.getrandbits(52):013x}p{rng.randint(-1022, 1023)}"))
        values.append(value)
    text = "; ".join(f"s{k} = x - {v!r}" for k, v in enumerate(values)) + "; x"
    source = parse(text, outputs=[f"s{k}" for k in range(len(values))])
    code = print_function(graph_of(source), "kernel").source
    found = {
        n.value
        for n in ast.walk(ast.parse(code))
        if isinstance(n, ast.Constant) and isinstance(n.value, float)
    }
    assert set(values) <= found


def test_float32_literals_are_typed() -> None:
    source = printed(
        "0.1*x + pi + where(x > 0.5, 1/3, -2)/x**-2 + inf*x", both, dtype="float32"
    ).source
    tree = ast.parse(source)
    inside = {
        id(part)
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and ast.unparse(n.func) == "np.float32"
        for part in ast.walk(n)
    }
    literals = [
        n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)
    ]
    assert literals
    assert all(id(n) in inside for n in literals)
    assert "np.float32(math.pi)" in source
    assert "np.float32(math.inf)" in source


@settings(max_examples=300, deadline=None)
@given(
    programs(size=20),
    st.sampled_from([(0.625, 1.75, 2.375), (-0.5, 0.25, 3.0), (0.0, 1.0, -2.0)]),
)
def test_printed_code_computes_what_the_graph_means(source: object, point: tuple) -> None:
    check_printed(source, point)


@settings(max_examples=150, deadline=None)
@given(programs(size=10), st.sampled_from([(0.625, 1.75, 2.375), (-0.5, 0.25, 3.0)]))
def test_printed_gradients_compute_what_the_graph_means(source: object, point: tuple) -> None:
    check_printed(source, point, both)


def check_printed(source: object, point: tuple, *transforms: object) -> None:
    graph = graph_of(source, *transforms)
    result = load(print_function(graph, "kernel"))(*point)
    results = result if isinstance(result, tuple) else (result,)
    values = evaluate([o.node for o in graph.outputs], dict(zip("xyz", point, strict=True)))
    for got, expected in zip(results, values, strict=True):
        if math.isnan(expected):
            assert math.isnan(got)
        else:
            # x*x and pow(x, 2) may differ in the last place, and cancellation shows it.
            assert got == pytest.approx(expected, rel=1e-6, abs=1e-9)


PRECEDENCE = (
    "x - (y - z)", "x - y - z", "x - (y + z)", "x/(y/z)", "x/y/z", "x/(y*z)", "x*(y/z)",
    "x/y*z", "-(x + y)", "-x*y", "-(x*y)", "-x**2", "(x + y)*z", "x + y*z", "x - -y*z",
    "x**y**z", "(x**y)**z", "2**-x", "-(-x - y)", "x**2/y**2", "(x/y)**2", "(x*y)**3/z",
    "1/(x + y)", "1/x/y", "-1/(x*y)", "(x + y) - (x - z)", "x*(y + z) - (y - z)*x",
    "where(x < y, x, y) - where(y < z, y, z)", "where(x < y, x, y)**2", "-where(x < y, 1, 2)",
    "where((x < y) == (y < z), 1, 2)", "where(not (x < y and y < z), 1, 2)",
    "where((x < y or y < z) and z < x, 1, 2)", "where(x < y or y < z and z < x, 1, 2)",
    "where(not x, 1, 2)", "where(x + y < y*z, x, y)", "(x < y) + (y < z)", "(x < y)*z",
    "where(where(x < y, x, y) < z, x, z)", "max(x, y) - max(x - y, y - (x - z))",
    "x % (y % z)", "x // y", "-x % y", "sin(-(x - y))", "x - (-(y - z))", "(-2)**3*x",
)  # fmt: skip


@pytest.mark.parametrize("text", PRECEDENCE)
def test_precedence(text: str) -> None:
    graph = graph_of(text, inputs=["x", "y", "z"])
    kernel = load(print_function(graph, "kernel"))
    for point in ((0.7, 1.9, 2.3), (3.1, 1.9, 0.3), (1.5, 1.5, 1.5), (2.0, 3.0, 2.0)):
        named = dict(zip("xyz", point, strict=True))
        (expected,) = evaluate([graph.outputs[0].node], named)
        assert kernel(*point) == pytest.approx(expected, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize(
    "source",
    [long_sum(20_000), nested(300), nested(3_000, "tanh"), many_branches(1_000)],
    ids=["sum", "calls", "deep calls", "branches"],
)
def test_large_programs_stay_flat(source: object) -> None:
    function = printed(source)
    compile(function.source, "<kernel>", "exec")
    assert max(map(len, function.source.splitlines())) < 120


@pytest.mark.parametrize(
    "source",
    [long_sum(5_000), nested(300), many_branches(60)],
    ids=["sum", "calls", "branches"],
)
def test_large_gradients_stay_flat(source: object) -> None:
    function = printed(source, both)
    compile(function.source, "<kernel>", "exec")
    assert max(map(len, function.source.splitlines())) < 200


def test_wide_maxima_stay_flat() -> None:
    names = [f"x{k}" for k in range(300)]
    function = printed(f"max({', '.join(names)})")
    compile(function.source, "<kernel>", "exec")
    kernel = load(function)
    assert kernel(*range(300)) == 299.0
    assert math.isnan(kernel(*range(299), math.nan))


def test_long_conditions_stay_flat() -> None:
    names = [f"x{k}" for k in range(200)]
    text = " and ".join(f"{a} < {b}" for a, b in itertools.pairwise(names))
    function = printed(f"where({text}, 1, 2)")
    compile(function.source, "<kernel>", "exec")
    assert max(map(len, function.source.splitlines())) < 120
    kernel = load(function)
    assert kernel(*range(200)) == 1.0
    assert kernel(*range(199), 0.0) == 2.0
    assert math.isnan(kernel(*range(199), math.nan))
    assert math.isnan(kernel(math.nan, *range(199)))


@pytest.mark.parametrize(
    ("condition", "point", "nan"),
    [
        ("x < y", (1.0, math.nan), True),
        ("x < y", (math.nan, 1.0), True),
        ("x != y", (math.nan, 1.0), True),
        ("x == 1", (math.nan, 1.0), True),
        ("not x < y", (math.nan, 1.0), True),
        ("x < 1 or y < 3", (math.nan, 1.0), True),
        ("x < 1 and y < 0", (math.nan, 1.0), True),
        ("x", (math.nan, 1.0), True),
        ("x < nan", (1.0, 1.0), True),
        ("x + y < 3", (math.nan, 1.0), True),
        ("x < inf", (1.0, math.nan), False),
        ("x < pi", (1.0, math.nan), False),
    ],
)
def test_a_nan_in_a_condition_gives_nan(condition: str, point: tuple, nan: bool) -> None:
    graph = graph_of(f"where({condition}, 1, 2)", inputs=["x", "y"])
    got = load(print_function(graph, "kernel"))(*point)
    assert math.isnan(got) == nan
    (expected,) = evaluate([graph.outputs[0].node], dict(zip("xy", point, strict=True)))
    assert math.isnan(expected) == nan


def test_whole_powers() -> None:
    assert "x*x" in printed("x**2").source
    assert "(x*x)*(x*x)" in printed("x**4").source
    assert "integer_power(x, 5)" in printed("x**5").source
    assert "1.0/(x*x*x)" in printed("x**-3").source
    assert "integer_power" not in printed("x**100000000000000000000").source
    assert load(printed("x**100000000000000000000"))(1.0) == 1.0


def test_the_comment_cannot_be_left() -> None:
    source = printed("u = x*2 # '''\n u + 1").source
    assert source.count("\n") == len(source.splitlines())
    compile(source, "<kernel>", "exec")


@pytest.mark.parametrize("transform", [Jacobian(), Hessian(), Gradient(), both])
def test_every_transformation_prints(transform: object) -> None:
    graph = graph_of("u = x*y; z = sin(u)/y + u**2", transform)
    results = load(print_function(graph, "kernel"))(0.7, 1.3)
    expected = evaluate([o.node for o in graph.outputs], {"x": 0.7, "y": 1.3})
    assert list(results) == pytest.approx(expected, rel=1e-13)
