"""Features of one contender to a number with its interval: every statistic that `METRICS` names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import bench.metrics.frechet as frechet
import bench.metrics.kernels as kernels
import bench.metrics.similarity as similarity
from bench.metrics.feature_rows import Array, Rows
from bench.metrics.intervals import bootstrap_mean, bootstrap_means, bootstrap_normal, resamples
from bench.metrics.neighbours import neighbours

EXACT = 2000
"""Images up to which a kernel's bootstrap reweights all (n, n) values; above, the first-order effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a statistic of one contender is computed from; row i of every array is image i."""

    images: Rows
    """(n, d)"""
    prompts: Array
    """(n,) index of each image's prompt: the clusters of the bootstrap."""
    texts: Rows | None = None
    """(n, d)"""
    sources: Rows | None = None
    """(n, d) of the picture each image was made from."""
    source_texts: Rows | None = None
    """(n, d) of what that picture shows."""
    reference: Rows | None = None
    """(m, d); None with published statistics."""
    moments: frechet.Moments | None = None
    """Of the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    value: float | None
    low: float | None = None
    high: float | None = None
    interval: str = "none"
    note: str = ""
    values: Array | None = None
    """(n,) what the metric gives each image alone; None for a number of the whole set."""


def _mean(values: Array, prompts: Array, of_images: bool = True) -> Estimate:
    kept = values if of_images else None
    ends, value = bootstrap_mean(values, prompts), float(np.mean(values))
    if ends is None:
        return Estimate(value=value, note="one prompt: no interval", values=kept)
    how = "bootstrap over prompts (1000)"
    return Estimate(value=value, low=ends[0], high=ends[1], interval=how, values=kept)


def _cosine(inputs: Inputs, clip: bool = True) -> Estimate:
    assert inputs.texts is not None
    return _mean(similarity.cosine_scores(inputs.images, inputs.texts, clip=clip), inputs.prompts)


def _dot(inputs: Inputs) -> Estimate:
    """A logit (PickScore) or a share of attributes (miniature)."""
    assert inputs.texts is not None
    return _mean(similarity.products(inputs.images, inputs.texts), inputs.prompts)


def _value(inputs: Inputs) -> Estimate:
    return _mean(inputs.images[:][:, 0].astype(np.float64), inputs.prompts)


def _source_cosine(inputs: Inputs) -> Estimate:
    assert inputs.sources is not None
    return _mean(similarity.cosines(inputs.images, inputs.sources), inputs.prompts)


def _direction(inputs: Inputs) -> Estimate:
    texts, sources, words = inputs.texts, inputs.sources, inputs.source_texts
    assert texts is not None
    assert sources is not None
    assert words is not None
    return _mean(similarity.directions(inputs.images, sources, texts, words), inputs.prompts)


def _attributes(inputs: Inputs, changed: bool) -> Estimate:
    assert inputs.texts is not None
    assert inputs.source_texts is not None
    values = similarity.attribute_shares(inputs.images, inputs.texts, inputs.source_texts, changed=changed)
    return _mean(values, inputs.prompts)


def _spread(value: float, inputs: Inputs, replicates: int, compute: Callable[[], Array]) -> Estimate:
    """The value with 1.96 standard deviations of its resampled values."""
    if len(np.unique(inputs.prompts)) < 2:
        return Estimate(value=value, note="one prompt: no interval")
    low, high = bootstrap_normal(value, compute())
    how = f"1.96 bootstrap standard errors over prompts ({replicates})"
    return Estimate(value=value, low=low, high=high, interval=how)


def _first_order(value: float, effects: Array, inputs: Inputs) -> Estimate:
    """As `_spread`, from each image's first-order effect on the value."""
    found = _spread(value, inputs, 1000, lambda: bootstrap_means(effects, inputs.prompts))
    if found.low is None:
        return found
    how = "1.96 bootstrap standard errors over prompts (1000), first order"
    return Estimate(value=found.value, low=found.low, high=found.high, interval=how)


def _streams(inputs: Inputs) -> bool:
    """Whether a Fréchet distance has images enough for first-order effects; exact resamples cost too much."""
    return len(inputs.images) > 2 * inputs.images.shape[1]


def _replicates(inputs: Inputs) -> int:
    """An SVD of 2,000 images takes seconds, one of 50 a millisecond."""
    return 200 if len(inputs.images) <= 500 else 30


