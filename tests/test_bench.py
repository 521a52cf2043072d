"""The harness of scripts/bench.py: right definitions, right checks, readable output."""

import json
import math
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy

import symgrad as sg

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from benchmarks import growth, measure, picture, report  # noqa: E402
from benchmarks.peers import PEERS, Peer, Runner  # noqa: E402
from benchmarks.peers.base import UnavailableError, load  # noqa: E402
from benchmarks.peers.c import c_source, memory_only  # noqa: E402
from benchmarks.symbolic import exact, in_doubles, model_of  # noqa: E402
from benchmarks.workloads import WORKLOADS, make_problem  # noqa: E402

EVERY = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda w: w.name)


def silent(text):
    pass


@EVERY
def test_a_workload_is_consistent(workload):
    f = sg.compile(workload.formula)
    assert f.inputs == workload.inputs
    assert set(workload.wrt) <= set(workload.inputs)
    assert workload.reduce in ("", "sum", "mean")
    parameters = workload.parameters or {}
    assert not set(parameters) & set(workload.arrays)
    assert all(float(np.float32(value)) == value for value in parameters.values())
    model = model_of(workload)
    assert len(model.derivatives) == len(workload.wrt)
    assert {str(s) for s in model.value.free_symbols} <= set(workload.inputs)


@EVERY
def test_problems_are_the_same_every_time_and_finite(workload):
    first, second = make_problem(workload, 1000), make_problem(workload, 1000, "float32")
    for name, array in first.arrays.items():
        assert np.array_equal(array.astype("float32"), second.arrays[name])
    assert all(np.isfinite(r).all() for r in in_doubles(first))


@EVERY
def test_sympys_derivatives_agree_with_difference_quotients(workload):
    problem = make_problem(workload, 1)
    f = sg.compile(workload.point_formula)
    point = [float(a[0]) for a in problem.arrays.values()] + [*problem.parameters.values()]
    model = model_of(workload)
    value = sympy.lambdify(model.symbols, model.value, modules="mpmath")
    results = exact(problem)
    with mpmath.workdps(50):
        for name, derivative in zip(workload.wrt, results[1:], strict=True):
            order = tuple(int(name == other) for other in f.inputs)
            number = derivative if workload.reduce else derivative[0]
            assert abs(mpmath.diff(value, tuple(map(mpmath.mpf, point)), order) - number) < (
                1e-12 * (1 + abs(number))
            )


@EVERY
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["symgrad", "symgrad_bound", "symgrad_out", "lambdify"])
def test_symgrad_and_lambdify_agree_with_mpmath(workload, dtype, name):
    if not PEERS[name].suits(workload):
        pytest.skip("the results are numbers")
    problem = make_problem(workload, 100, dtype)
    runner = measure.prepare(PEERS[name], problem)
    results = runner.read(runner.run())
    assert measure.error_of(results, exact(problem)) <= measure.TOLERANCE[dtype][0]


@EVERY
def test_the_c_code_has_a_result_for_every_derivative(workload):
    code = c_source(workload, "float64")
    for k in range(1 + len(workload.wrt)):
        assert f"out{k}[{'0' if workload.reduce else 'i'}] =" in code
    single = c_source(workload, "float32")
    assert "double" not in single
    assert "restrict" in single


class Wrong(Peer):
    name = title = "wrong"

    def prepare(self, problem):
        return Runner(lambda: None, lambda _: [a * 1.001 for a in in_doubles(problem)])


class Broken(Peer):
    name = title = "broken"

    def prepare(self, problem):
        raise ZeroDivisionError("of course")


class Missing(Peer):
    name = title = "missing"

    def prepare(self, problem):
        load("a_module_that_nobody_has")
        raise AssertionError


def test_who_is_wrong_broken_or_missing_is_listed_and_skipped(monkeypatch):
    for peer in (Wrong(), Broken(), Missing()):
        monkeypatch.setitem(PEERS, peer.name, peer)
    plan = measure.Plan(["symgrad", "lambdify", "wrong", "broken", "missing"], 2, silent)
    case = measure.measure_case("logistic", 50, "float64", plan)
    assert list(case.times) == ["symgrad", "lambdify"]
    assert case.skipped["wrong"].startswith("WRONG: error")
    assert case.skipped["broken"] == "fails: ZeroDivisionError: of course"
    assert case.skipped["missing"].startswith("not installed")
    assert case.best()[0] == "lambdify"
    text = report.as_markdown(report.Results("bench", "today", {}, 2, cases=[case]))
    assert "- wrong: WRONG: error" in text


@pytest.mark.parametrize("workload", ["lennard_jones", "two_gaussians"])
def test_reading_and_writing_alone(workload):
    problem = make_problem(WORKLOADS[workload], 37, "float64")
    try:
        runner = memory_only(problem)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    added = sum(problem.arrays.values())
    expected = getattr(added, problem.workload.reduce)() if problem.workload.reduce else added
    results = runner.read(runner.run())
    assert len(results) == problem.outputs
    for result in results:
        np.testing.assert_allclose(result, expected, rtol=1e-13)
    assert np.float64(5e-324) / 1 > 0  # the library has left the processor as it was


def test_a_dtype_that_a_peer_lacks_is_a_reason():
    problem = make_problem(WORKLOADS["tutorial"], 5, "float32")
    with pytest.raises(UnavailableError, match="no float32"):
        measure.prepare(PEERS["casadi"], problem)


