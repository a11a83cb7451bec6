"""Power of a preference study as a formula of its design: contenders, comparisons, prompts, raters, votes.

The estimate of the strengths is, to first order, bread J times the mean of the votes' scores (a linear approximation
of the Davidson fit around the truth, Liang and Zeger 1986, Biometrika 73(1)). Two votes on comparisons e and f by one
rater (on one prompt) have scores of covariance c_ef, because the rater's effects enter both; so

    Var(strengths) = J [ Q_vote N + Q_rater M_rater + Q_prompt M_prompt ] J'.

N is the covariance of one vote's score, M the mean of c_ef over the comparisons that two votes of a cluster may be on,
Q the share of pairs of distinct votes that a level's clusters hold. c_ef is exact for normal effects: the expected
score as a function of the effect is expanded in Hermite polynomials, whose covariances under a bivariate normal are
powers of the correlation (Mehler 1866).

Power is that of a noncentral t at the joint critical value of the comparisons (max-t). Its degrees of freedom are those
that `bench.ratings.clusters` gives the estimate: Satterthwaite's for the sum of squares of each level, in which the
votes' own noise enters once a level, and the prior of `moderation`, which also draws the covariance towards contenders
that vary alike. Measured against simulated studies in
results/power. The formula is smooth and increasing in votes, raters and prompts, and takes no seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from bench.ratings.clusters import moderation
from bench.ratings.fits import probabilities
from bench.ratings.simulation import Design, lognormal_shares, outcome_chances, population_fit

Floats = NDArray[np.float64]
DRAWS = 20_000
"""Normal vectors behind the joint critical value; the same ones for every design, so that power is smooth."""
TERMS = 12
"""Of the Hermite expansion; at an effect of 2 logits the rest is below 1e-4 of the variance."""
MOST_SHARES = 1000
"""Raters of an uneven panel whose shares are computed one by one; a larger panel has the same shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the design gives a vote, whatever the numbers of votes, raters and prompts."""

    bread: Floats
    """(m, m) generalised inverse of one vote's information."""
    vote: Floats
    """(m, m) N of the module's formula."""
    rater: Floats
    """(m, m) M_rater."""
    prompt: Floats
    """(m, m) M_prompt, two votes on any comparisons."""
    same: Floats
    """(m, m) M_prompt, two votes on the same comparison."""
    gap: float
    """Difference of the fitted strengths of the target, logits."""


