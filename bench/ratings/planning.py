"""How many votes, raters and prompts a claim takes, asked before the study.

Independent votes are the textbook's; real ones come from raters who differ and on prompts that differ, and past
some point more votes on the same prompts teach nothing: the ceiling of those prompts. `plan` reads the answer off
`bench.ratings.power`'s curve, lists designs that reach the wanted power with what each costs, and simulates whole
studies of the answer, with the intervals of `arena rate`, to show that the curve holds there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.errors import InputError, unknown
from bench.ratings.covariance import covariance
from bench.ratings.fits import count_votes, davidson
from bench.ratings.power import PowerCurve
from bench.ratings.simulation import Design, gap_for_rate, simulate_votes
from bench.ratings.uncertainty import simultaneous_differences, t_quantile
from bench.ratings.winrates import wilson

PROMPTS = (50, 100, 200, 400, 800, 1600)
VOTES_PER_RATER = (20, 40, 60, 100)
"""Designs that `plan` compares, beside the one it is asked about."""
USUAL_VOTES_PER_RATER = 40
"""Where a study does not say how many votes a rater gives."""
PLAN_DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What raters are paid for."""

    pay: float = 12.0
    """An hour, in any currency."""
    seconds: float = 8.0
    """A vote takes, loading and breaks included."""
    setup_minutes: float = 3.0
    """Consent, instructions and practice, once a rater."""

    def hours(self, votes: int, raters: int) -> float:
        return votes * self.seconds / 3600 + raters * self.setup_minutes / 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDesign:
    """One way to reach the wanted power."""

    prompts: int
    votes_per_rater: int
    raters: int
    votes: int
    """In all, on one question."""
    power: float
    """By the formula, 0 to 1."""
    hours: float
    """Of raters' time, all questions."""
    money: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCheck:
    """The answer, simulated: whole studies with the intervals of `arena rate`."""

    repeats: int
    power: float
    power_low: float
    """Wilson 95%."""
    power_high: float
    votes_low: int | None
    """The answer, were the curve off by as much as the simulation allows; None: no number of votes."""
    votes_high: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a study of this design needs; simulated assumptions, no votes of people."""

    rate: float
    """Win rate, a tie half, of the better contender of the comparison."""
    contenders: int
    comparisons: int
    """Comparisons that the joint intervals are over."""
    questions: int
    target_power: float
    independent_per_pair: int
    """Votes on one pair if votes were independent, none a tie, and nothing else compared."""
    prompts: int
    ceiling: float
    """Power that endless votes and raters on these prompts come near."""
    answer: PlannedDesign | None
    """With these prompts and votes a rater; None: no number of votes reaches the power."""
    designs: tuple[PlannedDesign, ...]
    """Others that reach it, the cheapest first."""
    asked_votes: int | None
    """Votes on one question that the study asks for; None: nothing was asked."""
    asked_power: float | None
    asked_rate: float | None
    """The smallest win rate that the asked votes tell with the target power; None: none below 99%."""
    check: PlanCheck | None
    assumptions: tuple[str, ...]

    @property
    def inflation(self) -> float | None:
        """Votes a comparison over the independent number."""
        return self.answer and self.answer.votes / self.comparisons / self.independent_per_pair


def independent_votes(rate: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Independent votes on one pair to tell a win rate from 50%, two-sided: 8,719 for 51.5%.

    Raises InputError: a rate outside (0, 1) or of 50%, which no number of votes tells from 50%.
    """
    from scipy.special import ndtri

    if not 0 < rate < 1 or rate == 0.5:
        raise InputError(f"win rate {rate}: must lie in (0, 1) and differ from 0.5")
    if not 0 < power < 1 or not 0 < alpha < 1:
        raise InputError(f"power {power}, alpha {alpha}: both must lie in (0, 1)")
    spread = ndtri(1 - alpha / 2) * 0.5 + ndtri(power) * math.sqrt(rate * (1 - rate))
    return math.ceil((spread / (rate - 0.5)) ** 2)


