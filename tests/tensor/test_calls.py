"""Compiled Functions that are called with tensors."""

import gc
import weakref

import numpy as np
import pytest

import symgrad as sg
from symgrad import ShapeError, UnsupportedError, tensor


@pytest.fixture
def xy():
    return tensor(2.0, requires_grad=True), tensor(3.0, requires_grad=True)


def test_gradient_in_one_kernel(xy):
    x, y = xy
    f = sg.compile("f(x, y) = y*log(x) + sin(y)")
    z = f(x, y)
    assert f.kernels == []
    z.backward()
    assert f.kernels == ["gradient"]
    assert z.item() == float(f(2.0, 3.0))
    assert x.grad.item() == 1.5
    assert y.grad.item() == pytest.approx(np.log(2) + np.cos(3), rel=1e-15)


def test_other_operators_around_a_call(xy):
    x, y = xy
    f = sg.compile("f(x, y) = x*y + x")
    z = f(x * 2, f(x, y)) * f(y, x) + f(x, x)
    z.backward()
    a, b = 2.0, 3.0
    inner = a * b + a
    value = (2 * a * inner + 2 * a) * (a * b + b) + a * a + a
    assert z.item() == value
    da = (
        (2 * inner + 2 * a * (b + 1) + 2) * (a * b + b)
        + (2 * a * inner + 2 * a) * b
        + 2 * a
        + 1
    )
    db = 2 * a * a * (a * b + b) + (2 * a * inner + 2 * a) * (a + 1)
    assert x.grad.item() == pytest.approx(da, rel=1e-15)
    assert y.grad.item() == pytest.approx(db, rel=1e-15)


def test_names_numbers_and_arrays():
    f = sg.compile("f(x, a) = a*x**2")
    a = tensor(3.0, requires_grad=True)
    z = f(np.array([1.0, 2.0]), a=a)
    assert z.shape == (2,)
    z.backward(tensor([1.0, 10.0]))
    assert a.grad.item() == 41.0
    assert f(2.0, a).item() == 12.0
    assert f([1.0, 2.0], a).tolist() == [3.0, 12.0]


def test_shapes_are_checked_at_the_call():
    f = sg.compile("f(x, y) = x*y")
    with pytest.raises(ShapeError, match=r"the shapes of x \(2,\) and y \(3,\)"):
        f(sg.ones(2, requires_grad=True), sg.ones(3))


def test_reductions():
    f = sg.compile("f(x, a) = a*sum(x) + x")
    x, a = sg.ones(3, requires_grad=True), tensor(2.0, requires_grad=True)
    z = f(x, a)
    assert z.shape == (3,)
    z.sum().backward()
    assert z.tolist() == [7.0] * 3
    assert x.grad.tolist() == [7.0] * 3
    assert a.grad.item() == 9.0
    loss = sg.compile("f(x, a) = mean((x - a)**2)")(x, a)
    assert loss.shape == ()


def test_several_results(xy):
    x, y = xy
    f = sg.compile("u = x*y; v = x - y", inputs=["x", "y"], outputs=["u", "v"])
    u, v = f(x, y)
    assert repr(u) == "tensor(6., grad_fn=<uBackward>)"
    (u * v).backward()
    assert (x.grad.item(), y.grad.item()) == (6.0 * 1 - 1 * 3, -6.0 - 2)
    x.grad = None
    f(x, y)[1].backward()
    assert x.grad.item() == 1.0
    with sg.no_grad():
        assert [t.item() for t in f(x, y)] == [6.0, -1.0]


def test_derivatives_can_be_called(xy):
    x, y = xy
    f = sg.compile("f(x, y) = x**3*y")
    dx, dy = sg.grad(f)(x, y)
    assert (dx.item(), dy.item()) == (36.0, 8.0)
    (dx * dy).backward()
    assert x.grad.item() == 6 * 2 * 3 * 8.0 + 36 * 12.0
    value, slope = sg.value_and_grad(f, wrt="x")(x, y)
    assert (value.item(), slope.item()) == (24.0, 36.0)
    with sg.no_grad():
        assert sg.hessian(f)(x, y).shape == (2, 2)
    with pytest.raises(UnsupportedError, match="matrix of derivatives"):
        sg.hessian(f)(x, y)


def test_functions_are_not_kept_alive(xy):
    f = sg.compile("f(x, y) = x*y")
    f(*xy).backward()
    watch = weakref.ref(f)
    del f
    gc.collect()
    assert watch() is None


def test_chains_of_calls(xy):
    x, _ = xy
    f = sg.compile("f(x) = x - 0.01*x")
    y = x
    for _ in range(1000):
        y = f(y)
    y.backward()
    assert x.grad.item() == pytest.approx(0.99**1000, rel=1e-12)


def test_float32():
    f = sg.compile("f(x, y) = x*y")
    x = tensor(np.ones(2, np.float32), requires_grad=True)
    z = f(x, 0.1)
    z.sum().backward()
    assert z.dtype == x.grad.dtype == sg.float32
