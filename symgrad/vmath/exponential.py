"""Exponentials without branches: exp, exp2, expm1, sinh, cosh and what is made of them.

Method (Muller, Elementary Functions, chapter 11): x = k*log(2) + r with |r| <= log(2)/2, the
multiple subtracted in two parts (Cody and Waite), a polynomial of r, and 2**k put together
from bits. k is found by adding 1.5*2**52, whose lowest bits then hold it. Coefficients:
scripts/vmath_coefficients.py. The errors stated are measured by scripts/accuracy.
"""

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np
from symgrad.vmath.ieee import (
    as_float,
    as_floatf,
    as_int,
    as_intf,
    fma,
    fmaf,
    has_avx512,
    scaled,
    scaledf,
)


def _reduced(x: float) -> tuple[int, float, float]:
    """Return k (in the lowest bits of a number), r and its error: x = k*log(2) + r + error."""
    t = fma(x, 1.4426950408889634, 6755399441055744.0)
    k = t - 6755399441055744.0
    a = fma(k, -0.6931471805599453, x)
    r = fma(k, -2.3190468138462996e-17, a)
    return as_int(t), r, fma(k, -2.3190468138462996e-17, a - r)


def _expm1_tail(r: float, error: float) -> float:
    """Return exp(r + error) - 1 - r for |r| <= log(2)/2.

    Odd and even powers are two chains, which run side by side.
    """
    z = r * r
    p = fma(z, 2.0914059220235004e-09, 2.7557276191382524e-07)
    p = fma(z, p, 2.4801587322483025e-05)
    p = fma(z, p, 0.0013888888888885027)
    p = fma(z, p, 0.04166666666666667)
    q = fma(z, 2.510043480954599e-08, 2.7557268356217503e-06)
    q = fma(z, q, 0.00019841269863120472)
    q = fma(z, q, 0.008333333333330048)
    q = fma(z, q, 0.16666666666666669)
    q = fma(r, p, q)
    return fma(0.5 * r, r, fma(r * z, q, error))


def _exponential_tail(z: float) -> float:
    """Return (exp(z) - 1 - z)/z**2 for |z| up to log(2)/2."""
    w = z * z
    q = 2.5118019083260453e-08
    q = fma(q, w, 2.7557215765056084e-06)
    q = fma(q, w, 0.00019841269918037793)
    q = fma(q, w, 0.008333333333306867)
    q = fma(q, w, 0.166666666666667)
    p = 2.7631256912030633e-07
    p = fma(p, w, 2.48014900055455e-05)
    p = fma(p, w, 0.0013888888946957027)
    p = fma(p, w, 0.04166666666651564)
    p = fma(p, w, 0.5000000000000012)
    return fma(q, z, p)


def _clamped(x: float, low: float, high: float) -> float:
    """Return x, or the limit that it exceeds; NaN if x is NaN."""
    y = high if x > high else x
    return low if y < low else y


def _cut(r: float) -> float:
    """Return r where abs(r) < 2, else some number with abs(r) < 2, for NaN too.

    That is enough where 2**k is 0, infinite or NaN and the reduction has failed.
    """
    return as_float(as_int(r) & -4611686018427387905)


def _scaled(v: float, n: int) -> float:
    """Return v*2**n for v near 1 in two steps, of which the second alone can round."""
    half = n >> 1
    return v * as_float((half + 1023) << 52) * as_float((n - half + 1023) << 52)


def exp(x: float) -> float:
    """Return e to the power x; below 1 ULP."""
    wide = has_avx512()
    y = x if wide else _clamped(x, -746.0, 709.79)
    t = fma(y, 1.4426950408889634, 6755399441055744.0)
    k = t - 6755399441055744.0
    r = fma(k, -2.3190468138462996e-17, fma(k, -0.6931471805599453, y))
    r = _cut(r) if wide else r
    z = r * r
    p = fma(z, 2.5109258884952488e-08, 2.7557244480040326e-06)
    p = fma(z, p, 0.0001984126988501557)
    p = fma(z, p, 0.008333333333322313)
    p = fma(z, p, 0.16666666666666677)
    q = fma(z, 2.762644171367754e-07, 2.4801504143870078e-05)
    q = fma(z, q, 0.0013888888932648872)
    q = fma(z, q, 0.041666666666572684)
    q = fma(z, q, 0.5000000000000006)
    p = fma(r, p, q)
    p = fma(r, p, 1.0)
    value = fma(p, r, 1.0)
    return scaled(value, k) if wide else _scaled(value, (as_int(t) << 32) >> 32)


