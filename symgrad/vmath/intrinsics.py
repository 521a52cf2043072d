"""Operations that Python lacks, as text that defines them for Numba.

`fma(a, b, c)` is a*b + c rounded once; `as_int(x)` and `as_float(n)` move the bits of a double
to and from a 64-bit integer. With them elementary functions can be written without branches,
so that LLVM vectorises the loops that call them. Chains of `plus`, `times`, `larger`, `smaller`
of two numbers may be taken in any order, and of `plus_product`, which adds a product;
`no_overlap()` is a promise about the arrays of a kernel, `wide_vectors()` a wish for its loops,
`interleaved(many, few)` one for the loop before it.
`exponent`, `significand`, `scaled`, `log_edges` and `root_edges` are single instructions where
`has_avx512()`, and may be called there alone. Plain Python runs the namesakes in
`symgrad.vmath.ieee`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

__all__ = ["INSTRUCTION", "INTRINSICS", "instructions"]


def _bit_cast(name: str, source: str, target: str) -> str:
    return f'''\
@numba.extending.intrinsic
def {name}(context, x):
    """Return the number with the same bits as x."""

    def generate(target, builder, signature, arguments):
        kind = target.get_value_type(signature.return_type)
        return builder.bitcast(arguments[0], kind)

    return numba.{target}(numba.{source}), generate
'''


def _fused(name: str, kind: str) -> str:
    return f'''\
@numba.extending.intrinsic
def {name}(context, a, b, c):
    """Return a*b + c, rounded once, in {kind}."""

    def generate(target, builder, signature, arguments):
        return builder.fma(*arguments)

    return numba.{kind}(numba.{kind}, numba.{kind}, numba.{kind}), generate
'''


def _reordered(name: str, sign: str, instruction: str, kind: str) -> str:
    return f'''\
@numba.extending.intrinsic
def {name}(context, a, b):
    """Return a {sign} b; a chain of these may be taken in any order, so it is vectorised."""

    def generate(target, builder, signature, arguments):
        return builder.{instruction}(*arguments, flags=("reassoc",))

    return numba.{kind}(numba.{kind}, numba.{kind}), generate
'''


def _added_product(name: str, kind: str) -> str:
    return f'''\
@numba.extending.intrinsic
def {name}(context, total, a, b):
    """Return total + a*b like a chain of sums, the products rounded or not, as is faster."""

    def generate(target, builder, signature, arguments):
        total, a, b = arguments
        product = builder.fmul(a, b, flags=("contract",))
        return builder.fadd(total, product, flags=("reassoc", "contract"))

    return numba.{kind}(numba.{kind}, numba.{kind}, numba.{kind}), generate
'''


def _extremum(name: str, meaning: str, instruction: str, kind: str) -> str:
    return f'''\
@numba.extending.intrinsic
def {name}(context, a, b):
    """Return the {meaning} of two {kind}; NaN if either is NaN, and -0.0 < 0.0."""

    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        kind = arguments[0].type
        declared = ir.FunctionType(kind, [kind, kind])
        called = builder.module.declare_intrinsic("llvm.{instruction}", [kind], declared)
        return builder.call(called, arguments)

    return numba.{kind}(numba.{kind}, numba.{kind}), generate
'''


_NO_OVERLAP = '''\
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
'''

_WIDE_VECTORS = '''\
@numba.extending.intrinsic
def wide_vectors(context):
    """Ask for the widest vectors of the processor in the calling function.

    LLVM prefers 256 bits where 512 could slow the clock; arithmetic that fills the vectors
    gains more than it loses.
    """

    def generate(target, builder, signature, arguments):
        # llvmlite refuses attributes that it does not know, but prints what is in the set.
        set.add(builder.function.attributes, \'"prefer-vector-width"="512"\')
        return target.get_dummy_value()

    return numba.void(), generate
'''

_INTERLEAVED = '''\
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
'''

_HAS_AVX512 = '''\
@numba.extending.intrinsic
def has_avx512(context):
    """Tell whether the processor has AVX-512; a constant that decides at compile time."""

    def generate(target, builder, signature, arguments):
        features = target.codegen().magic_tuple()[2].split(",")
        return target.get_constant(numba.boolean, "+avx512f" in features)

    return numba.boolean(), generate
'''

#: What the intrinsics that are instructions of AVX-512 call.
INSTRUCTION = '''\
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
'''


def _instruction(name: str, names: str, meaning: str, form: str, operands: str) -> str:
    kind = "numba.float32" if name.endswith("f") else "numba.float64"
    kinds = ", ".join([kind] * (names.count(",") + 1))
    return f'''\
@numba.extending.intrinsic
def {name}(context, {names}):
    """{meaning}"""

    def generate(target, builder, signature, arguments):
        from llvmlite import ir

        {names}{"" if "," in names else ","} = arguments
        return instruction(builder, {form}, [{operands}])

    return {kind}({kinds}), generate
'''


def _exponent(name: str) -> str:
    meaning = "Return k of x = m*2**k with 1 <= abs(m) < 2; -infinity for 0."
    return _instruction(name, "x", meaning, '"getexp", "vv"', "x, x")


def _significand(name: str) -> str:
    meaning = "Return m of x = m*2**k with 1 <= abs(m) < 2."
    return _instruction(name, "x", meaning, '"getmant", "vuv"', "x, ir.IntType(32)(0), x")


def _scaled(name: str) -> str:
    meaning = "Return x*2**floor(k), rounded once; k may be infinite."
    return _instruction(name, "x, k", meaning, '"scalef", "vvv"', "x, k, x")


def _edges(name: str, of: str, bits: int, table: str) -> str:
    # Four bits for each kind of x from the right: NaN, signalling NaN, 0, 1, -infinity,
    # infinity, negative, positive; 0 keeps the value, 2 is the NaN x, 3 a NaN, 4 and 5 are
    # the infinities, 6 is the one with the sign of x, 8 is 0.
    meaning = f"Return the value, or that of {of} where x is not positive or not finite."
    table = f"ir.IntType({bits})({table})"
    return _instruction(
        name, "x, value", meaning, '"fixupimm", "vvvu"', f"value, x, {table}, ir.IntType(32)(0)"
    )


def _log_edges(name: str, bits: int) -> str:
    return _edges(name, "a logarithm", bits, "0x03530422")


def _root_edges(name: str, bits: int) -> str:
    return _edges(name, "1/sqrt(x)", bits, "0x03830622")


#: Source text by name; a name that ends in f is the float32 form.
INTRINSICS: Mapping[str, str] = MappingProxyType(
    {
        "as_float": _bit_cast("as_float", "int64", "float64"),
        "as_floatf": _bit_cast("as_floatf", "int32", "float32"),
        "as_int": _bit_cast("as_int", "float64", "int64"),
        "as_intf": _bit_cast("as_intf", "float32", "int32"),
        "exponent": _exponent("exponent"),
        "exponentf": _exponent("exponentf"),
        "fma": _fused("fma", "float64"),
        "fmaf": _fused("fmaf", "float32"),
        "has_avx512": _HAS_AVX512,
        "interleaved": _INTERLEAVED,
        "larger": _extremum("larger", "larger", "maximum", "float64"),
        "largerf": _extremum("largerf", "larger", "maximum", "float32"),
        "log_edges": _log_edges("log_edges", 64),
        "log_edgesf": _log_edges("log_edgesf", 32),
        "no_overlap": _NO_OVERLAP,
        "plus": _reordered("plus", "+", "fadd", "float64"),
        "plus_product": _added_product("plus_product", "float64"),
        "plus_productf": _added_product("plus_productf", "float32"),
        "plusf": _reordered("plusf", "+", "fadd", "float32"),
        "root_edges": _root_edges("root_edges", 64),
        "root_edgesf": _root_edges("root_edgesf", 32),
        "scaled": _scaled("scaled"),
        "scaledf": _scaled("scaledf"),
        "significand": _significand("significand"),
        "significandf": _significand("significandf"),
        "smaller": _extremum("smaller", "smaller", "minimum", "float64"),
        "smallerf": _extremum("smallerf", "smaller", "minimum", "float32"),
        "times": _reordered("times", "*", "fmul", "float64"),
        "wide_vectors": _WIDE_VECTORS,
    }
)


def instructions(names: Iterable[str]) -> str:
    """Return LLVM IR that defines intrinsics of AVX-512 as functions, for who has no Numba.

    The text that defines them for Numba makes it.

    >>> print(instructions([]))
    <BLANKLINE>
    """
    if not names:
        return ""
    from llvmlite import ir

    module = ir.Module()
    for name in sorted(names):
        kind = ir.FloatType() if name.endswith("f") else ir.DoubleType()
        generate, count = _generator(name)
        function = ir.Function(module, ir.FunctionType(kind, [kind] * count), name)
        function.linkage = "internal"
        function.attributes.add("alwaysinline")
        builder = ir.IRBuilder(function.append_basic_block())
        builder.ret(generate(None, builder, None, function.args))
    lines = str(module).splitlines()
    return "\n".join(line for line in lines if not line.startswith((";", "target")))


def _generator(name: str) -> tuple[Any, int]:
    """Return what makes the code of an instruction, and how many operands that takes."""
    numba = SimpleNamespace(
        extending=SimpleNamespace(intrinsic=lambda function: function),
        float32=lambda *operands: None,
        float64=lambda *operands: None,
    )
    space: dict[str, Any] = {"numba": numba}
    exec(f"{INSTRUCTION}\n\n{INTRINSICS[name]}", space)  # noqa: S102
    count = space[name].__code__.co_argcount - 1
    return space[name](None, *range(count))[1], count
