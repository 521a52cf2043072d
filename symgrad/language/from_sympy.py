"""SymPy objects become Programs.

The walk visits every object once and keeps sharing, without recursion. Equal subexpressions are
one value: they are recognised by what they are made of, position by position, for SymPy's own
comparison walks through equal trees as often as they are written out.
Nothing is simplified, and no string ever reaches SymPy.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from numbers import Rational, Real
from typing import Any

import sympy as sp

from ..errors import UnsupportedError
from .functions import FUNCTIONS, called
from .program import Instruction, Program, Writer

__all__ = ["read"]

_CONSTANTS: Mapping[Any, str] = {
    sp.S.Pi: "pi",
    sp.S.Exp1: "e",
    sp.S.Infinity: "inf",
    sp.S.NaN: "nan",
}

#: Rows by the SymPy class that reads back as them; Pow, Mod and others are special.
_CLASSES: Mapping[str, str] = {
    row.sympy: row.name for row in FUNCTIONS.values() if row.sympy is not None
}

_REFUSED: Mapping[str, str] = {
    "Sum": "write the sum out, or use sum(...) over array arguments",
    "Product": "write the product out",
    "Integral": "integrate before compiling",
    "Derivative": "call .doit() first, or take the derivative with symgrad",
    "Subs": "call .doit() first",
    "Limit": "call .doit() first",
    "DiracDelta": "it has no value as a function",
    "ImaginaryUnit": "symgrad computes with real numbers; split real and imaginary parts",
    "ComplexInfinity": "symgrad computes with real numbers",
    "re": "declare the symbols real: every symbol of symgrad is real",
    "im": "declare the symbols real: every symbol of symgrad is real",
    "conjugate": "declare the symbols real: every symbol of symgrad is real",
    "arg": "use atan2",
}


def read(
    values: Mapping[str, Any] | Sequence[Any] | Any,
    *,
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[str] | None = None,
) -> Program:
    """Return the Program of a SymPy expression, or of several.

    Args:
        values: an expression, an equation ``Eq(z, expression)`` that names its value, a
            Matrix, a list of these, or a mapping from names to expressions. Later
            expressions may use the names of earlier ones.
        inputs: symbols or names in argument order; the symbols sorted by name if None.
        outputs: names of the results; all for a list or a Matrix, the last of a mapping.

    Raises:
        UnsupportedError: for an object that has no value as a real formula.
    """
    shape: tuple[int, ...] | None = None
    single = False
    named: list[tuple[str | None, Any]]
    if isinstance(values, Mapping):
        named = [(_name(key), value) for key, value in values.items()]
        single = True
    elif isinstance(values, sp.MatrixBase):
        shape = tuple(int(n) for n in values.shape)
        named = [(None, value) for value in values]
    elif isinstance(values, list | tuple | sp.Tuple):
        named = [_equation(value) for value in values]
    else:
        named, single = [_equation(values)], True
    if not named:
        raise UnsupportedError("there is no expression to compile: the list is empty")
    reader = _Reader()
    return reader.program(named, inputs, outputs, shape, single, isinstance(values, Mapping))


def _equation(value: Any) -> tuple[str | None, Any]:
    if isinstance(value, sp.Equality) and isinstance(value.lhs, sp.Symbol):
        return _name(value.lhs), value.rhs
    return None, value


def _name(key: Any) -> str:
    """Return a name as Python would read it; other spellings of it are the same name."""
    name = str(key.name) if isinstance(key, sp.Symbol) else str(key)
    return unicodedata.normalize("NFKC", name)


class _Reader:
    """Holds what was read so far: one position for every distinct subexpression."""

    def __init__(self) -> None:
        self.writer = Writer()
        #: Objects by their identity, kept so that no other gets it, and their positions.
        self.read: dict[int, tuple[Any, int]] = {}
        #: Positions by what a subexpression is made of.
        self.made: dict[tuple[Any, ...], int] = {}
        self.symbols: dict[str, Any] = {}
        self.bound: dict[str, int] = {}

    def program(
        self,
        named: list[tuple[str | None, Any]],
        inputs: Sequence[Any] | None,
        outputs: Sequence[str] | None,
        shape: tuple[int, ...] | None,
        single: bool,
        statements: bool,
    ) -> Program:
        results: list[tuple[str, int]] = []
        lines: list[str] = []
        taken = {name for name, _ in named if name is not None}
        for number, (name, value) in enumerate(named):
            position = self.position(_sympified(value))
            if name is None:
                base = "value" if single else f"value_{number}"
                while base in taken or base in self.symbols:
                    base += "_"
                name = base
            else:
                if name in self.bound or name in self.symbols:
                    raise UnsupportedError(f"the name '{name}' is bound twice or used before")
                position = self.writer.emit("step", (position,), payload=name)
                self.bound[name] = position
            results.append((name, position))
            lines.append(name)
        declared = self._declared(inputs)
        chosen = _chosen(results, outputs, statements)
        return Program(
            self.writer.instructions,
            declared,
            chosen,
            text="",
            shape=shape,
            single=single and len(chosen) == 1,
        )

    def _declared(self, inputs: Sequence[Any] | None) -> tuple[str, ...]:
        used = self.writer.inputs
        if inputs is None:
            return tuple(sorted(used))
        names = tuple(_name(name) for name in inputs)
        for name in used:
            if name not in names:
                raise UnsupportedError(
                    f"the symbol '{name}' is not among the inputs {', '.join(names)}"
                )
        if len(set(names)) != len(names):
            raise UnsupportedError("two inputs have the same name")
        return names

    def position(self, root: Any) -> int:
        """Return the position of an expression, reading what is new below it."""
        read, made = self.read, self.made
        pending = [root]
        while pending:
            node = pending[-1]
            if id(node) in read:
                pending.pop()
                continue
            operands = _operands(node)
            missing = [arg for arg in operands if id(arg) not in read]
            if missing:
                pending.extend(reversed(missing))
                continue
            key = (node.func, *map(self.at, operands)) if operands else (node,)
            position = made.get(key)
            if position is None:
                position = made[key] = self._emit(node)
            read[id(node)] = node, position
            pending.pop()
        return self.at(root)

    def at(self, node: Any) -> int:
        """Return the position of an expression that was read before."""
        return self.read[id(node)][1]

    def _emit(self, node: Any) -> int:
        emit = self.writer.emit
        if isinstance(node, sp.Symbol):
            return self._symbol(node)
        if node.is_Number and not node.is_infinite and node is not sp.S.NaN:
            return self._number(node)
        if node in _CONSTANTS:
            return emit("constant", payload=_CONSTANTS[node])
        if node is sp.S.NegativeInfinity:
            return emit("neg", (emit("constant", payload="inf"),))
        if node is sp.true or node is sp.false:
            one, zero = self.writer.number(Fraction(1)), self.writer.number(Fraction(0))
            return emit("gt" if node is sp.true else "lt", (one, zero))
        kind = type(node).__name__
        special = _SPECIAL.get(kind)
        if special is not None:
            return special(self, node)
        name = _CLASSES.get(kind)
        if name is None and isinstance(node, sp.core.function.AppliedUndef):
            name = called(kind, len(node.args))
        if name is None:
            _refuse(node)
        _check_arity(node, str(name))
        return emit(str(name), tuple(map(self.at, node.args)))

    def _symbol(self, node: Any) -> int:
        name = _name(node)
        if name in self.bound:
            return self.bound[name]
        known = self.symbols.setdefault(name, node)
        if known != node:
            raise UnsupportedError(
                f"two different symbols are called '{name}' (their assumptions differ)"
            )
        return self.writer.input(name)

    def _number(self, node: Any) -> int:
        if node.is_Rational:
            return self.writer.number(Fraction(int(node.p), int(node.q)))
        sign, mantissa, exponent, _ = node._mpf_
        if abs(exponent) > 20_000:
            raise UnsupportedError("a number is too large for a double")
        value = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
        nearest = Fraction(float(value)) if value.denominator > 1 else value
        return self.writer.number(-nearest if sign else nearest, decimal=True)

    def chain(self, op: str, terms: Iterable[int]) -> int:
        """Fold operands from the left with a binary operation."""
        terms = iter(terms)
        position = next(terms)
        for term in terms:
            position = self.writer.emit(op, (position, term))
        return position


def _sympified(value: Any) -> Any:
    """Return a SymPy object; strings are refused, for SymPy would execute them."""
    if isinstance(value, sp.Basic):
        return value
    # NumPy's truth values are no bool, and NumPy need not be there.
    if isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool":
        return sp.true if value else sp.false
    if isinstance(value, Rational):
        return sp.Rational(int(value.numerator), int(value.denominator))
    if isinstance(value, Real):
        return sp.Float(float(value))
    raise UnsupportedError(
        f"expected a SymPy expression and got {type(value).__name__}; "
        "formulas as text go to compile() directly, not into lists"
    )


def _operands(node: Any) -> tuple[Any, ...]:
    kind = type(node).__name__
    if kind == "Piecewise":
        return tuple(part for pair in node.args for part in pair.args)
    if kind in ("besselj",) or node.is_Atom:
        return tuple(node.args[1:])
    if kind in _SPECIAL or kind in _CLASSES or isinstance(node, sp.core.function.AppliedUndef):
        return tuple(node.args)
    _refuse(node)
    return ()


def _check_arity(node: Any, name: str) -> None:
    least, most = FUNCTIONS[name].arity
    if len(node.args) < least or (most is not None and len(node.args) > most):
        raise UnsupportedError(
            f"cannot compile {type(node).__name__} of {len(node.args)} arguments: "
            f"{name} takes {least}{'' if most == least else ' or more'}"
        )


def _refuse(node: Any) -> None:
    kind = type(node).__name__
    shown = str(node) if len(getattr(node, "args", ())) < 20 else kind
    hint = _REFUSED.get(kind, "it has no row in the function table")
    raise UnsupportedError(f"cannot compile {kind} in '{shown[:80]}': {hint}")


def _add(reader: _Reader, node: Any) -> int:
    """Sum the terms in SymPy's order, subtracting those with a negative coefficient."""
    emit = reader.writer.emit
    terms = [reader.at(arg) for arg in _ordered_terms(node)]
    result = terms[0]
    for term in terms[1:]:
        code = reader.writer.parts[term]
        if isinstance(code, Instruction) and code.op == "neg":
            result = emit("sub", (result, code.operands[0]))
        else:
            result = emit("add", (result, term))
    return result


