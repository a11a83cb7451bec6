"""Votes → the ratings document (`arena.document`): estimates, intervals and checks of each question."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.agreement import agreement
from arena.battles import VoteTable, ratable, reweighted, select
from arena.bootstrap import cluster_bootstrap
from arena.document import (
    AverageRow,
    BootstrapBlock,
    DifferenceRow,
    EloRow,
    EquivalenceRow,
    Interval,
    PlainRating,
    PositionEffect,
    QuartileRow,
    QuestionRatings,
    RatingRow,
    RatingsDocument,
    Robustness,
    Slice,
    WinRateRow,
)
from arena.elo import EloAdd, elo_add
from arena.ratings import SCALE, Fit, bradley_terry, count_votes, davidson, to_ratings
from arena.robustness import condorcet_cycles, consistency_quartiles, few_votes, flipping_raters
from arena.uncertainty import (
    Covariance,
    Differences,
    cluster_kind,
    covariance,
    marginal_errors,
    rank_sets,
    simultaneous_differences,
    t_quantile,
)
from arena.winrates import PairRates, average_win_rates, both_bad_rates, equivalences, left_rate, pair_rates
from bench.records import InputError, unknown

Floats = NDArray[np.float64]

FEW_CLUSTERS = 10
"""Below it a note warns that clustered intervals rest on little."""
CLUSTERS = {
    "two-way": "rater and prompt",
    "rater": "rater",
    "prompt": "prompt",
    "vote": "nothing: vote-level",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How `rate` works; also what `method` reports."""

    anchor: str | None = None
    """Contender that stands at 1000; None: the mean of all."""
    weights: str = "votes"
    """`votes`, `raters` or `propensity`: see `arena.battles.reweighted`."""
    penalty: float = 0.0
    """Above 0: a normal prior of that precision on the strengths keeps separated votes finite."""
    position: bool = True
    """Whether to estimate the left-position effect."""
    bootstrap: int = 1000
    """Cluster-bootstrap replicates; 0: none."""
    shuffles: int = 1000
    """Of elo-add; 0: none."""
    margin: float = 3.0
    """Of equivalence, win-rate points."""
    seed: int = 0


def rate(table: VoteTable, *, study: str = "", options: Options | None = None) -> RatingsDocument:
    """Everything said about a votes table. A question whose contenders never met, or whose ratings are
    infinite, keeps its win rates and says so in its notes.

    Raises InputError: unknown anchor or weights, no vote left.
    """
    options = options or Options()
    anchor = None
    if options.anchor is not None:
        if options.anchor not in table.contenders:
            raise unknown("anchor", options.anchor, table.contenders)
        anchor = table.contenders.index(options.anchor)
    if options.penalty < 0 or options.bootstrap < 0 or options.shuffles < 0 or options.margin <= 0:
        raise InputError("penalty, bootstrap and shuffles must not be negative; margin must be above 0")
    votes = ratable(table)
    if not len(votes):
        raise InputError("no votes to rate: all of them are planted repeats")
    blocks, elos = {}, []
    for code, question in enumerate(table.questions):
        mine = table.question == code
        if question and mine.any():
            part = select(table, mine)
            elos.append(_elo_add(ratable(part), options))
            blocks[question] = _question(part, elos[-1], anchor, options)
    whole = _averaged(elos) if elos else _elo_add(votes, options)
    blocks["overall"] = _question(table, whole, anchor, options)
    return RatingsDocument(
        study=study,
        simulated=table.simulated,
        anchor=options.anchor or "mean",
        n_votes=len(votes),
        n_raters=_distinct(votes.rater),
        n_prompts=_distinct(votes.prompt),
        excluded=dict(votes.excluded),
        method=_method(votes, options),
        questions=blocks,
    )


def _method(table: VoteTable, options: Options) -> dict[str, Any]:
    return {
        "model": "Davidson (Bradley–Terry with ties), maximum likelihood by Newton on counts"
        if not options.penalty
        else f"Davidson, penalised: normal prior of precision {options.penalty} on the strengths",
        "scale": "1000 at the anchor, 400 points an odds factor of 10",
        "both_bad": "left out of ratings and win rates; a rate of its own for each contender",
        "intervals": f"95%, sandwich covariance clustered by {CLUSTERS[cluster_kind(table)]}, "
        "G/(G-1) a dimension, never below the vote-level one, Student's t with min(G) - 1 degrees of freedom",
        "differences": "joint 95% over all pairs (max-t, simulated)",
        "ranks": "from the joint intervals",
        "rates": "Wilson's interval at the effective number of votes of the clustered variance",
        "equivalence": f"two one-sided tests at 5%, margin {options.margin} win-rate points, unadjusted",
        "bootstrap": f"pigeonhole over clusters, {options.bootstrap} replicates, percentile; conservative",
        "elo_add": f"K = 1, start 1000, mean over {options.shuffles} shuffles; overall: their mean",
        "agreement": "Krippendorff's alpha, nominal; interval by prompts resampled",
        "options": asdict(options),
    }


