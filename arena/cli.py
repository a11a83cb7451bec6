"""`arena`: names to objects, and what comes back to a person or, with --json, to a machine."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.records import InputError

if TYPE_CHECKING:
    from arena.ballots import Ballots
    from arena.desk import Desk
    from bench.study import Study

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Put a study before people, and turn their votes into ratings.",
)

COLLECT, ANALYSE, CARE = "Collect votes", "Analyse votes", "Look after a study"

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


def _ballots(name: str, results: Path, database: str | None) -> tuple[Any, Any, Ballots, bytes]:
    from arena.ballots import Ballots
    from arena.raters import server_key
    from arena.schema import sqlite_url
    from bench.store import open_folder
    from bench.study import open_study

    folder = open_folder(name, results)
    study = open_study(folder)
    key = server_key(folder.path)
    ballots = Ballots(database or sqlite_url(folder.votes_file), key)
    ballots.migrate()
    return study, folder, ballots, key


def _desk(name: str, results: Path, database: str | None) -> tuple[Desk, bytes]:
    from arena.desk import Desk

    study, folder, ballots, key = _ballots(name, results, database)
    desk = Desk(study, folder, ballots, time.time)
    desk.prepare()
    return desk, key


def _render(desk: Desk) -> None:
    """Render the pictures before the first rater comes."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    sources, faults = desk.sources(), []
    columns = (TextColumn("rendering pictures"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(desk.shown.missing(sources)))
        for fault in desk.shown.render_all(sources):
            faults += [fault] if fault else []
            progress.advance(task)
    for fault in faults[:5]:
        print(f"arena: {fault}", file=sys.stderr)
    if faults:
        print(f"arena: {len(faults)} pictures cannot be shown; raters may skip their pairs", file=sys.stderr)


def _say(value: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(value, ensure_ascii=False))
        return
    for key, one in value.items():
        print(f"{key}: {one}")


@app.command(rich_help_panel=COLLECT)
def serve(
    study: StudyArgument,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    invited_only: Annotated[
        bool, typer.Option(help="Refuse raters without an invite or panel link.")
    ] = False,
    https: Annotated[bool, typer.Option(help="Behind HTTPS: cookies are sent over HTTPS only.")] = False,
    admin: Annotated[bool, typer.Option(help="Serve the administrator's page at /admin/.")] = True,
) -> None:
    """Put a study before raters. The admin token comes from ARENA_ADMIN_TOKEN, or is printed once.

    Example: arena serve miniature --port 8000
    """
    import logging

    import uvicorn

    from arena.app import create_app, new_token

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    desk, key = _desk(study, results, database)
    token = os.environ.get("ARENA_ADMIN_TOKEN")
    if admin and token is not None and len(token) < 16:
        raise InputError("ARENA_ADMIN_TOKEN is too short: use at least 16 random characters")
    if admin and token is None:
        token = new_token()
        print(f"admin token (shown once): {token}  at http://{host}:{port}/admin-login", file=sys.stderr)
    _render(desk)
    server = create_app(
        desk, key, admin_token=token if admin else None, invited_only=invited_only, secure=https
    )
    print(f"raters: http://{host}:{port}/", file=sys.stderr)
    uvicorn.run(server, host=host, port=port, log_level="warning", server_header=False, access_log=False)


@app.command(rich_help_panel=COLLECT)
def invite(
    study: StudyArgument,
    count: Annotated[int, typer.Option(min=1, max=10000, help="Codes to make.")] = 1,
    uses: Annotated[int, typer.Option(min=1, help="Raters a code admits.")] = 1,
    label: Annotated[str, typer.Option(help="Group these raters are reported under.")] = "invited",
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
) -> None:
    """Make invite codes; a rater opens /?invite=CODE. Codes are shown once, only hashes are kept.

    Example: arena invite miniature --count 20 --label lab
    """
    from arena.raters import create_invites

    _, _, ballots, _ = _ballots(study, results, database)
    for code in create_invites(ballots, label=label, count=count, uses=uses):
        print(code)


@app.command(rich_help_panel=COLLECT)
def status(
    study: StudyArgument,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Votes so far, by pair.

    Example: arena status miniature --json
    """
    from arena import register
    from arena.desk import asked_of

    _, _, ballots, _ = _ballots(study, results, database)
    with ballots.reading() as tx:
        rows, phase, states = tx.pairs(), tx.phase, tx.state_counts()
        raters = register.all_raters(tx.db)
    summary = {
        "phase": phase,
        "votes": sum(p.voted for p in rows),
        "wanted": sum(map(asked_of, rows)),
        "decided pairs": sum(p.decided for p in rows),
        "raters": len(raters),
        "simulated": any(r.simulated for r in raters),
        "assignments": states,
    }
    if as_json:
        summary["pairs"] = [dict(p._mapping) for p in rows]
        _say(summary, True)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("question", "first", "second", "wins", "ties", "bad", "votes")
    for p in rows:
        votes = f"{p.voted}, decided" if p.decided else f"{p.voted}/{p.wanted}"
        wins = f"{p.first_wins}:{p.second_wins}"
        table.add_row(p.question, p.first, p.second, wins, str(p.ties), str(p.both_bad), votes)
    _say(summary, False)
    Console().print(table)


@app.command("export", rich_help_panel=ANALYSE)
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
    from arena.exchange import exported
    from bench.store import write_bytes

    opened, _, ballots, _ = _ballots(study, results, database)
    data = exported(ballots, {p.id: p for p in opened.prompts}, kind)
    write_bytes(output, data)
    print(f"{output}: {len(data)} bytes")


@app.command("import", rich_help_panel=CARE)
def import_votes(
    study: StudyArgument,
    log: Annotated[Path, typer.Argument(help="A log written by `arena export --format log`.")],
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
) -> None:
    """Verify an exported log and replay it into a database that has no votes yet.

    Example: arena import miniature votes.log.jsonl --database postgresql://localhost/arena
    """
    from arena.exchange import import_log, read_log

    desk, key = _desk(study, results, database)
    print(f"{import_log(desk.ballots, read_log(log, key))} rows replayed")


@app.command(rich_help_panel=CARE)
def verify(
    study: StudyArgument,
    log: Annotated[Path | None, typer.Argument(help="An exported log; default: the database.")] = None,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Check the hash chain: no vote was changed, removed, added or moved.

    Example: arena verify miniature votes.log.jsonl
    """
    from arena.exchange import read_log, verify_database

    _, _, ballots, key = _ballots(study, results, database)
    count = verify_database(ballots) if log is None else len(read_log(log, key))
    _say({"verified": count}, as_json)


@app.command(rich_help_panel=COLLECT)
def simulate(
    study: StudyArgument,
    raters: Annotated[int, typer.Option(min=1, help="Simulated raters.")] = 20,
    votes: Annotated[int, typer.Option(min=1, help="Answers each.")] = 30,
    strength: Annotated[list[str] | None, typer.Option(help="contender=logits; repeat for more.")] = None,
    seed: int = 0,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Let simulated raters vote, marked as simulated everywhere. Refused where real raters have been.

    Example: arena simulate miniature --raters 40 --strength sdxl-turbo@4=1.2
    """
    from arena.simulate import World, true_strengths
    from arena.simulate import simulate as run

    strengths = {}
    for given in strength or []:
        name, _, value = given.rpartition("=")
        try:
            strengths[name] = float(value)
        except ValueError:
            raise InputError(f"--strength {given}: write it as contender=1.2") from None
    desk, _ = _desk(study, results, database)
    world = World(strengths=strengths, seed=seed)
    count = run(desk, world, count=raters, votes_each=votes)
    _say({"simulated votes": count, "strengths (logits)": true_strengths(desk, world)}, as_json)


@app.command(rich_help_panel=ANALYSE)
def plan(
    study: Annotated[
        str | None,
        typer.Argument(help="Study file, folder or name: its contenders, prompts, ties and votes."),
    ] = None,
    win_rate: Annotated[float, typer.Option("--rate", help="Win rate to tell from one half.")] = 0.55,
    power: Annotated[float, typer.Option(help="Share of studies that should tell.")] = 0.8,
    contenders: Annotated[int | None, typer.Option(show_default="the study's, or 2")] = None,
    prompts: Annotated[int | None, typer.Option(show_default="the study's, or 100")] = None,
    votes_per_pair: Annotated[
        int | None, typer.Option(help="Also say what so many would do.", show_default="the study's")
    ] = None,
    votes_per_rater: Annotated[int | None, typer.Option(show_default="the study's, or 100")] = None,
    ties: Annotated[
        float | None,
        typer.Option(help="Share of ties between equals.", show_default="0.2 where the study has ties"),
    ] = None,
    rater_sd: Annotated[float, typer.Option(help="How far raters differ about a contender, logits.")] = 0.5,
    prompt_sd: Annotated[float, typer.Option(help="How far a contender's prompts differ, logits.")] = 0.7,
    repeats: Annotated[int, typer.Option(help="Simulated studies a point.")] = 200,
    seed: int = 0,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """How many votes and raters a claim takes, before anybody is asked. Simulated, clustering included.

    Example: arena plan turbo-preference --rate 0.55

    Example: arena plan --rate 0.515 --contenders 2 --prompts 1632
    """
    from arena.planning import plan as planned
    from arena.show import planning, show_plan

    asked = None if study is None else _study(study, results)
    arena = None if asked is None else asked.file.arena
    if ties is None:
        ties = 0.2 if arena is None or arena.ties else 0.0
    with planning(repeats) as tell:
        found = planned(
            rate=win_rate,
            contenders=contenders or (len(asked.contenders) if asked else 2),
            votes_per_rater=votes_per_rater or (arena.votes_per_rater if arena else None) or 100,
            prompts=prompts or (len(asked.prompts) if asked else 100),
            rater_sd=rater_sd,
            prompt_sd=prompt_sd,
            ties=ties,
            power=power,
            votes_per_pair=votes_per_pair or (arena.votes_per_pair if arena else None),
            repeats=repeats,
            seed=seed,
            tell=tell,
        )
    if as_json:
        _say(asdict(found), True)
    else:
        show_plan(found, questions=len(arena.questions) if arena else 1)


def _study(name: str, results: Path) -> Study:
    """As frozen in its folder, or, before its first run, as its file says."""
    from bench.store import StudyFolder
    from bench.study import open_study, read

    for path in (Path(name), results / name):
        if (path / "study.toml").is_file():
            return open_study(StudyFolder(path))
    return read(name)


@app.command("rate", rich_help_panel=ANALYSE)
def rate_votes(
    study: Annotated[str | None, typer.Argument(help="Study folder, or a name under --results.")] = None,
    votes: Annotated[
        Path | None,
        typer.Option(
            help="Rate this file instead: CSV, TSV or Parquet with the columns model_a, model_b, winner, and "
            "rater, prompt, question, category, … if known; or JSONL."
        ),
    ] = None,
    anchor: Annotated[str | None, typer.Option(help="Contender whose rating is 1000.")] = None,
    weights: Annotated[
        str, typer.Option(help="votes; raters: all raters alike; propensity: undo active pairing.")
    ] = "votes",
    penalty: Annotated[
        float, typer.Option(help="Above 0: keep the ratings of a contender that never lost finite; try 0.1.")
    ] = 0.0,
    margin: Annotated[float, typer.Option(help="Of equivalence, win-rate points.")] = 3.0,
    bootstrap: Annotated[int, typer.Option(help="Cluster-bootstrap replicates; 0: none.")] = 1000,
    shuffles: Annotated[int, typer.Option(help="Orders that elo-add averages; 0: none.")] = 1000,
    seed: int = 0,
    out: Annotated[
        Path | None, typer.Option(help="Where to write it all.", show_default="the study's ratings.json")
    ] = None,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Fit ratings and win rates with intervals; a study's go to its ratings.json, where the report finds them.

    Example: arena rate miniature

    Example: arena rate --votes battles.csv --anchor gpt-image --out ratings.json
    """
    from arena.battles import code_battles
    from arena.document import to_dict
    from arena.rate import Options, rate, stages
    from arena.show import rating, show_ratings
    from arena.votes_file import read_votes
    from bench.store import write_bytes

    if (study is None) == (votes is None):
        raise InputError("say what to rate: a study, or --votes FILE")
    options = Options(
        anchor=anchor,
        weights=weights,
        penalty=penalty,
        margin=margin,
        bootstrap=bootstrap,
        shuffles=shuffles,
        seed=seed,
    )
    if votes is not None:
        name, table = votes.stem, read_votes(votes)
    else:
        from arena.exchange import collect

        opened, folder, ballots, _ = _ballots(str(study), results, database)
        rows, _ = collect(ballots, {p.id: p for p in opened.prompts})
        options = replace(options, anchor=anchor or opened.file.report.anchor)
        name, table, out = opened.name, code_battles(rows), out or folder.path / "ratings.json"
    with rating(stages(table)) as stage:
        document = to_dict(rate(table, study=name, options=options, stage=stage))
    if out is not None:
        write_bytes(out, (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode())
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
        return
    show_ratings(document)
    if out is not None:
        print(f"all of it: {out}")


@app.command(rich_help_panel=CARE)
def migrate(study: StudyArgument, results: Results = DEFAULT_RESULTS, database: Database = None) -> None:
    """Bring the tables to the newest revision (`serve` does so too).

    Example: arena migrate miniature --database postgresql://localhost/arena
    """
    _, _, ballots, _ = _ballots(study, results, database)
    print(f"revision {ballots.migrate()}")


@app.command(rich_help_panel=CARE)
def forget(
    study: StudyArgument,
    who: Annotated[str | None, typer.Argument(help="Panel participant, or rater id.")] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="Erase the panel ids of all raters.")
    ] = False,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
) -> None:
    """Erase panel ids. Votes stay, under a hash whose salt is erased with the id.

    Example: arena forget miniature 5f1a…
    """
    if (who is None) == (not everybody):
        raise InputError("say who: a participant or rater id, or --everybody")
    _, _, ballots, _ = _ballots(study, results, database)
    from arena import register

    with ballots.writing() as tx:
        erased = register.forget(tx.db, who)
    ballots.scrub()
    print(f"{erased} erased")


def main() -> None:
    try:
        app()
    except InputError as error:
        print(f"arena: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
