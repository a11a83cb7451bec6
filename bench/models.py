"""What a model is, and `MODELS`: one literal entry a model. A name and a step count make a contender.

Nothing here loads weights: `bench.pipelines` turns an entry into a pipeline on a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.catalogue import (
    ADD,
    AMUSED,
    CITATIONS,
    DALLE3,
    DMD2,
    FLUX,
    HYPER,
    IF,
    INSTAFLOW,
    LCM,
    LCM_LORA,
    LIGHTNING,
    MIDJOURNEY,
    SANA_SPRINT,
    SD3_TURBO,
    SDXL,
    STYLEGAN_T,
    Z_IMAGE,
    Citation,
)
from bench.records import Contender, InputError, unknown

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
    """Further arguments of the pipeline's call, e.g. `max_sequence_length`."""
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
    """Key in `bench.catalogue.CITATIONS`."""
    weights: str = "trained"
    """`trained`; `random` is said in the open wherever its pictures appear."""
    gated: bool = False
    """The hub asks for an accepted licence and a token."""
    note: str = ""


_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
_SDXL_COMMIT = "462165984030d82259a11f4367a4eed129e94a7b"
_TRAILING = {"timestep_spacing": "trailing"}
_EULER = Scheduler(name="EulerDiscreteScheduler", settings=_TRAILING)
_LCM = Scheduler(name="LCMScheduler")
_LIGHTNING = "ByteDance/SDXL-Lightning"
_HYPER = "ByteDance/Hyper-SD"
_ZERO_SNR = {**_TRAILING, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


def _sdxl(**changes: Any) -> Model:
    """SDXL base with something laid over it; the base's facts are written once."""
    base = Model(
        name="sdxl",
        repository=_SDXL,
        revision=_SDXL_COMMIT,
        pipeline="StableDiffusionXLPipeline",
        steps=(50,),
        guidance=5.0,
        tasks=BOTH,
        licence="CreativeML Open RAIL++-M",
        commercial=True,
        source="https://arxiv.org/abs/2307.01952",
        citation=SDXL,
    )
    return replace(base, **changes)


_ENTRIES: tuple[Model, ...] = (
    # The reference study: arXiv 2311.17042, table 1 and figures 5 to 7.
    _sdxl(
        name="sdxl-turbo",
        repository="stabilityai/sdxl-turbo",
        revision="71153311d3dbb46851df1931d3ca6e939de83304",
        scheduler=Scheduler(name="EulerAncestralDiscreteScheduler", settings=_TRAILING),
        size=512,
        steps=(1, 2, 4),
        guidance=0.0,
        licence="Stability AI Non-Commercial Research Community",
        commercial=False,
        source="https://arxiv.org/abs/2311.17042",
        citation=ADD,
    ),
    _sdxl(),
    _sdxl(
        name="lcm-xl",
        scheduler=_LCM,
        unet=Weights(repository="latent-consistency/lcm-sdxl"),
        steps=(4, 2, 8),
        guidance=8.0,
        source="https://arxiv.org/abs/2310.04378",
        citation=LCM,
        note="guidance is embedded: one forward a step",
    ),
    _sdxl(
        name="lcm-lora-xl",
        scheduler=_LCM,
        lora=Weights(
            repository="latent-consistency/lcm-lora-sdxl",
            revision="a18548dd4956b174ec5b0d78d340c8dae0a129cd",
            file="pytorch_lora_weights.safetensors",
        ),
        steps=(4, 2, 8),
        guidance=1.0,
        source="https://arxiv.org/abs/2311.05556",
        citation=LCM_LORA,
    ),
    Model(
        name="if-xl",
        repository="DeepFloyd/IF-I-XL-v1.0",
        pipeline="IFPipeline",
        stages=(
            Stage(
                repository="DeepFloyd/IF-II-L-v1.0",
                pipeline="IFSuperResolutionPipeline",
                size=256,
                steps=50,
                guidance=4.0,
                noise_level=250,
                variant="fp16",
            ),
            Stage(
                repository="stabilityai/stable-diffusion-x4-upscaler",
                pipeline="StableDiffusionUpscalePipeline",
                size=1024,
                steps=75,
                guidance=9.0,
                noise_level=100,
            ),
        ),
        steps=(100, 50),
        guidance=7.0,
        licence="DeepFloyd IF Licence (research)",
        commercial=False,
        source="https://github.com/deep-floyd/IF",
        citation=IF,
        gated=True,
        note="steps are those of the first stage; then 50 to 256 px and 75 to 1024 px",
    ),
    Model(
        name="openmuse",
        repository="amused/amused-512",
        revision="956bebbe1117ce50227a4d4bfed6dedb43990258",
        pipeline="AmusedPipeline",
        size=512,
        steps=(12, 16),
        guidance=10.0,
        tasks=BOTH,
        licence="Open RAIL++",
        commercial=True,
        source="https://arxiv.org/abs/2401.01808",
        citation=AMUSED,
    ),
    Model(
        name="instaflow",
        repository="XCLiu/instaflow_0_9B_from_sd_1_5",
        pipeline="InstaFlow",
        variant=None,
        size=512,
        steps=(1,),
        guidance=1.0,
        licence="CC BY-NC 4.0, CreativeML Open RAIL-M",
        commercial=False,
        source="https://arxiv.org/abs/2309.06380",
        citation=INSTAFLOW,
    ),
    Model(
        name="sd-turbo",
        repository="stabilityai/sd-turbo",
        revision="b261bac6fd2cf515557d5d0707481eafa0485ec2",
        pipeline="StableDiffusionPipeline",
        scheduler=_EULER,
        size=512,
        steps=(1, 2, 4),
        guidance=0.0,
        tasks=BOTH,
        licence="Stability AI Non-Commercial Research Community",
        commercial=False,
        source="https://arxiv.org/abs/2311.17042",
        citation=ADD,
    ),
    Model(
        name="stylegan-t++",
        kind="imported",
        size=512,
        source="https://arxiv.org/abs/2301.09515",
        citation=STYLEGAN_T,
        note="an unreleased, larger StyleGAN-T of the reference study",
    ),
    Model(
        name="midjourney",
        kind="imported",
        licence="Midjourney terms of service",
        source="https://www.midjourney.com",
        citation=MIDJOURNEY,
    ),
    Model(
        name="dall-e-3",
        kind="imported",
        licence="OpenAI terms of use",
        source="https://cdn.openai.com/papers/dall-e-3.pdf",
        citation=DALLE3,
    ),
    # Today's few-step field.
    _sdxl(
        name="sdxl-lightning",
        scheduler=_EULER,
        recipes={
            4: Recipe(unet=Weights(repository=_LIGHTNING, file="sdxl_lightning_4step_unet.safetensors")),
            2: Recipe(unet=Weights(repository=_LIGHTNING, file="sdxl_lightning_2step_unet.safetensors")),
            8: Recipe(unet=Weights(repository=_LIGHTNING, file="sdxl_lightning_8step_unet.safetensors")),
            1: Recipe(
                unet=Weights(repository=_LIGHTNING, file="sdxl_lightning_1step_unet_x0.safetensors"),
                scheduler=Scheduler(
                    name="EulerDiscreteScheduler", settings={**_TRAILING, "prediction_type": "sample"}
                ),
            ),
        },
        steps=(4, 2, 8, 1),
        guidance=0.0,
        source="https://arxiv.org/abs/2402.13929",
        citation=LIGHTNING,
        note="a checkpoint for each step count; the 1-step one is experimental",
    ),
    _sdxl(
        name="hyper-sd",
        scheduler=Scheduler(name="DDIMScheduler", settings=_TRAILING),
        recipes={
            1: Recipe(
                unet=Weights(repository=_HYPER, file="Hyper-SDXL-1step-Unet.safetensors"),
                scheduler=_LCM,
                timesteps=(800,),
            ),
            2: Recipe(lora=Weights(repository=_HYPER, file="Hyper-SDXL-2steps-lora.safetensors")),
            4: Recipe(lora=Weights(repository=_HYPER, file="Hyper-SDXL-4steps-lora.safetensors")),
            8: Recipe(lora=Weights(repository=_HYPER, file="Hyper-SDXL-8steps-lora.safetensors")),
        },
        steps=(1, 2, 4, 8),
        guidance=0.0,
        licence="none stated for the distilled weights; base Open RAIL++-M",
        commercial=None,
        source="https://arxiv.org/abs/2404.13686",
        citation=HYPER,
    ),
    _sdxl(
        name="dmd2",
        scheduler=_LCM,
        recipes={
            4: Recipe(
                lora=Weights(repository="tianweiy/DMD2", file="dmd2_sdxl_4step_lora_fp16.safetensors"),
                timesteps=(999, 749, 499, 249),
            )
        },
        steps=(4,),
        guidance=0.0,
        licence="CC BY-NC 4.0",
        commercial=False,
        source="https://arxiv.org/abs/2405.14867",
        citation=DMD2,
    ),
    Model(
        name="flux.1-schnell",
        repository="black-forest-labs/FLUX.1-schnell",
        revision="741f7c3ce8b383c54771c7003378a50191e9efe9",
        pipeline="FluxPipeline",
        options={"max_sequence_length": 256},
        dtype="bfloat16",
        variant=None,
        steps=(4, 1, 2),
        guidance=0.0,
        tasks=BOTH,
        licence="Apache-2.0",
        commercial=True,
        source="https://arxiv.org/abs/2403.12015",
        citation=FLUX,
        gated=True,
    ),
    Model(
        name="sd-3.5-large-turbo",
        repository="stabilityai/stable-diffusion-3.5-large-turbo",
        pipeline="StableDiffusion3Pipeline",
        options={"max_sequence_length": 256},
        dtype="bfloat16",
        variant=None,
        steps=(4, 8),
        guidance=0.0,
        tasks=BOTH,
        licence="Stability AI Community",
        commercial=None,
        source="https://arxiv.org/abs/2403.12015",
        citation=SD3_TURBO,
        gated=True,
        note="the licence allows commercial use below a yearly revenue bound",
    ),
    Model(
        name="sana-sprint",
        repository="Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers",
        pipeline="SanaSprintPipeline",
        options={"max_sequence_length": 300},
        dtype="bfloat16",
        variant=None,
        steps=(2, 1, 4),
        guidance=4.5,
        tasks=BOTH,
        licence="NVIDIA NSCL v2; Gemma terms for the text encoder",
        commercial=False,
        source="https://arxiv.org/abs/2503.09641",
        citation=SANA_SPRINT,
        note="guidance is embedded: one forward a step",
    ),
    Model(
        name="z-image-turbo",
        repository="Tongyi-MAI/Z-Image-Turbo",
        pipeline="ZImagePipeline",
        options={"max_sequence_length": 512},
        dtype="bfloat16",
        variant=None,
        steps=(8,),
        guidance=0.0,
        tasks=BOTH,
        licence="Apache-2.0",
        commercial=True,
        source="https://arxiv.org/abs/2511.22699",
        citation=Z_IMAGE,
    ),
    # Random weights, made on the spot by bench.tiny: real classes, fast, and pictures of nothing.
    _sdxl(
        name="tiny-sdxl",
        repository="tiny:sdxl",
        revision="main",
        variant=None,
        dtype="float32",
        size=64,
        licence="Apache-2.0",
        source="bench.tiny",
        citation="",
        weights="random",
    ),
    _sdxl(
        name="tiny-turbo",
        repository="tiny:turbo",
        revision="main",
        scheduler=Scheduler(name="EulerAncestralDiscreteScheduler", settings=_TRAILING),
        variant=None,
        dtype="float32",
        size=64,
        steps=(1, 2, 4),
        guidance=0.0,
        licence="Apache-2.0",
        source="bench.tiny",
        citation="",
        weights="random",
    ),
    _sdxl(
        name="tiny-lcm",
        repository="tiny:sdxl",
        revision="main",
        scheduler=_LCM,
        unet=Weights(repository="tiny:lcm"),
        variant=None,
        dtype="float32",
        size=64,
        steps=(4,),
        guidance=8.0,
        licence="Apache-2.0",
        source="bench.tiny",
        citation="",
        weights="random",
    ),
    # Trained, shipped with the suite: bench/miniature.
    _sdxl(
        name="mini-sdxl",
        repository="miniature:sdxl",
        revision="main",
        scheduler=Scheduler(name="EulerDiscreteScheduler", settings=_ZERO_SNR),
        variant="fp16",
        dtype="float32",
        size=64,
        steps=(50, 4),
        licence="Apache-2.0",
        source="bench/miniature/README.md",
        citation="",
    ),
    _sdxl(
        name="mini-turbo",
        repository="miniature:sdxl",
        revision="main",
        scheduler=Scheduler(name="EulerAncestralDiscreteScheduler", settings=_ZERO_SNR),
        unet=Weights(repository="miniature:turbo"),
        variant="fp16",
        dtype="float32",
        size=64,
        steps=(1, 2, 4),
        guidance=0.0,
        licence="Apache-2.0",
        source="bench/miniature/README.md",
        citation="",
    ),
    _sdxl(
        name="mini-lcm",
        repository="miniature:sdxl",
        revision="main",
        scheduler=Scheduler(
            name="LCMScheduler", settings={"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
        ),
        unet=Weights(repository="miniature:lcm"),
        variant="fp16",
        dtype="float32",
        size=64,
        steps=(4,),
        guidance=8.0,
        licence="Apache-2.0",
        source="bench/miniature/README.md",
        citation="",
    ),
)

MODELS: dict[str, Model] = {entry.name: entry for entry in _ENTRIES}


def contender(name: str, models: Mapping[str, Model]) -> Contender:
    """`sdxl-turbo@1` → the contender; an imported model is its bare name.

    Raises InputError: unknown model; missing, malformed or impossible step count; with the nearest match.
    """
    base, at, count = name.partition("@")
    if base not in models:
        raise unknown("contender", name, contender_names(models))
    model = models[base]
    if model.kind == "imported":
        if at:
            raise InputError(f"contender '{name}': '{base}' is imported images, write it without '@{count}'")
        return Contender(name=base, model=base, steps=None, guidance=None, size=model.size)
    if not (count.isascii() and count.isdigit() and 1 <= int(count) <= 1000 and count == str(int(count))):
        if count:
            raise unknown("contender", name, contender_names({base: model}))
        raise InputError(f"contender '{name}': say how many steps, e.g. '{base}@{model.steps[0]}'")
    if model.recipes and int(count) not in model.recipes:
        allowed = ", ".join(f"'{base}@{n}'" for n in sorted(model.recipes))
        raise InputError(f"contender '{name}': '{base}' has one checkpoint a step count; known: {allowed}")
    return Contender(name=name, model=base, steps=int(count), guidance=model.guidance, size=model.size)


def contender_names(models: Mapping[str, Model]) -> list[str]:
    """Every recommended contender, in table order."""
    return [
        name
        for model in models.values()
        for name in ([f"{model.name}@{n}" for n in model.steps] if model.kind != "imported" else [model.name])
    ]


def citation_of(model: Model) -> Citation | None:
    """The BibTeX entry a paper that uses this model should carry."""
    return CITATIONS.get(model.citation)


def strength_problem(model: Model, contender: Contender, strength: float) -> str:
    """Why this contender cannot edit a reference at this strength; empty if it can.

    Image-to-image runs int(steps × strength) steps (SDXL Turbo's card: steps × strength must be at least 1).
    """
    if "image-to-image" not in model.tasks:
        able = ", ".join(m.name for m in MODELS.values() if "image-to-image" in m.tasks)
        return f"'{contender.name}' cannot make pictures from pictures; those that can: {able}"
    if not 0 < strength <= 1:
        return f"strength {strength:g} is not above 0 and at most 1"
    steps = contender.steps or 0
    if int(steps * strength) < 1:
        return (
            f"'{contender.name}' at strength {strength:g} would take no step: steps × strength must be at "
            f"least 1; use strength {1 / steps:g} or more, or at least {-int(-1 // strength)} steps"
        )
    return ""


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
    from bench.families import FAMILIES  # a table of names; imports no torch

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
