"""Whether raters agree: with each other on the same pair of images, and with themselves on planted repeats.

A unit is one pair of images under one question. Intervals are two-way jackknives: raters left out one at a time, and
prompts, less the rater × prompt cells (Cameron, Gelbach and Miller 2011, JBES 29(2), with leave-one-out in place of
score sums), Student's t with min(raters, prompts) - 1 degrees of freedom. Prompts alone leave out that raters would be
drawn anew: with 6 to 10 raters such intervals held 83 to 85% in simulations. evalica's `alpha` has no interval
and takes a dense object matrix of raters by units; it is the oracle in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.ratings.clusters import renumbered
from bench.ratings.uncertainty import t_quantile
from bench.ratings.vote_table import VoteTable, select
from bench.ratings.winrates import clustered_rates

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    alpha: float | None = None
    """Krippendorff's α, nominal over the four outcomes: 1 perfect, 0 chance. None: not to be had."""
    alpha_low: float | None = None
    """95%, by raters and prompts."""
    alpha_high: float | None = None
    percent: float | None = None
    """Share in [0, 1] of pairs of raters on the same unit who gave the same outcome."""
    units: int = 0
    """Units with two raters or more."""
    votes: int = 0
    """Votes on those units."""
    repeat_consistency: float | None = None
    """Share of planted repeats answered as the first time."""
    repeat_low: float | None = None
    """95%, clustered as win rates are."""
    repeat_high: float | None = None
    repeats: int = 0
    note: str = ""
    ceiling: float | None = None
    """How well one rater predicts another: share in [0, 1] of pairs of decided votes on a unit that name the same
    winner. No metric can be expected to predict single votes better by much."""
    ceiling_low: float | None = None
    """95%, by raters and prompts."""
    ceiling_high: float | None = None
    ceiling_pairs: int = 0
    """Pairs of decided votes behind the ceiling."""


def agreement(table: VoteTable) -> Agreement:
    """Agreement of a table, planted repeats included. A rater's first vote on a unit counts."""
    planted, same = _repeats(table)
    own = clustered_rates(planted, np.zeros(len(planted), np.int64), same, 1) if len(planted) else None
    alpha = low = high = percent = None
    ceiling: tuple[float | None, float | None, float | None] = (None, None, None)
    units = votes = pairs = 0
    note = ""
    if table.rater is None or table.prompt is None:
        note = "needs the rater and the prompt of every vote"
    else:
        shared = shared_votes(table)
        counts = shared.counts()
        units, votes = len(counts), int(counts.sum())
        ceiling, pairs = _ceiling(shared)
        alpha = krippendorff_alpha(counts)
        if alpha is None:
            note = "no pair of images was judged by two raters" if not units else "every vote is the same"
        else:
            same_pairs = (counts * (counts - 1)).sum()
            of = counts.sum(axis=1)
            percent = float(same_pairs / (of * (of - 1)).sum())
            low, high = _alpha_interval(shared)
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
        ceiling=ceiling[0],
        ceiling_low=ceiling[1],
        ceiling_high=ceiling[2],
        ceiling_pairs=pairs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedVotes:
    """Votes on the units that two raters or more judged, one a rater and unit, planted repeats aside."""

    unit: NDArray[np.int64]
    """(v,) from 0, without gaps."""
    outcome: NDArray[np.int64]
    """(v,) first contender, second, tie, both_bad."""
    rater: NDArray[np.int64]
    """(v,) from 0, without gaps."""
    prompt: NDArray[np.int64]

    def counts(self) -> NDArray[np.int64]:
        """(units, 4) votes by outcome."""
        units = int(self.unit.max(initial=-1)) + 1
        return np.bincount(self.unit * 4 + self.outcome, minlength=units * 4).reshape(-1, 4)

    def only(self, mask: NDArray[np.bool_]) -> SharedVotes:
        """Those of the votes at `mask` whose unit still has two."""
        kept = np.flatnonzero(mask)
        kept = kept[
            np.bincount(self.unit[kept], minlength=int(self.unit.max(initial=-1)) + 1)[self.unit[kept]] > 1
        ]
        columns = (column[kept] for column in (self.unit, self.rater, self.prompt))
        unit, rater, prompt = (renumbered(column, int(column.max(initial=-1)) + 1)[0] for column in columns)
        return SharedVotes(unit=unit, outcome=self.outcome[kept], rater=rater, prompt=prompt)


