"""Trigonometric functions without branches, so that loops that call them vectorise.

Every function f has two forms. `f_near` has no branches, holds for arguments up to the limit
in `NEAR` and is NaN for infinities and NaN; f is complete, equal to `f_near` bit for bit up
to the limit and right up to the largest number. Names that end in f are the float32 forms.

Methods: reduction by multiples of pi/2 in three parts with exact products and an exact
subtraction (Cody and Waite, "Software Manual for the Elementary Functions", 1980; Muller et
al., "Handbook of Floating-Point Arithmetic", 2nd ed., chapters 4 and 10), beyond the limit
by the digits of 2/pi (Payne and Hanek, SIGNUM Newsletter 18, 1983; the C library is wrong by
1000 ULP at 1212556436342283.2); minimax polynomials of `scripts/vmath_coefficients.py` on
[-pi/4, pi/4]. The sine and the cosine of one argument
share the reduction and the polynomials once the compiler has merged equal expressions.
Measured errors: at most 0.9 ULP for sin, cos, sec and csc, 1.01 for sinc, 1.4 for tan and cot.
"""

from __future__ import annotations

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np
from symgrad.vmath.ieee import as_float, as_floatf, as_int, as_intf, fma, fmaf

#: The form without branches and the largest argument that it takes, by function.
NEAR: dict[str, tuple[str, float]] = {
    **{
        name: (f"{name}_near", 2.0**40)
        for name in ("cos", "cot", "csc", "sec", "sin", "sinc", "tan")
    },
    **{
        name: (f"{name}_near", 2.0**18)
        for name in ("cosf", "cotf", "cscf", "secf", "sinf", "sincf", "tanf")
    },
}
#: Functions of this module with branches, which need not be inlined.
BRANCHING: frozenset[str] = frozenset({*NEAR, "_digit", "_far_angle"})


# Reduction ---------------------------------------------------------------------------------


def _near_angle(x: float) -> tuple[float, float, int]:
    """Return r, d and n with x = n*pi/2 + r - d, n modulo 2**50; |x| at most 2**40.

    The first product is exact by the fused operation. The second subtraction is Dekker's
    fast two-sum, exact in any order of sizes since r is a multiple of the last place of p.
    """
    t = fma(x, 0.6366197723675814, 6755399441055744.0)
    k = t - 6755399441055744.0
    r = fma(k, -1.5707963267948966, x)
    p = k * 6.123233995736766e-17
    h = r - p
    d = fma(k, 6.123233995736766e-17, -p) - ((r - h) - p)
    return h, fma(k, -1.4973849048591698e-33, d), as_int(t)


def _near_anglef(x: float) -> tuple[float, float, int]:
    """Return r, d and n with x = n*pi/2 + r - d; |x| at most 2**18.

    The first part of pi/2 is below it, so that zeros keep their signs.
    """
    t = fmaf(x, 0.6366197723675814, 12582912.0)
    k = t - np.float32(12582912.0)
    r = fmaf(k, -1.570796251296997, x)
    p = k * np.float32(7.549790126404332e-08)
    h = r - p
    d = fmaf(k, 7.549790126404332e-08, -p) - ((r - h) - p)
    return h, fmaf(k, -1.7151245100058819e-15, d), as_intf(t)


def _digit(place: int) -> int:
    """Return a digit of 2/pi in base 2**27; the first two, before the point, are 0."""
    digits = (
        0,
        0,
        85445659,
        60002565,
        39057486,
        92086099,
        40820845,
        92952164,
        126382600,
        33444195,
        90109406,
        22572489,
        14447748,
        81604096,
        52729717,
        2573896,
        60801981,
        52212009,
        87684932,
        9272651,
        91654409,
        110741250,
        56242111,
        17098311,
        46608490,
        54129820,
        69401693,
        125717006,
        104853807,
        134078553,
        67630999,
        71708008,
        21865453,
        87457487,
        20863053,
        97767823,
        114113727,
        111335250,
        64840693,
        127387116,
        127985470,
        126505618,
        122904538,
        132925411,
        45748396,
        3343471,
        104707541,
        130236144,
    )
    return digits[place]


