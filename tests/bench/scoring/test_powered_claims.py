"""Rows of win rates with a metric's help: only where there is something to add, and oriented by the metric's sign."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.scoring.metric_agreement import Judged
from bench.scoring.powered_claims import powered_rows
from tests.support.crossed_votes import CrossedDesign, drawn_metric, drawn_votes, even

DESIGN = CrossedDesign(
    abilities=(0.4, 0.0, -0.4), rater_shares=even(12), prompt_shares=even(30), votes=500, prompt_sd=1.2
)


@pytest.fixture(scope="module")
def battles():
    return [replace(battle, question="quality") for battle in drawn_votes(DESIGN, 1)]


def judged_of(prompts, *, sign=1, missing=()):
    values = sign * drawn_metric(DESIGN, 1, prompts, 0.9, (0.0, 0.0, 0.0))
    values[list(missing)] = np.nan
    names = [f"contender-{number:02d}" for number in range(3)]
    return Judged(
        metric="pickscore",
        fingerprint="f",
        sign=sign,
        values={name: float(np.nanmean(values[:, place])) for place, name in enumerate(names)},
        images={name: values[:, place] for place, name in enumerate(names)},
        keys=tuple((f"prompt-{number:04d}", 0) for number in range(prompts)),
    )


def test_rows_of_a_metric_on_more_prompts_than_were_voted_on(battles):
    rows = powered_rows(judged_of(150, missing=(149,)), battles)
    assert [row.contender for row in rows] == ["contender-00", "contender-01", "contender-02"]
    assert {(row.question, row.prompts, row.scored, row.n) for row in rows} == {
        ("quality", 30, 149, len(battles))
    }
    assert all(row.low < row.rate < row.high for row in rows)
    assert rows[0].slope > 0
    assert sum(row.high - row.low for row in rows) < sum(row.votes_high - row.votes_low for row in rows)


def test_lower_is_better_gives_the_same_claim(battles):
    first, second = powered_rows(judged_of(150), battles), powered_rows(judged_of(150, sign=-1), battles)
    assert [row.rate for row in first] == pytest.approx([row.rate for row in second])


def test_nothing_to_add_gives_no_rows(battles):
    assert powered_rows(judged_of(30), battles) == []
    assert powered_rows(replace(judged_of(150), images={}), battles) == []
    assert powered_rows(judged_of(150), battles[:0]) == []
