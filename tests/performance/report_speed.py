"""Claim: the report of 8 contenders x 1,632 prompts x 1 image is built in under 60 s on two cores.

Makes the study folder once (512 px noise on colour fields, lossless WebP as the suite writes it; not timed), then
times `bench report` in a process of its own, three times, and reads that process's peak memory. The peer of the
same run is reading and resizing the same pictures that the page shows with Pillow alone: what nobody can avoid.

    PYTHONPATH=. python tests/performance/report_speed.py [--prompts 1632] [--contenders 8] [--words 36] [--out FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bench.records import Battle, Generation, ImageScore, Prompt, to_json
from bench.report.images.thumbnails import shown_prompts, side_for
from bench.report.results import read_results
from bench.store.study_folder import StudyFolder, write_bytes
from tests.support.report_study import latency_document, ratings_document, run_document, score_rows

SIDE = 512


def pictures(count: int) -> list[bytes]:
    """Lossless WebP of smooth fields with a little noise: about as large as a drawn picture of that size."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        small = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        noisy = np.clip(np.asarray(small, np.int16) + rng.integers(-6, 7, (SIDE, SIDE, 1)), 0, 255)
        out = io.BytesIO()
        Image.fromarray(noisy.astype(np.uint8)).save(out, "WEBP", lossless=True)
        made.append(out.getvalue())
    return made


def study(path: Path, contenders: tuple[str, ...], prompts: int, votes: int, length: int) -> StudyFolder:
    folder = StudyFolder(path)
    path.mkdir(parents=True)
    listed = ", ".join(f'"{name}"' for name in contenders)
    folder.study_file.write_text(
        f'name = "large"\ncontenders = [{listed}]\n[prompts]\nset = "parti"\n[report]\npictures = 24\n'
    )
    words = [
        Prompt(
            id=f"p{i:05d}",
            text=" ".join(f"word{k}of{i}" for k in range(length)),
            category=f"c{i % 12}",
            challenge=f"d{i % 11}",
        )
        for i in range(prompts)
    ]
    write_bytes(folder.prompts_file, "".join(to_json(p) + "\n" for p in words).encode())
    some, rows, values = pictures(16), [], []
    digests = [hashlib.sha256(data).hexdigest() for data in some]
    for j, name in enumerate(contenders):
        for i, prompt in enumerate(words):
            k = (7 * i + j) % len(some)
            target = folder.image(name, prompt.id, 0)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(some[k])
            rows.append(
                Generation(contender=name, prompt_id=prompt.id, replicate=0, seed=i, sha256=digests[k], width=SIDE,
                           height=SIDE, bytes=len(some[k]), seconds=0.1, settings="s")
            )  # fmt: skip
            values += [
                ImageScore(metric=m, fingerprint=f, contender=name, prompt_id=prompt.id, replicate=0,
                           value=0.3 + 0.01 * ((i * 13 + j) % 17))
                for m, f in (("clip_score", "3f9ab21c"), ("hpsv2", "00aa"))
            ]  # fmt: skip
    draw = random.Random(0)
    battles = []
    for k in range(votes):
        a, b = draw.sample(contenders, 2)
        battles.append(Battle(left=a, right=b, outcome=draw.choice(("left", "right", "tie")), question="quality",
                              rater=f"r{k % 200}", prompt_id=words[draw.randrange(prompts)].id))  # fmt: skip
    folder.append(folder.generations_file, rows)
    folder.append(folder.image_scores_file, values)
    folder.append(folder.battles_file, battles)
    folder.write_json("latency.json", latency_document(contenders))
    folder.write_json("scores.json", {"rows": score_rows(contenders, prompts), "warnings": []})
    folder.write_json("ratings.json", ratings_document(contenders, simulated=True))
    folder.write_json("run.json", run_document(contenders, "trained"))
    return folder


def peer(folder: StudyFolder) -> float:
    """Processor seconds to open, shrink and encode the shown pictures, nothing else."""
    results = read_results(folder)
    shown = shown_prompts(results, results.pictures)
    side = side_for(results, len(shown) * len(results.contenders))
    began = time.process_time()
    for prompt in shown:
        for name in results.contenders:
            with Image.open(folder.image(name, prompt.id, 0)) as image:
                small = image.convert("RGB")
            small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
            small.save(io.BytesIO(), "WEBP", quality=82, method=4)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1632)
    parser.add_argument("--contenders", type=int, default=8)
    parser.add_argument("--words", type=int, default=36)
    parser.add_argument("--votes", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        names = tuple(f"model-{j // 2}@{1 + 3 * (j % 2)}" for j in range(asked.contenders))
        folder = study(Path(place) / "large", names, asked.prompts, asked.votes, asked.words)
        times, before = [], resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(asked.repeats):
            began = time.perf_counter()
            command = [sys.executable, "-m", "bench", "report", str(folder.path)]
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - began)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = (used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime) / asked.repeats
        memory = used.ru_maxrss / 1024
        alone = peer(folder)
        index = (folder.report / "index.html").stat().st_size
        beside = list((folder.report / "pictures").glob("*"))
    found = {
        "contenders": asked.contenders, "prompts": asked.prompts, "words": asked.words,
        "images": asked.contenders * asked.prompts, "votes": asked.votes,
        "seconds": [round(t, 2) for t in times], "processor_seconds": round(processor, 2),
        "pillow_alone_processor_seconds": round(alone, 2), "peak_mib": round(memory),
        "load": os.getloadavg(), "cores": os.cpu_count(), "index_mb": round(index / 1e6, 2),
        "thumbnails_beside": len(beside),
    }  # fmt: skip
    heads = ("contenders x prompts", "words a prompt", "images", "votes", "report, s (median)", "processor s",
             "Pillow alone, processor s", "ratio", "peak MiB", "index.html, MB")  # fmt: skip
    cells = (f"{asked.contenders} x {asked.prompts}", asked.words, found["images"], asked.votes,
             f"{sorted(times)[len(times) // 2]:.1f}", f"{processor:.1f}", f"{alone:.1f}", f"{processor / alone:.1f}",
             found["peak_mib"], found["index_mb"])  # fmt: skip
    print(
        f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", f"| {' | '.join(map(str, cells))} |", sep="\n"
    )
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
