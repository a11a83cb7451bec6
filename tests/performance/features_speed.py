"""Inception features: this suite against torch-fidelity, same photographs, same weights, one run.

Both get decoded 512 px pictures; resize and network are timed. Run:
BENCH_SHARED=../shared PYTHONPATH=. python tests/performance/features_speed.py [--device cuda] [--images 51]
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np


def main() -> None:
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from bench.encoders import Inception
    from bench.features import open_image

    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=51)
    parser.add_argument("--batch", type=int, default=17)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    shared = Path(os.environ.get("BENCH_SHARED", "../shared")) / "data"
    weights = shared / "weights" / "inception-2015-12-05-trunk.pth"
    pictures = [open_image(path, 512) for path in sorted((shared / "photos").glob("*.jpg"))]
    pictures = (pictures * (options.images // len(pictures) + 1))[: options.images]
    arrays = [np.array(picture) for picture in pictures]
    theirs = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(weights)).to(
        options.device
    )
    ours = Inception(weights, mode="tf", device=options.device)

    def peer() -> np.ndarray:
        rows = []
        for start in range(0, len(arrays), options.batch):
            batch = np.stack(arrays[start : start + options.batch]).transpose(0, 3, 1, 2)
            with torch.no_grad():
                rows.append(theirs(torch.from_numpy(batch).to(options.device))[0].cpu().numpy())
        return np.concatenate(rows)

    def suite() -> np.ndarray:
        rows = []
        for start in range(0, len(pictures), options.batch):
            rows.append(
                ours.images(torch.stack([ours.prepare(p) for p in pictures[start : start + options.batch]]))
            )
        return np.concatenate(rows)

    times: dict[str, list[float]] = {"torch-fidelity": [], "suite": []}
    difference = np.abs(peer() - suite()).max()
    for _ in range(options.rounds):
        for name, call in (("torch-fidelity", peer), ("suite", suite)):
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    print(f"{options.images} photographs at 512 px, {options.device}, {torch.get_num_threads()} thread(s)")
    rates = {name: options.images / min(seconds) for name, seconds in times.items()}
    for name, rate in rates.items():
        print(f"{name:15} {rate:8.2f} images/s (best of {options.rounds})")
    ratio = rates["suite"] / rates["torch-fidelity"]
    print(f"ratio {ratio:.2f}, greatest difference of a feature {difference:.1e}")


if __name__ == "__main__":
    main()
