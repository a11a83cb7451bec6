"""The clustered covariance of a fit.

The votes of one rater are correlated, and so are the votes on one prompt, so a vote is not a unit of replication. The
covariance is bread · meat · bread with the meat of `bench.ratings.clusters`: crossed variance components of the score
sums of raters, prompts and cells, right where a few raters give most of the votes. Two repairs follow. What clustering
adds to the vote-level covariance must be a covariance: its negative eigenvalues are set to 0, the others scaled to
keep the trace. And with three contenders or more, a covariance estimated from few effective clusters is drawn towards
one in which all contenders vary alike (`moderation`). Intervals use Student's t with Satterthwaite degrees of freedom.
Measured in results/coverage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError, unknown
from bench.ratings.clusters import (
    DIMENSIONS,
    ROUNDS,
    Clusters,
    Level,
    cluster_weights,
    clusters_of,
    combination,
    degrees_of_freedom,
    expected_squares,
    moderation,
    renumbered,
    variance_ratios,
)
from bench.ratings.fits import MANY_CONTENDERS, Fit, assemble, probabilities
from bench.ratings.vote_table import BOTH_BAD, VoteTable, blocks, select

Floats = NDArray[np.float64]

KINDS = ("two-way", "rater", "prompt", "vote")
SPARSE_FROM = 1 << 22
"""Entries from which on mostly empty cluster sums are kept sparse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariance:
    matrix: Floats
    """(m, m) of the strengths, logits²."""
    full: Floats
    """(p, p) with position and tie, in the order of `Fit.information`."""
    kind: str
    """One of KINDS: what was clustered on. `vote`: every vote on its own."""
    clusters: dict[str, int]
    """Clusters of each level."""
    effective: dict[str, float]
    """Kish's effective number of raters and of prompts: (sum of their weights)² / sum of the squares."""
    freedom: float
    """Of Student's t, >= 1; infinite for `vote`."""
    repaired: bool
    """Some of what clustering adds to the vote-level covariance was negative, and was set to 0."""


def cluster_kind(table: VoteTable) -> str:
    """The widest clustering that the table allows: a dimension needs two clusters, and one of two votes or more."""
    usable = [
        name
        for name, column in (("rater", table.rater), ("prompt", table.prompt))
        if column is not None and 1 < _distinct(column) < len(table)
    ]
    return "two-way" if len(usable) == 2 else usable[0] if usable else "vote"


def cluster_labels(table: VoteTable, kind: str) -> dict[str, NDArray[np.int32]]:
    """The table's columns that a kind of clustering groups by. Raises InputError: unknown kind, no such column."""
    if kind not in KINDS:
        raise unknown("clustering", kind, KINDS)
    labels = {}
    for name in DIMENSIONS:
        if kind in ("two-way", name):
            column = table.rater if name == "rater" else table.prompt
            if column is None:
                raise InputError(f"clustering '{kind}' needs a {name} for every vote; this table has none")
            labels[name] = column
    return labels


def effective_numbers(table: VoteTable) -> dict[str, float]:
    """Kish's effective number of raters and of prompts behind a table's weights; those that are unknown are absent.

    40 raters of whom one gives half of the votes count as 3.9.
    """
    sizes = {
        name: np.bincount(column, table.weight)
        for name, column in (("rater", table.rater), ("prompt", table.prompt))
        if column is not None and len(table)
    }
    return {name: float(size.sum() ** 2 / (size**2).sum()) for name, size in sizes.items()}


def covariance(fit: Fit, table: VoteTable, kind: str | None = None) -> Covariance:
    """Clustered covariance of a fit to this table's votes (same contenders, same weights).

    Parameters
    ----------
    fit: of `davidson` or `bradley_terry`.
    table: the votes that were fitted; both_bad is passed over.
    kind: one of KINDS; None: the widest that the table allows.

    Raises
    ------
    InputError: unknown kind, or one that the table has no raters or prompts for.
    """
    kind = kind or cluster_kind(table)
    decided = table.outcome != BOTH_BAD
    votes = table if decided.all() else select(table, decided)
    clusters = clusters_of(votes.weight, cluster_labels(votes, kind))
    fixed = {"vote": _vote_meat(fit, votes)}
    if "cell" in clusters.levels:
        fixed["cell"] = _cell_meat(fit, clusters.levels["cell"], votes, fixed["vote"])
    sums = {name: _cluster_sums(fit, clusters.levels[name], votes) for name in clusters.dimensions}
    return _sandwich(bread_of(fit), fit.information, clusters, sums, fixed, kind, fit.size)


