"""The field after the reference study: one entry a model, with its authors' recipe, source and licence.

What could not be verified from the public record stands in `unverified`; nothing is guessed in silence.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from bench.models.model import Model, Recipe, Scheduler, Weights
from bench.models.sdxl_base import SDXL_BASE
from bench.papers import (
    FLASH,
    FLUX,
    FLUX2,
    HYPER,
    NITRO,
    PCM,
    PIXART_DMD,
    QWEN_IMAGE,
    SANA15,
    SANA_SPRINT,
    SD3_TURBO,
    TCD,
    TURBO_ALPHA,
)

_TRAILING = {"timestep_spacing": "trailing"}
_HYPER = "ByteDance/Hyper-SD"
_NITRO = "ChenDY/NitroFusion"
_QWEN_LIGHTNING = "lightx2v/Qwen-Image-Lightning"
_QWEN_LIGHTNING_COMMIT = "e74da8d4e71a54b341de86aa9f8d2509165aa513"
SANA_LICENCE = "Apache-2.0 (until October 2025: NVIDIA NSCL v2); Gemma terms for the text encoder"
SANA_UNVERIFIED = (
    "the licence is as others read it from the card on 2 August 2026; the card itself was not read"
)
_FLUX_DEV_LICENCE = "FLUX.1 [dev] Non-Commercial"
_CARD = "licence and recipe are those of the model's card as others quote it; the card itself was not read"
_NO_BINNING = {"use_resolution_binning": False, "clean_caption": False}
"""The size asked for is the size generated, and captions stay as they are written."""


def _flux_dev(**changes: Any) -> Model:
    """FLUX.1 [dev] with a LoRA over it."""
    base = Model(
        name="",
        repository="black-forest-labs/FLUX.1-dev",
        revision="3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
        pipeline="FluxPipeline",
        options={"max_sequence_length": 512},
        dtype="bfloat16",
        variant=None,
        guidance=3.5,
        licence=_FLUX_DEV_LICENCE,
        commercial=False,
        citation=FLUX,
        gated=True,
        note="guidance is embedded: one forward a step",
    )
    return replace(base, **changes)


def _qwen_lora(steps: int) -> Recipe:
    file = f"Qwen-Image-Lightning-{steps}steps-V2.0.safetensors"
    return Recipe(lora=(Weights(repository=_QWEN_LIGHTNING, revision=_QWEN_LIGHTNING_COMMIT, file=file),))


RECENT: tuple[Model, ...] = (
    Model(
        name="flux.2-klein-4b",
        repository="black-forest-labs/FLUX.2-klein-4B",
        revision="e7b7dc27f91deacad38e78976d1f2b499d76a294",
        pipeline="Flux2KleinPipeline",
        options={"max_sequence_length": 512},
        dtype="bfloat16",
        variant=None,
        steps=(4,),
        guidance=1.0,
        licence="Apache-2.0",
        commercial=True,
        source="https://bfl.ai/blog/flux2-klein-towards-interactive-visual-intelligence",
        citation=FLUX2,
        unverified="guidance 1 is as others use it; the card was not read",
    ),
    Model(
        name="qwen-image-lightning",
        repository="Qwen/Qwen-Image",
        revision="75e0b4be04f60ec59a75f475837eced720f823b6",
        pipeline="QwenImagePipeline",
        scheduler=Scheduler(
            name="FlowMatchEulerDiscreteScheduler",
            settings={
                "base_shift": math.log(3),
                "max_shift": math.log(3),
                "shift": 1.0,
                "shift_terminal": None,
                "use_dynamic_shifting": True,
                "time_shift_type": "exponential",
            },
        ),
        recipes={steps: _qwen_lora(steps) for steps in (4, 8)},
        options={"true_cfg_scale": 1.0, "negative_prompt": " ", "max_sequence_length": 512},
        dtype="bfloat16",
        variant=None,
        size=1328,
        steps=(4, 8),
        licence="Apache-2.0",
        commercial=True,
        source="https://github.com/ModelTC/Qwen-Image-Lightning",
        citation=QWEN_IMAGE,
        note="the authors' script adds ', Ultra HD, 4K, cinematic composition.' to prompts; here none changes",
    ),
    _flux_dev(
        name="flux.1-turbo-alpha",
        lora=(
            Weights(
                repository="alimama-creative/FLUX.1-Turbo-Alpha",
                file="diffusion_pytorch_model.safetensors",
            ),
        ),
        steps=(8,),
        source="https://github.com/alimama-creative/FLUX-Controlnet-Inpainting",
        citation=TURBO_ALPHA,
        unverified=_CARD,
    ),
    _flux_dev(
        name="hyper-flux",
        recipes={
            steps: Recipe(
                lora=(
                    Weights(
                        repository=_HYPER,
                        file=f"Hyper-FLUX.1-dev-{steps}steps-lora.safetensors",
                        scale=0.125,
                    ),
                )
            )
            for steps in (8, 16)
        },
        steps=(8, 16),
        source="https://arxiv.org/abs/2404.13686",
        citation=HYPER,
        unverified="the LoRA's scale and guidance are as others use them; the card was not read",
    ),
    replace(
        SDXL_BASE,
        name="sdxl-flash",
        repository="sd-community/sdxl-flash",
        revision="main",
        variant=None,
        scheduler=Scheduler(name="DPMSolverSinglestepScheduler"),
        steps=(7,),
        guidance=3.0,
        licence="CreativeML Open RAIL++-M (of the base)",
        commercial=None,
        source="the model's page on the hub: sd-community/sdxl-flash",
        note="its card asks for trailing timesteps, which diffusers' scheduler of that name does not take",
        unverified=_CARD,
    ),
    replace(
        SDXL_BASE,
        name="flash-sdxl",
        scheduler=Scheduler(name="LCMScheduler", settings=_TRAILING),
        lora=(Weights(repository="jasperai/flash-sdxl", file="pytorch_lora_weights.safetensors"),),
        steps=(4,),
        guidance=0.0,
        licence="CC BY-NC 4.0",
        commercial=False,
        source="https://arxiv.org/abs/2406.02347",
        citation=FLASH,
    ),
    *(
        replace(
            SDXL_BASE,
            name=f"nitrosd-{style}",
            scheduler=Scheduler(name="LCMScheduler", settings={"original_inference_steps": 4}),
            recipes={
                1: Recipe(
                    denoiser=Weights(repository=_NITRO, file=f"nitrosd-{style}_unet.safetensors"),
                    timesteps=(time,),
                )
            },
            steps=(1,),
            guidance=0.0,
            licence=licence,
            commercial=commercial,
            source="https://arxiv.org/abs/2412.02030",
            citation=NITRO,
            note="1 step; 2 to 4 need the authors' own scheduler",
        )
        for style, time, licence, commercial in (
            ("realism", 249, "CC BY-NC 4.0", False),
            ("vibrant", 499, "CreativeML Open RAIL++-M", True),
        )
    ),
    replace(
        SDXL_BASE,
        name="tcd-sdxl",
        scheduler=Scheduler(name="TCDScheduler"),
        lora=(Weights(repository="h1t/TCD-SDXL-LoRA", file="pytorch_lora_weights.safetensors"),),
        options={"eta": 0.3},
        steps=(4, 2, 8),
        guidance=0.0,
        licence="not stated in the authors' repository; base Open RAIL++-M",
        commercial=None,
        source="https://arxiv.org/abs/2402.19159",
        citation=TCD,
        unverified="the licence of the LoRA",
    ),
    replace(
        SDXL_BASE,
        name="pcm-sdxl",
        scheduler=Scheduler(
            name="DDIMScheduler", settings={**_TRAILING, "clip_sample": False, "set_alpha_to_one": False}
        ),
        recipes={
            steps: Recipe(
                lora=(
                    Weights(
                        repository="wangfuyun/PCM_Weights",
                        subfolder="sdxl",
                        file=f"pcm_sdxl_smallcfg_{steps}step_converted.safetensors",
                    ),
                )
            )
            for steps in (4, 2, 8)
        },
        steps=(4, 2, 8),
        guidance=1.0,
        licence="not stated; base Open RAIL++-M",
        commercial=None,
        source="https://arxiv.org/abs/2405.18407",
        citation=PCM,
        unverified="guidance 1 and DDIM with trailing timesteps are as others use it; the card was not read",
    ),
    Model(
        name="pixart-alpha-dmd",
        repository="PixArt-alpha/PixArt-XL-2-512x512",
        revision="50f702106901db6d0f8b67eb88e814c56ded2692",
        pipeline="PixArtAlphaPipeline",
        scheduler=Scheduler(name="DDPMScheduler"),
        denoiser=Weights(repository="PixArt-alpha/PixArt-Alpha-DMD-XL-2-512x512", subfolder="transformer"),
        recipes={1: Recipe(timesteps=(400,))},
        options={"max_sequence_length": 120, **_NO_BINNING},
        dtype="float16",
        variant=None,
        size=512,
        steps=(1,),
        guidance=1.0,
        licence="CreativeML Open RAIL++-M",
        commercial=True,
        source="https://github.com/PixArt-alpha/PixArt-sigma",
        citation=PIXART_DMD,
        unverified="the scheduler's configuration is the base's; the authors load the one beside their weights",
    ),
    Model(
        name="sana-sprint-0.6b",
        repository="Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers",
        pipeline="SanaSprintPipeline",
        options={"max_sequence_length": 300},
        dtype="bfloat16",
        variant=None,
        steps=(2, 1, 4),
        guidance=4.5,
        licence=SANA_LICENCE,
        commercial=None,
        source="https://arxiv.org/abs/2503.09641",
        citation=SANA_SPRINT,
        note="guidance is embedded: one forward a step",
        unverified=SANA_UNVERIFIED,
    ),
    Model(
        name="sana-1.5",
        repository="Efficient-Large-Model/SANA1.5_1.6B_1024px_diffusers",
        revision="caa51e5ea874be07d3a9c7c2d0fd800570b18440",
        pipeline="SanaPipeline",
        options={"max_sequence_length": 300, **_NO_BINNING},
        dtype="bfloat16",
        variant=None,
        steps=(20,),
        guidance=4.5,
        licence=SANA_LICENCE,
        commercial=None,
        source="https://arxiv.org/abs/2501.18427",
        citation=SANA15,
        note="the teacher of sana-sprint",
        unverified=SANA_UNVERIFIED,
    ),
    Model(
        name="sd-3.5-medium-turbo",
        repository="tensorart/stable-diffusion-3.5-medium-turbo",
        pipeline="StableDiffusion3Pipeline",
        options={"max_sequence_length": 256},
        dtype="bfloat16",
        variant=None,
        steps=(8, 4),
        guidance=1.0,
        licence="Stability AI Community",
        commercial=None,
        source="the model's page on the hub: tensorart/stable-diffusion-3.5-medium-turbo",
        citation=SD3_TURBO,
        note="TensorArt's distillation, not Stability AI's",
        unverified="step counts and guidance differ between those who use it; the card was not read",
    ),
    Model(
        name="hyper-sd3",
        repository="stabilityai/stable-diffusion-3-medium-diffusers",
        revision="ea42f8cef0f178587cf766dc8129abd379c90671",
        pipeline="StableDiffusion3Pipeline",
        recipes={
            8: Recipe(
                lora=(Weights(repository=_HYPER, file="Hyper-SD3-8steps-CFG-lora.safetensors", scale=0.125),)
            )
        },
        options={"max_sequence_length": 256},
        dtype="float16",
        variant=None,
        steps=(8,),
        guidance=5.0,
        licence="Stability AI Community (base); Hyper-SD's own for the LoRA",
        commercial=None,
        source="https://arxiv.org/abs/2404.13686",
        citation=HYPER,
        unverified="guidance and the LoRA's scale are as others use them; the card was not read",
        gated=True,
        note="4 steps at guidance 3 and 16 at 7 have LoRAs of their own: name them in a study",
    ),
)
