"""Who takes part, in SQL: raters, invites, and the panel ids that can be forgotten.

Every function works within the transaction of the connection it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from arena.db import queries
from arena.db.schema import as_stored, assignments, invites, panels, raters


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
        )
    )


def forget(db: Connection, who: str | None) -> int:
    """Erase the panel ids of one participant (or rater id), or of everybody; rows erased."""
    query = delete(panels)
    if who is not None:
        query = query.where(or_(panels.c.participant == who, panels.c.rater_id == who))
    return db.execute(query).rowcount
