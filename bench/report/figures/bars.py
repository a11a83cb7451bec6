"""Bars, dots, intervals and cells: win rates, metrics, stages of latency, throughput, time to picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from bench.records import FELT_STAGES
from bench.report.figures.style import (
    COLOURS,
    WIDTHS,
    Style,
    Theme,
    error_bars,
    new_figure,
    row_height,
    shortened,
)
from bench.report.tables.form import NONE, Estimate, number
from bench.report.tables.votes import excludes_half, win_interval
from bench.report.timings import Felt, Stages

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def stage_bars(
    rows: Sequence[Stages],
    look: Mapping[str, Style],
    width: str,
    theme: Theme,
    *,
    reference: tuple[float, str] | None = None,
) -> Figure:
    """Stacked bars of prompt encoding, denoising and decoding, milliseconds an image; one bar a contender."""
    figure, (axes,) = new_figure(width, 0.75 + row_height(0.22, len(rows), 0.75) * len(rows), theme)
    shades = {"encode": 0.45, "denoise": 1.0, "decode": 0.7}
    places = range(len(rows))
    left = [0.0] * len(rows)
    for stage, shade in shades.items():
        values = [getattr(row, stage) for row in rows]
        colours = [(look[row.contender].colour, shade) for row in rows]
        axes.barh(places, values, left=left, color=colours, edgecolor=theme.paper, linewidth=0.6, height=0.72)
        left = [start + value for start, value in zip(left, values, strict=True)]
    ends = [max(start, row.total) for start, row in zip(left, rows, strict=True)]
    edge = _edge(ends)
    for place, (row, end) in enumerate(zip(rows, ends, strict=True)):
        text = f"{row.total:.0f}" if row.total >= 100 else f"{row.total:.3g}"
        if end <= edge:
            axes.text(end + edge * 0.012, place, text, va="center", fontsize=6.5, color=theme.ink)
        else:  # cut at the edge and marked
            axes.text(
                edge * 1.02, place, f"▸ {text}", va="center", fontsize=6.5, color=theme.ink, weight="bold"
            )
    if reference:
        edge = max(edge, reference[0])
        _reference_line(axes, *reference, theme, end=edge)
    axes.set_yticks(list(places), [shortened(row.contender) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, edge * (1.12 if max(ends) <= edge else 1.0))
    axes.set_xlabel("Milliseconds an image (median)" + ("; ▸: beyond the axis" if max(ends) > edge else ""))
    axes.grid(axis="y", visible=False)
    _stage_legend(figure, shades, theme)
    return figure


def _edge(ends: Sequence[float]) -> float:
    """Where the axis of the bars ends: at the longest, or short of bars that would leave nothing of the others."""
    ordered = sorted(ends, reverse=True)
    for longer, shorter in list(pairwise(ordered))[: max(1, len(ordered) // 3)]:
        if longer > 4 * shorter > 0:
            return 1.6 * shorter
    return ordered[0] or 1.0


def within_reach(rows: Sequence[Stages], milliseconds: float) -> bool:
    """Whether a line there leaves the bars of `stage_bars` readable."""
    return milliseconds <= 1.5 * _edge([row.total for row in rows])


def _reference_line(axes: Axes, place: float, label: str, theme: Theme, *, end: float) -> None:
    """end: of the axis; the words stand on the side of the line that has more room."""
    axes.axvline(place, color=theme.ink, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0.9)
    side = "left" if place < end / 2 else "right"
    axes.annotate(
        label, (place, 1.0), xycoords=("data", "axes fraction"), xytext=(2 if side == "left" else -2, 2),
        textcoords="offset points", fontsize=6, color=theme.soft, ha=side, va="bottom",
    )  # fmt: skip


def _stage_legend(figure: Figure, shades: Mapping[str, float], theme: Theme) -> None:
    from matplotlib.patches import Patch

    names = {"encode": "prompt encoding", "denoise": "denoising", "decode": "decoding"}
    handles = [Patch(facecolor=(theme.soft, shade), label=names[s]) for s, shade in shades.items()]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3,
        fontsize=6.5,
        frameon=False,
        labelcolor=theme.ink,
        columnspacing=1.2,
        handlelength=1.4,
    )


def win_forest(
    chosen: str,
    by_question: Mapping[str, Mapping[str, Estimate]],
    order: Sequence[str],
    width: str,
    theme: Theme,
) -> Figure:
    """The chosen contender's win rate against each rival, a panel a question; reads the same in grey.

    Filled: the 95% interval excludes 50%; hollow: it does not.
    """
    rivals = [name for name in order if any(name in wins for wins in by_question.values())]
    across = len(by_question) if width == "two" and len(by_question) <= 3 else 1
    down = math.ceil(len(by_question) / across)
    row = row_height(0.2, down * len(rivals), 0.65 * down + 0.1)
    height = down * (0.65 + row * len(rivals)) + 0.1
    figure, panels = new_figure(width, height, theme, rows=down, columns=across)
    for index, (axes, (question, wins)) in enumerate(zip(panels, by_question.items(), strict=False)):
        for place, rival in enumerate(rivals):
            _forest_row(axes, place, wins.get(rival), theme)
        axes.axvline(50, color=theme.ink, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        axes.set_xlim(0, 100)
        axes.set_ylim(len(rivals) - 0.5, -0.5)
        labels = [f"vs {shortened(name)}" for name in rivals] if index % across == 0 else [""] * len(rivals)
        axes.set_yticks(range(len(rivals)), labels)
        axes.set_title(question, fontsize=8, color=theme.ink)
        axes.set_xlabel(f"Win rate of {shortened(chosen)} (%)")
        axes.grid(axis="y", visible=False)
    for axes in panels[len(by_question) :]:
        axes.set_visible(False)
    return figure


def _forest_row(axes: Axes, place: int, win: Estimate | None, theme: Theme) -> None:
    if win is None or win.value is None:
        axes.text(51, place, "no votes", va="center", fontsize=6.5, color=theme.soft)
        return
    clear = excludes_half(win)
    axes.errorbar(
        [win.value], [place], xerr=error_bars(win), fmt="s", color=theme.ink, markersize=4,
        markerfacecolor=theme.ink if clear else theme.paper, markeredgewidth=0.9, elinewidth=1.1, capsize=2,
        zorder=2,
    )  # fmt: skip
    n = "" if win.n is None else f"  ({win.n})"
    axes.text(
        1.02, place, f"{win.value:.0f}%{n}", transform=axes.get_yaxis_transform(), va="center", fontsize=6,
        color=theme.ink, weight="bold" if clear else "normal",
    )  # fmt: skip


FEW_VOTES = 30
"""A cell of fewer votes has grey figures and no colour."""


def few(cell: Estimate) -> bool:
    """Whether a cell has too few votes to be coloured."""
    return cell.n is not None and cell.n < FEW_VOTES


def win_cells(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[Estimate | None]],
    width: str,
    theme: Theme,
    *,
    across: str = "",
) -> Figure:
    """Win rates in per cent as cells: bold and coloured where the interval excludes 50, blue above it, orange below."""
    rows, columns = [shortened(name) for name in rows], [shortened(name) for name in columns]
    beside = max(0.26 * WIDTHS[width], 0.1 + 0.055 * max((len(name) for name in rows), default=0))
    inches = max(0.1, WIDTHS[width] - beside) / max(len(columns), 1)
    long = max((len(name) for name in columns), default=0)
    above = 0.5 + 0.055 * min(long, 28)
    side = row_height(max(0.16, min(inches, 0.42)), len(rows), above)
    figure, (axes,) = new_figure(width, above + side * len(rows), theme)
    size = max(2.5, min(6.5, 18 * inches))
    roomy = min(inches, side + 0.15) > 0.4
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if cell is None or cell.value is None:
                axes.text(j, i, NONE, ha="center", va="center", fontsize=size, color=theme.soft)
                continue
            clear, ink = excludes_half(cell), theme.soft if few(cell) else theme.ink
            if clear and not few(cell):
                colour = (COLOURS[0] if cell.value >= 50 else COLOURS[1], min(0.8, abs(cell.value - 50) / 60))
                axes.fill_between([j - 0.5, j + 0.5], i - 0.5, i + 0.5, color=colour, linewidth=0)
            weight = "bold" if clear else "normal"
            shown = win_interval(cell) if roomy else ""
            axes.text(j, i - (0.16 if shown else 0), number(cell.value, 0), ha="center", va="center", fontsize=size,
                      color=ink, weight=weight)  # fmt: skip
            axes.text(j, i + 0.24, shown, ha="center", va="center", fontsize=5, color=ink)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False)
    slanted = long * 0.055 > inches
    axes.set_xticks(range(len(columns)), columns, rotation=90 if slanted else 0, fontsize=size)
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if across:
        axes.set_xlabel(across)
    return figure


def metric_dots(
    panels: Sequence[tuple[str, Mapping[str, Estimate]]],
    order: Sequence[str],
    look: Mapping[str, Style],
    width: str,
    theme: Theme,
) -> Figure:
    """One panel a metric, one dot a contender, 95% intervals; every panel has its own axis."""
    across = min(len(panels), 1 if width == "one" else 3)
    down = math.ceil(len(panels) / across)
    row = row_height(0.17, down * len(order), 0.55 * down + 0.1)
    height = down * (0.55 + row * len(order)) + 0.1
    figure, axes_list = new_figure(width, height, theme, rows=down, columns=across)
    for index, (axes, (title, values)) in enumerate(zip(axes_list, panels, strict=False)):
        for place, name in enumerate(order):
            estimate = values.get(name)
            if estimate is None or estimate.value is None:
                continue
            axes.errorbar(
                [estimate.value],
                [place],
                xerr=error_bars(estimate),
                fmt=look[name].marker,
                color=look[name].colour,
                markersize=4.5,
                elinewidth=1.2,
            )
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.set_yticks(
            range(len(order)), [shortened(n) for n in order] if index % across == 0 else [""] * len(order)
        )
        axes.set_title(title, fontsize=8, color=theme.ink)
        axes.margins(x=0.12)
        axes.locator_params(axis="x", nbins=4)
    for axes in axes_list[len(panels) :]:
        axes.set_visible(False)
    return figure


_FELT_LOOK = {
    "network": (0.18, ""),
    "wait": (0.18, "////"),
    "encode": (0.45, ""),
    "denoise": (1.0, ""),
    "decode": (0.7, ""),
    "paint": (0.3, "\\\\\\\\"),
}
"""Opacity and hatch of a stage in its contender's colour; the three that compute look as in the latency figure.

