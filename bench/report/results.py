"""What a study folder holds, read once for the report: rows, documents and the study file's own words.

Needs neither the prompt set nor the model table nor torch: a folder copied to a laptop is enough.
"""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench.errors import InputError, unknown
from bench.ratings.analysis_rows import PlanBlock
from bench.ratings.document import QuestionRatings, read_plan, read_questions
from bench.records import (
    Battle,
    Difference,
    Failure,
    FeltPicture,
    Generation,
    ImageScore,
    KeyWait,
    LatencyPass,
    LoadRun,
    PeopleAgreement,
    PoweredRow,
    Prompt,
    PromptEffect,
    Row,
    Score,
    Timing,
    from_dict,
    iterate_rows,
    read_rows,
)
from bench.store.documents import Scores, read_scores
from bench.store.study_folder import Key, StudyFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counted votes on one pair of images, over all questions."""

    first: int = 0
    """For the contender whose name sorts first."""
    second: int = 0
    ties: int = 0
    both_bad: int = 0

    @property
    def n(self) -> int:
        """Votes that compare the two."""
        return self.first + self.second + self.ties

    @property
    def share(self) -> float:
        """Of the first, ties half; 0.5 without votes."""
        return (self.first + self.ties / 2) / self.n if self.n else 0.5


Duel = tuple[str, int, str, str]
"""prompt_id, replicate and two contenders in the order of their names: one pair of images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything the report speaks of."""

    folder: StudyFolder
    name: str
    title: str
    contenders: tuple[str, ...]
    task: str
    images_per_prompt: int
    display_size: int
    arena: Mapping[str, Any]
    """`[arena]` of the study file, as written."""
    questions: tuple[str, ...]
    anchor: str
    """Contender whose rating is 1000, or `mean`, as ratings.json has it; empty: it does not say."""
    anchor_asked: str | None
    """What the study file asks for; None: nothing."""
    chosen: str
    pictures: int
    authors: tuple[str, ...]
    """Of the study; empty where the study file names none."""
    cite: str
    """How the study wants to be cited; empty: `citation` says it."""
    prompts: tuple[Prompt, ...]
    generations: Mapping[Key, Generation]
    failures: tuple[Failure, ...]
    timings: tuple[Timing, ...]
    load: tuple[LoadRun, ...]
    """Contenders under load; empty where it was not measured."""
    passes: tuple[LatencyPass, ...]
    """What the machine did in each round of timings; empty in folders of versions without passes."""
    timing_protocol: Mapping[str, Any]
    memory: Mapping[str, int]
    """Peak bytes on the GPU by `<contender> batch <n>`."""
    work: Mapping[str, float]
    """TFLOP an image, by contender; empty where it was not counted."""
    matrix_rate: float | None
    """TFLOP/s of a large matrix product on the device that was timed; None: not measured."""
    felt: tuple[FeltPicture, ...]
    key_waits: tuple[KeyWait, ...]
    """Every keystroke to the first frame that reflects it; empty where only pictures were timed."""
    felt_protocol: Mapping[str, Any]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    """Of contenders by one metric, paired by prompt, joint over the pairs of the metric."""
    image_scores: tuple[ImageScore, ...]
    prompt_effects: tuple[PromptEffect, ...]
    """What each prompt adds to each score."""
    people: tuple[PeopleAgreement, ...]
    """How far each metric agrees with the votes."""
    powered: tuple[PoweredRow, ...]
    """Win rates with a metric's help; empty unless more prompts were scored than voted on."""
    warnings: tuple[str, ...]
    preferences: Mapping[str, QuestionRatings]
    """By question, `overall` first; empty until there are votes."""
    duels: Mapping[Duel, Tally]
    plan: PlanBlock | None
    """The planned comparisons; None: none were planned."""
    votes_method: Mapping[str, Any]
    """How the ratings were made, in the words of ratings.json."""
    simulated_votes: bool
    excluded_votes: Mapping[str, int]
    """Votes left out of the ratings, by reason."""
    declared: Mapping[str, Mapping[str, int]]
    """Demographic question → answer → raters, in sums."""
    newer_votes: int
    """Entries of the vote log (votes, and votes taken back) that came after the ratings."""
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
    def device(self) -> str:
        """What was timed on."""
        protocol = self.timing_protocol
        return str(protocol.get("gpu") or protocol.get("device") or "a device that was not recorded")

    @property
    def comparisons(self) -> tuple[tuple[str, str], ...]:
        """The pairs that the study names in `[arena] compare`; else the chosen contender against each other one."""
        named = self.arena.get("compare")
        if isinstance(named, list):
            return tuple((str(a), str(b)) for a, b in named)
        return tuple((self.chosen, name) for name in self.contenders if name != self.chosen)

    @property
    def rivals(self) -> tuple[str, ...]:
        """Contenders that the study compares the chosen one with, in its order."""
        paired = {name for pair in self.comparisons if self.chosen in pair for name in pair}
        return tuple(name for name in self.contenders if name in paired and name != self.chosen)

    @property
    def voters(self) -> str:
        """Whose judgement the votes are: never `people` where a program gave them."""
        return "simulated votes" if self.simulated_votes else "people"

    @property
    def headline(self) -> QuestionRatings | None:
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
    contenders, report = tuple(study["contenders"]), study.get("report", {})
    _check_named(report, contenders)
    latency = folder.read_json("latency.json") or {}
    scores = read_scores(folder) or Scores()
    ratings = folder.read_json("ratings.json") or {}
    felt = folder.read_json("interactive.json") or {}
    made = _generations(folder, contenders, study.get("images_per_prompt", 1))
    return Results(
        folder=folder,
        name=study["name"],
        title=study.get("title") or study["name"],
        contenders=contenders,
        task=study.get("task", "text-to-image"),
        images_per_prompt=study.get("images_per_prompt", 1),
        display_size=study.get("display_size", 512),
        arena=study.get("arena", {}),
        questions=tuple(study.get("arena", {}).get("questions", ("alignment", "quality"))),
        anchor=ratings.get("anchor") or "",
        anchor_asked=report.get("anchor"),
        chosen=report.get("chosen") or contenders[0],
        pictures=report.get("pictures", 12),
        authors=tuple(report.get("authors") or ()),
        cite=str(report.get("cite") or ""),
        prompts=tuple(folder.prompts()),
        generations=made,
        failures=tuple(folder.failures()),
        timings=tuple(folder.timings()) if latency else (),
        load=_latency_rows(folder, LoadRun, latency.get("load")),
        passes=_latency_rows(folder, LatencyPass, latency.get("passes")),
        timing_protocol=latency.get("protocol") or {},
        memory=latency.get("memory") or {},
        work=latency.get("tflop") or {},
        matrix_rate=(latency.get("protocol") or {}).get("matrix_tflops"),
        felt=tuple(folder.felt_pictures()),
        key_waits=tuple(folder.key_waits()),
        felt_protocol=felt.get("protocol") or {},
        scores=scores.rows,
        differences=scores.differences,
        image_scores=tuple(read_rows(folder.image_scores_file, ImageScore)),
        prompt_effects=tuple(read_rows(folder.prompt_effects_file, PromptEffect)),
        people=scores.agreement,
        powered=scores.powered,
        warnings=scores.warnings,
        preferences=read_questions(ratings, str(folder.path / "ratings.json")),
        duels=_duels(folder),
        plan=read_plan(ratings, str(folder.path / "ratings.json")),
        votes_method=ratings.get("method") or {},
        simulated_votes=bool(ratings.get("simulated")),
        excluded_votes=ratings.get("excluded") or {},
        newer_votes=_newer_votes(folder, ratings),
        declared=ratings.get("declared") or {},
        run=folder.read_json("run.json") or {},
    )


