"""Votes that a rule for choosing pairs saves against `balanced`, in simulated studies with clustering.

    python tests/performance/pairing.py [--studies 1500] [--votes 3000] [--rated 150] [--out results/pairing]

Raters come one after another and give 40 votes each; the rule sees the votes before a rater's session and chooses the
session's pairs. A vote follows Davidson's model with effects of rater and prompt (SD 0.5 and 0.7 logits); prompts are
taken in turn under every rule. All rules meet the same contenders, raters and prompts. Votes saved: how many fewer
votes than `balanced` the rule takes for what `balanced` reaches with all of them. Every vote here is simulated.

Rules beside the arena's: ASAP (Mikhailiuk et al. 2020, arXiv 2004.05691), its information gain under a normal
posterior with minimum spanning trees; variance reduction, the sampling weights of Chiang et al. 2024
(arXiv 2403.04132, eq. 9); round robin, every pair in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from arena.pairing import choose_pair, choose_scene, shuffled_turns, swap_sides, target_weights
from bench.ratings.covariance import covariance
from bench.ratings.fits import SeparationError, count_votes, davidson, newton, score_and_information
from bench.ratings.simulation import Design, population_fit, simulate_votes
from bench.ratings.uncertainty import simultaneous_differences

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SESSION = 40
RATER_SD, PROMPT_SD, TIE = 0.5, 0.7, np.log(0.5)
DESIGN_EFFECT = 2.0
"""Variance over that of independent votes, by which the rules that see clusters widen their posterior."""
CHOSEN = 0
Rule = Callable[["State"], Ints]


@dataclass
class State:
    """Studies in parallel: counts (s, m, m, 3) of left, right, tie by first < second; what a rule may look at."""

    rng: np.random.Generator
    pairs: Ints
    """(k, 2)"""
    counts: Floats
    wide: bool = True
    """Posterior at the clustered effective number of votes."""

    def posterior(self) -> tuple[Floats, Floats]:
        """Mean (s, m) and covariance (s, m, m) of the strengths under a standard normal prior."""
        counts = self.counts / (DESIGN_EFFECT if self.wide else 1.0)
        counts = np.stack(
            [counts[..., 0] + counts[..., 2] / 2, counts[..., 1] + counts[..., 2] / 2, 0 * counts[..., 2]],
            axis=-1,
        )
        strength, _, _ = newton(counts, ties=False, position=False, penalty=1.0)
        _, information = score_and_information(counts, strength, ties=False, position=False, penalty=1.0)
        m = counts.shape[1]
        return strength[:, :m], np.linalg.inv(information)[:, :m, :m]

    def taken(self) -> Floats:
        first, second = self.pairs.T
        return self.counts[:, first, second].sum(axis=-1)


def spread(weight: Floats, size: int = SESSION) -> Ints:
    """(s, size) pairs whose numbers go with the weights (s, k), by Sainte-Laguë's rule."""
    given = np.zeros_like(weight)
    places = np.zeros((len(weight), size), np.int64)
    rows = np.arange(len(weight))
    for i in range(size):
        places[:, i] = (weight / (given + 0.5)).argmax(axis=1)
        given[rows, places[:, i]] += 1
    return places


def least_taken(state: State) -> Ints:
    taken, rows = state.taken(), np.arange(len(state.counts))
    places = np.zeros((len(rows), SESSION), np.int64)
    for i in range(SESSION):
        places[:, i] = (taken + 0.5 * state.rng.random(taken.shape)).argmin(axis=1)
        taken[rows, places[:, i]] += 1
    return places


def round_robin(state: State) -> Ints:
    begin = round(float(state.taken()[0].sum()))
    return np.broadcast_to(
        (begin + np.arange(SESSION)) % len(state.pairs), (len(state.counts), SESSION)
    ).copy()


def gaps(state: State) -> tuple[Floats, Floats]:
    """Mean and standard error (s, k) of each pair's difference."""
    mean, cover = state.posterior()
    a, b = state.pairs.T
    variance = cover[:, a, a] + cover[:, b, b] - 2 * cover[:, a, b]
    return mean[:, a] - mean[:, b], np.sqrt(np.maximum(variance, 1e-12))


def variance_reduction(state: State) -> Ints:
    n, (first, second) = np.maximum(state.taken(), 1.0), state.pairs.T
    share = (state.counts[:, first, second, 0] + state.counts[:, first, second, 2] / 2) / n
    variance = np.where(state.taken() > 1, share * (1 - share), 0.25)
    weight = np.sqrt(variance / n) - np.sqrt(variance / (n + 1))
    return spread(weight)


