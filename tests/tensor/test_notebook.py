"""The notebook from which the project started, cell for cell, under PyTorch's name."""

import pytest

import symgrad as torch
from symgrad import tensor


@pytest.fixture
def xy():
    return tensor(2.0, requires_grad=True), tensor(3.0, requires_grad=True)


def test_gradients_accumulate(capsys):
    # In [11]
    x = tensor(2. , requires_grad=True)  # fmt: skip
    y = tensor(3. , requires_grad=True)  # fmt: skip

    z = y * torch.log(x) + torch.sin(y)

    print(z)
    z.backward()
    assert capsys.readouterr().out == "tensor(2.2206, grad_fn=<AddBackward0>)\n"
    # In [12], In [13]
    assert repr(x.grad) == "tensor(1.5000)"
    assert repr(y.grad) == "tensor(-0.2968)"
    # In [17], run twice as the printed values tell
    for _ in range(2):
        z = y * torch.log(x) + torch.sin(y)
        z.backward()
    # In [18], In [19]
    assert repr(x.grad) == "tensor(4.5000)"
    assert repr(y.grad) == "tensor(-0.8905)"


def test_intermediate_gradient(xy, capsys):
    x, y = xy
    # In [22]
    u = x + y
    u.retain_grad()

    z = u ** 2  # fmt: skip

    print(z)
    z.backward()
    assert capsys.readouterr().out == "tensor(25., grad_fn=<PowBackward0>)\n"
    # In [23], In [25], In [26]
    assert [repr(t.grad) for t in (u, x, y)] == ["tensor(10.)"] * 3


def test_no_grad(xy, capsys):
    x, y = xy
    # In [28]
    with torch.no_grad():
        z = y * torch.log(x) + torch.sin(y)
        print(z)

    t = y * torch.log(x) + torch.sin(y)
    print(t)

    t.backward()
    printed = "tensor(2.2206)\ntensor(2.2206, grad_fn=<AddBackward0>)\n"
    assert capsys.readouterr().out == printed
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        z.backward()


def test_no_grad_generates_no_gradient_code(xy):
    x, y = xy
    f = torch.compile("f(x, y) = y*log(x) + sin(y)")
    with torch.no_grad():
        z = f(x, y)
    assert f.kernels == ["forward"]
    assert not z.requires_grad
    z = f(x, y)
    assert f.kernels == ["forward"]
    assert repr(z) == "tensor(2.2206, grad_fn=<fBackward>)"
    z.backward()
    assert f.kernels == ["forward", "gradient"]
    assert repr(x.grad) == "tensor(1.5000)"
