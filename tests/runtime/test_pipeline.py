"""Pipelined loops compute what they computed before, and others are left alone."""

from __future__ import annotations

import ctypes
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding

from symgrad.runtime import native, pipeline
from symgrad.runtime.pipeline import pipelined

VECTOR = "<4 x double>"


def module(body, exit_="  ret void", phis=""):
    """Return a module with a loop over vectors; %x is loaded, and what is stored is body's."""
    return f"""
declare {VECTOR} @llvm.fma.v4f64({VECTOR}, {VECTOR}, {VECTOR})
declare {VECTOR} @llvm.sqrt.v4f64({VECTOR})
declare {VECTOR} @other({VECTOR})

define void @f(ptr noalias %in, ptr noalias %out, i64 %n) {{
  br label %vector.body

vector.body:                                      ; preds = %vector.body, %0
  %index = phi i64 [ 0, %0 ], [ %index.next, %vector.body ]
{phis}
  %from = getelementptr inbounds double, ptr %in, i64 %index
  %x = load {VECTOR}, ptr %from, align 8
{body}
  %index.next = add nuw i64 %index, 4
  %done = icmp eq i64 %index.next, %n
  br i1 %done, label %exit, label %vector.body, !llvm.loop !0

exit:                                             ; preds = %vector.body
{exit_}
}}

!0 = distinct !{{!0, !1}}
!1 = !{{!"symgrad.pipelined"}}
"""


def fma(name, a, b, c):
    return f"  {name} = call {VECTOR} @llvm.fma.v4f64({VECTOR} {a}, {VECTOR} {b}, {VECTOR} {c})"


def stored(value, mark="to"):
    """Return lines that store a value for the points of a turn."""
    return f"""  %{mark} = getelementptr inbounds double, ptr %out, i64 %index
  store {VECTOR} {value}, ptr %{mark}, align 8"""


def splat(number):
    return f"<{', '.join([f'double {number}'] * 4)}>"


#: A chain of 30 operations, with a division in the middle.
CHAIN = "\n".join(
    [
        *(fma(f"%a{k + 1}", f"%a{k}" if k else "%x", "%x", splat("0.5")) for k in range(15)),
        f"  %b0 = fdiv {VECTOR} %a15, %a3",
        *(fma(f"%b{k + 1}", f"%b{k}", splat("0.25"), "%a7") for k in range(15)),
    ]
)


def run(text, points):
    """Return what the function of a module writes for some points."""
    machine = native._machine()
    parsed = binding.parse_assembly(text)
    parsed.verify()
    engine = binding.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(
        engine.get_function_address("f")
    )
    given_ = np.random.default_rng(3).uniform(0.5, 1.5, points + 8)
    written = np.full(points + 8, 7.0)
    call(given_.ctypes.data, written.ctypes.data, points)
    assert (written[points + 4 :] == 7).all()
    return written


SUM = f"  %sum = phi {VECTOR} [ zeroinitializer, %0 ], [ %sum.next, %vector.body ]"
LAST = f"""  %end = getelementptr inbounds double, ptr %out, i64 %n
  store {VECTOR} %sum.next, ptr %end, align 8
  ret void"""
