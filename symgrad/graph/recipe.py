"""Statements that repeat become nodes by functions of their own.

A text of a hundred thousand statements has a handful of shapes. What a Builder asks about every
node (does it commute, which table interns it, may an identity make something of its operands)
has the same answer in all statements of a shape, as long as their names stand for inputs and
steps: no identity looks at these or behind them. It is asked once, of a statement on stand-ins.
What is left is written as a Python function, which makes just the nodes that `Builder.apply`
would, several times faster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..language.program import Folded, Instructions, Number
from .node import LITERALS, Builder, Node, Repeat, traits

__all__ = ["Recipe", "Recipes", "Script", "unfolded"]

#: A shape that occurs less often is not worth a function, which takes a millisecond to write.
_OFTEN = 100
#: How many functions a shape is given; statements often differ in numbers, too.
_MOST = 8
#: Makes the nodes of a statement, see `Recipe.bind`.
_Make = Callable[..., "list[Node] | None"]
#: The axes of stand-ins: what has none depends on numbers alone.
_STANDS = 1


def unfolded(
    builder: Builder, statement: Folded, nodes: Sequence[Node], users: bool = True
) -> list[Node]:
    """Return the nodes of the instructions of a folded statement.

    If the Program is the user's, new nodes remember the instruction that they are made for.
    """
    shape, operands, literals, name, *_ = statement
    apply, origin, free = builder.apply, len(nodes), len(operands)
    values = [nodes[operand] for operand in operands]
    for op, sources, literal, *_ in shape.steps:
        if users:
            builder.origin = origin
            origin += 1
        if literal < 0:
            values.append(apply(op, *[values[source] for source in sources]))
        else:
            number, decimal = literals[literal]
            values.append(builder.number(number, decimal=decimal))
    if users:
        builder.origin = origin
    values.append(builder.step(name, values[shape.value]))
    return values[free:]


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """What statements with the same shape, numbers and equal names have in common.

    Attributes:
        statement: one of them, whose operands number the different values of its names.
        size: how many nodes it makes, numbers not counted, if none of them is there already.
    """

    statement: Folded
    size: int = 0

    @classmethod
    def of(cls, statement: Folded) -> Recipe:
        """Return the recipe of a statement."""
        different = _different(statement.operands)
        places = tuple([different.index(operand) for operand in statement.operands])
        recipe = cls(statement._replace(operands=places))
        _, inner, _ = recipe.made(Builder())
        return replace(recipe, size=len(inner))

    def made(self, b: Builder) -> tuple[list[Node], list[Node], list[Node]]:
        """Make the statement on stand-ins, in a Builder without nodes.

        Returns:
            the stand-ins, the nodes that are made but for numbers, in their order, and the
            nodes of the instructions.
        """
        count = 1 + max(self.statement.operands)
        stands = [b.input(f"x{k}", _STANDS) for k in range(count)]
        values = unfolded(b, self.statement, stands)
        return stands, [n for n in b.nodes[count:] if n.op not in LITERALS], values

    def bind(self, builder: Builder, repeats: dict[Node, Repeat]) -> _Make:
        """Return the function that makes the nodes of such statements in a Builder.

        It takes the nodes of all instructions so far, the different ones among them that are
        operands, and the name that is bound. It returns the nodes of the instructions, or None
        if its operands do not all have the same axes. Statements all of whose nodes are new
        become `repeats`.
        """
        script = Script(builder)
        script.space |= {"repeats": repeats, "recipe": self}
        stands, inner, values = self.made(Builder())
        names = [script.stand(node) for node in stands]
        places = [f"place{k}" for k in range(len(stands))]
        script.write(
            "origin, before = len(values), len(nodes)", f"{', '.join(places)}, = places"
        )
        script.write(
            *[f"{n} = values[{place}]" for n, place in zip(names, places, strict=True)]
        )
        script.write("axes, phase = x0.axes, x0.phase")
        for name in names[1:]:
            with script.block(f"if {name}.axes != axes or {name}.phase != phase:"):
                script.write("return None")
        first = len(stands)
        for node in inner[:-1]:
            script.make(node, f"origin + {node.origin - first}")
        step = values[-1]
        script.step(step, f"origin + {step.origin - first}")
        with script.block(f"if len(nodes) == before + {self.size}:"):
            script.write(f"repeats[{script.value(step)}] = recipe, ({', '.join(names)},)")
        script.write(f"return [{', '.join(map(script.value, values))}]")
        return script.function("values", "places", "name")


def _different(places: Sequence[int]) -> Sequence[int]:
    """Return places without those that have been there before."""
    return places if len(set(places)) == len(places) else list(dict.fromkeys(places))


class Recipes:
    """The recipes of a Program that is lowered into one Builder."""

    def __init__(self, builder: Builder, code: Instructions) -> None:
        """Find the shapes that occur often."""
        self.builder = builder
        counts = Counter([id(part.shape) for part in code.parts if isinstance(part, Folded)])
        #: By shape, and by numbers and which of the operands are equal, what makes statements.
        self._known: dict[int, dict[tuple[object, ...], _Make]]
        self._known = {shape: {} for shape, count in counts.items() if count >= _OFTEN}
        #: Statements all of whose nodes are their own, by the nodes of their steps.
        self.repeats: dict[Node, Repeat] = {}

    def nodes(self, statement: Folded, nodes: Sequence[Node]) -> list[Node]:
        """Return the nodes of the instructions of a statement of the user's Program."""
        shape, places, literals, name, *_ = statement
        known = self._known.get(id(shape))
        if known is None or not places:
            return unfolded(self.builder, statement, nodes)
        key: tuple[object, ...] = literals
        different = _different(places)
        if different is not places:
            key = *literals, *[different.index(place) for place in places]
        make = known.get(key)
        if make is None:
            if len(known) >= _MOST:
                return unfolded(self.builder, statement, nodes)
            make = known[key] = Recipe.of(statement).bind(self.builder, self.repeats)
        made = make(nodes, different, name)
        return unfolded(self.builder, statement, nodes) if made is None else made


