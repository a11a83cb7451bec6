"""`arena`: names to objects, and what comes back to a person or, with --json, to a machine."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arena.cli.analyse import plan, rate_votes
from arena.cli.arguments import DEFAULT_RESULTS, AsJson, Database, Results, StudyArgument, open_database, say
from bench.errors import InputError

if TYPE_CHECKING:
    from arena.db.assignments import VoteDatabase
    from arena.voting import Desk

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Put a study before people, and turn their votes into ratings.",
)

COLLECT, ANALYSE, CARE = "Collect votes", "Analyse votes", "Look after a study"

app.command("plan", rich_help_panel=ANALYSE)(plan)
app.command("rate", rich_help_panel=ANALYSE)(rate_votes)


def _desk(name: str, results: Path, database: str | None) -> tuple[Desk, bytes]:
    from arena.voting import Desk

    study, folder, votes_database, key = open_database(name, results, database)
    desk = Desk(study, folder, votes_database, time.time)
    desk.prepare()
    return desk, key


def _render(desk: Desk) -> None:
    """Render the pictures before the first rater comes."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    sources, faults = desk.sources(), []
    columns = (TextColumn("rendering pictures"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=Console(stderr=True, markup=False, emoji=False), transient=True
    ) as progress:
        task = progress.add_task("", total=len(desk.shown.missing(sources)))
        for fault in desk.shown.render_all(sources):
            faults += [fault] if fault else []
            progress.advance(task)
    for fault in faults[:5]:
        print(f"arena: {fault}", file=sys.stderr)
    if faults:
        print(f"arena: {len(faults)} pictures cannot be shown; raters may skip their pairs", file=sys.stderr)
    _ = desk.picture_bytes  # known before the first picture is asked for


@app.command(rich_help_panel=COLLECT)
def serve(
    study: StudyArgument,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    invited_only: Annotated[
        bool,
        typer.Option(
            help="Refuse raters without an invite, a link the panel signed, or an id listed with `arena list`. "
            "Panel links must be of a study in [arena.panel] studies."
        ),
    ] = False,
    trusted_network: Annotated[
        list[str] | None,
        typer.Option(help="Address range without limits on new raters, as 10.0.0.0/8; repeat for more."),
    ] = None,
    https: Annotated[bool, typer.Option(help="Behind HTTPS: cookies are sent over HTTPS only.")] = False,
    admin: Annotated[bool, typer.Option(help="Serve the administrator's page at /admin/.")] = True,
    share: Annotated[
        bool, typer.Option(help="Ask Gradio for a public https address that leads here, for 72 hours.")
    ] = False,
    embed: Annotated[
        list[str] | None,
        typer.Option(
            help="A site that may show the page inside its own (https://lab.example); repeat for more."
        ),
    ] = None,
    public_host: Annotated[
        list[str] | None,
        typer.Option(help="Name the server is reached by, where a proxy passes on another; repeat for more."),
    ] = None,
) -> None:
    """Put a study before raters. The admin token comes from ARENA_ADMIN_TOKEN, or is printed once.

    Example: arena serve miniature --port 8000
    """
    import logging

    import uvicorn

    from arena.admission import Gate
    from arena.panels import SigningKeys
    from arena.web.app import create_app, new_token
    from arena.web.security import RateLimits
    from bench.address import check_address

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    desk, key = _desk(study, results, database)
    check_address(host, port)
    token = os.environ.get("ARENA_ADMIN_TOKEN")
    if admin and token is not None and len(token) < 16:
        raise InputError("ARENA_ADMIN_TOKEN is too short: use at least 16 random characters")
    if admin and token is None:
        token = new_token()
        print(f"admin token (shown once): {token}  at http://{host}:{port}/admin-login", file=sys.stderr)
    _render(desk)
    hosts = list(public_host or ())
    if share:
        from arena.web.sharing import public_address

        address = public_address(host, port)
        hosts.append(address.removeprefix("https://"))
        print(f"raters, from anywhere: {address}/", file=sys.stderr)
    server = create_app(
        desk,
        key,
        admin_token=token if admin else None,
        gate=Gate(
            invited_only=invited_only,
            panel=desk.settings.panel,
            keys=SigningKeys(desk.folder.path / "panel-keys.json"),
        ),
        limits=RateLimits(trusted_network or ()),
        secure=https or bool(embed),
        embed=embed or (),
        public_hosts=hosts,
    )
    # Each query lets other threads in; at Python's 5 ms a turn, one vote's thirty queries would wait long for theirs.
    sys.setswitchinterval(0.0005)
    print(f"raters: http://{host}:{port}/", file=sys.stderr)
    uvicorn.run(
        server,
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        access_log=False,
        timeout_keep_alive=75,  # longer than a rater looks at a pair: else each vote may meet a closing connection
    )


@app.command(rich_help_panel=COLLECT)
def space(
    study: StudyArgument,
    to: Annotated[Path, typer.Option("--to", help="Folder to write; must be empty or new.")],
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Write the study as a Hugging Face Space: a folder with the study, the server and its requirements.

    Example: arena space miniature --to ../my-space
    """
    from arena.cli.space import write_space
    from bench.store.study_folder import open_folder
    from bench.study.study import open_study

    folder = open_folder(study, results)
    for path in write_space(open_study(folder), folder, to):
        print(path)
    print("Keep the Space private while votes are taken: its files tell which model made which picture.")


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
    from arena.admission import create_invites

    _, _, votes_database, _ = open_database(study, results, database)
    for code in create_invites(votes_database, label=label, count=count, uses=uses):
        print(code)


@app.command("list", rich_help_panel=COLLECT)
def list_participants(
    study: StudyArgument,
    file: Annotated[Path, typer.Argument(help="Participants' ids, one a line.")],
    provider: Annotated[str, typer.Option(help="prolific or mturk.")] = "prolific",
    exclude: Annotated[bool, typer.Option("--exclude", help="These may not take part.")] = False,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
) -> None:
    """List panel participants who may take part under --invited-only, or, with --exclude, may not.

    Example: arena list miniature ids.txt --provider mturk
    """
    from arena.db import raters as register
    from arena.panels import PANELS
    from bench.errors import unknown

    if provider not in PANELS:
        raise unknown("provider", provider, PANELS)
    try:
        ids = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from None
    _, _, votes_database, _ = open_database(study, results, database)
    with votes_database.writing() as tx:
        count = register.set_listed(tx.db, provider, ids, "out" if exclude else "in")
    print(f"{count} participants of {provider} {'may not' if exclude else 'may'} take part")


@app.command(rich_help_panel=COLLECT)
def move(
    study: StudyArgument,
    who: Annotated[str, typer.Argument(help="Panel participant, or rater id.")],
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
) -> None:
    """Make a one-time code, valid for 15 minutes, that moves a rater to another browser: /?move=CODE.

    Example: arena move miniature 5f1a…
    """
    from arena.admission import move_code

    _, _, votes_database, _ = open_database(study, results, database)
    print(f"/?move={move_code(votes_database, _one_rater(votes_database, who), now=time.time())}")


@app.command(rich_help_panel=CARE)
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
    desk, _ = _desk(study, results, database)
    slots = desk.decide_about(_one_rater(desk.database, who), decision, reason)
    print(f"{decision}; {slots} slots {'taken again' if decision == 'kept' else 'given back'}")


@app.command(rich_help_panel=CARE)
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

    Nobody is rejected by a rule alone: whom a rule excludes is listed for `review`; `arena review` decides.

    Example: arena participants miniature --format prolific-approve --out approve.txt
    """
    from dataclasses import asdict

    from arena.db.participants import participants as everybody
    from arena.db.participants import payment_file
    from arena.voting import exclusion_of
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


def _one_rater(votes_database: VoteDatabase, who: str) -> str:
    from arena.db import raters as register

    with votes_database.reading() as tx:
        found = register.find(tx.db, who)
    if len(found) != 1:
        what = "no rater is" if not found else f"{len(found)} raters are"
        raise InputError(f"{what} known as '{who}': use a panel participant's id or a rater id")
    return found[0]


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
    from arena.db import raters as register
    from arena.voting import asked_of

    _, _, votes_database, _ = open_database(study, results, database, reading=True)
    with votes_database.reading() as tx:
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
        say(summary, True)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("question", "first", "second", "wins", "ties", "bad", "votes")
    for p in rows:
        votes = f"{p.voted}, decided" if p.decided else f"{p.voted}/{p.wanted}"
        wins = f"{p.first_wins}:{p.second_wins}"
        table.add_row(p.question, p.first, p.second, wins, str(p.ties), str(p.both_bad), votes)
    say(summary, False)
    Console(markup=False, emoji=False).print(table)


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
    from arena.db.export import exported
    from arena.voting import current_images, exclusion_of
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
    from arena.db.export import import_log, read_log

    desk, key = _desk(study, results, database)
    print(f"{import_log(desk.database, read_log(log, key))} rows replayed")


@app.command(rich_help_panel=CARE)
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
    from arena.db.export import read_log
    from arena.db.proof import read_anchor, verify_database
    from arena.voting import current_images

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


@app.command(rich_help_panel=CARE)
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
    """Print the head of the vote log, for somebody else to keep: it proves later that nothing was taken away.

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
    say({"simulated votes": count, "strengths (logits)": true_strengths(desk, world)}, as_json)


@app.command(rich_help_panel=CARE)
def migrate(study: StudyArgument, results: Results = DEFAULT_RESULTS, database: Database = None) -> None:
    """Bring the tables to the newest revision (`serve` does so too).

    Example: arena migrate miniature --database postgresql://localhost/arena
    """
    _, _, votes_database, _ = open_database(study, results, database)
    print(f"revision {votes_database.migrate()}")


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


def main() -> None:
    from sqlalchemy.exc import OperationalError

    try:
        app()
    except InputError as error:
        print(f"arena: {error}", file=sys.stderr)
        sys.exit(2)
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        print(f"arena: the database cannot be reached or used: {reason}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
