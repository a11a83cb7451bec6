"""Pictures that prompts of an image-to-image study start from: any file → upright, RGB, square; and kept.

A reference is brought into the study folder once, before the first image is made, so that every contender, every
metric, the arena and the report see the same pixels, and a study folder can travel without the user's files.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError
from bench.records import Prompt, Reference, read_rows
from bench.store.study_folder import StudyFolder, sha256, write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 89_000_000
"""Of a file; above, it is refused before it is decoded. Just below where Pillow begins to warn of bombs."""
SMALLEST = 16
"""Pixels on the shorter side."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Decoders that are tried."""


def read_reference(source: Path | bytes, name: str = "") -> Image:
    """A picture file → RGB, upright, the square in its middle, at its own resolution.

    EXIF rotation is applied and metadata dropped; transparency goes onto white; 16-bit grey is scaled to 8; CMYK
    is converted without its profile. Raises InputError in one line, naming `name` or the path: missing, no
    picture or not whole, SVG, more than one frame, floating point, above MOST_PIXELS, below SMALLEST.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = name or (str(source) if isinstance(source, Path) else "the picture")
    data = _bytes(source, name)
    try:
        Image.init()  # a list of formats alone does not load their decoders
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_header(picture, name)
            picture.load()
            upright = _eight_bit(ImageOps.exif_transpose(picture), name)
    except UnidentifiedImageError:
        raise InputError(f"{name}: {_foreign(data)}") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: above {MOST_PIXELS // 10**6} million pixels: make it smaller") from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        told = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{name}: not a whole picture ({told}): save or copy it again") from None
    side = min(upright.size)
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    return _on_white(upright.crop((left, top, left + side, top + side)))


def fitted(picture: Image, side: int) -> Image:
    """The picture at side × side pixels (Lanczos)."""
    from PIL import Image

    return picture if picture.size == (side, side) else picture.resize((side, side), Image.Resampling.LANCZOS)


def keep(prompts: Sequence[Prompt], base: Path | None, folder: StudyFolder, side: int) -> None:
    """Bring the prompts' references into the folder, at most side × side pixels; the caller holds its lock.

    base: the folder their paths start from; None: the study was opened from its folder, where they already are.
    Raises InputError: a bad file, or one that is no longer what it was when the study began.
    """
    kept = {row.prompt_id: row for row in read_rows(folder.references_file, Reference)}
    for prompt in prompts:
        if prompt.reference is None:
            continue
        row, place = kept.get(prompt.id), folder.reference(prompt.id)
        source = None if base is None else base / prompt.reference
        if row is not None and place.is_file() and (source is None or not source.exists()):
            continue
        if source is None:
            raise InputError(
                f"{place}: the reference of prompt '{prompt.id}' is gone: restore it from a copy"
            )
        data = _bytes(source, f"reference of prompt '{prompt.id}', {source}")
        if row is not None and sha256(data) != row.source_sha256:
            raise InputError(
                f"{source}: the reference of prompt '{prompt.id}' is another file than when {folder.path} was begun: "
                "give the study a new name, or put the old file back"
            )
        if row is not None and place.is_file():
            continue
        picture = read_reference(data, f"reference of prompt '{prompt.id}', {source}")
        picture = fitted(picture, min(side, picture.width))
        image = _webp(picture)
        write_bytes(place, image)
        row = Reference(
            prompt_id=prompt.id, source=prompt.reference, source_sha256=sha256(data), sha256=sha256(image),
            side=picture.width,
        )  # fmt: skip
        folder.append(folder.references_file, [row])


def pixels(folder: StudyFolder, prompts: Sequence[Prompt], side: int) -> Any:
    """uint8 (n, side, side, 3) of the prompts' kept references. Raises InputError: one cannot be read."""
    import numpy as np

    return np.stack([np.asarray(fitted(read_reference(folder.reference(p.id)), side)) for p in prompts])


def _bytes(source: Path | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from None


def _check_header(picture: Image, name: str) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{name}: {width:,} × {height:,} pixels are above {MOST_PIXELS // 10**6} million: make it smaller"
        )
    if min(width, height) < SMALLEST:
        raise InputError(f"{name}: {width} × {height} pixels are too few: at least {SMALLEST} a side")
    frames = getattr(picture, "n_frames", 1)
    if (
        frames > 1 and picture.format != "MPO"
    ):  # a phone's JPEG with a second picture in it: the first is meant
        raise InputError(
            f"{name}: {frames} frames or pages: save the one that is meant as a picture of its own"
        )


def _eight_bit(picture: Image, name: str) -> Image:
    """Any mode in 8 bits a channel, transparency kept; 16-bit grey by its upper byte's scale."""
    import numpy as np
    from PIL import Image

    if picture.mode == "F":
        raise InputError(f"{name}: floating-point pixels: save it as an 8-bit PNG")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.int64)
        return Image.fromarray((np.clip(values, 0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    has_alpha = picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    return picture.convert("RGBA" if has_alpha else "RGB")


def _on_white(picture: Image) -> Image:
    """RGB without metadata; what is transparent shows white."""
    from PIL import Image

    if picture.mode == "RGBA":
        ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(ground, picture).convert("RGB")
    return Image.frombytes("RGB", picture.size, picture.tobytes())


def _foreign(data: bytes) -> str:
    """What a file is that no decoder knows, and what to do."""
    head = data[:512].lstrip().lower()
    if not data:
        return "the file is empty"
    if b"<svg" in head or head.startswith(b"<?xml"):
        return "an SVG drawing, not a picture: export it as PNG"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return "HEIC and AVIF are not read: save it as JPEG or PNG"
    return "not a picture: PNG, JPEG, WebP, GIF, BMP and TIFF are read"


def _webp(picture: Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", lossless=True, quality=0, method=0, exact=True)
    return buffer.getvalue()
