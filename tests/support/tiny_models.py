"""Every entry of the registry over a tiny folder of its own class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.models.pipeline import Pipeline
from bench.models.registry import MODELS, Model, Weights
from bench.records import Contender
from tests.support import folders

TEXTS = ["a red dog on a table", "a blue cat"]


def entry(name: str, folder: Path, size: int, **changes) -> Model:
    """The real entry over a tiny folder: everything else is what the real one has."""
    options = {key: 64 for key in MODELS[name].options}
    return replace(
        MODELS[name],
        repository=str(folder),
        revision="main",
        variant=None,
        size=size,
        options=options,
        **changes,
    )


def if_entry(root: Path) -> Model:
    one, two, three = folders.if_cascade(root)
    stages = MODELS["if-xl"].stages
    return entry(
        "if-xl",
        one,
        128,
        stages=(
            replace(stages[0], repository=str(two), size=32, steps=2, variant=None),
            replace(stages[1], repository=str(three), size=128, steps=2),
        ),
    )


MAKERS: dict[str, Callable[[Path], Model]] = {
    "sdxl": lambda root: replace(MODELS["tiny-sdxl"]),
    "sdxl-turbo": lambda root: replace(MODELS["tiny-turbo"]),
    "lcm-xl": lambda root: replace(MODELS["tiny-lcm"]),
    "lcm-lora-xl": lambda root: replace(
        MODELS["lcm-lora-xl"],
        repository="tiny:sdxl",
        revision="main",
        variant=None,
        size=64,
        lora=(Weights(repository="tiny:lora", file="pytorch_lora_weights.safetensors"),),
    ),
    "if-xl": if_entry,
    "openmuse": lambda root: entry("openmuse", folders.amused(root), 16),
    "instaflow": lambda root: entry("instaflow", folders.sd15(root), 64),
    "sd-turbo": lambda root: entry("sd-turbo", folders.sd15(root), 64),
    "flux.1-schnell": lambda root: entry("flux.1-schnell", folders.flux(root), 32),
    "sd-3.5-large-turbo": lambda root: entry("sd-3.5-large-turbo", folders.sd3(root), 32),
    "sana-sprint": lambda root: entry("sana-sprint", folders.sana_sprint(root), 32),
    "z-image-turbo": lambda root: entry("z-image-turbo", folders.z_image(root), 32),
}
STEPS = {"sdxl": 3, "instaflow": 1, "sdxl-turbo": 1}


def of(pipeline: Pipeline, name: str, steps: int | None = None) -> Contender:
    model, steps = pipeline.model, steps or STEPS.get(name, 2)
    return Contender(
        name=f"{name}@{steps}", model=model.name, steps=steps, guidance=model.guidance, size=model.size
    )


def pictures(pipeline: Pipeline, who: Contender, texts: list[str], seeds: list[int], **more) -> np.ndarray:
    return pipeline.decode(pipeline.denoise(pipeline.encode(texts, who), seeds, who, **more))
