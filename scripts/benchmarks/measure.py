"""Is a peer right, and how long does it take: checks and interleaved rounds."""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .peers import PEERS, Peer, Runner, UnavailableError
from .peers.c import memory_only
from .symbolic import exact, in_doubles
from .workloads import WORKLOADS, Problem, make_problem

__all__ = ["Case", "Plan", "error_of", "measure_case", "prepare", "timed_rounds", "warm_up"]

#: Points of the comparison with mpmath.
SAMPLE = 200

#: Largest error on the sample, and over all points, by dtype.
TOLERANCE = {"float64": (1e-11, 1e-9), "float32": (1e-4, 2e-3)}

#: A timing repeats a call for so long ...
SECONDS = 0.02
#: ... and at least so often, unless a single call takes longer than LONG.
CALLS, LONG = 3, 0.2

#: Stands for `memory_only` among the peers while they are timed.
_MEMORY = "memory"

Report = Callable[[str], None]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Plan:
    """What to run: peers by name, rounds, where to tell the progress, and which clock.

    Who has no first result after `patience` seconds is not asked for larger formulas.
    """

    peers: Sequence[str]
    rounds: int
    say: Report = print
    clock: Clock = time.perf_counter
    patience: float = 120.0


@dataclass
class Case:
    """One workload at one size in one dtype.

    Attributes:
        workload: its name.
        points: how many.
        dtype: "float64" or "float32".
        times: for each peer the seconds of one call, one number for each round.
        memory: the same for reading the arrays and writing the results alone.
        errors: for each peer its largest error on the sample.
        skipped: for each peer without times the reason.
    """

    workload: str
    points: int
    dtype: str
    times: dict[str, list[float]] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def nanoseconds(self, peer: str) -> float | None:
        """Return the median time for one point."""
        times = self.times.get(peer)
        return statistics.median(times) / self.points * 1e9 if times else None

    def share_of_memory(self) -> float | None:
        """Return which part of our time reading and writing alone takes."""
        ours = self.times.get(self.ours)
        if not ours or not self.memory:
            return None
        return statistics.median(b / a for a, b in zip(ours, self.memory, strict=True))

    def ratio(self, peer: str, reference: str) -> float | None:
        """Return how many times longer a peer takes: the median over rounds."""
        ours, theirs = self.times.get(reference), self.times.get(peer)
        if not ours or not theirs:
            return None
        return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))

    @property
    def ours(self) -> str:
        """The row that stands for symgrad: the fastest of those with arrays given to it."""
        given = [name for name in ("symgrad_bound", "symgrad_out") if name in self.times]
        medians = {name: statistics.median(self.times[name]) for name in given}
        return min(medians, key=medians.__getitem__, default="symgrad")

    def best(self) -> tuple[str, float] | None:
        """Return the fastest peer and its ratio to symgrad."""
        ratios = {
            name: ratio
            for name in self.times
            if not name.startswith("symgrad")
            and (ratio := self.ratio(name, self.ours)) is not None
        }
        return min(ratios.items(), key=lambda item: item[1]) if ratios else None


def error_of(results: Sequence[Any], reference: Sequence[Any]) -> float:
    """Return the largest error, relative to the exact number and the typical one.

    Numbers much smaller than the typical result of their kind (the median over the
    points; for losses over all results) are held to an absolute bound.
    """
    if len(results) != len(reference):
        return math.inf
    wanted = [np.asarray(r, np.float64) for r in reference]
    everything = np.concatenate([np.abs(w).reshape(-1) for w in wanted])
    worst = 0.0
    for result, exactly in zip(results, wanted, strict=True):
        got = np.asarray(result, np.float64)
        if got.size not in (exactly.size, 1):
            return math.inf
        got = np.broadcast_to(got.reshape(-1), (max(exactly.size, 1),))
        true = exactly.reshape(-1)
        size = np.abs(true)
        typical = np.median(size) if true.size > 1 else np.median(everything)
        error = np.abs(got - true) / (size + typical)
        worst = max(worst, math.inf if np.isnan(error).any() else float(error.max()))
    return worst