def _far_angle(x: float) -> tuple[float, float, int]:
    """Return r, d and n with x = n*pi/2 + r - d for |x| above 2**40; NaN for infinities.

    x*2/pi modulo 2**27 with 162 bits of the fraction, in digits of 27 bits.
    """
    if not math.fabs(x) < math.inf:
        return math.nan, math.nan, 0
    bits = as_int(x) & 0x7FFFFFFFFFFFFFFF
    mantissa = (bits & 0xFFFFFFFFFFFFF) | 0x10000000000000
    exponent = (bits >> 52) - 1075 + 27
    place = exponent // 27
    shift = exponent - 27 * place
    m0 = (mantissa << shift) & 0x7FFFFFF
    m1 = (mantissa >> (27 - shift)) & 0x7FFFFFF
    m2 = mantissa >> (54 - shift)
    d0, d1, d2 = _digit(place), _digit(place + 1), _digit(place + 2)
    d3, d4, d5 = _digit(place + 3), _digit(place + 4), _digit(place + 5)
    d6, d7, d8 = _digit(place + 6), _digit(place + 7), _digit(place + 8)
    # Column by column from the right, without a loop: each carries into the next.
    t7 = m0 * d7 + m1 * d8 + m2 * _digit(place + 9)
    t6 = m0 * d6 + m1 * d7 + m2 * d8 + (t7 >> 27)
    t5 = m0 * d5 + m1 * d6 + m2 * d7 + (t6 >> 27)
    t4 = m0 * d4 + m1 * d5 + m2 * d6 + (t5 >> 27)
    t3 = m0 * d3 + m1 * d4 + m2 * d5 + (t4 >> 27)
    t2 = m0 * d2 + m1 * d3 + m2 * d4 + (t3 >> 27)
    t1 = m0 * d1 + m1 * d2 + m2 * d3 + (t2 >> 27)
    whole = (m0 * d0 + m1 * d1 + m2 * d2 + (t1 >> 27)) & 0x7FFFFFF
    f1, f2, f3 = t1 & 0x7FFFFFF, t2 & 0x7FFFFFF, t3 & 0x7FFFFFF
    f4, f5, f6 = t4 & 0x7FFFFFF, t5 & 0x7FFFFFF, t6 & 0x7FFFFFF
    sign = -1.0 if x < 0.0 else 1.0
    n = whole
    if f1 >= 0x4000000:
        # The next multiple is nearer: 1 - f, less than 2**-162 too small.
        n = whole + 1
        sign = -sign
        f1, f2, f3 = 0x7FFFFFF - f1, 0x7FFFFFF - f2, 0x7FFFFFF - f3
        f4, f5, f6 = 0x7FFFFFF - f4, 0x7FFFFFF - f5, 0x7FFFFFF - f6
    a = 2.0**-54 * ((f1 << 27) + f2)
    b = 2.0**-81 * f3
    c = 2.0**-108 * f4
    high = (b + c) + a
    low = (((a - high) + b) + c) + 2.0**-162 * ((f5 << 27) + f6)
    r = high * 1.5707963267948966
    d = fma(high, 1.5707963267948966, -r) + fma(
        high, 6.123233995736766e-17, low * 1.5707963267948966
    )
    h = r + d
    return sign * h, sign * ((h - r) - d), -n if x < 0.0 else n


# Polynomials -------------------------------------------------------------------------------


def _sine_tail(z: float) -> float:
    """Return (sin(r) - r)/r**3 with z = r*r, for z up to (pi/4)**2."""
    p = 1.5896230141711745e-10
    p = fma(p, z, -2.5050747742775132e-08)
    p = fma(p, z, 2.755731362109535e-06)
    p = fma(p, z, -0.00019841269829588056)
    p = fma(p, z, 0.008333333333322115)
    return fma(p, z, -0.1666666666666663)


