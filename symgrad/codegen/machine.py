"""The register machine that runs large Graphs without compiling them.

Its source is printed from the function table: every operation becomes one small function, by
the printer that writes kernels, and a loop that reads a tape calls them. So machines compute
what kernels compute, bit for bit, and a new row of the table is a new instruction.

There are two machines. One holds a number in each register and runs a tape once; the other
holds a block of points in each register and runs the tape once for every block, so that an
instruction is a vectorised loop and the price of reading it is shared by many points.

Both come with sets of instructions that many Graphs share, which LLVM builds in a second or
so. A Graph with functions of the C library, for which Numba takes a second each, gets a machine
that has what this Graph needs and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Literal

from .. import vmath
from ..graph.node import NEUTRAL, Builder, Graph, Output
from ..language.functions import FUNCTIONS, REDUCTIONS
from .python import HALVES, SUM_LANES, Function, print_function

__all__ = [
    "FIELDS",
    "OPCODES",
    "PARAMETERS",
    "SUM_LANES",
    "instruction_set",
    "print_fold",
    "print_machine",
]

#: Numbers of an instruction: its opcode, the register of its result, up to three operands.
FIELDS = 5

#: Rows that lowering to a Graph replaces by others.
_LOWERED = REDUCTIONS | {"clip"}
_NAMES = ("x", "y", "z")

_OPERATIONS = dict.fromkeys(["reciprocal", *(f for f in FUNCTIONS if f not in _LOWERED)]).keys()
#: What most formulas consist of.
_BASIC = (
    "add", "sub", "mul", "div", "neg", "fma", "fms", "fnma", "reciprocal", "pow",
    "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not", "where",
    "sin", "cos", "tan", "tanh", "sech2", "exp", "log", "sqrt", "abs", "max", "min",
)  # fmt: skip
#: What calls the C library, and so needs Numba.
_LIBRARY = frozenset(
    ("gamma", "lgamma", "digamma", "polygamma", "besselj0", "besselj1", "sinc_derivative")
)
#: The sets of instructions that machines share, smaller ones first.
_SHARED = (_BASIC, tuple(name for name in _OPERATIONS if name not in _LIBRARY))

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

_NUMBERED = {opcode: name for name, opcode in OPCODES.items()}

_HEADER = '''\
"""The register machine of symgrad for {what}, {dtype}."""

import math

import numba
import numpy as np
'''

#: What the functions of the modules take.
PARAMETERS: Mapping[str, Sequence[str]] = {
    "point": ("extent", "array", "array"),
    "blocks": (
        *("extent", "array", "array", "extent", "extent", "extent"),
        *("array", "array", "array", "extent", "array"),
    ),
    "fold": ("extent", "array", "array", "array"),
}

_DECORATOR = f"@numba.njit({vmath.UNWRAPPED})"

_POINT = """\
@numba.njit(
    [(numba.int64, numba.uint32[::1], number[::1])],
    error_model="numpy", nogil=True, cache=True,
)
def run(length, tape, registers):
    for line in range(length):
        at = {fields}*line
        opcode = tape[at]
{dispatch}
"""

_BLOCKS = """\
@numba.njit(
    [(numba.int64, numba.uint32[::1], number[::1], numba.int64, numba.int64, numba.int64,
      number[::1], number[::1], numba.float64[::1], numba.int64, number[::1])],
    error_model="numpy", nogil=True, cache=True,
)
def run(length, tape, numbers, points, block, blocks, inputs, outputs, lanes, first, registers):
    for number in range(blocks):
        start = number*block
        n = min(block, points - start)
        for line in range(length):
            at = {fields}*line
            opcode = tape[at]
            value = registers[tape[at + 1]*block:]
            x = registers[tape[at + 2]*block:]
{dispatch}
"""

_BLOCK_COPIES = """\
            if opcode == {number}:
                spread_block(n, numbers[tape[at + 3]], value)
            elif opcode == {load}:
                copy_block(n, inputs[tape[at + 3]*points + start:], value)
            elif opcode == {store}:
                copy_block(n, x, outputs[tape[at + 3]*points + start:])
            elif opcode == {integer_power}:
                integer_power_block(n, x, {exponent}, value)"""

_COLLECTION = """\
            elif opcode == {opcode}:
                collect_{name}(n, x, lanes[tape[at + 3]*{lanes} + (first + start & {rest}):])"""

#: A whole number with a sign, of which a tape has the last 32 bits.
_EXPONENT = "(tape[at + 3] ^ 2147483648) - 2147483648"

_COPIES = (
    """\
def spread_block(n, x, value_out):
    for i in range(n):
        value_out[i] = x
""",
    """\
def copy_block(n, x, value_out):
    no_overlap()
    for i in range(n):
        value_out[i] = x[i]
""",
)

_COLLECT_BLOCK = """\
def collect_{name}(n, x, lanes):
    no_overlap()
    for i in range(n):
        {join}
