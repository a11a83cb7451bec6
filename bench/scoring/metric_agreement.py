"""Which metric agrees with people: single votes predicted, contenders ranked alike, each with its interval.

Votes predicted are a rate like any other: `bench.ratings.winrates.clustered_rates`. Rank correlations are resampled
with the ratings: `bench.ratings.bootstrap` (pigeonhole bootstrap, Owen 2007, Annals of Applied Statistics 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.errors import InputError
from bench.metrics.feature_rows import Array
from bench.ratings.bootstrap import Bootstrap, cluster_bootstrap
from bench.ratings.fits import count_votes, davidson
from bench.ratings.rater_agreement import agreement
from bench.ratings.vote_table import VoteTable, code_battles, select
from bench.ratings.winrates import clustered_rates
from bench.records import Battle, PeopleAgreement

OVERALL = "overall"
REPLICATES = 500
PENALTY = 0.1
"""Of the refits: a resample in which a contender never lost keeps finite ratings."""
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
    pairs: Mapping[tuple[str, int, str, str], int] = field(default_factory=dict)
    """Of a judge of pairs: prompt_id, replicate and both contenders, in one order, to 1 (the first is better), -1 or
    0; empty for metrics, which speak of single images or of contenders."""


def agreements(
    judged: Judged, battles: Sequence[Battle], ratings: Mapping[str, Mapping[str, float]], *, seed: int = 0
) -> list[PeopleAgreement]:
    """A row a question, `overall` first where there are several.

    battles: as the arena resolved them; attention checks, planted repeats and excluded ones do not count.
    ratings: question to contender to rating. A metric of images predicts a vote by the two images shown, one
    of whole sets by the two contenders' values.
    """
    counted = counted_battles(battles)
    questions = sorted({b.question for b in counted})
    asked = [OVERALL, *questions] if len(questions) > 1 else questions
    found = []
    for question in asked:
        mine = [b for b in counted if question in (OVERALL, b.question)]
        found.append(_row(judged, question, mine, ratings.get(question or OVERALL, {}), seed))
    return found


def counted_battles(battles: Sequence[Battle]) -> list[Battle]:
    """Votes that compare: no attention check, planted repeat, excluded vote or both_bad."""
    return [b for b in battles if b.kind == "vote" and not b.excluded and b.outcome in SIGNS]


def _row(
    judged: Judged, question: str, battles: Sequence[Battle], ratings: Mapping[str, float], seed: int
) -> PeopleAgreement:
    votes = [b for b in battles if b.left in judged.values and b.right in judged.values]
    accuracy: Interval = (None, None, None)
    n, ranks, ceiling = 0, None, None
    notes = ["no decided vote on images that were scored"]
    if votes:
        table = code_battles(votes)
        accuracy, n, notes = _accuracy(table, _hits(judged, votes))
        ranks = _ranks(judged, table, ratings, seed)
        ceiling = agreement(table).ceiling
    kendall, spearman = ranks or ((None, None, None), (None, None, None))
    if ranks is None:
        notes.append("fewer than three rated contenders: no rank correlation")
    else:
        notes.append("ratings and scores are noisy: rank correlations are attenuated")
    if not judged.images and not judged.pairs:
        notes.append("a number of the whole set: votes predicted by contender, its own uncertainty left out")
    if any(b.simulated for b in votes):
        notes.append("simulated votes")
    return PeopleAgreement(
        metric=judged.metric,
        fingerprint=judged.fingerprint,
        question=question or OVERALL,
        accuracy=accuracy[0],
        accuracy_low=accuracy[1],
        accuracy_high=accuracy[2],
        kendall=kendall[0],
        kendall_low=kendall[1],
        kendall_high=kendall[2],
        spearman=spearman[0],
        spearman_low=spearman[1],
        spearman_high=spearman[2],
        n=n,
        note="; ".join(notes),
        ceiling=ceiling,
    )


def _hits(judged: Judged, votes: Sequence[Battle]) -> Array:
    """(n,) 1 the metric scores the winner higher, 0 lower, ½ alike; nan: a tie, or an image not scored."""
    if judged.pairs:
        difference = np.array([_of_pair(judged.pairs, b) for b in votes])
    elif judged.images:
        place = {key: i for i, key in enumerate(judged.keys)}
        image = [place.get((b.prompt_id, b.replicate)) for b in votes]
        difference = np.array(
            [
                np.nan if i is None else judged.images[b.left][i] - judged.images[b.right][i]
                for b, i in zip(votes, image, strict=True)
            ]
        )
    else:
        difference = np.array([judged.values[b.left] - judged.values[b.right] for b in votes])
    sign = np.array([SIGNS[b.outcome] for b in votes])
    hits = (1 + np.sign(judged.sign * difference) * sign) / 2
    hits[sign == 0] = np.nan
    return hits


def _of_pair(pairs: Mapping[tuple[str, int, str, str], int], vote: Battle) -> float:
    """What a judge of pairs says of the two images of a vote: above 0 for the left one; nan: it was not asked."""
    ahead = pairs.get((vote.prompt_id, vote.replicate, vote.left, vote.right))
    if ahead is not None:
        return float(ahead)
    behind = pairs.get((vote.prompt_id, vote.replicate, vote.right, vote.left))
    return np.nan if behind is None else -float(behind)


Interval = tuple[float | None, float | None, float | None]


def _accuracy(table: VoteTable, hits: Array) -> tuple[Interval, int, list[str]]:
    """Mean with its clustered interval, votes behind it, and notes."""
    scored = np.isfinite(hits)
    n = int(scored.sum())
    if not n:
        return (None, None, None), 0, ["no decided vote on images that were scored"]
    decided = select(table, scored)
    for name, labels in (("prompt", decided.prompt), ("rater", decided.rater)):
        if labels is None or len(np.unique(labels)) < 2:
            return (float(hits[scored].mean()), None, None), n, [f"one {name}, or none known: no interval"]
    rates = clustered_rates(decided, np.zeros(n, np.int64), hits[scored], 1)
    return (float(rates.rate[0]), float(rates.low[0]), float(rates.high[0])), n, []


def _ranks(
    judged: Judged, table: VoteTable, ratings: Mapping[str, float], seed: int
) -> tuple[Interval, Interval] | None:
    """Kendall's tau-b and Spearman's rho with the ratings, with percentiles of a bootstrap that draws
    prompts and raters, refits the ratings and averages the metric's images anew."""
    rated = [name for name in table.contenders if name in ratings]
    if len(rated) < 3:
        return None
    values = judged.sign * np.array([judged.values[name] for name in rated])
    people = np.array([ratings[name] for name in rated])
    points = rank_correlations(values[None], people[None])
    replicates = _resampled(judged, table, rated, seed)
    intervals = []
    for point, drawn in zip(points, replicates or ((), ()), strict=True):
        drawn = np.asarray(drawn, np.float64)
        drawn = drawn[np.isfinite(drawn)]
        ends = np.quantile(drawn, [0.025, 0.975]).tolist() if len(drawn) > 1 else [None, None]
        intervals.append((float(point[0]) if np.isfinite(point[0]) else None, *ends))
    return intervals[0], intervals[1]


