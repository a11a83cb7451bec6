"""How far votes of one rater, and votes on one prompt, move together: variance components by moments.

A statistic of the votes is, to first order, a sum over votes of exposure times residual (a vote's exposure is its
weight). The variance of such a sum under crossed random effects of raters and prompts is

    V = b Q_rater + d Q_prompt + f Q_cell + e Q_vote,

where Q_k is the sum over the clusters of level k of (exposure of the cluster)², a cell is one rater on one
prompt, and b, d, f, e are numbers, or matrices for a fit. The sum of squares of the cluster sums of each level has
an expectation that is linear in the same four unknowns, so V is estimated by a fixed combination of the four
observed sums of squares. Where clusters are even, the combination is (1, 1, -1, 0) but for factors G/(G - 1): the
two-way variance of Cameron, Gelbach and Miller 2011, JBES 29(2).

Where they are uneven, that estimator rests on the one or two clusters that dominate Q, whose residuals the fit has
already absorbed. Here the squares of a level enter with the weights that estimate b (or d) best, clusters of many
votes about equally however many votes they hold, and the centre is removed with the same weights. The number of
degrees of freedom is Satterthwaite's (1946, Biometrics Bulletin 2(6)) for this combination. Source of the moments:
Gao and Owen 2020, Statistica Sinica 30(4), arXiv 1610.08088.

Measured against it (results/coverage): the two-way sandwich with min(G) - 1 degrees of freedom, CR2 after
Bell and McCaffrey 2002 with Satterthwaite degrees of freedom, the leave-one-cluster-out jackknife CR3, and the
effective number of clusters of Carter, Schnepel and Steigerwald 2017 (REStat 99(4)). With one rater who gives half of
the votes, the first is too short, and the others give a variance with about one degree of freedom: no
residual-based estimate can do better, because that rater's residual says nothing that the estimate does not.

Assumes that how far a rater's taste strays does not depend on how many votes they gave; likewise for prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DIMENSIONS = ("rater", "prompt")
PRIOR = 20.0
"""Degrees of freedom of the variance ratios shared by all owners, where an owner's own estimate has none; they
decrease as the owner's own increase (see `moderation`)."""
ROUNDS = 2
"""Re-estimates of the variance ratios that the weights of clusters depend on."""


