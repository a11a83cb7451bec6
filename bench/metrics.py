"""Arrays to numbers: what each metric is (`METRICS`) and the distances, kernels and intervals behind them.

Pure: features in, floats out, every random choice seeded. Nothing here opens a file or a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.records import InputError

Array = NDArray[Any]
Kind = Literal["prompt", "reference", "image", "set"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    kind: Kind
    """`prompt`: against the text; `reference`: other images; `image`: each alone; `set`: of the set."""
    higher_is_better: bool
    extractor: str
    """A name of `bench.features.EXTRACTORS`; `study` is the CLIP of `[metrics] clip`."""
    statistic: str
    """Which function of this module (`fid` and `fd_dinov2` share `frechet`)."""
    source: str
    tells: str
    cannot: str
    """What it cannot tell."""


_DRIFT = "on COCO it ranks SDXL above SDXL Turbo where people do not; biased at small N"

METRICS: dict[str, Metric] = {
    "clip_score": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="study",
        statistic="cosine",
        source="Hessel et al. 2021, arXiv 2104.08718; 100 x max(cosine, 0)",
        tells="whether the things named in the prompt are there",
        cannot="counts, relations, spelling; beauty",
    ),
    "fid": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-tf",
        statistic="frechet",
        source="Heusel et al. 2017, arXiv 1706.08500",
        tells="how far the set as a whole is from the reference in 2015 Inception features",
        cannot=f"single images, prompts, faces, pictures that are not photographs; {_DRIFT}",
    ),
    "fid_clean": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-clean",
        statistic="frechet",
        source="Parmar et al. 2022, arXiv 2104.11222",
        tells="as fid, with an antialiased bicubic resize, so that resizing does not decide it",
        cannot=f"as fid; {_DRIFT}",
    ),
    "fid_infinity": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-tf",
        statistic="frechet_infinity",
        source="Chong and Forsyth 2020, arXiv 1911.07023",
        tells="as fid, with the bias of the generated images' N extrapolated away",
        cannot="as fid; the bias of a small reference stays",
    ),
    "kid": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-tf",
        statistic="kernel",
        source="Binkowski et al. 2018, arXiv 1801.01401",
        tells="as fid, without bias at small N",
        cannot="as fid; single images, prompts",
    ),
    "fd_dinov2": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="dinov2",
        statistic="frechet",
        source="Stein et al. 2023, arXiv 2306.04675",
        tells="distance of the sets in features that follow human judgements better than Inception's",
        cannot="prompts; biased at small N",
    ),
    "fd_clip": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="study",
        statistic="frechet",
        source="Kynkaanniemi et al. 2023, arXiv 2203.06026",
        tells="distance of the sets in the features of the study's CLIP",
        cannot="textures and small artefacts; biased at small N",
    ),
    "cmmd": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="clip-vit-l-14-336",
        statistic="cmmd",
        source="Jayasumana et al. 2024, arXiv 2401.09603; RBF, sigma 10, x 1000",
        tells="distance of the sets in CLIP features without a Gaussian assumption",
        cannot="prompts; textures and small artefacts",
    ),
    "precision": Metric(
        kind="reference",
        higher_is_better=True,
        extractor="inception-tf",
        statistic="precision",
        source="Kynkaanniemi et al. 2019, arXiv 1904.06991; k = 3",
        tells="share of images that lie among the reference",
        cannot="variety; an outlier in the reference widens it",
    ),
    "recall": Metric(
        kind="reference",
        higher_is_better=True,
        extractor="inception-tf",
        statistic="recall",
        source="Kynkaanniemi et al. 2019, arXiv 1904.06991; k = 3",
        tells="share of the reference that lies among the images",
        cannot="quality; an outlier among the images widens it",
    ),
    "density": Metric(
        kind="reference",
        higher_is_better=True,
        extractor="inception-tf",
        statistic="density",
        source="Naeem et al. 2020, arXiv 2002.09797; k = 5",
        tells="as precision, outliers weighing less; may exceed 1",
        cannot="variety",
    ),
    "coverage": Metric(
        kind="reference",
        higher_is_better=True,
        extractor="inception-tf",
        statistic="coverage",
        source="Naeem et al. 2020, arXiv 2002.09797; k = 5",
        tells="share of the reference with an image near by",
        cannot="quality",
    ),
    "patch_fid": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="inception-patch",
        statistic="frechet",
        source="Lin et al. 2024 (SDXL-Lightning), arXiv 2402.13929; centre 299 px crop at native size",
        tells="fine detail that a resize to 299 px hides",
        cannot="the picture as a whole; biased at small N",
    ),
    "pickscore": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="pickscore",
        statistic="dot",
        source="Kirstain et al. 2023, arXiv 2305.01569",
        tells="what users of one web application picked",
        cannot="it was trained on images of older models; its scale has no zero",
    ),
    "hpsv2": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="hpsv2.1",
        statistic="cosine",
        source="Wu et al. 2023, arXiv 2306.09341; weights v2.1; 100 x cosine",
        tells="what paid annotators preferred",
        cannot="rewards saturated, centred pictures; trained on older models",
    ),
    "aesthetic": Metric(
        kind="image",
        higher_is_better=True,
        extractor="aesthetic",
        statistic="value",
        source="Schuhmann 2022, improved-aesthetic-predictor (SAC + LOGOS + AVA1)",
        tells="1 to 10, how pleasing a picture is to photograph raters",
        cannot="the prompt; rewards painterly pictures",
    ),
    "diversity": Metric(
        kind="set",
        higher_is_better=True,
        extractor="study",
        statistic="diversity",
        source="mean of 1 - cosine over pairs of replicates of a prompt",
        tells="how different the images of one prompt are",
        cannot="whether the variety is wanted; noise counts as variety",
    ),
    "near_duplicates": Metric(
        kind="set",
        higher_is_better=False,
        extractor="study",
        statistic="near_duplicates",
        source="share of images whose cosine with an image of another prompt exceeds 0.98",
        tells="collapse: the same picture for different prompts",
        cannot="near-identical prompts give near-identical pictures rightly",
    ),
    "mini_clip_score": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="mini-clip",
        statistic="cosine",
        source="the suite's own two-tower instrument, trained on the miniature world",
        tells="prompt alignment of miniature pictures",
        cannot="anything outside the miniature world",
    ),
    "mini_fd": Metric(
        kind="reference",
        higher_is_better=False,
        extractor="mini-features",
        statistic="frechet",
        source="Frechet distance in the pooled features of the suite's own miniature classifier",
        tells="distance of miniature pictures from the miniature world",
        cannot="anything outside the miniature world; biased at small N",
    ),
    "scene_accuracy": Metric(
        kind="prompt",
        higher_is_better=True,
        extractor="mini-scene",
        statistic="dot",
        source="share of the prompt's attributes that the suite's own miniature classifier finds",
        tells="whether shape, colour, place and number are as asked",
        cannot="anything outside the miniature world",
    ),
}


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
        _enough(self.n, 2)
        return Moments(mean=self.mean, covariance=self.scatter / (self.n - 1), factor=None, n=self.n)


def moments(features: Array, block: int = 4096) -> Moments:
    """Moments of (n, d) features; in blocks, so a memory-mapped array is never read whole.

    Raises InputError: fewer than two rows, or a value that is not finite.
    """
    n, dimension = features.shape
    _enough(n, 2)
    if n <= dimension:
        rows = _finite(np.asarray(features, dtype=np.float64))
        mean = rows.mean(0)
        return Moments(mean=mean, covariance=None, factor=(rows - mean) / np.sqrt(n - 1), n=n)
    total = MomentsAccumulator(dimension)
    for start in range(0, n, block):
        total.add(_finite(features[start : start + block]))
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
                _finite(values)
    shift = np.square(a.mean - b.mean).sum()
    return max(0.0, float(shift + a.trace + b.trace - 2 * _trace_root(a, b)))


def _trace_root(a: Moments, b: Moments) -> float:
    """Trace of the square root of the product of two covariances."""
    if a.factor is None and b.factor is None:
        assert a.covariance is not None
        assert b.covariance is not None
        factor, other = root_factor(a.covariance), b.covariance
    elif a.factor is not None and b.factor is not None:
        return float(np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum())
    else:
        factor, other = (a.factor, b.covariance) if a.factor is not None else (b.factor, a.covariance)
        assert factor is not None
        assert other is not None
    values = np.linalg.eigvalsh(factor @ other @ factor.T)
    return float(np.sqrt(np.clip(values, 0, None)).sum())


def root_factor(covariance: Array) -> Array:
    """F with F.T @ F = covariance: Cholesky, or the eigenvectors where the covariance is singular."""
    try:
        return np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T


class WeightedFrechet:
    """Fréchet distances of reweighted images to one reference, for bootstraps and extrapolation.

    The products of all images with the reference's factor are taken once; a reweighting then costs one SVD
    of an (images, min(reference, d)) matrix, or, for n > d, one weighted covariance and its eigenvalues.
    """

    def __init__(self, features: Array, reference: Moments) -> None:
        rows = _finite(np.asarray(features, dtype=np.float64))
        _enough(len(rows), 2)
        if rows.shape[1] != reference.mean.size:
            raise InputError(
                f"features of {rows.shape[1]} and {reference.mean.size} dimensions cannot be compared"
            )
        self.centre = rows.mean(0)
        self.rows = rows - self.centre
        self.reference = reference
        factor = reference.factor
        if factor is None:
            assert reference.covariance is not None
            factor = root_factor(reference.covariance)
        self.factor = factor
        self.products = self.rows @ factor.T if len(rows) <= rows.shape[1] else None
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
            weighted = (self.rows[keep] - mean) * scale
            inner = weighted @ self.factor.T
            cross = np.sqrt(np.clip(np.linalg.eigvalsh(inner.T @ inner), 0, None)).sum()
        return max(0.0, float(shift + trace + self.reference.trace - 2 * cross))

    def infinity(self, weights: Array, seed: int, points: int = 15) -> float:
        """Intercept of the least-squares line of the distance over 1/N at `points` sizes, N/10 to N.

        Source: Chong and Forsyth 2020, arXiv 1911.07023, section 4.
        """
        drawn = np.repeat(np.arange(len(weights)), weights)
        _enough(len(drawn), 20)
        random = np.random.default_rng(seed)
        sizes = np.unique(np.linspace(max(10, len(drawn) // 10), len(drawn), points).astype(int))
        distances = []
        for size in sizes:
            chosen = random.permutation(drawn)[:size]
            distances.append(self.distance(np.bincount(chosen, minlength=len(weights))))
        return float(np.polyfit(1 / sizes, distances, 1)[1])


def polynomial_kernel(x: Array, y: Array) -> Array:
    """(x.y / d + 1)^3, float64; (n, d) and (m, d) give (n, m)."""
    product = np.asarray(x, np.float64) @ np.asarray(y, np.float64).T
    return (product / x.shape[1] + 1) ** 3


def polynomial_mmd(x: Array, y: Array) -> float:
    """Unbiased squared MMD with the KID kernel (may be below 0; 0 in expectation for equal distributions).

    Source: Binkowski et al. 2018, arXiv 1801.01401, eq. 4.
    """
    return float(weighted_mmd(x, y, np.ones((1, len(x)), dtype=int))[0])


def kernel_distance(x: Array, y: Array, *, subsets: int = 100, size: int = 1000, seed: int = 2020) -> float:
    """KID as published: mean of `polynomial_mmd` over seeded subsets of `size`; of all if no more."""
    _same_dimension(x, y)
    size = min(size, len(x), len(y))
    if size == len(x) == len(y):
        return polynomial_mmd(x, y)
    random = np.random.default_rng(seed)
    estimates = [
        polynomial_mmd(x[random.permutation(len(x))[:size]], y[random.permutation(len(y))[:size]])
        for _ in range(subsets)
    ]
    return float(np.mean(estimates))


def weighted_mmd(x: Array, y: Array, weights: Array) -> Array:
    """`polynomial_mmd` under weights (replicates, n). An image never meets its own copy in a bootstrap."""
    _same_dimension(x, y)
    _enough(min(len(x), len(y)), 2)
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


def cmmd(x: Array, y: Array, weights: Array | None = None) -> Array:
    """1000 x squared MMD, Gaussian kernel of sigma 10, of unit-length CLIP vectors; one number a weight row.

    Biased (V-statistic), as in the authors' code. Source: Jayasumana et al. 2024, arXiv 2401.09603.
    """
    _same_dimension(x, y)
    x, y = unit(x), unit(y)
    w = np.ones((1, len(x))) if weights is None else weights.astype(np.float64)
    total = w.sum(1)
    xx = ((w @ _gaussian(x, x)) * w).sum(1) / total**2
    xy = w @ _gaussian(x, y).mean(1) / total
    return 1000 * (xx + _gaussian(y, y).mean() - 2 * xy)


def _gaussian(x: Array, y: Array, sigma: float = 10) -> Array:
    return np.exp(-_squared_distances(x, y) / (2 * sigma**2))


def _squared_distances(x: Array, y: Array) -> Array:
    product = x @ y.T
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1)[None, :]
    return np.clip(squares - 2 * product, 0, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Per-item terms whose means are precision, recall, density and coverage."""

    precision: Array
    """(n,) 0 or 1 an image."""
    recall: Array
    """(m,) 0 or 1 a reference image."""
    density: Array
    """(n,) >= 0 an image."""
    coverage: Array
    """(m,) 0 or 1 a reference image."""


