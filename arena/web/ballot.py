"""The ballot: one question, two pictures, the answers, as one `gr.HTML` component.

The component talks to the routes of `arena.web.app` by itself; Gradio brings it to the browser and no more. To put
it into a page of your own, mount that page on the server of `create_app` and pass the way to the routes::

    with gr.Blocks() as page:
        ballot(list(questions_of(settings).values()), base="../", native=512)
    gr.mount_gradio_app(app, page, path="/mine")

It votes for the rater whose cookie the browser holds, and fires the event `stage` (`welcome`, `vote`, `rest`, `end`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.web.languages import texts
from bench.study.questions import Question

if TYPE_CHECKING:
    import gradio as gr

FOLDER = Path(__file__).parent.parent / "static" / "ballot"
SCRIPTS = ("calls.js", "layout.js", "zoom.js", "dialogs.js", "main.js")
"""In the order in which they are joined; they share one scope."""
OWN_PARAMETERS = ("lang", "__theme")
"""Parameters of the page's address that are no business of the server's."""
KEYS = {"left": "←", "right": "→", "tie": "↓", "both_bad": "0"}
SCALE = (3, 2, 1, 0, -1, -2, -3)
"""The seven points, from "left much better" to "right much better"."""


def question_text(question: Question, language: str, instructed: bool = False) -> str:
    """The operator's words in the language, else in English, else the page's own for a built-in question.

    instructed: whether prompts are orders to change an original picture.
    """
    own = question.text.get(language) or question.text.get("en") or next(iter(question.text.values()), "")
    return own or _words(texts(language), f"question_{question.name}", instructed)


def _words(t: Mapping[str, str], key: str, instructed: bool) -> str:
    return t.get(f"{key}_edit", t[key]) if instructed else t[key]


def _choices(question: Question, t: Mapping[str, str]) -> list[dict[str, Any]]:
    """The buttons of a question: answer, its key, and its words beside and stacked."""
    if not question.scale:
        stacked = {"left": t["top"], "right": t["bottom"]}
        return [
            {"answer": a, "key": KEYS[a], "beside": t[a], "stacked": stacked.get(a, t[a])}
            for a in question.answers
        ]
    return [_scale_choice(number, point, t) for number, point in enumerate(SCALE, 1)]


def _scale_choice(number: int, point: int, t: Mapping[str, str]) -> dict[str, Any]:
    if point == 0:
        return {"answer": "tie", "scale": 0, "key": str(number), "beside": t["tie"], "stacked": t["tie"]}
    answer, stacked = ("left", "top") if point > 0 else ("right", "bottom")
    words = t[f"scale_{abs(point)}"]
    return {
        "answer": answer,
        "scale": point,
        "key": str(number),
        "beside": words.format(side=t[answer]),
        "stacked": words.format(side=t[stacked]),
    }


@cache
def build() -> str:
    """12 hex digits of everything that decides how a pair looks; stored with each vote."""
    digest = hashlib.sha256()
    for file in sorted(FOLDER.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@cache
def script() -> str:
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)


def how_to(
    questions: Sequence[Question], t: Mapping[str, str], language: str, instructed: bool = False
) -> tuple[list[str], str]:
    """The instructions, a sentence a question, and the sentence about keys. instructed: as of `question_text`."""
    kind = "how" if len(questions) > 1 else "only"
    lines = [
        _words(t, f"{kind}_{q.name}", instructed)
        if not q.text and f"{kind}_{q.name}" in t
        else t["how_own"].format(question=question_text(q, language, instructed))
        for q in questions
    ]
    others = {a for q in questions if not q.scale for a in q.answers} & {"tie", "both_bad"}
    return lines, t["how_keys"].replace("{others}", "".join(t[f"key_{a}"] for a in KEYS if a in others))


def template(questions: Sequence[Question], language: str, instructed: bool = False) -> str:
    """The component's HTML. Gradio runs it through two template languages, so neither may find its signs in it."""
    import jinja2

    t = texts(language)
    how, keys = how_to(questions, t, language, instructed)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    source = (FOLDER / "template.html").read_text(encoding="utf-8")
    html = environment.from_string(source).render(
        t=t,
        language=language,
        how=how,
        keys=keys,
        wordless=not any(q.shows_prompt for q in questions),
    )
    return html.translate({ord(sign): f"&#{ord(sign)};" for sign in "`${}\\"})


def ballot(
    questions: Sequence[Question],
    *,
    language: str = "en",
    base: str = "",
    native: int = 512,
    smallest: int = 256,
    cross_site: bool = False,
    instructed: bool = False,
    elem_id: str = "ballot",
) -> gr.HTML:
    """The component, for use inside a `gr.Blocks`.

    Parameters
    ----------
    questions
        Those of the study; an assignment names one of them.
    language
        Code of a file in `arena/languages`.
    base
        Way from the page to the server's routes: empty, or `../` where the page lies a level below.
    native
        Side of the pictures as they are sent, pixels; they are shown at most that large, in CSS pixels.
    smallest
        CSS pixels below which no answer is taken.
    cross_site
        Whether the page is shown inside a page of another site.
    instructed
        Whether prompts are orders to change an original picture.
    elem_id
        Id of the component in the page.
    """
    import gradio as gr

    return gr.HTML(
        value="",
        html_template=template(questions, language, instructed),
        css_template=(FOLDER / "style.css").read_text(encoding="utf-8").translate({ord("`"): None}),
        js_on_load=script(),
        apply_default_css=False,
        elem_id=elem_id,
        text=dict(texts(language)),
        settings={
            "base": base,
            "build": build(),
            "credentials": "include" if cross_site else "same-origin",
            "language": language,
            "native": native,
            "smallest": min(smallest, 4096),
            "largest": max(native, smallest),
            "own_parameters": [*OWN_PARAMETERS],
            "questions": {q.name: _asked(q, language, instructed) for q in questions},
        },
    )


def _asked(question: Question, language: str, instructed: bool) -> dict[str, Any]:
    """A question as the page's script takes it. instructed: as of `question_text`."""
    return {
        "text": question_text(question, language, instructed),
        "answers": _choices(question, texts(language)),
        "comment": question.comment,
    }
