"""What the first place hangs on: few votes, one rater, a cycle, or raters of one kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.covariance import bread_of, score_tables
from bench.ratings.fits import Fit, count_votes, davidson, newton
from bench.ratings.rater_agreement import rater_consistency
from bench.ratings.vote_table import BOTH_BAD, VoteTable, select
from bench.ratings.winrates import PairRates

Floats = NDArray[np.float64]

CHECKED = 10
"""Raters nearest to flipping the first place, whose removal is refitted and not only approximated."""


REFITTED = 6_000_000
"""Numbers in the counts of all raters, up to which every leave-one-rater-out fit is done exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FewVotes:
    """Votes whose removal changes the first place, checked by a refit without them: at most so many are needed."""

    votes: int | None = None
    """An upper bound of the fewest; None: no removal of up to half the votes was found."""
    share: float | None = None
    challenger: str | None = None
    """First place of the refit without those votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycles:
    count: int = 0
    """Triples of which each beats the next in votes."""
    examples: tuple[tuple[str, str, str], ...] = ()
    """At most ten."""
    clear: int = 0
    """Of `count` those whose three clustered intervals all exclude 50%: the others may be noise."""
    winner: str | None = None
    """The contender that beats every other, if one does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quartile:
    quartile: int
    """1: the least consistent raters."""
    consistency: float
    """Mean share of votes with the majority of the others."""
    raters: int
    votes: int
    strength: tuple[float, ...] | None
    """Logits in contender order; None where `note` says why."""
    note: str = ""


CHALLENGERS = 3
"""Contenders for whom the fewest votes are sought: those to whom the first-order estimate brings the lead closest."""


def few_votes(fit: Fit) -> FewVotes:
    """An upper bound of the fewest votes without which another contender is first.

    For each of CHALLENGERS contenders, votes are removed in order of their influence on the lead over that contender
    (Broderick, Giordano and Meager 2020, arXiv 2011.14999); how many is found by refits. For the best of them the
    influence is computed anew at the refit halfway there, since it changes as votes go. The smallest is returned.
    """
    best = int(np.argmax(fit.strength))
    others = [other for other in range(fit.size) if other != best]
    influences = {other: _influence(fit, best, other) for other in others}
    others.sort(key=lambda other: _estimate(fit, influences[other], best, other))
    removals: list[tuple[int, int]] = []
    for other in others[:CHALLENGERS]:
        fewest = _fewest(fit, _order(fit.counts, influences[other]), best)
        if fewest is not None:
            removals.append(fewest)
    if removals:
        other = min(removals)[1]
        fewest = _fewest(
            fit, _refreshed(fit, _order(fit.counts, influences[other]), best, other, min(removals)[0]), best
        )
        if fewest is not None:
            removals.append(fewest)
    if not removals:
        return FewVotes(votes=None, share=None, challenger=None)
    votes, challenger = min(removals)
    return FewVotes(votes=votes, share=votes / float(fit.counts.sum()), challenger=fit.contenders[challenger])


def _order(counts: Floats, influence: Floats) -> NDArray[np.intp]:
    """Cells that hold votes for the lead, most influential first."""
    flat = influence.reshape(-1)
    cells = np.argsort(-flat)
    return cells[(flat[cells] > 0) & (counts.reshape(-1)[cells] > 0)]


