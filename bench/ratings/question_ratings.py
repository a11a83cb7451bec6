"""The votes of one question → its part of the ratings document: estimates, intervals and checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.analysis_rows import CategoryEffects, CovariateBlock, PlainRating
from bench.ratings.bootstrap import cluster_bootstrap
from bench.ratings.category_effects import category_effects
from bench.ratings.covariance import Covariance, covariance, effective_numbers
from bench.ratings.covariates import covariate_block
from bench.ratings.document import (
    BootstrapBlock,
    Interval,
    QuartileRow,
    QuestionRatings,
    Robustness,
    Slice,
)
from bench.ratings.document_rows import (
    average_rows,
    coding_blocks,
    coding_notes,
    difference_rows,
    elo_rows,
    equivalence_rows,
    plain_rows,
    position_by_arrangement,
    position_effect,
    rating_rows,
    win_rate_rows,
)
from bench.ratings.elo import EloAdd
from bench.ratings.fits import (
    CENTRE,
    MANY_CONTENDERS,
    SCALE,
    Fit,
    bradley_terry,
    count_votes,
    davidson,
    to_ratings,
)
from bench.ratings.options import Options
from bench.ratings.ordinal import seven_points
from bench.ratings.rater_agreement import agreement
from bench.ratings.robustness import (
    condorcet_cycles,
    consistency_quartiles,
    few_votes,
    flipping_raters,
    without_each_rater,
)
from bench.ratings.sensitivity import variants
from bench.ratings.slices import slices_of, without_rules
from bench.ratings.stopping import stopping
from bench.ratings.uncertainty import Differences, simultaneous_differences
from bench.ratings.vote_table import BOTH_BAD, VoteTable, ratable, reweighted
from bench.ratings.winrates import PairRates, pair_rates

Floats = NDArray[np.float64]

Stage = Callable[[str], None]
"""Called with the name of each step as it begins."""

FEW_CLUSTERS = 10
"""Effective number below which a note warns that clustered intervals rest on little."""
FEW_PROMPTS = 20
"""Effective number below which a note says that prompts, not votes, limit what is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """What is fitted to the votes of a question; None where it cannot be had."""

    fit: Fit | None
    cover: Covariance | None
    gaps: Differences | None
    """Joint over all pairs of contenders."""
    named: Differences | None
    """Joint over the comparisons that the study names; None: it names none."""
    notes: tuple[str, ...]


def question_ratings(
    question: str, table: VoteTable, elo: EloAdd | None, anchor: int | None, options: Options, stage: Stage
) -> QuestionRatings:
    """Everything said about the votes of one question.

    Parameters
    ----------
    table : the question's votes with its planted repeats: agreement needs them.
    elo : the question's elo-add; None: not asked for.
    anchor : index of the contender that stands at 1000; None: the mean of all.
    stage : called with the name of each step as it begins.
    """
    stage("ratings and win rates")
    plain = ratable(table)
    votes = reweighted(plain, options.weights)
    pairs, made = pair_rates(votes), _estimates(votes, options)
    fit, cover, gaps = made.fit, made.cover, made.gaps
    stage(f"{options.bootstrap:,} bootstrap replicates")
    bootstrap = _bootstrap_block(fit, votes, anchor, options)
    stage("categories and rater groups")
    how: dict[str, Any] = {"anchor": anchor, "position": options.position, "penalty": options.penalty}
    by_category = slices_of(votes, votes.category, votes.categories, **how)
    by_challenge = slices_of(votes, votes.challenge, votes.challenges, **how)
    by_rater_group = slices_of(votes, votes.group, votes.groups, **how)
    effects, covariates = _effects(fit, votes, anchor, options)
    codings = coding_blocks(votes)
    stage("robustness and agreement")
    return QuestionRatings(
        question=question,
        n=len(votes),
        n_raters=distinct(votes.rater),
        n_prompts=distinct(votes.prompt),
        n_raters_effective=effective_numbers(votes).get("rater"),
        n_prompts_effective=effective_numbers(votes).get("prompt"),
        notes=(*_weight_notes(votes, options), *made.notes, *coding_notes(codings)),
        ratings=rating_rows(votes, fit, cover, gaps, anchor),
        differences=difference_rows(votes.contenders, gaps, made.named),
        win_rates=win_rate_rows(votes.contenders, pairs),
        average_win_rates=average_rows(votes),
        both_bad_codings=codings,
        equivalence=equivalence_rows(votes.contenders, pairs, options.margin),
        stopping=tuple(stopping(plain)) if (plain.outcome != BOTH_BAD).any() else (),
        position_effect=position_effect(votes, fit, cover),
        position_by_arrangement=position_by_arrangement(votes, penalty=options.penalty),
        seven_points=seven_points(votes, anchor),
        tie_parameter=None if fit is None else fit.tie,
        bradley_terry=_bradley_terry_rows(votes, anchor, options),
        elo_add=elo_rows(votes.contenders, elo),
        bootstrap=bootstrap,
        by_category=by_category,
        by_challenge=by_challenge,
        by_rater_group=by_rater_group,
        category_effects=effects,
        covariates=covariates,
        sensitivity=_sensitivity(plain, votes, fit, anchor, options),
        without_rule=without_rules(plain, weights=options.weights, **how),
        robustness=_robustness(fit, votes, pairs, anchor, options),
        agreement=agreement(table),
    )


