"""Who takes part, in SQL: raters, invites, and the panel ids that can be forgotten.

Every function works within the transaction of the connection it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, inspect, or_, select, update

from arena.db import queries
from arena.db.schema import (
    as_stored,
    assignments,
    invites,
    panels,
    participant_lists,
    raters,
    session_codes,
    set_aside,
)


def add_rater(db: Connection, rater_id: str, *, now: float, group: str = "", simulated: bool = False) -> None:
    db.execute(insert(raters).values(id=rater_id, created=now, group_label=group, simulated=simulated))


def rater(db: Connection, rater_id: str, *, lock: bool = False) -> Row[Any] | None:
    return db.execute(queries.RATER_LOCKED if lock else queries.RATER, {"p_rater": rater_id}).first()


def all_raters(db: Connection) -> Sequence[Row[Any]]:
    stored = as_stored(db, raters)
    return db.execute(select(*stored.values()).order_by(raters.c.created, raters.c.id)).all()


def unverified_checks(db: Connection) -> dict[str, int]:
    """rater → attention checks that could not run, because a picture could not be shown."""
    query = (
        select(assignments.c.rater_id, func.count())
        .where(assignments.c.kind == "check", assignments.c.state == "skipped")
        .group_by(assignments.c.rater_id)
    )
    return {rater_id: count for rater_id, count in db.execute(query)}


def checks_set_aside(db: Connection) -> frozenset[int]:
    """Assignments that a person does not hold against their rater; none in a database of an earlier revision."""
    if not inspect(db).has_table(set_aside.name):
        return frozenset()
    return frozenset(db.scalars(select(set_aside.c.assignment_id)))


def set_check_aside(db: Connection, assignment_id: int, *, reason: str, now: float) -> None:
    db.execute(delete(set_aside).where(set_aside.c.assignment_id == assignment_id))
    db.execute(insert(set_aside).values(assignment_id=assignment_id, reason=reason, created=now))


def add_invite(db: Connection, code_hash: str, *, label: str, uses: int) -> None:
    db.execute(insert(invites).values(code_hash=code_hash, label=label, uses=uses, used=0))


def use_invite(db: Connection, code_hash: str) -> str | None:
    """Take one use; the label, or None where the code is unknown or used up."""
    mine = invites.c.code_hash == code_hash
    taken = db.execute(
        update(invites).where(mine, invites.c.used < invites.c.uses).values(used=invites.c.used + 1)
    )
    return db.scalar(select(invites.c.label).where(mine)) if taken.rowcount else None


def panel_rater(db: Connection, provider: str, participant: str) -> str | None:
    mine = (panels.c.provider == provider, panels.c.participant == participant)
    return db.scalar(select(panels.c.rater_id).where(*mine))


def add_panel(
    db: Connection,
    *,
    provider: str,
    participant: str,
    panel_study: str,
    panel_session: str,
    salt: str,
    rater_id: str,
    verified: str = "",
) -> None:
    """Raises IntegrityError where another server added this participant meanwhile."""
    db.execute(
        insert(panels).values(
            provider=provider,
            participant=participant,
            panel_study=panel_study,
            panel_session=panel_session,
            salt=salt,
            rater_id=rater_id,
            verified=verified,
        )
    )


def set_session(db: Connection, rater_id: str, session_hash: str) -> None:
    db.execute(update(raters).where(raters.c.id == rater_id).values(session_hash=session_hash))


def set_entry(
    db: Connection, rater_id: str, consent: tuple[str, str], declared: Mapping[str, str], language: str
) -> bool:
    """Store what the rater agreed to (version, sha256) and said; False: the rater did so before, and that stays."""
    mine = (raters.c.id == rater_id, raters.c.consent_sha256.is_(None))
    given = {"consent_version": consent[0], "consent_sha256": consent[1], "language": language}
    stored = update(raters).where(*mine).values(declared=dict(declared) or None, **given)
    return bool(db.execute(stored).rowcount)


def count_taking_part(
    db: Connection, column: str, value: str, standings: Sequence[str], *, since: float
) -> int:
    """Raters of a group or language who take part: they gave an answer, or came after `since`."""
    query = (
        select(func.count())
        .select_from(raters)
        .where(
            raters.c[column] == value,
            raters.c.standing.in_(standings),
            or_(raters.c.voted > 0, raters.c.created > since),
        )
    )
    return db.scalar(query) or 0


def set_practice(db: Connection, rater_id: str, result: str) -> None:
    db.execute(update(raters).where(raters.c.id == rater_id).values(practice=result))


def add_session_code(db: Connection, code_hash: str, rater_id: str, *, expires: float) -> None:
    db.execute(insert(session_codes).values(code_hash=code_hash, rater_id=rater_id, expires=expires))


def use_session_code(db: Connection, code_hash: str, *, now: float) -> str | None:
    """Use up a one-time code; its rater, or None where it is unknown, used or expired."""
    mine = session_codes.c.code_hash == code_hash
    rater_id = db.scalar(select(session_codes.c.rater_id).where(mine, session_codes.c.expires >= now))
    used = db.execute(delete(session_codes).where(or_(mine, session_codes.c.expires < now)))
    return rater_id if used.rowcount else None


def listed(db: Connection, provider: str, participant: str) -> str:
    """`in`, `out`, or '' where the participant is on no list."""
    mine = (participant_lists.c.provider == provider, participant_lists.c.participant == participant)
    return db.scalar(select(participant_lists.c.listed).where(*mine)) or ""


def set_listed(db: Connection, provider: str, participants: Iterable[str], listed: str) -> int:
    """Put participants on the list `in` or `out`, from the other if they are there; how many."""
    names = sorted(set(participants))
    for name in names:
        mine = (participant_lists.c.provider == provider, participant_lists.c.participant == name)
        db.execute(delete(participant_lists).where(*mine))
        db.execute(insert(participant_lists).values(provider=provider, participant=name, listed=listed))
    return len(names)


def panel_rows(db: Connection) -> Sequence[Row[Any]]:
    return db.execute(select(panels).order_by(panels.c.provider, panels.c.participant)).all()


def find(db: Connection, who: str) -> list[str]:
    """Rater ids of a panel participant or rater id; several where two panels use one id."""
    found = db.scalars(select(panels.c.rater_id).where(panels.c.participant == who)).all()
    return sorted({*found, *db.scalars(select(raters.c.id).where(raters.c.id == who))})


def forget(db: Connection, who: str | None) -> tuple[int, list[str]]:
    """Erase the panel ids of one participant (or rater id), or of everybody, also from lists of participants.

    Returns
    -------
    Rows erased, and provider with participant of each, one after the other as a SQLite file holds them.
    """
    erased, gone = 0, set[str]()
    for table in (panels, participant_lists):
        query = select(table.c.provider, table.c.participant)
        doomed = delete(table)
        if who is not None:
            mine = table.c.participant == who
            if table is panels:
                mine = or_(mine, panels.c.rater_id == who)
            query, doomed = query.where(mine), doomed.where(mine)
        gone |= {provider + participant for provider, participant in db.execute(query)}
        erased += db.execute(doomed).rowcount
    return erased, sorted(gone)
