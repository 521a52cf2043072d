"""Logarithms, roots and powers without branches.

Method of the logarithms: x = 2**k * (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), taken
apart by bits; log(1 + f) = 2*atanh(s) with s = f/(2 + f), as f - s*(f - s*s*w(s*s)) where w is
a polynomial (Muller, Elementary Functions, chapter 11). k*log(2) is exact in its first part;
its sum with f is corrected (Dekker's fast two-sum). Coefficients:
scripts/vmath_coefficients.py. The errors stated are measured by scripts/accuracy.
"""

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np
from symgrad.vmath.ieee import (
    as_float,
    as_floatf,
    as_int,
    as_intf,
    exponent,
    exponentf,
    fma,
    fmaf,
    has_avx512,
    log_edges,
    log_edgesf,
    root_edges,
    root_edgesf,
    significand,
    significandf,
)


def _split(x: float) -> tuple[float, float]:
    """Return k and f of a finite x > 0, 2**k*(1 + f) = x; rubbish for other x."""
    tiny = x < 2.2250738585072014e-308
    n = as_int(x * 18014398509481984.0 if tiny else x) + 2638147582215219
    k = as_float(((n >> 52) & 4095) | 4841369599423283200)
    f = as_float((n & 4503599627370495) + 4604544271217802189) - 1.0
    return k - (4503599627371573.0 if tiny else 4503599627371519.0), f


def _parts(x: float) -> tuple[float, float]:
    """Return `_split(x)`, by instructions where there are any."""
    if not has_avx512():
        return _split(x)
    k, m = exponent(x), significand(x)
    high = m >= 1.4142135623730951
    return (k + 1.0 if high else k), (0.5 * m if high else m) - 1.0


def _log_tail(f: float, s: float, rest: float) -> float:
    """Return log(1 + f) - f + rest; s is f/(2 + f), at most 0.172."""
    z = s * s
    w = fma(z, 0.14616449685043406, 0.15331721600556042)
    w = fma(z, w, 0.18182889125261723)
    w = fma(z, w, 0.2222221113479508)
    w = fma(z, w, 0.28571428625975487)
    w = fma(z, w, 0.39999999999899505)
    w = fma(z, w, 0.666666666666667)
    return fma(s, fma(z, w, -f), rest)


def _log_tail_fine(f: float, s: float) -> float:
    """Return log(1 + f) - f as s*(f*f/2 + z*w) - f*f/2, with a smaller error."""
    z = s * s
    w = fma(z, 0.14616449685043406, 0.15331721600556042)
    w = fma(z, w, 0.18182889125261723)
    w = fma(z, w, 0.2222221113479508)
    w = fma(z, w, 0.28571428625975487)
    w = fma(z, w, 0.39999999999899505)
    w = fma(z, w, 0.666666666666667)
    half = 0.5 * f
    return fma(-half, f, s * fma(z, w, half * f))


def _limits(x: float, value: float) -> float:
    """Return the value, or that of a logarithm where x is not positive or not finite."""
    value = value if x < math.inf else x
    edge = -math.inf if x == 0.0 else math.nan
    return edge if x <= 0.0 else value


def _edges(x: float, value: float) -> float:
    """Return `_limits(x, value)`, by an instruction where there is one."""
    return log_edges(x, value) if has_avx512() else _limits(x, value)


def log(x: float) -> float:
    """Return the natural logarithm; below 1 ULP."""
    k, f = _parts(x)
    rest = _log_tail(f, f / (2.0 + f), k * 1.6465949582897082e-12)
    a = k * 0.6931471805582987
    b = a + f
    return _edges(x, b + ((f - (b - a)) + rest))


def log2(x: float) -> float:
    """Return the logarithm to base 2; below 1 ULP."""
    k, f = _parts(x)
    rest = _log_tail_fine(f, f / (2.0 + f))
    p = f * 1.4426950408889634
    rest = fma(
        rest, 1.4426950408889634, fma(f, 1.4426950408889634, -p) + f * 2.0355273740931033e-17
    )
    b = k + p
    return _edges(x, b + ((p - (b - k)) + rest))


