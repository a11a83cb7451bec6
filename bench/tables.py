"""Rows → the tables of the report: each function takes results and returns a table, or None without data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.published import PUBLISHED, TURBO_A100, Published
from bench.records import STAGES, Score, Timing
from bench.results import OVERALL, Preference, Results, model_of
from bench.table_forms import DOWN, UP, Cell, Column, Estimate, Table, decimals

LABELS = {
    "clip_score": "CLIP score", "fid": "FID", "fid_infinity": "FID∞", "kid": "KID", "fd_dinov2": "FD-DINOv2",
    "cmmd": "CMMD", "hpsv2": "HPSv2.1", "pickscore": "PickScore", "imagereward": "ImageReward",
    "aesthetic": "Aesthetic", "vqascore": "VQAScore", "patch_fid": "Patch FID",
}  # fmt: skip
"""How the field writes a metric; any other metric goes by its name."""


def label(metric: str) -> str:
    return LABELS.get(metric, metric.replace("_", " "))


def all_tables(results: Results) -> list[Table]:
    """Every table that has data, in the order of the report."""
    tables = [leaderboard(preference) for preference in results.preferences.values()]
    tables += [win_rates(preference) for preference in results.preferences.values()]
    tables += [metric_table(results), latency_table(results), published_latency(results)]
    tables += [
        published_quality(results),
        image_counts(results),
        failure_table(results),
        model_table(results),
    ]
    return [table for table in tables if table is not None]


def leaderboard(preference: Preference) -> Table | None:
    """Ratings with intervals and rank sets, best first."""
    if not preference.ratings:
        return None
    cells = [
        Estimate(value=r.rating, low=r.low, high=r.high, n=r.n, best=r.rank_low == r.rank_high == 1)
        for r in preference.ratings
    ]
    rows = tuple(
        (_rank(r.rank_low, r.rank_high), r.contender, cell)
        for r, cell in zip(preference.ratings, cells, strict=True)
    )
    return Table(
        name=f"leaderboard-{preference.question}",
        title=f"Leaderboard: {_question(preference.question)}",
        columns=(
            Column(head="Rank"),
            Column(head="Contender"),
            Column(head="Rating", direction=UP, digits=decimals(cells, most=1)),
        ),
        rows=rows,
        notes=(
            "Rank is the set of places the votes allow. 400 points are odds of 10 to 1. "
            "N counts the votes a contender was part of; brackets hold the 95% interval.",
            *preference.notes,
        ),
    )


def _rank(low: int | None, high: int | None) -> str:
    if low is None or high is None:
        return "–"
    return str(low) if low == high else f"{low}–{high}"


def _question(question: str) -> str:
    return "all questions together" if question == OVERALL else question


def win_rates(preference: Preference) -> Table | None:
    """Every pair, in per cent for the first."""
    if not preference.win_rates:
        return None
    cells = [_percent(w.rate, w.low, w.high, w.n) for w in preference.win_rates]
    return Table(
        name=f"win-rates-{preference.question}",
        title=f"Win rates: {_question(preference.question)}",
        columns=(
            Column(head="Contender"),
            Column(head="Against"),
            Column(head="Win rate", unit="%", digits=decimals(cells, most=1)),
        ),
        rows=tuple((w.a, w.b, cell) for w, cell in zip(preference.win_rates, cells, strict=True)),
        notes=("Share of the votes for the first contender, ties half; 95% interval in brackets.",),
    )


def _percent(rate: float | None, low: float | None, high: float | None, n: int | None) -> Estimate:
    return Estimate(value=_hundredfold(rate), low=_hundredfold(low), high=_hundredfold(high), n=n)


def _hundredfold(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _rest(share: float | None) -> float | None:
    return None if share is None else 1 - share


def wins_of(preference: Preference, contender: str) -> dict[str, Estimate]:
    """Win rate of one contender in per cent, by rival, whichever way round the pair is stored."""
    found = {}
    for w in preference.win_rates:
        if w.a == contender:
            found[w.b] = _percent(w.rate, w.low, w.high, w.n)
        elif w.b == contender:
            found[w.a] = _percent(_rest(w.rate), _rest(w.high), _rest(w.low), w.n)
    return found


def win_matrix(preference: Preference, order: Sequence[str]) -> list[tuple[str, list[Estimate | None]]]:
    """Each contender with its win rate in per cent against each of `order`; None: the pair has no votes."""
    return [(name, [wins_of(preference, name).get(rival) for rival in order]) for name in order]


def metric_columns(scores: Sequence[Score]) -> list[tuple[str, str]]:
    """(metric, fingerprint), one column each: numbers of two protocols never stand in one column."""
    return list(dict.fromkeys((score.metric, score.fingerprint) for score in scores))


def metric_table(results: Results) -> Table | None:
    """Contenders × metrics. A best value is bold only where its interval clears the second best's."""
    keys = metric_columns(results.scores)
    if not keys:
        return None
    columns: list[Column] = [Column(head="Contender")]
    cells: list[list[Cell]] = []
    notes: list[str] = []
    for metric, fingerprint in keys:
        rows = {s.contender: s for s in results.scores if (s.metric, s.fingerprint) == (metric, fingerprint)}
        up = next(iter(rows.values())).higher_is_better
        estimates = {name: _estimate(score) for name, score in rows.items()}
        winner = clear_best(estimates, up=up)
        if winner:
            estimates[winner] = replace(estimates[winner], best=True)
        columns.append(
            Column(
                head=label(metric),
                direction=UP if up else DOWN,
                fingerprint=fingerprint,
                digits=decimals(estimates.values()),
            )
        )
        cells.append([estimates.get(name) for name in results.contenders])
        notes += _metric_notes(label(metric), list(rows.values()))
    rows = tuple((name, *(column[i] for column in cells)) for i, name in enumerate(results.contenders))
    return Table(
        name="metrics",
        title="Metrics",
        columns=tuple(columns),
        rows=rows,
        notes=(
            "95% interval in brackets, N images. Bold: best, and its interval is clear of the second best's.",
            *notes,
        ),
    )