def neighbours(
    images: Array, reference: Array, *, k: int = 3, k_density: int = 5, block: int = 1024
) -> Neighbours:
    """k-nearest-neighbour balls of both sets; k for precision and recall, k_density for the other two.

    Raises InputError: fewer than k_density + 1 images on a side.
    Source: Kynkäänniemi et al. 2019, arXiv 1904.06991; Naeem et al. 2020, arXiv 2002.09797.
    """
    _same_dimension(images, reference)
    _enough(min(len(images), len(reference)), max(k, k_density) + 1)
    x, y = np.asarray(images, np.float64), np.asarray(reference, np.float64)
    own = _radii(x, (k,), block)[0]
    ball, wide = _radii(y, (k, k_density), block)
    precision, density = np.zeros(len(x)), np.zeros(len(x))
    recall, nearest = np.zeros(len(y), bool), np.full(len(y), np.inf)
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        distances = _squared_distances(x[part], y)
        precision[part] = (distances < ball).any(1)
        density[part] = (distances < wide).sum(1) / k_density
        recall |= (distances < own[part, None]).any(0)
        nearest = np.minimum(nearest, distances.min(0))
    return Neighbours(
        precision=precision,
        recall=recall.astype(float),
        density=density,
        coverage=(nearest < wide).astype(float),
    )


