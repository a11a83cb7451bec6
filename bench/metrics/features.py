"""Images and captions to feature arrays, computed once and kept on disk.

The cache goes by the content of the image file and by everything that decides the numbers, so nothing stale
is ever read.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import InputError
from bench.metrics.feature_rows import Array, StoredRows, blocks
from bench.metrics.networks.loading import Encoder, Judge
from bench.metrics.weights import Located
from bench.records import settings_hash
from bench.store.images import File, display_image
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
        self.threads: int | None = None
        """Of torch on a CPU when the first rows were computed: all others are computed with as many."""
        self.index: dict[str, int] = {}
        about = self.folder / "about.json"
        if about.exists():
            known = json.loads(about.read_text(encoding="utf-8"))
            self.dimension, self.threads = int(known["dimension"]), known.get("threads")
            self._read_keys()

    def _read_keys(self) -> None:
        if not (self.keys_file.exists() and self.rows_file.exists()):
            return
        lines = self.keys_file.read_bytes().splitlines(keepends=True)
        keys = [line[:-1].decode() for line in lines if line.endswith(b"\n")]
        whole = self.rows_file.stat().st_size // (4 * self.dimension)
        self.index = {key: number for number, key in enumerate(keys[:whole])}

    def append(self, keys: Sequence[str], rows: Array, threads: int | None = None) -> None:
        """rows: (n, d), n >= 1. threads: of torch, with which they were computed on a CPU."""
        if not self.dimension:
            self.dimension, self.threads = rows.shape[1], threads
            about = {"dimension": self.dimension, "threads": threads, "settings": self.settings}
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


def threads_of(device: str) -> int | None:
    """Torch's threads, which decide the last bits of a row on a CPU; None on a GPU, or where torch is not loaded."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch and not device.startswith("cuda") else None


def hold_threads(wanted: int | None) -> None:
    """Compute with as many threads as the rows that are there already."""
    torch = sys.modules.get("torch")
    if torch and wanted is not None and torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)


