"""Every kind of argument is read right or refused in one line, and layouts are NumPy's."""

from __future__ import annotations

import array
import itertools
import math
import sys
from decimal import Decimal
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as nps

from symgrad.errors import DTypeError, ShapeError
from symgrad.runtime.arrays import (
    check_out,
    flat,
    layout,
    natural_shape,
    operand,
    result_dtype,
    share,
)

SINGLE = np.dtype(np.float32)
DOUBLE = np.dtype(np.float64)


# operand


@pytest.mark.parametrize("value", [2, 2.0, True, False, 2**60 + 1, -0.0, math.inf])
def test_python_numbers_become_floats(value):
    number = operand(value, "x")
    assert type(number) is float
    assert number == float(value)
    assert math.copysign(1, number) == math.copysign(1, value)


def test_nan_stays():
    assert math.isnan(operand(math.nan, "x"))


@pytest.mark.parametrize(
    "scalar", [np.float64(2), np.int8(2), np.uint64(2), np.bool_(True), np.longdouble(2)]
)
def test_numpy_scalars_become_doubles_that_are_remembered(scalar):
    number = operand(scalar, "x")
    assert type(number) is np.float64
    assert number == scalar


@pytest.mark.parametrize("scalar", [np.float32(0.1), np.float16(0.1)])
def test_small_scalars_become_single_precision(scalar):
    value = operand(scalar, "x")
    assert isinstance(value, np.ndarray)
    assert (value.shape, value.dtype) == ((), SINGLE)
    assert value == scalar


