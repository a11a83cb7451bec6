"""What images are compared with: a folder, a built reference, another contender, or published statistics."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import InputError, unknown
from bench.metrics.feature_rows import Array, StoredRows
from bench.metrics.frechet import Moments, moments
from bench.records import cache_folder, settings_hash
from bench.store.images import SUFFIXES, File, image_size, read_image
from bench.store.study_folder import sha256, write_bytes

BUILT_FOLDER = "references"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A reference with a home of its own; `bench fetch` brings it (`bench.metrics.reference_fetch`)."""

    url: str
    """An archive of images, or an `.npz` of statistics."""
    count: int
    """Images in the archive; of statistics the dimension."""
    licence: str
    source: str
    sha256: str = ""
    """Of what is downloaded; empty: recorded at the first fetch and held to afterwards."""

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


PUBLISHED: dict[str, Published] = {
    "coco-2017-val": Published(
        url="http://images.cocodataset.org/zips/val2017.zip",
        count=5000,
        licence="per image, Flickr; annotations CC-BY-4.0",
        source="Lin et al. 2014, arXiv 1405.0312",
    ),
    "mlperf-val2014": Published(
        url="https://github.com/mlcommons/inference/raw/4b1d1156c23965172ae56eacdd8372f8897eb771/"
        "text_to_image/tools/val2014.npz",
        count=2048,
        licence="Apache-2.0",
        source="MLPerf Inference, text_to_image: Inception statistics of COCO-2014 val",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    name: str
    files: tuple[tuple[str, File], ...]
    """sha256 of the bytes, and path; empty for published statistics."""
    cache: Path | None
    """Where its features are kept; None: with the study's."""
    statistics: Moments | None
    """Published mean and covariance of Inception features, instead of images."""
    sha256: str

    def protocol(self) -> dict[str, Any]:
        n = self.statistics.n if self.statistics else len(self.files)
        return {"reference": self.name, "reference_n": n, "reference_sha256": self.sha256}


def from_folder(name: str, folder: Path, cache: Path | None = None) -> Reference:
    """Every image below a folder, in the order of its path; hidden files and folders are passed over.

    Raises InputError where there is none, or one cannot be read.
    """
    paths = images_below(folder)
    if not paths:
        raise InputError(f"reference folder {folder} holds no image ({', '.join(SUFFIXES)})")
    for path in paths:
        if image_size(path) is None:
            read_image(path, cure="remove it from the reference, or replace it")  # raises with the reason
            raise InputError(
                f"{path}: its header cannot be read: remove it from the reference, or replace it"
            )
    return from_files(name, [(sha256(path.read_bytes()), path) for path in paths], cache)


def images_below(folder: Path) -> list[Path]:
    """Image files below a folder, links to folders followed, sorted by path.

    What is hidden (`.ipynb_checkpoints`, `._photo.jpg`) and `__MACOSX` are passed over. A folder that is
    reached twice, by a link to one above it, is listed once.
    """
    paths: list[Path] = []
    seen: set[Path] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        real = Path(place).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        paths += [Path(place) / name for name in files if not _hidden(name) and _is_image(name)]
    return sorted(paths)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def from_files(name: str, files: Sequence[tuple[str, File]], cache: Path | None = None) -> Reference:
    content = settings_hash(sorted(key for key, _ in files))
    return Reference(name=name, files=tuple(files), cache=cache, statistics=None, sha256=content)


def build(
    name: str, folder: Path, prepare: Callable[[Reference], None] = lambda reference: None
) -> Reference:
    """Keep a folder of images as a reference: its files' hashes and its recipe, in the cache.

    Parameters
    ----------
    name : what studies call it.
    folder : every image below it counts.
    prepare : called before the reference is listed, to compute its features; where it raises, nothing is
        listed, and a reference of that name built before stays as it is.

    Raises
    ------
    InputError : a bad name, no image, or one that cannot be read.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise InputError(f"reference name '{name}': use lower-case letters, digits, '.', '_' and '-'")
    place = cache_folder() / BUILT_FOLDER / name
    reference = from_folder(name, folder.resolve(), place)
    prepare(reference)
    recipe = {
        "name": name,
        "folder": str(folder.resolve()),
        "recipe": "every image below the folder, sorted by path",
        "n": len(reference.files),
        "sha256": reference.sha256,
        "files": [[key, str(path), *_stamp(Path(str(path)))] for key, path in reference.files],
    }
    write_bytes(place / "reference.json", (json.dumps(recipe, indent=1) + "\n").encode())
    return reference


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _read_recipe(name: str, place: Path) -> Reference:
    """Raises InputError: an image was changed since the reference was built."""
    recipe = json.loads((place / "reference.json").read_text(encoding="utf-8"))
    for _, file, *stamp in recipe["files"]:
        path = Path(file)
        if path.exists() and _stamp(path) != stamp:
            raise InputError(
                f"{path} was changed since reference '{name}' was built: "
                f"`bench reference build {name} {recipe['folder']}` builds it again"
            )
    return from_files(name, [(key, Path(path)) for key, path, *_ in recipe["files"]], place)


def statistics_of(reference: Reference, rows: StoredRows, settings: dict[str, Any], cache: Path) -> Moments:
    """Mean and covariance of a reference's features, kept in `cache` under the hash of all that decides them.

    settings: the extractor's protocol and the size the images were taken at.
    """
    recipe = {**settings, "sha256": reference.sha256, "n": len(rows)}
    path = cache / f"moments-{settings_hash(recipe)}.npz"
    if path.exists():
        return load_statistics(path)
    found = moments(rows)
    if found.covariance is not None:
        data = io.BytesIO()
        np.savez(data, mu=found.mean, sigma=found.covariance, n=found.n, recipe=json.dumps(recipe))
        write_bytes(path, data.getvalue())
    return found


def built() -> list[str]:
    """Names of the references that have been built on this machine."""
    return sorted(path.parent.name for path in (cache_folder() / BUILT_FOLDER).glob("*/reference.json"))


def resolve(reference: str, base: Path) -> Reference:
    """A built or published name, an .npz of statistics, or a folder; paths start from base.

    Raises InputError with the nearest built name.
    """
    place = cache_folder() / BUILT_FOLDER / reference
    if (place / "reference.json").is_file():
        return _read_recipe(reference, place)
    if reference in PUBLISHED:
        return _published(reference, place / PUBLISHED[reference].file)
    path = base / Path(reference).expanduser()
    if path.is_dir():
        return from_folder(path.name, path)
    if path.suffix == ".npz" and path.is_file():
        return _from_statistics(path.stem, path)
    known = sorted({*built(), *PUBLISHED})
    raise InputError(
        f"{unknown('reference', reference, known)}; or a folder of images, or a contender of the study. "
        "`bench reference build NAME DIR` builds one"
    )


def _published(name: str, path: Path) -> Reference:
    if path.suffix != ".npz" or not path.is_file():
        raise InputError(
            f"reference '{name}' is not on this machine: run `bench fetch STUDY` where there is a network, or "
            f"bring {PUBLISHED[name].file} and name it in [metrics] reference"
        )
    found, kept = _from_statistics(name, path), record_of(path)
    if kept.is_file() and kept.read_text().strip() != found.sha256:
        raise InputError(f"{path} was changed since it was fetched: remove it and run `bench fetch` again")
    return found


def record_of(path: Path) -> Path:
    """Where the sha256 that a file had when it was fetched is kept."""
    return path.with_name(f"{path.name}.sha256")


def _from_statistics(name: str, path: Path) -> Reference:
    content = sha256(path.read_bytes())
    return Reference(name=name, files=(), cache=None, statistics=load_statistics(path), sha256=content)


def load_statistics(path: Path) -> Moments:
    """Published statistics: arrays `mu` (d,) and `sigma` (d, d), as pytorch-fid and clean-fid write them;
    `n` where the file has it.

    Raises InputError: not a whole .npz, an array missing, of the wrong shape, not finite, or sigma not symmetric
    and positive semidefinite.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            mean, covariance = (np.asarray(file[key], dtype=np.float64) for key in ("mu", "sigma"))
            n = int(file["n"]) if "n" in file else 0
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = "another kind of file" if "pickle" in reason else reason
        raise InputError(
            f"{path} is not a file of statistics with 'mu' and 'sigma' ({reason}): fetch or write it again"
        ) from None
    if mean.ndim != 1 or covariance.shape != (mean.size, mean.size):
        raise InputError(f"{path}: mu {mean.shape} and sigma {covariance.shape} do not belong together")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InputError(f"{path} holds a value that is not finite: fetch it again")
    if not np.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-8):
        raise InputError(f"{path}: sigma is not symmetric: fetch it again")
    if not _positive_semidefinite(covariance):
        raise InputError(f"{path}: sigma has a negative variance, so it is no covariance: fetch it again")
    return Moments(mean=mean, covariance=covariance, factor=None, n=n)


def _positive_semidefinite(covariance: Array) -> bool:
    """Whether no eigenvalue is below -1e-6 of the largest variance: rounding leaves smaller ones in good files."""
    largest = covariance.diagonal().max(initial=0.0)
    if largest <= 0:
        return bool((covariance == 0).all() and covariance.size)
    try:
        np.linalg.cholesky(covariance + 1e-6 * largest * np.eye(len(covariance)))
    except np.linalg.LinAlgError:
        return False
    return True
