"""Functions of a few selections and roots, without branches."""

from __future__ import annotations

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np
from symgrad.vmath.ieee import fma


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


def hypot(x: float, y: float) -> float:
    """Return sqrt(x*x + y*y) without overflow, below 1 ULP.

    The squares are scaled by a power of 2 and the root is corrected with the exact residual
    (C. F. Borges, ACM Trans. Math. Softw. 47 (2021) 9, "fused" variant).
    """
    a, b = math.fabs(x), math.fabs(y)
    large, small = (a, b) if a > b else (b, a)
    down = large > 2.0**500
    up = large < 2.0**-500
    scale = 2.0**-600 if down else (2.0**600 if up else 1.0)
    back = 2.0**600 if down else (2.0**-600 if up else 1.0)
    p, q = large * scale, small * scale
    h = math.sqrt(fma(p, p, q * q))
    square, p_square = h * h, p * p
    rest = fma(-q, q, square - p_square) + fma(h, h, -square) - fma(p, p, -p_square)
    corrected = h - rest / (2.0 * h) if h > 0.0 else h
    infinite = a == math.inf or b == math.inf
    return math.inf if infinite else corrected * back


def hypotf(x: float, y: float) -> float:
    """Return sqrt(x*x + y*y) of float32 numbers, from doubles; below 0.6 ULP."""
    a, b = 1.0 * x, 1.0 * y
    infinite = math.fabs(a) == math.inf or math.fabs(b) == math.inf
    return np.float32(math.inf if infinite else math.sqrt(fma(a, a, b * b)))
