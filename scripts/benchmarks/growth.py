"""How build and evaluation grow with the size of a formula, each in a process of its own.

python -m benchmarks.growth symgrad nested 1000     one measurement, as JSON
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .families import FAMILIES
from .measure import Plan, warm_up
from .peers.base import load

__all__ = ["MEMBERS", "Member", "agree", "measure_growth"]

#: The family whose members are SymPy matrices, and whose derivative is a Jacobian.
PENDULUM = "pendulum"
#: Sizes by family.
MEMBERS: Mapping[str, tuple[int, ...]] = {
    **{name: family.sizes for name, family in FAMILIES.items()},
    PENDULUM: (2, 4, 8, 15),
}
_REPEATS = 0.3
_AGREEMENT = 1e-6

#: Returns value and gradient, or the Jacobian, as a flat list of numbers.
Call = Callable[[], Sequence[float]]
_FUNCTIONS = ("sin", "cos", "tanh", "sqrt")


@dataclass
class Member:
    """One formula with what every system made of it.

    Attributes:
        family: its family.
        size: which member of it.
        forward: operations of the value.
        gradient: operations of value and gradient together, or of the Jacobian.
        build: by system the seconds from text or SymPy matrix to the first result.
        call: by system the seconds of a later result.
        skipped: by system the reason why there is none.
    """

    family: str
    size: int
    forward: int = 0
    gradient: int = 0
    build: dict[str, float] = field(default_factory=dict)
    call: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What the family is called."""
        return "Pendulum on a cart" if self.family == PENDULUM else FAMILIES[self.family].title


def measure_growth(plan: Plan, families: Sequence[str], members: int) -> list[Member]:
    """Return the first members of families, measured with all systems of the plan."""
    rows = []
    systems = [name for name in _SYSTEMS if name in plan.peers]
    for family in families:
        given_up: dict[str, str] = {}
        for size in MEMBERS[family][:members]:
            plan.say(f"{family}, size {size:,}")
            row = Member(family, size, skipped=dict(given_up))
            reference: list[float] = []
            for system in systems:
                if system in given_up:
                    continue
                found = _in_a_process(system, family, size, plan.patience)
                if "failed" in found:
                    row.skipped[system] = given_up[system] = found["failed"]
                    continue
                if system == "symgrad":
                    row.forward, row.gradient = found["operations"]
                    reference = found["results"]
                elif not agree(found["results"], reference):
                    row.skipped[system] = "WRONG: it differs from symgrad"
                    continue
                row.build[system], row.call[system] = found["build"], found["call"]
            rows.append(row)
    return rows


def agree(results: Sequence[float], reference: Sequence[float]) -> bool:
    """Tell whether two systems found the same numbers, up to rounding."""
    scale = max((abs(x) for x in reference if math.isfinite(x)), default=0.0)
    return len(results) == len(reference) and all(
        a == b or abs(a - b) <= _AGREEMENT * (abs(b) + scale)
        for a, b in zip(results, reference, strict=True)
    )


