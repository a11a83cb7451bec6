"""What the quality rules, and a person who looked at a check, do to a rater's votes while the study runs."""

from __future__ import annotations

from arena.db import raters
from arena.db.assignments import Transaction
from arena.db.database import VoteDatabase
from arena.quality import Exclusion, RaterQuality, rater_quality
from bench.errors import InputError


def judge(database: VoteDatabase, exclusion: Exclusion, rater_id: str) -> bool:
    """Whether the study's rules exclude the rater by now; if so, the rater's slots return to the pool."""
    with database.reading() as tx:
        about = _about(tx, exclusion, rater_id)
    if about is None or not about.careless:
        return False
    with database.writing() as tx:
        rater = raters.rater(tx.db, rater_id, lock=True)
        if rater is not None and not rater.standing:
            tx.release(rater_id, standing="careless", reason=about.excluded)
    return True


def set_check_aside(
    database: VoteDatabase, exclusion: Exclusion, assignment_id: int, reason: str, *, now: float
) -> bool:
    """Hold a failed attention check no longer against its rater; whether the rater's votes count again by that.

    Raises InputError: there is no such check.
    """
    with database.writing() as tx:
        one = tx.find(assignment_id)
        if one is None or one.kind != "check":
            raise InputError(f"assignment {assignment_id} is no attention check: `arena checks` lists them")
        raters.set_check_aside(tx.db, one.id, reason=reason[:200], now=now)
        rater = raters.rater(tx.db, one.rater_id, lock=True)
        about = _about(tx, exclusion, one.rater_id)
        if rater is None or rater.standing != "careless" or (about is not None and about.careless):
            return False
        tx.reinstate(one.rater_id, standing="", reason="")
        return True


def _about(tx: Transaction, exclusion: Exclusion, rater_id: str) -> RaterQuality | None:
    aside = raters.checks_set_aside(tx.db)
    return next(iter(rater_quality(tx.log(rater_id), {}, {}, exclusion, aside)), None)
