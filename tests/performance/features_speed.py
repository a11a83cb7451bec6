"""Inception features: this suite against torch-fidelity, same photographs, same weights, one run; and parity.

Speed: both get decoded 512 px pictures; resize and network are timed. Parity: the photographs as they are,
features of each library's own code, FID and KID of one half with the other half. Run:
BENCH_SHARED=../shared PYTHONPATH=. python tests/performance/features_speed.py [--device cuda] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.performance.metrics_table import write

SHARED = Path(os.environ.get("BENCH_SHARED", "../shared")) / "data"
WEIGHTS = SHARED / "weights" / "inception-2015-12-05-trunk.pth"


def fidelity(device: str) -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(WEIGHTS)).to(device)


def speed(images: int, batch: int, rounds: int, device: str) -> list[dict[str, Any]]:
    import torch

    from bench.metrics.networks.inception import Inception
    from bench.store.images import display_image

    pictures = [display_image(path, 512, "crop") for path in sorted((SHARED / "photos").glob("*.jpg"))]
    pictures = (pictures * (images // len(pictures) + 1))[:images]
    arrays = [np.array(picture) for picture in pictures]
    theirs, ours = fidelity(device), Inception(WEIGHTS, mode="inception-tf", device=device)

    def peer(start: int) -> np.ndarray:
        stacked = torch.from_numpy(np.stack(arrays[start : start + batch]).transpose(0, 3, 1, 2))
        with torch.no_grad():
            return theirs(stacked.to(device))[0].cpu().numpy()

    def suite(start: int) -> np.ndarray:
        return ours.images(torch.stack([ours.prepare(p) for p in pictures[start : start + batch]]))

    seconds: dict[str, list[float]] = {"torch-fidelity": [], "suite": []}
    worst = 0.0
    for _ in range(rounds):
        # Batch by batch in turn, so that whatever else the machine does slows both.
        totals, calls = dict.fromkeys(seconds, 0.0), {"torch-fidelity": peer, "suite": suite}
        for start in range(0, images, batch):
            rows = []
            for name, call in calls.items():
                began = time.perf_counter()
                rows.append(call(start))
                totals[name] += time.perf_counter() - began
            worst = max(worst, float(np.abs(rows[0] - rows[1]).max()))
        for name, total in totals.items():
            seconds[name].append(total)
    rates = {name: images / min(values) for name, values in seconds.items()}
    row = {
        "images": f"{images} photographs at 512 px",
        "device": f"{device}, {torch.get_num_threads()} thread(s)",
        "torch-fidelity, images/s": rates["torch-fidelity"],
        "suite, images/s": rates["suite"],
        "times as fast": rates["suite"] / rates["torch-fidelity"],
        "greatest difference of a feature": worst,
    }
    print(row)
    return [row]


def parity() -> list[dict[str, Any]]:
    """inception-tf against torch-fidelity, clean against clean-fid's own resize and network."""
    import torch
    from cleanfid import fid as clean_fid
    from cleanfid.resize import build_resizer
    from PIL import Image
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    network, resize = fidelity("cpu"), build_resizer("clean")
    twin = clean_network()
    paths = sorted((SHARED / "photos").glob("*.jpg"))
    arrays = [np.array(Image.open(path).convert("RGB")) for path in paths]
    with torch.no_grad():
        tensors = [torch.from_numpy(array).permute(2, 0, 1)[None] for array in arrays]
        torch_rows = torch.cat([network(tensor)[0] for tensor in tensors])
        resized = [torch.from_numpy(resize(array)).permute(2, 0, 1)[None] for array in arrays]
        clean_rows = np.concatenate([twin(tensor) for tensor in resized]).astype(np.float64)
    half = len(paths) // 2

    def torch_fid() -> float:
        a, b = (fid_features_to_statistics(part) for part in (torch_rows[:half], torch_rows[half:]))
        return fid_statistics_to_metric(a, b, verbose=False)["frechet_inception_distance"]

    def torch_kid() -> float:
        found = kid_features_to_metric(
            torch_rows[:half], torch_rows[half : 2 * half], kid_subsets=1, kid_subset_size=half, verbose=False
        )
        return found["kernel_inception_distance_mean"]

    def clean() -> float:
        parts = clean_rows[:half], clean_rows[half:]
        stats = [(rows.mean(0), np.cov(rows, rowvar=False)) for rows in parts]
        return float(clean_fid.frechet_distance(*stats[0], *stats[1]))

    def clean_kid() -> float:
        parts = clean_rows[:half], clean_rows[half : 2 * half]
        return float(clean_fid.kernel_distance(*parts, num_subsets=1, max_subset_size=half))

    return [
        compare("inception-tf", "torch-fidelity", paths, torch_rows.numpy(), torch_fid, torch_kid),
        compare("clean", "clean-fid", paths, clean_rows, clean, clean_kid),
    ]


def clean_network() -> Callable[[Any], np.ndarray]:
    """clean-fid's Inception with the same weights, without its download; (n, 3, 299, 299) in 0..255."""
    import torch
    from cleanfid import inception_pytorch

    state = torch.load(WEIGHTS, map_location="cpu", weights_only=True)
    state = {name: value for name, value in state.items() if "num_batches" not in name}
    inception_pytorch.load_state_dict_from_url = lambda *_, **__: state
    network = inception_pytorch.InceptionV3([3], resize_input=False, normalize_input=False).eval()

    def rows(tensor: Any) -> np.ndarray:
        # Its TorchScript scales as TensorFlow's graph does.
        with torch.no_grad():
            return network((tensor - 128) / 128)[0].flatten(1).numpy()

    return rows


def compare(
    mode: str,
    peer: str,
    paths: list[Path],
    theirs: np.ndarray,
    fid: Callable[[], float],
    kid: Callable[[], float],
) -> dict[str, Any]:
    from bench.metrics import frechet, kernels
    from bench.metrics.networks.inception import Inception
    from bench.store.images import read_image

    network = Inception(WEIGHTS, mode=mode)
    ours = np.concatenate([network.images(network.prepare(read_image(path))[None]) for path in paths])
    half = len(paths) // 2
    mine = frechet.frechet_distance(frechet.moments(ours[:half]), frechet.moments(ours[half:]))
    other = fid()
    found = kernels.kernel_distance(ours[:half], ours[half : 2 * half])
    row = {
        "mode": mode,
        "against": peer,
        "photographs": len(paths),
        "greatest difference of a feature": float(np.abs(ours - theirs).max()),
        "FID, suite": f"{mine:.5f}",
        "FID, peer": f"{other:.5f}",
        "difference": abs(mine - other),
        "difference of KID": abs(found - kid()),
    }
    print(row)
    return row


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=51)
    parser.add_argument("--batch", type=int, default=17)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("speed", "parity"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.only != "parity":
        rows = speed(options.images, options.batch, options.rounds, options.device)
        if options.out:
            write(options.out, "1-features", "Inception features, against torch-fidelity", rows)
    if options.only != "speed":
        rows = parity()
        if options.out:
            write(options.out, "0-parity", "Parity on real photographs with the real 2015 weights", rows)


if __name__ == "__main__":
    main()
