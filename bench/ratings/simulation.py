"""Simulated preference studies: votes of raters and on prompts that differ, and the truth behind them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.ratings.fits import Fit, davidson
from bench.ratings.vote_table import VoteTable

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A simulated study of one question: pairs, sides and prompts drawn evenly."""

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
    comparisons: tuple[tuple[int, int], ...] | None = None
    """Pairs of contenders that votes are spent on, evenly; None: all."""
    rater_shares: tuple[float, ...] = ()
    """Share of the raters · votes_per_rater votes that each rater gives, one a rater; (): all alike."""
    prompt_shares: tuple[float, ...] = ()
    """How often each prompt is drawn, one a prompt; (): all alike."""
    balanced: bool = False
    """Every comparison on every prompt equally often, as `balanced` pairing hands them out, not drawn at random."""


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
    if design.balanced:
        left, right, prompt = _balanced(design, rng, n)
    elif design.comparisons is None:
        left = rng.integers(0, m, n, dtype=np.int32)
        right = ((left + rng.integers(1, m, n)) % m).astype(np.int32)
    else:
        pair = np.array(design.comparisons, np.int32)[rng.integers(0, len(design.comparisons), n)]
        side = rng.integers(0, 2, n)
        left, right = pair[np.arange(n), side], pair[np.arange(n), 1 - side]
    by_rater = design.rater_sd * rng.standard_normal((design.raters, m))
    by_prompt = design.prompt_sd * rng.standard_normal((design.prompts, m))
    strength = np.asarray(design.strengths)
    d = strength[left] - strength[right] + design.position
    d += by_rater[rater, left] - by_rater[rater, right] + by_prompt[prompt, left] - by_prompt[prompt, right]
    first, second, _ = outcome_chances(d, design.tie)
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


def _balanced(
    design: Design, rng: np.random.Generator, n: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Left, right and prompt of n votes in random order: totals of comparisons, of prompts, and of comparisons on a
    prompt differ by 1 at most."""
    pairs = np.array(design.comparisons or list(itertools.combinations(range(len(design.strengths)), 2)))
    places = np.arange(n)
    prompt, rounds = places % design.prompts, places // design.prompts
    pair = pairs[(rounds + prompt) % len(pairs)].astype(np.int32)
    order, side = rng.permutation(n), rng.integers(0, 2, n)
    names = rng.permutation(design.prompts).astype(np.int32)
    return pair[places, side][order], pair[places, 1 - side][order], names[prompt][order]


def lognormal_shares(raters: int, spread: float) -> tuple[float, ...]:
    """(raters,) shares of the votes at the quantiles of a lognormal with this coefficient of variation; sum 1."""
    from scipy.special import ndtri

    places = (np.arange(raters) + 0.5) / raters
    busy = np.exp(math.sqrt(math.log1p(spread**2)) * ndtri(places))
    return tuple((busy / busy.sum()).tolist())


def outcome_chances(d: Floats, tie: float) -> tuple[Floats, Floats, Floats]:
    weights = np.exp(np.stack([d / 2, -d / 2, np.full_like(d, tie)]))
    weights /= weights.sum(axis=0)
    return weights[0], weights[1], weights[2]


def expected_chances(design: Design, d: Floats) -> tuple[Floats, Floats, Floats]:
    """Left, right and tie probabilities of average differences d over all raters and prompts: the two
    normal effects of each side, integrated by Gauss–Hermite quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = math.sqrt(2 * (design.rater_sd**2 + design.prompt_sd**2))
    parts = outcome_chances(d[..., None] + spread * points, design.tie)
    first, second, third = (part @ weights / weights.sum() for part in parts)
    return first, second, third


def population_fit(design: Design) -> Fit:
    """What `davidson` would give with endless raters, prompts and votes: the truth that intervals must
    cover. Not `design.strengths`: averaging over raters and prompts draws strengths together."""
    strength = np.asarray(design.strengths)
    m = len(strength)
    chances = expected_chances(design, strength[:, None] - strength[None] + design.position)
    counts = np.stack(chances, axis=-1)
    asked = np.ones((m, m), bool) if design.comparisons is None else np.zeros((m, m), bool)
    for a, b in design.comparisons or ():
        asked[a, b] = asked[b, a] = True
    counts[~asked] = 0
    counts[np.arange(m), np.arange(m)] = 0
    return davidson(tuple(f"contender-{i + 1:02d}" for i in range(m)), counts)


def gap_for_rate(design: Design, rate: float) -> float:
    """Difference in average strength, logits, whose marginal win rate (a tie half) is `rate`."""
    from scipy.optimize import brentq

    def excess(d: float) -> float:
        first, _, third = expected_chances(design, np.array([d]))
        return float(first[0] + third[0] / 2 - rate)

    return float(brentq(excess, 0.0, 40.0))  # pyright: ignore[reportArgumentType]
