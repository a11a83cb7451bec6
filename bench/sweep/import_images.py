"""Images made elsewhere → images of a study: every prompt must have its own, and every file its prompt."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from bench.errors import InputError, unknown
from bench.records import Failure, Generation, settings_hash
from bench.store.images import encode_webp
from bench.store.study_folder import StudyFolder, sha256, write_bytes
from bench.study.study import Study

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
Place = tuple[str, int]
"""prompt id, replicate"""


def bring(
    study: Study,
    folder: StudyFolder,
    name: str,
    images: Path,
    mapping: Path | None,
    *,
    progress: Callable[[str, int, int], None] = lambda contender, done, total: None,
) -> tuple[int, list[Failure]]:
    """Copy the images of imported contender `name` into the study; returns how many, and what failed.

    `mapping`: a tab- or comma-separated table with columns `file`, `prompt_id` and perhaps `replicate`;
    without one a file's name is `<prompt id>` or `<prompt id>-<replicate>`. Pixels are kept at their own size
    (EXIF rotation applied, metadata dropped, lossless). A prompt without an image is a failure row.
    Raises InputError: not an imported contender, an image of no prompt, two images for one.
    """
    imported = [c.name for c in study.contenders if study.imported(c)]
    if name not in imported:
        raise unknown(f"imported contender of study '{study.name}'", name, imported)
    if not images.is_dir():
        raise InputError(f"--images {images} is not a folder")
    found = _from_table(mapping, images) if mapping else _from_names(images)
    wanted = {(p.id, r) for p in study.prompts for r in range(study.file.images_per_prompt)}
    strangers = sorted(set(found) - wanted)
    if strangers:
        place = strangers[0]
        raise InputError(
            f"{found[place]}: study '{study.name}' has no prompt '{place[0]}' with replicate {place[1]} "
            f"({len(strangers)} such images): leave them out, or correct the map"
        )
    made: list[Generation] = []
    failed: list[Failure] = []
    for number, (prompt_id, replicate) in enumerate(sorted(wanted), 1):
        path = found.get((prompt_id, replicate))
        row = _take(folder, name, prompt_id, replicate, path)
        (made if isinstance(row, Generation) else failed).append(row)  # pyright: ignore[reportArgumentType]
        progress(name, number, len(wanted))
    folder.append(folder.generations_file, made)
    folder.append(folder.failures_file, failed)
    return len(made), failed


def _take(
    folder: StudyFolder, name: str, prompt_id: str, replicate: int, path: Path | None
) -> Generation | Failure:
    import numpy as np
    from PIL import Image, ImageOps

    def failure(kind: str, message: str) -> Failure:
        return Failure(
            stage="import",
            contender=name,
            prompt_id=prompt_id,
            replicate=replicate,
            kind=kind,
            message=message,
        )

    if path is None:
        return failure("missing", "no image for this prompt")
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return failure("unreadable", f"{path.name}: {error}"[:500])
    data = encode_webp(pixels)
    write_bytes(folder.image(name, prompt_id, replicate), data)
    return Generation(
        contender=name,
        prompt_id=prompt_id,
        replicate=replicate,
        seed=None,
        sha256=sha256(data),
        width=pixels.shape[1],
        height=pixels.shape[0],
        bytes=len(data),
        seconds=None,
        settings=settings_hash({"imported": name}),
        black=int(pixels.max()) <= 8,
    )


def _from_table(path: Path, images: Path) -> dict[Place, Path]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--map {path} cannot be read: {error}") from None
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t" if "\t" in text.partition("\n")[0] else ","))
    if not rows or not {"file", "prompt_id"} <= set(rows[0]):
        raise InputError(
            f"--map {path}: needs a header with the columns file, prompt_id and perhaps replicate"
        )
    found: dict[Place, Path] = {}
    for number, row in enumerate(rows, 2):
        replicate = row.get("replicate") or "0"
        if not replicate.isdigit():
            raise InputError(f"{path}:{number}: replicate '{replicate}' is not a number from 0")
        file = images / row["file"]
        if images.resolve() not in file.resolve().parents or not file.is_file():
            raise InputError(f"{path}:{number}: no file '{row['file']}' in {images}")
        _place(found, (row["prompt_id"], int(replicate)), file)
    return found


def _from_names(images: Path) -> dict[Place, Path]:
    found: dict[Place, Path] = {}
    for file in sorted(p for p in images.iterdir() if p.suffix.lower() in SUFFIXES):
        stem, dash, last = file.stem.rpartition("-")
        place = (stem, int(last)) if dash and last.isdigit() and len(last) < 4 else (file.stem, 0)
        _place(found, place, file)
    if not found:
        raise InputError(f"--images {images} holds no image ({', '.join(SUFFIXES)})")
    return found


def _place(found: dict[Place, Path], place: Place, file: Path) -> None:
    if place in found:
        raise InputError(
            f"{file.name} and {found[place].name} are both for prompt '{place[0]}', replicate {place[1]}"
        )
    found[place] = file
