"""Memory that kernels take for themselves."""

from __future__ import annotations

__all__ = ["ALIGNED", "APART", "BYTES", "print_rows"]

#: Bytes of the widest vectors, and of a line of the cache.
ALIGNED = 64
#: So many elements longer than what they hold are rows, which at distances of a power of two
#: would compete for places in the cache.
APART = 8
#: Bytes of a number.
BYTES = {"float64": 8, "float32": 4}


def print_rows(
    name: str, count: int | str, width: int | str, dtype: str, *, memory: str, skipped: str
) -> list[str]:
    """Return statements that make a matrix without values that begins where vectors should.

    Where NumPy's and Numba's memory begins, each vector of 64 bytes would lie in two lines of
    the cache, and take twice as long to read and to write.

    Args:
        name: what the matrix is called.
        count: the number of rows, or the expression of it.
        width: the same of columns.
        dtype: "float64" or "float32".
        memory: what to call the memory in which it lies.
        skipped: what to call the number of elements before it.

    >>> for line in print_rows("kept", 3, 256, "float64", memory="m", skipped="s"):
    ...     print(line)
    m = np.empty(3*256 + 8)
    s = -(m.ctypes.data >> 3) & 7
    kept = m[s:s + 3*256].reshape((3, 256))
    """
    size = BYTES[dtype]
    lanes = ALIGNED // size
    kind = "" if dtype == "float64" else ", np.float32"
    shift = size.bit_length() - 1
    return [
        f"{memory} = np.empty({count}*{width} + {lanes}{kind})",
        f"{skipped} = -({memory}.ctypes.data >> {shift}) & {lanes - 1}",
        f"{name} = {memory}[{skipped}:{skipped} + {count}*{width}].reshape(({count}, {width}))",
    ]
