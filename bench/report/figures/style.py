"""What every figure shares: widths, themes, each contender's colour and marker, and how a figure is written.

`save` and `svg` write a figure out without a clock in it: the same data give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report.tables.form import Estimate
from bench.store.study_folder import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTHS = {"one": 3.3, "two": 6.8}
"""Inches: one column of a two-column paper, or the whole page."""

TALLEST = 8.2
"""Inches a figure may be high, so that a page holds it with its caption."""

FAMILIES = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Emoji",
)
"""Fonts in the order in which a character is looked for; matplotlib brings the first."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A7A7A")
"""Okabe and Ito 2008, without black (it is the text) and yellow (unreadable on white)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")


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


@cache
def fonts() -> tuple[str, ...]:
    """Those of FAMILIES that this machine has."""
    from matplotlib import font_manager

    known = set(font_manager.get_font_names())
    return tuple(name for name in FAMILIES if name in known)


def styles(contenders: Sequence[str]) -> dict[str, Style]:
    """A colour and a marker each, by place in the study; the pair is unique up to 70 contenders."""
    return {
        name: Style(
            colour=COLOURS[i % len(COLOURS)],
            marker=MARKERS[(i % len(COLOURS) + i // len(COLOURS)) % len(MARKERS)],
        )
        for i, name in enumerate(contenders)
    }


def shortened(name: str, most: int = 28) -> str:
    """A name that an axis has room for: the middle gives way, since names differ at their ends."""
    return name if len(name) <= most else f"{name[: most - 13]}…{name[-12:]}"


def legend_columns(names: Sequence[str], width: str) -> int:
    """Columns of a legend of shortened names in type of 5.5 points that the figure's width holds."""
    longest = max((len(shortened(name)) for name in names), default=1)
    return max(1, min(len(names), int(WIDTHS[width] / (0.34 + 0.047 * longest))))


def error_bars(estimate: Estimate) -> list[list[float]] | None:
    """Lengths below and above the value, as matplotlib takes them; None: no interval."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]


def row_height(wanted: float, rows: int, used: float) -> float:
    """Inches of a row: as wanted, less where there are many, never too low for its label.

    used: what the figure needs besides.
    """
    return max(0.105, min(wanted, (TALLEST - used) / max(rows, 1)))


def new_figure(
    width: str, height: float, theme: Theme, *, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from bench.report.figures.figure import Figure

    with mpl.rc_context(_settings(theme)):
        figure = Figure(WIDTHS[width], height, facecolor=theme.paper)
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
        "font.family": list(fonts()),
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
