"""Elementary functions."""

from symgrad.vmath import ieee as math
from symgrad.vmath import ieee as np

#: Primitives that are a function of `math` or NumPy, which Numba calls without a wrapper.
DIRECT = {
    "absolute": "math.fabs",
    "acos": "math.acos",
    "acosh": "math.acosh",
    "asin": "math.asin",
    "asinh": "math.asinh",
    "atan": "math.atan",
    "atan2": "math.atan2",
    "atanh": "math.atanh",
    "ceil": "np.ceil",
    "cos": "math.cos",
    "cosh": "math.cosh",
    "erf": "math.erf",
    "erfc": "math.erfc",
    "exp": "math.exp",
    "exp2": "math.exp2",
    "expm1": "math.expm1",
    "floor": "np.floor",
    "gamma": "math.gamma",
    "hypot": "math.hypot",
    "lgamma": "math.lgamma",
    "log": "math.log",
    "log10": "math.log10",
    "log1p": "math.log1p",
    "log2": "math.log2",
    "power": "math.pow",
    "round_half_even": "np.rint",
    "sin": "math.sin",
    "sinh": "math.sinh",
    "sqrt": "math.sqrt",
    "tan": "math.tan",
    "tanh": "math.tanh",
    "trunc": "np.trunc",
}


def cot(x: float) -> float:
    """Return 1/tan(x); inf at 0."""
    return 1.0 / math.tan(x)


def sec(x: float) -> float:
    """Return 1/cos(x)."""
    return 1.0 / math.cos(x)


def csc(x: float) -> float:
    """Return 1/sin(x); inf at 0."""
    return 1.0 / math.sin(x)


def rsqrt(x: float) -> float:
    """Return 1/sqrt(x)."""
    return 1.0 / math.sqrt(x)


def cbrt(x: float) -> float:
    """Return the real cube root: the library's and one Newton step (Dekker's products)."""
    if not 0.0 < math.fabs(x) < math.inf:
        return 1.0 * x
    a, scale = 1.0 * x, 1.0
    if math.fabs(a) < 1e-250:
        a, scale = a * 2.0**900, 2.0**-300
    elif math.fabs(a) > 1e300:
        a, scale = a * 2.0**-300, 2.0**100
    y = np.cbrt(a)
    c = 134217729.0 * y
    y_high = c - (c - y)
    y_low = y - y_high
    square = y * y
    square_error = ((y_high * y_high - square) + 2.0 * y_high * y_low) + y_low * y_low
    c = 134217729.0 * square
    s_high = c - (c - square)
    s_low = square - s_high
    cube = square * y
    cube_error = (
        ((s_high * y_high - cube) + s_high * y_low + s_low * y_high) + s_low * y_low
    ) + square_error * y
    return scale * (y - ((cube - a) + cube_error) / (3.0 * square))


def integer_power(x: float, n: int) -> float:
    """Return x**n for a whole n by C's pow in double precision."""
    return math.pow(1.0 * x, 1.0 * n)


def sign(x: float) -> float:
    """Return -1.0, 0.0 or 1.0; NaN for NaN."""
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else 0.0 * x)


def modulo(x: float, y: float) -> float:
    """Return x - y*floor(x/y), with the sign of y, as np.mod."""
    r = np.fmod(x, y)
    if r == 0.0:
        return math.copysign(0.0, y)
    return r + y if (r < 0.0) != (y < 0.0) else r


def maximum(x: float, y: float) -> float:
    """Return the larger operand; NaN if one is NaN."""
    return x if x > y or x != x else y


def minimum(x: float, y: float) -> float:
    """Return the smaller operand; NaN if one is NaN."""
    return x if x < y or x != x else y


def heaviside(x: float) -> float:
    """Return 0.0 for negative x, 0.5 at zero, 1.0 for positive x; NaN for NaN."""
    return 1.0 if x > 0.0 else (0.0 if x < 0.0 else 0.5 + x)


def sinc(x: float) -> float:
    """Return sin(x)/x; 1 at 0, 0 at infinity."""
    if x == 0.0:
        return 1.0
    if math.fabs(x) == math.inf:
        return 0.0
    return math.sin(x) / x


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
