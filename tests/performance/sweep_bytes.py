"""Bytes of images and features over threads, processes, Ray and an object store, in one table.

`python -m tests.performance.sweep_bytes` runs `bench generate` and `bench score` of the miniature models in each way,
and writes results/faults/bytes.md: images and rows of features that equal those of one process with one thread.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.store.mirror import mirrored
from bench.store.object_store import ObjectFolder
from bench.store.study_folder import StudyFolder
from tests.conftest import ROOT

BIN = Path(sys.executable).parent
STUDY = """name = "bytes"
contenders = ["mini-turbo@1"]
display_size = 64
[prompts]
set = "miniature"
first = 24
[generate]
batch_size = 8
[metrics]
names = ["mini_clip_score"]
"""
PORT = 26379
PAGE = (
    "# The same bytes on any number of workers\n\nImages of `mini-turbo@1` at batch 8 and rows "
    "of "
    "`mini_clip_score`'s features, equal to the bit to those of one process with one thread. A folder holds to the "
    "thread count that its first images and its first features were computed with; a folder begun with another has "
    "other last bits where the table says so. `python -m tests.performance.sweep_bytes` writes this page.\n\n"
    "| way | images equal | feature rows equal |\n|---|---|---|\n"
)


def command(words: list, threads: int, **more: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads), **more}
    done = subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


@contextlib.contextmanager
def ray() -> Iterator[str]:
    """A cluster of one node with two CPUs."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        process = subprocess.Popen(
            [BIN / "ray", "start", "--head", f"--port={PORT}", "--num-cpus=2", "--num-gpus=0", "--block",
             "--object-store-memory=80000000", "--disable-usage-stats", "--include-dashboard=false",
             f"--temp-dir={place}"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            time.sleep(20)
            yield f"127.0.0.1:{PORT}"
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def bucket() -> Iterator[str]:
    """A bucket of a real S3-compatible server on this machine."""
    import fsspec

    with tempfile.NamedTemporaryFile("w+") as log:
        server = subprocess.Popen([BIN / "moto_server", "-H", "127.0.0.1", "-p", "0"], stdout=log, stderr=log)
        try:
            while not (found := re.findall(r"http://127\.0\.0\.1:\d+", Path(log.name).read_text())):
                time.sleep(0.2)
            values = {"AWS_ENDPOINT_URL": found[-1], "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
            os.environ.update(values, AWS_DEFAULT_REGION="us-east-1")
            fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bytes")
            yield "s3://bytes"
        finally:
            server.kill()
            server.wait()


def rows_by_key(folder: StudyFolder) -> dict:
    found = {}
    for store in sorted((folder.path / "features").iterdir()):
        keys = (store / "keys.txt").read_text().split()
        data = (store / "rows.f32").read_bytes()
        width = len(data) // len(keys)
        found |= {(store.name, key): data[i * width : (i + 1) * width] for i, key in enumerate(keys)}
    return found


def made(folder: StudyFolder | ObjectFolder) -> tuple[dict, dict]:
    """Hashes of images, and rows of features."""
    images = {key: row.sha256 for key, row in folder.generations().items()}
    if isinstance(folder, StudyFolder):
        return images, rows_by_key(folder)
    with mirrored(folder) as mirror:
        return images, rows_by_key(mirror)


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name, ray() as cluster, bucket() as store:
        place = Path(name)
        os.environ["TURBO_BENCH_CACHE"] = os.environ.get("TURBO_BENCH_CACHE", str(place / "cache"))
        study = place / "bytes.toml"
        study.write_text(STUDY)
        several = [("--processes", "2"), ("--processes", "4"), ("--engine", "ray", "--address", cluster)]
        ways = [
            ("one process, 1 thread", 1, (), None),
            ("one process, 2 threads", 2, (), None),
            ("2 processes, 1 thread each", 1, several[0], None),
            ("4 processes, 1 thread each", 1, several[1], None),
            ("Ray, 2 actors, 1 thread each", 1, several[2], None),
            ("one process, 1 thread, S3", 1, (), store),
            ("2 processes, 1 thread each, S3", 1, several[0], store),
            ("Ray, 2 actors, S3", 1, several[2], store),
        ]
        expected: tuple[dict, dict] = ({}, {})
        for number, (what, threads, options, shared) in enumerate(ways):
            results = f"{shared}/{number}" if shared else place / str(number)
            for stage in ("generate", "score"):
                command(
                    [BIN / "bench", stage, study, "--results", results, "--device", "cpu", *options], threads
                )
            found = made(ObjectFolder(f"{results}/bytes") if shared else StudyFolder(Path(results) / "bytes"))
            expected = expected if number else found
            equal = [
                sum(now.get(key) == then[key] for key in then)
                for now, then in zip(found, expected, strict=True)
            ]
            rows.append(f"| {what} | {equal[0]} of {len(expected[0])} | {equal[1]} of {len(expected[1])} |")
            print(rows[-1], flush=True)
            (ROOT / "results" / "faults" / "bytes.md").write_text(PAGE + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