def _cosine_tail(z: float) -> float:
    """Return (cos(r) - 1 + z/2)/z**2 with z = r*r, for z up to (pi/4)**2."""
    p = -1.1359677053548748e-11
    p = fma(p, z, 2.087572382785807e-09)
    p = fma(p, z, -2.755731435633699e-07)
    p = fma(p, z, 2.480158728949578e-05)
    p = fma(p, z, -0.0013888888888874144)
    return fma(p, z, 0.0416666666666666)


def _sine_tailf(z: float) -> float:
    """Return (sin(r) - r)/r**3 with z = r*r, for z up to (pi/4)**2; float32."""
    p = -0.0001951534821092419
    p = fmaf(p, z, 0.008332161228598218)
    return fmaf(p, z, -0.16666654615572052)


def _cosine_tailf(z: float) -> float:
    """Return (cos(r) - 1 + z/2)/z**2 with z = r*r, for z up to (pi/4)**2; float32."""
    p = -2.7210298928345047e-07
    p = fmaf(p, z, 2.4799520768459945e-05)
    p = fmaf(p, z, -0.0013888883756327164)
    return fmaf(p, z, 0.04166666662286157)


# From the reduced argument -----------------------------------------------------------------


def _sin_angle(r: float, d: float, n: int) -> float:
    """Return sin(n*pi/2 + r - d)."""
    z = r * r
    s = r - fma(-z, fma(r, _sine_tail(z), 0.5 * d), d)
    c = fma(r, fma(r, fma(z, _cosine_tail(z), -0.5), d), 1.0)
    v = c if (n & 1) != 0 else s
    return as_float(as_int(v) ^ ((n & 2) << 62))


def _cos_angle(r: float, d: float, n: int) -> float:
    """Return cos(n*pi/2 + r - d)."""
    z = r * r
    s = r - fma(-z, fma(r, _sine_tail(z), 0.5 * d), d)
    c = fma(r, fma(r, fma(z, _cosine_tail(z), -0.5), d), 1.0)
    v = s if (n & 1) != 0 else c
    return as_float(as_int(v) ^ (((n + 1) & 2) << 62))


def _sine_parts(r: float, d: float, n: int) -> tuple[float, float]:
    """Return the sine of n*pi/2 + r - d in two parts."""
    z = r * r
    t = fma(-z, fma(r, _sine_tail(z), 0.5 * d), d)
    v = fma(r, fma(z, _cosine_tail(z), -0.5), d)
    s = r - t
    c = fma(r, v, 1.0)
    s_low = (r - s) - t
    c_low = fma(r, v, 1.0 - c)
    high = c if (n & 1) != 0 else s
    low = c_low if (n & 1) != 0 else s_low
    sign = (n & 2) << 62
    return as_float(as_int(high) ^ sign), as_float(as_int(low) ^ sign)


def _cosine_parts(r: float, d: float, n: int) -> tuple[float, float]:
    """Return the cosine of n*pi/2 + r - d in two parts."""
    z = r * r
    t = fma(-z, fma(r, _sine_tail(z), 0.5 * d), d)
    v = fma(r, fma(z, _cosine_tail(z), -0.5), d)
    s = r - t
    c = fma(r, v, 1.0)
    s_low = (r - s) - t
    c_low = fma(r, v, 1.0 - c)
    high = s if (n & 1) != 0 else c
    low = s_low if (n & 1) != 0 else c_low
    sign = ((n + 1) & 2) << 62
    return as_float(as_int(high) ^ sign), as_float(as_int(low) ^ sign)


def _angle_quotient(a: float, a_low: float, b: float, b_low: float) -> float:
    """Return (a + a_low)/(b + b_low) by a division and its residual."""
    inverse = 1.0 / b
    q = a * inverse
    residual = fma(q, b_low, fma(q, b, -a) - a_low)
    return fma(-residual, inverse, q)


def _tan_angle(r: float, d: float, n: int) -> float:
    """Return tan(n*pi/2 + r - d)."""
    s, s_low = _sine_parts(r, d, n)
    c, c_low = _cosine_parts(r, d, n)
    return _angle_quotient(s, s_low, c, c_low)


