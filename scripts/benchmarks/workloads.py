"""What is computed: formulas, ranges of their inputs, and which derivatives are wanted.

A workload is written once, as a symgrad formula; every peer gets it from there.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["WORKLOADS", "Problem", "Workload", "make_problem"]

Array = np.ndarray


@dataclass(frozen=True)
class Workload:
    """A formula over points, or a loss: its sum or mean over the points.

    Attributes:
        name: its key on the command line.
        title: its name in tables and pictures.
        result: the formula at one point, which may use the steps.
        arrays: the inputs that vary from point to point, with the ends of their ranges.
        wrt: the inputs to differentiate by.
        steps: statements before it, `name = formula`, one on each line.
        parameters: the inputs that are one number for all points; powers of two and sums
            of few of them, so that they are the same numbers in float32.
        reduce: "sum" or "mean" for a loss, else "".
    """

    name: str
    title: str
    result: str
    arrays: Mapping[str, tuple[float, float]]
    wrt: tuple[str, ...]
    steps: str = ""
    parameters: Mapping[str, float] | None = None
    reduce: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """All inputs in order: arrays, then parameters."""
        return (*self.arrays, *(self.parameters or {}))

    @property
    def formula(self) -> str:
        """The formula as it is given to symgrad."""
        result = f"{self.reduce}({self.result})" if self.reduce else self.result
        return self._with_steps(result)

    @property
    def point_formula(self) -> str:
        """The formula at one point, without the reduction."""
        return self._with_steps(self.result)

    def _with_steps(self, result: str) -> str:
        header = f"f({', '.join(self.inputs)})"
        return f"{self.steps}\n{header} = {result}".strip()


@dataclass(frozen=True)
class Problem:
    """A workload with numbers: as many points as asked for, in one floating-point type."""

    workload: Workload
    arrays: dict[str, Array]
    parameters: dict[str, float]
    dtype: str

    @property
    def points(self) -> int:
        """The number of points."""
        return len(next(iter(self.arrays.values())))

    @property
    def outputs(self) -> int:
        """The number of results: the value and its derivatives."""
        return 1 + len(self.workload.wrt)

    def scalars(self) -> list[Array]:
        """Return the parameters as arrays without dimensions, of the problem's dtype."""
        return [np.array(value, self.dtype) for value in self.parameters.values()]

    def buffers(self) -> list[Array]:
        """Return arrays for all results, their pages already touched."""
        shape = 1 if self.workload.reduce else self.points
        return [np.zeros(shape, self.dtype) for _ in range(self.outputs)]

    def first(self, points: int) -> Problem:
        """Return the same problem for the first points only."""
        arrays = {name: np.ascontiguousarray(a[:points]) for name, a in self.arrays.items()}
        return Problem(self.workload, arrays, self.parameters, self.dtype)


def make_problem(workload: Workload, points: int, dtype: str = "float64") -> Problem:
    """Draw the inputs of a workload, the same in every run and for every dtype."""
    rng = np.random.default_rng(zlib.crc32(workload.name.encode()))
    arrays = {
        name: rng.uniform(low, high, points).astype(dtype)
        for name, (low, high) in workload.arrays.items()
    }
    if workload.name == "softmax":
        _one_hot(arrays, rng.integers(0, 3, points), dtype)
    if workload.name == "logistic":
        arrays["y"] = np.where(arrays["y"] < 0, -1.0, 1.0).astype(dtype)
    return Problem(workload, arrays, dict(workload.parameters or {}), dtype)


def _one_hot(arrays: dict[str, Array], labels: Array, dtype: str) -> None:
    for k, name in enumerate(("t1", "t2", "t3")):
        arrays[name] = (labels == k).astype(dtype)


TUTORIAL = Workload(
    name="tutorial",
    title="Tutorial formula",
    result="y*log(x) + sin(y)",
    arrays={"x": (0.5, 4.0), "y": (-3.0, 3.0)},
    wrt=("x", "y"),
)

BLACK_SCHOLES = Workload(
    name="black_scholes",
    title="Black-Scholes, 5 Greeks",
    steps="d1 = (log(S/K) + (r + sigma**2/2)*T)/(sigma*sqrt(T))\nd2 = d1 - sigma*sqrt(T)",
    result="S*erfc(-d1/sqrt(2))/2 - K*exp(-r*T)*erfc(-d2/sqrt(2))/2",
    arrays={
        "S": (80.0, 120.0),
        "K": (80.0, 120.0),
        "T": (0.25, 2.0),
        "r": (0.0, 0.05),
        "sigma": (0.1, 0.5),
    },
    wrt=("S", "K", "T", "r", "sigma"),
)

