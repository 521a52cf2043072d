"""The error function and its relatives without branches, so that loops vectorise.

Methods: erf(x) = 1 - exp(-x*q(x)), where q is a polynomial with the least error in erf over
the whole range; erfc(x) = exp(-x*x)*R(y) with y = 1/(x + 3), where the rounding errors of
x*x and of y are carried into the exponential (compare Schonfelder, "Chebyshev expansions for
the error and related functions", Math. Comp. 32, 1978). Coefficients: minimax polynomials of
`scripts/vmath_coefficients.py`. ndtr, the normal distribution, and gelu take x/sqrt(2) in two
parts: exp(-x*x/2) would make 700 units of its rounding error at x = -37. Names that end in f
are the float32 forms. Measured errors: at most 1.6 ULP for erf, 1.7 for erfc and ndtr, 1.2 for
their slopes (1.5 in float32), 2.9 for gelu.
"""

from __future__ import annotations

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np
from symgrad.vmath.exponential import _exponential_tail, _exponential_tailf
from symgrad.vmath.ieee import as_float, as_floatf, as_int, as_intf, fma, fmaf


def _survival_tail(z: float) -> float:
    """Return (-log(erfc(z))/z - 2/sqrt(pi))/z for z up to 6."""
    w = z * z
    q = 7.896818216062002e-16
    q = fma(q, w, 8.907908374687864e-13)
    q = fma(q, w, 1.256077609509181e-10)
    q = fma(q, w, 5.024832090836519e-09)
    q = fma(q, w, 6.608936372706134e-08)
    q = fma(q, w, 1.390988914101603e-07)
    q = fma(q, w, -1.737179428025183e-06)
    q = fma(q, w, 3.4113953740654346e-06)
    q = fma(q, w, 6.449337354194242e-05)
    q = fma(q, w, -0.0005901253652917999)
    q = fma(q, w, -0.00020919468870551707)
    q = fma(q, w, 0.10277260330182043)
    p = -3.879484073359049e-14
    p = fma(p, w, -1.2694016955627007e-11)
    p = fma(p, w, -9.134405303432292e-10)
    p = fma(p, w, -2.107293517151622e-08)
    p = fma(p, w, -1.4268215780016476e-07)
    p = fma(p, w, 3.3314217492821685e-07)
    p = fma(p, w, 2.8303848176543032e-06)
    p = fma(p, w, -2.9726878553292917e-05)
    p = fma(p, w, 2.5877986997237707e-05)
    p = fma(p, w, 0.0016962063447403767)
    p = fma(p, w, -0.01912844700565542)
    p = fma(p, w, 0.6366197723675828)
    return fma(q, z, p)


def _scaled_erfc_bend(z: float) -> float:
    """Return ((exp(a*a)*erfc(a)/y - v)/z - s)/z, y = 1/(a + 3) = c + z, a to 27.4."""
    w = z * z
    q = -276884377.22994494
    q = fma(q, w, 180432651.86536416)
    q = fma(q, w, -16580537.03563072)
    q = fma(q, w, 631945.8648423585)
    q = fma(q, w, 38812.327045502636)
    q = fma(q, w, -8723.986041434642)
    q = fma(q, w, -1109.7607697300855)
    q = fma(q, w, 1380.5060578797757)
    q = fma(q, w, -676.7451479499348)
    q = fma(q, w, 208.95658447424398)
    q = fma(q, w, 55.93403525113984)
    p = 9680651.113638114
    p = fma(p, w, -70907340.55893488)
    p = fma(p, w, 13828776.1211032)
    p = fma(p, w, -1981481.2053948422)
    p = fma(p, w, 284969.62108578545)
    p = fma(p, w, -45072.62544131889)
    p = fma(p, w, 7814.894918066524)
    p = fma(p, w, -1284.9700677937335)
    p = fma(p, w, 46.64508860127568)
    p = fma(p, w, 134.76357767312902)
    p = fma(p, w, 17.71234640769449)
    return fma(q, z, p)


def _scaled_erfc_slope(z: float) -> float:
    """Return the slope of log(exp(a*a)*erfc(a)) by log(z), z = 1/(a + 3)."""
    p = -22.35855743893834
    p = fma(p, z, 25.42373940297495)
    p = fma(p, z, 1.0220819755631292)
    return fma(p, z, 1.0581395337577955)


