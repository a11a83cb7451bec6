"""What a rater does beside voting, and gets back: a report about a picture, leaving, the own choices at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from arena.admission import Refused
from arena.db import raters
from arena.db.reports import add_report
from arena.db.vote_log import standing
from arena.entry.stages import Hand
from arena.voting import Desk

BOARD_VOTES = 30
"""Answers below which a board of one's own would show nothing but chance."""


def report(desk: Desk, rater_id: str, token: str, *, side: str, reason: str) -> None:
    """Record what is wrong with a picture, and take the pair away from this rater for good.

    Parameters
    ----------
    token
        Of an assignment the rater holds.
    side
        `left`, `right` or `both`.
    reason
        `offensive`, `broken` or `not_an_image`.

    Raises
    ------
    Refused
        The assignment is not the rater's, or is over.
    """
    now = desk.clock()
    with desk.database.writing() as tx:
        if raters.rater(tx.db, rater_id, lock=True) is None:
            raise Refused("unknown_rater", 401)
        one = tx.by_token(token, lock=True)
        if one is None or one.rater_id != rater_id:
            raise Refused("unknown_token", 404)
        if one.state != "open":
            raise Refused("answered" if one.state == "voted" else "expired", 409)
        add_report(tx.db, one.id, reason=reason, side=side, now=now)
        tx.give_back([one], "skipped")


def leave(desk: Desk, rater_id: str) -> Hand:
    """Give back what the rater holds; coming back later hands out new pairs. Raises Refused: unknown rater."""
    hand = desk.hand(rater_id)
    with desk.database.writing() as tx:
        if raters.rater(tx.db, rater_id, lock=True) is None:
            raise Refused("unknown_rater", 401)
        tx.give_back(tx.open_assignments(rater_id), "expired")
    return replace(hand, stage="finished", open=(), code="completed" if hand.voted else hand.code)


def own_choices(desk: Desk, rater_id: str) -> dict[str, Any]:
    """What the rater chose, with names: for studies that are closed and tell (`reveal`), and for nobody else.

    Returns
    -------
    `choices`: prompt, outcome and the two names, the chosen one first; `votes`: how many; `board`, where the study
    has a `personal_board` and there are enough votes: name, share of its pairs that were won (a tie half), pairs.
    """
    with desk.database.reading() as tx:
        rows = [row for row in standing(tx.log()) if row.rater_id == rater_id and row.kind == "vote"]
    choices, wins, met = [], Counter[str](), Counter[str]()
    for row in rows:
        names = [row.right, row.left] if row.answer == "right" else [row.left, row.right]
        prompt = desk.prompts.get(row.prompt_id)
        words = (prompt.instruction or prompt.text) if prompt else row.prompt_id
        choices.append({"prompt": words, "outcome": row.answer, "names": names})
        if row.answer == "both_bad":
            continue
        met.update(names)
        for name, share in zip(names, (0.5, 0.5) if row.answer == "tie" else (1.0, 0.0), strict=True):
            wins[name] += share  # pyright: ignore[reportArgumentType]
    own: dict[str, Any] = {"choices": choices, "votes": len(rows)}
    if desk.settings.personal_board and len(rows) >= BOARD_VOTES:
        board = [{"name": name, "share": wins[name] / n, "of": n} for name, n in met.items()]
        own["board"] = sorted(board, key=lambda entry: (-entry["share"], entry["name"]))
    return own
