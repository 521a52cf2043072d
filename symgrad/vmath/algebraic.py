"""Functions of a few selections and roots, without branches."""

from __future__ import annotations

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np
from symgrad.vmath.ieee import as_float, as_floatf, as_int, as_intf, fma, fmaf


def sign(x: float) -> float:
    """Return -1.0, 0.0 or 1.0; NaN for NaN."""
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else 0.0 * x)


def maximum(x: float, y: float) -> float:
    """Return the larger of x and y; NaN if either is NaN."""
    return x if x > y or x != x else y


def minimum(x: float, y: float) -> float:
    """Return the smaller of x and y; NaN if either is NaN."""
    return x if x < y or x != x else y


def heaviside(x: float) -> float:
    """Return 0.0, 0.5 or 1.0 for negative, zero and positive x; NaN for NaN."""
    return 1.0 if x > 0.0 else (0.0 if x < 0.0 else 0.5 + 0.0 * x)


def relu(x: float) -> float:
    """Return max(x, 0); NaN for NaN."""
    return x if x > 0.0 or x != x else 0.0


def _legs(x: float, y: float) -> tuple[float, float, float, float]:
    """Return p >= q, the sorted |x| and |y| times a power of 2, and it with its inverse.

    p is below 2**63, and from 1/2 on unless |x| and |y| are subnormal, so that p*p is in range.
    """
    m, n = as_int(x) & 0x7FFFFFFFFFFFFFFF, as_int(y) & 0x7FFFFFFFFFFFFFFF
    m, n = m if m > n else n, m if m < n else n
    e = m & 0x7C00000000000000
    down, up = as_float(0x7FD0000000000000 - e), as_float(e + 0x0010000000000000)
    return as_float(m) * down, as_float(n) * down, down, up


def _length(p: float, q: float) -> float:
    """Return sqrt(p*p + q*q) for p >= q; below 0.6 ULP.

    The root is corrected with the exact residual of the squares (compare C. F. Borges, ACM
    Trans. Math. Softw. 47 (2021) 9), divided by twice the root to 5 %.
    """
    p_square, q_square = p * p, q * q
    square = p_square + q_square
    low = (p_square - square) + q_square
    low = low + (fma(p, p, -p_square) + fma(q, q, -q_square))
    h = math.sqrt(square)
    return fma(fma(-h, h, square) + low, as_float(0x7FCE666666666667 - as_int(h)), h)


def hypot(x: float, y: float) -> float:
    """Return sqrt(x*x + y*y) without overflow; below 0.6 ULP, 0.8 where it is subnormal."""
    p, q, _, up = _legs(x, y)
    return math.inf if p == math.inf or q == math.inf else _length(p, q) * up


def hypot_slope(x: float, y: float) -> float:
    """Return x/hypot(x, y), the derivative of hypot, 0 at the origin; below 1.6 ULP.

    It is rounded like a quotient by the reciprocal with its residual (P. Markstein, IBM J. Res.
    Dev. 34 (1990) 111).
    """
    p, q, down, _ = _legs(x, y)
    h = _length(p, q)
    flat = p == 0.0 or p == math.inf or q == math.inf
    h, inverse = 0.0 if flat else h, 0.0 if flat else 1.0 / h
    a = x * down
    slope = a * inverse
    return fma(fma(-slope, h, a), inverse, slope)


def atan2_slope(x: float, y: float) -> float:
    """Return y/(x*x + y*y), the derivative of atan2 by x, without overflow; below 2.5 ULP."""
    p, q, down, _ = _legs(x, y)
    # The powers of 2 in two parts, so that nothing leaves the range before the end.
    subnormal = down > 2.0**1000
    first = 2.0**510 if subnormal else (down if down > 1.0 else 1.0)
    second = 2.0**512 if subnormal else (1.0 if down > 1.0 else down)
    return (y * down) * (1.0 / fma(p, p, q * q) * first) * second


def _legsf(x: float, y: float) -> tuple[float, float, float, float]:
    """Return `_legs` of float32 numbers; p is below 2**31."""
    m, n = as_intf(math.fabs(x)), as_intf(math.fabs(y))
    m, n = m if m > n else n, m if m < n else n
    e = m & 0x70000000
    down, up = as_floatf(0x7E800000 - e), as_floatf(e + 0x00800000)
    return np.float32(as_floatf(m) * down), np.float32(as_floatf(n) * down), down, up


def _lengthf(p: float, q: float) -> float:
    """Return `_length` of float32 numbers."""
    p_square, q_square = np.float32(p * p), np.float32(q * q)
    square = np.float32(p_square + q_square)
    low = np.float32(np.float32(p_square - square) + q_square)
    low = np.float32(low + np.float32(fmaf(p, p, -p_square) + fmaf(q, q, -q_square)))
    h = np.float32(math.sqrt(square))
    rest = np.float32(fmaf(-h, h, square) + low)
    return fmaf(rest, as_floatf(0x7E733333 - as_intf(h)), h)


def hypotf(x: float, y: float) -> float:
    """Return sqrt(x*x + y*y) of float32 numbers; below 0.6 ULP, 0.8 where it is subnormal."""
    infinity = np.float32(math.inf)
    p, q, _, up = _legsf(x, y)
    return infinity if p == infinity or q == infinity else np.float32(_lengthf(p, q) * up)


def hypot_slopef(x: float, y: float) -> float:
    """Return x/hypot(x, y) of float32 numbers, 0 at the origin; see `hypot_slope`."""
    infinity, zero, one = np.float32(math.inf), np.float32(0.0), np.float32(1.0)
    p, q, down, _ = _legsf(x, y)
    h = _lengthf(p, q)
    infinite = p == infinity or q == infinity
    flat = infinite or p == zero
    h, inverse = zero if flat else h, zero if flat else np.float32(one / h)
    a = np.float32(x * down)
    slope = np.float32(a * inverse)
    return fmaf(fmaf(-slope, h, a), inverse, slope)


def atan2_slopef(x: float, y: float) -> float:
    """Return y/(x*x + y*y) of float32 numbers, without overflow; see `atan2_slope`."""
    one = np.float32(1.0)
    p, q, down, _ = _legsf(x, y)
    subnormal, small = down > np.float32(2.0**100), down > one
    first = np.float32(2.0**62) if subnormal else (down if small else one)
    second = np.float32(2.0**64) if subnormal else (one if small else down)
    inverse = np.float32(one / fmaf(p, p, np.float32(q * q)))
    return np.float32(np.float32(np.float32(y * down) * np.float32(inverse * first)) * second)
