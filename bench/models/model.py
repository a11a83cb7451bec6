"""What a model entry says: the fields of one entry of `bench.models.registry.MODELS`, or of a user's own model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TASKS = ("text-to-image", "image-to-image")
BOTH = TASKS
TEXT = TASKS[:1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A piece laid over the base pipeline: another UNet, a LoRA, the checkpoint of one step count."""

    repository: str
    """Hub id, or a local folder."""
    revision: str = "main"
    file: str = ""
    """One safetensors file of the repository; empty: the folder's usual names."""
    subfolder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    name: str
    """Class name in diffusers."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the repository's own scheduler configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What one step count needs that the others do not (SDXL-Lightning has a checkpoint for each)."""

    unet: Weights | None = None
    lora: Weights | None = None
    scheduler: Scheduler | None = None
    timesteps: tuple[int, ...] = ()
    """Explicit training timesteps; empty: the scheduler's spacing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A later stage of a cascade: takes the picture so far, returns a larger one."""

    repository: str
    revision: str = "main"
    pipeline: str
    size: int
    """Side of its output, pixels."""
    steps: int
    guidance: float
    noise_level: int
    variant: str | None = None
    dtype: str = "float16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One entry. Everything that decides the pixels is in it, so its hash goes into each generation."""

    name: str
    kind: str = "diffusion"
    """`diffusion`, or `imported`: weights not public, images are brought in with `bench import`."""
    repository: str = ""
    """Hub id `owner/name`, a local folder, `tiny:NAME` or `miniature:NAME` (made or shipped by the suite)."""
    revision: str = "main"
    """Commit, or `main`: not pinned; the commit it resolved to is recorded in run.json."""
    pipeline: str = ""
    """Pipeline class in diffusers, or `InstaFlow`."""
    scheduler: Scheduler | None = None
    """None keeps the repository's own."""
    unet: Weights | None = None
    lora: Weights | None = None
    recipes: Mapping[int, Recipe] = field(default_factory=dict)
    """By step count; a model that has any allows no other step counts."""
    stages: tuple[Stage, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the pipeline's call, e.g. `max_sequence_length`, `negative_prompt`."""
    dtype: str = "float16"
    """On a GPU; on a CPU float32 unless asked for otherwise."""
    variant: str | None = "fp16"
    """Which files of the repository; None: the plain ones."""
    size: int = 1024
    """Native side, pixels."""
    steps: tuple[int, ...] = ()
    """Recommended step counts, the first is the default."""
    guidance: float | None = None
    """Default guidance scale; 0 or 1 is off; embedded for consistency models. None for imported."""
    tasks: tuple[str, ...] = TEXT
    licence: str = "unknown"
    commercial: bool | None = None
    """May its pictures and weights be used commercially? None: read the licence, it depends or is unknown."""
    source: str = ""
    """Paper or page."""
    citation: str = ""
    """Key in `bench.papers.PAPERS`."""
    weights: str = "trained"
    """`trained`; `random` is said in the open wherever its pictures appear."""
    gated: bool = False
    """The hub asks for an accepted licence and a token."""
    note: str = ""
