r"""Tables as LaTeX floats: booktabs rules, siunitx columns, text no smaller than a reader can take.

A table that one column of a paper cannot hold stands across both; one that a page cannot hold is cut into
panels below each other. They need the packages booktabs, siunitx and adjustbox, and no others.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.report.tables.form import (
    DOWN,
    UP,
    Cell,
    Column,
    Estimate,
    Table,
    all_notes,
    counts,
    folded,
    interval,
    is_text,
    number,
    plain,
)

COLUMN_POINTS, PAGE_POINTS = 240.0, 495.0
"""TeX points of one column, and of the page, of a two-column A4 paper."""
SHRUNK = 0.8
"""Of \\small, the least a table is shrunk to before it is cut into panels: about 7 points."""
LEAST = 0.7
"""Of \\small, below which several panels are floats of their own: about 6 points."""
PAGE_HEIGHT = 590.0
"""TeX points of a page that the rows of a float may take."""
ONE_LINE, TWO_LINES, HEAD_HEIGHT = 11.5, 20.0, 30.0
"""Points of a row, of a row with an interval below its numbers, and of a head with its rules."""
LONG_NAME = 28
"""Characters after which a name is broken into two lines, where the table would not fit otherwise."""
CHARACTER, GAP = 4.7, 12.0
"""Points of a mean character in \\small, and between two columns."""
HEAD = 13
"""Characters after which a head is broken into lines, at a space."""
MOST_INTERVALS = 4
"""Columns of intervals a table has beside its numbers; with more of them they stand below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """One column of the table with its interval, as LaTeX: one or two columns of the tabular."""

    layout: str
    heads: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    """By column of the tabular, then by row."""
    points: float
    named: bool
    """A leading text column, which every panel repeats."""


def to_latex(table: Table) -> str:
    """One float, or one a panel where a page cannot hold all in readable type; every character can be set."""
    wide = is_wide(table)
    table = folded(table)
    most = (PAGE_POINTS if wide else COLUMN_POINTS) / SHRUNK
    layouts = [(False, False), (True, False), (True, True)]
    choices = [_blocks(table, stacked=stacked, broken=broken) for stacked, broken in layouts]
    blocks = next((blocks for blocks in choices if _points(blocks) <= most), choices[-1])
    panels = _panels(blocks, most)
    lines = [*all_notes(table), *([] if table.counts_below else counts(table))]
    notes = "\n".join(f"{latex(line)}\\par" for line in lines)
    below = (
        f"\\par\\smallskip\\begin{{minipage}}{{\\linewidth}}\\footnotesize\n{notes}\n\\end{{minipage}}\n"
        if notes
        else ""
    )
    caption = f"\\caption{{{latex(table.title)}}}\n\\label{{tab:{table.name}}}\n"
    if sum(_height(panel) for panel in panels) * LEAST <= PAGE_HEIGHT:
        boxed = "\\\\[6pt]\n".join(_boxed(panel, len(panels)) for panel in panels)
        return _float(f"{caption}{boxed}{below}", wide=wide)
    again = f"\\addtocounter{{table}}{{-1}}\n\\caption{{{latex(table.title)}, continued}}\n"
    return "".join(
        _float(
            f"{again if index else caption}{_boxed(panel, 1)}{below if panel is panels[-1] else ''}",
            wide=wide,
        )
        for index, panel in enumerate(panels)
    )


def _float(content: str, *, wide: bool) -> str:
    environment = "table*" if wide else "table"
    return f"\\begin{{{environment}}}\n\\centering\\small\n{content}\\end{{{environment}}}\n"


def is_wide(table: Table) -> bool:
    """Whether it stands across both columns of a paper."""
    return _points(_blocks(folded(table))) > COLUMN_POINTS / SHRUNK


def _points(blocks: Sequence[_Block]) -> float:
    return sum(block.points for block in blocks)


def _height(blocks: Sequence[_Block]) -> float:
    """Points of a panel in \\small, its head and rules included."""
    stacked = any("shortstack" in cell for block in blocks for column in block.cells for cell in column)
    rows = max((len(column) for block in blocks for column in block.cells), default=0)
    return HEAD_HEIGHT + rows * (TWO_LINES if stacked else ONE_LINE)


def _boxed(blocks: Sequence[_Block], panels: int) -> str:
    import pandas as pd

    cells = [column for block in blocks for column in block.cells]
    heads = [head for block in blocks for head in block.heads]
    layout = "".join(block.layout for block in blocks)
    frame = pd.DataFrame(list(zip(*cells, strict=True)), columns=pd.Index(heads), dtype=object)
    tabular = frame.style.hide(axis="index").to_latex(hrules=True, column_format=layout).rstrip()
    tall = f"{0.8 / panels:.2f}\\textheight"
    return f"\\begin{{adjustbox}}{{max width=\\linewidth,max totalheight={tall}}}\n{tabular}\n\\end{{adjustbox}}\n"


