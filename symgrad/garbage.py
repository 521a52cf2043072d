"""A pause for the collector of reference cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["paused"]


@contextmanager
def paused() -> Iterator[None]:
    """Leave cycles alone for as long as many objects are made that are part of none.

    Programs, Graphs and tapes are millions of small objects without cycles; to look through
    them again and again takes a quarter of the time that it takes to build them. What was
    made counts as old in the end, so that it is not looked through at once when the pause is
    over.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()
