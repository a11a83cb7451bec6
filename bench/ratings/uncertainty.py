"""How sure a fit is: clustered covariance, simultaneous intervals, rank sets.

A rater's votes hang together and so do a prompt's, so a vote is not a unit. The two-way sandwich adds the
covariance of rater sums and of prompt sums and takes off that of their intersection (Cameron, Gelbach and
Miller 2011, JBES 29(2)), each times G/(G-1) of its own number of clusters G. The difference of estimates can
fall below the vote-level covariance by chance, or not be a covariance at all; what clustering adds is
therefore kept where it adds: negative eigenvalues of (two-way - vote-level) are set to 0, the others scaled
to keep the trace. Where there are no clusters to find, joint 95% intervals then hold 97.5% instead of 94.1%
(tests/performance/coverage.py); where there are, nothing changes. Intervals use Student's t with min(G) - 1
degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError, unknown
from bench.ratings.fits import Fit, assemble, probabilities
from bench.ratings.vote_table import BOTH_BAD, VoteTable, blocks, select

Floats = NDArray[np.float64]

KINDS = ("two-way", "rater", "prompt", "vote")
DRAWS = 10_000
"""Of the normal vector behind max-t; a 95% point then has a standard error of about 0.01."""
MANY = 500.0
"""Degrees of freedom from which on all differences share one chi-square: see `_largest`."""
WORK = 8e9
"""Multiplications that the Wishart draws may take; beyond it there are fewer draws, 1,000 at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariance:
    matrix: Floats
    """(m, m) of the strengths, logits²."""
    full: Floats
    """(p, p) with position and tie, in the order of `Fit.information`."""
    kind: str
    """One of KINDS: what was clustered on. `vote`: every vote on its own."""
    clusters: dict[str, int]
    """Clusters a dimension."""
    freedom: float
    """Of Student's t; infinite for `vote`."""
    mended: bool
    """Some of what clustering adds to the vote-level covariance came out negative, and was set to 0."""


def cluster_kind(table: VoteTable) -> str:
    """The widest clustering that the table allows: two of a kind make a cluster dimension."""
    raters = table.rater is not None and _distinct(table.rater) > 1
    prompts = table.prompt is not None and _distinct(table.prompt) > 1
    return "two-way" if raters and prompts else "rater" if raters else "prompt" if prompts else "vote"


def covariance(fit: Fit, table: VoteTable, kind: str | None = None) -> Covariance:
    """Sandwich covariance of a fit to this table's votes (same contenders, same weights).

    kind: one of KINDS; None: the widest that the table allows.
    Raises InputError: unknown kind, or one that the table has no raters or prompts for.
    """
    kind = kind or cluster_kind(table)
    if kind not in KINDS:
        raise unknown("clustering", kind, KINDS)
    decided = table.outcome != BOTH_BAD
    votes = table if decided.all() else select(table, decided)
    bread = bread_of(fit)
    meat, clusters = np.zeros_like(bread), {}
    for name, labels in _dimensions(votes, kind):
        if labels is None:
            part, groups = _vote_meat(fit, votes), len(votes)
        elif name == "rater and prompt":
            part, groups = _intersection_meat(fit, labels, votes)
        else:
            sums = _cluster_sums(fit, labels, votes)
            part, groups = sums.T @ sums, len(sums)
        sign = -1.0 if name == "rater and prompt" else 1.0
        meat += sign * groups / max(groups - 1, 1) * part
        clusters[name] = groups
    full, mended = bread @ meat @ bread, False
    if kind == "two-way":
        plain = bread @ _vote_meat(fit, votes) @ bread
        excess, mended = _positive_part(full - plain)
        full = plain + excess
    sides = [clusters[name] for name in ("rater", "prompt") if name in clusters]
    return Covariance(
        matrix=full[: fit.size, : fit.size],
        full=full,
        kind=kind,
        clusters=clusters,
        freedom=min(sides) - 1.0 if sides else math.inf,
        mended=mended,
    )


