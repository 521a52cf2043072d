"""The derivatives that SymPy derives, written by `scripts/generate`.

Rows of the function table that override SymPy's formula are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["DERIVED"]

#: For each operation the derivative by each operand.
DERIVED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sin": ("cos(x)",),
        "cos": ("-sin(x)",),
        "tan": ("tan(x)**2 + 1",),
        "cot": ("-cot(x)**2 - 1",),
        "sec": ("tan(x)*sec(x)",),
        "csc": ("-cot(x)*csc(x)",),
        "sinh": ("cosh(x)",),
        "cosh": ("sinh(x)",),
        "exp": ("exp(x)",),
        "log": ("1/x",),
        "log1p": ("1/(x + 1)",),
        "log2": ("1/(x*log(2))",),
        "log10": ("1/(x*log(10))",),
    }
)
