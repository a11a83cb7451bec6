"""Studies whose images are seeded noise, for what is scored; and a worker that is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bench.study.study as study_module
from bench.records import Generation
from bench.scoring.feature_workers import FeatureWorker, ImagesTask
from bench.store.study_folder import StudyFolder, sha256
from bench.study.study import Study

NAMES = ("tiny-turbo@1", "tiny-sdxl@50")


def make(tmp_path: Path, metrics: str, *, replicates: int = 1, prompts: int = 6) -> tuple[StudyFolder, Study]:
    """A study with pictures of seeded noise of each contender."""
    path = tmp_path / "s.toml"
    path.write_text(
        f'name = "s"\ncontenders = ["{NAMES[0]}", "{NAMES[1]}"]\nimages_per_prompt = {replicates}\n'
        f'display_size = 64\n[prompts]\nset = "turbo-264"\nfirst = {prompts}\n'
        f'[metrics]\nclip = "tiny-clip"\n{metrics}\n'
    )
    study = study_module.read(path)
    folder = StudyFolder(tmp_path / "results")
    folder.write_study(study.text, study.prompts)
    for number, contender in enumerate(NAMES):
        for index, prompt in enumerate(study.prompts):
            for replicate in range(replicates):
                random = np.random.default_rng([number, index, replicate])
                put(
                    folder,
                    contender,
                    prompt.id,
                    replicate,
                    random.integers(0, 256, (64, 64, 3), dtype=np.uint8),
                )
    return folder, study


def put(folder: StudyFolder, contender: str, prompt: str, replicate: int, pixels: np.ndarray) -> None:
    path = folder.image(contender, prompt, replicate)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, lossless=True)
    row = Generation(
        contender=contender, prompt_id=prompt, replicate=replicate, seed=1, sha256=sha256(path.read_bytes()),
        bytes=path.stat().st_size,
        width=pixels.shape[1], height=pixels.shape[0], seconds=0.1, settings="x", black=not pixels.any(),
    )  # fmt: skip
    folder.append(folder.generations_file, [row])


class DyingWorker(FeatureWorker):
    """Is killed by a signal after its second batch, once: the first process that gets there creates the flag."""

    flag = Path()

    def perform(self, task: ImagesTask) -> Iterator[None]:
        for number, _ in enumerate(super().perform(task)):
            if number == 1 and not self.flag.exists():
                self.flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield


def dying_start(
    flag: Path, shared: Path, device: str, own: Any, emit: Any, submit: Any = None
) -> DyingWorker:
    """In place of `bench.scoring.feature_workers._start`."""
    worker = DyingWorker(device=own or device, emit=emit)
    worker.flag = flag
    return worker
