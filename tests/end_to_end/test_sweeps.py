"""One study under `accelerate launch` and on a real Ray cluster, whose driver and node are killed: the same bytes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.models.load import load
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.generate import generate
from bench.sweep.settings import Options
from tests.conftest import ROOT
from tests.support.sweeping import (
    assert_whole,
    finish,
    hashes,
    rows,
    start,
    undisturbed,
    until,
    write_study,
)

pytestmark = pytest.mark.timeout(1800)
BIN = Path(sys.executable).parent
PATIENCE = 1500
"""Seconds for anything that takes a few on a machine of one's own."""
STUDY = """name = "small"
contenders = ["tiny-turbo@1", "tiny-lcm@4"]
display_size = 64
[prompts]
file = "prompts.txt"
[generate]
batch_size = 2
"""
RAY = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_health_check_period_ms": "1000"}
"""A lost node is noticed in five seconds."""


@pytest.fixture(scope="module")
def small(tmp_path_factory, shared_cache):
    """A study of the tiny pipelines, and the hashes of its images made in this process."""
    place = tmp_path_factory.mktemp("small")
    (place / "prompts.txt").write_text("a fox\na blue house\na boat\ntwo cats\n")
    (place / "study.toml").write_text(STUDY)
    folder = StudyFolder(place / "whole")
    folder.path.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TURBO_BENCH_CACHE", str(shared_cache))
        generate(read(place / "study.toml"), folder, Options(device="cpu"), load=load, threads=1)
    return place / "study.toml", hashes(folder)


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*map(str, words)], capture_output=True, text=True, env=environment, timeout=PATIENCE
    )


def assert_same(study: Path, results: Path, expected: dict) -> None:
    folder = StudyFolder(results / "small")
    assert hashes(folder) == expected
    assert folder.damaged() == []
    assert folder.read_json("run.json")["study"] == "small"


def test_two_ranks_of_accelerate_make_the_bytes_of_one_process(small, tmp_path):
    study, expected = small
    done = command(
        BIN / "accelerate", "launch", "--multi_gpu", "--num_processes=2", "--num_machines=1", "--mixed_precision=no",
        "--dynamo_backend=no", "--main_process_port=0", "-m", "bench", "generate", study, "--results", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "8 images generated" in done.stdout
    assert "leaked" not in done.stderr  # as Python says where a worker does not end in order
    assert_same(study, tmp_path, expected)


# A cluster of two nodes


@contextlib.contextmanager
def node(*words: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`ray start` on this machine, and what it wrote; with it ends all that it started, and nobody else's."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:
        place = Path(name)  # short: Ray keeps sockets below it
        log = place / "log"
        options = ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=80000000", "--disable-usage-stats"]
        options += ["--include-log-monitor=false", f"--temp-dir={place}", "--block"]
        environment = {
            **os.environ,
            **RAY,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        for _ in range(3):  # Ray gives its agents 15 s, which a busy machine may not keep
            with log.open("wb") as out:
                process = subprocess.Popen(
                    [BIN / "ray", "start", *words, *options],
                    cwd=ROOT,
                    env=environment,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    preexec_fn=end_with_us,
                )
            while process.poll() is None and "runtime started" not in log.read_text():
                time.sleep(0.1)
            if process.poll() is None:
                break
        try:
            assert process.poll() is None, log.read_text()
            yield process, log.read_text()
        finally:
            kill(process)


def end_with_us() -> None:
    """In a child, before it is what it will be: SIGTERM when the tests' process is gone, however it went."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        for member in [psutil.Process(process.pid), *family(process)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


@pytest.fixture(scope="module")
def head():
    """The address of a cluster of one node."""
    with node("--head", "--port=0", "--include-dashboard=false", "--no-monitor") as (_, told):
        yield re.findall(r"--address='([\d.:]+)'", told)[0]


@pytest.fixture(scope="module")
def second(head):
    """Another node of it, to be killed."""
    with node(f"--address={head}") as (process, _):
        yield process


@pytest.mark.ray
def test_two_nodes_of_ray_make_the_bytes_of_one_process(small, head, second, tmp_path):
    study, expected = small
    words = ("generate", study, "--results", tmp_path, "--engine", "ray", "--address", head)
    done = command(sys.executable, "-m", "bench", *words)
    assert done.returncode == 0, done.stderr
    assert "8 images generated" in done.stdout
    assert_same(study, tmp_path, expected)


@pytest.mark.ray
def test_a_killed_driver_and_a_killed_node_leave_the_folder_of_an_undisturbed_run(head, second, tmp_path):
    study = write_study(tmp_path)
    whole = undisturbed(tmp_path)
    folder = StudyFolder(tmp_path / "sweep")
    first = start(study, tmp_path, "--ray", head, "--pause", "0.3")
    until(lambda: rows(folder) > 10, first, PATIENCE)
    first.kill()
    first.communicate()
    begun = rows(folder)
    assert begun < len(whole)
    other = start(study, tmp_path, "--ray", head, "--pause", "1.0")
    until(lambda: rows(folder) > begun + 10, other, PATIENCE)
    kill(second)
    assert rows(folder) < len(whole)
    code, told = finish(other, PATIENCE)
    assert code == 0, told
    assert_whole(folder, whole)
