"""What a pilot's votes say of a design: how far raters and prompts differ, how often equals tie, how uneven raters are.

The model is that of `bench.ratings.simulation`: effects of raters and of prompts on each contender's strength, normal,
logits. Two votes of one rater on different prompts have scores whose covariance grows with the raters' SD, and which
`bench.ratings.power` has exactly; the SD is the one at which the products of scores have the sum that they have
(moments, as Gao and Owen 2020, arXiv 1610.08088). Likewise the prompts'. Standard errors of the sums are those of
independent clusters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.clusters import renumbered
from bench.ratings.covariance import score_tables
from bench.ratings.fits import count_votes, davidson
from bench.ratings.power import shared_covariance
from bench.ratings.simulation import Design, expected_chances
from bench.ratings.vote_table import BOTH_BAD, TIE, VoteTable, ratable, select

Floats = NDArray[np.float64]
ROUNDS = 6
"""Of solving for the raters' SD, the prompts' SD, ties and strengths in turn."""
MOST_SD = 4.0
"""Logits."""
LEAST_CLUSTERS = 4
QUANTILES = 7
"""Equally likely values of each SD that a plan is computed at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """SD of one kind of effect, logits."""

    value: float
    low: float
    """Of the 90% interval."""
    high: float
    quantiles: tuple[float, ...]
    """Equally likely values, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """What was estimated, and from how much."""

    votes: int
    raters: int
    prompts: int
    simulated: bool
    rater: Spread
    prompt: Spread
    ties: float
    """Share between equals."""
    unevenness: float
    """Coefficient of variation of the votes a rater gave."""

    def likely(self, rater_sd: float | None, prompt_sd: float | None) -> list[tuple[float, float]]:
        """Equally likely pairs of rater SD and prompt SD; one that is given is certain."""
        raters = self.rater.quantiles if rater_sd is None else (rater_sd,)
        prompts = self.prompt.quantiles if prompt_sd is None else (prompt_sd,)
        return list(itertools.product(raters, prompts))


@dataclass(frozen=True, slots=True)
class _Moment:
    """Products of scores within the clusters of one level."""

    observed: float
    error: float
    counts: Floats
    """(pairs, pairs) ordered pairs of distinct votes of a cluster, by the comparisons they are on."""


@dataclass(frozen=True, slots=True)
class _Question:
    contrasts: Floats
    """(pairs, m) of the comparisons that have votes."""
    gaps: Floats
    """(pairs,) of the fit, logits."""
    votes: Floats
    """(pairs,)"""
    rater: _Moment
    prompt: _Moment
    ties: int


def estimate(table: VoteTable) -> Pilot:
    """Raises InputError: votes without raters or prompts, or too few of them."""
    table = ratable(table)
    if table.rater is None or table.prompt is None:
        raise InputError("a pilot needs the rater and the prompt of every vote: this one lacks a column")
    table = select(table, table.outcome != BOTH_BAD)
    assert table.rater is not None
    assert table.prompt is not None
    raters, prompts = np.bincount(table.rater), np.bincount(table.prompt)
    for name, sizes in (("raters", raters), ("prompts", prompts)):
        if np.count_nonzero(sizes) < LEAST_CLUSTERS or sizes.max(initial=0) < 2:
            raise InputError(
                f"a pilot needs {LEAST_CLUSTERS} {name} or more, some with two votes: it has "
                f"{np.count_nonzero(sizes)}"
            )
    questions = [
        _question(select(table, table.question == code)) for code in np.unique(table.question).tolist()
    ]
    design = _solved(questions)
    given = raters[raters > 0]
    return Pilot(
        votes=len(table),
        raters=len(given),
        prompts=int(np.count_nonzero(prompts)),
        simulated=table.simulated,
        rater=_spread(questions, design, "rater"),
        prompt=_spread(questions, design, "prompt"),
        ties=0.0 if math.isinf(design.tie) else float(1 / (1 + 2 * math.exp(-design.tie))),
        unevenness=float(given.std() / given.mean()),
    )


def _question(table: VoteTable) -> _Question:
    fit = davidson(table.contenders, count_votes(table))
    scores, _ = score_tables(fit)
    m = fit.size
    swapped = table.left > table.right
    score = scores[table.left, table.right, table.outcome] * np.where(swapped, -1.0, 1.0)
    key = np.minimum(table.left, table.right).astype(np.int64) * m + np.maximum(table.left, table.right)
    pair, keys = renumbered(key, m * m)
    contrasts = np.zeros((len(keys), m))
    contrasts[np.arange(len(keys)), keys // m] = 1.0
    contrasts[np.arange(len(keys)), keys % m] = -1.0
    assert table.rater is not None
    assert table.prompt is not None
    width = int(table.prompt.max()) + 1
    both = table.rater.astype(np.int64) * width + table.prompt
    levels = {"rater": table.rater, "prompt": table.prompt, "cell": renumbered(both, int(both.max()) + 1)[0]}
    parts = {name: _products(label, pair, score, contrasts) for name, label in levels.items()}
    apart, together = parts["cell"]
    own = float((2 * score**2).sum() + apart.sum())
    seen = {name: float(parts[name][0].sum() - apart.sum()) for name in ("rater", "prompt")}
    observed = _before_the_fit(seen, own, {name: _held(levels[name]) for name in seen})
    moments = {}
    for name in seen:
        sums, counts = parts[name]
        groups = np.count_nonzero(np.bincount(levels[name]))
        moments[name] = _Moment(
            observed[name],
            float(np.sqrt(groups) * sums.std(ddof=1)) / (1 - _held(levels[name])),
            counts - together,
        )
    return _Question(
        contrasts=contrasts,
        gaps=contrasts @ fit.strength,
        votes=np.bincount(pair).astype(np.float64),
        rater=moments["rater"],
        prompt=moments["prompt"],
        ties=int(np.count_nonzero(table.outcome == TIE)),
    )


def _held(label: NDArray[np.integer]) -> float:
    """Sum of the squared shares of the votes that the clusters hold: 1 over their effective number."""
    sizes = np.bincount(label)
    return float((sizes**2).sum() / sizes.sum() ** 2)


def _before_the_fit(seen: dict[str, float], own: float, held: dict[str, float]) -> dict[str, float]:
    """The sums that scores about the true strengths would have.

    The fit makes the scores sum to 0 over all votes: each level lost its share of the square of that sum, whose
    expectation is the sums of both levels and of the votes themselves, `own`.
    """
    r, p = held["rater"], held["prompt"]
    matrix = np.array([[1 - r, -r], [-p, 1 - p]])
    solved = np.linalg.solve(matrix, [seen["rater"] + own * r, seen["prompt"] + own * p])
    return {"rater": float(solved[0]), "prompt": float(solved[1])}


def _products(
    label: NDArray[np.integer], pair: NDArray[np.int64], score: Floats, contrasts: Floats
) -> tuple[Floats, Floats]:
    """(clusters,) sum over pairs of distinct votes of the products of scores and of contrasts; (pairs, pairs) their
    counts."""
    index, keys = renumbered(label.astype(np.int64), int(label.max()) + 1)
    size = len(contrasts)
    place = index * size + pair
    sums = np.bincount(place, score, len(keys) * size).reshape(-1, size) @ contrasts
    counts = np.bincount(place, minlength=len(keys) * size).reshape(-1, size).astype(np.float64)
    own = np.bincount(index, 2 * score**2, len(keys))
    return (sums**2).sum(axis=1) - own, counts.T @ counts - np.diag(counts.sum(axis=0))


def _solved(questions: Sequence[_Question]) -> Design:
    """The design whose moments are the observed ones."""
    design = Design(strengths=(0.0, 0.0), rater_sd=0.0, prompt_sd=0.0, tie=-math.inf)
    for _ in range(ROUNDS):
        design = replace(design, tie=_tie(questions, design))
        for name in ("rater", "prompt"):
            observed = sum(getattr(q, name).observed for q in questions)
            design = replace(design, **{f"{name}_sd": _sd(questions, design, name, observed)})
    return design


def _sd(questions: Sequence[_Question], design: Design, name: str, observed: float) -> float:
    from scipy.optimize import brentq

    def excess(spread: float) -> float:
        tried = replace(design, **{f"{name}_sd": spread})
        expected = 0.0
        for q in questions:
            covariance = shared_covariance(tried, _true_gaps(tried, q.gaps), q.contrasts, spread)
            expected += float((getattr(q, name).counts * covariance * (q.contrasts @ q.contrasts.T)).sum())
        return expected - observed

    if excess(0.0) >= 0:
        return 0.0
    return MOST_SD if excess(MOST_SD) <= 0 else float(brentq(excess, 0.0, MOST_SD, xtol=1e-3))  # pyright: ignore[reportArgumentType]


def _true_gaps(design: Design, gaps: Floats) -> Floats:
    """Gaps of the average rater on the average prompt from those of the fit, which averaging draws together: the usual
    approximation of a logistic function by a normal one, for a difference with four effects."""
    return gaps * math.sqrt(
        1 + 2 * (design.rater_sd**2 + design.prompt_sd**2) * (16 / (15 * math.pi)) ** 2 * 3
    )


def _tie(questions: Sequence[_Question], design: Design) -> float:
    """Log of Davidson's ν at which as many votes tie as did."""
    from scipy.optimize import brentq

    ties, votes = sum(q.ties for q in questions), sum(q.votes.sum() for q in questions)
    if not ties:
        return -math.inf

    def excess(tie: float) -> float:
        tried = replace(design, tie=tie)
        expected = sum(
            float((expected_chances(tried, _true_gaps(tried, q.gaps))[2] * q.votes).sum()) for q in questions
        )
        return expected - ties

    assert votes > 0
    return float(brentq(excess, -15.0, 15.0))  # pyright: ignore[reportArgumentType]


def _spread(questions: Sequence[_Question], design: Design, name: str) -> Spread:
    from scipy.special import ndtri

    observed = sum(getattr(q, name).observed for q in questions)
    error = math.sqrt(sum(getattr(q, name).error ** 2 for q in questions))

    def at(point: float) -> float:
        return _sd(questions, design, name, observed + float(ndtri(point)) * error)

    return Spread(
        value=getattr(design, f"{name}_sd"),
        low=at(0.05),
        high=at(0.95),
        quantiles=tuple(at((i + 0.5) / QUANTILES) for i in range(QUANTILES)),
    )
