"""The error function and its relatives without branches, so that loops vectorise.

Methods: erf(x) = 1 - exp(-x*q(x)), where q is a polynomial with the least error in erf over
the whole range; erfc(x) = exp(-x*x)*R(y) with y = 1/(x + 3), where the rounding errors of
x*x and of y are carried into the exponential (compare Schonfelder, "Chebyshev expansions for
the error and related functions", Math. Comp. 32, 1978). Coefficients: minimax polynomials of
`scripts/vmath_coefficients.py`. Names that end in f are the float32 forms. Measured errors:
at most @ERF@ ULP for erf, @ERFC@ for erfc, @GELU@ for gelu.
"""

from __future__ import annotations

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np
from symgrad.vmath.ieee import as_float, as_floatf, as_int, as_intf, fma, fmaf


def _erf_exponential_tail(z: float) -> float:
    """Return (exp(z) - 1 - z)/z**2 for |z| up to log(2)/2."""
    p = 2.5118019083260453e-08
    p = fma(p, z, 2.7631256912030633e-07)
    p = fma(p, z, 2.7557215765056084e-06)
    p = fma(p, z, 2.48014900055455e-05)
    p = fma(p, z, 0.00019841269918037793)
    p = fma(p, z, 0.0013888888946957027)
    p = fma(p, z, 0.008333333333306867)
    p = fma(p, z, 0.04166666666651564)
    p = fma(p, z, 0.166666666666667)
    return fma(p, z, 0.5000000000000012)


def _survival_tail(z: float) -> float:
    """Return (-log(erfc(z))/z - 2/sqrt(pi))/z for z up to 6."""
    p = 7.896818216062002e-16
    p = fma(p, z, -3.879484073359049e-14)
    p = fma(p, z, 8.907908374687864e-13)
    p = fma(p, z, -1.2694016955627007e-11)
    p = fma(p, z, 1.256077609509181e-10)
    p = fma(p, z, -9.134405303432292e-10)
    p = fma(p, z, 5.024832090836519e-09)
    p = fma(p, z, -2.107293517151622e-08)
    p = fma(p, z, 6.608936372706134e-08)
    p = fma(p, z, -1.4268215780016476e-07)
    p = fma(p, z, 1.390988914101603e-07)
    p = fma(p, z, 3.3314217492821685e-07)
    p = fma(p, z, -1.737179428025183e-06)
    p = fma(p, z, 2.8303848176543032e-06)
    p = fma(p, z, 3.4113953740654346e-06)
    p = fma(p, z, -2.9726878553292917e-05)
    p = fma(p, z, 6.449337354194242e-05)
    p = fma(p, z, 2.5877986997237707e-05)
    p = fma(p, z, -0.0005901253652917999)
    p = fma(p, z, 0.0016962063447403767)
    p = fma(p, z, -0.00020919468870551707)
    p = fma(p, z, -0.01912844700565542)
    p = fma(p, z, 0.10277260330182043)
    return fma(p, z, 0.6366197723675828)


def _scaled_erfc(z: float) -> float:
    """Return exp(a*a)*erfc(a)/z with z = 1/(a + 3), a up to 27.4."""
    p = -258441861.0122349
    p = fma(p, z, 879077217.7298858)
    p = fma(p, z, -1252146757.6654983)
    p = fma(p, z, 860069663.6649499)
    p = fma(p, z, -94177096.39452311)
    p = fma(p, z, -369986261.9989611)
    p = fma(p, z, 386572849.18070346)
    p = fma(p, z, -219571105.4206524)
    p = fma(p, z, 85439964.69001475)
    p = fma(p, z, -24859365.346909963)
    p = fma(p, z, 5682910.277749973)
    p = fma(p, z, -1025213.85682266)
    p = fma(p, z, 147089.76759033592)
    p = fma(p, z, -19497.293859851492)
    p = fma(p, z, 1267.5136674657667)
    p = fma(p, z, -54.28656034464663)
    p = fma(p, z, 180.453685475983)
    p = fma(p, z, 124.19184936268482)
    p = fma(p, z, 67.29623964243382)
    p = fma(p, z, 30.888880786288386)
    p = fma(p, z, 12.694276635847157)
    p = fma(p, z, 4.795611292343079)
    p = fma(p, z, 1.6925687522189619)
    return fma(p, z, 0.5641895835409078)


def _scaled_erfc_slope(z: float) -> float:
    """Return the slope of log(exp(a*a)*erfc(a)) by log(z), z = 1/(a + 3)."""
    p = -22.35855743893834
    p = fma(p, z, 25.42373940297495)
    p = fma(p, z, 1.0220819755631292)
    return fma(p, z, 1.0581395337577955)


def _erf_exponential_tailf(z: float) -> float:
    """Return (exp(z) - 1 - z)/z**2 for |z| up to log(2)/2; float32."""
    p = 0.0013950211674016483
    p = fmaf(p, z, 0.008368879828520371)
    p = fmaf(p, z, 0.041666211681120884)
    p = fmaf(p, z, 0.16666518902982932)
    return fmaf(p, z, 0.5000000092125567)


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


