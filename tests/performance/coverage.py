"""Coverage of the intervals by two simulators: share of simulated studies whose intervals hold the truth.

    python tests/performance/coverage.py [--repeats 400] [--only table|methods|stopping|agreement] [--rows NAME …]

The truth is what endless raters, prompts and votes would give. `ours` is bench.ratings.simulation.simulate_votes,
`second` is tests/support/crossed_votes.py, written from the model's equations. Every vote here is simulated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.errors import InputError
from bench.ratings.covariance import bread_of, covariance, score_tables
from bench.ratings.fits import count_votes, davidson
from bench.ratings.simulation import Design, expected_chances, population_fit, simulate_votes
from bench.ratings.stopping import stopping
from bench.ratings.uncertainty import simultaneous_differences, t_quantile
from bench.ratings.vote_table import VoteTable, coded_table, select
from bench.ratings.winrates import average_win_rates, clustered_rates, equivalences, pair_rates
from tests.support.crossed_votes import (
    CrossedDesign,
    Truth,
    drawn_columns,
    even,
    lognormal,
    one_gives,
    truth,
    zipf,
)

SIX = (0.6, 0.35, 0.1, -0.1, -0.35, -0.6)
TWO = (0.3, -0.3)


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    raters: tuple[float, ...] = even(40)
    prompts: tuple[float, ...] = even(100)
    votes: int = 4000
    rater_sd: float = 0.5
    prompt_sd: float = 0.7
    abilities: tuple[float, ...] = SIX


ROWS = (
    Row(name="equal raters"),
    Row(name="no clustering", rater_sd=0.0, prompt_sd=0.0),
    Row(name="one of 40 raters gives 20%", raters=one_gives(0.2, 40)),
    Row(name="one of 40 raters gives 50%", raters=one_gives(0.5, 40)),
    Row(name="raters Zipf(1.2), rater SD 0.7", raters=zipf(1.2, 40), rater_sd=0.7),
    Row(name="200 raters, lognormal(1.5), 8,000 votes", raters=lognormal(1.5, 200), votes=8000),
    Row(name="prompts Zipf(1.2), prompt SD 1", prompts=zipf(1.2, 100), prompt_sd=1.0),
    Row(name="raters and prompts Zipf(1.2)", raters=zipf(1.2, 40), prompts=zipf(1.2, 100)),
    Row(name="12 raters, 750 votes", raters=even(12), votes=750),
    Row(name="12 raters Zipf(1.2), 750 votes", raters=zipf(1.2, 12), votes=750),
    Row(name="two contenders, 5 raters, 500 votes", raters=even(5), votes=500, abilities=TWO),
    Row(name="one rater only", raters=(1.0,)),
)
PARTS = ("table", "methods", "stopping", "agreement")
KINDS = ("marginal", "joint", "win rate", "average win rate", "equivalence", "accuracy")


def our_truth(row: Row) -> Truth:
    """From bench.ratings.simulation: quadrature and the fit itself."""
    design = our_design(row)
    strength = np.asarray(row.abilities)
    d = strength[:, None] - strength[None]
    on_left, _, tie = expected_chances(design, d + design.position)
    _, on_right, other_tie = expected_chances(design, -d + design.position)
    lower, upper = np.triu_indices(len(strength), 1)
    won = on_left[lower, upper] + on_right[lower, upper]
    decided = 2 - tie[lower, upper] - other_tie[lower, upper]
    return Truth(
        abilities=population_fit(design).strength,
        win_rates=(on_left + tie / 2 + on_right + other_tie / 2) / 2,
        accuracy=float(won.sum() / decided.sum()),
    )


def our_design(row: Row) -> Design:
    return Design(
        strengths=row.abilities,
        raters=len(row.raters),
        votes_per_rater=row.votes // len(row.raters),
        prompts=len(row.prompts),
        rater_sd=row.rater_sd,
        prompt_sd=row.prompt_sd,
        tie=float(np.log(0.5)),
        position=0.1,
        rater_shares=row.raters,
        prompt_shares=row.prompts,
    )


def second_design(row: Row) -> CrossedDesign:
    return CrossedDesign(
        abilities=row.abilities,
        rater_shares=row.raters,
        prompt_shares=row.prompts,
        votes=row.votes,
        rater_sd=row.rater_sd,
        prompt_sd=row.prompt_sd,
    )


def as_table(columns: dict[str, np.ndarray]) -> VoteTable:
    names = {
        key: np.char.add(f"{key}-", np.char.zfill(columns[source].astype(str), 4)).tolist()
        for key, source in (("rater", "rater"), ("prompt", "prompt"))
    }
    left, right = ([f"contender-{code:02d}" for code in columns[side].tolist()] for side in ("left", "right"))
    n = len(left)
    return coded_table(
        left=left,
        right=right,
        outcome=columns["outcome"].astype(np.int8),
        columns={
            key: names.get(key) for key in ("rater", "prompt", "question", "category", "challenge", "group")
        },
        replicate=np.zeros(n, np.int32),
        probability=None,
        weight=None,
        repeat=np.zeros(n, bool),
        excluded={},
        simulated=True,
    )


SIMULATORS: dict[str, tuple[Callable[[Row], Truth], Callable[[Row, int], VoteTable]]] = {
    "ours": (our_truth, lambda row, seed: simulate_votes(our_design(row), seed)),
    "second": (
        lambda row: truth(second_design(row)),
        lambda row, seed: as_table(drawn_columns(second_design(row), seed)),
    ),
}


def inside(low: np.ndarray, value: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (low <= value) & (value <= high)


def study(table: VoteTable, known: Truth, seed: int) -> dict[str, float]:
    """Share of each kind of interval that holds the truth, and the mean width of the marginal ones in logits."""
    fit = davidson(table.contenders, count_votes(table))
    first, second = np.triu_indices(fit.size, 1)
    target = known.abilities[first] - known.abilities[second]
    cover = covariance(fit, table)
    found = simultaneous_differences(fit.strength, cover.matrix, cover.freedom, draws=4000, seed=seed)
    half = t_quantile(cover.freedom) * found.error
    pairs = pair_rates(table)
    won = known.win_rates[pairs.first, pairs.second]
    average, _ = average_win_rates(table)
    means = (known.win_rates.sum(axis=1) - 0.5) / (fit.size - 1)
    margins = equivalences(pairs)
    decided = select(table, table.outcome < 2)
    hit = ((decided.outcome == 0) == (decided.left < decided.right)).astype(float)
    accuracy = clustered_rates(decided, np.zeros(len(decided), np.int64), hit, 1)
    return {
        "marginal": float((np.abs(found.difference - target) <= half).mean()),
        "joint": float(inside(found.low, target, found.high).all()),
        "win rate": float(inside(pairs.rates.low, won, pairs.rates.high).mean()),
        "average win rate": float(inside(average.low, means, average.high).mean()),
        "equivalence": float(
            np.mean([row.low <= 100 * (w - 0.5) <= row.high for row, w in zip(margins, won, strict=True)])
        ),
        "accuracy": float(inside(accuracy.low, np.array([known.accuracy]), accuracy.high)[0]),
        "width": float(2 * half.mean()),
        "effective raters": cover.effective.get("rater", 1.0),
        "freedom": cover.freedom,
    }


def coverage_row(row: Row, simulator: str, repeats: int, seed: int) -> dict[str, object]:
    find, draw = SIMULATORS[simulator]
    known, began, unfitted = find(row), time.perf_counter(), 0
    results: list[dict[str, float]] = []
    for repeat in range(repeats):
        table = draw(row, seed * 100_003 + repeat)
        try:
            results.append(study(table, known, repeat))
        except InputError:
            unfitted += 1
    columns = {name: np.array([result[name] for result in results]) for name in results[0]}
    # Repeats are independent, the pairs of one repeat are not: its own mean is the unit.
    errors = {f"{kind} error": float(columns[kind].std(ddof=1) / np.sqrt(len(results))) for kind in KINDS}
    return (
        {"design": row.name, "simulator": simulator, "repeats": len(results), "unfitted": unfitted}
        | {kind: float(columns[kind].mean()) for kind in KINDS}
        | errors
        | {name: float(np.median(columns[name])) for name in ("width", "effective raters", "freedom")}
        | {"seconds": time.perf_counter() - began}
    )


# Other methods, for the choice of ours.


def cluster_parts(fit, table: VoteTable, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score sums (G, p) and information matrices (G, p, p) of each cluster, by counts of its own votes."""
    d, t = score_tables(fit)
    groups = np.unique(labels)
    m, p = fit.size, len(fit.information)
    sums, information = np.zeros((len(groups), p)), np.zeros((len(groups), p, p))
    from bench.ratings.fits import score_and_information

    at = np.concatenate(
        [fit.strength, [fit.position] * (fit.position is not None), [fit.tie] * (fit.tie is not None)]
    )
    for place, group in enumerate(groups):
        counts = count_votes(select(table, labels == group))[None, ..., :3]
        score, own = score_and_information(
            counts, at[None], ties=fit.tie is not None, position=fit.position is not None
        )
        sums[place], information[place] = score[0], own[0]
    assert d.shape == (m, m, 3)
    assert t.shape == (m, m, 3)
    return sums, information


