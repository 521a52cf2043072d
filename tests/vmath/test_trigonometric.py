"""The branch-free trigonometric functions; also the tools of the tests of their inverses."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import itertools
import math
import random
import re
import textwrap
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import llvmlite.binding
import mpmath
import numba
import numpy as np
import pytest

from symgrad.vmath import (
    error_function,
    exponential,
    hyperbolic,
    ieee,
    inverse_trigonometric,
    logarithmic,
    trigonometric,
)
from symgrad.vmath.intrinsics import INTRINSICS

inf, nan = math.inf, math.nan
MP = mpmath.MPContext()
MP.dps = 40
SCRIPT = Path(__file__).parents[2] / "scripts" / "vmath_coefficients.py"
FUNCTIONS: dict[str, FunctionType] = {
    name: value
    for module in (
        exponential,
        hyperbolic,
        logarithmic,
        trigonometric,
        inverse_trigonometric,
        error_function,
    )
    for name, value in vars(module).items()
    if isinstance(value, FunctionType) and value.__module__ == module.__name__
}


# Tools ---------------------------------------------------------------------------------


def is_single(name: str) -> bool:
    return name != "erf" and name.removesuffix("_near").endswith("f")


def source(name: str) -> str:
    return textwrap.dedent(inspect.getsource(FUNCTIONS[name]))


@functools.cache
def compiled() -> dict[str, Any]:
    """Return a stand-alone module with all functions, as `vmath.definitions` writes it."""
    space: dict[str, Any] = {"math": math, "np": np, "numba": numba}
    for text in INTRINSICS.values():
        exec(text, space)
    for name in FUNCTIONS:
        inline = "" if name in trigonometric.BRANCHING else ", forceinline=True"
        decorator = f'@numba.njit(error_model="numpy", nogil=True{inline})\n'
        exec(decorator + source(name), space)
    return space


@functools.cache
def loop(name: str) -> Any:
    function, kind = compiled()[name], numba.float32 if is_single(name) else numba.float64
    operands = "atan2" in name
    signature = numba.void(*[kind[::1]] * (3 if operands else 2))

    def one(x: Any, out: Any) -> None:
        for i in range(out.size):
            out[i] = function(x[i])

    def two(x: Any, y: Any, out: Any) -> None:
        for i in range(out.size):
            out[i] = function(x[i], y[i])

    return numba.njit(signature, error_model="numpy")(two if operands else one)


def on_array(name: str, *args: Any) -> Any:
    kind = np.float32 if is_single(name) else np.float64
    arrays = [np.ascontiguousarray(a, dtype=kind) for a in args]
    out = np.empty_like(arrays[0])
    loop(name)(*arrays, out)
    return out


def scalar(name: str, *args: float) -> Any:
    kind = np.float32 if is_single(name) else np.float64
    return kind(compiled()[name](*map(kind, args)))


def bits(a: Any) -> Any:
    """Return the bits of an array, with one NaN."""
    a = np.atleast_1d(a)
    return np.where(np.isnan(a), np.array(nan, a.dtype), a).view(f"i{a.itemsize}")


@functools.cache
def plain(name: str) -> Callable[..., Any]:
    """Return a function that runs without Numba."""
    space: dict[str, Any] = {"math": ieee, "np": ieee}
    if is_single(name):

        def single(f: Any) -> Any:
            return lambda *args: np.float32(f(*map(float, args)))

        space["math"] = SimpleNamespace(
            **{f: single(getattr(ieee, f)) for f in ("fabs", "sqrt", "copysign")}, inf=inf
        )
        space["np"] = np
        space |= {"as_intf": lambda x: ieee.as_intf(float(x)), "fmaf": single(ieee.fmaf)}
        space["as_floatf"] = lambda n: np.float32(ieee.as_floatf(n))
    else:
        space |= {f: getattr(ieee, f) for f in ("as_float", "as_int", "fma")}
        space["divide"] = ieee.divide
    for other in FUNCTIONS:
        if is_single(other) == is_single(name) or other.startswith("_"):
            tree = ast.parse(source(other))
            if not is_single(name):
                tree = ast.fix_missing_locations(Divisions().visit(tree))
            exec(compile(tree, other, "exec"), space)
    function: Callable[..., Any] = space[name]
    return function


class Divisions(ast.NodeTransformer):
    """Replaces divisions by calls that do not raise."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        return ast.Call(ast.Name("divide", ast.Load()), [node.left, node.right], [])


