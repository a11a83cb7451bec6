"""What each metric is: `METRICS`, one literal entry a metric. How it is computed: `bench.metrics.statistics`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["prompt", "reference", "image", "set", "source"]
AGAINST: dict[Kind, str] = {
    "prompt": "its prompt",
    "reference": "a reference set",
    "image": "nothing",
    "set": "the set itself",
    "source": "the image it began from",
}
"""What a metric of each kind holds an image against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    kind: Kind
    """`prompt`: against the text; `reference`: against other images; `image`: each alone; `set`: of the set;
    `source`: against the image an image-to-image prompt began from."""
    higher_is_better: bool
    extractor: str
    """A name of `bench.metrics.extractors.EXTRACTORS`; `study` is the CLIP of `[metrics] clip`."""
    statistic: str
    """A name of `bench.metrics.statistics.STATISTICS` (`fid` and `fd_dinov2` share `frechet`)."""
    source: str
    tells: str
    cannot: str
    """What it cannot tell."""
    share: bool = False
    """Every image's value lies between 0 and 1: a mean has Wilson's interval."""
    passes: tuple[float, float] | None = None
    """A protocol's limits: within them, ends included, an image generator passes."""


_DRIFT = "on COCO it ranks SDXL above SDXL Turbo where people do not; biased at small N"

