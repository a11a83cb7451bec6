"""Proof that no vote was changed, added or removed: the whole database against its chain, and anchors outside of it.

What the database alone can prove ends where an attacker has the server's key, or puts an older copy of the whole
database in place: both pass `verify_database`. An anchor that a third party holds shows either of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from arena.db import raters as register
from arena.db.assignments import Transaction
from arena.db.database import VoteDatabase
from arena.db.rows import Logged
from arena.db.schema import assignments, cells
from arena.db.vote_log import GENESIS, Images, head_seal, image_changed, standing, verify_chain
from bench.errors import InputError
from bench.records import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The head of the log at one time, for a third party to keep."""

    study: str
    votes: int
    """Rows in the log, undos included."""
    head: str
    """Hash of the last of them: 64 hex digits."""
    time: str
    """ISO 8601, UTC, by this machine's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was verified."""

    rows: int
    """Votes and undos in the chain."""
    images_changed: int
    """Standing answers on images that are no longer the study's."""
    images_unbound: int
    """Standing answers of versions that did not store the images' hashes."""


def anchor(database: VoteDatabase, study: str) -> Anchor:
    """The present head, after the whole log is verified."""
    verify_database(database)
    with database.reading() as tx:
        seq, head, _ = tx.chain
    return Anchor(study=study, votes=seq, head=head, time=datetime.now(UTC).isoformat(timespec="seconds"))


def read_anchor(path: Path) -> Anchor:
    """The last anchor of a file. Raises InputError: there is none."""
    rows = read_rows(path, Anchor)
    if not rows:
        raise InputError(f"{path}: holds no anchor: write one with `arena anchor STUDY --out {path}`")
    return rows[-1]


def verify_database(
    database: VoteDatabase, images: Images | None = None, held: Anchor | None = None
) -> Proof:
    """Verify every row of the log, its end, the counters, and what an anchor says.

    Parameters
    ----------
    images: the study's images as they are now; None: not compared.
    held: an anchor from outside; None: the end of the log is proved by the server's seal alone.

    Raises
    ------
    InputError: names the first thing that does not agree.
    """
    with database.reading(snapshot=True) as tx:
        rows = list(tx.log())
        count = verify_chain(database.key, rows, tx.head)
        _verify_head(tx, database, count)
        if held is not None:
            _verify_anchor(rows, held)
        answers = standing(rows)
        if not database.old:
            _verify_counters(tx, answers)
    changed = 0 if images is None else sum(image_changed(row, images) for row in answers)
    unbound = sum(row.left_sha256 is None for row in answers)
    return Proof(rows=count, images_changed=changed, images_unbound=unbound)


def _verify_head(tx: Transaction, database: VoteDatabase, count: int) -> None:
    seq, head, seal = tx.chain
    if database.old or (seq == 0 and head == GENESIS):
        return
    if seq != count or seal != head_seal(database.key, seq, head):
        raise InputError(
            f"the log ends at vote {count}, but its end is not sealed with the server's key: votes were cut off"
        )


def _verify_anchor(rows: list[Logged], held: Anchor) -> None:
    if len(rows) < held.votes:
        raise InputError(
            f"the anchor of {held.time} holds {held.votes} rows, the log {len(rows)}: its end was cut off"
        )
    if held.votes and rows[held.votes - 1].hash != held.head:
        raise InputError(
            f"the anchor of {held.time} has another hash for vote {held.votes}: the log was written anew"
        )


def _verify_counters(tx: Transaction, answers: list[Logged]) -> None:
    """Raises InputError where states, or counters of pairs, cells or raters, disagree with the log."""
    states = {
        id_: (state, cell)
        for id_, state, cell in tx.db.execute(
            select(assignments.c.id, assignments.c.state, assignments.c.cell_id)
        )
    }
    answered = {row.assignment_id for row in answers}
    for id_, (state, _) in states.items():
        if (state in ("voted", "released")) != (id_ in answered):
            raise InputError(f"assignment {id_} is '{state}', which is not what the log says: it was edited")
    held = Counter(cell for state, cell in states.values() if state in ("open", "voted") and cell)
    owner: dict[int, int] = {cell: pair for cell, pair in tx.db.execute(select(cells.c.id, cells.c.pair_id))}
    taken: dict[int, int] = {cell: count for cell, count in tx.db.execute(select(cells.c.id, cells.c.taken))}
    _agree("slots taken of prompt slot", taken, held)
    counted = [row for row in answers if row.cell_id and states[row.assignment_id][0] == "voted"]
    votes = Counter((owner[row.cell_id or 0], _column(row)) for row in counted)
    by_pair = Counter(owner[row.cell_id or 0] for row in counted)
    pairs = tx.pairs()
    for column in ("first_wins", "second_wins", "ties", "both_bad"):
        mine = {pair: n for (pair, name), n in votes.items() if name == column}
        _agree(f"{column} of pair", {p.id: getattr(p, column) for p in pairs}, mine)
    _agree("votes of pair", {p.id: p.voted for p in pairs}, by_pair)
    open_or_voted = Counter(owner[cell] for cell in held.elements())
    _agree("slots taken of pair", {p.id: p.taken for p in pairs}, open_or_voted)
    given = Counter(row.rater_id for row in answers if row.kind != "practice")
    _agree("answers of rater", {r.id: r.voted for r in register.all_raters(tx.db)}, given)
    last = select(assignments.c.rater_id, func.max(assignments.c.number)).group_by(assignments.c.rater_id)
    issued = {rater: number + 1 for rater, number in tx.db.execute(last)}
    _agree("assignments of rater", {r.id: r.issued for r in register.all_raters(tx.db)}, issued)


def _column(row: Logged) -> str:
    first_left = row.left < row.right
    return {
        "left": "first_wins" if first_left else "second_wins",
        "right": "second_wins" if first_left else "first_wins",
        "tie": "ties",
        "both_bad": "both_bad",
    }[row.answer]


def _agree(what: str, counters: Mapping[Any, int], counted: Mapping[Any, int]) -> None:
    for key, value in counters.items():
        if value != counted.get(key, 0):
            raise InputError(
                f"{what} {key}: the counter says {value}, the log {counted.get(key, 0)}: it was edited"
            )
