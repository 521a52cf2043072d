"""heyoka.py: compiled functions over SIMD batches, derivatives by diff_tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..symbolic import call_stepwise, model_of
from ..workloads import WORKLOADS, Problem, Workload
from .base import Peer, Runner, load, shortest

__all__ = ["Heyoka"]

#: Points of a loss that are computed together.
BLOCK = 2048


def _functions(hy: Any) -> dict[str, Any]:
    names = ("exp", "log", "sin", "cos", "tanh", "sqrt", "erf")
    table = {name: getattr(hy, name) for name in names}
    # heyoka has no erfc.
    table["erfc"] = lambda u: 1.0 - hy.erf(u)
    return table


@lru_cache
def _compiled(name: str, dtype: str) -> list[Callable[..., Any]]:
    """Return the function compiled for two sizes of batches."""
    hy = load("heyoka")
    workload: Workload = WORKLOADS[name]
    variables = hy.make_vars(*workload.arrays)
    variables = variables if isinstance(variables, list) else [variables]
    parameters = [hy.par[k] for k in range(len(workload.parameters or ()))]
    symbols = [*variables, *parameters]
    value = call_stepwise(model_of(workload), _functions(hy))(*symbols)
    by_name = dict(zip(workload.inputs, symbols, strict=True))
    wrt = [by_name[name] for name in workload.wrt]
    gradient = hy.diff_tensors([value], diff_args=wrt, diff_order=1).gradient
    kind = np.float32 if dtype == "float32" else float
    width = hy.recommended_simd_size(kind)
    return [
        hy.cfunc(
            [value, *gradient],
            vars=variables,
            fp_type=kind,
            batch_size=batch,
            fast_math=True,
        )
        for batch in (width, 4 * width)
    ]


class Heyoka(Peer):
    """cfunc of value and gradient; sums of losses by NumPy."""

    name = "heyoka"
    title = "heyoka"
    version_of = "heyoka"
    note = (
        "cfunc with fast_math, the better of two batch sizes; losses in blocks of "
        f"{BLOCK} points that stay in cache, summed by NumPy"
    )

    def prepare(self, problem: Problem) -> Runner:
        """Compile, bind and choose the faster batch size."""
        functions = _compiled(problem.workload.name, problem.dtype)
        if problem.workload.reduce:
            return Runner(min((_loss(f, problem) for f in functions), key=shortest), list)
        outputs = np.zeros((problem.outputs, problem.points), problem.dtype)
        inputs = np.array([*problem.arrays.values()], problem.dtype)
        more = {"outputs": outputs, **_parameters(problem, problem.points)}
        runs = [partial(function, inputs, **more) for function in functions]
        return Runner(min(runs, key=shortest), list)


def _parameters(problem: Problem, points: int) -> dict[str, Any]:
    """Return the parameters as heyoka wants them: one column for each point."""
    if not problem.parameters:
        return {}
    column = np.array([*problem.parameters.values()], problem.dtype)[:, None]
    return {"pars": np.repeat(column, points, axis=1)}


def _loss(function: Callable[..., Any], problem: Problem) -> Callable[[], Any]:
    """Return a call that sums value and gradient over the points, block by block."""
    inputs = np.array([*problem.arrays.values()], problem.dtype)
    points = problem.points
    calls: list[Callable[[], Any]] = []
    for start in range(0, points, BLOCK):
        part = np.ascontiguousarray(inputs[:, start : start + BLOCK])
        if not calls or part.shape[1] != BLOCK:
            buffer = np.zeros((problem.outputs, part.shape[1]), problem.dtype)
            more = {"outputs": buffer, **_parameters(problem, part.shape[1])}
        calls.append(partial(function, part, **more))
    divisor = points if problem.workload.reduce == "mean" else 1

    def run() -> Any:
        total = calls[0]().sum(axis=1)
        for call in calls[1:]:
            total += call().sum(axis=1)
        return total / divisor

    return run