"""

_FOLD = """\
@numba.njit(
    [(numba.int64, number[::1], numba.uint32[::1], number[::1])],
    error_model="numpy", nogil=True, cache=True,
)
def run(rows, lanes, opcodes, totals):
    for row in range(rows):
        at = {lanes}*row
        opcode = opcodes[row]
        for half in {halves}:
            for k in range(half):
{dispatch}
        totals[row] = lanes[at]
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


@lru_cache(maxsize=32)
def print_machine(
    points: Literal["point", "blocks"],
    dtype: str = "float64",
    instructions: tuple[str, ...] = (*_OPERATIONS,),
) -> str:
    """Return the text of the module of a machine; its function is called ``run``.

    Matrices are passed as arrays of one dimension, row by row.

    Args:
        points: "point" for numbers in the registers, ``run(length, tape, registers)``, where
            `length` counts instructions. "blocks" for blocks of points in the registers,
            ``run(length, tape, numbers, points, block, blocks, inputs, outputs, lanes, first,
            registers)``: a row of `inputs` is an input and a row of `outputs` an output at all
            points. A row of `lanes` is what a reduction has collected; `first` is where these
            points are among all. `registers` is memory for rows of `block` points. Blocks with
            reductions have 256 points or a part of that.
        dtype: the floating-point type of the arithmetic.
        instructions: the operations that it has, as `instruction_set` says.
    """
    blocks = points == "blocks"
    printed = {name: _instruction(name, blocks, dtype) for name in instructions}
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
        sources += _COPIES
        sources += [
            _COLLECT_BLOCK.format(name=name, join=join.format(lane="lanes[i]", value="x[i]"))
            for name, join in _COLLECT.items()
        ]
    parts += [f"\n{_DECORATOR}\n{source}" for source in sources]
    body, dispatch = (
        (_BLOCKS, _dispatch_blocks(printed)) if blocks else (_POINT, _dispatch_point(printed))
    )
    parts.append(f"\n{body.format(fields=FIELDS, dispatch=dispatch)}")
    return "\n".join(parts)


@cache
def print_fold() -> str:
    """Return the text of the module whose function combines the lanes of reductions.

    ``run(rows, lanes, opcodes, totals)`` adds halves to halves, as compiled kernels do, and
    puts what is left of a row of `lanes` into `totals`; `opcodes` are those that have collected
    the rows.
    """
    lines = []
    for number, (name, join) in enumerate(_COLLECT.items()):
        opcode = OPCODES[f"collect_{name}"]
        lines += [
            f"                {'elif' if number else 'if'} opcode == {opcode}:",
            f"{' ' * 20}{join.format(lane='lanes[at + k]', value='lanes[at + half + k]')}",
        ]
    parts = [
        _HEADER.format(what="lanes", dtype="float64"),
        vmath.definitions({"larger", "smaller"}).strip("\n") + "\n",
        "number = numba.float64\n",
        "\n" + _FOLD.format(lanes=SUM_LANES, halves=HALVES, dispatch="\n".join(lines)),
    ]
    return "\n".join(parts)


def instruction_set(opcodes: Iterable[int]) -> tuple[str, ...]:
    """Return the operations of a machine that has all of these instructions.

    They are the smallest set that machines share, and where there is none what is needed.
    """
    wanted = {_NUMBERED[opcode] for opcode in opcodes} & _OPERATIONS
    needed = tuple(name for name in _OPERATIONS if name in wanted)
    return next((shared for shared in _SHARED if wanted.issubset(shared)), needed)


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
    lines = [
        f"        if opcode == {OPCODES['integer_power']}:",
        f"            exponent = {_EXPONENT}",
        "            power = integer_power_point(registers[tape[at + 2]], exponent)",
        "            registers[tape[at + 1]] = power",
    ]
    for name, function in printed.items():
        operands = [f"registers[tape[at + {k + 2}]]" for k in range(_operand_count(name))]
        call = f"{function.name}({', '.join(operands)})"
        lines += [
            f"        elif opcode == {OPCODES[name]}:",
            f"            registers[tape[at + 1]] = {call}",
        ]
    return "\n".join(lines)


def _dispatch_blocks(printed: dict[str, Function]) -> str:
    """Return the code that executes one instruction on blocks."""
    lines = [_BLOCK_COPIES.format(**OPCODES, exponent=_EXPONENT)]
    lines += [
        _COLLECTION.format(
            name=name, opcode=OPCODES[f"collect_{name}"], lanes=SUM_LANES, rest=SUM_LANES - 1
        )
        for name in _COLLECT
    ]
    for name, function in printed.items():
        more = [f"registers[tape[at + {k + 2}]*block:]" for k in range(1, _operand_count(name))]
        call = f"{function.name}({', '.join(['n', 'x', *more, 'value'])})"
        lines += [
            f"            elif opcode == {OPCODES[name]}:",
            f"                {call}",
        ]
    return "\n".join(lines)
