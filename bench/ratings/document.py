"""The ratings document: what `ratings.json` holds and the report reads.

```
{study, simulated, declared, anchor, n_votes, n_raters, n_prompts, n_raters_effective, n_prompts_effective,
 excluded: {reason: votes},
 method: {name: what was done},
 plan: {sha256, frozen, votes_before, question, correction, notes,
        rows: [{a, b, primary, rate, low, high, n, p, p_adjusted, margin, p_not_worse, p_equivalent, verdict}]} or null,
 questions: {"<question>" … and "overall", all votes together:
   {question, n, n_raters, n_prompts, n_raters_effective, n_prompts_effective, notes: [text],
    ratings:     [{contender, rating, low, high, rank_low, rank_high, n,
                   both_bad_rate, both_bad_low, both_bad_high}]      best first; rating null: see notes
    differences: [{a, b, difference, low, high, simultaneous, p_adjusted, named}]
    win_rates:   [{a, b, wins_a, wins_b, ties, both_bad, rate, low, high, wilson_low, wilson_high, n,
                   p, detectable}]
    average_win_rates: [{contender, rate, low, high, opponents, n}]
    both_bad_codings: [{coding, first, rows: [{contender, rate, low, high, opponents, n}]}]   dropped, tie, loss
    equivalence: [{a, b, difference, low, high, margin, p_a_not_worse, p_b_not_worse, p_equivalent}]
    stopping:    [{a, b, n, rate, low, high, p, p_adjusted, decided}]    may be looked at after every vote
    position_effect: {logits, low, high, left_rate, left_low, left_high, n}
    position_by_arrangement: {beside, stacked: as position_effect}     of the votes shown so, fitted on their own
    seven_points:  see bench.ratings.ordinal.SevenPoints, or null
    tie_parameter: log of Davidson's ν, or null
    bradley_terry: [{contender, rating, low, high}]          ties as half wins, no position effect
    elo_add:       [{contender, rating, order_spread, order_error}]   order noise, not an interval
    bootstrap:     {kind, replicates, unbounded, intervals: [{contender, low, high}]} or null
    by_category, by_challenge, by_rater_group: {level: {level, n, note, ratings, win_rates, average_win_rates}}
    category_effects: {prompts, p, spread, note, rows: [{level, contender, deviation, shrunk, low, high}]} or null
    covariates:    {n, notes, rows: [{name, effect, low, high, spread}], ratings: as bradley_terry} or null
    sensitivity:   {weights: as by_category's}
    without_rule: {rule or "all": {raters, votes, estimates: as by_category's}}
    robustness:    {few_votes, flipping_raters, without_one_rater, condorcet, consistency_quartiles}
    agreement:     see bench.ratings.rater_agreement.Agreement}}}
```

Ratings, differences and their intervals are in points (400 points: odds of 10 to 1); rates are shares in
[0, 1]; equivalence is in win-rate points. low and high are 95% unless `method` says otherwise; those of
`differences` hold jointly, those of equivalence are 90%, as two one-sided tests have it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bench.errors import InputError
from bench.ratings.analysis_rows import CategoryEffects, CovariateBlock, PlainRating, PlanBlock
from bench.ratings.ordinal import SevenPoints
from bench.ratings.rater_agreement import Agreement
from bench.ratings.robustness import Cycles, FewVotes
from bench.ratings.stopping import PairDecision

OVERALL = "overall"
"""Key under which the votes of all questions stand together."""
MEAN = "mean"
"""Anchor where 1000 is the mean of all contenders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingRow:
    contender: str
    rating: float | None
    """Points; None where the fit has no finite estimate."""
    low: float | None = None
    high: float | None = None
    rank_low: int | None = None
    """Best rank left open by the joint intervals; 1 is first."""
    rank_high: int | None = None
    n: int | None = None
    """Votes that showed it, both_bad included."""
    both_bad_rate: float | None = None
    """Share of the votes that showed it, 0 to 1."""
    both_bad_low: float | None = None
    both_bad_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRow:
    a: str
    b: str
    difference: float
    """Points, a minus b."""
    low: float
    high: float
    simultaneous: bool = True
    """The intervals of all pairs hold jointly."""
    p_adjusted: float = math.nan
    named: bool = False
    """One of the study's comparisons, where it names some: interval and p are joint over these, not over all pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRateRow:
    a: str
    b: str
    rate: float | None
    """Of a over b; a tie half, both_bad left out. None: only both_bad."""
    low: float | None = None
    high: float | None = None
    wilson_low: float | None = None
    """Vote-level, for comparison."""
    wilson_high: float | None = None
    n: int | None = None
    """wins_a + wins_b + ties."""
    p: float | None = None
    """Two-sided, of a rate of 50%: the test whose inversion the interval is."""
    detectable: float | None = None
    """Points from 50% that these votes would have shown in four studies of five, the pair on its own."""
    wins_a: int = 0
    wins_b: int = 0
    ties: int = 0
    both_bad: int = 0

    @property
    def apart(self) -> bool:
        """Whether the interval leaves 50% out."""
        return self.low is not None and self.high is not None and (self.low > 0.5 or self.high < 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageRow:
    contender: str
    rate: float | None
    low: float | None = None
    high: float | None = None
    opponents: int = 0
    n: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingBlock:
    """Average win rates with both_bad coded one way; absent where no vote is both_bad."""

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
class EloRow:
    contender: str
    rating: float
    order_spread: float
    """Points, standard deviation over shuffles: order noise only."""
    order_error: float | None = None
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
    level: str = ""
    """Category, challenge or rater group."""
    n: int = 0
    """Votes."""
    note: str = ""
    """Why `ratings` is empty."""
    ratings: tuple[PlainRating, ...] = ()
    win_rates: tuple[WinRateRow, ...] = ()
    average_win_rates: tuple[AverageRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutRule:
    """What a quality rule changes: the votes that it alone excludes, and the estimates with them."""

    raters: int = 0
    """Who come back without the rule; those whom another rule excludes as well do not."""
    votes: int = 0
    """Of these raters."""
    estimates: Slice = field(default_factory=Slice)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuartileRow:
    quartile: int
    consistency: float
    raters: int
    votes: int
    note: str = ""
    ratings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """What the first place rests on."""

    few_votes: FewVotes | None = None
    """None: there is no fit."""
    flipping_raters: tuple[tuple[str, str], ...] = ()
    """(rater, first place without that rater)."""
    without_one_rater: tuple[Interval, ...] = ()
    """Lowest and highest rating of each contender, points, when the votes of one rater are left out; not an interval of
    confidence. Raters without whom there is no finite estimate are passed over."""
    condorcet: Cycles = field(default_factory=Cycles)
    consistency_quartiles: tuple[QuartileRow, ...] = ()

    @property
    def without_rater(self) -> tuple[str, ...]:
        """First place without one rater, for each rater whose absence changes it. Who the raters are is not for a page:
        a package of the same study numbers them anew."""
        return tuple(first for _, first in self.flipping_raters)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRatings:
    """The answers to one question."""

    question: str = ""
    """A question of the study, or OVERALL."""
    n: int | None = None
    """Votes counted, both_bad included."""
    n_raters: int | None = None
    n_prompts: int | None = None
    n_raters_effective: float | None = None
    """Kish's, of the weighted votes: 40 raters of whom one gives half of the votes count as 3.9."""
    n_prompts_effective: float | None = None
    notes: tuple[str, ...] = ()
    ratings: tuple[RatingRow, ...] = ()
    """Best first."""
    differences: tuple[DifferenceRow, ...] = ()
    win_rates: tuple[WinRateRow, ...] = ()
    average_win_rates: tuple[AverageRow, ...] = ()
    both_bad_codings: tuple[CodingBlock, ...] = ()
    equivalence: tuple[EquivalenceRow, ...] = ()
    stopping: tuple[PairDecision, ...] = ()
    position_effect: PositionEffect | None = None
    position_by_arrangement: dict[str, PositionEffect] = field(default_factory=dict)
    """Fitted on the votes of each arrangement alone; `stacked`: left is above. Empty: arrangements are unknown."""
    seven_points: SevenPoints | None = None
    """The ordered analysis of seven-point answers, which everything else here collapses to left, tie and right."""
    tie_parameter: float | None = None
    bradley_terry: tuple[PlainRating, ...] = ()
    elo_add: tuple[EloRow, ...] = ()
    bootstrap: BootstrapBlock | None = None
    by_category: dict[str, Slice] = field(default_factory=dict)
    by_challenge: dict[str, Slice] = field(default_factory=dict)
    by_rater_group: dict[str, Slice] = field(default_factory=dict)
    category_effects: CategoryEffects | None = None
    """None: one category, or unknown prompts."""
    covariates: CovariateBlock | None = None
    """None: not asked for."""
    sensitivity: dict[str, Slice] = field(default_factory=dict)
    """Weights → the estimates under them: `raters alike`, `reliability`, `stated mix`."""
    without_rule: dict[str, WithoutRule] = field(default_factory=dict)
    """Rule → what it changes; `all`: without any rule. Empty where no rule was applied, as in other tools' files."""
    robustness: Robustness = field(default_factory=Robustness)
    agreement: Agreement = field(default_factory=Agreement)


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
    declared: dict[str, dict[str, int]] = field(default_factory=dict)
    """Demographic question → answer → raters whose votes count, in sums; from the arena."""
    plan: PlanBlock | None = None
    """None: no analysis was planned."""


