"""The functions of `math` and NumPy that primitives call, for plain Python.

They return NaN and infinities where `math` raises, as compiled code does. The modules of
primitives import this one in place of `math` and `numpy`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction

copysign = math.copysign
e = math.e
fabs = math.fabs
inf = math.inf
nan = math.nan
pi = math.pi


def _always_nan(_: float) -> float:
    return nan


def _always_inf(_: float) -> float:
    return inf


def _signed_inf(x: float) -> float:
    return copysign(inf, x)


def _total(
    f: Callable[[float], float],
    outside: Callable[[float], float] = _always_nan,
    overflow: Callable[[float], float] = _always_inf,
) -> Callable[[float], float]:
    """Return f with values instead of exceptions."""

    def total(x: float) -> float:
        try:
            return f(x)
        except ValueError:
            return outside(x)
        except OverflowError:
            return overflow(x)

    return total


def _rounding(f: Callable[[float], int]) -> Callable[[float], float]:
    """Return a rounding function with a float result that keeps the sign of zero."""

    def rounded(x: float) -> float:
        return copysign(float(f(x)), x) if fabs(x) < 2.0**52 else x

    return rounded


acos = _total(math.acos)
acosh = _total(math.acosh)
asin = _total(math.asin)
asinh = math.asinh
atan = math.atan
atan2 = math.atan2
atanh = _total(math.atanh, lambda x: copysign(inf, x) if fabs(x) == 1.0 else nan)
cbrt = math.cbrt
ceil = _rounding(math.ceil)
cos = _total(math.cos)
cosh = _total(math.cosh)
erf = math.erf
erfc = math.erfc
exp = _total(math.exp)
exp2 = _total(math.exp2)
expm1 = _total(math.expm1)
floor = _rounding(math.floor)
gamma = _total(math.gamma, lambda x: copysign(inf, x) if x == 0.0 else nan, _signed_inf)
hypot = math.hypot
lgamma = _total(math.lgamma, _always_inf)
log = _total(math.log, lambda x: -inf if x == 0.0 else nan)
log10 = _total(math.log10, lambda x: -inf if x == 0.0 else nan)
log1p = _total(math.log1p, lambda x: -inf if x == -1.0 else nan)
log2 = _total(math.log2, lambda x: -inf if x == 0.0 else nan)
rint = _rounding(round)
sin = _total(math.sin)
sinh = _total(math.sinh, overflow=_signed_inf)
sqrt = _total(math.sqrt)
tan = _total(math.tan)
tanh = math.tanh
trunc = _rounding(math.trunc)


def fmod(x: float, y: float) -> float:
    """Return the remainder of x/y with the sign of x."""
    try:
        return math.fmod(x, y)
    except ValueError:
        return nan


def pow(x: float, y: float) -> float:
    """Return x**y as the C function does."""
    odd = fabs(y) < 2.0**53 and math.fmod(y, 2.0) != 0.0 and y == floor(y)
    try:
        return math.pow(x, y)
    except OverflowError:
        return copysign(inf, x) if odd else inf
    except ValueError:
        if x == 0.0:
            return copysign(inf, x) if odd else inf
        return nan


def divide(x: float, y: float) -> float:
    """Return x/y, by zero as well."""
    if y != 0.0:
        return x / y
    return nan if x == 0.0 or x != x else copysign(inf, x) * copysign(1.0, y)


def fma(a: float, b: float, c: float) -> float:
    """Return a*b + c, rounded once."""
    rough = a * b + c
    if not (math.isfinite(a) and math.isfinite(b)):
        return rough
    if not math.isfinite(c):
        return c
    (p, q), (r, s), (t, u) = a.as_integer_ratio(), b.as_integer_ratio(), c.as_integer_ratio()
    numerator = p * r * u + t * q * s
    if numerator == 0:
        return rough
    try:
        return numerator / (q * s * u)
    except OverflowError:
        return copysign(inf, rough)


def plus(a: float, b: float) -> float:
    """Return a + b."""
    return a + b


def plus_product(total: float, a: float, b: float) -> float:
    """Return total + a*b."""
    return total + a * b


def plus_productf(total: float, a: float, b: float) -> float:
    """Return total + a*b for float32 numbers."""
    return float32(total + float32(a * b))


def plusf(a: float, b: float) -> float:
    """Return a + b for float32 numbers."""
    return float32(a + b)


def times(a: float, b: float) -> float:
    """Return a*b."""
    return a * b


def larger(a: float, b: float) -> float:
    """Return the larger of a and b; NaN if either is NaN, and -0.0 < 0.0."""
    if a != a or b != b:
        return nan
    if a == b:
        return b if copysign(1.0, a) < 0.0 else a
    return a if a > b else b


def smaller(a: float, b: float) -> float:
    """Return the smaller of a and b; NaN if either is NaN, and -0.0 < 0.0."""
    return -larger(-a, -b)


largerf = larger
smallerf = smaller


def no_overlap() -> None:
    """Do nothing: the promise is for compilers."""


def interleaved(many: int, few: int) -> None:
    """Ask that so many vectors be taken at a time in the loop before; not here."""


def wide_vectors() -> None:
    """Do nothing: the wish is for compilers."""


def has_avx512() -> bool:
    """Return False: what follows up to `scaledf` is not called."""
    return False


def exponent(x: float) -> float:
    """Return k of x = m*2**k with 1 <= abs(m) < 2; -infinity for 0."""
    if math.isfinite(x):
        return math.frexp(x)[1] - 1.0 if x else -inf
    return fabs(x)


def significand(x: float) -> float:
    """Return m of x = m*2**k with 1 <= abs(m) < 2."""
    if x == 0.0 or fabs(x) == inf:
        return copysign(1.0, x)
    return 2.0 * math.frexp(x)[0]


def scaled(x: float, k: float) -> float:
    """Return x*2**floor(k), rounded once; k may be infinite."""
    if x != x or k != k:
        return nan
    try:
        return math.ldexp(x, math.floor(larger(-3000.0, smaller(k, 3000.0))))
    except OverflowError:
        return copysign(inf, x)


def log_edges(x: float, value: float) -> float:
    """Return the value, or that of a logarithm where x is not positive or not finite."""
    if 0.0 < x < inf:
        return value
    return log(x)


def root_edges(x: float, value: float) -> float:
    """Return the value, or that of 1/sqrt(x) where x is not positive or not finite."""
    if 0.0 < x < inf:
        return value
    if x == 0.0:
        return copysign(inf, x)
    return 0.0 if x > 0.0 else nan


exponentf = exponent
significandf = significand
log_edgesf = log_edges
root_edgesf = root_edges


def scaledf(x: float, k: float) -> float:
    """Return x*2**floor(k) of float32 numbers, rounded once; k may be infinite."""
    return float32(scaled(x, k))


def as_int(x: float) -> int:
    """Return the bits of a double as a signed integer."""
    return int(struct.unpack("<q", struct.pack("<d", x))[0])


def as_float(n: int) -> float:
    """Return the double with the given bits; integers wrap around at 64 bits."""
    return float(struct.unpack("<d", struct.pack("<Q", n & 0xFFFFFFFFFFFFFFFF))[0])


def float32(x: float) -> float:
    """Return the nearest float32 number."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", x))[0])
    except OverflowError:
        return copysign(inf, x)


def fmaf(a: float, b: float, c: float) -> float:
    """Return a*b + c for float32 numbers, rounded once."""
    a, b, c = float32(a), float32(b), float32(c)
    rough = a * b + c
    if not math.isfinite(rough):
        return rough
    product = Fraction(a) * Fraction(b)
    error = product + Fraction(c) - Fraction(rough)
    if error != 0:
        # To odd: the double between the sum and its neighbour is never a tie of float32.
        bits = as_int(rough)
        if not bits & 1:
            away = (error > 0) == (rough > 0.0)
            rough = as_float(bits + 1 if away else bits - 1)
    return float32(rough)


def as_intf(x: float) -> int:
    """Return the bits of a float32 number as a signed integer."""
    return int(struct.unpack("<i", struct.pack("<f", float32(x)))[0])


def as_floatf(n: int) -> float:
    """Return the float32 number with the given bits; integers wrap around at 32 bits."""
    return float(struct.unpack("<f", struct.pack("<I", n & 0xFFFFFFFF))[0])
