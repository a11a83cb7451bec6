"""Scores that somebody else computed, read from a table: intervals, differences and agreement as for any metric."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.errors import InputError, unknown
from bench.metrics.registry import Metric
from bench.metrics.statistics import mean_estimate
from bench.records import ImageScore, PromptEffect, Score, iterate_rows, settings_hash
from bench.scoring.scorable_images import Key
from bench.scoring.scored import Scored, write
from bench.store.documents import read_scores
from bench.store.study_folder import StudyFolder, sha256
from bench.study.study import Study

COLUMNS = ("prompt_id", "contender", "value")
OPTIONAL = ("replicate",)
FROM_FILE = "file"
"""`from` in the protocol of a score that was read from a table."""


def add_file(
    folder: StudyFolder,
    study: Study,
    file: Path,
    metric: Metric,
    name: str,
    *,
    allow_missing: bool = False,
) -> list[Score]:
    """Adds a table's scores to the folder's; a metric of the same name is replaced, all others stay.

    Parameters
    ----------
    metric: direction, and whether values are shares.
    allow_missing: score the images that all contenders of the table have.
    """
    added = score_file(study, name, file, metric, allow_missing)
    before = read_scores(folder)
    kept = [one for one in read_scored(folder) if one.row.metric != name]
    write(folder, [*kept, *added], before.warnings if before else ())
    return [one.row for one in added]


def kept_files(folder: StudyFolder, study: Study, replaced: set[str]) -> list[Scored]:
    """What `add_file` added before, without the metrics that are computed anew or contenders that left."""
    names = {contender.name for contender in study.contenders}
    return [
        one
        for one in read_scored(folder)
        if one.row.protocol.get("from") == FROM_FILE
        and one.row.metric not in replaced
        and one.row.contender in names
    ]


def read_scored(folder: StudyFolder) -> list[Scored]:
    """The folder's scores with what each image and prompt has in them, as they were written."""
    scores = read_scores(folder)
    if scores is None:
        return []
    values: dict[tuple[str, str], dict[Key, float]] = {}
    for line in iterate_rows(folder.image_scores_file, ImageScore):
        one = values.setdefault((line.metric, line.contender), {})
        one[line.prompt_id, line.replicate] = line.value
    effects: dict[tuple[str, str], dict[str, float]] = {}
    for line in iterate_rows(folder.prompt_effects_file, PromptEffect):
        effects.setdefault((line.metric, line.contender), {})[line.prompt_id] = line.effect
    found = []
    for row in scores.rows:
        images = values.get((row.metric, row.contender), {})
        prompts = effects.get((row.metric, row.contender), {})
        found.append(
            Scored(
                row=row,
                keys=tuple(images) or tuple((prompt_id, 0) for prompt_id in prompts),
                values=np.array(list(images.values())) if images else None,
                effects=np.array(list(prompts.values())) if prompts else None,
            )
        )
    return found


def score_file(
    study: Study, name: str, file: Path, metric: Metric, allow_missing: bool = False
) -> list[Scored]:
    """A row for each contender of the table, all on the same images.

    Raises InputError: not such a table, or images of one contender are missing in it.
    """
    table = read_table(file, study)
    images = [(p.id, r) for p in study.prompts for r in range(study.file.images_per_prompt)]
    names = [c.name for c in study.contenders if c.name in table]
    keys = [key for key in images if all(key in table[contender] for contender in names)]
    if len(keys) < len(images) and not allow_missing:
        short = {c: missing for c in names if (missing := len(images) - len(table[c]))}
        listed = ", ".join(f"{contender} {missing}" for contender, missing in short.items())
        raise InputError(
            f"{file} lacks values ({listed} of {len(images)} images): add them, or --allow-missing scores only "
            "the images that every contender of the table has"
        )
    if not keys:
        raise InputError(f"{file}: no image has a value of every contender")
    return [_scored(name, file, metric, contender, keys, table[contender]) for contender in names]


def _scored(
    name: str,
    file: Path,
    metric: Metric,
    contender: str,
    keys: Sequence[Key],
    values: Mapping[Key, float],
) -> Scored:
    numbers = {prompt_id: i for i, prompt_id in enumerate(dict.fromkeys(p for p, _ in keys))}
    prompts = np.array([numbers[prompt_id] for prompt_id, _ in keys])
    estimate = mean_estimate(np.array([values[key] for key in keys]), prompts, share=metric.share)
    protocol = {
        "metric": name,
        "source": metric.source,
        "from": FROM_FILE,
        "file": file.name,
        "file_sha256": sha256(file.read_bytes()),
        "n": len(keys),
    }
    row = Score(
        metric=name,
        contender=contender,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=len(keys),
        interval=estimate.interval,
        higher_is_better=metric.higher_is_better,
        protocol=protocol,
        fingerprint=settings_hash(protocol),
        note="; ".join(text for text in (f"read from {file.name}", estimate.note) if text),
    )
    return Scored(row=row, keys=keys, values=estimate.values, effects=estimate.effects)


def read_table(file: Path, study: Study) -> dict[str, dict[Key, float]]:
    """Contender to the value of each image. Without a column `replicate` a value is that of all replicates.

    Raises InputError naming the line: an unknown column, prompt or contender, a value twice, not a number.
    """
    if not file.is_file():
        raise InputError(f"no file {file}: give a table with columns {', '.join(COLUMNS)}[, replicate]")
    prompts, contenders = {p.id for p in study.prompts}, {c.name for c in study.contenders}
    found: dict[str, dict[Key, float]] = {}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t" if file.suffix == ".tsv" else ",")
        columns = tuple(reader.fieldnames or ())
        _check_columns(file, columns)
        for row in reader:
            where = f"{file}:{reader.line_num}"
            contender, prompt_id = row["contender"], row["prompt_id"]
            if contender not in contenders:
                raise InputError(f"{where}: {unknown('contender', str(contender), sorted(contenders))}")
            if prompt_id not in prompts:
                raise InputError(f"{where}: prompt '{prompt_id}' is not in study '{study.name}'")
            value = _number(where, row["value"])
            for replicate in _replicates(where, row.get("replicate"), study):
                values = found.setdefault(contender, {})
                if (prompt_id, replicate) in values:
                    raise InputError(f"{where}: {contender}, {prompt_id}, {replicate} has two values")
                values[prompt_id, replicate] = value
    if not found:
        raise InputError(f"{file} holds no value")
    return found


def _check_columns(file: Path, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in (*COLUMNS, *OPTIONAL):
            raise InputError(f"{file}: {unknown('column', column, (*COLUMNS, *OPTIONAL))}")
    if len(set(columns)) < len(columns):
        raise InputError(f"{file}: a column is there twice: {', '.join(columns)}")
    if missing := [column for column in COLUMNS if column not in columns]:
        raise InputError(
            f"{file} has no column '{missing[0]}': it needs {', '.join(COLUMNS)}, separated by "
            f"{'tabs' if file.suffix == '.tsv' else 'commas (tabs in a .tsv)'}"
        )


def _number(where: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        raise InputError(f"{where}: value {text!r} is not a number") from None
    if not math.isfinite(value):
        raise InputError(f"{where}: value {text!r} is not finite")
    return value


def _replicates(where: str, text: str | None, study: Study) -> range:
    count = study.file.images_per_prompt
    if text is None:
        return range(count)
    if not text.isdigit() or int(text) >= count:
        raise InputError(f"{where}: replicate {text!r} is not one of 0 to {count - 1}")
    return range(int(text), int(text) + 1)
