"""The door between Python and a kernel in LLVM IR."""

from __future__ import annotations

import gc
import math
import sys
from contextlib import suppress

import numpy as np
import pytest

from symgrad.runtime import native

ZEROS = """
@heap = internal constant i64 0
define internal void @kernel(ptr %inputs, ptr %outputs, ptr %heap) {
start:
  %count = load i64, ptr %inputs
  %place = getelementptr i64, ptr %inputs, i64 1
  %array = load ptr, ptr %place
  br label %loop
loop:
  %k = phi i64 [ 0, %start ], [ %next, %loop ]
  %element = getelementptr double, ptr %array, i64 %k
  store double 0.0, ptr %element
  %next = add nuw nsw i64 %k, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %end
end:
  ret void
}
"""
SUM = """
@heap = internal constant i64 0
define internal void @kernel(ptr %inputs, ptr %outputs, ptr %heap) {{
  %place = getelementptr i64, ptr %inputs, i64 1
  %x = load {number}, ptr %inputs
  %y = load {number}, ptr %place
  %sum = fadd {number} %x, %y
  store {number} %sum, ptr %outputs
  %second = getelementptr {number}, ptr %outputs, i64 1
  store {number} %x, ptr %second
  ret void
}}
"""


def made(outputs=1, dtype="float64"):
    kernel = SUM.format(number="float" if dtype == "float32" else "double")
    if outputs == 1:
        kernel = "\n".join(line for line in kernel.splitlines() if "%second" not in line)
    return native.link(native.assemble(kernel + native.door(["number"] * 2, outputs, dtype)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_result_is_a_scalar_and_several_are_a_tuple(dtype):
    one, several = made(1, dtype)(1.5, 2.0), made(2, dtype)(1.5, 2.0)
    assert one == 3.5
    assert several == (3.5, 1.5)
    assert type(several) is tuple
    assert {type(one), *map(type, several)} == {np.dtype(dtype).type}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_scalars_have_the_bits_that_were_computed(dtype):
    tiny = float(np.finfo(dtype).smallest_subnormal)
    for x in (-0.0, math.inf, -math.inf, tiny, float(np.finfo(dtype).max)):
        _, same = made(2, dtype)(x, 0.0)
        assert same.tobytes() == np.array(x, dtype).tobytes()
    assert math.isnan(made(2, dtype)(math.nan, 0.0)[1])


def test_all_that_python_takes_for_a_number_is_taken():
    add = made(2)
    for x in (-1, -1.0, True, np.float64(-1.0), np.float32(-1.0), np.int32(-1)):
        assert add(x, x) == (2.0 * x, x)
    assert math.isnan(add(math.nan, 1.0)[0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_what_is_no_number_is_refused(outputs, dtype):
    add = made(outputs, dtype)
    for arguments in ((), (1.0,), (1.0, 2.0, 3.0), ("1", 2.0), (1.0, None), (1.0, 1j)):
        with pytest.raises(TypeError):
            add(*arguments)
    with pytest.raises(OverflowError):
        add(10**400, 1.0)
    assert math.isclose(np.ravel(add(0.1, 0.2))[0], 0.3, rel_tol=1e-6)


def test_float32_is_rounded_where_it_comes_in_and_between():
    single = np.float32
    assert made(2, "float32")(0.1, 0.2) == (single(0.1) + single(0.2), single(0.1))
    assert made(1, "float32")(1e300, 1.0) == math.inf


def test_the_c_library_is_found_wherever_it_lies():
    text = ZEROS + native.door(["extent", "array"], 0, "float64")
    code = native.assemble(text)
    assert b"memset" in code
    array = np.ones(1000)
    assert native.link(code)(900, array) is None
    assert array.sum() == 100.0


def test_the_code_lives_as_long_as_the_function():
    functions = [made(2) for _ in range(20)]
    kept = functions[7]
    del functions
    gc.collect()
    assert kept(1.0, 2.0) == (3.0, 1.0)


def test_calls_leave_nothing_behind():
    add = made(2)
    value = 1234.5

    def calls():
        for _ in range(1000):
            add(value, 2.0)
            with suppress(TypeError):
                add(value, "2")

    calls()
    gc.collect()
    before, references = sys.getallocatedblocks(), sys.getrefcount(value)
    calls()
    gc.collect()
    assert sys.getallocatedblocks() - before < 100
    assert sys.getrefcount(value) == references


def test_the_processor_can_be_named_as_for_numba(monkeypatch):
    from llvmlite import binding

    monkeypatch.delenv("NUMBA_CPU_NAME", raising=False)
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    assert native.cpu()[0] == binding.get_host_cpu_name()
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    assert native.cpu() == ("generic", "")
    assert made()(1.0, 2.0) == 3.0
