"""The one look at every argument before a launch, and the broadcasting plan.

What `operand` lets through cannot crash a kernel; what it refuses gets one line that
names the argument. `layout` says over which axes a kernel loops and which argument varies
over which of them; `flat` hands the kernel the elements; `check_out` and `share` guard
the arrays that the caller wants to be written.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from symgrad.errors import DTypeError, ShapeError

__all__ = [
    "Layout",
    "check_out",
    "flat",
    "layout",
    "natural_shape",
    "operand",
    "result_dtype",
    "share",
]

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_LARGEST = sys.maxsize // 8

_ADVICE = {
    "c": "pass its real and imaginary parts as two arguments",
    "O": "convert it with numpy.asarray({name}, dtype=float)",
    "S": "convert text to numbers first",
    "U": "convert text to numbers first",
    "T": "convert text to numbers first",
    "M": "subtract an origin and divide by a unit such as numpy.timedelta64(1, 's')",
    "m": "divide it by a unit such as numpy.timedelta64(1, 's')",
    "V": "pass one field, or convert it with numpy.asarray({name}, dtype=float)",
}


def operand(value: object, name: str) -> float | np.ndarray:
    """Return `value` as a number or a float array, or refuse it in one line.

    Python numbers come back as `float`, and so do NumPy's integer, boolean and
    double scalars, as `numpy.float64`. Arrays keep their memory, strides and byte order
    when they are float32 or float64. Booleans and integers become float64, rounded to the
    nearest double beyond 2**53 as NumPy rounds them; float16 becomes float32, exactly;
    `longdouble` becomes float64 and loses its extra digits.

    Args:
        value: a number, an array of any strides and byte order, nested lists of numbers,
            or an object that NumPy can read as an array, such as a pandas Series.
        name: how the user calls the argument.

    Raises:
        DTypeError: `value` is not made of real numbers, or carries a mask, units or
            other rules that would be lost.
        ShapeError: a ragged or too deeply nested list.

    >>> operand(2, "x"), operand([1, 2], "x")
    (2.0, array([1., 2.]))
    >>> operand(1j, "x")
    Traceback (most recent call last):
    symgrad.errors.DTypeError: argument 'x' has dtype complex128, not real numbers: \
