"""`bench generate` with null pipelines, to be killed: python -m tests.support.sweep_process STUDY RESULTS [options]."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from bench.errors import InputError
from bench.run import interruptible, on_disk_or_not
from bench.study.study import read
from bench.sweep.generate import generate
from bench.sweep.processes import Processes
from bench.sweep.settings import Options
from bench.sweep.work import alone
from bench.sweep.workers import Here
from tests.support.null_pipeline import load


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("results", type=Path)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--ray")
    parser.add_argument("--pause", type=float, default=0.0)
    asked = parser.parse_args()
    engine = Here()
    study = read(asked.study)
    try:
        if asked.ray:
            from bench.sweep.ray_cluster import Cluster

            engine = Cluster(asked.ray, 2, "cpu", alone)
        elif asked.processes:
            engine = Processes([None] * asked.processes, alone)
        with on_disk_or_not(study, asked.results) as folder, interruptible() as stop:
            loader = partial(load, pause=asked.pause)
            summary = generate(study, folder, Options(device="cpu"), load=loader, engine=engine, stop=stop)
    except InputError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(f"{summary.made} made, {summary.kept} kept")
    return 130 if summary.stopped else 0


if __name__ == "__main__":
    sys.exit(main())
