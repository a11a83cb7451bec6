"""What the SDXL-Turbo preference study could have claimed, under stated assumptions.

    python tests/performance/claims.py [--repeats 400] [--out results/claims]

The study (arXiv 2311.17042, figures 5 and 6) publishes win percentages of pairs as bars and Elo scores,
without intervals and without the votes. So no verdict on it is possible; what is: for a true
win rate, how often a plausible study would have told it from 50%. Every vote is simulated.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.ratings.elo import elo_add
from bench.ratings.planning import independent_votes
from bench.ratings.simulation import Design, gap_for_rate, simulate_votes
from bench.ratings.winrates import equivalences, pair_rates

RATES = (0.50, 0.515, 0.53, 0.55, 0.58, 0.62, 0.70)
FORCED = Design(strengths=(0.0, 0.0), tie=-np.inf)
DESIGNS = (
    ("20 raters x 20 votes, 100 prompts", replace(FORCED, raters=20, votes_per_rater=20)),
    ("10 raters x 100 votes, 100 prompts", replace(FORCED, raters=10, votes_per_rater=100)),
    ("50 raters x 20 votes, 100 prompts", replace(FORCED, raters=50, votes_per_rater=20)),
    ("50 raters x 100 votes, 100 prompts", replace(FORCED, raters=50, votes_per_rater=100)),
    ("50 raters x 100 votes, 1,632 prompts", replace(FORCED, raters=50, votes_per_rater=100, prompts=1632)),
)
EFFECTS = (("none", 0.0, 0.0), ("moderate", 0.5, 0.7))


def claims(design: Design, rate: float, repeats: int, seed: int) -> dict[str, float]:
    """Shares of simulated studies of one pair that claim the first is better, and that it is no worse."""
    gap = gap_for_rate(design, rate)
    design = replace(design, strengths=(gap / 2, -gap / 2))
    naive = clustered = wrong = not_worse = 0
    for repeat in range(repeats):
        pairs = pair_rates(simulate_votes(design, seed * 100_003 + repeat))
        rates = pairs.rates
        naive += rates.wilson_low[0] > 0.5
        clustered += rates.low[0] > 0.5
        wrong += rates.wilson_low[0] > 0.5 or rates.wilson_high[0] < 0.5
        not_worse += equivalences(pairs, margin=3.0)[0].p_first_not_worse < 0.05
    names = ("vote-level claim", "clustered claim", "vote-level either way", "no worse by 3 points")
    counts = (naive, clustered, wrong, not_worse)
    return dict(zip(names, (float(count) / repeats for count in counts), strict=True))


def elo_spread(repeats: int) -> dict[str, float]:
    """Five contenders as in figure 6: elo-add's order noise beside how far it moves from study to study."""
    strengths = (0.4, 0.2, 0.0, -0.2, -0.4)
    design = Design(strengths=strengths, raters=50, votes_per_rater=100, tie=-np.inf)
    runs = [elo_add([simulate_votes(design, 10_000 + r)], shuffles=50, seed=r) for r in range(repeats)]
    return {
        "order noise of one shuffle": float(np.mean([run.order_spread for run in runs])),
        "standard error of the mean of 1,000 shuffles": float(
            np.mean([run.order_spread for run in runs]) / np.sqrt(1000)
        ),
        "study to study": float(np.std([run.rating for run in runs], axis=0, ddof=1).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("results/claims"))
    options = parser.parse_args()
    rows = []
    for name, base in DESIGNS:
        for effect, rater_sd, prompt_sd in EFFECTS:
            design = replace(base, rater_sd=rater_sd, prompt_sd=prompt_sd)
            for rate in RATES:
                found = claims(design, rate, options.repeats, len(rows) + 1)
                rows.append({"design": name, "effects": effect, "rate": rate} | found)
            print(json.dumps(rows[-1]), flush=True)
    document = {
        "simulated": True,
        "repeats": options.repeats,
        "rows": rows,
        "elo": elo_spread(max(20, options.repeats // 10)),
        "independent votes": {f"{rate:.1%}": independent_votes(rate) for rate in RATES[1:]},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "claims.json").write_text(json.dumps(document, indent=1) + "\n")
    (options.out / "README.md").write_text(page(document))


def _row(document: dict, design: str, effect: str, column: str) -> str:
    found = {
        row["rate"]: row for row in document["rows"] if (row["design"], row["effects"]) == (design, effect)
    }
    return " | ".join(f"{found[rate][column]:.0%}" for rate in RATES)


def _table(document: dict, effect: str, column: str) -> list[str]:
    head = " | ".join(f"{rate:.1%}" for rate in RATES)
    lines = [f"| votes on the pair | {head} |", "|---" * (len(RATES) + 1) + "|"]
    return lines + [f"| {name} | {_row(document, name, effect, column)} |" for name, _ in DESIGNS] + [""]


def page(document: dict) -> str:
    """One page: what is known, what is assumed, what follows."""
    elo, needed = document["elo"], document["independent votes"]
    lines = [
        "# What could the SDXL-Turbo preference study have claimed?",
        "",
        f"Made by `python tests/performance/claims.py --repeats {document['repeats']}`. "
        "**Every vote here is simulated; nothing here is a finding about a real model.**",
        "",
        "Published (arXiv 2311.17042, section 4.2 and appendix B): one step of Turbo beats four of LCM-XL, "
        'and four steps beat SDXL at 50 "in the majority of comparisons". Blind pairs, two questions, '
        "a winner is forced; win percentages as bars, Elo with K = 1 from 1000, mean over shuffled orders. "
        "Not published as numbers: votes a pair, intervals, votes by rater. So the question is turned round: "
        "*if the true win rate were p, how often would a study of such a design have shown it?*",
        "",
        "Assumed: no ties, no left-position effect; pairs, sides and prompts drawn evenly; one pair tested, "
        "two-sided 95%, no correction for other pairs; designs as in the first column. Moderate effects: a "
        "rater's taste for a contender has SD 0.5 logits and a contender's luck on a prompt 0.7; what they "
        "were in that study nobody outside can know. p is the win rate over all raters and all prompts of "
        "that kind; a bar shows p plus the study's error.",
        "",
        "## Share of studies that show the better one to be better, two-way clustered interval",
        "",
        "Moderate rater and prompt effects:",
        "",
        *_table(document, "moderate", "clustered claim"),
        "None, votes independent:",
        "",
        *_table(document, "none", "clustered claim"),
        "## What the usual vote-level interval would have said",
        "",
        "Moderate effects, claims in either direction. The first column is the share of false claims about "
        "equals; 5% is what is promised:",
        "",
        *_table(document, "moderate", "vote-level either way"),
        '## Share of studies that show "no worse by 3 points" (one-sided 5%, clustered)',
        "",
        *_table(document, "moderate", "no worse by 3 points"),
        "## Elo",
        "",
        f"Five contenders, 5,000 votes, moderate effects: one shuffled order moves elo-add by "
        f"{elo['order noise of one shuffle']:.1f} points, the mean of 1,000 orders by "
        f"{elo['standard error of the mean of 1,000 shuffles']:.2f}, another study of the same design by "
        f"{elo['study to study']:.1f}. The spread over orders is not the uncertainty of a study.",
        "",
        "## Reading",
        "",
        "- Independent votes a pair for 80% power: "
        + ", ".join(f"{rate}: {votes:,}" for rate, votes in needed.items())
        + ".",
        "- More votes on the same 100 prompts stop helping; more prompts help. Compare the last two rows.",
        '- A bar near 50% supports neither "better" nor "as good": "no worse by 3 points" needs a study '
        "planned for it (`arena plan`).",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
