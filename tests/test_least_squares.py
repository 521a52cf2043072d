"""Fits of the Statistical Reference Datasets of NIST with `sg.jacobian`.

The data and the certified values are those of https://www.itl.nist.gov/div898/strd/nls/; the
files in tests/nist are NIST's, a work of the United States government in the public domain.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares

import symgrad as sg

MODELS = {
    "Hahn1": "(b1 + b2*x + b3*x**2 + b4*x**3)/(1 + b5*x + b6*x**2 + b7*x**3)",
    "MGH17": "b1 + b2*exp(-x*b4) + b3*exp(-x*b5)",
}


def dataset(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return second start, certified parameters, x and y of a file as NIST writes it."""
    lines = (Path(__file__).parent / "nist" / f"{name}.dat").read_text().splitlines()
    parameters = [line.split()[2:] for line in lines if line.startswith("  b")]
    first = max(k for k, line in enumerate(lines) if line.startswith("Data:")) + 1
    y, x = np.array([line.split() for line in lines[first:]], float).T
    table = np.array(parameters, float)
    return table[:, 1], table[:, 2], x, y


@pytest.mark.parametrize("name", MODELS)
def test_the_certified_parameters_are_reached_from_the_second_start(name: str) -> None:
    start, certified, x, y = dataset(name)
    parameters = [f"b{k + 1}" for k in range(len(start))]
    model = sg.compile(MODELS[name], inputs=["x", *parameters])
    slopes = sg.jacobian(model, wrt=parameters)
    fit = least_squares(
        lambda b: model(x, *b) - y,
        start,
        jac=lambda b: slopes(x, *b),
        method="lm",
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )
    assert slopes(x, *start).shape == (len(x), len(start))
    assert np.allclose(fit.x, certified, rtol=1e-6, atol=0)
