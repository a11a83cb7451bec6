"""The verbs of a study that is being voted on: serve, invite, list, move, status, simulate, and a Space of it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from fastapi import FastAPI

    from arena.voting import Desk


InvitedOnly = Annotated[
    bool,
    typer.Option(
        help="Refuse raters without an invite, a link the panel signed, or an id listed with `arena list`. "
        "Panel links must be of a study in [arena.panel] studies."
    ),
]
TrustedNetworks = Annotated[
    list[str] | None,
    typer.Option(help="Address range without limits on new raters, as 10.0.0.0/8; repeat for more."),
]
Share = Annotated[
    bool, typer.Option(help="Ask Gradio for a public https address that leads here, for 72 hours.")
]
Embedding = Annotated[
    list[str] | None,
    typer.Option(help="A site that may show the page inside its own (https://lab.example); repeat for more."),
]
PublicHosts = Annotated[
    list[str] | None,
    typer.Option(help="Name the server is reached by, where a proxy passes on another; repeat for more."),
]


def _render(desk: Desk) -> None:
    """Render the pictures before the first rater comes."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    sources, faults = desk.images.sources(), []
    columns = (TextColumn("rendering pictures"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=Console(stderr=True, markup=False, emoji=False), transient=True
    ) as progress:
        task = progress.add_task("", total=len(desk.images.shown.missing(sources)))
        for fault in desk.images.shown.render_all(sources):
            faults += [fault] if fault else []
            progress.advance(task)
    for fault in faults[:5]:
        print(f"arena: {fault}", file=sys.stderr)
    if faults:
        print(f"arena: {len(faults)} pictures cannot be shown; raters may skip their pairs", file=sys.stderr)
    _ = desk.images.sent_bytes  # known before the first picture is asked for


def serve(
    study: StudyArgument,
    results: Results = DEFAULT_RESULTS,
    database: Database = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    invited_only: InvitedOnly = False,
    trusted_network: TrustedNetworks = None,
    https: Annotated[bool, typer.Option(help="Behind HTTPS: cookies are sent over HTTPS only.")] = False,
    admin: Annotated[bool, typer.Option(help="Serve the administrator's page at /admin/.")] = True,
    share: Share = False,
    embed: Embedding = None,
    public_host: PublicHosts = None,
) -> None:
    """Put a study before raters. The admin token comes from ARENA_ADMIN_TOKEN, or is printed once.

    Example: arena serve miniature --port 8000
    """
    import logging

    from arena.admission import Gate
    from arena.panels import SigningKeys
    from arena.web.app import create_app
    from arena.web.security import RateLimits
    from bench.address import check_address

    check_address(host, port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    desk, key = open_desk(study, results, database)
    token = _admin_token(f"http://{host}:{port}/admin-login") if admin else None
    _render(desk)
    hosts = list(public_host or ()) + ([_shared_host(host, port)] if share else [])
    server = create_app(
        desk,
        key,
        admin_token=token,
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
    print(f"raters: http://{host}:{port}/", file=sys.stderr)
    _listen(server, host, port)


def _shared_host(host: str, port: int) -> str:
    """Name of the public address that Gradio leads here, which is printed."""
    from arena.web.sharing import public_address

    address = public_address(host, port)
    print(f"raters, from anywhere: {address}/", file=sys.stderr)
    return address.removeprefix("https://")


def _listen(server: FastAPI, host: str, port: int) -> None:
    """Answer requests until the process is stopped."""
    import uvicorn

    # Each query lets other threads in; at Python's 5 ms a turn, one vote's thirty queries would wait long for theirs.
    sys.setswitchinterval(0.0005)
    uvicorn.run(
        server,
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        access_log=False,
        timeout_keep_alive=75,  # longer than a rater looks at a pair: else each vote may meet a closing connection
    )


def _admin_token(address: str) -> str:
    """From the environment, or a new one, printed with the address it is for."""
    from arena.web.app import new_token

    token = os.environ.get("ARENA_ADMIN_TOKEN")
    if token is None:
        token = new_token()
        print(f"admin token (shown once): {token}  at {address}", file=sys.stderr)
    if len(token) < 16:
        raise InputError("ARENA_ADMIN_TOKEN is too short: use at least 16 random characters")
    return token


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
    print(f"/?move={move_code(votes_database, one_rater(votes_database, who), now=time.time())}")


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
    desk, _ = open_desk(study, results, database)
    world = World(strengths=strengths, seed=seed)
    count = run(desk, world, count=raters, votes_each=votes)
    say({"simulated votes": count, "strengths (logits)": true_strengths(desk, world)}, as_json)
