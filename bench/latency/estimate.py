"""Samples of several passes to a time with its interval, and two runs to a ratio: the pass is the unit.

The samples of one pass share the machine's mood, so their number says nothing about how another run would
come out. Logarithms of the passes' medians are averaged; their spread over passes gives the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.records import Timing

LEAST_PASSES = 3
"""Passes below which there is no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    value: float
    """Seconds, or a ratio."""
    low: float | None
    """95%; None: too few passes."""
    high: float | None
    passes: int


def pass_medians(timing: Timing) -> np.ndarray:
    """(passes,) median seconds of each pass; of samples without passes (older folders) one of all."""
    if not timing.passes:
        return np.array([np.median(timing.seconds)])
    seconds, numbers = np.array(timing.seconds), np.array(timing.passes)
    return np.array([np.median(seconds[numbers == number]) for number in np.unique(numbers)])


def time_of(timing: Timing, level: float = 0.95) -> Interval:
    """Geometric mean of the passes' medians, with Student's t over their logarithms."""
    return _interval(np.log(pass_medians(timing)), level)


def calibrated(timing: Timing, kernel: Timing) -> np.ndarray:
    """(passes,) logarithm of each pass's median over the calibration kernel's in the same pass."""
    return np.log(pass_medians(timing)) - np.log(pass_medians(kernel))


def ratio(
    old: Sequence[float] | np.ndarray, new: Sequence[float] | np.ndarray, level: float = 0.95
) -> Interval:
    """How many times as long the new run takes: of two runs' `calibrated` passes, by Welch's t.

    What passes of one unchanged contender differ by after calibration is the null that the ratio is held to.
    """
    from scipy.stats import t

    old, new = np.asarray(old, dtype=float), np.asarray(new, dtype=float)
    gap, passes = float(new.mean() - old.mean()), min(len(old), len(new))
    if passes < LEAST_PASSES:
        return Interval(value=math.exp(gap), low=None, high=None, passes=passes)
    parts = [float(np.var(part, ddof=1)) / len(part) for part in (old, new)]
    error = math.sqrt(sum(parts))
    if not error:
        return Interval(value=math.exp(gap), low=math.exp(gap), high=math.exp(gap), passes=passes)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, (old, new), strict=True)
    )
    half = float(t.ppf((1 + level) / 2, freedom)) * error
    return Interval(value=math.exp(gap), low=math.exp(gap - half), high=math.exp(gap + half), passes=passes)


def percentile(samples: Sequence[float], q: float, level: float = 0.95) -> Interval | None:
    """A quantile with its distribution-free interval from order statistics; None: too few samples for both ends.

    p95 takes 110 samples. Source: David and Nagaraja 2003, Order Statistics, section 7.1.
    """
    from scipy.stats import binom

    ordered, n = np.sort(np.asarray(samples, dtype=float)), len(samples)
    low = int(binom.ppf((1 - level) / 2, n, q)) - 1
    high = int(binom.ppf((1 + level) / 2, n, q))
    if low < 0 or high >= n:
        return None
    return Interval(
        value=float(np.quantile(ordered, q)), low=float(ordered[low]), high=float(ordered[high]), passes=n
    )


def _interval(logs: np.ndarray, level: float) -> Interval:
    from scipy.stats import t

    middle, passes = float(logs.mean()), len(logs)
    if passes < LEAST_PASSES:
        return Interval(value=math.exp(middle), low=None, high=None, passes=passes)
    half = float(t.ppf((1 + level) / 2, passes - 1) * np.std(logs, ddof=1) / math.sqrt(passes))
    return Interval(
        value=math.exp(middle), low=math.exp(middle - half), high=math.exp(middle + half), passes=passes
    )
