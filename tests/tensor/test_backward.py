"""Gradients against central differences of the same computation done by NumPy."""

import gc
import itertools
import warnings

import numpy as np
import pytest

import symgrad as sg
from symgrad import AutogradError, ShapeError, tensor

STEP = 1e-3


def gradient_of(function, values, which):
    """Central differences extrapolated twice: exact to about 1e-11."""

    def slope(step):
        found = np.zeros_like(values[which])
        for place in np.ndindex(found.shape):
            ends = []
            for sign in (1, -1):
                moved = [np.array(v, float) for v in values]
                moved[which][place] += sign * step
                ends.append(function(np, *moved))
            found[place] = (ends[0] - ends[1]) / (2 * step)
        return found

    d = [slope(STEP / 2**k) for k in range(4)]
    for order in (1, 2, 3):
        d = [(4**order * b - a) / (4**order - 1) for a, b in itertools.pairwise(d)]
    return d[0]


def check(function, *shapes, tolerance=1e-9):
    rng = np.random.default_rng(5)
    values = [np.asarray(rng.uniform(0.5, 1.5, shape)) for shape in shapes]
    tensors = [tensor(v, requires_grad=True) for v in values]
    loss = function(sg, *tensors)
    assert loss.shape == ()
    loss.backward()
    assert loss.item() == pytest.approx(function(np, *values), rel=1e-14)
    for which, t in enumerate(tensors):
        assert t.grad.shape == values[which].shape
        expected = gradient_of(function, values, which)
        np.testing.assert_allclose(t.grad.numpy(), expected, rtol=tolerance, atol=tolerance)


def diamond(m, x, y):
    a = x * y
    b = m.sin(a) + a
    return (b * a - b / a).sum()


FORMULAS = [
    (lambda m, x, y: (x * y).sum(), [(3, 1), (1, 4)]),
    (lambda m, x, y: (m.exp(x) * y).mean(), [(3, 1), (1, 4)]),
    (lambda m, x, y: (x * y - x).sum(), [(), (5,)]),
    (lambda m, x, y: ((x - y) ** 2).mean(), [(2, 3, 1), (4,)]),
    (lambda m, x: m.sin(x * x.sum()).sum(), [(4,)]),
    (lambda m, x: ((x - x.mean()) ** 2).mean(), [(4,)]),
    (lambda m, x: x.sum() * x.mean(), [(3, 2)]),
    (lambda m, x: x.sum() / x.mean(), [(1,)]),
    (lambda m, x: (x + x * x).sum(), [(1, 1)]),
    (diamond, [(3,), ()]),
    (diamond, [(), ()]),
    (lambda m, x, y: (x**y + y**x).sum(), [(3,), (3,)]),
    (lambda m, x: (2.0**x - x**-3 + x**0.5 - x**1.3 + x**0 + 1 / x - (3 - x)).sum(), [(4,)]),
    (lambda m, x: (-abs(x) + m.tanh(x) % 0.25).sum(), [(3,)]),
    (lambda m, x, y: m.hypot(x, y).sum() + m.maximum(x, y + 9).sum(), [(2, 1), (3,)]),
    (lambda m, x, y: m.where(x > y, x * y, y / x).sum(), [(6,), (6,)]),
]


@pytest.mark.parametrize(("function", "shapes"), FORMULAS)
def test_gradient(function, shapes):
    check(function, *shapes)


def test_gradient_is_exact_to_rounding():
    x = tensor([0.3, 1.7], requires_grad=True)
    (x.sin() * x.log()).sum().backward()
    v = np.array([0.3, 1.7])
    expected = np.cos(v) * np.log(v) + np.sin(v) / v
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-14)


def test_explicit_gradient():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = tensor(3.0, requires_grad=True)
    (x * y).backward(tensor([10.0, 100.0]))
    assert x.grad.tolist() == [30.0, 300.0]
    assert y.grad.item() == 210.0


def test_gradients_accumulate_in_one_tensor():
    x = tensor([1.0, 2.0], requires_grad=True)
    (x * 3).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad is first
    assert first.tolist() == [5.0, 7.0]
    x.grad.zero_()
    assert first.tolist() == [0.0, 0.0]
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad is not first


