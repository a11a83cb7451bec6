"""Two runs of one unchanged study, again and again, while other processes come and go: what `bench diff` says of it.

    python tests/performance/latency_repeats.py [--pairs 20] [--bursts] [--out results/latency]

Each round times the same contenders twice (`bench latency`'s passes, a forked process a run) and once more with a
change: two steps more in one contender, under the same name. What else runs on the machine is left as it is; on a
quiet one `--bursts` adds a process that takes a processor for 1 to 15 s with pauses of 1 to 15 s. `bench diff`
compares the folders. Beside it stands what the samples say when they are taken as independent: intervals of two
medians that lie apart, which is how runs were compared before.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

STUDY = """name = "repeats"
contenders = ["tiny-sdxl@8", "tiny-turbo@1"]
[prompts]
set = "turbo-264"
count = 16
[metrics]
names = []
"""
OPEN: dict[str, Any] = {}
"""Pipelines by the model's name."""
FORK = multiprocessing.get_context("fork")
CHANGED, STEPS = "tiny-sdxl@8", 10
"""The contender that takes more steps under the same name, and how many."""
BURST = (1.0, 15.0)
"""Seconds of work and of pause of the disturbing process."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--bursts", action="store_true")
    arguments = parser.parse_args()
    document = rounds(arguments.pairs, arguments.out, arguments.bursts)
    print(table(document))


def disturb(seed: int) -> None:
    """Products of matrices in bursts until it is ended."""
    draw = random.Random(seed)
    matrix = np.random.default_rng(seed).standard_normal((300, 300))
    while os.getppid() != 1:
        end = time.monotonic() + draw.uniform(*BURST)
        while time.monotonic() < end:
            matrix @ matrix
        time.sleep(draw.uniform(*BURST))


def run(place: Path, steps: int) -> None:
    """One measurement, as `bench latency` does it."""
    from bench.latency.measure import Protocol, measure
    from bench.store.study_folder import StudyFolder
    from bench.study.study import read
    from bench.sweep.settings import Options

    place.mkdir(parents=True)
    (place / "study.toml").write_text(STUDY)
    study = read(place / "study.toml")

    def opened(model: Any, **_: Any) -> Any:
        pipeline = OPEN[model.name]
        return More(pipeline, steps) if steps and model.name == CHANGED.partition("@")[0] else pipeline

    measure(study, StudyFolder(place), Options(device="cpu"), Protocol(samples=10, forwards=0), load=opened)


def open_pipelines() -> None:
    """Before the forks, which share them: what is measured is the calls, not the loading."""
    from bench.models.load import load
    from bench.models.registry import MODELS

    for name in ("tiny-sdxl", "tiny-turbo"):
        OPEN[name] = load(MODELS[name], device="cpu", dtype="float32", optimize="none", weights="pretrained")


class More:
    """A pipeline that takes more steps than its contender says: a change that a release might bring."""

    def __init__(self, pipeline: Any, steps: int) -> None:
        self.pipeline, self.steps = pipeline, steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipeline, name)

    def denoise(self, embeddings: Any, *, contender: Any, **start: Any) -> Any:
        return self.pipeline.denoise(embeddings, contender=replace(contender, steps=self.steps), **start)


def rounds(pairs: int, out: Path | None, bursts: bool) -> dict[str, Any]:
    """Every comparison of every round; written after each round."""
    import torch

    torch.set_num_threads(1)
    open_pipelines()
    from bench.report.results import read_results
    from bench.store.study_folder import StudyFolder

    found: dict[str, Any] = {"unchanged": [], "changed": [], "others": [], "disturbed": 0, "passes": 0}
    with tempfile.TemporaryDirectory(prefix="bench-repeats-") as name:
        for number in range(pairs):
            noise = FORK.Process(target=disturb, args=(number,)) if bursts else None
            if noise:
                noise.start()
            try:
                parts = []
                for label, steps in (("first", 0), ("second", 0), ("changed", STEPS)):
                    place = Path(name) / f"{number}-{label}"
                    process = FORK.Process(target=run, args=(place, steps))
                    process.start()
                    process.join()
                    parts.append(read_results(StudyFolder(place)))
                    document = json.loads((place / "latency.json").read_text())
                    found["others"] += [done["others"] for done in document["passes"]]
                    found["passes"] += len(document["passes"])
                    found["disturbed"] += sum(bool(done["disturbed"]) for done in document["passes"])
            finally:
                if noise:
                    noise.terminate()
                    noise.join()
            first, second, changed = parts
            found["unchanged"].append(compared(first, second))
            found["changed"].append(compared(first, changed))
            print(f"round {number + 1} of {pairs}", found["unchanged"][-1], found["changed"][-1], flush=True)
            if out:
                out.mkdir(parents=True, exist_ok=True)
                (out / "repeats.json").write_text(json.dumps(found, indent=1) + "\n")
                (out / "repeats.md").write_text(table(found))
    return found


def compared(old: Any, new: Any) -> dict[str, dict[str, Any]]:
    """Of each contender: the verdict of `bench diff`, that of two medians, and the ratio of the times."""
    from bench.report.comparison import changes

    rows, _ = changes(old, new)
    found = {}
    for row in rows:
        if not row.what.startswith("Latency"):
            continue
        assert row.old.value is not None
        assert row.difference.low is not None
        assert row.difference.high is not None
        assert row.difference.value is not None
        ends = [row.difference.value, row.difference.low, row.difference.high]
        found[row.contender] = {
            "diff": row.verdict,
            "medians": medians(samples(old, row.contender), samples(new, row.contender)),
            "ratio": [round(1 + end / row.old.value, 4) for end in ends],
        }
    return found


def samples(results: Any, contender: str) -> np.ndarray:
    return next(
        np.array(row.seconds) for row in results.timings if (row.contender, row.stage) == (contender, "total")
    )


def medians(old: np.ndarray, new: np.ndarray) -> str:
    """As if samples were independent: do the order-statistic intervals of two medians lie apart by over 5%?"""
    from scipy.stats import binom

    ends = []
    for values in (old, new):
        ordered, n = np.sort(values), len(values)
        low = int(binom.ppf(0.025, n, 0.5)) - 1
        ends.append((ordered[max(low, 0)], ordered[min(n - 1 - low, n - 1)]))
    (first_low, first_high), (second_low, second_high) = ends
    slack = 0.05 * float(np.median(old))
    if second_low - first_high > slack:
        return "worse"
    return "better" if first_low - second_high > slack else "same"


def table(document: dict[str, Any]) -> str:
    """The counts, for people."""
    unchanged, changed = document["unchanged"], document["changed"]
    names = list(unchanged[0])
    others = np.array([part for part in document["others"] if part is not None])
    lines = [
        "# Two runs of one study on a disturbed machine",
        "",
        f"Made by `python tests/performance/latency_repeats.py --pairs {len(unchanged)}`: tiny models, CPU. In each "
        f"round two runs of the same study and one in which `{CHANGED}` takes {STEPS} steps under the same name. Other "
        "processes used "
        f"{100 * np.quantile(others, 0.1):.0f} to {100 * np.quantile(others, 0.9):.0f}% of the processors (10% to 90% "
        f"of passes), and {document['disturbed']} of {document['passes']} passes were marked as disturbed. "
        "`two medians`: samples taken as independent, intervals apart by over 5%, as runs were compared before.",
        "",
        "| compared | contender | pairs | `bench diff`: changed | two medians: changed | ratio, middle of the pairs |"
        " pairs between |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, pairs in (("unchanged", unchanged), ("two steps more", changed)):
        for name in names:
            rows = [pair[name] for pair in pairs if name in pair]
            ratios = np.array([row["ratio"][0] for row in rows])
            label = what if what == "unchanged" or name == CHANGED else "unchanged"
            counts = [sum(row[key] != "same" for row in rows) for key in ("diff", "medians")]
            lines.append(
                f"| {label} | {name} | {len(rows)} | {counts[0]} | {counts[1]} | {np.median(ratios):.3f} | "
                f"{ratios.min():.2f} to {ratios.max():.2f} |"
            )
    runs = [any(row["diff"] != "same" for row in pair.values()) for pair in unchanged]
    found = [pair[CHANGED]["diff"] == "worse" for pair in changed]
    lines += [
        "",
        f"False alarms of `bench diff` over whole runs (any of {len(names)} contenders): {sum(runs)} of {len(runs)}. "
        f"The true change was found in {sum(found)} of {len(found)}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
