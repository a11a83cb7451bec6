"""What a rater is handed next: a vote, an attention check or a repeat; chosen, and not yet written.

Reads counters within the caller's transaction and draws from the generator of rater and number, so the
same study seed, rater and tables give the same draft.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Row

from arena import pairing
from arena.db.assignments import Transaction
from arena.db.rows import Draft
from arena.quality import CHECKS
from bench.records import Prompt
from bench.study.file import Arena

FIRST_CHECK = 6
"""Assignments among which the first check stands; never the very first."""
RECHECK = 5
"""Assignments within which another check follows while the checks speak against a rater."""
REPEAT_AFTER = 5
"""A pair comes again only after that many others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What may be shown."""

    settings: Arena
    prompts: Mapping[str, Prompt]
    made: frozenset[tuple[str, str, int]]
    """Contender, prompt and replicate of every image there is."""
    scenes: Mapping[int, int]
    """Pair id → prompts and replicates it can be shown on."""


def draft(
    tx: Transaction,
    stock: Stock,
    rater_id: str,
    number: int,
    mine: Sequence[Row[Any]],
    gain: Mapping[int, float] | None,
) -> Draft | None:
    """The rater's assignment `number`; None where no pair is left for this rater.

    mine: what the rater was handed so far (`arena.db.queries.HISTORY`).
    gain: pair id → expected information, `active` only.
    """
    rng = pairing.generator(stock.settings.seed, rater_id, number)
    if practice_due(stock.settings, mine):
        return draft_practice(stock, rng, number, mine)
    luck = rng.random()
    vote = draft_vote(tx, stock, rng, rater_id, number, mine, gain)
    if vote is None:
        return None
    # Blocks of checks are counted from the first pair after the practice, which has none.
    practised = sum(a.kind == "practice" for a in mine)
    results = [(given - practised, failed) for given, failed in tx.results_of(rater_id)]
    pending = any(_open_check(a) for a in mine)
    if stock.settings.attention_rate and check_due(
        stock.settings, rater_id, number - practised, results, pending
    ):
        return draft_gold(stock, rng, vote.question, mine, "check") or draft_check(stock, rng, vote)
    if luck < stock.settings.repeat_rate:
        return draft_repeat(stock, rng, mine) or vote
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
    made = sorted(stock.made)
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
    a careful rater who slipped once is cleared by it, a careless one is found out.

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
    mine: Sequence[Row[Any]],
    gain: Mapping[int, float] | None,
) -> Draft | None:
    """A pair, then a prompt and replicate this rater has not seen it on, then the sides."""
    seen: dict[tuple[str, str], set[tuple[str, int]]] = {}
    for a in mine:
        if a.kind == "vote":
            seen.setdefault(in_order(a.left, a.right), set()).add((a.prompt_id, a.replicate))
    rows = tx.pairs()
    for question in pairing.question_order(stock.settings.questions, rater_id, number):
        asked = [p for p in rows if p.question == question]
        chosen = pairing.choose_pair(
            rng,
            stock.settings.pairing,
            taken=np.array([p.taken for p in asked], np.int64),
            eligible=np.array([_wanted(p, seen, stock.scenes) for p in asked], bool),
            gain=None if gain is None else np.array([gain.get(p.id, 0.0) for p in asked]),
            epsilon=stock.settings.epsilon,
        )
        if chosen is None:
            continue
        pair = asked[chosen[0]]
        candidates = tx.cells(pair.id)
        shown = seen.get((pair.first, pair.second), set())
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


def _wanted(pair: Row[Any], seen: Mapping[tuple[str, str], set[Any]], scenes: Mapping[int, int]) -> bool:
    """Whether the pair needs votes, and this rater could give one on something new."""
    if pair.decided or pair.taken >= pair.wanted:
        return False
    return len(seen.get((pair.first, pair.second), ())) < scenes.get(pair.id, 0)


def draft_check(stock: Stock, rng: np.random.Generator, like: Draft, kind: str = "check") -> Draft:
    """An obvious pair: an image against itself degraded, or against another prompt's image."""
    shown = like.left
    others = sorted(
        prompt
        for contender, prompt, replicate in stock.made
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


def draft_repeat(stock: Stock, rng: np.random.Generator, mine: Sequence[Row[Any]]) -> Draft | None:
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
        probability=stock.settings.repeat_rate,
        prompt_probability=1 / len(candidates),
        repeats=one.id,
    )


def in_order(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def fitted_gains(rows: Sequence[Row[Any]]) -> dict[int, float]:
    """pair id → expected information, each question fitted alone with a standard normal prior."""
    from bench.ratings.fits import newton, score_and_information

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
