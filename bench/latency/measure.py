"""The timing protocol: passes over all contenders, warmed up, a sync before every clock read, all samples kept."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

import bench.latency.conditions as conditions
from bench.device import default_dtype, device_name, matrix_rate, now, threads
from bench.errors import InputError
from bench.latency.conditions import calibration
from bench.models.registry import Model
from bench.records import Contender, LatencyPass, Timing, settings_hash
from bench.store import references
from bench.store.documents import Latency, read_latency, write_latency
from bench.store.study_folder import StudyFolder
from bench.study.study import Study
from bench.sweep.settings import Options, resolve_device
from bench.sweep.work import seed_of
from bench.sweep.worker import Loader

WINDOW = (
    "encode: prompt text to embeddings, tokeniser included; denoise: initial noise to latents; decode: latents to "
    "uint8 pixels in host memory; total: the three in one window; forward: one call of the denoising network, "
    "timed in separate calls because its syncs slow the rest. Saving the file is not in any window. A pipeline class "
    "that is called whole and does not show where its stages part has its total alone."
)
EDIT_WINDOW = (
    " Image-to-image: denoise also holds the encoding of the reference, from uint8 pixels; timed at the "
    "commonest strength of the study alone."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one timed call is given."""

    texts: tuple[str, ...]
    start: dict[str, Any]
    """Seeds, and in an image-to-image study references and strength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How often, and for how long at most."""

    passes: int = 5
    """Rounds over all contenders, each in an order of its own; the unit of every interval."""
    warm_up: int = 2
    """Untimed calls before the samples of the first pass; one before those of each later pass."""
    samples: int = 20
    """Samples a contender and batch size over all passes, unless the budget ends first."""
    least: int = 5
    """Samples over all passes that are taken whatever they cost."""
    budget: float = 5.0
    """Seconds a contender and batch size over all passes, once `least` samples are there."""
    forwards: int = 3
    """Calls whose single forwards are timed, at most one a pass."""

    def of_pass(self, number: int) -> Protocol:
        """What one pass takes of it."""
        return replace(
            self,
            passes=1,
            warm_up=self.warm_up if number == 0 else min(self.warm_up, 1),
            samples=math.ceil(self.samples / self.passes),
            least=math.ceil(self.least / self.passes),
            budget=self.budget / self.passes,
            forwards=int(number < self.forwards),
        )


def measure(
    study: Study,
    folder: StudyFolder,
    options: Options,
    protocol: Protocol,
    *,
    load: Loader,
    weights: str = "pretrained",
    progress: Callable[[str], None] = lambda label: None,
) -> Latency:
    """Time every contender at batch 1 and at the study's batch, in passes; writes latency.json after each.

    A measurement of the same protocol that was interrupted goes on with its next pass; one that is whole is
    measured anew.

    Parameters
    ----------
    load
        Opens a model's pipeline.
    weights
        `pretrained`, or `random`: the real architecture without its weights.
    progress
        Is given what is timed next.
    """
    device = resolve_device(study, options.device)
    plan: dict[str, Any] = folder.plan()
    blocks = [
        Block(contender=contender, batch=batch)
        for contender in study.contenders
        if study.models[contender.model].kind != "imported"
        for batch in sorted({1, _batch(plan, contender.model, options)})
    ]
    about = _about(study, protocol, options, weights, device)
    document = _begun(folder, about, protocol) or Latency(
        protocol={**about, "matrix_tflops": matrix_rate(device)},
        fingerprint=settings_hash(about),  # without the rate, which no two runs measure alike
        tflop={
            c.name: work
            for c in study.contenders
            # an edit takes part of its steps and encodes an image: another count
            if not study.edits and (work := _work(study.models[c.model], c))
        },
    )

    def pipeline_of(name: str) -> Any:
        dtype = options.dtype or study.file.generate.dtype
        model = study.models[name]
        return load(model, device=device, dtype=dtype, optimize=options.optimize, weights=weights)

    with Pipelines(pipeline_of) as pipelines:
        kernel = calibration(device)
        for number in range(len(document.passes), protocol.passes):
            document = _pass(
                document, number, blocks, pipelines, kernel, study, folder, device, protocol, progress
            )
            write_latency(folder, document)
    return document


