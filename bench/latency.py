"""The one timing protocol: its own pass, warmed up, a device sync before every clock read, every sample kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from bench.device import default_dtype, device_name, matrix_rate, now, threads
from bench.errors import InputError
from bench.models.registry import Model
from bench.records import Contender, Timing, settings_hash
from bench.store import references
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
    " Pictures from pictures: denoise also holds the encoding of the reference, from uint8 pixels; timed at the "
    "commonest strength of the study alone."
)


PARTIAL = "latency-partial.json"
"""What a pass that has not ended has timed so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one timed call is given."""

    texts: tuple[str, ...]
    start: dict[str, Any]
    """Seeds, and in an image-to-image study references and strength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How often, and for how long at most."""

    warm_up: int = 2
    """Untimed calls before the first sample."""
    samples: int = 20
    """Samples a contender and batch size, unless the budget ends first."""
    least: int = 5
    """Samples taken whatever they cost."""
    budget: float = 5.0
    """Seconds a contender and batch size, once `least` samples are there."""
    forwards: int = 3
    """Calls whose single forwards are timed."""


def measure(
    study: Study,
    folder: StudyFolder,
    options: Options,
    protocol: Protocol,
    *,
    load: Loader,
    weights: str = "pretrained",
    progress: Callable[[str], None] = lambda label: None,
) -> dict[str, Any]:
    """Time every contender at batch 1 and at the study's batch; writes and returns latency.json.

    The document is `{"protocol": …, "fingerprint": …, "rows": [Timing…]}`. What was timed is kept after each contender
    and batch size, so that a pass that was killed goes on under the same protocol, on the same device.
    """
    device = resolve_device(study, options.device)
    plan: dict[str, Any] = folder.plan()
    dtype = options.dtype or study.file.generate.dtype
    models = {name: model for name, model in study.models.items() if model.kind != "imported"}
    dtypes = {name: dtype or default_dtype(model.dtype, device) for name, model in models.items()}
    about = {
        **asdict(protocol),
        "window": WINDOW + (EDIT_WINDOW if study.edits else ""),
        "device": device_name(device),
        "dtype": dtypes,
        "optimize": options.optimize,
        "weights": {name: _weights(model, weights) for name, model in study.models.items()},
        "threads": threads(device),
    }
    kept = folder.read_json(PARTIAL) or {}
    if kept.get("about") != about:
        kept = {"about": about, "rows": [], "memory": {}}
    for name, model in models.items():
        wanted = [
            (contender, batch)
            for contender in study.contenders
            if contender.model == name
            for batch in sorted({1, _batch(plan, name, options)})
            if not any((row["contender"], row["batch"]) == (contender.name, batch) for row in kept["rows"])
        ]
        if not wanted:
            continue
        pipeline = load(model, device=device, dtype=dtype, optimize=options.optimize, weights=weights)
        try:
            for contender, batch in wanted:
                progress(f"{contender.name}, batch {batch}")
                calls = calls_of(study, folder, contender, batch)
                timed = time_contender(pipeline, contender, calls, batch, device, protocol)
                if (peak := pipeline.memory_peak()) is not None:
                    kept["memory"][f"{contender.name} batch {batch}"] = peak
                kept["rows"] += [asdict(row) for row in timed]
                folder.write_json(PARTIAL, kept)
        finally:
            pipeline.close()
    order = {contender.name: number for number, contender in enumerate(study.contenders)}
    rows = sorted(
        (row for row in kept["rows"] if row["contender"] in order), key=lambda row: order[row["contender"]]
    )
    document = {
        "protocol": {**about, "matrix_tflops": matrix_rate(device)},
        "fingerprint": settings_hash(about),  # without the rate, which no two runs measure alike
        "memory": kept["memory"],
        # an edit takes part of its steps and encodes a picture: another count
        "tflop": {
            c.name: work
            for c in study.contenders
            if not study.edits and (work := _work(study.models[c.model], c))
        },
        "rows": rows,
    }
    folder.write_json("latency.json", document)
    (folder.path / PARTIAL).unlink(missing_ok=True)
    return document


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
    stages["forward"] = tuple(forwards)
    if not forwards:
        del stages["forward"]
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


def calls_of(study: Study, folder: StudyFolder, contender: Contender, batch: int) -> Iterator[Call]:
    """Endless calls over the study's own prompts, in order; of an image-to-image study those of one strength."""
    (strength, _), *_ = Counter(prompt.strength for prompt in study.prompts).most_common()
    alike = [prompt for prompt in study.prompts if prompt.strength == strength]
    at = 0
    while True:
        chosen = [alike[(at + i) % len(alike)] for i in range(batch)]
        at += batch
        start: dict[str, Any] = {"seeds": [seed_of(p.id, 0) for p in chosen]}
        if study.edits:
            pictures = references.reference_pixels(folder, chosen, contender.size)
            start |= {"references": pictures, "strength": strength}
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
