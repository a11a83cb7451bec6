"""Speed of ratings on one million votes, beside evalica, choix and a plain logistic regression, in one run.

    python tests/performance/ratings_speed.py [--votes 1000000] [--ten-million] [--out results/speed]

Every library gets the same votes, already coded as integers in the form that it takes. Votes are simulated.
Wall seconds depend on what else the machine does; processor seconds of all threads and processes do not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.ratings.bootstrap import cluster_bootstrap
from bench.ratings.covariance import covariance
from bench.ratings.elo import elo_add
from bench.ratings.fits import bradley_terry, count_votes, davidson
from bench.ratings.simulation import Design, simulate_votes
from bench.ratings.uncertainty import rank_sets, simultaneous_differences
from bench.ratings.vote_table import VoteTable
from bench.ratings.votes_file import read_votes


def timed(call: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Wall seconds, and processor seconds of all threads and finished children: on a busy machine the
    second is what the work takes."""
    began, used = time.perf_counter(), _processor()
    result = call()
    return {"wall": time.perf_counter() - began, "processor": _processor() - used}, result


def _processor() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def made(votes: int, models: int) -> VoteTable:
    """100 votes a rater, 1,632 prompts."""
    strengths = tuple(np.random.default_rng(models).normal(0, 0.6, models).tolist())
    design = Design(strengths=strengths, raters=votes // 100, votes_per_rater=100, prompts=1632, position=0.1)
    return simulate_votes(design, models)


def claims(table: VoteTable) -> None:
    """Fit, two-way covariance, joint differences, rank sets."""
    fit = davidson(table.contenders, count_votes(table))
    found = covariance(fit, table)
    joint = simultaneous_differences(fit.strength, found.matrix, found.freedom)
    rank_sets(joint, fit.size)


def peers(table: VoteTable) -> dict[str, dict[str, float]]:
    """Seconds of one Bradley–Terry point estimate by each library; ours beside it."""
    import choix
    import evalica
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

    m, n = len(table.contenders), len(table)
    left, right = table.left.astype(int), table.right.astype(int)
    index = {"xs": left.tolist(), "ys": right.tolist()}
    winner = [(evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw)[o] for o in table.outcome.tolist()]
    decided = table.outcome < 2
    won = np.where(table.outcome == 0, left, right)[decided]
    lost = np.where(table.outcome == 0, right, left)[decided]
    pairs = list(zip(won.tolist(), lost.tolist(), strict=True))
    rows = np.repeat(np.arange(int(decided.sum())), 2)
    columns = np.stack([left[decided], right[decided]], axis=1).ravel()
    design = csr_array((np.tile([1.0, -1.0], len(rows) // 2), (rows, columns)), shape=(len(rows) // 2, m))
    model = LogisticRegression(C=1e6, fit_intercept=True, tol=1e-8, max_iter=1000)
    ours = min(
        (timed(lambda: bradley_terry(table.contenders, count_votes(table)))[0] for _ in range(5)),
        key=lambda seconds: seconds["processor"],
    )
    result: dict[str, dict[str, float]] = {"ours": ours}
    result["evalica"], _ = timed(lambda: evalica.bradley_terry(**index, winners=winner, tolerance=1e-8))
    result["logistic regression (scikit-learn)"], _ = timed(
        lambda: model.fit(design, table.outcome[decided] == 0)
    )
    part = pairs[:: max(1, n // 100_000)]
    seconds, _ = timed(lambda: choix.opt_pairwise(m, part, alpha=1e-6))
    result["choix (opt_pairwise, scaled up linearly)"] = {
        clock: value * len(pairs) / len(part) for clock, value in seconds.items()
    }
    return result


def reading(table: VoteTable) -> dict[str, Any]:
    """Seconds to read and code a CSV and a Parquet file of these votes."""
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet

    assert table.rater is not None
    assert table.prompt is not None
    names, raters, prompts = (np.array(x) for x in (table.contenders, table.raters, table.prompts))
    winner = np.array(["model_a", "model_b", "tie", "both_bad"])[table.outcome]
    data = pa.table(
        {
            "model_a": names[table.left],
            "model_b": names[table.right],
            "winner": winner,
            "rater": raters[table.rater],
            "prompt": prompts[table.prompt],
        }
    )
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix, write in ((".csv", csv.write_csv), (".parquet", parquet.write_table)):
            path = Path(folder) / f"votes{suffix}"
            write(data, path)
            result[f"read {suffix}"], back = timed(lambda path=path: read_votes(path))
            assert len(back) == len(table)
    return result


def large(one_million: float) -> dict[str, Any]:
    """Ten million votes of 20 models: seconds, against ten times `one_million`, and memory in GB."""
    import tracemalloc

    table = made(10_000_000, 20)
    columns = (table.left, table.right, table.outcome, table.weight, table.rater, table.prompt)
    seconds = min((timed(lambda: claims(table))[0] for _ in range(3)), key=lambda found: found["processor"])
    tracemalloc.start()
    claims(table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "seconds": seconds,
        "processor time over ten times that of a million": seconds["processor"] / (10 * one_million),
        "columns held, GB": sum(column.nbytes for column in columns if column is not None) / 1e9,
        "peak above the columns, GB": peak / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=1_000_000)
    parser.add_argument("--ten-million", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for ratings.json and README.md")
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    claims(made(2000, 3))  # imports and first calls are not what is measured
    found: dict[str, Any] = {"votes": options.votes, "cores": cores, "load": os.getloadavg()}
    for models in (20, 200):
        table = made(options.votes, models)
        row: dict[str, Any] = {
            "fit, two-way covariance, ranks": min(
                (timed(lambda t=table: claims(t))[0] for _ in range(3)), key=lambda seconds: seconds["wall"]
            )
        }
        fit = davidson(table.contenders, count_votes(table))
        row["1,000 cluster-bootstrap replicates"], _ = timed(
            lambda f=fit, t=table: cluster_bootstrap(f, t, replicates=1000)
        )
        row["Bradley-Terry point estimate"] = peers(table)
        ours = row["Bradley-Terry point estimate"]["ours"]["processor"]
        row["ratio to ours, processor time"] = {
            name: seconds["processor"] / ours for name, seconds in row["Bradley-Terry point estimate"].items()
        }
        found[f"{models} models"] = row
        print(json.dumps({f"{models} models": row}), flush=True)
    table = made(options.votes, 20)
    found |= reading(table)
    found["elo-add, 1,000 shuffles"], _ = timed(lambda: elo_add([table], shuffles=1000))
    if options.ten_million:
        del table
        found["ten million"] = large(found["20 models"]["fit, two-way covariance, ranks"]["processor"])
    print(json.dumps({key: value for key, value in found.items() if not key.endswith(" models")}, indent=1))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "ratings.json").write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "README.md").write_text(page(found))


def page(found: dict[str, Any]) -> str:
    """Two tables: what was promised and what it took; the same estimate by each library."""
    few, many = found["20 models"], found["200 models"]
    claims_, draws = "fit, two-way covariance, ranks", "1,000 cluster-bootstrap replicates"
    load = ", ".join(f"{value:.1f}" for value in found["load"])
    lines = [
        "# Speed of ratings (simulated votes)",
        "",
        f"Made by `PYTHONPATH=. python tests/performance/ratings_speed.py --ten-million --out results/speed`: "
        f"{found['votes']:,} votes, 100 a rater, 1,632 prompts, integer-coded columns; {found['cores']} cores, "
        f"load averages before {load}. Wall seconds are as the machine was, with other work on it; processor "
        "seconds are what the work took, all threads and processes together.",
        "",
        "| what | limit, s | wall, s | processor, s |",
        "|---|---|---|---|",
        _limit("fit, two-way covariance and rank sets, 20 models", "1", few[claims_]),
        _limit("the same, 200 models", "3", many[claims_]),
        _limit("1,000 cluster-bootstrap replicates, 20 models", "10, two cores", few[draws]),
        _limit("the same, 200 models", "60, two cores", many[draws]),
        _limit("`elo-add`, 1,000 shuffles, 20 models", "5, one core", found["elo-add, 1,000 shuffles"]),
        _limit("read and code a CSV", "2", found["read .csv"]),
        _limit("read and code a Parquet file", "2", found["read .parquet"]),
    ]
    if "ten million" in found:
        ten = found["ten million"]
        lines += [
            _limit("ten million votes: fit, covariance, rank sets, 20 models", "linear", ten["seconds"]),
            "",
            f"Ten million votes take {ten['processor time over ten times that of a million']:.2f} of ten times "
            f"a million's processor time; their columns hold {ten['columns held, GB']:.2f} GB, and the work's own "
            f"arrays peak at {ten['peak above the columns, GB']:.2f} GB above them.",
        ]
    lines += [
        "",
        "## One Bradley–Terry point estimate of the same votes, in the same run",
        "",
        "| library | 20 models, processor s | ratio | 200 models, processor s | ratio |",
        "|---|---|---|---|---|",
    ]
    ratio, estimate = "ratio to ours, processor time", "Bradley-Terry point estimate"
    for name in few[estimate]:
        cells = (
            f"{part[estimate][name]['processor']:.3g} | {part[ratio][name]:,.0f}" for part in (few, many)
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "Ours starts from the coded columns and counts them first; evalica and choix start from lists of their "
        "own kind, made beforehand; the logistic regression from a sparse design made beforehand.",
        "",
    ]
    return "\n".join(lines)


def _limit(what: str, limit: str, seconds: dict[str, float]) -> str:
    return f"| {what} | {limit} | {seconds['wall']:.2f} | {seconds['processor']:.2f} |"


if __name__ == "__main__":
    main()
