"""The verbs that look after a study: decisions about raters, payment, proof, erasure, migration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from arena.cli.arguments import (
    DEFAULT_RESULTS,
    AsJson,
    Database,
    Results,
    StudyArgument,
    one_rater,
    open_database,
    open_desk,
    say,
)
from bench.errors import InputError


def irb(
    study: Annotated[str, typer.Argument(help="Study file, folder or name.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write: .md or .html; default: Markdown, to the screen.")
    ] = None,
    pay: Annotated[float | None, typer.Option(help="Of a rater, an hour: adds what a rater earns.")] = None,
    seconds: Annotated[float, typer.Option(help="An answer takes.")] = 8.0,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Write the sheet for an ethics board: what raters do, read, are paid, and what is kept of them.

    Example: arena irb turbo-preference --pay 12 --out irb.html
    """
    from arena.cli.arguments import study_of
    from arena.cli.irb import as_html, missing, sheet, untranslated
    from bench.store.study_folder import write_bytes

    opened = study_of(study, results)
    text = sheet(opened, pay=pay, seconds=seconds)
    if out is None:
        print(text, end="")
    else:
        page = as_html(text, opened.file.title or opened.name) if out.suffix == ".html" else text
        write_bytes(out, page.encode())
        print(out)
    for key in missing(opened.file.arena):
        print(f"not stated: [arena.consent] {key}", file=sys.stderr)
    for code in untranslated(opened.file.arena):
        print(f"not translated: some of the study's words have no '{code}'", file=sys.stderr)


def review(
    study: StudyArgument,
    who: Annotated[str, typer.Argument(help="Panel participant, or rater id.")],
    decision: Annotated[str, typer.Option("--as", help="kept, excluded, returned, screened or withdrawn.")],
    reason: Annotated[str, typer.Option(help="For the table of participants.")] = "",
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
) -> None:
    """Decide about a rater by hand. All but `kept` give the rater's slots back and exclude the votes.

    Example: arena review miniature 5f1a… --as kept --reason "checks looked at, images alike"
    """
    from arena.quality import STANDINGS
    from bench.errors import unknown

    if decision not in (*STANDINGS, "kept"):
        raise unknown("decision", decision, ("kept", *STANDINGS))
    desk, _ = open_desk(study, results, database)
    slots = desk.decide_about(one_rater(desk.database, who), decision, reason)
    print(f"{decision}; {slots} slots {'taken again' if decision == 'kept' else 'given back'}")


