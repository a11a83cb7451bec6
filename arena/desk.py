"""The desk between raters and tables: hands out pairs, takes answers. No HTTP, no clock of its own."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy.exc import IntegrityError

from arena import pairing
from arena.ballots import Assignment, Ballots, Draft, Transaction
from arena.raters import Refused
from bench.records import OUTCOMES, InputError
from bench.store import StudyFolder
from bench.study import Study

AHEAD = 2
"""Pairs a rater holds: the one shown, and the next, which is already loaded."""
REPEAT_AFTER = 5
"""A pair comes again only after that many others."""
TRIES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """What a rater has now."""

    stage: str
    """`vote`, `paused`, `done` or `closed`."""
    open: tuple[Assignment, ...]
    """The one to show, then the one to preload."""
    voted: int
    limit: int | None
    can_undo: bool


class Desk:
    """One study, open for votes."""

    def __init__(
        self, study: Study, folder: StudyFolder, ballots: Ballots, clock: Callable[[], float]
    ) -> None:
        self.study = study
        self.folder = folder
        self.ballots = ballots
        self.clock = clock
        self.settings = study.file.arena
        self.prompts = {prompt.id: prompt for prompt in study.prompts}
        made = folder.generations()
        self.made = {
            key for key in made if key[0] in {c.name for c in study.contenders} and key[1] in self.prompts
        }
        self.left_out = 0
        self._gain_lock = threading.Lock()
        self._gain: tuple[int, dict[int, float]] | None = None
        self._sizes: dict[int, int] = {}
        self._progress = (float("-inf"), 0.0)

    def progress(self) -> float:
        """Share of the wanted votes that are in, 0 to 1, as of a few seconds ago."""
        now = self.clock()
        if now - self._progress[0] > 3:
            with self.ballots.reading() as tx:
                rows = tx.pairs()
            self._progress = (now, sum(p.voted for p in rows) / max(1, sum(p.wanted for p in rows)))
        return self._progress[1]

    def reference(self, prompt_id: str) -> Path:
        """The picture a prompt of an image-to-image study starts from. Raises InputError if it has none."""
        if self.prompts[prompt_id].reference is None:
            raise InputError(f"prompt '{prompt_id}' names no reference image")
        return self.folder.reference(prompt_id)

    @property
    def answers(self) -> tuple[str, ...]:
        allowed = {"tie": self.settings.ties, "both_bad": self.settings.both_bad}
        return tuple(answer for answer in OUTCOMES if allowed.get(answer, True))

    def prepare(self) -> None:
        """Make the pool of pairs from the images there are. Raises InputError where there is no pair."""
        names = sorted(c.name for c in self.study.contenders)
        pool = {}
        scenes = sorted({(prompt, replicate) for _, prompt, replicate in self.made})
        for first, second in itertools.combinations(names, 2):
            common = [s for s in scenes if (first, *s) in self.made and (second, *s) in self.made]
            self.left_out += len(scenes) - len(common)
            if not common:
                continue
            wanted = pairing.wanted_votes(self.settings.pairing, self.settings.votes_per_pair, len(common))
            for question in self.settings.questions:
                pool[question, first, second] = (wanted, common)
        if not pool:
            raise InputError(
                f"study '{self.study.name}' has no prompt with images of two contenders: "
                "run `bench run` first"
            )
        self.ballots.prepare(pool)
        with self.ballots.reading() as tx:
            self._sizes = tx.cell_counts()

    def hand(self, rater_id: str) -> Hand:
        """What the rater has now, after topping it up. Raises Refused for an unknown rater."""
        now = self.clock()
        hand, short = self._look(rater_id, now)
        while short and self._top_up(rater_id, now):
            hand, short = self._look(rater_id, now)
        return hand

    def _look(self, rater_id: str, now: float) -> tuple[Hand, bool]:
        """What the rater has, and whether more may be handed out."""
        with self.ballots.reading() as tx:
            rater = tx.rater(rater_id)
            if rater is None:
                raise Refused("unknown_rater", 401)
            phase, stale = tx.phase, tx.has_stale(now)
            mine = tx.rater_assignments(rater_id)
        if stale:
            with self.ballots.writing(durable=False) as tx:
                tx.expire(now)
            return self._look(rater_id, now)
        open_now = phase == "open"
        held = tuple(a for a in mine if a.state == "open") if open_now else ()
        limit = self.settings.votes_per_rater
        hand = Hand(
            stage="vote" if held else {"open": "done", "paused": "paused", "closed": "closed"}[phase],
            open=held,
            voted=rater.voted,
            limit=limit,
            can_undo=open_now and _undoable(mine) is not None,
        )
        full = len(held) >= AHEAD or (limit is not None and rater.voted + len(held) >= limit)
        return hand, open_now and not full

    def sweep(self, now: float) -> None:
        """Return what was not answered in time."""
        with self.ballots.writing(durable=False) as tx:
            tx.expire(now)

    def vote(self, rater_id: str, token: str, answer: str, seconds: float | None) -> bool:
        """Save an answer. True if it is new, False if this very answer was saved before.

        Raises Refused: unknown or somebody else's token, expired, another answer was already given,
        an answer the study does not allow, study closed.
        """
        if answer not in self.answers:
            raise Refused("bad_answer", 422)
        now = self.clock()
        with self.ballots.writing() as tx:
            one = self._mine(tx, rater_id, token)
            if one.state == "voted":
                last = tx.last_vote(one.id)
                if last is not None and last.answer == answer:
                    return False
                raise Refused("answered", 409)
            if one.state != "open" or one.expires < now:
                raise Refused("expired", 410)
            if tx.phase == "closed":
                raise Refused("closed", 403)
            # A clock in a browser is not to be believed beyond the time since the pair was handed out.
            limited = None if seconds is None else min(seconds, max(0.0, now - one.issued))
            tx.vote(one, answer, seconds=limited, now=now)
            return True

    def skip(self, rater_id: str, token: str) -> None:
        """A pair whose images could not be shown: its slot returns, nothing is held against the rater."""
        with self.ballots.writing() as tx:
            one = self._mine(tx, rater_id, token)
            if one.state == "open":
                tx.give_back([one], "skipped")

    def undo(self, rater_id: str) -> None:
        """Open the rater's last answer again. Raises Refused where there is none."""
        now = self.clock()
        with self.ballots.writing() as tx:
            if tx.rater(rater_id, lock=True) is None:
                raise Refused("unknown_rater", 401)
            one = _undoable(tx.rater_assignments(rater_id))
            if one is None or tx.phase != "open":
                raise Refused("nothing_to_undo", 409)
            tx.undo(one, self._tokens(one.question), now=now, expires=self._expiry(now))

    def _mine(self, tx: Transaction, rater_id: str, token: str) -> Assignment:
        if tx.rater(rater_id, lock=True) is None:
            raise Refused("unknown_rater", 401)
        one = tx.by_token(token, lock=True)
        if one is None or one.rater_id != rater_id:
            raise Refused("unknown_token", 404)
        return one

    def _expiry(self, now: float) -> float:
        return now + 60 * self.settings.expire_minutes

    def _tokens(self, question: str) -> tuple[str, str, str, str | None]:
        third = secrets.token_urlsafe(24) if self.study.edits and question != "quality" else None
        return secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(24), third

    def _top_up(self, rater_id: str, now: float) -> bool:
        """Hand out one more pair, if the rater may have one; whether it did."""
        gain = self._gains() if self.settings.pairing == "active" else None
        for _ in range(TRIES):
            try:
                with self.ballots.writing(durable=False) as tx:
                    rater = tx.rater(rater_id, lock=True)
                    if rater is None:
                        raise Refused("unknown_rater", 401)
                    mine = tx.rater_assignments(rater_id)
                    held = sum(a.state == "open" for a in mine)
                    limit = self.settings.votes_per_rater
                    if held >= AHEAD or (limit is not None and rater.voted + held >= limit):
                        return False
                    draft = self._draft(tx, rater_id, rater.issued, mine, gain)
                    if draft is None:
                        return False
                    tokens = self._tokens(draft.question)
                    if tx.hand_out(rater_id, rater.issued, draft, tokens, now=now, expires=self._expiry(now)):
                        return True
                    raise _SlotGone
            except (_SlotGone, IntegrityError):
                continue
        return False

    def _draft(
        self,
        tx: Transaction,
        rater_id: str,
        number: int,
        mine: list[Assignment],
        gain: dict[int, float] | None,
    ) -> Draft | None:
        rng = pairing.generator(self.settings.seed, rater_id, number)
        luck = rng.random()
        vote = self._draft_vote(tx, rng, rater_id, number, mine, gain)
        if vote is None:
            return None
        if luck < self.settings.attention_rate:
            return self._draft_check(rng, vote) or vote
        if luck < self.settings.attention_rate + self.settings.repeat_rate:
            return self._draft_repeat(rng, mine) or vote
        return vote

    def _draft_vote(
        self,
        tx: Transaction,
        rng: np.random.Generator,
        rater_id: str,
        number: int,
        mine: list[Assignment],
        gain: dict[int, float] | None,
    ) -> Draft | None:
        seen = [a for a in mine if a.kind == "vote"]
        seen_of: dict[tuple[str, str], set[tuple[str, int]]] = {}
        for a in seen:
            seen_of.setdefault(_sorted(a.left, a.right), set()).add((a.prompt_id, a.replicate))
        rows = tx.pairs()
        for question in pairing.question_order(self.settings.questions, rater_id, number):
            rows_here = [p for p in rows if p.question == question]
            eligible = np.array(
                [
                    p.taken < p.wanted
                    and len(seen_of.get((p.first, p.second), ())) < self._sizes.get(p.id, 0)
                    for p in rows_here
                ],
                bool,
            )
            chosen = pairing.choose_pair(
                rng,
                self.settings.pairing,
                taken=np.array([p.taken for p in rows_here], np.int64),
                eligible=eligible,
                gain=None if gain is None else np.array([gain.get(p.id, 0.0) for p in rows_here]),
                epsilon=self.settings.epsilon,
            )
            if chosen is None:
                continue
            pair = rows_here[chosen[0]]
            candidates = tx.cells(pair.id)
            shown = seen_of.get((pair.first, pair.second), set())
            scene = pairing.choose_scene(
                rng,
                taken=np.array([c.taken for c in candidates], np.int64),
                eligible=np.array([(c.prompt_id, c.replicate) not in shown for c in candidates], bool),
            )
            if scene is None:
                continue
            cell = candidates[scene[0]]
            sides = (pair.second, pair.first) if pairing.swap_sides(rng) else (pair.first, pair.second)
            return Draft(
                kind="vote",
                question=question,
                prompt_id=cell.prompt_id,
                replicate=cell.replicate,
                left=sides[0],
                right=sides[1],
                probability=chosen[1],
                prompt_probability=scene[1],
                cell_id=cell.id,
                pair_id=pair.id,
                cell_taken=cell.taken,
            )
        return None

    def _draft_check(self, rng: np.random.Generator, like: Draft) -> Draft | None:
        """An obvious pair: an image against itself degraded, or against another prompt's image."""
        shown = like.left
        others = sorted(
            prompt
            for contender, prompt, replicate in self.made
            if contender == shown
            and replicate == like.replicate
            and prompt != like.prompt_id
            and self.prompts[prompt].text != self.prompts[like.prompt_id].text
        )
        change = "degraded"
        if like.question == "alignment" and others:
            change = f"prompt:{others[int(rng.integers(len(others)))]}"
        right_is_good = pairing.swap_sides(rng)
        return Draft(
            kind="check",
            question=like.question,
            prompt_id=like.prompt_id,
            replicate=like.replicate,
            left=shown,
            right=shown,
            left_change=change if right_is_good else "",
            right_change="" if right_is_good else change,
            expected="right" if right_is_good else "left",
            probability=self.settings.attention_rate,
            prompt_probability=like.probability * like.prompt_probability,
        )

    def _draft_repeat(self, rng: np.random.Generator, mine: list[Assignment]) -> Draft | None:
        """A pair this rater answered a while ago, with the sides drawn anew."""
        again = {a.repeats for a in mine}
        answered = [a for a in mine if a.kind == "vote" and a.state == "voted"]
        candidates = [a for a in answered[:-REPEAT_AFTER] if a.id not in again]
        if not candidates:
            return None
        one = candidates[int(rng.integers(len(candidates)))]
        sides = (one.right, one.left) if pairing.swap_sides(rng) else (one.left, one.right)
        return Draft(
            kind="repeat",
            question=one.question,
            prompt_id=one.prompt_id,
            replicate=one.replicate,
            left=sides[0],
            right=sides[1],
            probability=self.settings.repeat_rate,
            prompt_probability=1 / len(candidates),
            repeats=one.id,
        )

    def _gains(self) -> dict[int, float]:
        """Expected information of every pair, by pair id; refitted once there are 2% more votes."""
        with self.ballots.reading() as tx:
            rows = tx.pairs()
        total = sum(p.voted for p in rows)
        with self._gain_lock:
            if self._gain is None or total > self._gain[0] * 1.02:
                self._gain = (total, fitted_gains(rows))
            return self._gain[1]


