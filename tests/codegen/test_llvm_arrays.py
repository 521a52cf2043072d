"""Kernels with arrays in LLVM IR compute the bits that Numba makes of the same text."""

from __future__ import annotations

import platform
import re
import sys

import numpy as np
import pytest

import symgrad as sg
from symgrad import compiler
from symgrad.calculus.transform import Gradient
from symgrad.codegen.llvm import print_llvm
from symgrad.codegen.machine import print_machine
from symgrad.compiler import Variant
from symgrad.runtime import cache, native
from symgrad.runtime.pipeline import PIPELINED

GRADIENT = (Gradient(value=True),)


def printed(formula, axes, dtype="float64", transforms=GRADIENT):
    """Return the text of a kernel's module, and the kernel."""
    program = sg.compile(formula).program
    everywhere = 0
    for mask in axes:
        everywhere |= mask
    variant = Variant(tuple(axes), everywhere, dtype)
    source, kernel, *_ = compiler.print_source(program, transforms, variant)
    return source, kernel


def straight(source, kernel):
    """Return the function that LLVM makes, without Numba."""
    text = print_llvm(source, kernel.name, native.cpu()[1])
    assert text is not None
    parameters = [parameter.kind for parameter in kernel.parameters]
    door = native.door(parameters, len(kernel.returned), kernel.dtype)
    return native.link(native.assemble(text + door))


def arguments(kernel, extents, dtype, numbers):
    """Return arguments for a kernel, the arrays that it writes last."""
    sizes = iter(extents)
    found, written = [], []
    for parameter in kernel.parameters:
        if parameter.role == "extent":
            found.append(next(sizes))
            continue
        shape = [n for axis, n in enumerate(extents) if parameter.axes >> axis & 1]
        if parameter.role == "output":
            written.append(np.full(int(np.prod(shape)), np.nan, dtype))
        elif shape:
            found.append(numbers.uniform(0.1, 4.0, int(np.prod(shape))).astype(dtype))
        else:
            found.append(float(np.array(numbers.uniform(0.1, 4.0), dtype)))
    return found, written


def results(function, found, written):
    """Return what a kernel returns and what it writes, as bits."""
    for array in written:
        array[:] = np.nan
    returned = function(*found, *written)
    return np.array(returned, float).tobytes(), [array.tobytes() for array in written]


def close(got, want, dtype, extents):
    """Compare results up to the rounding errors of sums of up to a thousand numbers."""
    eps = float(np.finfo(dtype).eps)
    for one, other, kind in [
        (got[0], want[0], float),
        *((a, b, dtype) for a, b in zip(got[1], want[1], strict=True)),
    ]:
        one, other = np.frombuffer(one, kind), np.frombuffer(other, kind)
        np.testing.assert_allclose(one, other, rtol=16 * eps, err_msg=str(extents))


DOUBLE, SINGLE = "float64", "float32"