def _radii(x: Array, ks: tuple[int, ...], block: int) -> list[Array]:
    """Squared distance to the k-th other point, for each k."""
    radii = [np.empty(len(x)) for _ in ks]
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        distances = np.partition(_squared_distances(x[part], x), sorted(ks), axis=1)
        for radius, k in zip(radii, ks, strict=True):
            radius[part] = distances[:, k]
    return radii


def unit(rows: Array) -> Array:
    """Rows at length 1, float64."""
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True).clip(1e-12)


def cosine_scores(images: Array, texts: Array, *, clip: bool = True) -> Array:
    """100 x cosine of row i with row i, (n,); below 0 counted as 0 where `clip`.

    Source: Hessel et al. 2021, arXiv 2104.08718, with weight 100 as the field prints it.
    """
    cosine = (unit(images) * unit(texts)).sum(1)
    return 100 * (cosine.clip(0) if clip else cosine)


def diversity(features: Array, groups: Array) -> tuple[Array, Array]:
    """Mean of 1 - cosine over the pairs within each group of two or more: values and their groups."""
    rows = unit(features)
    values, names = [], []
    for group in np.unique(groups):
        members = rows[groups == group]
        k = len(members)
        if k > 1:
            values.append(1 - (np.square(members.sum(0)).sum() - k) / (k * (k - 1)))
            names.append(group)
    return np.array(values), np.array(names)


