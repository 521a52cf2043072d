"""What is compiled, how often, and what stays in memory."""

import gc
import tracemalloc

import numpy as np
import pytest

import symgrad as sg
from symgrad import tensor
from symgrad.tensor.evaluate import evaluate
from symgrad.tensor.node import LIMIT
from symgrad.tensor.record import read


@pytest.fixture(autouse=True)
def forgotten():
    from symgrad.tensor import record

    record.forward.cache_clear()
    record.gradient.cache_clear()


def train(steps):
    rng = np.random.default_rng(0)
    x = tensor(rng.standard_normal(50))
    y = tensor(3 * x.numpy() + 1)
    w = tensor(0.0, requires_grad=True)
    b = tensor(0.0, requires_grad=True)
    for step in range(steps):
        loss = ((w * x + b - y) ** 2).mean()
        loss.backward()
        rate = 0.1 / (1 + step / 1000)
        with sg.no_grad():
            w -= rate * w.grad
            b -= rate * b.grad
        if step % 2:
            w.grad = b.grad = None
        else:
            w.grad.zero_()
            b.grad.zero_()
    return w, b, loss


def test_a_training_loop_compiles_two_kernels(loaded):
    w, b, loss = train(2000)
    assert len(loaded) == 2
    assert w.item() == pytest.approx(3, rel=1e-14)
    assert b.item() == pytest.approx(1, rel=1e-14)
    assert loss.item() < 1e-28


def test_a_training_loop_does_not_grow():
    train(10)
    gc.collect()
    tracemalloc.start()
    try:
        train(100)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        train(1000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One object left behind in each of the 1000 steps would take 48 bytes or more.
    assert after - before < 40 * 1000


def test_graphs_leave_no_cycles():
    x = tensor(2.0, requires_grad=True)
    z = x.sin() * x
    z.backward()
    del z
    x.grad = None
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            (x.sin() * x).backward()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_numbers_do_not_recompile(loaded):
    x = tensor([1.0, 2.0])
    for number in (2.0, 3, -1.5, 0, 1):
        assert (number * x + number).tolist() == [2.0 * number, 3.0 * number]
        assert (x / 4 - number).tolist() == [0.25 - number, 0.5 - number]
    assert len(loaded) == 2


def test_exponents(loaded):
    x = tensor([1.0, 4.0])
    assert (x**2).tolist() == (x**2.0).tolist() == [1.0, 16.0]
    assert (x**0.5).tolist() == [1.0, 2.0]
    assert len(loaded) == 2
    for exponent in (0, 1.5, 0.25, 100):
        np.testing.assert_allclose((x**exponent).numpy(), [1.0, 4.0**exponent], rtol=1e-15)
    assert len(loaded) == 3


def test_one_kernel_for_value_and_gradient(loaded):
    x = tensor([1.0, 2.0], requires_grad=True)
    u = x * 2
    u.retain_grad()
    loss = (u.sin() * x).sum()
    loss.backward()
    loss.item()
    assert len(loaded) == 1


def test_nothing_is_computed_before_it_is_needed(loaded):
    x = tensor([1.0, 2.0], requires_grad=True)
    y = (x * 2).sin().sum() > 3
    assert y.shape == ()
    assert not loaded
    assert not bool(y)


def test_long_chains_are_computed_on_the_way():
    x = tensor(1.0)
    for _ in range(100_000):
        x = x * 0.9 + 1
        assert x._node.size <= LIMIT
    assert x.item() == pytest.approx(10.0)
    assert x._node.operands == ()


def test_shared_operands_are_counted_once():
    x = tensor(1.0)
    for _ in range(40):
        x = x * x
    assert x.item() == 1.0


def test_structure_is_read_in_order():
    x, y = tensor(1.0), tensor(2.0)
    z = (x * y + 3.0) ** 2
    recorded = read([z._node])
    assert recorded.key == (("mul", -1, -2), ("add", 0, None), ("pow", 1, "2"))
    assert recorded.values() == [1.0, 2.0, 3.0]
    assert evaluate(z._node) == 25.0
    assert z._node.operands == ()
