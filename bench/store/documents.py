"""The documents of a study folder as dataclasses: scores.json and latency.json, each with one schema."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from bench.errors import InputError
from bench.records import (
    Difference,
    LatencyPass,
    LoadRun,
    PeopleAgreement,
    PoweredRow,
    Score,
    Timing,
    from_dict,
)


class Documents(Protocol):
    """A study folder, as far as its documents go."""

    @property
    def path(self) -> Path | str: ...

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
    powered: tuple[PoweredRow, ...] = ()
    """Win rates with a metric's help; empty unless more prompts were scored than voted on."""
    warnings: tuple[str, ...] = ()


SCORES = "scores.json"
ROWS: dict[str, type] = {
    "rows": Score,
    "differences": Difference,
    "agreement": PeopleAgreement,
    "powered": PoweredRow,
}


def read_scores(folder: Documents) -> Scores | None:
    """None where the study has not been scored. Raises InputError: the file is not of this schema."""
    document, where = folder.read_json(SCORES), f"{folder.path}/{SCORES}"
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


LATENCY = "latency.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """latency.json; written after each pass."""

    protocol: dict[str, Any]
    """How it was measured: device, dtype, passes, samples, …"""
    fingerprint: str
    """Hash of what must agree for two documents to be parts of one measurement."""
    memory: dict[str, int] = field(default_factory=dict)
    """Peak bytes on the GPU by `<contender> batch <n>`."""
    joules: dict[str, float] = field(default_factory=dict)
    """Of the GPU for one image, by `<contender> batch <n>`; empty without NVML."""
    tflop: dict[str, float] = field(default_factory=dict)
    """An image, by contender; without those whose architecture is not here."""
    passes: tuple[LatencyPass, ...] = ()
    rows: tuple[Timing, ...] = ()
    load: tuple[LoadRun, ...] = ()
    """Cold start and behaviour under load; empty where it was not asked for."""


def read_latency(folder: Documents) -> Latency | None:
    """None where nothing was timed. Raises InputError: the file is not of this schema."""
    document, where = folder.read_json(LATENCY), f"{folder.path}/{LATENCY}"
    if document is None:
        return None
    parts = {
        "passes": tuple(from_dict(LatencyPass, row, where) for row in document.get("passes") or ()),
        "rows": tuple(from_dict(Timing, row, where) for row in document.get("rows") or ()),
        "load": tuple(from_dict(LoadRun, row, where) for row in document.get("load") or ()),
    }
    try:
        return Latency(**{**document, **parts})
    except TypeError:
        raise InputError(f"{where} is not of this version: delete it and run `bench latency` again") from None


def write_latency(folder: Documents, latency: Latency) -> None:
    folder.write_json(LATENCY, asdict(latency))
