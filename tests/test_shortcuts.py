"""Shortcuts: what most calls pass goes the short way, everything else gets the same answer."""

from __future__ import annotations

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import symgrad as sg
from symgrad import shortcuts
from symgrad.calculus.transform import Block
from symgrad.compiler import Variant
from symgrad.errors import DTypeError, ShapeError
from symgrad.runtime import buffers
from symgrad.runtime.threads import SHARED

FORMULA = "f(x, y) = exp(-x)*y + x*y"
N = 24
X, Y = np.linspace(0.5, 2.0, N), np.linspace(1.0, 3.0, N)


@pytest.fixture(params=["value", "gradient"])
def function(request, monkeypatch):
    """Return a Function that has been called with arrays, and counts its general calls."""
    made = sg.compile(FORMULA)
    if request.param == "gradient":
        made = sg.value_and_grad(made)
    made(X, Y)
    made(X.astype(np.float32), Y.astype(np.float32))
    general = made._call_arrays
    made.general = 0

    def counted(args, out):
        made.general += 1
        return general(args, out)

    monkeypatch.setattr(made, "_call_arrays", counted)
    return made


def flat(result):
    if isinstance(result, tuple):
        return [array for part in result for array in flat(part)]
    return [result]


def expected(x, y, width):
    """Return value and derivatives by NumPy, in the shapes of `grad`."""
    x, y = (np.asarray(a, np.result_type(x, y, np.float32)) for a in (x, y))
    value = np.exp(-x) * y + x * y
    slopes = (-np.exp(-x) * y + y, np.exp(-x) + x)
    for place, (slope, argument) in enumerate(zip(slopes, (x, y), strict=True)):
        slope = np.broadcast_to(slope, value.shape)
        surplus = slope.ndim - argument.ndim
        axes = tuple(
            axis
            for axis in range(slope.ndim)
            if axis < surplus or (argument.shape[axis - surplus] == 1 < slope.shape[axis])
        )
        total = slope.sum(axis=axes, keepdims=True).reshape(argument.shape) if axes else slope
        slopes = (*slopes[:place], total, *slopes[place + 1 :])
    return [value, *slopes][:width]


def check(function, x, y, general, rtol=1e-14):
    before = function.general
    results = flat(function(x, y))
    assert function.general - before == general
    for got, want in zip(results, expected(x, y, len(results)), strict=True):
        np.testing.assert_allclose(got, want, rtol=rtol)
        assert got.shape == want.shape
        assert got.dtype == np.result_type(x, y, np.float32)
        assert got.flags.writeable or not got.shape


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype)
    memory[:] = array
    assert not memory.flags.aligned
    return memory


@pytest.mark.parametrize(
    ("change", "general"),
    [
        (lambda a: a, 0),
        (lambda a: a.reshape(4, 6), 0),
        (lambda a: a.reshape(2, 3, 4), 0),
        (lambda a: a[3:], 0),
        (lambda a: a[3:5], 0),
        (read_only, 0),
        (lambda a: a[::2], 0),
        (lambda a: a[::-1], 0),
        (lambda a: a.reshape(4, 6).T, 0),
        (lambda a: a.reshape(4, 6)[:, 1:], 0),
        (lambda a: a[:1], 1),
        (lambda a: a[:0], 1),
        (lambda a: a.reshape(4, 6)[:0], 1),
        (lambda a: a[:1].reshape(1, 1), 1),
        (lambda a: a.astype(">f8"), 1),
        (lambda a: a.astype(int), 1),
        (lambda a: np.broadcast_to(a[2], a.shape), 0),
        (unaligned, 0),
    ],
)
def test_arrays_of_all_kinds(function, change, general):
    x, y = change(X), change(Y)
    check(function, x, y, general)
    check(function, x, y, general)


def test_single_precision_has_a_shortcut_too(function):
    x, y = X.astype(np.float32), Y.astype(np.float32)
    check(function, x, y, 0, rtol=1e-6)
    check(function, X, Y, 0)
    check(function, x, Y, 1)
    check(function, X, y, 1)
    check(function, x, y, 0, rtol=1e-6)


