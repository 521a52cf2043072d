"""Parsing: the text of a formula becomes a Program.

The grammar, from the loosest to the tightest binding::

    formula     = statement { (newline | ";") statement }       "#" starts a comment
    statement   = name "=" expression                           a named step
                | name "(" [name {"," name}] ")" "=" expression the header, last only
                | expression                                    last only
    expression  = either ["if" either "else" expression]
    either      = both {"or" both}
    both        = negation {"and" negation}
    negation    = "not" negation | relation
    relation    = sum {("<" | "<=" | ">" | ">=" | "==" | "!=") sum}     a < b < c chains
    sum         = product {("+" | "-") product}
    product     = signed {("*" | "/" | "//" | "%") signed}
    signed      = ("-" | "+") signed | power
    power       = value [("**" | "^") signed]                   so -x**2 is -(x**2)
    value       = number | name | name "(" expression {"," expression} ")"
                | "(" expression ")"

Newlines inside parentheses and after a backslash do not end a statement.

The parser is an operator-precedence parser with explicit stacks. It never recurses, so
parentheses may be nested as deeply as the stated limit allows and no stack overflows; it
writes instructions straight into the Program, without a tree between; and at every token
it knows what it expects, so that it can say so. Python's `ast` would report errors in
terms of Python's grammar, loses the spelling of numbers, and fails (in some versions by
ending the process) on deep nesting; a generated parser such as lark's is several times
slower and can only list the tokens that it expected. Nothing in the text is ever executed.

>>> program = parse("u = x + y; u**2")
>>> program.inputs, program.steps, program.outputs
(('x', 'y'), {'u': 3}, (('value', 5),))
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from ..errors import FormulaError, Span, SymgradError, UnsupportedError, suggestion
from .functions import FUNCTIONS, NAMES, called
from .program import CONSTANTS, Number, Program, Writer
from .shapes import Repetition, Shapes
from .tokens import (
    DEFAULT_LIMITS,
    Limits,
    Source,
    Token,
    check_number,
    normalized_name,
    read_number,
    read_statement,
    skeleton,
    statements,
    too_deep,
)

__all__ = ["Limits", "parse", "parse_mapping"]

# How tightly things bind. Nothing reduces a bracket or an `if` without its `else`.
_BRACKET, _IF, _ELSE, _OR, _AND, _NOT, _RELATION, _SUM, _PRODUCT, _SIGNED, _POWER = range(11)


class _Pending(NamedTuple):
    """Something that waits for its right operand, or a bracket for its end.

    `ops` are applied in turn, the first to the operands, the others to the result; `start`
    is the first character of a prefix or a bracket.
    """

    level: int
    ops: tuple[str, ...] = ()
    start: int = -1
    prefix: bool = False
    chain: _Value | None = None
    call: Token | None = None
    base: int = 0


class _Value(NamedTuple):
    """A finished operand: its position in the Program and its characters in the text."""

    position: int
    start: int
    end: int


_INFIX = {
    "+": _Pending(_SUM, ("add",)),
    "-": _Pending(_SUM, ("sub",)),
    "*": _Pending(_PRODUCT, ("mul",)),
    "/": _Pending(_PRODUCT, ("div",)),
    "//": _Pending(_PRODUCT, ("div", "floor")),
    "%": _Pending(_PRODUCT, ("mod",)),
    "**": _Pending(_POWER, ("pow",)),
    "^": _Pending(_POWER, ("pow",)),
    "and": _Pending(_AND, ("and",)),
    "or": _Pending(_OR, ("or",)),
    "<": _Pending(_RELATION, ("lt",)),
    "<=": _Pending(_RELATION, ("le",)),
    ">": _Pending(_RELATION, ("gt",)),
    ">=": _Pending(_RELATION, ("ge",)),
    "==": _Pending(_RELATION, ("eq",)),
    "!=": _Pending(_RELATION, ("ne",)),
}

_PREFIX: dict[str, tuple[int, tuple[str, ...]]] = {
    "-": (_SIGNED, ("neg",)),
    "+": (_SIGNED, ()),
    "not": (_NOT, ("not",)),
}

#: Other spellings of constants, with the same right to be a variable where assigned.
_CONSTANTS = {**{name: name for name in CONSTANTS}, "π": "pi"}

#: What people mean who call a function with a number of arguments that it does not take.
_ARITY_HINTS = {
    "sum": "it adds up all points; write a + b to add two numbers",
    "mean": "it averages all points; write (a + b)/2 for two numbers",
    "prod": "it multiplies all points; write a*b for two numbers",
    "amax": "it is over all points; write max(a, b) for two numbers",
    "amin": "it is over all points; write min(a, b) for two numbers",
    "norm": "it is the length over all points; write hypot(a, b) for two numbers",
    "logsumexp": "it is over all points; write logaddexp(a, b) for two numbers",
    "dot": "it is sum(a*b) over all points",
    "log": "write log(x)/log(b) for another base",
    "atan": "write atan2(y, x) for the angle of a point",
    "round": "write round(x*100)/100 for two decimals",
    "abs": "write hypot(x, y) for a length",
    "where": "write where(condition, a, b)",
}

#: What to write instead of signs of other languages, by the two tokens that they become.
_FOREIGN_SIGNS = {
    "<>": "write '!=' for 'not equal'",
    "=>": "write '>=' for 'at least'",
    "=<": "write '<=' for 'at most'",
    "===": "write '==' to compare",
    "+=": "write 'name = expression' with a new name",
    "-=": "write 'name = expression' with a new name",
    "*=": "write 'name = expression' with a new name",
    "/=": "write 'name = expression' with a new name",
}

#: What to call instead of functions that other languages have.
_FOREIGN_FUNCTIONS = {
    **dict.fromkeys(("Piecewise", "iif", "ifelse", "select"), "write where(condition, a, b)"),
    "factorial": "write gamma(n + 1)",
    "beta": "write gamma(x)*gamma(y)/gamma(x + y)",
    "tg": "write tan",
    "ctg": "write cot",
    "arctg": "write atan",
}

_CONDITIONAL = "write 'a if condition else b', or where(condition, a, b)"

_ONE_ALPHABET = "write both in one alphabet, or choose another name"

#: Names that a suggestion looks at; comparing with more would take seconds.
_CANDIDATES = 2000


class _Statement:
    """One statement: what it binds, and the tokens of its expression.

    Attributes:
        source: the text that errors show.
        span: the whole statement.
        parameters: the tokens of a header's names, None without header.
        repetition: the statement, if one of its shape has been read before.
    """

    __slots__ = ("_body", "_target", "parameters", "repetition", "source", "span")

    def __init__(
        self,
        source: Source,
        body: Sequence[Token] | Limits,
        span: Span,
        target: Token | None = None,
        parameters: tuple[Token, ...] | None = None,
        repetition: Repetition | None = None,
    ) -> None:
        self.source = source
        self.span = span
        self._target = target
        self.parameters = parameters
        self.repetition = repetition
        self._body = body

    @property
    def body(self) -> Sequence[Token]:
        """The tokens of the expression; those of a repetition are read when asked for."""
        if isinstance(self._body, Limits):  # within which to read them
            self._body = read_statement(self.source, self._body, self.span.start)[0][2:]
        return self._body

    @property
    def words(self) -> Iterable[str]:
        """Names, and perhaps more, that are in the expression."""
        if self.repetition is not None:
            return self.repetition.pieces[1::2]
        return [token.text for token in self.body]

    @property
    def target(self) -> Token | None:
        """The token of the name that is bound, None for a bare expression."""
        if self.repetition is not None:
            start, name = self.span.start, self.repetition.pieces[1]
            return Token("name", name, start, start + len(name))
        return self._target

    @property
    def name(self) -> str | None:
        """The name that is bound."""
        if self.repetition is not None:
            return self.repetition.pieces[1]
        return None if self._target is None else self._target.text

    @property
    def where(self) -> Span:
        """The place to point at when the whole statement is at fault."""
        return self.span if self.target is None else self.target.span


def parse(
    text: str,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Program:
    """Read a formula.

    Args:
        text: statements, separated by newlines or semicolons; see the module's grammar.
        inputs: the names of all inputs in argument order; None: those of the header
            ``f(x, y) = ...``, else the order in which they appear.
        outputs: names of statements or inputs; None: the last statement.
        limits: the largest formula to accept.

    Raises:
        FormulaError: the formula cannot be read; says where and what was expected.
        LimitError: the formula is larger than a limit.
        UnsupportedError: an argument is not text, or not a sequence of names.

    >>> parse("f(x, y) = y*log(x) + sin(y)").inputs
    ('x', 'y')
    >>> parse("y*lg(x)")
    Traceback (most recent call last):
        ...
    symgrad.errors.FormulaError: unknown function 'lg': did you mean 'log' or 'log2'?
      line 1, column 3
        y*lg(x)
          ^^
    """
    if not isinstance(text, str):
        raise UnsupportedError(f"a formula is text, not {type(text).__name__}")
    _check_length(text, limits)
    source = Source(text)
    found = _split(source, limits)
    if not found:
        raise source.error("the formula is empty", Span(0, 0), "write for example x**2")
    return _Formula(text, found, inputs, outputs, limits).program()


def parse_mapping(
    statements: Mapping[str, str | int | float],
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Program:
    r"""Read named statements, each with one expression or number, in the order given.

    Errors show the expression at fault; spans of the Program count in its text, which
    reads as if the statements had been written one below the other.

    >>> parse_mapping({"u": "x + y", "z": "u**2"}).text
    'u = x + y\nz = u**2'
    """
    if not isinstance(statements, Mapping):
        raise UnsupportedError(f"expected a mapping, not {type(statements).__name__}")
    if not statements:
        raise FormulaError("the mapping is empty", hint='write for example {"z": "x**2"}')
    lines: list[str] = []
    found: list[_Statement] = []
    start = 0
    for name, value in statements.items():
        bound = _name(name, "a name of a statement", limits)
        expression = _expression_text(bound, value).strip()
        line = f"{bound} = {expression}"
        _check_length(line, limits)
        source = Source(expression, start + len(bound) + 3)
        found.append(_mapped_statement(bound, source, Span(start, start + len(line)), limits))
        lines.append(line)
        start += len(line) + 1
    text = "\n".join(lines)
    _check_length(text, limits)
    return _Formula(text, found, inputs, outputs, limits).program()


def _check_length(text: str, limits: Limits) -> None:
    if len(text) > limits.length:
        message = f"the formula has {len(text):,} characters and the limit is"
        raise Source(text).limit(f"{message} {limits.length:,}", Span(0, 0), "length")


def _name(name: object, what: str, limits: Limits) -> str:
    """Return a name from outside of the formula in its normal form."""
    if not isinstance(name, str):
        raise UnsupportedError(f"{what} is text, not {type(name).__name__}")
    return normalized_name(name, limits)


def _names(names: Sequence[str], what: str, limits: Limits) -> tuple[str, ...]:
    """Return the names given as ``inputs=`` or ``outputs=``, each once."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UnsupportedError(f'{what}= is a sequence of names, such as {what}=["x"]')
    found: dict[str, None] = {}
    for given in names:
        name = _name(given, f"a name in {what}=", limits)
        if name in found:
            raise FormulaError(f"'{name}' is in {what}= twice", hint="name it once")
        found[name] = None
    return tuple(found)


