"""Kernels of

    # Energy of two charged atoms; minus its gradient is the force.
    # J. E. Lennard-Jones, Proc. Phys. Soc. 43 (1931) 461, with Coulomb's law.
    r2 = (x1 - x2)**2 + (y1 - y2)**2 + (z1 - z2)**2
    s6 = (sigma**2/r2)**3
    lj = 4*epsilon*(s6**2 - s6)
    coulomb = k*q1*q2/sqrt(r2)
    energy(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2) = lj + coulomb

forward: 20 operations at each point
gradient: 51 operations at each point

Written by symgrad 0.1.0. Change the formula, not this file.
"""

import math

import numba
import numpy as np

sqrt = math.sqrt


@numba.extending.intrinsic
def fma(context, a, b, c):
    """Return a*b + c, rounded once, in float64."""

    def generate(target, builder, signature, arguments):
        return builder.fma(*arguments)

    return numba.float64(numba.float64, numba.float64, numba.float64), generate

number = numba.float64


@numba.njit(
    [(number, number, number, number, number, number, number, number, number, number,
      number)],
    error_model="numpy", nogil=True, cache=True,
)
def forward(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2):
    # r2 = (x1 - x2)**2 + (y1 - y2)**2 + (z1 - z2)**2
    t = x1 - x2
    t1 = y1 - y2
    t2 = z1 - z2
    r2 = fma(t2, t2, t*t + t1*t1)
    # s6 = (sigma**2/r2)**3
    t3 = sigma*sigma/r2
    s6 = t3*t3*t3
    # lj = 4*epsilon*(s6**2 - s6)
    lj = 4.0*epsilon*fma(s6, s6, -s6)
    # coulomb = k*q1*q2/sqrt(r2)
    coulomb = k*q1*q2/sqrt(r2)
    # energy(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2) = lj + coulomb
    energy = lj + coulomb
    return energy


@numba.njit(
    [(number, number, number, number, number, number, number, number, number, number,
      number)],
    error_model="numpy", nogil=True, cache=True,
)
def gradient(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2):
    # r2 = (x1 - x2)**2 + (y1 - y2)**2 + (z1 - z2)**2
    t = x1 - x2
    t1 = y1 - y2
    t2 = z1 - z2
    r2 = fma(t2, t2, t*t + t1*t1)
    # s6 = (sigma**2/r2)**3
    t3 = sigma*sigma/r2
    s6 = t3*t3*t3
    # lj = 4*epsilon*(s6**2 - s6)
    t4 = 4.0*epsilon
    t5 = fma(s6, s6, -s6)
    lj = t4*t5
    # coulomb = k*q1*q2/sqrt(r2)
    t6 = k*q1
    t7 = sqrt(r2)
    t8 = t6*q2/t7
    coulomb = t8
    # energy(x1, y1, z1, x2, y2, z2, epsilon, sigma, k, q1, q2) = lj + coulomb
    energy = lj + coulomb
    # derivatives of coulomb = k*q1*q2/sqrt(r2)
    t9 = 1.0/t7
    t10 = t9*q2
    q2_bar = t9*t6
    k_bar = t10*q1
    q1_bar = t10*k
    # derivatives of s6 = (sigma**2/r2)**3
    s6_bar = -4.0*epsilon + t4*(2.0*s6)
    # derivatives of lj = 4*epsilon*(s6**2 - s6)
    epsilon_bar = 4.0*t5
    # derivatives of s6 = (sigma**2/r2)**3
    t11 = s6_bar*(3.0*(t3*t3))/r2
    sigma_bar = t11*(2.0*sigma)
    # derivatives of r2 = (x1 - x2)**2 + (y1 - y2)**2 + (z1 - z2)**2
    r2_bar = fma(-t11, t3, -(t9*t8*(0.5*t9)))
    z1_bar = r2_bar*(2.0*t2)
    z2_bar = -z1_bar
    y1_bar = r2_bar*(2.0*t1)
    y2_bar = -y1_bar
    x1_bar = r2_bar*(2.0*t)
    x2_bar = -x1_bar
    return (
        energy, x1_bar, y1_bar, z1_bar, x2_bar, y2_bar, z2_bar, epsilon_bar, sigma_bar,
        k_bar, q1_bar, q2_bar
    )


# Values computed with 50 digits, independently of the kernels:
# (kernel, inputs, outputs).
GOLDEN = (
    ("forward", (0.0, 0.0, 0.0, 1.0, 0.5, 0.25, 0.2, 1.1, 1.5, 0.5, -0.25), (-0.29934992581358955,)),
    ("forward", (0.5, -1.0, 2.0, -1.5, 1.0, 0.0, 1.0, 3.0, 1.0, 1.0, 1.0), (-0.6869108029051871,)),
    ("gradient", (0.0, 0.0, 0.0, 1.0, 0.5, 0.25, 0.2, 1.1, 1.5, 0.5, -0.25), (-0.29934992581358955, 1.5002396388712331, 0.7501198194356166, 0.3750599097178083, -1.5002396388712331, -0.7501198194356166, -0.3750599097178083, -0.6784325406829763, 1.938843585177716, -0.1091089451179962, -0.3273268353539886, 0.6546536707079772)),
    ("gradient", (0.5, -1.0, 2.0, -1.5, 1.0, 0.0, 1.0, 3.0, 1.0, 1.0, 1.0), (-0.6869108029051871, 0.2155593525675312, -0.2155593525675312, 0.2155593525675312, -0.2155593525675312, 0.2155593525675312, -0.2155593525675312, -0.9755859375, -0.52734375, 0.28867513459481287, 0.28867513459481287, 0.28867513459481287)),
)
TOLERANCE = 1e-12
# kernel: function, which inputs are arrays, number of extents, place of each output
# (returned if not negative, else in the arrays).
KERNELS = {
    "forward": (forward, (False, False, False, False, False, False, False, False, False, False, False), 0, (0,)),
    "gradient": (gradient, (False, False, False, False, False, False, False, False, False, False, False), 0, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
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
