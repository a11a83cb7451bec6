"""How sure a fit is: clustered covariance, simultaneous intervals, rank sets, cluster bootstrap.

A rater's votes hang together and so do a prompt's, so a vote is not a unit. The two-way sandwich adds the
covariance of rater sums and of prompt sums and takes off that of their intersection (Cameron, Gelbach and
Miller 2011, JBES 29(2)), each times G/(G−1) of its own number of clusters G; negative eigenvalues are set
to 0; intervals use Student's t with min(G) − 1 degrees of freedom.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.battles import BOTH_BAD, VoteTable, select
from arena.ratings import Fit, assemble, newton, probabilities
from bench.records import InputError, unknown

Floats = NDArray[np.float64]

KINDS = ("two-way", "rater", "prompt", "vote")
BLOCK = 8192
"""Rows of the bootstrap's sparse product that are worked on at once."""
DRAWS = 10_000
"""Of the normal vector behind max-t; a 95% point then has a standard error of about 0.01."""


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
    """Negative eigenvalues were set to 0."""


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
    scores = _vote_scores(fit, votes)
    meat, clusters = np.zeros_like(bread), {}
    for name, labels in _dimensions(votes, kind):
        if labels is None:
            part, groups = _vote_meat(fit, votes.weight**2, votes), len(votes)
        elif name == "rater and prompt":
            part, groups = _intersection_meat(fit, scores, labels, votes)
        else:
            compact, groups = _compact(labels)
            sums = _cluster_sums(fit, scores, compact, groups, votes)
            part = sums.T @ sums
        sign = -1.0 if name == "rater and prompt" else 1.0
        meat += sign * groups / max(groups - 1, 1) * part
        clusters[name] = groups
    full, mended = _nearest_psd(bread @ meat @ bread)
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


def _compact(labels: NDArray[np.int32]) -> tuple[NDArray[np.int64], int]:
    present = np.bincount(labels) > 0
    return (np.cumsum(present) - 1)[labels], int(present.sum())


def _dimensions(table: VoteTable, kind: str) -> Iterator[tuple[str, NDArray[np.int64] | None]]:
    for name in ("rater", "prompt"):
        labels = getattr(table, name)
        if kind in ("two-way", name):
            if labels is None:
                raise InputError(f"clustering '{kind}' needs a {name} for every vote; this table has none")
            yield name, labels
    if kind == "two-way":
        assert table.rater is not None and table.prompt is not None
        yield "rater and prompt", table.rater.astype(np.int64) * (int(table.prompt.max()) + 1) + table.prompt
    if kind == "vote":
        yield "vote", None


def bread_of(fit: Fit) -> Floats:
    """(p, p) generalised inverse of the information under strengths that sum to 0."""
    m = fit.size
    centred = fit.information.copy()
    centred[:m, :m] += np.trace(centred[:m, :m]) / m**2
    inverse = np.linalg.inv(centred)
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


def _vote_scores(fit: Fit, table: VoteTable) -> tuple[Floats, Floats | None]:
    d, t = score_tables(fit)
    cell = (table.left.astype(np.int64) * fit.size + table.right) * 3 + table.outcome
    return d.ravel()[cell] * table.weight, None if fit.tie is None else t.ravel()[cell] * table.weight


def _cluster_sums(
    fit: Fit,
    scores: tuple[Floats, Floats | None],
    labels: NDArray[np.int64],
    groups: int,
    table: VoteTable,
) -> Floats:
    """(groups, p) score sums of each cluster."""
    m, (d, t) = fit.size, scores
    sums = np.empty((groups, fit.information.shape[0]))
    base = labels * m
    theta = np.bincount(base + table.left, d, groups * m) - np.bincount(base + table.right, d, groups * m)
    sums[:, :m] = theta.reshape(groups, m)
    if fit.position is not None:
        sums[:, m] = np.bincount(labels, d, groups)
    if t is not None:
        sums[:, -1] = np.bincount(labels, t, groups)
    return sums


def _vote_meat(fit: Fit, squared_weight: Floats, table: VoteTable) -> Floats:
    """Sum over votes of score scoreᵀ, from counts of cells alone."""
    m = fit.size
    cell = (table.left.astype(np.int64) * m + table.right) * 3 + table.outcome
    counts = np.bincount(cell, squared_weight, m * m * 3).reshape(1, m, m, 3)
    d, t = score_tables(fit)
    dd = (counts * d**2).sum(axis=-1)
    if fit.tie is None:
        return assemble(dd, None, None, position=fit.position is not None)[0]
    dt, tt = (counts * d * t).sum(axis=-1), (counts * t**2).sum(axis=-1)
    return assemble(dd, dt, tt, position=fit.position is not None)[0]


