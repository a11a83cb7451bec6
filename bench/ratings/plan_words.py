"""A plan (`bench.ratings.planning`) in sentences."""

from __future__ import annotations

from bench.ratings.designs import PlannedDesign
from bench.ratings.planning import Plan, PlanCheck


def sentences(planned: Plan) -> list[str]:
    """The plan in words, most important first."""
    lines = [_answer(planned)]
    if planned.likely_votes is not None:
        lines.append(_likely(*planned.likely_votes))
    if planned.designs:
        best = planned.designs[0]
        if planned.answer is None or best.money < 0.98 * planned.answer.money:
            lines.append(f"Cheapest: {_design(best, planned)}.")
    lines.append(
        f"The textbook's {planned.independent_per_pair:,} votes a comparison suppose independent votes, no ties and "
        "one comparison"
        + (f"; this plan takes {planned.inflation:.1f} times as many." if planned.inflation else ".")
    )
    if planned.asked_votes is not None and planned.asked_power is not None:
        smallest = (
            f"the smallest win rate shown in {planned.target_power:.0%} of studies is {planned.asked_rate:.1%}"
            if planned.asked_rate
            else "no win rate below 99% is"
        )
        lines.append(
            f"As written, the study asks for {planned.asked_votes:,} votes a question: {planned.asked_power:.0%} of "
            f"such studies would show {planned.rate:.1%}; {smallest}."
        )
    if planned.check is not None:
        lines.append(_check(planned.check))
    return lines


def _answer(planned: Plan) -> str:
    what = f"{planned.rate:.1%} against {1 - planned.rate:.1%} in {planned.target_power:.0%} of studies"
    over = (
        f"{planned.comparisons} comparisons of {planned.contenders} contenders at once"
        if planned.comparisons > 1
        else "one comparison"
    )
    if planned.answer is not None:
        return f"To show {what} ({over}): {_design(planned.answer, planned)}."
    return (
        f"With {planned.prompts:,} prompts no number of votes shows {what} ({over}): at most "
        f"{planned.ceiling:.0%}. Take more prompts; raters and votes do not make up for them."
    )


def _likely(low: int | None, high: int | None) -> str:
    if low is None:
        return "By what the pilot leaves open, 90%: no number of votes on these prompts suffices."
    most = f"to {high:,}" if high is not None else "to more than these prompts allow"
    return f"By what the pilot leaves open, 90%: {low:,} {most} votes a question."


def _check(check: PlanCheck) -> str:
    if check.votes_low and check.votes_high:
        interval = f"between {check.votes_low:,} and {check.votes_high:,}"
    else:
        interval = f"at {check.votes_low:,} or more" if check.votes_low else "beyond what these prompts allow"
    return (
        f"Checked by {check.repeats} simulated studies of that design: {check.power:.0%} showed it "
        f"[{check.power_low:.0%}, {check.power_high:.0%}], which puts the votes needed on a question {interval}."
    )


def _design(design: PlannedDesign, planned: Plan) -> str:
    a_question = " a question" if planned.questions > 1 else ""
    a_comparison = (
        f" ({design.votes / planned.comparisons:,.0f} a comparison)" if planned.comparisons > 1 else ""
    )
    return (
        f"{design.prompts:,} prompts: {design.votes:,} votes{a_question}{a_comparison} by {design.raters:,} raters of "
        f"{design.votes_per_rater} answers; {design.hours:,.0f} hours, {design.money:,.0f} in pay"
    )
