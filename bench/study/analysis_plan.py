"""The plan of the analysis, frozen in the study folder before the first vote: analysis.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bench.errors import InputError
from bench.ratings.planned import FrozenPlan
from bench.study.file import StudyFile

FILE = "analysis.json"


class Folder(Protocol):
    """A study folder, as far as its documents go."""

    @property
    def path(self) -> Path: ...

    def read_json(self, name: str) -> Any | None: ...

    def write_json(self, name: str, value: Any) -> None: ...


def plan_of(file: StudyFile) -> dict[str, Any]:
    """What is frozen: `[analysis]`, and what else of the study file decides which votes are counted and compared."""
    return json.loads(
        json.dumps(
            {
                "analysis": file.analysis.model_dump(mode="json"),
                "questions": list(file.arena.questions),
                "compare": file.arena.compare,
                "exclude": list(file.arena.exclude),
                "false_exclusion": file.arena.false_exclusion,
                "contenders": list(file.contenders),
            }
        )
    )


def plan_hash(plan: Mapping[str, Any]) -> str:
    """SHA-256 of the plan's canonical JSON."""
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def freeze(folder: Folder, file: StudyFile, votes: int) -> FrozenPlan | None:
    """The frozen plan; frozen now if it has not been. None: the study has no `[analysis]`.

    votes: those in the database. A plan that is frozen after the first vote says so.
    """
    known = read_plan(folder, file)
    if known is not None or not file.analysis.given:
        return known
    plan = plan_of(file)
    frozen = FrozenPlan(
        plan=plan,
        sha256=plan_hash(plan),
        frozen=datetime.now(UTC).isoformat(timespec="seconds"),
        votes=votes,
    )
    folder.write_json(FILE, {key: value for key, value in asdict(frozen).items() if key != "changed"})
    return frozen


def read_plan(folder: Folder, file: StudyFile) -> FrozenPlan | None:
    """The plan as frozen, with the keys in which the study file now differs; None: nothing was frozen.

    Raises InputError: the file is not of this schema, or its plan is not the one that was hashed.
    """
    document, where = folder.read_json(FILE), folder.path / FILE
    if document is None:
        return None
    try:
        frozen = FrozenPlan(**document)
    except TypeError as error:
        raise InputError(f"{where} is not a frozen analysis plan ({error})") from None
    if plan_hash(frozen.plan) != frozen.sha256:
        raise InputError(
            f"{where} was edited: its plan has another hash than the one frozen on {frozen.frozen}; restore it"
        )
    now = plan_of(file) if file.analysis.given else None
    return FrozenPlan(**document, changed=_changed(frozen.plan, now))


def _changed(before: Mapping[str, Any], now: Mapping[str, Any] | None) -> tuple[str, ...]:
    if now is None:
        return ("[analysis] is gone",)
    flat = [
        {**part["analysis"], **{k: v for k, v in part.items() if k != "analysis"}} for part in (before, now)
    ]
    return tuple(key for key in sorted({*flat[0], *flat[1]}) if flat[0].get(key) != flat[1].get(key))
