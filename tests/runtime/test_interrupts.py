"""Signals while code is compiled: none is lost, and none is raised where it would be."""

import signal
import sys
import threading
from contextlib import suppress

import pytest
from llvmlite import binding

from symgrad.runtime import cache, interrupts

KERNEL = """
import numba

@numba.njit("float64(float64)", cache=True)
def run(x):
    return x + {number}

later.append(True)

@numba.njit("float64(float64)", cache=True)
def again(x):
    return x * {number}
"""


@pytest.fixture(autouse=True)
def python_handles_signals():
    """Let Ctrl-C raise KeyboardInterrupt, as it may not where tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def in_callback(monkeypatch):
    """Send a signal whenever LLVM asks for an object; return how often that was."""
    sent = []
    ask = binding.ExecutionEngine._find_module_ptr

    def interrupted(self, pointer):
        if not sent:
            sent.append(pointer)
            signal.raise_signal(signal.SIGINT)
        return ask(self, pointer)

    monkeypatch.setattr(binding.ExecutionEngine, "_find_module_ptr", interrupted)
    return sent


@pytest.fixture
def later(monkeypatch):
    """Record whether a module ran on after its first function."""
    reached = []
    monkeypatch.setattr("builtins.later", reached, raising=False)
    return reached


def test_a_signal_in_a_callback_stops_the_build_where_llvm_returns(
    in_callback, later, tmp_path, monkeypatch
):
    handler = signal.getsignal(signal.SIGINT)
    # Without warnings: nothing was raised where ctypes would have dropped it.
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        cache.load(KERNEL.format(number=1.25))
    assert len(in_callback) == 1
    assert later == []
    assert signal.getsignal(signal.SIGINT) is handler
    assert sys.gettrace() is None
    assert list(tmp_path.iterdir()) == []


def test_where_something_is_traced_the_build_ends_later(in_callback, later):
    def trace(frame, event, argument):
        return None

    sys.settrace(trace)
    try:
        with pytest.raises(KeyboardInterrupt):
            cache.load(KERNEL.format(number=2.25))
        assert sys.gettrace() is trace
    finally:
        sys.settrace(None)
    assert later == [True]


def test_a_handler_of_the_user_is_called_once(in_callback, later):
    calls = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    try:
        module = cache.load(KERNEL.format(number=3.25))
    finally:
        handler = signal.signal(signal.SIGINT, previous)
    assert calls == [signal.SIGINT]
    assert module.run(1.0) == 4.25
    assert not isinstance(handler, interrupts._Patience)


def test_elsewhere_a_signal_is_raised_at_once():
    reached = []

    def body():
        with interrupts.kept(), interrupts.kept():
            signal.raise_signal(signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        body()
    assert reached == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("action", [signal.SIG_IGN, signal.SIG_DFL])
def test_what_python_does_not_handle_is_left_alone(action):
    previous = signal.signal(signal.SIGINT, action)
    try:
        with interrupts.kept():
            assert signal.getsignal(signal.SIGINT) == action
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_handler_that_the_body_sets_stays():
    def other(number, frame):
        return None

    previous = signal.getsignal(signal.SIGINT)
    try:
        with interrupts.kept():
            signal.signal(signal.SIGINT, other)
        assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, previous)


def test_other_threads_leave_signals_alone():
    found = []

    def work():
        with suppress(ValueError), interrupts.kept():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
