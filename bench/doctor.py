"""What of a study can run here, before it starts: device, memory, weights, prompts, metrics, disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.device import default_dtype, matrix_rate, memory_there
from bench.errors import InputError
from bench.models.availability import Availability
from bench.models.registry import Model
from bench.models.weight_size import weight_bytes
from bench.store.object_store import folder_at
from bench.store.references import read_reference
from bench.study.study import Study
from bench.sweep.forecast import forecast

BYTES_A_PIXEL = 1.6
"""Lossless WebP of generated images, at the effort we write with; noise takes 3.1."""

CROWDED = 0.8
"""Share of a GPU's memory that weights may take before the batch is short of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    what: str
    state: str
    """`ok`, `warning` or `error`"""
    message: str
    cure: str = ""


def examine(study: Study, results: Path, *, check: Callable[[Model], Availability]) -> list[Finding]:
    """Every finding, the good ones too."""
    return [
        _device(study),
        *_memory(study),
        *(_weights(model, check) for model in study.models.values() if model.kind != "imported"),
        _prompts(study),
        *([_references(study)] if study.references and study.edits else []),
        *_metrics(study),
        *_scoring_time(study),
        *_votes(study),
        *_edit(study, results),
        _disk(study, results),
    ]


def _edit(study: Study, results: Path) -> list[Finding]:
    """What `bench generate` would do to the study's folder, before it does."""
    folder = folder_at(results, study.name)
    if folder.read("study.toml") is None:
        return []
    try:
        found = forecast(study, folder)
    except InputError as error:
        return [
            Finding(what="folder", state="error", message=str(error), cure="restore the file from a copy")
        ]
    state = "error" if found.refused else "warning" if found.notes else "ok"
    return [Finding(what="folder", state=state, message=str(found), cure=found.refused)]


def proposal() -> dict[str, Any]:
    """What a new study compares on this machine: the reference study's contenders on a GPU, the suite's own miniature
    models without one."""
    import torch

    if torch.cuda.is_available():
        names = ["sdxl-turbo@1", "sdxl-turbo@4", "sdxl@50"]
        return {"contenders": names, "prompts": "parti", "size": 512, "metrics": ["clip_score"]}
    names = ["mini-turbo@1", "mini-turbo@4", "mini-sdxl@50"]
    return {"contenders": names, "prompts": "miniature", "size": 64, "metrics": ["scene_accuracy"]}


def _prompts(study: Study) -> Finding:
    """Shipped and fetched sets are held to their hash when they are read; a user's file has none to be held to."""
    own = study.file.prompts.file
    checked = f"read from {own}" if own else f"set {study.file.prompts.set}, hash verified"
    return Finding(what="prompts", state="ok", message=f"{len(study.prompts)} prompts, {checked}")


def _device(study: Study) -> Finding:
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Finding(
            what="device",
            state="ok",
            message=f"{torch.cuda.device_count()} × {properties.name}, {properties.total_memory / 2**30:.0f} GiB",
        )
    if study.file.generate.device == "cuda":
        return Finding(
            what="device", state="error", message="no GPU, and the study asks for one", cure="use a GPU node"
        )
    large = [model.name for model in study.models.values() if model.size >= 512 and model.kind != "imported"]
    if large:
        return Finding(
            what="device",
            state="warning",
            message=f"no GPU: {', '.join(large)} will take minutes an image on {torch.get_num_threads()} CPU threads",
            cure="use a GPU node",
        )
    return Finding(what="device", state="ok", message=f"CPU, {torch.get_num_threads()} threads")


def _memory(study: Study) -> list[Finding]:
    """Whether the largest model fits; one is loaded at a time. What a batch needs comes on top of its weights."""
    import torch

    drawn = [model for model in study.models.values() if model.kind != "imported"]
    if not drawn:
        return []
    on_gpu = torch.cuda.is_available() and study.file.generate.device != "cpu"
    wanted = study.file.generate.dtype
    sizes = {
        m.name: weight_bytes(m, wanted or default_dtype(m.dtype, "cuda" if on_gpu else "cpu")) for m in drawn
    }
    known = {name: size for name, size in sizes.items() if size is not None}
    missing = [name for name in sizes if name not in known]
    more = f"; not known before their weights are here: {', '.join(missing)}" if missing else ""
    if not known:
        return [
            Finding(what="memory", state="warning", message=more.removeprefix("; "), cure="bench fetch STUDY")
        ]
    there = memory_there("cuda" if on_gpu else "cpu")
    return [_fit(known, there, "GPU" if on_gpu else "machine", more)]


