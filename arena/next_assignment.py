"""The pool of pairs, and what a rater is handed next: a vote, an attention check or a repeat, not yet written.

`draft` reads counters within the caller's transaction and draws from the generator of rater and number, so the same
study seed, rater and tables give the same draft.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Row

from arena import pairing
from arena.db.assignments import Transaction
from arena.db.rows import Draft, in_order
from arena.quality import CHECKS
from bench.records import Prompt
from bench.study.file import Arena
from bench.study.study import Study

FIRST_CHECK = 6
"""Assignments among which the first check stands; never the very first."""
RECHECK = 5
"""Assignments within which another check follows while the checks speak against a rater."""
REPEAT_AFTER = 5
"""A pair comes again only after that many others."""
DESIGN_EFFECT = 2.0
"""`active`: variance of a rating over that of as many independent votes. About right for 40 votes a rater on a few
hundred prompts; results/pairing was simulated with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What may be shown."""

    settings: Arena
    prompts: Mapping[str, Prompt]
    images: frozenset[tuple[str, str, int]]
    """Contender, prompt and replicate of every image there is."""
    scenes: Mapping[int, int]
    """Pair id → prompts and replicates it can be shown on."""
    turns: Mapping[tuple[str, int], float]
    """Prompt and replicate → its place in the order that pairs go through (`pairing.shuffled_turns`)."""


@dataclass(slots=True)
class Seen:
    """What one rater was handed so far, votes only."""

    scenes: dict[tuple[str, str], set[tuple[str, int]]] = field(default_factory=dict)
    """Pair in the order of its names → prompts and replicates."""
    asked: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Question and pair → votes."""
    lean: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Pair → times the first stood on the left, less times the second did."""
    left: Counter[str] = field(default_factory=Counter)
    """Contender → times it stood on the left, less times on the right."""


def seen_by(history: Sequence[Row[Any]]) -> Seen:
    """history: the rater's assignments (`arena.db.queries.HISTORY`)."""
    seen = Seen()
    for a in history:
        if a.kind != "vote":
            continue
        pair = in_order(a.left, a.right)
        seen.scenes.setdefault(pair, set()).add((a.prompt_id, a.replicate))
        seen.asked[a.question, *pair] += 1
        seen.lean[pair] += 1 if a.left == pair[0] else -1
        seen.left[a.left] += 1
        seen.left[a.right] -= 1
    return seen


def pool_of(
    settings: Arena,
    comparisons: Iterable[tuple[str, str]],
    scenes: Sequence[tuple[str, int]],
    images: Container[tuple[str, str, int]],
) -> tuple[dict[tuple[str, str, str], tuple[int, Sequence[tuple[str, int]]]], int]:
    """The pool of pairs, and how many scenes are left out of it, counted over the pairs.

    Parameters
    ----------
    comparisons: pairs of contenders that are compared.
    scenes: prompts with replicates.
    images: contender, prompt and replicate of every image there is.

    Returns
    -------
    Question, first and second contender → votes wanted, scenes with images of both; scenes with an image of one alone
    or of none.
    """
    pool, left_out = {}, 0
    for first, second in sorted(in_order(*pair) for pair in comparisons):
        common = [s for s in scenes if (first, *s) in images and (second, *s) in images]
        left_out += len(scenes) - len(common)
        if not common:
            continue
        wanted = pairing.wanted_votes(settings.pairing, settings.votes_per_pair, len(common))
        for question in settings.questions:
            pool[question, first, second] = (wanted, common)
    return pool, left_out


def draft(
    tx: Transaction,
    stock: Stock,
    rater_id: str,
    number: int,
    history: Sequence[Row[Any]],
) -> Draft | None:
    """The rater's assignment `number`; None where no pair is left for this rater.

    history: what the rater was handed so far (`arena.db.queries.HISTORY`).
    """
    rng = pairing.generator(stock.settings.seed, rater_id, number)
    if practice_due(stock.settings, history):
        return draft_practice(stock, rng, number, history)
    point = rng.random()
    vote = draft_vote(tx, stock, rng, rater_id, number, seen_by(history))
    if vote is None:
        return None
    # Blocks of checks are counted from the first pair after the practice, which has none.
    practised = sum(a.kind == "practice" for a in history)
    results = [(given - practised, failed) for given, failed in tx.results_of(rater_id)]
    pending = any(_open_check(a) for a in history)
    if stock.settings.attention_rate and check_due(
        stock.settings, rater_id, number - practised, results, pending
    ):
        return draft_gold(stock, rng, vote.question, history, "check") or draft_check(stock, rng, vote)
    if point < stock.settings.repeat_rate:
        return draft_repeat(stock, rng, history) or vote
    return vote


def practice_due(settings: Arena, mine: Sequence[Row[Any]]) -> bool:
    """Whether the rater has practice pairs to come; raters who began before the study had any get none."""
    if any(a.kind != "practice" and a.state in ("voted", "released") for a in mine):
        return False
    return sum(a.kind == "practice" and a.state in ("open", "voted") for a in mine) < settings.practice.pairs


