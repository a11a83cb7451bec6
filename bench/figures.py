"""Tables → figures: matplotlib, one function a figure, every contender in its own colour everywhere.

Each function takes plain data, a width and a theme, and returns a Figure; `save` and `svg` write one out
without a clock in it, so the same data give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.store import write_bytes
from bench.table_forms import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

WIDTHS = {"one": 3.3, "two": 6.8}
"""Inches: one column of a two-column paper, or the whole page."""

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A7A7A")
"""Okabe and Ito 2008, without black (it is the text) and yellow (unreadable on white)."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
MOST_LABELS = 14
"""With more points than this, names go to a legend instead of beside the points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    colour: str
    marker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    ink: str
    soft: str
    grid: str
    paper: str


LIGHT = Theme(ink="#1a1d21", soft="#5f6872", grid="#e3e6ea", paper="#ffffff")
DARK = Theme(ink="#e8eaed", soft="#a3acb6", grid="#353b43", paper="#1b1f24")


_ON_BAR = "#fefefe"
"""Text on a coloured bar, in both themes; not the paper's own white, which `by_night` turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One contender of the headline figure."""

    contender: str
    model: str
    seconds: Estimate
    """Seconds an image."""
    quality: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Milliseconds of one contender's stages, in order of time."""

    contender: str
    encode: float
    denoise: float
    decode: float
    total: float


def styles(contenders: Sequence[str]) -> dict[str, Style]:
    """A colour and a marker each, by place in the study; the pair is unique up to 70 contenders."""
    return {
        name: Style(
            colour=_COLOURS[i % len(_COLOURS)],
            marker=_MARKERS[(i % len(_COLOURS) + i // len(_COLOURS)) % len(_MARKERS)],
        )
        for i, name in enumerate(contenders)
    }


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
    height = WIDTHS[width] * (0.72 if width == "one" else 0.5)
    columns = 2 if width == "one" else 4
    legend_height = 0.16 * math.ceil(len(points) / columns) if crowded else 0.0
    figure, (axes,) = _figure(width, height + legend_height, theme)
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
        xerr=_bars(point.seconds),
        yerr=_bars(point.quality),
        fmt=style.marker,
        color=style.colour,
        markeredgecolor=theme.paper,
        markeredgewidth=0.5,
        markersize=6,
        elinewidth=1.1,
        label=point.contender,
        zorder=3,
    )


def _bars(estimate: Estimate) -> list[list[float]] | None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]


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
    """Names beside their points, each at the first of twelve places where it covers nothing."""
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    taken = _ink(axes, points)
    places = [(dx, dy) for dy in (0, 8, -8, 16, -16, 24, -24) for dx in (7, -7)]
    for point in points:
        best: tuple[float, Any, Bbox] | None = None
        for dx, dy in places:
            text = axes.annotate(
                point.contender,
                (point.seconds.value or 0.0, point.quality.value or 0.0),
                xytext=(dx, dy),
                textcoords="offset points",
                ha="left" if dx > 0 else "right",
                va="center",
                fontsize=6.5,
                color=theme.ink,
                zorder=4,
            )
            text.set_in_layout(False)
            box = text.get_window_extent()
            covered = sum(_overlap(box, other) for other in taken) + 3 * _outside(box, frame)
            if best is None or covered < best[0]:
                if best:
                    best[1].remove()
                best = (covered, text, box)
            else:
                text.remove()
            if best[0] == 0:
                break
        if best:
            taken.append(best[2])


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
    return boxes


