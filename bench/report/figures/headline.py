"""The headline figure: quality against seconds an image, intervals on both, the Pareto front, steps joined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bench.report.figures.style import WIDTHS, Style, Theme, error_bars, legend_columns, new_figure, shortened
from bench.report.tables.form import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

MOST_LABELS = 14
"""With more points than this, names go to a legend instead of beside the points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One contender of the headline figure."""

    contender: str
    model: str
    seconds: Estimate
    """Seconds an image."""
    quality: Estimate


def pareto(points: Sequence[Point], *, up: bool = True) -> list[Point]:
    """Points no other one beats in both time and quality, fastest first."""
    sign = 1 if up else -1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.seconds.value or 0.0, -sign * (p.quality.value or 0.0))):
        if not front or sign * (point.quality.value or 0.0) > sign * (front[-1].quality.value or 0.0):
            front.append(point)
    return front


def quality_against_seconds(
    points: Sequence[Point],
    look: Mapping[str, Style],
    width: str,
    theme: Theme,
    *,
    label: str,
    up: bool = True,
) -> Figure:
    """The headline: quality against seconds an image (log), intervals on both, the Pareto front."""
    crowded = len(points) > MOST_LABELS
    height = WIDTHS[width] * (0.85 if width == "one" else 0.5)
    columns = legend_columns([p.contender for p in points], width)
    legend_height = 0.16 * math.ceil(len(points) / columns) if crowded else 0.0
    figure, (axes,) = new_figure(width, height + legend_height, theme)
    front = pareto(points, up=up)
    if len(front) > 1:
        xs = [p.seconds.value or 0.0 for p in front]
        ys = [p.quality.value or 0.0 for p in front]
        # Drawn corner by corner, not with `step`: labels keep clear of the line's own vertices.
        corners = [(xs[0], ys[0])]
        for x, y in zip(xs[1:], ys[1:], strict=True):
            corners += [(x, corners[-1][1]), (x, y)]
        dashes = (0, (4, 2))
        axes.plot(*zip(*corners, strict=True), color=theme.soft, linewidth=1.0, linestyle=dashes, zorder=1)
    for model in dict.fromkeys(p.model for p in points):
        steps = sorted((p for p in points if p.model == model), key=lambda p: p.seconds.value or 0.0)
        if len(steps) > 1:
            axes.plot(
                [p.seconds.value or 0.0 for p in steps],
                [p.quality.value or 0.0 for p in steps],
                color=theme.soft,
                linewidth=0.8,
                zorder=2,
            )
    handles = [_dot(axes, point, look[point.contender], theme) for point in points]
    axes.set_xscale("log")
    axes.set_xlabel("Seconds an image (log)")
    axes.set_ylabel(label)
    _log_ticks(axes, [p.seconds.value or 1.0 for p in points])
    if not up:
        axes.invert_yaxis()
    if crowded:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=columns,
            fontsize=5.5,
            frameon=False,
            labelcolor=theme.ink,
        )
    else:
        _label_points(figure, axes, points, theme)
    return figure


def _dot(axes: Axes, point: Point, style: Style, theme: Theme) -> Any:
    x, y = point.seconds.value or 0.0, point.quality.value or 0.0
    return axes.errorbar(
        [x],
        [y],
        xerr=error_bars(point.seconds),
        yerr=error_bars(point.quality),
        fmt=style.marker,
        color=style.colour,
        markeredgecolor=theme.paper,
        markeredgewidth=0.5,
        markersize=6,
        elinewidth=1.1,
        label=shortened(point.contender),
        zorder=3,
    )


def _log_ticks(axes: Axes, values: Sequence[float]) -> None:
    """Plain numbers at 1, 2, 5 × 10ⁿ; a log axis over less than a decade has no labels otherwise."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    low, high = min(values), max(values)
    low, high = low / 1.6, high * 1.6
    axes.set_xlim(low, high)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    wide = high / low > 300
    ticks = [m * 10.0**e for e in exponents for m in ((1,) if wide else (1, 2, 5))]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label_points(figure: Figure, axes: Axes, points: Sequence[Point], theme: Theme) -> None:
    """Names beside their points, each at the first place where it covers nothing; a thin line where that is far."""
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    taken = _ink(axes, points)
    # Those in the thick of it choose first.
    for point in sorted(points, key=lambda p: -_crowd(axes, p, points)):
        best: tuple[float, Any, Bbox, tuple[int, int]] | None = None
        for dx, dy in PLACES:
            text = _beside(axes, point, point.contender, dx, dy, theme)
            box = text.get_window_extent()
            covered = sum(_overlap(box, other) for other in taken) + 3 * _outside(box, frame)
            if best is None or covered < best[0]:
                if best:
                    best[1].remove()
                best = (covered, text, box, (dx, dy))
            else:
                text.remove()
            if best[0] == 0:
                break
        if best:
            taken.append(best[2])
            if abs(best[3][1]) > FAR:
                _beside(axes, point, "", *best[3], theme)