def _survival_tailf(z: float) -> float:
    """Return (-log(erfc(z))/z - 2/sqrt(pi))/z for z up to 4; float32."""
    p = 1.1735783361911021e-06
    p = fmaf(p, z, -2.1148894767615013e-05)
    p = fmaf(p, z, 0.0001666025706244802)
    p = fmaf(p, z, -0.0007386950244170292)
    p = fmaf(p, z, 0.0017967567987140255)
    p = fmaf(p, z, -0.0002510834313542385)
    p = fmaf(p, z, -0.019118546092491667)
    p = fmaf(p, z, 0.10277146702579157)
    return fmaf(p, z, 0.6366198163672213)


def _scaled_erfc_bendf(z: float) -> float:
    """Return ((exp(a*a)*erfc(a)/y - v)/z - s)/z, y = 1/(a + 3) = c + z, a to 10.3; float32."""
    p = 766.7131067372952
    p = fmaf(p, z, 2618.7644705783136)
    p = fmaf(p, z, -2219.835964533983)
    p = fmaf(p, z, -179.03032549236946)
    p = fmaf(p, z, 163.46538052569943)
    p = fmaf(p, z, 183.78157786554644)
    p = fmaf(p, z, 98.89474167695114)
    p = fmaf(p, z, 39.1047225811883)
    return fmaf(p, z, 12.608256825703176)


def _scaled_erfc_slopef(z: float) -> float:
    """Return the slope of log(exp(a*a)*erfc(a)) by log(z), z = 1/(a + 3); float32."""
    p = -34.92102088677897
    p = fmaf(p, z, 33.67345917885867)
    p = fmaf(p, z, -0.6462840444298756)
    return fmaf(p, z, 1.1587407263682146)


def erf(x: float) -> float:
    """Return the error function of x."""
    a = math.fabs(x)
    a = 6.0 if a > 6.0 else a
    rest = a * _survival_tail(a)
    q = 1.1283791670955126 + rest
    q_low = ((1.1283791670955126 - q) + rest) + 1.533545961316588e-17
    h = a * q
    h_low = fma(a, q_low, fma(a, q, -h))
    # expm1(-h - h_low) with h + h_low = -k*log(2) - r.
    t = fma(h, -1.4426950408889634, 6755399441055744.0)
    k = t - 6755399441055744.0
    r = fma(k, -0.6931471805599453, -h)
    low = fma(k, -2.3190468138462996e-17, -h_low)
    p = r + fma(r * r, _exponential_tail(r), low)
    s = as_float((as_int(t) << 52) + 0x3FF0000000000000)
    return math.copysign(fma(-s, p, 1.0 - s), x)


def _bell(a: float, a_low: float) -> tuple[int, float, float, float]:
    """Return k (in the lowest bits), r, e, d: exp(-(a + a_low)**2) = 2**k*exp(r + d).

    e is (exp(r) - 1 - r)/r**2.
    """
    h = a * a
    h_low = fma(a + a, a_low, fma(a, a, -h))
    t = fma(h, -1.4426950408889634, 6755399441055744.0)
    k = t - 6755399441055744.0
    r = fma(k, -0.6931471805599453, -h)
    return as_int(t), r, _exponential_tail(r), fma(k, -2.3190468138462996e-17, -h_low)


def _erfc_parts(a: float, a_low: float) -> tuple[float, float]:
    """Return m and s with erfc(a + a_low) = m*s/2**120, for a from 0 to 27.4."""
    n, r, e, low = _bell(a, a_low)
    total = a + 3.0
    large = a if a > 3.0 else 3.0
    small = 3.0 if a > 3.0 else a
    total_low = (small - (total - large)) + a_low
    y = 1.0 / total
    error = fma(-y, total_low, fma(-y, total, 1.0)) * _scaled_erfc_slope(y)
    z = y - 0.1474609375
    bend = _scaled_erfc_bend(z)
    chord = fma(z, bend, 4.554152755535411)
    g = fma(z, chord, 0.9795925733509323)
    g_low = fma(
        z, fma(z, bend, 4.554152755535411 - chord), fma(z, chord, 0.9795925733509323 - g)
    )
    scaled = y * g
    scaled_low = fma(y, g_low, fma(y, g, -scaled))
    error = error + low
    square = r * r
    p = fma(square, e, fma(error, fma(square, e, r), error))
    s = as_float((n << 52) + 0x4770000000000000)
    scaled_low = fma(scaled_low, r, scaled_low)
    return scaled + fma(scaled, r, fma(scaled, p, scaled_low)), s


def erfc(x: float) -> float:
    """Return 1 - erf(x), with a small relative error where it is small."""
    a = math.fabs(x)
    m, s = _erfc_parts(27.4 if a > 27.4 else a, 0.0)
    # Not by underflow, which is slow.
    v = (m * s) * (0.0 if a > 27.3 else 2.0**-120)
    return 2.0 - v if x < 0.0 else v


