"""The printer: a schedule becomes one readable Python function for LLVM or Numba.

The code is flat: at most a few operations on a line, the user's names kept, and the
statement that a group of lines serves is quoted above it.
"""

from __future__ import annotations

import math
import textwrap
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from .. import vmath
from ..graph.algebra import exact
from ..graph.node import BOOLEAN, NEUTRAL, Graph, Node
from ..language.functions import FUNCTIONS
from ..language.program import Number
from .memory import APART, BYTES, print_rows
from .names import Names
from .schedule import HEAVY, Nest, Section, Strip, cut, rows, schedule

__all__ = [
    "HALVES",
    "LARGEST_POWER",
    "SUM_LANES",
    "UNROLLED",
    "Function",
    "Parameter",
    "print_function",
]

_ATOM, _POWER, _UNARY, _PRODUCT, _SUM, _RELATION, _NOT, _AND, _OR, _CONDITIONAL = range(10)
_SIGNS: Mapping[str, tuple[str, int]] = {
    "add": (" + ", _SUM),
    "sub": (" - ", _SUM),
    "mul": ("*", _PRODUCT),
    "div": ("/", _PRODUCT),
    "lt": (" < ", _RELATION),
    "le": (" <= ", _RELATION),
    "gt": (" > ", _RELATION),
    "ge": (" >= ", _RELATION),
    "eq": (" == ", _RELATION),
    "ne": (" != ", _RELATION),
    "and": (" and ", _AND),
    "or": (" or ", _OR),
}
_WIDTH = 60
_LINE = 92
#: Whole powers up to this one are products.
UNROLLED = 4
#: How many lanes a sum has that is collected in lanes, and so how many points a block then has.
SUM_LANES = 256
#: How many points are summed before their sum goes to the total: the more, the less often loops
#: start and end, as long as what is kept for later strips leaves place in the first cache for
#: what is read. A sum in float32 must not be long, least of all one point after the other.
_SUMMED_AT_LEAST, _SUMMED_AT_MOST = 256, 1024
_KEPT_BYTES = 24 << 10
#: How many points a block has where nothing is summed. A single strip is seldom started; of
#: several the last one, which writes, comes often, so that memory has something to do while
#: others compute.
_ONE_STRIP_BLOCK, _STRIPS_BLOCK = 512, 128
#: How many lanes are added to as many others in turn, until one is left.
HALVES = tuple(1 << k for k in reversed(range(SUM_LANES.bit_length() - 1)))
#: How points are combined in a loop, by primitives that vectorise, and their subtotals.
_COMBINE: Mapping[str, str] = {
    "sum": "plus",
    "prod": "times",
    "max": "larger",
    "min": "smaller",
}
_JOIN: Mapping[str, str] = {"sum": "+=", "prod": "*="}
#: How many vectors at a time a loop takes that has elementary functions inside, and one that
#: has different ones of different operands, whose chains run side by side and whose
#: coefficients fill the registers. LLVM sees to loops without functions by itself.
_FUNCTIONS_INTERLEAVED, _DIFFERENT_INTERLEAVED = 4, 2
#: Functions of which four vectors of doubles at a time need no more than 16 registers, or
#: wait for a root; of all functions that is so in float32.
_LEAN = frozenset({"acosh", "asinh", "exp", "exp2", "hypot", "sigmoid", "silu"})
#: Functions that are computed among the arithmetic.
_SHORT = frozenset({"rsqrt", "atan_slope", "asinh_slope", "acosh_slope"})
#: Operations that print as their operand.
_SILENT = frozenset({"broadcast", "shift"})
#: How many calls of a function of two operands that takes more are written in one line.
_NESTED = 4
#: Whole exponents beyond this are passed as floating-point numbers.
LARGEST_POWER = 2**31 - 1
#: How many tests of NaN stand in one line.
_TESTS = 4


class Text(NamedTuple):
    """A piece of an expression and how tightly it binds (0 is an atom)."""

    code: str
    binding: int = _ATOM


class Parameter(NamedTuple):
    """One parameter of a kernel: its name, its role, and the axes of an array.

    `role` is "extent", "input" or "output"; a parameter without axes is a number.
    """

    name: str
    role: str
    axes: int

    @property
    def kind(self) -> str:
        """What is passed: an "extent", a "number" or an "array"."""
        if self.role == "extent":
            return "extent"
        return "array" if self.axes else "number"


@dataclass(slots=True)
class Function:
    """A printed kernel.

    Attributes:
        name: name of the function.
        source: the ``def`` statement with its body, without decorator.
        parameters: the parameters in order.
        returned: names of the outputs without axes, which are returned in this order.
        written: names of the outputs with axes, in the order of their parameters.
        primitives: the functions of `symgrad.vmath` that the body calls.
        aliases: spellings at module level for primitives whose name the user has taken.
        dtype: "float64" or "float32".
        calls: how many times it calls a primitive.
        passes: how many loop nests it runs over its arrays.
        pointwise: it is one loop without sums, so that it can run on any part of its points.
        streams: wide vectors gain as long as its arrays are in the cache, and cost beyond.
    """

    name: str
    source: str
    parameters: tuple[Parameter, ...]
    returned: tuple[str, ...]
    written: tuple[str, ...]
    primitives: frozenset[str]
    aliases: dict[str, str]
    dtype: str
    calls: int
    passes: int
    pointwise: bool
    streams: bool


