"""A study's images to score rows: what is there, which features, which number, how sure."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bench.encoders as encoders
import bench.extractors as extractors
import bench.features as features
import bench.metrics as metrics
import bench.references as references
from bench.metrics import METRICS, Array, Metric
from bench.records import InputError, Score, settings_hash, unknown
from bench.store import StudyFolder
from bench.study import Study

Key = tuple[str, int]
"""prompt_id, replicate"""
Found = dict[Key, tuple[str, Path]]
"""sha256 and path of each sound image of one contender"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a statistic of one contender is computed from; row i of every array is image i."""

    images: Array
    """(n, d)"""
    prompts: Array
    """(n,) index of each image's prompt: the clusters of the bootstrap."""
    texts: Array | None
    """(n, d)"""
    reference: Array | None
    """(m, d); None with published statistics."""
    moments: metrics.Moments | None
    """Of the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    value: float | None
    low: float | None = None
    high: float | None = None
    interval: str = "none"
    note: str = ""


def score(
    folder: StudyFolder,
    study: Study,
    *,
    device: str = "cpu",
    allow_missing: bool = False,
    protocol: str | None = None,
    progress: features.Progress | None = None,
) -> list[Score]:
    """Every metric of the study for every contender; also written to the folder's `scores.json`.

    Images are scored at the study's display size, all contenders on the same prompts and the same N.
    Raises InputError before anything is computed: an unknown metric, weights or a reference not here,
    images that are missing, black or damaged (unless `allow_missing`: then only what all contenders have).
    """
    if protocol is not None:
        raise unknown("protocol", protocol, ())
    plan = {name: _metric(name) for name in study.file.metrics.names}
    located = _located(plan, study)
    found, faults = census(folder, study)
    keys = common_keys(study, found, faults, allow_missing) if plan else []
    reference = _reference(plan, study, found, keys)
    rows: list[Score] = []
    for extractor, place in located.items():
        mine = {name: m for name, m in plan.items() if _extractor(m, study) == extractor}
        rows += _rows(mine, place, folder, study, found, keys, reference, faults, device, progress)
    order = {name: i for i, name in enumerate(plan)}
    rows.sort(key=lambda row: order[row.metric])
    document = {"rows": [asdict(row) for row in rows], "warnings": _warnings(rows, faults, len(keys))}
    folder.write_json("scores.json", document)
    return rows


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]


def _extractor(metric: Metric, study: Study) -> str:
    if metric.extractor != "study":
        return metric.extractor
    return extractors.clip_name(study.file.metrics.clip, study.base)


def _located(plan: Mapping[str, Metric], study: Study) -> dict[str, extractors.Located]:
    """Extractors of the plan in order, each with its weights found."""
    names = dict.fromkeys(_extractor(metric, study) for metric in plan.values())
    return {name: extractors.locate(name) for name in names}


def census(folder: StudyFolder, study: Study) -> tuple[dict[str, Found], dict[str, Counter[str]]]:
    """Per contender: the sound images (sha256, path), and how many are `missing`, `black` or `damaged`."""
    made = folder.generations()
    found: dict[str, Found] = {c.name: {} for c in study.contenders}
    faults: dict[str, Counter[str]] = {c.name: Counter() for c in study.contenders}
    for contender in found:
        for prompt in study.prompts:
            for replicate in range(study.file.images_per_prompt):
                row = made.get((contender, prompt.id, replicate))
                fault = "missing" if row is None else "black" if row.black else folder.fault(row)
                if fault or row is None:
                    faults[contender][fault] += 1
                else:
                    path = folder.image(contender, prompt.id, replicate)
                    found[contender][prompt.id, replicate] = (row.sha256, path)
    return found, faults


def common_keys(
    study: Study,
    found: Mapping[str, Mapping[Key, Any]],
    faults: Mapping[str, Counter[str]],
    allow_missing: bool,
) -> list[Key]:
    """The images every contender has, in the study's order: all contenders stand on one N.

    Raises InputError where some are not there and that is not allowed, or none is left.
    """
    lacking = {name: count for name, count in faults.items() if count.total()}
    if lacking and not allow_missing:
        listed = "; ".join(f"{name}: {_counted(count)}" for name, count in lacking.items())
        raise InputError(
            f"images are not all there ({listed}): `bench generate {study.name}` makes them, or "
            "--allow-missing scores only the prompts that every contender has"
        )
    keys = [(p.id, r) for p in study.prompts for r in range(study.file.images_per_prompt)]
    keys = [key for key in keys if all(key in images for images in found.values())]
    if not keys:
        raise InputError(
            f"no prompt of study '{study.name}' has an image of every contender: generate them first"
        )
    return keys


def _counted(count: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(count.items()))


def _reference(
    plan: Mapping[str, Metric],
    study: Study,
    found: Mapping[str, Found],
    keys: list[Key],
) -> references.Reference | None:
    wanting = [name for name, metric in plan.items() if metric.kind == "reference"]
    if not wanting:
        return None
    name = study.file.metrics.reference
    if name is None:
        raise InputError(
            f"metric '{wanting[0]}' compares with other images: name them in [metrics] reference"
        )
    if name in found:
        return references.from_files(name, [found[name][key] for key in keys])
    reference = references.resolve(name, study.base)
    if reference.statistics is not None:
        for metric in wanting:
            if METRICS[metric].statistic not in ("frechet", "frechet_infinity"):
                raise InputError(
                    f"metric '{metric}' needs reference images; {name} holds only their mean and covariance"
                )
    return reference


def _rows(
    plan: Mapping[str, Metric],
    located: extractors.Located,
    folder: StudyFolder,
    study: Study,
    found: Mapping[str, Found],
    keys: list[Key],
    reference: references.Reference | None,
    faults: Mapping[str, Counter[str]],
    device: str,
    progress: features.Progress | None,
) -> list[Score]:
    """All rows of the metrics that share one extractor; the network is loaded once, or not at all."""
    network = functools.cache(lambda: encoders.load(located, device))
    size = study.file.display_size

    def of(files: list[tuple[str, Path]], cache: Path, side: int | None) -> Array:
        return features.image_features(files, located, network, cache, size=side, progress=progress)

    other, moments = None, None
    inside = study.file.metrics.reference in found
    if reference is not None and any(m.kind == "reference" for m in plan.values()):
        if reference.statistics is None:
            other = of(list(reference.files), reference.cache or folder.features, size if inside else None)
            moments = metrics.moments(other)
        else:
            moments = reference.statistics
    texts, cut = None, np.zeros(len(keys), dtype=bool)
    if any(m.kind == "prompt" for m in plan.values()):
        captions = {prompt.id: prompt.text for prompt in study.prompts}
        wanted = [captions[prompt_id] for prompt_id, _ in keys]
        texts, cut = features.text_features(wanted, located, network, folder.features)
    numbers = {prompt_id: i for i, prompt_id in enumerate(dict.fromkeys(p for p, _ in keys))}
    prompts = np.array([numbers[prompt_id] for prompt_id, _ in keys])
    rows = []
    for contender, images in found.items():
        rows_of = of([images[key] for key in keys], folder.features, size)
        inputs = Inputs(images=rows_of, prompts=prompts, texts=texts, reference=other, moments=moments)
        for name, metric in plan.items():
            against = reference if metric.kind == "reference" else None
            if against and inside and against.name == contender:
                estimate = Estimate(value=None, note="is the reference")
            else:
                estimate = STATISTICS[metric.statistic](inputs)
            protocol = _protocol(name, metric, located, size, len(keys), against, inside)
            truncated = int(cut.sum()) if metric.kind == "prompt" else 0
            rows.append(
                _row(name, metric, contender, estimate, len(keys), protocol, faults[contender], truncated)
            )
    return rows


def _protocol(
    name: str,
    metric: Metric,
    located: extractors.Located,
    size: int,
    n: int,
    reference: references.Reference | None,
    inside: bool,
) -> dict[str, Any]:
    found = {"metric": name, "source": metric.source, **located.protocol(), "n": n}
    if located.extractor.native:
        found["display_size"] = "native"
    else:
        found |= {"display_size": size, "display_resize": features.DISPLAY_RESIZE}
    if metric.kind == "prompt":
        found["captions"] = "the prompt; longer ones cut on the right, end token kept"
    if reference is not None:
        found |= reference.protocol() | {"reference_size": size if inside else "native"}
    return found


def _row(
    name: str,
    metric: Metric,
    contender: str,
    estimate: Estimate,
    n: int,
    protocol: dict[str, Any],
    faults: Counter[str],
    truncated: int,
) -> Score:
    notes = [estimate.note, protocol.get("note", ""), _counted(faults)]
    return Score(
        metric=name,
        contender=contender,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=n,
        interval=estimate.interval,
        higher_is_better=metric.higher_is_better,
        protocol=protocol,
        fingerprint=settings_hash(protocol),
        missing=faults.total(),
        truncated=truncated,
        note="; ".join(note for note in notes if note),
    )


def _warnings(rows: list[Score], faults: Mapping[str, Counter[str]], n: int) -> list[str]:
    found = [f"{name}: {_counted(count)}" for name, count in faults.items() if count.total() and rows]
    if found:
        found.append(f"scored on the {n} images that every contender has")
    for name in dict.fromkeys(row.metric for row in rows):
        mine = [row for row in rows if row.metric == name]
        if (
            METRICS[name].statistic == "frechet"
            and (d := _WIDTHS.get(mine[0].protocol["extractor"]))
            and n < 10 * d
        ):
            found.append(
                f"{name}: {n} images are fewer than 10 x {d}, the features' dimension: biased upwards, "
                "only contenders of this study may be compared; fid_infinity and kid lean on N less"
            )
        if mine[0].truncated:
            found.append(f"{name}: {mine[0].truncated} captions were longer than the text tower and cut")
        if "random weights" in mine[0].note:
            found.append(f"{name}: the extractor has random weights; the number means nothing")
    return found


_WIDTHS = {
    "inception-tf": 2048, "inception-clean": 2048, "inception-patch": 2048, "dinov2": 1024, "tiny-clip": 32,
    "clip-vit-g-14": 1024, "clip-vit-l-14": 768, "clip-vit-b-32": 512, "clip-vit-b-32-openai": 512,
}  # fmt: skip


def _mean(values: Array, prompts: Array, note: str = "") -> Estimate:
    ends = metrics.bootstrap_mean(values, prompts)
    value = float(np.mean(values))
    if ends is None:
        return Estimate(value=value, note=note or "one prompt: no interval")
    return Estimate(
        value=value, low=ends[0], high=ends[1], interval="bootstrap over prompts (1000)", note=note
    )


def _cosine(inputs: Inputs) -> Estimate:
    assert inputs.texts is not None
    return _mean(metrics.cosine_scores(inputs.images, inputs.texts), inputs.prompts)


def _dot(inputs: Inputs) -> Estimate:
    """Sum of products with the caption's row: a logit (PickScore) or a share of attributes (miniature)."""
    assert inputs.texts is not None
    return _mean((inputs.images.astype(np.float64) * inputs.texts).sum(1), inputs.prompts)


