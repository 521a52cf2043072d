"""Second and third derivatives of generated formulas with kinks and branches.

Every formula is written twice, as text for symgrad and as a function of mpmath's numbers that
evaluates only the branches that are taken; numerical derivatives of the second in 50 digits
are what those of the first should be. Nothing of symgrad takes part in them.
"""

from __future__ import annotations

import functools
import itertools
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np
import pytest
from oracle import identical, seeded

import symgrad as sg

COUNT = 200
KINKED = ("where", "max", "abs", "sqrt")
NAMES = ("x", "y")

#: How far a point is from every kink.
MARGIN = 1e-3
#: Points of each formula; the first come from the grid, where 0/0 and 1/0 are hit exactly.
POINTS = 4
GRID = (-1.0, 0.0, 0.5, 1.0, 2.0)

#: Error of a derivative, relative to the largest of its order at the point or to 1.
TOLERANCE = 1e-10


class UndefinedError(Exception):
    """A formula has no real value at a point."""


@dataclass
class Walk:
    """One evaluation: where, and which way it went at every kink and branch."""

    point: tuple[Any, ...]
    choices: list[int] = field(default_factory=list)
    #: Whether a branch that was not taken has no value.
    poison: bool = False

    def sign(self, value: Any) -> int:
        """Return the sign of what decides, and remember it."""
        self.choices.append(int(mpmath.sign(value)))
        return self.choices[-1]


@dataclass(frozen=True)
class Formula:
    """A formula as text and as a function of a Walk, with the names that it uses."""

    text: str
    at: Callable[[Walk], Any]
    uses: frozenset[str] = frozenset()


def real(value: Any) -> Any:
    if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
        raise UndefinedError
    return value


def call(name: str, f: Callable[..., Any], *args: Formula, text: str = "") -> Formula:
    """Return a function of formulas; `text` has braces for them, if it is no plain call."""

    def at(walk: Walk) -> Any:
        try:
            return real(f(walk, *(arg.at(walk) for arg in args)))
        except (ZeroDivisionError, ValueError):
            raise UndefinedError from None

    written = (text or f"{name}({', '.join(['{}'] * len(args))})").format(
        *(arg.text for arg in args)
    )
    return Formula(written, at, frozenset({name}).union(*(arg.uses for arg in args)))


def number(value: float) -> Formula:
    return Formula(f"({value!r})" if value < 0 else repr(value), lambda walk: mpmath.mpf(value))


def variable(place: int) -> Formula:
    name = NAMES[place]
    return Formula(name, lambda walk: walk.point[place], frozenset({name}))


