"""Seven-point answers as ordered: strengths from how much better, beside the main table, which collapses them.

An answer y is 3 (left much better) to -3 (right much better). With d = strength_l − strength_r + position,
logit P(y >= k) = d − threshold_k, and thresholds mirror each other, so that swapping the sides changes the sign of y
and nothing else. Source: Agresti 1992, Applied Statistics 41(2), cumulative logits for ordinal paired comparisons.
Fisher scoring on counts. Intervals are those of the main table: `bench.ratings.covariance`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.covariance import Covariance, covariance_of_scores
from bench.ratings.fits import LIMIT, SCALE, check_graph, count_votes, position_identified, to_ratings
from bench.ratings.uncertainty import t_quantile
from bench.ratings.vote_table import MISSING, VoteTable, select

Floats = NDArray[np.float64]

POINTS = (3, 2, 1, 0, -1, -2, -3)
ROUNDS = 200
HALVINGS = 30
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedRating:
    contender: str
    rating: float
    """Points: 400 change the odds of any answer or a better one tenfold."""
    low: float
    high: float
    n: int
    """Votes with a point that showed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SevenPoints:
    """The seven-point answers to one question."""

    n: int
    """Votes with a point."""
    votes: tuple[int, ...]
    """Of each point, from 3 (left much better) to -3."""
    ratings: tuple[OrderedRating, ...] = ()
    """Best first; empty: see `note`."""
    thresholds: tuple[float, ...] = ()
    """Rating points by which the left must lead for an answer above each used point to be as likely as not."""
    position: float | None = None
    """Logits in favour of the left side; None: not modelled."""
    position_low: float | None = None
    position_high: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """Every answer to every pair that was shown, with its votes, and the thresholds on both sides of it."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    lower: Floats
    """(cells, t) threshold below the answer, as coefficients of the t free ones."""
    upper: Floats
    below: NDArray[np.bool_]
    """(cells,) whether there is an answer below: else that threshold is minus infinity."""
    above: NDArray[np.bool_]
    weight: Floats
    """(cells,) votes."""
    shown: Floats
    """(cells,) votes of its pair."""
    row: NDArray[np.int64]
    """(votes,) cell of each vote."""


def seven_points(table: VoteTable, anchor: int | None = None) -> SevenPoints | None:
    """The ordered analysis of the votes that have a point; None where there are none.

    anchor: index of the contender at 1000; None: their mean.
    """
    if table.scale is None:
        return None
    votes = select(table, table.scale != MISSING)
    if not len(votes) or votes.scale is None:
        return None
    counted = tuple(int((votes.scale == point).sum()) for point in POINTS)
    plain = SevenPoints(n=len(votes), votes=counted)
    if len({abs(point) for point, n in zip(POINTS, counted, strict=True) if n}) < 2:
        return replace(plain, note="one distance only was used: the main table says as much")
    counts = count_votes(votes)[..., :3]
    try:
        check_graph(votes.contenders, counts)
        return _analysed(plain, votes, position_identified(counts), anchor)
    except InputError as error:
        return replace(plain, note=str(error))


def _analysed(plain: SevenPoints, votes: VoteTable, position: bool, anchor: int | None) -> SevenPoints:
    m = len(votes.contenders)
    cells, free = _cells(votes)
    estimate = _fit(cells, m, position, free)
    cover = _covariance(cells, estimate, votes, position)
    base = np.full(m, 1 / m) if anchor is None else np.eye(m)[anchor]
    contrast = np.eye(m) - base
    variance = np.diag(contrast @ cover.matrix @ contrast.T)
    half = t_quantile(cover.freedom) * SCALE * np.sqrt(np.maximum(variance, 0))
    rating = to_ratings(estimate[:m], anchor)
    shown = np.bincount(votes.left, minlength=m) + np.bincount(votes.right, minlength=m)
    rows = [
        OrderedRating(contender=name, rating=r, low=r - h, high=r + h, n=n)
        for name, r, h, n in zip(
            votes.contenders, rating.tolist(), half.tolist(), shown.tolist(), strict=True
        )
    ]
    found = replace(
        plain,
        ratings=tuple(sorted(rows, key=lambda row: (-row.rating, row.contender))),
        thresholds=tuple(SCALE * value for value in estimate[m + position :].tolist()),
    )
    if not position:
        return replace(found, note="the design cannot separate a left-position effect: it is not estimated")
    spread = t_quantile(cover.freedom) * math.sqrt(max(cover.full[m, m], 0))
    effect = float(estimate[m])
    return replace(found, position=effect, position_low=effect - spread, position_high=effect + spread)


def _cells(votes: VoteTable) -> tuple[_Cells, int]:
    """Votes by pair and answer, and how many thresholds are free; points that nobody gave take no threshold."""
    assert votes.scale is not None
    distances = np.unique(np.abs(votes.scale))
    tied = distances[0] == 0
    free = len(distances) - 1
    rank = np.searchsorted(distances, np.abs(votes.scale)) + (0 if tied else 1)
    answer = np.sign(votes.scale).astype(np.int64) * rank
    # Thresholds in order: -t_free … -t_1, (0 where there are no ties,) t_1 … t_free.
    unit = np.eye(free)
    edges = np.concatenate([-unit[::-1], np.zeros((0 if tied else 1, free)), unit])
    span = len(edges) + 1
    place = answer + len(distances) - 1 if tied else np.where(answer > 0, answer - 1, answer) + len(distances)
    pairs, pair = np.unique(
        votes.left.astype(np.int64) * len(votes.contenders) + votes.right, return_inverse=True
    )
    row = pair * span + place
    weight = np.bincount(row, votes.weight, len(pairs) * span).astype(np.float64)
    each = np.tile(np.arange(span), len(pairs))
    return _Cells(
        left=np.repeat(pairs // len(votes.contenders), span),
        right=np.repeat(pairs % len(votes.contenders), span),
        lower=edges[np.maximum(each - 1, 0)],
        upper=edges[np.minimum(each, len(edges) - 1)],
        below=each > 0,
        above=each < len(edges),
        weight=weight,
        shown=np.repeat(weight.reshape(-1, span).sum(axis=1), span),
        row=row,
    ), free


def _scores(cells: _Cells, parameters: Floats, m: int, position: bool) -> tuple[Floats, Floats]:
    """Probability of each cell, 0 where thresholds are out of order; derivative of its logarithm (cells, p)."""
    free = parameters[m + position :]
    lead = parameters[cells.left] - parameters[cells.right] + (parameters[m] if position else 0.0)
    at_least = np.where(cells.below, _logistic(lead - cells.lower @ free), 1.0)
    beyond = np.where(cells.above, _logistic(lead - cells.upper @ free), 0.0)
    chance = np.maximum(at_least - beyond, 0.0)
    slope_low, slope_high = at_least * (1 - at_least), beyond * (1 - beyond)
    slopes = np.zeros((len(chance), len(parameters)))
    index = np.arange(len(chance))
    slopes[index, cells.left] = slope_low - slope_high
    slopes[index, cells.right] -= slope_low - slope_high
    if position:
        slopes[:, m] = slope_low - slope_high
    slopes[:, m + position :] = slope_high[:, None] * cells.upper - slope_low[:, None] * cells.lower
    return chance, slopes / np.maximum(chance, 1e-300)[:, None]


def _logistic(value: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(value / 2))


def _log_likelihood(cells: _Cells, chance: Floats) -> float:
    """Minus infinity where an answer that was given has no chance."""
    given = cells.weight > 0
    if (chance[given] <= 0).any():
        return -math.inf
    return float(cells.weight[given] @ np.log(chance[given]))


def _information(cells: _Cells, chance: Floats, slopes: Floats) -> Floats:
    """(p, p) expected information."""
    return slopes.T @ ((cells.shown * chance)[:, None] * slopes)


def _bread(information: Floats, m: int) -> Floats:
    """Inverse of the information, strengths summing to 0."""
    centred = information.copy()
    centred[:m, :m] += np.trace(information[:m, :m]) / m**2
    inverse = np.linalg.pinv(centred, hermitian=True)
    remove = np.eye(len(inverse))
    remove[:m, :m] -= 1 / m
    return remove @ inverse @ remove.T


def _fit(cells: _Cells, m: int, position: bool, free: int) -> Floats:
    """Strengths (sum 0), position and thresholds of the maximum. Raises InputError: it is not reached."""
    parameters = np.zeros(m + position + free)
    parameters[m + position :] = 0.5 + np.arange(free)
    chance, slopes = _scores(cells, parameters, m, position)
    value = _log_likelihood(cells, chance)
    for _ in range(ROUNDS):
        step = _bread(_information(cells, chance, slopes), m) @ (slopes.T @ cells.weight)
        if np.abs(step).max() < TOLERANCE:
            return parameters
        for _ in range(HALVINGS):
            moved = _scores(cells, parameters + step, m, position)
            reached = _log_likelihood(cells, moved[0])
            if reached >= value - 1e-10 * abs(value):
                break
            step = step / 2
        parameters, value, (chance, slopes) = parameters + step, reached, moved
        if not math.isfinite(value) or np.abs(parameters).max() > LIMIT:
            break
    raise InputError(
        "the ordered fit does not converge: the answers are nearly separated; collect more votes"
    )


def _covariance(cells: _Cells, estimate: Floats, votes: VoteTable, position: bool) -> Covariance:
    from scipy.sparse import csr_array

    m = len(votes.contenders)
    chance, slopes = _scores(cells, estimate, m, position)
    information = _information(cells, chance, slopes)
    scores = csr_array(slopes[cells.row] * votes.weight[:, None])
    return covariance_of_scores(_bread(information, m), information, scores, votes, m)
