"""The text a rater agrees to, the study's own or the page's, with the version and hash stored with the rater."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from arena.web.languages import texts
from bench.study.file import Arena


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What stands above the button that starts."""

    version: str
    """As the study file says; '' for the page's own text."""
    text: str
    """Paragraphs, separated by empty lines."""

    @property
    def paragraphs(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text.split("\n\n") if part.strip())

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def consent_of(settings: Arena, language: str) -> Consent:
    """In the page's language; a study's own text in the study's language where it has no translation."""
    own = settings.consent.text
    if not own:
        return Consent(version="", text=texts(language)["consent"])
    text = own.get(language) or own.get(settings.language) or next(iter(own.values()))
    return Consent(version=settings.consent.version, text=text)
