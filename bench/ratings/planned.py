"""What was planned before the first vote, and how it came out; all else in a ratings document was not planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.ratings.analysis_rows import PlanBlock, PlannedRow
from bench.ratings.document import OVERALL, QuestionRatings, RatingsDocument
from bench.ratings.options import Options
from bench.ratings.sensitivity import Mix
from bench.ratings.stopping import holm

LEVEL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenPlan:
    """analysis.json."""

    plan: dict[str, Any]
    """`analysis`: the study file's section; and what else decides which votes are counted and compared."""
    sha256: str
    """Of the plan's canonical JSON."""
    frozen: str
    """When, ISO 8601, UTC."""
    votes: int
    """In the database at that moment; 0: before the first vote."""
    changed: tuple[str, ...] = ()
    """Keys in which the study file has since been edited; not part of the file."""

    @property
    def analysis(self) -> Mapping[str, Any]:
        return self.plan["analysis"]


def as_planned(options: Options, plan: FrozenPlan, *, weights: str | None, margin: float | None) -> Options:
    """The options with the plan's weights, margin and mix where the caller gave none."""
    analysis = plan.analysis
    return replace(
        options,
        weights=weights or analysis["weights"],
        margin=analysis["margin"] if margin is None else margin,
        mix=Mix(prompts=analysis.get("prompt_mix") or {}, raters=analysis.get("rater_mix") or {}),
    )


def plan_block(document: RatingsDocument, plan: FrozenPlan) -> PlanBlock:
    """The planned comparisons in a document, primary first, and where the document departs from the plan."""
    analysis = plan.analysis
    question = analysis.get("question") or OVERALL
    part = document.questions.get(question)
    named = [(pair, True) for pair in [analysis.get("primary")] if pair]
    named += [(pair, False) for pair in analysis.get("secondary") or ()]
    notes = list(_departures(document, analysis))
    if plan.votes:
        notes.append(f"frozen when {plan.votes} votes were there already: not a plan made before the data")
    if plan.changed:
        notes.append(
            f"edited in the study file since it was frozen, which changes nothing: {', '.join(plan.changed)}"
        )
    rows: list[PlannedRow] = []
    if part is None:
        notes.append(f"no votes on the planned question '{question}' yet")
    else:
        for (a, b), primary in named:
            row = _row(part, a, b, primary=primary)
            if row is None:
                notes.append(f"no votes yet on {a} against {b}")
            else:
                rows.append(row)
    return PlanBlock(
        sha256=plan.sha256,
        frozen=plan.frozen,
        votes_before=plan.votes,
        question=question,
        correction=str(analysis.get("correction")),
        rows=tuple(_judged(row) for row in _adjusted(rows, str(analysis.get("correction")))),
        notes=tuple(notes),
    )


def _departures(document: RatingsDocument, analysis: Mapping[str, Any]) -> list[str]:
    used = document.method.get("options", {})
    return [
        f"{key} is {used[key]} here, {analysis[key]} in the plan"
        for key in ("weights", "margin")
        if key in used and key in analysis and used[key] != analysis[key]
    ]


def _row(part: QuestionRatings, a: str, b: str, *, primary: bool) -> PlannedRow | None:
    """From the view of a, whichever way round the pair is stored; None: the pair has no votes that compare."""
    for win in part.win_rates:
        if {win.a, win.b} == {a, b} and win.rate is not None and win.low is not None and win.high is not None:
            same = win.a == a
            row = PlannedRow(
                a=a,
                b=b,
                primary=primary,
                rate=win.rate if same else 1 - win.rate,
                low=win.low if same else 1 - win.high,
                high=win.high if same else 1 - win.low,
                n=win.n or 0,
                p=win.p,
            )
            for test in part.equivalence:
                if {test.a, test.b} == {a, b}:
                    not_worse = test.p_a_not_worse if test.a == a else test.p_b_not_worse
                    row = replace(
                        row, margin=test.margin, p_not_worse=not_worse, p_equivalent=test.p_equivalent
                    )
            return row
    return None


def _adjusted(rows: list[PlannedRow], correction: str) -> list[PlannedRow]:
    """The primary comparison is tested alone; the secondary ones are adjusted among themselves."""
    others = [place for place, row in enumerate(rows) if not row.primary and row.p is not None]
    result = [replace(row, p_adjusted=row.p) for row in rows]
    if correction == "holm" and others:
        adjusted = holm(np.array([rows[place].p for place in others], np.float64))
        for place, p in zip(others, adjusted.tolist(), strict=True):
            result[place] = replace(rows[place], p_adjusted=p)
    return result


def _judged(row: PlannedRow) -> PlannedRow:
    if row.p_adjusted is not None and row.p_adjusted < LEVEL:
        return replace(row, verdict="better" if row.rate > 0.5 else "worse")
    if row.p_equivalent is not None and row.p_equivalent < LEVEL:
        return replace(row, verdict="equivalent")
    if row.p_not_worse is not None and row.p_not_worse < LEVEL:
        return replace(row, verdict="not worse")
    return replace(row, verdict="open")
