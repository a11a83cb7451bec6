"""report.tex: sections with their figures and tables beside the text that refers to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.figures.catalogue import Drawing
from bench.report.page import TEMPLATES
from bench.report.results import Results
from bench.report.tables.form import Table
from bench.report.tables.latex import latex
from bench.report.text.answer import answer, question, remarks
from bench.report.text.bibliography import bibliography, with_cite_commands
from bench.report.text.method import data_statement, method
from bench.report.text.phrases import listed
from bench.report.text.warnings import banners

LONGEST_FLOAT = 48
"""Rows that a page holds; a longer table is named and not included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section: its sentences, then its floats."""

    title: str
    sentences: tuple[str, ...]
    figures: tuple[Drawing, ...]
    tables: tuple[Table, ...]


PLAN: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Results", ("headline",), ("main",)),
    ("Samples", ("samples", "steps"), ()),
    ("Preference", ("win-rates", "matrix"), ("planned", "leaderboards", "elo", "claims")),
    (
        "Metrics",
        ("metrics", "metric-against-preference"),
        ("metrics", "agreement", "powered", "contradictions", "published-metrics"),
    ),
    (
        "Speed",
        ("latency", "throughput", "goodput", "interactive"),
        ("latency", "work", "interactive", "published-latency"),
    ),
)
"""Title, figures and tables of each section of results, in order."""
APPENDIX = (
    ("samples-clearest", "samples-closest", "samples-disagreed", "by-category", "by-challenge"),
    (
        "stopping",
        "robustness",
        "rules",
        "position",
        "both-bad",
        "weights",
        "category-effects",
        "covariates",
        "images",
        "failures",
        "models",
    ),
)
"""Figures and tables of the appendix; leaderboards and win rates of single questions are in `tables/` only."""


def to_tex(results: Results, tables: Sequence[Table], drawings: Sequence[Drawing], *, columns: str) -> str:
    """The document, for one or two columns of a paper.

    Parameters
    ----------
    results : what the study folder holds.
    tables, drawings : those of the report; each is included once, in the section that refers to it.
    columns : `one` (a two-column paper) or `two` (one column over the page).
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", autoescape=False, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["latex"] = latex
    environment.globals["references"] = references
    works = bibliography(results)
    cited = [(part.head, with_cite_commands(part.text, latex)) for part in method(results)]
    return environment.get_template("report.tex.j2").render(
        title=latex(results.title),
        authors=", ".join(results.authors),
        date=latex(str(results.run.get("finished") or "")[:10]),
        banners=banners(results),
        sections=_sections(results, tables, drawings),
        method=cited,
        statement=data_statement(results),
        appendix=_section("Further results", (), *APPENDIX, tables=tables, drawings=drawings),
        wide=columns == "two",
        long=[table.name for table in tables if len(table.rows) > LONGEST_FLOAT],
        cited=bool(works.entries) and any("\\cite{" in text for _, text in cited),
    )


def _sections(results: Results, tables: Sequence[Table], drawings: Sequence[Drawing]) -> list[Section]:
    asked = question(results)
    first = (*([asked] if asked else []), *answer(results))
    sentences = {"Results": first, "Preference": tuple(remarks(results))}
    sections = [
        _section(title, sentences.get(title, ()), figures, names, tables=tables, drawings=drawings)
        for title, figures, names in PLAN
    ]
    return [section for section in sections if section.sentences or section.figures or section.tables]


def _section(
    title: str,
    sentences: Sequence[str],
    figures: Sequence[str],
    names: Sequence[str],
    *,
    tables: Sequence[Table],
    drawings: Sequence[Drawing],
) -> Section:
    by_name = {table.name: table for table in tables if len(table.rows) <= LONGEST_FLOAT}
    drawn = {drawing.name: drawing for drawing in drawings}
    return Section(
        title=title,
        sentences=tuple(sentences),
        figures=tuple(drawn[name] for name in figures if name in drawn),
        tables=tuple(by_name[name] for name in names if name in by_name),
    )


def references(section: Section) -> str:
    """`Figures 1 and 2 and Table 3 show the numbers.` with LaTeX references; empty without floats."""
    figures = [f"\\ref{{fig:{drawing.name}}}" for drawing in section.figures]
    tables = [f"\\ref{{tab:{table.name}}}" for table in section.tables]
    parts = []
    if figures:
        parts.append(f"Figure{'s' if len(figures) > 1 else ''}~{listed(figures)}")
    if tables:
        parts.append(f"Table{'s' if len(tables) > 1 else ''}~{listed(tables)}")
    return f"See {' and '.join(parts)}." if parts else ""