def _cot_angle(r: float, d: float, n: int) -> float:
    """Return cot(n*pi/2 + r - d)."""
    s, s_low = _sine_parts(r, d, n)
    c, c_low = _cosine_parts(r, d, n)
    q = _angle_quotient(c, c_low, s, s_low)
    return 1.0 / s if math.fabs(s) < 1e-300 else q


def _sec_angle(r: float, d: float, n: int) -> float:
    """Return 1/cos(n*pi/2 + r - d)."""
    c, c_low = _cosine_parts(r, d, n)
    return _angle_quotient(1.0, 0.0, c, c_low)


def _csc_angle(r: float, d: float, n: int) -> float:
    """Return 1/sin(n*pi/2 + r - d)."""
    s, s_low = _sine_parts(r, d, n)
    q = _angle_quotient(1.0, 0.0, s, s_low)
    return 1.0 / s if math.fabs(s) < 1e-300 else q


def _sin_anglef(r: float, d: float, n: int) -> float:
    """Return sin(n*pi/2 + r - d), in float32."""
    z = r * r
    s = r - fmaf(-z, fmaf(r, _sine_tailf(z), np.float32(0.5) * d), d)
    c = fmaf(r, fmaf(r, fmaf(z, _cosine_tailf(z), -0.5), d), 1.0)
    v = c if (n & 1) != 0 else s
    return as_floatf(as_intf(v) ^ ((n & 2) << 30))


def _cos_anglef(r: float, d: float, n: int) -> float:
    """Return cos(n*pi/2 + r - d), in float32."""
    z = r * r
    s = r - fmaf(-z, fmaf(r, _sine_tailf(z), np.float32(0.5) * d), d)
    c = fmaf(r, fmaf(r, fmaf(z, _cosine_tailf(z), -0.5), d), 1.0)
    v = s if (n & 1) != 0 else c
    return as_floatf(as_intf(v) ^ (((n + 1) & 2) << 30))


def _sine_partsf(r: float, d: float, n: int) -> tuple[float, float]:
    """Return the sine of n*pi/2 + r - d in two parts, in float32."""
    z = r * r
    t = fmaf(-z, fmaf(r, _sine_tailf(z), np.float32(0.5) * d), d)
    v = fmaf(r, fmaf(z, _cosine_tailf(z), -0.5), d)
    s = r - t
    c = fmaf(r, v, np.float32(1.0))
    s_low = (r - s) - t
    c_low = fmaf(r, v, np.float32(1.0) - c)
    high = c if (n & 1) != 0 else s
    low = c_low if (n & 1) != 0 else s_low
    sign = (n & 2) << 30
    return as_floatf(as_intf(high) ^ sign), as_floatf(as_intf(low) ^ sign)


def _cosine_partsf(r: float, d: float, n: int) -> tuple[float, float]:
    """Return the cosine of n*pi/2 + r - d in two parts, in float32."""
    z = r * r
    t = fmaf(-z, fmaf(r, _sine_tailf(z), np.float32(0.5) * d), d)
    v = fmaf(r, fmaf(z, _cosine_tailf(z), -0.5), d)
    s = r - t
    c = fmaf(r, v, np.float32(1.0))
    s_low = (r - s) - t
    c_low = fmaf(r, v, np.float32(1.0) - c)
    high = s if (n & 1) != 0 else c
    low = s_low if (n & 1) != 0 else c_low
    sign = ((n + 1) & 2) << 30
    return as_floatf(as_intf(high) ^ sign), as_floatf(as_intf(low) ^ sign)


def _angle_quotientf(a: float, a_low: float, b: float, b_low: float) -> float:
    """Return (a + a_low)/(b + b_low), in float32."""
    inverse = np.float32(1.0) / b
    q = a * inverse
    residual = fmaf(q, b_low, fmaf(q, b, -a) - a_low)
    return fmaf(-residual, inverse, q)