def _refreshed(fit: Fit, cells: NDArray[np.intp], best: int, other: int, votes: int) -> NDArray[np.intp]:
    """Cells ordered by their influence at the fit without half of the `votes` that the first order needs."""
    try:
        halfway = davidson(
            fit.contenders,
            _without(fit.counts, cells, votes // 2),
            position=fit.position is not None,
            penalty=fit.penalty,
        )
    except InputError:
        return cells
    return _order(fit.counts, _influence(halfway, best, other))


def _fewest(fit: Fit, cells: NDArray[np.intp], best: int) -> tuple[int, int] | None:
    """Votes removed in the order of `cells` until another contender is first, and who; None: not up to half of them."""

    def first(votes: int) -> int | None:
        return _first_place(fit, _without(fit.counts, cells, votes))

    low, high = 0, int(float(fit.counts.sum()) / 2)
    # Removing too much can leave votes that no longer say who is first.
    while high > 1 and first(high) is None:
        high = high * 9 // 10
    if first(high) in (best, None):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if first(middle) == best else (low, middle)
    challenger = first(high)
    return None if challenger is None else (high, challenger)


def _influence(fit: Fit, best: int, other: int) -> Floats:
    """(m, m, 3) first-order change of the lead that one vote of each cell stands for."""
    d, t = score_tables(fit)
    inverse, m = bread_of(fit), fit.size
    contrast = inverse[best] - inverse[other]
    influence = d * (contrast[:m, None, None] - contrast[None, :m, None])
    if fit.position is not None:
        influence = influence + d * contrast[m]
    if fit.tie is not None:
        influence = influence + t * contrast[-1]
    return influence


def _estimate(fit: Fit, influence: Floats, best: int, other: int) -> float:
    """Votes to remove, to first order; infinite where all of them do not do."""
    flat, counts = influence.reshape(-1), fit.counts.reshape(-1)
    cells = np.argsort(-flat)
    cells = cells[(flat[cells] > 0) & (counts[cells] > 0)]
    gained = np.cumsum(flat[cells] * counts[cells])
    lead = fit.strength[best] - fit.strength[other]
    place = int(np.searchsorted(gained, lead))
    if place == len(cells):
        return np.inf
    before = gained[place - 1] if place else 0.0
    return float(counts[cells[:place]].sum() + (lead - before) / flat[cells[place]])


def _without(counts: Floats, cells: NDArray[np.intp], votes: int) -> Floats:
    left = counts.reshape(-1).copy()
    through = np.cumsum(left[cells])
    removed = np.clip(votes - (through - left[cells]), 0, left[cells])
    left[cells] -= removed
    return left.reshape(counts.shape)


def _first_place(fit: Fit, counts: Floats) -> int | None:
    try:
        other = davidson(fit.contenders, counts, position=fit.position is not None, penalty=fit.penalty)
    except InputError:
        return None
    return int(np.argmax(other.strength))


def without_each_rater(fit: Fit, table: VoteTable) -> Floats | None:
    """(raters, m) strengths without the votes of each rater in turn, logits; nan where they have no finite estimate.

    Refitted for boards of up to REFITTED numbers, else by one Newton step from the whole. None: fewer than two raters.
    """
    if table.rater is None or len(table.raters) < 2:
        return None
    votes = select(table, table.outcome != BOTH_BAD)
    assert votes.rater is not None
    m, raters = fit.size, len(table.raters)
    cell = (votes.left.astype(np.int64) * m + votes.right) * 3 + votes.outcome
    if raters * m * m * 3 > REFITTED:
        d, _ = score_tables(fit)
        score = d.reshape(-1)[cell] * votes.weight
        key = votes.rater.astype(np.int64) * m
        sums = np.bincount(key + votes.left, score, raters * m) - np.bincount(
            key + votes.right, score, raters * m
        )
        return fit.strength - sums.reshape(raters, m) @ bread_of(fit)[:m, :m]
    size = m * m * 3
    own = np.bincount(votes.rater.astype(np.int64) * size + cell, votes.weight, raters * size)
    start = [fit.strength] + [[value] for value in (fit.position, fit.tie) if value is not None]
    parameters, converged, _ = newton(
        np.maximum(fit.counts - own.reshape(raters, m, m, 3), 0),
        ties=fit.tie is not None,
        position=fit.position is not None,
        penalty=fit.penalty,
        start=np.concatenate(start),
        tolerance=1e-8,
    )
    return np.where(converged[:, None], parameters[:, :m], np.nan)


def flipping_raters(fit: Fit, table: VoteTable, without: Floats | None) -> tuple[tuple[str, str], ...]:
    """(rater, new first place) for each rater whose votes alone decide the first place; the CHECKED nearest to a flip
    are refitted. without: of `without_each_rater`."""
    if without is None:
        return ()
    votes = select(table, table.outcome != BOTH_BAD)
    best = int(np.argmax(fit.strength))
    lead = without[:, best] - np.delete(without, best, axis=1).max(axis=1)
    flips = []
    for rater in np.argsort(np.where(np.isfinite(lead), lead, -np.inf))[:CHECKED].tolist():
        counts = fit.counts - count_votes(select(votes, votes.rater == rater))[..., :3]
        first = _first_place(fit, np.maximum(counts, 0))
        if first is not None and first != best:
            flips.append((table.raters[rater], fit.contenders[first]))
    return tuple(flips)


def condorcet_cycles(contenders: tuple[str, ...], pairs: PairRates) -> Cycles:
    """Cycles of three among the majorities of pairs, and the Condorcet winner."""
    m = len(contenders)
    beats, clear = np.zeros((m, m), bool), np.zeros((m, m), bool)
    won, lost = pairs.rates.rate > 0.5, pairs.rates.rate < 0.5
    beats[pairs.first[won], pairs.second[won]] = True
    beats[pairs.second[lost], pairs.first[lost]] = True
    sure_won, sure_lost = pairs.rates.low > 0.5, pairs.rates.high < 0.5
    clear[pairs.first[sure_won], pairs.second[sure_won]] = True
    clear[pairs.second[sure_lost], pairs.first[sure_lost]] = True
    examples: list[tuple[str, str, str]] = []
    count = _triangles(beats)
    for a in range(m if count else 0):
        if len(examples) >= 10:
            break
        for b in np.flatnonzero(beats[a, a + 1 :]) + a + 1:
            closing = np.flatnonzero(beats[b, a + 1 :] & beats[a + 1 :, a]) + a + 1
            examples += [(contenders[a], contenders[b], contenders[c]) for c in closing]
    winners = np.flatnonzero(beats.sum(axis=1) == m - 1)
    return Cycles(
        count=count,
        examples=tuple(examples[:10]),
        clear=_triangles(clear),
        winner=contenders[winners[0]] if len(winners) else None,
    )


def _triangles(beats: NDArray[np.bool_]) -> int:
    """Directed cycles of three; in float32, whose integers are exact here, so that BLAS does the product."""
    step = beats.astype(np.float32)
    return round(float(np.einsum("ij,ji->", step @ step, step, dtype=np.float64))) // 3


def consistency_quartiles(table: VoteTable, *, position: bool = True) -> tuple[Quartile, ...]:
    """Strengths fitted to each quartile of raters, from the least to the most consistent; () with fewer
    than eight raters who gave decided votes."""
    if table.rater is None:
        return ()
    consistency = rater_consistency(table)
    order = np.argsort(consistency)
    order = order[np.isfinite(consistency[order])]
    if len(order) < 8:
        return ()
    result = []
    for number, members in enumerate(np.array_split(order, 4), 1):
        votes = select(table, np.isin(table.rater, members))
        strength, note = None, ""
        try:
            fit = davidson(table.contenders, count_votes(votes), position=position)
            strength = tuple(fit.strength.tolist())
        except InputError as error:
            note = str(error)
        result.append(
            Quartile(
                quartile=number,
                consistency=float(consistency[members].mean()),
                raters=len(members),
                votes=len(votes),
                strength=strength,
                note=note,
            )
        )
    return tuple(result)
