"""What raters say of themselves before the first pair, and whether there is a place for them."""

from __future__ import annotations

from collections.abc import Mapping

from arena.admission import Refused
from arena.db import raters
from arena.db.database import VoteDatabase
from arena.entry.stages import TAKES_PART
from bench.study.file import Arena


def check_declared(settings: Arena, declared: Mapping[str, str]) -> str:
    """Name of the screening question that the rater does not pass; '' where all are passed.

    Raises Refused: a screening question is not answered, or a name is none of the study's.
    """
    questions = {**settings.screening, **settings.demographics}
    for name, answer in declared.items():
        if name not in questions or answer not in questions[name].options:
            raise Refused("bad_request", 422)
    for name, question in settings.screening.items():
        if name not in declared:
            raise Refused("required", 422)
        if declared[name] not in question.accept:
            return name
    return ""


def settle_in(
    database: VoteDatabase,
    settings: Arena,
    rater_id: str,
    *,
    declared: Mapping[str, str],
    failed: str,
    language: str,
    consent: tuple[str, str],
    now: float,
) -> None:
    """Store what a rater agreed to and said, and turn away whom the study does not want. What was stored first stays.

    Parameters
    ----------
    failed: screening question that was not passed, or ''.
    language: of the page.
    consent: version and sha256 of what the rater read.
    """
    with database.writing() as tx:
        tx.lock_entrance()
        if not raters.set_entry(tx.db, rater_id, consent, declared, language):
            return
        if failed:
            tx.release(rater_id, standing="screened", reason=f"screening: {failed}")
            return
        rater = raters.rater(tx.db, rater_id)
        assert rater is not None, "the rater was let in"
        for column, value, places in (
            ("group_label", rater.group_label, settings.quotas.groups),
            ("language", language, settings.quotas.languages),
        ):
            if value in places:
                since = now - 60 * settings.expire_minutes
                taken = raters.count_taking_part(tx.db, column, value, TAKES_PART, since=since)
                if taken > places[value]:  # this rater among them
                    tx.release(rater_id, standing="full", reason=f"quota of {value}")
                    return
