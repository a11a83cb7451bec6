"""Votes → the ratings document (`bench.ratings.document`), question by question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bench.errors import InputError, unknown
from bench.ratings.covariance import cluster_kind, effective_numbers
from bench.ratings.document import OVERALL, RatingsDocument
from bench.ratings.elo import EloAdd, elo_add
from bench.ratings.options import Options
from bench.ratings.question_ratings import Stage, distinct, question_ratings
from bench.ratings.vote_table import VoteTable, ratable, select

STAGES = 5
"""Steps that `rate` reports for each question."""
CLUSTERS = {
    "two-way": "rater and prompt",
    "rater": "rater",
    "prompt": "prompt",
    "vote": "nothing: vote-level",
}


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
    if distinct(votes.rater) == 1 and not options.this_rater_only:
        raise InputError(
            f"all {len(votes):,} votes are by one rater, which tells nothing of other raters; collect votes of more "
            "raters, or rate this rater alone with --this-rater-only"
        )
    blocks, elos = {}, []
    for question, part in _questions(table):
        stage(f"{question}: elo-add")
        elos.append(_elo_add(ratable(part), options))
        blocks[question] = question_ratings(
            question, part, elos[-1], anchor, options, lambda text, q=question: stage(f"{q}: {text}")
        )
    if _one_question(votes):
        blocks[OVERALL] = replace(next(iter(blocks.values())), question=OVERALL)
    else:
        stage("overall: elo-add")
        whole = _averaged(elos) if elos else _elo_add(votes, options)
        blocks[OVERALL] = question_ratings(
            OVERALL, table, whole, anchor, options, lambda text: stage(f"overall: {text}")
        )
    return RatingsDocument(
        study=study,
        simulated=table.simulated,
        anchor=options.anchor or "mean",
        n_votes=len(votes),
        n_raters=distinct(votes.rater),
        n_prompts=distinct(votes.prompt),
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
    """How the ratings were computed, as ratings.json says it."""
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
