"""MLPerf Inference's accuracy test of SDXL: what it asks of a study, and whether a contender passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.metrics import references
from bench.metrics.table import METRICS
from bench.metrics.weights import find_file
from bench.models.table import MODELS
from bench.records import InputError, Score, cache_folder
from bench.study import Study

NAME = "mlperf-sdxl"
NAMES = tuple(name for name, metric in METRICS.items() if metric.passes)
STATISTICS = "val2014.npz"
PROMPT_SET = "coco2014-mlperf"
STEPS, GUIDANCE, SIDE, COUNT = 20, 8.0, 1024, 5000
"""Of the reference run; images one a caption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    contender: str
    metric: str
    value: float
    low: float
    """Least value that passes."""
    high: float
    passed: bool
    departures: tuple[str, ...]
    """In what the contender is not the reference run: then the limits are not about it."""


def check(study: Study) -> None:
    """Raises InputError: the study's prompts are not the protocol's 5,000 captions, one image each."""
    if study.file.prompts.set != PROMPT_SET or len(study.prompts) != COUNT:
        raise InputError(
            f"--protocol {NAME} is about the {COUNT:,} captions of prompt set '{PROMPT_SET}'; study "
            f"'{study.name}' has {len(study.prompts):,} of '{study.file.prompts.set or 'its own file'}': set "
            f'[prompts] set = "{PROMPT_SET}" and leave count out'
        )
    if study.file.images_per_prompt != 1:
        raise InputError(f"--protocol {NAME} takes one image a caption: set images_per_prompt = 1")


def reference(study: Study) -> references.Reference:
    """The published statistics of COCO-2014 val: the study's own `.npz`, or one among the weights.

    Raises InputError where there is none.
    """
    named = study.file.metrics.reference
    if named and Path(named).suffix == ".npz":
        return references.resolve(named, study.base)
    found = find_file(STATISTICS)
    if found is None:
        raise InputError(
            f"--protocol {NAME} compares with MLPerf's {STATISTICS} (mlcommons/inference, "
            f"text_to_image/tools): put it into {cache_folder() / 'weights'}, or name it in "
            "[metrics] reference"
        )
    return references.resolve(str(found), Path())


def verdicts(rows: Sequence[Score], study: Study) -> list[Verdict]:
    """Pass or fail of each contender and metric of the protocol."""
    found = []
    for row in rows:
        limits = METRICS[row.metric].passes
        if limits is None or row.value is None:
            continue
        low, high = limits
        found.append(
            Verdict(
                contender=row.contender,
                metric=row.metric,
                value=row.value,
                low=low,
                high=high,
                passed=low <= row.value <= high,
                departures=departures(study, row.contender, row.n),
            )
        )
    return found


def departures(study: Study, name: str, n: int) -> tuple[str, ...]:
    """What differs from the reference run. Every image starts from its own noise; MLPerf's from one latent."""
    contender, told = study.contender(name), [] if n == COUNT else [f"{n:,} images, not {COUNT:,}"]
    if contender.steps is None:
        return (*told, "imported images: how they were made is not known")
    home = study.models[contender.model].repository
    told += [] if home == MODELS["sdxl"].repository else [f"weights of {home}"]
    told += [] if contender.steps == STEPS else [f"{contender.steps} steps, not {STEPS}"]
    told += [] if contender.guidance == GUIDANCE else [f"guidance {contender.guidance:g}, not {GUIDANCE:g}"]
    told += [] if contender.size == SIDE else [f"{contender.size} px, not {SIDE}"]
    return (*told, "a seed an image, not MLPerf's one latent")


def verdict_rows(rows: Sequence[Score], study: Study) -> list[dict[str, str]]:
    """The verdicts for the terminal."""
    return [
        {
            "contender": one.contender,
            "metric": one.metric,
            "value": f"{one.value:.5f}",
            "passes within": f"{one.low:.5f} to {one.high:.5f}",
            "verdict": "pass" if one.passed else "FAIL",
            "not as the reference run": "; ".join(one.departures),
        }
        for one in verdicts(rows, study)
    ]
