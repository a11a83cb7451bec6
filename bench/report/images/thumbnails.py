"""Small copies of images: embedded in the page while its budget lasts, then in files beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.records import Prompt
from bench.report.results import Results
from bench.store.images import read_image
from bench.store.study_folder import write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

EMBEDDED = 11_000_000
"""Bytes of images inside the page, before base64; those beyond go into a folder beside it."""
REFERENCE = "reference"
"""Caption of the image that the others were generated from."""
TINY = 128
"""Longest side, pixels, up to which a thumbnail is lossless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """One image as the page shows it."""

    contender: str
    source: str
    """Data URI or relative address; empty: there is none, and `fault` says why."""
    width: int = 0
    """Pixels."""
    height: int = 0
    seed: int | None = None
    fault: str = ""


@dataclass(slots=True)
class Thumbnails:
    """Makes thumbnails, each once, and places them in the page or beside it."""

    results: Results
    side: int
    """Longest side, pixels."""
    folder: Path
    """For those that the page does not hold."""
    spent: int = 0
    """Bytes embedded so far."""
    paths: list[Path] = field(default_factory=list)
    """Thumbnails that the page links."""
    known: dict[tuple[str, str, int], Thumbnail] = field(default_factory=dict)

    def get(self, contender: str, prompt_id: str, replicate: int = 0) -> Thumbnail:
        """The thumbnail of one image, or why there is none."""
        key = (contender, prompt_id, replicate)
        if key not in self.known:
            row = self.results.generations.get(key)
            if row is None:
                self.known[key] = Thumbnail(contender=contender, source="", fault=self._missing(key))
            else:
                made = thumbnail(self.results.folder.image(*key), self.side)
                fault = "black" if row.black else ""
                self.known[key] = self._placed(contender, made, seed=row.seed, fault=fault)
        return self.known[key]

    def reference(self, prompt: Prompt) -> Thumbnail | None:
        """The reference image of a prompt of an image-to-image study."""
        if self.results.task != "image-to-image":
            return None
        key = (REFERENCE, prompt.id, 0)
        if key not in self.known:
            made = thumbnail(self.results.folder.reference(prompt.id), self.side)
            self.known[key] = self._placed(REFERENCE, made, seed=None, fault="")
        return self.known[key]

    def _placed(
        self, contender: str, made: tuple[bytes, int, int] | str, *, seed: int | None, fault: str
    ) -> Thumbnail:
        if isinstance(made, str):
            return Thumbnail(contender=contender, source="", seed=seed, fault=made)
        data, width, height = made
        if self.spent + len(data) <= EMBEDDED:
            self.spent += len(data)
            source = "data:image/webp;base64," + base64.b64encode(data).decode()
        else:
            path = self.folder / f"{len(self.paths):05d}.webp"
            write_bytes(path, data)
            self.paths.append(path)
            source = f"{self.folder.name}/{path.name}"
        return Thumbnail(
            contender=contender, source=source, width=width, height=height, seed=seed, fault=fault
        )

    def _missing(self, key: tuple[str, str, int]) -> str:
        for failure in self.results.failures:
            if (failure.contender, failure.prompt_id, failure.replicate) == key:
                return f"failed: {failure.kind}"
        return "not generated"


def opened(path: Path, side: int) -> Image | str:
    """An image no larger than `side`; or what is wrong with the file."""
    from PIL import Image

    try:
        image = read_image(path)
    except InputError:
        return "file damaged" if path.exists() else "file missing"
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image


def thumbnail(path: Path, side: int) -> tuple[bytes, int, int] | str:
    """WebP bytes no larger than `side`, with width and height; or what is wrong with the file."""
    image = opened(path, side)
    if isinstance(image, str):
        return image
    out = io.BytesIO()
    # Compression noise would be a tenth of what there is to see in a tiny image.
    image.save(out, "WEBP", quality=82, method=4, lossless=max(image.size) <= TINY)
    return out.getvalue(), image.width, image.height


def pixels_of(results: Results) -> Callable[[str, str, int], Image | None]:
    """What figures of samples ask for: contender, prompt id and pixels a side → the first replicate's image."""

    def pixels(contender: str, prompt_id: str, side: int) -> Image | None:
        if (contender, prompt_id, 0) not in results.generations:
            return None
        image = opened(results.folder.image(contender, prompt_id, 0), side)
        return None if isinstance(image, str) else image

    return pixels


def side_for(results: Results, count: int) -> int:
    """Longest side of a thumbnail, pixels: smaller when there are many, never above what raters saw."""
    wanted = 384 if count <= 72 else 256 if count <= 240 else 192
    return min(wanted, results.display_size)