def plan(
    *,
    rate: float,
    contenders: int = 2,
    comparisons: Sequence[tuple[int, int]] | None = None,
    questions: int = 1,
    votes_per_rater: int = USUAL_VOTES_PER_RATER,
    prompts: int = 100,
    rater_sd: float = 0.5,
    prompt_sd: float = 0.7,
    ties: float = 0.2,
    spread: float = 0.0,
    power: float = 0.8,
    votes_per_pair: int | None = None,
    cost: Cost | None = None,
    repeats: int = 100,
    seed: int = 0,
) -> Plan:
    """Votes needed to tell the first comparison, `rate` against 1 − rate, among all comparisons at once.

    Parameters
    ----------
    rate : marginal win rate over raters, prompts and sides, a tie half.
    comparisons : pairs of contenders by index that votes are spent on; None: all pairs.
    rater_sd, prompt_sd : logits, how far raters and prompts differ about a contender.
    ties : share between equals, in [0, 1).
    spread : coefficient of variation of the votes a rater gives; 0: all the same.
    votes_per_pair : also say what so many votes a comparison would tell.
    repeats : whole studies simulated at the answer; 0: none.

    Raises
    ------
    InputError : a value outside its range.
    """
    alone = independent_votes(rate, power=power)
    rate = max(rate, 1 - rate)
    pairs = tuple(comparisons or itertools.combinations(range(max(contenders, 2)), 2))
    _check_plan(
        contenders, votes_per_rater, prompts, votes_per_pair, ties, rater_sd, prompt_sd, spread, repeats
    )
    base = Design(
        strengths=(0.0,) * contenders,
        votes_per_rater=votes_per_rater,
        prompts=prompts,
        rater_sd=rater_sd,
        prompt_sd=prompt_sd,
        tie=math.log(2 * ties / (1 - ties)) if ties else -math.inf,
        comparisons=pairs,
    )
    curve = curve_for(base, rate, spread)
    priced = Pricing(curve=curve, power=power, questions=questions, cost=cost or Cost())
    answer = priced.design(prompts, votes_per_rater)
    grid = itertools.product(sorted({*PROMPTS, prompts}), sorted({*VOTES_PER_RATER, votes_per_rater}))
    designs = [found for p, v in grid if (found := priced.design(p, v)) is not None]
    asked = None if votes_per_pair is None else votes_per_pair * len(pairs)
    return Plan(
        rate=rate,
        contenders=contenders,
        comparisons=len(pairs),
        questions=questions,
        target_power=power,
        independent_per_pair=alone,
        prompts=prompts,
        ceiling=curve.ceiling(prompts),
        answer=answer,
        designs=tuple(sorted(designs, key=lambda one: (one.money, one.prompts))),
        asked_votes=asked,
        asked_power=None if asked is None else _power_of(curve, asked, votes_per_rater, prompts),
        asked_rate=None if asked is None else detectable_rate(base, asked, power=power, spread=spread),
        check=None if answer is None or not repeats else _simulated(curve, answer, power, repeats, seed),
        assumptions=_assumptions(base, ties, spread, repeats),
    )


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


def detectable_rate(design: Design, votes: int, *, power: float = 0.8, spread: float = 0.0) -> float | None:
    """The smallest win rate that so many votes tell from 50% with this power; None: none below 99%."""
    low, high = 0.5, 0.99
    if _power_of(curve_for(design, high, spread), votes, design.votes_per_rater, design.prompts) < power:
        return None
    while high - low > 0.0005:
        middle = (low + high) / 2
        reached = (
            _power_of(curve_for(design, middle, spread), votes, design.votes_per_rater, design.prompts)
            >= power
        )
        low, high = (low, middle) if reached else (middle, high)
    return high


