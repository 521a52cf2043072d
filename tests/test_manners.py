"""How a build behaves: what it refuses at once, how it is interrupted, what it shows."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import symgrad as sg
from symgrad import Limits
from symgrad.calculus import reference
from symgrad.errors import ArgumentError, FormulaError, LimitError
from symgrad.language.functions import ORDERS, WITH_ORDERS

pty = pytest.importorskip("pty")

BUILD = """
import signal
import sys
import symgrad as sg
# In the background, tests are started with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from symgrad import progress
progress.DELAY = progress.PERIOD = {delay}
steps = "; ".join(f"t{{k}} = sin(t{{k-1}})*x + c*t{{k-2}}" for k in range(2, 4000))
print("ready", flush=True)
for round in range({rounds}):
    f = sg.compile(f"t0 = x; t1 = sin(x); {{steps}}")
    sg.value_and_grad(f)(0.5, 0.25)
    g = sg.compile(f"x/3 + sin(exp(x*c))*log(x + {{round}}.3125)", backend="jit")
    print(sg.value_and_grad(g)(1.5, 0.25)[0])
"""


def rosenbrock(n: int, **options) -> sg.Function:
    terms = (f"100*(x{k + 1} - x{k}**2)**2 + (1 - x{k})**2" for k in range(n - 1))
    return sg.compile(" + ".join(terms), inputs=[f"x{k}" for k in range(n)], **options)


# What is refused


def test_dense_derivatives_that_are_too_large_are_refused_before_any_work() -> None:
    f = rosenbrock(1001)
    for derive in (
        sg.hessian,
        sg.value_grad_and_hessian,
        lambda f: sg.jacobian(sg.grad(f)),
        lambda f: sg.hessian(sg.value_and_grad(f)),
    ):
        with pytest.raises(LimitError, match=r"the limit is 1,000,000.*sparse=True"):
            derive(f)
    assert f.kernels == []
    assert sg.jacobian(f).inputs == f.inputs
    assert sg.hessian(f, wrt=["x0", "x1"]).inputs == f.inputs
    assert sg.sparsity(sg.hessian(f, sparse=True)).nnz == 3 * 1001 - 2


def test_the_limit_of_entries_can_be_moved() -> None:
    f = rosenbrock(4, limits=Limits(entries=15))
    with pytest.raises(LimitError, match="has 16 entries and the limit is 15"):
        sg.hessian(f)
    assert sg.hessian(f, wrt=("x0", "x1", "x2"))(1.0, 1.0, 1.0, 1.0).shape == (3, 3)
    assert sg.hessian(rosenbrock(4, limits=Limits(entries=16)))(*[1.0] * 4).shape == (4, 4)
    both = sg.compile("u = x*y; v = x + y", outputs=["u", "v"], limits=Limits(entries=4))
    rows = sg.jacobian(both)(2.0, 3.0)
    assert [row.tolist() for row in rows] == [[3.0, 2.0], [1.0, 1.0]]
    with pytest.raises(LimitError, match="has 8 entries"):
        sg.hessian(both)


@pytest.mark.parametrize("size", ["a", -1, 1.5, True, None])
def test_limits_are_sizes(size) -> None:
    with pytest.raises(ArgumentError, match="the limit length must be a number"):
        Limits(length=size)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("polygamma(x, y)", 1),
        ("y + polygamma(1.5, y)", 5),
        ("polygamma(-1, y)", 1),
        ("polygamma(nan, y)", 1),
        ("n = 2; polygamma(n, y)", 8),
        ("sinc_derivative(x, y)", 1),
        ("y + polygamma(21, y)", 5),
        ("sinc_derivative(3*7, y)", 1),
    ],
)
def test_an_order_that_is_no_number_is_shown_at_once(text: str, column: int) -> None:
    with pytest.raises(FormulaError, match=r"order of .* must be a number 0, 1, 2") as caught:
        sg.compile(text)
    assert caught.value.column == column
    assert sg.compile("polygamma(1 + 1, x)").inputs == ("x",)


@pytest.mark.parametrize("backend", ["jit", "interpreter"])
@pytest.mark.parametrize(
    ("text", "column"), [("1/y + polygamma(20, 2*x)", 7), ("y*sinc_derivative(20, x)", 3)]
)
def test_a_derivative_of_too_high_an_order_is_shown(
    text: str, column: int, backend: str
) -> None:
    f = sg.compile(text, backend=backend)
    assert np.isfinite(f(x=1.0, y=2.0))
    exact = reference.derivative(f.program, {"x": 1.0, "y": 2.0}, "y")
    assert sg.grad(f, wrt="y")(x=1.0, y=2.0) == pytest.approx(float(exact), rel=1e-13)
    packed = sg.packed(sg.jacobian(f, wrt=["x"], sparse=True))
    for call in (
        lambda: sg.grad(f)(x=1.0, y=2.0),
        lambda: sg.hessian(f)(x=np.ones(2), y=2.0),
        lambda: packed([1.0, 2.0]),
        lambda: sg.hvp(f),
        f.cost,
    ):
        with pytest.raises(
            FormulaError, match=r"of order 2\d, and kernels know .* 20"
        ) as caught:
            call()
        assert caught.value.column == column
    # What is only read may have any order.
    assert "(21, " in str(f.derivative("x"))


def test_functions_whose_derivatives_have_orders() -> None:
    assert {"gamma", "lgamma", "digamma", "sinc", *ORDERS} <= WITH_ORDERS
    assert {"sin", "besselj0", "erf", "where"}.isdisjoint(WITH_ORDERS)


@pytest.mark.parametrize(("name", "most"), [("lgamma", 21), ("digamma", 20), ("sinc", 20)])
def test_derivatives_up_to_the_highest_order(name: str, most: int) -> None:
    derivative = sg.compile(f"{name}(x)", backend="interpreter")
    for _ in range(most):
        derivative = sg.grad(derivative, wrt="x")
    assert np.isfinite(derivative(1.5))
    with pytest.raises(FormulaError, match="of order 21"):
        sg.grad(derivative)(1.5)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda f: f.derivative("speed", 2), "an order is a name for each time"),
        (lambda f: f.derivative("sped"), "did you mean 'speed'"),
        (lambda f: f.derivative("speed", arrays=3), "list of names, not int"),
        (lambda f: sg.hessian(f, wrt=[["speed"]]), "cannot differentiate by"),
        (lambda f: sg.hessian(f, wrt="sped", sparse=True), "did you mean 'speed'"),
        (lambda f: sg.jacobian(f, wrt=["sped"], sparse=True), "did you mean 'speed'"),
        (lambda f: sg.grad(sg.hessian(f, sparse=True)), "sparse=True comes last"),
        (lambda f: sg.packed(f, ["sped", "mass"]), "did you mean 'speed'"),
        (lambda f: sg.packed(f, 3), "list of names, not int"),
        (lambda f: sg.packed(f, [["speed"], "mass"]), "no input"),
        (lambda f: f.bind(1.0, sped=2.0), "did you mean 'speed'"),
        (lambda f: sg.jvp(f, 1.0, 2.0), "two tuples"),
        (lambda f: sg.hvp(f, (1.0, 2.0), 2.0), "two tuples"),
        (lambda f: f.save(3), "a path, not int"),
        (lambda f: sg.compile("x", backend="numba"), "no backend 'numba'"),
    ],
)
def test_what_does_not_fit_is_named(mistake, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        mistake(sg.compile("mass*speed**2/2"))
    assert "\n" not in str(caught.value)


def test_messages_about_many_names_stay_short() -> None:
    f = rosenbrock(2000)
    for mistake in (
        lambda: f(1.0),
        lambda: f.derivative("speed"),
        lambda: sg.grad(f, wrt="speed"),
        lambda: sg.packed(f, "speed"),
        lambda: sg.packed(f, "x1"),
        lambda: sg.jvp(f, (), ()),
    ):
        with pytest.raises(ArgumentError) as caught:
            mistake()
        assert len(str(caught.value)) < 250


# How it is interrupted


def start(cache: Path, delay: float, rounds: int = 1, **streams) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD.format(delay=delay, rounds=rounds)],
        env={**os.environ, "SYMGRAD_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        **streams,
    )


def interrupted(child: subprocess.Popen[bytes]) -> bytes:
    """Return what a child says when it is interrupted, once."""
    child.send_signal(signal.SIGINT)
    try:
        return child.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise AssertionError("the signal did not end the build") from None


def test_an_interrupted_build_leaves_nothing_behind(tmp_path: Path) -> None:
    chance = random.Random(3)
    for _ in range(5):
        # It would go on for hours, so the signal always comes in the middle of something.
        child = start(tmp_path, 60.0, rounds=100_000, stderr=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.0, 3.0))
        complaint = interrupted(child)
        assert child.returncode == -signal.SIGINT
        assert complaint.rstrip().endswith(b"KeyboardInterrupt")
        for entry in tmp_path.iterdir():
            assert re.fullmatch("[0-9a-f]{64}", entry.name)
            assert (entry / "manifest.json").exists()
    child = start(tmp_path, 60.0, stderr=subprocess.PIPE)
    out, complaint = child.communicate(timeout=120)
    assert (child.returncode, complaint) == (0, b"")
    expected = sg.compile("x/3 + sin(exp(x*c))*log(x + 0.3125)")(1.5, 0.25)
    assert float(out.split()[-1]) == pytest.approx(float(expected), rel=1e-15)


# What it shows


def on_terminal(tmp_path: Path, delay: float) -> bytes:
    """Return what a build writes to a standard error that is a terminal."""
    master, slave = pty.openpty()
    child = start(tmp_path, delay, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 65536):
            shown += part
    except OSError:
        pass  # Linux says so when the child has closed its side
    os.close(master)
    child.communicate(timeout=120)
    assert child.returncode == 0
    return shown


def test_a_long_build_shows_one_line_on_a_terminal(tmp_path: Path) -> None:
    shown = on_terminal(tmp_path, 0.01).decode()
    assert "\n" not in shown
    lines = shown.split("\r\x1b[K")
    assert lines[0] == lines[-1] == ""
    texts = [line for line in lines if line]
    form = r"symgrad: [a-z ]+(, [0-9,]+ nodes)?, [0-9]+ s"
    assert all(re.fullmatch(form, line) for line in texts)
    assert any("differentiating" in line and "nodes" in line for line in texts)


def test_a_short_build_and_a_pipe_show_nothing(tmp_path: Path) -> None:
    assert on_terminal(tmp_path, 60.0) == b""
    child = start(tmp_path, 0.01, stderr=subprocess.PIPE)
    assert child.communicate(timeout=120)[1] == b""