def log10(x: float) -> float:
    """Return the logarithm to base 10; below 1 ULP."""
    k, f = _parts(x)
    rest = _log_tail_fine(f, f / (2.0 + f))
    p = f * 0.4342944819032518
    rest = fma(
        rest, 0.4342944819032518, fma(f, 0.4342944819032518, -p) + f * 1.098319650216765e-17
    )
    rest = fma(k, -8.532344317057107e-14, rest)
    a = k * 0.3010299956640665
    b = a + p
    return _edges(x, b + ((p - (b - a)) + rest))


def _log1p(x: float, low: float, ks: float) -> float:
    """Return log(1 + x + low) + ks*log(2) for x > -1 and a low below an ULP of x."""
    n = as_int(1.0 + x) + 2638147582215219
    n = (n >> 52) & 4095
    k = as_float(n | 4841369599423283200) - 4503599627371519.0
    s = as_float((2048 - n) << 52)
    a = 0.25 * s - 1.0
    b = 0.25 * x * s
    f = a + b
    rest = fma(0.25 * s, low, b - (f - a))
    k = k + ks
    rest = _log_tail(f, f / (2.0 + f), fma(k, 1.6465949582897082e-12, fma(-f, rest, rest)))
    a = k * 0.6931471805582987
    b = a + f
    return b + ((f - (b - a)) + rest)


def log1p(x: float) -> float:
    """Return log(1 + x); below 0.9 ULP."""
    value = _edges(1.0 + x, _log1p(x, 0.0, 0.0))
    return x if math.fabs(x) < 1e-17 else value


def _inverse_root_tail(z: float) -> float:
    """Return (1/sqrt(1 - z) - 1)/z for |z| up to 0.069."""
    p = 0.31328388143962366
    p = fma(p, z, 0.3759609882909578)
    return fma(p, z, 0.499999420488641)


def _inverse_root(z: float) -> float:
    """Return 1/sqrt(z) of a normal number z > 0; below 0.6 ULP.

    The bits of z, halved and taken from a constant, are a guess to 3.5 % (C. Lomont, "Fast
    inverse square root", Purdue University 2003). With h = 1 - z*y*y the root is y/sqrt(1 - h);
    two steps follow, the second from an h with the rounding error of z*y.
    """
    y = as_float(6910469410427058089 - ((as_int(z) >> 1) & 9223372036854775807))
    h = fma(-z * y, y, 1.0)
    y = fma(y * h, _inverse_root_tail(h), y)
    t = z * y
    h = fma(-fma(z, y, -t), y, fma(-t, y, 1.0))
    return fma(y * h, fma(h, 0.375, 0.5), y)


def _inverse_root_limits(x: float, value: float) -> float:
    """Return the value, or that of 1/sqrt(x) where x is not positive or not finite."""
    edge = math.copysign(math.inf, x) if x == 0.0 else math.nan
    edge = 0.0 if x == math.inf else edge
    return value if x > 0.0 and x < math.inf else edge


def rsqrt(x: float) -> float:
    """Return 1/sqrt(x) without a root or a division, which are slow; below 0.6 ULP."""
    tiny = x < 2.2250738585072014e-308
    z = x * 18014398509481984.0 if tiny else 1.0 * x
    value = _inverse_root(z) * (134217728.0 if tiny else 1.0)
    return root_edges(x, value) if has_avx512() else _inverse_root_limits(x, value)


def _cube_root(x: float) -> tuple[float, float, float]:
    """Return m, m**(-1/3) and 2**j with x = 2**(3*j)*m, for finite x > 0.

    A polynomial and a step of Newton's method with its next two terms.
    """
    k, f = _split(x)
    m = 1.0 + f
    c = fma(m, -0.10484262703707782, 0.683577431562695)
    c = fma(m, c, -1.8620663942011886)
    c = fma(m, c, 2.754857752141042)
    c = fma(m, c, -2.4668647417873153)
    c = fma(m, c, 1.995341481913526)
    third = fma(k, 0.3333333333333333, 6755399441055744.0)
    j = third - 6755399441055744.0
    e = fma(j, -3.0, k)
    m = m * (0.5 if e < 0.0 else 1.0) * (2.0 if e > 0.0 else 1.0)
    c = c * (1.2599210498948732 if e < 0.0 else 1.0) * (0.7937005259840998 if e > 0.0 else 1.0)
    h = fma(-m * c, c * c, 1.0)
    c = fma(
        c, h * fma(h, fma(h, 0.1728395061728395, 0.2222222222222222), 0.3333333333333333), c
    )
    return m, c, as_float((as_int(third) + 1023) << 52)


