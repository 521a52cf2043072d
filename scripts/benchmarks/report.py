"""The results as Markdown and JSON."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .growth import Member
from .latency import Latency
from .measure import Case
from .peers import PEERS
from .processes import FirstGradient, Memory
from .workloads import WORKLOADS

__all__ = ["Results", "as_json", "as_markdown", "geometric_mean", "machine", "table"]


_CLOCKS = {
    "wall": "times are of the clock on the wall",
    "cpu": "times are those of the processor, which leave out what other processes take",
}


@dataclass
class Results:
    """Everything that was measured, and where."""

    command: str
    date: str
    machine: dict[str, str]
    rounds: int
    clock: str = "wall"
    cases: list[Case] = field(default_factory=list)
    latency: list[Latency] = field(default_factory=list)
    first: list[FirstGradient] = field(default_factory=list)
    imports: dict[str, float] = field(default_factory=dict)
    memory: list[Memory] = field(default_factory=list)
    growth: list[Member] = field(default_factory=list)
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)


def machine() -> dict[str, str]:
    """Return what the numbers depend on: processor, system, versions."""
    facts = {
        "processor": _processor(),
        "cores": f"{os.cpu_count()}, of which one is used",
        "system": platform.platform(),
        "python": platform.python_version(),
        "gcc": _gcc(),
    }
    names = {"numpy", "llvmlite", *(peer.version_of for peer in PEERS.values())} - {""}
    for name in sorted(names):
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip() + _vectors(path)
    return platform.processor() or platform.machine()


def _vectors(path: Path) -> str:
    flags = path.read_text(encoding="utf-8")
    for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")):
        if flag in flags:
            return f" ({name})"
    return ""


def _gcc() -> str:
    compiler = os.environ.get("CC") or shutil.which("gcc")
    if compiler is None:
        return "not installed"
    command = [compiler, "-dumpfullversion"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or "unknown"


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean, NaN of nothing."""
    if not ratios:
        return math.nan
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return the lines of a Markdown table; all but the first columns flush right."""
    lines = [head, [":--" if k < left else "--:" for k in range(len(head))], *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def as_markdown(results: Results) -> str:
    """Return the whole report."""
    lines = ["# symgrad and its peers", "", *_where(results), ""]
    lines += [*_summary(results.cases), ""]
    for dtype, points in _groups(results.cases):
        lines += [*_points_table(results.cases, dtype, points), ""]
    lines += [*_latency(results), *_first(results), *_memory(results)]
    lines += _growth(results)
    lines += [*_skipped(results), "", *_method(results)]
    return "\n".join(lines) + "\n"


def _where(results: Results) -> Iterator[str]:
    yield f"{results.date}, `{results.command}`"
    yield ""
    yield "; ".join(f"{name} {value}" for name, value in results.machine.items()) + "."


def _groups(cases: Sequence[Case]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((case.dtype, case.points) for case in cases))


def _best_ratios(cases: Sequence[Case]) -> list[float]:
    return [best[1] for case in cases if (best := case.best()) is not None]


def _summary(cases: Sequence[Case]) -> Iterator[str]:
    yield "## In short"
    yield ""
    yield (
        "How many times longer the fastest peer takes, C included: the geometric mean over "
        "the workloads, and the worst."
    )
    yield ""
    rows = []
    for dtype, points in [*_groups(cases), ("all", 0)]:
        chosen = [c for c in cases if dtype == "all" or (c.dtype, c.points) == (dtype, points)]
        ranked = [(c.best(), c) for c in chosen]
        known = [(best[1], best[0], c) for best, c in ranked if best is not None]
        if not known:
            continue
        ratio, peer, case = min(known, key=lambda item: item[0])
        where = f"{ratio:.2f} ({WORKLOADS[case.workload].title}, {PEERS[peer].title})"
        mean = geometric_mean([r for r, _, _ in known])
        wins = sum(r > 1 for r, _, _ in known)
        size = f"{points:,}" if points else "all"
        rows.append([dtype, size, f"**{mean:.2f}**", where, f"{wins} of {len(known)}"])
    yield from table(["dtype", "points", "mean", "worst", "symgrad fastest"], rows, 2)


def _points_table(cases: Sequence[Case], dtype: str, points: int) -> Iterator[str]:
    chosen = [c for c in cases if (c.dtype, c.points) == (dtype, points)]
    names = [name for name in PEERS if any(name in c.times for c in chosen)]
    yield f"## {points:,} points, {dtype}"
    yield ""
    yield (
        "Nanoseconds per point for the value and all derivatives together; the ratio compares "
        "the fastest peer with symgrad, and 'memory' is the part of symgrad's time that a loop "
        "takes which reads the arrays, adds them up and writes as many results."
    )
    yield ""
    rows = []
    for case in chosen:
        cells = [_number(case.nanoseconds(name)) for name in names]
        best = case.best()
        fastest, ratio = (PEERS[best[0]].title, f"**{best[1]:.2f}**") if best else ("-", "-")
        share = case.share_of_memory()
        memory = "-" if share is None else f"{100 * share:.0f} %"
        rows.append([WORKLOADS[case.workload].title, *cells, fastest, ratio, memory])
    mean = geometric_mean(_best_ratios(chosen))
    rows.append(["geometric mean", *_means(chosen, names), "", f"**{mean:.2f}**", ""])
    head = ["", *(PEERS[name].title for name in names), "fastest peer", "ratio", "memory"]
    yield from table(head, rows)


def _means(cases: Sequence[Case], names: Sequence[str]) -> list[str]:
    """Return how many times longer each system takes than symgrad, over the workloads."""
    cells = []
    for name in names:
        ratios = [r for c in cases if (r := c.ratio(name, c.ours)) is not None]
        cells.append(f"x {geometric_mean(ratios):.2f}" if ratios else "-")
    return cells


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _latency(results: Results) -> Iterator[str]:
    if not results.latency:
        return
    yield "## A call with plain numbers"
    yield ""
    yield "Microseconds, `z = y*log(x) + sin(y)` at x=2, y=3."
    yield ""
    rows = [[r.title, _number(r.value), _number(r.gradient)] for r in results.latency]
    yield from table(["", "value", "value and gradient"], rows)
    yield ""


def _first(results: Results) -> Iterator[str]:
    if results.first:
        yield "## Time to the first gradient"
        yield ""
        yield (
            "Seconds for a whole process: start, import, compile, one gradient. Cold means "
            "empty caches of compiled code, warm the second run with the same caches."
        )
        yield ""
        rows = [
            [_title(r.name), f"{r.cold:.2f}", "-" if r.warm is None else f"{r.warm:.2f}"]
            for r in results.first
        ]
        yield from table(["", "cold", "warm"], rows)
        yield ""
    if results.imports:
        parts = [f"{name} {1000 * t:.0f} ms" for name, t in results.imports.items()]
        yield f"Imports in a new process: {', '.join(parts)}."
        yield ""


def _title(name: str) -> str:
    """Return the title of a peer; what follows a comma tells two of its programs apart."""
    peer, comma, variant = name.partition(",")
    return f"{PEERS[peer].title}{comma}{variant}" if peer in PEERS else name


def _memory(results: Results) -> Iterator[str]:
    if not results.memory:
        return
    yield "## Peak memory of value and gradient"
    yield ""
    yield "symgrad, float64, MB."
    yield ""
    rows = [
        [
            m.workload,
            f"{m.points:,}",
            *(f"{b / 1e6:.0f}" for b in (m.inputs, m.outputs, m.more)),
        ]
        for m in results.memory
    ]
    yield from table(["", "points", "inputs", "outputs", "more at the peak"], rows)
    yield ""


def _growth(results: Results) -> Iterator[str]:
    rows = results.growth
    if not rows:
        return
    systems = [name for name in PEERS if any(name in row.build for row in rows)]
    titles = [PEERS[name].title for name in systems]
    tables = (
        ("from the text, or the SymPy matrix, to the first result, in seconds", "build", 1.0),
        ("of a later call with numbers, in microseconds", "call", 1e6),
    )
    yield "## Formulas that grow"
    yield ""
    yield (
        "Value and gradient, or the Jacobian of the equations of motion of a pendulum of n "
        "links on a cart by all states; every number in a process of its own, without imports."
    )
    yield ""
    for what, key, unit in tables:
        yield f"Time {what}:"
        yield ""
        head = ["", "n", "operations", "with derivatives", *titles]
        cells = []
        for row in rows:
            times = {name: unit * t for name, t in getattr(row, key).items()}
            found = [_significant(times.get(name)) for name in systems]
            cells.append(
                [row.title, f"{row.size:,}", f"{row.forward:,}", f"{row.gradient:,}", *found]
            )
        yield from table(head, cells)
        yield ""


def _significant(value: float | None) -> str:
    """Return a number with two digits that count."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _skipped(results: Results) -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in results.cases:
        for name, reason in case.skipped.items():
            where = f"{case.workload} {case.dtype}"
            found = reasons.setdefault((PEERS[name].title, reason), [])
            if where not in found:
                found.append(where)
    for row in results.growth:
        for name, reason in row.skipped.items():
            found = reasons.setdefault((_title(name), reason), [])
            found.append(f"{row.family} {row.size}")
    for section, more in results.skipped.items():
        for name, reason in more.items():
            reasons.setdefault((_title(name), reason), []).append(section)
    if not reasons:
        return
    yield "## Left out"
    yield ""
    everywhere = len({(c.workload, c.dtype) for c in results.cases})
    for (title, reason), places in reasons.items():
        where = "everywhere" if len(places) == everywhere > 1 else ", ".join(places)
        yield f"- {title}: {reason} ({where})"


