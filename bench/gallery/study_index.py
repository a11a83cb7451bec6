"""What the gallery filters by, in arrays: which images exist, what metrics gave them, how people voted.

An index follows a study that is still being generated: `refresh` reads only what was appended since the last call.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.records import Prompt
from bench.store.study_folder import StudyFolder

Pair = tuple[int, int, int, int]
"""Prompt, replicate and two contenders by index, the smaller contender index first."""
LEFT, RIGHT, TIE, BOTH_BAD = range(4)
"""Places in a row of `StudyIndex.votes`: wins of the first contender, of the second, ties, both bad."""


@dataclass(slots=True)
class Tail:
    """A file of JSON rows that grows at its end."""

    path: Path
    offset: int = 0
    """Bytes already read, >= 0."""
    inode: int = 0

    def was_replaced(self) -> bool:
        """Whether the file is another one, or shorter than what was read; the next read starts anew."""
        if not self.path.exists():
            return False
        status = self.path.stat()
        replaced = bool(self.offset) and (status.st_ino != self.inode or status.st_size < self.offset)
        if replaced:
            self.offset = 0
        self.inode = status.st_ino
        return replaced

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows appended since the last call. A last line without its newline is left for the next call.

        Raises InputError: a line is not a JSON object.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                try:
                    row = json.loads(line)
                except ValueError:
                    raise InputError(
                        f"{self.path}: not JSON at byte {self.offset}; restore the file"
                    ) from None
                self.offset += len(line)
                yield row


@dataclass(slots=True, kw_only=True)
class StudyIndex:
    """A study's images by (prompt, replicate, contender), in the order of the study."""

    folder: StudyFolder
    name: str
    title: str
    contenders: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    replicates: int
    """Images that a contender generates for a prompt, >= 1."""
    display_size: int
    """Side in pixels at which raters and metrics see an image."""
    references: bool
    """Whether each prompt has a reference image (image-to-image)."""
    present: NDArray[np.bool_]
    """Whether a row says that the image exists; shape (prompts, replicates, contenders)."""
    black: NDArray[np.bool_]
    """Whether every pixel is nearly zero; shape of `present`."""
    version: NDArray[np.uint32]
    """First 32 bits of the file's sha256, so that an image generated again has another address."""
    scores: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Metric → value of each image, NaN where there is none; shape of `present`."""
    higher_is_better: dict[str, bool] = field(default_factory=dict)
    votes: dict[Pair, list[int]] = field(default_factory=dict)
    """Pair of images → four counts, in the order of LEFT, RIGHT, TIE, BOTH_BAD."""
    simulated_votes: bool = False
    prompt_index: dict[str, int] = field(default_factory=dict)
    contender_index: dict[str, int] = field(default_factory=dict)
    tails: dict[str, Tail] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Images that exist."""
        return int(self.present.sum())

    @property
    def expected(self) -> int:
        """Images that the study asks for."""
        return self.present.size

    def refresh(self) -> bool:
        """Read what was appended to the study's row files; whether anything was.

        A file that was replaced, as `bench score` replaces the scores, is read again from its start.
        Raises InputError: a row is not one.
        """
        changed = False
        readers = {
            "generations.jsonl": (self._read_image, self._forget_images),
            "image-scores.jsonl": (self._read_score, self.scores.clear),
            "battles.jsonl": (self._read_battle, self.votes.clear),
        }
        for name, (read, forget) in readers.items():
            tail = self.tails.setdefault(name, Tail(self.folder.path / name))
            if tail.was_replaced():
                forget()
                changed = True
            try:
                for row in tail.rows():
                    read(row)
                    changed = True
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{tail.path}: {error!r} in the row before byte {tail.offset}") from None
        if changed and self.scores:
            document = self.folder.read_json("scores.json") or {}
            rows = document.get("rows") or []
            self.higher_is_better |= {row["metric"]: row["higher_is_better"] for row in rows}
        return changed

    def _forget_images(self) -> None:
        self.present[:] = False
        self.black[:] = False

    def _place(self, row: Mapping[str, Any]) -> tuple[int, int] | None:
        """Prompt and replicate by index; None: the study does not ask for it."""
        prompt = self.prompt_index.get(row["prompt_id"])
        replicate: int = row.get("replicate", 0)
        return None if prompt is None or replicate >= self.replicates else (prompt, replicate)

    def _read_image(self, row: Mapping[str, Any]) -> None:
        place, contender = self._place(row), self.contender_index.get(row["contender"])
        if place is None or contender is None:
            return
        cell = (*place, contender)
        self.present[cell] = True
        self.black[cell] = row.get("black", False)
        self.version[cell] = int(row["sha256"][:8], 16)

    def _read_score(self, row: Mapping[str, Any]) -> None:
        place, contender = self._place(row), self.contender_index.get(row["contender"])
        if place is None or contender is None:
            return
        metric = row["metric"]
        if metric not in self.scores:
            self.scores[metric] = np.full(self.present.shape, np.nan, np.float32)
        self.scores[metric][(*place, contender)] = row["value"]

    def _read_battle(self, row: Mapping[str, Any]) -> None:
        if row.get("kind", "vote") != "vote" or row.get("excluded"):
            return
        self.simulated_votes |= bool(row.get("simulated"))
        place = self._place(row)
        left, right = self.contender_index.get(row["left"]), self.contender_index.get(row["right"])
        if place is None or left is None or right is None or left == right:
            return
        counts = self.votes.setdefault((*place, min(left, right), max(left, right)), [0, 0, 0, 0])
        outcome = row["outcome"]
        if outcome == "tie":
            counts[TIE] += 1
        elif outcome == "both_bad":
            counts[BOTH_BAD] += 1
        else:
            winner = left if outcome == "left" else right
            counts[LEFT if winner == min(left, right) else RIGHT] += 1


def open_index(folder: StudyFolder) -> StudyIndex:
    """The index of a study folder, finished, unfinished or imported.

    Raises InputError: there is no study in the folder, or a file of it cannot be read.
    """
    if not folder.study_file.exists():
        raise InputError(f"{folder.path} holds no study.toml: give a study folder, or run `bench run` first")
    try:
        study = tomllib.loads(folder.study_file.read_text(encoding="utf-8"))
        contenders, _ = tuple(study["contenders"]), study["name"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise InputError(f"{folder.study_file}: {error}: restore the file from a copy") from None
    prompts = tuple(folder.prompts())
    shape = (len(prompts), study.get("images_per_prompt", 1), len(contenders))
    index = StudyIndex(
        folder=folder,
        name=study["name"],
        title=study.get("title") or study["name"],
        contenders=contenders,
        prompts=prompts,
        replicates=shape[1],
        display_size=study.get("display_size", 512),
        references=study.get("task") == "image-to-image",
        present=np.zeros(shape, bool),
        black=np.zeros(shape, bool),
        version=np.zeros(shape, np.uint32),
        prompt_index={prompt.id: i for i, prompt in enumerate(prompts)},
        contender_index={name: i for i, name in enumerate(contenders)},
    )
    index.refresh()
    return index