def exp2(x: float) -> float:
    """Return 2**x; below 0.9 ULP."""
    wide = has_avx512()
    y = x if wide else _clamped(x, -1076.0, 1024.0)
    t = y + 6755399441055744.0
    k = t - 6755399441055744.0
    r = _cut(y - k) if wide else y - k
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
    value = fma(p, r, 1.0)
    return scaled(value, k) if wide else _scaled(value, (as_int(t) << 32) >> 32)


def _expm1_parts(x: float) -> tuple[int, float, float]:
    """Return k (in the lowest bits), r and q with exp(x) = 2**k*(1 + r + q)."""
    n, r, error = _reduced(_clamped(x, -746.0, 709.79))
    return n, r, _expm1_tail(r, error)


def expm1(x: float) -> float:
    """Return exp(x) - 1; below 1 ULP."""
    n, r, q = _expm1_parts(x)
    s = as_float((n + 1022) << 52) if x > -40.0 else 0.0
    a = s - 0.5
    b = s * r
    c = a + b
    value = (c + fma(s, q, (b - (c - a)) + ((s - a) - 0.5))) * 2.0
    return x if math.fabs(x) < 1e-17 else value


def expm1_slope(x: float) -> float:
    """Return exp(x), the derivative of expm1, with which it shares its work; below 1 ULP."""
    n, r, q = _expm1_parts(x)
    value = 1.0 + (r + q)
    if has_avx512():
        return scaled(value, as_float(n) - 6755399441055744.0)
    return _scaled(value, (n << 32) >> 32)


def _reciprocal(y: float, shift: float) -> tuple[float, float]:
    """Return i and e with i*(1 + e) = 1/(exp(y)/2**200 + shift), for y >= 0.

    The sum is taken in two parts. The logistic function, softplus and their kin share it; what
    they return is accurate where it is small, since nothing cancels.
    """
    y = 760.0 if y > 760.0 else y
    n, r, error = _reduced(y)
    p = r + fma(r * r, _exponential_tail(r), error)
    s = as_float((n + 823) << 52)
    a = s + shift
    d = fma(s, p, a)
    d_low = fma(s, p, a - d) + (shift - (a - s))
    inverse = 1.0 / d
    return inverse, fma(-d_low, inverse, fma(-d, inverse, 1.0))


def sigmoid(x: float) -> float:
    """Return 1/(1 + exp(-x)); below 1 ULP."""
    inverse, error = _reciprocal(math.fabs(x), 6.223015277861142e-61)
    value = fma(inverse, error, inverse) * 6.223015277861142e-61
    return value if x < 0.0 else 1.0 - value


def silu(x: float) -> float:
    """Return x/(1 + exp(-x)) = max(x, 0) - abs(x)/(exp(abs(x)) + 1); below 1.2 ULP."""
    y = math.fabs(x)
    y = 760.0 if y > 760.0 else y
    inverse, error = _reciprocal(y, 6.223015277861142e-61)
    product = inverse * y
    product = product + fma(product, error, fma(inverse, y, -product))
    return fma(product, -6.223015277861142e-61, x if x >= 0.0 else -0.0)


def _softplus_tail(z: float) -> float:
    """Return (2*atanh(r/2) - r)/r**3 with z = r*r, for r up to 2/3."""
    w = z * z
    q = 8.110932367670293e-08
    q = fma(q, w, 9.235348253587281e-07)
    q = fma(q, w, 1.878240779880822e-05)
    q = fma(q, w, 0.00043402781159545336)
    q = fma(q, w, 0.01250000000004847)
    p = 1.5916672027867397e-07
    p = fma(p, w, 4.059179742032972e-06)
    p = fma(p, w, 8.877804920126517e-05)
    p = fma(p, w, 0.0022321428553217296)
    p = fma(p, w, 0.08333333333333288)
    return fma(q, z, p)


def _log1pexp(x: float) -> tuple[float, float]:
    """Return log(1 + exp(-abs(x))) in two parts, multiplied by 2**200.

    It is 2*atanh(r/2) with r = 1/(exp(abs(x)) + 1/2).
    """
    r, error = _reciprocal(math.fabs(x), 3.111507638930571e-61)
    v = r * 6.223015277861142e-61
    z = v * v
    return r, fma(r * z, _softplus_tail(z), r * error)


def softplus(x: float) -> float:
    """Return log(1 + exp(x)) = max(x, 0) + log(1 + exp(-abs(x))); below 1 ULP."""
    r, rest = _log1pexp(x)
    m = (x if x > 0.0 else 0.0) * 1.6069380442589903e60
    a = m + r
    b = a - m
    value = (a + (((m - (a - b)) + (r - b)) + rest)) * 6.223015277861142e-61
    return 1.0 * x if x > 50.0 else value


