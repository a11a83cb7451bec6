"""Fréchet distances of sets of features: streamed moments, exact and fast roots, extrapolation to infinite N."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.errors import InputError
from bench.metrics.feature_rows import BLOCK, Array, Rows, blocks, enough, finite

LEAST = 20
"""Images an extrapolation to infinite N takes."""
SINGULAR = 1e-10
"""Of the greatest variance: below that share a direction counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Mean and covariance (ddof 1) of n feature vectors of d numbers, float64."""

    mean: Array
    """(d,)"""
    covariance: Array | None
    """(d, d); None where `factor` stands for it."""
    factor: Array | None
    """(m, d) with factor.T @ factor = covariance; kept where it is smaller than the covariance."""
    n: int
    """Images it was taken from; 0 where a published file does not say."""

    @property
    def trace(self) -> float:
        if self.factor is not None:
            return float(np.square(self.factor).sum())
        assert self.covariance is not None
        return float(np.trace(self.covariance))

    def root(self) -> Array:
        """F with F.T @ F = covariance."""
        if self.factor is not None:
            return self.factor
        assert self.covariance is not None
        return root_factor(self.covariance)

    def full(self) -> Array:
        """(d, d) covariance."""
        if self.covariance is not None:
            return self.covariance
        assert self.factor is not None
        return self.factor.T @ self.factor


class MomentsAccumulator:
    """Streaming mean and scatter in float64 (Chan et al. 1979): memory is one (d, d) matrix whatever n is."""

    def __init__(self, dimension: int) -> None:
        self.n = 0
        self.mean = np.zeros(dimension)
        self.scatter = np.zeros((dimension, dimension))

    def add(self, rows: Array) -> None:
        """rows: (k, d)."""
        rows = np.asarray(rows, dtype=np.float64)
        if not len(rows):
            return
        mean = rows.mean(0)
        centred = rows - mean
        shift = mean - self.mean
        total = self.n + len(rows)
        self.scatter += centred.T @ centred
        self.scatter += np.outer(shift, shift) * (self.n * len(rows) / total)
        self.mean = self.mean + shift * (len(rows) / total)
        self.n = total

    def result(self) -> Moments:
        enough(self.n, 2)
        return Moments(mean=self.mean, covariance=self.scatter / (self.n - 1), factor=None, n=self.n)


def moments(features: Rows, chosen: Array | None = None, block: int = BLOCK) -> Moments:
    """Moments of (n, d) features, or of the rows `chosen`; in blocks, so that stored rows are never all read.

    Raises InputError: fewer than two rows, or a value that is not finite.
    """
    chosen = np.arange(len(features)) if chosen is None else chosen
    n, dimension = len(chosen), features.shape[1]
    enough(n, 2)
    if n <= dimension:
        rows = finite(np.asarray(features[chosen], dtype=np.float64))
        mean = rows.mean(0)
        return Moments(mean=mean, covariance=None, factor=(rows - mean) / np.sqrt(n - 1), n=n)
    total = MomentsAccumulator(dimension)
    for start in range(0, n, block):
        total.add(finite(features[chosen[start : start + block]]))
    return total.result()


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Fréchet distance of two Gaussians (>= 0, lower is better).

    scipy's `sqrtm` takes the root of a (d, d) product; only its trace is needed: the nuclear norm of the two
    factors where n <= d, else the roots of the eigenvalues of L.T C L with Cholesky's L. Exact, and in
    tests/performance/algebra_speed.py more than ten times as fast at d = 2048.
    Raises InputError: dimensions differ, or a moment is not finite.
    Source: Heusel et al. 2017, arXiv 1706.08500, eq. 6.
    """
    if a.mean.shape != b.mean.shape:
        raise InputError(
            f"features of {a.mean.size} and {b.mean.size} dimensions cannot be compared: use one extractor"
        )
    for part in (a, b):
        for values in (part.mean, part.covariance, part.factor):
            if values is not None:
                finite(values)
    shift = np.square(a.mean - b.mean).sum()
    return max(0.0, float(shift + a.trace + b.trace - 2 * _trace_root(a, b)))


def _trace_root(a: Moments, b: Moments) -> float:
    """Trace of the square root of the product of two covariances."""
    if a.factor is not None and b.factor is not None:
        return float(np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum())
    few, other = (b, a) if b.factor is not None else (a, b)
    factor, covariance = few.root(), other.covariance
    assert covariance is not None
    if few.factor is None and not np.tril(factor, -1).any():
        return _root_sum(_triangular_eigenvalues(factor, covariance))
    return _root_sum(np.linalg.eigvalsh(factor @ covariance @ factor.T))


def _triangular_eigenvalues(upper: Array, covariance: Array, parts: int = 8) -> Array:
    """(d,) eigenvalues of U C U.T for an upper triangular U.

    In blocks, so that the zeros of U and one half of the symmetric product are not multiplied; torch's
    `eigvalsh` reads only that half, and takes half the time of numpy's.
    """
    import torch

    cuts = np.linspace(0, len(upper), parts + 1).astype(int)
    places = [slice(a, b) for a, b in itertools.pairwise(cuts.tolist())]
    right = np.concatenate([covariance[:, b.start :] @ upper[b, b.start :].T for b in places], axis=1)
    product = np.zeros_like(covariance)
    for i, rows in enumerate(places):
        for columns in places[: i + 1]:
            product[rows, columns] = upper[rows, rows.start :] @ right[rows.start :, columns]
    return torch.linalg.eigvalsh(torch.from_numpy(product)).numpy()