def draft_practice(
    stock: Stock, rng: np.random.Generator, number: int, mine: Sequence[Row[Any]]
) -> Draft | None:
    """A gold pair this rater has not seen, else any image beside its degraded copy."""
    questions = stock.settings.questions
    question = questions[number % len(questions)]
    gold = draft_gold(stock, rng, question, mine, "practice")
    if gold is not None:
        return gold
    made = sorted(stock.images)
    contender, prompt, replicate = made[int(rng.integers(len(made)))]
    like = Draft(
        kind="practice", question=question, prompt_id=prompt, replicate=replicate,
        left=contender, right=contender, probability=1.0, prompt_probability=1 / len(made),
    )  # fmt: skip
    return draft_check(stock, rng, like, kind="practice")


def draft_gold(
    stock: Stock, rng: np.random.Generator, question: str, mine: Sequence[Row[Any]], kind: str
) -> Draft | None:
    """A gold pair of the question that this rater has not seen as check or practice pair; None where none is left."""
    seen = {
        (a.prompt_id, a.replicate, *in_order(a.left, a.right))
        for a in mine
        if a.kind in ("check", "practice")
    }
    left_over = [
        gold
        for gold in stock.settings.gold
        if gold.question in ("", question)
        and (gold.prompt, gold.replicate, *in_order(gold.better, gold.worse)) not in seen
    ]
    if not left_over:
        return None
    gold = left_over[int(rng.integers(len(left_over)))]
    right_is_good = pairing.swap_sides(rng)
    sides = (gold.worse, gold.better) if right_is_good else (gold.better, gold.worse)
    return Draft(
        kind=kind,
        question=question,
        prompt_id=gold.prompt,
        replicate=gold.replicate,
        left=sides[0],
        right=sides[1],
        expected="right" if right_is_good else "left",
        probability=1.0,
        prompt_probability=1 / len(left_over),
    )


def _open_check(assignment: Row[Any]) -> bool:
    return assignment.kind == "check" and assignment.state == "open"


def check_due(
    settings: Arena, rater_id: str, number: int, results: Sequence[tuple[int, bool]], pending: bool
) -> bool:
    """Whether the rater's assignment `number` is to be an attention check.

    One stands at a random place in every block of 1 / attention_rate assignments, in the first block among the
    first six. While the checks answered so far speak against the rater, another follows within five assignments:
    it clears a careful rater who slipped once, and excludes a careless one.

    Parameters
    ----------
    results: number of each check answered and whether it was failed, in order of the answers.
    pending: whether a check is handed out and not yet answered.
    """
    size = max(1, round(1 / settings.attention_rate))
    block = number // size
    rng = pairing.generator(settings.seed, f"check {rater_id}", block)
    place = (
        int(rng.integers(min(1, size - 1), min(size, FIRST_CHECK))) if block == 0 else int(rng.integers(size))
    )
    if number % size == place:
        return True
    if pending or not results or CHECKS.evidence(failed for _, failed in results).now <= 0:
        return False
    last = max(answered for answered, _ in results)
    gap = pairing.generator(settings.seed, f"recheck {rater_id}", last).integers(2, RECHECK + 1)
    return number >= last + int(gap)


def draft_vote(
    tx: Transaction,
    stock: Stock,
    rng: np.random.Generator,
    rater_id: str,
    number: int,
    seen: Seen,
) -> Draft | None:
    """A pair, then a prompt and replicate this rater has not seen it on, then the sides."""
    rows = tx.pairs()
    for question in pairing.question_order(stock.settings.questions, rater_id, number):
        asked = [p for p in rows if p.question == question]
        chosen = pairing.choose_pair(
            rng,
            stock.settings.pairing,
            taken=np.array([p.taken for p in asked], np.int64),
            own=np.array([seen.asked[question, p.first, p.second] for p in asked], np.int64),
            eligible=np.array([_wanted(p, seen, stock.scenes) for p in asked], bool),
            wanted=np.array([p.wanted for p in asked], np.int64),
        )
        if chosen is None:
            continue
        pair = asked[chosen[0]]
        candidates = tx.cells(pair.id)
        shown = seen.scenes.get((pair.first, pair.second), set())
        scene = pairing.choose_scene(
            taken=np.array([c.taken for c in candidates], np.int64),
            eligible=np.array([(c.prompt_id, c.replicate) not in shown for c in candidates], bool),
            turn=np.array([stock.turns.get((c.prompt_id, c.replicate), 0.0) for c in candidates]),
            begin=chosen[0] / len(asked),
        )
        if scene is None:
            continue
        cell = candidates[scene]
        left, right = _sides(rng, pair.first, pair.second, seen)
        return Draft(
            kind="vote",
            question=question,
            prompt_id=cell.prompt_id,
            replicate=cell.replicate,
            left=left,
            right=right,
            probability=chosen[1],
            prompt_probability=1.0,
            cell_id=cell.id,
            pair_id=pair.id,
            cell_taken=cell.taken,
        )
    return None


