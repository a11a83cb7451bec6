"""Coverage of prediction-powered win rates and ratings, and the votes that a metric saves, on simulated studies.

    python tests/performance/prediction_powered.py [--repeats 400] [--out results/coverage]

Votes on PROMPTS prompts, a metric on SCORED, the truth over endless prompts and raters. Studies and truth are those of
tests/support/crossed_votes.py, written from the model's equations. Every vote here is simulated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.ratings.prediction_powered import (
    Predictions,
    powered_ratings,
    powered_win_rates,
    votes_saved,
)
from tests.performance.coverage import as_table
from tests.support.crossed_votes import (
    CrossedDesign,
    drawn_columns,
    drawn_metric,
    even,
    one_gives,
    truth,
    zipf,
)

FOUR = (0.5, 0.2, -0.1, -0.6)
PROMPTS, SCORED, VOTES = 80, 400, 3000
PANELS = {
    "40 even raters": even(40),
    "one of 40 raters gives 50%": one_gives(0.5, 40),
    "40 raters, Zipf(1.2)": zipf(1.2, 40),
}


@dataclass(frozen=True)
class Metric:
    name: str
    correlation: float
    """With a contender's luck on a prompt."""
    offsets: tuple[float, ...]


METRICS = (
    Metric("good (0.8)", 0.8, FOUR),
    Metric("fair (0.5)", 0.5, FOUR),
    Metric("useless (0)", 0.0, (0.0, 0.0, 0.0, 0.0)),
    Metric("misleading (-0.6, order reversed)", -0.6, (-1.0, -0.4, 0.2, 1.2)),
)


def design_of(panel: tuple[float, ...]) -> CrossedDesign:
    return CrossedDesign(
        abilities=FOUR,
        rater_shares=panel,
        prompt_shares=even(PROMPTS),
        votes=VOTES,
        rater_sd=0.3,
        prompt_sd=1.0,
    )


def predictions_of(design: CrossedDesign, metric: Metric, seed: int) -> Predictions:
    values = drawn_metric(design, seed, SCORED, metric.correlation, metric.offsets)
    return Predictions(
        prompts=tuple(f"prompt-{number:04d}" for number in range(SCORED)),
        replicates=(0,) * SCORED,
        contenders=tuple(f"contender-{number:02d}" for number in range(len(FOUR))),
        values=values,
    )


def row(panel: str, metric: Metric, repeats: int, seed: int) -> dict[str, object]:
    design, began = design_of(PANELS[panel]), time.perf_counter()
    known = truth(design)
    rates = (known.win_rates.sum(axis=1) - 0.5) / (len(FOUR) - 1)
    results: dict[str, list[float]] = {
        name: []
        for name in ("win rate", "of votes alone", "rating", "rating of votes alone", "gain", "slope")
    }
    errors: dict[str, list[np.ndarray]] = {"powered": [], "alone": []}
    saved: list[tuple[float, float, float]] = []
    for repeat in range(repeats):
        number = seed * 100_003 + repeat
        table = as_table(drawn_columns(design, number))
        predictions = predictions_of(design, metric, number)
        wins, ratings = powered_win_rates(table, predictions), powered_ratings(table, predictions)
        for part, target, name in ((wins, rates, "win rate"), (ratings, known.abilities, "rating")):
            results[name].append(float(((part.low <= target) & (target <= part.high)).mean()))
            alone = (part.votes_low <= target) & (target <= part.votes_high)
            results["of votes alone" if name == "win rate" else "rating of votes alone"].append(
                float(alone.mean())
            )
        results["gain"].append(wins.gain)
        results["slope"].append(float(wins.slope == 0))
        errors["powered"].append(wins.value - rates)
        errors["alone"].append(wins.votes_value - rates)
        if repeat % 10 == 0:
            claim = votes_saved(table, predictions)
            saved.append((claim.votes, claim.low, claim.high))
    # The true ratio of variances: what the claims of saved votes must hold.
    ratio = float(np.var(errors["alone"], axis=0).sum() / np.var(errors["powered"], axis=0).sum())
    low, high = (np.array([claim[place] for claim in saved]) for place in (1, 2))
    true_saved = VOTES * (ratio - 1)
    return {
        "panel": panel,
        "metric": metric.name,
        "repeats": repeats,
        **{name: float(np.mean(results[name])) for name in list(results)[:4]},
        "error": float(np.std(results["win rate"], ddof=1) / np.sqrt(repeats)),
        "ratio of true variances": ratio,
        "median estimated ratio": float(np.median(results["gain"])),
        "not used": float(np.mean(results["slope"])),
        "votes saved, true": true_saved,
        "votes saved, median": float(np.median([claim[0] for claim in saved])),
        "claims of saved votes that hold": float(((low <= max(true_saved, 0)) & (true_saved <= high)).mean()),
        "seconds": time.perf_counter() - began,
    }


def page(rows: list[dict]) -> str:
    lines = [
        "# Prediction-powered win rates and ratings (simulated votes)",
        "",
        f"Made by `python tests/performance/prediction_powered.py --repeats {max(r['repeats'] for r in rows)}`. "
        f"Four contenders, {VOTES:,} votes on {PROMPTS} prompts, a metric on {SCORED}; rater SD 0.3, prompt SD 1 "
        "logits. In brackets after a metric: its correlation with a contender's luck on a prompt. Coverage of "
        "nominal 95% intervals of the mean win rates and of the ratings, with the metric and, beside it, of the votes "
        "alone. Variance ratio: of the mean win rates, votes alone over with the metric, over the simulated studies. "
        "The truth is over endless prompts and raters.",
        "",
        "| raters | metric | studies | win rates | votes alone | ratings | votes alone | variance ratio "
        "| median of its estimates | metric not used | votes saved (median claim) | claims that hold |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {r['panel']} | {r['metric']} | {r['repeats']} | {r['win rate']:.1%} ± {r['error']:.1%} "
            f"| {r['of votes alone']:.1%} | {r['rating']:.1%} | {r['rating of votes alone']:.1%} "
            f"| {r['ratio of true variances']:.2f} | {r['median estimated ratio']:.2f} | {r['not used']:.0%} "
            f"| {r['votes saved, true']:,.0f} ({r['votes saved, median']:,.0f}) "
            f"| {r['claims of saved votes that hold']:.0%} |"
            for r in rows
        ),
        "",
        'Claims that hold: share of the 95% intervals of "votes this metric saved" that hold the true number, from a '
        "tenth of the studies. Not used: the estimate with the metric was no more precise, so λ is 0.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("results/coverage"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for panel in PANELS:
        for metric in METRICS:
            rows.append(row(panel, metric, options.repeats, 1 + len(rows)))
            print(json.dumps(rows[-1]), flush=True)
            document = {"simulated": True, "rows": rows}
            (options.out / "prediction_powered.json").write_text(json.dumps(document, indent=1) + "\n")
            (options.out / "prediction_powered.md").write_text(page(rows))


if __name__ == "__main__":
    main()
