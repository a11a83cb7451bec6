"""Figures others published, with their source; shown beside ours in tables of their own, never mixed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    model: str
    steps: int | None
    protocol: str
    hardware: str = ""
    total_ms: float | None = None
    """Milliseconds an image, whole path."""
    forward_ms: float | None = None
    """Milliseconds of one denoising forward inside it."""
    fid: float | None = None
    clip: float | None = None
    n: int | None = None
    """Images the quality figures stand on."""
    source: str


_ADD = "ADD table 2: COCO-2017 5k, 512 px, CLIP ViT-g-14"
_ADD_SOURCE = "arXiv 2311.17042, table 2"
_LIGHTNING = "SDXL-Lightning table 2: COCO 10k"
_LIGHTNING_SOURCE = "arXiv 2402.13929, table 2"
_MLPERF = "MLPerf Inference: COCO-2014 5k, 1024 px, CLIP ViT-B-32"

TURBO_A100 = Published(
    model="sdxl-turbo",
    steps=1,
    protocol="512 px, batch 1, fp16; window: prompt encoding + one denoising step + decoding",
    hardware="A100",
    total_ms=207.0,
    forward_ms=67.0,
    source="Stability AI, announcement of SDXL Turbo (28 November 2023), the model of arXiv 2311.17042",
)
"""The reference study's line, which every latency table shows."""

PUBLISHED: tuple[Published, ...] = (
    TURBO_A100,
    Published(
        model="sdxl-turbo",
        steps=4,
        protocol="512 px, batch 1, TensorRT",
        hardware="A100",
        total_ms=138.6,
        source="stabilityai/sdxl-turbo-tensorrt",
    ),
    Published(
        model="sdxl-turbo",
        steps=4,
        protocol="512 px, batch 1, TensorRT",
        hardware="H100",
        total_ms=83.8,
        source="stabilityai/sdxl-turbo-tensorrt",
    ),
    Published(
        model="lcm-xl",
        steps=4,
        protocol="1024 px, batch 1, TensorRT",
        hardware="H100",
        total_ms=234.2,
        source="stabilityai/stable-diffusion-xl-1.0-tensorrt",
    ),
    Published(
        model="sdxl",
        steps=30,
        protocol="1024 px, batch 1, TensorRT",
        hardware="H100",
        total_ms=1471.0,
        source="stabilityai/stable-diffusion-xl-1.0-tensorrt",
    ),
    Published(
        model="instaflow",
        steps=1,
        protocol=_ADD,
        hardware="A100",
        total_ms=90.0,
        fid=23.4,
        clip=0.304,
        n=5000,
        source=_ADD_SOURCE,
    ),
    Published(
        model="sdxl", steps=32, protocol=_LIGHTNING, fid=18.49, clip=26.48, n=10000, source=_LIGHTNING_SOURCE
    ),
    Published(
        model="lcm-xl", steps=4, protocol=_LIGHTNING, fid=21.85, clip=26.09, n=10000, source=_LIGHTNING_SOURCE
    ),
    Published(
        model="lcm-lora-xl",
        steps=4,
        protocol=_LIGHTNING,
        fid=21.50,
        clip=26.18,
        n=10000,
        source=_LIGHTNING_SOURCE,
    ),
    Published(
        model="sdxl-turbo",
        steps=1,
        protocol=_LIGHTNING,
        fid=23.71,
        clip=26.36,
        n=10000,
        source=_LIGHTNING_SOURCE,
    ),
    Published(
        model="sdxl-turbo",
        steps=4,
        protocol=_LIGHTNING,
        fid=22.58,
        clip=26.18,
        n=10000,
        source=_LIGHTNING_SOURCE,
    ),
    Published(
        model="sdxl-lightning",
        steps=1,
        protocol=_LIGHTNING,
        fid=22.61,
        clip=26.02,
        n=10000,
        source=_LIGHTNING_SOURCE,
    ),
    Published(
        model="sdxl-lightning",
        steps=4,
        protocol=_LIGHTNING,
        fid=22.30,
        clip=26.07,
        n=10000,
        source=_LIGHTNING_SOURCE,
    ),
    Published(
        model="sdxl",
        steps=20,
        protocol=f"{_MLPERF}, reference fp32",
        fid=23.48046692,
        clip=31.74981837,
        n=5000,
        source="mlcommons/inference, text_to_image",
    ),
)
