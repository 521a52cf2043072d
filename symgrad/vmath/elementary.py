"""Elementary functions."""

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np

#: Primitives that are a function of `math` or NumPy, which Numba calls without a wrapper.
DIRECT = {
    "absolute": "math.fabs",
    "ceil": "np.ceil",
    "floor": "np.floor",
    "gamma": "math.gamma",
    "lgamma": "math.lgamma",
    "round_half_even": "np.rint",
    "sqrt": "math.sqrt",
    "trunc": "np.trunc",
}


def modulo(x: float, y: float) -> float:
    """Return x - y*floor(x/y), with the sign of y, as np.mod."""
    r = np.fmod(x, y)
    if r == 0.0:
        return math.copysign(0.0, y)
    return r + y if (r < 0.0) != (y < 0.0) else r


def sinc_derivative(n: float, x: float) -> float:
    """Return the n-th derivative of sin(x)/x from x*s(n) + n*s(n-1) = sin(x + n*pi/2)."""
    if not (n >= 0.0 and n <= 20.0 and n == np.floor(n)) or x != x:
        return math.nan
    y = 1.0 * x
    if math.fabs(y) == math.inf:
        return 0.0
    order = int(n)
    s = math.sin(y)
    c = math.cos(y)
    if math.fabs(y) > n + 0.5:
        # Upward, stable for |x| > n.
        value = s / y
        for k in range(1, order + 1):
            s, c = c, -s
            value = (s - k * value) / y
        return value
    # Downward, stable for |x| < n, from an order where the start no longer matters.
    top = order
    weight = 1.0
    while weight > 1e-18 * math.fabs(y):
        top += 1
        weight *= math.fabs(y) / top
    quarter = (top + 1) % 4
    if quarter == 1:
        s, c = c, -s
    elif quarter == 2:
        s, c = -s, -c
    elif quarter == 3:
        s, c = -c, s
    value = 0.0
    for k in range(top + 1, order, -1):
        value = (s - y * value) / k
        s, c = -c, s
    return value
