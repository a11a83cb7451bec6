"""Pairs of images by their votes: the clearest, the closest, and those that a metric orders the other way.

A duel is one pair of images of one prompt and replicate; its votes are those of all questions together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bench.report.results import Duel, Results, Tally

SHOWN = 4
"""Duels of each kind on the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One pair of images, seen from the one that was preferred."""

    prompt_id: str
    replicate: int
    liked: str
    """Contender that got more votes; in a draw the one whose name sorts first."""
    other: str
    votes: tuple[int, int, int]
    """For `liked`, for `other`, ties."""
    both_bad: int
    metric: str = ""
    """The metric that prefers `other`; empty: none."""
    values: tuple[float, float] = (0.0, 0.0)
    """What it gave `liked` and `other`."""

    @property
    def n(self) -> int:
        return sum(self.votes)


def clearest(results: Results, count: int = SHOWN) -> list[Verdict]:
    """Most surely decided first: by the lower end of Wilson's interval of the winner's share."""
    rows = [(_certainty(tally), duel, tally) for duel, tally in results.duels.items() if tally.n >= 2]
    return _spread(
        [_verdict(duel, tally) for _, duel, tally in sorted(rows, key=lambda e: (-e[0], e[1]))], count
    )


def certain(results: Results, verdict: Verdict) -> bool:
    """Whether the votes on one pair of images are beyond chance: Wilson's interval excludes one half."""
    a, b = sorted((verdict.liked, verdict.other))
    return _certainty(results.duels[verdict.prompt_id, verdict.replicate, a, b]) > 0.5


def closest(results: Results, count: int = SHOWN) -> list[Verdict]:
    """Nearest to a draw first, those with more votes before those with fewer."""
    rows = [(abs(t.share - 0.5), -t.n, duel) for duel, t in results.duels.items() if t.n >= 2]
    return _spread([_verdict(duel, results.duels[duel]) for _, _, duel in sorted(rows)], count)


def disputed(results: Results, count: int = SHOWN) -> list[Verdict]:
    """Duels in which people went one way and a metric the other: strongest on both sides first.

    A metric's difference counts in standard deviations of that metric's differences over all duels voted on;
    the votes count as the winner's share beyond one half, shrunk by two added votes.
    """
    directions = {(s.metric, s.fingerprint): s.higher_is_better for s in results.scores}
    rows: list[tuple[float, Verdict]] = []
    for metric, values in _image_values(results).items():
        up = directions.get(metric, True)
        gaps = {duel: gap for duel in results.duels if (gap := _gap(values, duel, up)) is not None}
        spread = math.sqrt(sum(gap * gap for gap in gaps.values()) / len(gaps)) if gaps else 0.0
        for duel, gap in gaps.items():
            tally = results.duels[duel]
            margin = (tally.share - 0.5) * tally.n / (tally.n + 2)
            if spread and margin * gap < 0:
                verdict = _verdict(duel, tally, metric[0], values)
                rows.append((abs(margin * gap) / spread, verdict))
    rows.sort(key=lambda e: (-e[0], e[1].prompt_id, e[1].liked, e[1].other, e[1].metric))
    return _spread([verdict for _, verdict in rows], count)


def _image_values(results: Results) -> dict[tuple[str, str], dict[tuple[str, str, int], float]]:
    """Metric and fingerprint → image → value."""
    rows: dict[tuple[str, str], dict[tuple[str, str, int], float]] = {}
    for row in results.image_scores:
        values = rows.setdefault((row.metric, row.fingerprint), {})
        values[row.contender, row.prompt_id, row.replicate] = row.value
    return rows


def _gap(values: dict[tuple[str, str, int], float], duel: Duel, up: bool) -> float | None:
    """How much better the metric finds the first; None where it has no value of both."""
    prompt_id, replicate, a, b = duel
    first, second = values.get((a, prompt_id, replicate)), values.get((b, prompt_id, replicate))
    if first is None or second is None:
        return None
    return first - second if up else second - first


def _certainty(tally: Tally, z: float = 1.959964) -> float:
    share, n = max(tally.share, 1 - tally.share), tally.n
    middle = share + z * z / (2 * n)
    return (middle - z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / (1 + z * z / n)


def _verdict(
    duel: Duel, tally: Tally, metric: str = "", values: dict[tuple[str, str, int], float] | None = None
) -> Verdict:
    prompt_id, replicate, a, b = duel
    liked, other, votes = a, b, (tally.first, tally.second, tally.ties)
    if tally.second > tally.first:
        liked, other, votes = b, a, (tally.second, tally.first, tally.ties)
    pair = (0.0, 0.0)
    if values is not None:
        pair = (values[liked, prompt_id, replicate], values[other, prompt_id, replicate])
    return Verdict(
        prompt_id=prompt_id, replicate=replicate, liked=liked, other=other, votes=votes,
        both_bad=tally.both_bad, metric=metric, values=pair,
    )  # fmt: skip


def _spread(verdicts: list[Verdict], count: int) -> list[Verdict]:
    """The first `count`, a prompt once while there are others."""
    return list(_once(verdicts, count))


def _once(verdicts: list[Verdict], count: int) -> Iterator[Verdict]:
    seen: set[str] = set()
    later: list[Verdict] = []
    for verdict in verdicts:
        if count == 0:
            return
        if verdict.prompt_id in seen:
            later.append(verdict)
            continue
        seen.add(verdict.prompt_id)
        count -= 1
        yield verdict
    yield from later[:count]
