"""PyTorch, eager and compiled by Inductor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..symbolic import call_stepwise, model_of
from ..workloads import Problem
from .base import Peer, Runner, load

__all__ = ["Torch", "TorchCompile", "torch_function"]


def torch_function(problem: Problem) -> Callable[..., Any]:
    """Return the formula as a function of tensors, reduced if it is a loss."""
    torch = load("torch")
    names = ("exp", "log", "sin", "cos", "tanh", "sqrt", "erf", "erfc")
    table = {name: getattr(torch, name) for name in names}
    function: Callable[..., Any] = call_stepwise(model_of(problem.workload), table)
    if problem.workload.reduce == "sum":
        return lambda *inputs: function(*inputs).sum()
    if problem.workload.reduce == "mean":
        return lambda *inputs: function(*inputs).mean()
    return function


def _tensors(problem: Problem) -> list[Any]:
    torch = load("torch")
    torch.set_num_threads(1)
    return [torch.from_numpy(a) for a in (*problem.arrays.values(), *problem.scalars())]


def _read(result: Sequence[Any]) -> list[Any]:
    return [tensor.detach().numpy().copy() for tensor in result]


class Torch(Peer):
    """Eager PyTorch with autograd."""

    name = "torch"
    title = "torch"
    version_of = "torch"
    note = "eager: forward, then torch.autograd.grad"

    def prepare(self, problem: Problem) -> Runner:
        """Make the tensors."""
        torch = load("torch")
        tensors = _tensors(problem)
        by_name = dict(zip(problem.workload.inputs, tensors, strict=True))
        wrt = [by_name[name].requires_grad_() for name in problem.workload.wrt]
        function = torch_function(problem)
        seed = None if problem.workload.reduce else torch.ones_like(tensors[0])

        def run() -> Sequence[Any]:
            value = function(*tensors)
            return (value, *torch.autograd.grad(value, wrt, seed))

        return Runner(run, _read)


class TorchCompile(Peer):
    """torch.compile of value and gradient in one graph."""

    name = "torch_compile"
    title = "torch.compile"
    version_of = "torch"
    note = (
        "torch.compile of torch.func.grad with the value as auxiliary output, one fused graph"
    )

    def prepare(self, problem: Problem) -> Runner:
        """Compile for the shapes of the problem."""
        torch = load("torch")
        torch._dynamo.reset()
        tensors = _tensors(problem)
        function = torch_function(problem)
        inputs = problem.workload.inputs
        argnums = tuple(inputs.index(name) for name in problem.workload.wrt)

        def summed(*values: Any) -> Any:
            value = function(*values)
            return value.sum(), value

        gradient = torch.func.grad(summed, argnums=argnums, has_aux=True)
        compiled = torch.compile(gradient, dynamic=False, fullgraph=True)

        def run() -> Sequence[Any]:
            derivatives, value = compiled(*tensors)
            return (value, *derivatives)

        run()
        return Runner(run, _read)
