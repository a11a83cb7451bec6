"""Votes → the ratings document (`bench.ratings.document`): estimates, intervals and checks of each question."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError, unknown
from bench.ratings.analysis_rows import PlainRating
from bench.ratings.bootstrap import cluster_bootstrap
from bench.ratings.category_effects import category_effects
from bench.ratings.covariance import Covariance, cluster_kind, covariance, effective_numbers
from bench.ratings.covariates import covariate_block
from bench.ratings.document import (
    OVERALL,
    BootstrapBlock,
    Interval,
    QuartileRow,
    QuestionRatings,
    RatingsDocument,
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
from bench.ratings.elo import EloAdd, elo_add
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
from bench.ratings.ordinal import seven_points
from bench.ratings.rater_agreement import agreement
from bench.ratings.robustness import (
    condorcet_cycles,
    consistency_quartiles,
    few_votes,
    flipping_raters,
    without_each_rater,
)
from bench.ratings.sensitivity import Mix, variants
from bench.ratings.slices import slices_of, without_rules
from bench.ratings.stopping import stopping
from bench.ratings.uncertainty import Differences, simultaneous_differences
from bench.ratings.vote_table import BOTH_BAD, VoteTable, ratable, reweighted, select
from bench.ratings.winrates import PairRates, pair_rates

Floats = NDArray[np.float64]

Stage = Callable[[str], None]
"""Called with the name of each step as it begins."""

FEW_CLUSTERS = 10
"""Effective number below which a note warns that clustered intervals rest on little."""
FEW_PROMPTS = 20
"""Effective number below which a note says that prompts, not votes, limit what is shown."""
STAGES = 5
"""Steps that `rate` reports for each question."""
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
    """`votes`, `raters` or `propensity`: see `bench.ratings.vote_table.reweighted`."""
    penalty: float = 0.0
    """Above 0: a normal prior of that precision on the strengths keeps separated votes finite. Such ratings get no
    intervals: those of the sandwich held the truth in none of 200 separated studies."""
    position: bool = True
    """Whether to estimate the left-position effect."""
    bootstrap: int = 1000
    """Cluster-bootstrap replicates; 0: none."""
    shuffles: int = 1000
    """Of elo-add; 0: none."""
    margin: float = 3.0
    """Of equivalence, win-rate points."""
    mix: Mix = field(default_factory=Mix)
    """Shares of categories and rater groups that a row of `sensitivity` is about."""
    this_rater_only: bool = False
    """Rate the votes of a single rater all the same: intervals then hold for that rater alone."""
    comparisons: tuple[tuple[str, str], ...] = ()
    """Pairs of contenders that the study names: their differences hold jointly over these alone; (): all pairs."""
    seed: int = 0


def rate(
    table: VoteTable, *, study: str = "", options: Options | None = None, stage: Stage = lambda text: None
) -> RatingsDocument:
    """Everything said about a votes table. A question whose contenders never met, or whose ratings are
    infinite, keeps its win rates and says so in its notes.

    Raises InputError: unknown anchor or weights, no vote left, votes of one rater without `this_rater_only`.
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
    if _distinct(votes.rater) == 1 and not options.this_rater_only:
        raise InputError(
            f"all {len(votes):,} votes are by one rater, which tells nothing of other raters; collect votes of more "
            "raters, or rate this rater alone with --this-rater-only"
        )
    blocks, elos = {}, []
    for question, part in _questions(table):
        stage(f"{question}: elo-add")
        elos.append(_elo_add(ratable(part), options))
        blocks[question] = _question(
            question, part, elos[-1], anchor, options, lambda text, q=question: stage(f"{q}: {text}")
        )
    if _one_question(votes):
        blocks[OVERALL] = replace(next(iter(blocks.values())), question=OVERALL)
    else:
        stage("overall: elo-add")
        whole = _averaged(elos) if elos else _elo_add(votes, options)
        blocks[OVERALL] = _question(
            OVERALL, table, whole, anchor, options, lambda text: stage(f"overall: {text}")
        )
    return RatingsDocument(
        study=study,
        simulated=table.simulated,
        anchor=options.anchor or "mean",
        n_votes=len(votes),
        n_raters=_distinct(votes.rater),
        n_prompts=_distinct(votes.prompt),
        n_raters_effective=effective_numbers(votes).get("rater"),
        n_prompts_effective=effective_numbers(votes).get("prompt"),
        excluded=dict(votes.excluded),
        method=_method(votes, options),
        questions=blocks,
    )


def stages(table: VoteTable) -> int:
    """How many steps `rate` reports."""
    return STAGES * (1 if _one_question(ratable(table)) else 1 + len(list(_questions(table))))


def _one_question(votes: VoteTable) -> bool:
    """Whether all votes answer one named question, which then is the whole."""
    return bool(votes.questions[votes.question[0]]) and bool((votes.question == votes.question[0]).all())


