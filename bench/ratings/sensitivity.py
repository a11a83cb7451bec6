"""The ratings under other weights: every rater alike, raters by their reliability, a stated mix of prompts and raters.

Rows to compare with the analysis, not to replace it: a claim that holds under one of them only is weak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError, unknown
from bench.ratings.document import Slice
from bench.ratings.fits import Fit, probabilities
from bench.ratings.slices import slice_of
from bench.ratings.vote_table import BOTH_BAD, VoteTable, reweighted, select

Floats = NDArray[np.float64]

ATTENTIVE, ANSWERS = 0.9, 10.0
"""Prior of a rater's share of attentive votes: its mean, and the number of votes that it counts as."""
ROUNDS = 30
"""Steps of the EM algorithm, and of raking, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Shares that a claim is to be about; {}: those of the votes."""

    prompts: Mapping[str, float] = field(default_factory=dict)
    """Category to share."""
    raters: Mapping[str, float] = field(default_factory=dict)
    """Rater group to share."""


def variants(
    plain: VoteTable, votes: VoteTable, fit: Fit | None, *, mix: Mix, anchor: int | None, position: bool
) -> dict[str, Slice]:
    """Name of the weights → the estimates under them; those that change nothing, or need what is unknown, are absent.

    plain: unweighted votes; votes: as analysed; fit: of the latter.
    """
    tables: dict[str, VoteTable] = {}
    notes: dict[str, str] = {}
    if votes.rater is not None and np.count_nonzero(np.bincount(votes.rater)) > 1:
        tables["raters alike"] = reweighted(plain, "raters")
        if fit is not None:
            share = reliabilities(votes, fit)
            tables["reliability"] = replace(votes, weight=votes.weight * share[votes.rater])
    if mix.prompts or mix.raters:
        try:
            tables["stated mix"] = post_stratified(votes, mix)
        except InputError as error:
            notes["stated mix"] = str(error)
    rows = {
        name: slice_of(name, table, anchor=anchor, position=position, penalty=0.0)
        for name, table in tables.items()
    }
    return rows | {name: Slice(level=name, note=note) for name, note in notes.items()}


def reliabilities(table: VoteTable, fit: Fit) -> Floats:
    """(raters,) share of a rater's votes that follow Davidson's model and not chance, by EM.

    A vote is the model's, with probability r of the rater, or an answer that ignores the images, drawn as left, right
    and tie are over all votes. r has a Beta prior of mean ATTENTIVE. The model's probabilities stay those of `fit`:
    raters are weighed by r, single votes are not, which would favour votes that agree. Raters without decided votes get
    the prior's mean. Source: Chen, Bennett, Collins-Thompson and Horvitz 2013, Crowd-BT, WSDM, with answers at random
    in place of reversed ones.
    """
    assert table.rater is not None
    votes = select(table, table.outcome != BOTH_BAD)
    assert votes.rater is not None
    parts = probabilities(
        fit.strength[None],
        None if fit.position is None else np.array([fit.position]),
        None if fit.tie is None else np.array([fit.tie]),
    )
    model = np.stack([part[0] for part in parts], axis=-1)[votes.left, votes.right, votes.outcome]
    chance = (np.bincount(votes.outcome, minlength=3) / len(votes))[votes.outcome]
    raters = len(table.raters)
    count = np.bincount(votes.rater, minlength=raters)
    share = np.full(raters, ATTENTIVE)
    for _ in range(ROUNDS):
        own = share[votes.rater] * model
        attentive = own / (own + (1 - share[votes.rater]) * chance)
        share = (np.bincount(votes.rater, attentive, raters) + ATTENTIVE * ANSWERS) / (count + ANSWERS)
    return share


def post_stratified(votes: VoteTable, mix: Mix) -> VoteTable:
    """Votes weighted so that categories and rater groups have the stated shares (raking, Deming and Stephan 1940).

    Raises InputError: a share that is not positive, an unknown label, a label with votes but no share, or the reverse.
    """
    margins = [
        (codes, _targets(what, labels, codes, shares))
        for what, labels, codes, shares in (
            ("category", votes.categories, votes.category, mix.prompts),
            ("rater group", votes.groups, votes.group, mix.raters),
        )
        if shares
    ]
    weight = votes.weight.copy()
    for _ in range(ROUNDS):
        for codes, target in margins:
            total = np.bincount(codes, weight, len(target))
            with np.errstate(invalid="ignore", divide="ignore"):
                weight *= np.where(total > 0, target * weight.sum() / total, 0.0)[codes]
    return replace(votes, weight=weight / weight.mean())


def _targets(
    what: str, labels: tuple[str, ...], codes: NDArray[np.int32], shares: Mapping[str, float]
) -> Floats:
    """(labels,) shares, sum 1."""
    present = {labels[code] for code in np.unique(codes).tolist()}
    for name, share in shares.items():
        if name not in present:
            raise unknown(f"{what} with votes", name, sorted(present))
        if share <= 0:
            raise InputError(f"the share of {what} '{name}' must be above 0")
    missing = sorted(present - set(shares))
    if missing:
        raise InputError(f"the mix gives no share of {what} {', '.join(missing)}")
    target = np.array([shares.get(label, 0.0) for label in labels])
    return target / target.sum()
