"""JAX on one thread of the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..symbolic import call_stepwise, model_of
from ..workloads import Problem
from .base import Peer, Runner, load

__all__ = ["Jax", "load_jax"]


def load_jax() -> Any:
    """Import JAX with doubles switched on."""
    jax = load("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cpu")
    return jax


class Jax(Peer):
    """jit of grad of the sum, with the values as auxiliary output."""

    name = "jax"
    title = "JAX"
    version_of = "jax"
    note = "jit(grad(sum, has_aux=True)), one fused computation; XLA_FLAGS for one thread"

    def prepare(self, problem: Problem) -> Runner:
        """Compile for the shapes of the problem."""
        jax = load_jax()
        jnp = load("jax.numpy")
        special = load("jax.scipy.special")
        table = {n: getattr(jnp, n) for n in ("exp", "log", "sin", "cos", "tanh", "sqrt")}
        table |= {"erf": special.erf, "erfc": special.erfc}
        workload = problem.workload
        function = call_stepwise(model_of(workload), table)
        argnums = tuple(workload.inputs.index(name) for name in workload.wrt)

        def summed(*values: Any) -> Any:
            value = function(*values)
            if workload.reduce == "mean":
                value = value.mean()
            elif workload.reduce == "sum":
                value = value.sum()
            return value.sum(), value

        compiled = jax.jit(jax.grad(summed, argnums=argnums, has_aux=True))
        values = [jnp.asarray(a) for a in (*problem.arrays.values(), *problem.scalars())]

        def run() -> Sequence[Any]:
            derivatives, value = jax.block_until_ready(compiled(*values))
            return (value, *derivatives)

        return Runner(run, lambda result: [np.asarray(array) for array in result])