def _distinct(labels: NDArray[np.int32] | None) -> int | None:
    return None if labels is None else int(np.count_nonzero(np.bincount(labels)))


def _elo_add(table: VoteTable, options: Options) -> EloAdd | None:
    if not options.shuffles:
        return None
    # Starting processes costs seconds: only where the votes cost more.
    workers = (os.cpu_count() or 1) if len(table) * options.shuffles > 2e8 else 1
    return elo_add([table], shuffles=options.shuffles, seed=options.seed, workers=workers)


def _averaged(parts: list[EloAdd | None]) -> EloAdd | None:
    done = [part for part in parts if part is not None]
    if not done:
        return None
    spread = np.sqrt(np.sum([part.order_spread**2 for part in done], axis=0)) / len(done)
    return replace(done[0], rating=np.mean([part.rating for part in done], axis=0), order_spread=spread)


def _question(table: VoteTable, elo: EloAdd | None, anchor: int | None, options: Options) -> QuestionRatings:
    """`table` with its planted repeats: agreement needs them."""
    votes = reweighted(ratable(table), options.weights)
    pairs, notes = pair_rates(votes), []
    fit = cover = found = None
    try:
        fit = davidson(
            votes.contenders, count_votes(votes), position=options.position, penalty=options.penalty
        )
        cover = covariance(fit, votes)
        found = simultaneous_differences(fit.strength, cover.matrix, cover.freedom, seed=options.seed)
        notes += [*fit.notes, *_cautions(cover)]
    except InputError as error:
        notes.append(f"no ratings: {error}")
    return QuestionRatings(
        n=len(votes),
        n_raters=_distinct(votes.rater),
        n_prompts=_distinct(votes.prompt),
        notes=tuple(notes),
        ratings=_rating_rows(votes, fit, cover, found, anchor),
        differences=_difference_rows(votes.contenders, found),
        win_rates=_win_rate_rows(votes.contenders, pairs),
        average_win_rates=_average_rows(votes),
        equivalence=_equivalence_rows(votes.contenders, pairs, options.margin),
        position_effect=_position_effect(votes, fit, cover),
        tie_parameter=None if fit is None else fit.tie,
        bradley_terry=_bradley_terry_rows(votes, anchor, options),
        elo_add=()
        if elo is None
        else tuple(
            EloRow(contender=name, rating=float(r), order_spread=float(s))
            for name, r, s in zip(votes.contenders, elo.rating, elo.order_spread, strict=True)
        ),
        bootstrap=_bootstrap_block(fit, votes, anchor, options),
        by_category=_slices(votes, votes.category, votes.categories, anchor, options),
        by_challenge=_slices(votes, votes.challenge, votes.challenges, anchor, options),
        by_rater_group=_slices(votes, votes.group, votes.groups, anchor, options),
        robustness=_robustness(fit, votes, pairs, anchor, options),
        agreement=agreement(table, seed=options.seed),
    )


def _cautions(cover: Covariance) -> list[str]:
    if cover.kind == "vote":
        return [
            "raters and prompts are unknown: intervals are vote-level, and too short if votes hang together"
        ]
    notes = [] if cover.kind == "two-way" else [f"intervals are clustered by {cover.kind} only"]
    for name in ("rater", "prompt"):
        if cover.clusters.get(name, FEW_CLUSTERS) < FEW_CLUSTERS:
            notes.append(f"{cover.clusters[name]} {name}s only: intervals rest on little")
    return notes


def _rating_rows(
    votes: VoteTable,
    fit: Fit | None,
    cover: Covariance | None,
    found: Differences | None,
    anchor: int | None,
) -> tuple[RatingRow, ...]:
    m = len(votes.contenders)
    bad = both_bad_rates(votes)
    rating = low = high = np.full(m, np.nan)
    best = worst = None
    if fit is not None and cover is not None and found is not None:
        best, worst = rank_sets(found, m)
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


