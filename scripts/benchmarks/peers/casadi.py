"""CasADi: its virtual machine mapped over the points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from ..symbolic import call_stepwise, model_of
from ..workloads import Problem
from .base import Peer, Runner, load

__all__ = ["CasADi", "point_function"]


def point_function(problem: Problem) -> Any:
    """Return a casadi.Function of value and derivatives at one point."""
    ca = load("casadi")
    workload = problem.workload
    table: dict[str, Any] = {
        name: getattr(ca, name) for name in ("exp", "log", "sin", "cos", "tanh", "sqrt", "erf")
    }
    # CasADi has no erfc.
    table["erfc"] = lambda u: 1 - ca.erf(u)
    symbols = [ca.SX.sym(name) for name in workload.inputs]
    value = call_stepwise(model_of(workload), table)(*symbols)
    by_name = dict(zip(workload.inputs, symbols, strict=True))
    wrt = ca.vertcat(*[by_name[name] for name in workload.wrt])
    gradient = ca.vertsplit(ca.gradient(value, wrt))
    return ca.Function("point", symbols, [value, *gradient])


class CasADi(Peer):
    """Function.map over the points through the buffer interface, which copies nothing."""

    name = "casadi"
    title = "CasADi"
    version_of = "casadi"
    dtypes = ("float64",)
    note = "SX Function of value and gradient, map over the points, buffers without copies"

    def prepare(self, problem: Problem) -> Runner:
        """Map the function and bind its buffers."""
        workload = problem.workload
        point = point_function(problem)
        first = len(problem.arrays)
        fixed = list(range(first, first + len(problem.parameters)))
        summed = list(range(problem.outputs)) if workload.reduce else []
        mapped = point.map("over_points", "serial", problem.points, fixed, summed)
        buffer, evaluate = mapped.buffer()
        inputs = [*problem.arrays.values(), *(s.reshape(1) for s in problem.scalars())]
        outputs = problem.buffers()
        for k, array in enumerate(inputs):
            buffer.set_arg(k, memoryview(cast(Any, array)))
        for k, array in enumerate(outputs):
            buffer.set_res(k, memoryview(cast(Any, array)))
        divisor = problem.points if workload.reduce == "mean" else 1
        return Runner(evaluate, _reader(outputs, divisor, (buffer, inputs)))


def _reader(
    outputs: list[np.ndarray], divisor: int, keep: tuple[Any, ...]
) -> Callable[[Any], list[np.ndarray]]:
    def read(_: Any) -> list[np.ndarray]:
        return [array / divisor for array in outputs] if keep else []

    return read
