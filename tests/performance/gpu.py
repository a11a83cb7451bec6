"""Images a second and latency of the real architectures with random weights, against stock diffusers.

Claim: the pictures of `--optimize exact` and `max` are the same up to rounding, and sooner. Each figure is
held against the stock call (`pipeline(prompts)`) measured in the same process, and against the card's own
rate on a large bf16 product. Run through gpu.sh.

Jobs are done in order while time is left; another run with `--jobs` adds the others to the same table.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.generate import generate
from bench.latency import Call, Protocol, matrix_rate, time_contender
from bench.models.architectures import flops
from bench.models.optimize import LEVELS
from bench.models.pipelines import load
from bench.models.staged import Pipeline
from bench.models.table import MODELS, contender
from bench.plan import Options
from bench.records import Contender
from bench.store import StudyFolder
from bench.study import read

PROMPT = "a photograph of an astronaut riding a horse on a beach at sunset"
GOALS = {"sdxl-turbo@1": (2.0, 0.35), "sdxl@50": (2.0, 0.50)}
"""Contender → (images a second over the stock call in a loop, share of the card's rate)."""
STUDY = """name = "sweep"
contenders = ["{contender}"]
images_per_prompt = {repeats}
[prompts]
set = "turbo-264"
first = {prompts}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A contender at one size and dtype, at levels and the batches of each."""

    contender: str
    size: int
    levels: dict[str, tuple[int, ...]]
    """`stock` is the plain diffusers call; it comes first, for the others are held against it."""
    dtype: str = "bfloat16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    contender: str
    size: int
    dtype: str
    level: str
    how: str
    """`call`: one batch after the other, pixels on the host, no file. `sweep`: `bench generate`, files written."""
    batch: int
    seconds: tuple[float, ...]
    """Of each call; of the whole sweep."""
    images: int
    """In each of `seconds`."""
    images_per_second: float
    encode_ms: float | None = None
    forward_ms: float | None = None
    decode_ms: float | None = None
    tflop: float
    """A picture."""
    share: float
    """Of the measured matrix rate."""
    over_stock: float | None = None
    """Images a second over the stock call in a loop, one picture a call."""
    memory_gib: float | None = None
    start_seconds: float | None = None
    """Load, compile and first call."""


@dataclass
class Bench:
    """One run of this script."""

    device: str
    weights: str
    budget: float
    """Seconds for the samples of one row."""
    end: float
    """Of the monotonic clock: no level is begun that is thought to end after it."""
    rate: float
    out: Path
    about: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    kernels: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def left(self) -> float:
        return self.end - time.monotonic()


REAL = {
    "turbo": Case(
        contender="sdxl-turbo@1",
        size=512,
        levels={"stock": (1, 16), "none": (1, 16), "exact": (1, 16), "max": (16, 1)},
    ),
    "sdxl": Case(contender="sdxl@50", size=1024, levels={"stock": (1,), "max": (8,), "exact": (8,)}),
    "lcm": Case(contender="lcm-xl@4", size=1024, levels={"stock": (1,), "max": (8,)}),
    # half precision, as the published 207 ms is
    "half": Case(
        contender="sdxl-turbo@1", size=512, levels={"stock": (1,), "exact": (1, 16)}, dtype="float16"
    ),
}
TINY = {
    "turbo": Case(
        contender="tiny-turbo@1",
        size=64,
        levels={"stock": (1, 4), "none": (1, 4), "exact": (1, 4), "max": (1, 4)},
        dtype="float32",
    ),
    "sdxl": Case(contender="tiny-sdxl@3", size=64, levels={"stock": (1,), "exact": (4,)}, dtype="float32"),
    "lcm": Case(contender="tiny-lcm@4", size=64, levels={"stock": (1,), "exact": (4,)}, dtype="float32"),
    "half": Case(contender="tiny-turbo@1", size=64, levels={"stock": (1,), "exact": (1,)}, dtype="bfloat16"),
}
EXPECTED = {"stock": 30, "none": 30, "exact": 60, "max": 200}
"""Seconds a level is thought to take on a fast card, compilation included."""


def measure(bench: Bench, case: Case) -> Iterator[Row]:
    """A row a level and batch, and one of the sweep at the largest."""
    who = replace(contender(case.contender, MODELS), size=case.size)
    tflop = flops(MODELS[who.model], who)["total"]
    stock = next((r.images_per_second for r in bench.rows if r.level == "stock" and same(r, case)), None)
    for level, batches in case.levels.items():
        if bench.left() < EXPECTED[level]:
            bench.skipped.append(f"{case.contender} {case.dtype} {level}: out of time")
            continue
        start = time.perf_counter()
        pipeline = loaded(bench, case, who, "none" if level == "stock" else level)
        base: dict[str, Any] = {
            "contender": case.contender, "size": case.size, "dtype": case.dtype, "level": level, "tflop": tflop,
        }  # fmt: skip
        for batch in batches:
            run = (stock_call if level == "stock" else our_call)(pipeline, who, batch)
            pipeline.memory_peak()
            run(2)  # few steps: the kernels and graphs of this shape are chosen now
            pipeline.synchronize()
            began = time.perf_counter() - start
            seconds = timed(lambda run=run: run(who.steps or 1), pipeline, bench.budget)
            fast = batch / statistics.median(seconds)
            if level == "stock" and batch == 1:
                stock = fast
            parts = (None, None, None) if level == "stock" else stages(bench, pipeline, who, batch)
            peak = pipeline.memory_peak()
            yield Row(
                **base, how="call", batch=batch, seconds=seconds, images=batch, images_per_second=fast,
                encode_ms=parts[0], forward_ms=parts[1], decode_ms=parts[2], share=tflop * fast / bench.rate,
                over_stock=None if stock is None else fast / stock,
                memory_gib=None if peak is None else peak / 2**30, start_seconds=began,
            )  # fmt: skip
            if level != "stock" and batch == max(batches):
                images, took = sweep(bench, pipeline, case, level, batch, fast)
                yield Row(
                    **base, how="sweep", batch=batch, seconds=(took,), images=images,
                    images_per_second=images / took, share=tflop * images / took / bench.rate,
                    over_stock=None if stock is None else images / took / stock,
                )  # fmt: skip
            start = time.perf_counter()
        if pipeline.upcasts:
            bench.notes[f"decoded again in float32, {case.contender} {level}"] = pipeline.upcasts
        drop(pipeline)


def same(row: Row, case: Case) -> bool:
    return (row.contender, row.size, row.dtype) == (case.contender, case.size, case.dtype)


def loaded(bench: Bench, case: Case, who: Contender, level: str) -> Pipeline:
    return load(
        MODELS[who.model], device=bench.device, dtype=case.dtype, optimize=level, weights=bench.weights
    )


def drop(pipeline: Pipeline) -> None:
    pipeline.close()
    gc.collect()


def timed(call: Callable[[], object], pipeline: Pipeline, budget: float) -> tuple[float, ...]:
    """Seconds of each call after the caller's warm-up: one to thirty samples, as the budget allows."""
    found: list[float] = []
    while not found or (len(found) < 30 and sum(found) < budget):
        pipeline.synchronize()
        start = time.perf_counter()
        call()
        pipeline.synchronize()
        found.append(time.perf_counter() - start)
    return tuple(found)


def stages(bench: Bench, pipeline: Pipeline, who: Contender, batch: int) -> tuple[float, float, float]:
    """Median ms of encoding, of one forward (with its guidance), of decoding, by the protocol of `bench latency`."""
    call = Call(texts=(PROMPT,) * batch, start={"seeds": list(range(batch))})
    short = replace(who, steps=min(who.steps or 1, 4))
    protocol = Protocol(warm_up=1, samples=3, least=3, forwards=3)
    rows = time_contender(pipeline, short, itertools.repeat(call), batch, bench.device, protocol)
    found = {row.stage: 1e3 * statistics.median(row.seconds) for row in rows}
    return found["encode"], found["forward"], found["decode"]


def stock_call(pipeline: Pipeline, who: Contender, batch: int) -> Callable[[int], object]:
    """What anybody writes: the pipeline called with prompts, numpy pictures out."""

    def run(steps: int) -> object:
        generators = [torch.Generator().manual_seed(seed) for seed in range(batch)]
        return pipeline.pipe(
            [PROMPT] * batch, num_inference_steps=min(steps, who.steps or 1), guidance_scale=who.guidance,
            height=who.size, width=who.size, generator=generators, output_type="np",
        ).images  # fmt: skip

    return run


def our_call(pipeline: Pipeline, who: Contender, batch: int) -> Callable[[int], object]:
    """The stages of one batch, texts included, none of it beside another batch."""

    def run(steps: int) -> object:
        short = replace(who, steps=min(steps, who.steps or 1))
        embeddings = pipeline.encode([PROMPT] * batch, short)
        return pipeline.decode(pipeline.denoise(embeddings, list(range(batch)), short))

    return run


def sweep(
    bench: Bench, pipeline: Pipeline, case: Case, level: str, batch: int, speed: float
) -> tuple[int, float]:
    """Images and seconds of `bench generate` with this pipeline: the next batch beside the last, WebP, rows."""
    wanted = max(2, math.ceil(2 * bench.budget * speed / batch))  # batches
    prompts = batch * min(wanted, 264 // batch)
    repeats = min(4, max(1, wanted * batch // prompts))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        path = Path(place, "study.toml")
        path.write_text(STUDY.format(contender=case.contender, repeats=repeats, prompts=prompts))
        options = Options(device=bench.device, dtype=case.dtype, batch_size=batch, optimize=level)
        folder = StudyFolder(Path(place, "images"))
        folder.path.mkdir()
        pipeline.close = lambda: None  # it is used again
        try:
            done = generate(read(path), folder, options, load=lambda model, **_: pipeline)
        finally:
            del pipeline.close
    if done.failed or done.made != prompts * repeats:
        raise RuntimeError(f"the sweep made {done.made} images and failed at {done.failed}")
    return done.made, done.seconds


def rounding(bench: Bench, case: Case) -> None:
    """Largest and mean difference of each level from `none`, in levels of 255, over four pictures; and whether the
    level loaded and compiled anew makes the same bytes."""
    who = replace(contender(case.contender, MODELS), size=case.size)
    found: dict[str, list[np.ndarray]] = {}
    for level in LEVELS:
        if bench.left() < EXPECTED[level]:
            bench.skipped.append(f"rounding of {level}: out of time")
            continue
        for _ in range(2):
            pipeline = loaded(bench, case, who, level)
            embeddings = pipeline.encode([PROMPT] * 4, who)
            pictures = pipeline.decode(pipeline.denoise(embeddings, [1, 2, 3, 4], who))
            found.setdefault(level, []).append(pictures.astype(int))
            drop(pipeline)
    for level, (one, two) in found.items():
        apart = np.abs(one - found["none"][0])
        bench.notes[f"rounding {level}"] = {
            "largest": int(apart.max()),
            "mean": round(float(apart.mean()), 4),
            "the same bytes again": bool((one == two).all()),
        }


def profile(bench: Bench, case: Case) -> None:
    """The kernels that take the time of one batch, and how busy a sweep keeps the card."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorded

    level = list(case.levels)[-1] if bench.device == "cpu" else "max"
    batch = max(case.levels[level])
    who = replace(contender(case.contender, MODELS), size=case.size)
    short = replace(who, steps=min(who.steps or 1, 2))
    pipeline = loaded(bench, case, who, level)
    run = our_call(pipeline, short, batch)
    for _ in range(3):
        run(2)
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if bench.device != "cpu" else [])
    with recorded(activities=kinds) as record:
        run(2)
        pipeline.synchronize()
    key = "self_cpu_time_total" if bench.device == "cpu" else "self_device_time_total"
    name = f"{case.contender} {level}, batch {batch}"
    table = record.key_averages().table(sort_by=key, row_limit=25, max_name_column_width=60)
    bench.kernels[name] = table
    if bench.device != "cpu" and (who.steps or 1) <= 4:
        with recorded(activities=[ProfilerActivity.CUDA]) as record:
            images, took = sweep(bench, pipeline, case, level, batch, 4 * batch / bench.budget)
        bench.notes[f"busy {name}"] = {
            "share of the sweep's wall time in which a kernel or copy ran": round(
                busy(record.events()) / took, 4
            ),
            "images": images,
        }
    drop(pipeline)


def busy(events: Any) -> float:
    """Seconds in which at least one kernel or copy ran."""
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in events
        if "CUDA" in str(event.device_type) and not event.is_user_annotation
    )
    total, until = 0.0, -math.inf
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total / 1e6


def autotune(bench: Bench, case: Case) -> None:
    """What the promise of the same bytes costs: kernels chosen by a stopwatch instead."""
    from torch._inductor import config

    who = replace(contender(case.contender, MODELS), size=case.size)
    level = "max" if "max" in case.levels else "exact"
    batch = max(case.levels[level])
    before = [r for r in bench.rows if same(r, case) and (r.level, r.how, r.batch) == (level, "call", batch)]
    torch.backends.cudnn.benchmark = True
    try:
        pipeline = loaded(bench, case, who, level)
        config.deterministic = False  # compilation is in the first call
        run = our_call(pipeline, who, batch)
        run(2)
        fast = batch / statistics.median(timed(lambda: run(who.steps or 1), pipeline, bench.budget))
        drop(pipeline)
    finally:
        torch.backends.cudnn.benchmark = False
    if before:
        bench.notes[f"kernels chosen by a stopwatch, {case.contender} {level}, batch {batch}"] = {
            "images a second over those of the table": round(fast / before[0].images_per_second, 4)
        }


def training(bench: Bench) -> None:
    """Seconds a step of each stage of the miniature family on this device, and what the whole would take."""
    from bench.miniature import train

    steps, scenes = (200, 2000) if bench.device != "cpu" else (60, 200)
    train.CAPTIONS, per = 4000, {}
    with tempfile.TemporaryDirectory() as place:
        stages = {stage: (steps, batch) for stage, (_, batch) in train.STAGES.items()}
        train.make_family(Path(place), Path(place, "weights"), stages, scenes, bench.device)
        for stage in stages:
            text = Path(place, f"{stage}.jsonl").read_text(encoding="utf-8")
            rows = [
                row for row in map(json.loads, text.splitlines()) if row["step"] >= 40
            ]  # compiled by then
            per[stage] = (rows[-1]["seconds"] - rows[0]["seconds"]) / (rows[-1]["step"] - rows[0]["step"])
    whole = sum(per[stage] * steps for stage, (steps, _) in train.STAGES.items())
    bench.notes["miniature training"] = {
        "seconds a step": {stage: round(value, 4) for stage, value in per.items()},
        "minutes of all steps": round(whole / 60, 1),
    }


def jobs(cases: dict[str, Case]) -> dict[str, tuple[float, Callable[[Bench], None]]]:
    """Name → seconds it is thought to take at least, what it does; in order of importance."""

    def rows(name: str) -> Callable[[Bench], None]:
        def run(bench: Bench) -> None:
            for row in measure(bench, cases[name]):
                bench.rows = [r for r in bench.rows if key(r) != key(row)] + [row]
                print(line(row), flush=True)
                save(bench)

        return run

    return {
        "turbo": (0, rows("turbo")),
        "sdxl": (30, rows("sdxl")),
        "profile": (45, lambda bench: profile(bench, cases["turbo"])),
        "profile-sdxl": (60, lambda bench: profile(bench, cases["sdxl"])),
        "rounding": (90, lambda bench: rounding(bench, cases["turbo"])),
        "lcm": (30, rows("lcm")),
        "half": (60, rows("half")),
        "autotune": (60, lambda bench: autotune(bench, cases["turbo"])),
        "autotune-sdxl": (90, lambda bench: autotune(bench, cases["sdxl"])),
        "training": (120, training),
    }


def key(row: Row) -> tuple[Any, ...]:
    return (row.contender, row.size, row.dtype, row.level, row.how, row.batch)


def table(rows: list[Row], full: bool) -> str:
    head = ["contender", "px", "dtype", "level", "how", "batch", "images/s", "ms/image", "share", "× stock"]
    head += ["encode ms", "forward ms", "decode ms", "TFLOP", "GiB", "start s", "N"] if full else []
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [row.contender, row.size, row.dtype, row.level, row.how, row.batch]
        cells += [f"{row.images_per_second:.2f}", f"{1e3 / row.images_per_second:.1f}", percent(row.share)]
        cells += [number(row.over_stock, 2)]
        if full:
            parts = (row.encode_ms, row.forward_ms, row.decode_ms, row.tflop, row.memory_gib)
            cells += [*(number(part, 2) for part in parts), number(row.start_seconds, 1), len(row.seconds)]
        lines.append([str(cell) for cell in cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def line(row: Row) -> str:
    return table([row], full=False).splitlines()[-1]


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def goals(rows: list[Row]) -> list[str]:
    """Each goal with what was reached, by the call and by the sweep."""
    told = []
    for name, (speed, share) in GOALS.items():
        for how in ("call", "sweep"):
            ours = [
                row
                for row in rows
                if (row.contender, row.how, row.dtype) == (name, how, "bfloat16") and row.level != "stock"
            ]
            if ours:
                best = max(ours, key=lambda row: row.images_per_second)
                told.append(
                    f"{name} by {how}: {number(best.over_stock, 2)}× the stock call in a loop (goal {speed}×), "
                    f"{percent(best.share)} of the matrix rate (goal {percent(share)}), at {best.level}, "
                    f"batch {best.batch}"
                )
    return told


def save(bench: Bench) -> None:
    """After each row, so that a run cut short leaves what it had."""
    bench.out.mkdir(parents=True, exist_ok=True)
    data = {
        **bench.about, "rows": [asdict(row) for row in bench.rows], "notes": bench.notes,
        "kernels": bench.kernels, "skipped": bench.skipped,
    }  # fmt: skip
    (bench.out / "gpu.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (bench.out / "gpu.md").write_text(document(bench), encoding="utf-8")


def document(bench: Bench) -> str:
    about = bench.about
    lines = [
        f"# {about['device']}, torch {about['torch']}, random weights",
        "",
        table(bench.rows, full=True),
        "",
    ]
    lines += [f"- {told}" for told in goals(bench.rows)]
    lines += [f"- {name}: {json.dumps(value)}" for name, value in bench.notes.items()]
    lines += [f"- not measured: {told}" for told in bench.skipped]
    lines += ["", *(f"{name}: {about[name]}." for name in ("matrix rate", "window"))]
    lines += [f"\n## {name}\n\n```\n{text.rstrip()}\n```" for name, text in bench.kernels.items()]
    return "\n".join(lines) + "\n"


def resumed(bench: Bench) -> None:
    """What an earlier run on the same card and software left in the same folder."""
    path = bench.out / "gpu.json"
    if not path.exists():
        return
    data = json.loads(path.read_text(encoding="utf-8"))
    if any(data.get(name) != bench.about[name] for name in ("device", "torch", "tiny")):
        return
    known = {f.name for f in fields(Row)}
    bench.rows = [Row(**{n: v for n, v in row.items() if n in known}) for row in data["rows"]]
    bench.notes, bench.kernels = data["notes"], data["kernels"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--tiny", action="store_true", help="tiny pipelines: tries the script, measures nothing"
    )
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--minutes", type=float, default=9.0, help="nothing is begun that would end after it")
    parser.add_argument(
        "--jobs", nargs="*", choices=list(jobs(REAL)), help="only these; else all, as time allows"
    )
    asked = parser.parse_args()
    if asked.device != "cpu" and not torch.cuda.is_available():
        print("torch sees no GPU here: nothing was measured. Try the script with --device cpu --tiny")
        return 2
    end = time.monotonic() + 60 * asked.minutes
    rate = matrix_rate(asked.device)
    name = "CPU" if asked.device == "cpu" else torch.cuda.get_device_name()
    bench = Bench(
        device=asked.device, weights="pretrained" if asked.tiny else "random", end=end, rate=rate, out=asked.out,
        budget=0.2 if asked.tiny else 4.0,
        about={
            "device": name, "torch": torch.__version__, "python": platform.python_version(), "tiny": asked.tiny,
            "matrix rate": f"{rate:.1f} TFLOP/s, a large product of random numbers, measured in this process",
            "window": "call: encode, denoise and decode to uint8 on the CPU, no file; sweep: all of bench generate",
        },
    )  # fmt: skip
    resumed(bench)
    print(f"{name}: {rate:.1f} TFLOP/s on a large product", flush=True)
    cases = TINY if asked.tiny else REAL
    for job, (least, run) in jobs(cases).items():
        if asked.jobs is not None and job not in asked.jobs:
            continue
        if bench.left() < (0 if asked.tiny else least):
            bench.skipped.append(f"{job}: out of time")
            continue
        began = time.monotonic()
        run(bench)
        print(f"({job}: {time.monotonic() - began:.0f} s)", flush=True)
        save(bench)
    print("\n" + table(bench.rows, full=False))
    notes = [f"{name}: {json.dumps(value)}" for name, value in bench.notes.items()]
    print("\n".join([*goals(bench.rows), *notes, *(f"not measured: {told}" for told in bench.skipped)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