def _filled(items: Sequence[Any], shape: int) -> list[Any]:
    """The items, and copies of the last one up to `shape`."""
    return [*items, *[items[-1]] * (shape - len(items))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Images that one network is to read, all in one way. Can be pickled where the extractor is none of a user's."""

    located: Located
    size: int | None
    """The display size, pixels; None: as the file is."""
    fit: str | None
    files: Sequence[tuple[str, File]]
    """Key in the store, and file."""
    partners: Sequence[str | File] | None = None
    """Of a joint extractor: the caption or image file of each."""

    def parts(self, images: int) -> Iterator[Part]:
        """Cut into pieces of that many images."""
        for start in range(0, len(self.files), images):
            cut = slice(start, start + images)
            partners = None if self.partners is None else self.partners[cut]
            yield replace(self, files=self.files[cut], partners=partners)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Features of images: where they are kept, in which order they are asked for, and which are not there yet."""

    store: FeatureStore
    keys: Sequence[str]
    missing: Part


def wanted_images(
    files: Sequence[tuple[str, File]],
    located: Located,
    cache: Path,
    *,
    size: int | None,
    fit: str | None = None,
) -> Wanted:
    """Features of image files; parameters as of `image_features`."""
    size = None if located.extractor.native else size
    store = FeatureStore(cache, shown_as(located, size, fit) | {"of": "images"})
    missing = list({key: path for key, path in files if key not in store.index}.items())
    part = Part(located=located, size=size, fit=fit, files=missing)
    return Wanted(store=store, keys=[key for key, _ in files], missing=part)


def wanted_pairs(
    files: Sequence[tuple[str, File]],
    partners: Sequence[str] | Sequence[tuple[str, File]],
    located: Located,
    cache: Path,
    *,
    size: int | None,
    fit: str | None = None,
) -> Wanted:
    """What a joint extractor gives images with their partners; parameters as of `pair_values`."""
    size = None if located.extractor.native else size
    store = FeatureStore(cache, shown_as(located, size, fit) | {"of": "pairs"})
    keys = [_pair_key(key, other) for (key, _), other in zip(files, partners, strict=True)]
    missing = {
        key: (path, other if isinstance(other, str) else other[1])
        for key, (_, path), other in zip(keys, files, partners, strict=True)
        if key not in store.index
    }
    part = Part(
        located=located,
        size=size,
        fit=fit,
        files=[(key, path) for key, (path, _) in missing.items()],
        partners=[other for _, other in missing.values()],
    )
    return Wanted(store=store, keys=keys, missing=part)


def computed(part: Part, network: Any, device: str) -> Iterator[tuple[list[str], Array]]:
    """Keys and float32 rows of a part's images, batch by batch; images stream through memory.

    Parameters
    ----------
    network
        An `Encoder`, or a `Judge` where the part has partners.
    device
        It decides the shape of a batch.
    """
    located, alone = part.located, getattr(network, "alone", False)
    shape = 1 if alone and part.partners is not None else batch_shape(device)
    partner_of = dict(zip([key for key, _ in part.files], part.partners or (), strict=False))
    together = shape if part.partners is None else max(shape, 16)
    for block, prepared in _prepared(part.files, network.prepare, part.size, part.fit, together):
        keys = [key for key, _ in block]
        if part.partners is None:
            rows = network.images(_stacked(_filled(prepared, shape)))[: len(block)]
        else:
            partners = [partner_of[key] for key in keys]
            beside = [
                p if isinstance(p, str) else network.prepare(display_image(p, part.size, part.fit))
                for p in partners
            ]
            rows = np.concatenate(
                [
                    np.column_stack(network.pairs(a if alone else _stacked(a), b))[:count]
                    for a, b, count in _shaped(prepared, beside, shape, whole=alone)
                ]
            )
        yield keys, _finite(rows, located.name)


def _complete(
    wanted: Wanted, network: Callable[[], Any], device: str, progress: Progress | None
) -> FeatureStore:
    """The store, with what was missing in it computed here. The network is opened only if something is."""
    store, part, done = wanted.store, wanted.missing, 0
    if part.files:
        opened = network()
        hold_threads(store.threads)
        for keys, rows in computed(part, opened, device):
            store.append(keys, rows, threads_of(device))
            done += len(keys)
            if progress:
                progress(f"features {part.located.name}", done, len(part.files))
    return store


def image_features(
    files: Sequence[tuple[str, File]],
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
    wanted = wanted_images(files, located, cache, size=size, fit=fit)
    return _complete(wanted, encoder, device, progress).rows(wanted.keys)


def pair_values(
    files: Sequence[tuple[str, File]],
    partners: Sequence[str] | Sequence[tuple[str, File]],
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
    wanted = wanted_pairs(files, partners, located, cache, size=size, fit=fit)
    store = _complete(wanted, judge, device, progress)
    return store.rows(wanted.keys, slice(0, 1)), _flags(store.rows(wanted.keys, slice(1, 2)))


def _pair_key(image: str, other: str | tuple[str, File]) -> str:
    text = other if isinstance(other, str) else other[0]
    return hashlib.sha256(f"{image}\n{text}".encode()).hexdigest()


def _prepared(
    files: Sequence[tuple[str, File]],
    prepare: Callable[[Any], Any],
    size: int | None,
    fit: str | None,
    batch: int,
) -> Iterator[tuple[Sequence[tuple[str, File]], Any]]:
    """Batches of decoded and resized images; the next one is prepared while the network has this one."""

    def one(path: File) -> Any:
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
        network = encoder()
        hold_threads(store.threads)
        rows, cut = network.texts(_filled(part, shape))
        rows = np.column_stack([rows, cut])[: len(part)]
        store.append([keys[text] for text in part], _finite(rows, located.name), threads_of(device))
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
