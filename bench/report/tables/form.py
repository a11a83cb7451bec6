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


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number as it must be shown: with its interval and what it stands on."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    best: bool = False
    """Best of its column, and told apart from the second best."""
    note: str = ""


class P(float):
    """A p-value: what would round to nothing is said to be below the last digit shown."""


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
    """Said once below the table if every row says the same; CSV keeps the column."""

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
    """The N that every estimate of a column stands on; None: they differ, or it has none."""
    found = {cell.n for cell in table.column(index) if isinstance(cell, Estimate) and cell.value is not None}
    return found.pop() if len(found) == 1 else None


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
        else:
            columns[head] = list(cells)
    return pd.DataFrame({head: pd.Series(cells, dtype=object) for head, cells in columns.items()})


def to_csv(table: Table) -> str:
    return to_frame(table).to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
    """A GitHub table; what a prompt or a message brought in cannot end a cell or open a tag."""
    table = folded(table)
    lines = [f"**{_markdown(table.title)}**", ""]
    lines.append("| " + " | ".join(_markdown(column.label) for column in table.columns) + " |")
    lines.append(
        "|" + "|".join("---" if is_text(table, i) else "---:" for i in range(len(table.columns))) + "|"
    )
    for row in table.rows:
        lines.append(
            "| " + " | ".join(_markdown_cell(c, k) for c, k in zip(row, table.columns, strict=True)) + " |"
        )
    lines += ["", *(f"{_markdown(note)}  " for note in all_notes(table))]
    return "\n".join(lines).rstrip() + "\n"


def all_notes(table: Table) -> list[str]:
    """What stands below the columns, the table's notes, then the fingerprints of its columns."""
    feet = [f"{c.head} {c.foot}" for c in table.columns if c.foot] if table.foot else []
    prints = [f"{c.head}: protocol {c.fingerprint}" for c in table.columns if c.fingerprint]
    below = [f"{table.foot}: {'; '.join(feet)}."] if feet else []
    return [*below, *table.notes, *([f"Protocol fingerprints: {'; '.join(prints)}."] if prints else [])]


def folded(table: Table) -> Table:
    """Without the columns that say one thing in every row, or nothing in any; the first become notes."""
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


def _markdown_cell(cell: Cell, column: Column) -> str:
    if not isinstance(cell, Estimate):
        return _markdown(plain(cell, column.digits))
    value = number(cell.value, column.digits)
    parts = [f"**{value}**" if cell.best else value, _markdown(interval(cell, column.digits))]
    return " ".join([part for part in parts if part] + ([f"(N {cell.n})"] if cell.n is not None else []))
