"""Goodput: images a second that are answered in time, against the time that is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.records import LoadRun
from bench.report.figures.style import Style, Theme, legend_columns, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Sequence[tuple[float, float]]
"""(seconds allowed, images a second answered within them), ascending."""
LINES = ("-", "--", "-.", ":")
"""Beside the marker, so that curves can be told apart in grey."""


def goodput_curve(runs: Sequence[LoadRun]) -> list[tuple[float, float]]:
    """The best of the rates that were offered for each time allowed; a step at each latency that was measured.

    runs: of one contender; those of the scenario `server` count.
    """
    offered = [run for run in runs if run.scenario == "server"]
    limits = sorted({latency for run in offered for latency in run.latencies})
    return [(limit, max(run.goodput(limit) for run in offered)) for limit in limits]


def offline_rate(runs: Sequence[LoadRun]) -> float | None:
    """Images a second where every query waits at once, the ceiling of the curve; None: not measured."""
    rates = [run.images_a_second for run in runs if run.scenario == "offline"]
    return max(rates) if rates else None


def goodput_curves(
    curves: Mapping[str, Curve],
    ceilings: Mapping[str, float | None],
    look: Mapping[str, Style],
    width: str,
    theme: Theme,
) -> Figure:
    """A curve a contender, both axes logarithmic; a dotted line at the right edge marks its Offline rate."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    across = legend_columns(list(curves), width)
    rows = -(-len(curves) // across)
    figure, (axes,) = new_figure(width, 2.4 + 0.14 * rows, theme)
    last = max(limit for curve in curves.values() for limit, _ in curve)
    for index, (name, curve) in enumerate(curves.items()):
        points = [(limit, rate) for limit, rate in curve if rate > 0]
        limits, rates = zip(*points, strict=True)
        axes.step(
            (*limits, 1.3 * last), (*rates, rates[-1]), where="post", color=look[name].colour, linewidth=1.2,
            linestyle=LINES[index % len(LINES)], marker=look[name].marker, markersize=4,
            markevery=max(1, len(limits) // 4), label=shortened(name),
        )  # fmt: skip
        ceiling = ceilings.get(name)
        if ceiling:
            axes.plot([1.05 * last, 1.3 * last], [ceiling] * 2, ":", color=look[name].colour, linewidth=1.4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Seconds allowed from a query's arrival to its image (log)")
    axes.set_ylabel("Images a second in time (log)")
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=across,
        fontsize=5.5,
        frameon=False,
        labelcolor=theme.ink,
    )
    return figure
