"""Who may vote, and how far their votes can be trusted: keys, cookies, invites, panels, checks.

A rater's id is a salted hash. Whoever comes from a paid panel has the panel's id in a table of its own,
together with the salt; once `arena forget` erases that row nothing leads from the id to the person.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from arena.db import raters
from arena.db.assignments import VoteDatabase
from bench.errors import InputError

PANELS: dict[str, tuple[str, str, str]] = {
    "prolific": ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"),
    "mturk": ("workerId", "hitId", "assignmentId"),
}
"""provider → the link's parameters for participant, study and session."""
MTURK_PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"
"""What Mechanical Turk says while a worker looks at a task and has not accepted it."""


class Refused(Exception):
    """Somebody may not do that; `code` is a key of the languages file, `status` the HTTP status."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


def server_key(folder: Path) -> bytes:
    """ARENA_KEY (64 hex digits), or `arena.key` of the study folder, made at first use (32 random bytes)."""
    given = os.environ.get("ARENA_KEY")
    if given is not None:
        return _key(given, "ARENA_KEY")
    path = folder / "arena.key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _key(path.read_text(encoding="ascii"), str(path))
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
    return _key(path.read_text(encoding="ascii"), str(path))


def _key(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise InputError(f"{where} must be 64 hex digits: make one with `openssl rand -hex 32`")
    return key


def seal(key: bytes, rater_id: str) -> str:
    """The cookie of a rater: id and signature."""
    return f"{rater_id}.{hmac.new(key, b'cookie ' + rater_id.encode(), hashlib.sha256).hexdigest()}"


def unseal(key: bytes, cookie: str) -> str | None:
    """The rater of a cookie; None where this server did not make it."""
    rater_id = cookie.rpartition(".")[0]
    genuine = hmac.compare_digest(seal(key, rater_id).encode(), cookie.encode())
    return rater_id if rater_id and genuine else None


def _hash(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt}/{text}".encode()).hexdigest()[:32]


def create_invites(database: VoteDatabase, *, label: str, count: int, uses: int) -> list[str]:
    """New codes; only their hashes are stored, so they can be shown once."""
    codes = [secrets.token_urlsafe(9) for _ in range(count)]
    with database.writing() as tx:
        for code in codes:
            raters.add_invite(tx.db, _hash("invite", code), label=label, uses=uses)
        tx.set_setting("invites", "yes")
    return codes


def panel_of(parameters: Mapping[str, str]) -> tuple[str, str, str, str] | None:
    """Provider, participant, study and session of a panel link's parameters; None for any other link."""
    for provider, names in PANELS.items():
        if parameters.get(names[0]):
            participant, study, session = (parameters.get(name, "")[:200] for name in names)
            return provider, participant, study, session
    return None


def admit(
    database: VoteDatabase, parameters: Mapping[str, str], *, now: float, invited_only: bool = False
) -> str:
    """The rater behind a link: a new one, or the one this panel participant already is.

    Raises Refused: a wrong or used-up invite, or none where invites are required; a mere look at the task.
    """
    if parameters.get("assignmentId") == MTURK_PREVIEW:
        raise Refused("preview", 403)
    panel = panel_of(parameters)
    if panel is not None:
        try:
            return _admit_panel(database, panel, now=now)
        except IntegrityError:  # the same person came through another server at the same time
            return _admit_panel(database, panel, now=now)
    with database.writing() as tx:
        label: str | None = ""
        if "invite" in parameters:
            label = raters.use_invite(tx.db, _hash("invite", parameters["invite"]))
            if label is None:
                raise Refused("bad_invite", 403)
        elif invited_only:
            raise Refused("need_invite", 403)
        rater_id = _hash(secrets.token_hex(16), secrets.token_hex(16))
        raters.add_rater(tx.db, rater_id, now=now, group=label)
        return rater_id


def _admit_panel(database: VoteDatabase, panel: tuple[str, str, str, str], *, now: float) -> str:
    provider, participant, study, session = panel
    with database.writing() as tx:
        known = raters.panel_rater(tx.db, provider, participant)
        if known is not None:
            return known
        salt = secrets.token_hex(16)
        rater_id = _hash(salt, participant)
        raters.add_rater(tx.db, rater_id, now=now, group=provider)
        raters.add_panel(
            tx.db,
            provider=provider,
            participant=participant,
            panel_study=study,
            panel_session=session,
            salt=salt,
            rater_id=rater_id,
        )
        return rater_id


def admit_simulated(database: VoteDatabase, *, seed: int, now: float) -> str:
    """A simulated rater. Its id, and so the pairs it is given, follow from the seed and how many came before."""
    with database.writing() as tx:
        rater_id = _hash(f"simulated {seed}", str(len(raters.all_raters(tx.db))))
        # The group travels into every export, also into forms that have no column of their own for this.
        raters.add_rater(tx.db, rater_id, now=now, group="simulated", simulated=True)
        return rater_id
