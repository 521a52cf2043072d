"""Formulas that grow: families whose members have as many statements as one likes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True)
class Family:
    """A family of formulas.

    Attributes:
        title: what it is called in reports.
        build: returns the text of its member of size n.
        small: a size of some dozens of operations.
        sizes: sizes for measurements, each some thousands of operations at most.
    """

    title: str
    build: Callable[[int], str]
    small: int
    sizes: tuple[int, ...]


def _recurrence(n: int) -> str:
    steps = (f"t{k} = sin(t{k - 1})*x + c*t{k - 2}" for k in range(2, n))
    return "\n".join(["t0 = x", "t1 = sin(x)", *steps])


def _nested(n: int) -> str:
    return "\n".join(["u0 = x*y", *(f"u{k + 1} = sin(u{k}) + cos(u{k})" for k in range(n))])


def _logistic(n: int) -> str:
    return "\n".join(["u0 = x", *(f"u{k + 1} = r*u{k}*(1 - u{k})" for k in range(n))])


def _speelpenning(n: int) -> str:
    return "*".join(f"x{k}" for k in range(n))


def _horner(n: int) -> str:
    return "\n".join(["p0 = a0", *(f"p{k} = p{k - 1}*x + a{k}" for k in range(1, n))])


def _pairs(n: int, energy: str) -> Iterator[str]:
    """Yield steps that sum an energy, a formula of the squared distance r2, over all pairs."""
    total = "0"
    for i, j in itertools.combinations(range(n), 2):
        squares = " + ".join(f"({a}{i} - {a}{j})**2" for a in "xyz")
        yield f"r_{i}_{j} = {squares}"
        term = energy.format(i=i, j=j, r2=f"r_{i}_{j}")
        yield f"e_{i}_{j} = {term if total == '0' else f'{total} + {term}'}"
        total = f"e_{i}_{j}"


def _gravity(n: int) -> str:
    return "\n".join(_pairs(n, "-m{i}*m{j}/sqrt({r2})"))


def _lennard_jones(n: int) -> str:
    return "\n".join(_pairs(n, "4*eps*((s**2/{r2})**6 - (s**2/{r2})**3)"))


def _kinematics(n: int) -> str:
    """Return where the end of an arm is whose joints turn about z and y in turn."""
    lines = ["x0 = 1", "y0 = 0", "z0 = 0"]
    for k in range(n):
        a, b, fixed = ("x", "y", "z") if k % 2 else ("z", "x", "y")
        lines += [
            f"c{k} = cos(q{k})",
            f"s{k} = sin(q{k})",
            f"{a}{k + 1} = c{k}*{a}{k} - s{k}*{b}{k} + {'l' if a == 'x' else 'h'}",
            f"{b}{k + 1} = s{k}*{a}{k} + c{k}*{b}{k}",
            f"{fixed}{k + 1} = {fixed}{k}",
        ]
    return "\n".join([*lines, f"reach = x{n}*u + y{n}*v + z{n}*w"])


def _legendre(n: int) -> str:
    steps = (f"P{k} = ({2 * k - 1}*x*P{k - 1} - {k - 1}*P{k - 2})/{k}" for k in range(2, n))
    return "\n".join(["P0 = 1", "P1 = x", *steps])


def _harmonics(n: int) -> str:
    """Return a sum over real spherical harmonics, not normalised, up to degree n - 1."""
    lines = ["c0 = 1", "s0 = 0", "P_0_0 = 1"]
    for m in range(n):
        if m:
            lines += [
                f"c{m} = c{m - 1}*x - s{m - 1}*y",
                f"s{m} = s{m - 1}*x + c{m - 1}*y",
                f"P_{m}_{m} = {1 - 2 * m}*P_{m - 1}_{m - 1}",
            ]
        for k in range(m + 1, n):
            more = f" - {k + m - 1}*P_{k - 2}_{m}" if k > m + 1 else ""
            lines.append(f"P_{k}_{m} = ({2 * k - 1}*z*P_{k - 1}_{m}{more})/{k - m}")
    total = "0"
    for k in range(n):
        for m in range(k + 1):
            lines.append(f"Y_{k}_{m} = {total} + P_{k}_{m}*(a*c{m} + b*s{m})")
            total = f"Y_{k}_{m}"
    return "\n".join(lines)


def _network(n: int) -> str:
    """Return layers of three neurons each."""
    width = 3
    lines = [f"h_0_{i} = x{i}" for i in range(width)]
    for k in range(n):
        for i in range(width):
            terms = [f"w_{k}_{i}_{j}*h_{k}_{j}" for j in range(width)]
            lines.append(f"h_{k + 1}_{i} = tanh({' + '.join(terms)} + b_{k}_{i})")
    return "\n".join([*lines, f"y = {' + '.join(f'h_{n}_{i}**2' for i in range(width))}"])


def _determinant(n: int) -> str:
    """Return Laplace's expansion along rows; each minor is computed once."""
    lines = [f"d{n - 1}_{j} = a_{n - 1}_{j}" for j in range(n)]
    for row in range(n - 2, -1, -1):
        for columns in itertools.combinations(range(n), n - row):
            terms = []
            for place, j in enumerate(columns):
                rest = "_".join(str(c) for c in columns if c != j)
                terms.append(f"{'-' if place % 2 else '+'} a_{row}_{j}*d{row + 1}_{rest}")
            name = "_".join(map(str, columns))
            lines.append(f"d{row}_{name} = {' '.join(terms).removeprefix('+ ')}")
    return "\n".join(lines)


#: Families by name.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "recurrence": Family("Recurrence of sines", _recurrence, 8, (100, 1000, 10_000)),
        "nested": Family("Nested sin + cos", _nested, 8, (100, 1000, 10_000)),
        "logistic": Family("Logistic map", _logistic, 10, (100, 1000, 10_000)),
        "speelpenning": Family("Product of n factors", _speelpenning, 16, (100, 1000, 10_000)),
        "horner": Family("Horner's rule", _horner, 16, (100, 1000, 10_000)),
        "gravity": Family("Energy of n bodies", _gravity, 3, (5, 10, 30)),
        "lennard_jones": Family("Lennard-Jones, n atoms", _lennard_jones, 3, (5, 10, 30)),
        "kinematics": Family("Arm of n joints", _kinematics, 5, (10, 100, 1000)),
        "legendre": Family("Legendre polynomials", _legendre, 10, (100, 1000, 10_000)),
        "harmonics": Family("Spherical harmonics", _harmonics, 4, (10, 30, 80)),
        "network": Family("Network of n layers", _network, 2, (10, 100, 500)),
        "determinant": Family("Determinant by minors", _determinant, 4, (5, 8, 11)),
    }
)
