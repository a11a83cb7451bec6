"""The rater's page: a `gr.Blocks` at the root of the server, a page a language, and nothing of Gradio's API.

Consent, break and end are Gradio's own components, shown and hidden by the ballot's stage; the ballot between them
is `arena.web.ballot`. No component has a handler on the server. Of the routes Gradio brings, only those that deliver
the page answer (`RaterPages`).
"""

from __future__ import annotations

import asyncio
import gzip
import re
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arena.web.ballot import ballot, how_to
from arena.web.consent import Consent
from arena.web.languages import languages, texts
from bench.live.theme import theme
from bench.study.questions import Question

if TYPE_CHECKING:
    from fastapi import FastAPI

STATIC = Path(__file__).parent.parent / "static"
TELL_BALLOT = (
    "() => {{ document.querySelector('#ballot [data-part=ballot]')"
    ".dispatchEvent(new CustomEvent('arena:{0}', {{ bubbles: true }})); }}"
)
"""What one of Gradio's buttons does: it sends an event to the ballot, in the browser."""
DELIVERS = re.compile(r"/(assets/[\w-]+(\.[\w-]+)*|static/js/[\w-]+(\.[\w-]+)*|theme\.css|favicon\.ico)")
"""Paths of Gradio's that bring the page to the browser."""
ROOT_OF_THE_PAGE = 'window.gradio_config.root = new URL("./", location.href).href.replace(/\\/$/, "");'
"""Where the page's files lie as the browser sees it: a proxy's path is not known to the server."""
FOREVER = b"public, max-age=31536000, immutable"


def mount(
    app: FastAPI,
    questions: Sequence[Question],
    *,
    language: str,
    native: int,
    smallest: int,
    cross_site: bool = False,
    instructed: bool = False,
    consent: Mapping[str, Consent] | None = None,
) -> None:
    """Mount the page at the root, after all other routes of `app`.

    Parameters
    ----------
    app
        The server.
    questions
        The study's.
    language
        Of the page at `/`; the others are at `/<code>`.
    native, smallest
        Largest and smallest side of a picture, CSS pixels.
    cross_site
        Whether the page may be shown inside another site's.
    instructed
        Whether prompts are orders to change an original picture.
    consent
        Language code → what a rater reads and agrees to; None: the page's own.

    Raises
    ------
    InputError
        There is no such language.
    """
    texts(language)
    codes = (language, *(code for code in languages() if code != language))
    gradio_app = _gradio_app(
        tuple(questions), codes, native, smallest, cross_site, instructed, tuple((consent or {}).items())
    )
    app.mount("/", RaterPages(gradio_app, {"": language, **{code: code for code in codes}}))


@cache
def _gradio_app(
    questions: tuple[Question, ...],
    codes: tuple[str, ...],
    native: int,
    smallest: int,
    cross_site: bool,
    instructed: bool,
    consent: tuple[tuple[str, Consent], ...],
) -> ASGIApp:
    """Gradio's application. It runs no queue, since no component has a handler on the server."""
    shown = {"native": native, "smallest": smallest, "cross_site": cross_site, "instructed": instructed}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SSR mode is not supported")  # it is not asked for
        with ThreadPoolExecutor(1) as thread:  # whether or not a loop runs in this one
            return thread.submit(
                asyncio.run, _mounted_blocks(questions, codes, shown, dict(consent))
            ).result()


async def _mounted_blocks(
    questions: tuple[Question, ...],
    codes: tuple[str, ...],
    shown: Mapping[str, Any],
    consent: Mapping[str, Consent],
) -> ASGIApp:
    """Built within an event loop: without one Gradio opens one for each lock, and closes none."""
    import gradio as gr
    from fastapi import FastAPI

    with gr.Blocks(title=texts(codes[0])["title"], analytics_enabled=False) as blocks:
        _page(questions, codes[0], codes, shown, consent)
    for code in codes[1:]:
        with blocks.route(texts(code)["name"], f"/{code}", show_in_navbar=False):
            _page(questions, code, codes, shown, consent)
    carrier = FastAPI()
    gr.mount_gradio_app(
        carrier,
        blocks,
        path="/",
        allowed_paths=[],
        footer_links=[],
        enable_monitoring=False,
        show_error=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        max_file_size=0,
        theme=theme(),
        js=(STATIC / "rater_page.js").read_text(encoding="utf-8"),
    )
    mounted = carrier.routes[-1]
    assert isinstance(mounted, Mount)
    return mounted.app


def _page(
    questions: Sequence[Question],
    language: str,
    codes: Sequence[str],
    shown: Mapping[str, Any],
    consent: Mapping[str, Consent],
) -> None:
    """The components of one language."""
    import gradio as gr

    t = texts(language)
    with gr.Column(elem_id="welcome", elem_classes="sheet"):
        _text(_render("welcome.html", questions, language, consent.get(language), shown["instructed"]), t)
        gr.Button(t["start"], variant="primary", elem_id="start").click(None, js=TELL_BALLOT.format("start"))
        gr.Button(t["decline"], elem_id="decline").click(None, js=TELL_BALLOT.format("decline"))
        _text(_language_links(language, codes, t), t)
    with gr.Column(elem_id="voting"):
        ballot(questions, language=language, **shown)
    with gr.Column(elem_id="rest", elem_classes="sheet"):
        _text(f'<h1>{escape(t["break_title"])}</h1><p id="rest-text"></p>', t)
        gr.Button(t["continue"], variant="primary", elem_id="continue").click(
            None, js=TELL_BALLOT.format("continue")
        )
    with gr.Column(elem_id="end", elem_classes="sheet"):
        _text(_render("end.html", questions, language), t)
        gr.Button(t["continue"], elem_id="resume").click(None, js=TELL_BALLOT.format("resume"))


