"""Win rates, tie and both-bad rates without a model, with Wilson and clustered intervals; equivalence tests.

A win rate counts a tie as half and leaves both_bad out. A clustered interval is Wilson's with the number of
votes that would carry as much information if they were independent, and Student's t in place of the normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import unknown
from bench.ratings.clusters import clusters_of, variances
from bench.ratings.covariance import cluster_kind, cluster_labels
from bench.ratings.uncertainty import t_quantile, t_quantiles, two_sided
from bench.ratings.vote_table import BOTH_BAD, VoteTable, select

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """k shares in [0, 1]; nan where there is no vote."""

    rate: Floats
    error: Floats
    """Clustered standard error."""
    low: Floats
    high: Floats
    wilson_low: Floats
    """Vote-level, for comparison only."""
    wilson_high: Floats
    n: NDArray[np.int64]
    """Votes behind each."""
    freedom: Floats
    """(k,) Student's t, >= 1, Satterthwaite's by the raters and prompts behind each rate, with what the other
    rates say of how raters and prompts vary; infinite where nothing could be clustered on."""
    p: Floats
    """(k,) two-sided, of a rate of 50%: the test whose inversion `low` and `high` are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRates:
    """Pairs a < b that met, in code order."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    counts: NDArray[np.int64]
    """(k, 4): votes for first, for second, tie, both_bad."""
    rates: Rates
    """Of the first over the second."""


def pair_rates(table: VoteTable, *, level: float = 0.95) -> PairRates:
    """Win rate of every pair that met."""
    m = len(table.contenders)
    swapped, pair = _pairs(table)
    outcome = np.where(swapped & (table.outcome < 2), 1 - table.outcome, table.outcome)
    counts = np.bincount(pair * 4 + outcome, minlength=m * m * 4).reshape(m * m, 4)
    met = np.flatnonzero(counts.sum(axis=1))
    number = np.zeros(m * m, np.int64)
    number[met] = np.arange(len(met))
    decided = outcome != BOTH_BAD
    votes = select(table, decided)
    value = np.array([1.0, 0.0, 0.5])[outcome[decided]]
    rates = clustered_rates(votes, number[pair[decided]], value, len(met), level=level)
    return PairRates(first=met // m, second=met % m, counts=counts[met], rates=rates)


def _pairs(table: VoteTable) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    swapped = table.left > table.right
    first = np.where(swapped, table.right, table.left).astype(np.int64)
    second = np.where(swapped, table.left, table.right)
    return swapped, first * len(table.contenders) + second


def pair_index(table: VoteTable, pairs: PairRates) -> NDArray[np.int64]:
    """(n,) place in `pairs` of the pair that each vote is about."""
    _, pair = _pairs(table)
    return np.searchsorted(pairs.first * len(table.contenders) + pairs.second, pair)


CODINGS = ("dropped", "tie", "loss")
"""What a vote of both_bad is worth to each side: nothing is counted, half a win, or no win at all."""


def average_win_rates(
    table: VoteTable, *, both_bad: str = "dropped", level: float = 0.95
) -> tuple[Rates, NDArray[np.int64]]:
    """Each contender's win rate averaged over the opponents it met, each opponent counting the same.

    Parameters
    ----------
    table: the votes.
    both_bad: one of CODINGS.
    level: of the intervals.

    Returns
    -------
    The rates, and the number of opponents of each contender (m,).
    """
    if both_bad not in CODINGS:
        raise unknown("coding of both_bad", both_bad, CODINGS)
    m = len(table.contenders)
    votes = select(table, table.outcome != BOTH_BAD) if both_bad == "dropped" else table
    bad = 0.5 if both_bad == "tie" else 0.0
    value = np.concatenate(
        [np.array([1.0, 0.0, 0.5, bad])[votes.outcome], np.array([0.0, 1.0, 0.5, bad])[votes.outcome]]
    )
    owner = np.concatenate([votes.left, votes.right])
    weight = np.tile(votes.weight, 2)
    pair = owner.astype(np.int64) * m + np.concatenate([votes.right, votes.left])
    n = np.bincount(pair, weight, m * m)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.where(n > 0, np.bincount(pair, weight * value, m * m) / n, 0.0)
        opponents = (n > 0).reshape(m, m).sum(axis=1)
        mean = rate.reshape(m, m).sum(axis=1) / opponents
    exposure = weight / (n[pair] * opponents[owner])
    influence = exposure * (value - rate[pair])
    votes_each = np.bincount(owner, minlength=m)
    return _rates(mean, exposure, influence, owner, 2, votes, votes_each, level), opponents


def both_bad_rates(table: VoteTable, *, level: float = 0.95) -> Rates:
    """Each contender's share of both_bad among the votes that showed it."""
    group = np.concatenate([table.left, table.right])
    value = np.tile(table.outcome == BOTH_BAD, 2).astype(np.float64)
    return clustered_rates(table, group, value, len(table.contenders), level=level, copies=2)


def left_rate(table: VoteTable, *, level: float = 0.95) -> Rates:
    """Share of the left side among decided votes: the raw position effect."""
    votes = select(table, table.outcome < 2)
    return clustered_rates(votes, np.zeros(len(votes), np.int64), (votes.outcome == 0) * 1.0, 1, level=level)


