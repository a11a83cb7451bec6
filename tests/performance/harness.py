"""What the harness itself costs: `generate` against a bare diffusers loop that writes the same files.

    python tests/performance/harness.py

Both use the same tiny pipelines, batch shape, seeds and lossless WebP encoder, in turn, in one process. The
bare loop calls the diffusers pipeline with prompts, as its documentation shows, and saves each picture; it
keeps no rows, no hashes, no fsync and cannot resume. Prints images per second and the ratio of each round.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from bench.models.load import load
from bench.store.images import encode_webp
from bench.store.study_folder import StudyFolder
from bench.study.study import Study, read
from bench.sweep.generate import generate
from bench.sweep.settings import Frozen, Options
from bench.sweep.work import seed_of

ROUNDS = 5
SHAPE = 8
STUDY = """name = "harness"
contenders = ["tiny-turbo@1", "tiny-turbo@4", "tiny-sdxl@50", "tiny-lcm@4"]
[prompts]
set = "turbo-264"
count = 64
[generate]
batch_size = 8
"""


def bare(study: Study, place: Path, pipelines: dict) -> None:
    import numpy as np
    import torch

    for contender in study.contenders:
        pipe = pipelines[contender.model].pipe
        pipe.set_progress_bar_config(disable=True)
        (place / contender.name).mkdir(parents=True)
        for start in range(0, len(study.prompts), SHAPE):
            chunk = study.prompts[start : start + SHAPE]
            generators = [torch.Generator().manual_seed(seed_of(p.id, 0)) for p in chunk]
            pictures = pipe(
                [p.text for p in chunk],
                num_inference_steps=contender.steps,
                guidance_scale=contender.guidance,
                generator=generators,
                height=contender.size,
                width=contender.size,
                output_type="np",
            ).images
            for prompt, picture in zip(chunk, pictures, strict=True):
                pixels = (np.asarray(picture) * 255).round().astype("uint8")
                (place / contender.name / f"{prompt.id}-0.webp").write_bytes(encode_webp(pixels))


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "study.toml").write_text(STUDY)
        study = read(place / "study.toml")
        # Loading is left out on both sides.
        pipelines = {name: load(model, device="cpu") for name, model in study.models.items()}
        for pipeline in pipelines.values():
            pipeline.close = lambda: None
        images = len(study.prompts) * len(study.contenders)
        ratios = []
        for number in range(ROUNDS + 1):
            began = time.perf_counter()
            bare(study, place / f"bare{number}", pipelines)
            middle = time.perf_counter()
            folder = StudyFolder(place / f"ours{number}")
            folder.path.mkdir()
            generate(study, folder, Options(device="cpu"), load=lambda model, **_: pipelines[model.name])
            end = time.perf_counter()
            if number:  # the first round warms up
                ratios.append((middle - began) / (end - middle))
                print(
                    f"bare {images / (middle - began):6.2f}  ours {images / (end - middle):6.2f} images/s",
                    end="",
                )
                print(f"  ratio {ratios[-1]:.3f}")
        shape = Frozen(**folder.read_json("plan.json")["tiny-turbo"]).shape
        print(
            json.dumps(
                {
                    "images": images,
                    "shape": shape,
                    "rounds": ROUNDS,
                    "median ratio": statistics.median(ratios),
                }
            )
        )


if __name__ == "__main__":
    main()