def asap(state: State) -> Ints:
    """Trees of the most informative pairs: mutual information of a vote and the strengths."""
    state.wide = False
    centre, error = gaps(state)
    points, weights = np.polynomial.hermite_e.hermegauss(15)
    wins = 1 / (1 + np.exp(-(centre[..., None] + error[..., None] * points)))
    weights = weights / weights.sum()

    def entropy(p: Floats) -> Floats:
        p = np.clip(p, 1e-12, 1 - 1e-12)
        return -(p * np.log(p) + (1 - p) * np.log1p(-p))

    gain = entropy(wins @ weights) - entropy(wins) @ weights
    places = np.zeros((len(gain), SESSION), np.int64)
    for s in range(len(gain)):
        tree = _tree(gain[s], state.pairs, state.counts.shape[1])
        places[s] = np.resize(tree, SESSION)
    return places


def _tree(gain: Floats, pairs: Ints, m: int) -> list[int]:
    group = list(range(m))
    chosen = []
    for place in np.argsort(-gain).tolist():
        a, b = group[pairs[place, 0]], group[pairs[place, 1]]
        if a != b:
            chosen.append(place)
            group = [a if g == b else g for g in group]
    return chosen


def active(target: str, uniform: float = 0.2) -> Rule:
    """The arena's rule, with its own functions; the arena has no target `order`, which did not save enough: pairs by
    the chance that they stand in the wrong order."""

    def rule(state: State) -> Ints:
        mean, cover = state.posterior()
        first, second = state.pairs.T
        if target == "order":
            centre, error = gaps(state)
            weight = ndtr(-np.abs(centre) / error)
            total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
            return spread((1 - uniform) * weight / total + uniform / len(first))
        weight = np.stack(
            [
                target_weights(target, mean[s], cover[s], first, second, CHOSEN, state.rng)
                for s in range(len(mean))
            ]
        )
        total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
        share = (1 - uniform) * weight / total + uniform / len(first)
        return spread(share)

    return rule


RULES: dict[str, Rule] = {
    "balanced": least_taken,
    "round robin": round_robin,
    "variance reduction": variance_reduction,
    "ASAP": asap,
    "active, order": active("order"),
    "active, first": active("first"),
    "active, chosen": active("chosen"),
}


@dataclass
class Outcome:
    """What a rule led to: means (s, m) after each session, and the votes (s, n) of each study."""

    means: list[Floats]
    left: Ints
    right: Ints
    outcome: Ints


def run(rule: str, votes: int, strengths: Floats, prompts: int, seed: int, pairs: Ints) -> Outcome:
    """Raters and prompts depend on the seed alone: every rule meets the same."""
    world, (studies, m) = np.random.default_rng(seed), strengths.shape
    state = State(np.random.default_rng(seed + 1), pairs, np.zeros((studies, m, m, 3)))
    luck = PROMPT_SD * world.standard_normal((studies, prompts, m))
    rows = np.arange(studies)[:, None]
    means, first, second, results = [], [], [], []
    for begin in range(0, votes, SESSION):
        taste = RATER_SD * world.standard_normal((studies, 1, m))
        point = world.random((studies, SESSION))
        state.wide = True
        places = state.rng.permuted(RULES[rule](state), axis=1)
        a, b = pairs[places, 0], pairs[places, 1]
        ability = strengths[:, None] + taste + luck[:, (begin + np.arange(SESSION)) % prompts]
        d = np.take_along_axis(ability, a[..., None], 2) - np.take_along_axis(ability, b[..., None], 2)
        d = d[..., 0]
        weights = np.exp(np.stack([d / 2, -d / 2, np.full_like(d, TIE)]))
        weights /= weights.sum(axis=0)
        outcome = np.where(point < weights[0], 0, np.where(point < weights[0] + weights[1], 1, 2))
        np.add.at(state.counts, (rows, a, b, outcome), 1)
        state.wide = True
        means.append(state.posterior()[0])
        for column, values in ((first, a), (second, b), (results, outcome)):
            column.append(values)
    return Outcome(means, *(np.concatenate(column, axis=1) for column in (first, second, results)))


def right(means: list[Floats], strengths: Floats) -> dict[str, Floats]:
    """By target, the share of studies that have it right after each session."""
    best, order = strengths.argmax(axis=1), strengths.argsort(axis=1)
    above = strengths > strengths[:, [CHOSEN]]
    return {
        "order": np.array([(mean.argsort(axis=1) == order).all(axis=1).mean() for mean in means]),
        "first": np.array([(mean.argmax(axis=1) == best).mean() for mean in means]),
        "chosen": np.array([((mean > mean[:, [CHOSEN]]) == above).all(axis=1).mean() for mean in means]),
    }


