"""What scores.json says as rows for the terminal: a metric and a contender each, with who agrees beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.records import PeopleAgreement, Score, from_dict


def score_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """document: scores.json."""
    people = [from_dict(PeopleAgreement, row, "scores.json") for row in document.get("agreement", [])]
    rows = []
    for score in (from_dict(Score, row, "scores.json") for row in document["rows"]):
        row = {
            "metric": f"{score.metric} {'↑' if score.higher_is_better else '↓'}",
            "contender": score.contender,
            "value": "-" if score.value is None else f"{score.value:.4g}",
            "95%": _span(score.low, score.high),
            "N": score.n,
        }
        if people:
            row["people"] = _agreement(score, people)
        rows.append(row | {"note": score.note})
    return rows


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _agreement(score: Score, people: Sequence[PeopleAgreement]) -> str:
    """Share of single votes the metric predicts, and Kendall's rank correlation of its contenders with their
    ratings, over all questions where there are several."""
    mine = [row for row in people if row.fingerprint == score.fingerprint and row.accuracy is not None]
    if not mine:
        return ""
    first = mine[0]
    assert first.accuracy is not None
    ends = ""
    if first.accuracy_low is not None and first.accuracy_high is not None:
        ends = f" ({100 * first.accuracy_low:.0f} to {100 * first.accuracy_high:.0f})"
    told = f"{100 * first.accuracy:.0f}%{ends} of {first.n} votes"
    if first.kendall is None:
        return told
    ends = "" if first.kendall_low is None else f" ({first.kendall_low:.2f} to {first.kendall_high:.2f})"
    return f"{told}, τ {first.kendall:.2f}{ends}"