def test_columns_of_a_matrix(function):
    table = np.stack([X, Y], axis=1)
    check(function, table[:, 0], table[:, 1], 0)
    check(function, table[:, 0], Y, 0)
    columns = np.asfortranarray(np.stack([X.reshape(4, 6)] * 2))
    check(function, columns[0], Y.reshape(4, 6), 0)
    out = np.full((N, 3), 7.0)
    into = out[:, 0] if len(flat(function(X, Y))) == 1 else (out[:, 0], (out[:, 1], None))
    before = function.general
    function(table[:, 0], table[:, 1], out=into)
    assert function.general == before + 1
    np.testing.assert_array_equal(out[:, 0], flat(function(X, Y))[0])


def test_scattered_elements_over_which_results_are_written(function):
    memory = np.zeros(2 * N)
    memory[::2] = X
    value, *slopes = flat(function(X, Y))
    out = (memory[:N], (np.empty(N), np.empty(N))) if slopes else memory[:N]
    before = function.general
    function(memory[::2], Y, out=out)
    assert function.general == before
    np.testing.assert_array_equal(memory[:N], value)


def test_shapes_that_differ_broadcast_or_are_refused(function):
    check(function, X, Y[:1], 1)
    check(function, X, np.array(2.0), 1)
    check(function, X[:4, None], Y[:4], 1)
    check(function, X.reshape(4, 6), Y[:6], 1)
    with pytest.raises(ShapeError, match="do not broadcast"):
        function(X, Y[:-1])
    with pytest.raises(ShapeError, match="do not broadcast"):
        function(X.reshape(4, 6), Y.reshape(6, 4))


def test_numbers_beside_arrays(function):
    for y in (2.0, 2, np.float64(2.0), np.int64(2)):
        check(function, X, y, 1)
        check(function, X, y, 0)
        check(function, X + 1, y, 0)
    with pytest.raises(DTypeError, match="too large for a double"):
        function(X, 10**400)
    with pytest.raises(DTypeError, match="complex"):
        function(X, Y.astype(complex))


def test_a_single_number_of_numpy_makes_single_precision_double(function):
    x = X.astype(np.float32)
    assert flat(function(x, 2.0))[0].dtype == np.float32
    assert flat(function(x, 2.0))[0].dtype == np.float32
    assert flat(function(x, np.float64(2.0)))[0].dtype == np.float64
    assert flat(function(x, np.float64(2.0)))[0].dtype == np.float64