def _method(results: Results) -> Iterator[str]:
    yield "## Method"
    yield ""
    yield (
        f"One thread, pinned to one core; {_CLOCKS[results.clock]}. Before it is timed, every "
        "system is compared with 40-digit arithmetic at 200 points and with doubles at all "
        f"points; who is wrong is left out. Then {results.rounds} rounds go through all "
        "systems in turn, each starting with another one; one timing repeats the call for at "
        "least 20 ms. Times are medians over rounds, ratios are medians of the ratios within "
        "each round, so they need not be exactly the quotients of the times."
    )
    yield ""
    used = {name for case in results.cases for name in case.times}
    for name, peer in PEERS.items():
        if name in used:
            yield f"- {peer.title}: {peer.note}."


def as_json(results: Results) -> dict[str, Any]:
    """Return everything as plain data; times are seconds of one call, round by round."""
    return {
        "command": results.command,
        "date": results.date,
        "machine": results.machine,
        "clock": results.clock,
        "cases": [
            {
                "workload": c.workload,
                "points": c.points,
                "dtype": c.dtype,
                "symgrad": c.ours,
                "ns_per_point": {name: c.nanoseconds(name) for name in c.times},
                "ratio": {name: c.ratio(name, c.ours) for name in c.times},
                "seconds": c.times,
                "memory": c.memory,
                "error": c.errors,
                "skipped": c.skipped,
            }
            for c in results.cases
        ],
        "latency_us": [row._asdict() for row in results.latency],
        "first_gradient_s": [row._asdict() for row in results.first],
        "imports_s": results.imports,
        "memory_bytes": [row._asdict() for row in results.memory],
        "growth_s": [asdict(row) for row in results.growth],
        "skipped": results.skipped,
    }