def _bell_parts(a: float, a_low: float) -> tuple[float, float]:
    """Return p and s with exp(-(a + a_low)**2) = (1 + p)*s/2**120, for a from 0 to 27.4."""
    n, r, e, low = _bell(a, a_low)
    square = r * r
    p = r + fma(square, e, fma(low, fma(square, e, r), low))
    return p, as_float((n << 52) + 0x4770000000000000)


def erf_slope(x: float) -> float:
    """Return 2/sqrt(pi)*exp(-x*x), the derivative of erf; shares the exponential with erfc."""
    a = math.fabs(x)
    a = 27.4 if a > 27.4 else a
    p, s = _bell_parts(a, 0.0)
    m = fma(1.1283791670955126, p, 1.533545961316588e-17) + 1.1283791670955126
    return (m * s) * (0.0 if a > 27.3 else 2.0**-120)


def _over_sqrt2(a: float) -> tuple[float, float]:
    """Return a/sqrt(2) in two parts."""
    z = a * 0.7071067811865476
    return z, fma(a, -4.833646656726457e-17, fma(a, 0.7071067811865476, -z))


def ndtr(x: float) -> float:
    """Return erfc(-x/sqrt(2))/2, the distribution function of the normal distribution."""
    a = math.fabs(x)
    a = 38.7 if a > 38.7 else a
    z, z_low = _over_sqrt2(a)
    m, s = _erfc_parts(z, z_low)
    v = (m * s) * (0.0 if a > 38.6 else 2.0**-121)
    return 1.0 - v if x > 0.0 else v


def ndtr_slope(x: float) -> float:
    """Return exp(-x*x/2)/sqrt(2*pi), the derivative of ndtr; shares the exponential with it."""
    a = math.fabs(x)
    a = 38.7 if a > 38.7 else a
    z, z_low = _over_sqrt2(a)
    p, s = _bell_parts(z, z_low)
    m = fma(0.3989422804014327, p, -2.49232720227773e-17) + 0.3989422804014327
    return (m * s) * (0.0 if a > 38.6 else 2.0**-120)


def gelu(x: float) -> float:
    """Return x*erfc(-x/sqrt(2))/2, with x/sqrt(2) in two parts."""
    a = math.fabs(x)
    a = 38.7 if a > 38.7 else a
    z, z_low = _over_sqrt2(a)
    m, s = _erfc_parts(z, z_low)
    left = ((-0.5 * a * m) * s) * (0.0 if a > 38.6 else 2.0**-120)
    right = x * (1.0 - (0.5 * m) * (0.0 if a > 20.0 else s * 2.0**-120))
    return left if x < 0.0 else right


def erff(x: float) -> float:
    """Return the error function of x, in float32."""
    a = math.fabs(x)
    a = np.float32(4.0) if a > np.float32(4.0) else a
    rest = a * _survival_tailf(a)
    q = np.float32(1.128379225730896) + rest
    q_low = ((np.float32(1.128379225730896) - q) + rest) + np.float32(-5.8635382771399236e-08)
    h = a * q
    h_low = fmaf(a, q_low, fmaf(a, q, -h))
    t = fmaf(h, -1.4426950216293335, 12582912.0)
    k = t - np.float32(12582912.0)
    r = fmaf(k, -0.6931471824645996, -h)
    low = fmaf(k, 1.9046542121259336e-09, -h_low)
    p = r + fmaf(r * r, _exponential_tailf(r), low)
    s = as_floatf((as_intf(t) << 23) + 0x3F800000)
    return math.copysign(fmaf(-s, p, np.float32(1.0) - s), x)


def _bellf(a: float, a_low: float) -> tuple[int, float, float, float]:
    """Return `_bell` of float32 numbers."""
    h = a * a
    h_low = fmaf(a + a, a_low, fmaf(a, a, -h))
    t = fmaf(h, -1.4426950216293335, 12582912.0)
    k = t - np.float32(12582912.0)
    r = fmaf(k, -0.6931471824645996, -h)
    return as_intf(t), r, _exponential_tailf(r), fmaf(k, 1.9046542121259336e-09, -h_low)


