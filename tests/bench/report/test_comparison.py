"""Studies against each other: what may be compared, what became worse, and that chance does not shut the gate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.errors import InputError
from bench.records import ImageScore
from bench.report.comparison import changes, side_by_side
from bench.report.results import Results, read_results
from tests.support.report_study import make_study


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(make_study(tmp_path_factory.mktemp("old") / "s", side=16, votes=True, rich=True))


def moved(results: Results, metric: str, by: float, fraction: float = 1.0) -> Results:
    """The metric of every contender shifted, its interval scaled to `fraction`."""

    def shift(s: Any) -> Any:
        half = fraction * (s.high - s.value)
        return replace(s, value=s.value + by, low=s.value + by - half, high=s.value + by + half)

    return replace(results, scores=tuple(shift(s) if s.metric == metric else s for s in results.scores))


def verdicts(before: Results, after: Results, what: str) -> set[str]:
    return {change.verdict for change in changes(before, after)[0] if change.what == what}


def test_a_study_is_no_worse_than_itself(old: Results) -> None:
    found, refused = changes(old, old)
    assert {change.verdict for change in found} == {"same"}
    assert all(change.difference.value == 0 for change in found)
    assert not [reason for reason in refused if "protocols differ" in reason]
    assert {c.what for c in found} > {"CLIP score", "FID", "Rating", "Images missing", "Time to picture (ms)"}


def test_worse_is_worse_in_the_metrics_own_direction(old: Results) -> None:
    assert verdicts(old, moved(old, "fid", +20), "FID") == {"worse"}
    assert verdicts(old, moved(old, "fid", -20), "FID") == {"better"}
    assert verdicts(
        replace(old, image_scores=()), moved(replace(old, image_scores=()), "clip_score", -0.2), "CLIP score"
    ) == {"worse"}
    assert verdicts(old, moved(old, "fid", +0.01), "FID") == {"same"}


def test_an_independent_difference_has_the_textbook_interval(old: Results) -> None:
    """Two normal means: half-widths add in quadrature; Bonferroni over the numbers compared."""
    found, _ = changes(old, moved(old, "fid", 1.0))
    judged = [c for c in found if c.how != "counted"]
    z = stats.norm.ppf(1 - 0.025 / len(judged)) / stats.norm.ppf(0.975)
    for change in found:
        if change.what == "FID":
            assert change.how == "independent"
            half = math.sqrt(2) * (change.old.high - change.old.value) * z
            assert change.difference.high - 1.0 == pytest.approx(half, rel=1e-5)
            assert 1.0 - change.difference.low == pytest.approx(half, rel=1e-5)


def test_same_prompts_are_compared_in_pairs(old: Results) -> None:
    """Prompts that differ by far more than the models do: only the paired interval sees the change."""
    rng = np.random.default_rng(0)
    names, prompts = old.contenders[:2], [replace(old.prompts[0], id=f"q{i}") for i in range(60)]
    base = rng.normal(0, 10, 60)

    def study(shift: float) -> Results:
        values = {name: base + shift + rng.normal(0, 0.1, 60) for name in names}
        rows = tuple(
            ImageScore(
                metric="m", fingerprint="f", contender=name, prompt_id=p.id, replicate=0, value=float(v)
            )
            for name, column in values.items()
            for p, v in zip(prompts, column, strict=True)
        )
        scores = tuple(
            replace(old.scores[0], metric="m", fingerprint="f", contender=name, value=float(column.mean()),
                    low=float(column.mean() - 2.6), high=float(column.mean() + 2.6), n=60)
            for name, column in values.items()
        )  # fmt: skip
        return replace(
            old, prompts=tuple(prompts), scores=scores, image_scores=rows, timings=(), felt=(), preferences={}
        )

    found = [c for c in changes(study(0.0), study(-0.5))[0] if c.what == "m"]
    assert [(c.how, c.verdict) for c in found] == [("paired by prompt", "worse")] * 2
    for change in found:
        gap = change.difference
        assert gap.low < -0.5 < gap.high
        assert gap.high - gap.low < 0.2


def test_slower_within_the_slack_is_no_regression(old: Results) -> None:
    def slower(factor: float) -> Results:
        timings = tuple(replace(t, seconds=tuple(s * factor for s in t.seconds)) for t in old.timings)
        return replace(old, timings=timings)

    what = "Latency at batch 1 (ms a call)"
    assert verdicts(old, slower(1.04), what) == {"same"}
    assert verdicts(old, slower(1.25), what) == {"worse"}
    assert verdicts(old, slower(0.75), what) == {"better"}


def test_a_missing_image_more_is_a_regression(old: Results) -> None:
    gone = dict(list(old.generations.items())[1:])
    found, _ = changes(old, replace(old, generations=gone))
    assert [(c.what, c.contender) for c in found if c.verdict == "worse"] == [
        ("Images missing", old.contenders[0])
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: replace(r, scores=tuple(replace(s, protocol={**s.protocol, "resize": "area"}) for s in r.scores)),
         "resize (bicubic against area)"),
        (lambda r: replace(r, prompts=r.prompts[:2]), "prompts ("),
        (lambda r: replace(r, timing_protocol={**r.timing_protocol, "gpu": "A100"}),
         "device (NVIDIA H200 against A100)"),
        (lambda r: replace(r, simulated_votes=False), "simulated (True against False)"),
        (lambda r: replace(r, timings=()), "only in the old study"),
    ],
)  # fmt: skip
def test_what_is_not_comparable_is_refused_with_the_reason(
    old: Results, change: Callable[[Results], Results], reason: str
) -> None:
    found, refused = changes(old, change(old))
    assert any(reason in words for words in refused), refused
    touched = {words.split(",")[0] for words in refused if reason in words}
    assert not {c.what for c in found} & touched
    tables, beside, _ = side_by_side({"a": old, "b": change(old)})
    if "only in" not in reason:
        assert any(reason in words for words in beside)
    assert not {table.title for table in tables} & touched


def test_nothing_in_common_is_an_error(old: Results, tmp_path: Path) -> None:
    other = read_results(make_study(tmp_path / "t", contenders=("other@1", "b@1", "c@1"), side=16))
    with pytest.raises(InputError, match="nothing to compare"):
        changes(old, other)


def test_chance_shuts_the_gate_as_seldom_as_it_says(old: Results) -> None:
    """Pairs of equal studies, ten independent means each: a false alarm in 2.5% of them, here at most + 3 s.e."""
    rng = np.random.default_rng(1)
    bare = replace(old, timings=(), felt=(), preferences={}, image_scores=(), failures=())

    def study() -> Results:
        drawn = rng.normal(0, 1, 10)
        half = stats.norm.ppf(0.975)
        scores = tuple(
            replace(old.scores[0], contender=f"m{i}", value=v, low=v - half, high=v + half)
            for i, v in enumerate(drawn)
        )
        return replace(bare, scores=scores)

    repeats = 400
    alarms = sum(any(c.verdict == "worse" for c in changes(study(), study())[0]) for _ in range(repeats))
    assert 0 < alarms / repeats < 0.025 + 3 * math.sqrt(0.025 * 0.975 / repeats)


def test_studies_stand_side_by_side(old: Results) -> None:
    tables, refused, nought = side_by_side({"monday": old, "friday": moved(old, "fid", 1.0)})
    assert refused == []
    assert nought == ["Images missing", "Images black", "Failures"]
    fid = next(table for table in tables if table.title == "FID")
    assert [column.head for column in fid.columns] == ["Contender", "monday", "friday"]
    for _, before, after in fid.rows:
        assert after.value == pytest.approx(before.value + 1.0)


def test_studies_of_different_weights_are_not_compared(old: Results) -> None:
    """The same contender's name over another commit of the same repository is another model."""
    model = old.contenders[0].partition("@")[0]

    def fetched(commit: str) -> Results:
        return replace(old, run={**old.run, "weights": {model: {"owner/name": commit}}})

    _, refused = changes(fetched("a" * 40), fetched("b" * 40))
    about = [reason for reason in refused if "the weights differ: owner/name" in reason]
    assert any(reason.startswith(f"CLIP score, {old.contenders[0]}") for reason in about)
    assert not [reason for reason in about if "Latency" in reason]
    assert not [r for r in changes(fetched("a" * 40), fetched("a" * 40))[1] if "weights" in r]
    assert not [r for r in changes(old, fetched("a" * 40))[1] if "weights" in r]
