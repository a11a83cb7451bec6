"""Paid panels: the links participants arrive by, and the proof that a link is the panel's own.

Prolific signs its links with a JSON Web Token (RS256) in `prolific_token`, whose `prolific` claim repeats the
link's ids. Source: Prolific API reference, "Retrieve JSON Web Key Set (JWKS)".
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from bench.errors import InputError

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

    from bench.study.file import Arena

PANELS: dict[str, tuple[str, str, str]] = {
    "prolific": ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"),
    "mturk": ("workerId", "hitId", "assignmentId"),
}
"""provider → the link's parameters for participant, study and session."""
MTURK_PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"
"""What Mechanical Turk passes as `assignmentId` while a worker looks at a task and has not accepted it."""
TOKEN = "prolific_token"
ISSUER = "https://www.prolific.com"
KEYS_ADDRESS = "https://api.prolific.com/.well-known/study/jwks.json"
KEYS_SECONDS = 86400
"""Age at which cached keys are fetched anew; Prolific asks for at least once a day."""
RETRY_SECONDS = 60
"""Between two attempts to fetch the keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelLink:
    """What a panel's link says."""

    provider: str
    participant: str
    study: str
    session: str
    token: str
    """The panel's signature, or empty."""


def panel_link(parameters: Mapping[str, str]) -> PanelLink | None:
    """The panel link in an address's parameters; None for any other address."""
    for provider, names in PANELS.items():
        if parameters.get(names[0]):
            participant, study, session = (parameters.get(name, "")[:200] for name in names)
            token = parameters.get(TOKEN, "") if provider == "prolific" else ""
            return PanelLink(
                provider=provider, participant=participant, study=study, session=session, token=token
            )
    return None


def _download(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=10) as reply:
        return reply.read(1 << 20)


class SigningKeys:
    """A panel's public keys, kept in a file so that a server without a network can still verify links."""

    def __init__(
        self,
        cache: Path,
        address: str = KEYS_ADDRESS,
        *,
        clock: Callable[[], float] = time.time,
        download: Callable[[str], bytes] = _download,
    ) -> None:
        self.cache = cache
        self.address = address
        self.clock = clock
        self.download = download
        self._keys: KeySet | None = None
        self._tried = float("-inf")
        self._lock = threading.Lock()

    def verified(self, link: PanelLink, *, audience: str | None) -> bool:
        """Whether the panel signed exactly these ids, for this site, and the signature has not expired.

        Parameters
        ----------
        audience: address of this study's page; its scheme and host must be those the token was made for.
            None: not checked.
        """
        from joserfc import jwt
        from joserfc.errors import JoseError

        if not link.token:
            return False
        claims = None
        for refresh in (False, True):
            keys = self._key_set(refresh=refresh)
            if keys is None:
                continue
            try:
                claims = jwt.decode(link.token, keys, algorithms=["RS256"]).claims
                break
            except (JoseError, ValueError):  # perhaps a key that is newer than the cache
                continue
        if claims is None:
            return False
        ids = claims.get("prolific")
        expires = claims.get("exp")
        return (
            claims.get("iss") == ISSUER
            and isinstance(expires, int | float)
            and expires > self.clock()
            and isinstance(ids, dict)
            and ids.get("PROLIFIC_PID") == link.participant
            and ids.get("STUDY_ID") == link.study
            and ids.get("SESSION_ID") == link.session
            and (audience is None or _for_site(claims.get("aud"), audience))
        )

    def _key_set(self, *, refresh: bool) -> KeySet | None:
        """Keys from memory or file; fetched where absent, a day old, or where `refresh` asks for it."""
        with self._lock:
            age = self.clock() - self.cache.stat().st_mtime if self.cache.exists() else float("inf")
            due = refresh or age > KEYS_SECONDS
            if due and self.clock() - self._tried > RETRY_SECONDS:
                self._tried = self.clock()
                self._fetch()
            if self._keys is None and self.cache.exists():
                self._keys = parse_keys(self.cache.read_bytes(), str(self.cache))
            return self._keys

    def _fetch(self) -> None:
        import logging

        from bench.store.study_folder import write_bytes

        try:
            data = self.download(self.address)
            self._keys = parse_keys(data, self.address)
            write_bytes(self.cache, data)
        except (OSError, InputError) as error:  # the cached keys still serve
            logging.getLogger("arena").warning(
                "keys of the panel not fetched from %s: %s", self.address, error
            )


def parse_keys(data: bytes, where: str) -> KeySet:
    """A JSON Web Key Set. Raises InputError naming `where` if it is none."""
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        content: Any = json.loads(data)
        return KeySet.import_key_set(content)
    except (ValueError, TypeError, KeyError, JoseError) as error:
        raise InputError(f"{where}: not a JSON Web Key Set ({error})") from None


def completion_code(settings: Arena, kind: str, *, took_part: bool) -> str | None:
    """The code a panel pays by.

    Parameters
    ----------
    kind: `completed`, `full`, `screened_out` or `no_consent`.
    took_part: whether the rater answered anything; then the main code stands in for one that is not set.
    """
    if kind == "completed":
        return settings.completion_code
    own = getattr(settings.codes, kind)
    return own or (settings.completion_code if took_part else None)


def return_link(settings: Arena, code: str | None) -> str | None:
    """Address that leads back to the panel with the code; None where there is no code for the link to carry."""
    link = settings.return_link
    if link is None or (code is None and settings.completion_code is not None):
        return None
    return link.replace("{code}", quote(code or "", safe=""))


def _for_site(audience: Any, site: str) -> bool:
    wanted = urlsplit(site)[:2]
    given = audience if isinstance(audience, list) else [audience]
    return any(isinstance(one, str) and urlsplit(one)[:2] == wanted for one in given)