def _frechet(inputs: Inputs) -> Estimate:
    assert inputs.moments is not None
    own = frechet.moments(inputs.images)
    value = frechet.frechet_distance(own, inputs.moments)
    if _streams(inputs):
        return _first_order(value, frechet.influence(inputs.images, own, inputs.moments), inputs)
    space, times = frechet.WeightedFrechet(inputs.images, inputs.moments), _replicates(inputs)
    return _spread(
        value,
        inputs,
        times,
        lambda: np.array([space.distance(row) for row in resamples(inputs.prompts, times, 0)]),
    )


def _frechet_infinity(inputs: Inputs) -> Estimate:
    assert inputs.moments is not None
    if len(inputs.images) < frechet.LEAST:
        return Estimate(value=None, note=f"fewer than {frechet.LEAST} images: nothing to extrapolate from")
    if _streams(inputs):
        value = frechet.extrapolated(inputs.images, inputs.moments, 0)
        effects = frechet.influence(inputs.images, frechet.moments(inputs.images), inputs.moments)
        again, times = functools.partial(frechet.extrapolated_influence, effects), 200
    else:
        space, times = frechet.WeightedFrechet(inputs.images, inputs.moments), 30
        value, again = space.infinity(np.ones(len(inputs.images), dtype=int), 0), space.infinity
    return _spread(
        value,
        inputs,
        times,
        lambda: np.array([again(row, i) for i, row in enumerate(resamples(inputs.prompts, times, 0))]),
    )


def _kernel_spread(
    value: float, inputs: Inputs, weighted: Callable[..., Array], kernel: kernels.Kernel, scale: float
) -> Estimate:
    assert inputs.reference is not None
    if len(inputs.images) > EXACT:
        effects = scale * kernels.influence(inputs.images, inputs.reference, kernel)
        return _first_order(value, effects, inputs)
    # The first 5,000 of the reference are enough for an interval.
    x, y = inputs.images[:], inputs.reference[:5000]
    return _spread(
        value, inputs, 500, lambda: weighted(x, y, np.stack(list(resamples(inputs.prompts, 500, 0))))
    )


def _kernel(inputs: Inputs) -> Estimate:
    assert inputs.reference is not None
    value = kernels.kernel_distance(inputs.images, inputs.reference)
    return _kernel_spread(value, inputs, kernels.weighted_mmd, kernels.polynomial_kernel, 1)


def _cmmd(inputs: Inputs) -> Estimate:
    assert inputs.reference is not None
    value = kernels.cmmd(inputs.images, inputs.reference)
    return _kernel_spread(value, inputs, kernels.weighted_cmmd, kernels.gaussian_kernel, 1000)


def _neighbours(inputs: Inputs, term: str) -> Estimate:
    assert inputs.reference is not None
    values = getattr(neighbours(inputs.images, inputs.reference), term)
    if term in ("precision", "density"):
        return _mean(values, inputs.prompts)
    ends = bootstrap_mean(values, np.arange(len(values)))
    assert ends is not None
    how = "bootstrap over reference images (1000)"
    return Estimate(value=float(values.mean()), low=ends[0], high=ends[1], interval=how)


def _diversity(inputs: Inputs) -> Estimate:
    values, groups = similarity.diversity(inputs.images, inputs.prompts)
    if not len(values):
        return Estimate(value=None, note="one image a prompt: set images_per_prompt to 2 or more")
    return _mean(values, groups, of_images=False)


def _near_duplicates(inputs: Inputs) -> Estimate:
    return _mean(similarity.near_duplicates(inputs.images, inputs.prompts), inputs.prompts)


STATISTICS: dict[str, Callable[[Inputs], Estimate]] = {
    "cosine": _cosine,
    "signed_cosine": functools.partial(_cosine, clip=False),
    "dot": _dot,
    "value": _value,
    "source_cosine": _source_cosine,
    "direction": _direction,
    "changed": functools.partial(_attributes, changed=True),
    "kept": functools.partial(_attributes, changed=False),
    "frechet": _frechet,
    "frechet_infinity": _frechet_infinity,
    "kernel": _kernel,
    "cmmd": _cmmd,
    "precision": functools.partial(_neighbours, term="precision"),
    "recall": functools.partial(_neighbours, term="recall"),
    "density": functools.partial(_neighbours, term="density"),
    "coverage": functools.partial(_neighbours, term="coverage"),
    "diversity": _diversity,
    "near_duplicates": _near_duplicates,
}
