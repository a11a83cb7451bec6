"""The log of votes: a chain of hashes made with the server's key, and the answers that stand in it.

Every vote and every undo is a row. A row's hash covers the row and the hash before it, so that the holder of the key
sees a row that was changed, removed, added or moved.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Container, Iterable, Mapping
from typing import Any

from arena.db.rows import Logged, hashed_content
from bench.errors import InputError
from bench.records import Battle, Prompt, canonical

GENESIS = "0" * 64
UNDO = "undo"


def chain_hash(key: bytes, previous: str, row: Logged) -> str:
    """HMAC-SHA256 of the previous hash and the row's content."""
    content = canonical(hashed_content(row))
    return hmac.new(key, (previous + content).encode(), hashlib.sha256).hexdigest()


def head_seal(key: bytes, seq: int, head: str) -> str:
    """Shows that the log ended at this row when the server last wrote to it."""
    return hmac.new(key, f"head {seq} {head}".encode(), hashlib.sha256).hexdigest()


def verify_chain(key: bytes, rows: Iterable[Logged], head: str | None = None) -> int:
    """Number of rows. Raises InputError at the first that was changed, removed, added or moved."""
    previous, count = GENESIS, 0
    for row in rows:
        if row.seq != count + 1:
            raise InputError(f"the log breaks at vote {count + 1}: the next row is numbered {row.seq}")
        if not hmac.compare_digest(chain_hash(key, previous, row), row.hash):
            raise InputError(f"the log breaks at vote {row.seq}: it was changed, or the key is another one")
        previous, count = row.hash, row.seq
    if head is not None and head != previous:
        raise InputError(f"the log ends at vote {count}, but the server wrote more: its end was cut off")
    return count


def standing(rows: Iterable[Logged]) -> list[Logged]:
    """The answers that stand: the last of each assignment, unless it was undone. In order of the log."""
    last: dict[int, Logged] = {}
    for row in rows:
        last[row.assignment_id] = row
    return sorted((row for row in last.values() if row.answer != UNDO), key=lambda row: row.seq)


Images = Mapping[tuple[str, str, int], str]
"""Contender, prompt and replicate → sha256 of the study's image."""
IMAGE_CHANGED = "image changed since the vote"


def image_changed(row: Logged, images: Images) -> bool:
    """Whether an image of this vote is no longer the study's; votes of revision 0002 have no hash to compare."""
    for contender, change, digest in (
        (row.left, row.left_change, row.left_sha256),
        (row.right, row.right_change, row.right_sha256),
    ):
        prompt = change.removeprefix("prompt:") if change.startswith("prompt:") else row.prompt_id
        if digest is not None and images.get((contender, prompt, row.replicate), digest) != digest:
            return True
    return False


def battles(
    rows: Iterable[Logged],
    prompts: Mapping[str, Prompt],
    excluded: Mapping[str, str],
    changed: Container[int] = (),
    rules: Mapping[str, tuple[str, ...]] | None = None,
) -> list[Battle]:
    """Standing answers with contenders; nothing is left out.

    Parameters
    ----------
    rows: the log.
    prompts: by id.
    excluded: rater → reason.
    changed: numbers of votes whose images are no longer those of the study.
    rules: rater → quality rules that alone exclude the rater.
    """
    result = []
    for row in standing(rows):
        prompt = prompts.get(row.prompt_id)
        result.append(
            Battle(
                left=row.left,
                right=row.right,
                outcome=row.answer,
                question=row.question,
                rater=row.rater_id,
                prompt_id=row.prompt_id,
                replicate=row.replicate,
                category=prompt.category if prompt else "",
                challenge=prompt.challenge if prompt else "",
                probability=row.probability,
                seconds=row.seconds,
                kind=row.kind,
                excluded=excluded.get(row.rater_id, "") or (IMAGE_CHANGED if row.seq in changed else ""),
                rules="" if row.seq in changed else ",".join((rules or {}).get(row.rater_id, ())),
                group=row.group_label,
                simulated=row.simulated,
                **_as_shown(row.display or {}),
            )
        )
    return result


def _as_shown(display: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a battle that come from `Vote.display`, which holds only what the page sent."""
    width, height = display.get("viewport") or (None, None)
    return {
        "scale": display.get("scale"),
        "comment": display.get("comment", ""),
        "arrangement": display.get("arrangement", ""),
        "picture_side": display.get("side"),
        "viewport_width": width,
        "viewport_height": height,
        "pixel_ratio": display.get("pixel_ratio"),
        "orientation": display.get("orientation", ""),
        "language": display.get("language", ""),
        "prompt_language": display.get("prompt_language", ""),
        "page_build": display.get("build", ""),
        "away": display.get("away"),
    }
