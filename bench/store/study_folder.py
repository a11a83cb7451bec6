"""The study folder: its paths, atomic writes, the lock, resume and verification.

Everything that is written goes through a temporary file, fsync and rename; a row is appended only after
the file it speaks of is in place. A process killed at any instant leaves a folder that reads cleanly.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import threading
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import InputError
from bench.records import Failure, FeltPicture, Generation, Prompt, Timing, from_dict, iterate_rows, to_json

Row = TypeVar("Row")
Key = tuple[str, str, int]
"""contender, prompt_id, replicate"""


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """Paths and row files of one study; holds no state beside the path."""

    path: Path

    @property
    def where(self) -> str:
        """As it is told to people."""
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

    @property
    def references_file(self) -> Path:
        return self.path / "references.jsonl"

    def reference(self, prompt_id: str) -> Path:
        """The kept reference image of a prompt of an image-to-image study."""
        return self.path / "references" / f"{prompt_id}.webp"

    def write_image(self, contender: str, prompt_id: str, replicate: int, data: bytes) -> None:
        """Atomic and durable."""
        write_bytes(self.image(contender, prompt_id, replicate), data)

    def remove_image(self, row: Generation) -> None:
        self.image(row.contender, row.prompt_id, row.replicate).unlink(missing_ok=True)

    def remove_temporaries(self) -> None:
        """What killed processes were writing when they ended; it is never read."""
        for place in (self.path, *(self.path / "images").glob("*")):
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
        made = self.generations()
        newest: dict[tuple[str, Key], Failure] = {}
        for row in iterate_rows(self.failures_file, Failure):
            key = (row.contender, row.prompt_id, row.replicate)
            if not (row.stage in ("generate", "import") and key in made):
                newest[(row.stage, key)] = row
        return list(newest.values())

    def append(self, path: Path, rows: Sequence[Any]) -> None:
        """Append rows durably: a torn last line left by a killed process is cut off first."""
        if not rows:
            return
        data = "".join(to_json(row) + "\n" for row in rows).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        with _disk_errors(path), path.open("a+b") as file:
            end = _end_of_last_line(file)
            file.truncate(end)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise

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

    def timings(self) -> list[Timing]:
        document = self.read_json("latency.json") or {"rows": []}
        where = str(self.path / "latency.json")
        return [from_dict(Timing, row, where) for row in document["rows"]]

    def felt_pictures(self) -> list[FeltPicture]:
        """Rows of interactive.json: every picture that was timed from keystroke to painted pixels."""
        document = self.read_json("interactive.json") or {"rows": []}
        where = str(self.path / "interactive.json")
        return [from_dict(FeltPicture, row, where) for row in document["rows"]]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one writing process. Raises InputError where another one has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise InputError(
                    f"{self.path} is being written by another process ({holder}): wait for it or stop it"
                ) from None
            file.truncate(0)
            file.write(f"pid {os.getpid()} on {os.uname().nodename}")
            file.flush()
            yield

    def freeze(self, study_text: str, prompts: Sequence[Prompt]) -> None:
        """Write the study file and its prompts at the first run; refuse others afterwards."""
        self.path.mkdir(parents=True, exist_ok=True)
        rows = "".join(to_json(prompt) + "\n" for prompt in prompts)
        for path, text in ((self.prompts_file, rows), (self.study_file, study_text)):
            if not path.exists():
                write_bytes(path, text.encode())
            elif path.read_text(encoding="utf-8") != text:
                raise InputError(
                    f"{self.path} was made by another study ({path.name} differs): give the study a new "
                    f"name, or move the folder away"
                )

    def damaged(self) -> list[tuple[Generation, str]]:
        """Every image whose file is missing or differs from its row, with what is wrong."""
        return [(row, fault) for row in self.generations().values() if (fault := self.fault(row))]

    def fault(self, row: Generation) -> str:
        """What is wrong with the file of one row; empty where nothing is."""
        path = self.image(row.contender, row.prompt_id, row.replicate)
        if not path.exists():
            return "missing"
        return "" if sha256(path.read_bytes()) == row.sha256 else "damaged"


def write_bytes(path: Path, data: bytes) -> None:
    """Atomic and durable: temporary file in the same folder, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Replace a file of rows, atomically; they are written as they come, so they need not fit into memory."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.writelines(to_json(row) + "\n" for row in rows)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cures = {
            errno.ENOSPC: "the disk is full: free some space and run the same command again",
            errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
            errno.EACCES: "no permission to write there: choose another folder with --results",
            errno.EROFS: "the disk is read-only: choose another folder with --results",
        }
        if error.errno in cures:
            raise InputError(
                f"cannot write {path}: {cures[error.errno]}; nothing written so far is lost"
            ) from error
        raise


def _end_of_last_line(file: Any) -> int:
    """Offset after the last newline; a row cannot be longer than what is read back block by block."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


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
