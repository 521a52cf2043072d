"""Operations that Python lacks, as text that defines them for Numba.

`fma(a, b, c)` is a*b + c rounded once; `as_int(x)` and `as_float(n)` move the bits of a double
to and from a 64-bit integer. With them elementary functions can be written without branches,
so that LLVM vectorises the loops that call them. `plus(a, b)` is a sum that may be reordered,
`no_overlap()` a promise about the arrays of a kernel, `wide_vectors()` a wish for its loops.
Plain Python runs the namesakes in `symgrad.vmath.ieee`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["INTRINSICS"]


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


def _reordered(name: str, kind: str) -> str:
    return f'''\
@numba.extending.intrinsic
def {name}(context, a, b):
    """Return a + b; a chain of such sums may be taken in any order, so it is vectorised."""

    def generate(target, builder, signature, arguments):
        return builder.fadd(*arguments, flags=("reassoc",))

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

#: Source text by name; a name that ends in f is the float32 form.
INTRINSICS: Mapping[str, str] = MappingProxyType(
    {
        "as_float": _bit_cast("as_float", "int64", "float64"),
        "as_floatf": _bit_cast("as_floatf", "int32", "float32"),
        "as_int": _bit_cast("as_int", "float64", "int64"),
        "as_intf": _bit_cast("as_intf", "float32", "int32"),
        "fma": _fused("fma", "float64"),
        "fmaf": _fused("fmaf", "float32"),
        "no_overlap": _NO_OVERLAP,
        "plus": _reordered("plus", "float64"),
        "plusf": _reordered("plusf", "float32"),
        "wide_vectors": _WIDE_VECTORS,
    }
)
