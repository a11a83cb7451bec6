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

from bench.errors import InputError
from bench.metrics.feature_rows import Array, StoredRows, blocks
from bench.metrics.networks.loading import Encoder, Judge
from bench.metrics.weights import Located
from bench.records import settings_hash
from bench.store.images import display_image
from bench.store.study_folder import write_bytes

Progress = Callable[[str, int, int], None]
"""what, done, total"""


def shown_as(located: Located, size: int | None, fit: str | None) -> dict[str, Any]:
    """What decides the features of an image beside its bytes: the extractor, the size, how it became square."""
    return located.protocol() | {"display_size": size} | ({"fit": fit} if fit else {})


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

    def rows(self, keys: Sequence[str], columns: slice = slice(None)) -> StoredRows:
        """(n, d) float32 in the order of keys, which must all be there; read only when asked for."""
        order = np.fromiter((self.index[key] for key in keys), dtype=np.int64, count=len(keys))
        return StoredRows(self.rows_file, self.dimension, order, columns)


def _append(path: Path, end: int, data: bytes) -> None:
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def batch_shape(device: str) -> int:
    """Images and captions a network reads at once: always that many, a short batch filled up with copies.

    A row's last bits depend on the shape of its batch, so that of a resumed cache would differ from those of
    an uninterrupted one.
    """
    return 32 if device.startswith("cuda") else 8


def _filled(items: Sequence[Any], shape: int) -> list[Any]:
    """The items, and copies of the last one up to `shape`."""
    return [*items, *[items[-1]] * (shape - len(items))]