def other_methods(fit, table: VoteTable) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Variance and degrees of freedom of each pairwise difference of strengths, (pairs,) each, by method."""
    bread = bread_of(fit)
    first, second = np.triu_indices(fit.size, 1)
    contrast = np.zeros((len(first), len(bread)))
    contrast[np.arange(len(first)), first], contrast[np.arange(len(first)), second] = 1, -1
    lead = contrast @ bread
    cell = table.rater.astype(np.int64) * 100_000 + table.prompt
    inner = cluster_parts(fit, table, np.unique(cell, return_inverse=True)[1])[0]
    shared = ((inner @ lead.T) ** 2).sum(axis=0)
    values, vectors = np.linalg.eigh(bread)
    keep = values > 1e-12 * values.max()
    root = (vectors[:, keep] * np.sqrt(values[keep])) @ vectors[:, keep].T
    inverse = (vectors[:, keep] / np.sqrt(values[keep])) @ vectors[:, keep].T
    found = {name: (-shared, np.full(len(first), np.inf)) for name in ("two-way", "CSS", "CR2", "CR3")}
    for labels in (table.rater, table.prompt):
        sums, own = cluster_parts(fit, table, labels)
        groups = len(sums)
        scaled = root @ own @ root
        spectrum, basis = np.linalg.eigh((scaled + np.swapaxes(scaled, 1, 2)) / 2)
        left = np.maximum(1 - spectrum, 1e-6)
        half = (basis / np.sqrt(left)[:, None, :]) @ np.swapaxes(basis, 1, 2)
        whole = (basis / left[:, None, :]) @ np.swapaxes(basis, 1, 2)
        cr2 = np.einsum("ij,gj->gi", inverse, np.einsum("gij,gj->gi", half, sums @ root))
        cr3 = np.einsum("ij,gj->gi", inverse, np.einsum("gij,gj->gi", whole, sums @ root))
        # Effect of a cluster on each contrast where clusters differ: the working model of random effects.
        weight = (np.einsum("cp,gpq->gcq", lead, own) ** 2).sum(axis=2)
        kish = weight.sum(axis=0) ** 2 / (weight**2).sum(axis=0)
        parts = {
            "two-way": (
                groups / (groups - 1) * ((sums @ lead.T) ** 2).sum(axis=0),
                np.full(len(first), groups - 1.0),
            ),
            "CSS": (groups / (groups - 1) * ((sums @ lead.T) ** 2).sum(axis=0), np.maximum(kish - 1, 1)),
            "CR2": (((cr2 @ lead.T) ** 2).sum(axis=0), np.maximum(kish - 1, 1)),
            "CR3": (
                ((cr3 @ lead.T) ** 2).sum(axis=0) * (groups - 1) / groups,
                np.full(len(first), groups - 1.0),
            ),
        }
        for name, (variance, freedom) in parts.items():
            found[name] = found[name][0] + variance, np.minimum(found[name][1], freedom)
    return found


METHODS = {
    "moments": "variance components by moments, Satterthwaite (bench.ratings.clusters)",
    "two-way": "Cameron–Gelbach–Miller, G/(G-1), min(G) - 1 degrees of freedom",
    "CSS": "the same, effective clusters less 1 (Carter, Schnepel and Steigerwald) as degrees of freedom",
    "CR2": "CR2 (Bell and McCaffrey), Satterthwaite under random effects of clusters",
    "CR3": "leave-one-cluster-out jackknife CR3, min(G) - 1 degrees of freedom",
}


def compared(row: Row, repeats: int, seed: int) -> list[dict[str, object]]:
    """Marginal coverage and median width of each method, second simulator."""
    from bench.ratings.uncertainty import t_quantiles

    find, draw = SIMULATORS["second"]
    known = find(row)
    held: dict[str, list[float]] = {name: [] for name in METHODS}
    width: dict[str, list[float]] = {name: [] for name in METHODS}
    for repeat in range(repeats):
        table = draw(row, seed * 100_003 + repeat)
        fit = davidson(table.contenders, count_votes(table))
        first, second = np.triu_indices(fit.size, 1)
        gap = fit.strength[first] - fit.strength[second]
        target = known.abilities[first] - known.abilities[second]
        cover = covariance(fit, table)
        m = cover.matrix
        ours = m[first, first] + m[second, second] - 2 * m[first, second], np.full(len(first), cover.freedom)
        for name, (variance, freedom) in {"moments": ours, **other_methods(fit, table)}.items():
            half = t_quantiles(freedom) * np.sqrt(np.maximum(variance, 1e-12))
            held[name].append(float((np.abs(gap - target) <= half).mean()))
            width[name].append(float(2 * half.mean()))
    return [
        {
            "design": row.name,
            "method": name,
            "repeats": repeats,
            "marginal": float(np.mean(held[name])),
            "marginal error": float(np.std(held[name], ddof=1) / np.sqrt(repeats)),
            "width": float(np.median(width[name])),
        }
        for name in METHODS
    ]


SHARED_PROMPTS = 60
PANELS = (6, 8, 10, 20)


def agreement_truth(rater_sd: float, prompt_sd: float, nu: float) -> tuple[float, float]:
    """Krippendorff's alpha and the ceiling over endless raters and prompts, by Monte Carlo from the equations."""
    rng = np.random.default_rng(7)
    gap = np.sqrt(2) * prompt_sd * rng.standard_normal((4000, 1))
    d = gap + np.sqrt(2) * rater_sd * rng.standard_normal((1, 2000))
    shares = np.stack([np.exp(d / 2), np.exp(-d / 2), np.full(d.shape, nu)])
    by_prompt = (shares / shares.sum(axis=0)).mean(axis=2)
    same, marginal = (by_prompt**2).sum(axis=0).mean(), by_prompt.mean(axis=1)
    alpha = 1 - (1 - same) / (1 - (marginal**2).sum())
    decided = by_prompt[0] + by_prompt[1]
    return float(alpha), float((by_prompt[:2] ** 2).sum() / (decided**2).sum())