def covariance_of_scores(
    bread: Floats, information: Floats, scores: Any, votes: VoteTable, m: int, kind: str | None = None
) -> Covariance:
    """As `covariance`, of a model whose votes' scores are given one by one.

    Parameters
    ----------
    bread: (p, p) generalised inverse of the information; the first m parameters are the strengths.
    information: (p, p), for the scale of the parameters.
    scores: sparse (n, p) weighted gradient of each vote's log-likelihood at the estimate.
    votes: the n votes, none of them both_bad.
    m: contenders.
    kind: one of KINDS; None: the widest that the table allows.
    """
    from scipy.sparse import csr_array

    kind = kind or cluster_kind(votes)
    clusters = clusters_of(votes.weight, cluster_labels(votes, kind))
    totals = {}
    for name, level in clusters.levels.items():
        member = csr_array(
            (np.ones(len(level.index)), (level.index, np.arange(len(level.index)))),
            shape=(len(level.exposure), len(level.index)),
        )
        totals[name] = scores if name == "vote" else member @ scores
    fixed = {name: (totals[name].T @ totals[name]).toarray() for name in totals if name in ("vote", "cell")}
    sums = {name: totals[name].toarray() for name in clusters.dimensions}
    return _sandwich(bread, information, clusters, sums, fixed, kind, m)


def _sandwich(
    bread: Floats,
    information: Floats,
    clusters: Clusters,
    sums: dict[str, Any],
    fixed: dict[str, Floats],
    kind: str,
    m: int,
) -> Covariance:
    """Bread · meat · bread, repaired.

    sums: (clusters, p) scores of raters and prompts; fixed: (p, p) meat of votes and cells.
    """
    plain = bread @ fixed["vote"] @ bread
    if clusters.dimensions:
        meat, freedom, ratios = _clustered_meat(information, clusters, sums, fixed, m)
        full, freedom, repaired = _repaired(bread @ meat @ bread, plain, freedom, clusters, ratios, m)
    else:
        full, freedom, repaired = plain, math.inf, False
    return Covariance(
        matrix=full[:m, :m],
        full=full,
        kind=kind,
        clusters={name: int(clusters.counts(name)[0]) for name in clusters.levels},
        effective={name: float(clusters.effective(name)[0]) for name in clusters.dimensions},
        freedom=freedom,
        repaired=repaired,
    )


def _clustered_meat(
    information: Floats, clusters: Clusters, sums: dict[str, Any], fixed: dict[str, Floats], m: int
) -> tuple[Floats, float, dict[str, float]]:
    """Meat (p, p), degrees of freedom, and the ratios of `variance_ratios`."""
    # Strengths in units of their own standard error: all of them tell about the ratios.
    unit = 1 / np.maximum(np.diag(information)[:m], 1e-300)
    ratios = dict.fromkeys(clusters.dimensions, 0.0)
    for _ in range(ROUNDS):
        weights = cluster_weights(clusters, ratios)
        observed = [
            (
                _diagonal(sums[name], weights[name], clusters.levels[name])
                if name in sums
                else np.diag(fixed[name])
            )[:m]
            @ unit
            for name in clusters.levels
        ]
        ratios = variance_ratios(clusters, expected_squares(clusters, weights), np.array([observed]))
    weights = cluster_weights(clusters, ratios)
    combined = combination(clusters, expected_squares(clusters, weights))
    meat = sum(
        share
        * (_weighted_meat(sums[name], weights[name], clusters.levels[name]) if name in sums else fixed[name])
        for share, name in zip(combined[0].tolist(), clusters.levels, strict=True)
    )
    return np.asarray(meat), float(degrees_of_freedom(clusters, weights, combined, ratios)[0]), ratios


