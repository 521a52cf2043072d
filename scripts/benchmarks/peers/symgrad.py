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


def _both(workload: Workload) -> sg.Function:
    return sg.value_and_grad(sg.compile(workload.formula), wrt=workload.wrt)


def _arguments(problem: Problem) -> list[Any]:
    return [*problem.arrays.values(), *problem.parameters.values()]


class Symgrad(Peer):
    """`value_and_grad` as it is called every day."""

    name = "symgrad"
    title = "symgrad"
    version_of = "symgrad"
    note = "value_and_grad(f)(...), results in new arrays"

    def prepare(self, problem: Problem) -> Runner:
        """Compile and bind."""
        return Runner(partial(_both(problem.workload), *_arguments(problem)), _flat)


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
        both, arguments = _both(problem.workload), _arguments(problem)
        return Runner(
            partial(both, *arguments, out=(value, tuple(gradient))), in_place(buffers)
        )


class SymgradBound(Peer):
    """`value_and_grad` bound to its arguments, and to given arrays where results are arrays."""

    name = "symgrad_bound"
    title = "symgrad, bound"
    version_of = "symgrad"
    note = "value_and_grad(f).bind(...): arrays bound in advance, as in the C code"

    def prepare(self, problem: Problem) -> Runner:
        """Compile and bind."""
        both, arguments = _both(problem.workload), _arguments(problem)
        if problem.workload.reduce:
            return Runner(both.bind(*arguments), _flat)
        value, *gradient = buffers = problem.buffers()
        return Runner(both.bind(*arguments, out=(value, tuple(gradient))), in_place(buffers))
