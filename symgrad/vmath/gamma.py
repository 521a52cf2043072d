"""Logarithmic derivatives of the gamma function."""

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np


def digamma(x: float) -> float:
    """Return psi(x): DLMF 5.5.4, 5.5.2 to [1, 2], a polynomial there; 5.11.2 above 10."""
    y = 1.0 * x
    shift = 0.0
    if y <= 0.0:
        r = y - np.rint(y)
        if r == 0.0:
            return -1.0 / y if y == 0.0 else math.nan
        shift = -math.pi / math.tan(math.pi * r)
        y = 1.0 - y
    if y >= 10.0:
        u = (1.0 / y) * (1.0 / y)
        p = 3.0539543302701198
        p = -0.4432598039215686 + u * p
        p = 0.08333333333333333 + u * p
        p = -0.021092796092796094 + u * p
        p = 0.007575757575757576 + u * p
        p = -0.004166666666666667 + u * p
        p = 0.003968253968253968 + u * p
        p = -0.008333333333333333 + u * p
        p = 0.08333333333333333 + u * p
        return shift + (math.log(y) - 0.5 / y - u * p)
    if y < 1.0:
        shift = -1.0 / y
        y += 1.0
    total = 0.0
    while y > 2.0:
        y -= 1.0
        total += 1.0 / y
    t = y - 1.5
    p = 0.00011881232908510335
    p = -0.0001782188548855923 + t * p
    p = 9.653646261410062e-05 + t * p
    p = -0.00014480643368061614 + t * p
    p = 0.00032395945401345196 + t * p
    p = -0.00048595039220036254 + t * p
    p = 0.0006909255761282986 + t * p
    p = -0.0010364584817312839 + t * p
    p = 0.0015633696313653504 + t * p
    p = -0.0023454947397380833 + t * p
    p = 0.003518106563802472 + t * p
    p = -0.005279937255532708 + t * p
    p = 0.007927021796868154 + t * p
    p = -0.011908220105959716 + t * p
    p = 0.017907248317313294 + t * p
    p = -0.026975796659787055 + t * p
    p = 0.040760833940846085 + t * p
    p = -0.06192213327548831 + t * p
    p = 0.09498872445289039 + t * p
    p = -0.14840492305388092 + t * p
    p = 0.24054248424078697 + t * p
    p = -0.4236274212814606 + t * p
    p = 0.9510558760318328 + t * p
    return shift + (total + ((y - 1.4616321449683622) - 9.549995429965697e-17) * p)


def _hurwitz_zeta(s: float, x: float) -> float:
    """Return the sum of (x + k)**-s over k >= 0: Euler-Maclaurin, DLMF 2.10.1."""
    y = 1.0 * x
    error = 0.0  # x + k = y + error
    total = 0.0
    k = 0.0
    while y < 8.0 + 1.6 * s:
        inverse = 1.0 / y
        term = inverse * inverse if s == 2.0 else math.pow(y, -s)
        if term == math.inf:
            return term
        total += term - s * error * inverse * term
        k += 1.0
        y = x + k
        error = (x - (y - k)) + (k - (y - (y - k)))
        if term * y < 1e-18 * total * (s - 1.0):
            return total
    u = (1.0 / y) * (1.0 / y)
    p = 5.5090028283602295e-18
    p = -2.174868698558062e-16 + (s + 19.0) * (s + 20.0) * u * p
    p = 8.586062056277845e-15 + (s + 17.0) * (s + 18.0) * u * p
    p = -3.3896802963225827e-13 + (s + 15.0) * (s + 16.0) * u * p
    p = 1.3382536530684679e-11 + (s + 13.0) * (s + 14.0) * u * p
    p = -5.284190138687493e-10 + (s + 11.0) * (s + 12.0) * u * p
    p = 2.08767569878681e-08 + (s + 9.0) * (s + 10.0) * u * p
    p = -8.267195767195768e-07 + (s + 7.0) * (s + 8.0) * u * p
    p = 3.306878306878307e-05 + (s + 5.0) * (s + 6.0) * u * p
    p = -0.001388888888888889 + (s + 3.0) * (s + 4.0) * u * p
    p = 0.08333333333333333 + (s + 1.0) * (s + 2.0) * u * p
    tail = math.pow(y, 1.0 - s) / (s - 1.0)
    tail += math.pow(y, -s) * ((0.5 + s / y * p) - error * (1.0 + 0.5 * s / y))
    return total + tail


def polygamma(n: float, x: float) -> float:
    """Return the n-th derivative of psi: DLMF 25.11.12, and 5.15.6 for negative x."""
    if n == 0.0:
        return digamma(x)
    if not (n > 0.0 and n <= 20.0 and n == np.floor(n)):
        return math.nan
    y = 1.0 * x
    s = n + 1.0
    odd = n != 2.0 * np.floor(0.5 * n)
    if y > 0.0:
        value = _hurwitz_zeta(s, y)
    else:
        r = y - np.rint(y)
        if r == 0.0:
            if odd:
                return math.inf
            return -1.0 / y if y == 0.0 else math.nan
        above = _hurwitz_zeta(s, r if r > 0.0 else 1.0 + r)
        below = _hurwitz_zeta(s, 1.0 - r if r > 0.0 else -r) - _hurwitz_zeta(s, 1.0 - y)
        value = above + below if odd else above - below
    for k in range(2, int(n) + 1):
        value *= k
    return value if odd else -value
