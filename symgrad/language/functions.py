"""The function table: the one place where an operation of the language is defined.

A row says how an operation is called, what it means to SymPy, which kernel primitive
computes it, and what its derivative is where SymPy's own formula is not good enough.
Adding a row adds the function everywhere: parser, derivatives, kernels, tensors, printing
and the tests, which go through the table by themselves.

Kinks follow PyTorch's conventions; each row states its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = [
    "FUNCTIONS",
    "NAMES",
    "ORDERS",
    "REDUCTIONS",
    "WITH_ORDERS",
    "Function",
    "Partials",
    "call_names",
    "called",
    "function",
]

#: The partial derivatives of an operation, one formula for each operand. The operands are
#: called ``x`` and ``y``, or ``x0``, ``x1``, ... when there are more than two.
Partials = tuple[str, ...] | Callable[[int], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Function:
    """One row of the table.

    Attributes:
        name: the canonical name, also the operation of a Program and a Graph.
        arity: least and largest number of operands; None for no upper limit.
        meaning: builds the SymPy expression from the sympy module and SymPy operands.
        kernel: name of the primitive in `symgrad.vmath`; empty for what Python spells with
            an operator and for what the emitter treats by itself.
        sympy: name of the SymPy class that reads back as this row, if there is one.
        aliases: other names that call the same row.
        partials: formulas that override SymPy's derivative in kernels. None: SymPy's own.
        why: the reason for the override, required with one.
        textbook: formulas for printed derivatives where those of `partials` are guarded at
            a single point; None: the same as `partials`.
        domain: where the value is a real number; "real" or a condition on the operands.
        kink: the value of the derivative where it does not exist, and other conventions.
        callable: False for operators that cannot be called by name in a formula.
        boolean: True if the result is a truth value.
        reduction: True if the result is one number for all points of the operands.
        orders: the largest order that the kernel knows, where the first operand is an order,
            a whole number that belongs to the formula.
    """

    name: str
    arity: tuple[int, int | None]
    meaning: Callable[..., Any]
    kernel: str = ""
    sympy: str | None = None
    aliases: tuple[str, ...] = ()
    partials: Partials | None = None
    why: str = ""
    textbook: Partials | None = None
    domain: str = "real"
    kink: str = ""
    callable: bool = True
    boolean: bool = False
    reduction: bool = False
    orders: int | None = None


def _unary(name: str, sympy: str | None = None, **columns: Any) -> Function:
    """Return a row for a function of one operand that SymPy knows under `sympy`."""
    known = sympy or name
    columns.setdefault("meaning", lambda sp, x: getattr(sp, known)(x))
    columns.setdefault("kernel", name)
    return Function(name, (1, 1), sympy=known, **columns)


def _defined(
    name: str, meaning: Callable[..., Any], arity: int = 1, **columns: Any
) -> Function:
    """Return a row for a function that SymPy knows by a definition only."""
    columns.setdefault("kernel", name)
    return Function(name, (arity, arity), meaning, **columns)


def _operator(
    name: str, meaning: Callable[..., Any], arity: int = 2, **columns: Any
) -> Function:
    """Return a row for an operator, written with a sign and not called by name."""
    return Function(name, (arity, arity), meaning, callable=False, **columns)


def _relation(name: str, sympy: str) -> Function:
    return _operator(name, lambda sp, x, y: getattr(sp, sympy)(x, y), sympy=sympy, boolean=True)


def _reduction(
    name: str, arity: int = 1, *, reads: str | None = None, **columns: Any
) -> Function:
    """Return a row for a reduction over all points, called `reads` by SymPy."""
    spelling = reads or name
    meaning = lambda sp, *xs: sp.Function(spelling)(*xs)  # noqa: E731
    return Function(name, (arity, arity), meaning, reduction=True, **columns)


def _extremum(name: str, sympy: str, sign: str, alias: str) -> Function:
    """Return the row of max or min; `sign` is the relation of a winner to a loser."""

    def partials(arity: int) -> tuple[str, ...]:
        if arity == 2:
            return tuple(
                f"where({b} {sign} {a}, 0, where(x == y, 1/2, 1))" for a, b in ("xy", "yx")
            )
        names = [f"x{i}" for i in range(arity)]
        best = f"{name}({', '.join(names)})"
        ties = " + ".join(f"where({x} == {best}, 1, 0)" for x in names)
        return tuple(f"where({x} != {best}, 0, 1/({ties}))" for x in names)

    def textbook(arity: int) -> tuple[str, ...]:
        if arity > 2:
            return partials(arity)
        ahead, behind = ("x", "y") if sign == ">" else ("y", "x")
        return (f"heaviside({ahead} - {behind})", f"heaviside({behind} - {ahead})")

    return Function(
        name,
        (2, None),
        lambda sp, *xs: getattr(sp, sympy)(*xs, evaluate=False),
        kernel=alias,
        sympy=sympy,
        aliases=(alias,),
        partials=partials,
        why="SymPy differentiates with Heaviside, whose derivative is DiracDelta",
        textbook=textbook,
        kink="ties share equally; NaN in any operand gives NaN",
    )


_FLAT = "0"
_TIES = "ties share equally; NaN at any point gives NaN"
_STEP_WHY = "SymPy leaves Derivative(...) or DiracDelta; the function is flat between its steps"

_ROWS: tuple[Function, ...] = (
    # Arithmetic. The user's association is kept, so all of these are binary.
    _operator("add", lambda sp, x, y: x + y, partials=("1", "1"), why="trivial"),
    _operator("sub", lambda sp, x, y: x - y, partials=("1", "-1"), why="trivial"),
    _operator("mul", lambda sp, x, y: x * y, partials=("y", "x"), why="trivial"),
    _operator(
        "div",
        lambda sp, x, y: x / y,
        partials=("1/y", "-(x/y)/y"),
        why="shares the quotient with the value and does not overflow in y**2",
        textbook=("1/y", "-x/y**2"),
        domain="y != 0",
        kink="x/0 is inf, -inf or NaN as in NumPy",
    ),
    _operator("neg", lambda sp, x: -x, arity=1, partials=("-1",), why="trivial"),
    Function(
        "pow",
        (2, 2),
        lambda sp, x, y: x**y,
        kernel="power",
        sympy="Pow",
        aliases=("power",),
        partials=(
            "where(y == 0, 0, y*x**(y - 1))",
            "where(x == 0 and y >= 0, 0, x**y*log(x))",
        ),
        why="SymPy's x**y*y/x is NaN at x = 0",
        textbook=("y*x**(y - 1)", "x**y*log(x)"),
        domain="x > 0, or y an integer",
        kink="d/dx is 0 where y is 0; d/dy is 0 where x is 0 and y >= 0",
    ),
    # What a Graph has for a sum with a product, which is rounded once.
    _operator(
        "fma",
        lambda sp, x, y, z: x * y + z,
        arity=3,
        partials=("x1", "x0", "1"),
        why="trivial",
    ),
    _operator(
        "fms",
        lambda sp, x, y, z: x * y - z,
        arity=3,
        partials=("x1", "x0", "-1"),
        why="trivial",
    ),
    _operator(
        "fnma",
        lambda sp, x, y, z: z - x * y,
        arity=3,
        partials=("-x1", "-x0", "1"),
        why="trivial",
    ),
    # Relations and logic: conditions of where(...).
    _relation("lt", "StrictLessThan"),
    _relation("le", "LessThan"),
    _relation("gt", "StrictGreaterThan"),
    _relation("ge", "GreaterThan"),
    _relation("eq", "Equality"),
    _relation("ne", "Unequality"),
    _operator("and", lambda sp, x, y: sp.And(x, y), sympy="And", boolean=True),
    _operator("or", lambda sp, x, y: sp.Or(x, y), sympy="Or", boolean=True),
    _operator("not", lambda sp, x: sp.Not(x), arity=1, sympy="Not", boolean=True),
    Function(
        "where",
        (3, 3),
        lambda sp, c, x, y: sp.Piecewise((x, c), (y, True)),
        kink="the branch not taken has derivative 0 whatever its value; "
        "a NaN in the condition gives NaN",
    ),
    # Reductions over all points.
    _reduction("sum", kink="0 of no points"),
    _reduction("mean", kink="NaN of no points"),
    _reduction("prod", kink="1 of no points; the derivative is right with zeros, too"),
    _reduction("amax", reads="max", kink=f"-inf of no points; {_TIES}"),
    _reduction("amin", reads="min", kink=f"inf of no points; {_TIES}"),
    _reduction("logsumexp", kink="-inf of no points; log(sum(exp(x))) without overflow"),
    _reduction("dot", 2, kink="sum(x*y), 0 of no points"),
    _reduction("norm", kink="sqrt(sum(x**2)); derivative 0 where all x are 0"),
    _reduction("var", kink="mean((x - mean(x))**2), NaN of no points"),
    _reduction("std", kink="sqrt(var(x)); derivative 0 where all x are equal"),
    # Trigonometric functions; angles in radians.
    _unary("sin"),
    _unary("cos"),
    _unary("tan", domain="x != pi/2 + k*pi"),
    _unary("cot", domain="x != k*pi"),
    _unary("sec", domain="x != pi/2 + k*pi"),
    _unary("csc", domain="x != k*pi"),
    _unary(
        "asin",
        aliases=("arcsin",),
        partials=("rsqrt((1 - x)*(1 + x))",),
        why="1 - x**2 cancels near 1, and roots and divisions are slow",
        textbook=("1/sqrt(1 - x**2)",),
        domain="-1 <= x <= 1",
        kink="inf at -1 and 1",
    ),
    _unary(
        "acos",
        aliases=("arccos",),
        partials=("-rsqrt((1 - x)*(1 + x))",),
        why="1 - x**2 cancels near 1, and roots and divisions are slow",
        textbook=("-1/sqrt(1 - x**2)",),
        domain="-1 <= x <= 1",
        kink="-inf at -1 and 1",
    ),
    _unary(
        "atan",
        aliases=("arctan",),
        partials=("atan_slope(x)",),
        why="x**2 overflows",
        textbook=("1/(1 + x**2)",),
    ),
    _defined(
        "atan_slope",
        lambda sp, x: 1 / (1 + x**2),
        partials=("where(abs(x) > 1, -2*atan_slope(x)/(x + 1/x), -2*x*atan_slope(x)**2)",),
        why="shares the value, and inf*0 is NaN",
        textbook=("-2*x/(1 + x**2)**2",),
    ),
    Function(
        "atan2",
        (2, 2),
        lambda sp, x, y: sp.atan2(x, y),
        kernel="atan2",
        sympy="atan2",
        aliases=("arctan2",),
        partials=("atan2_slope(x, y)", "-atan2_slope(y, x)"),
        why="x**2 + y**2 overflows and underflows",
        textbook=("y/(x**2 + y**2)", "-x/(x**2 + y**2)"),
        kink="NaN at the origin",
    ),
    _defined(
        "atan2_slope",
        lambda sp, x, y: y / (x**2 + y**2),
        arity=2,
        partials=(
            "-2*atan2_slope(x, y)*atan2_slope(y, x)",
            "(atan2_slope(y, x) - atan2_slope(x, y))*(atan2_slope(y, x) + atan2_slope(x, y))",
        ),
        why="no overflow in the squares",
        textbook=("-2*x*y/(x**2 + y**2)**2", "(x**2 - y**2)/(x**2 + y**2)**2"),
        kink="NaN at the origin",
    ),
    # Hyperbolic functions.
    _unary("sinh"),
    _unary("cosh"),
    _unary(
        "tanh",
        partials=("sech2(x)",),
        why="1 - tanh(x)**2 cancels for large x, 1/cosh(x)**2 has NaN derivatives there",
        textbook=("1 - tanh(x)**2",),
    ),
    _defined(
        "sech2",
        lambda sp, x: 1 / sp.cosh(x) ** 2,
        partials=("-2*tanh(x)*sech2(x)",),
        why="SymPy's quotient of powers of cosh overflows",
        textbook=("-2*tanh(x)/cosh(x)**2",),
    ),
    _unary(
        "asinh",
        aliases=("arcsinh",),
        partials=("asinh_slope(x)",),
        why="x**2 overflows",
        textbook=("1/sqrt(x**2 + 1)",),
    ),
    _defined(
        "asinh_slope",
        lambda sp, x: 1 / sp.sqrt(1 + x**2),
        partials=(
            "where(abs(x) > 1, -sign(x)*asinh_slope(1/x)*asinh_slope(x)**2, "
            "-x*asinh_slope(x)**3)",
        ),
        why="shares the value, and inf*0 is NaN",
        textbook=("-x/sqrt(x**2 + 1)**3",),
    ),
    _unary(
        "acosh",
        aliases=("arccosh",),
        partials=("acosh_slope(x)",),
        why="x**2 - 1 cancels near 1 and overflows",
        textbook=("1/sqrt(x**2 - 1)",),
        domain="x >= 1",
        kink="inf at 1",
    ),
    _defined(
        "acosh_slope",
        lambda sp, x: 1 / (sp.sqrt(x - 1) * sp.sqrt(x + 1)),
        partials=(
            "where(x > 2, -rsqrt((1 - 1/x)*(1 + 1/x))*acosh_slope(x)**2, -x*acosh_slope(x)**3)",
        ),
        why="shares the value, and inf*0 is NaN",
        textbook=("-x/(sqrt(x - 1)*sqrt(x + 1))**3",),
        domain="x >= 1",
        kink="inf at 1",
    ),
    _unary(
        "atanh",
        aliases=("arctanh",),
        partials=("1/((1 - x)*(1 + x))",),
        why="1 - x**2 cancels near 1",
        textbook=("1/(1 - x**2)",),
        domain="-1 <= x <= 1",
    ),
    # Exponentials, logarithms, roots.
    _unary("exp"),
    _defined(
        "expm1",
        lambda sp, x: sp.exp(x) - 1,
        partials=("expm1_slope(x)",),
        why="shares its work with the value",
        textbook=("exp(x)",),
    ),
    _defined(
        "expm1_slope",
        lambda sp, x: sp.exp(x),
        partials=("expm1_slope(x)",),
        why="shares the value",
        textbook=("exp(x)",),
    ),
    _defined(
        "exp2",
        lambda sp, x: sp.Integer(2) ** x,
        partials=("log(2)*exp2(x)",),
        why="shares the value",
    ),
    _unary("log", aliases=("ln",), domain="x >= 0"),
    _defined("log1p", lambda sp, x: sp.log(1 + x), domain="x >= -1"),
    _defined("log2", lambda sp, x: sp.log(x) / sp.log(2), domain="x >= 0"),
    _defined("log10", lambda sp, x: sp.log(x) / sp.log(10), domain="x >= 0"),
    _defined(
        "sqrt",
        lambda sp, x: sp.sqrt(x),
        partials=("0.5*rsqrt(x)",),
        why="no division, which is slow",
        textbook=("1/(2*sqrt(x))",),
        domain="x >= 0",
        kink="inf at 0",
    ),
    _operator(
        "root",
        lambda sp, x: sp.sqrt(x),
        arity=1,
        kernel="sqrt",
        partials=("where(x == 0, 0, 0.5*rsqrt(x))",),
        why="the length of a vector has derivative 0 (the least subgradient) at the origin",
        textbook=("1/(2*sqrt(x))",),
        domain="x >= 0, a sum of squares",
        kink="0 at 0",
    ),
    _defined(
        "cbrt",
        lambda sp, x: sp.sign(x) * sp.Abs(x) ** sp.Rational(1, 3),
        partials=("1/(3*cbrt(x)**2)",),
        why="SymPy's real root is a product with sign(x), NaN at 0",
        kink="inf at 0",
    ),
    _defined(
        "rsqrt",
        lambda sp, x: 1 / sp.sqrt(x),
        partials=("-0.5*rsqrt(x)**3",),
        why="shares the value, and no division, which is slow",
        textbook=("-1/(2*x*sqrt(x))",),
        domain="x >= 0",
        kink="-inf at 0",
    ),
    _defined(
        "hypot",
        lambda sp, x, y: sp.sqrt(x**2 + y**2),
        arity=2,
        partials=(
            "where(hypot(x, y) == 0, 0, hypot_slope(x, y))",
            "where(hypot(x, y) == 0, 0, hypot_slope(y, x))",
        ),
        why="no overflow in the squares, and 0 (the least subgradient) at the origin",
        textbook=("x/sqrt(x**2 + y**2)", "y/sqrt(x**2 + y**2)"),
        kink="0 at the origin",
    ),
    _defined(
        "hypot_slope",
        lambda sp, x, y: x / sp.sqrt(x**2 + y**2),
        arity=2,
        partials=(
            "where(hypot(x, y) == 0, 0, hypot_slope(y, x)**2/hypot(x, y))",
            "where(hypot(x, y) == 0, 0, -hypot_slope(x, y)*(hypot_slope(y, x)/hypot(x, y)))",
        ),
        why="no overflow in the squares, and 0 (the least subgradient) at the origin",
        textbook=("y**2/sqrt(x**2 + y**2)**3", "-x*y/sqrt(x**2 + y**2)**3"),
        kink="0 at the origin",
    ),
    # Piecewise constant and piecewise linear functions.
    Function(
        "abs",
        (1, 1),
        lambda sp, x: sp.Abs(x),
        kernel="absolute",
        sympy="Abs",
        aliases=("fabs",),
        partials=("where(x == 0, 0, where(x > 0, 1, -1))",),
        why="selected and not multiplied, so that an infinite cotangent at 0 gives 0",
        textbook=("sign(x)",),
        kink="0 at 0",
    ),
    _unary("sign", aliases=("sgn",), partials=(_FLAT,), why=_STEP_WHY, kink="0 at 0"),
    _unary("floor", partials=(_FLAT,), why=_STEP_WHY, kink="0 everywhere"),
    _unary("ceil", "ceiling", partials=(_FLAT,), why=_STEP_WHY, kink="0 everywhere"),
    _defined(
        "round",
        lambda sp, x: sp.Function("round")(x),
        kernel="round_half_even",
        aliases=("rint",),
        partials=(_FLAT,),
        why=_STEP_WHY,
        kink="0 everywhere; halves go to the even neighbour",
    ),
    _defined(
        "trunc",
        lambda sp, x: sp.sign(x) * sp.floor(sp.Abs(x)),
        partials=(_FLAT,),
        why=_STEP_WHY,
        kink="0 everywhere",
    ),
    Function(
        "mod",
        (2, 2),
        lambda sp, x, y: x - y * sp.floor(x / y),
        kernel="modulo",
        sympy="Mod",
        partials=("1", "round(mod(x, y)/y - x/y)"),
        why="x/y may round to the next whole number, so the floor of it is one too much",
        textbook=("1", "-floor(x/y)"),
        domain="y != 0",
        kink="1 and -floor(x/y); the result has the sign of y, as in Python",
    ),
    _extremum("max", "Max", ">", "maximum"),
    _extremum("min", "Min", "<", "minimum"),
    Function(
        "clip",
        (3, 3),
        lambda sp, x, lo, hi: sp.Min(sp.Max(x, lo, evaluate=False), hi, evaluate=False),
        aliases=("clamp",),
        kink="min(max(x, lo), hi), ties share equally",
    ),
    _unary(
        "heaviside",
        "Heaviside",
        partials=(_FLAT,),
        why=_STEP_WHY,
        kink="0 everywhere; the value at 0 is 1/2",
    ),
    # The error function, the gamma function and their kin.
    _unary(
        "erf",
        partials=("erf_slope(x)",),
        why="x**2 is rounded before exp, which costs 350 units at x = 26",
        textbook=("2*exp(-x**2)/sqrt(pi)",),
    ),
    _unary(
        "erfc",
        partials=("-erf_slope(x)",),
        why="x**2 is rounded before exp, and the value has an exponential to share",
        textbook=("-2*exp(-x**2)/sqrt(pi)",),
    ),
    _defined(
        "erf_slope",
        lambda sp, x: 2 * sp.exp(-(x**2)) / sp.sqrt(sp.pi),
        partials=("where(abs(x) > 40, 0, -2*x*erf_slope(x))",),
        why="shares the value, and inf*0 is NaN",
        textbook=("-4*x*exp(-x**2)/sqrt(pi)",),
    ),
    _defined(
        "ndtr",
        lambda sp, x: sp.erfc(-x / sp.sqrt(2)) / 2,
        partials=("ndtr_slope(x)",),
        why="x**2 is rounded before exp, and the value has an exponential to share",
        textbook=("exp(-x**2/2)/sqrt(2*pi)",),
    ),
    _defined(
        "ndtr_slope",
        lambda sp, x: sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi),
        partials=("where(abs(x) > 40, 0, -x*ndtr_slope(x))",),
        why="shares the value, and inf*0 is NaN",
        textbook=("-x*exp(-x**2/2)/sqrt(2*pi)",),
    ),
    _unary(
        "gamma",
        domain="x not in {0, -1, -2, ...}",
        partials=("gamma(x)*digamma(x)",),
        why="named after the primitive",
    ),
    _unary(
        "lgamma",
        "loggamma",
        aliases=("loggamma", "gammaln"),
        domain="log|gamma(x)|, x not in {0, -1, -2, ...}",
        partials=("digamma(x)",),
        why="named after the primitive; log|gamma(x)| has the same derivative",
    ),
    _unary(
        "digamma",
        aliases=("psi",),
        partials=("polygamma(1, x)",),
        why="named after the primitive",
        meaning=lambda sp, x: sp.polygamma(0, x),
        domain="x not in {0, -1, -2, ...}",
    ),
    Function(
        "polygamma",
        (2, 2),
        lambda sp, n, x: sp.polygamma(n, x),
        kernel="polygamma",
        sympy="polygamma",
        partials=(_FLAT, "polygamma(x + 1, y)"),
        why="the order is a whole number and has no derivative",
        domain="order a number 0, 1, 2, ..., 20; y not in {0, -1, -2, ...}",
        orders=20,
    ),
    _defined(
        "besselj0",
        lambda sp, x: sp.besselj(0, x),
        aliases=("j0",),
        partials=("-besselj1(x)",),
        why="named after the primitive",
    ),
    _defined(
        "besselj1",
        lambda sp, x: sp.besselj(1, x),
        aliases=("j1",),
        partials=(
            "where(abs(x) < 1/256, 1/2 - 3*x**2/16 + 5*x**4/384, besselj0(x) - besselj1(x)/x)",
        ),
        why="SymPy's formula needs J2; its higher derivatives cancel near 0 (DLMF 10.2.2)",
        textbook=("besselj0(x) - besselj1(x)/x",),
    ),
    # Functions of statistics and machine learning.
    _defined(
        "sigmoid",
        lambda sp, x: 1 / (1 + sp.exp(-x)),
        aliases=("expit",),
        partials=("sigmoid(x)*sigmoid(-x)",),
        why="exp(-x)/(1 + exp(-x))**2 is NaN at -800",
    ),
    _defined(
        "softplus",
        lambda sp, x: sp.log(1 + sp.exp(x)),
        partials=("sigmoid(x)",),
        why="exp(x)/(1 + exp(x)) is NaN at 800",
    ),
    _defined(
        "relu",
        lambda sp, x: sp.Max(x, 0, evaluate=False),
        partials=("where(x > 0, 1, 0)",),
        why="PyTorch's convention; SymPy gives Heaviside",
        textbook=("heaviside(x)",),
        kink="0 at 0",
    ),
    _defined(
        "silu",
        lambda sp, x: x / (1 + sp.exp(-x)),
        aliases=("swish",),
        partials=("sigmoid(x)*(1 + x*sigmoid(-x))",),
        why="exp(-x) overflows",
    ),
    _defined(
        "gelu",
        lambda sp, x: x * (1 + sp.erf(x / sp.sqrt(2))) / 2,
        partials=("ndtr(x) + where(abs(x) > 40, 0, x*ndtr_slope(x))",),
        why="1 + erf(x) cancels for negative x",
    ),
    _defined(
        "logaddexp",
        lambda sp, x, y: sp.log(sp.exp(x) + sp.exp(y)),
        arity=2,
        partials=("sigmoid(x - y)", "sigmoid(y - x)"),
        why="exp overflows",
    ),
    _defined(
        "xlogy",
        lambda sp, x, y: x * sp.log(y),
        arity=2,
        partials=("log(y)", "where(x == 0, 0, x/y)"),
        why="0 where x is 0, whatever y",
        textbook=("log(y)", "x/y"),
        domain="y >= 0",
        kink="0 where x is 0",
    ),
    _defined(
        "sinc",
        lambda sp, x: sp.sinc(x),
        sympy="sinc",
        partials=("sinc_derivative(1, x)",),
        why="(cos(x) - sinc(x))/x cancels near 0",
        kink="sin(x)/x, not normalised by pi; 1 at 0",
        textbook=("cos(x)/x - sin(x)/x**2",),
    ),
    Function(
        "sinc_derivative",
        (2, 2),
        lambda sp, n, x: sp.Function("sinc_derivative")(n, x),
        kernel="sinc_derivative",
        partials=(_FLAT, "sinc_derivative(x + 1, y)"),
        why="the order is a whole number and has no derivative",
        domain="order a number 0, 1, 2, ..., 20",
        orders=20,
    ),
)

#: Rows by canonical name, in the order of the table.
FUNCTIONS: Mapping[str, Function] = MappingProxyType({row.name: row for row in _ROWS})

#: Canonical names by every name that can be called in a formula.
NAMES: Mapping[str, str] = MappingProxyType(
    {name: row.name for row in _ROWS if row.callable for name in (row.name, *row.aliases)}
)

#: Canonical names of the reductions over all points.
REDUCTIONS = frozenset(row.name for row in _ROWS if row.reduction)

#: The largest order of every function whose first operand is an order.
ORDERS: Mapping[str, int] = MappingProxyType(
    {row.name: row.orders for row in _ROWS if row.orders is not None}
)


def _with_orders() -> frozenset[str]:
    """Return the functions that have an order themselves or in a derivative of any order."""
    found = set(ORDERS)
    while True:
        more = {
            row.name
            for row in _ROWS
            if isinstance(row.partials, tuple)
            and any(f"{name}(" in formula for name in found for formula in row.partials)
        }
        if more <= found:
            return frozenset(found)
        found |= more


#: Names of the functions that have an order themselves or in a derivative of any order.
WITH_ORDERS = _with_orders()

#: What a function of several operands means when it is called with one.
_ALONE = MappingProxyType({"max": "amax", "min": "amin"})


def called(name: str, count: int) -> str | None:
    """Return the canonical name of what is called by a name with `count` operands.

    >>> called("max", 1), called("max", 2), called("maximum", 1), called("lg", 1)
    ('amax', 'max', 'max', None)
    """
    return _ALONE.get(name) if count == 1 and name in _ALONE else NAMES.get(name)


def function(op: str) -> Function:
    """Return the row of a canonical name."""
    return FUNCTIONS[op]


def call_names() -> tuple[str, ...]:
    """Return every name that can be called in a formula, sorted."""
    return tuple(sorted(NAMES))
