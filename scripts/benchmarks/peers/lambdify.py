"""SymPy's lambdify: with NumPy, and point by point under Numba."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import sympy

from ..symbolic import model_of, reduce_columns
from ..workloads import WORKLOADS, Problem, Workload
from .base import Peer, Runner, in_place, load

__all__ = ["Lambdify", "LambdifyNumba"]


class Lambdify(Peer):
    """lambdify with NumPy and SciPy, cse=True."""

    name = "lambdify"
    title = "lambdify, NumPy"
    version_of = "sympy"
    note = "lambdify([value, *derivatives], cse=True) with NumPy; losses summed by NumPy"

    def prepare(self, problem: Problem) -> Runner:
        """Generate and bind."""
        load("scipy.special")
        workload = problem.workload
        model = model_of(workload)
        function = sympy.lambdify(
            model.symbols, model.expressions, modules=["scipy", "numpy"], cse=True
        )
        call = partial(function, *problem.arrays.values(), *problem.parameters.values())
        if not workload.reduce:
            return Runner(call, list)
        return Runner(partial(_summed, call, workload, problem.points), list)


def _summed(call: Callable[[], Any], workload: Workload, points: int) -> Sequence[Any]:
    return reduce_columns(workload, call(), points)


@lru_cache
def _loop(name: str) -> Callable[..., None]:
    """Return a Numba loop around what lambdify made for one point."""
    numba = load("numba")
    workload = WORKLOADS[name]
    model = model_of(workload)
    options = {"fastmath": True, "error_model": "numpy"}
    function = sympy.lambdify(model.symbols, model.expressions, modules="math", cse=True)
    scope = {"point": numba.njit(**options)(function)}
    exec(_loop_source(workload), scope)  # noqa: S102
    return numba.njit(**options)(scope["loop"])  # type: ignore[no-any-return]


def _loop_source(workload: Workload) -> str:
    count = 1 + len(workload.wrt)
    outputs = [f"out{k}" for k in range(count)]
    parameters = list(workload.parameters or ())
    at = ", ".join([f"{name}[i]" for name in workload.arrays] + parameters)
    lines = [f"def loop({', '.join([*workload.arrays, *parameters, *outputs])}):"]
    lines.append(f"    n = len({next(iter(workload.arrays))})")
    if workload.reduce:
        lines += [f"    s{k} = 0.0" for k in range(count)]
    lines.append("    for i in range(n):")
    targets = [f"r{k}" if workload.reduce else f"out{k}[i]" for k in range(count)]
    lines.append(f"        {', '.join(targets)} = point({at})")
    if workload.reduce:
        lines += [f"        s{k} += r{k}" for k in range(count)]
        divisor = " / n" if workload.reduce == "mean" else ""
        lines += [f"    out{k}[0] = s{k}{divisor}" for k in range(count)]
    return "\n".join(lines) + "\n"


class LambdifyNumba(Peer):
    """An explicit loop under njit around lambdify's function of one point."""

    name = "numba"
    title = "lambdify, Numba"
    version_of = "numba"
    note = "njit(fastmath=True) loop over lambdify's function of one point, into given arrays"

    def prepare(self, problem: Problem) -> Runner:
        """Compile and bind."""
        loop = _loop(problem.workload.name)
        kind = np.dtype(problem.dtype).type
        buffers = problem.buffers()
        parameters = [kind(value) for value in problem.parameters.values()]
        run = partial(loop, *problem.arrays.values(), *parameters, *buffers)
        run()
        return Runner(run, in_place(buffers))
