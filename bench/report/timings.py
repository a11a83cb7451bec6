"""Timing samples → medians, their intervals, milliseconds an image by stage, time from keystroke to picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.latency.estimate import percentile, time_of
from bench.records import FELT_STAGES, KeyWait, Timing
from bench.report.results import Results, model_of
from bench.report.tables.form import Estimate

RESAMPLES = 500
FEWEST_FRAMES = 6
"""Below that many, a median of keystrokes has no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Milliseconds an image of one contender's stages, in order of time."""

    contender: str
    encode: float
    denoise: float
    decode: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """Milliseconds from keystroke to painted picture of one contender."""

    contender: str
    stages: Mapping[str, float]
    """Medians by stage, in FELT_STAGES."""
    total: Estimate
    """Median."""
    p95: float
    late: float
    """Per cent of pictures that were more than one keystroke behind when painted."""
    key: Estimate | None = None
    """Median from a keystroke to the first frame that reflects it, replaced keystrokes included; None: not timed."""
    key_p95: float | None = None
    replaced: float | None = None
    """Per cent of keystrokes whose own picture was replaced by newer text's."""


def dtype_of(results: Results, contender: str) -> str:
    """What the contender was timed in: the protocol names one for all, or one a model. Empty: unknown."""
    dtype = results.timing_protocol.get("dtype")
    if isinstance(dtype, Mapping):
        dtype = dtype.get(model_of(contender)[0])
    return str(dtype or "")


def total_of(timing: Timing | None) -> Estimate | None:
    """Milliseconds a call: over passes where there are passes, else over samples as older folders have them."""
    if timing is None or not timing.seconds:
        return None
    if not timing.passes:
        return median_of(timing.seconds)
    estimate = time_of(timing)
    return Estimate(
        value=1000 * estimate.value,
        low=None if estimate.low is None else 1000 * estimate.low,
        high=None if estimate.high is None else 1000 * estimate.high,
        n=estimate.passes,
    )


def p95_of(samples: Sequence[float]) -> Estimate | None:
    """Milliseconds; None: too few samples for an interval of it."""
    estimate = percentile(samples, 0.95)
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return Estimate(
        value=1000 * estimate.value, low=1000 * estimate.low, high=1000 * estimate.high, n=len(samples)
    )


def median_of(samples: Sequence[float]) -> Estimate:
    """Seconds in, milliseconds out."""
    low, high = median_interval(samples)
    return Estimate(
        value=1000 * median(samples),
        low=None if low is None else 1000 * low,
        high=None if high is None else 1000 * high,
        n=len(samples),
    )


def stages_of(results: Results, contender: str) -> Stages | None:
    """Milliseconds an image at the smallest batch timed."""
    timed = [t for t in results.timings if t.contender == contender and t.seconds]
    if not timed:
        return None
    batch = min(t.batch for t in timed)
    medians = {t.stage: (milliseconds(t) or 0.0) / batch for t in timed if t.batch == batch}
    parts = [medians.get(stage, 0.0) for stage in ("encode", "denoise", "decode")]
    return Stages(
        contender=contender,
        encode=parts[0],
        denoise=parts[1],
        decode=parts[2],
        total=medians.get("total", sum(parts)),
    )


def felt_of(results: Results) -> dict[str, Felt]:
    """By contender, in the study's order; others that were typed with follow."""
    names = dict.fromkeys((*results.contenders, *(row.contender for row in results.felt)))
    summaries = {}
    for name in names:
        rows = [row for row in results.felt if row.contender == name]
        if rows:
            totals = [row.total for row in rows]
            summaries[name] = Felt(
                contender=name,
                stages={s: 1000 * median([getattr(row, s) for row in rows]) for s in FELT_STAGES},
                total=median_of(totals),
                p95=1000 * quantile(totals, 0.95),
                late=100 * sum(row.behind > 1 for row in rows) / len(rows),
                **_keys([wait for wait in results.key_waits if wait.contender == name]),
            )
    return summaries


def _keys(waits: Sequence[KeyWait]) -> dict[str, Any]:
    """The fields of `Felt` about keystrokes."""
    if not waits:
        return {}
    seconds = [wait.seconds for wait in waits]
    low, high = _frames_interval(waits)
    return {
        "key": Estimate(value=1000 * median(seconds), low=low, high=high, n=len(waits)),
        "key_p95": 1000 * quantile(seconds, 0.95),
        "replaced": 100 * sum(wait.replaced for wait in waits) / len(waits),
    }


def _frames_interval(waits: Sequence[KeyWait], level: float = 0.95) -> tuple[float | None, float | None]:
    """Percentile bootstrap of the median in milliseconds, frames drawn anew: keystrokes that share one are one event.

    Rows are in order of time, and a keystroke that was not replaced ends a frame. (None, None) below six frames.
    """
    import numpy as np

    frame = np.concatenate([[0], np.cumsum([not wait.replaced for wait in waits])[:-1]])
    frames = [np.flatnonzero(frame == f) for f in np.unique(frame)]
    if len(frames) < FEWEST_FRAMES:
        return None, None
    seconds = np.array([wait.seconds for wait in waits])
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(frames), (RESAMPLES, len(frames)))
    medians = [np.median(seconds[np.concatenate([frames[f] for f in row])]) for row in drawn]
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return 1000 * float(low), 1000 * float(high)


def seconds_an_image(results: Results, contender: str) -> Estimate | None:
    """Median seconds an image at the smallest batch that was timed."""
    timed = [t for t in results.timings if t.contender == contender and t.stage == "total" and t.seconds]
    if not timed:
        return None
    timing = min(timed, key=lambda t: t.batch)
    total = total_of(timing)
    assert total is not None
    assert total.value is not None
    scale = 1000 * timing.batch
    low, high = total.low, total.high
    return Estimate(
        value=total.value / scale,
        low=None if low is None else low / scale,
        high=None if high is None else high / scale,
        n=total.n,
    )


def median_interval(samples: Sequence[float], level: float = 0.95) -> tuple[float | None, float | None]:
    """Distribution-free interval of the median from order statistics; (None, None) below six samples.

    The largest k with 2 P(Binomial(n, 1/2) < k) <= 1 - level gives the k-th smallest and k-th largest.
    """
    ordered = sorted(samples)
    n = len(ordered)
    term = below = math.exp(-n * math.log(2)) if n < 1000 else 0.0
    k = 0
    if n >= 1000:
        k = math.floor(n / 2 - 1.959964 * math.sqrt(n) / 2)
    else:
        while 2 * below <= 1 - level:
            k += 1
            term *= (n - k + 1) / k
            below += term
    return (ordered[k - 1], ordered[n - k]) if k else (None, None)


def median(samples: Sequence[float]) -> float:
    return quantile(samples, 0.5)


def milliseconds(timing: Timing | None) -> float | None:
    """A call of a stage, by the estimator of `total_of`, so that figures and tables have one number."""
    total = total_of(timing)
    return None if total is None else total.value


def quantile(samples: Sequence[float], q: float) -> float:
    """Linear interpolation between order statistics, as numpy's default."""
    ordered = sorted(samples)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
