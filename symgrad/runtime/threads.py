"""Long launches in chunks, on as many threads as the caller wants.

Points do not depend on each other, so the bits are the same for any number of threads. Between
chunks the interpreter runs, so that Ctrl-C works.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..errors import ArgumentError

__all__ = ["get_num_threads", "run_chunks", "set_num_threads"]

#: Points in one launch at most: past the caches a launch costs as much as thousands of points,
#: and Ctrl-C waits for its end.
CHUNK = 1 << 20
#: The same of kernels with hundreds of operations, which Ctrl-C would wait long for.
SHORT_CHUNK = 1 << 15
#: So many points are one launch, since they are not worth waking a thread for.
SHARED = 1 << 18
#: The shares of threads are multiples of so many points.
GRAIN = 1 << 12


class _Workers:
    """The thread pool of this process, started when it is first needed."""

    def __init__(self) -> None:
        self.count = _available()
        self.process = -1
        self.executor: ThreadPoolExecutor | None = None

    def started(self) -> ThreadPoolExecutor:
        """Return the pool; threads do not survive a fork, so a child starts its own."""
        if self.executor is None or self.process != os.getpid():
            self.executor = ThreadPoolExecutor(self.count, thread_name_prefix="symgrad")
            self.process = os.getpid()
        return self.executor


def _available() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_workers = _Workers()


def get_num_threads() -> int:
    """Return on how many threads large arrays are computed."""
    return _workers.count


def set_num_threads(count: int) -> None:
    """Set on how many threads large arrays are computed; the results do not depend on it.

    Args:
        count: 1 or more; the default is the number of processors of this process.

    Raises:
        ArgumentError: `count` is not a whole number from 1 to 1024.
    """
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1024:
        raise ArgumentError(f"the number of threads must be from 1 to 1024, not {count!r}")
    if count != _workers.count:
        _workers.count, _workers.executor = count, None


def run_chunks(
    launch: Callable[[int, int], None], size: int, first: int = 0, most: int = CHUNK
) -> None:
    """Call `launch(start, stop)` for consecutive chunks that cover `size` points.

    The first chunk has `first` points, if that is not 0, no other more than `most`. Of more
    than `SHARED` points every thread has a share.
    """
    if first:
        launch(0, first)
    workers = _workers.count if size > SHARED else 1
    share = -(-(size - first) // workers)
    chunk = min(-(-share // GRAIN) * GRAIN, most) or GRAIN
    starts = range(first, size, chunk)

    def work(starts: range) -> None:
        for start in starts:
            launch(start, min(start + chunk, size))

    if workers == 1:
        work(starts)
        return
    count = -(-len(starts) // workers)
    shares = [starts[begin : begin + count] for begin in range(0, len(starts), count)]
    # Consuming the iterator waits for all chunks and raises what a thread raised.
    list(_workers.started().map(work, shares))