def _questions(table: VoteTable) -> Iterator[tuple[str, VoteTable]]:
    """Each named question that has votes to rate."""
    for code, question in enumerate(table.questions):
        mine = table.question == code
        if question and (mine & ~table.repeat).any():
            yield question, table if mine.all() else select(table, mine)


def _method(table: VoteTable, options: Options) -> dict[str, Any]:
    return {
        "model": "Davidson (Bradley–Terry with ties), maximum likelihood by Newton on counts"
        if not options.penalty
        else f"Davidson, penalised: normal prior of precision {options.penalty} on the strengths",
        "scale": "1000 at the anchor, 400 points an odds factor of 10",
        "both_bad": "left out of ratings and win rates; a rate of its own for each contender",
        "intervals": f"95%, sandwich covariance clustered by {CLUSTERS[cluster_kind(table)]}, "
        "variance components by moments, never below the vote-level one, Student's t with Satterthwaite degrees of "
        "freedom",
        "differences": "joint 95% over all pairs: max-t, simulated with a Wishart covariance where clusters are few"
        + (
            f"; the {len(options.comparisons)} comparisons that the study names: joint over these alone"
            if options.comparisons
            else ""
        ),
        "ranks": "from the joint intervals",
        "rates": "Wilson's interval at the effective number of votes of the clustered variance, Student's t with "
        "Satterthwaite degrees of freedom by the clusters behind each rate",
        "equivalence": f"two one-sided tests at 5%, margin {options.margin} win-rate points, unadjusted",
        "stopping": "confidence sequences on the clustered variance, Holm over all pairs, familywise 5%; votes "
        "unweighted",
        "bootstrap": f"pigeonhole over clusters, {options.bootstrap} replicates, percentile; conservative",
        "elo_add": f"K = 1, start 1000, mean over at most {options.shuffles} shuffles (order_error: its standard "
        "error over orders); overall: mean of the questions",
        "agreement": "Krippendorff's alpha, nominal; interval by a jackknife over raters and prompts",
        "options": asdict(options),
    }


def _distinct(labels: NDArray[np.int32] | None) -> int | None:
    return None if labels is None else int(np.count_nonzero(np.bincount(labels)))


def _elo_add(table: VoteTable, options: Options) -> EloAdd | None:
    if not options.shuffles:
        return None
    return elo_add([table], shuffles=options.shuffles, seed=options.seed)


def _averaged(parts: list[EloAdd | None]) -> EloAdd | None:
    done = [part for part in parts if part is not None]
    if not done:
        return None
    spread = np.sqrt(np.sum([part.order_spread**2 for part in done], axis=0)) / len(done)
    return replace(
        done[0],
        rating=np.mean([part.rating for part in done], axis=0),
        order_spread=spread,
        order_error=np.sqrt(np.sum([part.order_error**2 for part in done], axis=0)) / len(done),
    )


def _question(
    question: str, table: VoteTable, elo: EloAdd | None, anchor: int | None, options: Options, stage: Stage
) -> QuestionRatings:
    """`table` with its planted repeats: agreement needs them."""
    stage("ratings and win rates")
    plain = ratable(table)
    votes = reweighted(plain, options.weights)
    pairs, notes = pair_rates(votes), _weight_notes(votes, options)
    fit = cover = gaps = named = None
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
    stage(f"{options.bootstrap:,} bootstrap replicates")
    bootstrap = _bootstrap_block(fit, votes, anchor, options)
    stage("categories and rater groups")
    how = {"anchor": anchor, "position": options.position, "penalty": options.penalty}
    slices = [
        slices_of(votes, codes, labels, **how)
        for codes, labels in (
            (votes.category, votes.categories),
            (votes.challenge, votes.challenges),
            (votes.group, votes.groups),
        )
    ]
    effects = covariates = None
    if fit is not None and not options.penalty and fit.size <= MANY_CONTENDERS:
        effects = category_effects(fit, votes, votes.category, votes.categories, seed=options.seed)
        covariates = covariate_block(fit, votes, anchor)
    codings = coding_blocks(votes)
    notes += coding_notes(codings)
    stage("robustness and agreement")
    return QuestionRatings(
        question=question,
        n=len(votes),
        n_raters=_distinct(votes.rater),
        n_prompts=_distinct(votes.prompt),
        n_raters_effective=effective_numbers(votes).get("rater"),
        n_prompts_effective=effective_numbers(votes).get("prompt"),
        notes=tuple(notes),
        ratings=rating_rows(votes, fit, cover, gaps, anchor),
        differences=difference_rows(votes.contenders, gaps, named),
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
        by_category=slices[0],
        by_challenge=slices[1],
        by_rater_group=slices[2],
        category_effects=effects,
        covariates=covariates,
        sensitivity=_sensitivity(plain, votes, fit, anchor, options),
        without_rule=without_rules(plain, weights=options.weights, **how),
        robustness=_robustness(fit, votes, pairs, anchor, options),
        agreement=agreement(table),
    )


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
    raters, prompts = _distinct(votes.rater), _distinct(votes.prompt)
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