@pytest.mark.parametrize("dtype", ["?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "g"])
def test_other_real_arrays_become_float64(dtype):
    values = np.array([0, 1, 1], dtype)
    read = operand(values, "x")
    assert read.dtype == DOUBLE
    assert read.tolist() == [0.0, 1.0, 1.0]


def test_large_integers_are_rounded_as_numpy_rounds():
    values = np.array([2**53 + 1, 2**63 - 1, -(2**63)])
    assert np.array_equal(operand(values, "x"), values.astype(float))
    assert operand(np.array([2**64 - 1], np.uint64), "x") == [2.0**64]


def test_half_precision_is_exact_in_single():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    read = operand(halves, "x")
    assert read.dtype == SINGLE
    assert np.array_equal(read, halves.astype(np.float32), equal_nan=True)


def test_long_double_overflows_silently():
    assert operand(np.array([np.finfo(np.longdouble).max]), "x")[0] in (
        math.inf,
        np.finfo(float).max,
    )


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", ">f4"])
def test_float_arrays_keep_their_memory(dtype):
    values = np.arange(12, dtype=dtype).reshape(3, 4)
    read_only = values.copy()
    read_only.flags.writeable = False
    for view in (
        values,
        values.T,
        values[::-1, ::2],
        values[:0],
        values[1, 1, ...],
        read_only,
    ):
        assert operand(view, "x") is view


@pytest.mark.parametrize("value", [[1, 2], (1.0, 2.0), [True, 2], range(1, 3)])
def test_lists(value):
    assert operand(value, "x").tolist() == [1.0, 2.0]
    assert operand([value, value], "x").shape == (2, 2)


def test_empty_lists():
    assert operand([], "x").shape == (0,)
    assert operand([[], []], "x").shape == (2, 0)


def test_lists_of_single_precision_stay_single():
    assert operand([np.float32(1), np.float32(2)], "x").dtype == SINGLE


def test_buffers():
    assert operand(array.array("f", [1, 2]), "x").dtype == SINGLE
    assert operand(memoryview(b"\x01\x02"), "x").tolist() == [1.0, 2.0]


class Series:
    """What pandas shows NumPy."""

    def __array__(self, dtype=None, copy=None):
        return np.array([1, 2], dtype)


def test_objects_that_numpy_can_read():
    assert operand(Series(), "x").tolist() == [1.0, 2.0]
    assert result_dtype([Series()]) == DOUBLE


def test_memory_maps(tmp_path):
    values = np.arange(5.0)
    values.tofile(tmp_path / "data")
    mapped = np.memmap(tmp_path / "data", dtype=float, mode="r")
    read = operand(mapped, "x")
    assert type(read) is np.ndarray
    assert np.array_equal(read, values)
    assert np.shares_memory(read, mapped)


REFUSED = {
    "complex": (1j, "complex128"),
    "complex array": (np.ones(2, complex), "complex128"),
    "complex scalar": (np.complex64(1), "complex64"),
    "object": (np.array([1.0, 2.0], object), "object"),
    "none": (None, "None"),
    "list of none": ([1.0, None], "object"),
    "large integers": ([10**400], "object"),
    "text": ("1.0", "<U3"),
    "bytes": (b"1.0", "S3"),
    "list of text": (["1"], "<U1"),
    "text array": (np.array(["1"]), "<U1"),
    "datetime": (np.array(["2020-01-01"], "M8[D]"), "datetime64"),
    "timedelta": (np.timedelta64(1, "s"), "timedelta64"),
    "structured": (np.zeros(2, [("a", float)]), "mixed fields"),
    "void": (np.zeros(2, "V8"), "V8"),
    "decimal": (Decimal(1), "object"),
    "fraction": (Fraction(1, 2), "object"),
    "set": ({1.0}, "object"),
    "function": (math.sin, "object"),
    "masked": (np.ma.array([1.0, 2.0], mask=[True, False]), "filled.*compressed"),
    "masked constant": (np.ma.masked, "filled"),
    "list of masked": ([np.ma.array([1.0], mask=[True])], "masked"),
    "matrix": (np.ones((2, 2)).view(np.matrix), "matrix"),
    "overflow": (10**400, "too large"),
}


@pytest.mark.parametrize(("value", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_real_numbers_is_refused_in_one_line(value, says):
    with pytest.raises(DTypeError, match=f"'alpha'.*{says}") as caught:
        operand(value, "alpha")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 160


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy is too old")
def test_variable_text_is_refused():
    with pytest.raises(DTypeError, match="text"):
        operand(np.array(["1"], np.dtypes.StringDType()), "x")


def test_ragged_lists_are_refused():
    with pytest.raises(ShapeError, match=r"'x'.*rectangular"):
        operand([[1.0], [1.0, 2.0]], "x")


def test_lists_nested_too_deeply_are_refused():
    deep: list = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises((ShapeError, DTypeError), match="'x'"):
        operand(deep, "x")


def test_lists_that_contain_themselves_are_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises((ShapeError, DTypeError), match="'x'"):
        operand(loop, "x")


def test_failures_of_other_libraries_are_told_in_one_line():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("requires grad\nuse detach()")

    with pytest.raises(DTypeError, match=r"'x' \(Broken\) .*: requires grad$"):
        operand(Broken(), "x")


def test_subclasses_with_rules_of_their_own_are_refused():
    class Quantity(np.ndarray):
        def __array_ufunc__(self, *arguments, **options):
            return NotImplemented

    class Plain(np.ndarray):
        pass

    with pytest.raises(DTypeError, match=r"Quantity.*numpy.asarray\(x\)"):
        operand(np.ones(2).view(Quantity), "x")
    assert type(operand(np.ones(2).view(Plain), "x")) is np.ndarray


# result_dtype


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], DOUBLE),
        ([1, 2.0, True], DOUBLE),
        ([np.ones(2, np.float32), 2.0, 1], SINGLE),
        ([np.float32(1), 2.0], SINGLE),
        ([np.float32(1), np.float64(2)], DOUBLE),
        ([np.ones(2, np.float32), np.float64(2)], DOUBLE),
        ([np.ones(2, np.float32), np.array(2.0)], DOUBLE),
        ([np.ones(2, np.float16), 2.0], SINGLE),
        ([np.float16(1)], SINGLE),
        ([np.ones(2, ">f4")], SINGLE),
        ([np.ones(2, ">f8")], DOUBLE),
        ([np.ones(2, np.int8)], DOUBLE),
        ([np.ones(2, bool), np.ones(2, np.float32)], DOUBLE),
        ([np.int8(1), np.float32(1)], DOUBLE),
        ([np.longdouble(1)], DOUBLE),
        ([[1.0, 2.0], np.float32(1)], DOUBLE),
    ],
)
def test_result_dtype(values, expected):
    assert result_dtype(values) == expected
    assert result_dtype([operand(value, "x") for value in values]) == expected


# layout