def read_questions(document: Mapping[str, Any], where: str) -> dict[str, QuestionRatings]:
    """The questions of ratings.json that have rows, OVERALL first. Files of earlier versions lack some fields.

    Parameters
    ----------
    document: the parsed file; empty where there is none.
    where: its path, for the message.

    Raises
    ------
    InputError: a row lacks a field that cannot be left out, or holds another type.
    """
    from pydantic import TypeAdapter, ValidationError

    blocks = document.get("questions") or {}
    try:
        questions = TypeAdapter(dict[str, QuestionRatings]).validate_python(
            {
                name: {k: v for k, v in (block or {}).items() if v is not None}
                for name, block in blocks.items()
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: questions.{place}: {first['msg']}: run `arena rate` again") from None
    return {
        name: replace(
            questions[name],
            question=name,
            ratings=tuple(sorted(questions[name].ratings, key=_place)),
            by_category=_levels(questions[name].by_category),
            by_challenge=_levels(questions[name].by_challenge),
            by_rater_group=_levels(questions[name].by_rater_group),
        )
        for name in sorted(questions, key=lambda name: name != OVERALL)
        if questions[name].ratings or questions[name].win_rates
    }


def read_plan(document: Mapping[str, Any], where: str) -> PlanBlock | None:
    """The plan of ratings.json; None: nothing was planned. Raises InputError as `read_questions` does."""
    from pydantic import TypeAdapter, ValidationError

    block = document.get("plan")
    try:
        return None if block is None else TypeAdapter(PlanBlock).validate_python(block)
    except ValidationError as error:
        raise InputError(f"{where}: plan: {error.errors()[0]['msg']}: run `arena rate` again") from None


def _levels(slices: Mapping[str, Slice]) -> dict[str, Slice]:
    return {level: replace(slices[level], level=level) for level in sorted(slices)}


def _place(row: RatingRow) -> tuple[bool, float, str]:
    return row.rating is None, -(row.rating or 0.0), row.contender


def to_dict(document: RatingsDocument) -> dict[str, Any]:
    """As JSON takes it: numbers that are not finite become null."""
    return _clean(asdict(document))


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
