"""Which metric agrees with people: single votes predicted, contenders ranked alike, each with its interval.

Source of the two-way variance: Cameron, Gelbach, Miller 2011, J. Business & Economic Statistics 29; of the
pigeonhole bootstrap: Owen 2007, Annals of Applied Statistics 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics.feature_rows import Array
from bench.records import Battle, PeopleAgreement

OVERALL = "overall"
REPLICATES = 500
SIGNS = {"left": 1, "right": -1, "tie": 0}
"""`both_bad` says nothing of which is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one metric says of the contenders, and of each of their images where it speaks of images."""

    metric: str
    fingerprint: str
    sign: int
    """1 where higher is better, else -1."""
    values: Mapping[str, float]
    """By contender; one without a value is left out."""
    images: Mapping[str, Array]
    """By contender (n,), in the order of `keys`; empty for a metric of whole sets."""
    keys: Sequence[tuple[str, int]]
    """prompt_id and replicate of each image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """Votes on one question as columns, between contenders that the metric has a value of."""

    left: Array
    right: Array
    """(n,) number of the contender."""
    sign: Array
    """(n,) 1 left won, -1 right won, 0 a tie."""
    prompt: Array
    rater: Array
    """(n,) numbers."""
    image: Array
    """(n,) row of the shown images in `Judged.keys`; -1 where it was not scored."""
    prompts: tuple[str, ...]
    simulated: bool


def agreements(
    judged: Judged, battles: Sequence[Battle], ratings: Mapping[str, Mapping[str, float]], *, seed: int = 0
) -> list[PeopleAgreement]:
    """A row a question, `overall` first where there are several.

    battles: as the arena resolved them; attention checks, planted repeats and excluded ones do not count.
    ratings: question to contender to rating. A metric of images predicts a vote by the two images shown, one
    of whole sets by the two contenders' values.
    """
    counted = [b for b in battles if b.kind == "vote" and not b.excluded and b.outcome in SIGNS]
    questions = sorted({b.question for b in counted})
    asked = [OVERALL, *questions] if len(questions) > 1 else questions
    found = []
    for question in asked:
        mine = [b for b in counted if question in (OVERALL, b.question)]
        found.append(_row(judged, question, mine, ratings.get(question or OVERALL, {}), seed))
    return found


def _row(
    judged: Judged, question: str, battles: Sequence[Battle], ratings: Mapping[str, float], seed: int
) -> PeopleAgreement:
    names = sorted(judged.values)
    votes = _votes(judged, battles, names)
    hits = _hits(judged, votes, names)
    kept = np.isfinite(hits)
    accuracy, low, high, notes = _accuracy(hits[kept], votes.prompt[kept], votes.rater[kept])
    ranks = _ranks(judged, votes, names, ratings, seed)
    kendall, spearman = ranks or ((None, None, None), (None, None, None))
    if ranks is None:
        notes.append("fewer than three rated contenders: no rank correlation")
    if not judged.images:
        notes.append("a number of the whole set: votes predicted by contender, its own uncertainty left out")
    if votes.simulated:
        notes.append("simulated votes")
    return PeopleAgreement(
        metric=judged.metric,
        fingerprint=judged.fingerprint,
        question=question or OVERALL,
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
        kendall=kendall[0],
        kendall_low=kendall[1],
        kendall_high=kendall[2],
        spearman=spearman[0],
        spearman_low=spearman[1],
        spearman_high=spearman[2],
        n=int(kept.sum()),
        note="; ".join(notes),
    )


def _votes(judged: Judged, battles: Sequence[Battle], names: Sequence[str]) -> Votes:
    number = {name: i for i, name in enumerate(names)}
    image = {key: i for i, key in enumerate(judged.keys)}
    kept = [b for b in battles if b.left in number and b.right in number]
    prompts = tuple(dict.fromkeys([*(p for p, _ in judged.keys), *(b.prompt_id for b in kept)]))
    prompt = {name: i for i, name in enumerate(prompts)}
    rater = {name: i for i, name in enumerate(dict.fromkeys(b.rater for b in kept))}
    return Votes(
        left=np.array([number[b.left] for b in kept], int),
        right=np.array([number[b.right] for b in kept], int),
        sign=np.array([SIGNS[b.outcome] for b in kept], int),
        prompt=np.array([prompt[b.prompt_id] for b in kept], int),
        rater=np.array([rater[b.rater] for b in kept], int),
        image=np.array([image.get((b.prompt_id, b.replicate), -1) for b in kept], int),
        prompts=prompts,
        simulated=any(b.simulated for b in kept),
    )


def _hits(judged: Judged, votes: Votes, names: Sequence[str]) -> Array:
    """(n,) 1 the metric scores the winner higher, 0 lower, ½ alike; nan: a tie, or an image not scored."""
    if judged.images:
        table = np.stack([judged.images[name] for name in names])
        difference = table[votes.left, votes.image] - table[votes.right, votes.image]
        difference[votes.image < 0] = np.nan
    else:
        values = np.array([judged.values[name] for name in names])
        difference = values[votes.left] - values[votes.right]
    hits = (1 + np.sign(judged.sign * difference) * votes.sign) / 2
    hits[votes.sign == 0] = np.nan
    return hits