def image_features(
    files: Sequence[tuple[str, Path]],
    located: Located,
    encoder: Callable[[], Encoder],
    cache: Path,
    *,
    size: int | None,
    fit: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> StoredRows:
    """(n, d) float32 features of image files, from the cache where they are there.

    files: sha256 of each file's bytes, and its path. encoder: called only if something is to be computed.
    size: the display size, pixels; None or an extractor with `native`: as the file is. fit: how an image that is
    not square becomes square; None refuses it. Images stream: at most a few batches are in memory.
    """
    size = None if located.extractor.native else size
    store = FeatureStore(cache, shown_as(located, size, fit) | {"of": "images"})
    missing = list({key: path for key, path in files if key not in store.index}.items())
    done = 0
    if missing:
        network, shape = encoder(), batch_shape(device)
        for block, prepared in _prepared(missing, network.prepare, size, fit, shape):
            rows = network.images(_stacked(_filled(prepared, shape)))[: len(block)]
            store.append([key for key, _ in block], _finite(rows, located.name))
            done += len(block)
            if progress:
                progress(f"features {located.name}", done, len(missing))
    return store.rows([key for key, _ in files])


def pair_values(
    files: Sequence[tuple[str, Path]],
    partners: Sequence[str] | Sequence[tuple[str, Path]],
    located: Located,
    judge: Callable[[], Judge],
    cache: Path,
    *,
    size: int | None,
    fit: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[StoredRows, Array]:
    """(n, 1) float32 what a joint extractor gives each image with its partner, and (n,) bool: caption cut.

    partners: captions, or image files as `files` has them. Cached by the content of both. Else as
    `image_features`.
    """
    size = None if located.extractor.native else size
    store = FeatureStore(cache, shown_as(located, size, fit) | {"of": "pairs"})
    keys = [_pair_key(key, other) for (key, _), other in zip(files, partners, strict=True)]
    pairs = zip(keys, files, partners, strict=True)
    missing = list({k: (path, other) for k, (_, path), other in pairs if k not in store.index}.items())
    done = 0
    if missing:
        network = judge()
        # A user's function sees each image once.
        shape = 1 if located.open else batch_shape(device)
        todo = [(key, path) for key, (path, _) in missing]
        others = dict(missing)
        for block, prepared in _prepared(todo, network.prepare, size, fit, max(shape, 16)):
            partner = [others[key][1] for key, _ in block]
            beside = [
                o if isinstance(o, str) else network.prepare(display_image(o[1], size, fit)) for o in partner
            ]
            rows = np.concatenate(
                [
                    np.column_stack(network.pairs(_stacked(a), b))[:count]
                    for a, b, count in _shaped(prepared, beside, shape, whole=located.open is not None)
                ]
            )
            rows = _finite(rows, located.name)
            store.append([key for key, _ in block], rows)
            done += len(block)
            if progress:
                progress(f"features {located.name}", done, len(missing))
    return store.rows(keys, slice(0, 1)), _flags(store.rows(keys, slice(1, 2)))


def _pair_key(image: str, other: str | tuple[str, Path]) -> str:
    text = other if isinstance(other, str) else other[0]
    return hashlib.sha256(f"{image}\n{text}".encode()).hexdigest()


def _prepared(
    files: Sequence[tuple[str, Path]],
    prepare: Callable[[Any], Any],
    size: int | None,
    fit: str | None,
    batch: int,
) -> Iterator[tuple[Sequence[tuple[str, Path]], Any]]:
    """Batches of decoded and resized images; the next one is prepared while the network has this one."""

    def one(path: Path) -> Any:
        return prepare(display_image(path, size, fit, cure="restore it, or generate it again"))

    parts = [files[start : start + batch] for start in range(0, len(files), batch)]
    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:
        ahead = [pool.submit(one, path) for _, path in parts[0]]
        for now, then in zip(parts, [*parts[1:], []], strict=True):
            ready, ahead = ahead, [pool.submit(one, path) for _, path in then]
            yield now, [future.result() for future in ready]


def _stacked(prepared: Sequence[Any]) -> Any:
    """One tensor, or the list where a network prepares something else than tensors of one size."""
    import torch

    if all(isinstance(one, torch.Tensor) and one.shape == prepared[0].shape for one in prepared):
        return torch.stack(list(prepared))
    return list(prepared)


def _shaped(
    images: Sequence[Any], partners: Sequence[Any], shape: int, *, whole: bool
) -> Iterator[tuple[list[Any], list[Any], int]]:
    """Batches of `shape`, the last one filled up, and how many of each are real; `whole`: all as they are."""
    if whole:
        yield list(images), list(partners), len(images)
        return
    for start in range(0, len(images), shape):
        part = slice(start, start + shape)
        yield _filled(images[part], shape), _filled(partners[part], shape), len(images[part])


def text_features(
    captions: Sequence[str],
    located: Located,
    encoder: Callable[[], Encoder],
    cache: Path,
    *,
    device: str = "cpu",
) -> tuple[StoredRows, Array]:
    """(n, d) float32 and (n,) bool truncated; each distinct caption is encoded once and kept."""
    store = FeatureStore(cache, located.protocol() | {"of": "captions"})
    keys = {text: hashlib.sha256(text.encode()).hexdigest() for text in captions}
    missing = [text for text, key in keys.items() if key not in store.index]
    shape = batch_shape(device)
    for start in range(0, len(missing), shape):
        part = missing[start : start + shape]
        rows, cut = encoder().texts(_filled(part, shape))
        rows = np.column_stack([rows, cut])[: len(part)]
        store.append([keys[text] for text in part], _finite(rows, located.name))
    order = [keys[text] for text in captions]
    return store.rows(order, slice(0, -1)), _flags(store.rows(order, slice(-1, None)))


def _flags(column: StoredRows) -> Array:
    """(n,) bool of an (n, 1) column."""
    found = np.zeros(len(column), dtype=bool)
    for part, rows in blocks(column, 65536):
        found[part] = rows[:, 0] > 0
    return found


def _finite(rows: Array, name: str) -> Array:
    if not np.isfinite(rows).all():
        raise InputError(
            f"extractor '{name}' gave a value that is not finite: its weights are damaged; fetch them anew"
        )
    return rows
