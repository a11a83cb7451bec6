"""How many votes, raters and prompts a claim takes, asked before the study.

Independent votes are the textbook's; real ones come from raters who differ and on prompts that differ, and past
some point more votes on the same prompts teach nothing: the ceiling of those prompts. `plan` reads the answer off
`bench.ratings.power`'s curve, lists designs that reach the wanted power with what each costs, and simulates whole
studies of the answer, with the intervals of `arena rate`, to check the curve there. `bench.ratings.plan_words` puts
a plan into sentences, `bench.ratings.pilot` takes its assumptions from votes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.errors import InputError
from bench.ratings.covariance import covariance
from bench.ratings.designs import (
    USUAL_VOTES_PER_RATER,
    Cost,
    PlannedDesign,
    Pricing,
    Session,
    curve_for,
    detectable_rate,
    power_of,
)
from bench.ratings.fits import count_votes, davidson
from bench.ratings.power import PowerCurve
from bench.ratings.simulation import Design, lognormal_shares, simulate_votes
from bench.ratings.uncertainty import simultaneous_differences, t_quantile
from bench.ratings.winrates import wilson

PROMPTS = (50, 100, 200, 400, 800, 1600)
VOTES_PER_RATER = (20, 40, 60, 100)
"""Designs that `plan` compares, beside the one it is asked about."""
PLAN_DRAWS = 2000


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
    checks: float
    """Share of a rater's answers that are attention checks or repeats."""
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
    """The smallest win rate that the asked votes show with the target power; None: none below 99%."""
    check: PlanCheck | None
    likely_votes: tuple[int | None, int | None] | None
    """90% interval of the answer's votes by what a pilot leaves open of the SDs; None within: no number of votes. None:
    the SDs were given."""
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
    checks: float = 0.0,
    votes_per_rater: int = USUAL_VOTES_PER_RATER,
    prompts: int = 100,
    rater_sd: float = 0.5,
    prompt_sd: float = 0.7,
    ties: float = 0.2,
    spread: float = 0.0,
    power: float = 0.8,
    votes_per_pair: int | None = None,
    cost: Cost | None = None,
    likely: Sequence[tuple[float, float]] = (),
    repeats: int = 100,
    seed: int = 0,
) -> Plan:
    """Votes needed to show who is better in the first comparison, `rate` against 1 − rate, among all at once.

    Parameters
    ----------
    rate : marginal win rate over raters, prompts and sides, a tie half.
    comparisons : pairs of contenders by index that votes are spent on; None: all pairs.
    checks : share of a rater's answers that are attention checks or repeats, in [0, 1).
    votes_per_rater : answers of one rater in all: every question, checks and repeats.
    rater_sd, prompt_sd : logits, how far raters and prompts differ about a contender.
    ties : share between equals, in [0, 1).
    spread : coefficient of variation of the votes a rater gives; 0: all the same.
    votes_per_pair : also say what so many votes a comparison would tell.
    likely : equally likely pairs of rater SD and prompt SD, where these are estimates; see `bench.ratings.pilot`.
    repeats : whole studies simulated at the answer; 0: none.

    Raises
    ------
    InputError : a value outside its range.
    """
    alone = independent_votes(rate, power=power)
    rate = max(rate, 1 - rate)
    pairs = tuple(comparisons or itertools.combinations(range(max(contenders, 2)), 2))
    _check_plan(
        contenders, votes_per_rater, prompts, votes_per_pair, ties, rater_sd, prompt_sd, spread, repeats, checks
    )  # fmt: skip
    session = Session(answers=votes_per_rater, questions=questions, checks=checks)
    base = _base_design(contenders, pairs, prompts, rater_sd, prompt_sd, ties)
    priced = Pricing(curve=curve_for(base, rate, spread), power=power, session=session, cost=cost or Cost())
    answer = priced.design(prompts, votes_per_rater)
    return _answered(
        base,
        priced,
        answer,
        rate=rate,
        alone=alone,
        asked=None if votes_per_pair is None else votes_per_pair * len(pairs),
        check=None if answer is None or not repeats else _simulated(priced, answer, repeats, seed),
        likely=_likely_votes(base, priced, rate, likely) if likely else None,
        assumptions=_assumptions(base, session, ties, spread),
    )


def _base_design(
    contenders: int,
    pairs: tuple[tuple[int, int], ...],
    prompts: int,
    rater_sd: float,
    prompt_sd: float,
    ties: float,
) -> Design:
    """Equal contenders; ties: their share between equals."""
    return Design(
        strengths=(0.0,) * contenders,
        prompts=prompts,
        balanced=True,
        rater_sd=rater_sd,
        prompt_sd=prompt_sd,
        tie=math.log(2 * ties / (1 - ties)) if ties else -math.inf,
        comparisons=pairs,
    )


def _answered(
    base: Design,
    priced: Pricing,
    answer: PlannedDesign | None,
    *,
    rate: float,
    alone: int,
    asked: int | None,
    check: PlanCheck | None,
    likely: tuple[int | None, int | None] | None,
    assumptions: tuple[str, ...],
) -> Plan:
    """The plan, with other designs beside the answer and what the asked votes would show.

    alone: independent votes on one pair; asked: votes on one question; the others are fields of the plan.
    """
    curve, session, power = priced.curve, priced.session, priced.power
    return Plan(
        rate=rate,
        contenders=len(base.strengths),
        comparisons=len(curve.comparisons),
        questions=session.questions,
        checks=session.checks,
        target_power=power,
        independent_per_pair=alone,
        prompts=base.prompts,
        ceiling=curve.ceiling(base.prompts),
        answer=answer,
        designs=_other_designs(priced, base.prompts),
        asked_votes=asked,
        asked_power=None if asked is None else power_of(curve, asked, session, base.prompts),
        asked_rate=None
        if asked is None
        else detectable_rate(base, asked, session, power=power, spread=curve.spread),
        check=check,
        likely_votes=likely,
        assumptions=assumptions,
    )