@pytest.mark.parametrize(
    ("dtype", "formula", "axes"),
    [
        # Numba takes seconds for each of these.
        (DOUBLE, "a = sin(x); b = exp(a)*y; c = log(b**2 + 1)*a; c/b + tan(c)", (1, 1)),
        (SINGLE, "y*log(x) + sin(y)", (1, 1)),
        (DOUBLE, "where(x > y, tanh(x), max(x, y)*abs(y)) + x**y", (1, 1)),
        (SINGLE, "where(x > y, erfc(x), floor(y)*x**3)", (1, 1)),
        (DOUBLE, "x*y + 1", (1, 1)),
        (DOUBLE, "sum((h*exp(-((x - c)/w)**2) - y)**2)", (0, 1, 0, 0, 1)),
        (SINGLE, "mean(log(1 + exp(-y*(w + v*x))))", (1, 0, 0, 1)),
        (DOUBLE, "(x - mean(x))/sqrt(mean((x - mean(x))**2))", (1,)),
        (SINGLE, "max(x)*y + logsumexp(x*y) + prod(x/y)*min(y)", (1, 1)),
        (DOUBLE, "mod(x - 2, y)*y", (1, 1)),
        (DOUBLE, "sin(x)*y", (3, 2)),
        (SINGLE, "x*exp(y)*z", (1, 2, 4)),
    ],
)
def test_the_bits_are_those_of_numba(dtype, formula, axes):
    source, kernel = printed(formula, axes, dtype)
    ours, theirs = straight(source, kernel), getattr(cache.load(source), kernel.name)
    numbers = np.random.default_rng(5)
    count = sum(parameter.role == "extent" for parameter in kernel.parameters)
    lengths = (0, 1, 7, 63, 64, 65, 129, 255, 256, 257, 512, 513, 1000, 1024, 1025, 2100)
    sizes = [(n,) for n in lengths]
    if count > 1:
        sizes = [(0, 3), (3, 0), (1, 1), (5, 7), (2, 300), (300, 2)]
        sizes = [(*size, 4)[:count] for size in sizes]
    for extents in sizes:
        found, written = arguments(kernel, extents, dtype, numbers)
        with np.errstate(all="ignore"):
            got, want = results(ours, found, written), results(theirs, found, written)
        if "plus" in source:
            # LLVM chooses in which order the points of a block are added.
            close(got, want, dtype, extents)
        else:
            assert got == want, extents


def test_huge_arguments_are_reduced_in_the_block_where_they_are():
    source, kernel = printed("sin(x)*y + cos(1e10*x)", (1, 0))
    ours, theirs = straight(source, kernel), getattr(cache.load(source), kernel.name)
    found, written = arguments(kernel, (1000,), "float64", np.random.default_rng(6))
    for place, value in ((3, 1e300), (700, -1e17), (701, np.inf), (702, np.nan)):
        found[1][place] = value
        assert results(ours, found, written) == results(theirs, found, written)


def test_points_of_large_kernels_have_lanes_and_their_rows_are_not_on_the_stack():
    statements = "; ".join(f"u{k + 1} = sin(u{k})*y + u{k}/x" for k in range(50))
    source, kernel = printed(f"u0 = x; {statements}; s = sum(u50)", (1, 1))
    assert "lanes" in source
    text = print_llvm(source, kernel.name, native.cpu()[1])
    assert int(re.search(r"@heap = internal constant i64 (\d+)", text)[1]) > 1 << 16
    found, written = arguments(kernel, (700,), "float64", np.random.default_rng(8))
    returned, _ = results(straight(source, kernel), found, written)
    f = sg.value_and_grad(
        sg.compile(f"u0 = x; {statements}; s = sum(u50)", backend="interpreter")
    )
    _, x, y = found
    value, slopes = f(x, y)
    assert returned == np.array([value]).tobytes()
    assert [array.tobytes() for array in written] == [slope.tobytes() for slope in slopes]


@pytest.mark.parametrize("formula", ["gamma(x)", "digamma(x)*y", "besselj0(x)"])
def test_functions_of_the_c_library_are_left_to_numba(formula):
    program = sg.compile(formula).program
    source, kernel = printed(formula, (1,) * len(program.inputs), transforms=())
    assert print_llvm(source, kernel.name) is None


def test_a_wish_belongs_to_the_loop_before_it():
    source, kernel = printed("a = exp(x)/y; exp(a*y)*a + log(a + x*y)/x", (1, 1))
    text = print_llvm(source, kernel.name)
    loops = text[text.index("define internal void @loops") :]
    wishes = dict(
        re.findall(r'^!(\d+) = !\{!"llvm.loop.interleave.count", i32 (\d)\}', text, re.M)
    )
    names = dict(re.findall(r"^!(\d+) = distinct !\{!\d+, !(\d+)\}", text, re.M))
    jumps = re.findall(r"br label %(\w+), !llvm.loop !(\d+)", loops)
    assert len(jumps) == len(re.findall(r"    interleaved\(\d, \d\)", source)) == 2
    for head, loop in jumps:
        # The body of the loop calls what it is interleaved for, and has no loop inside.
        body = loops[loops.index(f"\n{head}:") : loops.index(f"!llvm.loop !{loop}")]
        assert body.count("br label") == 1
        # Different functions fill the registers with fewer vectors.
        kinds = set(re.findall(r"@(exp|log)\.", body))
        assert wishes[names[loop]] == ("4" if len(kinds) == 1 else "2")


