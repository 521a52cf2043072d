"""The bodies of functions in static single assignment form.

Every variable is an entry of a dictionary, branches work on copies of it, and where they meet
again, or where a loop starts once more, a phi chooses between the values that differ. Arrays
are the addresses of their first elements, a part of one that of its first; rows that a kernel
keeps for itself are on the stack. Functions return numbers, or write into arrays.
Each operation has the meaning that Numba gives it, so that the machine code computes the same
bits; what is not in this subset of Python raises `LeftToNumbaError`.
"""

from __future__ import annotations

import ast
import math
import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from .memory import ALIGNED

__all__ = [
    "ADDRESS",
    "DOUBLE",
    "INT",
    "SINGLE",
    "Array",
    "Body",
    "LeftToNumbaError",
    "Module",
    "Value",
    "constant",
    "joined",
    "kind_of",
    "received",
]

DOUBLE, SINGLE, INT, _INT32, _BOOL = "double", "float", "i64", "i32", "i1"
_FLOATS = (SINGLE, DOUBLE)
#: Elements of arrays that are whole numbers of 32 bits without a sign.
_UNSIGNED = "u32"
_NUMBERS = (*_FLOATS, INT, _INT32)
ADDRESS = "ptr"
#: The type of a parameter that is an array, before that of its elements.
_ARRAY_OF = "array."
#: How many bytes a kernel may keep on the stack, of which some threads have little.
_STACK = 1 << 16
_SUFFIXES: Mapping[str, str] = {SINGLE: "f32", DOUBLE: "f64", INT: "i64"}
_BYTES: Mapping[str, int] = {SINGLE: 4, DOUBLE: 8}

_SIGNS: Mapping[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("fadd", "add"),
    ast.Sub: ("fsub", "sub"),
    ast.Mult: ("fmul", "mul"),
}
_BITWISE: Mapping[type[ast.operator], str] = {
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.LShift: "shl",
    ast.RShift: "ashr",
}
#: Comparisons that are false for NaN, but for the last one.
_RELATIONS: Mapping[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("olt", "slt"),
    ast.LtE: ("ole", "sle"),
    ast.Gt: ("ogt", "sgt"),
    ast.GtE: ("oge", "sge"),
    ast.Eq: ("oeq", "eq"),
    ast.NotEq: ("une", "ne"),
}
#: Functions that are instructions of the processor, by their names in modules.
_INSTRUCTIONS: Mapping[str, str] = {
    "math.copysign": "copysign",
    "math.fabs": "fabs",
    "math.sqrt": "sqrt",
    "np.ceil": "ceil",
    "np.floor": "floor",
    "np.rint": "rint",
    "np.trunc": "trunc",
}
#: The intrinsics of `symgrad.vmath`: what each takes and returns.
_FUSED: Mapping[str, str] = {"fma": DOUBLE, "fmaf": SINGLE}
_BIT_CASTS: Mapping[str, tuple[str, str]] = {
    "as_float": (INT, DOUBLE),
    "as_floatf": (_INT32, SINGLE),
    "as_int": (DOUBLE, INT),
    "as_intf": (SINGLE, _INT32),
}
_REORDERED: Mapping[str, tuple[str, str]] = {
    "plus": ("fadd", DOUBLE),
    "plusf": ("fadd", SINGLE),
    "times": ("fmul", DOUBLE),
}
_ADDED_PRODUCTS: Mapping[str, str] = {"plus_product": DOUBLE, "plus_productf": SINGLE}
_EXTREMA: Mapping[str, tuple[str, str]] = {
    "larger": ("maximum", DOUBLE),
    "largerf": ("maximum", SINGLE),
    "smaller": ("minimum", DOUBLE),
    "smallerf": ("minimum", SINGLE),
}
#: Those that are instructions of AVX-512, and what they return.
_VECTORS: Mapping[str, str] = {
    f"{name}{'f' if kind == SINGLE else ''}": kind
    for name in ("exponent", "significand", "scaled", "log_edges", "root_edges")
    for kind in _FLOATS
}
#: Promises about the arrays of a function, and wishes for its loops.
_WISHES = ("no_overlap", "wide_vectors", "interleaved")
_CONSTANTS = {f"math.{name}": getattr(math, name) for name in ("e", "inf", "nan", "pi")}


