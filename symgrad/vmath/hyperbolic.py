"""Hyperbolic functions and their inverses without branches.

With x = k*log(2) + r, sinh(x) and cosh(x) are sums of sinh(r) and cosh(r), which are two short
polynomials of r*r, times 2**(k-1) + 2**(-k-1) and 2**(k-1) - 2**(-k-1); nothing is divided.
tanh is their quotient; that of float32 is 1 - 2/(exp(2*x) + 1), a polynomial where x is small.
Sums of unlike size are corrected (Dekker's fast two-sum). Coefficients:
scripts/vmath_coefficients.py. The errors stated are measured by scripts/accuracy.
"""

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np
from symgrad.vmath.exponential import _complementf, _reduced, _reducedf
from symgrad.vmath.ieee import as_float, as_floatf, as_int, fma, fmaf
from symgrad.vmath.logarithmic import _log1p, _log_short, rsqrt, rsqrtf


def _series(z: float) -> tuple[float, float]:
    """Return (sinh(r) - r)/r**3 and (cosh(r) - 1)/r**2 for z = r*r, |r| <= log(2)/2."""
    p = fma(z, 2.510038549551032e-08, 2.7557268459997064e-06)
    p = fma(z, p, 0.00019841269863053618)
    p = fma(z, p, 0.008333333333330062)
    p = fma(z, p, 0.16666666666666669)
    q = fma(z, 2.0918137737642736e-09, 2.75572632790885e-07)
    q = fma(z, q, 2.4801587336442236e-05)
    q = fma(z, q, 0.0013888888888879073)
    q = fma(z, q, 0.04166666666666668)
    q = fma(z, q, 0.5)
    return p, q


def _halves(n: int, r: float) -> tuple[float, float, float, float]:
    """Return S = 2**(k-2), 2**(-k-2), sinh(r) - r and cosh(r) - 1."""
    s = as_float((n + 1021) << 52)
    z = r * r
    p, q = _series(z)
    return s, 0.0625 / s, r * z * p, z * q


def sinh(x: float) -> float:
    """Return the hyperbolic sine, S*exp(r) - exp(-r)/(4*S), S = 2**(k-1); below 0.8 ULP."""
    y = math.fabs(x)
    y = 710.5 if y > 710.5 else y
    n, r, error = _reduced(y)
    s, t, odd, even = _halves(n, r)
    a = s + t
    b = s - t
    c = fma(a, r, b)
    rest = fma(a, r, b - c) + ((s - b) - t)
    rest = fma(fma(b, r, a), error, rest)
    value = (c + fma(a, odd, fma(b, even, rest))) * 2.0
    return x if math.fabs(x) < 1e-17 else math.copysign(value, x)


def cosh(x: float) -> float:
    """Return the hyperbolic cosine, S*exp(r) + exp(-r)/(4*S), S = 2**(k-1); below 0.8 ULP."""
    y = math.fabs(x)
    y = 710.5 if y > 710.5 else y
    n, r, error = _reduced(y)
    s, t, odd, even = _halves(n, r)
    a = s + t
    b = s - t
    c = fma(b, r, a)
    rest = fma(b, r, a - c) + ((s - a) + t)
    rest = fma(fma(a, r, b), error, rest)
    return (c + fma(a, even, fma(b, odd, rest))) * 2.0


def _quotient(x: float) -> tuple[float, float, float, float, float, float]:
    """Return 2**-k, and sinh(y)/2**(k-1) and cosh(y)/2**(k-1) in two parts, y = abs(x).

    The last is 1 over the cosine's. tanh and its derivative share all of this.
    """
    y = math.fabs(x)
    y = 380.0 if y > 380.0 else y
    n, r, error = _reduced(y)
    h = as_float(4607182418800017408 - (n << 52))
    t = h * h
    z = r * r
    p, q = _series(z)
    odd = fma(r * z, p, error)
    even = z * q
    # Up to k = 26 both sums are exact, beyond they are 1 and what they lost is t.
    a = 1.0 + t
    b = 1.0 - t
    lost = (1.0 - a) + t
    lost = fma(-lost, r, lost)
    top = fma(a, r, b)
    top_rest = fma(a, r, b - top) + (fma(a, odd, b * even) - lost)
    bottom = fma(b, r, a)
    bottom_rest = fma(b, r, a - bottom) + (fma(a, even, b * odd) + lost)
    return h, top, top_rest, bottom, bottom_rest, 1.0 / (bottom + bottom_rest)


def tanh(x: float) -> float:
    """Return sinh(x)/cosh(x), the quotient corrected by one step; below 0.8 ULP."""
    _, top, top_rest, bottom, bottom_rest, inverse = _quotient(x)
    value = (top + top_rest) * inverse
    value = fma(fma(-value, bottom, top) + fma(-value, bottom_rest, top_rest), inverse, value)
    return math.copysign(value, x)