@pytest.mark.parametrize(
    ("features", "formula", "dtype", "count"),
    [
        ("", "sin(x)", "float64", 4),
        ("+neon", "sin(x)", "float64", 4),
        ("+avx2", "sin(x)", "float64", 2),
        ("+avx2", "sin(x)", "float32", 4),
        ("+avx2", "exp(x)", "float64", 4),
        ("+avx2", "exp(x)*sin(y)", "float64", 2),
        ("+avx2,+avx512f,+avx512vl", "sin(x)", "float64", 2),
        ("+avx2,+avx512f,+avx512vl", "exp(x)", "float32", 2),
        ("+avx2,+avx512f,+avx512vl", "sum(sin(x))", "float64", 4),
    ],
)
def test_few_registers_and_pipelined_loops_take_fewer_vectors(features, formula, dtype, count):
    inputs = len(sg.compile(formula).program.inputs)
    source, kernel = printed(formula, (1,) * inputs, dtype, ())
    text = print_llvm(source, kernel.name, features)
    assert set(re.findall(r'interleave.count", i32 (\d)', text)) == {str(count)}
    assert (PIPELINED in text) == ("avx512" in features)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_kept_on_the_stack_lies_in_lines_of_the_cache(dtype):
    wanted = (Gradient(("a", "b"), value=True),)
    source, kernel = printed("sum((y - a*exp(-x/b))**2)", (1, 0, 1, 0), dtype, wanted)
    text = print_llvm(source, kernel.name, native.cpu()[1])
    heads = re.findall(r"^define .*$", text, re.MULTILINE)
    assert [" alignstack(64)" in head for head in heads] == ["@loops" in h for h in heads]
    if platform.machine() not in ("x86_64", "AMD64"):
        return
    aligned = bytes.fromhex("48 83 e4 c0")  # and rsp, -64
    parameters = [parameter.kind for parameter in kernel.parameters]
    text += native.door(parameters, len(kernel.returned), dtype)
    assert aligned in native.assemble(text)


def test_so_it_does_in_functions_that_take_arrays():
    source = print_machine("blocks", "float64", ("add", "mul", "exp", "sin"))
    text = print_llvm(source, "run", native.cpu()[1])
    heads = re.findall(r"^define internal (.*?@[\w.]+)\((.*)$", text, re.MULTILINE)
    taking = {name: "alignstack(64)" in rest for name, rest in heads if "ptr" in rest}
    assert len(taking) > 5
    assert [name for name, aligned in taking.items() if not aligned] == ["void @kernel"]
    assert not any("alignstack" in rest for _, rest in heads if "ptr" not in rest)


