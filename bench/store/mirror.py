"""A study of an object store as a folder of this disk: for the stages that read all of it, without its images.

Rows and documents are brought here, an image only where a stage opens its file; what a stage writes is sent back.
`copy` brings everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import InputError
from bench.records import Generation, cache_folder
from bench.store.object_store import ObjectFolder, url_of
from bench.store.study_folder import StudyFolder, sha256, write_bytes

ROW_PLACES = ("lease", "plan", "settings", "generations", "failures")
"""Objects that become files of another form on a disk."""
LEFT_THERE = (*ROW_PLACES, ".lock", "images", "replaced", "votes.sqlite")
"""What a mirror does not bring: rows are joined, images come one by one, archived images and raw votes are not read."""
FEATURES = "features"
"""Only appended to, so that the longer of two files holds the other."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The bytes of one image, read from the store and checked against its row. Can be pickled."""

    url: str
    """Of the study."""
    row: Generation

    def __str__(self) -> str:
        return ObjectFolder(self.url).image(self.row.contender, self.row.prompt_id, self.row.replicate)

    def read_bytes(self) -> bytes:
        """Raises InputError where it is gone or not what its row says."""
        data = ObjectFolder(self.url).read_image(self.row)
        if data is None or sha256(data) != self.row.sha256:
            fault = "missing" if data is None else "damaged"
            raise InputError(f"{self} is {fault}: `bench verify {self.url} --mend`, then generate it again")
        return data


@dataclass(frozen=True, slots=True)
class Mirror(StudyFolder):
    """A study folder whose images lie in a store."""

    source: ObjectFolder = field(kw_only=True)
    sizes: dict[str, int] = field(kw_only=True, default_factory=dict)
    """Objects of the store by name, when it was brought here: bytes."""
    brought: dict[str, str] = field(kw_only=True, default_factory=dict)
    """Name → sha256 of the documents that were brought or sent."""

    @property
    def where(self) -> str:
        return self.source.where

    def image(self, contender: str, prompt_id: str, replicate: int) -> Path:
        """The image's file on this disk; it is brought here if it is not yet."""
        path = StudyFolder.image(self, contender, prompt_id, replicate)
        name = path.relative_to(self.path).as_posix()
        if not path.exists() and name in self.sizes:
            write_bytes(path, self.source.read(name) or b"")
        return path

    def image_file(self, row: Generation) -> StoredImage:
        """What to read an image from, without keeping it here."""
        return StoredImage(self.source.where, row)

    def fault(self, row: Generation) -> str:
        """As of a folder on a disk, by the size alone: the bytes are checked when they are read."""
        path = StudyFolder.image(self, row.contender, row.prompt_id, row.replicate)
        size = self.sizes.get(path.relative_to(self.path).as_posix())
        return "missing" if size is None else "" if size == row.bytes else "damaged"

    def bring(self) -> None:
        """Rows, documents and features from the store."""
        self.sizes.update(self.source.sizes(""))
        if "study.toml" not in self.sizes:
            raise InputError(f"{self.source.where} holds no study")
        for name, size in self.sizes.items():
            path, top = self.path / name, name.split("/")[0]
            if top in LEFT_THERE or (top == FEATURES and path.exists() and path.stat().st_size >= size):
                continue
            write_bytes(path, self.source.read(name) or b"")
            self.brought[name] = _digest(path)
        for name in set(self._documents()) - set(self.sizes):
            (self.path / name).unlink()  # of an earlier state of the study
        write_rows_of(self.source, self)

    def send(self) -> list[str]:
        """What was written here since, to the store. Returns its names."""
        sent = []
        for name in sorted(self._written()):
            path = self.path / name
            if self.brought.get(name) == _digest(path):
                continue
            self.source.write(name, path.read_bytes())
            sent.append(name)
        return sent

    def _documents(self) -> Iterator[str]:
        """Names of the files directly in the folder that the store has under the same name."""
        for path in self.path.glob("*.json*"):
            if path.name.partition(".")[0] not in ROW_PLACES:
                yield path.name

    def _written(self) -> Iterator[str]:
        yield from self._documents()
        for top in (FEATURES, "report"):
            for path in (self.path / top).rglob("*"):
                name = path.relative_to(self.path).as_posix()
                kept = top == FEATURES and path.is_file() and path.stat().st_size <= self.sizes.get(name, -1)
                if path.is_file() and not kept:
                    yield name


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def mirrored(source: ObjectFolder) -> Iterator[Mirror]:
    """The study, brought to the cache; what was written is sent back at the end, also where a stage fails half-way:
    features that were computed are not computed again. The caller holds the lease, or only reads."""
    key = hashlib.sha256(source.where.encode()).hexdigest()[:12]
    place = cache_folder() / "studies" / f"{source.where.rsplit('/', 1)[-1]}-{key}"
    with StudyFolder(place).lock():
        mirror = Mirror(place, source=source)
        mirror.bring()
        try:
            yield mirror
        finally:
            mirror.send()


def write_rows_of(source: ObjectFolder, target: StudyFolder) -> None:
    """The rows and settings of a store in the form that they have on a disk."""
    target.write_rows("generations.jsonl", list(source.generations().values()))
    if failures := source.failures():
        target.write_rows("failures.jsonl", failures)
    else:
        target.failures_file.unlink(missing_ok=True)
    if plan := source.plan():
        target.write_json("plan.json", plan)
    if settings := source.settings():
        target.write_json("settings.json", settings)


def copy(url: str, results: Path) -> Path:
    """A study from an object store onto a disk, as `results/<study>`; images that are there already are kept where
    they have the right size."""
    source = ObjectFolder(url_of(url))
    place = results / source.where.rsplit("/", 1)[-1]
    sizes = source.sizes("")
    if "study.toml" not in sizes:
        raise InputError(f"{source.where} holds no study")
    for name, size in sizes.items():
        path = place / name
        same = path.exists() and path.stat().st_size == size and name.startswith("images/")
        if name.split("/")[0] not in (".lock", *ROW_PLACES) and not same:
            write_bytes(path, source.read(name) or b"")
    write_rows_of(source, StudyFolder(place))
    return place