def _overlap(a: Bbox, b: Bbox) -> float:
    """Shared area, square pixels."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(0.0, width) * max(0.0, height)


def _outside(box: Bbox, frame: Bbox) -> float:
    return box.width * box.height - _overlap(box, frame)


def stage_bars(
    rows: Sequence[Stages],
    look: Mapping[str, Style],
    width: str,
    theme: Theme,
    *,
    reference: tuple[float, str] | None = None,
) -> Figure:
    """Stacked bars of prompt encoding, denoising and decoding, milliseconds an image; one bar a contender."""
    figure, (axes,) = _figure(width, 0.75 + 0.22 * len(rows), theme)
    shades = {"encode": 0.45, "denoise": 1.0, "decode": 0.7}
    places = range(len(rows))
    left = [0.0] * len(rows)
    for stage, shade in shades.items():
        values = [getattr(row, stage) for row in rows]
        colours = [(look[row.contender].colour, shade) for row in rows]
        axes.barh(places, values, left=left, color=colours, edgecolor=theme.paper, linewidth=0.6, height=0.72)
        left = [start + value for start, value in zip(left, values, strict=True)]
    longest = max(max(left, default=0.0), max((row.total for row in rows), default=0.0)) or 1.0
    for place, row in enumerate(rows):
        end = max(left[place], row.total)
        text = f"{row.total:.0f}" if row.total >= 100 else f"{row.total:.3g}"
        axes.text(end + longest * 0.012, place, text, va="center", fontsize=6.5, color=theme.ink)
    if reference and reference[0] <= longest * 1.5:
        axes.axvline(reference[0], color=theme.ink, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
        axes.annotate(
            reference[1], (reference[0], 1.0), xycoords=("data", "axes fraction"), xytext=(2, 2),
            textcoords="offset points", fontsize=6, color=theme.soft, ha="left", va="bottom",
        )  # fmt: skip
        longest = max(longest, reference[0])
    axes.set_yticks(list(places), [row.contender for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.12)
    axes.set_xlabel("Milliseconds an image (median)")
    axes.grid(axis="y", visible=False)
    _stage_legend(figure, shades, theme)
    return figure


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


def win_bars(
    chosen: str,
    by_question: Mapping[str, Mapping[str, Estimate]],
    order: Sequence[str],
    look: Mapping[str, Style],
    width: str,
    theme: Theme,
) -> Figure:
    """How often the chosen contender wins against each rival, per question; 50% line, 95% intervals."""
    rivals = [name for name in order if any(name in wins for wins in by_question.values())]
    across = len(by_question) if width == "two" else 1
    down = math.ceil(len(by_question) / across)
    height = down * (0.65 + 0.24 * len(rivals)) + 0.1
    figure, panels = _figure(width, height, theme, rows=down, columns=across)
    for axes, (question, wins) in zip(panels, by_question.items(), strict=False):
        for place, rival in enumerate(rivals):
            win = wins.get(rival)
            if win is None or win.value is None:
                axes.text(51, place, "no votes", va="center", fontsize=6.5, color=theme.soft)
                continue
            axes.barh(place, win.value, color=look[rival].colour, height=0.68)
            axes.errorbar(
                [win.value], [place], xerr=_bars(win), fmt="none", ecolor=theme.ink, elinewidth=1, capsize=2
            )
            axes.text(
                1.5, place, f"{win.value:.0f}%", va="center", fontsize=6.5, color="#ffffff", weight="bold"
            )
        axes.axvline(50, color=theme.ink, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.set_xlim(0, 100)
        axes.set_ylim(len(rivals) - 0.5, -0.5)
        axes.set_yticks(range(len(rivals)), [f"vs {name}" for name in rivals])
        axes.set_title(question, fontsize=8, color=theme.ink)
        axes.set_xlabel(f"{chosen} wins (%)")
        axes.grid(axis="y", visible=False)
    for axes in panels[len(by_question) :]:
        axes.set_visible(False)
    if across > 1:
        for axes in panels[1:]:
            axes.set_yticklabels([])
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
    figure, axes_list = _figure(
        width, down * (0.55 + 0.17 * len(order)) + 0.1, theme, rows=down, columns=across
    )
    for index, (axes, (title, values)) in enumerate(zip(axes_list, panels, strict=False)):
        for place, name in enumerate(order):
            estimate = values.get(name)
            if estimate is None or estimate.value is None:
                continue
            axes.errorbar(
                [estimate.value],
                [place],
                xerr=_bars(estimate),
                fmt=look[name].marker,
                color=look[name].colour,
                markersize=4.5,
                elinewidth=1.2,
            )
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.set_yticks(range(len(order)), list(order) if index % across == 0 else [""] * len(order))
        axes.set_title(title, fontsize=8, color=theme.ink)
        axes.margins(x=0.12)
        axes.locator_params(axis="x", nbins=4)
    for axes in axes_list[len(panels) :]:
        axes.set_visible(False)
    return figure


def _figure(
    width: str, height: float, theme: Theme, *, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_settings(theme)):
        figure = Figure(figsize=(WIDTHS[width], height), layout="constrained", facecolor=theme.paper)
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axisbelow(True)
            # Ticks are made lazily, after this context is left: what they take from it is said here.
            axes.grid(visible=True, color=theme.grid, linewidth=0.6)
            axes.tick_params(color=theme.soft, labelcolor=theme.ink, labelsize=6.5, width=0.6, length=2.5)
            for spine in ("top", "right"):
                axes.spines[spine].set_visible(False)
    return figure, list(grid.flat)


def _settings(theme: Theme) -> Any:
    return {
        "font.size": 7,
        "font.family": "DejaVu Sans",
        "text.color": theme.ink,
        "text.parse_math": False,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.soft,
        "axes.labelcolor": theme.ink,
        "axes.linewidth": 0.6,
        "axes.formatter.useoffset": False,
    }


_OUTPUT: Any = {
    "pdf.fonttype": 42,
    "svg.hashsalt": "figure",
    "svg.fonttype": "path",
    "text.parse_math": False,
}


def save(figure: Figure, stem: Path) -> list[Path]:
    """`stem.pdf` (vector, fonts embedded) and `stem.png` (300 dpi)."""
    written = []
    for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {"Software": None})):
        path = stem.with_name(stem.name + suffix)
        write_bytes(path, _render(figure, suffix[1:], metadata))
        written.append(path)
    return written


def svg(figure: Figure) -> str:
    return _render(figure, "svg", {"Date": None}).decode()


def by_night(drawing: str) -> str:
    """The same SVG in DARK: the four colours of LIGHT turned, everything else as it is."""
    for light, dark in zip(astuple(LIGHT), astuple(DARK), strict=True):
        drawing = drawing.replace(light, dark)
    return drawing


def _render(figure: Figure, kind: str, metadata: dict[str, Any]) -> bytes:
    import matplotlib as mpl

    out = io.BytesIO()
    with mpl.rc_context(_OUTPUT):
        figure.savefig(out, format=kind, dpi=300, metadata=metadata, facecolor=figure.get_facecolor())
    # The layout is solved once; it is the same for the next format.
    figure.set_layout_engine("none")
    return out.getvalue()
