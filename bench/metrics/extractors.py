"""Which networks turn images into features: `EXTRACTORS`, one literal entry a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.errors import InputError, unknown

Kind = Literal[
    "inception", "open_clip", "tiny-clip", "transformers-clip", "dinov2", "aesthetic", "miniature",
    "image-reward", "instructblip", "lpips", "hps-v3", "clip-flan-t5", "qwen-vl", "user",
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
    base: str = ""
    """Hub id of the model whose configuration, tokenizer or picture tower it takes besides."""
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
    answers: tuple[str, ...] = ()
    """Spellings of the answer to `captions` whose probabilities are added up."""
    questions: str = ""
    """Of a metric that asks several questions a prompt: a name of `bench.metrics.questions.FORMS`."""
    tflop: float = 0.0
    """Of reading one image and one text, where a study has to be planned for it; 0: it has not."""
    licence: str = ""
    note: str = ""


HPS_V3_TEXT = "data_collator_qwen.py"
"""The authors' source file with HPSv3's instruction, as it is called beside the weights."""
FLAN_T5 = "google/flan-t5-xxl"
"""Whose vocabulary CLIP-FlanT5 reads with."""
QWEN_RESIZE = "as the model's image processor: multiples of its patches near the display size"
CLIP_RESIZE = "bicubic with antialias, shortest side, centre crop (open_clip's own transform)"
LONGEST_RESIZE = "bicubic with antialias, longest side, padded with black to a square (HPSv2's own transform)"

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
        resize="bicubic with antialias, PIL, to 224 x 224; positions interpolated as torch.hub's DINOv2 (offset 0.1)",
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
        resize=LONGEST_RESIZE,
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
    "hps-v3": Extractor(
        kind="hps-v3",
        resize="bicubic with antialias, PIL, to 448 x 448; places numbered in one dimension, as in the authors' code",
        weights="MizzenAI/HPSv3/HPSv3.safetensors",
        base="Qwen/Qwen2-VL-7B-Instruct",
        joint="caption",
        captions=f"the authors' instruction with the prompt in it ({HPS_V3_TEXT})",
        tflop=11.2,
        licence="MIT",
    ),
    "clip-flant5-xxl": Extractor(
        kind="clip-flan-t5",
        resize="padded to a square, then as CLIP's image processor",
        weights="zhiqiulin/clip-flant5-xxl",
        base="openai/clip-vit-large-patch14-336",
        joint="caption",
        captions='Does this figure show "{}"? Please answer yes or no.',
        answers=("Yes",),
        tflop=6.3,
        licence="Apache-2.0",
    ),
    "qwen2.5-vl-7b": Extractor(
        kind="qwen-vl",
        resize=QWEN_RESIZE,
        weights="Qwen/Qwen2.5-VL-7B-Instruct",
        joint="caption",
        captions='Does this image show "{}"?',
        answers=("Yes",),
        tflop=6.4,
        licence="Apache-2.0",
    ),
    "qwen3-vl-8b:soft-tifa": Extractor(
        kind="qwen-vl",
        resize=QWEN_RESIZE,
        weights="Qwen/Qwen3-VL-8B-Instruct",
        joint="caption",
        questions="soft-tifa",
        tflop=5.0,
        licence="Apache-2.0",
    ),
    "qwen2.5-vl-7b:tifa": Extractor(
        kind="qwen-vl",
        resize=QWEN_RESIZE,
        weights="Qwen/Qwen2.5-VL-7B-Instruct",
        joint="caption",
        questions="tifa",
        tflop=6.4,
        licence="Apache-2.0",
    ),
    "qwen2.5-vl-7b:dpg": Extractor(
        kind="qwen-vl",
        resize=QWEN_RESIZE,
        weights="Qwen/Qwen2.5-VL-7B-Instruct",
        joint="caption",
        questions="dpg",
        tflop=6.4,
        licence="Apache-2.0",
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
