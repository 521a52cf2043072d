"""Sparse results: entries in the order of a Graph's outputs become SciPy's sparse arrays."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from .calculus.transform import Format, Sparse
from .errors import ArgumentError, DTypeError, MissingDependencyError, ShapeError

__all__ = ["check_point", "checked", "matrix", "pattern", "sparse_format"]

_FORMATS: tuple[Format, ...] = get_args(Format)


def sparse_format(sparse: bool | Format) -> Format | None:
    """Return the format that an argument `sparse` asks for, None for a dense result.

    Raises:
        ArgumentError: it is neither a bool nor a format.
        MissingDependencyError: SciPy is needed and not installed.
    """
    if isinstance(sparse, bool | np.bool_):
        wanted = _FORMATS[0] if sparse else None
    elif isinstance(sparse, str) and sparse in _FORMATS:
        wanted = sparse
    else:
        got = repr(sparse) if isinstance(sparse, str) else type(sparse).__name__
        raise ArgumentError(f"sparse= is True, False, 'csr' or 'csc', not {got}")
    if wanted is not None:
        _scipy_sparse()
    return wanted


def _scipy_sparse() -> Any:
    """Return the module `scipy.sparse`, which is loaded when it is first needed."""
    try:
        import scipy.sparse
    except ImportError:
        raise MissingDependencyError(
            "sparse derivatives need SciPy: install it with pip install scipy"
        ) from None
    return scipy.sparse


def check_point(points: tuple[int, ...]) -> None:
    """Refuse arrays of points for a sparse matrix, which has two axes and no more.

    Raises:
        ShapeError: there is an axis of points.
    """
    if points:
        raise ShapeError(
            f"a sparse matrix is taken at one point, and the arguments have points of shape "
            f"{points}: call it for each, or take it with sparse=False"
        )


def matrix(packing: Sparse, data: np.ndarray) -> Any:
    """Return a new CSR or CSC array with the given entries."""
    # SciPy may change the index arrays of a matrix in place, so each has its own.
    structure = packing.indices.copy(), packing.indptr.copy()
    kinds = _scipy_sparse()
    kind = kinds.csr_array if packing.format == "csr" else kinds.csc_array
    return kind((data, *structure), shape=packing.shape)


def checked(packing: Sparse, out: Any, name: str = "out") -> Any:
    """Return `out` if it is a sparse array whose entries a result can replace.

    Raises:
        DTypeError: it is no array of doubles in the format of the result.
        ShapeError: it has entries in other places.
    """
    if getattr(out, "format", None) != packing.format or out.data.dtype != np.float64:
        kind = packing.format.upper()
        raise DTypeError(f"{name} must be a {kind} array of doubles, such as a call returns")
    if (
        out.shape != packing.shape
        or not np.array_equal(out.indptr, packing.indptr)
        or not np.array_equal(out.indices, packing.indices)
    ):
        raise ShapeError(f"{name} has entries in other places than the result")
    return out


def pattern(packing: Sparse) -> Any:
    """Return the sparse array that is True where there is an entry."""
    return matrix(packing, np.ones(packing.indices.size, np.bool_))
