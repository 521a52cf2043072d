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
import itertools
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any

from symgrad.vmath import (
    algebraic,
    bessel,
    elementary,
    error_function,
    exponential,
    gamma,
    hyperbolic,
    ieee,
    inverse_trigonometric,
    logarithmic,
    trigonometric,
)
from symgrad.vmath.intrinsics import INSTRUCTION, INTRINSICS, instructions
from symgrad.vmath.trigonometric import NEAR

__all__ = [
    "NEAR",
    "UNWRAPPED",
    "cost",
    "defined_names",
    "definitions",
    "evaluate",
    "every_name",
    "in_python",
    "instructions",
    "is_reproducible",
    "is_vectorised",
    "names",
    "single",
]

#: What stands for one operation in the text of a primitive.
_SIGN = re.compile(r"\bfmaf?\(| [-+*/] |\bsqrt\(")
_OPTIONS = 'error_model="numpy", nogil=True'
#: Options of functions that only compiled code calls: Numba compiles them faster.
UNWRAPPED = f"{_OPTIONS}, no_cpython_wrapper=True, no_cfunc_wrapper=True"
#: Modules whose functions have no branches, but for those in a table BRANCHING.
_BRANCH_FREE: tuple[ModuleType, ...] = (
    algebraic,
    error_function,
    exponential,
    hyperbolic,
    inverse_trigonometric,
    logarithmic,
    trigonometric,
)
_MODULES: tuple[ModuleType, ...] = (elementary, gamma, bessel, *_BRANCH_FREE)
_DIRECT = elementary.DIRECT
_FUNCTIONS: dict[str, FunctionType] = {
    name: value
    for module in _MODULES
    for name, value in vars(module).items()
    if isinstance(value, FunctionType) and value.__module__ == module.__name__
}
#: What `math` and NumPy give exactly or round correctly, and constants.
_ROUNDED = frozenset(
    {"ceil", "copysign", "e", "fabs", "float32", "floor", "fmod", "inf", "nan", "pi", "rint"}
    | {"sqrt", "trunc"}
)
_KNOWN = frozenset({*_FUNCTIONS, *_DIRECT, *INTRINSICS})
_INLINED = frozenset(
    name
    for name, function in _FUNCTIONS.items()
    for module in _BRANCH_FREE
    if function.__module__ == module.__name__ and name not in trigonometric.BRANCHING
)


def names() -> tuple[str, ...]:
    """Return the names of all primitives of doubles, sorted."""
    return tuple(
        name
        for name in every_name()
        if not name.endswith("_near") and not (name.endswith("f") and name[:-1] in _KNOWN)
    )


def every_name() -> tuple[str, ...]:
    """Return the names of all primitives in all their forms, sorted."""
    return tuple(sorted(n for n in (*_DIRECT, *_FUNCTIONS) if not n.startswith("_")))


def single(name: str) -> str:
    """Return the float32 form of a primitive; the primitive itself if there is none.

    >>> single("exp"), single("gamma")
    ('expf', 'gamma')
    """
    return f"{name}f" if f"{name}f" in _KNOWN else name


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


@functools.cache
def cost(name: str) -> int:
    """Return about how many operations a primitive takes, with the helpers that it calls.

    >>> cost("absolute") < cost("exp") < cost("erfc")
    True
    """
    if name not in _FUNCTIONS:
        return 1
    signs = len(_SIGN.findall(_source(name).partition('"""')[2].partition('"""')[2]))
    return signs + sum(cost(callee) for callee in _callees(_function(name)) if callee != name)


def definitions(wanted: Iterable[str], *, inline: bool = True, wrapped: bool = True) -> str:
    """Return source text that defines the wanted primitives and what they call.

    The module that holds it imports math, numba, and numpy as np. Equal sets of names give
    equal text.

    Args:
        wanted: names of primitives.
        inline: put functions without branches into the loops that call them, which
            vectorises the loops; code with many calls is compiled faster without.
        wrapped: let Python call the primitives too, and not compiled code alone.
    """
    options = _OPTIONS if wrapped else UNWRAPPED
    found = defined_names(wanted)
    parts = ["".join(f"{name} = {_DIRECT[name]}\n" for name in found if name in _DIRECT)]
    intrinsics = [INTRINSICS[name] for name in found if name in INTRINSICS]
    if any(" instruction(" in text for text in intrinsics):
        parts.append(INSTRUCTION)
    parts += intrinsics
    for name in found:
        if name in _FUNCTIONS:
            inlined = ", forceinline=True" if inline and name in _INLINED else ""
            parts.append(f"@numba.njit({options}{inlined})\n{_source(name)}")
    return "\n\n".join(part for part in parts if part)


def evaluate(name: str, *args: float) -> float:
    """Return the value of a primitive, from plain Python and without exceptions."""
    return _evaluator(name)(*map(float, args))


def in_python(source: str, primitives: Mapping[str, str]) -> Callable[..., Any]:
    """Return a function that calls primitives, from its text, to run without Numba.

    Like compiled code it raises nothing for any numbers.

    Args:
        source: the ``def`` statement.
        primitives: the primitives that it calls, by the names that it has for them.

    >>> in_python("def f(x): return log(x)/x", {"log": "log"})(0.0)
    -inf
    """
    tree = ast.fix_missing_locations(_Divisions().visit(ast.parse(source)))
    space: dict[str, Any] = {"math": ieee, "np": ieee, "__divide": ieee.divide}
    space.update((spelling, _evaluator(name)) for spelling, name in primitives.items())
    name = tree.body[0].name
    exec(compile(tree, f"<symgrad {name}>", "exec"), space)  # noqa: S102
    function: Callable[..., Any] = space[name]
    return function


@functools.cache
def is_reproducible(name: str) -> bool:
    """Tell whether a primitive has the same bits in plain Python as in compiled code.

    It has if it is made of arithmetic that IEEE 754 rounds correctly, and has not if it calls
    a function of the C library, for which Python has one of its own.

    >>> is_reproducible("exp"), is_reproducible("lgamma")
    (True, False)
    """
    if name in INTRINSICS:
        return True
    if name in _DIRECT:
        return _DIRECT[name].rpartition(".")[2] in _ROUNDED
    function = _function(name)
    instructions = list(dis.get_instructions(function))
    library = {
        b.argval
        for a, b in itertools.pairwise(instructions)
        if a.opname == "LOAD_GLOBAL" and a.argval in ("math", "np")
    }
    others = [callee for callee in _callees(function) if callee != name]
    return library <= _ROUNDED and all(map(is_reproducible, others))


def is_vectorised(name: str) -> bool:
    """Tell whether loops compute a primitive for several points at a time.

    >>> is_vectorised("exp"), is_vectorised("digamma")
    (True, False)
    """
    if name in _FUNCTIONS:
        return _FUNCTIONS[name].__module__ not in (gamma.__name__, bessel.__name__)
    return is_reproducible(name)


def _function(name: str) -> FunctionType:
    if name not in _FUNCTIONS:
        raise KeyError(f"no kernel primitive is called {name!r}")
    return _FUNCTIONS[name]


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
    callees = _callees(_function(name))
    return in_python(_source(name), {callee: callee for callee in callees if callee != name})
