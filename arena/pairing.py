"""Which pair next, on which prompt, which side: pure functions of counters and a seeded generator.

Every choice of a pair comes with the probability it had, given everything that was known when it was made. Under
`active` it is the pair whose share of the remaining votes this rater has served least; under `balanced` and
`exhaustive` the pairs with the fewest votes, and among them those that the rater has seen least, drawn evenly.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.errors import unknown

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

RULES = ("balanced", "active", "exhaustive")
BLOCK = 10
"""Votes on one question before the other one is asked."""
DRAWS = 400
"""Normal draws behind the chance of each contender to be first."""


def generator(seed: int, rater_id: str, number: int) -> np.random.Generator:
    """The generator of a rater's assignment `number`: same study seed and rater, same draws."""
    digest = hashlib.sha256(f"{seed}/{rater_id}/{number}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def wanted_votes(rule: str, votes_per_pair: int, scenes: int) -> int:
    """Votes a pair is to get: `exhaustive` rounds up, so that all its prompts get the same number."""
    if rule not in RULES:
        raise unknown("pairing", rule, RULES)
    if rule == "exhaustive" and scenes:
        return scenes * math.ceil(votes_per_pair / scenes)
    return votes_per_pair


def question_order(questions: tuple[str, ...], rater_id: str, number: int) -> tuple[str, ...]:
    """The questions in the order to try: in blocks, so that a rater need not switch at every pair."""
    start = hashlib.sha256(rater_id.encode()).digest()[0] + number // BLOCK
    return tuple(questions[(start + i) % len(questions)] for i in range(len(questions)))


def choose_pair(
    rng: np.random.Generator,
    rule: str,
    *,
    taken: Ints,
    own: Ints,
    eligible: Mask,
    wanted: Ints | None = None,
) -> tuple[int, float] | None:
    """Index of a pair and the probability it had, or None where none is eligible.

    Parameters
    ----------
    taken: (k,) votes given or handed out.
    own: (k,) those of this rater. Their votes on one pair are correlated, so the next one is worth less.
    wanted: (k,) votes that each pair is to get, `active` only; see `allotted`.
    """
    if not eligible.any():
        return None
    if rule == "active":
        if wanted is None:
            raise ValueError("active pairing needs the votes that every pair is to get")
        # Sainte-Laguë's rule: a rater's votes go to the pairs in proportion, and no pair comes again before its share.
        due = np.where(eligible, np.maximum(wanted - taken, 1) / (own + 0.5), 0.0)
        return int(np.lexsort((taken, -due))[0]), 1.0
    elif rule in RULES:
        fewest = eligible & (taken == taken[eligible].min())
        chances = (fewest & (own == own[fewest].min())).astype(np.float64)
    else:
        raise unknown("pairing", rule, RULES)
    chances = chances / chances.sum()
    index = int(rng.choice(len(chances), p=chances))
    return index, float(chances[index])


def shuffled_turns(scenes: Sequence[tuple[str, int]], seed: int) -> dict[tuple[str, int], float]:
    """Prompt and replicate → place, 0 to 1, in the order in which every pair of the study goes through them."""
    order = generator(seed, "turns", 0).permutation(len(scenes)).tolist()
    return {scene: place / len(scenes) for scene, place in zip(sorted(scenes), order, strict=True)}


def choose_scene(*, taken: Ints, eligible: Mask, turn: Floats, begin: float) -> int | None:
    """Index of a prompt and replicate of the pair: the fewest votes first, in turn from the pair's own beginning.

    Parameters
    ----------
    turn: (k,) place of each in the study's order, in [0, 1).
    begin: the pair's own place. Pairs that begin evenly spaced are on different prompts at any time, so the totals of
        the prompts stay even too.
    """
    if not eligible.any():
        return None
    return int(np.lexsort(((turn - begin) % 1.0, taken, ~eligible))[0])


def target_weights(
    target: str,
    mean: Floats,
    covariance: Floats,
    first: Ints,
    second: Ints,
    chosen: int,
    rng: np.random.Generator,
) -> Floats:
    """(k,) how much a vote on each pair serves the target, given strengths that are normal with this mean (m,) and
    covariance (m, m), logits.

    `chosen`: pairs with that contender, by the chance that they stand in the wrong order. `first`: pairs of the leader
    with each other contender, by the chance that the other one is first (top-two sampling, Russo 2020, Operations
    Research 68(6)).
    """
    if target == "first":
        root = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(mean)))
        best = (mean + rng.standard_normal((DRAWS, len(mean))) @ root.T).argmax(axis=1)
        chance, leader = np.bincount(best, minlength=len(mean)) / DRAWS, int(mean.argmax())
        return np.where(first == leader, chance[second], np.where(second == leader, chance[first], 0.0))
    from scipy.special import ndtr

    variance = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
    wrong = ndtr(-np.abs(mean[first] - mean[second]) / np.sqrt(np.maximum(variance, 1e-12)))
    return wrong * ((first == chosen) | (second == chosen))


def allotted(taken: Ints, remaining: int, weight: Floats, epsilon: float) -> Ints:
    """(k,) votes that each pair is to get in all: those it has, and its share of the remaining ones.

    Parameters
    ----------
    weight: (k,) of `target_weights`.
    epsilon: share of the remaining votes that is spread evenly.
    """
    count, total = len(weight), float(weight.sum())
    by_weight = weight / total if total > 0 else np.full(count, 1 / count)
    share = (1 - epsilon) * by_weight + epsilon / count
    ends = np.rint(np.cumsum(share) * remaining).astype(np.int64)
    return taken + np.diff(ends, prepend=0)


def swap_sides(rng: np.random.Generator, lean: int = 0) -> bool:
    """Whether the second contender of the pair stands on the left.

    lean: how many more times the first one than the second stood on the left for this rater; 0: drawn.
    """
    return lean > 0 if lean else bool(rng.random() < 0.5)
