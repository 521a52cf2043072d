import subprocess
import sys

import numpy as np
import pytest

import symgrad as sg
from symgrad import tensor
from symgrad.language.functions import FUNCTIONS, NAMES, REDUCTIONS


def test_every_name_of_the_table_is_exported():
    from symgrad import _HOMES

    assert set(_HOMES["tensor.functions"]) == {*NAMES, "pi", "e", "inf", "nan"}
    for name in NAMES:
        assert getattr(sg, name).__name__ == name
    assert (sg.pi, sg.e, sg.inf) == (np.pi, np.e, np.inf)
    assert np.isnan(sg.nan)


@pytest.mark.parametrize(
    "op",
    [
        op
        for op, row in FUNCTIONS.items()
        if row.callable and row.arity == (1, 1) and op not in ("var", "std")
    ],
)
def test_functions_of_one_operand(op):
    function = getattr(sg, op)
    at = 1.5 if op.startswith("acosh") else 0.4
    x = tensor(at, requires_grad=True)
    z = function(x)
    z.backward()
    assert z.item() == function(at)
    h = 1e-6
    slope = (function(at + h) - function(at - h)) / (2 * h)
    assert x.grad.item() == pytest.approx(slope, rel=1e-7, abs=1e-8)
    array = function(np.array([at, at]))
    assert isinstance(array, np.ndarray) or op in REDUCTIONS


def test_functions_of_several_operands():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert sg.clip(x, 1.5, 2.5).tolist() == [1.5, 2.0, 2.5]
    assert sg.max(x, 2.0, [0.0, 0.0, 9.0]).tolist() == [2.0, 2.0, 9.0]
    assert sg.minimum([2.0, 2.0, 2.0], x).tolist() == [1.0, 2.0, 2.0]
    assert sg.where(np.array([True, False, True]), x, 0.0).tolist() == [1.0, 0.0, 3.0]
    assert sg.where(x > 1.5, x, -x).tolist() == [-1.0, 2.0, 3.0]
    assert sg.pow(x, 2).tolist() == [1.0, 4.0, 9.0]
    assert sg.pow(2, x).tolist() == [2.0, 4.0, 8.0]
    assert sg.polygamma(1, x).requires_grad
    assert sg.hypot(3.0, np.array([4.0])).tolist() == [5.0]
    assert sg.sum(x).item() == 6.0


def test_reductions():
    x = tensor([[1.0, 2.0], [3.0, 3.0]], requires_grad=True)
    for made, grad_fn, value, gradient in (
        (x.prod(), "ProdBackward0", 18.0, [[18.0, 9.0], [6.0, 6.0]]),
        (x.max(), "MaxBackward1", 3.0, [[0.0, 0.0], [0.5, 0.5]]),
        (x.min(), "MinBackward1", 1.0, [[1.0, 0.0], [0.0, 0.0]]),
        (x.amax(), "AmaxBackward0", 3.0, [[0.0, 0.0], [0.5, 0.5]]),
        (sg.amin(x), "AminBackward0", 1.0, [[1.0, 0.0], [0.0, 0.0]]),
        (sg.max(x), "AmaxBackward0", 3.0, [[0.0, 0.0], [0.5, 0.5]]),
        (np.max(x), "MaxBackward1", 3.0, [[0.0, 0.0], [0.5, 0.5]]),
        (np.prod(x), "ProdBackward0", 18.0, [[18.0, 9.0], [6.0, 6.0]]),
        ((x - 1).norm(), "LinalgVectorNormBackward0", 3.0, [[0.0, 1 / 3], [2 / 3, 2 / 3]]),
        (x.dot(x), "DotBackward0", 23.0, [[2.0, 4.0], [6.0, 6.0]]),
        (sg.dot(x, 2.0), "DotBackward0", 18.0, [[2.0, 2.0], [2.0, 2.0]]),
        (
            x.logsumexp(),
            "LogsumexpBackward0",
            np.log(np.exp(x.tolist()).sum()),
            np.exp(x.tolist()) / np.exp(x.tolist()).sum(),
        ),
    ):
        assert repr(made.grad_fn) == f"<{grad_fn}>"
        x.grad = None
        made.backward()
        assert made.item() == pytest.approx(value, rel=1e-15)
        np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=1e-15)
    assert x.max(tensor(2.0)).tolist() == [[2.0, 2.0], [3.0, 3.0]]
    assert x.min(2 * x).tolist() == x.tolist()
    traced = sg.compile(lambda x, y: x.dot(y) + x.prod() - y.max() + x.logsumexp())
    assert traced(np.array([0.0, 0.0]), np.array([3.0, 4.0])) == pytest.approx(np.log(2) - 4)


def test_refused_reductions_say_why():
    x = tensor([1.0, 2.0])
    for refused, error, message in (
        (lambda: x.max(0), sg.UnsupportedError, "only amax() over all elements exists yet"),
        (lambda: x.prod(dim=0), sg.UnsupportedError, "only prod() over all elements"),
        (lambda: x.norm(1), sg.UnsupportedError, "only the Euclidean norm()"),
        (lambda: x.dot(2.0), sg.DTypeError, "takes a tensor, not float"),
        (lambda: x.dot(tensor([1.0])), sg.ShapeError, "of one shape, not (2,) and (1,)"),
        (lambda: sg.var(x), sg.UnsupportedError, "write ((x - x.mean())**2).mean()"),
    ):
        with pytest.raises(error) as caught:
            refused()
        assert message in str(caught.value)


def test_ties_share():
    x = tensor([1.0, 2.0], requires_grad=True)
    sg.max(x, 1.0).sum().backward()
    assert x.grad.tolist() == [0.5, 1.0]


def test_the_branch_not_taken_does_not_poison():
    x = tensor([-1.0, 2.0], requires_grad=True)
    sg.where(x > 0, sg.log(x), 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.5]


def test_wrong_use_is_refused():
    with pytest.raises(TypeError, match=r"sin\(\) takes 1 arguments and got 2"):
        sg.sin(tensor(1.0), 2.0)
    with pytest.raises(TypeError, match="order of polygamma"):
        sg.polygamma(1.5, tensor(1.0))
    with pytest.raises(TypeError, match=r"order of polygamma must be a number .* 20"):
        sg.polygamma(21, 1.0)
    with pytest.raises(TypeError, match="not real numbers"):
        sg.sin(1j)
    with pytest.raises(TypeError):
        np.sin(tensor(1.0), out=np.zeros(1))
    with pytest.raises(TypeError):
        np.isnan(tensor(1.0))


@pytest.mark.parametrize("first", ["import symgrad.tensor.trace", "from symgrad import Tensor"])
def test_tensor_is_callable_whatever_was_imported_first(first):
    code = f"{first}\nimport symgrad\nfrom symgrad import tensor\nprint(tensor(1.5), "
    code += "symgrad.tensor([1.0], requires_grad=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "tensor(1.5000) tensor([1.], requires_grad=True)\n", done.stderr