def _scaled_erfcf(z: float) -> float:
    """Return exp(a*a)*erfc(a)/z with z = 1/(a + 3), a up to 10.3; float32."""
    p = 515.5161910506976
    p = fmaf(p, z, 2269.015350824336)
    p = fmaf(p, z, -4859.776608133125)
    p = fmaf(p, z, 3064.978141990755)
    p = fmaf(p, z, -819.2275759918913)
    p = fmaf(p, z, 262.6458109471581)
    p = fmaf(p, z, 4.144806164664432)
    p = fmaf(p, z, 15.113664085762165)
    p = fmaf(p, z, 4.6564477308989725)
    p = fmaf(p, z, 1.6971768822908022)
    return fmaf(p, z, 0.5641227811424324)


def _scaled_erfc_slopef(z: float) -> float:
    """Return the slope of log(exp(a*a)*erfc(a)) by log(z), z = 1/(a + 3); float32."""
    p = 11.563488621840335
    p = fmaf(p, z, 3.5942806927410356)
    return fmaf(p, z, 0.9230044736577531)


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
    p = r + fma(r * r, _erf_exponential_tail(r), low)
    s = as_float((as_int(t) << 52) + 0x3FF0000000000000)
    return math.copysign(fma(-s, p, 1.0 - s), x)


def _erfc_parts(a: float, a_low: float) -> tuple[float, float]:
    """Return m and s with erfc(a + a_low) = m*s/2**120, for a from 0 to 27.4."""
    h = a * a
    h_low = fma(a + a, a_low, fma(a, a, -h))
    t = fma(h, -1.4426950408889634, 6755399441055744.0)
    k = t - 6755399441055744.0
    r = fma(k, -0.6931471805599453, -h)
    low = fma(k, -2.3190468138462996e-17, -h_low)
    total = a + 3.0
    large = a if a > 3.0 else 3.0
    small = 3.0 if a > 3.0 else a
    total_low = (small - (total - large)) + a_low
    y = 1.0 / total
    error = fma(-y, total_low, fma(-y, total, 1.0)) * _scaled_erfc_slope(y)
    scaled = y * _scaled_erfc(y)
    p = r + fma(r * r, _erf_exponential_tail(r), fma(error, r, error) + low)
    s = as_float((as_int(t) << 52) + 0x4770000000000000)
    return fma(scaled, p, scaled), s


def erfc(x: float) -> float:
    """Return 1 - erf(x), with a small relative error where it is small."""
    a = math.fabs(x)
    m, s = _erfc_parts(27.4 if a > 27.4 else a, 0.0)
    v = (m * s) * 2.0**-120
    return 2.0 - v if x < 0.0 else v


def gelu(x: float) -> float:
    """Return x*erfc(-x/sqrt(2))/2, with x/sqrt(2) in two parts."""
    a = math.fabs(x)
    a = 38.7 if a > 38.7 else a
    z = a * 0.7071067811865476
    z_low = fma(a, -4.833646656726457e-17, fma(a, 0.7071067811865476, -z))
    m, s = _erfc_parts(z, z_low)
    left = ((-0.5 * a * m) * s) * 2.0**-120
    right = x * (1.0 - (0.5 * m * s) * 2.0**-120)
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
    p = r + fmaf(r * r, _erf_exponential_tailf(r), low)
    s = as_floatf((as_intf(t) << 23) + 0x3F800000)
    return math.copysign(fmaf(-s, p, np.float32(1.0) - s), x)


def _erfc_partsf(a: float, a_low: float) -> tuple[float, float]:
    """Return m and s with erfc(a + a_low) = m*s/2**40, in float32, for a from 0 to 10.3."""
    h = a * a
    h_low = fmaf(a + a, a_low, fmaf(a, a, -h))
    t = fmaf(h, -1.4426950216293335, 12582912.0)
    k = t - np.float32(12582912.0)
    r = fmaf(k, -0.6931471824645996, -h)
    low = fmaf(k, 1.9046542121259336e-09, -h_low)
    total = a + np.float32(3.0)
    large = a if a > np.float32(3.0) else np.float32(3.0)
    small = np.float32(3.0) if a > np.float32(3.0) else a
    total_low = (small - (total - large)) + a_low
    y = np.float32(1.0) / total
    error = fmaf(-y, total_low, fmaf(-y, total, 1.0)) * _scaled_erfc_slopef(y)
    scaled = y * _scaled_erfcf(y)
    p = r + fmaf(r * r, _erf_exponential_tailf(r), fmaf(error, r, error) + low)
    s = as_floatf((as_intf(t) << 23) + 0x53800000)
    return fmaf(scaled, p, scaled), s


def erfcf(x: float) -> float:
    """Return 1 - erf(x), in float32."""
    a = math.fabs(x)
    m, s = _erfc_partsf(np.float32(10.3) if a > np.float32(10.3) else a, np.float32(0.0))
    v = (m * s) * np.float32(2.0**-40)
    return np.float32(2.0) - v if x < np.float32(0.0) else v


def geluf(x: float) -> float:
    """Return x*erfc(-x/sqrt(2))/2, in float32."""
    a = math.fabs(x)
    a = np.float32(14.5) if a > np.float32(14.5) else a
    z = a * np.float32(0.7071067690849304)
    z_low = fmaf(a, 1.2101617485882343e-08, fmaf(a, 0.7071067690849304, -z))
    m, s = _erfc_partsf(z, z_low)
    left = ((np.float32(-0.5) * a * m) * s) * np.float32(2.0**-40)
    right = x * (np.float32(1.0) - (np.float32(0.5) * m * s) * np.float32(2.0**-40))
    return left if x < np.float32(0.0) else right
