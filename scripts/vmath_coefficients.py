"""Print the polynomials of symgrad.vmath as Python source, computed with mpmath.

Every polynomial interpolates its function at the Chebyshev nodes of its interval in 60
digits and is then rounded to doubles. Usage: `python scripts/vmath_coefficients.py [name]`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import mpmath as mp

mp.mp.dps = 60
_TINY = mp.mpf(10) ** -9


def interpolate(f: Callable[[Any], Any], a: Any, b: Any, centre: Any, terms: int) -> list[Any]:
    """Return coefficients in powers of x - centre, lowest first."""
    a, b = mp.mpf(a), mp.mpf(b)
    nodes = [
        (a + b) / 2 + (b - a) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * terms))
        for k in range(terms)
    ]
    table = [f(x) for x in nodes]
    for step in range(1, terms):
        for k in range(terms - 1, step - 1, -1):
            table[k] = (table[k] - table[k - 1]) / (nodes[k] - nodes[k - step])
    poly = [mp.mpf(0)]
    for k in range(terms - 1, -1, -1):
        shift = nodes[k] - centre
        poly = [
            (poly[i - 1] if i else 0) - shift * (poly[i] if i < len(poly) else 0)
            for i in range(len(poly) + 1)
        ]
        poly[0] += table[k]
    return poly[:terms]


def split(x: Any) -> tuple[float, float]:
    """Return x as the sum of two doubles."""
    high = float(x)
    return high, float(x - mp.mpf(high))


def show(title: str, poly: list[Any], variable: str = "t", result: str = "p") -> None:
    """Print Horner's scheme, one coefficient on each line."""
    print(f"    # {title}")
    values = [float(c) for c in poly]
    print(f"    {result} = {values[-1]!r}")
    for c in values[-2::-1]:
        print(f"    {result} = {c!r} + {variable} * {result}")


def hankel(order: int, x: Any) -> tuple[Any, Any]:
    """Return P and Q of DLMF 10.17.3 from J and Y."""
    j, y = mp.besselj(order, x), mp.bessely(order, x)
    angle, scale = x - (2 * order + 1) * mp.pi / 4, mp.sqrt(mp.pi * x / 2)
    c, s = mp.cos(angle), mp.sin(angle)
    return scale * (j * c + y * s), scale * (y * c - j * s)


def bessel(order: int, first: float, edges: list[float], centres: list[float]) -> None:
    """Print the pieces of J0 or J1."""
    show(
        f"J{order}(x)/x**{order} on [0, {first}] in u = x*x",
        interpolate(
            lambda u: mp.besselj(order, mp.sqrt(u)) / mp.sqrt(u) ** order,
            mp.mpf(10) ** -30,
            mp.mpf(first) ** 2,
            0,
            10,
        ),
        "u",
    )
    for k, centre in enumerate(centres):
        zero = mp.besseljzero(order, k + 1)
        low, high = edges[k], edges[k + 1]

        def quotient(x: Any, zero: Any = zero) -> Any:
            return mp.besselj(order, x) / (x - zero)

        terms = 17 if k or order else 15
        show(
            f"J{order}(x)/(x - z) on [{low}, {high}], t = x - {centre}, z = {split(zero)}",
            interpolate(quotient, low, high, centre, terms),
        )
    cut = edges[-1]
    show(
        f"P on [{cut}, inf), u = ({cut}/x)**2",
        interpolate(lambda u: hankel(order, cut / mp.sqrt(u))[0], _TINY, 1, 0, 12),
        "u",
    )
    show(
        f"x*Q on [{cut}, inf)",
        interpolate(
            lambda u: hankel(order, cut / mp.sqrt(u))[1] * cut / mp.sqrt(u), _TINY, 1, 0, 13
        ),
        "u",
        "q",
    )


def digamma() -> None:
    """Print the quotient of digamma by its root on [1, 2] and the asymptotic series."""
    root = mp.findroot(mp.digamma, mp.mpf("1.46"))
    show(
        f"digamma(x)/(x - root) on [1, 2], t = x - 1.5, root = {split(root)}",
        interpolate(lambda x: mp.digamma(x) / (x - root), 1, 2, mp.mpf("1.5"), 23),
    )
    show(
        "DLMF 5.11.2: B(2k)/(2k)",
        [mp.bernoulli(2 * k) / (2 * k) for k in range(1, 10)],
        "u",
    )


