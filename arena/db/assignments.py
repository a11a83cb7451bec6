"""Assignments and votes in SQL, within one transaction; with `arena.db.raters` (who takes part) the only queries.

Locks are always taken in the order rater, assignment, chain, pair, cell, so that two servers
on one PostgreSQL wait for each other and never deadlock. Votes are append-only and form a hash chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from arena.db import queries, schema
from arena.db import raters as register
from arena.db.rows import Assignment, Comparison, Draft, HandedOut, Logged, Vote, field_names
from arena.db.schema import assignments, cells, pairs, raters, settings, votes
from arena.db.vote_log import GENESIS, UNDO, chain_hash, head_seal

PHASES = ("open", "paused", "closed")


@dataclass(slots=True)
class Transaction:
    """Queries of one transaction."""

    db: Connection
    key: bytes
    old: bool = False
    """Whether columns may be missing, because the database is of an earlier revision."""

    # Settings

    def setting(self, key: str, default: str = "") -> str:
        value = self.db.scalar(queries.SETTING, {"p_key": key})
        return default if value is None else value

    def set_setting(self, key: str, value: str) -> None:
        if not self.db.execute(queries.SET, {"p_key": key, "p_value": value}).rowcount:
            self.db.execute(insert(settings).values(key=key, value=value))

    @property
    def phase(self) -> str:
        return self.setting("phase", "open")

    def lock_entrance(self) -> None:
        """Raters who come in at once take turns, so that each counts those before."""
        self.db.scalar(queries.SETTING_LOCKED, {"p_key": "phase"})

    # The pool

    def add_pool(self, wanted: Mapping[tuple[str, str, str], tuple[int, Sequence[tuple[str, int]]]]) -> None:
        if not self.setting("phase"):
            self.set_setting("phase", "open")
        if not self.setting("chain"):
            self.set_chain(0, GENESIS)
        known = {(p.question, p.first, p.second): p for p in self.pairs()}
        for (question, first, second), (votes_wanted, scenes) in wanted.items():
            pair = known.get((question, first, second))
            if pair is None:
                row = self.db.execute(
                    insert(pairs).values(question=question, first=first, second=second, wanted=votes_wanted)
                )
                pair_id = row.inserted_primary_key[0]  # pyright: ignore[reportOptionalSubscript]
            else:
                pair_id = pair.id
                self.db.execute(update(pairs).where(pairs.c.id == pair_id).values(wanted=votes_wanted))
            there = {(c.prompt_id, c.replicate) for c in self.cells(pair_id)}
            new = [s for s in scenes if tuple(s) not in there]
            if new:
                self.db.execute(
                    insert(cells),
                    [{"pair_id": pair_id, "prompt_id": p, "replicate": r, "taken": 0} for p, r in new],
                )

        self._ask_no_more([pair.id for key, pair in known.items() if key not in wanted])

    def _ask_no_more(self, left: Sequence[int]) -> None:
        """Of pairs whose contender left the study: what raters hold of them is taken back, their votes stay."""
        if not left:
            return
        theirs = select(cells.c.id).where(cells.c.pair_id.in_(left))
        held = select(assignments).where(assignments.c.state == "open", assignments.c.cell_id.in_(theirs))
        self.give_back(self._assignments(held), "expired")
        self.db.execute(update(pairs).where(pairs.c.id.in_(left)).values(wanted=pairs.c.voted))

    def pairs(self) -> Sequence[Row[Any]]:
        if self.old:
            query = select(*schema.as_stored(self.db, pairs).values()).order_by(pairs.c.id)
            return self.db.execute(query).all()
        return self.db.execute(queries.PAIRS).all()

    def set_wanted(self, wanted: Mapping[int, int]) -> None:
        """Pair id → votes it is to get from now on."""
        for pair_id, count in wanted.items():
            self.db.execute(update(pairs).where(pairs.c.id == pair_id).values(wanted=count))

    def mark_decided(self, found: Iterable[tuple[str, str, str]]) -> int:
        """Ask no more about these (question, first, second); how many were still being asked about."""
        changed = 0
        for question, first, second in sorted(found):
            one = (pairs.c.question == question, pairs.c.first == first, pairs.c.second == second)
            still = update(pairs).where(*one, pairs.c.decided.is_(False))
            changed += self.db.execute(still.values(decided=True)).rowcount
        return changed

    def cells(self, pair_id: int) -> Sequence[Row[Any]]:
        return self.db.execute(queries.CELLS, {"p_pair": pair_id}).all()

    def cell_counts(self) -> dict[int, int]:
        """pair id → prompts and replicates it has."""
        rows = self.db.execute(select(cells.c.pair_id, func.count()).group_by(cells.c.pair_id))
        return {pair: count for pair, count in rows}

    # Assignments

    def open_assignments(self, rater_id: str) -> list[Assignment]:
        return self._assignments(queries.OPEN, p_rater=rater_id)

    def history(self, rater_id: str) -> Sequence[Row[Any]]:
        """Everything the rater was handed, in order, as rows of `queries.HISTORY`: they may be hundreds."""
        return self.db.execute(queries.HISTORY, {"p_rater": rater_id}).all()

    def last_answered(self, rater_id: str) -> Assignment | None:
        """The rater's last assignment that has, or had, an answer."""
        return self._one(queries.LAST_ANSWERED, p_rater=rater_id)

    def assignment(self, assignment_id: int) -> Assignment:
        return self._assignments(queries.ASSIGNMENT, p_id=assignment_id)[0]

    def find(self, assignment_id: int) -> Assignment | None:
        return self._one(queries.ASSIGNMENT, p_id=assignment_id)

    def by_token(self, token: str, *, lock: bool = False) -> Assignment | None:
        return self._one(queries.BY_TOKEN_LOCKED if lock else queries.BY_TOKEN, p_token=token)

    def by_image_token(self, token: str) -> Assignment | None:
        return self._one(queries.BY_IMAGE_TOKEN, p_token=token)

    def hand_out(
        self,
        rater_id: str,
        number: int,
        draft: Draft,
        tokens: Sequence[str | None],
        *,
        now: float,
        expires: float,
    ) -> bool:
        """Write the draft, and take its slot. False (and nothing may be kept) where the slot is gone."""
        chosen = {name: getattr(draft, name) for name in field_names(Comparison)}
        row = {
            **chosen,
            "token": tokens[0],
            "left_token": tokens[1],
            "right_token": tokens[2],
            "reference_token": tokens[3],
            "rater_id": rater_id,
            "number": number,
            "scene": draft.scene,
            "issued": now,
            "expires": expires,
            "state": "open",
            "revision": 0,
        }
        self.db.execute(queries.ADD_ASSIGNMENT, row)
        self.db.execute(queries.COUNT_ISSUED, {"p_rater": rater_id, "p_issued": number + 1})
        if draft.cell_id is None:
            return True
        if not self.db.execute(queries.TAKE_PAIR, {"p_pair": draft.pair_id}).rowcount:
            return False
        slot = {"p_cell": draft.cell_id, "p_seen": draft.cell_taken}
        return bool(self.db.execute(queries.TAKE_CELL, slot).rowcount)

    def expire(self, now: float, limit: int = 200) -> int:
        """Return the slots of assignments that were not answered in time; how many."""
        query = (
            select(assignments)
            .where(assignments.c.state == "open", assignments.c.expires < now)
            .order_by(assignments.c.expires)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        stale = self._assignments(query)
        self.give_back(stale, "expired")
        return len(stale)

    def has_stale(self, now: float) -> bool:
        return self.db.execute(queries.STALE, {"p_now": now}).first() is not None

    def give_back(self, stale: Sequence[Assignment], state: str) -> None:
        for one in stale:
            self.db.execute(update(assignments).where(assignments.c.id == one.id).values(state=state))
        held = sorted(one.cell_id for one in stale if one.cell_id is not None)
        rows = self.db.execute(select(cells.c.id, cells.c.pair_id).where(cells.c.id.in_(set(held))))
        owners: dict[int, int] = {cell: pair for cell, pair in rows}
        for pair in sorted(owners[cell] for cell in held):
            self.db.execute(update(pairs).where(pairs.c.id == pair).values(taken=pairs.c.taken - 1))
        for cell in held:
            self.db.execute(update(cells).where(cells.c.id == cell).values(taken=cells.c.taken - 1))

    def release(self, rater_id: str, *, standing: str, reason: str) -> int:
        """Give back every slot of a rater whose votes do not count; the votes stay in the log. Slots given back.

        standing, reason: see `arena.quality.STANDINGS`. The rater must be locked.
        """
        self.give_back(self.open_assignments(rater_id), "expired")
        held = self._assignments(queries.IN_STATE, p_rater=rater_id, p_state="voted")
        held = [one for one in held if one.cell_id is not None]
        for one in held:
            self._count_answer(one, self._answer_of(one), -1)
        self.give_back(held, "released")
        self.db.execute(
            queries.SET_STANDING, {"p_rater": rater_id, "p_standing": standing, "p_reason": reason}
        )
        return len(held)

    def reinstate(self, rater_id: str, *, standing: str, reason: str) -> int:
        """Undo `release`: the rater's votes take slots again, also beyond what the pair wants. Slots taken."""
        released = self._assignments(queries.IN_STATE, p_rater=rater_id, p_state="released")
        for one in sorted(released, key=lambda one: one.cell_id or 0):
            self._mark(one, "voted", one.revision)
            self._count_answer(one, self._answer_of(one), 1)
            self.db.execute(queries.RETAKE_PAIR, {"p_cell": one.cell_id})
            self.db.execute(queries.RETAKE_CELL, {"p_cell": one.cell_id})
        self.db.execute(
            queries.SET_STANDING, {"p_rater": rater_id, "p_standing": standing, "p_reason": reason}
        )
        return len(released)

    def answers_since(self, when: float) -> tuple[int, int]:
        """Answers saved since then, undos not counted, and the raters who gave them."""
        joined = votes.join(assignments, votes.c.assignment_id == assignments.c.id)
        query = select(func.count(), func.count(assignments.c.rater_id.distinct())).select_from(joined)
        count, raters_ = self.db.execute(query.where(votes.c.created >= when, votes.c.answer != UNDO)).one()
        return count, raters_

    def last_answer_time(self, rater_id: str) -> float | None:
        """When the rater's last answer (or undo) was saved; None where there is none."""
        return self.db.scalar(queries.LAST_ANSWER_TIME, {"p_rater": rater_id})

    def _answer_of(self, one: Assignment) -> str:
        last = self.last_vote(one.id)
        assert last is not None, "an assignment that was voted on has a vote"
        return last.answer

    def results_of(self, rater_id: str, kind: str = "check") -> list[tuple[int, bool]]:
        """Attention checks (or `practice` pairs) the rater answered, in order of the answers: the assignment's number,
        and whether it failed."""
        last: dict[int, tuple[int, bool]] = {}
        for row in self.db.execute(queries.KNOWN_ANSWERS, {"p_rater": rater_id, "p_kind": kind}):
            last.pop(row.id, None)
            if row.answer != UNDO:
                last[row.id] = (row.number, row.answer != row.expected)
        return list(last.values())

    def slots(self) -> tuple[int, int]:
        """Votes still wanted that no rater holds, and votes that are held and not yet given."""
        row = self.db.execute(queries.SLOTS).one()
        return int(row.free or 0), int(row.pending or 0)

    def _assignments(self, query: Select[Any], **given: Any) -> list[Assignment]:
        rows = self.db.execute(query, given)
        names = tuple(rows.keys())
        return [Assignment(**dict(zip(names, row, strict=True))) for row in rows]

    def _one(self, query: Select[Any], **given: Any) -> Assignment | None:
        return next(iter(self._assignments(query, **given)), None)

    # Votes

    def append_vote(
        self,
        one: Assignment,
        answer: str,
        *,
        seconds: float | None,
        now: float,
        display: Mapping[str, Any] | None = None,
    ) -> int:
        """The next link of the chain, for an assignment locked by this transaction; its number in the log."""
        rater = register.rater(self.db, one.rater_id)
        assert rater is not None
        head = self.db.scalar(queries.SETTING_LOCKED, {"p_key": "chain"})
        assert head is not None, "the pool was never prepared"
        number, previous, *_ = head.split(":")
        own = {name: getattr(one, name) for name in field_names(HandedOut)}
        row = Logged(
            seq=int(number) + 1,
            assignment_id=one.id,
            revision=one.revision,
            answer=answer,
            seconds=seconds,
            created=now,
            group_label=rater.group_label,
            simulated=rater.simulated,
            hash="",
            display=None if display is None else dict(display),
            **own,
        )
        digest = chain_hash(self.key, previous, row)
        columns = {name: getattr(row, name) for name in field_names(Vote)}
        self.db.execute(queries.ADD_VOTE, {**columns, "hash": digest})
        self.set_chain(row.seq, digest)
        return row.seq

    def vote(
        self,
        one: Assignment,
        answer: str,
        *,
        seconds: float | None,
        now: float,
        display: Mapping[str, Any] | None = None,
    ) -> int:
        """Save an answer to an open assignment.

        Parameters
        ----------
        answer: one of the study's answers.
        seconds: from the pair's appearance to the answer; None: not known.
        now: seconds since 1970.
        display: how the pair was shown, JSON.

        Returns
        -------
        The vote's number in the log, from 1.
        """
        seq = self.append_vote(one, answer, seconds=seconds, now=now, display=display)
        self._mark(one, "voted", one.revision)
        self.count(one, answer, 1)
        return seq

    def undo(self, one: Assignment, tokens: Sequence[str | None], *, now: float, expires: float) -> None:
        """Open the assignment again under new tokens; the vote stays in the log, an undo follows it."""
        last = self.last_vote(one.id)
        assert last is not None
        bumped = Assignment(**{**asdict(one), "revision": one.revision + 1})
        self.append_vote(bumped, UNDO, seconds=None, now=now)
        self.count(one, last.answer, -1)
        self.db.execute(
            update(assignments)
            .where(assignments.c.id == one.id)
            .values(
                state="open",
                revision=one.revision + 2,
                token=tokens[0],
                left_token=tokens[1],
                right_token=tokens[2],
                reference_token=tokens[3],
                expires=expires,
            )
        )

    def last_vote(self, assignment_id: int) -> Row[Any] | None:
        return self.db.execute(queries.LAST_VOTE, {"p_assignment": assignment_id}).first()

    def _mark(self, one: Assignment, state: str, revision: int) -> None:
        self.db.execute(queries.MARK, {"p_id": one.id, "p_state": state, "p_revision": revision})

    def count(self, one: Assignment, answer: str, by: int) -> None:
        if one.kind != "practice":
            self.db.execute(queries.COUNT_VOTED, {"p_rater": one.rater_id, "p_by": by})
        self._count_answer(one, answer, by)

    def _count_answer(self, one: Assignment, answer: str, by: int) -> None:
        if one.cell_id is None:
            return
        pair_id = self.db.scalar(queries.PAIR_OF_CELL, {"p_cell": one.cell_id})
        first_left = one.left < one.right
        column = {
            "left": "first_wins" if first_left else "second_wins",
            "right": "second_wins" if first_left else "first_wins",
            "tie": "ties",
            "both_bad": "both_bad",
        }[answer]
        self.db.execute(queries.COUNT_ANSWER[column], {"p_pair": pair_id, "p_by": by})

    # Reading everything

    def log(self, rater_id: str | None = None) -> Iterator[Logged]:
        """Every vote and undo in order; of one rater if named."""
        joined = votes.join(assignments, votes.c.assignment_id == assignments.c.id).join(
            raters, assignments.c.rater_id == raters.c.id
        )
        of_vote, of_assignment = (
            schema.as_stored(self.db, table) if self.old else dict(table.columns.items())
            for table in (votes, assignments)
        )
        query = select(
            *of_vote.values(),
            *(of_assignment[name] for name in field_names(HandedOut)),
            raters.c.group_label,
            raters.c.simulated,
        )
        query = query.select_from(joined).order_by(votes.c.seq)
        if rater_id is not None:
            query = query.where(assignments.c.rater_id == rater_id)
        for row in self.db.execute(query).yield_per(5000):
            yield Logged(**row._mapping)

    @property
    def chain(self) -> tuple[int, str, str]:
        """Number and hash of the last row of the log, and the seal over both; '' in revision 0002."""
        number, head, *seal = self.setting("chain", f"0:{GENESIS}").split(":")
        return int(number), head, seal[0] if seal else ""

    @property
    def head(self) -> str:
        return self.chain[1]

    def set_chain(self, seq: int, head: str) -> None:
        self.set_setting("chain", f"{seq}:{head}:{head_seal(self.key, seq, head)}")

    def state_counts(self) -> dict[str, int]:
        """assignments by state"""
        rows = self.db.execute(select(assignments.c.state, func.count()).group_by(assignments.c.state))
        return {state: count for state, count in rows}
