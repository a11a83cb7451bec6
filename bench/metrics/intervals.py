"""Intervals whose unit is the prompt: Student's t, bootstrap-t, Wilson, and differences paired by prompt.

Every metric gives each prompt an *effect*: what the prompt adds to the metric's value. A value's variance is
the variance of its effects over their number, and the difference of two contenders has the differences of
their effects, because both were scored on the same prompts. Means have exact effects; distances of sets have
those of a jackknife that leaves one prompt out (Efron and Stein 1981, Annals of Statistics 9).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics.feature_rows import Array

FEW_PROMPTS = 30
"""Prompts below which a note says that the interval rests on the shape of the scores' distribution."""
BOOTSTRAP_FROM = 8
"""Prompts from which bootstrap-t is used beside Student's t; resamples of fewer are too often constant."""
BOOTSTRAP_UP_TO = 500
"""Prompts up to which it is used: beyond, the mean of all but the most skewed scores is normal enough."""
REPLICATES = 2000
DRAWS = 20000
"""Draws of the multivariate t from which joint quantiles are read."""
LEVEL = 0.95
CHUNK = 20
"""Resamples held at once: memory does not grow with their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    low: float
    high: float
    method: str
    """As it stands in `Score.interval`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """One value minus another, on the same prompts."""

    first: int
    """Index of the contender that is subtracted from."""
    second: int
    estimate: float
    low: float
    """Joint 95% interval over all pairs."""
    high: float
    p: float
    """Joint two-sided p-value over all pairs, 0 to 1."""


def mean_effects(values: Array, groups: Array) -> Array:
    """(G,) effect of each prompt on the mean of (n,) values; groups: (n,) number of each value's prompt."""
    _, members = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(members, values), np.bincount(members)
    return (sums - counts * values.mean()) * len(counts) / len(values)


def jackknife_effects(left_out: Array) -> Array:
    """(G,) effects from the (G,) values that remain when each prompt is left out."""
    return (len(left_out) - 1) * (left_out.mean() - left_out)


def standard_error(effects: Array) -> float:
    """Of a value, from its (G,) effects; G >= 2."""
    return float(np.std(effects, ddof=1) / math.sqrt(len(effects)))


def student_interval(value: float, effects: Array, method: str = "Student's t over {} prompts") -> Interval:
    """value ± t of G - 1 degrees of freedom; method: with {} where the number of prompts goes."""
    half = t_quantile(len(effects) - 1) * standard_error(effects)
    return Interval(low=value - half, high=value + half, method=method.format(len(effects)))


def mean_interval(value: float, effects: Array, *, seed: int = 0) -> Interval:
    """Interval of a mean: at either end the farther of Student's t and bootstrap-t.

    Student's t is right for symmetric scores of any tail and too short on the long side of skewed ones;
    bootstrap-t is right for skewed ones and a little short for heavy symmetric tails.
    Source: Hall 1988, Annals of Statistics 16.
    """
    student = student_interval(value, effects)
    if not BOOTSTRAP_FROM <= len(effects) <= BOOTSTRAP_UP_TO:
        return student
    ends = _studentized(effects, seed)
    if ends is None:
        return student
    error = standard_error(effects)
    return Interval(
        low=min(student.low, value - ends[1] * error),
        high=max(student.high, value - ends[0] * error),
        method=f"Student's t and bootstrap-t ({REPLICATES}) over {len(effects)} prompts, the wider end of each",
    )