def _other_designs(priced: Pricing, prompts: int) -> tuple[PlannedDesign, ...]:
    """Designs of the usual sizes and of the asked one that reach the power, the cheapest first."""
    grid = itertools.product(sorted({*PROMPTS, prompts}), sorted({*VOTES_PER_RATER, priced.session.answers}))
    designs = [each for p, v in grid if (each := priced.design(p, v)) is not None]
    return tuple(sorted(designs, key=lambda each: (each.money, each.prompts)))


def _check_plan(
    contenders: int, votes_per_rater: int, prompts: int, votes_per_pair: int | None, ties: float, rater_sd: float,
    prompt_sd: float, spread: float, repeats: int, checks: float,
) -> None:  # fmt: skip
    """Raises InputError for what `plan` cannot plan."""
    if contenders < 2 or votes_per_rater < 1 or prompts < 2 or repeats < 0:
        raise InputError(
            f"contenders {contenders}, votes per rater {votes_per_rater}, prompts {prompts}, "
            f"repeats {repeats}: at least 2, 1, 2 and 0"
        )
    if votes_per_pair is not None and votes_per_pair < 1:
        raise InputError(f"votes per pair {votes_per_pair}: at least 1")
    if not 0 <= ties < 1 or not 0 <= checks < 1 or min(rater_sd, prompt_sd, spread) < 0:
        raise InputError(
            f"ties {ties} and checks {checks} must lie in [0, 1); rater SD, prompt SD and spread must not be negative"
        )


def _assumptions(design: Design, session: Session, ties: float, spread: float) -> tuple[str, ...]:
    answers = f"a rater gives {session.answers} answers" + (
        f" in the mean (coefficient of variation {spread:g})" if spread else ""
    )
    shares = [f"{session.checks:.0%} of them checks and repeats"] if session.checks else []
    shares += [f"shared by {session.questions} questions"] if session.questions > 1 else []
    return (
        ", ".join([answers, *shares]),
        "comparisons, prompts and sides get equal numbers of votes",
        f"raters differ with SD {design.rater_sd:.2g} logits a contender, prompts with SD {design.prompt_sd:.2g}",
        f"equals tie in {ties:.0%} of votes; nothing is called both bad; no left-position effect",
        "all other contenders lie half way between the two",
        "two-way clustered joint 95% intervals of the comparisons decide",
    )


def _likely_votes(
    base: Design, priced: Pricing, rate: float, likely: Sequence[tuple[float, float]]
) -> tuple[int | None, int | None]:
    """5% and 95% quantile of the votes that the likely SDs take with the same prompts and session."""
    needed = []
    for rater_sd, prompt_sd in likely:
        curve = curve_for(replace(base, rater_sd=rater_sd, prompt_sd=prompt_sd), rate, priced.curve.spread)
        design = replace(priced, curve=curve).design(base.prompts, priced.session.answers)
        needed.append(math.inf if design is None else design.votes)
    ends = np.quantile(needed, [0.05, 0.95], method="inverted_cdf").tolist()
    low, high = (None if math.isinf(end) else int(end) for end in ends)
    return low, high


def _simulated(priced: Pricing, answer: PlannedDesign, repeats: int, seed: int) -> PlanCheck:
    """Whole studies of the answer; how far off the curve may be, carried over to the number of votes."""
    from scipy.special import ndtr, ndtri

    curve = priced.curve
    design = replace(
        curve.design,
        raters=answer.raters,
        votes_per_rater=max(1, round(answer.votes / answer.raters)),
        prompts=answer.prompts,
        rater_shares=lognormal_shares(answer.raters, curve.spread) if curve.spread else (),
    )
    shown = sum(shows_the_better(design, curve, seed * 1_000_003 + repeat) for repeat in range(repeats))
    share = shown / repeats
    low, high = (
        float(end[0]) for end in wilson(np.array([share]), np.array([repeats]), t_quantile(math.inf))
    )

    def needed(power: float) -> int | None:
        # The curve's power at which the true one is the target, if they differ by the same number of SDs there.
        wanted = float(ndtr(ndtri(priced.power) - ndtri(power) + ndtri(answer.power)))
        design = priced.design(answer.prompts, answer.votes_per_rater, wanted)
        return None if design is None else design.votes

    return PlanCheck(
        repeats=repeats,
        power=share,
        power_low=low,
        power_high=high,
        votes_low=needed(min(high, 1 - 1e-9)),
        votes_high=needed(max(low, 1e-9)),
    )


def shows_the_better(design: Design, curve: PowerCurve, seed: int) -> bool:
    """Whether one simulated study finds the better contender of the curve's target better, by the joint intervals of
    `arena rate`; one whose fit has no finite estimate does not."""
    table = simulate_votes(design, seed)
    try:
        fit = davidson(table.contenders, count_votes(table))
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
