"""Intervals with the prompt as the unit, against scipy, statsmodels' formulas by hand, and their own promise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import bench.metrics.intervals as intervals


def test_effects_of_a_mean_are_what_each_prompt_adds() -> None:
    """Uneven prompts: the ratio estimator's linearisation, by hand."""
    values, groups = np.array([1.0, 2, 6, 4, 4]), np.array([0, 0, 0, 1, 2])
    mean = 17 / 5
    expected = [(9 - 3 * mean) * 3 / 5, (4 - mean) * 3 / 5, (4 - mean) * 3 / 5]
    np.testing.assert_allclose(intervals.mean_effects(values, groups), expected)


def test_student_interval_of_prompt_means_equals_scipy() -> None:
    values = np.random.default_rng(0).standard_normal((9, 4))
    means, groups = values.mean(1), np.repeat(np.arange(9), 4)
    found = intervals.student_interval(values.mean(), intervals.mean_effects(values.ravel(), groups))
    expected = scipy.stats.t.interval(0.95, 8, means.mean(), scipy.stats.sem(means))
    np.testing.assert_allclose((found.low, found.high), expected)


def test_a_mean_has_at_least_the_student_interval_and_more_on_the_skewed_side() -> None:
    values = np.random.default_rng(3).lognormal(0, 1, 40)
    effects = intervals.mean_effects(values, np.arange(40))
    student = intervals.student_interval(values.mean(), effects)
    found = intervals.mean_interval(values.mean(), effects)
    assert found.low <= student.low
    assert found.high > student.high + 0.1 * (student.high - student.low)


def test_a_share_has_the_interval_of_wilson() -> None:
    """18 of 20: statsmodels' proportion_confint(18, 20, method="wilson") is 0.6990 to 0.9721; here with
    Student's t and n - 1, so a little wider."""
    values = np.array([1.0] * 18 + [0.0] * 2)
    found = intervals.share_interval(0.9, intervals.mean_effects(values, np.arange(20)))
    t, n = scipy.stats.t.ppf(0.975, 19), 19
    roots = np.roots([1 + t * t / n, -(2 * 0.9 + t * t / n), 0.81])
    np.testing.assert_allclose((found.low, found.high), sorted(roots))
    assert 0.66 < found.low < 0.699
    assert 0.9721 < found.high < 1


def test_a_share_of_one_has_the_interval_of_as_many_prompts() -> None:
    found = intervals.share_interval(1.0, np.zeros(5))
    assert (found.low, found.high) == (pytest.approx(5 / (5 + 1.959964**2), rel=1e-5), 1.0)


@pytest.mark.parametrize("scores", ["normal", "lognormal", "share"])
def test_intervals_cover_a_mean_of_few_prompts(scores: str) -> None:
    """200 studies of 12 prompts with two images each that hang together."""
    random, held = np.random.default_rng(1), 0
    for trial in range(200):
        prompt = random.standard_normal(12)[:, None]
        if scores == "share":
            values, truth = (random.random((12, 2)) < 0.9).astype(float), 0.9
        else:
            values = 0.7 * prompt + 0.7 * random.standard_normal((12, 2))
            values, truth = (values, 0.0) if scores == "normal" else (np.exp(values / 2), np.exp(0.98 / 8))
        effects = intervals.mean_effects(values.ravel(), np.repeat(np.arange(12), 2))
        compute = intervals.share_interval if scores == "share" else intervals.mean_interval
        ends = (
            compute(values.mean(), effects)
            if scores == "share"
            else intervals.mean_interval(values.mean(), effects, seed=trial)
        )
        held += ends.low <= truth <= ends.high
    assert 0.90 <= held / 200 <= 0.995


def test_one_pair_has_the_interval_and_p_of_a_paired_t_test() -> None:
    random = np.random.default_rng(2)
    a = random.standard_normal(15) + 0.8
    b = 0.5 * a + random.standard_normal(15)
    effects = [intervals.mean_effects(values, np.arange(15)) for values in (a, b)]
    (found,) = intervals.paired_differences([a.mean(), b.mean()], effects)
    test = scipy.stats.ttest_rel(a, b)
    ends = test.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(ends.low, rel=2e-3), pytest.approx(ends.high, rel=2e-3))
    assert found.p == pytest.approx(test.pvalue, rel=0.02, abs=1e-4)
    assert found.estimate == pytest.approx(a.mean() - b.mean())


def test_differences_of_many_contenders_hold_together() -> None:
    """Independent contenders of equal variance: Tukey's studentised range over root two, nearly."""
    random = np.random.default_rng(4)
    values = random.standard_normal((4, 400))
    effects = [intervals.mean_effects(row, np.arange(400)) for row in values]
    found = intervals.paired_differences(values.mean(1), effects)
    assert len(found) == 6
    gap = effects[found[0].first] - effects[found[0].second]
    quantile = (found[0].high - found[0].estimate) / intervals.standard_error(gap)
    assert quantile == pytest.approx(scipy.stats.studentized_range.ppf(0.95, 4, 399) / np.sqrt(2), rel=0.02)


def test_contenders_that_never_differ_have_a_difference_of_nought() -> None:
    effects = intervals.mean_effects(np.random.default_rng(0).standard_normal(9), np.arange(9))
    first, *_ = intervals.paired_differences([1.0, 1.0, 2.0], [effects, effects, effects[::-1].copy()])
    assert (first.low, first.high, first.p) == (0.0, 0.0, 1.0)
