"""SDXL base: the entry that other models are laid over, its facts written once."""

from __future__ import annotations

from bench.models.model import BOTH, Model
from bench.papers import SDXL

SDXL_BASE = Model(
    name="sdxl",
    repository="stabilityai/stable-diffusion-xl-base-1.0",
    revision="462165984030d82259a11f4367a4eed129e94a7b",
    pipeline="StableDiffusionXLPipeline",
    steps=(50,),
    guidance=5.0,
    tasks=BOTH,
    licence="CreativeML Open RAIL++-M",
    commercial=True,
    source="https://arxiv.org/abs/2307.01952",
    citation=SDXL,
)