Lines, not dots: an SVG of dots is twenty times as large."""


def felt_bars(
    rows: Sequence[Felt],
    look: Mapping[str, Style],
    width: str,
    theme: Theme,
    *,
    reference: tuple[float, str] | None = None,
) -> Figure:
    """Keystroke to picture: medians of the stages stacked, p50 and p95 of the whole as marks."""
    from matplotlib.patches import Patch

    figure, (axes,) = new_figure(width, 0.95 + row_height(0.24, len(rows), 0.95) * len(rows), theme)
    for place, row in enumerate(rows):
        left = 0.0
        for stage in FELT_STAGES:
            value = row.stages.get(stage, 0.0)
            opacity, hatch = _FELT_LOOK[stage]
            axes.barh(place, value, left=left, color=(look[row.contender].colour, opacity), hatch=hatch,
                      edgecolor=theme.paper, linewidth=0.5, height=0.68)  # fmt: skip
            left += value
        p50 = row.total.value or 0.0
        axes.plot([p50, row.p95], [place, place], color=theme.ink, linewidth=0.9, zorder=3)
        axes.plot([p50], [place], marker="|", color=theme.ink, markersize=6, zorder=3)
        axes.plot([row.p95], [place], marker=">", color=theme.ink, markersize=3.2, zorder=3)
        axes.annotate(f"{p50:.0f} · p95 {row.p95:.0f}", (max(row.p95, left), place), xytext=(5, 0),
                      textcoords="offset points", va="center", fontsize=6.5, color=theme.ink)  # fmt: skip
    longest = max((max(row.p95, sum(row.stages.values())) for row in rows), default=1.0)
    if reference:
        longest = max(longest, reference[0])
        _reference_line(axes, *reference, theme, end=1.3 * longest)
    axes.set_yticks(range(len(rows)), [shortened(row.contender) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, longest * 1.3)
    axes.set_xlabel("Milliseconds from keystroke to picture")
    axes.grid(axis="y", visible=False)
    handles = [
        Patch(facecolor=(theme.soft, opacity), hatch=hatch, edgecolor=theme.paper, linewidth=0.5, label=stage)
        for stage, (opacity, hatch) in _FELT_LOOK.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6 if width == "two" else 3, fontsize=6.5,
                  frameon=False, labelcolor=theme.ink, columnspacing=1.2, handlelength=1.6)  # fmt: skip
    return figure


def throughput_dots(
    rows: Mapping[str, Mapping[int, float]],
    look: Mapping[str, Style],
    width: str,
    theme: Theme,
) -> Figure:
    """Images a second at each batch size that was timed, log axis: small batch hollow, the largest filled."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure, (axes,) = new_figure(width, 0.6 + row_height(0.2, len(rows), 0.6) * len(rows), theme)
    for place, (name, by_batch) in enumerate(rows.items()):
        style, batches = look[name], sorted(by_batch)
        rates = [by_batch[batch] for batch in batches]
        axes.plot(rates, [place] * len(rates), color=style.colour, linewidth=1.2, zorder=1)
        for batch, rate in zip(batches, rates, strict=True):
            face = style.colour if batch == batches[-1] else theme.paper
            axes.plot([rate], [place], marker=style.marker, markersize=5, markerfacecolor=face,
                      markeredgecolor=style.colour, linestyle="none", zorder=2)  # fmt: skip
        label = f"{rates[-1]:.3g}/s, batch {batches[-1]}"
        axes.annotate(label, (max(rates), place), xytext=(6, 0), textcoords="offset points", va="center",
                      fontsize=6.5, color=theme.ink)  # fmt: skip
    everything = [rate for by_batch in rows.values() for rate in by_batch.values()]
    axes.set_xscale("log")
    low, high = min(everything) / 1.4, max(everything)
    axes.set_xlim(low, high * (high / low) ** (0.5 if width == "one" else 0.22) * 1.1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(rows)), [shortened(name) for name in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("Images a second (log)")
    return figure