def _estimate(score: Score) -> Estimate:
    return Estimate(value=score.value, low=score.low, high=score.high, n=score.n, note=score.note)


def _metric_notes(name: str, rows: Sequence[Score]) -> list[str]:
    notes = [
        f"{name}: interval by {kind}." for kind in dict.fromkeys(row.interval for row in rows if row.interval)
    ]
    for row in rows:
        if row.note:
            notes.append(f"{name}, {row.contender}: {row.note}")
        if row.missing:
            notes.append(f"{name}, {row.contender}: {row.missing} images missing or unreadable.")
        if row.truncated:
            notes.append(f"{name}, {row.contender}: {row.truncated} captions cut to the text tower's length.")
    return notes


def clear_best(estimates: dict[str, Estimate], *, up: bool) -> str | None:
    """The best contender if its interval clears every other's; None for a tie, a single one, no interval.

    Marginal intervals that do not overlap are a conservative test of a difference, paired or not.
    """
    known = {name: e for name, e in estimates.items() if e.value is not None}
    if len(known) < 2 or any(e.low is None or e.high is None for e in known.values()):
        return None
    sign = 1 if up else -1
    best = max(known, key=lambda name: sign * (known[name].value or 0.0))
    edge = known[best].low if up else known[best].high
    others = [e.high if up else e.low for name, e in known.items() if name != best]
    assert edge is not None
    return best if all(other is not None and sign * edge > sign * other for other in others) else None


def latency_table(results: Results) -> Table | None:
    """Median milliseconds a call by stage, the whole with its interval, p95, throughput."""
    found = {(t.contender, t.batch, t.stage): t for t in results.timings}
    batches = sorted({t.batch for t in results.timings})
    pairs = [(c, b) for c in results.contenders for b in batches if any((c, b, s) in found for s in STAGES)]
    if not pairs:
        return None
    protocol = results.timing_protocol
    device = str(protocol.get("gpu") or protocol.get("device") or "not recorded")
    rows: list[tuple[Cell, ...]] = []
    for contender, batch in pairs:
        stages = {stage: found.get((contender, batch, stage)) for stage in (*STAGES, "forward")}
        medians = [_milliseconds(stages[stage]) for stage in ("encode", "denoise", "decode", "forward")]
        total = _total(stages["total"])
        seconds = total.value / 1000 if total and total.value else None
        p95 = _quantile(stages["total"].seconds, 0.95) * 1000 if stages["total"] else None
        rate = batch / seconds if seconds else None
        peak = results.memory.get(f"{contender} batch {batch}")
        memory = None if peak is None else peak / 2**30
        dtype = dtype_of(results, contender) or "not recorded"
        rows.append((contender, batch, *medians[:3], total, p95, medians[3], rate, memory, dtype, device))
    digits = _time_digits([cell for row in rows for cell in row[2:5]])
    time_columns = [
        Column(head=head, unit="ms", digits=digits)
        for head in ("Encode", "Denoise", "Decode", "Total", "Total p95", "One forward")
    ]
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
            "Median milliseconds a call of the given batch; N calls after warm-up; brackets hold the 95% "
            "order-statistic interval of the median.",
            f"Window: {protocol.get('window') or 'not recorded'}.",
        ),
    )


