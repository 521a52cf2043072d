"""Recycled memory: only when nobody looks at it any more."""

import threading

import numpy as np
import pytest

import symgrad as sg
from symgrad.runtime import buffers

DOUBLE = np.dtype(float)
SIZE = 50_000


@pytest.fixture(autouse=True)
def own_pool(monkeypatch):
    pool = buffers._Pool()
    monkeypatch.setattr(buffers, "_pool", pool)
    monkeypatch.setattr(buffers._Lease.__del__, "__defaults__", (pool,))
    return pool


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_comes_back_when_the_array_is_gone():
    array = buffers.empty(SIZE, DOUBLE)
    place = address(array)
    del array
    assert address(buffers.empty(SIZE, DOUBLE)) == place


def test_memory_stays_while_a_view_looks_at_it():
    array = buffers.empty(SIZE, DOUBLE)
    view = array.reshape(100, -1)[3:, ::2]
    place = address(array)
    del array
    assert address(buffers.empty(SIZE, DOUBLE)) != place
    view[...] = 1.0


def test_small_and_huge_arrays_are_numpys(own_pool):
    for size in (10, buffers._CAPACITY):
        array = buffers.empty(size, np.dtype(np.uint8 if size > 10 else float))
        del array
    small = buffers.empty(10, DOUBLE)
    assert small.base is None
    del small
    assert own_pool.bytes <= buffers._CAPACITY


def test_what_waits_is_bounded(own_pool):
    for size in range(SIZE, SIZE + 300):
        buffers.empty(size, DOUBLE)
    assert own_pool.bytes <= buffers._CAPACITY
    assert own_pool.bytes == sum(
        block.nbytes for blocks in own_pool.free.values() for block in blocks
    )


def test_results_may_outlive_the_names_of_the_module(monkeypatch, own_pool):
    array = buffers.empty(SIZE, DOUBLE)
    for name in ("_CAPACITY", "_pool"):
        monkeypatch.setattr(buffers, name, None)
    # An exception in a finaliser is a warning, and that an error.
    del array
    assert own_pool.bytes >= SIZE * 8


def test_pooled_memory_begins_where_vectors_should():
    kept = [buffers.empty(40_001 + k, np.dtype(float)) for k in range(8)]
    assert {array.ctypes.data % 64 for array in kept} == {0}


def test_results_begin_far_from_inputs_and_a_line_apart():
    page = np.empty(SIZE * 8 + 8192, np.uint8)
    start = -address(page) % 4096
    for places in ([16], [16, 16, 16], [3136, 1648], [0, 1024, 2048], [4088], [8, 4088]):
        inputs = [page[start + place :] for place in places]
        first, *others = buffers.results([(SIZE,)] * 7, DOUBLE, inputs)
        starts = [(address(first) + 64 * k) % 4096 for k in range(7)]
        assert [address(other) % 4096 for other in others] == starts[1:]
        # Half of the largest gap between inputs, less what a line takes.
        around = sorted(set(places))
        gaps = np.diff([*around, around[0] + 4096])
        distances = [(starts[3] - place) % 4096 for place in places]
        assert min(min(distances), 4096 - max(distances)) > max(gaps) / 2 - 64


def test_calls_place_their_results_so():
    f = sg.compile("x*y + a")
    x, y = np.zeros((2, SIZE))
    kept = [f(x, y, 1.0), f(x, y, 2), sg.grad(f)(x, y, 3.0)[0]]
    for result in kept:
        assert 64 <= (address(result) - address(x)) % 4096 <= 4096 - 64
        assert 64 <= (address(result) - address(y)) % 4096 <= 4096 - 64
        assert address(result) % 64 == 0


def test_a_block_begins_anew_for_each_result(own_pool):
    for place in range(0, 4096, 64):
        array = buffers.empty(SIZE, DOUBLE, place)
        assert address(array) % 4096 == place
        array[:] = place
        (end,) = array[-1:]
        assert end == place
        memory = array.base.block.memory
        assert address(memory) <= address(array)
        assert address(array) + array.nbytes <= address(memory) + memory.nbytes
        del array
        assert [len(blocks) for blocks in own_pool.free.values()] == [1]


def test_arrays_are_ordinary():
    array = buffers.empty(SIZE, DOUBLE)
    assert type(array) is np.ndarray
    assert array.dtype == DOUBLE
    assert array.shape == (SIZE,)
    assert array.flags.writeable
    assert array.flags.aligned
    assert array.flags.c_contiguous


def test_results_that_are_kept_are_never_overwritten():
    f = sg.compile("x + a")
    x = np.zeros(SIZE)
    kept = [f(x, float(k)) for k in range(20)]
    for k, array in enumerate(kept):
        assert (array == k).all()


def test_threads():
    failures = []

    def work(value):
        for _ in range(200):
            array = buffers.empty(SIZE, DOUBLE)
            array[:] = value
            if not (array == value).all():
                failures.append(value)

    threads = [threading.Thread(target=work, args=(float(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
