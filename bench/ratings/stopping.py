"""When to stop collecting votes: confidence sequences that hold at every look, pair by pair, with Holm over pairs.

A 95% interval looked at after every vote is wrong far more often than 5% of the time. A confidence sequence may be
looked at after every vote. `independent` is exact for votes that are independent; `clustered` widens it by the
clustered standard error, which needs several raters and prompts to be estimated at all: no pair is decided before
BURN_IN raters and prompts judged it, nor before they count as BURN_IN_EFFECTIVE even ones. False decisions between
equals, with that wait and without it, in results/coverage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError, unknown
from bench.ratings.clusters import clusters_of
from bench.ratings.vote_table import BOTH_BAD, VoteTable, select
from bench.ratings.winrates import PairRates, pair_index, pair_rates

Floats = NDArray[np.float64]

TUNED_FOR = 200
"""Votes a pair at which the sequence is tightest; it holds at every other number too."""

BURN_IN = 10
"""Raters, and prompts, that must have judged a pair before `clustered` decides it."""
BURN_IN_EFFECTIVE = 5.0
"""Kish's effective number of these raters, and of prompts, that must be reached too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDecision:
    a: str
    b: str
    n: int
    """Votes that were not both_bad."""
    rate: float
    """Win rate of a over b, a tie half."""
    low: float
    """Confidence sequence, not adjusted for the number of pairs."""
    high: float
    p: float
    """Anytime-valid p-value of a rate of 50%."""
    p_adjusted: float
    """Holm over all pairs asked about, those that have not met included: they may yet."""
    decided: bool


def stopping(
    table: VoteTable,
    *,
    alpha: float = 0.05,
    kind: str = "clustered",
    among: int | None = None,
    tuned_for: int = TUNED_FOR,
) -> list[PairDecision]:
    """One row a pair that met; `decided` where the better contender is known at familywise error alpha
    whenever, and however often, this is asked. Stop asking about decided pairs.

    kind: `clustered` or `independent`. among: pairs that the study asks about, met or not; None: all pairs
    of the table's contenders. Raises InputError: unknown kind, no decided or tied votes.
    """
    if kind not in ("clustered", "independent"):
        raise unknown("stopping rule", kind, ("clustered", "independent"))
    votes = select(table, table.outcome != BOTH_BAD)
    if not len(votes):
        raise InputError("no votes to decide on")
    pairs = pair_rates(votes)
    n, rate = pairs.rates.n.astype(np.float64), pairs.rates.rate
    # A vote in [0, 1] is sub-Gaussian with variance 1/4: intrinsic time n/4 (Hoeffding).
    time = n / 4
    if kind == "clustered":
        time = np.maximum(time, n**2 * pairs.rates.error**2)
    precision = best_precision(tuned_for / 4, alpha)
    half = mixture_boundary(time, alpha, precision) / n
    p = np.exp(-np.maximum(mixture_log_e(n * (rate - 0.5), time, precision), 0))
    if kind == "clustered":
        early = _early(votes, pairs)
        half, p = np.where(early, 1.0, half), np.where(early, 1.0, p)
    m = len(table.contenders)
    adjusted = holm(p, among=m * (m - 1) // 2 if among is None else among)
    return [
        PairDecision(
            a=table.contenders[first],
            b=table.contenders[second],
            n=int(n[i]),
            rate=float(rate[i]),
            low=max(0.0, float(rate[i] - half[i])),
            high=min(1.0, float(rate[i] + half[i])),
            p=float(p[i]),
            p_adjusted=float(adjusted[i]),
            decided=bool(adjusted[i] <= alpha),
        )
        for i, (first, second) in enumerate(zip(pairs.first, pairs.second, strict=True))
    ]


def _early(votes: VoteTable, pairs: PairRates) -> NDArray[np.bool_]:
    """(k,) whether too few raters or prompts judged each pair for a decision."""
    labels = {
        name: column
        for name, column in (("rater", votes.rater), ("prompt", votes.prompt))
        if column is not None
    }
    clusters = clusters_of(votes.weight, labels, pair_index(votes, pairs), len(pairs.first))
    early = clusters.counts("vote") < BURN_IN
    for name in labels:
        early |= clusters.counts(name) < BURN_IN
        early |= clusters.effective(name) < BURN_IN_EFFECTIVE
    return early


def mixture_boundary(time: Floats, alpha: float, precision: float) -> Floats:
    """Two-sided normal-mixture boundary on the centred sum at intrinsic time `time`.

    Source: Robbins 1970, Annals of Mathematical Statistics 41(5); Howard, Ramdas, McAuliffe and
    Sekhon 2021, Annals of Statistics 49(2), eq. 14.
    """
    total = time + precision
    return np.sqrt(total * np.log(total / (precision * alpha**2)))


def mixture_log_e(centred_sum: Floats, time: Floats, precision: float) -> Floats:
    """Log of the mixture martingale, an e-value of a mean of 0 at any stopping time."""
    total = time + precision
    return 0.5 * np.log(precision / total) + centred_sum**2 / (2 * total)


def best_precision(time: float, alpha: float) -> float:
    """The mixture precision whose boundary is lowest at `time`."""
    from scipy.optimize import minimize_scalar

    result = minimize_scalar(
        lambda log: float(mixture_boundary(np.array(time), alpha, math.exp(log))),
        bounds=(math.log(time) - 15, math.log(time) + 5),
        method="bounded",
    )
    return math.exp(result.x)


def holm(p: Floats, *, among: int | None = None) -> Floats:
    """Holm's step-down adjusted p-values of (k,) tests, among `among` tests whose other p-values are 1.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2).
    """
    order = np.argsort(p)
    left = (len(p) if among is None else among) - np.arange(len(p))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * left))
    return adjusted
