import numpy as np

import symgrad as sg


def test_constructors():
    assert sg.zeros(2).tolist() == sg.zeros((2,)).tolist() == [0.0, 0.0]
    assert sg.ones(1, 2, requires_grad=True).requires_grad
    assert sg.zeros().shape == ()
    assert repr(sg.full((2,), 3)) == "tensor([3, 3])"
    assert repr(sg.full((2,), 3.0)) == "tensor([3., 3.])"
    assert repr(sg.arange(5)) == "tensor([0, 1, 2, 3, 4])"
    assert repr(sg.arange(0, 1, 0.25)) == "tensor([0.0000, 0.2500, 0.5000, 0.7500])"
    assert repr(sg.linspace(0, 1, 5)) == "tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])"
    single = sg.tensor([1.0], dtype=sg.float32)
    assert sg.zeros_like(single).dtype == sg.ones_like(single).dtype == sg.float32
    assert sg.ones_like(single, dtype=sg.float64).dtype == sg.float64


def test_from_numpy_copies():
    data = np.ones(2)
    t = sg.from_numpy(data)
    data[0] = 5
    assert t.tolist() == [1.0, 1.0]
