"""Whether contenders do better in some categories than in others: one joint test, and shrunken deviations.

A category's own fit is saturated: with ten categories and six contenders, two or three of its sixty numbers look
striking by chance. Instead: one permutation test (are the prompts' scores exchangeable between categories?), and each
category's deviation from the whole, drawn towards 0 as far as chance explains them (empirical Bayes).

Deviations are to first order: the prompts' score sums at the fit to all votes, over the category's share of the votes.
Raters answer in all categories, so how they differ cancels; what remains is how prompts differ.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.ratings.analysis_rows import CategoryEffect, CategoryEffects
from bench.ratings.covariance import bread_of, score_tables
from bench.ratings.fits import SCALE, Fit
from bench.ratings.uncertainty import t_quantile
from bench.ratings.vote_table import BOTH_BAD, VoteTable, select

Floats = NDArray[np.float64]

PERMUTATIONS = 1999
FEWEST = 3
"""Prompts in each category below which nothing is said of its deviation."""


def category_effects(
    fit: Fit, table: VoteTable, codes: NDArray[np.int32], labels: tuple[str, ...], *, seed: int = 0
) -> CategoryEffects | None:
    """None: one category, unknown prompts, or prompts in several categories.

    codes: (n,) category of each vote of the table; labels: their names.
    """
    if table.prompt is None:
        return None
    kept = table.outcome != BOTH_BAD
    votes, codes = select(table, kept), codes[kept]
    assert votes.prompt is not None
    prompts, prompt = np.unique(votes.prompt, return_inverse=True)
    first = np.unique(prompt, return_index=True)[1]
    category_of = codes[first]
    present, category = np.unique(category_of, return_inverse=True)
    if len(present) < 2 or (category_of[prompt] != codes).any():
        return None
    sums, exposure = _prompt_sums(fit, votes, prompt, len(prompts))
    sizes = np.bincount(category)
    if sizes.min() < FEWEST:
        small = ", ".join(labels[present[place]] or "(none)" for place in np.flatnonzero(sizes < FEWEST))
        return CategoryEffects(prompts=len(prompts), note=f"fewer than {FEWEST} prompts in {small}: no test")
    moved = sums @ bread_of(fit)[: fit.size, : fit.size]
    p = _permutation_p(sums, moved, exposure, category, np.random.default_rng(seed))
    deviation, variance = _deviations(moved, exposure, category)
    spread, shrunk, half = _shrunk(deviation, variance, len(prompts) - len(present))
    rows = tuple(
        CategoryEffect(
            level=labels[present[place]] or "(none)",
            contender=name,
            deviation=SCALE * float(deviation[place, k]),
            shrunk=SCALE * float(shrunk[place, k]),
            low=SCALE * float(shrunk[place, k] - half[place, k]),
            high=SCALE * float(shrunk[place, k] + half[place, k]),
        )
        for place in range(len(present))
        for k, name in enumerate(fit.contenders)
    )
    return CategoryEffects(prompts=len(prompts), p=p, spread=SCALE * spread, rows=rows)


def _prompt_sums(
    fit: Fit, votes: VoteTable, prompt: NDArray[np.int64], prompts: int
) -> tuple[Floats, Floats]:
    """(prompts, m) score sums in the strengths, and (prompts,) their share of the votes."""
    d, _ = score_tables(fit)
    score = d[votes.left, votes.right, votes.outcome] * votes.weight
    sums = np.zeros((prompts, fit.size))
    np.add.at(sums, (prompt, votes.left), score)
    np.subtract.at(sums, (prompt, votes.right), score)
    exposure = np.bincount(prompt, votes.weight, prompts)
    return sums, exposure / exposure.sum()


def _permutation_p(
    sums: Floats,
    moved: Floats,
    exposure: Floats,
    category: NDArray[np.int64],
    rng: np.random.Generator,
) -> float:
    """Of the score statistic, categories dealt anew to the prompts PERMUTATIONS times."""

    def statistic(dealt: NDArray[np.int64]) -> float:
        members = np.zeros((dealt.max() + 1, len(dealt)))
        members[dealt, np.arange(len(dealt))] = 1
        return float((((members @ sums) * (members @ moved)).sum(axis=1) / (members @ exposure)).sum())

    observed = statistic(category)
    larger = sum(statistic(rng.permutation(category)) >= observed * (1 - 1e-12) for _ in range(PERMUTATIONS))
    return (1 + larger) / (1 + PERMUTATIONS)


def _deviations(moved: Floats, exposure: Floats, category: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """(categories, m) deviations from the whole, logits, and their variances, prompts being drawn anew."""
    categories = int(category.max()) + 1
    members = np.zeros((categories, len(category)))
    members[category, np.arange(len(category))] = 1
    share = members @ exposure
    deviation = (members @ moved) / share[:, None]
    residual = moved - exposure[:, None] * deviation[category]
    each = (residual**2).sum(axis=0) / (exposure**2).sum() * len(category) / (len(category) - categories)
    # The whole holds the category: its own share of the error cancels.
    scale = (members @ exposure**2) / share**2 * (1 - share)
    return deviation, scale[:, None] * each


def _shrunk(deviation: Floats, variance: Floats, freedom: int) -> tuple[float, Floats, Floats]:
    """Standard deviation of the true deviations, their shrunken estimates, and half of their 95% intervals.

    Variance of the estimates after Morris 1983, JASA 78(381), eq. 1.17, with the number of free deviations.
    """
    free = (deviation.shape[0] - 1) * (deviation.shape[1] - 1)
    weight = 1 / np.maximum(variance, 1e-300)
    between = max(float((weight * (deviation**2 - variance)).sum() / weight.sum()), 0.0)
    kept = between / (between + variance)
    own = variance * (1 - (free - 1) / free * (1 - kept))
    own += 2 / max(free - 2, 1) * (1 - kept) ** 2 * deviation**2
    return math.sqrt(between), kept * deviation, t_quantile(max(freedom, 1)) * np.sqrt(own)
