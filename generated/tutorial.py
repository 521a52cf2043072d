"""Kernels of f(x, y) = y*log(x) + sin(y)

forward: 4 operations at each point
gradient: 7 operations at each point

Written by symgrad 0.1.0. Change the formula, not this file.
"""

import math

import numba
import numpy as np

cos = math.cos
log = math.log
sin = math.sin

number = numba.float64


@numba.njit([(number, number)], error_model="numpy", nogil=True, cache=True)
def forward(x, y):
    # f(x, y) = y*log(x) + sin(y)
    f = y*log(x) + sin(y)
    return f


@numba.njit([(number, number)], error_model="numpy", nogil=True, cache=True)
def gradient(x, y):
    # f(x, y) = y*log(x) + sin(y)
    t = log(x)
    f = y*t + sin(y)
    # derivatives of f(x, y) = y*log(x) + sin(y)
    x_bar = y/x
    y_bar = cos(y) + t
    return f, x_bar, y_bar


# Values computed with 50 digits, independently of the kernels:
# (kernel, inputs, outputs).
GOLDEN = (
    ("forward", (2.0, 3.0), (2.220561549739703,)),
    ("gradient", (2.0, 3.0), (2.220561549739703, 1.5, -0.29684531604050013)),
)
TOLERANCE = 1e-12
# kernel: function, which inputs are arrays, number of extents, place of each output
# (returned if not negative, else in the arrays).
KERNELS = {
    "forward": (forward, (False, False), 0, (0,)),
    "gradient": (gradient, (False, False), 0, (0, 1, 2)),
}


def verify():
    """Return the largest error against the golden values, relative to max(1, |value|)."""
    worst = 0.0
    for kernel, inputs, expected in GOLDEN:
        for got, want in zip(call(kernel, inputs), expected):
            error = abs(got - want) / max(1.0, abs(want))
            # A NaN compares false with everything, so it must not pass as the least error.
            worst = max(worst, error) if error == error else math.inf
    return worst


def call(kernel, inputs):
    """Return the outputs of a kernel at one point as a tuple of numbers."""
    function, is_array, extents, order = KERNELS[kernel]
    written = [np.empty(1) for place in order if place < 0]
    arguments = [np.array([x]) if array else x for x, array in zip(inputs, is_array)]
    returned = function(*[1] * extents, *arguments, *written)
    if not isinstance(returned, tuple):
        returned = () if returned is None else (returned,)
    return tuple(returned[k] if k >= 0 else written[-1 - k][0] for k in order)


if __name__ == "__main__":
    error = verify()
    print(f"{len(GOLDEN)} golden values of {', '.join(KERNELS)}: largest error {error:.1e}")
    raise SystemExit(int(not error <= TOLERANCE))