def cbrt(x: float) -> float:
    """Return the cube root, corrected by its residual; below 0.6 ULP."""
    y = math.fabs(x)
    m, c, scale = _cube_root(y)
    square = c * c
    r = m * square
    cube = r * r
    error = fma(-r, fma(r, r, -cube), fma(-r, cube, m))
    value = fma(error, 0.3333333333333333 * square, r) * scale
    return math.copysign(value, x) if y > 0.0 and y < math.inf else 1.0 * x


def _log2_twice(x: float) -> tuple[float, float]:
    """Return log2(x) in two parts, to 2**-66 of it, for finite x > 0."""
    k, f = _split(x)
    d = 2.0 + f
    inverse = 1.0 / d
    s = f * inverse
    # s + low = f/(2 + f)
    low = fma(-s, f - (d - 2.0), fma(-s, d, f)) * inverse
    z = s * s
    z_low = fma(s, s, -z) + 2.0 * s * low
    w = fma(z, 0.11723051028097753, 0.11706248540922386)
    w = fma(z, w, 0.13334804238225345)
    w = fma(z, w, 0.15384594970895457)
    w = fma(z, w, 0.18181818335314404)
    w = fma(z, w, 0.22222222221656232)
    w = fma(z, w, 0.28571428571429364)
    w = fma(z, w, 0.4)
    # p + p_low = 2/3 + z*w
    q = z * w
    p = 0.6666666666666666 + q
    p_low = (0.6666666666666666 - p) + q + 3.700743415417188e-17
    # u + u_low = s*z*(2/3 + z*w)
    a = s * z
    a_low = fma(s, z, -a) + fma(s, z_low, low * z)
    u = a * p
    u_low = fma(a, p, -u) + fma(a, p_low, a_low * p)
    # v + v_low = 2*s + u, the logarithm
    v = 2.0 * s + u
    v_low = (u - (v - 2.0 * s)) + fma(2.0, low, u_low)
    # times 1/log(2), plus k
    b = v * 1.4426950408889634
    b_low = fma(v, 1.4426950408889634, -b) + fma(
        v, 2.0355273740931033e-17, v_low * 1.4426950408889634
    )
    high = k + b
    return high, (b - (high - k)) + b_low


def power(x: float, y: float) -> float:
    """Return x**y as C's pow, by a logarithm in two parts; below 1.1 ULP."""
    a = math.fabs(x)
    high, low = _log2_twice(a)
    high = high if a < math.inf else a
    high = -math.inf if a == 0.0 else high
    # Beyond 2**70 every y gives what 2**70 gives, but 0*inf must not arise.
    v = 1.1805916207174113e21 if y > 1.1805916207174113e21 else y
    v = -1.1805916207174113e21 if v < -1.1805916207174113e21 else v
    e = v * high
    e_low = fma(v, high, -e) + v * low
    e_low = e_low if math.fabs(e) < 1100.0 else 0.0
    e = 1025.0 if e > 1025.0 else e
    e = -1100.0 if e < -1100.0 else e
    t = e + 6755399441055744.0
    r = (e - (t - 6755399441055744.0)) + e_low
    p = fma(r, 4.4563950499613075e-10, 7.072621947844952e-09)
    p = fma(r, p, 1.0178054372957653e-07)
    p = fma(r, p, 1.3215442407572165e-06)
    p = fma(r, p, 1.5252733845535516e-05)
    p = fma(r, p, 0.00015403530442032522)
    p = fma(r, p, 0.0013333558146404675)
    p = fma(r, p, 0.009618129107606711)
    p = fma(r, p, 0.055504108664821625)
    p = fma(r, p, 0.24022650695910097)
    p = fma(r, p, 0.6931471805599453)
    small = e < -1000.0
    scale = as_float((as_int(t) + (1223 if small else 1022)) << 52)
    value = fma(p, r, 1.0) * scale * (6.223015277861142e-61 if small else 2.0)
    whole = np.floor(y) == y
    odd = whole and np.floor(0.5 * y) != 0.5 * y
    value = math.copysign(value, x) if odd else value
    value = math.nan if x < 0.0 and not whole and a < math.inf else value
    return 1.0 if y == 0.0 or x == 1.0 else value


