"""Which pair next, on which prompt, which side: pure functions of counters and a seeded generator.

Every choice comes with the probability it had, given everything that was known when it was made. Under
`active` no probability is below epsilon over the number of pairs, so estimates can be reweighted by its
inverse (Horvitz and Thompson 1952). Under `balanced` and `exhaustive` the least-judged pair has all of the
probability; there the design itself is even, and nothing is to be reweighted.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from bench.errors import unknown

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

RULES = ("balanced", "active", "exhaustive")
BLOCK = 10
"""Votes on one question before the other one is asked."""


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
    eligible: Mask,
    gain: Floats | None = None,
    epsilon: float = 0.2,
) -> tuple[int, float] | None:
    """Index of a pair and the probability it had, or None where none is eligible.

    taken: (k,) votes given or handed out. gain: (k,) expected information, `active` only.
    """
    if not eligible.any():
        return None
    if rule == "active":
        if gain is None:
            raise ValueError("active pairing needs the expected information of every pair")
        best = eligible & (gain >= gain[eligible].max() - 1e-12)
        chances = epsilon * eligible / eligible.sum() + (1 - epsilon) * best / best.sum()
    elif rule in RULES:
        best = eligible & (taken == taken[eligible].min())
        chances = best / best.sum()
    else:
        raise unknown("pairing", rule, RULES)
    index = int(rng.choice(len(chances), p=chances / chances.sum()))
    return index, float(chances[index])


def choose_scene(rng: np.random.Generator, *, taken: Ints, eligible: Mask) -> tuple[int, float] | None:
    """A prompt and replicate of the pair: the least judged, drawn evenly among equals."""
    return choose_pair(rng, "balanced", taken=taken, eligible=eligible)


def order_information(mean: Floats, covariance: Floats, first: Ints, second: Ints) -> Floats:
    """(k,) nats one vote on each pair is expected to tell about which of the two is better.

    mean (m,), covariance (m, m): strengths in logits, normal. The mutual information of the vote (left or
    right, Bradley-Terry) and the sign of the difference: H(vote) less E[H(vote | sign)], by quadrature over
    the normal difference. Nought where the order is known, and where the vote would be a coin's.
    """
    centre = mean[first] - mean[second]
    spread = np.sqrt(
        np.maximum(
            covariance[first, first] + covariance[second, second] - 2 * covariance[first, second], 1e-12
        )
    )
    z = np.linspace(-6, 6, 241)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()
    difference = centre[:, None] + spread[:, None] * z
    wins = 1 / (1 + np.exp(-np.clip(difference, -40, 40)))
    ahead = (difference > 0) + 0.5 * (difference == 0)
    share = ahead @ weight
    above = (ahead * wins) @ weight
    total = wins @ weight
    conditional = np.zeros(len(centre))
    for part, joint in ((share, above), (1 - share, total - above)):
        likely = np.divide(joint, part, out=np.full(len(centre), 0.5), where=part > 1e-12)
        conditional += part * _entropy(likely)
    return np.maximum(_entropy(total) - conditional, 0.0)


def _entropy(p: Floats) -> Floats:
    p = np.clip(p, 1e-15, 1 - 1e-15)
    return -(p * np.log(p) + (1 - p) * np.log1p(-p))


def swap_sides(rng: np.random.Generator) -> bool:
    """Whether the second contender of the pair stands on the left."""
    return bool(rng.random() < 0.5)
