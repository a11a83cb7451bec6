"""Published references into the cache: downloaded from their homes, checked, and ready for studies."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

from bench.errors import InputError
from bench.metrics.references import BUILT_FOLDER, PUBLISHED, Published, build, load_statistics, record_of
from bench.records import cache_folder
from bench.store.download import download
from bench.store.study_folder import write_bytes


def fetch(name: str) -> Path:
    """Brings a published reference to this machine, whole or not at all; where it is then.

    Raises InputError: its home does not answer, or what came is not that reference.
    """
    entry, place = PUBLISHED[name], cache_folder() / BUILT_FOLDER / name
    images = not entry.file.endswith(".npz")
    found = place / ("images" if images else entry.file)
    if found.is_file() or (place / "reference.json").is_file():
        return found
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=".fetch-") as folder:
        got = Path(folder) / entry.file
        download(entry.url, got, f"check the network; it is reference '{name}'")
        _check(name, entry, got, record_of(place / entry.file))
        os.replace(_unpacked(name, entry, got) if images else got, found)
        if images:
            build(name, found)
    return found


def _check(name: str, entry: Published, got: Path, record: Path) -> None:
    """Raises InputError unless the hash and the shape are those of the entry; records the hash."""
    with got.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    wanted = entry.sha256 or (record.read_text().strip() if record.is_file() else found)
    if found != wanted:
        raise InputError(f"reference '{name}': {entry.url} gave sha256 {found}, not {wanted}")
    if entry.file.endswith(".npz") and (d := load_statistics(got).mean.size) != entry.count:
        raise InputError(f"reference '{name}': {entry.url} has {d} dimensions, not {entry.count}")
    write_bytes(record, f"{found}\n".encode())


def _unpacked(name: str, entry: Published, archive: Path) -> Path:
    """The folder its images are in, checked for their number."""
    folder = archive.parent / "images"
    try:
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
    except zipfile.BadZipFile as error:
        raise InputError(f"reference '{name}': {entry.url} is no archive ({error}): try again") from None
    count = sum(path.is_file() for path in folder.rglob("*"))
    if count != entry.count:
        raise InputError(f"reference '{name}': {entry.url} holds {count:,} files, not {entry.count:,}")
    return folder
