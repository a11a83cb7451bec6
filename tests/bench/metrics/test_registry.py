"""The table of metrics: complete, and every name in it leads somewhere."""

from __future__ import annotations

from bench.metrics.extractors import EXTRACTORS
from bench.metrics.registry import METRICS
from bench.metrics.statistics import STATISTICS


def test_every_metric_has_a_statistic_and_says_what_it_cannot_tell() -> None:
    for name, metric in METRICS.items():
        assert metric.statistic in STATISTICS, name
        assert metric.tells
        assert metric.cannot
        assert metric.source


def test_every_metric_has_an_extractor_that_fits_its_kind() -> None:
    for name, metric in METRICS.items():
        if metric.extractor == "study":
            continue
        joint = EXTRACTORS[metric.extractor].joint
        assert joint in {"prompt": ("", "caption"), "source": ("", "source")}.get(metric.kind, ("",)), name