LENNARD_JONES = Workload(
    name="lennard_jones",
    title="Lennard-Jones + Coulomb",
    steps=(
        "r2 = (x1 - x2)**2 + (y1 - y2)**2 + (z1 - z2)**2\n"
        "s6 = (sigma**2/r2)**3\n"
        "lj = 4*epsilon*(s6**2 - s6)\n"
        "coulomb = k*q1*q2/sqrt(r2)"
    ),
    result="lj + coulomb",
    arrays={
        "x1": (0.0, 1.0),
        "y1": (0.0, 1.0),
        "z1": (0.0, 1.0),
        "x2": (1.5, 3.0),
        "y2": (1.5, 3.0),
        "z2": (1.5, 3.0),
    },
    parameters={"epsilon": 0.25, "sigma": 1.125, "k": 1.5, "q1": 0.5, "q2": -0.25},
    wrt=("x1", "y1", "z1", "x2", "y2", "z2"),
)

TWO_GAUSSIANS = Workload(
    name="two_gaussians",
    title="Two Gaussians, 8 parameters",
    steps=(
        "p1 = h1*exp(-((x - c1)/w1)**2/2)\n"
        "p2 = h2*exp(-((x - c2)/w2)**2/2)\n"
        "residual = p1 + p2 + a + b*x - y"
    ),
    result="residual**2",
    reduce="sum",
    arrays={"x": (0.0, 4.0), "y": (0.0, 3.0)},
    parameters={
        "h1": 2.0,
        "c1": 1.0,
        "w1": 0.5,
        "h2": 1.0,
        "c2": 3.0,
        "w2": 0.75,
        "a": 0.125,
        "b": 0.0625,
    },
    wrt=("h1", "c1", "w1", "h2", "c2", "w2", "a", "b"),
)

LOGISTIC = Workload(
    name="logistic",
    title="Logistic loss, 3 parameters",
    result="log(1 + exp(-y*(w0 + w1*x1 + w2*x2)))",
    reduce="mean",
    arrays={"x1": (-2.0, 2.0), "x2": (-2.0, 2.0), "y": (-1.0, 1.0)},
    parameters={"w0": 0.25, "w1": 1.5, "w2": -0.75},
    wrt=("w0", "w1", "w2"),
)

NETWORK = Workload(
    name="network",
    title="4-layer network, 8 parameters",
    steps=(
        "a1 = tanh(w1*x + b1)\n"
        "a2 = tanh(w2*a1 + b2)\n"
        "a3 = tanh(w3*a2 + b3)\n"
        "a4 = tanh(w4*a3 + b4)"
    ),
    result="(a4 - y)**2",
    reduce="mean",
    arrays={"x": (-2.0, 2.0), "y": (-1.0, 1.0)},
    parameters={
        "w1": 1.25,
        "b1": 0.125,
        "w2": -0.75,
        "b2": 0.25,
        "w3": 1.5,
        "b3": -0.5,
        "w4": 0.875,
        "b4": 0.0625,
    },
    wrt=("w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4"),
)

SOFTMAX = Workload(
    name="softmax",
    title="Softmax cross-entropy, 9 parameters",
    steps=(
        "a1 = u1*x1 + v1*x2 + b1\n"
        "a2 = u2*x1 + v2*x2 + b2\n"
        "a3 = u3*x1 + v3*x2 + b3\n"
        "total = exp(a1) + exp(a2) + exp(a3)"
    ),
    result="log(total) - (t1*a1 + t2*a2 + t3*a3)",
    reduce="mean",
    arrays={
        "x1": (-2.0, 2.0),
        "x2": (-2.0, 2.0),
        "t1": (0.0, 1.0),
        "t2": (0.0, 1.0),
        "t3": (0.0, 1.0),
    },
    parameters={
        "u1": 0.5,
        "v1": -1.0,
        "b1": 0.125,
        "u2": -0.25,
        "v2": 0.75,
        "b2": 0.0,
        "u3": 1.0,
        "v3": 0.25,
        "b3": -0.5,
    },
    wrt=("u1", "v1", "b1", "u2", "v2", "b2", "u3", "v3", "b3"),
)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        TUTORIAL,
        BLACK_SCHOLES,
        LENNARD_JONES,
        TWO_GAUSSIANS,
        LOGISTIC,
        NETWORK,
        SOFTMAX,
    )
}
