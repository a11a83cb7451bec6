"""Kernel distances of sets of features: KID and CMMD, unbiased or as published, streamed where sets are large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.metrics.feature_rows import Array, Rows, blocks, enough, same_width

Kernel = Callable[[Array, Array], Array]
"""(n, d) and (m, d) to (n, m), float64."""
SIGMA = 10.0
"""Of CMMD's Gaussian kernel."""


def polynomial_kernel(x: Array, y: Array) -> Array:
    """(x.y / d + 1)^3, float64; (n, d) and (m, d) give (n, m)."""
    product = np.asarray(x, np.float64) @ np.asarray(y, np.float64).T
    return (product / x.shape[1] + 1) ** 3


def gaussian_kernel(x: Array, y: Array) -> Array:
    """exp(-|x - y|^2 / 200) of the rows at length 1: CMMD's."""
    return np.exp(-squared_distances(unit(x), unit(y)) / (2 * SIGMA**2))


def squared_distances(x: Array, y: Array) -> Array:
    """(n, d) and (m, d) give (n, m) squared Euclidean distances."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1)[None, :]
    return np.clip(squares - 2 * (x @ y.T), 0, None)


def unit(rows: Array) -> Array:
    """Rows at length 1, float64."""
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True).clip(1e-12)


def polynomial_mmd(x: Array, y: Array) -> float:
    """Unbiased squared MMD with the KID kernel (may be below 0; 0 in expectation for equal distributions).

    Source: Binkowski et al. 2018, arXiv 1801.01401, eq. 4.
    """
    return float(weighted_mmd(x, y, np.ones((1, len(x)), dtype=int))[0])


def kernel_distance(x: Rows, y: Rows, *, subsets: int = 100, size: int = 1000, seed: int = 2020) -> float:
    """KID as published: mean of `polynomial_mmd` over seeded subsets of `size`; of all if no more."""
    same_width(x, y)
    size = min(size, len(x), len(y))
    if size == len(x) == len(y):
        return polynomial_mmd(x[:], y[:])
    random = np.random.default_rng(seed)

    def part(rows: Rows) -> Array:
        return rows[random.permutation(len(rows))[:size]]

    return float(np.mean([polynomial_mmd(part(x), part(y)) for _ in range(subsets)]))


def weighted_mmd(x: Array, y: Array, weights: Array) -> Array:
    """`polynomial_mmd` under weights (replicates, n). An image never meets its own copy in a bootstrap."""
    same_width(x, y)
    enough(min(len(x), len(y)), 2)
    w = weights.astype(np.float64)
    total = w.sum(1)
    inner = polynomial_kernel(x, x)
    np.fill_diagonal(inner, 0)
    xx = ((w @ inner) * w).sum(1) / (total**2 - np.square(w).sum(1))
    xy = w @ polynomial_kernel(x, y).mean(1) / total
    m = len(y)
    other = polynomial_kernel(y, y)
    yy = (other.sum() - np.trace(other)) / (m * (m - 1))
    return xx + yy - 2 * xy


def cmmd(x: Rows, y: Rows) -> float:
    """1000 x squared MMD, Gaussian kernel of sigma 10, of unit-length CLIP vectors; streams.

    Biased (V-statistic), as in the authors' code. Source: Jayasumana et al. 2024, arXiv 2401.09603.
    """
    same_width(x, y)
    own, cross = means(x, x, gaussian_kernel).mean(), means(x, y, gaussian_kernel).mean()
    return float(1000 * (own + means(y, y, gaussian_kernel).mean() - 2 * cross))


def weighted_cmmd(x: Array, y: Array, weights: Array) -> Array:
    """`cmmd` under weights (replicates, n)."""
    same_width(x, y)
    w = weights.astype(np.float64)
    total = w.sum(1)
    xx = ((w @ gaussian_kernel(x, x)) * w).sum(1) / total**2
    xy = w @ gaussian_kernel(x, y).mean(1) / total
    return 1000 * (xx + gaussian_kernel(y, y).mean() - 2 * xy)


def influence(x: Rows, y: Rows, kernel: Kernel, *, partners: int = 5000, seed: int = 0) -> Array:
    """(n,) first-order effect of each image on the squared MMD to the reference, from its mean kernel with
    at most `partners` images of either set: one pass, where a bootstrap needs all (n, n) values.
    """
    random = np.random.default_rng(seed)
    own, other = (rows[np.sort(random.permutation(len(rows))[:partners])] for rows in (x, y))
    effects = 2 * (means(x, own, kernel) - means(x, other, kernel))
    return effects - effects.mean()


def means(x: Rows, y: Rows, kernel: Kernel) -> Array:
    """(n,) mean kernel of each row of x with all of y, block by block."""
    found = np.zeros(len(x))
    for part, rows in blocks(x):
        for _, others in blocks(y):
            found[part] += kernel(rows, others).sum(1)
    return found / len(y)
