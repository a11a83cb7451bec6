"""Images made elsewhere → images of a study: every prompt must have its own, and every file its prompt."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError, unknown
from bench.records import Failure, Generation, settings_hash
from bench.store.images import (
    SUFFIXES,
    UNREAD_SUFFIXES,
    encode_webp,
    image_size,
    is_black,
    not_square,
    read_pixels,
)
from bench.store.study_folder import StudyFolder, sha256, write_bytes
from bench.study.study import Study
from bench.text_files import decode, read_file, table_of

Place = tuple[str, int]
"""prompt id, replicate"""
COLUMNS = {
    "file": ("file", "filename", "file_name", "image", "path"),
    "prompt_id": ("prompt_id", "prompt", "id"),
    "replicate": ("replicate",),
}
"""Column of a map → the names it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An image file, and what names it."""

    path: Path
    where: str
    """For messages: `map.csv:3`, or the file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did."""

    generations: tuple[Generation, ...]
    failures: tuple[Failure, ...]
    suffixes: dict[str, int]
    """Suffix in lower case → images that were imported from files of it."""
    unread: tuple[str, ...]
    """Names of files in the folder that look like images of a kind that is not read."""


def import_images(
    study: Study,
    folder: StudyFolder,
    name: str,
    images: Path,
    mapping: Path | None,
    *,
    progress: Callable[[str, int, int], None] = lambda contender, done, total: None,
) -> Imported:
    """Copy the images of an imported contender into the study.

    Pixels are kept at their own size, lossless: EXIF rotation applied, transparency on white, 16-bit grey
    scaled to 8 bits, metadata dropped. A prompt without an image is a failure row.

    Parameters
    ----------
    study, folder : the study, and its folder, whose lock the caller holds.
    name : the imported contender.
    images : folder of the images.
    mapping : a table with columns `file`, `prompt_id` and perhaps `replicate`; None: a file's name is
        `<prompt id>` or `<prompt id>-<replicate>`.
    progress : called with contender, images done, images in all.

    Raises
    ------
    InputError : not an imported contender; an image of no prompt; two images for one; an image that is not
        square where the study has no `fit`. Nothing is written then.
    """
    imported = [c.name for c in study.contenders if study.imported(c)]
    if name not in imported:
        raise unknown(f"imported contender of study '{study.name}'", name, imported)
    if not images.is_dir():
        raise InputError(f"--images {images} is not a folder")
    wanted = {(p.id, r) for p in study.prompts for r in range(study.file.images_per_prompt)}
    files = _by_map(mapping, images, study, wanted) if mapping else _by_name(images, study, wanted)
    _check_square(study, files)
    generations: list[Generation] = []
    failures: list[Failure] = []
    for number, place in enumerate(sorted(wanted), 1):
        row = _import_one(folder, name, place, files.get(place))
        if isinstance(row, Generation):
            generations.append(row)
        else:
            failures.append(row)
        progress(name, number, len(wanted))
    folder.append(folder.generations_file, generations)
    folder.append(folder.failures_file, failures)
    done = [files[row.prompt_id, row.replicate].path.suffix.lower() for row in generations]
    unread = [p.name for p in sorted(images.iterdir()) if p.suffix.lower() in UNREAD_SUFFIXES]
    return Imported(
        generations=tuple(generations),
        failures=tuple(failures),
        suffixes=dict(Counter(done)),
        unread=tuple(unread),
    )


def _check_square(study: Study, files: dict[Place, Source]) -> None:
    """An image that is not square needs `fit`: raters and metrics must see the same part of it."""
    if study.file.fit is not None:
        return
    for source in files.values():
        size = image_size(source.path)
        if size is not None and size[0] != size[1]:
            raise not_square(
                f"{source.where}: {source.path.name}" if ":" in source.where else source.where, size
            )


def _import_one(folder: StudyFolder, name: str, place: Place, source: Source | None) -> Generation | Failure:
    prompt_id, replicate = place

    def failure(kind: str, message: str) -> Failure:
        return Failure(
            stage="import",
            contender=name,
            prompt_id=prompt_id,
            replicate=replicate,
            kind=kind,
            message=message,
        )

    if source is None:
        return failure("missing", "no image for this prompt")
    try:
        pixels = read_pixels(source.path)
    except InputError as error:
        return failure("unreadable", f"{source.where}: {error}"[:500])
    data = encode_webp(pixels)
    write_bytes(folder.image(name, prompt_id, replicate), data)
    return Generation(
        contender=name,
        prompt_id=prompt_id,
        replicate=replicate,
        seed=None,
        sha256=sha256(data),
        width=pixels.shape[1],
        height=pixels.shape[0],
        bytes=len(data),
        seconds=None,
        settings=settings_hash({"imported": name}),
        black=is_black(pixels),
    )


def _by_map(path: Path, images: Path, study: Study, wanted: set[Place]) -> dict[Place, Source]:
    text, _ = decode(read_file(path), f"--map {path}")
    columns, rows = table_of(text, str(path), "\t" if path.suffix.lower() == ".tsv" else ",")
    named = {field: next((n for n in names if n in columns), "") for field, names in COLUMNS.items()}
    if not named["file"] or not named["prompt_id"]:
        raise InputError(
            f"--map {path}: needs a header with the columns file, prompt_id and perhaps replicate; "
            f"it has {', '.join(columns) or 'none'}"
        )
    prompts = {prompt.id.casefold(): prompt.id for prompt in study.prompts}
    files: dict[Place, Source] = {}
    for line, row in rows:
        where = f"{path}:{line}"
        given = row[named["prompt_id"]].strip()
        replicate = row.get(named["replicate"], "").strip() or "0"
        if not replicate.isdecimal():
            raise InputError(f"{where}: replicate '{replicate}' is not a number from 0")
        if given.casefold() not in prompts:
            raise InputError(f"{where}: {_unknown_prompt(study, given)}")
        place = (prompts[given.casefold()], int(replicate))
        if place not in wanted:
            raise InputError(
                f"{where}: replicate {replicate}, but study '{study.name}' has {study.file.images_per_prompt} "
                "images per prompt, counted from 0"
            )
        _add(files, place, Source(path=_mapped_file(images, row[named["file"]].strip(), where), where=where))
    return files


def _mapped_file(images: Path, given: str, where: str) -> Path:
    """The file that a map's row names, inside the folder; a path may be written with backslashes."""
    for name in (given, given.replace("\\", "/")):
        file = images / name
        if given and images.resolve() in file.resolve().parents and file.is_file():
            return file
    near = difflib.get_close_matches(given, [p.name for p in images.iterdir()], n=1, cutoff=0.6)
    hint = f": did you mean '{near[0]}'?" if near else ""
    raise InputError(f"{where}: no file '{given}' in {images}{hint}")


