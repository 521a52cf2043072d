"""Kernels of

    # European call: value, with delta, the derivatives by K, vega, theta and rho as gradient.
    # F. Black and M. Scholes, J. Political Economy 81 (1973) 637.
    d1 = (log(S/K) + (r + sigma**2/2)*T)/(sigma*sqrt(T))
    d2 = d1 - sigma*sqrt(T)
    call(S, K, T, r, sigma) = S*erfc(-d1/sqrt(2))/2 - K*exp(-r*T)*erfc(-d2/sqrt(2))/2

forward: 24 operations at each point
gradient: 55 operations at each point

Written by symgrad 0.1.0. Change the formula, not this file.
"""

import math

import numba
import numpy as np

sqrt = math.sqrt


def instruction(builder, name, form, operands):
    """Call an instruction of AVX-512 on one number, such that loops are vectorised.

    LLVM's intrinsics take eight doubles or sixteen float32 numbers. So a function of one
    number, which is not inlined, stands for the instruction and names the intrinsic as its
    vector form, and for what is left over at the end of a loop a function of half as many
    numbers. In `form` are v for an operand that becomes a vector and u for a setting; a mask
    for all lanes and the current mode of rounding are added.
    """
    from llvmlite import ir

    number, index, module = operands[0].type, ir.IntType(32), builder.module
    kind, lanes = ("pd", 8) if number == ir.DoubleType() else ("ps", 16)
    operands = [*operands, ir.IntType(lanes)(-1), index(4)]
    form = f"{form}uu"
    half, one = f"{name}.{kind}.{lanes // 2}", f"{name}.{kind}.1"
    full = f"llvm.x86.avx512.mask.{name}.{kind}.512"

    def declare(name, count):
        def several(kind):
            return ir.VectorType(kind, count) if count > 1 else kind

        kinds = [several(o.type) if f == "v" else o.type for o, f in zip(operands, form)]
        return ir.Function(module, ir.FunctionType(several(number), kinds), name)

    def define(name, count, callee, into, out_of, attributes=()):
        function = declare(name, count)
        function.linkage = "linkonce_odr"
        common = "noinline", "nounwind", "willreturn", "speculatable", "memory(none)"
        for attribute in (*common, *attributes):
            # llvmlite refuses attributes that it does not know, but prints what is in the set.
            set.add(function.attributes, attribute)
        inside = ir.IRBuilder(function.append_basic_block())
        arguments = [
            into(inside, argument, wide.type) if f == "v" else operand
            for operand, argument, wide, f in zip(operands, function.args, callee.args, form)
        ]
        inside.ret(out_of(inside, inside.call(callee, arguments)))
        return function

    def places(count):
        numbers = [k % (lanes // 2) for k in range(count)]
        return ir.Constant(ir.VectorType(index, count), numbers)

    if one not in module.globals:
        middle = define(
            half,
            lanes // 2,
            declare(full, lanes),
            lambda b, value, wide: b.shuffle_vector(value, value, places(lanes)),
            lambda b, value: b.shuffle_vector(value, value, places(lanes // 2)),
        )
        forms = ((lanes, full), (lanes // 2, half))
        names = ",".join(f"_ZGV_LLVM_N{n}{form}_{one}({other})" for n, other in forms)
        define(
            one,
            1,
            middle,
            lambda b, value, wide: b.insert_element(wide(None), value, index(0)),
            lambda b, value: b.extract_element(value, index(0)),
            [f'"vector-function-abi-variant"="{names}"'],
        )
    return builder.call(module.globals[one], operands)


@numba.extending.intrinsic
def as_float(context, x):
    """Return the number with the same bits as x."""

    def generate(target, builder, signature, arguments):
        kind = target.get_value_type(signature.return_type)
        return builder.bitcast(arguments[0], kind)

    return numba.float64(numba.int64), generate


@numba.extending.intrinsic
def as_int(context, x):
    """Return the number with the same bits as x."""

    def generate(target, builder, signature, arguments):
        kind = target.get_value_type(signature.return_type)
        return builder.bitcast(arguments[0], kind)

    return numba.int64(numba.float64), generate


@numba.extending.intrinsic
def fma(context, a, b, c):
    """Return a*b + c, rounded once, in float64."""

    def generate(target, builder, signature, arguments):
        return builder.fma(*arguments)

    return numba.float64(numba.float64, numba.float64, numba.float64), generate


@numba.extending.intrinsic
def has_avx512(context):
    """Tell whether the processor has AVX-512; a constant that decides at compile time."""

    def generate(target, builder, signature, arguments):
        features = target.codegen().magic_tuple()[2].split(",")
        return target.get_constant(numba.boolean, "+avx512f" in features)

    return numba.boolean(), generate


@numba.extending.intrinsic
def scaled(context, x, k):
    """Return x*2**floor(k), rounded once; k may be infinite."""

    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        x, k = arguments
        return instruction(builder, "scalef", "vvv", [x, k, x])

    return numba.float64(numba.float64, numba.float64), generate


@numba.extending.intrinsic
def log_edges(context, x, value):
    """Return the value, or that of a logarithm where x is not positive or not finite."""

    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        x, value = arguments
        return instruction(builder, "fixupimm", "vvvu", [value, x, ir.IntType(64)(0x03530422), ir.IntType(32)(0)])

    return numba.float64(numba.float64, numba.float64), generate


@numba.extending.intrinsic
def exponent(context, x):
    """Return k of x = m*2**k with 1 <= abs(m) < 2; -infinity for 0."""

    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        x, = arguments
        return instruction(builder, "getexp", "vv", [x, x])

    return numba.float64(numba.float64), generate


@numba.extending.intrinsic
def significand(context, x):
    """Return m of x = m*2**k with 1 <= abs(m) < 2."""

    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        x, = arguments
        return instruction(builder, "getmant", "vuv", [x, ir.IntType(32)(0), x])

    return numba.float64(numba.float64), generate


@numba.extending.intrinsic
def root_edges(context, x, value):
    """Return the value, or that of 1/sqrt(x) where x is not positive or not finite."""

    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        x, value = arguments
        return instruction(builder, "fixupimm", "vvvu", [value, x, ir.IntType(64)(0x03830622), ir.IntType(32)(0)])

    return numba.float64(numba.float64, numba.float64), generate


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _clamped(x: float, low: float, high: float) -> float:
    """Return x, or the limit that it exceeds; NaN if x is NaN."""
    y = high if x > high else x
    return low if y < low else y


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _cut(r: float) -> float:
    """Return r where abs(r) < 2, else some number with abs(r) < 2, for NaN too.

    That is enough where 2**k is 0, infinite or NaN and the reduction has failed.
    """
    return as_float(as_int(r) & -4611686018427387905)


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _scaled(v: float, n: int) -> float:
    """Return v*2**n for v near 1 in two steps, of which the second alone can round."""
    half = n >> 1
    return v * as_float((half + 1023) << 52) * as_float((n - half + 1023) << 52)


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
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


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _limits(x: float, value: float) -> float:
    """Return the value, or that of a logarithm where x is not positive or not finite."""
    value = value if x < math.inf else x
    edge = -math.inf if x == 0.0 else math.nan
    return edge if x <= 0.0 else value


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _edges(x: float, value: float) -> float:
    """Return `_limits(x, value)`, by an instruction where there is one."""
    return log_edges(x, value) if has_avx512() else _limits(x, value)


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
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


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _split(x: float) -> tuple[float, float]:
    """Return k and f of a finite x > 0, 2**k*(1 + f) = x; rubbish for other x."""
    tiny = x < 2.2250738585072014e-308
    n = as_int(x * 18014398509481984.0 if tiny else x) + 2638147582215219
    k = as_float(((n >> 52) & 4095) | 4841369599423283200)
    f = as_float((n & 4503599627370495) + 4604544271217802189) - 1.0
    return k - (4503599627371573.0 if tiny else 4503599627371519.0), f


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _parts(x: float) -> tuple[float, float]:
    """Return `_split(x)`, by instructions where there are any."""
    if not has_avx512():
        return _split(x)
    k, m = exponent(x), significand(x)
    high = m >= 1.4142135623730951
    return (k + 1.0 if high else k), (0.5 * m if high else m) - 1.0


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def log(x: float) -> float:
    """Return the natural logarithm; below 1 ULP."""
    k, f = _parts(x)
    rest = _log_tail(f, f / (2.0 + f), k * 1.6465949582897082e-12)
    a = k * 0.6931471805582987
    b = a + f
    return _edges(x, b + ((f - (b - a)) + rest))


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
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


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
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


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
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


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _scaled_erfc_slope(z: float) -> float:
    """Return the slope of log(exp(a*a)*erfc(a)) by log(z), z = 1/(a + 3)."""
    p = -22.35855743893834
    p = fma(p, z, 25.42373940297495)
    p = fma(p, z, 1.0220819755631292)
    return fma(p, z, 1.0581395337577955)


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
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


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _over_sqrt2(a: float) -> tuple[float, float]:
    """Return a/sqrt(2) in two parts."""
    z = a * 0.7071067811865476
    return z, fma(a, -4.833646656726457e-17, fma(a, 0.7071067811865476, -z))


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def ndtr(x: float) -> float:
    """Return erfc(-x/sqrt(2))/2, the distribution function of the normal distribution."""
    a = math.fabs(x)
    a = 38.7 if a > 38.7 else a
    z, z_low = _over_sqrt2(a)
    m, s = _erfc_parts(z, z_low)
    v = (m * s) * (0.0 if a > 38.6 else 2.0**-121)
    return 1.0 - v if x > 0.0 else v


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _bell_parts(a: float, a_low: float) -> tuple[float, float]:
    """Return p and s with exp(-(a + a_low)**2) = (1 + p)*s/2**120, for a from 0 to 27.4."""
    n, r, e, low = _bell(a, a_low)
    square = r * r
    p = r + fma(square, e, fma(low, fma(square, e, r), low))
    return p, as_float((n << 52) + 0x4770000000000000)


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def ndtr_slope(x: float) -> float:
    """Return exp(-x*x/2)/sqrt(2*pi), the derivative of ndtr; shares the exponential with it."""
    a = math.fabs(x)
    a = 38.7 if a > 38.7 else a
    z, z_low = _over_sqrt2(a)
    p, s = _bell_parts(z, z_low)
    m = fma(0.3989422804014327, p, -2.49232720227773e-17) + 0.3989422804014327
    return (m * s) * (0.0 if a > 38.6 else 2.0**-120)


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _inverse_root_tail(z: float) -> float:
    """Return (1/sqrt(1 - z) - 1)/z for |z| up to 0.069."""
    p = 0.31328388143962366
    p = fma(p, z, 0.3759609882909578)
    return fma(p, z, 0.499999420488641)


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
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


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _inverse_root_limits(x: float, value: float) -> float:
    """Return the value, or that of 1/sqrt(x) where x is not positive or not finite."""
    edge = math.copysign(math.inf, x) if x == 0.0 else math.nan
    edge = 0.0 if x == math.inf else edge
    return value if x > 0.0 and x < math.inf else edge


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def rsqrt(x: float) -> float:
    """Return 1/sqrt(x) without a root or a division, which are slow; below 0.6 ULP."""
    tiny = x < 2.2250738585072014e-308
    z = x * 18014398509481984.0 if tiny else 1.0 * x
    value = _inverse_root(z) * (134217728.0 if tiny else 1.0)
    return root_edges(x, value) if has_avx512() else _inverse_root_limits(x, value)

number = numba.float64


@numba.njit(
    [(number, number, number, number, number)],
    error_model="numpy", nogil=True, cache=True,
)
def forward(S, K, T, r, sigma):
    # d1 = (log(S/K) + (r + sigma**2/2)*T)/(sigma*sqrt(T))
    t = sigma*sqrt(T)
    d1 = fma(fma(sigma*sigma, 0.5, r), T, log(S/K))/t
    # d2 = d1 - sigma*sqrt(T)
    d2 = d1 - t
    # call(S, K, T, r, sigma) = S*erfc(-d1/sqrt(2))/2 - K*exp(-r*T)*erfc(-d2/sqrt(2))/2
    call = fma(S*(2.0*ndtr(d1)), 0.5, -(K*exp(-(r*T))*(2.0*ndtr(d2))/2.0))
    return call


@numba.njit(
    [(number, number, number, number, number)],
    error_model="numpy", nogil=True, cache=True,
)
def gradient(S, K, T, r, sigma):
    # d1 = (log(S/K) + (r + sigma**2/2)*T)/(sigma*sqrt(T))
    t = S/K
    t1 = fma(sigma*sigma, 0.5, r)
    t2 = sqrt(T)
    t3 = sigma*t2
    t4 = fma(t1, T, log(t))/t3
    d1 = t4
    # d2 = d1 - sigma*sqrt(T)
    d2 = d1 - t3
    # call(S, K, T, r, sigma) = S*erfc(-d1/sqrt(2))/2 - K*exp(-r*T)*erfc(-d2/sqrt(2))/2
    t5 = exp(-(r*T))
    t6 = K*t5
    t7 = ndtr(d1)
    t8 = ndtr(d2)
    call = fma(S*(2.0*t7), 0.5, -(t6*(2.0*t8)/2.0))
    # derivatives of call(S, K, T, r, sigma) = S*erfc(-d1/sqrt(2))/2 - K*exp(-r*T)*erfc(-d2/sqrt(2))/2
    t9 = t6*ndtr_slope(d2)
    t10 = t8*K*t5
    # derivatives of d1 = (log(S/K) + (r + sigma**2/2)*T)/(sigma*sqrt(T))
    d1_bar = S*ndtr_slope(d1) - t9
    t11 = d1_bar*(1.0/t3)
    t12 = t9 - t11*t4
    t13 = t11*T
    r_bar = t10*T + t13
    T_bar = fma(t11, t1, t10*r + 0.5*(t12*sigma)*rsqrt(T))
    sigma_bar = t12*t2 + t13*sigma
    t14 = t11/S
    S_bar = t7 + t14
    K_bar = fma(-t14, t, -(t8*t5))
    return call, S_bar, K_bar, T_bar, r_bar, sigma_bar


# Values computed with 50 digits, independently of the kernels:
# (kernel, inputs, outputs).
GOLDEN = (
    ("forward", (100.0, 95.0, 0.5, 0.03, 0.2), (9.251090315022006,)),
    ("forward", (42.0, 40.0, 0.5, 0.1, 0.2), (4.759422392871533,)),
    ("forward", (80.0, 120.0, 2.0, 0.01, 0.35), (5.88479202385225,)),
    ("gradient", (100.0, 95.0, 0.5, 0.03, 0.2), (9.251090315022006, 0.7052204487543288, -0.6449574164253775, 6.715973426506873, 30.635477280205432, 24.389223948472736)),
    ("gradient", (42.0, 40.0, 0.5, 0.1, 0.2), (4.759422392871533, 0.779131290942669, -0.6991022956680141, 4.559092194592627, 13.982045913360281, 8.813415059602852)),
    ("gradient", (80.0, 120.0, 2.0, 0.01, 0.35), (5.88479202385225, 0.29761593358217875, -0.1493706888560171, 3.608768684290219, 35.848965325444105, 39.194558373291414)),
)
TOLERANCE = 1e-12
# kernel: function, which inputs are arrays, number of extents, place of each output
# (returned if not negative, else in the arrays).
KERNELS = {
    "forward": (forward, (False, False, False, False, False), 0, (0,)),
    "gradient": (gradient, (False, False, False, False, False), 0, (0, 1, 2, 3, 4, 5)),
}


def verify():
    """Return the largest error against the golden values, relative to max(1, |value|)."""
    worst = 0.0
    for kernel, inputs, expected in GOLDEN:
        for got, want in zip(call(kernel, inputs), expected):
            if got == want or (got != got and want != want):
                continue
            error = abs(got - want) / max(1.0, abs(want))
            # A NaN compares false with everything, so it must not pass as the least error.
            worst = max(worst, error) if error == error else math.inf
    return worst


def call(kernel, inputs):
    """Return the outputs of a kernel at one point as a tuple of numbers."""
    function, is_array, extents, order = KERNELS[kernel]
    written = [np.empty(1) for place in order if place < 0]
    arguments = [np.array([x]) if array else x for x, array in zip(inputs, is_array)]
    returned = function(*[1] * extents, *arguments, *written)
    if not isinstance(returned, tuple):
        returned = () if returned is None else (returned,)
    return tuple(returned[k] if k >= 0 else written[-1 - k][0] for k in order)


if __name__ == "__main__":
    error = verify()
    print(f"{len(GOLDEN)} golden values of {', '.join(KERNELS)}: largest error {error:.1e}")
    raise SystemExit(int(not error <= TOLERANCE))
