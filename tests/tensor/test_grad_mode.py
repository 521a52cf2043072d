import asyncio
import threading

import pytest

import symgrad as sg


@pytest.fixture
def x():
    return sg.tensor(2.0, requires_grad=True)


def test_no_grad_and_enable_grad(x):
    assert sg.is_grad_enabled()
    with sg.no_grad():
        assert not sg.is_grad_enabled()
        assert not (x * 2).requires_grad
        with sg.enable_grad():
            assert (x * 2).requires_grad
        assert not sg.is_grad_enabled()
    assert (x * 2).requires_grad


def test_one_object_may_be_entered_again(x):
    mode = sg.no_grad()
    with mode:
        with mode:
            assert not sg.is_grad_enabled()
        assert not sg.is_grad_enabled()
    assert sg.is_grad_enabled()


def test_errors_restore_the_mode():
    with pytest.raises(KeyError), sg.no_grad():
        raise KeyError
    assert sg.is_grad_enabled()


def test_decorators(x):
    @sg.no_grad
    def bare(t):
        """Twice."""
        return t * 2

    @sg.no_grad()
    def called(t, factor=2):
        with sg.enable_grad():
            inner = t * factor
        return t * factor, inner

    assert bare.__name__ == "bare"
    assert bare.__doc__ == "Twice."
    assert not bare(x).requires_grad
    outer, inner = called(x, factor=3)
    assert not outer.requires_grad
    assert inner.requires_grad
    assert sg.is_grad_enabled()

    @sg.set_grad_enabled(False)
    def switched(t):
        return t * 2

    assert sg.is_grad_enabled()
    assert not switched(x).requires_grad


def test_set_grad_enabled(x):
    with sg.set_grad_enabled(False):
        assert not sg.is_grad_enabled()
    assert sg.is_grad_enabled()
    sg.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        sg.set_grad_enabled(True)
    assert (x * 2).requires_grad


def test_threads_and_tasks_have_their_own_mode():
    seen = []
    with sg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(sg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]

    async def quiet():
        with sg.no_grad():
            await asyncio.sleep(0)
            return sg.is_grad_enabled()

    async def loud():
        await asyncio.sleep(0)
        return sg.is_grad_enabled()

    async def both():
        return await asyncio.gather(quiet(), loud())

    assert asyncio.run(both()) == [False, True]