@dataclass(frozen=True)
class PowerCurve:
    """Power to tell one comparison apart, as a function of votes, raters and prompts.

    The random effects, ties and strengths are the design's; its numbers of raters, votes and prompts are not used.
    Comparisons and prompts get equal numbers of votes, as `balanced` pairing hands them out.
    """

    design: Design
    comparisons: tuple[tuple[int, int], ...]
    """Pairs of contenders that votes are spent on, evenly, and that the joint interval is over."""
    target: tuple[int, int] = (0, 1)
    """The comparison whose power it is."""
    spread: float = 0.0
    """Coefficient of variation of the number of votes a rater gives; 0: all the same."""

    @cached_property
    def contrasts(self) -> Floats:
        """(comparisons, m) 1 for the first contender, −1 for the second."""
        contrasts = np.zeros((len(self.comparisons), len(self.design.strengths)))
        first, second = np.array(self.comparisons).T
        contrasts[np.arange(len(contrasts)), first] = 1.0
        contrasts[np.arange(len(contrasts)), second] = -1.0
        return contrasts

    @cached_property
    def _parts(self) -> _Parts:
        fit = population_fit(self.design)
        tie = None if fit.tie is None else np.array([fit.tie])
        first, second, _ = (chances[0] for chances in probabilities(fit.strength[None], None, tie))
        variance = (first + second) / 4 - ((first - second) / 2) ** 2
        x, places = self.contrasts, np.array(self.comparisons)
        own = x.T @ (variance[places[:, 0], places[:, 1]][:, None] * x) / len(x)
        strength = np.asarray(self.design.strengths)
        gaps = strength[places[:, 0]] - strength[places[:, 1]]
        rater = shared_covariance(self.design, gaps, x, self.design.rater_sd)
        prompt = shared_covariance(self.design, gaps, x, self.design.prompt_sd)
        a, b = self.target
        return _Parts(
            bread=np.asarray(np.linalg.pinv(own), np.float64),
            vote=own,
            rater=x.T @ rater @ x / len(x) ** 2,
            prompt=x.T @ prompt @ x / len(x) ** 2,
            same=x.T @ (np.diag(prompt)[:, None] * x) / len(x),
            gap=float(fit.strength[a] - fit.strength[b]),
        )

    def components(self, votes: float, raters: float, prompts: float) -> dict[str, Floats]:
        """Source of variance → (m, m) covariance of the strengths that it adds, logits²."""
        parts, size = self._parts, len(self.comparisons)
        by_rater = max(self._held(raters) - 1 / votes, 0.0)
        on_prompt = votes / prompts
        if on_prompt >= size:  # All comparisons of a prompt, each on_prompt / size times.
            prompt = parts.prompt / prompts - parts.same / votes
        elif size > 1:  # Distinct comparisons.
            distinct = (size * parts.prompt - parts.same) / (size - 1)
            prompt = max(1 / prompts - 1 / votes, 0.0) * distinct
        else:
            prompt = max(1 / prompts - 1 / votes, 0.0) * parts.prompt
        meats = {"votes": parts.vote / votes, "raters": by_rater * parts.rater, "prompts": prompt}
        return {name: parts.bread @ meat @ parts.bread for name, meat in meats.items()}

    def freedom(self, votes: float, raters: float, prompts: float) -> float:
        """Degrees of freedom that `arena rate` gives the covariance of such a study."""
        own = self._own_freedom(votes, raters, prompts)
        return own + self._prior(own)

    def _own_freedom(self, votes: float, raters: float, prompts: float) -> float:
        """Before the prior."""
        # Summed over the contenders: the fit pools them.
        size = {name: float(np.trace(part)) for name, part in self.components(votes, raters, prompts).items()}
        below = 0.0
        if raters > 1:
            below += self._rater_squares(votes, raters) ** 2 / (raters - 1)
        if prompts > 1:
            below += (size["prompts"] + size["votes"]) ** 2 / (prompts - 1)
        return min(sum(size.values()) ** 2 / below, votes - 1) if below > 0 else math.inf

    def _prior(self, own: float) -> float:
        m = len(self.design.strengths)
        return float(moderation(own, (m - 2) * own)) if m > 2 and math.isfinite(own) else 0.0

    def estimated(self, votes: float, raters: float, prompts: float) -> Floats:
        """(m, m) covariance that `arena rate` estimates in the mean: drawn towards contenders that vary alike."""
        sources, parts = self.components(votes, raters, prompts), self._parts
        total = np.sum(list(sources.values()), axis=0)
        own = self._own_freedom(votes, raters, prompts)
        prior, m = self._prior(own), len(total)
        if not prior:
            return total
        information = np.diag(parts.vote)
        rest = float((np.diag(parts.vote - parts.rater - parts.prompt) / information).sum())
        noise = float(np.trace(sources["votes"])) * votes / (m - 1)
        held = ((parts.rater, self._held(raters)), (parts.prompt, 1 / prompts))
        ratio = sum(float((np.diag(meat) / information).sum()) / rest * share for meat, share in held)
        alike = sources["votes"] + ratio * noise * (np.eye(m) - 1 / m)
        return (own * total + prior * alike) / (own + prior)

    def _held(self, raters: float) -> float:
        """Sum over raters of the square of their share of the votes."""
        grid = _shares(raters, self.spread)
        return float((grid**2).sum()) * len(grid) / raters

    def _rater_squares(self, votes: float, raters: float) -> float:
        """Expected sum of squares of the raters' sums, logits², as an even panel of as many degrees of freedom has it.

        The squares enter with the weights of `cluster_weights`; uneven panels therefore have fewer.
        """
        parts = self._parts
        cluster = float(np.trace(parts.bread @ parts.rater @ parts.bread))
        rest = max(float(np.trace(parts.bread @ parts.vote @ parts.bread)) - cluster, 1e-300)
        grid = _shares(raters, self.spread)
        given = votes * grid * len(grid) / raters
        weighted = float(((given / (1 + cluster / rest * given)) ** 2).mean())
        return float((given**2).mean()) * rest * (raters / votes) ** 2 / math.sqrt(weighted) / raters

    def critical(self, votes: float, raters: float, prompts: float) -> float:
        """Joint critical value of the comparisons' t statistics."""
        estimated = self.estimated(votes, raters, prompts)
        return critical_value(estimated, self.comparisons, self.freedom(votes, raters, prompts))

    def power(self, votes: float, raters: float, prompts: float) -> float:
        """Chance, 0 to 1, that the joint 95% interval of the target lies on the right side of 0."""
        from scipy.special import nctdtr, ndtr

        total = np.sum(list(self.components(votes, raters, prompts).values()), axis=0)
        a, b = self.target
        estimated, true = (
            float(np.sqrt(matrix[a, a] + matrix[b, b] - 2 * matrix[a, b]))
            for matrix in (self.estimated(votes, raters, prompts), total)
        )
        freedom, shift = self.freedom(votes, raters, prompts), self._parts.gap / true
        critical = self.critical(votes, raters, prompts) * estimated / true
        if freedom > 1e6:
            return float(ndtr(shift - critical))
        return float(1 - nctdtr(freedom, shift, critical))

    def ceiling(self, prompts: float) -> float:
        """Power that endless raters and votes on so many prompts come near."""
        return self.power(1e9, 1e7, prompts)

    def raters_for(
        self, power: float, votes_per_rater: float, prompts: int, most: int = 10_000_000
    ) -> int | None:
        """The fewest raters of so many votes that reach the power; None: no number of them up to `most` votes."""
        low, high = 1, max(2, int(most / votes_per_rater))
        if self.power(high * votes_per_rater, high, prompts) < power:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            reached = self.power(middle * votes_per_rater, middle, prompts) >= power
            low, high = (low, middle) if reached else (middle, high)
        return high


