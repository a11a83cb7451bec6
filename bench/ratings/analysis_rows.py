"""Row types of ratings.json beyond fits and rates: categories, covariates, and what was planned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRating:
    contender: str
    rating: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryEffect:
    """How far a contender does better in one category than in all, points."""

    level: str
    contender: str
    deviation: float
    """As estimated."""
    shrunk: float
    """Drawn towards 0 as far as chance explains the deviations of all categories (empirical Bayes)."""
    low: float
    """95%, of `shrunk`."""
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryEffects:
    """Interaction of contenders with categories: one joint test, and shrunken deviations."""

    prompts: int = 0
    p: float | None = None
    """That categories differ in nothing but chance: a permutation of the prompts' categories. None: see `note`."""
    spread: float | None = None
    """Standard deviation of the true deviations, points."""
    rows: tuple[CategoryEffect, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CovariateRow:
    """One covariate's effect on the votes, beside contenders and the other covariates."""

    name: str
    effect: float
    """Points for a difference of one standard deviation of the covariate between the two images shown."""
    low: float
    """95%, clustered as ratings are."""
    high: float
    spread: float
    """The standard deviation, in the covariate's own unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CovariateBlock:
    """Davidson's model with covariates."""

    n: int = 0
    """Votes."""
    rows: tuple[CovariateRow, ...] = ()
    ratings: tuple[PlainRating, ...] = ()
    """At equal covariates, best first."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A comparison that was named before the first vote."""

    a: str
    b: str
    primary: bool
    rate: float
    """Of a over b, ties half."""
    low: float
    """95%, on its own."""
    high: float
    n: int
    p: float | None = None
    """Two-sided, of a rate of 50%."""
    p_adjusted: float | None = None
    """As the plan's correction has it; of the primary comparison the same as `p`."""
    margin: float | None = None
    """Win-rate points."""
    p_not_worse: float | None = None
    """One-sided, that a is no worse by the margin."""
    p_equivalent: float | None = None
    verdict: str = "open"
    """`better`, `worse`, `equivalent`, `not worse` or `open`, of a, at 5%."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBlock:
    """The frozen plan of the analysis and its comparisons; every other number was not planned."""

    sha256: str
    frozen: str
    """When, ISO 8601, UTC."""
    votes_before: int
    """Votes that were there already; 0: the plan was made before the data."""
    question: str
    correction: str
    rows: tuple[PlannedRow, ...] = ()
    """Primary first."""
    notes: tuple[str, ...] = ()
    """Where the document departs from the plan."""
