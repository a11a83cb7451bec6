"""Prediction-powered win rates and ratings: votes on part of the prompts, a metric on all, a claim about all.

With votes on some prompts only, part of the error of a win rate is that these prompts were kinder to one contender than
others would have been. A metric that was computed on every prompt sees part of that. With g_p the metric's difference
between two contenders on prompt p, the mean of votes is moved to

    rate - λ (mean of g over the votes - mean of g over all prompts),

whose expectation is that of the rate whatever λ is, if the voted prompts are a random part of all: a metric that is
useless or wrong costs nothing but the noise of λ. λ is the least-squares slope of a prompt's effect on g, which
minimises the variance ("power tuning"); where the moved estimate is not the more precise one, λ is 0. A rating moves
likewise, by one Newton step whose scores are those of the fit less λ times the information times g.

The variance is that of `bench.ratings.clusters`, raters and prompts crossed, of the votes less λ g, plus that of the
mean of g over all prompts. Strata: votes weigh so that each stratum has its share of all prompts. Sources:
Angelopoulos, Duchi and Zrnic 2023, PPI++, arXiv 2311.01453; stratified: Fisch et al. 2024, arXiv 2406.04291; the
difference estimator of survey sampling: Särndal, Swensson and Wretman 1992. Coverage:
results/coverage/prediction_powered.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.clusters import Clusters, cluster_weights, clusters_of, variances
from bench.ratings.covariance import (
    Covariance,
    bread_of,
    cluster_kind,
    cluster_labels,
    covariance,
    covariance_of_scores,
    score_tables,
)
from bench.ratings.fits import Fit, count_votes, davidson, probabilities
from bench.ratings.uncertainty import t_quantiles
from bench.ratings.vote_table import BOTH_BAD, VoteTable, select
from bench.ratings.winrates import wilson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GROUPS = 20
"""Groups of prompts that the jackknife behind the interval of saved votes leaves out in turn."""
FEWEST = 10
"""Voted prompts below which nothing is moved: a slope of fewer is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """One metric's values of all images: what was voted on, and what was not."""

    prompts: tuple[str, ...]
    """(u,) prompt id of each unit; a unit is one image of every contender."""
    replicates: tuple[int, ...]
    contenders: tuple[str, ...]
    values: Floats
    """(u, contenders), finite; higher is better."""
    strata: tuple[str, ...] = ()
    """(u,) stratum of each unit, as a category; (): one stratum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Powered:
    """Estimates moved by a metric, beside those of the votes alone."""

    value: Floats
    """(k,) win rates in [0, 1], or ratings in logits."""
    low: Floats
    """95%."""
    high: Floats
    votes_value: Floats
    """Of the votes alone."""
    votes_low: Floats
    votes_high: Floats
    variance: Floats
    votes_variance: Floats
    slope: float
    """λ: rate, or logits, a unit of the metric; 0: the metric does not help."""
    ratio: float
    """Variance of the votes alone over that with the metric, summed over estimates; below 1 where it does not help."""

    @property
    def gain(self) -> float:
        """Variance of the votes alone over that of `value`, >= 1."""
        return max(self.ratio, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Votes that would have to be added, on further prompts and by further raters, to do without the metric."""

    votes: float
    low: float
    """95%, by a jackknife over prompts; 0 at least."""
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matched:
    """Votes whose images all have values, and the values."""

    votes: VoteTable
    unit: Ints
    """(n,) row of `values` of each vote."""
    values: Floats
    """(u, m) in the order of the table's contenders."""
    prompt: Ints
    """(u,) prompt of each unit, renumbered."""