def critical_value(
    covariance: Floats, comparisons: Sequence[tuple[int, int]], freedom: float, level: float = 0.95
) -> float:
    """Two-sided joint critical value of the comparisons' t statistics (max-t), common draws for every call.

    Each comparison has a standard error of its own (`uncertainty.simultaneous_differences` draws a covariance of few
    degrees of freedom as a whole), so the normal critical value is carried to Student's t at the same quantile.
    """
    from scipy.special import ndtr, ndtri, stdtrit

    normal = float(ndtri((1 + level) / 2))
    if len(comparisons) > 1:
        values, vectors = np.linalg.eigh(covariance)
        drawn = (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32) @ _normal_draws(len(covariance))
        first, second = np.array(comparisons).T
        scale = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
        gap = drawn[first] - drawn[second]
        gap /= np.sqrt(np.maximum(scale, 1e-300)).astype(np.float32)[:, None]
        normal = float(np.quantile(np.abs(gap, out=gap).max(axis=0), level))
    return normal if math.isinf(freedom) else float(stdtrit(freedom, ndtr(normal)))


@cache
def _normal_draws(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(20231128).standard_normal((size, DRAWS), dtype=np.float32)


def _shares(raters: float, spread: float) -> Floats:
    """Share of the votes of each rater, or of as many evenly chosen ones of a large panel; sum 1."""
    size = max(1, min(round(raters), MOST_SHARES)) if spread else 1
    return np.asarray(lognormal_shares(size, spread)) if spread else np.ones(1)


def shared_covariance(design: Design, gaps: Floats, contrasts: Floats, spread: float) -> Floats:
    """(comparisons, comparisons) covariance of two votes' scores by the effects, SD `spread`, that they share.

    gaps: (comparisons,) true difference of strengths. contrasts: (comparisons, m).
    """
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    rest = math.sqrt(2 * (design.rater_sd**2 + design.prompt_sd**2 - spread**2))
    d = gaps[:, None, None] + math.sqrt(2) * spread * points[:, None] + rest * points
    first, second, _ = outcome_chances(d, design.tie)
    expected = ((first - second) / 2) @ weights
    orders = np.arange(1, TERMS + 1)
    basis = np.polynomial.hermite_e.hermevander(points, TERMS)[:, 1:]
    basis /= np.sqrt(np.array([float(math.factorial(k)) for k in orders]))
    terms = expected @ (weights[:, None] * basis)
    correlation = contrasts @ contrasts.T / 2
    return np.einsum("ek,fk,efk->ef", terms, terms, correlation[..., None] ** orders)
