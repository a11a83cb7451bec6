"""The server: the calls of the rater's page, the images, and what is mounted beside them."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from arena import admission, feedback
from arena.admission import OPEN_GATE, Gate, Refused
from arena.db import raters as register
from arena.entry.practice import feedback as practice_feedback
from arena.entry.screening import check_declared, settle_in
from arena.entry.stages import Hand
from arena.panels import completion_code, panel_link, return_link
from arena.voting import Desk
from arena.web import rater_page
from arena.web.admin_login import is_admin, mount_admin
from arena.web.consent import consent_of
from arena.web.inputs import Nothing, Report, Skip, Start, Vote, as_stored
from arena.web.languages import languages
from arena.web.security import Guard, RateLimits
from arena.web.state import state_of
from arena.web.withdrawal import mount_withdrawal
from bench.errors import InputError

log = logging.getLogger("arena")

COOKIE = "arena_rater"
TIDY = 15
"""Seconds between looks at what expired and what is decided."""
DELAY = 0.1
"""Seconds: an image is answered at the next multiple, so that the time says nothing about its file."""


def create_app(
    desk: Desk,
    key: bytes,
    *,
    admin_token: str | None = None,
    gate: Gate = OPEN_GATE,
    limits: RateLimits | None = None,
    secure: bool = False,
    embed: Sequence[str] = (),
    public_hosts: Collection[str] = (),
) -> FastAPI:
    """The server of one study.

    Parameters
    ----------
    key
        Signs cookies and votes.
    admin_token
        Opens the administrator's page; None: there is none.
    gate
        Who is let in.
    limits
        None: the usual ones.
    secure
        Whether cookies are sent over HTTPS only.
    embed, public_hosts
        As of `arena.web.security.Guard`.
    """
    desk.images.are_sent = True
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=partial(_alive, desk))
    admitted = partial(is_admin, key, admin_token)
    app.add_middleware(Guard, is_admin=admitted, embed=embed, public_hosts=public_hosts)
    _errors(app, desk)
    _mount_health(app, desk)
    limits = app.state.limits = limits or RateLimits()
    _mount_entrance(app, desk, key, gate=gate, limits=limits, secure=secure, cross_site=bool(embed))
    _mount_voting(app, desk, key)
    _mount_pictures(app, desk, key)
    mount_withdrawal(app, desk, key, COOKIE)
    if admin_token is not None:
        mount_admin(app, desk, key, admin_token, secure=secure, admitted=admitted, limits=limits)
    settings = desk.settings
    rater_page.mount(  # last: what no route above answers is the page's
        app,
        list(desk.questions.values()),
        language=settings.language,
        native=desk.study.file.display_size,
        smallest=settings.min_image_px,
        cross_site=bool(embed),
        instructed=any(prompt.instruction for prompt in desk.prompts.values()),
        consent={code: consent_of(settings, code) for code in languages()},
    )
    return app


def _rater_of(request: Request, desk: Desk, key: bytes) -> str:
    """The rater whose one session this browser holds."""
    session = admission.unseal(key, request.cookies.get(COOKIE, ""))
    if session is None:
        raise Refused("unknown_rater", 401)
    if not request.app.state.limits.calls.add(session.rater_id):
        raise Refused("too_many", 429)
    with desk.database.reading() as tx:
        rater = register.rater(tx.db, session.rater_id)
    if rater is None:
        raise Refused("unknown_rater", 401)
    if not admission.is_current(rater, session):
        raise Refused("session_elsewhere", 401)
    return session.rater_id


def _language(request: Request, desk: Desk) -> str:
    """Of the page that asks; the study's, where it names none that there is."""
    named = request.query_params.get("lang", "")
    return named if named in languages() else desk.settings.language


def _state(request: Request, desk: Desk, hand: Hand) -> dict[str, Any]:
    return state_of(desk, hand, _language(request, desk))


def _mount_health(app: FastAPI, desk: Desk) -> None:
    """The address that a proxy asks whether the server works."""

    @app.get("/healthz")
    def health() -> PlainTextResponse:
        with desk.database.reading() as tx:
            _ = tx.phase
        return PlainTextResponse("ok")


