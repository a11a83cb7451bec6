"""The rater's own way out: an address, valid for good, that removes their answers from every later analysis.

`/withdraw` leads the browser that holds the rater's cookie to `/withdraw/TOKEN`, which works in any browser. Opening it
changes nothing; the button on it does.
"""

from __future__ import annotations

from html import escape

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from arena import admission
from arena.db import raters
from arena.voting import Desk
from arena.web.languages import languages, texts

REASON = "by the rater's own link"
PAGE = """<!doctype html><html lang="{language}" dir="{direction}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex"><title>{title}</title>
<body style="font: 1rem/1.5 system-ui; max-width: 34rem; margin: 0 auto; padding: 12vh 1.25rem 2rem">
<h1 style="font-size: 1.6rem; line-height: 1.25">{title}</h1>{content}</body></html>"""
FORM = """<p>{text}</p><form method="post"><button style="font: inherit; font-weight: 600; padding: .7rem 1.4rem;
border: 0; border-radius: .6rem; background: #b3261e; color: #fff">{title}</button></form>
<p style="opacity: .8; overflow-wrap: anywhere">{keep}<br>
<span dir="ltr" style="user-select: all">{address}</span></p>"""


def mount_withdrawal(app: FastAPI, desk: Desk, key: bytes, cookie: str) -> None:
    """The routes; cookie: name of the rater's."""

    @app.get("/withdraw")
    def own(request: Request) -> Response:
        session = admission.unseal(key, request.cookies.get(cookie, ""))
        if session is None or _voted(desk, session.rater_id) is None:
            return _page(request, desk, "bad_link", 404)
        token = admission.withdrawal_token(key, session.rater_id)
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"withdraw/{token}{query}", 303)

    @app.get("/withdraw/{token}")
    def ask(token: str, request: Request) -> Response:
        rater = admission.rater_to_withdraw(key, token)
        voted = None if rater is None else _voted(desk, rater)
        if rater is None or voted is None:
            return _page(request, desk, "bad_link", 404)
        if _is_withdrawn(desk, rater):
            return _page(request, desk, "withdrawn")
        t = _texts(request, desk)
        form = FORM.format(
            title=escape(t["withdraw"]),
            text=escape(t["withdraw_text"].format(done=voted)),
            keep=escape(t["withdraw_keep"]),
            address=escape(str(request.url.replace(query=""))),
        )
        return HTMLResponse(_html(request, desk, form))

    @app.post("/withdraw/{token}")
    def withdraw(token: str, request: Request) -> Response:
        rater = admission.rater_to_withdraw(key, token)
        if rater is None or _voted(desk, rater) is None:
            return _page(request, desk, "bad_link", 404)
        if not _is_withdrawn(desk, rater):
            desk.decide_about(rater, "withdrawn", REASON)
        return _page(request, desk, "withdrawn")


def _voted(desk: Desk, rater_id: str) -> int | None:
    with desk.database.reading() as tx:
        rater = raters.rater(tx.db, rater_id)
    return None if rater is None else rater.voted


def _is_withdrawn(desk: Desk, rater_id: str) -> bool:
    with desk.database.reading() as tx:
        rater = raters.rater(tx.db, rater_id)
    return rater is not None and rater.standing == "withdrawn"


def _language(request: Request, desk: Desk) -> str:
    asked = request.query_params.get("lang", "")
    return asked if asked in languages() else desk.settings.language


def _texts(request: Request, desk: Desk) -> dict[str, str]:
    return texts(_language(request, desk))


def _page(request: Request, desk: Desk, what: str, status: int = 200) -> HTMLResponse:
    content = f"<p>{escape(_texts(request, desk)[what])}</p>"
    return HTMLResponse(_html(request, desk, content), status)


def _html(request: Request, desk: Desk, content: str) -> str:
    t = _texts(request, desk)
    return PAGE.format(
        language=_language(request, desk),
        direction=t["direction"],
        title=escape(t["withdraw"]),
        content=content,
    )
