"""What a study costs as it grows: images a second, memory, and the scan with which a resumed study begins.

    PYTHONPATH=. TMPDIR=/dev/shm python tests/performance/growth.py [--sizes 1000,10000,100000] [--out FOLDER]

Claim: time is linear in the images, memory is flat, and a resumed study of 100,000 rows is under way in 5 s.
Null pipelines (a picture is 16 px of noise), so that the harness alone is measured; a process a size. The peer
draws, encodes and durably writes the same pictures with as many threads, and does nothing else: no plan, no
rows, no hashes. Memory is the process's peak beyond what it had before the first image. The study lies in TMPDIR.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.store.images import encode_webp
from bench.store.study_folder import StudyFolder, write_bytes
from bench.study.study import read
from bench.sweep.generate import generate
from bench.sweep.inventory import census
from bench.sweep.settings import Options
from tests.support.null_pipeline import NullPipeline, load

CONTENDERS = ("tiny-turbo@1", "tiny-turbo@4", "tiny-sdxl@1", "tiny-sdxl@2", "tiny-lcm@4")
REPLICATES = 2
HEAD = (
    "| images | images/s | bare, images/s | ratio | seconds | memory beyond the start, MiB | whole process, MiB "
    "| resume scan, s | bytes a row |"
)


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bare(images: int, place: Path) -> float:
    """Images a second without the harness."""
    pipeline = NullPipeline()

    def write(number: int) -> None:
        (picture,) = pipeline.decode([("", number)])
        write_bytes(place / f"{number}.webp", encode_webp(picture))

    began = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(write, range(images)):
            pass
    return images / (time.perf_counter() - began)


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
        folder.write_study(study.text, study.prompts)
        before = peak()
        summary = generate(study, folder, Options(device="cpu"), load=load)
        after = peak()
        began = time.perf_counter()
        found = census(study, folder)
        scan = time.perf_counter() - began
    (place / "bare").mkdir()
    peer = bare(min(images, 10_000), place / "bare")
    assert found.counts.total() == summary.made == images
    return {
        "images": images,
        "seconds": summary.seconds,
        "images_per_second": images / summary.seconds,
        "bare_images_per_second": peer,
        "memory_mib": after - before,
        "whole_process_mib": after,
        "scan_seconds": scan,
        "bytes_a_row": folder.generations_file.stat().st_size / images,
    }


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
    table = [HEAD, re.sub(r"[^|]+", "---", HEAD)]
    print("\n".join(table))
    for size in asked.sizes.split(","):
        done = subprocess.run(
            [sys.executable, __file__, "--one", size], capture_output=True, text=True, check=True
        )
        row = json.loads(done.stdout)
        rows.append(row)
        rate, peer = row["images_per_second"], row["bare_images_per_second"]
        table.append(
            f"| {row['images']:,} | {rate:.0f} | {peer:.0f} | {rate / peer:.2f} | {row['seconds']:.1f} | "
            f"{row['memory_mib']:.0f} | {row['whole_process_mib']:.0f} | {row['scan_seconds']:.2f} | "
            f"{row['bytes_a_row']:.0f} |"
        )
        print(table[-1], flush=True)
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "growth.json").write_text(json.dumps(rows, indent=1) + "\n")
        (asked.out / "growth.md").write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
