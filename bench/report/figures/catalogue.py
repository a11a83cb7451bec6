"""Which figures a report has, from what the folder holds: each with its name, its caption and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.report.figures import bars
from bench.report.figures.headline import Point, pareto, quality_against_seconds
from bench.report.figures.style import Style, Theme, styles
from bench.report.preferences import OVERALL
from bench.report.published import TURBO_A100
from bench.report.results import Results, model_of
from bench.report.tables.form import DOWN, UP, Estimate
from bench.report.tables.metrics import label, metric_columns, people_on
from bench.report.tables.speed import FELT_REFERENCE, throughput
from bench.report.tables.votes import slice_cells, slice_rows, win_matrix, wins_of
from bench.report.timings import felt_of, seconds_an_image, stages_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LATENCY_ROWS = 40
"""More bars than that are no longer read; the table has them all."""
MOST_CELLS = 16
"""Contenders up to which a matrix of cells is drawn; beyond, the table has it."""
MOST_PANELS = 6
"""Metrics below each other that one column of a paper can hold."""
MOST_NARROW = 8
"""Cells beside each other that one column of a paper can hold in readable type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    name: str
    """File stem."""
    caption: str
    draw: Callable[[str, Theme], Figure]
    """Width and theme to figure."""
    broad: bool = False
    """One column of a paper is too narrow for it: its file is made for two."""
    on_page: bool = True
    """False: the page has the same as a table of cells; only the paper needs the drawing."""


def all_drawings(results: Results) -> list[Drawing]:
    """Every figure that has data, in the order of the page."""
    look = styles(results.contenders)
    found = [
        _headline(results, look), _wins(results, look), _matrix(results), _slices(results, "category"),
        _slices(results, "challenge"), _metrics(results, look), _latency(results, look),
        _throughput(results, look), _felt(results, look),
    ]  # fmt: skip
    return [drawing for drawing in found if drawing is not None]


def _headline(results: Results, look: dict[str, Style]) -> Drawing | None:
    preference = results.headline
    if preference and preference.ratings:
        quality = {r.contender: Estimate(value=r.rating, low=r.low, high=r.high) for r in preference.ratings}
        what, up = "Rating", True
        whose = " by simulated votes" if results.simulated_votes else " by people's votes"
    elif results.scores:
        first = metric_columns(results.scores)[0]
        rows = [s for s in results.scores if (s.metric, s.fingerprint) == first]
        quality = {s.contender: Estimate(value=s.value, low=s.low, high=s.high) for s in rows}
        what, up = label(first[0]), rows[0].higher_is_better
        whose = ", a metric and not people's judgement"
    else:
        return None
    points = []
    for name in results.contenders:
        seconds = seconds_an_image(results, name)
        value = quality.get(name)
        if seconds and value and value.value is not None:
            points.append(Point(contender=name, model=model_of(name)[0], seconds=seconds, quality=value))
    if not points:
        return None
    told = ""
    if len(pareto(points, up=up)) > 1:
        told += " Dashed: the Pareto front."
    if len({point.model for point in points}) < len(points):
        told += " Lines join step counts of one model."
    return Drawing(
        name="headline",
        caption=f"{what}{whose}, against seconds an image; upper left is better. Bars: 95% intervals.{told}",
        draw=lambda width, theme: quality_against_seconds(points, look, width, theme, label=what, up=up),
    )


def _wins(results: Results, look: dict[str, Style]) -> Drawing | None:
    names = [name for name in results.preferences if name != OVERALL] or list(results.preferences)
    wins = {name: wins_of(results.preferences[name], results.chosen) for name in names}
    wins = {name: found for name, found in wins.items() if found}
    if not wins:
        return None
    simulated = "Simulated votes. " if results.simulated_votes else ""
    return Drawing(
        name="win-rates",
        caption=f"{simulated}How often {results.chosen} is preferred to each rival, by question; ties half, "
        "95% intervals, dashed line at 50%.",
        draw=lambda width, theme: bars.win_bars(results.chosen, wins, results.contenders, look, width, theme),
    )


def _matrix(results: Results) -> Drawing | None:
    headline = results.headline
    if headline is None or not headline.win_rates or len(results.contenders) > MOST_CELLS:
        return None
    cells = win_matrix(headline, results.contenders)
    names = [name for name, _ in cells]
    simulated = "Simulated votes. " if results.simulated_votes else ""
    return Drawing(
        name="matrix",
        caption=f"{simulated}Win rate of the row against the column, per cent, ties half. Bold: the 95% interval "
        "leaves 50% out.",
        on_page=False,
        broad=len(names) > MOST_NARROW,
        draw=lambda width, theme: bars.win_cells(names, names, [row for _, row in cells], width, theme),
    )


