"""Software pipelining: loops over vectors, in LLVM IR that LLVM has optimised.

One turn of a loop over elementary functions is a few chains of some 30 operations, each of
which waits 4 cycles for the one before. A processor looks for others among about 100 that
wait, which are of the same turn, so that its units for vectors are idle half of the time. A
loop is therefore cut in two where its chains are half done: a turn computes the first half for
the next points beside the second half for these (M. Lam, "Software pipelining: an effective
scheduling technique for VLIW machines", PLDI 1988), in an order in which the units are busy
and what is at hand fits the registers (list scheduling; Cooper and Torczon, "Engineering a
Compiler", chapter 12).

The operations are those that were there, on the same numbers, and so are the bits of the
results, but for those of a NaN; sums are added up in the same order. The first half of a turn
is computed only if there is such a turn. It comes before the stores of the turn before it, and
so a loop says by its metadata that a turn touches no elements but those of its own points.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

__all__ = ["PIPELINED", "pipelined"]

#: The metadata of a loop over points that is to be pipelined.
PIPELINED = '!{!"symgrad.pipelined"}'

#: How many vectors may be at hand: the registers of AVX-512.
_AT_HAND = 32
#: Loops whose chains take fewer cycles are left alone: several turns are under way at a time.
_CHAIN = 32
#: Loops of more operations are left alone, too: an order takes long to find.
_MOST = 1000
#: Operations on vectors that begin in one cycle, and loads.
_UNITS, _LOADS = 2, 2

_NAME = re.compile(r"%[\w.$-]+")
_LABEL = re.compile(r"([\w.$-]+):")
_FUNCTION = re.compile(r"^define .*?^}$", re.MULTILINE | re.DOTALL)
_NUMBERED = re.compile(r"%(\d+)\b")
_NUMBERED_LABEL = re.compile(r"^(\d+):", re.MULTILINE)
_ARRIVAL = re.compile(r"\[ ([^\]]+), %([\w.$-]+) \]")
_BACK = re.compile(r"\s*br i1 (%[\w.$-]+), label %([\w.$-]+), label %([\w.$-]+)(.*)")
_WIDE = re.compile(r"<\d+ x (?:double|float)>")
_TYPE = re.compile(r"(?<![%\w.])(?:<\d+ x \w+>|(?:double|float|ptr|i\d+)\b)")
_CALL = re.compile(r"(?:tail )?call [^@]*@llvm\.([\w.]+)\(")

#: Latencies in cycles, of processors with AVX-512 and for their widest vectors (A. Fog,
#: "Instruction tables"; uops.info). For functions of LLVM the start of the name decides.
_LATENCY = {
    "fadd": 4,
    "fsub": 4,
    "fmul": 4,
    "fneg": 1,
    "fcmp": 3,
    "icmp": 3,
    "select": 1,
    "and": 1,
    "or": 1,
    "xor": 1,
    "add": 1,
    "sub": 1,
    "shl": 1,
    "lshr": 1,
    "ashr": 1,
    "bitcast": 0,
    "freeze": 0,
    "load": 7,
    "store": 0,
    "sext": 3,
    "zext": 3,
    "trunc": 3,
    "sitofp": 4,
    "uitofp": 4,
    "fptosi": 4,
    "fpext": 7,
    "fptrunc": 7,
    "fma": 4,
    "fabs": 1,
    "copysign": 1,
    "minnum": 4,
    "maxnum": 4,
    "minimum": 4,
    "maximum": 4,
    "smin": 1,
    "smax": 1,
    "umin": 1,
    "umax": 1,
    "is.fpclass": 4,
    "floor": 8,
    "rint": 8,
    "x86.avx512.mask.scalef": 6,
    "x86.avx512.mask.getexp": 4,
    "x86.avx512.mask.getmant": 4,
    "x86.avx512.mask.fixupimm": 4,
}
#: The same for what the divider does, with the cycles after which it can begin anew.
_DIVIDER = {
    ("fdiv", "double"): (24, 16),
    ("fdiv", "float"): (17, 10),
    ("sqrt", "double"): (32, 24),
    ("sqrt", "float"): (20, 12),
}
#: What takes a unit for vectors for longer than a cycle, and what takes none.
_WORK = {"x86.avx512.mask.scalef": 2, "floor": 2, "rint": 2, "fpext": 2, "fptrunc": 2}
_FREE = frozenset({"bitcast", "freeze", "load", "store", "getelementptr"})
#: Whole numbers that follow from the counter of a loop are computed wherever they are needed.
_CHEAP = frozenset(
    {"getelementptr", "add", "sub", "mul", "shl", "or", "and", "zext", "sext", "trunc"}
)


def pipelined(text: str) -> str:
    """Return a module in LLVM IR with its loops over vectors pipelined.

    Args:
        text: the module, as LLVM prints it after vectorisation. Of the loops that ask for it,
            those that are more than one block, that call functions, or that are not understood
            are left as they are.
    """
    wish = re.search(rf"^(!\d+) = {re.escape(PIPELINED)}$", text, re.MULTILINE)
    if not wish:
        return text
    loops = re.findall(rf"^(!\d+) = distinct .*{wish[1]}\b", text, re.MULTILINE)
    jumps = tuple(f", !llvm.loop {loop}" for loop in loops)
    return _FUNCTION.sub(lambda found: _pipelined_function(found[0], jumps), text)


@dataclass(frozen=True, slots=True)
class _Operation:
    """A line that computes, loads or stores.

    Attributes:
        line: its text.
        name: what it defines; "" for a store.
        operands: the names that it reads, each once.
        code: its instruction, or the function of LLVM that it calls.
        latency: after how many cycles the value is there.
        work: for how many cycles it takes one of the units for vectors.
        divider: for how many cycles it takes the divider.
        vector: whether it needs a register for vectors.
    """

    line: str
    name: str
    operands: tuple[str, ...]
    code: str
    latency: int
    work: int
    divider: int
    vector: bool

    def renamed(self, names: Mapping[str, str]) -> _Operation:
        """Return the operation with other names."""
        return replace(
            self,
            line=_renamed(self.line, names),
            name=names.get(self.name, self.name),
            operands=tuple(names.get(name, name) for name in self.operands),
        )

    def type(self) -> str:
        """Return the type of the value."""
        kinds = _TYPE.findall(self.line.split(" = ", 1)[1])
        if self.code in ("fcmp", "icmp"):
            return re.sub(r"\w+(?=>|$)", "i1", kinds[0])
        if " to " in self.line:
            return str(kinds[-1])
        return str(kinds[1 if self.code == "select" else 0])


def _operation(line: str) -> _Operation | None:
    """Return what a line says, None if it is none of the instructions that are known here."""
    line = line.strip()
    name, _, right = line.rpartition(" = ")
    if call := _CALL.match(right):
        known = (*_LATENCY, "sqrt")
        code = next((code for code in known if f"{call[1]}.".startswith(f"{code}.")), "")
    else:
        code = right.split(" ", 1)[0]
    vector = "<" in right
    element = "float" if "x float>" in right else "double"
    latency, divider = _DIVIDER.get((code, element), (_LATENCY.get(code, -1), 0))
    if not vector and code in _CHEAP | {"icmp"}:
        latency = 0
    if latency < 0 or '%"' in line or "volatile" in line or "atomic" in line:
        return None
    work = 0 if code in _FREE or not vector else _WORK.get(code, 1)
    operands = tuple(dict.fromkeys(_NAME.findall(right)))
    return _Operation(line, name, operands, code, latency, work, divider, vector)


@dataclass(frozen=True)
class _Loop:
    """A loop of one block.

    Attributes:
        label: of the block.
        before: label of the block from which it is entered.
        after: label of the block that follows.
        phis: what is carried from turn to turn: its type, its first value and the next one.
        counter: the phi that counts.
        step: adds to the counter.
        test: tells from the next counter whether the loop ends.
        leaves: whether it ends where the test is true.
        operations: all others, in order.
        metadata: of the jump back.
    """

    label: str
    before: str
    after: str
    phis: dict[str, tuple[str, str, str]]
    counter: str
    step: _Operation
    test: _Operation
    leaves: bool
    operations: list[_Operation]
    metadata: str


def _loop(label: str, lines: Sequence[str]) -> _Loop | None:
    """Return the loop that a block is, None if it is none or not understood."""
    jump = _BACK.fullmatch(lines[-1])
    if not jump or (jump[2] == label) == (jump[3] == label) or not _WIDE.search("".join(lines)):
        return None
    phis: dict[str, tuple[str, str, str]] = {}
    before = ""
    for line in lines:
        if " = phi " not in line:
            break
        name, right = line.strip().split(" = phi ", 1)
        arrivals = {place: value for value, place in _ARRIVAL.findall(right)}
        if len(arrivals) != 2 or label not in arrivals:
            return None
        (before,) = arrivals.keys() - {label}
        # Flags of floating-point numbers may come before the type.
        kind = _TYPE.search(right)
        if not kind:
            return None
        phis[name] = kind[0], arrivals[before], arrivals[label]
    operations = [_operation(line) for line in lines[len(phis) : -1]]
    known = {x.name: x for x in operations if x}
    test = known.get(jump[1])
    if None in operations or not test or test.code != "icmp":
        return None
    inside = {*known, *phis}
    for counter, (_, _, following) in phis.items():
        step = known.get(following)
        counts = step and step.code == "add" and step.operands == (counter,)
        if step and counts and inside.intersection(test.operands) == {following}:
            break
    else:
        return None
    others = [x for x in operations if x and x is not step and x is not test]
    ends = {step.name, test.name}
    carried = {value for _, _, value in phis.values() if value != step.name}
    if carried & ends or any(ends & {*x.operands} for x in others):
        return None
    after = jump[3] if jump[2] == label else jump[2]
    return _Loop(
        label, before, after, phis, counter, step, test, jump[3] == label, others, jump[4]
    )


@dataclass(frozen=True)
class _Halves:
    """What is computed a turn ahead, and what in the turn itself.

    Attributes:
        cheap: whole numbers that follow from the counter, for both.
        first: what is ahead.
        second: the rest, and loads of which both have one rather than that they be kept.
        kept: names of what the second half has from the first.
    """

    cheap: list[_Operation]
    first: list[_Operation]
    second: list[_Operation]
    kept: dict[str, _Operation]


def _halves(loop: _Loop) -> _Halves | None:
    """Cut a loop where its chains are half done and few values are at hand, if it is long."""
    if len(loop.operations) > _MOST or not (kinds := _kinds(loop)):
        return None
    cheap, rest, late = kinds
    done: dict[str, int] = {}
    for x in rest:
        done[x.name] = x.latency + max((done.get(name, 0) for name in x.operands), default=0)
    length = max(done.values(), default=0)
    if length < _CHAIN:
        return None
    best: tuple[int, int] | None = None
    found: _Halves | None = None
    for cut in range(length * 3 // 10, length * 7 // 10 + 1, 2):
        first: dict[str, _Operation] = {}
        for x in rest:
            early = x.name and x.name not in late and done[x.name] - x.latency // 2 < cut
            if early and all(name in first for name in x.operands if name in done):
                first[x.name] = x
        # LLVM fuses a product with what adds it where both are in one block.
        read = {name for x in first.values() for name in x.operands}
        for x in [first[name] for name in first if name not in read]:
            if x.code == "fmul" and " contract " in x.line:
                del first[x.name]
        shared = {n for x in rest if x.name not in first for n in x.operands if n in first}
        kept = {n: first[n] for n in first if n in shared and first[n].code != "load"}
        score = len(kept), abs(2 * cut - length)
        if first and (best is None or score < best):
            again = shared - kept.keys()
            second = [x for x in rest if x.name not in first or x.name in again]
            best, found = score, _Halves(cheap, list(first.values()), second, kept)
    return found


def _kinds(loop: _Loop) -> tuple[list[_Operation], list[_Operation], set[str]] | None:
    """Return what is cheap, the rest, and the names of what cannot be ahead.

    That is what is carried from turn to turn or follows from it, and what may have been stored
    in the same turn. None if something is loaded or stored that does not move with the counter.
    """
    counted = {loop.counter}
    late = set(loop.phis) - counted
    defined = {x.name for x in loop.operations if x.name} | late
    handed = {following for _, _, following in loop.phis.values()}
    arrays = _arrays(loop.operations)
    stored: set[str] = set()
    cheap, rest = [], []
    for x in loop.operations:
        counts = not x.vector and x.code in _CHEAP and x.name not in handed
        if counts and counted.issuperset(defined.intersection(x.operands)):
            counted.add(x.name)
            cheap.append(x)
            continue
        rest.append(x)
        if x.code in ("load", "store"):
            if not x.operands or x.operands[-1] not in counted:
                return None
            array = arrays[x.operands[-1]]
            if x.code == "store":
                stored.add(array)
            elif array in stored:
                late.add(x.name)
        if x.name in handed or late.intersection(x.operands):
            late.add(x.name)
    return cheap, rest, late


def _with_cheap(halves: _Halves, half: Iterable[_Operation]) -> list[_Operation]:
    """Return the operations of a half with the whole numbers that they need before them."""
    half = list(half)
    needed = {name for x in half for name in x.operands}
    numbers = []
    for x in reversed(halves.cheap):
        if x.name in needed:
            needed.update(x.operands)
            numbers.append(x)
    return numbers[::-1] + half


def _suffixed(operations: Iterable[_Operation], suffix: str) -> dict[str, str]:
    return {x.name: x.name + suffix for x in operations if x.name}


def _print(loop: _Loop, halves: _Halves) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the blocks of the pipelined loop, and new names of what is used after it.

    They are the first half of the first turn, the loop, and the second half of the last turn.
    """
    head, tail = f"{loop.label}.head", f"{loop.label}.tail"
    _, start, _ = loop.phis[loop.counter]
    step, test = loop.step, loop.test
    first, second = (_with_cheap(halves, half) for half in (halves.first, halves.second))

    def branch(name: str, metadata: str = "") -> str:
        targets = (tail, loop.label) if loop.leaves else (loop.label, tail)
        return "br i1 {}, label %{}, label %{}{}".format(name, *targets, metadata)

    def ends(suffix: str, counter: str) -> list[str]:
        names = {x.name: x.name + suffix for x in (step, test)}
        counted = step.renamed({**names, loop.counter: counter})
        return [counted.line, test.renamed(names).line]

    def phis(suffix: str) -> list[str]:
        carried = [
            f"{name}{suffix} = phi {of} [ {value}, %{head} ], [ {following}, %{loop.label} ]"
            for name, (of, value, following) in loop.phis.items()
        ]
        kept = [
            f"{name}{suffix} = phi {x.type()} [ {name}.head, %{head} ], "
            f"[ {name}.ahead, %{loop.label} ]"
            for name, x in halves.kept.items()
        ]
        return carried + kept

    names = {**_suffixed(first, ".head"), loop.counter: start}
    blocks = {head: [x.renamed(names).line for x in first]}
    blocks[head] += [*ends(".head", start), branch(f"{test.name}.head")]
    names = {**_suffixed(first, ".ahead"), loop.counter: step.name}
    both = [x.renamed(names) for x in first] + second
    blocks[loop.label] = [*phis(""), step.line]
    blocks[loop.label] += [x.line for x in _ordered(both, halves.kept)]
    blocks[loop.label] += ends(".ahead", step.name)
    blocks[loop.label].append(branch(f"{test.name}.ahead", loop.metadata))
    last = _suffixed([*second, *halves.kept.values(), step], ".tail")
    last.update({name: f"{name}.tail" for name in loop.phis})
    blocks[tail] = phis(".tail") + [x.renamed(last).line for x in [*second, step]]
    blocks[tail].append(f"br label %{loop.after}")
    return blocks, last


