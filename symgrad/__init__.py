"""symgrad: a formula in, fused machine code for its value and exact derivatives out.

    text ──parse──▶ Program ──lower──▶ Graph ──differentiate──▶ Graph ──print──▶ source ──▶ Kernel

Importing the package is cheap: every public name is loaded when it is first used.

>>> import symgrad as sg
>>> f = sg.compile("z = y*log(x) + sin(y)")
>>> round(float(f(2.0, 3.0)), 4)
2.2206
>>> [round(float(g), 4) for g in sg.grad(f)(2.0, 3.0)]
[1.5, -0.2968]
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "frontend": ("compile",),
    "function": (
        "Function",
        "grad",
        "hessian",
        "hvp",
        "jacobian",
        "jvp",
        "value_and_grad",
        "vjp",
    ),
    "errors": (
        "ArgumentError",
        "AutogradError",
        "CacheWarning",
        "DTypeError",
        "FormulaError",
        "LimitError",
        "MissingDependencyError",
        "ShapeError",
        "SymgradError",
        "UnsupportedError",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    home = _HOME.get(name)
    if home is None:
        if name == "__version__":
            from importlib import metadata

            return metadata.version("symgrad")
        raise AttributeError(f"module 'symgrad' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
