"""Errors: the picture of the place, the built-in parents, and pickling."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from symgrad import errors
from symgrad.errors import FormulaError, LimitError, Span, SymgradError, suggestion

PARENTS = {
    "FormulaError": ValueError,
    "LimitError": ValueError,
    "ArgumentError": TypeError,
    "UnsupportedError": TypeError,
    "DTypeError": TypeError,
    "ShapeError": ValueError,
    "AutogradError": RuntimeError,
    "MissingDependencyError": ImportError,
}


def shown(text: str, start: int, end: int, **parts: str) -> list[str]:
    return str(FormulaError("wrong", text=text, span=Span(start, end), **parts)).splitlines()


@pytest.mark.parametrize(
    "name",
    [
        n
        for n, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, SymgradError)
    ],
)
def test_every_error_is_the_built_in_that_fits(name: str) -> None:
    kind = getattr(errors, name)
    assert name in errors.__all__
    assert kind.__doc__
    if kind is SymgradError:
        return
    assert issubclass(kind, PARENTS[name])
    error = kind("what is wrong")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error) == "what is wrong"


def test_the_warning_is_a_warning() -> None:
    assert issubclass(errors.CacheWarning, UserWarning)


def test_formula_errors_pickle_with_their_place() -> None:
    for kind in (FormulaError, LimitError):
        error = kind("m", text="a\nbcd", span=Span(3, 4), hint="h")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert str(again) == str(error)
        assert (again.line, again.column, again.hint) == (2, 2, "h")


def test_carets_stand_under_the_place() -> None:
    assert shown("y*lg(x)", 2, 4, hint="did you mean 'log'?") == [
        "wrong: did you mean 'log'?",
        "  line 1, column 3",
        "    y*lg(x)",
        "      ^^",
    ]


def test_without_a_place_there_is_one_line() -> None:
    error = FormulaError("wrong", text="x")
    assert str(error) == "wrong"
    assert error.line is None
    assert error.column is None
    assert str(FormulaError("wrong", span=Span(0, 1))) == "wrong"


def test_only_the_line_at_fault_is_shown() -> None:
    assert shown("a = 1\nbb = a +* 2\nc", 12, 13)[1:] == [
        "  line 2, column 7",
        "    bb = a +* 2",
        "          ^",
    ]


def test_tabs_and_controls_take_one_column() -> None:
    lines = shown("\tx\t+\x07y @", 7, 8)
    assert lines[2] == "     x + y @"
    assert lines[3].index("^") == lines[2].index("@")


def test_a_span_over_lines_ends_with_the_line() -> None:
    assert shown("ab(\nc", 1, 5)[2:] == ["    ab(", "     ^^"]


def test_a_place_after_the_end_has_a_caret() -> None:
    assert shown("x +", 3, 3)[2:] == ["    x +", "       ^"]
    assert shown("", 0, 0)[2:] == ["    ", "    ^"]
    assert shown("x\n", 1, 2)[2:] == ["    x", "     ^"]


@pytest.mark.parametrize("place", [0, 5, 60, 2_000, 4_990, 4_999])
def test_long_lines_are_cut_around_the_place(place: int) -> None:
    text = "".join(chr(ord("a") + k % 26) for k in range(5_000))
    lines = shown(text, place, place + 1)
    assert len(lines[2]) <= 4 + 100 + 6
    column = lines[3].index("^")
    assert lines[2][column] == text[place]
    assert lines[3].count("^") == 1
    assert lines[2].strip().startswith("...") == (place > 50)


def test_wide_spans_stay_inside_the_line() -> None:
    lines = shown("x" * 500, 10, 490)
    assert len(lines[3]) <= len(lines[2])
    lines = shown("x" * 500, 0, 500)
    assert len(lines[3]) <= len(lines[2])
    assert lines[3].count("^") > 50


def test_suggestions() -> None:
    assert suggestion("lg", ["log", "sin"]) == "did you mean 'log'?"
    assert suggestion("SIN", ["log", "sin"]) == "did you mean 'sin'?"
    assert suggestion("qqq", ["log", "sin"]) is None
    assert suggestion("x", []) is None
    assert (
        suggestion("speeds", ["speed", "spend", "other"]) == "did you mean 'speed' or 'spend'?"
    )
