"""The report: everything an author, a reviewer and a curious reader need, from a study folder alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.report.figures.catalogue import Drawing, all_drawings
from bench.report.figures.style import LIGHT, WIDTHS, by_night, save, svg
from bench.report.page import TEMPLATES, Shown, page
from bench.report.results import Results, read_results
from bench.report.tables import catalogue
from bench.report.tables.form import Table, to_csv, to_markdown
from bench.report.tables.latex import is_wide, latex, to_latex
from bench.report.text.bibliography import bibtex
from bench.report.text.findings import findings
from bench.report.text.method import data_statement, method
from bench.report.text.warnings import banners
from bench.store.study_folder import StudyFolder, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LONGEST_FLOAT = 48
"""Rows that a LaTeX page holds; report.tex names a longer table instead of setting it."""


def build(folder: StudyFolder, *, columns: str = "one") -> Path:
    """Write `report/` and return the path of its index.html; reads nothing but the study folder.

    columns: width of the figure files, `one` or `two` columns of a paper.
    Raises InputError: no study there, or a file of it cannot be read.
    """
    if columns not in WIDTHS:
        raise InputError(f"--columns is '{columns}': allowed are {', '.join(WIDTHS)}")
    results = read_results(folder)
    made = catalogue.all_tables(results)
    drawings = all_drawings(results)
    written = _write_tables(folder.report, made)
    shown = []
    for drawing in drawings:
        widths = WIDTHS if drawing.on_page else (columns,)
        mine = "two" if drawing.broad else columns
        drawn = {width: drawing.draw(width, LIGHT) for width in {*widths, mine}}
        written += save(drawn[mine], folder.report / "figures" / drawing.name)
        sources = _sources(drawn) if drawing.on_page else {}
        shown.append(Shown(name=drawing.name, caption=drawing.caption, sources=sources))
    text, linked = page(results, made, shown)
    index = folder.report / "index.html"
    write_bytes(index, text.encode())
    entries = bibtex(results)
    write_bytes(folder.report / "report.bib", entries.encode())
    write_bytes(
        folder.report / "report.tex",
        _tex(results, made, drawings, cited=bool(entries), columns=columns).encode(),
    )
    _remove_stale(folder.report, {*written, *linked})
    return index


def _write_tables(report: Path, made: Sequence[Table]) -> list[Path]:
    written = []
    for table in made:
        for suffix, form in ((".csv", to_csv), (".md", to_markdown), (".tex", to_latex)):
            path = report / "tables" / f"{table.name}{suffix}"
            write_bytes(path, form(table).encode())
            written.append(path)
    return written


def _remove_stale(report: Path, written: set[Path]) -> None:
    """Remove what only an earlier report had: an old table must not be taken for a new one."""
    ours = {"tables": (".csv", ".md", ".tex"), "figures": (".pdf", ".png"), "pictures": (".webp",)}
    for name, suffixes in ours.items():
        for path in sorted((report / name).glob("*")):
            if path.suffix in suffixes and path not in written:
                path.unlink()


def _sources(drawn: Mapping[str, Figure]) -> dict[str, str]:
    """One figure four times: for a phone and a desk, by day and by night."""
    found = {}
    for width, figure in drawn.items():
        text = svg(figure)
        for label, form in (("light", text), ("dark", by_night(text))):
            data = base64.b64encode(form.encode()).decode()
            found[f"{width}_{label}"] = f"data:image/svg+xml;base64,{data}"
    return found


def _tex(
    results: Results, made: Sequence[Table], drawings: Sequence[Drawing], *, cited: bool, columns: str
) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", autoescape=False, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["latex"] = latex
    short = [table for table in made if len(table.rows) <= LONGEST_FLOAT]
    return environment.get_template("report.tex.j2").render(
        title=latex(results.title),
        date=latex(str(results.run.get("finished") or "")[:10]),
        banners=banners(results),
        method=" ".join(method(results)),
        statement=data_statement(results),
        findings=findings(results),
        figures=drawings,
        wide=columns == "two",
        tables=short if columns == "two" else sorted(short, key=is_wide),
        long=[table.name for table in made if len(table.rows) > LONGEST_FLOAT],
        cited=cited,
    )