LOOPS = {
    "results": module(f"{CHAIN}\n{stored('%b15')}"),
    "sum": module(
        f"{CHAIN}\n  %sum.next = fadd {VECTOR} %sum, %b15\n{stored('%b9')}",
        phis=SUM,
        exit_=LAST,
    ),
    "sum with a phi after it": module(
        f"{CHAIN}\n  %sum.next = fadd {VECTOR} %b15, %sum",
        phis=SUM,
        exit_=f"  %all = phi {VECTOR} [ %sum.next, %vector.body ]\n"
        + LAST.replace("%sum.next", "%all"),
    ),
    "the turn before": module(
        f"{CHAIN}\n  %d = fsub {VECTOR} %b15, %old\n{stored('%d')}",
        phis=f"  %old = phi {VECTOR} [ zeroinitializer, %0 ], [ %a2, %vector.body ]",
    ),
    "masks and bits": module(
        f"""{CHAIN}
  %m = fcmp olt {VECTOR} %a2, {splat("1.5")}
  %i = bitcast {VECTOR} %a4 to <4 x i64>
  %j = and <4 x i64> %i, <i64 -2, i64 -2, i64 -2, i64 -2>
  %c = bitcast <4 x i64> %j to {VECTOR}
  %s = select <4 x i1> %m, {VECTOR} %b15, {VECTOR} %c
  %r = call {VECTOR} @llvm.sqrt.v4f64({VECTOR} %s)
{stored("%r")}"""
    ),
    "another load of what is stored": module(
        f"""  %of = getelementptr inbounds double, ptr %out, i64 %index
  %y = load {VECTOR}, ptr %of, align 8
{CHAIN}
  %r = fadd {VECTOR} %b15, %y
{stored("%r")}"""
    ),
    "a product that is added": module(
        f"""  %m = fmul contract {VECTOR} %x, %x
  %sum.next = fadd reassoc contract {VECTOR} %sum, %m
{CHAIN}
{stored("%b15")}""",
        phis=SUM,
        exit_=LAST,
    ),
    "an early sum of a product": module(
        f"""  %m = fmul contract {VECTOR} %x, %x
  %s = fadd reassoc contract {VECTOR} %x, %m
{CHAIN}
  %r = fadd {VECTOR} %b15, %s
{stored("%r")}"""
    ),
    "something early from a sum": module(
        f"""  %half = fmul {VECTOR} %sum, {splat("0.5")}
{CHAIN}
  %sum.next = fadd {VECTOR} %sum, %b15
  %r = fadd {VECTOR} %b15, %half
{stored("%r")}""",
        phis=SUM,
        exit_=LAST,
    ),
    "a load before a store that does not wait for it": module(
        f"""  %of = getelementptr inbounds double, ptr %out, i64 %index
  %y = load {VECTOR}, ptr %of, align 8
{CHAIN}
  %to = getelementptr inbounds double, ptr %out, i64 %index
  store {VECTOR} %a2, ptr %to, align 8
  %r = fadd {VECTOR} %b15, %y
  %sum.next = fadd {VECTOR} %sum, %r""",
        phis=SUM,
        exit_=LAST,
    ),
    "two stores in one place": module(
        f"{CHAIN}\n{stored('%b15')}\n{stored('%a2', mark='again')}"
    ),
    "a load of what was stored": module(
        f"""{fma("%z", "%x", "%x", "%x")}
{stored("%z")}
  %y = load {VECTOR}, ptr %to, align 8
{CHAIN.replace("%x", "%y")}
{stored("%b15", mark="again")}"""
    ),
    "what is left where the test is false": module(f"{CHAIN}\n{stored('%b15')}").replace(
        "icmp eq i64 %index.next, %n\n  br i1 %done, label %exit, label %vector.body",
        "icmp ult i64 %index.next, %n\n  br i1 %done, label %vector.body, label %exit",
    ),
}


@pytest.mark.parametrize("registers", [1, 32])
@pytest.mark.parametrize("name", LOOPS)
def test_pipelined_loops_compute_the_same_bits(name, registers, monkeypatch):
    monkeypatch.setattr(pipeline, "_AT_HAND", registers)
    text = LOOPS[name]
    made = pipelined(text)
    assert "vector.body.tail:" in made
    for points in (4, 8, 12, 400):
        assert run(made, points).tobytes() == run(text, points).tobytes()


def test_values_and_blocks_without_names():
    start, body, end = re.split(r"(?<=i64 %n\) \{)\n|^(?=\}\n)", LOOPS["sum"], flags=re.M)
    # Numbers are given in the order of the text; the first block is number 0.
    defined = re.findall(r"^([\w.]+):|^  (%[\w.]+) =", body, re.M)
    numbers = {f"%{label}" if label else name: k for k, (label, name) in enumerate(defined, 1)}
    body = re.sub(r"^([\w.]+):", lambda m: f"{numbers[f'%{m[1]}']}:", body, flags=re.M)
    body = re.sub(r"%[\w.]+", lambda m: f"%{numbers.get(m[0], m[0][1:])}", body)
    text = f"{start}\n{body}{end}"
    made = pipelined(text)
    assert made != text
    assert run(made, 40).tobytes() == run(LOOPS["sum"], 40).tobytes()


def test_what_llvm_does_not_read_is_not_an_error(monkeypatch):
    text = LOOPS["results"].replace("!{!0, !1}", "!{!0, !1, !2}")
    text += '!2 = !{!"llvm.loop.unroll.disable"}\n'
    plain = native.assemble(text.replace("symgrad.pipelined", "another"))
    monkeypatch.setattr(native, "pipelined", lambda text: "nonsense")
    assert native.assemble(text) == plain
    monkeypatch.undo()
    assert native.assemble(text) != plain


