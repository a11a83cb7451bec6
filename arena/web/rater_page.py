"""The rater's page: one template, one script, one style sheet, one file of strings.

Plain HTML rather than Gradio. A Gradio handler answers over a queue and a stream of server events, its
config names every component and handler to the browser, and its images are re-encoded lossily under file
routes of its own. The administrator's page (`arena.web.admin_page`), where none of that matters, is Gradio.
"""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path

from bench.errors import unknown
from bench.study.study import Study

STATIC = Path(__file__).parent.parent / "static"


@cache
def languages() -> dict[str, dict[str, str]]:
    """Language code → key → string."""
    return tomllib.loads((Path(__file__).parent.parent / "languages.toml").read_text(encoding="utf-8"))


def strings(language: str) -> dict[str, str]:
    if language not in languages():
        raise unknown("language", language, languages())
    return languages()[language]


def render(study: Study, language: str) -> str:
    """The page's HTML. It says nothing of the study but its questions and possible answers."""
    import jinja2

    settings = study.file.arena
    chosen = strings(language)
    middle = [a for a, allowed in (("tie", settings.ties), ("both_bad", settings.both_bad)) if allowed]
    kind = "how" if len(settings.questions) > 1 else "only"
    # `<` inside a script element could end it.
    plain = json.dumps(chosen, ensure_ascii=False).replace("<", "\\u003c")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string((STATIC / "arena.html").read_text(encoding="utf-8")).render(
        t=chosen,
        language=language,
        # Room is kept for words and for an original only where some question shows them.
        asked=" ".join(
            (["wordless"] if set(settings.questions) == {"quality"} else [])
            + (["edits"] if "faithfulness" in settings.questions else [])
        ),
        languages=[(code, table["name"]) for code, table in languages().items()],
        how=[chosen[f"{kind}_{question}"] for question in settings.questions],
        example=next(iter(settings.questions)),
        keys=chosen["how_keys"].replace("{others}", "".join(chosen[f"key_{a}"] for a in middle)),
        middle=middle,
        strings=plain,
    )
