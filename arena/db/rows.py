"""What an assignment and a vote consist of, defined once: tables, hash chain, log and export derive from it.

To add a column, add one field here and one migration. `Later` marks a column that the first released databases
lack: it is nullable, a database of an older revision is read as if it were NULL there, and a vote's hash covers
it only where it is filled, so that the hashes of older votes stay valid.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
from typing import Annotated, Any

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Integer, String
from sqlalchemy.types import TypeEngine

UNIQUE = "unique"
PRIMARY = "primary key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Marks a column that came with a revision after the first."""

    revision: str
    """Of `arena/migrations/versions`."""


Sha256 = Annotated[str | None, String(64), Later(revision="0003")]
"""64 hex digits; NULL in votes of earlier versions, and where nothing was rendered (simulated raters)."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two images, a question, and how they were chosen."""

    kind: Annotated[str, String(10)]
    """`vote`, `check` (attention check), `repeat` (the same pair once more) or `practice`."""
    question: Annotated[str, String(40)]
    prompt_id: Annotated[str, String(200)]
    replicate: int
    left: Annotated[str, String(200)]
    """Contender, as is `right`."""
    right: Annotated[str, String(200)]
    probability: float
    """Of the pair, given the question and everything known when it was chosen; 0 to 1."""
    prompt_probability: float
    """Of the prompt and replicate, given the pair; 0 to 1."""
    cell_id: Annotated[int | None, ForeignKey("cells.id")] = None
    """The slot it takes; None for checks and repeats, which take none."""
    left_change: Annotated[str, String(200)] = ""
    """'', 'degraded', or 'prompt:<id>' for the image of another prompt; of attention checks."""
    right_change: Annotated[str, String(200)] = ""
    expected: Annotated[str, String(10)] = ""
    """The right answer of an attention check or practice pair, else empty."""
    repeats: int | None = None
    """Id of the assignment that is shown a second time."""
    left_sha256: Sha256 = None
    """Of the image file, as it was when the pair was handed out."""
    right_sha256: Sha256 = None
    reference_sha256: Sha256 = None
    """Of the image that an edit starts from."""
    left_sent_sha256: Sha256 = None
    """Of the bytes sent to the browser."""
    right_sent_sha256: Sha256 = None
    reference_sent_sha256: Sha256 = None


@dataclass(frozen=True, kw_only=True)
class Draft(Comparison):
    """A comparison that has been chosen and not yet written."""

    pair_id: int | None = None
    cell_taken: int = 0
    """Slots taken in the cell when it was chosen; if another server was faster the draft is void."""

    @property
    def scene(self) -> str | None:
        """A pair of images whatever the sides, which a rater sees at most once; None for checks and repeats."""
        if self.kind != "vote":
            return None
        return "\n".join((*sorted((self.left, self.right)), self.prompt_id, str(self.replicate)))


@dataclass(frozen=True, kw_only=True)
class HandedOut(Comparison):
    """A comparison that was put before a rater: what a vote's hash covers of the assignment."""

    rater_id: Annotated[str, String(64), ForeignKey("raters.id")]
    number: int
    """0-based, within the rater."""
    issued: float
    """Seconds since 1970, UTC, as all times here."""


@dataclass(frozen=True, kw_only=True)
class Assignment(HandedOut):
    """A row of `assignments`."""

    id: Annotated[int, PRIMARY]
    token: Annotated[str, String(64), UNIQUE]
    left_token: Annotated[str, String(64), UNIQUE]
    right_token: Annotated[str, String(64), UNIQUE]
    reference_token: Annotated[str | None, String(64), UNIQUE]
    scene: Annotated[str | None, String(500)]
    """As `Draft.scene`."""
    expires: float
    state: Annotated[str, String(10)] = "open"
    """`open`, `voted`, `expired`, `skipped`, or `released`: voted, but its slot was given back."""
    revision: int = 0
    """Even; 2 more after each undo."""


@dataclass(frozen=True, kw_only=True)
class Vote:
    """A row of `votes`: an answer, or an undo of one. Rows are only ever added."""

    seq: Annotated[int, PRIMARY]
    """1-based, without gaps."""
    assignment_id: Annotated[int, ForeignKey("assignments.id")]
    revision: int
    answer: Annotated[str, String(10)]
    seconds: float | None
    """From the pair's appearance to the answer, by the browser, at most the server's own count."""
    created: float
    hash: Annotated[str, String(64)]
    display: Annotated[dict[str, Any] | None, JSON(none_as_null=True), Later(revision="0003")] = None
    """How the pair was shown: viewport, pixel ratio, picture size, arrangement, language, build of the page."""


@dataclass(frozen=True, kw_only=True)
class Logged(HandedOut, Vote):
    """A line of the exported log: a vote (or an undo) with its assignment and its rater's group."""

    group_label: str
    simulated: bool


def columns(row: type) -> list[Column[Any]]:
    """Columns of a row type, in the order of its fields; fields without a database type are none (`Draft` only).

    The Python type gives the database type, unless the annotation names one.
    """
    hints = typing.get_type_hints(row, include_extras=True)
    return [_column(f.name, hints[f.name], f.default) for f in fields(row)]


def _column(name: str, hint: Any, default: Any) -> Column[Any]:
    extras: list[Any] = []
    if typing.get_origin(hint) is Annotated:
        hint, *extras = typing.get_args(hint)
    accepted = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next((e for e in extras if isinstance(e, TypeEngine)), None) or _TYPES[accepted[0]]()
    keys = [e for e in extras if isinstance(e, ForeignKey)]
    return Column(
        name,
        kind,
        *(ForeignKey(key.target_fullname) for key in keys),
        primary_key=PRIMARY in extras,
        autoincrement="auto" if name == "id" else False,
        unique=True if UNIQUE in extras else None,
        nullable=types.NoneType in accepted,
        default=None if default is MISSING else default,
    )


_TYPES: dict[type, type[TypeEngine[Any]]] = {int: Integer, float: Float, bool: Boolean}


@cache
def field_names(row: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(row))


def later(row: type) -> frozenset[str]:
    """Columns that the first released databases lack."""
    hints = typing.get_type_hints(row, include_extras=True)
    return frozenset(
        name
        for name, hint in hints.items()
        if typing.get_origin(hint) is Annotated
        and any(isinstance(e, Later) for e in typing.get_args(hint)[1:])
    )


_LATER_LOGGED = later(Logged)


def hashed_content(row: Logged) -> Mapping[str, Any]:
    """What a vote's hash covers: every field but the hash itself, and later ones only where they are filled."""
    return {
        name: value
        for name, value in asdict(row).items()
        if name != "hash" and not (value is None and name in _LATER_LOGGED)
    }


def in_order(one: str, other: str) -> tuple[str, str]:
    """Two contenders as the table of pairs holds them."""
    return (one, other) if one < other else (other, one)