class Value(NamedTuple):
    """A number: its type, how instructions name it, and what it is where that is known."""

    kind: str
    text: str
    known: float | None = None


class _Arm(NamedTuple):
    """One side of a conditional expression: its blocks, and its values at their end."""

    label: str
    values: tuple[Value, ...]
    lines: list[str]
    end: str


class Array(NamedTuple):
    """Where numbers lie: their type, the address of the first, the columns of a matrix."""

    kind: str
    text: str
    columns: int = 0


#: What a variable holds: a number, a tuple of them, or an array.
_Held = Value | tuple[Value, ...] | Array


class LeftToNumbaError(Exception):
    """The module is not in the subset."""


class Module(Protocol):
    """What a body asks of the module around it.

    Attributes:
        wide: the kernel may call the instructions of AVX-512.
        heap: how many bytes the kernel needs that are not on the stack.
        functions: what can be called, by name.
        instructions: the instructions of AVX-512 that were called.
    """

    wide: bool
    heap: int
    functions: dict[str, ast.FunctionDef]
    instructions: set[str]

    def meaning(self, name: str) -> str:
        """Return the name that stands at the end of a chain of aliases."""
        ...

    def call(
        self, name: str, arguments: Sequence[Value | Array]
    ) -> tuple[str, tuple[str, ...]]:
        """Return the name and the types of results of a function for arguments."""
        ...

    def declare(self, result: str, symbol: str, kinds: Sequence[str]) -> None:
        """Declare a function of LLVM."""
        ...

    def interleaved(self, many: int, few: int, *, sums: bool) -> str:
        """Return the name of a wish for a loop: so many vectors at a time, or so few."""
        ...

    def table(self, values: Sequence[Value]) -> str:
        """Return the name of a constant array of whole numbers."""
        ...