def _mount_entrance(
    app: FastAPI,
    desk: Desk,
    key: bytes,
    *,
    gate: Gate,
    limits: RateLimits,
    secure: bool,
    cross_site: bool,
) -> None:
    """Where a rater comes in, by open link, invite or panel, and comes back to."""

    @app.post("/api/start")
    def start(given: Start, request: Request) -> Response:
        cookie = admission.unseal(key, request.cookies.get(COOKIE, ""))
        by_open_link = not (panel_link(given.parameters) or {"invite", "move"} & set(given.parameters))
        if by_open_link and cookie is None and not limits.new_rater(request):
            raise Refused("too_many", 429)
        language = _language(request, desk)
        failed = check_declared(desk.settings, given.declared)
        session = admission.admit(
            desk.database, given.parameters, now=desk.clock(), gate=gate, session=cookie
        )
        agreed = consent_of(desk.settings, language)
        settle_in(
            desk.database,
            desk.settings,
            session.rater_id,
            declared=given.declared,
            failed=failed,
            language=language,
            consent=(agreed.version, agreed.sha256),
            now=desk.clock(),
        )
        response = JSONResponse({"state": _state(request, desk, desk.hand(session.rater_id))})
        # Inside another site's page a browser keeps a cookie only if it is kept apart for that site.
        scope = "SameSite=None; Secure; Partitioned" if cross_site else f"SameSite=Lax{'; Secure' * secure}"
        sealed = f"{COOKIE}={admission.seal(key, session)}; HttpOnly; Max-Age={90 * 86400}; Path=/; {scope}"
        response.headers.append("Set-Cookie", sealed)
        return response

    @app.post("/api/move")
    def move(given: Nothing, request: Request) -> Any:
        """A one-time code that moves this rater to another browser: /?move=CODE."""
        return {"code": admission.move_code(desk.database, _rater_of(request, desk, key), now=desk.clock())}

    @app.post("/api/decline")
    def decline(given: Nothing) -> Any:
        """Somebody does not consent: nothing is stored, and the panel's code for it is shown."""
        code = completion_code(desk.settings, "no_consent", took_part=False)
        return {"completion_code": code, "return_link": return_link(desk.settings, code)}

    @app.post("/api/state")
    def state(given: Nothing, request: Request) -> Any:
        try:
            return {"state": _state(request, desk, desk.hand(_rater_of(request, desk, key)))}
        except Refused:
            return {"state": {"stage": "consent", "ballots": [], "progress": {"done": 0}}}


def _mount_voting(app: FastAPI, desk: Desk, key: bytes) -> None:
    """What a rater answers to a pair; each reply brings what comes next."""

    @app.post("/api/vote")
    def vote(given: Vote, request: Request) -> Any:
        rater = _rater_of(request, desk, key)
        try:
            desk.vote(rater, given.token, given.answer, given.seconds, as_stored(given))
        except Refused as error:
            if error.status not in (404, 409, 410):
                raise
            log.warning("refused vote: %s", error.code)
            return JSONResponse(
                {"error": error.code, "state": _state(request, desk, desk.hand(rater))}, error.status
            )
        # From here on the vote is saved, and the answer must say so even if the next pair cannot be had.
        try:
            state = _state(request, desk, desk.hand(rater))
            return {"saved": True, "state": state, **_feedback(desk, given, request)}
        except (OperationalError, InterfaceError, PoolTimeout):
            log.exception("saved, but no next pair")
            return {"saved": True}

    @app.post("/api/undo")
    def undo(given: Nothing, request: Request) -> Any:
        rater = _rater_of(request, desk, key)
        desk.undo(rater)
        return {"state": _state(request, desk, desk.hand(rater))}

    @app.post("/api/skip")
    def skip(given: Skip, request: Request) -> Any:
        rater = _rater_of(request, desk, key)
        desk.skip(rater, given.token)
        return {"state": _state(request, desk, desk.hand(rater))}

    @app.post("/api/report")
    def report(given: Report, request: Request) -> Any:
        rater = _rater_of(request, desk, key)
        try:
            feedback.report(desk, rater, given.token, side=given.side, reason=given.reason)
        except Refused as error:
            if error.status not in (404, 409):
                raise
            return JSONResponse(
                {"error": error.code, "state": _state(request, desk, desk.hand(rater))}, error.status
            )
        return {"state": _state(request, desk, desk.hand(rater))}

    @app.post("/api/finish")
    def finish(given: Nothing, request: Request) -> Any:
        return {"state": _state(request, desk, feedback.leave(desk, _rater_of(request, desk, key)))}

    @app.post("/api/choices")
    def choices(given: Nothing, request: Request) -> Any:
        rater = _rater_of(request, desk, key)
        if desk.settings.reveal != "after-study" or desk.hand(rater).stage != "closed":
            raise Refused("closed", 403)
        return feedback.own_choices(desk, rater)