def what_votes_tell(
    contenders: int, comparisons: Sequence[tuple[int, int]], prompts: int, votes_per_pair: int,
    votes_per_rater: int | None, *, rate: float = 0.55,
) -> tuple[float | None, float, float]:  # fmt: skip
    """What a study as written can tell, under the assumptions of `plan`.

    Returns the smallest win rate told in 80% of studies (None: none below 99%), the power for `rate`, and the
    power for it that endless votes on these prompts come near.
    """
    base = Design(
        strengths=(0.0,) * contenders,
        prompts=prompts,
        votes_per_rater=votes_per_rater or USUAL_VOTES_PER_RATER,
        tie=math.log(0.5),
        comparisons=tuple(comparisons),
    )
    curve, votes = curve_for(base, rate), votes_per_pair * len(comparisons)
    return (
        detectable_rate(base, votes),
        _power_of(curve, votes, base.votes_per_rater, prompts),
        curve.ceiling(prompts),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """A power curve with what votes cost."""

    curve: PowerCurve
    power: float
    questions: int
    cost: Cost

    def design(self, prompts: int, votes_per_rater: int) -> PlannedDesign | None:
        """The fewest raters with so many prompts and votes each; None: no number of them reaches the power."""
        votes = self.curve.votes_for(self.power, votes_per_rater, prompts)
        if votes is None:
            return None
        raters = votes // votes_per_rater
        hours = self.cost.hours(votes * self.questions, raters)
        return PlannedDesign(
            prompts=prompts,
            votes_per_rater=votes_per_rater,
            raters=raters,
            votes=votes,
            power=self.curve.power(votes, raters, prompts),
            hours=hours,
            money=hours * self.cost.pay,
        )


def sentences(planned: Plan) -> list[str]:
    """The plan in words, most important first."""
    what = f"{planned.rate:.1%} from {1 - planned.rate:.1%} in {planned.target_power:.0%} of studies"
    over = (
        f"{planned.comparisons} comparisons of {planned.contenders} contenders at once"
        if planned.comparisons > 1
        else "one comparison"
    )
    lines = []
    if planned.answer is None:
        lines.append(
            f"With {planned.prompts:,} prompts no number of votes tells {what} ({over}): at most "
            f"{planned.ceiling:.0%}. Take more prompts; raters and votes do not make up for them."
        )
    else:
        lines.append(f"To tell {what} ({over}): {_design(planned.answer, planned)}.")
    if planned.designs:
        best = planned.designs[0]
        if planned.answer is None or best.money < 0.98 * planned.answer.money:
            lines.append(f"Cheapest: {_design(best, planned)}.")
    lines.append(
        f"The textbook's {planned.independent_per_pair:,} votes a comparison suppose independent votes, no ties and "
        "one comparison"
        + (f"; this plan takes {planned.inflation:.1f} times as many." if planned.inflation else ".")
    )
    if planned.asked_votes is not None and planned.asked_power is not None:
        smallest = (
            f"the smallest win rate it tells in {planned.target_power:.0%} of studies is {planned.asked_rate:.1%}"
            if planned.asked_rate
            else "it tells no win rate below 99%"
        )
        lines.append(
            f"As written, the study asks for {planned.asked_votes:,} votes a question: {planned.asked_power:.0%} of "
            f"such studies would tell {planned.rate:.1%}; {smallest}."
        )
    if planned.check is not None:
        check = planned.check
        interval = (
            f"{check.votes_low:,} to {check.votes_high:,} votes"
            if check.votes_low and check.votes_high
            else f"{check.votes_low:,} votes or more"
            if check.votes_low
            else "no such number"
        )
        lines.append(
            f"Checked by {check.repeats} simulated studies of that design: {check.power:.0%} told it "
            f"[{check.power_low:.0%}, {check.power_high:.0%}], which puts the number needed at {interval}."
        )
    return lines


def _design(one: PlannedDesign, planned: Plan) -> str:
    text = (
        f"{one.prompts:,} prompts: {one.votes:,} votes a question ({one.votes / planned.comparisons:,.0f} a "
        f"comparison) by {one.raters:,} raters of {one.votes_per_rater}"
    )
    if planned.questions > 1:
        text += f"; with {planned.questions} questions {one.votes * planned.questions:,} votes"
    return f"{text}; {one.hours:,.0f} hours, {one.money:,.0f} in pay"


def _check_plan(
    contenders: int, votes_per_rater: int, prompts: int, votes_per_pair: int | None, ties: float, rater_sd: float,
    prompt_sd: float, spread: float, repeats: int,
) -> None:  # fmt: skip
    """Raises InputError for what `plan` cannot plan."""
    if contenders < 2 or votes_per_rater < 1 or prompts < 2 or repeats < 0:
        raise InputError(
            f"contenders {contenders}, votes per rater {votes_per_rater}, prompts {prompts}, "
            f"repeats {repeats}: at least 2, 1, 2 and 0"
        )
    if votes_per_pair is not None and votes_per_pair < 1:
        raise InputError(f"votes per pair {votes_per_pair}: at least 1")
    if not 0 <= ties < 1 or min(rater_sd, prompt_sd, spread) < 0:
        raise InputError(
            f"ties {ties} must lie in [0, 1); rater SD, prompt SD and spread must not be negative"
        )


def _assumptions(design: Design, ties: float, spread: float, repeats: int) -> tuple[str, ...]:
    votes = (
        f"every rater gives {design.votes_per_rater} votes"
        if not spread
        else f"raters give {design.votes_per_rater} votes in the mean, coefficient of variation {spread}"
    )
    return (
        f"{votes}, on comparisons, sides and prompts drawn evenly",
        f"raters differ with SD {design.rater_sd} logits a contender, prompts with SD {design.prompt_sd}",
        f"equals tie in {ties:.0%} of votes; nothing is called both bad; no left-position effect",
        "all other contenders lie half way between the two",
        "two-way clustered joint 95% intervals of the comparisons decide"
        + (f"; {repeats} simulated studies check the answer" if repeats else ""),
    )


def _power_of(curve: PowerCurve, votes: int, votes_per_rater: int, prompts: int) -> float:
    return curve.power(votes, max(2.0, votes / votes_per_rater), prompts)


def _simulated(curve: PowerCurve, answer: PlannedDesign, target: float, repeats: int, seed: int) -> PlanCheck:
    """Whole studies of the answer; how far off the curve may be, carried over to the number of votes."""
    from scipy.special import ndtri

    design = replace(
        curve.design, raters=answer.raters, votes_per_rater=answer.votes_per_rater, prompts=answer.prompts
    )
    told = sum(_told_apart(design, curve, seed * 1_000_003 + repeat) for repeat in range(repeats))
    share = told / repeats
    low, high = (
        float(end[0]) for end in wilson(np.array([share]), np.array([repeats]), t_quantile(math.inf))
    )

    def needed(power: float) -> int | None:
        # The curve's power at which the true one is the target, if they differ by the same number of SDs there.
        wanted = float(_ndtr(ndtri(target) - ndtri(power) + ndtri(answer.power)))
        return curve.votes_for(wanted, answer.votes_per_rater, answer.prompts)

    return PlanCheck(
        repeats=repeats,
        power=share,
        power_low=low,
        power_high=high,
        votes_low=needed(min(high, 1 - 1e-9)),
        votes_high=needed(max(low, 1e-9)),
    )


def _ndtr(x: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(x))


def _told_apart(design: Design, curve: PowerCurve, seed: int) -> bool:
    """Whether one simulated study finds the better contender better; one whose fit has no finite estimate does not."""
    table = simulate_votes(design, seed)
    try:
        fit = davidson(table.contenders, count_votes(table), position=False)
    except InputError:
        return False
    cover = covariance(fit, table)
    joint = simultaneous_differences(
        fit.strength, cover.matrix, cover.freedom, draws=PLAN_DRAWS, seed=seed, pairs=curve.comparisons
    )
    place = {pair: i for i, pair in enumerate(zip(joint.first.tolist(), joint.second.tolist(), strict=True))}
    if (i := place.get(curve.target)) is not None:
        return bool(joint.low[i] > 0)
    return bool(joint.high[place[curve.target[1], curve.target[0]]] < 0)
