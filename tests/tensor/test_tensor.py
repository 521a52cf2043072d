import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import symgrad as sg
from symgrad import AutogradError, DTypeError, ShapeError, UnsupportedError, tensor


@pytest.fixture
def x():
    return tensor([1.0, 2.0, 3.0], requires_grad=True)


def test_data_is_copied_and_typed():
    data = np.array([1.0, 2.0])
    t = tensor(data)
    data[0] = 9
    assert t.tolist() == [1.0, 2.0]
    assert tensor(2.5).dtype == tensor([[1.0]]).dtype == sg.float64
    assert tensor(2).dtype == tensor(np.int8(2)).dtype == sg.int64
    assert tensor([True]).dtype == sg.bool_
    assert tensor(np.float16(0.5)).dtype == sg.float32
    assert tensor([1, 2], dtype=sg.float32).dtype == sg.float32
    assert tensor(tensor([1.0], requires_grad=True)).requires_grad is False
    assert tensor([tensor(1.0), tensor(2.0, requires_grad=True)]).tolist() == [1.0, 2.0]
    assert tensor(3.7, dtype=sg.int64).item() == 3


@pytest.mark.parametrize("data", [1j, None, "1.0", [[1.0], [2.0, 3.0]], [1j], object()])
def test_other_data_is_refused(data):
    with pytest.raises((DTypeError, ShapeError)):
        tensor(data)


def test_other_types_are_refused():
    with pytest.raises(DTypeError, match="cannot have dtype int8"):
        tensor(1.0, dtype=np.int8)
    for data in (1, True, [1, 2]):
        with pytest.raises(RuntimeError, match="only Tensors of floating point dtype"):
            tensor(data, requires_grad=True)


def test_shape_and_size():
    t = sg.zeros(2, 3)
    assert t.shape == t.size() == (2, 3)
    assert (t.ndim, t.dim(), t.numel(), len(t), t.size(1)) == (2, 2, 6, 2, 3)
    assert (t.sum().shape, (t * sg.ones(4, 1, 3)).shape) == ((), (4, 2, 3))


def test_values(x):
    assert tensor(2.5).item() == 2.5
    assert type(tensor(2).item()) is int
    assert tensor([True]).item() is True
    assert float(tensor([2.0])) == 2.0
    assert int(tensor(2.7)) == 2
    assert [10, 20, 30][tensor(1)] == 20
    assert x.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(RuntimeError, match="a Tensor with 3 elements cannot be converted"):
        x.item()
    with pytest.raises(ValueError, match="only one element tensors"):
        float(x)
    with pytest.raises(TypeError, match="only integer tensors"):
        range(3)[tensor(1.0)]


def test_truth(x):
    assert tensor(1.0)
    assert not tensor([0.0])
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        bool(x)
    with pytest.raises(RuntimeError, match="no values is ambiguous"):
        bool(tensor([]))


def test_arrays_are_views_that_cannot_be_written(x):
    with pytest.raises(RuntimeError, match=r"Use tensor.detach\(\).numpy\(\) instead"):
        x.numpy()
    array = x.detach().numpy()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    assert np.asarray(tensor([1, 2])).dtype == np.int64
    assert np.asarray(tensor([1.0]), dtype=np.float32).dtype == np.float32
    fresh = np.array(tensor([1.0]))
    fresh[0] = 2.0


def test_operators_with_numbers_and_arrays(x):
    a = np.array([1.0, 2.0, 4.0])
    v = np.array([1.0, 2.0, 3.0])
    for made, expected in [
        (x + a, v + a),
        (a + x, v + a),
        (a - x, a - v),
        (x - a, v - a),
        (a * x, v * a),
        (x / a, v / a),
        (a / x, a / v),
        (a**x, a**v),
        (x**a, v**a),
        (2 - x, 2 - v),
        (2 / x, 2 / v),
        (2**x, 2**v),
        (7 % x, 7 % v),
        (np.float64(2) * x, 2 * v),
        (x * np.float32(2), 2 * v),
        (np.sin(x), np.sin(v)),
        (np.maximum(x, 2.0), np.maximum(v, 2)),
        (-x, -v),
        (+x, v),
        (abs(-x), v),
        (x * True, v),
    ]:
        assert isinstance(made, sg.Tensor)
        assert made.requires_grad
        np.testing.assert_allclose(made.detach().numpy(), expected, rtol=1e-15)
    assert np.sum(x).item() == 6.0
    assert np.mean(x).item() == 2.0


