"""Time as tables: latency by stage, throughput, memory, distance from the floor, time to picture, published."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.records import FELT_STAGES, STAGES
from bench.report.published import PUBLISHED, TURBO_A100, Protocol
from bench.report.results import Results, model_of
from bench.report.tables.form import DOWN, UP, Cell, Column, Estimate, Table, decimals
from bench.report.timings import (
    dtype_of,
    felt_of,
    milliseconds,
    p95_of,
    seconds_an_image,
    total_of,
)


def all_of(results: Results) -> list[Table]:
    """Latency as measured, keystroke to picture, and what others published."""
    tables = (latency_table(results), work_table(results), felt_table(results), published_latency(results))
    return [table for table in tables if table is not None]


def latency_table(results: Results) -> Table | None:
    """Median milliseconds a call by stage, the whole with its interval, p95, throughput, memory."""
    timings = {(t.contender, t.batch, t.stage): t for t in results.timings}
    batches = sorted({t.batch for t in results.timings})
    pairs = [(c, b) for c in results.contenders for b in batches if any((c, b, s) in timings for s in STAGES)]
    if not pairs:
        return None
    rows: list[tuple[Cell, ...]] = []
    for contender, batch in pairs:
        stages = {stage: timings.get((contender, batch, stage)) for stage in (*STAGES, "forward")}
        medians = [milliseconds(stages[stage]) for stage in ("encode", "denoise", "decode", "forward")]
        total = total_of(stages["total"])
        seconds = total.value / 1000 if total and total.value else None
        p95 = p95_of(stages["total"].seconds) if stages["total"] else None
        rate = batch / seconds if seconds else None
        peak = results.memory.get(f"{contender} batch {batch}")
        memory = None if peak is None else peak / 2**30
        dtype = dtype_of(results, contender) or "not recorded"
        rows.append(
            (contender, batch, *medians[:3], total, p95, medians[3], rate, memory, dtype, results.device)
        )
    digits = _time_digits([cell for row in rows for cell in row[2:5]])
    time_columns = [
        Column(head=head, unit="ms", digits=digits)
        for head in ("Encode", "Denoise", "Decode", "Total", "Total p95", "One forward")
    ]
    window = str(results.timing_protocol.get("window") or "not recorded").rstrip(".")
    return Table(
        name="latency",
        title="Latency, measured here",
        columns=(
            Column(head="Contender"),
            Column(head="Batch"),
            *time_columns,
            Column(head="Images/s", direction=UP, digits=2),
            Column(head="Peak memory", unit="GiB", digits=1),
            Column(head="dtype", folds=True),
            Column(head="Device", folds=True),
        ),
        rows=tuple(rows),
        notes=(
            *_timed_in_words(results),
            f"Window: {window}.",
        ),
        counts_below=True,
    )


def _timed_in_words(results: Results) -> list[str]:
    """How the milliseconds were made of samples, and what the machine did meanwhile."""
    if not any(timing.passes for timing in results.timings):
        return [
            "Median milliseconds a call of the given batch; brackets hold the 95% order-statistic interval of the "
            "median over N calls after warm-up."
        ]
    disturbed = [part.disturbed for part in results.passes if part.disturbed]
    words = (
        "Milliseconds a call of the given batch: the geometric mean of the medians of N passes; brackets hold its 95% "
        "interval over passes."
    )
    if not disturbed:
        return [words]
    first = disturbed[0] if len(set(disturbed)) == 1 else f"first: {disturbed[0]}"
    return [words, f"Disturbed: {len(disturbed)} of {len(results.passes)} passes ({first})."]


def work_table(results: Results) -> Table | None:
    """Counted work, the time it would take at the device's fastest matrix product, and the multiple measured."""
    rows: list[tuple[Cell, ...]] = []
    for name in results.contenders:
        work, floor, total = results.work.get(name), floor_ms(results, name), seconds_an_image(results, name)
        times = 1000 * total.value / floor if total and total.value and floor else None
        if work is not None:
            rows.append((name, work, floor, times))
    if not rows:
        return None
    return Table(
        name="work",
        title="Work of an image, and the least time it could take",
        columns=(
            Column(head="Contender"),
            Column(head="Work", unit="TFLOP an image", digits=_four_digits(rows, 1, most=6)),
            Column(head="Floor", unit="ms an image", digits=_four_digits(rows, 2, most=3)),
            Column(head="Latency as a multiple of the floor", direction=DOWN, digits=1),
        ),
        rows=tuple(rows),
        notes=tuple(_floor_in_words(results)),
    )


def _time_digits(cells: Sequence[Cell]) -> int:
    smallest = min((cell for cell in cells if isinstance(cell, float) and cell > 0), default=1.0)
    return max(0, min(2, 1 - math.floor(math.log10(smallest))))


def _four_digits(rows: Sequence[Sequence[Cell]], index: int, *, most: int) -> int:
    """Decimals that give the largest number of a column four digits."""
    values = [Estimate(value=cell) for row in rows if isinstance(cell := row[index], int | float)]
    return decimals(values, most=most)


