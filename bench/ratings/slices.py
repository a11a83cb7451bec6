"""The same estimates of a part of the votes, or of more of them: a category, a rater group, no quality rule."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.covariance import covariance
from bench.ratings.document import Slice, WithoutRule
from bench.ratings.document_rows import average_rows, plain_rows, win_rate_rows
from bench.ratings.fits import count_votes, davidson
from bench.ratings.vote_table import VoteTable, reweighted, select, with_battles
from bench.ratings.winrates import pair_rates

EVERY_RULE = "all"
"""Stands for leaving out all quality rules at once."""


def slices_of(
    votes: VoteTable,
    codes: NDArray[np.int32],
    labels: tuple[str, ...],
    *,
    anchor: int | None,
    position: bool,
    penalty: float,
) -> dict[str, Slice]:
    """One fit a level; {} where there is one level, which would only repeat the whole."""
    if np.count_nonzero(np.bincount(codes)) < 2:
        return {}
    named = ((labels[code] or "(none)", part) for code, part in _levels(votes, codes))
    return {
        level: slice_of(level, part, anchor=anchor, position=position, penalty=penalty)
        for level, part in named
    }


def _levels(votes: VoteTable, codes: NDArray[np.int32]) -> Iterator[tuple[int, VoteTable]]:
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        yield code, select(votes, codes == code)


def slice_of(level: str, votes: VoteTable, *, anchor: int | None, position: bool, penalty: float) -> Slice:
    """The estimates of one table under a name."""
    rows, note = (), "" if not penalty else "penalised ratings have no intervals"
    try:
        fit = davidson(votes.contenders, count_votes(votes), position=position, penalty=penalty)
        rows = () if penalty else plain_rows(fit, covariance(fit, votes), anchor)
    except InputError as error:
        note = f"no ratings: {error}"
    return Slice(
        level=level,
        n=len(votes),
        note=note,
        ratings=rows,
        win_rates=win_rate_rows(votes.contenders, pair_rates(votes)),
        average_win_rates=average_rows(votes),
    )


def without_rules(
    votes: VoteTable, *, weights: str, anchor: int | None, position: bool, penalty: float
) -> dict[str, WithoutRule]:
    """Rule → the estimates without it; EVERY_RULE: without any. {} where no rule was applied.

    Parameters
    ----------
    votes: of one question or all, without planted repeats, unweighted.
    weights: scheme of `bench.ratings.vote_table.reweighted`.
    """
    asked = {votes.questions[code] for code in np.unique(votes.question).tolist()}
    back = [
        battle
        for battle in votes.ruled_out
        if battle.kind == "vote"
        and battle.question in asked
        and {battle.left, battle.right} <= {*votes.contenders}
    ]
    effects = {}
    for rule in (*votes.rules, EVERY_RULE) if votes.rules else ():
        mine = [battle for battle in back if rule in (EVERY_RULE, battle.rules)]
        joined = reweighted(with_battles(votes, mine), weights)
        effects[rule] = WithoutRule(
            raters=len({battle.rater for battle in mine}),
            votes=len(mine),
            estimates=slice_of(rule, joined, anchor=anchor, position=position, penalty=penalty),
        )
    return effects
