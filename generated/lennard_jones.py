"""Kernels of

    # Energy of two charged atoms; minus its gradient is the force.
    # J. E. Lennard-Jones, Proc. Phys. Soc. 43 (1931) 461, with Coulomb's law.
    r2 = (x1 - x2)**2 + (y1 - y2)**2 + (z1 - z2)**2
    s6 = (sigma**2/r2)**3
    lj = 4*epsilon*(s6**2 - s6)
    coulomb = k*q1*q2/sqrt(r2)
    energy(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2) = lj + coulomb

forward: 20 operations at each point
gradient: 49 operations at each point

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
def root_edges(context, x, value):
    """Return the value, or that of 1/sqrt(x) where x is not positive or not finite."""

    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        x, value = arguments
        return instruction(builder, "fixupimm", "vvvu", [value, x, ir.IntType(64)(0x03830622), ir.IntType(32)(0)])

    return numba.float64(numba.float64, numba.float64), generate


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
    [(number, number, number, number, number, number, number, number, number, number,
      number)],
    error_model="numpy", nogil=True, cache=True,
)
def forward(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2):
    # r2 = (x1 - x2)**2 + (y1 - y2)**2 + (z1 - z2)**2
    t = x1 - x2
    t1 = y1 - y2
    t2 = z1 - z2
    r2 = fma(t2, t2, t*t + t1*t1)
    # s6 = (sigma**2/r2)**3
    t3 = sigma*sigma/r2
    s6 = t3*t3*t3
    # lj = 4*epsilon*(s6**2 - s6)
    lj = 4.0*epsilon*fma(s6, s6, -s6)
    # coulomb = k*q1*q2/sqrt(r2)
    coulomb = k*q1*q2/sqrt(r2)
    # energy(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2) = lj + coulomb
    energy = lj + coulomb
    return energy


@numba.njit(
    [(number, number, number, number, number, number, number, number, number, number,
      number)],
    error_model="numpy", nogil=True, cache=True,
)
def gradient(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2):
    # r2 = (x1 - x2)**2 + (y1 - y2)**2 + (z1 - z2)**2
    t = x1 - x2
    t1 = y1 - y2
    t2 = z1 - z2
    r2 = fma(t2, t2, t*t + t1*t1)
    # s6 = (sigma**2/r2)**3
    t3 = sigma*sigma/r2
    s6 = t3*t3*t3
    # lj = 4*epsilon*(s6**2 - s6)
    t4 = fma(s6, s6, -s6)
    lj = 4.0*epsilon*t4
    # coulomb = k*q1*q2/sqrt(r2)
    t5 = k*q1
    t6 = t5*q2/sqrt(r2)
    coulomb = t6
    # energy(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2) = lj + coulomb
    energy = lj + coulomb
    # derivatives of coulomb = k*q1*q2/sqrt(r2)
    t7 = rsqrt(r2)
    # derivatives of lj = 4*epsilon*(s6**2 - s6)
    epsilon_bar = 4.0*t4
    # derivatives of s6 = (sigma**2/r2)**3
    s6_bar = -4.0*epsilon + 8.0*epsilon*s6
    # derivatives of coulomb = k*q1*q2/sqrt(r2)
    t8 = t7*q2
    q2_bar = t7*t5
    k_bar = t8*q1
    q1_bar = t8*k
    # derivatives of s6 = (sigma**2/r2)**3
    t9 = 1.0/r2
    t10 = s6_bar*(3.0*(t3*t3))*t9
    sigma_bar = 2.0*t10*sigma
    # derivatives of r2 = (x1 - x2)**2 + (y1 - y2)**2 + (z1 - z2)**2
    r2_bar = fma(-t10, t3, -(0.5*t6*t9))
    t11 = 2.0*r2_bar
    z1_bar = t11*t2
    z2_bar = -z1_bar
    y1_bar = t11*t1
    y2_bar = -y1_bar
    x1_bar = t11*t
    x2_bar = -x1_bar
    return (
        energy, x1_bar, y1_bar, z1_bar, x2_bar, y2_bar, z2_bar, epsilon_bar, sigma_bar,
        k_bar, q1_bar, q2_bar
    )


# Values computed with 50 digits, independently of the kernels:
# (kernel, inputs, outputs).
GOLDEN = (
    ("forward", (0.0, 0.0, 0.0, 1.0, 0.5, 0.25, 0.2, 1.1, 1.5, 0.5, -0.25), (-0.29934992581358955,)),
    ("forward", (0.5, -1.0, 2.0, -1.5, 1.0, 0.0, 1.0, 3.0, 1.0, 1.0, 1.0), (-0.6869108029051871,)),
    ("gradient", (0.0, 0.0, 0.0, 1.0, 0.5, 0.25, 0.2, 1.1, 1.5, 0.5, -0.25), (-0.29934992581358955, 1.5002396388712331, 0.7501198194356166, 0.3750599097178083, -1.5002396388712331, -0.7501198194356166, -0.3750599097178083, -0.6784325406829763, 1.938843585177716, -0.1091089451179962, -0.3273268353539886, 0.6546536707079772)),
    ("gradient", (0.5, -1.0, 2.0, -1.5, 1.0, 0.0, 1.0, 3.0, 1.0, 1.0, 1.0), (-0.6869108029051871, 0.2155593525675312, -0.2155593525675312, 0.2155593525675312, -0.2155593525675312, 0.2155593525675312, -0.2155593525675312, -0.9755859375, -0.52734375, 0.28867513459481287, 0.28867513459481287, 0.28867513459481287)),
)
TOLERANCE = 1e-12
# kernel: function, which inputs are arrays, number of extents, place of each output
# (returned if not negative, else in the arrays).
KERNELS = {
    "forward": (forward, (False, False, False, False, False, False, False, False, False, False, False), 0, (0,)),
    "gradient": (gradient, (False, False, False, False, False, False, False, False, False, False, False), 0, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
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
