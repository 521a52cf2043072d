"""The peak of memory: value and gradient need inputs and outputs, and little more."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

POINTS = 10**7
MORE = 64 * 10**6

CHILD = """
import json, sys
import numpy as np, symgrad as sg

def kilobytes(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))

formula, how, points = json.loads(sys.argv[1])
both = sg.value_and_grad(sg.compile(formula))
step = 2 if how == "strided" else 1
few = [np.linspace(0.5, 1.5, 2000)[::step] for _ in both.inputs]
both(*few)
before = kilobytes("VmRSS") * 1024
arguments = [np.empty(points * step)[::step] for _ in both.inputs]
for k, argument in enumerate(arguments):
    argument.base.fill(0.5 + k) if step > 1 else argument.fill(0.5 + k)
inputs = sum(argument.nbytes * step for argument in arguments)
result = both.bind(*arguments)() if how == "bound" else both(*arguments)
value, gradient = result
outputs = sum(part.nbytes for part in (value, *gradient) if part.ndim)
# Not ru_maxrss, which a process inherits from the one that started it.
peak = kilobytes("VmHWM") * 1024
print(peak - before - inputs - outputs)
"""


def more_than_arrays(formula, how="called"):
    """Return the bytes at the peak beyond inputs and outputs, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps([formula, how, POINTS])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.mark.parametrize("how", ["called", "bound"])
@pytest.mark.parametrize("formula", ["y*log(x) + sin(y)", "mean((x - y)**2*exp(-x))"])
def test_ten_million_points(formula, how):
    assert more_than_arrays(formula, how) <= MORE


def test_the_measure_notices_a_copy():
    assert more_than_arrays("y*log(x) + sin(y)", "strided") >= POINTS * 8
