"""Statements of a known shape mean what the parser reads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgrad as sg
from symgrad.language import parse as module
from symgrad.language.parse import parse
from symgrad.language.shapes import Shapes


def read_by_the_parser(text: str, monkeypatch: pytest.MonkeyPatch, **options: object):
    """Read a text statement by statement, as if no two had the same shape."""
    with monkeypatch.context() as patch:
        patch.setattr(Shapes, "find", lambda *_: None)
        return parse(text, **options)


def outcome(read):
    """Return the Program, or the error that is raised."""
    try:
        return read()
    except sg.SymgradError as error:
        return str(error)


@pytest.fixture
def counted(monkeypatch):
    """The lines that were written by their shape."""
    lines: list[str] = []
    fold = module.Repetition.folded

    def counting(self, text, values):
        statement = fold(self, text, values)
        if statement is not None:
            lines.append("".join(self.pieces))
        return statement

    monkeypatch.setattr(module.Repetition, "folded", counting)
    return lines


TEXTS = {
    "recurrence": "a0 = x\na1 = c*x\n"
    + "".join(f"a{i} = sin(a{i - 1})*x + c*a{i - 2}\n" for i in range(2, 40)),
    "numbers": "".join(f"v{i} = {i}*x + .{i}e-{i} - 1.{i}*x**{i}\n" for i in range(1, 30)),
    "calls": "".join(f"w{i} = where(x < {i}, max(x, y, {i}.5), -y)\n" for i in range(30)),
    "words": "".join(f"w{i} = x if x < {i} else not y or x\n" for i in range(30)),
    "copies": "u0 = x\n" + "".join(f"u{i} = u{i - 1}\n" for i in range(1, 30)),
    "indented": "".join(f"   w{i}  =  -( x+{i} ) ^ 2 \n" for i in range(30)),
    "constants": "".join(f"w{i} = pi*x + e\n" for i in range(30)),
    "comments": "".join(f"w{i} = x + {i} # like w{i - 1}\n" for i in range(30)),
    "several": "".join(f"w{i} = x; v{i} = w{i}*x\n" for i in range(30)),
    "continued": "".join(f"w{i} = (x\n + {i})\nv{i} = x \\\n + w{i}\n" for i in range(30)),
    "windows": "".join(f"w{i} = x + {i}\r\n" for i in range(30)),
    "wide": "".join(f"α{i} = x×{i} − α\n" for i in range(30)),
    "mixed": "".join(f"w{i} = αx + x*{i}\n" for i in range(30)),
    "chains": "".join(f"w{i} = {i} < x <= y < {i + 1}\n" for i in range(30)),
    "new inputs": "".join(f"w{i} = x{i} + x{i // 2}\n" for i in range(30)),
    "same sides": "".join(f"w{i} = x/x + {i}//{i}\n" for i in range(30)),
    "names of functions": "sin = x\nexp = y\n" + "".join(f"w{i} = sin*exp\n" for i in range(9)),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("end", ["", "last = x\n", "f(x, y) = x + y", "x + y"])
def test_programs_are_those_of_the_parser(name, end, monkeypatch) -> None:
    text = TEXTS[name] + end
    expected = outcome(lambda: read_by_the_parser(text, monkeypatch))
    assert outcome(lambda: parse(text)) == expected


def test_repeated_statements_are_written_by_their_shape(counted) -> None:
    parse(TEXTS["recurrence"])
    # The first line of the shape is read, and the second, which tells the shape.
    assert len(counted) == 37


def test_every_instruction_has_its_characters() -> None:
    program = parse(TEXTS["recurrence"])
    for code in program.instructions:
        shown = program.text[code.span.start : code.span.end]
        if code.op == "sin":
            assert shown.startswith("sin(a")
            assert shown.endswith(")")
        if code.op == "step":
            assert shown.startswith(f"{code.payload} = ")


LINES = "".join(f"w{i} = x*{i} + sin(y)\n" for i in range(5))
FAULTS = {
    "used too early": ("w9 = x*w10 + sin(y)\nw10 = x", "before it is assigned"),
    "its own": ("w9 = w9*2 + sin(y)\n", "own definition"),
    "twice": ("w3 = x*7 + sin(y)\n", "already assigned in line 4"),
    "a word": ("if = x*7 + sin(y)\n", "expected a value"),
    "a truth value": ("True = x*7 + sin(y)\n", "not a number"),
    "not a number": ("w9 = x*7q + sin(y)\n", "expected an operator"),
    "two points": ("w9 = x*1.2.3 + sin(y)\n", "more than one point"),
    "leading zero": ("w9 = x*07 + sin(y)\n", "starts with 0"),
    "too large": ("w9 = x*1e999 + sin(y)\n", "larger than any double"),
    "long name": (f"{'w' * 300} = x*7 + sin(y)\n", "a name has 300 characters"),
    "circle": ("a = x*b + sin(y)\nb = x*a + sin(y)\n", "in a circle"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_errors_are_those_of_the_parser(name, monkeypatch) -> None:
    text, message = LINES + FAULTS[name][0], FAULTS[name][1]
    with pytest.raises(sg.FormulaError) as found:
        parse(text)
    with pytest.raises(sg.FormulaError) as expected:
        read_by_the_parser(text, monkeypatch)
    assert str(found.value) == str(expected.value)
    assert message in str(found.value)


def test_inputs_cannot_be_bound_by_a_known_shape() -> None:
    with pytest.raises(sg.FormulaError, match="'y' is an input"):
        parse(LINES + "y = x*7 + sin(y)\n", inputs=["x", "y"])


def test_the_limit_of_instructions_holds() -> None:
    limits = sg.Limits(instructions=30)
    with pytest.raises(sg.LimitError, match="more than 30 instructions"):
        parse("".join(f"w{i} = x*{i} + sin(x)\n" for i in range(50)), limits=limits)


PIECES = (
    "x",
    "y",
    "7",
    ".5",
    "2e3",
    "pi",
    "sin(",
    "(",
    ")",
    "+",
    "*",
    "-",
    "**",
    " ",
    "<",
    ",",
)


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_line_three_times(pieces) -> None:
    """What comes third is read as what comes first, or refused in the same words."""
    line = "".join(pieces)
    text = f"x = a\ny = b\nu = {line}\nv = {line}\nw = {line}\nlast = x\n"

    with pytest.MonkeyPatch.context() as patch:
        expected = outcome(lambda: read_by_the_parser(text, patch))
    assert outcome(lambda: parse(text)) == expected
