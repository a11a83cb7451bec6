"""The schema of `[models.*]` in a study file: the keys, their types and defaults, and what is said of a fault."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench.errors import InputError, unknown


class EntryError(InputError):
    """A fault of a model's entry, and the key it is at (empty: the entry as a whole)."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class _Strict(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid", strict=True)


def _place(value: Any) -> Any:
    """`"./dir"` stands for `{ repository = "./dir" }`."""
    return {"repository": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """One LoRA stands for a list of one."""
    return [_place(item) for item in (value if isinstance(value, list) else [value])]


class WeightsEntry(_Strict):
    """Weights laid over the base: a string, or a table."""

    repository: Annotated[str, Field(min_length=1)]
    revision: str = "main"
    file: str = ""
    subfolder: str = ""


class LoraEntry(WeightsEntry):
    scale: Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)] = 1.0


class SchedulerEntry(_Strict):
    """A string, or a table with settings laid over the repository's."""

    name: Annotated[str, Field(min_length=1)]
    settings: dict[str, Any] = Field(default_factory=dict)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_Other = Annotated[WeightsEntry, BeforeValidator(_place)]
_Loras = Annotated[list[LoraEntry], BeforeValidator(_listed)]
_Scheduler = Annotated[SchedulerEntry, BeforeValidator(_named)]


class RecipeEntry(_Strict):
    """`[models.NAME.recipes.4]`: what one step count needs that the others do not."""

    unet: _Other | None = None
    """Replaces the UNet: `{ repository = … }`."""
    transformer: _Other | None = None
    """Replaces the transformer: `{ repository = … }`."""
    lora: _Loras = Field(default_factory=list)
    """LoRAs fused into the weights, in order."""
    scheduler: _Scheduler | None = None
    """Replaces the repository's own: `{ name = …, settings = {…} }`."""
    timesteps: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    """Explicit training timesteps."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the pipeline's call."""


class ModelEntry(_Strict):
    """A user's own model in the study file: `[models.NAME]`."""

    kind: Literal["diffusion", "imported"] = "diffusion"
    """`imported`: weights not public, images come through `bench import`."""
    repository: str = ""
    """Hub id `owner/name`, or a local folder or checkpoint file, relative to the study file."""
    revision: str = "main"
    """Commit, tag or branch of the hub repository."""
    file: str = ""
    """A single-file checkpoint of the repository; empty: a pipeline folder in the layout of the hub."""
    config: str = ""
    """Single-file checkpoint: hub id or folder whose configurations complete it; empty: inferred from its tensors."""
    pipeline: str = ""
    """Pipeline class in diffusers; empty: what a local folder's index says, else SDXL's."""
    custom_pipeline: str = ""
    """A Python file that defines the pipeline class, relative to the study file."""
    scheduler: _Scheduler | None = None
    """Replaces the repository's own: `{ name = …, settings = {…} }`."""
    unet: _Other | None = None
    """Replaces the UNet: `{ repository = … }`."""
    transformer: _Other | None = None
    """Replaces the transformer: `{ repository = … }`."""
    lora: _Loras = Field(default_factory=list)
    """LoRAs fused into the weights, in order."""
    quantization: str | dict[str, str] = Field(default_factory=dict)
    """A quantisation of the denoiser, or a table of part and quantisation."""
    recipes: dict[str, RecipeEntry] = Field(default_factory=dict)
    """Written as tables `[models.NAME.recipes.STEPS]`: what one step count needs."""
    negative_prompt: str = ""
    """What guidance leads away from."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the pipeline's call."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The earlier name of `extra`."""
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"
    """On a GPU, where `[generate]` names none."""
    variant: str | None = None
    """Which files of the repository, such as `fp16`; absent: the plain ones."""
    size: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] = 1024
    """Side of its images, pixels."""
    steps: list[int] | None = None
    """Step counts a contender may have; the first is the default."""
    guidance: Annotated[float, Field(ge=0)] | None = None
    """Guidance scale; absent: the class's default."""
    tasks: list[Literal["text-to-image", "image-to-image"]] | None = None
    """What it can do; absent: what its pipeline class can."""
    licence: str = "unknown"
    """Of the weights, for the report."""
    commercial: bool | None = None
    """May its images and weights be used commercially? Absent: unknown."""
    source: str = ""
    """Paper or address, for the report."""
    weights: Literal["trained", "random"] = "trained"
    """`random` is shown wherever its images appear."""
    gated: bool = False
    """The hub asks for an accepted licence and a token."""
    note: str = ""
    """For the report."""


def parsed(where: str, entry: Mapping[str, Any]) -> ModelEntry:
    """A table that was read from a study file. Raises EntryError: a key or value that the schema does not allow."""
    try:
        return ModelEntry.model_validate(dict(entry))
    except ValidationError as error:
        raise _explained(where, error.errors()[0]) from None


def _explained(where: str, first: Mapping[str, Any]) -> EntryError:
    """The first fault in the user's words."""
    place: Sequence[Any] = [part for part in first["loc"] if not (isinstance(part, str) and "[" in part)]
    key = ".".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        fields: Any = ModelEntry.model_fields
        table = {
            "recipes": RecipeEntry,
            "lora": LoraEntry,
            "unet": WeightsEntry,
            "transformer": WeightsEntry,
            "scheduler": SchedulerEntry,
        }
        if len(place) > 1:
            fields = table[str(place[0])].model_fields
        return EntryError(str(unknown(f"key of {where}", key, fields)), key)
    if first["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
        return EntryError(str(unknown(f"'{key}' of {where}", str(first["input"]), allowed)), key)
    return EntryError(f"{where}: '{key}': {first['msg'].lower()}, not {first['input']!r}", key)
