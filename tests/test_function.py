"""Functions: calling them, their derivatives, and everything that can be read from them."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import identical

import symgrad as sg
from symgrad import compiler
from symgrad.errors import ArgumentError, DTypeError, ShapeError, UnsupportedError

F = sg.compile("f(x, y, a) = a*x*x + y*y*y - x/y")
G = sg.grad(F)
V = sg.value_and_grad(F)
LOSS = sg.compile("f(x, y, a) = mean((a*x - y)**2) + sum(a*x)")
STEPS = sg.compile("u = x + y; v = u*x; z = u*v")


def numpy_value(x, y, a):
    return a * x * x + y * y * y - x / y


def numpy_gradient(x, y, a):
    shape = np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(a))
    parts = (2 * a * x - 1 / y, 3 * y * y + x / (y * y), x * x)
    return [
        unbroadcast(np.broadcast_to(p, shape), np.shape(v))
        for p, v in zip(parts, (x, y, a), strict=True)
    ]


def unbroadcast(value, shape):
    value = np.sum(value, axis=tuple(range(np.ndim(value) - len(shape))))
    over = tuple(k for k, n in enumerate(shape) if n == 1 and value.shape[k] != 1)
    return np.sum(value, axis=over, keepdims=True) if over else value


# Calling


def test_arguments_by_position_and_by_name() -> None:
    expected = numpy_value(2.0, 3.0, 5.0)
    for got in (F(2.0, 3.0, 5.0), F(2.0, 3.0, a=5.0), F(a=5.0, y=3.0, x=2.0), F(2, y=3, a=5)):
        assert got == expected
        assert type(got) is np.float64


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing arguments x, y, a: the inputs are x, y, a"),
        ((1.0, 2.0), {}, "missing argument a"),
        ((1.0,), {"a": 2.0}, "missing argument y"),
        ((1.0, 2.0, 3.0, 4.0), {}, "4 arguments given, but the inputs are 3: x, y, a"),
        ((1.0, 2.0, 3.0), {"x": 1.0}, "argument 'x' is given twice"),
        ((1.0, 2.0), {"b": 1.0}, "there is no input 'b'"),
        ((1.0, 2.0), {"aa": 1.0}, "did you mean 'a'"),
    ],
)
def test_wrong_arguments(args, kwargs, message) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        F(*args, **kwargs)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("bad", [None, "1", 1j, [1j], object(), [None], np.array(["a"]), {}])
def test_arguments_that_are_not_numbers(bad) -> None:
    with pytest.raises(DTypeError, match="argument 'y'"):
        F(1.0, bad, 2.0)


def test_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(ShapeError, match="do not broadcast together"):
        F(np.ones(3), np.ones(4), 1.0)


SHAPES = st.lists(st.sampled_from([0, 1, 1, 2, 3]), max_size=4).flatmap(
    lambda full: st.tuples(
        *[
            st.tuples(
                st.integers(0, len(full)), st.lists(st.booleans(), min_size=4, max_size=4)
            ).map(
                lambda choice: tuple(
                    1 if one else n
                    for n, one in zip(full[choice[0] :], choice[1], strict=False)
                )
            )
            for _ in range(3)
        ]
    )
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(SHAPES, st.integers(0, 2**32 - 1))
def test_broadcasting_is_that_of_numpy(shapes, seed) -> None:
    rng = np.random.default_rng(seed)
    values = [rng.uniform(0.5, 2.0, shape) for shape in shapes]
    expected = numpy_value(*values)
    value, gradient = V(*values)
    assert np.shape(value) == np.shape(expected) == np.shape(F(*values))
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    for got, want, given_value in zip(gradient, numpy_gradient(*values), values, strict=True):
        assert np.shape(got) == np.shape(given_value)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    # Bit for bit what numbers give one by one.
    wide = np.broadcast_arrays(*values)
    for index in np.ndindex(wide[0].shape):
        assert np.asarray(value)[index] == F(*(float(w[index]) for w in wide))


def test_number_and_array_kinds() -> None:
    x = np.linspace(0.5, 2, 4)
    expected = numpy_value(x, 2.0, 3.0)
    np.testing.assert_allclose(F(list(x), 2, 3), expected)
    np.testing.assert_allclose(F(tuple(x), True + True, np.int8(3)), expected)
    np.testing.assert_allclose(F(x, np.array(2), np.array([3])), expected)
    np.testing.assert_allclose(F(x[::-1], 2.0, 3.0), expected[::-1])
    np.testing.assert_allclose(F(np.repeat(x, 2)[::2], 2.0, 3.0), expected)
    np.testing.assert_allclose(F(x.astype(">f8"), 2.0, 3.0), expected)
    np.testing.assert_allclose(
        F(np.asfortranarray(np.outer(x, x)), 2.0, 3.0), numpy_value(np.outer(x, x), 2.0, 3.0)
    )
    np.testing.assert_allclose(
        F(np.arange(1, 5), 2, 3), numpy_value(np.arange(1.0, 5), 2.0, 3.0)
    )
    np.testing.assert_allclose(
        F(np.array([True, False]), 2, 3), numpy_value(np.array([1.0, 0.0]), 2.0, 3.0)
    )
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_allclose(F(frozen, 2.0, 3.0), expected)


def test_memory_maps(tmp_path) -> None:
    x = np.memmap(tmp_path / "x.bin", dtype="f8", mode="w+", shape=(5,))
    x[:] = np.arange(1, 6)
    np.testing.assert_allclose(F(x, 2.0, 3.0), numpy_value(np.arange(1.0, 6), 2.0, 3.0))


def test_dtypes() -> None:
    single = np.linspace(0.5, 2, 4, dtype=np.float32)
    assert F(single, single, single).dtype == np.float32
    assert F(single, 2.0, 3).dtype == np.float32
    assert F(single, np.float64(2), 3).dtype == np.float64
    assert F(single, single.astype(float), 3).dtype == np.float64
    assert F(single, np.arange(1, 5), 3).dtype == np.float64
    assert F(np.float32(2), np.float32(2), np.float32(2)).dtype == np.float32
    assert F(single.astype(np.float16), 2.0, 3).dtype == np.float32
    for part in G(single, 2.0, np.float32(3)):
        assert part.dtype == np.float32
    np.testing.assert_allclose(
        F(single, 2.0, 3), numpy_value(single, np.float32(2), np.float32(3)), rtol=1e-6
    )


def test_integers_are_floating_point() -> None:
    assert F(2**70, 1, 1) == float(2**70) ** 2 - float(2**70) + 1
    with pytest.raises(DTypeError, match="too large"):
        F(10**400, 1, 1)


# out=


def test_out() -> None:
    x, y = np.linspace(1, 2, 5), np.linspace(2, 3, 5)
    expected = F(x, y, 2.0)
    out = np.zeros(5)
    assert F(x, y, 2.0, out=out) is out
    np.testing.assert_array_equal(out, expected)
    strided = np.zeros(10)[::2]
    F(x, y, 2.0, out=(strided,))
    np.testing.assert_array_equal(strided, expected)
    backwards = np.zeros(5)
    F(x, y, 2.0, out=backwards[::-1])
    np.testing.assert_array_equal(backwards, expected[::-1])
    zero = np.zeros(())
    F(1.0, 2.0, 3.0, out=zero)
    assert zero == F(1.0, 2.0, 3.0)


def test_out_of_gradients() -> None:
    x, y = np.linspace(1, 2, 5), np.linspace(2, 3, 5)
    expected = G(x, y, 2.0)
    out = (np.zeros(5), np.zeros(5), np.zeros(()))
    G(x, y, 2.0, out=out)
    for got, want in zip(out, expected, strict=True):
        np.testing.assert_array_equal(got, want)
    with pytest.raises(ShapeError, match="a tuple of 3 items, not 2"):
        G(x, y, 2.0, out=out[:2])


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.zeros(4), ShapeError, "shape"),
        (np.zeros((5, 1)), ShapeError, "shape"),
        (np.zeros(5, np.float32), DTypeError, "dtype"),
        (np.zeros(5, int), DTypeError, "dtype"),
        (np.broadcast_to(np.zeros(1), (5,)), ShapeError, "read-only"),
        ([0.0] * 5, DTypeError, "list"),
        (np.lib.stride_tricks.as_strided(np.zeros(1), (5,), (0,)), ShapeError, "share memory"),
    ],
)
def test_out_that_does_not_fit(out, error, message) -> None:
    with pytest.raises(error, match=message):
        F(np.ones(5), 2.0, 3.0, out=out)


def test_out_that_overlaps() -> None:
    for start, stop in ((0, 5), (1, 6), (0, 5)):
        memory = np.linspace(1, 2, 6)
        x = memory[start:stop]
        expected = F(x.copy(), 2.0, 3.0)
        F(x, 2.0, 3.0, out=memory[:5])
        np.testing.assert_array_equal(memory[:5], expected)
    centred = sg.compile("x - mean(x)")
    memory = np.arange(5.0)
    centred(memory, out=memory)
    np.testing.assert_array_equal(memory, [-2, -1, 0, 1, 2])


def test_out_of_a_result_that_is_nested() -> None:
    both = sg.value_and_grad(sg.compile("f(x, y, a) = a*x*y"))
    x, y = np.linspace(1, 2, 5), np.linspace(3, 4, 5)
    value, slope = np.empty(5), np.empty(5)
    result = both(x, y, 2.0, out=(value, (slope, None, None)))
    assert result[0] is value
    assert result[1][0] is slope
    np.testing.assert_array_equal(slope, 2 * y)
    np.testing.assert_array_equal(result[1][1], 2 * x)
    with pytest.raises(ShapeError, match=r"out\[1\] must be a tuple of 3 items, not ndarray"):
        both(x, y, 2.0, out=(value, slope))
    with pytest.raises(ShapeError, match=r"out\[1\]\[0\] has shape"):
        both(x, y, 2.0, out=(value, (np.empty(4), None, None)))
    with pytest.raises(ShapeError, match="stacked"):
        sg.jacobian(sg.compile("x*y"))(x, y, out=np.empty((5, 2)))


def test_out_arrays_that_share_memory_with_each_other() -> None:
    memory = np.empty(5)
    x = np.linspace(1.0, 2.0, 5)
    with pytest.raises(ShapeError, match="share memory"):
        sg.grad(sg.compile("x*y"))(x, x + 1, out=(memory, memory))


def test_out_that_is_summed_into() -> None:
    product = sg.grad(sg.compile("f(x, y) = (x*y)*(x*y)"))
    x, y = np.arange(1.0, 4)[:, None], np.arange(1.0, 5)[None]
    expected = product(x, y)
    out = (x.copy(), y.copy())
    product(*out, out=out)
    for got, want in zip(out, expected, strict=True):
        np.testing.assert_array_equal(got, want)


# Reductions


def test_reductions() -> None:
    x, y = np.linspace(0, 1, 6).reshape(2, 3), np.linspace(1, 2, 3)
    got = LOSS(x, y, 2.0)
    assert type(got) is np.float64
    assert got == pytest.approx(np.mean((2 * x - y) ** 2) + np.sum(2 * x))
    by_x, by_y, by_a = sg.grad(LOSS)(x, y, 2.0)
    np.testing.assert_allclose(by_x, 2 * (2 * x - y) * 2 / 6 + 2)
    np.testing.assert_allclose(by_y, np.sum(-2 * (2 * x - y) / 6, axis=0))
    assert by_a == pytest.approx(np.mean(2 * (2 * x - y) * x) + x.sum())
    assert LOSS(1.0, 2.0, 3.0) == pytest.approx(1 + 3)
    assert LOSS(np.ones((1, 1)), 2.0, 3.0) == pytest.approx(4)
    empty = np.zeros((0, 3))
    total = sg.compile("sum(x)")
    assert total(empty) == 0.0
    assert np.isnan(sg.compile("mean(x)")(empty))
    assert sg.grad(total)(empty)[0].shape == (0, 3)


# Derivatives


def test_gradient_shapes() -> None:
    assert isinstance(G(1.0, 2.0, 3.0), tuple)
    assert sg.grad(F, "x")(1.0, 2.0, 3.0) == 2 * 3 - 0.5
    assert len(sg.grad(F, ("a", "x"))(1.0, 2.0, 3.0)) == 2
    np.testing.assert_allclose(sg.grad(F, ("a", "x"))(1.0, 2.0, 3.0), (1.0, 5.5))
    value, gradient = V(np.ones(3), 2.0, 3.0)
    assert value.shape == gradient[0].shape == (3,)
    assert gradient[1].shape == ()


def test_steps_are_differentiated_by() -> None:
    u, v, x = sg.grad(STEPS, ("u", "v", "x"))(2.0, 3.0)
    assert (u, v, x) == (2 * 5 * 2, 5, 2 * 5 * 2 + 25)
    with pytest.raises(ArgumentError, match="cannot differentiate by 'w'"):
        sg.grad(STEPS, "w")
    speed = sg.compile("speed = x*2; speed*3")
    with pytest.raises(ArgumentError, match="did you mean 'speed'"):
        sg.grad(speed, "sped")
    with pytest.raises(ArgumentError, match="twice"):
        sg.grad(speed, ("x", "x"))
    with pytest.raises(ArgumentError, match="expected a function"):
        sg.grad(lambda x: x)


def test_several_outputs() -> None:
    both = sg.compile({"u": "x*y", "z": "u*u + x"}, outputs=["z", "u"])
    assert both(2.0, 3.0) == (38.0, 6.0)
    by_x, by_y = sg.grad(both)(2.0, 3.0)
    assert (by_x, by_y) == (2 * 6 * 3 + 1 + 3, 2 * 6 * 2 + 2)
    rows = sg.jacobian(both)(2.0, 3.0)
    np.testing.assert_array_equal(rows, [[37.0, 24.0], [3.0, 2.0]])
    arrays = both(np.ones(3), 2.0)
    assert [part.shape for part in arrays] == [(3,), (3,)]


def test_jacobian_and_hessian() -> None:
    x = np.linspace(1, 2, 3)
    assert sg.jacobian(F)(x, 2.0, 3.0).shape == (3, 3)
    assert sg.jacobian(F, "x")(x, 2.0, 3.0).shape == (3,)
    assert sg.jacobian(F, ("y", "a"))(x, 2.0, 3.0).shape == (3, 2)
    np.testing.assert_allclose(
        sg.jacobian(F)(x, 2.0, 3.0), np.stack([2 * 3 * x - 0.5, 12 + x / 4, x * x], axis=-1)
    )
    second = sg.hessian(F)(1.5, 2.0, 3.0)
    np.testing.assert_allclose(second, [[6, 0.25, 3], [0.25, 12 - 2 * 1.5 / 8, 0], [3, 0, 0]])
    assert sg.hessian(F, ("x",))(np.ones((2, 3)), 2.0, 3.0).shape == (2, 3, 1, 1)


def test_matrices() -> None:
    x, y = sp.symbols("x y")
    f = sg.compile(sp.Matrix([[x, y], [x * y, 1], [x**2, sp.sin(y)]]))
    assert f(1.0, 2.0).shape == (3, 2)
    assert f(np.ones(5), 2.0).shape == (5, 3, 2)
    np.testing.assert_allclose(f(3.0, 2.0), [[3, 2], [6, 1], [9, np.sin(2)]])
    assert sg.jacobian(f)(3.0, 2.0).shape == (3, 2, 2)
    np.testing.assert_allclose(sg.jacobian(f)(3.0, 2.0)[1, 0], [2, 3])


def test_values_and_derivatives_of_one_name_are_told_apart() -> None:
    x = np.array([1.0, 2.0])
    f = sg.compile("z = x**3")
    first, second = sg.value_and_grad(sg.grad(f, wrt="x"), wrt="x")(x)
    assert (first.tolist(), second.tolist()) == ([3.0, 12.0], [6.0, 12.0])
    twice = sg.compile("f(x, x_x) = x**2*x_x**3")
    found = sg.hessian(twice)(x, x)
    wanted = [[[2 * t**3, 6 * t**3], [6 * t**3, 6 * t**3]] for t in x]
    np.testing.assert_allclose(found, wanted)


def test_products_of_vectors() -> None:
    x, y, a = np.linspace(1, 2, 4), np.linspace(2, 3, 4), 2.0
    dx, dy, da = np.linspace(0, 1, 4), np.ones(4), 0.5
    value, dot = sg.jvp(F, (x, y, a), (dx, dy, da))
    parts = (2 * a * x - 1 / y, 3 * y * y + x / y**2, x * x)
    np.testing.assert_allclose(value, numpy_value(x, y, a))
    np.testing.assert_allclose(dot, parts[0] * dx + parts[1] * dy + parts[2] * da)
    value, back = sg.vjp(F, x, y, a)
    bars = back(dx)
    np.testing.assert_allclose(bars[0], parts[0] * dx)
    np.testing.assert_allclose(bars[2], np.sum(parts[2] * dx))
    assert bars[2].shape == ()
    product = sg.hvp(F, (1.5, 2.0, 3.0), (1.0, -1.0, 0.5))
    np.testing.assert_allclose(product, sg.hessian(F)(1.5, 2.0, 3.0) @ [1.0, -1.0, 0.5])
    with pytest.raises(ArgumentError, match="one primal and one tangent"):
        sg.jvp(F, (1.0,), (1.0,))
    with pytest.raises(ArgumentError, match="one tangent for each of x, a: the inputs are"):
        sg.hvp(F, (1.0, 2.0, 3.0), (1.0,), wrt=["x", "a"])
    with pytest.raises(ShapeError, match="has shape"):
        back(np.ones(3))


def test_products_by_some_names() -> None:
    point = (1.5, 2.0, 3.0)
    hessian = sg.hessian(F, wrt=["a", "x"])(*point)
    product = sg.hvp(F, point, (1.0, -1.0), wrt=["a", "x"])
    np.testing.assert_allclose(product, hessian @ [1.0, -1.0])
    assert sg.hvp(F, point, (1.0,), wrt="x").shape == ()
    jacobian = sg.jacobian(F, wrt=["a", "x"])(*point)
    value, tangent = sg.jvp(F, point, (1.0, -1.0), wrt=["a", "x"])
    np.testing.assert_allclose((value, tangent), (F(*point), jacobian @ [1.0, -1.0]))
    _, back = sg.vjp(F, *point, wrt=["a", "x"])
    np.testing.assert_allclose(back(2.0), 2 * jacobian)
    assert back(2.0)[0].shape == ()


def test_products_are_functions() -> None:
    x, dx = np.linspace(1, 2, 4), np.linspace(0, 1, 4)
    along, back, hessian = (product(F) for product in (sg.jvp, sg.vjp, sg.hvp))
    assert along.inputs == hessian.inputs == (*F.inputs, *(f"{name}_dot" for name in F.inputs))
    assert back.inputs[:-1] == F.inputs
    arguments = (x, 2.0, 3.0), (dx, 1.0, 0.5)
    assert identical(along(*arguments[0], *arguments[1]), sg.jvp(F, *arguments)[1])
    for found, expected in (
        (hessian(*arguments[0], *arguments[1]), sg.hvp(F, *arguments)),
        (back(*arguments[0], dx), sg.vjp(F, *arguments[0])[1](dx)),
    ):
        assert all(map(identical, found, expected))


def test_the_same_derivative_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    f = sg.compile("sin(x)*y**2")
    first = sg.hvp(f, (1.0, 2.0), (1.0, 0.0))
    monkeypatch.setattr(compiler, "build_graph", None)
    assert sg.hvp(f, (1.0, 2.0), (1.0, 0.0)) == first
    assert sg.grad(f) is sg.grad(f)


def test_transformations_compose() -> None:
    cubic = sg.compile("x**3*y")
    second = sg.grad(sg.grad(cubic, "x"), "x")
    assert second(2.0, 5.0) == 60.0
    assert sg.grad(second, "x")(2.0, 5.0) == 30.0
    assert sg.grad(sg.grad(sg.grad(second, "x"), "x"))(2.0, 5.0) == (0.0, 0.0)
    np.testing.assert_allclose(
        sg.jacobian(sg.grad(cubic))(2.0, 5.0), sg.hessian(cubic)(2.0, 5.0)
    )


def test_functions_without_inputs() -> None:
    three = sg.compile("3")
    assert three() == 3.0
    assert sg.grad(three)() == ()
    assert sg.value_and_grad(three)() == (3.0, ())
    assert three.inputs == ()


def test_outputs_that_do_not_vary() -> None:
    constant = sg.compile("2 + 1", inputs=["x", "y"])
    np.testing.assert_array_equal(constant(np.zeros((2, 3)), 1.0), np.full((2, 3), 3.0))
    np.testing.assert_array_equal(sg.grad(constant)(np.zeros(2), 1.0)[0], np.zeros(2))
    identity = sg.compile("z = x", inputs=["x", "y"])
    np.testing.assert_array_equal(identity(np.arange(3.0), 1.0), np.arange(3.0))
    x = np.arange(3.0)
    assert identity(x, 1.0) is not x
    ones, zeros = sg.grad(identity)(x, np.ones((2, 1)))
    np.testing.assert_array_equal(ones, [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(zeros, [[0.0], [0.0]])


# Several processes and threads

_UNPICKLE = """
import pickle, sys
f, g = pickle.load(sys.stdin.buffer)
assert f.inputs == ("x", "y", "a") and g.outputs == ("x_bar", "y_bar", "a_bar")
print(float(f(2.0, 3.0, 5.0)), [float(v) for v in g(2.0, 3.0, 5.0)])
"""


def test_pickling() -> None:
    data = pickle.dumps((F, G))
    result = subprocess.run(
        [sys.executable, "-c", _UNPICKLE], input=data, capture_output=True, check=True
    )
    expected = f"{float(F(2.0, 3.0, 5.0))} {[float(v) for v in G(2.0, 3.0, 5.0)]}"
    assert result.stdout.decode().strip() == expected


def test_threads_share_a_function() -> None:
    f = sg.value_and_grad(sg.compile("exp(-x)*sin(x*a) + a"))
    x = np.linspace(0, 1, 100)
    results: list = [None] * 8
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait(30)
        results[number] = [f(x, float(k)) for k in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = [f(x, float(k)) for k in range(20)]
    for found in results:
        for (value, gradient), (want, slope) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(value, want)
            np.testing.assert_array_equal(gradient[0], slope[0])
            assert gradient[1] == slope[1]


# Reading


def test_the_record_of_kernels() -> None:
    f = sg.compile("sin(x)*y")
    assert f.kernels == []
    f(1.0, 2.0)
    f(np.ones(3), 2.0)
    assert f.kernels == ["forward"]
    sg.grad(f)(1.0, 2.0)
    assert f.kernels == ["forward", "gradient"]


def test_names() -> None:
    assert (STEPS.inputs, STEPS.outputs, STEPS.intermediates) == (
        ("x", "y"),
        ("z",),
        ("u", "v"),
    )
    assert repr(STEPS) == "<symgrad.Function z(x, y) with steps u, v>"
    assert repr(G) == "<symgrad.Function gradient of f(x, y, a)>"
    assert (
        repr(sg.compile({"u": "x", "v": "x*2"}, outputs=["u", "v"]))
        == "<symgrad.Function (u, v)(x)>"
    )


def test_cost() -> None:
    assert sg.compile("z = y*log(x) + sin(y)").cost() == {"forward": 4, "gradient": 7}


def test_derivatives_in_closed_form() -> None:
    x, y, u, v = sp.symbols("x y u v", real=True)
    assert STEPS.derivative() == u * v
    assert STEPS.derivative("v") == u
    assert STEPS.derivative("u") == v + u * x
    assert sp.expand(STEPS.derivative("x", inline=True) - sp.diff((x + y) ** 2 * x, x)) == 0
    assert (
        sp.expand(STEPS.derivative("x", "y", inline=True) - sp.diff((x + y) ** 2 * x, x, y))
        == 0
    )
    assert STEPS.expression("v") == u * x
    many = sg.compile({"p": "x*y", "q": "x + y"}, outputs=["p", "q"])
    assert many.derivative("x", output="p") == y
    with pytest.raises(ArgumentError, match="name one"):
        many.derivative("x")
    with pytest.raises(ArgumentError, match="no output 'r'"):
        many.derivative("x", output="r")
    with pytest.raises(ArgumentError, match="'w'"):
        STEPS.derivative("w")


def test_latex_and_source() -> None:
    assert sg.compile("z = y*log(x)").latex() == r"z = y \log{\left(x \right)}"
    assert STEPS.latex().startswith(r"\begin{aligned}")
    assert STEPS.latex().count("&=") == 3
    assert STEPS._repr_latex_().startswith("$")
    assert "def forward(x, y):" in STEPS.source()
    assert "u_bar" in STEPS.source("gradient")
    assert "for start in range(0, n, 1024):" in STEPS.source("gradient", arrays=["x"])
    assert "float32" in STEPS.source(dtype="float32")
    with pytest.raises(ArgumentError, match="no kernel"):
        STEPS.source("backward")
    with pytest.raises(ArgumentError, match="no input 'q'"):
        STEPS.source(arrays=["q"])


def test_sources_of_a_function() -> None:
    x = sp.Symbol("x")
    assert sg.compile(x**2)(3.0) == 9.0
    assert sg.compile([x, x**2])(3.0) == (3.0, 9.0)
    assert sg.compile({"u": x + 1, "z": sp.Symbol("u") * 2})(3.0) == 8.0
    assert sg.compile({"u": "x + 1", "z": "u*2"})(3.0) == 8.0
    assert sg.compile(STEPS.program).program == STEPS.program
    for nonsense in (None, 3, b"x", {1, 2}):
        with pytest.raises(UnsupportedError):
            sg.compile(nonsense)


def test_public_names() -> None:
    for name in sg.__all__:
        thing = getattr(sg, name)
        assert inspect.getdoc(thing), name
    assert set(sg.__all__) <= set(dir(sg))
    assert sg.__version__
    with pytest.raises(AttributeError, match="nothing"):
        _ = sg.nothing


def test_import_is_cheap() -> None:
    heavy = "sympy", "numba", "numpy"
    code = f"import sys, symgrad; print([m for m in {heavy} if m in sys.modules])"
    root = str(Path(__file__).parent.parent)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert result.stdout.strip() == "[]"


# What a reader of the whole found


def test_closed_forms_of_sums() -> None:
    loss = sg.compile("loss(a, b, x, y) = mean((a*x + b - y)**2)")
    assert str(loss.derivative("b", arrays=["x", "y"])).startswith("sum(2*")
    assert str(loss.derivative("x")) == "2*a*(a*x + b - y)/count()"
    steps = sg.compile("u = a*x; z = sum(u**2)*sum(u)")
    assert str(steps.derivative("u", arrays=["x"])) == "2*u*sum(u) + sum(u**2)"
    assert str(sg.compile("n*mean(x)").derivative("x", arrays=["x"])) == "n/count()"
    with pytest.raises(ArgumentError, match="list of names"):
        loss.derivative("a", arrays="x")


def test_derivatives_in_notebooks() -> None:
    text = sg.grad(sg.compile("f = x**2*y"))._repr_latex_()
    assert "2 x y" in text
    assert sg.grad(sg.compile("x*y"))._repr_latex_()


def test_inputs_called_out_and_self() -> None:
    assert sg.compile("out*2")(out=3.0) == 6.0
    assert sg.compile("self*2")(self=3.0) == 6.0


def test_a_function_is_compiled_already() -> None:
    f = sg.compile("x**2")
    assert sg.compile(f) is f
    with pytest.raises(ArgumentError, match="not compiled yet"):
        sg.compile(f, outputs=["x"])


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda f: f.source(dtype="float16"), "float16"),
        (lambda f: f.source(arrays="x"), "list of names"),
        (lambda f: f.standalone(points=[]), "not empty"),
        (lambda f: f.standalone(points={"x": 1.0}), "list of mappings"),
        (lambda f: f.standalone(points=[{"x": "1"}]), "a point is a mapping"),
        (lambda f: f.standalone(points=[{"x": -1.0}]), "not finite"),
        (lambda f: sg.grad(f, wrt=0), "not int"),
        (lambda f: f.derivative(1), "no input or step '1'"),
        (lambda f: sg.compile(lambda x: x, outputs=["z"]), "Python function"),
    ],
)
def test_mistakes_are_named(mistake, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        mistake(sg.compile("sqrt(x)"))


def test_fast_out_is_the_general_one() -> None:
    both = sg.value_and_grad(sg.compile("f(x, a) = sum(exp(a*x))"))
    x = np.linspace(0, 1, 50)
    plain = both(x, 2.0)
    total, slope = np.empty(()), np.empty(50)
    value, (x_bar, a_bar) = both(x, 2.0, out=(None, (slope, None)))
    assert x_bar is slope
    assert (value, a_bar) == (plain[0], plain[1][1])
    np.testing.assert_array_equal(slope, plain[1][0])
    assert both(x, 2.0, out=(total, (slope, None)))[0] is total
    assert total == plain[0]
    pointwise = sg.compile("x*a")
    memory = x.copy()
    np.testing.assert_array_equal(pointwise(memory, 2.0, out=memory), 2 * x)
