"""Bootstrap over prompts."""

from __future__ import annotations

import numpy as np

import bench.metrics.intervals as intervals


def test_bootstrap_interval_covers_a_clustered_mean() -> None:
    """Images of a prompt share its effect; the interval over prompts covers 0 about 95 times in 100."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 4)
    hits = 0
    for trial in range(200):
        values = random.standard_normal(40)[groups] + 0.3 * random.standard_normal(160)
        ends = intervals.bootstrap_mean(values, groups, replicates=300, seed=trial)
        assert ends is not None
        hits += ends[0] <= 0 <= ends[1]
    assert 0.88 <= hits / 200 <= 0.985


def test_chunked_means_equal_means_of_the_drawn_images() -> None:
    random = np.random.default_rng(1)
    groups, values = np.repeat(np.arange(9), [1, 2, 3] * 3), random.standard_normal(18)
    direct = [w @ values / w.sum() for w in intervals.resamples(groups, 47, seed=3)]
    np.testing.assert_allclose(intervals.bootstrap_means(values, groups, replicates=47, seed=3), direct)
