"""What the commands have in common at the terminal: options, tables for people or machines, progress."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bench.run import Told

StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped study.")
]
StudyFolderName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study folder, its name under --results, or its file.")
]
Results = Annotated[
    Path, typer.Option(envvar="BENCH_RESULTS", help="Folder that holds the study folders.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
HERE = Path("results")
LOG_SECONDS = 60.0
"""Between two lines about one bar where the output is no terminal."""


def print_rows(rows: Sequence[dict[str, Any]], as_json: bool, below: Sequence[str] = ()) -> None:
    """Rows as a table, or as JSON. below: columns too long for one, a dim line under each row."""
    if as_json:
        print(json.dumps(list(rows), indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console()
    columns = [column for column in rows[0] if column not in below]
    cells = [["" if row[column] is None else str(row[column]) for column in columns] for row in rows]
    if not below:
        table = Table(header_style="bold", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column == "state")
        for line in cells:
            table.add_row(*line)
        console.print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def aligned(line: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()

    console.print(Text(aligned(columns), style="bold"))
    for line, row in zip(cells, rows, strict=True):
        console.print(Text(aligned(line)))
        told = " · ".join(str(row[column]) for column in below if row[column])
        console.print(Padding(Text(told, style="dim"), (0, 0, 0, 2)))


@contextmanager
def progress() -> Iterator[Told]:
    """Progress on the terminal: a bar a contender, with rate and time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    from bench.run import Told

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            """Over the last half minute; nothing until two reports have come."""
            speed = task.finished_speed or task.speed
            told = f"{speed:.{max(0, 2 - len(str(int(speed))) + 1)}f} images/s" if speed else ""
            return Text(told, style="progress.data.speed")

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[str, Any] = {}
        told: dict[str, float] = {}

        def log(contender: str, done: int, total: int) -> None:
            """A bar cannot move in a file: a line a minute does."""
            now = time.monotonic()
            if now - told.setdefault(contender, now) > LOG_SECONDS:
                told[contender] = now
                progress.console.print(f"{contender}  {done:,} of {total:,}", highlight=False)

        def images(contender: str, done: int, total: int) -> None:
            if contender in bars:
                progress.update(bars[contender], completed=done)
            else:  # what was there before is no part of the rate
                bars[contender] = progress.add_task(contender, total=total, completed=done)
            if not progress.console.is_terminal:
                log(contender, done, total)

        def step(label: str) -> None:
            progress.console.print(label)

        yield Told(images=images, step=step)