def _accuracy(
    hits: Array, prompt: Array, rater: Array
) -> tuple[float | None, float | None, float | None, list[str]]:
    """Mean and its two-way clustered interval: each dimension G/(G-1), never below the vote-level variance,
    Student's t with min(G) - 1 degrees of freedom."""
    from scipy.stats import t

    if not len(hits):
        return None, None, None, ["no decided vote on images that were scored"]
    mean = float(hits.mean())
    clusters = min(len(np.unique(prompt)), len(np.unique(rater)))
    if clusters < 2:
        return mean, None, None, ["one prompt or one rater: no interval"]
    rest = hits - mean
    both = np.unique(np.column_stack([prompt, rater]), axis=0, return_inverse=True)[1].ravel()
    variance = _meat(rest, prompt) + _meat(rest, rater) - _meat(rest, both)
    error = np.sqrt(max(variance, np.square(rest).sum())) / len(hits) * t.ppf(0.975, clusters - 1)
    return mean, max(0.0, mean - float(error)), min(1.0, mean + float(error)), []


def _meat(rest: Array, labels: Array) -> float:
    sums = np.bincount(labels, rest)
    groups = len(np.unique(labels))
    return float(np.square(sums).sum()) * (groups / (groups - 1) if groups > 1 else 1)


Interval = tuple[float | None, float | None, float | None]


def _ranks(
    judged: Judged, votes: Votes, names: Sequence[str], ratings: Mapping[str, float], seed: int
) -> tuple[Interval, Interval] | None:
    """Kendall's tau-b and Spearman's rho with the ratings, with percentiles of a bootstrap that draws
    prompts and raters, refits the ratings and averages the metric's images anew."""
    rated = [i for i, name in enumerate(names) if name in ratings]
    if len(rated) < 3:
        return None
    values = judged.sign * np.array([judged.values[names[i]] for i in rated])
    people = np.array([ratings[names[i]] for i in rated])
    point = rank_correlations(values[None], people[None])
    drawn = _drawn(judged, votes, names, rated, seed)
    found = []
    for value, resampled in zip(point, rank_correlations(*drawn), strict=True):
        resampled = resampled[np.isfinite(resampled)]
        ends = np.percentile(resampled, [2.5, 97.5]).tolist() if len(resampled) > 1 else [None, None]
        found.append((float(value[0]) if np.isfinite(value[0]) else None, *ends))
    return found[0], found[1]


def _drawn(
    judged: Judged, votes: Votes, names: Sequence[str], rated: Sequence[int], seed: int
) -> tuple[Array, Array]:
    """(REPLICATES, contenders) of the metric, signed, and of the refitted ratings."""
    random = np.random.default_rng(seed)
    prompts, raters = len(votes.prompts), int(votes.rater.max()) + 1
    w_prompt = random.multinomial(prompts, np.full(prompts, 1 / prompts), REPLICATES).astype(float)
    w_rater = random.multinomial(raters, np.full(raters, 1 / raters), REPLICATES).astype(float)
    wins = np.zeros((REPLICATES, len(names) ** 2))
    for sign, share in ((1, 1.0), (-1, 1.0), (0, 0.5)):
        mine = votes.sign == sign
        weight = share * w_prompt[:, votes.prompt[mine]] * w_rater[:, votes.rater[mine]]
        a, b = votes.left[mine], votes.right[mine]
        for first, second in ((a, b), (b, a)) if sign == 0 else ((a, b) if sign == 1 else (b, a),):
            np.add.at(wins.T, first * len(names) + second, weight.T)
    people = strengths(wins.reshape(REPLICATES, len(names), len(names)))[:, rated]
    if not judged.images:
        fixed = judged.sign * np.array([judged.values[names[i]] for i in rated])
        return np.tile(fixed, (REPLICATES, 1)), people
    number = {name: i for i, name in enumerate(votes.prompts)}
    weight = w_prompt[:, [number[prompt] for prompt, _ in judged.keys]]
    table = judged.sign * np.stack([judged.images[names[i]] for i in rated])
    return weight @ table.T / weight.sum(1, keepdims=True).clip(1e-9), people


def strengths(wins: Array, steps: int = 200, prior: float = 0.1) -> Array:
    """(b, c) log strengths of Bradley and Terry from (b, c, c) wins of row over column, ties halved.

    `prior` wins of everybody over everybody keep a resample's strengths finite. Minorise-maximise: Hunter
    2004, Annals of Statistics 32.
    """
    wins = wins + prior * (1 - np.eye(wins.shape[1]))
    games = wins + wins.transpose(0, 2, 1)
    won, strength = wins.sum(2), np.ones(wins.shape[:2])
    for _ in range(steps):
        strength = won / (games / (strength[:, :, None] + strength[:, None, :])).sum(2)
        strength /= np.exp(np.log(strength).mean(1, keepdims=True))
    return np.log(strength)


def rank_correlations(x: Array, y: Array) -> tuple[Array, Array]:
    """(b, c) and (b, c) to Kendall's tau-b and Spearman's rho of each row; nan where one does not vary."""
    from scipy.stats import rankdata

    i, j = np.triu_indices(x.shape[1], 1)
    p, q = np.sign(x[:, i] - x[:, j]), np.sign(y[:, i] - y[:, j])
    r, s = (rankdata(part, axis=1) for part in (x, y))
    r, s = r - r.mean(1, keepdims=True), s - s.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = (p * q).sum(1) / np.sqrt(np.abs(p).sum(1) * np.abs(q).sum(1))
        rho = (r * s).sum(1) / np.sqrt(np.square(r).sum(1) * np.square(s).sum(1))
    return tau, rho
