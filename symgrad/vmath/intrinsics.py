"""Operations that Python lacks, as text that defines them for Numba.

`fma(a, b, c)` is a*b + c rounded once; `as_int(x)` and `as_float(n)` move the bits of a double
to and from a 64-bit integer. With them elementary functions can be written without branches,
so that LLVM vectorises the loops that call them. Plain Python runs the namesakes in
`symgrad.vmath.ieee`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["INTRINSICS"]


def _bit_cast(name: str, source: str, target: str) -> str:
    return f'''\
@numba.extending.intrinsic
def {name}(context, x):
    """Return the bits of a {source} as a {target}."""

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


#: Source text by name; a name that ends in f is the float32 form.
INTRINSICS: Mapping[str, str] = MappingProxyType(
    {
        "as_float": _bit_cast("as_float", "int64", "float64"),
        "as_floatf": _bit_cast("as_floatf", "int32", "float32"),
        "as_int": _bit_cast("as_int", "float64", "int64"),
        "as_intf": _bit_cast("as_intf", "float32", "int32"),
        "fma": _fused("fma", "float64"),
        "fmaf": _fused("fmaf", "float32"),
    }
)
