"""symgrad itself: into new arrays, into given ones, and with all arrays bound in advance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import symgrad as sg

from ..workloads import Problem, Workload
from .base import Peer, Runner, in_place

__all__ = ["Symgrad", "SymgradBound", "SymgradOut"]


def _flat(result: Any) -> Sequence[Any]:
    value, gradient = result
    return [value, *gradient]


def _call(problem: Problem) -> partial[Any]:
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
        """Compile and bind."""
        value, *gradient = buffers = problem.buffers()
        run = partial(_call(problem), out=(value, tuple(gradient)))
        return Runner(run, in_place(buffers))


class SymgradBound(Peer):
    """`value_and_grad` bound to its arguments, and to given arrays where results are arrays."""

    name = "symgrad_bound"
    title = "symgrad, bound"
    version_of = "symgrad"
    note = "value_and_grad(f).bind(...): arrays bound in advance, as in the C code"

    def prepare(self, problem: Problem) -> Runner:
        """Compile and bind."""
        call = _call(problem)
        bind = partial(call.func.bind, *call.args)
        if problem.workload.reduce:
            return Runner(bind(), _flat)
        value, *gradient = buffers = problem.buffers()
        return Runner(bind(out=(value, tuple(gradient))), in_place(buffers))
