"""The branch-free exponentials, logarithms, powers and hyperbolic functions."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import itertools
import math
import platform
import random
import re
import struct
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import llvmlite.binding
import mpmath
import numba
import numba.extending
import numpy as np
import pytest
from vmath.test_trigonometric import assert_polynomials_are_computed

from symgrad import vmath
from symgrad.vmath import exponential, hyperbolic, ieee, logarithmic

inf, nan = math.inf, math.nan
MODULES = (exponential, logarithmic, hyperbolic)
SCRIPTS = Path(__file__).parents[2] / "scripts"
FUNCTIONS = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, FunctionType) and value.__module__ == module.__name__
}
NAMES = sorted(n for n in FUNCTIONS if not n.startswith("_") and n != "integer_power")
BINARY = {"logaddexp", "logaddexpf", "power", "powerf", "xlogy", "xlogyf"}
#: Functions of float32 that compute in doubles.
WIDE = {"acoshf", "asinhf", "atanhf", "cbrtf", "powerf", "xlogyf"}
#: What stands for single instructions of AVX-512 on one number or half a vector.
INSTRUCTIONS = {
    f"{name}.{form}"
    for name in ("fixupimm", "getexp", "getmant", "scalef")
    for form in ("pd.1", "pd.4", "ps.1", "ps.8")
}
MP = mpmath.MPContext()
MP.dps = 40


def is_single(name: str) -> bool:
    return name.endswith("f")


def load(name: str, path: Path) -> ModuleType:
    """Import a script."""
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    space: dict[str, Any] = {"math": math, "np": np, "numba": numba}
    exec(vmath.definitions([*NAMES, "integer_power", "wide_vectors"]), space)
    return space


@functools.cache
def _loop(function: Any, wide_vectors: Any, operands: int, single: bool) -> Any:
    kind = numba.float32 if single else numba.float64
    source = numba.types.Array(kind, 1, "C", readonly=True)
    signature = numba.void(*[source] * operands, kind[::1])

    def loop1(x: Any, out: Any) -> None:
        wide_vectors()
        for i in range(out.size):
            out[i] = function(x[i])

    def loop2(x: Any, y: Any, out: Any) -> None:
        wide_vectors()
        for i in range(out.size):
            out[i] = function(x[i], y[i])

    loop = loop1 if operands == 1 else loop2
    return numba.njit(signature, error_model="numpy", nogil=True)(loop)


def array_loop(compiled: dict[str, Any], name: str) -> Any:
    operands = 2 if name in BINARY else 1
    return _loop(compiled[name], compiled["wide_vectors"], operands, is_single(name))


def on_array(compiled: dict[str, Any], name: str, *args: Any) -> Any:
    out = np.empty_like(args[0])
    array_loop(compiled, name)(*args, out)
    return out


def same(a: float, b: float) -> bool:
    """Return whether two numbers have the same bits; every NaN is the same."""
    return (a != a and b != b) or struct.pack("d", a) == struct.pack("d", b)


# Coefficients --------------------------------------------------------------------------


def literals() -> set[float]:
    found = set()
    for module in MODULES:
        assert module.__file__ is not None
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                found.add(node.value)
    return found


def test_coefficients_are_those_of_the_script() -> None:
    script = load("vmath_coefficients", SCRIPTS / "vmath_coefficients.py")
    tables = script.exponentials()
    computed = {abs(value) for table in tables.values() for value in table}
    fitted = [name for name in script._fits() if name in FUNCTIONS]
    computed |= {abs(value) for name in fitted for value in script.fitted(name)}
    missing = {name: t for name, t in tables.items() if not {*map(abs, t)} <= literals()}
    assert not missing
    # What is not from the script is a whole or short number or a fraction of 81.
    for value in literals() - computed:
        short = len(repr(value).strip("0.")) <= 9 or math.frexp(value)[0] in (0.0, 0.5)
        whole = value == math.floor(value) or value == round(value * 81) / 81
        assert short or whole, value


@pytest.mark.parametrize("module", [exponential, hyperbolic, logarithmic])
def test_minimax_polynomials_are_those_of_the_script(module: ModuleType) -> None:
    assert_polynomials_are_computed(module)


# Values --------------------------------------------------------------------------------

ODD_AT_ZERO = ("expm1", "log1p", "sinh", "tanh", "asinh", "atanh", "cbrt", "silu")
VALUES: list[tuple[str, tuple[float, ...], float]] = [
    *((name, (zero,), zero) for name in ODD_AT_ZERO for zero in (0.0, -0.0)),
    *(
        (name, (5e-324,), 5e-324)
        for name in ("expm1", "log1p", "sinh", "tanh", "asinh", "atanh")
    ),
    *((name, (-1e-310,), -1e-310) for name in ("expm1", "log1p", "sinh", "tanh", "asinh")),
    *(
        (name, (inf,), inf)
        for name in ("exp", "exp2", "expm1", "log", "log1p", "log2", "log10")
    ),
    *((name, (inf,), inf) for name in ("sinh", "cosh", "asinh", "acosh", "cbrt", "softplus")),
    *((name, (-inf,), -inf) for name in ("sinh", "asinh", "cbrt")),
    *((name, (-inf,), nan) for name in ("log", "log1p", "log2", "log10", "acosh", "rsqrt")),
    *((name, (-1e-320,), nan) for name in ("log", "log2", "log10", "rsqrt")),
    *((name, (zero,), -inf) for name in ("log", "log2", "log10") for zero in (0.0, -0.0)),
    *((name, (1.0,), 0.0) for name in ("log", "log2", "log10", "acosh")),
    *((name, (zero,), 1.0) for name in ("exp", "exp2", "cosh") for zero in (0.0, -0.0)),
    ("exp", (-inf,), 0.0),
    ("exp", (709.7827128933841,), inf),
    ("exp", (-745.1332191019411,), 5e-324),
    ("exp", (-745.1332191019412,), 0.0),
    ("exp2", (-inf,), 0.0),
    ("exp2", (1024.0,), inf),
    ("exp2", (1e300,), inf),
    ("exp2", (-1075.0,), 0.0),
    ("exp2", (-1074.0,), 5e-324),
    ("exp2", (-1074.9,), 5e-324),
    ("expm1", (-inf,), -1.0),
    ("expm1", (709.7827128933841,), inf),
    ("log", (5e-324,), -744.4400719213812),
    ("log", (1.7976931348623157e308,), 709.782712893384),
    ("log1p", (-1.0,), -inf),
    ("log1p", (-1.5,), nan),
    ("log1p", (1.7976931348623157e308,), 709.782712893384),
    ("sinh", (710.475860073944,), inf),
    ("cosh", (-inf,), inf),
    ("cosh", (-710.475860073944,), inf),
    ("tanh", (inf,), 1.0),
    ("tanh", (-inf,), -1.0),
    ("tanh", (20.0,), 1.0),
    ("asinh", (1.7976931348623157e308,), 710.475860073944),
    ("acosh", (1.7976931348623157e308,), 710.475860073944),
    ("acosh", (0.9999999999999999,), nan),
    ("atanh", (1.0,), inf),
    ("atanh", (-1.0,), -inf),
    ("atanh", (1.0000000000000002,), nan),
    ("atanh", (-inf,), nan),
    ("sigmoid", (0.0,), 0.5),
    ("sigmoid", (inf,), 1.0),
    ("sigmoid", (-inf,), 0.0),
    ("sigmoid", (-745.2,), 0.0),
    ("silu", (inf,), inf),
    ("silu", (-inf,), -0.0),
    ("silu", (1e308,), 1e308),
    ("softplus", (-inf,), 0.0),
    ("softplus", (1e308,), 1e308),
    ("softplus", (0.0,), math.log(2.0)),
    ("cbrt", (5e-324,), 1.7031839360032603e-108),
    ("cbrt", (-8e300,), -2e100),
    ("rsqrt", (0.0,), inf),
    ("rsqrt", (-0.0,), -inf),
    ("rsqrt", (inf,), 0.0),
    ("rsqrt", (5e-324,), 4.49891379454319638e161),
    ("rsqrt", (4.0,), 0.5),
    ("xlogy", (0.0, 0.0), 0.0),
    ("xlogy", (0.0, nan), nan),
    ("xlogy", (2.0, 0.0), -inf),
    ("logaddexp", (-inf, -inf), -inf),
    ("logaddexp", (inf, -inf), inf),
    ("logaddexp", (-inf, 3.0), 3.0),
    ("logaddexp", (-3.0, -inf), -3.0),
    ("logaddexp", (1e308, -1e308), 1e308),
    ("power", (5e-324, 1.0), 5e-324),
    ("power", (5e-324, 0.5), 2.2227587494850775e-162),
    ("power", (2.0, -1074.0), 5e-324),
    ("power", (2.0, -1075.1), 0.0),
    ("power", (2.0, 1024.0), inf),
    ("power", (-2.0, 1023.0), -8.98846567431158e307),
    ("power", (-2.0, -1074.0), 5e-324),
    ("power", (-1.0, 9007199254740993.0), 1.0),
    ("power", (-1.0, 4503599627370497.0), -1.0),
    ("power", (0.9999999999999999, 1e300), 0.0),
    ("power", (1.0000000000000002, 1e300), inf),
    ("power", (-0.9999999999999999, -1e300), inf),
]


def special_powers() -> list[tuple[str, tuple[float, ...], float]]:
    """Return what C says about special operands of pow (IEEE 754-2019, 9.2.1)."""
    rows: list[tuple[str, tuple[float, ...], float]] = []
    operands = (0.0, 0.5, 1.0, 2.0, 3.0, 2.5, 5e-324, 1e300, inf)
    signed = [s * v for v in operands for s in (1.0, -1.0)] + [nan]
    for x, y in itertools.product(signed, repeat=2):
        odd = math.isfinite(y) and y == math.floor(y) and y % 2 == 1
        sign = math.copysign(1.0, x) if odd else 1.0
        if y == 0 or x == 1 or (x == -1 and math.isinf(y)):
            value = 1.0
        elif x != x or y != y:
            value = nan
        elif x == 0:
            value = sign * (inf if y < 0 else 0.0)
        elif math.isinf(x):
            value = sign * (inf if y > 0 else 0.0)
        elif math.isinf(y):
            value = inf if (abs(x) > 1) == (y > 0) else 0.0
        elif x < 0 and y != math.floor(y):
            value = nan
        else:
            continue
        rows.append(("power", (x, y), value))
    return rows


@pytest.mark.parametrize(("name", "args", "expected"), [*VALUES, *special_powers()])
def test_values(
    name: str, args: tuple[float, ...], expected: float, compiled: dict[str, Any]
) -> None:
    assert same(compiled[name](*args), expected)
    array = [np.full(9, a) for a in args]
    assert all(same(float(v), expected) for v in on_array(compiled, name, *array))
    assert same(vmath.evaluate(name, *args), expected)
    fits = all(float(np.float32(a)) == a or a != a for a in args if abs(a) < 1e38 or a != a)
    if name + "f" in FUNCTIONS and fits and not any(1e38 <= abs(a) < inf for a in args):
        with np.errstate(all="ignore"):
            nearest = float(np.float32(expected))
            got = float(compiled[name + "f"](*map(np.float32, args)))
        assert same(got, nearest) or nearest not in (0.0, 1.0, inf, -inf), got


@pytest.mark.parametrize("name", NAMES)
def test_nan_propagates(name: str, compiled: dict[str, Any]) -> None:
    number = np.float32 if is_single(name) else np.float64
    payload = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000ABCDEF))[0]
    for value in (nan, -nan, payload):
        args = (number(value), number(2.0))[: 2 if name in BINARY else 1]
        assert math.isnan(compiled[name](*args))
        assert math.isnan(vmath.evaluate(name, *map(float, args)))


def test_largest_finite_values(compiled: dict[str, Any]) -> None:
    assert 1.79769313486227e308 < compiled["exp"](709.782712893384) < inf
    assert 1.79769313486227e308 < compiled["expm1"](709.782712893384) < inf
    assert 1.79769313486209e308 < compiled["sinh"](710.4758600739439) < inf
    assert 1.79769313486209e308 < compiled["cosh"](-710.4758600739439) < inf
    assert 1.7976e308 < compiled["exp2"](1023.9999999999999) < inf
    assert 3.4027e38 < compiled["expf"](np.float32(88.72283)) < inf
    assert compiled["expf"](np.float32(88.72284)) == inf


def test_exact_values(compiled: dict[str, Any]) -> None:
    for k in range(-1074, 1024):
        two = math.ldexp(1.0, k)
        assert compiled["exp2"](float(k)) == two
        assert compiled["log2"](two) == k
        assert compiled["power"](2.0, float(k)) == two
        assert compiled["integer_power"](2.0, k) == two
    for n in range(1, 23):
        assert compiled["log10"](10.0**n) == n
        assert compiled["integer_power"](10.0, n) == 10.0**n
        assert compiled["power"](10.0, float(n)) == 10.0**n
    for n in range(1, 3000):
        assert compiled["cbrt"](-(float(n) ** 3)) == -n
        assert compiled["rsqrt"](float(n) ** -2.0) == pytest.approx(n, rel=3e-16)
    for k in range(-500, 500):
        assert compiled["rsqrt"](4.0**k) == 2.0**-k


# Instructions --------------------------------------------------------------------------

EXTREMES = (0.0, 5e-324, 3e-310, 2.2250738585072014e-308, 0.75, 1.0, 1.5, 7e300, inf)


def instruction_cases() -> list[tuple[str, tuple[float, ...]]]:
    """Return operands of the functions that are instructions of AVX-512."""
    numbers = (*EXTREMES, *(-x for x in EXTREMES), nan)
    powers = (0.0, -0.5, 0.5, 3.0, -1022.0, -1074.5, 1023.0, 2000.0, -2000.0, 1e300, inf, -inf)
    return [
        *((name, (x,)) for name in ("exponent", "significand") for x in numbers),
        *((name, (x, 7.0)) for name in ("log_edges", "root_edges") for x in numbers),
        *(("scaled", (x, k)) for x in numbers if x and abs(x) < inf for k in (*powers, nan)),
    ]


SIGNATURES = {
    **{"exponent": "x", "significand": "x", "log_edges": "x, value"},
    **{"root_edges": "x, value", "scaled": "x, k"},
}
INSTRUCTION_CALLS = """
@numba.njit
def available():
    return has_avx512()
