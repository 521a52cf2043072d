"""How long a call with plain numbers takes: the tutorial formula at x=2, y=3."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import sympy

import symgrad as sg

from .measure import Plan, error_of, prepare, timed_rounds, warm_up
from .peers import PEERS, UnavailableError
from .peers.base import load
from .peers.casadi import point_function
from .peers.jax import load_jax
from .symbolic import exact, model_of
from .workloads import TUTORIAL, Problem

__all__ = ["Latency", "measure_latency"]

POINT = {"x": 2.0, "y": 3.0}
X, Y = POINT.values()


class Calls(NamedTuple):
    """What is timed: the value, and the value with its gradient.

    Attributes:
        gradient: returns value and derivatives, possibly nested, in this order.
        value: None if there is no such call.
        read: turns what `gradient` returned into value and derivatives.
    """

    gradient: Callable[[], Any]
    value: Callable[[], Any] | None = None
    read: Callable[[Any], Any] = lambda result: result


class Latency(NamedTuple):
    """Microseconds of one call: of the value, and of value and gradient."""

    title: str
    value: float | None
    gradient: float


def _symgrad() -> Calls:
    f = sg.compile(TUTORIAL.formula)
    return Calls(partial(sg.value_and_grad(f), X, Y), partial(f, X, Y))


def _tensors() -> tuple[Any, Any]:
    tensor: Any = sg.tensor
    return tensor(X, requires_grad=True), tensor(Y, requires_grad=True)


def _backward(value: Callable[[], Any], x: Any, y: Any) -> Callable[[], Any]:
    """Return a call that makes a tensor, pulls its gradient back and clears it."""

    def gradient() -> Any:
        z = value()
        z.backward()
        result = z, x.grad, y.grad
        x.grad = y.grad = None
        return result

    return gradient


def _symgrad_function_of_tensors() -> Calls:
    x, y = _tensors()
    value = partial(sg.compile(TUTORIAL.formula), x, y)
    return Calls(_backward(value, x, y), value)


def _symgrad_operators() -> Calls:
    library: Any = sg
    x, y = _tensors()

    def value() -> Any:
        return y * library.log(x) + library.sin(y)

    # An operator only records; item() asks for the number.
    return Calls(_backward(value, x, y), lambda: value().item())


def _torch() -> Calls:
    torch = load("torch")
    torch.set_num_threads(1)
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(Y, dtype=torch.float64, requires_grad=True)

    def value() -> Any:
        return y * torch.log(x) + torch.sin(y)

    return Calls(_backward(value, x, y), value)


def _torch_compile() -> Calls:
    torch = load("torch")
    torch._dynamo.reset()
    x, y = (torch.tensor(v, dtype=torch.float64) for v in (X, Y))

    def value(x: Any, y: Any) -> Any:
        z = y * torch.log(x) + torch.sin(y)
        return z, z

    forward = torch.compile(value)
    compiled = torch.compile(torch.func.grad(value, argnums=(0, 1), has_aux=True))
    return Calls(partial(compiled, x, y), partial(forward, x, y), lambda r: (r[1], r[0]))


def _jax() -> Calls:
    jax = load_jax()
    jnp = load("jax.numpy")

    def f(x: Any, y: Any) -> Any:
        return y * jnp.log(x) + jnp.sin(y)

    forward, both = jax.jit(f), jax.jit(jax.value_and_grad(f, argnums=(0, 1)))
    ready = jax.block_until_ready
    return Calls(lambda: ready(both(X, Y)), lambda: ready(forward(X, Y)))


def _lambdify() -> Calls:
    model = model_of(TUTORIAL)
    forward = sympy.lambdify(model.symbols, model.value, modules="math")
    both = sympy.lambdify(model.symbols, model.expressions, modules="math", cse=True)
    return Calls(partial(both, X, Y), partial(forward, X, Y))


def _numba() -> Calls:
    numba = load("numba")
    model = model_of(TUTORIAL)
    options = {"fastmath": True, "error_model": "numpy"}
    value = sympy.lambdify(model.symbols, model.value, modules="math")
    every = tuple(model.expressions)
    gradient = sympy.lambdify(model.symbols, every, modules="math", cse=True)
    forward, both = numba.njit(**options)(value), numba.njit(**options)(gradient)
    return Calls(partial(both, X, Y), partial(forward, X, Y))


def _c() -> Calls:
    # The kernel for arrays, with one point: what is timed is the call through ctypes.
    arrays = {name: np.array([value]) for name, value in POINT.items()}
    runner = prepare(PEERS["c"], Problem(TUTORIAL, arrays, {}, "float64"))
    return Calls(runner.run, None, runner.read)


def _casadi() -> Calls:
    function = point_function(Problem(TUTORIAL, {}, {}, "float64"))
    return Calls(partial(function, X, Y))


def _heyoka() -> Calls:
    hy = load("heyoka")
    x, y = hy.make_vars("x", "y")
    z = y * hy.log(x) + hy.sin(y)
    derivatives = hy.diff_tensors([z], diff_args=[x, y], diff_order=1).gradient
    forward, both = hy.cfunc([z], vars=[x, y]), hy.cfunc([z, *derivatives], vars=[x, y])
    one, three, at = np.zeros(1), np.zeros(3), np.array([X, Y])
    return Calls(partial(both, at, outputs=three), partial(forward, at, outputs=one))


ROWS: dict[str, tuple[str, Callable[[], Calls]]] = {
    "symgrad": ("symgrad", _symgrad),
    "symgrad_tensors": ("symgrad, z = f(x, y); z.backward()", _symgrad_function_of_tensors),
    "symgrad_operators": ("symgrad, z = y*log(x) + sin(y); z.backward()", _symgrad_operators),
    "numba": ("lambdify, Numba", _numba),
    "lambdify": ("lambdify, math", _lambdify),
    "heyoka": ("heyoka", _heyoka),
    "c": ("C through ctypes, arrays of one point", _c),
    "jax": ("JAX", _jax),
    "casadi": ("CasADi", _casadi),
    "torch_compile": ("torch.compile", _torch_compile),
    "torch": ("torch", _torch),
}

#: Rows that belong to a peer of another name.
_OWNERS = {"symgrad_tensors": "symgrad", "symgrad_operators": "symgrad"}


def _numbers(result: Any) -> list[float]:
    """Flatten value and derivatives; a number may be of any library."""
    if hasattr(result, "item") and np.ndim(result) == 0:
        return [float(result.item())]
    if isinstance(result, float | int) or type(result).__module__.startswith("casadi"):
        return [float(result)]
    return [number for part in result for number in _numbers(part)]


def measure_latency(plan: Plan) -> tuple[list[Latency], dict[str, str]]:
    """Return the times of calls with numbers, and the reasons for missing ones."""
    plan.say("latency")
    runs: dict[str, Callable[[], Any]] = {}
    skipped: dict[str, str] = {}
    kept: list[Calls] = []  # `read` may own arrays that `gradient` has pointers to
    for name, (title, make) in ROWS.items():
        if _OWNERS.get(name, name) not in plan.peers:
            continue
        plan.say(f"  {name}")
        try:
            calls = make()
            _check(calls.read(calls.gradient()))
        except Exception as error:
            skipped[title] = f"{type(error).__name__}: {str(error).strip()[:200]}"
            plan.say(f"    skipped: {skipped[title]}")
            continue
        kept.append(calls)
        runs[f"{name} gradient"] = calls.gradient
        if calls.value is not None:
            runs[f"{name} value"] = calls.value
    for run in runs.values():
        warm_up(run)
    times = timed_rounds(runs, plan.rounds, clock=plan.clock)
    medians = {name: statistics.median(t) * 1e6 for name, t in times.items()}
    rows = [
        Latency(title, medians.get(f"{name} value"), medians[f"{name} gradient"])
        for name, (title, _) in ROWS.items()
        if f"{name} gradient" in medians
    ]
    return rows, skipped


def _check(result: Any) -> None:
    arrays = {name: np.array([value]) for name, value in POINT.items()}
    error = error_of(_numbers(result), exact(Problem(TUTORIAL, arrays, {}, "float64")))
    if not error < 1e-6 or math.isnan(error):
        raise UnavailableError(f"WRONG: error {error:.1e}")
