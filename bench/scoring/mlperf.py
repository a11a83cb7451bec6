"""MLPerf Inference's accuracy test of SDXL: what it asks of a study, and whether a contender passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError
from bench.metrics.registry import METRICS
from bench.models.registry import MODELS
from bench.records import Score
from bench.study.study import Study

NAME = "mlperf-sdxl"
NAMES = tuple(name for name, metric in METRICS.items() if metric.passes)
REFERENCE = "mlperf-val2014"
PROMPT_SET = "coco2014-mlperf"
STEPS, GUIDANCE, SIDE, COUNT = 20, 8.0, 1024, 5000
NEGATIVE = "normal quality, low quality, worst quality, low res, blurry, nsfw, nude"
"""Of the reference run; images one a caption. Source: mlcommons/inference, text_to_image/backend_pytorch.py."""


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


def reference_name(study: Study) -> str:
    """The published statistics of COCO-2014 val: the study's own `.npz`, or the fetched one."""
    named = study.file.metrics.reference
    return named if named and Path(named).suffix == ".npz" else REFERENCE


def note(metric: str, value: float | None) -> str:
    """What stands beside a protocol's number wherever it is shown; empty for other metrics."""
    limits = METRICS[metric].passes if metric in NAMES else None
    if limits is None or value is None:
        return ""
    return (
        f"{'pass' if limits[0] <= value <= limits[1] else 'FAIL'}: {limits[0]:.8f} to {limits[1]:.8f} passes"
    )


def verdicts(rows: Sequence[Score], study: Study) -> list[Verdict]:
    """Pass or fail of each contender and metric of the protocol."""
    found = []
    for row in rows:
        limits = METRICS[row.metric].passes if row.metric in NAMES else None
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
    contender, departures = study.contender(name), [] if n == COUNT else [f"{n:,} images, not {COUNT:,}"]
    if contender.steps is None:
        return (*departures, "imported images: how they were made is not known")
    model, base = study.models[contender.model], MODELS["sdxl"]
    departures += [] if model.repository == base.repository else [f"weights of {model.repository}"]
    laid = (model.denoiser, model.lora, model.scheduler)
    departures += [] if laid == (None, (), None) else ["not the model's own UNet or scheduler"]
    departures += (
        [] if model.options.get("negative_prompt") == NEGATIVE else ["not the reference's negative prompt"]
    )
    departures += [] if contender.steps == STEPS else [f"{contender.steps} steps, not {STEPS}"]
    departures += (
        [] if contender.guidance == GUIDANCE else [f"guidance {contender.guidance:g}, not {GUIDANCE:g}"]
    )
    departures += [] if contender.size == SIDE else [f"{contender.size} px, not {SIDE}"]
    return (*departures, "a seed an image, not MLPerf's one latent")


def verdict_rows(rows: Sequence[Score], study: Study) -> list[dict[str, str]]:
    """The verdicts for the terminal."""
    return [
        {
            "contender": one.contender,
            "metric": one.metric,
            "value": f"{one.value:.5f}",
            "passes within": f"{one.low:.8f} to {one.high:.8f}",
            "verdict": "pass" if one.passed else "FAIL",
            "not as the reference run": "; ".join(one.departures),
        }
        for one in verdicts(rows, study)
    ]