class _SlotGone(Exception):
    """Another server took the slot between choosing and writing; the transaction rolls back."""


def _undoable(mine: Sequence[Assignment]) -> Assignment | None:
    """The last answered pair, unless it was undone once: going back is one step."""
    answered = [a for a in mine if a.state in ("voted", "open") and _touched(a)]
    last = answered[-1] if answered else None
    return last if last is not None and last.state == "voted" and last.revision == 0 else None


def _touched(a: Assignment) -> bool:
    return a.state == "voted" or a.revision > 0


def _sorted(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def fitted_gains(rows) -> dict[int, float]:
    """pair id → expected information, each question fitted alone with a standard normal prior."""
    from arena.ratings import newton, score_and_information

    gains: dict[int, float] = {}
    for question in sorted({p.question for p in rows}):
        mine = [p for p in rows if p.question == question]
        names = sorted({p.first for p in mine} | {p.second for p in mine})
        code = {name: i for i, name in enumerate(names)}
        first = np.array([code[p.first] for p in mine])
        second = np.array([code[p.second] for p in mine])
        counts = np.zeros((1, len(names), len(names), 3))
        counts[0, first, second, 0] = [p.first_wins + p.ties / 2 for p in mine]
        counts[0, first, second, 1] = [p.second_wins + p.ties / 2 for p in mine]
        strength, _, _ = newton(counts, ties=False, position=False, penalty=1.0)
        _, information = score_and_information(counts, strength, ties=False, position=False, penalty=1.0)
        m = len(names)
        covariance = np.linalg.inv(information[0][:m, :m])
        information_of = pairing.order_information(strength[0, :m], covariance, first, second)
        gains.update({p.id: float(g) for p, g in zip(mine, information_of, strict=True)})
    return gains


def image_of(one: Assignment, token: str) -> tuple[str, str, str]:
    """Contender ('' for the reference), prompt and change behind an image token of the assignment."""
    if token == one.reference_token:
        return "", one.prompt_id, ""
    contender, change = (
        (one.left, one.left_change) if token == one.left_token else (one.right, one.right_change)
    )
    if change.startswith("prompt:"):
        return contender, change.removeprefix("prompt:"), ""
    return contender, one.prompt_id, change
