"""Failed attention checks as the rater saw them, for a person to look at before they cost somebody their votes."""

from __future__ import annotations

import io
from base64 import b64encode
from html import escape
from typing import Any

from arena.db import raters
from arena.db.rows import Logged
from arena.db.vote_log import standing
from arena.shown.study_images import shown_as
from arena.voting import Desk
from bench.errors import InputError

SIDE = 160
"""Of a thumbnail, pixels."""
SHOWN = 30
"""Newest failed checks on the page."""


def failed_checks(desk: Desk) -> list[Logged]:
    """Newest first; those set aside are left out."""
    with desk.database.reading() as tx:
        rows = [row for row in standing(tx.log()) if row.kind == "check" and row.answer != row.expected]
        aside = raters.checks_set_aside(tx.db)
    return [row for row in reversed(rows) if row.assignment_id not in aside]


def failed_checks_page(desk: Desk) -> str:
    """The newest failed checks with both images, as HTML."""
    failed = failed_checks(desk)
    if not failed:
        return "<p>No failed check that has not been set aside.</p>"
    rows = "".join(_row(desk, row) for row in failed[:SHOWN])
    more = f"<p>{len(failed) - SHOWN} older ones are in `arena checks`.</p>" if len(failed) > SHOWN else ""
    head = "<tr><th>number</th><th>rater</th><th>left</th><th>right</th><th>expected</th><th>answer</th></tr>"
    return f'<div class="arena"><div class="scroll"><table>{head}{rows}</table></div>{more}</div>'


def _row(desk: Desk, row: Logged) -> str:
    pictures = "".join(f"<td>{_thumbnail(desk, row, side)}</td>" for side in ("left", "right"))
    prompt = desk.prompts.get(row.prompt_id)
    words = escape(prompt.text if prompt else row.prompt_id)
    return (
        f'<tr><td class="n">{row.assignment_id}</td><td>{escape(row.rater_id[:8])}</td>{pictures}'
        f"<td>{escape(row.expected)}</td><td>{escape(row.answer)}</td></tr>"
        f'<tr><td colspan="6" style="white-space: normal"><small>{escape(row.question)}: {words}</small></td></tr>'
    )


def _thumbnail(desk: Desk, row: Logged, side: str) -> str:
    from PIL import Image

    contender, prompt, change = shown_as(getattr(row, side), row.prompt_id, getattr(row, f"{side}_change"))
    key = (contender, prompt, row.replicate)
    images = desk.images
    try:
        data = images.shown.get(images.folder.image(*key), images.made[key], change)
    except (InputError, KeyError):
        return "cannot be shown"
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=80)
    data = b64encode(out.getvalue()).decode()
    return f'<img alt="{side}" width="{small.width}" style="max-width: none" src="data:image/webp;base64,{data}">'


def set_aside(desk: Desk, number: str, reason: str) -> str:
    """Set the check of that number aside; what came of it, in a sentence."""
    if not number.strip().isdecimal():
        return "Write the number of a check."
    try:
        back = desk.set_check_aside(int(number), reason)
    except InputError as error:
        return escape(str(error))
    return f"Check {int(number)} is set aside." + (" The rater's votes count again." if back else "")


def check_rows(desk: Desk) -> list[dict[str, Any]]:
    """The failed checks for the command line."""
    names = (
        "assignment_id",
        "rater_id",
        "question",
        "prompt_id",
        "left",
        "right",
        "left_change",
        "right_change",
    )
    return [
        {name: getattr(row, name) for name in (*names, "expected", "answer")} for row in failed_checks(desk)
    ]
