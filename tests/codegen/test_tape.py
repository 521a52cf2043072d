"""The tape and the machines: the bits of compiled kernels, few registers, safe operands."""

import random
import re
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from oracle import SPECIAL, identical, seeded

import symgrad as sg
from symgrad import compiler
from symgrad.calculus.transform import Gradient
from symgrad.codegen.llvm import print_llvm
from symgrad.codegen.machine import (
    FIELDS,
    OPCODES,
    instruction_set,
    print_fold,
    print_machine,
)
from symgrad.codegen.tape import Tape, assemble, has_tape
from symgrad.compiler import COMPILED_AT_ONCE, Variant, build_graph
from symgrad.errors import ArgumentError, UnsupportedError
from symgrad.language.functions import FUNCTIONS, REDUCTIONS
from symgrad.language.parse import parse
from symgrad.runtime.interpreter import Interpreter

NAMES = {code: name for name, code in OPCODES.items()}
#: Rows that are not one instruction.
LOWERED = REDUCTIONS | {"clip"}


def tape_of(text: str, *transforms, arrays=()) -> Tape:
    program = parse(text)
    axes = tuple(int(name in arrays) for name in program.inputs)
    graph, _ = build_graph(program, transforms, Variant(axes, int(any(axes))))
    assert has_tape(graph)
    return assemble(graph)


def instructions(code) -> Iterator[tuple[str, int, list[int]]]:
    """Yield name, result and operands of the instructions of a segment."""
    for at in range(0, len(code), FIELDS):
        opcode, result, *operands = code[at : at + FIELDS]
        yield NAMES[opcode], result, operands


def both(source, **options):
    return [
        sg.compile(source, backend=backend, **options) for backend in ("jit", "interpreter")
    ]


def every_row() -> dict[str, str]:
    """Return a formula for every row of the table that is computed point by point."""
    found = {}
    for name, row in FUNCTIONS.items():
        if not row.callable or name in REDUCTIONS:
            continue
        operands = ["x", "y", "z"][: max(2 if row.arity[1] is None else row.arity[0], 1)]
        if name in ("polygamma", "sinc_derivative"):
            operands[0] = "2"
        found[f"f_{name}"] = f"{name}({', '.join(operands)})"
        if row.arity[1] is None:
            found[f"f_{name}_3"] = f"{name}(x, y, z)"
    for k, power in enumerate((2, 3, 4, 5, 17, 63, 64, 100, -1, -2, -3, -4, -5, -64)):
        found[f"p_{k}"] = f"x**({power})"
    found["constants"] = "x*pi + y/e - 0.1"
    found["logic"] = (
        "where((x < y and y <= z) or not (x == z or x >= 1), x, where(y != 0, y, z))"
    )
    found["truth"] = "(x > y) + 2*(y > z)"
    return found


@pytest.fixture(scope="module")
def everything():
    """Return the rows compiled and interpreted, those that need Numba apart.

    They come in groups, since LLVM takes a minute for all rows in one kernel.
    """
    library = re.compile(r"(gamma|lgamma|digamma|polygamma|besselj.|sinc_derivative)\(")
    rows = every_row()
    ours = [name for name, text in rows.items() if not library.match(text)]
    groups = [ours[start : start + 12] for start in range(0, len(ours), 12)]
    groups.append([name for name in rows if name not in ours])
    return [
        both({name: rows[name] for name in group}, inputs=["x", "y", "z"], outputs=group)
        for group in groups
    ]


def triples(n: int, rng: random.Random) -> np.ndarray:
    special = [[rng.choice(SPECIAL) for _ in range(3)] for _ in range(n)]
    usual = [[rng.uniform(-3, 3) for _ in range(3)] for _ in range(n)]
    return np.array(special + usual).T.copy()


def test_every_row_has_the_same_bits_at_points(everything):
    points = triples(60, seeded("tape points")).T.tolist()
    for compiled, interpreted in everything:
        for x, y, z in points:
            for name, a, b in zip(
                compiled.outputs, compiled(x, y, z), interpreted(x, y, z), strict=True
            ):
                assert identical(a, b), (name, x, y, z, a, b)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_row_has_the_same_bits_in_arrays(everything, dtype):
    with np.errstate(all="ignore"):
        arrays = triples(700, seeded("tape arrays")).astype(dtype)
    for compiled, interpreted in everything:
        for name, a, b in zip(
            compiled.outputs, compiled(*arrays), interpreted(*arrays), strict=True
        ):
            assert a.dtype == b.dtype == dtype
            assert identical(a, b), (name, arrays[:, ~((a == b) | (a != a))][:, :3])