def print_function(
    graph: Graph, name: str, dtype: str = "float64", *, lanes: bool = False
) -> Function:
    """Return the kernel that computes the outputs of a Graph.

    Args:
        graph: what to compute.
        name: what to call the function.
        dtype: the floating-point type of the arithmetic, "float64" or "float32".
        lanes: collect sums and products over one axis in lanes of double precision in the
            memory, so that their bits do not depend on how LLVM has vectorised the loop. A
            loop with few operations takes up to a third longer then.
    """
    return _Printer(graph, name, dtype, lanes).function()


@dataclass(slots=True)
class _Printer:
    graph: Graph
    name: str
    dtype: str
    lanes: bool = False
    names: Names = field(init=False)
    lines: list[str] = field(default_factory=list)
    known: dict[Node, Text] = field(default_factory=dict)
    uses: dict[Node, int] = field(default_factory=dict)
    #: Values of steps that nothing else uses: the step is their name.
    bound: set[Node] = field(default_factory=set)
    primitives: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    #: Names that tell that a condition compares no NaN.
    ordered: dict[Node, str] = field(default_factory=dict)
    #: Sums that are collected in float32 for a block.
    narrow: set[Node] = field(default_factory=set)
    #: The array that hands values on from strip to strip.
    kept: str = ""
    #: The lanes of the sums and products of the nest at hand: an array and a row of it.
    collected: dict[Node, tuple[str, int]] = field(default_factory=dict)
    extents: dict[int, str] = field(default_factory=dict)
    arrays: dict[Node, str] = field(default_factory=dict)
    #: In a loop with near functions, the flag that an argument was beyond its limit.
    far: str = ""
    #: The arguments of near functions in the loop at hand and how large they may be.
    limits: dict[str, float] = field(default_factory=dict)
    #: Where the statements of the formula end, in order.
    statements: tuple[int, ...] = ()
    commented: tuple[int, bool] = (-1, True)
    wishes: dict[Node, str] = field(default_factory=dict)
    calls: int = 0
    indent: int = 1

    def __post_init__(self) -> None:
        order = self.graph.nodes()
        steps = [str(node.payload) for node in order if node.op == "step"]
        inputs = [str(node.payload) for node in self.graph.inputs]
        self.names = Names(dict.fromkeys([*inputs, *steps]), vmath.every_name())
        self.names.fresh(self.name)
        self._count_uses(order)
        self.wishes = {bar: f"{node.payload}_bar" for bar, node in self.graph.bars.items()}
        for output in self.graph.outputs:
            if not output.node.axes:
                self.wishes.setdefault(output.node, output.name)

    def function(self) -> Function:
        """Print everything and collect what the module needs."""
        plan = schedule(self.graph)
        every = 0
        for node in (*self.graph.nodes(), *self.graph.inputs):
            every |= node.axes
        axes = [axis for axis in range(every.bit_length()) if every >> axis & 1]
        for axis in axes:
            self.extents[axis] = self.names.fresh("n" if len(axes) == 1 else f"n{axis}")
        parameters = [Parameter(self.extents[axis], "extent", 0) for axis in axes]
        for node in self.graph.inputs:
            spelling = self.names.user(str(node.payload))
            parameters.append(Parameter(spelling, "input", node.axes))
            if node.axes:
                self.arrays[node] = spelling
            else:
                self.known[node] = Text(spelling)
        if self.graph.source is not None:
            self.statements = self.graph.source.statements
        outputs: dict[str, str] = {}
        for name, node in plan.arrays:
            outputs[name] = self.names.fresh(f"{name}_out")
            parameters.append(Parameter(outputs[name], "output", node.axes))
        wide = plan.is_dense(self._length)
        if wide:
            self._line(f"{self._primitive('wide_vectors')}()")
        if plan.arrays or any(len(nest.axes) == 1 for s in plan.sections for nest in s.nests):
            self._line(f"{self._primitive('no_overlap')}()")
        self._buffers(plan.buffers, plan.arrays, outputs)
        for section in plan.sections:
            self._section(section, outputs)
        if plan.scalars:
            self._return(self._results(plan.scalars))
        elif not self.lines:
            self._line("return")
        listed = ", ".join(parameter.name for parameter in parameters)
        head = f"def {self.name}({listed}):"
        if len(head) > _LINE:
            head = f"def {self.name}(\n{_wrapped_list(listed)}\n):"
        return Function(
            self.name,
            "\n".join([head, *self.lines]) + "\n",
            tuple(parameters),
            tuple(name for name, _ in plan.scalars),
            tuple(name for name, _ in plan.arrays),
            frozenset(self.primitives),
            dict(sorted(self.aliases.items())),
            self.dtype,
            self.calls,
            # Setting arrays to 0 before they are summed up is a pass of its own.
            sum(len(section.nests) for section in plan.sections) + bool(plan.buffers),
            len(axes) == 1
            and not plan.scalars
            and all(node.op != "extent" for node in self.graph.nodes())
            and all(
                not total for s in plan.sections for nest in s.nests for total in nest.totals
            ),
            wide and not plan.is_dense(self._cost),
        )

    # Structure

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    def _return(self, texts: list[str]) -> None:
        listed = ", ".join(texts)
        if len(listed) < _LINE - 10:
            self._line(f"return {listed}")
            return
        self.lines += ["    return (", _wrapped_list(listed), "    )"]

    def _buffers(
        self, buffers: list[Node], arrays: list[tuple[str, Node]], outputs: dict[str, str]
    ) -> None:
        """Give every reduction that still varies an array: its own output or a new one."""
        for node in buffers:
            size = "*".join(self._sizes(node.axes))
            for name, output in arrays:
                if output is node:
                    self.arrays[node] = outputs[name]
                    self._fill(outputs[name], size, _neutral(node))
                    break
            else:
                self.arrays[node] = self.names.fresh("total")
                fill = "" if node.payload == "sum" else f" + {_neutral(node)}"
                self._line(f"{self.arrays[node]} = np.zeros({size}){fill}")

    def _fill(self, array: str, count: str, value: str, row: str = "") -> None:
        """Print a loop that gives the elements of an array, or of a row of it, a value."""
        taken = self.names.mark()
        counter = self.names.fresh("k")
        self._line(f"for {counter} in range({count}):")
        self._line(f"    {array}[{row}{counter}] = {value}")
        self.names.release(taken)

    def _sizes(self, mask: int) -> list[str]:
        return [name for axis, name in self.extents.items() if mask >> axis & 1]

    def _results(self, scalars: list[tuple[str, Node]]) -> list[str]:
        """Return the texts of the returned outputs, long ones on a line of their own."""
        texts: list[str] = []
        for name, node in scalars:
            text = self._expression(node)
            if not text.code.replace(".", "_").isalnum() and not text.code.isidentifier():
                self._comment(node)
                wish = self.names.fresh(name)
                self._line(f"{wish} = {text.code}")
                text = self.known[node] = Text(wish)
            # What sums have led to is a double; beyond float32 it is infinite, silently.
            wide = self.dtype == "float32" and _is_wide(node)
            texts.append(f"np.float32({text.code})" if wide else text.code)
        return texts

    def _section(self, section: Section, outputs: dict[str, str]) -> None:
        inside = [node for nest in section.nests for level in nest.bodies for node in level]
        self._statements(section.scalars, {_source(o) for n in inside for o in n.operands})
        for nest in section.nests:
            self._nest(nest, outputs)

    def _count_uses(self, order: list[Node]) -> None:
        """Count how often each value is printed: by its users, and by what they repeat."""
        for node in order:
            repeats = 1
            if node.op in _SIGNS and _SIGNS[node.op][1] == _RELATION:
                repeats = 2
            elif node.op == "pow":
                exponent = exact(node.operands[1])
                repeats = 1 if exponent is None or exponent.denominator != 1 else 2
            elif node.op in FUNCTIONS and self._primitive_of(node) in vmath.NEAR:
                repeats = 2
            for operand in node.operands:
                source = _source(operand)
                self.uses[source] = self.uses.get(source, 0) + repeats
        for output in self.graph.outputs:
            source = _source(output.node)
            self.uses[source] = self.uses.get(source, 0) + 1
        self.bound = {
            node.operands[0]
            for node in order
            if node.op == "step" and node.operands[0].op == "where"
            if self.uses[node.operands[0]] == 1
        }

    def _nest(self, nest: Nest, outputs: dict[str, str]) -> None:
        inside = {node: depth for depth, level in enumerate(nest.bodies) for node in level}
        forced = self._crossing(inside)
        outer = dict(self.known)
        ordered = dict(self.ordered)
        totals = [node for level in nest.totals for node in level]
        for node in totals:
            if not node.axes:
                name = self.names.fresh("total")
                if not self._in_lanes(nest, node):
                    start = _neutral(node) if len(nest.axes) == 1 else self._start(node)
                    self._line(f"{name} = {start}")
                outer[node] = Text(name)
        taken = self.names.mark()
        self._narrow(nest)
        strips = cut(nest, self._cost, self.lanes) if len(nest.axes) == 1 else []
        near = any(map(self._calls_near_functions, strips))
        if near or len(strips) > 1 or (strips and totals):
            self._blocks(nest, strips, outputs, outer)
        else:
            self.known.update({node: outer[node] for node in totals if node in outer})
            points = f"range({self.extents[nest.axes[0]]})"
            self._loop(nest, 0, points, forced, {}, outputs)
            if len(nest.axes) == 1:
                self._interleave(nest.bodies[0])
        self.commented = (-1, True)
        self.known = outer
        self.ordered = ordered
        self.names.release(taken)

    def _narrow(self, nest: Nest) -> None:
        """Give float32 loops what sums, which are doubles, have led to as float32."""
        if self.dtype == "float64":
            return
        users = [node for level in nest.bodies for node in level]
        used = [operand for node in users for operand in node.operands]
        used += [node.operands[0] for level in nest.totals for node in level]
        used += [node for level in nest.stores for _, node in level]
        for node in dict.fromkeys(map(_source, used)):
            if _is_wide(node) and node.op not in BOOLEAN:
                name = self.names.fresh("t")
                self._line(f"{name} = np.float32({self._expression(node).code})")
                self.known[node] = Text(name)

    def _cost(self, node: Node) -> int:
        """Return how many operations a function takes that is worth a place of its own.

        0 for other nodes, and for functions that stand for a root and a division and are short.
        """
        return 0 if node.op in _SHORT else self._length(node)

    def _length(self, node: Node) -> int:
        """Return how many operations the function of a node takes, 0 for other nodes."""
        if node.op not in FUNCTIONS or node.op in _PRINTERS:
            return 0
        primitive = self._primitive_of(node)
        near, _ = vmath.NEAR.get(primitive, (primitive, math.inf))
        return vmath.cost(near)

    def _calls_near_functions(self, strip: Strip) -> bool:
        return any(
            node.op in FUNCTIONS and self._primitive_of(node) in vmath.NEAR
            for node in strip.body
        )

    def _blocks(
        self,
        nest: Nest,
        strips: list[Strip],
        outputs: dict[str, str],
        totals: dict[Node, Text],
    ) -> None:
        """Print a loop over blocks of points with loops over the points of a block inside.

        Sums are taken block by block: fixed blocks give fixed bits and keep rounding errors
        small. A block is summed in the type of the arithmetic, the blocks in float64. Or
        every point of a block has a lane of its own in every sum, over all blocks.
        """
        extent = self.extents[nest.axes[0]]
        place = rows(strips)
        count = 1 + max(place.values(), default=-1)
        block = self._block(nest, len(strips), count)
        if place:
            self.kept = self._allocated("kept", count, block, self.dtype)
        self._lanes(nest)
        start, size = self.names.fresh("start"), self.names.fresh("size")
        self._line(f"for {start} in range(0, {extent}, {block}):")
        self.indent += 1
        self._line(f"{size} = min({block}, {extent} - {start})")
        parts = {
            node: self.names.fresh("part")
            for node in nest.totals[0]
            if node not in self.collected
        }
        if self.dtype == "float32":
            self.narrow = {node for node in parts if node.payload == "sum"}
        for node, part in parts.items():
            self._line(f"{part} = {self._start(node)}")
            self.known[node] = Text(part)
        for strip in strips:
            known, ordered, taken = dict(self.known), dict(self.ordered), self.names.mark()
            loop = partial(self._strip, strip, nest.axes[0], start, size, place, outputs)
            if self._calls_near_functions(strip):
                self._nearly(strip, loop, {t: parts[t] for t in strip.totals if t in parts})
            else:
                loop()
                self._interleave(strip.body)
            self.known, self.ordered = known, ordered
            self.names.release(taken)
        for node, part in parts.items():
            self._join(node, totals[node].code, part)
        self.narrow = set()
        self.indent -= 1
        self._fold(totals)

    def _block(self, nest: Nest, strips: int, kept: int) -> int:
        """Return how many points a block has in which so many values are kept of a point."""
        if not nest.totals[0]:
            return _ONE_STRIP_BLOCK if strips == 1 else _STRIPS_BLOCK
        if self.lanes:
            return SUM_LANES
        called = [n for n in nest.bodies[0] if n.op in FUNCTIONS and n.op not in _PRINTERS]
        if not all(vmath.is_vectorised(self._primitive_of(node)) for node in called):
            return _SUMMED_AT_LEAST
        block, kept_bytes = _SUMMED_AT_MOST, kept * BYTES[self.dtype]
        while block > _SUMMED_AT_LEAST and block * kept_bytes > _KEPT_BYTES:
            block //= 2
        return block

    def _allocated(self, name: str, count: int, block: int, dtype: str) -> str:
        """Print the allocation of rows for the points of a block; return their name."""
        memory, skipped = self.names.fresh("memory"), self.names.fresh("skipped")
        array = self.names.fresh(name)
        width = block + APART
        for line in print_rows(array, count, width, dtype, memory=memory, skipped=skipped):
            self._line(line)
        return array

    def _in_lanes(self, nest: Nest, node: Node) -> bool:
        return self.lanes and len(nest.axes) == 1 and str(node.payload) in _JOIN

    def _lanes(self, nest: Nest) -> None:
        """Print the lanes of the sums and the products of a nest, sums first."""
        wanted = [node for node in nest.totals[0] if self._in_lanes(nest, node)]
        if not wanted:
            return
        wanted.sort(key=lambda node: list(_JOIN).index(str(node.payload)))
        array = self._allocated("lanes", len(wanted), SUM_LANES, "float64")
        for row, node in enumerate(wanted):
            self.collected[node] = array, row
            self._fill(array, str(SUM_LANES), _neutral(node), row=f"{row}, ")

    def _fold(self, totals: Mapping[Node, Text]) -> None:
        """Print how the lanes are combined in the end."""
        for combination, sign in _JOIN.items():
            rows = [row for n, (_, row) in self.collected.items() if n.payload == combination]
            if not rows:
                continue
            ((array, _), *_) = self.collected.values()
            each, half, counter = (self.names.fresh(name) for name in ("row", "half", "k"))
            self._line(f"for {each} in range({min(rows)}, {max(rows) + 1}):")
            self._line(f"    for {half} in {HALVES}:")
            self._line(f"        for {counter} in range({half}):")
            target = f"{array}[{each}, {counter}]"
            self._line(f"            {target} {sign} {array}[{each}, {half} + {counter}]")
        for node, (array, row) in self.collected.items():
            self._line(f"{totals[node].code} = {array}[{row}, 0]")
        self.collected = {}

    def _interleave(self, body: list[Node]) -> None:
        """Print how many vectors at a time the loop before is to take."""
        functions = [node for node in body if self._cost(node) >= HEAVY or _is_real_power(node)]
        if not functions:
            return
        different = min(len({n.op for n in functions}), len({n.operands for n in functions}))
        lean = self.dtype == "float32" or all(node.op in _LEAN for node in functions)
        many = _FUNCTIONS_INTERLEAVED if different == 1 else _DIFFERENT_INTERLEAVED
        few = many if lean else _DIFFERENT_INTERLEAVED
        self._line(f"{self._primitive('interleaved')}({many}, {few})")

    def _nearly(
        self, strip: Strip, loop: Callable[[], None], parts: Mapping[Node, str]
    ) -> None:
        """Print a loop with the near forms of functions, and with the complete ones.

        Functions that have a form without branches for arguments that are not huge are
        called in that form, which is vectorised; a block in which an argument was huge is
        done again with the complete functions.
        """
        known, ordered, taken = dict(self.known), dict(self.ordered), self.names.mark()
        self.far = self.names.fresh("far")
        self._line(f"{self.far} = False")
        loop()
        self._interleave(strip.body)
        self._line(f"if {self.far}:")
        self.far = ""
        self.known, self.ordered = known, ordered
        self.names.release(taken)
        self.indent += 1
        for node, part in parts.items():
            self._line(f"{part} = {self._start(node)}")
        loop()
        self.indent -= 1

    def _strip(
        self,
        strip: Strip,
        axis: int,
        start: str,
        size: str,
        place: dict[Node, int],
        outputs: dict[str, str],
    ) -> None:
        """Print one loop over the points of a block."""
        counter = self.names.fresh("k")
        self._line(f"for {counter} in range({size}):")
        self.indent += 1
        self.commented = (-1, True)
        elements = [node for node in strip.body if node.op == "input"]
        elements += [node for node in strip.sums() if node not in self.known]
        counters = {axis: counter}
        if elements or strip.stores:
            # Unsigned: Numba would count a negative place from the end, and so gather.
            counters[axis] = self.names.fresh("i")
            self._line(f"{counters[axis]} = np.uint64({start} + {counter})")
        steps = {node.operands[0]: node for node in strip.body if node.op == "step"}
        for node in strip.reads:
            step = steps.get(node)
            if step is None:
                name = self.names.fresh(self.wishes.get(node, "t"))
            else:
                name = self.names.user(str(step.payload))
                self.known[step] = Text(name)
            self._line(f"{name} = {self.kept}[{place[node]}, {counter}]")
            self.known[node] = Text(name)
        for node in elements:
            self._load(node, counters, counters[axis])
        for node in strip.totals:
            if node in self.collected:
                array, row = self.collected[node]
                self.known[node] = Text(f"{array}[{row}, {counter}]")
        self._statements(strip.body, set(strip.keeps))
        for node in strip.keeps:
            self._line(f"{self.kept}[{place[node]}, {counter}] = {self.known[node].code}")
        self._roots(strip.totals, strip.stores, counters, outputs)
        self.indent -= 1

    def _loop(
        self,
        nest: Nest,
        depth: int,
        points: str,
        forced: set[Node],
        counters: dict[int, str],
        outputs: dict[str, str],
    ) -> None:
        """Print one loop of a nest with the loops inside it."""
        axis = nest.axes[depth]
        counters[axis] = self.names.fresh("i" if len(nest.axes) == 1 else f"i{axis}")
        self._line(f"for {counters[axis]} in {points}:")
        self.indent += 1
        self.commented = (-1, True)
        self._loads(nest.bodies[depth], nest, depth, counters)
        self._statements(nest.bodies[depth], forced)
        if depth + 1 < len(nest.axes):
            rows = self._rows(nest, depth)
            inner = f"range({self.extents[nest.axes[depth + 1]]})"
            self._loop(nest, depth + 1, inner, forced, counters, outputs)
            for node in rows:
                target = self._element(self.arrays[node], node.axes, counters)
                self._join(node, target, self.known[node].code)
        self._roots(nest.totals[depth], nest.stores[depth], counters, outputs)
        self.indent -= 1

    def _rows(self, nest: Nest, depth: int) -> list[Node]:
        """Start the sums over all inner loops, which are collected in a variable each."""
        outer = sum(1 << axis for axis in nest.axes[: depth + 1])
        rows = [
            node for level in nest.totals[depth + 1 :] for node in level if node.axes == outer
        ]
        for node in rows:
            name = self.names.fresh("row")
            self._line(f"{name} = {self._start(node)}")
            self.known[node] = Text(name)
        return rows

    def _crossing(self, inside: dict[Node, int]) -> set[Node]:
        """Return the nodes of outer loops that inner loops use: they must have a name."""
        return {
            _source(operand)
            for node, depth in inside.items()
            for operand in node.operands
            if inside.get(_source(operand), depth) < depth
        }

    def _loads(
        self, body: list[Node], nest: Nest, depth: int, counters: dict[int, str]
    ) -> None:
        """Read the elements of arrays that this loop level needs first."""
        needed = [node for node in body if node.op == "input"]
        for level in range(depth, len(nest.bodies)):
            roots = nest.bodies[level] + [t.operands[0] for t in nest.totals[level]]
            roots += [node for _, node in nest.stores[level]]
            for node in roots:
                for source in (node, *node.operands):
                    if (
                        source.op == "reduce"
                        and source.axes
                        and source not in self.known
                        and nest.depth(source.axes) == depth
                        and source not in needed
                    ):
                        needed.append(source)
        for node in needed:
            self._load(node, counters, counters[nest.axes[depth]])

    def _load(self, node: Node, counters: dict[int, str], counter: str) -> None:
        base = self.arrays[node]
        name = self.names.fresh(f"{base}_{counter}")
        self._line(f"{name} = {self._element(base, node.axes, counters)}")
        self.known[node] = Text(name)

    def _element(self, array: str, mask: int, counters: dict[int, str]) -> str:
        """Return the element of an array at hand in the loops, rows first.

        Places that are not seen to be positive are unsigned: Numba would count negative ones
        from the end, and loops that may do so gather what they read.
        """
        axes = [axis for axis in self.extents if mask >> axis & 1]
        text = counters[axes[0]]
        for axis in axes[1:]:
            text = f"({text})" if "+" in text else text
            text = f"{text}*{self.extents[axis]} + {counters[axis]}"
        return f"{array}[{text}]" if len(axes) == 1 else f"{array}[np.uint64({text})]"

    def _roots(
        self,
        totals: list[Node],
        stores: list[tuple[str, Node]],
        counters: dict[int, str],
        outputs: dict[str, str],
    ) -> None:
        """Add to the sums and write the outputs that are due at a point."""
        for node in totals:
            total = self.known.get(node)
            if total is not None and node not in self.collected:
                self._line(f"{total.code} = {self._taken_in(node, total.code)}")
                continue
            value = self._expression(node.operands[0]).code
            if total is None:
                target = self._element(self.arrays[node], node.axes, counters)
                self._join(node, target, value)
            else:
                self._join(node, total.code, value)
        for name, node in stores:
            if _source(node) not in self.known:
                self._comment(node)
            target = self._element(outputs[name], node.axes, counters)
            self._line(f"{target} = {self._expression(node).code}")
        for argument, limit in self.limits.items():
            self._line(f"{self.far} |= math.fabs({argument}) > {limit!r}")
        self.limits.clear()

    # Reductions

    def _start(self, node: Node) -> str:
        """Return what a reduction of a block or a row starts from."""
        text = Text(_neutral(node))
        return self._typed(text).code if self._is_single(node) else text.code

    def _is_single(self, node: Node) -> bool:
        """Tell whether points are combined in the type of the arithmetic.

        Sums and products of float32 are collected in doubles, but for the sum of a block;
        extrema are exact as they are.
        """
        return str(node.payload) not in _JOIN or node in self.narrow

    def _taken_in(self, node: Node, total: str) -> str:
        """Return the text of a total with the point at hand."""
        operand = _source(node.operands[0])
        # What the user sums has the same bits with derivatives and without.
        derived = operand.index >= self.graph.primal and operand not in self.known
        alike = self.dtype == "float64" or self._is_single(node)
        if node.payload == "sum" and operand.op == "mul" and derived and alike:
            factors = ", ".join(self._expression(factor).code for factor in operand.operands)
            return f"{self._primitive(self._form('plus_product'))}({total}, {factors})"
        return f"{self._combine(node)}({total}, {self._expression(operand).code})"

    def _combine(self, node: Node) -> str:
        """Return the primitive that combines two points."""
        primitive = _COMBINE[str(node.payload)]
        return self._primitive(self._form(primitive) if self._is_single(node) else primitive)

    def _join(self, node: Node, target: str, value: str) -> None:
        """Print the statement that takes a subtotal into a total."""
        combination = str(node.payload)
        sign = _JOIN.get(combination)
        if sign is None:
            combine = self._primitive(_COMBINE[combination])
            self._line(f"{target} = {combine}({target}, {value})")
        else:
            self._line(f"{target} {sign} {value}")

    # Statements

    def _statements(self, nodes: list[Node], forced: set[Node] | None = None) -> None:
        """Print the nodes that need a line of their own; the others go where they are used."""
        for node in nodes:
            if node in self.known or node.op in ("input", "number", "constant", "truth"):
                continue
            if node.op in _SILENT:
                continue
            if node in self.bound and not (forced is not None and node in forced):
                continue
            named = (
                node.op == "step"
                or node in self.wishes
                or self.uses.get(node, 0) > 1
                or (forced is not None and node in forced)
                or self._too_long(node)
            )
            if named:
                self._assign(node)

    def _too_long(self, node: Node) -> bool:
        if node.op == "where" or len(node.operands) > _NESTED:
            return True
        length = 0
        for operand in node.operands:
            length += len(self._expression(operand).code)
        return length > _WIDTH

    def _assign(self, node: Node) -> None:
        if node.op == "step":
            text = self._expression(node.operands[0])
            name = self.names.user(str(node.payload))
        else:
            text = self._expression(node)
            wish = "c" if node.op in BOOLEAN else "t"
            name = self.names.fresh(self.wishes.get(node, wish))
        self._comment(node)
        self._line(f"{name} = {text.code}")
        self.known[node] = Text(name)

    def _comment(self, node: Node) -> None:
        """Quote the statement that the next lines serve, once."""
        source = self.graph.source
        if source is None or node.origin < 0:
            return
        adjoint = node.index >= self.graph.primal
        statement = bisect_left(self.statements, node.origin)
        place = (statement, adjoint)
        if statement == len(self.statements) or place == self.commented:
            return
        self.commented = place
        quoted = source.quoted(self.statements[statement])
        quoted = "".join(c if c.isprintable() else " " for c in quoted)
        if len(quoted) > _LINE:
            quoted = f"{quoted[: _LINE - 3]}..."
        if quoted:
            self._line(f"# {'derivatives of ' if adjoint else ''}{quoted}")

    # Expressions

    def _expression(self, node: Node) -> Text:
        """Return the text of a node; operands without a name are printed inside."""
        known = self.known.get(node)
        if known is not None:
            return known
        if node.op in _SILENT:
            return self._expression(node.operands[0])
        printer = _PRINTERS.get(node.op)
        text = printer(self, node) if printer is not None else self._call(node)
        if node.op in ("number", "constant", "extent"):
            self.known[node] = text
        return text

    def _infix(self, node: Node) -> Text:
        sign, binding = _SIGNS[node.op]
        left, right = (self._expression(operand) for operand in node.operands)
        tight_right = binding in (_SUM, _PRODUCT, _RELATION)
        left_code = _wrapped(left, binding + (binding == _RELATION) * -1)
        right_code = _wrapped(right, binding - 1 if tight_right else binding)
        return Text(f"{left_code}{sign}{right_code}", binding)

    def _negative(self, node: Node) -> Text:
        return Text(f"-{_wrapped(self._expression(node.operands[0]), _UNARY)}", _UNARY)

    def _fused(self, node: Node) -> Text:
        x, y, z = (self._expression(operand) for operand in node.operands)
        if node.op == "fnma":
            x = Text(f"-{_wrapped(x, _UNARY)}", _UNARY)
        elif node.op == "fms":
            z = Text(f"-{_wrapped(z, _UNARY)}", _UNARY)
        primitive = self._primitive("fma" if _is_wide(node) else self._form("fma"))
        return Text(f"{primitive}({x.code}, {y.code}, {z.code})")

    def _not(self, node: Node) -> Text:
        return Text(f"not {_wrapped(self._expression(node.operands[0]), _NOT)}", _NOT)

    def _number(self, node: Node) -> Text:
        value = float(node.payload) if isinstance(node.payload, Number) else 0.0
        if value != value:
            text = Text("math.nan")
        elif value in (float("inf"), float("-inf")):
            text = Text("math.inf") if value > 0 else Text("-math.inf", _UNARY)
        else:
            text = Text(repr(value), _UNARY if value < 0 else _ATOM)
        return self._typed(text)

    def _typed(self, text: Text) -> Text:
        return text if self.dtype == "float64" else Text(f"np.float32({text.code})")

    def _constant(self, node: Node) -> Text:
        return self._typed(Text(f"math.{node.payload}"))

    def _truth(self, node: Node) -> Text:
        return Text("True" if node.payload else "False")

    def _extent(self, node: Node) -> Text:
        sizes = "*".join(self._sizes(int(node.payload)))  # type: ignore[arg-type]
        return self._typed(Text(f"float({sizes})"))

    def _power(self, node: Node) -> Text:
        value = _whole_power(node)
        if value is None:
            return self._call(node)
        text = self._expression(node.operands[0])
        power = abs(value)
        if text.code.isidentifier() and power <= UNROLLED:
            product = "*".join([text.code] * power)
            if power == UNROLLED:
                product = f"({text.code}*{text.code})*({text.code}*{text.code})"
            if value > 0:
                return Text(product, _PRODUCT)
            return Text(f"{self._one()}/({product})", _PRODUCT)
        call = f"{self._primitive('integer_power')}({text.code}, {value})"
        return self._rounded(node, "integer_power", call)

    def _one(self) -> str:
        return self._typed(Text("1.0")).code

    def _call(self, node: Node) -> Text:
        arguments = [self._expression(operand).code for operand in node.operands]
        kernel = self._primitive_of(node)
        if self.far and kernel in vmath.NEAR:
            kernel, limit = vmath.NEAR[kernel]
            self.limits[arguments[0]] = min(limit, self.limits.get(arguments[0], limit))
        primitive = self._primitive(kernel)
        text = f"{primitive}({', '.join(arguments[:2])})"
        for number, argument in enumerate(arguments[2:], start=1):
            if number % _NESTED == 0:
                name = self.names.fresh("t")
                self._line(f"{name} = {text}")
                text = name
            text = f"{primitive}({text}, {argument})"
        return self._rounded(node, FUNCTIONS[node.op].kernel, text)

    def _rounded(self, node: Node, primitive: str, call: str) -> Text:
        """Return a call in the type of the arithmetic; some primitives know doubles only."""
        if _is_wide(node) or self._form(primitive) != primitive:
            return Text(call)
        return self._typed(Text(call))

    def _primitive_of(self, node: Node) -> str:
        """Return the primitive of an operation for the type of its arithmetic."""
        primitive = FUNCTIONS[node.op].kernel
        return primitive if _is_wide(node) else self._form(primitive)

    def _form(self, primitive: str) -> str:
        return vmath.single(primitive) if self.dtype == "float32" else primitive

    def _primitive(self, name: str) -> str:
        """Return how to call a primitive; the user's variable of the same name goes first."""
        self.primitives.add(name)
        self.calls += 1
        if name in self.names and name not in self.aliases:
            self.aliases[name] = self.names.fresh(f"{name}_function")
        return self.aliases.get(name, name)

    def _where(self, node: Node) -> Text:
        """Print a selection; a NaN in the condition gives NaN."""
        condition, yes, no = node.operands
        test = _wrapped(self._expression(condition), _OR)
        first, second = (self._branch(node, branch) for branch in (yes, no))
        ordered = " and ".join(self._ordered(condition))
        nan = self._typed(Text("math.nan")).code
        if not ordered:
            return Text(f"{first} if {test} else {second}", _CONDITIONAL)
        return Text(f"({first} if {test} else {second}) if {ordered} else {nan}", _CONDITIONAL)

    def _branch(self, node: Node, branch: Node) -> str:
        """Return one of the results of a selection, in the type of its arithmetic."""
        text = self._expression(branch)
        if self.dtype == "float32" and _is_wide(node) and not _is_wide(branch):
            return f"np.float64({text.code})"
        return _wrapped(text, _OR)

    def _ordered(self, condition: Node) -> list[str]:
        """Return the tests that nothing that a condition compares is NaN.

        The tests of a long condition get a name, which longer ones that contain the
        condition use, so that a chain of conditions takes code in proportion to its length.
        """
        tests: dict[str, None] = {}
        pending = [condition]
        seen = set(pending)
        while pending:
            node = pending.pop()
            if node in self.ordered:
                tests[self.ordered[node]] = None
                continue
            operands = node.operands if node.op in ("and", "or", "not") else ()
            for operand in reversed(operands):
                if operand not in seen:
                    seen.add(operand)
                    pending.append(operand)
            if node.op in _SIGNS and _SIGNS[node.op][1] == _RELATION:
                for operand in node.operands:
                    if not _is_ordered(operand):
                        text = _wrapped(self._expression(operand), _SUM)
                        tests[f"{text} == {text}"] = None
        if len(tests) <= _TESTS:
            return list(tests)
        lines = list(tests)
        name = ""
        for start in range(0, len(lines), _TESTS):
            head = [name] if name else []
            name = self.names.fresh("ordered")
            self._line(f"{name} = {' and '.join([*head, *lines[start : start + _TESTS]])}")
        self.ordered[condition] = name
        return [name]


