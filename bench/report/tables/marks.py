"""Which values of a column are marked: the best, and those that are not shown to be worse than it.

A value is not shown to be worse where the interval of its paired difference from the best includes 0. Without
differences (results of an earlier version) the best is marked only where its own interval is clear of all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.ratings.document import QuestionRatings
from bench.report.results import Results
from bench.report.tables.form import Estimate

Differences = Mapping[tuple[str, str], tuple[float, float]]
"""(a, b) → 95% interval of a minus b, each pair in one order."""


def rating_differences(preference: QuestionRatings) -> Differences:
    """Joint intervals of the differences of ratings, points."""
    return {(row.a, row.b): (row.low, row.high) for row in preference.differences}


def metric_differences(results: Results, metric: str, fingerprint: str) -> Differences:
    """Joint intervals of the paired differences of a metric; empty: scores.json has none."""
    return {
        (row.a, row.b): (row.low, row.high)
        for row in results.differences
        if (row.metric, row.fingerprint) == (metric, fingerprint)
    }


def marked(estimates: Mapping[str, Estimate], differences: Differences, *, up: bool) -> dict[str, Estimate]:
    """The estimates with `best` and `near` set.

    Parameters
    ----------
    estimates : by contender.
    differences : intervals of paired differences between contenders.
    up : higher is better.
    """
    values = {name: e.value if up else -e.value for name, e in estimates.items() if e.value is not None}
    if len(values) < 2:
        return dict(estimates)
    best = max(values, key=lambda name: values[name])
    if not differences:
        clear = _clear(estimates, best, up=up)
        return {name: replace(e, best=clear and name == best) for name, e in estimates.items()}
    return {
        name: replace(e, best=name == best, near=name != best and _includes_zero(differences, best, name))
        for name, e in estimates.items()
    }


def _includes_zero(differences: Differences, a: str, b: str) -> bool:
    interval = differences.get((a, b)) or differences.get((b, a))
    return interval is not None and interval[0] <= 0 <= interval[1]


def _clear(estimates: Mapping[str, Estimate], best: str, *, up: bool) -> bool:
    """Whether the best one's interval is clear of every other's: conservative, paired or not."""
    known = {name: e for name, e in estimates.items() if e.value is not None}
    if any(e.low is None or e.high is None for e in known.values()):
        return False
    edge = known[best].low if up else known[best].high
    others = [e.high if up else e.low for name, e in known.items() if name != best]
    assert edge is not None
    return all(other is not None and (edge > other if up else edge < other) for other in others)