""" + "".join(
    f"""
@numba.njit
def call_{name}({names}):
    return {name}({names})
"""
    for signature in SIGNATURES
    for name, names in (
        (signature, SIGNATURES[signature]),
        (f"{signature}f", SIGNATURES[signature]),
    )
)


def test_instructions_are_what_plain_python_says() -> None:
    space: dict[str, Any] = {"math": math, "np": np, "numba": numba}
    wanted = ["exp", "expf", "log", "logf", "rsqrt", "rsqrtf"]
    exec(vmath.definitions(wanted) + INSTRUCTION_CALLS, space)
    assert not ieee.has_avx512()
    if not space["available"]():
        pytest.skip("needs AVX-512")
    for name, args in instruction_cases():
        value = space[f"call_{name}"](*args)
        assert same(value, vmath.evaluate(name, *args)), (name, args)
        with np.errstate(over="ignore"):
            single = [np.float32(a) for a in args]
        if name == "scaled" and abs(single[0]) in (0.0, inf):
            continue
        value = space[f"call_{name}f"](*single)
        expected = vmath.evaluate(f"{name}f", *map(float, single))
        assert same(float(value), expected), (name, single)


# Accuracy ------------------------------------------------------------------------------

EXACT: dict[str, Any] = {
    "exp": MP.exp,
    "exp2": lambda x: MP.mpf(2) ** x,
    "expm1": MP.expm1,
    "expm1_slope": MP.exp,
    "log": MP.log,
    "log1p": MP.log1p,
    "log2": lambda x: MP.log(x, 2),
    "log10": MP.log10,
    "sinh": MP.sinh,
    "cosh": MP.cosh,
    "tanh": MP.tanh,
    "asinh": MP.asinh,
    "asinh_slope": lambda x: 1 / MP.sqrt(1 + x * x),
    "acosh": MP.acosh,
    "acosh_slope": lambda x: 1 / MP.sqrt((x - 1) * (x + 1)),
    "atanh": MP.atanh,
    "sech2": lambda x: 1 / MP.cosh(x) ** 2,
    "sigmoid": lambda x: 1 / (1 + MP.exp(-x)),
    "silu": lambda x: x / (1 + MP.exp(-x)),
    "softplus": lambda x: MP.log1p(MP.exp(x)) if x < 50 else x + MP.exp(-x),
    "cbrt": lambda x: MP.sign(x) * MP.cbrt(abs(x)),
    "rsqrt": lambda x: 1 / MP.sqrt(x),
    "power": lambda x, y: x**y,
    "xlogy": lambda x, y: x * MP.log(y),
}
BOUNDS = {
    "acosh": 1.9,
    "acosh_slope": 1.1,
    "asinh": 1.1,
    "asinh_slope": 1.1,
    "power": 1.1,
    "sech2": 1.7,
    "silu": 1.6,
    "xlogy": 1.8,
}
#: Functions that rise and fall.
TURNING = {"cosh", "coshf", "sech2", "sech2f", "silu", "siluf"}


@pytest.fixture(scope="module")
def accuracy() -> ModuleType:
    return load("accuracy", SCRIPTS / "accuracy")


def draw(accuracy: ModuleType, name: str, count: int) -> tuple[Any, ...]:
    row = accuracy.TABLE[name]
    rng = np.random.default_rng(len(name))
    if row.together:
        points: tuple[Any, ...] = row.together(rng, count)
        return points
    return tuple(d(rng, count) for d in row.draws)


def test_every_function_is_in_the_accuracy_table(accuracy: ModuleType) -> None:
    assert {n for n in NAMES if not is_single(n)} <= set(accuracy.TABLE)
    assert set(EXACT) | {"logaddexp"} == {n for n in NAMES if not is_single(n)}


@pytest.mark.parametrize("name", sorted(EXACT))
def test_error_against_mpmath(
    name: str, compiled: dict[str, Any], accuracy: ModuleType
) -> None:
    args = draw(accuracy, name, 300)
    got = on_array(compiled, name, *args)
    for value, *point in zip(got, *args, strict=True):
        exact = EXACT[name](*(MP.mpf(float(a)) for a in point))
        if isinstance(exact, MP.mpc):
            assert math.isnan(value)
        elif abs(exact) > MP.mpf(1.7e308):
            assert value == float(exact) or abs(value) > 1.7e308
        elif exact != 0:
            unit = MP.mpf(2) ** max(MP.frexp(exact)[1] - 53, -1074)
            assert abs(MP.mpf(float(value)) - exact) <= BOUNDS.get(name, 1.0) * unit, point
        else:
            assert value == 0


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="needs x87 long double")
@pytest.mark.parametrize("name", [n for n in NAMES if not is_single(n)])
def test_error_on_many_points(
    name: str, compiled: dict[str, Any], accuracy: ModuleType
) -> None:
    row = accuracy.TABLE[name]
    args = draw(accuracy, name, 100_000)
    got = on_array(compiled, name, *args)
    with np.errstate(all="ignore"):
        exact = row.filter(*(a.astype(np.longdouble) for a in args))
        size = exact if row.scale is None else np.maximum(exact, row.scale(*args))
        error = np.abs(got - exact) / accuracy.units(np.abs(size), 53, -1074)
        nearest = exact.astype(np.float64)
    finite = np.isfinite(got) & np.isfinite(nearest)
    assert np.array_equal(got[~finite], nearest[~finite], equal_nan=True)
    assert float(error[finite].max()) <= BOUNDS.get(name, 1.0)


@pytest.mark.parametrize("name", [n for n in NAMES if is_single(n)])
def test_error_of_single_precision(
    name: str, compiled: dict[str, Any], accuracy: ModuleType
) -> None:
    rng = np.random.default_rng(3)
    bits = np.arange(0, 1 << 32, 44_449, dtype=np.int64).astype(np.uint32)
    x = bits.view(np.float32)
    dense = np.concatenate([rng.uniform(-2, 2, 30_000), rng.uniform(-105, 90, 30_000)])
    x = np.concatenate([x, dense.astype(np.float32)])
    args = (x,)
    if name in BINARY:
        with np.errstate(all="ignore"):
            y = rng.uniform(-155, 130, x.size) / np.log2(np.abs(x.astype(np.float64)))
            y = np.where(np.isfinite(y), y, 0.5)
        args = (x, y.astype(np.float32))
    with np.errstate(all="ignore"):
        got = on_array(compiled, name, *args)
        wide = on_array(compiled, name[:-1], *(a.astype(np.float64) for a in args))
        nearest = wide.astype(np.float32)
        scale = accuracy.TABLE[name[:-1]].scale
        size = wide if scale is None else np.maximum(np.abs(wide), scale(*args))
    finite = np.isfinite(got) & np.isfinite(nearest)
    assert np.array_equal(got[~finite], nearest[~finite], equal_nan=True)
    unit = accuracy_unit(size[finite])
    assert float((np.abs(got[finite] - wide[finite]) / unit).max()) <= BOUNDS.get(
        name[:-1], 1.0
    )


def accuracy_unit(value: Any) -> Any:
    """Return the float32 unit in the last place."""
    return np.ldexp(1.0, np.maximum(np.frexp(value)[1] - 24, -149))


def test_error_of_integer_powers(compiled: dict[str, Any]) -> None:
    rng = random.Random(8)
    function = compiled["integer_power"]
    for _ in range(1500):
        n = rng.randint(-63, 63)
        top = 1000 // max(1, abs(n))
        x = math.ldexp(rng.uniform(-2.0, 2.0), rng.randint(-top, top))
        with MP.workdps(60):
            exact = MP.mpf(x) ** n
        assert abs(MP.mpf(function(x, n)) - exact) <= 0.55 * math.ulp(float(exact)), (x, n)
    for n, x in itertools.product(
        (0, 1, 2, 5, -1, -2, -5), (0.0, -0.0, inf, -inf, nan, 5e-324)
    ):
        expected = compiled["power"](x, float(n))
        assert same(function(x, n), expected), (x, n)
        assert same(vmath.evaluate("integer_power", x, n), expected), (x, n)


SEAMS = (0.34657359027997264, -0.34657359027997264, 0.5, 1.0, math.sqrt(0.5), math.sqrt(2))
SEAMS += (-math.log(2), -700.0, 22.0, 18.5, -0.29289321881345254, 0.41421356237309515)


@pytest.mark.parametrize(
    "name",
    [n for n in NAMES if n not in BINARY and n not in TURNING],
)
def test_increasing_across_seams(name: str, compiled: dict[str, Any]) -> None:
    step = 1e-5 if is_single(name) else 1e-13
    falling = name in ("rsqrt", "rsqrtf")
    for seam in SEAMS:
        even = "sinh_slope" in name or "cosh_slope" in name
        sign = -1.0 if falling or (even and seam > 0.0) else 1.0
        points = seam + abs(seam) * step * np.arange(-8, 9)
        array = points.astype(np.float32 if is_single(name) else np.float64)
        values = sign * on_array(compiled, name, array)
        values = values[np.isfinite(values)]
        # Neighbours whose exact values differ by less than the error may change places.
        slack = np.abs(values[1:]) * (2.0**-23 if is_single(name) else 2.0**-52)
        assert np.all(np.diff(values) >= -slack)
        assert values.size < 2 or values[-1] >= values[0]


def test_bounds_hold(compiled: dict[str, Any]) -> None:
    x = np.concatenate([np.linspace(-800, 800, 20_001), np.linspace(-40, 40, 20_001)])
    assert np.all(np.abs(on_array(compiled, "tanh", x)) <= 1)
    assert np.all(on_array(compiled, "cosh", x) >= 1)
    assert np.all(on_array(compiled, "expm1", x) >= -1)
    assert np.all(on_array(compiled, "softplus", x) >= np.maximum(x, 0))
    s = on_array(compiled, "sigmoid", x)
    assert np.all((s >= 0) & (s <= 1))


# Bits ----------------------------------------------------------------------------------

AWKWARD = [0.0, -0.0, 5e-324, -5e-324, 1e-310, 0.5, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 1e16]
AWKWARD += [-1e16, 1e300, -1e300, 1.7976931348623157e308, inf, -inf, nan, -745.2, -708.5]
AWKWARD += [709.78, 710.4, 88.72, 88.73, -103.9, -104.1, -87.4, 1e-45, 1e-39, 3e38, -3e38]


@pytest.mark.parametrize("name", NAMES)
def test_numbers_arrays_and_plain_python_agree(name: str, compiled: dict[str, Any]) -> None:
    rng = np.random.default_rng(5)
    wide = np.ldexp(rng.uniform(-1, 1, 30), rng.integers(-1070, 1020, 30))
    parts = [AWKWARD, rng.uniform(-3, 3, 40), wide, rng.uniform(-750, 750, 30)]
    with np.errstate(all="ignore"):
        x = np.concatenate([*parts, rng.uniform(-100, 100, 40)])
        x = x.astype(np.float32 if is_single(name) else np.float64)
    args = (x,)
    if name in BINARY:
        y = rng.permutation(x)
        args = (np.concatenate([x, np.abs(x), y]), np.concatenate([y, y[::-1], y]))
    for value, *point in zip(on_array(compiled, name, *args), *args, strict=True):
        assert same(float(compiled[name](*point)), float(value)), point
        assert same(vmath.evaluate(name, *map(float, point)), float(value)), point


def has_fused_instructions() -> bool:
    if platform.machine() in ("arm64", "aarch64"):
        return True
    return bool(llvmlite.binding.get_host_cpu_features().get("fma"))


@pytest.mark.skipif(not has_fused_instructions(), reason="no fused multiply-add")
@pytest.mark.parametrize("name", NAMES)
def test_loops_are_vectorised(name: str, compiled: dict[str, Any]) -> None:
    loop = array_loop(compiled, name)
    (text,) = loop.inspect_llvm().values()
    body = re.search(r"^define [^\n]*loop[12][^\n]*\{\n(.*?)^\}", text, re.M | re.S)
    assert body
    blocks = [
        re.findall(r"call [^@\n]*@([\w.\"]+)", block)
        for block in re.split(r"\n(?=[\w.]+:)", body[1])
    ]
    kind = "f32" if is_single(name) and name not in WIDE else "f64"
    found = [int(n) for n in re.findall(rf"@llvm\.fma\.v(\d+){kind}", body[1])]
    assert found
    widest = f"llvm.fma.v{max(found)}{kind}"
    inner = [c for calls in blocks if widest in calls for c in calls]
    assert not [c for c in inner if not c.startswith(("llvm.", "sqrt"))]
    # What is left over at the end may call what stands for single instructions.
    every = {c for calls in blocks for c in calls if not c.startswith(("llvm.", "sqrt"))}
    assert every <= INSTRUCTIONS
    assert {f"llvm.x86.avx512.mask.{c[:-1]}512" for c in every} <= set(inner)
    if platform.machine() == "x86_64":
        (code,) = loop.inspect_asm().values()
        packed = "ps" if kind == "f32" else "pd"
        assert re.search(rf"vf(n?)m(add|sub)\d+{packed}\b.*%[yz]mm", code)


@pytest.mark.parametrize("name", [n for n in NAMES if is_single(n)])
def test_single_precision_has_instructions_of_single_precision(name: str) -> None:
    """The others have half as many lanes: they would not fit into one loop."""
    wider = {"exponent", "log_edges", "root_edges", "scaled", "significand"}
    assert not wider & set(vmath.defined_names([name]))
