"""What is measured in processes of its own: first gradient, imports, peak memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from .measure import Plan
from .workloads import WORKLOADS

__all__ = ["FirstGradient", "Memory", "first_gradients", "import_times", "peak_memory"]

FORMULA = "z = y*log(x) + sin(y)"

SYMGRAD = "import symgrad as sg; sg.value_and_grad(sg.compile({!r}{}))(2.0, 3.0)"
ARRAYS = "import numpy as np\nx, y = np.linspace(0.5, 4, 1000), np.linspace(-3, 3, 1000)\n"
SYMPY = """
from sympy import symbols, log, sin, lambdify
x, y = symbols("x y", real=True)
z = y*log(x) + sin(y)
exprs = (z, z.diff(x), z.diff(y))
"""

#: Programs that compute the gradient of the formula once, in new processes; what follows a
#: comma tells the programs of one system apart.
PROGRAMS = {
    "symgrad": SYMGRAD.format(FORMULA, ""),
    "symgrad, compiled at once": SYMGRAD.format(FORMULA, ", backend='jit'"),
    "symgrad, 1,000 points": ARRAYS
    + f"import symgrad as sg\nsg.value_and_grad(sg.compile('f(x, y) = {FORMULA[4:]}'))(x, y)",
    "lambdify": SYMPY + 'lambdify((x, y), exprs, "math", cse=True)(2.0, 3.0)',
    "numba": SYMPY
    + 'import numba\nnumba.njit(lambdify((x, y), exprs, "math", cse=True))(2.0, 3.0)',
    "torch": """
import torch
x, y = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (2.0, 3.0))
(y*torch.log(x) + torch.sin(y)).backward()
""",
    "torch_compile": """
import torch
x, y = (torch.tensor(v, dtype=torch.float64) for v in (2.0, 3.0))
f = lambda x, y: y*torch.log(x) + torch.sin(y)
torch.compile(torch.func.grad_and_value(f, argnums=(0, 1)))(x, y)
""",
    "jax": """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
f = lambda x, y: y*jnp.log(x) + jnp.sin(y)
jax.block_until_ready(jax.jit(jax.value_and_grad(f, (0, 1)))(2.0, 3.0))
""",
    "jax, 1,000 points": ARRAYS
    + """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
f = lambda x, y: y*jnp.log(x) + jnp.sin(y)
jax.block_until_ready(jax.jit(jax.vmap(jax.value_and_grad(f, (0, 1))))(x, y))
""",
    "heyoka": """
import heyoka as hy
x, y = hy.make_vars("x", "y")
z = y*hy.log(x) + hy.sin(y)
g = hy.diff_tensors([z], diff_args=[x, y], diff_order=1).gradient
hy.cfunc([z, *g], vars=[x, y])([2.0, 3.0])
""",
    "casadi": """
import casadi as ca
x, y = ca.SX.sym("x"), ca.SX.sym("y")
z = y*ca.log(x) + ca.sin(y)
ca.Function("f", [x, y], [z, ca.gradient(z, ca.vertcat(x, y))])(2.0, 3.0)
""",
}

#: Caches that a cold start must not find, besides symgrad's.
_CACHES = ("SYMGRAD_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")

MEMORY = """
import json, resource, sys
sys.path.insert(0, {scripts!r})
from benchmarks.workloads import WORKLOADS, make_problem
import numpy as np, symgrad as sg

def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024

workload = WORKLOADS[{workload!r}]
both = sg.value_and_grad(sg.compile(workload.formula), wrt=workload.wrt)
small = make_problem(workload, 1000)
both(*small.arrays.values(), *small.parameters.values())
problem = make_problem(workload, {points})
arguments = [*problem.arrays.values(), *problem.parameters.values()]
before = status("VmRSS")
try:
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts again from here
except OSError:
    pass
value, gradient = both(*arguments)
peak = status("VmHWM")
outputs = sum(np.asarray(a).nbytes for a in (value, *gradient) if np.ndim(a))
inputs = sum(a.nbytes for a in problem.arrays.values())
print(json.dumps([inputs, outputs, peak - before - outputs]))
"""


class FirstGradient(NamedTuple):
    """Seconds from the start of a process to its end, with one gradient in between."""

    name: str
    cold: float
    warm: float | None


class Memory(NamedTuple):
    """Bytes of inputs and outputs, and what the peak was above them."""

    workload: str
    points: int
    inputs: int
    outputs: int
    more: int


def _run(program: str, folder: str) -> float:
    """Run a program in a new process whose caches are in `folder`; return the seconds."""
    environment = {**os.environ, **{name: f"{folder}/{name}" for name in _CACHES}}
    start = time.perf_counter()
    subprocess.run(  # noqa: S603
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        timeout=300,
        env=environment,
    )
    return time.perf_counter() - start


def _cold_and_warm(program: str, rounds: int) -> tuple[float, float]:
    cold, warm = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="symgrad-bench-") as folder:
            cold.append(_run(program, folder))
            warm.append(_run(program, folder))
    return statistics.median(cold), statistics.median(warm)


def first_gradients(plan: Plan) -> tuple[list[FirstGradient], dict[str, str]]:
    """Return the time to the first gradient in a new process, and reasons for gaps."""
    plan.say("time to first gradient")
    rows, skipped = [], {}
    rounds = max(plan.rounds // 2, 1)
    with tempfile.TemporaryDirectory() as folder:
        bare = statistics.median(_run("pass", folder) for _ in range(rounds + 2))
    rows.append(FirstGradient("python -c pass", bare, None))
    for name, program in PROGRAMS.items():
        if name.partition(",")[0] not in plan.peers:
            continue
        plan.say(f"  {name}")
        try:
            with tempfile.TemporaryDirectory() as folder:
                _run(program, folder)  # compiles .pyc files, and fails where it fails
            rows.append(FirstGradient(name, *_cold_and_warm(program, rounds)))
        except subprocess.SubprocessError as error:
            skipped[name] = _reason(error)
            plan.say(f"    skipped: {skipped[name]}")
    return rows, skipped


def _reason(error: subprocess.SubprocessError) -> str:
    stderr = getattr(error, "stderr", None) or b""
    last = stderr.decode(errors="replace").strip().split("\n")[-1]
    return last[:200] or str(error)[:200]


def import_times(plan: Plan) -> dict[str, float]:
    """Return the seconds that imports take in a new process, without Python's start."""
    plan.say("imports")
    times = {}
    for module in ("symgrad", "numpy", "sympy", "numba"):
        program = (
            "import time; start = time.perf_counter(); "
            f"import {module}; print(time.perf_counter() - start)"
        )
        command = [sys.executable, "-c", program]
        samples = []
        for _ in range(max(plan.rounds, 3)):
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                samples.append(float(done.stdout))
        if samples:
            times[module] = statistics.median(samples)
    return times


def peak_memory(plan: Plan, points: int) -> tuple[list[Memory], dict[str, str]]:
    """Return what value and gradient of symgrad need beyond inputs and outputs."""
    plan.say("peak memory")
    rows, skipped = [], {}
    scripts = str(Path(__file__).resolve().parent.parent)
    for workload in ("tutorial", "two_gaussians"):
        program = MEMORY.format(scripts=scripts, workload=workload, points=points)
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        title = WORKLOADS[workload].title
        if done.returncode:
            skipped[title] = done.stderr.strip().split("\n")[-1][:200]
        else:
            rows.append(Memory(title, points, *json.loads(done.stdout)))
    return rows, skipped
