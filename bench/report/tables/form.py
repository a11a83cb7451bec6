"""What a table is, and its written forms: CSV with every digit, Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

UP, DOWN = "↑", "↓"
NONE = "–"
"""What stands where there is no number."""
MARKS = (
    "Bold: the best of its column. Underlined: not shown to be worse, the 95% interval of the paired difference "
    "includes 0."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its interval and its N."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    best: bool = False
    """The best value of its column."""
    near: bool = False
    """Not shown to be worse than the best: the interval of their difference includes 0."""
    note: str = ""


class P(float):
    """A p-value; one that would be rounded to 0 is shown as below the last digit."""


Cell: TypeAlias = str | int | float | Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    head: str
    unit: str = ""
    direction: str = ""
    """UP: higher is better; DOWN: lower is; empty: neither."""
    fingerprint: str = ""
    """Protocol the numbers of this column were made with."""
    digits: int | None = None
    """Decimals; None: text or whole numbers."""
    foot: str = ""
    """Stands below the column, as agreement with people below a metric."""
    level: int = 95
    """Per cent that its intervals hold."""
    folds: bool = False
    """Stated once below the table if every row has the same value; CSV keeps the column."""

    @property
    def label(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.head}{unit}{' ' + self.direction if self.direction else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    name: str
    """File stem and LaTeX label: letters, digits, hyphens."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    foot: str = ""
    """Name of the row that the columns' `foot` make; empty: there is none."""
    counts_below: bool = False
    """N is stated once, below the table, and not in each cell."""

    def column(self, index: int) -> list[Cell]:
        return [row[index] for row in self.rows]


def decimals(cells: Iterable[Cell], *, most: int = 4) -> int:
    """Decimals that give the narrowest half-interval two digits; without intervals four digits in all."""
    estimates = [cell for cell in cells if isinstance(cell, Estimate) and cell.value is not None]
    widths = [(e.high - e.low) / 2 for e in estimates if e.low is not None and e.high is not None]
    widths = [width for width in widths if width > 0]
    if widths:
        wanted = 1 - math.floor(math.log10(min(widths)))
    else:
        largest = max((abs(e.value or 0.0) for e in estimates), default=0.0)
        wanted = 3 - math.floor(math.log10(largest)) if largest > 0 else 2
    return max(0, min(most, wanted))


def number(value: float | None, digits: int | None) -> str:
    if value is None:
        return NONE
    if digits is None:
        return f"{value:.0f}" if isinstance(value, float) else str(value)
    text = f"{value:.{digits}f}"
    if isinstance(value, P) and float(text) == 0:
        return f"<{10**-digits:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval(cell: Estimate, digits: int | None) -> str:
    """`[low, high]`, or nothing where there is none."""
    if cell.low is None or cell.high is None:
        return ""
    return f"[{number(cell.low, digits)}, {number(cell.high, digits)}]"


def plain(cell: Cell, digits: int | None) -> str:
    """One line of text: the number with its interval."""
    if isinstance(cell, Estimate):
        return f"{number(cell.value, digits)} {interval(cell, digits)}".strip()
    if cell is None:
        return NONE
    return cell if isinstance(cell, str) else number(cell, digits)


def shared_n(table: Table, index: int) -> int | None:
    """The N of every estimate of a column; None: they differ, or there is none."""
    ns = {cell.n for cell in table.column(index) if isinstance(cell, Estimate) and cell.value is not None}
    return ns.pop() if len(ns) == 1 else None


def to_frame(table: Table) -> pd.DataFrame:
    """Every digit; an estimate fills four columns: value, low, high, N."""
    import pandas as pd

    columns: dict[str, list[object]] = {}
    for index, column in enumerate(table.columns):
        cells = table.column(index)
        head = f"{column.label} [{column.fingerprint}]" if column.fingerprint else column.label
        if any(isinstance(cell, Estimate) for cell in cells):
            estimates = [cell if isinstance(cell, Estimate) else Estimate(value=None) for cell in cells]
            columns[head] = [e.value for e in estimates]
            columns[f"{head} low"] = [e.low for e in estimates]
            columns[f"{head} high"] = [e.high for e in estimates]
            columns[f"{head} N"] = [e.n for e in estimates]
            if any(e.best for e in estimates):
                columns[f"{head} mark"] = ["best" if e.best else "near" if e.near else "" for e in estimates]
        else:
            columns[head] = list(cells)
    return pd.DataFrame({head: pd.Series(cells, dtype=object) for head, cells in columns.items()})


