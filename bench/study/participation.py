"""The schema of what raters read, are asked about themselves, practise on and are paid by: tables of `[arena]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
"""Of every table of the study file: unknown keys and values of another type are refused."""
Words = str | dict[str, str]
"""A text for all languages, or language code → text."""
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,39}$")]


def in_language(words: Words, language: str, otherwise: str = "en") -> str:
    """The text in the language; else in `otherwise`, else in the first language there is; '' where there is none."""
    if isinstance(words, str):
        return words
    return words.get(language) or words.get(otherwise) or next(iter(words.values()), "")


class _Section(BaseModel):
    model_config = STRICT


class Codes(_Section):
    """`[arena.codes]`: completion codes of raters who did not complete; absent: `completion_code`."""

    screened_out: str | None = None
    """Excluded by the checks, the practice pairs or a screening question."""
    full: str | None = None
    """The study had enough votes, was paused or closed, before the rater was through."""
    no_consent: str | None = None
    """Did not agree to take part."""


class ConsentText(_Section):
    """`[arena.consent]`: what raters agree to; each a text, or one a language as `{en = "…", de = "…"}`."""

    version: Annotated[str, Field(max_length=40)] = ""
    """Stored with each rater, beside the sha256 of what they read; change it with the text."""
    investigator: Words = ""
    """Who is responsible for the study."""
    institution: Words = ""
    """On whose behalf, and by which board it was approved."""
    purpose: Words = ""
    """What the study is to find out."""
    duration: Words = ""
    """How long taking part takes."""
    pay: Words = ""
    """What raters are paid, and by what."""
    risks: Words = ""
    """Risks and discomforts, pictures that may disturb among them."""
    data: Words = ""
    """Which data are kept, a panel's id for the rater included, for how long, and what is published."""
    withdrawal: Words = ""
    """How to stop and to withdraw; the link on the last page removes a rater's answers from every later analysis."""
    contact: Words = ""
    """Whom to write to, and whom to complain to."""
    text: dict[str, str] = {}
    """Language code → the agreement itself, in place of the page's own sentences. Empty lines separate paragraphs."""


CONSENT_FIELDS = (
    "investigator",
    "institution",
    "purpose",
    "duration",
    "pay",
    "risks",
    "data",
    "withdrawal",
    "contact",
)
"""Fields of `ConsentText` that the page shows under a heading each, in this order."""


class Panel(_Section):
    """`[arena.panel]`: who may come from a paid panel."""

    studies: tuple[str, ...] = ()
    """The panel's ids of this study (Prolific's STUDY_ID, MTurk's hitId); a link with another is refused."""
    address: str | None = None
    """Of the rater's page, as the panel knows it; the panel's signature must be for this site."""
    reward: Annotated[float, Field(ge=0)] | None = None
    """Paid for a completed submission, in the panel's currency; the administrator's page adds up the cost."""
    fee: Annotated[float, Field(ge=0, le=2)] = 0.0
    """The panel's own share on top, as a part of the reward: 0.33 is a third."""


class Asked(_Section):
    """`[arena.screening.NAME]` and `[arena.demographics.NAME]`: a question about the rater, before the first pair."""

    text: Words
    """The question."""
    options: dict[Name, Words]
    """Name → words of each answer."""
    accept: tuple[str, ...] = ()
    """Screening: names of the answers with which a rater may take part. Demographics, which may be left unanswered
    and are published in sums only, have none."""

    @model_validator(mode="after")
    def _accepted_are_options(self) -> Asked:
        unknown = sorted({*self.accept} - {*self.options})
        if unknown or len(self.options) < 2:
            raise ValueError(
                f"'{unknown[0]}' is none of the options"
                if unknown
                else "a question needs two options or more"
            )
        return self


def check_screening(screening: Mapping[str, Asked], demographics: Mapping[str, Asked]) -> None:
    """Raises ValueError: a screening question that nobody or everybody passes, or a demographic one that screens."""
    for name, question in screening.items():
        if not 0 < len(question.accept) < len(question.options):
            raise ValueError(f"screening question '{name}' needs `accept`: some of its options, not all")
    for name, question in demographics.items():
        if question.accept:
            raise ValueError(
                f"demographic question '{name}' may not have `accept`: ask it under [arena.screening]"
            )
        if name in screening:
            raise ValueError(f"question '{name}' stands under screening and demographics: rename one")


class Gold(_Section):
    """`[[arena.gold]]`: a pair of the study's images whose answer is known; for practice and attention checks."""

    prompt: str
    """Id of the prompt."""
    better: str
    """Contender whose image is better."""
    worse: str
    replicate: Annotated[int, Field(ge=0)] = 0
    question: str = ""
    """The question it answers; absent: every one of the study."""
    why: Words = ""
    """Shown after a practice pair."""


class Practice(_Section):
    """`[arena.practice]`: pairs before the study, with feedback after each."""

    pairs: Annotated[int, Field(ge=0, le=20)] = 0
    """Gold pairs first, then images beside a degraded copy. They count neither as votes nor against a rater's limit."""
    needed: Annotated[int, Field(ge=0, le=20)] = 0
    """Right answers with which a rater may go on; others are screened out, and get that code."""

    @model_validator(mode="after")
    def _can_be_reached(self) -> Practice:
        if self.needed > self.pairs:
            raise ValueError(f"`needed` is {self.needed}, but there are {self.pairs} practice pairs")
        return self


class Quotas(_Section):
    """`[arena.quotas]`: how many raters may take part, of a group and in a language; others find the study full."""

    groups: dict[str, Annotated[int, Field(ge=0)]] = {}
    """Label of an invite, or the panel's name → raters."""
    languages: dict[str, Annotated[int, Field(ge=0)]] = {}
    """Code of the page's language → raters."""