def test_every_operation_of_float32_is_rounded():
    rng = np.random.default_rng(6)
    x, y, z = rng.uniform(-3, 3, (3, 300)).astype("float32")
    for text in (
        "hypot(x, y)*z + x**5*y",
        "sqrt(abs(x))*y + cbrt(z)*x",
        "max(x, y, z)*z + relu(x)*y",
        "mod(x, y)*z + sign(y)*x*z",
    ):
        one, other = (f(x, y, z) for f in both(text))
        assert one.dtype == other.dtype == np.float32
        assert identical(one, other), text


def test_points_and_arrays_agree_in_the_interpreter(everything):
    arrays = triples(40, seeded("tape both ways"))
    for _, interpreted in everything:
        rows = np.array(interpreted(*arrays))
        points = np.array([interpreted(*point) for point in arrays.T.tolist()]).T
        assert identical(rows, points)


TEXT = "u = sin(x)*y + k; v = max(u, x, y, k); w = where(v > 1, u**3, exp(-k)*v); w*u/k"


@pytest.mark.parametrize(
    "shapes",
    [
        ((), (), ()),
        ((5,), (5,), (5,)),
        ((5,), (), ()),
        ((3, 1), (1, 4), ()),
        ((3, 1), (4,), (2, 1, 1)),
        ((0,), (), ()),
        ((1000,), (1000,), ()),
        ((40_000,), (40_000,), ()),
    ],
)
def test_broadcasting(shapes):
    rng = np.random.default_rng(7)
    arguments = [rng.uniform(0.5, 2.0, shape) for shape in shapes]
    one, other = (f(*arguments) for f in both(TEXT))
    assert one.shape == other.shape
    assert identical(one, other)


def test_jacobians_and_tangents_over_arrays():
    rng = np.random.default_rng(8)
    x, y, k = rng.uniform(0.5, 2.0, (3, 600))
    for transform in (sg.jacobian, sg.hessian):
        one, other = (transform(f)(x, y, 2.0) for f in both(TEXT))
        assert one.shape == other.shape
        assert identical(one, other)
    one, other = (sg.value_and_grad(f)(x, y, k) for f in both(TEXT))
    assert identical(one[0], other[0])
    assert identical(one[1], other[1])
    one, other = (sg.jvp(f, (x, y, 2.0), (y, x, 1.0)) for f in both(TEXT))
    assert identical(one, other)


def test_into_given_arrays_and_without_inputs():
    x = np.linspace(0.5, 2.0, 300)
    one, other = both(TEXT)
    out = np.empty(300)
    assert other(x, x, x, out=out) is out
    assert identical(out, one(x, x, x))
    for f in both("pi/3"):
        assert f() == np.pi / 3
    one, other = both("2*pi", inputs=["x"])
    assert identical(one(x), other(x))


def test_extents_reach_the_head():
    # The derivative of 3*c + x by c, summed over points, is a multiple of their number.
    x = np.linspace(0.0, 1.0, 7)
    one, other = (sg.grad(f)(x, 2.0) for f in both("f(x, c) = 3*c + x"))
    assert float(one[1]) == float(other[1]) == 21.0
    assert identical(one[0], other[0])


def test_large_formulas_with_sums_run_from_a_tape():
    x = np.linspace(0.0, 1.0, 50)
    for count in (COMPILED_AT_ONCE, 2500):
        steps = (f"u{k + 1} = u{k}*x + a" for k in range(count))
        total = sg.compile("; ".join(["u0 = x", *steps, f"sum(u{count})"]))
        kernel = total.compiled(Variant((1, 0), 1)).kernel
        assert isinstance(kernel.function, Interpreter)
        assert kernel.source == ""
        expected = x
        slope = np.zeros_like(x)
        for _ in range(count):
            expected, slope = expected * x + 0.25, slope * x + 1
        value, gradient = sg.value_and_grad(total, wrt="a")(x, 0.25)
        assert float(value) == pytest.approx(expected.sum(), rel=1e-12)
        assert float(gradient) == pytest.approx(slope.sum(), rel=1e-12)
    assert total.cost()["forward"] >= 5000


#: Formulas over U, a long polynomial of x and a, whose reductions wait for up to two others.
COMBINED = (
    "log(sum(exp(U)))*a + 0.1*sum(sin(x)*U)/a",
    "exp(U - logsumexp(U))*a",
    "max(U)*min(x*U) + std(U) + where(max(x) > a, a, 0.3)*a",
    "prod(1 + U/1000) - mean(U)**2*norm(x)",
)


def long(text: str, count: int = 30) -> str:
    steps = [f"u{k + 1} = u{k}*x + (u{k} - {k}.5)*a/64" for k in range(count)]
    return "; ".join(["u0 = x*a", *steps, text.replace("U", f"u{count}")])