def to_csv(table: Table) -> str:
    return to_frame(table).to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
    """A GitHub table. Text of prompts and messages is escaped: it cannot end a cell or open a tag."""
    table = folded(table)
    lines = [f"**{_markdown(table.title)}**", ""]
    lines.append("| " + " | ".join(_markdown(column.label) for column in table.columns) + " |")
    lines.append(
        "|" + "|".join("---" if is_text(table, i) else "---:" for i in range(len(table.columns))) + "|"
    )
    for row in table.rows:
        cells = [
            _markdown_cell(cell, column, counts_below=table.counts_below)
            for cell, column in zip(row, table.columns, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"{_markdown(note)}  " for note in all_notes(table))]
    return "\n".join(lines).rstrip() + "\n"


def all_notes(table: Table) -> list[str]:
    """What stands below the columns, the table's notes, then the fingerprints of its columns."""
    feet = [f"{c.head} {c.foot}" for c in table.columns if c.foot] if table.foot else []
    prints = [f"{c.head}: protocol {c.fingerprint}" for c in table.columns if c.fingerprint]
    below = [f"{table.foot}: {'; '.join(feet)}."] if feet else []
    marked = any(isinstance(cell, Estimate) and cell.best for row in table.rows for cell in row)
    return [
        *below,
        *([MARKS] if marked else []),
        *table.notes,
        *(counts(table) if table.counts_below else []),
        *([f"Protocol fingerprints: {'; '.join(prints)}."] if prints else []),
    ]


def counts(table: Table) -> list[str]:
    """What the numbers stand on, one sentence for all columns."""
    by_count: dict[str, list[str]] = {}
    everything = [c.n for row in table.rows for c in row if isinstance(c, Estimate) and c.n is not None]
    for index, column in enumerate(table.columns):
        ns = [c.n for c in table.column(index) if isinstance(c, Estimate) and c.n is not None]
        if ns:
            same = shared_n(table, index)
            count = str(same) if same is not None else f"{min(ns)} to {max(ns)}"
            by_count.setdefault(count, []).append(column.head.replace(",", ""))
    if len(by_count) > 6:
        by_count = {f"{min(everything)} to {max(everything)}": []}
    if len(by_count) < 2:
        return [f"N {count}." for count in by_count]
    parts = [f"{count} ({', '.join(heads)})" for count, heads in by_count.items()]
    return [f"N: {'; '.join(parts)}."]


def folded(table: Table) -> Table:
    """Without columns that have one value in every row, which become notes, and without empty columns."""
    kept, notes = [], []
    for index, column in enumerate(table.columns):
        values = set(table.column(index))
        if values == {None}:
            continue
        if column.folds and len(values) == 1:
            notes.append(f"{column.label}: {plain(table.column(index)[0], column.digits)}.")
        else:
            kept.append(index)
    return replace(
        table,
        columns=tuple(table.columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in table.rows),
        notes=(*table.notes, *notes),
    )


def is_text(table: Table, index: int) -> bool:
    return not any(isinstance(cell, Estimate | int | float) for cell in table.column(index))


def _markdown(text: str) -> str:
    text = " ".join(text.split())
    return "".join(
        f"\\{c}" if c in "\\|*_`[]" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in text
    )


def _markdown_cell(cell: Cell, column: Column, *, counts_below: bool) -> str:
    if not isinstance(cell, Estimate):
        return _markdown(plain(cell, column.digits))
    value = number(cell.value, column.digits)
    value = f"**{value}**" if cell.best else f"<ins>{value}</ins>" if cell.near else value
    parts = [value, _markdown(interval(cell, column.digits))]
    n = [f"(N {cell.n})"] if cell.n is not None and not counts_below else []
    return " ".join([part for part in parts if part] + n)