def floor_ms(results: Results, contender: str) -> float | None:
    """Milliseconds an image would take if the device did nothing but its fastest matrix product."""
    work = results.work.get(contender)
    return 1000 * work / results.matrix_rate if work and results.matrix_rate else None


def _floor_in_words(results: Results) -> list[str]:
    if not results.work:
        return []
    if not results.matrix_rate:
        return [
            "Work: counted on tensors without storage. No floor: the device's matrix rate was not measured."
        ]
    return [
        "Work: counted on tensors without storage. Floor: that work at the rate of a large matrix product "
        f"measured on this device, {results.matrix_rate:.4g} TFLOP/s."
    ]


def throughput(results: Results) -> dict[str, dict[int, float]]:
    """Images a second by contender and batch size."""
    rates: dict[str, dict[int, float]] = {}
    for name in results.contenders:
        for timing in results.timings:
            if timing.contender == name and timing.stage == "total" and timing.seconds:
                rates.setdefault(name, {})[timing.batch] = (
                    1000 * timing.batch / (milliseconds(timing) or math.inf)
                )
    return rates


def felt_table(results: Results) -> Table | None:
    """Both clocks: keystroke to the first frame that reflects it; picture from its own keystroke, by stage."""
    summaries = felt_of(results)
    if not summaries:
        return None
    keyed = any(felt.key for felt in summaries.values())
    rows = tuple(
        (
            name,
            *((felt.key, felt.key_p95, felt.replaced) if keyed else ()),
            felt.total,
            felt.p95,
            felt.late,
            *(felt.stages[stage] for stage in FELT_STAGES),
        )
        for name, felt in summaries.items()
    )
    digits = _time_digits([cell for row in rows for cell in row[-len(FELT_STAGES) :]])
    device = results.felt_protocol.get("device") or "a device that was not recorded"
    browser = results.felt_protocol.get("browser") or "a browser that was not recorded"
    return Table(
        name="interactive",
        title="Time to picture, from keystroke to painted pixels",
        columns=(
            Column(head="Contender"),
            *(_KEYS if keyed else ()),
            Column(head="Picture p50", unit="ms", digits=0),
            Column(head="Picture p95", unit="ms", direction=DOWN, digits=0),
            Column(head="Stale by more than one", unit="%", direction=DOWN, digits=0),
            *(Column(head=stage.capitalize(), unit="ms", digits=digits) for stage in FELT_STAGES),
        ),
        rows=rows,
        notes=(
            *(
                [_KEYS_NOTE]
                if keyed
                else ["Keystrokes whose picture was replaced were not timed: measure again."]
            ),
            "Picture: each picture that was painted, from its own keystroke, which leaves out the replaced ones; "
            f"stages are its medians. A script of prompts was typed; {device}, {browser}. Brackets hold the 95% "
            "order-statistic interval of the median, N pictures.",
            f"Reference line of the figure: {FELT_REFERENCE[0]:.0f} ms, {FELT_REFERENCE[1]}.",
        ),
    )


_KEYS = (
    Column(head="Key p50", unit="ms", direction=DOWN, digits=0),
    Column(head="Key p95", unit="ms", direction=DOWN, digits=0),
    Column(head="Replaced", unit="%", direction=DOWN, digits=0),
)
_KEYS_NOTE = (
    "Key: every keystroke to the first frame that reflects it, what a person waits; where newer text replaced its "
    "picture, that of the later keystroke. 95% bootstrap interval over frames, N keystrokes."
)

FELT_REFERENCE = (300.0, "the line to stay below on a consumer card")


def published_latency(results: Results) -> Table | None:
    """Contenders × published protocols; the reference study's line stands in every study that was timed."""
    if not results.timings:
        return None
    models = {model_of(name)[0] for name in results.contenders}
    lines = [
        p for p in PUBLISHED if (p.total_ms or p.images_per_second) and (p is TURBO_A100 or p.model in models)
    ]
    protocols = list(dict.fromkeys(line.protocol for line in lines))
    columns: list[Column] = [Column(head="Contender")]
    fields: list[tuple[Protocol, str]] = []
    for protocol in protocols:
        for field, head, unit in _PUBLISHED_FIELDS:
            if any(getattr(p, field) is not None for p in lines if p.protocol is protocol):
                fields.append((protocol, field))
                columns.append(Column(head=f"{head}, {protocol.label}", unit=unit, digits=1))
    rows: list[tuple[Cell, ...]] = []
    for name in dict.fromkeys(line.contender for line in lines):
        by_protocol = {line.protocol: line for line in lines if line.contender == name}
        rows.append(
            (name, *(getattr(by_protocol[p], field) if p in by_protocol else None for p, field in fields))
        )
    return Table(
        name="published-latency",
        title="Published by others: other hardware, other windows, not for ranking against ours",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(f"{p.label}: {p.description}. Source: {p.source}." for p in protocols),
    )


_PUBLISHED_FIELDS = (
    ("total_ms", "Total", "ms"),
    ("forward_ms", "One forward", "ms"),
    ("images_per_second", "Images/s", ""),
)
