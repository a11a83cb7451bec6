"""What a table is, and its written forms: CSV with every digit, Markdown, LaTeX (booktabs, siunitx)."""

from __future__ import annotations

import math
import textwrap
import unicodedata
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


MOST_INTERVALS = 4
"""Columns of intervals a LaTeX table has beside its numbers; with more of them they stand below."""

MOST_NARROW = 4
"""LaTeX columns up to which a table stands in one column of a two-column paper."""

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
        "|" + "|".join("---" if _is_text(table, i) else "---:" for i in range(len(table.columns))) + "|"
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


def to_latex(table: Table) -> str:
    r"""A float with booktabs rules and S columns; needs booktabs, siunitx and adjustbox."""
    import pandas as pd

    table = folded(table)
    columns: list[list[str]] = []
    heads: list[str] = []
    layout = ""
    stacked = sum(_has_interval(table, index) for index in range(len(table.columns))) > MOST_INTERVALS
    for index, column in enumerate(table.columns):
        cells = table.column(index)
        head = latex(column.label)
        if _is_text(table, index):
            columns.append([latex(plain(cell, None)) for cell in cells])
            heads.append(head)
            layout += "l"
            continue
        if stacked and _has_interval(table, index):
            columns.append([_stacked(cell, column.digits) for cell in cells])
            lines = "\\\\".join(latex(line) for line in textwrap.wrap(column.label, 13))
            heads.append(f"\\shortstack{{{lines}}}")
            layout += "c"
            continue
        columns.append([_latex_number(cell, column.digits) for cell in cells])
        heads.append(f"{{{head}}}")
        layout += f"S[table-format={_shape(cells, column.digits)}]"
        if _has_interval(table, index):
            texts = [interval(cell, column.digits) if isinstance(cell, Estimate) else "" for cell in cells]
            columns.append([f"{{{text}}}" if text else "" for text in texts])
            heads.append("{95\\% interval}")
            layout += "l"
    frame = pd.DataFrame(list(zip(*columns, strict=True)), columns=pd.Index(heads), dtype=object)
    tabular = frame.style.hide(axis="index").to_latex(hrules=True, column_format=layout).rstrip()
    notes = "\n".join(f"{latex(note)}\\par" for note in all_notes(table))
    float_ = "table*" if len(heads) > MOST_NARROW or stacked else "table"
    return (
        f"\\begin{{{float_}}}\n\\centering\n"
        f"\\caption{{{latex(table.title)}}}\n\\label{{tab:{table.name}}}\n"
        f"\\begin{{adjustbox}}{{max width=\\linewidth}}\n{tabular}\n\\end{{adjustbox}}\n"
        + (
            f"\\par\\smallskip\\begin{{minipage}}{{\\linewidth}}\\footnotesize\n{notes}\n\\end{{minipage}}\n"
            if notes
            else ""
        )
        + f"\\end{{{float_}}}\n"
    )


def _has_interval(table: Table, index: int) -> bool:
    digits = table.columns[index].digits
    return any(isinstance(cell, Estimate) and interval(cell, digits) for cell in table.column(index))


def _stacked(cell: Cell, digits: int | None) -> str:
    """The number above its interval, for tables too wide for a column of each."""
    if not isinstance(cell, Estimate) or cell.value is None:
        return "--" if cell is None or isinstance(cell, Estimate) else latex(plain(cell, digits))
    shown = number(cell.value, digits)
    top = f"\\textbf{{{shown}}}" if cell.best else shown
    below = interval(cell, digits)
    return f"\\shortstack{{{top}\\\\{{\\scriptsize {below}}}}}" if below else top


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


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    UP: r"$\uparrow$", DOWN: r"$\downarrow$", "→": r"$\rightarrow$", "×": r"$\times$", "≥": r"$\geq$",
    "≤": r"$\leq$", "±": r"$\pm$", "µ": r"$\mu$", "∞": r"$\infty$", "…": r"\dots{}",
    "–": "--", "—": "---", "−": "--", "’": "'", "“": "``", "”": "''",
}  # fmt: skip


def latex(text: str) -> str:
    """Text that any LaTeX engine sets as it is; a character it may not have becomes its code point."""
    return "".join(_latex_character(character) for character in text)


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isspace():
        return " "
    if " " <= character <= "~":
        return character
    ascii_form = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    # A control character is its own ASCII form.
    return latex(ascii_form) if ascii_form.isprintable() and ascii_form else f"[U+{ord(character):04X}]"


def _latex_number(cell: Cell, digits: int | None) -> str:
    if isinstance(cell, str):
        return f"{{{latex(cell)}}}"
    value = cell.value if isinstance(cell, Estimate) else cell
    if value is None:
        return "{--}"
    bold = isinstance(cell, Estimate) and cell.best
    return f"\\bfseries {number(value, digits)}" if bold else number(value, digits)


def _shape(cells: Iterable[Cell], digits: int | None) -> str:
    """siunitx's table-format: digits before and after the point."""
    values = [cell.value if isinstance(cell, Estimate) else cell for cell in cells]
    texts = [number(value, digits) for value in values if isinstance(value, int | float)]
    whole = max((len(text.lstrip("-").split(".")[0]) for text in texts), default=1)
    sign = "-" if any(text.startswith("-") for text in texts) else ""
    return f"{sign}{whole}.{digits or 0}"


def _is_text(table: Table, index: int) -> bool:
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