@pytest.mark.parametrize(
    ("results", "reference", "low", "high"),
    [
        ([[1.0, 2.0]], [[1.0, 2.0]], 0, 0),
        ([[1.0, 2.1]], [[1.0, 2.0]], 0.01, 0.1),
        ([[1.0, math.nan]], [[1.0, 2.0]], math.inf, math.inf),
        ([[1.0, 2.0, 3.0]], [[1.0, 2.0]], math.inf, math.inf),
        ([[1.0, 2.0]], [[1.0, 2.0], [0.0, 0.0]], math.inf, math.inf),
        ([3.0, 1e-20], [3.0, 0.0], 0, 1e-15),
    ],
)
def test_errors(results, reference, low, high):
    assert low <= measure.error_of(results, reference) <= high


def test_rounds_interleave_and_start_with_another_one_each_time():
    order = []
    runs = {name: (lambda name=name: order.append(name)) for name in "abc"}
    times = measure.timed_rounds(runs, 3, seconds=1e-9)
    assert {name: len(t) for name, t in times.items()} == {"a": 3, "b": 3, "c": 3}
    changes = [name for k, name in enumerate(order) if k == 0 or order[k - 1] != name]
    # Rounds abc, bca, cab; equal neighbours run together.
    assert "".join(changes).endswith("abcbcacab")


def test_numbers_in_the_tables():
    case = measure.Case("tutorial", 100, "float64")
    case.times = {
        "symgrad": [3e-7, 4e-7, 5e-7],
        "symgrad_out": [1e-7, 2e-7, 3e-7],
        "c": [2e-7, 3e-7, 9e-7],
        "jax": [8e-7, 8e-7, 8e-7],
    }
    case.memory = [5e-8, 1e-7, 3e-7]
    assert case.nanoseconds("symgrad_out") == pytest.approx(2.0)
    assert case.ours == "symgrad_out"
    assert case.share_of_memory() == pytest.approx(0.5)
    assert case.best() == ("c", pytest.approx(2.0))
    results = report.Results("bench", "today", {"python": "3"}, 3, cases=[case])
    lines = report.as_markdown(results).splitlines()
    row = next(line for line in lines if line.startswith("| Tutorial"))
    assert row == "| Tutorial formula | 2.00 | 4.00 | 3.00 | 8.00 | C | **2.00** | 50 % |"
    widths = [line.count("|") for line in lines[lines.index(row) - 2 : lines.index(row) + 2]]
    assert len(set(widths)) == 1
    assert json.loads(json.dumps(report.as_json(results)))["cases"][0]["ratio"]["c"] == 2
    assert report.geometric_mean([1.0, 4.0]) == pytest.approx(2.0)


def test_symgrad_is_its_fastest_row_with_given_arrays():
    case = measure.Case("tutorial", 100, "float64")
    case.times = {"symgrad": [1e-7]}
    assert case.ours == "symgrad"
    case.times["symgrad_out"] = [3e-7]
    assert case.ours == "symgrad_out"
    case.times["symgrad_bound"] = [4e-7]
    assert case.ours == "symgrad_out"
    case.times["symgrad_bound"] = [2e-7]
    assert case.ours == "symgrad_bound"


def test_growth_is_measured_in_processes_that_must_agree(monkeypatch):
    monkeypatch.setattr(growth, "MEMBERS", {"kinematics": (2,), "pendulum": (1,)})
    plan = measure.Plan(["symgrad", "lambdify"], 1, silent)
    rows = growth.measure_growth(plan, ["kinematics"], 1)
    rows += growth.measure_growth(plan, ["pendulum"], 1)
    for row in rows:
        assert not row.skipped
        assert set(row.build) == set(row.call) == {"symgrad", "lambdify"}
        assert row.forward > 0
        assert row.gradient > 0
    results = report.Results("bench", "today", {}, 1, growth=rows)
    text = report.as_markdown(results)
    assert "| Arm of n joints | 2 |" in text
    assert "| Pendulum on a cart | 1 |" in text
    assert report.as_json(results)["growth_s"][0]["family"] == "kinematics"


def test_growth_is_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    times = {"symgrad": 0.1, "lambdify": 0.2}
    rows = [
        growth.Member("kinematics", size, 10 * size, 30 * size, build=times, call=times)
        for size in (2, 4)
    ]
    picture.draw_growth(rows, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_wrong_results_are_no_agreement():
    assert growth.agree([1.0, 2.0], [1.0, 2.0 + 1e-9])
    assert not growth.agree([1.0, 2.0], [1.0, 2.1])
    assert not growth.agree([1.0], [1.0, 2.0])
    assert not growth.agree([math.nan], [1.0])


def run_bench(*arguments):
    command = [sys.executable, str(SCRIPTS / "bench.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_script_from_end_to_end(tmp_path):
    options = "--sections points --peers symgrad,lambdify --workloads logistic --sizes 100"
    done = run_bench(
        *options.split(), "--rounds", "1", "--clock", "cpu", "--out", str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert "## 100 points, float32" in done.stdout
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == done.stdout[:-1]
    cases = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["cases"]
    assert [case["dtype"] for case in cases] == ["float64", "float32"]
    assert set(cases[0]["ns_per_point"]) == {"symgrad_bound", "symgrad", "lambdify"}


def test_an_unknown_workload_is_refused_by_name():
    done = run_bench("--workloads", "nonsense")
    assert done.returncode == 2
    assert "no workload 'nonsense'" in done.stderr