def _tan_anglef(r: float, d: float, n: int) -> float:
    """Return tan(n*pi/2 + r - d), in float32."""
    s, s_low = _sine_partsf(r, d, n)
    c, c_low = _cosine_partsf(r, d, n)
    return _angle_quotientf(s, s_low, c, c_low)


def _cot_anglef(r: float, d: float, n: int) -> float:
    """Return cot(n*pi/2 + r - d), in float32."""
    s, s_low = _sine_partsf(r, d, n)
    c, c_low = _cosine_partsf(r, d, n)
    q = _angle_quotientf(c, c_low, s, s_low)
    return np.float32(1.0) / s if math.fabs(s) < np.float32(1e-30) else q


def _sec_anglef(r: float, d: float, n: int) -> float:
    """Return 1/cos(n*pi/2 + r - d), in float32."""
    c, c_low = _cosine_partsf(r, d, n)
    return _angle_quotientf(np.float32(1.0), np.float32(0.0), c, c_low)


def _csc_anglef(r: float, d: float, n: int) -> float:
    """Return 1/sin(n*pi/2 + r - d), in float32."""
    s, s_low = _sine_partsf(r, d, n)
    q = _angle_quotientf(np.float32(1.0), np.float32(0.0), s, s_low)
    return np.float32(1.0) / s if math.fabs(s) < np.float32(1e-30) else q


# The functions -----------------------------------------------------------------------------


def sin_near(x: float) -> float:
    """Return the sine of x, for |x| at most 2**40."""
    r, d, n = _near_angle(x)
    return _sin_angle(r, d, n)


def cos_near(x: float) -> float:
    """Return the cosine of x, for |x| at most 2**40."""
    r, d, n = _near_angle(x)
    return _cos_angle(r, d, n)


def tan_near(x: float) -> float:
    """Return the tangent of x, for |x| at most 2**40."""
    r, d, n = _near_angle(x)
    return _tan_angle(r, d, n)


def cot_near(x: float) -> float:
    """Return 1/tan(x); infinite at 0, for |x| at most 2**40."""
    r, d, n = _near_angle(x)
    return _cot_angle(r, d, n)


def sec_near(x: float) -> float:
    """Return 1/cos(x), for |x| at most 2**40."""
    r, d, n = _near_angle(x)
    return _sec_angle(r, d, n)


def csc_near(x: float) -> float:
    """Return 1/sin(x); infinite at 0, for |x| at most 2**40."""
    r, d, n = _near_angle(x)
    return _csc_angle(r, d, n)


def sinc_near(x: float) -> float:
    """Return sin(x)/x for |x| at most 2**40; 1 at 0."""
    r, d, n = _near_angle(x)
    s, s_low = _sine_parts(r, d, n)
    q = _angle_quotient(s, s_low, x, 0.0)
    return 1.0 if math.fabs(x) < 1e-9 else q


def sinf_near(x: float) -> float:
    """Return the sine of x, for |x| at most 2**18."""
    r, d, n = _near_anglef(x)
    return _sin_anglef(r, d, n)


def cosf_near(x: float) -> float:
    """Return the cosine of x, for |x| at most 2**18."""
    r, d, n = _near_anglef(x)
    return _cos_anglef(r, d, n)


def tanf_near(x: float) -> float:
    """Return the tangent of x, for |x| at most 2**18."""
    r, d, n = _near_anglef(x)
    return _tan_anglef(r, d, n)


def cotf_near(x: float) -> float:
    """Return 1/tan(x); infinite at 0, for |x| at most 2**18."""
    r, d, n = _near_anglef(x)
    return _cot_anglef(r, d, n)


def secf_near(x: float) -> float:
    """Return 1/cos(x), for |x| at most 2**18."""
    r, d, n = _near_anglef(x)
    return _sec_anglef(r, d, n)


def cscf_near(x: float) -> float:
    """Return 1/sin(x); infinite at 0, for |x| at most 2**18."""
    r, d, n = _near_anglef(x)
    return _csc_anglef(r, d, n)


