"""Whether raters agree: with each other on the same pair of images, and with themselves on planted repeats.

A unit is one pair of images under one question. evalica's `alpha` takes a dense object matrix of raters by
units, and resamples no clusters; here units are rows of four counts, so that prompts can be resampled.
It is the oracle in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.ratings.vote_table import VoteTable, select
from bench.ratings.winrates import clustered_rates

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    alpha: float | None
    """Krippendorff's α, nominal over the four outcomes: 1 perfect, 0 chance. None: not to be had."""
    alpha_low: float | None
    """95%, units resampled by prompt."""
    alpha_high: float | None
    percent: float | None
    """Share in [0, 1] of pairs of raters on the same unit who gave the same outcome."""
    units: int
    """Units with two raters or more."""
    votes: int
    """Votes on those units."""
    repeat_consistency: float | None
    """Share of planted repeats answered as the first time."""
    repeat_low: float | None
    """95%, clustered as win rates are."""
    repeat_high: float | None
    repeats: int
    note: str = ""


def agreement(table: VoteTable, *, replicates: int = 1000, seed: int = 0) -> Agreement:
    """Agreement of a table, planted repeats included. A rater's first vote on a unit counts."""
    planted, same = _repeats(table)
    own = clustered_rates(planted, np.zeros(len(planted), np.int64), same, 1) if len(planted) else None
    alpha = low = high = percent = None
    units = votes = 0
    note = ""
    if table.rater is None or table.prompt is None:
        note = "needs the rater and the prompt of every vote"
    else:
        counts, prompt = unit_counts(table)
        units, votes = len(counts), int(counts.sum())
        alpha = krippendorff_alpha(counts)
        if alpha is None:
            note = "no pair of images was judged by two raters" if not units else "every vote is the same"
        else:
            same_pairs = (counts * (counts - 1)).sum()
            of = counts.sum(axis=1)
            percent = float(same_pairs / (of * (of - 1)).sum())
            low, high = _alpha_interval(counts, prompt, replicates, seed)
    return Agreement(
        alpha=alpha,
        alpha_low=low,
        alpha_high=high,
        percent=percent,
        units=units,
        votes=votes,
        repeat_consistency=None if own is None else float(own.rate[0]),
        repeat_low=None if own is None else float(own.low[0]),
        repeat_high=None if own is None else float(own.high[0]),
        repeats=len(planted),
        note=note,
    )


def unit_counts(table: VoteTable) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(u, 4) votes for the first contender, the second, tie, both_bad on each unit that two raters or more
    judged, planted repeats aside, and the unit's prompt code (u,)."""
    table = select(table, ~table.repeat)
    assert table.rater is not None
    assert table.prompt is not None
    key, outcome = _units(table)
    seen = np.unique(key * (int(table.rater.max()) + 1) + table.rater, return_index=True)[1]
    key, outcome, prompt = key[seen], outcome[seen], table.prompt[seen]
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    counts = np.bincount(inverse * 4 + outcome, minlength=len(first) * 4).reshape(-1, 4)
    shared = counts.sum(axis=1) > 1
    return counts[shared], prompt[first][shared]


def _units(table: VoteTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Unit key and outcome from the view of the lower-coded contender, (n,) each."""
    assert table.prompt is not None
    m = len(table.contenders)
    swapped = table.left > table.right
    low, high = np.minimum(table.left, table.right), np.maximum(table.left, table.right)
    outcome = np.where(swapped & (table.outcome < 2), 1 - table.outcome, table.outcome).astype(np.int64)
    key = table.question.astype(np.int64)
    for labels, size in (
        (table.prompt, int(table.prompt.max()) + 1),
        (table.replicate, int(table.replicate.max()) + 1),
        (low, m),
        (high, m),
    ):
        key = key * size + labels
    return key, outcome


def krippendorff_alpha(counts: NDArray[np.int64] | Floats, weight: Floats | None = None) -> float | None:
    """Nominal α of (u, c) counts, each unit counted `weight` times; None where it is not defined.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability.
    """
    of = counts.sum(axis=1)
    weight = np.where(of > 1, 1.0 if weight is None else weight, 0.0)
    agreeing = ((counts * (counts - 1)).sum(axis=1) / np.maximum(of - 1, 1)) @ weight
    values = weight @ counts
    n = values.sum()
    if n < 2:
        return None
    expected = n * (n - 1) - (values * (values - 1)).sum()
    if expected <= 0:
        return None
    return float(1 - (n - 1) * (n - agreeing) / expected)


def _alpha_interval(
    counts: NDArray[np.int64], prompt: NDArray[np.int32], replicates: int, seed: int
) -> tuple[float | None, float | None]:
    """Percentile interval; None where fewer than two prompts have shared units."""
    clusters, compact = np.unique(prompt, return_inverse=True)
    if len(clusters) < 2 or not replicates:
        return None, None
    rng = np.random.default_rng(seed)
    k = len(clusters)
    drawn = rng.multinomial(k, np.full(k, 1 / k), size=replicates)
    values = [krippendorff_alpha(counts, row[compact].astype(np.float64)) for row in drawn]
    finite = np.array([value for value in values if value is not None])
    if len(finite) < replicates / 2:
        return None, None
    low, high = np.quantile(finite, [0.025, 0.975])
    return float(low), float(high)


def _repeats(table: VoteTable) -> tuple[VoteTable, Floats]:
    """Planted repeats that have a first vote, each counting one; 1 where they were answered alike."""
    repeats = select(table, table.repeat)
    repeats = replace(repeats, weight=np.ones(len(repeats)))
    if table.rater is None or table.prompt is None or not len(repeats) or table.repeat.all():
        return select(repeats, np.zeros(len(repeats), bool)), np.zeros(0)
    key, outcome = _units(table)
    key = key * (int(table.rater.max()) + 1) + table.rater
    first = ~table.repeat
    keys, index = np.unique(key[first], return_index=True)
    place = np.searchsorted(keys, key[table.repeat])
    known = (place < len(keys)) & (keys[np.minimum(place, len(keys) - 1)] == key[table.repeat])
    before = outcome[first][index[place[known]]]
    return select(repeats, known), (before == outcome[table.repeat][known]).astype(np.float64)


def rater_consistency(table: VoteTable) -> Floats:
    """(raters,) share of a rater's decided votes that side with the majority of everybody else's decided
    votes on the same two contenders (a split majority counts half); nan for raters without such votes."""
    assert table.rater is not None
    votes = select(table, table.outcome < 2)
    assert votes.rater is not None
    m, raters = len(table.contenders), len(table.raters)
    low, high = np.minimum(votes.left, votes.right), np.maximum(votes.left, votes.right)
    pair = low.astype(np.int64) * m + high
    side = np.where((votes.outcome == 0) == (votes.left == low), 1.0, -1.0)
    lead = np.bincount(pair, side, m * m)
    _, own = np.unique(pair * raters + votes.rater, return_inverse=True)
    others = lead[pair] - np.bincount(own, side)[own]
    agrees = (np.sign(others) * side + 1) / 2
    with np.errstate(invalid="ignore"):
        return np.bincount(votes.rater, agrees, raters) / np.bincount(votes.rater, minlength=raters)