def _weighted_meat(sums: Any, weight: Floats, level: Level) -> Floats:
    """(p, p) sum over clusters of weight · sum sumᵀ, about the weighted centre."""
    dense = isinstance(sums, np.ndarray)
    scaled = sums * weight[:, None] if dense else sums.multiply(weight[:, None]).tocsr()
    product = sums.T @ scaled
    centre = (weight * level.exposure) @ sums
    around = np.outer(centre, centre) / (weight @ level.exposure**2)
    return (product if dense else product.toarray()) - around


def _diagonal(sums: Any, weight: Floats, level: Level) -> Floats:
    """(p,) diagonal of `_weighted_meat`."""
    squares = weight @ sums**2
    return squares - ((weight * level.exposure) @ sums) ** 2 / (weight @ level.exposure**2)


def _repaired(
    full: Floats, plain: Floats, freedom: float, clusters: Clusters, ratios: dict[str, float], m: int
) -> tuple[Floats, float, bool]:
    """Covariance (p, p) whose excess over the vote-level one is a covariance, moderated, and its degrees of freedom.

    The strengths are repaired apart from position and tie, whose units differ.
    """
    if m > MANY_CONTENDERS:  # Contender by contender: the eigenvalues of thousands take minutes.
        added = np.diag(full - plain)[:m]
        excess, repaired = np.diag(np.maximum(added, 0.0)), bool((added < 0).any())
    else:
        excess, repaired = _positive_part((full - plain)[:m, :m])
    strengths = plain[:m, :m] + excess
    if m > 2:
        prior = float(moderation(freedom, (m - 2) * freedom))
        alike = plain[:m, :m].copy()
        noise = np.trace(alike) / clusters.squares[0, -1] / (m - 1)
        for column, name in enumerate(clusters.levels):
            if name in ratios:
                spread = ratios[name] * noise * clusters.squares[0, column]
                alike += spread * (np.eye(m) - 1 / m)
        strengths = (freedom * strengths + prior * alike) / (freedom + prior)
        freedom += prior
    result = full.copy()
    result[:m, :m] = strengths
    rest = np.arange(m, len(full))
    result[rest, rest] = np.maximum(full[rest, rest], plain[rest, rest])
    return result, freedom, repaired


def _distinct(labels: NDArray[np.int32]) -> int:
    return int(np.count_nonzero(np.bincount(labels)))


def bread_of(fit: Fit) -> Floats:
    """As `centred_inverse`, of a fit."""
    return centred_inverse(fit.information, fit.size)


def centred_inverse(information: Floats, m: int) -> Floats:
    """(p, p) generalised inverse of the information under m strengths, the first parameters, that sum to 0."""
    centred = information.copy()
    centred[:m, :m] += np.trace(centred[:m, :m]) / m**2
    inverse = np.asarray(np.linalg.inv(centred), np.float64)
    inverse[:m] -= inverse[:m].mean(axis=0)
    inverse[:, :m] -= inverse[:, :m].mean(axis=1, keepdims=True)
    return inverse


def score_tables(fit: Fit) -> tuple[Floats, Floats]:
    """Score of one vote in the difference d and in the tie parameter, each (m, m, 3) by cell."""
    first, second, third = (
        p[0]
        for p in probabilities(
            fit.strength[None],
            None if fit.position is None else np.array([fit.position]),
            None if fit.tie is None else np.array([fit.tie]),
        )
    )
    d = np.array([0.5, -0.5, 0.0]) - ((first - second) / 2)[..., None]
    return d, np.array([0.0, 0.0, 1.0]) - third[..., None]