def _ordered(operations: Sequence[_Operation], held: Collection[str]) -> list[_Operation]:
    """Return the operations of a block in the order in which they should begin.

    The one with the longest chain behind it comes first. Where there are more vectors at hand
    than registers, one that is the last to read others comes before it, even if it has to wait.

    Args:
        operations: in an order that is possible.
        held: names of the vectors at hand where the block begins.
    """
    needs = _needs(operations)
    users: list[list[int]] = [[] for _ in operations]
    for user, those in enumerate(needs):
        for n in those:
            users[n].append(user)
    height = [x.latency for x in operations]
    for n in reversed(range(len(operations))):
        height[n] += max((height[u] for u in users[n]), default=0)
    readers: dict[str, int] = {}
    for x in operations:
        for name in x.operands:
            readers[name] = readers.get(name, 0) + 1
    vectors = {x.name for x in operations if x.vector and x.name in readers} | {*held}
    at_hand = len(held)
    waits = [len(those) for those in needs]
    ready = [0] * len(operations)
    free = [n for n, count in enumerate(waits) if not count]
    order: list[_Operation] = []
    now, divider, units, loads = 0, 0, _UNITS, _LOADS

    def growth(k: int) -> int:
        x = operations[k]
        ended = sum(readers[name] == 1 and name in vectors for name in x.operands)
        return (x.name in vectors) - ended

    def fits(k: int) -> bool:
        x = operations[k]
        if ready[k] > now or (x.divider and divider > now):
            return False
        return loads > 0 if x.code == "load" else units > 0 or not x.work

    def best() -> int | None:
        fitting = [k for k in free if fits(k)]
        if not fitting or at_hand < _AT_HAND:
            return max(fitting, key=lambda k: (height[k], -k), default=None)
        k = min(fitting, key=lambda k: (min(max(growth(k), -1), 1), -height[k], k))
        if growth(k) > 0:
            easing = [k for k in free if growth(k) < 0 and not operations[k].divider]
            easing = easing or [k for k in free if growth(k) == 0]
            k = min(easing, key=lambda k: (ready[k], -height[k], k), default=k)
        return k

    while free:
        if (k := best()) is None:
            now, units, loads = now + 1, _UNITS, _LOADS
            continue
        x = operations[k]
        begin = max(now, ready[k])
        if begin == now:
            units, loads = units - x.work, loads - (x.code == "load")
        if x.divider:
            divider = begin + x.divider
        at_hand += growth(k)
        for name in x.operands:
            readers[name] -= 1
        free.remove(k)
        order.append(x)
        for user in users[k]:
            waits[user] -= 1
            ready[user] = max(ready[user], begin + x.latency)
            if not waits[user]:
                free.append(user)
    return order


