"""The calling convention of kernels, with plain functions in the place of compiled ones."""

from __future__ import annotations

import numpy as np
import pytest

from symgrad.errors import ShapeError
from symgrad.runtime import arrays
from symgrad.runtime.kernel import Kernel, Slot


def call(kernel: Kernel, *values: object, into: object = None) -> list:
    ready = [arrays.operand(v, f"a{k}") for k, v in enumerate(values)]
    plan = arrays.layout(ready, [f"a{k}" for k in range(len(ready))])
    return kernel.run(ready, plan, into)


def outer(n0: int, n1: int, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    out[:] = np.outer(x, y).reshape(-1)
    assert (n0, n1) == (len(x), len(y))


def test_arguments_are_flat() -> None:
    kernel = Kernel(
        "forward", "", outer, [Slot(1, (0,)), Slot(2, (1,))], [Slot(3, (0, 1))], "float64"
    )
    (result,) = call(kernel, np.arange(3.0)[:, None], np.arange(4.0)[None])
    assert result.shape == (3, 4)
    np.testing.assert_array_equal(result, np.outer(np.arange(3.0), np.arange(4.0)))
    (mirrored,) = call(kernel, np.arange(3.0)[::-1, None], np.arange(4)[None].astype(">i2"))
    np.testing.assert_array_equal(mirrored, np.outer([2, 1, 0], np.arange(4)))


def test_outputs_without_axes_are_returned() -> None:
    kernel = Kernel(
        "forward", "", lambda n, x: (float(x.sum()), 2.0), [Slot(1, (0,))],
        [Slot(0, ()), Slot(0, ())], "float64",
    )  # fmt: skip
    total, two = call(kernel, [1.0, 2.0])
    assert (total, two) == (3.0, 2.0)
    assert type(total) is np.float64
    assert kernel.returned == 2


def test_one_returned_output_needs_no_tuple() -> None:
    kernel = Kernel("f", "", lambda x: x + 1, [Slot(0, (0,))], [Slot(0, (0,))], "float64")
    assert call(kernel, 2) == [3.0]
    (filled,) = call(kernel, np.array([[2.0]]))
    assert filled.shape == (1, 1)
    assert filled.dtype == np.float64


def test_numbers_and_arrays_mix() -> None:
    def both(n: int, x: np.ndarray, out: np.ndarray) -> float:
        out[:] = 2 * x
        return float(n)

    kernel = Kernel("f", "", both, [Slot(1, (0,))], [Slot(0, ()), Slot(1, (0,))], "float32")
    count, doubled = call(kernel, np.ones((2, 3), np.float32))
    assert type(count) is np.float32
    assert doubled.dtype == np.float32
    assert doubled.shape == (2, 3)


def test_given_arrays_are_written() -> None:
    kernel = Kernel(
        "f", "", outer, [Slot(1, (0,)), Slot(2, (1,))], [Slot(3, (0, 1))], "float64"
    )
    x, y = np.arange(3.0)[:, None], np.arange(4.0)[None]
    target = np.zeros((3, 4))
    (result,) = call(kernel, x, y, into=[target])
    assert result is target
    assert target[2, 3] == 6.0
    strided = np.zeros((3, 8))[:, ::2]
    (result,) = call(kernel, x, y, into=[strided])
    assert result is strided
    assert strided[2, 3] == 6.0


def test_shapes_and_cotangents() -> None:
    kernel = Kernel(
        "f",
        "",
        outer,
        [Slot(1, (0,)), Slot(2, (1,)), Slot(3, (0, 1))],
        [Slot(3, (0, 1))],
        "float64",
    )
    values = [np.ones((3, 1)), np.ones((1, 4)), 2.0]
    assert kernel.shapes(values) == [(3, 4)]
    assert kernel.fit(2, values, "z_bar").shape == (3, 4)
    with pytest.raises(ShapeError, match=r"'z_bar' has shape \(2,\), expected \(3, 4\)"):
        kernel.fit(2, [*values[:2], np.ones(2)], "z_bar")


def test_repr() -> None:
    kernel = Kernel("gradient", "", outer, [Slot(1, (0,))], [], "float32")
    assert repr(kernel) == "<kernel gradient of 1 inputs, float32>"
