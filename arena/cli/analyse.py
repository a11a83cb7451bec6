"""The verbs that need no rater: `arena plan` before a study, `arena rate` after it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arena.cli.arguments import (
    DEFAULT_RESULTS,
    AsJson,
    Database,
    Results,
    StudyArgument,
    open_database,
    say,
    study_of,
)
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.ratings.pilot import Pilot
    from bench.ratings.planned import FrozenPlan
    from bench.ratings.vote_table import VoteTable
    from bench.study.study import Study


def plan(
    study: Annotated[
        str | None,
        typer.Argument(
            help="Study file, folder or name: its contenders, comparisons, prompts, ties and votes."
        ),
    ] = None,
    win_rate: Annotated[float, typer.Option("--rate", help="Win rate to tell from one half.")] = 0.55,
    power: Annotated[float, typer.Option(help="Share of studies that should show it.")] = 0.8,
    contenders: Annotated[int | None, typer.Option(show_default="the study's, or 2")] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="all, or chosen: each against one.", show_default="the study's, or all"),
    ] = None,
    prompts: Annotated[int | None, typer.Option(show_default="the study's, or 100")] = None,
    votes_per_pair: Annotated[
        int | None, typer.Option(help="Also say what so many would show.", show_default="the study's")
    ] = None,
    votes_per_rater: Annotated[
        int | None,
        typer.Option(
            help="Answers of one rater: all questions, checks and repeats.", show_default="the study's, or 40"
        ),
    ] = None,
    checks: Annotated[
        float | None,
        typer.Option(help="Share of answers that are checks or repeats.", show_default="the study's, or 0"),
    ] = None,
    pilot: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PILOT",
            help="Votes to estimate the SDs, ties and unevenness from: a study with votes, or a votes file.",
        ),
    ] = None,
    spread: Annotated[
        float | None,
        typer.Option(
            help="Unevenness of raters: coefficient of variation of their numbers of votes.",
            show_default="0, or the pilot's where the study sets no limit",
        ),
    ] = None,
    ties: Annotated[
        float | None,
        typer.Option(help="Share of ties between equals.", show_default="the pilot's, or 0.2"),
    ] = None,
    rater_sd: Annotated[
        float | None,
        typer.Option(
            help="How far raters differ about a contender, logits.", show_default="the pilot's, or 0.5"
        ),
    ] = None,
    prompt_sd: Annotated[
        float | None,
        typer.Option(
            help="How far a contender's prompts differ, logits.", show_default="the pilot's, or 0.7"
        ),
    ] = None,
    pay: Annotated[float, typer.Option(help="Of a rater, an hour.")] = 12.0,
    seconds: Annotated[float, typer.Option(help="A vote takes, loading and breaks included.")] = 8.0,
    setup_minutes: Annotated[
        float, typer.Option(help="Consent, instructions, practice; once a rater.")
    ] = 3.0,
    repeats: Annotated[int, typer.Option(help="Simulated studies that check the answer; 0: none.")] = 100,
    seed: int = 0,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """How many prompts, raters and votes a claim takes, and what they cost, before the first rater is invited.

    Example: arena plan turbo-preference --rate 0.55

    Example: arena plan --rate 0.515 --contenders 2 --prompts 1632 --votes-per-rater 20

    Example: arena plan my-study --from results/pilot
    """
    from arena.cli.tables import show_pilot, show_plan
    from bench.ratings.designs import USUAL_VOTES_PER_RATER, Cost, comparisons_of
    from bench.ratings.planning import plan as planned

    asked = None if study is None else study_of(study, results)
    arena = None if asked is None else asked.file.arena
    if asked is not None and compare is None and contenders is None:
        names = [c.name for c in asked.contenders]
        contenders, pairs = len(names), [(names.index(a), names.index(b)) for a, b in asked.comparisons]
    else:
        if contenders is None:
            contenders = 2 if asked is None else len(asked.contenders)
        pairs = comparisons_of(contenders, compare or "all")
    if votes_per_pair is None and arena is not None:
        votes_per_pair = arena.votes_per_pair
    if votes_per_rater is None:
        votes_per_rater = (arena.limit if arena else None) or USUAL_VOTES_PER_RATER
    if checks is None:
        checks = arena.checks if arena else 0.0
    if prompts is None:
        prompts = 100 if asked is None else len(asked.prompts)
    found = None if pilot is None else _pilot(pilot, results)
    if found is not None:
        open_ended = arena is None or arena.limit is None
        spread = (found.unevenness if open_ended else 0.0) if spread is None else spread
        ties = found.ties if ties is None and (arena is None or arena.ties) else ties
    result = planned(
        rate=win_rate,
        contenders=contenders,
        comparisons=pairs,
        questions=len(arena.questions) if arena else 1,
        checks=checks,
        votes_per_rater=votes_per_rater,
        prompts=prompts,
        rater_sd=(found.rater.value if found else 0.5) if rater_sd is None else rater_sd,
        prompt_sd=(found.prompt.value if found else 0.7) if prompt_sd is None else prompt_sd,
        likely=() if found is None else found.likely(rater_sd, prompt_sd),
        ties=(0.2 if arena is None or arena.ties else 0.0) if ties is None else ties,
        spread=spread or 0.0,
        power=power,
        votes_per_pair=votes_per_pair,
        cost=Cost(pay=pay, seconds=seconds, setup_minutes=setup_minutes),
        repeats=repeats,
        seed=seed,
    )
    if as_json:
        say({**asdict(result), "pilot": found and asdict(found)}, True)
        return
    if found is not None:
        show_pilot(found)
    show_plan(result)


def _pilot(name: str, results: Path) -> Pilot:
    """Raises InputError: no votes, or too few."""
    from bench.ratings.pilot import estimate
    from bench.ratings.votes_file import read_votes

    if Path(name).is_file():
        return estimate(read_votes(Path(name)))
    return estimate(_study_votes(name, "votes", results, None, style=False)[1])


def rate_votes(
    study: Annotated[str | None, typer.Argument(help="Study folder, or a name under --results.")] = None,
    votes: Annotated[
        Path | None,
        typer.Option(
            help="Rate this file instead: CSV, TSV, JSON, JSONL or Parquet with the columns model_a, model_b, "
            "winner, and rater, prompt, question, … if known; or a public dump as it is (docs/votes-files.md)."
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            metavar="FIELD=COLUMN,…",
            help="Columns of --votes by the field they hold: rater=judge,prompt=question_id; rater= leaves it out.",
        ),
    ] = "",
    anchor: Annotated[str | None, typer.Option(help="Contender whose rating is 1000.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="votes; raters: all raters alike; propensity: undo a choice of pairs by chance.",
            show_default="the planned ones, or votes",
        ),
    ] = None,
    penalty: Annotated[
        float,
        typer.Option(
            help="Above 0: keep the ratings of a contender that never lost finite, by drawing all ratings together. "
            "Such ratings get no intervals."
        ),
    ] = 0.0,
    margin: Annotated[
        float | None,
        typer.Option(help="Of equivalence, win-rate points.", show_default="the planned one, or 3"),
    ] = None,
    bootstrap: Annotated[int, typer.Option(help="Cluster-bootstrap replicates; 0: none.")] = 1000,
    shuffles: Annotated[int, typer.Option(help="Orders that elo-add averages; 0: none.")] = 1000,
    position: Annotated[
        bool, typer.Option("--position/--no-position", help="Estimate the effect of being shown on the left.")
    ] = True,
    style: Annotated[
        bool,
        typer.Option(
            "--style",
            help="Also ratings at equal brightness, saturation, contrast, sharpness, file size and presentation. Reads "
            "every image that was voted on.",
        ),
    ] = False,
    this_rater_only: Annotated[
        bool,
        typer.Option(
            "--this-rater-only", help="Rate the votes of a single rater; holds for that rater alone."
        ),
    ] = False,
    seed: int = 0,
    out: Annotated[
        Path | None, typer.Option(help="Where to write it all.", show_default="the study's ratings.json")
    ] = None,
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
    from arena.cli.tables import rating, show_ratings
    from bench.ratings.document import to_dict
    from bench.ratings.planned import as_planned, plan_block
    from bench.ratings.rate import Options, rate, stages
    from bench.ratings.votes_file import read_votes
    from bench.store.study_folder import write_bytes

    if (study is None) == (votes is None):
        raise InputError("say what to rate: a study, or --votes FILE")
    if style and votes is not None:
        raise InputError("--style reads the images of a study; a votes file has none")
    if columns and votes is None:
        raise InputError("--columns names the columns of --votes FILE")
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
    declared: dict[str, dict[str, int]] = {}
    last = plan = None
    if votes is not None:
        name, table = votes.name.split(".")[0], read_votes(votes, named_columns(columns))
        for note in table.notes:
            print(f"note: {note}", file=sys.stderr)
    else:
        read = _study_votes(str(study), weights, results, database, style=style)
        opened, table, folder, declared, last, plan = read
        named = () if opened.file.arena.compare == "all" else opened.comparisons
        options = replace(options, anchor=anchor or opened.file.report.anchor, comparisons=named)
        if plan is not None:
            options = as_planned(options, plan, weights=weights, margin=margin)
        name, out = opened.name, out or folder / "ratings.json"
    with rating(stages(table)) as stage:
        rated = replace(rate(table, study=name, options=options, stage=stage), declared=declared)
    if plan is not None:
        rated = replace(rated, plan=plan_block(rated, plan))
    document = to_dict(rated)
    if last is not None:
        document["last_vote"] = last
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


def _study_votes(
    name: str, weights: str | None, results: Path, database: str | None, *, style: bool
) -> tuple[Study, VoteTable, Path, dict[str, dict[str, int]], int, FrozenPlan | None]:
    """A study, its votes, which are also written to its battles.jsonl, its folder, what its raters declared, the number
    of the last entry of the vote log before they were read, and the plan of the analysis."""
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
    if style:
        from bench.scoring.image_style import study_styles, styled

        kept = [row for row in rows if row.kind != "check" and not row.excluded]
        shown = {(side, row.prompt_id, row.replicate) for row in kept for side in (row.left, row.right)}
        styles = study_styles(folder, opened.file.display_size, opened.file.fit, sorted(shown))
        table = styled(table, kept, styles)
    return opened, table, folder.path, declared, last, plan


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