def test_leaf_root():
    x = tensor(2.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1.0


def test_retained_intermediates():
    x = tensor(2.0, requires_grad=True)
    u = x * 3
    v = u.sin()
    for t in (u, v):
        t.retain_grad()
        assert t.retains_grad
    z = u * v + v * v + u
    z.retain_grad()
    z.backward()
    v_bar = 6.0 + 2 * np.sin(6.0)
    u_bar = np.sin(6.0) + 1 + v_bar * np.cos(6.0)
    assert z.grad.item() == 1.0
    assert v.grad.item() == pytest.approx(v_bar, rel=1e-15)
    assert u.grad.item() == pytest.approx(u_bar, rel=1e-15)
    assert x.grad.item() == pytest.approx(3 * u_bar, rel=1e-15)
    assert u.item() == 6.0


def test_retained_in_several_segments():
    f = sg.compile("z = a**2")
    x = tensor(3.0, requires_grad=True)
    u = x * 2
    u.retain_grad()
    z = f(u) * u + f(u * u)
    z.backward()
    assert u.grad.item() == 3 * 6.0**2 + 4 * 6.0**3
    assert x.grad.item() == 2 * u.grad.item()


def test_detach_and_no_grad_cut_the_history():
    x = tensor(3.0, requires_grad=True)
    (x * (x * x).detach()).backward()
    assert x.grad.item() == 9.0
    x.grad = None
    with sg.no_grad():
        square = x * x
    assert not square.requires_grad
    (x * square).backward()
    assert x.grad.item() == 9.0


def test_only_what_needs_a_gradient_gets_one():
    x, y = tensor(2.0, requires_grad=True), tensor(3.0)
    (x * y).backward()
    assert x.grad.item() == 3.0
    assert y.grad is None


def test_recorded_values_are_those_of_their_time():
    x = tensor(2.0, requires_grad=True)
    z = x * x
    with sg.no_grad():
        x += 1
    z.backward()
    assert z.item() == 4.0
    assert x.grad.item() == 4.0
    data = np.array([1.0, 2.0])
    y = tensor([1.0, 1.0]) * data
    data[:] = 0
    assert y.tolist() == [1.0, 2.0]


def test_both_values_of_a_leaf_in_one_graph():
    x = tensor(2.0, requires_grad=True)
    z = x * x
    with sg.no_grad():
        x += 1
    (z + x * x).backward()
    assert x.grad.item() == 4.0 + 6.0


def test_second_backward():
    x = tensor(2.0, requires_grad=True)
    u = x * x
    z = u.sin()
    z.backward(retain_graph=True)
    z.backward()
    assert x.grad.item() == pytest.approx(8 * np.cos(4.0), rel=1e-15)
    for again in (z, u, z * 2):
        with pytest.raises(
            AutogradError, match="Trying to backward through the graph a second"
        ):
            again.backward()
    assert u.item() == 4.0


def test_what_only_conditions_depend_on_gets_no_gradient():
    x, y = tensor(1.0, requires_grad=True), tensor(2.0, requires_grad=True)
    u = y * 2
    u.retain_grad()
    sg.where(u > x * x, x, 0.0).backward()
    assert x.grad.item() == 1.0
    assert y.grad is None
    assert u.grad is None


def test_conditions_outlive_released_history():
    x = tensor([1.0, -1.0], requires_grad=True)
    u = x * 2
    u.sum().backward()
    x.grad = None
    sg.where(u > 0, x, 0.0).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0]


def test_errors_read_as_in_pytorch():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        tensor(1.0).backward()
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        (x * 2).backward()
    with pytest.raises(
        RuntimeError, match=r"shape of \[2\] and output\[0\] has a shape of \[3\]"
    ):
        (x * 2).backward(tensor([1.0, 2.0]))


def test_grad_of_results_warns():
    x = tensor(1.0, requires_grad=True)
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed"):
        assert (x * 2).grad is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert x.grad is None


def test_float32():
    x = tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    s = tensor(0.1, requires_grad=True)
    z = x * s
    assert z.dtype == sg.float32
    loss = (z * z).sum()
    loss.backward()
    assert loss.dtype == x.grad.dtype == sg.float32
    assert s.grad.dtype == sg.float64
    np.testing.assert_allclose(x.grad.numpy(), [0.02, 0.04], rtol=1e-6)
    both = tensor(np.float32(2.0), requires_grad=True) * tensor(3.0)
    assert both.dtype == sg.float64
    wide = x * tensor([0.1, 0.1])
    assert wide.dtype == sg.float64
    assert wide.tolist() == [np.float64(0.1), np.float64(0.2)]
    single = x.to(sg.float64).to(sg.float32)
    assert single.dtype == sg.float32
    single.sum().backward()


def test_cast_of_gradients():
    x = tensor(2.0, requires_grad=True)
    x.to(sg.float32).sin().backward()
    assert x.grad.dtype == sg.float64
    assert x.grad.item() == pytest.approx(np.cos(2.0), rel=1e-6)


@pytest.mark.parametrize("steps", [10, 100, 2000])
def test_unrolled_loop(steps):
    x0 = tensor(0.3, requires_grad=True)
    x = x0
    value, slope = 0.3, 1.0
    for _ in range(steps):
        x = x + 0.001 * (x.sin() * x - 0.5 * x)
        slope *= 1 + 0.001 * (np.cos(value) * value + np.sin(value) - 0.5)
        value += 0.001 * (np.sin(value) * value - 0.5 * value)
    x.backward()
    assert x.item() == pytest.approx(value, rel=1e-13)
    assert x0.grad.item() == pytest.approx(slope, rel=1e-12)


def test_two_chains_that_meet():
    x0 = tensor(0.3, requires_grad=True)
    x, v = x0, tensor(0.0)
    matrix, state = np.array([[0.99, 0.9], [-0.01, 0.9]]), np.array([1.0, 0.0])
    for _ in range(300):
        v = 0.9 * v - 0.01 * x
        x = x + v
        state = matrix @ state
    x.backward()
    assert x0.grad.item() == pytest.approx(state[0], rel=1e-11)


def test_retained_results_of_a_long_chain():
    x = tensor(1.0, requires_grad=True)
    kept = []
    y = x
    for _ in range(200):
        y = y * 1.01
        y.retain_grad()
        kept.append(y)
    y.backward()
    for place, t in enumerate(kept):
        assert t.grad.item() == pytest.approx(1.01 ** (199 - place), rel=1e-13)


def test_deep_graphs_go_away_without_recursion():
    x = tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1.0
    assert y.item() == 20_001.0
    del y
    y = x
    for _ in range(20_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1.0
    gc.collect()


def test_wrong_shapes_are_refused_where_they_meet():
    with pytest.raises(
        ShapeError, match=r"tensor a \(3\) must match the size of tensor b \(2\) "
    ):
        tensor([1.0, 2.0, 3.0]) + tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match="non-singleton dimension 0"):
        sg.ones(2, 3) * sg.ones(3, 3)
