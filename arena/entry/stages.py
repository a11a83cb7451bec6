"""Where a rater stands: the stage a page shows, and the completion code it owes."""

from __future__ import annotations

from dataclasses import dataclass

from arena.db.rows import Assignment

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
