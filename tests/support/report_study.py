"""Study folders made by hand, row by row: what the report reads, without a model or torch."""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
from dataclasses import asdict, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

from PIL import Image, ImageDraw

from bench.records import (
    Battle,
    Failure,
    FeltPicture,
    Generation,
    ImageScore,
    KeyWait,
    PeopleAgreement,
    Prompt,
    to_json,
)
from bench.store.study_folder import StudyFolder, write_bytes

TURBO = ("sdxl-turbo@1", "sdxl-turbo@2", "sdxl-turbo@4", "sdxl@50", "lcm-xl@4")
SECONDS = {"sdxl-turbo@1": 0.05, "sdxl-turbo@2": 0.07, "sdxl-turbo@4": 0.11, "sdxl@50": 2.4, "lcm-xl@4": 0.4}


def make_study(
    path: Path,
    *,
    contenders: tuple[str, ...] = TURBO,
    prompts: tuple[str, ...] = ("a red fox in snow", "two cups of tea", "a bridge at night"),
    side: int = 96,
    missing: tuple[tuple[str, int], ...] = (),
    latency: bool = True,
    scores: bool = True,
    votes: bool = False,
    simulated: bool = True,
    run: bool = True,
    weights: str = "trained",
    sizes: dict[str, int] | None = None,
    title: str = "Turbo against its rivals",
    pictures: int = 12,
    rich: bool = False,
    task: str = "text-to-image",
    authors: tuple[str, ...] = (),
) -> StudyFolder:
    """A whole study folder; `missing` names (contender, prompt index) that failed instead; `rich` adds votes
    on single pictures, image scores, agreement with people, time to picture and counted work."""
    folder = StudyFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    listed = ", ".join(f'"{name}"' for name in contenders)
    folder.study_file.write_text(
        f'name = "{path.name}"\ntitle = "{title}"\ntask = "{task}"\ncontenders = [{listed}]\ndisplay_size = {side}\n'
        f'[prompts]\nset = "hand"\n[report]\npictures = {pictures}\nauthors = {json.dumps(list(authors))}\n',
        encoding="utf-8",
    )
    rows = [
        Prompt(id=f"p{i:03d}", text=t, category="Animals", challenge="Basic") for i, t in enumerate(prompts)
    ]
    write_bytes(folder.prompts_file, "".join(to_json(row) + "\n" for row in rows).encode())
    _images(folder, contenders, rows, side, missing, sizes or {})
    if latency:
        folder.write_json("latency.json", latency_document(contenders))
    if scores:
        folder.write_json("scores.json", {"rows": score_rows(contenders, len(prompts)), "warnings": []})
    if votes:
        folder.write_json("ratings.json", ratings_document(contenders, simulated=simulated))
    if run:
        folder.write_json("run.json", run_document(contenders, weights))
    if rich:
        enrich(folder, contenders, rows, simulated)
    return folder