pass its real and imaginary parts as two arguments
    """
    kind = type(value)
    if kind is float or kind is np.float64:
        return value  # type: ignore[return-value]
    if kind is np.ndarray:
        return _as_float(value, name)  # type: ignore[arg-type]
    if isinstance(value, np.generic):
        return _scalar(value, name)
    if isinstance(value, int | float):
        return _number(value, name)
    return _as_float(_converted(value, name), name)


def _number(value: float, name: str) -> float:
    try:
        return float(value)
    except OverflowError:
        message = f"argument {name!r} is an integer too large for a double"
        raise DTypeError(message) from None


def _scalar(value: np.generic, name: str) -> float | np.ndarray:
    """Keep the dtype of a NumPy scalar, which takes part in promotion."""
    array = _as_float(np.asarray(value), name)
    # numpy.float64 is a float; a smaller scalar stays an array to be remembered as such.
    return array[()] if array.dtype == _FLOAT64 else array


def _as_float(array: np.ndarray, name: str) -> np.ndarray:
    char = array.dtype.char
    if char in "df":
        return array
    if char == "e":
        return array.astype(_FLOAT32)
    if array.dtype.kind in "biu":
        return array.astype(_FLOAT64)
    if array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            return array.astype(_FLOAT64)
    raise _refusal(name, array.dtype)


def _refusal(name: str, dtype: np.dtype) -> DTypeError:
    shown = "mixed fields" if dtype.names else f"dtype {dtype}"
    advice = _ADVICE.get(dtype.kind, _ADVICE["V"]).format(name=name)
    return DTypeError(f"argument {name!r} has {shown}, not real numbers: {advice}")


def _converted(value: object, name: str) -> np.ndarray:
    """Read anything but an exact ndarray, a scalar or a Python number as an array."""
    if value is None:
        raise DTypeError(f"argument {name!r} is None: pass a number or an array")
    if isinstance(value, np.ndarray):
        _refuse_subclass(value, name)
    elif isinstance(value, list | tuple):
        _refuse_masked_items(value, name)
    try:
        return np.asarray(value)
    except ValueError as error:
        if isinstance(value, list | tuple):
            raise ShapeError(
                f"argument {name!r} is a nested list whose rows differ in length "
                "or that is nested too deeply: make it rectangular"
            ) from None
        raise _unreadable(value, name, error) from error
    except Exception as error:
        raise _unreadable(value, name, error) from error


def _unreadable(value: object, name: str, error: Exception) -> DTypeError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    kind = type(value).__name__
    return DTypeError(f"argument {name!r} ({kind}) cannot be read as an array: {reason}")


def _refuse_subclass(value: np.ndarray, name: str) -> None:
    """Refuse arrays with rules of their own, which a kernel would silently ignore."""
    kind = type(value)
    if _is_masked(kind):
        raise DTypeError(
            f"argument {name!r} is a masked array: "
            f"pass {name}.filled(value) or {name}.compressed()"
        )
    overrides = kind.__array_ufunc__ is not np.ndarray.__array_ufunc__
    if overrides or issubclass(kind, np.matrix):
        raise DTypeError(
            f"argument {name!r} is a {kind.__module__}.{kind.__qualname__}, "
            f"whose own rules a kernel would ignore: pass numpy.asarray({name})"
        )


def _refuse_masked_items(value: Sequence[object], name: str) -> None:
    if any(_is_masked(kind) for kind in set(map(type, value))):
        raise DTypeError(f"argument {name!r} is a list of masked arrays: fill them first")


def _is_masked(kind: type) -> bool:
    # Looked up, not imported: where nobody imported numpy.ma nothing is masked.
    masked = sys.modules.get("numpy.ma")
    return masked is not None and issubclass(kind, masked.MaskedArray)


def result_dtype(values: Sequence[object]) -> np.dtype:
    """Return float32 or float64: the precision in which `values` meet.

    Python numbers adapt to the others, NumPy scalars and arrays do not, as in NumPy;
    integers and booleans count as float64, float16 as float32. Takes arguments as the
    user passed them or as `operand` returned them, with the same answer.

    >>> single = np.ones(3, np.float32)
    >>> result_dtype([single, 2.0]), result_dtype([single, np.float64(2.0)])
    (dtype('float32'), dtype('float64'))
    """
    single = False
    for value in values:
        dtype = _dtype(value)
        if dtype is None:
            continue
        if dtype.char not in "fe":
            return _FLOAT64
        single = True
    return _FLOAT32 if single else _FLOAT64


def _dtype(value: object) -> np.dtype | None:
    """Return the dtype that takes part in promotion, None for a Python number."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype
    if isinstance(value, int | float):
        return None
    return np.asarray(value).dtype


@dataclass(frozen=True, slots=True)
class Layout:
    """How the shapes of all arguments broadcast, with equal dimensions run together.

    Attributes:
        shape: the broadcast shape of all arguments.
        extents: the sizes of the collapsed axes, outermost first.
        axes: for each argument, bit k set if it varies over collapsed axis k; 0 for
            numbers.
        groups: for each dimension of `shape` its collapsed axis, -1 where its size is 1.
    """

    shape: tuple[int, ...]
    extents: tuple[int, ...]
    axes: tuple[int, ...]
    groups: tuple[int, ...]


def layout(arrays: Sequence[float | np.ndarray], names: Sequence[str]) -> Layout:
    """Broadcast the shapes of `arrays` and collapse what can be one loop.

    Neighbouring dimensions over which every argument behaves alike become one axis;
    dimensions of broadcast size 1 are dropped.

    Args:
        arrays: the arguments, as `operand` returned them.
        names: how the user calls them, for the error.

    Raises:
        ShapeError: the shapes do not broadcast together.

    >>> plan = layout([np.ones((3, 4, 5)), np.ones(5), 2.0], ["x", "y", "z"])
    >>> plan.extents, plan.axes, plan.groups
    ((12, 5), (3, 2, 0), (0, 0, 1))
    """
    shapes = tuple([a.shape if isinstance(a, np.ndarray) else () for a in arrays])
    try:
        return _plan(shapes)
    except ValueError as error:
        parts = [f"{n} {s}" for n, s in zip(names, shapes, strict=True) if s]
        listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
        raise ShapeError(f"the shapes of {listed} {error}") from None


