"""Chunks and threads: every point once, the same bits for any number of threads."""

import os
import warnings

import numpy as np
import pytest

import symgrad as sg
from symgrad.compiler import Variant
from symgrad.errors import ArgumentError
from symgrad.runtime.buffers import until_aligned
from symgrad.runtime.kernel import Kernel, Slot
from symgrad.runtime.threads import CHUNK, GRAIN, SHARED, SHORT_CHUNK, run_chunks


@pytest.fixture(autouse=True)
def restored():
    before = sg.get_num_threads()
    yield
    sg.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [0, 1, SHARED, SHARED + 1, 9 * SHARED - 5, 9 * CHUNK])
@pytest.mark.parametrize("first", [0, 1, 7])
def test_every_point_is_covered_once(count, size, first):
    sg.set_num_threads(count)
    covered = np.zeros(size, int)
    chunks = []

    def launch(start, stop):
        chunks.append((start, stop))
        covered[start:stop] += 1

    run_chunks(launch, size, min(first, size))
    assert (covered == 1).all()
    assert all(start % GRAIN == first for start, _ in chunks if start)
    assert all(stop - start <= CHUNK for start, stop in chunks)
    if size > SHARED:
        # As many chunks as threads need, and of equal length but for a grain.
        assert max(stop - start for start, stop in chunks) <= -(-size // count) + GRAIN


@pytest.mark.parametrize("backend", ["auto", "interpreter"])
def test_one_call_of_a_large_formula_has_fewer_points(backend, monkeypatch):
    sg.set_num_threads(1)
    text = "; ".join(["u0 = x", *(f"u{k + 1} = u{k}*y + x" for k in range(100))])
    kernels = {
        SHORT_CHUNK: sg.compile(text, backend=backend).compiled(Variant((1, 1), 1)).kernel,
        CHUNK: sg.compile("x*y").compiled(Variant((1, 1), 1)).kernel,
    }
    x = np.linspace(0, 1, 2 * CHUNK)
    for chunk, kernel in kernels.items():
        points = []
        monkeypatch.setattr(kernel, "entry", lambda n, *rest, points=points: points.append(n))
        kernel.launch((len(x),), [x, x], [np.empty(len(x)) for _ in range(kernel.outputs)])
        assert sum(points) == len(x)
        assert max(points) == chunk


@pytest.mark.parametrize(("size", "launches"), [(SHARED, 1), (SHARED + 64, 3)])
def test_more_points_than_one_thread_is_left_with_are_shared(size, launches, monkeypatch):
    sg.set_num_threads(2)
    kernel = sg.compile("x*y").compiled(Variant((1, 1), 1)).kernel
    points = []
    monkeypatch.setattr(kernel, "entry", lambda n, *rest: points.append(n))
    memory = np.zeros(size + 8)
    # One point before a line of the cache is a launch of its own.
    written = memory[until_aligned(memory) + 7 :][:size]
    kernel.launch((size,), [memory[:size], memory[:size]], [written])
    assert sum(points) == size
    assert len(points) == launches


def test_threads_have_equal_shares():
    sg.set_num_threads(4)
    chunks = []
    run_chunks(lambda *chunk: chunks.append(chunk), 3 * SHARED, 5)
    lengths = sorted(stop - start for start, stop in chunks)
    assert lengths[0] == 5
    assert len(lengths) == 5
    assert lengths[-1] - lengths[1] <= GRAIN


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [0, 1, 5, 15])
def test_chunks_begin_where_a_line_of_the_cache_does(dtype, shift):
    n = 3 * CHUNK + 1
    memory, x = np.zeros(n + shift, dtype), np.linspace(0, 1, n, dtype=dtype)
    addresses = []

    def compiled(points, x, out):
        assert len(x) == len(out) == points
        addresses.append(out.ctypes.data)
        out[:] = x + 1

    sg.set_num_threads(1)
    slot = Slot(1, (0,))
    kernel = Kernel("forward", "", compiled, [slot], [slot], dtype, pointwise=True)
    out = memory[shift:]
    kernel.launch((n,), [x], [out])
    np.testing.assert_array_equal(out, x + 1)
    assert addresses[0] == out.ctypes.data
    assert len(addresses) >= 4
    assert not any(address % 64 for address in addresses[1:])


def test_bits_do_not_depend_on_threads_chunks_or_slices():
    f = sg.value_and_grad(sg.compile("exp(-x)*sin(y) + log(1 + x*x)"))
    n = 9 * SHARED + 17
    x, y = np.linspace(-3, 3, n), np.linspace(0, 50, n)
    sg.set_num_threads(1)
    value, gradient = f(x, y)
    sg.set_num_threads(3)
    for again, slopes in (f(x, y), f(x, y)):
        np.testing.assert_array_equal(again, value)
        np.testing.assert_array_equal(slopes, gradient)
    part = slice(12345, 12345 + 777)
    piece, slopes = f(x[part], y[part])
    np.testing.assert_array_equal(piece, value[part])
    np.testing.assert_array_equal(slopes[0], gradient[0][part])
    for k in (0, 1, 12345, n - 1):
        number, slope = f(float(x[k]), float(y[k]))
        assert number == value[k]
        assert slope == (gradient[0][k], gradient[1][k])


def test_sums_do_not_depend_on_threads():
    f = sg.grad(sg.compile("f(a, x) = sum(exp(-a*x))"), wrt="a")
    x = np.linspace(0, 1, 9 * SHARED)
    sg.set_num_threads(1)
    once = f(2.0, x)
    sg.set_num_threads(4)
    assert f(2.0, x) == once


@pytest.mark.parametrize("backend", ["jit", "interpreter"])
def test_the_number_of_points_is_not_that_of_a_chunk(backend):
    # The sum is a multiple of the number of points, with no pass over them.
    f = sg.compile("sum(x - x + 1)*x", backend=backend)
    assert np.all(f(np.ones(3 * SHARED)) == 3 * SHARED)


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", None, True, 10**6])
def test_impossible_counts_are_refused(count):
    with pytest.raises(ArgumentError, match="threads"):
        sg.set_num_threads(count)


def test_an_error_in_a_thread_reaches_the_caller():
    sg.set_num_threads(2)

    def launch(start, stop):
        if start > 10 * SHARED:
            raise KeyError(start)

    with pytest.raises(KeyError):
        run_chunks(launch, 20 * SHARED)


def test_a_forked_child_starts_threads_of_its_own():
    sg.set_num_threads(2)
    size = 20 * SHARED
    run_chunks(lambda start, stop: None, size)
    with warnings.catch_warnings():
        # From Python 3.12 on, forking with threads warns; this is the case under test.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        covered = np.zeros(size, int)

        def launch(start, stop):
            covered[start:stop] += 1

        run_chunks(launch, size)
        os._exit(0 if (covered == 1).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
