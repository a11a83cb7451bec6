"""The report: everything an author, a reviewer and a curious reader need, from a study folder alone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import figures, pictures, statements, tables
from bench.figures import LIGHT, WIDTHS, Point, Stages, Style, Theme
from bench.published import TURBO_A100
from bench.records import InputError
from bench.results import OVERALL, Results, model_of, read_results
from bench.store import StudyFolder, write_bytes
from bench.table_forms import Estimate, Table, interval, latex, number, to_csv, to_latex, to_markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).resolve().parent / "templates"
LATENCY_ROWS = 40
"""More bars than that are no longer read; the table has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    name: str
    """File stem."""
    caption: str
    draw: Callable[[str, Theme], Figure]
    """Width and theme to figure."""


def build(folder: StudyFolder, *, columns: str = "one") -> Path:
    """Write `report/` and return the path of its index.html; reads nothing but the study folder.

    columns: width of the figure files, `one` or `two` columns of a paper.
    Raises InputError: no study there, or a file of it cannot be read.
    """
    if columns not in WIDTHS:
        raise InputError(f"--columns is '{columns}': allowed are {', '.join(WIDTHS)}")
    results = read_results(folder)
    made = tables.all_tables(results)
    drawings = all_drawings(results)
    written = _write_tables(folder.report, made)
    sources = {}
    for drawing in drawings:
        drawn = {width: drawing.draw(width, LIGHT) for width in WIDTHS}
        written += figures.save(drawn[columns], folder.report / "figures" / drawing.name)
        sources[drawing.name] = {"name": drawing.name, "caption": drawing.caption, "sources": _sources(drawn)}
    text, linked = page(results, made, sources)
    index = folder.report / "index.html"
    write_bytes(index, text.encode())
    entries = statements.bibtex(results)
    write_bytes(folder.report / "report.bib", entries.encode())
    write_bytes(folder.report / "report.tex", _tex(results, made, drawings, cited=bool(entries)).encode())
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


def all_drawings(results: Results) -> list[Drawing]:
    """Every figure that has data, in the order of the page."""
    look = figures.styles(results.contenders)
    found = [_headline(results, look), _wins(results, look), _metrics(results, look), _latency(results, look)]
    return [drawing for drawing in found if drawing is not None]


def _headline(results: Results, look: dict[str, Style]) -> Drawing | None:
    preference = results.headline
    if preference and preference.ratings:
        quality = {r.contender: Estimate(value=r.rating, low=r.low, high=r.high) for r in preference.ratings}
        what, up = "Rating", True
        whose = " by simulated votes" if results.simulated_votes else " by people's votes"
    elif results.scores:
        first = tables.metric_columns(results.scores)[0]
        rows = [s for s in results.scores if (s.metric, s.fingerprint) == first]
        quality = {s.contender: Estimate(value=s.value, low=s.low, high=s.high) for s in rows}
        what, up = tables.label(first[0]), rows[0].higher_is_better
        whose = ", a metric and not people's judgement"
    else:
        return None
    points = []
    for name in results.contenders:
        seconds = tables.seconds_an_image(results, name)
        value = quality.get(name)
        if seconds and value and value.value is not None:
            points.append(Point(contender=name, model=model_of(name)[0], seconds=seconds, quality=value))
    if not points:
        return None
    return Drawing(
        name="headline",
        caption=f"{what}{whose}, against seconds an image; upper left is better. Bars: 95% intervals. "
        "Dashed: the Pareto front. Lines join step counts of one model.",
        draw=lambda width, theme: figures.quality_against_seconds(
            points, look, width, theme, label=what, up=up
        ),
    )


def _wins(results: Results, look: dict[str, Style]) -> Drawing | None:
    names = [name for name in results.preferences if name != OVERALL] or list(results.preferences)
    wins = {name: tables.wins_of(results.preferences[name], results.chosen) for name in names}
    wins = {name: found for name, found in wins.items() if found}
    if not wins:
        return None
    simulated = "Simulated votes. " if results.simulated_votes else ""
    return Drawing(
        name="win-rates",
        caption=f"{simulated}How often {results.chosen} is preferred to each rival, by question; ties half, "
        "95% intervals, dashed line at 50%.",
        draw=lambda width, theme: figures.win_bars(
            results.chosen, wins, results.contenders, look, width, theme
        ),
    )


