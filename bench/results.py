"""What a study folder holds, read once for the report: rows, documents and the study file's own words.

Needs neither the prompt set nor the model table nor torch: a folder copied to a laptop is enough.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from bench.records import Failure, Generation, InputError, Prompt, Score, Timing, from_dict, unknown
from bench.store import Key, StudyFolder

OVERALL = "overall"
"""Key of ratings.json under which the votes of all questions stand together."""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    contender: str
    rating: float | None
    """Elo scale: 400 points are odds of 10 to 1; None where the fit has no finite estimate."""
    low: float | None = None
    high: float | None = None
    rank_low: int | None = None
    """Best rank the votes allow, 1-based; with `rank_high` the rank set."""
    rank_high: int | None = None
    n: int | None = None
    """Votes this contender was part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    a: str
    b: str
    rate: float | None
    """Share of votes for `a` over `b`, 0 to 1, ties half; None: no vote decided anything."""
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """The answers to one question."""

    question: str
    ratings: tuple[Rating, ...]
    """Best first."""
    win_rates: tuple[WinRate, ...]
    n: int | None = None
    """Votes counted."""
    n_raters: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything the report speaks of."""

    folder: StudyFolder
    name: str
    title: str
    contenders: tuple[str, ...]
    images_per_prompt: int
    display_size: int
    questions: tuple[str, ...]
    anchor: str
    chosen: str
    pictures: int
    prompts: tuple[Prompt, ...]
    generations: Mapping[Key, Generation]
    failures: tuple[Failure, ...]
    timings: tuple[Timing, ...]
    timing_protocol: Mapping[str, Any]
    memory: Mapping[str, int]
    """Peak bytes on the GPU by `<contender> batch <n>`."""
    scores: tuple[Score, ...]
    warnings: tuple[str, ...]
    preferences: Mapping[str, Preference]
    """By question, `overall` first; empty until there are votes."""
    simulated_votes: bool
    excluded_votes: Mapping[str, int]
    """Votes left out of the ratings, by reason."""
    run: Mapping[str, Any]
    """run.json; empty where the study has not finished."""

    @property
    def expected(self) -> int:
        """Images the study asks for."""
        return len(self.contenders) * len(self.prompts) * self.images_per_prompt

    def present(self, contender: str) -> list[Generation]:
        return [row for row in self.generations.values() if row.contender == contender]

    @property
    def models(self) -> Mapping[str, Mapping[str, Any]]:
        return self.run.get("models") or {}

    @property
    def headline(self) -> Preference | None:
        """All questions together, or the only one there is."""
        return next(iter(self.preferences.values()), None)


def model_of(contender: str) -> tuple[str, int | None]:
    """`sdxl-turbo@4` is (`sdxl-turbo`, 4); an imported model is its bare name and has no steps."""
    model, _, steps = contender.rpartition("@")
    return (model, int(steps)) if model and steps.isdigit() else (contender, None)


def read_results(folder: StudyFolder) -> Results:
    """Raises InputError, with file and cure, where something in the folder cannot be read."""
    if not folder.study_file.exists():
        raise InputError(f"{folder.path} holds no study.toml: give a study folder, or run `bench run` first")
    study = _study(folder)
    contenders = tuple(study["contenders"])
    report = study.get("report", {})
    for key in ("anchor", "chosen"):
        if report.get(key) is not None and report[key] not in contenders:
            raise unknown(f"contender in [report] {key}", report[key], contenders)
    latency = folder.read_json("latency.json") or {}
    scores = folder.read_json("scores.json") or {}
    ratings = folder.read_json("ratings.json") or {}
    made = {
        key: row
        for key, row in folder.generations().items()
        if row.contender in contenders and row.replicate < study.get("images_per_prompt", 1)
    }
    return Results(
        folder=folder,
        name=study["name"],
        title=study.get("title") or study["name"],
        contenders=contenders,
        images_per_prompt=study.get("images_per_prompt", 1),
        display_size=study.get("display_size", 512),
        questions=tuple(study.get("arena", {}).get("questions", ("alignment", "quality"))),
        anchor=report.get("anchor") or contenders[0],
        chosen=report.get("chosen") or contenders[0],
        pictures=report.get("pictures", 12),
        prompts=tuple(folder.prompts()),
        generations=made,
        failures=tuple(folder.failures()),
        timings=tuple(folder.timings()) if latency else (),
        timing_protocol=latency.get("protocol") or {},
        memory=latency.get("memory") or {},
        scores=tuple(
            from_dict(Score, row, str(folder.path / "scores.json")) for row in scores.get("rows", [])
        ),
        warnings=tuple(str(text) for text in scores.get("warnings", [])),
        preferences=_preferences(ratings, str(folder.path / "ratings.json")),
        simulated_votes=bool(ratings.get("simulated")),
        excluded_votes=ratings.get("excluded") or {},
        run=folder.read_json("run.json") or {},
    )


def _study(folder: StudyFolder) -> dict[str, Any]:
    try:
        study = tomllib.loads(folder.study_file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{folder.study_file} cannot be read: {error}; restore it from a copy") from None
    for key in ("name", "contenders"):
        if not study.get(key):
            raise InputError(f"{folder.study_file}: '{key}' is missing: restore the file from a copy")
    return study


def _preferences(document: Mapping[str, Any], where: str) -> dict[str, Preference]:
    questions = document.get("questions") or {}
    order = sorted(questions, key=lambda name: name != OVERALL)
    found = {}
    for name in order:
        part = questions[name] or {}
        ratings = [_part(Rating, row, where) for row in part.get("ratings") or []]
        wins = tuple(_part(WinRate, row, where) for row in part.get("win_rates") or [])
        if ratings or wins:
            found[name] = Preference(
                question=name,
                ratings=tuple(sorted(ratings, key=_place)),
                win_rates=wins,
                n=part.get("n"),
                n_raters=part.get("n_raters"),
                notes=tuple(str(note) for note in part.get("notes") or ()),
            )
    return found


def _place(row: Rating) -> tuple[bool, float, str]:
    return row.rating is None, -(row.rating or 0.0), row.contender


def _part(kind: type[Part], data: Mapping[str, Any], where: str) -> Part:
    """The fields the report needs; ratings.json says more than that."""
    known = {f.name for f in fields(kind)}  # pyright: ignore[reportArgumentType]
    try:
        return kind(**{key: value for key, value in data.items() if key in known})
    except TypeError as error:
        raise InputError(f"{where}: {error}: run `arena rate` again") from None