def sech2(x: float) -> float:
    """Return 1/cosh(x)**2, the square of the inverse corrected by one step; below 1.6 ULP."""
    h, _, _, bottom, bottom_rest, inverse = _quotient(x)
    error = fma(-inverse, bottom_rest, fma(-inverse, bottom, 1.0))
    square = inverse * inverse
    square = fma(square + square, error, square)
    return square * (h + h) * (h + h)


def asinh(x: float) -> float:
    """Invert sinh by log(1 + y + y*y/(1 + sqrt(1 + y*y))), y = abs(x); below 1.2 ULP."""
    y = math.fabs(x)
    huge = y > 1e150
    v = 1.0 if huge else y
    square = v * v
    t = square / (1.0 + math.sqrt(1.0 + square))
    a = y if huge else v + t
    low = 0.0 if huge else t - (a - v)
    value = _log1p(a, low, 1.0 if huge else 0.0)
    value = value if y < math.inf else y
    return x if y < 1e-17 else math.copysign(value, x)


def acosh(x: float) -> float:
    """Invert cosh by log(1 + t + sqrt(x*x - 1)), t = x - 1; below 1.9 ULP."""
    huge = x > 1e150
    y = 2.0 if huge else x
    t = y - 1.0
    root = math.sqrt(fma(y, y, -1.0))
    a = x if huge else root + t
    low = 0.0 if huge else t - (a - root)
    value = _log1p(a, low, 1.0 if huge else 0.0)
    value = value if x < math.inf else x
    return math.nan if x < 1.0 else value


def _inverse_length(y: float, shift: float) -> float:
    """Return 1/sqrt(y*y + shift) for y >= 0, without overflow."""
    huge = y > 1e150
    scale = 2.409919865102884e-181 if huge else 1.0
    p = y * scale
    return rsqrt(fma(p, p, 0.0 if huge else shift)) * scale


def asinh_slope(x: float) -> float:
    """Return 1/sqrt(1 + x*x), the derivative of asinh, without overflow."""
    return _inverse_length(math.fabs(x), 1.0)


def acosh_slope(x: float) -> float:
    """Return 1/sqrt(x*x - 1), the derivative of acosh, without overflow."""
    value = _inverse_length(x, -1.0)
    return math.nan if x < 1.0 else value


def atanh(x: float) -> float:
    """Invert tanh by (k*log(2) + log((1 + x)/(1 - x)/2**k))/2; below 0.8 ULP."""
    y = math.fabs(x)
    n = ((as_int(1.0 + y) - as_int(1.0 - y) + 2251799813685248) >> 52) & 127
    c = as_float((n + 1023) << 52)
    k = as_float(n | 4841369599423283200) - 4503599627370496.0
    # sums of two parts: g for 1 + y, d for 1 - y
    g = 1.0 + y
    g_low = y - (g - 1.0)
    d = 1.0 - y
    d_low = (1.0 - d) - y
    top = fma(-c, d, g)
    top_rest = fma(-c, d, g - top) + fma(-c, d_low, g_low)
    bottom = fma(c, d, g)
    bottom_rest = fma(c, d, g - bottom) + fma(c, d_low, g_low)
    inverse = 1.0 / bottom
    s = top * inverse
    rest = (fma(-s, bottom, top) + fma(-s, bottom_rest, top_rest)) * inverse
    z = s * s
    w = fma(z, 0.13679467927951358, 0.13200374810884413)
    w = fma(z, w, 0.15389350781340896)
    w = fma(z, w, 0.18181725320076034)
    w = fma(z, w, 0.22222223207967554)
    w = fma(z, w, 0.2857142856630011)
    w = fma(z, w, 0.4000000000001015)
    w = fma(z, w, 0.6666666666666666)
    rest = fma(0.5 * s, z * w, fma(k, 1.6465949582897082e-12 * 0.5, rest))
    a = k * (0.6931471805582987 * 0.5)
    b = a + s
    value = b + ((s - (b - a)) + rest)
    value = math.inf if y == 1.0 else value
    value = math.nan if y > 1.0 else value
    return x if y < 1e-17 else math.copysign(value, x)


def _partsf(r: float) -> tuple[float, float]:
    """Return sinh(r) - r and cosh(r) - 1 for |r| <= log(2)/2."""
    z = np.float32(r * r)
    p = fmaf(z, 0.00019890991097781807, 0.00833331048488617)
    p = fmaf(z, p, 0.1666666716337204)
    q = fmaf(z, 0.0013933649752289057, 0.04166646674275398)
    q = fmaf(z, q, 0.5)
    return np.float32(np.float32(r * z) * p), np.float32(z * q)