def _intersection_meat(
    fit: Fit, scores: tuple[Floats, Floats | None], cells: NDArray[np.int64], table: VoteTable
) -> tuple[Floats, int]:
    """Meat of the rater × prompt cells. Cells of one vote, the usual case, go by counts."""
    from scipy.sparse import csr_array

    inverse, size = _cell_sizes(cells)
    several = size[inverse] > 1
    meat = _vote_meat(fit, np.where(several, 0.0, table.weight**2), table)
    if several.any():
        chosen = np.flatnonzero(several)
        renumber = np.cumsum(size > 1) - 1
        rows = renumber[inverse[chosen]]
        d, t = scores
        m, p = fit.size, meat.shape[0]
        row, column, value = [rows, rows], [table.left[chosen], table.right[chosen]], [d[chosen], -d[chosen]]
        if fit.position is not None:
            row, column, value = [*row, rows], [*column, np.full(len(rows), m)], [*value, d[chosen]]
        if t is not None:
            row, column, value = [*row, rows], [*column, np.full(len(rows), p - 1)], [*value, t[chosen]]
        sums = csr_array(
            (np.concatenate(value), (np.concatenate(row), np.concatenate(column))),
            shape=(int(renumber[-1]) + 1, p),
        )
        meat += (sums.T @ sums).toarray()
    return meat, int(np.count_nonzero(size))


