"""How many votes a claim takes, asked before the study: simulation with raters and prompts that differ.

Independent votes are the textbook's; real ones come from raters who differ and on prompts that differ, and
past some point more votes on the same prompts teach nothing. `plan` says when that is so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.ratings.fits import Fit, count_votes, davidson
from bench.ratings.uncertainty import covariance, simultaneous_differences, t_quantile
from bench.ratings.vote_table import VoteTable
from bench.ratings.winrates import wilson

Floats = NDArray[np.float64]

MOST_VOTES = 300_000
"""Of one simulated study: beyond it `plan` gives up and says so."""
PLAN_DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A simulated study of one question: uniform random pairs, sides and prompts."""

    strengths: tuple[float, ...]
    """Logits, one a contender, of the average rater on the average prompt."""
    raters: int = 40
    votes_per_rater: int = 100
    prompts: int = 100
    rater_sd: float = 0.5
    """Logits: how far a rater's taste for a contender strays from the average."""
    prompt_sd: float = 0.7
    """Logits: how far a contender does better or worse on one prompt."""
    tie: float = -0.7
    """Log of Davidson's ν; about 20% ties between equals at −0.7. −inf: no ties."""
    position: float = 0.0
    """Logits in favour of the left side."""
    both_bad: float = 0.0
    """Share of votes that call both bad."""
    rater_shares: tuple[float, ...] = ()
    """Share of the raters · votes_per_rater votes that each rater gives, one a rater; (): all alike."""
    prompt_shares: tuple[float, ...] = ()
    """How often each prompt is drawn, one a prompt; (): all alike."""


def simulate_votes(design: Design, seed: int) -> VoteTable:
    """One study, as its votes. The same seed gives the same votes."""
    rng = np.random.default_rng(seed)
    m, votes = len(design.strengths), np.full(design.raters, design.votes_per_rater)
    if design.rater_shares:
        votes = np.maximum(1, np.rint(np.array(design.rater_shares) * votes.sum()).astype(int))
    rater, n = np.repeat(np.arange(design.raters, dtype=np.int32), votes), int(votes.sum())
    if design.prompt_shares:
        prompt = rng.choice(design.prompts, n, p=design.prompt_shares).astype(np.int32)
    else:
        prompt = rng.integers(0, design.prompts, n, dtype=np.int32)
    left = rng.integers(0, m, n, dtype=np.int32)
    right = ((left + rng.integers(1, m, n)) % m).astype(np.int32)
    by_rater = design.rater_sd * rng.standard_normal((design.raters, m))
    by_prompt = design.prompt_sd * rng.standard_normal((design.prompts, m))
    strength = np.asarray(design.strengths)
    d = strength[left] - strength[right] + design.position
    d += by_rater[rater, left] - by_rater[rater, right] + by_prompt[prompt, left] - by_prompt[prompt, right]
    first, second, _ = _chances(d, design.tie)
    point = rng.random(n)
    outcome = np.where(point < first, 0, np.where(point < first + second, 1, 2)).astype(np.int8)
    if design.both_bad:
        outcome[rng.random(n) < design.both_bad] = 3
    zero = np.zeros(n, np.int32)
    return VoteTable(
        contenders=tuple(f"contender-{i + 1:02d}" for i in range(m)),
        left=left,
        right=right,
        outcome=outcome,
        weight=np.ones(n),
        questions=("",),
        question=zero,
        raters=tuple(f"rater-{i + 1}" for i in range(design.raters)),
        rater=rater,
        prompts=tuple(f"prompt-{i + 1}" for i in range(design.prompts)),
        prompt=prompt,
        replicate=zero,
        categories=("",),
        category=zero,
        challenges=("",),
        challenge=zero,
        groups=("",),
        group=zero,
        probability=None,
        repeat=np.zeros(n, bool),
        simulated=True,
    )


def _chances(d: Floats, tie: float) -> tuple[Floats, Floats, Floats]:
    weights = np.exp(np.stack([d / 2, -d / 2, np.full_like(d, tie)]))
    weights /= weights.sum(axis=0)
    return weights[0], weights[1], weights[2]


