"""Intervals of scores: whole prompts resampled, since the images of one prompt hang together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.metrics.feature_rows import Array

CHUNK = 20
"""Resamples held at once: memory does not grow with their number."""


def resamples(groups: Array, replicates: int, seed: int) -> Iterator[Array]:
    """(n,) how often each image was drawn when whole groups are drawn with replacement, `replicates` times."""
    _, members = np.unique(groups, return_inverse=True)
    for drawn in _drawn(members.max() + 1, replicates, seed):
        yield from drawn[:, members]


def _drawn(count: int, replicates: int, seed: int) -> Iterator[Array]:
    """(up to CHUNK, count) how often each group was drawn."""
    random = np.random.default_rng(seed)
    for start in range(0, replicates, CHUNK):
        size = min(CHUNK, replicates - start)
        yield random.multinomial(count, np.full(count, 1 / count), size=size)


def bootstrap_means(values: Array, groups: Array, *, replicates: int = 1000, seed: int = 0) -> Array:
    """(replicates,) means over images when whole groups are resampled."""
    _, members = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(members, values), np.bincount(members).astype(float)
    means = [(drawn @ sums) / (drawn @ counts) for drawn in _drawn(len(sums), replicates, seed)]
    return np.concatenate(means)


def bootstrap_mean(
    values: Array, groups: Array, *, replicates: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """95% percentile interval of a mean over images, groups resampled; None with fewer than two groups."""
    if len(np.unique(groups)) < 2:
        return None
    low, high = np.percentile(bootstrap_means(values, groups, replicates=replicates, seed=seed), [2.5, 97.5])
    return float(low), float(high)


def bootstrap_normal(value: float, resampled: Array) -> tuple[float, float]:
    """value ± 1.96 standard deviations of its bootstrap replicates.

    Not percentiles: a resampled distance is biased upwards (repeated images lower the effective N), so its
    percentiles need not hold the value.
    """
    error = 1.96 * float(np.std(resampled, ddof=1))
    return value - error, value + error
