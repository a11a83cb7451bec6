"""The report of a study folder: page, tables, figures, LaTeX and bibliography, from the folder alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.report.figures.catalogue import all_drawings
from bench.report.figures.style import LIGHT, WIDTHS, by_night, save, svg
from bench.report.page import Shown, page
from bench.report.results import read_results
from bench.report.tables import catalogue
from bench.report.tables.form import Table, to_csv, to_markdown
from bench.report.tables.latex import to_latex
from bench.report.tex import to_tex
from bench.report.text.bibliography import bibtex
from bench.store.study_folder import StudyFolder, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def build(folder: StudyFolder, *, columns: str = "one") -> Path:
    """Write `report/` and return the path of its index.html; reads nothing but the study folder.

    columns: width of the figure files, `one` or `two` columns of a paper.
    Raises InputError: no study there, or a file of it cannot be read.
    """
    if columns not in WIDTHS:
        raise InputError(f"--columns is '{columns}': allowed are {', '.join(WIDTHS)}")
    results = read_results(folder)
    tables = catalogue.all_tables(results)
    drawings = all_drawings(results)
    written = _write_tables(folder.report, tables)
    shown = []
    for drawing in drawings:
        widths = WIDTHS if drawing.on_page else (columns,)
        file_width = "two" if drawing.broad else columns
        drawn = {width: drawing.make(width, LIGHT) for width in {*widths, file_width}}
        written += save(drawn[file_width], folder.report / "figures" / drawing.name)
        sources = _sources(drawn) if drawing.on_page else {}
        shown.append(Shown(name=drawing.name, caption=drawing.caption, sources=sources))
    text, linked = page(results, tables, shown)
    index = folder.report / "index.html"
    write_bytes(index, text.encode())
    write_bytes(folder.report / "report.bib", bibtex(results).encode())
    write_bytes(folder.report / "report.tex", to_tex(results, tables, drawings, columns=columns).encode())
    _remove_stale(folder.report, {*written, *linked})
    return index


def _write_tables(report: Path, tables: Sequence[Table]) -> list[Path]:
    written = []
    for table in tables:
        for suffix, form in ((".csv", to_csv), (".md", to_markdown), (".tex", to_latex)):
            path = report / "tables" / f"{table.name}{suffix}"
            write_bytes(path, form(table).encode())
            written.append(path)
    return written


def _remove_stale(report: Path, written: set[Path]) -> None:
    """Remove what only an earlier report had: an old table must not be taken for a new one."""
    kinds = {"tables": (".csv", ".md", ".tex"), "figures": (".pdf", ".png"), "pictures": (".webp",)}
    for name, suffixes in kinds.items():
        for path in sorted((report / name).glob("*")):
            if path.suffix in suffixes and path not in written:
                path.unlink()


def _sources(drawn: Mapping[str, Figure]) -> dict[str, str]:
    """One figure four times: for a phone and a desktop, light and dark."""
    sources = {}
    for width, figure in drawn.items():
        text = svg(figure)
        for label, form in (("light", text), ("dark", by_night(text))):
            data = base64.b64encode(form.encode()).decode()
            sources[f"{width}_{label}"] = f"data:image/svg+xml;base64,{data}"
    return sources