@pytest.mark.parametrize(
    ("shapes", "extents", "axes"),
    [
        ([(1000,), ()], (1000,), (1, 0)),
        ([(7, 1), (1, 9)], (7, 9), (0b01, 0b10)),
        ([(3, 4, 5), (5,)], (12, 5), (0b11, 0b10)),
        ([(3, 4, 5), (3, 4, 5)], (60,), (1, 1)),
        ([(3, 1, 5), (3, 1, 5)], (15,), (1, 1)),
        ([(), ()], (), (0, 0)),
        ([(1,), (1, 1)], (), (0, 0)),
        ([], (), ()),
        ([(0,), (1,), ()], (0,), (1, 0, 0)),
        ([(0, 3), (3,)], (0, 3), (0b11, 0b10)),
        ([(2, 1, 3), (1, 4, 1)], (2, 4, 3), (0b101, 0b010)),
        ([(2, 3, 4), (3, 1), (4,)], (2, 3, 4), (0b111, 0b010, 0b100)),
    ],
)
def test_layout_examples(shapes, extents, axes):
    plan = layout([np.ones(shape) for shape in shapes], [f"x{i}" for i in range(len(shapes))])
    assert (plan.extents, plan.axes) == (extents, axes)
    assert plan.shape == np.broadcast_shapes(*shapes)


def test_numbers_have_no_axes():
    plan = layout([2.0, np.ones((2, 2)), np.float64(3)], ["x", "y", "z"])
    assert (plan.extents, plan.axes) == ((4,), (0, 1, 0))


def test_shapes_that_do_not_broadcast():
    with pytest.raises(ShapeError) as caught:
        layout([np.ones(3), 2.0, np.ones((2, 4))], ["x", "k", "y"])
    assert str(caught.value) == "the shapes of x (3,) and y (2, 4) do not broadcast together"


def test_zero_does_not_broadcast_with_three():
    with pytest.raises(ShapeError, match=r"x \(0,\) and y \(3,\)"):
        layout([np.ones(0), np.ones(3)], ["x", "y"])


def test_shapes_beyond_all_memory():
    tall = np.broadcast_to(np.float64(1), (2**40, 1))
    wide = np.broadcast_to(np.float64(1), (1, 2**40))
    with pytest.raises(ShapeError, match="more elements"):
        layout([tall, wide], ["x", "y"])


@given(st.one_of([nps.mutually_broadcastable_shapes(num_shapes=n) for n in range(1, 6)]))
def test_layout_broadcasts_as_numpy(case):
    arrays = [
        np.arange(math.prod(shape), dtype=float).reshape(shape) for shape in case.input_shapes
    ]
    plan = layout(arrays, "abcde"[: len(arrays)])
    assert plan.shape == case.result_shape
    assert math.prod(plan.extents) == math.prod(plan.shape)
    assert 1 not in plan.extents
    for values, axes in zip(arrays, plan.axes, strict=True):
        collapsed = [n if axes >> k & 1 else 1 for k, n in enumerate(plan.extents)]
        seen = np.broadcast_to(flat(values, DOUBLE).reshape(collapsed), plan.extents)
        expected = np.broadcast_to(values, plan.shape)
        assert np.array_equal(seen.reshape(plan.shape), expected)
        shape = natural_shape(axes, plan)
        assert shape[len(shape) - values.ndim :] == values.shape
        assert set(shape[: len(shape) - values.ndim]) <= {1}


@given(nps.mutually_broadcastable_shapes(num_shapes=3))
def test_no_two_neighbouring_axes_are_alike(case):
    plan = layout([np.ones(shape) for shape in case.input_shapes], "abc")
    bits = [tuple(a >> k & 1 for a in plan.axes) for k in range(len(plan.extents))]
    assert all(one != two for one, two in itertools.pairwise(bits))
    assert all(any(column) for column in bits)


@given(st.lists(nps.array_shapes(min_dims=0, max_side=3, min_side=0), min_size=1, max_size=3))
def test_layout_refuses_what_numpy_refuses(shapes):
    arrays = [np.ones(shape) for shape in shapes]
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast together"):
            layout(arrays, "abc"[: len(shapes)])
    else:
        assert layout(arrays, "abc"[: len(shapes)]).shape == expected


# flat


def unaligned(values):
    room = np.zeros(values.nbytes + 1, np.uint8)
    view = room[1:].view(values.dtype).reshape(values.shape)
    view[...] = values
    return view


