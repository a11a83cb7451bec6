"""Practice pairs: feedback after each, and whether the rater goes on."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from arena.db import raters
from arena.db.database import VoteDatabase
from arena.db.rows import Assignment
from bench.errors import InputError
from bench.study.file import Arena
from bench.study.participation import Gold, in_language


def check_gold(settings: Arena, made: Container[tuple[str, str, int]]) -> None:
    """Raises InputError where a gold pair names an image that the study does not have.

    made: contender, prompt and replicate of every image.
    """
    for gold in settings.gold:
        for contender in (gold.better, gold.worse):
            if (contender, gold.prompt, gold.replicate) not in made:
                raise InputError(
                    f"[[arena.gold]]: there is no image of prompt '{gold.prompt}' by '{contender}' "
                    f"(replicate {gold.replicate}): correct the study file, or generate it"
                )


def judge_practice(database: VoteDatabase, settings: Arena, rater_id: str) -> str:
    """`passed`, `failed` (the rater is screened out), or '' while practice pairs are left."""
    with database.writing() as tx:
        rater = raters.rater(tx.db, rater_id, lock=True)
        answers = tx.results_of(rater_id, "practice")
        if rater is None or rater.practice or len(answers) < settings.practice.pairs:
            return "" if rater is None else rater.practice
        right = sum(not failed for _, failed in answers)
        result = "passed" if right >= settings.practice.needed else "failed"
        raters.set_practice(tx.db, rater_id, result)
        if result == "failed" and not rater.standing:
            tx.release(rater_id, standing="screened", reason=f"practice: {right} of {len(answers)} right")
        return result


def feedback(settings: Arena, one: Assignment, answer: str, language: str) -> dict[str, Any]:
    """What the page says after a practice pair: whether it was right, which was better, and why."""
    gold = next((gold for gold in settings.gold if is_of(gold, one)), None)
    why = "" if gold is None else in_language(gold.why, language, settings.language)
    return {"right": answer == one.expected, "better": one.expected, "why": why}


def is_of(gold: Gold, one: Assignment) -> bool:
    """Whether the assignment shows the gold pair."""
    same = (gold.prompt, gold.replicate) == (one.prompt_id, one.replicate)
    return same and {gold.better, gold.worse} == {one.left, one.right}
