"""Every error that symgrad raises, and how a place in a formula is shown.

All of them are children of `SymgradError` and of the built-in exception that fits, so
that ``except ValueError`` keeps working for people who do not know symgrad.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import NamedTuple

__all__ = [
    "ArgumentError",
    "AutogradError",
    "CacheWarning",
    "DTypeError",
    "FormulaError",
    "LimitError",
    "MissingDependencyError",
    "ShapeError",
    "Span",
    "SymgradError",
    "UnsupportedError",
    "choices",
    "listed",
    "suggestion",
]

_WIDTH = 100


class Span(NamedTuple):
    """A half-open range of characters, ``text[start:end]``, of the user's formula."""

    start: int
    end: int


class SymgradError(Exception):
    """The root of all errors of symgrad."""


class FormulaError(SymgradError, ValueError):
    """A formula that cannot be read or has no meaning, with the place where.

    Attributes:
        message: what is wrong and what was expected, in one sentence.
        text: the whole formula, or None when it did not come as text.
        span: the characters at fault, or None.
        hint: what to write instead, or None.
        line, column: the place, both counted from 1; None without a span.

    >>> print(FormulaError("unknown function 'lg'", text="y*lg(x)", span=Span(2, 4),
    ...                    hint="did you mean 'log'?"))
    unknown function 'lg': did you mean 'log'?
      line 1, column 3
        y*lg(x)
          ^^
    """

    def __init__(
        self,
        message: str,
        *,
        text: str | None = None,
        span: Span | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep the parts; the rendered form is built on demand."""
        self.message = message
        self.text = text
        self.span = span
        self.hint = hint
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as data, so that errors cross process boundaries."""
        return (_rebuild, (type(self), self.message, self.text, self.span, self.hint))

    @property
    def line(self) -> int | None:
        """The line of the place, counted from 1."""
        if self.text is None or self.span is None:
            return None
        return self.text.count("\n", 0, self.span.start) + 1

    @property
    def column(self) -> int | None:
        """The column of the place in characters, counted from 1."""
        if self.text is None or self.span is None:
            return None
        return self.span.start - (self.text.rfind("\n", 0, self.span.start) + 1) + 1

    def __str__(self) -> str:
        head = self.message if self.hint is None else f"{self.message}: {self.hint}"
        if self.text is None or self.span is None:
            return head
        place = f"  line {self.line}, column {self.column}"
        return "\n".join([head, place, *_excerpt(self.text, self.span)])


def _rebuild(
    kind: type[FormulaError],
    message: str,
    text: str | None,
    span: Span | None,
    hint: str | None,
) -> FormulaError:
    return kind(message, text=text, span=span, hint=hint)


class LimitError(FormulaError):
    """A formula larger than a stated limit; the caller can raise the limit."""


class ArgumentError(SymgradError, TypeError):
    """A missing, unknown or surplus argument, or a name that the function lacks."""


class UnsupportedError(SymgradError, TypeError):
    """An object, a SymPy node for example, that has no meaning as a real formula."""


class DTypeError(SymgradError, TypeError):
    """An argument whose type is not a real number or an array of them."""


class ShapeError(SymgradError, ValueError):
    """Shapes that do not broadcast together, or an output array that does not fit."""


class AutogradError(SymgradError, RuntimeError):
    """A use of tensors that has no gradient, worded as PyTorch words it."""


class MissingDependencyError(SymgradError, ImportError):
    """An optional package that the called feature needs is not installed."""


class CacheWarning(UserWarning):
    """The disk cache cannot be used; kernels are compiled in memory instead."""


def _excerpt(text: str, span: Span) -> list[str]:
    """Return the source line of the place, cut to a readable width, and the carets."""
    start = text.rfind("\n", 0, span.start) + 1
    stop = text.find("\n", span.start)
    stop = len(text) if stop < 0 else stop
    column = span.start - start
    width = max(1, min(span.end, stop) - span.start)
    line = "".join(c if c.isprintable() else " " for c in text[start:stop])
    if len(line) > _WIDTH:
        cut = max(0, column - _WIDTH // 2)
        shown = line[cut : cut + _WIDTH]
        lead = "..." if cut else ""
        tail = "..." if cut + _WIDTH < len(line) else ""
        line, column = lead + shown + tail, column - cut + len(lead)
        width = min(width, len(line) - column) or 1
    return [f"    {line}", f"    {' ' * column}{'^' * width}"]


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """Return a hint that offers the known names nearest to `name`, if any is near.

    >>> suggestion("lg", ["log", "sin"])
    "did you mean 'log'?"
    """
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    if not near:
        lowered = {k.lower(): k for k in known}
        near = [lowered[name.lower()]] if name.lower() in lowered else []
    if not near:
        return None
    return "did you mean " + " or ".join(f"'{n}'" for n in near) + "?"


def listed(names: Collection[str], most: int = 10) -> str:
    """Return names for a message, of many only the first and the last.

    >>> listed(["x", "y"]), listed([f"x{k}" for k in range(1000)], 3), listed([])
    ('x, y', 'x0, x1, ..., x999', 'none')
    """
    shown = list(names)
    if len(shown) > most:
        shown[most - 1 : -1] = ["..."]
    return ", ".join(shown) or "none"


def choices(name: object, known: Collection[str], noun: str) -> str:
    """Return a hint for a name that is not known: the nearest ones, else what there is.

    >>> choices("speeed", ["speed", "mass"], "inputs"), choices(3, ["x"], "inputs")
    ("did you mean 'speed'?", 'the inputs are x')
    """
    return suggestion(str(name), known) or f"the {noun} are {listed(known)}"
