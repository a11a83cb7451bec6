"""The desk between raters and tables: hands out pairs, takes answers. No HTTP, no clock of its own."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from arena import pairing
from arena.admission import Refused
from arena.db import queries, raters
from arena.db.assignments import Transaction
from arena.db.database import VoteDatabase
from arena.db.rows import Assignment
from arena.entry import batches
from arena.entry.practice import check_gold, judge_practice
from arena.entry.stages import TAKES_PART, Hand, owed_code, stage_of, undoable
from arena.next_assignment import Stock, draft, pool_of, votes_by_target
from arena.quality import exclusion_of
from arena.results.decided import decided_pairs
from arena.results.decisions import judge, set_check_aside
from arena.shown.study_images import StudyImages, signature
from bench.errors import InputError
from bench.records import OUTCOMES
from bench.store.study_folder import StudyFolder
from bench.study.questions import questions_of
from bench.study.study import Study, open_study

AHEAD = 2
"""Pairs a rater holds: the one shown, and the next, which is already loaded."""
JUDGE_EVERY = 5
"""Answers between two looks at whether a rule excludes the rater; every attention check is looked at."""
TRIES = 50


class Desk:
    """One study, open for votes."""

    def __init__(
        self, study: Study, folder: StudyFolder, database: VoteDatabase, clock: Callable[[], float]
    ) -> None:
        self.folder = folder
        self.database = database
        self.clock = clock
        self.settings = study.file.arena
        self.questions = questions_of(self.settings)
        self._seen = self._looked = signature(folder)
        self.images = StudyImages(study, folder)
        self._allotted_at: int | None = None
        self._take(study)
        self.exclusion = exclusion_of(self.settings)
        self.left_out = 0
        self._lock = threading.Lock()
        self._decided_at = 0
        self._progress = (float("-inf"), 0.0)

    def _take(self, study: Study) -> None:
        """The study's contenders, prompts and images; its arena's settings are those that the server began with."""
        self.study = study
        self.prompts = {prompt.id: prompt for prompt in study.prompts}
        self._stock = Stock(
            settings=self.settings,
            prompts=self.prompts,
            images=frozenset(self.images.made),
            scenes={},
            turns={},
        )

    def refresh(self) -> bool:
        """Take over what the study has become while the arena is open: contenders and prompts that came or left, and
        images that were generated anew. Votes stay; those on images that were replaced count no more (`arena rate`).

        A folder that is still being written is left for the next look. Returns whether anything changed.
        """
        now = signature(self.folder)
        before, self._looked = self._looked, now
        if now == self._seen or now != before:
            return False
        study = open_study(self.folder)
        images = StudyImages(study, self.folder, are_sent=self.images.are_sent)
        _ = images.sent_bytes  # rendered now, not while a rater waits
        self.images = images
        self._take(study)
        self._seen = now
        self.prepare()
        return True

    def progress(self) -> float:
        """Share of the wanted votes that are in, 0 to 1, as of a few seconds ago."""
        now = self.clock()
        if now - self._progress[0] > 3:
            with self.database.reading() as tx:
                rows = tx.pairs()
            self._progress = (now, sum(p.voted for p in rows) / max(1, sum(map(asked_of, rows))))
        return self._progress[1]

    @property
    def answers(self) -> tuple[str, ...]:
        allowed = {"tie": self.settings.ties, "both_bad": self.settings.both_bad}
        return tuple(answer for answer in OUTCOMES if allowed.get(answer, True))

    def prepare(self) -> None:
        """Make the pool of pairs from the images there are. Raises InputError where there is no pair."""
        scenes = sorted({(prompt, replicate) for _, prompt, replicate in self.images.made})
        pool, self.left_out = pool_of(self.settings, self.study.comparisons, scenes, self.images.made)
        if not pool:
            raise InputError(
                f"study '{self.study.name}' has no prompt with images of two contenders: "
                "run `bench run` first"
            )
        self.database.prepare(pool)
        check_gold(self.settings, self.images.made)
        with self.database.writing() as tx:
            if self.settings.batch and not tx.setting(batches.END):
                batches.start_batch(tx, self.settings.batch)
        with self.database.reading() as tx:
            cells = tx.cell_counts()
        turns = pairing.shuffled_turns(scenes, self.settings.seed)
        self._stock = replace(self._stock, scenes=cells, turns=turns)
        self._allotted_at = None

    def set_phase(self, phase: str) -> None:
        """Open, pause or close the study; opening begins the next batch where the study has batches."""
        with self.database.writing() as tx:
            tx.set_setting("phase", phase)
            if phase == "open" and self.settings.batch:
                batches.start_batch(tx, self.settings.batch)

    def hand(self, rater_id: str) -> Hand:
        """What the rater has now, after topping it up. Raises Refused for an unknown rater."""
        now = self.clock()
        with self.database.reading() as tx:
            stale = tx.has_stale(now)
        if stale:
            self.sweep(now)
        hand, short = self._look(rater_id, now)
        while short and self._top_up(rater_id, now):
            hand, short = self._look(rater_id, now)
        return hand

    def _look(self, rater_id: str, now: float) -> tuple[Hand, bool]:
        """What the rater has, and whether more may be handed out."""
        with self.database.reading() as tx:
            rater = raters.rater(tx.db, rater_id)
            if rater is None:
                raise Refused("unknown_rater", 401)
            phase = tx.phase
            held, last = tuple(tx.open_assignments(rater_id)), tx.last_answered(rater_id)
            free, pending = tx.slots() if phase == "open" and len(held) < AHEAD else (0, 0)
            if free and self.settings.batch:
                free = max(0, min(free, batches.left_of_batch(tx)))
            stage = stage_of(tx, self.settings, rater, phase, held, free, self._stock.scenes)
        limit = self.settings.limit
        held = held if stage == "vote" else ()
        code = owed_code(stage, rater.voted, limit, rater.code)
        if code != rater.code:
            with self.database.writing() as tx:
                tx.db.execute(queries.SET_CODE, {"p_rater": rater_id, "p_code": code})
        hand = Hand(
            stage=stage,
            open=held,
            voted=rater.voted,
            limit=limit,
            can_undo=phase == "open" and rater.standing in TAKES_PART and undoable(last),
            code=code,
        )
        # While slots are scarce, no rater holds one in advance.
        most = AHEAD if free > pending else 1
        full = len(held) >= most or (limit is not None and rater.voted + len(held) >= limit)
        return hand, phase == "open" and rater.standing in TAKES_PART and free > 0 and not full

    def sweep(self, now: float) -> None:
        """Return what was not answered in time."""
        with self.database.writing(durable=False) as tx:
            tx.expire(now)

    def tidy(self) -> None:
        """What need not wait for a rater."""
        now = self.clock()
        with self.database.reading() as tx:
            stale = tx.has_stale(now)
        if stale:
            self.sweep(now)
        self.decide()
        self.refresh()

    def vote(
        self,
        rater_id: str,
        token: str,
        answer: str,
        seconds: float | None,
        display: Mapping[str, Any] | None = None,
    ) -> bool:
        """Save an answer.

        Parameters
        ----------
        token: of the assignment.
        answer: one of the question's answers.
        seconds: from the pair's appearance to the answer, by the browser's clock; None: not known.
        display: how the pair was shown (viewport, pixel ratio, …), JSON without NaN; it is hashed and exported.

        Returns
        -------
        True if the answer is new, False if this very answer was saved before.

        Raises
        ------
        Refused: unknown or another rater's token, expired, another answer was already given, an answer the
            study does not allow, study closed.
        """
        if answer not in OUTCOMES:
            raise Refused("bad_answer", 422)
        now = self.clock()
        with self.database.writing() as tx:
            one = self._mine(tx, rater_id, token)
            asked = self.questions.get(one.question)
            if asked is not None and answer not in asked.answers:
                raise Refused("bad_answer", 422)
            if one.state in ("voted", "released"):
                last = tx.last_vote(one.id)
                if last is not None and last.answer == answer:
                    return False
                raise Refused("answered", 409)
            if one.state != "open" or one.expires < now:
                raise Refused("expired", 410)
            if tx.phase == "closed":
                raise Refused("closed", 403)
            # The browser's clock is not believed beyond the server's: the pair cannot have been on screen before it
            # was handed out, nor before the last answer was saved.
            since = max(one.issued, tx.last_answer_time(rater_id) or one.issued)
            if now - since < self.settings.min_seconds:
                raise Refused("too_soon", 409)
            limited = None if seconds is None else min(seconds, max(0.0, now - since))
            tx.vote(one, answer, seconds=limited, now=now, display=display)
        if self.settings.batch and one.cell_id is not None:
            with self.database.writing() as tx:
                batches.end_batch(tx)
        if one.kind == "practice":
            judge_practice(self.database, self.settings, rater_id)
        elif one.kind == "check" or one.number % JUDGE_EVERY == JUDGE_EVERY - 1:
            judge(self.database, self.exclusion, rater_id)
        return True

    def decide_about(self, rater_id: str, standing: str, reason: str) -> int:
        """Record the operator's (or the rater's own) decision about a rater, and move slots accordingly.

        Parameters
        ----------
        standing: a key of `arena.quality.STANDINGS`, or `kept`.
        reason: for the operator's table, at most 200 characters.

        Returns
        -------
        Slots given back, or, for `kept`, taken again.
        """
        with self.database.writing() as tx:
            if raters.rater(tx.db, rater_id, lock=True) is None:
                raise InputError(f"no rater '{rater_id}'")
            change = tx.reinstate if standing == "kept" else tx.release
            return change(rater_id, standing=standing, reason=reason[:200])

    def set_check_aside(self, assignment_id: int, reason: str) -> bool:
        """As `arena.results.decisions.set_check_aside`."""
        return set_check_aside(self.database, self.exclusion, assignment_id, reason, now=self.clock())

    def skip(self, rater_id: str, token: str) -> None:
        """A pair whose images could not be shown: its slot returns, nothing is held against the rater."""
        with self.database.writing() as tx:
            one = self._mine(tx, rater_id, token)
            if one.state == "open":
                tx.give_back([one], "skipped")

    def undo(self, rater_id: str) -> None:
        """Open the rater's last answer again. Raises Refused where there is none."""
        now = self.clock()
        with self.database.writing() as tx:
            rater = raters.rater(tx.db, rater_id, lock=True)
            if rater is None:
                raise Refused("unknown_rater", 401)
            one = tx.last_answered(rater_id)
            if one is None or not undoable(one) or tx.phase != "open" or rater.standing not in TAKES_PART:
                raise Refused("nothing_to_undo", 409)
            expires = self._expiry(now, rater.voted)
            tx.undo(one, self._tokens(one.question), now=now, expires=expires)

    def _mine(self, tx: Transaction, rater_id: str, token: str) -> Assignment:
        if raters.rater(tx.db, rater_id, lock=True) is None:
            raise Refused("unknown_rater", 401)
        one = tx.by_token(token, lock=True)
        if one is None or one.rater_id != rater_id:
            raise Refused("unknown_token", 404)
        return one

    def _expiry(self, now: float, voted: int) -> float:
        """When a pair handed out now returns to the pool: soon, for a rater who may never begin."""
        minutes = self.settings.expire_minutes
        return now + 60 * (minutes if voted else min(minutes, self.settings.first_vote_minutes))

    def _shows_reference(self, question: str) -> bool:
        asked = self.questions.get(question)
        return self.study.edits and (asked is None or asked.shows_prompt)

    def _tokens(self, question: str) -> tuple[str, str, str, str | None]:
        third = secrets.token_urlsafe(24) if self._shows_reference(question) else None
        return secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(24), third

    def _top_up(self, rater_id: str, now: float) -> bool:
        """Hand out one more pair, if the rater may have one; whether it did."""
        if self.settings.pairing == "active":
            self._allot()
        for _ in range(TRIES):
            try:
                with self.database.writing(durable=False) as tx:
                    rater = raters.rater(tx.db, rater_id, lock=True)
                    if rater is None:
                        raise Refused("unknown_rater", 401)
                    mine = tx.history(rater_id)
                    held = sum(a.state == "open" for a in mine)
                    if rater.standing not in TAKES_PART:
                        return False
                    limit = self.settings.limit
                    if held >= AHEAD or (limit is not None and rater.voted + held >= limit):
                        return False
                    chosen = draft(tx, self._stock, rater_id, rater.issued, mine)
                    if chosen is None:
                        return False
                    shows = self._shows_reference(chosen.question)
                    chosen = replace(chosen, **self.images.hashes(chosen, with_reference=shows))
                    tokens = self._tokens(chosen.question)
                    if tx.hand_out(
                        rater_id,
                        rater.issued,
                        chosen,
                        tokens,
                        now=now,
                        expires=self._expiry(now, rater.voted),
                    ):
                        return True
                    raise _SlotGone
            except (_SlotGone, IntegrityError):
                continue
        return False

    def _allot(self) -> None:
        """Share the remaining votes out among the pairs by the study's target, once there are 2% more votes."""
        with self.database.reading() as tx:
            rows = tx.pairs()
        total = sum(p.voted for p in rows)
        with self._lock:
            if self._allotted_at is not None and total <= self._allotted_at * 1.02:
                return
            self._allotted_at = total
        wanted = votes_by_target(rows, self.study)
        with self.database.writing(durable=False) as tx:
            tx.set_wanted(wanted)

    def decide(self) -> int:
        """Ask no more about pairs whose better contender is known; how many are newly so.

        For studies with `stopping = "decided"`; looks again once there are 2% more votes. The sequences of
        `bench.ratings.stopping` hold at every look, so it may be called as often as one likes.
        """
        if self.settings.stopping != "decided":
            return 0
        with self.database.reading() as tx:
            total = sum(p.voted for p in tx.pairs())
        if total <= self._decided_at * 1.02:
            return 0
        self._decided_at = total
        found = decided_pairs(self.database, self.prompts, self.exclusion)
        with self.database.writing() as tx:
            return tx.mark_decided(found)


class _SlotGone(Exception):
    """Another server took the slot between choosing and writing; the transaction rolls back."""


def asked_of(pair: Row[Any]) -> int:
    """Votes the pair still counts for: those it has once it is decided."""
    return pair.voted if pair.decided else pair.wanted