@lru_cache(maxsize=4096)
def _plan(shapes: tuple[tuple[int, ...], ...]) -> Layout:
    ndim = max(map(len, shapes), default=0)
    padded = [(1,) * (ndim - len(shape)) + shape for shape in shapes]
    shape = tuple(_broadcast(sizes) for sizes in zip(*padded, strict=True))
    # An empty array is limited too: NumPy leaves out its zeros when it counts the rest.
    if math.prod(n for n in shape if n) > _LARGEST:
        raise ValueError(f"broadcast to {shape}, more elements than memory has addresses")
    extents: list[int] = []
    groups: list[int] = []
    axes = [0] * len(shapes)
    previous: list[bool] | None = None
    for size, sizes in zip(shape, zip(*padded, strict=True), strict=True):
        if size == 1:
            groups.append(-1)
            continue
        varies = [n != 1 for n in sizes]
        if varies == previous:
            extents[-1] *= size
        else:
            axes = [a | v << len(extents) for a, v in zip(axes, varies, strict=True)]
            extents.append(size)
        groups.append(len(extents) - 1)
        previous = varies
    return Layout(shape, tuple(extents), tuple(axes), tuple(groups))


def _broadcast(sizes: tuple[int, ...]) -> int:
    different = set(sizes) - {1}
    if len(different) > 1:
        raise ValueError("do not broadcast together")
    return different.pop() if different else 1


def natural_shape(axes: int, layout: Layout) -> tuple[int, ...]:
    """Return the shape of a quantity that varies over the collapsed axes in `axes`.

    It has as many dimensions as the broadcast shape, of size 1 where it does not vary.

    >>> plan = layout([np.ones((3, 4, 5)), np.ones(5)], ["x", "y"])
    >>> natural_shape(0b01, plan), natural_shape(0b10, plan), natural_shape(0, plan)
    ((3, 4, 1), (1, 1, 5), (1, 1, 1))
    """
    return tuple(
        size if group >= 0 and axes >> group & 1 else 1
        for size, group in zip(layout.shape, layout.groups, strict=True)
    )


def flat(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the elements of `array` in C order, in one dimension, as a kernel reads them.

    Contiguous, aligned and of exactly `dtype` in native byte order: a view where
    `array` is that already, read-only if it is, else a copy. Nothing is broadcast.

    >>> flat(np.array([[1, 2], [3, 4]], ">f8").T, np.dtype(float))
    array([1., 3., 2., 4.])
    """
    if array.dtype == dtype:
        flags = array.flags
        plain = flags.c_contiguous and flags.aligned
        return (array if plain else array.copy()).reshape(-1)
    # A signalling NaN or a number too large for `dtype` is not worth a warning.
    with np.errstate(all="ignore"):
        return array.astype(dtype, order="C").reshape(-1)


def check_out(
    out: object, shape: tuple[int, ...], dtype: np.dtype, name: str = "out"
) -> np.ndarray:
    """Return `out` if a result of `shape` and `dtype` can be written into it.

    Any strides will do, as long as no two elements share memory.

    Raises:
        DTypeError: `out` is not an array or not of exactly `dtype`.
        ShapeError: it has another shape, is read-only or overlaps itself.
    """
    if not isinstance(out, np.ndarray):
        kind = type(out).__name__
        raise DTypeError(f"{name} is a {kind}: pass a numpy.ndarray of dtype {dtype}")
    if type(out) is not np.ndarray:
        _refuse_subclass(out, name)
    if out.dtype != dtype:
        raise DTypeError(f"{name} has dtype {out.dtype}, the result has {dtype}")
    if out.shape != shape:
        raise ShapeError(f"{name} has shape {out.shape}, the result has {shape}")
    if not out.flags.writeable:
        raise ShapeError(f"{name} is read-only")
    if not out.flags.forc and _overlaps_itself(out):
        raise ShapeError(f"{name} has elements that share memory: pass a copy")
    return out


def _overlaps_itself(array: np.ndarray) -> bool:
    """Say whether two elements may share memory; exotic interleavings count as well."""
    if array.size == 0:
        return False
    steps = sorted(
        (abs(stride), size)
        for stride, size in zip(array.strides, array.shape, strict=True)
        if size > 1
    )
    reach = array.itemsize
    for stride, size in steps:
        if stride < reach:
            return True
        reach += stride * (size - 1)
    return False


def share(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether `a` and `b` may share memory, with little work and True in doubt.

    >>> x = np.zeros(6)
    >>> share(x, x), share(x[1:], x[:-1]), share(x[:3], x[3:]), share(x[::2], x[1::2])
    (True, True, False, False)
    """
    # NumPy documents every non-negative max_work, its annotations know 0 only.
    return np.may_share_memory(a, b, max_work=1)  # type: ignore[arg-type]
