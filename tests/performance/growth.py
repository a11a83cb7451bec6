"""What a study costs as it grows: images a second, memory, and the scan with which a resumed study begins.

    PYTHONPATH=. python tests/performance/growth.py [--sizes 1000,10000,100000] [--out results/growth]

Claim: time is linear in the images, memory is flat, and a resumed study of 100,000 rows is under way in 5 s.
Null pipelines (a picture is 16 px of noise), so that the harness alone is measured; a process a size. Memory is
the process's peak beyond what it had before the first image.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.generate import generate
from bench.plan import Options, census
from bench.store import StudyFolder
from bench.study import read
from tests.bench.null import load

CONTENDERS = ("tiny-turbo@1", "tiny-turbo@4", "tiny-sdxl@1", "tiny-sdxl@2", "tiny-lcm@4")
REPLICATES = 2


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(images: int, place: Path) -> dict[str, float]:
    prompts = images // len(CONTENDERS) // REPLICATES
    (place / "prompts.txt").write_text("".join(f"prompt number {i} of many\n" for i in range(prompts)))
    (place / "study.toml").write_text(
        f'name = "growth"\ncontenders = {json.dumps(CONTENDERS)}\nimages_per_prompt = {REPLICATES}\n'
        'display_size = 16\n[prompts]\nfile = "prompts.txt"\n[generate]\nbatch_size = 16\n'
    )
    study = read(place / "study.toml")
    folder = StudyFolder(place / "growth")
    with folder.lock():
        folder.freeze(study.text, study.prompts)
        before = peak()
        summary = generate(study, folder, Options(device="cpu"), load=load)
        after = peak()
        began = time.perf_counter()
        found = census(study, folder)
        scan = time.perf_counter() - began
    assert found.counts.total() == summary.made == images
    return {
        "images": images, "seconds": summary.seconds, "images_per_second": images / summary.seconds,
        "memory_mib": after - before, "whole_process_mib": after, "scan_seconds": scan,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        place = Path(tempfile.mkdtemp(prefix="growth-"))
        try:
            print(json.dumps(measure(asked.one, place)))
        finally:
            shutil.rmtree(place)
        return
    rows = []
    print(
        "| images | images/s | seconds | memory beyond the start, MiB | whole process, MiB | resume scan, s |"
    )
    print("|---|---|---|---|---|---|")
    for size in asked.sizes.split(","):
        done = subprocess.run(
            [sys.executable, __file__, "--one", size], capture_output=True, text=True, check=True
        )
        row = json.loads(done.stdout)
        rows.append(row)
        print(
            f"| {row['images']:,} | {row['images_per_second']:.0f} | {row['seconds']:.1f} | {row['memory_mib']:.0f} "
            f"| {row['whole_process_mib']:.0f} | {row['scan_seconds']:.2f} |",
            flush=True,
        )
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "growth.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
