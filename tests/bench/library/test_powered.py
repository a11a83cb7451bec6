"""`bench.powered`: what the estimator says, from data frames, and what is missing named."""

from __future__ import annotations

import pandas as pd
import pytest

import bench
from bench.errors import InputError
from bench.ratings.prediction_powered import Predictions, powered_win_rates
from bench.ratings.vote_table import code_battles
from tests.support.crossed_votes import CrossedDesign, drawn_metric, drawn_votes, even

DESIGN = CrossedDesign(
    abilities=(0.4, 0.0, -0.4), rater_shares=even(12), prompt_shares=even(30), votes=500, prompt_sd=1.2
)
PROMPTS = 120


@pytest.fixture(scope="module")
def frames():
    battles = list(drawn_votes(DESIGN, 1))
    votes = pd.DataFrame(
        {
            "model_a": [b.left for b in battles],
            "model_b": [b.right for b in battles],
            "winner": [{"left": "model_a", "right": "model_b", "tie": "tie"}[b.outcome] for b in battles],
            "rater": [b.rater for b in battles],
            "prompt": [b.prompt_id for b in battles],
        }
    )
    metric = drawn_metric(DESIGN, 1, PROMPTS, 0.9, (1.0, 2.0, 3.0))
    values = pd.DataFrame(
        [
            {
                "prompt": f"prompt-{p:04d}",
                "contender": f"contender-{c:02d}",
                "value": metric[p, c],
                "category": "ab"[p % 2],
            }
            for p in range(PROMPTS)
            for c in range(3)
        ]
    )
    return battles, votes, metric, values


def test_frames_in_any_order_give_the_estimators_numbers(frames):
    battles, votes, metric, values = frames
    got = bench.powered(votes, values.sample(frac=1, random_state=3)).set_index("contender")
    predictions = Predictions(
        prompts=tuple(f"prompt-{p:04d}" for p in range(PROMPTS)),
        replicates=(0,) * PROMPTS,
        contenders=tuple(f"contender-{c:02d}" for c in range(3)),
        values=metric,
    )
    expected = powered_win_rates(code_battles(battles), predictions)
    assert got["win_rate"].to_list() == pytest.approx(expected.value)
    assert got["high"].to_list() == pytest.approx(expected.high)
    assert (got["saved_low"] <= got["saved"]).all()


def test_strata_and_missing_columns(frames):
    _, votes, _, values = frames
    assert len(bench.powered(votes, values, strata=True)) == 3
    with pytest.raises(InputError, match="no column category"):
        bench.powered(votes, values.drop(columns="category"), strata=True)
    with pytest.raises(InputError, match="no column value"):
        bench.powered(votes, values.drop(columns="value"))
