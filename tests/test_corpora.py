"""Two corpora of formulas, what people write and what attackers write, through everything."""

from __future__ import annotations

import itertools
import os

import mpmath
import numpy as np
import pytest
from codegen.plain import load
from language.corpus_hostile import HOSTILE, TRACE
from language.corpus_legitimate import LEGITIMATE

import symgrad as sg
from symgrad.calculus import reference
from symgrad.calculus.transform import Gradient
from symgrad.codegen.python import print_function
from symgrad.compiler import Variant, build_graph
from symgrad.errors import SymgradError
from symgrad.language.functions import REDUCTIONS
from symgrad.language.parse import parse
from symgrad.language.program import Program

#: Values to give to the inputs, in turn; what one start does not suit, another does.
STARTS = (
    (0.625, 0.875, 1.375, 0.5625, 1.125),
    (1.75, 0.4375, 2.375, 1.25, 0.8125),
    (0.3125, 0.5625, 0.4375, 0.6875, 0.25),
    (3.25, 2.125, 1.5, 2.75, 4.5),
    (-0.625, 0.375, -1.25, 0.8125, 1.5),
    (12.5, 7.25, 25.75, 3.5, 50.25),
)
#: Characters of code beyond which Python itself takes too long to compile a test.
LARGEST = 200_000
#: Formulas that are compiled by Numba as well.
COMPILED = LEGITIMATE[:: max(1, len(LEGITIMATE) // 30)]


def points(program: Program) -> list[dict[str, float]]:
    return [
        {
            name: start[k % len(start)] + 0.03125 * (k // len(start))
            for k, name in enumerate(program.inputs)
        }
        for start in STARTS
    ]


def expectation(program: Program) -> tuple[dict[str, float], list[float], list[float]] | None:
    """Return a point with the values there and the derivatives of their sum, all finite."""
    names = [name for name, _ in program.outputs]
    for point in points(program):
        values = [reference.value(program, point, output=name) for name in names]
        if not all(mpmath.isfinite(v) for v in values) or max(map(abs, values)) > 1e30:
            continue
        try:
            slopes = [
                mpmath.fsum(
                    reference.derivative(program, point, by, output=name, digits=40)
                    for name in names
                )
                for by in program.inputs
            ]
        except (ValueError, ZeroDivisionError, TypeError):
            continue
        if all(mpmath.isfinite(v) and abs(mpmath.im(v)) == 0 for v in slopes):
            return point, [float(v) for v in values], [float(v) for v in slopes]
    return None


def assert_close(got: float, expected: float, scale: float) -> None:
    assert abs(got - expected) <= 1e-9 * max(abs(expected), 1e-3 * scale, 1e-6), (got, expected)


def has_reductions(program: Program) -> bool:
    return any(code.op in REDUCTIONS for code in program.instructions)


@pytest.mark.parametrize("formula", LEGITIMATE, ids=lambda formula: formula.id)
def test_legitimate_formula(formula: object) -> None:
    program = parse(formula.text)
    assert program.inputs == formula.inputs
    scalars = Variant((0,) * len(program.inputs))
    graph, _ = build_graph(program, (Gradient(value=True),), scalars)
    kernel = load(print_function(graph, "kernel"))
    # Arrays print and compile as Python too.
    wide = Variant((1,) * len(program.inputs), int(bool(program.inputs)))
    source = print_function(
        build_graph(program, (Gradient(value=True),), wide)[0], "kernel"
    ).source
    compile(source, "<kernel>", "exec")
    found = expectation(program)
    assert found is not None, "no point suits the formula"
    point, values, slopes = found
    results = kernel(*(point[name] for name in program.inputs))
    results = results if isinstance(results, tuple) else (results,)
    count = len(program.outputs)
    for got, expected in zip(results, values, strict=False):
        assert_close(got, expected, 1.0)
    scale = max(map(abs, slopes), default=0.0)
    for got, expected in zip(results[count:], slopes, strict=True):
        assert_close(got, expected, scale)


@pytest.mark.parametrize("formula", COMPILED, ids=lambda formula: formula.id)
def test_compiled_formula(formula: object) -> None:
    f = sg.compile(formula.text)
    point, values, slopes = expectation(f.program)
    value, gradient = sg.value_and_grad(f)(**point)
    for got, expected in zip(np.atleast_1d(value), values, strict=True):
        assert_close(float(got), expected, 1.0)
    scale = max(map(abs, slopes), default=0.0)
    for got, expected in zip(gradient, slopes, strict=True):
        assert_close(float(got), expected, scale)


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.id)
def test_hostile_text(case: object) -> None:
    try:
        program = parse(case.text)
    except SymgradError:
        assert case.expectation == "error"
        return
    assert case.expectation == "ok"
    scalars = Variant((0,) * len(program.inputs))
    for transforms in ((), (Gradient(value=True),)):
        try:
            graph, _ = build_graph(program, transforms, scalars)
        except SymgradError:
            return
        function = print_function(graph, "kernel")
        if len(function.source) > LARGEST:
            continue
        kernel = load(function)
        for start in itertools.islice(STARTS, 2):
            arguments = [start[k % len(start)] for k in range(len(program.inputs))]
            results = kernel(*arguments)
            results = results if isinstance(results, tuple) else (results,)
            assert all(isinstance(float(r), float) for r in results)
    assert TRACE not in os.environ