def dtype_of(results: Results, contender: str) -> str:
    """What the contender was timed in: the protocol names one for all, or one a model. Empty: unknown."""
    dtype = results.timing_protocol.get("dtype")
    if isinstance(dtype, Mapping):
        dtype = dtype.get(model_of(contender)[0])
    return str(dtype or "")


def _total(timing: Timing | None) -> Estimate | None:
    if timing is None or not timing.seconds:
        return None
    low, high = median_interval(timing.seconds)
    return Estimate(
        value=1000 * median(timing.seconds),
        low=None if low is None else 1000 * low,
        high=None if high is None else 1000 * high,
        n=len(timing.seconds),
    )


def seconds_an_image(results: Results, contender: str) -> Estimate | None:
    """Median seconds an image at the smallest batch that was timed."""
    timed = [t for t in results.timings if t.contender == contender and t.stage == "total" and t.seconds]
    if not timed:
        return None
    timing = min(timed, key=lambda t: t.batch)
    total = _total(timing)
    assert total is not None
    assert total.value is not None
    scale = 1000 * timing.batch
    low, high = total.low, total.high
    return Estimate(
        value=total.value / scale,
        low=None if low is None else low / scale,
        high=None if high is None else high / scale,
        n=total.n,
    )


def median_interval(samples: Sequence[float], level: float = 0.95) -> tuple[float | None, float | None]:
    """Distribution-free interval of the median from order statistics; (None, None) below six samples.

    The largest k with 2 P(Binomial(n, 1/2) < k) <= 1 - level gives the k-th smallest and k-th largest.
    """
    ordered = sorted(samples)
    n = len(ordered)
    term = below = math.exp(-n * math.log(2)) if n < 1000 else 0.0
    k = 0
    if n >= 1000:
        k = math.floor(n / 2 - 1.959964 * math.sqrt(n) / 2)
    else:
        while 2 * below <= 1 - level:
            k += 1
            term *= (n - k + 1) / k
            below += term
    return (ordered[k - 1], ordered[n - k]) if k else (None, None)


def median(samples: Sequence[float]) -> float:
    return _quantile(samples, 0.5)


def vote_count(results: Results) -> int:
    """Votes counted, every question; `overall` holds the same votes again."""
    parts = [p for name, p in results.preferences.items() if name != OVERALL] or results.preferences.values()
    return sum(votes_of(part) for part in parts)


def votes_of(part: Preference) -> int:
    return part.n if part.n is not None else sum(win.n or 0 for win in part.win_rates)


def _milliseconds(timing: Timing | None) -> float | None:
    return 1000 * median(timing.seconds) if timing and timing.seconds else None


def _quantile(samples: Sequence[float], q: float) -> float:
    """Linear interpolation between order statistics, as numpy's default."""
    ordered = sorted(samples)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _time_digits(cells: Sequence[Cell]) -> int:
    smallest = min((cell for cell in cells if isinstance(cell, float) and cell > 0), default=1.0)
    return max(0, min(2, 1 - math.floor(math.log10(smallest))))