def sincf_near(x: float) -> float:
    """Return sin(x)/x for |x| at most 2**18; 1 at 0."""
    r, d, n = _near_anglef(x)
    s, s_low = _sine_partsf(r, d, n)
    q = _angle_quotientf(s, s_low, x, np.float32(0.0))
    return np.float32(1.0) if math.fabs(x) < np.float32(1e-5) else q


def sin(x: float) -> float:
    """Return the sine of x."""
    if math.fabs(x) <= 1099511627776.0:
        r, d, n = _near_angle(x)
    else:
        r, d, n = _far_angle(x)
    return _sin_angle(r, d, n)


def cos(x: float) -> float:
    """Return the cosine of x."""
    if math.fabs(x) <= 1099511627776.0:
        r, d, n = _near_angle(x)
    else:
        r, d, n = _far_angle(x)
    return _cos_angle(r, d, n)


def tan(x: float) -> float:
    """Return the tangent of x."""
    if math.fabs(x) <= 1099511627776.0:
        r, d, n = _near_angle(x)
    else:
        r, d, n = _far_angle(x)
    return _tan_angle(r, d, n)


def cot(x: float) -> float:
    """Return 1/tan(x); infinite at 0."""
    if math.fabs(x) <= 1099511627776.0:
        r, d, n = _near_angle(x)
    else:
        r, d, n = _far_angle(x)
    return _cot_angle(r, d, n)


def sec(x: float) -> float:
    """Return 1/cos(x)."""
    if math.fabs(x) <= 1099511627776.0:
        r, d, n = _near_angle(x)
    else:
        r, d, n = _far_angle(x)
    return _sec_angle(r, d, n)


def csc(x: float) -> float:
    """Return 1/sin(x); infinite at 0."""
    if math.fabs(x) <= 1099511627776.0:
        r, d, n = _near_angle(x)
    else:
        r, d, n = _far_angle(x)
    return _csc_angle(r, d, n)


def sinc(x: float) -> float:
    """Return sin(x)/x; 1 at 0, 0 at infinity."""
    if math.fabs(x) <= 1099511627776.0:
        return sinc_near(x)
    if math.fabs(x) == math.inf:
        return 0.0
    r, d, n = _far_angle(x)
    s, s_low = _sine_parts(r, d, n)
    return 2.0**-60 * _angle_quotient(s, s_low, 2.0**-60 * x, 0.0)


def sinf(x: float) -> float:
    """Return the sine of x, in float32."""
    if math.fabs(x) <= np.float32(262144.0):
        return sinf_near(x)
    return np.float32(sin(1.0 * x))


def cosf(x: float) -> float:
    """Return the cosine of x, in float32."""
    if math.fabs(x) <= np.float32(262144.0):
        return cosf_near(x)
    return np.float32(cos(1.0 * x))


def tanf(x: float) -> float:
    """Return the tangent of x, in float32."""
    if math.fabs(x) <= np.float32(262144.0):
        return tanf_near(x)
    return np.float32(tan(1.0 * x))


def cotf(x: float) -> float:
    """Return 1/tan(x); infinite at 0, in float32."""
    if math.fabs(x) <= np.float32(262144.0):
        return cotf_near(x)
    return np.float32(cot(1.0 * x))


def secf(x: float) -> float:
    """Return 1/cos(x), in float32."""
    if math.fabs(x) <= np.float32(262144.0):
        return secf_near(x)
    return np.float32(sec(1.0 * x))


def cscf(x: float) -> float:
    """Return 1/sin(x); infinite at 0, in float32."""
    if math.fabs(x) <= np.float32(262144.0):
        return cscf_near(x)
    return np.float32(csc(1.0 * x))


def sincf(x: float) -> float:
    """Return sin(x)/x; 1 at 0, 0 at infinity, in float32."""
    if math.fabs(x) <= np.float32(262144.0):
        return sincf_near(x)
    return np.float32(sinc(1.0 * x))
