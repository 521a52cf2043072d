"""Bound calls: looked at once, read afresh and written into the same arrays each time."""

from __future__ import annotations

import numpy as np
import pytest

import symgrad as sg
from symgrad.errors import ArgumentError, DTypeError, ShapeError
from symgrad.runtime.threads import SHARED

FORMULA = "f(x, y) = exp(-x)*y + sin(x*y)"


def flat(result):
    if isinstance(result, tuple):
        return [array for part in result for array in flat(part)]
    return [result]


def arrays(size, dtype=float):
    return np.linspace(0.5, 2.0, size).astype(dtype), np.linspace(1.0, 3.0, size).astype(dtype)


def check(function, call, x, y):
    """Change the arrays in place and compare the bound call with an unbound one."""
    for _ in range(3):
        if isinstance(x, np.ndarray) and x.flags.writeable:
            x += x.dtype.type(1)
        y *= 2
        got = [np.copy(part) for part in flat(call())]
        want = flat(function(np.copy(x), np.copy(y)))
        assert len(got) == len(want)
        for part, whole in zip(got, want, strict=True):
            np.testing.assert_array_equal(part, whole)
            assert part.dtype == np.asarray(whole).dtype


@pytest.mark.parametrize("make", [lambda f: f, sg.grad, sg.value_and_grad])
@pytest.mark.parametrize("size", [0, 1, 2, 1000, SHARED + 1, 9 * SHARED + 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_results_have_the_bits_of_unbound_calls(make, size, threads):
    function = make(sg.compile(FORMULA))
    x, y = arrays(size)
    before = sg.get_num_threads()
    try:
        sg.set_num_threads(threads)
        call = function.bind(x, y=y)
        check(function, call, x, y)
    finally:
        sg.set_num_threads(before)


@pytest.mark.parametrize("size", [2, 3 * SHARED])
def test_results_are_the_same_arrays_each_time(size):
    both = sg.value_and_grad(sg.compile(FORMULA))
    x, y = arrays(size)
    own = both.bind(x, y)
    assert own() is own()
    out = (np.empty(size), (np.empty(size), np.empty(size)))
    given = both.bind(x, y, out=out)
    assert all(a is b for a, b in zip(flat(given()), flat(out), strict=True))
    partly = both.bind(x, y, out=(out[0], (None, None)))
    assert partly()[0] is out[0]
    assert partly()[1][0] is partly()[1][0]


def test_the_way_of_bound_arrays_looks_at_nothing_again(monkeypatch):
    both = sg.value_and_grad(sg.compile(FORMULA))
    x, y = arrays(50)
    call = both.bind(x, y)
    for name in ("_call_arrays", "_validated", "_arguments", "compiled", "__call__"):
        monkeypatch.setattr(sg.Function, name, None)
    call()


@pytest.mark.parametrize("kind", [float, int, np.float64, np.float32, np.int64])
def test_nor_does_that_of_numbers(kind, monkeypatch):
    f = sg.compile(FORMULA)
    x, _ = arrays(50)
    call = f.bind(x, kind(2))
    x += 1
    want = f(x, kind(2))
    for name in ("_call_arrays", "_validated", "_arguments", "compiled", "__call__"):
        monkeypatch.setattr(sg.Function, name, None)
    np.testing.assert_array_equal(call(), want)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.reshape(4, 6),
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a.reshape(4, 6).T,
        lambda a: a.astype(">f8"),
        lambda a: a[:1],
        lambda a: a[:1].reshape(()),
        lambda a: a.astype(np.float32),
        lambda a: np.array(a * 100, int),
    ],
)
def test_every_kind_of_array_is_read_afresh(change):
    for make in (lambda f: f, sg.value_and_grad):
        function = make(sg.compile(FORMULA))
        x, y = map(change, arrays(24))
        check(function, function.bind(x, y), x, y)


