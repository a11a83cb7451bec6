"""Speed of ratings on one million votes, beside evalica, choix and a plain logistic regression, in one run.

    python tests/performance/ratings_speed.py [--votes 1000000] [--ten-million] [--out FILE]

Every library gets the same votes, already coded as integers in the form that it takes. Votes are simulated.
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

from arena.battles import VoteTable
from arena.bootstrap import cluster_bootstrap
from arena.elo import elo_add
from arena.planning import Design, simulate_votes
from arena.ratings import bradley_terry, count_votes, davidson
from arena.uncertainty import covariance, rank_sets, simultaneous_differences
from arena.votes_file import read_votes


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=1_000_000)
    parser.add_argument("--ten-million", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON file")
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
    found["elo-add, 1,000 shuffles"], _ = timed(lambda: elo_add([table], shuffles=1000, workers=cores))
    if options.ten_million:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        large = made(10_000_000, 20)
        held = sum(v.nbytes for v in (large.left, large.right, large.outcome, large.weight))
        held += large.rater.nbytes + large.prompt.nbytes  # pyright: ignore[reportOptionalMemberAccess]
        found["ten million votes: fit, two-way covariance, ranks"], _ = timed(lambda: claims(large))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found["ten million votes: columns held, GB"] = held / 1e9
        found["ten million votes: peak memory of the process, GB"] = max(peak, before) / 1e6
    print(json.dumps({key: value for key, value in found.items() if not key.endswith(" models")}, indent=1))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
