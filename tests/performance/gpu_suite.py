"""What else of the suite wants a card: the command line, and the training of the miniature family. Jobs of gpu.py."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.miniature import train
from bench.store.study_folder import sha256

STUDY = """name = "sweep"
contenders = ["tiny-turbo@1", "tiny-sdxl@4", "tiny-lcm@4"]
images_per_prompt = 2
[prompts]
set = "turbo-264"
first = 24
"""


def training(device: str) -> dict[str, Any]:
    """Seconds a step of each stage of the miniature family on this device, and what the whole would take."""
    steps, scenes = (200, 2000) if device != "cpu" else (60, 200)
    train.CAPTIONS, per = 4000, {}
    with tempfile.TemporaryDirectory() as place:
        stages = {stage: (steps, batch) for stage, (_, batch) in train.STAGES.items()}
        train.make_family(Path(place), Path(place, "weights"), stages, scenes, device)
        for stage in stages:
            text = Path(place, f"{stage}.jsonl").read_text(encoding="utf-8")
            rows = [json.loads(row) for row in text.splitlines()]
            rows = [row for row in rows if row["step"] >= 40]  # compiled by then
            per[stage] = (rows[-1]["seconds"] - rows[0]["seconds"]) / (rows[-1]["step"] - rows[0]["step"])
    whole = sum(per[stage] * steps for stage, (steps, _) in train.STAGES.items())
    return {
        "seconds a step": {stage: round(value, 4) for stage, value in per.items()},
        "minutes of all steps": round(whole / 60, 1),
    }


def command(device: str) -> dict[str, Any]:
    """`bench generate` as its users call it, on tiny pipelines: the same bytes by a process for each GPU, and killed
    and resumed, as by one process; and the shape that `--batch-size auto` found."""
    with tempfile.TemporaryDirectory() as place:
        study = Path(place, "study.toml")
        study.write_text(STUDY)

        def call(name: str, *more: str) -> list[str]:
            place_of = ["--results", f"{place}/{name}"]
            return [sys.executable, "-m", "bench", "generate", str(study), *place_of, *more]

        def run(name: str, *more: str) -> None:
            subprocess.run(call(name, *more), check=True)

        def made(name: str) -> dict[str, str]:
            images = Path(place, name, "sweep", "images")
            return {
                str(path.relative_to(images)): sha256(path.read_bytes()) for path in images.rglob("*.webp")
            }

        here, fixed = ("--device", device), ("--batch-size", "4")
        every = ("--processes", "1") if device == "cpu" else ("--gpus", "all")
        run("one", *here, *fixed)
        run("all", *every, *fixed)
        killed = subprocess.Popen(call("killed", *here, *fixed))
        while killed.poll() is None and not made("killed"):
            time.sleep(0.02)
        killed.kill()
        killed.wait()
        before = len(made("killed"))
        run("killed", *here, *fixed)
        run("auto", *here, "--batch-size", "auto")
        one, plan = made("one"), json.loads(Path(place, "auto", "sweep", "plan.json").read_text())
        return {
            "images": len(one),
            "the same bytes by a process for each GPU": made("all") == one,
            f"the same bytes killed after {before} and resumed": made("killed") == one,
            "batch size auto": {model: frozen["shape"] for model, frozen in plan.items()},
        }
