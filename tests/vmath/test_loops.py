"""Wishes for loops: how many vectors a loop takes at a time."""

from __future__ import annotations

import re
from typing import Any

import numba
import numpy as np
import pytest

from symgrad import vmath
from symgrad.runtime import native

ARRAY = numba.float64[::1]


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    space: dict[str, Any] = {"np": np, "numba": numba}
    exec(vmath.definitions(["fma", "interleaved", "no_overlap"]), space)
    return space


def fused(function: Any) -> list[int]:
    """Return how many fused operations on vectors the blocks of a function have, if any."""
    (text,) = function.inspect_llvm().values()
    body = re.search(rf"^define [^\n]*{function.py_func.__name__}.*?^}}", text, re.M | re.S)
    assert body
    blocks = re.split(r"\n(?=[\w.]+:)", body[0])
    return [n for block in blocks if (n := len(re.findall(r"@llvm\.fma\.v", block)))]


def test_a_wish_is_for_the_loop_that_ended_last(compiled: dict[str, Any]) -> None:
    fma, interleaved, no_overlap = (compiled[n] for n in ("fma", "interleaved", "no_overlap"))

    @numba.njit(numba.void(numba.int64, numba.int64, ARRAY, ARRAY), error_model="numpy")
    def wishing(m: int, n: int, x: Any, out: Any) -> None:
        no_overlap()
        for start in range(0, n, m):
            for i in range(start, start + m):
                out[np.uint64(i)] = fma(x[np.uint64(i)], 3.0, 1.0)
            interleaved(2, 2)
            for i in range(start, start + m):
                y = out[np.uint64(i)]
                out[np.uint64(i)] = fma(y, fma(y, y, 1.0), 2.0) if y > 1.0 else y
            interleaved(1, 1)
            for i in range(start, start + m):
                y = out[np.uint64(i)]
                out[np.uint64(i)] = fma(y, fma(y, fma(y, y, 1.0), 2.0), 5.0)
            interleaved(4, 4)

    found = fused(wishing)
    assert max(found) == 3 * 4
    assert found.count(2) == 2  # one operation on two vectors, two on one
    assert set(found) <= {1, 2, 3, 12}  # what is left over at an end takes one
    x, out = np.linspace(-1.0, 1.0, 512), np.empty(512)
    wishing(256, 512, x, out)
    y = 3 * x + 1
    y = np.where(y > 1, y * (y * y + 1) + 2, y)
    assert np.allclose(out, y * (y * (y * y + 1) + 2) + 5, rtol=1e-14)


def test_of_a_nest_the_innermost_loop_is_meant(compiled: dict[str, Any]) -> None:
    fma, interleaved, no_overlap = (compiled[n] for n in ("fma", "interleaved", "no_overlap"))

    @numba.njit(numba.void(numba.int64, numba.int64, ARRAY, ARRAY), error_model="numpy")
    def nested(m: int, n: int, x: Any, out: Any) -> None:
        no_overlap()
        for k in range(m):
            for i in range(n):
                out[np.uint64(k * n + i)] = fma(x[i], x[k], 1.0)
        interleaved(8, 4)

    _, features = native.cpu()
    few = "+avx2" in features and "+avx512vl" not in features
    assert max(fused(nested)) == (4 if few else 8)