class Body:
    """Prints the body of one function."""

    def __init__(self, module: Module) -> None:
        """Start a body that nothing was printed into."""
        self.module = module
        self.held: dict[str, _Held] = {}
        self.lines: list[str] = []
        self.block = "start"
        self.count = 0
        self.results: tuple[str, ...] | None = None
        self.finish: Callable[[Sequence[Value]], None] = self.give
        #: Rows on the stack, which are taken where the function starts.
        self.rows: list[str] = []
        #: The line that ends the last loop, and whether that adds something up.
        self.jump = -1
        self.sums = False
        self.stacked = 0
        self.no_overlap = self.wide_vectors = False

    def text(self, head: str) -> str:
        """Return the definition of a function that starts with some head."""
        lines = (*self.rows, *self.lines)
        shown = [line if line.endswith(":") else f"  {line}" for line in lines]
        return "\n".join([f"{head} {{", "start:", *shown, "}"])

    # Statements

    def run(
        self, statements: Sequence[ast.stmt], finish: Callable[[Sequence[Value]], None]
    ) -> tuple[str, ...]:
        """Print statements and return the types of what they return, by way of `finish`."""
        self.finish = finish
        if not self._ends(statements):
            self._return(())
        if self.results is None:
            raise LeftToNumbaError
        return self.results

    def _ends(self, statements: Sequence[ast.stmt]) -> bool:
        """Print statements and tell whether they return in any case."""
        return any(self._statement(statement) for statement in statements)

    def _statement(self, statement: ast.stmt) -> bool:
        match statement:
            case ast.Expr(ast.Constant()):
                pass
            case ast.Expr(ast.Call(ast.Name(name), arguments, [])):
                called = self.module.meaning(name)
                if called in _WISHES:
                    self._wish(called, arguments)
                else:
                    self._procedure(called, [self._held(argument) for argument in arguments])
            case ast.Assign([ast.Subscript(array, index)], value):
                self._store(*self._place(array, index), self.number(value))
            case ast.Assign([target], value):
                self._assign(target, self._held(value))
            case ast.AugAssign(ast.Name(name) as target, operator, value):
                self.held[name] = self._binary(
                    operator, self.number(target), self.number(value)
                )
            case ast.AugAssign(ast.Subscript(array, index), operator, value):
                kind, address = self._place(array, index)
                old = self._load(kind, address)
                self._store(kind, address, self._binary(operator, old, self.number(value)))
            case ast.If(test, body, orelse):
                return self._if(self.condition(test), body, orelse)
            case ast.For(ast.Name(name), ast.Call(ast.Name("range"), limits, []), body, []):
                self._loop(name, [self._to(INT, self.number(n)) for n in limits], body)
            case ast.For(ast.Name(name), ast.Tuple(parts), body, []):
                for part in parts:
                    self.held[name] = self.number(part)
                    if self._ends(body):
                        raise LeftToNumbaError
            case ast.Return(None):
                return self._return(())
            case ast.Return(ast.expr() as value):
                return self._return(_values(self._held(value)))
            case _:
                raise LeftToNumbaError
        return False

    def _return(self, values: Sequence[Value]) -> bool:
        kinds = tuple(value.kind for value in values)
        if self.results not in (None, kinds):
            raise LeftToNumbaError
        self.results = kinds
        self.finish(values)
        return True

    def _procedure(self, name: str, held: Sequence[_Held]) -> None:
        """Call a function that writes into arrays and returns nothing."""
        arguments = [each for each in held if isinstance(each, Value | Array)]
        if len(arguments) < len(held) or name not in self.module.functions:
            raise LeftToNumbaError
        symbol, results = self.module.call(name, arguments)
        if results:
            raise LeftToNumbaError
        self.lines.append(f"call void {symbol}({_passed(arguments)})")

    def _wish(self, name: str, arguments: Sequence[ast.expr]) -> None:
        """Heed a promise about the arrays of a function, or a wish for its loops."""
        match name, arguments:
            case "no_overlap", []:
                self.no_overlap = True
            case "wide_vectors", []:
                self.wide_vectors = True
            case "interleaved", [ast.Constant(int(many)), ast.Constant(int(few))] if (
                self.jump >= 0
            ):
                wish = self.module.interleaved(many, few, sums=self.sums)
                self.lines[self.jump] += f", !llvm.loop {wish}"
            case _:
                raise LeftToNumbaError

    def _loop(self, name: str, limits: Sequence[Value], body: Sequence[ast.stmt]) -> None:
        """Print a loop over a range; a variable that it changes is a phi where it starts."""
        start, step = constant(0), constant(1)
        match limits:
            case [stop]:
                pass
            case [start, stop]:
                pass
            case [start, stop, step] if step.known is None or step.known >= 1:
                pass
            case _:
                raise LeftToNumbaError
        head, inside, after = self._label(), self._label(), self._label()
        outer, before = dict(self.held), self.block
        self.lines.append(f"br label %{head}")
        self._start(head)
        changed = [n for n in _stored(body) if n != name and n in outer]
        carried = {n: v for n in changed if isinstance(v := outer[n], Value)}
        if len(carried) < len(changed):
            raise LeftToNumbaError
        # What the phis choose from is known at the end of the loop.
        place = len(self.lines)
        counter, *phis = [self._new(v.kind, "") for v in (start, *carried.values())]
        self.held.update(zip(carried, phis, strict=True))
        around = dict(self.held)
        more = self._new(_BOOL, f"icmp slt i64 {counter.text}, {stop.text}")
        if step.known is None:
            up = self._new(_BOOL, f"icmp sgt i64 {step.text}, 0")
            down = self._new(_BOOL, f"icmp slt i64 {step.text}, 0")
            above = self._new(_BOOL, f"icmp sgt i64 {counter.text}, {stop.text}")
            arms = self._logic(ast.And(), (up, more)), self._logic(ast.And(), (down, above))
            more = self._logic(ast.Or(), arms)
        self.lines.append(f"br i1 {more.text}, label %{inside}, label %{after}")
        self._start(inside)
        self.held[name] = counter
        if self._ends(body):
            raise LeftToNumbaError
        following = self._new(INT, f"add nsw i64 {counter.text}, {step.text}")
        firsts, lasts = (start, *carried.values()), (following, *map(self.held.get, carried))
        for line, (phi, first, last) in enumerate(
            zip((counter, *phis), firsts, lasts, strict=True), place
        ):
            if not isinstance(last, Value) or last.kind != phi.kind:
                raise LeftToNumbaError
            choice = _phi(phi.kind, (first.text, before), (last.text, self.block))
            self.lines[line] = f"{phi.text} = {choice}"
        self.lines.append(f"br label %{head}")
        self.jump = len(self.lines) - 1
        self.sums = any(phi.kind in (DOUBLE, SINGLE) for phi in phis)
        self._start(after)
        self.held = around

    def _assign(self, target: ast.expr, held: _Held) -> None:
        if isinstance(target, ast.Name):
            self.held[target.id] = held
            return
        if not isinstance(target, ast.Tuple) or isinstance(held, Value | Array):
            raise LeftToNumbaError
        if len(target.elts) != len(held):
            raise LeftToNumbaError
        for part, value in zip(target.elts, held, strict=True):
            self._assign(part, value)

    def _if(self, test: Value, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]) -> bool:
        if test.known is not None:
            return self._ends(body if test.known else orelse)
        before = self.held
        then, other, after = self._label(), self._label(), self._label()
        self.lines.append(f"br i1 {test.text}, label %{then}, label %{other}")
        arrivals: list[tuple[str, dict[str, _Held]]] = []
        for label, statements in ((then, body), (other, orelse)):
            self._start(label)
            self.held = dict(before)
            if not self._ends(statements):
                arrivals.append((self.block, self.held))
                self.lines.append(f"br label %{after}")
        if not arrivals:
            return True
        self._start(after)
        self.held = self._met(arrivals) if len(arrivals) == 2 else arrivals[0][1]
        return False

    def _met(self, arrivals: Sequence[tuple[str, dict[str, _Held]]]) -> dict[str, _Held]:
        """Return the variables where two branches meet; one that only one has is lost."""
        (first, left), (second, right) = arrivals
        met: dict[str, _Held] = {}
        for name in left:
            one, two = left[name], right.get(name)
            if one == two:
                met[name] = one
            elif isinstance(one, Value) and isinstance(two, Value) and one.kind == two.kind:
                choice = _phi(one.kind, (one.text, first), (two.text, second))
                met[name] = self._new(one.kind, choice)
            elif isinstance(one, Array) and isinstance(two, Array) and one.kind == two.kind:
                choice = _phi(ADDRESS, (one.text, first), (two.text, second))
                met[name] = Array(one.kind, self._new(ADDRESS, choice).text)
        return met

    def give(self, values: Sequence[Value]) -> None:
        """Return values."""
        if not values:
            self.lines.append("ret void")
            return
        if len(values) == 1:
            self.lines.append(f"ret {values[0].kind} {values[0].text}")
            return
        kind = joined([value.kind for value in values])
        packed = "poison"
        for place, value in enumerate(values):
            packed = self._new(
                kind, f"insertvalue {kind} {packed}, {value.kind} {value.text}, {place}"
            ).text
        self.lines.append(f"ret {kind} {packed}")

    def write(self, values: Sequence[Value], kind: str) -> None:
        """Write values where the kernel should leave its outputs."""
        for place, value in enumerate(values):
            address = self._new(
                ADDRESS, f"getelementptr {kind}, ptr %outputs, i64 {place}"
            ).text
            self._store(kind, address, value)
        self.lines.append("ret void")

    def read(self, kind: str, array: str, place: Value, slot: str = "") -> Value:
        """Return an element of an array, whose elements take the space of a slot."""
        step = slot or kind
        address = self._new(ADDRESS, f"getelementptr {step}, ptr {array}, i64 {place.text}")
        return self._load(kind, address.text)

    # Arrays

    def _load(self, kind: str, address: str) -> Value:
        if kind == _UNSIGNED:
            bits = self._new(_INT32, f"load i32, ptr {address}").text
            return self._new(INT, f"zext i32 {bits} to i64")
        return self._new(kind, f"load {kind}, ptr {address}")

    def _store(self, kind: str, address: str, value: Value) -> None:
        self.lines.append(f"store {kind} {self._to(kind, value).text}, ptr {address}")

    def _array(self, node: ast.expr) -> Array:
        held = self._held(node)
        if not isinstance(held, Array):
            raise LeftToNumbaError
        return held

    def _place(self, array: ast.expr, index: ast.expr) -> tuple[str, str]:
        """Return the type and the address of an element."""
        held = self._array(array)
        match index:
            case ast.Slice():
                raise LeftToNumbaError
            case ast.Tuple([row, column]) if held.columns:
                width = constant(held.columns)
                first = self._binary(ast.Mult(), self.number(row), width)
                place = self._binary(ast.Add(), first, self.number(column))
            case _ if held.columns:
                raise LeftToNumbaError
            case _:
                place = self.number(index)
        if place.kind != INT:
            raise LeftToNumbaError
        return held.kind, self._address(held, place)

    def _address(self, array: Array, place: Value) -> str:
        kind = _INT32 if array.kind == _UNSIGNED else array.kind
        steps = f"{kind}, ptr {array.text}, i64 {place.text}"
        return self._new(ADDRESS, f"getelementptr inbounds {steps}").text

    def _allocated(self, count: Value, kinds: Sequence[ast.expr]) -> Array:
        """Return memory on the stack, or what does not fit there in memory of the caller."""
        kind = SINGLE if [ast.unparse(k) for k in kinds] == ["np.float32"] else DOUBLE
        if count.kind != INT or count.known is None:
            raise LeftToNumbaError
        name, size = f"%rows{len(self.rows)}", int(count.known) * _BYTES[kind]
        if self.stacked + size <= _STACK:
            self.stacked += size
            self.rows.append(f"{name} = alloca [{count.text} x {kind}], align {ALIGNED}")
        else:
            self.rows.append(f"{name} = getelementptr i8, ptr %heap, i64 {self.module.heap}")
            self.module.heap += size
        return Array(kind, name)

    # Expressions

    def number(self, node: ast.expr) -> Value:
        """Print an expression that is one number."""
        held = self._held(node)
        if not isinstance(held, Value):
            raise LeftToNumbaError
        return held

    def condition(self, node: ast.expr) -> Value:
        """Print an expression that is asked whether it is true; for a whole number, not 0."""
        value = self.number(node)
        if value.kind == INT:
            return self._new(_BOOL, f"icmp ne i64 {value.text}, 0")
        return self._to(_BOOL, value)

    def _held(self, node: ast.expr) -> _Held:
        match node:
            case ast.Constant(value):
                return constant(value)
            case ast.Name(name):
                return self._name(name)
            case ast.Attribute(ast.Attribute(array, "ctypes"), "data"):
                return self._new(INT, f"ptrtoint ptr {self._array(array).text} to i64")
            case ast.Attribute():
                return constant(_CONSTANTS.get(ast.unparse(node)))
            case ast.Tuple(parts):
                return tuple(self.number(part) for part in parts)
            case ast.Subscript(array, ast.Slice(ast.expr() as lower)):
                held = self._array(array)
                return held._replace(text=self._address(held, self.number(lower)))
            case ast.Subscript(ast.Name(name) as array, index) if isinstance(
                self.held.get(name), Array
            ):
                return self._load(*self._place(array, index))
            case ast.Subscript(array, index):
                return self._element(self._held(array), self.number(index))
            case ast.Call(ast.Attribute(array, "reshape"), [ast.Tuple([_, columns])], []):
                held, width = self._array(array), self.number(columns).known
                if width is None:
                    raise LeftToNumbaError
                return held._replace(columns=int(width))
            case ast.Call(ast.Attribute(ast.Name("np"), "empty"), [count, *kinds], []):
                return self._allocated(self.number(count), kinds)
            case ast.UnaryOp(operator, operand):
                return self._unary(operator, operand)
            case ast.BinOp(left, operator, right):
                return self._binary(operator, self.number(left), self.number(right))
            case ast.BoolOp(operator, operands):
                return self._logic(operator, [self.number(operand) for operand in operands])
            case ast.Compare(left, relations, others):
                return self._compare(relations, [self.number(n) for n in (left, *others)])
            case ast.IfExp(test, body, orelse):
                return self._choice(self.condition(test), body, orelse)
            case ast.Call(function, arguments, []):
                values = [self.number(argument) for argument in arguments]
                return self._call(self.module.meaning(ast.unparse(function)), values)
        raise LeftToNumbaError

    def _name(self, name: str) -> _Held:
        if name not in self.held:
            raise LeftToNumbaError
        return self.held[name]

    def _element(self, held: _Held, index: Value) -> Value:
        if isinstance(held, Value | Array):
            raise LeftToNumbaError
        if index.known is not None and 0 <= index.known < len(held):
            return held[int(index.known)]
        # Those who index a tuple of constants with a variable see to it that it is in range.
        if any(value.kind != INT or value.known is None for value in held):
            raise LeftToNumbaError
        return self.read(INT, self.module.table(held), self._to(INT, index))

    def _unary(self, operator: ast.unaryop, operand: ast.expr) -> Value:
        if isinstance(operator, ast.Not):
            test = self.condition(operand)
            if test.known is not None:
                return constant(not test.known)
            return self._new(_BOOL, f"xor i1 {test.text}, true")
        value = self.number(operand)
        if not isinstance(operator, ast.USub) or value.kind == _BOOL:
            raise LeftToNumbaError
        if value.known is not None:
            return constant(-value.known)
        if value.kind in _FLOATS:
            return self._new(value.kind, f"fneg {value.kind} {value.text}")
        return self._new(INT, f"sub i64 0, {self._to(INT, value).text}")

    def _binary(self, operator: ast.operator, left: Value, right: Value) -> Value:
        if left.kind == right.kind == _BOOL and isinstance(operator, ast.BitOr):
            return self._new(_BOOL, f"or i1 {left.text}, {right.text}")
        kind = _common(left.kind, right.kind)
        if kind == INT and left.known is not None and right.known is not None:
            folded = _FOLDED.get(type(operator))
            if folded is not None:
                return constant(folded(int(left.known), int(right.known)))
        kind = DOUBLE if isinstance(operator, ast.Div) and kind == INT else kind
        if isinstance(operator, ast.Pow):
            if left.known is None or right.known is None:
                raise LeftToNumbaError
            return constant(left.known**right.known)
        one, two = self._to(kind, left).text, self._to(kind, right).text
        if isinstance(operator, ast.Div):
            return self._new(kind, f"fdiv {kind} {one}, {two}")
        if type(operator) in _SIGNS:
            instruction = _SIGNS[type(operator)][kind == INT]
            return self._new(kind, f"{instruction} {kind} {one}, {two}")
        if kind != INT:
            raise LeftToNumbaError
        if type(operator) in _BITWISE:
            return self._new(kind, f"{_BITWISE[type(operator)]} {kind} {one}, {two}")
        if isinstance(operator, ast.FloorDiv) and right.known is not None and right.known > 0:
            rest = self._new(kind, f"srem i64 {one}, {two}").text
            below = self._new(_BOOL, f"icmp slt i64 {rest}, 0").text
            toward_zero = self._new(kind, f"sdiv i64 {one}, {two}").text
            down = self._new(kind, f"sext i1 {below} to i64").text
            return self._new(kind, f"add i64 {toward_zero}, {down}")
        raise LeftToNumbaError

    def _logic(self, operator: ast.boolop, operands: Sequence[Value]) -> Value:
        value, *others = (self._to(_BOOL, operand) for operand in operands)
        for other in others:
            ends = "false" if isinstance(operator, ast.And) else "true"
            arms = (other.text, ends) if ends == "false" else (ends, other.text)
            value = self._new(_BOOL, f"select i1 {value.text}, i1 {arms[0]}, i1 {arms[1]}")
        return value

    def _compare(self, relations: Sequence[ast.cmpop], operands: Sequence[Value]) -> Value:
        found = []
        for relation, left, right in zip(relations, operands, operands[1:], strict=False):
            if type(relation) not in _RELATIONS:
                raise LeftToNumbaError
            both = left.kind == right.kind == _BOOL and isinstance(relation, ast.Eq | ast.NotEq)
            kind = _BOOL if both else _common(left.kind, right.kind)
            sign = _RELATIONS[type(relation)][kind not in _FLOATS]
            instruction = "fcmp" if kind in _FLOATS else "icmp"
            one, two = self._to(kind, left).text, self._to(kind, right).text
            found.append(self._new(_BOOL, f"{instruction} {sign} {kind} {one}, {two}"))
        return self._logic(ast.And(), found)

    def _choice(self, test: Value, body: ast.expr, orelse: ast.expr) -> _Held:
        """Choose between values, and branch where they take instructions to compute."""
        if test.known is not None:
            return self._held(body if test.known else orelse)
        outer, before = self.lines, self.block
        labels = (self._label(), self._label())
        arms = []
        for label, arm in zip(labels, (body, orelse), strict=True):
            self.lines, self.block = [], label
            held = self._held(arm)
            arms.append(_Arm(label, _values(held), self.lines, self.block))
        self.lines, self.block = outer, before
        kinds = _kinds(*(arm.values for arm in arms))
        chosen = self._branch(test, arms, kinds)
        return chosen[0] if isinstance(held, Value) else chosen

    def _branch(
        self, test: Value, arms: Sequence[_Arm], kinds: Sequence[str]
    ) -> tuple[Value, ...]:
        """Choose between the values of two arms, converted to some types."""
        branches = any(arm.lines for arm in arms)
        after = self._label()
        if branches:
            then, other = arms
            self.lines.append(f"br i1 {test.text}, label %{then.label}, label %{other.label}")
        converted = []
        for arm in arms:
            if branches:
                self._start(arm.label)
                self.lines += arm.lines
            converted.append(
                [self._to(k, v).text for k, v in zip(kinds, arm.values, strict=True)]
            )
            if branches:
                self.lines.append(f"br label %{after}")
        if branches:
            self._start(after)
        return tuple(
            self._new(
                kind,
                _phi(kind, (one, arms[0].end), (two, arms[1].end))
                if branches
                else f"select i1 {test.text}, {kind} {one}, {kind} {two}",
            )
            for kind, one, two in zip(kinds, *converted, strict=True)
        )

    def _call(self, called: str, arguments: Sequence[Value]) -> _Held:
        if called == "np.float32":
            (value,) = arguments
            if value.kind == _BOOL:
                raise LeftToNumbaError
            return self._to(SINGLE, value)
        if called == "has_avx512":
            return constant(self.module.wide)
        if called in ("int", "np.uint64"):
            return self._to(INT, arguments[0])
        if called in ("float", "np.float64"):
            return self._to(DOUBLE, arguments[0])
        if called == "min" and [argument.kind for argument in arguments] == [INT, INT]:
            return self._intrinsic("smin", INT, arguments)
        if called in _REORDERED:
            instruction, kind = _REORDERED[called]
            one, two = (self._to(kind, argument).text for argument in arguments)
            return self._new(kind, f"{instruction} reassoc {kind} {one}, {two}")
        if called in _ADDED_PRODUCTS:
            kind = _ADDED_PRODUCTS[called]
            total, one, two = (self._to(kind, argument).text for argument in arguments)
            product = self._new(kind, f"fmul contract {kind} {one}, {two}").text
            return self._new(kind, f"fadd reassoc contract {kind} {total}, {product}")
        if called in _EXTREMA:
            instruction, kind = _EXTREMA[called]
            return self._intrinsic(instruction, kind, [self._to(kind, a) for a in arguments])
        if called == "np.fmod":
            one, two = (self._to(DOUBLE, argument).text for argument in arguments)
            return self._new(DOUBLE, f"frem double {one}, {two}")
        if called in _VECTORS:
            self.module.instructions.add(called)
            kind = _VECTORS[called]
            taken = ", ".join(f"{kind} {self._to(kind, a).text}" for a in arguments)
            return self._new(kind, f"call {kind} @{called}({taken})")
        if called in _FUSED:
            kind = _FUSED[called]
            return self._intrinsic("fma", kind, [self._to(kind, a) for a in arguments])
        if called in _BIT_CASTS:
            (value,) = arguments
            taken, given = _BIT_CASTS[called]
            text = self._to(taken, value).text
            return self._new(given, f"bitcast {taken} {text} to {given}")
        if called in _INSTRUCTIONS:
            kind = DOUBLE
            if all(argument.kind == SINGLE for argument in arguments):
                kind = SINGLE
            return self._intrinsic(
                _INSTRUCTIONS[called], kind, [self._to(kind, a) for a in arguments]
            )
        if called not in self.module.functions:
            raise LeftToNumbaError
        symbol, kinds = self.module.call(called, arguments)
        kind = joined(kinds)
        result = self._new(kind, f"call {kind} {symbol}({_passed(arguments)})")
        if len(kinds) == 1:
            return result
        return tuple(
            self._new(part, f"extractvalue {kind} {result.text}, {place}")
            for place, part in enumerate(kinds)
        )

    def _intrinsic(self, name: str, kind: str, arguments: Sequence[Value]) -> Value:
        symbol = f"@llvm.{name}.{_SUFFIXES[kind]}"
        self.module.declare(kind, symbol, [kind] * len(arguments))
        taken = ", ".join(f"{kind} {argument.text}" for argument in arguments)
        return self._new(kind, f"call {kind} {symbol}({taken})")

    # Instructions

    def _to(self, kind: str, value: Value) -> Value:
        """Convert a number as Numba does where types differ."""
        if value.kind == kind:
            return value
        if value.known is not None and kind == DOUBLE and value.kind == INT:
            return constant(float(value.known))
        instruction = _CONVERSIONS.get((value.kind, kind))
        if instruction is None:
            raise LeftToNumbaError
        return self._new(kind, f"{instruction} {value.kind} {value.text} to {kind}")

    def _new(self, kind: str, instruction: str) -> Value:
        self.count += 1
        name = f"%t{self.count}"
        self.lines.append(f"{name} = {instruction}")
        return Value(kind, name)

    def _label(self) -> str:
        self.count += 1
        return f"b{self.count}"

    def _start(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block = label


_CONVERSIONS: Mapping[tuple[str, str], str] = {
    (SINGLE, DOUBLE): "fpext",
    (DOUBLE, SINGLE): "fptrunc",
    (DOUBLE, INT): "fptosi",
    (INT, DOUBLE): "sitofp",
    (INT, SINGLE): "sitofp",
    (_INT32, DOUBLE): "sitofp",
    (_INT32, SINGLE): "sitofp",
    (_INT32, INT): "sext",
    (INT, _INT32): "trunc",
}


#: What is done at once where both numbers are known.
_FOLDED: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def _phi(kind: str, *arrivals: tuple[str, str]) -> str:
    """Return the instruction that chooses a value by the block that control comes from."""
    return f"phi {kind} " + ", ".join(f"[ {text}, %{block} ]" for text, block in arrivals)


def _stored(statements: Sequence[ast.stmt]) -> list[str]:
    """Return the names of all variables that statements change."""
    return list(
        dict.fromkeys(
            node.id
            for statement in statements
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        )
    )


def _common(left: str, right: str) -> str:
    """Return the type in which Numba combines two numbers."""
    if left not in _NUMBERS or right not in _NUMBERS:
        raise LeftToNumbaError
    if left in _FLOATS or right in _FLOATS:
        return SINGLE if left == right == SINGLE else DOUBLE
    return INT


def constant(value: object) -> Value:
    """Return a number that is known.

    Raises:
        LeftToNumbaError: it is not one that 64 bits hold.
    """
    match value:
        case bool():
            return Value(_BOOL, str(value).lower(), value)
        case int() if abs(value) < 2**63:
            return Value(INT, str(value), value)
        case float():
            (bits,) = struct.unpack("<Q", struct.pack("<d", value))
            return Value(DOUBLE, f"0x{bits:016X}", value)
    raise LeftToNumbaError


def _kinds(left: Sequence[Value], right: Sequence[Value]) -> list[str]:
    """Return the types that values have after a choice between them."""
    if len(left) != len(right):
        raise LeftToNumbaError
    return [
        one.kind if one.kind == two.kind else _common(one.kind, two.kind)
        for one, two in zip(left, right, strict=True)
    ]


def _values(held: _Held) -> tuple[Value, ...]:
    if isinstance(held, Array):
        raise LeftToNumbaError
    return (held,) if isinstance(held, Value) else held


def kind_of(argument: Value | Array) -> str:
    """Return the type of what is passed to a function.

    >>> kind_of(Value("double", "%x")), kind_of(Array("double", "%x"))
    ('double', 'array.double')
    """
    return argument.kind if isinstance(argument, Value) else f"{_ARRAY_OF}{argument.kind}"


def received(kind: str, text: str) -> Value | Array:
    """Return a parameter of such a type.

    >>> received("array.double", "%x")
    Array(kind='double', text='%x', columns=0)
    """
    if kind.startswith(_ARRAY_OF):
        return Array(kind.removeprefix(_ARRAY_OF), text)
    return Value(kind, text)


def _passed(arguments: Sequence[Value | Array]) -> str:
    """Return how arguments are passed to a function."""
    return ", ".join(
        f"{a.kind if isinstance(a, Value) else ADDRESS} {a.text}" for a in arguments
    )


def joined(kinds: Sequence[str]) -> str:
    """Return the type of several values together.

    >>> joined(["double"]), joined(["double", "i64"]), joined([])
    ('double', '{double, i64}', 'void')
    """
    if not kinds:
        return "void"
    return kinds[0] if len(kinds) == 1 else f"{{{', '.join(kinds)}}}"
