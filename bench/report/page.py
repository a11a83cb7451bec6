"""The one HTML page of a report: self-contained, no script from elsewhere, no prompt taken for markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report.figures.style import styles
from bench.report.images import duels
from bench.report.images import thumbnails as pictures
from bench.report.results import Results
from bench.report.tables.form import Estimate, Table, folded, interval, number, shared_n
from bench.report.tables.votes import slice_cells, slice_rows, vote_count, win_matrix
from bench.report.text.findings import findings
from bench.report.text.method import data_statement, method, protocols, provenance
from bench.report.text.warnings import banners

TEMPLATES = Path(__file__).resolve().parent / "templates"
MOST_WITH_INTERVALS = 16
"""Contenders up to which each cell of the pairwise matrix shows its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A figure as the page takes it."""

    name: str
    caption: str
    sources: Mapping[str, str]
    """Data URIs by width and theme; empty: the page has it as a table of cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Win rates as a table of coloured cells."""

    name: str
    """Of the figure that the paper takes."""
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, list[Estimate | None]], ...]
    slim: bool = False
    """Numbers only."""


def page(results: Results, made: Sequence[Table], drawn: Sequence[Shown]) -> tuple[str, list[Path]]:
    """The page, and the thumbnails it links because they did not fit in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"digits": number, "interval": interval}
    environment.globals |= {"shared_n": shared_n, "folded": folded}
    environment.tests |= {
        "estimate": lambda value: isinstance(value, Estimate),
        "numeric": lambda table, index: not all(isinstance(cell, str) for cell in table.column(index)),
    }
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    shown, paths = _pictures(results)
    context: dict[str, Any] = {
        "results": results,
        "tables": {table.name: table for table in made},
        "figures": {figure.name: figure for figure in drawn},
        "banners": banners(results),
        "findings": findings(results),
        "protocols": protocols(results),
        "method": method(results),
        "statement": data_statement(results),
        "provenance": provenance(results),
        "matrix": _matrix(results),
        "slices": [cells for by in ("category", "challenge") if (cells := _slices(results, by))],
        "votes": vote_count(results),
        **shown,
        "look": styles(results.contenders),
        "css": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "js": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return environment.get_template("report.html.j2").render(context), paths


def _pictures(results: Results) -> tuple[dict[str, Any], list[Path]]:
    """Every row of pictures of the page, and the thumbnails beside it."""
    count = min(results.pictures, len(results.prompts)) * len(results.contenders)
    thumbnails = pictures.Thumbnails(
        results=results, side=pictures.side_for(results, count), folder=results.folder.report / "pictures"
    )
    there = bool(results.generations)
    pairs = {
        "disputed": duels.disputed(results), "clearest": duels.clearest(results),
        "closest": duels.closest(results),
    }  # fmt: skip
    shown: dict[str, Any] = {
        "grid": pictures.grid(results, thumbnails) if there else [],
        "steps": pictures.steps_grids(results, thumbnails) if there else [],
        **{name: pictures.duels(results, thumbnails, found) for name, found in pairs.items()},
    }
    shown["sure"] = any(duels.certain(results, found) for found in pairs["clearest"])
    return {**shown, "side": thumbnails.side, "linked": thumbnails.linked}, thumbnails.paths


def _matrix(results: Results) -> Cells | None:
    headline = results.headline
    if headline is None or not headline.win_rates:
        return None
    return Cells(
        name="matrix",
        title="Win rates of every pair: row against column, per cent",
        heads=results.contenders,
        rows=tuple(win_matrix(headline, results.contenders)),
        slim=len(results.contenders) > MOST_WITH_INTERVALS,
    )


def _slices(results: Results, by: str) -> Cells | None:
    levels = slice_rows(results, by)
    if not levels:
        return None
    return Cells(
        name=f"by-{by}",
        title=f"Mean win rate by {by}, per cent; votes in parentheses",
        heads=tuple(f"{part.level} ({part.n})" for part in levels),
        rows=tuple(slice_cells(results, by)),
    )
