"""The ``symgrad`` command.

Every command exits with 0 on success and with 2 on a mistake of the user, which is shown
with a caret under the place. Modules are imported by the command that needs them: printing
a derivative never loads Numba.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ArgumentError, SymgradError, choices, listed
from ..version import version

if TYPE_CHECKING:
    from ..language.program import Program

__all__ = ["main"]

_DIGITS = 12


class _Commands(click.Group):
    """A group that turns symgrad's errors into a message and exit status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SymgradError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="symgrad")
def main() -> None:
    """Exact derivatives and compiled kernels of a formula.

    FORMULA is text such as "z = y*log(x) + sin(y)" or "u = x + y; z = u**2", the name of a
    file that holds it, or - for standard input.
    """


formula_argument = click.argument("formula")
at_option = click.option(
    "--at",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Value of an input; repeat for each, or separate by commas.",
)
wrt_option = click.option(
    "--wrt",
    metavar="NAMES",
    help="Inputs and steps to differentiate by, separated by commas; all inputs by default.",
)


@main.command()
@formula_argument
@wrt_option
@at_option
@click.option(
    "--order", type=click.IntRange(1, 10), default=1, help="Order of the derivatives."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "latex", "python", "json"]),
    default="text",
    help="How to print.",
)
@click.option(
    "--arrays",
    metavar="NAMES",
    help="In a formula with reductions: the inputs that are arrays; all by default.",
)
@click.option("--inline", is_flag=True, help="Write steps out in terms of the inputs.")
def diff(
    formula: str,
    wrt: str | None,
    at: Sequence[str],
    order: int,
    form: str,
    inline: bool,
    arrays: str | None,
) -> None:
    """Print derivatives in closed form.

    One name prints the bare expression; several print a line for each. With --at, the
    value at that point follows. In a formula with reductions, the derivative by an array
    is the one by its element at a point; --arrays tells which inputs are arrays.
    """
    from . import derivatives

    program = _program(formula)
    names = _names(wrt)
    point = _point(program, at) if at else None
    arrays_named = _inputs(program, arrays)
    rows = derivatives.closed_forms(program, names, order, point, inline, arrays_named)
    if form == "json":
        click.echo(derivatives.as_json(program, rows, point))
    else:
        for line in derivatives.as_lines(rows, form, bare=names is not None):
            click.echo(line)


@main.command("eval")
@formula_argument
@wrt_option
@at_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How to print.",
)
def evaluate(formula: str, wrt: str | None, at: Sequence[str], form: str) -> None:
    """Compile the formula and print its value and gradient at a point."""
    from ..function import Function, value_and_grad

    program = _program(formula)
    function = Function(program)
    point = _point(program, at)
    names = _names(wrt) or program.inputs
    value, gradient = value_and_grad(function, wrt=names)(**point)
    values = value if isinstance(value, tuple) else (value,)
    outputs = function.outputs
    total = outputs[0] if len(outputs) == 1 else f"({' + '.join(outputs)})"
    total = "" if total == "value" else total
    rows = dict(zip(outputs, map(float, values), strict=True))
    rows |= {f"d{total}/d{n}": float(g) for n, g in zip(names, gradient, strict=True)}
    if form == "json":
        click.echo(json.dumps(rows))
        return
    width = max(map(len, rows))
    for name, number in rows.items():
        click.echo(f"{name:{width}} = {number:.{_DIGITS}g}")


@main.command()
@formula_argument
@click.option(
    "--stage",
    type=click.Choice(["program", "graph", "gradient", "source"]),
    default="source",
    help="Where to stop: the parsed program, the graph of the value, the graph of value and "
    "gradient, or the generated Python.",
)
@click.option(
    "--kernel",
    type=click.Choice(["forward", "gradient"]),
    default="gradient",
    help="Which kernel the source is of.",
)
@click.option("--arrays", metavar="NAMES", help="Inputs that are arrays, separated by commas.")
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32"]),
    default="float64",
    help="Arithmetic.",
)
def emit(formula: str, stage: str, kernel: str, arrays: str | None, dtype: str) -> None:
    """Print what a stage of the compiler makes of the formula."""
    program = _program(formula)
    if stage == "program":
        click.echo(str(program))
        return
    from .. import compiler
    from ..calculus.transform import Gradient
    from ..function import Function

    names = _inputs(program, arrays) or ()
    if stage == "source":
        source = Function(program).source(kernel, arrays=names, dtype=dtype)  # type: ignore[arg-type]
        click.echo(source, nl=False)
        return
    axes = tuple(int(name in names) for name in program.inputs)
    variant = compiler.Variant(axes, int(any(axes)), dtype)
    transforms = [Gradient(value=True)] if stage == "gradient" else []
    click.echo(str(compiler.build_graph(program, transforms, variant)[0]))


@main.group()
def cache() -> None:
    """Look at the compiled kernels kept on disk, or delete them."""


@cache.command()
def info() -> None:
    """Print where the kernels lie, how many there are and their size."""
    from ..runtime import cache as store

    found = store.info()
    click.echo(f"directory: {found.directory}")
    click.echo(f"kernels:   {found.kernels}")
    click.echo(f"size:      {found.bytes / 1e6:.1f} MB")
    if not found.usable:
        click.echo(f"unusable:  {found.reason}")


@cache.command()
def clear() -> None:
    """Delete all kernels."""
    from ..runtime import cache as store

    click.echo(f"removed {store.clear()} kernels")


def _program(formula: str) -> Program:
    from ..language.parse import parse

    return parse(_text(formula))


def _text(formula: str) -> str:
    """Return the formula: the argument itself, a file's text, or standard input."""
    if formula == "-":
        return sys.stdin.read().rstrip("\n")
    if formula.isidentifier() or "\n" in formula or len(formula) > 1000:
        return formula
    path = Path(formula)
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, ValueError) as error:
        raise ArgumentError(f"cannot read {formula}: {error}") from None
    return formula


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip()) or None


def _inputs(program: Program, text: str | None) -> tuple[str, ...] | None:
    """Return names of inputs, checked."""
    names = _names(text)
    for name in names or ():
        if name not in program.inputs:
            hint = choices(name, program.inputs, "inputs")
            raise ArgumentError(f"there is no input '{name}': {hint}")
    return names


def _point(program: Program, at: Sequence[str]) -> dict[str, float]:
    """Return the point that --at describes; it must be complete."""
    point: dict[str, float] = {}
    for item in (part for text in at for part in text.split(",") if part.strip()):
        name, sign, number = (part.strip() for part in item.partition("="))
        if not sign or not number:
            raise ArgumentError(f"--at {item}: expected NAME=NUMBER")
        if name not in program.inputs:
            raise ArgumentError(
                f"--at {item}: there is no input '{name}', "
                f"the inputs are {listed(program.inputs)}"
            )
        if name in point:
            raise ArgumentError(f"--at {item}: '{name}' is given twice")
        point[name] = _number(number)
    missing = [name for name in program.inputs if name not in point]
    if missing:
        raise ArgumentError(
            f"missing the value of {listed(missing)}: add "
            + " ".join(f"--at {name}=NUMBER" for name in missing[:10])
        )
    return point


def _number(text: str) -> float:
    """Return the value of a constant formula such as 2, 1e-3 or pi/2."""
    from ..graph.evaluate import evaluate
    from ..graph.lower import lower
    from ..language.parse import parse

    graph = lower(parse(text, inputs=[]))
    return evaluate([graph.outputs[0].node], {})[0]
