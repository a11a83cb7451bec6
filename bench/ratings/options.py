"""What a caller chooses about ratings: anchor, weights, replicates, the margin of equivalence."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.ratings.sensitivity import Mix


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How `bench.ratings.rate.rate` works; also what `method` of ratings.json reports."""

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
