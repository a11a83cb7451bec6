"""What is timed in one go: a contender at one batch size, between two runs of the calibration kernel.

Each block of a pass is written as soon as it is there, so that an interrupted pass goes on after it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import bench.latency.conditions as conditions
from bench.device import now
from bench.records import CALIBRATION, Contender, Timing, from_dict
from bench.store.study_folder import StudyFolder


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


PART = "latency-part.json"
"""What the blocks of a pass that is not whole yet have given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTimes:
    """One block of a pass, timed."""

    name: str
    rows: tuple[Timing, ...]
    """The calibration kernel's before and after it comes last."""
    memory: int | None
    """Peak bytes on the GPU."""
    joules: float | None
    """Of the GPU for one image."""
    seconds: float
    """With loading, from the end of the block before."""
    others: float | None
    """Share of all processors that other processes used meanwhile."""
    throttled: str


def blocks_done(folder: StudyFolder, fingerprint: str, number: int) -> dict[str, BlockTimes]:
    """The blocks of this pass that an interrupted call has timed, by name."""
    part = folder.read_json(PART) or {}
    if (part.get("fingerprint"), part.get("pass")) != (fingerprint, number):
        return {}
    where = str(folder.path / PART)
    return {
        one["name"]: BlockTimes(
            **{**one, "rows": tuple(from_dict(Timing, row, where) for row in one["rows"])}
        )
        for one in part["blocks"]
    }


def timed_block(
    pipelines: Pipelines,
    block: Block,
    calls: Iterator[Call],
    kernel: Callable[[], float],
    device: str,
    protocol: Protocol,
) -> BlockTimes:
    """Load what the block needs, and time it between two runs of the calibration kernel."""
    began = conditions.read(device)
    pipeline = pipelines[block.contender.model]
    before, start = kernel(), conditions.read(device)
    timed = time_contender(pipeline, block.contender, calls, block.batch, device, protocol)
    end, after = conditions.read(device), kernel()
    share = None
    if start.joules is not None and end.joules is not None:
        totals = next(row for row in timed if row.stage == "total")
        images = block.batch * (len(totals.seconds) + protocol.warm_up + protocol.forwards)
        share = (end.joules - start.joules) / images
    calibrated = Timing(
        contender=block.contender.name, stage=CALIBRATION, batch=block.batch, seconds=(before, after)
    )
    ended = conditions.read(device)
    return BlockTimes(
        name=block.name,
        rows=(*timed, calibrated),
        memory=pipeline.memory_peak(),
        joules=share,
        seconds=ended.at - began.at,
        others=conditions.others(start, end),
        throttled=end.throttled,
    )


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
