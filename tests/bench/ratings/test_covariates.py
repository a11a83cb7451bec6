"""Ratings beside covariates: against a hand-written likelihood, a confounded win, covariates that tell nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from bench.errors import InputError
from bench.ratings.covariates import covariate_block, with_covariates
from bench.ratings.fits import SCALE, count_votes, davidson
from bench.ratings.simulation import Design, outcome_chances, simulate_votes

DESIGN = Design(
    strengths=(0.0, 0.0, 0.0), raters=15, votes_per_rater=60, prompts=40, rater_sd=0.2, prompt_sd=0.2
)
BETA = 0.9


def study(seed=1):
    """Contenders are equal; the first is more saturated, and saturation is what is preferred."""
    table = simulate_votes(DESIGN, seed)
    rng = np.random.default_rng([seed, 3])
    saturation = np.array([0.8, 0.0, -0.8]) + rng.standard_normal((DESIGN.prompts, 3))
    gap = saturation[table.prompt, table.left] - saturation[table.prompt, table.right]
    first, second, _ = outcome_chances(BETA * gap, DESIGN.tie)
    point = rng.random(len(table))
    outcome = np.where(point < first, 0, np.where(point < first + second, 1, 2)).astype(np.int8)
    noise = rng.standard_normal(len(table))
    return with_covariates(
        replace(table, outcome=outcome), ("saturation", "noise"), np.column_stack([gap, noise])
    )


@pytest.fixture(scope="module")
def table():
    return study()


@pytest.fixture(scope="module")
def block(table):
    return covariate_block(davidson(table.contenders, count_votes(table)), table, None)


def test_effects_are_the_maximum_of_the_likelihood_written_out(table, block):
    gap = table.covariates / table.covariates.std(axis=0)

    def loss(x):
        strength = np.append(x[:2], -x[:2].sum())
        d = strength[table.left] - strength[table.right] + x[2] + gap @ x[3:5]
        logits = np.stack([d / 2, -d / 2, np.full(len(d), x[5])])
        return -(logits[table.outcome, np.arange(len(d))] - np.logaddexp.reduce(logits, axis=0)).sum()

    best = minimize(loss, np.zeros(6), method="BFGS").x
    assert [row.effect for row in block.rows] == pytest.approx(SCALE * best[3:5], abs=0.05)
    by = {row.contender: row.rating for row in block.ratings}
    assert [by[name] for name in table.contenders[:2]] == pytest.approx(1000 + SCALE * best[:2], abs=0.05)


def test_a_win_that_is_due_to_saturation_goes_away_at_equal_saturation(table, block):
    plain = davidson(table.contenders, count_votes(table))
    assert SCALE * (plain.strength[0] - plain.strength[2]) > 100
    by = {row.contender: row for row in block.ratings}
    assert by[table.contenders[0]].low < 1000 < by[table.contenders[0]].high
    saturation, noise = block.rows
    assert saturation.low < SCALE * BETA * saturation.spread < saturation.high
    assert saturation.low > 0
    assert noise.low < 0 < noise.high


def test_what_contenders_or_other_covariates_explain_is_left_out_with_a_note(table):
    size = np.array([3.0, 2.0, 1.0])
    constant = size[table.left] - size[table.right]
    doubled = with_covariates(
        table,
        ("saturation", "file size", "saturation again"),
        np.column_stack([table.covariates[:, 0], constant, 2 * table.covariates[:, 0]]),
    )
    found = covariate_block(davidson(table.contenders, count_votes(table)), doubled, None)
    assert [row.name for row in found.rows] == ["saturation"]
    assert any("file size cannot be separated from the contenders" in note for note in found.notes)
    assert any("saturation again cannot be separated" in note for note in found.notes)


def test_votes_with_unknown_covariates_are_left_out_and_counted(table):
    values = table.covariates.copy()
    values[:50] = np.nan
    holes = with_covariates(table, table.covariate_names, values)
    found = covariate_block(davidson(table.contenders, count_votes(table)), holes, None)
    assert found.n == len(table) - 50
    assert "50 votes without covariates left out" in found.notes


def test_no_covariates_no_block(table):
    bare = replace(table, covariates=None, covariate_names=())
    assert covariate_block(davidson(table.contenders, count_votes(table)), bare, None) is None
    with pytest.raises(InputError, match="covariate values for"):
        with_covariates(table, ("one",), table.covariates)