def _about(study: Study, protocol: Protocol, options: Options, weights: str, device: str) -> dict[str, Any]:
    """What two measurements must share to be parts of one."""
    own = {name: model for name, model in study.models.items() if model.kind != "imported"}
    dtype = options.dtype or study.file.generate.dtype
    return {
        **asdict(protocol),
        "window": WINDOW + (EDIT_WINDOW if study.edits else ""),
        "device": device_name(device),
        "dtype": {name: dtype or default_dtype(model.dtype, device) for name, model in own.items()},
        "optimize": options.optimize,
        "weights": {name: _weights(model, weights) for name, model in study.models.items()},
        "threads": threads(device),
        "contenders": [c.name for c in study.contenders if c.model in own],
    }


def _begun(folder: StudyFolder, about: dict[str, Any], protocol: Protocol) -> Latency | None:
    """A measurement of the same protocol that has passes left to do."""
    before = read_latency(folder)
    if before is None or before.fingerprint != settings_hash(about):
        return None
    return before if 0 < len(before.passes) < protocol.passes else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What is timed in one go within a pass."""

    contender: Contender
    batch: int
    """Images a call."""

    @property
    def name(self) -> str:
        return f"{self.contender.name} batch {self.batch}"


class Pipelines:
    """The models' pipelines, kept open between passes while the device has room, else opened anew."""

    def __init__(self, load: Callable[[str], Any]) -> None:
        self.load, self.open = load, {}

    def __enter__(self) -> Pipelines:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __getitem__(self, model: str) -> Any:
        if model not in self.open:
            import torch

            try:
                self.open[model] = self.load(model)
            except torch.OutOfMemoryError:
                if not self.open:
                    raise
                self._close()
                self.open[model] = self.load(model)
        return self.open[model]

    def _close(self) -> None:
        for pipeline in self.open.values():
            pipeline.close()
        self.open = {}


def _pass(
    document: Latency,
    number: int,
    blocks: Sequence[Block],
    pipelines: Pipelines,
    kernel: Callable[[], float],
    study: Study,
    folder: StudyFolder,
    device: str,
    protocol: Protocol,
    progress: Callable[[str], None],
) -> Latency:
    """The document with one more pass: every block once, in an order that differs from pass to pass."""
    order = np.random.default_rng(number).permutation(len(blocks)).tolist()
    rows, memory, joules = list(document.rows), dict(document.memory), dict(document.joules)
    kernels, began, taken = [], conditions.read(device), protocol.of_pass(number)
    for block in (blocks[i] for i in order):
        progress(f"pass {number + 1} of {protocol.passes}: {block.name}")
        pipeline = pipelines[block.contender.model]
        calls = calls_of(study, folder, block.contender, block.batch, first=number * taken.samples)
        before, start = kernel(), conditions.read(device)
        timed = time_contender(pipeline, block.contender, calls, block.batch, device, taken)
        end, after = conditions.read(device), kernel()
        kernels += [before, after]
        timed.append(
            Timing(
                contender=block.contender.name,
                stage="calibration",
                batch=block.batch,
                seconds=(before, after),
            )
        )
        rows = _joined(rows, timed, number)
        if (peak := pipeline.memory_peak()) is not None:
            memory[block.name] = max(peak, memory.get(block.name, 0))
        if start.joules is not None and end.joules is not None:
            totals = next(row for row in timed if row.stage == "total")
            images = block.batch * (len(totals.seconds) + taken.warm_up + taken.forwards)
            share = (end.joules - start.joules) / images
            joules[block.name] = (joules.get(block.name, 0.0) * number + share) / (number + 1)
    ended, middle = conditions.read(device), float(np.median(kernels))
    others = conditions.others(began, ended)
    fastest = min([middle, *(done.kernel for done in document.passes)])
    done = LatencyPass(
        number=number,
        order=tuple(blocks[i].name for i in order),
        seconds=ended.at - began.at,
        kernel=middle,
        others=others,
        clock_mhz=ended.clock_mhz,
        temperature=ended.temperature,
        disturbed=conditions.disturbance(others, ended.throttled, middle, fastest),
    )
    return replace(document, memory=memory, joules=joules, passes=(*document.passes, done), rows=tuple(rows))


