"""Straight-line functions move into the functions that call them, as text.

Numba takes some 30 ms for every function, however small, so that it would spend more time on
the helpers of `sin` and `log` than on what they do. The machine code is the same with and
without: LLVM inlines these functions anyway.
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

__all__ = ["flatten"]

#: How many statements Numba compiles in the time that one more function takes.
_STATEMENTS_PER_FUNCTION = 12
_ELSEWHERE = (ast.Lambda, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)


def flatten(source: str) -> str:
    r"""Return the text of a module that does the same with fewer functions.

    A function is moved if it is to be inlined, is a sequence of assignments that ends with
    what it returns, and is quicker to compile in each place that calls it. It stays where it
    is called under a condition.

    >>> print(flatten('''\
    ... @njit(forceinline=True)
    ... def square(x):
    ...     y = x
    ...     return x*y
    ... def f(y):
    ...     return square(y + 1) + y
    ... '''))
    def f(y):
        square_x_1 = y + 1
        square_y_1 = square_x_1
        return square_x_1 * square_y_1 + y
    """
    tree = ast.parse(source)
    uses = _uses(tree)
    flattener = _Flattener(set(uses))
    # A function stands after those that it calls.
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        flattener.flatten(function)
        copies = uses[function.name] - 1
        if _is_straight(function) and copies * len(function.body) <= _STATEMENTS_PER_FUNCTION:
            flattener.straight[function.name] = function
    left = _uses(tree)
    for name, function in flattener.straight.items():
        if not left[name]:
            tree.body.remove(function)
    return ast.unparse(ast.fix_missing_locations(tree))


def _uses(tree: ast.AST) -> Counter[str]:
    """Count the names that are read or written."""
    return Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _written(statements: Iterable[ast.stmt]) -> set[str]:
    return {
        node.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _is_straight(function: ast.FunctionDef) -> bool:
    """Tell whether a function can be moved, once its docstring is gone."""
    arguments = function.args
    return (
        any("forceinline" in ast.dump(decorator) for decorator in function.decorator_list)
        and len(arguments.args) == sum(1 for _ in ast.iter_child_nodes(arguments))
        and all(isinstance(statement, ast.Assign) for statement in function.body[:-1])
        and isinstance(function.body[-1], ast.Return)
        and function.body[-1].value is not None
    )


class _Flattener(ast.NodeTransformer):
    """Rewrites functions one by one, and knows those that can be moved."""

    def __init__(self, names: set[str]) -> None:
        self.straight: dict[str, ast.FunctionDef] = {}
        self.names = names
        self.numbers = itertools.count(1)
        #: The variables of the function at hand, and statements to put before the next one.
        self.local: set[str] = set()
        self.before: list[ast.stmt] = []

    def flatten(self, function: ast.FunctionDef) -> None:
        """Move what can be moved into a function, and drop its docstring."""
        if ast.get_docstring(function) is not None and len(function.body) > 1:
            del function.body[0]
        self.local = {argument.arg for argument in function.args.args}
        self.local |= _written(function.body)
        function.body = self.block(function.body)

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Return statements with calls replaced, and what they compute put before them."""
        done: list[ast.stmt] = []
        for statement in statements:
            match statement:
                case ast.Assign() | ast.AugAssign() | ast.Return() | ast.Expr():
                    if statement.value is not None:
                        statement.value = self.visit(statement.value)
                case ast.For():
                    statement.iter = self.visit(statement.iter)
                case ast.If():
                    statement.test = self.visit(statement.test)
            before, self.before = self.before, []
            if isinstance(statement, ast.For | ast.If):
                statement.body = self.block(statement.body)
                statement.orelse = self.block(statement.orelse)
            done += before
            if before and isinstance(statement, ast.Assign):
                done += _separated(statement)
            else:
                done.append(statement)
        return done

    def visit(self, node: ast.AST) -> Any:
        """Leave alone what is evaluated many times, or later."""
        return node if isinstance(node, _ELSEWHERE) else super().visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """What may not be evaluated stays where it is."""
        node.test = self.visit(node.test)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """What may not be evaluated stays where it is."""
        node.values[0] = self.visit(node.values[0])
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace the call of a straight-line function by what it returns."""
        self.generic_visit(node)
        function = self.straight.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if function is None or not self._can_move(function, node):
            return node
        names = {argument.arg for argument in function.args.args} | _written(function.body)
        spelling = self._spellings(function.name, names)
        for argument, value in zip(function.args.args, node.args, strict=True):
            self.before.append(_assignment(spelling[argument.arg], value))
        *body, last = [_Renamed(spelling).visit(copy.deepcopy(s)) for s in function.body]
        self.before += body
        result: ast.expr = last.value
        return result

    def _can_move(self, function: ast.FunctionDef, call: ast.Call) -> bool:
        parameters = {argument.arg for argument in function.args.args}
        own = parameters | _written(function.body)
        outer = {name for statement in function.body for name in _uses(statement)} - own
        return (
            not call.keywords
            and len(call.args) == len(function.args.args)
            # Numba treats a power or an index that it knows in its own way.
            and not any(
                isinstance(value, ast.Starred)
                or (isinstance(value, ast.Constant) and not isinstance(value.value, float))
                for value in call.args
            )
            and not outer & self.local
        )

    def _spellings(self, function: str, names: set[str]) -> dict[str, str]:
        """Return new names for the variables of a function that is moved."""
        while True:
            number = next(self.numbers)
            found = {name: f"{function.strip('_')}_{name}_{number}" for name in names}
            if self.names.isdisjoint(found.values()):
                return found


class _Renamed(ast.NodeTransformer):
    def __init__(self, spelling: dict[str, str]) -> None:
        self.spelling = spelling

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self.spelling.get(node.id, node.id), node.ctx)


def _assignment(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _separated(statement: ast.Assign) -> list[ast.stmt]:
    """Return the assignments of a tuple to names one by one, where that is the same."""
    match statement:
        case ast.Assign([ast.Tuple(targets)], ast.Tuple(values)) if all(
            isinstance(target, ast.Name) for target in targets
        ):
            read = {name for value in values for name in _uses(value)}
            if read.isdisjoint(_written([statement])):
                return [
                    ast.Assign([target], value)
                    for target, value in zip(targets, values, strict=True)
                ]
    return [statement]
