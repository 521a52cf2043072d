"""The register machine that runs large Graphs without compiling them.

Its source is printed from the function table: every operation becomes one small function, by
the printer that writes kernels, and a loop that reads a tape calls them. So machines compute
what kernels compute, bit for bit, and a new row of the table is a new instruction.

There are two machines. One holds a number in each register and runs a tape once; the other
holds a block of points in each register and runs the tape once for every block, so that an
instruction is a vectorised loop and the price of reading it is shared by many points.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from functools import cache
from typing import Literal

from .. import vmath
from ..graph.node import NEUTRAL, Builder, Graph, Output
from ..language.functions import FUNCTIONS, REDUCTIONS
from .memory import print_rows
from .python import BLOCK, HALVES, Function, print_function

__all__ = ["BLOCK", "FIELDS", "OPCODES", "is_basic", "print_fold", "print_machine"]

#: Numbers of an instruction: its opcode, the register of its result, up to three operands.
FIELDS = 5

#: Rows that lowering to a Graph replaces by others.
_LOWERED = REDUCTIONS | {"clip"}
_NAMES = ("x", "y", "z")

_OPERATIONS = ("reciprocal", *(name for name in FUNCTIONS if name not in _LOWERED))
#: What most formulas consist of; a machine for only these is built in less time.
_BASIC = frozenset(
    {
        "add", "sub", "mul", "div", "neg", "reciprocal", "pow",
        "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not", "where",
        "sin", "cos", "tan", "tanh", "sech2", "exp", "log", "sqrt", "abs", "max", "min",
    }
)  # fmt: skip

#: How a lane takes in a point, and how two lanes become one.
_COLLECT = {
    "sum": "{lane} += {value}",
    "prod": "{lane} *= {value}",
    "max": "{lane} = larger({lane}, {value})",
    "min": "{lane} = smaller({lane}, {value})",
}

#: The number of every instruction. An operation of the table reads as many registers as it has
#: operands, two where it takes any number of them. Besides these there are ``reciprocal``,
#: ``integer_power``, whose second operand is the exponent itself, and, in blocks only,
#: ``number`` (spread a constant), ``load`` (read an input), ``store`` (write an output) and for
#: every way to combine points ``collect_sum`` and so on (take points into the lanes of a row).
OPCODES = {
    name: opcode
    for opcode, name in enumerate(
        (
            "number", "load", "store", "integer_power",
            *(f"collect_{combination}" for combination in NEUTRAL),
            *_OPERATIONS,
        )
    )
}  # fmt: skip

_BASIC_OPCODES = frozenset(
    opcode for name, opcode in OPCODES.items() if name in _BASIC or name not in _OPERATIONS
)

_HEADER = '''\
"""The register machine of symgrad for {what}, {dtype}."""

import math

import numba
import numpy as np
'''

_DECORATOR = f"@numba.njit({vmath.UNWRAPPED})"

_POINT = """\
@numba.njit(
    [(numba.uint32[:, ::1], number[::1])],
    error_model="numpy", nogil=True, cache=True,
)
def run(tape, registers):
    for line in range(len(tape)):
        opcode = tape[line, 0]
{dispatch}
"""

_BLOCKS = """\
@numba.njit(
    [(numba.uint32[:, ::1], number[::1], numba.int64, numba.int64, number[:, ::1],
      number[:, ::1], numba.float64[:, ::1], numba.int64)],
    error_model="numpy", nogil=True, cache=True,
)
def run(tape, numbers, size, block, inputs, outputs, lanes, first):
{registers}
    points = inputs.shape[1]
    for start in range(0, points, block):
        n = min(block, points - start)
        for line in range(len(tape)):
            opcode = tape[line, 0]
            value = registers[tape[line, 1]]
            x = registers[tape[line, 2]]
{dispatch}
"""

_BLOCK_COPIES = """\
            if opcode == {number}:
                value[:n] = numbers[tape[line, 3]]
            elif opcode == {load}:
                value[:n] = inputs[tape[line, 3], start : start + n]
            elif opcode == {store}:
                outputs[tape[line, 3], start : start + n] = x[:n]
            elif opcode == {integer_power}:
                integer_power_block(n, x, numba.int32(tape[line, 3]), value)"""

_COLLECTION = """\
            elif opcode == {opcode}:
                collect_{name}(n, x, lanes[tape[line, 3], (first + start) % {block} :])"""

_COLLECT_BLOCK = """\
def collect_{name}(n, x, lanes):
    wide_vectors()
    no_overlap()
    for i in range(n):
        {join}
"""

_FOLD = """\
@numba.njit(
    [(numba.float64[:, ::1], numba.uint32[::1], numba.float64[::1])],
    error_model="numpy", nogil=True, cache=True,
)
def run(lanes, opcodes, totals):
    for row in range(len(opcodes)):
        for half in {halves}:
            for k in range(half):
{dispatch}
        totals[row] = lanes[row, 0]
"""

_INTEGER_POWER = (
    """\
def integer_power_point(x, exponent):
    return {number}(integer_power({number}(x), exponent))
""",
    """\
def integer_power_block(n, x, exponent, value_out):
    wide_vectors()
    no_overlap()
    for i in range(n):
        value_out[i] = integer_power(x[i], exponent)
