"""BibTeX for whatever a report speaks of: its models, metrics, prompt set, published figures and rating model.

Models bring their citation in run.json. Metrics, prompt sets and published figures name an arXiv number in
their source; `PAPERS` knows the paper behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bench.report.published import PUBLISHED, TURBO_A100
from bench.report.results import Results, model_of

_ROWS = (
    ("1405.0312", "lin2014coco", "Microsoft COCO: Common Objects in Context",
     "Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and others", 2014),
    ("1706.08500", "heusel2017gans", "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash "
     "Equilibrium", "Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and "
     "Hochreiter, Sepp", 2017),
    ("1801.01401", "binkowski2018demystifying", "Demystifying MMD GANs",
     "Bi{\\'n}kowski, Miko{\\l}aj and Sutherland, Danica J. and Arbel, Michael and Gretton, Arthur", 2018),
    ("1801.03924", "zhang2018unreasonable", "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
     "Zhang, Richard and Isola, Phillip and Efros, Alexei A. and Shechtman, Eli and Wang, Oliver", 2018),
    ("1904.06991", "kynkaanniemi2019improved", "Improved Precision and Recall Metric for Assessing Generative Models",
     "Kynk{\\\"a}{\\\"a}nniemi, Tuomas and Karras, Tero and Laine, Samuli and Lehtinen, Jaakko and Aila, Timo", 2019),
    ("1911.07023", "chong2020effectively", "Effectively Unbiased FID and Inception Score and Where to Find Them",
     "Chong, Min Jin and Forsyth, David", 2020),
    ("2002.09797", "naeem2020reliable", "Reliable Fidelity and Diversity Metrics for Generative Models",
     "Naeem, Muhammad Ferjad and Oh, Seong Joon and Uh, Youngjung and Choi, Yunjey and Yoo, Jaejun", 2020),
    ("2103.00020", "radford2021learning", "Learning Transferable Visual Models From Natural Language Supervision",
     "Radford, Alec and Kim, Jong Wook and Hallacy, Chris and others", 2021),
    ("2104.08718", "hessel2021clipscore", "CLIPScore: A Reference-free Evaluation Metric for Image Captioning",
     "Hessel, Jack and Holtzman, Ari and Forbes, Maxwell and Le Bras, Ronan and Choi, Yejin", 2021),
    ("2104.11222", "parmar2022aliased", "On Aliased Resizing and Surprising Subtleties in GAN Evaluation",
     "Parmar, Gaurav and Zhang, Richard and Zhu, Jun-Yan", 2022),
    ("2108.00946", "gal2021stylegannada", "StyleGAN-NADA: CLIP-Guided Domain Adaptation of Image Generators",
     "Gal, Rinon and Patashnik, Or and Maron, Haggai and Chechik, Gal and Cohen-Or, Daniel", 2021),
    ("2203.06026", "kynkaanniemi2023role", "The Role of ImageNet Classes in Fr{\\'e}chet Inception Distance",
     "Kynk{\\\"a}{\\\"a}nniemi, Tuomas and Karras, Tero and Aittala, Miika and Aila, Timo and Lehtinen, Jaakko", 2023),
    ("2205.11487", "saharia2022photorealistic", "Photorealistic Text-to-Image Diffusion Models with Deep Language "
     "Understanding", "Saharia, Chitwan and Chan, William and Saxena, Saurabh and others", 2022),
    ("2206.10789", "yu2022scaling", "Scaling Autoregressive Models for Content-Rich Text-to-Image Generation",
     "Yu, Jiahui and Xu, Yuanzhong and Koh, Jing Yu and others", 2022),
    ("2303.11897", "hu2023tifa", "TIFA: Accurate and Interpretable Text-to-Image Faithfulness Evaluation with "
     "Question Answering", "Hu, Yushi and Liu, Benlin and Kasai, Jungo and others", 2023),
    ("2304.05977", "xu2023imagereward", "ImageReward: Learning and Evaluating Human Preferences for Text-to-Image "
     "Generation", "Xu, Jiazheng and Liu, Xiao and Wu, Yuchen and others", 2023),
    ("2304.07193", "oquab2023dinov2", "DINOv2: Learning Robust Visual Features without Supervision",
     "Oquab, Maxime and Darcet, Timoth{\\'e}e and Moutakanni, Th{\\'e}o and others", 2023),
    ("2305.01569", "kirstain2023pick", "Pick-a-Pic: An Open Dataset of User Preferences for Text-to-Image Generation",
     "Kirstain, Yuval and Polyak, Adam and Singer, Uriel and Matiana, Shahbuland and Penna, Joe and Levy, Omer", 2023),
    ("2306.04675", "stein2023exposing", "Exposing Flaws of Generative Model Evaluation Metrics and Their Unfair "
     "Treatment of Diffusion Models", "Stein, George and Cresswell, Jesse C. and Hosseinzadeh, Rasa and others", 2023),
    ("2306.09341", "wu2023human", "Human Preference Score v2: A Solid Benchmark for Evaluating Human Preferences of "
     "Text-to-Image Synthesis", "Wu, Xiaoshi and Hao, Yiming and Sun, Keqiang and others", 2023),
    ("2307.06350", "huang2025t2icompbench", "T2I-CompBench++: An Enhanced and Comprehensive Benchmark for "
     "Compositional Text-to-Image Generation", "Huang, Kaiyi and Duan, Chengqi and Sun, Kaiyue and others", 2025),
    ("2310.11513", "ghosh2023geneval", "GenEval: An Object-Focused Framework for Evaluating Text-to-Image Alignment",
     "Ghosh, Dhruba and Hajishirzi, Hannaneh and Schmidt, Ludwig", 2023),
    ("2311.17042", "sauer2023adversarial", "Adversarial Diffusion Distillation",
     "Sauer, Axel and Lorenz, Dominik and Blattmann, Andreas and Rombach, Robin", 2023),
    ("2401.09603", "jayasumana2024rethinking", "Rethinking FID: Towards a Better Evaluation Metric for Image "
     "Generation", "Jayasumana, Sadeep and Ramalingam, Srikumar and Veit, Andreas and others", 2024),
    ("2402.13929", "lin2024sdxl", "SDXL-Lightning: Progressive Adversarial Diffusion Distillation",
     "Lin, Shanchuan and Wang, Anran and Yang, Xiao", 2024),
    ("2403.05135", "hu2024ella", "ELLA: Equip Diffusion Models with LLM for Enhanced Semantic Alignment",
     "Hu, Xiwei and Wang, Rui and Fang, Yixiao and others", 2024),
    ("2404.01291", "lin2024evaluating", "Evaluating Text-to-Visual Generation with Image-to-Text Generation",
     "Lin, Zhiqiu and Pathak, Deepak and Li, Baiqi and others", 2024),
    ("2404.16820", "wiles2024revisiting", "Revisiting Text-to-Image Evaluation with Gecko: On Metrics, Prompts, and "
     "Human Ratings", "Wiles, Olivia and Zhang, Chuhan and Albuquerque, Isabela and others", 2024),
)  # fmt: skip

PAPERS: dict[str, tuple[str, Mapping[str, Any]]] = {
    number: (
        key,
        {"title": title, "author": authors, "year": year, "eprint": number, "archiveprefix": "arXiv"},
    )
    for number, key, title, authors, year in _ROWS
}
"""arXiv number → key and fields."""

_DAVIDSON = """@article{davidson1970extending,
  title = {On Extending the {Bradley--Terry} Model to Accommodate Ties in Paired Comparison Experiments},
  author = {Davidson, Roger R.},
  journal = {Journal of the American Statistical Association},
  volume = {65}, number = {329}, pages = {317--328},
  year = {1970},
}
"""
_ARXIV = re.compile(r"arxiv(?:\.org/abs/|[:\s]+)(\d{4}\.\d{4,5})", re.IGNORECASE)


def bibtex(results: Results) -> str:
    """An entry for each model, metric, prompt set and published figure shown, and for the rating model."""
    entries: dict[str, str] = {}
    for name, model in sorted(results.models.items()):
        key, text = _entry(name, model)
        if text:
            entries.setdefault(key, text)
    for source in _sources(results):
        for number in _ARXIV.findall(source):
            if not any(f"eprint = {{{number}}}" in text for text in entries.values()):
                key, text = _paper(number, source)
                entries.setdefault(key, text)
    if results.preferences:
        entries.setdefault("davidson1970extending", _DAVIDSON)
    if results.run:
        entries.setdefault("turbopreferencebench", _suite(results))
    return "\n".join(entries.values())


def _sources(results: Results) -> Iterator[str]:
    """Where the metrics, the prompt set and the published figures of the tables come from, in words."""
    for score in {(s.metric, s.fingerprint): s for s in results.scores}.values():
        yield str(score.protocol.get("source") or "")
    yield str((results.run.get("prompt_set") or {}).get("source") or "")
    models = {model_of(name)[0] for name in results.contenders}
    for line in PUBLISHED:
        if line.model in models or (line is TURBO_A100 and results.timings):
            yield line.protocol.source


def _paper(number: str, source: str) -> tuple[str, str]:
    if number in PAPERS:
        key, fields = PAPERS[number]
        return _from_fields(key, fields)
    return _from_fields(f"arxiv{number}", {"title": source, "eprint": number, "archiveprefix": "arXiv"})


def _suite(results: Results) -> str:
    version = (results.run.get("versions") or {}).get("turbo-preference-bench")
    note = f"Software, version {version}" if version else "Software"
    fields = {"title": "Turbo Preference Bench: a human preference benchmark for few-step text-to-image models",
              "note": note}  # fmt: skip
    return _from_fields("turbopreferencebench", fields)[1]


def _entry(name: str, model: Mapping[str, Any]) -> tuple[str, str]:
    cited = model.get("citation")
    if isinstance(cited, Mapping):
        return _from_citation(name, cited)
    source = str(model.get("source") or "")
    if number := next(iter(_ARXIV.findall(source)), None):
        return _paper(number, source) if number in PAPERS else _from_fields(
            _key(name), {"title": name, "url": source, "eprint": number, "archiveprefix": "arXiv"}
        )  # fmt: skip
    # A model of the suite itself has a path for its source; the suite's own entry speaks for it.
    return _from_fields(_key(name), {"title": name, "url": source}) if "://" in source else (_key(name), "")


def _key(name: str) -> str:
    return re.sub(r"[^\w.-]", "-", name)


def _from_citation(name: str, cited: Mapping[str, Any]) -> tuple[str, str]:
    """A citation as run.json holds it: key, title, authors, year, where (`arXiv:…` or an address)."""
    where = str(cited.get("where") or "")
    number = where.removeprefix("arXiv:")
    place = {"url": where} if number == where else {"eprint": number, "archiveprefix": "arXiv"}
    fields = {"title": cited.get("title"), "author": cited.get("authors"), "year": cited.get("year"), **place}
    return _from_fields(str(cited.get("key") or name), fields)


def _from_fields(key: str, fields: Mapping[str, Any]) -> tuple[str, str]:
    lines = []
    for label, value in fields.items():
        if not value:
            continue
        text = str(value)
        # A lone brace would swallow the entries that follow.
        text = text if text.count("{") == text.count("}") else text.replace("{", "").replace("}", "")
        if label == "eprint":
            lines.append(f"  howpublished = {{arXiv:{text}}},")
        if label == "url":
            label, text = "howpublished", f"\\url{{{text}}}"
        lines.append(f"  {label} = {{{text}}},")
    return key, f"@misc{{{key},\n" + "\n".join(lines) + "\n}\n"
