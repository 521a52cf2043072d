"""symgrad: a formula in, fused machine code for its value and exact derivatives out.

    text ─parse─▶ Program ─lower─▶ Graph ─differentiate─▶ Graph ─print─▶ source ─▶ Kernel

Importing the package is cheap: every public name is loaded when it is first used.

>>> import symgrad as sg
>>> f = sg.compile("f(x, y) = y*log(x) + sin(y)")
>>> round(float(f(2.0, 3.0)), 4)
2.2206
>>> [round(float(g), 4) for g in sg.grad(f)(2.0, 3.0)]
[1.5, -0.2968]
"""

from __future__ import annotations

import builtins
import importlib
from typing import Any

_HOMES = {
    "frontend": ("compile",),
    "language.parse": ("Limits",),
    "function": (
        "Function",
        "grad",
        "hessian",
        "hvp",
        "jacobian",
        "jvp",
        "sparsity",
        "value_and_grad",
        "value_grad_and_hessian",
        "vjp",
    ),
    "vectors": ("Packed", "packed"),
    "runtime.threads": ("get_num_threads", "set_num_threads"),
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
    "tensor.tensor": ("Tensor", "tensor"),
    "tensor.grad_mode": ("enable_grad", "is_grad_enabled", "no_grad", "set_grad_enabled"),
    "tensor.construct": (
        *("arange", "bool_", "float32", "float64", "from_numpy", "full", "int64"),
        *("linspace", "ones", "ones_like", "zeros", "zeros_like"),
    ),
    "tensor.functions": tuple(
        str.split(
            "abs acos acosh acosh_slope amax amin arccos arccosh arcsin arcsinh arctan "
            "arctan2 arctanh asin asinh asinh_slope atan atan2 atan2_slope atan_slope atanh "
            "besselj0 besselj1 cbrt ceil clamp clip cos cosh cot csc digamma dot erf "
            "erf_slope erfc exp exp2 expit expm1 expm1_slope fabs floor gamma gammaln gelu "
            "heaviside hypot hypot_slope j0 j1 lgamma ln log log10 log1p log2 logaddexp "
            "loggamma logsumexp max maximum mean min minimum mod ndtr ndtr_slope norm "
            "polygamma pow power prod psi relu rint round rsqrt sec sech2 sgn sigmoid sign "
            "silu sin sinc sinc_derivative sinh softplus sqrt std sum swish tan tanh trunc "
            "var where xlogy e inf nan pi"
        )
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(name for name in _HOME if not hasattr(builtins, name) or name == "compile")


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    home = _HOME.get(name)
    if home is None:
        if name == "__version__":
            from .version import version

            return version()
        raise AttributeError(f"module 'symgrad' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    if not hasattr(builtins, name):
        # A global abs, round or sum would hide the built-in one in this module.
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_HOME, *(name for name in globals() if name.startswith("__"))})
