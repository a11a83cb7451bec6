"""What a model is, and `MODELS`: one literal entry a model. A name and a step count make a contender.

Nothing here loads weights: `bench.models.load` turns an entry into a pipeline on a device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.errors import InputError, unknown
from bench.models.model import BOTH, Model, Recipe, Scheduler, Stage, Weights
from bench.models.recent_models import RECENT, SANA_LICENCE, SANA_UNVERIFIED
from bench.models.sdxl_base import SDXL_BASE
from bench.papers import (
    ADD,
    AMUSED,
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
    PAPERS,
    SANA_SPRINT,
    SD3_TURBO,
    STYLEGAN_T,
    Z_IMAGE,
    Paper,
)
from bench.records import Contender

_TRAILING = {"timestep_spacing": "trailing"}
_EULER = Scheduler(name="EulerDiscreteScheduler", settings=_TRAILING)
_LCM = Scheduler(name="LCMScheduler")
_LIGHTNING = "ByteDance/SDXL-Lightning"
_LIGHTNING_COMMIT = "c9a24f48e1c025556787b0c58dd67a091ece2e44"
_HYPER = "ByteDance/Hyper-SD"
_DMD2 = "tianweiy/DMD2"
_DMD2_COMMIT = "be22767697a1f3ca656b73c776e15fa335c86c6c"
_OF_THE_SUITE: dict[str, Any] = {
    "revision": "main",
    "variant": None,
    "dtype": "float32",
    "size": 64,
    "licence": "Apache-2.0",
    "citation": "",
}
_ZERO_SNR = {**_TRAILING, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


def _dmd2(file: str) -> Weights:
    return Weights(repository=_DMD2, revision=_DMD2_COMMIT, file=file)


def _lightning(file: str) -> Weights:
    return Weights(repository=_LIGHTNING, revision=_LIGHTNING_COMMIT, file=file)


def _sdxl(**changes: Any) -> Model:
    """SDXL base with something laid over it."""
    return replace(SDXL_BASE, **changes)


def _tiny(**changes: Any) -> Model:
    own = {"repository": "tiny:sdxl", "source": "bench.models.tiny", "weights": "random"}
    return _sdxl(**{**_OF_THE_SUITE, **own, **changes})


def _mini(**changes: Any) -> Model:
    own = {"repository": "miniature:sdxl", "source": "bench/miniature/README.md"}
    return _sdxl(**{**_OF_THE_SUITE, **own, **changes})


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
        licence="Stability AI Community (until July 2024: Non-Commercial Research Community)",
        commercial=None,
        source="https://arxiv.org/abs/2311.17042",
        citation=ADD,
    ),
    _sdxl(),
    _sdxl(
        name="lcm-xl",
        scheduler=_LCM,
        denoiser=Weights(repository="latent-consistency/lcm-sdxl"),
        steps=(4, 2, 8),
        guidance=8.0,
        source="https://arxiv.org/abs/2310.04378",
        citation=LCM,
        note="guidance is embedded: one forward a step",
    ),
    _sdxl(
        name="lcm-lora-xl",
        scheduler=_LCM,
        lora=(
            Weights(
                repository="latent-consistency/lcm-lora-sdxl",
                revision="a18548dd4956b174ec5b0d78d340c8dae0a129cd",
                file="pytorch_lora_weights.safetensors",
            ),
        ),
        steps=(4, 2, 8),
        guidance=1.0,
        source="https://arxiv.org/abs/2311.05556",
        citation=LCM_LORA,
    ),
    Model(
        name="if-xl",
        repository="DeepFloyd/IF-I-XL-v1.0",
        revision="c03d510e9b75bce9f9db5bb85148c1402ad7e694",
        pipeline="IFPipeline",
        stages=(
            Stage(
                repository="DeepFloyd/IF-II-L-v1.0",
                revision="609476ce702b2d94aff7d1f944dcc54d4f972901",
                pipeline="IFSuperResolutionPipeline",
                size=256,
                steps=50,
                guidance=4.0,
                noise_level=250,
                variant="fp16",
            ),
            Stage(
                repository="stabilityai/stable-diffusion-x4-upscaler",
                revision="572c99286543a273bfd17fac263db5a77be12c4c",
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
        licence="Stability AI Community (until July 2024: Non-Commercial Research Community)",
        commercial=None,
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
            4: Recipe(denoiser=_lightning("sdxl_lightning_4step_unet.safetensors")),
            2: Recipe(denoiser=_lightning("sdxl_lightning_2step_unet.safetensors")),
            8: Recipe(denoiser=_lightning("sdxl_lightning_8step_unet.safetensors")),
            1: Recipe(
                denoiser=_lightning("sdxl_lightning_1step_unet_x0.safetensors"),
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
                denoiser=Weights(repository=_HYPER, file="Hyper-SDXL-1step-Unet.safetensors"),
                scheduler=_LCM,
                timesteps=(800,),
            ),
            2: Recipe(lora=(Weights(repository=_HYPER, file="Hyper-SDXL-2steps-lora.safetensors"),)),
            4: Recipe(lora=(Weights(repository=_HYPER, file="Hyper-SDXL-4steps-lora.safetensors"),)),
            8: Recipe(lora=(Weights(repository=_HYPER, file="Hyper-SDXL-8steps-lora.safetensors"),)),
        },
        steps=(1, 2, 4, 8),
        guidance=0.0,
        licence="Open RAIL++-M (its card of April 2024); LICENSE.md of its repository; base Open RAIL++-M",
        commercial=None,
        unverified="the text of its LICENSE.md, which replaced the card's licence, was not read",
        source="https://arxiv.org/abs/2404.13686",
        citation=HYPER,
    ),
    _sdxl(
        name="dmd2",
        scheduler=_LCM,
        recipes={
            4: Recipe(
                denoiser=_dmd2("dmd2_sdxl_4step_unet_fp16.safetensors"),
                timesteps=(999, 749, 499, 249),
            ),
            1: Recipe(denoiser=_dmd2("dmd2_sdxl_1step_unet_fp16.bin"), timesteps=(399,)),
        },
        steps=(4, 1),
        guidance=0.0,
        licence="CC BY-NC 4.0 (weights); CC BY-NC-SA 4.0 (code)",
        commercial=False,
        source="https://arxiv.org/abs/2405.14867",
        citation=DMD2,
    ),
    _sdxl(
        name="dmd2-lora",
        scheduler=_LCM,
        recipes={
            4: Recipe(
                lora=(_dmd2("dmd2_sdxl_4step_lora_fp16.safetensors"),),
                timesteps=(999, 749, 499, 249),
            )
        },
        steps=(4,),
        guidance=0.0,
        licence="CC BY-NC 4.0 (weights); CC BY-NC-SA 4.0 (code)",
        commercial=False,
        source="https://arxiv.org/abs/2405.14867",
        citation=DMD2,
        note="the paper's figures are of dmd2, the UNet",
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
        revision="ec07796fc06b096cc56de9762974a28f4c632eda",
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
        licence=SANA_LICENCE,
        commercial=None,
        unverified=SANA_UNVERIFIED,
        source="https://arxiv.org/abs/2503.09641",
        citation=SANA_SPRINT,
        note="guidance is embedded: one forward a step",
    ),
    Model(
        name="z-image-turbo",
        repository="Tongyi-MAI/Z-Image-Turbo",
        revision="f332072aa78be7aecdf3ee76d5c247082da564a6",
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
    *RECENT,
    # Random weights, made on the spot by bench.models.tiny: real classes, fast, and images of nothing.
    _tiny(name="tiny-sdxl"),
    _tiny(
        name="tiny-turbo",
        repository="tiny:turbo",
        scheduler=Scheduler(name="EulerAncestralDiscreteScheduler", settings=_TRAILING),
        steps=(1, 2, 4),
        guidance=0.0,
    ),
    _tiny(name="tiny-lcm", scheduler=_LCM, denoiser=Weights(repository="tiny:lcm"), steps=(4,), guidance=8.0),
    # Trained, shipped with the suite: bench/miniature.
    _mini(name="mini-sdxl", steps=(50, 4)),
    _mini(
        name="mini-turbo",
        scheduler=Scheduler(name="EulerAncestralDiscreteScheduler", settings=_ZERO_SNR),
        denoiser=Weights(repository="miniature:turbo", subfolder="unet"),
        steps=(1, 2, 4),
        guidance=0.0,
    ),
    _mini(
        name="mini-lcm",
        scheduler=Scheduler(
            name="LCMScheduler",
            settings={
                "prediction_type": "v_prediction",
                "rescale_betas_zero_snr": True,
                "original_inference_steps": 50,
                "timestep_spacing": "leading",
                "clip_sample": False,
            },
        ),
        denoiser=Weights(repository="miniature:lcm", subfolder="unet"),
        steps=(4,),
        note="guidance is embedded: one forward a step",
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


def citation_of(model: Model) -> Paper | None:
    """What a paper that uses this model should cite."""
    return PAPERS.get(model.citation)


def strength_problem(model: Model, contender: Contender, strength: float) -> str:
    """Why this contender cannot edit a reference at this strength; empty if it can.

    Image-to-image runs int(steps × strength) steps (SDXL Turbo's card: steps × strength must be at least 1).
    """
    if "image-to-image" not in model.tasks:
        able = ", ".join(m.name for m in MODELS.values() if "image-to-image" in m.tasks)
        return f"'{contender.name}' cannot generate images from images; those that can: {able}"
    if not 0 < strength <= 1:
        return f"strength {strength:g} is not above 0 and at most 1"
    steps = contender.steps or 0
    if int(steps * strength) < 1:
        # Rounded up to what is printed: 0.333333 would not be enough for three steps.
        least = "1" if steps < 2 else f"{math.ceil(1e4 / steps) / 1e4:g} or more"
        return (
            f"'{contender.name}' at strength {strength:g} would take no step: steps × strength must be at "
            f"least 1; use strength {least}, or at least {math.ceil(1 / strength)} steps"
        )
    return ""