def hurwitz() -> None:
    """Print the coefficients of the Euler-Maclaurin formula."""
    for k in range(1, 12):
        value = mp.bernoulli(2 * k) / mp.factorial(2 * k)
        print(f"    # B({2 * k})/({2 * k})! = {float(value)!r}")


def rounded(poly: list[Any], single: bool = False) -> list[float]:
    """Return the coefficients as doubles, or as doubles that hold float32 numbers."""
    if not single:
        return [float(c) for c in poly]
    with mp.workprec(24):
        return [float(+c) for c in poly]


def exponentials() -> dict[str, list[float]]:
    """Return the polynomials and constants of exponentials, logarithms and their kin."""
    ln2, ln10 = mp.log(2), mp.log(10)
    half = ln2 / 2 * mp.mpf("1.0001")
    square, tiny = half**2, mp.mpf(10) ** -40
    silver = (mp.sqrt(2) - 1) ** 4

    def slope(r: Any) -> Any:
        return mp.expm1(r) / r

    def slope2(r: Any) -> Any:
        return mp.expm1(r * ln2) / r

    def bend(r: Any) -> Any:
        return (mp.expm1(r) - r - r**2 / 2) / r**3

    def odd(z: Any) -> Any:
        r = mp.sqrt(z)
        return (mp.sinh(r) - r) / r**3

    def even(z: Any) -> Any:
        return (mp.cosh(mp.sqrt(z)) - 1) / z

    def tail(z: Any) -> Any:
        s = mp.sqrt(z)
        return 2 * (mp.atanh(s) - s) / s**3

    def tail2(z: Any) -> Any:
        s = mp.sqrt(z)
        return (2 * (mp.atanh(s) - s) / s**3 - mp.mpf(2) / 3) / z

    def double(f: Callable[[Any], Any], a: Any, b: Any, terms: int) -> list[float]:
        return rounded(interpolate(f, a, b, 0, terms))

    def single(f: Callable[[Any], Any], a: Any, b: Any, terms: int) -> list[float]:
        return rounded(interpolate(f, a, b, 0, terms), single=True)

    def pieces(x: Any, bits: int) -> list[float]:
        """Return x as a short number and the rest."""
        with mp.workprec(bits):
            high = +x
        return [float(high), float(x - high)]

    def pair(x: Any) -> list[float]:
        high = rounded([x], single=True)[0]
        return [high, *rounded([x - high], single=True)]

    def short(x: Any, bits: int) -> list[float]:
        with mp.workprec(bits):
            high = +x
        return [float(high), *rounded([x - high], single=True)]

    mp.mp.dps = 90
    tables = {
        "exp": double(slope, -half, 1.001 * half, 11),
        "exp2": double(slope2, -mp.mpf("0.5"), mp.mpf("0.501"), 11),
        "expm1": double(bend, -half, 1.001 * half, 10),
        "sinh": double(odd, tiny, square, 5),
        "cosh": double(even, tiny, square, 6),
        "log": double(tail, tiny, silver, 7),
        "atanh": double(tail, tiny, mp.mpf("0.0415"), 8),
        "power": double(tail2, tiny, silver, 8),
        "cbrt": double(lambda a: a ** (-mp.mpf(1) / 3), 1 / mp.sqrt(2), mp.sqrt(2), 6),
        "thirds": [float(mp.mpf(2) ** (-mp.mpf(1) / 3)), float(mp.mpf(2) ** (mp.mpf(1) / 3))],
        "ln2": list(split(ln2)),
        "ln2 short": pieces(ln2, 38),
        "log10(2) short": pieces(ln2 / ln10, 38),
        "1/ln2": list(split(1 / ln2)),
        "sqrt(2)": [float(mp.sqrt(2))],
        "sqrt(2)f": rounded([mp.sqrt(2)], single=True),
        "1/ln10": list(split(1 / ln10)),
        "powerf log": double(tail, tiny, silver, 5),
        "powerf exp2": double(slope2, -mp.mpf("0.5"), mp.mpf("0.501"), 8),
        "2/3": list(split(mp.mpf(2) / 3)),
        "expf": single(slope, -half, 1.001 * half, 6),
        "exp2f": single(slope2, -mp.mpf("0.5"), mp.mpf("0.501"), 6),
        "expm1f": single(bend, -half, 1.001 * half, 5),
        "sinhf": single(odd, tiny, square, 3),
        "coshf": single(even, tiny, square, 3),
        "logf": single(tail, tiny, silver, 3),
        "ln2f": pair(ln2),
        "ln2f short": short(ln2, 14),
        "log10(2)f short": short(ln2 / ln10, 14),
        "1/ln2f": pair(1 / ln2),
        "1/ln10f": pair(1 / ln10),
    }
    mp.mp.dps = 60
    return tables


