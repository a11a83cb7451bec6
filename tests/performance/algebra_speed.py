"""The algebra of FID against scipy's matrix square root, and the memory of 50,000 images' statistics.

The images are 16 px PNG files and the extractor a random projection of their pixels to 2,048 numbers; files,
decoding, cache, moments, distance and interval are the suite's own path.
PYTHONPATH=. python tests/performance/algebra_speed.py [--dimension 2048] [--images 50000] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from PIL import Image

from bench.metrics import features, frechet, statistics
from bench.metrics.extractors import Extractor
from bench.metrics.weights import Located
from tests.performance.metrics_table import write


class Projection:
    """A network that costs nothing."""

    def __init__(self, dimension: int) -> None:
        self.matrix = np.random.default_rng(0).standard_normal((768, dimension)).astype(np.float32) / 28

    def prepare(self, image: Any) -> Any:
        import torch

        return torch.from_numpy(np.asarray(image, dtype=np.float32) / 128 - 1)

    def images(self, batch: Any) -> np.ndarray:
        return np.tanh(batch.numpy().reshape(len(batch), -1) @ self.matrix)

    def texts(self, captions: Sequence[str]) -> Any:
        raise ValueError("a random projection of pixels reads no captions")


def timed(call: Callable[[], float]) -> tuple[float, float]:
    start = time.perf_counter()
    value = call()
    return value, time.perf_counter() - start


def scipy_distance(a: frechet.Moments, b: frechet.Moments) -> float:
    x, y = a.full(), b.full()
    root = scipy.linalg.sqrtm(x @ y)
    return float(np.square(a.mean - b.mean).sum() + np.trace(x) + np.trace(y) - 2 * np.trace(root).real)


def peak() -> float:
    """Greatest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(images: int, dimension: int, reference: frechet.Moments) -> list[dict[str, Any]]:
    """Features, statistics, distance and interval of a tenth of the images, then of all, in one process."""
    import torch  # its own memory and start are not the suite's to count

    assert torch.get_num_threads()
    found, random = [], np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as place:
        files, root = [], Path(place)
        for number in range(images):
            path = root / f"{number}.png"
            Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path, compress_level=0)
            files.append((f"{number:064x}", path))
        (root / "weights").write_text("random projection")
        entry = Extractor(kind="inception", resize="none", weights="random projection", native=True)
        located = Located(name="projection", extractor=entry, path=root / "weights")
        network = Projection(dimension)
        for count in (images // 10, images):
            start, before = time.perf_counter(), peak()
            rows = features.image_features(
                files[:count], located, lambda: network, root / "cache", size=None, batch=500
            )
            inputs = statistics.Inputs(images=rows, prompts=np.arange(count), moments=reference)
            made = statistics.STATISTICS["frechet"](inputs)
            assert made.low is not None
            seconds = time.perf_counter() - start
            found.append(
                {
                    "images": count,
                    "dimensions": dimension,
                    "peak memory before, MB": round(before),
                    "after, MB": round(peak()),
                    "seconds": round(seconds, 1),
                    "features in memory would take, MB": round(count * dimension * 8 / 2**20),
                }
            )
            print(found[-1])
    return found


def algebra(dimension: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    mixing = random.standard_normal((dimension, dimension)) / np.sqrt(dimension)

    def moments(n: int, shift: float) -> frechet.Moments:
        return frechet.moments(random.standard_normal((n, dimension)) @ mixing + shift)

    found = []
    for n, m in ((2 * dimension, 3 * dimension), (500, 500)):
        a, b = moments(n, 0.1), moments(m, 0.0)
        ours, fast = timed(lambda a=a, b=b: frechet.frechet_distance(a, b))
        theirs, slow = timed(lambda a=a, b=b: scipy_distance(a, b))
        found.append(
            {
                "distance of": f"{n} and {m} images, d = {dimension}",
                "scipy sqrtm, s": slow,
                "suite, s": fast,
                "times as fast": slow / fast,
                "relative difference": abs(ours - theirs) / theirs,
            }
        )
        print(found[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--only", choices=("algebra", "memory"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.only != "algebra":
        random = np.random.default_rng(2)
        reference = frechet.moments(
            np.tanh(random.standard_normal((3 * options.dimension, options.dimension)))
        )
        rows = memory(options.images, options.dimension, reference)
        if options.out:
            write(options.out, "3-memory", "Memory does not grow with the number of images", rows)
    if options.only != "memory":
        rows = algebra(options.dimension)
        if options.out:
            write(options.out, "2-algebra", "The algebra of FID, against scipy's matrix root", rows)


if __name__ == "__main__":
    main()