def _text(html: str, t: Mapping[str, str]) -> None:
    import gradio as gr

    gr.HTML(f'<div class="words" dir="{t["direction"]}">{html}</div>', apply_default_css=False)


def _render(
    name: str,
    questions: Sequence[Question],
    language: str,
    consent: Consent | None = None,
    instructed: bool = False,
) -> str:
    import jinja2

    t = texts(language)
    how, keys = how_to(questions, t, language, instructed)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    example = questions[0].name if f"example_{questions[0].name}_answer" in t else "alignment"
    if instructed and example == "alignment":
        example = "faithfulness"  # the one with an original picture
    source = (STATIC / name).read_text(encoding="utf-8")
    return environment.from_string(source).render(
        t=t, how=how, keys=keys, example=example, consent=consent or Consent(version="", text=t["consent"])
    )


def _language_links(language: str, codes: Sequence[str], t: Mapping[str, str]) -> str:
    """Links keep the rest of the address, where invites and panels write who is asked (rater_page.js)."""
    links = [
        f'<a href="./{"" if code == codes[0] else code}" hreflang="{code}" lang="{code}" data-language'
        f"{' aria-current=true' if code == language else ''}>{escape(texts(code)['name'])}</a>"
        for code in codes
    ]
    return f'<nav aria-label="{escape(t["language"])}">{" ".join(links)}</nav>'


class RaterPages:
    """Gradio's application, of which only the pages and what they load are reached; the rest is not found.

    pages: path without slashes → language code.
    """

    def __init__(self, app: ASGIApp, pages: Mapping[str, str]) -> None:
        self.app = app
        self.pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        page = self.pages.get(path.removeprefix("/"))
        if scope["method"] not in ("GET", "HEAD") or (page is None and not DELIVERS.fullmatch(path)):
            await PlainTextResponse("not found", 404)(scope, receive, send)
        elif page is None:
            await self.app(scope, receive, _kept_in_cache(send))
        else:
            await self._send_page(page, scope, receive, send)

    async def _send_page(self, language: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio's page says it is English, whatever it is in, and shows nothing until all is loaded."""
        plain = [(k, v) for k, v in scope["headers"] if k != b"accept-encoding"]
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
            else:
                body += message.get("body", b"")

        path = (
            "/" if language == self.pages[""] else f"/{language}"
        )  # the study's own has no other address there
        changed = {"path": path, "raw_path": path.encode(), "headers": plain, "method": "GET"}
        await self.app({**scope, **changed}, receive, collect)
        if start.get("status") != 200:
            await Response(body, start.get("status", 500))(scope, receive, send)
            return
        page = localised(body.decode(), language).encode()
        headers = {"Vary": "Accept-Encoding"}
        if "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            page, headers["Content-Encoding"] = gzip.compress(page, 6), "gzip"
        await Response(page, media_type="text/html", headers=headers)(scope, receive, send)


def localised(html: str, language: str) -> str:
    """Gradio's page in its language: `lang`, `dir`, title, and words to read until the script is there."""
    t = texts(language)
    html = html.replace('<html\n\tlang="en"', f'<html\n\tlang="{language}"\n\tdir="{t["direction"]}"', 1)
    style = (STATIC / "rater_page.css").read_text(
        encoding="utf-8"
    )  # as `css`, Gradio would prefix its selectors
    title = f'<style>{style}</style><title>{escape(t["title"])}</title><meta name="robots" content="noindex">'
    html = html.replace('<meta charset="utf-8" />', f'<meta charset="utf-8" />{title}', 1)
    waiting = (
        '<div id="arena-waiting" style="max-width: 42rem; margin: 20vh auto; padding: 0 1.25rem; '
        f'font: 1.1rem/1.5 system-ui, sans-serif"><h1>{escape(t["title"])}</h1><p>{escape(t["page_loading"])}</p>'
        f"<noscript><p>{escape(t['no_script'])}</p></noscript></div>"
    )
    html = html.replace("window.gradio_api_info", f"{ROOT_OF_THE_PAGE}window.gradio_api_info", 1)
    return html.replace("<gradio-app", f"{waiting}<gradio-app", 1)


def _kept_in_cache(send: Send) -> Send:
    """Assets carry a hash of what is in them in their names, so a browser need not ask twice."""

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            headers = [(k, v) for k, v in message["headers"] if k.lower() != b"cache-control"]
            message = {**message, "headers": [*headers, (b"cache-control", FOREVER)]}
        await send(message)

    return sender
