"""Features by eight processes against one, and the memory of a hundred thousand.

`python -m tests.performance.score_workers` writes results/speed/score_workers.json. The equality is on seeded noise
through `tiny-clip` (random weights); the memory is of the driver and of its workers with a network that costs nothing,
on as many keys with one small file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil

import bench.metrics.features as features
from bench.metrics.extractors import Extractor
from bench.metrics.weights import Located
from bench.scoring.feature_workers import compute
from bench.scoring.score import score
from bench.store.images import encode_webp
from bench.store.study_folder import StudyFolder
from bench.sweep.processes import Processes
from bench.sweep.work import alone
from tests.conftest import ROOT
from tests.support.scoring import make

OUT = ROOT / "results" / "speed"
METRICS = 'names = ["clip_score", "vendi"]'


class MeanPixels:
    """A network of 1,024 numbers an image that costs nothing."""

    def prepare(self, image):
        import torch

        return torch.from_numpy(np.asarray(image, np.float32).copy()).permute(2, 0, 1)

    def images(self, batch):
        return np.repeat(np.asarray(batch.mean(dim=(1, 2, 3)))[:, None], 1024, axis=1)


def open_mean(device: str) -> MeanPixels:
    return MeanPixels()


def rows_by_key(folder: StudyFolder) -> dict:
    found = {}
    for store in sorted((folder.path / "features").iterdir()):
        keys = (store / "keys.txt").read_text().split()
        data = (store / "rows.f32").read_bytes()
        width = len(data) // len(keys)
        found |= {(store.name, key): data[i * width : (i + 1) * width] for i, key in enumerate(keys)}
    return found


def equality(place: Path, prompts: int) -> dict:
    folder, study = make(place, METRICS, prompts=prompts)
    whole = place / "whole"
    shutil.copytree(folder.path, whole)
    began = time.perf_counter()
    numbers = score(StudyFolder(whole), study)
    one = time.perf_counter() - began
    expected = rows_by_key(StudyFolder(whole))
    found = {"images": len(expected), "one process, s": round(one, 1), "threads": features.threads_of("cpu")}
    for count in (2, 8):
        other = StudyFolder(place / f"by{count}")
        shutil.copytree(folder.path, other.path)
        began = time.perf_counter()
        ahead = partial(
            compute,
            engine=Processes([None] * count, alone),
            device="cpu",
            threads=1,
            shared=other.path.absolute(),
        )
        same = score(other, study, compute=ahead) == numbers
        found[f"{count} processes"] = {
            "rows equal to the bit": rows_by_key(other) == expected,
            "scores equal": same,
            "s": round(time.perf_counter() - began, 1),
        }
    return found


def memory(place: Path, count: int) -> dict:
    """In a process of its own, so that the peak is its own."""
    code = f"from tests.performance.score_workers import measure; measure({str(place)!r}, {count})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(place: str, count: int) -> None:
    image = Path(place) / "image.webp"
    image.write_bytes(encode_webp(np.zeros((16, 16, 3), np.uint8)))
    located = Located(
        name="mean",
        extractor=Extractor(kind="inception", resize="none", weights="none"),
        path=image,
        open=open_mean,
    )
    cache = Path(place) / f"cache{count}"
    process, peaks, ended = psutil.Process(), {}, threading.Event()
    before = process.memory_info().rss
    files = [(hashlib.sha256(str(n).encode()).hexdigest(), image) for n in range(count)]
    listed = process.memory_info().rss - before

    def watch():
        while not ended.wait(0.2):
            for one in [process, *process.children()]:
                try:
                    peaks[one.pid] = max(peaks.get(one.pid, 0), one.memory_info().rss)
                except psutil.Error:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    began = time.perf_counter()
    wanted = features.wanted_images(files, located, cache, size=16)
    compute([wanted], Processes([None, None], alone), "cpu", threads=1)
    seconds = time.perf_counter() - began
    ended.set()
    thread.join()
    driver = peaks.pop(os.getpid()) - before - listed
    print(json.dumps({
        "images": count, "seconds": round(seconds, 1), "driver, MiB beyond its list of files": round(driver / 2**20, 1),
        "list of files, MiB": round(listed / 2**20, 1), "largest worker, MiB": round(max(peaks.values()) / 2**20),
    }))  # fmt: skip
    shutil.rmtree(cache)


def main() -> None:
    os.environ["TURBO_BENCH_CACHE"] = tempfile.mkdtemp()
    with tempfile.TemporaryDirectory() as place:
        found = {
            "equality": equality(Path(place), int(sys.argv[1]) if len(sys.argv) > 1 else 132),
            "memory": [],
        }
        print(json.dumps(found), flush=True)
        for count in (1_000, 10_000, 100_000):
            found["memory"].append(memory(Path(place), count))
            print(json.dumps(found), flush=True)
            (OUT / "score_workers.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