def _value(inputs: Inputs) -> Estimate:
    return _mean(inputs.images[:, 0].astype(np.float64), inputs.prompts)


def _resampled(value: float, inputs: Inputs, replicates: int, compute: Callable[[Array], Array]) -> Estimate:
    """The value with the spread of `compute` over reweightings (replicates, n)."""
    if len(np.unique(inputs.prompts)) < 2:
        return Estimate(value=value, note="one prompt: no interval")
    weights = metrics.bootstrap_weights(inputs.prompts, replicates, seed=0)
    low, high = metrics.bootstrap_normal(value, compute(weights))
    return Estimate(
        value=value,
        low=low,
        high=high,
        interval=f"1.96 bootstrap standard errors over prompts ({replicates})",
    )


def _replicates(inputs: Inputs) -> int:
    """An SVD of 2,000 images takes seconds, one of 50 a millisecond."""
    return 200 if len(inputs.images) <= 500 else 30


def _frechet(inputs: Inputs) -> Estimate:
    assert inputs.moments is not None
    space = metrics.WeightedFrechet(inputs.images, inputs.moments)
    value = metrics.frechet_distance(metrics.moments(inputs.images), inputs.moments)
    return _resampled(
        value, inputs, _replicates(inputs), lambda weights: np.array([space.distance(row) for row in weights])
    )