def test_arrays_broadcast():
    both = sg.value_and_grad(sg.compile(FORMULA))
    x, y = np.linspace(0, 1, 5)[:, None], np.linspace(1, 2, 4)
    check(both, both.bind(x, y), x, y)


def test_numbers_in_arrays_are_read_afresh_and_looked_at_once(monkeypatch):
    f = sg.compile(FORMULA)
    both = sg.value_and_grad(f)
    x, y = arrays(50)
    number, copied = np.array(2.0), np.array(2, np.int64)
    bound = [f.bind(x, number), both.bind(x, number), both.bind(number, y), f.bind(x, copied)]
    loss = sg.compile("l(a, x) = sum(a*x**2)").bind(number, x)
    for value in (2.0, -3.5):
        number[...] = copied[...] = value
        for call, want in zip(
            bound, (f(x, value), both(x, value), both(value, y), f(x, int(value))), strict=True
        ):
            for got, wanted in zip(flat(call()), flat(want), strict=True):
                np.testing.assert_array_equal(got, wanted)
        assert loss() == sg.compile("l(a, x) = sum(a*x**2)")(value, x)
    for name in ("_call", "_call_arrays", "_validated", "_arguments", "compiled", "__call__"):
        monkeypatch.setattr(sg.Function, name, None)
    for call in (*bound[:3], loss):
        call()


def test_a_number_in_the_array_that_is_written():
    f = sg.compile("x*a")
    x = np.array([1.0, 2.0, 3.0])
    call = f.bind(x.copy(), x[1:2].reshape(()), out=x)
    assert x.tolist() == [2.0, 4.0, 6.0]
    assert call().tolist() == [4.0, 8.0, 12.0]


def test_lists_and_numbers_beside_arrays():
    f = sg.compile(FORMULA)
    y = np.linspace(1.0, 3.0, 3)
    listed = [0.5, 1.0, 1.5]
    call = f.bind(listed, y)
    listed[0] = 4.0
    np.testing.assert_array_equal(call(), f([4.0, 1.0, 1.5], y))
    for x in (0.5, 1, np.float64(0.5), np.float32(0.5), True):
        check(f, f.bind(x, y), x, y)
    call = f.bind(0.5, 2)
    assert call() == f(0.5, 2.0)
    assert type(call()) is np.float64


def test_read_only_arguments():
    f = sg.compile(FORMULA)
    x, y = arrays(10)
    x.flags.writeable = False
    check(f, f.bind(x, y), x, y)


def test_results_into_any_strides():
    f = sg.compile(FORMULA)
    x, y = arrays(12)
    memory = np.zeros((12, 2))
    call = f.bind(x, y, out=memory[:, 1])
    check(f, call, x, y)
    np.testing.assert_array_equal(memory[:, 0], 0.0)
    np.testing.assert_array_equal(memory[:, 1], f(x, y))


def test_results_over_the_arguments():
    step = sg.compile("f(x, y) = x + 0.5*sin(y)")
    x, y = arrays(12)
    want = x.copy()
    call = step.bind(x, y, out=x)
    for _ in range(3):
        want = step(want, y)
        np.testing.assert_array_equal(x, want)
        call()


def test_losses():
    both = sg.value_and_grad(sg.compile("f(a, x) = sum(exp(-a*x))"))
    x = np.linspace(0, 1, 100)
    call = both.bind(2.0, x)
    for _ in range(3):
        x += 0.25
        value, (slope, slopes) = call()
        want = both(2.0, x)
        assert (value, slope) == (want[0], want[1][0])
        assert (type(value), type(slope)) == (np.float64, np.float64)
        np.testing.assert_array_equal(slopes, want[1][1])
    total = np.zeros(())
    call = both.bind(2.0, x, out=(total, (None, None)))
    x += 0.25
    assert call()[0] is total
    assert total == both(2.0, x)[0]


