"""The one HTML page of a report: self-contained, no script from elsewhere, prompts escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.report.figures import bars
from bench.report.figures.catalogue import CELLS
from bench.report.figures.style import shortened, styles
from bench.report.images import duels, grids
from bench.report.images.selection import SEED, licences, random_prompts
from bench.report.images.thumbnails import Thumbnails, side_for
from bench.report.markup import breakable, code, naming_column
from bench.report.results import Results
from bench.report.tables.form import Estimate, Table, all_notes, folded, interval, number, shared_n
from bench.report.tables.votes import (
    excludes_half,
    slice_cells,
    slice_rows,
    vote_count,
    win_interval,
    win_matrix,
)
from bench.report.text.answer import answer, question, remarks
from bench.report.text.bibliography import bibliography, with_names
from bench.report.text.method import data_statement, method, protocols, provenance
from bench.report.text.warnings import banners

TEMPLATES = Path(__file__).resolve().parent / "templates"
MOST_WITH_INTERVALS = 10
"""Contenders up to which each cell of the pairwise matrix shows its interval."""
FIRST_ROWS = 4
"""Prompts of the grid that are shown unfolded."""
STEP_PROMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A figure as the page takes it."""

    name: str
    caption: str
    sources: Mapping[str, str]
    """Data URIs by width and theme; empty: only the paper needs the drawing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Win rates as a table of cells."""

    name: str
    """Of the figure for the paper."""
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, list[Estimate | None]], ...]
    slim: bool = False
    """Numbers only."""


def page(results: Results, tables: Sequence[Table], drawn: Sequence[Shown]) -> tuple[str, list[Path]]:
    """The page, and the thumbnails that it links because they did not fit in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "digits": number,
        "interval": interval,
        "win_interval": win_interval,
        "breakable": breakable,
        "code": code,
        "shortened": shortened,
    }
    environment.globals |= {
        "shared_n": shared_n,
        "folded": folded,
        "page_notes": _notes,
        "few": bars.few,
        "naming_column": naming_column,
        "excludes_half": excludes_half,
    }
    environment.tests |= {
        "estimate": lambda value: isinstance(value, Estimate),
        "numeric": lambda table, index: not all(isinstance(cell, str) for cell in table.column(index)),
    }
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    shown, paths = _images(results)
    works = bibliography(results)
    context: dict[str, Any] = {
        "results": results,
        "tables": {table.name: table for table in tables},
        "figures": {figure.name: figure for figure in drawn},
        "banners": banners(results),
        "question": question(results),
        "answer": answer(results),
        "remarks": remarks(results),
        "protocols": protocols(results),
        "method": [(part.head, with_names(part.text, works)) for part in method(results)],
        "statement": data_statement(results),
        "provenance": provenance(results),
        "matrix": _matrix(results),
        "slices": [cells for by in ("category", "challenge") if (cells := _slices(results, by))],
        "cells_note": CELLS,
        "votes": vote_count(results),
        **shown,
        "look": styles(results.contenders),
        "css": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "js": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return environment.get_template("report.html.j2").render(context), paths


def _notes(table: Table) -> list[str]:
    """What stands below a table of the page: its foot row and the fingerprints are in the table itself."""
    return all_notes(
        replace(table, foot="", columns=tuple(replace(c, fingerprint="") for c in table.columns))
    )


def _images(results: Results) -> tuple[dict[str, Any], list[Path]]:
    """Every row of images of the page, and the thumbnails beside it."""
    count = min(results.pictures, len(results.prompts)) * len(results.contenders)
    thumbnails = Thumbnails(
        results=results, side=side_for(results, count), folder=results.folder.report / "pictures"
    )
    there = bool(results.generations)
    pairs = {
        "disputed": duels.disputed(results),
        "clearest": duels.clearest(results),
        "closest": duels.closest(results),
    }
    prompts = random_prompts(results, results.pictures) if there else []
    shown: dict[str, Any] = {
        "grid": grids.grid(results, thumbnails, prompts),
        "steps": grids.steps_grids(results, thumbnails, prompts[:STEP_PROMPTS]) if there else [],
        **{name: grids.duel_rows(results, thumbnails, rows) for name, rows in pairs.items()},
        "first_rows": FIRST_ROWS if len(results.contenders) <= MOST_WITH_INTERVALS else 1,
        "seed": SEED,
        "licences": licences(results),
    }
    shown["sure"] = any(duels.certain(results, pair) for pair in pairs["clearest"])
    return {**shown, "side": thumbnails.side, "linked": len(thumbnails.paths)}, thumbnails.paths


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
        title=f"Mean win rate by {by}, per cent; number of votes in parentheses",
        heads=tuple(f"{part.level} ({part.n})" for part in levels),
        rows=tuple(slice_cells(results, by)),
    )
