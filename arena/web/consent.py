"""What a rater reads and is asked before the first pair, the study's own or the page's, in the page's language.

Its version and sha256 are stored with the rater who agreed to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from arena.web.languages import texts
from bench.study.file import Arena
from bench.study.participation import CONSENT_FIELDS, Asked, in_language


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedWords:
    """A question about the rater, in one language."""

    name: str
    text: str
    options: tuple[tuple[str, str], ...]
    """Name and words of each answer."""
    required: bool
    """Screening questions are; demographic ones may stay unanswered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What stands above the button that starts."""

    version: str
    """As the study file says; '' for the page's own text."""
    fields: tuple[tuple[str, str], ...] = ()
    """Heading and text of what the study says of itself."""
    text: str
    """The agreement: paragraphs, separated by empty lines."""
    instructions: str = ""
    """The operator's own."""
    asked: tuple[AskedWords, ...] = ()

    @property
    def paragraphs(self) -> tuple[str, ...]:
        return _paragraphs(self.text)

    @property
    def instruction_paragraphs(self) -> tuple[str, ...]:
        return _paragraphs(self.instructions)

    @property
    def sha256(self) -> str:
        """Of all that was read, instructions included; of the agreement alone where there is nothing else."""
        parts = [f"{heading}: {words}" for heading, words in self.fields]
        parts += [self.text, *([self.instructions] if self.instructions else [])]
        return hashlib.sha256("\n\n".join(parts).encode()).hexdigest()


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("\n\n") if part.strip())


def consent_of(settings: Arena, language: str) -> Consent:
    """In the page's language; a study's own words in the study's language where they have no translation."""
    own, t = settings.consent, texts(language)

    def said(name: str) -> str:
        return in_language(getattr(own, name), language, settings.language)

    return Consent(
        version=own.version,
        fields=tuple((t[f"consent_{name}"], said(name)) for name in CONSENT_FIELDS if said(name)),
        text=in_language(own.text, language, settings.language) or t["consent"],
        instructions=in_language(settings.instructions, language, settings.language),
        asked=(
            *_asked(settings.screening, language, settings.language, required=True),
            *_asked(settings.demographics, language, settings.language, required=False),
        ),
    )


def _asked(
    questions: Mapping[str, Asked], language: str, otherwise: str, *, required: bool
) -> tuple[AskedWords, ...]:
    return tuple(
        AskedWords(
            name=name,
            text=in_language(question.text, language, otherwise),
            options=tuple(
                (o, in_language(words, language, otherwise)) for o, words in question.options.items()
            ),
            required=required,
        )
        for name, question in questions.items()
    )