def logaddexp(x: float, y: float) -> float:
    """Return log(exp(x) + exp(y)); below 1 ULP of the larger operand."""
    difference = 0.0 if x == y else 1.0 * x - y
    r, rest = _log1pexp(difference)
    r = r * 6.223015277861142e-61
    m = x if x > y or x != x else y
    a = m + r
    b = a - m
    value = a + (((m - (a - b)) + (r - b)) + rest * 6.223015277861142e-61)
    apart = math.fabs(difference) > 745.2 or math.fabs(m) > 1e300
    return m if apart else value


def _reducedf(x: float) -> tuple[int, float, float]:
    """Return `_reduced` of a float32 number."""
    t = fmaf(x, 1.4426950216293335, 12582912.0)
    k = np.float32(t - np.float32(12582912.0))
    a = fmaf(k, -0.6931471824645996, x)
    r = fmaf(k, 1.9046542121259336e-09, a)
    return as_intf(t), r, fmaf(k, 1.9046542121259336e-09, a - r)


def _expm1_tailf(r: float, error: float) -> float:
    """Return exp(r + error) - 1 - r for |r| <= log(2)/2."""
    q = fmaf(r, 0.00019884893845301121, 0.0013926222454756498)
    q = fmaf(r, q, 0.008333318866789341)
    q = fmaf(r, q, 0.041666556149721146)
    q = fmaf(r, q, 0.1666666716337204)
    z = np.float32(r * r)
    return fmaf(fmaf(r, 0.5, -0.0), r, fmaf(r * z, q, error))


def _cutf(r: float) -> float:
    """Return `_cut` of a float32 number."""
    return as_floatf(as_intf(r) & -1073741825)


def _clampedf(x: float, low: float, high: float) -> float:
    """Return `_clamped` of float32 numbers."""
    y = high if x > high else x
    return low if y < low else y


def _scaledf(v: float, n: int, low: bool) -> float:
    """Return v*2**n for a float32 number v near 1; low tells of an n far below 0."""
    scale = as_floatf((n + (191 if low else 126)) << 23)
    factor = np.float32(5.421010862427522e-20) if low else np.float32(2.0)
    return np.float32(v * scale * factor)


def expf(x: float) -> float:
    """Return e to the power x, a float32 number; below 1 ULP."""
    wide = has_avx512()
    y = x if wide else _clampedf(x, np.float32(-104.0), np.float32(88.75))
    t = fmaf(y, 1.4426950216293335, 12582912.0)
    k = np.float32(t - np.float32(12582912.0))
    r = fmaf(k, 1.9046542121259336e-09, fmaf(k, -0.6931471824645996, y))
    r = _cutf(r) if wide else r
    p = fmaf(r, 0.0013935765018686652, 0.00836919341236353)
    p = fmaf(r, p, 0.04166644066572189)
    p = fmaf(r, p, 0.16666504740715027)
    p = fmaf(r, p, 0.5)
    p = fmaf(r, p, 1.0)
    value = fmaf(p, r, 1.0)
    return scaledf(value, k) if wide else _scaledf(value, as_intf(t), y < np.float32(-80.0))


def exp2f(x: float) -> float:
    """Return 2**x, a float32 number; below 1 ULP."""
    wide = has_avx512()
    y = x if wide else _clampedf(x, np.float32(-152.0), np.float32(128.0))
    t = np.float32(y + np.float32(12582912.0))
    k = np.float32(t - np.float32(12582912.0))
    r = np.float32(y - k)
    r = _cutf(r) if wide else r
    p = fmaf(r, 0.0001545785489724949, 0.0013390983222052455)
    p = fmaf(r, p, 0.009618070907890797)
    p = fmaf(r, p, 0.055503569543361664)
    p = fmaf(r, p, 0.24022650718688965)
    p = fmaf(r, p, 0.6931471824645996)
    value = fmaf(p, r, 1.0)
    return scaledf(value, k) if wide else _scaledf(value, as_intf(t), y < np.float32(-120.0))


def _expm1_partsf(x: float) -> tuple[int, float, float]:
    """Return `_expm1_parts` of a float32 number."""
    n, r, error = _reducedf(_clampedf(x, np.float32(-104.0), np.float32(88.75)))
    return n, r, _expm1_tailf(r, error)


def expm1f(x: float) -> float:
    """Return exp(x) - 1, a float32 number; below 0.9 ULP."""
    n, r, q = _expm1_partsf(x)
    s = as_floatf((n + 126) << 23) if x > np.float32(-20.0) else np.float32(0.0)
    a = np.float32(s - np.float32(0.5))
    b = np.float32(s * r)
    c = np.float32(a + b)
    rest = np.float32(b - np.float32(c - a))
    rest = fmaf(np.float32(s - a) - np.float32(0.5), 1.0, rest)
    value = np.float32(np.float32(c + fmaf(s, q, rest)) * np.float32(2.0))
    return np.float32(x) if math.fabs(x) < np.float32(1e-9) else value


