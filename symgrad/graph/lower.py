"""From a Program to a Graph.

The walk is one loop over the flat instructions, so depth costs nothing. Axes are decided
here: the same Program is lowered once for every way in which its arguments are arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

from ..errors import FormulaError
from ..language.functions import ORDERS, REDUCTIONS, WITH_ORDERS
from ..language.program import Folded, Instruction, Instructions, Number, Program
from .algebra import exact
from .node import Builder, Graph, Node, Output
from .recipe import Recipes, unfolded
from .reductions import COMPOSED

__all__ = [
    "Template",
    "check_kernels",
    "check_orders",
    "lower",
    "symbolic",
    "template",
    "varying",
]

#: A formula that is applied over and over: nodes for its inputs give one for its value.
Template = Callable[[Builder, Sequence[Node]], Node]

#: Operations that are not applied just as they are.
_SPECIAL = REDUCTIONS | ORDERS.keys() | {"input", "number", "constant", "step", "clip"}


def lower(
    program: Program, axes: Mapping[str, int] | None = None, everywhere: int = 0
) -> Graph:
    """Return the Graph of a Program whose inputs vary over the given axes.

    An output that is computed point by point is spread over the axes in `everywhere`, so
    that a constant has the shape of the arguments; one that contains a reduction keeps its
    own axes.

    Args:
        program: what to lower.
        axes: mask of the axes of every input; 0 for those that are missing.
        everywhere: mask of all axes of the arguments together.
    """
    axes = axes or {}
    builder = Builder()
    inputs = tuple(builder.input(name, axes.get(name, 0)) for name in program.inputs)
    bound = dict(zip(program.inputs, inputs, strict=True))
    reduced = _reduced(program)
    spread, origin = _shapes(program, axes) if reduced else ([], [])
    recipes = Recipes(builder, program.instructions)
    nodes = _translate(builder, program, bound, spread, recipes)
    steps = tuple(nodes[position] for position in program.steps.values())
    outputs = tuple(
        Output(
            name,
            builder.broadcast(builder.real(nodes[at]), spread[at]),
            tuple(n for k, n in enumerate(program.inputs) if origin[at] >> k & 1),
        )
        if at in reduced
        else Output(
            name, builder.broadcast(builder.real(nodes[at]), everywhere), program.inputs
        )
        for name, at in program.outputs
    )
    repeats = recipes.repeats
    return Graph(builder, inputs, outputs, steps, program, len(builder), repeats=repeats)


def varying(program: Program, arrays: Sequence[str] | None = None) -> tuple[int, ...]:
    """Return for each input the mask of axes over which it varies when a Program is read.

    Without reductions that makes no difference and is 0. A reduction over an input that does
    not vary would vanish from sight, so where there is one, the inputs named in `arrays`
    vary over one axis of points, all of them if it is None.
    """
    if REDUCTIONS.isdisjoint(program.instructions.ops()):
        return (0,) * len(program.inputs)
    return tuple(int(arrays is None or name in arrays) for name in program.inputs)


def symbolic(program: Program, arrays: Sequence[str] | None = None) -> Graph:
    """Return the Graph of a Program for reading and closed forms, see `varying`."""
    axes = varying(program, arrays)
    return lower(program, dict(zip(program.inputs, axes, strict=True)), int(any(axes)))


@cache
def template(program: Program) -> Template:
    """Return a Program of one output as a function from nodes to a node.

    >>> from symgrad.language.parse import parse
    >>> b = Builder()
    >>> template(parse("x*sin(y)", inputs=["x", "y"]))(b, [b.input("a"), b.input("b")])
    %3 = mul(%0, %2)
    """
    ((_, result),) = program.outputs
    # Where the value of every instruction is, among the operands and then what was made.
    place: list[int] = []
    steps: list[tuple[str, tuple[int, ...], Number | None]] = []
    for op, sources, payload, _ in program.instructions:
        if op == "input":
            place.append(program.inputs.index(str(payload)))
            continue
        if op in _SPECIAL and op != "number":
            return _translated(program)
        literal = payload if isinstance(payload, Number) else None
        place.append(len(program.inputs) + len(steps))
        steps.append((op, tuple(place[source] for source in sources), literal))
    last = place[result]
    if not steps:
        return lambda b, operands: operands[last]
    if len(steps) == 1 and steps[0][2] is None:
        ((op, sources, _),) = steps
        return lambda b, operands: b.apply(op, *[operands[source] for source in sources])

    def apply(b: Builder, operands: Sequence[Node]) -> Node:
        nodes = list(operands)
        for op, sources, literal in steps:
            if literal is None:
                nodes.append(b.apply(op, *[nodes[source] for source in sources]))
            else:
                nodes.append(b.number(literal.value, decimal=literal.decimal))
        return nodes[last]

    return apply


def _translated(program: Program) -> Template:
    """Return the function of a Program that has more than literals and plain operations."""

    def apply(b: Builder, operands: Sequence[Node]) -> Node:
        bound = dict(zip(program.inputs, operands, strict=True))
        return _translate(b, program, bound)[program.outputs[0][1]]

    return apply


def _shapes(program: Program, axes: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Return masks of the axes and of the inputs that give every value its shape.

    They are those of the formula as it is written: in ``sum(x - x + 1)`` the identities
    make the summand a literal, but it still has a value at every point.
    """
    spread: list[int] = []
    origin: list[int] = []
    number = {name: 1 << place for place, name in enumerate(program.inputs)}
    for code in program.instructions:
        mask, inputs = 0, 0
        if code.op == "input":
            mask, inputs = axes.get(str(code.payload), 0), number[str(code.payload)]
        elif code.op not in REDUCTIONS:
            for operand in code.operands:
                mask |= spread[operand]
                inputs |= origin[operand]
        spread.append(mask)
        origin.append(inputs)
    return spread, origin