def shared_votes(table: VoteTable) -> SharedVotes:
    """Of a table with raters and prompts."""
    table = select(table, ~table.repeat)
    assert table.rater is not None
    assert table.prompt is not None
    key, outcome = _units(table)
    seen = np.unique(key * (int(table.rater.max(initial=0)) + 1) + table.rater, return_index=True)[1]
    unit = np.unique(key[seen], return_inverse=True)[1]
    return SharedVotes(
        unit=unit,
        outcome=outcome[seen],
        rater=table.rater[seen].astype(np.int64),
        prompt=table.prompt[seen].astype(np.int64),
    ).only(np.ones(len(seen), bool))


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


def krippendorff_alpha(counts: NDArray[np.int64] | Floats) -> float | None:
    """Nominal α of (units, outcomes) counts; None where it is not defined.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability.
    """
    counts = counts[counts.sum(axis=1) > 1]
    alpha = float(_alpha(_alpha_terms(counts).sum(axis=0)[None])[0]) if len(counts) else np.nan
    return alpha if np.isfinite(alpha) else None


def _alpha_terms(counts: NDArray[np.int64] | Floats) -> Floats:
    """(units, 5): the unit's agreeing pairs over its votes less 1, and its votes by outcome; 0 for a lone vote."""
    of = counts.sum(axis=1)
    agreeing = (counts * (counts - 1)).sum(axis=1) / np.maximum(of - 1, 1)
    return np.where((of > 1)[:, None], np.column_stack([agreeing, counts]), 0.0)


def _alpha(terms: Floats) -> Floats:
    """(k,) α of sums of `_alpha_terms`, (k, 5); nan where it is not defined."""
    agreeing, values = terms[:, 0], terms[:, 1:]
    n = values.sum(axis=1)
    expected = n * (n - 1) - (values * (values - 1)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * (n - agreeing) / expected, np.nan)


def _alpha_interval(votes: SharedVotes) -> tuple[float | None, float | None]:
    """95%; None where fewer than two raters or prompts have shared units."""
    counts = votes.counts()
    terms, without = _alpha_terms(counts), counts[votes.unit].copy()
    without[np.arange(len(without)), votes.outcome] -= 1
    return _jackknife(_alpha, terms, terms[votes.unit] - _alpha_terms(without), votes, upper=1.0)


def _ceiling(votes: SharedVotes) -> tuple[tuple[float | None, float | None, float | None], int]:
    decided = votes.only(votes.outcome < 2)
    counts = decided.counts()
    if not len(counts):
        return (None, None, None), 0
    terms, without = _pair_terms(counts), counts[decided.unit].copy()
    without[np.arange(len(without)), decided.outcome] -= 1
    low, high = _jackknife(_share, terms, terms[decided.unit] - _pair_terms(without), decided, upper=1.0)
    total = terms.sum(axis=0)
    return (float(_share(total[None])[0]), low, high), int(total[1])


def _pair_terms(counts: NDArray[np.int64]) -> Floats:
    """(units, 2) pairs of votes that agree, and all pairs."""
    of = counts.sum(axis=1)
    return np.column_stack([(counts * (counts - 1)).sum(axis=1) / 2, of * (of - 1) / 2])


def _share(terms: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return terms[:, 0] / terms[:, 1]


def _jackknife(
    statistic: Callable[[Floats], Floats], by_unit: Floats, by_vote: Floats, votes: SharedVotes, upper: float
) -> tuple[float | None, float | None]:
    """95% interval of a function of sums over units, two ways.

    Parameters
    ----------
    statistic: (k, terms) sums to (k,) values.
    by_unit: (units, terms), summed to the whole.
    by_vote: (v, terms) what the whole loses without one vote; exact for a rater, who gives one vote a unit.
    upper: largest possible value.
    """
    whole = by_unit.sum(axis=0)
    value = float(statistic(whole[None])[0])
    if not math.isfinite(value):
        return None, None
    _, first = np.unique(votes.unit, return_index=True)
    cell = np.unique(
        votes.rater * (int(votes.prompt.max(initial=0)) + 1) + votes.prompt, return_inverse=True
    )[1]
    spread, sizes = [], []
    for labels, parts in ((votes.rater, by_vote), (votes.prompt[first], by_unit), (cell, by_vote)):
        size = int(labels.max(initial=-1)) + 1
        sums = np.column_stack([np.bincount(labels, part, size) for part in parts.T])
        left_out = statistic(whole - sums)
        left_out = left_out[np.isfinite(left_out)]
        if len(left_out) < 2:
            return None, None
        spread.append((len(left_out) - 1) / len(left_out) * ((left_out - left_out.mean()) ** 2).sum())
        sizes.append(len(left_out))
    variance = max(spread[0] + spread[1] - spread[2], spread[0], spread[1])
    half = t_quantile(min(sizes[:2]) - 1.0) * math.sqrt(variance)
    return value - half, min(value + half, upper)


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
    """(raters,) share of a rater's decided votes that side with the majority of all other raters' decided
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