def _product(a: float, a_low: float, b: float, b_low: float) -> tuple[float, float]:
    """Return the product of two numbers in two parts each, to about 2**-100."""
    p = a * b
    return p, fma(a, b, -p) + fma(a, b_low, a_low * b)


def _small_power(x: float, n: int, m: int) -> float:
    """Return x**n for m = abs(n) < 64, by squaring the significand in two parts."""
    a = math.fabs(x)
    k, f = _split(a)
    square, square_low = 1.0 + f, 0.0
    high, low = (square, 0.0) if m & 1 else (1.0, 0.0)
    square, square_low = _product(square, square_low, square, square_low)
    next_high, next_low = _product(high, low, square, square_low)
    high, low = (next_high, next_low) if m & 2 else (high, low)
    square, square_low = _product(square, square_low, square, square_low)
    next_high, next_low = _product(high, low, square, square_low)
    high, low = (next_high, next_low) if m & 4 else (high, low)
    square, square_low = _product(square, square_low, square, square_low)
    next_high, next_low = _product(high, low, square, square_low)
    high, low = (next_high, next_low) if m & 8 else (high, low)
    square, square_low = _product(square, square_low, square, square_low)
    next_high, next_low = _product(high, low, square, square_low)
    high, low = (next_high, next_low) if m & 16 else (high, low)
    square, square_low = _product(square, square_low, square, square_low)
    next_high, next_low = _product(high, low, square, square_low)
    high, low = (next_high, next_low) if m & 32 else (high, low)
    inverse = 1.0 / high
    inverse_low = inverse * fma(-inverse, low, fma(-inverse, high, 1.0))
    value = high + low if n >= 0 else inverse + inverse_low
    # times 2**(k*n), in two steps
    e = k * n
    e = 1200.0 if e > 1200.0 else e
    e = -1200.0 if e < -1200.0 else e
    t = fma(e, 0.5, 6755399441055744.0)
    u = (e - (t - 6755399441055744.0)) + 6755399441055744.0
    value = value * as_float((as_int(t) + 1023) << 52) * as_float((as_int(u) + 1023) << 52)
    edge = a if n > 0 else (1.0 / a if n < 0 else 1.0)
    value = value if a > 0.0 and a < math.inf else edge
    return math.copysign(value, x) if m & 1 else value


def integer_power(x: float, n: int) -> float:
    """Return x**n for a whole n; below 0.8 ULP for abs(n) < 64, else that of power."""
    i = int(n)
    m = i if i >= 0 else -i
    if m >= 64:
        return power(x, 1.0 * n)
    return _small_power(1.0 * x, i, m)


def xlogy(x: float, y: float) -> float:
    """Return x*log(y); 0 where x is 0 and y is not NaN."""
    value = x * log(y)
    return 0.0 if x == 0.0 and y == y else value


def _splitf(x: float) -> tuple[float, float]:
    """Return `_parts` of a float32 number."""
    if has_avx512():
        k, m = exponentf(x), significandf(x)
        high = m >= np.float32(1.4142135381698608)
        m = np.float32(np.float32(0.5) * m) if high else m
        k = np.float32(k + np.float32(1.0)) if high else k
        return k, np.float32(m - np.float32(1.0))
    tiny = x < np.float32(1.1754943508222875e-38)
    n = as_intf(np.float32(x * np.float32(16777216.0)) if tiny else x) + 4913933
    k = as_floatf(((n >> 23) & 511) | 1258291200)
    f = as_floatf((n & 8388607) + 1060439283)
    bias = np.float32(8388759.0) if tiny else np.float32(8388735.0)
    return np.float32(k - bias), np.float32(f - np.float32(1.0))


