"""What the screen did to the answers: the position effect by arrangement; seven-point answers taken as ordered."""

from __future__ import annotations

from bench.ratings.document import OVERALL, PositionEffect, QuestionRatings
from bench.ratings.ordinal import POINTS, SevenPoints
from bench.report.results import Results
from bench.report.tables.form import UP, Cell, Column, Estimate, Table, decimals
from bench.report.tables.votes import asked_parts, ratings_of, scale

SHOWN = {"": "all votes", "beside": "side by side", "stacked": "stacked"}
ANSWERS = ("much better", "better", "slightly better")


def all_of(results: Results) -> list[Table | None]:
    """The position effects, and a table for each seven-point question."""
    parts = asked_parts(results)
    asked = [part for part in parts if part.question != OVERALL] or parts
    return [position_table(results), *(seven_point_table(results, part) for part in asked)]


def position_table(results: Results) -> Table | None:
    """For each question, and each arrangement of the pictures: the share of left, and the effect that is fitted."""
    rows: list[tuple[Cell, ...]] = []
    for part in asked_parts(results):
        effects = {"": part.position_effect, **part.position_by_arrangement}
        for name, effect in effects.items():
            if effect is not None and effect.n:
                rows.append((part.question, SHOWN.get(name, name), _share(effect), _logits(effect)))
    if not rows:
        return None
    return Table(
        name="position",
        title="Position effect: the left picture's advantage for being left",
        columns=(
            Column(head="Question"),
            Column(head="Pictures"),
            Column(head="Left", unit="%", digits=decimals([row[2] for row in rows], most=1)),
            Column(head="Effect", unit="logits", digits=decimals([row[3] for row in rows], most=3)),
        ),
        rows=tuple(rows),
        notes=(
            "Left: share of the votes for one side that chose the left picture, or the upper one where they are "
            "stacked. Effect: the same with the contenders' strengths taken out; 0 is none. The ratings use that of "
            "all votes. Each row is fitted on its own votes; 95% intervals.",
        ),
    )


def _share(effect: PositionEffect) -> Estimate:
    low, high = effect.left_low, effect.left_high
    return Estimate(
        value=None if effect.left_rate is None else 100 * effect.left_rate,
        low=None if low is None else 100 * low,
        high=None if high is None else 100 * high,
        n=effect.n,
    )


def _logits(effect: PositionEffect) -> Estimate:
    return Estimate(value=effect.logits, low=effect.low, high=effect.high, n=effect.n)


def seven_point_table(results: Results, part: QuestionRatings) -> Table | None:
    """Ratings from all seven points beside those from left, tie and right."""
    ordered = part.seven_points
    if ordered is None:
        return None
    collapsed = ratings_of(part)
    rated = [
        (row.contender, Estimate(value=row.rating, low=row.low, high=row.high, n=row.n))
        for row in ordered.ratings
    ]
    rows = tuple((name, estimate, collapsed.get(name)) for name, estimate in rated)
    digits = decimals([cell for row in rows for cell in row[1:]], most=1)
    return Table(
        name=f"seven-points-{part.question}",
        title=f"Seven points: {part.question}",
        columns=(
            Column(head="Contender"),
            Column(head="Rating, ordered", direction=UP, digits=digits),
            Column(head="Rating, collapsed", direction=UP, digits=digits),
        ),
        rows=rows,
        notes=(
            _counted(ordered),
            *([ordered.note] if ordered.note else []),
            f"{_models()} {scale(results.anchor)}",
        ),
    )


def _counted(ordered: SevenPoints) -> str:
    words = [f"left {words}" for words in ANSWERS] + ["no difference"]
    words += [f"right {words}" for words in reversed(ANSWERS)]
    counts = dict(zip(POINTS, ordered.votes, strict=True))
    answers = (f"{name} {counts[point]:,}" for name, point in zip(words, POINTS, strict=True))
    return f"{ordered.n:,} answers: {', '.join(answers)}."


def _models() -> str:
    return (
        "Ordered: cumulative logits over the seven points, thresholds mirrored left and right (Agresti 1992). "
        "Collapsed: left, no difference, right, as in the leaderboard. Both stand on scales of their own, so compare "
        "orders and signs, not widths."
    )