def _fit(sizes: dict[str, int], there: int, what: str, more: str) -> Finding:
    """sizes: bytes of weights a model; there: bytes a GPU, or of the machine."""
    largest = max(sizes, key=lambda name: sizes[name])
    message = f"{largest} takes {_size(sizes[largest])} of the {what}'s {_size(there)}, the batch apart{more}"
    if sizes[largest] > there:
        small = [name for name in sizes if sizes[name] <= CROWDED * there]
        fits = f" (only these fit: {', '.join(small)})" if small else ""
        return Finding(what="memory", state="error", message=message, cure=f"use a larger {what}{fits}")
    if sizes[largest] > CROWDED * there:
        cure = "little is left for the batch: --batch-size auto finds what fits"
        return Finding(what="memory", state="warning", message=message, cure=cure)
    return Finding(what="memory", state="ok", message=message)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _weights(model: Model, check: Callable[[Model], Availability]) -> Finding:
    """What was checked of a model's files, or what is wrong with them; of a gated one, how to get in."""
    found = check(model)
    if found.here:
        return Finding(what=model.name, state="ok", message=found.message)
    fetch = "bench fetch STUDY" if found.gated or "bench fetch" in found.message else ""
    cure = f"{found.gated}, then {fetch}" if found.gated else fetch
    return Finding(
        what=model.name, state="error", message=found.message.removesuffix(": `bench fetch`"), cure=cure
    )


def _references(study: Study) -> Finding:
    """Every reference is opened: a bad one is reported before the sweep begins."""
    bad: list[str] = []
    for prompt in study.prompts:
        try:
            read_reference((study.references or Path()) / str(prompt.reference))
        except InputError as error:
            bad.append(str(error))
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return Finding(what="references", state="error", message=bad[0] + more, cure="mend or replace them")
    return Finding(what="references", state="ok", message=f"{len(study.prompts)} images to start from")


def _metrics(study: Study) -> list[Finding]:
    """The networks and references that the metrics need, each that is wanting."""
    from bench.scoring.requirements import wanting

    if not (study.file.metrics.names or study.file.metrics.protocol):
        return []
    problems = wanting(study)
    if not problems:
        return [Finding(what="metrics", state="ok", message="every network and reference is here")]
    return [
        Finding(what="metrics", state="error", message=message, cure="bench fetch STUDY")
        for message in problems
    ]


def _scoring_time(study: Study) -> list[Finding]:
    """How long the metrics of large networks will take, at this device's measured rate."""
    from bench.scoring.cost import REACHED, costs
    from bench.sweep.settings import resolve_device

    found = costs(study)
    if not found:
        return []
    rate = matrix_rate(resolve_device(study, "auto"), seconds=0.3)
    total = sum(cost.hours(rate) for cost in found)
    parts = ", ".join(
        f"{cost.metric} {cost.images:,} images x {cost.forwards * cost.tflop:.3g} TFLOP, {cost.hours(rate):,.1f} h"
        for cost in found
    )
    return [
        Finding(
            what="scoring time",
            state="warning" if total > 24 else "ok",
            message=f"{parts}: at {100 * REACHED:.0f}% of {rate:.3g} TFLOP/s, which this device was measured at",
            cure="use a GPU, or fewer prompts" if total > 24 else "",
        )
    ]


def _votes(study: Study) -> list[Finding]:
    """What the votes that the study asks for can show, before the first rater is invited; see `arena plan`."""
    from bench.ratings.designs import USUAL_VOTES_PER_RATER, Session, what_votes_show

    names, arena = [c.name for c in study.contenders], study.file.arena
    if "arena" not in study.file.model_fields_set or len(names) < 2 or len(study.prompts) < 2:
        return []
    pairs = [(names.index(a), names.index(b)) for a, b in study.comparisons]
    session = Session(
        answers=arena.limit or USUAL_VOTES_PER_RATER,
        questions=len(arena.questions),
        checks=arena.checks,
    )
    smallest, power, ceiling = what_votes_show(
        len(names), pairs, len(study.prompts), arena.votes_per_pair, session
    )
    message = (
        f"{arena.votes_per_pair:,} votes a comparison show a win rate of {smallest:.1%} in 80% of studies"
        if smallest
        else f"{arena.votes_per_pair:,} votes a comparison show no win rate below 99% in 80% of studies"
    )
    message += f", 55% in {power:.0%}"
    if power >= 0.8:
        return [Finding(what="votes", state="ok", message=message)]
    cure = "arena plan STUDY"
    if ceiling < 0.8:
        cure += f" ({len(study.prompts):,} prompts: at most {ceiling:.0%}, however many votes)"
    return [Finding(what="votes", state="warning", message=message, cure=cure)]


def _disk(study: Study, results: Path) -> Finding:
    images = len(study.prompts) * study.file.images_per_prompt
    need = sum(images * c.size**2 * BYTES_A_PIXEL for c in study.contenders)
    place = next(p for p in (results, *results.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free
    message = f"about {need / 2**30:.2f} GiB of images, {free / 2**30:.1f} GiB free"
    if need > free:
        return Finding(
            what="disk", state="error", message=message, cure="free some space, or --results elsewhere"
        )
    return Finding(what="disk", state="ok", message=message)
