"""A study's images to score rows: which features, which number, how sure, and whether people agree."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import bench.metrics.features as features
import bench.metrics.frechet as frechet
import bench.metrics.intervals as intervals
import bench.metrics.networks.loading as networks
import bench.metrics.references as references
import bench.scoring.mlperf as mlperf
import bench.scoring.requirements as needs
from bench.errors import InputError
from bench.metrics.feature_rows import Array, Rows
from bench.metrics.frechet import Moments
from bench.metrics.registry import Metric
from bench.metrics.statistics import STATISTICS, Estimate, Inputs
from bench.metrics.weights import Located, locate
from bench.records import Reference as KeptReference
from bench.records import Score, iterate_rows, settings_hash
from bench.scoring.job import Job
from bench.scoring.scorable_images import Found, Key, census, common_keys, counted
from bench.scoring.score_file import kept_files, score_file
from bench.scoring.scored import Scored, write
from bench.store.images import RESIZE, File
from bench.store.study_folder import StudyFolder
from bench.study.study import Study


def score(
    folder: StudyFolder,
    study: Study,
    *,
    device: str = "cpu",
    allow_missing: bool = False,
    protocol: str | None = None,
    progress: features.Progress | None = None,
    compute: Callable[[Sequence[features.Wanted]], bool] | None = None,
) -> list[Score]:
    """Every metric of the study for every contender, and their differences paired by prompt.

    Writes `scores.json`; what each image got to `image-scores.jsonl`, and what each prompt adds to each score
    to `prompt-effects.jsonl`. Where `arena rate` has left votes, how far each metric agrees with them.
    Images are scored at the study's display size, all contenders on the same prompts and the same N.

    Parameters
    ----------
    allow_missing: score only the images that all contenders have, instead of refusing.
    protocol: adds a protocol's metrics; None: the study's own, if it names one.
    compute: completes the stores of features by several workers (`bench.scoring.feature_workers`), and says whether
        all is there; None: features are computed here, as they are needed.

    Raises InputError before anything is computed: an unknown metric, weights or a reference not here,
    images that are missing, black or damaged.
    """
    plan = needs.plan(study, protocol)
    located = needs.located(plan, study)
    found, faults = census(folder, study)
    keys = common_keys(study, found, faults, allow_missing) if located else []
    job = Job(
        folder=folder,
        study=study,
        found=found,
        faults=faults,
        keys=keys,
        metrics=plan,
        references=_references(plan, study, found, keys),
        device=device,
        progress=progress,
    )
    if compute is not None and not compute(_wanted(job, located)):
        raise KeyboardInterrupt
    scored: list[Scored] = []
    for extractor, place in located.items():
        own = {name: m for name, m in plan.items() if needs.extractor_of(m, study) == extractor}
        scored += _one_extractor(own, place, job)
    order = {name: i for i, name in enumerate(plan)}
    scored.sort(key=lambda one: order[one.row.metric])
    warnings = _warnings([one.row for one in scored], job, located)
    for name in plan:
        if name in study.file.metrics.own and (file := study.file.metrics.own[name].file):
            scored += score_file(study, name, study.base / file, plan[name], allow_missing)
    scored += kept_files(folder, study, set(plan))
    write(folder, scored, warnings)
    return [one.row for one in scored]


def _wanted(job: Job, located: Mapping[str, Located]) -> list[features.Wanted]:
    """The features of all images, a store each; those of a user's own functions are computed where they are asked
    for, since these cannot be sent to another process."""
    shown: dict[str, Any] = {"size": job.study.file.display_size, "fit": job.study.file.fit}
    wanted = []
    for extractor, place in located.items():
        if place.open is not None:
            continue
        own = {n: m for n, m in job.metrics.items() if needs.extractor_of(m, job.study) == extractor}
        images = [[of[key] for key in job.keys] for of in job.found.values()]
        begun = _sources(job)[0] if any(m.kind == "source" for m in own.values()) else []
        files = [file for of in images for file in of]
        if joint := place.extractor.joint:
            partners = (job.captions if joint == "caption" else begun) * len(images)
            wanted.append(features.wanted_pairs(files, partners, place, job.folder.features, **shown))
            continue
        stores: dict[Path, features.Wanted] = {}
        places = [(files + begun, job.folder.features, shown)]
        for name in own:
            reference = job.references.get(name)
            if reference is not None and reference.files and reference.name not in job.found:
                how = {"size": None, "fit": _reference_fit(job.study)}
                places.append(([*reference.files], reference.cache or job.folder.features, how))
        for more, cache, how in places:
            one = features.wanted_images(more, place, cache, **how)
            if one.store.folder in stores:  # two kinds of images in one store
                before = stores[one.store.folder].missing
                joined = {**dict(before.files), **dict(one.missing.files)}
                one = replace(one, missing=replace(before, files=list(joined.items())))
            stores[one.store.folder] = one
        wanted += stores.values()
    return wanted


def reference_statistics(
    reference: references.Reference, extractor: str, device: str, progress: features.Progress | None = None
) -> Moments:
    """Features and statistics of a built reference by one extractor, kept with it."""
    located, cache = locate(extractor), reference.cache
    assert cache is not None
    if located.extractor.joint:
        raise InputError(f"extractor '{extractor}' has no features of images alone: no statistics of it")
    network = functools.cache(lambda: networks.load(located, device))
    fit = REFERENCE_FIT
    rows = features.image_features(
        reference.files, located, network, cache, size=None, fit=fit, device=device, progress=progress
    )
    settings = features.shown_as(located, None, fit)
    return references.statistics_of(reference, rows, settings, cache)


REFERENCE_FIT = "crop"
"""How reference images that are not square become square where the study has no `fit`; part of the protocol."""


def _reference_fit(study: Study) -> str:
    return study.file.fit or REFERENCE_FIT


def _references(
    plan: Mapping[str, Metric], study: Study, found: Mapping[str, Found], keys: Sequence[Key]
) -> dict[str, references.Reference]:
    """What each metric of kind `reference` compares with."""
    known: dict[str, references.Reference] = {}
    wanting = {name: metric for name, metric in plan.items() if metric.kind == "reference"}
    for name, metric in wanting.items():
        named = needs.reference_name(name, study)
        if named in found:
            known[name] = references.from_files(named, [found[named][key] for key in keys])
        else:
            known[name] = references.resolve(named, study.base)
        if known[name].statistics and not metric.statistic.startswith("frechet"):
            raise InputError(
                f"metric '{name}' needs reference images; {known[name].name} holds only their mean and covariance"
            )
    return known


def _one_extractor(plan: Mapping[str, Metric], located: Located, job: Job) -> list[Scored]:
    """All rows of the metrics that share one extractor; the network is loaded once, or not at all."""
    network = functools.cache(lambda: networks.load(located, job.device))
    kinds = {metric.kind for metric in plan.values()}
    texts = source_texts = sources = None
    cut = np.zeros(len(job.keys), dtype=bool)
    captions = job.captions
    joint = located.extractor.joint
    if not joint and kinds & {"prompt", "source"} and _reads_text(plan):
        texts, cut = features.text_features(
            captions, located, network, job.folder.features, device=job.device
        )
    if "source" in kinds:
        begun, words = _sources(job)
        if not joint:
            sources = _features(begun, located, network, job)
            source_texts = (
                texts
                and features.text_features(words, located, network, job.folder.features, device=job.device)[0]
            )
    against = {name: _against(name, located, network, job) for name in plan}
    floors = {name: _floor(moments) for name, (_, moments) in against.items()}
    scored = []
    for contender, images in job.found.items():
        files = [images[key] for key in job.keys]
        if joint:
            partners = captions if joint == "caption" else begun
            rows, cut = features.pair_values(
                files, partners, located, network, job.folder.features,
                size=job.study.file.display_size, fit=job.study.file.fit, device=job.device,
                progress=job.progress,
            )  # fmt: skip
        else:
            rows = _features(files, located, network, job)
        for name, metric in plan.items():
            reference, moments = against[name]
            inputs = Inputs(
                images=rows,
                prompts=job.prompts,
                texts=texts,
                sources=sources,
                source_texts=source_texts,
                reference=reference,
                moments=moments,
                floor=floors[name],
                share=metric.share,
            )
            scored.append(_scored(name, metric, contender, inputs, located, job, int(cut.sum())))
    return scored


def _floor(moments: Moments | None) -> Callable[[Sequence[int]], Array] | None:
    """Numbers of images to the bias of a Fréchet distance to a reference; computed once for all contenders."""
    if moments is None:
        return None
    computed = functools.cache(lambda sizes: frechet.gaussian_floor(moments, sizes))
    return lambda sizes: computed(tuple(sizes))


def _reads_text(plan: Mapping[str, Metric]) -> bool:
    return any(m.kind == "prompt" or m.statistic in ("direction", "changed", "kept") for m in plan.values())


def _features(
    files: Sequence[tuple[str, File]], located: Located, network: Callable[[], Any], job: Job
) -> Rows:
    size = job.study.file.display_size
    return features.image_features(
        files,
        located,
        network,
        job.folder.features,
        size=size,
        fit=job.study.file.fit,
        device=job.device,
        progress=job.progress,
    )


def _sources(job: Job) -> tuple[list[tuple[str, File]], list[str]]:
    """(sha256, path) of the kept image that each image began from, and what that image shows."""
    kept = {row.prompt_id: row for row in iterate_rows(job.folder.references_file, KeptReference)}
    words = {prompt.id: prompt.reference_text for prompt in job.study.prompts}
    missing = [prompt for prompt, _ in job.keys if prompt not in kept]
    if missing:
        raise InputError(
            f"the reference image of prompt '{missing[0]}' is not in {job.folder.path}: "
            f"`bench generate {job.study.name}` keeps it there"
        )
    files: list[tuple[str, File]] = [
        (kept[prompt].sha256, job.folder.reference(prompt)) for prompt, _ in job.keys
    ]
    return files, [words[prompt] or NEUTRAL for prompt, _ in job.keys]


NEUTRAL = "a picture"
"""What a reference shows where its prompt does not say: the direction then starts from no words at all."""


def _against(
    name: str, located: Located, network: Callable[[], Any], job: Job
) -> tuple[Rows | None, Moments | None]:
    """Features and moments of what a metric compares with."""
    reference = job.references.get(name)
    if reference is None:
        return None, None
    if reference.statistics is not None:
        return None, reference.statistics
    own = reference.name in job.found
    size, fit = (
        (job.study.file.display_size, job.study.file.fit) if own else (None, _reference_fit(job.study))
    )
    cache = reference.cache or job.folder.features
    rows = features.image_features(
        reference.files, located, network, cache, size=size, fit=fit, device=job.device, progress=job.progress
    )
    if job.metrics[name].statistic.startswith("frechet"):
        settings = features.shown_as(located, size, fit)
        return rows, references.statistics_of(reference, rows, settings, cache)
    return rows, None


def _scored(
    name: str, metric: Metric, contender: str, inputs: Inputs, located: Located, job: Job, cut: int
) -> Scored:
    against = job.references.get(name)
    if against is not None and against.name == contender:
        estimate = Estimate(value=None, note="is the reference")
    else:
        estimate = STATISTICS[metric.statistic](inputs)
    protocol = _protocol(name, metric, located, job)
    notes = [estimate.note, located.extractor.note, counted(job.faults[contender])]
    notes.append(mlperf.note(name, estimate.value))
    row = Score(
        metric=name,
        contender=contender,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=len(job.keys),
        interval=estimate.interval,
        higher_is_better=metric.higher_is_better,
        protocol=protocol,
        fingerprint=settings_hash(protocol),
        missing=job.faults[contender].total(),
        truncated=cut if metric.kind == "prompt" else 0,
        bias=estimate.bias,
        note="; ".join(note for note in notes if note),
    )
    return Scored(row=row, keys=job.keys, values=estimate.values, effects=estimate.effects)


def _protocol(name: str, metric: Metric, located: Located, job: Job) -> dict[str, Any]:
    found = {"metric": name, "source": metric.source, **located.protocol(), "n": len(job.keys)}
    size = job.study.file.display_size
    if located.extractor.native:
        found["display_size"] = "native"
    else:
        found |= {"display_size": size, "display_resize": RESIZE}
    if job.study.file.fit:
        found["fit"] = job.study.file.fit
    if metric.kind == "prompt":
        found.setdefault("captions", "the prompt; longer ones cut on the right, end token kept")
    reference = job.references.get(name)
    if reference is not None:
        found |= reference.protocol()
        found["reference_size"] = size if reference.name in job.found else "native"
        if reference.files and reference.name not in job.found:
            found["reference_fit"] = _reference_fit(job.study)
    return found


def _warnings(rows: Sequence[Score], job: Job, located: Mapping[str, Located]) -> list[str]:
    found = [f"{name}: {counted(count)}" for name, count in job.faults.items() if count.total() and rows]
    n = len(job.keys)
    if found:
        found.append(f"scored on the {n} images that every contender has")
    if rows and len(job.prompt_ids) < intervals.FEW_PROMPTS:
        found.append(
            f"{len(job.prompt_ids)} prompts are few: intervals of skewed scores are too short below "
            f"{intervals.FEW_PROMPTS}"
        )
    widths = {place.name: place.extractor.width for place in located.values()}
    for name in dict.fromkeys(row.metric for row in rows):
        first = next(row for row in rows if row.metric == name)
        d = widths.get(first.protocol["extractor"], 0)
        if job.metrics[name].statistic == "frechet" and n < needs.FEW * d:
            found.append(
                f"{name}: {n} images are fewer than {needs.FEW} x {d}, the features' dimension: biased upwards, "
                "only contenders of this study may be compared; kid has no such bias"
            )
        few = job.study.file.images_per_prompt < needs.VARIETY
        if few and job.metrics[name].statistic in ("diversity", "vendi", "pair_mean"):
            found.append(
                f"{name}: {needs.VARIETY} images a prompt or more tell variety from chance: images_per_prompt"
            )
        if first.truncated:
            found.append(f"{name}: {first.truncated} captions were longer than the text tower and cut")
        if "random weights" in first.note:
            found.append(f"{name}: the extractor has random weights; the number means nothing")
    return found