def _neutral(node: Node) -> str:
    """Return what a reduction gives where there are no points."""
    value = NEUTRAL[str(node.payload)]
    return repr(value) if math.isfinite(value) else f"{'-' * (value < 0)}math.inf"


def _whole_power(node: Node) -> int | None:
    """Return the exponent of a power that is a product or `integer_power`."""
    value = exact(node.operands[1])
    if value is None or value.denominator != 1 or abs(value) > LARGEST_POWER:
        return None
    return value.numerator


def _is_real_power(node: Node) -> bool:
    """Tell whether a node takes a logarithm and an exponential."""
    return node.op == "pow" and _whole_power(node) is None


def _is_wide(node: Node) -> bool:
    """Tell whether a node is computed in doubles, as reductions are: it waits for one."""
    return bool(node.phase) and not node.axes


def _is_ordered(node: Node) -> bool:
    """Tell whether a node is a literal that compares with everything."""
    if node.op == "number" and isinstance(node.payload, Number):
        return float(node.payload) == float(node.payload)
    return node.op in ("constant", "extent")


def _source(node: Node) -> Node:
    """Return what a node prints as: broadcasts and shifts print as their operands."""
    while node.op in _SILENT:
        node = node.operands[0]
    return node


def _wrapped_list(listed: str) -> str:
    """Return a list of names on lines of their own."""
    indent = " " * 8
    return textwrap.fill(
        listed,
        _LINE,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _wrapped(text: Text, binding: int) -> str:
    """Return the code in parentheses unless it binds at least as tightly as needed."""
    return text.code if text.binding <= binding else f"({text.code})"


_PRINTERS: Mapping[str, Callable[[_Printer, Node], Text]] = {
    **dict.fromkeys(_SIGNS, _Printer._infix),
    "neg": _Printer._negative,
    **dict.fromkeys(("fma", "fms", "fnma"), _Printer._fused),
    "not": _Printer._not,
    "number": _Printer._number,
    "constant": _Printer._constant,
    "truth": _Printer._truth,
    "extent": _Printer._extent,
    "pow": _Printer._power,
    "where": _Printer._where,
}
