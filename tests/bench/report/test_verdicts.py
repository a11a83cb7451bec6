"""Votes on single pairs of pictures: which are clear, which are close, and which a metric would have given away."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from bench.records import ImageScore
from bench.report.images.duels import certain, clearest, closest, disputed
from bench.report.results import Results, Tally, read_results
from tests.support.report_study import TURBO, make_study


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(make_study(tmp_path_factory.mktemp("duels") / "s", side=16, votes=True, rich=True))


def test_votes_that_do_not_count_are_not_counted(results: Results) -> None:
    assert results.duels == {
        ("p000", 0, TURBO[0], TURBO[1]): Tally(first=5, second=1),
        ("p001", 0, *sorted((TURBO[0], TURBO[2]))): Tally(first=2, second=2, ties=2),
    }


def test_the_clear_comes_first_among_the_clear_and_last_among_the_close(results: Results) -> None:
    first, second = clearest(results)
    assert (first.prompt_id, first.liked, first.other, first.votes) == ("p000", TURBO[0], TURBO[1], (5, 1, 0))
    assert closest(results) == [second, first]


def test_a_metric_that_prefers_the_other_picture_is_named_with_its_values(results: Results) -> None:
    (verdict,) = disputed(results)
    assert (verdict.liked, verdict.other, verdict.metric) == (TURBO[0], TURBO[1], "clip_score")
    assert verdict.values == pytest.approx((0.2, 0.22))


def test_a_metric_for_which_lower_is_better_is_read_the_other_way(results: Results) -> None:
    lower = tuple(replace(s, higher_is_better=False) for s in results.scores)
    assert disputed(replace(results, scores=lower)) == []


def test_without_votes_or_values_there_is_nothing(results: Results) -> None:
    assert clearest(replace(results, duels={})) == []
    assert disputed(replace(results, image_scores=())) == []


@given(
    st.dictionaries(
        st.sampled_from([f"p{i}" for i in range(6)]), st.tuples(st.integers(0, 9), st.integers(0, 9))
    )
)
def test_certain_is_wilsons_interval(results: Results, votes: dict[str, tuple[int, int]]) -> None:
    duels = {(p, 0, "a", "b"): Tally(first=x, second=y) for p, (x, y) in votes.items()}
    for verdict in clearest(replace(results, duels=duels), 9):
        x, y = votes[verdict.prompt_id]
        interval = binomtest(x, x + y).proportion_ci(0.95, "wilson")
        assert certain(replace(results, duels=duels), verdict) == (interval.low > 0.5 or interval.high < 0.5)


def test_a_prompt_is_shown_once_while_there_are_others(results: Results) -> None:
    duels = {(p, 0, "a", b): Tally(first=9) for p in ("p0", "p1", "p2") for b in ("b", "c", "d")}
    assert {verdict.prompt_id for verdict in clearest(replace(results, duels=duels), 3)} == {"p0", "p1", "p2"}
    assert len(clearest(replace(results, duels=duels), 5)) == 5


def test_an_image_that_a_metric_has_not_seen_is_left_alone(results: Results) -> None:
    one = ImageScore(
        metric="m", fingerprint="f", contender=TURBO[0], prompt_id="p000", replicate=0, value=1.0
    )
    assert disputed(replace(results, image_scores=(one,))) == []


def test_timings_on_a_busy_machine_are_said_to_be(tmp_path: Path) -> None:
    """Three passes of 2, 4 and 8 s, two of them disturbed: 4 s, the geometric mean, in table, figure and answer."""
    from bench.records import LatencyPass, Timing
    from bench.report.tables.speed import latency_table
    from bench.report.text.warnings import banners
    from bench.report.timings import seconds_an_image, stages_of

    folder = make_study(tmp_path / "busy", contenders=("sdxl-turbo@1",), side=16)
    timing = Timing(
        contender="sdxl-turbo@1", stage="total", batch=1, seconds=(2.0, 4.0, 8.0), passes=(0, 1, 2)
    )
    passes = [
        LatencyPass(
            number=k, order=("sdxl-turbo@1 batch 1",), seconds=1.0, kernel=0.1, others=share, clock_mhz=None,
            temperature=None, disturbed=why,
        )
        for k, (share, why) in enumerate(((0.1, ""), (0.5, "other processes"), (0.9, "other processes")))
    ]  # fmt: skip
    document = folder.read_json("latency.json") or {}
    rows = {"rows": [asdict(timing)], "passes": [asdict(part) for part in passes]}
    folder.write_json("latency.json", {**document, **rows})
    busy = read_results(folder)
    table = latency_table(busy)
    assert table is not None
    assert "Disturbed: 2 of 3 passes (other processes)." in table.notes
    (banner,) = (banner for banner in banners(busy) if banner.title == "Disturbed timings")
    assert "2 of 3 passes" in banner.text
    assert "up to 90% of the processors" in banner.text
    total, stages = seconds_an_image(busy, "sdxl-turbo@1"), stages_of(busy, "sdxl-turbo@1")
    assert total is not None
    assert stages is not None
    assert total.value == pytest.approx(4.0)
    assert stages.total == pytest.approx(4000.0)