def test_comparisons(x):
    assert (x > 1.5).tolist() == [False, True, True]
    assert (x <= np.array([1.0, 1.0, 5.0])).tolist() == [True, False, True]
    assert ((x > 1) & ~(x == 3)).tolist() == [False, True, False]
    assert ((x < 2) | (x != 2)).tolist() == [True, False, True]
    assert (x > 1).dtype == sg.bool_
    assert not (x > 1).requires_grad
    assert (x == None) is False  # noqa: E711
    assert len({x, x, tensor(1.0)}) == 2
    assert (tensor([1, 2]) + 1).dtype == sg.float64


def test_other_operands_are_refused(x):
    for other in ("a", [1.0, 2.0, 3.0], 1j, None):
        with pytest.raises(TypeError, match="unsupported operand"):
            x + other
    with pytest.raises(DTypeError, match="integer too large"):
        x * 10**400
    with pytest.raises(DTypeError, match="not real numbers"):
        x * np.array([1j])
    with pytest.raises(TypeError, match="matrix products"):
        x @ x


def test_reductions_are_whole(x):
    for refused in (lambda: x.sum(0), lambda: x.mean(dim=0), lambda: np.sum(x, axis=0)):
        with pytest.raises(UnsupportedError, match="over all elements"):
            refused()


def test_a_power_of_zero_keeps_its_points():
    x = tensor([1.0, 2.0, 4.0], requires_grad=True)
    assert (x**0).sum().item() == 3.0


def test_sums_count_points_of_what_cancels():
    x = tensor([1.0, 2.0, 4.0], requires_grad=True)
    assert (x / x).sum().item() == 3.0
    assert (x - x + tensor([[1.0], [2.0]])).sum().item() == 9.0


def test_in_place_keeps_identity_and_leafs(x):
    same = x
    with sg.no_grad():
        x -= 0.5
        x *= 2
        x /= tensor([1.0, 2.0, 5.0])
        x += x
    assert x is same
    assert x.is_leaf
    assert x.requires_grad
    np.testing.assert_allclose(x.detach().numpy(), [2.0, 3.0, 2.0])
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used"):
        x += 1
    with pytest.raises(RuntimeError, match="a leaf Variable"):
        x.zero_()


def test_in_place_on_results_rebinds_history(x):
    y = x * 2
    z = y
    y += x
    assert z is y
    assert repr(y.grad_fn) == "<AddBackward0>"
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]
    buffer = tensor(0.0)
    buffer += x.sum()
    assert buffer.requires_grad
    with sg.no_grad(), pytest.raises(RuntimeError, match="cannot be changed in place"):
        buffer += 1


def test_in_place_keeps_shape_and_type():
    t = tensor(1.0)
    with pytest.raises(ShapeError, match=r"output with shape \[\] doesn't match the broadcast"):
        t += tensor([1.0, 2.0])
    n = tensor([1, 2])
    with pytest.raises(TypeError, match="can't be cast to the desired output type int64"):
        n += 1
    single = tensor(np.ones(2, np.float32))
    single += tensor([1.0, 1.0])
    assert single.dtype == sg.float32
    assert n.fill_(7).tolist() == [7, 7]
    assert t.copy_(5).item() == 5.0
    assert sg.zeros(2, 2).copy_([1.0, 2.0]).tolist() == [[1.0, 2.0]] * 2


def test_requires_grad(x):
    y = x * 2
    assert not y.is_leaf
    assert x.is_leaf
    with pytest.raises(RuntimeError, match="only change requires_grad flags of leaf"):
        y.requires_grad = False
    y.requires_grad_()
    t = (tensor([1.0]) * 2).requires_grad_()
    assert t.is_leaf
    (t * t).sum().backward()
    assert t.grad.tolist() == [4.0]
    t.requires_grad = False
    assert not (t * 2).requires_grad
    assert t.grad.tolist() == [4.0]
    with pytest.raises(RuntimeError, match="only Tensors of floating point"):
        tensor([1]).requires_grad_()
    with pytest.raises(RuntimeError, match="can't retain_grad"):
        t.retain_grad()


