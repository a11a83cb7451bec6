"""The ratings document: what `ratings.json` holds and the report reads.

```
{study, simulated, anchor, n_votes, n_raters, n_prompts, n_raters_effective, n_prompts_effective,
 excluded: {reason: votes},
 method: {name: what was done},
 questions: {"<question>" … and "overall", all votes together:
   {n, n_raters, n_prompts, n_raters_effective, n_prompts_effective, notes: [text],
    ratings:     [{contender, rating, low, high, rank_low, rank_high, n,
                   both_bad_rate, both_bad_low, both_bad_high}]      best first; rating null: see notes
    differences: [{a, b, difference, low, high, simultaneous, p_adjusted}]
    win_rates:   [{a, b, wins_a, wins_b, ties, both_bad, rate, low, high, wilson_low, wilson_high, n,
                   detectable}]
    average_win_rates: [{contender, rate, low, high, opponents, n}]
    both_bad_codings: [{coding, first, rows: [{contender, rate, low, high, opponents, n}]}]   dropped, tie, loss
    equivalence: [{a, b, difference, low, high, margin, p_a_not_worse, p_b_not_worse, p_equivalent}]
    stopping:    [{a, b, n, rate, low, high, p, p_adjusted, decided}]    may be looked at after every vote
    position_effect: {logits, low, high, left_rate, left_low, left_high, n}
    tie_parameter: log of Davidson's ν, or null
    bradley_terry: [{contender, rating, low, high}]          ties as half wins, no position effect
    elo_add:       [{contender, rating, order_spread, order_error}]   order noise, not an interval
    bootstrap:     {kind, replicates, unbounded, intervals: [{contender, low, high}]} or null
    by_category, by_challenge, by_rater_group: {level: {n, note, ratings, win_rates, average_win_rates}}
    robustness:    {few_votes, flipping_raters, condorcet, consistency_quartiles}
    agreement:     see bench.ratings.rater_agreement.Agreement}}}
```

Ratings, differences and their intervals are in points (400 points: odds of 10 to 1); rates are shares in
[0, 1]; equivalence is in win-rate points. low and high are 95% unless `method` says otherwise; those of
`differences` hold jointly, those of equivalence are 90%, as two one-sided tests have it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from bench.ratings.rater_agreement import Agreement
from bench.ratings.robustness import Cycles, FewVotes
from bench.ratings.stopping import PairDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingRow:
    contender: str
    rating: float | None
    """Points; None where the fit has no finite estimate."""
    low: float | None
    high: float | None
    rank_low: int | None
    """Best rank left open by the joint intervals; 1 is first."""
    rank_high: int | None
    n: int
    """Votes that showed it, both_bad included."""
    both_bad_rate: float | None
    both_bad_low: float | None
    both_bad_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRow:
    a: str
    b: str
    difference: float
    """Points, a minus b."""
    low: float
    high: float
    simultaneous: bool
    p_adjusted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRateRow:
    a: str
    b: str
    wins_a: int
    wins_b: int
    ties: int
    both_bad: int
    rate: float | None
    """Of a over b; a tie half, both_bad left out. None: only both_bad."""
    low: float | None
    high: float | None
    wilson_low: float | None
    """Vote-level, for comparison."""
    wilson_high: float | None
    n: int
    """wins_a + wins_b + ties."""
    detectable: float | None
    """Points from 50% that these votes would have shown in four studies of five, the pair on its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageRow:
    contender: str
    rate: float | None
    low: float | None
    high: float | None
    opponents: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingBlock:
    """Average win rates with both_bad coded one way; absent where nobody called both bad."""

    coding: str
    """dropped: not counted; tie: half a win for each side; loss: a loss for each side."""
    first: str
    """Contender with the highest average win rate; another than under `dropped` is a headline."""
    rows: tuple[AverageRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EquivalenceRow:
    a: str
    b: str
    difference: float
    """Win rate of a minus 50%, points."""
    low: float
    high: float
    margin: float
    p_a_not_worse: float
    p_b_not_worse: float
    p_equivalent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionEffect:
    logits: float | None
    """In favour of the left; None: not modelled, see notes."""
    low: float | None
    high: float | None
    left_rate: float | None
    """Share of left among decided votes."""
    left_low: float | None
    left_high: float | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRating:
    contender: str
    rating: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EloRow:
    contender: str
    rating: float
    order_spread: float
    """Points, standard deviation over shuffles: order noise only."""
    order_error: float
    """Points, standard error of `rating` over the shuffles played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    contender: str
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapBlock:
    kind: str
    replicates: int
    unbounded: int
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    n: int
    note: str
    """Why `ratings` is empty."""
    ratings: tuple[PlainRating, ...]
    win_rates: tuple[WinRateRow, ...]
    average_win_rates: tuple[AverageRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuartileRow:
    quartile: int
    consistency: float
    raters: int
    votes: int
    note: str
    ratings: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    few_votes: FewVotes | None
    flipping_raters: tuple[tuple[str, str], ...]
    """(rater, first place without that rater)."""
    condorcet: Cycles
    consistency_quartiles: tuple[QuartileRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRatings:
    n: int
    n_raters: int | None
    n_prompts: int | None
    n_raters_effective: float | None
    """Kish's, of the weighted votes: 40 raters of whom one gives half of the votes count as 3.9."""
    n_prompts_effective: float | None
    notes: tuple[str, ...]
    ratings: tuple[RatingRow, ...]
    differences: tuple[DifferenceRow, ...]
    win_rates: tuple[WinRateRow, ...]
    average_win_rates: tuple[AverageRow, ...]
    both_bad_codings: tuple[CodingBlock, ...]
    equivalence: tuple[EquivalenceRow, ...]
    stopping: tuple[PairDecision, ...]
    position_effect: PositionEffect
    tie_parameter: float | None
    bradley_terry: tuple[PlainRating, ...]
    elo_add: tuple[EloRow, ...]
    bootstrap: BootstrapBlock | None
    by_category: dict[str, Slice]
    by_challenge: dict[str, Slice]
    by_rater_group: dict[str, Slice]
    robustness: Robustness
    agreement: Agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingsDocument:
    study: str
    simulated: bool
    anchor: str
    n_votes: int
    n_raters: int | None
    n_prompts: int | None
    n_raters_effective: float | None
    """Kish's: (sum of the raters' votes)² / sum of their squares; None: raters unknown."""
    n_prompts_effective: float | None
    excluded: dict[str, int]
    method: dict[str, Any]
    questions: dict[str, QuestionRatings]


def to_dict(document: RatingsDocument) -> dict[str, Any]:
    """As JSON takes it: numbers that are not finite become null."""
    return _clean(asdict(document))


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