def expected_chances(design: Design, d: Floats) -> tuple[Floats, Floats, Floats]:
    """Left, right and tie probabilities of average differences d over all raters and prompts: the two
    normal effects of each side, integrated by Gauss–Hermite quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = math.sqrt(2 * (design.rater_sd**2 + design.prompt_sd**2))
    parts = _chances(d[..., None] + spread * points, design.tie)
    first, second, third = (part @ weights / weights.sum() for part in parts)
    return first, second, third


def population_fit(design: Design) -> Fit:
    """What `davidson` would give with endless raters, prompts and votes: the truth that intervals must
    cover. Not `design.strengths`: averaging over raters and prompts draws strengths together."""
    strength = np.asarray(design.strengths)
    m = len(strength)
    chances = expected_chances(design, strength[:, None] - strength[None] + design.position)
    counts = np.stack(chances, axis=-1)
    counts[np.arange(m), np.arange(m)] = 0
    return davidson(tuple(f"contender-{i + 1:02d}" for i in range(m)), counts)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPoint:
    raters: int
    votes: int
    """In all, on one question."""
    votes_per_pair: float
    power: float
    """Share of simulated studies whose joint intervals told the two contenders apart."""
    power_low: float
    """Wilson 95%."""
    power_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Simulated: what a study of this design would need."""

    rate: float
    """Win rate, a tie half, of the better contender of the closest pair."""
    contenders: int
    target_power: float
    independent_per_pair: int
    """If votes were independent, no ties, and only this pair were tested."""
    votes: int | None
    """Needed in all, on one question; None: not within MOST_VOTES on these prompts, see `note`."""
    votes_per_pair: float | None
    raters: int | None
    inflation: float | None
    """votes_per_pair over independent_per_pair."""
    asked: PlanPoint | None
    """What the votes a pair that were asked about would do; None: nothing was asked."""
    tried: tuple[PlanPoint, ...]
    repeats: int
    assumptions: tuple[str, ...]
    note: str = ""