def test_numbers_in_arrays_are_numbers(function):
    for kind, general in ((float, 1), (np.float32, 1), (int, 1), (">f8", 0), (bool, 1)):
        y = np.array(1, kind)
        check(function, X, y, general)
        check(function, X, y, general if kind is bool else 0)
    x, y = np.array(X[3]), np.array(Y[3])
    for got, want in zip(flat(function(x, y)), expected(x, y, 3), strict=False):
        np.testing.assert_allclose(got, want, rtol=1e-14)
        assert type(got) is np.float64
    with pytest.raises(DTypeError, match="'y' has dtype complex128"):
        function(X, np.array(2j))
    for value in (None, 2.0, [1.0, 2.0]):
        number = np.empty((), object)
        number[()] = value
        with pytest.raises(DTypeError, match="'y' has dtype object"):
            function(X, number)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numbers_in_arrays_keep_their_dtype_beside_tensors(kind):
    f = sg.compile("x + y")
    one = sg.tensor(np.float32(1))
    for _ in range(3):
        for result in (f(one, np.array(1e-9, kind)), f(np.array(1e-9, kind), one)):
            assert result.numpy().dtype == kind
            assert result.item() == kind(1) + kind(1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_either_precision(function, dtype):
    x, y = X.astype(dtype), np.float32(1.25)
    check(function, x, y, 1, rtol=1e-6)
    check(function, x, y, 0, rtol=1e-6)
    check(function, X.astype(np.float32), np.int64(2), 1, rtol=1e-6)
    check(function, X.astype(np.float32), np.int64(2), 1, rtol=1e-6)


def test_subclasses_keep_their_treatment(function):
    class Plain(np.ndarray):
        pass

    class Own(np.ndarray):
        def __array_ufunc__(self, *args, **kwargs):
            raise AssertionError

    before = function.general
    for got, want in zip(
        flat(function(X.view(Plain), Y)), expected(X, Y, function.general + 3), strict=False
    ):
        assert type(got) is np.ndarray
        np.testing.assert_allclose(got, want, rtol=1e-14)
    assert function.general == before + 1
    with pytest.raises(DTypeError, match="own rules"):
        function(X.view(Own), Y)
    with pytest.raises(DTypeError, match="masked"):
        function(np.ma.masked_array(X), Y)


@pytest.mark.parametrize("size", [2, SHARED - 1, SHARED, SHARED + 1, 3 * SHARED + 5])
def test_bits_are_those_of_the_general_path(function, size):
    x, y = np.linspace(0.5, 2.0, size), np.linspace(1.0, 3.0, size)
    quick = flat(function(x, y))
    assert function.general == 0
    for got, want in zip(quick, flat(function._call_arrays((x, y), None)), strict=True):
        np.testing.assert_array_equal(got, want)
    table = flat(function(x[: size // 2 * 2].reshape(2, -1), y[: size // 2 * 2].reshape(2, -1)))
    for got, want in zip(table, quick, strict=True):
        np.testing.assert_array_equal(got.reshape(-1), want[: size // 2 * 2])


# out=


def pooled(shape):
    size = int(np.prod(shape))
    array = buffers.empty(max(size, buffers.LEAST // 8), np.dtype(float))
    assert not array.flags.owndata
    return array[:size].reshape(shape)


@pytest.mark.parametrize("shape", [(N,), (4, 6)])
@pytest.mark.parametrize("make", [np.empty, lambda shape: np.empty((3, *shape))[1], pooled])
def test_results_go_where_they_are_wanted(function, make, shape):
    x, y = X.reshape(shape), Y.reshape(shape)
    value, slopes = make(shape), (make(shape), make(shape))
    out = (value, slopes) if len(flat(function(x, y))) == 3 else value
    result = function(x, y, out=out)
    assert function.general == 0
    assert all(got is want for got, want in zip(flat(result), flat(out), strict=True))
    for got, want in zip(flat(out), flat(function(x, y)), strict=True):
        np.testing.assert_array_equal(got, want)


def test_out_may_be_a_list():
    both = sg.value_and_grad(sg.compile(FORMULA))
    both(X, Y)
    value, slope_x, slope_y = np.empty((3, N))
    for _ in range(2):
        result = both(X, Y, out=[value, [slope_x, slope_y]])
        assert type(result) is tuple
        assert result[1][1] is slope_y


def test_parts_of_one_array_may_receive_the_results():
    both = sg.value_and_grad(sg.compile(FORMULA))
    both(X, Y)
    memory = np.zeros((4, N))
    both(X, Y, out=(memory[0], (memory[3], memory[1])))
    value, (slope_x, slope_y) = both(X, Y)
    np.testing.assert_array_equal(memory, [value, slope_y, np.zeros(N), slope_x])


def test_results_may_overwrite_the_arguments_in_every_way():
    both = sg.value_and_grad(sg.compile(FORMULA))
    value, slopes = both(X, Y)
    size = N - 8
    for place_x, place_y, place_out in itertools.product(range(0, 9, 4), repeat=3):
        memory = np.zeros(2 * N)
        x, y = memory[place_x : place_x + size], memory[N + place_y : N + place_y + size]
        x[:], y[:] = X[:size], Y[:size]
        for start in (0, N - 4, N):
            x[:], y[:] = X[:size], Y[:size]
            out = memory[start + place_out :][:size]
            other = np.empty(size)
            both(x, y, out=(out, (other, None)))
            np.testing.assert_array_equal(out, value[:size])
            np.testing.assert_array_equal(other, slopes[0][:size])


def test_an_argument_may_be_the_result_itself_or_a_view_of_it():
    f = sg.compile(FORMULA)
    want = f(X, Y)
    for out in (X.copy(), X.copy()[:]):
        np.testing.assert_array_equal(f(out, Y, out=out), want)
    for view in (lambda a: a[:], lambda a: np.frombuffer(memoryview(a)), np.asarray):
        memory = X.copy()
        np.testing.assert_array_equal(f(view(memory), Y, out=memory), want)
        memory = X.copy()
        np.testing.assert_array_equal(f(memory, Y, out=view(memory)), want)


def test_what_does_not_fit_is_refused_before_anything_is_written(function):
    three = len(flat(function(X, Y))) == 3

    def out(array):
        return (array, (np.empty(N), np.empty(N))) if three else array

    kept = np.full(N, 7.0)
    with pytest.raises(ShapeError, match=r"has shape \(23,\), the result has \(24,\)"):
        function(X, Y, out=out(kept[1:]))
    with pytest.raises(ShapeError, match=r"has shape \(1, 24\)"):
        function(X, Y, out=out(kept[None]))
    with pytest.raises(ShapeError, match="read-only"):
        function(X, Y, out=out(read_only(kept)))
    with pytest.raises(DTypeError, match="has dtype float32, the result has float64"):
        function(X, Y, out=out(kept.astype(np.float32)))
    with pytest.raises(DTypeError, match="has dtype >f8"):
        function(X, Y, out=out(kept.astype(">f8")))
    with pytest.raises(DTypeError, match="masked"):
        function(X, Y, out=out(np.ma.masked_array(kept)))
    with pytest.raises(DTypeError, match=r"is a list: pass a numpy\.ndarray"):
        function(X, Y, out=out([7.0] * N))
    with pytest.raises(ShapeError, match="elements that share memory"):
        function(X, Y, out=out(np.lib.stride_tricks.as_strided(kept, (N,), (0,))))
    if three:
        with pytest.raises(ShapeError, match="must be a tuple of 2 items"):
            function(X, Y, out=kept)
        with pytest.raises(ShapeError, match=r"out\[1\] must be a tuple of 2 items, not 3"):
            function(X, Y, out=(kept, (kept, kept, kept)))
        with pytest.raises(ShapeError, match="two of the arrays in out= share memory"):
            function(X, Y, out=(kept, (kept, np.empty(N))))
        memory = np.full(2 * N, 7.0)
        with pytest.raises(ShapeError, match="two of the arrays in out= share memory"):
            function(X, Y, out=(kept, (memory[:N], memory[N - 1 : -1])))
        assert (memory == 7.0).all()
    assert (kept == 7.0).all()


def test_errors_about_out_are_value_errors_of_one_line():
    f = sg.compile(FORMULA)
    f(X, Y)
    with pytest.raises(ValueError, match=r"^out has shape \(5,\), the result has \(24,\)$"):
        f(X, Y, out=np.empty(5))


def test_many_arrays_are_compared_by_their_owners():
    names = [f"x{k}" for k in range(12)]
    f = sg.value_and_grad(sg.compile("f(" + ", ".join(names) + ") = " + "*".join(names)))
    args = [np.linspace(1, 2 + k, 5) for k in range(12)]
    value, slopes = f(*args)
    out = (np.empty(5), tuple(np.empty(5) for _ in names))
    f(*args, out=out)
    for got, want in zip(flat(out), flat((value, slopes)), strict=True):
        np.testing.assert_array_equal(got, want)
    into = (np.empty(5), (args[3], *[np.empty(5) for _ in names[1:]]))
    f(*args, out=into)
    for got, want in zip(flat(into), flat((value, slopes)), strict=True):
        np.testing.assert_array_equal(got, want)


# Numbers and other types


def test_numbers():
    both = sg.value_and_grad(sg.compile(FORMULA))
    want = [float(part) for part in expected(np.float64(0.5), np.float64(2.0), 3)]
    for x, y in [(0.5, 2.0), (0.5, 2), (np.float64(0.5), 2.0)]:
        for _ in range(2):
            result = flat(both(x, y))
            np.testing.assert_allclose(result, want, rtol=1e-15)
            assert all(type(part) is np.float64 for part in result)
    with pytest.raises(DTypeError, match="too large for a double"):
        both(0.5, 10**400)
    zero = [np.empty(()) for _ in range(3)]
    both(0.5, 2.0, out=(zero[0], (zero[1], zero[2])))
    np.testing.assert_allclose(zero, want, rtol=1e-15)


def test_one_function_takes_every_type_in_turn():
    f = sg.compile(FORMULA)
    value = f(0.5, 2.0)
    for _ in range(3):
        assert f(0.5, 2.0) == value
        assert f(np.array([0.5, 1.0]), 2.0)[0] == value
        assert f(sg.tensor(0.5), 2.0).item() == value
        assert f([0.5, 1.0], [2.0, 2.0])[0] == value
        assert f(y=2.0, x=0.5) == value
        assert f(0.5, y=np.array([2.0, 3.0]))[0] == value
        with pytest.raises(sg.ArgumentError, match="missing argument y"):
            f(0.5)
        with pytest.raises(sg.ArgumentError, match="3 arguments given"):
            f(0.5, 2.0, 1.0)
        with pytest.raises(sg.ArgumentError, match="a tensor's result is a tensor"):
            f(sg.tensor(0.5), 2.0, out=np.empty(()))


def test_losses_return_numbers_and_arrays():
    both = sg.value_and_grad(sg.compile("f(a, x) = sum(exp(-a*x))"))
    want = both(2.0, X)
    for _ in range(2):
        value, (slope, slopes) = both(2.0, X)
        assert (type(value), type(slope), type(slopes)) == (np.float64, np.float64, np.ndarray)
        assert (value, slope) == (want[0], want[1][0])
        np.testing.assert_array_equal(slopes, want[1][1])


def test_no_kernel_is_compiled_that_the_call_does_not_need():
    f = sg.compile("f(x, y) = x*y + 1")
    f(X[:, None], Y)
    f(X[:1], Y)
    assert set(f._compiled) == {Variant((1, 2), 3), Variant((0, 1), 1)}


def test_the_text_depends_on_the_form_only_and_is_the_documented_one():
    packing = (Block(0), (Block(1), Block(2)))
    text = shortcuts.printed((False, False), (False,) * 3, packing, True)
    assert text == shortcuts.printed((False, False), (False,) * 3, packing, True)
    floats = shortcuts.printed((False, False), (False,) * 3, packing, False)
    assert floats == text.replace("(z0, (z1, z2))", "(one*z0, (one*z1, one*z2))")
    for line in shortcuts.__doc__.splitlines():
        if line.startswith("    ") and line.strip():
            assert line.strip() in text


@pytest.mark.parametrize("backend", ["auto", "jit", "interpreter"])
@pytest.mark.parametrize("formula", ["sum(x*y)", "sum(gamma(x)*y)"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_numbers_are_scalars_whoever_computes_them(backend, formula, dtype):
    both = sg.value_and_grad(sg.compile(formula, backend=backend), wrt="y")
    x = X.astype(dtype)
    bound = both.bind(x, dtype(2.0))
    for call in (lambda: both(x, dtype(2.0)), bound, lambda: both(x[0], dtype(2.0))):
        for _ in range(3):
            assert [type(part) for part in call()] == [dtype, dtype]


def test_shortcuts_are_forgotten_by_pickling_and_shared_by_nobody():
    f = sg.compile(FORMULA)
    f(X, Y)
    again = pickle.loads(pickle.dumps(f))
    assert again._latest is shortcuts.no_shortcut
    np.testing.assert_array_equal(again(X, Y), f(X, Y))


def test_threads_that_call_one_function_with_different_types():
    f = sg.compile(FORMULA)
    want = f(0.5, 2.0), f(X, Y), f(X.astype(np.float32), Y), f(np.ones(3, np.float32), 2)

    fresh = sg.compile(FORMULA)

    def work(_):
        for _ in range(200):
            got = (
                *(fresh(0.5, 2.0), fresh(X, Y)),
                *(fresh(X.astype(np.float32), Y), fresh(np.ones(3, np.float32), 2)),
            )
            for one, other in zip(got, want, strict=True):
                np.testing.assert_array_equal(one, other)
        return True

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(work, range(8)))


@pytest.mark.parametrize("number", [1.5, 2, np.float64(1.5)])
@pytest.mark.parametrize(
    "make",
    [
        sg.jacobian,
        sg.hessian,
        sg.value_grad_and_hessian,
        lambda f: sg.jacobian(f, wrt="x"),
        lambda f: sg.jacobian(f, sparse=True),
    ],
    ids=["jacobian", "hessian", "all", "one", "sparse"],
)
def test_stacked_numbers_are_those_of_the_general_path(make, number):
    made = make(sg.compile(FORMULA))
    long = made(x=number, y=number)
    taken = []
    (shortcut,) = made._shortcuts[type(number), type(number)].values()

    def counted(args, out):
        taken.append(shortcut(args, out))
        return taken[-1]

    made._latest = counted
    short, bound = made(number, number), made.bind(number, number)()
    assert len(taken) == 1
    for a, b, c in zip(*map(flat, (long, short, bound)), strict=True):
        assert type(a) is type(b) is type(c)
        assert a.dtype == b.dtype == c.dtype
        assert a.shape == b.shape == c.shape
        if isinstance(a, np.ndarray):
            assert a.tobytes() == b.tobytes() == c.tobytes()
        else:
            assert (a != b).sum() == (a != c).sum() == 0
