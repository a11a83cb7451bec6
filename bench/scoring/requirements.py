"""What a study's metrics need: which metrics they are, their networks and references, and how those get here."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import bench.metrics.references as references
import bench.metrics.user_metrics as user_metrics
import bench.prompts.fetch as prompt_fetch
import bench.prompts.sets as prompt_sets
import bench.scoring.mlperf as mlperf
from bench.errors import InputError, unknown
from bench.metrics.extractors import EXTRACTORS, clip_name
from bench.metrics.questions import FORMS, Form, check_covered
from bench.metrics.reference_fetch import fetch as fetch_reference
from bench.metrics.registry import METRICS, Metric
from bench.metrics.user_metrics import Resolved
from bench.metrics.weights import Located, locate
from bench.metrics.weights import fetch as fetch_weights
from bench.store.download import download
from bench.study.file import OwnMetric
from bench.study.study import Study

FILE = "file"
"""In place of an extractor: the values are read from a table."""
VARIETY = 4
"""Images a prompt below which a metric of a prompt's variety is warned of."""
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
    others = user_metrics_of(study)
    known = METRICS | {name: resolved.metric for name, resolved in others.items()}
    metrics = {name: known[name] for name in itertools.chain(*beside)}
    for name, own in study.file.metrics.own.items():
        metrics[name] = file_metric(own) if own.file else known[name]
    return metrics


def user_metrics_of(study: Study) -> dict[str, Resolved]:
    """The study's own functions and commands, and what it names of installed packages.

    Raises InputError: one of them cannot be loaded.
    """
    found = {
        name: user_metrics.from_package(name)
        for name in study.file.metrics.names
        if name not in METRICS and name in user_metrics.installed()
    }
    for name, own in study.file.metrics.own.items():
        about = own.model_dump(exclude={"function", "command", "file"})
        if own.function:
            found[name] = user_metrics.from_function(name, own.function, study.base, about)
        elif own.command:
            found[name] = user_metrics.from_command(name, own.command, study.base, about)
    return found


def file_metric(own: OwnMetric) -> Metric:
    """A metric whose values are in a table."""
    return Metric(
        kind="prompt",
        higher_is_better=own.higher_is_better,
        extractor=FILE,
        statistic="value",
        source=own.source or f"file {own.file}",
        tells=own.tells or "what its author says",
        cannot=own.cannot or "not stated by its author",
        share=own.share,
    )


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
    own = {resolved.located.name: resolved.located for resolved in user_metrics_of(study).values()}
    return {name: own.get(name) or with_questions(locate(name), study) for name in names if name != FILE}


def with_questions(place: Located, study: Study) -> Located:
    """The extractor with its file of questions, where it asks those of a file.

    Raises InputError: there is none, it is not of the metric's form, or it does not cover the study's prompts.
    """
    if not place.extractor.questions:
        return place
    form = FORMS[place.extractor.questions]
    path = questions_file(study, form)
    if not path.is_file():
        raise InputError(
            f"{form.source} asks the questions of {form.name}, which is not at {path}: run `bench fetch` where there "
            "is a network, or name your own file in [metrics] questions"
        )
    check_covered(form.read(path), (prompt.text for prompt in study.prompts), path)
    return replace(place, questions=path)


def fetch(study: Study) -> dict[str, Path]:
    """Brings the weights of every extractor of the study's metrics, and the published references they compare
    with: name to where they are."""
    metrics = plan(study)
    names = dict.fromkeys(extractor_of(metric, study) for metric in metrics.values())
    found = {name: fetch_weights(name) for name in names if name in EXTRACTORS}
    if not study.file.metrics.questions:
        forms = {EXTRACTORS[name].questions for name in found} - {""}
        found |= {FORMS[form].name: _fetch_questions(FORMS[form]) for form in sorted(forms)}
    wanted = {reference_name(name, study) for name, metric in metrics.items() if metric.kind == "reference"}
    return found | {name: fetch_reference(name) for name in sorted(wanted & set(references.PUBLISHED))}


def questions_file(study: Study, form: Form) -> Path:
    """The study's own file of questions, or where the benchmark's lies once fetched."""
    named = study.file.metrics.questions
    return study.base / Path(named).expanduser() if named else _questions_place(form)


def _questions_place(form: Form) -> Path:
    """Where a benchmark's file of questions lies once fetched: beside its prompts."""
    return prompt_sets.paths(form.prompt_set)[0].parent / form.name


def _fetch_questions(form: Form) -> Path:
    """Brings a benchmark's file of questions; it may be that of its prompts."""
    place, entry = _questions_place(form), prompt_sets.find(form.prompt_set)
    if not place.is_file():
        prompt_fetch.fetch(form.prompt_set)
    if not place.is_file():
        url = prompt_fetch.address(entry, prompt_sets.SourceFile(path=form.file))
        download(url, place, f"check the network, or bring {form.name} there")
    return place


def wanting(study: Study) -> list[str]:
    """What keeps the study from being scored once its images are there: weights, references; a line each.

    Raises InputError: the study is not the protocol's, or an unknown CLIP.
    """
    metrics, said = plan(study), []
    contenders = {contender.name for contender in study.contenders}
    compared = {reference_name(name, study) for name, metric in metrics.items() if metric.kind == "reference"}
    steps: list[Callable[[], object]] = [
        *(functools.partial(located, {name: metric}, study) for name, metric in metrics.items()),
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
    if metric in mlperf.NAMES:
        return mlperf.reference_name(study)
    assert study.file.metrics.reference is not None
    return study.file.metrics.reference