def enrich(folder: StudyFolder, contenders: tuple[str, ...], prompts: list[Prompt], simulated: bool) -> None:
    """The first prompt's first two contenders get 5 : 1 for the first, whose picture CLIP scores lower."""
    a, b = contenders[:2]
    voted = [("left", a, b)] * 4 + [("right", b, a), ("right", a, b)]
    voted += [("left", a, contenders[2]), ("right", a, contenders[2]), ("tie", contenders[2], a)] * 2
    battles = [
        Battle(
            left=left, right=right, outcome=outcome, question="quality", rater=f"{k % 3:032x}",
            prompt_id=prompts[0 if right in (a, b) and left in (a, b) else 1].id, category="Animals",
            group="friends of Ada", simulated=simulated,
        )
        for k, (outcome, left, right) in enumerate(voted)
    ]  # fmt: skip
    battles.append(replace(battles[0], kind="check"))
    battles.append(replace(battles[0], excluded="attention check failed"))
    folder.append(folder.battles_file, battles)
    values = [
        ImageScore(
            metric="clip_score",
            fingerprint="3f9ab21c",
            contender=name,
            prompt_id=prompt.id,
            replicate=0,
            value=0.2 + 0.02 * j + 0.001 * i,
        )
        for i, prompt in enumerate(prompts)
        for j, name in enumerate(contenders)
    ]
    folder.append(folder.image_scores_file, values)
    scores = folder.read_json("scores.json") or {"rows": [], "warnings": []}
    people = [
        PeopleAgreement(
            metric=metric, fingerprint=fingerprint, question=question, accuracy=0.61, accuracy_low=0.55,
            accuracy_high=0.67, kendall=0.33, kendall_low=-0.2, kendall_high=0.73, spearman=0.4,
            spearman_low=-0.2, spearman_high=0.8, n=600,
        )
        for metric, fingerprint in (("clip_score", "3f9ab21c"), ("fid", "77aa0b1e"))
        for question in ("overall", "quality")
    ]  # fmt: skip
    folder.write_json("scores.json", {**scores, "agreement": [asdict(row) for row in people]})
    latency = folder.read_json("latency.json")
    work = {name: 3.0 + 0.5 * j for j, name in enumerate(contenders)}
    protocol = {**latency["protocol"], "matrix_tflops": 790.0}
    memory = {f"{name} batch 1": 2**30 * (6 + j) for j, name in enumerate(contenders)}
    eight = latency_document(contenders, batch=8)["rows"]
    folder.write_json(
        "latency.json",
        {**latency, "protocol": protocol, "tflop": work, "memory": memory, "rows": latency["rows"] + eight},
    )
    felt = [
        FeltPicture(
            contender=name, network=0.004, wait=0.02 * (k % 2), encode=0.008, denoise=0.03 * (1 + j),
            decode=0.012, paint=0.006 + 0.0001 * k, behind=k % 3,
        )
        for j, name in enumerate(contenders[:3])
        for k in range(40)
    ]  # fmt: skip
    about = {"device": "NVIDIA H200", "browser": "Chromium 140"}
    keys = [
        KeyWait(contender=name, seconds=0.1 * (1 + j) + 0.001 * k, replaced=k % 4 != 3)
        for j, name in enumerate(contenders[:3])
        for k in range(160)
    ]
    rows = {"rows": [asdict(row) for row in felt], "keys": [asdict(wait) for wait in keys]}
    folder.write_json("interactive.json", {"protocol": about, "fingerprint": "x", **rows})


def _images(
    folder: StudyFolder,
    contenders: tuple[str, ...],
    prompts: list[Prompt],
    side: int,
    missing: tuple[tuple[str, int], ...],
    sizes: dict[str, int],
) -> None:
    made, failed = [], []
    for i, prompt in enumerate(prompts):
        for j, name in enumerate(contenders):
            if (name, i) in missing:
                failed.append(
                    Failure(
                        stage="generate",
                        contender=name,
                        prompt_id=prompt.id,
                        replicate=0,
                        kind="OutOfMemoryError",
                        message="tried to allocate 20 GiB",
                    )
                )
                continue
            size = sizes.get(name, side)
            data = picture(i, j, size)
            write_bytes(folder.image(name, prompt.id, 0), data)
            made.append(
                Generation(
                    contender=name, prompt_id=prompt.id, replicate=0, seed=7_000_000_000_000 + i,
                    sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), width=size,
                    height=size, seconds=0.1, settings="s",
                )
            )  # fmt: skip
    folder.append(folder.generations_file, made)
    folder.append(folder.failures_file, failed)


