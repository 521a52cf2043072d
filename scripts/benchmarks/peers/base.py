"""What the harness asks of a peer."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..workloads import Problem, Workload

__all__ = ["Peer", "Runner", "UnavailableError", "in_place", "load", "shortest"]


class UnavailableError(Exception):
    """A peer that is not installed, or that cannot express a workload."""


class Runner(NamedTuple):
    """A problem made ready; to be kept as a whole, since each part may own arrays.

    Attributes:
        run: computes value and all derivatives once, and is what is timed.
        read: turns what `run` returned into NumPy arrays or numbers, value first.
    """

    run: Callable[[], Any]
    read: Callable[[Any], Sequence[Any]]


class Peer:
    """A system that can compute a value with its derivatives.

    Attributes:
        name: its key on the command line.
        title: its name in tables.
        version_of: the distribution whose version the report names, "" for none.
        dtypes: what it computes in.
        note: what a reader of the numbers has to know.
    """

    name = ""
    title = ""
    version_of = ""
    dtypes: tuple[str, ...] = ("float64", "float32")
    note = ""

    def suits(self, workload: Workload) -> bool:
        """Tell whether the row makes sense for a workload at all."""
        return True

    def prepare(self, problem: Problem) -> Runner:
        """Compile for a problem and bind its arrays.

        Raises:
            UnavailableError: the peer is missing, or cannot do this problem.
        """
        raise NotImplementedError


def load(module: str) -> Any:
    """Import a module of a peer.

    Raises:
        UnavailableError: it is not installed, or it fails on import.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnavailableError(f"not installed ({error})") from None
    except Exception as error:
        raise UnavailableError(f"import of {module} fails: {error}") from None


def in_place(buffers: Sequence[np.ndarray]) -> Callable[[Any], Sequence[Any]]:
    """Return the `read` of a peer that writes into given buffers."""
    return lambda _: [buffer.copy() for buffer in buffers]


def shortest(run: Callable[[], Any]) -> float:
    """Return the shortest time of a few calls."""
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
