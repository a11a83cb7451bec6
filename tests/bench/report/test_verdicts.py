"""Votes on single pairs of pictures: which are clear, which are close, and which a metric would have given away."""

from __future__ import annotations

from dataclasses import replace

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