def prepare(peer: Peer, problem: Problem) -> Runner:
    """Make a peer ready; whatever it raises becomes `UnavailableError`."""
    if problem.dtype not in peer.dtypes:
        raise UnavailableError(f"no {problem.dtype}")
    try:
        return peer.prepare(problem)
    except UnavailableError:
        raise
    except Exception as error:
        text = str(error).strip().split("\n")[0][:200]
        raise UnavailableError(f"fails: {type(error).__name__}: {text}") from error


def _results(runner: Runner) -> Sequence[Any]:
    try:
        return runner.read(runner.run())
    except Exception as error:
        raise UnavailableError(f"fails when called: {type(error).__name__}: {error}") from error


def _checked(
    peer: Peer, problem: Problem, reference: Sequence[Any], tolerance: float
) -> tuple[Runner, float]:
    """Return a runner whose results are right, and its error."""
    runner = prepare(peer, problem)
    error = error_of(_results(runner), reference)
    if not error <= tolerance:
        raise UnavailableError(f"WRONG: error {error:.1e} at {problem.points} points")
    return runner, error


def measure_case(workload: str, points: int, dtype: str, plan: Plan) -> Case:
    """Check and time all peers of a plan on one problem."""
    case = Case(workload, points, dtype)
    problem = make_problem(WORKLOADS[workload], points, dtype)
    sample = problem.first(min(SAMPLE, points))
    on_sample, tolerances = exact(sample), TOLERANCE[dtype]
    everywhere = in_doubles(problem)
    # Whole runners are kept: the arrays behind pointers belong to `run` or to `read`.
    runners: dict[str, Runner] = {}
    for name in plan.peers:
        if not PEERS[name].suits(problem.workload):
            continue
        plan.say(f"  {name}")
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                _, error = _checked(PEERS[name], sample, on_sample, tolerances[0])
                runner, _ = _checked(PEERS[name], problem, everywhere, tolerances[1])
            except UnavailableError as reason:
                case.skipped[name] = str(reason)
                plan.say(f"    skipped: {reason}")
            else:
                case.errors[name] = error
                runners[name] = runner
    with contextlib.suppress(UnavailableError):
        runners[_MEMORY] = memory_only(problem)
    runs = {name: runner.run for name, runner in runners.items()}
    case.times = timed_rounds(runs, plan.rounds, clock=plan.clock)
    case.memory = case.times.pop(_MEMORY, [])
    return case


def timed_rounds(
    runs: Mapping[str, Callable[[], Any]],
    rounds: int,
    seconds: float = SECONDS,
    clock: Clock = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of one call, for each round: A B C ..., B C ... A, C ... A B.

    Args:
        runs: what to time.
        rounds: how often to go round.
        seconds: how long one timing lasts at least.
        clock: of the wall, or of the processor.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    # What is there by now needs no collection before each timing.
    gc.freeze()
    try:
        repeats = {name: _repeats(run, seconds, clock) for name, run in runs.items()}
        for turn in range(rounds):
            shift = turn % len(names) if names else 0
            for name in names[shift:] + names[:shift]:
                times[name].append(_time(runs[name], repeats[name], clock))
    finally:
        gc.unfreeze()
    return times


def warm_up(call: Callable[[], Any], seconds: float = 0.5) -> None:
    """Call for a while: who compiles what is called often has done so afterwards."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        call()


def _repeats(run: Callable[[], Any], seconds: float, clock: Clock) -> int:
    """Warm up, and return how many calls one timing takes."""
    shortest = max(1e-9, min(_time(run, 1, clock) for _ in range(3)))
    if shortest > LONG:
        return 1
    if shortest < seconds / 100:
        shortest = _time(run, max(int(seconds / 10 / shortest), 1), clock)
    return max(CALLS, math.ceil(seconds / shortest))


def _time(run: Callable[[], Any], calls: int, clock: Clock) -> float:
    gc.collect()
    gc.disable()
    try:
        with np.errstate(all="ignore"):
            start = clock()
            for _ in range(calls):
                run()
            return (clock() - start) / calls
    finally:
        gc.enable()