def _ordered_terms(node: Any) -> tuple[Any, ...]:
    args = tuple(node.args)
    positive = (
        [arg for arg in args if not arg.could_extract_minus_sign()] if len(args) < 64 else []
    )
    if positive and args[0].could_extract_minus_sign():
        first = positive[0]
        return (first, *(arg for arg in args if arg is not first))
    return args


def _mul(reader: _Reader, node: Any) -> int:
    """Multiply the factors, dividing by those with a negative literal exponent."""
    writer = reader.writer
    negative = False
    above: list[int] = []
    below: list[int] = []
    for arg in node.args:
        if arg is sp.S.NegativeOne:
            negative = True
        elif arg.is_Rational and not arg.is_Integer:
            negative ^= arg.p < 0
            if abs(arg.p) != 1:
                above.append(writer.number(Fraction(abs(int(arg.p)))))
            below.append(writer.number(Fraction(int(arg.q))))
        elif arg.is_Number and arg.is_negative:
            negative = not negative
            above.append(reader.position(-arg))
        elif arg.is_Pow and arg.exp.is_Rational and arg.exp.is_negative:
            below.append(
                reader.position(arg.base)
                if arg.exp == -1
                else _power(reader, arg.base, -arg.exp)
            )
        else:
            above.append(reader.at(arg))
    result = reader.chain("mul", above) if above else writer.number(Fraction(1))
    if below:
        result = writer.emit("div", (result, reader.chain("mul", below)))
    return writer.emit("neg", (result,)) if negative else result


