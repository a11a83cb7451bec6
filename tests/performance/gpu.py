"""Images a second and latency of the real architectures with random weights, against stock diffusers.

Claim: the pictures of `--optimize exact` and `max` are the same up to rounding, and sooner. Each figure is
held against the stock call (`pipeline(prompts)`) measured before it on the same card, and against the card's own
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
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.device import matrix_rate
from bench.latency.blocks import Call, Protocol, time_contender
from bench.models.architectures import flops
from bench.models.load import load
from bench.models.pipeline import Pipeline
from bench.models.registry import MODELS, contender
from bench.records import Contender
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.generate import generate
from bench.sweep.settings import Options
from tests.performance.gpu_pairs import fp8, in_one_loop, live
from tests.performance.gpu_parts import parts, timed
from tests.performance.gpu_suite import command, training
from tests.performance.gpu_table import Row, busy, document, goals, key, kind, line, percent, spent, table

PROMPT = "a photograph of an astronaut riding a horse on a beach at sunset"
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
    profiled: bool = False
    """At `max`: its kernels are kept."""


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
    pictures: dict[tuple[str, str, str, int], np.ndarray] = field(default_factory=dict)
    """Contender, dtype, level and batch → its pictures; at `none`, batch 1, what the others are held against."""

    def left(self) -> float:
        return self.end - time.monotonic()


SMALL = {
    "sdxl@50": "tiny-sdxl@50",
    "sdxl@20": "tiny-sdxl@20",
    "sdxl-turbo@1": "tiny-turbo@1",
    "lcm-xl@4": "tiny-lcm@4",
}
REAL = {
    "sdxl": Case(contender="sdxl@50", size=1024, levels={"stock": (1,), "max": (8,)}, profiled=True),
    "turbo": Case(
        contender="sdxl-turbo@1",
        size=512,
        levels={"stock": (1,), "max": (16,), "exact": (16,)},
        profiled=True,
    ),
    "sdxl-exact": Case(contender="sdxl@50", size=1024, levels={"exact": (8,)}),
    "turbo-one": Case(
        contender="sdxl-turbo@1", size=512, levels={"none": (1, 16), "max": (1,), "exact": (1,)}
    ),
    "lcm": Case(contender="lcm-xl@4", size=1024, levels={"stock": (1,), "max": (8,)}),
    # MLPerf's step count, which it publishes images a second of
    "sdxl-20": Case(contender="sdxl@20", size=1024, levels={"max": (8,)}),
    "lcm-half": Case(contender="lcm-xl@4", size=1024, levels={"stock": (1,), "max": (8,)}, dtype="float16"),
    # half precision, as the published 207 ms is
    "half": Case(
        contender="sdxl-turbo@1", size=512, levels={"stock": (1,), "exact": (1, 16)}, dtype="float16"
    ),
}
TINY = {
    name: replace(
        case,
        contender=SMALL[case.contender],
        size=64,
        dtype={"bfloat16": "float32", "float16": "bfloat16"}[case.dtype],
        levels={level: tuple(min(batch, 4) for batch in batches) for level, batches in case.levels.items()},
    )
    for name, case in REAL.items()
}
EXPECTED = {"stock": 15, "none": 20, "exact": 80, "max": 150}
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
            "contender": case.contender,
            "size": case.size,
            "dtype": case.dtype,
            "level": level,
            "tflop": tflop,
        }
        for batch in batches:
            run = (stock_call if level == "stock" else our_call)(pipeline, who, batch)
            pipeline.memory_peak()
            run(2)  # few steps: the kernels and graphs of this shape are chosen now
            pipeline.synchronize()
            began = time.perf_counter() - start
            seconds = timed(lambda run=run: run(who.steps or 1), bench.device, bench.budget)
            peak = pipeline.memory_peak()
            fast = batch / statistics.median(seconds)
            if level == "stock" and batch == 1:
                stock = fast
            ours = "none" if level == "stock" else level
            found = our_call(pipeline, who, batch)(who.steps or 1)
            bench.pictures[case.contender, case.dtype, ours, batch] = found
            took = (None, None, None) if level == "stock" else stages(bench, pipeline, who, batch)
            yield Row(
                **base, how="call", batch=batch, seconds=seconds, images=batch, images_per_second=fast,
                encode_ms=took[0], forward_ms=took[1], decode_ms=took[2], share=tflop * fast / bench.rate,
                over_stock=None if stock is None else fast / stock,
                memory_gib=None if peak is None else peak / 2**30, start_seconds=began,
                apart=None if level == "stock" else apart(bench, case, found),
            )  # fmt: skip
            if level != "stock" and batch == max(batches):
                images, whole = sweep(bench, pipeline, case, level, batch, fast)
                yield Row(
                    **base,
                    how="sweep",
                    batch=batch,
                    seconds=(whole,),
                    images=images,
                    images_per_second=images / whole,
                    share=tflop * images / whole / bench.rate,
                    over_stock=None if stock is None else images / whole / stock,
                )
                if case.profiled and level == "max":
                    profile(bench, pipeline, case, who, batch)
            start = time.perf_counter()
        if pipeline.decoder.upcasts:
            bench.notes[f"decoded again in float32, {case.contender} {level}"] = pipeline.decoder.upcasts
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
            [PROMPT] * batch,
            num_inference_steps=min(steps, who.steps or 1),
            guidance_scale=who.guidance,
            height=who.size,
            width=who.size,
            generator=generators,
            output_type="np",
        ).images

    return run


def our_call(pipeline: Pipeline, who: Contender, batch: int) -> Callable[[int], np.ndarray]:
    """The stages of one batch, texts included, none of it beside another batch."""

    def run(steps: int) -> np.ndarray:
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


def apart(bench: Bench, case: Case, pictures: np.ndarray) -> tuple[float, int] | None:
    """Mean and largest difference of the first picture from that of `none` at batch 1."""
    plain = bench.pictures.get((case.contender, case.dtype, "none", 1))
    if plain is None:  # an earlier run measured it
        return None
    found = np.abs(plain[0].astype(int) - pictures[0])
    return round(float(found.mean()), 4), int(found.max())


def again(bench: Bench, case: Case) -> None:
    """Whether each level, loaded and compiled anew, makes the same bytes."""
    who = replace(contender(case.contender, MODELS), size=case.size)
    for level, (batch,) in case.levels.items():
        known = bench.pictures.get((case.contender, case.dtype, level, batch))
        if known is None:  # the plain call, or measured by an earlier run
            continue
        if bench.left() < EXPECTED["exact"]:
            bench.skipped.append(f"the same bytes again, {level}: out of time")
            continue
        pipeline = loaded(bench, case, who, level)
        found = our_call(pipeline, who, batch)(who.steps or 1)
        bench.notes[f"the same bytes again, {case.contender} {level}"] = np.array_equal(found, known)
        drop(pipeline)


def profile(bench: Bench, pipeline: Pipeline, case: Case, who: Contender, batch: int) -> None:
    """The kernels that take the time of one batch of two steps at most, and how busy a sweep keeps the card."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorded

    run = our_call(pipeline, who, batch)
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if bench.device != "cpu" else [])
    with recorded(activities=kinds) as record:
        run(2)
        pipeline.synchronize()
    name = f"{case.contender} max, batch {batch}"
    clock = "self_cpu_time_total" if bench.device == "cpu" else "self_device_time_total"
    events = [
        (event.key, getattr(event, clock) / 1e3, event.count)
        for event in record.key_averages()
        if bench.device == "cpu" or ("CUDA" in str(event.device_type) and not event.is_user_annotation)
    ]
    bench.kernels[name] = spent(events)
    kinds_of: dict[str, float] = {}
    for kernel, ms, _ in events:
        kinds_of[kind(kernel)] = kinds_of.get(kind(kernel), 0.0) + ms
    bench.notes[f"kernels of {name}, {min(who.steps or 1, 2)} steps and the decoding"] = {
        what: percent(ms / sum(kinds_of.values()))
        for what, ms in sorted(kinds_of.items(), key=lambda k: -k[1])
    }
    if bench.device != "cpu" and (who.steps or 1) <= 4:
        with recorded(activities=[ProfilerActivity.CUDA]) as record:
            images, took = sweep(bench, pipeline, case, "max", batch, 4 * batch / bench.budget)
        share = busy(record.events()) / took
        bench.notes[f"busy {name}"] = {
            "share of the sweep's wall time in which a kernel or copy ran": round(share, 4),
            "images": images,
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

    def named(cases: dict[str, Case]) -> str:
        return cases["turbo"].contender

    def optional(name: str, job: Callable[[Bench], Any]) -> Callable[[Bench], None]:
        """A job whose packages may be missing there: then it is skipped with that reason."""

        def run(bench: Bench) -> None:
            try:
                bench.notes[name] = job(bench)
            except ImportError as error:
                bench.skipped.append(f"{name}: {error.name} is missing")

        return run

    def noted(name: str, job: Callable[[str], Any]) -> Callable[[Bench], None]:
        return lambda bench: bench.notes.update({name: job(bench.device)})

    return {
        **{name: (15, rows(name)) for name in ("sdxl", "turbo", "sdxl-exact")},
        "parts": (15, lambda bench: bench.notes.update(parts(bench.device))),
        "pairs": (
            30,
            lambda bench: bench.notes.update({"in one loop": in_one_loop(bench.device, named(cases))}),
        ),
        "sdxl-20": (15, rows("sdxl-20")),
        "live": (60, optional("live page", lambda bench: live(bench.device, named(cases)))),
        "fp8": (60, optional("fp8", lambda bench: fp8(bench.device))),
        "again": (60, lambda bench: again(bench, cases["turbo"])),
        **{name: (15, rows(name)) for name in ("turbo-one", "lcm", "lcm-half", "half")},
        "command": (60, noted("bench generate", command)),
        "training": (120, noted("miniature training", training)),
    }


def save(bench: Bench) -> None:
    """After each row, so that a run cut short leaves what it had."""
    bench.out.mkdir(parents=True, exist_ok=True)
    data = {
        **bench.about,
        "rows": [asdict(row) for row in bench.rows],
        "notes": bench.notes,
        "kernels": bench.kernels,
        "skipped": bench.skipped,
    }
    (bench.out / "gpu.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (bench.out / "gpu.md").write_text(document(data, bench.rows), encoding="utf-8")


def kept() -> bool:
    """Compiled kernels lie where torch keeps them."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    return any(Path(cache_dir()).rglob("*.cubin"))


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
            "start": f"load, compile and first call; kernels of an earlier run were {'' if kept() else 'not '}at hand",
            "Δ": "of the first picture from the one of level none at batch 1, in 255ths",
            "window": "call: encode, denoise and decode to uint8 on the CPU, no file; sweep: all of bench generate",
        },
    )  # fmt: skip
    resumed(bench)
    print(f"{name}: {rate:.1f} TFLOP/s on a large product", flush=True)
    cases = TINY if asked.tiny else REAL
    failed: list[str] = []
    for job, (least, run) in jobs(cases).items():
        if asked.jobs is not None and job not in asked.jobs:
            continue
        if bench.left() < (0 if asked.tiny else least):
            bench.skipped.append(f"{job}: out of time")
            continue
        began = time.monotonic()
        try:
            run(bench)
        except Exception:  # the others are still worth the card's time
            traceback.print_exc()
            failed.append(job)
            bench.skipped.append(f"{job}: failed")
        print(f"({job}: {time.monotonic() - began:.0f} s)", flush=True)
        save(bench)
    print("\n" + table(bench.rows, full=False))
    notes = [f"{name}: {json.dumps(value)}" for name, value in bench.notes.items()]
    print("\n".join([*goals(bench.rows), *notes, *(f"not measured: {told}" for told in bench.skipped)]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
