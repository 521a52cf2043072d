"""Functions of statistics and machine learning."""

from symgrad.vmath import ieee as math


def sigmoid(x: float) -> float:
    """Return 1/(1 + exp(-x))."""
    e = math.exp(-math.fabs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


def softplus(x: float) -> float:
    """Return log(1 + exp(x))."""
    return (x if x > 0.0 else 0.0) + math.log1p(math.exp(-math.fabs(x)))


def relu(x: float) -> float:
    """Return max(x, 0); NaN for NaN."""
    return x if x > 0.0 or x != x else 0.0


def silu(x: float) -> float:
    """Return x/(1 + exp(-x)); exp in two halves where it underflows before the product."""
    if x < -700.0:
        e = math.exp(0.5 * x)
        return x * e * e if x > -800.0 else -0.0
    e = math.exp(-math.fabs(x))
    return x * ((1.0 if x >= 0.0 else e) / (1.0 + e))


def gelu(x: float) -> float:
    """Return x*erfc(-x/sqrt(2))/2, the argument of erfc corrected to first order."""
    if x > 9.0:
        return 1.0 * x
    if x < -40.0:
        return -0.0
    z = -0.7071067811865476 * x
    c = 134217729.0 * x
    x1 = c - (c - x)
    x2 = x - x1
    # -1/sqrt(2) = a1 + a2 - 4.833646656726457e-17 with a1 + a2 the nearest double.
    a1, a2 = -0.7071067690849304, -1.2101617152815436e-08
    d = (((a1 * x1 - z) + a1 * x2 + a2 * x1) + a2 * x2) + 4.833646656726457e-17 * x
    return 0.5 * x * (math.erfc(z) - 1.1283791670955126 * math.exp(-z * z) * d)


def logaddexp(x: float, y: float) -> float:
    """Return log(exp(x) + exp(y))."""
    if x == y:
        return x + 0.6931471805599453
    return (x if x > y else y) + math.log1p(math.exp(-math.fabs(x - y)))


def xlogy(x: float, y: float) -> float:
    """Return x*log(y); 0 where x is 0 and y is not NaN."""
    return 0.0 if x == 0.0 and y == y else x * math.log(y)