def _vote_scores(
    fit: Fit, table: VoteTable, chosen: slice | NDArray[np.intp]
) -> tuple[Floats, Floats | None]:
    """Weighted scores of the chosen votes in d, and in the tie parameter where it is modelled."""
    d, t = score_tables(fit)
    left, right, outcome = table.left[chosen], table.right[chosen], table.outcome[chosen]
    cell, weight = (left.astype(np.int64) * fit.size + right) * 3 + outcome, table.weight[chosen]
    return d.ravel()[cell] * weight, None if fit.tie is None else t.ravel()[cell] * weight


def _cluster_sums(fit: Fit, level: Level, table: VoteTable) -> Any:
    """(clusters, p) score sums; sparse where a cluster sees few of the contenders."""
    m, p = fit.size, fit.information.shape[0]
    groups = len(level.exposure)
    if groups * p > SPARSE_FROM and groups * p > 8 * len(table):
        return _score_sums(fit, table, slice(None), level.index, groups)
    sums = np.zeros(groups * p)
    for part in blocks(len(table)):
        d, t = _vote_scores(fit, table, part)
        base = level.index[part] * p
        np.add.at(sums, base + table.left[part], d)
        np.subtract.at(sums, base + table.right[part], d)
        if fit.position is not None:
            np.add.at(sums, base + m, d)
        if t is not None:
            np.add.at(sums, base + (p - 1), t)
    return sums.reshape(groups, p)


def _score_sums(
    fit: Fit, table: VoteTable, chosen: slice | NDArray[np.intp], rows: NDArray[np.int64], groups: int
) -> Any:
    """Sparse (groups, p) sums of the chosen votes' scores; rows: the group of each."""
    from scipy.sparse import csr_array

    m, p = fit.size, fit.information.shape[0]
    d, t = _vote_scores(fit, table, chosen)
    row, column, value = [rows, rows], [table.left[chosen], table.right[chosen]], [d, -d]
    if fit.position is not None:
        row, column, value = [*row, rows], [*column, np.full(len(rows), m)], [*value, d]
    if t is not None:
        row, column, value = [*row, rows], [*column, np.full(len(rows), p - 1)], [*value, t]
    return csr_array(
        (np.concatenate(value), (np.concatenate(row), np.concatenate(column))), shape=(groups, p)
    )


def _vote_meat(fit: Fit, table: VoteTable, chosen: NDArray[np.intp] | None = None) -> Floats:
    """Sum over votes (those at `chosen`; None: all) of score scoreᵀ, from counts of cells alone."""
    m = fit.size
    counts = np.zeros(m * m * 3)
    for part in blocks(len(table) if chosen is None else len(chosen)):
        votes = part if chosen is None else chosen[part]
        cell = (table.left[votes].astype(np.int64) * m + table.right[votes]) * 3 + table.outcome[votes]
        np.add.at(counts, cell, table.weight[votes] ** 2)
    counts = counts.reshape(1, m, m, 3)
    d, t = score_tables(fit)
    dd = (counts * d**2).sum(axis=-1)
    if fit.tie is None:
        return assemble(dd, None, None, position=fit.position is not None)[0]
    dt, tt = (counts * d * t).sum(axis=-1), (counts * t**2).sum(axis=-1)
    return assemble(dd, dt, tt, position=fit.position is not None)[0]


def _cell_meat(fit: Fit, level: Level, table: VoteTable, vote_meat: Floats) -> Floats:
    """Meat of the rater × prompt cells. Cells of one vote, the usual case, are in the vote-level meat already."""
    chosen = np.flatnonzero((np.bincount(level.index) > 1)[level.index])
    if not len(chosen):
        return vote_meat
    rows, cells = renumbered(level.index[chosen], len(level.exposure))
    sums = _score_sums(fit, table, chosen, rows, len(cells))
    return vote_meat - _vote_meat(fit, table, chosen) + (sums.T @ sums).toarray()


def _positive_part(matrix: Floats) -> tuple[Floats, bool]:
    """Without its negative eigenvalues, the positive ones scaled so that the trace stays (0 at least)."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] >= -1e-12 * np.abs(values).max():
        return matrix, False
    kept = np.maximum(values, 0)
    kept *= max(values.sum(), 0.0) / max(kept.sum(), 1e-300)
    return (vectors * kept) @ vectors.T, True