def _unknown_prompt(study: Study, given: str) -> str:
    near = difflib.get_close_matches(given, [prompt.id for prompt in study.prompts], n=1, cutoff=0.6)
    hint = f": did you mean '{near[0]}'?" if near else ""
    return f"study '{study.name}' has no prompt '{given}'{hint}"


def _by_name(images: Path, study: Study, wanted: set[Place]) -> dict[Place, Source]:
    """Files by their names: a prompt's id comes before an id and a replicate."""
    prompts = {prompt.id.casefold(): prompt.id for prompt in study.prompts}
    files: dict[Place, Source] = {}
    strangers = []
    candidates = [
        p for p in sorted(images.iterdir()) if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    ]
    for file in candidates:
        places = [place for place in _places(file.stem, prompts) if place in wanted]
        if len(places) > 1:
            (first, _), (other, replicate) = places
            raise InputError(
                f"{file.name}: prompt '{first}', or prompt '{other}' with replicate {replicate}? Say it with --map"
            )
        if places:
            _add(files, places[0], Source(path=file, where=file.name))
        else:
            strangers.append(file)
    if strangers:
        stem = strangers[0].stem
        raise InputError(
            f"{strangers[0]}: {_unknown_prompt(study, stem)} ({len(strangers)} such images); a file is called "
            "<prompt id>, or <prompt id>-<replicate> counted from 0: leave it out, rename it, or use --map"
        )
    if not candidates:
        raise InputError(f"--images {images} holds no image ({', '.join(SUFFIXES)})")
    return files


def _places(stem: str, prompts: dict[str, str]) -> list[Place]:
    places = [(prompts[stem.casefold()], 0)] if stem.casefold() in prompts else []
    start, dash, last = stem.rpartition("-")
    if dash and last.isdecimal() and len(last) < 5 and start.casefold() in prompts:
        places.append((prompts[start.casefold()], int(last)))
    return places


def _add(files: dict[Place, Source], place: Place, source: Source) -> None:
    if place in files:
        raise InputError(
            f"{source.where} and {files[place].where} are both for prompt '{place[0]}', replicate {place[1]}"
        )
    files[place] = source
