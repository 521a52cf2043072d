"""Kernels of

    # Two Gaussian peaks on a linear background.
    p1 = h1*exp(-((x - c1)/w1)**2/2)
    p2 = h2*exp(-((x - c2)/w2)**2/2)
    model(x, h1, c1, w1, h2, c2, w2, a, b) = p1 + p2 + a + b*x

forward: 18 operations at each point
jacobian: 22 operations at each point

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


@numba.extending.intrinsic(prefer_literal=True)
def interleaved(context, many, few):
    """Ask that so many vectors be taken at a time in the loop that has ended last.

    A processor looks only some hundred operations ahead. Where these are one chain, each of
    them waits for the one before; the chains of several vectors run side by side. They need
    registers, of which x86 has 32 with AVX-512, as others do, and 16 without: few is for those.
    """

    def jumps_back(blocks):
        # Depth first; a jump to a block on the way to its own is the end of a loop.
        def targets(block):
            jump = block.terminator
            return iter([x for x in jump.operands if x in place] if jump else ())

        place, seen = {block: k for k, block in enumerate(blocks)}, set()
        for first in blocks:
            way = {} if first in seen else {first: targets(first)}
            while way:
                block = next(reversed(way))
                seen.add(block)
                for target in way[block]:
                    if target in way:
                        yield place[target], block.terminator
                    elif target not in seen:
                        way[target] = targets(target)
                        break
                else:
                    del way[block]

    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        features = target.codegen().magic_tuple()[2].split(",")
        count = few if "+avx2" in features and "+avx512vl" not in features else many
        # Numba makes the blocks in which loops start in the order of the text.
        _, jump = max(jumps_back(builder.function.blocks), key=lambda found: found[0])
        module, number = builder.module, ir.IntType(32)(count.literal_value)
        wish = module.add_metadata(["llvm.loop.interleave.count", number])
        loop = ir.MDValue(module, [], str(len(module.metadata)))
        loop.operands = loop, wish  # The first operand of a loop's metadata is itself.
        jump.set_metadata("llvm.loop", loop)
        return target.get_dummy_value()

    return numba.void(many, few), generate


@numba.extending.intrinsic
def no_overlap(context):
    """Promise that no two array arguments of the calling function share memory.

    Without the promise loops are vectorised only where a test at run time finds it kept.
    """

    def generate(target, builder, signature, arguments):
        for argument in builder.function.args:
            # Numba passes an array as seven values; number 4 is the address of its data.
            if argument.name.startswith("arg.") and argument.name.endswith(".4"):
                argument.add_attribute("noalias")
        return target.get_dummy_value()

    return numba.void(), generate


@numba.extending.intrinsic
def wide_vectors(context):
    """Ask for the widest vectors of the processor in the calling function.

    LLVM prefers 256 bits where 512 could slow the clock; arithmetic that fills the vectors
    gains more than it loses.
    """

    def generate(target, builder, signature, arguments):
        # llvmlite refuses attributes that it does not know, but prints what is in the set.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return target.get_dummy_value()

    return numba.void(), generate


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

number = numba.float64
array = numba.types.Array(number, 1, "C", readonly=True)
result = number[::1]


@numba.njit(
    [(numba.int64, array, number, number, number, number, number, number, number, number,
      result)],
    error_model="numpy", nogil=True, cache=True,
)
def forward(n, x, h1, c1, w1, h2, c2, w2, a, b, model_out):
    wide_vectors()
    no_overlap()
    for i in range(n):
        x_i = x[i]
        # p1 = h1*exp(-((x - c1)/w1)**2/2)
        t = (x_i - c1)/w1
        p1 = h1*exp(-(t*t/2.0))
        # p2 = h2*exp(-((x - c2)/w2)**2/2)
        t1 = (x_i - c2)/w2
        p2 = h2*exp(-(t1*t1/2.0))
        # model(x, h1, c1, w1, h2, c2, w2, a, b) = p1 + p2 + a + b*x
        model = fma(b, x_i, p1 + p2 + a)
        model_out[i] = model
    interleaved(4, 4)


@numba.njit(
    [(numba.int64, array, number, number, number, number, number, number, number, number,
      result, result, result, result, result, result, result, result)],
    error_model="numpy", nogil=True, cache=True,
)
def jacobian(
        n, x, h1, c1, w1, h2, c2, w2, a, b, model_h1_out, model_c1_out, model_w1_out,
        model_h2_out, model_c2_out, model_w2_out, model_a_out, model_b_out
):
    wide_vectors()
    no_overlap()
    # derivatives of p1 = h1*exp(-((x - c1)/w1)**2/2)
    t = 1.0/w1
    # derivatives of p2 = h2*exp(-((x - c2)/w2)**2/2)
    t1 = 1.0/w2
    for i in range(n):
        x_i = x[i]
        # p1 = h1*exp(-((x - c1)/w1)**2/2)
        t2 = (x_i - c1)/w1
        t3 = exp(-(t2*t2/2.0))
        # p2 = h2*exp(-((x - c2)/w2)**2/2)
        t4 = (x_i - c2)/w2
        t5 = exp(-(t4*t4/2.0))
        # derivatives of p2 = h2*exp(-((x - c2)/w2)**2/2)
        t6 = h2*t5*t4*t1
        # derivatives of p1 = h1*exp(-((x - c1)/w1)**2/2)
        t7 = h1*t3*t2*t
        model_h1_out[i] = t3
        model_c1_out[i] = t7
        model_w1_out[i] = t7*t2
        model_h2_out[i] = t5
        model_c2_out[i] = t6
        # derivatives of p2 = h2*exp(-((x - c2)/w2)**2/2)
        model_w2_out[i] = t6*t4
        model_a_out[i] = 1.0
        model_b_out[i] = x_i
    interleaved(4, 4)


# Values computed with 50 digits, independently of the kernels:
# (kernel, inputs, outputs).
GOLDEN = (
    ("forward", (0.0, 2.0, 1.0, 0.5, 1.0, 3.0, 0.75, 0.125, 0.0625), (0.3960060291011279,)),
    ("forward", (1.25, 2.0, 1.0, 0.5, 1.0, 3.0, 0.75, 0.125, 0.0625), (2.0338473337857215,)),
    ("forward", (2.75, 2.0, 1.0, 0.5, 1.0, 3.0, 0.75, 0.125, 0.0625), (1.2472094511431313,)),
    ("jacobian", (0.0, 2.0, 1.0, 0.5, 1.0, 3.0, 0.75, 0.125, 0.0625), (0.1353352832366127, -1.0826822658929016, 2.1653645317858032, 0.00033546262790251185, -0.0017891340154800631, 0.007156536061920253, 1.0, 0.0)),
    ("jacobian", (1.25, 2.0, 1.0, 0.5, 1.0, 3.0, 0.75, 0.125, 0.0625), (0.8824969025845955, 1.764993805169191, 0.8824969025845955, 0.06572852861653049, -0.2044887556958726, 0.4771404299570361, 1.0, 1.25)),
    ("jacobian", (2.75, 2.0, 1.0, 0.5, 1.0, 3.0, 0.75, 0.125, 0.0625), (0.002187491118182885, 0.03062487565456039, 0.10718706479096136, 0.9459594689067654, -0.4204264306252291, 0.14014214354174304, 1.0, 2.75)),
)
TOLERANCE = 1e-12
# kernel: function, which inputs are arrays, number of extents, place of each output
# (returned if not negative, else in the arrays).
KERNELS = {
    "forward": (forward, (True, False, False, False, False, False, False, False, False), 1, (-1,)),
    "jacobian": (jacobian, (True, False, False, False, False, False, False, False, False), 1, (-1, -2, -3, -4, -5, -6, -7, -8)),
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