def plan(
    *,
    rate: float,
    contenders: int = 2,
    votes_per_rater: int = 100,
    prompts: int = 100,
    rater_sd: float = 0.5,
    prompt_sd: float = 0.7,
    ties: float = 0.2,
    power: float = 0.8,
    votes_per_pair: int | None = None,
    repeats: int = 200,
    seed: int = 0,
    tell: Callable[[PlanPoint], None] = lambda point: None,
) -> Plan:
    """Votes needed to tell one pair, `rate` against 1 − rate, apart among all pairs at once.

    rate: marginal win rate over raters, prompts and sides. ties: share between equals, in [0, 1).
    votes_per_pair: also say what that many would do. tell: called with each point as it is simulated.
    The number of raters grows until the joint interval of the pair excludes 0 in `power` of the simulated
    studies. Seconds to a minute. Raises InputError for values outside their ranges.
    """
    alone = independent_votes(rate, power=power)
    _check_plan(contenders, votes_per_rater, prompts, repeats, votes_per_pair, ties, rater_sd, prompt_sd)
    tie = math.log(2 * ties / (1 - ties)) if ties else -math.inf
    base = Design(
        strengths=(0.0,) * contenders,
        votes_per_rater=votes_per_rater,
        prompts=prompts,
        rater_sd=rater_sd,
        prompt_sd=prompt_sd,
        tie=tie,
    )
    gap = gap_for_rate(base, max(rate, 1 - rate))
    base = replace(base, strengths=(gap / 2, -gap / 2) + (0.0,) * (contenders - 2))
    pairs = contenders * (contenders - 1) // 2
    points: dict[int, PlanPoint] = {}

    def reaches(raters: int) -> bool:
        if raters not in points:
            points[raters] = _power(replace(base, raters=raters), pairs, repeats, seed)
            tell(points[raters])
        return points[raters].power >= power

    asked = None
    if votes_per_pair is not None:
        asked = max(2, math.ceil(votes_per_pair * pairs / votes_per_rater))
        reaches(asked)
    high, found = _fewest(
        reaches, guess=round(alone * pairs / votes_per_rater), most=max(3, MOST_VOTES // votes_per_rater)
    )
    votes = high * votes_per_rater if found else None
    note = "" if found else _why_not(points[high], prompts, prompt_sd)
    return Plan(
        rate=max(rate, 1 - rate),
        contenders=contenders,
        target_power=power,
        independent_per_pair=alone,
        votes=votes,
        votes_per_pair=votes / pairs if votes else None,
        raters=high if votes else None,
        inflation=votes / pairs / alone if votes else None,
        asked=None if asked is None else points[asked],
        tried=tuple(points[raters] for raters in sorted(points)),
        repeats=repeats,
        assumptions=_assumptions(base, ties, pairs, repeats),
        note=note,
    )


def _assumptions(design: Design, ties: float, pairs: int, repeats: int) -> tuple[str, ...]:
    return (
        f"every rater gives {design.votes_per_rater} votes on pairs, sides and prompts drawn evenly",
        f"raters differ with SD {design.rater_sd} logits a contender, prompts ({design.prompts}) with SD "
        f"{design.prompt_sd}",
        f"equals tie in {ties:.0%} of votes; nobody calls both bad; no left-position effect",
        "the other contenders lie half way between the two",
        f"two-way clustered joint 95% intervals of all {pairs} pairs decide; {repeats} simulated studies a point",
    )


def sentences(found: Plan, *, questions: int = 1) -> list[str]:
    """The plan in words, most important first."""
    pairs = found.contenders * (found.contenders - 1) // 2
    what = f"{found.rate:.1%} from {1 - found.rate:.1%} among all pairs of {found.contenders} contenders"
    if found.votes is None:
        said = [f"Cannot tell {what}: {found.note}."]
    else:
        said = [
            f"To tell {what} in {found.target_power:.0%} of studies: {found.votes:,} votes a question "
            f"({found.votes_per_pair:,.0f} a pair) by {found.raters:,} raters."
        ]
        if questions > 1:
            said[0] += f" With {questions} questions {found.votes * questions:,}."
    alone = (
        f"{found.independent_per_pair:,} a pair if votes were independent, none a tie, no other pair tested"
    )
    said.append(f"The textbook asks for {alone}: {_times(found.inflation)}.")
    if found.asked is not None:
        point = found.asked
        said.append(
            f"The study asks for {point.votes_per_pair:,.0f} votes a pair ({point.votes:,} a question, "
            f"{point.raters} raters, {pairs} pairs): {point.power:.0%} of such studies would tell "
            f"({point.power_low:.0%} to {point.power_high:.0%}, {found.repeats} simulated)."
        )
    return said


def _times(inflation: float | None) -> str:
    return (
        "no number makes up for these prompts"
        if inflation is None
        else f"the plan is {inflation:.1f} times that"
    )


def _check_plan(
    contenders: int,
    votes_per_rater: int,
    prompts: int,
    repeats: int,
    votes_per_pair: int | None,
    ties: float,
    rater_sd: float,
    prompt_sd: float,
) -> None:
    """Raises InputError for what `plan` cannot simulate."""
    if contenders < 2 or votes_per_rater < 1 or prompts < 2 or repeats < 20:
        raise InputError(
            f"contenders {contenders}, votes per rater {votes_per_rater}, prompts {prompts}, "
            f"repeats {repeats}: at least 2, 1, 2 and 20"
        )
    if votes_per_pair is not None and votes_per_pair < 1:
        raise InputError(f"votes per pair {votes_per_pair}: at least 1")
    if not 0 <= ties < 1 or rater_sd < 0 or prompt_sd < 0:
        raise InputError(f"ties {ties} must lie in [0, 1); rater and prompt SD must not be negative")


def _fewest(reaches: Callable[[int], bool], *, guess: int, most: int) -> tuple[int, bool]:
    """The fewest raters that reach the power, to about a twelfth, and whether `most` of them do at all."""
    # Two raters have one degree of freedom: hopeless, so the search starts above them.
    low, high = 2, min(most, max(3, guess))
    while not reaches(high) and high < most:
        low, high = high, min(most, high * 2)
    found = reaches(high)
    while found and high - low > max(1, high // 12):
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high, found


def _why_not(last: PlanPoint, prompts: int, prompt_sd: float) -> str:
    text = f"{last.votes:,} votes reach a power of {last.power:.0%} only"
    if prompt_sd > 0:
        text += f": the {prompts} prompts set a limit that no number of votes lifts; take more prompts"
    return text


def gap_for_rate(design: Design, rate: float) -> float:
    """Difference in average strength, logits, whose marginal win rate (a tie half) is `rate`."""
    from scipy.optimize import brentq

    def excess(d: float) -> float:
        first, _, third = expected_chances(design, np.array([d]))
        return float(first[0] + third[0] / 2 - rate)

    return float(brentq(excess, 0.0, 40.0))  # pyright: ignore[reportArgumentType]


def _power(design: Design, pairs: int, repeats: int, seed: int) -> PlanPoint:
    detected = sum(_told_apart(design, seed * 1_000_003 + repeat) for repeat in range(repeats))
    share = detected / repeats
    low, high = wilson(np.array([share]), np.array([repeats]), t_quantile(math.inf))
    votes = design.raters * design.votes_per_rater
    return PlanPoint(
        raters=design.raters,
        votes=votes,
        votes_per_pair=votes / pairs,
        power=share,
        power_low=float(low[0]),
        power_high=float(high[0]),
    )


def _told_apart(design: Design, seed: int) -> bool:
    """Whether one simulated study finds the first contender better than the second. A study whose fit
    has no finite estimate tells nothing apart."""
    table = simulate_votes(design, seed)
    try:
        fit = davidson(table.contenders, count_votes(table), position=False)
    except InputError:
        return False
    cover = covariance(fit, table)
    found = simultaneous_differences(fit.strength, cover.matrix, cover.freedom, draws=PLAN_DRAWS, seed=seed)
    return bool(found.low[0] > 0)
