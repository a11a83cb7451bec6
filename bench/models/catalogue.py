"""The papers behind the models: one BibTeX entry each, for the reports that name them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    key: str
    title: str
    authors: str
    """As BibTeX writes them: `Family, Given and …`."""
    year: int
    where: str
    """`arXiv:…`, or an address."""

    def bibtex(self) -> str:
        kind, place = ("misc", f"howpublished = {{\\url{{{self.where}}}}}")
        if self.where.startswith("arXiv:"):
            number = self.where.removeprefix("arXiv:")
            kind, place = ("article", f"journal = {{arXiv preprint {self.where}}},\n  eprint = {{{number}}}")
        return (
            f"@{kind}{{{self.key},\n  title = {{{self.title}}},\n  author = {{{self.authors}}},\n"
            f"  year = {{{self.year}}},\n  {place}\n}}"
        )


ADD = "sauer2023adversarial"
SDXL = "podell2023sdxl"
LCM = "luo2023latent"
LCM_LORA = "luo2023lcmlora"
IF = "deepfloyd2023if"
AMUSED = "patil2024amused"
INSTAFLOW = "liu2023instaflow"
STYLEGAN_T = "sauer2023stylegant"
MIDJOURNEY = "midjourney2023"
DALLE3 = "betker2023improving"
LIGHTNING = "lin2024sdxl"
HYPER = "ren2024hypersd"
DMD2 = "yin2024improved"
FLUX = "blackforest2024flux"
SD3_TURBO = "sauer2024fast"
SANA_SPRINT = "chen2025sanasprint"
Z_IMAGE = "zimage2025"

_ROWS = (
    (ADD, "Adversarial Diffusion Distillation",
     "Sauer, Axel and Lorenz, Dominik and Blattmann, Andreas and Rombach, Robin", 2023, "arXiv:2311.17042"),
    (SDXL, "SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis",
     "Podell, Dustin and English, Zion and Lacey, Kyle and Blattmann, Andreas and Dockhorn, Tim and "
     "M{\\\"u}ller, Jonas and Penna, Joe and Rombach, Robin", 2023, "arXiv:2307.01952"),
    (LCM, "Latent Consistency Models: Synthesizing High-Resolution Images with Few-Step Inference",
     "Luo, Simian and Tan, Yiqin and Huang, Longbo and Li, Jian and Zhao, Hang", 2023, "arXiv:2310.04378"),
    (LCM_LORA, "LCM-LoRA: A Universal Stable-Diffusion Acceleration Module",
     "Luo, Simian and Tan, Yiqin and Patil, Suraj and others", 2023, "arXiv:2311.05556"),
    (IF, "DeepFloyd IF", "{DeepFloyd Lab at StabilityAI}", 2023, "https://github.com/deep-floyd/IF"),
    (AMUSED, "aMUSEd: An Open MUSE Reproduction",
     "Patil, Suraj and Berman, William and Rombach, Robin and von Platen, Patrick", 2024, "arXiv:2401.01808"),
    (INSTAFLOW, "InstaFlow: One Step is Enough for High-Quality Diffusion-Based Text-to-Image Generation",
     "Liu, Xingchao and Zhang, Xiwen and Ma, Jianzhu and Peng, Jian and Liu, Qiang", 2023,
     "arXiv:2309.06380"),
    (STYLEGAN_T, "StyleGAN-T: Unlocking the Power of GANs for Fast Large-Scale Text-to-Image Synthesis",
     "Sauer, Axel and Karras, Tero and Laine, Samuli and Geiger, Andreas and Aila, Timo", 2023,
     "arXiv:2301.09515"),
    (MIDJOURNEY, "Midjourney", "{Midjourney, Inc.}", 2023, "https://www.midjourney.com"),
    (DALLE3, "Improving Image Generation with Better Captions", "Betker, James and Goh, Gabriel and others",
     2023, "https://cdn.openai.com/papers/dall-e-3.pdf"),
    (LIGHTNING, "SDXL-Lightning: Progressive Adversarial Diffusion Distillation",
     "Lin, Shanchuan and Wang, Anran and Yang, Xiao", 2024, "arXiv:2402.13929"),
    (HYPER, "Hyper-SD: Trajectory Segmented Consistency Model for Efficient Image Synthesis",
     "Ren, Yuxi and Xia, Xin and Lu, Yanzuo and Zhang, Jiacheng and Wu, Jie and Xie, Pan and Wang, Xing and "
     "Xiao, Xuefeng", 2024, "arXiv:2404.13686"),
    (DMD2, "Improved Distribution Matching Distillation for Fast Image Synthesis",
     "Yin, Tianwei and Gharbi, Micha{\\\"e}l and Park, Taesung and others", 2024, "arXiv:2405.14867"),
    (FLUX, "FLUX.1", "{Black Forest Labs}", 2024, "https://github.com/black-forest-labs/flux"),
    (SD3_TURBO, "Fast High-Resolution Image Synthesis with Latent Adversarial Diffusion Distillation",
     "Sauer, Axel and Boesel, Frederic and Dockhorn, Tim and Blattmann, Andreas and Esser, Patrick and "
     "Rombach, Robin", 2024, "arXiv:2403.12015"),
    (SANA_SPRINT, "SANA-Sprint: One-Step Diffusion with Continuous-Time Consistency Distillation",
     "Chen, Junsong and Xue, Shuchen and Zhao, Yuyang and Yu, Jincheng and Paul, Sayak and Chen, Junyu and "
     "Cai, Han and Han, Song and Xie, Enze", 2025, "arXiv:2503.09641"),
    (Z_IMAGE, "Z-Image: An Efficient Image Generation Foundation Model with Single-Stream Diffusion "
     "Transformer", "{Z-Image Team}", 2025, "arXiv:2511.22699"),
)  # fmt: skip

CITATIONS: dict[str, Citation] = {
    key: Citation(key=key, title=title, authors=authors, year=year, where=where)
    for key, title, authors, year, where in _ROWS
}
