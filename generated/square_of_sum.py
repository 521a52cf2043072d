"""Kernels of u = x + y; z = u**2

forward: 2 operations at each point
gradient: 3 operations at each point

Written by symgrad 0.1.0. Change the formula, not this file.
"""

import math

import numba
import numpy as np

number = numba.float64


@numba.njit([(number, number)], error_model="numpy", nogil=True, cache=True)
def forward(x, y):
    # u = x + y
    u = x + y
    # z = u**2
    z = u*u
    return z


@numba.njit([(number, number)], error_model="numpy", nogil=True, cache=True)
def gradient(x, y):
    # u = x + y
    u = x + y
    # z = u**2
    z = u*u
    # derivatives of z = u**2
    u_bar = 2.0*u
    return z, u_bar, u_bar, u_bar


# Values computed with 50 digits, independently of the kernels:
# (kernel, inputs, outputs).
GOLDEN = (
    ("forward", (2.0, 3.0), (25.0,)),
    ("gradient", (2.0, 3.0), (25.0, 10.0, 10.0, 10.0)),
)
TOLERANCE = 1e-12
# kernel: function, which inputs are arrays, number of extents, place of each output
# (returned if not negative, else in the arrays).
KERNELS = {
    "forward": (forward, (False, False), 0, (0,)),
    "gradient": (gradient, (False, False), 0, (0, 1, 2, 3)),
}


def verify():
    """Return the largest error against the golden values, relative to max(1, |value|)."""
    worst = 0.0
    for kernel, inputs, expected in GOLDEN:
        for got, want in zip(call(kernel, inputs), expected):
            if got == want or (got != got and want != want):
                continue
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
