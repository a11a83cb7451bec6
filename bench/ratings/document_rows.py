"""Arrays → rows of the ratings document (`bench.ratings.document`): logits to points, codes to names, nan to None."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.analysis_rows import PlainRating
from bench.ratings.covariance import Covariance, covariance
from bench.ratings.document import (
    AverageRow,
    CodingBlock,
    DifferenceRow,
    EloRow,
    EquivalenceRow,
    PositionEffect,
    RatingRow,
    WinRateRow,
)
from bench.ratings.elo import EloAdd
from bench.ratings.fits import MANY_CONTENDERS, SCALE, Fit, count_votes, davidson, to_ratings
from bench.ratings.uncertainty import Differences, marginal_errors, rank_sets, t_quantile
from bench.ratings.vote_table import BOTH_BAD, VoteTable, select
from bench.ratings.winrates import (
    CODINGS,
    PairRates,
    average_win_rates,
    both_bad_rates,
    detectable,
    equivalences,
    left_rate,
)

Floats = NDArray[np.float64]


def rating_rows(
    votes: VoteTable,
    fit: Fit | None,
    cover: Covariance | None,
    differences: Differences | None,
    anchor: int | None,
) -> tuple[RatingRow, ...]:
    """Best first. Ratings of a penalised fit, which comes without `differences`, have no intervals."""
    m = len(votes.contenders)
    bad = both_bad_rates(votes)
    rating = low = high = np.full(m, np.nan)
    best = worst = None
    if fit is not None:
        rating = to_ratings(fit.strength, anchor)
    if fit is not None and cover is not None and differences is not None:
        best, worst = rank_sets(differences, m)
        rating, low, high = _marginal(fit, cover, anchor)
    return tuple(
        RatingRow(
            contender=votes.contenders[i],
            rating=_number(rating[i]),
            low=_number(low[i]),
            high=_number(high[i]),
            rank_low=None if best is None else int(best[i]),
            rank_high=None if worst is None else int(worst[i]),
            n=int(bad.n[i]),
            both_bad_rate=_number(bad.rate[i]),
            both_bad_low=_number(bad.low[i]),
            both_bad_high=_number(bad.high[i]),
        )
        for i in np.argsort(-rating, kind="stable")
    )


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _marginal(fit: Fit, cover: Covariance, anchor: int | None) -> tuple[Floats, Floats, Floats]:
    """Rating, low and high in points, against the anchor."""
    rating = to_ratings(fit.strength, anchor)
    half = SCALE * t_quantile(cover.freedom) * marginal_errors(cover.matrix, anchor)
    return rating, rating - half, rating + half


def plain_rows(fit: Fit, cover: Covariance, anchor: int | None) -> tuple[PlainRating, ...]:
    rows = zip(fit.contenders, *(part.tolist() for part in _marginal(fit, cover, anchor)), strict=True)
    made = (PlainRating(contender=name, rating=r, low=a, high=b) for name, r, a, b in rows)
    return tuple(sorted(made, key=lambda row: -row.rating))


def difference_rows(
    contenders: tuple[str, ...], differences: Differences | None, named: Differences | None = None
) -> tuple[DifferenceRow, ...]:
    """All pairs, of many contenders the neighbours; those among `named` with the intervals that are joint over them."""
    if differences is None:
        return ()
    rows = {(row.a, row.b): row for row in _difference_rows(contenders, differences, named=False)}
    if named is not None:
        rows |= {(row.a, row.b): row for row in _difference_rows(contenders, named, named=True)}
    return tuple(rows.values())


def _difference_rows(
    contenders: tuple[str, ...], differences: Differences, *, named: bool
) -> tuple[DifferenceRow, ...]:
    points = (SCALE * part for part in (differences.difference, differences.low, differences.high))
    columns = [differences.first, differences.second, *points, differences.p_adjusted]
    if len(contenders) > MANY_CONTENDERS and not named:
        columns = [column[_neighbours(differences, len(contenders))] for column in columns]
    return tuple(
        DifferenceRow(
            a=contenders[a],
            b=contenders[b],
            difference=d,
            low=low,
            high=high,
            simultaneous=True,
            p_adjusted=p,
            named=named,
        )
        for a, b, d, low, high, p in zip(*(column.tolist() for column in columns), strict=True)
    )


def _neighbours(differences: Differences, m: int) -> NDArray[np.bool_]:
    """(pairs,) whether two contenders stand next to each other, or one is the first: millions of rows are no table."""
    ahead = np.bincount(differences.second[differences.difference > 0], minlength=m)
    ahead += np.bincount(differences.first[differences.difference < 0], minlength=m)
    a, b = ahead[differences.first], ahead[differences.second]
    return (np.abs(a - b) <= 1) | (np.minimum(a, b) == 0)


def win_rate_rows(contenders: tuple[str, ...], pairs: PairRates) -> tuple[WinRateRow, ...]:
    rates, gaps = pairs.rates, detectable(pairs.rates)
    return tuple(
        WinRateRow(
            a=contenders[pairs.first[i]],
            b=contenders[pairs.second[i]],
            wins_a=wins_a,
            wins_b=wins_b,
            ties=ties,
            both_bad=both_bad,
            rate=_number(rates.rate[i]),
            low=_number(rates.low[i]),
            high=_number(rates.high[i]),
            wilson_low=_number(rates.wilson_low[i]),
            wilson_high=_number(rates.wilson_high[i]),
            n=int(rates.n[i]),
            p=_number(rates.p[i]),
            detectable=_number(gaps[i]),
        )
        for i, (wins_a, wins_b, ties, both_bad) in enumerate(pairs.counts.tolist())
    )


def average_rows(votes: VoteTable, both_bad: str = "dropped") -> tuple[AverageRow, ...]:
    rates, opponents = average_win_rates(votes, both_bad=both_bad)
    return tuple(
        AverageRow(
            contender=name,
            rate=_number(rates.rate[i]),
            low=_number(rates.low[i]),
            high=_number(rates.high[i]),
            opponents=int(opponents[i]),
            n=int(rates.n[i]),
        )
        for i, name in enumerate(votes.contenders)
    )


def coding_blocks(votes: VoteTable) -> tuple[CodingBlock, ...]:
    """The average win rates under each coding of both_bad; () where no vote is both_bad, or every vote is."""
    bad = votes.outcome == BOTH_BAD
    if not bad.any() or bad.all():
        return ()
    blocks = []
    for coding in CODINGS:
        rows = average_rows(votes, coding)
        first = max(rows, key=lambda row: -math.inf if row.rate is None else row.rate)
        blocks.append(CodingBlock(coding=coding, first=first.contender, rows=rows))
    return tuple(blocks)


def coding_notes(blocks: tuple[CodingBlock, ...]) -> list[str]:
    """A sentence for each coding of both_bad that changes the first place."""
    return [
        f"the first place depends on both_bad: {block.first} has the highest average win rate with both_bad as a "
        f"{block.coding} for each side, {blocks[0].first} without these votes"
        for block in blocks[1:]
        if block.first != blocks[0].first
    ]


def equivalence_rows(
    contenders: tuple[str, ...], pairs: PairRates, margin: float
) -> tuple[EquivalenceRow, ...]:
    return tuple(
        EquivalenceRow(
            a=contenders[row.first],
            b=contenders[row.second],
            difference=row.difference,
            low=row.low,
            high=row.high,
            margin=row.margin,
            p_a_not_worse=row.p_first_not_worse,
            p_b_not_worse=row.p_second_not_worse,
            p_equivalent=row.p_equivalent,
        )
        for row in equivalences(pairs, margin=margin)
    )


def position_effect(votes: VoteTable, fit: Fit | None, cover: Covariance | None) -> PositionEffect:
    share = left_rate(votes)
    logits = low = high = None
    if fit is not None and cover is not None and fit.position is not None:
        half = t_quantile(cover.freedom) * math.sqrt(max(cover.full[fit.size, fit.size], 0))
        logits, low, high = fit.position, fit.position - half, fit.position + half
    return PositionEffect(
        logits=logits,
        low=low,
        high=high,
        left_rate=_number(share.rate[0]),
        left_low=_number(share.low[0]),
        left_high=_number(share.high[0]),
        n=int(share.n[0]),
    )


def position_by_arrangement(votes: VoteTable, *, penalty: float = 0.0) -> dict[str, PositionEffect]:
    """The position effect among the votes of each arrangement, on their own; {} where arrangements are unknown.

    A fit that these votes alone do not allow leaves the share of left.
    """
    if votes.arrangement is None:
        return {}
    effects = {}
    for code, name in enumerate(votes.arrangements):
        part = select(votes, votes.arrangement == code)
        if not name or not len(part):
            continue
        fit = cover = None
        try:
            fit = davidson(part.contenders, count_votes(part), penalty=penalty)
            cover = covariance(fit, part)
        except InputError:
            fit = None
        effects[name] = position_effect(part, fit, cover)
    return effects


def elo_rows(contenders: tuple[str, ...], elo: EloAdd | None) -> tuple[EloRow, ...]:
    if elo is None:
        return ()
    return tuple(
        EloRow(contender=name, rating=float(rating), order_spread=float(spread), order_error=float(error))
        for name, rating, spread, error in zip(
            contenders, elo.rating, elo.order_spread, elo.order_error, strict=True
        )
    )
