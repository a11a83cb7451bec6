"""Features of one contender to a number with its interval: every statistic that `METRICS` names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

import bench.metrics.frechet as frechet
import bench.metrics.intervals as intervals
import bench.metrics.kernels as kernels
import bench.metrics.similarity as similarity
from bench.errors import InputError
from bench.metrics.feature_rows import Array, Rows
from bench.metrics.neighbours import neighbours

EXACT = 10_000
"""Images up to which a kernel distance's jackknife takes all pairs; above, first-order effects of a sample."""
JACKKNIFE = "Student's t over {} prompts, jackknife leaving one out"
INFINITY_FROM = 10
"""Images a dimension below which FID∞ is not tried: it is wrong there whatever the spectrum."""
INFINITY_BIAS = 1 / 3
"""Standard errors that FID∞ of draws from the reference's own Gaussian may miss 0 by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a statistic of one contender is computed from; row i of every array is image i."""

    images: Rows
    """(n, d)"""
    prompts: Array
    """(n,) 0 to G - 1, the number of each image's prompt: the unit of the interval."""
    texts: Rows | None = None
    """(n, d)"""
    sources: Rows | None = None
    """(n, d) of the image each image was generated from."""
    source_texts: Rows | None = None
    """(n, d) of what that image shows."""
    reference: Rows | None = None
    """(m, d); None with published statistics."""
    moments: frechet.Moments | None = None
    """Of the reference."""
    floor: Callable[[Sequence[int]], Array] | None = None
    """Numbers of images to the Fréchet distance of as many Gaussian draws from the reference; None: not known."""
    share: bool = False
    """Every image's value lies between 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    value: float | None
    """None: it could not be computed, and `note` says why."""
    low: float | None = None
    """95% interval; None: none could be computed."""
    high: float | None = None
    interval: str = "none"
    """How the interval was computed."""
    note: str = ""
    bias: float | None = None
    """Of a Fréchet distance: what a generator that equals the reference would score at this N; >= 0."""
    values: Array | None = None
    """(n,) the metric's value of each image alone; None for a number of the whole set."""
    effects: Array | None = None
    """(G,) effect of each prompt on the value; the differences of contenders are computed from them."""


def _estimate(value: float, effects: Array, compute: Callable[[], intervals.Interval]) -> Estimate:
    """The value with an interval where there are prompts enough for one."""
    if not np.isfinite(value) or not np.isfinite(effects).all():
        raise InputError(
            "a metric's value is not finite: the images, the extractor's weights or the scores hold NaN"
        )
    if len(effects) < 2:
        return Estimate(value=value, note="one prompt: no interval")
    ends = compute()
    few = f"fewer than {intervals.FEW_PROMPTS} prompts: the interval assumes that their scores are not skewed"
    return Estimate(
        value=value,
        low=ends.low,
        high=ends.high,
        interval=ends.method,
        effects=effects,
        note=few if len(effects) < intervals.FEW_PROMPTS else "",
    )


def mean_estimate(values: Array, prompts: Array, *, share: bool = False, of_images: bool = True) -> Estimate:
    """Mean of (n,) values with the prompt as the unit.

    Parameters
    ----------
    prompts: (n,) number of each value's prompt.
    share: the values lie between 0 and 1, and Wilson's interval is used.
    of_images: value i is that of image i, and is kept.
    """
    value, effects = float(np.mean(values)), intervals.mean_effects(values, prompts)
    compute = intervals.share_interval if share else intervals.mean_interval
    found = _estimate(value, effects, lambda: compute(value, effects))
    return replace(found, values=values) if of_images else found


def _left_out(value: float, left_out: Callable[[], Array], inputs: Inputs, share: bool = False) -> Estimate:
    """A number of the whole set with the interval of its jackknife; none with fewer than three prompts."""
    if int(inputs.prompts.max()) < 2:
        return Estimate(value=value, note="fewer than three prompts: no interval")
    return _from_effects(value, intervals.jackknife_effects(left_out()), share)


def _from_effects(value: float, effects: Array, share: bool = False) -> Estimate:
    if share:
        return _estimate(value, effects, lambda: intervals.share_interval(value, effects))
    return _estimate(value, effects, lambda: intervals.student_interval(value, effects, JACKKNIFE))


def _cosine(inputs: Inputs, clip: bool = True) -> Estimate:
    assert inputs.texts is not None
    return mean_estimate(similarity.cosine_scores(inputs.images, inputs.texts, clip=clip), inputs.prompts)


def _dot(inputs: Inputs) -> Estimate:
    """A logit (PickScore) or a share of attributes (miniature)."""
    assert inputs.texts is not None
    values = similarity.products(inputs.images, inputs.texts)
    return mean_estimate(values, inputs.prompts, share=inputs.share)


def _value(inputs: Inputs) -> Estimate:
    values = inputs.images[:][:, 0].astype(np.float64)
    return mean_estimate(values, inputs.prompts, share=inputs.share)


def _source_cosine(inputs: Inputs) -> Estimate:
    assert inputs.sources is not None
    return mean_estimate(similarity.cosines(inputs.images, inputs.sources), inputs.prompts)


def _direction(inputs: Inputs) -> Estimate:
    texts, sources, source_texts = inputs.texts, inputs.sources, inputs.source_texts
    assert texts is not None
    assert sources is not None
    assert source_texts is not None
    return mean_estimate(similarity.directions(inputs.images, sources, texts, source_texts), inputs.prompts)


def _attributes(inputs: Inputs, changed: bool) -> Estimate:
    assert inputs.texts is not None
    assert inputs.source_texts is not None
    values = similarity.attribute_shares(inputs.images, inputs.texts, inputs.source_texts, changed=changed)
    return mean_estimate(values, inputs.prompts, share=True)


