"""symgrad itself: into new arrays, and into given ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import symgrad as sg

from ..workloads import Problem, Workload
from .base import Peer, Runner, UnavailableError, in_place

__all__ = ["Symgrad", "SymgradOut"]


def _flat(result: Any) -> Sequence[Any]:
    value, gradient = result
    return [value, *gradient]


def _call(problem: Problem) -> Callable[..., Any]:
    workload = problem.workload
    both = sg.value_and_grad(sg.compile(workload.formula), wrt=workload.wrt)
    return partial(both, *problem.arrays.values(), *problem.parameters.values())


class Symgrad(Peer):
    """`value_and_grad` as it is called every day."""

    name = "symgrad"
    title = "symgrad"
    version_of = "symgrad"
    note = "value_and_grad(f)(...), results in new arrays"

    def prepare(self, problem: Problem) -> Runner:
        """Compile and bind."""
        return Runner(_call(problem), _flat)


class SymgradOut(Peer):
    """`value_and_grad` into given arrays."""

    name = "symgrad_out"
    title = "symgrad, out="
    version_of = "symgrad"
    note = "the same with out=: results in given arrays, as in the C code"

    def suits(self, workload: Workload) -> bool:
        """Tell whether the results are arrays; those of a loss are numbers."""
        return not workload.reduce

    def prepare(self, problem: Problem) -> Runner:
        """Compile and bind, in the first form of out= that is accepted."""
        call = _call(problem)
        buffers = problem.buffers()
        value, *gradient = buffers
        forms = ((value, tuple(gradient)), (value, *gradient))
        refusals = []
        for form in forms:
            run = partial(call, out=form)
            try:
                run()
            except sg.SymgradError as error:
                refusals.append(str(error))
            else:
                return Runner(run, in_place(buffers))
        raise UnavailableError(f"value_and_grad refuses out=: {refusals[0]}")
