"""Which figures a report has, from what the folder holds: each with its name, its caption and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.ratings.document import OVERALL
from bench.records import Prompt
from bench.report.figures import bars, goodput, human, samples
from bench.report.figures.headline import Point, pareto, quality_against_seconds
from bench.report.figures.style import WIDTHS, Style, Theme, fonts, styles
from bench.report.images.grids import models_with_steps, same_seeds
from bench.report.images.selection import SEED, licences, random_prompts, selections
from bench.report.images.thumbnails import pixels_of
from bench.report.published import TURBO_A100
from bench.report.results import Results, model_of
from bench.report.tables.form import UP, Estimate
from bench.report.tables.metrics import agreement_in_words, label, metric_columns, metric_estimates
from bench.report.tables.speed import FELT_REFERENCE, throughput
from bench.report.tables.votes import slice_cells, slice_rows, win_matrix, wins_of
from bench.report.text.phrases import listed
from bench.report.timings import felt_of, seconds_an_image, stages_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LATENCY_ROWS = 40
"""More bars than that are no longer read; the table has them all."""
MOST_CELLS = 16
"""Contenders up to which a matrix of cells is drawn; beyond, the table has it."""
MOST_PANELS = 6
"""Metrics below each other that one column of a paper can hold."""
MOST_NARROW = 8
"""Cells beside each other that one column of a paper can hold in readable type."""


MOST_ACROSS_NARROW = 4
"""Images beside each other that one column of a paper can hold."""
CELLS = (
    "Per cent, ties half. Bold and coloured: the 95% interval excludes 50%. "
    f"Grey: fewer than {bars.FEW_VOTES} votes."
)
"""What the cells of a table of win rates mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure of the report."""

    name: str
    """File stem."""
    caption: str
    draw: Callable[[str, Theme], Figure]
    """Width and theme to figure; called through `make`."""
    broad: bool = False
    """One column of a paper is too narrow for it: its file is made for two."""
    on_page: bool = True
    """False: the page shows the same in HTML; only the paper needs the drawing."""

    def make(self, width: str, theme: Theme) -> Figure:
        """The figure, with the fonts of this machine and no mathematics read into a prompt's dollar signs."""
        import matplotlib as mpl

        with mpl.rc_context({"font.family": list(fonts()), "text.parse_math": False}):
            return self.draw(width, theme)


def all_drawings(results: Results) -> list[Drawing]:
    """Every figure that has data, in the order of the report."""
    look = styles(results.contenders)
    drawings = [
        _headline(results, look), *_samples(results), *_steps(results), _wins(results), _matrix(results),
        _slices(results, "category"), _slices(results, "challenge"), _metrics(results, look),
        _human(results, look), _latency(results, look), _throughput(results, look),
        _goodput(results, look), _felt(results, look),
    ]  # fmt: skip
    return [drawing for drawing in drawings if drawing is not None]


SAMPLE_NAMES = {"random": "samples"}
"""File stem of the figure of a rule; of the others `samples-<rule>`."""


def _samples(results: Results) -> list[Drawing]:
    """Contenders × prompts, a figure a rule of choice."""
    if not results.generations:
        return []
    broad = len(results.contenders) > MOST_ACROSS_NARROW
    most = max(samples.prompts_that_fit(width, len(results.contenders)) for width in WIDTHS)
    chosen = selections(results, most)
    pixels = pixels_of(results)
    drawings = []
    for selection in chosen:
        seeds = " Each row starts from the same noise." if same_seeds(results, selection.prompts) else ""
        caption = " ".join(
            part
            for part in (
                f"Samples. {selection.rule}{seeds}",
                licences(results),
                _without_glyphs(selection.prompts),
            )
            if part
        )
        drawings.append(
            Drawing(
                name=SAMPLE_NAMES.get(selection.name, f"samples-{selection.name}"),
                caption=caption,
                on_page=False,
                broad=broad,
                draw=lambda width, theme, selection=selection: samples.sample_figure(
                    selection.prompts[: samples.prompts_that_fit(width, len(results.contenders))],
                    results.contenders,
                    pixels,
                    width,
                    theme,
                ),
            )
        )
    return drawings


def _steps(results: Results) -> list[Drawing]:
    """One figure with the step counts of every model that has several."""
    models = models_with_steps(results)
    if not results.generations or not models:
        return []
    names = [name for contenders in models.values() for name in contenders]
    broad = len(names) > MOST_ACROSS_NARROW
    pixels = pixels_of(results)
    most = max(samples.prompts_that_fit(width, len(names)) for width in WIDTHS)
    prompts = random_prompts(results, most)
    same = same_seeds(results, prompts, names)
    noise = "the images of a row start from the same noise" if same else "the seeds differ within a row"
    rule = f"Prompts drawn at random (seed {SEED})."
    caption = f"Step counts of {listed(list(models))}; {noise}. {rule} {licences(results)}"
    return [
        Drawing(
            name="steps",
            caption=" ".join(part for part in (caption.strip(), _without_glyphs(prompts)) if part),
            on_page=False,
            broad=broad,
            draw=lambda width, theme: samples.sample_figure(
                prompts[: samples.prompts_that_fit(width, len(names))], names, pixels, width, theme
            ),
        )
    ]


