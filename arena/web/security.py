"""The door of the server: headers on every answer; refuses what is too large, what other sites post, and
whoever asks for the administrator's page without having signed in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from ipaddress import ip_address, ip_network

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.errors import InputError

log = logging.getLogger("arena")

BODY_LIMIT = 64 * 1024
"""Bytes of a request."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors "
)
"""Ends in the sites that may frame it, as the next does."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; font-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors "
)
"""For pages: Gradio starts from a script in the page, and compiles templates. Nothing may come from elsewhere."""
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


ARRIVALS = (60, 3600.0)
"""New raters by the open link from one address, and in how many seconds."""
CALLS = (600, 60.0)
"""Requests with one rater's cookie; a quick rater sends five a second."""
LOGINS = (5, 60.0)
"""Wrong administrator tokens from one address before it has to wait, and how long."""


class Window:
    """Counts events by key within the last seconds; in this process only."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.seconds = seconds
        self.clock = clock
        self._events: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def full(self, key: str) -> bool:
        """Whether the key has had its share."""
        with self._lock:
            return len(self._recent(key)) >= self.most

    def add(self, key: str) -> bool:
        """Count one more; False, and nothing is counted, where the key has had its share."""
        with self._lock:
            events = self._recent(key)
            if len(events) >= self.most:
                return False
            events.append(self.clock())
            return True

    def _recent(self, key: str) -> deque[float]:
        now = self.clock()
        if len(self._events) > 10_000:
            self._events = {k: e for k, e in self._events.items() if e and e[-1] > now - self.seconds}
        events = self._events.setdefault(key, deque())
        while events and events[0] <= now - self.seconds:
            events.popleft()
        return events


class RateLimits:
    """How many raters one address may bring, and how much one rater may ask.

    trusted: networks that are not limited, as "10.0.0.0/8"; the server's own machine never is, since a proxy that
        does not pass on addresses would make all raters come from there.
    """

    def __init__(self, trusted: Sequence[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        try:
            self.trusted = [ip_network(one, strict=False) for one in (*trusted, "127.0.0.0/8", "::1/128")]
        except ValueError as error:
            raise InputError(f"--trusted-network: {error}: write it as 10.0.0.0/8") from None
        self.arrivals = Window(*ARRIVALS, clock)
        self.calls = Window(*CALLS, clock)
        self.logins = Window(*LOGINS, clock)

    def new_rater(self, request: Request) -> bool:
        """Whether the address may bring one more rater by the open link."""
        address = self.limited(request)
        return address is None or self.arrivals.add(address)

    def limited(self, request: Request) -> str | None:
        """The request's address; None where it is not limited."""
        try:
            address = ip_address(request.client.host if request.client else "")
        except ValueError:  # a socket of this machine
            return None
        return None if any(address in network for network in self.trusted) else str(address)


SIGN_IN = '<!doctype html><meta http-equiv="refresh" content="0; url=../admin-login"><title>Sign in</title>'


class Guard:
    """Headers on every answer; refuses bodies that are too large, posts from other sites, strangers at /admin.

    Parameters
    ----------
    is_admin
        Whether a request carries the administrator's cookie. Gradio asks that too, but not on all its routes.
    embed
        Sites (`https://huggingface.co`) that may show the rater's page inside their own.
    public_hosts
        Names under which the server is reached, where a tunnel or proxy in front of it passes on another Host.
    """

    def __init__(
        self,
        app: ASGIApp,
        is_admin: Callable[[Request], bool],
        embed: Sequence[str] = (),
        public_hosts: Collection[str] = (),
    ) -> None:
        self.app = app
        self.is_admin = is_admin
        self.embed = tuple(embed)
        self.public_hosts = frozenset(public_hosts)

    def _headers(self, admin: bool, page: bool) -> dict[str, str]:
        """For one answer. The administrator's page is Gradio's whole, and never framed."""
        if admin:
            return {**HEADERS, "X-Frame-Options": "DENY"}
        policy = (PAGE_POLICY if page else POLICY) + (" ".join(self.embed) or "'none'")
        framed = {} if self.embed else {"X-Frame-Options": "DENY"}
        return {**HEADERS, **framed, "Content-Security-Policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        path = request.url.path
        admin = path.startswith("/admin")
        refusal = (
            _cross_site(request, self.public_hosts)
            if request.method not in ("GET", "HEAD", "OPTIONS")
            else None
        )
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            refusal = ("too_large", 413)
        if (path == "/admin" or path.startswith("/admin/")) and not self.is_admin(request):
            refusal = ("unknown_admin", 401)
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > BODY_LIMIT:
                raise _TooLarge
            return message

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                if seen > BODY_LIMIT:  # the framework turned our stop into an answer of its own
                    message = {**message, "status": 413}
                kept = [(k, v) for k, v in message["headers"] if k.lower() not in (b"server",)]
                names = {k.lower() for k, _ in kept}
                page = any(k.lower() == b"content-type" and v.startswith(b"text/html") for k, v in kept)
                extra = self._headers(admin, page)
                kept += [
                    (k.lower().encode(), v.encode())
                    for k, v in extra.items()
                    if k.lower().encode() not in names
                ]
                message = {**message, "headers": kept}
            await send(message)

        try:
            if refusal:
                log.warning("refused %s %s: %s", request.method, path[:100], refusal[0])
                answer: Response = JSONResponse({"error": refusal[0]}, refusal[1])
                if path == "/admin/":  # a person, more likely than not
                    answer = HTMLResponse(SIGN_IN, refusal[1])
                await answer(scope, receive, headed)
            else:
                await self.app(scope, limited, headed)
        except _TooLarge:
            log.warning("refused %s %s: too_large", request.method, path[:100])
            await JSONResponse({"error": "too_large"}, 413)(scope, receive, headed)


class _TooLarge(Exception):
    pass


def _cross_site(request: Request, public_hosts: Collection[str]) -> tuple[str, int] | None:
    """A browser names the origin of a POST; our own calls also carry a header that no form can send."""
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if origin is not None and origin.split("://")[-1] not in {host, *public_hosts}:
        return "cross_site", 403
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "cross_site", 403
    if request.url.path.startswith("/api/") and request.headers.get("x-arena") != "1":
        return "cross_site", 403
    return None
