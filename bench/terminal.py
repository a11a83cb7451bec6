"""What the commands have in common at the terminal: options, tables for people or machines, progress."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bench.run import Told

StudyFolderName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study folder, or its name under --results.")
]
Results = Annotated[
    Path, typer.Option(envvar="BENCH_RESULTS", help="Folder that holds the study folders.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
HERE = Path("results")


def print_rows(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(list(rows), indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold", no_wrap=column in ("model", "set", "study", "state"))
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table)


@contextmanager
def progress() -> Iterator[Told]:
    """Progress on the terminal: a bar a contender, with rate and time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    from bench.run import Told

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[str, Any] = {}

        def images(contender: str, done: int, total: int) -> None:
            if contender not in bars:
                bars[contender] = progress.add_task(contender, total=total)
            progress.update(bars[contender], completed=done)

        def step(label: str) -> None:
            progress.console.print(label)

        yield Told(images=images, step=step)
