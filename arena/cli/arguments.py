"""Arguments that several verbs take, what they open, and how an answer is said."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import InputError

if TYPE_CHECKING:
    from arena.db.database import VoteDatabase
    from arena.voting import Desk
    from bench.store.study_folder import StudyFolder
    from bench.study.study import Study

StudyArgument = Annotated[str, typer.Argument(help="Study folder, or a name under --results.")]
Results = Annotated[Path, typer.Option(help="Where study folders are.")]
Database = Annotated[
    str | None,
    typer.Option(
        envvar="ARENA_DATABASE", help="sqlite:///PATH or postgresql://…; default votes.sqlite of the study."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
DEFAULT_RESULTS = Path("results")


def open_database(
    name: str, results: Path, database: str | None, *, reading: bool = False
) -> tuple[Study, StudyFolder, VoteDatabase, bytes]:
    """Open a study and its votes.

    Parameters
    ----------
    name: the study's folder, or its name under `results`.
    database: URL; None: `votes.sqlite` of the folder.
    reading: leave a database of an earlier revision as it is; it can be read, and not written.

    Returns
    -------
    Study, folder, database, and the server's key.
    """
    from arena.admission import server_key
    from arena.db.database import VoteDatabase
    from arena.db.schema import sqlite_url
    from bench.store.study_folder import open_folder
    from bench.study.study import open_study

    folder = open_folder(name, results)
    study = open_study(folder)
    key = server_key(folder.path)
    votes_database = VoteDatabase(database or sqlite_url(folder.votes_file), key)
    if not reading or votes_database.empty:
        votes_database.migrate()
    return study, folder, votes_database, key


def open_desk(name: str, results: Path, database: str | None) -> tuple[Desk, bytes]:
    """A study as it is put before raters: its plan of the analysis is frozen with the first call."""
    from arena.voting import Desk
    from bench.study.analysis_plan import freeze

    study, folder, votes_database, key = open_database(name, results, database)
    desk = Desk(study, folder, votes_database, time.time)
    desk.prepare()
    with votes_database.reading() as tx:
        votes, *_ = tx.chain
    if (plan := freeze(folder, study.file, votes)) is not None:
        when = "before the first vote" if not plan.votes else f"after {plan.votes} votes"
        print(f"analysis plan {plan.sha256[:16]} of {plan.frozen}, frozen {when}", file=sys.stderr)
    return desk, key


def one_rater(votes_database: VoteDatabase, who: str) -> str:
    from arena.db import raters as register

    with votes_database.reading() as tx:
        found = register.find(tx.db, who)
    if len(found) != 1:
        what = "no rater is" if not found else f"{len(found)} raters are"
        raise InputError(f"{what} known as '{who}': use a panel participant's id or a rater id")
    return found[0]


def study_of(name: str, results: Path) -> Study:
    """As frozen in its folder, or, before its first run, as its file says."""
    from bench.store.study_folder import StudyFolder
    from bench.study.study import open_study, read

    for path in (Path(name), results / name):
        if (path / "study.toml").is_file():
            return open_study(StudyFolder(path))
    return read(name)


def say(value: dict[str, Any], as_json: bool) -> None:
    """One line of JSON, or a line a key."""
    if as_json:
        print(json.dumps(value, ensure_ascii=False))
        return
    for key, one in value.items():
        print(f"{key}: {one}")
