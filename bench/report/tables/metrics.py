"""Metrics as tables: one column a metric and protocol, agreement with people beside it, published values apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.ratings.document import OVERALL
from bench.records import PeopleAgreement, Score
from bench.report.published import PUBLISHED
from bench.report.results import Results, model_of
from bench.report.tables.form import (
    DOWN,
    NONE,
    UP,
    Cell,
    Column,
    Estimate,
    Table,
    decimals,
    interval,
    number,
)
from bench.report.tables.marks import marked, metric_differences
from bench.report.text.phrases import listed

LABELS = {
    "clip_score": "CLIP score", "fid": "FID", "fid_infinity": "FID∞", "kid": "KID", "fd_dinov2": "FD-DINOv2",
    "cmmd": "CMMD", "hpsv2": "HPSv2.1", "pickscore": "PickScore", "image_reward": "ImageReward",
    "hpsv3": "HPSv3", "soft_tifa": "Soft-TIFA", "tifa": "TIFA", "dpg": "DPG",
    "vqascore_clip_flant5": "VQAScore (CLIP-FlanT5)", "vqascore_qwen": "VQAScore (Qwen2.5-VL)",
    "aesthetic": "Aesthetic", "vqascore": "VQAScore (InstructBLIP)", "patch_fid": "Patch FID",
    "fid_clean": "FID (clean)", "fd_clip": "FD-CLIP", "scene_accuracy": "Scene accuracy",
    "edit_accuracy": "Edit made", "kept_accuracy": "Rest kept",
    "mini_clip_score": "mini-CLIP score", "lpips": "LPIPS", "precision": "Precision", "recall": "Recall",
    "density": "Density", "coverage": "Coverage", "diversity": "Diversity",
}  # fmt: skip
"""How the field writes a metric; any other metric goes by its name."""


def label(metric: str) -> str:
    return LABELS.get(metric, metric.replace("_", " "))


def all_of(results: Results) -> list[Table]:
    """Metrics, how far each agrees with people, and what others published."""
    tables = (
        metric_table(results),
        agreement_table(results),
        powered_table(results),
        published_metrics(results),
    )
    return [table for table in tables if table is not None]


def metric_columns(scores: Sequence[Score]) -> list[tuple[str, str]]:
    """(metric, fingerprint), one column each: numbers of two protocols never stand in one column."""
    return list(dict.fromkeys((score.metric, score.fingerprint) for score in scores))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricColumn:
    """One metric under one protocol, as every table shows it."""

    metric: str
    fingerprint: str
    direction: str
    """UP or DOWN."""
    digits: int
    """Decimals; the same in every table of the report."""
    by_contender: Mapping[str, Estimate]
    """Values with intervals; the best is marked."""


def metric_estimates(results: Results, metric: str, fingerprint: str) -> MetricColumn:
    """A metric's values, the best and those not shown to be worse marked."""
    rows = {s.contender: s for s in results.scores if (s.metric, s.fingerprint) == (metric, fingerprint)}
    up = next(iter(rows.values())).higher_is_better
    estimates = {name: _estimate(score) for name, score in rows.items()}
    return MetricColumn(
        metric=metric,
        fingerprint=fingerprint,
        direction=UP if up else DOWN,
        digits=decimals(estimates.values()),
        by_contender=marked(estimates, metric_differences(results, metric, fingerprint), up=up),
    )


def metric_table(results: Results) -> Table | None:
    """Contenders × metrics, the best of each marked from paired differences."""
    keys = metric_columns(results.scores)
    if not keys:
        return None
    columns: list[Column] = [Column(head="Contender")]
    cells: list[list[Cell]] = []
    noted: dict[str, list[Score]] = {}
    for metric, fingerprint in keys:
        values = metric_estimates(results, metric, fingerprint)
        columns.append(
            Column(
                head=label(metric),
                direction=values.direction,
                fingerprint=fingerprint,
                digits=values.digits,
                foot=agreement_in_words(results, metric, fingerprint),
            )
        )
        cells.append([values.by_contender.get(name) for name in results.contenders])
        rows_of = [s for s in results.scores if (s.metric, s.fingerprint) == (metric, fingerprint)]
        noted.setdefault(label(metric), []).extend(rows_of)
    rows = tuple((name, *(column[i] for column in cells)) for i, name in enumerate(results.contenders))
    return Table(
        name="metrics",
        title="Metrics",
        columns=tuple(columns),
        rows=rows,
        notes=(
            "95% interval in brackets, N images.",
            *([_people(results)] if results.people else []),
            *_metric_notes(noted),
        ),
        foot=f"Agrees with {results.voters}" if results.people else "",
    )


