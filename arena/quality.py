"""Which raters' votes count: attention checks, repeats, speed and sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from arena.db.rows import Logged
from arena.db.vote_log import standing

FAST_SECONDS = 0.6
FAST_VOTES = 10
SAME_SHARE = 0.95
SAME_VOTES = 20
MIN_CHECKS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What is known about one rater's care."""

    rater: str
    group: str
    votes: int
    checks_passed: int
    checks_failed: int
    checks_unverified: int
    """Checks that could not run; never held against the rater."""
    repeats: int
    repeats_same: int
    median_seconds: float | None
    same_side: float
    """Share of the commonest answer by side, 0 to 1."""
    excluded: str
    """Reason, or empty."""

    @property
    def verdict(self) -> str:
        if self.excluded:
            return self.excluded
        return "verified" if self.checks_passed + self.checks_failed >= MIN_CHECKS else "unverified"


def trust(rows: Iterable[Logged], unverified: Mapping[str, int]) -> list[Trust]:
    """One entry a rater, by rater id; `unverified`: rater → checks that could not run."""
    answers = standing(rows)
    by_rater: dict[str, list[Logged]] = {}
    by_assignment = {row.assignment_id: row for row in answers}
    for row in answers:
        by_rater.setdefault(row.rater_id, []).append(row)
    result = []
    for rater_id in sorted(by_rater):
        mine = by_rater[rater_id]
        checks = [row for row in mine if row.kind == "check"]
        passed = sum(row.answer == row.expected for row in checks)
        again = [(row, by_assignment[row.repeats]) for row in mine if row.repeats in by_assignment]
        counted = [row for row in mine if row.kind == "vote"]
        times = [row.seconds for row in counted if row.seconds is not None]
        sides = [row.answer for row in counted]
        same = max((sides.count(s) for s in set(sides)), default=0) / max(len(sides), 1)
        typical = median(times) if times else None
        result.append(
            Trust(
                rater=rater_id,
                group=mine[0].group_label,
                votes=len(counted),
                checks_passed=passed,
                checks_failed=len(checks) - passed,
                checks_unverified=unverified.get(rater_id, 0),
                repeats=len(again),
                repeats_same=sum(_winner(row) == _winner(before) for row, before in again),
                median_seconds=typical,
                same_side=same,
                excluded=_reason(passed, len(checks), typical, len(times), same, len(sides)),
            )
        )
    return result


def _winner(row: Logged) -> str:
    return {"left": row.left, "right": row.right}.get(row.answer, row.answer)


def _reason(passed: int, checks: int, typical: float | None, timed: int, same: float, answered: int) -> str:
    if checks >= MIN_CHECKS and passed * 2 < checks:
        return "failed attention checks"
    if typical is not None and timed >= FAST_VOTES and typical < FAST_SECONDS:
        return "answered too fast"
    if answered >= SAME_VOTES and same >= SAME_SHARE:
        return "always the same answer"
    return ""
