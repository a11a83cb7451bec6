"""Votes drawn from the model's equations, and the numbers that endless votes would give: no code of bench.ratings.

A vote of rater r on prompt p between l (left) and k (right) follows Davidson's model with abilities
θ_l + u_rl + w_pl and θ_k + u_rk + w_pk, u ~ N(0, rater_sd²), w ~ N(0, prompt_sd²), and a position effect:

    P(left) : P(right) : P(tie) = exp(δ/2) : exp(-δ/2) : ν,   δ = difference of abilities + position.

The second simulator behind results/coverage; `bench.ratings.simulation.simulate_votes` is the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm

from bench.records import Battle


@dataclass(frozen=True)
class CrossedDesign:
    abilities: tuple[float, ...]
    rater_shares: tuple[float, ...]
    """Share of the votes that each rater gives, sum 1."""
    prompt_shares: tuple[float, ...]
    votes: int
    rater_sd: float = 0.5
    prompt_sd: float = 0.7
    nu: float = 0.5
    position: float = 0.1


def even(count: int) -> tuple[float, ...]:
    return (1 / count,) * count


def one_gives(share: float, count: int) -> tuple[float, ...]:
    return (share,) + ((1 - share) / (count - 1),) * (count - 1)


def zipf(exponent: float, count: int) -> tuple[float, ...]:
    sizes = [1 / rank**exponent for rank in range(1, count + 1)]
    return tuple(size / sum(sizes) for size in sizes)


def lognormal(sigma: float, count: int) -> tuple[float, ...]:
    """Quantiles of the lognormal distribution: the same panel in every study."""
    sizes = np.exp(sigma * norm.ppf((np.arange(count) + 0.5) / count))
    return tuple((sizes / sizes.sum()).tolist())


def _effects(design: CrossedDesign, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(raters, m) and (prompts, m)."""
    m = len(design.abilities)
    taste = design.rater_sd * rng.standard_normal((len(design.rater_shares), m))
    luck = design.prompt_sd * rng.standard_normal((len(design.prompt_shares), m))
    return taste, luck


def drawn_metric(
    design: CrossedDesign, seed: int, prompts: int, correlation: float, offsets: tuple[float, ...]
) -> np.ndarray:
    """(prompts, m) values of a metric: of the prompts that `drawn_columns` has votes on, and of further ones.

    Parameters
    ----------
    design, seed: of `drawn_columns`.
    prompts: in all; the first ones are the design's.
    correlation: of the metric with a contender's luck on a prompt, -1 to 1.
    offsets: (m,) added to a contender's values; they need not have the order of the abilities.
    """
    rng = np.random.default_rng([seed, 20_221])
    _, luck = _effects(design, rng)
    rng = np.random.default_rng([seed, 40_111])
    shape = (prompts, len(design.abilities))
    unit = rng.standard_normal(shape)
    if design.prompt_sd:
        unit[: len(luck)] = luck / design.prompt_sd
    noise = rng.standard_normal(shape)
    return np.asarray(offsets) + correlation * unit + np.sqrt(1 - correlation**2) * noise


def drawn_columns(design: CrossedDesign, seed: int) -> dict[str, np.ndarray]:
    """One study's votes, a column a field (n,): left, right, outcome (0 left, 1 right, 2 tie), rater, prompt.

    Every rater gives one vote at least.
    """
    rng = np.random.default_rng([seed, 20_221])
    m = len(design.abilities)
    taste, luck = _effects(design, rng)
    sizes = [max(1, round(share * design.votes)) for share in design.rater_shares]
    rater = np.concatenate([np.full(size, number) for number, size in enumerate(sizes)])
    prompt = rng.choice(len(design.prompt_shares), len(rater), p=design.prompt_shares)
    left, right = rng.random((len(rater), m)).argsort(axis=1)[:, :2].T
    ability = np.asarray(design.abilities)[None] + taste[rater] + luck[prompt]
    vote = np.arange(len(rater))
    delta = ability[vote, left] - ability[vote, right] + design.position
    chances = np.stack([np.exp(delta / 2), np.exp(-delta / 2), np.full(len(vote), design.nu)], axis=1)
    below = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)
    outcome = (rng.random(len(vote))[:, None] > below[:, :2]).sum(axis=1)
    return {"left": left, "right": right, "outcome": outcome, "rater": rater, "prompt": prompt}


def drawn_votes(design: CrossedDesign, seed: int) -> Iterator[Battle]:
    """One study's votes as battles."""
    columns = drawn_columns(design, seed)
    for left, right, outcome, rater, prompt in zip(*(c.tolist() for c in columns.values()), strict=True):
        yield Battle(
            left=f"contender-{left:02d}",
            right=f"contender-{right:02d}",
            outcome=("left", "right", "tie")[outcome],
            rater=f"rater-{rater:04d}",
            prompt_id=f"prompt-{prompt:04d}",
            simulated=True,
        )


@dataclass(frozen=True)
class Truth:
    abilities: np.ndarray
    """(m,) of the model without rater and prompt effects that fits endless votes best, sum 0."""
    win_rates: np.ndarray
    """(m, m) of row over column over both sides, a tie half."""
    accuracy: float
    """Share of decided votes won by the contender with the lower number."""


def truth(design: CrossedDesign) -> Truth:
    """By the midpoint rule over the two normal effects of each side, and a general optimiser."""
    points = norm.ppf((np.arange(4000) + 0.5) / 4000) * np.sqrt(
        2 * (design.rater_sd**2 + design.prompt_sd**2)
    )
    abilities = np.asarray(design.abilities)
    m = len(abilities)
    left, right = np.nonzero(~np.eye(m, dtype=bool))
    delta = (abilities[left] - abilities[right] + design.position)[:, None] + points
    shares = np.stack([np.exp(delta / 2), np.exp(-delta / 2), np.full(delta.shape, design.nu)])
    chances = (shares / shares.sum(axis=0)).mean(axis=2)

    def loss(parameters: np.ndarray) -> float:
        theta = np.append(parameters[: m - 1], -parameters[: m - 1].sum())
        d = theta[left] - theta[right] + parameters[-2]
        logits = np.stack([d / 2, -d / 2, np.full(len(d), parameters[-1])])
        return float(-(chances * (logits - np.logaddexp.reduce(logits, axis=0))).sum())

    start = np.concatenate([(abilities - abilities.mean())[: m - 1], [design.position, np.log(design.nu)]])
    best = minimize(loss, start, method="BFGS", options={"gtol": 1e-7}).x[: m - 1]
    rates = np.full((m, m), 0.5)
    as_left = np.zeros((m, m))
    as_left[left, right] = chances[0] + chances[2] / 2
    rates[left, right] = (as_left[left, right] + 1 - as_left[right, left]) / 2
    lower_won = np.where(left < right, chances[0], chances[1]).sum()
    return Truth(
        abilities=np.append(best, -best.sum()),
        win_rates=rates,
        accuracy=float(lower_won / (chances[0] + chances[1]).sum()),
    )