def _plain_rows(fit: Fit, cover: Covariance, anchor: int | None) -> tuple[PlainRating, ...]:
    rows = zip(fit.contenders, *(part.tolist() for part in _marginal(fit, cover, anchor)), strict=True)
    made = (PlainRating(contender=name, rating=r, low=a, high=b) for name, r, a, b in rows)
    return tuple(sorted(made, key=lambda row: -row.rating))


def _difference_rows(contenders: tuple[str, ...], found: Differences | None) -> tuple[DifferenceRow, ...]:
    if found is None:
        return ()
    points = (SCALE * part for part in (found.difference, found.low, found.high))
    columns = (found.first, found.second, *points, found.p_adjusted)
    return tuple(
        DifferenceRow(
            a=contenders[a],
            b=contenders[b],
            difference=d,
            low=low,
            high=high,
            simultaneous=True,
            p_adjusted=p,
        )
        for a, b, d, low, high, p in zip(*(column.tolist() for column in columns), strict=True)
    )


def _win_rate_rows(contenders: tuple[str, ...], pairs: PairRates) -> tuple[WinRateRow, ...]:
    rates = pairs.rates
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
        )
        for i, (wins_a, wins_b, ties, both_bad) in enumerate(pairs.counts.tolist())
    )


def _average_rows(votes: VoteTable) -> tuple[AverageRow, ...]:
    rates, opponents = average_win_rates(votes)
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


def _equivalence_rows(
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


def _position_effect(votes: VoteTable, fit: Fit | None, cover: Covariance | None) -> PositionEffect:
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


def _bradley_terry_rows(votes: VoteTable, anchor: int | None, options: Options) -> tuple[PlainRating, ...]:
    try:
        fit = bradley_terry(votes.contenders, count_votes(votes), penalty=options.penalty)
    except InputError:
        return ()  # Davidson's fit meets the same wall and its note says which.
    return _plain_rows(fit, covariance(fit, votes), anchor)


def _bootstrap_block(
    fit: Fit | None, votes: VoteTable, anchor: int | None, options: Options
) -> BootstrapBlock | None:
    if fit is None or not options.bootstrap:
        return None
    drawn = cluster_bootstrap(fit, votes, replicates=options.bootstrap, seed=options.seed)
    intervals: tuple[Interval, ...] = ()
    if len(drawn.strength):
        base = 0.0 if anchor is None else drawn.strength[:, [anchor]]
        low, high = np.quantile(1000 + SCALE * (drawn.strength - base), [0.025, 0.975], axis=0).tolist()
        intervals = tuple(
            Interval(contender=name, low=a, high=b)
            for name, a, b in zip(fit.contenders, low, high, strict=True)
        )
    return BootstrapBlock(
        kind=drawn.kind, replicates=drawn.replicates, unbounded=drawn.unbounded, intervals=intervals
    )


def _slices(
    votes: VoteTable,
    codes: NDArray[np.int32],
    labels: tuple[str, ...],
    anchor: int | None,
    options: Options,
) -> dict[str, Slice]:
    """One fit a level; {} where there is one level, which would only repeat the whole."""
    if np.count_nonzero(np.bincount(codes)) < 2:
        return {}
    return {labels[code] or "(none)": _slice(part, anchor, options) for code, part in _levels(votes, codes)}


def _levels(votes: VoteTable, codes: NDArray[np.int32]) -> Iterator[tuple[int, VoteTable]]:
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        yield code, select(votes, codes == code)


def _slice(votes: VoteTable, anchor: int | None, options: Options) -> Slice:
    rows, note = (), ""
    try:
        fit = davidson(
            votes.contenders, count_votes(votes), position=options.position, penalty=options.penalty
        )
        rows = _plain_rows(fit, covariance(fit, votes), anchor)
    except InputError as error:
        note = f"no ratings: {error}"
    return Slice(n=len(votes), note=note, ratings=rows, average_win_rates=_average_rows(votes))


def _robustness(
    fit: Fit | None, votes: VoteTable, pairs: PairRates, anchor: int | None, options: Options
) -> Robustness:
    quartiles = tuple(
        QuartileRow(
            quartile=row.quartile,
            consistency=row.consistency,
            raters=row.raters,
            votes=row.votes,
            note=row.note,
            ratings={}
            if row.strength is None
            else dict(
                zip(votes.contenders, to_ratings(np.array(row.strength), anchor).tolist(), strict=True)
            ),
        )
        for row in consistency_quartiles(votes, position=options.position)
    )
    return Robustness(
        few_votes=None if fit is None else few_votes(fit),
        flipping_raters=() if fit is None else flipping_raters(fit, votes),
        condorcet=condorcet_cycles(votes.contenders, pairs),
        consistency_quartiles=quartiles,
    )