def plain(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that takes a Walk that it does not need."""
    return lambda walk, *values: f(*values)


def infix(symbol: str, f: Callable[..., Any]) -> Callable[..., Formula]:
    return functools.partial(call, symbol, plain(f), text=f"({{}} {symbol} {{}})")


add, subtract = infix("+", operator.add), infix("-", operator.sub)
multiply, divide = infix("*", operator.mul), infix("/", operator.truediv)


def power(base: Formula, exponent: int) -> Formula:
    return call("**", plain(lambda z: z**exponent), base, text=f"({{}})**{exponent}")


def unary(name: str) -> Callable[[Formula], Formula]:
    return functools.partial(call, name, plain(getattr(mpmath, name)))


SMOOTH = {name: unary(name) for name in ("sin", "cos", "exp", "tanh", "atan", "log")}


def absolute(z: Formula) -> Formula:
    return call("abs", lambda walk, z: walk.sign(z) * z, z)


def root(z: Formula) -> Formula:
    return call("sqrt", lambda walk, z: mpmath.sqrt(z) if walk.sign(z) else z, z)


def largest(y: Formula, z: Formula) -> Formula:
    return call("max", lambda walk, y, z: y if walk.sign(y - z) > 0 else z, y, z)


def smallest(y: Formula, z: Formula) -> Formula:
    return call("min", lambda walk, y, z: y if walk.sign(y - z) < 0 else z, y, z)


def where(left: Formula, relation: str, right: Formula, yes: Formula, no: Formula) -> Formula:
    """Return a selection, whose other branch is asked only if it would poison."""
    holds = {">": (1,), ">=": (0, 1), "<": (-1,), "<=": (-1, 0)}[relation]

    def at(walk: Walk) -> Any:
        condition = walk.sign(left.at(walk) - right.at(walk)) in holds
        taken, other = (yes, no) if condition else (no, yes)
        try:
            other.at(Walk(walk.point))
        except UndefinedError:
            walk.poison = True
        return taken.at(walk)

    text = f"where({left.text} {relation} {right.text}, {yes.text}, {no.text})"
    parts = (left, right, yes, no)
    return Formula(text, at, frozenset({"where"}).union(*(part.uses for part in parts)))


def generated(rng: random.Random, depth: int) -> Formula:
    """Return a formula of a depth, mostly smooth functions of sums and products."""
    if depth == 0 or rng.random() < 0.1:
        if rng.random() < 0.2:
            return number(rng.randint(-16, 16) / 8 or 3.0)
        return variable(rng.randrange(len(NAMES)))
    deeper = functools.partial(generated, rng, depth - 1)
    kind = rng.random()
    if kind < 0.45:
        return rng.choice((add, add, subtract, multiply, multiply, divide))(deeper(), deeper())
    if kind < 0.55:
        return power(deeper(), rng.choice((2, 3)))
    if kind < 0.75:
        return SMOOTH[rng.choice(list(SMOOTH))](deeper())
    return with_kink(rng, rng.choice(KINKED), depth)


def with_kink(rng: random.Random, name: str, depth: int) -> Formula:
    """Return a formula of a depth that begins with one of the functions that have kinks."""
    deeper = functools.partial(generated, rng, depth - 1)
    if name == "abs":
        return absolute(deeper())
    if name == "sqrt":
        least = number(rng.choice((0.0, 0.25)))
        return root(largest(deeper(), least) if rng.random() < 0.5 else deeper())
    if name == "max":
        return rng.choice((largest, smallest))(deeper(), deeper())
    if rng.random() < 0.2:
        relation = rng.choice((">", ">=", "<", "<="))
        return where(deeper(), relation, deeper(), deeper(), deeper())
    return guarded(rng, depth)


def guarded(rng: random.Random, depth: int) -> Formula:
    """Return a selection whose condition keeps a function from where it has no value."""
    deeper = functools.partial(generated, rng, depth - 1)
    away = subtract(rng.choice((variable(0), variable(1), deeper())), number(rng.choice(GRID)))
    if rng.random() < 0.5:
        bound, left = number(0.0), away
        risky = rng.choice((root(away), SMOOTH["log"](away), divide(deeper(), root(away))))
    else:
        bound, left = number(0.25), absolute(away)
        same = rng.choice((SMOOTH["sin"](away), SMOOTH["tanh"](away), deeper()))
        risky = rng.choice((divide(same, away), SMOOTH["log"](left), divide(root(left), away)))
    risky = rng.choice((risky, multiply(risky, deeper()), SMOOTH["sin"](risky)))
    if rng.random() < 0.5:
        return where(left, ">", bound, risky, deeper())
    return where(left, "<=", bound, deeper(), risky)


def is_settled(formula: Formula, point: tuple[float, ...]) -> bool:
    """Tell whether the formula has a value at a point and no kink within the margin."""

    def way(shift: tuple[float, ...]) -> list[int]:
        walk = Walk(tuple(mpmath.mpf(z) + h for z, h in zip(point, shift, strict=True)))
        formula.at(walk)
        return walk.choices

    shifts = itertools.product((0.0, MARGIN, -MARGIN), repeat=len(NAMES))
    try:
        here = way(next(shifts))
        return all(way(shift) == here for shift in shifts)
    except UndefinedError:
        return False


def is_poisoned(formula: Formula, point: tuple[float, ...]) -> bool:
    """Tell whether a branch that is not taken has no value at a point."""
    walk = Walk(tuple(map(mpmath.mpf, point)))
    formula.at(walk)
    return walk.poison


def points(rng: random.Random, formula: Formula) -> list[tuple[float, ...]]:
    """Return up to POINTS points, poisoned ones and such of the grid first."""
    grid = list(itertools.product(GRID, repeat=len(NAMES)))
    rng.shuffle(grid)
    drawn = [tuple(rng.uniform(-2.5, 2.5) for _ in NAMES) for _ in range(10)]
    settled = [point for point in [*grid[:10], *drawn] if is_settled(formula, point)]
    settled.sort(key=lambda point: not is_poisoned(formula, point))
    return [*settled[: POINTS - 1], *settled[POINTS - 1 :][-1:]]


@functools.cache
def formulas() -> list[tuple[Formula, list[tuple[float, ...]]]]:
    """Return formulas that vary, each with points."""
    rng = seeded("branches")
    found: list[tuple[Formula, list[tuple[float, ...]]]] = []
    while len(found) < COUNT:
        kinked = with_kink(rng, KINKED[len(found) % len(KINKED)], 3)
        another = rng.choice((generated, guarded))(rng, 2)
        formula = add(multiply(kinked, generated(rng, 2)), SMOOTH["sin"](another))
        smooth = points(rng, formula)
        if formula.uses.issuperset(NAMES) and len(smooth) == POINTS:
            found.append((formula, smooth))
    return found


@functools.cache
def exact(formula: Formula, point: tuple[float, ...], order: int) -> np.ndarray:
    """Return all derivatives of an order by mpmath's differences."""
    result = np.empty((len(NAMES),) * order, dtype=object)
    for names in itertools.combinations_with_replacement(range(len(NAMES)), order):
        orders = tuple(names.count(place) for place in range(len(NAMES)))
        with mpmath.workdps(50):
            derivative = mpmath.diff(
                lambda *parts: formula.at(Walk(parts)), tuple(map(mpmath.mpf, point)), orders
            )
        for same in itertools.permutations(names):
            result[same] = derivative
    return result


def check(found: np.ndarray, formula: Formula, point: tuple[float, ...], order: int) -> None:
    """Assert that all derivatives of an order at a point are right."""
    expected = exact(formula, point, order)
    bound = TOLERANCE * max(1, *abs(expected).flat)
    # A NaN is within no bound.
    close = [
        abs(mpmath.mpf(z) - e) <= bound for z, e in zip(found.flat, expected.flat, strict=True)
    ]
    assert all(close), (formula.text, point, found)


def test_what_the_formulas_are() -> None:
    for name in KINKED:
        assert sum(name in formula.uses for formula, _ in formulas()) >= 80
    poisoned = [
        sum(is_poisoned(formula, point) for point in points) for formula, points in formulas()
    ]
    assert sum(map(bool, poisoned)) >= 80
    assert sum(poisoned) >= 200
    on_grid = [point for _, points in formulas() for point in points if {*point} <= {*GRID}]
    assert len(on_grid) >= 200
    formula, points = formulas()[0]
    for wrong in (exact(formula, points[1], 2), np.full((2, 2), np.nan)):
        with pytest.raises(AssertionError):
            check(wrong, formula, points[0], 2)


@pytest.mark.parametrize("number", range(COUNT))
def test_second_and_third_derivatives(number: int) -> None:
    formula, points = formulas()[number]
    f = sg.compile(formula.text, inputs=NAMES, backend="interpreter")
    hessian = sg.hessian(f)
    third = sg.jacobian(hessian)
    reverse = sg.grad(sg.grad(sg.grad(f, wrt="x"), wrt="y"))
    for point in points:
        check(hessian(*point), formula, point, 2)
        at = third(*point)
        check(at, formula, point, 3)
        again = at.copy()
        again[0, 1] = reverse(*point)
        check(again, formula, point, 3)


@pytest.mark.parametrize("number", range(50, COUNT, 100))
def test_compiled_code_does_the_same(number: int) -> None:
    formula, points = formulas()[number]
    columns = np.array(points).T
    found = [
        sg.hessian(sg.compile(formula.text, inputs=NAMES, backend=backend))(*columns)
        for backend in ("jit", "interpreter")
    ]
    assert identical(*found)
    for point, hessian in zip(points, found[0], strict=True):
        check(hessian, formula, point, 2)
