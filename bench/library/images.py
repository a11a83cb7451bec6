"""`bench.generate`, `bench.score` and `bench.frechet`: a temporary study, through the command line's own stages."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError
from bench.library.results import frame
from bench.records import Score

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL.Image import Image

    from bench.study.study import Study

Prompts = Sequence[str] | Mapping[str, str]


def generate(
    contender: str,
    prompts: Prompts,
    *,
    device: str = "auto",
    models: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Image]:
    """Images of one contender, in the order of the prompts: the pixels that a study with these prompts has.

    Parameters
    ----------
    contender : `model@steps`, of the models of `bench models` or of `models`.
    prompts : texts, or texts by prompt id. The seed of an image is a hash of its prompt's id; texts without ids
        are called p0000, p0001, ….
    device : auto, cuda, cuda:N or cpu.
    models : entries of a study file's `[models]`, by name.

    Raises
    ------
    InputError : an unknown contender, weights that are not here, or a prompt that gave no image.
    """
    from bench.run import generate_stage, opened
    from bench.store.images import read_image
    from bench.sweep.settings import Options

    named = _named(prompts)
    with _study(named, [contender], models or {}, "") as (study, place), opened(study, place) as folder:
        generate_stage(study, folder, Options(device=device), _silent())
        failures = [row for row in folder.failures() if row.contender == contender]
        if failures:
            raise InputError(f"prompt '{failures[0].prompt_id}': {failures[0].kind}, {failures[0].message}")
        return [read_image(folder.image(contender, prompt_id, 0)) for prompt_id in named]


def score(
    images: Mapping[str, Sequence[Any]] | Sequence[Any],
    prompts: Prompts,
    metrics: Sequence[str],
    *,
    reference: str | Path | None = None,
    display_size: int = 512,
    fit: str | None = None,
    device: str = "cpu",
) -> pd.DataFrame:
    """Scores of images that are already there: one row a metric and contender, as `bench score` writes them.

    Parameters
    ----------
    images : of each contender the images in the order of the prompts (paths, PIL images or uint8 arrays); or
        such a sequence alone, which is called `images`.
    prompts : texts, or texts by prompt id.
    metrics : names of `bench metrics`.
    reference : what distances compare with: a folder of images, a built reference, or statistics (.npz).
    display_size : pixels of each side at which images are scored.
    fit : 'pad' or 'crop', for images that are not square.
    device : cpu, cuda or cuda:N.

    Raises
    ------
    InputError : an unknown metric, weights that are not here, or not one image for each prompt.
    """
    from bench.run import opened
    from bench.scoring.score import score as score_study
    from bench.sweep.import_images import import_images

    named = _named(prompts)
    given = images if isinstance(images, Mapping) else {"images": images}
    for name, sequence in given.items():
        if len(sequence) != len(named):
            raise InputError(f"contender '{name}': {len(sequence)} images for {len(named)} prompts")
    lines = [f"display_size = {display_size}", *([f'fit = "{fit}"'] if fit else []), "[metrics]"]
    lines.append(f"names = {json.dumps(list(metrics))}")
    if reference is not None:
        lines.append(f"reference = {json.dumps(_reference(reference))}")
    entries = {name: {"kind": "imported"} for name in given}
    with _study(named, list(given), entries, "\n".join(lines)) as (study, place):
        with opened(study, place) as folder:
            for number, (name, sequence) in enumerate(given.items()):
                written = _write(place / f"source-{number}", list(named), sequence)
                done = import_images(study, folder, name, written, None)
                if done.failures:
                    raise InputError(f"contender '{name}': {done.failures[0].message}")
            rows = score_study(folder, study, device=device)
        return frame(rows, Score)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance (FID's) of two tables of features, (n, d) each; lower is closer.

    Squared distance of the Gaussians with the tables' means and covariances. It is biased upwards by few rows:
    compare only distances of equal n. Raises InputError: dimensions differ, or a value is not finite.
    """
    from bench.metrics.frechet import frechet_distance, moments

    return frechet_distance(moments(a), moments(b))


def _named(prompts: Prompts) -> dict[str, str]:
    if isinstance(prompts, str):
        raise InputError("prompts is one text: give a list of texts")
    if isinstance(prompts, Mapping):
        return dict(prompts)
    return {f"p{number:04d}": text for number, text in enumerate(prompts)}


@contextmanager
def _study(
    prompts: Mapping[str, str], contenders: Sequence[str], models: Mapping[str, Mapping[str, Any]], more: str
) -> Iterator[tuple[Study, Path]]:
    """A study in a folder that is removed afterwards."""
    from bench.study.study import read

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        rows = [json.dumps({"id": key, "text": text}) + "\n" for key, text in prompts.items()]
        (place / "prompts.jsonl").write_text("".join(rows), encoding="utf-8")
        top, _, sections = more.partition("[metrics]")
        text = f'name = "library"\ncontenders = {json.dumps(list(contenders))}\n{top}\n'
        text += '[prompts]\nfile = "prompts.jsonl"\n' + (f"[metrics]{sections}\n" if sections else "")
        for model, entry in models.items():
            text += f"[models.{json.dumps(model)}]\n"
            text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())
        (place / "study.toml").write_text(text, encoding="utf-8")
        try:
            study = read(place / "study.toml")
        except InputError as error:
            raise InputError(re.sub(r"^\S*study\.toml(:\d+)?: ", "", str(error))) from None
        yield study, place / "results"


def _reference(reference: str | Path) -> str:
    path = Path(reference).expanduser()
    return str(path.resolve()) if path.exists() else str(reference)


def _write(folder: Path, ids: Sequence[str], images: Sequence[Any]) -> Path:
    """The images as files named by their prompts."""
    from bench.store.images import encode_webp, read_image

    folder.mkdir()
    for prompt_id, image in zip(ids, images, strict=True):
        if isinstance(image, str | Path):
            image = read_image(Path(image))
        elif hasattr(image, "convert"):
            image = image.convert("RGB")
        (folder / f"{prompt_id}.webp").write_bytes(encode_webp(image))
    return folder


def _silent() -> Any:
    from bench.run import Reporter

    return Reporter()
