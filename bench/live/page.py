"""The live page: Gradio's controls, and the places that `static/live.js` fills with pictures and times.

Controls call the script in the browser (`fn=None`), so that nothing but the picture itself goes to the server.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from bench.live.studio import STEPS, Studio
from bench.live.theme import theme
from bench.prompts.formats import LONGEST_TEXT

if TYPE_CHECKING:
    import gradio as gr

STATIC = Path(__file__).parent / "static"
ASSETS = {"live.js": "text/javascript; charset=utf-8", "live.css": "text/css; charset=utf-8"}
LARGEST_SEED = 2**31 - 1
OWN = "as named"
"""The switch's answer for two contenders, each at the steps of its name."""


def figures(studio: Studio) -> str:
    """A figure a contender, with its name and the button that saves it."""
    parts = []
    for number, who in enumerate(studio.contenders):
        model = studio.pipelines[who.model].model
        label = "random weights: a picture of nothing" if model.weights == "random" else ""
        parts.append(
            f'<figure data-seat="{number}"><div class="paper"></div><figcaption><b>{html.escape(who.name)}</b> '
            f'<span class="note">{label}</span> <button type="button" class="save" disabled>save</button>'
            "</figcaption></figure>"
        )
    return f'<div id="pictures" data-count="{len(parts)}">{"".join(parts)}</div>'


TIMES = """<div id="times"><p id="figures" role="status">Type, and the picture follows.</p>
<div id="clocks"></div></div>"""
HISTORY = '<ul id="history" aria-label="Pictures so far"></ul>'
TITLE = "<h1>Pictures while you type</h1>"


def start_controls() -> tuple[gr.Image, gr.Slider]:
    """The picture to start from and how far to leave it, in the `gr.Blocks` that is being made."""
    import gradio as gr

    with gr.Accordion("Start from a picture", open=False, elem_id="start"):
        reference = gr.Image(
            sources=["upload", "clipboard", "webcam"],
            type="filepath",
            height=220,
            buttons=[],
            label="Drop, paste or photograph one",
            elem_id="reference",
        )
        strength = gr.Slider(
            0.05,
            1.0,
            0.5,
            step=0.05,
            label="Strength: low keeps the picture, 1 ignores it",
            elem_id="strength",
        )
    return reference, strength


def page(studio: Studio) -> gr.Blocks:
    """The page, with the script called on each change of a control."""
    import gradio as gr

    several = len(studio.contenders) > 1
    own = studio.contenders[0].steps
    choices = [OWN] * several + [str(n) for n in dict.fromkeys((*STEPS, *([] if several else [own])))]
    with gr.Blocks(
        title="Pictures while you type", analytics_enabled=False, delete_cache=(300, 300)
    ) as blocks:
        gr.HTML(TITLE, elem_id="title")
        with gr.Column(elem_id="desk"):
            gr.Textbox(
                label="Prompt",
                placeholder="a red circle left of a blue square",
                lines=2,
                max_lines=4,
                autofocus=True,
                elem_id="prompt",
                max_length=LONGEST_TEXT,
            )
            gr.HTML(figures(studio), elem_id="easel")
            with gr.Column(elem_id="controls"):
                with gr.Row():
                    steps = gr.Radio(
                        choices, value=OWN if several else str(own), label="Steps", elem_id="steps", scale=2
                    )
                    seed = gr.Number(
                        1,
                        label="Seed",
                        precision=0,
                        minimum=0,
                        maximum=LARGEST_SEED,
                        elem_id="seed",
                        min_width=90,
                    )
                reference, strength = start_controls()
            gr.HTML(TIMES, elem_id="clock")
            gr.HTML(HISTORY, elem_id="past")
        for control, name in (
            (steps, "steps"),
            (seed, "seed"),
            (strength, "strength"),
            (reference, "reference"),
        ):
            control.change(
                None, control, None, js=f"(value) => window.live.set('{name}', value)", queue=False
            )
    return blocks


def mount(app: FastAPI, studio: Studio) -> None:
    """Mount the page at /. Nothing is monitored, no handler is public, uploads are deleted within minutes."""
    import gradio as gr

    gr.mount_gradio_app(
        app,
        page(studio),
        path="/",
        allowed_paths=[],
        footer_links=[],
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        max_file_size="24mb",
        theme=theme(),
        css_paths=[STATIC / "live.css"],
        head='<script src="live/live.js" defer></script>',
    )