def _resampled(
    judged: Judged, table: VoteTable, rated: Sequence[str], seed: int
) -> tuple[Array, Array] | None:
    """Both rank correlations of each replicate; None where the votes allow no ratings."""
    try:
        fit = davidson(table.contenders, count_votes(table), position=False, penalty=PENALTY)
    except InputError:
        return None
    drawn = cluster_bootstrap(fit, table, replicates=REPLICATES, seed=seed, workers=1)
    people = drawn.strength[:, [table.contenders.index(name) for name in rated]]
    if not judged.images:
        fixed = judged.sign * np.array([judged.values[name] for name in rated])
        return rank_correlations(np.tile(fixed, (len(people), 1)), people)
    scores = judged.sign * np.stack([judged.images[name] for name in rated])
    weight = _image_weights(judged, table, drawn, seed)
    return rank_correlations(weight @ scores.T / weight.sum(1, keepdims=True).clip(1e-9), people)


def _image_weights(judged: Judged, table: VoteTable, drawn: Bootstrap, seed: int) -> Array:
    """(replicates, images) how often each image's prompt was drawn; prompts without votes are drawn apart."""
    replicates = len(drawn.strength)
    place = {}
    if drawn.prompts is not None and table.prompt is not None:
        place = {table.prompts[code]: i for i, code in enumerate(np.unique(table.prompt).tolist())}
    others = sorted({prompt for prompt, _ in judged.keys} - set(place))
    apart = np.zeros((replicates, 0))
    if others:
        rng = np.random.default_rng([seed, 1])
        apart = rng.multinomial(len(others), np.full(len(others), 1 / len(others)), replicates)
    voted = np.zeros((replicates, 0)) if drawn.prompts is None else drawn.prompts
    column = place | {prompt: voted.shape[1] + i for i, prompt in enumerate(others)}
    return np.hstack([voted, apart])[:, [column[prompt] for prompt, _ in judged.keys]]


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