def _mount_pictures(app: FastAPI, desk: Desk, key: bytes) -> None:
    @app.get("/i/{token}")
    async def image(token: str, request: Request) -> Response:
        started = time.perf_counter()
        data = await run_in_threadpool(_image, desk, _rater_of(request, desk, key), token)
        spent = time.perf_counter() - started
        await asyncio.sleep(rest_of_delay(spent))
        if data is None:
            log.warning("refused image")
            return PlainTextResponse("not found", 404)
        return Response(data, media_type="image/webp")


@asynccontextmanager
async def _alive(desk: Desk, app: FastAPI) -> AsyncIterator[None]:
    """While the server lives, pairs expire and are decided even without requests."""

    async def tidy() -> None:
        while True:
            await asyncio.sleep(TIDY)
            try:
                await run_in_threadpool(desk.tidy)
            except (OperationalError, InterfaceError, PoolTimeout) as error:
                log.error("database away while tidying: %s", error)
            except InputError as error:
                log.error("the study's folder changed, and cannot be taken over: %s", error)

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():  # a bug: nothing would be said of it before the server stops
            log.error(
                "expired and decided pairs are looked at no more: start the server again",
                exc_info=task.exception(),
            )

    task = asyncio.create_task(tidy())
    task.add_done_callback(ended)
    yield
    task.cancel()


def rest_of_delay(spent: float) -> float:
    """Seconds to wait after `spent` seconds of work, so that every answer takes a multiple of DELAY."""
    return DELAY * max(1, math.ceil(spent / DELAY)) - spent


def _image(desk: Desk, rater_id: str, token: str) -> bytes | None:
    """Encoded image of a token; None for anything but an open assignment of this rater."""
    if "\0" in token:
        return None
    with desk.database.reading() as tx:
        one = tx.by_image_token(token)
    if one is None or one.rater_id != rater_id or one.state != "open" or one.expires < desk.clock():
        return None
    try:
        return desk.images.sent(one, token)
    except InputError:
        log.exception("an image cannot be shown")
        return None


def _feedback(desk: Desk, given: Vote, request: Request) -> dict[str, Any]:
    """After a practice pair: what the page says about the answer."""
    if not desk.settings.practice.pairs:
        return {}
    with desk.database.reading() as tx:
        one = tx.by_token(given.token)
    if one is None or one.kind != "practice":
        return {}
    return {"feedback": practice_feedback(desk.settings, one, given.answer, _language(request, desk))}


def _errors(app: FastAPI, desk: Desk) -> None:
    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> JSONResponse:
        log.warning("refused %s %s: %s", request.method, request.url.path[:100], error.code)
        return JSONResponse({"error": error.code}, error.status)

    @app.exception_handler(RequestValidationError)
    def unreadable(request: Request, error: RequestValidationError) -> JSONResponse:
        log.warning("refused %s %s: bad_request", request.method, request.url.path[:100])
        return JSONResponse({"error": "bad_request"}, 422)

    def unstorable(request: Request, error: Exception) -> JSONResponse:
        log.warning(
            "refused %s %s: text that the database cannot store", request.method, request.url.path[:100]
        )
        return JSONResponse({"error": "bad_request"}, 422)

    def away(request: Request, error: Exception) -> JSONResponse:
        log.error("database away at %s: %s", request.url.path[:100], error)
        return JSONResponse({"error": "not_saved"}, 503)

    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.add_exception_handler(kind, away)
    app.add_exception_handler(DataError, unstorable)


def new_token() -> str:
    return secrets.token_urlsafe(24)
