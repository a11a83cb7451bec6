"""Studies against each other: which of their numbers may be compared, side by side, and what became worse.

Two numbers are comparable where their protocol is the same to the letter; where it is not, the difference is
named and the pair is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist, fmean
from typing import Any

import numpy as np

from bench.errors import InputError
from bench.latency.estimate import calibrated, ratio
from bench.metrics.intervals import standard_error, t_quantile
from bench.records import CALIBRATION, settings_hash
from bench.report.results import Results
from bench.report.tables.form import DOWN, UP, Cell, Column, Estimate, Table, decimals
from bench.report.tables.metrics import label
from bench.report.timings import dtype_of, felt_of, total_of

Z = 1.959964
SLACK = 0.05
"""Share of a time that runs differ by for reasons their samples do not show: other load, other clocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of one study, with all that another must share to be compared with it."""

    what: str
    contender: str
    estimate: Estimate
    up: bool
    """Higher is better."""
    protocol: Mapping[str, Any]
    exact: bool = False
    """A count: it has no interval and needs none."""
    slack: float = 0.0
    """Share of the old value that a change must exceed."""
    passes: tuple[float, ...] = ()
    """Of a time: logarithm of each pass's median over the calibration kernel's; empty without passes."""
    effects: Mapping[str, float] = field(default_factory=dict)
    """Prompt → what it adds to the number; empty where that is not known."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Hub repository → commit of the weights that the contender's images came from; those that are known."""

    @property
    def key(self) -> tuple[str, str]:
        return self.what, self.contender


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One number, old against new."""

    what: str
    contender: str
    old: Estimate
    new: Estimate
    difference: Estimate
    """New minus old, with an interval that holds for all the compared numbers together."""
    verdict: str
    """`worse`, `better` or `same`: no difference beyond the interval."""
    how: str
    """`paired by prompt`, `independent` or `counted`."""


def measures(results: Results) -> list[Measure]:
    """Metrics, latency at each batch, time to picture, ratings, missing images and failures of a study."""
    of_images = [*_metrics(results), *_ratings(results), *_counts(results)]
    bound = [replace(measure, weights=_weights(results, measure.contender)) for measure in of_images]
    return [*bound, *_latency(results), *_felt(results)]


def _weights(results: Results, contender: str) -> Mapping[str, str]:
    """Commits of a contender's weights, as its run recorded them; none where it did not."""
    return (results.run.get("weights") or {}).get(contender.partition("@")[0]) or {}


def _metrics(results: Results) -> list[Measure]:
    values: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in results.image_scores:
        by_prompt = values.setdefault((row.metric, row.fingerprint, row.contender), {})
        by_prompt.setdefault(row.prompt_id, []).append(row.value)
    effects: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in results.prompt_effects:
        effects.setdefault((row.metric, row.fingerprint, row.contender), {})[row.prompt_id] = row.effect
    measured = []
    for s in results.scores:
        own = effects.get((s.metric, s.fingerprint, s.contender)) or _effects_of(
            values.get((s.metric, s.fingerprint, s.contender), {}), s.value
        )
        measured.append(
            Measure(
                what=label(s.metric),
                contender=s.contender,
                estimate=Estimate(value=s.value, low=s.low, high=s.high, n=s.n),
                up=s.higher_is_better,
                protocol={**s.protocol, "prompts": _prompts(results)},
                effects=own,
            )
        )
    return measured


def _effects_of(values: Mapping[str, Sequence[float]], value: float | None) -> dict[str, float]:
    """What each prompt adds to a mean over images, for folders of versions that kept no effects; empty where
    the number is no such mean.
    """
    means = {prompt: fmean(numbers) for prompt, numbers in values.items()}
    if len(means) < 2 or not math.isclose(fmean(means.values()), value or 0.0, rel_tol=1e-4, abs_tol=1e-9):
        return {}
    return {prompt: mean - (value or 0.0) for prompt, mean in means.items()}


def _latency(results: Results) -> list[Measure]:
    about = results.timing_protocol
    kernels = {(t.contender, t.batch): t for t in results.timings if t.stage == CALIBRATION}
    measured = []
    for timing in results.timings:
        total = total_of(timing) if timing.stage == "total" else None
        if total is None:
            continue
        measured.append(
            Measure(
                what=f"Latency at batch {timing.batch} (ms a call)",
                contender=timing.contender,
                estimate=total,
                up=False,
                protocol={
                    "device": results.device,
                    "dtype": dtype_of(results, timing.contender),
                    **{key: about.get(key) for key in ("optimize", "threads", "window")},
                },
                slack=SLACK,
                passes=tuple(calibrated(timing, kernel).tolist())
                if timing.passes and (kernel := kernels.get((timing.contender, timing.batch)))
                else (),
            )
        )
    return measured


