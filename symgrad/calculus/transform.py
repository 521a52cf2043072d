"""Transformations of a Graph into the Graph of a derivative.

Every transformation is a value: it can be stored, compared, pickled and composed. Applying
one takes a Graph with the packing of its results and gives the same for the derivative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from ..errors import ArgumentError, LimitError
from ..graph.node import Graph, Node, Output
from .elimination import jacobian_entries
from .sweep import adjoints, tangents

__all__ = [
    "Block",
    "Format",
    "Gradient",
    "Hessian",
    "Jacobian",
    "Packing",
    "Pullback",
    "Pushforward",
    "Sparse",
    "Transform",
    "check_sizes",
]


#: Along which axis the entries of a sparse matrix follow each other: its rows, its columns.
Format = Literal["csr", "csc"]


class Block(NamedTuple):
    """Consecutive outputs laid out in an array.

    Attributes:
        start: number of the first output.
        shape: the axes that the outputs fill, rows first, after the axes of the points; an
            empty shape is one output as it is.
    """

    start: int
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """Consecutive outputs that are the entries of a sparse matrix.

    Attributes:
        start: number of the first output.
        shape: rows and columns of the matrix.
        format: "csr" has the entries row by row, "csc" column by column.
        indptr: where the entries of every row (or column) begin, and the end of the last.
        indices: the column (or row) of every entry, ascending in each row (or column).
    """

    start: int
    shape: tuple[int, int]
    format: Format
    indptr: np.ndarray
    indices: np.ndarray


#: How the outputs of a Graph are handed to the caller: a block, a sparse matrix, or a tuple
#: of packings.
Packing = Block | Sparse | tuple["Packing", ...]


@dataclass(frozen=True, slots=True)
class Gradient:
    """The gradient of the sum of all outputs over all points.

    Attributes:
        wrt: inputs and steps to differentiate by; None for all inputs.
        single: the result is one array and not a tuple.
        value: the outputs come too, before the gradient.
    """

    wrt: tuple[str, ...] | None = None
    single: bool = False
    value: bool = False

    def apply(self, graph: Graph, packing: Packing) -> tuple[Graph, Packing]:
        """Return the Graph of the gradient."""
        one = graph.builder.number(1)
        seeds = [(output.node, one) for output in graph.outputs]
        return _reverse(graph, packing, seeds, self.wrt, self.single, self.value)


@dataclass(frozen=True, slots=True)
class Pullback:
    """The vector-Jacobian product; the cotangents of the outputs are further inputs.

    Attributes: as those of Gradient.
    """

    wrt: tuple[str, ...] | None = None
    single: bool = False
    value: bool = True

    def apply(self, graph: Graph, packing: Packing) -> tuple[Graph, Packing]:
        """Return the Graph with one cotangent input for each output, after the inputs."""
        b = graph.builder
        wrt = self.wrt or _input_names(graph)
        seeds = []
        alike = dict(graph.alike)
        names = _names((f"{output.name}_bar" for output in graph.outputs), graph)
        for output, name in zip(graph.outputs, names, strict=True):
            seeds.append((output.node, b.input(name, output.node.axes)))
            alike[name] = output.like
        cotangents = (cotangent for _, cotangent in seeds)
        wider = replace(graph, inputs=(*graph.inputs, *cotangents), alike=alike)
        return _reverse(wider, packing, seeds, wrt, self.single, self.value)


@dataclass(frozen=True, slots=True)
class Pushforward:
    """The Jacobian-vector product; the tangents of `wrt` are further inputs.

    Attributes:
        wrt: inputs and steps that vary; None for all inputs.
        value: the outputs come too, before their tangents.
    """

    wrt: tuple[str, ...] | None = None
    value: bool = True

    def apply(self, graph: Graph, packing: Packing) -> tuple[Graph, Packing]:
        """Return the Graph with one tangent input for each input in `wrt`."""
        b = graph.builder
        targets = _targets(graph, self.wrt)
        seeds: dict[Node, Node] = {}
        alike = dict(graph.alike)
        names = _names((f"{target.payload}_dot" for target in targets), graph)
        for target, like, name in zip(targets, graph.like(targets), names, strict=True):
            alike[name] = like
            seeds[target] = b.input(name, target.axes)
        found = tangents(b, seeds, [output.node for output in graph.outputs])
        dots = tuple(
            Output(f"{output.name}_dot", b.broadcast(tangent, output.node.axes), output.like)
            for output, tangent in zip(graph.outputs, found, strict=True)
        )
        inputs = (*graph.inputs, *seeds.values())
        kept = graph.outputs if self.value else ()
        outputs = _distinct((*kept, *dots))
        wider = replace(graph, inputs=inputs, outputs=outputs, alike=alike)
        return wider, (packing, _shifted(packing, len(kept))) if self.value else packing


@dataclass(frozen=True, slots=True)
class Jacobian:
    """The derivative of every output by every name in `wrt`, point by point.

    The result has the shape of the output with one axis more, for `wrt`; with `sparse` it is
    a matrix with a row for each output, of whose entries only those are outputs that are not
    always 0.
    """

    wrt: tuple[str, ...] | None = None
    single: bool = False
    value: bool = False
    sparse: Format | None = None

    def apply(self, graph: Graph, packing: Packing) -> tuple[Graph, Packing]:
        """Return the Graph of the Jacobian."""
        if self.sparse:
            return _entries(graph, graph.outputs, self.wrt, self.sparse)
        columns = _pointwise(graph, graph.outputs, self.wrt)
        outputs = tuple(column for row in columns for column in row)
        shape = () if self.single else (len(columns[0]),)
        result = _widened(packing, shape)
        if self.value:
            return (
                replace(graph, outputs=_distinct((*graph.outputs, *outputs))),
                (packing, _shifted(result, len(graph.outputs))),
            )
        return replace(graph, outputs=_distinct(outputs)), result


@dataclass(frozen=True, slots=True)
class Hessian:
    """The second derivatives of every output by every two names in `wrt`, point by point.

    The result has the shape of the output with two axes more.

    Attributes:
        wrt: inputs and steps to differentiate by; None for all inputs.
        value: the outputs and their first derivatives come too, before the Hessian.
        sparse: there is one output, and only those entries are outputs that are not always
            0; they make a sparse matrix.
    """

    wrt: tuple[str, ...] | None = None
    value: bool = False
    sparse: Format | None = None

    def apply(self, graph: Graph, packing: Packing) -> tuple[Graph, Packing]:
        """Return the Graph of the Hessian."""
        if self.sparse:
            (row,) = _pointwise(graph, graph.outputs, self.wrt)
            return _entries(graph, row, self.wrt, self.sparse, symmetric=True)
        rows = _pointwise(graph, graph.outputs, self.wrt)
        size = len(rows[0])
        second: list[Output] = []
        for row in rows:
            for column in _pointwise(graph, row, self.wrt, symmetric=True):
                second.extend(column)
        hessian = _widened(packing, (size, size))
        if self.value:
            first = [column for row in rows for column in row]
            start = len(graph.outputs)
            outputs = [*graph.outputs, *first, *second]
            return (
                replace(graph, outputs=_distinct(outputs)),
                (
                    packing,
                    _shifted(_widened(packing, (size,)), start),
                    _shifted(hessian, start + len(first)),
                ),
            )
        return replace(graph, outputs=_distinct(second)), hessian


#: Any transformation.
Transform = Gradient | Pullback | Pushforward | Jacobian | Hessian


def check_sizes(
    transforms: Sequence[Transform], inputs: int, outputs: int, entries: int
) -> None:
    """Refuse a chain of transformations that cannot be applied, before any work.

    Args:
        transforms: the chain, applied to a Graph in order.
        inputs: how many inputs the Graph has.
        outputs: how many outputs it has.
        entries: the most entries that a dense Jacobian or Hessian may have.

    Raises:
        LimitError: one has more.
        ArgumentError: something follows after a sparse derivative.
    """
    sparse = False
    for transform in transforms:
        if sparse:
            raise ArgumentError("sparse=True comes last: differentiate before it")
        if not isinstance(transform, Transform):
            return  # of somebody else, who knows how large it is
        width = inputs if transform.wrt is None else len(transform.wrt)
        if isinstance(transform, Gradient | Pullback):
            inputs += outputs if isinstance(transform, Pullback) else 0
            outputs = width + (outputs if transform.value else 0)
        elif isinstance(transform, Pushforward):
            inputs, outputs = inputs + width, outputs * (2 if transform.value else 1)
        else:
            sparse = transform.sparse is not None
            second = isinstance(transform, Hessian)
            size = outputs * width ** (2 if second else 1)
            if size > entries and not sparse:
                raise LimitError(
                    f"the dense {type(transform).__name__} has {size:,} entries and the limit "
                    f"is {entries:,}",
                    hint=f"call {type(transform).__name__.lower()} with sparse=True, or raise "
                    "it with compile(..., limits=Limits(entries=...))",
                )
            first = outputs * (width if second else 0)
            outputs = size + (outputs + first if transform.value else 0)


def _input_names(graph: Graph) -> tuple[str, ...]:
    return tuple(str(node.payload) for node in graph.inputs)


def _names(wishes: Iterable[str], graph: Graph | None = None) -> Iterator[str]:
    """Yield names of their own, also beside the inputs and steps of a Graph.

    >>> list(_names(["x_bar", "y_bar", "x_bar"]))
    ['x_bar', 'y_bar', 'x_bar_']
    """
    taken = {str(node.payload) for node in (*graph.inputs, *graph.steps)} if graph else set()
    for name in wishes:
        while name in taken:
            name += "_"
        taken.add(name)
        yield name


def _distinct(outputs: Sequence[Output]) -> tuple[Output, ...]:
    """Return outputs with names of their own."""
    names = _names(output.name for output in outputs)
    return tuple(
        output._replace(name=name) for output, name in zip(outputs, names, strict=True)
    )


def _targets(graph: Graph, wrt: Sequence[str] | None) -> list[Node]:
    if wrt is None:
        return list(graph.inputs)
    known = {str(node.payload): node for node in (*graph.steps, *graph.inputs)}
    return [known[name] if name in known else graph.find(name) for name in wrt]


def _reverse(
    graph: Graph,
    packing: Packing,
    seeds: Sequence[tuple[Node, Node]],
    wrt: Sequence[str] | None,
    single: bool,
    value: bool,
) -> tuple[Graph, Packing]:
    b = graph.builder
    targets = _targets(graph, wrt)
    bars = dict(graph.bars)
    found = adjoints(b, seeds, targets, bars=bars, order=graph.nodes(), repeats=graph.repeats)
    derivatives = tuple(
        # An adjoint that is constant has all axes of its target nevertheless.
        Output(f"{target.payload}_bar", b.broadcast(adjoint, target.axes), like)
        for target, adjoint, like in zip(targets, found, graph.like(targets), strict=True)
    )
    kept = graph.outputs if value else ()
    start = len(kept)
    blocks = tuple(Block(start + k) for k in range(len(derivatives)))
    gradient: Packing = blocks[0] if single else blocks
    outputs = _distinct((*kept, *derivatives))
    return (
        replace(graph, outputs=outputs, bars=bars),
        (packing, gradient) if value else gradient,
    )


def _pointwise(
    graph: Graph, outputs: Sequence[Output], wrt: Sequence[str] | None, symmetric: bool = False
) -> list[list[Output]]:
    """Return the derivatives of every output by every target, without sums over points.

    With `symmetric` the outputs are first derivatives by the same targets.
    """
    b = graph.builder
    targets = _targets(graph, wrt)
    nodes = [output.node for output in outputs]
    if "reduce" in graph.census():
        columns = [tangents(b, {target: b.number(1)}, nodes) for target in targets]
        rows = [list(row) for row in zip(*columns, strict=True)]
    else:
        entries = jacobian_entries(b, nodes, targets, symmetric=symmetric)
        zero = b.number(0)
        rows = [
            [entries.get((row, column), zero) for column in range(len(targets))]
            for row in range(len(outputs))
        ]
    return [
        [
            Output(
                f"{output.name}_{target.payload}",
                b.broadcast(node, output.node.axes),
                output.like,
            )
            for target, node in zip(targets, row, strict=True)
        ]
        for output, row in zip(outputs, rows, strict=True)
    ]


def _entries(
    graph: Graph,
    outputs: Sequence[Output],
    wrt: Sequence[str] | None,
    format: Format,
    symmetric: bool = False,
) -> tuple[Graph, Packing]:
    """Return the Graph of the derivatives of outputs by targets that are not always 0."""
    b = graph.builder
    targets = _targets(graph, wrt)
    if "reduce" in graph.census():
        raise ArgumentError("a sparse derivative is of formulas without sum and mean")
    found = jacobian_entries(b, [o.node for o in outputs], targets, symmetric=symmetric)
    by_rows = format == "csr"
    if not by_rows:
        found = dict(sorted(found.items(), key=lambda entry: entry[0][::-1]))
    names = [str(target.payload) for target in targets]
    entries = tuple(
        Output(
            f"{outputs[row].name}_{names[column]}",
            b.broadcast(node, outputs[row].node.axes),
            outputs[row].like,
        )
        for (row, column), node in found.items()
    )
    rows, columns = np.array(list(found), np.int32).reshape(-1, 2).T
    shape = len(outputs), len(targets)
    along, across = (rows, columns) if by_rows else (columns, rows)
    indptr = np.searchsorted(along, np.arange(shape[not by_rows] + 1)).astype(np.int32)
    packing = Sparse(0, shape, format, indptr, across.copy())
    return replace(graph, outputs=entries), packing


def _shifted(packing: Packing, by: int) -> Packing:
    if isinstance(packing, Block):
        return Block(packing.start + by, packing.shape)
    if isinstance(packing, Sparse):
        return replace(packing, start=packing.start + by)
    return tuple(_shifted(part, by) for part in packing)


def _widened(packing: Packing, shape: tuple[int, ...]) -> Packing:
    """Replace every output by a block of its derivatives in further axes of `shape`."""
    if isinstance(packing, Block):
        return Block(packing.start * math.prod(shape), packing.shape + shape)
    if isinstance(packing, Sparse):
        raise ArgumentError("sparse=True comes last: differentiate before it")
    return tuple(_widened(part, shape) for part in packing)