def _frechet(inputs: Inputs) -> Estimate:
    reference, n = inputs.moments, len(inputs.images)
    assert reference is not None
    value = frechet.frechet_distance(frechet.moments(inputs.images), reference)
    found = _left_out(value, lambda: frechet.leave_out(inputs.images, reference, inputs.prompts), inputs)
    if inputs.floor is None:
        return found
    floor = float(inputs.floor([n])[0])
    note = f"bias: a generator that equals the reference would score {floor:.4g} at N = {n:,}"
    return replace(found, bias=floor, note="; ".join(text for text in (found.note, note) if text))


def _frechet_infinity(inputs: Inputs) -> Estimate:
    """FID∞, where its straight line holds; elsewhere None with the reason.

    Whether it holds depends on N, d and the spectrum of the features. Draws from a Gaussian with the
    reference's moments have distance 0 at infinite N: what FID∞ gives for them is its error.
    """
    reference, (n, d) = inputs.moments, inputs.images.shape
    assert reference is not None
    outside = "outside the domain of an extrapolation: kid has no bias at small N"
    if n < max(frechet.LEAST, INFINITY_FROM * d):
        return Estimate(value=None, note=f"{n:,} images are fewer than {INFINITY_FROM} x {d}, {outside}")
    value, shares = frechet.extrapolated(inputs.images, reference, 0)
    alone = intervals.jackknife_effects(frechet.leave_out(inputs.images, reference, np.arange(n)))
    count = int(inputs.prompts.max()) + 1
    effects = np.bincount(inputs.prompts, alone * shares) * count
    found = (
        _from_effects(value, effects) if count > 1 else Estimate(value=value, note="one prompt: no interval")
    )
    if inputs.floor is None or found.high is None or found.low is None:
        return found
    sizes = frechet.subset_sizes(n)
    missed = float(frechet.intercept_weights(sizes) @ inputs.floor(sizes.tolist()))
    error = intervals.standard_error(effects)
    if abs(missed) > INFINITY_BIAS * error:
        return Estimate(
            value=None,
            note=f"it would miss 0 by {missed:.3g} for a generator that equals the reference (standard error "
            f"{error:.3g}): {outside}",
        )
    return found


def _kernel_interval(
    value: float, inputs: Inputs, kernel: kernels.Kernel, *, scale: float, unbiased: bool, error: float = 0.0
) -> Estimate:
    """error: standard error that a choice of subsets adds to the value."""
    x, y, prompts = inputs.images, inputs.reference, inputs.prompts
    assert y is not None
    if len(x) <= EXACT:
        found = _left_out(
            value, lambda: scale * kernels.leave_out(x, y, prompts, kernel, unbiased=unbiased), inputs
        )
    else:
        found = _from_effects(value, scale * kernels.influence(x, y, prompts, kernel))
    if not error or found.effects is None:
        return found
    own = intervals.standard_error(found.effects)
    widened = _from_effects(value, found.effects * float(np.hypot(own, error) / own))
    return replace(widened, interval=f"{widened.interval}, and the choice of subsets")


def _kernel(inputs: Inputs) -> Estimate:
    if int(inputs.prompts.max()) < 1:
        return Estimate(value=None, note="one prompt: no two independent images to compare")
    assert inputs.reference is not None
    value, error = kernels.kernel_distance(inputs.images, inputs.reference, inputs.prompts)
    return _kernel_interval(value, inputs, kernels.polynomial_kernel, scale=1, unbiased=True, error=error)


def _cmmd(inputs: Inputs) -> Estimate:
    assert inputs.reference is not None
    value = kernels.cmmd(inputs.images, inputs.reference)
    return _kernel_interval(value, inputs, kernels.gaussian_kernel, scale=1000, unbiased=False)


def _neighbours(inputs: Inputs, term: str) -> Estimate:
    assert inputs.reference is not None
    found = neighbours(inputs.images, inputs.reference, inputs.prompts)
    values = getattr(found, term)
    if term in ("precision", "density"):
        return mean_estimate(values, inputs.prompts, share=term == "precision")
    left_out = getattr(found, f"{term}_left_out")
    return _left_out(float(values.mean()), lambda: left_out, inputs, share=True)


def _within_prompts(inputs: Inputs, compute: Callable[[Rows, Array], tuple[Array, Array]]) -> Estimate:
    """Mean over prompts of a number that the images of one prompt have together."""
    values, groups = compute(inputs.images, inputs.prompts)
    if not len(values):
        return Estimate(value=None, note="one image a prompt: set images_per_prompt to 2 or more")
    return mean_estimate(values, groups, of_images=False)


def _pair_mean(inputs: Inputs) -> Estimate:
    """Mean over prompts of the mean over a prompt's pairs of images; row i is pair i, of prompt `prompts[i]`."""
    if not len(inputs.images):
        return Estimate(value=None, note="one image a prompt: set images_per_prompt to 2 or more")
    _, members = np.unique(inputs.prompts, return_inverse=True)
    values = np.bincount(members, inputs.images[:][:, 0]) / np.bincount(members)
    return mean_estimate(values, np.arange(len(values)), of_images=False)


def _near_duplicates(inputs: Inputs) -> Estimate:
    if int(inputs.prompts.max()) < 1:
        return Estimate(value=None, note="one prompt: no other prompt's image to resemble")
    values, left_out = similarity.near_duplicates(inputs.images, inputs.prompts)
    found = _left_out(float(values.mean()), lambda: left_out, inputs, share=True)
    return replace(found, values=values)


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
    "diversity": functools.partial(_within_prompts, compute=similarity.diversity),
    "vendi": functools.partial(_within_prompts, compute=similarity.vendi),
    "pair_mean": _pair_mean,
    "near_duplicates": _near_duplicates,
}