def _frechet_infinity(inputs: Inputs) -> Estimate:
    assert inputs.moments is not None
    space = metrics.WeightedFrechet(inputs.images, inputs.moments)
    value = space.infinity(np.ones(len(inputs.images), dtype=int), seed=0)
    return _resampled(
        value,
        inputs,
        30,
        lambda weights: np.array([space.infinity(row, seed=i) for i, row in enumerate(weights)]),
    )


def _kernel(inputs: Inputs) -> Estimate:
    assert inputs.reference is not None
    value = metrics.kernel_distance(inputs.images, inputs.reference)
    if len(inputs.images) > 5000:
        return Estimate(value=value, note="no interval above 5,000 images")
    return _resampled(
        value,
        inputs,
        1000,
        lambda weights: metrics.weighted_mmd(inputs.images, _head(inputs.reference), weights),
    )


def _cmmd(inputs: Inputs) -> Estimate:
    assert inputs.reference is not None
    x, y = inputs.images, inputs.reference
    return _resampled(
        float(metrics.cmmd(x, y)[0]), inputs, 200, lambda weights: metrics.cmmd(x, _head(y), weights)
    )


def _head(reference: Array | None) -> Array:
    """The first 5,000: enough for an interval, and the kernel matrix stays below 200 MB."""
    assert reference is not None
    return reference[:5000]


def _neighbours(inputs: Inputs, term: str) -> Estimate:
    assert inputs.reference is not None
    values = getattr(metrics.neighbours(inputs.images, inputs.reference), term)
    if term in ("precision", "density"):
        return _mean(values, inputs.prompts)
    ends = metrics.bootstrap_mean(values, np.arange(len(values)))
    assert ends is not None
    return Estimate(
        value=float(values.mean()),
        low=ends[0],
        high=ends[1],
        interval="bootstrap over reference images (1000)",
    )


def _diversity(inputs: Inputs) -> Estimate:
    values, groups = metrics.diversity(inputs.images, inputs.prompts)
    if not len(values):
        return Estimate(value=None, note="one image a prompt: set images_per_prompt to 2 or more")
    return _mean(values, groups)


def _near_duplicates(inputs: Inputs) -> Estimate:
    return _mean(metrics.near_duplicates(inputs.images, inputs.prompts), inputs.prompts)


STATISTICS: dict[str, Callable[[Inputs], Estimate]] = {
    "cosine": _cosine,
    "dot": _dot,
    "value": _value,
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
