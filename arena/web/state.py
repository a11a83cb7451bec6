"""What the browser may know: the stage, the pairs in hand by random tokens, and how far the rater is."""

from __future__ import annotations

from typing import Any

from arena.db.rows import Assignment
from arena.entry.stages import Hand
from arena.panels import completion_code, return_link
from arena.voting import Desk

LOOK_AGAIN = 6
"""Seconds after which a page without a pair asks again whether there is one."""


def state_of(desk: Desk, hand: Hand, language: str = "") -> dict[str, Any]:
    """The state of one rater, as JSON takes it; language: of the page, for prompts that are translated."""
    settings = desk.study.file.arena
    state: dict[str, Any] = {
        "stage": hand.stage,
        "ballots": [_ballot(desk, one, language) for one in hand.open],
        "progress": {"done": hand.voted, "limit": hand.limit, "study": desk.progress()},
        "can_undo": hand.can_undo,
        "break_after": settings.break_after,
        "min_seconds": settings.min_seconds,
    }
    if hand.stage not in ("vote", "wait") and hand.code:
        code = completion_code(settings, hand.code, took_part=bool(hand.voted))
        state["completion_code"] = code
        state["return_link"] = return_link(settings, code)
    if hand.stage in ("wait", "paused"):
        state["look_again"] = LOOK_AGAIN
    if hand.stage == "closed" and hand.voted and settings.reveal == "after-study":
        state["revealed"] = sorted(c.name for c in desk.study.contenders)
    return state


def _ballot(desk: Desk, one: Assignment, language: str) -> dict[str, Any]:
    ballot: dict[str, Any] = {
        "token": one.token,
        "question": one.question,
        "left": f"i/{one.left_token}",
        "right": f"i/{one.right_token}",
    }
    if one.kind == "practice":
        of = desk.settings.practice.pairs
        ballot["practice"] = {"number": min(one.number + 1, of), "of": of}
    asked = desk.questions.get(one.question)
    if asked is None or asked.shows_prompt:
        prompt = desk.prompts[one.prompt_id]
        ballot["prompt"] = prompt.instruction or prompt.text
        if language in prompt.translations:
            ballot["prompt"] = prompt.translations[language]
            ballot["prompt_language"] = language
    if one.reference_token:
        ballot["reference"] = f"i/{one.reference_token}"
    return ballot