def _root_sum(values: Array) -> float:
    return float(np.sqrt(np.clip(values, 0, None)).sum())


def root_factor(covariance: Array) -> Array:
    """F with F.T @ F = covariance: Cholesky, or the eigenvectors where the covariance is singular."""
    try:
        return np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T


def influence(features: Rows, own: Moments, reference: Moments) -> Array:
    """(n,) first-order effect of each image on the Fréchet distance: its mean over a resample, added to the
    distance, is the resample's distance. One pass over the rows, where a bootstrap takes hundreds.

    With T the map that carries N(0, S) to N(0, R), the derivative by the covariance S is 1 - T; with
    S = L L.T and L.T R L = U diag(s) U.T it is T = L^-T U diag(sqrt s) U.T L^-1.
    features: the rows `own` was taken from, more of them than dimensions.
    """
    assert own.covariance is not None
    lower, inverted = _split(own.covariance)
    rooted = reference.root() @ lower
    values, vectors = np.linalg.eigh(rooted.T @ rooted)
    quarter = np.clip(values, 0, None) ** 0.25
    carry = inverted(vectors * quarter).T
    shift = 2 * (own.mean - reference.mean)
    found = np.empty(len(features))
    for part, rows in blocks(features):
        rows = rows - own.mean
        found[part] = rows @ shift + np.square(rows).sum(1) - np.square(rows @ carry.T).sum(1)
    return found - found.mean()


def _split(covariance: Array) -> tuple[Array, Callable[[Array], Array]]:
    """L (d, k) with L @ L.T the covariance, and x -> L^-T x.

    Cholesky's, or where the covariance is singular (a feature that never fires, copies of few pictures) one of
    its own range, which no image leaves.
    """
    import scipy.linalg

    with contextlib.suppress(np.linalg.LinAlgError):
        lower = np.linalg.cholesky(covariance)
        if np.square(np.diag(lower).min()) > SINGULAR * np.diag(covariance).max():
            return lower, lambda x: scipy.linalg.solve_triangular(lower, x, lower=True, trans=1)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > SINGULAR * values.max()
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return vectors * roots, lambda x: (vectors / roots) @ x


class WeightedFrechet:
    """Fréchet distances of reweighted images to one reference, for bootstraps and extrapolation.

    The products of all images with the reference's factor are taken once; a reweighting then costs one SVD
    of an (images, min(reference, d)) matrix, or, for n > d, one weighted covariance and its eigenvalues.
    """

    def __init__(self, features: Rows, reference: Moments) -> None:
        rows = finite(np.asarray(features, dtype=np.float64))
        enough(len(rows), 2)
        if rows.shape[1] != reference.mean.size:
            raise InputError(
                f"features of {rows.shape[1]} and {reference.mean.size} dimensions cannot be compared"
            )
        self.centre = rows.mean(0)
        self.rows = rows - self.centre
        self.reference = reference
        self.factor = reference.root()
        self.products = self.rows @ self.factor.T if len(rows) <= rows.shape[1] else None
        self.squares = np.square(self.rows).sum(1)

    def distance(self, weights: Array) -> float:
        """weights: (n,) counts, e.g. how often a bootstrap drew each image."""
        n = float(weights.sum())
        keep = weights > 0
        w = weights[keep].astype(np.float64)
        mean = w @ self.rows[keep] / n
        shift = np.square(self.centre + mean - self.reference.mean).sum()
        trace = (w @ self.squares[keep] - n * np.square(mean).sum()) / (n - 1)
        scale = np.sqrt(w / (n - 1))[:, None]
        if self.products is not None:
            products = self.products[keep]
            cross = np.linalg.svd((products - w @ products / n) * scale, compute_uv=False).sum()
        else:
            inner = (self.rows[keep] - mean) * scale @ self.factor.T
            cross = _root_sum(np.linalg.eigvalsh(inner.T @ inner))
        return max(0.0, float(shift + trace + self.reference.trace - 2 * cross))

    def infinity(self, weights: Array, seed: int) -> float:
        """As `extrapolated`, of reweighted images."""
        drawn = np.repeat(np.arange(len(weights)), weights)

        def distance(chosen: Array) -> float:
            return self.distance(np.bincount(chosen, minlength=len(weights)))

        return float(_intercept(drawn, distance, seed))


def extrapolated(features: Rows, reference: Moments, seed: int) -> float:
    """FID∞: the intercept of the least-squares line of the distance over 1/N, at 15 sizes N/10 to N.

    Streams. Source: Chong and Forsyth 2020, arXiv 1911.07023, section 4.
    """

    def distance(chosen: Array) -> float:
        return frechet_distance(moments(features, np.sort(chosen)), reference)

    return _intercept(np.arange(len(features)), distance, seed)


def extrapolated_influence(effects: Array, weights: Array, seed: int) -> float:
    """What a resample adds to FID∞, to first order: the same line through means of `influence`."""
    drawn = np.repeat(np.arange(len(weights)), weights)
    return _intercept(drawn, lambda chosen: float(effects[chosen].mean()), seed)


def _intercept(drawn: Array, distance: Callable[[Array], float], seed: int, points: int = 15) -> float:
    enough(len(drawn), LEAST)
    random = np.random.default_rng(seed)
    sizes = np.unique(np.linspace(max(10, len(drawn) // 10), len(drawn), points).astype(int))
    distances = [distance(random.permutation(drawn)[:size]) for size in sizes]
    return float(np.polyfit(1 / sizes, distances, 1)[1])
