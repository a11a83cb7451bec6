"""Figures others published, with their source; shown in columns of their own protocol, never beside ours in one.

A protocol is one literal entry; so is a figure. Two figures of different protocols never share a column.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    label: str
    """Head of its columns."""
    description: str
    """What was measured, on what."""
    source: str
    n: int | None = None
    """Images the quality figures stand on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    model: str
    steps: int | None
    protocol: Protocol
    total_ms: float | None = None
    """Milliseconds an image, whole path."""
    forward_ms: float | None = None
    """Milliseconds of one denoising forward inside it."""
    images_per_second: float | None = None
    fid: float | None = None
    clip: float | None = None

    @property
    def contender(self) -> str:
        return self.model if self.steps is None else f"{self.model}@{self.steps}"


ANNOUNCED = Protocol(
    label="A100, announcement",
    description="512 px, batch 1, fp16, A100; window: prompt encoding + one denoising step + decoding",
    source="Stability AI, announcement of SDXL Turbo (28 November 2023), the model of arXiv 2311.17042",
)
_ADD = Protocol(
    label="ADD table 2",
    description="COCO-2017, 5,000 captions, 512 px, CLIP ViT-g-14 (shares, not hundredfold); seconds on an A100",
    source="arXiv 2311.17042, table 2",
    n=5000,
)
_LIGHTNING = Protocol(
    label="SDXL-Lightning table 2",
    description="COCO, 10,000 captions, native size, CLIP score hundredfold",
    source="arXiv 2402.13929, table 2",
    n=10000,
)
_MLPERF_REFERENCE = Protocol(
    label="MLPerf reference",
    description="MLPerf Inference, COCO-2014, 5,000 captions, 1024 px, guidance 8, CLIP ViT-B-32, fp32",
    source="mlcommons/inference, text_to_image",
    n=5000,
)
_MLPERF_41 = Protocol(
    label="MLPerf v4.1 closed",
    description="MLPerf Inference v4.1, closed division, 8 x H200 together; quality as the MLPerf reference",
    source="mlcommons/inference_results_v4.1",
    n=5000,
)
_MLPERF_41_OPEN = Protocol(
    label="MLPerf v4.1 open",
    description="MLPerf Inference v4.1, open division, fp8, 1 x H200; quality as the MLPerf reference",
    source="mlcommons/inference_results_v4.1",
    n=5000,
)
_MLPERF_51 = Protocol(
    label="MLPerf v5.1 closed",
    description="MLPerf Inference v5.1, closed division, 8 x H200 together",
    source="mlcommons/inference_results_v5.1",
)
_TENSORRT_A100 = Protocol(
    label="A100, TensorRT",
    description="512 px, batch 1, TensorRT, A100",
    source="stabilityai/sdxl-turbo-tensorrt",
)
_TENSORRT_H100 = Protocol(
    label="H100, TensorRT 512 px",
    description="512 px, batch 1, TensorRT, H100",
    source="stabilityai/sdxl-turbo-tensorrt",
)
_TENSORRT_1024 = Protocol(
    label="H100, TensorRT 1024 px",
    description="1024 px, batch 1, TensorRT, H100",
    source="stabilityai/stable-diffusion-xl-1.0-tensorrt",
)

TURBO_A100 = Published(model="sdxl-turbo", steps=1, protocol=ANNOUNCED, total_ms=207.0, forward_ms=67.0)
"""The reference study's line, which every latency table shows."""

PUBLISHED: tuple[Published, ...] = (
    TURBO_A100,
    Published(model="sdxl-turbo", steps=4, protocol=_TENSORRT_A100, total_ms=138.6),
    Published(model="sdxl-turbo", steps=4, protocol=_TENSORRT_H100, total_ms=83.8),
    Published(model="lcm-xl", steps=4, protocol=_TENSORRT_1024, total_ms=234.2),
    Published(model="sdxl", steps=30, protocol=_TENSORRT_1024, total_ms=1471.0),
    Published(model="sd-1.5-dpm-solver", steps=25, protocol=_ADD, total_ms=880.0, fid=20.1, clip=0.318),
    Published(model="instaflow", steps=1, protocol=_ADD, total_ms=90.0, fid=23.4, clip=0.304),
    Published(model="ufogen", steps=1, protocol=_ADD, total_ms=90.0, fid=22.5, clip=0.311),
    Published(model="add-m", steps=1, protocol=_ADD, total_ms=90.0, fid=19.7, clip=0.326),
    Published(model="sdxl", steps=32, protocol=_LIGHTNING, fid=18.49, clip=26.48),
    Published(model="lcm-xl", steps=4, protocol=_LIGHTNING, fid=21.85, clip=26.09),
    Published(model="lcm-lora-xl", steps=4, protocol=_LIGHTNING, fid=21.50, clip=26.18),
    Published(model="sdxl-turbo", steps=1, protocol=_LIGHTNING, fid=23.71, clip=26.36),
    Published(model="sdxl-turbo", steps=4, protocol=_LIGHTNING, fid=22.58, clip=26.18),
    Published(model="sdxl-lightning", steps=1, protocol=_LIGHTNING, fid=22.61, clip=26.02),
    Published(model="sdxl-lightning", steps=4, protocol=_LIGHTNING, fid=22.30, clip=26.07),
    Published(model="sdxl", steps=20, protocol=_MLPERF_REFERENCE, fid=23.48046692, clip=31.74981837),
    Published(model="sdxl", steps=20, protocol=_MLPERF_41, fid=23.616, clip=31.783, images_per_second=17.42),
    Published(
        model="lcm-xl", steps=None, protocol=_MLPERF_41_OPEN, fid=28.428, clip=31.280, images_per_second=10.79
    ),
    Published(model="sdxl", steps=20, protocol=_MLPERF_51, images_per_second=19.189),
)