def _distinct(labels: NDArray[np.int32]) -> int:
    return int(np.count_nonzero(np.bincount(labels)))


def compacted(labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    """Labels renumbered without gaps, and how many there are."""
    place, groups = _places(labels)
    return place[labels], groups


def _places(labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    present = np.bincount(labels) > 0
    return np.cumsum(present) - 1, int(present.sum())


def _dimensions(table: VoteTable, kind: str) -> Iterator[tuple[str, NDArray[np.int64] | None]]:
    for name in ("rater", "prompt"):
        labels = getattr(table, name)
        if kind in ("two-way", name):
            if labels is None:
                raise InputError(f"clustering '{kind}' needs a {name} for every vote; this table has none")
            yield name, labels
    if kind == "two-way":
        assert table.rater is not None
        assert table.prompt is not None
        yield "rater and prompt", table.rater.astype(np.int64) * (int(table.prompt.max()) + 1) + table.prompt
    if kind == "vote":
        yield "vote", None


def bread_of(fit: Fit) -> Floats:
    """(p, p) generalised inverse of the information under strengths that sum to 0."""
    m = fit.size
    centred = fit.information.copy()
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


def _cluster_sums(fit: Fit, labels: NDArray[np.integer], table: VoteTable) -> Floats:
    """(groups, p) score sums of each cluster that has votes."""
    m, p = fit.size, fit.information.shape[0]
    place, groups = _places(labels)
    sums = np.zeros(groups * p)
    for part in blocks(len(table)):
        d, t = _vote_scores(fit, table, part)
        base = place[labels[part]] * p
        np.add.at(sums, base + table.left[part], d)
        np.subtract.at(sums, base + table.right[part], d)
        if fit.position is not None:
            np.add.at(sums, base + m, d)
        if t is not None:
            np.add.at(sums, base + (p - 1), t)
    return sums.reshape(groups, p)


def _vote_meat(fit: Fit, table: VoteTable, without: NDArray[np.intp] | None = None) -> Floats:
    """Sum over votes (but those at `without`) of score scoreᵀ, from counts of cells alone."""
    m = fit.size
    counts = np.zeros(m * m * 3)
    parts: list[tuple[slice | NDArray[np.intp], float]] = [(part, 1.0) for part in blocks(len(table))]
    if without is not None:
        parts += [(without[part], -1.0) for part in blocks(len(without))]
    for part, sign in parts:
        cell = (table.left[part].astype(np.int64) * m + table.right[part]) * 3 + table.outcome[part]
        np.add.at(counts, cell, sign * table.weight[part] ** 2)
    counts = counts.reshape(1, m, m, 3)
    d, t = score_tables(fit)
    dd = (counts * d**2).sum(axis=-1)
    if fit.tie is None:
        return assemble(dd, None, None, position=fit.position is not None)[0]
    dt, tt = (counts * d * t).sum(axis=-1), (counts * t**2).sum(axis=-1)
    return assemble(dd, dt, tt, position=fit.position is not None)[0]


def _intersection_meat(fit: Fit, cells: NDArray[np.int64], table: VoteTable) -> tuple[Floats, int]:
    """Meat of the rater × prompt cells. Cells of one vote, the usual case, go by counts."""
    from scipy.sparse import csr_array

    order = np.argsort(cells)
    ordered = cells[order]
    opens = np.ones(len(cells), bool)  # in this order: the first vote of a cell
    np.not_equal(ordered[1:], ordered[:-1], out=opens[1:])
    groups = int(np.count_nonzero(opens))
    alone = opens.copy()
    alone[:-1] &= opens[1:]
    chosen = order[~alone]
    meat = _vote_meat(fit, table, without=chosen)
    if len(chosen):
        rows = np.cumsum(opens[~alone]) - 1
        shared = int(rows[-1]) + 1
        d, t = _vote_scores(fit, table, chosen)
        m, p = fit.size, meat.shape[0]
        row, column, value = [rows, rows], [table.left[chosen], table.right[chosen]], [d, -d]
        if fit.position is not None:
            row, column, value = [*row, rows], [*column, np.full(len(rows), m)], [*value, d]
        if t is not None:
            row, column, value = [*row, rows], [*column, np.full(len(rows), p - 1)], [*value, t]
        sums = csr_array(
            (np.concatenate(value), (np.concatenate(row), np.concatenate(column))),
            shape=(shared, p),
        )
        meat += (sums.T @ sums).toarray()
    return meat, groups


def _positive_part(matrix: Floats) -> tuple[Floats, bool]:
    """Without its negative eigenvalues, the positive ones scaled so that the trace stays (0 at least)."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] >= -1e-12 * np.abs(values).max():
        return matrix, False
    kept = np.maximum(values, 0)
    kept *= max(values.sum(), 0.0) / max(kept.sum(), 1e-300)
    return (vectors * kept) @ vectors.T, True


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """All pairs i < j of m contenders."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    difference: Floats
    """strength[first] - strength[second], logits."""
    error: Floats
    """Standard error, logits."""
    critical: float
    """Of max-t: |t| beyond it is significant for all pairs at once."""
    low: Floats
    high: Floats
    p_adjusted: Floats
    """Two-sided, adjusted for all pairs."""


def simultaneous_differences(
    strength: Floats,
    matrix: Floats,
    freedom: float,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Differences:
    """All pairwise differences with joint (max-t) intervals: Hothorn, Bretz and Westfall 2008,
    Biometrical Journal 50(3), the largest |t| simulated from the covariance (m, m)."""
    from scipy.special import stdtr

    m = len(strength)
    first, second = np.triu_indices(m, 1)
    variance = matrix[first, first] + matrix[second, second] - 2 * matrix[first, second]
    error = np.sqrt(np.maximum(variance, 1e-300))
    largest = _largest(matrix, freedom, draws, np.random.default_rng(seed))
    draws = len(largest)
    critical = float(np.quantile(largest, level))
    difference = strength[first] - strength[second]
    statistic = np.abs(difference) / error
    beyond = draws - np.searchsorted(np.sort(largest), statistic)
    single = 2 * stdtr(freedom, -statistic) if math.isfinite(freedom) else _two_sided_normal(statistic)
    return Differences(
        first=first,
        second=second,
        difference=difference,
        error=error,
        critical=critical,
        low=difference - critical * error,
        high=difference + critical * error,
        p_adjusted=np.minimum(1.0, np.maximum((1 + beyond) / (1 + draws), single)),
    )


def _largest(matrix: Floats, freedom: float, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(draws or fewer,) largest |t| among all differences of normal vectors with this covariance.

    Few clusters: each draw has a covariance estimate of its own, Wishart with `freedom` degrees of freedom,
    as the fit had. One chi-square for all differences, the textbook's multivariate t, is too short there:
    with 40 clusters joint 95% intervals of 6 contenders hold 94.3%, of 20 contenders 93.4%; with 200 clusters
    94.9% and 94.6%, and from MANY on the two agree.
    """
    m = len(matrix)
    values, vectors = np.linalg.eigh(matrix)
    root = (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32)
    few = math.isfinite(freedom) and freedom < MANY
    if few:
        draws = min(draws, max(1000, int(WORK / ((min(freedom, m) + 60) * m * m))))
    columns = root @ rng.standard_normal((m, draws), dtype=np.float32)
    first, second = np.triu_indices(m, 1)
    variance = (matrix[first, first] + matrix[second, second] - 2 * matrix[first, second]).astype(np.float32)
    if few:
        return _studentised(columns.T, root, int(freedom), rng)
    inverse = np.zeros((m, m), np.float32)
    inverse[first, second] = np.where(variance > 0, 1 / np.sqrt(np.maximum(variance, 1e-30)), 0.0)
    largest = np.zeros(draws, np.float32)
    for i in range(m - 1):
        gap = np.abs(columns[i + 1 :] - columns[i])
        gap *= inverse[i, i + 1 :, None]
        np.maximum(largest, gap.max(axis=0), out=largest)
    if math.isfinite(freedom):
        largest /= np.sqrt(rng.chisquare(freedom, draws) / freedom)
    return largest


def _studentised(
    rows: NDArray[np.float32], root: NDArray[np.float32], freedom: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(draws,) largest |difference| of each row (draws, m) over its standard error by a Wishart draw."""
    draws, m = rows.shape
    largest = np.empty(draws, np.float32)
    block = max(1, 500_000 // (m * m))
    for begin in range(0, draws, block):
        part = rows[begin : begin + block]
        factor = root @ _wishart_factors(len(part), m, freedom, rng)
        wishart = factor @ np.swapaxes(factor, 1, 2)
        own = np.einsum("bii->bi", wishart)
        variance = own[:, :, None] + own[:, None, :]
        variance -= 2 * wishart
        gap = part[:, :, None] - part[:, None, :]
        gap *= gap
        # Below float32's rounding a difference has no variance that could be told from none.
        gap /= np.maximum(variance, 1e-6 * own.max(axis=1)[:, None, None] + 1e-30, out=variance)
        largest[begin : begin + block] = gap.max(axis=(1, 2))
    return np.sqrt(largest * freedom)


def _wishart_factors(draws: int, m: int, freedom: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(draws, m, k) A such that A Aᵀ is Wishart of the identity: Bartlett's triangle (1933) where there are
    as many degrees of freedom as dimensions, else the sample itself."""
    if freedom < m:
        return rng.standard_normal((draws, m, freedom), dtype=np.float32)
    factors = np.tril(rng.standard_normal((draws, m, m), dtype=np.float32), -1)
    index = np.arange(m)
    factors[:, index, index] = np.sqrt(rng.chisquare(freedom - index, (draws, m)))
    return factors


def _two_sided_normal(statistic: Floats) -> Floats:
    from scipy.special import ndtr

    return 2 * ndtr(-statistic)


def rank_sets(differences: Differences, m: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Best and worst rank (m,), 1-based, that the joint intervals leave open to each contender:
    Mogstad, Romano, Shaikh and Wilhelm 2024, Review of Economic Studies 91(1)."""
    better, worse = differences.low > 0, differences.high < 0
    above = np.bincount(differences.second[better], minlength=m)
    above += np.bincount(differences.first[worse], minlength=m)
    below = np.bincount(differences.first[better], minlength=m)
    below += np.bincount(differences.second[worse], minlength=m)
    return 1 + above, m - below


def marginal_errors(matrix: Floats, anchor: int | None) -> Floats:
    """(m,) standard errors of the strengths against their mean, or against the anchor (itself 0)."""
    if anchor is None:
        m = len(matrix)
        centring = np.eye(m) - 1 / m
        return np.sqrt(np.maximum(np.diag(centring @ matrix @ centring), 0))
    return np.sqrt(np.maximum(np.diag(matrix) + matrix[anchor, anchor] - 2 * matrix[anchor], 0))


def t_quantile(freedom: float, level: float = 0.95) -> float:
    """Two-sided critical value; of the normal where `freedom` is infinite."""
    return float(t_quantiles(np.array([freedom]), level)[0])


def t_quantiles(freedom: Floats, level: float = 0.95) -> Floats:
    """As `t_quantile`, of many."""
    from scipy.special import ndtri, stdtrit

    point = (1 + level) / 2
    finite = np.isfinite(freedom)
    return np.where(finite, stdtrit(np.where(finite, freedom, 1.0), point), ndtri(point))