def blocks(text):
    """Return the lines of each block of the function by its label."""
    found = re.split(r"^([\w.]+):.*$", text, flags=re.M)
    return {k: v.strip().splitlines() for k, v in zip(found[1::2], found[2::2], strict=True)}


def arithmetic(lines):
    return sum("@llvm." in line or " fdiv " in line for line in lines)


def test_a_turn_has_no_more_arithmetic_and_half_of_it_is_a_turn_ahead():
    before, after = blocks(LOOPS["results"]), blocks(pipelined(LOOPS["results"]))
    loop = after["vector.body"]
    assert arithmetic(loop) == arithmetic(before["vector.body"]) == 31
    ahead = [k for k, line in enumerate(loop) if re.match(r" *%\w+\.ahead = (call|fdiv)", line)]
    now = [k for k, line in enumerate(loop) if re.match(r" *%[ab]\d+ = (call|fdiv)", line)]
    assert 8 < len(ahead) < 22
    # They are side by side, and not one after the other.
    assert ahead[0] < now[len(now) // 2]
    assert now[0] < ahead[len(ahead) // 2]
    assert arithmetic(after["vector.body.head"]) == len(ahead)
    assert arithmetic(after["vector.body.tail"]) == len(now)


def test_a_loop_is_entered_from_a_loop_and_continues_its_sum():
    chain = re.sub(r"%([ab])", r"%q\1", CHAIN).replace("%x", "%x2")
    second = f"""
second:                                           ; preds = %second, %vector.body
  %k = phi i64 [ 0, %vector.body ], [ %k.next, %second ]
  %total = phi {VECTOR} [ %sum.next, %vector.body ], [ %total.next, %second ]
  %from2 = getelementptr inbounds double, ptr %in, i64 %k
  %x2 = load {VECTOR}, ptr %from2, align 8
{chain}
  %total.next = fadd {VECTOR} %total, %qb15
  %k.next = add nuw i64 %k, 4
  %done2 = icmp eq i64 %k.next, %n
  br i1 %done2, label %exit, label %second, !llvm.loop !0
"""
    text = module(
        f"{CHAIN}\n  %sum.next = fadd {VECTOR} %b15, %sum",
        phis=SUM,
        exit_=LAST.replace("%sum.next", "%total.next"),
    )
    text = text.replace("br i1 %done, label %exit,", "br i1 %done, label %second,")
    text = text.replace("\nexit:", f"{second}\nexit:")
    made = pipelined(text)
    assert {"vector.body.tail", "second.tail"} <= blocks(made).keys()
    for points in (4, 8, 400):
        assert run(made, points).tobytes() == run(text, points).tobytes()


WHOLE = f"{CHAIN}\n{stored('%b15')}"
LEFT = {
    "without the wish": module(WHOLE).replace("symgrad.pipelined", "another"),
    "of another loop": module(WHOLE).replace("!llvm.loop !0\n", "!llvm.loop !2\n")
    + '!2 = distinct !{!2, !3}\n!3 = !{!"another"}\n',
    "short": module(f"{fma('%r', '%x', '%x', '%x')}\n{stored('%r')}"),
    "with a call": module(
        f"{CHAIN}\n  %r = call {VECTOR} @other({VECTOR} %b15)\n{stored('%r')}"
    ),
    "that stores in one place": module(f"{CHAIN}\n  store {VECTOR} %b15, ptr %out, align 8"),
    "that loads from one place": module(
        f"  %y = load {VECTOR}, ptr %out, align 8\n{CHAIN}\n"
        f"  %r = fadd {VECTOR} %b15, %y\n{stored('%r')}"
    ),
    "whose next counter is used": module(
        f"{CHAIN}\n  %up = add i64 %index.next, 0\n{stored('%b15')}"
    )
    .replace("  %up = add i64 %index.next, 0\n", "")
    .replace("  %done =", "  %up = getelementptr double, ptr %out, i64 %index.next\n  %done ="),
    "that carries its test": module(
        WHOLE, phis="  %was = phi i1 [ false, %0 ], [ %done, %vector.body ]"
    ),
    "whose test reads the counter": module(WHOLE).replace(
        "icmp eq i64 %index.next, %n", "icmp eq i64 %index.next, %index"
    ),
    "long": module(
        "\n".join(
            [
                *(fma(f"%l{k + 1}", f"%l{k}" if k else "%x", "%x", "%x") for k in range(1000)),
                stored("%l1000"),
            ]
        )
    ),
    "that loads a constant": module(
        f"  %y = load {VECTOR}, ptr @g, align 8\n{CHAIN}\n"
        f"  %r = fadd {VECTOR} %b15, %y\n{stored('%r')}"
    )
    + f"@g = global {VECTOR} zeroinitializer\n",
    "volatile": module(WHOLE).replace("load <", "load volatile <"),
    "whose test is used": module(WHOLE, exit_="  %u = zext i1 %done to i64\n  ret void"),
    "of which something early is used": module(
        WHOLE,
        exit_=f"  %v = fadd {VECTOR} %a1, %a1\n" + LAST.replace("%sum.next", "%v"),
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_loops_are_left_alone(name):
    binding.parse_assembly(LEFT[name]).verify()
    assert pipelined(LEFT[name]) == LEFT[name]


@st.composite
def programs(draw):
    """Draw the lines of a turn, each of which reads what is there, and what is stored."""
    names, lines = ["%x"], []
    for k in range(draw(st.integers(12, 60))):
        # Most often something recent, so that there are chains.
        back = st.integers(1, min(len(names), draw(st.sampled_from([2, 6, 40]))))
        one, two, three = (names[-draw(back)] for _ in range(3))
        name = f"%t{k}"
        match draw(st.sampled_from(["fma", "fma", "fma", "fadd", "fmul", "fdiv", "select"])):
            case "fma":
                lines.append(fma(name, one, two, three))
            case "select":
                lines.append(f"  %m{k} = fcmp ogt {VECTOR} {one}, {two}")
                lines.append(
                    f"  {name} = select <4 x i1> %m{k}, {VECTOR} {three}, {VECTOR} {two}"
                )
            case code:
                lines.append(f"  {name} = {code} {VECTOR} {one}, {two}")
        names.append(name)
    middle = draw(st.integers(0, len(names) - 1))
    sums = draw(st.booleans())
    if sums:
        lines.append(f"  %sum.next = fadd {VECTOR} %sum, {names[middle]}")
    lines.append(stored(names[-1]))
    return "\n".join(lines), sums


@settings(deadline=None, max_examples=60)
@given(programs(), st.sampled_from([4, 10, 34]))
def test_any_turn_computes_the_same_bits(drawn, registers):
    lines, sums = drawn
    text = module(lines, phis=SUM if sums else "", exit_=LAST if sums else "  ret void")
    usual, pipeline._AT_HAND = pipeline._AT_HAND, registers
    try:
        made = pipelined(text)
    finally:
        pipeline._AT_HAND = usual
    for points in (4, 8, 40):
        assert run(made, points).tobytes() == run(text, points).tobytes()


def most_at_hand(operations):
    """Return how many vectors are still to be read, at most, between two operations."""
    last = {name: k for k, x in enumerate(operations) for name in x.operands}
    most = held = 0
    for k, x in enumerate(operations):
        held += x.name in last
        held -= sum(last[name] == k for name in x.operands if name != "%in")
        most = max(most, held)
    return most


def test_an_order_keeps_what_is_at_hand_within_the_registers(monkeypatch):
    # Forty chains that start from loads and are added up: all can begin at once.
    lines = []
    for k in range(40):
        lines += [
            f"  %p{k} = load {VECTOR}, ptr %in, align 8",
            fma(f"%q{k}", f"%p{k}", f"%p{k}", f"%p{k}"),
        ]
    lines += [
        f"  %s{k} = fadd {VECTOR} %{f's{k - 1}' if k else 'q0'}, %q{k}" for k in range(40)
    ]
    operations = [pipeline._operation(line) for line in lines]
    monkeypatch.setattr(pipeline, "_AT_HAND", 1000)
    wild = most_at_hand(pipeline._ordered(operations, ()))
    monkeypatch.setattr(pipeline, "_AT_HAND", 8)
    order = pipeline._ordered(operations, ())
    assert sorted(x.line for x in order) == sorted(line.strip() for line in lines)
    assert wild > 30
    assert most_at_hand(order) <= 9
