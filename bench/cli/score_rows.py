"""scores.json as rows for the terminal: a metric and a contender each, and the differences that are real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.records import PeopleAgreement, Score
from bench.store.documents import Scores


def score_rows(scores: Scores) -> list[dict[str, Any]]:
    """A row a metric and contender, with the metric's agreement with people where there are votes."""
    rows = []
    for score in scores.rows:
        row = {
            "metric": f"{score.metric} {'↑' if score.higher_is_better else '↓'}",
            "contender": score.contender,
            "value": "-" if score.value is None else f"{score.value:.4g}",
            "95%": _span(score.low, score.high),
            "N": score.n,
        }
        if scores.agreement:
            row["people"] = _agreement(score, scores.agreement)
        rows.append(row | {"note": score.note})
    return rows


def difference_rows(scores: Scores) -> list[dict[str, Any]]:
    """A row a pair of contenders whose joint interval leaves out 0, the better one first."""
    up = {row.metric: row.higher_is_better for row in scores.rows}
    rows = []
    for row in scores.differences:
        if not row.real:
            continue
        ahead = (row.estimate > 0) == up[row.metric]
        rows.append(
            {
                "metric": f"{row.metric} {'↑' if up[row.metric] else '↓'}",
                "better": row.a if ahead else row.b,
                "worse": row.b if ahead else row.a,
                "by": f"{abs(row.estimate):.4g}",
                "95%, joint": _span(*sorted((abs(row.low), abs(row.high)))),
                "p": f"{row.p:.2g}",
                "prompts": row.prompts,
            }
        )
    return rows


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _agreement(score: Score, people: Sequence[PeopleAgreement]) -> str:
    """Share of single votes the metric predicts, and Kendall's rank correlation of its contenders with their
    ratings, over all questions where there are several."""
    rows = [row for row in people if row.fingerprint == score.fingerprint and row.accuracy is not None]
    if not rows:
        return ""
    first = rows[0]
    assert first.accuracy is not None
    ends = ""
    if first.accuracy_low is not None and first.accuracy_high is not None:
        ends = f" ({100 * first.accuracy_low:.0f} to {100 * first.accuracy_high:.0f})"
    summary = f"{100 * first.accuracy:.0f}%{ends} of {first.n} votes"
    if first.kendall is None:
        return summary
    ends = "" if first.kendall_low is None else f" ({first.kendall_low:.2f} to {first.kendall_high:.2f})"
    return f"{summary}, τ {first.kendall:.2f}{ends}"
