"""Power of a preference study as a formula of its design: contenders, comparisons, prompts, raters, votes.

A study's estimate of the difference between two contenders has three sources of variance: single votes, raters
who differ, and prompts that differ. Their sizes follow from the design (a linear approximation of the Davidson
fit around the truth, Liang and Zeger 1986, Biometrika 73(1), with the components of a two-way crossed design):

    Var(strengths) = J / n + kappa_raters C S_r C' + kappa_prompts C S_p C'

J: inverse of one vote's information; kappa: the sum over clusters of n_g (n_g - 1), over n²; S: variance of the
cluster effects; C: how a cluster's effect on the logit scale moves the fitted strengths. The power is that of a
noncentral t at the joint critical value (max-t) with Satterthwaite's degrees of freedom. The formula is smooth
and increasing in votes, raters and prompts, and takes no seed; `bench.ratings.planning` checks its answer by
simulating whole studies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from bench.ratings.fits import probabilities
from bench.ratings.simulation import Design, outcome_chances, population_fit

Floats = NDArray[np.float64]
DRAWS = 20_000
"""Normal vectors behind the joint critical value; the same ones for every design, so that power is smooth."""


@dataclass(frozen=True)
class PowerCurve:
    """Power to tell one comparison apart, as a function of votes, raters and prompts.

    The random effects, ties and strengths are the design's; its numbers of raters, votes and prompts are not used.
    """

    design: Design
    comparisons: tuple[tuple[int, int], ...]
    """Pairs of contenders that votes are spent on, evenly, and that the joint interval is over."""
    target: tuple[int, int] = (0, 1)
    """The comparison whose power it is."""
    spread: float = 0.0
    """Coefficient of variation of the number of votes a rater gives; 0: all the same."""

    @cached_property
    def _parts(self) -> tuple[Floats, Floats, float]:
        """(m, m) variance of one vote; (m, m) influence C; the true difference of the fitted strengths."""
        fit = population_fit(self.design)
        m = fit.size
        first, second, _ = (
            chances[0]
            for chances in probabilities(
                fit.strength[None], None, None if fit.tie is None else np.array([fit.tie])
            )
        )
        marginal = (first + second) / 4 - ((first - second) / 2) ** 2
        strength = np.asarray(self.design.strengths)
        effect = _mean_slope(self.design, strength[:, None] - strength[None])
        information, movement = np.zeros((m, m)), np.zeros((m, m))
        for a, b in self.comparisons:
            contrast = np.zeros(m)
            contrast[a], contrast[b] = 1.0, -1.0
            outer = np.outer(contrast, contrast) / len(self.comparisons)
            information += marginal[a, b] * outer
            movement += effect[a, b] * outer
        inverse = np.asarray(np.linalg.pinv(information), np.float64)
        a, b = self.target
        return inverse, inverse @ movement, float(fit.strength[a] - fit.strength[b])

    def components(self, votes: float, raters: float, prompts: float) -> dict[str, tuple[Floats, float]]:
        """Source of variance → (m, m) covariance of the strengths, logits², and its degrees of freedom."""
        vote, influence, _ = self._parts
        by_rater = max((1 + self.spread**2) / raters - 1 / votes, 0.0)
        by_prompt = max(1 / prompts - 1 / votes, 0.0)
        shared = influence @ influence.T
        return {
            "votes": (vote / votes, math.inf),
            "raters": (by_rater * self.design.rater_sd**2 * shared, raters / (1 + self.spread**2) - 1),
            "prompts": (by_prompt * self.design.prompt_sd**2 * shared, prompts - 1),
        }

    def power(self, votes: float, raters: float, prompts: float) -> float:
        """Chance, 0 to 1, that the joint 95% interval of the target lies on the right side of 0."""
        from scipy.special import nctdtr, ndtr

        parts = self.components(votes, raters, prompts)
        total = sum((matrix for matrix, _ in parts.values()), np.zeros_like(self._parts[0]))
        a, b = self.target
        contrast = np.zeros(len(total))
        contrast[a], contrast[b] = 1.0, -1.0
        variance = float(contrast @ total @ contrast)
        freedom = _satterthwaite([(float(contrast @ matrix @ contrast), df) for matrix, df in parts.values()])
        critical = critical_value(total, self.comparisons, freedom)
        shift = self._parts[2] / math.sqrt(variance)
        if freedom > 1e6:
            return float(ndtr(shift - critical))
        return float(1 - nctdtr(freedom, shift, critical))

    def ceiling(self, prompts: float) -> float:
        """Power that endless raters and votes on so many prompts come near."""
        return self.power(1e9, 1e7, prompts)

    def votes_for(
        self, power: float, votes_per_rater: int, prompts: int, most: int = 10_000_000
    ) -> int | None:
        """The fewest votes, in whole raters, that reach the power; None: more than `most`, or none does."""
        low, high = 2, max(3, most // votes_per_rater)
        if self.power(high * votes_per_rater, high, prompts) < power:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            reached = self.power(middle * votes_per_rater, middle, prompts) >= power
            low, high = (low, middle) if reached else (middle, high)
        return high * votes_per_rater


def critical_value(
    covariance: Floats, comparisons: Sequence[tuple[int, int]], freedom: float, level: float = 0.95
) -> float:
    """Two-sided joint critical value of the comparisons' t statistics (max-t), common draws for every call."""
    from scipy.optimize import brentq
    from scipy.special import gammaincinv, ndtri, stdtrit

    point = (1 + level) / 2
    if len(comparisons) == 1:
        return float(ndtri(point) if math.isinf(freedom) else stdtrit(freedom, point))
    values, vectors = np.linalg.eigh(covariance)
    drawn = (vectors * np.sqrt(np.maximum(values, 0))) @ _normal_draws(len(covariance))
    first, second = np.array(comparisons).T
    scale = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
    gap = drawn[first] - drawn[second]
    gap /= np.sqrt(np.maximum(scale, 1e-300))[:, None]
    largest = np.sort(np.abs(gap).max(axis=0))
    if math.isinf(freedom):
        return float(np.quantile(largest, level))
    # The mean over the standard error's own distribution, at 40 of its quantiles.
    ratios = np.sqrt(2 * gammaincinv(freedom / 2, (np.arange(40) + 0.5) / 40) / freedom)

    def excess(critical: float) -> float:
        return float(np.interp(critical * ratios, largest, np.linspace(0, 1, DRAWS)).mean()) - level

    return float(brentq(excess, 0.5, 1000.0))  # pyright: ignore[reportArgumentType]


@cache
def _normal_draws(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(20231128).standard_normal((size, DRAWS), dtype=np.float32)


def _satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of independent variance estimates (Satterthwaite 1946, Biometrics 2(6))."""
    total = sum(variance for variance, _ in parts)
    below = sum(variance**2 / max(df, 1.0) for variance, df in parts if math.isfinite(df))
    return math.inf if below <= 0 else total**2 / below


def _mean_slope(design: Design, d: Floats) -> Floats:
    """Mean over raters and prompts of d E[score] / d logit difference, for average differences d."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = math.sqrt(2 * (design.rater_sd**2 + design.prompt_sd**2))
    first, second, _ = outcome_chances(d[..., None] + spread * points, design.tie)
    slope = (first + second) / 4 - ((first - second) / 2) ** 2
    return np.asarray(slope @ weights / weights.sum(), np.float64)