""",
)


@cache
def print_machine(
    points: Literal["point", "blocks"], dtype: str = "float64", *, complete: bool = True
) -> str:
    """Return the text of the module of a machine; its function is called ``run``.

    Args:
        points: "point" for numbers in the registers, ``run(tape, registers)``. "blocks" for
            blocks of points in the registers, ``run(tape, numbers, size, block, inputs,
            outputs, lanes, first)``: a row of `inputs` is an input and a row of `outputs` an
            output at all points. A row of `lanes` is what a reduction has collected; `first`
            is where these points are among all. Blocks with reductions have 256 points or a
            part of that.
        dtype: the floating-point type of the arithmetic.
        complete: with all instructions, and not only with those that `is_basic` names.
    """
    blocks = points == "blocks"
    operations = [name for name in _OPERATIONS if complete or name in _BASIC]
    printed = {name: _instruction(name, blocks, dtype) for name in operations}
    primitives = {"integer_power", *(p for f in printed.values() for p in f.primitives)}
    if blocks:
        primitives |= {"wide_vectors", "no_overlap", "larger", "smaller"}
    kinds = {"point": "numbers", "blocks": "blocks of points"}
    parts = [
        _HEADER.format(what=kinds[points], dtype=dtype),
        vmath.definitions(primitives, inline=blocks, wrapped=False).strip("\n") + "\n",
        f"number = numba.{dtype}\n",
    ]
    sources = [function.source for function in printed.values()]
    sources.append(_INTEGER_POWER[blocks].format(number=f"np.{dtype}"))
    if blocks:
        sources += [
            _COLLECT_BLOCK.format(name=name, join=join.format(lane="lanes[i]", value="x[i]"))
            for name, join in _COLLECT.items()
        ]
    parts += [f"\n{_DECORATOR}\n{source}" for source in sources]
    if blocks:
        registers = print_rows(
            "registers", "size", "block", dtype, memory="memory", skipped="skipped"
        )
        body = _BLOCKS.format(
            registers=textwrap.indent("\n".join(registers), "    "),
            dispatch=_dispatch_blocks(printed),
        )
    else:
        body = _POINT.format(dtype=dtype, dispatch=_dispatch_point(printed))
    parts.append(f"\n{body}")
    return "\n".join(parts)


@cache
def print_fold() -> str:
    """Return the text of the module whose function combines the lanes of reductions.

    ``run(lanes, opcodes, totals)`` adds halves to halves, as compiled kernels do, and puts what
    is left of a row of `lanes` into `totals`; `opcodes` are those that have collected the rows.
    """
    lines = []
    for number, (name, join) in enumerate(_COLLECT.items()):
        opcode = OPCODES[f"collect_{name}"]
        lines += [
            f"                {'elif' if number else 'if'} opcodes[row] == {opcode}:",
            f"{' ' * 20}{join.format(lane='lanes[row, k]', value='lanes[row, half + k]')}",
        ]
    parts = [
        _HEADER.format(what="lanes", dtype="float64"),
        vmath.definitions({"larger", "smaller"}).strip("\n") + "\n",
        "\n" + _FOLD.format(halves=HALVES, dispatch="\n".join(lines)),
    ]
    return "\n".join(parts)


def is_basic(opcodes: Iterable[int]) -> bool:
    """Tell whether a machine that is not complete has all of these instructions."""
    return all(opcode in _BASIC_OPCODES for opcode in opcodes)


def _instruction(op: str, blocks: bool, dtype: str) -> Function:
    """Return the kernel of one operation, of numbers or over the points of a block."""
    b = Builder()
    names = _NAMES[: _operand_count(op)]
    inputs = tuple(b.input(name, int(blocks)) for name in names)
    if op == "reciprocal":
        value = b.apply("div", b.number(1), *inputs)
    else:
        value = b.real(b.apply(op, *inputs))
    graph = Graph(b, inputs, (Output("value", value),))
    return print_function(graph, f"{op}_{'block' if blocks else 'point'}", dtype)


def _operand_count(op: str) -> int:
    """Return how many registers an instruction reads."""
    if op == "reciprocal":
        return 1
    least, most = FUNCTIONS[op].arity
    return least if most is None else most


def _dispatch_point(printed: dict[str, Function]) -> str:
    """Return the code that executes one instruction on numbers.

    Compilers make a table of jumps of such a chain.
    """
    call = "integer_power_point(registers[tape[line, 2]], numba.int32(tape[line, 3]))"
    lines = [
        f"        if opcode == {OPCODES['integer_power']}:",
        f"            registers[tape[line, 1]] = {call}",
    ]
    for name, function in printed.items():
        operands = [f"registers[tape[line, {k + 2}]]" for k in range(_operand_count(name))]
        call = f"{function.name}({', '.join(operands)})"
        lines += [
            f"        elif opcode == {OPCODES[name]}:",
            f"            registers[tape[line, 1]] = {call}",
        ]
    return "\n".join(lines)


def _dispatch_blocks(printed: dict[str, Function]) -> str:
    """Return the code that executes one instruction on blocks."""
    lines = [_BLOCK_COPIES.format(**OPCODES)]
    lines += [
        _COLLECTION.format(name=name, opcode=OPCODES[f"collect_{name}"], block=BLOCK)
        for name in _COLLECT
    ]
    for name, function in printed.items():
        more = [f"registers[tape[line, {k + 2}]]" for k in range(1, _operand_count(name))]
        call = f"{function.name}({', '.join(['n', 'x', *more, 'value'])})"
        lines += [
            f"            elif opcode == {OPCODES[name]}:",
            f"                {call}",
        ]
    return "\n".join(lines)