def test_losses_whose_results_are_all_numbers():
    both = sg.value_and_grad(sg.compile("f(a, x) = sum(exp(-a*x))"), wrt="a")
    for dtype in (np.float64, np.float32):
        x = np.linspace(0, 1, 100, dtype=dtype)
        call = both.bind(2.0, x)
        total, slope = np.zeros((), dtype), np.zeros((), dtype)
        into = both.bind(2.0, x, out=(total, slope))
        x += 0.25
        want = both(2.0, x)
        assert call() == want
        assert [type(number) for number in call()] == [dtype, dtype]
        assert into()[0] is total
        assert into()[1] is slope
        assert (total, slope) == want


def test_stacked_results_are_made_anew():
    for function in (
        sg.jacobian(sg.compile(FORMULA)),
        sg.hessian(sg.compile(FORMULA)),
    ):
        x, y = arrays(7)
        check(function, function.bind(x, y), x, y)
        check(function, function.bind(x[::2], y[::2]), x[::2], y[::2])
        with pytest.raises(ShapeError, match="stacked"):
            function.bind(x, y, out=np.empty(7))


def test_a_new_type_of_a_bound_array_beside_a_number_changes_nothing():
    x = np.arange(1.0, 9.0)
    call = sg.compile("x*a").bind(x, np.array(2.0))
    want = call().tolist()
    x.dtype = np.complex128
    assert call().tolist() == want == [2.0 * k for k in range(1, 9)]


def test_inputs_over_which_results_are_written_are_read_first():
    f = sg.compile("x*a")
    memory = np.arange(1.0, 10.0)
    call = f.bind(memory[:-1], 2.0, out=memory[1:])
    assert memory.tolist() == [1.0, *(2.0 * k for k in range(1, 9))]
    call()
    assert memory.tolist() == [1.0, 2.0, *(4.0 * k for k in range(1, 8))]


def test_a_new_shape_of_a_bound_array_changes_nothing():
    f = sg.compile(FORMULA)
    x, y = arrays(12)
    call = f.bind(x, y)
    want = call().copy()
    x.shape = (3, 4)
    np.testing.assert_array_equal(call(), want)


def test_bound_arrays_stay_alive():
    f = sg.compile(FORMULA)
    call = f.bind(*arrays(40000))
    want = call().copy()
    del f
    _ = [np.full(40000, np.nan) for _ in range(4)]
    np.testing.assert_array_equal(call(), want)


def test_an_input_may_be_called_out():
    assert sg.compile("out*2").bind(out=np.array([3.0, 4.0]))().tolist() == [6.0, 8.0]


def test_errors_come_when_binding_and_nothing_is_written():
    f = sg.compile(FORMULA)
    x, y = arrays(12)
    kept = np.full(12, 7.0)
    with pytest.raises(ArgumentError, match="missing argument y"):
        f.bind(x)
    with pytest.raises(ArgumentError, match="no input 'w'"):
        f.bind(x, w=y)
    with pytest.raises(ShapeError, match="do not broadcast"):
        f.bind(x, y[1:], out=kept)
    with pytest.raises(ShapeError, match=r"^out has shape \(11,\), the result has \(12,\)$"):
        f.bind(x, y, out=kept[1:])
    with pytest.raises(DTypeError, match="out has dtype float32"):
        f.bind(x, y, out=kept.astype(np.float32))
    with pytest.raises(DTypeError, match="argument 'y' has dtype complex128"):
        f.bind(x, y * 1j, out=kept)
    with pytest.raises(ArgumentError, match="bind is for arrays and numbers, 'y' is a tensor"):
        f.bind(x, sg.tensor(2.0))
    both = sg.value_and_grad(f)
    with pytest.raises(ShapeError, match="two of the arrays in out= share memory"):
        both.bind(x, y, out=(kept, (kept, None)))
    assert (kept == 7.0).all()
    with pytest.raises(TypeError):
        f.bind(x, y)(x)


def test_repr():
    call = sg.compile("f(x) = x*x").bind(np.ones(3))
    assert repr(call) == "<bound call of <symgrad.Function f(x)>>"
    assert call.function.inputs == ("x",)
