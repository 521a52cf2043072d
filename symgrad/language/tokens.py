"""Tokens: the characters of a formula become names, numbers and signs.

One compiled regular expression does the work; everything it does not know ends in an
error that names the character and says what to write instead. Names are normalised with
NFKC, as in Python, so that two spellings that look the same are one name; characters that
cannot be seen are refused, because a formula must mean what it looks like.
"""

# Characters that look alike are the subject of this module.
# ruff: noqa: RUF001

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from ..errors import ArgumentError, FormulaError, LimitError, Span
from .program import Number

__all__ = [
    "DEFAULT_LIMITS",
    "RESERVED",
    "WORDS",
    "Limits",
    "Source",
    "Token",
    "check_number",
    "normalized_name",
    "read_number",
    "read_statement",
    "skeleton",
    "statements",
    "too_deep",
    "word",
]

#: Words that are signs of the language and never names.
WORDS = frozenset({"if", "else", "and", "or", "not"})

#: Truth values of Python; as names of variables they would surprise everybody.
_TRUTH_VALUES = frozenset({"True", "False"})

#: What no value can be called.
RESERVED = WORDS | _TRUTH_VALUES

#: Unicode signs and the ASCII signs that they stand for. The dashes are those that word
#: processors make out of a minus; U+0387 is canonically the middle dot.
_SIGNS = {
    **dict.fromkeys("×·⋅∗∙\u0387", "*"),
    **dict.fromkeys("÷∕⁄", "/"),
    **dict.fromkeys("−\u2010\u2011\u2012\u2013\ufe63\uff0d", "-"),
    **dict.fromkeys("≤⩽≦", "<="),
    **dict.fromkeys("≥⩾≧", ">="),
    "≠": "!=",
}

_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_SIGN_CLASS = re.escape("".join(_SIGNS))

# A number takes every letter, digit and point that follows, as in C's grammar, so that
# `2x`, `0x1F` and `1.2.3` are reported as what they are. A name that is not ASCII takes
# everything that is neither ASCII nor a sign, so that a character that is no letter is
# reported inside the name that it spoils.
_TOKEN = re.compile(
    rf"""
      (?P<space>   [ \t{_SPACES}]+ | \\[ \t]*(?:\r\n?|\n) | \#[^\r\n]* )
    | (?P<name>    [A-Za-z_][A-Za-z_0-9]*+(?![^\x00-\x7f]) )
    | (?P<number>  \.?[0-9](?:[eE][+-]?[0-9]|[\w.])*+ )
    | (?P<sign>    \*\*|//|<=|>=|==|!=|[-+*/%^(),=<>{_SIGN_CLASS}] )
    | (?P<newline> \r\n?|\n|; )
    | (?P<wide>    (?:[A-Za-z_0-9]|[^\x00-\x7f{_SIGN_CLASS}{_SPACES}])+ )
    | (?P<other>   . )
    """,
    re.VERBOSE | re.DOTALL,
)

_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

#: Marks that are part of names for Python, but have no shape of their own.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10))))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)

#: Letters that most fonts draw exactly like a Latin one: Cyrillic, Greek, others.
_TWINS = str.maketrans(
    "аеорсухіјѕһԁԛԝӏѵ" + "АВЕКМНОРСТХІЈЅ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο" + "ıɑɡ",
    "aeopcyxijshdqwlv" + "ABEKMHOPCTXIJS" + "ABEZHIKMNOPTYXo" + "iag",
)

_NO_QUOTES = "text in quotes has no meaning in a formula"

