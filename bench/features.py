"""Images and captions to feature arrays, computed once and kept on disk.

The cache goes by the content of the image file and by everything that decides the numbers, so nothing stale
is ever read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.encoders import Encoder
from bench.extractors import Located
from bench.records import InputError, settings_hash
from bench.store import write_bytes

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]
"""what, done, total"""

DISPLAY_RESIZE = "Lanczos, PIL, 8 bit"


def open_image(path: Path, size: int | None = None) -> Any:
    """A PIL RGB image, resized to size x size (Lanczos) where that is not its size already.

    Raises InputError naming a file that is not an image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as an image ({error}): restore it, or generate it again"
        ) from None
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return image


class FeatureStore:
    """Rows of float32 in one file, their keys (content hashes) in another; appended block by block.

    The keys are written after the rows are on disk: what a killed process leaves half-written is cut off.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder / settings_hash(settings)
        self.settings = settings
        self.rows_file = self.folder / "rows.f32"
        self.keys_file = self.folder / "keys.txt"
        self.dimension = 0
        self.index: dict[str, int] = {}
        about = self.folder / "about.json"
        if about.exists():
            self.dimension = int(json.loads(about.read_text(encoding="utf-8"))["dimension"])
            self._read_keys()

    def _read_keys(self) -> None:
        if not (self.keys_file.exists() and self.rows_file.exists()):
            return
        lines = self.keys_file.read_bytes().splitlines(keepends=True)
        keys = [line[:-1].decode() for line in lines if line.endswith(b"\n")]
        whole = self.rows_file.stat().st_size // (4 * self.dimension)
        self.index = {key: number for number, key in enumerate(keys[:whole])}

    def append(self, keys: Sequence[str], rows: Array) -> None:
        """rows: (n, d), n >= 1."""
        if not self.dimension:
            self.dimension = rows.shape[1]
            about = {"dimension": self.dimension, "settings": self.settings}
            write_bytes(self.folder / "about.json", json.dumps(about, indent=1).encode())
        kept = len(self.index)
        _append(self.rows_file, 4 * self.dimension * kept, np.ascontiguousarray(rows, dtype="<f4").tobytes())
        _append(self.keys_file, 65 * kept, "".join(f"{key}\n" for key in keys).encode())
        for key in keys:
            self.index[key] = len(self.index)

    def rows(self, keys: Sequence[str]) -> Array:
        """(n, d) float32 in the order of keys, which must all be there."""
        if not self.dimension:
            return np.zeros((0, 0), dtype=np.float32)
        table = np.memmap(self.rows_file, dtype="<f4", mode="r").reshape(-1, self.dimension)
        return np.asarray(table[[self.index[key] for key in keys]])


def _append(path: Path, end: int, data: bytes) -> None:
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def image_features(
    files: Sequence[tuple[str, Path]],
    located: Located,
    encoder: Callable[[], Encoder],
    cache: Path,
    *,
    size: int | None,
    batch: int = 32,
    progress: Progress | None = None,
) -> Array:
    """(n, d) float32 features of image files, from the cache where they are there.

    files: sha256 of each file's bytes, and its path. encoder: called only if something is to be computed.
    size: the display size, pixels; None or an extractor with `native`: as the file is. Images stream: at most
    a few batches are in memory.
    """
    size = None if located.extractor.native else size
    store = FeatureStore(cache, located.protocol() | {"display_size": size, "of": "images"})
    missing = list({key: path for key, path in files if key not in store.index}.items())
    if missing:
        network = encoder()
        done = 0
        for keys, prepared in _prepared(missing, network, size, batch):
            store.append(keys, _finite(network.images(prepared), located.name))
            done += len(keys)
            if progress:
                progress(f"features {located.name}", done, len(missing))
    return store.rows([key for key, _ in files])


def _prepared(
    files: Sequence[tuple[str, Path]], network: Encoder, size: int | None, batch: int
) -> Iterator[tuple[list[str], Any]]:
    """Batches of decoded and resized images; the next one is made while the network has this one."""
    import torch

    def one(path: Path) -> Any:
        return network.prepare(open_image(path, size))

    blocks = [files[start : start + batch] for start in range(0, len(files), batch)]
    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:
        ahead = [pool.submit(one, path) for _, path in blocks[0]]
        for number, block in enumerate(blocks):
            now = ahead
            ahead = [
                pool.submit(one, path) for _, path in (blocks[number + 1] if number + 1 < len(blocks) else [])
            ]
            yield [key for key, _ in block], torch.stack([future.result() for future in now])


def text_features(
    captions: Sequence[str], located: Located, encoder: Callable[[], Encoder], cache: Path, batch: int = 64
) -> tuple[Array, Array]:
    """(n, d) float32 and (n,) bool truncated; each distinct caption is encoded once and kept."""
    store = FeatureStore(cache, located.protocol() | {"of": "captions"})
    keys = {text: hashlib.sha256(text.encode()).hexdigest() for text in captions}
    missing = [text for text, key in keys.items() if key not in store.index]
    for start in range(0, len(missing), batch):
        block = missing[start : start + batch]
        rows, cut = encoder().texts(block)
        store.append([keys[text] for text in block], np.column_stack([rows, cut]))
    table = store.rows([keys[text] for text in captions])
    return table[:, :-1], table[:, -1] > 0


def _finite(rows: Array, name: str) -> Array:
    if not np.isfinite(rows).all():
        raise InputError(
            f"extractor '{name}' gave a value that is not finite: its weights are damaged; fetch them anew"
        )
    return rows