def _without_glyphs(prompts: Sequence[Prompt]) -> str:
    if all(samples.settable(prompt.text) == prompt.text for prompt in prompts):
        return ""
    return f"{samples.MISSING}: a character that the fonts of this machine lack."


def _headline(results: Results, look: dict[str, Style]) -> Drawing | None:
    preference = results.headline
    if preference and preference.ratings:
        quality = {r.contender: Estimate(value=r.rating, low=r.low, high=r.high) for r in preference.ratings}
        what, up = "Rating", True
        whose = " by simulated votes" if results.simulated_votes else " by people's votes"
    elif results.scores:
        first = metric_columns(results.scores)[0]
        rows = [s for s in results.scores if (s.metric, s.fingerprint) == first]
        quality = {s.contender: Estimate(value=s.value, low=s.low, high=s.high) for s in rows}
        what, up = label(first[0]), rows[0].higher_is_better
        whose = ", a metric and not people's judgement"
    else:
        return None
    points = []
    for name in results.contenders:
        seconds = seconds_an_image(results, name)
        value = quality.get(name)
        if seconds and value and value.value is not None:
            points.append(Point(contender=name, model=model_of(name)[0], seconds=seconds, quality=value))
    if not points:
        return None
    lines = ""
    if len(pareto(points, up=up)) > 1:
        lines += " Dashed: the Pareto front."
    if len({point.model for point in points}) < len(points):
        lines += " Lines join step counts of one model."
    return Drawing(
        name="headline",
        caption=f"{what}{whose}, against seconds an image; upper left is better. Bars: 95% intervals.{lines}",
        draw=lambda width, theme: quality_against_seconds(points, look, width, theme, label=what, up=up),
    )


def _wins(results: Results) -> Drawing | None:
    names = [name for name in results.preferences if name != OVERALL] or list(results.preferences)
    wins = {name: wins_of(results.preferences[name], results.chosen) for name in names}
    wins = {
        question: {rival: win for rival, win in by_rival.items() if rival in results.rivals}
        for question, by_rival in wins.items()
    }
    wins = {question: by_rival for question, by_rival in wins.items() if by_rival}
    if not wins:
        return None
    simulated = "Simulated votes. " if results.simulated_votes else ""
    return Drawing(
        name="win-rates",
        caption=f"{simulated}Win rate of {results.chosen} against each rival, by question, ties half, with 95% "
        "intervals; number of votes in parentheses. Filled and bold: the interval excludes 50% (dashed).",
        draw=lambda width, theme: bars.win_forest(results.chosen, wins, results.contenders, width, theme),
    )


def _matrix(results: Results) -> Drawing | None:
    headline = results.headline
    if headline is None or not headline.win_rates or len(results.contenders) > MOST_CELLS:
        return None
    cells = win_matrix(headline, results.contenders)
    names = [name for name, _ in cells]
    simulated = "Simulated votes. " if results.simulated_votes else ""
    return Drawing(
        name="matrix",
        caption=f"{simulated}Win rate of the row against the column. {CELLS}",
        on_page=False,
        broad=len(names) > MOST_NARROW,
        draw=lambda width, theme: bars.win_cells(names, names, [row for _, row in cells], width, theme),
    )


def _slices(results: Results, by: str) -> Drawing | None:
    """Levels stand below each other where they are more than the contenders, so that cells stay readable."""
    levels = slice_rows(results, by)
    if not levels or min(len(results.contenders), len(levels)) > MOST_CELLS:
        return None
    cells = slice_cells(results, by)
    names, heads = [name for name, _ in cells], [f"{part.level} ({part.n})" for part in levels]
    body = [list(row) for _, row in cells]
    if len(heads) > len(names):
        names, heads, body = heads, names, [list(column) for column in zip(*body, strict=True)]
    simulated = "Simulated votes. " if results.simulated_votes else ""
    return Drawing(
        name=f"by-{by}",
        caption=f"{simulated}Mean win rate by {by}; number of votes in parentheses. {CELLS}",
        on_page=False,
        broad=len(heads) > MOST_NARROW,
        draw=lambda width, theme: bars.win_cells(names, heads, body, width, theme),
    )


def _throughput(results: Results, look: dict[str, Style]) -> Drawing | None:
    rates = {name: by_batch for name, by_batch in throughput(results).items() if by_batch}
    if len({batch for by_batch in rates.values() for batch in by_batch}) < 2:
        return None
    rates = dict(list(rates.items())[:LATENCY_ROWS])
    return Drawing(
        name="throughput",
        caption=f"Images a second at each batch size that was timed, log axis; {results.device}. Filled: the largest.",
        draw=lambda width, theme: bars.throughput_dots(rates, look, width, theme),
    )


