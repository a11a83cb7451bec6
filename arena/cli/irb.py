"""The sheet for an ethics board: what a study asks of people, tells them, pays them and keeps, from its study file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arena.quality import RULES
from arena.web.consent import Consent, consent_of
from arena.web.languages import languages, texts
from bench.study.file import Arena
from bench.study.participation import CONSENT_FIELDS, Asked, in_language
from bench.study.questions import questions_of
from bench.study.study import Study

MISSING = "**Not stated.** Add `{key}` to `[arena.consent]` of the study file."
SECONDS = 8.0
"""Per vote, loading and breaks included, where no other number is known; as `arena plan` assumes."""
KEPT = (
    "for each rater: a random id, the time of arrival, the group (invite label or panel), the page's language, the "
    "version and SHA-256 of the consent text, answers to the screening and demographic questions, whether votes "
    "count and why not, the completion code shown",
    "for each answer: the pair of images, the question, the answer, its time and duration, window size, pixel ratio, "
    "picture size, arrangement and language of the page, how long the page was hidden, and a comment if one is given",
    "for raters of a panel: the panel's ids of the person, study and session, in a table of its own. `arena forget` "
    "erases them with the salt that links them to the random id",
    "no name, no address, no browser identification; network addresses are used in memory to limit requests and are "
    "not stored",
)
PUBLISHED = (
    "Votes are exported under the random ids. Demographic answers are published as sums only, and counts below 5 are "
    "not."
)


def missing(settings: Arena) -> list[str]:
    """Keys of `[arena.consent]` that an ethics board asks for and the study file does not have."""
    return [name for name in CONSENT_FIELDS if not getattr(settings.consent, name)]


def untranslated(settings: Arena) -> list[str]:
    """Languages of the page for which the study's own words are not there, so that another language is shown."""
    own = [getattr(settings.consent, name) for name in (*CONSENT_FIELDS, "text")]
    own += [
        settings.instructions,
        *(q.text for q in (*settings.screening.values(), *settings.demographics.values())),
    ]
    tables = [words for words in own if isinstance(words, dict) and words]
    return [code for code in languages() if any(code not in words for words in tables)]


def sheet(study: Study, *, pay: float | None = None, seconds: float = SECONDS) -> str:
    """Markdown.

    Parameters
    ----------
    pay: of a rater, an hour, in the panel's currency; None: only what the study file says.
    seconds: that an answer takes.
    """
    settings = study.file.arena
    parts = [
        f"# {study.file.title or study.name}: study with human raters",
        f"Study `{study.name}`. Written by `arena irb` from the study file; the consent text below is what raters see.",
        *_stated(settings),
        "## What raters do",
        *_procedure(study, seconds, pay),
        "## Who takes part",
        *_who(settings),
        "## Data",
        "Stored on the operator's server:",
        *(f"- {line}" for line in KEPT),
        PUBLISHED,
        "## Withdrawal",
        "Raters may stop at any time by closing the page. A link on the last page, valid for good, withdraws a "
        "rater's answers: every later analysis leaves them out, and the report states how many. Votes that were "
        "already published stay in that publication. Pay is not affected.",
        "## Whose answers count",
        *_quality(settings),
        "## Consent, word for word",
        *_consents(settings),
    ]
    return "\n\n".join(_joined(parts)) + "\n"


def _joined(parts: Sequence[str]) -> Iterator[str]:
    """Items of one list stand on lines of one paragraph."""
    items: list[str] = []
    for part in parts:
        if part.startswith("- "):
            items.append(part)
            continue
        if items:
            yield "\n".join(items)
            items = []
        yield part
    if items:
        yield "\n".join(items)


def _stated(settings: Arena) -> Iterator[str]:
    for name in CONSENT_FIELDS:
        words = getattr(settings.consent, name)
        yield f"## {texts('en')[f'consent_{name}']}"
        yield in_language(words, "en", settings.language) or MISSING.format(key=name)


