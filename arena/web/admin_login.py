"""The administrator's way in and out, and the download of votes; the page itself is `arena.web.admin_page`."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from urllib.parse import unquote_plus

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from arena.admission import Refused
from arena.voting import Desk
from arena.web.security import RateLimits

log = logging.getLogger("arena")

ADMIN_COOKIE = "arena_admin"
WRONG_LOGIN = 1.0
"""Seconds before a wrong administrator token is answered."""


def admin_seal(key: bytes, admin_token: str) -> str:
    """What the administrator's cookie holds."""
    return hmac.new(key, b"admin " + admin_token.encode(), hashlib.sha256).hexdigest()


def is_admin(key: bytes, admin_token: str | None, request: Request) -> bool:
    """Whether the request carries the administrator's cookie; never, where there is no token."""
    given = request.cookies.get(ADMIN_COOKIE, "")
    return admin_token is not None and hmac.compare_digest(
        given.encode(), admin_seal(key, admin_token).encode()
    )


def mount_admin(
    app: FastAPI,
    desk: Desk,
    key: bytes,
    admin_token: str,
    *,
    secure: bool,
    admitted: Callable[[Request], bool],
    limits: RateLimits,
) -> None:
    """Mount login, logout, the download of votes and the administrator's page.

    Parameters
    ----------
    key
        Signs the cookie.
    secure
        Whether the cookie is sent over HTTPS only.
    admitted
        Whether a request is the administrator's.
    limits
        Bounds attempts to log in.
    """
    from arena.web import admin_page

    _mount_login(app, key, admin_token, secure=secure, limits=limits)
    _mount_export(app, desk, admitted)
    admin_page.mount(app, desk, lambda request: "admin" if admitted(request) else None)


def _mount_login(app: FastAPI, key: bytes, admin_token: str, *, secure: bool, limits: RateLimits) -> None:
    """The routes that give the administrator's cookie and take it back; the arguments are those of `mount_admin`."""
    from arena.web import admin_page

    @app.get("/admin-login")
    def login_page() -> HTMLResponse:
        return HTMLResponse(admin_page.LOGIN)

    @app.post("/admin-login")
    async def login(request: Request) -> Response:
        fields = (await request.body()).decode("utf-8", "replace")
        given = unquote_plus(fields.removeprefix("token=").strip())
        address = request.client.host if request.client else ""
        if limits.logins.full(address):
            log.warning("refused admin login: too many attempts")
            return PlainTextResponse("too many attempts: wait a minute", 429)
        if not hmac.compare_digest(given.encode(), admin_token.encode()):
            log.warning("refused admin login")
            limits.logins.add(address)
            await asyncio.sleep(WRONG_LOGIN)
            return PlainTextResponse("wrong token", 403)
        response = Response(status_code=303, headers={"Location": "admin/"})
        response.set_cookie(
            ADMIN_COOKIE, admin_seal(key, admin_token), httponly=True, samesite="strict", secure=secure
        )
        return response

    @app.post("/admin-logout")
    def logout() -> Response:
        response = Response(status_code=303, headers={"Location": "admin-login"})
        response.delete_cookie(ADMIN_COOKIE, httponly=True, samesite="strict", secure=secure)
        return response


def _mount_export(app: FastAPI, desk: Desk, admitted: Callable[[Request], bool]) -> None:
    """The route that downloads votes; the arguments are those of `mount_admin`."""

    @app.get("/admin-export/{kind}")
    def export(kind: str, request: Request) -> Response:
        from arena.results import export

        if not admitted(request):
            raise Refused("unknown_rater", 401)
        if kind not in export.FORMATS:
            return PlainTextResponse("not found", 404)
        data = export.exported(desk.database, desk.prompts, kind, desk.exclusion, desk.images.made)
        name = f"{desk.study.name}-votes.{export.FORMATS[kind]}"
        return Response(
            data,
            media_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