def sinhf(x: float) -> float:
    """Return the hyperbolic sine, a float32 number; below 1 ULP."""
    top = np.float32(89.5)
    y = math.fabs(x)
    y = top if y > top else y
    n, r, error = _reducedf(y)
    odd, even = _partsf(r)
    s = as_floatf((n + 125) << 23)
    t = np.float32(np.float32(0.0625) / s)
    a = np.float32(s + t)
    b = np.float32(s - t)
    c = fmaf(a, r, b)
    rest = fmaf(a, r, b - c)
    rest = np.float32(rest + np.float32(np.float32(s - b) - t))
    rest = fmaf(fmaf(b, r, a), error, rest)
    value = np.float32(c + fmaf(a, odd, fmaf(b, even, rest)))
    value = np.float32(value * np.float32(2.0))
    return np.float32(x if math.fabs(x) < np.float32(1e-9) else math.copysign(value, x))


def coshf(x: float) -> float:
    """Return the hyperbolic cosine, a float32 number; below 0.9 ULP."""
    top = np.float32(89.5)
    y = math.fabs(x)
    y = top if y > top else y
    n, r, error = _reducedf(y)
    odd, even = _partsf(r)
    s = as_floatf((n + 125) << 23)
    t = np.float32(np.float32(0.0625) / s)
    a = np.float32(s + t)
    b = np.float32(s - t)
    c = fmaf(b, r, a)
    rest = fmaf(b, r, a - c)
    rest = np.float32(rest + np.float32(np.float32(s - a) + t))
    rest = fmaf(fmaf(a, r, b), error, rest)
    value = np.float32(c + fmaf(a, even, fmaf(b, odd, rest)))
    return np.float32(value * np.float32(2.0))


def _tanh_tailf(z: float) -> float:
    """Return (tanh(r) - r)/r**3 with z = r*r, for r up to 0.625; float32."""
    p = -0.005705265408695076
    p = fmaf(p, z, 0.020639338191136388)
    p = fmaf(p, z, -0.05373979264612895)
    p = fmaf(p, z, 0.1333144314517907)
    return fmaf(p, z, -0.33333281979301665)


def tanhf(x: float) -> float:
    """Return x + x**3*p(x*x) or 1 - 2/(exp(2*x) + 1), a float32 number; below 0.9 ULP."""
    y = math.fabs(x)
    large = fmaf(_complementf(y + y), -4.656612873077393e-10, 1.0)
    z = np.float32(x * x)
    small = fmaf(y * z, _tanh_tailf(z), y)
    return np.float32(math.copysign(small if y < np.float32(0.625) else large, x))


def sech2f(x: float) -> float:
    """Return 1/cosh(x)**2 = t*(2 - t) with t = 2/(exp(2*x) + 1), float32; below 1.6 ULP."""
    y, unit = math.fabs(x), np.float32(4.656612873077393e-10)
    value = _complementf(y + y)
    return np.float32(fmaf(-value, value * unit, value + value) * unit)


def asinhf(x: float) -> float:
    """Invert sinh of a float32 number by log(y + sqrt(1 + y*y)) of doubles; below 0.6 ULP."""
    y = math.fabs(1.0 * x)
    k, rest = _log_short(y + math.sqrt(fma(y, y, 1.0)))
    value = math.copysign(fma(k, 0.6931471805599453, rest), x)
    return np.float32(value if y > 1e-5 and y < math.inf else x)


def acoshf(x: float) -> float:
    """Invert cosh of a float32 number by log(x + sqrt(x*x - 1)) of doubles; below 0.6 ULP."""
    y = 1.0 * x
    k, rest = _log_short(y + math.sqrt(fma(y, y, -1.0)))
    value = fma(k, 0.6931471805599453, rest) if y < math.inf else y
    return np.float32(math.nan if y < 1.0 else value)


def _inverse_lengthf(y: float, shift: float) -> float:
    """Return 1/sqrt(y*y + shift) of a float32 number y >= 0, without overflow."""
    one, zero = np.float32(1.0), np.float32(0.0)
    huge = y > np.float32(1e15)
    scale = np.float32(8.271806125530277e-25) if huge else one
    p = np.float32(y * scale)
    return np.float32(rsqrtf(fmaf(p, p, zero if huge else shift)) * scale)


def asinh_slopef(x: float) -> float:
    """Return 1/sqrt(1 + x*x), the derivative of asinh, without overflow; float32."""
    return _inverse_lengthf(math.fabs(x), np.float32(1.0))


def acosh_slopef(x: float) -> float:
    """Return 1/sqrt(x*x - 1), the derivative of acosh, without overflow; float32."""
    value = _inverse_lengthf(x, np.float32(-1.0))
    return np.float32(math.nan) if x < np.float32(1.0) else value


def atanhf(x: float) -> float:
    """Invert tanh of a float32 number by log((1 + y)/(1 - y))/2 of doubles; below 0.6 ULP."""
    y = math.fabs(1.0 * x)
    k, rest = _log_short((1.0 + y) / (1.0 - y))
    value = fma(k, 0.6931471805599453, rest) * 0.5 if y < 1.0 else math.inf
    value = math.nan if y > 1.0 else value
    return np.float32(math.copysign(value, x) if y > 1e-5 else x)