@pytest.mark.parametrize("text", COMBINED)
def test_reductions_have_the_same_bits(text):
    one, other = map(sg.value_and_grad, both(long(text), inputs=["x", "a"]))
    for size in (0, 1, 7, 255, 256, 257, 700, 5000):
        x = seeded(f"{text} {size}")
        arguments = np.array([x.uniform(-1, 1) for _ in range(size)]), 0.7
        (a, slopes), (b, others) = one(*arguments), other(*arguments)
        assert identical(a, b)
        assert all(map(identical, slopes, others))
    function = other.compiled(Variant((1, 0), 1)).kernel.function
    assert isinstance(function, Interpreter)


def test_reductions_of_float32_have_the_same_bits():
    text = long(f"({COMBINED[0]}) + ({COMBINED[2]})*x - ({COMBINED[3]})")
    one, other = both(text, inputs=["x", "a"])
    for size in (0, 1, 255, 257, 5000):
        rng = seeded(f"single {size}")
        x = np.array([rng.uniform(-1, 1) for _ in range(size)], np.float32)
        a, b = one(x, 0.7), other(x, 0.7)
        assert a.dtype == b.dtype == np.float32
        assert identical(a, b)


def test_reductions_do_not_depend_on_how_the_points_are_launched(monkeypatch):
    f = sg.compile(long(f"({COMBINED[2]})*x + ({COMBINED[3]})"), backend="interpreter")
    x = np.linspace(-1.0, 1.0, 3001)
    whole = f(x, 0.7)
    monkeypatch.setattr("symgrad.runtime.interpreter._LAUNCH", 1)
    monkeypatch.setattr("symgrad.runtime.interpreter._REGISTER_BYTES", 1)
    assert identical(whole, sg.compile(f.program.text, backend="interpreter")(x, 0.7))
    assert identical(whole, f(x, 0.7))


def test_small_formulas_with_sums_are_compiled_by_every_backend():
    x = np.linspace(0.0, 1.0, 5000)
    one, other = (f(x, 0.7) for f in both("sum(sin(a*x))", inputs=["x", "a"]))
    assert identical(one, other)
    kernel = sg.compile("max(sin(x))", backend="interpreter").compiled(Variant((1,), 1)).kernel
    assert isinstance(kernel.function, Interpreter)


def test_sums_over_several_axes_are_compiled():
    text = long("sum(U*y)", COMPILED_AT_ONCE)
    x, y = np.linspace(0.0, 1.0, 5), np.linspace(0.0, 1.0, 3)[:, None]
    f = sg.compile(text, backend="interpreter", inputs=["x", "y", "a"])
    with pytest.raises(UnsupportedError, match="no sums over points of several axes"):
        f(x, y, 0.5)
    assert isinstance(f.compiled(Variant((1, 1, 0), 1)).kernel.function, Interpreter)


def test_a_section_for_every_reduction_that_waits():
    for text, count in (("sum(x)", 2), ("exp(x - logsumexp(x))", 3), ("max(x) + sum(x)", 2)):
        tape = tape_of(text, arrays=("x",))
        assert len(tape.sections) == count
        totals = [len(section.totals) for section in tape.sections]
        assert totals == {"max(x) + sum(x)": [2, 0]}.get(text, [1] * (count - 1) + [0])


def test_no_instruction_writes_what_it_reads():
    for arrays in ((), ("x",), ("x", "y", "k")):
        tape = tape_of(TEXT, Gradient(value=True) if len(arrays) != 1 else Gradient(("x",)))
        body = tape_of(TEXT, arrays=arrays)
        (alone,), (section,) = tape.sections, body.sections
        for code in (alone.head, section.head, section.body):
            for name, result, operands in instructions(code):
                count = {"number": 0, "load": 0, "store": 0, "integer_power": 1}.get(name)
                if count is None:
                    arity = (1, 1) if name == "reciprocal" else FUNCTIONS[name].arity
                    count = arity[0]
                assert result not in operands[:count] or name == "store"


def test_registers_do_not_grow_with_the_length_of_a_chain():
    def chain(n):
        return "; ".join(["u0 = x", *(f"u{k + 1} = sin(u{k})*x + c" for k in range(n))])

    (varying,) = tape_of(chain(1000), arrays=("x",)).sections
    assert varying.body_size <= 6


def test_every_instruction_of_a_head_makes_a_number():
    tape = tape_of("f(x, c) = where(x > c, sin(x)*c + x**3, max(x, c, 2))")
    (section,) = tape.sections
    given = len(tape.constants) + len(tape.arguments)
    made = [result for _, result, _ in instructions(section.head)]
    assert made == list(range(given, tape.size))
    assert section.known == tape.size


