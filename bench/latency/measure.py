"""The timing protocol: passes over all contenders, warmed up, a sync before every clock read, all samples kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

import bench.latency.conditions as conditions
from bench.device import default_dtype, device_name, matrix_rate, threads
from bench.errors import InputError
from bench.latency.blocks import (
    PART,
    Block,
    Call,
    Pipelines,
    Protocol,
    blocks_done,
    timed_block,
)
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

    A measurement of the same protocol that was interrupted goes on with the contender and batch size it was at; one
    that is whole is measured anew.

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
            (folder.path / PART).unlink(missing_ok=True)
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
    return before if len(before.passes) < protocol.passes else None


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
    """The document with one more pass: every block once, in an order that differs from pass to pass.

    What each block gave is written before the next one begins, so that an interrupted pass goes on after it.
    """
    order = np.random.default_rng(number).permutation(len(blocks)).tolist()
    rows, memory, joules = list(document.rows), dict(document.memory), dict(document.joules)
    taken = protocol.of_pass(number)
    done = blocks_done(folder, document.fingerprint, number)
    for block in (blocks[i] for i in order):
        if block.name in done:
            continue
        progress(f"pass {number + 1} of {protocol.passes}: {block.name}")
        calls = calls_of(study, folder, block.contender, block.batch, first=number * taken.samples)
        done[block.name] = timed_block(pipelines, block, calls, kernel, device, taken)
        part = {
            "fingerprint": document.fingerprint,
            "pass": number,
            "blocks": [asdict(one) for one in done.values()],
        }
        folder.write_json(PART, part)
    for block in (blocks[i] for i in order):
        one = done[block.name]
        rows = _joined(rows, one.rows, number)
        if one.memory is not None:
            memory[block.name] = max(one.memory, memory.get(block.name, 0))
        if one.joules is not None:
            joules[block.name] = (joules.get(block.name, 0.0) * number + one.joules) / (number + 1)
    last, found = conditions.read(device), list(done.values())
    middle = float(np.median([seconds for one in found for seconds in one.rows[-1].seconds]))
    shares = [one.others for one in found if one.others is not None]
    throttled = next((one.throttled for one in found if one.throttled), last.throttled)
    fastest = min([middle, *(before.kernel for before in document.passes)])
    others = max(shares, default=None)
    entry = LatencyPass(
        number=number,
        order=tuple(blocks[i].name for i in order),
        seconds=sum(one.seconds for one in found),
        kernel=middle,
        others=others,
        clock_mhz=last.clock_mhz,
        temperature=last.temperature,
        disturbed=conditions.disturbance(others, throttled, middle, fastest),
    )
    return replace(document, memory=memory, joules=joules, passes=(*document.passes, entry), rows=tuple(rows))


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