def _estimate(score: Score) -> Estimate:
    return Estimate(value=score.value, low=score.low, high=score.high, n=score.n, note=score.note)


def _metric_notes(by_metric: Mapping[str, Sequence[Score]]) -> list[str]:
    """Each remark once, with the metrics and contenders it applies to."""
    intervals: dict[str, dict[str, None]] = {}
    remarks: dict[str, dict[str, list[str]]] = {}
    for name, rows in by_metric.items():
        for row in rows:
            if row.interval:
                intervals.setdefault(row.interval, {})[name] = None
            for text in _remarks(row):
                remarks.setdefault(text, {}).setdefault(name, []).append(row.contender)
    notes = [f"{listed(list(names))}: interval by {kind}." for kind, names in intervals.items()]
    for text, where in remarks.items():
        whose: dict[tuple[str, ...], list[str]] = {}
        for name, contenders in where.items():
            everyone = len(contenders) == len(by_metric[name]) > 1
            whose.setdefault(("every contender",) if everyone else tuple(contenders), []).append(name)
        for contenders, names in whose.items():
            which = "every metric" if len(names) == len(by_metric) > 1 else listed(names)
            notes.append(f"{which}, {listed(list(contenders))}: {text}")
    return notes


def _remarks(row: Score) -> list[str]:
    remarks = [row.note] if row.note else []
    if row.missing:
        remarks.append(f"{row.missing} images missing or unreadable.")
    if row.truncated:
        remarks.append(f"{row.truncated} captions cut to the text tower's length.")
    return remarks


def _people(results: Results) -> str:
    ceilings = [row.ceiling for row in results.people if row.ceiling is not None]
    limit = (
        f" One rater predicts another in {number(100 * max(ceilings), 0)}% of decided votes."
        if ceilings
        else ""
    )
    return (
        f"Agrees with {results.voters}: share of decided votes whose winner the metric scores higher; 50% is a coin."
        f"{limit} τ: Kendall's rank correlation of the contenders' scores and ratings, both noisy, which lowers it."
    )


def people_on(results: Results, metric: str, fingerprint: str) -> PeopleAgreement | None:
    """The row of all questions together, or of the only one."""
    rows = [row for row in results.people if (row.metric, row.fingerprint) == (metric, fingerprint)]
    return next((row for row in rows if row.question == OVERALL), rows[0] if rows else None)


def agreement_in_words(results: Results, metric: str, fingerprint: str) -> str:
    """`61% [55, 67], τ 0.33 [−0.20, 0.73]`; empty: not known."""
    row = people_on(results, metric, fingerprint)
    if row is None:
        return ""
    parts = []
    if row.accuracy is not None:
        share = _hundredfold(row.accuracy, row.accuracy_low, row.accuracy_high)
        parts.append(f"{number(share.value, 0)}% {interval(share, 0)}".strip())
    if row.kendall is not None:
        tau = Estimate(value=row.kendall, low=row.kendall_low, high=row.kendall_high)
        parts.append(f"τ {number(tau.value, 2)} {interval(tau, 2)}".strip())
    return ", ".join(parts) or row.note or NONE


def _hundredfold(value: float, low: float | None, high: float | None, n: int | None = None) -> Estimate:
    return Estimate(
        value=100 * value,
        low=None if low is None else 100 * low,
        high=None if high is None else 100 * high,
        n=n,
    )


