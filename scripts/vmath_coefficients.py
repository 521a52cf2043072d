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


_SECTIONS: dict[str, Callable[[], None]] = {
    "besselj0": lambda: bessel(0, 1.5, [1.5, 4.0, 7.0, 10.25], [2.75, 5.5, 8.625]),
    "besselj1": lambda: bessel(1, 2.0, [2.0, 5.5, 8.5, 11.75], [3.75, 7.0, 10.125]),
    "digamma": digamma,
    "hurwitz": hurwitz,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or _SECTIONS:
        print(f"# {name}")
        _SECTIONS[name]()