def clustered_rates(
    table: VoteTable,
    group: NDArray[np.integer],
    value: Floats,
    groups: int,
    *,
    level: float = 0.95,
    copies: int = 1,
) -> Rates:
    """Weighted mean of `value` in [0, 1] in each group. group, value: (copies · n,), the table's votes
    repeated `copies` times over (a vote may belong to several groups)."""
    weight = np.tile(table.weight, copies)
    total = np.bincount(group, weight, groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.bincount(group, weight * value, groups) / total
    exposure = weight / total[group]
    n = np.bincount(group, minlength=groups)
    influence = (value - rate[group]) * exposure
    return _rates(rate, exposure, influence, group, copies, table, n, level)


def _rates(
    rate: Floats,
    exposure: Floats,
    influence: Floats,
    group: NDArray[np.integer],
    copies: int,
    table: VoteTable,
    n: NDArray[np.int64],
    level: float,
) -> Rates:
    labels = {
        name: np.tile(column, copies) for name, column in cluster_labels(table, cluster_kind(table)).items()
    }
    clusters = clusters_of(exposure, labels, group, len(rate))
    estimate = variances(clusters, influence, dependent=copies - 1)
    variance, freedom = estimate.variance, estimate.freedom
    with np.errstate(invalid="ignore", divide="ignore"):
        effective = np.where(variance > 0, rate * (1 - rate) / variance, np.inf)
    fewest = np.min([clusters.effective(name) for name in labels] or [n], axis=0)
    # At 0% or 100% nothing varies: an effective cluster, not a vote, is then what was seen.
    flat = (rate <= 0) | (rate >= 1) | ~(variance > 0)
    # Ties, being halves, vary less than wins and losses: a vote may count for more than one, for two at most.
    most = np.maximum(n, 1) * np.where(flat, 1, 2)
    effective = np.minimum(np.where(flat, np.maximum(fewest, 1), effective), most)
    low, high = wilson(rate, effective, t_quantiles(freedom, level))
    with np.errstate(invalid="ignore"):
        score = np.abs(rate - 0.5) / np.sqrt(0.25 / effective)
    wilson_low, wilson_high = wilson(rate, np.maximum(n, 1), t_quantile(math.inf, level))
    return Rates(
        rate=rate,
        error=np.sqrt(np.maximum(variance, 0)),
        low=low,
        high=high,
        wilson_low=wilson_low,
        wilson_high=wilson_high,
        n=n,
        freedom=freedom,
        p=two_sided(score, freedom),
    )


def wilson(rate: Floats, n: Floats | NDArray[np.int64], z: Floats | float) -> tuple[Floats, Floats]:
    """Wilson's score interval of a share, kept in [0, 1]. Source: Wilson 1927, JASA 22(158)."""
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def detectable(rates: Rates, *, power: float = 0.8, level: float = 0.95) -> Floats:
    """(k,) distance from 50%, win-rate points, that would have been significant with so large a clustered error in
    `power` of studies, each rate on its own. What the votes were enough for, whatever they said; nan where
    the votes have no error to go by."""
    from scipy.special import ndtri

    with np.errstate(invalid="ignore"):
        return np.where(
            rates.error > 0, 100 * rates.error * (t_quantiles(rates.freedom, level) + ndtri(power)), np.nan
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """One pair against a margin in win-rate points."""

    first: int
    second: int
    difference: float
    """Win rate of the first minus 50%, points."""
    low: float
    """Of the 90% interval: inside ±margin means equivalent at 5% (two one-sided tests)."""
    high: float
    margin: float
    p_first_not_worse: float
    """One-sided, that the first is no worse than the second by `margin` points."""
    p_second_not_worse: float
    p_equivalent: float


def equivalences(pairs: PairRates, *, margin: float = 3.0, alpha: float = 0.05) -> list[Equivalence]:
    """Two one-sided tests a pair (Schuirmann 1987, J. Pharmacokinetics Biopharm. 15(6)) on the clustered
    standard error of the win rate; unadjusted across pairs: name the pair before looking."""
    from scipy.special import ndtr, stdtr

    def tail(t: float, freedom: float) -> float:
        return float(stdtr(freedom, t)) if math.isfinite(freedom) else float(ndtr(t))

    result = []
    for i, (first, second) in enumerate(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)):
        n, rate = int(pairs.rates.n[i]), float(pairs.rates.rate[i])
        if n == 0:
            continue
        # Unanimous votes have no estimated variance: use that of the interval's half width instead.
        error = float(pairs.rates.error[i]) or float(pairs.rates.high[i] - pairs.rates.low[i]) / 2
        difference, error = 100 * (rate - 0.5), 100 * error
        freedom = float(pairs.rates.freedom[i])
        critical = t_quantile(freedom, 1 - 2 * alpha)
        not_worse = tail(-(difference + margin) / error, freedom)
        other = tail((difference - margin) / error, freedom)
        result.append(
            Equivalence(
                first=first,
                second=second,
                difference=difference,
                low=difference - critical * error,
                high=difference + critical * error,
                margin=margin,
                p_first_not_worse=not_worse,
                p_second_not_worse=other,
                p_equivalent=max(not_worse, other),
            )
        )
    return result