def _goodput(results: Results, look: dict[str, Style]) -> Drawing | None:
    """Contenders that were timed with queries arriving at several rates."""
    curves, ceilings = {}, {}
    for name in list(results.contenders)[:LATENCY_ROWS]:
        runs = [run for run in results.load if run.contender == name]
        curve = goodput.goodput_curve(runs)
        if any(rate > 0 for _, rate in curve):
            curves[name], ceilings[name] = curve, goodput.offline_rate(runs)
    if not curves:
        return None
    queries = max(len(run.latencies) for run in results.load if run.scenario == "server")
    return Drawing(
        name="goodput",
        caption="Images a second that are answered within the time allowed, queries arriving at random, at the best of "
        f"the rates that were offered (at most {queries} queries a rate); {results.device}. Dotted at the right: the "
        "rate without waiting for queries (Offline).",
        draw=lambda width, theme: goodput.goodput_curves(curves, ceilings, look, width, theme),
    )


def _felt(results: Results, look: dict[str, Style]) -> Drawing | None:
    rows = list(felt_of(results).values())[:LATENCY_ROWS]
    if not rows:
        return None
    known = {**styles([row.contender for row in rows]), **look}
    milliseconds, meaning = FELT_REFERENCE
    device = results.felt_protocol.get("device") or "device not recorded"
    return Drawing(
        name="interactive",
        caption=f"From keystroke to painted picture, medians of the stages; | p50, ▸ p95; {device}. Dashed: "
        f"{milliseconds:.0f} ms, {meaning}.",
        draw=lambda width, theme: bars.felt_bars(
            rows, known, width, theme, reference=(milliseconds, f"{milliseconds:.0f} ms")
        ),
    )


def _metrics(results: Results, look: dict[str, Style]) -> Drawing | None:
    panels = []
    for metric, fingerprint in metric_columns(results.scores):
        values = metric_estimates(results, metric, fingerprint)
        if any(estimate.value is not None for estimate in values.by_contender.values()):
            panels.append((f"{label(metric)} {values.direction}", values.by_contender))
    if not panels:
        return None
    return Drawing(
        name="metrics",
        caption="Metrics with 95% intervals, an axis each; the arrow points to better values.",
        broad=len(panels) > MOST_PANELS,
        draw=lambda width, theme: bars.metric_dots(panels, results.contenders, look, width, theme),
    )


def _human(results: Results, look: dict[str, Style]) -> Drawing | None:
    """Each metric against the ratings, where there are both and at least three contenders."""
    headline = results.headline
    if headline is None or len(headline.ratings) < 3:
        return None
    ratings = {r.contender: Estimate(value=r.rating, low=r.low, high=r.high) for r in headline.ratings}
    panels = []
    for metric, fingerprint in metric_columns(results.scores)[: human.MOST_PANELS]:
        values = metric_estimates(results, metric, fingerprint)
        panels.append(
            human.Panel(
                title=f"{label(metric)} {values.direction}",
                higher_is_better=values.direction == UP,
                scores=values.by_contender,
                agreement=agreement_in_words(results, metric, fingerprint),
            )
        )
    if not panels:
        return None
    whose = "simulated votes" if results.simulated_votes else "people's votes"
    ceilings = [row.ceiling for row in results.people if row.ceiling is not None]
    limit = (
        f" The human ceiling: one rater predicts another in {100 * max(ceilings):.0f}% of decided votes."
        if ceilings
        else ""
    )
    agreement = (
        " Below each title: the share of decided votes that the metric predicts, and Kendall's τ of scores and ratings."
        if results.people
        else ""
    )
    return Drawing(
        name="metric-against-preference",
        caption=f"Metrics against ratings by {whose}, with 95% intervals; up and right is better on every axis."
        f"{agreement}{limit}",
        broad=len(panels) > 4,
        draw=lambda width, theme: human.metric_against_rating(panels, ratings, look, width, theme),
    )


def _latency(results: Results, look: dict[str, Style]) -> Drawing | None:
    rows = [stages for name in results.contenders if (stages := stages_of(results, name))][:LATENCY_ROWS]
    if not rows:
        return None
    milliseconds = TURBO_A100.total_ms or 0.0
    shows_published = any(model_of(name)[0] == TURBO_A100.model for name in results.contenders)
    shows_published = shows_published and bars.within_reach(rows, milliseconds)
    reference = (milliseconds, f"published, A100: {milliseconds:.0f} ms") if shows_published else None
    device = results.device
    return Drawing(
        name="latency",
        caption=f"Where the time of an image goes, in shades of each contender's colour; {device}."
        + (" Dashed: the published figure for SDXL Turbo on another GPU." if shows_published else ""),
        draw=lambda width, theme: bars.stage_bars(rows, look, width, theme, reference=reference),
    )
