"""Whole modules: a header, the primitives that are called, and the kernels.

What is written here stands alone: it needs math, NumPy and Numba, not symgrad. The disk
cache and `Function.save` use the same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import vmath
from .python import Function, Parameter

__all__ = ["print_module", "signature"]

_OPTIONS = 'error_model="numpy", nogil=True, cache=True'


def print_module(
    functions: Sequence[Function], header: Sequence[str], footer: str = ""
) -> str:
    """Return the text of a module with the given kernels.

    Args:
        functions: the kernels.
        header: lines of the module's docstring; they may hold any text.
        footer: code to append, golden values for example.
    """
    parts = ['"""' + _quoted(header) + '"""\n']
    parts.append("import math\n\nimport numba\nimport numpy as np\n")
    primitives = vmath.definitions(_all(function.primitives for function in functions))
    if primitives:
        parts.append(primitives.strip("\n") + "\n")
    aliases = {k: v for function in functions for k, v in function.aliases.items()}
    if aliases:
        parts.append(
            "\n".join(f"{new} = {old}" for old, new in sorted(aliases.items())) + "\n"
        )
    for function in functions:
        decorator = f"@numba.njit([{signature(function)}], {_OPTIONS})"
        parts.append(f"\n{decorator}\n{function.source}")
    if footer:
        parts.append("\n" + footer)
    return "\n".join(parts)


def signature(function: Function) -> str:
    """Return the Numba signature of a kernel as source text."""
    types = [_type(parameter, function.dtype) for parameter in function.parameters]
    return f"({', '.join(types)}{',' if len(types) == 1 else ''})"


def _type(parameter: Parameter, dtype: str) -> str:
    if parameter.role == "extent":
        return "numba.int64"
    if not parameter.axes:
        return f"numba.{dtype}"
    if parameter.role == "output":
        return f"numba.{dtype}[::1]"
    return f'numba.types.Array(numba.{dtype}, 1, "C", readonly=True)'


def _all(groups: Iterable[Iterable[str]]) -> list[str]:
    return sorted({name for group in groups for name in group})


def _quoted(lines: Sequence[str]) -> str:
    """Return lines for a docstring in which no text can end the string early."""
    shown = [
        "".join(c if c.isprintable() else " " for c in line)
        .replace("\\", "\\\\")
        .replace('"', '\\"')
        for line in lines
    ]
    return "\n".join(shown) + ("\n" if len(shown) > 1 else "")