def agreement_table(results: Results) -> Table | None:
    """Every metric against the votes, by question."""
    if not results.people:
        return None
    rows: list[tuple[Cell, ...]] = []
    for row in results.people:
        accuracy = None
        if row.accuracy is not None:
            accuracy = _hundredfold(row.accuracy, row.accuracy_low, row.accuracy_high, row.n)
        kendall = Estimate(value=row.kendall, low=row.kendall_low, high=row.kendall_high)
        spearman = Estimate(value=row.spearman, low=row.spearman_low, high=row.spearman_high)
        rows.append((label(row.metric), row.fingerprint, row.question, accuracy, kendall, spearman))
    noted: dict[str, list[str]] = {}
    for row in results.people:
        if row.note:
            noted.setdefault(row.note, []).append(f"{label(row.metric)} ({row.question})")
    notes = [
        f"{'Every row' if len(where) == len(rows) else listed(where)}: {note}"
        for note, where in noted.items()
    ]
    return Table(
        name="agreement",
        title=f"Which metric agrees with {results.voters}",
        columns=(
            Column(head="Metric"),
            Column(head="Protocol"),
            Column(head="Question"),
            Column(head="Votes predicted", unit="%", direction=UP, digits=1),
            Column(head="Kendall τ", direction=UP, digits=2),
            Column(head="Spearman ρ", direction=UP, digits=2),
        ),
        rows=tuple(rows),
        notes=(_people(results), "Intervals are clustered by prompt and rater.", *notes),
    )


def powered_table(results: Results) -> Table | None:
    """Win rates and ratings with the help of each metric that was computed on more prompts than were voted on."""
    if not results.powered:
        return None
    rows: list[tuple[Cell, ...]] = []
    saved: dict[str, str] = {}
    for row in results.powered:
        rows.append(
            (
                label(row.metric),
                row.question,
                row.contender,
                _hundredfold(row.votes_rate, row.votes_low, row.votes_high, row.n),
                _hundredfold(row.rate, row.low, row.high, row.n),
                Estimate(value=row.rating, low=row.rating_low, high=row.rating_high),
            )
        )
        what = f"{label(row.metric)} ({row.question}, votes on {row.prompts} of {row.scored} prompts)"
        saved[what] = (
            f"{row.saved:,.0f} votes saved [{row.saved_low:,.0f}, {row.saved_high:,.0f}]"
            if row.slope
            else "not used, the win rates would not be more precise"
        )
    return Table(
        name="powered",
        title=f"Win rates from {results.voters} and a metric together",
        columns=(
            Column(head="Metric", folds=True),
            Column(head="Question", folds=True),
            Column(head="Contender"),
            Column(head="Win rate, votes alone", unit="%", digits=1),
            Column(head="Win rate, with the metric", unit="%", direction=UP, digits=1),
            Column(head="Rating, with the metric", direction=UP, digits=0),
        ),
        rows=tuple(rows),
        notes=(
            "Prediction-powered inference (PPI++, arXiv 2311.01453): votes on part of the prompts, the metric on all; "
            "a metric that is useless or wrong costs no validity. Holds for prompts like all those scored, if those "
            "voted on are a random part of them. Intervals: 95%, clustered by rater and prompt, each on its own. Mean "
            "win rate over the rivals met, ties half; 1000 is the mean rating.",
            "Votes saved: how many more, on further prompts and by further raters, would have been as precise. "
            + "; ".join(f"{what}: {claim}" for what, claim in saved.items())
            + ".",
        ),
    )


def published_metrics(results: Results) -> Table | None:
    """Contenders × published protocols: a column a protocol and figure, sources below."""
    models = {model_of(name)[0] for name in results.contenders}
    lines = [p for p in PUBLISHED if p.fid is not None and p.model in models]
    if not lines or not results.scores:
        return None
    protocols = list(dict.fromkeys(line.protocol for line in lines))
    columns: list[Column] = [Column(head="Contender")]
    for protocol in protocols:
        columns.append(Column(head=f"FID, {protocol.label}", direction=DOWN, digits=2))
        hundredfold = any((p.clip or 0.0) > 1 for p in lines if p.protocol is protocol)
        digits = 2 if hundredfold else 3
        columns.append(Column(head=f"CLIP score, {protocol.label}", direction=UP, digits=digits))
    rows: list[tuple[Cell, ...]] = []
    for name in dict.fromkeys(line.contender for line in lines):
        by_protocol = {line.protocol: line for line in lines if line.contender == name}
        cells: list[Cell] = [name]
        for protocol in protocols:
            line = by_protocol.get(protocol)
            cells += [line.fid, line.clip] if line else [None, None]
        rows.append(tuple(cells))
    return Table(
        name="published-metrics",
        title="Published by others: each column its own protocol, none of them ours",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(f"{p.label}: {p.description}; N {p.n}. Source: {p.source}." for p in protocols),
    )
