"""What ten million images of fifty contenders need: rows, resume scan, memory, features; measured small.

`python -m tests.performance.ten_million` writes results/speed/ten_million.json: processor seconds and memory a row at
100,000 and 300,000 rows, which a study of ten million multiplies. No image is written.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.metrics.features import FeatureStore
from bench.records import Generation, iterate_rows, to_json
from bench.store.study_folder import StudyFolder
from tests.conftest import ROOT

CONTENDERS = 50


def rows(count: int):
    for number in range(count):
        yield Generation(
            contender=f"a-model-of-some-name@{number % CONTENDERS}", prompt_id=f"prompts-{number // CONTENDERS:06d}",
            replicate=0, seed=number * 2**40, sha256=f"{number:064x}", bytes=400_000, width=512, height=512,
            seconds=0.05, settings="0123456789abcdef",
        )  # fmt: skip


def taken(function) -> tuple[float, float, object]:
    """Processor seconds, MiB that stay, and the value."""
    gc.collect()
    before, began = psutil.Process().memory_info().rss, time.process_time()
    value = function()
    seconds = time.process_time() - began
    gc.collect()
    return seconds, (psutil.Process().memory_info().rss - before) / 2**20, value


def measure(count: int) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = StudyFolder(Path(name))
        with folder.generations_file.open("w") as file:
            file.writelines(to_json(row) + "\n" for row in rows(count))
        size = folder.generations_file.stat().st_size
        scan, _, _ = taken(lambda: sum(1 for _ in iterate_rows(folder.generations_file, Generation)))
        stats, _, _ = taken(lambda: sum(1 for _ in folder.intact()))
        reading, memory, found = taken(folder.generations)
        del found
        store = FeatureStore(Path(name), {"of": "images"})
        store.dimension = 1
        store.folder.mkdir()
        store.rows_file.write_bytes(bytes(4 * count))
        store.keys_file.write_text("".join(f"{number:064x}\n" for number in range(count)))
        index, index_memory, _ = taken(store._read_keys)
    return {
        "rows": count,
        "bytes a row": round(size / count),
        "scan, s": round(scan, 2),
        "scan with file sizes, s": round(stats, 2),
        "all rows in memory, s": round(reading, 2),
        "all rows in memory, MiB": round(memory),
        "features' keys, s": round(index, 2),
        "features' keys, MiB": round(index_memory),
    }


def main() -> None:
    found = [measure(count) for count in (100_000, 300_000)]
    text = json.dumps(found, indent=1) + "\n"
    print(text)
    (ROOT / "results" / "speed" / "ten_million.json").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