def ulps(name: str, got: Any, exact: Any) -> float:
    """Return the error in units in the last place of the exact result."""
    digits, least, top = (24, -149, 128) if is_single(name) else (53, -1074, 1024)
    if abs(exact) >= MP.mpf(2) ** top:
        return 0.0 if math.isinf(got) and (got > 0) == (exact > 0) else inf
    if not math.isfinite(got):
        return 1.0 if abs(exact) > MP.mpf(2) ** top * (1 - MP.mpf(2) ** -digits) else inf
    exponent = max(MP.frexp(exact)[1] - digits, least) if exact else least
    return float(abs(MP.mpf(float(got)) - exact) / MP.mpf(2) ** exponent)


def ulps_of_array(name: str, got: Any, exact: Any) -> Any:
    """Return the errors in units in the last place of exact results in longer doubles."""
    digits, least = (24, -149) if is_single(name) else (53, -1074)
    top = np.finfo(got.dtype).max
    with np.errstate(all="ignore"):
        exponent = np.maximum(np.frexp(exact)[1] - digits, least)
        error = np.abs(got.astype(np.longdouble) - exact) / np.ldexp(np.longdouble(1), exponent)
    fine = (got == exact) | (np.isinf(got) & (np.abs(exact) > top))
    return np.where(fine, 0.0, error).astype(float)


needs_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="no extended precision"
)


def narrow(name: str, x: Any) -> Any:
    """Return points that the function can take, in its precision."""
    with np.errstate(over="ignore"):
        x = np.asarray(x, np.float32 if is_single(name) else np.float64)
    return x[np.isfinite(x)]


def logarithmic(rng: Any, low: int, high: int, count: int) -> Any:
    scale = np.ldexp(rng.uniform(1, 2, count), rng.integers(low, high, count))
    return scale * rng.choice([-1.0, 1.0], count)


def assert_vectorised(name: str) -> None:
    """The hottest block of a loop has packed fused operations and calls nothing."""
    features = llvmlite.binding.get_host_cpu_features()
    if not (features.get("fma") and features.get("avx2")):
        pytest.skip("needs AVX2 and FMA")
    text = next(iter(loop(name).inspect_asm().values()))
    packed = "ps" if is_single(name) else "pd"
    blocks = re.split(r"\n(?=\.LBB)", text)
    fused = [len(re.findall(rf"vfn?m(?:add|sub)\w+{packed}\s.*[yz]mm", b)) for b in blocks]
    hottest = blocks[fused.index(max(fused))]
    assert max(fused) >= 5
    assert "call" not in hottest


def assert_same_everywhere(name: str, points: Any) -> None:
    """Arrays, slices, single numbers and plain Python give the same bits."""
    columns = [narrow(name, p) for p in points]
    whole = bits(on_array(name, *columns))
    assert np.array_equal(whole[3:], bits(on_array(name, *[c[3:] for c in columns])))
    for i in range(0, len(whole), 7):
        args = [float(c[i]) for c in columns]
        assert bits(scalar(name, *args))[0] == whole[i], args
    function = plain(name)
    kind = np.float32 if is_single(name) else float
    with np.errstate(all="ignore"):
        for i in range(0, len(whole), 13):
            args = [kind(c[i]) for c in columns]
            assert bits(np.array(function(*args), columns[0].dtype))[0] == whole[i], args


SPECIAL = (0.0, -0.0, 5e-324, 1e-310, 1e-45, 1e-40, 1e-8, 0.5, 1.0, 1.5, 3.0, 27.0, 1e6, 1e22)
SPECIAL += (1e38, 1e300, 1.7976931348623157e308, inf, nan, -1.0, -2.5, -1e-310, -1e16, -inf)


@functools.cache
def script() -> Any:
    spec = importlib.util.spec_from_file_location("vmath_coefficients_for_tests", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def numbers(text: str) -> list[float]:
    """Return the literals of a function, in order, with their signs."""
    nodes = ast.walk(ast.parse(text))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and type(n.value) is float]


def assert_polynomials_are_computed(module: Any) -> None:
    names = [n for n in script()._fits() if FUNCTIONS[n].__module__ == module.__name__]
    assert names
    for name in names:
        here = ast.parse(source(name))
        assert isinstance(here.body[0], ast.FunctionDef)
        del here.body[0].body[0]
        assert ast.dump(here) == ast.dump(ast.parse(script().helper_source(name))), name


def bound(table: dict[str, float], name: str) -> float:
    return table[name.removesuffix("_near").removesuffix("f") if name != "erf" else name]


# Trigonometric functions ---------------------------------------------------------------

NEAR = trigonometric.NEAR
NAMES = tuple(NEAR)
BOUNDS = {
    "sin": 0.9, "cos": 0.9, "tan": 1.4, "cot": 1.4, "sec": 0.9, "csc": 0.9, "sinc": 1.01,
}  # fmt: skip


