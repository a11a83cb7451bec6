"""Which metric agrees with people: made-up votes with known answers, scipy's rank correlations, coverage."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import bench.scoring.metric_agreement as agreement
from bench.records import Battle
from bench.scoring.metric_agreement import Judged, agreements

NAMES = ("a", "b", "c", "d")
KEYS = tuple((f"p{i:03d}", 0) for i in range(12))


def battle(left: str, right: str, outcome: str, prompt: int = 0, rater: str = "r0", **more: object) -> Battle:
    changes = {"question": "quality", "rater": rater, "prompt_id": f"p{prompt:03d}", **more}
    return Battle(left=left, right=right, outcome=outcome, **changes)  # type: ignore[arg-type]


def judged(images: dict[str, np.ndarray] | None = None, **more: object) -> Judged:
    images = images if images is not None else {n: np.full(12, float(i)) for i, n in enumerate(NAMES)}
    values = {name: float(rows.mean()) for name, rows in images.items()}
    fields = {"metric": "m", "fingerprint": "f", "sign": 1, "values": values, "images": images, "keys": KEYS}
    return Judged(**(fields | more))  # type: ignore[arg-type]


def test_accuracy_counts_decided_votes_by_the_images_shown() -> None:
    images = {"a": np.zeros(12), "b": np.ones(12)}
    images["a"][3] = 5.0
    images["b"][4] = 0.0
    votes = [
        battle("a", "b", "right", 0, "r0"),  # b scores higher and won: hit
        battle("b", "a", "left", 1, "r1"),  # hit
        battle("a", "b", "left", 3, "r2"),  # a's image of this prompt scores higher: hit
        battle("a", "b", "left", 2, "r0"),  # miss
        battle("a", "b", "left", 4, "r1"),  # alike: half
        battle("a", "b", "tie", 5, "r2"),
        battle("a", "b", "both_bad", 5, "r2"),
        battle("a", "b", "left", 0, "r0", kind="check"),
        battle("a", "b", "left", 0, "r0", excluded="too fast"),
        battle("a", "b", "right", 99, "r0"),  # an image that was not scored
    ]
    (row,) = agreements(judged(images), votes, {})
    assert (row.question, row.n) == ("quality", 5)
    assert row.accuracy == pytest.approx(3.5 / 5)
    assert row.accuracy_low is not None
    assert row.accuracy_high is not None
    assert 0 <= row.accuracy_low < row.accuracy < row.accuracy_high <= 1
    (turned,) = agreements(judged(images, sign=-1), votes, {})
    assert turned.accuracy == pytest.approx(1.5 / 5)


def test_a_metric_of_whole_sets_predicts_by_contender_and_says_so() -> None:
    votes = [battle("a", "b", "right", i, f"r{i % 3}") for i in range(6)] + [
        battle("a", "b", "left", 7, "r1")
    ]
    (row,) = agreements(judged(images={}, values={"a": 30.0, "b": 20.0}, sign=-1), votes, {})
    assert row.accuracy == pytest.approx(6 / 7)
    assert "whole set" in row.note
    assert row.kendall is None
    assert "fewer than three" in row.note


def test_rank_correlations_equal_scipys() -> None:
    random = np.random.default_rng(0)
    x, y = random.integers(0, 4, (20, 5)).astype(float), random.standard_normal((20, 5))
    tau, rho = agreement.rank_correlations(x, y)
    for i in range(20):
        assert tau[i] == pytest.approx(scipy.stats.kendalltau(x[i], y[i]).statistic, nan_ok=True)
        if np.ptp(x[i]):
            assert rho[i] == pytest.approx(scipy.stats.spearmanr(x[i], y[i]).statistic)


def test_ranks_follow_the_ratings_given_and_intervals_hold_them() -> None:
    random = np.random.default_rng(1)
    votes = []
    for n in range(300):
        i, j = random.choice(4, 2, replace=False)
        better = random.random() < 1 / (1 + np.exp(-(i - j)))
        votes.append(battle(NAMES[i], NAMES[j], "left" if better else "right", n % 12, f"r{n % 9}"))
    ratings = {"quality": {"a": 900.0, "b": 950.0, "c": 1000.0, "d": 1150.0}}
    (row,) = agreements(judged(), votes, ratings)
    assert (row.kendall, row.spearman) == (1.0, pytest.approx(1.0))
    assert row.kendall_low is not None
    assert row.kendall_high is not None
    assert row.kendall_low <= 1.0 <= row.kendall_high
    assert agreements(judged(), votes, ratings) == [row]  # seeded
    (turned,) = agreements(judged(sign=-1), votes, ratings)
    assert turned.kendall == -1.0


def test_questions_stand_apart_and_together() -> None:
    votes = [battle("a", "b", "right", i, f"r{i % 2}", question=q) for i in range(4) for q in ("x", "y")]
    votes[0] = battle("a", "b", "left", 0, "r0", question="x", simulated=True)
    rows = agreements(judged(), votes, {})
    assert [(row.question, row.n) for row in rows] == [("overall", 8), ("x", 4), ("y", 4)]
    assert "simulated" in rows[0].note
    assert "simulated" not in rows[2].note
    assert [row.accuracy for row in rows] == [7 / 8, 3 / 4, 1.0]


def test_the_interval_holds_the_truth_where_raters_and_prompts_cluster() -> None:
    """Each rater and each prompt agrees with the metric more or less often; votes of one hang together."""
    random = np.random.default_rng(3)
    raters, prompts, trials, hit = 20, 30, 100, 0
    keys = tuple((f"p{i:03d}", 0) for i in range(prompts))
    for _ in range(trials):
        taste, ease = 0.8 * random.standard_normal(raters), 0.8 * random.standard_normal(prompts)
        r, p = random.integers(0, raters, 400), random.integers(0, prompts, 400)
        noise = 1.0 * random.standard_normal(400)
        hits = (0.3 + taste[r] + ease[p] + noise > 0).astype(float)
        truth = scipy.stats.norm.cdf(0.3 / np.sqrt(1 + 2 * 0.64))
        votes = [
            battle("a", "b", "right" if won else "left", prompt, f"r{rater}")
            for won, prompt, rater in zip(hits, p.tolist(), r.tolist(), strict=True)
        ]
        (row,) = agreements(judged({"a": np.zeros(30), "b": np.ones(30)}, keys=keys), votes, {})
        hit += row.accuracy_low <= truth <= row.accuracy_high
    assert 0.9 <= hit / trials <= 1.0


def test_accuracy_holds_where_one_rater_gives_half_of_the_votes() -> None:
    """The heavy rater's taste is in half of the votes; 100 studies, 20 raters."""
    random = np.random.default_rng(5)
    shares = np.array([0.5] + [0.5 / 19] * 19)
    truth = scipy.stats.norm.cdf(0.3 / np.sqrt(1 + 0.64))
    keys = tuple((f"p{i:03d}", 0) for i in range(300))
    held = 0
    for _ in range(100):
        taste = 0.8 * random.standard_normal(20)
        raters = random.choice(20, 300, p=shares)
        won = 0.3 + taste[raters] + random.standard_normal(300) > 0
        votes = [
            battle("a", "b", "right" if w else "left", i, f"r{r}")
            for i, (w, r) in enumerate(zip(won, raters.tolist(), strict=True))
        ]
        (row,) = agreements(judged({"a": np.zeros(300), "b": np.ones(300)}, keys=keys), votes, {})
        held += row.accuracy_low <= truth <= row.accuracy_high
    assert held >= 90


def test_the_ceiling_is_how_far_raters_predict_each_other() -> None:
    votes = [battle("a", "b", "right", i, f"r{r}") for i in range(6) for r in range(2)]
    votes[0] = battle("a", "b", "left", 0, "r0")
    (row,) = agreements(judged(), votes, {})
    assert row.ceiling == pytest.approx(5 / 6)
    (alone,) = agreements(judged(), [v for v in votes if v.rater == "r0"], {})
    assert alone.ceiling is None
    assert "one rater" in alone.note
