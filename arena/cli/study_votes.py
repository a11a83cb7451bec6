"""A study's votes as `arena rate` and the pilot of `arena plan` read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from arena.cli.arguments import open_database
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.ratings.planned import FrozenPlan
    from bench.ratings.vote_table import VoteTable
    from bench.records import Battle
    from bench.store.study_folder import StudyFolder
    from bench.study.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyVotes:
    """A study's votes, and what of the study their ratings need."""

    study: Study
    table: VoteTable
    folder: Path
    declared: dict[str, dict[str, int]]
    """Question about the rater → answer → raters whose votes count."""
    last: int
    """Number of the vote log's last entry before the votes were read."""
    plan: FrozenPlan | None
    """Of the analysis; None: the study has none."""


def study_votes(
    name: str, weights: str | None, results: Path, database: str | None, *, style: bool
) -> StudyVotes:
    """Read a study's votes and write them to its battles.jsonl.

    Parameters
    ----------
    name: the study's folder, or its name under `results`.
    weights: of the votes; None: those of the plan of the analysis, or `votes`.
    database: URL; None: `votes.sqlite` of the folder.
    style: whether the table has the covariates of the images.

    Raises
    ------
    InputError: weights `propensity` where the pairs were not drawn by unequal chances.
    """
    from arena.quality import exclusion_of
    from arena.results.declared import declared_counts
    from arena.results.export import collect
    from arena.shown.study_images import current_images
    from bench.ratings.vote_table import code_battles
    from bench.records import to_json
    from bench.store.study_folder import write_bytes
    from bench.study.analysis_plan import read_plan

    opened, folder, votes_database, _ = open_database(name, results, database, reading=True)
    plan = read_plan(folder, opened.file)
    weights = weights or (plan.analysis["weights"] if plan else "votes")
    with votes_database.reading() as tx:
        last, *_ = tx.chain
    rows, about = collect(
        votes_database,
        {p.id: p for p in opened.prompts},
        exclusion_of(opened.file.arena),
        current_images(folder),
    )
    pairing = opened.file.arena.pairing
    if weights == "propensity" and (pairing != "active" or all((row.probability or 1) == 1 for row in rows)):
        raise InputError(
            f"weights 'propensity' undo pairs drawn by unequal chances; study '{opened.name}' chose its pairs "
            f"'{pairing}', without such chances: use weights 'votes'"
        )
    write_bytes(folder.battles_file, "".join(to_json(row) + "\n" for row in rows).encode())
    excluded = {one.rater for one in about if one.excluded}
    declared = declared_counts(votes_database, opened.file.arena, excluded)
    table = code_battles(rows, opened.file.arena.exclude)
    return StudyVotes(
        study=opened,
        table=_styled(table, rows, opened, folder) if style else table,
        folder=folder.path,
        declared=declared,
        last=last,
        plan=plan,
    )


def _styled(table: VoteTable, rows: Sequence[Battle], opened: Study, folder: StudyFolder) -> VoteTable:
    """The table with the brightness, sharpness and other covariates of each vote's images."""
    from bench.scoring.image_style import study_styles, styled

    kept = [row for row in rows if row.kind != "check" and not row.excluded]
    shown = {(side, row.prompt_id, row.replicate) for row in kept for side in (row.left, row.right)}
    styles = study_styles(folder, opened.file.display_size, opened.file.fit, sorted(shown))
    return styled(table, kept, styles)
