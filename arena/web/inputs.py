"""What the rater's page may send: bodies of its calls, checked here and trusted from here on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

SIDE_OF = {1: "left", 0: "tie", -1: "right"}
"""Sign of a seven-point answer → the answer it collapses to."""
Short = Annotated[str, Field(max_length=400)]
Pixels = Annotated[int, Field(ge=0, le=100_000)]


Value = Annotated[str, Field(max_length=4000)]
"""A panel's signature is longer than other parameters."""


def _storable(value: Any) -> Any:
    """Text that every database can store: no NUL, no half of a surrogate pair."""
    if isinstance(value, str):
        if "\0" in value or (not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value)):
            raise ValueError("text with a NUL or half a surrogate pair")
    elif isinstance(value, Mapping):
        for key, one in value.items():
            _storable(key)
            _storable(one)
    elif isinstance(value, list | tuple):
        for one in value:
            _storable(one)
    return value


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def storable(cls, data: Any) -> Any:
        return _storable(data)


def _given(consent: bool) -> bool:
    if not consent:
        raise ValueError("no one takes part without consent")
    return consent


class Start(_Input):
    consent: Annotated[bool, AfterValidator(_given)]
    parameters: Annotated[dict[Short, Value], Field(max_length=20)] = {}
    declared: Annotated[dict[Short, Short], Field(max_length=40)] = {}
    """Name of a screening or demographic question → name of the answer."""


class Display(_Input):
    """How a pair was shown, as the page measured it; stored with the vote."""

    viewport: Annotated[tuple[Pixels, Pixels], Field(strict=False)]
    """Width and height, CSS pixels."""
    pixel_ratio: Annotated[float, Field(gt=0, le=64, allow_inf_nan=False)]
    """Pixels of the screen per CSS pixel."""
    side: Pixels
    """Of each of the two pictures, CSS pixels."""
    orientation: Literal["landscape", "portrait"]
    arrangement: Literal["beside", "stacked"]
    """`stacked`: what votes call left is above what they call right."""
    language: Annotated[str, Field(max_length=20)]
    """Of the page."""
    prompt_language: Annotated[str, Field(max_length=20)] = ""
    """Of the prompt, where the prompt set says one."""
    build: Annotated[str, Field(pattern="^[0-9a-f]{0,12}$")]
    """Of the page (`arena.web.ballot.build`)."""
    zoomed: bool = False
    """Whether the rater zoomed into the pictures."""
    original_opened: bool = False
    """Whether the rater opened the original of an edit."""
    away: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 0.0
    """Seconds during which the page was hidden behind another."""


class Vote(_Input):
    token: Annotated[str, Field(max_length=64)]
    answer: Annotated[str, Field(max_length=20)]
    seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] | None = None
    display: Display | None = None
    scale: Annotated[int, Field(ge=-3, le=3)] | None = None
    """Seven-point questions: 3 is "left much better", -3 "right much better"."""
    comment: Annotated[str, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _scale_and_answer_agree(self) -> Vote:
        if self.scale is not None and self.answer != SIDE_OF[(self.scale > 0) - (self.scale < 0)]:
            raise ValueError("the point of the scale and the answer name different sides")
        return self


class Report(_Input):
    token: Annotated[str, Field(max_length=64)]
    side: Literal["left", "right", "both"]
    reason: Literal["offensive", "broken", "not_an_image"]


class Skip(_Input):
    token: Annotated[str, Field(max_length=64)]


class Nothing(_Input):
    pass


def as_stored(vote: Vote) -> dict[str, Any] | None:
    """What is stored with the vote beside the answer: how the pair was shown, the point of the scale, the comment."""
    stored = vote.display.model_dump(mode="json") if vote.display else {}
    if vote.scale is not None:
        stored["scale"] = vote.scale
    if vote.comment:
        stored["comment"] = vote.comment
    return stored or None
