"""Kernels of f(x, y) = y*log(x) + sin(y)

forward: 4 operations at each point
gradient: 7 operations at each point

Written by symgrad 0.1.0. Change the formula, not this file.
"""

import math

import numba
import numpy as np

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
def fma(context, a, b, c):
    """Return a*b + c, rounded once, in float64."""

    def generate(target, builder, signature, arguments):
        return builder.fma(*arguments)

    return numba.float64(numba.float64, numba.float64, numba.float64), generate


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
def has_avx512(context):
    """Tell whether the processor has AVX-512; a constant that decides at compile time."""

    def generate(target, builder, signature, arguments):
        features = target.codegen().magic_tuple()[2].split(",")
        return target.get_constant(numba.boolean, "+avx512f" in features)

    return numba.boolean(), generate


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


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _cosine_tail(z: float) -> float:
    """Return (cos(r) - 1 + z/2)/z**2 with z = r*r, for z up to (pi/4)**2."""
    p = -1.1359677053548748e-11
    p = fma(p, z, 2.087572382785807e-09)
    p = fma(p, z, -2.755731435633699e-07)
    p = fma(p, z, 2.480158728949578e-05)
    p = fma(p, z, -0.0013888888888874144)
    return fma(p, z, 0.0416666666666666)


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _sine_tail(z: float) -> float:
    """Return (sin(r) - r)/r**3 with z = r*r, for z up to (pi/4)**2."""
    p = 1.5896230141711745e-10
    p = fma(p, z, -2.5050747742775132e-08)
    p = fma(p, z, 2.755731362109535e-06)
    p = fma(p, z, -0.00019841269829588056)
    p = fma(p, z, 0.008333333333322115)
    return fma(p, z, -0.1666666666666663)


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
def _cos_angle(r: float, d: float, n: int) -> float:
    """Return cos(n*pi/2 + r - d)."""
    z = r * r
    s = r - fma(-z, fma(r, _sine_tail(z), 0.5 * d), d)
    c = fma(r, fma(r, fma(z, _cosine_tail(z), -0.5), d), 1.0)
    v = s if (n & 1) != 0 else c
    return as_float(as_int(v) ^ (((n + 1) & 2) << 62))


@numba.njit(error_model="numpy", nogil=True)
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


@numba.njit(error_model="numpy", nogil=True)
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


@numba.njit(error_model="numpy", nogil=True, forceinline=True)
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


@numba.njit(error_model="numpy", nogil=True)
def cos(x: float) -> float:
    """Return the cosine of x."""
    if math.fabs(x) <= 1099511627776.0:
        r, d, n = _near_angle(x)
    else:
        r, d, n = _far_angle(x)
    return _cos_angle(r, d, n)


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
def _sin_angle(r: float, d: float, n: int) -> float:
    """Return sin(n*pi/2 + r - d)."""
    z = r * r
    s = r - fma(-z, fma(r, _sine_tail(z), 0.5 * d), d)
    c = fma(r, fma(r, fma(z, _cosine_tail(z), -0.5), d), 1.0)
    v = c if (n & 1) != 0 else s
    return as_float(as_int(v) ^ ((n & 2) << 62))


@numba.njit(error_model="numpy", nogil=True)
def sin(x: float) -> float:
    """Return the sine of x."""
    if math.fabs(x) <= 1099511627776.0:
        r, d, n = _near_angle(x)
    else:
        r, d, n = _far_angle(x)
    return _sin_angle(r, d, n)

number = numba.float64


@numba.njit([(number, number)], error_model="numpy", nogil=True, cache=True)
def forward(x, y):
    # f(x, y) = y*log(x) + sin(y)
    f = fma(y, log(x), sin(y))
    return f


@numba.njit([(number, number)], error_model="numpy", nogil=True, cache=True)
def gradient(x, y):
    # f(x, y) = y*log(x) + sin(y)
    t = log(x)
    f = fma(y, t, sin(y))
    # derivatives of f(x, y) = y*log(x) + sin(y)
    y_bar = cos(y) + t
    x_bar = y/x
    return f, x_bar, y_bar


# Values computed with 50 digits, independently of the kernels:
# (kernel, inputs, outputs).
GOLDEN = (
    ("forward", (2.0, 3.0), (2.220561549739703,)),
    ("gradient", (2.0, 3.0), (2.220561549739703, 1.5, -0.29684531604050013)),
)
TOLERANCE = 1e-12
# kernel: function, which inputs are arrays, number of extents, place of each output
# (returned if not negative, else in the arrays).
KERNELS = {
    "forward": (forward, (False, False), 0, (0,)),
    "gradient": (gradient, (False, False), 0, (0, 1, 2)),
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
