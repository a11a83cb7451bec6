"""Who may vote: the server's key, cookies, invites, panel links, sessions.

A rater has one session: the browser whose cookie holds the session's secret. A second browser takes it over only
with a one-time code, so that a person who knows or guesses a panel id does not receive that participant's pairs.

A rater's id is a salted hash. For raters of a paid panel the panel's id is in a table of its own,
together with the salt; once `arena forget` erases that row nothing leads from the id to the person.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import Connection, Row
from sqlalchemy.exc import IntegrityError

from arena.db import raters
from arena.db.database import VoteDatabase
from arena.panels import MTURK_PREVIEW, PanelLink, SigningKeys, panel_link
from bench.errors import InputError
from bench.study.file import Panel

MOVE_SECONDS = 900
"""For which a one-time code is valid."""


class Refused(Exception):
    """A request that is not allowed; `code` is a key of the languages file, `status` the HTTP status."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A rater in one browser: what the cookie holds."""

    rater_id: str
    secret: str
    """Random; empty in cookies of revision 0002, which had none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Who is let in."""

    invited_only: bool = False
    """Only by invite, or by a panel link that the panel signed or whose participant was listed beforehand."""
    panel: Panel = field(default_factory=Panel)
    """The study's own panel ids and address."""
    keys: SigningKeys | None = None
    """Of the panel that signs its links."""


OPEN_GATE = Gate()


def seal(key: bytes, session: Session) -> str:
    """The cookie of a session: signed, not secret."""
    return _serializer(key).dumps([session.rater_id, session.secret])


def unseal(key: bytes, cookie: str) -> Session | None:
    """The session of a cookie; None where this server did not make it."""
    try:
        rater_id, secret = _serializer(key).loads(cookie)
        return Session(rater_id=rater_id, secret=secret)
    except (BadData, ValueError, TypeError):
        return _unseal_old(key, cookie)


def _serializer(key: bytes) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt="arena rater", signer_kwargs={"digest_method": hashlib.sha256})


def withdrawal_token(key: bytes, rater_id: str) -> str:
    """Part of the address by which a rater withdraws; it opens nothing else."""
    return _withdrawal(key).dumps(rater_id)


def rater_to_withdraw(key: bytes, token: str) -> str | None:
    """The rater of such an address; None where this server did not make it."""
    try:
        return str(_withdrawal(key).loads(token))
    except BadData:
        return None


def _withdrawal(key: bytes) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt="arena withdrawal", signer_kwargs={"digest_method": hashlib.sha256})


