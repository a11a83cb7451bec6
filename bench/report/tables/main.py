"""The main table of a paper: a row a contender with steps, latency, throughput, metrics, win rate and rating."""

from __future__ import annotations

from bench.report.results import Results, model_of
from bench.report.tables.form import DOWN, UP, Cell, Column, Estimate, Table, decimals
from bench.report.tables.marks import marked
from bench.report.tables.metrics import label, metric_columns, metric_estimates
from bench.report.tables.speed import throughput
from bench.report.tables.votes import (
    average_wins_of,
    both_bad_note,
    rate_digits,
    rating_digits,
    ratings_of,
    scale,
)
from bench.report.timings import seconds_an_image


def main_table(results: Results) -> Table:
    """Contenders by rating, best first; in the order of the study where there are no votes."""
    names = _order(results)
    columns = [Column(head="Contender")]
    cells: list[list[Cell]] = [[*names]]
    steps: list[Cell] = [model_of(name)[1] for name in names]
    if any(step is not None for step in steps):
        columns.append(Column(head="Steps"))
        cells.append(steps)
    for column, values in (*_speed(results), *_metrics(results), *_votes(results)):
        columns.append(column)
        cells.append([values.get(name) for name in names])
    return Table(
        name="main",
        title="Main results",
        columns=tuple(columns),
        rows=tuple(zip(*cells, strict=True)),
        notes=tuple(_notes(results)),
        counts_below=True,
    )


def _order(results: Results) -> list[str]:
    headline = results.headline
    rated = [row.contender for row in headline.ratings] if headline else []
    return [*rated, *(name for name in results.contenders if name not in rated)]


def _speed(results: Results) -> list[tuple[Column, dict[str, Estimate]]]:
    """Latency of an image at the smallest batch timed, and images a second at the largest."""
    latency = {
        name: _scaled(seconds, 1000)
        for name in results.contenders
        if (seconds := seconds_an_image(results, name)) is not None
    }
    if not latency:
        return []
    rates = {
        name: Estimate(value=by_batch[max(by_batch)])
        for name, by_batch in throughput(results).items()
        if by_batch
    }
    return [
        (
            Column(head="Latency", unit="ms", direction=DOWN, digits=decimals(latency.values(), most=1)),
            marked(latency, {}, up=False),
        ),
        (Column(head="Images/s", direction=UP, digits=decimals(rates.values(), most=2)), rates),
    ]


def _scaled(estimate: Estimate, by: float) -> Estimate:
    def times(value: float | None) -> float | None:
        return None if value is None else by * value

    return Estimate(
        value=times(estimate.value), low=times(estimate.low), high=times(estimate.high), n=estimate.n
    )


def _metrics(results: Results) -> list[tuple[Column, dict[str, Estimate]]]:
    columns = []
    for metric, fingerprint in metric_columns(results.scores):
        values = metric_estimates(results, metric, fingerprint)
        column = Column(head=label(metric), direction=values.direction, digits=values.digits)
        columns.append((column, dict(values.by_contender)))
    return columns


def _votes(results: Results) -> list[tuple[Column, dict[str, Estimate]]]:
    headline = results.headline
    if headline is None:
        return []
    wins = average_wins_of(headline)
    columns = []
    if wins:
        column = Column(head="Win rate", unit="%", direction=UP, digits=rate_digits(results))
        columns.append((column, wins))
    if headline.ratings:
        column = Column(head="Rating", direction=UP, digits=rating_digits(results))
        columns.append((column, ratings_of(headline)))
    return columns


def _notes(results: Results) -> list[str]:
    notes = ["Brackets: 95% intervals."]
    if any(t.stage == "total" for t in results.timings):
        batches = sorted({t.batch for t in results.timings if t.stage == "total"})
        rate = f", images/s at batch {batches[-1]}" if len(batches) > 1 else ""
        notes.append(f"Latency: of an image at batch {batches[0]}{rate}; {results.device}.")
    headline = results.headline
    if headline is not None:
        whose = "Simulated votes" if results.simulated_votes else "Votes"
        several = len(results.preferences) > 1
        notes.append(
            f"{whose}{' of all questions' if several else ''}. Win rate: mean over the rivals met, ties half. "
            f"Ratings: {scale(results.anchor)[0].lower()}{scale(results.anchor)[1:]}"
        )
        notes += both_bad_note(headline)
    return notes
