"""The picture for the README: time per point of every system on every workload."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .growth import Member
from .measure import Case
from .report import geometric_mean
from .workloads import WORKLOADS

__all__ = ["choose", "draw", "draw_growth"]


class Mark(NamedTuple):
    """How a system looks: shape and colour both tell it apart."""

    label: str
    shape: str
    colour: str


#: Colours of Okabe and Ito, which colour-blind readers tell apart.
MARKS = {
    "c": Mark("C (gcc -O3 -ffast-math, libmvec)", "D", "#000000"),
    "heyoka": Mark("heyoka", "s", "#D55E00"),
    "torch_compile": Mark("torch.compile", "^", "#009E73"),
    "torch": Mark("torch", "v", "#009E73"),
    "jax": Mark("JAX", "P", "#CC79A7"),
    "numba": Mark("lambdify, Numba", "<", "#E69F00"),
    "lambdify": Mark("lambdify, NumPy", ">", "#E69F00"),
    "numexpr": Mark("numexpr", "X", "#56B4E9"),
    "casadi": Mark("CasADi", "*", "#999999"),
}
OURS = Mark("symgrad", "o", "#0072B2")

#: Marks nearer to each other than this, in powers of ten, would overlap.
NEAR = 0.045


def choose(cases: Sequence[Case]) -> list[Case]:
    """Return the cases to show: float64 and 100,000 points if there are such."""
    groups: dict[tuple[str, int], list[Case]] = {}
    for case in cases:
        if case.times:
            groups.setdefault((case.dtype, case.points), []).append(case)
    if not groups:
        return []
    return groups.get(("float64", 100_000)) or next(iter(groups.values()))


def draw(cases: Sequence[Case], path: Path) -> None:
    """Draw one row for each workload, time to the right on a logarithmic axis.

    Raises:
        ImportError: matplotlib is missing.
    """
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    plt = importlib.import_module("matplotlib.pyplot")
    shown = choose(cases)
    if not shown:
        return
    matplotlib.rcParams.update({"font.size": 9.5, "font.family": "DejaVu Sans"})
    height = 1.75 + 0.43 * len(shown)
    figure, axes = plt.subplots(figsize=(9.2, height), dpi=200, layout="constrained")
    present = [_row(axes, row, case) for row, case in enumerate(shown)]
    _frame(axes, shown)
    _titles(figure, axes, shown)
    _legend(figure, axes, {name for names in present for name in names})
    figure.savefig(path)
    plt.close(figure)


def draw_growth(members: Sequence[Member], path: Path) -> None:
    """Draw time to build and to evaluate against operations, both logarithmic.

    Raises:
        ImportError: matplotlib is missing.
    """
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    plt = importlib.import_module("matplotlib.pyplot")
    if not members:
        return
    matplotlib.rcParams.update({"font.size": 9.5, "font.family": "DejaVu Sans"})
    figure, panels = plt.subplots(1, 2, figsize=(9.2, 4.2), dpi=200, layout="constrained")
    marks = {"symgrad": OURS, **MARKS}
    titles = ("to the first value and gradient, seconds", "of a later call, seconds")
    for axes, key, title in zip(panels, ("build", "call"), titles, strict=True):
        for name, mark in marks.items():
            found = [(m.forward, getattr(m, key)[name]) for m in members if name in m.build]
            if found:
                axes.plot(*zip(*found, strict=True), **_style(mark, 7), label=mark.label)
        axes.set(xscale="log", yscale="log", xlabel="operations of the value", title=title)
        axes.grid(color="#E6E6E6")
        axes.set_axisbelow(True)
    panels[0].legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def _row(axes: Any, row: int, case: Case) -> list[str]:
    """Draw the marks of one workload; return who is there."""
    times = {name: t for name in MARKS if (t := case.nanoseconds(name)) is not None}
    ours = case.nanoseconds(case.ours)
    everyone = [*times.values(), *([] if ours is None else [ours])]
    if everyone:
        axes.hlines(row, min(everyone), max(everyone), color="#DDDDDD", linewidth=1, zorder=1)
    shifts = _shifts(times, ours)
    for name, time in times.items():
        mark = MARKS[name]
        axes.plot(
            time,
            row + shifts[name],
            **_style(mark, 6.5 if mark.shape not in "*PX" else 8),
            zorder=3,
        )
    if ours is not None:
        axes.plot(ours, row, **_style(OURS, 11), zorder=4)
        axes.annotate(
            f"{ours:.1f} ns",
            (ours, row),
            (0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=OURS.colour,
            weight="bold",
        )
    return list(times)


def _shifts(times: dict[str, float], ours: float | None) -> dict[str, float]:
    """Return by how much marks move off their row so that near ones do not overlap."""
    levels: dict[float, list[float]] = {
        0.0: [] if ours is None else [ours],
        0.24: [],
        -0.24: [],
    }
    shifts = {}
    for name, time in sorted(times.items(), key=lambda item: item[1]):
        free = [
            shift
            for shift, level in levels.items()
            if all(abs(math.log10(time / other)) >= NEAR for other in level)
        ]
        shifts[name] = free[0] if free else 0.0
        levels[shifts[name]].append(time)
    return shifts


def _style(mark: Mark, size: float) -> dict[str, Any]:
    return {
        "marker": mark.shape,
        "color": mark.colour,
        "markersize": size,
        "linestyle": "none",
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
    }


def _frame(axes: Any, cases: Sequence[Case]) -> None:
    ticker = importlib.import_module("matplotlib.ticker")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(cases)), [WORKLOADS[c.workload].title for c in cases])
    axes.set_ylim(len(cases) - 0.5, -0.7)
    axes.set_xlabel("nanoseconds per point, logarithmic (further left is faster)")
    axes.grid(axis="x", which="major", color="#E6E6E6")
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_axisbelow(True)
    axes.tick_params(length=0, which="both")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(cases)), [_verdict(c) for c in cases])
    right.tick_params(length=0, labelsize=9)
    right.spines["right"].set_visible(False)


def _verdict(case: Case) -> str:
    best = case.best()
    return f"{best[1]:.2f}" if best else ""


def _titles(figure: Any, axes: Any, cases: Sequence[Case]) -> None:
    ratios = [best[1] for case in cases if (best := case.best()) is not None]
    what = "Value and all derivatives in one call"
    figure.suptitle(
        f"{what}, {cases[0].points:,} points, {cases[0].dtype}, one thread",
        fontsize=11,
        weight="bold",
        x=0.01,
        ha="left",
    )
    if ratios:
        mean = f"fastest peer ÷ symgrad\n(geometric mean {geometric_mean(ratios):.2f})"
        axes.annotate(
            mean,
            (1.0, 1.0),
            (34, 4),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
            color="#444444",
        )


def _legend(figure: Any, axes: Any, present: set[str]) -> None:
    marks = [OURS, *(mark for name, mark in MARKS.items() if name in present)]
    handles = [
        axes.plot([], [], **_style(m, 9 if m is OURS else 7), label=m.label)[0] for m in marks
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=9,
        handletextpad=0.2,
        columnspacing=1.4,
    )
