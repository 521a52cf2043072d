#!/usr/bin/env python3
"""Compare symgrad with C, heyoka, PyTorch, JAX, Numba, lambdify, numexpr and CasADi.

    pip install -e ".[bench]"        peers that are missing are listed and left out
    python scripts/bench.py          everything: about an hour
    python scripts/bench.py --quick  float64, two sizes, few rounds: some minutes
    python scripts/bench.py --workloads tutorial,network --peers symgrad,c --sizes 100000

Writes report.md, results.json, picture.png and growth.png into --out and prints the report.
The method is described in scripts/benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# One thread everywhere. This must come before NumPy and every peer are imported.
for _name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
).strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from benchmarks.growth import MEMBERS, measure_growth  # noqa: E402
from benchmarks.latency import measure_latency  # noqa: E402
from benchmarks.measure import Plan, measure_case  # noqa: E402
from benchmarks.peers import PEERS  # noqa: E402
from benchmarks.picture import draw, draw_growth  # noqa: E402
from benchmarks.processes import first_gradients, import_times, peak_memory  # noqa: E402
from benchmarks.report import Results, as_json, as_markdown, machine  # noqa: E402
from benchmarks.workloads import WORKLOADS  # noqa: E402

import symgrad as sg  # noqa: E402

DTYPES = ("float64", "float32")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
SECTIONS = ("points", "latency", "first", "memory", "size")


def _names(text: str, known: Sequence[str], what: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            message = f"no {what} '{name}': choose from {', '.join(known)}"
            raise argparse.ArgumentTypeError(message)
    return names


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(float(part)) for part in text.replace("_", "").split(",") if part]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers of points")
    return sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def choice(option: str, known: Sequence[str], what: str, text: str) -> None:
        parser.add_argument(
            option,
            type=lambda value: _names(value, known, what),
            metavar="A,B",
            help=f"{text}: {', '.join(known)}",
        )

    parser.add_argument("--quick", action="store_true", help="a first impression")
    choice("--workloads", list(WORKLOADS), "workload", "what to compute")
    choice("--peers", list(PEERS), "peer", "with what")
    choice("--dtype", DTYPES, "dtype", "in which precision")
    choice("--sections", SECTIONS, "section", "which parts to measure")
    choice("--families", list(MEMBERS), "family", "which formulas that grow, for 'size'")
    parser.add_argument("--sizes", type=_sizes, metavar="N,M", help="numbers of points")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often to go round")
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu does not count what other processes take, for machines that are shared",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=Plan.patience,
        metavar="S",
        help="seconds for a first result in 'size'; who takes longer is asked no more",
    )
    parser.add_argument("--core", type=int, metavar="K", help="the core to pin to")
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench"), help="folder for the results"
    )
    return parser


def _pin(core: int | None) -> str:
    """Bind the process, and those it starts, to one core; say which."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned: the system cannot"
    chosen = max(os.sched_getaffinity(0)) if core is None else core
    try:
        os.sched_setaffinity(0, {chosen})
    except OSError as error:
        return f"not pinned: {error}"
    return f"core {chosen}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _measure(options: argparse.Namespace, results: Results, plan: Plan) -> None:
    """Measure section by section, and write what is there after every step."""
    sections = options.sections or SECTIONS
    quick: bool = options.quick
    if "points" in sections:
        for dtype in options.dtype or (DTYPES[:1] if quick else DTYPES):
            for points in options.sizes or ([1000, 100_000] if quick else [1000, 10**5, 10**6]):
                for name in options.workloads or WORKLOADS:
                    _say(f"{name}, {points:,} points, {dtype}")
                    results.cases.append(measure_case(name, points, dtype, plan))
                    _write(results, options.out)
    if "latency" in sections:
        results.latency, results.skipped["latency"] = measure_latency(plan)
    if "first" in sections:
        results.first, results.skipped["first gradient"] = first_gradients(plan)
        results.imports = import_times(plan)
    if "memory" in sections:
        results.memory, results.skipped["memory"] = peak_memory(plan, 10**7)
    if "size" in sections:
        for family in options.families or MEMBERS:
            results.growth += measure_growth(plan, [family], 2 if quick else 4)
            _write(results, options.out)
    _write(results, options.out)


def _write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(results), indent=1)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(as_markdown(results), encoding="utf-8")


def _draw(results: Results, folder: Path) -> None:
    try:
        draw(results.cases, folder / "picture.png")
        draw_growth(results.growth, folder / "growth.png")
    except ImportError as error:
        _say(f"no picture: {error}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; return the exit status."""
    options = _parser().parse_args(arguments)
    peers = options.peers or list(PEERS)
    ours = [name for name in PEERS if name.startswith("symgrad")]
    if "symgrad" in peers or not set(ours) & set(peers):
        peers = [*ours, *(name for name in peers if name not in ours)]
    given = sys.argv[1:] if arguments is None else arguments
    pinned = _pin(options.core)
    sg.set_num_threads(1)
    results = Results(
        command=shlex.join(["python", "scripts/bench.py", *given]),
        date=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        machine={**machine(), "pinned to": pinned},
        rounds=options.rounds or (3 if options.quick else 7),
        clock=options.clock,
    )
    plan = Plan(peers, results.rounds, _say, CLOCKS[options.clock], options.patience)
    with contextlib.suppress(KeyboardInterrupt):
        _measure(options, results, plan)
    _write(results, options.out)
    _draw(results, options.out)
    print(as_markdown(results))
    _say(f"written: {options.out}/report.md, results.json and pictures")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
