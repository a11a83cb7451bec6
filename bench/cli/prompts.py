"""`bench prompts`: list prompt sets, download one, or add a copy."""

from __future__ import annotations

from pathlib import Path

import typer

from bench.cli.terminal import Json, print_rows

app = typer.Typer(
    no_args_is_help=False, invoke_without_command=True, help="List prompt sets, download one, or add a copy."
)


@app.callback()
def prompts(context: typer.Context, as_json: Json = False) -> None:
    """Every prompt set, with licence, source and whether it is here.

    Example: [bold]bench prompts add parti parti-prompts.tsv[/bold]
    """
    if context.invoked_subcommand:
        return
    import bench.prompts.sets as sets

    rows = [
        {"set": s.name, "prompts": s.count, "here": "yes" if sets.is_here(s.name) else "no", "licence": s.licence,
         "title": s.title, "source": s.source, "scorer": s.scorer or "none here"}
        for s in sets.PROMPT_SETS.values()
    ]  # fmt: skip
    print_rows(rows, as_json, below=("title", "licence", "source", "scorer"))


@app.command("add")
def add_copy(name: str, file: Path) -> None:
    """Take a copy of a public set from disk; its hash is verified."""
    from bench.prompts.fetch import add

    for path in add(name, file):
        print(path)


@app.command("fetch")
def fetch(name: str) -> None:
    """Download a public set; its hash is verified, or recorded at the first fetch and held to afterwards."""
    from bench.prompts.fetch import fetch as bring
    from bench.prompts.sets import is_here

    if not is_here(name):
        for path in bring(name):
            print(path)
