"""What the SDXL-Turbo preference study could have claimed, under stated assumptions.

    python tests/performance/claims.py [--repeats 200] [--out results/claims]

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
    parser.add_argument("--repeats", type=int, default=200)
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


def _share_at(document: dict, design: str, effect: str, rate: float, column: str) -> float:
    for row in document["rows"]:
        if (row["design"], row["effects"], row["rate"]) == (design, effect, rate):
            return row[column]
    raise KeyError(design)


ALWAYS = (
    "forced choice, no left-position effect, pairs, sides and prompts drawn evenly, raters alike in their numbers of "
    "votes"
)
MODERATE = "rater SD 0.5 and prompt SD 0.7 logits, independent of each other"


def sentences(document: dict) -> list[str]:
    """What follows, each sentence with its assumption."""
    elo, needed = document["elo"], document["independent votes"]
    few, many, wide = (DESIGNS[place][0] for place in (1, 3, 4))
    shown, naive = "clustered claim", "vote-level either way"

    def at(design: str, effect: str, rate: float, column: str) -> str:
        return f"{_share_at(document, design, effect, rate, column):.0%}"

    return [
        f"- *Assuming moderate effects and {many}*: a true 55% would have been shown in "
        f"{at(many, 'moderate', 0.55, shown)} of studies, a true 58% in {at(many, 'moderate', 0.58, shown)}.",
        f"- *Assuming moderate effects and {wide} instead*: the true 55% in {at(wide, 'moderate', 0.55, shown)}; "
        "sixteen times the prompts, the same votes.",
        f"- *Assuming moderate effects and {few}*: the true 55% in {at(few, 'moderate', 0.55, shown)}, the true 62% in "
        f"{at(few, 'moderate', 0.62, shown)}.",
        f"- *Assuming no effects and {many}*: the true 55% in {at(many, 'none', 0.55, shown)}, the true 53% in "
        f"{at(many, 'none', 0.53, shown)}.",
        f"- *Assuming moderate effects and {many}, intervals as if votes were independent*: two equal contenders "
        f"would have been told apart, falsely, in {at(many, 'moderate', 0.5, naive)} of studies where 5% are promised; "
        f"by the clustered interval, in favour of the first, in {at(many, 'moderate', 0.5, shown)}, where 2.5% are.",
        f"- *Assuming moderate effects and {many}*: that one of two equals is no worse by 3 points would have been "
        f"shown in {at(many, 'moderate', 0.5, 'no worse by 3 points')} of studies; a bar near 50% supports "
        'neither "better" nor "as good".',
        "- *Assuming independent votes, which no panel gives*: votes a pair for 80% power are "
        + ", ".join(f"{votes:,} at {rate}" for rate, votes in needed.items())
        + ".",
        "- *Assuming five contenders, 5,000 votes, moderate effects*: one shuffled order moves Elo by "
        f"{elo['order noise of one shuffle']:.1f} points, the mean of 1,000 orders by "
        f"{elo['standard error of the mean of 1,000 shuffles']:.2f}, another study of the same design by "
        f"{elo['study to study']:.1f}: the spread over orders is not the uncertainty of a study.",
    ]


def page(document: dict) -> str:
    """One page: what is known, what is assumed, what follows; every sentence of what follows names its assumption."""
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
        "*if the true win rate were p, how often would a study of such a design have shown it?* p is the win rate over "
        "all raters and prompts of that kind; a bar shows p plus the study's error.",
        "",
        f"Assumed in every sentence and table below: {ALWAYS}; one pair tested, two-sided 95%, no correction for other "
        f"pairs. **Moderate** effects: {MODERATE}, which nobody outside can know of that study. **No** effects: votes "
        "independent. Uneven raters make every share below smaller: see results/coverage for how much wider intervals "
        "get.",
        "",
        "## What follows",
        "",
        *sentences(document),
        "",
        "## Share of studies that show the better one to be better, clustered interval",
        "",
        f"Assuming {MODERATE}:",
        "",
        *_table(document, "moderate", "clustered claim"),
        "Assuming independent votes:",
        "",
        *_table(document, "none", "clustered claim"),
        "## Share of studies in which the usual vote-level interval makes a claim, in either direction",
        "",
        f"Assuming {MODERATE}; the first column is false claims about equals, of which 5% are promised:",
        "",
        *_table(document, "moderate", "vote-level either way"),
        '## Share of studies that show "no worse by 3 points" (one-sided 5%, clustered)',
        "",
        f"Assuming {MODERATE}:",
        "",
        *_table(document, "moderate", "no worse by 3 points"),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