def _reduced(program: Program) -> set[int]:
    """Return the positions whose value contains a reduction."""
    found: set[int] = set()
    if REDUCTIONS.isdisjoint(program.instructions.ops()):
        return found
    for position, code in enumerate(program.instructions):
        if code.op in REDUCTIONS or any(operand in found for operand in code.operands):
            found.add(position)
    return found


def _translate(
    builder: Builder,
    program: Program,
    bound: Mapping[str, Node],
    spread: Sequence[int] = (),
    recipes: Recipes | None = None,
) -> list[Node]:
    """Return the node of every instruction.

    If the Program is the user's, with recipes for its statements, new nodes remember the
    instruction that they are made for, and orders are checked.
    """
    users = recipes is not None
    nodes: list[Node] = []
    apply = builder.apply
    for part in _legible(program.instructions):
        position = len(nodes)
        if users:
            builder.origin = position
        if isinstance(part, Folded):
            if recipes is None:
                nodes += unfolded(builder, part, nodes, users=False)
            else:
                nodes += recipes.nodes(part, nodes)
            continue
        op, sources, payload, _ = part
        operands = [nodes[source] for source in sources]
        if op not in _SPECIAL:
            node = apply(op, *operands)
        elif op == "input":
            node = bound[str(payload)]
        elif op == "number" and isinstance(payload, Number):
            node = builder.number(payload.value, decimal=payload.decimal)
        elif op == "constant":
            node = builder.constant(str(payload))
        elif op == "step":
            node = builder.step(str(payload), operands[0])
        elif op in REDUCTIONS:
            mask = 0
            for source in sources:
                mask |= spread[source]
            node = COMPOSED[op](builder, mask, *map(builder.real, operands))
        elif op == "clip":
            node = apply("min", apply("max", operands[0], operands[1]), operands[2])
        else:
            if users:
                _check_order(program, part, operands[0])
            node = apply(op, *operands)
        nodes.append(node)
    builder.origin = -1
    return nodes


def _legible(code: Instructions) -> Iterator[Instruction | Folded]:
    """Yield instructions, and folded statements that do nothing but apply operations."""
    plain: dict[int, bool] = {}
    position = 0
    for part in code.parts:
        if isinstance(part, Folded):
            shape = part.shape
            known = plain.get(id(shape))
            if known is None:
                known = all(
                    step.op == "number" or step.op not in _SPECIAL for step in shape.steps
                )
                plain[id(shape)] = known
            if known:
                yield part
            else:
                yield from part.unfolded(position)
            position += part.size
        else:
            yield part
            position += 1


def check_orders(program: Program) -> None:
    """Refuse a Program with a function whose order is not a number that kernels know.

    Raises:
        FormulaError: there is one, at the place that the error shows.
    """
    if not program.instructions.ops().isdisjoint(ORDERS):
        # Only the identities of the Graph tell whether an expression is a number.
        lower(program)


def _check_order(program: Program, code: Instruction, order: Node) -> None:
    value, most = exact(order), ORDERS[code.op]
    if value is None or not 0 <= value <= most or value.denominator != 1:
        raise FormulaError(
            f"the order of {code.op} must be a number 0, 1, 2, ..., {most}",
            text=program.text,
            span=code.span,
            hint=f"write {code.op}(1, x), for example",
        )


def check_kernels(program: Program, graph: Graph) -> None:
    """Refuse the Graph of a derivative in which an order is higher than kernels know.

    Raises:
        FormulaError: there is one, at the place in the Program that it comes from.
    """
    if WITH_ORDERS.isdisjoint(program.instructions.ops()):
        return
    for node in graph.nodes():
        if node.op not in ORDERS:
            continue
        order, most = exact(node.operands[0]), ORDERS[node.op]
        if order is not None and order > most:
            raise FormulaError(
                f"this derivative has {node.op} of order {order}, and kernels know orders up "
                f"to {most}",
                text=program.text,
                span=program.instructions[node.origin].span if node.origin >= 0 else None,
            )