def _unseal_old(key: bytes, cookie: str) -> Session | None:
    """A cookie of revision 0002: id and signature. Its raters must not be lost when the server is updated."""
    rater_id = cookie.rpartition(".")[0]
    signature = hmac.new(key, b"cookie " + rater_id.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    genuine = hmac.compare_digest(f"{rater_id}.{signature}".encode(), cookie.encode("utf-8", "replace"))
    return Session(rater_id=rater_id, secret="") if rater_id and genuine else None


def is_current(rater: Row[Any], session: Session) -> bool:
    """Whether the session is the rater's one; raters of revision 0002 have none until they come by a link again."""
    if rater.session_hash is None:
        return session.secret == ""
    return hmac.compare_digest(rater.session_hash, _session_hash(session.secret))


def _session_hash(secret: str) -> str:
    return hashlib.sha256(f"session/{secret}".encode()).hexdigest()


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


def admit(
    database: VoteDatabase,
    parameters: Mapping[str, str],
    *,
    now: float,
    gate: Gate = OPEN_GATE,
    session: Session | None = None,
) -> Session:
    """Admit a rater who comes by a link.

    Parameters
    ----------
    parameters: of the link.
    now: seconds since 1970.
    gate: who is let in.
    session: of the browser's cookie.

    Returns
    -------
    The session of a new rater, or of the one who this invited browser or panel participant already is.

    Raises
    ------
    Refused: a wrong or used-up invite or code, or none where one is required; a panel link of another study, not
        confirmed by the panel, of a participant who is listed as not wanted, or already at work in another
        browser; a mere look at the task.
    """
    if parameters.get("assignmentId") == MTURK_PREVIEW:
        raise Refused("preview", 403)
    if "move" in parameters:
        return _move(database, parameters["move"], now=now)
    link = panel_link(parameters)
    if link is not None:
        verified = _verified(database, link, gate)
        try:
            return _admit_panel(database, link, verified, now=now, session=session)
        except IntegrityError:  # the same person came through another server at the same time
            return _admit_panel(database, link, verified, now=now, session=session)
    with database.writing() as tx:
        if session is not None:
            known = raters.rater(tx.db, session.rater_id)
            if known is not None and is_current(known, session):
                return session
        label: str | None = ""
        if "invite" in parameters:
            label = raters.use_invite(tx.db, _hash("invite", parameters["invite"]))
            if label is None:
                raise Refused("bad_invite", 403)
        elif gate.invited_only:
            raise Refused("need_invite", 403)
        rater_id = _hash(secrets.token_hex(16), secrets.token_hex(16))
        raters.add_rater(tx.db, rater_id, now=now, group=label)
        return _new_session(tx.db, rater_id)


def _verified(database: VoteDatabase, link: PanelLink, gate: Gate) -> str:
    """How a panel link is known to be genuine: `signed`, `listed`, or ''. Raises Refused where it may not pass."""
    panel = gate.panel
    if (panel.studies or gate.invited_only) and link.study not in panel.studies:
        raise Refused("wrong_study", 403)
    with database.reading() as tx:
        listed = raters.listed(tx.db, link.provider, link.participant)
    if listed == "out":
        raise Refused("listed_out", 403)
    if link.token:
        if gate.keys is None or not gate.keys.verified(link, audience=panel.address):
            raise Refused("unverified", 403)
        return "signed"
    if listed == "in":
        return "listed"
    if gate.invited_only:
        raise Refused("unverified", 403)
    return ""


def _admit_panel(
    database: VoteDatabase, link: PanelLink, verified: str, *, now: float, session: Session | None
) -> Session:
    with database.writing() as tx:
        rater_id = raters.panel_rater(tx.db, link.provider, link.participant)
        if rater_id is not None:
            rater = raters.rater(tx.db, rater_id, lock=True)
            assert rater is not None, "panels refer to raters"
            if session is not None and session.rater_id == rater_id and is_current(rater, session):
                return session
            if rater.session_hash is not None:
                raise Refused("session_elsewhere", 403)
            return _new_session(tx.db, rater_id)
        salt = secrets.token_hex(16)
        rater_id = _hash(salt, link.participant)
        raters.add_rater(tx.db, rater_id, now=now, group=link.provider)
        raters.add_panel(
            tx.db,
            provider=link.provider,
            participant=link.participant,
            panel_study=link.study,
            panel_session=link.session,
            salt=salt,
            rater_id=rater_id,
            verified=verified,
        )
        return _new_session(tx.db, rater_id)


def _new_session(db: Connection, rater_id: str) -> Session:
    session = Session(rater_id=rater_id, secret=secrets.token_urlsafe(16))
    raters.set_session(db, rater_id, _session_hash(session.secret))
    return session


def move_code(database: VoteDatabase, rater_id: str, *, now: float) -> str:
    """A one-time code that moves the rater's session to another browser: `/?move=CODE`, for MOVE_SECONDS."""
    code = secrets.token_urlsafe(9)
    with database.writing() as tx:
        raters.add_session_code(tx.db, _hash("move", code), rater_id, expires=now + MOVE_SECONDS)
    return code


def _move(database: VoteDatabase, code: str, *, now: float) -> Session:
    with database.writing() as tx:
        rater_id = raters.use_session_code(tx.db, _hash("move", code), now=now)
        if rater_id is None:
            raise Refused("bad_code", 403)
        return _new_session(tx.db, rater_id)


def admit_simulated(database: VoteDatabase, *, seed: int, now: float) -> str:
    """A simulated rater. Its id, and so the pairs it is given, follow from the seed and how many came before."""
    with database.writing() as tx:
        rater_id = _hash(f"simulated {seed}", str(len(raters.all_raters(tx.db))))
        # The group travels into every export, also into forms that have no column of their own for this.
        raters.add_rater(tx.db, rater_id, now=now, group="simulated", simulated=True)
        return rater_id