def _log_tailf(f: float, rest: float) -> float:
    """Return log(1 + f) - f + rest."""
    s = np.float32(f / np.float32(np.float32(2.0) + f))
    z = np.float32(s * s)
    w = fmaf(z, 0.29579949378967285, 0.3998878002166748)
    w = fmaf(z, w, 0.6666668653488159)
    return fmaf(s, fmaf(z, w, -f), rest)


def _log_tail_finef(f: float) -> float:
    """Return log(1 + f) - f with a smaller error."""
    s = np.float32(f / np.float32(np.float32(2.0) + f))
    z = np.float32(s * s)
    w = fmaf(z, 0.29579949378967285, 0.3998878002166748)
    w = fmaf(z, w, 0.6666668653488159)
    half = np.float32(np.float32(0.5) * f)
    return fmaf(-half, f, s * fmaf(z, w, half * f))


def _edgesf(x: float, value: float) -> float:
    """Return `_edges` of float32 numbers."""
    if has_avx512():
        return log_edgesf(x, value)
    value = value if x < np.float32(math.inf) else np.float32(x)
    edge = np.float32(-math.inf) if x == np.float32(0.0) else np.float32(math.nan)
    return edge if x <= np.float32(0.0) else value


def logf(x: float) -> float:
    """Return the natural logarithm, a float32 number; below 0.9 ULP."""
    k, f = _splitf(x)
    rest = _log_tailf(f, fmaf(k, -2.9088971132296138e-05, -0.0))
    a = fmaf(k, 0.69317626953125, -0.0)
    b = np.float32(a + f)
    rest = np.float32(np.float32(f - np.float32(b - a)) + rest)
    return _edgesf(x, np.float32(b + rest))


def log2f(x: float) -> float:
    """Return the logarithm to base 2, a float32 number; below 1 ULP."""
    k, f = _splitf(x)
    rest = _log_tail_finef(f)
    p = fmaf(f, 1.4426950216293335, -0.0)
    rest = fmaf(
        rest,
        1.4426950216293335,
        fmaf(f, 1.925963033500011e-08, fmaf(f, 1.4426950216293335, -p)),
    )
    b = np.float32(k + p)
    rest = np.float32(np.float32(p - np.float32(b - k)) + rest)
    return _edgesf(x, np.float32(b + rest))


def log10f(x: float) -> float:
    """Return the logarithm to base 10, a float32 number; below 1 ULP."""
    k, f = _splitf(x)
    rest = _log_tail_finef(f)
    p = fmaf(f, 0.4342944920063019, -0.0)
    rest = fmaf(
        rest,
        0.4342944920063019,
        fmaf(f, -1.0103049952192578e-08, fmaf(f, 0.4342944920063019, -p)),
    )
    rest = fmaf(k, 4.605039066518657e-06, rest)
    a = fmaf(k, 0.301025390625, -0.0)
    b = np.float32(a + p)
    rest = np.float32(np.float32(p - np.float32(b - a)) + rest)
    return _edgesf(x, np.float32(b + rest))


def log1pf(x: float) -> float:
    """Return log(1 + x), a float32 number; below 0.9 ULP."""
    one, quarter = np.float32(1.0), np.float32(0.25)
    n = as_intf(np.float32(one + x)) + 4913933
    n = (n >> 23) & 511
    k = np.float32(as_floatf(n | 1258291200) - np.float32(8388735.0))
    s = as_floatf((256 - n) << 23)
    a = np.float32(np.float32(quarter * s) - one)
    b = np.float32(np.float32(quarter * x) * s)
    f = np.float32(a + b)
    rest = np.float32(b - np.float32(f - a))
    rest = _log_tailf(f, fmaf(k, -2.9088971132296138e-05, fmaf(-f, rest, rest)))
    a = fmaf(k, 0.69317626953125, -0.0)
    b = np.float32(a + f)
    rest = np.float32(np.float32(f - np.float32(b - a)) + rest)
    value = np.float32(b + rest)
    value = value if x < np.float32(math.inf) else np.float32(x)
    edge = np.float32(-math.inf) if x == -one else np.float32(math.nan)
    value = edge if x <= -one else value
    return np.float32(x) if math.fabs(x) < np.float32(1e-9) else value


def _inverse_root_tailf(z: float) -> float:
    """Return (1/sqrt(1 - z) - 1)/z for |z| up to 0.069; float32."""
    p = 0.3757790951970105
    return fmaf(p, z, 0.5007312870279111)


