"""C: one fused loop from SymPy's derivatives, compiled by gcc with libmvec."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import sympy
from sympy.codegen.ast import float32, float64, real
from sympy.codegen.rewriting import create_expand_pow_optimization

from ..symbolic import model_of
from ..workloads import Problem, Workload
from .base import Peer, Runner, UnavailableError, shortest

__all__ = ["FLAGS", "C", "c_source", "memory_only"]

#: -ffast-math also lets gcc call the vector functions of libmvec.
FLAGS = ("-O3", "-march=native", "-ffast-math", "-std=gnu11", "-fPIC")

#: Writes whole powers as products, which gcc vectorises under all flags.
_multiplied = create_expand_pow_optimization(8, base_req=lambda base: True)

_LIBRARIES = tempfile.TemporaryDirectory(prefix="symgrad-bench-c-")


def c_source(workload: Workload, dtype: str) -> str:
    """Return the C code of a workload: `void kernel(long n, ...)`.

    Arguments after n: the arrays, the parameters as numbers, the arrays for the results
    (of one element each for a loss).
    """
    return _source(workload, dtype, *model_of(workload).shared())


def _source(
    workload: Workload, dtype: str, shared: Sequence[tuple[Any, Any]], results: Sequence[Any]
) -> str:
    kind = "float" if dtype == "float32" else "double"
    arguments = [
        "long n",
        *(f"const {kind} *restrict {name}_" for name in workload.arrays),
        *(f"const {kind} {name}" for name in workload.parameters or ()),
        *(f"{kind} *restrict out{k}" for k in range(1 + len(workload.wrt))),
    ]
    return "\n".join(
        [
            "#include <math.h>",
            f"void kernel({', '.join(arguments)})",
            "{",
            *_body(workload, kind, shared, results),
            "}",
            "",
        ]
    )


def _body(
    workload: Workload, kind: str, shared: Sequence[tuple[Any, Any]], results: Sequence[Any]
) -> Iterator[str]:
    count = len(results)
    if workload.reduce:
        sums = ", ".join(f"sum{k} = 0" for k in range(count))
        yield f"    {kind} {sums};"
    yield "    #pragma GCC ivdep"
    yield "    for (long i = 0; i < n; i++) {"
    for name in workload.arrays:
        yield f"        const {kind} {name} = {name}_[i];"
    for name, expression in shared:
        yield f"        const {kind} {name} = {_print(expression, kind)};"
    for k, expression in enumerate(results):
        target = f"sum{k} +=" if workload.reduce else f"out{k}[i] ="
        yield f"        {target} {_print(expression, kind)};"
    yield "    }"
    if workload.reduce:
        divisor = "/n" if workload.reduce == "mean" else ""
        for k in range(count):
            yield f"    out{k}[0] = sum{k}{divisor};"


def _print(expression: Any, kind: str) -> str:
    single = float32 if kind == "float" else float64
    return str(sympy.ccode(_multiplied(expression), type_aliases={real: single}))


@lru_cache
def _compile(source: str, more: tuple[str, ...]) -> Any:
    compiler = os.environ.get("CC") or shutil.which("gcc")
    if compiler is None:
        raise UnavailableError("no gcc")
    folder = Path(tempfile.mkdtemp(dir=_LIBRARIES.name))
    code, machine, library = (folder / f"kernel.{end}" for end in ("c", "o", "so"))
    code.write_text(source, encoding="utf-8")
    # Linked under -ffast-math a library would switch off subnormal numbers in this process.
    for command in (
        [compiler, *FLAGS, *more, "-c", str(code), "-o", str(machine)],
        [compiler, "-shared", str(machine), "-o", str(library), "-lm"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise UnavailableError(f"{compiler} fails: {done.stderr.strip()[:300]}")
    kernel = ctypes.CDLL(str(library)).kernel
    kernel.restype = None
    return kernel


class C(Peer):
    """The best of several builds, called with pointers taken in advance."""

    name = "c"
    title = "C"
    note = (
        "gcc " + " ".join(FLAGS[:3]) + " on SymPy's derivatives after cse, one fused loop, "
        "libmvec; the fastest of several builds on the spot: 256 and 512 bits, and without "
        "the pass that joins sin and cos, which keeps gcc from vectorising them; called "
        "through ctypes with pointers bound in advance, so no array is looked at"
    )

    def prepare(self, problem: Problem) -> Runner:
        """Compile, bind pointers and choose the fastest build."""
        return _fastest_build(problem, c_source(problem.workload, problem.dtype))


def memory_only(problem: Problem) -> Runner:
    """Return what reads the arrays and writes the results, but only adds up what it reads.

    Nothing that computes the results with loads and stores of this kind can be faster.

    Raises:
        UnavailableError: there is no C compiler.
    """
    workload = problem.workload
    read = sympy.Add(*(sympy.Symbol(name, real=True) for name in workload.arrays))
    results = [read] * problem.outputs
    return _fastest_build(problem, _source(workload, problem.dtype, (), results))


def _fastest_build(problem: Problem, source: str) -> Runner:
    number = ctypes.c_float if problem.dtype == "float32" else ctypes.c_double
    buffers = problem.buffers()
    arguments = [
        ctypes.c_long(problem.points),
        *(_pointer(array) for array in problem.arrays.values()),
        *(number(value) for value in problem.parameters.values()),
        *(_pointer(array) for array in buffers),
    ]
    first, *others = _builds(source)
    kernels = [_compile(source, first)]
    for more in others:
        with contextlib.suppress(UnavailableError):  # not every compiler knows the flag
            kernels.append(_compile(source, more))
    run = min((partial(kernel, *arguments) for kernel in kernels), key=shortest)
    return Runner(run, partial(_read, problem, buffers))


def _builds(source: str) -> list[tuple[str, ...]]:
    """Return further flags of the builds that are worth a try."""
    cpu = Path("/proc/cpuinfo")
    wide = cpu.exists() and "avx512f" in cpu.read_text(encoding="utf-8")
    widths: list[tuple[str, ...]] = [()]
    if wide:
        widths.append(("-mprefer-vector-width=512",))
    apart: list[tuple[str, ...]] = [()]
    if re.search(r"\bsinf?\(", source) and re.search(r"\bcosf?\(", source):
        apart.append(("-fdisable-tree-sincos",))
    return [(*width, *more) for width in widths for more in apart]


def _read(problem: Problem, buffers: list[np.ndarray], _: Any) -> list[np.ndarray]:
    """Return the results; holding the problem keeps its arrays, and the pointers, alive."""
    return [buffer.copy() for buffer in buffers]


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
