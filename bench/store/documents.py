"""The documents of a study folder as dataclasses: scores.json, read and written through one schema."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from bench.errors import InputError
from bench.records import Difference, PeopleAgreement, Score, from_dict


class Documents(Protocol):
    """A study folder, as far as its documents go."""

    @property
    def path(self) -> Path: ...

    def read_json(self, name: str) -> Any | None: ...

    def write_json(self, name: str, value: Any) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """scores.json."""

    rows: tuple[Score, ...] = ()
    differences: tuple[Difference, ...] = ()
    """Of contenders by one metric; empty in folders of versions that had none."""
    agreement: tuple[PeopleAgreement, ...] = ()
    """With people's votes; empty where there are none."""
    warnings: tuple[str, ...] = ()


SCORES = "scores.json"
ROWS: dict[str, type] = {"rows": Score, "differences": Difference, "agreement": PeopleAgreement}


def read_scores(folder: Documents) -> Scores | None:
    """None where the study has not been scored. Raises InputError: the file is not of this schema."""
    document, where = folder.read_json(SCORES), str(folder.path / SCORES)
    if document is None:
        return None
    known = {field.name for field in fields(Scores)}
    if not isinstance(document, dict) or set(document) - known:
        raise InputError(f"{where} is not of this version: delete it and run `bench score` again")
    parts: dict[str, Any] = {
        name: tuple(from_dict(kind, row, where) for row in document.get(name) or ())
        for name, kind in ROWS.items()
    }
    return Scores(**parts, warnings=tuple(str(text) for text in document.get("warnings") or ()))


def write_scores(folder: Documents, scores: Scores) -> None:
    folder.write_json(SCORES, asdict(scores))