def expm1_slopef(x: float) -> float:
    """Return exp(x) of a float32 number, the derivative of expm1; below 1 ULP."""
    n, r, q = _expm1_partsf(x)
    value = np.float32(np.float32(1.0) + np.float32(r + q))
    if has_avx512():
        return scaledf(value, np.float32(as_floatf(n) - np.float32(12582912.0)))
    return _scaledf(value, n, x < np.float32(-80.0))


def _exponential_tailf(z: float) -> float:
    """Return (exp(z) - 1 - z)/z**2 for |z| up to log(2)/2; float32."""
    p = 0.0013950211674016483
    p = fmaf(p, z, 0.008368879828520371)
    p = fmaf(p, z, 0.041666211681120884)
    p = fmaf(p, z, 0.16666518902982932)
    return fmaf(p, z, 0.5000000092125567)


def _reciprocalf(y: float, shift: float) -> tuple[float, float]:
    """Return i and e with i*(1 + e) = 1/(exp(y)/2**32 + shift) for a float32 number y >= 0.

    The sum is taken in two parts. The logistic function, softplus, tanh and their kin share
    it; what they return is accurate where it is small, since nothing cancels.
    """
    top = np.float32(109.0)
    y = top if y > top else y
    n, r, _ = _reducedf(y)
    p = fmaf(r * r, _exponential_tailf(r), r)
    s = as_floatf((n + 95) << 23)
    a = np.float32(s + shift)
    d = fmaf(s, p, a)
    d_low = np.float32(fmaf(s, p, a - d) + np.float32(shift - np.float32(a - s)))
    inverse = np.float32(np.float32(1.0) / d)
    return inverse, fmaf(-d_low, inverse, fmaf(-d, inverse, 1.0))


def _complementf(y: float) -> float:
    """Return 2**32/(exp(y) + 1) of a float32 number y >= 0."""
    inverse, error = _reciprocalf(y, np.float32(2.3283064365386963e-10))
    return fmaf(inverse, error, inverse)


def sigmoidf(x: float) -> float:
    """Return 1/(1 + exp(-x)), a float32 number; below 1 ULP."""
    value = np.float32(_complementf(math.fabs(x)) * np.float32(2.3283064365386963e-10))
    return value if x < np.float32(0.0) else np.float32(np.float32(1.0) - value)


def siluf(x: float) -> float:
    """Return x/(1 + exp(-x)) = max(x, 0) - abs(x)/(exp(abs(x)) + 1), float32; below 1.2 ULP."""
    top, unit, zero = np.float32(109.0), np.float32(2.3283064365386963e-10), np.float32(0.0)
    y = math.fabs(x)
    y = top if y > top else y
    inverse, error = _reciprocalf(y, unit)
    product = np.float32(inverse * y)
    product = np.float32(product + fmaf(product, error, fmaf(inverse, y, -product)))
    return fmaf(product, -unit, x if x >= zero else -zero)


def _softplus_tailf(z: float) -> float:
    """Return (2*atanh(r/2) - r)/r**3 with z = r*r, for r up to 2/3; float32."""
    p = 0.0005471090319278537
    p = fmaf(p, z, 0.0021876385746833374)
    p = fmaf(p, z, 0.01250672880904201)
    return fmaf(p, z, 0.08333302014392656)


def _log1pexpf(y: float) -> tuple[float, float]:
    """Return log(1 + exp(-y)) of a float32 number y >= 0 in two parts, multiplied by 2**32."""
    r, error = _reciprocalf(y, np.float32(1.1641532182693481e-10))
    v = np.float32(r * np.float32(2.3283064365386963e-10))
    z = np.float32(v * v)
    return r, fmaf(r * z, _softplus_tailf(z), r * error)


def softplusf(x: float) -> float:
    """Return log(1 + exp(x)), a float32 number; below 1 ULP."""
    unit, zero = np.float32(2.3283064365386963e-10), np.float32(0.0)
    r, rest = _log1pexpf(math.fabs(x))
    m = np.float32((x if x > zero else zero) * np.float32(4294967296.0))
    a = np.float32(m + r)
    b = np.float32(a - m)
    low = np.float32(np.float32(m - np.float32(a - b)) + np.float32(r - b))
    value = np.float32(np.float32(a + np.float32(low + rest)) * unit)
    return np.float32(x) if x > np.float32(30.0) else value


def logaddexpf(x: float, y: float) -> float:
    """Return log(exp(x) + exp(y)) of float32 numbers; below 1 ULP of the larger operand."""
    difference = np.float32(0.0) if x == y else np.float32(x - y)
    r, rest = _log1pexpf(math.fabs(difference))
    m = x if x > y or x != x else y
    return np.float32(fma(1.0 * r + rest, 2.3283064365386963e-10, 1.0 * m))
