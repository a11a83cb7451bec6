"""The papers behind models, metrics, prompt sets and published figures, each once, as BibTeX writes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    key: str
    title: str
    authors: str
    """As BibTeX writes them: `Family, Given and …`."""
    year: int
    where: str
    """`arXiv:…`, or an address."""

    @property
    def arxiv(self) -> str:
        """Number there; empty: it is elsewhere."""
        number = self.where.removeprefix("arXiv:")
        return "" if number == self.where else number


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
FLUX2 = "blackforest2026flux2klein"
QWEN_IMAGE = "wu2025qwenimage"
TURBO_ALPHA = "alimama2024turboalpha"
FLASH = "chadebec2024flash"
NITRO = "chen2024nitrofusion"
TCD = "zheng2024trajectory"
PCM = "wang2024phased"
PIXART_DMD = "chen2024pixartsigma"
SANA15 = "xie2025sana"
"""Keys that `bench.models` cites."""

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
    (FLUX2, "FLUX.2 [klein]: Towards Interactive Visual Intelligence", "{Black Forest Labs}", 2026,
     "https://bfl.ai/blog/flux2-klein-towards-interactive-visual-intelligence"),
    (QWEN_IMAGE, "Qwen-Image Technical Report", "Wu, Chenfei and Li, Jiahao and Zhou, Jingren and others", 2025,
     "arXiv:2508.02324"),
    (TURBO_ALPHA, "FLUX.1-Turbo-Alpha", "{AlimamaCreative Team}", 2024,
     "https://github.com/alimama-creative/FLUX-Controlnet-Inpainting"),
    (FLASH, "Flash Diffusion: Accelerating Any Conditional Diffusion Model for Few Steps Image Generation",
     "Chadebec, Clement and Tasar, Onur and Benaroche, Eyal and Aubin, Benjamin", 2024, "arXiv:2406.02347"),
    (NITRO, "NitroFusion: High-Fidelity Single-Step Diffusion through Dynamic Adversarial Training",
     "Chen, Dar-Yen and Bandyopadhyay, Hmrishav and Zou, Kai and Song, Yi-Zhe", 2024, "arXiv:2412.02030"),
    (TCD, "Trajectory Consistency Distillation", "Zheng, Jianbin and Hu, Minghui and Fan, Zhongyi and others", 2024,
     "arXiv:2402.19159"),
    (PCM, "Phased Consistency Model", "Wang, Fu-Yun and Huang, Zhaoyang and Bergman, Alexander William and others",
     2024, "arXiv:2405.18407"),
    (PIXART_DMD, "PixArt-Sigma: Weak-to-Strong Training of Diffusion Transformer for 4K Text-to-Image Generation",
     "Chen, Junsong and Ge, Chongjian and Xie, Enze and others", 2024, "arXiv:2403.04692"),
    (SANA15, "SANA 1.5: Efficient Scaling of Training-Time and Inference-Time Compute in Linear Diffusion Transformer",
     "Xie, Enze and Chen, Junsong and Zhao, Yuyang and others", 2025, "arXiv:2501.18427"),
    ("lin2014coco", "Microsoft COCO: Common Objects in Context",
     "Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and others", 2014, "arXiv:1405.0312"),
    ("heusel2017gans", "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash "
     "Equilibrium", "Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and "
     "Hochreiter, Sepp", 2017, "arXiv:1706.08500"),
    ("binkowski2018demystifying", "Demystifying MMD GANs",
     "Bi{\\'n}kowski, Miko{\\l}aj and Sutherland, Danica J. and Arbel, Michael and Gretton, Arthur", 2018,
     "arXiv:1801.01401"),
    ("zhang2018unreasonable", "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
     "Zhang, Richard and Isola, Phillip and Efros, Alexei A. and Shechtman, Eli and Wang, Oliver", 2018,
     "arXiv:1801.03924"),
    ("kynkaanniemi2019improved", "Improved Precision and Recall Metric for Assessing Generative Models",
     "Kynk{\\\"a}{\\\"a}nniemi, Tuomas and Karras, Tero and Laine, Samuli and Lehtinen, Jaakko and Aila, Timo", 2019,
     "arXiv:1904.06991"),
    ("chong2020effectively", "Effectively Unbiased FID and Inception Score and Where to Find Them",
     "Chong, Min Jin and Forsyth, David", 2020, "arXiv:1911.07023"),
    ("friedman2023vendi", "The Vendi Score: A Diversity Evaluation Metric for Machine Learning",
     "Friedman, Dan and Dieng, Adji Bousso", 2023, "arXiv:2210.02410"),
    ("naeem2020reliable", "Reliable Fidelity and Diversity Metrics for Generative Models",
     "Naeem, Muhammad Ferjad and Oh, Seong Joon and Uh, Youngjung and Choi, Yunjey and Yoo, Jaejun", 2020,
     "arXiv:2002.09797"),
    ("radford2021learning", "Learning Transferable Visual Models From Natural Language Supervision",
     "Radford, Alec and Kim, Jong Wook and Hallacy, Chris and others", 2021, "arXiv:2103.00020"),
    ("hessel2021clipscore", "CLIPScore: A Reference-free Evaluation Metric for Image Captioning",
     "Hessel, Jack and Holtzman, Ari and Forbes, Maxwell and Le Bras, Ronan and Choi, Yejin", 2021, "arXiv:2104.08718"),
    ("parmar2022aliased", "On Aliased Resizing and Surprising Subtleties in GAN Evaluation",
     "Parmar, Gaurav and Zhang, Richard and Zhu, Jun-Yan", 2022, "arXiv:2104.11222"),
    ("gal2021stylegannada", "StyleGAN-NADA: CLIP-Guided Domain Adaptation of Image Generators",
     "Gal, Rinon and Patashnik, Or and Maron, Haggai and Chechik, Gal and Cohen-Or, Daniel", 2021, "arXiv:2108.00946"),
    ("kynkaanniemi2023role", "The Role of ImageNet Classes in Fr{\\'e}chet Inception Distance",
     "Kynk{\\\"a}{\\\"a}nniemi, Tuomas and Karras, Tero and Aittala, Miika and Aila, Timo and Lehtinen, Jaakko", 2023,
     "arXiv:2203.06026"),
    ("saharia2022photorealistic", "Photorealistic Text-to-Image Diffusion Models with Deep Language "
     "Understanding", "Saharia, Chitwan and Chan, William and Saxena, Saurabh and others", 2022, "arXiv:2205.11487"),
    ("yu2022scaling", "Scaling Autoregressive Models for Content-Rich Text-to-Image Generation",
     "Yu, Jiahui and Xu, Yuanzhong and Koh, Jing Yu and others", 2022, "arXiv:2206.10789"),
    ("hu2023tifa", "TIFA: Accurate and Interpretable Text-to-Image Faithfulness Evaluation with "
     "Question Answering", "Hu, Yushi and Liu, Benlin and Kasai, Jungo and others", 2023, "arXiv:2303.11897"),
    ("xu2023imagereward", "ImageReward: Learning and Evaluating Human Preferences for Text-to-Image "
     "Generation", "Xu, Jiazheng and Liu, Xiao and Wu, Yuchen and others", 2023, "arXiv:2304.05977"),
    ("oquab2023dinov2", "DINOv2: Learning Robust Visual Features without Supervision",
     "Oquab, Maxime and Darcet, Timoth{\\'e}e and Moutakanni, Th{\\'e}o and others", 2023, "arXiv:2304.07193"),
    ("kirstain2023pick", "Pick-a-Pic: An Open Dataset of User Preferences for Text-to-Image Generation",
     "Kirstain, Yuval and Polyak, Adam and Singer, Uriel and Matiana, Shahbuland and Penna, Joe and Levy, Omer", 2023,
     "arXiv:2305.01569"),
    ("stein2023exposing", "Exposing Flaws of Generative Model Evaluation Metrics and Their Unfair "
     "Treatment of Diffusion Models", "Stein, George and Cresswell, Jesse C. and Hosseinzadeh, Rasa and others", 2023,
     "arXiv:2306.04675"),
    ("wu2023human", "Human Preference Score v2: A Solid Benchmark for Evaluating Human Preferences of "
     "Text-to-Image Synthesis", "Wu, Xiaoshi and Hao, Yiming and Sun, Keqiang and others", 2023, "arXiv:2306.09341"),
    ("huang2025t2icompbench", "T2I-CompBench++: An Enhanced and Comprehensive Benchmark for "
     "Compositional Text-to-Image Generation", "Huang, Kaiyi and Duan, Chengqi and Sun, Kaiyue and others", 2025,
     "arXiv:2307.06350"),
    ("ghosh2023geneval", "GenEval: An Object-Focused Framework for Evaluating Text-to-Image Alignment",
     "Ghosh, Dhruba and Hajishirzi, Hannaneh and Schmidt, Ludwig", 2023, "arXiv:2310.11513"),
    ("jayasumana2024rethinking", "Rethinking FID: Towards a Better Evaluation Metric for Image "
     "Generation", "Jayasumana, Sadeep and Ramalingam, Srikumar and Veit, Andreas and others", 2024,
     "arXiv:2401.09603"),
    ("hu2024ella", "ELLA: Equip Diffusion Models with LLM for Enhanced Semantic Alignment",
     "Hu, Xiwei and Wang, Rui and Fang, Yixiao and others", 2024, "arXiv:2403.05135"),
    ("lin2024evaluating", "Evaluating Text-to-Visual Generation with Image-to-Text Generation",
     "Lin, Zhiqiu and Pathak, Deepak and Li, Baiqi and others", 2024, "arXiv:2404.01291"),
    ("ma2025hpsv3", "HPSv3: Towards Wide-Spectrum Human Preference Score",
     "Ma, Yuhang and Wu, Xiaoshi and Sun, Keqiang and Li, Hongsheng", 2025, "arXiv:2508.03789"),
    ("kamath2025geneval2", "GenEval 2: Addressing Benchmark Drift in Text-to-Image Evaluation",
     "Kamath, Amita and Chang, Kai-Wei and Krishna, Ranjay and Zettlemoyer, Luke and Hu, Yushi and "
     "Ghazvininejad, Marjan", 2025, "arXiv:2512.16853"),
    ("wiles2024revisiting", "Revisiting Text-to-Image Evaluation with Gecko: On Metrics, Prompts, and "
     "Human Ratings", "Wiles, Olivia and Zhang, Chuhan and Albuquerque, Isabela and others", 2024, "arXiv:2404.16820"),
)  # fmt: skip

PAPERS: dict[str, Paper] = {
    key: Paper(key=key, title=title, authors=authors, year=year, where=where)
    for key, title, authors, year, where in _ROWS
}
"""By key."""
BY_ARXIV = {paper.arxiv: paper for paper in PAPERS.values() if paper.arxiv}