def show_exponentials() -> None:
    """Print the polynomials of `exponentials`, lowest power first."""
    for name, values in exponentials().items():
        print(f"    # {name}")
        for value in values:
            print(f"    {value!r}")


def minimax(
    f: Callable[[Any], Any], weight: Callable[[Any], Any], a: Any, b: Any, terms: int
) -> list[Any]:
    """Return the polynomial with the least weighted error on [a, b], lowest power first.

    The exchange of Remez on a fixed grid of Chebyshev nodes.
    """
    a, b, count = mp.mpf(a), mp.mpf(b), 20 * terms
    nodes = [mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    grid = [(a + b) / 2 - (b - a) / 2 * node for node in nodes]
    values, weights = [f(x) for x in grid], [weight(x) for x in grid]
    chosen = [count * (2 * k + 1) // (2 * terms + 2) for k in range(terms + 1)]
    for _ in range(60):
        rows = [[grid[k] ** j for j in range(terms)] for k in chosen]
        for i, k in enumerate(chosen):
            rows[i].append((-1) ** i / weights[k])
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([values[k] for k in chosen]))
        poly = [solution[j] for j in range(terms)]
        errors = [
            w * (mp.polyval(poly[::-1], x) - v)
            for x, v, w in zip(grid, values, weights, strict=True)
        ]
        extrema = _alternating(errors, terms + 1)
        worst = max(abs(e) for e in errors)
        if extrema == chosen or worst <= abs(solution[terms]) * mp.mpf("1.0001"):
            return poly
        chosen = extrema
    raise ValueError("the exchange does not converge")


def _alternating(errors: list[Any], count: int) -> list[int]:
    """Return the places of count extrema with alternating signs."""
    found = [0]
    for k, e in enumerate(errors):
        if (e > 0) != (errors[found[-1]] > 0):
            found.append(k)
        elif abs(e) > abs(errors[found[-1]]):
            found[-1] = k
    size = [abs(e) for e in errors]
    while len(found) > count:
        if len(found) == count + 1:
            found.pop(0 if size[found[0]] < size[found[-1]] else -1)
        else:
            least = min(
                range(len(found) - 1), key=lambda k: max(size[found[k]], size[found[k + 1]])
            )
            del found[least : least + 2]
    return found


def _unit(_: Any) -> Any:
    return mp.mpf(1)


def _odd_tail(f: Callable[[Any], Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return (f(x) - x)/x**3 as a function of x*x, and its weight in the error of f."""

    def tail(z: Any) -> Any:
        x = mp.sqrt(z)
        return (f(x) - x) / (x * z)

    return tail, lambda z: z * mp.sqrt(z) / f(mp.sqrt(z))


def _cosine_tail(z: Any) -> Any:
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def _exp_remainder(x: Any) -> Any:
    return (mp.exp(x) - 1 - x) / (x * x)


def _scaled_erfc(y: Any) -> Any:
    """Return exp(a*a)*erfc(a) with a = 1/y - 3."""
    a = 1 / y - 3
    return mp.exp(a * a) * mp.erfc(a)


def _scaled_erfc_slope(y: Any) -> Any:
    """Return the derivative of log(exp(a*a)*erfc(a)) by log(y), a = 1/y - 3."""
    return 2 / y * (1 / (mp.sqrt(mp.pi) * _scaled_erfc(y)) - 1 / y + 3)


def erfc_centre(bits: int) -> tuple[float, float]:
    """Return y near 1/8 where exp(a*a)*erfc(a)/y, a = 1/y - 3, is almost a float; its value."""

    def distance(y: Any) -> Any:
        exact = _scaled_erfc(y) / y
        with mp.workprec(bits):
            near = +exact
        return abs(near - exact)

    best = min((mp.mpf(k) / 1024 for k in range(100, 156)), key=distance)
    return float(best), parts(_scaled_erfc(best) / best, 1, bits)[0]


def erfc_tangent(y: float, bits: int) -> float:
    """Return the derivative of exp(a*a)*erfc(a)/y, a = 1/y - 3."""
    a, f = 1 / mp.mpf(y) - 3, _scaled_erfc(mp.mpf(y))
    return parts(-((2 * a * f - 2 / mp.sqrt(mp.pi)) / y + f) / mp.mpf(y) ** 2, 1, bits)[0]


def _survival(x: Any) -> Any:
    """Return -log(erfc(x))/x less its value at 0, over x."""
    return (-mp.log(mp.erfc(x)) / x - 2 / mp.sqrt(mp.pi)) / x


def _survival_weight(x: Any) -> Any:
    return x * x * mp.erfc(x) / mp.erf(x)


def _fits() -> dict[str, tuple[Any, Any, Any, Any, int]]:
    """Return function, weight, interval and terms of the helpers that are minimax fits."""
    # A little more than the ranges of the reductions, which round.
    angle = (mp.pi / 4 * mp.mpf("1.000001")) ** 2
    half_log = mp.log(2) / 2 * mp.mpf("1.000001")
    low = mp.mpf(10) ** -12
    sine, arctangent, arcsine = _odd_tail(mp.sin), _odd_tail(mp.atan), _odd_tail(mp.asin)

    def square(x: Any) -> Any:
        return x * x

    def shifted(z: Any) -> Any:
        return arctangent[0](z + mp.mpf(1) / 2)

    def shifted_weight(z: Any) -> Any:
        return arctangent[1](z + mp.mpf(1) / 2)

    fits: dict[str, tuple[Any, Any, Any, Any, int]] = {}
    for f, terms in (("", (6, 6, 20, 13, 10)), ("f", (3, 4, 9, 5, 5))):
        fits["_sine_tail" + f] = (*sine, low, angle, terms[0])
        fits["_cosine_tail" + f] = (_cosine_tail, square, low, angle, terms[1])
        half = mp.mpf(1) / 2
        fits["_atan_tail" + f] = (shifted, shifted_weight, low - half, half, terms[2])
        fits["_asin_tail" + f] = (*arcsine, low, 0.25, terms[3])
        fits["_exponential_tail" + f] = (
            _exp_remainder,
            square,
            -half_log,
            half_log,
            terms[4],
        )
    for f, terms_of_root in (("", 3), ("f", 2)):
        fits["_inverse_root_tail" + f] = (
            lambda h: (1 / mp.sqrt(1 - h) - 1) / h,
            _unit,
            mp.mpf("-0.0692"),
            mp.mpf("0.0676"),
            terms_of_root,
        )
    fits["_tanh_tailf"] = (*_odd_tail(mp.tanh), low, mp.mpf("0.625") ** 2, 5)
    logarithm = _odd_tail(lambda r: 2 * mp.atanh(r / 2))
    for f, length in (("", 10), ("f", 4)):
        fits["_softplus_tail" + f] = (*logarithm, low, mp.mpf("0.44445"), length)
    for f, most, last, lengths in (("", 6, "27.4", (24, 22)), ("f", 4, "10.3", (9, 9))):
        left, right = 1 / (mp.mpf(last) + 3), mp.mpf(1) / 3
        fits["_survival_tail" + f] = (
            _survival,
            _survival_weight,
            mp.mpf(10) ** -9,
            most,
            lengths[0],
        )
        centre, value = map(mp.mpf, erfc_centre(24 if f else 53))

        tangent = mp.mpf(erfc_tangent(float(centre), 24 if f else 53))

        def bend(z: Any, c: Any = centre, value: Any = value, slope: Any = tangent) -> Any:
            return ((_scaled_erfc(c + z) / (c + z) - value) / z - slope) / z

        def bend_weight(z: Any, centre: Any = centre) -> Any:
            return z * z * (centre + z) / _scaled_erfc(centre + z)

        fits["_scaled_erfc_bend" + f] = (
            bend,
            bend_weight,
            left - centre,
            right - centre,
            lengths[1],
        )
        slope = (_scaled_erfc_slope, _unit, left, right)
        fits["_scaled_erfc_slope" + f] = (*slope, 4)
    return fits


def fitted(name: str) -> list[float]:
    """Return the coefficients of a helper, highest power first."""
    return [float(c) for c in reversed(minimax(*_fits()[name]))]


def helper_source(name: str) -> str:
    """Return a helper of vmath that evaluates a minimax polynomial by Horner's scheme.

    Where all is well conditioned, even and odd powers apart: shorter chains of operations.
    """
    values = fitted(name)
    fused = "fmaf" if name.endswith("f") else "fma"

    def chain(variable: str, factor: str, part: list[float]) -> list[str]:
        steps = [f"    {variable} = {fused}({variable}, {factor}, {c!r})" for c in part[1:]]
        return [f"    {variable} = {part[0]!r}", *steps]

    lines, last = chain("p", "z", values)[:-1], f"    return {fused}(p, z, {values[-1]!r})"
    if name in ("_exponential_tail", "_scaled_erfc_bend", "_softplus_tail", "_survival_tail"):
        odd, even = values[-2::-2][::-1], values[-1::-2][::-1]
        lines = ["    w = z * z", *chain("q", "w", odd), *chain("p", "w", even)]
        last = f"    return {fused}(q, z, p)"
    return "\n".join([f"def {name}(z: float) -> float:", *lines, last]) + "\n"


def two_over_pi() -> list[int]:
    """Return 2/pi in digits of 27 bits, after two zeros, for the reduction of Payne-Hanek."""
    with mp.workprec(1500):
        whole = int(mp.floor(2 / mp.pi * mp.mpf(2) ** (27 * 46)))
    return [0, 0, *((whole >> (27 * k)) & (2**27 - 1) for k in range(45, -1, -1))]


def parts(x: Any, count: int, bits: int = 53, first: str = "n") -> list[float]:
    """Return x as a sum of floating point numbers; `first` is the rounding of the first."""
    found: list[float] = []
    for _ in range(count):
        part = mp.mpf(x, prec=bits, rounding="n" if found else first)
        found.append(float(part))
        x -= part
    return found


def constants() -> dict[str, list[float]]:
    """Return the constants of the reductions and of the error function."""
    with mp.workdps(100):
        table = {
            "pi/2": (mp.pi / 2, 3),
            "log(2)": (mp.log(2), 2),
            "2/sqrt(pi)": (2 / mp.sqrt(mp.pi), 2),
            "1/sqrt(2)": (1 / mp.sqrt(2), 2),
            "1/sqrt(2*pi)": (1 / mp.sqrt(2 * mp.pi), 2),
        }
        return {
            name + end: parts(+x, count, bits, "d" if name == "pi/2" else "n")
            for name, (x, count) in table.items()
            for end, bits in (("", 53), (" in float32", 24))
        }


def fits_and_tables() -> None:
    """Print what the trigonometric functions, their inverses, erf and erfc use."""
    for name in _fits():
        print(helper_source(name))
    print(f"# 2/pi: {two_over_pi()}")
    for name, values in constants().items():
        print(f"# {name}: {values}")
    for bits in (53, 24):
        y, value = erfc_centre(bits)
        print(f"# centre of erfc: {y}, {value}, {erfc_tangent(y, bits)}")


_SECTIONS: dict[str, Callable[[], None]] = {
    "besselj0": lambda: bessel(0, 1.5, [1.5, 4.0, 7.0, 10.25], [2.75, 5.5, 8.625]),
    "besselj1": lambda: bessel(1, 2.0, [2.0, 5.5, 8.5, 11.75], [3.75, 7.0, 10.125]),
    "digamma": digamma,
    "hurwitz": hurwitz,
    "trigonometric": fits_and_tables,
    "exponentials": show_exponentials,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or _SECTIONS:
        print(f"# {name}")
        _SECTIONS[name]()