def _estimates(votes: VoteTable, options: Options) -> Estimates:
    """Fit, covariance and joint differences, as far as the votes allow; the notes say why not further."""
    fit = cover = gaps = named = None
    notes: list[str] = []
    try:
        fit = davidson(
            votes.contenders, count_votes(votes), position=options.position, penalty=options.penalty
        )
        cover = covariance(fit, votes)
        notes += [*fit.notes, *_cautions(cover, votes)]
        if options.penalty:
            notes.append(
                f"ratings are drawn towards each other (penalty {options.penalty}) and have no intervals, differences "
                "or rank sets: see the win rates"
            )
        else:
            parts = fit.strength, cover.matrix, cover.freedom
            gaps = simultaneous_differences(*parts, seed=options.seed)
            if pairs_named := _named(votes.contenders, options.comparisons):
                named = simultaneous_differences(*parts, seed=options.seed, pairs=pairs_named)
            notes += _few_prompts(cover, gaps)
        if fit.size > MANY_CONTENDERS:
            notes.append(
                f"more than {MANY_CONTENDERS} contenders: joint intervals by Bonferroni, clustering contender by "
                "contender; differences of neighbours and with the first only; no bootstrap, no Bradley–Terry, no "
                "other weights, no check of what the first place rests on"
            )
    except InputError as error:
        notes.append(f"no ratings: {error}")
    return Estimates(fit=fit, cover=cover, gaps=gaps, named=named, notes=tuple(notes))


def _effects(
    fit: Fit | None, votes: VoteTable, anchor: int | None, options: Options
) -> tuple[CategoryEffects | None, CovariateBlock | None]:
    """What the ratings owe to the prompts' categories and to the covariates of the votes."""
    if fit is None or options.penalty or fit.size > MANY_CONTENDERS:
        return None, None
    effects = category_effects(fit, votes, votes.category, votes.categories, seed=options.seed)
    return effects, covariate_block(fit, votes, anchor)


def distinct(labels: NDArray[np.int32] | None) -> int | None:
    """How many raters or prompts there are; None: they are unknown."""
    return None if labels is None else int(np.count_nonzero(np.bincount(labels)))


def _sensitivity(
    plain: VoteTable, votes: VoteTable, fit: Fit | None, anchor: int | None, options: Options
) -> dict[str, Slice]:
    if options.penalty or len(votes.contenders) > MANY_CONTENDERS:
        return {}
    return variants(plain, votes, fit, mix=options.mix, anchor=anchor, position=options.position)


def _named(contenders: tuple[str, ...], comparisons: tuple[tuple[str, str], ...]) -> list[tuple[int, int]]:
    """The study's comparisons of contenders that have votes, by index."""
    place = {name: i for i, name in enumerate(contenders)}
    return [(place[a], place[b]) for a, b in comparisons if a in place and b in place]


def _weight_notes(votes: VoteTable, options: Options) -> list[str]:
    if options.weights == "votes":
        return []
    worth = votes.weight.sum() ** 2 / (votes.weight**2).sum()
    return [f"weights '{options.weights}': {len(votes):,} votes weigh as {worth:,.0f} equal ones (Kish)"]