METRICS: dict[str, Metric] = {
    "clip_score": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="study",
        statistic="cosine",
        source="Hessel et al. 2021, arXiv 2104.08718; 100 x max(cosine, 0)",
        tells="whether the things named in the prompt are there",
        cannot="counts, relations, spelling; beauty",
    ),
    "fid": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-tf",
        statistic="frechet",
        source="Heusel et al. 2017, arXiv 1706.08500",
        tells="how far the set as a whole is from the reference in 2015 Inception features",
        cannot=f"single images, prompts, faces, images that are not photographs; {_DRIFT}",
    ),
    "fid_clean": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-clean",
        statistic="frechet",
        source="Parmar et al. 2022, arXiv 2104.11222",
        tells="as fid, with an antialiased bicubic resize, so that resizing does not decide it",
        cannot=f"as fid; {_DRIFT}",
    ),
    "fid_infinity": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-tf",
        statistic="frechet_infinity",
        source="Chong and Forsyth 2020, arXiv 1911.07023",
        tells="as fid, with the bias of the generated images' N extrapolated away; given only where that holds",
        cannot="as fid; the bias of a small reference stays; below 10 images a dimension it is refused",
    ),
    "kid": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-tf",
        statistic="kernel",
        source="Binkowski et al. 2018, arXiv 1801.01401",
        tells="as fid, without bias at small N",
        cannot="as fid; single images, prompts",
    ),
    "fd_dinov2": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="dinov2",
        statistic="frechet",
        source="Stein et al. 2023, arXiv 2306.04675",
        tells="distance of the sets in features that follow human judgements better than Inception's",
        cannot="prompts; biased at small N",
    ),
    "fd_clip": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="study",
        statistic="frechet",
        source="Kynkaanniemi et al. 2023, arXiv 2203.06026",
        tells="distance of the sets in the features of the study's CLIP",
        cannot="textures and small artefacts; biased at small N",
    ),
    "cmmd": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="clip-vit-l-14-336",
        statistic="cmmd",
        source="Jayasumana et al. 2024, arXiv 2401.09603; RBF, sigma 10, x 1000",
        tells="distance of the sets in CLIP features without a Gaussian assumption",
        cannot="prompts; textures and small artefacts",
    ),
    "precision": Metric(
        kind="reference",
        higher_is_better=True,
        extractor="inception-tf",
        statistic="precision",
        source="Kynkaanniemi et al. 2019, arXiv 1904.06991; k = 3",
        tells="share of images that lie among the reference",
        cannot="variety; an outlier in the reference widens it",
    ),
    "recall": Metric(
        kind="reference",
        higher_is_better=True,
        extractor="inception-tf",
        statistic="recall",
        source="Kynkaanniemi et al. 2019, arXiv 1904.06991; k = 3",
        tells="share of the reference that lies among the images",
        cannot="quality; an outlier among the images widens it",
    ),
    "density": Metric(
        kind="reference",
        higher_is_better=True,
        extractor="inception-tf",
        statistic="density",
        source="Naeem et al. 2020, arXiv 2002.09797; k = 5",
        tells="as precision, outliers weighing less; may exceed 1",
        cannot="variety",
    ),
    "coverage": Metric(
        kind="reference",
        higher_is_better=True,
        extractor="inception-tf",
        statistic="coverage",
        source="Naeem et al. 2020, arXiv 2002.09797; k = 5",
        tells="share of the reference with an image near by",
        cannot="quality",
    ),
    "patch_fid": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-patch",
        statistic="frechet",
        source="Lin et al. 2024 (SDXL-Lightning), arXiv 2402.13929; centre 299 px crop at native size",
        tells="fine detail that a resize to 299 px hides",
        cannot="the image as a whole; biased at small N",
    ),
    "pickscore": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="pickscore",
        statistic="dot",
        source="Kirstain et al. 2023, arXiv 2305.01569",
        tells="what users of one web application picked",
        cannot="it was trained on images of older models; its scale has no zero",
    ),
    "hpsv2": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="hpsv2.1",
        statistic="cosine",
        source="Wu et al. 2023, arXiv 2306.09341; weights v2.1; 100 x cosine",
        tells="what paid annotators preferred",
        cannot="rewards saturated, centred images; trained on older models",
    ),
    "image_reward": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="image-reward",
        statistic="value",
        source="Xu et al. 2023, arXiv 2304.05977; ImageReward-v1.0",
        tells="what expert annotators ranked higher, text and image read together",
        cannot="captions past 35 tokens; trained on older models",
    ),
    "vqascore": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="instructblip",
        statistic="value",
        source="Lin et al. 2024, arXiv 2404.01291; probability of 'yes', InstructBLIP FlanT5-XL",
        tells="whether the image shows the prompt, its relations and counts included",
        cannot="beauty; what the language model cannot see; it cannot rank two images it is sure of",
        share=True,
    ),
    "aesthetic": Metric(
        kind="image",
        higher_is_better=True,
        extractor="aesthetic",
        statistic="value",
        source="Schuhmann 2022, improved-aesthetic-predictor (SAC + LOGOS + AVA1)",
        tells="1 to 10, how pleasing an image is to photograph raters",
        cannot="the prompt; rewards painterly images",
    ),
    "diversity": Metric(
        kind="set",
        higher_is_better=True,
        extractor="study",
        statistic="diversity",
        source="mean of 1 - cosine over pairs of replicates of a prompt",
        tells="how different the images of one prompt are",
        cannot="whether the variety is wanted; noise counts as variety",
    ),
    "vendi": Metric(
        kind="set",
        higher_is_better=True,
        extractor="study",
        statistic="vendi",
        source="Friedman and Dieng 2023, arXiv 2210.02410; cosine kernel, mean over prompts",
        tells="the effective number of different images among those of one prompt, 1 to images_per_prompt",
        cannot="whether the variety is wanted; studies with other images_per_prompt are not comparable",
    ),
    "near_duplicates": Metric(
        kind="set",
        higher_is_better=False,
        extractor="study",
        statistic="near_duplicates",
        source="share of images whose cosine with an image of another prompt exceeds 0.98",
        tells="collapse: the same image for different prompts",
        cannot="near-identical prompts give near-identical images rightly",
    ),
    "lpips": Metric(
        kind="source",
        higher_is_better=False,
        extractor="lpips",
        statistic="value",
        source="Zhang et al. 2018, arXiv 1801.03924; AlexNet, v0.1",
        tells="how far each image is from the one it began from, patch by patch",
        cannot="whether the edit was asked for: an untouched image scores 0, the best",
    ),
    "dinov2_similarity": Metric(
        kind="source",
        higher_is_better=True,
        extractor="dinov2",
        statistic="source_cosine",
        source="cosine of DINOv2 class tokens; Oquab et al. 2023, arXiv 2304.07193",
        tells="whether the same things are still there, in what they are rather than pixel by pixel",
        cannot="whether the edit was made: an untouched image scores 1, the best",
    ),
    "clip_direction": Metric(
        kind="source",
        higher_is_better=True,
        extractor="study",
        statistic="direction",
        source="Gal et al. 2021, arXiv 2108.00946; cosine of the change of images with the change of words",
        tells="whether the image changed as its words did",
        cannot="what must stay; small edits drown in noise",
    ),
    "mlperf_clip": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="mlperf-clip",
        statistic="signed_cosine",
        source="MLPerf Inference, text_to_image: 100 x cosine, OpenAI ViT-B/32, images as generated",
        tells="whether an SDXL of `--protocol mlperf-sdxl` is the SDXL of the reference",
        cannot="whether another model is better; only `bench score --protocol mlperf-sdxl` may quote it",
        passes=(31.68631873, 31.81331801),
    ),
    "mlperf_fid": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="mlperf-inception",
        statistic="frechet",
        source="MLPerf Inference, text_to_image: pytorch-fid's resize, statistics of COCO-2014 val",
        tells="whether an SDXL of `--protocol mlperf-sdxl` is the SDXL of the reference",
        cannot="whether another model is better; both ends of its limits are wrong, not only the upper",
        passes=(23.01085758, 23.95007626),
    ),
    "mini_clip_score": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="mini-clip",
        statistic="cosine",
        source="the suite's own two-tower instrument, trained on the miniature world",
        tells="prompt alignment of miniature images",
        cannot="anything outside the miniature world",
    ),
    "mini_fd": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="mini-features",
        statistic="frechet",
        source="Frechet distance in the pooled features of the suite's own miniature classifier",
        tells="distance of miniature images from the miniature world",
        cannot="anything outside the miniature world; biased at small N",
    ),
    "edit_accuracy": Metric(
        kind="source",
        higher_is_better=True,
        extractor="mini-scene",
        statistic="changed",
        source="as scene_accuracy, of the attributes that differ between the words before and after",
        tells="whether the change that was asked for was made",
        cannot="what became of the rest; anything outside the miniature world",
        share=True,
    ),
    "kept_accuracy": Metric(
        kind="source",
        higher_is_better=True,
        extractor="mini-scene",
        statistic="kept",
        source="as scene_accuracy, of the attributes that the words before and after share",
        tells="whether what was not to change is still there",
        cannot="whether the change was made: an untouched image scores 1, the best",
        share=True,
    ),
    "scene_accuracy": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="mini-scene",
        statistic="dot",
        source="share of the prompt's attributes that the suite's own miniature classifier finds",
        tells="whether shape, colour, place and number are as asked",
        cannot="anything outside the miniature world",
        share=True,
    ),
}