@pytest.mark.parametrize(
    ("features", "formula", "mask", "asked"),
    [
        ("+avx2", "sin(x)", 1, True),
        ("+avx2", "sin(x)", 0, False),
        ("+avx2", "x*x", 1, False),
        ("+avx2,+avx512f,+avx512vl", "sin(x)", 1, False),
        ("+neon", "sin(x)", 1, False),
    ],
)
def test_several_vectors_in_few_registers_ask_for_the_shortest_code(
    features, formula, mask, asked
):
    source, kernel = printed(formula, (mask,))
    text = print_llvm(source, kernel.name, features)
    assert text.count("\n!shortest = !{}\n") == asked


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="other processors have 32 registers"
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("formula", ["y*log(x) + sin(y)", "sum(atan2(x, y)*exp(-x))"])
def test_the_order_of_instructions_changes_no_bits(monkeypatch, formula, dtype):
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2,+fma" if "+avx2" in native.cpu()[1] else "")
    source, kernel = printed(formula, (1, 1), dtype)
    text = print_llvm(source, kernel.name, "+avx2,+fma")
    assert "!shortest" in text
    parameters = [parameter.kind for parameter in kernel.parameters]
    text += native.door(parameters, len(kernel.returned), dtype)
    usual = native.assemble(text.replace("!shortest = !{}", ""))
    orders = native._ORDERS
    made = [usual]
    for order in orders:
        monkeypatch.setattr(native, "_ORDERS", (order,))
        with monkeypatch.context() as patch:
            sizes = iter((1, 0))
            patch.setattr(native, "_instruction_bytes", lambda code, sizes=sizes: next(sizes))
            made.append(native.assemble(text))
    monkeypatch.setattr(native, "_ORDERS", orders)
    assert len(set(made)) == 3
    # All options are back.
    assert native.assemble(text.replace("!shortest = !{}", "")) == usual
    shortest = native.assemble(text)
    assert shortest in made
    assert native._instruction_bytes(shortest) == min(map(native._instruction_bytes, made))
    monkeypatch.setattr(native, "_MOST_BYTES", 100)
    assert native.assemble(text) == usual
    for extent in (3, 1000):
        seen = []
        for code in made:
            found, written = arguments(kernel, (extent,), dtype, np.random.default_rng(extent))
            seen.append(results(native.link(code), found, written))
        assert seen[0] == seen[1] == seen[2]


def test_arrays_overlap_where_nothing_was_promised():
    source, kernel = printed("x*y", (1, 1))
    assert print_llvm(source, kernel.name).count("ptr noalias %a") == 5
    free = source.replace("    no_overlap()\n", "")
    assert print_llvm(free, kernel.name).count("ptr noalias %a") == 0


INSTRUCTIONS = {"exp(x)": ("scalef",), "log(x)": ("getexp", "getmant", "fixupimm")}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("formula", INSTRUCTIONS)
def test_instructions_of_avx512_are_those_that_numba_is_given(formula, dtype):
    source, kernel = printed(formula, (1,), dtype, ())
    form = "pd" if dtype == "float64" else "ps"
    text = print_llvm(source, kernel.name, "+avx2,+avx512f")
    for name in INSTRUCTIONS[formula]:
        assert f"@llvm.x86.avx512.mask.{name}.{form}.512" in text.replace('"', "")
        assert f"_ZGV_LLVM_N{8 if dtype == DOUBLE else 16}v" in text
    assert "avx512" not in print_llvm(source, kernel.name, "+avx2")
    numbers, kernel = printed(formula, (0,), dtype, ())
    assert "avx512" not in print_llvm(numbers, kernel.name, "+avx2,+avx512f")


# Long arrays


def placed(array, offset):
    """Return a copy of an array so many bytes behind the start of a line of the cache."""
    memory = np.full(array.nbytes + 256, 77, np.uint8)
    start = -memory.ctypes.data % 64 + 64 + offset
    copy = memory[start : start + array.nbytes].view(array.dtype)
    copy[:] = array
    return memory, copy


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("points", [1, 3, 8, 63, 64, 65, 200, 1000])
def test_lines_and_narrow_vectors_change_no_bits(dtype, points):
    source, kernel = printed("q*asinh_slope(x) + y", (0, 1, 1), dtype, ())
    assert "wide_vectors()" in source
    assert kernel.pointwise
    assert kernel.streams
    plain = straight(source, kernel)
    kinds = [parameter.kind for parameter in kernel.parameters]
    door = native.door(kinds, 0, dtype)
    text = print_llvm(source, kernel.name, native.cpu()[1], 2, 64)
    assert ("@narrow" in text) == ("+avx512f" in native.cpu()[1].split(","))
    long = native.link(native.assemble(text + door))
    found, written = arguments(kernel, (points,), dtype, np.random.default_rng(9))
    plain(*found, *written)
    size = np.dtype(dtype).itemsize
    for offset in range(0, 64, size):
        kept = [placed(array, offset * (k + 1) % 64) for k, array in enumerate(written)]
        for _, copy in kept:
            copy[:] = -1.0
        long(*found, *(copy for _, copy in kept))
        for (memory, copy), expected in zip(kept, written, strict=True):
            assert copy.tobytes() == expected.tobytes()
            # Nothing beside it was written.
            assert (memory == 77).sum() >= memory.size - copy.nbytes