def _slices(results: Results, by: str) -> Drawing | None:
    """Levels stand below each other where they are more than the contenders, so that cells stay readable."""
    levels = slice_rows(results, by)
    if not levels or min(len(results.contenders), len(levels)) > MOST_CELLS:
        return None
    cells = slice_cells(results, by)
    names, heads = [name for name, _ in cells], [part.level for part in levels]
    body = [list(row) for _, row in cells]
    if len(heads) > len(names):
        names, heads, body = heads, names, [list(column) for column in zip(*body, strict=True)]
    simulated = "Simulated votes. " if results.simulated_votes else ""
    return Drawing(
        name=f"by-{by}",
        caption=f"{simulated}Mean win rate by {by}, per cent. Bold: the 95% interval leaves 50% out.",
        on_page=False,
        broad=len(heads) > MOST_NARROW,
        draw=lambda width, theme: bars.win_cells(names, heads, body, width, theme),
    )


def _throughput(results: Results, look: dict[str, Style]) -> Drawing | None:
    rates = {name: found for name, found in throughput(results).items() if found}
    if len({batch for found in rates.values() for batch in found}) < 2:
        return None
    rates = dict(list(rates.items())[:LATENCY_ROWS])
    return Drawing(
        name="throughput",
        caption=f"Images a second at each batch size that was timed, log axis; {results.device}. Filled: the largest.",
        draw=lambda width, theme: bars.throughput_dots(rates, look, width, theme),
    )


def _felt(results: Results, look: dict[str, Style]) -> Drawing | None:
    rows = list(felt_of(results).values())[:LATENCY_ROWS]
    if not rows:
        return None
    known = {**styles([row.contender for row in rows]), **look}
    milliseconds, told = FELT_REFERENCE
    device = results.felt_protocol.get("device") or "device not recorded"
    return Drawing(
        name="interactive",
        caption=f"From keystroke to painted picture, medians of the stages; | p50, ▸ p95; {device}. Dashed: "
        f"{milliseconds:.0f} ms, {told}.",
        draw=lambda width, theme: bars.felt_bars(
            rows, known, width, theme, reference=(milliseconds, f"{milliseconds:.0f} ms")
        ),
    )


def _metrics(results: Results, look: dict[str, Style]) -> Drawing | None:
    panels = []
    for metric, fingerprint in metric_columns(results.scores):
        rows = [s for s in results.scores if (s.metric, s.fingerprint) == (metric, fingerprint)]
        arrow = UP if rows[0].higher_is_better else DOWN
        values = {s.contender: Estimate(value=s.value, low=s.low, high=s.high) for s in rows}
        if any(estimate.value is not None for estimate in values.values()):
            agrees = people_on(results, metric, fingerprint)
            share = (
                "" if agrees is None or agrees.accuracy is None else f" · votes {100 * agrees.accuracy:.0f}%"
            )
            panels.append((f"{label(metric)} {arrow}{share}", values))
    if not panels:
        return None
    kind = "simulated" if results.simulated_votes else "decided"
    told = f" Votes: share of {kind} votes that the metric predicts." if results.people else ""
    return Drawing(
        name="metrics",
        caption=f"Metrics with 95% intervals, an axis each; the arrow says which way is better.{told}",
        broad=len(panels) > MOST_PANELS,
        draw=lambda width, theme: bars.metric_dots(panels, results.contenders, look, width, theme),
    )


def _latency(results: Results, look: dict[str, Style]) -> Drawing | None:
    rows = [stages for name in results.contenders if (stages := stages_of(results, name))][:LATENCY_ROWS]
    if not rows:
        return None
    milliseconds = TURBO_A100.total_ms or 0.0
    ours = any(model_of(name)[0] == TURBO_A100.model for name in results.contenders)
    ours = ours and bars.within_reach(rows, milliseconds)
    reference = (milliseconds, f"published, A100: {milliseconds:.0f} ms") if ours else None
    device = results.device
    return Drawing(
        name="latency",
        caption=f"Where the time of an image goes, in shades of each contender's colour; {device}."
        + (" Dashed: the published figure for SDXL Turbo on another GPU." if ours else ""),
        draw=lambda width, theme: bars.stage_bars(rows, look, width, theme, reference=reference),
    )
