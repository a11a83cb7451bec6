"""The administrator's page: a Gradio interface mounted on the server, behind a token."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request

from arena import register
from arena.desk import Desk
from arena.exchange import FORMATS, collect
from bench.records import InputError

LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Administration</title>
<body style="font: 1rem system-ui; max-width: 24rem; margin: 4rem auto; padding: 1rem">
<h1 style="font-size: 1.4rem">Administration</h1><form method="post" action="admin-login">
<label>Token<br><input name="token" type="password" autocomplete="current-password" required
style="font: inherit; width: 100%; padding: .6rem"></label>
<p><button style="font: inherit; padding: .6rem 1rem">Sign in</button></p></form></body></html>"""


def progress_text(desk: Desk) -> str:
    """Markdown: phase, votes, raters, what was left out."""
    with desk.ballots.reading() as tx:
        rows, phase, states, raters = tx.pairs(), tx.phase, tx.state_counts(), register.all_raters(tx.db)
    voted, wanted = sum(p.voted for p in rows), sum(p.wanted for p in rows)
    simulated = any(r.simulated for r in raters)
    lines = [
        f"**{html.escape(desk.study.name)}** is **{phase}**: {voted} of {wanted} votes "
        f"({100 * voted / max(wanted, 1):.1f}%), {len(raters)} raters.",
        f"Assignments: {', '.join(f'{n} {state}' for state, n in sorted(states.items())) or 'none yet'}.",
    ]
    if desk.left_out:
        lines.append(f"{desk.left_out} pairs × prompts are not shown because an image is missing.")
    if simulated:
        lines.insert(0, "## SIMULATED VOTES: nothing here says anything about a model")
    return "\n\n".join(lines)


def pair_rows(desk: Desk) -> list[list[Any]]:
    """question, first, second, first wins, second wins, ties, both bad, votes, wanted"""
    with desk.ballots.reading() as tx:
        rows = tx.pairs()
    return [
        [p.question, p.first, p.second, p.first_wins, p.second_wins, p.ties, p.both_bad, p.voted, p.wanted]
        for p in rows
    ]


def rating_rows(desk: Desk) -> tuple[str, list[list[Any]]]:
    """A note, and question, contender, rating, low, high, votes."""
    from arena.battles import code_battles
    from arena.rate import Options, rate

    rows, _ = collect(desk.ballots, desk.prompts)
    try:
        document = rate(
            code_battles(rows),
            study=desk.study.name,
            options=Options(anchor=desk.study.file.report.anchor, bootstrap=0, shuffles=1),
        )
    except InputError as error:
        return str(error), []
    table = [
        [question, r.contender, _round(r.rating), _round(r.low), _round(r.high), r.n]
        for question, block in document.questions.items()
        for r in block.ratings
    ]
    note = f"{document.n_votes} votes counted; left out: {document.excluded or 'none'}; 95% intervals."
    return note, table


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def rater_rows(desk: Desk) -> list[list[Any]]:
    """One row a rater, as `arena.raters.trust` sees them."""
    _, about = collect(desk.ballots, desk.prompts)
    return [
        [
            t.rater[:8],
            t.group,
            t.votes,
            f"{t.checks_passed}/{t.checks_passed + t.checks_failed}",
            f"{t.repeats_same}/{t.repeats}",
            _round(t.median_seconds),
            f"{100 * t.same_side:.0f}%",
            t.verdict,
        ]
        for t in about
    ]


def set_phase(desk: Desk, phase: str) -> str:
    with desk.ballots.writing() as tx:
        tx.set_setting("phase", phase)
    return progress_text(desk)


def mount(app: FastAPI, desk: Desk, who: Callable[[Request], str | None]) -> None:
    """Mount at /admin. No file of the study can be reached, no handler is public, nothing is monitored."""
    import gradio as gr

    with gr.Blocks(title="Administration", analytics_enabled=False) as blocks:
        status = gr.Markdown()
        with gr.Row():
            buttons = {
                phase: gr.Button(label)
                for phase, label in (("open", "Open"), ("paused", "Pause"), ("closed", "Close for good"))
            }
            refresh = gr.Button("Refresh", variant="primary")
        links = " · ".join(f'<a href="../admin-export/{kind}" download>{kind}</a>' for kind in FORMATS)
        gr.HTML(f"<p>Download the votes: {links}</p>")
        gr.Markdown("### Pairs")
        pair_table = gr.Dataframe(
            headers=[
                "question",
                "first",
                "second",
                "first wins",
                "second wins",
                "ties",
                "both bad",
                "votes",
                "wanted",
            ],
            interactive=False,
        )
        gr.Markdown("### Leaderboard")
        note = gr.Markdown()
        board = gr.Dataframe(
            headers=["question", "contender", "rating", "low", "high", "votes"], interactive=False
        )
        gr.Markdown("### Raters")
        rater_table = gr.Dataframe(
            headers=["rater", "group", "votes", "checks", "repeats", "median s", "same side", "verdict"],
            interactive=False,
        )

        def everything() -> tuple[Any, ...]:
            said, ratings = rating_rows(desk)
            return progress_text(desk), pair_rows(desk), said, ratings, rater_rows(desk)

        outputs = [status, pair_table, note, board, rater_table]
        blocks.load(everything, None, outputs, api_visibility="private")
        refresh.click(everything, None, outputs, api_visibility="private")
        gr.Timer(10).tick(
            lambda: (progress_text(desk), pair_rows(desk)),
            None,
            outputs[:2],
            api_visibility="private",
            show_progress="hidden",
        )
        for phase, button in buttons.items():
            button.click(lambda phase=phase: set_phase(desk, phase), None, status, api_visibility="private")

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
    )