def near_duplicates(features: Array, groups: Array, *, threshold: float = 0.98, block: int = 1024) -> Array:
    """(n,) 1 where an image of another group has a cosine above the threshold."""
    rows = unit(features)
    found = np.zeros(len(rows))
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        other = groups[part, None] != groups[None, :]
        found[part] = ((rows[part] @ rows.T > threshold) & other).any(1)
    return found


def bootstrap_weights(groups: Array, replicates: int, seed: int) -> Array:
    """(replicates, n) how often each image was drawn when whole groups are drawn with replacement."""
    _, members = np.unique(groups, return_inverse=True)
    count = members.max() + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    return drawn[:, members]


def bootstrap_mean(
    values: Array, groups: Array, *, replicates: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """95% percentile interval of a mean over images, groups resampled; None with fewer than two groups."""
    if len(np.unique(groups)) < 2:
        return None
    weights = bootstrap_weights(groups, replicates, seed)
    means = weights @ values / weights.sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def bootstrap_normal(value: float, resampled: Array) -> tuple[float, float]:
    """value ± 1.96 standard deviations of its bootstrap replicates.

    Not percentiles: a resampled distance is biased upwards (repeated images lower the effective N), so its
    percentiles need not hold the value.
    """
    error = 1.96 * float(np.std(resampled, ddof=1))
    return value - error, value + error


def _finite(values: Array) -> Array:
    if not np.isfinite(values).all():
        raise InputError(
            "features hold a value that is not finite: the images or the extractor's weights are damaged"
        )
    return values


def _enough(n: int, wanted: int) -> None:
    if n < wanted:
        raise InputError(f"{n} images are too few for this metric: it needs at least {wanted}")


def _same_dimension(x: Array, y: Array) -> None:
    if x.shape[1] != y.shape[1]:
        raise InputError(f"features of {x.shape[1]} and {y.shape[1]} dimensions cannot be compared")