def published_latency(results: Results) -> Table | None:
    """What others published; the reference line stands in every study that was timed."""
    if not results.timings:
        return None
    models = {model_of(name)[0] for name in results.contenders}
    lines = [p for p in PUBLISHED if p.total_ms is not None and (p is TURBO_A100 or p.model in models)]
    return Table(
        name="published-latency",
        title="Latency, published by others (other hardware and other windows: not for ranking against ours)",
        columns=(
            Column(head="Model"),
            Column(head="Steps"),
            Column(head="Total", unit="ms", digits=1),
            Column(head="One forward", unit="ms", digits=1),
            Column(head="Hardware"),
            Column(head="Protocol"),
            Column(head="Source"),
        ),
        rows=tuple(
            (p.model, p.steps, p.total_ms, p.forward_ms, p.hardware, p.protocol, p.source) for p in lines
        ),
    )


def published_quality(results: Results) -> Table | None:
    models = {model_of(name)[0] for name in results.contenders}
    lines: list[Published] = [p for p in PUBLISHED if p.fid is not None and p.model in models]
    if not lines or not results.scores:
        return None
    return Table(
        name="published-metrics",
        title="Metrics, published by others (each protocol for itself: not for ranking against ours)",
        columns=(
            Column(head="Model"),
            Column(head="Steps"),
            Column(head="FID", direction=DOWN, digits=2),
            Column(head="CLIP score", direction=UP, digits=3),
            Column(head="N"),
            Column(head="Protocol"),
            Column(head="Source"),
        ),
        rows=tuple((p.model, p.steps, p.fid, p.clip, p.n, p.protocol, p.source) for p in lines),
    )


def image_counts(results: Results) -> Table:
    """Asked for, there, missing, black, cut prompts and sizes, by contender."""
    asked = len(results.prompts) * results.images_per_prompt
    rows: list[tuple[Cell, ...]] = []
    for name in results.contenders:
        made = results.present(name)
        sizes = Counter(f"{row.width}×{row.height}" for row in made)
        shown = ", ".join(size for size, _ in sizes.most_common(3)) + (" …" if len(sizes) > 3 else "")
        black = sum(row.black for row in made)
        rows.append(
            (
                name,
                asked,
                len(made),
                asked - len(made),
                black,
                sum(row.truncated for row in made),
                shown or "–",
            )
        )
    heads = ("Contender", "Asked for", "There", "Missing", "Black", "Prompts cut", "Size (px)")
    return Table(
        name="images",
        title="Images",
        columns=tuple(Column(head=head) for head in heads),
        rows=tuple(rows),
        notes=(
            f"Judged and scored at {results.display_size} px. Black: every pixel nearly zero, by a safety "
            "filter or an overflow. Prompts cut: longer than the model's text encoder.",
        ),
    )


def failure_table(results: Results) -> Table | None:
    """Failures that still stand, counted by stage, contender and kind."""
    groups = Counter((f.stage, f.contender, f.kind) for f in results.failures)
    if not groups:
        return None
    first = {(f.stage, f.contender, f.kind): f for f in reversed(results.failures)}
    rows = tuple(
        (
            stage,
            contender,
            kind,
            count,
            first[stage, contender, kind].prompt_id,
            _short(first[stage, contender, kind].message),
        )
        for (stage, contender, kind), count in sorted(groups.items())
    )
    heads = ("Stage", "Contender", "Kind", "Count", "First prompt", "First message")
    total = sum(groups.values())
    return Table(
        name="failures",
        title=f"Failures: {total}",
        columns=tuple(Column(head=head) for head in heads),
        rows=rows,
        notes=("Every failure is a row of failures.jsonl.",),
    )


def _short(text: str, most: int = 160) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def model_table(results: Results) -> Table | None:
    """Licences, weights and sources of the models, from run.json."""
    if not results.models:
        return None
    rows: list[tuple[Cell, ...]] = []
    for name, entry in sorted(results.models.items()):
        allowed = entry.get("commercial")
        commercial = "read the licence" if allowed is None else ("yes" if allowed else "no")
        where = f"{entry.get('repository') or '–'}"
        revision = str(entry.get("revision") or "")[:12] or "–"
        weights = str(entry.get("weights") or "not recorded")
        rows.append(
            (
                name,
                weights,
                str(entry.get("licence") or "unknown"),
                commercial,
                where,
                revision,
                str(entry.get("source") or "–"),
            )
        )
    heads = ("Model", "Weights", "Licence", "Commercial use", "Repository", "Revision", "Source")
    return Table(
        name="models", title="Models", columns=tuple(Column(head=head) for head in heads), rows=tuple(rows)
    )