def _studentized(effects: Array, seed: int) -> tuple[float, float] | None:
    """2.5% and 97.5% quantiles of a resample's mean over its standard error; None: no variation."""
    centred = effects - effects.mean()
    n, error = len(centred), standard_error(effects)
    if not error:
        return None
    random, found = np.random.default_rng(seed), []
    for start in range(0, REPLICATES, CHUNK):
        size = min(CHUNK, REPLICATES - start)
        drawn = random.multinomial(n, np.full(n, 1 / n), size=size).astype(float)
        means = drawn @ centred / n
        variances = (drawn @ np.square(centred) / n - np.square(means)).clip(0) / (n - 1)
        kept = variances > (1e-6 * error) ** 2
        found.append(means[kept] / np.sqrt(variances[kept]))
    low, high = np.quantile(np.concatenate(found), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def share_interval(value: float, effects: Array) -> Interval:
    """Wilson's interval of a share, at the number of independent observations its effects' variance stands for.

    value: 0 to 1. At 0 and 1, where nothing varies, each prompt is one observation.
    Source: Wilson 1927, JASA 22; effective size as Korn and Graubard 1998, Survey Methodology 24.
    """
    count, error = len(effects), standard_error(effects)
    if error <= 1e-12 or not 0 < value < 1:
        n, z = float(count), t_quantile(math.inf)
    else:
        n, z = value * (1 - value) / error**2, t_quantile(count - 1)
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(value * (1 - value), 0.0) / n + z * z / (4 * n * n))
    return Interval(
        low=max(0.0, centre - half), high=min(1.0, centre + half), method=f"Wilson over {count} prompts"
    )


def t_quantile(freedom: float, level: float = LEVEL) -> float:
    """Two-sided quantile of Student's t; of the normal at infinite degrees of freedom."""
    from scipy.stats import norm, t

    ends = (1 + level) / 2
    return float(norm.ppf(ends) if math.isinf(freedom) else t.ppf(ends, freedom))


def paired_differences(
    values: Sequence[float], effects: Sequence[Array], *, seed: int = 0
) -> list[PairedDifference]:
    """Every contender minus every later one, with intervals that hold for all pairs together.

    The largest |t| of all pairs has a multivariate t distribution with the correlations of the paired effects
    and G - 1 degrees of freedom (single-step method: Hothorn, Bretz, Westfall 2008, Biometrical Journal 50).

    Parameters
    ----------
    values: (c,) of the contenders.
    effects: c arrays (G,), row g of each about the same prompt, G >= 2.
    """
    table = np.stack(effects)
    pairs = [(i, j) for i in range(len(values)) for j in range(i + 1, len(values))]
    if not pairs:
        return []
    gaps = np.stack([table[i] - table[j] for i, j in pairs])
    errors = np.array([standard_error(gap) for gap in gaps])
    largest = _largest_t(gaps, table.shape[1] - 1, seed)
    quantile = float(np.quantile(largest, LEVEL))
    found = []
    for (i, j), error in zip(pairs, errors.tolist(), strict=True):
        gap = float(values[i] - values[j])
        found.append(
            PairedDifference(
                first=i,
                second=j,
                estimate=gap,
                low=gap - quantile * error,
                high=gap + quantile * error,
                p=_joint_p(gap, error, largest),
            )
        )
    return found


def _joint_p(gap: float, error: float, largest: Array) -> float:
    if error == 0:
        return 1.0 if gap == 0 else 0.0
    return float((1 + (largest >= abs(gap) / error).sum()) / (1 + len(largest)))


def _largest_t(gaps: Array, freedom: int, seed: int) -> Array:
    """(DRAWS,) largest |t| over the pairs. gaps: (pairs, G); pairs that never differ are left out.

    One pair has the exact quantiles of Student's t, in place of draws.
    """
    from scipy.stats import t

    centred = gaps - gaps.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1)
    unit = centred[length > 0] / length[length > 0, None]
    if len(unit) <= 1:
        return np.abs(t.ppf((np.arange(DRAWS) + 0.5) / DRAWS, freedom))
    # A factor of the correlations with as few columns as they have rank.
    values, vectors = np.linalg.eigh(unit @ unit.T)
    factor = vectors[:, values > 1e-10] * np.sqrt(values[values > 1e-10])
    random, found = np.random.default_rng(seed), np.empty(DRAWS)
    for start in range(0, DRAWS, 1000):
        normal = random.standard_normal((1000, factor.shape[1]))
        scale = np.sqrt(random.chisquare(freedom, 1000) / freedom)
        found[start : start + 1000] = np.abs(normal @ factor.T).max(1) / scale
    return found
