"""The study folder: its paths, rows and documents, resume and verification.

Everything that is written goes through a temporary file, fsync and rename; a row is appended only after
the file it speaks of is in place. A process killed at any instant leaves a folder that reads cleanly.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import InputError
from bench.records import (
    Failure,
    FeltPicture,
    Generation,
    KeyWait,
    Prompt,
    Timing,
    from_dict,
    iterate_rows,
    to_json,
)
from bench.store.durable import append_rows, sha256, write_bytes, write_rows
from bench.store.folder_lock import check, held, moved
from bench.store.images import File

Row = TypeVar("Row")
Key = tuple[str, str, int]
"""contender, prompt_id, replicate"""


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """Paths and row files of one study; holds no state beside the path."""

    path: Path

    @property
    def where(self) -> str:
        """As it is shown to people."""
        return str(self.path)

    @property
    def study_file(self) -> Path:
        return self.path / "study.toml"

    @property
    def prompts_file(self) -> Path:
        return self.path / "prompts.jsonl"

    @property
    def generations_file(self) -> Path:
        return self.path / "generations.jsonl"

    @property
    def failures_file(self) -> Path:
        return self.path / "failures.jsonl"

    @property
    def features(self) -> Path:
        return self.path / "features"

    @property
    def votes_file(self) -> Path:
        return self.path / "votes.sqlite"

    @property
    def battles_file(self) -> Path:
        """Every standing answer with its sides resolved, as `arena rate` last read them."""
        return self.path / "battles.jsonl"

    @property
    def image_scores_file(self) -> Path:
        return self.path / "image-scores.jsonl"

    @property
    def prompt_effects_file(self) -> Path:
        """What each prompt adds to each score: the differences of contenders are computed from it."""
        return self.path / "prompt-effects.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report"

    def image(self, contender: str, prompt_id: str, replicate: int) -> Path:
        return self.path / "images" / contender / f"{prompt_id}-{replicate}.webp"

    def image_file(self, row: Generation) -> File:
        """What to read an image from."""
        return self.image(row.contender, row.prompt_id, row.replicate)

    @property
    def references_file(self) -> Path:
        return self.path / "references.jsonl"

    def reference(self, prompt_id: str) -> Path:
        """The kept reference image of a prompt of an image-to-image study."""
        return self.path / "references" / f"{prompt_id}.webp"

    def write_image(self, contender: str, prompt_id: str, replicate: int, data: bytes) -> bytes:
        """Atomic and durable. Returns the bytes that stand under that name: the data. Raises InputError where the
        folder was renamed: it is not created anew under its old name."""
        check(self.path)
        if not self.path.is_dir():
            raise moved(self.path)
        write_bytes(self.image(contender, prompt_id, replicate), data)
        return data

    def remove_image(self, row: Generation) -> None:
        self.image(row.contender, row.prompt_id, row.replicate).unlink(missing_ok=True)

    def remove_temporaries(self) -> None:
        """What killed processes were writing when they ended; it is never read."""
        images = (place for place in (self.path / "images").glob("*") if place.is_dir())
        for place in (self.path, *images):
            for entry in os.scandir(place):
                if entry.name.startswith(".") and entry.name.endswith(".tmp"):
                    Path(entry.path).unlink(missing_ok=True)

    def has(self, study_text: str) -> bool:
        """Whether this process sees the folder of that study."""
        return self.study_file.is_file() and self.study_file.read_text(encoding="utf-8") == study_text

    def intact(self) -> Iterator[tuple[Key, bool]]:
        """Of each row, in order, whether a file of its size is there. Memory does not grow with the rows."""
        images = f"{self.path}/images"
        for row in iterate_rows(self.generations_file, Generation):
            try:
                size = os.stat(f"{images}/{row.contender}/{row.prompt_id}-{row.replicate}.webp").st_size
            except FileNotFoundError:
                size = -1
            yield (row.contender, row.prompt_id, row.replicate), size == row.bytes

    def prompts(self) -> list[Prompt]:
        """The prompts of the study in order, as frozen at the first run."""
        return list(iterate_rows(self.prompts_file, Prompt))

    def generations(self) -> dict[Key, Generation]:
        """The newest row of each image. A row whose image was made again replaces the older one."""
        return {
            (row.contender, row.prompt_id, row.replicate): row
            for row in iterate_rows(self.generations_file, Generation)
        }

    def failures(self) -> list[Failure]:
        """Failures that still stand: the newest of each image, without those that succeeded later."""
        set_aside = set(self.read_json("set-aside.json") or {})
        return standing(iterate_rows(self.failures_file, Failure), self.generations().keys(), set_aside)

    def append(self, path: Path, rows: Sequence[Any]) -> None:
        """Append rows durably: a torn last line left by a killed process is cut off first."""
        if not rows:
            return
        check(self.path)
        append_rows(path, rows)

    def read_json(self, name: str) -> Any | None:
        """A document of the folder (`latency.json`, …), or None where it does not exist yet."""
        path = self.path / name
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is not JSON ({error}): delete it and run its stage again") from None

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_bytes(self.path / name, text.encode())

    def plan(self) -> dict[str, Any]:
        """Model → what is frozen for it."""
        return self.read_json("plan.json") or {}

    def freeze_model(self, model: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Freeze a model's settings, before its first image; returns them."""
        self.write_json("plan.json", {**self.plan(), model: dict(entry)})
        return dict(entry)

    def forget_model(self, model: str) -> None:
        """Take a model out of the plan, where no image of it is left."""
        self.write_json("plan.json", {name: entry for name, entry in self.plan().items() if name != model})

    def settings(self) -> dict[str, Any]:
        """Hash → the settings that rows name by it."""
        return self.read_json("settings.json") or {}

    def keep_settings(self, key: str, entry: Mapping[str, Any]) -> None:
        """Add an entry to the table of settings."""
        self.write_json("settings.json", {**self.settings(), key: dict(entry)})

    def timings(self) -> list[Timing]:
        document = self.read_json("latency.json") or {"rows": []}
        where = str(self.path / "latency.json")
        return [from_dict(Timing, row, where) for row in document["rows"]]

    def felt_pictures(self) -> list[FeltPicture]:
        """Rows of interactive.json: every image that was timed from keystroke to painted pixels."""
        document = self.read_json("interactive.json") or {"rows": []}
        where = str(self.path / "interactive.json")
        return [from_dict(FeltPicture, row, where) for row in document["rows"]]

    def key_waits(self) -> list[KeyWait]:
        """Keystrokes of interactive.json; files of earlier versions have none."""
        document = self.read_json("interactive.json") or {}
        where = str(self.path / "interactive.json")
        return [from_dict(KeyWait, row, where) for row in document.get("keys", [])]

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder for one writing process. Raises InputError where another one has it."""
        return held(self.path)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file of the folder, or None."""
        path = self.path / name
        return path.read_bytes() if path.is_file() else None

    def write_study(self, study_text: str, prompts: Sequence[Prompt]) -> None:
        """Write the study file and its prompts, where they differ from what is there."""
        rows = "".join(to_json(prompt) + "\n" for prompt in prompts)
        for name, text in (("prompts.jsonl", rows), ("study.toml", study_text)):
            if self.read(name) != text.encode():
                write_bytes(self.path / name, text.encode())

    def read_rows(self, name: str, kind: type[Row]) -> list[Row]:
        """All rows of a file of the folder."""
        return list(iterate_rows(self.path / name, kind))

    def write_rows(self, name: str, rows: Iterable[Any]) -> None:
        """Replace a file of rows."""
        write_rows(self.path / name, rows)

    def archive(self, replaced: Callable[[Key], bool]) -> tuple[str, int]:
        """Take images out of the study: their rows and files move to `replaced/<number>/`.

        A process killed in between leaves rows without files, which are generated again.

        Parameters
        ----------
        replaced
            Says of an image whether it goes.

        Returns
        -------
        tuple[str, int]
            Where they are now, and how many they are; nothing is written where there are none.
        """
        rows = [row for key, row in self.generations().items() if replaced(key)]
        if not rows:
            return "", 0
        number = 1 + max((int(p.name) for p in (self.path / "replaced").glob("[0-9]*")), default=0)
        place = self.path / "replaced" / f"{number:04d}"
        write_rows(place / "generations.jsonl", rows)
        for row in rows:
            image = self.image(row.contender, row.prompt_id, row.replicate)
            if image.exists():
                target = place / image.relative_to(self.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                image.replace(target)
        kept = (
            row
            for row in iterate_rows(self.generations_file, Generation)
            if not replaced((row.contender, row.prompt_id, row.replicate))
        )
        write_rows(self.generations_file, kept)
        return str(place), len(rows)

    def damaged(self) -> list[tuple[Generation, str]]:
        """Every image whose file is missing or differs from its row, with what is wrong."""
        return [(row, fault) for row in self.generations().values() if (fault := self.fault(row))]

    def fault(self, row: Generation) -> str:
        """What is wrong with the file of one row; empty where nothing is."""
        path = self.image(row.contender, row.prompt_id, row.replicate)
        if not path.exists():
            return "missing"
        return "" if sha256(path.read_bytes()) == row.sha256 else "damaged"


def standing(failures: Iterable[Failure], made: Container[Key], set_aside: Container[str]) -> list[Failure]:
    """The newest failure of each image and stage, without those of images that were made later.

    Parameters
    ----------
    failures
        In the order of writing.
    made
        Images that have a row.
    set_aside
        Models that cannot be loaded: a failure of stage `load` stands while its contender's model is among them.
    """
    newest: dict[tuple[str, Key], Failure] = {}
    for row in failures:
        key = (row.contender, row.prompt_id, row.replicate)
        gone = row.contender.partition("@")[0] not in set_aside if row.stage == "load" else key in made
        if not (gone and row.stage in ("generate", "import", "load")):
            newest[(row.stage, key)] = row
    return list(newest.values())


def name_of(study: str | Path) -> str:
    """The name that a study file gives itself; anything else as it is. Raises InputError: it gives none."""
    file = Path(study)
    if file.suffix != ".toml" or not file.is_file():
        return str(study)
    try:
        return str(tomllib.loads(file.read_text(encoding="utf-8"))["name"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not TOML: {error}") from None
    except KeyError:
        raise InputError(f'{file} gives no name: a study file begins with name = "…"') from None


def open_folder(name: str | Path, results: Path) -> StudyFolder:
    """The folder of a study that has run: a path, a name under `results`, or the file it was run from.

    Raises InputError if there is none.
    """
    name = name_of(name)
    for path in (Path(name), results / name):
        if (path / "study.toml").exists():
            return StudyFolder(path)
    known = sorted(p.parent.name for p in results.glob("*/study.toml")) if results.is_dir() else []
    raise InputError(
        f"no study folder '{name}' in {results}: run `bench run {name}` first. there: {', '.join(known) or 'none'}"
    )