def exact(name: str, x: float) -> Any:
    """Return the exact value, with as many digits as the argument needs."""
    stem = name.removesuffix("_near").removesuffix("f")
    with MP.workprec(1300 if abs(x) > 1e9 else 250):
        t = MP.mpf(x)
        if stem == "sinc":
            return MP.sin(t) / t if x else MP.mpf(1)
        return getattr(MP, stem)(t)


def extended(name: str, x: Any) -> Any:
    s, c = np.sin(np.longdouble(x)), np.cos(np.longdouble(x))
    with np.errstate(all="ignore"):
        table = {"sin": s, "cos": c, "tan": s / c, "cot": c / s, "sec": 1 / c, "csc": 1 / s}
        table["sinc"] = np.where(x == 0, 1, s / np.longdouble(x))
    return table[name.removesuffix("_near").removesuffix("f")]


@functools.cache
def nearest_to_multiples() -> tuple[float, ...]:
    """Return, for every binade, doubles next to a multiple of pi/2: by continued fractions."""
    with MP.workprec(2400):
        two_over_pi = int(MP.floor(2 / MP.pi * MP.mpf(2) ** 2300))
    found = []
    for exponent in range(-53, 971):
        # m*2**exponent*2/pi near a whole number: m a denominator of a convergent.
        x = Fraction(two_over_pi, 2**2300) * Fraction(2) ** exponent
        x -= math.floor(x)
        old, new = 0, 1
        while x and new < 2**53:
            if new >= 2**52:
                found.append(math.ldexp(new, exponent))
            x = 1 / x
            whole = math.floor(x)
            x -= whole
            old, new = new, whole * new + old
            # Semi-convergents inside the binade.
            last = old * max(1, -(-(2**52 - (new - whole * old)) // old)) + new - whole * old
            if 2**52 <= last < 2**53 and last < new:
                found.append(math.ldexp(last, exponent))
    return tuple(found)


HARD = (
    6381956970095103.0 * 2.0**797,
    5.706674932067741e15,
    1e22,
    1e300,
    1.7e308,
    1.7976931348623157e308,
    *(math.pi / 2 * k for k in range(1, 9)),
    *(float(355 * k) for k in range(1, 9)),
    2.0**40,
    math.nextafter(2.0**40, inf),
    2.0**18,
    710.0 * 2.0**30,
)


@pytest.mark.parametrize("name", NAMES)
def test_hard_points(name: str) -> None:
    binades = nearest_to_multiples()[:: 12 if is_single(name) else 2]
    assert len(binades) > 80
    points = narrow(name, [*HARD, *binades])
    for x, got in zip(points, on_array(name, points), strict=True):
        error = ulps(name, got, exact(name, float(x)))
        assert error <= bound(BOUNDS, name), (x, error)


def test_the_hard_points_are_hard() -> None:
    with MP.workprec(1300):
        distance = [
            abs(t - MP.nint(t)) for t in (MP.mpf(x) * 2 / MP.pi for x in nearest_to_multiples())
        ]
    assert sum(d < 2.0**-50 for d in distance) > 500


@needs_longdouble
@pytest.mark.parametrize("name", NAMES)
def test_accuracy(name: str) -> None:
    rng = np.random.default_rng(len(name))
    limit = int(math.log2(NEAR[name][1]))
    count = 30_000
    multiples = rng.integers(-(2 ** (limit - 1)), 2 ** (limit - 1), count) * (math.pi / 2)
    parts = [
        rng.uniform(-4, 4, count),
        rng.uniform(-1e5, 1e5, count),
        logarithmic(rng, -140 if is_single(name) else -1060, limit, count),
        multiples + logarithmic(rng, -40, -2, count),
    ]
    x = narrow(name, np.concatenate(parts))
    x = x[np.abs(x) <= NEAR[name][1]]
    errors = ulps_of_array(name, on_array(NEAR[name][0], x), extended(name, x))
    assert len(x) >= 100_000
    assert errors.max() <= bound(BOUNDS, name), x[errors.argmax()]


@pytest.mark.parametrize("name", NAMES)
def test_beyond_the_limit(name: str) -> None:
    rng = np.random.default_rng(7)
    top = 127 if is_single(name) else 1023
    x = narrow(name, logarithmic(rng, int(math.log2(NEAR[name][1])), top, 300))
    for point, got in zip(x, on_array(name, x), strict=True):
        assert ulps(name, got, exact(name, float(point))) <= bound(BOUNDS, name), point


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_agree_up_to_the_limit(name: str) -> None:
    near, limit = NEAR[name]
    rng = np.random.default_rng(3)
    x = narrow(name, [*rng.uniform(-limit, limit, 5000), *rng.normal(size=5000), limit, -limit])
    x = np.concatenate([x, narrow(name, [0.0, -0.0, 5e-324, 1e-45, 1e-310])])
    assert np.array_equal(bits(on_array(near, x)), bits(on_array(name, x)))
    for point in (inf, -inf, nan):
        assert math.isnan(on_array(near, [point])[0])


def test_the_table_of_limits() -> None:
    for name, (near, limit) in NEAR.items():
        assert near == f"{name}_near"
        assert name in trigonometric.BRANCHING
        assert limit in numbers(source(name))


@pytest.mark.parametrize("name", NAMES)
def test_special_values(name: str) -> None:
    stem = name.removesuffix("f")
    at_zero = {"sin": 0.0, "cos": 1.0, "tan": 0.0, "cot": inf, "sec": 1.0, "csc": inf}
    expected = at_zero.get(stem, 1.0)
    odd = stem in ("sin", "tan", "cot", "csc")
    for form in (name, NEAR[name][0]):
        for call in (lambda x, f=form: on_array(f, [x])[0], functools.partial(scalar, form)):
            assert bits(call(0.0))[0] == bits(call(0.0).dtype.type(expected))[0]
            other = -expected if odd else expected
            assert bits(call(-0.0))[0] == bits(call(0.0).dtype.type(other))[0]
            assert math.isnan(call(nan))
    for x in (inf, -inf):
        got = on_array(name, [x])[0]
        assert got == 0.0 if stem == "sinc" else math.isnan(got)


@pytest.mark.parametrize("name", [near for near, _ in NEAR.values()])
def test_loops_are_vectorised(name: str) -> None:
    assert_vectorised(name)


def test_sine_and_cosine_share_their_work() -> None:
    space = compiled()
    sin, cos = space["sin_near"], space["cos_near"]
    kind = numba.float64[::1]

    def both(x: Any, s: Any, c: Any) -> None:
        for i in range(x.size):
            v = x[i]
            sine, cosine = sin(v), cos(v)
            s[i] = sine
            c[i] = cosine

    text = numba.njit(numba.void(kind, kind, kind), error_model="numpy")(both).inspect_asm()
    alone = loop("sin_near").inspect_asm()
    counts = []
    for assembly in (text, alone):
        blocks = re.split(r"\n(?=\.LBB)", next(iter(assembly.values())))
        counts.append(max(len(re.findall(r"vfn?m(?:add|sub)\w+pd", b)) for b in blocks))
    assert counts[0] <= counts[1] + 2


@pytest.mark.parametrize("name", [n for pair in NEAR.items() for n in (pair[0], pair[1][0])])
def test_bits_are_the_same_everywhere(name: str) -> None:
    rng = np.random.default_rng(11)
    limit = NEAR[name.removesuffix("_near")][1]
    x = [*rng.normal(size=300), *rng.uniform(-limit, limit, 300), *SPECIAL[:14]]
    if not name.endswith("_near") and not is_single(name):
        x += [*logarithmic(rng, 40, 1023, 300), *SPECIAL]
    assert_same_everywhere(name, [x])


def test_polynomials_are_those_of_the_script() -> None:
    assert_polynomials_are_computed(trigonometric)


def test_constants_are_those_of_the_script() -> None:
    table = script().constants()
    for name, key in (("_near_angle", "pi/2"), ("_near_anglef", "pi/2 in float32")):
        there = {abs(v) for v in table[key]}
        assert there <= {abs(v) for v in numbers(source(name))}
    digits = next(
        [e.value for e in n.elts]
        for n in ast.walk(ast.parse(source("_digit")))
        if isinstance(n, ast.Tuple) and len(n.elts) > 9
    )
    assert digits == script().two_over_pi()
    with MP.workprec(1400):
        total = sum(MP.mpf(d) * MP.mpf(2) ** (-27 * (i - 1)) for i, d in enumerate(digits))
        assert abs(total - 2 / MP.pi) < MP.mpf(2) ** -1235


def test_helpers_have_unique_names() -> None:
    modules: Iterable[Any] = (trigonometric, inverse_trigonometric, error_function)
    names = [
        [
            n
            for n, v in vars(m).items()
            if isinstance(v, FunctionType) and v.__module__ == m.__name__
        ]
        for m in modules
    ]
    assert len(set(itertools.chain(*names))) == sum(map(len, names))


def test_random_points_of_one_seed() -> None:
    rng = random.Random(5)
    for _ in range(300):
        x = math.ldexp(rng.uniform(1, 2), rng.randint(-1070, 1022))
        for name in ("sin", "cos"):
            assert ulps(name, scalar(name, x), exact(name, x)) <= 0.9
