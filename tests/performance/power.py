"""The power formula of `arena plan` against whole simulated studies, and the shipped flagship at its own numbers.

    python tests/performance/power.py [--studies 1000] [--seeds 10] [--out results/power]

A study is rated as `arena rate` does: Davidson's fit with a position effect, two-way clustered covariance, joint
intervals over the named comparisons. `--seeds` sets of 100 studies of `turbo-preference` (its prompt set must have been
added). Every vote here is simulated.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.ratings.covariance import covariance
from bench.ratings.designs import Session, comparisons_of, curve_for
from bench.ratings.fits import count_votes, davidson
from bench.ratings.planning import plan, shows_the_better
from bench.ratings.power import PowerCurve
from bench.ratings.simulation import Design, lognormal_shares, simulate_votes
from bench.ratings.uncertainty import simultaneous_differences
from bench.study.study import read


@dataclass(frozen=True, kw_only=True)
class Row:
    contenders: int
    compare: str
    prompts: int
    raters: int
    votes_per_rater: int
    rate: float
    spread: float = 0.0


ROWS = (
    Row(contenders=2, compare="all", prompts=40, raters=60, votes_per_rater=50, rate=0.57),
    Row(contenders=2, compare="all", prompts=200, raters=100, votes_per_rater=20, rate=0.55),
    Row(contenders=2, compare="all", prompts=100, raters=10, votes_per_rater=100, rate=0.60),
    Row(contenders=2, compare="all", prompts=300, raters=60, votes_per_rater=40, rate=0.57, spread=1.0),
    Row(contenders=3, compare="all", prompts=60, raters=20, votes_per_rater=40, rate=0.60),
    Row(contenders=4, compare="chosen", prompts=100, raters=40, votes_per_rater=60, rate=0.58),
    Row(contenders=4, compare="chosen", prompts=300, raters=100, votes_per_rater=40, rate=0.58, spread=1.5),
    Row(contenders=4, compare="chosen", prompts=800, raters=200, votes_per_rater=17, rate=0.55),
    Row(contenders=6, compare="all", prompts=100, raters=40, votes_per_rater=100, rate=0.57),
    Row(contenders=8, compare="all", prompts=400, raters=120, votes_per_rater=60, rate=0.57),
)


def simulated(row: Row, studies: int) -> dict[str, float]:
    """Formula and simulation side by side."""
    base = Design(
        strengths=(0.0,) * row.contenders,
        prompts=row.prompts,
        raters=row.raters,
        votes_per_rater=row.votes_per_rater,
        tie=math.log(0.5),
        comparisons=tuple(comparisons_of(row.contenders, row.compare)),
        balanced=True,
        rater_shares=lognormal_shares(row.raters, row.spread) if row.spread else (),
    )
    curve = curve_for(base, row.rate, row.spread)
    begun, numbers = time.process_time(), []
    for seed in range(studies):
        numbers.append(rated(curve.design, curve, seed))
    estimate, variance, freedom, critical, right = np.array(numbers).T
    size = row.raters * row.votes_per_rater, row.raters, row.prompts
    a, b = curve.target
    total = curve.estimated(*size)
    return {
        "power": curve.power(*size),
        "simulated": float(right.mean()),
        "error": float(np.sqrt(right.mean() * (1 - right.mean()) / studies)),
        "se": float(np.sqrt(total[a, a] + total[b, b] - 2 * total[a, b])),
        "se_estimated": float(np.sqrt(variance.mean())),
        "se_true": float(estimate.std(ddof=1)),
        "freedom": curve.freedom(*size),
        "freedom_estimated": float(np.median(freedom)),
        "critical": curve.critical(*size),
        "critical_estimated": float(critical.mean()),
        "seconds": time.process_time() - begun,
    }


def rated(design: Design, curve: PowerCurve, seed: int) -> tuple[float, float, float, float, bool]:
    """Estimate, its variance, degrees of freedom and critical value of the target; whether the better one is shown."""
    table = simulate_votes(design, seed)
    fit = davidson(table.contenders, count_votes(table))
    cover = covariance(fit, table)
    joint = simultaneous_differences(
        fit.strength, cover.matrix, cover.freedom, draws=2000, seed=seed, pairs=curve.comparisons
    )
    better, worse = curve.target
    low, high = min(curve.target), max(curve.target)
    place = int(np.flatnonzero((joint.first == low) & (joint.second == high))[0])
    shown = joint.low[place] > 0 if better == low else joint.high[place] < 0
    estimate = fit.strength[better] - fit.strength[worse]
    return float(estimate), float(joint.error[place] ** 2), cover.freedom, joint.critical, bool(shown)


def flagship(seeds: int, studies: int = 100) -> dict[str, object]:
    """`turbo-preference` as shipped: its own plan, and sets of simulated studies of it."""
    study = read("turbo-preference")
    names, arena = [c.name for c in study.contenders], study.file.arena
    pairs = [(names.index(a), names.index(b)) for a, b in study.comparisons]
    planned = plan(
        rate=0.55, contenders=len(names), comparisons=pairs, prompts=len(study.prompts),
        questions=len(arena.questions), checks=arena.checks, votes_per_rater=arena.votes_per_rater,
        votes_per_pair=arena.votes_per_pair, repeats=0,
    )  # fmt: skip
    session = Session(answers=arena.votes_per_rater, questions=len(arena.questions), checks=arena.checks)
    votes = arena.votes_per_pair * len(pairs)
    base = Design(
        strengths=(0.0,) * len(names),
        prompts=len(study.prompts),
        tie=math.log(0.5),
        comparisons=tuple(pairs),
        balanced=True,
        votes_per_rater=round(session.votes),
        raters=round(votes / round(session.votes)),
    )
    curve = curve_for(base, 0.55)
    sets = [
        float(np.mean([shows_the_better(curve.design, curve, seed * 1_000_003 + i) for i in range(studies)]))
        for seed in range(seeds)
    ]
    return {
        "prompts": len(study.prompts),
        "votes": votes,
        "raters": base.raters,
        "votes_per_rater": base.votes_per_rater,
        "planned": planned.asked_power,
        "sets": sets,
    }


def written(rows: list[tuple[Row, dict[str, float]]], flag: dict[str, object], studies: int) -> str:
    lines = [
        "# Power: formula against simulated studies (simulated votes)",
        "",
        f"Made by `python tests/performance/power.py --studies {studies}`. Rater SD 0.5, prompt SD 0.7 logits, ties "
        "20% between equals. Power: share of studies whose joint 95% interval over the compared pairs shows the better "
        "contender; ±: one standard error of the simulation. SE: of the difference, logits: by the formula, as `arena "
        "rate` estimates it (root mean square), as it is over the studies.",
        "",
        "| contenders | compare | prompts | raters | votes a rater | spread | win rate | power, formula "
        "| power, simulated | SE, formula | SE, estimated | SE, true | df, formula | df, rated | critical, formula "
        "| critical, rated |",
        "|" + "---|" * 16,
    ]
    for row, n in rows:
        lines.append(
            f"| {row.contenders} | {row.compare} | {row.prompts} | {row.raters} | {row.votes_per_rater} "
            f"| {row.spread:g} | {row.rate:.0%} | {n['power']:.1%} | {n['simulated']:.1%} ± {n['error']:.1%} "
            f"| {n['se']:.4f} | {n['se_estimated']:.4f} | {n['se_true']:.4f} | {n['freedom']:.0f} "
            f"| {n['freedom_estimated']:.0f} | {n['critical']:.3f} | {n['critical_estimated']:.3f} |"
        )
    off = [(n["simulated"] - n["power"]) / n["error"] for _, n in rows]
    largest = max(abs(n["simulated"] - n["power"]) for _, n in rows)
    lines += [
        "",
        f"Mean square of (simulated − formula) / error: {np.mean(np.square(off)):.2f}; a right formula has 1. Largest "
        f"difference: {largest:.1%}.",
    ]
    if flag:
        sets = flag["sets"]
        assert isinstance(sets, list)
        lines += [
            "",
            "## turbo-preference as shipped",
            "",
            f"{flag['prompts']} prompts, {flag['votes']:,} votes a question by {flag['raters']} raters of "
            f"{flag['votes_per_rater']} counting votes a question; win rate 55%. Its plan: {flag['planned']:.1%}. "
            f"Sets of 100 simulated studies by seed: {', '.join(f'{share:.0%}' for share in sets)}; together "
            f"{np.mean(sets):.1%} ± {math.sqrt(np.mean(sets) * (1 - np.mean(sets)) / (100 * len(sets))):.1%}.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--studies", type=int, default=1000)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--out", type=Path, default=Path("results/power"))
    given = options.parse_args()
    rows = []
    for row in ROWS:
        rows.append((row, simulated(row, given.studies)))
        print(row, {key: round(value, 4) for key, value in rows[-1][1].items()}, flush=True)
    flag = flagship(given.seeds) if given.seeds else {}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "README.md").write_text(written(rows, flag, given.studies))
    document = {"rows": [{**row.__dict__, **numbers} for row, numbers in rows], "flagship": flag}
    (given.out / "power.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
