import subprocess
import sys

import numpy as np
import pytest

import symgrad as sg
from symgrad import tensor
from symgrad.language.functions import FUNCTIONS, NAMES


def test_every_name_of_the_table_is_exported():
    from symgrad import _HOMES

    assert set(_HOMES["tensor.functions"]) == {*NAMES, "pi", "e", "inf", "nan"}
    for name in NAMES:
        assert getattr(sg, name).__name__ == name
    assert (sg.pi, sg.e, sg.inf) == (np.pi, np.e, np.inf)
    assert np.isnan(sg.nan)


@pytest.mark.parametrize(
    "op", [op for op, row in FUNCTIONS.items() if row.callable and row.arity == (1, 1)]
)
def test_functions_of_one_operand(op):
    function = getattr(sg, op)
    at = 1.5 if op == "acosh" else 0.4
    x = tensor(at, requires_grad=True)
    z = function(x)
    z.backward()
    assert z.item() == function(at)
    h = 1e-6
    slope = (function(at + h) - function(at - h)) / (2 * h)
    assert x.grad.item() == pytest.approx(slope, rel=1e-7, abs=1e-8)
    array = function(np.array([at, at]))
    assert isinstance(array, np.ndarray) or op in ("sum", "mean")


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