def _check_named(report: Mapping[str, Any], contenders: Sequence[str]) -> None:
    """Raises InputError where [report] names a contender that the study does not have."""
    for key in ("anchor", "chosen"):
        if report.get(key) is not None and report[key] not in contenders:
            raise unknown(f"contender in [report] {key}", report[key], contenders)


def _generations(
    folder: StudyFolder, contenders: Sequence[str], images_per_prompt: int
) -> dict[Key, Generation]:
    """The images that the study asks for by now; a folder may hold more."""
    return {
        key: row
        for key, row in folder.generations().items()
        if row.contender in contenders and row.replicate < images_per_prompt
    }


def _latency_rows(folder: StudyFolder, kind: type[Row], rows: Sequence[Any] | None) -> tuple[Row, ...]:
    """A table of latency.json; None: it has no such table."""
    return tuple(from_dict(kind, row, str(folder.path / "latency.json")) for row in rows or ())


def _newer_votes(folder: StudyFolder, ratings: dict[str, Any]) -> int:
    """Entries of the folder's vote log that the ratings do not know of; 0 where the log is elsewhere."""
    if not folder.votes_file.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{folder.votes_file.absolute().as_uri()}?mode=ro", uri=True)) as log:
            (last,) = log.execute("select max(seq) from votes").fetchone()
    except sqlite3.Error:  # not this suite's, or in use in a way that a reader cannot join
        return 0
    known = ratings.get("last_vote", None if ratings else 0)
    return 0 if known is None else max(0, (last or 0) - known)


def _study(folder: StudyFolder) -> dict[str, Any]:
    try:
        study = tomllib.loads(folder.study_file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{folder.study_file} cannot be read: {error}; restore it from a copy") from None
    for key in ("name", "contenders"):
        if not study.get(key):
            raise InputError(f"{folder.study_file}: '{key}' is missing: restore the file from a copy")
    return study


def _duels(folder: StudyFolder) -> dict[Duel, Tally]:
    """Votes that count, by pair of images; read line by line, so memory grows with pairs and not votes."""
    counts: dict[Duel, list[int]] = {}
    for row in iterate_rows(folder.battles_file, Battle):
        if row.kind != "vote" or row.excluded:
            continue
        a, b = sorted((row.left, row.right))
        tally = counts.setdefault((row.prompt_id, row.replicate, a, b), [0, 0, 0, 0])
        ahead = {"left": row.left, "right": row.right}.get(row.outcome)
        tally[(0 if ahead == a else 1) if ahead else 2 if row.outcome == "tie" else 3] += 1
    return {
        key: Tally(first=first, second=second, ties=ties, both_bad=bad)
        for key, (first, second, ties, bad) in counts.items()
    }
