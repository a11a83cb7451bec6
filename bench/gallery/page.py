"""The local gallery page: Gradio's controls, and the place that `static/gallery.js` fills with images.

Controls call the script in the browser (`fn=None`): filtering 100,000 images needs no request to the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from bench.gallery.study_index import StudyIndex
from bench.report.tables.metrics import label

STATIC = Path(__file__).parent / "static"
ASSETS = {"gallery.js": "text/javascript; charset=utf-8", "gallery.css": "text/css; charset=utf-8"}
ROWS = '<div id="rows" data-ready="0">Loading …</div>'
ORDERS = {
    "study": "Order of the study",
    "high": "Metric: best first",
    "low": "Metric: worst first",
    "spread": "Metric: contenders furthest apart",
    "clear": "Votes: clearest first",
    "close": "Votes: closest first",
    "against": "Votes against the metric",
}
"""Orders of the rows as the script knows them, with their names on the page."""
STATES = {
    "all": "All prompts",
    "complete": "Every image there",
    "missing": "An image missing",
    "black": "A black image",
    "voted": "With votes",
}
"""Which rows by what is there, as the script knows them, with their names on the page."""


def levels(values: Sequence[str]) -> list[str]:
    """Distinct values in alphabetical order, without the empty one."""
    return sorted({value for value in values if value})


def mount(app: FastAPI, index: StudyIndex) -> None:
    """Mount the page at /. Nothing is monitored, no handler is public, no file of the disk is reachable."""
    import gradio as gr

    with gr.Blocks(title=f"{index.title}: images", analytics_enabled=False) as blocks:
        gr.Markdown(f"## {_escaped(index.title)}")
        controls = _controls(index)
        gr.HTML(ROWS, elem_id="gallery")
        for name, control in controls.items():
            control.change(
                None, control, None, js=f"(value) => window.gallery.set('{name}', value)", queue=False
            )
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        allowed_paths=[],
        footer_links=[],
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        head='<link rel="stylesheet" href="gallery/gallery.css"><script src="gallery/gallery.js" defer></script>',
    )


def _controls(index: StudyIndex) -> dict[str, Any]:
    """The filters by the name that the script gives them; one that could only have one answer is left out."""
    import gradio as gr

    metrics = [(label(name), name) for name in index.scores]
    categories = levels([prompt.category for prompt in index.prompts])
    challenges = levels([prompt.challenge for prompt in index.prompts])
    orders = [(text, key) for key, text in ORDERS.items() if metrics or key in ("study", "clear", "close")]
    states = [(text, key) for key, text in STATES.items()]
    with gr.Row():
        controls: dict[str, Any] = {
            "text": gr.Textbox(label="Words of the prompt, or its id", max_lines=1, scale=3)
        }
        if categories:
            controls["category"] = gr.Dropdown(
                [("All", ""), *categories], value="", label="Category", scale=2
            )
        if challenges:
            controls["challenge"] = gr.Dropdown(
                [("All", ""), *challenges], value="", label="Challenge", scale=2
            )
        controls["state"] = gr.Dropdown(states, value="all", label="Show", scale=2)
    with gr.Row():
        controls["order"] = gr.Dropdown(orders, value="study", label="Order", scale=3)
        if len(index.contenders) > 1:
            controls["contenders"] = gr.Dropdown(
                list(index.contenders),
                value=[],
                multiselect=True,
                label="Contenders (none chosen: all)",
                scale=4,
            )
        if metrics:
            controls["metric"] = gr.Dropdown(metrics, value=metrics[0][1], label="Metric", scale=2)
            controls["low"] = gr.Textbox(label="Metric at least", max_lines=1, min_width=90, scale=1)
            controls["high"] = gr.Textbox(label="Metric at most", max_lines=1, min_width=90, scale=1)
    return controls


def _escaped(text: str) -> str:
    """Markdown that shows the text as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!|<>&$~" else c for c in text)