def agreement_coverage(raters: int, repeats: int, seed: int) -> dict[str, object]:
    """Share of intervals of agreement that hold the truth, every rater judging SHARED_PROMPTS prompts of one pair."""
    from bench.ratings.rater_agreement import agreement

    rater_sd, prompt_sd, nu = 0.5, 1.0, 0.5
    alpha, ceiling = agreement_truth(rater_sd, prompt_sd, nu)
    held = {"alpha": [], "ceiling": []}
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, raters, repeat])
        gap = np.sqrt(2) * prompt_sd * rng.standard_normal((1, SHARED_PROMPTS))
        d = gap + np.sqrt(2) * rater_sd * rng.standard_normal((raters, 1))
        d = np.broadcast_to(d, (raters, SHARED_PROMPTS)).ravel()
        shares = np.stack([np.exp(d / 2), np.exp(-d / 2), np.full(d.shape, nu)], axis=1)
        below = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
        n = len(d)
        columns = {
            "left": np.zeros(n, int),
            "right": np.ones(n, int),
            "outcome": (rng.random(n)[:, None] > below[:, :2]).sum(axis=1),
            "rater": np.repeat(np.arange(raters), SHARED_PROMPTS),
            "prompt": np.tile(np.arange(SHARED_PROMPTS), raters),
        }
        got = agreement(as_table(columns))
        held["alpha"].append(got.alpha_low <= alpha <= got.alpha_high)
        held["ceiling"].append(got.ceiling_low <= ceiling <= got.ceiling_high)
    return {
        "design": f"{raters} raters, {SHARED_PROMPTS} prompts",
        "repeats": repeats,
        **{name: float(np.mean(values)) for name, values in held.items()},
    }