def test_what_does_not_vary_is_computed_once():
    (section,) = tape_of("exp(k)*x + k**2", arrays=("x",)).sections
    assert [name for name, _, _ in instructions(section.head)] == ["exp", "mul"]
    names = [name for name, _, _ in instructions(section.body)]
    assert sorted(names) == ["add", "load", "mul", "number", "number", "store"]


def test_a_tape_is_the_same_every_time():
    with np.printoptions(threshold=sys.maxsize):
        assert repr(tape_of(TEXT, arrays=("x",))) == repr(tape_of(TEXT, arrays=("x",)))


BASIC, ELEMENTARY = (instruction_set([OPCODES[name]]) for name in ("sin", "erf"))
COMPLETE = tuple(name for name in OPCODES if name in FUNCTIONS or name == "reciprocal")


def test_every_row_is_an_instruction_of_the_complete_machine():
    assert set(FUNCTIONS) - LOWERED <= set(OPCODES)
    for points in ("point", "blocks"):
        text = print_machine(points)
        assert (
            text
            == print_machine.__wrapped__(points)
            == print_machine(points, "float64", COMPLETE)
        )
        for name, opcode in OPCODES.items():
            given = name.startswith(("number", "load", "store", "collect"))
            assert f"opcode == {opcode}:" in text or (given and points == "point")


def test_machines_are_shared_but_for_functions_of_the_c_library():
    assert set(BASIC) < set(ELEMENTARY) < set(COMPLETE)
    library = set(COMPLETE) - set(ELEMENTARY)
    assert {"gamma", "besselj0"} < library
    shared = [OPCODES[name] for name in ("number", "load", "store", "integer_power", "exp")]
    for name in COMPLETE:
        has = instruction_set([*shared, OPCODES[name]])
        if name in library:
            assert has == ("exp", name)
        else:
            assert has == (BASIC if name in BASIC else ELEMENTARY)
        for points in ("point", "blocks"):
            text = print_machine(points, "float64", has)
            for other in COMPLETE:
                assert (f"opcode == {OPCODES[other]}:" in text) == (other in has)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("points", ["point", "blocks"])
def test_only_functions_of_the_c_library_need_numba(points, dtype):
    for has in (BASIC, ELEMENTARY):
        assert print_llvm(print_machine(points, dtype, has), "run") is not None
    for name in set(COMPLETE) - set(ELEMENTARY):
        assert print_llvm(print_machine(points, dtype, (name,)), "run") is None, name
    assert print_llvm(print_fold(), "run") is not None


def test_the_choice_of_a_backend():
    with pytest.raises(ArgumentError, match="no backend 'gpu'"):
        sg.compile("x", backend="gpu")
    text = "; ".join(["u0 = x", *(f"u{k + 1} = sin(u{k})" for k in range(2000))])
    large = sg.compile(text)
    small = sg.compile("sin(x)")
    kernel = large.compiled(Variant((0,))).kernel
    assert isinstance(kernel.function, Interpreter)
    assert not isinstance(small.compiled(Variant((0,))).kernel.function, Interpreter)
    expected = 0.5
    for _ in range(2000):
        expected = np.sin(expected)
    assert float(large(0.5)) == pytest.approx(expected, rel=1e-10)


def test_a_tape_that_has_run_for_long_gives_way_to_compiled_code():
    text = "; ".join(["u0 = x", *(f"u{k + 1} = u{k}*y + x" for k in range(100))])
    f = sg.compile(text)
    function = f.compiled(Variant((0, 0))).kernel.function
    assert isinstance(function, Interpreter)
    before = f(0.5, 0.75)
    assert function._function == function._interpret
    function._spent = 1e9
    assert f(0.5, 0.75) == before
    assert function._function != function._interpret
    assert f(0.5, 0.75) == before


def test_a_tape_that_cannot_be_compiled_goes_on(monkeypatch):
    text = "; ".join(["u0 = x", *(f"u{k + 1} = u{k}*y - x" for k in range(100))])
    f = sg.compile(text)
    function = f.compiled(Variant((0, 0))).kernel.function
    before = f(0.5, 0.75)
    monkeypatch.setattr(
        compiler, "print_module", lambda *_, **__: "def f():\n    f()\n\n\nf()\n"
    )
    function._spent = 1e9
    assert f(0.5, 0.75) == before
    assert function._function == function._interpret
    with pytest.raises(UnsupportedError, match="conditions and loops one after the other"):
        sg.compile(text, backend="jit")(0.5, 0.75)


def test_what_is_asked_for_stays():
    text = "; ".join(["u0 = x", *(f"u{k + 1} = u{k}*y + x" for k in range(100))])
    function = sg.compile(text, backend="interpreter").compiled(Variant((0, 0))).kernel.function
    function._spent = 1e9
    assert function(0.5, 0.75) == sg.compile(text, backend="jit")(0.5, 0.75)
    assert function._function == function._interpret