def _cell_sizes(cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of each vote's cell, and votes by cell number. Counting beats sorting where it fits."""
    if int(cells.max()) < 20 * len(cells) + 1_000_000:
        return cells, np.bincount(cells)
    _, inverse, size = np.unique(cells, return_inverse=True, return_counts=True)
    return inverse, size


def _nearest_psd(matrix: Floats) -> tuple[Floats, bool]:
    matrix = (matrix + matrix.T) / 2
    values, vectors = np.linalg.eigh(matrix)
    if values[0] >= -1e-10 * values[-1]:
        return matrix, False
    return (vectors * np.maximum(values, 0)) @ vectors.T, True


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """All pairs i < j of m contenders."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    difference: Floats
    """strength[first] − strength[second], logits."""
    error: Floats
    """Standard error, logits."""
    critical: float
    """Of max-t: |t| beyond it is significant for all pairs at once."""
    low: Floats
    high: Floats
    p_adjusted: Floats
    """Two-sided, adjusted for all pairs."""


def simultaneous_differences(
    strength: Floats, matrix: Floats, freedom: float, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Differences:
    """All pairwise differences with joint (max-t) intervals: Hothorn, Bretz and Westfall 2008,
    Biometrical Journal 50(3), the multivariate t simulated from the covariance (m, m)."""
    from scipy.special import stdtr

    m = len(strength)
    first, second = np.triu_indices(m, 1)
    variance = matrix[first, first] + matrix[second, second] - 2 * matrix[first, second]
    error = np.sqrt(np.maximum(variance, 1e-300))
    rng = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(matrix)
    root = (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32)
    draw = rng.standard_normal((draws, m), dtype=np.float32) @ root.T
    inverse = np.zeros((m, m), np.float32)
    inverse[first, second] = np.where(variance > 0, 1 / error, 0.0)
    largest = np.zeros(draws, np.float32)
    columns = np.ascontiguousarray(draw.T)
    for i in range(m - 1):
        gap = np.abs(columns[i + 1 :] - columns[i])
        gap *= inverse[i, i + 1 :, None]
        np.maximum(largest, gap.max(axis=0), out=largest)
    if math.isfinite(freedom):
        largest = largest / np.sqrt(rng.chisquare(freedom, draws) / freedom)
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
    """Two-sided critical value."""
    from scipy.special import ndtri, stdtrit

    point = (1 + level) / 2
    return float(stdtrit(freedom, point)) if math.isfinite(freedom) else float(ndtri(point))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    strength: Floats
    """(replicates that have finite estimates, m) logits, sum 0."""
    replicates: int
    unbounded: int
    """Replicates without finite estimates; left out, so intervals are too short where these are many."""
    kind: str


def cluster_bootstrap(
    fit: Fit,
    table: VoteTable,
    *,
    replicates: int = 1000,
    kind: str | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> Bootstrap:
    """Refits to votes whose raters and prompts are drawn with replacement, every vote weighted by the
    product of how often its rater and its prompt were drawn (pigeonhole bootstrap: Owen 2007, Annals of
    Applied Statistics 1(2)). Conservative by construction: where nothing but votes varies, its variance is up
    to three times the true one. A check on the sandwich, not a replacement.

    The same seed gives the same replicates whatever `workers` (threads; None: one a core).
    """
    kind = kind or cluster_kind(table)
    decided = table.outcome != BOTH_BAD
    votes = table if decided.all() else select(table, decided)
    start = [fit.strength]
    start += [] if fit.position is None else [np.array([fit.position])]
    start += [] if fit.tie is None else [np.array([fit.tie])]
    centre = np.concatenate(start)
    m = fit.size
    chunk = max(1, min(32, 2_000_000 // (m * m)))
    sizes = [min(chunk, replicates - done) for done in range(0, replicates, chunk)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    resample = _Resampler(votes, m, kind)

    def work(job: tuple[int, np.random.SeedSequence]) -> tuple[Floats, NDArray[np.bool_]]:
        counts = resample(job[0], np.random.default_rng(job[1]))
        parameters, converged, _ = newton(
            _as_fitted(fit, counts),
            ties=fit.tie is not None,
            position=fit.position is not None,
            penalty=fit.penalty,
            start=centre,
            tolerance=1e-5,
            limit=25,
        )
        return parameters[:, :m], converged

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        parts = list(pool.map(work, zip(sizes, seeds, strict=True)))
    strength = np.concatenate([part[0] for part in parts])
    finite = np.concatenate([part[1] for part in parts])
    return Bootstrap(
        strength=strength[finite], replicates=replicates, unbounded=int((~finite).sum()), kind=kind
    )


def _as_fitted(fit: Fit, counts: Floats) -> Floats:
    if fit.tie is not None:
        return counts
    counts[..., :2] += counts[..., 2:] / 2
    counts[..., 2] = 0
    return counts


class _Resampler:
    """Holds the votes by (cell, side) so that a replicate is one sparse product and one sum."""

    def __init__(self, table: VoteTable, m: int, kind: str) -> None:
        from scipy.sparse import csr_array

        self.m, self.kind = m, kind
        cell = (table.left.astype(np.int64) * m + table.right) * 3 + table.outcome
        none = np.zeros(len(table), np.int32)
        sides = [
            table.rater if kind in ("two-way", "rater") and table.rater is not None else none,
            table.prompt if kind in ("two-way", "prompt") and table.prompt is not None else none,
        ]
        compact = [_compact(side) for side in sides]
        # The side with fewer clusters makes the rows: fewer of them, and longer.
        compact.sort(key=lambda pair: pair[1])
        (row_side, self.row_clusters), (column_side, self.column_clusters) = compact
        rows, inverse = np.unique(cell * self.row_clusters + row_side, return_inverse=True)
        votes = csr_array(
            (table.weight.astype(np.float32), (inverse, column_side)),
            shape=(len(rows), self.column_clusters),
        )
        self.cells, starts = np.unique(rows // self.row_clusters, return_index=True)
        ends = np.append(starts, len(rows))
        to_cells = csr_array(
            (np.ones(len(rows), np.float32), np.arange(len(rows)), ends), shape=(len(starts), len(rows))
        )
        row_cluster = (rows % self.row_clusters).astype(np.intp)
        # Blocks of whole cells that stay in a core's cache: measured seven times faster than one product.
        self.blocks = []
        first = 0
        while first < len(starts):
            last = max(first + 1, int(np.searchsorted(ends, ends[first] + BLOCK, side="right")) - 1)
            a, b = ends[first], ends[last]
            self.blocks.append((votes[a:b], row_cluster[a:b], to_cells[first:last, a:b]))
            first = last
        self.base = to_cells @ votes.sum(axis=1, dtype=np.float64)

    def __call__(self, replicates: int, rng: np.random.Generator) -> Floats:
        """(replicates, m, m, 3) counts."""
        counts = np.zeros((replicates, self.m * self.m * 3))
        if self.kind == "vote":
            share = self.base / self.base.sum()
            counts[:, self.cells] = rng.multinomial(round(self.base.sum()), share, size=replicates)
        else:
            columns = _multiplicities(self.column_clusters, replicates, rng)
            rows = _multiplicities(self.row_clusters, replicates, rng)
            parts = []
            for votes, row_cluster, to_cells in self.blocks:
                by_row = votes @ columns
                by_row *= rows.take(row_cluster, axis=0)
                parts.append(to_cells @ by_row)
            counts[:, self.cells] = np.concatenate(parts).T
        return counts.reshape(replicates, self.m, self.m, 3)


def _multiplicities(clusters: int, replicates: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(clusters, replicates): how often each cluster is drawn."""
    if clusters == 1:
        return np.ones((1, replicates), np.float32)
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates)
    return np.ascontiguousarray(drawn.T, dtype=np.float32)