def _panels(blocks: Sequence[_Block], most: float) -> list[list[_Block]]:
    """As few as fit, of about one width, the names first in each."""
    cut = _cut(blocks, most)
    while len(cut) > 1:
        widest = max(_points(panel) for panel in cut)
        narrower = _cut(blocks, widest - 1)
        if len(narrower) > len(cut) or max(_points(panel) for panel in narrower) >= widest:
            break
        cut = narrower
    return cut


def _cut(blocks: Sequence[_Block], most: float) -> list[list[_Block]]:
    names = [block for block in blocks if block.named]
    panels = [[*names]]
    for block in blocks[len(names) :]:
        if len(panels[-1]) > len(names) and _points([*panels[-1], block]) > most:
            panels.append([*names])
        panels[-1].append(block)
    return panels


def _blocks(table: Table, *, stacked: bool = False, broken: bool = False) -> list[_Block]:
    """stacked: numbers above their intervals, as with MOST_INTERVALS and more; broken: long names in two lines."""
    shown = [_has_interval(table, index) for index in range(len(table.columns))]
    stacked = stacked or sum(shown) > MOST_INTERVALS
    blocks: list[_Block] = []
    for index in range(len(table.columns)):
        named = len(blocks) == sum(block.named for block in blocks) and _names(table, index)
        if broken and is_text(table, index):
            blocks.append(_broken(table, index, named=named))
        else:
            blocks.append(_column(table, index, stacked=stacked and shown[index], named=named))
    return blocks


def _names(table: Table, index: int) -> bool:
    """Whether a column says what a row is: words, or a batch size."""
    return all(isinstance(cell, str | int) for cell in table.column(index))


