"""Kernel primitives: the elementary and special functions that kernels call.

A primitive is a plain Python function of numbers, written with arithmetic and the functions
of `math` and NumPy that Numba compiles. `definitions` hands out the source text of the
primitives that a generated module needs, so that it needs nothing of symgrad; `evaluate`
runs the same source without Numba. To add a primitive, add a function to one of the
modules: what it calls is found from its code. Names that begin with an underscore are
helpers.
"""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any

from symgrad.vmath import bessel, elementary, gamma, ieee, statistics
from symgrad.vmath.intrinsics import INTRINSICS

__all__ = ["defined_names", "definitions", "evaluate", "names"]

_DECORATOR = '@numba.njit(error_model="numpy", nogil=True)'
_INLINE = '@numba.njit(error_model="numpy", nogil=True, forceinline=True)'
_MODULES: tuple[ModuleType, ...] = (elementary, gamma, bessel, statistics)
_DIRECT = elementary.DIRECT
_FUNCTIONS: dict[str, FunctionType] = {
    name: value
    for module in _MODULES
    for name, value in vars(module).items()
    if isinstance(value, FunctionType) and value.__module__ == module.__name__
}
_KNOWN = frozenset({*_FUNCTIONS, *_DIRECT, *INTRINSICS})
#: Modules whose functions have no branches.
_BRANCH_FREE: frozenset[str] = frozenset()


def names() -> tuple[str, ...]:
    """Return the names of all primitives, sorted."""
    return tuple(sorted(n for n in (*_DIRECT, *_FUNCTIONS) if not n.startswith("_")))


def defined_names(wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the names that `definitions` defines, helpers included, callees first."""
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in order:
            return
        if name not in _DIRECT and name not in INTRINSICS:
            for callee in _callees(_function(name)):
                visit(callee)
        order[name] = None

    for name in sorted(set(wanted)):
        visit(name)
    direct = [name for name in order if name in _DIRECT]
    intrinsic = [name for name in order if name in INTRINSICS]
    return (*direct, *intrinsic, *(name for name in order if name in _FUNCTIONS))


def definitions(wanted: Iterable[str]) -> str:
    """Return source text that defines the wanted primitives and what they call.

    The module that holds it imports math, numba, and numpy as np. Equal sets of names give
    equal text.
    """
    found = defined_names(wanted)
    parts = ["".join(f"{name} = {_DIRECT[name]}\n" for name in found if name in _DIRECT)]
    parts += [INTRINSICS[name] for name in found if name in INTRINSICS]
    parts += [f"{_decorator(name)}\n{_source(name)}" for name in found if name in _FUNCTIONS]
    return "\n\n".join(part for part in parts if part)


def evaluate(name: str, *args: float) -> float:
    """Return the value of a primitive, from plain Python and without exceptions."""
    return _evaluator(name)(*map(float, args))


def _function(name: str) -> FunctionType:
    if name not in _FUNCTIONS:
        raise KeyError(f"no kernel primitive is called {name!r}")
    return _FUNCTIONS[name]


def _decorator(name: str) -> str:
    """Return the decorator: what has no branches is inlined, so that loops vectorise."""
    module = _function(name).__module__
    return _INLINE if module in _BRANCH_FREE else _DECORATOR


def _callees(function: FunctionType) -> list[str]:
    """Return the primitives and helpers that a function calls, sorted."""
    loads = (i.argval for i in dis.get_instructions(function) if i.opname == "LOAD_GLOBAL")
    return sorted({name for name in loads if name in _KNOWN})


@functools.cache
def _source(name: str) -> str:
    """Return the source text of a function, with one newline at its end."""
    return textwrap.dedent(inspect.getsource(_function(name))).rstrip() + "\n"


class _Divisions(ast.NodeTransformer):
    """Replaces divisions by calls that do not raise."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        return ast.copy_location(_call_divide(node.left, node.right), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div) or not isinstance(node.target, ast.Name):
            return node
        old = ast.Name(node.target.id, ast.Load())
        return ast.copy_location(ast.Assign([node.target], _call_divide(old, node.value)), node)


def _call_divide(left: ast.expr, right: ast.expr) -> ast.Call:
    return ast.Call(ast.Name("__divide", ast.Load()), [left, right], [])


@functools.cache
def _evaluator(name: str) -> Callable[..., float]:
    """Return a primitive as a Python function that never raises."""
    if name in INTRINSICS:
        intrinsic: Callable[..., float] = getattr(ieee, name)
        return intrinsic
    if name in _DIRECT:
        direct: Callable[..., float] = getattr(ieee, _DIRECT[name].rpartition(".")[2])
        return direct
    space: dict[str, Any] = {"math": ieee, "np": ieee, "__divide": ieee.divide}
    for other in defined_names([name]):
        if other in INTRINSICS:
            space[other] = getattr(ieee, other)
            continue
        if other in _DIRECT:
            space[other] = _evaluator(other)
            continue
        tree = ast.fix_missing_locations(_Divisions().visit(ast.parse(_source(other))))
        exec(compile(tree, f"<symgrad.vmath {other}>", "exec"), space)  # noqa: S102
    function: Callable[..., float] = space[name]
    return function