def _needs(operations: Sequence[_Operation]) -> list[set[int]]:
    """Return for each operation the places of those that come before it in any order.

    These are what it reads; and of loads and stores in the same array, of which one stores, the
    earlier one.
    """
    place = {x.name: k for k, x in enumerate(operations) if x.name}
    arrays = _arrays(operations)
    touched: dict[str, tuple[list[int], list[int]]] = {}
    needs: list[set[int]] = []
    for k, x in enumerate(operations):
        needed = {place[name] for name in x.operands if name in place}
        if x.code in ("load", "store"):
            loads, stores = touched.setdefault(arrays[x.operands[-1]], ([], []))
            needed.update(stores if x.code == "load" else loads + stores)
            (loads if x.code == "load" else stores).append(k)
        needs.append(needed)
    return needs


def _arrays(operations: Iterable[_Operation]) -> dict[str, str]:
    """Return for each address from which one it is computed in the loop."""
    arrays: dict[str, str] = {}
    for x in operations:
        if x.operands and x.code == "getelementptr":
            arrays[x.name] = arrays.get(x.operands[0], x.operands[0])
        elif x.operands and x.code in ("load", "store"):
            arrays.setdefault(x.operands[-1], x.operands[-1])
    return arrays


def _pipelined_function(text: str, jumps: tuple[str, ...]) -> str:
    if not any(jump in text for jump in jumps):
        return text
    # Values without a name have numbers in the order of the text.
    named = _NUMBERED_LABEL.sub(r"value.\1:", _NUMBERED.sub(r"%value.\1", text))
    blocks: dict[str, list[str]] = {"": []}
    label = ""
    *lines, end = named.splitlines()
    for line in lines:
        if found := _LABEL.match(line):
            label = found[1]
            blocks[label] = []
        elif line.strip():
            blocks[label].append(line)
    names = {label: _names(lines) for label, lines in blocks.items()}
    changed = False
    for label, lines in [*blocks.items()]:
        # A loop for what is left over has few turns.
        if lines[-1].endswith(jumps) and not label.startswith("vec.epilog"):
            loop = _loop(label, blocks[label])
            halves = loop and _halves(loop)
            if loop and halves and _replace(blocks, names, loop, halves):
                changed = True
    if not changed:
        return text
    printed = [
        line
        for name, lines in blocks.items()
        for line in ([f"{name}:"] if name else []) + lines
    ]
    return "\n".join([*printed, end])


