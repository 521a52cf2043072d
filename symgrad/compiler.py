"""The conductor: from a Program to a compiled Kernel, stage by stage.

This is the one module that knows the order of the stages; the stages do not know each
other.

    Program ──lower──▶ Graph ──transform──▶ Graph ──print──▶ source ──load──▶ Kernel
                                              └──assemble──▶ tape ──bind──▶ Kernel

A small Graph becomes machine code of its own, straight from LLVM IR, or by way of Numba, which
takes several times as long, where it calls functions of the C library or collects sums over
some of several axes. A large one would take too long to compile and becomes a tape, the program
of a register machine that was compiled before. All compute the same bits. The first calls with
numbers of a small Graph do not wait for a compiler: Python runs the printed text itself, again
with the same bits, until that has taken as long as compiling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from . import garbage, progress, vmath
from .calculus.transform import (
    Block,
    Gradient,
    Hessian,
    Jacobian,
    Packing,
    Pushforward,
    Transform,
)
from .codegen.flatten import flatten
from .codegen.llvm import print_llvm
from .codegen.machine import (
    FIELDS,
    PARAMETERS,
    SUM_LANES,
    instruction_set,
    print_fold,
    print_machine,
)
from .codegen.module import print_module
from .codegen.python import Function as Printed
from .codegen.python import print_function
from .codegen.rolling import LANES, print_rolled, roll
from .codegen.rolling import PARAMETERS as ROLLED
from .codegen.standalone import Golden, print_check
from .codegen.tape import assemble, has_tape
from .errors import ArgumentError, UnsupportedError
from .graph.count import operations
from .graph.factor import (
    cancel_quotients,
    cancel_twos,
    divide_by_roots,
    factor_sums,
    invert_roots,
    merge_roots,
    share_reciprocals,
)
from .graph.fuse import fuse_products, sums_to_fuse
from .graph.lower import check_kernels, lower
from .graph.node import Graph
from .graph.stability import stabilize
from .language.functions import FUNCTIONS
from .language.program import Program
from .runtime import cache
from .runtime.interpreter import Compiled, Interpreter, Machines
from .runtime.kernel import Kernel, Slot
from .runtime.native import cpu, door
from .runtime.rolled import RolledKernel
from .runtime.threads import CHUNK, SHORT_CHUNK
from .version import version

__all__ = [
    "Trial",
    "Variant",
    "build_graph",
    "compile_kernel",
    "compile_rolled",
    "kernel_name",
    "print_source",
    "print_standalone",
    "try_kernel",
]


#: Graphs of more operations are not compiled at once but run from a tape, which answers
#: sooner by far.
COMPILED_AT_ONCE = 128
#: Graphs of more operations are never compiled: that would take minutes.
COMPILED_WHEN_HOT = 2000
#: How many operations of numbers are tried in Python before a kernel is compiled; the two
#: take a similar time.
TRIED = 150_000
#: For so many points, times operations for each array, it pays to begin at a line.
_POINTS_FOR_LINES = 100
#: Arrays of more bytes than this are read from memory.
_CACHE = 2**20
#: About how long compiling an operation takes.
_SECONDS_ON_ARRAYS, _SECONDS_ON_NUMBERS = 0.002, 0.0004


@dataclass(frozen=True, slots=True)
class Variant:
    """For which arguments a kernel is compiled.

    Attributes:
        axes: mask of the collapsed array axes that each input of the Program varies over.
        everywhere: mask of all of these axes.
        dtype: "float64" or "float32".
    """

    axes: tuple[int, ...]
    everywhere: int = 0
    dtype: str = "float64"


class Made(NamedTuple):
    """What runs a kernel.

    Attributes:
        source: the text of its module, which may be empty.
        function: what is called.
        pointwise: its points are independent.
        scalars: the numbers that it returns are scalars of NumPy of their type.
    """

    source: str
    function: Callable[..., Any]
    pointwise: bool = False
    scalars: bool = False


class Trial(NamedTuple):
    """A kernel of numbers that plain Python runs until compiling it is worth while.

    Attributes:
        kernel: what runs.
        packing: how its outputs are packed.
        calls: how many calls take about as long as compiling does.
    """

    kernel: Kernel
    packing: Packing
    calls: int


def build_graph(
    program: Program,
    transforms: Sequence[Transform],
    variant: Variant,
    *,
    stable: bool | None = None,
) -> tuple[Graph, Packing]:
    """Return the Graph of a Program, transformed, and how its outputs are packed.

    Stable forms are looked for before and after the transformations, unless `stable` says
    no, or the Program does and `stable` is None. So are products to fuse with sums, and what
    derivatives need not multiply or divide by, if the Program is not long.

    Raises:
        FormulaError: a derivative has a function of an order that no kernel knows.
    """
    if stable is None:
        stable = program.stable
    progress.stage("building the graph", program.instructions)
    axes = dict(zip(program.inputs, variant.axes, strict=True))
    graph = lower(program, axes, variant.everywhere)
    if stable:
        graph = stabilize(graph)
    polished = stable and len(program.instructions) <= COMPILED_WHEN_HOT
    fused = sums_to_fuse(graph) if polished else frozenset()
    packing = _packing(program)
    for transform in transforms:
        progress.stage("differentiating", graph.builder)
        graph, packing = transform.apply(graph, packing)
    check_kernels(program, graph)
    progress.stage("simplifying", graph.builder)
    if stable and transforms:
        graph = stabilize(graph)
    if polished:
        graph = cancel_twos(graph)
        # Numbers of float32 are divided, and roots are taken, twice as fast.
        double = variant.dtype == "float64"
        graph = merge_roots(invert_roots(graph)) if double else divide_by_roots(graph)
    graph = factor_sums(share_reciprocals(cancel_quotients(graph)))
    return fuse_products(graph, fused) if polished else graph, packing


def _packing(program: Program) -> Packing:
    """Return how the outputs of a Program are handed to the caller."""
    if program.shape is not None:
        return Block(0, program.shape)
    if program.single:
        return Block(0)
    return tuple(Block(number) for number in range(len(program.outputs)))


def kernel_name(transforms: Sequence[Transform]) -> str:
    """Return what the kernel of a chain of transformations is called.

    >>> kernel_name([]), kernel_name([Gradient()])
    ('forward', 'gradient')
    """
    names = {Jacobian: "jacobian", Hessian: "hessian", Pushforward: "tangent"}
    parts = [names.get(type(transform), "gradient") for transform in transforms]
    return "_of_".join(reversed(parts)) or "forward"


def print_source(
    program: Program, transforms: Sequence[Transform], variant: Variant
) -> tuple[str, Printed, Graph, Packing]:
    """Return the module text of a kernel, the printed function, its Graph and packing."""
    graph, packing = build_graph(program, transforms, variant)
    printed = _printed(graph, kernel_name(transforms), variant)
    return (
        print_module([printed], header(program, {printed.name: graph})),
        printed,
        graph,
        packing,
    )


def _printed(graph: Graph, name: str, variant: Variant) -> Printed:
    """Return the printed kernel of a Graph; large ones collect points as tapes do."""
    large = operations(graph) > COMPILED_AT_ONCE
    return print_function(graph, name, variant.dtype, lanes=large)


def header(program: Program, graphs: dict[str, Graph]) -> list[str]:
    """Return the lines that open a generated module: the formula, its cost, its maker."""
    formula = [line.strip() for line in program.text.splitlines() if line.strip()]
    shown = formula if len(formula) <= 40 else [*formula[:40], "..."]
    if len(shown) == 1:
        lines = [f"Kernels of {shown[0][:200]}", ""]
    else:
        lines = ["Kernels of", "", *(f"    {line[:200]}" for line in shown), ""]
    lines += [
        f"{name}: {operations(graph)} operations at each point"
        for name, graph in graphs.items()
    ]
    lines += [
        "",
        f"Written by symgrad {version()}. Change the formula, not this file.",
    ]
    return lines


def print_standalone(
    program: Program,
    transforms: Sequence[Transform],
    arrays: Sequence[str],
    points: Sequence[Mapping[str, float]],
) -> str:
    """Return a module with the kernels of a Program that proves itself when it is run.

    It holds `forward` and the kernel of the transformation, `gradient` if there is none.
    """
    axes = tuple(int(name in arrays) for name in program.inputs)
    variant = Variant(axes, int(any(axes)))
    printed, graphs, orders, golden = [], {}, [], []
    last = transforms or (Gradient(value=True),)
    for chain in ((), tuple(last)):
        graph, _ = build_graph(program, chain, variant)
        function = _printed(graph, kernel_name(chain), variant)
        printed.append(function)
        graphs[function.name] = graph
        orders.append([output.name for output in graph.outputs])
        for point in points:
            outputs = _golden(program, chain, point)
            inputs = tuple(float(point[name]) for name in program.inputs)
            golden.append(Golden(function.name, inputs, outputs))
    return print_module(printed, header(program, graphs), print_check(printed, orders, golden))


def _golden(
    program: Program, transforms: Sequence[Transform], point: Mapping[str, float]
) -> tuple[float, ...]:
    """Return the outputs of a kernel at one point, from the reference evaluation."""
    from .calculus import reference

    names = [name for name, _ in program.outputs]
    values = [reference.value(program, point, output=name) for name in names]
    if transforms:
        (transform,) = transforms
        wrt = transform.wrt or program.inputs
        partials = [
            [reference.derivative(program, point, by, output=name) for by in wrt]
            for name in names
        ]
        if isinstance(transform, Gradient):
            sums = [sum(column) for column in zip(*partials, strict=True)]
            values = [*values, *sums] if transform.value else sums
        else:
            values = [entry for row in partials for entry in row]
    golden = tuple(float(value) for value in values)
    if not all(math.isfinite(value) for value in golden):
        raise ArgumentError(f"a value or a derivative at the point {dict(point)} is not finite")
    return golden


def compile_kernel(
    program: Program,
    transforms: Sequence[Transform],
    variant: Variant,
    built: tuple[Graph, Packing] | None = None,
) -> tuple[Kernel, Packing]:
    """Return the compiled kernel of a Program and how its outputs are packed.

    What `build_graph` returns for these arguments is given as `built` by who has it.
    """
    name = kernel_name(transforms)
    with progress.shown("building"):
        with garbage.paused():
            graph, packing = built or build_graph(program, transforms, variant)
            interpreter = _interpreter(program, graph, name, variant)
        made = (
            _compiled(program, graph, name, variant)
            if interpreter is None
            else Made("", interpreter, interpreter.pointwise)
        )
    return _kernel(graph, name, made, variant), packing


def try_kernel(
    program: Program, transforms: Sequence[Transform], built: tuple[Graph, Packing]
) -> Trial | None:
    """Return the kernel of numbers in plain Python, for the first calls.

    It runs the text that is compiled later, and computes the same bits. None if it could
    not, or if the backend or the size of the formula speak against it.

    Args:
        program: what to compute.
        transforms: how it was differentiated.
        built: what `build_graph` returns for them.
    """
    graph, packing = built
    if program.backend != "auto" or operations(graph) > COMPILED_AT_ONCE:
        return None
    variant = Variant((0,) * len(program.inputs))
    name = kernel_name(transforms)
    printed = _printed(graph, name, variant)
    if not all(map(vmath.is_reproducible, printed.primitives)):
        return None
    spellings = {name: name for name in printed.primitives}
    spellings.update((new, old) for old, new in printed.aliases.items())
    function = vmath.in_python(printed.source, spellings)
    kernel = _kernel(graph, name, Made(printed.source, function), variant, lasting=False)
    return Trial(kernel, packing, TRIED // max(_work(graph), 1))


def _work(graph: Graph) -> int:
    """Return about how many operations a Graph takes, with those inside of functions."""
    return operations(graph) + sum(
        count * vmath.cost(FUNCTIONS[op].kernel)
        for op, count in graph.census().items()
        if op in FUNCTIONS
    )


def _kernel(
    graph: Graph,
    name: str,
    made: Made,
    variant: Variant,
    *,
    lasting: bool = True,
) -> Kernel:
    """Return the Kernel of a Graph around its function."""
    place = {str(node.payload): number for number, node in enumerate(graph.inputs)}

    def slot(axes: int, like: Sequence[str]) -> Slot:
        return Slot(axes, tuple(place[name] for name in like))

    names = [str(node.payload) for node in graph.inputs]
    large = made.pointwise and operations(graph) > COMPILED_AT_ONCE
    return Kernel(
        name,
        made.source,
        made.function,
        [
            slot(n.axes, graph.alike.get(name, (name,)))
            for n, name in zip(graph.inputs, names, strict=True)
        ],
        [slot(output.node.axes, output.like) for output in graph.outputs],
        variant.dtype,
        pointwise=made.pointwise,
        lasting=lasting,
        scalars=made.scalars,
        chunk=SHORT_CHUNK if large else CHUNK,
    )


def _compiled(program: Program, graph: Graph, name: str, variant: Variant) -> Made:
    """Return the compiled function of a kernel."""
    progress.stage("compiling", graph.builder)
    printed = _printed(graph, name, variant)
    source = print_module([printed], header(program, {name: graph}), wrapped=False)
    kinds = [parameter.kind for parameter in printed.parameters]
    long = _long(graph, printed) if printed.pointwise else (0, 0)
    native = _native(source, name, kinds, len(printed.returned), printed.dtype, long)
    if native is not None:
        return Made(source, native, printed.pointwise, scalars=True)
    # What Numba takes for a kernel of numbers depends most of all on how many functions it has.
    module = cache.load(source if any(variant.axes) else flatten(source))
    return Made(source, getattr(module, name), printed.pointwise)


def _interpreter(
    program: Program, graph: Graph, name: str, variant: Variant
) -> Interpreter | None:
    """Return what runs a Graph from a tape, None if it is to be compiled.

    Raises:
        UnsupportedError: the interpreter was asked for, and it cannot run the Graph.
    """
    work = operations(graph)
    wanted = program.backend == "interpreter"
    if program.backend == "jit":
        return None
    if work <= COMPILED_AT_ONCE and (not wanted or _adds_points(graph)):
        return None
    if not has_tape(graph):
        if wanted:
            raise UnsupportedError(
                "the interpreter has no sums over points of several axes: use backend='auto' "
                "or 'jit'"
            )
        return None
    progress.stage("assembling", graph.builder)
    tape = assemble(graph)
    sections = tape.sections

    def machine(kind: Literal["point", "blocks"], dtype: str, codes: list[np.ndarray]) -> Any:
        opcodes = {opcode for code in codes for opcode in np.unique(code[::FIELDS]).tolist()}
        if not opcodes:
            return None
        return _run(
            print_machine(kind, dtype, instruction_set(opcodes)), PARAMETERS[kind], dtype
        )

    dtype = variant.dtype
    machines = Machines(
        FIELDS,
        SUM_LANES,
        machine("point", dtype, [sections[0].head]),
        machine("point", "float64", [section.head for section in sections[1:]]),
        machine("blocks", dtype, [section.body for section in sections]),
        _run(print_fold(), PARAMETERS["fold"]) if any(s.totals for s in sections) else None,
    )
    later = None
    if not wanted and work <= COMPILED_WHEN_HOT:
        each = _SECONDS_ON_ARRAYS if any(variant.axes) else _SECONDS_ON_NUMBERS
        later = Compiled(lambda: _compiled(program, graph, name, variant).function, each * work)
    return Interpreter(tape, dtype, machines, len(graph.inputs), later)


def _run(source: str, parameters: Sequence[str], dtype: str = "float64") -> Any:
    """Return the function ``run`` of a module, which writes into arrays."""
    return _native(source, "run", parameters, 0, dtype) or cache.load(source).run


def _long(graph: Graph, printed: Printed) -> tuple[int, int]:
    """Return from how many points on a kernel is run another way, as `print_llvm` takes them.

    To begin at a line of the cache costs up to a line of points one by one, and saves a part
    of what reading and writing the others takes.
    """
    arrays = max(1, sum(bool(parameter.axes) for parameter in printed.parameters))
    lines = max(1, _POINTS_FOR_LINES * _work(graph) // arrays)
    size = np.dtype(printed.dtype).itemsize
    return lines, _CACHE // (arrays * size) if printed.streams else 0


def _native(
    source: str,
    name: str,
    parameters: Sequence[str],
    outputs: int,
    dtype: str,
    long: tuple[int, int] = (0, 0),
) -> Callable[..., Any] | None:
    """Return a function of a module as LLVM compiles it; None if it takes Numba."""
    text = print_llvm(source, name, cpu()[1], *long)
    if text is None:
        return None
    return cache.load_native(text + door(parameters, outputs, dtype))


def _adds_points(graph: Graph) -> bool:
    """Tell whether the order in which points are combined decides about bits.

    Small kernels leave it to LLVM, which is faster, so that no tape could have their bits.
    """
    nodes = graph.nodes()
    return any(node.op == "reduce" and node.payload in ("sum", "prod") for node in nodes)


def compile_rolled(name: str, graph: Graph) -> RolledKernel:
    """Return a Graph without axes compiled in its rolled form, for rows of inputs.

    The text of its module does not depend on the size of a Graph that repeats itself.
    """
    progress.stage("compiling", graph.builder)
    rolled = roll(graph)
    source = print_rolled(
        rolled, [f"The {name} kernel, rolled.", "", f"Written by symgrad {version()}."]
    )
    segments = [(s.shape, s.count, s.target, s.operands) for s in rolled.segments]
    return RolledKernel(
        source,
        _run(source, ROLLED),
        segments,
        rolled.literals,
        rolled.size,
        rolled.results,
        LANES,
    )