def _erfc_partsf(a: float, a_low: float) -> tuple[float, float]:
    """Return m and s with erfc(a + a_low) = m*s/2**40, in float32, for a from 0 to 10.3."""
    n, r, e, low = _bellf(a, a_low)
    total = a + np.float32(3.0)
    large = a if a > np.float32(3.0) else np.float32(3.0)
    small = np.float32(3.0) if a > np.float32(3.0) else a
    total_low = (small - (total - large)) + a_low
    y = np.float32(1.0) / total
    error = fmaf(-y, total_low, fmaf(-y, total, 1.0)) * _scaled_erfc_slopef(y)
    z = y - np.float32(0.111328125)
    bend = _scaled_erfc_bendf(z)
    chord = fmaf(z, bend, 3.469562530517578)
    g = fmaf(z, chord, 0.8357414603233337)
    g_low = fmaf(
        z,
        fmaf(z, bend, np.float32(3.469562530517578) - chord),
        fmaf(z, chord, np.float32(0.8357414603233337) - g),
    )
    scaled = y * g
    scaled_low = fmaf(y, g_low, fmaf(y, g, -scaled))
    error = error + low
    square = r * r
    p = fmaf(square, e, fmaf(error, fmaf(square, e, r), error))
    s = as_floatf((n << 23) + 0x53800000)
    scaled_low = fmaf(scaled_low, r, scaled_low)
    return scaled + fmaf(scaled, r, fmaf(scaled, p, scaled_low)), s


def erfcf(x: float) -> float:
    """Return 1 - erf(x), in float32."""
    a = math.fabs(x)
    m, s = _erfc_partsf(np.float32(10.3) if a > np.float32(10.3) else a, np.float32(0.0))
    v = (m * s) * (np.float32(0.0) if a > np.float32(10.1) else np.float32(2.0**-40))
    return np.float32(2.0) - v if x < np.float32(0.0) else v


def _bell_partsf(a: float, a_low: float) -> tuple[float, float]:
    """Return p and s with exp(-(a + a_low)**2) = (1 + p)*s/2**40, float32, for a to 10.3."""
    n, r, e, low = _bellf(a, a_low)
    square = r * r
    p = r + fmaf(square, e, fmaf(low, fmaf(square, e, r), low))
    return p, as_floatf((n << 23) + 0x53800000)


def erf_slopef(x: float) -> float:
    """Return 2/sqrt(pi)*exp(-x*x), in float32."""
    end = np.float32(10.3)
    a = math.fabs(x)
    a = end if a > end else a
    p, s = _bell_partsf(a, np.float32(0.0))
    m = fmaf(1.128379225730896, p, -5.8635382771399236e-08) + np.float32(1.128379225730896)
    return (m * s) * (np.float32(0.0) if a > np.float32(10.2) else np.float32(2.0**-40))


def _over_sqrt2f(a: float) -> tuple[float, float]:
    """Return a/sqrt(2) in two parts, in float32."""
    z = a * np.float32(0.7071067690849304)
    return z, fmaf(a, 1.2101617485882343e-08, fmaf(a, 0.7071067690849304, -z))


def ndtrf(x: float) -> float:
    """Return erfc(-x/sqrt(2))/2, in float32."""
    a = math.fabs(x)
    a = np.float32(14.5) if a > np.float32(14.5) else a
    z, z_low = _over_sqrt2f(a)
    m, s = _erfc_partsf(z, z_low)
    v = (m * s) * (np.float32(0.0) if a > np.float32(14.4) else np.float32(2.0**-41))
    return np.float32(1.0) - v if x > np.float32(0.0) else v


def ndtr_slopef(x: float) -> float:
    """Return exp(-x*x/2)/sqrt(2*pi), in float32."""
    a = math.fabs(x)
    a = np.float32(14.5) if a > np.float32(14.5) else a
    z, z_low = _over_sqrt2f(a)
    p, s = _bell_partsf(z, z_low)
    m = fmaf(0.3989422917366028, p, -1.1335170135851058e-08) + np.float32(0.3989422917366028)
    return (m * s) * (np.float32(0.0) if a > np.float32(14.4) else np.float32(2.0**-40))


def geluf(x: float) -> float:
    """Return x*erfc(-x/sqrt(2))/2, in float32."""
    a = math.fabs(x)
    a = np.float32(14.5) if a > np.float32(14.5) else a
    z, z_low = _over_sqrt2f(a)
    m, s = _erfc_partsf(z, z_low)
    unit = np.float32(0.0) if a > np.float32(14.4) else np.float32(2.0**-40)
    left = ((np.float32(-0.5) * a * m) * s) * unit
    unit = np.float32(0.0) if a > np.float32(7.0) else np.float32(2.0**-40)
    right = x * (np.float32(1.0) - (np.float32(0.5) * m) * (s * unit))
    return left if x < np.float32(0.0) else right