def picture(i: int, j: int, size: int) -> bytes:
    """Sky, ground and a disc whose hue is the prompt and whose place is the contender."""
    image = Image.new("RGB", (size, size), (90 + 11 * i % 120, 150, 200 - 13 * i % 100))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, size * 2 // 3, size, size), fill=(60, 110 + 7 * j % 90, 70))
    x = size * (2 + j % 6) // 9
    draw.ellipse((x, size // 4, x + size // 3, size // 4 + size // 3), fill=(230, 40 + 25 * i % 200, 60))
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True)
    return out.getvalue()


def latency_document(contenders: tuple[str, ...], batch: int = 1) -> dict[str, Any]:
    draw = random.Random(0)
    rows = []
    for j, name in enumerate(contenders):
        total = SECONDS.get(name, 0.05 * 1.15**j)
        shares = {"encode": 0.1, "denoise": 0.7, "decode": 0.2, "total": 1.0, "forward": 0.2}
        for stage, share in shares.items():
            samples = [total * share * (1 + 0.03 * draw.random()) for _ in range(30)]
            rows.append({"contender": name, "stage": stage, "batch": batch, "seconds": samples})
    protocol = {"window": "prompt encoding + denoising + decoding", "dtype": "float16", "gpu": "NVIDIA H200"}
    return {"protocol": protocol, "rows": rows}


def score_rows(contenders: tuple[str, ...], n: int) -> list[dict[str, Any]]:
    rows = []
    for metric, base, up in (("clip_score", 0.31, True), ("fid", 24.0, False)):
        for j, name in enumerate(contenders):
            value = base * (1 + 0.03 * math.sin(j + base))
            rows.append(
                {
                    "metric": metric, "contender": name, "n": n,
                    "value": value, "low": value * 0.99, "high": value * 1.01,
                    "interval": "bootstrap over prompts (1000)", "higher_is_better": up,
                    "protocol": {"resize": "bicubic", "resolution": 512, "dtype": "float32"},
                    "fingerprint": "3f9ab21c" if up else "77aa0b1e", "missing": 0, "truncated": 0, "note": "",
                }
            )  # fmt: skip
    return rows


def ratings_document(contenders: tuple[str, ...], *, simulated: bool) -> dict[str, Any]:
    strength = {name: 1000 + 40 * math.sin(1.7 * j) for j, name in enumerate(contenders)}

    def question(shift: float) -> dict[str, Any]:
        ratings = [
            {
                "contender": name,
                "rating": value + shift,
                "low": value + shift - 22,
                "high": value + shift + 22,
                "rank_low": 1,
                "rank_high": 2,
                "n": 200,
            }
            for name, value in strength.items()
        ]
        wins, same, told = [], [], []
        for i, a in enumerate(contenders):
            for b in contenders[i + 1 :]:
                rate = 1 / (1 + 10 ** ((strength[b] - strength[a]) / 400))
                row = {"a": a, "b": b, "rate": rate, "low": rate - 0.07, "high": rate + 0.07, "n": 50}
                wins.append({**row, "detectable": 10.0 + i})
                gap = 100 * rate - 50
                better, worse = _beyond(gap + 3), _beyond(3 - gap)
                same.append(
                    {"a": a, "b": b, "difference": gap, "low": gap - 6, "high": gap + 6, "margin": 3.0,
                     "p_a_not_worse": better, "p_b_not_worse": worse, "p_equivalent": max(better, worse)}
                )  # fmt: skip
                told.append(
                    {**row, "low": rate - 0.2, "high": rate + 0.2, "p": 0.01, "p_adjusted": 0.03 * (i + 1),
                     "decided": i == 0}
                )  # fmt: skip
        average = [
            {
                "contender": name,
                "rate": 0.5,
                "low": 0.4,
                "high": 0.6,
                "n": 190,
                "opponents": len(contenders) - 1,
            }
            for name in contenders
        ]
        levels = {
            level: {"n": 90, "note": "", "ratings": [], "average_win_rates": average}
            for level in ("Animals", "World Knowledge")
        }
        return {
            "ratings": ratings, "win_rates": wins, "n": 300, "n_raters": 12, "average_win_rates": average,
            "by_category": levels, "by_challenge": {}, "by_rater_group": {"friends of Ada": {"n": 300}},
            "equivalence": same, "stopping": told,
            "robustness": {
                "few_votes": {"votes": 7, "share": 7 / 300, "challenger": contenders[0]},
                "flipping_raters": [[f"{1:032x}", contenders[0]]],
                "condorcet": {"count": 2, "examples": [], "clear": 1, "winner": None},
                "consistency_quartiles": [
                    {"quartile": k, "consistency": 0.5 + 0.1 * k, "raters": 3, "votes": 75, "note": "",
                     "ratings": {name: 1000.0 + (j == k // 3) for j, name in enumerate(contenders)}}
                    for k in (1, 2, 3, 4)
                ],
            },
        }  # fmt: skip

    return {
        "simulated": simulated,
        "anchor": "mean",
        "questions": {"alignment": question(0), "quality": question(5), "overall": question(2)},
    }


def _beyond(points: float) -> float:
    """One-sided p where the half-width of the 90% interval is 6 points."""
    return 1 - NormalDist().cdf(points / (6 / NormalDist().inv_cdf(0.95)))


def run_document(contenders: tuple[str, ...], weights: str) -> dict[str, Any]:
    names = dict.fromkeys(name.split("@")[0] for name in contenders)
    return {
        "versions": {"python": "3.11.7", "torch": "2.11.0"},
        "git": "0123456789abcdef",
        "device": "NVIDIA H200",
        "models": {
            name: {
                "licence": "CreativeML Open RAIL++-M",
                "commercial": True,
                "weights": weights,
                "repository": f"owner/{name}",
                "revision": "462165984030d82259a11f4367a4eed129e94a7b",
                "source": "https://arxiv.org/abs/2311.17042",
                "citation": "",
            }
            for name in names
        },
        "prompt_set": {"name": "hand", "sha256": "ab" * 32, "count": 3},
        "fingerprint": "9c1d22e0",
        "started": "2026-01-05T10:00:00Z",
        "finished": "2026-01-05T11:00:00Z",
    }