def _felt(results: Results) -> list[Measure]:
    return [
        Measure(
            what="Time to picture (ms)",
            contender=name,
            estimate=felt.total,
            up=False,
            protocol=results.felt_protocol,
            slack=SLACK,
        )
        for name, felt in felt_of(results).items()
    ]


def _ratings(results: Results) -> list[Measure]:
    """Comparable only on the same prompts, among the same contenders, from the same kind of votes."""
    headline = results.headline
    if headline is None:
        return []
    protocol = {
        "prompts": _prompts(results),
        "contenders": sorted(row.contender for row in headline.ratings),
        "questions": list(results.questions),
        "display_size": results.display_size,
        "simulated": results.simulated_votes,
        "anchor": results.anchor,
    }
    return [
        Measure(
            what="Rating",
            contender=row.contender,
            up=True,
            protocol=protocol,
            estimate=Estimate(value=row.rating, low=row.low, high=row.high, n=row.n),
        )
        for row in headline.ratings
    ]


def _counts(results: Results) -> list[Measure]:
    protocol = {"prompts": _prompts(results), "images_per_prompt": results.images_per_prompt}
    asked = len(results.prompts) * results.images_per_prompt
    measured = []
    for name in results.contenders:
        made = results.present(name)
        for what, count in (
            ("Images missing", asked - len(made)),
            ("Images black", sum(row.black for row in made)),
            ("Failures", sum(failure.contender == name for failure in results.failures)),
        ):
            measured.append(
                Measure(
                    what=what,
                    contender=name,
                    estimate=Estimate(value=count, n=asked),
                    up=False,
                    protocol=protocol,
                    exact=True,
                )
            )
    return measured


def _prompts(results: Results) -> str:
    return settings_hash([(prompt.id, prompt.text) for prompt in results.prompts])


def changes(old: Results, new: Results) -> tuple[list[Change], list[str]]:
    """What of `new` may be compared with `old`, judged; and what may not, with the reason.

    The intervals are widened (Bonferroni) so that they hold for all numbers together: a gate that looks at
    forty numbers must not fall shut by chance. Raises InputError where nothing can be compared.
    """
    before = {measure.key: measure for measure in measures(old)}
    after = {measure.key: measure for measure in measures(new)}
    pairs: list[tuple[Measure, Measure]] = []
    refused = [_only(key, "new") for key in after if key not in before]
    for key, first in before.items():
        second = after.get(key)
        if second is None:
            refused.append(_only(key, "old"))
        elif reason := _reason(first, second):
            refused.append(f"{key[0]}, {key[1]}: {reason}")
        else:
            pairs.append((first, second))
    if not pairs:
        raise InputError(
            f"nothing to compare in {old.folder.path} and {new.folder.path}: {'; '.join(refused[:6])}"
        )
    judged = sum(not first.exact for first, _ in pairs)
    level = 1 - 0.05 / max(judged, 1)
    return [_change(first, second, level) for first, second in pairs], refused


def _only(key: tuple[str, str], where: str) -> str:
    return f"{key[0]}, {key[1]}: only in the {where} study"


def _reason(first: Measure, second: Measure) -> str:
    """Why two numbers of one name may not be compared; empty: they may."""
    for repository in sorted({*first.weights} & {*second.weights}):
        if first.weights[repository] != second.weights[repository]:
            commits = f"{first.weights[repository][:12]} against {second.weights[repository][:12]}"
            return f"the weights differ: {repository} at {commits}"
    keys = sorted({*first.protocol, *second.protocol})
    apart = [key for key in keys if first.protocol.get(key) != second.protocol.get(key)]
    if apart:
        differing = [
            f"{key} ({_short(first.protocol.get(key))} against {_short(second.protocol.get(key))})"
            for key in apart
        ]
        return f"protocols differ in {', '.join(differing)}"
    for measure in (first, second):
        if measure.estimate.value is None:
            return "it could not be computed in one of them"
        if not measure.exact and (measure.estimate.low is None or measure.estimate.high is None):
            return "it has no interval in one of them (a median needs six samples, a mean two prompts)"
    return ""