def _joined(rows: Sequence[Timing], added: Sequence[Timing], number: int) -> list[Timing]:
    """The rows with a pass's samples behind those of the passes before."""
    found = {(row.contender, row.batch, row.stage): row for row in rows}
    for row in added:
        if not row.seconds:
            continue
        key = row.contender, row.batch, row.stage
        old = found.get(key, replace(row, seconds=(), passes=()))
        found[key] = replace(
            old,
            seconds=(*old.seconds, *row.seconds),
            passes=(*old.passes, *[number] * len(row.seconds)),
        )
    return list(found.values())


def time_contender(
    pipeline: Any, contender: Contender, calls: Iterator[Call], batch: int, device: str, protocol: Protocol
) -> list[Timing]:
    """Every sample of every stage of one contender at one batch size."""
    for _ in range(protocol.warm_up):
        _one(pipeline, contender, next(calls), device)
    taken: list[dict[str, float]] = []
    began = time.perf_counter()
    while len(taken) < protocol.samples and (
        len(taken) < protocol.least or time.perf_counter() - began < protocol.budget
    ):
        taken.append(_one(pipeline, contender, next(calls), device))
    stages = {stage: tuple(sample[stage] for sample in taken) for stage in taken[0]}
    began = time.perf_counter()
    forwards: list[float] = []
    for call in range(protocol.forwards):
        if call == 0 or time.perf_counter() - began < protocol.budget:
            forwards += _forwards(pipeline, contender, next(calls), device)
    if forwards:
        stages["forward"] = tuple(forwards)
    return [
        Timing(contender=contender.name, stage=stage, batch=batch, seconds=seconds)
        for stage, seconds in stages.items()
    ]


def _one(pipeline: Any, contender: Contender, call: Call, device: str) -> dict[str, float]:
    """Seconds of each stage of one call."""
    start = now(device)
    embeddings = pipeline.encode(call.texts, contender)
    encoded = now(device)
    latents = pipeline.denoise(embeddings, contender=contender, **call.start)
    denoised = now(device)
    pipeline.decode(latents)
    end = now(device)
    stages = {
        "encode": encoded - start,
        "denoise": denoised - encoded,
        "decode": end - denoised,
        "total": end - start,
    }
    split = getattr(pipeline, "split", None)  # of a pipeline that is called whole: where it was held
    if split is None or split >= {"encode", "decode"}:
        return stages
    return {"total": stages["total"]}


def _forwards(pipeline: Any, contender: Contender, call: Call, device: str) -> list[float]:
    """Seconds between the ends of successive steps; the first also holds what comes before the loop."""
    embeddings = pipeline.encode(call.texts, contender)
    marks = [now(device)]
    pipeline.denoise(
        embeddings, contender=contender, on_step=lambda step: marks.append(now(device)), **call.start
    )
    gaps = [b - a for a, b in pairwise(marks)]
    return gaps[1:] or gaps


def calls_of(
    study: Study, folder: StudyFolder, contender: Contender, batch: int, first: int = 0
) -> Iterator[Call]:
    """Endless calls over the study's own prompts, in order; of an image-to-image study those of one strength.

    first: number of the first call.
    """
    (strength, _), *_ = Counter(prompt.strength for prompt in study.prompts).most_common()
    alike = [prompt for prompt in study.prompts if prompt.strength == strength]
    at = first * batch
    while True:
        chosen = [alike[(at + i) % len(alike)] for i in range(batch)]
        at += batch
        start: dict[str, Any] = {"seeds": [seed_of(p.id, 0) for p in chosen]}
        if study.edits:
            pixels = references.reference_pixels(folder, chosen, contender.size)
            start |= {"references": pixels, "strength": strength}
        yield Call(texts=tuple(p.text for p in chosen), start=start)


def _work(model: Model, contender: Contender) -> float | None:
    """TFLOP an image, counted; None where the architecture is not at hand."""
    from bench.models.architectures import flops

    if model.kind == "imported":
        return None
    try:
        return flops(model, contender)["total"]
    except InputError:
        return None


def _batch(plan: dict[str, Any], model: str, options: Options) -> int:
    if isinstance(options.batch_size, int):
        return options.batch_size
    return int(plan.get(model, {}).get("shape", 1))


def _weights(model: Model, weights: str) -> str:
    return "random" if weights == "random" else model.weights
