"""Interaction by category: size of the test, a planted effect, separate fits as oracle, coverage when shrunken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.ratings.category_effects import category_effects
from bench.ratings.fits import SCALE, count_votes, davidson
from bench.ratings.simulation import Design, outcome_chances, simulate_votes
from bench.ratings.vote_table import select

DESIGN = Design(strengths=(0.5, 0.1, -0.1, -0.5), raters=20, votes_per_rater=100, prompts=60, prompt_sd=0.5)
LABELS = ("animals", "people", "text")


def study(seed, effects=None, design=DESIGN):
    """Prompt p is of category p % 3; effects: (3, m) logits added to the contenders there."""
    table = simulate_votes(design, seed)
    codes = (table.prompt % 3).astype(np.int32)
    if effects is not None:
        rng = np.random.default_rng([seed, 5])
        strength = np.asarray(design.strengths) + np.asarray(effects)[codes]
        taste = design.rater_sd * rng.standard_normal((design.raters, len(design.strengths)))
        luck = design.prompt_sd * rng.standard_normal((design.prompts, len(design.strengths)))
        strength = strength + taste[table.rater] + luck[table.prompt]
        vote = np.arange(len(table))
        first, second, _ = outcome_chances(
            strength[vote, table.left] - strength[vote, table.right], design.tie
        )
        point = rng.random(len(table))
        table = replace(
            table, outcome=np.where(point < first, 0, np.where(point < first + second, 1, 2)).astype(np.int8)
        )
    return replace(table, categories=LABELS, category=codes)


def effects_of(table, **given):
    fit = davidson(table.contenders, count_votes(table))
    return fit, category_effects(fit, table, table.category, table.categories, **given)


def test_categories_that_mean_nothing_are_rarely_significant():
    """20 studies at 5%: seven or more by chance in fewer than one of ten thousand."""
    assert sum(effects_of(study(seed))[1].p < 0.05 for seed in range(20)) < 7


def test_a_planted_effect_is_found_with_its_sign_and_size():
    planted = np.array([[0.8, -0.8, 0, 0], [0, 0, 0, 0], [-0.8, 0.8, 0, 0]])
    _, found = effects_of(study(1, planted))
    assert found.p < 0.01
    rows = {(row.level, row.contender): row for row in found.rows}
    assert rows["animals", "contender-01"].low > 0
    assert rows["text", "contender-01"].high < 0
    assert abs(rows["people", "contender-03"].shrunk) < 0.4 * SCALE


def test_deviations_are_those_of_separate_fits_to_first_order():
    table = study(2, 0.15 * np.random.default_rng(0).standard_normal((3, 4)))
    fit, found = effects_of(table)
    for code, level in enumerate(LABELS):
        own = davidson(table.contenders, count_votes(select(table, table.category == code)))
        first_order = [row.deviation for row in found.rows if row.level == level]
        assert first_order == pytest.approx(SCALE * (own.strength - fit.strength), abs=0.05 * SCALE)


def test_shrunken_intervals_hold_the_true_deviations():
    """Effects drawn with SD 0.3; 12 studies of 12 effects, dependent within a study: 90% at least."""
    held = []
    for seed in range(12):
        effects = 0.3 * np.random.default_rng([seed, 1]).standard_normal((3, 4))
        effects -= effects.mean(axis=1, keepdims=True)
        effects -= effects.mean(axis=0)
        _, found = effects_of(study(seed, effects))
        target = SCALE * effects.ravel()
        low, high = (np.array([getattr(row, end) for row in found.rows]) for end in ("low", "high"))
        # Averaging over raters and prompts draws true deviations together by about a tenth.
        held.append(((low <= 0.9 * target) & (0.9 * target <= high)).mean())
    assert np.mean(held) >= 0.9


def test_nothing_is_claimed_of_a_category_of_two_prompts():
    table = study(3)
    table = replace(table, category=np.where(table.prompt < 2, 0, 1).astype(np.int32))
    _, found = effects_of(table)
    assert found.p is None
    assert "fewer than 3 prompts in animals" in found.note


def test_one_category_and_unknown_prompts_give_none():
    table = simulate_votes(DESIGN, 1)
    assert effects_of(table)[1] is None
    assert effects_of(replace(study(1), prompt=None))[1] is None