def _short(value: Any, most: int = 40) -> str:
    text = str(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def _change(old: Measure, new: Measure, level: float) -> Change:
    if old.exact:
        gap = Estimate(value=(new.estimate.value or 0.0) - (old.estimate.value or 0.0))
        low = high = gap.value or 0.0
        how = "counted"
    else:
        gap, how = _difference(old, new, level)
        assert gap.low is not None
        assert gap.high is not None
        low, high = gap.low, gap.high
    slack = old.slack * abs(old.estimate.value or 0.0)
    below, above = high < -slack, low > slack
    worse, better = (below, above) if old.up else (above, below)
    return Change(
        what=old.what,
        contender=old.contender,
        old=old.estimate,
        new=new.estimate,
        difference=gap,
        verdict="worse" if worse else "better" if better else "same",
        how=how,
    )


def _difference(old: Measure, new: Measure, level: float) -> tuple[Estimate, str]:
    """New minus old with an interval at that level, and how it was computed.

    Times of two runs are compared over the calibration kernel, pass by pass; scores on the same prompts by the
    differences of the prompts' effects, as contenders of one study are; all else by the two intervals.
    """
    if old.passes and new.passes:
        change = ratio(old.passes, new.passes, level)
        if change.low is not None and change.high is not None and old.estimate.value is not None:
            gaps = [old.estimate.value * (part - 1) for part in (change.value, change.low, change.high)]
            how = "ratio of passes over the calibration kernel"
            return Estimate(value=gaps[0], low=gaps[1], high=gaps[2], n=change.passes), how
    if old.effects and set(old.effects) == set(new.effects):
        gaps = np.array([new.effects[prompt] - effect for prompt, effect in old.effects.items()])
        assert old.estimate.value is not None
        assert new.estimate.value is not None
        middle = new.estimate.value - old.estimate.value
        half = t_quantile(len(gaps) - 1, level) * standard_error(gaps)
        return Estimate(value=middle, low=middle - half, high=middle + half, n=len(gaps)), "paired by prompt"
    widen = NormalDist().inv_cdf((1 + level) / 2) / Z
    return _independent(old.estimate, new.estimate, widen), "independent"


def _independent(old: Estimate, new: Estimate, widen: float) -> Estimate:
    """Interval of a difference from two intervals, which need not be symmetric (Zou and Donner 2008, eq. 3)."""
    assert old.value is not None
    assert old.low is not None
    assert old.high is not None
    assert new.value is not None
    assert new.low is not None
    assert new.high is not None
    gap = new.value - old.value
    down = widen * math.hypot(new.value - new.low, old.high - old.value)
    up = widen * math.hypot(new.high - new.value, old.value - old.low)
    return Estimate(value=gap, low=gap - down, high=gap + up)


def side_by_side(studies: Mapping[str, Results]) -> tuple[list[Table], list[str], list[str]]:
    """A table a measure, a column a study; what cannot stand in its column, with the reason; counts that are
    nought everywhere, which have no table.

    studies: by the name to show. The first study that has a number sets the protocol of its row.
    """
    by_study = {name: {m.key: m for m in measures(results)} for name, results in studies.items()}
    keys = list(dict.fromkeys(key for by_key in by_study.values() for key in by_key))
    cells: dict[tuple[str, str], dict[str, Estimate]] = {}
    refused: list[str] = []
    leaders: dict[str, Measure] = {}
    for key in keys:
        holders = [(name, by_key[key]) for name, by_key in by_study.items() if key in by_key]
        first_name, first = holders[0]
        leaders[key[0]] = first
        cells[key] = {first_name: first.estimate}
        for name, measure in holders[1:]:
            reason = _reason(replace(first, exact=True), replace(measure, exact=True))
            if reason:
                refused.append(f"{key[0]}, {key[1]}, {name} beside {first_name}: {reason}")
            else:
                cells[key][name] = measure.estimate
    tables, nought = [], []
    for what, leader in leaders.items():
        rows = {contender: there for (w, contender), there in cells.items() if w == what}
        if leader.exact and not any(e.value for there in rows.values() for e in there.values()):
            nought.append(what)
        elif any(len(there) > 1 for there in rows.values()):
            tables.append(_beside(leader, rows, list(studies)))
    return tables, refused, nought


def _beside(leader: Measure, rows: Mapping[str, Mapping[str, Estimate]], names: Sequence[str]) -> Table:
    estimates = [estimate for there in rows.values() for estimate in there.values()]
    digits, arrow = 0 if leader.exact else decimals(estimates), UP if leader.up else DOWN
    columns = [Column(head=name, direction=arrow, digits=digits) for name in names]
    table: list[tuple[Cell, ...]] = [(c, *(there.get(name) for name in names)) for c, there in rows.items()]
    return Table(
        name=settings_hash(leader.what),
        title=leader.what,
        columns=(Column(head="Contender"), *columns),
        rows=tuple(table),
    )
