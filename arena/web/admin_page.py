"""The administrator's page: a Gradio interface mounted on the server, behind a token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import FastAPI, Request

from arena.db.assignments import PHASES
from arena.results.export import FORMATS
from arena.voting import Desk
from arena.web import admin_checks, admin_views
from bench.live.theme import theme

LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>Administration</title>
<body style="font: 1rem/1.5 system-ui; max-width: 24rem; margin: 0 auto; padding: 20vh 1rem 1rem"><main>
<h1 style="font-size: 1.6rem">Administration</h1><form method="post" action="admin-login">
<label>Token<br><input name="token" type="password" autocomplete="current-password" required autofocus
style="font: inherit; width: 100%; box-sizing: border-box; padding: .7rem; border-radius: .6rem;
border: 1px solid #888">
</label><p><button style="font: inherit; font-weight: 600; padding: .7rem 1.4rem; border: 0; border-radius: .6rem;
background: #0b5cb5; color: #fff">Sign in</button></p></form></main></body></html>"""

LABELS = {"open": "Open", "paused": "Pause", "closed": "Close"}
FINAL = {
    "never": "Nobody is given another pair. It can be opened again.",
    "after-study": "Nobody is given another pair, and everyone who has voted is shown the contenders' names: "
    "after that, new votes of theirs would not be blind.",
}
"""What closing does, by when the study reveals its contenders."""
EVERY = 10
"""Seconds between looks at the counters while the page is open."""


def set_phase(desk: Desk, phase: str) -> str:
    desk.set_phase(phase)
    return admin_views.progress(desk)


HEAD = """<form method="post" action="../admin-logout" style="display: flex; justify-content: space-between;
align-items: center; gap: 1rem"><h1 style="margin: 0; font-size: 1.6rem; font-weight: 700">Administration</h1>
<button style="text-decoration: underline">Sign out</button></form>"""


def phase_buttons(desk: Desk) -> list[Any]:
    """The three buttons; the one of the present phase is marked, and does nothing."""
    import gradio as gr

    with desk.database.reading() as tx:
        present = tx.phase
    return [
        gr.Button(variant="primary" if phase == present else "secondary", interactive=phase != present)
        for phase in PHASES
    ]


def mount(app: FastAPI, desk: Desk, who: Callable[[Request], str | None]) -> None:
    """Mount at /admin. No file of the study can be reached, no handler is public, nothing is monitored."""

    async def within_a_loop() -> None:  # without one Gradio opens one for each lock, and closes none
        _mount(app, desk, who)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, within_a_loop()).result()


def _mount(app: FastAPI, desk: Desk, who: Callable[[Request], str | None]) -> None:
    import gradio as gr

    with gr.Blocks(title="Administration", analytics_enabled=False) as blocks:
        _fill(blocks, desk)
    gr.mount_gradio_app(
        app,
        blocks,
        path="/admin",
        auth_dependency=who,
        allowed_paths=[],
        blocked_paths=[str(desk.folder.path.resolve())],
        footer_links=[],
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        max_file_size=0,
        theme=theme(),
    )


def _fill(blocks: Any, desk: Desk) -> None:
    """The components and their handlers, within the page's context."""
    import gradio as gr

    gr.HTML(HEAD)
    status = gr.HTML()
    with gr.Row():
        buttons = {phase: gr.Button(LABELS[phase], min_width=80) for phase in PHASES}
        refresh = gr.Button("Refresh", min_width=80)
    phases = list(buttons.values())
    _closing(desk, buttons, [status, *phases])
    links = " · ".join(f'<a href="../admin-export/{kind}" download>{kind}</a>' for kind in FORMATS)
    gr.HTML(f"Download the votes: {links}")
    with gr.Tab("Leaderboard"):
        board = gr.HTML()
    with gr.Tab("Pairs"):
        matrix = gr.HTML()
    with gr.Tab("Raters"):
        people = gr.Dataframe(headers=admin_views.RATER_COLUMNS, interactive=False)
    with gr.Tab("Checks"):
        failed = _checks(desk)
    with gr.Tab("Reports"):
        gr.HTML("Pictures that raters reported. Such a pair never comes back to the rater who reported it.")
        reports = gr.Dataframe(headers=admin_views.REPORT_COLUMNS, interactive=False)

    def everything() -> list[Any]:
        checks = admin_checks.failed_checks_page(desk)
        return [*admin_views.everything(desk), checks, *phase_buttons(desk)]

    outputs = [status, matrix, board, people, reports, failed, *phases]
    blocks.load(everything, None, outputs, api_visibility="private")
    refresh.click(everything, None, outputs, api_visibility="private")
    gr.Timer(EVERY).tick(
        lambda: [admin_views.progress(desk), admin_views.matrix(desk), *phase_buttons(desk)],
        None,
        [status, matrix, *phases],
        api_visibility="private",
        show_progress="hidden",
    )


def _closing(desk: Desk, buttons: Mapping[str, Any], outputs: Sequence[Any]) -> None:
    """The buttons of the phases; closing asks first. outputs: the status, then the buttons."""
    import gradio as gr

    with gr.Column(visible=False) as sure:
        gr.HTML(f"<strong>Close the study?</strong> {FINAL[desk.settings.reveal]}")
        with gr.Row():
            close = gr.Button("Close the study", variant="stop", min_width=80)
            keep = gr.Button("Not now", min_width=80)
    status, *phases = outputs
    for phase, button in {**buttons, "closed": close}.items():
        button.click(
            lambda phase=phase: [set_phase(desk, phase), gr.Column(visible=False), *phase_buttons(desk)],
            None,
            [status, sure, *phases],
            api_visibility="private",
        )
    buttons["closed"].click(lambda: gr.Column(visible=True), None, sure, api_visibility="private")
    keep.click(lambda: gr.Column(visible=False), None, sure, api_visibility="private")


def _checks(desk: Desk) -> Any:
    """The tab of failed attention checks; the component that lists them."""
    import gradio as gr

    gr.HTML(
        "Attention checks that were failed. Set one aside where its images do not show what they should: it is then "
        "not held against the rater."
    )
    with gr.Row():
        number = gr.Textbox(label="Number", max_length=12)
        reason = gr.Textbox(label="Reason", max_length=200)
        aside = gr.Button("Set aside", min_width=80)
    answer = gr.HTML()
    failed = gr.HTML()
    aside.click(
        lambda number, reason: [
            admin_checks.set_aside(desk, number, reason),
            admin_checks.failed_checks_page(desk),
        ],
        [number, reason],
        [answer, failed],
        api_visibility="private",
    )
    return failed
