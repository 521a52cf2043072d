"""Starting Numba, which takes longer than most of what is compiled afterwards."""

from __future__ import annotations

import functools
import importlib
import importlib.util

__all__ = ["start_numba"]


@functools.cache
def start_numba() -> None:
    """Import what Numba compiles with, but not SciPy.

    Numba imports `scipy.linalg`, a third of its own time, only to learn whether there is a
    BLAS for `numpy.dot`. Where SciPy is installed the answer can wait: Numba asks again when
    it compiles such a call, which kernels do not contain.
    """
    linalg = importlib.import_module("numba.np.linalg")
    ask = getattr(linalg, "ensure_blas", None)
    if ask is None or importlib.util.find_spec("scipy") is None:
        return
    linalg.ensure_blas = lambda: None  # type: ignore[attr-defined]
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = ask  # type: ignore[attr-defined]
