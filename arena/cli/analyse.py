"""The verbs of votes that are in: `arena rate` and `arena export`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arena.cli.arguments import (
    DEFAULT_RESULTS,
    AsJson,
    Database,
    Results,
    StudyArgument,
    open_database,
)
from bench.errors import InputError

if TYPE_CHECKING:
    from arena.cli.study_votes import StudyVotes
    from bench.ratings.rate import Options
    from bench.ratings.vote_table import VoteTable

RatedStudy = Annotated[str | None, typer.Argument(help="Study folder, or a name under --results.")]
VotesFile = Annotated[
    Path | None,
    typer.Option(
        help="Rate this file instead: CSV, TSV, JSON, JSONL or Parquet with the columns model_a, model_b, "
        "winner, and rater, prompt, question, … if known; or a public dump as it is (docs/votes-files.md)."
    ),
]
Columns = Annotated[
    str,
    typer.Option(
        metavar="FIELD=COLUMN,…",
        help="Columns of --votes by the field they hold: rater=judge,prompt=question_id; rater= leaves it out.",
    ),
]
Anchor = Annotated[str | None, typer.Option(help="Contender whose rating is 1000.")]
Weights = Annotated[
    str | None,
    typer.Option(
        help="votes; raters: all raters alike; propensity: undo a choice of pairs by chance.",
        show_default="the planned ones, or votes",
    ),
]
Penalty = Annotated[
    float,
    typer.Option(
        help="Above 0: keep the ratings of a contender that never lost finite, by drawing all ratings together. "
        "Such ratings get no intervals."
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(help="Of equivalence, win-rate points.", show_default="the planned one, or 3"),
]
Bootstrap = Annotated[int, typer.Option(help="Cluster-bootstrap replicates; 0: none.")]
Shuffles = Annotated[int, typer.Option(help="Orders that elo-add averages; 0: none.")]
Position = Annotated[
    bool, typer.Option("--position/--no-position", help="Estimate the effect of being shown on the left.")
]
Style = Annotated[
    bool,
    typer.Option(
        "--style",
        help="Also ratings at equal brightness, saturation, contrast, sharpness, file size and presentation. Reads "
        "every image that was voted on.",
    ),
]
ThisRaterOnly = Annotated[
    bool,
    typer.Option("--this-rater-only", help="Rate the votes of a single rater; holds for that rater alone."),
]
RatingsFile = Annotated[
    Path | None, typer.Option(help="Where to write it all.", show_default="the study's ratings.json")
]


def rate_votes(
    study: RatedStudy = None,
    votes: VotesFile = None,
    columns: Columns = "",
    anchor: Anchor = None,
    weights: Weights = None,
    penalty: Penalty = 0.0,
    margin: Margin = None,
    bootstrap: Bootstrap = 1000,
    shuffles: Shuffles = 1000,
    position: Position = True,
    style: Style = False,
    this_rater_only: ThisRaterOnly = False,
    seed: int = 0,
    out: RatingsFile = None,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Fit ratings and win rates with intervals. A study's go to its ratings.json, the votes they stand on to
    battles.jsonl, which `bench score` and `bench report` read.

    Example: arena rate miniature

    Example: arena rate --votes battles.csv --anchor gpt-image --out ratings.json

    Example: arena rate --votes dump.jsonl --columns rater=judge,prompt=question_id
    """
    from arena.cli.study_votes import study_votes
    from bench.ratings.rate import Options

    _check_source(study, votes, columns=columns, style=style)
    options = Options(
        anchor=anchor,
        weights=weights or "votes",
        penalty=penalty,
        margin=3.0 if margin is None else margin,
        bootstrap=bootstrap,
        shuffles=shuffles,
        position=position,
        this_rater_only=this_rater_only,
        seed=seed,
    )
    read = None
    if votes is not None:
        name, table = votes.name.split(".")[0], _votes_of_file(votes, columns)
    else:
        read = study_votes(str(study), weights, results, database, style=style)
        options = _options_of_study(options, read, weights=weights, margin=margin)
        name, table, out = read.study.name, read.table, out or read.folder / "ratings.json"
    _hand_over(_rated(name, table, options, read), out, as_json)