LOOKS = 12


def false_decisions(row: Row, repeats: int, seed: int) -> dict[str, object]:
    """Share of studies of two equals in which any of LOOKS looks decides, votes arriving in random order."""
    wrong, last, never = 0, 0, 0
    equals = Row(
        name=row.name,
        raters=row.raters,
        prompts=row.prompts,
        votes=row.votes // 2,
        rater_sd=row.rater_sd,
        prompt_sd=row.prompt_sd,
        abilities=(0.0, 0.0),
    )
    for repeat in range(repeats):
        table = SIMULATORS["second"][1](equals, seed * 100_003 + repeat)
        rng = np.random.default_rng(repeat)
        # Odd studies: votes in random order; even ones: rater after rater, the raters in random order.
        order = rng.permutation(len(table))
        if repeat % 2 == 0:
            order = np.argsort(rng.permutation(len(row.raters))[table.rater], kind="stable")
        arrival = np.argsort(order)
        decided = [
            stopping(select(table, arrival < len(table) * look / LOOKS))[0] for look in range(1, LOOKS + 1)
        ]
        wrong += any(one.decided for one in decided)
        last += decided[-1].decided
        never += (decided[-1].low, decided[-1].high) == (0.0, 1.0)
    return {
        "design": row.name,
        "repeats": repeats,
        "false decisions": wrong / repeats,
        "at the last look": last / repeats,
        "too few effective raters at the end": never / repeats,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=PARTS, default=None)
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS], help="measured anew")
    parser.add_argument("--out", type=Path, default=Path("results/coverage"))
    options = parser.parse_args()
    anew = set(options.rows or ())
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "coverage.json"
    document = json.loads(path.read_text()) if path.exists() else {}
    document = {"simulated": True} | {
        k: [row for row in v if row["design"] not in anew or options.only not in (None, k)]
        for k, v in document.items()
        if k in PARTS
    }

    def keep(name: str, rows: list[dict[str, object]]) -> None:
        document[name] = rows
        print(json.dumps(rows[-1]), flush=True)
        path.write_text(json.dumps(document, indent=1) + "\n")
        (options.out / "README.md").write_text(page(document))

    def done(name: str, **key: str) -> bool:
        """Whether an earlier call has measured it."""
        return any(all(row[k] == v for k, v in key.items()) for row in document.get(name, []))

    if options.only in (None, "table"):
        for number, row in enumerate(ROWS):
            if anew and row.name not in anew:
                continue
            for simulator in SIMULATORS:
                if not done("table", design=row.name, simulator=simulator):
                    measured = coverage_row(row, simulator, options.repeats, options.seed * 1000 + number)
                    keep("table", [*document.get("table", []), measured])
    if options.only in (None, "methods"):
        for number, row in enumerate(ROWS[:7]):
            if not done("methods", design=row.name):
                measured = compared(row, options.repeats, options.seed * 2000 + number)
                keep("methods", [*document.get("methods", []), *measured])
    if options.only in (None, "stopping"):
        for number, row in enumerate(ROWS[:-1]):
            if not done("stopping", design=row.name):
                measured = false_decisions(row, options.repeats, options.seed * 3000 + number)
                keep("stopping", [*document.get("stopping", []), measured])
    if options.only in (None, "agreement"):
        rows = [agreement_coverage(raters, options.repeats, options.seed * 4000) for raters in PANELS]
        keep("agreement", rows)


