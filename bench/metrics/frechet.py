"""Fréchet distances of sets of features: streamed moments, exact and fast roots, extrapolation to infinite N."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import InputError
from bench.metrics.feature_rows import BLOCK, Array, Rows, enough, finite

LEAST = 20
"""Images that an extrapolation to infinite N takes at least."""
SINGULAR = 1e-10
"""Share of the greatest variance below which a direction counts as having none."""


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


def leave_out(features: Rows, reference: Moments, groups: Array) -> Array:
    """(G,) Fréchet distances of what remains when the images of each prompt are left out; exact, in one pass.

    With B = R^1/2 (n-1) S R^1/2, leaving rows z_g out takes Y.T Y from B, where Y = C^1/2 z_g R^1/2 and
    C = 1 + 1/(n - k). The change of the trace of B's root is, by sqrt(b) = 1/pi int b/(b+t) dt/sqrt(t),
    1/pi int sqrt(t) tr[(1 - Y (B+t)^-1 Y.T)^-1 Y (B+t)^-2 Y.T] dt, of which only matrices of a prompt's own
    size are inverted.

    Parameters
    ----------
    features: (n, d), n >= 3.
    groups: (n,) 0 to G - 1, the prompt of each image; G >= 2.
    """
    n = len(features)
    enough(n, 3)
    own = moments(features)
    root = reference.root()
    if n <= len(root):
        centred = finite(np.asarray(features[:], dtype=np.float64)) - own.mean
        products = centred @ root.T
        values, vectors = np.linalg.eigh(products @ products.T)
        kept = values > SINGULAR * values.max()
        values = values[kept]
        carry = root.T @ (products.T @ (vectors[:, kept] / np.sqrt(values)))
    else:
        inner = root @ own.full() @ root.T * (n - 1)
        values, vectors = np.linalg.eigh(inner)
        kept = values > SINGULAR * values.max()
        values = values[kept]
        carry = root.T @ vectors[:, kept]
    total, trace = np.sqrt(values).sum(), own.trace * (n - 1)
    found = np.empty(int(groups.max()) + 1)
    for numbers, members in _by_size(groups):
        size = members.shape[1]
        rest = n - size
        enough(rest, 2)
        rows = np.asarray(features[members.ravel()], dtype=np.float64) - own.mean
        spread = np.linalg.cholesky(np.eye(size) + 1 / rest).T
        placed = np.einsum("ab,gbr->gar", spread, (rows @ carry).reshape(*members.shape, -1))
        rows = rows.reshape(*members.shape, -1)
        sums = rows.sum(1)
        mean = own.mean - sums / rest - reference.mean
        left = trace - np.square(rows).sum((1, 2)) - np.square(sums).sum(1) / rest
        roots = total - _lost_roots(values, placed)
        found[numbers] = np.square(mean).sum(1) + left / (rest - 1) - 2 * roots / np.sqrt(rest - 1)
    return found + reference.trace


def _by_size(groups: Array) -> Iterator[tuple[Array, Array]]:
    """Numbers of groups of one size, (g,), and their members, (g, size), in blocks of up to BLOCK members."""
    order, counts = np.argsort(groups, kind="stable"), np.bincount(groups)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for size in np.unique(counts[counts > 0]).tolist():
        numbers, most = np.flatnonzero(counts == size), max(1, BLOCK // size)
        for start in range(0, len(numbers), most):
            part = numbers[start : start + most]
            yield part, order[starts[part][:, None] + np.arange(size)]


def _lost_roots(values: Array, placed: Array) -> Array:
    """(g,) what tr sqrt(B) loses when Y.T Y is taken from B, for each Y (size, r) in B's eigenvectors.

    values: (r,) eigenvalues of B, above 0. placed: (g, size, r). Trapezoid over log t, whose error falls as
    exp(-2 pi^2 / step); both tails are added in closed form.
    """
    first, last = np.log(values.min()) - 14, np.log(values.max()) + 14
    points = np.linspace(first, last, int(last - first) + 2)
    step = points[1] - points[0]
    inverse = placed / values
    # What no other image carries: leaving it out lowers the rank of B, and 1 - Y B^-1 Y.T is 0 there.
    left, sides = np.linalg.eigh(np.eye(placed.shape[1]) - _inner(inverse, placed))
    left = np.where(left > 1e-9, left, 0.0)
    rest = np.einsum("gab,gb,gcb->gac", sides, left, sides)
    lost = 2 * (left == 0).sum(1) * np.sqrt(np.exp(first)) / np.pi
    lost += 2 * np.square(placed).sum((1, 2)) / np.sqrt(np.exp(last)) / np.pi
    for number, t in enumerate(np.exp(points).tolist()):
        shifted = placed / (values + t)
        schur = rest + t * _inner(inverse, shifted)
        share = np.trace(np.linalg.solve(schur, _inner(shifted, shifted)), axis1=1, axis2=2)
        half = 0.5 if number in (0, len(points) - 1) else 1.0
        lost += half * step * t**1.5 * share / np.pi
    return lost


def _inner(a: Array, b: Array) -> Array:
    """(g, size, r) and the same to (g, size, size)."""
    return np.matmul(a, b.transpose(0, 2, 1))


def extrapolated(features: Rows, reference: Moments, seed: int) -> tuple[float, Array]:
    """FID∞: the intercept of the least-squares line of the distance over 1/N, at 15 sizes N/10 to N.

    Returns it with the (n,) share that each image has in it: to first order its effect on the distance of
    all images, times this share, is its effect on FID∞. The shares sum to 1.
    Streams. Source: Chong and Forsyth 2020, arXiv 1911.07023, section 4.
    """
    n = len(features)
    enough(n, LEAST)
    random, sizes = np.random.default_rng(seed), subset_sizes(n)
    weights, value, shares = intercept_weights(sizes), 0.0, np.zeros(n)
    for size, weight in zip(sizes.tolist(), weights.tolist(), strict=True):
        chosen = random.permutation(n)[:size]
        value += weight * frechet_distance(moments(features, np.sort(chosen)), reference)
        shares[chosen] += weight / size
    return value, shares


def subset_sizes(n: int, points: int = 15) -> Array:
    """Sizes of the subsets that FID∞ is extrapolated from, at most `points`, the last one n."""
    return np.unique(np.linspace(max(10, n // 10), n, points).astype(int))


def intercept_weights(sizes: Array) -> Array:
    """What the intercept of a least-squares line over 1/size takes from the value at each size; sums to 1."""
    return np.linalg.pinv(np.column_stack([np.ones(len(sizes)), 1 / sizes]))[0]


def gaussian_floor(reference: Moments, sizes: Sequence[int], seed: int = 0) -> Array:
    """Fréchet distance to the reference of that many draws from a Gaussian with the reference's own moments.

    What a generator that equals the reference would score at each N: the bias of N alone. One stream of draws
    serves all sizes.

    Parameters
    ----------
    sizes: ascending, each at least 2.
    """
    if reference.factor is not None:
        variances = np.square(np.linalg.svd(reference.factor, compute_uv=False))
    else:
        variances = np.linalg.eigvalsh(reference.full())
    scale = np.sqrt(variances[variances > SINGULAR * variances.max()])
    random, found = np.random.default_rng(seed), []
    total, kept = MomentsAccumulator(len(scale)), np.empty((0, len(scale)))
    for size in sizes:
        while total.n < size:
            rows = random.standard_normal((min(BLOCK, size - total.n), len(scale))) * scale
            total.add(rows)
            if total.n <= len(scale):
                kept = np.concatenate([kept, rows])
        mean, spread = np.square(total.mean).sum(), np.trace(total.scatter) / (size - 1)
        if size <= len(scale):
            products = (kept - total.mean) * scale
            values = np.linalg.eigvalsh(products @ products.T)
        else:
            values = np.linalg.eigvalsh(scale[:, None] * total.scatter * scale)
        found.append(mean + spread + np.square(scale).sum() - 2 * _root_sum(values / (size - 1)))
    return np.array(found)
