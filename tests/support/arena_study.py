"""A small study folder for the arena's tests: coloured squares, no model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from bench.records import Generation, Prompt
from bench.store.study_folder import StudyFolder
from bench.study.study import Study, open_study

NAMES = ("sdxl-turbo@1", "sdxl-turbo@4", "sdxl@50")


def make_study(
    path: Path, *, prompts: int = 6, names: tuple[str, ...] = NAMES, size: int = 32, **arena: object
) -> tuple[Study, StudyFolder]:
    """Native sizes differ by contender, and every file carries text that gives it away.

    No rule excludes raters unless `exclude` says so: tests answer at a program's speed.
    """
    arena = {"exclude": (), **arena}
    lines = "\n".join(f"{key} = {_toml(value)}" for key, value in arena.items())
    text = (
        f'name = "secret-name"\ncontenders = [{", ".join(_toml(n) for n in names)}]\ndisplay_size = {size}\n'
        f'[prompts]\nset = "parti"\n[arena]\n{lines}\n'
    )
    chosen = [
        Prompt(
            id=f"secret{i}",
            text=f"a <b>bold</b> & 'quoted' fox; DROP TABLE votes;-- number {i}",
            category="Animals",
            translations={"de": f"ein <b>fetter</b> Fuchs, Nummer {i}"},
        )
        for i in range(prompts)
    ]
    folder = StudyFolder(path)
    folder.write_study(text, chosen)
    rows = []
    for k, name in enumerate(names):
        for i, prompt in enumerate(chosen):
            target = folder.image(name, prompt.id, 0)
            target.parent.mkdir(parents=True, exist_ok=True)
            native = size * (k + 1)
            pixels = np.random.default_rng([k, i]).integers(
                0, 256, (native // 8, native // 8, 3), dtype=np.uint8
            )
            picture = Image.fromarray(pixels).resize((native, native), Image.Resampling.BICUBIC)
            exif = Image.Exif()
            exif[0x010E] = f"made by {name}"
            picture.save(target, "WEBP", lossless=True, quality=0, method=0, exif=exif)
            data = target.read_bytes()
            rows.append(
                Generation(
                    contender=name,
                    prompt_id=prompt.id,
                    replicate=0,
                    seed=77001 + i,
                    sha256=hashlib.sha256(data).hexdigest(),
                    width=native,
                    height=native,
                    seconds=0.1,
                    settings="s",
                    bytes=len(data),
                )
            )
    folder.append(folder.generations_file, rows)
    return open_study(folder), folder


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(v)}' for key, v in value.items())}}}"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(v) for v in value)}]"
    return str(value)
