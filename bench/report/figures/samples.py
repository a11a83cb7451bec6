"""Figures of images at paper size: contenders by prompts, and one model's step counts by prompts."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from bench.records import Prompt
from bench.report.figures.style import TALLEST, WIDTHS, Theme, fonts, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

PIXELS_AN_INCH = 200
"""Resolution at which images are embedded."""
MOST_ACROSS = 8
"""Contenders beside each other; more of them stand below each other, and the prompts beside each other."""
POINTS = 6.0
"""Size of type."""
CHARACTER = 0.053
"""Inches of a mean character at that size."""
MISSING = "□"

Pixels = Callable[[str, str, int], "Image | None"]
"""Contender, prompt id and pixels a side → the image no larger than that; None: there is none."""


def prompts_that_fit(width: str, contenders: int) -> int:
    """How many prompts a figure holds beside or below its contenders."""
    if contenders > MOST_ACROSS:
        return 3 if width == "one" else 6
    side = _side(width, contenders)
    return max(1, min(6, int((TALLEST * 0.75 - 0.2) / (side + 0.3))))


def sample_figure(
    prompts: Sequence[Prompt], contenders: Sequence[str], pixels: Pixels, width: str, theme: Theme
) -> Figure:
    """Images of contenders × prompts; the caption states how the prompts were chosen.

    Parameters
    ----------
    prompts : those shown, at most `prompts_that_fit`.
    contenders : in the order of the study; one a column, or one a row where there are many.
    pixels : gives the images.
    width : `one` or `two` columns of a paper.
    theme : colours of text and paper.
    """
    if len(contenders) > MOST_ACROSS:
        return _contenders_down(prompts, contenders, pixels, width, theme)
    return _contenders_across(prompts, contenders, pixels, width, theme)


def _side(width: str, across: int, most: float = 1.6) -> float:
    """Inches of an image."""
    return min(most, WIDTHS[width] / across - 0.03)


def _contenders_across(
    prompts: Sequence[Prompt], contenders: Sequence[str], pixels: Pixels, width: str, theme: Theme
) -> Figure:
    side = _side(width, len(contenders))
    heads = [_wrapped(name, side, 2) for name in contenders]
    top = 0.06 + 0.1 * max(head.count("\n") + 1 for head in heads)
    texts = [_wrapped(prompt.text, WIDTHS[width], 2) for prompt in prompts]
    above = [0.08 + 0.105 * (text.count("\n") + 1) for text in texts]
    height = top + sum(above) + len(prompts) * (side + 0.03)
    figure = _bare(width, height, theme)
    y = height - top
    for j, head in enumerate(heads):
        figure.text(
            (j * (side + 0.03) + side / 2) / WIDTHS[width], (y + 0.03) / height, head, fontsize=POINTS,
            ha="center", va="bottom", color=theme.ink, weight="bold",
        )  # fmt: skip
    for prompt, text, room in zip(prompts, texts, above, strict=True):
        y -= room
        figure.text(0, (y + 0.035) / height, text, fontsize=POINTS, va="bottom", color=theme.ink)
        y -= side
        for j, name in enumerate(contenders):
            box = (j * (side + 0.03), y, side, side)
            _show(figure, box, height, width, pixels(name, prompt.id, int(side * PIXELS_AN_INCH)), theme)
        y -= 0.03
    return figure


def _contenders_down(
    prompts: Sequence[Prompt], contenders: Sequence[str], pixels: Pixels, width: str, theme: Theme
) -> Figure:
    """Prompts as columns (a), (b), …, written out below the images."""
    names = max(len(name) for name in contenders)
    left = min(WIDTHS[width] * 0.35, 0.08 + CHARACTER * names)
    notes = [_wrapped(f"({chr(97 + k)}) {prompt.text}", WIDTHS[width], 2) for k, prompt in enumerate(prompts)]
    below = 0.06 + sum(0.05 + 0.105 * (note.count("\n") + 1) for note in notes)
    room = (TALLEST - below - 0.2) / len(contenders) - 0.02
    side = min(room, (WIDTHS[width] - left) / len(prompts) - 0.03, 1.2)
    height = 0.18 + len(contenders) * (side + 0.02) + below
    figure = _bare(width, height, theme)
    y = height - 0.18
    for k in range(len(prompts)):
        figure.text(
            (left + k * (side + 0.03) + side / 2) / WIDTHS[width],
            (y + 0.04) / height,
            f"({chr(97 + k)})",
            fontsize=POINTS,
            ha="center",
            va="bottom",
            color=theme.ink,
        )
    for name in contenders:
        y -= side
        label = name if CHARACTER * len(name) <= left else _wrapped(name, left, 2)
        figure.text(
            (left - 0.05) / WIDTHS[width],
            (y + side / 2) / height,
            label,
            fontsize=POINTS,
            ha="right",
            va="center",
            color=theme.ink,
        )
        for k, prompt in enumerate(prompts):
            box = (left + k * (side + 0.03), y, side, side)
            _show(figure, box, height, width, pixels(name, prompt.id, int(side * PIXELS_AN_INCH)), theme)
        y -= 0.02
    y -= 0.04
    for note in notes:
        figure.text(0, y / height, note, fontsize=POINTS, va="top", color=theme.ink)
        y -= 0.05 + 0.105 * (note.count("\n") + 1)
    return figure


def _bare(width: str, height: float, theme: Theme) -> Figure:
    """A figure without axes and layout: images are placed to the point."""
    figure, (axes,) = new_figure(width, height, theme)
    axes.remove()
    figure.set_layout_engine("none")
    return figure


def _show(
    figure: Figure,
    box: tuple[float, float, float, float],
    height: float,
    width: str,
    image: Image | None,
    theme: Theme,
) -> None:
    """box: left, bottom, width and height in inches."""
    import numpy as np

    left, bottom, wide, high = box
    axes: Axes = figure.add_axes(
        (left / WIDTHS[width], bottom / height, wide / WIDTHS[width], high / height), frameon=image is None
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    if image is None:
        for spine in axes.spines.values():
            spine.set(edgecolor=theme.soft, linewidth=0.4, linestyle=(0, (2, 2)))
        axes.text(0.5, 0.5, "not there", fontsize=5, ha="center", va="center", color=theme.soft)
        return
    axes.imshow(np.asarray(image), interpolation="none")


def _wrapped(text: str, inches: float, lines: int) -> str:
    """Text in at most that many lines, `…` where it is cut; characters that no font has become `□`."""
    text = settable(" ".join(text.split()))
    width = max(6, int(inches / CHARACTER))
    # Wide characters (CJK) take twice the room of others.
    cells = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    if cells > 1.3 * len(text):
        width = max(4, width * len(text) // cells)
        parts = [text[i : i + width] for i in range(0, len(text), width)] or [""]
    else:
        parts = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    if len(parts) > lines:
        parts = [*parts[: lines - 1], parts[lines - 1][: width - 1].rstrip() + "…"]
    return "\n".join(parts)


def settable(text: str) -> str:
    """The text with `□` for each character that none of the figures' fonts has."""
    return "".join(
        c if c.isspace() or unicodedata.category(c) in ("Cf", "Mn") or _has(c) else MISSING for c in text
    )


@cache
def _has(character: str) -> bool:
    from matplotlib import font_manager

    return any(
        font_manager.get_font(font_manager.findfont(family)).get_char_index(ord(character))
        for family in fonts()
    )