def _check_source(study: str | None, votes: Path | None, *, columns: str, style: bool) -> None:
    """Raises InputError unless there is one source of votes, and options that it knows."""
    if (study is None) == (votes is None):
        raise InputError("say what to rate: a study, or --votes FILE")
    if style and votes is not None:
        raise InputError("--style reads the images of a study; a votes file has none")
    if columns and votes is None:
        raise InputError("--columns names the columns of --votes FILE")


def _votes_of_file(votes: Path, columns: str) -> VoteTable:
    """The votes of a file; what was noted while it was read goes to stderr."""
    from bench.ratings.votes_file import read_votes

    table = read_votes(votes, named_columns(columns))
    for note in table.notes:
        print(f"note: {note}", file=sys.stderr)
    return table


def _options_of_study(
    options: Options, read: StudyVotes, *, weights: str | None, margin: float | None
) -> Options:
    """The options with the study's anchor, comparisons and plan of the analysis.

    weights, margin: as given on the command line; None: the planned ones.
    """
    from bench.ratings.planned import as_planned

    file = read.study.file
    named = () if file.arena.compare == "all" else read.study.comparisons
    options = replace(options, anchor=options.anchor or file.report.anchor, comparisons=named)
    return options if read.plan is None else as_planned(options, read.plan, weights=weights, margin=margin)


def _rated(name: str, table: VoteTable, options: Options, read: StudyVotes | None) -> dict[str, Any]:
    """The ratings as `ratings.json` holds them; read: the study, None for a votes file."""
    from arena.cli.tables import rating
    from bench.ratings.document import to_dict
    from bench.ratings.planned import plan_block
    from bench.ratings.rate import rate, stages

    with rating(stages(table)) as stage:
        rated = rate(table, study=name, options=options, stage=stage)
    if read is None:
        return to_dict(rated)
    rated = replace(rated, declared=read.declared)
    if read.plan is not None:
        rated = replace(rated, plan=plan_block(rated, read.plan))
    return {**to_dict(rated), "last_vote": read.last}


def _hand_over(document: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Write the ratings to `out`, and print them as JSON or as tables."""
    from arena.cli.tables import show_ratings
    from bench.store.study_folder import write_bytes

    if out is not None:
        write_bytes(out, (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode())
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
        return
    show_ratings(document)
    if out is not None:
        print(f"all of it: {out}")


def named_columns(given: str) -> dict[str, str]:
    """`rater=judge,prompt=question_id` by field. Raises InputError: another form, or a field twice."""
    columns: dict[str, str] = {}
    for part in filter(None, map(str.strip, given.split(","))):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not field or field in columns:
            raise InputError(f"--columns {given}: write field=column, each field once, with commas between")
        columns[field] = column
    return columns


def export_votes(
    study: StudyArgument,
    output: Annotated[Path, typer.Argument(help="File to write.")],
    kind: Annotated[str, typer.Option("--format", help="jsonl, csv, parquet, pairs or log.")] = "jsonl",
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
) -> None:
    """Write the votes to a file. `pairs` is model_a, model_b, winner; `log` is the signed chain.

    Example: arena export miniature votes.csv --format csv
    """
    from arena.quality import exclusion_of
    from arena.results.export import exported
    from arena.shown.study_images import current_images
    from bench.store.study_folder import write_bytes

    opened, folder, votes_database, _ = open_database(study, results, database, reading=True)
    data = exported(
        votes_database,
        {p.id: p for p in opened.prompts},
        kind,
        exclusion_of(opened.file.arena),
        current_images(folder),
    )
    write_bytes(output, data)
    print(f"{output}: {len(data)} bytes")
