"""A study of two contenders with random images at the display size, as scoring finds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench.records import Generation
from bench.store.study_folder import StudyFolder, sha256
from bench.study.study import Study, read

NAMES = ("tiny-turbo@1", "tiny-sdxl@50")
PROMPTS = ("a red fox", "a blue bird, flying", "éclair", "four")


def pixels(contender: int, prompt: int, replicate: int, side: int = 32) -> np.ndarray:
    random = np.random.default_rng([contender, prompt, replicate])
    return random.integers(0, 256 - 40 * contender, (side, side, 3), dtype=np.uint8)


def make(folder: Path, metrics: str, replicates: int = 2) -> tuple[StudyFolder, Study]:
    """A study of two contenders with random images at the display size."""
    (folder / "prompts.txt").write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    (folder / "study.toml").write_text(
        f'name = "own"\ncontenders = {list(NAMES)}\ndisplay_size = 32\nimages_per_prompt = {replicates}\n'
        f'[prompts]\nfile = "prompts.txt"\n{metrics}',
        encoding="utf-8",
    )
    study = read(folder / "study.toml")
    place = StudyFolder(folder / "results/own")
    place.write_study(study.text, study.prompts)
    rows = []
    for c, name in enumerate(NAMES):
        for p, prompt in enumerate(study.prompts):
            for r in range(replicates):
                path = place.image(name, prompt.id, r)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels(c, p, r)).save(path, lossless=True)
                data = path.read_bytes()
                rows.append(
                    Generation(
                        contender=name,
                        prompt_id=prompt.id,
                        replicate=r,
                        seed=1,
                        sha256=sha256(data),
                        bytes=len(data),
                        width=32,
                        height=32,
                        seconds=0.1,
                        settings="x",
                    )
                )
    place.append(place.generations_file, rows)
    return place, study
