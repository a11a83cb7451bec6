"""Reports about images, in SQL: what raters said is wrong with a picture.

Every function works within the transaction of the connection it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from arena.db.schema import assignments, reports


def add_report(db: Connection, assignment_id: int, *, reason: str, side: str, now: float) -> None:
    row = {"assignment_id": assignment_id, "reason": reason, "comment": side, "created": now}
    db.execute(insert(reports).values(**row))


def all_reports(db: Connection) -> Sequence[Row[Any]]:
    """Reason, side (`comment`), time, and the assignment's contenders, prompt and replicate; newest first."""
    shown = (assignments.c[name] for name in ("question", "prompt_id", "replicate", "left", "right"))
    changes = (assignments.c.left_change, assignments.c.right_change)
    query = select(reports, *shown, *changes, assignments.c.rater_id)
    joined = query.join(assignments, reports.c.assignment_id == assignments.c.id)
    return db.execute(joined.order_by(reports.c.created.desc(), reports.c.id.desc())).all()