def _expression_text(name: str, value: object) -> str:
    """Return the text of one value of a mapping."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        # Larger ones exceed every double, and Python refuses to print them.
        return int.__repr__(value) if value.bit_length() < 4096 else "1e9999"
    raise UnsupportedError(f"'{name}' is bound to text or a number, not {_kind(value)}")


def _kind(value: object) -> str:
    return type(value).__name__


def _mapped_statement(name: str, source: Source, span: Span, limits: Limits) -> _Statement:
    """Return the statement that binds `name` to the one expression of `source`."""
    target = Token("name", name, span.start, span.start + len(name))
    found = statements(source, limits)
    if not found:
        place = Span(source.base, source.base)
        raise source.error(f"expected an expression for '{name}'", place)
    if len(found) > 1:
        raise source.error(
            f"expected one expression for '{name}'",
            Span(found[1][0].start, found[1][-1].start),
            "write each statement as an entry of the mapping",
        )
    return _Statement(source, found[0], span, target)


def _split(source: Source, limits: Limits) -> list[_Statement]:
    """Split a text into statements."""
    text = source.text
    shapes = Shapes(parse, limits)
    found: list[_Statement] = []
    place = 0
    while place < len(text):
        end = text.find("\n", place)
        known = None if end < 0 else shapes.find(text[place:end], place)
        if known is None:
            tokens, place = read_statement(source, limits, place)
            if tokens:
                found.append(_statement(tokens, source))
        else:
            found.append(_repeated(known, source, end, limits))
            place = end + 1
    return found


def _repeated(known: Repetition, source: Source, end: int, limits: Limits) -> _Statement:
    """Return a statement of a known shape that ends before the character `end`."""
    shape, pieces, start = known
    if shape.numbers:
        for text, place in known.numbers():
            check_number(source, text, place, limits)
    span = tuple.__new__(Span, (start + len(pieces[0]), end))
    return _Statement(source, limits, span, None, None, known)


def _statement(tokens: list[Token], source: Source) -> _Statement:
    """Find out what a statement binds."""
    span = Span(tokens[0].start, tokens[-1].start)
    if tokens[0].kind == "name" and tokens[1].text == "=":
        return _Statement(source, tokens[2:], span, tokens[0])
    if tokens[0].kind == "call":
        close = _closing(tokens)
        if tokens[close + 1].text == "=":
            parameters = _parameters(tokens[: close + 1], source)
            return _Statement(source, tokens[close + 2 :], span, tokens[0], parameters)
    return _Statement(source, tokens, Span(tokens[0].start, tokens[-2].end))


def _closing(tokens: Sequence[Token]) -> int:
    """Return the index of the parenthesis that ends the call at the first token."""
    depth = 0
    for index, token in enumerate(tokens):
        if token.kind == "call" or token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
            if depth == 0:
                return index
    raise AssertionError("the tokens of a statement are balanced")


def _parameters(tokens: Sequence[Token], source: Source) -> tuple[Token, ...]:
    """Return the names in a header: the tokens ``f(``, ``x``, ``,``, ``y``, ``)``."""
    if len(tokens) == 2:
        return ()
    for index, token in enumerate(tokens[1:]):
        if index % 2 == 0 and token.kind != "name":
            message = "expected the name of an input"
            raise source.error(message, token.span, "a header is written 'f(x, y) = ...'")
        if index % 2 == 1 and token.text not in {",", ")"}:
            raise source.error("expected ',' between two inputs", token.span)
    return tuple(tokens[1::2])


class _Formula:
    """The statements of a formula on their way to a Program."""

    def __init__(
        self,
        text: str,
        found: Sequence[_Statement],
        inputs: Sequence[str] | None,
        outputs: Sequence[str] | None,
        limits: Limits,
    ) -> None:
        self.text = text
        self.statements = found
        self.limits = limits
        self.header = self._find_header()
        self.declared = self._declared(inputs)
        self.inputs = frozenset(self.declared or ())
        self.wanted = None if outputs is None else _names(outputs, "outputs", limits)
        self.writer = Writer()
        # Names of values so far, and of the statements whose turn has not come yet.
        self.values: dict[str, int] = {}
        self.later = self._bound()
        self.current = found[0]

    def program(self) -> Program:
        """Read the statements in order."""
        self._check_look_alikes()
        for statement in self.statements:
            self.current = statement
            name = statement.name
            if name is None:
                value = _Expression(self, statement).read()
                self._check_anonymous(statement)
                self.values[self._anonymous()] = value
                continue
            step = self._repeated(statement.repetition)
            if step is None:
                value = _Expression(self, statement).read()
                step = self.emit("step", (value,), name, statement.span)
            self.values[name] = step
            del self.later[name]
        outputs = self._outputs()
        return Program(
            instructions=self.writer.instructions,
            inputs=self.writer.inputs if self.declared is None else self.declared,
            outputs=outputs,
            text=self.text,
            name=None if self.header is None else self.header.name,
            single=len(outputs) == 1,
        )

    def _repeated(self, repetition: Repetition | None) -> int | None:
        """Write a statement of a known shape, if it is one with nothing new to it.

        Returns the position of its step.
        """
        if repetition is None:
            return None
        writer = self.writer
        if writer.size + len(repetition.shape.steps) >= self.limits.instructions:
            return None
        statement = repetition.folded(self.text, self.values)
        return None if statement is None else writer.fold(statement)

    def emit(
        self, op: str, operands: tuple[int, ...], payload: Number | str | None, span: Span
    ) -> int:
        """Append one instruction, within the limit."""
        position = self.writer.emit(op, operands, payload, span)
        if position >= self.limits.instructions:
            message = f"the formula has more than {self.limits.instructions:,} instructions"
            raise self.current.source.limit(message, span, "instructions")
        return position

    def variable(self, token: Token) -> int:
        """Return the position of the value that a name stands for."""
        name = token.text
        position = self.values.get(name)
        if position is not None:
            return position
        if name in self.later:
            raise self._too_early(token)
        if name not in self.inputs:
            constant = _CONSTANTS.get(name)
            if constant is not None:
                return self.emit("constant", (), constant, token.span)
            if self.declared is not None:
                raise self._undeclared(token)
        position = self.values[name] = self.writer.input(name, token.span)
        return position

    def is_variable(self, name: str) -> bool:
        """Tell whether a name is certainly not meant as a function."""
        return name in self.values or name in self.later or name in self.inputs

    def _find_header(self) -> _Statement | None:
        for statement in self.statements[:-1]:
            if statement.parameters is not None:
                raise statement.source.error(
                    f"the header '{statement.name}(...) = ...' is not the last statement",
                    statement.where,
                    "write the steps before it",
                )
        last = self.statements[-1]
        return None if last.parameters is None else last

    def _declared(self, inputs: Sequence[str] | None) -> tuple[str, ...] | None:
        """Return the declared inputs in order, or None if nothing declares them."""
        given = None if inputs is None else _names(inputs, "inputs", self.limits)
        if self.header is None or self.header.parameters is None:
            return given
        names: dict[str, None] = {}
        for token in self.header.parameters:
            if token.text in names:
                message = f"the input '{token.text}' appears twice in the header"
                raise self.header.source.error(message, token.span, "name it once")
            names[token.text] = None
        if given is not None and set(given) != set(names):
            raise self.header.source.error(
                "inputs= and the header name different inputs",
                self.header.where,
                "leave one of them out",
            )
        return tuple(names) if given is None else given

    def _bound(self) -> dict[str, _Statement]:
        """Return the statements by the names that they bind, each name bound once."""
        bound: dict[str, _Statement] = {}
        for statement in self.statements:
            name = statement.name
            if name is None:
                continue
            error = statement.source.error
            if name in self.inputs:
                message = f"'{name}' is an input and cannot be assigned"
                raise error(message, statement.where, "give the step another name")
            first = bound.setdefault(name, statement)
            if first is not statement:
                message = f"'{name}' is already assigned{_place(first)}"
                raise error(message, statement.where, "give the new value another name")
        return bound

    def _check_anonymous(self, statement: _Statement) -> None:
        """Refuse an expression that nothing can refer to, and a lost end of a line."""
        if statement is not self.statements[-1]:
            raise statement.source.error(
                "only the last statement may be without a name",
                statement.span,
                "write 'name = ...'",
            )
        first = statement.body[0]
        before = self.statements[-2].body[-1] if len(self.statements) > 1 else first
        if first.text in {"+", "-"} and before.kind == "end" and before.text != ";":
            raise statement.source.error(
                f"a line starts with '{first.text}'",
                first.span,
                "put an expression over several lines in parentheses, or name this one",
            )

    def _check_look_alikes(self) -> None:
        """Refuse two names that look the same and are not."""
        if self.text.isascii() and all(name.isascii() for name in self.inputs):
            return
        seen = {name: name for name in CONSTANTS}
        for name in sorted(self.inputs):
            if seen.setdefault(skeleton(name), name) != name:
                raise FormulaError(_look_alike(name), hint=_ONE_ALPHABET)
        for statement in self.statements:
            target = () if statement.target is None else (statement.target,)
            for token in (*target, *(statement.parameters or ()), *statement.body):
                name = token.text
                if token.kind == "name" and seen.setdefault(skeleton(name), name) != name:
                    error = statement.source.error
                    raise error(_look_alike(name), token.span, _ONE_ALPHABET)

    def _anonymous(self) -> str:
        """Return the name of the output that has none: "value", unless it is taken."""
        taken = {word for statement in self.statements for word in statement.words}
        taken.update(self.inputs, self.values)
        name = "value"
        while name in taken:
            name += "_"
        return name

    def _outputs(self) -> tuple[tuple[str, int], ...]:
        """Return the names and positions of the outputs."""
        if self.wanted is None:
            *_, (name, position) = self.values.items()
            return ((name, position),)
        if not self.wanted:
            raise FormulaError("outputs= is empty", hint="name at least one statement")
        return tuple((name, self._output(name)) for name in self.wanted)

    def _output(self, name: str) -> int:
        position = self.values.get(name)
        if position is not None:
            return position
        if name in self.inputs:
            return self.writer.input(name)
        known = {*self.values, *self.inputs}
        raise FormulaError(
            f"the output '{name}' is neither a statement nor an input",
            hint=_suggestion(name, known),
        )

    def _undeclared(self, token: Token) -> FormulaError:
        declared = self.declared or ()
        return self.current.source.error(
            f"'{token.text}' is neither an input nor assigned before",
            token.span,
            _suggestion(token.text, [*declared, *self.values])
            or f"the inputs are {', '.join(declared[:10]) or 'none'}",
        )

    def _too_early(self, token: Token) -> FormulaError:
        """Return the error about a name that is used before its statement."""
        name = token.text
        error = self.current.source.error
        if name == self.current.name:
            message = f"'{name}' is used in its own definition"
            return error(message, token.span, "give the new value another name")
        circle = self._path(name, self.current.name)
        if circle:
            shown = circle if len(circle) <= 8 else [*circle[:6], "...", circle[-1]]
            message = f"the steps need each other in a circle: {' needs '.join(shown)}"
            return error(message, token.span)
        message = f"'{name}' is used before it is assigned{_place(self.later[name])}"
        return error(message, token.span, f"move the statement of '{name}' up")

    def _path(self, start: str, goal: str | None) -> list[str]:
        """Return names, each used by the one before, from `goal` around to `goal`."""
        before: dict[str, str] = {}
        waiting = [start]
        while waiting and goal not in before:
            name = waiting.pop()
            for token in self.later[name].body:
                needed = token.text
                known = needed in before or needed == start
                if token.kind == "name" and needed in self.later and not known:
                    waiting.append(needed)
                    before[needed] = name
        if goal is None or goal not in before:
            return []
        path = [goal]
        while path[-1] != start:
            path.append(before[path[-1]])
        return [goal, *reversed(path)]


def _look_alike(name: str) -> str:
    return f"'{name}' looks like another name but has other letters"


def _place(statement: _Statement) -> str:
    """Return where a statement is, if it is one of several lines."""
    source = statement.source
    return "" if source.base else f" in line {source.line(statement.span.start)}"


def _suggestion(name: str, known: Collection[str]) -> str | None:
    near = [k for k in known if abs(len(k) - len(name)) <= 1 + len(name) // 2]
    return suggestion(name, tuple(islice(near, _CANDIDATES)))


class _Expression:
    """The operator-precedence parser of one expression.

    `values` holds finished operands, `pending` what waits for one. Reading alternates
    between two questions: which value comes now, and what follows it?
    """

    def __init__(self, formula: _Formula, statement: _Statement) -> None:
        self.formula = formula
        self.source = statement.source
        self.bound = statement
        self.tokens = statement.body
        self.limits = formula.limits
        self.index = 0
        self.values: list[_Value] = []
        self.pending = [_Pending(_BRACKET)]

    def read(self) -> int:
        """Read the whole statement and return the position of its value."""
        expects_value = True
        for index, token in enumerate(self.tokens):
            self.index = index
            expects_value = self._value(token) if expects_value else self._follower(token)
        return self.values[0].position

    def _value(self, token: Token) -> bool:
        """Read a token where a value is expected; tell whether one still is."""
        kind, text, start, end = token
        if kind == "name":
            self.values.append(_Value(self.formula.variable(token), start, end))
            return False
        if kind == "number":
            position = self.formula.emit("number", (), read_number(text), token.span)
            self.values.append(_Value(position, start, end))
            return False
        if kind == "call":
            self._check_function(token)
            self._wait(_Pending(_BRACKET, (), start, False, None, token, len(self.values)))
            return True
        if text == "(":
            self._wait(_Pending(_BRACKET, (), start))
            return True
        if text in _PREFIX:
            level, ops = _PREFIX[text]
            if level < self.pending[-1].level and level == _NOT:
                raise self._error("'not' after an operator", token, "write (not ...)")
            self._wait(_Pending(level, ops, start, True))
            return True
        if text == ")" and self._before().kind == "call":
            self._close(token)
        raise self._no_value(token)

    def _follower(self, token: Token) -> bool:
        """Read a token after a value; tell whether a value is expected after it."""
        text = token.text
        if token.kind == "sign":
            infix = _INFIX.get(text)
            if infix is not None:
                if infix.level == _RELATION:
                    infix = self._chained(infix)
                elif infix.level != _POWER:
                    self._reduce(infix.level)
                self._wait(infix)
                return True
            if text == ")":
                self._close(token)
                return False
            if text == ",":
                self._argument(token)
                return True
            if text == "if":
                self._if(token)
                return True
            if text == "else":
                self._else(token)
                return True
            if text == "=":
                raise self._misplaced_equals(token)
        if token.kind == "end":
            self._reduce(_ELSE)
            self._check_else()
            return False
        raise self._no_operator(token)

    def _wait(self, entry: _Pending) -> None:
        self.pending.append(entry)
        if len(self.pending) > self.limits.depth + 1:
            raise too_deep(self.source, self.tokens[self.index].span, self.limits)

    def _reduce(self, level: int) -> None:
        """Finish what binds at least as tightly as `level`."""
        pending = self.pending
        while pending[-1].level >= level:
            entry = pending.pop()
            right = self.values.pop()
            if entry.prefix:
                self._push(entry.ops, (right.position,), entry.start, right.end)
            elif entry.level == _RELATION:
                self.values.append(self._related(entry, self.values.pop(), right))
            elif entry.level == _ELSE:
                condition, first = self.values.pop(), self.values.pop()
                branches = (condition.position, first.position, right.position)
                self._push(("where",), branches, first.start, right.end)
            else:
                left = self.values.pop()
                operands = (left.position, right.position)
                self._push(entry.ops, operands, left.start, right.end)

    def _push(
        self, ops: tuple[str, ...], operands: tuple[int, ...], start: int, end: int
    ) -> None:
        """Apply operations in turn and leave the result on the stack."""
        span = Span(start, end)
        for op in ops:
            operands = (self.formula.emit(op, operands, None, span),)
        self.values.append(_Value(operands[0], start, end))

    def _chained(self, infix: _Pending) -> _Pending:
        """Turn the second relation of ``a < b < c`` into one that asks for both."""
        self._reduce(_SUM)
        if self.pending[-1].level != _RELATION:
            return infix
        middle = self.values.pop()
        condition = self._related(self.pending.pop(), self.values.pop(), middle)
        self.values.append(middle)
        return infix._replace(chain=condition)

    def _related(self, entry: _Pending, left: _Value, right: _Value) -> _Value:
        """Write a relation, and the conjunction with those before it in a chain."""
        emit, end = self.formula.emit, right.end
        operands = (left.position, right.position)
        position = emit(entry.ops[0], operands, None, Span(left.start, end))
        if entry.chain is None:
            return _Value(position, left.start, end)
        operands = (entry.chain.position, position)
        start = entry.chain.start
        return _Value(emit("and", operands, None, Span(start, end)), start, end)

    def _if(self, token: Token) -> None:
        self._reduce(_OR)
        if self.pending[-1].level == _IF:
            raise self._error(
                "expected 'else' before the next 'if'",
                token,
                "write 'a if condition else b', with parentheses inside the condition",
            )
        self._wait(_Pending(_IF, (), token.start))

    def _else(self, token: Token) -> None:
        self._reduce(_OR)
        if self.pending[-1].level != _IF:
            raise self._error("'else' without an 'if' before it", token, _CONDITIONAL)
        self.pending[-1] = self.pending[-1]._replace(level=_ELSE)

    def _check_else(self) -> None:
        entry = self.pending[-1]
        if entry.level == _IF:
            span = Span(entry.start, entry.start + 2)
            raise self.source.error("expected 'else' after this 'if'", span, _CONDITIONAL)

    def _argument(self, token: Token) -> None:
        """Read the comma between two arguments."""
        self._reduce(_ELSE)
        self._check_else()
        if self.pending[-1].call is None:
            raise self._error("',' outside of a call", token, self._comma_hint())

    def _comma_hint(self) -> str:
        """Return what to write instead of a comma that separates no arguments."""
        before, after = self.tokens[self.index - 1], self.tokens[self.index + 1]
        if before.kind == after.kind == "number" and before.end + 1 == after.start:
            return f"write a decimal point: {before.text}.{after.text}"
        return "name each result with 'name = ...' and ask for several with outputs="

    def _close(self, token: Token) -> None:
        """Read a closing parenthesis."""
        self._reduce(_ELSE)
        self._check_else()
        entry = self.pending.pop()
        if entry.call is None:
            position = self.values.pop().position
            self.values.append(_Value(position, entry.start, token.end))
            return
        arguments = tuple(value.position for value in self.values[entry.base :])
        del self.values[entry.base :]
        op = called(entry.call.text, len(arguments)) or entry.call.text
        self._check_arity(op, len(arguments), entry.call, token)
        self._push((op,), arguments, entry.start, token.end)

    def _check_function(self, token: Token) -> None:
        """Refuse calls of anything that is not a function."""
        name = token.text
        own = self.bound.parameters is not None and name == self.bound.name
        if name in NAMES and not own:
            return
        hint: str | None = f"write {name}*(...) to multiply"
        if own:
            message, hint = f"'{name}' calls itself", "give the new function another name"
        elif self.formula.is_variable(name) or name in _CONSTANTS:
            message = f"'{name}' is a variable and not a function"
        else:
            message = f"unknown function '{name}'"
            hint = (
                _FOREIGN_FUNCTIONS.get(name)
                or _suggestion(name, NAMES)
                or (hint if len(name) < 4 else None)
            )
        span = Span(token.start, token.start + len(name))
        raise self.source.error(message, span, hint)

    def _check_arity(self, op: str, count: int, call: Token, close: Token) -> None:
        least, most = FUNCTIONS[op].arity
        if count >= least and (most is None or count <= most):
            return
        if called(call.text, 1) != op:
            least = 1
        number = f"{least}" if least == most else f"at least {least}"
        plural = "" if least == 1 else "s"
        raise self.source.error(
            f"'{call.text}' takes {number} argument{plural}, not {count}",
            Span(call.start, close.end),
            _ARITY_HINTS.get(op),
        )

    def _error(self, message: str, token: Token, hint: str | None = None) -> SymgradError:
        return self.source.error(message, token.span, hint)

    def _before(self) -> Token:
        """Return the token before the current one, on whichever side of '='."""
        if self.index:
            return self.tokens[self.index - 1]
        start = self.tokens[0].start
        return Token("end", "" if self.bound.target is None else "=", start, start)

    def _no_value(self, token: Token) -> SymgradError:
        """Return the error about a token where a value should be."""
        before = self._before()
        shown = before.text + "(" if before.kind == "call" else before.text
        message = f"expected a value after '{shown}'" if shown else "expected a value"
        if token.kind != "end":
            hint = _FOREIGN_SIGNS.get(before.text + token.text)
            if token.text in {"if", "else"}:
                hint = _CONDITIONAL
            return self._error(f"{message}, found '{token.text}'", token, hint)
        hint = None
        if token.text not in {"", ";"}:
            hint = "put an expression over several lines in parentheses"
        if before.kind == "end":
            return self._error(message, token, hint)
        return self._error(message, before, hint)

    def _no_operator(self, token: Token) -> SymgradError:
        """Return the error about a value that follows a value."""
        before = self._before()
        name = before.text
        shown = token.text + "(" if token.kind == "call" else token.text
        message = f"expected an operator between '{name}' and '{shown}'"
        if token.text in {"not", "in", "is"}:
            return self._error(message, token, "write a comparison, such as x == y")
        if before.kind == "name" and name in NAMES and not self.formula.is_variable(name):
            return self._error(message, token, f"write {name}({shown}...) to call it")
        if before.kind == "name" and name in NAMES and token.text != "(":
            return self._error(message, before, f"write {name}({shown}) to call it")
        return self._error(message, token, f"write '*' between '{name}' and '{shown}'")

    def _misplaced_equals(self, token: Token) -> SymgradError:
        if any(entry.level == _BRACKET for entry in self.pending[1:]):
            return self._error("'=' inside parentheses", token, "write '==' to compare")
        if self.bound.target is not None:
            message, hint = "a second '=' in one statement", "write '==' to compare"
            return self._error(message, token, hint)
        span = Span(self.tokens[0].start, self.tokens[self.index - 1].end)
        hint = "write 'name = ...', or '==' to compare"
        return self.source.error("only a name can be assigned", span, hint)
