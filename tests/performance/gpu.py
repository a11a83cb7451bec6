"""Images a second and latency of the real architectures with random weights, against stock diffusers.

Claim: the pictures of `--optimize exact` and `max` are the same up to rounding, and sooner. Each figure is
held against the stock call (`pipeline(prompts)`) measured in the same process, and against the card's own
rate on a large bf16 product. Run through gpu.sh.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bench.models.architectures import flops
from bench.models.optimize import LEVELS
from bench.models.pipelines import load
from bench.models.staged import Pipeline
from bench.models.table import MODELS, contender
from bench.records import Contender

PROMPT = "a photograph of an astronaut riding a horse on a beach at sunset"
GOALS = {"sdxl-turbo@1": (2.0, 0.35), "sdxl@50": (2.0, 0.50), "lcm-xl@4": (None, None)}
"""Contender → (images a second over stock, share of the card's rate when batched)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    contender: str
    size: int
    batches: tuple[int, ...]
    levels: tuple[str, ...]
    seconds: float
    """What the case is thought to take on an H200; it is skipped, and said so, where less is left."""
    dtype: str = "bfloat16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    contender: str
    size: int
    dtype: str
    level: str
    """`stock` is the plain diffusers call."""
    batch: int
    seconds: tuple[float, ...]
    """Every sample, a call."""
    images_per_second: float
    encode_ms: float | None
    forward_ms: float | None
    decode_ms: float | None
    tflop: float
    """A picture."""
    share: float | None
    """Of the measured matrix rate."""
    over_stock: float | None
    """Images a second over stock diffusers at the same batch; at batch 1 the call in a loop."""
    memory_gib: float | None
    start_seconds: float | None
    """Load, compile and first call."""


LEVELS_ALL = ("stock", "none", "exact", "max")
REAL = (
    Case(contender="sdxl-turbo@1", size=512, batches=(1, 16), levels=LEVELS_ALL, seconds=150),
    Case(contender="sdxl@50", size=1024, batches=(1, 8), levels=("stock", "exact", "max"), seconds=220),
    Case(contender="lcm-xl@4", size=1024, batches=(1, 8), levels=("stock", "max"), seconds=90),
    # half precision, as the published 207 ms is
    Case(
        contender="sdxl-turbo@1",
        size=512,
        batches=(1,),
        levels=("stock", "exact"),
        seconds=40,
        dtype="float16",
    ),
)
TINY = tuple(
    Case(contender=name, size=64, batches=batches, levels=levels, seconds=5, dtype="float32")
    for name, batches, levels in (
        ("tiny-turbo@1", (1, 4), LEVELS_ALL),
        ("tiny-sdxl@3", (1,), ("stock", "exact")),
        ("tiny-lcm@4", (1,), ("stock", "exact")),
    )
)


def sync(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def timed(call: Callable[[], object], device: str, budget: float) -> tuple[float, ...]:
    """Seconds of each call after the caller's warm-up: three to thirty samples, as the budget allows."""
    found: list[float] = []
    while len(found) < 2 or (len(found) < 30 and sum(found) < budget):
        sync(device)
        start = time.perf_counter()
        call()
        sync(device)
        found.append(time.perf_counter() - start)
        if found[0] > budget:
            break
    return tuple(found)


def matrix_rate(device: str, side: int) -> float:
    """TFLOP/s of a square bf16 product, the best of twenty after a warm-up: what the card gives."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    seconds = timed(lambda: a @ b, device, 1.0)
    return 2 * side**3 / min(seconds) / 1e12


def stages(pipeline: Pipeline, who: Contender, batch: int, device: str) -> tuple[float, float, float]:
    """Median ms of encoding, of one forward (with its guidance), of decoding; a sync before each clock."""
    texts, seeds = [PROMPT] * batch, list(range(batch))
    short = replace(who, steps=min(who.steps or 1, 4))
    kept: tuple[list[float], list[float], list[float]] = ([], [], [])
    for _ in range(6):
        marks = [clock(device)]
        embeddings = pipeline.encode(texts, short)
        marks.append(clock(device))
        latents = pipeline.denoise(
            embeddings, seeds, short, on_step=lambda _, marks=marks: marks.append(clock(device))
        )
        forwards = np.diff(marks[1:])
        start = clock(device)
        pipeline.decode(latents)
        kept[0].append(marks[1] - marks[0])
        kept[1].extend(forwards)
        kept[2].append(clock(device) - start)
    encode, forward, decode = (1e3 * statistics.median(values[len(values) // 6 :]) for values in kept)
    return encode, forward, decode


def clock(device: str) -> float:
    sync(device)
    return time.perf_counter()


def measure(case: Case, device: str, rate: float, weights: str, budget: float) -> Iterator[Row]:
    """A row a level and batch; stock first, for the others are held against it."""
    base = contender(case.contender, MODELS)
    who = replace(base, size=case.size)
    tflop = flops(MODELS[who.model], who)["total"]
    stock: dict[int, float] = {}
    for level in case.levels:
        start = time.perf_counter()
        optimize = "none" if level == "stock" else level
        pipeline = load(
            MODELS[who.model], device=device, dtype=case.dtype, optimize=optimize, weights=weights
        )
        for batch in case.batches:
            run = (
                _stock_call(pipeline, who, batch) if level == "stock" else _harness_call(pipeline, who, batch)
            )
            pipeline.memory_peak()
            run(2)  # few steps: the kernels and graphs of this shape are chosen now
            sync(device)
            began = time.perf_counter() - start
            seconds = timed(lambda run=run, steps=who.steps or 1: run(steps), device, budget)
            median = statistics.median(seconds)
            if level == "stock":
                stock[batch] = batch / median
            per = (None, None, None) if level == "stock" else stages(pipeline, who, batch, device)
            peak = pipeline.memory_peak()
            yield Row(
                contender=case.contender, size=case.size, dtype=case.dtype, level=level, batch=batch,
                seconds=seconds, images_per_second=batch / median, encode_ms=per[0], forward_ms=per[1],
                decode_ms=per[2], tflop=tflop, share=tflop * batch / median / rate,
                over_stock=None if level == "stock" else batch / median / stock[batch],
                memory_gib=None if peak is None else peak / 2**30, start_seconds=began,
            )  # fmt: skip
            start = time.perf_counter()
        pipeline.close()
        del pipeline
        gc.collect()
        torch.compiler.reset()


def _stock_call(pipeline: Pipeline, who: Contender, batch: int) -> Callable[[int], object]:
    """What anybody writes: the pipeline called with prompts, numpy pictures out."""

    def run(steps: int) -> object:
        generators = [torch.Generator().manual_seed(seed) for seed in range(batch)]
        steps = min(steps, who.steps or 1)
        return pipeline.pipe(
            [PROMPT] * batch, num_inference_steps=steps, guidance_scale=who.guidance, height=who.size,
            width=who.size, generator=generators, output_type="np",
        ).images  # fmt: skip

    return run


def _harness_call(pipeline: Pipeline, who: Contender, batch: int) -> Callable[[int], object]:
    """What `bench generate` does for a batch; the prompts' embeddings are cached there, here they are not."""

    def run(steps: int) -> object:
        short = replace(who, steps=min(steps, who.steps or 1))
        embeddings = pipeline.encode([PROMPT] * batch, short)
        return pipeline.decode(pipeline.denoise(embeddings, list(range(batch)), short))

    return run


def closeness(case: Case, device: str, weights: str) -> dict[str, dict[str, float]]:
    """Level → largest and mean difference from `none`, in levels of 255, over four pictures."""
    who = replace(contender(case.contender, MODELS), size=case.size)
    who = replace(who, steps=min(who.steps or 1, 4))
    found: dict[str, np.ndarray] = {}
    for level in LEVELS:
        pipeline = load(MODELS[who.model], device=device, dtype=case.dtype, optimize=level, weights=weights)
        embeddings = pipeline.encode([PROMPT] * 4, who)
        found[level] = pipeline.decode(pipeline.denoise(embeddings, [1, 2, 3, 4], who)).astype(int)
        pipeline.close()
        torch.compiler.reset()
    apart = {level: np.abs(found[level] - found["none"]) for level in LEVELS if level != "none"}
    return {level: {"largest": float(d.max()), "mean": float(d.mean())} for level, d in apart.items()}


def profile(case: Case, device: str, weights: str, level: str) -> str:
    """The kernels that take the time, for one batch of the largest shape."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorded

    who = replace(contender(case.contender, MODELS), size=case.size)
    who = replace(who, steps=min(who.steps or 1, 2))
    pipeline = load(MODELS[who.model], device=device, dtype=case.dtype, optimize=level, weights=weights)
    run = _harness_call(pipeline, who, case.batches[-1])
    for _ in range(3):
        run(2)
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device != "cpu" else [])
    with recorded(activities=kinds) as record:
        run(2)
        sync(device)
    pipeline.close()
    key = "self_cpu_time_total" if device == "cpu" else "self_cuda_time_total"
    return record.key_averages().table(sort_by=key, row_limit=20, max_name_column_width=60)


def table(rows: list[Row], full: bool) -> str:
    head = ["contender", "px", "dtype", "level", "batch", "images/s", "ms/image", "share", "× stock"]
    head += ["encode ms", "forward ms", "decode ms", "TFLOP", "GiB", "start s", "N"] if full else []
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [row.contender, row.size, row.dtype, row.level, row.batch, f"{row.images_per_second:.2f}"]
        cells += [f"{1e3 / row.images_per_second:.1f}", percent(row.share), number(row.over_stock, 2)]
        if full:
            parts = (
                row.encode_ms,
                row.forward_ms,
                row.decode_ms,
                row.tflop,
                row.memory_gib,
                row.start_seconds,
            )
            cells += [*(number(part, 2) for part in parts), len(row.seconds)]
        lines.append([str(cell) for cell in cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def goals(rows: list[Row]) -> list[str]:
    """Each goal with what was reached, at the best level and batch."""
    told = []
    for name, (speed, share) in GOALS.items():
        ours = [
            row for row in rows if row.contender == name and row.level != "stock" and row.dtype == "bfloat16"
        ]
        loop = [row for row in rows if row.contender == name and row.level == "stock" and row.batch == 1]
        if not ours or not loop or speed is None or share is None:
            continue
        best = max(ours, key=lambda row: row.images_per_second)
        ratio = best.images_per_second / loop[0].images_per_second
        told.append(
            f"{name}: {ratio:.2f}× the stock call in a loop (goal {speed}×), {percent(best.share)} of the "
            f"matrix rate (goal {percent(share)}), at {best.level}, batch {best.batch}"
        )
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--tiny", action="store_true", help="tiny pipelines: tries the script, measures nothing"
    )
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--minutes", type=float, default=9.0)
    asked = parser.parse_args()
    if asked.device != "cpu" and not torch.cuda.is_available():
        print("torch sees no GPU here: nothing was measured. Try the script with --device cpu --tiny")
        return 2
    end = time.monotonic() + 60 * asked.minutes
    weights = "pretrained" if asked.tiny else "random"
    cases, device = TINY if asked.tiny else REAL, asked.device
    rate = matrix_rate(device, 256 if asked.tiny else 8192)
    name = "CPU" if device == "cpu" else torch.cuda.get_device_name()
    about = {
        "device": name, "torch": torch.__version__, "python": platform.python_version(),
        "matrix_rate_tflops": rate, "weights": "random", "tiny": asked.tiny,
        "window": "encode, denoise and decode to uint8 on the CPU; no image file is written",
    }  # fmt: skip
    print(f"{name}: {rate:.1f} TFLOP/s on a bf16 product", flush=True)
    rows: list[Row] = []
    skipped: list[str] = []
    for case in cases:
        if end - time.monotonic() < case.seconds:
            skipped.append(f"{case.contender} {case.dtype}: out of time")
            continue
        for row in measure(case, device, rate, weights, 0.2 if asked.tiny else 4.0):
            rows.append(row)
            print(table([row], full=False).splitlines()[-1], flush=True)
            save(asked.out, about, rows, skipped, {}, {})
    apart, kernels = {}, {}
    if end - time.monotonic() > (5 if asked.tiny else 90):
        apart = closeness(cases[0], device, weights)
    for case in cases[:2]:
        if end - time.monotonic() > (5 if asked.tiny else 45):
            kernels[case.contender] = profile(case, device, weights, "exact")
    save(asked.out, about, rows, skipped, apart, kernels)
    print("\n" + table(rows, full=False))
    print("\n".join([*goals(rows), *skipped, f"pixels apart from none: {apart}"]))
    return 0


def save(
    out: Path, about: dict, rows: list[Row], skipped: list[str], apart: dict, kernels: dict[str, str]
) -> None:
    """After each row, so that a run cut short leaves what it had."""
    out.mkdir(parents=True, exist_ok=True)
    data = {**about, "rows": [asdict(row) for row in rows], "skipped": skipped, "pixels_apart": apart}
    (out / "gpu.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    lines = [f"# {about['device']}, torch {about['torch']}, random weights", "", table(rows, full=True), ""]
    lines += [*goals(rows), *skipped, "", f"Window: {about['window']}.", f"Pixels apart from none: {apart}"]
    lines += [f"\n```\n{name}\n{text}\n```" for name, text in kernels.items()]
    (out / "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