def _cautions(cover: Covariance, votes: VoteTable) -> list[str]:
    """What the intervals rest on, where that is little."""
    notes = []
    raters, prompts = distinct(votes.rater), distinct(votes.prompt)
    if raters == 1:
        notes.append("one rater only: every number holds for this rater, and says nothing of others")
    if prompts == 1:
        notes.append("one prompt only: every number holds for this prompt, and says nothing of others")
    if raters is None and prompts is None:
        notes.append(
            "raters and prompts are unknown: intervals are vote-level, too short if votes are correlated"
        )
    elif raters is None or prompts is None:
        known, missing = ("prompt", "raters") if raters is None else ("rater", "prompts")
        notes.append(f"{missing} are unknown: intervals are clustered by {known} only")
    for name, effective in cover.effective.items():
        if effective < FEW_CLUSTERS:
            notes.append(
                f"the {cover.clusters[name]} {name}s count as {effective:.1f} (Kish): intervals rest on little"
            )
    return notes


def _few_prompts(cover: Covariance, gaps: Differences) -> list[str]:
    """Where prompts are few and most pairs are not shown to differ."""
    effective, pairs = cover.effective.get("prompt"), len(gaps.low)
    apart = int(((gaps.low > 0) | (gaps.high < 0)).sum())
    if effective is None or effective >= FEW_PROMPTS or 2 * apart >= pairs:
        return []
    return [
        f"{cover.clusters['prompt']} prompts limit what can be shown: {apart} of {pairs:,} pairs differ jointly; more "
        "prompts help, more votes on these hardly"
    ]


def _bradley_terry_rows(votes: VoteTable, anchor: int | None, options: Options) -> tuple[PlainRating, ...]:
    if options.penalty or len(votes.contenders) > MANY_CONTENDERS:
        return ()
    try:
        fit = bradley_terry(votes.contenders, count_votes(votes), penalty=options.penalty)
    except InputError:
        return ()  # Davidson's fit meets the same wall and its note says which.
    return plain_rows(fit, covariance(fit, votes), anchor)


def _bootstrap_block(
    fit: Fit | None, votes: VoteTable, anchor: int | None, options: Options
) -> BootstrapBlock | None:
    if fit is None or not options.bootstrap or options.penalty or fit.size > MANY_CONTENDERS:
        return None
    drawn = cluster_bootstrap(fit, votes, replicates=options.bootstrap, seed=options.seed)
    intervals: tuple[Interval, ...] = ()
    if len(drawn.strength):
        base = 0.0 if anchor is None else drawn.strength[:, [anchor]]
        low, high = np.quantile(CENTRE + SCALE * (drawn.strength - base), [0.025, 0.975], axis=0).tolist()
        intervals = tuple(
            Interval(contender=name, low=a, high=b)
            for name, a, b in zip(fit.contenders, low, high, strict=True)
        )
    return BootstrapBlock(
        kind=drawn.kind, replicates=drawn.replicates, unbounded=drawn.unbounded, intervals=intervals
    )


def _range(contenders: tuple[str, ...], without: Floats | None, anchor: int | None) -> tuple[Interval, ...]:
    """Lowest and highest rating over the raters left out."""
    if without is None:
        return ()
    ratings = np.array([to_ratings(row, anchor) for row in without[np.isfinite(without).all(axis=1)]])
    if not len(ratings):
        return ()
    ends = zip(contenders, ratings.min(axis=0).tolist(), ratings.max(axis=0).tolist(), strict=True)
    return tuple(Interval(contender=name, low=low, high=high) for name, low, high in ends)


def _robustness(
    fit: Fit | None, votes: VoteTable, pairs: PairRates, anchor: int | None, options: Options
) -> Robustness:
    many = len(votes.contenders) > MANY_CONTENDERS
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
        for row in (() if many else consistency_quartiles(votes, position=options.position))
    )
    if many:
        fit = None
    without = None if fit is None else without_each_rater(fit, votes)
    return Robustness(
        few_votes=None if fit is None else few_votes(fit),
        flipping_raters=() if fit is None else flipping_raters(fit, votes, without),
        without_one_rater=_range(votes.contenders, without, anchor),
        condorcet=condorcet_cycles(votes.contenders, pairs),
        consistency_quartiles=quartiles,
    )