def test_which_kernels_are_run_another_way_on_long_arrays(monkeypatch):
    seen = []
    real = compiler._native

    def spy(source, name, parameters, outputs, dtype, long=(0, 0)):
        seen.append(long)
        return real(source, name, parameters, outputs, dtype, long)

    monkeypatch.setattr(compiler, "_native", spy)
    x = np.linspace(1.0, 2.0, 5)
    sg.compile("x*rsqrt(y)")(x, x)
    sg.compile("exp(x)")(x)
    sg.compile("sum(x*rsqrt(y))")(x, x)
    sg.compile("x - mean(x)")(x)
    (lines, narrow), (heavy, never), *sums = seen
    assert 0 < lines < heavy
    assert narrow == 2**20 // 24
    assert never == 0
    assert sums == [(0, 0)] * 2


# The door


def test_what_is_no_array_is_refused():
    function = straight(*printed("x*y", (1, 0), transforms=()))
    x, out = np.ones(3), np.zeros(3)
    assert function(3, x, 2.0, out) is None
    assert out.tolist() == [2.0] * 3
    for wrong in ([1.0] * 3, 1.0, None, memoryview(x), np.ones(3).view(np.recarray)):
        with pytest.raises(TypeError):
            function(3, wrong, 2.0, out)
    for wrong in ((3, x, 2.0), (3.0, x, 2.0, out), (3, x, "2", out), ("3", x, 2.0, out)):
        with pytest.raises(TypeError):
            function(*wrong)


def test_a_call_keeps_no_reference():
    function = straight(*printed("x*y", (1, 1)))
    arrays = [np.ones(300) for _ in range(5)]
    before = [*map(sys.getrefcount, arrays), sys.getrefcount(None)]
    for _ in range(1000):
        function(300, *arrays)
    after = [*map(sys.getrefcount, arrays), sys.getrefcount(None)]
    assert after[:-1] == before[:-1]
    assert abs(after[-1] - before[-1]) < 100


def test_other_threads_run_during_a_call():
    door = native.door(["extent", *["array"] * 5], 0, "float64")
    run = door[door.index("compute:") :]
    saved, called, restored = (
        run.index(name) for name in ("@PyEval_SaveThread", "@kernel", "@PyEval_RestoreThread")
    )
    assert saved < called < restored
    assert "PyEval" not in native.door(["number"], 1, "float64").partition("define")[2]


def test_arrays_of_other_classes_are_computed_where_they_are(tmp_path):
    f = sg.value_and_grad(sg.compile("x*exp(y)"))
    x = np.memmap(tmp_path / "x", np.float64, "w+", shape=1000)
    x[:] = np.linspace(0, 1, 1000)
    out = np.memmap(tmp_path / "out", np.float64, "w+", shape=1000)
    y = np.ones(1000)
    expected, (slope, _) = f(np.array(x), y)
    value, (by_x, _) = f(x, y, out=(out, (np.zeros(1000), np.zeros(1000))))
    assert np.shares_memory(value, out)
    assert out.tobytes() == expected.tobytes()
    assert by_x.tobytes() == slope.tobytes()
