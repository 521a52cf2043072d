"""Ctrl-C while LLVM works, which would be lost at the wrong moment.

Python raises KeyboardInterrupt wherever it is just then. Where LLVM has called back into
Python, ctypes prints and drops what is raised, and where llvmlite takes or leaves its lock, the
lock would be kept. So such an interrupt waits until llvmlite has returned to who called it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["kept"]

_Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def kept() -> Iterator[None]:
    """Let no Ctrl-C be lost while the body compiles.

    Whatever handles the signal is called at the next place where it may raise, at the latest
    at the end of the body. Signals reach the main thread only, and elsewhere this does nothing;
    nor where the signal is ignored or handled outside of Python.
    """
    handler = signal.getsignal(signal.SIGINT)
    if (
        threading.current_thread() is not threading.main_thread()
        or not callable(handler)
        or isinstance(handler, _Patience)
    ):
        yield
        return
    patience = _Patience(handler)
    signal.signal(signal.SIGINT, patience)
    try:
        yield
    finally:
        # Whoever has replaced the handler meanwhile knows why.
        if signal.getsignal(signal.SIGINT) is patience:
            signal.signal(signal.SIGINT, handler)
        patience.end()


class _Patience:
    """A handler of signals that waits where nothing may be raised."""

    def __init__(self, handler: _Handler) -> None:
        self.handler = handler
        self.waiting = False
        self.traced: FrameType | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal, or note it."""
        outside = _outside(frame)
        if outside is frame:
            self.waiting = False
            self.handler(number, frame)
            return
        self.waiting = True
        # Debuggers and the like have their own trace; then the end of the body must do.
        if outside is not None and sys.gettrace() is None:
            self.traced = outside
            outside.f_trace = self._trace
            sys.settrace(_ignore)

    def _trace(self, frame: FrameType, event: str, argument: object) -> None:
        """Handle the signal in the first line after the wait."""
        self.end()

    def end(self) -> None:
        """Stop waiting and handle the signal, if there was one."""
        if self.traced is not None:
            self.traced.f_trace = None
            self.traced = None
            if sys.gettrace() is _ignore:
                sys.settrace(None)
        if self.waiting:
            self.waiting = False
            self.handler(signal.SIGINT, sys._getframe(1))


def _outside(frame: FrameType | None) -> FrameType | None:
    """Return the frame that called llvmlite, or the frame itself if nothing has."""
    outside = frame
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("llvmlite.binding"):
            outside = frame.f_back
        frame = frame.f_back
    return outside


def _ignore(frame: FrameType, event: str, argument: object) -> None:
    """Trace nothing in frames that are entered meanwhile."""
