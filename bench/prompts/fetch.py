"""Public prompt sets into the cache: downloaded from their home, or taken from a copy on disk."""

from __future__ import annotations

import os
import tempfile
import urllib.parse
import zipfile
from pathlib import Path

from bench.errors import InputError
from bench.prompts.sets import (
    PromptSet,
    SourceFile,
    check_hash,
    file_name,
    find,
    is_here,
    load,
    parsed,
    paths,
    read_bytes,
    record_of,
)
from bench.records import cache_folder
from bench.store.download import Progress, download
from bench.store.study_folder import sha256, write_bytes


def add(name: str, source: Path, *, cache: Path | None = None) -> tuple[Path, ...]:
    """Take a copy of a public set from disk into the cache, whole or not at all; returns where it lies.

    source: the file; the archive it comes in; or, for a set of several files, the folder that holds them.
    Raises InputError: not that set (both hashes are named), not readable, or the wrong number of prompts.
    """
    entry = find(name)
    if entry.own:
        raise InputError(f"prompt set '{name}' comes with this suite; there is nothing to add")
    places = paths(name, cache=cache)
    contents = [_taken(entry, file, source) for file in entry.files]
    for place, file, data in zip(places, entry.files, contents, strict=True):
        check_hash(entry, file, source, place, data, f"get it from {entry.home} {entry.revision}".rstrip())
    parsed(entry, [source] * len(places), contents)
    for place, data in zip(places, contents, strict=True):
        # The record first: killed between the two, the next fetch is still held to what was checked here.
        write_bytes(record_of(place), f"{sha256(data)}\n".encode())
        write_bytes(place, data)
    return places


def fetch(name: str, *, cache: Path | None = None, progress: Progress | None = None) -> tuple[Path, ...]:
    """Download a public set into the cache, unless it is there already; returns where it lies.

    Raises InputError: the address cannot be reached, or what came is not that set.
    """
    entry = find(name)
    if entry.own or is_here(name, cache=cache):
        load(name, cache=cache)
        return paths(name, cache=cache)
    archive = entry.home.endswith(".zip")
    wanted = {address(entry, file): "archive.zip" if archive else file_name(file) for file in entry.files}
    base = (cache or cache_folder()) / "prompts"
    cure = f"check the network, or bring a copy with `bench prompts add {name} FILE`"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base, prefix=f".{name}-") as folder:
            for url, target in wanted.items():
                download(url, Path(folder) / target, cure, progress)
            return add(name, Path(folder) / "archive.zip" if archive else Path(folder), cache=cache)
    except OSError as error:
        cure = "free space, or set TURBO_BENCH_CACHE to another folder"
        raise InputError(f"cannot write below {base}: {error.strerror}; {cure}") from None


def address(entry: PromptSet, file: SourceFile) -> str:
    """Where a file of a public set is downloaded from. `HF_ENDPOINT` moves the hub, as it does elsewhere."""
    kind, _, place = entry.home.partition(":")
    path = urllib.parse.quote(file.path)
    if kind == "github":
        return f"https://raw.githubusercontent.com/{place}/{entry.revision}/{path}"
    if kind == "hub":
        hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        return f"{hub}/datasets/{place}/resolve/{entry.revision}/{path}"
    return entry.home + path if entry.home.endswith("/") else entry.home


def _taken(entry: PromptSet, file: SourceFile, source: Path) -> bytes:
    name = file_name(file)
    if source.is_dir():
        source = source / name
    elif len(entry.files) > 1:
        names = ", ".join(file_name(each) for each in entry.files)
        raise InputError(f"prompt set '{entry.name}' is several files; give the folder that holds {names}")
    if not source.is_file():
        raise InputError(f"no file {source}; prompt set '{entry.name}' needs {name} from {entry.home}")
    if not (entry.home.endswith(".zip") and zipfile.is_zipfile(source)):
        return read_bytes(source)
    try:
        with zipfile.ZipFile(source) as archive:
            return archive.read(file.path)
    except (KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{source}: {error}; it should be the archive at {entry.home}") from None
