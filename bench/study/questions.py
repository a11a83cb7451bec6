"""The questions a study puts to raters: the three built-in ones, and the operator's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.study.file import BUILT_IN_QUESTIONS, Arena, OwnQuestion

ANSWERS = {
    "forced": ("left", "right"),
    "ties": ("left", "tie", "right"),
    "ties_and_both_bad": ("left", "tie", "both_bad", "right"),
    "seven_points": ("left", "tie", "right"),
}
"""`answers` of a question → the answers a vote may have, in the order of their buttons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, as raters are asked it."""

    name: str
    """As votes and ratings name it."""
    text: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Language code → the question in the operator's words; empty: the arena's own words for a built-in question."""
    answers: tuple[str, ...] = ANSWERS["ties"]
    """Answers a vote may have, in the order of their buttons."""
    scale: bool = False
    """Seven points from left to right in place of buttons for `answers`."""
    comment: bool = False
    """Whether a line for a comment is offered."""
    shows_prompt: bool = True
    """Whether the prompt (and the original of an edit) is shown."""


def questions_of(settings: Arena) -> dict[str, Question]:
    """Name → question, in the order of the study file."""
    general = (
        "ties_and_both_bad" if settings.both_bad and settings.ties else "ties" if settings.ties else "forced"
    )
    asked = {}
    for name in settings.questions:
        own = settings.own_questions.get(name, OwnQuestion())
        answers = ANSWERS[own.answers or general]
        if own.answers is None and settings.both_bad and not settings.ties:
            answers = ("left", "both_bad", "right")
        asked[name] = Question(
            name=name,
            text=own.text,
            answers=answers,
            scale=own.answers == "seven_points",
            comment=own.comment,
            shows_prompt=own.shows_prompt if name not in BUILT_IN_QUESTIONS else name != "quality",
        )
    return asked