def test_grad_can_be_set(x):
    assert x.grad is None
    x.grad = tensor([1.0, 1.0, 1.0])
    x.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(RuntimeError, match="attempting to assign a gradient of size"):
        x.grad = tensor([1.0])
    with pytest.raises(TypeError, match="expected to be a Tensor or None"):
        x.grad = 3.0
    plain = tensor(1.0)
    plain.grad = None
    plain.grad = tensor(2.0)
    plain += 1
    assert plain.grad.item() == 2.0


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda x: x + 1, "AddBackward0"),
        (lambda x: x - 1, "SubBackward0"),
        (lambda x: 1 - x, "RsubBackward1"),
        (lambda x: x * x, "MulBackward0"),
        (lambda x: x / 2, "DivBackward0"),
        (lambda x: 1 / x, "MulBackward0"),
        (lambda x: -x, "NegBackward0"),
        (lambda x: x**2, "PowBackward0"),
        (lambda x: x**1.3, "PowBackward0"),
        (lambda x: x**x, "PowBackward1"),
        (lambda x: 2**x, "PowBackward2"),
        (lambda x: x.log(), "LogBackward0"),
        (lambda x: x.log1p(), "Log1PBackward0"),
        (lambda x: x.sum(), "SumBackward0"),
        (lambda x: x.mean(), "MeanBackward0"),
        (lambda x: x.clone(), "CloneBackward0"),
        (lambda x: x.to(sg.float32), "ToCopyBackward0"),
        (lambda x: sg.maximum(x, x), "MaximumBackward0"),
        (lambda x: sg.where(x > 0, x, x), "WhereBackward0"),
        (lambda x: sg.atan2(x, x), "Atan2Backward0"),
        (lambda x: sg.mod(x, x), "RemainderBackward1"),
        (lambda x: x % 2, "RemainderBackward0"),
        (lambda x: sg.clip(x, 0, 1), "ClampBackward1"),
        (lambda x: sg.clip(x, x, x), "ClampBackward0"),
    ],
)
def test_grad_fn_is_named_as_in_pytorch(x, make, name):
    made = make(x)
    assert made.grad_fn.name() == name
    assert made.grad_fn == made.grad_fn
    (made * 1).sum().backward()
    assert repr(made.grad_fn) == f"<{name}>"
    assert x.grad_fn is None


def test_detach_clone_and_data(x):
    y = (x * 2).detach()
    assert y.is_leaf
    assert y.tolist() == [2.0, 4.0, 6.0]
    c = x.clone()
    with sg.no_grad():
        x.zero_()
    assert c.tolist() == [1.0, 2.0, 3.0]
    c.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]
    x.data = tensor([5.0, 5.0, 5.0])
    x.data -= 1
    assert x.tolist() == [4.0, 4.0, 4.0]
    assert x.requires_grad


def test_indexing_is_for_values(x):
    with pytest.raises(UnsupportedError, match="does not carry gradients"):
        x[0]
    with pytest.raises(UnsupportedError, match="does not carry gradients"):
        x.T  # noqa: B018
    values = x.detach()
    assert values[1].item() == 2.0
    assert [t.item() for t in values] == [1.0, 2.0, 3.0]
    assert tensor([[1.0, 2.0]]).T.tolist() == [[1.0], [2.0]]
    for refused in (len, iter):
        with pytest.raises(TypeError, match="0-d tensor"):
            refused(tensor(1.0))


def test_copies_and_pickles(x):
    for again in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
        assert again is not x
        assert again.tolist() == x.tolist()
        assert again.requires_grad
    with pytest.raises(AutogradError, match="Only Tensors created explicitly"):
        copy.deepcopy(x * 2)


def test_threads_may_share_a_recorded_value():
    t = tensor(np.linspace(0, 1, 1000)) * 2
    for _ in range(20):
        t = t * 0.5 + 1  # each round compiles a longer kernel: without functions that is quick
        with ThreadPoolExecutor(4) as pool:
            sums = list(pool.map(lambda number, t=t: (t * number).sum().item(), [1] * 8))
        assert len(set(sums)) == 1