def _procedure(study: Study, seconds: float, pay: float | None) -> Iterator[str]:
    settings = study.file.arena
    limit = settings.votes_per_rater
    yield (
        "A rater sees two computer-generated images side by side and answers one question about them, again and "
        f"again: {'at most ' + str(limit) + ' answers' if limit else 'as many as they like'}. The images of "
        f"{len(study.prompts)} prompts by {len(study.contenders)} contenders are compared; raters are not told which "
        "contender an image is by."
    )
    for question in questions_of(settings).values():
        words = question.text.get("en") or texts("en").get(f"question_{question.name}", "")
        yield f"- {question.name}: “{words}” Answers: {', '.join(question.answers)}."
    if limit:
        minutes = limit * seconds / 60
        line = f"At {seconds:g} seconds an answer that is about {minutes:.2g} minutes"
        yield line + (f", worth {pay * minutes / 60:.2f} at {pay:g} an hour." if pay is not None else ".")
    yield (
        f"A break is suggested after every {settings.break_after} answers. Any picture can be reported, and is then "
        "not shown to that rater again."
    )
    if settings.practice.pairs:
        yield (
            f"{settings.practice.pairs} practice pairs with feedback come first; with fewer than "
            f"{settings.practice.needed} right answers a rater is screened out."
        )


def _who(settings: Arena) -> Iterator[str]:
    yield "Adults who agree to the text below."
    for name, question in settings.screening.items():
        yield f"- screening, {name}: {_question(question)}; accepted: {', '.join(question.accept)}"
    for name, question in settings.demographics.items():
        yield f"- demographic, may be left unanswered, {name}: {_question(question)}"
    for kind, places in (("group", settings.quotas.groups), ("language", settings.quotas.languages)):
        for label, count in places.items():
            yield f"- at most {count} raters of {kind} {label}"


def _question(question: Asked) -> str:
    options = ", ".join(f"{name} (“{in_language(words, 'en')}”)" for name, words in question.options.items())
    return f"“{in_language(question.text, 'en')}”, options {options}"


def _quality(settings: Arena) -> Iterator[str]:
    if settings.attention_rate:
        yield f"One pair in {1 / settings.attention_rate:.0f} is an attention check with a known answer."
    rules = "; ".join(RULES[name].reason for name in settings.exclude)
    yield (
        f"Answers are left out of the ratings by these rules: {rules}. Together they may exclude "
        f"{settings.false_exclusion:.1%} of careful raters. No rater is refused pay by a rule alone: a person decides."
        if settings.exclude
        else "No rule excludes answers; the operator may exclude a rater by hand."
    )


def _consents(settings: Arena) -> Iterator[str]:
    for code in languages():
        consent = consent_of(settings, code)
        version = f"version {consent.version}, " if consent.version else ""
        yield f"### {texts(code)['name']} (`{code}`): {version}SHA-256 `{consent.sha256}`"
        yield "\n>\n".join(f"> {line}" for line in _lines(consent))


def _lines(consent: Consent) -> list[str]:
    return [
        *consent.instruction_paragraphs,
        *(f"**{heading}.** {words}" for heading, words in consent.fields),
        *consent.paragraphs,
    ]


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body {{ font: 1rem/1.55 system-ui, sans-serif; max-width: 46rem; margin: 0 auto;
padding: 2rem 1.25rem; color: #1b1b1b; background: #fff }} h1 {{ line-height: 1.25 }} h2 {{ margin-top: 2rem }}
blockquote {{ margin: 0; padding: .25rem 1rem; border-inline-start: 4px solid #8885; background: #8881 }}
code {{ overflow-wrap: anywhere }} blockquote p {{ unicode-bidi: plaintext; text-align: start }}</style>
<body>{body}</body></html>
"""


def as_html(markdown: str, title: str) -> str:
    """One self-contained page; HTML in the study file's texts stays text."""
    from html import escape

    from markdown_it import MarkdownIt

    return PAGE.format(title=escape(title), body=MarkdownIt("commonmark", {"html": False}).render(markdown))
