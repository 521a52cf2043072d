"""The conductor: from a Program to a compiled Kernel, stage by stage.

This is the one module that knows the order of the stages; the stages do not know each
other.

    Program ──lower──▶ Graph ──transform──▶ Graph ──print──▶ source ──load──▶ Kernel
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from .calculus.transform import (
    Block,
    Gradient,
    Hessian,
    Jacobian,
    Packing,
    Pushforward,
    Transform,
)
from .codegen.module import print_module
from .codegen.python import Function as Printed
from .codegen.python import print_function
from .graph.count import operations
from .graph.lower import lower
from .graph.node import Graph
from .language.program import Program
from .runtime import cache
from .runtime.kernel import Kernel, Slot

__all__ = ["Variant", "build_graph", "compile_kernel", "kernel_name", "print_source"]


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


def build_graph(
    program: Program, transforms: Sequence[Transform], variant: Variant
) -> tuple[Graph, Packing]:
    """Return the Graph of a Program, transformed, and how its outputs are packed."""
    axes = dict(zip(program.inputs, variant.axes, strict=True))
    graph = lower(program, axes, variant.everywhere)
    packing = _packing(program)
    for transform in transforms:
        graph, packing = transform.apply(graph, packing)
    return graph, packing


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
    printed = print_function(graph, kernel_name(transforms), variant.dtype)
    return (
        print_module([printed], header(program, {printed.name: graph})),
        printed,
        graph,
        packing,
    )


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
        f"Written by symgrad {metadata.version('symgrad')}. Change the formula, not this file.",
    ]
    return lines


def compile_kernel(
    program: Program, transforms: Sequence[Transform], variant: Variant
) -> tuple[Kernel, Packing]:
    """Return the compiled kernel of a Program and how its outputs are packed."""
    source, printed, graph, packing = print_source(program, transforms, variant)
    function = getattr(cache.load(source), printed.name)
    place = {str(node.payload): number for number, node in enumerate(graph.inputs)}

    def slot(axes: int, like: Sequence[str]) -> Slot:
        return Slot(axes, tuple(place[name] for name in like))

    names = [str(node.payload) for node in graph.inputs]
    kernel = Kernel(
        printed.name,
        source,
        function,
        [
            slot(n.axes, graph.alike.get(name, (name,)))
            for n, name in zip(graph.inputs, names, strict=True)
        ],
        [slot(output.node.axes, output.like) for output in graph.outputs],
        variant.dtype,
        printed.passes,
    )
    return kernel, packing
