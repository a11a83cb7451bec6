"""Coverage of the intervals: six designs, simulated studies, share of intervals that hold the truth.

    python tests/performance/coverage.py [--repeats 400] [--bootstrap 0] [--out results/coverage]

The truth is the population fit: what the model would give with endless raters, prompts and votes.
Every vote here is simulated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.ratings.bootstrap import cluster_bootstrap
from bench.ratings.fits import count_votes, davidson
from bench.ratings.planning import Design, expected_chances, population_fit, simulate_votes
from bench.ratings.uncertainty import covariance, simultaneous_differences, t_quantile
from bench.ratings.winrates import pair_rates

STRENGTHS = (0.6, 0.35, 0.1, -0.1, -0.35, -0.6)
DESIGNS = (
    ("no clustering", 0.0, 0.0, 40),
    ("raters differ", 0.5, 0.0, 40),
    ("prompts differ", 0.0, 0.7, 40),
    ("both differ", 0.5, 0.7, 40),
    ("raters differ more", 0.7, 0.3, 40),
    ("both, 200 raters", 0.5, 0.7, 200),
)


def study(design: Design, repeats: int, bootstrap: int, seed: int) -> dict[str, float]:
    """Coverage of each interval of the 15 pairwise differences and win rates; mean width in logits."""
    truth = population_fit(design).strength
    first, second = np.triu_indices(len(truth), 1)
    target = truth[first] - truth[second]
    won = win_rates(design)[first, second]
    held = {"vote": [], "two-way": [], "joint": [], "win rate": [], "bootstrap": []}
    width = {"vote": [], "two-way": []}
    for repeat in range(repeats):
        table = simulate_votes(design, seed * 100_003 + repeat)
        fit = davidson(table.contenders, count_votes(table))
        difference = fit.strength[first] - fit.strength[second]
        for kind in ("vote", "two-way"):
            cover = covariance(fit, table, kind)
            matrix = cover.matrix
            error = np.sqrt(matrix[first, first] + matrix[second, second] - 2 * matrix[first, second])
            half = t_quantile(cover.freedom) * error
            held[kind].append(np.abs(difference - target) <= half)
            width[kind].append(2 * half.mean())
        joint = simultaneous_differences(fit.strength, cover.matrix, cover.freedom, seed=repeat)
        held["joint"].append(bool(((joint.low <= target) & (target <= joint.high)).all()))
        rates = pair_rates(table).rates
        held["win rate"].append((rates.low <= won) & (won <= rates.high))
        if repeat < bootstrap:
            drawn = cluster_bootstrap(fit, table, replicates=1000, seed=repeat, workers=1).strength
            low, high = np.quantile(drawn[:, first] - drawn[:, second], [0.025, 0.975], axis=0)
            held["bootstrap"].append((low <= target) & (target <= high))
    row = {kind: float(np.mean(values)) for kind, values in held.items() if values}
    # Repeats are independent, the pairs of one repeat are not: its own mean is the unit.
    errors = {
        f"{kind} standard error": float(np.std([np.mean(v) for v in held[kind]], ddof=1) / np.sqrt(repeats))
        for kind in ("vote", "two-way", "joint", "win rate")
    }
    return (
        row
        | errors
        | {
            "vote width": float(np.mean(width["vote"])),
            "two-way width": float(np.mean(width["two-way"])),
        }
    )


def win_rates(design: Design) -> np.ndarray:
    """(m, m) true win rates of rows over columns, a tie half, over all raters, prompts and both sides."""
    strength = np.asarray(design.strengths)
    d = strength[:, None] - strength[None]
    on_the_left, _, tie = expected_chances(design, d + design.position)
    _, on_the_right, other_tie = expected_chances(design, -d + design.position)
    return (on_the_left + tie / 2 + on_the_right + other_tie / 2) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--bootstrap", type=int, default=0, help="repeats that get it too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/coverage"))
    options = parser.parse_args()
    rows = []
    for number, (name, rater_sd, prompt_sd, raters) in enumerate(DESIGNS):
        began = time.perf_counter()
        design = Design(
            strengths=STRENGTHS, raters=raters, rater_sd=rater_sd, prompt_sd=prompt_sd, position=0.1
        )
        row = study(design, options.repeats, options.bootstrap, options.seed * 1000 + number)
        rows.append(
            {"design": name, "rater SD": rater_sd, "prompt SD": prompt_sd, "raters": raters}
            | row
            | {"seconds": time.perf_counter() - began}
        )
        print(json.dumps(rows[-1]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    document = {
        "simulated": True,
        "repeats": options.repeats,
        "bootstrap repeats": options.bootstrap,
        "strengths": STRENGTHS,
        "votes per rater": 100,
        "prompts": 100,
        "rows": rows,
    }
    (options.out / "coverage.json").write_text(json.dumps(document, indent=1) + "\n")
    (options.out / "README.md").write_text(page(document))


def _held(row: dict, kind: str) -> str:
    return f"{row[kind]:.1%} ± {row[f'{kind} standard error']:.1%}"


def page(document: dict) -> str:
    """The table, with what it stands on."""
    lines = [
        "# Coverage of the intervals (simulated votes)",
        "",
        f"Made by `python tests/performance/coverage.py --repeats {document['repeats']} "
        f"--bootstrap {document['bootstrap repeats']}`. Six contenders, 15 pairwise differences, "
        "100 votes a rater, 100 prompts, ties and a left-position effect of 0.1 logits; rater and prompt "
        "SD in logits. Nominal: 95%. The truth is the fit to endless raters, prompts and votes.",
        "",
        "| design | rater SD | prompt SD | raters | vote-level | two-way | joint (max-t) | win rates "
        "| cluster bootstrap | width, two-way / vote |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        boot = f"{row['bootstrap']:.1%}" if "bootstrap" in row else "–"
        lines.append(
            f"| {row['design']} | {row['rater SD']} | {row['prompt SD']} | {row['raters']} "
            f"| {row['vote']:.1%} | {_held(row, 'two-way')} | {_held(row, 'joint')} | {_held(row, 'win rate')} "
            f"| {boot} | {row['two-way width'] / row['vote width']:.2f} |"
        )
    lines += [
        "",
        "±: one standard error of the simulation. Two-way: each of the 15 differences of ratings on its own. "
        "Joint: share of studies in which all 15 intervals hold at once. Win rates: of the 15 pairs, without a "
        "model. The pigeonhole bootstrap is "
        "conservative where little but votes varies; it is a check, not the headline.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
