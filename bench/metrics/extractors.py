"""Which networks turn images into features: `EXTRACTORS`, one literal entry a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.errors import InputError, unknown

Kind = Literal[
    "inception", "open_clip", "tiny-clip", "transformers-clip", "dinov2", "aesthetic", "miniature",
    "image-reward", "instructblip", "lpips", "user",
]  # fmt: skip
Joint = Literal["", "caption", "source"]

INCEPTION_FILES = ("inception-2015-12-05-trunk.pth", "weights-inception-2015-12-05-6726825d.pth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    kind: Kind
    resize: str
    """As it stands in the protocol."""
    weights: str
    """Hub id, file or tag."""
    architecture: str = ""
    """open_clip's name of it."""
    native: bool = False
    """Takes the image at its native size, not at the study's display size."""
    joint: Joint = ""
    """What it reads together with an image, giving one number a pair; empty: images and captions alone."""
    width: int = 0
    """Numbers a feature row has, where that matters: distances warn below 10 images a number."""
    captions: str = ""
    """What stands in the text it reads, if not the bare prompt."""
    licence: str = ""
    note: str = ""


CLIP_RESIZE = "bicubic with antialias, shortest side, centre crop (open_clip's own transform)"

EXTRACTORS: dict[str, Extractor] = {
    "inception-tf": Extractor(
        kind="inception",
        resize="inception-tf: TensorFlow 1 bilinear to 299, float",
        weights=INCEPTION_FILES[0],
        width=2048,
        licence="Apache-2.0",
    ),
    "inception-clean": Extractor(
        kind="inception",
        resize="clean: PIL bicubic with antialias to 299, float, clipped",
        weights=INCEPTION_FILES[0],
        width=2048,
        licence="Apache-2.0",
    ),
    "inception-patch": Extractor(
        kind="inception",
        resize="patch: centre crop of 299 at native size",
        weights=INCEPTION_FILES[0],
        native=True,
        width=2048,
        licence="Apache-2.0",
    ),
    "clip-vit-g-14": Extractor(
        kind="open_clip",
        resize=CLIP_RESIZE,
        architecture="ViT-g-14",
        weights="laion2b_s12b_b42k",
        width=1024,
        licence="MIT",
    ),
    "clip-vit-l-14": Extractor(
        kind="open_clip",
        resize=CLIP_RESIZE,
        architecture="ViT-L-14",
        weights="laion2b_s32b_b82k",
        width=768,
        licence="MIT",
    ),
    "clip-vit-b-32": Extractor(
        kind="open_clip",
        resize=CLIP_RESIZE,
        architecture="ViT-B-32",
        weights="laion2b_s34b_b79k",
        width=512,
        licence="MIT",
    ),
    "clip-vit-b-32-openai": Extractor(
        kind="open_clip",
        resize=CLIP_RESIZE,
        architecture="ViT-B-32",
        weights="openai",
        width=512,
        licence="MIT",
    ),
    "clip-vit-l-14-336": Extractor(
        kind="open_clip",
        resize=CLIP_RESIZE,
        architecture="ViT-L-14-336",
        weights="openai",
        width=768,
        licence="MIT",
    ),
    "mlperf-clip": Extractor(
        kind="open_clip",
        resize=CLIP_RESIZE,
        architecture="ViT-B-32",
        weights="openai",
        native=True,
        width=512,
        licence="MIT",
    ),
    "mlperf-inception": Extractor(
        kind="inception",
        resize="torch: bilinear without antialias to 299, half-pixel centres, float (pytorch-fid)",
        weights=INCEPTION_FILES[0],
        native=True,
        width=2048,
        licence="Apache-2.0",
    ),
    "tiny-clip": Extractor(
        kind="tiny-clip",
        resize=CLIP_RESIZE,
        weights="seeded random weights",
        width=32,
        note="random weights: means nothing",
    ),
    "dinov2": Extractor(
        kind="dinov2",
        resize="bicubic with antialias, PIL, to 224 x 224",
        weights="facebook/dinov2-large",
        width=1024,
        licence="Apache-2.0",
    ),
    "pickscore": Extractor(
        kind="transformers-clip",
        resize="as the model's image processor",
        weights="yuvalkirstain/PickScore_v1",
        licence="MIT",
    ),
    "hpsv2.1": Extractor(
        kind="open_clip",
        resize=CLIP_RESIZE,
        architecture="ViT-H-14",
        weights="xswu/HPSv2/HPS_v2.1_compressed.pt",
        licence="Apache-2.0",
    ),
    "aesthetic": Extractor(
        kind="aesthetic",
        resize=CLIP_RESIZE,
        architecture="ViT-L-14",
        weights="sac+logos+ava1-l14-linearMSE.pth",
        licence="Apache-2.0",
    ),
    "image-reward": Extractor(
        kind="image-reward",
        resize="bicubic with antialias, shortest side to 224, centre crop",
        weights="THUDM/ImageReward/ImageReward.pt",
        joint="caption",
        licence="Apache-2.0",
    ),
    "instructblip": Extractor(
        kind="instructblip",
        resize="as the model's image processor",
        weights="Salesforce/instructblip-flan-t5-xl",
        joint="caption",
        captions='Question: Does this figure show "{}"? Please answer yes or no.',
        licence="MIT",
    ),
    "lpips": Extractor(
        kind="lpips",
        resize="none: at the display size, -1 to 1",
        weights="alexnet-owt-7be5be79.pth",
        joint="source",
        licence="BSD-3-Clause",
    ),
    "mini-clip": Extractor(kind="miniature", resize="none", weights="miniature", licence="Apache-2.0"),
    "mini-features": Extractor(kind="miniature", resize="none", weights="miniature", licence="Apache-2.0"),
    "mini-scene": Extractor(kind="miniature", resize="none", weights="miniature", licence="Apache-2.0"),
}
AESTHETIC_TOWER = Extractor(kind="open_clip", resize=CLIP_RESIZE, architecture="ViT-L-14", weights="openai")
"""The CLIP under the aesthetic predictor."""
BERT = "google-bert/bert-base-uncased"
"""Whose vocabulary ImageReward reads captions with."""
DEFAULT_CLIP = "clip-vit-g-14"
"""The reference study's."""


def clip_name(choice: str, base: Path) -> str:
    """The extractor of `[metrics] clip`: a name of the table, or a folder in open_clip layout."""
    if not choice:
        return DEFAULT_CLIP
    folder = base / Path(choice.removeprefix("local-dir:")).expanduser()
    if (folder / "open_clip_config.json").is_file():
        return f"local-dir:{folder.resolve()}"
    clips = [name for name, entry in EXTRACTORS.items() if entry.kind in ("open_clip", "tiny-clip")]
    if choice in clips:
        return choice
    raise InputError(
        f"[metrics] clip: {unknown('CLIP', choice, clips)}, or a folder with open_clip_config.json"
    )
