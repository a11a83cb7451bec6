"""What a model entry says: the fields of one entry of `bench.models.registry.MODELS`, or of a user's own model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TASKS = ("text-to-image", "image-to-image")
BOTH = TASKS
TEXT = TASKS[:1]

QUANTIZATIONS = ("nf4", "int8", "fp8", "gguf")
"""`nf4` through bitsandbytes, `int8` and `fp8` (weights only) through torchao, `gguf` as the file has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights laid over the base pipeline: another denoiser, a LoRA, the checkpoint of one step count."""

    repository: str
    """Hub id, local folder, or local file."""
    revision: str = "main"
    """Commit, branch or tag."""
    file: str = ""
    """One safetensors, bin or gguf file of the repository; empty: the folder's usual names."""
    subfolder: str = ""
    scale: float = 1.0
    """Of a LoRA: what its update is multiplied by before it is added to the weights; any finite number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    name: str
    """Class name in diffusers."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Laid over the repository's own scheduler configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What one step count needs that the others do not (SDXL-Lightning has a checkpoint for each)."""

    denoiser: Weights | None = None
    """Replaces the UNet or transformer."""
    lora: tuple[Weights, ...] = ()
    """Added to the base's weights, in order."""
    scheduler: Scheduler | None = None
    """None: the model's."""
    timesteps: tuple[int, ...] = ()
    """Explicit training timesteps; empty: the scheduler's spacing."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the pipeline's call at this step count; they win over the model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A later stage of a cascade: takes the image so far, returns a larger one."""

    repository: str
    revision: str = "main"
    pipeline: str
    """Class name in diffusers."""
    size: int
    """Side of its output, pixels."""
    steps: int
    guidance: float
    noise_level: int
    variant: str | None = None
    """Which files of the repository; None: the plain ones."""
    dtype: str = "float16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One entry. Everything that decides the pixels is in it, so its hash goes into each generation."""

    name: str
    kind: str = "diffusion"
    """`diffusion`, or `imported`: weights not public, images come through `bench import`."""
    repository: str = ""
    """Hub id `owner/name`, a local folder or checkpoint file, `tiny:NAME` or `miniature:NAME` (of the suite)."""
    revision: str = "main"
    """Commit, or `main`: not pinned; the commit it resolved to is recorded at fetch and in run.json."""
    file: str = ""
    """A single-file checkpoint of the repository; empty: a pipeline folder in the hub's layout."""
    config: str = ""
    """Single-file checkpoint: hub id or folder whose configurations and tokenizers it is completed with; empty: the
    one that diffusers infers from its tensors."""
    pipeline: str = ""
    """Pipeline class in diffusers, or in `custom_pipeline`, or `InstaFlow`."""
    custom_pipeline: str = ""
    """Local Python file that defines the pipeline class; empty: diffusers' own."""
    scheduler: Scheduler | None = None
    """None keeps the repository's own."""
    denoiser: Weights | None = None
    """Replaces the UNet or transformer; None: the repository's own."""
    lora: tuple[Weights, ...] = ()
    """Fused into the weights, in order."""
    quantization: Mapping[str, str] = field(default_factory=dict)
    """Part → one of QUANTIZATIONS; parts not named keep the dtype."""
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
    """Guidance scale; 0 or 1 is off; embedded for consistency models. None: imported, or the class's default."""
    tasks: tuple[str, ...] = TEXT
    licence: str = "unknown"
    commercial: bool | None = None
    """May its images and weights be used commercially? None: read the licence, it depends or is unknown."""
    source: str = ""
    """Paper or page."""
    citation: str = ""
    """Key in `bench.papers.PAPERS`."""
    weights: str = "trained"
    """`trained`, or `random`, which is shown wherever its images appear."""
    gated: bool = False
    """The hub asks for an accepted licence and a token."""
    unverified: str = ""
    """What of this entry could not be verified from the public record; empty: all of it was."""
    note: str = ""