def checks(
    study: StudyArgument,
    number: Annotated[int | None, typer.Option("--set-aside", help="Number of a check.")] = None,
    reason: Annotated[str, typer.Option(help="Why it does not count against the rater.")] = "",
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List the attention checks that raters failed, or set one aside after looking at its images (also on the
    administrator's page, with the images).

    Example: arena checks miniature --set-aside 41 --reason "the mosaic cannot be seen on this image"
    """
    from arena.web.admin_checks import check_rows

    desk, _ = open_desk(study, results, database)
    if number is not None:
        back = desk.set_check_aside(number, reason)
        print("set aside" + ("; the rater's votes count again" if back else ""))
        return
    rows = check_rows(desk)
    if as_json:
        say({"checks": rows}, True)
        return
    for row in rows:
        print("  ".join(str(value) for value in row.values()))


def participants(
    study: StudyArgument,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: the table, to the screen.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            help="table, prolific-approve, prolific-reject, prolific-bonus, mturk-review or mturk-bonus.",
        ),
    ] = "table",
    bonus: Annotated[
        float | None, typer.Option(help="Of each who completed, in the panel's currency.")
    ] = None,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Who took part, how well, and what they are owed; and the files that panels' bulk tools take.

    No rater is rejected by a rule alone: those whom a rule excludes are listed for `review`; `arena review` decides.

    Example: arena participants miniature --format prolific-approve --out approve.txt
    """
    from dataclasses import asdict

    from arena.quality import exclusion_of
    from arena.results.participants import participants as everybody
    from arena.results.participants import payment_file
    from bench.store.study_folder import write_bytes

    opened, _, votes_database, _ = open_database(study, results, database)
    people = everybody(votes_database, exclusion_of(opened.file.arena))
    if as_json:
        say({"participants": [asdict(one) for one in people]}, True)
        return
    data = payment_file(people, kind, bonus=bonus)
    if out is not None:
        write_bytes(out, data.encode())
        print(f"{out}: {len(data.splitlines())} lines")
        return
    if kind != "table":
        print(data, end="")
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    columns = ("participant", "rater", "votes", "checks", "median s", "verdict", "code", "action", "reason")
    table = Table(*columns)
    for one in people:
        seconds = "" if one.median_seconds is None else f"{one.median_seconds:.1f}"
        cells = (one.participant, one.rater[:8], str(one.votes), one.checks, seconds, one.verdict, one.code)
        table.add_row(*map(escape, (*cells, one.action, one.reason)))
    Console().print(table)


def import_votes(
    study: StudyArgument,
    log: Annotated[Path, typer.Argument(help="A log written by `arena export --format log`.")],
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
) -> None:
    """Verify an exported log and replay it into a database that has no votes yet.

    Example: arena import miniature votes.log.jsonl --database postgresql://localhost/arena
    """
    from arena.results.export import import_log, read_log

    desk, key = open_desk(study, results, database)
    print(f"{import_log(desk.database, read_log(log, key))} rows replayed")


def verify(
    study: StudyArgument,
    log: Annotated[Path | None, typer.Argument(help="An exported log; default: the database.")] = None,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    anchor_file: Annotated[
        Path | None,
        typer.Option(
            "--anchor", help="An anchor kept elsewhere: nothing up to it was removed or written anew."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no vote was changed, removed, added or moved, no counter edited, and no image exchanged.

    Example: arena verify miniature --anchor anchor.jsonl
    """
    from arena.db.proof import read_anchor, verify_database
    from arena.results.export import read_log
    from arena.shown.study_images import current_images

    _, folder, votes_database, key = open_database(study, results, database, reading=True)
    if log is not None:
        say({"verified": len(read_log(log, key))}, as_json)
        return
    held = None if anchor_file is None else read_anchor(anchor_file)
    proof = verify_database(votes_database, current_images(folder), held)
    found: dict[str, Any] = {"verified": proof.rows}
    if held is not None:
        found["anchor"] = f"{held.votes} rows of {held.time} are all there"
    if proof.images_unbound:
        found["without image hashes (earlier version)"] = proof.images_unbound
    say(found, as_json)
    if proof.images_changed:
        raise InputError(
            f"{proof.images_changed} answers are on images that are no longer the study's; ratings leave them out: "
            "run `bench verify`"
        )


def anchor(
    study: StudyArgument,
    out: Annotated[Path | None, typer.Option(help="File to append the anchor to.")] = None,
    git: Annotated[
        Path | None, typer.Option(help="Commit it to this git repository, as anchors/STUDY.jsonl.")
    ] = None,
    timestamp: Annotated[
        str | None,
        typer.Option(help="Command that publishes it; {file} stands for the anchor's file (needs --out)."),
    ] = None,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
) -> None:
    """Print the head of the vote log, for a third party to keep: it proves later that no vote was removed.

    Example: arena anchor miniature --out anchor.jsonl --timestamp "openssl ts -query -data {file} -sha256 -out a.tsq"
    """
    from arena.cli.anchors import append_anchor, commit_anchor, run_timestamp
    from arena.db.proof import anchor as current_anchor
    from bench.records import to_json

    if timestamp is not None and out is None:
        raise InputError("--timestamp needs the anchor in a file: add --out FILE")
    opened, _, votes_database, _ = open_database(study, results, database, reading=True)
    head = current_anchor(votes_database, opened.name)
    print(to_json(head))
    if out is not None:
        append_anchor(out, head)
    if git is not None:
        print(f"commit {commit_anchor(git, head)}")
    if timestamp is not None and out is not None:
        run_timestamp(timestamp, out)


def migrate(study: StudyArgument, results: Results = DEFAULT_RESULTS, database: Database = None) -> None:
    """Bring the tables to the newest revision (`serve` does so too).

    Example: arena migrate miniature --database postgresql://localhost/arena
    """
    _, _, votes_database, _ = open_database(study, results, database)
    print(f"revision {votes_database.migrate()}")


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
    _, _, votes_database, _ = open_database(study, results, database)
    from arena.db import raters as register

    with votes_database.writing() as tx:
        erased, ids = register.forget(tx.db, who)
    left = votes_database.scrub(ids)
    if left:
        raise InputError(
            f"{erased} erased from the tables, but not yet from {left}, because another program is reading the "
            "database: stop that program, then call `arena forget` once more"
        )
    print(f"{erased} erased")
