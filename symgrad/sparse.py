"""Sparse results: entries in the order of a Graph's outputs become SciPy's CSR arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .calculus.transform import Sparse
from .errors import DTypeError, MissingDependencyError, ShapeError

__all__ = ["checked", "matrix", "pattern", "scipy_sparse"]


def scipy_sparse() -> Any:
    """Return the module `scipy.sparse`, which is loaded when it is first needed."""
    try:
        import scipy.sparse
    except ImportError:
        raise MissingDependencyError(
            "sparse derivatives need SciPy: install it with pip install scipy"
        ) from None
    return scipy.sparse


def matrix(packing: Sparse, data: np.ndarray) -> Any:
    """Return a new CSR array with the given entries."""
    # SciPy may change the index arrays of a matrix in place, so each has its own.
    structure = packing.indices.copy(), packing.indptr.copy()
    return scipy_sparse().csr_array((data, *structure), shape=packing.shape)


def checked(packing: Sparse, out: Any, name: str = "out") -> Any:
    """Return `out` if it is a CSR array whose entries a result can replace.

    Raises:
        DTypeError: it is no CSR array of doubles.
        ShapeError: it has entries in other places.
    """
    if getattr(out, "format", None) != "csr" or out.data.dtype != np.float64:
        raise DTypeError(f"{name} must be a CSR array of doubles, such as a call returns")
    if (
        out.shape != packing.shape
        or not np.array_equal(out.indptr, packing.indptr)
        or not np.array_equal(out.indices, packing.indices)
    ):
        raise ShapeError(f"{name} has entries in other places than the result")
    return out


def pattern(packing: Sparse) -> Any:
    """Return the CSR array that is True where there is an entry."""
    return matrix(packing, np.ones(packing.indices.size, np.bool_))