def _sides(rng: np.random.Generator, first: str, second: str, seen: Seen) -> tuple[str, str]:
    """Left and right: what makes the rater's sides even, of the pair, then of the two contenders; drawn where both
    are even."""
    lean = seen.lean[first, second] or seen.left[first] - seen.left[second]
    return (second, first) if pairing.swap_sides(rng, lean) else (first, second)


def _wanted(pair: Row[Any], seen: Seen, scenes: Mapping[int, int]) -> bool:
    """Whether the pair needs votes, and this rater could give one on something new."""
    if pair.decided or pair.taken >= pair.wanted:
        return False
    return len(seen.scenes.get((pair.first, pair.second), ())) < scenes.get(pair.id, 0)


def draft_check(stock: Stock, rng: np.random.Generator, like: Draft, kind: str = "check") -> Draft:
    """An obvious pair: an image against itself degraded, or against another prompt's image."""
    shown = like.left
    others = sorted(
        prompt
        for contender, prompt, replicate in stock.images
        if contender == shown
        and replicate == like.replicate
        and prompt != like.prompt_id
        and stock.prompts[prompt].text != stock.prompts[like.prompt_id].text
    )
    change = "degraded"
    if like.question == "alignment" and others:
        change = f"prompt:{others[int(rng.integers(len(others)))]}"
    right_is_good = pairing.swap_sides(rng)
    return Draft(
        kind=kind,
        question=like.question,
        prompt_id=like.prompt_id,
        replicate=like.replicate,
        left=shown,
        right=shown,
        left_change=change if right_is_good else "",
        right_change="" if right_is_good else change,
        expected="right" if right_is_good else "left",
        probability=stock.settings.attention_rate,
        prompt_probability=like.probability * like.prompt_probability,
    )


def draft_repeat(stock: Stock, rng: np.random.Generator, history: Sequence[Row[Any]]) -> Draft | None:
    """A pair this rater answered a while ago, with the sides drawn anew."""
    again = {a.repeats for a in history}
    answered = [a for a in history if a.kind == "vote" and a.state == "voted"]
    candidates = [a for a in answered[:-REPEAT_AFTER] if a.id not in again]
    if not candidates:
        return None
    vote = candidates[int(rng.integers(len(candidates)))]
    sides = (vote.right, vote.left) if pairing.swap_sides(rng) else (vote.left, vote.right)
    return Draft(
        kind="repeat",
        question=vote.question,
        prompt_id=vote.prompt_id,
        replicate=vote.replicate,
        left=sides[0],
        right=sides[1],
        probability=stock.settings.repeat_rate,
        prompt_probability=1 / len(candidates),
        repeats=vote.id,
    )


def votes_by_target(rows: Sequence[Row[Any]], study: Study) -> dict[int, int]:
    """pair id → votes it is to get, `active`: each question's remaining votes by the target's weights.

    Each question is fitted alone, with a standard normal prior; a vote counts as 1 / DESIGN_EFFECT of an independent
    one. The total stays `votes_per_pair` a pair; a decided pair gives none of its votes away. Pairs whose contender
    left the study are passed over.
    """
    from bench.ratings.fits import newton, score_and_information

    wanted: dict[int, int] = {}
    settings, compared = study.file.arena, {in_order(*pair) for pair in study.comparisons}
    rows = [p for p in rows if (p.first, p.second) in compared]
    for question in sorted({p.question for p in rows}):
        asked = [p for p in rows if p.question == question]
        names = sorted({p.first for p in asked} | {p.second for p in asked})
        code, m = {name: i for i, name in enumerate(names)}, len(names)
        first = np.array([code[p.first] for p in asked])
        second = np.array([code[p.second] for p in asked])
        counts = np.zeros((1, m, m, 3))
        counts[0, first, second, 0] = [(p.first_wins + p.ties / 2) / DESIGN_EFFECT for p in asked]
        counts[0, first, second, 1] = [(p.second_wins + p.ties / 2) / DESIGN_EFFECT for p in asked]
        strength, _, _ = newton(counts, ties=False, position=False, penalty=1.0)
        _, information = score_and_information(counts, strength, ties=False, position=False, penalty=1.0)
        covariance = np.linalg.inv(information[0][:m, :m])
        rng = pairing.generator(settings.seed, f"target {question}", int(sum(p.voted for p in asked)))
        weight = pairing.target_weights(
            settings.target, strength[0, :m], covariance, first, second, code.get(study.chosen, -1), rng
        )
        open_pairs = np.array([not p.decided for p in asked])
        taken = np.array([p.taken for p in asked], np.int64)
        used = np.where(open_pairs, taken, np.maximum(taken, settings.votes_per_pair)).sum()
        remaining = max(0, settings.votes_per_pair * len(asked) - int(used))
        if open_pairs.any():
            votes = pairing.allotted(taken[open_pairs], remaining, weight[open_pairs], settings.epsilon)
            still = [p.id for p in asked if not p.decided]
            wanted.update(zip(still, votes.tolist(), strict=True))
    return wanted