class Script:
    """The text of a function that makes nodes in a Builder, from nodes of stand-ins.

    A variable holds the node for which a stand-in, or a node made of stand-ins, stands. The
    text knows `axes` and `phase`, those of all stand-ins.
    """

    def __init__(self, builder: Builder) -> None:
        """Start without lines."""
        self.builder = builder
        #: What the function sees besides its arguments.
        self.space: dict[str, Any] = {
            "Node": Node,
            "new": object.__new__,
            "b": builder,
            "apply": builder.apply,
            "nodes": builder.nodes,
            "append": builder.nodes.append,
        }
        self._lines: list[str] = []
        self._indent = ""
        self._variable: dict[Node, str] = {}

    def write(self, *lines: str) -> None:
        """Append lines."""
        self._lines += [self._indent + line for line in lines]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Append a line, and what is appended meanwhile as its block."""
        self.write(head)
        outer, self._indent = self._indent, self._indent + "    "
        yield
        self._indent = outer

    def stand(self, node: Node) -> str:
        """Return the variable of what a node stands for, a new one if it has none yet."""
        prefix = "x" if node.op == "input" else "v"
        return self._variable.setdefault(node, f"{prefix}{len(self._variable)}")

    def value(self, node: Node) -> str:
        """Return the variable of what a node stands for; numbers stand for themselves.

        Raises:
            KeyError: there is none.
        """
        if node not in self._variable and node.op in LITERALS:
            variable = f"n{len(self._variable)}"
            self._variable[node] = variable
            self.space[variable] = _literal(self.builder, node)
        return self._variable[node]

    def make(self, node: Node, origin: str) -> None:
        """Write what makes the node that `node`, an operation on stand-ins, stands for."""
        operands = [self.value(operand) for operand in node.operands]
        variable = self.stand(node)
        self._look_up(node.op, operands, variable)
        with self.block(f"if {variable} is None:"):
            self._create(node.op, variable, *_spread(node), origin)

    def apply(
        self,
        op: str,
        operands: Sequence[str],
        variable: str,
        origin: str,
        unknown: Sequence[str],
    ) -> None:
        """Write what `Builder.apply` does if nothing is known of some of the operands.

        The others are no more than stand-ins to the identities. If there are any, the unknown
        ones vary over no more axes, nor wait longer, than they do.
        """
        asked = [f"{operand}.op in {op}_telling" for operand in unknown]
        if len(operands) == 2:
            asked.append(f"{operands[0]} is {operands[1]}")
        axes, phase = "axes", "phase"
        if len(unknown) == len(operands):
            axes = " | ".join([f"{operand}.axes" for operand in operands])
            phase = f"{operands[0]}.phase"
            for operand in operands[1:]:
                phase = f"{operand}.phase if {operand}.phase > ({phase}) else ({phase})"
        self._look_up(op, operands, variable)
        with self.block(f"if {variable} is None:"):
            with self.block(f"if {' or '.join(asked)}:"):
                self.write(f"b.origin = {origin}", f"{variable} = apply({op!r}, *operands)")
            with self.block("else:"):
                self._create(op, variable, axes, phase, origin)

    def function(self, *arguments: str) -> Callable[..., Any]:
        """Return the function."""
        text = "\n    ".join([f"def made({', '.join(arguments)}):", *self._lines])
        exec(compile(text, "<symgrad recipe>", "exec"), self.space)  # noqa: S102
        # A function in its own globals would be a cycle, which keeps the Builder alive.
        made: Callable[..., Any] = self.space.pop("made")
        return made

    def step(self, node: Node, origin: str) -> None:
        """Write what makes the step for which a step of stand-ins stands, called `name`."""
        variable = self.stand(node)
        self._see("step")
        self.write(f"operands = {self.value(node.operands[0])},")
        self.write("key = name, *operands", f"{variable} = step_known(key)")
        with self.block(f"if {variable} is None:"):
            self._create("step", variable, *_spread(node), origin, "name")

    def _see(self, op: str) -> None:
        """Let the function see the nodes of an operation."""
        interned = self.builder.interned(op)
        self.space |= {f"{op}_nodes": interned, f"{op}_known": interned.get}

    def _look_up(self, op: str, operands: Sequence[str], variable: str) -> None:
        """Write what looks for an operation of the function table."""
        commutes, telling = traits(op)
        self._see(op)
        self.space[f"{op}_telling"] = telling
        self.write(f"key = operands = ({', '.join(operands)},)")
        if commutes:
            x, y = operands
            with self.block(f"if {x}.index > {y}.index:"):
                self.write(f"key = ({y}, {x})")
        self.write(f"{variable} = {op}_known(key)")

    def _create(
        self,
        op: str,
        variable: str,
        axes: str,
        phase: str,
        origin: str,
        payload: str = "None",
    ) -> None:
        self.write(
            f"{op}_nodes[key] = {variable} = new(Node)",
            f"{variable}.op = {op!r}",
            f"{variable}.operands = operands",
            f"{variable}.payload = {payload}",
            f"{variable}.axes = {axes}",
            f"{variable}.index = len(nodes)",
            f"{variable}.phase = {phase}",
            f"{variable}.origin = {origin}",
            f"append({variable})",
        )


def _spread(node: Node) -> tuple[str, str]:
    """Return the axes and the phase of what a node of stand-ins stands for."""
    return ("axes", "phase") if node.axes else ("0", "0")


def _literal(b: Builder, node: Node) -> Node:
    """Return the literal of another Builder."""
    if node.op == "truth":
        return b.truth(bool(node.payload))
    if isinstance(node.payload, Number):
        return b.number(node.payload.value, decimal=node.payload.decimal)
    return b.constant(str(node.payload))