def _metrics(results: Results, look: dict[str, Style]) -> Drawing | None:
    panels = []
    for metric, fingerprint in tables.metric_columns(results.scores):
        rows = [s for s in results.scores if (s.metric, s.fingerprint) == (metric, fingerprint)]
        arrow = tables.UP if rows[0].higher_is_better else tables.DOWN
        values = {s.contender: Estimate(value=s.value, low=s.low, high=s.high) for s in rows}
        if any(estimate.value is not None for estimate in values.values()):
            panels.append((f"{tables.label(metric)} {arrow}", values))
    if not panels:
        return None
    return Drawing(
        name="metrics",
        caption="Metrics with 95% intervals, an axis each; the arrow says which way is better.",
        draw=lambda width, theme: figures.metric_dots(panels, results.contenders, look, width, theme),
    )


def _latency(results: Results, look: dict[str, Style]) -> Drawing | None:
    rows = [stages for name in results.contenders if (stages := _stages(results, name))][:LATENCY_ROWS]
    if not rows:
        return None
    ours = any(model_of(name)[0] == TURBO_A100.model for name in results.contenders)
    reference = (TURBO_A100.total_ms or 0.0, "published: SDXL Turbo, 1 step, A100: 207 ms") if ours else None
    device = (
        results.timing_protocol.get("gpu") or results.timing_protocol.get("device") or "device not recorded"
    )
    return Drawing(
        name="latency",
        caption=f"Where the time of an image goes, in shades of each contender's colour; {device}."
        + (" Dashed: the published figure for SDXL Turbo on another GPU." if ours else ""),
        draw=lambda width, theme: figures.stage_bars(rows, look, width, theme, reference=reference),
    )


def _stages(results: Results, contender: str) -> Stages | None:
    """Milliseconds an image at the smallest batch timed."""
    timed = [t for t in results.timings if t.contender == contender and t.seconds]
    if not timed:
        return None
    batch = min(t.batch for t in timed)
    medians = {t.stage: tables.median(t.seconds) * 1000 / batch for t in timed if t.batch == batch}
    parts = [medians.get(stage, 0.0) for stage in ("encode", "denoise", "decode")]
    return Stages(
        contender=contender,
        encode=parts[0],
        denoise=parts[1],
        decode=parts[2],
        total=medians.get("total", sum(parts)),
    )


def page(
    results: Results, made: Sequence[Table], drawn: Mapping[str, dict[str, Any]]
) -> tuple[str, list[Path]]:
    """The page, and the thumbnails it links because they did not fit in.

    drawn: by figure, its name, caption and data URIs.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    shown = min(results.pictures, len(results.prompts)) * len(results.contenders)
    thumbnails = pictures.Thumbnails(
        results=results, side=pictures.side_for(results, shown), folder=results.folder.report / "pictures"
    )
    grid = pictures.grid(results, thumbnails) if results.generations else []
    steps = pictures.steps_grids(results, thumbnails) if results.generations else []
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"digits": number, "interval": interval}
    environment.tests |= {
        "estimate": lambda value: isinstance(value, Estimate),
        "numeric": lambda table, index: not all(isinstance(cell, str) for cell in table.column(index)),
    }
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    headline = results.headline
    by_name = {table.name: table for table in made}
    context: dict[str, Any] = {
        "results": results,
        "tables": {name: by_name.get(name) for name in (*by_name, *_OPTIONAL)},
        "figures": {name: drawn.get(name) for name in _FIGURES},
        "banners": statements.banners(results),
        "protocols": statements.protocols(results),
        "method": statements.method(results),
        "provenance": statements.provenance(results),
        "matrix": tables.win_matrix(headline, results.contenders) if headline and headline.win_rates else [],
        "votes": tables.vote_count(results),
        "grid": grid,
        "steps": steps,
        "side": thumbnails.side,
        "linked": thumbnails.linked,
        "look": figures.styles(results.contenders),
        "css": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "js": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    text = environment.get_template("report.html.j2").render(context)
    return text, thumbnails.paths


_OPTIONAL = ("metrics", "latency", "published-latency", "published-metrics", "models", "failures")
_FIGURES = ("headline", "win-rates", "metrics", "latency")


def _sources(drawn: Mapping[str, Figure]) -> dict[str, str]:
    """One figure four times: for a phone and a desk, by day and by night."""
    found = {}
    for width, figure in drawn.items():
        text = figures.svg(figure)
        for label, form in (("light", text), ("dark", figures.by_night(text))):
            data = base64.b64encode(form.encode()).decode()
            found[f"{width}_{label}"] = f"data:image/svg+xml;base64,{data}"
    return found


def _tex(results: Results, made: Sequence[Table], drawings: Sequence[Drawing], *, cited: bool) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", autoescape=False, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["latex"] = latex
    return environment.get_template("report.tex.j2").render(
        title=latex(results.title),
        date=latex(str(results.run.get("finished") or "")),
        banners=statements.banners(results),
        method=" ".join(statements.method(results)),
        figures=drawings,
        tables=made,
        cited=cited,
    )
