"""What a scoring run computed, written to the study folder: rows, differences, effects, agreement with people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import bench.metrics.intervals as intervals
from bench.metrics.feature_rows import Array
from bench.records import (
    Battle,
    Difference,
    ImageScore,
    PeopleAgreement,
    PoweredRow,
    PromptEffect,
    Score,
    iterate_rows,
)
from bench.scoring.metric_agreement import Judged, agreements
from bench.scoring.powered_claims import powered_rows
from bench.scoring.scorable_images import Key
from bench.store.documents import Scores, write_scores
from bench.store.study_folder import StudyFolder, write_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One row, and what it was computed from."""

    row: Score
    keys: Sequence[Key]
    """Prompt and replicate of each image."""
    values: Array | None
    """(n,) of the images in the order of the keys; None for a number of the whole set."""
    effects: Array | None
    """(G,) of the prompts in the order of the keys; None without an interval."""

    @property
    def prompt_ids(self) -> list[str]:
        """(G,) in the order of the keys."""
        return list(dict.fromkeys(prompt_id for prompt_id, _ in self.keys))


def write(folder: StudyFolder, scored: Sequence[Scored], warnings: Sequence[str]) -> None:
    """scores.json last: the rows that it belongs to are there."""
    write_rows(folder.image_scores_file, _image_scores(scored))
    write_rows(folder.prompt_effects_file, _prompt_effects(scored))
    agreement, powered = _people(folder, scored)
    document = Scores(
        rows=tuple(one.row for one in scored),
        differences=tuple(differences(scored)),
        agreement=tuple(agreement),
        powered=tuple(powered),
        warnings=tuple(warnings),
    )
    write_scores(folder, document)


def differences(scored: Sequence[Scored]) -> list[Difference]:
    """Every pair of contenders by every metric, paired by prompt, joint over the pairs of a metric."""
    found = []
    for name in dict.fromkeys(one.row.metric for one in scored):
        rows = [one for one in scored if one.row.metric == name and one.effects is not None]
        if len(rows) < 2:
            continue
        values = [one.row.value for one in rows if one.row.value is not None]
        effects = [one.effects for one in rows if one.effects is not None]
        count = len(rows) * (len(rows) - 1) // 2
        for pair in intervals.paired_differences(values, effects):
            row = rows[pair.first].row
            found.append(
                Difference(
                    metric=name,
                    fingerprint=row.fingerprint,
                    a=row.contender,
                    b=rows[pair.second].row.contender,
                    estimate=pair.estimate,
                    low=pair.low,
                    high=pair.high,
                    p=pair.p,
                    n=row.n,
                    prompts=len(effects[0]),
                    correction="one pair" if count == 1 else f"largest |t| of {count} pairs",
                )
            )
    return found


def _image_scores(scored: Sequence[Scored]) -> Iterator[ImageScore]:
    for one in scored:
        if one.values is None:
            continue
        for (prompt_id, replicate), value in zip(one.keys, one.values.tolist(), strict=True):
            yield ImageScore(
                metric=one.row.metric,
                fingerprint=one.row.fingerprint,
                contender=one.row.contender,
                prompt_id=prompt_id,
                replicate=replicate,
                value=value,
            )


def _prompt_effects(scored: Sequence[Scored]) -> Iterator[PromptEffect]:
    """Metrics over a part of the prompts (diversity with uneven images) have none."""
    for one in scored:
        if one.effects is None or len(one.effects) != len(one.prompt_ids):
            continue
        for prompt_id, effect in zip(one.prompt_ids, one.effects.tolist(), strict=True):
            yield PromptEffect(
                metric=one.row.metric,
                fingerprint=one.row.fingerprint,
                contender=one.row.contender,
                prompt_id=prompt_id,
                effect=effect,
            )


def _people(folder: StudyFolder, scored: Sequence[Scored]) -> tuple[list[PeopleAgreement], list[PoweredRow]]:
    """How far each metric agrees with the votes, and what it adds to them; nothing where `arena rate` has left none."""
    battles = list(iterate_rows(folder.battles_file, Battle))
    if not battles:
        return [], []
    document = folder.read_json("ratings.json") or {}
    ratings = {
        question: {row["contender"]: row["rating"] for row in part["ratings"] if row["rating"] is not None}
        for question, part in document.get("questions", {}).items()
    }
    agreement, powered = [], []
    for name in dict.fromkeys(one.row.metric for one in scored):
        rows = [one for one in scored if one.row.metric == name]
        judged = Judged(
            metric=name,
            fingerprint=rows[0].row.fingerprint,
            sign=1 if rows[0].row.higher_is_better else -1,
            values={one.row.contender: one.row.value for one in rows if one.row.value is not None},
            images={one.row.contender: one.values for one in rows if one.values is not None},
            keys=tuple(rows[0].keys),
        )
        agreement += agreements(judged, battles, ratings)
        powered += powered_rows(judged, battles)
    return agreement, powered
