"""Figures: what is on the front, who has which colour, and that the bytes hold no clock."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.figures import bars
from bench.report.figures import headline as figures
from bench.report.figures import style as drawing
from bench.report.figures.headline import Point
from bench.report.figures.style import LIGHT
from bench.report.tables.form import Estimate
from bench.report.timings import Felt, Stages


def point(seconds: float, quality: float, name: str = "a@1") -> Point:
    return Point(
        contender=name,
        model=name.split("@")[0],
        seconds=Estimate(value=seconds, low=seconds * 0.97, high=seconds * 1.03),
        quality=Estimate(value=quality, low=quality - 20, high=quality + 20),
    )


pairs = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12, unique=True)


@given(pairs, st.booleans())
def test_the_front_is_what_nothing_dominates(values: list[tuple[int, int]], up: bool) -> None:
    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        better = a[1] >= b[1] if up else a[1] <= b[1]
        return a != b and a[0] <= b[0] and better

    wanted = {v for v in values if not any(beats(w, v) for w in values)}
    front = figures.pareto([point(x, y) for x, y in values], up=up)
    assert {(p.seconds.value, p.quality.value) for p in front} == wanted
    assert [p.seconds.value for p in front] == sorted(x for x, _ in wanted)


def test_seventy_contenders_are_told_apart_and_keep_their_look() -> None:
    names = [f"m{i}@1" for i in range(70)]
    look = drawing.styles(names)
    assert len({(s.colour, s.marker) for s in look.values()}) == 70
    assert drawing.styles(names[:9]) == {name: look[name] for name in names[:9]}


# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_colours_differ_for_colour_blind_readers(deficiency: str) -> None:
    seen = [_lab(colour, DEFICIENCIES[deficiency]) for colour in drawing.COLOURS]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
    assert nearest > 10, f"ΔE {nearest:.1f}"


def _lab(colour: str, matrix: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of an sRGB colour behind a deficiency."""
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(matrix @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    ratio = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def headline(width: str = "one", count: int = 5):
    points = [
        point(0.04 * 1.9**i, 960 + 37 * (i * 7 % 5), f"model-{i // 2}@{i % 2 + 1}") for i in range(count)
    ]
    look = drawing.styles([p.contender for p in points])
    return figures.quality_against_seconds(points, look, width, LIGHT, label="Rating")


def test_labels_cover_nothing() -> None:
    figure = headline("two")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) == 5
    for a, b in itertools.combinations(boxes, 2):
        assert figures._overlap(a, b) == 0
    for box in boxes:
        assert figures._outside(box, axes.get_window_extent()) == 0


def test_same_data_same_bytes_and_fonts_inside(tmp_path: Path) -> None:
    first = drawing.save(headline(), tmp_path / "a")
    second = drawing.save(headline(), tmp_path / "b")
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    pdf = first[0].read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert first[1].read_bytes().startswith(b"\x89PNG")


def test_by_night_no_daylight_colour_is_left() -> None:
    day = drawing.svg(headline())
    night = drawing.by_night(day)
    ET.fromstring(night)
    for colour in (LIGHT.ink, LIGHT.soft, LIGHT.grid, LIGHT.paper):
        assert colour in day
        assert colour not in night
    for style in drawing.styles(["a", "b", "c"]).values():
        assert style.colour.lower() in night.lower()


def test_forty_contenders_and_empty_cells_are_drawn() -> None:
    names = [f"model-{i}@4" for i in range(40)]
    look = drawing.styles(names)
    rows = [
        Stages(contender=n, encode=1.0, denoise=10.0 + i, decode=3.0, total=15.0 + i)
        for i, n in enumerate(names)
    ]
    wins = {"quality": {n: Estimate(value=40 + i, low=35 + i, high=45 + i) for i, n in enumerate(names[1:])}}
    wins["alignment"] = {names[1]: Estimate(value=None)}
    felt = [
        Felt(contender=n, stages={"denoise": 40.0}, total=Estimate(value=50), p95=70, late=0) for n in names
    ]
    cells = [[Estimate(value=50 + i, low=40 + i, high=60 + i), None] for i in range(40)]
    drawn = (
        headline("one", 40),
        bars.felt_bars(felt, look, "one", LIGHT, reference=(300.0, "300 ms")),
        bars.win_cells(names, ["a very long category name indeed", "b"], cells, "one", LIGHT),
        bars.throughput_dots({n: {1: 3.0, 8: 9.0 + i} for i, n in enumerate(names)}, look, "two", LIGHT),
        bars.stage_bars(rows, look, "one", LIGHT, reference=(20.0, "published")),
        bars.win_forest(names[0], wins, names, "two", LIGHT),
        bars.metric_dots([("FID", {names[3]: Estimate(value=3.0)})], names, look, "one", LIGHT),
    )
    for figure in drawn:
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        assert width in drawing.WIDTHS.values()
        assert 1 < height < 40
