"""Saved modules carry their own proof: golden values and the code that checks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .python import Function

__all__ = ["Golden", "print_check"]

_CHECK = '''
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
'''


class Golden(NamedTuple):
    """What a kernel must return at one point.

    Attributes:
        kernel: name of the kernel.
        inputs: one number for each input.
        outputs: one number for each output, to be reached within the tolerance.
    """

    kernel: str
    inputs: tuple[float, ...]
    outputs: tuple[float, ...]


def print_check(
    functions: Sequence[Function], orders: Sequence[Sequence[str]], golden: Sequence[Golden]
) -> str:
    """Return the code that checks a saved module when it is run as a script.

    Args:
        functions: the kernels of the module.
        orders: for each kernel the names of its outputs in order.
        golden: the values, computed in many digits.
    """
    kernels = []
    for function, names in zip(functions, orders, strict=True):
        inputs = [p for p in function.parameters if p.role == "input"]
        arrays = tuple(bool(parameter.axes) for parameter in inputs)
        extents = sum(parameter.role == "extent" for parameter in function.parameters)
        places = _places(function, names)
        kernels.append(
            f'    "{function.name}": ({function.name}, {arrays}, {extents}, {places}),'
        )
    lines = [
        "# Values computed with 50 digits, independently of the kernels:",
        "# (kernel, inputs, outputs).",
        "GOLDEN = (",
        *(f'    ("{g.kernel}", {_numbers(g.inputs)}, {_numbers(g.outputs)}),' for g in golden),
        ")",
        "TOLERANCE = 1e-12",
        "# kernel: function, which inputs are arrays, number of extents, place of each output",
        "# (returned if not negative, else in the arrays).",
        "KERNELS = {",
        *kernels,
        "}",
    ]
    return "\n".join(lines) + "\n\n" + _CHECK


def _numbers(values: tuple[float, ...]) -> str:
    """Return a tuple as source text; NaN and infinities have no literals."""
    return repr(values).replace("nan", "math.nan").replace("inf", "math.inf")


def _places(function: Function, names: Sequence[str]) -> tuple[int, ...]:
    returned, written = iter(range(len(names))), iter(range(len(names)))
    kept = list(function.returned)
    return tuple(next(returned) if name in kept else -1 - next(written) for name in names)