def _totals(labels: Ints, values: Floats, size: int) -> Floats:
    """(size,) sum of the values of each label."""
    return np.asarray(np.bincount(labels, values, size), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The clusters of one level: raters, prompts, cells, or single votes. A cluster belongs to one owner."""

    index: Ints
    """(n,) cluster of each vote."""
    exposure: Floats
    """(clusters,) sum of the votes' exposures, > 0."""
    squares: Floats
    """(clusters,) sum of the squares of the votes' exposures, > 0."""
    owner: Ints
    """(clusters,) statistic that the cluster belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Votes grouped by owner (the statistic they enter: one fit, or one win rate of many) and by level."""

    owners: int
    exposure: Floats
    """(n,) > 0."""
    levels: dict[str, Level]
    """Some of `rater`, `prompt`, `cell`, and `vote`, which is always there and last."""
    squares: Floats
    """(owners, levels) Q: sum over an owner's clusters of their squared exposure."""
    total: Floats
    """(owners,) sum of exposures."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Which of `rater` and `prompt` are clustered on."""
        return tuple(name for name in DIMENSIONS if name in self.levels)

    def counts(self, name: str) -> Ints:
        """(owners,) clusters of a level."""
        return np.bincount(self.levels[name].owner, minlength=self.owners)

    def effective(self, name: str) -> Floats:
        """(owners,) Kish's effective number of clusters of a level: (sum of exposures)² / sum of squares."""
        column = list(self.levels).index(name)
        return self.total**2 / np.maximum(self.squares[:, column], 1e-300)


def clusters_of(
    exposure: Floats,
    labels: Mapping[str, NDArray[np.integer]],
    owner: NDArray[np.integer] | None = None,
    owners: int = 1,
) -> Clusters:
    """Group n votes.

    Parameters
    ----------
    exposure: (n,) > 0, weight of each vote in its statistic.
    labels: (n,) codes by dimension, `rater`, `prompt` or both; empty: every vote on its own.
    owner: (n,) which of `owners` statistics a vote enters; None: one statistic.
    """
    n = len(exposure)
    owner = np.zeros(n, np.int64) if owner is None else owner.astype(np.int64)
    placed: dict[str, tuple[Ints, Ints]] = {}
    for name in DIMENSIONS:
        if name in labels:
            width = int(labels[name].max(initial=0)) + 1
            index, keys = renumbered(owner * width + labels[name], owners * width)
            placed[name] = index, keys // width
    if len(placed) == 2:
        (rows, row_owner), (columns, column_owner) = placed["rater"], placed["prompt"]
        width = len(column_owner)
        index, keys = renumbered(rows * width + columns, len(row_owner) * width)
        placed["cell"] = index, row_owner[keys // width]
    squared = exposure**2
    levels = {
        name: Level(
            index=index,
            exposure=_totals(index, exposure, len(own)),
            squares=_totals(index, squared, len(own)),
            owner=own,
        )
        for name, (index, own) in placed.items()
    }
    levels["vote"] = Level(index=np.arange(n), exposure=exposure, squares=squared, owner=owner)
    return Clusters(
        owners=owners,
        exposure=exposure,
        levels=levels,
        squares=np.stack([_totals(v.owner, v.exposure**2, owners) for v in levels.values()], axis=1),
        total=_totals(owner, exposure, owners),
    )


def renumbered(keys: Ints, width: int) -> tuple[Ints, Ints]:
    """Keys in [0, width) renumbered without gaps in their order, and the keys that occur."""
    if width < 4 * len(keys) + 1_000_000:
        seen = np.zeros(width, bool)
        seen[keys] = True
        return (np.cumsum(seen) - 1)[keys], np.flatnonzero(seen)
    unique, inverse = np.unique(keys, return_inverse=True)
    return inverse, unique


def cluster_weights(clusters: Clusters, ratios: Mapping[str, float]) -> dict[str, Floats]:
    """Weight of each cluster's square in its level's sum of squares, (clusters,) by dimension.

    ratios: by dimension, variance of a cluster's effect over that of a vote. The weights are those of least
    squares for the effect's variance: even at ratio 0, one over the squared exposure where the ratio is large.
    """
    weights = {}
    for name, ratio in ratios.items():
        level = clusters.levels[name]
        size = level.exposure**2 / level.squares
        weights[name] = size / level.squares / (1 + ratio * size) ** 2
    return weights


def expected_squares(clusters: Clusters, weights: Mapping[str, Floats]) -> Floats:
    """(owners, k, j) expected sum of squares of level k for a unit variance component of level j.

    The squares of a level with weights are taken about its weighted centre (`centred`), those of the others about
    the estimate itself, at which the residuals sum to 0.
    """
    names, owners = list(clusters.levels), clusters.owners
    expected = np.zeros((owners, len(names), len(names)))
    for k, name in enumerate(names):
        level = clusters.levels[name]
        weight = weights.get(name)
        one = np.ones(len(level.exposure)) if weight is None else weight
        leverage = (one * level.exposure)[level.index] * clusters.exposure
        scale = _totals(level.owner, one * level.exposure**2, owners)
        for j, other_name in enumerate(names):
            other = clusters.levels[other_name]
            held = _totals(other.index, leverage, len(other.exposure))
            # About the estimate itself, or about the level's weighted centre.
            about, held_by = (other.exposure, clusters.total) if weight is None else (held, scale)
            centre = about / held_by[other.owner]
            expected[:, k, j] = (
                _shared_squares(clusters, name, other_name, one)
                - 2 * _totals(other.owner, centre * held, owners)
                + scale * _totals(other.owner, centre**2, owners)
            )
    return expected


def _shared_squares(clusters: Clusters, name: str, other: str, weight: Floats) -> Floats:
    """(owners,) sum over clusters of `name`, weighted, of the squared exposures of their parts by `other`."""
    level = clusters.levels[name]
    if name == other:
        parts, owner = weight * level.exposure**2, level.owner
    elif "vote" in (name, other):
        parts, owner = weight * level.squares, level.owner
    elif name == "cell":
        parts, owner = level.exposure**2, level.owner
    else:
        cell = clusters.levels["cell"]
        of_cell = np.zeros(len(cell.exposure), np.int64)
        of_cell[cell.index] = level.index
        parts, owner = weight[of_cell] * cell.exposure**2, cell.owner
    return _totals(owner, parts, clusters.owners)


def combination(clusters: Clusters, expected: Floats) -> Floats:
    """(owners, levels) λ: the combination of the levels' sums of squares whose expectation is V.

    Where a level cannot be distinguished from another (every cell holds one vote), the smallest λ is taken.
    """
    unit = np.swapaxes(expected / np.maximum(clusters.squares[:, None, :], 1e-300), 1, 2)
    scale = np.maximum(np.abs(unit).max(axis=1), 1e-300)
    unit = unit / scale[:, None, :]
    normal = np.swapaxes(unit, 1, 2) @ unit + 1e-10 * np.eye(unit.shape[2])
    return np.linalg.solve(normal, unit.sum(axis=1)[..., None])[..., 0] / scale


def variance_ratios(clusters: Clusters, expected: Floats, observed: Floats) -> dict[str, float]:
    """By dimension, the variance of a cluster's effect over a vote's, at least 0, shared by all owners.

    observed: (owners, levels) sums of squares, taken as in `expected_squares`.
    """
    squares = np.maximum(clusters.squares.sum(axis=0), 1e-300)
    unit = expected.sum(axis=0) / squares
    scale = np.maximum(np.abs(unit).max(axis=1), 1e-300)
    sums = observed.sum(axis=0)
    component = np.linalg.lstsq(unit / scale[:, None], sums / scale, rcond=1e-8)[0] / squares
    noise = max(float(sums[-1] / squares[-1]), 1e-300)
    names = list(clusters.levels)
    return {name: max(float(component[names.index(name)]), 0.0) / noise for name in clusters.dimensions}


def degrees_of_freedom(
    clusters: Clusters, weights: Mapping[str, Floats], combined: Floats, ratios: Mapping[str, float]
) -> Floats:
    """(owners,) Satterthwaite's, at least 1, of the combined estimate if the ratios are the true ones.

    Infinite where nothing is clustered on. combined: λ of `combination`.
    """
    names, owners = list(clusters.levels), clusters.owners
    whole = clusters.squares[:, -1].copy()
    spread = np.zeros(owners)
    for name, ratio in ratios.items():
        column, level, weight = names.index(name), clusters.levels[name], weights[name]
        whole += ratio * clusters.squares[:, column]
        square = weight * (ratio * level.exposure**2 + level.squares)
        part = weight * level.exposure**2
        part = part / np.maximum(_totals(level.owner, part, owners)[level.owner], 1e-300)
        # Trace of the square of the covariance of the centred cluster sums.
        trace = _totals(level.owner, square**2 * (1 - 2 * part), owners)
        trace += _totals(level.owner, part * square, owners) ** 2
        spread += combined[:, column] ** 2 * trace
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.where(spread > 0, whole**2 / spread, np.inf), 1.0)


def moderation(own: Floats | float, others: Floats | float) -> Floats:
    """Degrees of freedom of the shared ratios beside `own` ones: PRIOR²/(PRIOR + own), at most `others`.

    After Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1): a variance estimated from
    little is drawn towards what all owners say, a variance estimated from much hardly.
    """
    return np.minimum(PRIOR**2 / (PRIOR + np.asarray(own, np.float64)), others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variances:
    """Variance of each owner's sum of exposure times residual."""

    variance: Floats
    """(owners,) never below the vote-level one; nan where no dimension has two clusters but some have one."""
    freedom: Floats
    """(owners,) degrees of freedom, >= 1; infinite: nothing was clustered on."""
    plain: Floats
    """(owners,) vote-level variance."""
    ratios: dict[str, float]
    """By dimension: variance of a cluster's effect over a vote's, shared by all owners."""


def variances(clusters: Clusters, values: Floats, *, dependent: int = 0) -> Variances:
    """Variances of many statistics at once.

    Parameters
    ----------
    clusters: the votes grouped.
    values: (n,) exposure times residual of each vote; an owner's sum is 0, the residuals being taken at its estimate.
    dependent: statistics that follow from the others, as one of m average win rates does; their votes are counted once.
    """
    ratios = dict.fromkeys(clusters.dimensions, 0.0)
    sums = {
        name: values if name == "vote" else _totals(level.index, values, len(level.exposure))
        for name, level in clusters.levels.items()
    }
    for remaining in range(ROUNDS, -1, -1):
        weights = cluster_weights(clusters, ratios)
        expected = expected_squares(clusters, weights)
        observed = np.stack(
            [_observed(clusters, name, sums[name], weights.get(name)) for name in clusters.levels], axis=1
        )
        if remaining and ratios:
            ratios = variance_ratios(clusters, expected, observed)
    plain = observed[:, -1]
    if not ratios:
        return Variances(variance=plain, freedom=np.full(clusters.owners, np.inf), plain=plain, ratios={})
    combined = combination(clusters, expected)
    own = np.maximum((combined * observed).sum(axis=1), plain)
    freedom = degrees_of_freedom(clusters, weights, combined, ratios)
    freedom = np.minimum(freedom, np.maximum(clusters.counts("vote") - 1.0, 0.0))
    for name in ratios:  # One cluster says nothing of how clusters differ.
        freedom = np.where(clusters.counts(name) > 1, freedom, 0.0)
    return _moderated(clusters, own, freedom, plain, ratios, dependent)


def _moderated(
    clusters: Clusters,
    own: Floats,
    freedom: Floats,
    plain: Floats,
    ratios: dict[str, float],
    dependent: int,
) -> Variances:
    names = list(clusters.levels)
    noise = plain / np.maximum(clusters.squares[:, -1], 1e-300)
    shared = plain + sum(
        ratio * noise * clusters.squares[:, names.index(name)] for name, ratio in ratios.items()
    )
    independent = 1 - dependent / max(clusters.owners, 1)
    prior = moderation(freedom, np.maximum(independent * freedom.sum() - freedom, 0.0))
    total = freedom + prior
    own = np.where(freedom > 0, own, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (freedom * own + prior * shared) / total
    return Variances(variance=variance, freedom=np.maximum(total, 1.0), plain=plain, ratios=ratios)


def _observed(clusters: Clusters, name: str, sums: Floats, weight: Floats | None) -> Floats:
    """(owners,) sum of squares of a level's cluster sums, about the weighted centre where there are weights."""
    level, owners = clusters.levels[name], clusters.owners
    if weight is None:
        return _totals(level.owner, sums**2, owners)
    scale = _totals(level.owner, weight * level.exposure**2, owners)
    about = _totals(level.owner, weight * level.exposure * sums, owners)
    return _totals(level.owner, weight * sums**2, owners) - about**2 / np.maximum(scale, 1e-300)