def matched(table: VoteTable, predictions: Predictions) -> _Matched:
    """Raises InputError: prompts unknown, a contender without values, fewer than FEWEST voted prompts with values."""
    if table.prompt is None:
        raise InputError("votes of unknown prompts cannot be joined with a metric")
    missing = sorted(set(table.contenders) - set(predictions.contenders))
    if missing:
        raise InputError(f"the metric has no values of {', '.join(missing)}")
    column = [predictions.contenders.index(name) for name in table.contenders]
    keys = zip(predictions.prompts, predictions.replicates, strict=True)
    row = {key: number for number, key in enumerate(keys)}
    pairs = table.prompt.astype(np.int64) * (int(table.replicate.max(initial=0)) + 1) + table.replicate
    unique, inverse = np.unique(pairs, return_inverse=True)
    width = int(table.replicate.max(initial=0)) + 1
    rows = np.array([row.get((table.prompts[key // width], key % width), -1) for key in unique.tolist()])
    unit = rows[inverse]
    kept = (unit >= 0) & (table.outcome != BOTH_BAD)
    votes, unit = select(table, kept), unit[kept]
    names = {name: number for number, name in enumerate(sorted(set(predictions.prompts)))}
    prompt = np.array([names[name] for name in predictions.prompts], np.int64)
    if len(np.unique(prompt[unit])) < FEWEST:
        raise InputError(f"fewer than {FEWEST} prompts have both votes and values of the metric")
    if predictions.strata:
        votes = replace(votes, weight=_stratified(votes.weight, unit, predictions.strata))
    return _Matched(votes=votes, unit=unit, values=predictions.values[:, column], prompt=prompt)


def _stratified(weight: Floats, unit: Ints, strata: tuple[str, ...]) -> Floats:
    """Weights with which each stratum has its share of all units. Raises InputError: a stratum without votes."""
    labels, code = np.unique(np.array(strata), return_inverse=True)
    share = np.bincount(code, minlength=len(labels)) / len(code)
    votes = np.bincount(code[unit], weight, len(labels)) / weight.sum()
    if (votes == 0).any():
        raise InputError(f"no votes on prompts of {', '.join(labels[votes == 0].tolist())}")
    return weight * (share / votes)[code[unit]]


def powered_win_rates(table: VoteTable, predictions: Predictions) -> Powered:
    """Win rate of each contender averaged over the opponents it met, in the order of the table's contenders."""
    return _win_rates(matched(table, predictions))


def _win_rates(data: _Matched) -> Powered:
    votes, m = data.votes, len(data.votes.contenders)
    owner = np.concatenate([votes.left, votes.right]).astype(np.int64)
    other = np.concatenate([votes.right, votes.left]).astype(np.int64)
    value = np.concatenate(
        [np.array([1.0, 0.0, 0.5])[votes.outcome], np.array([0.0, 1.0, 0.5])[votes.outcome]]
    )
    weight, unit, pair = np.tile(votes.weight, 2), np.tile(data.unit, 2), owner * m + other
    total = np.bincount(pair, weight, m * m)
    met = (total > 0).reshape(m, m)
    opponents = np.maximum(met.sum(axis=1), 1)
    gap = data.values[unit, owner] - data.values[unit, other]
    everywhere = data.values.mean(axis=0)
    gap -= everywhere[owner] - everywhere[other]  # From the mean over all units.
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.where(total > 0, np.bincount(pair, weight * value, m * m) / total, 0.0)
        mean_gap = np.where(total > 0, np.bincount(pair, weight * gap, m * m) / total, 0.0)
    exposure = weight / (total[pair] * opponents[owner])
    labels = {name: np.tile(column, 2) for name, column in cluster_labels(votes, cluster_kind(votes)).items()}
    clusters = clusters_of(exposure, labels, owner, m)
    residual, centred = exposure * (value - rate[pair]), exposure * (gap - mean_gap[pair])
    alone = variances(clusters, residual, dependent=1)
    slope = _slope(clusters, alone.ratios, residual, centred)
    moved = variances(clusters, residual - slope * centred, dependent=1)
    # Each contender's own gap to the mean of the opponents it met, of every unit.
    gaps = data.values - everywhere
    gaps = gaps - gaps @ met.T / opponents
    variance = _growth(data) * moved.variance + slope**2 * _mean_variance(gaps, data)
    plain = (rate.reshape(m, m).sum(axis=1)) / opponents
    shift = mean_gap.reshape(m, m).sum(axis=1) / opponents
    ratio = float(np.nansum(alone.variance) / max(np.nansum(variance), 1e-300))
    if ratio <= 1:
        slope, variance, moved = 0.0, alone.variance, alone
    value = np.clip(plain - slope * shift, 0.0, 1.0)
    low, high = _wilson(value, variance, moved.freedom)
    votes_low, votes_high = _wilson(plain, alone.variance, alone.freedom)
    return Powered(
        value=value,
        low=low,
        high=high,
        votes_value=plain,
        votes_low=votes_low,
        votes_high=votes_high,
        variance=variance,
        votes_variance=alone.variance,
        slope=slope,
        ratio=ratio,
    )


def _wilson(rate: Floats, variance: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    with np.errstate(invalid="ignore", divide="ignore"):
        n = np.maximum(np.where(variance > 0, rate * (1 - rate) / variance, np.inf), 1.0)
    return wilson(rate, n, t_quantiles(freedom))


def _slope(clusters: Clusters, ratios: Mapping[str, float], residual: Floats, centred: Floats) -> float:
    """Least-squares slope of the prompts' effects on the metric, prompts weighted as for the variance of effects."""
    name = (
        "prompt" if "prompt" in clusters.levels else clusters.dimensions[0] if clusters.dimensions else "vote"
    )
    level = clusters.levels[name]
    weight = cluster_weights(clusters, {name: ratios.get(name, 0.0)})[name]
    sums = [np.zeros(0), np.zeros(0)]
    scale = np.bincount(level.owner, weight * level.exposure**2, clusters.owners)
    for place, values in enumerate((residual, centred)):
        part = np.bincount(level.index, values, len(level.exposure)).astype(np.float64)
        about = np.bincount(level.owner, weight * level.exposure * part, clusters.owners) / np.maximum(
            scale, 1e-300
        )
        sums[place] = part - about[level.owner] * level.exposure
    down = float((weight * sums[1] ** 2).sum())
    return float((weight * sums[0] * sums[1]).sum()) / down if down > 0 else 0.0


def _growth(data: _Matched) -> float:
    """Of the variance, for the degree of freedom that the slope takes from the voted prompts (effective number)."""
    size = np.bincount(data.prompt[data.unit], data.votes.weight)
    effective = float(size.sum() ** 2 / (size**2).sum())
    return effective / max(effective - 1, 1)


def _mean_variance(values: Floats, data: _Matched) -> Floats:
    """(k,) variance of the mean over all units of values (u, k), prompts being drawn."""
    prompts = int(data.prompt.max()) + 1
    centred = values - values.mean(axis=0)
    sums = np.zeros((prompts, values.shape[1]))
    np.add.at(sums, data.prompt, centred)
    return (sums**2).sum(axis=0) / len(values) ** 2 * prompts / max(prompts - 1, 1)


def powered_ratings(table: VoteTable, predictions: Predictions) -> Powered:
    """Strengths in logits, mean 0. Raises InputError as `matched` and `davidson` do."""
    return _ratings(matched(table, predictions))


def _ratings(data: _Matched) -> Powered:
    votes, m = data.votes, len(data.votes.contenders)
    fit = davidson(votes.contenders, count_votes(votes))
    alone, bread = covariance(fit, votes), bread_of(fit)
    own, metric = _scores(fit, data)
    slope = _score_slope(fit, data, own, metric)
    total = np.asarray(metric.sum(axis=0)).ravel()
    moved = covariance_of_scores(bread, fit.information, (own - slope * metric).tocsr(), votes, m)
    gaps = data.values - data.values.mean(axis=0)
    gaps -= gaps.mean(axis=1, keepdims=True)
    before = np.diag(alone.matrix)
    variance = _growth(data) * np.diag(moved.matrix) + slope**2 * _mean_variance(gaps, data)
    ratio = float(before.sum() / max(variance.sum(), 1e-300))
    if ratio <= 1:
        slope, variance, moved = 0.0, before, alone
    value = fit.strength - slope * (bread @ total)[:m]
    half, half_alone = _half(variance, moved), _half(before, alone)
    return Powered(
        value=value,
        low=value - half,
        high=value + half,
        votes_value=fit.strength,
        votes_low=fit.strength - half_alone,
        votes_high=fit.strength + half_alone,
        variance=variance,
        votes_variance=before,
        slope=slope,
        ratio=ratio,
    )


def _half(variance: Floats, cover: Covariance) -> Floats:
    return t_quantiles(np.array([cover.freedom])) * np.sqrt(np.maximum(variance, 0))


def _scores(fit: Fit, data: _Matched) -> tuple[Any, Any]:
    """Sparse (n, p): score of each vote, and the change of the score that a unit of λ stands for."""
    from scipy.sparse import csr_array

    votes, m, p, n = data.votes, fit.size, len(fit.information), len(data.votes)
    d, t = score_tables(fit)
    first, second, third = (
        part[0]
        for part in probabilities(
            fit.strength[None],
            None if fit.position is None else np.array([fit.position]),
            None if fit.tie is None else np.array([fit.tie]),
        )
    )
    cell = votes.left, votes.right
    centred = data.values - data.values.mean(axis=0)
    gap = votes.weight * (centred[data.unit, votes.left] - centred[data.unit, votes.right])
    curve = ((first + second - (first - second) ** 2) / 4)[cell] * gap
    parts = []
    for along, tie in (
        (d[(*cell, votes.outcome)] * votes.weight, t[(*cell, votes.outcome)] * votes.weight),
        (curve, (-third * (first - second) / 2)[cell] * gap),
    ):
        columns, values = [votes.left, votes.right], [along, -along]
        if fit.position is not None:
            columns, values = [*columns, np.full(n, m)], [*values, along]
        if fit.tie is not None:
            columns, values = [*columns, np.full(n, p - 1)], [*values, tie]
        rows = np.tile(np.arange(n), len(columns))
        parts.append(csr_array((np.concatenate(values), (rows, np.concatenate(columns))), shape=(n, p)))
    return parts[0], parts[1]


def _score_slope(fit: Fit, data: _Matched, own: Any, metric: Any) -> float:
    """As `_slope`, over the strengths' scores of prompts, each strength in units of its own standard error."""
    from scipy.sparse import csr_array

    prompt = data.prompt[data.unit]
    member = csr_array((np.ones(len(prompt)), (prompt, np.arange(len(prompt)))))
    unit = 1 / np.maximum(np.diag(fit.information)[: fit.size], 1e-300)
    size = np.bincount(prompt, data.votes.weight)
    sums = [(member @ part).toarray()[:, : fit.size] for part in (own, metric)]
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(size > 0, 1 / size, 0.0)
    down = float((weight * (sums[1] ** 2 @ unit)).sum())
    return float((weight * ((sums[0] * sums[1]) @ unit)).sum()) / down if down > 0 else 0.0


def votes_saved(table: VoteTable, predictions: Predictions, *, seed: int = 0) -> Saved:
    """From the average win rates: n (gain - 1), with a jackknife of the ratio's logarithm over groups of prompts.

    The upper end leaves out the growth of the variance for the slope, which makes a useless metric's ratio less than 1.
    """
    data = matched(table, predictions)
    whole, n = _win_rates(data).ratio, len(data.votes)
    voted = np.unique(data.prompt[data.unit])
    groups = min(GROUPS, len(voted))
    group = np.full(int(data.prompt.max()) + 1, -1)
    group[voted] = np.random.default_rng(seed).permutation(np.arange(len(voted)) % groups)
    logs = []
    for left_out in range(groups):
        kept = group[data.prompt[data.unit]] != left_out
        part = replace(data, votes=select(data.votes, kept), unit=data.unit[kept])
        logs.append(math.log(_win_rates(part).ratio))
    error = math.sqrt((groups - 1) / groups * float(((np.array(logs) - np.mean(logs)) ** 2).sum()))
    half = float(t_quantiles(np.array([groups - 1.0]))[0]) * error
    return Saved(
        votes=n * max(whole - 1, 0.0),
        low=n * max(math.exp(math.log(whole) - half) - 1, 0.0),
        high=n * max(_growth(data) * math.exp(math.log(whole) + half) - 1, 0.0),
    )
