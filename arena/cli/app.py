"""The `arena` command: which verbs there are, and how errors that are the user's end."""

from __future__ import annotations

import sys

import typer

from arena.cli import analyse, care, collect, plan
from bench.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Put a study before people, and turn their votes into ratings.",
)

VERBS = {
    "Collect votes": {
        "serve": collect.serve,
        "space": collect.space,
        "invite": collect.invite,
        "list": collect.list_participants,
        "move": collect.move,
        "status": collect.status,
        "simulate": collect.simulate,
    },
    "Analyse votes": {"plan": plan.plan, "rate": analyse.rate_votes, "export": analyse.export_votes},
    "Look after a study": {
        "irb": care.irb,
        "checks": care.checks,
        "review": care.review,
        "participants": care.participants,
        "verify": care.verify,
        "anchor": care.anchor,
        "import": care.import_votes,
        "migrate": care.migrate,
        "forget": care.forget,
    },
}
"""Heading of `arena --help` → verb → its function."""
for heading, verbs in VERBS.items():
    for verb, function in verbs.items():
        app.command(verb, rich_help_panel=heading)(function)


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
