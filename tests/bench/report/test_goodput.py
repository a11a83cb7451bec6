"""Goodput by hand: two queries a second answered in 1 s and 3 s, and four a second of which half wait."""

from __future__ import annotations

import pytest

from bench.records import LoadRun
from bench.report.figures.catalogue import all_drawings
from bench.report.figures.goodput import goodput_curve, offline_rate
from bench.report.results import read_results
from bench.store.study_folder import StudyFolder
from tests.support.report_study import make_study

SLOW = LoadRun(
    contender="a", scenario="server", batch=1, rate=1.0, seconds=4.0, latencies=(1.0, 1.0, 3.0, 3.0)
)
BUSY = LoadRun(
    contender="a",
    scenario="server",
    batch=1,
    rate=2.0,
    seconds=4.0,
    latencies=(2.0, 2.0, 2.0, 2.0, 9.0, 9.0, 9.0, 9.0),
)
OFFLINE = LoadRun(contender="a", scenario="offline", batch=4, seconds=2.0, latencies=(1.0, 1.0, 2.0, 2.0))


def test_the_curve_is_the_best_offered_rate_at_each_time_allowed() -> None:
    """1 s: two of four in 4 s; 2 s: four of the busy run's eight; 3 s: the same; 9 s: all eight."""
    assert goodput_curve([SLOW, BUSY, OFFLINE]) == [(1.0, 0.5), (2.0, 1.0), (3.0, 1.0), (9.0, 2.0)]
    assert offline_rate([SLOW, BUSY, OFFLINE]) == 2.0
    assert goodput_curve([OFFLINE]) == []
    assert offline_rate([SLOW]) is None


@pytest.mark.parametrize("measured", [True, False])
def test_the_figure_is_there_where_load_was_measured(tmp_path, measured: bool) -> None:
    from dataclasses import asdict, replace

    folder: StudyFolder = make_study(tmp_path / "load", contenders=("sdxl-turbo@1", "sdxl@50"), side=16)
    if measured:
        document = folder.read_json("latency.json") or {}
        rows = [asdict(replace(run, contender="sdxl-turbo@1")) for run in (SLOW, BUSY, OFFLINE)]
        folder.write_json("latency.json", {**document, "load": rows})
    drawings = {drawing.name: drawing for drawing in all_drawings(read_results(folder))}
    assert ("goodput" in drawings) is measured
    if measured:
        from bench.report.figures.style import LIGHT

        axes = drawings["goodput"].make("one", LIGHT).axes[0]
        (curve, ceiling) = axes.get_lines()
        assert curve.get_label() == "sdxl-turbo@1"
        assert [*map(float, curve.get_ydata())][:4] == [0.5, 1.0, 1.0, 2.0]
        assert set(map(float, ceiling.get_ydata())) == {2.0}
        assert "at most 8 queries a rate" in drawings["goodput"].caption