VIEWS = {
    "contiguous": lambda a: a,
    "transposed": lambda a: a.T,
    "Fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1, ::-1],
    "strided": lambda a: a[::2, 1::2],
    "broadcast": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
    "empty": lambda a: a[:0],
    "scalar": lambda a: a[1, 1, ...],
    "single": lambda a: a.astype(np.float32),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=str)
def test_flat(view, dtype):
    values = view(np.arange(12.0).reshape(3, 4))
    values.flags.writeable = False
    result = flat(values, dtype)
    assert result.dtype == dtype
    assert result.dtype.isnative
    assert result.flags.c_contiguous
    assert result.flags.aligned
    assert result.ndim == 1
    assert result.tolist() == values.ravel().tolist()


def test_flat_does_not_copy_without_need():
    values = np.ones((3, 4))
    assert np.shares_memory(flat(values, DOUBLE), values)
    assert not np.shares_memory(flat(values.T, DOUBLE), values)


def test_flat_does_not_warn():
    assert flat(np.array([1e300]), SINGLE).tolist() == [math.inf]
    signalling = np.array([0x7FA00000], np.uint32).view(np.float32)
    assert np.isnan(flat(signalling, DOUBLE)).all()


# check_out


def test_good_outputs_come_back():
    for out in (
        np.ones((3, 4)),
        np.ones((4, 3)).T,
        np.ones((6, 8))[::2, ::-2],
        np.ones((3, 1, 4))[:, 0],
    ):
        assert check_out(out, (3, 4), DOUBLE) is out
    assert check_out(np.ones(()), (), DOUBLE).shape == ()
    assert check_out(np.ones((0, 3)), (0, 3), DOUBLE).size == 0


@pytest.mark.parametrize(
    ("out", "error", "says"),
    [
        ([1.0, 2.0], DTypeError, "is a list"),
        (np.float64(1), DTypeError, "is a float64"),
        (np.ones(2, np.float32), DTypeError, "float32, the result has float64"),
        (np.ones(2, ">f8"), DTypeError, ">f8"),
        (np.ma.ones(2), DTypeError, "masked"),
        (np.ones(3), ShapeError, r"\(3,\), the result has \(2,\)"),
        (np.ones((2, 1)), ShapeError, r"\(2, 1\)"),
        (np.broadcast_to(np.ones(()), (2,)), ShapeError, "read-only"),
    ],
    ids=["list", "scalar", "dtype", "order", "masked", "size", "shape", "read-only"],
)
def test_bad_outputs_are_refused_in_one_line(out, error, says):
    with pytest.raises(error, match=f"^[^\n]*out[^\n]*{says}[^\n]*$"):
        check_out(out, (2,), DOUBLE)


@given(st.data())
def test_outputs_that_overlap_themselves_are_refused(data):
    shape = data.draw(nps.array_shapes(max_dims=3, max_side=4))
    steps = data.draw(st.tuples(*[st.integers(0, 9)] * len(shape)))
    room = np.zeros(128)
    out = np.lib.stride_tricks.as_strided(room, shape, [8 * s for s in steps])
    places = {
        sum(i * s for i, s in zip(index, steps, strict=True)) for index in np.ndindex(shape)
    }
    try:
        check_out(out, shape, DOUBLE)
    except ShapeError:
        # Interleavings without a shared element are refused too, plain slices are not.
        assert len(places) < out.size or len(shape) > 1
    else:
        assert len(places) == out.size


# overlaps


def cells(view, room):
    start = (view.ctypes.data - room.ctypes.data) // 8
    return [start + i * view.strides[0] // 8 for i in range(view.size)]


def slices(size):
    return st.slices(size)


@given(slices(12), slices(12))
def test_sharing_against_the_cells(place, other):
    room = np.arange(12.0)
    one, two = room[place], room[other]
    common = set(cells(one, room)) & set(cells(two, room))
    assert share(one, two) >= bool(common)
    assert not (share(one, two) and not np.may_share_memory(one, two))


def test_sharing_examples():
    room = np.arange(8.0)
    square = room.reshape(2, 4)
    assert not share(room, room.copy())
    assert not share(room[::2], room[1::2])
    assert share(room, room)
    assert share(room, room[::-1])
    assert share(room[1:], room[:-1])
    assert share(room.view(np.float32)[::2], room)
    assert share(square, square[:1])
    assert share(square.T, square)
    assert not share(room[:0], room)


def test_masked_arrays_need_not_be_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy.ma", raising=False)
    assert operand([1.0], "x").tolist() == [1.0]
