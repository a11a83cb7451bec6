"""The algebra of FID against scipy's matrix square root, and the memory of 50,000 images' statistics.

PYTHONPATH=. python tests/performance/algebra_speed.py [--dimension 2048] [--images 50000]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg

import bench.metrics as metrics


def timed(call: Callable[[], float]) -> tuple[float, float]:
    start = time.perf_counter()
    value = call()
    return value, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--images", type=int, default=50_000)
    options = parser.parse_args()
    d = options.dimension
    random = np.random.default_rng(0)
    mixing = random.standard_normal((d, d)) / np.sqrt(d)

    def rows(n: int) -> np.ndarray:
        return random.standard_normal((n, d)) @ mixing

    total = metrics.MomentsAccumulator(d)
    peaks = []
    start = time.perf_counter()
    for done in range(0, options.images, 2000):
        total.add(rows(2000))
        if done in (2000, options.images - 2000):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    seconds = time.perf_counter() - start
    print(f"statistics of {options.images} x {d}, made and added in {seconds:.1f} s: peak memory ", end="")
    print(f"{peaks[0]:.0f} MB after 4,000 and {peaks[-1]:.0f} MB after all")

    def scipy_distance(a: metrics.Moments, b: metrics.Moments) -> float:
        x, y = (m.factor.T @ m.factor if m.factor is not None else m.covariance for m in (a, b))
        assert x is not None and y is not None  # noqa: PT018
        root = scipy.linalg.sqrtm(x @ y)
        return float(np.square(a.mean - b.mean).sum() + np.trace(x) + np.trace(y) - 2 * np.trace(root).real)

    print(f"{'case':28}{'scipy s':>10}{'suite s':>10}{'ratio':>8}{'relative difference':>22}")
    full = total.result()
    for name, a, b in (
        (f"n = {2 * d} and {options.images}", metrics.moments(rows(2 * d) + 0.1), full),
        ("n = 500 and 500", metrics.moments(rows(500) + 0.1), metrics.moments(rows(500))),
    ):
        ours, fast = timed(lambda a=a, b=b: metrics.frechet_distance(a, b))
        theirs, slow = timed(lambda a=a, b=b: scipy_distance(a, b))
        print(f"{name:28}{slow:10.2f}{fast:10.2f}{slow / fast:8.1f}{abs(ours - theirs) / theirs:22.1e}")


if __name__ == "__main__":
    main()