def _inverse_root_limitsf(x: float, value: float) -> float:
    """Return `_inverse_root_limits` of float32 numbers."""
    zero, infinity = np.float32(0.0), np.float32(math.inf)
    edge = np.float32(math.copysign(infinity, x)) if x == zero else np.float32(math.nan)
    edge = zero if x == infinity else edge
    return value if x > zero and x < infinity else edge


def rsqrtf(x: float) -> float:
    """Return 1/sqrt(x) of a float32 number, see `_inverse_root`; below 0.6 ULP."""
    one = np.float32(1.0)
    tiny = x < np.float32(1.1754943508222875e-38)
    z = np.float32(x * (np.float32(16777216.0) if tiny else one))
    y = as_floatf(1597463174 - ((as_intf(z) >> 1) & 2147483647))
    h = fmaf(-np.float32(z * y), y, 1.0)
    y = fmaf(y * h, _inverse_root_tailf(h), y)
    t = np.float32(z * y)
    h = fmaf(-fmaf(z, y, -t), y, fmaf(-t, y, 1.0))
    y = fmaf(np.float32(np.float32(0.5) * y), h, y)
    value = np.float32(y * (np.float32(4096.0) if tiny else one))
    return root_edgesf(x, value) if has_avx512() else _inverse_root_limitsf(x, value)


def cbrtf(x: float) -> float:
    """Return the cube root of a float32 number, from doubles; below 0.6 ULP."""
    y = math.fabs(1.0 * x)
    m, c, scale = _cube_root(y)
    value = math.copysign(m * (c * c) * scale, x)
    return np.float32(value if y > 0.0 and y < math.inf else x)


def _log_short(x: float) -> tuple[float, float]:
    """Return k and log(1 + f) to 2**-32 of it with x = 2**k*(1 + f), for normal x > 0."""
    n = as_int(x) + 2638147582215219
    k = as_float(((n >> 52) & 4095) | 4841369599423283200) - 4503599627371519.0
    f = as_float((n & 4503599627370495) + 4604544271217802189) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = fma(z, 0.19362653714202008, 0.22191400830308503)
    w = fma(z, w, 0.2857175453591449)
    w = fma(z, w, 0.3999999879733759)
    w = fma(z, w, 0.6666666666737509)
    return k, fma(s, fma(z, w, -f), f)


def xlogyf(x: float, y: float) -> float:
    """Return x*log(y) of float32 numbers, from doubles; below 0.6 ULP."""
    k, rest = _log_short(1.0 * y)
    value = x * _limits(1.0 * y, fma(k, 0.6931471805599453, rest))
    return np.float32(0.0 if x == 0.0 and y == y else value)


def powerf(x: float, y: float) -> float:
    """Return x**y as C's powf, in double precision inside; below 0.6 ULP."""
    a = math.fabs(1.0 * x)
    k, rest = _log_short(a)
    high = fma(rest, 1.4426950408889634, k)
    high = high if a < math.inf else a
    high = -math.inf if a == 0.0 else high
    v = 1e30 if y > 1e30 else 1.0 * y
    v = -1e30 if v < -1e30 else v
    e = v * high
    e = 200.0 if e > 200.0 else e
    e = -200.0 if e < -200.0 else e
    t = e + 6755399441055744.0
    r = e - (t - 6755399441055744.0)
    p = fma(r, 1.3254959300359886e-06, 1.530380567900363e-05)
    p = fma(r, p, 0.000154034596241599)
    p = fma(r, p, 0.0013333478145022694)
    p = fma(r, p, 0.009618129151412975)
    p = fma(r, p, 0.05550410906572837)
    p = fma(r, p, 0.24022650695848227)
    p = fma(r, p, 0.6931471805568067)
    value = fma(p, r, 1.0) * as_float((as_int(t) + 1023) << 52)
    whole = np.floor(v) == v
    odd = whole and np.floor(0.5 * v) != 0.5 * v
    value = math.copysign(value, x) if odd else value
    value = math.nan if x < 0.0 and not whole and a < math.inf else value
    return np.float32(1.0 if y == 0.0 or x == 1.0 else value)