def votes_needed(shares: Floats, goal: float) -> float:
    """Votes at which a curve, made increasing (pool adjacent violators), reaches the goal; infinite: never."""
    from scipy.optimize import isotonic_regression

    smooth = isotonic_regression(shares).x
    sessions = np.arange(1, len(smooth) + 1)
    if smooth[-1] < goal:
        return math.inf
    place = int(np.argmax(smooth >= goal))
    if place == 0 or smooth[place] == smooth[place - 1]:
        return float(sessions[place] * SESSION)
    part = (goal - smooth[place - 1]) / (smooth[place] - smooth[place - 1])
    return float((sessions[place - 1] + part) * SESSION)


def held(result: Outcome, strengths: Floats, prompts: int, pairs: Ints, studies: int) -> tuple[float, float]:
    """Share of studies whose joint intervals over the pairs hold the truth, rated as `arena rate` does, and the mean
    half-width in logits."""
    m, n = strengths.shape[1], result.left.shape[1]
    compared = [tuple(pair) for pair in pairs.tolist()]
    hits, widths = [], []
    for s in range(studies):
        design = Design(
            strengths=tuple(strengths[s]),
            tie=TIE,
            raters=n // SESSION,
            votes_per_rater=SESSION,
            prompts=prompts,
            comparisons=tuple(compared),
        )
        swap = np.random.default_rng(s).random(n) < 0.5
        left, right_ = (
            np.where(swap, result.right[s], result.left[s]),
            np.where(swap, result.left[s], result.right[s]),
        )
        outcome = np.where(swap & (result.outcome[s] < 2), 1 - result.outcome[s], result.outcome[s])
        table = replace(
            simulate_votes(design, 0),
            left=left.astype(np.int32),
            right=right_.astype(np.int32),
            outcome=outcome.astype(np.int8),
            prompt=(np.arange(n) % prompts).astype(np.int32),
        )
        truth = population_fit(design).strength
        try:
            fit = davidson(table.contenders, count_votes(table))
        except SeparationError:
            continue
        cover = covariance(fit, table)
        joint = simultaneous_differences(
            fit.strength, cover.matrix, cover.freedom, draws=2000, seed=s, pairs=compared
        )
        true = truth[joint.first] - truth[joint.second]
        hits.append(bool(((joint.low <= true) & (true <= joint.high)).all()))
        widths.append(float((joint.high - joint.low).mean() / 2))
    assert m == len(truth)
    return float(np.mean(hits)), float(np.mean(widths))


@dataclass(frozen=True)
class Setting:
    name: str
    target: str
    pairs: tuple[tuple[int, int], ...]
    prompts: int = 400
    spread: float = 0.5
    """SD of the contenders' strengths, logits."""


ALL = tuple(itertools.combinations(range(6), 2))
SETTINGS = (
    Setting("6 contenders, all pairs, 400 prompts", "order", ALL),
    Setting("6 contenders, all pairs, 400 prompts", "first", ALL),
    Setting("6 contenders, each with the chosen", "chosen", ALL[:5]),
)


