"""Whole modules: a header, the primitives that are called, and the kernels.

What is written here stands alone: it needs math, NumPy and Numba, not symgrad. The disk
cache and `Function.save` use the same text, but for the doors that only people use.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from .. import vmath
from .python import Function, Parameter

__all__ = ["print_module"]

_WIDTH = 92
#: Beyond this many calls of primitives inlining all of them takes too long to compile.
_INLINE_CALLS = 128
_OPTIONS = 'error_model="numpy", nogil=True, cache=True'
_UNWRAPPED = f"{_OPTIONS}, no_cfunc_wrapper=True"


def print_module(
    functions: Sequence[Function],
    header: Sequence[str],
    footer: str = "",
    *,
    wrapped: bool = True,
) -> str:
    """Return the text of a module with the given kernels.

    Args:
        functions: the kernels, all of one dtype.
        header: lines of the module's docstring; they may hold any text.
        footer: code to append, golden values for example.
        wrapped: let Python call the primitives too, and C the kernels; symgrad calls
            neither, and Numba compiles them faster without.
    """
    parts = ['"""' + _quoted(header) + '"""\n']
    parts.append("import math\n\nimport numba\nimport numpy as np\n")
    calls = sum(function.calls for function in functions)
    wanted = _all(function.primitives for function in functions)
    primitives = vmath.definitions(wanted, inline=calls <= _INLINE_CALLS, wrapped=wrapped)
    if primitives:
        parts.append(primitives.strip("\n") + "\n")
    aliases = {pair for function in functions for pair in function.aliases.items()}
    if aliases:
        lines = [f"{new} = {old}" for old, new in sorted(aliases)]
        parts.append("\n".join(lines) + "\n")
    parts.append(_types(functions))
    options = _OPTIONS if wrapped else _UNWRAPPED
    parts.extend(f"\n{_decorator(f, options)}\n{f.source}" for f in functions)
    if footer:
        parts.append("\n" + footer)
    return "\n".join(parts)


def _types(functions: Sequence[Function]) -> str:
    """Return the definitions of the types that the signatures name."""
    used = {_type(parameter) for function in functions for parameter in function.parameters}
    dtype = functions[0].dtype if functions else "float64"
    lines = [f"number = numba.{dtype}"]
    if "array" in used:
        # An array that may be written is accepted where a read-only one is declared.
        lines.append('array = numba.types.Array(number, 1, "C", readonly=True)')
    if "result" in used:
        lines.append("result = number[::1]")
    return "\n".join(lines) + "\n"


def _decorator(function: Function, options: str) -> str:
    """Return the decorator that compiles a kernel for its one signature."""
    types = [_type(parameter) for parameter in function.parameters]
    signature = f"({', '.join(types)}{',' if len(types) == 1 else ''})"
    line = f"@numba.njit([{signature}], {options})"
    if len(line) <= _WIDTH:
        return line
    wrapped = textwrap.fill(signature, _WIDTH - 5, subsequent_indent=" " * 6)
    return f"@numba.njit(\n    [{wrapped}],\n    {options},\n)"


def _type(parameter: Parameter) -> str:
    if parameter.kind == "extent":
        return "numba.int64"
    return "result" if parameter.role == "output" else parameter.kind


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
