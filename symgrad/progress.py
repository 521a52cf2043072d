"""One line on a terminal that says how far a long build has come."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sized
from contextlib import contextmanager, suppress
from typing import TextIO

__all__ = ["shown", "stage"]

#: Seconds before the line appears, and between its updates.
DELAY, PERIOD = 2.0, 0.2

_CLEAR = "\r\x1b[K"


class _Line:
    """The line of the build that runs; a thread of its own writes it."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal
        self.owner = threading.get_ident()
        self.stage: tuple[str, Sized] = ("building", ())
        self.done = threading.Event()
        self.writer = threading.Thread(target=self._write, daemon=True)

    def _write(self) -> None:
        start = time.monotonic()
        wait, written = DELAY, False
        # A terminal that goes away is no reason to complain.
        with suppress(OSError, ValueError):
            while not self.done.wait(wait):
                wait, written = PERIOD, True
                name, nodes = self.stage
                count = f", {len(nodes):,} nodes" if len(nodes) else ""
                seconds = time.monotonic() - start
                self.terminal.write(f"{_CLEAR}symgrad: {name}{count}, {seconds:.0f} s")
                self.terminal.flush()
            if written:
                self.terminal.write(_CLEAR)
                self.terminal.flush()


_line: _Line | None = None


@contextmanager
def shown(name: str) -> Iterator[None]:
    """Show what is being done while the body runs, once that has taken two seconds.

    The line overwrites itself and is cleared at the end. It goes to standard error, and only
    where that is a terminal; within a body that is shown already, only the name changes.
    """
    global _line
    if _line is not None or not _is_terminal():
        stage(name)
        yield
        return
    line = _line = _Line(sys.stderr)
    try:
        stage(name)
        line.writer.start()
        yield
    finally:
        _line = None
        line.done.set()
        if line.writer.ident is not None:
            line.writer.join()


def stage(name: str, nodes: Sized = ()) -> None:
    """Say what the build that is shown does now, and in what the nodes done can be counted."""
    line = _line
    if line is not None and line.owner == threading.get_ident():
        line.stage = name, nodes


def _is_terminal() -> bool:
    # There may be no standard error, or a closed one.
    with suppress(AttributeError, ValueError):
        return sys.stderr.isatty()
    return False