def compared(setting: Setting, studies: int, votes: int, rated: int) -> list[dict[str, object]]:
    strengths = setting.spread * np.random.default_rng(5).standard_normal((studies, 6))
    pairs = np.array(setting.pairs)
    rules = ["balanced", "round robin", "variance reduction", "ASAP", f"active, {setting.target}"]
    rows, goal = [], math.nan
    for rule in rules:
        result = run(rule, votes, strengths, setting.prompts, 7, pairs)
        shares = right(result.means, strengths)[setting.target]
        if rule == "balanced":
            goal = float(shares[-5:].mean())
        needed = votes_needed(shares, goal) / votes_needed_base(rows, shares, goal)
        coverage, width = (
            held(result, strengths, setting.prompts, pairs, rated) if rated else (math.nan, math.nan)
        )
        own = [
            len(np.unique(result.left[0][i : i + SESSION] * 6 + result.right[0][i : i + SESSION]))
            for i in range(votes // 2, votes - SESSION, SESSION)
        ]
        rows.append(
            {
                "setting": setting.name, "target": setting.target, "rule": rule, "right": float(shares[-5:].mean()),
                "error": math.sqrt(goal * (1 - goal) / studies), "saved": 1 - needed, "coverage": coverage,
                "half_width": width, "pairs_a_session": float(np.mean(own)), "votes": votes_needed(shares, goal),
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def votes_needed_base(rows: list[dict[str, object]], shares: Floats, goal: float) -> float:
    return float(rows[0]["votes"]) if rows else votes_needed(shares, goal)  # type: ignore[arg-type]


def evenness(seed: int = 0) -> dict[str, dict[str, float]]:
    """Votes a prompt and left shares of raters when pairs, prompts and sides are chosen as the desk does, and drawn."""
    rng, pairs, scenes = np.random.default_rng(seed), np.array(ALL), [(f"p{i:03d}", 0) for i in range(100)]
    turns = shuffled_turns(scenes, seed)
    turn = np.array([turns[scene] for scene in scenes])
    figures = {}
    for way in ("drawn among equals", "in turn, sides evened"):
        taken, prompts = np.zeros(len(pairs), np.int64), np.zeros((len(pairs), 100), np.int64)
        off = []
        for _ in range(25):
            own = np.zeros(len(pairs), np.int64)
            lean, left, shown = np.zeros(len(pairs), np.int64), np.zeros(6, np.int64), np.zeros(6, np.int64)
            for _ in range(SESSION):
                seen_least = own if way.startswith("in turn") else 0 * own
                index, _ = choose_pair(
                    rng, "balanced", taken=taken, own=seen_least, eligible=np.ones(len(pairs), bool)
                )  # type: ignore[misc]
                place = (
                    choose_scene(
                        taken=prompts[index], eligible=np.ones(100, bool), turn=turn, begin=index / len(pairs)
                    )
                    if way.startswith("in turn")
                    else int(rng.choice(np.flatnonzero(prompts[index] == prompts[index].min())))
                )
                a, b = pairs[index]
                tilt = int(lean[index] or left[a] - left[b]) if way.startswith("in turn") else 0
                sign = -1 if swap_sides(rng, tilt) else 1
                lean[index] += sign
                left[a] += sign
                left[b] -= sign
                shown[[a, b]] += 1
                taken[index] += 1
                own[index] += 1
                prompts[index, place] += 1
            off += (50 * np.abs(left) / shown).tolist()
        totals = prompts.sum(axis=0)
        figures[way] = {
            "fewest votes a prompt": float(totals.min()),
            "most votes a prompt": float(totals.max()),
            "side of a rater's contender, mean points off even": float(np.mean(off)),
            "side of a rater's contender, most points off even": float(np.max(off)),
        }
    return figures


def written(rows: list[dict[str, object]], even: dict[str, dict[str, float]], command: str) -> str:
    lines = [
        "# Choosing pairs (simulated votes)",
        "",
        f"Made by `{command}`. Raters of 40 votes, rater SD 0.5, prompt SD 0.7 logits, ties 20% between equals, "
        "strengths normal with SD 0.5 unless said. Right: share of studies whose estimate has the whole target right "
        "(order of all; the first; who is better than the chosen one) at the end. Saved: how many fewer votes than "
        "`balanced` reach what `balanced` reaches at the end. Joint: coverage of the joint 95% intervals over the "
        "pairs, rated as `arena rate` does; half-width of these, logits; studies without finite ratings left out. All "
        "rules of a setting met the same contenders, raters and prompts.",
        "",
        "| setting | target | rule | right | votes saved | joint | half-width |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        saved = (
            "reference"
            if r["rule"] == "balanced"
            else "never reached"
            if r["saved"] == -math.inf
            else f"{r['saved']:.0%}"
        )
        lines.append(
            f"| {r['setting']} | {r['target']} | {r['rule']} | {r['right']:.1%} ± {r['error']:.1%} | {saved} | "
            f"{r['coverage']:.1%} | {r['half_width']:.2f} |"
        )
    lines += [
        "",
        "Two rules that are the same but for the order of equals, balanced and round robin, differ by up to 8% of "
        "votes saved: so much is chance. The arena offers `first` and `chosen` and no target `order`, which saved less "
        "than 20%.",
    ]
    lines += [
        "",
        "## How even `balanced` is",
        "",
        "1,000 votes, 6 contenders, 100 prompts, 25 raters of 40.",
        "",
    ]
    names = list(next(iter(even.values())))
    lines += ["| | " + " | ".join(even) + " |", "|---" * (1 + len(even)) + "|"]
    lines += [f"| {name} | " + " | ".join(f"{even[way][name]:.1f}" for way in even) + " |" for name in names]
    return "\n".join(lines) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--studies", type=int, default=1500)
    options.add_argument("--rated", type=int, default=150, help="of them, for coverage and half-widths")
    options.add_argument("--votes", type=int, default=3000)
    options.add_argument("--out", type=Path, default=Path("results/pairing"))
    given = options.parse_args()
    rows = [row for setting in SETTINGS for row in compared(setting, given.studies, given.votes, given.rated)]
    even = evenness()
    given.out.mkdir(parents=True, exist_ok=True)
    command = f"python tests/performance/pairing.py --studies {given.studies} --rated {given.rated}"
    (given.out / "README.md").write_text(written(rows, even, command))
    (given.out / "pairing.json").write_text(json.dumps({"rules": rows, "evenness": even}, indent=1) + "\n")


if __name__ == "__main__":
    main()
