"""What the browser sees of an image: the same encoder, size and number of bytes for every contender.

PNG without compression: lossless, and its length depends on the display size alone, so nothing about a
model can be read off a length or off the time compression takes. Reading an image at its native size takes
three times as long at 1024 pixels as at 512, which a clock would tell apart: so every image is rendered once,
before the first rater comes, and from then on all are files of equal length.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from bench.records import InputError
from bench.store import write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

DEGRADED = "degraded"
FEW = 50
"""So few images are rendered in this process; more of them on every core."""


class Shown:
    """Rendered images in a folder, named by what they were made of; the folder may be deleted at any time."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def path(self, digest: str, change: str = "") -> Path:
        ending = f"-{change}" if change else ""
        return self.folder / f"{digest[:40]}-{self.size}{ending}.png"

    def get(self, source: Path, digest: str, change: str = "") -> bytes:
        """The PNG; `digest` is the sha256 of the source's bytes. Raises InputError: missing or unreadable."""
        target = self.path(digest, change)
        try:
            return target.read_bytes()
        except FileNotFoundError:
            pass
        if change:  # from what is rendered already: as quick for one contender as for another
            self.get(source, digest)
            source = self.path(digest)
        _render(source, target, self.size, change)
        return target.read_bytes()

    def missing(self, sources: Iterable[tuple[Path, str]]) -> list[tuple[Path, str]]:
        """Those not rendered yet, each content once."""
        unlike = {digest: path for path, digest in sources}
        return [(path, digest) for digest, path in unlike.items() if not self.path(digest).exists()]

    def render_all(self, sources: Iterable[tuple[Path, str]]) -> Iterator[InputError | None]:
        """Render what is not there yet; yields once an image, with the fault of one that cannot be shown.

        sources: path and sha256 of each.
        """
        work = [(path, self.path(digest)) for path, digest in self.missing(sources)]
        if len(work) <= FEW:
            for path, target in work:
                yield _tried(path, target, self.size)
            return
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            for done in as_completed([pool.submit(_tried, *one, self.size) for one in work]):
                yield done.result()


def _tried(source: Path, target: Path, size: int) -> InputError | None:
    try:
        _render(source, target, size, "")
    except InputError as error:
        return error
    return None


def _render(source: Path, target: Path, size: int, change: str) -> None:
    write_bytes(target, displayed(source, size, change))


def displayed(path: Path, size: int, change: str = "") -> bytes:
    """PNG of the file at size × size pixels, without metadata. `change` 'degraded': blurred and coarse.

    Raises InputError: missing or unreadable.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"image {path} cannot be read ({error}): run `bench verify`") from None
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    if change == DEGRADED:
        picture = _degraded(picture)
    # A copy by bytes carries neither EXIF, text chunks nor a colour profile.
    clean = Image.frombytes("RGB", picture.size, picture.tobytes())
    buffer = io.BytesIO()
    clean.save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def _degraded(picture: Image) -> Image:
    from PIL import Image, ImageFilter

    size = picture.size[0]
    coarse = picture.resize((max(4, size // 40), max(4, size // 40)), Image.Resampling.BOX)
    return coarse.resize(picture.size, Image.Resampling.NEAREST).filter(ImageFilter.GaussianBlur(size / 60))