def page(document: dict) -> str:
    """The tables, with what they stand on."""
    lines = ["# Coverage of the intervals (simulated votes)", ""]
    if "table" in document:
        names = [row.name for row in ROWS]
        lines += coverage_lines(sorted(document["table"], key=lambda row: names.index(row["design"])))
    if "methods" in document:
        lines += methods_lines(document["methods"])
    if "stopping" in document:
        lines += stopping_lines(document["stopping"])
    if "agreement" in document:
        lines += agreement_lines(document["agreement"])
    return "\n".join(lines)


def percent(row: dict, kind: str) -> str:
    return f"{row[kind]:.1%} ± {row[f'{kind} error']:.1%}"


def coverage_lines(rows: list[dict]) -> list[str]:
    return [
        "Made by `python tests/performance/coverage.py`. Nominal: 95%, equivalence 90%. Six contenders, 4,000 votes, "
        "40 raters, 100 prompts, rater SD 0.5, prompt SD 0.7 logits, about 20% ties, unless the row "
        "says otherwise. ±: one standard error of the simulation. "
        "The truth is what endless raters, prompts and votes give.",
        "",
        "| design | simulator | studies | marginal | joint | win rate | average win rate | equivalence "
        "| metric's accuracy | effective raters | degrees of freedom | width |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['design']} | {row['simulator']} | {row['repeats']} | "
            + " | ".join(percent(row, kind) for kind in KINDS)
            + f" | {row['effective raters']:.1f} | {row['freedom']:.0f} | {row['width']:.2f} |"
            for row in rows
        ),
        "",
        "Marginal: each difference of two ratings on its own. Joint: all differences of a study at once. Metric's "
        "accuracy: share of decided votes that a fixed order of the contenders predicts. Width: median of the marginal "
        "intervals, logits. One rater only: no method can hold; `arena rate` refuses it without `--this-rater-only`.",
        "",
    ]


