"""What the commands have in common at the terminal: options, tables for people or machines, progress."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bench.run import Reporter
    from bench.sweep.progress import Pace

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
ALL = "all together"
"""The last bar; no contender can be called so."""


def print_rows(rows: Sequence[dict[str, Any]], as_json: bool, below: Sequence[str] = ()) -> None:
    """Rows as a table, or as JSON. below: columns too long for one, a dim line under each row."""
    if as_json:
        print(json.dumps(list(rows), indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False, emoji=False)
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
        shown = " · ".join(str(row[column]) for column in below if row[column])
        console.print(Padding(Text(shown, style="dim"), (0, 0, 0, 2)))


@contextmanager
def progress() -> Iterator[Reporter]:
    """Progress on the terminal: a bar a contender with its own speed, and one for all with the time left."""
    from rich.console import Console
    from rich.progress import Progress

    from bench.run import Reporter
    from bench.sweep.progress import Pace

    console = Console(stderr=True, markup=False, emoji=False)
    with Progress(*_columns(), console=console) as shown:
        bars = _Bars(shown=shown, pace=Pace())
        yield Reporter(made=bars.made, images=bars.images, step=bars.step)


def _columns() -> list[Any]:
    """Of a bar: what, how far, how fast, how long still."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(
                rate(task.fields["speed"] or task.finished_speed or task.speed), "progress.data.speed"
            )

    class Left(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            left = task.fields["left"]
            return super().render(task) if left is None else Text(left, "progress.remaining")

    what = TextColumn("{task.description}", markup=False)
    return [SpinnerColumn(), what, BarColumn(), MofNCompleteColumn(), Rate(), Left()]


@dataclass(slots=True)
class _Bars:
    """The bars on a terminal; lines at intervals where the output is none."""

    shown: Any
    """rich's Progress."""
    pace: Pace
    bars: dict[str, Any] = field(default_factory=dict)
    logged: dict[str, float] = field(default_factory=dict)
    """When each bar last had a line."""

    def made(self, contender: str, done: int, total: int, seconds: float | None) -> None:
        pace = self.pace
        pace.tell(contender, done, total, seconds)
        several = len(pace.totals) > 1
        self._draw(contender, done, total, pace.speed(contender), "" if several else remaining(pace))
        if several and pace.rate():
            self._draw(ALL, pace.done.total(), pace.totals.total(), pace.rate(), remaining(pace))

    def images(self, label: str, done: int, total: int) -> None:
        self._draw(label, done, total, None, None)

    def step(self, label: str) -> None:
        on_terminal = self.shown.console.is_terminal
        text = label if on_terminal else log_line(label)
        self.shown.console.print(text, highlight=False, soft_wrap=not on_terminal)

    def _draw(self, name: str, done: int, total: int, speed: float | None, left: str | None) -> None:
        """speed, left: None where the clock on the wall tells them."""
        if name not in self.bars:  # what was there before is no part of the rate
            self.bars[name] = self.shown.add_task(name, total=total, completed=done, speed=speed, left=left)
        self.shown.update(self.bars[name], completed=done, speed=speed, left=left)
        if not self.shown.console.is_terminal:
            self._log(name, f"{done:,} of {total:,}", rate(speed), left or "")

    def _log(self, name: str, *parts: str) -> None:
        """A bar cannot move in a file: a line at the beginning and then each minute does."""
        now = time.monotonic()
        if name not in self.logged or now - self.logged[name] > LOG_SECONDS:
            self.logged[name] = now
            self.shown.console.print(log_line(name, *parts), highlight=False, soft_wrap=True)


def log_line(what: str, *parts: str) -> str:
    """A line for a log: when (UTC), what, how far; as JSON after `bench --log-json`."""
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    found = [part for part in parts if part]
    if os.environ.get("BENCH_LOG_JSON"):
        return json.dumps({"time": when, "what": what, "progress": found}, ensure_ascii=False)
    return "  ".join([when, what, *found])


def rate(speed: float | None) -> str:
    return f"{speed:.{max(0, 2 - len(str(int(speed))) + 1)}f} images/s" if speed else ""


def remaining(pace: Pace) -> str:
    """`1:02:03`; `> 1:02:03` while some contender has not been seen at work."""
    found = pace.seconds_left()
    if found is None:
        return ""
    seconds, whole = found
    return f"{'' if whole else '> '}{timedelta(seconds=round(seconds))}"
