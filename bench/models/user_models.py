"""A user's own model, written in the study file: the same fields as an entry of `MODELS`, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import InputError, unknown
from bench.models.families import FAMILIES
from bench.models.model import BOTH, TEXT, Model, Scheduler, Weights
from bench.models.registry import MODELS


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class WeightsEntry(_Strict):
    repository: str = Field(min_length=1)
    revision: str = "main"
    file: str = ""
    subfolder: str = ""


class SchedulerEntry(_Strict):
    name: str = Field(min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)


class ModelEntry(_Strict):
    """A user's own model in the study file: `[models.NAME]`. The same fields as an entry of `MODELS`."""

    kind: Literal["diffusion", "imported"] = "diffusion"
    repository: str = ""
    revision: str = "main"
    pipeline: str = "StableDiffusionXLPipeline"
    scheduler: SchedulerEntry | None = None
    unet: WeightsEntry | None = None
    lora: WeightsEntry | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"
    variant: str | None = None
    size: int = Field(default=1024, ge=8, le=4096, multiple_of=8)
    steps: list[int] = Field(default_factory=lambda: [50])
    guidance: float = Field(default=5.0, ge=0)
    tasks: list[Literal["text-to-image", "image-to-image"]] | None = None
    licence: str = "unknown"
    commercial: bool | None = None
    source: str = ""
    weights: Literal["trained", "random"] = "trained"
    note: str = ""


def model_from_entry(name: str, entry: ModelEntry | Mapping[str, Any]) -> Model:
    """A model written in a study file → Model. Raises InputError with the key and what is allowed."""
    where = f"model '{name}'"
    if name in MODELS:
        raise InputError(f"{where}: the suite has a model of that name; choose another")
    if not name or set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789.+-_"):
        raise InputError(f"{where}: a name is made of lower-case letters, digits, '.', '+', '-' and '_'")
    if not isinstance(entry, ModelEntry):
        entry = _parsed(where, entry)
    if entry.kind == "imported":
        return Model(
            name=name, kind="imported", size=entry.size, licence=entry.licence, source=entry.source,
            commercial=entry.commercial, note=entry.note,
        )  # fmt: skip
    if not entry.repository:
        raise InputError(f"{where}: 'repository' is missing: a hub id 'owner/name' or a local folder")
    if entry.pipeline not in FAMILIES:
        raise unknown(f"pipeline of {where}", entry.pipeline, FAMILIES)
    if "negative_prompt" in entry.options and not FAMILIES[entry.pipeline].negative:
        raise InputError(f"{where}: {entry.pipeline} takes no negative prompt: leave it out of 'options'")
    if not entry.steps or min(entry.steps) < 1:
        raise InputError(f"{where}: 'steps' is a list of positive step counts, e.g. [4]")
    able = BOTH if FAMILIES[entry.pipeline].edit else TEXT
    wrong = [task for task in entry.tasks or () if task not in able]
    if wrong:
        raise InputError(f"{where}: {entry.pipeline} cannot do '{wrong[0]}'; it can: {', '.join(able)}")
    return Model(
        name=name,
        repository=entry.repository,
        revision=entry.revision,
        pipeline=entry.pipeline,
        scheduler=entry.scheduler and Scheduler(**entry.scheduler.model_dump()),
        unet=entry.unet and Weights(**entry.unet.model_dump()),
        lora=entry.lora and Weights(**entry.lora.model_dump()),
        options=entry.options,
        dtype=entry.dtype,
        variant=entry.variant,
        size=entry.size,
        steps=tuple(entry.steps),
        guidance=entry.guidance,
        tasks=tuple(entry.tasks or able),
        licence=entry.licence,
        commercial=entry.commercial,
        source=entry.source,
        weights=entry.weights,
        note=entry.note,
    )


def _parsed(where: str, entry: Mapping[str, Any]) -> ModelEntry:
    try:
        return ModelEntry.model_validate(dict(entry))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise unknown(f"key of {where}", key, ModelEntry.model_fields) from None
        raise InputError(f"{where}: '{key}': {first['msg'].lower()}, not {first['input']!r}") from None
