"""What a study's metrics need: which metrics they are, their networks and references, and how those get here."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import bench.metrics.references as references
import bench.scoring.mlperf as mlperf
from bench.errors import InputError, unknown
from bench.metrics.extractors import EXTRACTORS, clip_name
from bench.metrics.reference_fetch import fetch as fetch_reference
from bench.metrics.registry import METRICS, Metric
from bench.metrics.weights import Located, locate
from bench.metrics.weights import fetch as fetch_weights
from bench.study.study import Study

FEW = 10
"""Images a dimension of the features, below which a Fréchet distance is warned of."""


def plan(study: Study, protocol: str | None = None) -> dict[str, Metric]:
    """The study's metrics, and a protocol's, in the order they are shown; FID of few images with KID beside it.

    protocol: None: the study's own. Raises InputError: an unknown one, or the study is not what it asks for.
    """
    names, protocol = dict.fromkeys(study.file.metrics.names), protocol or study.file.metrics.protocol
    if protocol is not None:
        if protocol != mlperf.NAME:
            raise unknown("protocol", protocol, (mlperf.NAME,))
        mlperf.check(study)
        names |= dict.fromkeys(mlperf.NAMES)
    images = len(study.prompts) * study.file.images_per_prompt
    few = images < FEW * EXTRACTORS[METRICS["fid"].extractor].width and not _statistics_only(study)
    beside = [[name, "kid"] if name == "fid" and few else [name] for name in names]
    return {name: METRICS[name] for name in itertools.chain(*beside)}


def _statistics_only(study: Study) -> bool:
    """The reference is a mean and covariance without images, so that KID cannot be had."""
    named = study.file.metrics.reference or ""
    published = references.PUBLISHED.get(named)
    return Path(published.file if published else named).suffix == ".npz"


def extractor_of(metric: Metric, study: Study) -> str:
    """The extractor of a metric in a study: its own, or the study's CLIP."""
    if metric.extractor != "study":
        return metric.extractor
    return clip_name(study.file.metrics.clip, study.base)


def located(metrics: Mapping[str, Metric], study: Study) -> dict[str, Located]:
    """Extractors of the plan in order, each with its weights found."""
    names = dict.fromkeys(extractor_of(metric, study) for metric in metrics.values())
    return {name: locate(name) for name in names}


def fetch(study: Study) -> dict[str, Path]:
    """Brings the weights of every extractor of the study's metrics, and the published references they compare
    with: name to where they are."""
    metrics = plan(study)
    names = dict.fromkeys(extractor_of(metric, study) for metric in metrics.values())
    found = {name: fetch_weights(name) for name in names if name in EXTRACTORS}
    wanted = {reference_name(name, study) for name in metrics if METRICS[name].kind == "reference"}
    return found | {name: fetch_reference(name) for name in sorted(wanted & set(references.PUBLISHED))}


def wanting(study: Study) -> list[str]:
    """What keeps the study from being scored once its images are there: weights, references; a line each.

    Raises InputError: the study is not the protocol's, or an unknown CLIP.
    """
    metrics, said = plan(study), []
    contenders = {contender.name for contender in study.contenders}
    compared = {reference_name(name, study) for name, metric in metrics.items() if metric.kind == "reference"}
    steps: list[Callable[[], object]] = [
        *(functools.partial(locate, extractor_of(metric, study)) for metric in metrics.values()),
        *(functools.partial(references.resolve, name, study.base) for name in sorted(compared - contenders)),
    ]
    for step in steps:
        try:
            step()
        except InputError as error:
            said.append(str(error))
    return list(dict.fromkeys(said))


def reference_name(metric: str, study: Study) -> str:
    """What a metric compares with: a contender, or what `references.resolve` takes."""
    if METRICS[metric].passes:
        return mlperf.reference_name(study)
    assert study.file.metrics.reference is not None
    return study.file.metrics.reference