#: What is wrong with a character, and what to write instead.
_COMPLAINTS: dict[str, tuple[str, str | None]] = {
    '"': (_NO_QUOTES, "write names without quotes"),
    "'": (_NO_QUOTES, "write names without quotes"),
    "`": (_NO_QUOTES, "write names without quotes"),
    "[": ("'[' has no meaning in a formula", "give each element a name, such as x_0"),
    "]": ("']' has no meaning in a formula", "group with '(' and ')'"),
    "{": ("'{' has no meaning in a formula", "group with '(' and ')'"),
    "}": ("'}' has no meaning in a formula", "group with '(' and ')'"),
    "|": (
        "'|' has no meaning in a formula",
        "write abs(x), or 'or' between two conditions",
    ),
    "&": ("'&' has no meaning in a formula", "write 'and' between two conditions"),
    "~": ("'~' has no meaning in a formula", "write 'not' before a condition"),
    "!": (
        "'!' has no meaning in a formula",
        "write 'not' before a condition, or gamma(n + 1) for a factorial",
    ),
    ":": ("':' has no meaning in a formula", "write 'name = expression'"),
    "?": ("'?' has no meaning in a formula", "write 'a if condition else b'"),
    "@": ("'@' has no meaning in a formula", "write '*' to multiply"),
    ".": ("a point belongs to numbers only", "names have no attributes here"),
    "\\": ("a backslash may only end a line", "write '/' to divide"),
    "√": ("'√' has no meaning in a formula", "write sqrt(x)"),
    "∞": ("'∞' has no meaning in a formula", "write inf"),
    "∧": ("'∧' has no meaning in a formula", "write 'and'"),
    "∨": ("'∨' has no meaning in a formula", "write 'or'"),
    "¬": ("'¬' has no meaning in a formula", "write 'not'"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a formula may be; a caller who knows better raises a limit.

    The parser itself needs time and memory in proportion to the text, whatever the
    limits; they protect what comes after it.

    Attributes:
        length: characters of the whole text.
        depth: nesting of parentheses, signs, powers and conditionals.
        instructions: instructions of the Program.
        digits: characters of one number.
        name: characters of one name.
        entries: entries of a dense Jacobian or Hessian at one point.
    """

    length: int = 16_000_000
    depth: int = 50_000
    instructions: int = 2_000_000
    digits: int = 400
    name: int = 200
    entries: int = 1_000_000

    def __post_init__(self) -> None:
        """Refuse limits that are no sizes."""
        for field in fields(self):
            size = getattr(self, field.name)
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise ArgumentError(
                    f"the limit {field.name} must be a number 0, 1, 2, ..., not {size!r}"
                )


DEFAULT_LIMITS = Limits()


class Token(NamedTuple):
    """A piece of the text.

    `kind` is ``"number"``, ``"name"``, ``"call"`` (a name and the parenthesis after it),
    ``"sign"`` (words such as ``and`` included) or ``"end"`` (of a statement; its text is
    the separator). `text` is normalised: the NFKC form of a name, the ASCII form of a
    sign.
    """

    kind: str
    text: str
    start: int
    end: int

    @property
    def span(self) -> Span:
        """The characters of the token."""
        return Span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Source:
    """A text that errors refer to, at position `base` of the Program's text.

    Tokens count characters from the start of the Program's text; in a mapping of
    statements, errors show the one statement that the user wrote.
    """

    text: str
    base: int = 0

    def error(self, message: str, span: Span, hint: str | None = None) -> FormulaError:
        """Return an error that points at `span`."""
        return FormulaError(message, text=self.text, span=self._local(span), hint=hint)

    def limit(self, message: str, span: Span, name: str) -> LimitError:
        """Return an error about the limit `name`."""
        hint = f"raise it with Limits({name}=...)"
        return LimitError(message, text=self.text, span=self._local(span), hint=hint)

    def line(self, position: int) -> int:
        """Return the line of a character, counted from 1."""
        return self.text.count("\n", 0, max(0, position - self.base)) + 1

    def _local(self, span: Span) -> Span:
        return Span(span.start - self.base, span.end - self.base)


def statements(source: Source, limits: Limits) -> list[list[Token]]:
    """Split a text into statements; each is a list of tokens that ends with an "end".

    >>> [[t.text for t in s] for s in statements(Source("u = x; sin(u)"), Limits())]
    [['u', '=', 'x', ';'], ['sin', 'u', ')', '']]
    """
    found: list[list[Token]] = []
    place = 0
    while place < len(source.text):
        tokens, place = read_statement(source, limits, place)
        if tokens:
            found.append(tokens)
    return found


def read_statement(source: Source, limits: Limits, place: int = 0) -> tuple[list[Token], int]:
    """Return the tokens of the statement at a character of the text, and where it ends.

    There are no tokens if nothing follows but space.
    """
    tokens: list[Token] = []
    opened: list[int] = []
    base = source.base
    # A byte order mark is how some editors begin a file.
    place = max(place, source.text.startswith("\ufeff"))
    for match in _TOKEN.finditer(source.text, place):
        kind = match.lastgroup
        if kind == "space":
            continue
        text, start, end = match.group(), base + match.start(), base + match.end()
        if kind == "sign":
            text = _SIGNS.get(text, text)
            if text == "(":
                opened.append(start)
                if len(opened) > limits.depth:
                    raise too_deep(source, Span(start, end), limits)
                if tokens and tokens[-1].kind == "name":
                    name = tokens[-1]
                    tokens[-1] = Token("call", name.text, name.start, name.end)
                    continue
            elif text == ")":
                if not opened:
                    raise source.error(
                        "')' closes nothing", Span(start, end), "delete it, or add a '('"
                    )
                opened.pop()
            tokens.append(Token("sign", text, start, end))
        elif kind == "name":
            tokens.append(word(source, text, start, end, limits))
        elif kind == "number":
            check_number(source, text, start, limits)
            tokens.append(Token("number", text, start, end))
        elif kind == "newline":
            if opened:
                if text != ";":
                    continue
                raise source.error(
                    "';' inside parentheses", Span(start, end), "close the '(' before it"
                )
            if tokens:
                tokens.append(Token("end", text, start, end))
                return tokens, match.end()
        elif kind == "wide":
            text = _wide_name(source, text, start, limits)
            tokens.append(word(source, text, start, end, limits))
        else:
            raise _character_error(source, text, start)
    if opened:
        last = Span(opened[-1], opened[-1] + 1)
        raise source.error("'(' is never closed", last, "add a ')'")
    if tokens:
        end = tokens[-1].end
        tokens.append(Token("end", "", end, end))
    return tokens, len(source.text)


def too_deep(source: Source, span: Span, limits: Limits) -> LimitError:
    """Return the error about the limit of depth."""
    message = f"the formula is nested deeper than {limits.depth:,} levels"
    return source.limit(message, span, "depth")


@lru_cache(maxsize=4096)
def read_number(text: str) -> Number:
    """Return the exact value of a literal that `statements` let through.

    >>> read_number("2.50")
    Number(value=Fraction(5, 2), decimal=True)
    """
    if text.isdecimal() and len(text) < 100:
        return Number(Fraction(int(text)))
    if float(text) == 0:
        return Number(Fraction(0), decimal=not text.isdecimal())
    # By way of Decimal: exact, in C, and without the limit that int() puts on strings.
    return Number(Fraction(Decimal(text)), decimal=not text.isdecimal())


def normalized_name(name: str, limits: Limits) -> str:
    """Return a name given outside of a formula in the form that it has inside.

    >>> normalized_name("ﬁ_0", Limits())
    'fi_0'
    """
    source = Source(name)
    if not name:
        raise source.error("a name is empty", Span(0, 0), "a name starts with a letter")
    if not name.isascii():
        name = _wide_name(source, name, 0, limits)
    if not name.isidentifier():
        raise source.error(
            f"{_shown(name)} is not a name",
            Span(0, len(name)),
            "a name has letters, digits and '_', and starts with no digit",
        )
    token = word(source, name, 0, len(name), limits)
    if token.kind != "name":
        raise source.error(f"'{name}' is a word of the language", token.span)
    return token.text


def skeleton(name: str) -> str:
    """Return what a name looks like: letters of other scripts replaced by Latin twins.

    >>> skeleton("\N{CYRILLIC SMALL LETTER IE}") == "e"
    True
    """
    return name.translate(_TWINS)


def word(source: Source, text: str, start: int, end: int, limits: Limits) -> Token:
    """Return the token of a name in its normal form, or of a word of the language."""
    if text in WORDS:
        return Token("sign", text, start, end)
    if end - start > limits.name:
        raise _name_too_long(source, start, end, limits)
    if text in _TRUTH_VALUES:
        raise source.error(
            f"'{text}' is not a number", Span(start, end), "write a condition such as x > 0"
        )
    return Token("name", text, start, end)


def _name_too_long(source: Source, start: int, end: int, limits: Limits) -> LimitError:
    message = f"a name has {end - start:,} characters and the limit is {limits.name:,}"
    return source.limit(message, Span(start, end), "name")


def _wide_name(source: Source, text: str, start: int, limits: Limits) -> str:
    """Return the normal form of a name with characters outside of ASCII."""
    if len(text) > limits.name:
        raise _name_too_long(source, start, start + len(text), limits)
    for offset, char in enumerate(text):
        # The middle dot may be inside a name for Unicode, but here it multiplies.
        fits = (char if offset == 0 else "x" + char).isidentifier()
        if not fits or char in _INVISIBLE or char in _SIGNS:
            raise _character_error(source, char, start + offset, inside=offset > 0)
    name = unicodedata.normalize("NFKC", text)
    if not name.isidentifier():
        raise source.error(
            f"{_shown(text)} is not a name",
            Span(start, start + len(text)),
            "use plain letters",
        )
    return name


def _character_error(
    source: Source, char: str, start: int, *, inside: bool = False
) -> FormulaError:
    """Return the error about a character that fits nowhere, or not inside a name."""
    span = Span(start, start + 1)
    code = f"U+{ord(char):04X}"
    category = unicodedata.category(char)
    if char in _COMPLAINTS:
        message, hint = _COMPLAINTS[char]
        return source.error(message, span, hint)
    if char in _INVISIBLE or category in {"Cf", "Cc", "Zl", "Zp"}:
        name = unicodedata.name(char, "control character").lower()
        return source.error(f"the invisible character {code} ({name})", span, "delete it")
    if category in {"Cs", "Co", "Cn"}:
        return source.error(f"the character {code} stands for nothing", span, "delete it")
    plain = unicodedata.normalize("NFKC", char)
    if category == "Mn":
        return source.error(f"the mark {code} has no letter to sit on", span, "delete it")
    if not plain.isascii() or plain == char:
        plain = plain.replace("⁄", "/") if category == "No" else ""
    message = f"'{char}' ({code}) has no meaning in a formula"
    if not plain:
        return source.error(message, span)
    if unicodedata.decomposition(char).startswith("<super>"):
        return source.error(message, span, f"write **{plain} for a power")
    if unicodedata.decomposition(char).startswith("<sub>") and inside:
        return source.error(message, span, f"write {plain} or _{plain} for an index")
    return source.error(message, span, f"write {plain}")


def check_number(source: Source, text: str, start: int, limits: Limits) -> None:
    """Refuse what only looks like a number, and numbers that no double can hold."""
    span = Span(start, start + len(text))
    if len(text) > limits.digits:
        message = f"a number has {len(text):,} characters and the limit is {limits.digits}"
        raise source.limit(message, span, "digits")
    if not _NUMBER.fullmatch(text):
        raise _number_error(source, text, span)
    if len(text) > 1 and text[0] == "0" and text.isdecimal():
        plain = text.lstrip("0") or "0"
        raise source.error("a whole number starts with 0", span, f"write {plain}")
    # Looking at the double first keeps 1e999999999 from becoming an exact integer.
    value = float(text)
    if value == float("inf"):
        raise source.error("a number is larger than any double", span, "write inf")
    if value == 0 and re.match(r"[0.]*[1-9]", text):
        raise source.error("a number is smaller than any double", span, "write 0")


def _number_error(source: Source, text: str, span: Span) -> FormulaError:
    """Return the error about text that begins like a number and goes on otherwise."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+", text):
        hint = f"write {int(text, 0)}" if len(text) < 40 else None
        return source.error("numbers are written in decimal", span, hint)
    if re.fullmatch(r"[0-9._eE]*[0-9]_[0-9][0-9._eE]*", text):
        plain = text.replace("_", "")
        return source.error("a number with '_' in it", span, f"write {plain}")
    head = match.group() if (match := _NUMBER.match(text)) else text
    tail = text[len(head) :]
    if tail in {"j", "J"}:
        return source.error(
            "there are no imaginary numbers here", span, f"write {head}*{tail} to multiply"
        )
    if tail in {"e", "E"}:
        return source.error(
            "the exponent has no digits", span, f"write {head}e5, or {head}*{tail}"
        )
    if tail[0] == ".":
        return source.error("a number has more than one point", span)
    start = span.start + len(head)
    letters = re.match(r"[^\W\d]\w*", tail)
    if letters is None or not tail[0].isidentifier():
        return _character_error(source, tail[0], start, inside=True)
    name = letters.group()
    return source.error(
        f"expected an operator between {_shown(head)} and {_shown(name)}",
        Span(start, start + len(name)),
        f"write '*' between them: {_cut(head)}*{_cut(name)}",
    )


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _shown(text: str) -> str:
    """Return a piece of text for a message: in quotes, short, and always printable."""
    return "'" + "".join(c if c.isprintable() else "?" for c in _cut(text)) + "'"