def _power(reader: _Reader, base: Any, exponent: Any) -> int:
    emit = reader.writer.emit
    if exponent == sp.Rational(1, 2):
        return emit("sqrt", (reader.position(base),))
    return emit("pow", (reader.position(base), reader.position(exponent)))


def _pow(reader: _Reader, node: Any) -> int:
    base, exponent = node.args
    emit = reader.writer.emit
    if base is sp.S.Exp1:
        return emit("exp", (reader.at(exponent),))
    if exponent.is_Rational and exponent.is_negative:
        below = reader.position(base) if exponent == -1 else _power(reader, base, -exponent)
        return emit("div", (reader.writer.number(Fraction(1)), below))
    return _power(reader, base, exponent)


def _piecewise(reader: _Reader, node: Any) -> int:
    emit = reader.writer.emit
    pairs = [pair.args for pair in node.args]
    if pairs[-1][1] is sp.true:
        result = reader.at(pairs.pop()[0])
    else:
        result = emit("constant", payload="nan")
    for value, condition in reversed(pairs):
        result = emit("where", (reader.at(condition), reader.at(value), result))
    return result


def _conditional(reader: _Reader, node: Any) -> int:
    return reader.writer.emit("where", tuple(reader.at(arg) for arg in node.args))


def _folded(op: str) -> Callable[[_Reader, Any], int]:
    def emit(reader: _Reader, node: Any) -> int:
        return reader.chain(op, (reader.at(arg) for arg in node.args))

    return emit


def _bessel(reader: _Reader, node: Any) -> int:
    order, argument = node.args
    if order not in (0, 1):
        raise UnsupportedError(f"cannot compile {node}: only besselj of order 0 and 1")
    return reader.writer.emit(f"besselj{int(order)}", (reader.at(argument),))


def _polygamma(reader: _Reader, node: Any) -> int:
    order, argument = (reader.at(arg) for arg in node.args)
    if node.args[0] == 0:
        return reader.writer.emit("digamma", (argument,))
    return reader.writer.emit("polygamma", (order, argument))


def _heaviside(reader: _Reader, node: Any) -> int:
    if len(node.args) > 1 and node.args[1] != sp.Rational(1, 2):
        raise UnsupportedError(f"cannot compile {node}: Heaviside(0) is 1/2 here")
    return reader.writer.emit("heaviside", (reader.at(node.args[0]),))


_SPECIAL: Mapping[str, Callable[[_Reader, Any], int]] = {
    "Add": _add,
    "Mul": _mul,
    "Pow": _pow,
    "Piecewise": _piecewise,
    "ITE": _conditional,
    "And": _folded("and"),
    "Or": _folded("or"),
    "besselj": _bessel,
    "polygamma": _polygamma,
    "Heaviside": _heaviside,
}


def _chosen(
    results: list[tuple[str, int]], outputs: Sequence[str] | None, statements: bool
) -> tuple[tuple[str, int], ...]:
    if outputs is None:
        return (results[-1],) if statements else tuple(results)
    known = dict(results)
    for name in outputs:
        if name not in known:
            raise UnsupportedError(f"'{name}' is not among the outputs {', '.join(known)}")
    return tuple((name, known[name]) for name in outputs)
