"""From a Python function of tensors to a Program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentError, UnsupportedError
from ..language.program import Program
from .evaluate import evaluate
from .node import FLOAT64, Node
from .record import read, write
from .tensor import operand, wrap

__all__ = ["trace"]

_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def trace(function: Callable[..., Any], inputs: Sequence[Any] | None = None) -> Program:
    """Return the Program of what a Python function does with its arguments.

    The function is called once, with tensors that have names and no values. Numbers that it
    uses become literals.

    Args:
        function: takes tensors and returns one, or a tuple of them.
        inputs: names of the arguments; None: the parameters that have no default.

    Raises:
        AutogradError: the function looks at a value, in an ``if`` for example.

    >>> program = trace(lambda x, y: y*x.log() + y.sin())
    >>> program.inputs, [code.op for code in program.instructions]
    (('x', 'y'), ['input', 'input', 'log', 'mul', 'sin', 'add'])
    """
    names = _parameters(function) if inputs is None else [str(name) for name in inputs]
    arguments = [Node("input", (), None, FLOAT64, False, payload=name) for name in names]
    result = _called(function, [wrap(node) for node in arguments])
    single = not isinstance(result, tuple | list)
    results = [_result(value) for value in ((result,) if single else result)]
    name = getattr(function, "__name__", "value")
    name = name if name.isidentifier() else "value"
    recorded = read([node for node in results if node.op != "input" and node.value is None])
    places = dict(recorded.places)
    leaves = list(recorded.leaves)
    for node in results:
        if node not in places:
            leaves.append(node)
            places[node] = -len(leaves)
    return write(
        recorded.key,
        [_leaf(node) for node in leaves],
        recorded.numbers,
        [places[node] for node in results],
        inputs=names,
        names=[name] if single else [f"{name}{k}" for k in range(len(results))],
        name=None if name == "value" else name,
        single=single,
    )


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of the positional parameters; one with a default keeps it."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise ArgumentError(
            f"the arguments of {function!r} are not known: pass inputs=[...]"
        ) from None
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in found):
        raise ArgumentError("name the arguments of a function with *args: inputs=[...]")
    return [
        parameter.name
        for parameter in found
        if parameter.kind in _POSITIONAL and parameter.default is inspect.Parameter.empty
    ]


def _called(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Call a function; arguments that it does not take are the caller's mistake."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        raise ArgumentError(f"the function cannot be called with its inputs: {error}") from None
    except ValueError:
        pass
    return function(*arguments)


def _result(value: Any) -> Node:
    found = operand(value)
    if type(found) is float:
        return Node("leaf", (), (), FLOAT64, False, found)
    if type(found) is not Node:
        raise UnsupportedError(
            f"a traced function must return a tensor or a tuple of tensors, not "
            f"{type(value).__name__}"
        )
    return found


def _leaf(node: Node) -> str | float:
    """Return the name of an input, or the value of a tensor that the function knew."""
    if node.op == "input":
        return str(node.payload)
    value = evaluate(node)
    if node.shape:
        raise UnsupportedError(
            "a traced function uses an array from outside: pass it as an argument"
        )
    return float(value)
