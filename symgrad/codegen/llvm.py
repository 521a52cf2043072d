"""Kernels in LLVM IR, which needs no Numba to become machine code.

Numba is slow to start, and slow to find the types of a kernel, which are plain to see. So the
printed module is read once more, and each of its functions is written down by
`symgrad.codegen.ssa`. What is not in the subset of Python there is left to Numba.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from .. import vmath
from .ssa import (
    ADDRESS,
    DOUBLE,
    INT,
    SINGLE,
    Array,
    Body,
    LeftToNumbaError,
    Value,
    constant,
    joined,
    kind_of,
    received,
)

__all__ = ["print_llvm"]

_NUMBER_TYPES = {"numba.float32": SINGLE, "numba.float64": DOUBLE}
#: The types of parameters by what decorators call them; "number" is one of those above.
_PARAMETERS = {
    "array": "array.number",
    "number": "number",
    "number[::1]": "array.number",
    "numba.float64[::1]": "array.double",
    "numba.int64": INT,
    "numba.int64[::1]": "array.i64",
    "numba.uint32[::1]": "array.u32",
    "result": "array.number",
}
#: Some function asks for the widest vectors.
_WIDE = re.compile(r"^ +wide_vectors\(\)$", re.MULTILINE)
#: The space of a parameter.
_SLOT = INT
#: What a kernel takes beside its inputs. It is not to be inlined, since LLVM would mix what it
#: computes with how its inputs are read, and would need more registers than there are.
_TAKEN = "ptr noalias %outputs, ptr noalias %heap"
#: Bytes of a line of the cache.
_LINE = 64
#: How many vectors a pipelined loop takes at a time.
_PIPELINED = 2
#: How many inputs and outputs a kernel may have together. The door keeps them on the stack,
#: where some systems want to be asked for more than a page.
_MOST = 500


def print_llvm(
    source: str, name: str, features: str = "", whole_lines: int = 0, narrow: int = 0
) -> str | None:
    """Return LLVM IR that defines ``@kernel`` as a function of a module; None without one.

    ``@kernel`` takes the address of the parameters, in 8 bytes each, which it reads, that of
    what the function returns, which it writes, and that of as many bytes as ``@heap`` says.
    Numbers are of the type called ``number`` in the module, extents are whole numbers, and
    arrays are their addresses. With the metadata ``!shortest`` the module asks for the order
    of instructions that gives the shortest code. Loops over points that have the metadata
    ``symgrad.pipelined`` are to be pipelined once they are vectorised.

    Args:
        source: text of a module as `symgrad.codegen.module` prints it.
        name: the function.
        features: what the processor has, as LLVM lists it; its vectors decide how kernels
            with arrays compute.
        whole_lines: for a kernel of independent points, whose arrays all have an element for
            each and whose results come last, from how many points on those before the first
            whole line of the cache in the last array are computed on their own, so that no
            vector of the others is in two lines; 0 for never.
        narrow: for such a kernel that asks for the widest vectors, from how many points on it
            has narrow ones all the same, since memory decides; 0 for never.
    """
    try:
        return _Module(source, features).printed(name, whole_lines, narrow)
    except (LeftToNumbaError, ArithmeticError, RecursionError):
        return None


class _Module:
    """The functions of a module, and those that are printed by now."""

    def __init__(self, source: str, features: str) -> None:
        #: AVX-512 is for vectors; a single number is computed as everywhere else.
        known = features.split(",")
        self.wide = "+avx512f" in known and bool(_WIDE.search(source))
        #: There are 16 registers for vectors, not 32.
        self.few_registers = "+avx2" in known and "+avx512vl" not in known
        #: The kernel has arrays. What branches is then for rare points, and not put into loops.
        self.loops = False
        self.functions: dict[str, ast.FunctionDef] = {}
        self.aliases: dict[str, str] = {}
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.FunctionDef):
                self.functions[statement.name] = statement
            elif isinstance(statement, ast.Assign):
                (target,) = statement.targets
                self.aliases[ast.unparse(target)] = ast.unparse(statement.value)
        #: What each function returns for the types of its arguments, and under which name; with
        #: wide vectors it can be another one.
        self.known: dict[tuple[str, bool, tuple[str, ...]], tuple[str, tuple[str, ...]]] = {}
        self.text: list[str] = []
        self.declared: dict[str, str] = {}
        self.metadata: list[str] = []
        #: How many bytes the kernel needs that are not on the stack.
        self.heap = 0
        self.instructions: set[str] = set()

    def printed(self, name: str, whole_lines: int, narrow: int) -> str:
        """Return the text of all that a kernel needs."""
        kernel = self.functions.get(name)
        kind = _NUMBER_TYPES.get(self.aliases.get("number", ""))
        if kernel is None or kind is None:
            raise LeftToNumbaError
        parameters = [received(k, f"%a{n}") for n, k in enumerate(_parameters(kernel, kind))]
        kinds = [ADDRESS if isinstance(p, Array) else p.kind for p in parameters]
        self.loops = loops = ADDRESS in kinds
        door = Body(self)
        read = [
            door.read(kind, "%inputs", constant(place), _SLOT)
            for place, kind in enumerate(kinds)
        ]
        body = Body(self) if loops else door
        outputs = self._run(body, kernel, parameters if loops else read, kind)
        if len(kinds) + len(outputs) > _MOST or not (outputs or loops):
            raise LeftToNumbaError
        if loops:
            self._loops("@loops", kinds, body)
            target = "@loops"
            if narrow and self.wide:
                self._narrow_loops(kernel, parameters, kinds, kind)
                (extent,) = (value.text for value in read if value.kind == INT)
                target = "%loops"
                door.lines += [
                    f"%long = icmp sge i64 {extent}, {narrow}",
                    f"{target} = select i1 %long, {ADDRESS} @narrow, {ADDRESS} @loops",
                ]
            if whole_lines:
                door.lines += _split(target, read, kind, whole_lines)
            else:
                door.lines.append(_launch(target, [value.text for value in read], read))
            door.lines.append("ret void")
        self.text.append(
            door.text(f"define internal void @kernel(ptr noalias %inputs, {_TAKEN}) noinline")
        )
        heap = f"@heap = internal constant i64 {self.heap}"
        if self.metadata and self.few_registers:
            # Several vectors at a time.
            self.metadata.append("!shortest = !{}")
        texts = [heap, *self.declared.values(), *self.text, *self.metadata]
        return "\n".join([*texts, vmath.instructions(self.instructions)])

    def _run(
        self,
        body: Body,
        kernel: ast.FunctionDef,
        parameters: Sequence[Value | Array],
        kind: str,
    ) -> tuple[str, ...]:
        """Print the statements of a kernel; return the types of its results."""
        for parameter, value in zip(kernel.args.args, parameters, strict=True):
            body.held[parameter.arg] = value
        return body.run(kernel.body, lambda values: body.write(values, kind))

    def _loops(self, symbol: str, kinds: Sequence[str], body: Body) -> None:
        """Print a function that has the loops of a kernel.

        Arrays can be promised not to overlap as parameters of a function only.
        """
        head = f"define internal void {symbol}({_declared(kinds, body)}, {_TAKEN}) noinline"
        self.text.append(body.text(head + _wish(body, arrays=True)))

    def _narrow_loops(
        self,
        kernel: ast.FunctionDef,
        parameters: Sequence[Value | Array],
        kinds: Sequence[str],
        kind: str,
    ) -> None:
        """Print the loops of a kernel once more, as for a processor without wide vectors."""
        self.wide = False
        body = Body(self)
        self._run(body, kernel, parameters, kind)
        self.wide, body.wide_vectors = True, False
        self._loops("@narrow", kinds, body)

    def meaning(self, name: str) -> str:
        """Return the name that stands at the end of a chain of aliases."""
        while name in self.aliases:
            name = self.aliases[name]
        return name

    def call(
        self, name: str, arguments: Sequence[Value | Array]
    ) -> tuple[str, tuple[str, ...]]:
        """Return the name and the types of results of a function for arguments."""
        kinds = tuple(map(kind_of, arguments))
        found = self.known.get((name, self.wide, kinds))
        if found is None:
            found = self.known[name, self.wide, kinds] = self._define(name, kinds)
        return found

    def _define(self, name: str, kinds: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        function = self.functions[name]
        names = [parameter.arg for parameter in function.args.args]
        if len(names) != len(kinds):
            raise LeftToNumbaError
        body = Body(self)
        parameters = [received(kind, f"%a{place}") for place, kind in enumerate(kinds)]
        body.held.update(zip(names, parameters, strict=True))
        before = self.heap
        results = body.run(function.body, body.give)
        if self.heap > before:
            # Only the kernel is given memory.
            raise LeftToNumbaError
        types = [ADDRESS if isinstance(p, Array) else p.kind for p in parameters]
        symbol = "@" + ".".join((name, *kinds)) + ".wide" * self.wide
        wish = any("forceinline" in ast.unparse(d) for d in function.decorator_list)
        head = f"define internal {joined(results)} {symbol}({_declared(types, body)})"
        branches = any(isinstance(part, ast.If) for part in ast.walk(function))
        apart = ADDRESS in types or (self.loops and branches)
        inline = " alwaysinline" if wish else " noinline" * apart
        self.text.append(body.text(head + inline + _wish(body, arrays=ADDRESS in types)))
        return symbol, results

    def declare(self, result: str, symbol: str, kinds: Sequence[str]) -> None:
        """Declare a function of LLVM."""
        self.declared[symbol] = f"declare {result} {symbol}({', '.join(kinds)})"

    def interleaved(self, many: int, few: int, *, sums: bool) -> str:
        """Return the name of a wish for a loop: so many vectors at a time, or so few.

        It is few where there are 16 registers for them. A pipelined loop has the next points
        under way, too, and takes two, unless it sums: the order of a sum depends on it.
        """
        wishes = []
        if self.few_registers:
            count = few
        elif self.wide:
            count = many if sums else min(many, _PIPELINED)
            wishes.append('!{!"symgrad.pipelined"}')
        else:
            count = many
        wishes.append(f'!{{!"llvm.loop.interleave.count", i32 {count}}}')
        loop = len(self.metadata)
        names = [f"!{loop + k}" for k in range(len(wishes) + 1)]
        self.metadata += [
            f"!{loop} = distinct !{{{', '.join(names)}}}",
            *(f"{name} = {wish}" for name, wish in zip(names[1:], wishes, strict=True)),
        ]
        return f"!{loop}"

    def table(self, values: Sequence[Value]) -> str:
        """Return the name of a constant array of whole numbers."""
        entries = ", ".join(f"{INT} {value.text}" for value in values)
        symbol = f"@table{len(self.declared)}"
        kind = f"[{len(values)} x {INT}]"
        self.declared[symbol] = f"{symbol} = internal constant {kind} [{entries}]"
        return symbol


def _launch(target: str, texts: Sequence[str], parameters: Sequence[Value]) -> str:
    """Return the call of a function that has the loops of a kernel."""
    taken = [f"{p.kind} {text}" for text, p in zip(texts, parameters, strict=True)]
    return f"call void {target}({', '.join(taken)}, {_TAKEN})"


def _split(target: str, parameters: Sequence[Value], number: str, least: int) -> list[str]:
    """Return a call for the points before a whole line of the last array, and for the rest."""
    (extent,) = (p.text for p in parameters if p.kind == INT)
    last = [p.text for p in parameters if p.kind == ADDRESS][-1]
    size = 4 if number == SINGLE else 8
    before = ["%before" if p.kind == INT else p.text for p in parameters]
    after: list[str] = []
    places: list[str] = []
    for p in parameters:
        if p.kind == ADDRESS:
            place = f"%after.{len(places)}"
            places.append(f"{place} = getelementptr {number}, {ADDRESS} {p.text}, i64 %before")
            after.append(place)
        else:
            after.append("%rest" if p.kind == INT else p.text)
    return [
        f"%address = ptrtoint {ADDRESS} {last} to i64",
        "%down = sub i64 0, %address",
        f"%bytes = and i64 %down, {_LINE - 1}",
        f"%before = lshr i64 %bytes, {size.bit_length() - 1}",
        "%inside = icmp ne i64 %before, 0",
        f"%many = icmp sge i64 {extent}, {max(least, _LINE // size)}",
        "%apart = and i1 %inside, %many",
        "br i1 %apart, label %split, label %whole",
        "whole:",
        _launch(target, [p.text for p in parameters], parameters),
        "ret void",
        "split:",
        _launch(target, before, parameters),
        f"%rest = sub i64 {extent}, %before",
        *places,
        _launch(target, after, parameters),
    ]


def _parameters(function: ast.FunctionDef, number: str) -> list[str]:
    """Return the types of the parameters of a kernel, which its decorator names."""
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(_, [ast.List([ast.Tuple(types)]), *_]):
                known = [_PARAMETERS.get(ast.unparse(each)) for each in types]
                if None in known:
                    raise LeftToNumbaError
                return [kind.replace("number", number) for kind in known if kind]
    return [number] * len(function.args.args)


def _declared(kinds: Sequence[str], body: Body) -> str:
    """Return the parameters of a function."""
    alone = f"{ADDRESS} noalias" if body.no_overlap else ADDRESS
    types = [alone if kind == ADDRESS else kind for kind in kinds]
    return ", ".join(f"{kind} %a{place}" for place, kind in enumerate(types))


def _wish(body: Body, *, arrays: bool) -> str:
    """Return the attributes of a function.

    Of one that has arrays the stack begins at a line of the cache. LLVM sees that it needs
    vectors there when it is too late for that, and each would lie in two lines or not as the
    stack of the caller has it. Of one that wishes so, vectors are as wide as can be.
    """
    aligned = f" alignstack({_LINE})" * arrays
    return aligned + ' "prefer-vector-width"="512"' * body.wide_vectors