def _replace(
    blocks: dict[str, list[str]], names: dict[str, set[str]], loop: _Loop, halves: _Halves
) -> bool:
    """Put a pipelined loop into a function in place of a loop, if that is possible.

    Args:
        blocks: the lines of the function by the labels of its blocks, which change.
        names: what each block reads and defines, which changes, too.
        loop: one of the blocks.
        halves: how it is cut.
    """
    made, new = _print(loop, halves)
    own = {x.name for x in loop.operations} | {loop.test.name}
    others = blocks.keys() - {loop.label}
    lost = own - new.keys()
    if any(lost & names[label] for label in others):
        return False
    changed = {label for label in others if new.keys() & names[label]}
    blocks.update({k: [_renamed(line, new) for line in blocks[k]] for k in changed})
    # The first block of a function has no label where it has no name.
    before = loop.before if loop.before in blocks else ""
    enter, leave = ({f"%{loop.label}": f"%{loop.label}.{end}"} for end in ("head", "tail"))
    blocks[before] = [
        line if " = phi " in line else _renamed(line, enter) for line in blocks[before]
    ]
    blocks[loop.after] = [
        _renamed(line, leave) if " = phi " in line else line for line in blocks[loop.after]
    ]
    blocks.update(made)
    names.update({label: _names(blocks[label]) for label in {*changed, *made}})
    return True


def _names(lines: Iterable[str]) -> set[str]:
    return set(_NAME.findall("\n".join(lines)))


def _renamed(line: str, names: Mapping[str, str]) -> str:
    return _NAME.sub(lambda found: names.get(found[0], found[0]), line)
