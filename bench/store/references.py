"""The images that prompts of an image-to-image study start from, kept in the study folder.

A reference enters the study folder once, before the first image is generated, so that every contender, every
metric, the arena and the report see the same pixels, and a study folder can travel without the user's files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError
from bench.records import Prompt, Reference, read_rows
from bench.store.images import encode_webp, read_image, resize, square
from bench.store.study_folder import StudyFolder, sha256, write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST = 16
"""Pixels that the shorter side of a reference must have."""


def read_reference(source: Path | bytes, name: str = "") -> Image:
    """An image file → RGB, upright, the square in its middle, at its own resolution.

    Raises InputError as `read_image` does, and for an image below SMALLEST.
    """
    return square(read_image(source, name, smallest=SMALLEST), "crop")


def store_references(prompts: Sequence[Prompt], base: Path | None, folder: StudyFolder, side: int) -> None:
    """Store the prompts' references in the study folder; the caller holds its lock.

    Parameters
    ----------
    prompts : those without a reference are passed over.
    base : the folder that their paths start from; None: the study was opened from its folder, which has them.
    folder : the study folder.
    side : pixels; a larger reference is stored at side × side.

    Raises
    ------
    InputError : a file that cannot be read, or that is no longer what it was when the study began.
    """
    stored = {row.prompt_id: row for row in read_rows(folder.references_file, Reference)}
    for prompt in prompts:
        if prompt.reference is not None:
            _store(prompt, stored.get(prompt.id), base, folder, side)


def _store(prompt: Prompt, row: Reference | None, base: Path | None, folder: StudyFolder, side: int) -> None:
    place = folder.reference(prompt.id)
    source = None if base is None else base / str(prompt.reference)
    if row is not None and place.is_file() and (source is None or not source.exists()):
        return
    if source is None:
        raise InputError(f"{place}: the reference of prompt '{prompt.id}' is missing: restore it from a copy")
    name = f"reference of prompt '{prompt.id}', {source}"
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from None
    if row is not None and sha256(data) != row.source_sha256:
        raise InputError(
            f"{source}: the reference of prompt '{prompt.id}' is another file than when {folder.path} was begun: "
            "give the study a new name, or put the old file back"
        )
    if row is not None and place.is_file():
        return
    image = read_reference(data, name)
    image = resize(image, min(side, image.width))
    encoded = encode_webp(image)
    write_bytes(place, encoded)
    new = Reference(
        prompt_id=prompt.id,
        source=str(prompt.reference),
        source_sha256=sha256(data),
        sha256=sha256(encoded),
        side=image.width,
    )
    folder.append(folder.references_file, [new])


def reference_pixels(folder: StudyFolder, prompts: Sequence[Prompt], side: int) -> Any:
    """uint8 (n, side, side, 3) of the prompts' stored references. Raises InputError: one cannot be read."""
    import numpy as np

    return np.stack([np.asarray(resize(read_reference(folder.reference(p.id)), side)) for p in prompts])
