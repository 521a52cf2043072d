import math

import numpy as np
import pytest

import symgrad as sg
from symgrad import AutogradError, UnsupportedError
from symgrad.tensor.trace import trace


def test_a_python_function_becomes_a_formula():
    def model(x, a, b):
        return a * sg.exp(-b * x) + 0.1 * x**2

    f = sg.compile(model)
    assert f.inputs == ("x", "a", "b")
    assert f.outputs == ("model",)
    x = np.linspace(0, 1, 5)
    np.testing.assert_allclose(f(x, 2.0, 3.0), 2 * np.exp(-3 * x) + 0.1 * x**2, rtol=1e-15)
    assert str(f.derivative("x")) == "-a*b*exp(-b*x) + 0.2*x"


def test_several_results_and_loops():
    def powers(x, y):
        total = 0.0
        for k in range(1, 4):
            total = total + x**k / k
        return total, x * y, y, 3.0

    f = sg.compile(powers)
    assert f.outputs == ("powers0", "powers1", "powers2", "powers3")
    assert [float(v) for v in f(2.0, 5.0)] == [2 + 2 + 8 / 3, 10.0, 5.0, 3.0]


def test_branches_reductions_and_calls():
    g = sg.compile("g(u) = pi*u + 0.5")

    def loss(x, a):
        inside = sg.where((x > 0) & ~(x > 2), a * x, sg.max(x, a, 0.0))
        return ((g(inside) - x.mean()) ** 2).sum()

    f = sg.compile(loss)
    x = np.array([-1.0, 1.0, 3.0])
    inside = np.array([2.0, 2.0, 3.0])
    expected = ((np.pi * inside + 0.5 - 1.0) ** 2).sum()
    assert float(f(x, 2.0)) == pytest.approx(expected, rel=1e-15)


def test_numpy_functions_are_recorded():
    f = sg.compile(lambda x, y: np.sin(x) * np.arctan2(x, y))
    assert float(f(1.0, 2.0)) == pytest.approx(math.sin(1) * math.atan2(1, 2), rel=1e-15)


def test_inputs_can_be_named():
    program = trace(lambda *xs: xs[0] * xs[1], inputs=["a", "b"])
    assert program.inputs == ("a", "b")
    with pytest.raises(TypeError, match="name the arguments"):
        trace(lambda *xs: xs[0])


def test_identity_and_outside_values():
    k = sg.tensor(3.0)
    assert float(sg.compile(lambda x: x)(2.0)) == 2.0
    assert float(sg.compile(lambda x: k * x)(2.0)) == 6.0
    assert float(sg.compile(lambda x: k)(2.0)) == 3.0
    with pytest.raises(UnsupportedError, match="uses an array from outside"):
        sg.compile(lambda x: x * np.ones(3))
    with pytest.raises(UnsupportedError, match="must return a tensor"):
        sg.compile(lambda x: "text")


@pytest.mark.parametrize(
    "use",
    [
        bool,
        float,
        repr,
        len,
        math.sin,
        np.asarray,
        lambda x: x.item(),
        lambda x: x.numpy(),
        lambda x: x.shape,
        lambda x: (x * 2).tolist(),
        lambda x: 1.0 if x > 0 else 2.0,
    ],
)
def test_values_are_not_there(use):
    def function(x):
        use(x)
        return x

    with pytest.raises(AutogradError, match=r"no value while .* use symgrad.where"):
        sg.compile(function)
