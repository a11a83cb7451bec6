"""Kernel distances of sets of features: KID and CMMD, unbiased or as published, streamed where sets are large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.metrics.feature_rows import Array, Rows, blocks, enough, enough_groups, finite, same_width

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


def polynomial_mmd(x: Array, y: Array, groups: Array | None = None) -> float:
    """Unbiased squared MMD with the KID kernel (may be below 0; 0 in expectation for equal distributions).

    Images of one prompt are not independent, so pairs within a group are left out of the mean over x as an
    image's pair with itself is.

    Parameters
    ----------
    groups: (n,) number of each row's prompt; None: each its own.

    Raises InputError: fewer than two groups, two rows of y, or a value that is not finite.
    Source: Binkowski et al. 2018, arXiv 1801.01401, eq. 4.
    """
    same_width(x, y)
    enough(len(y), 2)
    own = finite(polynomial_kernel(x, x))
    groups = np.arange(len(x)) if groups is None else groups
    apart = groups[:, None] != groups[None, :]
    enough_groups(groups, 2)
    other = finite(polynomial_kernel(y, y))
    yy = (other.sum() - np.trace(other)) / (len(y) * (len(y) - 1))
    return float(own[apart].mean() + yy - 2 * polynomial_kernel(x, y).mean())


def kernel_distance(
    x: Rows, y: Rows, groups: Array | None = None, *, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """KID as published: mean of `polynomial_mmd` over seeded subsets of `size`; of all if no more.

    Returns it with the standard error that the choice of subsets adds; 0 where all images are taken.

    Parameters
    ----------
    groups: as of `polynomial_mmd`.
    """
    same_width(x, y)
    groups = np.arange(len(x)) if groups is None else groups
    size = min(size, len(x), len(y))
    if size == len(x) == len(y):
        return polynomial_mmd(x[:], y[:], groups), 0.0
    random, values = np.random.default_rng(seed), []
    for _ in range(subsets):
        chosen, other = (random.permutation(len(rows))[:size] for rows in (x, y))
        values.append(polynomial_mmd(x[chosen], y[other], groups[chosen]))
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(subsets))


def cmmd(x: Rows, y: Rows) -> float:
    """1000 x squared MMD, Gaussian kernel of sigma 10, of unit-length CLIP vectors; streams.

    Biased (V-statistic), as in the authors' code. Source: Jayasumana et al. 2024, arXiv 2401.09603.
    """
    same_width(x, y)
    own, cross = means(x, x, gaussian_kernel).mean(), means(x, y, gaussian_kernel).mean()
    return float(1000 * (own + means(y, y, gaussian_kernel).mean() - 2 * cross))


def leave_out(x: Rows, y: Rows, groups: Array, kernel: Kernel, *, unbiased: bool) -> Array:
    """(G,) squared MMD to y, short of the constant that y alone gives, without the rows of each group.

    Exact; O(n (n + m)) kernel values.

    Parameters
    ----------
    groups: (n,) 0 to G - 1; G >= 3.
    unbiased: pairs within a group are left out (KID); else all count (CMMD).
    """
    n, counts = len(x), np.bincount(groups).astype(float)
    enough_groups(groups, 3)
    sums = np.bincount(groups, means(x, x, kernel) * n)
    cross = np.bincount(groups, means(x, y, kernel))
    within = np.zeros(len(counts))
    for number in range(len(counts)):
        rows = np.asarray(x[np.flatnonzero(groups == number)], dtype=np.float64)
        within[number] = kernel(rows, rows).sum()
    rest = n - counts
    if unbiased:
        own = sums.sum() - within.sum() - 2 * (sums - within)
        pairs = np.square(rest) - (np.square(counts).sum() - np.square(counts))
    else:
        own, pairs = sums.sum() - 2 * sums + within, np.square(rest)
    return own / pairs - 2 * (cross.sum() - cross) / rest


def influence(
    x: Rows, y: Rows, groups: Array, kernel: Kernel, *, partners: int = 5000, seed: int = 0
) -> Array:
    """(G,) first-order effect of each group on the squared MMD to y, from the mean kernel of its rows with at
    most `partners` rows of either set: one pass, where `leave_out` needs all (n, n) values.
    """
    random = np.random.default_rng(seed)
    own, other = (rows[np.sort(random.permutation(len(rows))[:partners])] for rows in (x, y))
    effects = 2 * (means(x, own, kernel) - means(x, other, kernel))
    counts = np.bincount(groups)
    return np.bincount(groups, effects - effects.mean()) * len(counts) / len(x)


def means(x: Rows, y: Rows, kernel: Kernel) -> Array:
    """(n,) mean kernel of each row of x with all of y, block by block."""
    found = np.zeros(len(x))
    for part, rows in blocks(x):
        for _, others in blocks(y):
            found[part] += kernel(rows, others).sum(1)
    return found / len(y)
