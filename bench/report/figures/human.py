"""Metrics against people: each contender's score and rating, a panel a metric, with intervals on both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report.figures.style import Style, Theme, error_bars, legend_columns, new_figure, shortened
from bench.report.tables.form import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One metric."""

    title: str
    higher_is_better: bool
    scores: Mapping[str, Estimate]
    """By contender."""
    agreement: str
    """How far it agrees with the votes, below the title; empty: not known."""


def metric_against_rating(
    panels: Sequence[Panel],
    ratings: Mapping[str, Estimate],
    look: Mapping[str, Style],
    width: str,
    theme: Theme,
) -> Figure:
    """Scatter of rating against score; the axis of a metric where lower is better runs to the left.

    Parameters
    ----------
    panels : the metrics, at most MOST_PANELS.
    ratings : by contender, points.
    look : colour and marker of each contender; the legend below names them.
    width : `one` or `two` columns of a paper.
    theme : colours of text and paper.
    """
    across = min(len(panels), 2 if width == "one" else 4)
    down = math.ceil(len(panels) / across)
    names = [name for name in look if name in ratings and any(name in panel.scores for panel in panels)]
    across_legend = legend_columns(names, width)
    legend = 0.15 * math.ceil(len(names) / across_legend) + 0.1
    figure, places = new_figure(width, min(8.2, 1.75 * down + legend), theme, rows=down, columns=across)
    handles = {}
    for index, (axes, panel) in enumerate(zip(places, panels, strict=False)):
        for name in names:
            score, rating = panel.scores.get(name), ratings[name]
            if score is None or score.value is None or rating.value is None:
                continue
            handles[name] = axes.errorbar(
                [score.value], [rating.value], xerr=error_bars(score), yerr=error_bars(rating),
                fmt=look[name].marker, color=look[name].colour, markersize=4.5, elinewidth=0.8,
                markeredgecolor=theme.paper, markeredgewidth=0.4, label=shortened(name),
            )  # fmt: skip
        agreement = panel.agreement.replace(", τ", "\nτ") if width == "one" else panel.agreement
        title = f"{panel.title}\n{agreement}" if agreement else panel.title
        axes.set_title(title, fontsize=6.5, color=theme.ink)
        if not panel.higher_is_better:
            axes.invert_xaxis()
        axes.locator_params(axis="x", nbins=4)
        axes.locator_params(axis="y", nbins=5)
        axes.set_ylabel("Rating" if index % across == 0 else "", fontsize=6.5)
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    figure.legend(
        handles=list(handles.values()),
        loc="outside lower center",
        ncols=across_legend,
        fontsize=5.5,
        frameon=False,
        labelcolor=theme.ink,
    )
    return figure