def _in_a_process(system: str, family: str, size: int, patience: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.growth", system, family, str(size)]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=patience,
            cwd=Path(__file__).resolve().parent.parent,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer within {patience:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().split("\n")[-1] or "it crashed")[:160]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# In the process of a measurement ------------------------------------------------------------


@dataclass(frozen=True)
class _Formula:
    """A text whose last statement is called ``value``, or the residual of a pendulum."""

    text: str
    names: tuple[str, ...]
    point: tuple[float, ...]
    matrix: Any = None
    states: tuple[Any, ...] = ()
    symbols: tuple[Any, ...] = ()

    def run(self, functions: Mapping[str, Any], values: Sequence[Any]) -> Any:
        """Return the value for numbers or symbols of another system."""
        space = {**functions, **dict(zip(self.names, values, strict=True))}
        exec(compile(self.text, "<formula>", "exec"), space)  # noqa: S102
        return space["value"]

    def residual(self, functions: Mapping[str, Any], values: Sequence[Any]) -> Any:
        """Return the matrix for symbols of another system."""
        import sympy

        return sympy.lambdify(self.symbols, list(self.matrix), modules=[functions], cse=True)(
            *values
        )


def _formula(family: str, size: int) -> _Formula:
    import symgrad as sg

    if family == PENDULUM:
        matrix, states, others = pendulum(size)
        symbols = (*states, *others)
        names = tuple(symbol.name for symbol in symbols)
        return _Formula("", names, _point(len(names)), matrix, tuple(states), symbols)
    lines = FAMILIES[family].build(size).split("\n")
    lines[-1] = f"value = {lines[-1].partition(' = ')[2] or lines[-1]}"
    text = "\n".join(lines)
    names = sg.compile(text).inputs
    return _Formula(text, names, _point(len(names)))


def _point(count: int) -> tuple[float, ...]:
    rng = random.Random("symgrad growth")  # noqa: S311
    return tuple(rng.uniform(0.5, 1.5) for _ in range(count))


def pendulum(n: int) -> tuple[Any, list[Any], list[Any]]:
    """Return the equations of motion of n links on a cart, their states, other symbols.

    They are Kane's equations as `sympy.physics.mechanics` forms them, not simplified: the
    full mass matrix times the accelerations less the forces, which is 0.
    """
    import sympy
    from sympy.physics import mechanics as me

    q, u = me.dynamicsymbols(f"q:{n + 1}"), me.dynamicsymbols(f"u:{n + 1}")
    masses, lengths = sympy.symbols(f"m:{n + 1}"), sympy.symbols(f"l:{n}")
    force, gravity, t = sympy.symbols("f g t")
    inertial = me.ReferenceFrame("I")
    origin, cart = me.Point("O"), me.Point("P0")
    origin.set_vel(inertial, 0)
    cart.set_pos(origin, q[0] * inertial.x)
    cart.set_vel(inertial, u[0] * inertial.x)
    bodies = [me.Particle("B0", cart, masses[0])]
    loads = [(cart, force * inertial.x - masses[0] * gravity * inertial.y)]
    rates = [q[0].diff(t) - u[0]]
    joint = cart
    for k in range(n):
        frame = inertial.orientnew(f"F{k}", "Axis", [q[k + 1], inertial.z])
        frame.set_ang_vel(inertial, u[k + 1] * inertial.z)
        end = joint.locatenew(f"P{k + 1}", lengths[k] * frame.x)
        end.v2pt_theory(joint, inertial, frame)
        bodies.append(me.Particle(f"B{k + 1}", end, masses[k + 1]))
        loads.append((end, -masses[k + 1] * gravity * inertial.y))
        rates.append(q[k + 1].diff(t) - u[k + 1])
        joint = end
    kane = me.KanesMethod(inertial, q_ind=q, u_ind=u, kd_eqs=rates)
    kane.kanes_equations(bodies, loads)
    plain = {s: sympy.Symbol(str(s.func)) for s in (*q, *u)}
    accelerations = sympy.Matrix(sympy.symbols(f"a:{2 * n + 2}"))
    residual = kane.mass_matrix_full * accelerations - kane.forcing_full
    residual = residual.xreplace(plain)
    states = [plain[s] for s in (*q, *u)]
    others = sorted(residual.free_symbols - set(states), key=str)
    return residual, states, others


def _symgrad(formula: _Formula) -> Call:
    import numpy as np

    import symgrad as sg

    point = formula.point
    if formula.matrix is not None:
        f = sg.compile(formula.matrix, inputs=formula.symbols)
        jacobian = sg.jacobian(f, wrt=[symbol.name for symbol in formula.states])
        return lambda: np.ravel(jacobian(*point)).tolist()
    both = sg.value_and_grad(sg.compile(formula.text, inputs=formula.names))

    def call() -> list[float]:
        value, gradient = both(*point)
        return [value, *gradient]

    return call


def _lambdify(formula: _Formula) -> Call:
    import numpy as np
    import sympy

    point = formula.point
    if formula.matrix is not None:
        entries = formula.matrix.jacobian(formula.states)
        jacobian = sympy.lambdify(formula.symbols, entries, cse=True)
        return lambda: np.ravel(jacobian(*point)).tolist()
    symbols = [sympy.Symbol(name, real=True) for name in formula.names]
    value = formula.run({name: getattr(sympy, name) for name in _FUNCTIONS}, symbols)
    entries = [value, *(value.diff(symbol) for symbol in symbols)]
    both = sympy.lambdify(symbols, entries, modules="math", cse=True)
    return lambda: both(*point)


def _casadi(formula: _Formula) -> Call:
    import numpy as np

    ca = load("casadi")
    functions = {name: getattr(ca, name) for name in _FUNCTIONS}
    symbols = [ca.SX.sym(name) for name in formula.names]
    vector = ca.vertcat(*symbols)
    if formula.matrix is not None:
        residual = ca.vertcat(*formula.residual(functions, symbols))
        states = ca.vertcat(*symbols[: len(formula.states)])
        results = [ca.densify(ca.jacobian(residual, states))]
    else:
        value = formula.run(functions, symbols)
        results = [value, ca.gradient(value, vector)]
    function, point = ca.Function("f", [vector], results), ca.DM(formula.point)

    def call() -> list[float]:
        found = function(point)
        parts = found if isinstance(found, tuple | list) else [found]
        return [float(x) for part in parts for x in np.ravel(np.asarray(part))]

    return call


def _jax(formula: _Formula) -> Call:
    import numpy as np

    jax = load("jax")
    jnp = load("jax.numpy")
    jax.config.update("jax_enable_x64", True)
    functions = {name: getattr(jnp, name) for name in _FUNCTIONS}
    point = jnp.asarray(formula.point)
    if formula.matrix is not None:
        count = len(formula.states)
        rest = point[count:]
        jacobian = jax.jit(
            jax.jacfwd(lambda states: jnp.stack(formula.residual(functions, [*states, *rest])))
        )
        return lambda: np.ravel(jacobian(point[:count])).tolist()
    both = jax.jit(jax.value_and_grad(lambda x: formula.run(functions, list(x))))

    def call() -> list[float]:
        value, gradient = both(point)
        return [float(value), *np.asarray(gradient).tolist()]

    return call


#: Systems by name, symgrad first: it says what is right.
_SYSTEMS: Mapping[str, Callable[[_Formula], Call]] = {
    "symgrad": _symgrad,
    "lambdify": _lambdify,
    "casadi": _casadi,
    "jax": _jax,
}


def _main(system: str, family: str, size: str) -> None:
    sys.setrecursionlimit(100_000)  # SymPy and JAX recurse as deep as a formula
    prepare = _SYSTEMS[system]
    prepare(_formula("logistic", 2))()  # imports and first-time costs are not the formula's
    prepare(_formula("nested", 200 if system == "symgrad" else 2))()
    formula = _formula(family, int(size))
    start = time.perf_counter()
    call = prepare(formula)
    results = call()
    found: dict[str, Any] = {
        "build": time.perf_counter() - start,
        "results": [float(x) for x in results],
    }
    warm_up(call, seconds=1.5)
    calls, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < _REPEATS:
        call()
        calls += 1
    found["call"] = spent / calls
    if system == "symgrad":
        found["operations"] = _operations(formula)
    print(json.dumps(found))


def _operations(formula: _Formula) -> tuple[int, int]:
    import symgrad as sg

    if formula.matrix is None:
        cost = sg.compile(formula.text).cost()
        return cost["forward"], cost["gradient"]
    f = sg.compile(formula.matrix, inputs=formula.symbols)
    names = [symbol.name for symbol in formula.states]
    return f.cost()["forward"], sg.jacobian(f, wrt=names).cost()["forward"]


if __name__ == "__main__":
    _main(*sys.argv[1:])