PLACES = tuple((dx, dy) for up in (0, 8, 16, 24, 34, 44, 54) for dy in sorted({up, -up}) for dx in (7, -7))
"""Points right of and above a dot where its name may begin or end, nearest first."""
FAR = 20
"""Points above or below the dot from which a line joins the two."""


def _beside(axes: Axes, point: Point, name: str, dx: int, dy: int, theme: Theme) -> Any:
    """The name at that place; without one, a line from there to the dot."""
    line = {"arrowstyle": "-", "color": theme.soft, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
    text = axes.annotate(
        name, (point.seconds.value or 0.0, point.quality.value or 0.0), xytext=(dx, dy),
        textcoords="offset points", ha="left" if dx > 0 else "right", va="center", fontsize=6.5, color=theme.ink,
        zorder=4, arrowprops=None if name else line,
    )  # fmt: skip
    text.set_in_layout(False)
    return text


def _crowd(axes: Axes, point: Point, points: Sequence[Point]) -> int:
    """How many dots are near one, itself among them."""
    places = [axes.transData.transform((p.seconds.value or 0.0, p.quality.value or 0.0)) for p in points]
    x, y = axes.transData.transform((point.seconds.value or 0.0, point.quality.value or 0.0))
    return sum(abs(a - x) < 60 and abs(b - y) < 40 for a, b in places)


def _ink(axes: Axes, points: Sequence[Point]) -> list[Bbox]:
    """Boxes over what a label must not cover: the dots, their bars, the joining lines."""
    from matplotlib.transforms import Bbox

    boxes = []
    for line in axes.get_lines():
        path = axes.transData.transform(line.get_xydata())
        for (x0, y0), (x1, y1) in pairwise(path):
            for k in range(21):
                x, y = x0 + (x1 - x0) * k / 20, y0 + (y1 - y0) * k / 20
                boxes.append(Bbox.from_bounds(x - 2, y - 2, 4, 4))
    for p in points:
        x, y = axes.transData.transform((p.seconds.value or 0.0, p.quality.value or 0.0))
        boxes.append(Bbox.from_bounds(x - 5, y - 5, 10, 10))
        if p.quality.low is not None and p.quality.high is not None:
            (_, y0), (_, y1) = axes.transData.transform([(1.0, p.quality.low), (1.0, p.quality.high)])
            boxes.append(Bbox.from_extents(x - 1, min(y0, y1), x + 1, max(y0, y1)))
        if p.seconds.low is not None and p.seconds.high is not None:
            (x0, _), (x1, _) = axes.transData.transform([(p.seconds.low, 1.0), (p.seconds.high, 1.0)])
            boxes.append(Bbox.from_extents(min(x0, x1), y - 2, max(x0, x1), y + 2))
    return boxes


def _overlap(a: Bbox, b: Bbox) -> float:
    """Shared area, square pixels."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(0.0, width) * max(0.0, height)


def _outside(box: Bbox, frame: Bbox) -> float:
    return box.width * box.height - _overlap(box, frame)
