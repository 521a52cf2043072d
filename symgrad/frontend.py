"""The front door: every kind of source becomes a Function."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from . import garbage, progress
from .errors import ArgumentError, UnsupportedError
from .function import Function
from .graph.lower import check_orders
from .language.parse import Limits, parse, parse_mapping
from .language.program import Program

__all__ = ["compile", "read_program"]

#: SymPy objects of more instructions, or of more levels, are not printed.
_PRINTED, _DEEP = 400, 40


def compile(
    source: Any,
    *,
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[str] | None = None,
    limits: Limits | None = None,
    stable: bool = True,
    backend: Literal["auto", "jit", "interpreter"] = "auto",
) -> Function:
    """Return the Function of a formula.

    Nothing that is passed as text is ever executed, and nothing is compiled to machine
    code before the function is called.

    Args:
        source: the formula: text such as ``"z = y*log(x) + sin(y)"``, with named steps
            ``"u = x + y; z = u**2"`` or with a header ``"f(x, y) = ..."``; a mapping from
            names to formulas; a SymPy expression, equation, list or Matrix; or a Python
            function of tensors, which is traced.
        inputs: names of the arguments in order. The default is the header, else the order
            of first appearance in text, else sorted by name.
        outputs: names of the results; the last statement if None.
        limits: sizes beyond which text, and dense Jacobians and Hessians, are refused.
        stable: compute ``log(1 + x)`` as ``log1p(x)`` and so on, wherever a form is known
            that loses fewer digits, see `symgrad.graph.stability`; and round the product in
            ``a*x + b`` once, with the sum, see `symgrad.graph.fuse`.
        backend: how kernels run, with the same results to the last bit. "jit" compiles each
            to machine code, which takes longer than in proportion to its size;
            "interpreter" reads it from a tape, which takes no time to build and some times
            as long to run; "auto" compiles up to about a hundred operations, once calls
            with numbers have kept Python busy for as long as that takes, and reads what is
            larger. Up to this size formulas with sums over points (``sum``, ``mean``, the
            gradient by a number beside arrays) are compiled by all of them.

    Raises:
        ArgumentError: there is no such backend.
        FormulaError: the text is not a formula; the error shows the place.
        UnsupportedError: an object that has no meaning as a real formula.

    >>> compile("z = y*log(x) + sin(y)")
    <symgrad.Function z(y, x)>
    """
    if backend not in ("auto", "jit", "interpreter"):
        raise ArgumentError(
            f"there is no backend {backend!r}: it is 'auto', 'jit' or 'interpreter'"
        )
    if isinstance(source, Function) and inputs is None and outputs is None:
        return source
    program = read_program(source, inputs=inputs, outputs=outputs, limits=limits)
    check_orders(program)
    entries = (limits or Limits()).entries
    return Function(replace(program, stable=stable, backend=backend, entries=entries))


def read_program(
    source: Any,
    *,
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[str] | None = None,
    limits: Limits | None = None,
) -> Program:
    """Return the Program of a formula in any of the forms that `compile` takes."""
    bounds = limits or Limits()
    if not isinstance(bounds, Limits):
        raise UnsupportedError(f"limits must be symgrad.Limits, not {type(limits).__name__}")
    if isinstance(source, str):
        with progress.shown("reading"), garbage.paused():
            return parse(source, inputs=inputs, outputs=outputs, limits=bounds)
    if isinstance(source, Program | Function):
        if inputs is not None or outputs is not None:
            raise ArgumentError(
                "inputs= and outputs= are for formulas that are not compiled yet"
            )
        return source if isinstance(source, Program) else source.program
    if isinstance(source, Mapping) and all(
        isinstance(value, str | int | float) for value in source.values()
    ):
        return parse_mapping(source, inputs=inputs, outputs=outputs, limits=bounds)
    if _is_sympy(source):
        return _read_sympy(source, inputs, outputs)
    if callable(source):
        if outputs is not None:
            raise ArgumentError("outputs= is not for a Python function: it returns its results")
        from .tensor.trace import trace

        return trace(source, inputs=inputs)
    raise UnsupportedError(
        f"cannot compile {type(source).__name__}: expected text, a mapping, "
        "a SymPy expression or a function of tensors"
    )


def _is_sympy(source: Any) -> bool:
    """Tell whether a source holds SymPy objects, without importing SymPy for it."""
    sympy = sys.modules.get("sympy")
    if sympy is None:
        return False
    if isinstance(source, Mapping | list | tuple):
        return True
    return isinstance(source, sympy.Basic | sympy.MatrixBase)


def _read_sympy(
    source: Any, inputs: Sequence[Any] | None, outputs: Sequence[str] | None
) -> Program:
    from .language.from_sympy import read

    with progress.shown("reading"), garbage.paused():
        program = read(source, inputs=inputs, outputs=outputs)
    text = ""
    if _fits_on_paper(program):
        pairs = source.items() if isinstance(source, Mapping) else [(None, source)]
        text = "; ".join(
            f"{k} = {v}" if k is not None else " ".join(str(v).split()) for k, v in pairs
        )
    return replace(program, text=text)


def _fits_on_paper(program: Program) -> bool:
    """Tell whether a Program is neither long nor deep when it is written without sharing."""
    sizes: list[int] = []
    depths: list[int] = []
    for code in program.instructions[:_PRINTED]:
        sizes.append(1 + sum(sizes[operand] for operand in code.operands))
        depths.append(1 + max((depths[operand] for operand in code.operands), default=0))
    return (
        len(program.instructions) < _PRINTED
        and sum(sizes[at] for _, at in program.outputs) < _PRINTED
        and max(depths, default=0) < _DEEP
    )