def methods_lines(rows: list[dict]) -> list[str]:
    names = list(METHODS)
    designs = list(dict.fromkeys(row["design"] for row in rows))
    by = {(row["design"], row["method"]): row for row in rows}
    return [
        "## Methods compared",
        "",
        f"Marginal coverage and, in brackets, the median width over that of ours; second simulator, "
        f"{min(row['repeats'] for row in rows)} studies a row at least.",
        "",
        "| design | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
        *(
            f"| {design} | "
            + " | ".join(
                f"{by[design, name]['marginal']:.1%} ({by[design, name]['width'] / by[design, names[0]]['width']:.2f})"
                for name in names
            )
            + " |"
            for design in designs
        ),
        "",
        *(f"- {name}: {what}." for name, what in METHODS.items()),
        "",
        "Where one rater gives half of the votes, that rater's residual is a fixed share of the error of the estimate: "
        "the residual-based methods cannot tell a large error from a small one, and cover by the width of Student's t "
        "with one degree of freedom or not at all.",
        "",
    ]


def stopping_lines(rows: list[dict]) -> list[str]:
    return [
        "## False decisions of the stopping rule",
        "",
        f"Two equal contenders, half of the row's votes, {LOOKS} looks, second simulator; half of the studies get "
        "their votes in random order, half rater after rater. Allowed: 5%.",
        "",
        "| design | studies | false decisions | at the last look | no decision possible at the end |",
        "|---|---|---|---|---|",
        *(
            f"| {row['design']} | {row['repeats']} | {row['false decisions']:.1%} | {row['at the last look']:.1%} "
            f"| {row['too few effective raters at the end']:.0%} |"
            for row in rows
        ),
        "",
        "No decision possible: the raters (or prompts) count as fewer than five even ones (Kish).",
        "",
    ]


def agreement_lines(rows: list[dict]) -> list[str]:
    return [
        "## Agreement of raters",
        "",
        "Share of 95% intervals that hold the truth over endless raters and prompts; every rater judges every prompt "
        "of one pair, rater SD 0.5, prompt SD 1 logits. Ceiling: how well one rater predicts another.",
        "",
        "| design | studies | Krippendorff's alpha | ceiling |",
        "|---|---|---|---|",
        *(
            f"| {row['design']} | {row['repeats']} | {row['alpha']:.1%} | {row['ceiling']:.1%} |"
            for row in rows
        ),
        "",
    ]


if __name__ == "__main__":
    main()
