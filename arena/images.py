"""What the browser sees of an image: the same encoder, size and number of bytes for every contender.

PNG without compression: lossless, and its length depends on the display size alone, so nothing about a
model can be read off a length or off the time compression takes.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.records import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

CACHED = 256
"""Encoded images kept, 0.8 MB each at 512 pixels."""


def displayed(path: Path, size: int, change: str = "") -> bytes:
    """PNG of the file at size × size pixels, without metadata. `change` 'degraded': blurred and coarse.

    Raises InputError: missing or unreadable.
    """
    return _displayed(str(path), size, change)


@lru_cache(maxsize=CACHED)
def _displayed(path: str, size: int, change: str) -> bytes:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"image {path} cannot be read ({error}): run `bench verify`") from None
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    if change == "degraded":
        picture = _degraded(picture)
    # A copy by bytes carries neither EXIF, text chunks nor a colour profile.
    clean = Image.frombytes("RGB", picture.size, picture.tobytes())
    buffer = io.BytesIO()
    clean.save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def _degraded(picture: Image) -> Image:
    from PIL import Image, ImageFilter

    size = picture.size[0]
    coarse = picture.resize((max(4, size // 40),) * 2, Image.Resampling.BOX)
    return coarse.resize(picture.size, Image.Resampling.NEAREST).filter(ImageFilter.GaussianBlur(size / 60))
