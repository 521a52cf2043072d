"""What ``symgrad diff`` prints: closed forms, and their values at a point."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from math import comb
from typing import Any, NamedTuple

from ..calculus.sweep import closed_form
from ..errors import ArgumentError, LimitError, UnsupportedError, listed
from ..graph.count import tree_size
from ..graph.evaluate import evaluate
from ..graph.lift import as_latex, as_python, as_text, lift
from ..graph.lower import symbolic
from ..graph.node import Node
from ..language.program import Program

__all__ = ["Row", "as_json", "as_lines", "closed_forms"]

#: The most operations in all derivatives when written out, and the most derivatives.
_LONGEST, _MOST = 200_000, 10_000


class Row(NamedTuple):
    """One derivative: of which output, by which names, its expression and its value."""

    output: str
    wrt: tuple[str, ...]
    expression: Any
    value: float | None

    @property
    def label(self) -> str:
        """The derivative in Leibniz's notation, on one line."""
        power = "" if len(self.wrt) == 1 else str(len(self.wrt))
        of = "" if self.output == "value" else self.output
        return f"d{power}{of}/{' '.join(f'd{name}' for name in self.wrt)}"

    @property
    def latex_label(self) -> str:
        """The derivative in Leibniz's notation as LaTeX."""
        power = "" if len(self.wrt) == 1 else f"^{{{len(self.wrt)}}}"
        of = "" if self.output == "value" else f" {_latex_name(self.output)}"
        below = " ".join(rf"\partial {_latex_name(name)}" for name in self.wrt)
        return rf"\frac{{\partial{power}{of}}}{{{below}}}"


def closed_forms(
    program: Program,
    wrt: Sequence[str] | None,
    order: int,
    point: Mapping[str, float] | None,
    inline: bool,
    arrays: Sequence[str] | None,
) -> list[Row]:
    """Return the derivatives of every output by every combination of names."""
    names_wanted = wrt or program.inputs
    if len(set(names_wanted)) != len(names_wanted):
        raise ArgumentError("--wrt names the same input twice")
    count = len(program.outputs) * comb(len(names_wanted) + order - 1, order)
    if count > _MOST:
        raise LimitError(
            f"there are {count:,} derivatives of order {order} and the limit is {_MOST:,}",
            hint="name fewer inputs with --wrt, or take symgrad.hessian(..., sparse=True)",
        )
    graph = symbolic(program, arrays)
    targets = {name: graph.find(name) for name in names_wanted}
    rows = []
    length = 0.0
    for output in graph.outputs:
        # Combinations come sorted, so that most share all names but the last with the one
        # before.
        chain: list[tuple[str, Node]] = []
        for names in combinations_with_replacement(targets, order):
            same = 0
            while same < len(chain) and chain[same][0] == names[same]:
                same += 1
            del chain[same:]
            for name in names[same:]:
                last = chain[-1][1] if chain else output.node
                chain.append((name, closed_form(graph.builder, last, targets[name])))
            node = chain[-1][1]
            value = None if point is None else evaluate([node], point)[0]
            length += tree_size(node, inline=inline)
            _check_length(length, names)
            rows.append(Row(output.name, names, lift(node, inline=inline), value))
    return rows


def _check_length(length: float, names: Sequence[str]) -> None:
    """Refuse derivatives that are too long to read, given the length of all so far."""
    if length > _LONGEST:
        raise LimitError(
            f"the derivatives up to the one by {listed(names)} have {length:.3g} operations "
            "when written out",
            hint="name steps in the formula, or see the compact form with "
            "symgrad emit --stage gradient",
        )


def as_lines(rows: Sequence[Row], form: str, bare: bool) -> Iterator[str]:
    """Return the lines of a listing; a single derivative that was named is bare."""
    write = {"text": as_text, "latex": as_latex, "python": as_python}[form]
    for row in rows:
        expression = write(row.expression)
        value = None if row.value is None else f"{row.value:.12g}"
        if bare and len(rows) == 1:
            yield expression
            if value is not None:
                yield value
        elif form == "python":
            comment = "" if value is None else f"  # {value}"
            yield f"{row.label.replace('/', '_').replace(' ', '')} = {expression}{comment}"
        else:
            label = row.latex_label if form == "latex" else row.label
            yield f"{label} = {expression}" + ("" if value is None else f" = {value}")


def as_json(program: Program, rows: Sequence[Row], point: Mapping[str, float] | None) -> str:
    """Return the derivatives as JSON; a value that JSON has no number for is a string."""
    document: dict[str, Any] = {"formula": program.text, "inputs": list(program.inputs)}
    if point is not None:
        document["at"] = {name: _plain(number) for name, number in point.items()}
    document["derivatives"] = [
        {
            "output": row.output,
            "wrt": list(row.wrt),
            "expression": as_text(row.expression),
            "latex": as_latex(row.expression),
            "python": _python_or_none(row.expression),
        }
        | ({} if row.value is None else {"value": _plain(row.value)})
        for row in rows
    ]
    return json.dumps(document, indent=2, ensure_ascii=False)


def _python_or_none(expression: Any) -> str | None:
    try:
        return as_python(expression)
    except UnsupportedError:
        return None


def _plain(value: float) -> float | str:
    return value if value - value == 0.0 else repr(value)


def _latex_name(name: str) -> str:
    return as_latex(name)
