"""Where a rater stands: the stage a page shows, and the completion code it owes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from arena.db.assignments import Transaction
from arena.db.rows import Assignment, in_order
from bench.study.file import Arena

TAKES_PART = ("", "kept")
"""Standings of raters who are handed pairs."""
STAGES = {
    "vote": "a pair is there to be judged",
    "wait": "every pair is with another rater just now, and may come back: look again",
    "paused": "the operator paused the study: look again",
    "done": "the rater has answered all that one rater may",
    "full": "the study has every vote it wants, or every rater of the group or language",
    "closed": "the operator closed the study, or the rater left it",
    "screened": "the rater's votes do not count, and no more are asked for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """What a rater has now."""

    stage: str
    """One of STAGES."""
    open: tuple[Assignment, ...]
    """The one to show, then the one to preload."""
    voted: int
    limit: int | None
    can_undo: bool
    code: str
    """Which completion code the rater is owed by now: `completed`, `full`, `screened_out` or ''."""


def owed_code(stage: str, voted: int, limit: int | None, before: str) -> str:
    """Which completion code a rater is owed.

    Parameters
    ----------
    stage: one of STAGES.
    voted: answers given.
    limit: answers asked of one rater; None: no limit.
    before: what was owed so far; `completed` stays.

    Returns
    -------
    `completed`, `full` (the study ended or paused first), `screened_out`, or '' where nothing is owed yet.
    """
    if before == "completed" or stage == "done" or (voted and limit is not None and voted >= limit):
        return "completed" if voted else before
    if stage == "screened":
        return "screened_out"
    if stage in ("full", "closed"):
        return "full"
    return before if stage in ("vote", "wait") or not voted else "full"


def stage_of(
    tx: Transaction,
    settings: Arena,
    rater: Row[Any],
    phase: str,
    held: Sequence[Assignment],
    free: int,
    scenes: Mapping[int, int],
) -> str:
    """The rater's stage, one of STAGES, if nothing more is handed out.

    Parameters
    ----------
    rater: the rater's row.
    phase: of the study.
    held: pairs that the rater has and did not answer.
    free: slots that no rater holds.
    scenes: pair id → prompts and replicates it can be shown on.
    """
    if rater.standing in ("returned", "withdrawn"):
        return "closed"
    if rater.standing == "full":
        return "full"
    if rater.standing not in TAKES_PART:
        return "screened"
    if phase != "open":
        return phase
    if held:
        return "vote"
    limit = settings.limit
    if limit is not None and rater.voted >= limit:
        return "done"
    wanted = [p for p in tx.pairs() if not p.decided and p.voted < p.wanted]
    if not wanted:
        return "full"
    seen = Counter(in_order(a.left, a.right) for a in tx.history(rater.id) if a.kind == "vote")
    new = [p for p in wanted if seen[p.first, p.second] < scenes.get(p.id, 0)]
    return "wait" if new else "done"


def undoable(last: Assignment | None) -> bool:
    """Whether the last answered pair can be opened again: going back is one step, and not twice to one pair."""
    if last is None or last.kind == "practice":
        return False
    return last.state == "voted" and last.revision == 0
