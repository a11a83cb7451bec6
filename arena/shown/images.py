"""What the browser sees of an image: the same encoder, size and number of bytes for every contender.

Lossless WebP, whose length would tell a smooth model from a sharp one: so every answer is filled up to the length
of the study's longest. Reading an image at its native size takes three times as long at 1024 pixels as at 512,
which a clock would tell apart: so every image is rendered once, before the first rater comes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.store.images import display_image, encode_webp
from bench.store.study_folder import sha256, write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

DEGRADED = "degraded"
STEP = 16 * 1024
"""Bytes: answers are a multiple of this long."""
FEW = 50
"""So few images are rendered in this process; more of them on every core."""


class Shown:
    """Rendered images in a folder, named by what they were made of; the folder may be deleted at any time."""

    def __init__(self, folder: Path, size: int, fit: str | None = None) -> None:
        self.folder = folder
        self.size = size
        self.fit = fit

    def path(self, digest: str, change: str = "") -> Path:
        ending = f"-{change}" if change else ""
        return self.folder / f"{digest[:40]}-{self.size}{self.fit or ''}{ending}.webp"

    def get(self, source: Path, digest: str, change: str = "") -> bytes:
        """The WebP; `digest` is the sha256 of the source's bytes. Raises InputError: missing or unreadable."""
        target = self.path(digest, change)
        try:
            return target.read_bytes()
        except FileNotFoundError:
            pass
        if not change:
            check_bytes(source, digest)
        else:  # from what is rendered already: as quick for one contender as for another
            self.get(source, digest)
            source = self.path(digest)
        _render(source, target, self.size, self.fit, change)
        return target.read_bytes()

    def longest(self, sources: Iterable[tuple[Path, str]]) -> int:
        """Bytes that hold any of the rendered pictures, degraded or not: a multiple of STEP."""
        paths = {self.path(digest) for _, digest in sources}
        lengths = [path.stat().st_size for path in paths if path.exists()]
        return STEP * max(1, -(-max(lengths, default=0) // STEP))

    def missing(self, sources: Iterable[tuple[Path, str]]) -> list[tuple[Path, str]]:
        """Those not rendered yet, each content once."""
        unlike = {digest: path for path, digest in sources}
        return [(path, digest) for digest, path in unlike.items() if not self.path(digest).exists()]

    def render_all(self, sources: Iterable[tuple[Path, str]]) -> Iterator[InputError | None]:
        """Render what is not there yet; yields once an image, with the fault of one that cannot be shown.

        sources: path and sha256 of each.
        """
        work = [(path, digest, self.path(digest)) for path, digest in self.missing(sources)]
        if len(work) <= FEW:
            for path, digest, target in work:
                yield _tried(path, digest, target, self.size, self.fit)
            return
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            for done in as_completed([pool.submit(_tried, *one, self.size, self.fit) for one in work]):
                yield done.result()


def check_bytes(source: Path, digest: str) -> None:
    """Raises InputError where the file is missing, or is not the one with that sha256."""
    try:
        data = source.read_bytes()
    except OSError as error:
        raise InputError(f"image {source} cannot be read ({error}): run `bench verify`") from None
    if sha256(data) != digest:
        raise InputError(
            f"image {source} is not the one the study recorded, so it is not shown: run `bench verify`"
        )


def _tried(source: Path, digest: str, target: Path, size: int, fit: str | None) -> InputError | None:
    try:
        check_bytes(source, digest)
        _render(source, target, size, fit, "")
    except InputError as error:
        return error
    return None


def _render(source: Path, target: Path, size: int, fit: str | None, change: str) -> None:
    write_bytes(target, displayed(source, size, fit, change))


def displayed(path: Path, size: int, fit: str | None = None, change: str = "") -> bytes:
    """Lossless WebP of the file at size × size pixels, without metadata.

    Parameters
    ----------
    path : an image of the study, or a rendered one.
    size : pixels of each side.
    fit : how an image that is not square becomes square; the study's.
    change : '' or 'degraded', a coarse mosaic.

    Raises
    ------
    InputError : missing or unreadable, or not square without `fit`.
    """
    image = display_image(path, size, fit, cure="run `bench verify`")
    return encode_webp(_degraded(image) if change == DEGRADED else image)


def filled(webp: bytes, length: int) -> bytes:
    """The same picture in exactly `length` bytes (even): zeros after its last pixel, within its only chunk.

    Raises InputError: it is longer.
    Source: the WebP container specification, "Simple File Format (Lossless)".
    """
    if len(webp) > length:
        raise InputError(
            f"a picture takes {len(webp)} bytes, all others at most {length}: start the server anew"
        )
    head = b"RIFF" + (length - 8).to_bytes(4, "little") + b"WEBPVP8L" + (length - 20).to_bytes(4, "little")
    return (head + webp[20:]).ljust(length, b"\0")


def _degraded(picture: Image) -> Image:
    """Flat tiles: no rendered picture is a shorter file, so none of them stands out by its length."""
    from PIL import Image

    coarse = [max(4, side // 40) for side in picture.size]
    return picture.resize(coarse, Image.Resampling.BOX).resize(picture.size, Image.Resampling.NEAREST)