def _column(table: Table, index: int, *, stacked: bool, named: bool) -> _Block:
    column, cells = table.columns[index], table.column(index)
    if is_text(table, index):
        texts = [plain(cell, None) for cell in cells]
        return _block(column, "l", [[latex(text) for text in texts]], [texts], named=named)
    ends = [interval(c, column.digits) if isinstance(c, Estimate) else "" for c in cells]
    if stacked:
        stacks = [_stacked(cell, column.digits) for cell in cells]
        return _block(column, "c", [stacks], [[text[: len(text) * 4 // 5] for text in ends]])
    columns = [[_number(cell, column.digits) for cell in cells]]
    texts = [[plain(c.value if isinstance(c, Estimate) else c, column.digits) for c in cells]]
    layout = f"S[table-format={_shape(cells, column.digits)}]"
    if any(ends):
        columns.append([f"{{{_minus(text)}}}" if text else "" for text in ends])
        texts.append(ends)
        layout += "l"
    return _block(column, layout, columns, texts, named=named)


def _broken(table: Table, index: int, *, named: bool) -> _Block:
    """A column of words, the long ones in two lines."""
    texts = [_halves(plain(cell, None)) for cell in table.column(index)]
    cells = [
        latex(parts[0])
        if len(parts) == 1
        else f"$\\vcenter{{\\hbox{{\\shortstack[l]{{\\rule{{0pt}}{{2.4ex}}{latex(parts[0])}\\\\{latex(parts[1])}}}}}}}$"
        for parts in texts
    ]
    return _block(table.columns[index], "l", [cells], [[max(parts, key=len) for parts in texts]], named=named)


def _halves(text: str) -> list[str]:
    """In two lines at the hyphen, slash or space nearest to the middle; short texts in one."""
    places = [match.end() for match in re.finditer(r"[-/ ]", text[:-1])]
    if len(text) <= LONG_NAME or not places:
        return [text]
    middle = min(places, key=lambda place: abs(place - len(text) / 2))
    return [text[:middle].rstrip(), text[middle:]]


def _block(
    column: Column,
    layout: str,
    cells: Sequence[Sequence[str]],
    texts: Sequence[Sequence[str]],
    *,
    named: bool = False,
) -> _Block:
    """texts: the cells as they look, by which widths are judged."""
    # An arrow stays with the word before it: textwrap breaks at a plain space only.
    label = re.sub(f" ([{UP}{DOWN}])$", "\u00a0\\1", column.label)
    lines = textwrap.wrap(label, HEAD, break_long_words=False, break_on_hyphens=False) or [""]
    stack = "\\\\".join(latex(line) for line in lines)
    side = "[l]" if layout == "l" else ""
    head = f"\\shortstack{side}{{{stack}}}" if len(lines) > 1 else stack
    heads, widest = [head if layout == "l" else f"{{{head}}}"], [max(len(line) for line in lines)]
    if len(cells) > 1:
        heads.append(f"{{{column.level}\\% interval}}")
        widest.append(len("95% interval"))
    points = sum(
        CHARACTER * max(width, *(len(text) for text in column_texts), 0) + GAP
        for width, column_texts in zip(widest, texts, strict=True)
    )
    return _Block(
        layout=layout,
        heads=tuple(heads),
        cells=tuple(tuple(part) for part in cells),
        points=points,
        named=named,
    )


def _has_interval(table: Table, index: int) -> bool:
    digits = table.columns[index].digits
    return any(isinstance(cell, Estimate) and interval(cell, digits) for cell in table.column(index))


def _stacked(cell: Cell, digits: int | None) -> str:
    """The number above its interval, for tables too wide for a column of each."""
    if not isinstance(cell, Estimate) or cell.value is None:
        return "--" if cell is None or isinstance(cell, Estimate) else latex(plain(cell, digits))
    shown = number(cell.value, digits)
    top = f"\\textbf{{{shown}}}" if cell.best else f"\\underline{{{shown}}}" if cell.near else shown
    below = _minus(interval(cell, digits))
    stack = f"\\shortstack{{\\rule{{0pt}}{{2.2ex}}{top}\\\\{{\\scriptsize {below}}}}}"
    return f"$\\vcenter{{\\hbox{{{stack}}}}}$" if below else top


def _minus(text: str) -> str:
    """A minus sign for the hyphen of a negative number."""
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", text)


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    UP: r"$\uparrow$", DOWN: r"$\downarrow$", "→": r"$\rightarrow$", "×": r"$\times$", "≥": r"$\geq$",
    "≤": r"$\leq$", "±": r"$\pm$", "µ": r"$\mu$", "∞": r"$\infty$", "…": r"\dots{}",
    "α": r"$\alpha$", "ν": r"$\nu$", "ρ": r"$\rho$", "τ": r"$\tau$", "χ": r"$\chi$", "Δ": r"$\Delta$",
    "≈": r"$\approx$", "≠": r"$\neq$", "·": r"$\cdot$", "▸": r"$\triangleright$", "−": r"$-$",
    "–": "--", "—": "---", "’": "'", "“": "``", "”": "''",
    "ß": r"{\ss}", "ø": r"{\o}", "Ø": r"{\O}", "æ": r"{\ae}", "Æ": r"{\AE}", "œ": r"{\oe}", "Œ": r"{\OE}",
    "å": r"{\aa}", "Å": r"{\AA}", "ł": r"{\l}", "Ł": r"{\L}", "ı": r"{\i}", "§": r"{\S}", "©": r"{\copyright}",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
"""Combining accent → LaTeX's command for it, in every font encoding."""


def latex(text: str) -> str:
    """Text that any LaTeX engine sets; a character that it may lack becomes its code point."""
    return "".join(_latex_character(character) for character in text)


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isspace():
        return " "
    if " " <= character <= "~":
        return character
    letter, *accents = unicodedata.normalize("NFD", character)
    if len(accents) == 1 and accents[0] in _ACCENTS and letter.isascii() and letter.isalpha():
        return f"\\{_ACCENTS[accents[0]]}{{{letter}}}"
    ascii_form = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    # A control character is its own ASCII form.
    return latex(ascii_form) if ascii_form.isprintable() and ascii_form else f"[U+{ord(character):04X}]"


def _number(cell: Cell, digits: int | None) -> str:
    if isinstance(cell, str):
        return f"{{{latex(cell)}}}"
    value = cell.value if isinstance(cell, Estimate) else cell
    if value is None:
        return "{--}"
    shown = number(value, digits)
    if shown.startswith("<"):
        return f"{{{latex(shown)}}}"
    if isinstance(cell, Estimate) and cell.near:
        return f"{{\\underline{{{shown}}}}}"
    return f"\\bfseries {shown}" if isinstance(cell, Estimate) and cell.best else shown


def _shape(cells: Iterable[Cell], digits: int | None) -> str:
    """siunitx's table-format: digits before and after the point."""
    values = [cell.value if isinstance(cell, Estimate) else cell for cell in cells]
    texts = [number(value, digits) for value in values if isinstance(value, int | float)]
    whole = max((len(text.lstrip("-<").split(".")[0]) for text in texts), default=1)
    sign = "-" if any(text.startswith("-") for text in texts) else ""
    return f"{sign}{whole}.{digits or 0}"
