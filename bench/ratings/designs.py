"""What designs of a study reach and cost: sessions of raters, prices, the power of so many votes.

`bench.ratings.planning` chooses among them; `bench doctor` says what a study as written can show.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.errors import unknown
from bench.ratings.power import PowerCurve
from bench.ratings.simulation import Design, gap_for_rate

USUAL_VOTES_PER_RATER = 40
"""Answers of a rater where a study sets no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What raters are paid for."""

    pay: float = 12.0
    """An hour, in any currency."""
    seconds: float = 8.0
    """A vote takes, loading and breaks included."""
    setup_minutes: float = 3.0
    """Consent, instructions and practice, once a rater."""

    def hours(self, answers: int, raters: int) -> float:
        return answers * self.seconds / 3600 + raters * self.setup_minutes / 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDesign:
    """One way to reach the wanted power."""

    prompts: int
    votes_per_rater: int
    """Answers of one rater in all: every question, attention checks and repeats."""
    raters: int
    votes: int
    """That count, of all raters, on one question."""
    power: float
    """By the formula, 0 to 1."""
    hours: float
    """Of raters' time."""
    money: float


def comparisons_of(contenders: int, compare: str) -> list[tuple[int, int]]:
    """Pairs of contenders by index: `all`, or `chosen`: each against the first. Raises InputError: another word."""
    if compare == "all":
        return list(itertools.combinations(range(contenders), 2))
    if compare == "chosen":
        return [(0, i) for i in range(1, contenders)]
    raise unknown("comparison", compare, ("all", "chosen"))


def curve_for(design: Design, rate: float, spread: float = 0.0) -> PowerCurve:
    """The power curve of a design whose first comparison has the marginal win rate `rate`."""
    assert design.comparisons is not None
    gap = gap_for_rate(design, rate)
    strengths = [0.0] * len(design.strengths)
    better, worse = design.comparisons[0]
    strengths[better], strengths[worse] = gap / 2, -gap / 2
    return PowerCurve(
        replace(design, strengths=tuple(strengths)), design.comparisons, (better, worse), spread
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one rater does."""

    answers: int
    """In all: every question, attention checks and repeats."""
    questions: int = 1
    checks: float = 0.0
    """Share of the answers that are attention checks or repeats."""

    @property
    def votes(self) -> float:
        """That count, on one question."""
        return self.answers * (1 - self.checks) / self.questions


def detectable_rate(
    design: Design, votes: int, session: Session, *, power: float = 0.8, spread: float = 0.0
) -> float | None:
    """The smallest win rate that so many votes tell from 50% with this power; None: none below 99%."""

    def reached(rate: float) -> bool:
        return power_of(curve_for(design, rate, spread), votes, session, design.prompts) >= power

    low, high = 0.5, 0.99
    if not reached(high):
        return None
    while high - low > 0.0005:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def what_votes_show(
    contenders: int,
    comparisons: Sequence[tuple[int, int]],
    prompts: int,
    votes_per_pair: int,
    session: Session,
    *,
    rate: float = 0.55,
) -> tuple[float | None, float, float]:
    """What a study as written can show, under the assumptions of `plan`.

    Returns the smallest win rate shown in 80% of studies (None: none below 99%), the power for `rate`, and the
    power for it that endless votes on these prompts come near.
    """
    base = Design(
        strengths=(0.0,) * contenders,
        prompts=prompts,
        tie=math.log(0.5),
        comparisons=tuple(comparisons),
        balanced=True,
    )
    curve, votes = curve_for(base, rate), votes_per_pair * len(comparisons)
    return (
        detectable_rate(base, votes, session),
        power_of(curve, votes, session, prompts),
        curve.ceiling(prompts),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """A power curve with what votes cost."""

    curve: PowerCurve
    power: float
    session: Session
    cost: Cost

    def design(self, prompts: int, answers: int, power: float | None = None) -> PlannedDesign | None:
        """The fewest raters with so many prompts and answers each; None: no number of them reaches the power."""
        each = replace(self.session, answers=answers).votes
        raters = self.curve.raters_for(power or self.power, each, prompts)
        if raters is None:
            return None
        votes = round(raters * each)
        hours = self.cost.hours(raters * answers, raters)
        return PlannedDesign(
            prompts=prompts,
            votes_per_rater=answers,
            raters=raters,
            votes=votes,
            power=self.curve.power(votes, raters, prompts),
            hours=hours,
            money=hours * self.cost.pay,
        )


def power_of(curve: PowerCurve, votes: int, session: Session, prompts: int) -> float:
    return curve.power(votes, max(2.0, votes / session.votes), prompts)
